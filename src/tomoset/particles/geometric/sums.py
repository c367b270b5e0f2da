"""What groups of particles say of any map: sums in Fourier space, and how images get there."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce

import numpy as np
import numpy.typing as npt

from tomoset.particles.slices import Slices

Array = npt.NDArray[np.float64]
Floats = npt.NDArray[np.float32]
Complex = npt.NDArray[np.complex64]
Ints = npt.NDArray[np.int64]

#: The transform that images are put into is sampled so much more densely than the box asks for.
_PADDING = 2
#: Power of the sinc by which a quadratic spline damps the edges of the box.
_ORDER = 3
#: Samples beyond the radius that a spline reaches; and what is cut out of it, in steps of the box.
BEYOND = 2
#: From here on what lies far from the particle's middle fades out, as a part of the box.
_FADE = 0.35


def half_ball(radius: float) -> Ints:
    """One of each k and -k within a ball, but for 0: (n, 3) x, y, z, the coarsest first.

    Examples
    --------
    >>> half_ball(1.0).tolist()
    [[0, 0, 1], [0, 1, 0], [1, 0, 0]]
    """
    r = int(radius)
    x, y, z = (a.ravel() for a in np.meshgrid(*[np.arange(-r, r + 1)] * 3, indexing="ij"))
    half = (x > 0) | ((x == 0) & ((y > 0) | ((y == 0) & (z > 0))))
    squares = x * x + y * y + z * z
    keep = np.flatnonzero(half & (squares <= radius * radius))
    keep = keep[np.argsort(squares[keep], kind="stable")]
    return np.stack([x, y, z], axis=1)[keep]


@dataclass(frozen=True, eq=False)
class Sums:
    """What groups of particles say of any map.

    Parameters
    ----------
    points : (m, 3) int array
        `half_ball`, in steps of 1 / (box x pixel size).
    numerator : (groups, m) complex64 array
        <num, F> is the real part of the sum of numerator times the conjugate of F.
    power : (groups, m) float32 array
        <F, den F> is the sum of power times |F|².
    box : int
        [px].
    """

    points: Ints
    numerator: Complex
    power: Floats
    box: int

    @property
    def radius(self) -> float:
        """Up to where images were put in [steps]; beyond are only the edges of that."""
        return float(np.sqrt((self.points[-1] ** 2).sum())) - BEYOND

    @property
    def total(self) -> Sums:
        """All groups as one."""
        numerator = self.numerator.sum(axis=0, keepdims=True, dtype=np.complex128)
        power = self.power.sum(axis=0, keepdims=True, dtype=np.float64)
        return Sums(self.points, numerator.astype(np.complex64), power.astype(np.float32), self.box)

    def within(self, radius: float) -> Sums:
        """Only frequencies up to a radius [steps]."""
        squares = (self.points**2).sum(axis=1)
        n = int(np.searchsorted(squares, radius * radius, side="right"))
        return Sums(self.points[:n], self.numerator[:, :n], self.power[:, :n], self.box)


def together(sums: Iterable[Sums]) -> Sums:
    """Group by group, the sums of several tomograms."""

    def add(a: Sums, b: Sums) -> Sums:
        return Sums(a.points, a.numerator + b.numerator, a.power + b.power, a.box)

    return reduce(add, sums)


def padded_size(box: int) -> int:
    """Of the box whose transform images are put into [voxels]."""
    import scipy.fft

    size = int(scipy.fft.next_fast_len(_PADDING * box, real=True))
    return size + size % 2


def empty_grids(groups: int, radius: float, box: int) -> tuple[Floats, Floats]:
    """Room for ``insert``: (groups, z, y, x, 2) and (groups, z, y, x)."""
    last = math.ceil(radius * padded_size(box) / box) + BEYOND
    shape = groups, 2 * last + 1, 2 * last + 1, last + 2
    return np.zeros((*shape, 2), np.float32), np.zeros(shape, np.float32)


def regridded(numerator: Floats, power: Floats, radius: float, box: int) -> Sums:
    """From what ``insert`` has filled to one sample for each wave that fits in the box.

    Parameters
    ----------
    numerator, power
        As ``insert`` leaves them.
    radius : float
        That was inserted [steps of the box].
    box : int
        Of the images [px].
    """
    points = half_ball(radius + BEYOND)
    values = np.ascontiguousarray(numerator).view(np.complex64)[..., 0]
    num = np.stack([_of_box(one, points, box, _FADE) for one in values])
    # Faded out from the middle on, as weights then hardly fall below 0 between images.
    den = np.stack([_of_box(one.astype(np.complex64), points, box, 0.0).real for one in power])
    return Sums(points, num, np.maximum(den, 0).astype(np.float32), box)


def _fading(box: int, start: float) -> Floats:
    """1 up to a part of the box, and smoothly to 0 at its edge: (z, y, x).

    A sharp edge would spread every wave over many, and some beyond those that are kept.
    """
    distance = np.linalg.norm(np.indices((box,) * 3) - box // 2, axis=0) / box
    outwards = np.clip((distance - start) / (0.5 - start), 0, 1)
    return np.asarray((1 + np.cos(np.pi * outwards)) / 2, np.float32)


def _of_box(grid: Complex, points: Ints, box: int, fade: float) -> Complex:
    """One grid, at the waves of the box, for sums over both k and -k."""
    import scipy.fft

    padded, last = padded_size(box), grid.shape[0] // 2
    whole = grid[:, :, 1:].copy()
    # What is at -k belongs to k as its conjugate; x reaches from -1 only.
    whole[:, :, 0] += grid[::-1, ::-1, 1].conj()
    whole[:, :, 1] += grid[::-1, ::-1, 0].conj()
    transform = np.zeros((padded, padded, padded // 2 + 1), np.complex64)
    around = np.arange(-last, last + 1) % padded
    x = min(whole.shape[2], transform.shape[2])
    transform[around[:, None], around, :x] = whole[:, :, :x]
    locate = np.arange(-(box // 2), box - box // 2)
    volume = scipy.fft.irfftn(transform, s=(padded,) * 3)[
        np.ix_(locate % padded, locate % padded, locate % padded)
    ]
    gain = (1 / np.sinc(locate / padded) ** _ORDER).astype(np.float32)
    volume *= gain * gain[:, None] * gain[:, None, None]
    volume *= _fading(box, fade)
    out = scipy.fft.rfftn(np.fft.ifftshift(volume))
    # Parseval over the padded box and over the box; sums over an image have 1 / box².
    scale = np.float32(2 * padded**3 / box**3 / box**2)
    chosen = out[points[:, 2] % box, points[:, 1] % box, points[:, 0]] * scale
    return np.asarray(chosen, np.complex64)


def insert_slowly(
    products: Slices, weights: Slices, linear: Array, radius: float
) -> tuple[Complex, Floats]:
    """One group of what the kernel ``insert`` does, over the whole of a padded transform.

    Parameters
    ----------
    products, weights : (n, box, box // 2 + 1) arrays
        What is added, and what is squared and added.
    linear : (n, 2, 3) array
        x, y of the image [px] from x, y, z of the map [voxels].
    radius : float
        [steps of the box].

    Returns
    -------
    numerator, power : (padded, padded, padded) arrays
        z, y, x in the order of ``fftn``.
    """
    box = products.shape[1]
    padded = padded_size(box)
    numerator = np.zeros((padded,) * 3, np.complex128)
    power = np.zeros((padded,) * 3)
    kx, ky = np.meshgrid(np.arange(box // 2 + 1), np.fft.fftfreq(box, 1 / box))
    keep = np.hypot(kx, ky) <= radius
    count = np.where(kx > 0, 1.0, 0.5)[keep]
    for product, weight, matrix in zip(products, weights, linear, strict=True):
        k = np.stack([kx[keep], ky[keep]], axis=1) @ matrix * (padded / box)
        for sign in (1, -1):
            value = product[keep] if sign > 0 else product[keep].conj()
            near = np.rint(sign * k).astype(int)
            off = sign * k - near
            parts = np.stack([(0.5 - off) ** 2 / 2, 0.75 - off**2, (0.5 + off) ** 2 / 2])
            for dx, dy, dz in np.ndindex(3, 3, 3):
                part = count * parts[dx, :, 0] * parts[dy, :, 1] * parts[dz, :, 2]
                x, y, z = (near + np.array([dx, dy, dz]) - 1).T % padded
                np.add.at(numerator, (z, y, x), part * value)
                np.add.at(power, (z, y, x), part * np.abs(weight[keep]) ** 2)
    return numerator.astype(np.complex64), power.astype(np.float32)
