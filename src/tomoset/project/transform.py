"""Tomograms moved into another frame, and all that refers to them carried along.

A move is the matrix of a rigid motion: new voxel = move @ old voxel, 0-based at bin 1
(``docs/conventions.md``). Images, and where they show what, stay as they are.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from tomoset import geometry, star
from tomoset.errors import AssumptionWarning, LossyWarning, MissingFieldError, ModelError
from tomoset.model import Fiducials, Tomogram, TomogramSet
from tomoset.model.project import Project

Array = npt.NDArray[np.float64]

#: How far the turn of a move may be from a rotation: what twelve digits in a file may cost.
_RIGID = 1e-9
#: A voxel that moves by less has not moved [px].
_NOTHING = 1e-9


def move_project(
    project: Project, moves: Mapping[str, npt.ArrayLike], *, moved: TomogramSet | None = None
) -> Project:
    """Tomograms in another frame, with all sets that refer to them.

    Particles, manifolds, trajectories and fiducials lie where they lay in every tilt image.
    What is of other tomograms keeps its text.

    Parameters
    ----------
    project : Project
        All of it read, as `open_project` does.
    moves : mapping of str to (4, 4) array
        By tomogram name, from voxels, 0-based at bin 1, to those after the motion.
    moved : TomogramSet, optional
        The tomograms as they are in their new frames, where something else has changed too,
        such as their alignment. A file of fiducials that one names, if not that of before, is
        of its new frame. If not given, `move_tomogram` makes them.

    Returns
    -------
    Project

    Raises
    ------
    ModelError
        If there is no such tomogram, a move is not rigid, or something that refers to a
        tomogram could not follow it.

    Examples
    --------
    >>> from tomoset import Optics, ParticleSet
    >>> t = Tomogram(name="a", n_tilts=1, optics=Optics(pixel_size=2.0), size=(9, 9, 9),
    ...              projections=geometry.rotation_y([30.0]))
    >>> p = ParticleSet(tomogram_names=["a"], coordinates=[[1, 2, 3]])
    >>> before = Project(tomograms=TomogramSet([t]), particles=p)
    >>> after = move_project(before, {"a": geometry.rotation_x(5)})
    >>> seen = [x.tomograms["a"].project(x.particles.positions) for x in (before, after)]
    >>> bool(abs(seen[1] - seen[0]).max() < 1e-12)
    True
    """
    matrices = checked_moves(moves, project.tomograms if moved is None else moved)
    particles, manifolds, motion = project.particles, project.manifolds, project.trajectories
    fiducials = _moved_fiducials(project, matrices, moved)
    turns = _turns(project, matrices)
    if moved is None:
        moved = project.tomograms.with_tomograms(
            move_tomogram(t, matrices[name]) if name in matrices else t
            for name, t in project.tomograms.items()
        )
    return project.with_sets(
        tomograms=moved,
        particles=None if particles is None else particles.moved(matrices),
        manifolds=None if manifolds is None else manifolds.moved(matrices),
        trajectories=None if motion is None else motion.turned(turns),
        fiducials=fiducials,
    )


def checked_moves(moves: Mapping[str, npt.ArrayLike], names: Iterable[str]) -> dict[str, Array]:
    """The same as arrays, each of a rigid motion and of a tomogram that there is.

    Raises
    ------
    ModelError
        With the name of the tomogram.
    """
    there = dict.fromkeys(names)
    for name in moves:
        if name not in there:
            some = ", ".join(list(there)[:5]) + (" ..." if len(there) > 5 else "")
            raise ModelError(f"no tomogram is called {name!r}, so none can move; there are {some}")
    return {name: _checked(name, move) for name, move in moves.items()}


def _checked(name: str, move: npt.ArrayLike) -> Array:
    matrix = np.asarray(move, dtype=np.float64)
    if matrix.shape != (4, 4) or not np.isfinite(matrix).all():
        raise ModelError(f"tomogram {name!r}: a move is a matrix of 4 x 4 numbers, not {matrix}")
    turn = matrix[:3, :3]
    off = float(np.abs(turn @ turn.T - np.eye(3)).max())
    mirrors = np.linalg.det(turn) < 0
    if off > _RIGID or mirrors or matrix[3].tolist() != [0.0, 0.0, 0.0, 1.0]:
        what = "mirrors" if mirrors and off <= _RIGID else "scales, skews or projects"
        raise ModelError(
            f"tomogram {name!r}: the matrix {what}, and particles can only turn and shift with "
            "their tomogram; give a rotation with a translation"
        )
    return matrix


def _inverse(move: Array) -> Array:
    """The way back, its last row 0, 0, 0, 1 to the last bit."""
    back = np.eye(4)
    back[:3, :3] = np.linalg.inv(move[:3, :3])
    back[:3, 3] = -back[:3, :3] @ move[:3, 3]
    return back


def move_tomogram(tomogram: Tomogram, move: npt.ArrayLike) -> Tomogram:
    """One tomogram in another frame: what its images show where, and at what defocus, stays.

    Parameters
    ----------
    tomogram : Tomogram
        Aligned.
    move : (4, 4) array
        From its voxels, 0-based at bin 1, to those after a rigid motion.

    Returns
    -------
    Tomogram
        Of the same size. Volumes and fiducials of the old frame are not named any more.

    Raises
    ------
    ModelError
        If the move is not rigid, or the tomogram has no projections to go with it.
    """
    matrix = _checked(tomogram.name, move)
    placed = tomogram.placed()
    if placed.projections is None:
        raise ModelError(
            f"tomogram {tomogram.name!r} cannot move: "
            + (
                "it is not aligned, so no image would show where it has gone; align it first"
                if placed.alignment is None
                else "its angles and shifts are about the middle of a size that is not known; "
                "give the sizes of tomogram and images (Tomogram.placed, --size, --image-size)"
            )
        )
    turned = replace(_row_moved(placed, matrix), projections=placed.projections @ _inverse(matrix))
    turned = turned.with_excluded(lambda tilt: move_tomogram(tilt, matrix))
    if placed.defocus_u is None or placed.defocus_v is None:
        return turned
    if placed.depth_origin is None and placed.size is None:
        raise ModelError(
            f"tomogram {tomogram.name!r} cannot move: its defocus holds in the middle of a size "
            "that is not known; give it (Tomogram.placed, --size)"
        )
    origin = np.asarray(placed.size) / 2 if placed.depth_origin is None else placed.depth_origin
    there = geometry.apply(matrix, origin)
    if np.abs(there - origin).max() < _NOTHING:  # the same place: the table's texts stay
        return turned
    return replace(turned, depth_origin=there).with_depth_origin(origin)


def _row_moved(tomogram: Tomogram, move: Array) -> Tomogram:
    """Volumes and fiducials of the old frame are not named any more; the normal of ice turns."""
    if tomogram.reconstruction is not None:
        warnings.warn(
            f"tomogram {tomogram.name!r} is turned: the volumes that were made of it are in its "
            "old frame, and no longer named; reconstruct it again",
            LossyWarning,
            stacklevel=3,
        )
    ice = tomogram.ice
    if ice is not None and ice.normal is not None:
        x, y, z = (move[:3, :3] @ ice.normal).tolist()
        ice = replace(ice, normal=(x, y, z))
    return replace(tomogram, ice=ice, reconstruction=None, fiducials=None)


def _moved_fiducials(
    project: Project, moves: Mapping[str, Array], moved: TomogramSet | None
) -> dict[str, Fiducials]:
    """The beads of every tomogram; those that the new one names itself are left to it."""
    found = {}
    for name, tomogram in project.tomograms.items():
        new = None if moved is None or name not in moved else moved[name].fiducials
        if name in moves and new not in (None, tomogram.fiducials):
            continue
        beads = project.fiducials.get(name)
        if beads is not None:
            found[name] = beads.moved(moves[name]) if name in moves else beads
        elif name in moves and tomogram.fiducials is not None:
            raise ModelError(
                f"tomogram {name!r} names the fiducials {tomogram.fiducials!r}, which have not "
                "been read, so they cannot follow it; put the file there, or remove the entry"
            )
    return found


def _turns(project: Project, moves: Mapping[str, Array]) -> dict[str, Array]:
    """The rotations of trajectories, by particle name."""
    turns = {name: move[:3, :3] for name, move in moves.items()}
    where = _whereabouts(project) if turns else {}
    of: dict[str, Array] = {}
    for particle, tomograms in where.items():
        found = [turns.get(name, np.eye(3)) for name in tomograms]
        if any(not np.array_equal(turn, found[0]) for turn in found):
            raise ModelError(
                f"a particle of each of the tomograms {', '.join(map(repr, tomograms))} is called "
                f"{particle!r}, so they share a trajectory, which cannot turn with both; give the "
                "particles other names"
            )
        if tomograms[0] in turns:
            of[particle] = found[0]
    return of


def _whereabouts(project: Project) -> dict[str, list[str]]:
    """The tomograms of every trajectory that moves at all, by particle name."""
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
                "which tomogram it turns; give the particles that belong to the trajectories, or "
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
_ROWS = tuple(f"tomosetMove{row}" for row in "XYZW")
_COMMENT = "# new voxel = matrix of these rows @ old voxel, 0-based at bin 1"


def moves_to_star(moves: Mapping[str, Array]) -> star.StarFile:
    """The table of ``moves.star``: one tomogram a row, every number to its last bit.

    Examples
    --------
    >>> print(*star.dumps(moves_to_star({"001": geometry.translation([1, 2, 3])})).split()[-5:])
    001 [1,0,0,1] [0,1,0,2] [0,0,1,3] [0,0,0,1]
    """
    matrices = np.array(list(moves.values()), dtype=np.float64).reshape(-1, 4, 4)
    rows = {label: star.format_vectors(matrices[:, i], 17) for i, label in enumerate(_ROWS)}
    return star.StarFile((star.Table("moves", {_NAME: list(moves), **rows}, comments=(_COMMENT,)),))


def read_moves(path: str | os.PathLike[str]) -> dict[str, Array]:
    """The moves of ``moves.star``, as `move_project` takes them.

    Parameters
    ----------
    path : path-like
        As a program that moves tomograms has written it beside their set.

    Raises
    ------
    FileFormatError
        With the line: if it is something else, names a tomogram twice, or a matrix is of no
        rigid motion.

    Examples
    --------
    >>> import tempfile
    >>> path = os.path.join(tempfile.mkdtemp(), "moves.star")
    >>> star.write(moves_to_star({"001": geometry.rotation_x(5)}), path)
    >>> bool((read_moves(path)["001"] == geometry.rotation_x(5)).all())
    True
    """
    file = star.read(path)
    table = next((t for t in file.tables if _NAME in t and any(x in t for x in _ROWS)), None)
    if table is None:
        expected = ", ".join((_NAME, *_ROWS))
        raise MissingFieldError(f"no moves of tomograms: expected {expected}", path=path)
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
