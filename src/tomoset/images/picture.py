"""A picture of a tomogram to look at: three slices and a scale bar, as PNG."""

from __future__ import annotations

import math
import os

import numpy as np
import numpy.typing as npt

from tomoset.errors import ModelError
from tomoset.files import atomic_write
from tomoset.images.drawing import (
    DARK,
    Picture,
    binned,
    contrast,
    draw,
    grey,
    nice_number,
    png,
    text,
)

_LARGEST, _SMALLEST = 1600, 640


def write_slices_png(
    path: str | os.PathLike[str],
    xy: npt.NDArray[np.floating],
    xz: npt.NDArray[np.floating],
    yz: npt.NDArray[np.floating],
    pixel_size: float,
    title: str,
) -> None:
    """Write a picture of three slices of a volume at one scale and one contrast.

    xy is large, xz below it, yz to its right. x runs to the right, y upwards as in IMOD, z away
    from xy. Voxels are averaged if the picture would be larger than 1600 px, and repeated if it
    would be small.

    Parameters
    ----------
    path : path-like
        The file; it appears whole or not at all.
    xy, xz, yz : (y, x), (z, x) and (z, y) arrays
        Slices as they come out of a volume: ``v[k]``, ``v[:, j]``, ``v[:, :, i]``.
    pixel_size : float
        For the scale bar [Å]; none is drawn if it is 0.
    title : str
        Goes into the file as its title.

    Raises
    ------
    ModelError
        If the slices are not of one volume.
    """
    (ny, nx), nz = xy.shape, xz.shape[0]
    if xz.shape != (nz, nx) or yz.shape != (nz, ny):
        raise ModelError(
            f"expected slices of one volume, found xy {xy.shape}, xz {xz.shape}, yz {yz.shape}"
        )
    largest = max(nx + nz, ny + nz)
    bin_ = math.ceil(largest / _LARGEST)
    zoom = max(1, round(_SMALLEST / largest))
    images = [binned(image, bin_) for image in (xy[::-1], xz, yz.T[::-1])]
    low, high = contrast(images)
    panels = [grey(image, low, high).repeat(zoom, 0).repeat(zoom, 1) for image in images]
    dot = 1 + (max(panels[0].shape) > 300) + (max(panels[0].shape) > 1200)
    picture = _arranged(panels, dot)
    if pixel_size > 0:
        _draw_scale_bar(picture, panels[0].shape, pixel_size * bin_ / zoom, dot)
    with atomic_write(path) as stream:
        stream.write(png(picture, title))


def _arranged(panels: list[Picture], dot: int) -> Picture:
    """The panels on dark ground, each with the names of its axes in a corner."""
    xy, xz, yz = panels
    margin, gap = 8 * dot, 4 * dot
    below, right = margin + xy.shape[0] + gap, margin + xy.shape[1] + gap
    picture = np.full((below + xz.shape[0] + margin, right + yz.shape[1] + margin), DARK, np.uint8)
    places = ((xy, margin, margin, "xy"), (xz, below, margin, "xz"), (yz, margin, right, "yz"))
    for panel, top, left, name in places:
        picture[top : top + panel.shape[0], left : left + panel.shape[1]] = panel
        if min(panel.shape) > 20 * dot:
            draw(picture, text(name, dot), (top + 6 * dot, left + 6 * dot), dot)
    return picture


def _draw_scale_bar(picture: Picture, shape: tuple[int, ...], pixel_size: float, dot: int) -> None:
    """In the lower right corner of xy, a quarter of its width or less."""
    length, label = _nice_length(shape[1] * pixel_size / 4)
    letters = text(label, dot)
    bar = max(1, round(length / pixel_size))
    width, height = max(bar, letters.shape[1]), len(letters) + 5 * dot
    if width + 12 * dot > shape[1] or height + 12 * dot > shape[0]:
        return
    mask = np.zeros((height, width), bool)
    left = (width - letters.shape[1]) // 2
    mask[: len(letters), left : left + letters.shape[1]] = letters
    mask[-2 * dot :, (width - bar) // 2 :][:, :bar] = True
    bottom, right = shape[0] + 2 * dot, shape[1] + 2 * dot  # the margin of the picture less 6 dots
    draw(picture, mask, (bottom - height, right - width), dot)


def _nice_length(longest: float) -> tuple[float, str]:
    """The largest of 1, 2, 5, 10, ... that is not above a length [Å], and how it is written."""
    length = nice_number(longest)
    for unit, name in ((1e4, "µm"), (10.0, "nm"), (1.0, "A")):
        if length >= unit * (1 - 1e-9):
            return length, f"{length / unit:.0f} {name}"
    return 1.0, "1 Å"
