"""Rules of what the microscope recorded, against the alignment and against itself."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tomoset import geometry
from tomoset.model import Tomogram
from tomoset.model.quantities import listed

Array = npt.NDArray[np.float64]

#: How far an alignment is from what the microscope says, at most [deg].
_AXIS, _TILT = 10.0, 5.0


def _views(t: Tomogram) -> Array | None:
    """Rotations from the tomogram to each image: (n, 3, 3), mirrored where it is."""
    if t.n_tilts < 3:
        return None
    if t.projections is not None:
        u, _, v = np.linalg.svd(t.projections[:, :3, :3])
        return np.asarray(u @ v)
    if t.alignment is None:
        return None
    x, y, z = t.alignment.angles.T
    views = geometry.rotation_z(z) @ geometry.rotation_y(y) @ geometry.rotation_x(x)
    return np.asarray(views[:, :3, :3])


def _turns(views: Array) -> Array:
    """Rotation of each view against the first one, in the image frame: (n, 3) [deg].

    It is the change of the tilt times the axis, whatever way the tomogram itself is turned.
    """
    between = views @ views[0].T
    s = (between - between.swapaxes(1, 2))[:, [2, 0, 1], [1, 2, 0]] / 2
    sine = np.linalg.norm(s, axis=1)
    angle = np.arctan2(sine, (np.trace(between, axis1=1, axis2=2) - 1) / 2)
    return np.asarray(s * np.rad2deg(angle / np.maximum(sine, 1e-12))[:, None])


def _seen(t: Tomogram) -> tuple[Array, Array] | None:
    """The direction of the axis about which nominal tilts go up, and tilts about it [deg].

    Both follow from the alignment; an axis that is turned round has the tilts' other sign.
    """
    nominal, views = t.nominal_tilts, _views(t)
    if views is None or nominal is None or np.isnan(nominal).any():
        return None
    if np.ptp(nominal) < 2 * _TILT:
        return None
    turns = _turns(views)
    centred = turns - np.median(turns, axis=0)
    axis = (centred * (nominal - np.median(nominal))[:, None]).sum(axis=0)
    length = np.linalg.norm(axis)
    return None if length == 0 else (axis / length, turns @ axis / length)


def axis_as_recorded(t: Tomogram) -> str | None:
    seen = _seen(t)
    if seen is None or t.nominal_axis is None or np.isnan(t.nominal_axis).any():
        return None
    (x, y, _), _ = seen
    away = np.rad2deg(np.arctan2(-x, y)) - float(np.median(t.nominal_axis))
    away = (away + 180) % 360 - 180
    if abs(away) <= _AXIS:
        return None
    if abs(away) >= 180 - _AXIS:
        views = _views(t)
        if views is not None and np.linalg.det(views[0]) < 0:
            return None  # of the tomogram, or of the depth: a mirror image may be meant
        return (
            "the tilt axis, or the sign of the tilts, is turned round against what the microscope "
            "recorded: the tomogram may be a mirror image"
        )
    about = " (programs differ by 90° in what they call the axis)" * int(
        abs(abs(away) - 90) < _AXIS
    )
    return f"the aligned tilt axis is {away:.0f}° from the nominal one{about}"


def tilts_as_recorded(t: Tomogram) -> str | None:
    seen = _seen(t)
    if seen is None or t.nominal_tilts is None:
        return None
    away = seen[1] - t.nominal_tilts
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
