"""Observations: every bead in every image, where exactly it is seen, and how surely."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tomoset.fiducials.finder.centre import Centred, Profile, centre, mean_profile
from tomoset.fiducials.finder.patches import cut, offsets
from tomoset.fiducials.finder.whiten import Whitening

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
Image = npt.NDArray[np.float32]

#: How far a patch reaches, in radii of a bead: past its fringes, into the background.
_REACH = 2.0
#: Pixels nearer to another bead than this many of its radii do not count.
_COVERED = 1.1
#: A bead is seen where its signal-to-noise ratio, and its part of what is usual in that image, is
#: above this.
_LEAST_SNR, _LEAST_PART = 4.0, 0.4
#: The mean bead is found from centres, and centres by it.
_ROUNDS = 3
#: No centre is known better than this: of the profile, and of the optics [px of the images].
_FLOOR = 0.02


@dataclass(frozen=True, kw_only=True, eq=False)
class BeadObservations:
    """Observations of beads at expected positions.

    Parameters
    ----------
    points : (n, m, 2) array
        x, y of each bead in 0-based pixels; NaN where none is seen.
    uncertainty : (n, m) array
        Standard deviation of each coordinate [px]; NaN where none is seen.
    snr : (n, m) array
        Signal-to-noise ratio; NaN outside images.
    """

    points: Array
    uncertainty: Array
    snr: Array


@dataclass(frozen=True, kw_only=True, eq=False)
class Expected:
    """Where beads should be seen.

    Parameters
    ----------
    at : (n, m, 2) array
        Of each bead in each image, 0-based pixels.
    inside : (n, m) bool array
        Whether that is within the image.
    radius : float
        Of a bead [px].
    reach : float
        How far from there a bead may be [px].
    """

    at: Array
    inside: Mask
    radius: float
    reach: float


@dataclass(frozen=True, kw_only=True, eq=False)
class _Patches:
    """Patches of one image, of the beads in `own`; pixels of the white image."""

    own: npt.NDArray[np.int64]
    patches: Array
    middles: Array
    start: Array


#: Calls a function with each of some things, as `map` does; perhaps several at once.
Run = Callable[..., Iterable[Any]]


def measure(
    expected: Expected,
    white: Whitening,
    read: Callable[[int], Image],
    first: Profile,
    run: Run = map,
) -> BeadObservations:
    """Fit the mean bead at all expected positions in all images.

    Parameters
    ----------
    expected : Expected
        The positions.
    white : Whitening
        Of the series.
    read : callable
        Gives image i: (y, x).
    first : Profile
        What a bead may look like in a white image; the mean bead replaces it.
    run : callable
        As `map`.
    """
    half = patch_half(expected.radius, white)
    n = len(expected.at)
    pieces = list(run(lambda i: _cut(expected, white, i, read(i), half), range(n)))
    profile, starts = first, [each.start for each in pieces]
    for _ in range(_ROUNDS):
        fits = list(run(centre, (each.patches for each in pieces), [profile] * n, iter(starts)))
        profile = mean_profile(np.concatenate([each.patches for each in pieces]), _joined(fits))
        starts = [fit.offset for fit in fits]
    return _bead_observations(expected, white, pieces, fits)


def patch_half(radius: float, white: Whitening) -> int:
    """How far patches reach from their middles, for beads of a radius [px]."""
    return int(np.ceil(_REACH * radius / float(np.mean(white.factors)))) + 1


def _cut(expected: Expected, white: Whitening, i: int, image: Image, half: int) -> _Patches:
    """Cut patches, and blank in each what another bead covers."""
    own = np.flatnonzero(expected.inside[i])
    at, radius = expected.at[i] / white.factors, expected.radius / float(np.mean(white.factors))
    patches, middles = cut(white.image(image), at[own], half)
    x, y = offsets(half)
    for j, patch, middle in zip(own, patches, middles, strict=True):
        for k in np.flatnonzero(np.abs(at - middle).max(axis=1) < half + 2 * radius):
            if k != j:
                other = at[k] - middle
                patch[np.hypot(x - other[0], y - other[1]) < _COVERED * radius] = np.nan
    return _Patches(own=own, patches=patches, middles=middles, start=at[own] - middles)


def _joined(fits: list[Centred]) -> Centred:
    names = Centred.__dataclass_fields__
    return Centred(**{name: np.concatenate([getattr(f, name) for f in fits]) for name in names})


def _bead_observations(
    expected: Expected,
    white: Whitening,
    pieces: list[_Patches],
    fits: list[Centred],
) -> BeadObservations:
    """What is seen: beads as clear as is usual in the image, near to where they should be."""
    n, m = expected.inside.shape
    points, uncertainty = np.full((n, m, 2), np.nan), np.full((n, m), np.nan)
    snr = np.full((n, m), np.nan)
    for i, (each, fit) in enumerate(zip(pieces, fits, strict=True)):
        known = np.isfinite(fit.uncertainty)
        ratio = np.where(known, fit.amplitude / np.maximum(fit.noise, 1e-30), 0.0)
        snr[i, each.own] = ratio
        at = (each.middles + fit.offset) * white.factors
        off = np.linalg.norm(at - expected.at[i, each.own], axis=1)
        clear = ratio[ratio > _LEAST_SNR]
        least = max(_LEAST_SNR, _LEAST_PART * float(np.median(clear))) if len(clear) else np.inf
        seen = (ratio > least) & (off <= expected.reach)
        rows = each.own[seen]
        points[i, rows] = at[seen]
        precise = fit.uncertainty[seen] * float(np.mean(white.factors))
        uncertainty[i, rows] = np.hypot(precise, _FLOOR)
    return BeadObservations(points=points, uncertainty=uncertainty, snr=snr)
