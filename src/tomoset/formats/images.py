"""Images that are not aligned, or were before: stacks or single ones, and their tilt angles."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tomoset import geometry
from tomoset.errors import (
    AmbiguityError,
    FileFormatError,
    MissingFileError,
    ModelError,
    some_of,
)
from tomoset.formats._ctf_tables import read_defocus
from tomoset.formats._destination import Destination
from tomoset.formats._dose import match_order, read_order
from tomoset.formats._files import fitting
from tomoset.formats._format import Format
from tomoset.formats._importing import (
    FRACTIONAL_DOSE,
    HAND,
    MICROSCOPE,
    OPTICS_GROUP,
    PIXEL_SIZE,
    THICKNESS,
    named_for_relion,
    optics_of,
    refuse_impossible,
    refuse_odd_thickness,
    to_axis,
    volume_about,
)
from tomoset.formats._matching import IMAGE_ENDINGS
from tomoset.formats._text_tables import read_angles
from tomoset.formats._words import Failures, Option, Reading, StrPath, part
from tomoset.images.mrc import stack_path
from tomoset.images.stack import ImageHeader, read_header
from tomoset.model import Project, Tomogram

Array = npt.NDArray[np.float64]

#: No series is longer, and no angle larger [deg].
_MANY, _STEEPEST = 100_000, 180.0

_OPTIONS = (
    PIXEL_SIZE,
    Option(
        "angles",
        "--angles",
        "Tilt angles in the order of the images: -60:60:3, or -60,-57,...",
        kind="text",
        metavar="LIST",
    ),
    Option(
        "tilt_angles",
        "--tlt",
        "Files of tilt angles, by a pattern; by default .rawtlt or .tlt of the stack's name.",
        kind="text",
        metavar="GLOB",
    ),
    Option(
        "ctf",
        "--ctf",
        "Tables of defocus of any program, by a pattern.",
        kind="text",
        metavar="GLOB",
    ),
    Option("flip_angles", "--flipAng", "Change the sign of the tilts.", kind="flag"),
    Option(
        "aligned",
        "--aligned",
        "The images are aligned: the tilt axis goes through their middle, along --axis.",
        kind="flag",
    ),
    Option(
        "axis",
        "--axis",
        "Direction of the tilt axis in aligned images, degrees counter-clockwise from y.",
        metavar="DEG",
    ),
    THICKNESS,
    FRACTIONAL_DOSE,
    Option(
        "order_list",
        "--ol",
        "Order list: lines of a number and a tilt angle, in the order of acquisition.",
        kind="path",
        metavar="CSV",
    ),
    HAND,
    *MICROSCOPE,
    OPTICS_GROUP,
)


@dataclass(frozen=True, kw_only=True)
class _Series:
    """The images of one series: a stack, or a file for each."""

    name: str
    files: tuple[str, ...]
    header: ImageHeader

    @property
    def is_stack(self) -> bool:
        return len(self.files) == 1

    @property
    def n_images(self) -> int:
        return self.header.n_images if self.is_stack else len(self.files)

    @property
    def stem(self) -> str:
        """How the path of files begins that belong to it."""
        first = Path(self.files[0])
        own = first.with_suffix("") if self.is_stack else first.parent / self.name
        return os.fspath(own)


class Images(Format):
    """Images, and angles."""

    name = "images"
    package = "images alone"
    url = "https://bio3d.colorado.edu/imod/doc/mrc_format.txt"
    reads = "stacks or single images in MRC or TIFF, with tilt angles"
    abilities = frozenset({"single images"})
    labels: Mapping[str, str] = {"nominal_tilts": "tilt angles"}
    options = _OPTIONS
    about = """Make a set of images that are not aligned, or were aligned before.

    \b
        tomoset import images TS_01.mrc TS_02.mrc -o tomograms.star --angpix 1.35
        tomoset import images stem/*.mrc -o tomograms.star --angles -70:70:2 \\
            --aligned --axis 90 --thick 300

    A stack is a series, called like its file; so are all single images together, or those of
    a folder, in the order of their numbers. With --aligned the tilt axis goes through the
    middle of every image: projections follow from the angles.
    """

    def refuse_options(self, sources: Sequence[StrPath], given: Mapping[str, Any]) -> None:
        """Refuse options that contradict each other, or say nothing possible."""
        if not sources:
            raise ModelError("give stacks, single images, or folders of such")
        refuse_impossible(given)
        if given["angles"] is not None and given["tilt_angles"] is not None:
            raise ModelError("--angles and --tlt both say the tilt angles: give one of the two")
        if given["angles"] is not None:
            parse_angles(given["angles"])
        refuse_odd_thickness(given)
        axis = given["axis"]
        if axis is not None and not given["aligned"]:
            raise ModelError(
                "--axis is where the tilt axis of aligned images lies: a set that is not aligned "
                "has none; add --aligned if it goes through the middle of every image"
            )
        if axis is not None and not abs(axis) <= 2 * _STEEPEST:
            raise ModelError("--axis must be within ±360 degrees")
        if given["aligned"] and given["thickness"] is None:
            raise ModelError("--aligned needs the depth of the tomograms: give it by --thick")
        if (given["order_list"] is None) != (given["fractional_dose"] is None):
            raise ModelError("doses need the order list and the dose of an image: --ol and --fd")

    def read_series(
        self, sources: Sequence[StrPath], given: Mapping[str, Any], destination: Destination
    ) -> Reading:
        """The series of stacks and single images, as one set."""
        failures: Failures = []
        made: list[Tomogram] = []
        for one in _all_series(sources, failures):
            with part(failures, one.name):
                made.append(replace(_tomogram(one, given), name=destination.names(one.name)))
        return Reading(
            project=Project(tomograms=destination.joined(made, self.name)),
            failures=failures,
        )


def parse_angles(text: str) -> Array:
    """Angles of ``first:last:step`` or a list with commas [deg].

    Raises
    ------
    ModelError
        If it is neither.

    Examples
    --------
    >>> parse_angles("-6:6:3").tolist(), parse_angles("0,3,-3").tolist()
    ([-6.0, -3.0, 0.0, 3.0, 6.0], [0.0, 3.0, -3.0])
    """
    is_range = ":" in text
    try:
        values = [float(word) for word in re.split("[:]" if is_range else "[, ]+", text.strip())]
    except ValueError:
        values = []
    wrong = not values or not all(abs(value) <= _STEEPEST for value in values)
    if wrong or (is_range and (len(values) != 3 or values[2] == 0)):
        raise ModelError(
            f"--angles takes tilt angles within ±180°, as -60:60:3 or -60,-57,-54, not {text!r}"
        )
    if not is_range:
        return np.array(values)
    first, last, step = values
    count = (last - first) / step
    if not (0 <= count < _MANY and abs(count - round(count)) < 1e-6):
        raise ModelError(
            f"--angles {text}: steps of {step:g} do not lead from {first:g} to {last:g}"
        )
    return np.asarray(first + step * np.arange(round(count) + 1))


def _all_series(sources: Sequence[StrPath], failures: Failures) -> list[_Series]:
    """Stacks, and single images together, of what is given."""
    series: list[_Series] = []
    single: list[ImageHeader] = []
    for source in [os.fspath(source) for source in sources]:
        with part(failures, source):
            if os.path.isdir(source):
                series += _in_folder(Path(source))
                continue
            header = read_header(source)
            if header.n_images > 1:
                name = os.path.splitext(os.path.basename(stack_path(source)))[0]
                series.append(_Series(name=name, files=(source,), header=header))
            else:
                single.append(header)
    if single:
        with part(failures, single[0].path):
            single.sort(key=lambda header: _by_number(os.fspath(header.path)))
            series.append(_of_single(_common_name(single), single))
    return series


def _in_folder(folder: Path) -> list[_Series]:
    headers = [
        read_header(folder / name)
        for name in sorted(os.listdir(folder), key=_by_number)
        if name.lower().endswith(IMAGE_ENDINGS)
    ]
    single = [header for header in headers if header.n_images == 1]
    if not headers:
        raise MissingFileError(f"{folder}: no image is there (endings {', '.join(IMAGE_ENDINGS)})")
    found = [
        _Series(name=Path(header.path).stem, files=(os.fspath(header.path),), header=header)
        for header in headers
        if header.n_images > 1
    ]
    return [*found, *([_of_single(folder.resolve().name, single)] if single else [])]


def _by_number(name: str) -> list[tuple[int, str]]:
    """To sort names as people do: 9 before 10."""
    return [
        (int(word), "") if word.isdecimal() else (-1, word) for word in re.split(r"(\d+)", name)
    ]


def _of_single(name: str, headers: Sequence[ImageHeader]) -> _Series:
    if len(headers) < 2:
        raise FileFormatError(
            "this is one image; a tilt series is a stack, or has an image for each tilt",
            path=headers[0].path,
        )
    first = headers[0]
    for header in headers:
        if header.size != first.size:
            raise FileFormatError(
                f"images of a series differ in size: {header.size[0]} x {header.size[1]} px here, "
                f"{first.size[0]} x {first.size[1]} in {first.path}",
                path=header.path,
            )
    return _Series(name=name, files=tuple(os.fspath(h.path) for h in headers), header=first)


def _common_name(headers: Sequence[ImageHeader]) -> str:
    """What the names of single images have in common; else that of their folder."""
    paths = [Path(header.path) for header in headers]
    words = zip(*(re.split(r"(?<=[_.\- ])", path.stem) for path in paths), strict=False)
    common = "".join(same[0] for same in itertools.takewhile(lambda w: len(set(w)) == 1, words))
    return common.rstrip("_-. ") or paths[0].resolve().parent.name


def _tomogram(series: _Series, given: Mapping[str, Any]) -> Tomogram:
    tilts = _tilts(series, given)
    size = series.header.size
    t = Tomogram(
        name=series.name,
        n_tilts=series.n_images,
        optics=optics_of(given, series.header),
        hand=int(given["hand"]),
        stack=named_for_relion(series.files[0]) if series.is_stack else None,
        images=None if series.is_stack else series.files,
        image_size=size,
        nominal_tilts=tilts,
        pre_exposure=_doses(tilts, given),
        fractional_dose=given["fractional_dose"],
        **_defocus(series, tilts, given["ctf"]),
    )
    if given["thickness"] is not None:
        axis = given["axis"] or 0.0
        volume = volume_about(axis, size, given["thickness"])
        t = replace(t, size=volume.size)
        if given["aligned"]:
            projections = geometry.imod_projections(
                to_axis(np.full(len(tilts), axis)),
                tilts,
                np.zeros(len(tilts)),
                volume=volume,
                raw_size=size,
            )
            t = replace(t, projections=projections, depth_origin=np.array(volume.size) / 2 - 1)
    return t


def _defocus(series: _Series, tilts: Array, given: str | None) -> dict[str, Any]:
    if given is None:
        return {}
    files = _given(series, "--ctf", given)
    return read_defocus(files, series.n_images, tilts=tilts, stack=series.name).fields()


def _tilts(series: _Series, given: Mapping[str, Any]) -> Array:
    """Angles of the images, in their order [deg]."""
    sign = -1.0 if given["flip_angles"] else 1.0
    if given["angles"] is not None:
        angles, path = parse_angles(given["angles"]), "--angles"
    else:
        path = _angle_file(series, given["tilt_angles"], aligned=given["aligned"])
        angles = read_angles(path)
    if len(angles) != series.n_images:
        raise FileFormatError(
            f"expected angles of the {series.n_images} images of {series.name}, found "
            f"{len(angles)}",
            path=path,
        )
    if len(angles) > 1 and not angles.any():
        raise FileFormatError("all tilt angles are 0", path=path)
    return sign * angles + 0.0


def _angle_file(series: _Series, given: str | None, *, aligned: bool) -> str:
    """The file of angles: as given, or of the series' name, refined angles for aligned images."""
    folder, stem = os.path.dirname(series.stem) or ".", series.stem
    if given is not None:
        own = _given(series, "--tlt", given)
        if len(own) > 1:
            raise AmbiguityError(f"{series.name}: --tlt {given} fits {some_of(own)}; give one")
        return own[0]
    endings = (".tlt", ".rawtlt") if aligned else (".rawtlt", ".tlt")
    names = [start + ending for start in (stem, series.files[0]) for ending in endings]
    there = [name for name in names if os.path.isfile(name)]
    if not there and not series.is_stack:
        there = [os.path.join(folder, n) for n in os.listdir(folder) if n.endswith(endings)]
        if len(there) > 1:
            raise AmbiguityError(
                f"{series.name}: {some_of(sorted(there))} could each be the tilt angles; say which "
                "by --tlt"
            )
    if not there:
        raise MissingFileError(
            f"{series.name}: no file of tilt angles: {stem}.rawtlt or .tlt is not there; give one "
            "by --tlt, or the angles themselves by --angles"
        )
    return there[0]


def _given(series: _Series, option: str, given: str) -> tuple[str, ...]:
    """The files that an option gives, by a pattern, in the folder of the series."""
    folder = os.path.dirname(series.stem) or "."
    found = fitting(given, folder, os.path.basename(series.stem))
    if not found:
        raise MissingFileError(f"{series.name}: {option} {given} fits no file in {folder}")
    return found


def _doses(tilts: Array, given: Mapping[str, Any]) -> Array | None:
    if given["order_list"] is None:
        return None
    lines = match_order(tilts, read_order(given["order_list"]))
    return np.asarray(lines * float(given["fractional_dose"]))


IMAGES = Images()
