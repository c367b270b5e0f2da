"""Many tilt series in one go: the rest are imported when some fail."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace

from tomoset.errors import ModelError
from tomoset.files import identity_of, together
from tomoset.formats._destination import Destination
from tomoset.formats._names import Renaming
from tomoset.formats._words import Failure, part
from tomoset.formats.imod.commands import format_list
from tomoset.formats.imod.folder import find_series, folders_of_series, own_commands
from tomoset.formats.imod.importer import Imported, import_series
from tomoset.formats.imod.series import (
    ImportOptions,
    Series,
    culled_path,
    read_import_table,
)
from tomoset.images.mrc import stack_path
from tomoset.model import Tomogram, TomogramSet


@dataclass(frozen=True, kw_only=True)
class Request:
    """What to import, what of it could not be found, and lines that say what was chosen."""

    series: list[Series]
    failures: list[Failure]
    notes: list[str]


@dataclass(frozen=True, kw_only=True)
class Result:
    """The set, which of its tomograms are new, and the series that failed."""

    tomograms: TomogramSet
    imported: list[Tomogram]
    failures: list[Failure]
    notes: list[str]


def from_folders(
    folders: Sequence[str | os.PathLike[str]],
    options: ImportOptions,
    destination: Destination,
) -> Request:
    """The series of IMOD folders, or of the folders in them.

    A folder that holds none, or too many, is a failure.
    """
    series: list[Series] = []
    failures: list[Failure] = []
    notes: list[str] = []
    names, culled = destination.names, culled_path(destination.target or "")
    inside: list[str | os.PathLike[str]] = []
    for folder in folders:
        with part(failures, os.fspath(folder)):
            inside += folders_of_series(folder)
    for folder in inside:
        with part(failures, os.fspath(folder)):
            for one, chosen in find_series(folder, options, lambda name: culled(names(name))):
                series.append(replace(one, name=names(one.name)))
                notes.append(f"{series[-1].name}: {', '.join(chosen)}")
    return Request(series=series, failures=failures, notes=notes)


def from_table(path: str | os.PathLike[str], options: ImportOptions, names: Renaming) -> Request:
    """The series of RELION's import table."""
    series: list[Series] = []
    failures: list[Failure] = []
    for row in read_import_table(path, options, failures):
        with part(failures, row.name):
            series.append(replace(own_commands(row, options), name=names(row.name)))
    return Request(series=series, failures=failures, notes=[])


def run(request: Request, options: ImportOptions, destination: Destination) -> Result:
    """Import all series of a request, into the set of their destination.

    Culled stacks take their places together; in a block of `tomoset.files.together`, with the set.

    Raises
    ------
    ModelError
        If two series, or one and a tomogram that is there already, have one name: then
        nothing is imported.
    """
    destination.refuse_duplicates(one.name for one in request.series)
    if options.cull:
        _refuse_overwriting(request.series, destination.before or TomogramSet())
    done: list[Imported] = []
    failures = list(request.failures)
    with together():
        for series in request.series:
            with part(failures, series.name):
                done.append(import_series(series, options))
    imported = [one.tomogram for one in done]
    return Result(
        tomograms=destination.joined(imported, "imod"),
        imported=imported,
        failures=failures,
        notes=[*_what_is_excluded(done), *(note for one in done for note in one.notes)],
    )


def _refuse_overwriting(series: Sequence[Series], before: TomogramSet) -> None:
    """No culled stack may replace a stack that a tomogram is made of."""
    stacks = [s.stack for s in series] + [t.stack for t in before.values() if t.stack]
    paths = list(map(stack_path, stacks))
    taken = {os.path.realpath(path) for path in paths}
    identities = {identity_of(path) for path in paths} - {None}
    for one in series:
        if one.culled is None:
            continue
        culled = os.path.realpath(stack_path(one.culled))
        if culled in taken or identity_of(culled) in identities:
            raise ModelError(
                f"{one.name}: the stack without excluded views would be {one.culled}, but that is "
                "the stack of a tomogram; give it a path of its own (rlnTomoImportCulledFile)"
            )
        taken.add(culled)


def _what_is_excluded(done: Sequence[Imported]) -> list[str]:
    return [
        f"{one.tomogram.name}: views {format_list(one.excluded)} of {one.n_views} are excluded; "
        f"the {'others' if one.tomogram.image_index is None else 'images'} are in "
        f"{one.tomogram.stack}"
        for one in done
        if one.excluded
    ]
