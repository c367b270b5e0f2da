"""The central sections of a tomogram."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tomoset.errors import ModelError
from tomoset.figures._style import (
    BLUE,
    ORANGE,
    WIDTH,
    Sheet,
    grey_levels,
    length,
    number,
    scale_bar,
    show,
)
from tomoset.reconstruct.slices import CentralSlices

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Width and height of all panels together, what is between them, and the left margin [in].
_WIDE, _TALL, _GAP, _LEFT = WIDTH - 0.24, 7.0, 0.25, 0.12
#: Volumes that are deeper, against their largest side, have their sections in one row.
_DEEP = 0.6


def sections(name: str, made: CentralSlices) -> Figure:
    """Three sections of a tomogram at one scale and one contrast, and where each lies.

    Across z is large, across y below it, across x to its right; or all are in a row where the
    volume is deep. The second axis of a name runs upwards. Lines show where the others lie.

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
    px, (at_x, at_y, at_z) = made.pixel_size, made.at
    sheet = Sheet(f"{name}: central sections", [_size((nx, ny, nz), px), _thickness(made)])
    images = {"z": xy, "y": xz, "x": yz.T}
    crossed = {"z": (at_x, at_y), "y": (at_x, at_z), "x": (at_z, at_y)}
    unit, places = _arranged((nx, ny, nz))
    levels = grey_levels(*images.values())
    for (axis, image), at in zip(images.items(), (at_z, at_y, at_x), strict=True):
        (right, down), (height, width) = places[axis], image.shape
        left, top, seen = _LEFT + right, sheet.top + 0.2 + down, "xyz".replace(axis, "")
        title = f"{'zy' if axis == 'x' else seen} at {axis} = {at:g}"
        ax = sheet.axes(left, top, width * unit, height * unit, title)
        show(ax, image, levels)
        _mark(ax, crossed[axis])
        if axis == "z":
            scale_bar(ax, px)
    return sheet.finish(0.15)


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


def _thickness(made: CentralSlices) -> str:
    """How thick sections are, and what lines in them show."""
    unit = made.pixel_size if made.pixel_size > 0 else 1.0
    said = [length(n * unit) if made.pixel_size > 0 else f"{n} voxels" for n in made.thick]
    thick = said[0] if len(set(said)) == 1 else " × ".join(said)
    return f"mean over a thickness of {thick}; lines with ends in colour: where the others lie"


def _mark(ax: Axes, at: tuple[float, float]) -> None:
    """Where the other two sections cross this one: strong at the edges, faint between."""
    for line, where, colour in ((ax.axvline, at[0], BLUE), (ax.axhline, at[1], ORANGE)):
        line(where, color="white", linewidth=0.5, alpha=0.35)
        for first, last in ((0.0, 0.06), (0.94, 1.0)):
            line(where, first, last, color="white", linewidth=2.4)
            line(where, first, last, color=colour, linewidth=1.4)
