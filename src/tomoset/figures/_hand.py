"""The hand: defocus across the field as it was measured and as each hand predicts it, and odds."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tomoset.errors import ModelError
from tomoset.figures._style import (
    BLUE,
    FAINT,
    GREY,
    INK,
    ORANGE,
    WIDTH,
    Sheet,
    bar_width,
    count,
    nice,
    number,
    tilt_axis,
)
from tomoset.hand.measure import Measured
from tomoset.hand.verdict import Verdict, decide
from tomoset.model import Tomogram

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = npt.NDArray[np.float64]

#: Hand +1, hand -1: their colours, and lines that differ in grey print too.
_HANDS: dict[int, tuple[str, Any]] = {1: (BLUE, "-"), -1: (ORANGE, "--")}
#: Panels: so many at most, so many in a row, so wide at most; their height against their width.
_MOST, _COLUMNS, _WIDEST, _ASPECT = 28, 7, 1.6, 0.72
#: Panels show so much more than the hands predict, and at least so much [Å].
_ROOM, _LEAST = 1.3, 100.0
_LEFT, _RIGHT, _BARS = 0.6, 0.12, 1.1


def hand(tomogram: Tomogram, measured: Measured, error_rate: float) -> Figure:
    """Defocus across the field of each tilt image against what each hand predicts, and odds.

    Points whose standard deviation is larger than half a panel are left out. Of more than 28
    images, every second or third has a panel; all have a bar.

    Parameters
    ----------
    tomogram : Tomogram
        Aligned, with pixel size.
    measured : Measured
        What was found.
    error_rate : float
        How often a verdict may be wrong.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ModelError
        If there is no tilt image.
    """
    angles = tomogram.tilt_angles
    if not len(angles):
        raise ModelError(f"tomogram {tomogram.name!r} has no tilt image, and no hand to show")
    found = decide(measured.log_odds, error_rate)
    said = "cannot tell" if found is None else f"hand {_signed(found)}"
    odds = f"ln odds of +1 against −1: {_signed(measured.log_odds, '.1f')} for the series"
    by_tilt = measured.by_tilt[np.isfinite(measured.by_tilt)]
    together = f"{_signed(float(by_tilt.sum()), '.1f')} for its images added up"
    px = number(tomogram.optics.pixel_size or math.nan, 4)
    facts = [
        f"{count(len(angles), 'tilt image')}, {px} Å/px, "
        f"rings in {int(measured.shows_rings.sum())} of them",
        f"{odds} ({together}; an inclination that is not known, and images that scatter more "
        f"than independent ones, take some away: standard deviation {measured.spread:.1f})",
    ]
    sheet = Sheet(f"{tomogram.name}: {said}", facts)
    y = _panels(sheet, angles, measured)
    ax = sheet.axes(_LEFT, y + 0.5, WIDTH - _LEFT - _RIGHT, _BARS, "odds of each image")
    _bars(ax, angles, measured.by_tilt)
    tilt_axis(ax, angles)
    ax.set_ylabel("ln odds")
    return sheet.finish(0.38)


def _signed(value: float, form: str = "d") -> str:
    return f"{value:+{form}}".replace("-", "−")


def _panels(sheet: Sheet, angles: Array, measured: Measured) -> float:
    """Small charts, one for each tilt; how far down they go."""
    order = np.argsort(angles, kind="stable")
    shown = order[:: math.ceil(len(order) / _MOST)]
    columns = math.ceil(len(shown) / math.ceil(len(shown) / _COLUMNS))
    step = min((WIDTH - _LEFT - _RIGHT) / columns, _WIDEST)
    width, half = step - 0.06, _half_ranges(measured, shown)
    _explain(sheet)
    for place, i in enumerate(shown.tolist()):
        row, column = divmod(place, columns)
        y = sheet.top + 0.42 + row * (_ASPECT * width + 0.2)
        title = f"{_signed(angles[i], '.1f')}°"
        ax = sheet.axes(_LEFT + column * step, y, width, _ASPECT * width, title)
        _panel(ax, measured, i, half)
        if column:
            ax.set_yticklabels([])
        if place + columns < len(shown):
            ax.set_xticklabels([])
    return sheet.bottom(ax)


def _explain(sheet: Sheet) -> None:
    """What lines and points of the panels are, above them."""
    from matplotlib.lines import Line2D

    lines = [
        Line2D([], [], color=colour, linestyle=style, linewidth=1, label=f"hand {_signed(sign)}")
        for sign, (colour, style) in _HANDS.items()
    ]
    points = Line2D([], [], color=INK, marker=".", linestyle="", label="measured ± std. dev.")
    beyond = Line2D([], [], color=GREY, marker="x", linestyle="", markersize=3, label="off scale")
    ax = sheet.axes(_LEFT, sheet.top, WIDTH - _LEFT - _RIGHT, 0.2)
    ax.set_axis_off()
    ax.legend(
        handles=[*lines, points, beyond],
        loc="center left",
        ncol=4,
        fontsize=6.5,
        frameon=False,
        borderaxespad=0,
        title="defocus over that of the image (µm) against position across the tilt axis (µm)",
        title_fontsize=7,
        alignment="left",
    )


def _half_ranges(measured: Measured, shown: npt.NDArray[np.intp]) -> tuple[float, float]:
    """The largest position and defocus that panels show [Å]."""
    largest = [
        float(a[np.isfinite(a)].max(initial=0.0))
        for a in (np.abs(measured.position[shown]), np.abs(measured.expected[shown]))
    ]
    return 1.08 * max(largest[0], 10 * _LEAST), _ROOM * max(largest[1], _LEAST)


def _panel(ax: Axes, measured: Measured, i: int, half: tuple[float, float]) -> None:
    """Lines of both hands, and points."""
    x, values, errors = (
        a[i] / 1e4 for a in (measured.position, measured.measured, measured.uncertain)
    )
    wide, high = (h / 1e4 for h in half)
    order = np.argsort(x, kind="stable")
    for sign, (colour, style) in _HANDS.items():
        line = sign * measured.expected[i] / 1e4
        ax.plot(x[order], line[order], color=colour, linestyle=style, linewidth=1)
    known = np.isfinite(x + values) & (errors <= high)
    inside = known & (np.abs(values) <= high)
    ax.vlines(x[inside], (values - errors)[inside], (values + errors)[inside], INK, linewidth=0.6)
    ax.plot(x[inside], values[inside], ".", color=INK, markersize=2.5)
    beyond = known & ~inside
    edge = 0.93 * high * np.sign(values[beyond])
    ax.plot(x[beyond], edge, "x", color=GREY, markersize=2.5, markeredgewidth=0.6)
    ax.set(xlim=(-wide, wide), ylim=(-high, high))
    ax.axhline(0, color=FAINT, linewidth=0.5, zorder=0)
    ax.axvline(0, color=FAINT, linewidth=0.5, zorder=0)
    for axis, most in ((ax.xaxis, wide), (ax.yaxis, high)):
        step = nice(0.8 * most)
        axis.set_ticks([-step, 0, step], [f"{-step:g}".replace("-", "−"), "0", f"{step:g}"])


def _bars(ax: Axes, angles: Array, odds: Array) -> None:
    """A bar for each image: up where it speaks for +1, down where for -1."""
    for sign, (colour, _) in _HANDS.items():
        which = np.isfinite(odds) & (sign * odds > 0)
        label = f"for {_signed(sign)}"
        look: dict[str, Any] = {"color": colour, "edgecolor": INK, "linewidth": 0.3}
        ax.bar(angles[which], odds[which], bar_width(angles), label=label, **look)
    ax.axhline(0, color=INK, linewidth=0.5)


def hand_of_set(verdict: Verdict, error_rate: float) -> Figure:
    """The odds of each series of a set, and of all together.

    Parameters
    ----------
    verdict : Verdict
        What the set says.
    error_rate : float
        How often a verdict may be wrong, which is what the lines show.

    Returns
    -------
    matplotlib.figure.Figure
    """
    said = "cannot tell" if verdict.hand is None else f"hand {_signed(verdict.hand)}"
    facts = [
        f"{len(verdict.odds)} series; ln odds of +1 against −1: {_signed(verdict.log_odds, '.1f')} "
        "for the set, of which no single series can outvote all",
        f"beyond the dotted lines, a verdict is wrong at a rate of {error_rate:g} or less",
    ]
    sheet = Sheet(f"the set: {said}", facts)
    names = list(verdict.odds)
    values = np.array([verdict.odds[name] for name in names], np.float64)
    high = max(0.16 * len(names), 0.4)
    ax = sheet.axes(1.6, sheet.top + 0.1, WIDTH - 1.8, high)
    for sign, (colour, _) in _HANDS.items():
        rows = np.flatnonzero(sign * values > 0)
        ax.barh(rows, values[rows], 0.7, color=colour, edgecolor=INK, lw=0.3)
    sure = math.log((1 - error_rate) / error_rate)
    for limit in (-sure, sure):
        ax.axvline(limit, color=INK, linewidth=0.6, linestyle=":")
    ax.axvline(0, color=INK, linewidth=0.5)
    ax.set_yticks(range(len(names)), [name.replace("$", r"\$") for name in names])
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.set_xscale("symlog", linthresh=max(sure, 1.0))
    largest = math.ceil(math.log10(max(10.0, float(np.abs(values).max(initial=0.0)))))
    ticks = [sign * 10**k for sign in (-1, 1) for k in range(1, largest + 1)]
    ax.set_xticks([0, *ticks], ["0", *(_signed(tick) for tick in ticks)], minor=False)
    ax.set_xticks([], minor=True)
    reach = 1.3 * float(np.abs(values).max(initial=sure))
    ax.set_xlim(-reach, reach)
    ax.set_xlabel("ln odds of the series by itself")
    return sheet.finish(0.4)
