"""Another box of tomograms: a part of the specimen, or more than it, with all that lies in it."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping

import numpy as np
import numpy.typing as npt

from tomoset import geometry
from tomoset.errors import AssumptionWarning, ModelError
from tomoset.model import Project
from tomoset.project.edit._follow import of_particles
from tomoset.project.edit.select import named
from tomoset.project.transform import transform_project, transform_tomogram

Array = npt.NDArray[np.float64]
Size = tuple[int, int, int]


def crop(
    project: Project,
    size: Size,
    *,
    offset: Size = (0, 0, 0),
    names: Iterable[str] = (),
    drop_outside: bool = False,
) -> Project:
    """A project whose tomograms are a part of what they were.

    Images, and where they show what, stay. The middle of the box, voxel size // 2, stays too, or
    moves by an offset (docs/conventions.md, 'Tomograms').

    Parameters
    ----------
    project : Project
        All of it read; its tomograms aligned, and of known sizes.
    size : (int, int, int)
        x, y, z of the new box [bin-1 px].
    offset : (int, int, int)
        How far its middle lies from the old one [bin-1 px].
    names : iterable of str
        The tomograms that are meant, or patterns of names; all if not given.
    drop_outside : bool
        Whether particles outside of their tomograms go. How many there are is a warning.

    Raises
    ------
    ModelError
        If the box reaches out of the old one, or a size or an alignment is not known.

    Examples
    --------
    >>> from tomoset import Optics, ParticleSet, Tomogram, TomogramSet
    >>> one = Tomogram(name="a", n_tilts=1, optics=Optics(pixel_size=2.0), size=(40, 40, 20),
    ...                projections=geometry.rotation_y([30.0]))
    >>> picks = ParticleSet(tomogram_names=["a"], coordinates=[[20, 20, 10]])
    >>> less = crop(Project(tomograms=TomogramSet([one]), particles=picks), (20, 30, 20))
    >>> less.particles.coordinates.tolist(), less.tomograms["a"].size
    ([[10.0, 15.0, 10.0]], (20, 30, 20))
    """
    shifts = _shifts(project, size, offset, names)
    for name, (before, shift) in shifts.items():
        if min(-shift) < 0 or min(before + shift - size) < 0:
            raise ModelError(
                f"tomogram {name!r}: the box of {_by(size)} reaches out of the old one of "
                f"{_by(before)}; tomoset pad makes tomograms larger"
            )
    return _boxed(project, size, shifts, drop_outside=drop_outside)


def pad(
    project: Project, size: Size, *, offset: Size = (0, 0, 0), names: Iterable[str] = ()
) -> Project:
    """A project whose tomograms hold more than they did; parameters as of `crop`.

    Raises
    ------
    ModelError
        If the box does not hold the old one, or a size or an alignment is not known.
    """
    shifts = _shifts(project, size, offset, names)
    for name, (before, shift) in shifts.items():
        if min(shift) < 0 or min(size - before - shift) < 0:
            raise ModelError(
                f"tomogram {name!r}: the box of {_by(size)} does not hold all of the old one of "
                f"{_by(before)}; tomoset crop makes tomograms smaller"
            )
    return _boxed(project, size, shifts, drop_outside=False)


def _by(size: Iterable[int]) -> str:
    return " x ".join(str(int(side)) for side in size)


def _shifts(
    project: Project, size: Size, offset: Size, names: Iterable[str]
) -> dict[str, tuple[Array, Array]]:
    """The old size of each tomogram that is meant, and where its voxel 0 goes."""
    if min(size) < 1:
        raise ModelError(f"a box has sides above 0, not {_by(size)}")
    middle = np.asarray(size) // 2 - np.asarray(offset)
    old = {
        name: np.asarray(project.tomograms[name].need_size())
        for name in named(list(project.tomograms), names)
    }
    return {name: (before, middle - before // 2) for name, before in old.items()}


def _boxed(
    project: Project, size: Size, shifts: Mapping[str, tuple[Array, Array]], *, drop_outside: bool
) -> Project:
    matrices = {name: geometry.translation(shift) for name, (_, shift) in shifts.items()}
    transformed = project.tomograms.with_tomograms(
        transform_tomogram(t, matrices[name], size=size) if name in matrices else t
        for name, t in project.tomograms.items()
    )
    after = transform_project(project, matrices, transformed=transformed)
    outside = _outside(after)
    if not outside.any():
        return after
    warnings.warn(
        f"{int(outside.sum())} of {len(outside)} particles lie outside of their tomograms, and are "
        f"{'left out' if drop_outside else 'kept (`drop_outside`)'}",
        AssumptionWarning,
        stacklevel=3,
    )
    return of_particles(after, ~outside) if drop_outside else after


def _outside(project: Project) -> npt.NDArray[np.bool_]:
    """Which particles are in no voxel of their tomogram."""
    particles = project.particles
    if particles is None:
        return np.zeros(0, np.bool_)
    outside, positions = np.zeros(len(particles), np.bool_), particles.positions
    for name, rows in particles.by_tomogram().items():
        size = project.tomograms[name].size
        if size is not None:
            at = positions[rows]
            outside[rows] = ((at < -0.5) | (at >= np.asarray(size) - 0.5)).any(axis=1)
    return outside
