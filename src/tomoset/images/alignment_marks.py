"""Pictures of an alignment: shifts over the tilts, and fields of arrows seen from above."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from tomoset.images.drawing import (
    DARK,
    Colour,
    Picture,
    draw_arrow,
    draw_line,
    draw_ring,
    nice_number,
    text,
    write,
)

Array = npt.NDArray[np.float64]

#: Blue, orange and grey differ to all eyes.
BLUE, ORANGE, GREY = (90, 200, 255), (255, 140, 20), (190, 190, 190)
_FAINT, _DOT, _EDGE = (90, 90, 90), 2, 16
#: Of a panel [px of the picture]: its height, and what the letters at its top and bottom take.
_HEIGHT, _HEAD, _FOOT = 420, 28, 28
_WIDTH, _LEFT = 560, 84
#: Arrows are about so long where nine of ten are not longer [px of the picture].
_LONG = 30.0


@dataclass(frozen=True, kw_only=True, eq=False)
class Curve:
    """One value for each tilt image.

    Parameters
    ----------
    values, errors : (n,) arrays
        NaN where there is none.
    colour : (int, int, int)
    name : str
        For the legend, in letters that `drawing` has; none if empty.
    """

    values: Array
    errors: Array
    colour: Colour
    name: str = ""


def chart(title: str, angles: Array, curves: Sequence[Curve]) -> Picture:
    """A panel of values over tilt angles, each with its standard deviation as a bar.

    Parameters
    ----------
    title : str
        What the values are, in letters that `drawing` has.
    angles : (n,) array
        Tilt angles [deg].
    curves : sequence of Curve
    """
    picture = _panel(_WIDTH, title)
    reach = [np.abs(c.values) + np.nan_to_num(c.errors) for c in curves]
    known = np.concatenate(reach)
    most = max(float(known[np.isfinite(known)].max(initial=0)), 1e-3)
    step = nice_number(most)
    most = step * math.ceil(most / step - 1e-9)
    middle, half = (_HEAD + _HEIGHT - _FOOT) / 2, (_HEIGHT - _HEAD - _FOOT) / 2 - 8
    for value in np.arange(-most, most + step / 2, step):
        row = round(middle - value / most * half)
        picture[row, _LEFT:-_EDGE] = _FAINT
        letters = text(f"{value:.4g}", _DOT)
        write(picture, letters, (row - 3 * _DOT, max(_LEFT - letters.shape[1] - 8, 0)))
    low, high = float(angles.min()), float(angles.max())
    at = _LEFT + 8 + (angles - low) / max(high - low, 1e-9) * (_WIDTH - _LEFT - _EDGE - 16)
    _name_axis(picture, "tilt angle °")
    _draw_legend(picture, curves)
    for angle, x in ((low, at.min()), (high, at.max())):
        letters = text(f"{angle:.0f}°", _DOT)
        left = int(np.clip(x - letters.shape[1] / 2, 0, _WIDTH - letters.shape[1]))
        write(picture, letters, (_HEIGHT - _FOOT + 8, left))
    order = np.argsort(angles, kind="stable")
    for curve in curves:
        _draw_curve(picture, at[order], _taken(curve, order), (middle, half / most))
    return picture


def _name_axis(picture: Picture, name: str) -> None:
    letters = text(name, _DOT)
    left = (_LEFT + picture.shape[1] - _EDGE - letters.shape[1]) // 2
    write(picture, letters, (_HEIGHT - _FOOT + 8, left))


def _draw_legend(picture: Picture, curves: Sequence[Curve]) -> None:
    """Names of curves in a row at the top right, each after a line of its colour."""
    right = picture.shape[1] - _EDGE
    for curve in reversed([c for c in curves if c.name]):
        letters = text(curve.name, _DOT)
        right -= letters.shape[1]
        write(picture, letters, (6, right))
        ends = np.array([[right - 28.0, 13.0], [right - 8.0, 13.0]])
        draw_line(picture, ends[0], ends[1], curve.colour)
        draw_ring(picture, ends.mean(axis=0), 2.0, curve.colour)
        right -= 28 + _EDGE


def _taken(curve: Curve, order: npt.NDArray[np.intp]) -> Curve:
    return replace(curve, values=curve.values[order], errors=curve.errors[order])


def _draw_curve(picture: Picture, at: Array, curve: Curve, scale: tuple[float, float]) -> None:
    middle, factor = scale
    last = None
    for x, value, error in zip(at, curve.values, curve.errors, strict=True):
        if not np.isfinite(value):
            last = None
            continue
        here = np.array([x, middle - value * factor])
        if last is not None:
            draw_line(picture, last, here, curve.colour)
        if np.isfinite(error):
            bar = np.array([0.0, error * factor])
            draw_line(picture, here - bar, here + bar, curve.colour)
        draw_ring(picture, here, 2.0, curve.colour)
        last = here


@dataclass(frozen=True, kw_only=True, eq=False)
class Field:
    """Ways that points go, seen from above.

    Parameters
    ----------
    size : (float, float)
        Width and height of what is seen; y runs upwards.
    points : (n, 2) array
        Where ways begin.
    ways : (n, m, 2) array
        Where they have come after each of m steps, less where they began.
    unit : float
        What one of the size is in the unit that lengths are told in.
    """

    size: tuple[float, float]
    points: Array
    ways: Array
    unit: float = 1.0


def field_panel(title: str, field: Field) -> Picture:
    """A panel of ways, so much enlarged as its title says.

    Parameters
    ----------
    title : str
        What goes where, in letters that `drawing` has; ``{}`` becomes the length that nine of
        ten do not exceed.
    field : Field
    """
    inner = _HEIGHT - _HEAD - _EDGE
    scale = inner / field.size[1]
    width = max(round(field.size[0] * scale), 200)
    lengths = np.hypot(*field.ways[:, -1].T) if len(field.ways) else np.zeros(0)
    usual = float(np.percentile(lengths, 90)) if lengths.size else 0.0
    factor = nice_number(_LONG / max(usual * scale, 1e-6))
    usual_text = f"{usual * field.unit:.3g}"
    picture = _panel(width + 2 * _EDGE, f"{title.format(usual_text)} - drawn x{factor:g}")
    bottom = _HEIGHT - _EDGE
    picture[_HEAD : bottom + 1, [_EDGE, _EDGE + width - 1]] = _FAINT
    picture[[_HEAD, bottom], _EDGE : _EDGE + width] = _FAINT
    inside = picture[_HEAD + 1 : bottom, _EDGE + 1 : _EDGE + width - 1]  # nothing leaves the frame
    for point, way in zip(field.points, field.ways, strict=True):
        steps = np.concatenate([np.zeros((1, 2)), way]) * factor + point
        places = np.stack([steps[:, 0] * scale - 1, inner - 1 - steps[:, 1] * scale], axis=1)
        draw_ring(inside, places[0], 1.5, BLUE)
        _draw_way(inside, places)
    write(picture, text("x", _DOT), (bottom - 20, _EDGE + width - 18))
    write(picture, text("y", _DOT), (_HEAD + 6, _EDGE + 8))
    return picture


def _draw_way(picture: Picture, places: Array) -> None:
    if np.hypot(*(places[-1] - places[0])) < 1.0:
        return
    for start, end in pairwise(places[:-1]):
        draw_line(picture, start, end, ORANGE)
    draw_arrow(picture, places[-2], places[-1], ORANGE)


def _panel(width: int, title: str) -> Picture:
    letters = text(title, _DOT)
    picture: Picture = np.full((_HEIGHT, max(width, letters.shape[1] + 2 * _EDGE), 3), DARK, "u1")
    write(picture, letters, (6, _EDGE))
    return picture
