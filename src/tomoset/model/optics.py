"""The microscope: of a tomogram, and of groups of particles."""

from __future__ import annotations

from dataclasses import dataclass

from tomoset.errors import ModelError
from tomoset.model.quantities import OF_OPTICS, refuse_impossible


@dataclass(frozen=True, kw_only=True)
class Optics:
    """The microscope, as a CTF needs it. What is not known is None.

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
        If a value is impossible (`tomoset.model.quantities`): a pixel size of 0, an amplitude
        contrast outside 0 to 1, an aberration that is not finite.

    Examples
    --------
    >>> Optics(pixel_size=1.35).voltage
    300.0
    """

    pixel_size: float | None
    voltage: float | None = 300.0
    spherical_aberration: float | None = 2.7
    amplitude_contrast: float | None = 0.1
    group: str = "opticsGroup1"
    aberrations: tuple[tuple[float, ...], tuple[float, ...]] = ((), ())
    beam_tilt: tuple[float, float] = (0.0, 0.0)
    magnification: tuple[tuple[float, float], tuple[float, float]] = ((1.0, 0.0), (0.0, 1.0))

    def __post_init__(self) -> None:
        for name in OF_OPTICS:
            refuse_impossible(name, getattr(self, name))
        for name, values in (
            ("aberrations", self.aberrations),
            ("beam_tilt", (self.beam_tilt,)),
            ("magnification", self.magnification),
        ):
            frozen = tuple(tuple(map(float, part)) for part in values)
            for part in frozen:
                refuse_impossible(name, part, each="")
            object.__setattr__(self, name, frozen[0] if name == "beam_tilt" else frozen)

    def need(self, name: str) -> float:
        """A number of `tomoset.model.quantities.OF_OPTICS`, or a ModelError."""
        value: float | None = getattr(self, name)
        if value is None:
            what = name.replace("_", " ")
            raise ModelError(f"optics group {self.group!r}: the {what} is not known; give it")
        return value
