"""Beads that IMOD has tracked, as if they were found here."""

from __future__ import annotations

import os

from tomoset.errors import MissingFileError
from tomoset.fiducials.finder.coarse import corrected, robust_positions
from tomoset.formats import beads_format
from tomoset.images.stack import read_header
from tomoset.images.tilt_series import TiltSeries
from tomoset.model import Fiducials, Observations, Tomogram


def read_imod_beads(path: str, tomogram: Tomogram, images: TiltSeries) -> Fiducials:
    """Where IMOD saw the beads of a tilt series, and where they are by its alignment.

    Parameters
    ----------
    path : str
        ``.resid``, or a model: ``.fid``, ``.mod``. If the transforms of the pre-aligned stack are
        beside it (``.prexg``, or ``.xf`` and ``.tltxf``), it is of that stack, else of the raw
        images; which, is said.
    tomogram : Tomogram
        Aligned, however well.
    images : TiltSeries
        Its images.

    Raises
    ------
    MissingFileError
        If there is no such file.
    FileFormatError
        If it is something else, or of another stack.
    """
    if not os.path.isfile(path):
        raise MissingFileError(f"tomogram {tomogram.name!r}: there is no file of beads {path}")
    seen = _observations(path, tomogram, images)
    tomogram = tomogram.placed(None, images.size)
    points = seen.grid(tomogram.n_tilts)
    if tomogram.deformation is not None:
        points = tomogram.deformation.undo(points, image_size=images.size)
    better, _ = corrected(tomogram.need_projections(), points, rotated=True)
    return Fiducials(points=robust_positions(better, points), observations=seen)


def _observations(path: str, tomogram: Tomogram, images: TiltSeries) -> Observations:
    kept = None if tomogram.image_index is None else tomogram.image_index.tolist()
    files = {file for file, _ in images.sections}
    number = read_header(files.pop()).n_images if len(files) == 1 else len(images)
    return beads_format(path).read_observations(path, (*images.size, number), kept)
