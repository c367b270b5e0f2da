"""What a file format is to tomoset."""

# ruff: noqa: ARG002  - methods of the base class say what a format cannot, and need no argument

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from tomoset.errors import ModelError, UnsupportedError
from tomoset.formats._destination import NOWHERE, Destination
from tomoset.formats._pick_frames import Picked
from tomoset.formats._words import (
    Ability,
    LinkedFiles,
    Loss,
    Option,
    Reading,
    StrPath,
    Tolerance,
)
from tomoset.model import Fiducials, Observations, ParticleSet, Tomogram, TomogramSet
from tomoset.model.project import Project
from tomoset.model.rules import Rule


class Format:
    """The files of a package: recognised, read into the model, written from it.

    There is one instance for each, in the list `tomoset.formats.FORMATS`. What a subclass leaves
    as it is here, its package has not.

    Attributes
    ----------
    name : str
        As the command line says it.
    package : str
        The program, as messages name it.
    url : str
        Its manual.
    reads, writes : str
        What is read and written, in a few words; empty if nothing is.
    abilities : frozenset of str
        What it can say, of `Ability`.
    labels : mapping of str to str
        What it calls fields of the model.
    rules : tuple of Rule
        Its own traps, for `tomoset.check`.
    options : tuple of Option
        What `tomoset import` may be told; a format that has none is opened as it is.
    bead_files : tuple of str
        Endings of files of tracked beads.
    alignments : bool
        Whether its files say how tilt images are aligned; else they hold particles only.
    particle_files : tuple of str
        Endings of its tables of particles, as `read_picks` reads them.
    particle_says : frozenset of str
        Fields of `ParticleSet`, besides places and orientations, that they say.
    numbers_tomograms : bool
        Whether its tables of particles have numbers for names of tomograms, and a map beside.
    needs : mapping of str to tuple of str
        What its programs cannot do without, by the program (empty: all of them): fields of
        `Tomogram`, `Optics`, `ParticleSet` or `Project`. `tomoset check --for` asks for them.
    about : str
        What `tomoset import NAME --help` says.
    """

    name: str
    package: str
    url: str
    reads: str = ""
    writes: str = ""
    abilities: frozenset[Ability] = frozenset()
    labels: Mapping[str, str] = {}
    rules: tuple[Rule, ...] = ()
    options: tuple[Option, ...] = ()
    bead_files: tuple[str, ...] = ()
    alignments: bool = True
    particle_files: tuple[str, ...] = ()
    particle_says: frozenset[str] = frozenset()
    numbers_tomograms: bool = False
    needs: Mapping[str, tuple[str, ...]] = {}
    about: str = ""

    def can(self, ability: Ability) -> bool:
        """Whether files of this format can say something."""
        return ability in self.abilities

    def label(self, name: str) -> str:
        """What a field of the model is called in these files.

        Examples
        --------
        >>> from tomoset.formats import format_named
        >>> format_named("relion5").label("pre_exposure")
        'rlnMicrographPreExposure'
        """
        return self.labels.get(name, name.replace("_", " "))

    def detect(self, path: str, head: bytes) -> bool:
        """Whether a file, or a folder (whose `head` is empty), is of this format.

        Parameters
        ----------
        path : str
            Where it is.
        head : bytes
            Its beginning, all of a small file.
        """
        return False

    def refuse_options(self, sources: Sequence[StrPath], given: Mapping[str, Any]) -> None:
        """Refuse sources and values of all `options` that make no sense; ModelError says why."""

    def chosen(self, sources: Sequence[StrPath], options: Mapping[str, Any]) -> dict[str, Any]:
        """All `options` by name, those that are not given as by default; ModelError as above."""
        known = [option.name for option in self.options]
        for name in options:
            if name not in known:
                raise ModelError(
                    f"{self.name}: there is no option {name!r}; there are {', '.join(known)}"
                )
        given = {option.name: option.default for option in self.options} | dict(options)
        self.refuse_options(sources, given)
        return given

    def read(
        self, sources: Sequence[StrPath], destination: Destination = NOWHERE, **options: Any
    ) -> Reading:
        """Read files or folders into the model.

        Parameters
        ----------
        sources : sequence of path-like
            As `reads` says.
        destination : Destination
            The set that will be made of them.
        **options
            By the names of `options`.

        Raises
        ------
        TomosetError
            If nothing can be read.
        """
        return self.read_series(sources, self.chosen(sources, options), destination)

    def read_series(
        self, sources: Sequence[StrPath], given: Mapping[str, Any], destination: Destination
    ) -> Reading:
        """The same, with all `options`."""
        raise UnsupportedError(f"nothing of {self.package} is read")

    def load(self, project: Project, given: Mapping[str, StrPath], *, check_links: bool) -> Project:
        """The project with what is unread in it, or given instead, read; see `Project.load`."""
        return project

    def write_set(
        self,
        tomograms: TomogramSet,
        path: StrPath,
        tolerance: Tolerance | None = None,
    ) -> None:
        """Write a tomogram set, whole or not at all.

        In a block of `tomoset.files.together` its files take their places when that ends.

        Parameters
        ----------
        tomograms : TomogramSet
            What is written.
        path : path-like
            Of the file that lists them.
        tolerance : Tolerance, optional
            What may be lost.

        Raises
        ------
        UnsupportedError
            If the set holds what cannot be said, or the format has no such files.
        """
        raise UnsupportedError(f"{self.package} has no file of a tomogram set")

    def write(
        self,
        project: Project,
        folder: StrPath,
        tolerance: Tolerance | None = None,
    ) -> str:
        """Write all sets of a project into one folder, and give the path of what ties them.

        Sets that are unread stay where they are, and are named. Parameters and errors are those of
        `write_set`.
        """
        raise UnsupportedError(f"no project is written as {self.name}")

    def linked_files(self, project: Project, folder: StrPath) -> LinkedFiles:
        """The sets of a project, besides the tomograms, as files of a folder.

        Raises
        ------
        ModelError
            If sets contradict each other.
        """
        return LinkedFiles(tomograms=project.tomograms, contents={}, paths={})

    def links_file(self, project: Project, paths: Mapping[str, str]) -> bytes:
        """What ties the sets of a project together, if these (by field) are in these files."""
        raise UnsupportedError(f"{self.package} has no file that ties sets together")

    def read_particles(self, path: StrPath, tomograms: TomogramSet) -> ParticleSet:
        """The particles of a file, in these tomograms."""
        raise UnsupportedError(f"no particles of {self.package} are read")

    def write_particles(
        self, particles: ParticleSet, path: StrPath, tomograms: TomogramSet
    ) -> None:
        """Write particles in these tomograms to a file."""
        raise UnsupportedError(f"no particles are written as {self.name}")

    def detect_particles(self, path: str, head: bytes) -> bool:
        """Whether a file is a table of particles of this package; arguments as of `detect`."""
        return False

    def read_picks(self, path: StrPath, tomograms: TomogramSet, picked: Picked) -> ParticleSet:
        """Particles of a table of this package.

        Parameters
        ----------
        path : path-like
            One of `particle_files`.
        tomograms : TomogramSet
            Those that they are in.
        picked : Picked
            What the file does not say.

        Raises
        ------
        FileFormatError
            If the file is not such a table, or a tomogram is not clear.
        ModelError
            If most particles are outside their tomograms.
        """
        raise UnsupportedError(f"no particle tables of {self.package} are read")

    def write_picks(
        self, particles: ParticleSet, path: StrPath, tomograms: TomogramSet, picked: Picked
    ) -> list[str]:
        """Write particles as tables of this package, and give the paths of these.

        Parameters
        ----------
        particles : ParticleSet
            Of any tomograms of the set.
        path : path-like
            A folder, or a file where the package has one for all.
        tomograms : TomogramSet
            Those that they are in.
        picked : Picked
            The volume whose voxels are counted.

        Raises
        ------
        ModelError
            If there are none, or a size is not known.
        """
        raise UnsupportedError(f"no particle tables are written as {self.name}")

    def read_fiducials(self, path: StrPath, tomogram: Tomogram) -> Fiducials:
        """The beads of a tomogram, of a set in this format."""
        raise UnsupportedError(f"no fiducials of {self.package} are read")

    def write_fiducials(self, fiducials: Fiducials, path: StrPath, tomogram: Tomogram) -> None:
        """Write the beads of a tomogram, as a set in this format names them."""
        raise UnsupportedError(f"no fiducials are written as {self.name}")

    def losses(self, project: Project) -> dict[str, Loss]:
        """What writing would lose, by the names of tomograms that lose something."""
        return {}

    def read_observations(
        self, path: str, raw_size: tuple[int, int, int], kept: Sequence[int] | None
    ) -> Observations:
        """Where beads were seen, by a file of this package.

        Parameters
        ----------
        path : str
            One of `bead_files`.
        raw_size : (int, int, int)
            Width, height and number of the images of the raw stack.
        kept : sequence of int or None
            Those of them that the tomogram has, in its order; None: all.
        """
        raise UnsupportedError(f"no beads of {self.package} are read")

    def write_observations(
        self,
        observations: Observations,
        path: str,
        tomogram: Tomogram,
        raw_size: tuple[int, int, int],
    ) -> None:
        """Write where beads were seen in the raw stack of a tomogram, of this size."""
        raise UnsupportedError(f"no beads are written as {self.name}")

    def told(self, project: Project) -> dict[str, Any]:
        """What `read` has to be told, by `options`, of a project that is written: files do not."""
        return {}

    def geometric_hand(self, tomogram: Tomogram) -> str:
        """How volumes that the package's programs make of what is written lie against the set's."""
        return "its programs make the same volume"

    def place(self, folder: StrPath, name: str) -> str:
        """Where `read` finds a tomogram that `write` put into a folder, by its `file_names`."""
        raise UnsupportedError(f"{self.package} has no files of one tilt series")

    def files(self, tomograms: TomogramSet, path: StrPath) -> list[str]:
        """The files that `write_set` makes of a set."""
        return [os.fspath(path)]

    def lines_of(self, tomograms: TomogramSet) -> dict[str, int | None]:
        """The line of each tomogram in the file of its set, as far as there is one."""
        return {}

    def __repr__(self) -> str:
        return f"<Format {self.name}>"
