"""What formats have in common whose tilt series are JSON files."""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from tomoset.errors import FileFormatError, MissingFileError, ModelError, some_of
from tomoset.files import together, write
from tomoset.formats._destination import Destination
from tomoset.formats._dose import match_order, read_order
from tomoset.formats._format import Format
from tomoset.formats._importing import (
    FRACTIONAL_DOSE,
    MICROSCOPE,
    NO_CULL,
    OPTICS_GROUP,
    PIXEL_SIZE,
    SIZE,
    Array,
    Imported,
    bend,
    pixel_size_of,
    refuse_impossible,
    refuse_size,
    unsaid,
)
from tomoset.formats._json import Node, json_bytes, mentions, read_json
from tomoset.formats._nearest import Nearest, shown
from tomoset.formats._reading import read_files
from tomoset.formats._words import Loss, Option, Reading, StrPath, Tolerance, say_losses
from tomoset.images.stack import ImageHeader
from tomoset.model import Optics, Project, Tomogram
from tomoset.paths import file_names

#: Differences of less are those of rounded numbers [px].
_ROUNDED = 5e-4

#: By default as the file has them, or else as for other formats.
_FROM_FILE = tuple(
    replace(one, default=None, help=f"{one.help} By default as files say, else {one.default}.")
    for one in MICROSCOPE
)
JSON_OPTIONS = (
    PIXEL_SIZE,
    Option("hand", "--hand", "Sign of defocus against depth, -1 or 1; by default as files say."),
    *_FROM_FILE,
    SIZE,
    Option("stack", "--stack", "The raw stack, or the folder of all.", kind="text", metavar="PATH"),
    Option(
        "order_list",
        "--ol",
        "Order list, where files say no doses: a number and a tilt angle a line.",
        kind="path",
    ),
    FRACTIONAL_DOSE,
    NO_CULL,
    OPTICS_GROUP,
)


@dataclass(frozen=True, kw_only=True)
class Source:
    """A file to be read, what users say of it, and whether it is the only one."""

    node: Node
    given: Mapping[str, Any]
    alone: bool

    def check_stack(self, header: ImageHeader, count: int, what: str) -> None:
        """Refuse a stack of another number of images than a file says."""
        if header.n_images != count:
            raise FileFormatError(
                f"{what} has {count} images, and {header.path} has {header.n_images}: give the raw "
                "stack (`stack`)",
                path=self.node.path,
            )

    def optics(self, header: ImageHeader, **said: float | None) -> Optics:
        """The optics: as users say, as files say (`said`), or as usual."""
        usual = {option.name: option.default for option in MICROSCOPE}
        known = {name: value for name, value in said.items() if value is not None}
        told = {name: self.given[name] for name in usual if self.given[name] is not None}
        pixel = self.given["pixel_size"]
        return Optics(
            pixel_size=pixel_size_of(pixel or known.pop("pixel_size", None), header),
            group=self.given["optics_group"],
            **(usual | {k: v for k, v in known.items() if k in usual} | told),
        )

    def doses(self, tilts: Array) -> dict[str, Any]:
        """Doses, as an order list and the dose of an image say them."""
        dose = self.given["fractional_dose"]
        if self.given["order_list"] is None:
            return {"fractional_dose": dose}
        lines = match_order(tilts, read_order(self.given["order_list"]))
        return {"fractional_dose": dose, "pre_exposure": np.asarray(lines * float(dose))}


class JsonFormat(Format):
    """A format of JSON files, of one tilt series each, or of several.

    Attributes
    ----------
    keys : tuple of str
        By one of which its files are known.
    pattern : str
        Of their paths in a folder.
    """

    keys: tuple[str, ...]
    pattern: str
    options = JSON_OPTIONS

    @abstractmethod
    def series(self, source: Source) -> Iterable[Imported]:
        """The tilt series of a file."""

    @abstractmethod
    def files_of(self, tomogram: Tomogram, project: Project) -> Nearest:
        """What files say of a tomogram; UnsupportedError where they cannot."""

    @abstractmethod
    def contents(self, files: Any, name: str, folder: str) -> dict[str, object]:
        """The files, by their paths in the folder."""

    def unsaid(self, t: Tomogram, project: Project) -> list[str]:
        """What else is lost of a tomogram."""
        return unsaid(project, t, self.package)

    def detect(self, path: str, head: bytes) -> bool:
        """Whether a file begins as theirs do."""
        del path
        return mentions(head, *self.keys)

    def refuse_options(self, sources: Sequence[StrPath], given: Mapping[str, Any]) -> None:
        """Refuse options that say nothing possible."""
        if not sources:
            raise ModelError(f"give {self.pattern} files of {self.package}, or folders of them")
        refuse_impossible({k: v for k, v in given.items() if v is not None})
        refuse_size(given["size"])
        if given["order_list"] is not None and given["fractional_dose"] is None:
            raise ModelError(
                f"doses need the dose of an image beside the order list: {FRACTIONAL_DOSE.spelling}"
            )

    def found(self, source: StrPath) -> list[str]:
        """The files that a path stands for; MissingFileError where there is none."""
        path = Path(source)
        if path.is_file():
            return [os.fspath(path)]
        found = sorted(os.fspath(p) for p in path.glob(f"**/{self.pattern}") if p.is_file())
        if not found:
            what = f"no {self.pattern} is there" if path.is_dir() else "there is no such file"
            raise MissingFileError(f"{path}: {what}")
        return found

    def read_series(
        self, sources: Sequence[StrPath], given: Mapping[str, Any], destination: Destination
    ) -> Reading:
        """The tilt series of files and folders.

        Excluded images are left out of new stacks in the folder ``culled`` beside the set, or,
        without one, of the table only.
        """

        def series_of(file: str, alone: bool) -> list[Imported]:
            node = read_json(file)
            node.get("")  # that it has keys
            found = list(self.series(Source(node=node, given=given, alone=alone)))
            if not found:
                raise FileFormatError("the file has no tilt series", path=file)
            return found

        return read_files(
            sources,
            self.found,
            series_of,
            self.name,
            destination,
            cull=not given["no_cull"],
        )

    def write(self, project: Project, folder: StrPath, tolerance: Tolerance | None = None) -> str:
        """Write the files of each tilt series into one folder; its path."""
        del tolerance
        say_losses(self.losses(project))
        names, place = file_names(project.tomograms), os.fspath(folder)
        with together():
            for name, t in project.tomograms.items():
                contents = self.contents(self.files_of(t, project), names[name], place)
                for file, content in contents.items():
                    write(os.path.join(place, file), json_bytes(content))
        return place

    def losses(self, project: Project) -> dict[str, Loss]:
        """How far images will be off, and what is not said, by tomogram."""
        lost = {}
        for name, t in project.tomograms.items():
            texts = self.unsaid(t, project)
            pixels, defocus = np.zeros((2, t.n_tilts))
            if t.placed().projections is not None and t.stack is not None:
                files, rows = self.files_of(t, project), shown(t)
                pixels[rows], defocus[rows] = files.pixels, files.defocus
            if pixels.max() > _ROUNDED:
                texts.append(
                    f"has {some_of(self._beyond())} that {self.package} cannot say: up to "
                    f"{pixels.max():.3g} px"
                )
            if t.deformation is not None:
                pixels = pixels + bend(t)
            if texts:
                lost[name] = Loss(texts=tuple(texts), pixels=pixels, defocus=defocus)
        return lost

    def _beyond(self) -> list[str]:
        return [what for what in ("magnification", "stretch", "skew") if what not in self.abilities]
