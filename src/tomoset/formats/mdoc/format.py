"""``.mdoc`` files as a format: what the microscope says of tilt series, and their images."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from tomoset.errors import ModelError, some_of
from tomoset.files import together
from tomoset.formats._destination import Destination
from tomoset.formats._format import Format
from tomoset.formats._importing import (
    FRACTIONAL_DOSE,
    HAND,
    MICROSCOPE,
    OPTICS_GROUP,
    PIXEL_SIZE,
    THICKNESS,
    of_file,
    refuse_impossible,
    refuse_odd_thickness,
)
from tomoset.formats._words import Failures, Option, Reading, StrPath, part
from tomoset.formats.mdoc.document import MARK
from tomoset.model import Project, Tomogram
from tomoset.paths import file_names

_OPTIONS = (
    Option(
        "images",
        "--images",
        "The stack, or the folder or pattern of stacks or averages; by default beside the .mdoc.",
        kind="text",
        metavar="PATH",
    ),
    Option("even", "--even", "Images of the even frames, likewise.", kind="text", metavar="PATH"),
    Option("odd", "--odd", "Images of the odd frames, likewise.", kind="text", metavar="PATH"),
    Option(
        "frame_names",
        "--frame-names",
        "What in the names of movies is called otherwise in those of images.",
        kind="text",
        metavar="OLD=NEW",
    ),
    Option(
        "frames",
        "--frames",
        "The folder of the movies, which the set names.",
        kind="text",
        metavar="DIR",
    ),
    replace(PIXEL_SIZE, help=f"{PIXEL_SIZE.help[:-1]}, or the .mdoc."),
    replace(FRACTIONAL_DOSE, help="Dose of one tilt image, e/Å², whatever the .mdoc says."),
    Option(
        "order_by",
        "--order-by",
        "What says the order of acquisition: date, dose, names or file.",
        kind="text",
        metavar="WHAT",
    ),
    Option(
        "order_list",
        "--ol",
        "Order list: lines of a number and a tilt angle, in the order of acquisition.",
        kind="path",
        metavar="CSV",
    ),
    THICKNESS,
    Option(
        "write_stack",
        "--write-stack",
        "Write stacks in the order of the tilts, .rawtlt and order lists, beside the set.",
        kind="flag",
    ),
    HAND,
    replace(MICROSCOPE[0], help="kV; by default as the .mdoc says, else 300.", default=None),
    *MICROSCOPE[1:],
    OPTICS_GROUP,
)


class Mdoc(Format):
    """What SerialEM and Tomo5 say of tilt series, and the images."""

    name = "mdoc"
    package = "SerialEM"
    url = "https://bio3d.colorado.edu/SerialEM/hlp/html/about_formats.htm"
    reads = "`.mdoc` of SerialEM and Tomo5, of tilt series or of their movies, with the images"
    abilities = frozenset({"single images", "parts of stacks"})
    labels: Mapping[str, str] = {
        "nominal_tilts": "TiltAngle",
        "exposure": "ExposureDose",
        "pre_exposure": "PriorRecordDose",
        "movies": "SubFramePath",
        "stack": "ImageFile",
        "pixel_size": "PixelSpacing",
        "voltage": "Voltage",
    }
    options = _OPTIONS
    about = """Make a set of what .mdoc files say of tilt series, and their images.

    \b
        tomoset import mdoc TS_*.mdoc -o tomograms.star --images averages --fd 3
        tomoset import mdoc mdocs -o tomograms.star --thick 1500 --write-stack

    Images are a stack beside each .mdoc, or single ones called like the movies; those of even
    and odd frames are found by their names (_EVN, _ODD). Order and doses follow from dates,
    doses and names, which must agree. The set is not aligned.
    """

    def detect(self, path: str, head: bytes) -> bool:
        """Whether a file has a section of an ``.mdoc``, and no bytes that are no text."""
        del path
        return MARK.search(head) is not None and b"\0" not in head

    def refuse_options(self, sources: Sequence[StrPath], given: Mapping[str, Any]) -> None:
        """Refuse options that contradict each other, or say nothing possible."""
        from tomoset.formats.mdoc.acquisition import ORDERS

        if not sources:
            raise ModelError("give .mdoc files, or folders of such")
        refuse_impossible(given)
        refuse_odd_thickness(given)
        if given["order_by"] not in (None, *ORDERS):
            raise ModelError(f"--order-by takes one of {', '.join(ORDERS)}")
        if given["order_by"] is not None and given["order_list"] is not None:
            raise ModelError("--order-by and --ol both say the order: give one of the two")
        if given["frame_names"] is not None and "=" not in given["frame_names"]:
            raise ModelError("--frame-names takes OLD=NEW")

    def read_series(
        self, sources: Sequence[StrPath], given: Mapping[str, Any], destination: Destination
    ) -> Reading:
        """The series of ``.mdoc`` files.

        With `write_stack`, stacks go into the folder ``stacks`` beside the set.
        """
        from tomoset.formats.mdoc.averages import Folders
        from tomoset.formats.mdoc.importer import import_series
        from tomoset.formats.mdoc.series import all_series

        if given["write_stack"] and destination.target is None:
            raise ModelError("stacks are written beside a set, and there is none (`write_stack`)")
        failures: Failures = []
        made: list[Tomogram] = []
        notes: list[str] = []
        orders: dict[str, list[str]] = {}
        owners: dict[str, str] = {}
        folders = Folders()
        with together():
            for series in all_series(sources, failures):
                with part(failures, series.path), of_file(series.path):
                    one = import_series(series, given, folders)
                    _refuse_used(series.path, one.files, owners)
                    t = replace(one.tomogram, name=destination.names(series.name))
                    made.append(t)
                    notes += one.notes
                    orders.setdefault(one.order, []).append(t.name)
            destination.refuse_duplicates(t.name for t in made)
            if destination.target is not None and given["write_stack"]:
                made = _stacked(made, destination.target)
        return Reading(
            project=Project(tomograms=destination.joined(made, self.name)),
            notes=[*_told(orders), *notes],
            failures=failures,
        )


def _told(orders: Mapping[str, Sequence[str]]) -> list[str]:
    """What says the order, by the names of series."""
    return [f"order by {how}: {some_of(names)}" for how, names in orders.items() if how]


def _refuse_used(path: str, files: Sequence[str], owners: dict[str, str]) -> None:
    """Refuse images that are of another series already."""
    for file in files:
        owner = owners.setdefault(os.path.realpath(file), path)
        if owner != path:
            raise ModelError(f"{file} is an image of {owner} already")


def _stacked(tomograms: Sequence[Tomogram], target: StrPath) -> list[Tomogram]:
    from tomoset.formats.mdoc.ordered_stacks import with_ordered_stacks

    folder = os.path.join(os.path.dirname(os.fspath(target)), "stacks")
    names = file_names(t.name for t in tomograms)
    return [with_ordered_stacks(t, folder, names[t.name]) for t in tomograms]


MDOC = Mdoc()
