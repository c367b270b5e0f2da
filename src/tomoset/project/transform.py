"""Rigid transforms of tomograms, with all that refers to them.

A transform is a rotation and a shift: new voxel = transform @ old voxel, 0-based at bin 1
(``docs/conventions.md``). Images, and where they show what, stay as they are.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from tomoset import geometry, star
from tomoset.errors import AssumptionWarning, LossyWarning, MissingFieldError, ModelError
from tomoset.model import Fiducials, Tomogram, TomogramSet
from tomoset.model.project import Project

Array = npt.NDArray[np.float64]

#: How far a matrix may be from a rotation: what twelve digits in a file may cost.
_RIGID = 1e-9
#: A voxel that is displaced by less has not changed [px].
_NOTHING = 1e-9


def transform_project(
    project: Project,
    transforms: Mapping[str, npt.ArrayLike],
    *,
    transformed: TomogramSet | None = None,
) -> Project:
    """Tomograms in another frame, with all sets that refer to them.

    Particles, manifolds, trajectories and fiducials lie where they lay in every tilt image.
    What is of other tomograms keeps its text.

    Parameters
    ----------
    project : Project
        All of it read, as `open_project` does.
    transforms : mapping of str to (4, 4) array
        By tomogram name, from voxels, 0-based at bin 1, to those in the new frame.
    transformed : TomogramSet, optional
        The tomograms as they are in their new frames, where something else has changed too,
        such as their alignment. A file of fiducials that one names, if not that of before, is
        of its new frame. If not given, `transform_tomogram` makes them.

    Returns
    -------
    Project

    Raises
    ------
    ModelError
        If there is no such tomogram, a transform is not rigid, or something that refers to a
        tomogram could not follow it.

    Examples
    --------
    >>> from tomoset import Optics, ParticleSet
    >>> t = Tomogram(name="a", n_tilts=1, optics=Optics(pixel_size=2.0), size=(9, 9, 9),
    ...              projections=geometry.rotation_y([30.0]))
    >>> p = ParticleSet(tomogram_names=["a"], coordinates=[[1, 2, 3]])
    >>> before = Project(tomograms=TomogramSet([t]), particles=p)
    >>> after = transform_project(before, {"a": geometry.rotation_x(5)})
    >>> seen = [x.tomograms["a"].project(x.particles.positions) for x in (before, after)]
    >>> bool(abs(seen[1] - seen[0]).max() < 1e-12)
    True
    """
    matrices = checked_transforms(
        transforms, project.tomograms if transformed is None else transformed
    )
    particles, manifolds, motion = project.particles, project.manifolds, project.trajectories
    fiducials = _transformed_fiducials(project, matrices, transformed)
    rotations = _rotations(project, matrices)
    if transformed is None:
        transformed = project.tomograms.with_tomograms(
            transform_tomogram(t, matrices[name]) if name in matrices else t
            for name, t in project.tomograms.items()
        )
    return project.with_sets(
        tomograms=transformed,
        particles=None if particles is None else particles.transformed(matrices),
        manifolds=None if manifolds is None else manifolds.transformed(matrices),
        trajectories=None if motion is None else motion.rotated(rotations),
        fiducials=fiducials,
    )


def checked_transforms(
    transforms: Mapping[str, npt.ArrayLike], names: Iterable[str]
) -> dict[str, Array]:
    """The same as arrays, each of a rigid motion and of a tomogram that there is.

    Raises
    ------
    ModelError
        With the name of the tomogram.
    """
    there = dict.fromkeys(names)
    for name in transforms:
        if name not in there:
            some = ", ".join(list(there)[:5]) + (" ..." if len(there) > 5 else "")
            raise ModelError(
                f"no tomogram is called {name!r}, so none can be transformed; there are {some}"
            )
    return {name: _checked(name, transform) for name, transform in transforms.items()}


def _checked(name: str, transform: npt.ArrayLike) -> Array:
    matrix = np.asarray(transform, dtype=np.float64)
    if matrix.shape != (4, 4) or not np.isfinite(matrix).all():
        raise ModelError(
            f"tomogram {name!r}: a transform is a matrix of 4 x 4 numbers, not {matrix}"
        )
    rotation = matrix[:3, :3]
    off = float(np.abs(rotation @ rotation.T - np.eye(3)).max())
    mirrors = np.linalg.det(rotation) < 0
    if off > _RIGID or mirrors or matrix[3].tolist() != [0.0, 0.0, 0.0, 1.0]:
        what = "mirrors" if mirrors and off <= _RIGID else "scales, skews or projects"
        raise ModelError(
            f"tomogram {name!r}: the matrix {what}, and particles can only rotate and shift with "
            "their tomogram; give a rotation with a translation"
        )
    return matrix


def _inverse(transform: Array) -> Array:
    """The way back, its last row 0, 0, 0, 1 to the last bit."""
    back = np.eye(4)
    back[:3, :3] = np.linalg.inv(transform[:3, :3])
    back[:3, 3] = -back[:3, :3] @ transform[:3, 3]
    return back


def transform_tomogram(
    tomogram: Tomogram,
    transform: npt.ArrayLike,
    *,
    size: tuple[int, int, int] | None = None,
) -> Tomogram:
    """One tomogram in another frame: what its images show where, and at what defocus, stays.

    Parameters
    ----------
    tomogram : Tomogram
        Aligned.
    transform : (4, 4) array
        From its voxels, 0-based at bin 1, to those after a rigid motion.
    size : (int, int, int), optional
        Of the tomogram in its new frame; its own if not given. The voxel where the defocus of the
        table holds then moves along.

    Returns
    -------
    Tomogram
        Volumes and fiducials of the old frame are not named any more.

    Raises
    ------
    ModelError
        If the transform is not rigid, or the tomogram has no projections to go with it.
    """
    matrix = _checked(tomogram.name, transform)
    placed = tomogram.placed()
    moved = _moved(placed, matrix, placed.size if size is None else size)
    if moved is None:
        raise ModelError(
            f"tomogram {tomogram.name!r} cannot be transformed: "
            + (
                "it is not aligned, so no image would show where it has gone; align it first"
                if placed.alignment is None
                else "its angles and shifts are about the middle of a size that is not known; "
                "write the sizes of tomogram and images into the set: tomoset convert SET DST "
                "--to FORMAT --size W H D --image-size W H"
            )
        )
    rotated = replace(_without_old_frame(placed, matrix), **moved)
    rotated = rotated.with_excluded(lambda tilt: transform_tomogram(tilt, matrix, size=size))
    if size is not None:
        rotated = replace(rotated, size=size)
    if placed.defocus_u is None or placed.defocus_v is None:
        return rotated
    if placed.depth_origin is None and placed.size is None:
        raise ModelError(
            f"tomogram {tomogram.name!r} cannot be transformed: its defocus holds in the middle of "
            "a size that is not known; write it into the set: tomoset convert SET DST --to FORMAT "
            "--size W H D"
        )
    origin = np.asarray(placed.size) / 2 if placed.depth_origin is None else placed.depth_origin
    there = geometry.apply(matrix, origin)
    if size is not None:
        return replace(rotated, depth_origin=there)
    if np.abs(there - origin).max() < _NOTHING:  # the same place: the table's texts stay
        return rotated
    return replace(rotated, depth_origin=there).with_depth_origin(origin)


def _moved(
    t: Tomogram, transform: Array, size: tuple[int, int, int] | None
) -> dict[str, Any] | None:
    """The alignment in the new frame, by field; None if it is not known.

    One that waits for the size of images needs none: they stay.
    """
    if t.projections is not None:
        return {"projections": t.projections @ _inverse(transform)}
    alignment, pixel, any_image = t.alignment, t.optics.pixel_size, (2, 2)
    if alignment is None or alignment.directions_only:
        return None
    if t.size is None or size is None or pixel is None:
        return None
    before = geometry.rigid_projections(
        alignment.angles, alignment.shifts / pixel, size=t.size, image_size=any_image
    )
    angles, shifts = geometry.rigid_parameters(
        before @ _inverse(transform), size=size, image_size=any_image
    )
    if np.array_equal(transform[:3, :3], np.eye(3)):
        angles = alignment.angles
    shifts = np.where(
        np.abs(shifts * pixel - alignment.shifts) < _NOTHING, alignment.shifts, shifts * pixel
    )
    return {"alignment": replace(alignment, angles=angles, shifts=shifts)}


def _without_old_frame(tomogram: Tomogram, transform: Array) -> Tomogram:
    """Volumes and fiducials of the old frame are not named any more; the normal of ice rotates."""
    if tomogram.reconstruction is not None:
        warnings.warn(
            f"tomogram {tomogram.name!r} has another frame: the volumes that were made of it are "
            "in its old frame, and no longer named; reconstruct it again",
            LossyWarning,
            stacklevel=3,
        )
    ice = tomogram.ice
    if ice is not None and ice.normal is not None:
        x, y, z = (transform[:3, :3] @ ice.normal).tolist()
        ice = replace(ice, normal=(x, y, z))
    return replace(tomogram, ice=ice, reconstruction=None, fiducials=None)


def _transformed_fiducials(
    project: Project, transforms: Mapping[str, Array], transformed: TomogramSet | None
) -> dict[str, Fiducials]:
    """The beads of every tomogram; those that the new one names itself are left to it."""
    found = {}
    for name, tomogram in project.tomograms.items():
        new = (
            None if transformed is None or name not in transformed else transformed[name].fiducials
        )
        if name in transforms and new not in (None, tomogram.fiducials):
            continue
        beads = project.fiducials.get(name)
        if beads is not None:
            found[name] = beads.transformed(transforms[name]) if name in transforms else beads
        elif name in transforms and tomogram.fiducials is not None:
            raise ModelError(
                f"tomogram {name!r} names the fiducials {tomogram.fiducials!r}, which have not "
                "been read, so they cannot follow it; put the file there, or remove the entry"
            )
    return found


def _rotations(project: Project, transforms: Mapping[str, Array]) -> dict[str, Array]:
    """The rotations of trajectories, by particle name."""
    rotations = {name: transform[:3, :3] for name, transform in transforms.items()}
    where = _tomograms_of(project) if rotations else {}
    of: dict[str, Array] = {}
    for particle, tomograms in where.items():
        found = [rotations.get(name, np.eye(3)) for name in tomograms]
        if any(not np.array_equal(rotation, found[0]) for rotation in found):
            raise ModelError(
                f"a particle of each of the tomograms {', '.join(map(repr, tomograms))} is called "
                f"{particle!r}, so they share a trajectory, which cannot rotate with both; give "
                "the particles other names"
            )
        if tomograms[0] in rotations:
            of[particle] = found[0]
    return of


def _tomograms_of(project: Project) -> dict[str, list[str]]:
    """The tomograms of every trajectory that is not 0, by particle name."""
    motion, particles = project.trajectories, project.particles
    where: dict[str, list[str]] = {}
    if motion is not None:
        where = {name: [] for name, shifts in motion.items() if shifts.any()}
    if particles is not None:
        of = zip(particles.particle_names.tolist(), particles.tomogram_names.tolist(), strict=True)
        for particle, tomogram in of:
            if particle in where and tomogram not in where[particle]:
                where[particle].append(tomogram)
    others = [name for name, tomograms in where.items() if not tomograms]
    for name in others:  # of particles that have been left out since
        tomogram = name.rpartition("/")[0]
        if tomogram not in project.tomograms:
            raise ModelError(
                f"the trajectory of {name!r} is of no particle that is here, so nothing says with "
                "which tomogram it rotates; give the particles that belong to the trajectories, or "
                "take it out"
            )
        where[name].append(tomogram)
    if others:
        warnings.warn(
            f"{len(others)} trajectories are of no particle that is here; those called like "
            f"{others[0]!r} are taken to be of tomogram {where[others[0]][0]!r}, as RELION names "
            "particles",
            AssumptionWarning,
            stacklevel=4,
        )
    return where


_NAME = "rlnTomoName"
_ROWS = tuple(f"tomosetTransform{row}" for row in "XYZW")
_COMMENT = "# new voxel = matrix of these rows @ old voxel, 0-based at bin 1"


def transforms_to_star(transforms: Mapping[str, Array]) -> star.StarFile:
    """The table of ``transforms.star``: one tomogram a row, every number to its last bit.

    Examples
    --------
    >>> file = transforms_to_star({"001": geometry.translation([1, 2, 3])})
    >>> print(*star.dumps(file).split()[-5:])
    001 [1,0,0,1] [0,1,0,2] [0,0,1,3] [0,0,0,1]
    """
    matrices = np.array(list(transforms.values()), dtype=np.float64).reshape(-1, 4, 4)
    rows = {label: star.format_vectors(matrices[:, i], 17) for i, label in enumerate(_ROWS)}
    return star.StarFile(
        (star.Table("transforms", {_NAME: list(transforms), **rows}, comments=(_COMMENT,)),)
    )


def read_transforms(path: str | os.PathLike[str]) -> dict[str, Array]:
    """The transforms of ``transforms.star``, as `transform_project` takes them.

    Parameters
    ----------
    path : path-like
        As a program that transforms tomograms has written it beside their set.

    Raises
    ------
    FileFormatError
        With the line: if it is something else, names a tomogram twice, or a matrix is of no
        rigid motion.

    Examples
    --------
    >>> import tempfile
    >>> path = os.path.join(tempfile.mkdtemp(), "transforms.star")
    >>> star.write(transforms_to_star({"001": geometry.rotation_x(5)}), path)
    >>> bool((read_transforms(path)["001"] == geometry.rotation_x(5)).all())
    True
    """
    file = star.read(path)
    table = next((t for t in file.tables if _NAME in t and any(x in t for x in _ROWS)), None)
    if table is None:
        expected = ", ".join((_NAME, *_ROWS))
        raise MissingFieldError(f"no transforms of tomograms: expected {expected}", path=path)
    names = list(table[_NAME])
    first = dict(zip(reversed(names), range(len(names) - 1, -1, -1), strict=True))
    for row, name in enumerate(names):
        if first[name] != row:
            raise table.error(
                f"a second row is of tomogram {name!r}; keep the one that is meant", row
            )
    matrices = np.stack([table.vectors(label, 4) for label in _ROWS], axis=1)
    for row, (name, matrix) in enumerate(zip(names, matrices, strict=True)):
        try:
            _checked(name, matrix)
        except ModelError as problem:
            raise table.error(str(problem), row) from problem
    return dict(zip(names, matrices, strict=True))
