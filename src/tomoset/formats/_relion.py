"""What RELION 4 and 5 share as formats: how their sets are recognised, their words, their traps."""

from __future__ import annotations

import os
import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from tomoset import star
from tomoset.errors import FileFormatError, MissingFieldError, ModelError
from tomoset.files import refuse_unless_star, together, write
from tomoset.formats import _relion_sets as sets
from tomoset.formats._destination import Destination
from tomoset.formats._format import Format
from tomoset.formats._relion_labels import (
    ANGLES,
    FRAME_COUNT,
    LABELS,
    PROJECTION_LABELS,
    STAR_FILE,
    excluded_name,
)
from tomoset.formats._relion_links import load
from tomoset.formats._relion_project import linked_files, links_file
from tomoset.formats._words import Failures, LinkedFiles, Reading, StrPath, Tolerance
from tomoset.model import Fiducials, ParticleSet, Tomogram, TomogramSet
from tomoset.model.project import Project
from tomoset.model.rules import Rule, each

#: Labels that only one dialect has.
_TELLING = (STAR_FILE, ANGLES[0], PROJECTION_LABELS[0])
#: So much of a file is looked at first.
HEAD = 1 << 16
_HEADER = re.compile(rb"^[ \t]*(data_\S*|_\S+)", re.MULTILINE | re.IGNORECASE)


class Labelled(Protocol):
    """A table as far as its name and labels say what it is."""

    @property
    def name(self) -> str: ...

    def __contains__(self, label: object, /) -> bool: ...


@dataclass(frozen=True)
class Header:
    """A table of which no more is known."""

    name: str
    labels: frozenset[str]

    def __contains__(self, label: object) -> bool:
        return label in self.labels


def headers(path: str, head: bytes) -> list[Header]:
    """The tables of a STAR file: those at its beginning if they show a dialect, or else all.

    What is no STAR file has none.
    """
    if b"\0" in head:
        return []
    if len(head) < HEAD:
        return _headers(head)
    first = _headers(head)[:-1]  # what is cut may have more labels
    if any(label in table for table in first for label in _TELLING):
        return first
    return _all_headers(path, os.stat(path).st_mtime_ns)


@lru_cache(maxsize=1)  # both dialects ask the same file
def _all_headers(path: str, time: int) -> list[Header]:
    del time
    return _headers(Path(path).read_bytes())


def _headers(text: bytes) -> list[Header]:
    found: list[tuple[str, set[str]]] = []
    text = text.removeprefix(b"\xef\xbb\xbf").replace(b"\r", b"\n")
    for word in _HEADER.findall(text):
        said = word.decode("utf-8", "surrogateescape")
        if said[0] != "_":
            found.append((said[5:], set()))
        elif found:
            found[-1][1].add(said[1:].partition("#")[0])
    return [Header(name, frozenset(labels)) for name, labels in found]


def find_global(tables: Iterable[Labelled], *, inline: bool) -> int | None:
    """Which table lists the tomograms of a file, by all columns that are there.

    It is RELION 5's if it names files of tilt series, or if the tables beside it, as WarpTools
    writes them, have angles and no matrices; else RELION 4's.

    Parameters
    ----------
    tables : iterable of Labelled
        Of a file.
    inline : bool
        Whether RELION 5's is looked for.
    """
    every = list(tables)
    named = [i for i, t in enumerate(every) if "rlnTomoName" in t]
    place = next((i for i in named if STAR_FILE in every[i]), None)
    if place is not None:
        return place if inline else None
    place = next((i for i in named if every[i].name == "global" or FRAME_COUNT in every[i]), None)
    others = [t for i, t in enumerate(every) if i not in named]
    angles = any(all(label in t for label in ANGLES) for t in others)
    matrices = any(label in t for t in others for label in PROJECTION_LABELS)
    return place if inline == (angles and not matrices) else None


def refuse_duplicates(text: star.StarFile, table: star.Table) -> None:
    """Refuse tomograms, or tables of their tilt images, that have one name."""
    names = list(table["rlnTomoName"])
    for name, count in Counter(names).items():
        if count > 1:
            row = len(names) - 1 - names[::-1].index(name)
            raise table.error(
                f"{count} tomograms are called {name!r}; names are what particles refer to, "
                "so each may occur only once",
                row=row,
            )
    refuse_repeated((t for t in text.tables if t is not table), names, text.path)


def refuse_repeated(tables: Iterable[star.Table], names: Iterable[str], path: str | None) -> None:
    """Refuse several tables of one tomogram, of which all but one would be passed over."""
    blocks = Counter(table.name for table in tables)
    for name in names:
        for block in (name, excluded_name(name)):
            if blocks[block] > 1:
                raise FileFormatError(
                    f"{blocks[block]} tables are called data_{block}; expected one", path=path
                )


def needs_of(images: str) -> dict[str, tuple[str, ...]]:
    """What programs need that read tilt images from this field.

    Without doses neither dialect opens a set; without optics there is no CTF.
    """
    optics = ("voltage", "spherical_aberration", "amplitude_contrast")
    reconstruct = (images, "projections", "size", "pixel_size", "pre_exposure", *optics)
    extract = (*reconstruct, "defocus_u", "particles")
    refine = (*extract, "angles", "halves", "half1", "half2")
    return {"reconstruct": reconstruct, "extract": extract, "refine-ctf": refine, "polish": refine}


class Relion(Format, ABC):
    """A dialect of RELION's STAR files."""

    labels = LABELS
    reads = "`tomograms.star`, `optimisation_set.star` and all that it names"
    writes = "the same"

    @abstractmethod
    def find_global(self, tables: Iterable[Labelled]) -> int | None:
        """Which of the tables of a file is the one that lists the tomograms, if it is of this."""

    @abstractmethod
    def from_star(self, text: star.StarFile, table: star.Table, bad: Failures) -> TomogramSet:
        """A set from its global file, and the table of it that lists the tomograms.

        What is wrong with a tomogram is one of the bad; the others are in the set.
        """

    def detect(self, path: str, head: bytes) -> bool:
        """Whether a table lists tomograms as this dialect does."""
        return self.find_global(headers(path, head)) is not None

    def read_series(
        self, sources: Sequence[StrPath], given: Mapping[str, Any], destination: Destination
    ) -> Reading:
        """The set of one global file."""
        del given, destination
        (path,) = sources
        text = star.read(path)
        place = self.find_global(text)
        if place is not None and not len(text.tables[place]):
            raise text.tables[place].error(
                "expected a row for each tomogram, found none; is the file whole?"
            )
        if place is None:
            raise MissingFieldError(
                f"no table lists tomograms as those of {self.package} do: expected rlnTomoName in "
                "data_global",
                path=text.path,
            )
        bad: Failures = []
        tomograms = self.from_star(text, text.tables[place], bad)
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


def _one_tilt(t: Tomogram) -> str | None:
    if t.n_tilts != 1 or t.fractional_dose is not None:
        return None
    return "it has one tilt image, and RELION takes the dose of an image from the first two"


SEVERAL_TILTS = Rule(
    "R03",
    "warning",
    "RELION finds the dose of an image",
    "Select the others:",
    each(_one_tilt),
    command="select SET --tn NAME -o DST",
)
ROWS_IN_ORDER = Rule(
    "R02",
    "warning",
    "row i means image i of the stack",
    "Have a stack made of the images:",
    each(_rows_out_of_order),
    command="convert SET DST --to relion4",
)
