"""RELION 4's tomogram set: ``tomograms.star`` with data_global and one table a tomogram.

docs/relion.md, 'RELION 4'. Its matrices count voxels from 1; here they are brought to count
from 0, once, and back (`geometry.from_one_based`).
https://relion.readthedocs.io/en/release-4.0/Reference/STA/Datatypes/tomogram_set.html
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from tomoset import geometry, star
from tomoset.errors import (
    AssumptionWarning,
    LossyWarning,
    MissingFieldError,
    ModelError,
    UnsupportedError,
)
from tomoset.formats._files import refuse_unless_set
from tomoset.formats._relion import (
    ROWS_IN_ORDER,
    SEVERAL_TILTS,
    Labelled,
    Relion,
    find_global,
    needs_of,
    refuse_duplicates,
)
from tomoset.formats._relion_labels import (
    ALIGNMENT_LABELS,
    ANGLES,
    GLOBAL_COLUMNS,
    IMAGE_NAME,
    PROJECTION_LABELS,
    STAR_FILE,
    TILT_COLUMNS,
    TiltColumn,
    excluded_name,
    image_texts,
    poses,
    recorded,
    with_deformations,
)
from tomoset.formats._relion_rows import (
    GlobalRow,
    check_count,
    read_common,
    source_of,
    with_exclusions,
)
from tomoset.formats._relion_tables import exclusion_table, global_table, tilt_table
from tomoset.formats._texts import same_entries, vector_texts
from tomoset.formats._words import Failures, Loss, StrPath, Tolerance, part
from tomoset.model import Alignment, Tomogram, TomogramSet
from tomoset.model.project import Project
from tomoset.model.rules import Found, Rule
from tomoset.paths import Finder

NAME = "relion4"
_VERSION = "# version 30001"

Array = npt.NDArray[np.float64]


def _global_of(text: star.StarFile) -> star.Table | None:
    place = find_global(text, inline=False)
    return None if place is None else text.tables[place]


def _read(text: star.StarFile, table: star.Table, bad: Failures) -> TomogramSet:
    """A set from the tables of ``tomograms.star``; its tables are matched by name."""
    refuse_duplicates(text, table)
    others = {t.name: t for t in reversed(text.tables) if t is not table}
    finder, tomograms = Finder(text.path), []
    for row, name in enumerate(table["rlnTomoName"]):
        with part(bad, name):
            reader, tilts = GlobalRow(table, row, finder), _tilt_table(others, table, row, name)
            check_count(reader, tilts)
            tomogram = _read_tomogram(reader, tilts, name)
            if (out := others.get(excluded_name(name))) is not None:
                tomogram = with_exclusions(tomogram, out, _read_tomogram(reader, out, name))
            tomograms.append(tomogram)
    files = () if text.path is None else (text.path,)
    return TomogramSet(tomograms, format=NAME, files=files, source=text)


def _tilt_table(
    others: dict[str, star.Table], table: star.Table, row: int, name: str
) -> star.Table:
    """The table of a tomogram, among all but the global one by their names."""
    if name in others:
        return others[name]
    legacy = f"tomo_{row}"  # before RELION 4.0's release tables were numbered, from 0
    if legacy in others:
        warnings.warn(
            f"{table.path}: table data_{legacy} taken for tomogram {name!r}, by its place: "
            "the file has the legacy names of tables",
            AssumptionWarning,
            stacklevel=2,
        )
        return others[legacy]
    there = list(reversed(others))
    found = ", ".join(f"data_{t}" for t in there[:6]) + (" ..." if len(there) > 6 else "")
    raise MissingFieldError(
        f"tomogram {name!r} has no table: expected data_{name}, found {found or 'no other table'}",
        path=table.path,
        line=table.line_of(row),
    )


def _read_tomogram(reader: GlobalRow, tilts: star.Table, name: str) -> Tomogram:
    reader.required("rlnTomoTiltSeriesPixelSize")
    size = reader.size()
    origin = None if size is None else np.asarray(size) / 2 - 1
    with reader.errors(tilts):
        alignment = _alignment_of(tilts)
    tomogram = read_common(reader, tilts, name, depth_origin=origin, **alignment)
    return recorded(tomogram, source_of(reader, tilts, NAME), GLOBAL_COLUMNS, _TILT_COLUMNS)


def _alignment_of(tilts: star.Table) -> dict[str, Any]:
    """The fields of a tomogram that matrices say."""
    if not any(label in tilts for label in PROJECTION_LABELS):
        if all(label in tilts for label in ANGLES):
            raise tilts.error(
                f"angles ({ANGLES[0]}), but other tables of the file have matrices "
                f"({PROJECTION_LABELS[0]}): expected one or the other in all of them; convert the "
                "parts before they are put together"
            )
        return {}
    matrices = np.stack([tilts.vectors(label, 4) for label in PROJECTION_LABELS], axis=1)
    if not matrices[:, :3, 3].any() and (np.linalg.det(matrices[:, :3, :3]) > 0).all():
        return {"alignment": _directions(matrices)}
    projections = geometry.from_one_based(matrices)
    projections.flags.writeable = False
    return {"projections": projections}


def _directions(matrices: Array) -> Alignment:
    """What matrices without any translation say: Warp exports such beside cut-out particles."""
    middle = (1, 1, 1)
    angles, _ = geometry.rigid_parameters(matrices, size=middle, image_size=(1, 1))
    return Alignment(angles=angles, shifts=np.zeros((len(angles), 2)), directions_only=True)


def to_star(tomograms: TomogramSet, path: StrPath | None = None) -> star.StarFile:
    """The set as tables, for a file: those of its own, in their order, with what has changed."""
    if not tomograms:
        raise ModelError("the set holds no tomogram, and RELION reads no empty set")
    old = tomograms.source if isinstance(tomograms.source, star.StarFile) else None
    template = None if old is None else _global_of(old)
    ready = tomograms.with_tomograms(with_deformations(map(_ready, tomograms.values())))
    finder = Finder(path)
    head = global_table(
        ready, GLOBAL_COLUMNS, template, version=_VERSION, finder=finder, leave_out=(STAR_FILE,)
    )
    known = {} if old is None else {t.name: t for t in reversed(old.tables)}
    tables = {t.name: _table_of(t, known.get(t.name), finder) for t in ready.values()}
    excluded = [
        exclusion_table(_table_of(t.excluded, known.get(excluded_name(t.name)), finder), t)
        for t in ready.values()
        if t.exclusions
    ]
    if old is None:
        return star.StarFile((head, *tables.values(), *excluded))
    written: list[star.Table] = [] if template is not None else [head]
    before = [] if template is None else list(template["rlnTomoName"])
    gone = {name for name in before if name not in tables}
    gone |= {excluded_name(name) for name in before}
    gone |= {f"tomo_{row}" for row, name in enumerate(before) if name not in known}  # legacy
    for table in old.tables:
        if table is template:
            written += [head]
        elif table.name in tables:
            written += [tables.pop(table.name)]
        elif table.name not in gone:
            written += [table]
    return star.StarFile(
        (*written, *tables.values(), *excluded), comments=old.comments, path=old.path
    )


def _warn_of_other_images(tomograms: TomogramSet) -> None:
    """Say which rows RELION will take for other images, if the file did not say so already."""
    for name, t in tomograms.items():
        if t.image_index is None or np.array_equal(t.image_index, np.arange(t.n_tilts)):
            continue
        source, names = t.source, _image_names(t)
        before = None if source is None else source.tilt_values.get(IMAGE_NAME)
        if source is None or source.format != NAME or before != names:
            warnings.warn(
                f"tomogram {name!r}: its rows name some images of {t.stack} by their numbers, but "
                "RELION 4 takes row i for image i; a stack of these images, or a set of RELION 5, "
                "is made by tomoset convert SET DST --to FORMAT",
                LossyWarning,
                stacklevel=5,
            )


def _table_of(tomogram: Tomogram, old: star.Table | None, finder: Finder) -> star.Table:
    return tilt_table(
        tomogram,
        _TILT_COLUMNS,
        old,
        version=_VERSION,
        finder=finder,
        # Angles beside the matrices go when they come from RELION 5, or the matrices change.
        leave_out=() if _as_read(tomogram) else ALIGNMENT_LABELS,
    )


def _ready(tomogram: Tomogram) -> Tomogram:
    """The tomogram with its defocus where RELION 4 has it, if it can be said in this dialect."""
    if tomogram.stack is None:
        what = "has no tilt images yet" if tomogram.images is None else "has single images"
        raise UnsupportedError(
            f"tomogram {tomogram.name!r} {what}, and RELION 4 reads one stack; of "
            "motion-corrected images it is made by tomoset convert SET DST --to relion4"
        )
    if tomogram.optics.pixel_size is None:
        raise UnsupportedError(
            f"tomogram {tomogram.name!r}: the set has no rlnTomoTiltSeriesPixelSize, without which "
            "RELION 4 reads none; give it (`pixel_size`)"
        )
    if tomogram.projections is None and tomogram.alignment is not None and not _as_read(tomogram):
        raise UnsupportedError(
            f"tomogram {tomogram.name!r}: matrices of RELION 4 need the sizes of tomogram and "
            "images; give what lacks (`size`, `image_size`)"
        )
    if tomogram.size is None:
        return tomogram
    return tomogram.with_depth_origin(np.asarray(tomogram.size) / 2 - 1)


def _as_read(tomogram: Tomogram) -> bool:
    """Whether the alignment is the one that the file says in matrices."""
    source, now = tomogram.source, poses(tomogram)
    if source is None or source.format != NAME or now is None:
        return source is not None and source.format == NAME and now is None
    return bool(same_entries(source.tilt_values.get(PROJECTION_LABELS[0]), now).all())


def _image_names(tomogram: Tomogram) -> tuple[str, ...] | None:
    """None where rows mean the images of the stack in their order."""
    source = tomogram.source
    named = source is not None and source.format == NAME and IMAGE_NAME in source.tilts
    if tomogram.images is None and tomogram.image_index is None and not named:
        return None
    return image_texts(tomogram)


def _matrix_texts(row: int) -> Callable[[Array], list[str]]:
    return lambda matrices: vector_texts(geometry.to_one_based(matrices)[:, row])


_TILT_COLUMNS = (
    *(
        TiltColumn(label, poses, _matrix_texts(row), own=NAME)
        for row, label in enumerate(PROJECTION_LABELS)
    ),
    TiltColumn(IMAGE_NAME, _image_names, iter, path=True),
    *TILT_COLUMNS,
)


def _read_by_relion_5(tomograms: TomogramSet) -> Found:
    if tomograms.source is not None:
        yield (
            None,
            "RELION 5 takes these matrices one voxel off on each axis, and drops them when its "
            "programs write the set",
        )


class Relion4(Relion):
    """RELION 4's dialect."""

    name = NAME
    package = "RELION 4"
    url = "https://relion.readthedocs.io/en/release-4.0/"
    abilities = frozenset({"magnification", "stretch", "skew", "deformation", "linked sets"})
    needs = needs_of("stack")
    rules = (
        Rule(
            "R01",
            "note",
            "RELION 5 reads the set as it is meant",
            "For RELION 5:",
            _read_by_relion_5,
            command="convert SET DST --to relion5",
        ),
        ROWS_IN_ORDER,
        SEVERAL_TILTS,
    )

    def find_global(self, tables: Iterable[Labelled]) -> int | None:
        """The table that names tomograms, whose tilt images are in no other file."""
        return find_global(tables, inline=False)

    def from_star(self, text: star.StarFile, table: star.Table, bad: Failures) -> TomogramSet:
        """A set from the tables of ``tomograms.star``; its tables are matched by name."""
        return _read(text, table, bad)

    def write_set(
        self,
        tomograms: TomogramSet,
        path: StrPath,
        tolerance: Tolerance | None = None,
    ) -> None:
        """Write ``tomograms.star``, as RELION 4.0.1 and 5.0.1 read it, whole or not at all."""
        del tolerance
        refuse_unless_set(path)
        _warn_of_other_images(tomograms)
        star.write(to_star(tomograms, path), path)

    def losses(self, project: Project) -> dict[str, Loss]:
        """What RELION 4 asks of every set, where it is not there."""
        lost = {}
        for name, t in project.tomograms.items():
            needed = {
                "an alignment": t.projections,
                "a size": t.size,
                "defocus": t.defocus_u,
                "doses": t.pre_exposure,
            }
            lacking = ", ".join(what for what, value in needed.items() if value is None)
            if lacking:
                text = f"has not {lacking}: RELION 4 reads no such set"
                lost[name] = Loss(
                    texts=(text,), pixels=np.zeros(t.n_tilts), defocus=np.zeros(t.n_tilts)
                )
        return lost


RELION4 = Relion4()
