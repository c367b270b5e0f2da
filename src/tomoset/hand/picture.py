"""A picture of the hand: defocus across the field, measured and as each hand predicts it."""

from __future__ import annotations

import itertools
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
    WHITE,
    Colour,
    Picture,
    draw_line,
    nice_number,
    png,
    text,
    write,
)

Array = npt.NDArray[np.float64]

#: Blue and orange differ to all eyes: hand +1, hand -1.
_PLUS, _MINUS = (90, 200, 255), (255, 140, 20)
_FAINT, _ZERO, _POINT = (90, 90, 90), (60, 60, 60), (WHITE, WHITE, WHITE)
#: The whole picture, and the room left of panels and bars [px].
_WIDTH, _LEFT, _MARGIN, _GAP, _DOT = 1200, 76, 16, 6, 2
#: Panels: at most so many, side by side, so wide [px], and height against width.
_MOST, _COLUMNS, _WIDEST, _ASPECT = 48, 7, 360, 0.66
#: Heights of what is above the panels, of the angle above each, of what is below them [px].
_HEAD, _STRIP, _FOOT = 30, 18, 52
#: Of the bars, and of all that is about them; their largest width [px].
_BARS, _CHART, _BROADEST = 160, 210, 120.0
#: Panels show so much more than the hands predict.
_ROOM = 1.3
#: What panels show at least: position, and defocus [Å].
_LEAST = 1000.0, 100.0


@dataclass(frozen=True, kw_only=True, eq=False)
class HandPanel:
    """What one tilt image says.

    Parameters
    ----------
    angle : float
        Its tilt [deg].
    position : (n_strips,) array
        Of each strip, perpendicular to the tilt axis, from the middle of the field [Å].
    measured : (n_strips,) array
        Its defocus over that of the middle [Å]; NaN where it is not known.
    error : (n_strips,) array
        Standard deviation of that [Å]; NaN where it is not known.
    slope : (n_strips,) array
        What hand +1 predicts for it [Å]; hand -1 predicts minus that.
    log_odds : float
        Natural logarithm of the odds of +1 against -1 that this image gives; NaN: it has none.

    Raises
    ------
    ModelError
        If arrays differ in length.
    """

    angle: float
    position: Array
    measured: Array
    error: Array
    slope: Array
    log_odds: float

    def __post_init__(self) -> None:
        shapes = {a.shape for a in (self.position, self.measured, self.error, self.slope)}
        if shapes != {(self.position.size,)}:
            raise ModelError(f"a panel of the hand needs arrays of one length, not {shapes}")


@dataclass(frozen=True)
class HandOdds:
    """What all images of a series say together.

    Parameters
    ----------
    log_odds : float
        Natural logarithm of the odds of +1 against -1.
    verdict : int
        +1, -1, or 0: cannot tell.
    """

    log_odds: float
    verdict: int


def write_hand_png(
    path: str | os.PathLike[str], panels: Sequence[HandPanel], odds: HandOdds, title: str
) -> None:
    """Write a picture of defocus across the field, tilt by tilt.

    Above, a panel for each tilt, in the order of angles (of more than 48, every second or third):
    position across the tilt axis to the right, more underfocus upwards, all at one scale. The blue
    line is what hand +1 predicts, the orange one what -1 does; points are what was measured, with
    standard deviations. Points whose deviation is larger than half the panel are left out; those
    beyond its edges are grey, on the edge. Below, a bar for each tilt: up and blue where it speaks
    for +1, down and orange where for -1.

    Parameters
    ----------
    path : path-like
        The file; it appears whole or not at all.
    panels : sequence of HandPanel
        One for each tilt, in any order.
    odds : HandOdds
        Of the series.
    title : str
        Goes into the file as its title.

    Raises
    ------
    ModelError
        If there is no panel.
    """
    if not panels:
        raise ModelError("a picture of the hand needs one tilt image or more")
    ordered = sorted(panels, key=lambda panel: panel.angle)
    shown = ordered[:: math.ceil(len(ordered) / _MOST)]
    grid = _Grid.of(len(shown))
    below = grid.corner(grid.rows * grid.columns)[0]
    picture: Picture = np.full((below + _FOOT + _CHART + _MARGIN, _WIDTH, 3), DARK, np.uint8)
    _draw_legend(picture, odds)
    _draw_panels(picture, shown, grid)
    write(picture, text("across the tilt axis µm", _DOT), (below + 14 * _DOT, _LEFT))
    chart = picture[below + _FOOT : below + _FOOT + _CHART, : _WIDTH - _MARGIN]
    _draw_chart(
        chart, np.array([p.angle for p in ordered]), np.array([p.log_odds for p in ordered])
    )
    with atomic_write(path) as stream:
        stream.write(png(picture, title))


@dataclass(frozen=True)
class _Grid:
    """How many panels there are, and their size [px]."""

    columns: int
    rows: int
    width: int
    height: int

    @classmethod
    def of(cls, number: int) -> _Grid:
        columns = min(_COLUMNS, number, math.ceil(math.sqrt(1.3 * number)))
        width = min((_WIDTH - _LEFT - _MARGIN + _GAP) // columns - _GAP, _WIDEST)
        return cls(columns, math.ceil(number / columns), width, round(_ASPECT * width))

    def corner(self, number: int) -> tuple[int, int]:
        """Row and column of the first pixel of a panel, the angle above it included."""
        row, column = divmod(number, self.columns)
        top = _MARGIN + _HEAD + row * (_STRIP + self.height + _GAP)
        return top, _LEFT + column * (self.width + _GAP)


def _half_ranges(panels: Sequence[HandPanel]) -> tuple[float, float]:
    """The largest position and defocus that panels show [Å]."""
    positions = np.abs(np.concatenate([panel.position for panel in panels]))
    slopes = np.abs(np.concatenate([panel.slope for panel in panels]))
    largest = [float(a[np.isfinite(a)].max(initial=0)) for a in (positions, slopes)]
    return 1.08 * max(largest[0], _LEAST[0]), _ROOM * max(largest[1], _LEAST[1])


def _draw_legend(picture: Picture, odds: HandOdds) -> None:
    """What is what, and the verdict."""
    row, middle = _MARGIN, _MARGIN + 3.5 * _DOT
    write(picture, text("defocus µm", _DOT), (row, _MARGIN))
    at = 210.0
    for words, colour in (("hand +1", _PLUS), ("hand -1", _MINUS)):
        draw_line(picture, np.array([at, middle]), np.array([at + 34, middle]), colour)
        at = _write_after(picture, words, row, at + 44)
    _draw_point(picture, np.array([at + 6, middle]), 7, _POINT)
    _write_after(picture, "measured", row, at + 20)
    verdict = f"hand {odds.verdict:+d}" if odds.verdict else "cannot tell"
    if math.isfinite(odds.log_odds):
        verdict += f"   ln odds {_short(odds.log_odds)}"
    letters = text(verdict, _DOT)
    write(picture, letters, (row, _WIDTH - _MARGIN - letters.shape[1]))


def _short(value: float) -> str:
    """With a sign, and no more digits than mean anything."""
    return f"{value:+.0f}" if abs(value) >= 100 else f"{value:+.1f}"


def _write_after(picture: Picture, words: str, row: int, at: float) -> float:
    """Write words, and say where the next ones may begin."""
    letters = text(words, _DOT)
    write(picture, letters, (row, round(at)))
    return at + int(letters.shape[1]) + 40


def _draw_panels(picture: Picture, shown: Sequence[HandPanel], grid: _Grid) -> None:
    """All panels, their angles, and numbers at the left and below."""
    half = _half_ranges(shown)
    for i, panel in enumerate(shown):
        top, left = grid.corner(i)
        letters = text(f"{panel.angle:+.1f}°", _DOT)
        write(picture, letters, (top, left + (grid.width - letters.shape[1]) // 2))
        top += _STRIP
        _draw_panel(picture[top:, left:][: grid.height, : grid.width], panel, half)
        if i % grid.columns == 0:
            _number_rows(picture, top, grid.height, half[1])
        if i + grid.columns >= len(shown):
            _number_columns(picture, (top + grid.height, left), grid.width, half[0])


def _draw_panel(part: Picture, panel: HandPanel, half: tuple[float, float]) -> None:
    """Lines of both hands, and points."""
    height, width = part.shape[:2]
    part[height // 2], part[:, width // 2] = _ZERO, _ZERO
    part[[0, -1]] = part[:, [0, -1]] = _FAINT
    inside = part[1:-1, 1:-1]
    scale = (width / 2 - 3) / half[0], (height / 2 - 3) / half[1]

    def places(values: Array) -> Array:
        x = width / 2 - 1 + scale[0] * panel.position
        return np.stack([x, height / 2 - 1 - scale[1] * values], axis=1)

    order = np.argsort(panel.position, kind="stable")
    for colour, sign in ((_MINUS, -1), (_PLUS, 1)):
        line = places(sign * panel.slope)[order]
        line = line[np.isfinite(line).all(axis=1)]
        for start, end in itertools.pairwise(line):
            draw_line(inside, start, end, colour)
    known = np.isfinite(panel.position + panel.measured) & (panel.error <= half[1])
    for i in np.flatnonzero(known):
        value = float(np.clip(panel.measured[i], -half[1], half[1]))
        at = places(np.full(panel.position.shape, value))[i]
        beyond = value != panel.measured[i]
        bar = 0.0 if beyond else scale[1] * panel.error[i]
        _draw_point(inside, at, bar, _FAINT if beyond else _POINT)


def _draw_point(part: Picture, at: Array, bar: float, colour: Colour) -> None:
    """A point 5 px wide, and a bar of so many px up and down."""
    height, width = part.shape[:2]
    x, y = (int(n) for n in np.rint(at))
    for reach, wide in ((round(bar), 0), (1, 2), (2, 1)):
        rows = slice(max(y - reach, 0), min(y + reach + 1, height))
        part[rows, max(x - wide, 0) : min(x + wide + 1, width)] = colour


def _number_rows(picture: Picture, top: int, height: int, half: float) -> None:
    """Defocus at the left edge of a row of panels [µm]."""
    step = nice_number(half / 1e4 / 1.2)
    for value in (-step, 0.0, step):
        row = top + height / 2 - value * 1e4 / half * (height / 2 - 3)
        letters = text(f"{value:+.6g}" if value else "0", _DOT)
        left = _LEFT - 6 * _DOT - letters.shape[1]
        write(picture, letters, (round(row - 3.5 * _DOT), max(left, 0)))
        picture[round(row), _LEFT - 4 * _DOT : _LEFT] = _FAINT


def _number_columns(picture: Picture, corner: tuple[int, int], width: int, half: float) -> None:
    """Positions below a panel, whose lower left corner is given [µm]."""
    top, left = corner
    step = nice_number(half / 1e4 / 1.2)
    room = step * 1e4 / half * (width / 2 - 3) > text(f"-{step:.6g}", _DOT).shape[1]
    for value in (-step, 0.0, step) if room else (-step, step):
        at = left + width / 2 + value * 1e4 / half * (width / 2 - 3)
        letters = text(f"{value:.6g}", _DOT)
        picture[top : top + 3 * _DOT, round(at)] = _FAINT
        write(picture, letters, (top + 5 * _DOT, round(at - letters.shape[1] / 2)))


def _draw_chart(chart: Picture, angles: Array, log_odds: Array) -> None:
    """A bar for each tilt on lines that are labelled, and its angle."""
    known = log_odds[np.isfinite(log_odds)]
    high, low = float(known.max(initial=0)), float(known.min(initial=0))
    if high - low < 1:
        high, low = high + 0.5, low - 0.5
    unit = _BARS / (high - low)
    zero = 14 * _DOT + round(high * unit)
    step = nice_number((high - low) / 2.5)
    write(chart, text("ln odds", _DOT), (0, _MARGIN))
    for value in step * np.arange(math.ceil(low / step), math.floor(high / step) + 1):
        row = zero - round(value * unit)
        chart[row, _LEFT:] = _FAINT
        letters = text(f"{value:+.6g}" if value else "0", _DOT)
        write(chart, letters, (row - 3 * _DOT, max(_LEFT - 6 * _DOT - letters.shape[1], 0)))
    _draw_bars(chart, log_odds, zero, unit)
    chart[zero, _LEFT:] = WHITE
    _number_bars(chart, angles, 14 * _DOT + _BARS + 4 * _DOT)


def _slot(chart: Picture, number: int) -> float:
    """Width of a bar and the gap after it [px]."""
    return min(int(chart.shape[1] - _LEFT) / number, _BROADEST)


def _draw_bars(chart: Picture, log_odds: Array, zero: int, unit: float) -> None:
    """From the row of zero, so many px for each unit."""
    slot = _slot(chart, len(log_odds))
    for i in np.flatnonzero(np.isfinite(log_odds)):
        first, last = _LEFT + round(i * slot), _LEFT + round((i + 0.8) * slot)
        end = zero - round(log_odds[i] * unit)
        colour = _PLUS if log_odds[i] > 0 else _MINUS
        chart[min(zero, end) : max(zero, end) + 1, first : last + 1] = colour


def _number_bars(chart: Picture, angles: Array, row: int) -> None:
    """Angles below the bars, at every bar, every second or so."""
    slot = _slot(chart, len(angles))
    words = [text(f"{angle:.0f}°", _DOT) for angle in angles]
    widest = max(letters.shape[1] for letters in words) + 6 * _DOT
    for i in range(0, len(angles), math.ceil(widest / slot)):
        begin = round(_LEFT + (i + 0.4) * slot - words[i].shape[1] / 2)
        write(chart, words[i], (row, min(begin, chart.shape[1] - words[i].shape[1])))
