"""Central slices of a map's transform: its projections along any beam."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Slices = npt.NDArray[np.complex64]

#: The transform is sampled so many times more densely than the map's own box asks for.
_PADDING = 2
#: Samples beyond the Nyquist frequency that interpolation reads.
_BEYOND = 2
#: Power of the sinc by which a quadratic spline damps the edges of the map.
_ORDER = 3
#: Voxels weaker than this part of the strongest are left out of direct sums.
_WEAK = 1e-6


def band(box: int) -> float:
    """The radius within which slices have values, in steps of the box's frequency."""
    return box / 2 - 1


@dataclass(frozen=True, eq=False)
class MapTransform:
    """The transform of a map, ready for interpolation.

    Parameters
    ----------
    values : (z, y, x, 2) float32 array
        Real and imaginary parts; z and y from -(padded // 2 + 2), x from -1.
    padded : int
        Size of the box it was padded to [voxels].
    """

    values: npt.NDArray[np.float32]
    padded: int

    @classmethod
    def of(cls, volume: npt.ArrayLike) -> MapTransform:
        """The transform of a cubic map (z, y, x), whose origin is voxel n // 2.

        Interpolation by splines damps what is far from the origin, and this is undone
        beforehand. Examples are in `slices`.
        """
        import scipy.fft

        density = np.asarray(volume, dtype=np.float32)
        n = len(density)
        padded = scipy.fft.next_fast_len(math.ceil(_PADDING * n), real=True)
        padded += padded % 2
        at = np.arange(n) - n // 2
        gain = (1 / np.sinc(at / padded) ** _ORDER).astype(np.float32)
        box = np.zeros((padded,) * 3, np.float32)
        index = at % padded
        box[np.ix_(index, index, index)] = density * gain * gain[:, None] * gain[:, None, None]
        transform = scipy.fft.rfftn(box)
        return cls(_unwrapped(transform, padded), padded)

    def slices(self, linear: Array, box: int, radius: float | None = None) -> Slices:
        """The transforms of projections.

        Parameters
        ----------
        linear : (n, 2, 3) array
            x, y of the image [px] from x, y, z of the map [voxels].
        box : int
            Size of the images [px], even. A voxel is as large as a pixel.
        radius : float, optional
            Values are 0 beyond it too [steps of the box's frequency].

        Returns
        -------
        (n, box, box // 2 + 1) complex64 array
            As ``rfft2`` gives it of an image with the origin at pixel 0; 0 outside `band`.

        Examples
        --------
        >>> volume = np.zeros((16, 16, 16))
        >>> volume[8, 8, 10] = 1.0
        >>> slices = MapTransform.of(volume).slices(np.eye(3)[None, :2], 16)
        >>> bool(np.abs(slices[0, :3, 1] - np.exp(-2j * np.pi * 2 / 16)).max() < 0.001)
        True
        """
        from tomoset.particles import _kernels

        out = np.empty((len(linear), box, box // 2 + 1), np.complex64)
        _kernels.slices(
            self.values,
            np.ascontiguousarray(linear, np.float64),
            self.padded,
            band(box) if radius is None else min(radius, band(box)),
            out,
        )
        return out


def _unwrapped(transform: npt.NDArray[np.complex64], padded: int) -> npt.NDArray[np.float32]:
    """Frequencies in their order, with what interpolation reads beyond the half space."""
    last = padded // 2 + _BEYOND
    around = np.arange(-last, last + 1) % padded
    values = np.empty((len(around), len(around), last + 2), np.complex64)
    half = transform.shape[2]
    values[:, :, 1 : half + 1] = transform[around[:, None], around]
    # A real map: F(-k) is the conjugate of F(k).
    opposite = (-around) % padded
    for x in (-1, *range(half, last + 1)):
        mirrored = (-x) % padded
        values[:, :, x + 1] = transform[opposite[:, None], opposite, mirrored].conj()
    return values.view(np.float32).reshape(*values.shape, 2)


def directly(volume: npt.ArrayLike, linear: Array, box: int) -> npt.NDArray[np.complex128]:
    """One slice by the sum over all voxels: slow, exact, the measure of `MapTransform.slices`.

    Parameters
    ----------
    volume : (z, y, x) array
        The map; its origin is voxel n // 2.
    linear : (2, 3) array
        x, y of the image [px] from x, y, z of the map.
    box : int
        Size of the image [px].

    Returns
    -------
    (box, box // 2 + 1) complex128 array
    """
    density = np.asarray(volume, np.float64)
    dense = np.abs(density) > _WEAK * np.abs(density).max()
    middle = np.array(density.shape[::-1]) // 2
    seen = (np.argwhere(dense)[:, ::-1] - middle) @ np.asarray(linear).T
    kx, ky = np.arange(box // 2 + 1), np.fft.fftfreq(box, 1 / box)
    wave_x = np.exp(-2j * np.pi / box * np.outer(seen[:, 0], kx))
    wave_y = np.exp(-2j * np.pi / box * np.outer(ky, seen[:, 1]))
    slice_ = (wave_y * density[dense]) @ wave_x
    slice_[np.hypot(kx, ky[:, None]) > band(box)] = 0
    return np.asarray(slice_)
