"""The model written into RELION's tables; both dialects lay them out alike."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

from tomoset import star
from tomoset.formats._relion_labels import (
    EXCLUDED_REASON,
    EXCLUDED_ROW,
    NO_TEXT,
    GlobalColumn,
    TiltColumn,
    excluded_name,
    global_text,
    plain_text,
    tilt_texts,
)
from tomoset.model import Tomogram, TomogramSet
from tomoset.paths import Finder


def global_table(
    tomograms: TomogramSet,
    columns: Sequence[GlobalColumn],
    old: star.Table | None,
    *,
    version: str,
    finder: Finder,
    leave_out: Collection[str] = (),
) -> star.Table:
    """data_global: the columns of the old one in their order, then what is new.

    Columns that nobody knows come from the tomograms' sources; `leave_out` names those that
    mean nothing in this dialect.
    """
    texts: dict[str, list[str | None]] = {}
    if old is not None:
        texts = {label: [] for label in old.columns if label not in leave_out}
    for column in columns:
        found = [global_text(t, column, finder) for t in tomograms.values()]
        if any(text is not None for text in found):
            # A number that is none would be "empty", at which RELION stops.
            said = [
                (column.default if (v := column.get(t)) is None else v) for t in tomograms.values()
            ]
            pairs = zip(found, map(plain_text, said), strict=True)
            texts[column.label] = [v if text is None else text for text, v in pairs]
        else:
            texts.pop(column.label, None)
    known = {column.label for column in columns}
    for tomogram in tomograms.values():
        for label in () if tomogram.source is None else tomogram.source.row:
            if label not in known and label not in leave_out:
                texts.setdefault(label, [])
    filled = {
        label: [NO_TEXT if text is None else text for text in found or _kept(tomograms, label)]
        for label, found in texts.items()
    }
    is_loop = True if old is None else old.is_loop or len(tomograms) != 1
    comments = (version,) if old is None else old.comments
    return star.Table("global", filled, is_loop=is_loop, comments=comments)


def _kept(tomograms: TomogramSet, label: str) -> list[str | None]:
    sources = [t.source for t in tomograms.values()]
    return [None if source is None else source.row.get(label) for source in sources]


def tilt_table(
    tomogram: Tomogram,
    columns: Sequence[TiltColumn],
    old: star.Table | None,
    *,
    version: str,
    finder: Finder,
    own: Mapping[str, Sequence[str] | None] = MappingProxyType({}),
    leave_out: Collection[str] = (),
) -> star.Table:
    """The table of one tomogram: known columns, and what nobody knows but for `leave_out`.

    `own` are texts of columns that only this dialect writes so.
    """
    known = {**own, **{column.label: tilt_texts(tomogram, column, finder) for column in columns}}
    texts: dict[str, Sequence[str]] = {}
    for label, before in () if tomogram.source is None else tomogram.source.tilts.items():
        now = known.pop(label, None if label in leave_out else before)
        if now is not None:
            texts[label] = now
    texts |= {label: now for label, now in known.items() if now is not None}
    is_loop = True if old is None else old.is_loop or tomogram.n_tilts != 1
    comments = (version,) if old is None else old.comments
    return star.Table(tomogram.name, texts, is_loop=is_loop, comments=comments)


def exclusion_table(table: star.Table, tomogram: Tomogram) -> star.Table:
    """The table of what was taken out of a tomogram, made of that of those tilt images.

    It stands behind all that RELION looks at: RELION 4 reads as many tables as there are tomograms
    and ignores the rest (docs/relion.md, 'STAR text'), RELION 5 the one that has the tomogram's
    name.
    """
    own = {
        EXCLUDED_ROW: [str(exclusion.row + 1) for exclusion in tomogram.exclusions],
        EXCLUDED_REASON: [exclusion.reason for exclusion in tomogram.exclusions],
    }
    name = excluded_name(tomogram.name)
    return replace(table.with_columns(own), name=name, is_loop=True)
