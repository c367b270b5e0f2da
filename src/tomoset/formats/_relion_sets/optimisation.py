"""RELION's optimisation set: which files belong together (docs/relion.md, 'Optimisation sets').

https://relion.readthedocs.io/en/release-5.0/Reference/STA/Datatypes/optimisation_set.html
"""

from __future__ import annotations

import difflib
import os
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tomoset import star
from tomoset.errors import AssumptionWarning, FileFormatError, MissingFieldError
from tomoset.formats._texts import VERSIONS

PARTICLES = "rlnTomoParticlesFile"
TOMOGRAMS = "rlnTomoTomogramsFile"
TRAJECTORIES = "rlnTomoTrajectoriesFile"
MANIFOLDS = "rlnTomoManifoldsFile"

#: All entries, in RELION's order.
ENTRIES = (
    PARTICLES,
    TOMOGRAMS,
    TRAJECTORIES,
    MANIFOLDS,
    "rlnTomoReferenceMap1File",
    "rlnTomoReferenceMap2File",
    "rlnTomoReferenceMaskFile",
    "rlnTomoReferenceFscFile",
)


@dataclass(frozen=True, kw_only=True, eq=False)
class OptimisationSet:
    """Paths by entry, as the file says them; what is empty there is absent here.

    Parameters
    ----------
    entries : mapping of str to str
        RELION's label to path, unknown labels too.
    file : StarFile, optional
        The file they came from.
    """

    entries: Mapping[str, str]
    file: star.StarFile | None = None


def is_optimisation_set(file: star.StarFile) -> bool:
    """Whether the first table, which is the one RELION reads, names such files."""
    return bool(file.tables) and any(label in file.first for label in ENTRIES)


def read_optimisation_set(path: str | os.PathLike[str] | star.StarFile) -> OptimisationSet:
    """Read the first table: a list, or a loop of one row as RELION 5's Python writes it.

    Raises
    ------
    FileFormatError
        If it has no entry that RELION knows, or other than one row.

    Examples
    --------
    >>> text = 'data_\\n_rlnTomoTomogramsFile a/tomograms.star\\n_rlnTomoManifoldsFile ""\\n'
    >>> dict(read_optimisation_set(star.loads(text)).entries)
    {'rlnTomoTomogramsFile': 'a/tomograms.star'}
    """
    file = path if isinstance(path, star.StarFile) else star.read(path)
    if not is_optimisation_set(file):
        raise MissingFieldError(
            f"not an optimisation set: expected some of {', '.join(ENTRIES)} in the first table",
            path=file.path,
        )
    table = file.first
    if len(table) != 1:
        raise FileFormatError(
            f"data_{table.name}: an optimisation set names one file an entry, found "
            f"{len(table)} rows; keep the row that is meant",
            path=file.path,
            line=table.line_of(1) if len(table) > 1 else None,
        )
    entries = {label: values[0] for label, values in table.columns.items() if values[0].strip()}
    return OptimisationSet(entries=entries, file=file)


def warn_of_unknown_labels(file: star.StarFile, is_file: Callable[[str], bool]) -> None:
    """Say which labels nobody knows that name a file, or are misspelt: it is not looked at.

    Parameters
    ----------
    file : StarFile
        An optimisation set.
    is_file : callable
        Whether a name finds a file.
    """
    said = read_optimisation_set(file).entries
    absent = {label.lower(): label for label in ENTRIES if label not in said}
    for label, path in said.items():
        if label in ENTRIES:
            continue
        near = difflib.get_close_matches(label.lower(), absent, n=1, cutoff=0.8)
        if near or is_file(path):
            hint = f"; did you mean {absent[near[0]]}?" if near else f" ({', '.join(ENTRIES)})"
            warnings.warn(
                f"{file.path}: no label of an optimisation set is {label}{hint} {path!r} is not "
                "read",
                AssumptionWarning,
                stacklevel=4,
            )


def optimisation_set_to_star(
    entries: Mapping[str, str], old: star.StarFile | None, dialect: str
) -> star.StarFile:
    """The table of an optimisation set; entries that are none stay, or become, empty."""
    ordered = sorted(entries, key=lambda e: ENTRIES.index(e) if e in ENTRIES else len(ENTRIES))
    if old is None:
        columns = {label: [entries[label]] for label in ordered}
        table = star.Table("", columns, is_loop=False, comments=(VERSIONS[dialect],))
        return star.StarFile((table,))
    first = old.first
    columns = {label: [entries.get(label, "")] for label in (*first.columns, *ordered)}
    return star.StarFile((first.with_columns(columns), *old.tables[1:]), comments=old.comments)
