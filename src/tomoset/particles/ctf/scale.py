"""Contrast of the tilt images: by what the ice lets pass, or image by image.

A path of length T / |cos| through ice leaves s = a exp(-T / |n . z|) of the contrast, n being the
normal of the ice and z the beam (Beer and Lambert); the normal is taken to be perpendicular to the
tilt axis, as in RELION, and close to the tomogram's z.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

#: How far specimens are inclined, typically [rad].
_INCLINED = np.deg2rad(8.0)
#: Paths through ice and inclinations that are tried first.
_PATHS = np.linspace(0.0, 2.0, 41)
_ANGLES = np.deg2rad(np.arange(-24.0, 25.0, 4.0))
#: Cosines are not taken to be smaller than this: the beam would never leave the ice.
_STEEPEST = 0.1
_STEPS = 20
#: Scatters of single images about the curve that are tried, as fractions.
_SCATTERS = (0.003, 0.01, 0.02, 0.04, 0.08, 0.15, 0.3, 0.6)


@dataclass(frozen=True, kw_only=True, eq=False)
class IceModel:
    """Contrast by the law of Beer and Lambert.

    Parameters
    ----------
    luminance : float
        Without ice.
    thickness : float
        In free paths.
    normal : (3,) array
        Of the ice, in the tomogram.
    luminance_error, thickness_error, inclination_error : float
        Standard deviations; the last in degrees.
    values, errors : (n_tilts,) arrays
        Of the contrast of each image.
    chi2 : float
        Mean square of what is left, in standard deviations.
    """

    luminance: float
    thickness: float
    normal: Array
    luminance_error: float
    thickness_error: float
    inclination_error: float
    values: Array
    errors: Array
    chi2: float

    def scaled(self, factor: float) -> IceModel:
        """The same for amplitudes that are so many times as large."""
        return replace(
            self,
            luminance=self.luminance * factor,
            luminance_error=self.luminance_error * factor,
            values=self.values * factor,
            errors=self.errors * factor,
        )


def fit_ice(amplitudes: Array, errors: Array, beams: Array) -> IceModel:
    """Fit the law of Beer and Lambert.

    Parameters
    ----------
    amplitudes, errors : (n_tilts,) arrays
        Contrast and its standard deviation; infinite where there is none.
    beams : (n_tilts, 3) array
        Directions of the beam in the tomogram.

    Examples
    --------
    >>> tilt = np.deg2rad(np.arange(-60, 61, 3.0))
    >>> beams = np.stack([np.sin(tilt), 0 * tilt, np.cos(tilt)], axis=1)
    >>> model = fit_ice(2 * np.exp(-0.3 / np.cos(tilt)), np.full(41, 0.001), beams)
    >>> round(model.luminance, 3), round(model.thickness, 3)
    (2.0, 0.3)
    """
    along, across = _plane(beams)
    direction = beams @ along, beams @ across
    weight = np.where(np.isfinite(errors), 1 / np.square(errors), 0.0)
    x = _start(amplitudes, weight, direction)
    prior = np.diag([0.0, 0.0, 1 / _INCLINED**2])
    for _ in range(_STEPS):
        value, slope = _curve(x, direction)
        H = slope.T @ (weight[:, None] * slope) + prior + 1e-12 * np.eye(3)
        gradient = slope.T @ (weight * (amplitudes - value)) - prior @ x
        x = x + np.clip(np.linalg.solve(H, gradient), -1.0, 1.0)
        x[1], x[2] = max(x[1], 0.0), np.clip(x[2], -0.6, 0.6)
    value, slope = _curve(x, direction)
    known = int((weight > 0).sum())
    chi2 = float((weight * (amplitudes - value) ** 2).sum() / max(known - 3, 1))
    covariance = np.linalg.inv(slope.T @ (weight[:, None] * slope) + prior + 1e-12 * np.eye(3))
    covariance = covariance * max(chi2, 1.0)
    deviation = np.sqrt(np.diag(covariance))
    return IceModel(
        luminance=float(np.exp(x[0])),
        thickness=float(x[1]),
        normal=np.cos(x[2]) * along + np.sin(x[2]) * across,
        luminance_error=float(np.exp(x[0]) * deviation[0]),
        thickness_error=float(deviation[1]),
        inclination_error=float(np.rad2deg(deviation[2])),
        values=value,
        errors=np.sqrt(np.einsum("ti,ij,tj->t", slope, covariance, slope)),
        chi2=chi2,
    )


def _plane(beams: Array) -> tuple[Array, Array]:
    """The tomogram's z, made perpendicular to the tilt axis, and the direction across both."""
    _, _, directions = np.linalg.svd(beams, full_matrices=True)
    axis = directions[-1]
    z = np.array([0.0, 0.0, 1.0])
    along = z - (z @ axis) * axis
    if np.linalg.norm(along) < 0.1:  # a dual-axis or a single image: there is no such axis
        along, axis = z, np.array([0.0, 1.0, 0.0])
    along = along / np.linalg.norm(along)
    return along, np.cross(axis, along)


def _curve(x: Array, direction: tuple[Array, Array]) -> tuple[Array, Array]:
    """Values and their slopes, (n,) and (n, 3), for (log a, T, inclination)."""
    along, across = direction
    cosine = np.cos(x[2]) * along + np.sin(x[2]) * across
    turning = np.cos(x[2]) * across - np.sin(x[2]) * along
    sign, cosine = np.where(cosine < 0, -1.0, 1.0), np.maximum(np.abs(cosine), _STEEPEST)
    value = np.exp(x[0] - x[1] / cosine)
    slope = np.stack([value, -value / cosine, value * x[1] * sign * turning / cosine**2], axis=1)
    return value, slope


def _start(amplitudes: Array, weight: Array, direction: tuple[Array, Array]) -> Array:
    """The best of a grid; the luminance follows from the rest."""
    best, found = -np.inf, np.zeros(3)
    for path in _PATHS:
        for angle in _ANGLES:
            shape = _curve(np.array([0.0, path, angle]), direction)[0]
            common, energy = (weight * amplitudes * shape).sum(), (weight * shape**2).sum()
            if not common > 0:
                continue
            value = common**2 / (2 * energy) - angle**2 / (2 * _INCLINED**2)
            if value > best:
                best, found = value, np.array([np.log(common / energy), path, angle])
    return found


def about_curve(amplitudes: Array, errors: Array, curve: Array) -> tuple[Array, Array]:
    """Contrast image by image: what each says, and where it leaves that open, the curve.

    Parameters
    ----------
    amplitudes, errors, curve : (n_tilts,) arrays
        Each measured, how well (infinite: not at all), and what all say together.

    Returns
    -------
    values, deviations : (n_tilts,) arrays
        By the scatter about the curve that makes what was measured most likely.
    """
    known = np.isfinite(errors)
    off = (amplitudes - curve)[known]

    def log_likelihood(scatter: float) -> float:
        variance = errors[known] ** 2 + (scatter * curve[known]) ** 2
        return float(-0.5 * (off**2 / variance + np.log(variance)).sum())

    scatter = max(_SCATTERS, key=log_likelihood)
    own = np.where(known, 1 / np.square(errors), 0.0)
    prior = 1 / np.square(scatter * np.maximum(curve, 1e-30))
    values = (own * np.where(known, amplitudes, 0.0) + prior * curve) / (own + prior)
    return values, 1 / np.sqrt(own + prior)
