"""Tilt series of ``.mdoc`` files and their images made into tomograms that are not aligned."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tomoset.errors import MissingFileError
from tomoset.formats._importing import named_for_relion, optics_of, volume_about
from tomoset.formats.mdoc.acquisition import acquisition_of
from tomoset.formats.mdoc.averages import Averages, Folders, nothing_there, of_averages
from tomoset.formats.mdoc.axis import nominal_axis
from tomoset.formats.mdoc.document import Section, assume
from tomoset.formats.mdoc.pictures import Pictures
from tomoset.formats.mdoc.raw_stacks import of_stack, stack_in
from tomoset.formats.mdoc.series import Series
from tomoset.model import Tomogram
from tomoset.paths import from_here

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Imported:
    """A tomogram, what says its order, what else was found, and the files of its images."""

    tomogram: Tomogram
    order: str
    notes: tuple[str, ...]
    files: tuple[str, ...]


def import_series(series: Series, given: Mapping[str, Any], folders: Folders) -> Imported:
    """The tomogram of a series: rows as in its stack, or by tilt where images are single.

    Parameters
    ----------
    series : Series
    given : mapping
        The options of the format.
    folders : Folders
        What was looked at for other series.

    Raises
    ------
    TomosetError
        If its images are not there, or what is said of them is contradictory.
    """
    acquired = acquisition_of(series.name, series.sections, given)
    pictures = _pictures(series, acquired.tilts, given, folders)
    axis = nominal_axis(series.documents, series.sections)
    kept, size = pictures.kept, pictures.header.size
    index, thick = pictures.index, given["thickness"]
    whole = index is not None and np.array_equal(index, np.arange(pictures.header.n_images))
    t = Tomogram(
        name=series.name,
        n_tilts=len(kept),
        optics=optics_of(_microscope(series, pictures, given), pictures.header),
        hand=int(given["hand"]),
        stack=None if pictures.stack is None else named_for_relion(pictures.stack),
        image_index=None if whole else index,
        images=pictures.single,
        half_images=pictures.halves,
        movies=movies_of([series.sections[i] for i in kept], given["frames"]),
        image_size=size,
        size=thick and volume_about(axis or 0.0, size, thick).size,
        nominal_tilts=acquired.tilts[kept],
        nominal_axis=None if axis is None else np.full(len(kept), axis),
        acquisition=None if acquired.ranks is None else acquired.ranks[kept],
        exposure=None if acquired.exposure is None else acquired.exposure[kept],
        pre_exposure=None if acquired.pre_exposure is None else acquired.pre_exposure[kept],
        fractional_dose=acquired.fractional_dose,
    )
    if t.images is not None:
        t = t.select(np.argsort(acquired.tilts[kept], kind="stable"))
    return Imported(tomogram=t, order=acquired.how, notes=pictures.notes, files=pictures.files)


def _pictures(series: Series, tilts: Array, given: Mapping[str, Any], folders: Folders) -> Pictures:
    """The stack beside the file, or single images; the latter first in a place that is given."""
    place = given["images"] or os.path.dirname(series.path)
    stack = stack_in(series, place)
    if stack is not None and (given["images"] is None or stack == place):
        return of_stack(series, stack, tilts, given)
    averages = Averages.of(series, place, given["frame_names"], folders)
    if averages.affixes:
        return of_averages(series, averages, given, folders)
    if stack is not None:
        return of_stack(series, stack, tilts, given)
    raise MissingFileError(nothing_there(series, averages))


def movies_of(sections: Sequence[Section], folder: str | None) -> tuple[str, ...] | None:
    """Movies of sections: in a folder, or beside the file; else as it names them."""
    names = [section.frames for section in sections]
    if not names or not all(names):
        return None
    found = []
    for section, name in zip(sections, names, strict=True):
        base, beside = os.path.basename(name or ""), os.path.dirname(section.path)
        tail = os.path.join(*(name or "").lstrip("/").split("/")[-2:])
        places = (
            [os.path.join(folder, base)]
            if folder
            else [os.path.join(beside, p) for p in (base, tail, os.path.join("frames", base))]
        )
        there = next((place for place in places if os.path.isfile(place)), None)
        found.append(from_here(there) if there else places[0] if folder else name or "")
    gone = [path for path in found if folder and not os.path.isfile(path)]
    if gone:
        assume(f"{len(gone)} of {len(found)} movies are not there, such as {gone[0]}")
    return tuple(found)


def _microscope(series: Series, pictures: Pictures, given: Mapping[str, Any]) -> dict[str, Any]:
    """The options of optics; what is not given as the file has it."""
    told = dict(given)
    if told["voltage"] is None:
        told["voltage"] = series.documents[0].head.number("Voltage") or 300.0
    spacings = {section.number("PixelSpacing") for section in series.sections}
    spacings.add(series.documents[0].head.number("PixelSpacing"))
    said = sorted(s for s in spacings if s)
    header = pictures.header.pixel_size
    known = header > 0 and abs(header - 1) > 1e-6
    if told["pixel_size"] is None and said and not known:
        told["pixel_size"] = said[0]
        assume(f"{series.name}: pixel size, {said[0]:g} Å, as the .mdoc has it: no header says it")
    elif told["pixel_size"] is None and said and abs(header / said[0] - 1) > 0.05:
        assume(
            f"{series.name}: pixel size of the images, {header:.4g} Å by their headers, is "
            f"{header / said[0]:.3g} times that of the .mdoc: binned, or super-resolution?"
        )
    return told
