"""Optics groups of particles: ``data_optics`` (docs/relion.md, 'Particles')."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np

from tomoset import star
from tomoset.errors import AssumptionWarning, ModelError
from tomoset.formats._numbers import UNKNOWN, possible_floats
from tomoset.formats._relion_labels import LABELS, plain_text
from tomoset.formats._relion_optics import (
    ABERRATIONS,
    CONTRAST,
    CS,
    NAME,
    PIXEL,
    USUAL,
    VOLTAGE,
    read_aberrations,
)
from tomoset.formats._relion_sets._columns import GROUP, ParticleSource, optics_of
from tomoset.formats._relion_sets._links import Links
from tomoset.formats._texts import VERSIONS, Array, Ints, int_texts, merge
from tomoset.model import Optics, ParticleSet

_COLUMNS = (*USUAL, *ABERRATIONS)
_PLAIN = Optics(pixel_size=None)


def read_optics(
    optics: star.Table | None, particles: star.Table, links: Links
) -> tuple[Ints | None, Array | None, dict[int, Optics]]:
    """Group and pixel size [Å] of every particle, None where no one says it; and the groups.

    The pixel size is that of the optics group if there is one, else the tomogram's
    (docs/relion.md, 'Particles of RELION 5'). So is what else a group does not say.
    """
    own = links.pixel_sizes[links.codes]
    groups = particles.ints(GROUP) if GROUP in particles else None
    if optics is None:
        return groups, None if np.isnan(own).any() else own, {}
    rows = _rows(optics, particles, groups)
    if PIXEL not in optics:
        warnings.warn(
            f"{optics.path}: data_optics has no _{PIXEL}, which RELION asks for; that of the "
            "tomograms is taken",
            AssumptionWarning,
            stacklevel=2,
        )
        return groups, None if np.isnan(own).any() else own, _groups(optics, rows, links)
    sizes = possible_floats(optics, PIXEL, "pixel_size")
    _compare(optics, sizes, rows, links)
    return groups, sizes[rows], _groups(optics, rows, links)


def _groups(optics: star.Table, rows: Ints, links: Links) -> dict[int, Optics]:
    """What each group says, and else the first tomogram that has particles of it."""
    first = dict(zip(*(a.tolist() for a in np.unique(rows, return_index=True)), strict=True))
    found: dict[int, Optics] = {}
    floats = cache(optics.floats)
    for row, number in enumerate(optics.ints(GROUP).tolist()):
        like = _PLAIN
        if links.tomograms:
            like = links.tomograms[links.codes[first[row]] if row in first else 0].optics
        try:
            found[number] = _group(optics, row, like, floats)
        except ModelError as problem:
            label = LABELS.get(getattr(problem, "field", ""))
            raise optics.error(str(problem), row, label) from problem
    return found


def _group(optics: star.Table, row: int, like: Optics, floats: Callable[[str], Array]) -> Optics:
    def number(label: str, default: Any) -> Any:
        value = float(floats(label)[row]) if label in optics else UNKNOWN
        return default if value == UNKNOWN or math.isnan(value) else value

    return Optics(
        pixel_size=number(PIXEL, like.pixel_size),
        voltage=number(VOLTAGE, like.voltage),
        spherical_aberration=number(CS, like.spherical_aberration),
        amplitude_contrast=number(CONTRAST, like.amplitude_contrast),
        group=optics[NAME][row] if NAME in optics else like.group,
        **read_aberrations(optics, row, number),
    )


def _rows(optics: star.Table, particles: star.Table, groups: Ints | None) -> Ints:
    """Which row of data_optics each particle means."""
    numbers = optics.ints(GROUP)
    _, firsts = np.unique(numbers, return_index=True)
    if len(firsts) != len(numbers):
        row = int(np.setdiff1d(np.arange(len(numbers)), firsts)[0])
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
    particles: ParticleSet, source: ParticleSource | None, links: Links, dialect: str
) -> tuple[star.Table, Ints]:
    """data_optics to be written, and the group of every particle.

    What a group has always said keeps its text. What it never said is left out, but for what
    RELION cannot do without, or compares with the tomograms: in another dialect that is written
    too. A group that is new has what nobody knows from the first one.
    """
    old = None if source is None else optics_of(source.file)
    optics, groups = _numbered(particles, links)
    sizes, known = _sizes(particles, groups), links.pixel_sizes[np.isfinite(links.pixel_sizes)]
    usual = float(known[0]) if len(known) else np.nan
    for number in optics:
        size = sizes.get(number, optics[number].pixel_size or usual)
        if old is None and np.isnan(size):
            raise ModelError(f"the pixel size of optics group {number} is not known")
        optics[number] = replace(optics[number], pixel_size=None if np.isnan(size) else size)
    if source is None or old is None:
        table = star.Table("optics", {}, comments=(VERSIONS[dialect],))
        return table.with_columns(_texts(optics, {}, None, complete=True)), groups
    place = {number: row for row, number in enumerate(old.ints(GROUP).tolist())}
    rows = [place.get(number, 0) for number in optics]
    if rows != list(range(len(old))):
        old = old.take(rows)
    complete = source.dialect != dialect
    return old.with_columns(_texts(optics, source.optics, old, complete=complete)), groups


def _numbered(particles: ParticleSet, links: Links) -> tuple[dict[int, Optics], Ints]:
    """The groups, of which there is one for each microscope if nobody says another."""
    optics, groups = dict(particles.optics), particles.optics_groups
    if optics:
        if groups is None:
            groups = np.full(len(particles), next(iter(optics)), np.int64)
        lost = np.setdiff1d(groups, list(optics))
        if len(lost):
            raise ModelError(
                f"there is no optics group {lost[0]}, only {', '.join(map(str, optics))}: give it "
                "in ParticleSet.optics"
            )
        return optics, groups
    if groups is None:
        kinds: dict[Optics, int] = {}
        for tomogram in links.tomograms:
            kinds.setdefault(tomogram.optics, len(kinds) + 1)
        groups = np.array([kinds[t.optics] for t in links.tomograms], dtype=np.int64)[links.codes]
    first = np.unique(groups, return_index=True)
    for number, row in zip(*(a.tolist() for a in first), strict=True):
        optics[number] = links.tomograms[links.codes[row]].optics
    if len({o.group for o in optics.values()}) < len(optics):
        optics = {n: replace(o, group=f"opticsGroup{n}") for n, o in optics.items()}
    return optics, groups


def _sizes(particles: ParticleSet, groups: Ints) -> dict[int, float]:
    """The pixel size of each group, as its particles say it [Å]."""
    if particles.pixel_sizes is None:
        return {}
    numbers, first, which = np.unique(groups, return_index=True, return_inverse=True)
    sizes = particles.pixel_sizes
    differ = np.flatnonzero(sizes != sizes[first[which]])
    if len(differ):
        group = groups[differ[0]]
        mine = sizes[groups == group]
        raise ModelError(
            f"particles of optics group {group} have pixel sizes from {mine.min():g} to "
            f"{mine.max():g} Å; a group has one, so give them other groups"
        )
    return dict(zip(numbers.tolist(), sizes[first].tolist(), strict=True))


def _texts(
    optics: Mapping[int, Optics],
    before: Mapping[int, Optics],
    old: star.Table | None,
    *,
    complete: bool,
) -> dict[str, Sequence[str]]:
    """The columns that the model knows; `before` is what the rows of `old` were read as."""
    columns = {GROUP: int_texts(old, GROUP, np.array(list(optics), np.int64))}
    for column in _COLUMNS:
        now = [column.get(o) for o in optics.values()]
        then = [column.get(before.get(number, _PLAIN)) for number in optics]
        there = None if old is None else old.get(column.label)
        needed = column in USUAL and (complete or column.label == PIXEL)
        if None in now or (there is None and now == then and not needed):
            continue
        same = np.array(
            [n in before and a == b for n, a, b in zip(optics, now, then, strict=True)], np.bool_
        )
        # As many coefficients as the groups that have some.
        none = (0.0,) * max((len(v) for v in now if isinstance(v, tuple)), default=0)
        new = [
            plain_text(none if value == () else value) or ""
            for value, keep in zip(now, same, strict=True)
            if not keep or there is None
        ]
        columns[column.label] = new if there is None else merge(there, same, new)
    return columns
