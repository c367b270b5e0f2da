"""A picture of gold beads: where they are in tilt images, and how far from where they should be."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tomoset.errors import ModelError
from tomoset.files import atomic_write
from tomoset.images.drawing import (
    DARK,
    Colour,
    Picture,
    binned,
    contrast,
    draw,
    draw_arrow,
    draw_ring,
    grey,
    nice_number,
    png,
    text,
    write,
)

Array = npt.NDArray[np.float64]

#: Longest side of a panel, and of a small image that is enlarged [px of the picture].
_LARGEST, _SMALLEST = 640, 320
#: Blue and orange differ to all eyes.
_GOOD, _BAD = (90, 200, 255), (255, 140, 20)
_PLAIN, _FAINT = (165, 165, 165), (90, 90, 90)
_MARGIN, _GAP, _DOT = 16, 8, 2
#: Height of the bars, and of all that is about them.
_BARS, _CHART = 120, 180
_NARROWEST = 400
#: Arrows are about so long for a residual that nine of ten do not exceed [px of the picture].
_ARROW = 40


@dataclass(frozen=True, kw_only=True, eq=False)
class BeadPanel:
    """One tilt image and its beads.

    Parameters
    ----------
    image : (h, w) array
        Row 0 is the lowest, as in a stack.
    angle : float
        Its tilt [deg].
    centres : (n, 2) array
        x, y of each bead in 0-based pixels of the image; NaN where it is not seen.
    residuals : (n, 2) array
        Where it is seen less where it is expected [px of the image]; NaN where that is not known.
    accepted : (n,) bool array
        The others are drawn in another colour.
    """

    image: npt.NDArray[np.floating]
    angle: float
    centres: Array
    residuals: Array
    accepted: npt.NDArray[np.bool_]

    def __post_init__(self) -> None:
        n = len(self.centres)
        shapes = self.centres.shape, self.residuals.shape, self.accepted.shape
        if shapes != ((n, 2), (n, 2), (n,)):
            raise ModelError(f"centres, residuals and marks of other numbers of beads: {shapes}")


def write_beads_png(
    path: str | os.PathLike[str],
    panels: Sequence[BeadPanel],
    radius: float,
    angles: Array,
    rms: Array,
    title: str,
) -> None:
    """Write a picture of beads in some tilt images, and of the residuals in all.

    Above, the images side by side, y upwards as in IMOD, beads circled and numbered from 1: blue
    ones are accepted, orange ones are not. Below each, its residuals as arrows, enlarged by the
    number that is written there. At the bottom a bar for each tilt, the shown ones blue.

    Parameters
    ----------
    path : path-like
        The file; it appears whole or not at all.
    panels : sequence of BeadPanel
        One to three images of one size.
    radius : float
        Of a bead [px of the images].
    angles, rms : (n_tilts,) arrays
        Tilt [deg] and rms residual [px] of all tilt images; NaN where there is none.
    title : str
        Goes into the file as its title.

    Raises
    ------
    ModelError
        If there is no panel, images differ in size, or arrays in length.
    """
    if not panels or len({panel.image.shape for panel in panels}) > 1:
        raise ModelError("a picture of beads needs one tilt image or more, all of one size")
    if angles.shape != rms.shape or angles.ndim != 1:
        raise ModelError(f"angles and residuals differ: {angles.shape}, {rms.shape}")
    scale = _Scale.of(panels[0].image.shape)
    factor = _magnification(panels, scale)
    above = [_with_beads(panel, scale, radius) for panel in panels]
    below = [_with_arrows(panel, scale, factor) for panel in panels]
    height, width = above[0].shape[:2]
    total = max(len(panels) * (width + _GAP) - _GAP, _NARROWEST)
    picture = _ground(2 * (height + _GAP + _MARGIN) + _CHART, total + 2 * _MARGIN)
    for row, parts in enumerate((above, below)):
        for column, part in enumerate(parts):
            top, left = _MARGIN + row * (height + _GAP), _MARGIN + column * (width + _GAP)
            picture[top : top + height, left : left + width] = part
    shown = np.array([panel.angle for panel in panels])
    chart = picture[-_MARGIN - _CHART : -_MARGIN, _MARGIN : _MARGIN + total]
    _draw_chart(chart, angles, rms, shown)
    with atomic_write(path) as stream:
        stream.write(png(picture, title))


@dataclass(frozen=True)
class _Scale:
    """From pixels of an image to those of its panel, which are fewer or more by whole numbers."""

    bin: int
    zoom: int
    rows: int

    @classmethod
    def of(cls, shape: tuple[int, ...]) -> _Scale:
        bin_ = math.ceil(max(shape) / _LARGEST)
        zoom = max(1, round(_SMALLEST / max(shape)))
        return cls(bin_, zoom, math.ceil(shape[0] / bin_) * zoom)

    @property
    def factor(self) -> float:
        return self.zoom / self.bin

    def places(self, points: Array) -> Array:
        """x, y in the panel, whose first row is at the top."""
        x, y = ((points + 0.5) * self.factor - 0.5).T
        return np.stack([x, self.rows - 1 - y], axis=1)


def _ground(height: int, width: int) -> Picture:
    return np.full((height, width, 3), DARK, np.uint8)


def _with_beads(panel: BeadPanel, scale: _Scale, radius: float) -> Picture:
    image = binned(panel.image, scale.bin)[::-1]
    shades = grey(image, *contrast([image])).repeat(scale.zoom, 0).repeat(scale.zoom, 1)
    picture: Picture = np.repeat(shades[..., None], 3, axis=2)
    at = scale.places(panel.centres)
    seen = np.flatnonzero(np.isfinite(at).all(axis=1))
    ring = max(radius * scale.factor, 3) + 2
    colours = _colours(panel)
    for i in seen:
        draw_ring(picture, at[i], ring, colours[i])
    taken = np.zeros(picture.shape[:2], bool)
    _label(picture, f"{panel.angle:+.1f}°", taken)
    for i in seen:
        _number(picture, str(i + 1), at[i] + (0.7 * ring + 3, -0.7 * ring - 10), taken)
    return picture


def _colours(panel: BeadPanel) -> list[Colour]:
    return [_GOOD if good else _BAD for good in panel.accepted]


def _label(picture: Picture, words: str, taken: npt.NDArray[np.bool_] | None = None) -> None:
    """In the upper left corner, where there is room for it."""
    letters, edge = text(words, _DOT), 6 * _DOT
    height, width = (n + edge for n in letters.shape)
    if height < picture.shape[0] and width < picture.shape[1]:
        draw(picture, letters, (edge, edge), _DOT)
        if taken is not None:
            taken[: height + _DOT, : width + _DOT] = True


def _number(picture: Picture, words: str, at: Array, taken: npt.NDArray[np.bool_]) -> None:
    """The number of a bead, where it hides no other."""
    letters, edge = text(words, 1), 3
    low = np.full(2, edge)
    high = np.array(picture.shape[1::-1]) - letters.shape[::-1] - edge
    if (high < low).any():
        return
    left, top = np.clip(np.rint(at).astype(int), low, high)
    height, width = letters.shape
    place = slice(top - edge, top + height + edge), slice(left - edge, left + width + edge)
    if not taken[place].any():
        taken[place] = True
        draw(picture, letters, (top, left), 1)


def _magnification(panels: Sequence[BeadPanel], scale: _Scale) -> float:
    """How much longer arrows are than residuals: a number that is easily read."""
    lengths = np.hypot(*np.concatenate([panel.residuals for panel in panels]).T)
    lengths = lengths[np.isfinite(lengths)]
    usual = float(np.percentile(lengths, 90)) if lengths.size else 0.0
    return nice_number(_ARROW / max(usual * scale.factor, 1e-3))


def _with_arrows(panel: BeadPanel, scale: _Scale, magnification: float) -> Picture:
    height, width = (math.ceil(n / scale.bin) * scale.zoom for n in panel.image.shape)
    picture = _ground(height, width)
    picture[[0, -1]] = picture[:, [0, -1]] = _FAINT
    at = scale.places(panel.centres)
    # Rows run downwards, y upwards.
    arrows = panel.residuals * (1, -1) * (scale.factor * magnification)
    colours = _colours(panel)
    for i in np.flatnonzero(np.isfinite(at + arrows).all(axis=1)):
        draw_arrow(picture, at[i], at[i] + arrows[i], colours[i])
    _label(picture, f"x{magnification:g}")
    return picture


def _draw_chart(chart: Picture, angles: Array, rms: Array, shown: Array) -> None:
    """A bar for each tilt, in their order, on lines that are labelled in px."""
    left, bottom = 48 * _DOT, len(chart) - 14 * _DOT
    most = max(float(rms[np.isfinite(rms)].max(initial=0)), 1e-3)
    step = nice_number(most / 2)
    most = step * math.ceil(most / step - 1e-9)
    write(chart, text("rms px", _DOT), (0, 0))
    for value in np.arange(0, most + step / 2, step):
        row = bottom - round(value / most * _BARS)
        chart[row, left:] = _FAINT
        letters = text(f"{value:.6g}", _DOT)
        write(chart, letters, (row - 3 * _DOT, left - letters.shape[1] - 4 * _DOT))
    slot = (chart.shape[1] - left) / max(len(angles), 1)
    free = 0
    for place, i in enumerate(np.argsort(angles)):
        first, last = left + round(place * slot), left + round((place + 0.8) * slot)
        if np.isfinite(rms[i]):
            colour = _GOOD if np.isclose(angles[i], shown, atol=1e-3).any() else _PLAIN
            chart[bottom - round(rms[i] / most * _BARS) : bottom, first : last + 1] = colour
        letters = text(f"{angles[i]:.0f}°", _DOT)
        begin = min((first + last - letters.shape[1]) // 2, chart.shape[1] - letters.shape[1])
        if begin >= free:
            write(chart, letters, (bottom + 6 * _DOT, begin))
            free = begin + letters.shape[1] + 12 * _DOT
