"""What RELION 4 and 5 share as formats: how their sets are recognised, their words, their traps."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from tomoset import star
from tomoset.errors import MissingFieldError, ModelError
from tomoset.files import refuse_unless_star, together, write
from tomoset.formats import _relion_sets as sets
from tomoset.formats._format import Failures, Format, LinkedFiles, Reading, StrPath, Tolerance
from tomoset.formats._relion_labels import LABELS
from tomoset.formats._relion_links import load
from tomoset.formats._relion_project import linked_files, links_file
from tomoset.model import Fiducials, ParticleSet, Tomogram, TomogramSet
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

    def from_star(self, text: star.StarFile, table: star.Table, bad: Failures) -> TomogramSet:
        """A set from its global file, and the table of it that lists the tomograms.

        What is wrong with a tomogram is one of the bad; the others are in the set.
        """
        raise NotImplementedError

    def detect(self, path: str, head: bytes) -> bool:
        """Whether a table lists tomograms as this dialect does."""
        return any(
            self.is_global(name, labels)
            for tables in headers(path, head)
            for name, labels in tables
        )

    def read(
        self,
        sources: Sequence[StrPath],
        *,
        target: StrPath | None = None,
        before: TomogramSet | None = None,
        **options: Any,
    ) -> Reading:
        """The set of one global file."""
        del target, before, options
        (path,) = sources
        text = star.read(path)
        table = next((t for t in text.tables if self.is_global(t.name, t.columns)), None)
        if table is None:
            raise MissingFieldError(
                f"no table lists tomograms as those of {self.package} do: expected rlnTomoName in "
                "data_global",
                path=text.path,
            )
        bad: Failures = []
        tomograms = self.from_star(text, table, bad)
        return Reading(project=Project(tomograms=tomograms), failures=bad)

    def load(self, project: Project, given: Mapping[str, StrPath], *, check_links: bool) -> Project:
        """The project with what is unread in it, or given instead, read."""
        return load(project, given, check_links=check_links)

    def write(
        self,
        project: Project,
        folder: StrPath,
        tolerance: Tolerance | None = None,
    ) -> str:
        """Write all sets of a project into one folder, under RELION's names.

        ``tomograms.star``, ``particles.star``, ``manifolds.star``, ``motion.star``,
        ``fiducials_NAME.star`` and ``optimisation_set.star``, whose paths start from the working
        folder, as RELION reads them.
        """
        links = os.path.join(folder, "optimisation_set.star")
        linked = self.linked_files(project, folder)
        paths = {**linked.paths, "tomograms": os.path.join(folder, "tomograms.star")}
        last = self.links_file(project, paths)
        with together():
            self.write_set(linked.tomograms, paths["tomograms"], tolerance)
            for path, content in {**linked.contents, links: last}.items():
                refuse_unless_star(path)
                write(path, content)
        return links

    def linked_files(self, project: Project, folder: StrPath) -> LinkedFiles:
        """Particles, manifolds, trajectories and fiducials, as far as they have been read."""
        return linked_files(project, os.fspath(folder), self.name)

    def links_file(self, project: Project, paths: Mapping[str, str]) -> bytes:
        """The optimisation set."""
        return links_file(project, paths, self.name)

    def read_particles(self, path: StrPath, tomograms: TomogramSet) -> ParticleSet:
        """The particles of a file; its columns show how they are counted."""
        return sets.read_particles(path, tomograms)

    def write_particles(
        self, particles: ParticleSet, path: StrPath, tomograms: TomogramSet
    ) -> None:
        """Write ``particles.star``."""
        star.write(sets.particles_to_star(particles, self.name, tomograms), path)

    def read_fiducials(self, path: StrPath, tomogram: Tomogram) -> Fiducials:
        """The beads of a file, which does not show itself from where its voxels are counted."""
        pixel_size, n_tilts = tomogram.optics.pixel_size, tomogram.n_tilts
        return sets.read_fiducials(path, dialect=self.name, pixel_size=pixel_size, n_tilts=n_tilts)

    def write_fiducials(self, fiducials: Fiducials, path: StrPath, tomogram: Tomogram) -> None:
        """Write ``fiducials_NAME.star``."""
        pixel_size = tomogram.optics.pixel_size
        if pixel_size is None:
            raise ModelError(f"tomogram {tomogram.name!r} has no pixel size, to say beads in Å")
        sets.write_fiducials(fiducials, path, dialect=self.name, pixel_size=pixel_size)

    def lines_of(self, tomograms: TomogramSet) -> dict[str, int | None]:
        """The line of each tomogram in the global table."""
        head = getattr(tomograms.source, "head", tomograms.source)
        tables = head.tables if isinstance(head, star.StarFile) else ()
        return {
            name: table.line_of(row)
            for table in reversed(tables)
            for row, name in enumerate(table.get("rlnTomoName") or ())
        }


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
    "Have a stack made of the images:",
    each(_rows_out_of_order),
    command="convert SET DST --to relion4",
)
