"""What an observation says about itself: leverage, and errors when it is left out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tomoset.align.bundle import Problem, Reduced, System
from tomoset.align.parameter_groups import Basis

Array = npt.NDArray[np.float64]

#: A prediction is taken to be uncertain by at most so many standard deviations of one
#: observation, squared: else a false one that stands alone would excuse itself.
_VAGUE = 100.0


def inverse(reduced: Reduced) -> Array:
    """Covariance of the free parameters, for residuals of variance 1: (p, p)."""
    return np.asarray(np.linalg.inv(reduced.normal)) if len(reduced.side) else np.zeros((0, 0))


def camera_blocks(covariance: Array, basis: Basis) -> Array:
    """Covariance of each camera's columns, from that of the free parameters: (n, 9, 9)."""
    blocks = np.zeros((basis.n_tilts, 9, 9))
    parts = list(zip(basis.parts, basis.slices(), strict=True))
    for (a, first), rows in parts:
        for (b, second), columns in parts:
            if columns.start >= rows.start:
                both = ((first @ covariance[rows, columns]) * second).sum(axis=1)
                blocks[:, a, b] = blocks[:, b, a] = both
    return blocks


def spread(system: System, reduced: Reduced, basis: Basis, covariance: Array) -> Array:
    """Covariance of the position of each bead in each image, as the fit predicts it.

    J (J^T W J)^-1 J^T of each observation by itself, J being its derivatives by all cameras
    and beads, W the weights: for residuals of variance 1. `covariance` is the `inverse`.

    Returns
    -------
    (n, m, 2, 2) float64 array
        [px²]
    """
    n, m = system.change.shape[:2]
    sides = np.einsum("mts,iks->imkt", system.root, system.linear, optimize=True)
    own = sides @ sides.transpose(0, 1, 3, 2)
    if not basis.size:
        return np.asarray(own)
    cameras = camera_blocks(covariance, basis)
    own += (system.change @ cameras[:, None]) @ system.change.transpose(0, 1, 3, 2)
    carried = covariance @ reduced.mixed
    wide = basis.expand(carried).reshape(n, 9, m, 3).transpose(0, 2, 1, 3)
    cross = (system.change @ wide) @ sides.transpose(0, 1, 3, 2)
    own -= cross + cross.transpose(0, 1, 3, 2)
    beads = np.einsum(
        "pms,pmt->mst",
        reduced.mixed.reshape(-1, m, 3),
        carried.reshape(-1, m, 3),
        optimize=True,
    )
    return np.asarray(own + (sides @ beads) @ sides.transpose(0, 1, 3, 2))


@dataclass(frozen=True, eq=False)
class LeftOut:
    """Every observation against the fit to all others, linear about the fit to all.

    Parameters
    ----------
    errors : (n, m, 2) array
        Residuals [standard deviations of the observation]: (I - H)^-1 r, where H is the 2x2
        block of the hat matrix. Exact for a linear problem with fixed weights.
    size : (n, m) array
        Their length over what the uncertainty of the prediction adds: of the size of one
        observation's noise, however few observations there are.
    hat : (n, m) array
        Trace of H: how many parameters the observation pays for.
    """

    errors: Array
    size: Array
    hat: Array


def left_out(problem: Problem, residual: Array, weights: Array, variance: Array) -> LeftOut:
    """Leave every observation out in turn.

    Parameters
    ----------
    problem
    residual : (n, m, 2) array
        Residuals [px].
    weights : (n, m) array
        Of robust estimation, with which `variance` was made.
    variance : (n, m, 2, 2) array
        Of `spread`.
    """
    scaled = residual * problem.precision[..., None]
    blocks = variance * problem.precision[..., None, None] ** 2
    # Along the axes of the 2x2 block everything is a number.
    a, b, c = blocks[..., 0, 0], blocks[..., 0, 1], blocks[..., 1, 1]
    angle = 0.5 * np.arctan2(2 * b, a - c)
    cos, sin = np.cos(angle), np.sin(angle)
    half, apart = (a + c) / 2, np.hypot((a - c) / 2, b)
    eigen = np.maximum(np.stack([half + apart, half - apart], axis=-1), 0.0)
    along = np.stack(
        [cos * scaled[..., 0] + sin * scaled[..., 1], cos * scaled[..., 1] - sin * scaled[..., 0]],
        axis=-1,
    )
    rest = np.maximum(1 - weights[..., None] * eigen, 1e-9)
    out = along / rest
    size = np.sqrt((out**2 / (1 + np.minimum(eigen / rest, _VAGUE))).sum(axis=-1))
    errors = np.stack(
        [cos * out[..., 0] - sin * out[..., 1], sin * out[..., 0] + cos * out[..., 1]], axis=-1
    )
    return LeftOut(errors, size, weights * eigen.sum(axis=-1))
