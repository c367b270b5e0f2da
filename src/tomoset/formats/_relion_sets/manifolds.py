"""RELION's manifold sets: a table a tomogram, named like it (docs/relion.md, 'Manifolds').

Both dialects say the same: 0-based bin-1 voxels.
https://relion.readthedocs.io/en/release-5.0/Reference/STA/Datatypes/manifold_set.html
"""

from __future__ import annotations

import os
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from tomoset import star
from tomoset.errors import FileFormatError, LossyWarning, MissingFieldError, ModelError
from tomoset.formats._relion_labels import NO_TEXT
from tomoset.formats._relion_sets._links import unknown, unknown_message
from tomoset.formats._texts import VERSIONS
from tomoset.model import Manifold, ManifoldSet, TomogramSet

INDEX = "rlnTomoManifoldIndex"
KIND = "rlnTomoManifoldType"
PARAMS = "rlnTomoManifoldParams"
_LABELS = (INDEX, KIND, PARAMS)


@dataclass(frozen=True, kw_only=True, eq=False)
class ManifoldSource:
    """The file that manifolds came from, and what each of its tables said."""

    file: star.StarFile
    read: dict[str, tuple[Manifold, ...]]

    def joined(self, others: Sequence[ManifoldSource]) -> ManifoldSource:
        """The tables of several files; what is no manifold is the first one's."""
        read = dict(self.read)
        tables = list(self.file.tables)
        for other in others:
            tables += [t for t in other.file.tables if t.name in other.read and t.name not in read]
            read |= {name: found for name, found in other.read.items() if name not in read}
        return ManifoldSource(file=replace(self.file, tables=tuple(tables)), read=read)


def read_manifolds(path: str | os.PathLike[str], tomograms: TomogramSet) -> ManifoldSet:
    """Read the manifolds of every tomogram.

    Rows whose type is empty are no manifolds, as in RELION, but come back when written.

    Parameters
    ----------
    path : path-like
        ``manifolds.star``.
    tomograms : TomogramSet
        The set that the names of the tables refer to. Tables of others are left out with a
        warning.

    Raises
    ------
    FileFormatError
        With file and line: a type that is unknown, parameters that do not fit it, an index
        that occurs twice, no table of a tomogram.
    """
    file = star.read(path)
    tables = [table for table in file.tables if any(label in table for label in _LABELS)]
    if not tables:
        raise MissingFieldError(
            f"not a manifold set: expected tables with {', '.join(_LABELS)}, one a tomogram",
            path=path,
        )
    for name, count in Counter(table.name for table in tables).items():
        if count > 1:
            raise FileFormatError(f"{count} tables are called data_{name}; join them", path=path)
    lost = unknown((table.name for table in tables), tomograms)
    if len(lost) == len(tables):
        raise FileFormatError(
            f"data_{lost[0]}: {unknown_message(lost, tomograms)}",
            path=path,
            line=tables[0].line_of(0),
        )
    if lost:
        warnings.warn(
            f"{path}: {len(lost)} of {len(tables)} tables of manifolds are left out: "
            f"{unknown_message(lost, tomograms)}",
            LossyWarning,
            stacklevel=3,
        )
        file = replace(file, tables=tuple(t for t in file.tables if t.name not in set(lost)))
        tables = [table for table in tables if table.name in tomograms]
    read = {table.name: tuple(m for m in _rows(table) if m is not None) for table in tables}
    return ManifoldSet(read, source=ManifoldSource(file=file, read=read)).in_file(file.path)


def _rows(table: star.Table) -> list[Manifold | None]:
    """What each row says; None where its type is empty."""
    indices = table.ints(INDEX).tolist()
    kinds, params = table[KIND], table[PARAMS]
    out: list[Manifold | None] = []
    seen: set[int] = set()
    for row, (index, kind) in enumerate(zip(indices, kinds, strict=True)):
        if not kind:
            out.append(None)
            continue
        if index in seen:
            raise table.error(f"a second manifold has the index {index}", row, INDEX)
        seen.add(index)
        try:
            values = star.Table(table.name, {PARAMS: [params[row]]}).vectors(PARAMS)[0]
        except FileFormatError:
            wrong = f"expected numbers in brackets, like [x,y,z,r], found {params[row]!r}"
            raise table.error(wrong, row, PARAMS) from None
        try:
            out.append(Manifold(index=index, kind=kind, params=values))
        except ModelError as problem:
            label = PARAMS if "param" in str(problem) else KIND
            raise table.error(str(problem), row, label) from problem
    return out


def manifolds_to_star(manifolds: ManifoldSet, dialect: str) -> star.StarFile:
    """The tables of a manifold file; what nobody changed keeps its text."""
    source = manifolds.source if isinstance(manifolds.source, ManifoldSource) else None
    tables: list[star.Table] = []
    for table in () if source is None else source.file.tables:
        if source is None or table.name not in source.read or INDEX not in table:
            tables.append(table)
        elif table.name in manifolds:
            tables.append(_changed(table, source.read[table.name], manifolds[table.name]))
    done = {table.name for table in tables}
    new = [(name, found) for name, found in manifolds.items() if name not in done]
    tables += [_new_table(name, found, dialect) for name, found in new]
    comments = () if source is None else source.file.comments
    return star.StarFile(tuple(tables), comments=comments)


def _changed(table: star.Table, before: Sequence[Manifold], now: Sequence[Manifold]) -> star.Table:
    if len(before) == len(now) and all(map(_same, before, now)):
        return table
    rows = _rows(table)
    at = {m.index: row for row, m in enumerate(rows) if m is not None}
    lines = [_line(table, at.get(manifold.index), rows, manifold) for manifold in now]
    # Rows that are no manifolds stay where they stood.
    for row, manifold in enumerate(rows):
        if manifold is None:
            lines.insert(row, {label: texts[row] for label, texts in table.columns.items()})
    columns = {label: [line[label] for line in lines] for label in table.columns}
    return star.Table(table.name, columns, comments=table.comments)


def _line(
    table: star.Table, row: int | None, rows: Sequence[Manifold | None], manifold: Manifold
) -> dict[str, str]:
    old = None if row is None else rows[row]
    if row is None or old is None:
        return dict.fromkeys(table.columns, NO_TEXT) | _texts(manifold)
    line = {label: texts[row] for label, texts in table.columns.items()}
    new = _texts(manifold)
    changes = {KIND: old.kind != manifold.kind, PARAMS: not _same_params(old, manifold)}
    return line | {label: new[label] for label, changed in changes.items() if changed}


def _same(a: Manifold, b: Manifold) -> bool:
    return a.index == b.index and a.kind == b.kind and _same_params(a, b)


def _same_params(a: Manifold, b: Manifold) -> bool:
    return np.array_equal(a.params, b.params)


def _texts(manifold: Manifold) -> dict[str, str]:
    params = "[" + ",".join(map(star.format_number, manifold.params.tolist())) + "]"
    return {INDEX: str(manifold.index), KIND: manifold.kind, PARAMS: params}


def _new_table(name: str, manifolds: Sequence[Manifold], dialect: str) -> star.Table:
    lines = [_texts(manifold) for manifold in manifolds]
    columns = {label: [line[label] for line in lines] for label in _LABELS}
    return star.Table(name, columns, comments=(VERSIONS[dialect],))
