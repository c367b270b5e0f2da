"""Optics groups of particles: ``data_optics`` (specification 7.1)."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from tomoset import star
from tomoset.errors import AssumptionWarning, ModelError
from tomoset.formats._relion_sets._links import Links
from tomoset.formats._relion_sets._texts import VERSIONS, Array, Ints, float_texts
from tomoset.model import Optics, ParticleSet

GROUP = "rlnOpticsGroup"
PIXEL = "rlnTomoTiltSeriesPixelSize"

#: What RELION checks against the tomogram, and where the tomogram says it.
_OF_TOMOGRAM = {
    "rlnVoltage": "voltage",
    "rlnSphericalAberration": "spherical_aberration",
    "rlnAmplitudeContrast": "amplitude_contrast",
}


def optics_of(file: star.StarFile | None) -> star.Table | None:
    """The table of optics groups, if there is one that says something."""
    if file is None or "optics" not in file or not len(file["optics"]):
        return None
    return file["optics"]


def read_optics(
    optics: star.Table | None, particles: star.Table, links: Links
) -> tuple[Ints | None, Array | None]:
    """Group and pixel size [Å] of every particle, None where no one says it.

    The pixel size is that of the optics group if there is one, else the tomogram's
    (specification 3.4).
    """
    own = links.pixel_sizes[links.codes]
    groups = particles.ints(GROUP) if GROUP in particles else None
    if optics is None:
        return groups, None if np.isnan(own).any() else own
    rows = _rows(optics, particles, groups)
    if PIXEL not in optics:
        warnings.warn(
            f"{optics.path}: data_optics has no _{PIXEL}, which RELION asks for; that of the "
            "tomograms is taken",
            AssumptionWarning,
            stacklevel=2,
        )
        return groups, None if np.isnan(own).any() else own
    sizes = optics.floats(PIXEL)
    bad = np.flatnonzero(~((sizes > 0) & np.isfinite(sizes)))
    if len(bad):
        found = f"expected a pixel size above 0 Å, found {sizes[bad[0]]:g}"
        raise optics.error(found, int(bad[0]), PIXEL)
    _compare(optics, sizes, rows, links)
    return groups, sizes[rows]


def _rows(optics: star.Table, particles: star.Table, groups: Ints | None) -> Ints:
    """Which row of data_optics each particle means."""
    numbers = optics.ints(GROUP)
    if len(np.unique(numbers)) != len(numbers):
        row = next(i for i, n in enumerate(numbers.tolist()) if n in numbers[:i])
        raise optics.error(f"a second optics group has the number {numbers[row]}", row, GROUP)
    if groups is None:
        if len(numbers) > 1:
            raise particles.error(
                f"there are {len(numbers)} optics groups but no _{GROUP}; add that column"
            )
        warnings.warn(
            f"{particles.path}: data_{particles.name} has no _{GROUP}; all are taken to be of "
            f"the only group, {numbers[0]}",
            AssumptionWarning,
            stacklevel=3,
        )
        return np.zeros(len(particles), np.int64)
    order = np.argsort(numbers)
    place = np.minimum(np.searchsorted(numbers[order], groups), len(numbers) - 1)
    rows = order[place]
    wrong = np.flatnonzero(numbers[rows] != groups)
    if len(wrong):
        row = int(wrong[0])
        raise particles.error(
            f"data_optics has no group {groups[row]}, only {', '.join(map(str, numbers))} "
            f"({len(wrong)} particles are of such groups); add its row",
            row,
            GROUP,
        )
    return np.asarray(rows, dtype=np.int64)


def _compare(optics: star.Table, sizes: Array, rows: Ints, links: Links) -> None:
    own = links.pixel_sizes
    for pair in np.unique(links.codes * len(sizes) + rows).tolist():
        tomogram, group = divmod(pair, len(sizes))
        if abs(sizes[group] - own[tomogram]) > 1e-3 * own[tomogram]:
            name, line = links.tomograms[tomogram].name, optics.line_of(group)
            warnings.warn(
                f"{optics.path}:{line}: optics group {optics[GROUP][group]} has {sizes[group]:g} Å "
                f"a pixel, but tomogram {name!r} {own[tomogram]:g}; that of the group is used. "
                "RELION refuses such particles: correct the one that is wrong",
                AssumptionWarning,
                stacklevel=3,
            )


def optics_table(
    particles: ParticleSet, old: star.Table | None, links: Links, *, dialect: str, complete: bool
) -> tuple[star.Table, Ints]:
    """data_optics to be written, and the group of every particle.

    `complete` adds what the tomograms know and RELION checks; else only the pixel size, which
    both RELION 4 and 5 cannot do without.
    """
    if old is None:
        return _new_table(particles, links, dialect)
    numbers = old.ints(GROUP)
    groups = particles.optics_groups
    if groups is None:
        groups = np.full(len(particles), numbers[0], np.int64)
    lost = np.setdiff1d(groups, numbers)
    if len(lost):
        raise ModelError(f"the particles' file has no optics group {lost[0]}, only {numbers}")
    sizes = old.floats(PIXEL) if PIXEL in old else np.full(len(old), _any_size(links))
    typical: list[Optics] = [t.optics for t in links.tomograms[:1]] * len(old)
    for row, number in enumerate(numbers.tolist()):
        mine = np.flatnonzero(groups == number)
        if len(mine):
            typical[row] = links.tomograms[links.codes[mine[0]]].optics
            sizes[row] = _one_size(particles, mine, number, sizes[row])
    columns: dict[str, Sequence[str]] = {}
    if np.isfinite(sizes).all():
        columns[PIXEL] = float_texts(old, PIXEL, sizes)
    for label, field in _OF_TOMOGRAM.items():
        if complete and label not in old and typical:
            columns[label] = [star.format_number(getattr(o, field)) for o in typical]
    return old.with_columns(columns), groups


def _any_size(links: Links) -> float:
    known = links.pixel_sizes[np.isfinite(links.pixel_sizes)]
    return float(known[0]) if len(known) else np.nan


def _one_size(particles: ParticleSet, rows: Ints, group: int, default: float) -> float:
    if particles.pixel_sizes is None:
        return default
    sizes = particles.pixel_sizes[rows]
    if (sizes != sizes[0]).any():
        raise ModelError(
            f"particles of optics group {group} have pixel sizes from {sizes.min():g} to "
            f"{sizes.max():g} Å; a group has one, so give them other groups"
        )
    return float(sizes[0])


def _new_table(particles: ParticleSet, links: Links, dialect: str) -> tuple[star.Table, Ints]:
    """A table where there was none: a group for each microscope the tomograms know."""
    kinds: dict[Optics, int] = {}
    for tomogram in links.tomograms:
        kinds.setdefault(tomogram.optics, len(kinds) + 1)
    numbers = np.array([kinds[t.optics] for t in links.tomograms], dtype=np.int64)
    groups = numbers[links.codes]
    of_group = {number: optics for optics, number in kinds.items()}
    if particles.optics_groups is not None:
        groups = particles.optics_groups
        first = np.unique(groups, return_index=True)
        of_group = {
            number: links.tomograms[links.codes[row]].optics
            for number, row in zip(*(a.tolist() for a in first), strict=True)
        }
    for number, optics in of_group.items():
        mine = np.flatnonzero(groups == number)
        size = _one_size(particles, mine, number, optics.pixel_size or np.nan)
        if np.isnan(size):
            raise ModelError(f"the pixel size of optics group {number} is not known")
        of_group[number] = replace(optics, pixel_size=size)
    names = [optics.group for optics in of_group.values()]
    if len(set(names)) < len(names):
        names = [f"opticsGroup{number}" for number in of_group]
    columns = {
        GROUP: [str(number) for number in of_group],
        "rlnOpticsGroupName": names,
        PIXEL: [star.format_number(o.pixel_size or 0) for o in of_group.values()],
    }
    for label, field in _OF_TOMOGRAM.items():
        columns[label] = [star.format_number(getattr(o, field)) for o in of_group.values()]
    return star.Table("optics", columns, comments=(VERSIONS[dialect],)), groups
