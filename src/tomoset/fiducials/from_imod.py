"""Beads that IMOD has tracked, as if they were found here."""

from __future__ import annotations

import os
import warnings

from tomoset.errors import AssumptionWarning, MissingFileError
from tomoset.fiducials.finder.rough import corrected, robust_places
from tomoset.formats.imod.bead_models import read_bead_model
from tomoset.formats.imod.bead_stacks import ImodStack, prealigned_stack
from tomoset.formats.imod.residuals import read_residuals
from tomoset.images.stack import read_header
from tomoset.model import Fiducials, Observations, Tomogram
from tomoset.tilt_series import TiltSeries


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
    tomogram.project([[0.0, 0.0, 0.0]])  # says what is missing
    assert tomogram.projections is not None
    better, _ = corrected(tomogram.projections, points, turned=True)
    return Fiducials(points=robust_places(better, points), observations=seen)


def _observations(path: str, tomogram: Tomogram, images: TiltSeries) -> Observations:
    stack = _stack(path, images)
    kept = None if tomogram.image_index is None else tomogram.image_index.tolist()
    if path.endswith(".resid"):
        return read_residuals(path, stack, kept=kept)
    return read_bead_model(path, stack, kept=kept)


def _stack(path: str, images: TiltSeries) -> ImodStack:
    """What the beads were tracked on."""
    files = {file for file, _ in images.places}
    number = len(images)
    if len(files) == 1:
        number = read_header(files.pop()).n_images
    raw_size = (*images.size, number)
    folder, name = os.path.split(os.path.splitext(path)[0])
    try:
        stack = prealigned_stack(folder, name, raw_size)
    except MissingFileError:
        warnings.warn(
            f"{path}: no {name}.prexg is beside it, so it is taken to be of the raw images",
            AssumptionWarning,
            stacklevel=4,
        )
        return ImodStack(raw_size=raw_size)
    warnings.warn(
        f"{path}: taken to be of the pre-aligned stack, whose transforms are beside it",
        AssumptionWarning,
        stacklevel=4,
    )
    return stack
