"""What an alignment by beads needs, and what is said where it is missing."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tomoset.align.bundle import Problem
from tomoset.align.choose import gained
from tomoset.align.fit import AlignmentError, NoGainError
from tomoset.align.parameters import MAGNIFICATION, TILT
from tomoset.align.robust import MIN_VIEWS, Fitted, loss
from tomoset.errors import ModelError
from tomoset.model import Observations

Array = npt.NDArray[np.float64]

MIN_TILTS, MIN_BEADS = 3, 3
#: Smallest range of tilt angles [deg], and smallest rms distance of beads from their middle:
#: against the noise of an observation, and against the image.
MIN_RANGE, MIN_NOISES, MIN_SPREAD = 10.0, 30.0, 0.02
#: Most that may be missing: of the tilt images, and of the observations.
MAX_EMPTY, MAX_FALSE = 0.25, 0.6


def check_input(projections: Array, observations: Observations) -> Array:
    """The projections, if they and the observations are such that one may begin."""
    matrices = np.asarray(projections, dtype=np.float64)
    if matrices.ndim != 3 or matrices.shape[1:] != (4, 4):
        raise ModelError(f"projections must have shape (n_tilts, 4, 4), not {matrices.shape}")
    if not np.isfinite(matrices).all():
        raise ModelError("a projection has a value that is not a finite number")
    n = len(matrices)
    if len(observations) and int(observations.tilt.max()) >= n:
        raise ModelError(
            f"there are {n} tilt images, and a bead is seen in number {observations.tilt.max() + 1}"
        )
    tilts = len(np.unique(observations.tilt))
    if tilts < MIN_TILTS:
        raise AlignmentError(
            f"tilt images in which beads were seen: {tilts}; an alignment needs {MIN_TILTS} or more"
        )
    views = np.bincount(observations.bead, minlength=1)
    enough = int((views >= MIN_VIEWS).sum())
    if enough < MIN_BEADS:
        raise AlignmentError(
            f"beads that were seen in {MIN_VIEWS} tilt images or more: {enough}; an alignment "
            f"needs {MIN_BEADS} or more"
        )
    return matrices


def check_supported(problem: Problem, fitted: Fitted, image_size: tuple[int, int] | None) -> None:
    """Whether what is left of the observations supports the fit.

    Raises
    ------
    AlignmentError
    """
    seen, good = problem.precision > 0, fitted.weights > 0
    tilts = np.asarray(good.any(axis=1))
    beads = np.asarray(good.any(axis=0))
    if beads.sum() < MIN_BEADS:
        raise AlignmentError(
            f"beads whose observations agree on a position: {int(beads.sum())} of {len(beads)}; an "
            f"alignment needs {MIN_BEADS} or more"
        )
    empty = int((~tilts).sum())
    if empty > MAX_EMPTY * len(tilts) or tilts.sum() < MIN_TILTS:
        raise AlignmentError(
            f"tilt images with fewer than two observations that agree with the rest: {empty} of "
            f"{len(tilts)}; at most {MAX_EMPTY:.0%} may"
        )
    wrong = int((seen & ~good).sum())
    if wrong > MAX_FALSE * seen.sum():
        raise AlignmentError(
            f"{wrong} of {int(seen.sum())} observations disagree with the rest; at most "
            f"{MAX_FALSE:.0%} may"
        )
    angles = np.rad2deg(fitted.state.cameras[tilts, TILT])
    if np.ptp(angles) < MIN_RANGE:
        raise AlignmentError(
            f"the tilt images that see beads span {np.ptp(angles):.1f} degrees; an alignment "
            f"needs {MIN_RANGE:g}"
        )
    _spread(problem, fitted, image_size)


def _spread(problem: Problem, fitted: Fitted, image_size: tuple[int, int] | None) -> None:
    good = fitted.weights > 0
    beads = fitted.state.beads[good.any(axis=0)]
    scale = np.exp(np.median(fitted.state.cameras[:, MAGNIFICATION]))
    apart = float(np.sqrt(((beads - beads.mean(axis=0)) ** 2).sum(axis=1).mean())) * scale
    noise = fitted.noise / float(np.median(problem.precision[good]))
    least = max(MIN_NOISES * noise, 0.0 if image_size is None else MIN_SPREAD * min(image_size))
    if apart < least:
        raise AlignmentError(
            f"the beads lie within {apart:.3g} px (rms) of each other, and were seen to within "
            f"{noise:.3g} px; an alignment that holds elsewhere needs beads {least:.3g} px apart"
        )


def check_significant(expected: float, before: float) -> None:
    """Whether the fit is not more uncertain than the input was wrong.

    Raises
    ------
    NoGainError
    """
    if not expected < before:
        raise NoGainError(
            f"the error to be expected of the fitted projections, {expected:.3g} px, is not below "
            f"that of the alignment as it is, {before:.3g} px; more beads may do"
        )


def check_better(problem: Problem, before: Fitted, after: Fitted) -> None:
    """Whether observations left out are predicted better than before.

    Raises
    ------
    NoGainError
    """
    old, new = (
        np.linalg.norm(fitted.out.errors, axis=2) / before.scale[:, None]
        for fitted in (before, after)
    )
    gain, _ = gained(problem, loss(old), loss(new))
    if gain <= 0:
        used = after.weights > 0
        was, now = (
            float(np.sqrt(((fitted.residual[used]) ** 2).sum(axis=1).mean()))
            for fitted in (before, after)
        )
        raise NoGainError(
            "the alignment as it is predicts beads in observations left out as well as one "
            f"fitted to these {int((problem.precision > 0).sum())} observations (residuals of "
            f"{was:.3g} px before, {now:.3g} px after); more, or more precise, observations may "
            "tell"
        )
