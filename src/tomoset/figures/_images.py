"""Alignments by images alone: what each image says, how well it is known, where windows lie."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tomoset import geometry
from tomoset.align.images.result import ImageFit
from tomoset.figures._style import (
    BLUE,
    FAINT,
    GREY,
    ORANGE,
    Images,
    Sheet,
    arrow_factor,
    arrow_key,
    arrows,
    count,
    curve,
    degrees,
    legend,
    length,
    number,
    other_unit,
    scale_bar,
    show,
    tilt_axis,
)
from tomoset.model import Tomogram

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = npt.NDArray[np.float64]

#: Sizes on the sheet [in]: the image, charts, and what is between them.
_IMAGE, _BROAD, _BETWEEN, _HIGH, _STEP = 2.9, 3.15, 0.72, 1.05, 1.55
#: Where charts beside the image begin.
_BESIDE = 3.55


def alignment_by_images(tomogram: Tomogram, fit: ImageFit, images: Images) -> Figure:
    """An alignment by images alone: what it says of the specimen, of each image, and how surely.

    Parameters
    ----------
    tomogram : Tomogram
        With the new alignment, in the frame of the fit.
    fit : ImageFit
        What was found.
    images : Images
        The tilt images.

    Returns
    -------
    matplotlib.figure.Figure
    """
    sheet = Sheet(f"{tomogram.name}: alignment by images", _facts(tomogram, fit))
    y = sheet.top + 0.16
    panel = _windows(sheet, y, tomogram, fit, images)
    angles = tomogram.tilt_angles
    each = [(_shifts, "shift of the middle (px)"), (_deviations, "std. dev. in the middle (px)")]
    for row, (draw, label) in enumerate(each):
        ax = sheet.axes(_BESIDE, y + 0.1 + row * _STEP, _BROAD, _HIGH)
        draw(ax, tomogram, fit)
        _finish(ax, angles, fit, label)
        other_unit(ax, tomogram.need_pixel_size(), "Å")
    y = max(sheet.bottom(panel), y + 0.1 + 2 * _STEP - 0.2) + 0.35
    wide = 3.0
    ax = sheet.axes(0.5, y, wide, _HIGH)
    _support(ax, angles, fit)
    _finish(ax, angles, fit, "support (std. dev.)")
    ax = sheet.axes(0.5 + wide + _BETWEEN, y, wide - 0.25, _HIGH)
    curve(ax, angles, fit.predicted, None, BLUE, "with what the others predict")
    _doubts(ax, angles, fit.predicted, fit)
    _finish(ax, angles, fit, "correlation")
    ax.set_ylim(bottom=min(0.0, float(np.nanmin(fit.predicted, initial=0.0))))
    return sheet.finish(0.38)


def _facts(tomogram: Tomogram, fit: ImageFit) -> list[str]:
    """What the whole series says, in words."""
    px, n = tomogram.need_pixel_size(), tomogram.n_tilts
    (about_y, about_x), (error_y, error_x) = fit.inclination, fit.inclination_error
    whole = math.isnan(about_y)
    about_axis = "" if whole else f"{_angle(about_y)} ± {error_y:.2f}° about the tilt axis, by "
    before = f", {number(fit.axis_before)}° before" if math.isfinite(fit.axis_before) else ""
    facts = [
        f"{count(n, 'tilt image')}, {number(px, 4)} Å/px, compared at "
        f"{number(fit.working_pixel)} Å/px, where signal to noise is {number(fit.signal, 2)}",
        f"known to {fit.expected:.2f} px ({fit.expected * px:.2f} Å), but for a common motion; "
        f"moved by {fit.moved:.2f} px; tilt axis at {_angle(fit.axis)} ± {fit.axis_error:.2f}°"
        f"{before}",
        f"{'a body seen whole,' if whole else 'specimen'} {length(fit.thickness)} ± "
        f"{length(fit.thickness_error)} thick, inclined by {about_axis}{_angle(about_x)} ± "
        f"{error_x:.2f}° across",
    ]
    for what, which in (("not used", fit.unused), ("in doubt", fit.doubtful)):
        if which:
            said = ", ".join(f"{i + 1} ({which[i]})" for i in sorted(which))
            facts.append(f"{what}: {said}")
    return facts


def _angle(angle: float) -> str:
    return f"{angle:.2f}°".replace("-", "−")


def _windows(sheet: Sheet, y: float, tomogram: Tomogram, fit: ImageFit, images: Images) -> Axes:
    """The least tilted image that was used, and residuals of the windows in it."""
    used = [i for i in range(tomogram.n_tilts) if i not in fit.unused]
    least = min(used, key=lambda i: abs(tomogram.tilt_angles[i]))
    image, off = images.read(least), fit.residuals[least]
    at = tomogram.project(fit.windows)[least]
    width = image.shape[1]
    lengths = np.hypot(*np.moveaxis(fit.residuals[used], -1, 0))
    factor = arrow_factor(lengths, width)
    title = f"{degrees(tomogram.tilt_angles[least])}; residuals of windows × {factor:g}"
    high = _IMAGE * image.shape[0] / width
    ax = sheet.axes(0.1, y, _IMAGE, high, title)
    show(ax, image)
    known = np.isfinite(off).all(axis=1)
    ax.plot(*at[known].T, "o", color=ORANGE, markersize=1.5)
    arrows(ax, at[known], off[known], ORANGE, factor)
    scale_bar(ax, tomogram.need_pixel_size())
    key = sheet.axes(0.1, y + high + 0.05, _IMAGE, 0.22)
    key.set(xticks=[], yticks=[], xlim=ax.get_xlim(), ylim=(0, 1))
    key.set_axis_off()
    arrow_key(key, factor, lambda px: f"{px:g} px ({px * tomogram.need_pixel_size():g} Å)")
    return key


def _shifts(ax: Axes, tomogram: Tomogram, fit: ImageFit) -> None:
    """Where each image shows the middle of the tomogram, from its own middle."""
    middle = (np.array(tomogram.need_size(), np.float64) - 1) / 2
    at = geometry.apply(fit.projections, middle[None])[:, 0, :2]
    away = at - (np.array(tomogram.need_image_size()) - 1) / 2
    for k, (colour, axis) in enumerate(((BLUE, "x"), (ORANGE, "y"))):
        errors = fit.deviations[f"shift_{axis}"]
        values = np.where(np.isfinite(errors), away[:, k], np.nan)
        curve(ax, tomogram.tilt_angles, values, errors, colour, axis)


def _deviations(ax: Axes, tomogram: Tomogram, fit: ImageFit) -> None:
    for colour, axis in ((BLUE, "x"), (ORANGE, "y")):
        curve(ax, tomogram.tilt_angles, fit.deviations[f"shift_{axis}"], None, colour, axis)
    ax.set_ylim(bottom=0.0)


def _support(ax: Axes, angles: Array, fit: ImageFit) -> None:
    """How surely each image is where it is, against the best other place."""
    curve(ax, angles, fit.support, None, BLUE, "of the image's place")
    curve(ax, angles, fit.rival, None, GREY, "of the best other place")
    _doubts(ax, angles, fit.support, fit)


def _doubts(ax: Axes, angles: Array, values: Array, fit: ImageFit) -> None:
    which = sorted(fit.doubtful)
    if which:
        at = angles[which], values[which]
        ring: dict[str, Any] = {"markersize": 7, "markerfacecolor": "none", "linestyle": "none"}
        ax.plot(*at, marker="o", color=ORANGE, label="in doubt", **ring)


def _finish(ax: Axes, angles: Array, fit: ImageFit, label: str) -> None:
    """Ticks, words, and grey lines at images that were not used."""
    for i in fit.unused:
        ax.axvline(angles[i], color=FAINT, linewidth=2.5, zorder=0)
    tilt_axis(ax, angles)
    ax.set_ylabel(label)
    legend(ax)
