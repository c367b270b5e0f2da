"""What RELION 4 and 5 share as formats: how their sets are recognised, their words, their traps."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from tomoset import star
from tomoset.errors import MissingFieldError
from tomoset.formats._format import Format, Reading, StrPath
from tomoset.formats._relion_labels import LABELS
from tomoset.model import Tomogram, TomogramSet
from tomoset.model.project import Project
from tomoset.model.rules import Rule, each

#: So much of a file is looked at first.
HEAD = 1 << 16
_HEADER = re.compile(rb"^[ \t]*(data_\S*|_\S+)", re.MULTILINE | re.IGNORECASE)

#: A table's name and its labels.
Header = tuple[str, frozenset[str]]


def headers(path: str, head: bytes) -> Iterable[list[Header]]:
    """Names and labels of the tables of a STAR file: those at its beginning, then all.

    What is no STAR file has none.
    """
    if not head or b"\0" in head:
        return
    yield _headers(head)
    if len(head) >= HEAD:
        with open(path, "rb") as stream:
            yield _headers(stream.read())


def _headers(text: bytes) -> list[Header]:
    found: list[tuple[str, list[str]]] = []
    text = text.removeprefix(b"\xef\xbb\xbf").replace(b"\r", b"\n")
    for word in _HEADER.findall(text):
        said = word.decode("utf-8", "surrogateescape")
        if said[0] != "_":
            found.append((said[5:], []))
        elif found:
            found[-1][1].append(said[1:].partition("#")[0])
    return [(name, frozenset(labels)) for name, labels in found]


class Relion(Format):
    """A dialect of RELION's STAR files."""

    labels = LABELS
    reads = "`tomograms.star`, `optimisation_set.star` and all that it names"
    writes = "the same"

    def is_global(self, name: str, labels: Iterable[str]) -> bool:
        """Whether a table, by its name and labels, is the one that lists the tomograms."""
        raise NotImplementedError

    def from_star(self, text: star.StarFile) -> TomogramSet:
        """A set from the text of its global file."""
        raise NotImplementedError

    def detect(self, path: str, head: bytes) -> bool:
        """Whether a table lists tomograms as this dialect does."""
        return any(
            self.is_global(name, labels)
            for tables in headers(path, head)
            for name, labels in tables
        )

    def read(self, sources: Sequence[StrPath], **options: Any) -> Reading:
        """The set of one global file."""
        del options
        (path,) = sources
        text = star.read(path)
        if not any(self.is_global(table.name, table.columns) for table in text.tables):
            raise MissingFieldError(
                f"no table lists tomograms as those of {self.package} do: expected rlnTomoName in "
                "data_global",
                path=text.path,
            )
        return Reading(project=Project(tomograms=self.from_star(text)))

    def line_of(self, tomograms: TomogramSet, name: str) -> int | None:
        """The line of a tomogram in the global table."""
        head = getattr(tomograms.source, "head", tomograms.source)
        for table in head.tables if isinstance(head, star.StarFile) else ():
            names = list(table.get("rlnTomoName") or ())
            if name in names:
                return table.line_of(names.index(name))
        return None


def _rows_out_of_order(t: Tomogram) -> str | None:
    named = t.source is not None and "rlnTomoTiltSeriesName" in t.source.row
    if t.image_index is None or not named or t.images is not None:
        return None
    if np.array_equal(t.image_index, np.arange(t.n_tilts)):
        return None
    return "rows name other images of the stack than their own numbers, which RELION ignores"


ROWS_IN_ORDER = Rule(
    "R02",
    "warning",
    "row i means image i of the stack",
    "Use tomoset convert, to either dialect: it picks the images.",
    each(_rows_out_of_order),
)
