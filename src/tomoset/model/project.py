"""The sets that belong together, and what ties them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from tomoset.errors import ModelError
from tomoset.model.fiducials import Fiducials
from tomoset.model.io import StrPath, entered
from tomoset.model.manifolds import ManifoldSet
from tomoset.model.particles import ParticleSet
from tomoset.model.tomogram_set import TomogramSet
from tomoset.model.trajectories import TrajectorySet

#: The sets that refer to tomograms, in the order in which they are read.
LINKED = ("particles", "manifolds", "trajectories")


@dataclass(frozen=True, kw_only=True, eq=False)
class Project:
    """A tomogram set and the sets that refer to it.

    Parameters
    ----------
    tomograms : TomogramSet
        Always there.
    particles, manifolds, trajectories : optional
        None where the project has none. One that is in `unread` is there, and asking for it is a
        ModelError until `load` has read it.
    fiducials : mapping of str to Fiducials
        By tomogram name, as far as they have been read.
    unread : mapping of str to str
        Paths of the sets, of `LINKED`, that belong to the project and have not been read.
    references : mapping of str to str
        Paths of what the particles look like: ``half1``, ``half2``, ``mask``, ``fsc``.
    source : object, optional
        What a format keeps of the file that tied the sets together. Opaque here.

    Raises
    ------
    ModelError
        If fiducials are of a tomogram that is not in the set.

    Examples
    --------
    >>> from tomoset import Optics, Tomogram
    >>> one = Tomogram(name="001", n_tilts=41, optics=Optics(pixel_size=1.35))
    >>> Project(tomograms=TomogramSet([one]))
    <Project: 1 tomograms>
    """

    tomograms: TomogramSet
    particles: ParticleSet | None = None
    manifolds: ManifoldSet | None = None
    trajectories: TrajectorySet | None = None
    fiducials: Mapping[str, Fiducials] = field(default_factory=dict)
    unread: Mapping[str, str] = field(default_factory=dict)
    references: Mapping[str, str] = field(default_factory=dict)
    source: Any = None

    def __post_init__(self) -> None:
        for name in self.fiducials:
            if name not in self.tomograms:
                raise ModelError(f"there are fiducials of {name!r}, but no such tomogram")
        for what in ("fiducials", "unread", "references"):
            object.__setattr__(self, what, MappingProxyType(dict(getattr(self, what))))

    def __getattribute__(self, name: str) -> Any:
        value = super().__getattribute__(name)
        if value is None and name in LINKED and name in self.unread:
            raise ModelError(
                f"the {name} of the project are in {self.unread[name]}, which has not been read; "
                "read it (Project.load)"
            )
        return value

    @property
    def path(self) -> str | None:
        """The file that ties its sets together; None if there was none."""
        path: str | None = getattr(self.source, "path", None)
        return path

    def set_files(self) -> Iterator[str]:
        """Paths of the files that its sets are in."""
        sets = (self.path, *(getattr(vars(self)[name], "path", None) for name in LINKED))
        yield from self.tomograms.files
        yield from filter(None, (*sets, *self.unread.values()))

    def named_files(self) -> Iterator[str]:
        """Paths of all files that the project is in, or is made of: sets, images, maps."""
        yield from self.set_files()
        yield from self.references.values()
        for tomogram in self.tomograms.values():
            yield from tomogram.named_files()

    def with_sets(self, **changes: Any) -> Project:
        """The project with other fields; a set that is given is not unread any more.

        Examples
        --------
        >>> project = Project(tomograms=TomogramSet(), unread={"particles": "particles.star"})
        >>> project.with_sets(particles=None).particles is None
        True
        """
        unread = {name: path for name, path in self.unread.items() if name not in changes}
        return Project(**{**vars(self), "unread": unread, **changes})

    def load(self, *, check_links: bool = True, **given: StrPath | None) -> Project:
        """The project with the sets that belong to it and have not been read.

        Parameters
        ----------
        check_links : bool
            Whether a file that is not there is an error; if not, it stays unread.
        **given : path-like
            Files to take instead: ``particles``, ``manifolds``, ``trajectories``.

        Raises
        ------
        MissingFileError
            If a file is not there: the message has the entry, the file, and the option to give.
        FileFormatError
            If a file is not what it should be, or refers to what is not there.

        Examples
        --------
        >>> from tomoset.project import open_tomograms
        >>> open_tomograms("optimisation_set.star").load()  # doctest: +SKIP
        """
        files = {name: path for name, path in given.items() if path is not None}
        if not files and not self.unread:
            return self
        loaded: Project = entered("load")(self, files, check_links=check_links)
        return loaded

    def write(self, folder: StrPath, format: str | None = None) -> Path:
        """Write all sets into one folder, under RELION's names: all of them or none.

        Sets that have not been read stay where they are, and are named.

        Parameters
        ----------
        folder : path-like
            Made if it is not there.
        format : str, optional
            Name of a format; that of the tomograms if not given.

        Returns
        -------
        Path
            Of the file that ties them together.

        Raises
        ------
        UnsupportedError
            If the format is not known, or cannot say what the tomograms are.
        ModelError
            If sets contradict each other. Then nothing is written.

        Examples
        --------
        >>> import tempfile
        >>> from tomoset import Optics, Tomogram, open_project
        >>> one = Tomogram(name="001", n_tilts=2, stack="001.mrc", size=(40, 40, 20),
        ...                optics=Optics(pixel_size=2.0), pre_exposure=[0.0, 3.0])
        >>> made = Project(tomograms=TomogramSet([one])).write(tempfile.mkdtemp())
        >>> made.name, list(open_project(made).tomograms)
        ('optimisation_set.star', ['001'])
        """
        made: Path = entered("write_project")(self, folder, format)
        return made

    def __repr__(self) -> str:
        parts = [f"{len(self.tomograms)} tomograms"]
        held = vars(self)
        if (particles := held["particles"]) is not None:
            parts.append(f"{len(particles)} particles")
        if (manifolds := held["manifolds"]) is not None:
            parts.append(f"{sum(map(len, manifolds.values()))} manifolds")
        if (trajectories := held["trajectories"]) is not None:
            parts.append(f"{len(trajectories)} trajectories")
        if self.fiducials:
            parts.append(f"fiducials of {len(self.fiducials)}")
        if self.unread:
            parts.append(f"unread: {', '.join(self.unread)}")
        return f"<Project: {', '.join(parts)}>"
