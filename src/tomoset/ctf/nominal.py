"""Where the specimen lies: as the set has it, or by the stage's angles if it is not aligned."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tomoset.errors import ModelError
from tomoset.model import Alignment, Tomogram

#: How far the tilt axis may be from what the set says, where it was aligned and where not [deg].
ALIGNED, NOMINAL = 0.5, 5.0
#: Thickness of a tomogram whose size is not known, of the width of its images.
_DEPTH = 4


def is_aligned(tomogram: Tomogram) -> bool:
    """Whether the set says how each image sees the specimen."""
    return tomogram.projections is not None or tomogram.alignment is not None


def in_place(tomogram: Tomogram, image_size: tuple[int, int]) -> Tomogram:
    """The tomogram with projections, its table valid at its middle.

    Parameters
    ----------
    tomogram : Tomogram
        Aligned or not, with or without a size.
    image_size : (int, int)
        Width and height of its images [px].

    Raises
    ------
    ModelError
        If neither an alignment nor the stage's angles are known.
    """
    tomogram.need_pixel_size()
    size = tomogram.size or (*image_size, max(image_size) // _DEPTH)
    if not is_aligned(tomogram):
        tomogram = replace(tomogram, alignment=_as_the_stage_says(tomogram))
    placed = tomogram.placed(size, image_size)
    return placed.with_depth_origin(np.array(size) / 2)


def _as_the_stage_says(tomogram: Tomogram) -> Alignment:
    tilts, axis = tomogram.nominal_tilts, tomogram.nominal_axis
    for what, values, cure in (
        ("tilt angles", tilts, "import it with its .mdoc or .rawtlt"),
        ("direction of the tilt axis", axis, "import it with its .mdoc, or give the axis there"),
    ):
        if values is None or np.isnan(values).any():
            raise ModelError(
                f"tomogram {tomogram.name!r} is not aligned, and the set does not say its {what}, "
                f"without which the defocus across its images is not known; {cure}"
            )
    assert tilts is not None
    assert axis is not None
    angles = np.column_stack([np.zeros(tomogram.n_tilts), tilts, axis])
    return Alignment(angles=angles, shifts=np.zeros((tomogram.n_tilts, 2)))
