"""Rules of projections and sizes."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tomoset import geometry
from tomoset.model import Tomogram
from tomoset.model.quantities import listed

Array = npt.NDArray[np.float64]


def not_aligned(t: Tomogram) -> str | None:
    aligned = t.projections is not None or t.alignment is not None
    return None if aligned else "not aligned: no projections"


def not_placed(t: Tomogram) -> str | None:
    if t.projections is not None or t.alignment is None:
        return None
    lacks = {"the size of the tomogram": t.size, "the size of the tilt images": t.image_size}
    lacking = " and ".join(what for what, value in lacks.items() if value is None)
    return f"aligned, but {lacking} is not known" if lacking else None


def _singular_values(t: Tomogram) -> Array:
    return np.asarray(np.linalg.svd(t.need_projections()[:, :3, :3], compute_uv=False), np.float64)


def not_rigid(t: Tomogram) -> str | None:
    if t.projections is None or not t.n_tilts:
        return None
    stretch = np.abs(_singular_values(t) - 1).max(axis=1)
    bad = stretch > 0.05
    if not bad.any():
        return None
    return f"{listed(bad)}: the projection stretches by up to {stretch.max():.1%}"


def mixed_mirror(t: Tomogram) -> str | None:
    if t.projections is None or not t.n_tilts:
        return None
    sign = np.sign(np.linalg.det(t.projections[:, :3, :3]))
    if (sign == sign[0]).all():
        return None
    return f"{listed(sign != sign[0])}: the projection is the mirror image of the others"


def axis_outlier(t: Tomogram) -> str | None:
    if t.projections is None or t.n_tilts < 3:
        return None
    rotation = np.deg2rad(t.tilt_axis_angles)
    middle = np.arctan2(np.median(np.sin(rotation)), np.median(np.cos(rotation)))
    away = np.abs(np.rad2deg(np.angle(np.exp(1j * (rotation - middle)))))
    bad = away > 5
    return (
        f"{listed(bad)}: the tilt axis is {away.max():.1f}° from the others" if bad.any() else None
    )


def steep(t: Tomogram) -> str | None:
    if t.projections is None:
        return None
    bad = np.abs(t.tilt_angles) > 80
    return f"{listed(bad)}: tilted by more than 80°" if bad.any() else None


def same_tilt(t: Tomogram) -> str | None:
    if t.projections is None or t.n_tilts < 2:
        return None
    if np.ptp(t.tilt_angles) < 1e-6:
        return "all tilt angles are the same"
    return None


def centre_outside(t: Tomogram) -> str | None:
    if t.projections is None or t.size is None or t.image_size is None:
        return None
    at = geometry.apply(t.projections, [(np.asarray(t.size) - 1) / 2])[:, 0, :2]
    bad = np.asarray(((at < 0) | (at > np.array(t.image_size) - 1)).any(axis=1))
    return (
        f"{listed(bad)}: the middle of the tomogram lies outside the image" if bad.any() else None
    )


def turned_size(t: Tomogram) -> str | None:
    """Less than three quarters of the least tilted image covered by the tomogram's plane."""
    if t.projections is None or t.size is None or t.image_size is None or not t.n_tilts:
        return None
    flat = int(np.abs(t.tilt_angles).argmin())
    if _covered(t, flat, t.size[0], t.size[1]) > 0.75:
        return None
    if _covered(t, flat, t.size[1], t.size[0]) < 0.95:
        return None
    return f"x and y of the tomogram ({t.size[0]} x {t.size[1]}) look swapped against its images"


def coverage(t: Tomogram) -> str | None:
    if t.projections is None or t.size is None or t.image_size is None or not t.n_tilts:
        return None
    share = _covered(t, int(np.abs(t.tilt_angles).argmin()), t.size[0], t.size[1])
    if share > 0.5 or turned_size(t) is not None:
        return None
    return f"its least tilted image shows {share:.0%} of the tomogram's middle plane"


def _covered(t: Tomogram, row: int, width: int, height: int) -> float:
    """Share of the tomogram's middle plane that one image sees."""
    u, v = np.meshgrid(np.linspace(-0.5, 0.5, 21), np.linspace(-0.5, 0.5, 21))
    centre = (np.array(t.need_size()) - 1) / 2
    points = np.stack([u * (width - 1), v * (height - 1), 0 * u], axis=-1).reshape(-1, 3)
    at = geometry.apply(t.need_projections()[row], points + centre)[:, :2]
    return float(((at > -1) & (at < np.array(t.need_image_size()))).all(axis=1).mean())


def no_size(t: Tomogram) -> str | None:
    return "no size of the tomogram" if t.size is None else None


def odd_size(t: Tomogram) -> str | None:
    if t.size is None or not any(n % 2 for n in t.size):
        return None
    return "the size of the tomogram is odd in x, y or z"
