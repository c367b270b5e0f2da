"""How two alignments of a series differ, the best common motion of space taken off."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from tomoset import geometry
from tomoset.project._pair import Pair
from tomoset.project._spread import Spread, spread_of

Array = npt.NDArray[np.float64]

#: A mirror image that explains the other alignment so much better is meant.
_MIRROR = 0.1
#: Distances that are smaller are those of digits in files [px].
_DIGITS = 1e-3


@dataclass(frozen=True, kw_only=True)
class Geometry:
    """How two alignments of a series differ, after the best common motion is taken off.

    Parameters
    ----------
    rotation : float
        Of that motion [deg].
    shift : tuple of float
        By which it moves the middle of the tomogram [voxels of the old one].
    transform : (4, 4) nested tuples of float
        From old voxels to new ones.
    pixels : Spread
        Distances in the images, of points of the specimen in all common tilts [px].
    pixel_size : float or None
        Of the old images [Å].
    mirrored : bool
        Whether the new tomogram is a mirror image of the old one: then no motion leads from one
        to the other, and distances are those that remain after the best mirrored one.
    values : mapping of str to Spread
        ``tilt``, ``x_tilt``, ``axis`` [deg], ``shift_x``, ``shift_y`` of the middle of the
        tomogram in the images [px], ``magnification`` [fraction].
    """

    rotation: float
    shift: tuple[float, float, float]
    transform: tuple[tuple[float, ...], ...]
    pixels: Spread
    pixel_size: float | None
    mirrored: bool
    values: Mapping[str, Spread]


def geometry_diff(pair: Pair) -> tuple[Geometry, Array]:
    """The motion, and what it leaves; and its matrix."""
    transform, mirrored = pair.motion(), False
    apart = pair.apart(pair.points, geometry.apply(transform, pair.points))
    if np.nanmedian(np.abs(apart)) > _DIGITS:
        other = pair.motion(mirrored=True)
        image = pair.apart(pair.points, geometry.apply(other, pair.points))
        if np.nanmedian(np.abs(image)) < _MIRROR * np.nanmedian(np.abs(apart)):
            transform, apart, mirrored = other, image, True
    pixels = Spread.of(np.linalg.norm(apart, axis=-1), signed=False)
    assert pixels is not None  # the motion is of points that are seen
    turn = transform[:3, :3] / pair.scale * (-1 if mirrored else 1)
    moved = geometry.apply(transform, pair.middle)[0] / pair.scale - pair.middle[0]
    found = Geometry(
        rotation=float(geometry.turns(turn)),
        shift=(float(moved[0]), float(moved[1]), float(moved[2])),
        transform=tuple(tuple(row) for row in transform.tolist()),
        pixels=replace(pixels, row=pixels.row // len(pair.points)),
        pixel_size=pair.old.optics.pixel_size,
        mirrored=mirrored,
        values=dict(_alignment_values(pair, transform)),
    )
    return found, transform


def _alignment_values(pair: Pair, transform: Array) -> Iterator[tuple[str, Spread]]:
    """Angles, shifts and scale of the new alignment in the old frame, less the old ones."""
    before = pair.old.need_projections()
    after = pair.new.need_projections() @ transform
    for name, angles in (
        ("tilt", geometry.tilt_angles),
        ("x_tilt", geometry.x_tilt_angles),
        ("axis", geometry.tilt_axis_angles),
    ):
        yield from spread_of(name, (angles(after) - angles(before) + 180) % 360 - 180)
    there = geometry.apply(transform, pair.middle)
    shifts = pair.apart(pair.middle, there)[:, 0]
    yield from spread_of("shift_x", shifts[:, 0])
    yield from spread_of("shift_y", shifts[:, 1])
    sizes = [np.linalg.svd(p[:, :2, :3], compute_uv=False).mean(axis=1) for p in (before, after)]
    yield from spread_of("magnification", sizes[1] / pair.scale / sizes[0] - 1)
