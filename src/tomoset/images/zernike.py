"""Aberrations of higher order, as sums of Zernike polynomials of the spatial frequency.

RELION's numbering and scale (``jaz/math/Zernike.cpp``, ``jaz/optics/aberrations_cache.cpp``): the
radius is the frequency itself [1/Å], Z(m, n) = R(|m|, n) cos(m phi) for m >= 0 and
R(|m|, n) sin(|m| phi) below, and coefficients are in radians. Even ones (rlnEvenZernike) add to the
phase of the CTF, n = 0, 2, 4 ...; odd ones (rlnOddZernike) turn the phases of images, n = 1, 3 ...
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


def even_phase(coefficients: npt.ArrayLike, x: npt.ArrayLike, y: npt.ArrayLike) -> Array:
    """Phase that is added to the CTF's gamma [rad].

    Parameters
    ----------
    coefficients : (n,) array
        By order n = 0, 2, 4 ..., and m = -n, -n + 2, ..., n of each.
    x, y : arrays
        Spatial frequencies [1/Å], to be broadcast.

    Examples
    --------
    >>> float(even_phase([0, 0, 0, 0, 0, 0, 1], 0.5, 0.0))  # R(0, 4) = 6 k^4 - 6 k^2 + 1
    -0.125
    """
    return _phase(0, coefficients, x, y)


def odd_phase(coefficients: npt.ArrayLike, x: npt.ArrayLike, y: npt.ArrayLike) -> Array:
    """Phase by which waves of images are turned [rad]: transforms have the factor exp(i phase).

    Parameters
    ----------
    coefficients : (n,) array
        By order n = 1, 3, 5 ..., and m = -n, -n + 2, ..., n of each.
    x, y : arrays
        Spatial frequencies [1/Å], to be broadcast.

    Examples
    --------
    >>> round(float(odd_phase([0, 2], 0.25, 0.1)), 9)  # R(1, 1) cos(phi) = x
    0.5
    """
    return _phase(1, coefficients, x, y)


def _phase(first: int, coefficients: npt.ArrayLike, x: npt.ArrayLike, y: npt.ArrayLike) -> Array:
    x, y = np.broadcast_arrays(np.asarray(x, np.float64), np.asarray(y, np.float64))
    radius, angle = np.hypot(x, y), np.arctan2(y, x)
    total = np.zeros(x.shape)
    for value, (m, n) in zip(np.ravel(coefficients).tolist(), _orders(first), strict=False):
        if value:
            wave = np.cos(m * angle) if m >= 0 else np.sin(-m * angle)
            total += value * _radial(abs(m), n, radius) * wave
    return total


def _orders(first: int) -> Iterator[tuple[int, int]]:
    """m and n in RELION's order: n = first, first + 2, ... without end."""
    n = first
    while True:
        for m in range(-n, n + 1, 2):
            yield m, n
        n += 2


def _radial(m: int, n: int, radius: Array) -> Array:
    """R(m, n): the sum over k of (-1)^k (n-k)! / (k! ((n+m)/2 - k)! ((n-m)/2 - k)!) r^(n-2k)."""
    total = np.zeros(radius.shape)
    for k in range((n - m) // 2 + 1):
        under = math.factorial(k) * math.factorial((n + m) // 2 - k)
        under *= math.factorial((n - m) // 2 - k)
        total += (-1) ** k * math.factorial(n - k) / under * radius ** (n - 2 * k)
    return total
