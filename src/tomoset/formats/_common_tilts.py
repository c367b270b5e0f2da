"""The tilt images that two sets have of one series."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tomoset.formats._matching import TOLERANCE, Side, key_of, match_tilts, stem_of
from tomoset.images.mrc import stack_path
from tomoset.model import Tomogram

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, eq=False)
class CommonTilts:
    """Rows of one tomogram and, in the same order, of the other; and how they were matched."""

    rows: Rows
    lines: Rows
    how: str


def common_tilts(one: Tomogram, other: Tomogram) -> CommonTilts:
    """The tilt images that are in both of two versions of a tomogram.

    Names of movies or images decide, else numbers in the same stack, else angles: then one of both
    has all images of the other.

    Raises
    ------
    FileFormatError
        If they cannot be matched.
    AmbiguityError
        If two ways fit equally well.
    """
    named = _common(_names(one), _names(other))
    if named is not None:
        return CommonTilts(rows=named[0], lines=named[1], how="by name")
    numbered = _common(_numbers(one), _numbers(other))
    if numbered is not None and _agree(one, other, *numbered):
        return CommonTilts(rows=numbered[0], lines=numbered[1], how="by number in the stack")
    fewer, more = (one, other) if one.n_tilts <= other.n_tilts else (other, one)
    exact = fewer.nominal_tilts is not None and more.nominal_tilts is not None
    match = match_tilts(
        _side(fewer, "the one set", exact=exact), _side(more, "the other set", exact=exact)
    )
    every = np.arange(fewer.n_tilts)
    rows, lines = (every, match.lines) if fewer is one else (match.lines, every)
    return CommonTilts(rows=rows, lines=lines, how="by angle")


def _common(ours: list[str], theirs: list[str]) -> tuple[Rows, Rows] | None:
    """Where the keys of both are; None if there are none, or a key stands for several images."""
    place = {key: line for line, key in enumerate(theirs)}
    rows = [row for row, key in enumerate(ours) if key in place]
    if not rows or len(place) < len(theirs) or len(set(ours)) < len(ours):
        return None
    return np.array(rows), np.array([place[ours[row]] for row in rows])


def _names(t: Tomogram) -> list[str]:
    return [key_of(stem_of(name)) for name in t.movies or t.images or ()]


def _numbers(t: Tomogram) -> list[str]:
    """Each image's number in its stack, with the stack's name."""
    if t.stack is None:
        return []
    index = range(t.n_tilts) if t.image_index is None else t.image_index.tolist()
    stem = stem_of(stack_path(t.stack))
    return [f"{section}@{stem}" for section in index]


def _agree(one: Tomogram, other: Tomogram, rows: Rows, lines: Rows) -> bool:
    """Whether the stage was the same where both sets say it."""
    if one.nominal_tilts is None or other.nominal_tilts is None:
        return True
    return bool((np.abs(one.nominal_tilts[rows] - other.nominal_tilts[lines]) <= TOLERANCE).all())


def _side(t: Tomogram, where: str, *, exact: bool) -> Side:
    angles = t.nominal_tilts if exact or not _aligned(t) else t.tilt_angles
    known = np.full(t.n_tilts, np.nan) if angles is None else np.asarray(angles)
    return Side(what=f"tomogram {t.name!r} of {where}", angles=known, exact=exact)


def _aligned(t: Tomogram) -> bool:
    return t.projections is not None or t.alignment is not None
