"""What two sets say of a series, besides its geometry: defocus, dose, optics, names."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from tomoset import geometry
from tomoset.model import Tomogram
from tomoset.model._tomogram_fields import PER_TILT
from tomoset.project._spread import Spread, spread_of

Array = npt.NDArray[np.float64]


def value_diff(
    old: Tomogram, new: Tomogram, transform: Array | None
) -> Iterator[tuple[str, Spread]]:
    """What is said of each tilt image; defocus in the middle of the old tomogram."""
    defocus = _defocus(old, None), _defocus(new, None)
    if transform is not None and None not in (old.size, new.size):
        middle = (np.array([old.need_size()]) - 1) / 2
        defocus = _defocus(old, middle), _defocus(new, geometry.apply(transform, middle))
    if defocus[0] is not None and defocus[1] is not None:
        yield from spread_of("defocus", defocus[1] - defocus[0])
    stretched = _astigmatism(old), _astigmatism(new)
    if stretched[0] is not None and stretched[1] is not None:
        yield from spread_of("astigmatism", np.abs(stretched[1] - stretched[0]), signed=False)
    for name, field in _PER_TILT.items():
        one, other = getattr(old, field), getattr(new, field)
        if one is not None and other is not None:
            yield from spread_of(name, other - one)


_PER_TILT = {
    "phase_shift": "phase_shift",
    "ctf_scale": "ctf_scale",
    "b_factor": "b_factor",
    "dose": "pre_exposure",
}


def _defocus(t: Tomogram, point: Array | None) -> Array | None:
    """Mean of U and V, of the table or of a point [Å]."""
    if t.defocus_u is None or t.defocus_v is None:
        return None
    if point is None:
        return (t.defocus_u + t.defocus_v) / 2
    return np.asarray(t.defocus(point)[:, 0].mean(axis=-1))


def _astigmatism(t: Tomogram) -> npt.NDArray[np.complex128] | None:
    """U less V in the direction of U, which is that of its opposite too [Å]."""
    if t.defocus_u is None or t.defocus_v is None or t.defocus_angle is None:
        return None
    return np.asarray((t.defocus_u - t.defocus_v) * np.exp(2j * np.deg2rad(t.defocus_angle)))


#: What is said of a tomogram as a whole; of the optics, with a dot.
_WHOLE = ("hand", "size", "stack", "fractional_dose", "defocus_slope")
_OPTICS = ("pixel_size", "voltage", "spherical_aberration", "amplitude_contrast")


def field_diff(old: Tomogram, new: Tomogram) -> Iterator[tuple[str, tuple[Any, Any]]]:
    """What is not the same of a tomogram as a whole, or known of one alone."""
    pairs = [(name, getattr(old, name), getattr(new, name)) for name in _WHOLE]
    pairs += [(name, getattr(old.optics, name), getattr(new.optics, name)) for name in _OPTICS]
    pairs.append(("deformation", _kind(old), _kind(new)))
    pairs += [(name, _known(old, name), _known(new, name)) for name in PER_TILT]
    for name, one, other in pairs:
        if one != other:
            yield name, (one, other)


def _kind(t: Tomogram) -> str | None:
    return None if t.deformation is None else t.deformation.kind


def _known(t: Tomogram, field: str) -> str | None:
    return None if getattr(t, field) is None else "known"
