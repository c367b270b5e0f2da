"""rlnTomoVisibleFrames: a vector of 0 and 1 for each particle, as masks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from tomoset import star
from tomoset.errors import FileFormatError, ModelError
from tomoset.formats._relion_sets._columns import VISIBLE
from tomoset.formats._relion_sets._links import Links
from tomoset.formats._texts import Mask, merge
from tomoset.model import ParticleSet, VisibleTilts

_ROWS = 1 << 16  # parsed at a time


def read_visible(table: star.Table, links: Links) -> VisibleTilts | None:
    """The masks; each must have a value for every tilt image of its tomogram."""
    if VISIBLE not in table:
        return None
    masks = parse_visible(table)
    problem = wrong_lengths(masks, links)
    if problem is not None:
        raise table.error(problem[1], problem[0], VISIBLE)
    return masks


def wrong_lengths(masks: VisibleTilts, links: Links) -> tuple[int, str] | None:
    """The first row whose mask does not fit its tomogram, and what to say of it."""
    expected = links.n_tilts[links.codes] if len(links.codes) else links.codes
    wrong = np.flatnonzero(masks.lengths != expected)
    if not len(wrong):
        return None
    row = int(wrong[0])
    name = links.tomograms[links.codes[row]].name
    return row, (
        f"expected {expected[row]} values, one for each tilt image of tomogram {name!r}, found "
        f"{masks.lengths[row]} ({len(wrong)} particles have such). Excluding tilt images makes "
        "the old vectors invalid: extract the particles again, or remove the column"
    )


def parse_visible(table: star.Table) -> VisibleTilts:
    """The masks of a column of vectors."""
    texts = table[VISIBLE]
    flat, lengths = [np.empty(0, np.bool_)], [np.empty(0, np.int64)]
    for begin in range(0, len(texts), _ROWS):
        part = list(texts[begin : begin + _ROWS])
        plain = _parse_plain(part)
        if plain is None:
            masks = [_parse_one(table, text, begin + i) for i, text in enumerate(part)]
            plain = np.concatenate(masks), np.array([len(m) for m in masks], dtype=np.int64)
        flat.append(plain[0])
        lengths.append(plain[1])
    starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(np.concatenate(lengths))])
    return VisibleTilts(np.concatenate(flat), starts)


def _parse_plain(texts: list[str]) -> tuple[Mask, npt.NDArray[np.int64]] | None:
    """All masks and their lengths, where every text is like ``[1,0,1]``; else None.

    A million particles of 41 tilt images have 41 million values: no loop may see each.
    """
    try:
        fixed = np.array(texts, dtype=np.bytes_)
    except UnicodeEncodeError:
        return None
    size = np.fromiter(map(len, texts), np.int64, len(texts))[:, None]
    if (size % 2 == 0).any() or fixed.itemsize < 3:
        return None
    letters = fixed.view(np.uint8).reshape(len(texts), fixed.itemsize)
    digits, marks = letters[:, 1::2], letters[:, 2::2]
    inside = 2 * np.arange(digits.shape[1]) + 1 < size
    place = 2 * np.arange(marks.shape[1]) + 2
    wanted = np.where(place < size - 1, ord(","), np.where(place == size - 1, ord("]"), 0))
    good = (letters[:, 0] == ord("[")).all() and (marks == wanted).all()
    if not good or not ((digits | 1) == ord("1"))[inside].all():
        return None
    return (digits == ord("1"))[inside], size[:, 0] // 2


def _parse_one(table: star.Table, text: str, row: int) -> Mask:
    try:
        values = star.Table(table.name, {VISIBLE: [text]}).vectors(VISIBLE)[0]
        if np.isin(values, (0, 1)).all():
            return np.asarray(values == 1)
    except FileFormatError:
        pass
    raise table.error(f"expected 0 and 1 in brackets, like [1,0,1], found {text!r}", row, VISIBLE)


def visible_texts(particles: ParticleSet, table: star.Table | None, links: Links) -> Sequence[str]:
    """The column of vectors; those that nobody changed as they were read."""
    masks = VisibleTilts.of(particles.visible or ())
    problem = wrong_lengths(masks, links)
    if problem is not None:
        raise ModelError(f"visible of particle {problem[0] + 1}: {problem[1]}")
    if table is None or VISIBLE not in table:
        return [_text(mask) for mask in masks]
    before = parse_visible(table)
    same = before.lengths == masks.lengths
    if same.all() and np.array_equal(before.flat, masks.flat):
        return table[VISIBLE]
    if same.all():
        differ = np.concatenate([np.zeros(1, np.int64), np.cumsum(before.flat != masks.flat)])
        same = np.diff(differ[before.starts]) == 0
    else:
        same = np.array([np.array_equal(a, b) for a, b in zip(before, masks, strict=True)])
    new = (_text(masks[row]) for row in np.flatnonzero(~same).tolist())
    return merge(table[VISIBLE], same, new)


def _text(mask: Mask) -> str:
    return "[" + ",".join("1" if seen else "0" for seen in mask.tolist()) + "]"
