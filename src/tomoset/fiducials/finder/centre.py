"""Where the middle of a bead is, to a fraction of a pixel, and how precisely that is known.

The image of a bead on an inclined background is fitted to each patch of a white image by least
squares. At first it is that of a ball of gold; then the mean of all patches, over all directions,
which has the fringes of the real microscope, and whose middle is where it is by its symmetry.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tomoset.fiducials.finder.patches import offsets

Array = npt.NDArray[np.float64]

#: Steps of the fit, each of half a radius at most.
_STEPS = 4
#: Samples of the profile in one pixel of a patch.
_FINER = 2
#: Entries of a table in one pixel: nearer than that none is looked up.
_TABLE = 32
#: Parameters of a fit: x, y, amplitude; the background and its slopes.
_PARAMETERS = 6


@dataclass(frozen=True, kw_only=True, eq=False)
class Profile:
    """What a bead looks like at each distance from its middle: 0 far away.

    Parameters
    ----------
    values : (k,) array
        At distances 0, step, 2 step, ...
    step : float
        [px].
    """

    values: Array
    step: float

    def table(self) -> Array:
        """Value and slope [1/px] at distances 0, 1 / _TABLE, ...: (k, 2), between by a cubic."""
        import scipy.interpolate

        last = (len(self.values) - 1) * self.step
        spline = scipy.interpolate.CubicSpline(
            np.arange(len(self.values)) * self.step, self.values, bc_type=((1, 0.0), (1, 0.0))
        )
        distance = np.arange(int(last * _TABLE) + 1) / _TABLE
        return np.stack([spline(distance), spline(distance, 1)], axis=1)


@dataclass(frozen=True, kw_only=True, eq=False)
class Centred:
    """Fits of a bead to patches.

    Parameters
    ----------
    offset : (m, 2) array
        x, y of the bead from the patch's middle [px].
    uncertainty : (m,) array
        Standard deviation of each coordinate [px]; inf where nothing could be fitted.
    amplitude : (m,) array
        How much darker its middle is than the background.
    background : (m,) array
        Below the bead's middle.
    slopes : (m, 2) array
        Of the background along x and y, times the reach of a patch.
    noise : (m,) array
        Standard deviation of what remains.
    likeness : (m,) array
        Correlation of patch and fit, the background taken off: 1 is a perfect bead.
    """

    offset: Array
    uncertainty: Array
    amplitude: Array
    background: Array
    slopes: Array
    noise: Array
    likeness: Array


def centre(patches: Array, profile: Profile, start: Array | None = None) -> Centred:
    """Fit a bead to each patch.

    Parameters
    ----------
    patches : (m, p, p) array
        NaN where pixels are not to count.
    profile : Profile
        Of a bead.
    start : (m, 2) array, optional
        Where to begin, from the patches' middles [px].
    """
    reach = patches.shape[-1] // 2
    x, y = (o.ravel() for o in offsets(reach))
    within = np.hypot(x, y) <= reach
    x, y, values = (
        x[within],
        y[within],
        patches.reshape(len(patches), (2 * reach + 1) ** 2)[:, within],
    )
    counts = np.isfinite(values)
    values = np.where(counts, values, 0.0)
    offset = np.zeros((len(patches), 2)) if start is None else start.copy()
    table = profile.table()
    for _ in range(_STEPS):
        design = _design(x, y, offset, table) * counts[..., None]
        normal = np.swapaxes(design, 1, 2) @ design
        inverse = _inverse(normal)
        solution = (inverse @ (np.swapaxes(design, 1, 2) @ values[..., None]))[..., 0]
        amplitude = solution[:, 2]
        residual = values - (design @ solution[..., None])[..., 0]
        with np.errstate(divide="ignore", invalid="ignore"):
            step = np.nan_to_num(solution[:, :2] / amplitude[:, None], posinf=0.0, neginf=0.0)
        far = np.linalg.norm(step, axis=1, keepdims=True)
        offset += step * np.minimum(1.0, 0.25 * reach / np.maximum(far, 1e-12))
    shape = amplitude[:, None] * design[..., 2]
    return _judged(_Fit(solution, inverse, residual, shape, counts), offset)


@dataclass(frozen=True, eq=False)
class _Fit:
    """The last step of a fit: its parameters, what remains, and what the bead explains."""

    solution: Array
    inverse: Array
    residual: Array
    shape: Array
    counts: npt.NDArray[np.bool_]


def _design(x: Array, y: Array, offset: Array, table: Array) -> Array:
    """What pixels change by with each parameter: (m, pixels, 6)."""
    design = np.empty((len(offset), len(x), _PARAMETERS))
    dx, dy = x - offset[:, :1], y - offset[:, 1:]
    distance = np.maximum(np.hypot(dx, dy), 1e-9)
    entry = np.minimum(distance * _TABLE + 0.5, len(table) - 1).astype(np.int64)
    slope = table[entry, 1] / distance
    design[..., 0], design[..., 1] = slope * dx, slope * dy
    design[..., 2] = -table[entry, 0]
    design[..., 3], design[..., 4], design[..., 5] = 1.0, x / x.max(), y / y.max()
    return design


def _inverse(normal: Array) -> Array:
    """Of each matrix, or 0 where it has none: too few pixels are seen there."""
    scale = np.sqrt(np.maximum(np.einsum("mii->mi", normal), 1e-300))
    scaled = normal / scale[:, :, None] / scale[:, None, :]
    good = np.linalg.cond(scaled) < 1e6
    scaled[~good] = np.eye(_PARAMETERS)
    inverse = np.linalg.inv(scaled) / scale[:, :, None] / scale[:, None, :]
    inverse[~good] = 0.0
    return np.asarray(inverse)


def _judged(fit: _Fit, offset: Array) -> Centred:
    freedom = np.maximum(fit.counts.sum(axis=1) - _PARAMETERS, 1)
    noise = np.sqrt((fit.residual**2).sum(axis=1) / freedom)
    amplitude, background = fit.solution[:, 2], fit.solution[:, 3]
    fixed = np.einsum("mii->mi", fit.inverse)[:, :2].mean(axis=1)
    known = (fixed > 0) & (amplitude != 0)
    uncertainty = np.full(len(offset), np.inf)
    uncertainty[known] = noise[known] * np.sqrt(fixed[known]) / np.abs(amplitude[known])
    explained = (fit.shape**2).sum(axis=1)
    total = explained + (fit.residual**2).sum(axis=1)
    likeness = np.sqrt(explained / np.maximum(total, 1e-300)) * np.sign(amplitude)
    return Centred(
        offset=offset,
        uncertainty=uncertainty,
        amplitude=amplitude,
        background=background,
        slopes=fit.solution[:, 4:6],
        noise=noise,
        likeness=likeness,
    )


def first_profile(image: Array) -> Profile:
    """The profile of one image of a bead, whose middle is the patch's: (p, p), a bead above 0."""
    one = np.ones(1)
    middle = Centred(
        offset=np.zeros((1, 2)),
        uncertainty=one,
        amplitude=one,
        background=0 * one,
        slopes=np.zeros((1, 2)),
        noise=one,
        likeness=one,
    )
    return mean_profile(-image[None], middle)


def mean_profile(patches: Array, centred: Centred) -> Profile:
    """The mean over patches and over directions, each patch counting as it shows its bead.

    Parameters
    ----------
    patches : (m, p, p) array
        As fitted.
    centred : Centred
        The fits; those of infinite uncertainty do not count.

    Returns
    -------
    Profile
        Of sum of squares 1 over the pixels of a patch: a bead's amplitude over the noise of a
        pixel is then its signal-to-noise ratio.
    """
    reach = patches.shape[-1] // 2
    x, y = offsets(reach)
    n = int(reach * _FINER)
    sums, weights = np.zeros(n + 2), np.zeros(n + 2)
    good = np.flatnonzero(np.isfinite(centred.uncertainty))
    strength = centred.amplitude[good] / np.maximum(centred.noise[good], 1e-30)
    for i, snr in zip(good, strength, strict=True):
        distance = np.hypot(x - centred.offset[i, 0], y - centred.offset[i, 1]) * _FINER
        flat = (centred.slopes[i, 0] * x + centred.slopes[i, 1] * y) / reach
        bead = centred.background[i] + flat - patches[i]
        counts = np.isfinite(bead) & (distance < n)
        entry = distance[counts].astype(np.int64)
        share = distance[counts] - entry
        taken = bead[counts] / centred.amplitude[i] * snr**2
        for at, part in ((entry, 1 - share), (entry + 1, share)):
            sums += np.bincount(at, part * taken, n + 2)
            weights += np.bincount(at, part * snr**2, n + 2)
    values = (sums / np.maximum(weights, 1e-300))[:n]
    values -= values[-_FINER:].mean()
    distance = np.arange(n) / _FINER
    energy = 2 * np.pi * (values**2 * distance).sum() / _FINER
    return Profile(values=values / np.sqrt(max(energy, 1e-300)), step=1.0 / _FINER)
