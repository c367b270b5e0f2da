"""Symmetric matrices of information: factored once, solved with, inverted."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


def factored(normal: Array, stiff: Array) -> tuple[Array, bool]:
    """Cholesky factor of information and prior together, as `scipy.linalg.cho_factor` has it."""
    from scipy.linalg import cho_factor

    matrix = normal + np.diag(stiff)
    if not len(matrix):
        return matrix, True
    # Rounding may leave a direction that positions make up for a little below 0.
    matrix[np.diag_indices_from(matrix)] *= 1 + 1e-10
    factor, lower = cho_factor(matrix, lower=True, check_finite=False)
    return factor, bool(lower)


def solved(factor: tuple[Array, bool], side: Array) -> Array:
    """The matrix' inverse times `side`."""
    from scipy.linalg import cho_solve

    return np.asarray(cho_solve(factor, side, check_finite=False)) if len(side) else side


def inverse(factor: tuple[Array, bool]) -> Array:
    """The inverse of the matrix that was factored."""
    from scipy.linalg.lapack import dpotri

    if not len(factor[0]):
        return np.zeros((0, 0))
    lower = np.tril(dpotri(factor[0], lower=1)[0])
    return np.asarray(lower + np.tril(lower, -1).T)
