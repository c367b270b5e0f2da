"""The options of a lamella as one has them: what is not given is set to what is usual."""

from __future__ import annotations

from typing import Any

import numpy as np

from tomoset.simulate.options import ProjectOptions

#: What does not depend on anything else.
_USUAL: dict[str, Any] = {
    "size": (512, 480, 260),
    "pixel_size": 10.0,
    "tilts": 37,
    "range": 54.0,
    "beads": 0,
    "defocus": 4.0,
    "layers": 3,
    "curtains": 60.0,
    "surface": 12.0,
    "pretilt": 9.0,
    "x_tilt": 2.0,
    "pattern": 0.015,
    "beam_edge": 0.02,
    "doming": 20.0,
    "field_motion": 200.0,
    "defocus_jitter": 0.3,
    "shift_outliers": 0.1,
}
#: Thickness, and how far shifts of the alignment are off, rms in x and in y [Å].
_THICKNESS, _SHIFTS = 1800.0, 10.0
#: Signal-to-noise ratio at about 10 Å/px, unless shot noise is given.
_SNR = 0.1
#: Volume for a molecule [Å³], area of the images for a membrane and for a vesicle [Å²].
_MOLECULE, _MEMBRANE, _VESICLE = 220.0**3, 1500.0**2, 2500.0**2


def lamella(**given: Any) -> ProjectOptions:
    """The options of a simulated lamella: crowded, milled, domed, its start alignment off.

    Parameters
    ----------
    **given
        Fields of `ProjectOptions` that are to have these values.

    Examples
    --------
    >>> wanted = lamella(size=(256, 240, 150), beads=5)
    >>> wanted.crowd, wanted.membranes, wanted.beads, wanted.pretilt
    (606, 3, 5, 9.0)
    """
    made = {**_USUAL, **given}
    width, height, depth = np.array(made["size"]) * made["pixel_size"]
    thickness = made.get("thickness") or min(_THICKNESS, 0.7 * depth)
    by_size: dict[str, Any] = {
        "thickness": float(thickness),
        "crowd": round(width * height * thickness / _MOLECULE),
        "membranes": max(round(width * height / _MEMBRANE), 2),
        "vesicles": round(width * height / _VESICLE) if thickness > 1000 else 0,
        "shift_error": _SHIFTS / made["pixel_size"],
    }
    if "noise" not in given:
        by_size["snr"] = _SNR
    return ProjectOptions(**{**by_size, **made})
