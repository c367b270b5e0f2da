"""Drawings of a series: its box and what the images see of it, beads, fields of arrows."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tomoset.errors import ModelError, TomosetError
from tomoset.figures._style import arrow_factor, length, nice, number
from tomoset.report._gather import Series
from tomoset.report._pictures import TILE, Picture, Strip
from tomoset.report._sight import on_plane

Array = npt.NDArray[np.float64]

#: Points that are drawn of one kind, at most: evenly taken.
_MOST = 1500
#: Thin arrows of a drawing, and circles on each image of a strip, at most: where there is little
#: room, and where there is enough.
ARROWS, CIRCLES = (200, 4000), (10, 60)
#: Nodes of the field of deformation along a side.
_NODES = 9
#: Width of a drawing [px of the page].
WIDTH = 320


@dataclass(frozen=True)
class Mark:
    """Shapes of one kind: ``kind`` is their class in the style of the page, ``path`` is SVG's."""

    kind: str
    path: str


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """A drawing, ready for its template.

    Parameters
    ----------
    title, words : str
        What it shows, and how to read it.
    width, height : float
        Of what is drawn.
    marks : list of Mark
        From behind to the front.
    picture : Picture, optional
        Behind them.
    zoom : float
        Units of the drawing for a pixel of that.
    labels : list of (float, float, str)
        Where words stand, and which.
    wide : bool
        Whether it takes the whole width.
    """

    title: str
    words: str
    width: float
    height: float
    marks: list[Mark]
    picture: Picture | None = None
    zoom: float = 1.0
    labels: list[tuple[float, float, str]]
    wide: bool = False


def some(points: Array, most: int = _MOST) -> Array:
    """Not more of some points than these, evenly taken."""
    return points[:: max(1, math.ceil(len(points) / most))]


def footprint(series: Series, tilt: int) -> Array | None:
    """What an image shows of the middle plane of the tomogram: x, y of its corners [voxels]."""
    t = series.tomogram
    if t.projections is None or t.image_size is None or t.size is None:
        return None
    width, height = t.image_size
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]]) - 0.5
    try:
        return on_plane(t, tilt, corners, (t.size[2] - 1) / 2)[:, :2]
    except ModelError:  # seen edge-on
        return None


def field_of_view(series: Series) -> Drawing | None:
    """The box from above, what images show of it, beads and particles."""
    t, central = series.tomogram, series.central
    if t.size is None:
        return None
    box = np.array(t.size[:2], np.float64)
    corners = np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) * box - 0.5
    seen = None if central is None else footprint(series, central)
    low, high = corners.min(axis=0), corners.max(axis=0)
    if seen is not None:
        low, high = np.minimum(low, seen.min(axis=0)), np.maximum(high, seen.max(axis=0))
    room = 0.03 * (high - low).max()
    low, high = low - room, high + room
    unit = WIDTH / (high - low).max()

    def place(points: Array) -> Array:
        """Points as the page has them: y runs down there."""
        return np.asarray((points * [1, -1] + [-low[0], high[1]]) * unit)

    marks = [Mark("box", polygon(place(corners)))]
    if seen is not None:
        marks.append(Mark("view", polygon(place(seen))))
        middle = (box - 1) / 2
        axis = np.array([[middle[0], low[1] + room], [middle[0], high[1] - room]])
        marks.append(Mark("axis", polygon(place(axis), close=False)))
    marks += [
        Mark(kind, dots(place(some(points)[:, :2])))
        for kind, points in (("particle", series.particles), ("bead", _points(series)))
        if points is not None and len(points)
    ]
    pixel = t.optics.pixel_size
    size = " x ".join(map(str, t.size)) + " voxels"
    if pixel is not None:
        size += f", {' x '.join(length(n * pixel) for n in t.size)}"
    words = f"{size}."
    if seen is not None:
        words += " Broken line: the middle of the image at least tilt; thin line: the tilt axis."
    width, height = (high - low) * unit
    return Drawing(
        title="The tomogram from above",
        words=words,
        width=round(float(width), 1),
        height=round(float(height), 1),
        marks=marks,
        labels=[],
    )


def _points(series: Series) -> Array | None:
    return None if series.fiducials is None else series.fiducials.points


def scene(series: Series) -> str | None:
    """The box, the tilt axis, views, beads and particles in space, for the script that turns them.

    JSON: whole voxels are enough for the eye.
    """
    t = series.tomogram
    if t.size is None:
        return None
    groups = [
        {"name": name, "points": some(points).round().astype(int).ravel().tolist()}
        for name, points in (("particles", series.particles), ("beads", _points(series)))
        if points is not None and len(points)
    ]
    views = []
    if series.aligned and t.n_tilts and (angles := series.angles) is not None:
        order = np.argsort(angles, kind="stable")
        for i in dict.fromkeys([int(order[0]), series.central or 0, int(order[-1])]):
            beam = t.need_projections()[i, 2, :3]
            views.append({"angle": round(float(angles[i]), 1), "beam": beam.round(3).tolist()})
    said: dict[str, Any] = {"size": list(t.size), "groups": groups, "views": views}
    return json.dumps(said, separators=(",", ":"))


def residual_vectors(series: Series, behind: Picture | None, most: int) -> Drawing | None:
    """Where beads were seen against where they should be, in the image at least tilt and others.

    Parameters
    ----------
    series : Series
        Of which beads are known.
    behind : Picture or None
        The image at least tilt.
    most : int
        Arrows of other images: of every so many of these.
    """
    t, off, central = series.tomogram, series.off, series.central
    if off is None or central is None or not np.isfinite(off).any() or t.image_size is None:
        return None
    assert series.fiducials is not None
    at = t.project(series.fiducials.points)[central]
    frame = _Frame(t.image_size, behind)
    lengths = np.hypot(*np.moveaxis(off, -1, 0))
    factor = arrow_factor(lengths, t.image_size[0])
    step = _step(off, most)
    every = "".join(frame.arrows(at, one, factor, head=False) for one in off[::step])
    here = frame.arrows(at, off[central], factor)
    return frame.drawing(
        "Residuals of beads",
        f"Arrows are {number(factor)} times as long as what they stand for. Strong: the image at "
        f"least tilt; thin: {_others(step)}, at the same bead.",
        [Mark("faint", every), Mark("arrow", here)],
        _key(factor, t.image_size[0], t.optics.pixel_size),
    )


def _step(vectors: Array, most: int) -> int:
    """Of how many images one is drawn, so that there are no more arrows than these."""
    arrows: int = math.prod(vectors.shape[:2])
    return max(1, -(-arrows // most))


def _others(step: int) -> str:
    return "all others" if step == 1 else f"one of {step} of the others"


def deformation(series: Series, most: int) -> Drawing | None:
    """The field by which images are bent; of others than that at least tilt, so many arrows."""
    t, central = series.tomogram, series.central
    if t.deformation is None or central is None or t.image_size is None:
        return None
    across, up = (np.linspace(0, n - 1, _NODES) for n in t.image_size)
    nodes = np.stack(np.meshgrid(across, up), axis=-1).reshape(-1, 2)
    moved = t.deformation.displacement(
        np.broadcast_to(nodes, (t.n_tilts, *nodes.shape)), image_size=t.image_size
    )
    factor = arrow_factor(np.hypot(*np.moveaxis(moved, -1, 0)), t.image_size[0])
    frame, step = _Frame(t.image_size, None), _step(moved, most)
    rms = float(np.sqrt((moved**2).sum(axis=-1).mean()))
    return frame.drawing(
        f"Deformation of images ({t.deformation.kind})",
        f"{number(rms)} px rms over all images; arrows are {number(factor)} times as long. Strong: "
        f"the image at least tilt; thin: {_others(step)}.",
        [
            Mark(
                "faint",
                "".join(frame.arrows(nodes, one, factor, head=False) for one in moved[::step]),
            ),
            Mark("arrow", frame.arrows(nodes, moved[central], factor)),
        ],
        _key(factor, t.image_size[0], t.optics.pixel_size),
    )


def _key(factor: float, width: int, pixel: float | None) -> tuple[float, str]:
    """A round length as an arrow [px of the image], and its words."""
    value = nice(0.2 * width / factor)
    said = f"{number(value)} px" + ("" if pixel is None else f" ({length(value * pixel)})")
    return value * factor, said


class _Frame:
    """A tilt image as a drawing: its first row is the lowest."""

    def __init__(self, size: tuple[int, int], picture: Picture | None) -> None:
        self._picture = picture
        if picture is None:
            self._unit = WIDTH / max(size)
            self.width, self.height = (n * self._unit for n in size)
        else:
            self._unit = 1 / picture.factor
            self.width, self.height = float(picture.width), float(picture.height)

    def place(self, points: Array) -> Array:
        """Points of the image as the page has them."""
        return np.asarray((points + 0.5) * self._unit * [1, -1] + [0, self.height])

    def arrows(self, at: Array, by: Array, factor: float, *, head: bool = True) -> str:
        """Arrows from points, so much longer than what they stand for."""
        known = np.isfinite(by).all(axis=1)
        starts, ends = self.place(at[known]), self.place(at[known] + by[known] * factor)
        return "".join(
            _arrow(a, b, head) for a, b in zip(starts.tolist(), ends.tolist(), strict=True)
        )

    def drawing(self, title: str, words: str, marks: list[Mark], key: tuple[float, str]) -> Drawing:
        """The drawing, its frame, and the arrow that is its scale."""
        long, said = key[0] * self._unit, key[1]
        y = self.height + 14
        corners = np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) * [self.width, self.height]
        return Drawing(
            title=title,
            words=words,
            width=round(self.width, 1),
            height=round(self.height + 22, 1),
            marks=[
                Mark("box", polygon(corners)),
                *marks,
                Mark("arrow", _arrow([4.0, y], [4.0 + long, y], head=True)),
            ],
            picture=self._picture,
            labels=[(10 + long, y + 4, said)],
        )


def _arrow(start: list[float], end: list[float], head: bool) -> str:
    (x, y), (u, v) = start, end
    line = f"M{x:.1f} {y:.1f}l{u - x:.1f} {v - y:.1f}"
    far = math.hypot(u - x, v - y)
    if not head or far < 2:
        return line
    a, b = (u - x) / far, (v - y) / far
    back = min(5.0, far / 2)
    left = f"{u - back * (a - 0.5 * b):.1f} {v - back * (b + 0.5 * a):.1f}"
    right = f"{u - back * (a + 0.5 * b):.1f} {v - back * (b - 0.5 * a):.1f}"
    return f"{line}M{left}L{u:.1f} {v:.1f}L{right}"


def through_tilts(series: Series, of: Strip, most: int) -> Drawing:
    """All tilt images, and where so many points of the specimen should be on them."""
    t = series.tomogram
    angles = series.angles
    labels, marks = [], list[Mark]()
    zoom = TILE / max(of.tile)
    for (x, y), i in zip(of.corners, of.order, strict=True):
        if angles is not None:
            labels.append((x * zoom + 2.0, y * zoom + 9.0, f"{angles[i]:.0f}"))
    words = "In the order of tilt angles."
    for kind, points in (("bead", _points(series)), ("particle", series.particles)):
        if points is None or not len(points) or not series.aligned or marks:
            continue
        chosen = some(points, most)
        try:
            at = t.project(chosen)
        except TomosetError:
            continue
        marks.append(Mark(f"ring {kind}", _in_tiles(at, of, zoom)))
        words += f" Circles: where {len(chosen)} of {len(points)} {kind}s should be."
    return Drawing(
        title="All tilt images",
        words=words,
        width=round(of.picture.width * zoom, 1),
        height=round(of.picture.height * zoom, 1),
        marks=marks,
        picture=of.picture,
        zoom=zoom,
        labels=labels,
        wide=True,
    )


def _in_tiles(at: Array, of: Strip, zoom: float) -> str:
    """A path through points in the tiles that show them; marks of the page are drawn at each."""
    width, height = of.tile
    placed = []
    for corner, i in zip(of.corners, of.order, strict=True):
        place = (at[i] + 0.5) / of.picture.factor
        inside = ((place >= 0) & (place <= [width, height])).all(axis=1)
        placed.append(place[inside] * [1, -1] + [0, height] + corner)
    return polygon(np.concatenate(placed) * zoom, close=False)


def polygon(points: Array, *, close: bool = True) -> str:
    """A path through points."""
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points.tolist()) + "Z" * close


def dots(points: Array) -> str:
    """A path whose round ends are dots at points."""
    return "".join(f"M{x:.1f} {y:.1f}h0" for x, y in points.tolist())
