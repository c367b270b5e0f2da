"""Rules of what the microscope recorded, against the alignment and against itself."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tomoset.model import Tomogram
from tomoset.model.quantities import listed

Array = npt.NDArray[np.float64]

#: How far an alignment is from what the microscope says, at most [deg].
_AXIS, _TILT = 10.0, 5.0


def _turned(t: Tomogram) -> float | None:
    """Of the aligned tilt axis against the nominal one: the median, from -180 to 180 [deg]."""
    aligned = t.projections is not None or t.alignment is not None
    if not aligned or t.nominal_axis is None or np.isnan(t.nominal_axis).any() or not t.n_tilts:
        return None
    away = np.deg2rad(t.tilt_axis_angles - t.nominal_axis)
    return float(np.rad2deg(np.arctan2(np.median(np.sin(away)), np.median(np.cos(away)))))


def _inverted(t: Tomogram) -> bool | None:
    """Whether aligned tilts have the sign opposite to the nominal ones; None: they do not tell."""
    aligned = t.projections is not None or t.alignment is not None
    if not aligned or t.nominal_tilts is None or np.isnan(t.nominal_tilts).any() or t.n_tilts < 3:
        return None
    if np.ptp(t.nominal_tilts) < 2 * _TILT:
        return None
    same, other = (_scatter(t.tilt_angles - sign * t.nominal_tilts) for sign in (1, -1))
    return bool(other < same)


def _scatter(away: Array) -> float:
    return float(np.median(np.abs(away - np.median(away))))


def axis_as_recorded(t: Tomogram) -> str | None:
    """An axis turned by 180° is the same one, if the tilts have the other sign too."""
    away = _turned(t)
    if away is None or abs(away) <= _AXIS:
        return None
    if abs(away) >= 180 - _AXIS:
        if _inverted(t) is not False:
            return None
        return (
            f"the aligned tilt axis is {away:.0f}° from the nominal one, and tilts have the same "
            "sign: one of the two is turned round, or the tomogram is a mirror image"
        )
    about = " (programs differ by 90° in what they call the axis)" * (abs(abs(away) - 90) < _AXIS)
    return f"the aligned tilt axis is {away:.0f}° from the nominal one{about}"


def tilts_as_recorded(t: Tomogram) -> str | None:
    inverted, turned = _inverted(t), _turned(t)
    if inverted is None or t.nominal_tilts is None:
        return None
    if inverted and turned is not None and abs(turned) <= 90:
        return "aligned tilts have the opposite sign to the nominal ones, about the same axis"
    away = t.tilt_angles - (-1 if inverted else 1) * t.nominal_tilts
    away = away - np.median(away)
    bad = np.abs(away) > _TILT
    if not bad.any():
        return None
    return (
        f"{listed(bad)}: aligned tilts are up to {np.abs(away).max():.1f}° from the nominal ones, "
        "against the others: are these their images?"
    )


def order_against_doses(t: Tomogram) -> str | None:
    if t.acquisition is None or t.pre_exposure is None or np.isnan(t.pre_exposure).any():
        return None
    steps = np.diff(t.pre_exposure[np.argsort(t.acquisition, kind="stable")])
    if (steps >= 0).all():
        return None
    return f"{int((steps < 0).sum())} images have a lower dose than the one taken before"


def dose_of_an_image(t: Tomogram) -> str | None:
    """Where images were left out, a step is that of several."""
    if t.pre_exposure is None or not t.fractional_dose:
        return None
    steps = np.diff(np.unique(t.pre_exposure[~np.isnan(t.pre_exposure)]))
    if not len(steps):
        return None
    ratio = float(steps.min() / t.fractional_dose)
    if abs(ratio - max(1, round(ratio))) < 0.1:
        return None
    return (
        f"doses go up by {steps.min():g} e/Å² or more, and the dose of an image is "
        f"{t.fractional_dose:g} e/Å²"
    )


def same_angle_twice(t: Tomogram) -> str | None:
    tilts = t.nominal_tilts
    if tilts is None or t.n_tilts < 2 or np.isnan(tilts).any():
        return None
    values, counts = np.unique(np.round(tilts, 2), return_counts=True)
    if counts.max() < 2 or len(values) < 2:
        return None
    twice = np.isin(np.round(tilts, 2), values[counts > 1])
    return f"{listed(twice)}: nominal tilts come twice"


def smaller_first(t: Tomogram) -> str | None:
    if t.defocus_u is None or t.defocus_v is None:
        return None
    bad = t.defocus_u < t.defocus_v
    return f"{listed(bad)}: the first defocus is the smaller one" if bad.any() else None


def wide_angles(t: Tomogram) -> str | None:
    bad = np.zeros(t.n_tilts, np.bool_)
    for values in (t.defocus_angle, t.nominal_axis):
        if values is not None:
            bad |= np.abs(values) > 180
    return f"{listed(bad)}: an angle is beyond ±180°" if bad.any() else None


def odd_scale(t: Tomogram) -> str | None:
    """A scale that fades with the tilt is usual; one that is all 1 has not been measured."""
    scale = t.ctf_scale
    if scale is None or t.projections is None or (scale == 1).all():
        return None
    bad = np.abs(scale / np.nanmax(scale) - np.cos(np.deg2rad(t.tilt_angles))) > 0.5
    return f"{listed(bad)}: the CTF scale is far from the cosine of the tilt" if bad.any() else None
