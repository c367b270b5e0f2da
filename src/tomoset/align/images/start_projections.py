"""Where an alignment by images begins: the set's alignment, or nominal angles and an axis."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from tomoset import geometry
from tomoset.align.images.result import UNKNOWN, ImageOptions
from tomoset.errors import AssumptionWarning, ModelError
from tomoset.model import Alignment, Tomogram
from tomoset.model.tilting import median_angle, tilting

Array = npt.NDArray[np.float64]

#: Depth of a tomogram of which nothing is known [Å], or in thicknesses of its specimen.
_DEPTH, _ROOM = 3000.0, 1.6
#: An axis that is given is another one than the set's if it differs by more [deg].
_SAME = 1e-6
#: Projections that are that near are the same [px].
_NEAR = 0.5


def known_axis(tomogram: Tomogram) -> float | None:
    """Direction of the tilt axis that a tomogram says [deg], by its alignment or as nominal."""
    if tomogram.projections is not None or tomogram.alignment is not None:
        return tilting(tomogram)[1]
    nominal = tomogram.nominal_axis
    if nominal is None or not len(nominal) or np.isnan(nominal).any():
        return None
    return median_angle(nominal)


def started(tomogram: Tomogram, image_size: tuple[int, int], options: ImageOptions) -> Tomogram:
    """A tomogram with projections to begin from.

    Its own, if it is aligned. Else those of its nominal tilts about an axis that goes through the
    middle of all images and of the tomogram (docs/conventions.md, 'Projection'), along
    ``options.axis``, or what the set says, or y where nobody knows. A direction that is given
    replaces that of an alignment: where images show the middle of the tomogram stays.

    Parameters
    ----------
    tomogram : Tomogram
        With a pixel size; aligned or with nominal tilts.
    image_size : (int, int)
        Width and height of the tilt images [px].
    options : ImageOptions
        What is known.

    Returns
    -------
    Tomogram
        With projections, size and image size; a size that the set does not say is guessed, which
        an `AssumptionWarning` tells.

    Raises
    ------
    ModelError
        If there is no pixel size, neither alignment nor nominal tilts, or they are all equal.
    """
    pixel_size = tomogram.need_pixel_size()
    axis = known_axis(tomogram) if options.axis in (None, UNKNOWN) else float(options.axis or 0.0)
    t = tomogram
    if t.projections is None and t.alignment is None:
        t = by_nominal_tilts(t, axis or 0.0)
        _refuse_equal(t)
    if t.size is None:
        size = _guessed(axis, image_size, options.thickness, pixel_size)
        warnings.warn(
            f"tomogram {t.name!r}: its size is not known, and taken to be {size[0]} x {size[1]} x "
            f"{size[2]} px, as wide as the images; another one is given by tomoset crop or pad",
            AssumptionWarning,
            stacklevel=3,
        )
        t = replace(t, size=size)
    t = t.placed(None, image_size)
    t.need_projections()
    _refuse_equal(t)
    if axis is None or options.axis in (None, UNKNOWN):
        return t
    turned = along(t, axis)
    if not np.allclose(turned, t.need_projections(), atol=_NEAR):
        warnings.warn(
            f"tomogram {t.name!r} is aligned, with another tilt axis than {axis:g} degrees: its "
            "frame is rotated about z with the axis, and particles of before do not fit",
            AssumptionWarning,
            stacklevel=3,
        )
    return replace(t, projections=turned)


def by_nominal_tilts(tomogram: Tomogram, axis: float) -> Tomogram:
    """A tomogram that is not aligned, with nominal tilts about an axis [deg] as its alignment.

    Raises
    ------
    ModelError
        If a nominal tilt is not known.
    """
    tilts = tomogram.nominal_tilts
    if tilts is None or np.isnan(tilts).any():
        raise ModelError(
            f"tomogram {tomogram.name!r} is not aligned, and has no nominal tilts for every image: "
            "import its images with their angles (tomoset import images, tomoset import mdoc)"
        )
    angles = np.column_stack([np.zeros(len(tilts)), tilts, np.full(len(tilts), axis)])
    return replace(tomogram, alignment=Alignment(angles=angles, shifts=np.zeros((len(tilts), 2))))


def along(tomogram: Tomogram, axis: float) -> Array:
    """Projections whose tilt axis lies in another direction [deg]: (n, 4, 4).

    Each image shows the middle of the tomogram where it did; the tomogram's y axis stays the tilt
    axis, so that the specimen is rotated in it about z.

    Parameters
    ----------
    tomogram : Tomogram
        With projections and size.
    axis : float
        Counter-clockwise from the images' y.
    """
    projections, before = tomogram.need_projections(), known_axis(tomogram) or 0.0
    by = (axis - before + 180) % 360 - 180
    if abs(by) < _SAME:
        return projections
    middle = np.array(tomogram.need_size()) // 2
    at = geometry.apply(projections, middle[None].astype(np.float64))[:, 0]
    at[:, 2] = 0.0
    turned = geometry.rotation_z(by) @ projections
    turned[:, :2, 3] += (at - geometry.apply(geometry.rotation_z(by), at))[:, :2]
    return np.asarray(turned)


def _guessed(
    axis: float | None, image_size: tuple[int, int], thickness: float | None, pixel_size: float
) -> tuple[int, int, int]:
    """Size of a tomogram whose y is the tilt axis: all that images show, whatever their axis is."""
    square = (max(image_size),) * 2
    width, height = square if axis is None else geometry.extent(axis, image_size)
    depth = _DEPTH if thickness is None else _ROOM * thickness
    return width, height, max(2, 2 * round(depth / pixel_size / 2))


def _refuse_equal(tomogram: Tomogram) -> None:
    tilts = tilting(tomogram)[0]
    if tilts is None or tomogram.n_tilts < 2:
        raise ModelError(
            f"tomogram {tomogram.name!r} has {tomogram.n_tilts} tilt images: an alignment needs "
            "several, at different tilts"
        )
    if np.ptp(tilts) < 1e-3:
        raise ModelError(
            f"tomogram {tomogram.name!r}: all tilt angles are {tilts[0]:g} degrees, so nothing "
            "says where the tilt axis is; import the images with their angles (--angles, --tlt)"
        )
