"""Thickness of a specimen, by how much darker images are the further they are tilted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

#: Electrons of 300 kV scatter out of the aperture or lose energy over such a path in ice, those of
#: less voltage in proportion to v², which is near enough [Å]; known to this part (Rice et al., J.
#: Struct. Biol. 204, 38 (2018); Yan et al., 192, 287 (2015)).
_PATH, _KNOWN = 3300.0, 0.25
#: Inclinations about the tilt axis that are tried, and how inclined specimens are [deg].
_INCLINED, _USUAL = np.arange(-24.0, 24.1, 2.0), 10.0
#: Levels scatter about the line by no more than this where they say something, and images further
#: than this from it, as natural logarithms, are dark or blocked.
_SCATTER, _ODD = 0.08, 0.3
#: No specimen in an electron microscope is thinner or thicker [Å].
_THIN, _THICK = 100.0, 6000.0


@dataclass(frozen=True)
class Absorbed:
    """What the levels of images say.

    Parameters
    ----------
    thickness, deviation : float
        Of the specimen along its normal, and its standard deviation [Å].
    """

    thickness: float
    deviation: float


def absorbed(tilts: Array, levels: Array, voltage: float) -> Absorbed | None:
    """Thickness from ln(level) = constant - thickness / path / cos(tilt - inclination).

    Parameters
    ----------
    tilts : (n,) array
        [deg].
    levels : (n,) array
        Medians of the images, of equal exposures.
    voltage : float
        [kV].

    Returns
    -------
    Absorbed or None
        None where levels do not follow that: images were normalised, or exposures differ.

    Examples
    --------
    >>> tilts = np.arange(-60.0, 61.0, 3.0)
    >>> found = absorbed(tilts, 40 * np.exp(-1500 / 3300 / np.cos(np.deg2rad(tilts))), 300.0)
    >>> round(found.thickness)
    1500
    """
    if (levels <= 0).any() or len(levels) < 5:
        return None
    logarithm = np.log(levels)
    kept = np.ones(len(levels), np.bool_)
    for _ in range(3):
        slopes, rest = _lines(tilts[kept], logarithm[kept])
        best = int(np.argmin(rest))
        along = _along(tilts, _INCLINED[best])
        middle = np.median(logarithm[kept] + slopes[best] * along[kept])
        new = np.abs(logarithm - (middle - slopes[best] * along)) < _ODD
        if new.sum() < 5 or (new == kept).all():
            break
        kept = new
    slopes, rest = _lines(tilts[kept], logarithm[kept])
    scatter = np.sqrt(rest / (kept.sum() - 2))
    if kept.sum() < 5 or scatter.min() > _SCATTER:
        return None
    usual = (_INCLINED / _USUAL) ** 2
    least = max(float(scatter.min()), 0.005)
    likely = np.exp(-0.5 * ((rest - rest.min()) / least**2 + usual))
    likely /= likely.sum()
    slope = float(likely @ slopes)
    spread = float(np.sqrt(likely @ (slopes - slope) ** 2))
    path = _PATH * _of(voltage)
    thickness = slope * path
    if not _THIN < thickness < _THICK:
        return None
    error = np.hypot(_KNOWN * thickness, path * max(spread, least))
    return Absorbed(thickness, float(error))


def _along(tilts: Array, inclined: float) -> Array:
    """Path in a slab of thickness 1."""
    return np.asarray(1 / np.maximum(np.cos(np.deg2rad(tilts - inclined)), 0.15))


def _lines(tilts: Array, logarithm: Array) -> tuple[Array, Array]:
    """Slopes of lines for each inclination that is tried, and sums of squares about them."""
    slopes, rest = np.empty(len(_INCLINED)), np.empty(len(_INCLINED))
    off = logarithm - logarithm.mean()
    for i, inclined in enumerate(_INCLINED):
        along = _along(tilts, inclined)
        along -= along.mean()
        square = along @ along
        slopes[i] = -(off @ along) / square if square > 1e-6 else 0.0
        rest[i] = ((off + slopes[i] * along) ** 2).sum()
    return slopes, rest


def _of(voltage: float) -> float:
    """Mean free path, as a part of that at 300 kV: the square of the electrons' speed."""

    def square(kilovolts: float) -> float:
        return 1 - 1 / (1 + kilovolts / 510.999) ** 2

    return square(voltage) / square(300.0)
