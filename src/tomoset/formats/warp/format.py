"""Warp as a format; what reads and writes is loaded when it is used."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tomoset.errors import ModelError
from tomoset.files import together, write
from tomoset.formats._destination import Destination
from tomoset.formats._format import Format
from tomoset.formats._importing import refuse_impossible
from tomoset.formats._words import Loss, Option, Reading, StrPath, Tolerance, say_losses
from tomoset.model import Project

if TYPE_CHECKING:
    from tomoset.formats.warp.sizes import ImportOptions

_OPTIONS = (
    Option("settings", "--settings", "A .settings file.", kind="path", metavar="FILE"),
    Option("pixel_size", "--angpix", "Pixel size of the tilt images.", metavar="A"),
    Option(
        "size",
        "--size",
        "Size of the tomograms, px, where files do not say it.",
        kind="text",
        metavar="'W H D'",
    ),
    Option(
        "image_size",
        "--image-size",
        "Size of the tilt images, px, where neither files nor images say it.",
        kind="text",
        metavar="'W H'",
    ),
    Option(
        "images",
        "--images",
        "Folder of the tilt images, called like the movies.",
        kind="text",
        metavar="DIR",
    ),
    Option(
        "dose",
        "--dose",
        "What doses in the files are: before, middle or after an image. By default what the "
        "version of Warp means by them.",
        kind="text",
        metavar="WHEN",
    ),
    Option(
        "optics_group",
        "--optics-group",
        "Name of the optics group of all series.",
        kind="text",
        default="opticsGroup1",
        metavar="NAME",
    ),
)


class Warp(Format):
    """Alignments of Warp, WarpTools and M."""

    name = "warp"
    package = "Warp"
    url = "https://warpem.github.io/warp/"
    reads = "tilt series `.xml`, `.tomostar`, `.settings`, folders of them"
    writes = "`.xml`, `.tomostar` and `.settings`"
    abilities = frozenset({"deformation", "single images", "excluded views"})
    labels: Mapping[str, str] = {
        "size": "VolumeDimensionsAngstrom",
        "image_size": "ImageDimensionsAngstrom",
        "pre_exposure": "Dose",
        "hand": "AreAnglesInverted",
        "movies": "MoviePath",
    }
    options = _OPTIONS
    needs: Mapping[str, tuple[str, ...]] = {
        "": ("images", "projections", "size", "image_size", "pixel_size", "pre_exposure")
    }
    about = """Import tilt series of Warp, WarpTools and M.

    \b
        tomoset import warp warp_tiltseries/*.xml -o tomograms.star
        tomoset import warp warp_tiltseries.settings -o tomograms.star

    SOURCES are .xml files, .tomostar files, a .settings file, or folders of them. The tomogram
    is Warp's volume. Movement of images (GridMovement) becomes a 2D deformation.
    """

    def detect(self, path: str, head: bytes) -> bool:  # noqa: ARG002
        """Whether a file is a tilt series of Warp."""
        plain = head[:4096].replace(b"\0", b"")
        return b"<TiltSeries" in plain and plain.lstrip(b"\xef\xbb\xbf\xff\xfe \r\n\t")[:1] == b"<"

    def refuse_options(self, sources: Sequence[StrPath], given: Mapping[str, Any]) -> None:
        """Refuse options that say nothing possible."""
        if not sources:
            raise ModelError("give Warp's .xml, .tomostar or .settings files, or folders of them")
        refuse_impossible(given)
        if given["dose"] not in (None, "before", "middle", "after"):
            raise ModelError(f"--dose must be before, middle or after, not {given['dose']!r}")
        for name, option, count in (("size", "--size", 3), ("image_size", "--image-size", 2)):
            _sizes(given[name], option, count)

    def read_series(
        self, sources: Sequence[StrPath], given: Mapping[str, Any], destination: Destination
    ) -> Reading:
        """The series of files and folders."""
        from tomoset.formats.warp.batch import read_series

        return read_series(sources, _import_options(given), destination)

    def write(
        self,
        project: Project,
        folder: StrPath,
        tolerance: Tolerance | None = None,
    ) -> str:
        """Write a ``.xml`` and a ``.tomostar`` for each tilt series, and their ``.settings``."""
        from tomoset.formats.warp.write import texts_of

        del tolerance
        say_losses(self.losses(project))
        settings, texts = texts_of(project.tomograms, os.fspath(folder))
        with together():
            for path, text in texts.items():
                write(path, text.encode())
        return settings

    def losses(self, project: Project) -> dict[str, Loss]:
        """What Warp's files cannot say."""
        from tomoset.formats.warp.losses import losses_of

        return losses_of(project)

    def place(self, folder: StrPath, name: str) -> str:
        """The ``.xml`` of a series."""
        from tomoset.formats.warp.write import PROCESSING

        return os.path.join(folder, PROCESSING, f"{name}.xml")

    def told(self, project: Project) -> dict[str, Any]:
        """The name of the optics group: Warp has none."""
        return next(({"optics_group": t.optics.group} for t in project.tomograms.values()), {})


def _sizes(given: str | None, option: str, count: int) -> tuple[int, ...] | None:
    if given is None:
        return None
    try:
        sides = tuple(int(word) for word in given.replace(",", " ").split())
    except ValueError:
        sides = ()
    if len(sides) != count or min(sides) < 1:
        raise ModelError(f"{option} must be {count} whole numbers above 0, not {given!r}")
    return sides


def _import_options(given: Mapping[str, Any]) -> ImportOptions:
    from tomoset.formats.warp.sizes import ImportOptions

    size, image = _sizes(given["size"], "--size", 3), _sizes(given["image_size"], "--image-size", 2)
    same = ("pixel_size", "dose", "settings", "images", "optics_group")
    return ImportOptions(
        **{name: given[name] for name in same},
        size=None if size is None else (size[0], size[1], size[2]),
        image_size=None if image is None else (image[0], image[1]),
    )


WARP = Warp()
