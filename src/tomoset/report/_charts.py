"""Curves over the tilt angle, as lines for SVG; what is drawn is a list."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tomoset.figures._style import nice, spacing
from tomoset.report._columns import TILTS, Column
from tomoset.report._gather import Series

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Chart:
    """What is drawn together.

    Parameters
    ----------
    title : str
        With its unit.
    keys : tuple of str
        Columns of `tomoset.report._columns.TILTS`, each a curve; those of which nothing is known
        are left out.
    from_zero : bool
        Whether 0 is shown.
    """

    title: str
    keys: tuple[str, ...]
    from_zero: bool = False


#: On the page of a series, in this order: of its alignment, and of its CTF.
CHARTS: Mapping[str, Sequence[Chart]] = {
    "By tilt": (
        Chart("Shift of the tomogram's middle (px)", ("shift_x", "shift_y", "shift_x_before",
              "shift_y_before")),
        Chart("Residual of beads, rms, outliers included (px)", ("residual",), from_zero=True),
        Chart("Beads seen", ("seen",), from_zero=True),
        Chart("Direction of the tilt axis (°)", ("axis", "axis_before")),
        Chart("Standard deviation of shifts (px)", ("error_shift_x", "error_shift_y"),
              from_zero=True),
        Chart("Standard deviation of angles (°)", ("error_tilt", "error_rotation"),
              from_zero=True),
        Chart("Support of each place by the images, std. dev. of chance", ("support", "rival"),
              from_zero=True),
        Chart("Correlation with what the others predict", ("predicted",), from_zero=True),
        Chart("Dose before the image (e/Å²)", ("dose",), from_zero=True),
    ),
    "Thon rings and CTF by tilt": (
        Chart("Defocus (µm)", ("defocus", "defocus_rings", "defocus_before")),
        Chart("Thon rings, ln likelihood against none", ("rings",), from_zero=True),
        Chart("Rings seen to (Å)", ("ctf_max_resolution",), from_zero=True),
        Chart("Fit of the CTF: correlation with the rings", ("ctf_figure_of_merit",),
              from_zero=True),
        Chart("Astigmatism (µm)", ("astigmatism",), from_zero=True),
        Chart("Direction of U (°)", ("defocus_angle",)),
        Chart("Phase shift (°)", ("phase_shift",)),
        Chart("CTF scale", ("ctf_scale",), from_zero=True),
    ),
}  # fmt: skip

#: Size of a drawing, and of the room around its axes [px of the page]: left, top, right, bottom.
WIDTH, HEIGHT = 320, 190
_LEFT, _TOP, _RIGHT, _BOTTOM = 46, 8, 10, 34

_COLUMNS = {column.key: column for column in TILTS}


@dataclass(frozen=True)
class Tick:
    """A number on an axis: where it is [px], and its text."""

    at: float
    text: str


@dataclass(frozen=True)
class Curve:
    """One curve: its place in the legend, the column that it shows, and its paths.

    Parameters
    ----------
    style : int
        From 0; colours, dashes and marks differ by it.
    column : Column
        What is shown.
    line, bars : str
        Paths of SVG: through the points, which have marks, and of standard deviations.
    """

    style: int
    column: Column
    line: str
    bars: str


@dataclass(frozen=True)
class Drawn:
    """A chart, ready for its template.

    Parameters
    ----------
    title, x_title, x_key : str
        What it shows, over what; and the column of that.
    curves : list of Curve
        At least one.
    x_ticks, y_ticks : list of Tick
        Of the axes.
    x_range, y_range : (float, float)
        What lies at the ends of the axes.
    keyed : bool
        Whether it is said which curve is which.
    """

    title: str
    x_title: str
    x_key: str
    curves: list[Curve]
    x_ticks: list[Tick]
    y_ticks: list[Tick]
    x_range: tuple[float, float]
    y_range: tuple[float, float]
    keyed: bool

    width, height = WIDTH, HEIGHT
    left, top, right, bottom = _LEFT, _TOP, WIDTH - _RIGHT, HEIGHT - _BOTTOM


class _Scale:
    """From values to places on the page."""

    def __init__(self, low: float, high: float, first: float, last: float) -> None:
        self.range = (low, high)
        self._first, self._factor = first, (last - first) / (high - low)

    def __call__(self, value: float) -> float:
        return round(self._first + (value - self.range[0]) * self._factor, 1)

    def ticks(self, most: int) -> list[Tick]:
        """Round numbers along it."""
        low, high = self.range
        step = _step((high - low) / most)
        first = math.ceil(low / step - 1e-9)
        numbers = [step * i for i in range(first, math.floor(high / step + 1e-9) + 1)]
        digits = max(0, -math.floor(math.log10(step) + 1e-9))
        return [Tick(self(x), f"{x + 0.0:.{digits}f}") for x in numbers]


def _step(least: float) -> float:
    """The smallest round step that is not below this one: 1, 2, 5, 10, ..."""
    step = nice(least)
    return next(n for n in (step, 2 * step, 2.5 * step) if nice(n) >= least * (1 - 1e-9))


def charts(series: Series, chosen: Sequence[Chart]) -> Iterator[Drawn]:
    """What is known of a series by tilt, of some charts."""
    key = next((k for k in ("tilt", "nominal_tilt") if _all_known(series.values(k))), "image")
    x = series.values(key)
    if len(x) < 2:
        return
    for chart in chosen:
        values = {k: series.shown(_COLUMNS[k]) for k in chart.keys}
        values = {k: v for k, v in values.items() if np.isfinite(v).any()}
        if values:
            yield _drawn(series, chart, key, x, values)


def _all_known(values: Array) -> bool:
    return bool(len(values) and np.isfinite(values).all())


def _drawn(series: Series, chart: Chart, key: str, x: Array, values: dict[str, Array]) -> Drawn:
    across = _Scale(*_padded([x], from_zero=False), _LEFT, WIDTH - _RIGHT)
    errors = {k: series.values(f"error_{k}") * _COLUMNS[k].form.scale for k in values}
    spread = [_with_errors(v, errors[k]) for k, v in values.items()]
    up = _Scale(*_padded(spread, from_zero=chart.from_zero), HEIGHT - _BOTTOM, _TOP)
    order = np.argsort(x, kind="stable")
    styles = {name: style for style, name in enumerate(chart.keys)}
    curves = []
    for column, y in ((_COLUMNS[k], v) for k, v in values.items()):
        e = errors[column.key]
        ends = np.clip([y - e, y + e], *up.range)
        bars = [
            f"M{across(a)} {up(low)}V{up(high)}"
            for a, low, high in zip(x.tolist(), *ends.tolist(), strict=True)
            if math.isfinite(low)
        ]
        curves.append(
            Curve(
                style=styles[column.key],
                column=column,
                line=_line(x[order], y[order], across, up),
                bars="".join(bars),
            )
        )
    title = {"tilt": "tilt angle (°)", "nominal_tilt": "nominal tilt angle (°)"}.get(key, "image")
    return Drawn(
        title=chart.title,
        x_title=title,
        x_key=key,
        curves=curves,
        x_ticks=across.ticks(6),
        y_ticks=up.ticks(5),
        x_range=across.range,
        y_range=up.range,
        keyed=len(chart.keys) > 1,
    )


def _with_errors(values: Array, errors: Array) -> Array:
    """Values as far as their usual standard deviation reaches: few large ones are cut off."""
    known = errors[np.isfinite(errors)]
    usual = float(np.median(known)) if len(known) else 0.0
    return np.concatenate([values - usual, values + usual])


def _line(x: Array, y: Array, across: _Scale, up: _Scale) -> str:
    """A path through known points, joined where no neighbour is missing."""
    gaps = np.diff(x, prepend=-np.inf) > 1.6 * spacing(x)
    path, pen = [], False
    for a, b, gap in zip(x.tolist(), y.tolist(), gaps.tolist(), strict=True):
        if math.isfinite(b):
            path.append(f"{'L' if pen and not gap else 'M'}{across(a)} {up(b)}")
        pen = math.isfinite(b)
    return "".join(path)


def _padded(values: Sequence[Array], *, from_zero: bool) -> tuple[float, float]:
    """The range of some values, and a little more."""
    known = np.concatenate([v[np.isfinite(v)] for v in values])
    low, high = float(known.min()), float(known.max())
    if from_zero:
        low, high = min(low, 0.0), max(high, 0.0)
    room = 0.06 * (high - low) or 0.5 * abs(high) or 1.0
    return (low if from_zero and low == 0 else low - room), (high + room)
