"""All tilt images of a series, small, and where its beads should be on them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tomoset.fiducials.outputs import residuals
from tomoset.figures._style import (
    BLUE,
    INK,
    ORANGE,
    WIDTH,
    Images,
    Sheet,
    binned,
    count,
    degrees,
    grey_levels,
    number,
    scale_bar,
)
from tomoset.model import Fiducials, Tomogram

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = npt.NDArray[np.float64]

#: So many images at most, so many in a row, in more rows than these of so many.
_MOST, _COLUMNS, _ROWS, _MORE_COLUMNS = 128, 10, 6, 12
#: Images are averaged to no more pixels than these along a side.
_LARGEST = 120
#: Left margin, widest image, room beside images, above them for their angle, below all [in].
_LEFT, _WIDEST, _GAP, _ABOVE, _BELOW = 0.1, 2.3, 0.05, 0.16, 0.24


def tilts(tomogram: Tomogram, fiducials: Fiducials, images: Images) -> Figure:
    """All tilt images small, in the order of tilt angles, and where beads should be on them.

    They are one picture: its axes count pixels of the tilt images, from the lower left corner of
    the first image of the last row.

    Parameters
    ----------
    tomogram : Tomogram
        Aligned, with image and pixel size.
    fiducials : Fiducials
        Of which those that were seen in an image are circles there, the others crosses.
    images : Images
        The tilt images, of which every second or third is shown where there are more than 128.

    Returns
    -------
    matplotlib.figure.Figure
    """
    order = np.argsort(tomogram.tilt_angles, kind="stable")
    order = order[:: math.ceil(len(order) / _MOST)]
    every = "" if len(order) == tomogram.n_tilts else f", {len(order)} of which are shown"
    said = f"{count(tomogram.n_tilts, 'tilt image')}{every}; {count(len(fiducials), 'bead')}"
    said += " as aligned: blue circles where they were seen, orange crosses where not" * bool(
        len(fiducials)
    )
    px = number(tomogram.optics.pixel_size or math.nan, 4)
    sheet = Sheet(f"{tomogram.name}: tilt images", [f"{said}; {px} Å/px"])
    small = [binned(images.read(i), _LARGEST) for i in order.tolist()]
    places = _Places(len(order), tomogram.need_image_size(), small[0][1])
    ax = sheet.axes(_LEFT, sheet.top, places.width, places.height)
    _show(ax, places, [image for image, _ in small])
    above = places.size[1] + 0.02 / places.unit
    for (x, y), angle in zip(places.corners, tomogram.tilt_angles[order], strict=True):
        ax.text(x, y + above, degrees(angle), size=5.5, color=INK, va="bottom")
    _beads(ax, places, tomogram.project(fiducials.points)[order], _seen(tomogram, fiducials)[order])
    scale_bar(ax, tomogram.optics.pixel_size, of=2 * places.size[0])
    return sheet.finish(0.06)


class _Places:
    """Where images go: rows from above, each from the left.

    Parameters
    ----------
    number : int
        Of images.
    size : (int, int)
        Width and height of each [px].
    factor : int
        By which they are binned: they lie so many pixels apart, or a multiple.
    """

    def __init__(self, number: int, size: tuple[int, int], factor: int) -> None:
        most = _COLUMNS if number <= _COLUMNS * _ROWS else _MORE_COLUMNS
        rows = math.ceil(number / most)
        columns = math.ceil(number / rows)
        wide = min((WIDTH - 2 * _LEFT + _GAP) / columns - _GAP, _WIDEST)
        #: Of an image [px].
        self.size, self.factor = np.array(size), factor
        apart = self.size + np.array([_GAP, _ABOVE]) * size[0] / wide
        step = np.ceil(apart / factor) * factor
        #: Inches in a pixel.
        self.unit = float(min(wide / size[0], (WIDTH - 2 * _LEFT) / (columns * step[0])))
        row, column = np.divmod(np.arange(number), columns)
        #: Lower left corners of images [px].
        self.corners = np.stack([column, rows - 1 - row], axis=1) * step
        #: Of all together, with the room beside and above each [px]; that below them [px].
        self.extent = np.array([columns, rows]) * step
        self.below = _BELOW / self.unit
        self.width, self.height = (self.extent * self.unit + (0, _BELOW)).tolist()


def _show(ax: Axes, places: _Places, small: list[npt.NDArray[np.float32]]) -> None:
    """All images, binned, as one, each with its own grey levels."""
    from matplotlib.collections import PolyCollection

    shape = (places.extent / places.factor).astype(int)
    whole = np.full(shape[::-1], 1.0, np.float32)
    for image, corner in zip(small, places.corners, strict=True):
        low, high = grey_levels(image)
        height, width = image.shape
        x, y = (corner / places.factor).astype(int)
        known = np.nan_to_num(image, nan=low).clip(low, high)
        whole[y : y + height, x : x + width] = (known - low) / (high - low)
    right, top = places.extent - 0.5
    ax.imshow(
        whole,
        cmap="gray",
        vmin=0.0,
        vmax=1.0,
        origin="lower",
        extent=(-0.5, right, -0.5, top),
        aspect="auto",
        interpolation="antialiased",
    )
    box = np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) * places.size - 0.5
    edges = places.corners[:, None] + box
    ax.add_collection(
        PolyCollection(list(edges), facecolors="none", edgecolors=INK, linewidths=0.4),
        autolim=False,
    )
    ax.set(xlim=(-0.5, right), ylim=(-0.5 - places.below, top))
    ax.set_axis_off()


def _seen(tomogram: Tomogram, fiducials: Fiducials) -> npt.NDArray[np.bool_]:
    return np.isfinite(residuals(tomogram, fiducials)[..., 0])


def _beads(ax: Axes, places: _Places, at: Array, seen: npt.NDArray[np.bool_]) -> None:
    """Marks of all beads that lie in images, (n, n_beads, 2) [px of each]."""
    inside = ((at >= -0.5) & (at <= places.size - 0.5)).all(axis=-1)
    placed = at + places.corners[:, None]
    size = min(3.6, 5 * places.unit * float(places.size[0]))
    marks: dict[str, Any] = {"markersize": size, "markeredgewidth": 0.6, "linestyle": ""}
    for which, sign, colour in ((~seen, "x", ORANGE), (seen, "o", BLUE)):
        ax.plot(*placed[inside & which].T, sign, color=colour, fillstyle="none", **marks)
