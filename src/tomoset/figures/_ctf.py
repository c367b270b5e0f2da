"""The CTF of a tilt series by its images: defocus, astigmatism, how fine rings are seen."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from tomoset.ctf.measure import MeasuredCtf
from tomoset.figures._style import (
    BLUE,
    FAINT,
    GREY,
    INK,
    ORANGE,
    Sheet,
    count,
    curve,
    legend,
    number,
    tilt_axis,
)
from tomoset.model import Tomogram

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = npt.NDArray[np.float64]

#: Where charts lie on the sheet, and their size [in].
_LEFT, _RIGHT, _WIDTH, _HEIGHT, _STEP = 0.55, 4.1, 2.6, 1.25, 1.8


def ctf(tomogram: Tomogram, measured: MeasuredCtf) -> Figure:
    """Defocus, astigmatism, its direction, and the finest rings of each tilt image.

    Images that do not show their defocus, which the others predict, are marked.

    Parameters
    ----------
    tomogram : Tomogram
        With tilt angles.
    measured : MeasuredCtf
        What was found.

    Returns
    -------
    matplotlib.figure.Figure
    """
    m, angles = measured, tomogram.tilt_angles
    told = int(m.told.sum())
    px = number(tomogram.optics.pixel_size or math.nan, 4)
    facts = [
        f"{count(len(angles), 'tilt image')}, {px} Å/px, {told} of them show their defocus",
        f"specimen inclined by {m.inclined[0]:.1f} ± {m.inclined_error[0]:.1f}° about the tilt "
        f"axis, {m.inclined[1]:.1f} ± {m.inclined_error[1]:.1f}° across; bars are standard "
        "deviations",
    ]
    middle = float(np.median(m.defocus)) / 1e4
    sheet = Sheet(f"{tomogram.name}: defocus {middle:.2f} µm", facts)
    ax = _chart(sheet, 0, "defocus (µm)", angles)
    curve(ax, angles, m.defocus / 1e4, m.defocus_error / 1e4, BLUE, "mean of U and V")
    if told < len(angles):
        dark = ~m.told
        ax.plot(angles[dark], m.defocus[dark] / 1e4, "x", color=ORANGE, markersize=4, zorder=4,
                label="not told by the image")  # fmt: skip
    legend(ax)
    ax = _chart(sheet, 1, "astigmatism (nm)", angles)
    curve(ax, angles, m.astigmatism / 10, m.astigmatism_error / 10, BLUE, "U − V")
    ax.set_ylim(bottom=0)
    if m.phase_shift is not None:
        ax = _chart(sheet, 2, "phase shift (°)", angles)
        curve(ax, angles, m.phase_shift, m.phase_shift_error, BLUE, "phase shift")
    else:
        ax = _chart(sheet, 2, "direction of U (°)", angles)
        curve(ax, angles, m.angle, m.angle_error, BLUE, "direction")
    ax = _chart(sheet, 3, "rings seen to (1/Å)", angles)
    ax.plot(angles, 1 / m.resolution, ".", color=INK, markersize=3)
    ax.vlines(angles, 0, 1 / m.resolution, GREY, linewidth=0.6)
    ax.set_ylim(bottom=0)
    return sheet.finish(0.5)


def _chart(sheet: Sheet, place: int, name: str, angles: Array) -> Axes:
    row, column = divmod(place, 2)
    at = (_LEFT, _RIGHT)[column], 0.9 + row * _STEP
    ax = sheet.axes(*at, _WIDTH, _HEIGHT)
    ax.set_ylabel(name)
    ax.grid(axis="y", color=FAINT, linewidth=0.4)
    ax.set_axisbelow(True)
    tilt_axis(ax, angles)
    return ax
