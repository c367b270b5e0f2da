"""RELION 4's tomogram set: ``tomograms.star`` with data_global and one table a tomogram.

Specification section 2. Its matrices count voxels from 1; here they are brought to count
from 0, once, and back (`geometry.from_one_based`).
https://relion.readthedocs.io/en/release-4.0/Reference/STA/Datatypes/tomogram_set.html
"""

from __future__ import annotations

import os
import warnings
from collections import Counter
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from tomoset import geometry, star
from tomoset.errors import (
    AssumptionWarning,
    FileFormatError,
    MissingFieldError,
    ModelError,
)
from tomoset.formats._format import Format
from tomoset.formats._relion_labels import (
    DEFORMATION_COEFFICIENTS,
    GLOBAL_COLUMNS,
    IMAGE_NAME,
    NO_TEXT,
    PROJECTION_LABELS,
    TILT_COLUMNS,
    coefficient_texts,
    deformation_columns,
    global_text,
    image_names,
    pick,
    plain_text,
    read_floats,
    same_rows,
    tilt_texts,
    vector_texts,
)
from tomoset.formats._relion_rows import (
    GlobalRow,
    check_count,
    check_stack,
    find_stack,
    image_index,
    read_deformation,
)
from tomoset.model import Source, Tomogram, TomogramSet

NAME = "relion4"
_VERSION = "# version 30001"

Array = npt.NDArray[np.float64]


def detect(text: star.StarFile) -> bool:
    """Whether some table names tomograms, and no other file holds their tilt images."""
    return any("rlnTomoName" in t and _is_global(t) for t in text.tables)


def _is_global(table: star.Table) -> bool:
    return (
        table.name == "global" or "rlnTomoFrameCount" in table
    ) and "rlnTomoTiltSeriesStarFile" not in table


def read(text: star.StarFile) -> TomogramSet:
    """A set from the tables of ``tomograms.star``; its tables are matched by name."""
    table = next(t for t in text.tables if "rlnTomoName" in t and _is_global(t))
    _refuse_duplicates(text, table)
    tomograms = [
        _read_tomogram(text, table, row, name) for row, name in enumerate(table["rlnTomoName"])
    ]
    return TomogramSet(tomograms, format=NAME, source=text)


def _refuse_duplicates(text: star.StarFile, table: star.Table) -> None:
    names = list(table["rlnTomoName"])
    for name, count in Counter(names).items():
        if count > 1:
            row = len(names) - 1 - names[::-1].index(name)
            raise table.error(
                f"{count} tomograms are called {name!r}; names are what particles refer to, "
                "so each may occur only once",
                row=row,
            )
    blocks = Counter(t.name for t in text.tables if t is not table)
    for name in names:
        if blocks[name] > 1:
            raise FileFormatError(
                f"{blocks[name]} tables are called data_{name}; expected one", path=text.path
            )


def _tilt_table(text: star.StarFile, table: star.Table, row: int, name: str) -> star.Table:
    others = [t for t in text.tables if t is not table]
    for other in others:
        if other.name == name:
            return other
    legacy = f"tomo_{row}"  # before RELION 4.0's release tables were numbered, from 0
    for other in others:
        if other.name == legacy:
            warnings.warn(
                f"{text.path}: table data_{legacy} taken for tomogram {name!r}, by its place: "
                "the file has the legacy names of tables",
                AssumptionWarning,
                stacklevel=2,
            )
            return other
    found = ", ".join(f"data_{t.name}" for t in others[:6]) + (" ..." if len(others) > 6 else "")
    raise MissingFieldError(
        f"tomogram {name!r} has no table: expected data_{name}, found {found or 'no other table'}",
        path=text.path,
        line=table.line_of(row),
    )


def _read_tomogram(text: star.StarFile, table: star.Table, row: int, name: str) -> Tomogram:
    tilts = _tilt_table(text, table, row, name)
    reader = GlobalRow(table, row)
    check_count(reader, tilts)
    stack = reader.text("rlnTomoTiltSeriesName")
    header = find_stack(stack, text.path)
    index = image_index(tilts)
    check_stack(reader, len(tilts), header, index)
    columns: dict[str, Any] = {c.field: read_floats(tilts, c.label) for c in TILT_COLUMNS}
    projections = _read_projections(tilts)
    values = {c.label: v for c in TILT_COLUMNS if (v := columns[c.field]) is not None}
    if projections is not None:
        values[PROJECTION_LABELS[0]] = projections
    fiducials = reader.text("rlnTomoFiducialsStarFile")
    size, slope = reader.size(), reader.number("rlnTomoDefocusSlope")
    try:
        return Tomogram(
            name=name,
            n_tilts=len(tilts),
            optics=reader.optics(),
            hand=reader.hand(),
            stack=stack,
            image_index=index,
            image_size=None if header is None else header.size[:2],
            size=size,
            projections=projections,
            fractional_dose=reader.number("rlnTomoImportFractionalDose"),
            defocus_slope=1.0 if slope is None else slope,
            depth_origin=None if size is None else np.asarray(size) / 2 - 1,
            fiducials=None if fiducials in ("", NO_TEXT) else fiducials,
            deformation=read_deformation(reader, tilts),
            source=Source(
                format=NAME,
                row={label: texts[row] for label, texts in table.columns.items()},
                tilts=tilts.columns,
                values=values,
            ),
            **columns,
        )
    except ModelError as problem:
        raise FileFormatError(str(problem), path=text.path, line=table.line_of(row)) from problem


def _read_projections(tilts: star.Table) -> Array | None:
    present = [label for label in PROJECTION_LABELS if label in tilts]
    if not present:
        return None
    rows = [tilts.vectors(label, 4) for label in PROJECTION_LABELS]
    projections = geometry.from_one_based(np.stack(rows, axis=1))
    projections.flags.writeable = False
    return projections


def write(tomograms: TomogramSet, path: str | os.PathLike[str]) -> None:
    """Write ``tomograms.star``, as RELION 4.0.1 and 5.0.1 read it, whole or not at all."""
    star.write(to_star(tomograms), path)


def to_star(tomograms: TomogramSet) -> star.StarFile:
    """The set as tables: those of its file, in their order, with what has changed."""
    old = tomograms.source if isinstance(tomograms.source, star.StarFile) else None
    bent = any(t.deformation for t in tomograms.values())
    tables = {t.name: _table_for(t, old, bent=bent) for t in tomograms.values()}
    if old is None:
        return star.StarFile((_global_table(tomograms, None), *tables.values()))
    template = next((t for t in old.tables if "rlnTomoName" in t and _is_global(t)), None)
    written: list[star.Table] = []
    gone = set() if template is None else set(template["rlnTomoName"]) - set(tables)
    for table in old.tables:
        if table is template:
            written += [_global_table(tomograms, table)]
        elif table.name in tables:
            written += [tables.pop(table.name)]
        elif table.name not in gone and not table.name.startswith("tomo_"):
            written += [table]
    if template is None:
        written.insert(0, _global_table(tomograms, None))
    return star.StarFile((*written, *tables.values()), comments=old.comments, path=old.path)


def _global_table(tomograms: TomogramSet, old: star.Table | None) -> star.Table:
    columns: dict[str, list[str | None]] = {}
    if old is not None:
        columns = {label: [] for label in old.columns}
    for column in GLOBAL_COLUMNS:
        texts = [global_text(t, column) for t in tomograms.values()]
        if any(text is not None for text in texts):
            values = [plain_text(column.get(t)) for t in tomograms.values()]
            pairs = zip(texts, values, strict=True)
            columns[column.label] = [v if t is None else t for t, v in pairs]
        else:
            columns.pop(column.label, None)
    columns |= deformation_columns(tomograms)
    for tomogram in tomograms.values():
        for label in () if tomogram.source is None else tomogram.source.row:
            columns.setdefault(label, [])
    for label, texts in columns.items():
        if not texts:
            columns[label] = [
                None if t.source is None else t.source.row.get(label) for t in tomograms.values()
            ]
    filled = {
        label: [NO_TEXT if text is None else text for text in texts]
        for label, texts in columns.items()
    }
    is_loop = True if old is None else old.is_loop or len(tomograms) != 1
    comments = (_VERSION,) if old is None else old.comments
    return star.Table("global", filled, is_loop=is_loop, comments=comments)


def _table_for(tomogram: Tomogram, old: star.StarFile | None, *, bent: bool) -> star.Table:
    source = tomogram.source
    known: dict[str, Sequence[str] | None] = dict(_projection_texts(tomogram))
    for column in TILT_COLUMNS:
        known[column.label] = tilt_texts(tomogram, column)
    known[DEFORMATION_COEFFICIENTS] = coefficient_texts(tomogram, needed=bent)
    named = source is not None and IMAGE_NAME in source.tilts
    if tomogram.image_index is not None and tomogram.stack is not None and not named:
        known[IMAGE_NAME] = image_names(tomogram.stack, tomogram.image_index)
    columns: dict[str, Sequence[str]] = {}
    for label, texts in () if source is None else source.tilts.items():
        now = known.pop(label, texts)
        if now is not None:
            columns[label] = now
    columns |= {label: texts for label, texts in known.items() if texts is not None}
    previous = (
        None if old is None else next((t for t in old.tables if t.name == tomogram.name), None)
    )
    return star.Table(
        tomogram.name,
        columns,
        is_loop=True if previous is None else previous.is_loop or tomogram.n_tilts != 1,
        comments=(_VERSION,) if previous is None else previous.comments,
    )


def _projection_texts(tomogram: Tomogram) -> dict[str, Sequence[str] | None]:
    projections, source = tomogram.projections, tomogram.source
    if projections is None:
        return dict.fromkeys(PROJECTION_LABELS)
    has_old = source is not None and all(label in source.tilts for label in PROJECTION_LABELS)
    if source is not None and has_old and source.values.get(PROJECTION_LABELS[0]) is projections:
        return {label: source.tilts[label] for label in PROJECTION_LABELS}
    matrices = geometry.to_one_based(projections)
    texts = {label: vector_texts(matrices[:, i]) for i, label in enumerate(PROJECTION_LABELS)}
    if source is None or not has_old:
        return dict(texts)
    old = _read_projections(
        star.Table(tomogram.name, {label: source.tilts[label] for label in texts})
    )
    keep = same_rows(projections, projections if old is None else old)
    return {label: pick(source.tilts[label], new, keep) for label, new in texts.items()}


RELION4 = Format(
    name=NAME,
    package="RELION 4",
    url="https://relion.readthedocs.io/en/release-4.0/",
    detect=detect,
    read=read,
    write=write,
)
