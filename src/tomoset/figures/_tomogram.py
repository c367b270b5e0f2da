"""Sections of a tomogram."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from tomoset.errors import ModelError
from tomoset.figures._style import (
    BLUE,
    INK,
    ORANGE,
    WIDTH,
    Sheet,
    count,
    grey_levels,
    length,
    number,
    scale_bar,
    show,
)
from tomoset.reconstruct.sections import Sections

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Width and height of all panels together, what is between them, and the left margin [in].
_WIDE, _TALL, _GAP, _LEFT = WIDTH - 0.24, 7.0, 0.25, 0.12
#: Sections across an axis, by the axes that run to the right and upwards.
_NAMES = {"z": "xy", "y": "xz", "x": "zy"}
#: Volumes that are deeper, against their largest side, have their sections in one row.
_DEEP = 0.6


def sections(name: str, made: Sections) -> Figure:
    """Three sections of a tomogram at one scale and one contrast, and where each lies.

    Across z is large, across y below it, across x to its right; or all are in a row where the
    volume is deep. The second axis of a name runs upwards. Lines show where the others lie, which
    is where most beads are, if any are known.

    Parameters
    ----------
    name : str
        Of the tomogram.
    made : Sections
        What was cut out of it.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ModelError
        If the sections are not of one volume.
    """
    xy, xz, yz = made.xy, made.xz, made.yz
    (ny, nx), nz = xy.shape, xz.shape[0]
    if xz.shape != (nz, nx) or yz.shape != (nz, ny):
        raise ModelError(
            f"expected sections of one volume, found xy {xy.shape}, xz {xz.shape}, yz {yz.shape}"
        )
    sheet = Sheet(f"{name}: {_which(made)}", [_size((nx, ny, nz), made.pixel_size), *_said(made)])
    in_x, in_y, in_z = made.places
    parts = {
        "z": (xy, in_z, (in_x.at, in_y.at)),
        "y": (xz, in_y, (in_x.at, in_z.at)),
        "x": (yz.T, in_x, (in_z.at, in_y.at)),
    }
    unit, corners = _arranged((nx, ny, nz))
    levels = grey_levels(xy, xz, yz)
    for axis, (image, place, crossed) in parts.items():
        (right, down), (height, width) = corners[axis], image.shape
        ax = sheet.axes(_LEFT + right, sheet.top + 0.2 + down, width * unit, height * unit)
        show(ax, image, levels)
        _mark(ax, crossed)
        title = f"{_NAMES[axis]} at {axis} = {_position(place.at, made.pixel_size)}"
        # What stands at the right edge of the sheet may be narrower than its title.
        end: Literal["left", "right"] = "right" if axis == "x" else "left"
        ax.set_title(title, loc=end, size=7, color=INK, pad=3, y=1.0)
        if axis == "z":
            scale_bar(ax, made.pixel_size)
    return sheet.finish(0.15)


def _which(made: Sections) -> str:
    return "sections through most beads" if made.beads else "central sections"


def _said(made: Sections) -> list[str]:
    """How thick sections are, what their lines show, where they lie."""
    unit = made.pixel_size if made.pixel_size > 0 else 1.0
    thick = [
        length(place.thick * unit) if made.pixel_size > 0 else count(place.thick, "voxel")
        for place in made.places
    ]
    words = thick[0] if len(set(thick)) == 1 else " × ".join(thick)
    places = zip("zyx", reversed(made.places), strict=True)
    where = [
        f"{_NAMES[axis]} at {axis} = {place.at:g}"
        + f" ({place.beads} of {count(made.beads, 'bead')})" * bool(made.beads)
        for axis, place in places
    ]
    return [
        f"mean over a thickness of {words}; lines with ends in colour: where the others lie",
        f"in voxels, from 0: {', '.join(where)}",
    ]


def _position(at: float, pixel_size: float) -> str:
    return f"{number(at * pixel_size / 10, 4)} nm" if pixel_size > 0 else f"{at:g} voxels"


def _arranged(size: tuple[int, int, int]) -> tuple[float, dict[str, tuple[float, float]]]:
    """Inches for a voxel, and the upper left corners of the sections across z, y and x [in]."""
    nx, ny, nz = size
    if nz > _DEEP * max(nx, ny):
        unit = (_WIDE - 2 * _GAP) / (2 * nx + nz)
        step = nx * unit + _GAP
        return unit, {"z": (0.0, 0.0), "y": (step, 0.0), "x": (2 * step, 0.0)}
    unit = min((_WIDE - _GAP) / (nx + nz), (_TALL - _GAP) / (ny + nz))
    return unit, {"z": (0.0, 0.0), "y": (0.0, ny * unit + _GAP), "x": (nx * unit + _GAP, 0.0)}


def _size(size: Sequence[int], pixel_size: float) -> str:
    voxels = " × ".join(map(str, size)) + " voxels"
    if not pixel_size > 0:
        return voxels
    nm = " × ".join(number(n * pixel_size / 10) for n in size)
    return f"{voxels} of {number(pixel_size, 4)} Å, {nm} nm"


def _mark(ax: Axes, at: tuple[float, float]) -> None:
    """Where the other two sections cross this one: strong at the edges, faint between."""
    for line, where, colour in ((ax.axvline, at[0], BLUE), (ax.axhline, at[1], ORANGE)):
        line(where, color="white", linewidth=0.5, alpha=0.35)
        for first, last in ((0.0, 0.06), (0.94, 1.0)):
            line(where, first, last, color="white", linewidth=2.4)
            line(where, first, last, color=colour, linewidth=1.4)
