"""Rules of particles, against the tomograms that they are in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

import numpy as np
import numpy.typing as npt

from tomoset.errors import some_of
from tomoset.model import Project, VisibleTilts
from tomoset.model.particles import distinct
from tomoset.model.rules import Found

Array = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

#: No two molecules are so near one another [Å].
CLOSE = 10.0
#: Beyond which pixel sizes contradict each other (a fraction).
_PIXELS = 1e-3
_OPTICS = ("voltage", "spherical_aberration")


def outside(project: Project) -> Found:
    for name, at in _placed(project):
        size = project.tomograms[name].size
        if size is None:
            continue
        away = np.maximum(-0.5 - at, at - (np.array(size) - 0.5)).max(axis=1)
        n = int((away > 0).sum())
        if n:
            far = f"{n} of {len(at)} particles lie outside, by up to {away.max():.0f} voxels"
            guess = "; are they counted in a binned volume, or from another corner?"
            yield name, far + guess * (2 * n > len(at))


def _placed(project: Project) -> Iterator[tuple[str, Array]]:
    """Where each tomogram's particles are, without shifts [Å] where these have no pixel sizes."""
    particles = project.particles
    if particles is not None:
        at = particles.coordinates if particles.pixel_sizes is None else particles.positions
        yield from ((name, at[rows]) for name, rows in _by_tomogram(project))


def _by_tomogram(project: Project) -> list[tuple[str, Ints]]:
    """The rows of each tomogram's particles, those of no tomogram left out."""
    particles = project.particles
    every = {} if particles is None else particles.by_tomogram()
    return [(name, rows) for name, rows in every.items() if name in project.tomograms]


def close(project: Project) -> Found:
    """Particles nearer than `CLOSE` to another one; those of one place are said apart."""
    for name, places in _placed(project):
        pixel_size = project.tomograms[name].optics.pixel_size
        if pixel_size is None or len(places) < 2:
            continue
        at, times = np.unique(places, axis=0, return_counts=True)
        near = np.zeros(len(at), np.bool_)
        if len(at) > 1:
            from scipy.spatial import cKDTree

            limit = CLOSE / pixel_size
            near = np.isfinite(cKDTree(at).query(at, k=2, distance_upper_bound=limit)[0][:, 1])
        same = int(times[times > 1].sum())
        n = int(times[near | (times > 1)].sum())
        if n:
            yield (
                name,
                (
                    f"{n} of {len(places)} particles are within {CLOSE:g} Å of another one"
                    + f", {same} of them at the very same place" * (same > 0)
                ),
            )


def halves_unknown(project: Project) -> Found:
    if project.particles is not None and project.particles.halves is None:
        yield None, "the particles are in no half sets"


def halves_uneven(project: Project) -> Found:
    halves = None if project.particles is None else project.particles.halves
    if halves is None or len(halves) < 2:
        return
    ones = int(halves.sum())
    less = min(ones, len(halves) - ones)
    if less == 0 or (len(halves) >= 20 and less < 0.4 * len(halves)):
        yield None, f"the half sets have {len(halves) - ones} and {ones} particles"


def optics(project: Project) -> Found:
    """What optics groups of particles say, against their tomograms."""
    particles = project.particles
    for name, rows in _by_tomogram(project):
        if particles is None:
            return
        own, said = project.tomograms[name].optics, []
        if particles.pixel_sizes is not None and own.pixel_size is not None:
            sizes = particles.pixel_sizes[rows]
            worst = float(sizes[np.abs(sizes - own.pixel_size).argmax()])
            if abs(worst / own.pixel_size - 1) > _PIXELS:
                said.append(f"pixel size {worst:g} Å, the tomogram {own.pixel_size:g} Å")
        groups = particles.optics_groups
        for number in () if groups is None else np.unique(groups[rows]).tolist():
            group = particles.optics.get(number)
            for field in _OPTICS:
                mine, its = getattr(own, field), getattr(group, field, None)
                if None not in (mine, its) and abs(mine - its) > 1e-3 * abs(mine) + 1e-6:
                    what = field.replace("_", " ")
                    said.append(f"{what} {its:g} in optics group {number}, the tomogram {mine:g}")
        if said:
            yield name, f"its particles have {'; '.join(said)}"


def angles_unknown(project: Project) -> Found:
    angles = None if project.particles is None else project.particles.angles
    for name, rows in _by_tomogram(project):
        if angles is not None and (n := int(np.isnan(angles[rows]).any(axis=1).sum())):
            yield name, f"{n} of {len(rows)} particles have angles that are not known"


def unseen(project: Project) -> Found:
    """Masks that do not fit the tilt images, or show none."""
    particles = project.particles
    if particles is None or particles.visible is None:
        return
    masks = VisibleTilts.of(particles.visible)
    upto = np.concatenate([[0], np.cumsum(masks.flat)])
    seen, lengths = np.diff(upto[masks.starts]), masks.lengths
    for name, rows in _by_tomogram(project):
        n = project.tomograms[name].n_tilts
        wrong, none = int((lengths[rows] != n).sum()), int((seen[rows] == 0).sum())
        if wrong:
            said = f"{wrong} of {len(rows)} particles have visible tilts of another number"
            yield name, f"{said} than {n}"
        if none:
            yield name, f"{none} of {len(rows)} particles are visible in no tilt image"


def empty_tomograms(project: Project) -> Found:
    if project.particles is not None:
        held = set(project.particles.tomogram_names.tolist())
        empty = [name for name in project.tomograms if name not in held]
        if empty:
            yield None, f"there are no particles in {some_of(empty)}"


def repeated_rows(project: Project) -> Found:
    """Particles that are the same in all that is known of them, but their names."""
    if project.particles is not None:
        names = project.particles.tomogram_names[repeats(project)].tolist()
        for name, n in Counter(names).items():
            yield name, f"particles that equal an earlier one: {n}"


def repeats(project: Project) -> Ints:
    """Rows of particles that an earlier one equals, its trajectory too."""
    particles = project.particles
    if particles is None or len(particles) < 2:
        return np.empty(0, np.int64)
    columns = [distinct(particles.tomogram_names.tolist())[1][:, None], particles.coordinates]
    for name in ("origins", "subtomogram_angles", "angles", "halves", "classes", "scores"):
        value = getattr(particles, name)
        if value is not None:
            columns.append(value.reshape(len(particles), -1))
    if particles.optics_groups is not None:
        columns.append(particles.optics_groups[:, None])
    table = np.concatenate(columns, axis=1)
    _, first, group = np.unique(table, axis=0, return_index=True, return_inverse=True)
    of = first[group.ravel()]
    rows = np.flatnonzero(of != np.arange(len(particles)))
    names, motion = particles.particle_names, dict(project.trajectories or {})
    same = [
        _same_way(motion, str(names[a]), str(names[b])) for a, b in zip(rows, of[rows], strict=True)
    ]
    return np.asarray(rows[np.array(same, np.bool_)])


def _same_way(motion: Mapping[str, Array], one: str, other: str) -> bool:
    a, b = motion.get(one), motion.get(other)
    return a is b or (a is not None and b is not None and np.array_equal(a, b))
