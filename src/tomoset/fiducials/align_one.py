"""One tilt series aligned by its beads: found, fitted, found again by the better alignment."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from tomoset.align import AdjustOptions, AlignmentError, Fit, NoGainError, adjust
from tomoset.align.deform import deformed
from tomoset.errors import ModelError
from tomoset.fiducials.align_options import AlignOptions
from tomoset.fiducials.finder.find import Finder, Images
from tomoset.fiducials.lost import placed_by_neighbours
from tomoset.fiducials.options import FindOptions
from tomoset.model import Deformation, Fiducials, Observations, Tomogram

Array = npt.NDArray[np.float64]

#: Times that beads are searched again by the better alignment, at most.
_ROUNDS = 3
#: Nothing is missing where this part of what images should show is seen.
_COMPLETE = 0.98
#: It has converged when the error of what is left out changes by less than this part.
_CONVERGED = 0.01


@dataclass(frozen=True, kw_only=True, eq=False)
class Aligned:
    """An alignment by beads.

    Parameters
    ----------
    fiducials : Fiducials
        In the frame of the tomogram, with the observations that it is of.
    seen : Observations
        All that the fit is of, also of beads that have no position.
    fit : Fit
        Of those observations.
    radius : float or None
        Of a bead [Å], if known.
    deformation : Deformation, optional
        That residuals support; the fit is of observations without it.
    """

    fiducials: Fiducials
    seen: Observations
    fit: Fit
    radius: float | None
    deformation: Deformation | None = None

    @property
    def good(self) -> npt.NDArray[np.bool_]:
        """What was seen of each of the fiducials and counted: (n_tilts, n_beads) bool."""
        counted = np.zeros((len(self.fit.projections), len(self.fit.beads)), dtype=bool)
        counted[self.seen.tilt, self.seen.bead] = ~self.fit.outliers
        return np.asarray(counted[:, np.isfinite(self.fit.beads).all(axis=1)])


@dataclass(frozen=True, kw_only=True, eq=False)
class Kept:
    """An alignment that no other one betters.

    Parameters
    ----------
    fiducials : Fiducials
        By the alignment as it is.
    radius : float or None
        Of a bead [Å], if known.
    reason : str
        Why it stays, for people.
    """

    fiducials: Fiducials
    radius: float | None
    reason: str


def align(
    tomogram: Tomogram,
    images: Images,
    given: Fiducials | None,
    options: AlignOptions,
    threads: int = 1,
) -> Aligned | Kept:
    """Align a tilt series by its beads.

    Parameters
    ----------
    tomogram : Tomogram
        Aligned, however badly.
    images : Images
        Its tilt images.
    given : Fiducials, optional
        What the set says of its beads. Observations without uncertainties were made by others,
        and are taken as they are; ours are made anew, by the better alignment.
    options : AlignOptions
        What is wanted.
    threads : int
        Images that are worked on at once.

    Returns
    -------
    Aligned or Kept

    Raises
    ------
    AlignmentError
        If there are too few beads, or they do not support an alignment.
    ModelError
        If the series cannot be aligned at all.
    """
    tomogram = tomogram.placed(None, images.size)
    tomogram.need_projections()
    if options.keep or _by_others(given):
        if given is None or given.observations is None or not len(given.observations):
            raise AlignmentError(
                f"tomogram {tomogram.name!r}: the set has no observations of beads to keep; find "
                "them with tomoset find-fiducials, or leave --keep out"
            )
        radii = given.radii
        radius = None if radii is None else float(np.median(radii))
        try:
            fit = _adjusted(tomogram, given.observations, options)
        except NoGainError as reason:
            return Kept(fiducials=given, radius=radius, reason=str(reason))
        return _finished(tomogram, _aligned(given, fit, radius), given, options)
    finder = Finder(tomogram, images, _search(given, options), threads)
    return _searched(
        tomogram,
        finder,
        options,
        lambda fit: placed_by_neighbours(
            tomogram, images, fit.projections, fit.unsupported, threads
        ),
    )


def _searched(
    tomogram: Tomogram,
    finder: Finder,
    options: AlignOptions,
    placed: Callable[[Fit], Array],
) -> Aligned | Kept:
    """By beads that are searched, and again by the better alignment until that changes nothing.

    Images in which none were found are `placed` by others before they are searched again.
    """
    found = finder.find()
    if not len(found.fiducials):
        raise AlignmentError(
            f"tomogram {tomogram.name!r}: no beads were found, so nothing can be aligned by them"
        )
    try:
        fit = _adjusted(tomogram, _seen(found.fiducials), options)
    except NoGainError as reason:
        return Kept(fiducials=found.fiducials, radius=found.radius, reason=str(reason))
    for _ in range(_ROUNDS):
        if _complete(tomogram, fit) and not len(fit.unsupported):
            break
        again = finder.find(placed(fit) if len(fit.unsupported) else fit.projections)
        try:
            better = _adjusted(tomogram, _seen(again.fiducials), options)
        except AlignmentError:
            break  # what was found before supports an alignment, and stays
        converged = abs(better.leave_out - fit.leave_out) < _CONVERGED * fit.leave_out
        found, fit = again, better
        if converged:
            break
    aligned = _aligned(found.fiducials, fit, found.radius)
    return _finished(tomogram, aligned, found.fiducials, options)


def _finished(
    tomogram: Tomogram, aligned: Aligned, fiducials: Fiducials, options: AlignOptions
) -> Aligned:
    """The same with a 2D deformation, if one is asked for and supported; fitted once more."""
    if not options.deformation or tomogram.deformation is not None:
        return aligned
    found = deformed(aligned.seen, aligned.fit, tomogram.need_image_size())
    if found is None:
        return aligned
    deformation = replace(tomogram, deformation=found.deformation)
    try:
        fit = _adjusted(deformation, aligned.seen, options)
    except AlignmentError:
        return aligned  # without the deformation there is an alignment
    return replace(_aligned(fiducials, fit, aligned.radius), deformation=found.deformation)


def _by_others(given: Fiducials | None) -> bool:
    seen = None if given is None else given.observations
    return seen is not None and len(seen) > 0 and seen.uncertainty is None


def _search(given: Fiducials | None, options: AlignOptions) -> FindOptions:
    if options.radius_given or given is None or given.radii is None or not len(given):
        return options.find
    return replace(options.find, radius=float(np.median(given.radii)))


def _seen(fiducials: Fiducials) -> Observations:
    if fiducials.observations is None:
        raise ModelError("fiducials without observations cannot align anything")
    return fiducials.observations


def _adjusted(tomogram: Tomogram, seen: Observations, options: AlignOptions) -> Fit:
    """The fit to observations; a 2D deformation that is known is taken off them first."""
    if tomogram.deformation is not None:
        grid = seen.grid(tomogram.n_tilts)
        flat = tomogram.deformation.undo(grid, image_size=tomogram.need_image_size())
        seen = replace(seen, points=flat[seen.tilt, seen.bead])
    try:
        return adjust(
            tomogram.need_projections(),
            seen,
            AdjustOptions(
                groups=options.groups, size=tomogram.size, image_size=tomogram.image_size
            ),
        )
    except AlignmentError as problem:
        raise type(problem)(f"tomogram {tomogram.name!r}: {problem}") from None


def _complete(tomogram: Tomogram, fit: Fit) -> bool:
    """Whether nearly all is seen that images should show."""
    positions = fit.beads[np.isfinite(fit.beads).all(axis=1)]
    at = replace(tomogram, projections=fit.projections).project(positions)
    inside = ((at >= 0) & (at <= np.array(tomogram.need_image_size()) - 1)).all(axis=-1)
    return bool(fit.counted >= _COMPLETE * inside.sum())


def _aligned(fiducials: Fiducials, fit: Fit, radius: float | None) -> Aligned:
    """The beads that the fit has a position for, and only those."""
    good: npt.NDArray[np.bool_] = np.asarray(np.isfinite(fit.beads).all(axis=1), bool)
    number = np.cumsum(good) - 1
    seen = _seen(fiducials)
    kept = seen.take(good[seen.bead])
    return Aligned(
        fiducials=Fiducials(
            points=fit.beads[good],
            observations=replace(kept, bead=number[kept.bead]),
            scores=None if fiducials.scores is None else fiducials.scores[good],
            radii=None if fiducials.radii is None else fiducials.radii[good],
        ),
        seen=seen,
        fit=fit,
        radius=radius,
    )
