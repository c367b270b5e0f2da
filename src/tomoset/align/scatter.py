"""How much parameters that are free in every tilt image scatter: learned, so that few beads do.

A change that is free in every image follows the noise where few beads say what it is. Changes
of one kind are of one size, though, which all images together tell. Each is drawn towards their
mean by as much as its own uncertainty exceeds that size: nothing, where there are many beads.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tomoset.align.bundle import Problem
from tomoset.align.parameter_groups import Basis
from tomoset.align.parameters import COLUMNS

Array = npt.NDArray[np.float64]

#: The smallest scatter, in standard deviations of an observation: nothing is free below it.
_LEAST = 0.05


def unknown() -> Array:
    """Of every column, before anything is known: (9,) array of inf."""
    return np.full(len(COLUMNS), np.inf)


def learned(
    problem: Problem, cameras: Array, basis: Basis, covariance: Array, known: tuple[float, Array]
) -> Array:
    """Standard deviation of the changes of each free column about their mean.

    The most likely one, by MacKay's fixed point: the sum of squares over the number of changes
    that the observations, not the scatter assumed before, determine.

    Parameters
    ----------
    problem
    cameras : (n, 9) array
    basis
    covariance : (p, p) array
        Of the free parameters, for residuals of variance 1.
    known : (float, (9,) array)
        Scale of the residuals, and the scatter with which `covariance` was made.

    Returns
    -------
    (9,) float64 array
        [px]; inf for columns that are not free in every tilt image.
    """
    noise, before = known
    scatter = unknown()
    slices = basis.slices()
    least = _LEAST * noise / float(np.median(problem.precision[problem.precision > 0]))
    for part in basis.free_by_tilt:
        column = basis.parts[part][0]
        change = (cameras - problem.start)[:, column] / problem.units[column]
        own = covariance[slices[part], slices[part]]
        about_mean = own.diagonal() - 2 * own.mean(axis=1) + own.mean()
        held = (noise / before[column]) ** 2
        determined = float((1 - held * about_mean - 1 / len(change)).clip(0, 1).sum())
        squares = float(((change - change.mean()) ** 2).sum())
        if not np.isfinite(before[column]):
            # From nothing known: what the changes scatter more than their uncertainty explains.
            squares -= noise**2 * float(about_mean.sum())
        scatter[column] = max(np.sqrt(max(squares, 0.0) / max(determined, 1.0)), least)
    return scatter
