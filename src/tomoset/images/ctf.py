"""The contrast transfer function, and the weight of what radiation leaves of a structure.

docs/relion.md, 'CTF and dose' (RELION's ``ctf.cpp``, ``ctf.h`` and ``jaz/optics/damage.cpp``); the
dose model is of Grant and Grigorieff, eLife 4:e06980 (2015).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

#: Critical exposure N(k) = a k^b + c at 300 kV, k in 1/Å: Grant and Grigorieff, table 1.
_CRITICAL = (0.245, -1.665, 2.81)

#: At 200 kV specimens last for 0.8 of the exposure.
FACTOR_200_KV = 0.8


def wavelength(voltage: float) -> float:
    """Wavelength of electrons [Å], relativistic.

    Parameters
    ----------
    voltage : float
        Acceleration voltage [kV].

    Examples
    --------
    >>> round(wavelength(300), 7)
    0.0196876
    """
    volts = 1000.0 * voltage
    return float(12.2643247 / np.sqrt(volts * (1.0 + 0.978466e-6 * volts)))


@dataclass(frozen=True, kw_only=True)
class Ctf:
    """The contrast transfer function of one place in one image.

    Parameters
    ----------
    defocus_u, defocus_v : float
        Underfocus along and across `defocus_angle` [Å].
    defocus_angle : float
        From image x to the U axis, counter-clockwise [deg].
    voltage : float
        [kV].
    spherical_aberration : float
        [mm].
    amplitude_contrast : float
        Fraction, 0 to 1.
    phase_shift : float
        Of a phase plate [deg].
    b_factor : float
        [Å²]; damps by exp(-B/4 k²).
    scale : float
        Factor on all.

    Examples
    --------
    >>> ctf = Ctf(defocus_u=20000, defocus_v=19000, defocus_angle=30, voltage=300,
    ...           spherical_aberration=2.7, amplitude_contrast=0.1)
    >>> round(float(ctf.phase(1 / 20, 0.0)), 5), round(float(ctf.at(1 / 20, 0.0)), 6)
    (-3.15201, -0.010419)
    """

    defocus_u: float
    defocus_v: float
    defocus_angle: float
    voltage: float
    spherical_aberration: float
    amplitude_contrast: float
    phase_shift: float = 0.0
    b_factor: float = 0.0
    scale: float = 1.0

    def phase(self, x: npt.ArrayLike, y: npt.ArrayLike) -> Array:
        """Phase gamma at spatial frequencies x, y [1/Å]; the CTF is -sin gamma [rad]."""
        x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
        angle, length = np.deg2rad(self.defocus_angle), wavelength(self.voltage)
        c, s, u, v = np.cos(angle), np.sin(angle), self.defocus_u, self.defocus_v
        along = (u * c * c + v * s * s) * x * x + (u * s * s + v * c * c) * y * y
        defocus = along + 2 * (u - v) * s * c * x * y
        k2 = x * x + y * y
        aberration = np.pi / 2 * self.spherical_aberration * 1e7 * length**3 * k2 * k2
        contrast = np.arctan2(self.amplitude_contrast, np.sqrt(1 - self.amplitude_contrast**2))
        shift = np.deg2rad(self.phase_shift) + contrast
        return np.asarray(aberration - np.pi * length * defocus - shift)

    def at(self, x: npt.ArrayLike, y: npt.ArrayLike) -> Array:
        """The CTF at spatial frequencies x, y [1/Å]."""
        return np.asarray(-np.sin(self.phase(x, y)) * self.envelope(x, y))

    def envelope(self, x: npt.ArrayLike, y: npt.ArrayLike) -> Array:
        """What scale and B-factor leave at spatial frequencies x, y [1/Å]."""
        k2 = np.square(x) + np.square(y)
        return np.asarray(self.scale * np.exp(-self.b_factor / 4 * k2))

    def image(self, size: tuple[int, int], pixel_size: float) -> Array:
        """The CTF on the half plane that ``scipy.fft.rfft2`` gives.

        Parameters
        ----------
        size : (int, int)
            Width and height of the image [px].
        pixel_size : float
            [Å].

        Returns
        -------
        (height, width // 2 + 1) float64 array
        """
        return self.at(*frequencies(size, pixel_size))


def frequencies(size: tuple[int, int], pixel_size: float) -> tuple[Array, Array]:
    """Spatial frequencies x and y of a half plane [1/Å], to be broadcast: (1, w) and (h, 1)."""
    width, height = size
    x: Array = np.fft.rfftfreq(width, pixel_size).astype(np.float64)
    y: Array = np.fft.fftfreq(height, pixel_size).astype(np.float64)
    return x[None, :], y[:, None]


def dose_weight(k: npt.ArrayLike, pre_exposure: float, voltage: float = 300.0) -> Array:
    """What is left of a structure after exposure, as an amplitude: exp(-D / 2 N(k)).

    Parameters
    ----------
    k : array
        Spatial frequency [1/Å]; 1 at 0.
    pre_exposure : float
        D, before the image [e/Å²].
    voltage : float
        [kV]. RELION takes no account of it; that is 300. At 200 the specimen lasts for 0.8 of
        the exposure.

    Returns
    -------
    float64 array
        Of the shape of `k`, from 0 to 1.

    Examples
    --------
    >>> dose_weight([0, 1 / 20, 1 / 10, 1 / 5], 60.0).round(4).tolist()
    [1.0, 0.4609, 0.1198, 0.0091]
    """
    frequency = np.asarray(k, np.float64)
    a, b, c = _CRITICAL
    with np.errstate(divide="ignore"):
        critical = a * frequency**b + c  # infinite at 0
    if abs(voltage - 200.0) < 1.0:
        critical = critical * FACTOR_200_KV
    return np.asarray(np.exp(-pre_exposure / (2 * critical)))
