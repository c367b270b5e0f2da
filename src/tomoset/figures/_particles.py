"""What particles say of a tilt series: its alignment, their motion, its CTF."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tomoset.align.particles import PARAMETERS
from tomoset.figures._field import Box
from tomoset.figures._style import (
    BLUE,
    FAINT,
    GREY,
    INK,
    ORANGE,
    Sheet,
    arrow_factor,
    arrow_key,
    arrows,
    count,
    curve,
    legend,
    length,
    number,
    other_unit,
    tilt_axis,
)
from tomoset.particles.align.one import Aligned
from tomoset.particles.align.report import numbers
from tomoset.particles.ctf.defocus import mean_and_astigmatism, strength
from tomoset.particles.ctf.report import Refined, astigmatism_error

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = npt.NDArray[np.float64]

#: Arrows of a deformation along each axis, and particles that are drawn, at most.
_ARROWS, _PARTICLES = 9, 300
#: Where charts lie on the sheet, and their size [in].
_LEFT, _RIGHT, _WIDTH, _HEIGHT, _STEP = 0.5, 4.1, 2.5, 1.15, 1.7
#: Of `PARAMETERS`, what is drawn together, how, and what it is called.
_SHIFTS = {"shift_x": (BLUE, "x"), "shift_y": (ORANGE, "y")}
_ANGLES = {
    "tilt": (BLUE, "tilt"),
    "rotation": (ORANGE, "tilt axis"),
    "x_tilt": (GREY, "about x"),
}


def alignment_by_particles(aligned: Aligned) -> Figure:
    """An alignment by particles: what changed, how sure it is, how particles and images moved.

    What was held is left out.

    Parameters
    ----------
    aligned : Aligned
        What was found.

    Returns
    -------
    matplotlib.figure.Figure
    """
    said, name = numbers(aligned), aligned.before.name
    facts = f"{count(said.particles, 'particle')} in {count(said.tilt_images, 'image')}"
    sizes = [f"{said.shift:.2f} px"] * bool(said.shift) + [f"{said.angle:.3f}°"] * bool(said.angle)
    changed = "the images stay as they are"
    if said.changed:
        changed = f"{count(said.changed, 'image')} changed: {' and '.join(sizes)} rms"
    if said.displacement:
        changed += f"; particles displaced by {said.displacement:.1f} Å rms"
    if said.expected is not None:
        changed += f"; alignment known to {said.expected:.3f} px at the particles"
    size = f"{number(aligned.pixel_size, 4)} Å/px"
    sheet = Sheet(f"{name}: alignment by particles", [f"{facts}, {size}", changed])
    cells = _Cells(sheet)
    _changes(aligned, cells)
    _uncertainty(aligned, cells)
    if aligned.fit.trajectories.any():
        _over_dose(aligned, cells)
    at, deformed = (_LEFT, cells.below()), aligned.after.deformation is not None
    if aligned.fit.trajectories.any() or aligned.displacement.any():
        _displaced(aligned, sheet, at, beside=None if deformed else (_RIGHT, at[1]))
        at = _RIGHT, at[1]
    if deformed:
        _deformation(aligned, sheet, at)
    return sheet.finish(0.55)


class _Cells:
    """Charts in rows.

    Parameters
    ----------
    sheet : Sheet
        Where they are drawn.
    number : int
        In a row.
    """

    def __init__(self, sheet: Sheet, number: int = 2) -> None:
        self._sheet, self._columns, self._used = sheet, number, 0
        self._step = 2 * (_RIGHT - _LEFT) / number

    def next(self, name: str) -> Axes:
        """The next one; `name` is what it shows."""
        row, column = divmod(self._used, self._columns)
        self._used += 1
        at = _LEFT + column * self._step, self._sheet.top + 0.2 + row * _STEP
        ax = self._sheet.axes(*at, self._step - 0.55 - 0.55 * (self._columns < 3), _HEIGHT)
        ax.set_ylabel(name)
        ax.grid(axis="y", color=FAINT, linewidth=0.4)
        ax.set_axisbelow(True)
        return ax

    def below(self) -> float:
        """Where the next row begins."""
        return self._sheet.top + 0.25 - self._used // -self._columns * _STEP


def _changes(aligned: Aligned, cells: _Cells) -> None:
    fit, angles = aligned.fit, aligned.after.tilt_angles
    for what, unit, which in (("shift", "px", _SHIFTS), ("angles", "°", _ANGLES)):
        columns = {name: PARAMETERS.index(name) for name in which}
        if unit == "°" and not fit.changes[:, list(columns.values())].any():
            continue
        ax = cells.next(f"change of the {what} ({unit})")
        for name, i in columns.items():
            if np.isfinite(fit.deviations[:, i]).any() or fit.changes[:, i].any():
                colour, label = which[name]
                curve(ax, angles, fit.changes[:, i], fit.deviations[:, i], colour, label)
        tilt_axis(ax, angles)
        legend(ax)
        if unit == "px":
            other_unit(ax, aligned.pixel_size, "Å")


def _uncertainty(aligned: Aligned, cells: _Cells) -> None:
    fit, px, angles = aligned.fit, aligned.pixel_size, aligned.after.tilt_angles
    found = {"alignment": (fit.expected, BLUE), "deformation": (fit.deformation_deviations, ORANGE)}
    if not any(np.isfinite(values).any() for values, _ in found.values()):
        return
    ax = cells.next("std. dev. at the particles (Å)")
    highest = 0.0
    for label, (values, colour) in found.items():
        if np.isfinite(values).any():
            curve(ax, angles, values * px, None, colour, label)
            highest = max(highest, float(np.nanmax(values)) * px)
    ax.set_ylim(0, 1.12 * highest or 1.0)
    tilt_axis(ax, angles)
    other_unit(ax, 1 / px, "px")
    legend(ax)


def _over_dose(aligned: Aligned, cells: _Cells) -> None:
    """How far particles have come, and how well that is known."""
    fit, dose = aligned.fit, aligned.before.pre_exposure
    if dose is None:
        return
    ax = cells.next("motion of particles, rms (Å)")
    come = np.sqrt((fit.trajectories**2).sum(axis=-1).mean(axis=0))
    curve(ax, dose, come, None, BLUE, "displacement")
    known = np.sqrt((fit.motion_deviations**2).sum(axis=1))
    if np.isfinite(known).any():
        curve(ax, dose, known, None, ORANGE, "std. dev.")
    ax.set_xlabel("dose before the image (e/Å²)")
    ax.set_ylim(bottom=0)
    legend(ax)


def _displaced(
    aligned: Aligned,
    sheet: Sheet,
    at: tuple[float, float],
    beside: tuple[float, float] | None,
) -> None:
    """Particles from above, and where they went; from the side too, where there is room for it."""
    said, box, fit = numbers(aligned), Box(aligned.after), aligned.fit
    rows = np.arange(0, len(aligned.particles), -(-len(aligned.particles) // _PARTICLES))
    paths = aligned.displacement[rows, None] / 10
    words = f"particles displaced by {said.displacement:.1f} Å rms in 3D"
    if fit.trajectories.any():
        dose = aligned.before.pre_exposure
        order = np.arange(aligned.before.n_tilts) if dose is None else np.argsort(dose)
        paths = fit.trajectories[rows][:, order] / 10
        words = f"motion of particles, {said.motion:.1f} Å rms in 3D"
    ax = box.above(sheet, at, _WIDTH, "", foot=0.08)
    wide = float(np.ptp(ax.get_xlim()))
    factor = arrow_factor(np.hypot(*paths[:, -1, :2].T), wide, 0.08)
    few = f", {len(rows)} of them shown" * (len(rows) < len(aligned.particles))
    ax.set_title(f"{words}{few}; × {factor:g}", loc="left", size=7, color=INK, pad=3, y=1.0)
    starts = box.nm(aligned.particles.positions[rows])
    _paths(ax, starts[:, :2], paths[..., :2], factor)
    arrow_key(ax, factor, lambda nm: length(10 * nm))
    sheet.legend_below(ax, ax, 3)
    if beside is not None:
        side = box.beside(sheet, beside, _WIDTH, ax)
        side.set_title(f"from the side; × {factor:g}", loc="left", size=7, color=INK, pad=3, y=1.0)
        _paths(side, starts[:, ::2], paths[..., ::2], factor)


def _paths(ax: Axes, starts: Array, paths: Array, factor: float) -> None:
    """Paths of particles, an arrow for the last step of each."""
    from matplotlib.collections import LineCollection

    label = "as before" if paths.shape[1] == 1 else "at the lowest dose"
    ax.plot(*starts.T, "o", color=BLUE, markersize=1.3, label=label)
    whole = np.concatenate([np.zeros((len(paths), 1, 2)), paths], axis=1)
    places = starts[:, None] + factor * whole
    if paths.shape[1] == 1:
        arrows(ax, starts, paths[:, 0], ORANGE, factor)
        return
    ax.add_collection(LineCollection(list(places), colors=ORANGE, linewidths=0.6), autolim=False)
    last: dict[str, Any] = {"color": ORANGE, "markersize": 1.3, "label": "at the highest dose"}
    ax.plot(*places[:, -1].T, "s", **last)


def _deformation(aligned: Aligned, sheet: Sheet, at: tuple[float, float]) -> None:
    """What the deformation does to the images, on the mean."""
    t = aligned.after
    if t.deformation is None or t.image_size is None:
        return
    axes = [np.linspace(0, n - 1, _ARROWS + 2)[1:-1] for n in t.image_size]
    points = np.stack(np.meshgrid(*axes), axis=-1).reshape(-1, 2)
    every = np.broadcast_to(points, (t.n_tilts, *points.shape))
    by = t.deformation.displacement(every, image_size=t.image_size).mean(axis=0)
    width, height = t.image_size
    factor = arrow_factor(np.hypot(*by.T), width, 0.08)
    title = f"2D deformation ({t.deformation.kind}), mean; × {factor:g}"
    ax = sheet.axes(*at, _WIDTH, _WIDTH * height / width, title)
    ax.set(xlim=(-0.5, width - 0.5), ylim=(-0.5, height - 0.5))
    ax.set(xlabel="image x (px)", ylabel="image y (px)")
    arrows(ax, points, by, BLUE, factor)
    arrow_key(ax, factor, lambda px: f"{px:g} px ({length(px * aligned.pixel_size)})")


def ctf_refinement(refined: Refined) -> Figure:
    """A refinement of the CTF: defocus, astigmatism and scale over the tilts, before and after.

    Parameters
    ----------
    refined : Refined
        What was found.

    Returns
    -------
    matplotlib.figure.Figure
    """
    fit, before = refined.fit, refined.before
    facts = f"{count(refined.particles, 'particle')}, {count(before.n_tilts, 'tilt image')}"
    size = f"{number(before.optics.pixel_size or np.nan, 4)} Å/px"
    old, old_astigmatism = mean_and_astigmatism(before)
    new, astigmatism = mean_and_astigmatism(refined.after)
    middle = float(old.mean())
    changed = int((~fit.kept).sum())
    said = f"defocus of {count(changed, 'image')} changed" if changed else "defocus stays as it is"
    sheet = Sheet(f"{before.name}: CTF refinement by particles", [f"{facts}, {size}; {said}"])
    cells = _Cells(sheet, 3)
    _compared(
        cells.next(f"defocus − {number(middle / 1e4, 4)} µm (Å)"),
        refined.angles,
        {"before": (old - middle, None), "after": (new - middle, fit.errors[:, 0])},
    )
    amount = cells.next("astigmatism, U − V (Å)")
    _compared(
        amount,
        refined.angles,
        {
            "before": (strength(old_astigmatism), None),
            "after": (strength(astigmatism), astigmatism_error(fit)),
        },
    )
    amount.set_ylim(bottom=0)
    seen = np.isfinite(fit.amplitude_errors)
    if seen.any():
        _compared(
            cells.next("scale of the contrast"),
            refined.angles,
            {
                "seen": _where(seen, fit.amplitudes, fit.amplitude_errors),
                "after": _where(seen, fit.scales, fit.scale_errors),
            },
        )
    return sheet.finish(0.4)


def _where(seen: npt.NDArray[np.bool_], values: Array, errors: Array) -> tuple[Array, Array]:
    return np.where(seen, values, np.nan), np.where(seen, errors, np.nan)


def _compared(ax: Axes, angles: Array, curves: Mapping[str, tuple[Array, Array | None]]) -> None:
    """Values of before and after, over the tilt angles."""
    for (label, (values, errors)), colour in zip(curves.items(), (ORANGE, BLUE), strict=True):
        curve(ax, angles, values, errors, colour, label)
    tilt_axis(ax, angles)
    legend(ax)
