"""Gold beads: where images show them, how far from where they should be, and the fit to them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tomoset.align import PARAMETERS
from tomoset.fiducials.align_one import Aligned, Kept
from tomoset.fiducials.outputs import residuals, rms
from tomoset.figures._field import Box
from tomoset.figures._style import (
    BLUE,
    FAINT,
    INK,
    LIGHT,
    ORANGE,
    WIDTH,
    Images,
    Sheet,
    arrow_factor,
    arrow_key,
    arrows,
    bars,
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
from tomoset.model import Fiducials, Tomogram

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


#: Radius of a circle around beads of which nobody has said how large they are [Å].
_RADIUS = 50.0
#: Images that are shown large, by their rank among the tilt angles.
_SHOWN = 0.15, 0.5, 0.85
#: Sizes on the sheet [in]: panels, charts, and what is between them.
_GAP, _CHART, _BETWEEN, _CHART_HEIGHT, _STEP = 0.08, 1.6, 0.75, 1.05, 1.6
_BOX = 1.35
#: Beads are numbered in images if there are no more.
_NUMBERED = 25


@dataclass(frozen=True, kw_only=True, eq=False)
class _Beads:
    """What figures of beads show.

    Parameters
    ----------
    tomogram : Tomogram
        Whose alignment residuals are of.
    points : (n_beads, 3) array
        0-based voxels.
    seen, off : (n_tilts, n_beads, 2) arrays
        Where beads were seen, and that less where they should be [px]; NaN where they were not.
    good : (n_tilts, n_beads) bool array
        What counts; the rest of what was seen are outliers.
    by_tilt, by_bead : (n_tilts,), (n_beads,) arrays
        Rms of residuals that count [px].
    radius : float or None
        Of a bead [Å].
    """

    tomogram: Tomogram
    points: Array
    seen: Array
    off: Array
    good: Mask
    by_tilt: Array
    by_bead: Array
    radius: float | None

    @property
    def angles(self) -> Array:
        return self.tomogram.tilt_angles

    @property
    def pixel_size(self) -> float:
        return float(self.tomogram.optics.pixel_size or math.nan)

    def facts(self) -> str:
        """Size of pixels and beads, in words."""
        t, radius = self.tomogram, self.radius
        beads = f"{length(2 * radius)} beads" if radius else "circles of 10 nm"
        return f"{count(t.n_tilts, 'tilt image')}, {number(self.pixel_size, 4)} Å/px, {beads}"

    def shown(self) -> list[int]:
        """Images that are shown large, in the order of tilt angles."""
        order = np.argsort(self.angles, kind="stable")
        ranks = (np.array(_SHOWN) * (len(order) - 1)).round().astype(int)
        return list(dict.fromkeys(order[ranks].tolist()))


def beads(
    tomogram: Tomogram, fiducials: Fiducials, images: Images, *, radius: float | None = None
) -> Figure:
    """Beads as they were found, on three tilt images, and how far off the alignment they are.

    Parameters
    ----------
    tomogram : Tomogram
        Aligned, with size, image and pixel size.
    fiducials : Fiducials
        The beads; with observations, if they were seen.
    images : Images
        The tilt images.
    radius : float, optional
        Of a bead [Å].

    Returns
    -------
    matplotlib.figure.Figure
    """
    of = _found(tomogram, fiducials, radius)
    return _as_found(of, images, f"{tomogram.name}: gold beads", [of.facts(), _off(of)])


def alignment_kept(tomogram: Tomogram, kept: Kept, images: Images) -> Figure:
    """The beads of an alignment that stays as it is, and why it does.

    Parameters
    ----------
    tomogram : Tomogram
        Aligned, with size, image and pixel size.
    kept : Kept
        What was found.
    images : Images
        The tilt images.

    Returns
    -------
    matplotlib.figure.Figure
    """
    of = _found(tomogram, kept.fiducials, kept.radius)
    off = f"{_off(of)}, outliers included"
    said = [of.facts(), off, f"it stays: {kept.reason.partition(': ')[2]}"]
    title = f"{tomogram.name}: the alignment stays as it is, gold beads tell no better one"
    return _as_found(of, images, title, said)


def _as_found(of: _Beads, images: Images, title: str, said: Sequence[str]) -> Figure:
    sheet = Sheet(title, said)
    y = _panels(sheet, of, images)
    seen = bool(of.good.any())
    if seen:
        _charts(sheet, of, y, fill=True)
    return sheet.finish(0.38 if seen else 0.12)


def _off(of: _Beads) -> str:
    """How many beads there are, and how far off the alignment they are."""
    n, seen = len(of.points), int(of.good.sum())
    if not n:
        return "no beads were found"
    said = f"{count(n, 'bead')}, {seen} times seen"
    if seen:
        total = float(rms(of.off.reshape(1, -1, 2), axis=1)[0])
        said += f"; off the alignment as it is by {_px(total, of.pixel_size)} rms"
    return said


def _found(tomogram: Tomogram, fiducials: Fiducials, radius: float | None) -> _Beads:
    off = residuals(tomogram, fiducials)
    return _Beads(
        tomogram=tomogram,
        points=fiducials.points,
        seen=off + tomogram.project(fiducials.points),
        off=off,
        good=np.isfinite(off[..., 0]),
        by_tilt=rms(off, axis=1),
        by_bead=rms(off, axis=0),
        radius=radius,
    )


def alignment_by_beads(tomogram: Tomogram, aligned: Aligned, images: Images) -> Figure:
    """An alignment by beads: what it is of, how well it fits, what changed, how sure it is.

    Parameters
    ----------
    tomogram : Tomogram
        With the new alignment.
    aligned : Aligned
        What was found.
    images : Images
        The tilt images.

    Returns
    -------
    matplotlib.figure.Figure
    """
    of, fit = _aligned(tomogram, aligned), aligned.fit
    px = of.pixel_size
    outliers = f", {fit.discarded} outliers" * bool(fit.discarded)
    said = [
        of.facts(),
        f"{len(of.points)} beads, {fit.counted} times seen{outliers}; residual "
        f"{_px(fit.rms, px)} rms; error of what is left out {fit.leave_out_before:.2f} → "
        f"{_px(fit.leave_out, px)}; alignment known to {_px(fit.expected, px)}",
        f"model: {fit.model}",
    ]
    sheet = Sheet(f"{tomogram.name}: alignment by gold beads", said)
    y = _charts(sheet, of, _panels(sheet, of, images))
    shift = PARAMETERS.index("shift_x")
    pairs = {
        "change of the shift (px)": fit.changes,
        "std. dev. in the middle (px)": fit.deviations,
    }
    for i, (name, values) in enumerate(pairs.items()):
        ax = sheet.axes(0.5 + i * (_CHART + _BETWEEN), y, _CHART, _CHART_HEIGHT)
        for k, colour in enumerate((BLUE, ORANGE)):
            errors = fit.deviations[:, shift + k] if values is fit.changes else None
            curve(ax, of.angles, values[:, shift + k], errors, colour, "xy"[k])
        tilt_axis(ax, of.angles)
        ax.set_ylabel(name)
        other_unit(ax, px, "Å")
        legend(ax)
        if values is fit.deviations:
            _from_zero(ax, values[:, shift : shift + 2])
    return sheet.finish(0.38)


def _aligned(tomogram: Tomogram, aligned: Aligned) -> _Beads:
    """Residuals as the fit has them: of flat images, where a deformation was found."""
    fit, seen = aligned.fit, aligned.seen
    has_place = np.isfinite(fit.beads).all(axis=1)
    off = np.full((tomogram.n_tilts, len(fit.beads), 2), np.nan)
    off[seen.tilt, seen.bead] = fit.residuals
    off = off[:, has_place]
    points = aligned.fiducials.points
    return _Beads(
        tomogram=tomogram,
        points=points,
        seen=off + tomogram.project(points),
        off=off,
        good=aligned.good,
        by_tilt=fit.by_tilt,
        by_bead=fit.by_bead[has_place],
        radius=aligned.radius,
    )


def _panels(sheet: Sheet, of: _Beads, images: Images) -> float:
    """Images with beads, and residuals as arrows below them; how far down they go."""
    shown = of.shown()
    lengths = np.hypot(*np.moveaxis(of.off[shown], -1, 0))
    columns = max(len(shown), 2)  # a single image has its residuals beside it
    wide = (WIDTH - 0.2 + _GAP) / columns - _GAP
    y = sheet.top + 0.16
    for column, i in enumerate(shown):
        image = images.read(i)
        high = wide * image.shape[0] / image.shape[1]
        factor = arrow_factor(lengths, image.shape[1])
        x = 0.1 + column * (wide + _GAP)
        ax = sheet.axes(x, y, wide, high, degrees(of.angles[i]))
        show(ax, image)
        _rings(ax, of, i)
        scale_bar(ax, of.pixel_size)
        if not np.isfinite(lengths).any():
            continue
        right, down = (wide + _GAP, 0.0) if len(shown) == 1 else (0.0, high + 0.22)
        out = ", orange: outliers" * bool((np.isfinite(of.off[i, :, 0]) & ~of.good[i]).any())
        title = f"residuals × {factor:g}{out}"
        ax = sheet.axes(x + right, y + down, wide, high, title)
        ax.set(xticks=[], yticks=[], xlim=(-0.5, image.shape[1] - 0.5))
        ax.set_ylim(-0.5, image.shape[0] - 0.5)
        _residuals(ax, of, i, factor)
        if column == 0:
            arrow_key(ax, factor, lambda px: _px(px, of.pixel_size, "g"))
    return sheet.bottom(ax)


def _rings(ax: Axes, of: _Beads, i: int) -> None:
    """A ring about each bead: good ones blue, outliers orange and broken."""
    from matplotlib.collections import EllipseCollection

    known = np.isfinite(of.seen[i]).all(axis=1)
    ring = max((of.radius or _RADIUS) / of.pixel_size, 0.006 * ax.get_xlim()[1]) * 1.25
    for good, colour, style in ((True, BLUE, "-"), (False, ORANGE, (0, (2, 1)))):
        at = of.seen[i, known & (of.good[i] == good)]
        for width, shade, line in ((2.0, "white", "-"), (1.0, colour, style)):
            size = np.full(len(at), 2 * ring)
            rings = EllipseCollection(
                *(size, size, np.zeros(len(at))),
                units="xy",
                offsets=at,
                offset_transform=ax.transData,
                facecolors="none",
                edgecolors=shade,
                linewidths=width,
                linestyles=line,
            )
            ax.add_collection(rings, autolim=False)
    if known.sum() <= _NUMBERED:
        for bead in np.flatnonzero(known):
            x, y = of.seen[i, bead] + 0.9 * ring
            box = {"facecolor": "black", "alpha": 0.55, "linewidth": 0, "pad": 0.5}
            ax.text(x, y, str(bead + 1), size=5, color="white", clip_on=True, bbox=box)


def _residuals(ax: Axes, of: _Beads, i: int, factor: float) -> None:
    known = np.isfinite(of.off[i]).all(axis=1)
    for good, colour in ((True, BLUE), (False, ORANGE)):
        which = known & (of.good[i] == good)
        ax.plot(*of.seen[i, which].T, "o", color=colour, markersize=1.2)
        arrows(ax, of.seen[i, which], of.off[i, which], colour, factor)


def _px(value: float, pixel_size: float, form: str = ".2f") -> str:
    """A length in px, and what that is: ``0.41 px (2.21 Å)``."""
    return f"{value:{form}} px" + f" ({value * pixel_size:{form}} Å)" * math.isfinite(pixel_size)


def _charts(sheet: Sheet, of: _Beads, y: float, *, fill: bool = False) -> float:
    """Residuals over tilt and dose, beads in the tomogram; where the next row begins.

    What fills its row goes as far down as the tomogram does.
    """
    top, x = y + 0.34, 0.5
    low = _in_box(sheet, of, (WIDTH - _BOX - 0.52, top))
    high = max(low - top, _CHART_HEIGHT) if fill else _CHART_HEIGHT
    ax = sheet.axes(x, top, _CHART, high)
    bars(ax, of.angles, of.by_tilt, LIGHT)
    shown = of.shown()
    only = np.full(len(of.angles), np.nan)
    only[shown] = of.by_tilt[shown]
    bars(ax, of.angles, only, BLUE, "images shown above")
    legend(ax)
    tilt_axis(ax, of.angles)
    dose = of.tomogram.pre_exposure
    second = sheet.axes(x + _CHART + _BETWEEN, top, _CHART, high)
    with_residuals = [ax]
    if dose is not None and len(dose) > 1:
        _over_dose(second, dose, of)
        with_residuals.append(second)
    else:
        _number_seen(second, of)
    for one in with_residuals:
        one.set_ylabel("rms residual (px)")
        _from_zero(one, of.by_tilt)
        other_unit(one, of.pixel_size, "Å")
    return top + _STEP


def _from_zero(ax: Axes, values: Array) -> None:
    ax.set_ylim(0, 1.12 * float(values[np.isfinite(values)].max(initial=0.0)) or 1.0)


def _over_dose(ax: Axes, dose: Array, of: _Beads) -> None:
    ax.plot(dose, of.by_tilt, "o", color=BLUE, markersize=2.2)
    ax.set_xlabel("dose before the image (e/Å²)")
    ax.grid(axis="y", color=FAINT, linewidth=0.4)


def _number_seen(ax: Axes, of: _Beads) -> None:
    from matplotlib.ticker import MaxNLocator

    bars(ax, of.angles, of.good.sum(axis=1).astype(np.float64), LIGHT)
    tilt_axis(ax, of.angles)
    ax.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    ax.set_ylabel("beads seen")


def _in_box(sheet: Sheet, of: _Beads, at: tuple[float, float]) -> float:
    """Beads in the tomogram's box, from above and from the side, by their residual; its end."""
    if of.tomogram.size is None:
        return at[1]
    box = Box(of.tomogram)
    above = box.above(sheet, at, _BOX, "beads in the tomogram")
    low = sheet.bottom(above) + 0.1
    beside = box.beside(sheet, (at[0], low), _BOX, above)
    above.set(xlabel="", xticklabels=[])
    points = box.nm(of.points)
    known = of.by_bead[np.isfinite(of.by_bead)]
    colours: dict[str, Any] = {
        **{"c": of.by_bead, "cmap": "cividis_r", "vmin": known.min(), "vmax": known.max()},
        # Beads of which nothing counts are rings.
        **{"plotnonfinite": True, "edgecolors": INK, "linewidths": 0.3, "s": 6, "zorder": 3},
    }
    if np.ptp(known) <= 1e-6 * known.max():
        colours |= {"vmin": 0.0, "vmax": 2 * known.max() or 1.0}
    marks = above.scatter(*points[:, :2].T, **colours)
    beside.scatter(*points[:, [0, 2]].T, **colours)
    bar = sheet.axes(at[0] + _BOX + 0.06, at[1], 0.06, sheet.bottom(above) - at[1])
    colour_bar = sheet.figure.colorbar(marks, cax=bar)
    colour_bar.outline.set_linewidth(0.5)
    bar.set_ylabel("rms residual (px)", size=6, labelpad=1)
    sheet.legend_below(beside, above, 1)
    return sheet.bottom(beside)
