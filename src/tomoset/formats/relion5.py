"""RELION 5's tomogram set: data_global, and one STAR file for each tilt series.

docs/relion.md, 'RELION 5'. Its alignment is rigid: angles and shifts instead of matrices. Voxels
are counted from 0, as ours.
https://relion.readthedocs.io/en/release-5.0/
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from tomoset import geometry, star
from tomoset.errors import (
    MissingFieldError,
    ModelError,
    UnsupportedError,
)
from tomoset.files import together
from tomoset.formats._files import refuse_unless_set
from tomoset.formats._relion import (
    ROWS_IN_ORDER,
    SEVERAL_TILTS,
    Labelled,
    Relion,
    find_global,
    needs_of,
    refuse_repeated,
)
from tomoset.formats._relion_labels import (
    ALIGNMENT_LABELS,
    ANGLES,
    FRAME_COUNT,
    GLOBAL_COLUMNS,
    IMAGE_NAME,
    PROJECTION_LABELS,
    STACK,
    STAR_FILE,
    TILT_COLUMNS,
    TiltColumn,
    excluded_name,
    image_texts,
    poses,
    recorded,
    with_deformations,
)
from tomoset.formats._relion_rigid import (
    compare_matrices,
    loss_of,
    upright,
    within,
)
from tomoset.formats._relion_rows import (
    GlobalRow,
    check_count,
    check_images,
    read_alignment,
    read_common,
    source_of,
    with_exclusions,
)
from tomoset.formats._relion_series import own_tables, series_file, without_series
from tomoset.formats._relion_tables import exclusion_table, global_table, tilt_table
from tomoset.formats._texts import merge, number_texts, same_entries, vector_texts
from tomoset.formats._words import Failures, Loss, StrPath, Tolerance, part
from tomoset.model import Tomogram, TomogramSet
from tomoset.model.project import Project
from tomoset.paths import Finder, file_names, from_here

NAME = "relion5"
_VERSION = "# version 50001"
_DOSE = "rlnMicrographPreExposure"

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Files:
    """The STAR files that a set was read from: the global one, and one for each tomogram.

    `table`, of the global one, lists the tomograms.
    """

    head: star.StarFile
    table: star.Table
    series: dict[str, star.StarFile]


def _read(text: star.StarFile, table: star.Table, bad: Failures) -> TomogramSet:
    """A set from its global file; the files of its tilt series are found from it.

    Where it names none its own tables are the tilt series, as WarpTools writes them.
    """
    series: dict[str, star.StarFile] = {}
    head, finder, tomograms = without_series(text, table), Finder(text.path), []
    own = {t.name: t for t in reversed(text.tables) if t is not table}
    for row, name in enumerate(table["rlnTomoName"]):
        if name in series:
            raise table.error(
                f"two tomograms are called {name!r}; names are what particles refer to, so each "
                "may occur only once",
                row=row,
            )
        with part(bad, name):
            if head is text:
                series[name] = series_file(table, row, name, finder)
            else:
                series[name] = own_tables(text, own, (name, excluded_name(name)))
            tomograms.append(_read_tomogram(GlobalRow(table, row, finder), series[name], name))
    every = dict.fromkeys(file.path for file in (text, *series.values()))
    files = [path for path in every if path is not None]
    return TomogramSet(tomograms, format=NAME, files=files, source=Files(head, table, series))


def _read_tomogram(reader: GlobalRow, file: star.StarFile, name: str) -> Tomogram:
    refuse_repeated(file.tables, [name], file.path)
    tilts = next((t for t in file.tables if t.name == name), None)
    if tilts is None:
        raise MissingFieldError(
            f"tomogram {name!r}: expected a table data_{name}, found "
            + (", ".join(f"data_{t.name}" for t in file.tables) or "none"),
            path=file.path,
        )
    if _DOSE not in tilts:
        raise MissingFieldError(
            f"tomogram {name!r}: RELION 5 needs a column {_DOSE}, found {', '.join(tilts.labels)}",
            path=file.path,
        )
    check_count(reader, tilts)
    tomogram = _read_table(reader, tilts, name)
    out = next((t for t in file.tables if t.name == excluded_name(name)), None)
    if out is None:
        return tomogram
    return with_exclusions(tomogram, out, _read_table(reader, out, name))


def _read_table(reader: GlobalRow, tilts: star.Table, name: str) -> Tomogram:
    size = reader.size()
    origin = None if size is None else np.asarray(size) / 2
    tomogram = read_common(reader, tilts, name, depth_origin=origin)
    if tomogram.images is not None:
        tomogram = replace(tomogram, image_size=check_images(tomogram.images, tilts))
    with reader.errors(tilts):
        tomogram = _with_alignment(tomogram, tilts)
    return recorded(tomogram, source_of(reader, tilts, NAME), _COLUMNS, _READ_COLUMNS)


def _with_alignment(tomogram: Tomogram, tilts: star.Table) -> Tomogram:
    """Projections from angles and shifts, or from matrices, which RELION 5 prefers."""
    alignment = read_alignment(tilts)
    placed = replace(tomogram, alignment=alignment)
    if alignment is not None and not alignment.directions_only:
        placed = placed.placed()
    if not any(label in tilts for label in PROJECTION_LABELS):
        return placed
    matrices = np.stack([tilts.vectors(label, 4) for label in PROJECTION_LABELS], axis=1)
    compare_matrices(placed, matrices)
    return replace(tomogram, projections=matrices)


def _as_read(tomogram: Tomogram, label: str) -> bool:
    """Whether the file has such a column, and the alignment is still the one that it says."""
    source, now = tomogram.source, poses(tomogram)
    if source is None or source.format != NAME or label not in source.tilts or now is None:
        return False
    return bool(same_entries(source.tilt_values[label], now).all())


def _named_in_rows(tomogram: Tomogram) -> bool:
    """Whether the file names images row by row and no stack in data_global."""
    source = tomogram.source
    return (
        source is not None
        and source.format == NAME
        and IMAGE_NAME in source.tilts
        and STACK not in source.row
    )


def _has_stack(tomogram: Tomogram) -> bool:
    """Whether data_global may name the stack: RELION 5 then takes row i for image i of it."""
    index = tomogram.image_index
    return (
        tomogram.stack is not None
        and tomogram.images is None
        and (index is None or np.array_equal(index, np.arange(tomogram.n_tilts)))
        and not _named_in_rows(tomogram)
    )


def _as_named(tomogram: Tomogram) -> bool:
    """Whether images are the ones that the file named, by whatever columns it has."""
    source = tomogram.source
    if source is None or source.format != NAME or IMAGE_NAME not in source.tilts:
        return False
    count = source.row.get(FRAME_COUNT)
    same = same_entries(source.tilt_values[IMAGE_NAME], image_texts(tomogram) or ())
    return bool(same.all()) and (count is None or float(count) == tomogram.n_tilts)


_STACK_COLUMNS = {
    STACK: lambda t: t.stack if _has_stack(t) else None,
    FRAME_COUNT: lambda t: t.n_tilts if _has_stack(t) else None,
}
_COLUMNS = tuple(replace(c, get=_STACK_COLUMNS.get(c.label, c.get)) for c in GLOBAL_COLUMNS)


_COLUMNS_OF_SERIES = (TiltColumn(IMAGE_NAME, image_texts, iter, path=True), *TILT_COLUMNS)
_READ_COLUMNS = (
    *(TiltColumn(label, poses) for label in (*ALIGNMENT_LABELS, *PROJECTION_LABELS)),
    *_COLUMNS_OF_SERIES,
)


def _write(tomograms: TomogramSet, path: StrPath, tolerance: Tolerance) -> None:
    """Write the global file, and ``tilt_series/NAME.star`` beside it."""
    path = os.fspath(path)
    refuse_unless_set(path)
    if not tomograms:
        raise ModelError("the set holds no tomogram, and RELION reads no empty set")
    names = file_names(tomograms)
    old = tomograms.source if isinstance(tomograms.source, Files) else None
    ready = tomograms.with_tomograms(
        with_deformations(
            _ready(t, tolerance).with_excluded(lambda tilt: _ready(tilt, tolerance))
            for t in tomograms.values()
        )
    )
    finder = Finder(path)
    head = _head(ready, path, old, finder)
    star.write(head, path)
    for tomogram in ready.values():
        before = None if old is None else old.series.get(tomogram.name)
        series = _series(tomogram, before, finder, keep_matrices=tolerance.keep_matrices)
        star.write(series, _series_path(path, names[tomogram.name]))


def _series_path(path: str, file_name: str) -> str:
    """Where the table of a tomogram goes: ``tilt_series/NAME.star`` beside the global file."""
    return os.path.join(os.path.dirname(path), "tilt_series", f"{file_name}.star")


def _ready(tomogram: Tomogram, tolerance: Tolerance) -> Tomogram:
    """The tomogram as RELION 5 can say it: depth counted upwards, its origin the middle."""
    if tomogram.pre_exposure is None:
        raise UnsupportedError(
            f"tomogram {tomogram.name!r} has no doses, and RELION 5 reads no set without; import "
            "them, with the dose of an image (`fractional_dose`) and an order list, or with its "
            ".mdoc (`mdoc`)"
        )
    if tomogram.size is not None:
        tomogram = tomogram.with_depth_origin(np.asarray(tomogram.size) / 2)
    if tomogram.projections is None:
        return tomogram
    lacking = {
        "the size of the tomogram": tomogram.size,
        "the size of the tilt images, which are not there": tomogram.image_size,
        "the pixel size": tomogram.optics.pixel_size,
    }
    if any(value is None for value in lacking.values()):
        lacks = " and ".join(what for what, value in lacking.items() if value is None)
        raise UnsupportedError(
            f"tomogram {tomogram.name!r}: angles and shifts of RELION 5 need {lacks}; give what "
            "lacks (`size`, `image_size`, `pixel_size`)"
        )
    tomogram = upright(tomogram)
    matrices_are_written = tolerance.keep_matrices or _as_read(tomogram, PROJECTION_LABELS[0])
    if matrices_are_written and not tolerance.nearest:
        return tomogram
    return within(tomogram, tolerance)


def _head(ready: TomogramSet, path: str, old: Files | None, finder: Finder) -> star.StarFile:
    template = None if old is None else old.table
    # RELION would take "empty" for the stack of a tomogram: rows name all images anyway.
    stacks = all(_has_stack(t) or _as_named(t) for t in ready.values())
    table = global_table(
        ready,
        [c for c in _COLUMNS if stacks or c.label not in _STACK_COLUMNS],
        template,
        version=_VERSION,
        finder=finder,
        leave_out=(STAR_FILE, *(() if stacks else _STACK_COLUMNS)),
    )
    columns = dict(table.columns)
    names = columns.pop("rlnTomoName")
    plain = file_names(ready)
    files = [from_here(_series_path(path, plain[name])) for name in ready]
    order = ["rlnTomoName", STAR_FILE, *columns]
    if template is not None:  # where the old file has it
        first = [label for label in template.columns if label in order]
        order = first + [label for label in order if label not in first]
    texts = {**columns, "rlnTomoName": names, STAR_FILE: files}
    table = replace(table, columns={label: texts[label] for label in order})
    if old is None:
        return star.StarFile((table,))
    others = [table if t is template else t for t in old.head.tables]
    return star.StarFile(tuple(others), comments=old.head.comments)


def _series(
    tomogram: Tomogram, old: star.StarFile | None, finder: Finder, *, keep_matrices: bool
) -> star.StarFile:
    known = {} if old is None else {t.name: t for t in reversed(old.tables)}
    before, gone = known.get(tomogram.name), excluded_name(tomogram.name)
    table = _table_of(tomogram, before, finder, keep_matrices=keep_matrices)
    excluded: list[star.Table] = []
    if tomogram.exclusions:
        out = _table_of(tomogram.excluded, known.get(gone), finder, keep_matrices=keep_matrices)
        excluded = [exclusion_table(out, tomogram)]
    if old is None:
        return star.StarFile((table, *excluded))
    kept = (t for t in old.tables if t.name != gone)
    tables = (*(table if t is before else t for t in kept), *excluded)
    return star.StarFile(tables, comments=old.comments)


def _table_of(
    tomogram: Tomogram, old: star.Table | None, finder: Finder, *, keep_matrices: bool
) -> star.Table:
    own = _alignment_texts(tomogram)
    unchanged = _as_read(tomogram, PROJECTION_LABELS[0])
    if keep_matrices and tomogram.projections is not None and not unchanged:
        own |= {
            label: vector_texts(tomogram.projections[:, i])
            for i, label in enumerate(PROJECTION_LABELS)
        }
    return tilt_table(
        tomogram,
        _COLUMNS_OF_SERIES,
        old,
        version=_VERSION,
        finder=finder,
        own=own,
        leave_out=() if unchanged else PROJECTION_LABELS,
    )


def _alignment_texts(tomogram: Tomogram) -> dict[str, Sequence[str] | None]:
    """Angles and shifts; of tilt images whose alignment nobody changed as they were read."""
    source, now = tomogram.source, poses(tomogram)
    old = source.tilts if source is not None and source.format == NAME else {}
    complete = all(label in old for label in ANGLES)
    before = None if source is None else source.tilt_values.get(ALIGNMENT_LABELS[1])
    if now is None:  # what the file says of angles, if anything, is no alignment
        return {} if before is None else dict.fromkeys(ALIGNMENT_LABELS)
    same = np.zeros(len(now), np.bool_)
    if complete:
        same = same_entries(before, now)
        if same.all():
            return {label: old.get(label) for label in ALIGNMENT_LABELS}
        whole = all(label in old for label in ALIGNMENT_LABELS[3:])
        if not whole or PROJECTION_LABELS[0] in old:  # by which the angles were not needed
            same[:] = False
    numbers = _parameters(tomogram, now[~same])
    none = ["0.0"] * len(now)
    return {
        label: merge(old.get(label, none), same, number_texts(numbers[:, i]))
        for i, label in enumerate(ALIGNMENT_LABELS)
    }


def _parameters(tomogram: Tomogram, poses: Array) -> Array:
    """Angles and shifts [Å] of some tilt images: (n, 5)."""
    if tomogram.projections is None:
        return poses
    size, image_size = tomogram.need_size(), tomogram.need_image_size()
    angles, shifts = geometry.rigid_parameters(poses, size=size, image_size=image_size)
    return np.concatenate([angles, shifts * tomogram.need_pixel_size()], axis=1)


class Relion5(Relion):
    """RELION 5's dialect."""

    name = NAME
    package = "RELION 5"
    url = "https://relion.readthedocs.io/en/release-5.0/"
    abilities = frozenset(
        {"deformation", "single images", "parts of stacks", "centred coordinates", "linked sets"}
    )
    rules = (ROWS_IN_ORDER, SEVERAL_TILTS)
    needs: Mapping[str, tuple[str, ...]] = {
        **needs_of("images"),
        "align": ("images", "pixel_size", "nominal_tilts", "nominal_axis"),
    }

    def find_global(self, tables: Iterable[Labelled]) -> int | None:
        """The table that names STAR files of tilt series, or has their angles beside it."""
        return find_global(tables, inline=True)

    def from_star(self, text: star.StarFile, table: star.Table, bad: Failures) -> TomogramSet:
        """A set from its global file; the files of its tilt series are found from it."""
        return _read(text, table, bad)

    def write_set(
        self,
        tomograms: TomogramSet,
        path: StrPath,
        tolerance: Tolerance | None = None,
    ) -> None:
        """Write the global file, and ``tilt_series/NAME.star`` beside it: all of them or none.

        RELION 5 uses matrices next to the angles until it writes the set itself.

        Raises
        ------
        UnsupportedError
            If a projection is not rigid enough, or something that RELION 5 needs is not known.
        """
        with together():
            _write(tomograms, path, tolerance or Tolerance())

    def losses(self, project: Project) -> dict[str, Loss]:
        """How far projections are from rigid ones, at the particles too."""
        particles = project.particles
        rows = {} if particles is None else particles.by_tomogram()
        lost = {}
        for name, t in project.tomograms.items():
            seen = rows.get(name)
            points = None if particles is None or seen is None else particles.positions[seen]
            found = loss_of(t, points)
            if found is not None:
                lost[name] = found
        return lost

    def files(self, tomograms: TomogramSet, path: StrPath) -> list[str]:
        """The global file and those of the tilt series."""
        path = os.fspath(path)
        return [path, *(_series_path(path, name) for name in file_names(tomograms).values())]


RELION5 = Relion5()
