"""How all figures look: sizes, colours, axes, grey levels, scale bars.

Nothing here is global: no pyplot, no rcParams, so that several threads may draw at once.
"""

from __future__ import annotations

import logging
import math
import os
import textwrap
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from tomoset.files import atomic_write

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axes._secondary_axes import SecondaryAxis
    from matplotlib.figure import Figure
    from matplotlib.text import Text

Array = npt.NDArray[np.float64]
Image = npt.NDArray[np.floating]

#: Of Okabe and Ito (2008): these differ to all eyes, and in grey print (dark, light, middle).
BLUE, ORANGE, GREY = "#0072B2", "#E69F00", "#7F7F7F"
INK, FAINT, LIGHT = "#222222", "#D9D9D9", "#B8B8B8"
MARKERS = {BLUE: "o", ORANGE: "s", GREY: "^"}
#: Width of two columns of a journal [in], and points of a screen for each inch.
WIDTH, DPI = 7.2, 160
#: Height of the title and the facts below it [in].
_HEAD, _LINE = 0.34, 0.14
#: Letters in a line.
_LONGEST = 125
_SMALL, _NORMAL, _LARGE = 6.0, 7.0, 9.5
#: Bars at few tilt angles are no wider than this [deg].
_WIDEST_BAR = 8.0
#: Images are averaged to no more pixels than these along a side, over some of so many rows.
_LARGEST, _ROWS = 480, 4
#: Grey levels show at least this much of the values, and so many widths of their middle half.
_SHOWN, _CONTRAST = 0.5, 2.2


class Images(Protocol):
    """Tilt images, in the order of the tomogram's table."""

    def read(self, i: int) -> npt.NDArray[np.float32]:
        """Image i, from 0: (h, w)."""
        ...


def prepare() -> None:
    """Load matplotlib, and have it know the fonts, without a word of it.

    The first time ever takes seconds, as fonts are searched and what is found is kept in the
    user's folder, or in one that is removed at the end where that cannot be written. Processes
    that are started later find it there.
    """
    logger = logging.getLogger("matplotlib")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        import matplotlib.font_manager  # noqa: F401
    finally:
        logger.setLevel(level)


class Sheet:
    """A figure whose parts are placed in inches from its upper left corner; it grows with them.

    Parameters
    ----------
    title : str
        What is shown, the series first.
    facts : sequence of str
        What is said below it, each in a line or more.
    """

    def __init__(self, title: str, facts: Sequence[str]) -> None:
        prepare()
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        self.figure: Figure = Figure(figsize=(WIDTH, WIDTH), dpi=DPI, facecolor="white")
        FigureCanvasAgg(self.figure)
        self._axes: dict[Axes, tuple[float, float, float, float]] = {}
        self._texts: dict[Text, tuple[float, float]] = {}
        self._lowest = 0.0
        self.text(0.1, 0.07, title, size=_LARGE, weight="bold")
        lines = [part for fact in facts for part in textwrap.wrap(fact, _LONGEST)]
        for i, line in enumerate(lines):
            self.text(0.1, 0.27 + _LINE * i, line)
        #: Where what is below title and facts may begin.
        self.top = _HEAD + _LINE * len(lines)

    def text(self, x: float, y: float, words: str, **style: Any) -> None:
        """Words whose upper left corner is there."""
        style = {"size": _NORMAL, "color": INK, "va": "top", **style}
        self._texts[self.figure.text(0, 0, plain(words), **style)] = x, y

    def axes(self, x: float, y: float, width: float, height: float, title: str = "") -> Axes:
        """Axes of this size."""
        ax = self.figure.add_axes((x / WIDTH, 0, width / WIDTH, 1), label=str(len(self._axes)))
        self._axes[ax] = x, y, width, height
        _style_ticks(ax)
        for side in ax.spines.values():
            side.set(linewidth=0.5, color=INK)
        for axis in (ax.xaxis, ax.yaxis):
            axis.label.set(size=_NORMAL, color=INK)
            axis.labelpad = 1.5
        if title:
            # At a place that is given: to look for one takes a third of the time of drawing.
            ax.set_title(plain(title), loc="left", size=_NORMAL, color=INK, pad=3, y=1.0)
        return ax

    def bottom(self, ax: Axes) -> float:
        """How far down axes go."""
        _, y, _, height = self._axes[ax]
        return y + height

    def legend_below(self, ax: Axes, of: Axes, columns: int) -> None:
        """What is what in some axes, below these or others."""
        _, y, _, height = self._axes[ax]
        handles, labels = of.get_legend_handles_labels()
        at = {"loc": "upper left", "bbox_to_anchor": (-0.02, -0.36 / height)}
        _legend(ax, handles, labels, ncol=columns, **at)
        self._lowest = max(self._lowest, y + height + 0.4 + 0.11 * -(-len(labels) // columns))

    def finish(self, room: float = 0.12) -> Figure:
        """The figure, as high as its parts are, and some room below them."""
        high = max([self.top, *map(self.bottom, self._axes)]) + room
        high = max(high, self._lowest)
        self.figure.set_figheight(high)
        for ax, (x, y, width, height) in self._axes.items():
            place = x / WIDTH, 1 - (y + height) / high, width / WIDTH, height / high
            ax.set_position(place)
        for text, (x, y) in self._texts.items():
            text.set_position((x / WIDTH, 1 - y / high))
        return self.figure


def _style_ticks(ax: Axes | SecondaryAxis) -> None:
    ax.tick_params(labelsize=_SMALL, length=2, width=0.5, pad=1.5, colors=INK)


def width_of(ax: Axes) -> float:
    """How wide axes are [in]."""
    return float(ax.get_position().width) * WIDTH


def plain(words: str) -> str:
    """Words as they are: names of series may have a dollar, with which mathematics begins."""
    return words.replace("$", r"\$")


def number(value: float, digits: int = 3) -> str:
    """A number for people, with so many digits that mean anything."""
    return "unknown" if not math.isfinite(value) else f"{value:.{digits}g}".replace("-", "−")


def length(angstroms: float) -> str:
    """A length in Å, nm or µm."""
    for unit, name in ((1e4, "µm"), (10.0, "nm")):
        if abs(angstroms) >= unit * (1 - 1e-9):
            return f"{number(angstroms / unit)} {name}"
    return f"{number(angstroms)} Å"


def count(how_many: int, what: str) -> str:
    """So many of something: ``1 tilt image``, ``2 tilt images``."""
    return f"{how_many} {what}{'s' * (how_many != 1)}"


def degrees(angle: float) -> str:
    """A tilt angle with its sign."""
    return f"{angle:+.1f}°".replace("-", "−")


def nice(most: float) -> float:
    """The largest of 1, 2, 5, 10, 20, ... and their tenths that is not above a number.

    Examples
    --------
    >>> [nice(x) for x in (0.3, 9.0, 21.0)]
    [0.2, 5.0, 20.0]
    """
    power = 10.0 ** math.floor(math.log10(most))
    return next(power * n for n in (5, 2, 1) if power * n <= most or n == 1)


def legend(ax: Axes) -> None:
    """What is what, above the axes at the right."""
    handles, labels = ax.get_legend_handles_labels()
    if handles:
        at = {"loc": "lower right", "bbox_to_anchor": (1.0, 1.0)}
        _legend(ax, handles, labels, ncol=len(handles), **at)


def _legend(ax: Axes, handles: Sequence[Any], labels: Sequence[str], **where: Any) -> None:
    ax.legend(
        handles,
        labels,
        fontsize=_SMALL,
        frameon=False,
        borderpad=0.2,
        borderaxespad=0.1,
        labelspacing=0.2,
        handlelength=1.6,
        handletextpad=0.4,
        columnspacing=0.8,
        labelcolor=INK,
        **where,
    )


def round_steps(low: float, high: float, most: int) -> float:
    """The distance of ticks in angles, of which so many have room."""
    steps = (1, 2, 5, 10, 15, 20, 30, 45, 60, 90)
    return float(next((s for s in steps if (high - low) / s <= most), 180))


def tilt_axis(ax: Axes, angles: Array) -> None:
    """Make x the tilt angle, with round ticks."""
    from matplotlib.ticker import MultipleLocator

    margin = max(0.04 * float(np.ptp(angles)), bar_width(angles)) if np.ptp(angles) else 5.0
    low, high = float(angles.min()) - margin, float(angles.max()) + margin
    ax.set_xlim(low, high)
    most = max(round(3.5 * width_of(ax)), 3)
    ax.xaxis.set_major_locator(MultipleLocator(round_steps(low, high, most)))
    ax.set_xlabel("tilt angle (°)")
    ax.grid(axis="y", color=FAINT, linewidth=0.4)
    ax.set_axisbelow(True)


def spacing(values: Array) -> float:
    """The usual distance of neighbours; 1 if there are none."""
    steps = np.diff(np.unique(values.round(2)))
    return float(np.median(steps)) if len(steps) else 1.0


def bar_width(angles: Array) -> float:
    """How wide bars at tilt angles are [deg]."""
    return min(0.8 * spacing(angles), _WIDEST_BAR)


def curve(ax: Axes, x: Array, values: Array, errors: Array | None, colour: str, label: str) -> None:
    """Points with standard deviations, joined where no neighbour is missing."""
    order = np.argsort(x, kind="stable")
    at, y = x[order], values[order]
    gaps = np.flatnonzero(np.diff(at) > 1.6 * spacing(x)) + 1
    line = np.insert(at, gaps, np.nan), np.insert(y, gaps, np.nan)
    size = 2.4 if len(x) < 80 else 1.4
    marks: dict[str, Any] = {
        "marker": MARKERS[colour],
        "markersize": size,
        "linewidth": 0.7,
        "color": colour,
    }
    ax.plot(*line, label=label, **marks)
    if errors is not None:
        known = np.isfinite(values) & np.isfinite(errors)
        e = errors[known]
        ax.vlines(x[known], values[known] - e, values[known] + e, color=colour, linewidth=0.6)


def bars(ax: Axes, angles: Array, values: Array, colour: str, label: str = "") -> None:
    """A bar at each tilt angle; views that are not there leave gaps."""
    known = np.isfinite(values)
    wide = bar_width(angles)
    # To whole dots of the screen, many bars would be of one or of two.
    ax.bar(angles[known], values[known], wide, color=colour, label=label, snap=False)


def other_unit(ax: Axes, factor: float, name: str) -> None:
    """The values in another unit at the right, so many of which are one of them."""
    if not math.isfinite(factor):
        return

    def there(values: Array) -> Array:
        return values * factor

    def back(values: Array) -> Array:
        return values / factor

    right = ax.secondary_yaxis("right", functions=(there, back))  # type: ignore[arg-type]
    right.set_ylabel(name, size=_NORMAL, color=INK, labelpad=1.5)
    _style_ticks(right)
    right.spines["right"].set(linewidth=0.5, color=INK)


def binned(image: Image, largest: int) -> tuple[npt.NDArray[np.float32], int]:
    """The mean of blocks of an image, as few as need be, and their width; odd ends are left out.

    Of large blocks every second row, or fewer, are enough.
    """
    factor = max(1, math.ceil(max(image.shape) / largest))
    if factor == 1 or min(image.shape) < factor:
        return np.asarray(image, np.float32), 1
    height, width = (n // factor for n in image.shape)
    cut = image[: height * factor, : width * factor]
    blocks = cut.reshape(height, factor, width, factor)[:, :: max(1, factor // _ROWS)]
    return blocks.mean(axis=(1, 3), dtype=np.float32), factor


def binned_rows(
    read: Callable[[npt.NDArray[np.int64]], npt.NDArray[np.generic]],
    shape: Sequence[int],
    largest: int,
) -> tuple[npt.NDArray[np.float32], int]:
    """The same of an image in a file, of which no other rows are read than are needed.

    Parameters
    ----------
    read : callable
        Gives rows by their numbers.
    shape : sequence of int
        Of the whole image.
    largest : int
        Blocks along a side, at most.
    """
    factor = max(1, math.ceil(max(shape) / largest))
    if factor == 1 or min(shape) < factor:
        return np.asarray(read(np.arange(shape[0])), np.float32), 1
    height, width = (n // factor for n in shape)
    of_block = np.arange(0, factor, max(1, factor // _ROWS))
    rows = np.arange(height)[:, None] * factor + of_block
    blocks = np.asarray(read(rows.ravel()))[:, : width * factor]
    blocks = blocks.reshape(height, len(of_block), width, factor)
    return np.asarray(blocks.mean(axis=(1, 3), dtype=np.float32)), factor


def grey_levels(*images: Image) -> tuple[float, float]:
    """Values to be black and white in images that are seen together.

    About the median, by the middle half of all values, so that a few gold beads change nothing;
    wider where more than a few values would be black or white, as in dark-field images.
    """
    values = np.concatenate([image.ravel() for image in images])
    values = values[np.isfinite(values)]
    if not values.size:
        return 0.0, 1.0
    low, quarter, middle, three, high = np.percentile(
        values, [_SHOWN, 25, 50, 75, 100 - _SHOWN]
    ).astype(float)
    spread = _CONTRAST * (three - quarter)
    black = max(min(low, middle - spread), float(values.min()))
    white = min(max(high, middle + spread), float(values.max()))
    return (black, white) if black < white else (black - 1.0, black + 1.0)


def show(
    ax: Axes, image: Image, levels: tuple[float, float] | None = None, largest: int = _LARGEST
) -> None:
    """An image, its first row at the bottom; the axes count its pixels."""
    small, factor = binned(image, largest)
    low, high = levels or grey_levels(small)
    height, width = (n * factor for n in small.shape)
    ax.imshow(
        np.nan_to_num(small, nan=low).clip(low, high),
        cmap="gray",
        vmin=low,
        vmax=high,
        origin="lower",
        extent=(-0.5, width - 0.5, -0.5, height - 0.5),
        aspect="auto",
        interpolation="antialiased",
    )
    ax.set(xticks=[], yticks=[], xlim=(-0.5, image.shape[1] - 0.5))
    ax.set_ylim(-0.5, image.shape[0] - 0.5)


def scale_bar(ax: Axes, pixel_size: float | None, of: float | None = None) -> None:
    """A bar of a round length in the lower right corner, a quarter of a width [px] or less."""
    from matplotlib.patches import Rectangle

    if not pixel_size:
        return
    (left, right), (bottom, top) = ax.get_xlim(), ax.get_ylim()
    long = nice((right - left if of is None else of) * pixel_size / 4)
    width, unit = long / pixel_size, (right - left) / (width_of(ax) * 72)  # a point
    edge, words = 3 * unit, length(long)
    wide, high = max(width, 0.62 * _SMALL * len(words) * unit) + 2 * edge, 13 * unit
    middle, y = right - edge / 2 - wide / 2, bottom + edge / 2
    ground = (middle - wide / 2, y), wide, min(high, 0.9 * (top - bottom))
    ax.add_patch(Rectangle(*ground, facecolor="black", alpha=0.65, linewidth=0, zorder=4))
    bar = (middle - width / 2, y + edge), width, 1.5 * unit
    ax.add_patch(Rectangle(*bar, facecolor="white", linewidth=0, zorder=5, gid="scale bar"))
    ax.text(
        middle,
        y + edge + 1.5 * unit,
        words,
        size=_SMALL,
        color="white",
        ha="center",
        va="bottom",
        zorder=5,
        clip_on=True,
    )


def arrows(ax: Axes, at: Array, by: Array, colour: str, factor: float) -> None:
    """Arrows from points, so much longer than what they stand for."""
    ax.quiver(
        *at.T,
        *(by.T * factor),
        color=colour,
        angles="xy",
        scale_units="xy",
        scale=1.0,
        units="inches",
        width=0.011,
        headwidth=4,
        headlength=4.5,
        headaxislength=4,
        minlength=0.3,
    )


def arrow_factor(lengths: Array, width: float, part: float = 0.1) -> float:
    """A round number by which nine of ten lengths stay below this part of a width."""
    known = lengths[np.isfinite(lengths)]
    usual = float(np.percentile(known, 90)) if known.size else 0.0
    return nice(part * width / max(usual, 1e-6 * width))


def arrow_key(ax: Axes, factor: float, said: Callable[[float], str]) -> None:
    """An arrow in the lower left corner for a round value, and what that is."""
    (left, right), (bottom, top) = ax.get_xlim(), ax.get_ylim()
    value = nice(0.2 * (right - left) / factor)
    x, y = left + 0.03 * (right - left), bottom + 0.04 * (top - bottom)
    arrows(ax, np.array([[x, y]]), np.array([[value, 0.0]]), INK, factor)
    at = x + factor * value + 0.02 * (right - left)
    ax.text(at, y, said(value), size=_SMALL, va="center", color=INK)


def save(figure: Figure, path: str | os.PathLike[str]) -> None:
    """Write a figure as PNG, PDF or SVG, as the path ends; it appears whole or not at all."""
    kind = os.path.splitext(path)[1].removeprefix(".").lower()
    fast: dict[str, Any] = {"pil_kwargs": {"compress_level": 1}} if kind == "png" else {}
    with atomic_write(path) as stream:
        figure.savefig(stream, format=kind, dpi=DPI, **fast)
