"""The microscope: of a tomogram, and of groups of particles."""

from __future__ import annotations

import math
from dataclasses import dataclass

from tomoset.errors import ModelError


@dataclass(frozen=True, kw_only=True)
class Optics:
    """The microscope, as a CTF needs it.

    Parameters
    ----------
    pixel_size : float or None
        Of the tilt images as stored [Å]. None: not known yet (movies that wait for motion
        correction).
    voltage : float
        Acceleration voltage [kV].
    spherical_aberration : float
        Cs [mm]. RELION's page says mm^-1, which is a slip.
    amplitude_contrast : float
        Fraction, 0 to 1.
    group : str
        Name of the optics group.
    aberrations : (tuple of float, tuple of float)
        Coefficients of even and of odd Zernike polynomials [rad], in the order of
        `tomoset.images.zernike`: even ones add to the phase of the CTF, odd ones turn phases.
    beam_tilt : (float, float)
        Of the beam, x and y [mrad]. Kept; no program here is made of it.
    magnification : ((float, float), (float, float))
        Anisotropic magnification, a matrix by rows. Kept; no program here is made of it.

    Raises
    ------
    ModelError
        If a value is impossible: a pixel size of 0, amplitude contrast outside 0 to 1, an
        aberration that is not finite.

    Examples
    --------
    >>> Optics(pixel_size=1.35).voltage
    300.0
    """

    pixel_size: float | None
    voltage: float = 300.0
    spherical_aberration: float = 2.7
    amplitude_contrast: float = 0.1
    group: str = "opticsGroup1"
    aberrations: tuple[tuple[float, ...], tuple[float, ...]] = ((), ())
    beam_tilt: tuple[float, float] = (0.0, 0.0)
    magnification: tuple[tuple[float, float], tuple[float, float]] = ((1.0, 0.0), (0.0, 1.0))

    def __post_init__(self) -> None:
        for name in ("pixel_size", "voltage", "spherical_aberration", "amplitude_contrast"):
            value = getattr(self, name)
            if value is not None and not math.isfinite(value):
                raise ModelError(f"{name} must be a finite number, not {value}")
        for name, values in (
            ("aberrations", self.aberrations),
            ("beam_tilt", (self.beam_tilt,)),
            ("magnification", self.magnification),
        ):
            frozen = tuple(tuple(map(float, part)) for part in values)
            if not all(math.isfinite(number) for part in frozen for number in part):
                raise ModelError(f"{name} must be finite numbers, not {values}")
            object.__setattr__(self, name, frozen[0] if name == "beam_tilt" else frozen)
        if self.pixel_size is not None and not self.pixel_size > 0:
            raise ModelError(
                f"the pixel size must be above 0 Å, not {self.pixel_size:g} (RELION's -999 means "
                "that it was not known)"
            )
        if not self.voltage > 0:
            raise ModelError(f"the voltage must be above 0 kV, not {self.voltage}")
        if not 0 <= self.amplitude_contrast <= 1:
            raise ModelError(
                f"the amplitude contrast is a fraction from 0 to 1, not {self.amplitude_contrast}"
            )
