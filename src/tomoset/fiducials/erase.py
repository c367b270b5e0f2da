"""Beads taken out of an image, so that what is left looks like what is around them.

Around a bead an image is a plane and noise, whose autocorrelation is measured there. Of all fields
that have it and that continue the pixels around the disc, one is drawn at random (Hoffman and
Ribak, ApJ 380, L5, 1991). So there is no seam, and mean, variance and spectrum inside are those of
the surroundings; an interpolation would be too smooth, and noise that is laid over one would not
fit at the edge.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tomoset.errors import ModelError

Array = npt.NDArray[np.float64]
Field = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
Box = tuple[slice, slice]

#: Side of the patch around a bead, against the radius of its disc, and at least [px].
_SIDE, _SMALLEST = 5, 128
#: Part of a patch, and number of its pixels, that must be neither bead nor outside of the image.
_PART, _FEWEST = 0.25, 100
#: Pixels so many standard deviations from the plane are no noise, but something else.
_OUTLIER = 5.0
#: Pixels that are farther from each other than this part of a patch are taken to be independent.
_REACH = 1 / 4
#: The weakest frequency against the mean of all: more is not to be known of it.
_FLOOR = 1e-3
#: Accuracy of what continues the surroundings, and how many steps may be taken to it.
_ACCURACY, _STEPS = 1e-3, 100


def erase(
    image: npt.NDArray[Any], centres: npt.ArrayLike, radius: float, rng: np.random.Generator
) -> npt.NDArray[Any]:
    """Replace discs of an image by what their surroundings look like.

    Parameters
    ----------
    image : (h, w) array
        Of integers or floating point numbers.
    centres : (n, 2) array
        x, y of the discs in 0-based pixels; they may overlap, and lie across or beyond the edge.
    radius : float
        Of each disc [px]; of the bead with its fringe.
    rng : numpy.random.Generator
        What noise is drawn from.

    Returns
    -------
    (h, w) array
        A copy of the same type; integers are rounded and limited. Pixels outside of all discs are
        the same to the last bit.

    Raises
    ------
    ModelError
        If there are hardly any pixels around a disc.

    Examples
    --------
    >>> image = np.zeros((64, 64), np.int16)
    >>> image[20:30, 20:30] = -900
    >>> int(erase(image, [[24.5, 24.5]], 8.0, np.random.default_rng(1)).min())
    0
    """
    result = image.copy()
    discs = [_disc(image.shape, centre, radius) for centre in np.reshape(centres, (-1, 2))]
    discs = [(box, inside) for box, inside in discs if inside.any()]
    ground = np.isfinite(image)
    for box, inside in discs:
        ground[box] &= ~inside
    known = ground.copy()
    for box, inside in discs:
        patch = _Patch.around(box, radius, ground)
        values, noise = patch.cut(result).astype(np.float64), patch.cut(ground)
        new = _continued(values, noise, patch.cut(known), rng)[patch.own(box)]
        result[box][inside] = _as_stored(new[inside], image.dtype)
        known[box] |= inside
    return result


def _disc(shape: tuple[int, ...], centre: Array, radius: float) -> tuple[Box, Mask]:
    """The part of an image that a disc is in, and which of its pixels it covers."""
    x, y = centre
    rows, columns = (
        slice(max(0, math.ceil(c - radius)), max(0, min(n, math.floor(c + radius) + 1)))
        for c, n in zip((y, x), shape, strict=True)
    )
    row, column = np.ogrid[rows, columns]
    return (rows, columns), (column - x) ** 2 + (row - y) ** 2 <= radius**2


@dataclass(frozen=True)
class _Patch:
    """A square about a disc, which may reach beyond the image: first row and column, and side."""

    row: int
    column: int
    side: int

    @classmethod
    def around(cls, box: Box, radius: float, ground: Mask) -> _Patch:
        """As small as there is enough ground in it."""
        import scipy.fft

        side = max(_SIDE * radius, _SMALLEST)
        while True:
            n = scipy.fft.next_fast_len(math.ceil(side), real=True)
            row, column = ((part.start + part.stop - n) // 2 for part in box)
            patch = cls(row, column, n)
            found = np.count_nonzero(patch.cut(ground))
            if found >= max(_PART * n * n, _FEWEST):
                return patch
            if n > 2 * max(ground.shape):  # all of the image, whatever there is
                if found >= _FEWEST:
                    return patch
                raise ModelError(
                    f"discs with a radius of {radius:.3g} px leave {found} pixels of the image "
                    "that could show what is around them: take a smaller radius"
                )
            side *= 1.3

    def cut(self, image: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """The patch of an image, 0 where there is no image."""
        patch = np.zeros((self.side, self.side), image.dtype)
        box = tuple(
            slice(max(first, 0), max(min(first + self.side, n), 0))
            for first, n in zip((self.row, self.column), image.shape, strict=True)
        )
        patch[self.own((box[0], box[1]))] = image[box]
        return patch

    def own(self, box: Box) -> Box:
        """Rows and columns of an image, counted in the patch."""
        rows, columns = box
        return (
            slice(rows.start - self.row, rows.stop - self.row),
            slice(columns.start - self.column, columns.stop - self.column),
        )


def _continued(values: Array, ground: Mask, known: Mask, rng: np.random.Generator) -> Array:
    """A patch whose unknown pixels are drawn so that they fit to the known ones."""
    plane, spread = _plane(values, ground)
    if spread == 0:
        return plane
    noise = np.clip((values - plane) / spread, -_OUTLIER, _OUTLIER)
    spectrum = _spectrum(np.where(ground, noise, 0), ground)
    return plane + spread * _drawn(
        np.where(known, noise, 0).astype(np.float32), known, spectrum, rng
    )


def _plane(values: Array, ground: Mask) -> tuple[Array, float]:
    """The plane through the ground, and how far pixels are from it; few outliers do not matter."""
    row, column = np.indices(values.shape) / len(values) - 0.5
    design = np.stack([np.ones(values.shape), row, column], axis=-1)
    kept = ground
    for _ in range(3):
        rows = design[kept]
        solution, *_ = np.linalg.lstsq(rows.T @ rows, rows.T @ values[kept], rcond=None)
        plane = design @ solution
        noise = values - plane
        width = 1.4826 * float(np.median(np.abs(noise[ground])))
        if width == 0:  # most pixels are alike, or all
            return plane, float(np.std(noise[ground]))
        kept = ground & (np.abs(noise) < _OUTLIER * width)
    return plane, float(np.std(noise[kept]))


def _spectrum(noise: Array, ground: Mask) -> Field:
    """The power of each frequency of a patch, from the autocorrelation of the ground alone."""
    from scipy import fft

    n = len(noise)
    wide = fft.next_fast_len(2 * n, real=True)  # so that opposite edges do not meet

    def correlation(image: Array) -> Array:
        power = np.abs(fft.rfft2(image, (wide, wide))) ** 2
        lag = fft.fftfreq(n, 1 / n).astype(np.int64) % wide
        return np.asarray(fft.irfft2(power, (wide, wide))[np.ix_(lag, lag)])

    lag = fft.fftfreq(n, 1 / n)
    distance = np.minimum(np.hypot(lag[:, None], lag) / (_REACH * n), 1)
    found = correlation(noise) / np.maximum(correlation(ground.astype(np.float64)), 1)
    power = fft.rfft2(found * (1 + np.cos(np.pi * distance)) / 2).real
    return np.asarray(np.maximum(power, _FLOOR * found[0, 0]), np.float32)


def _drawn(noise: Field, known: Mask, spectrum: Field, rng: np.random.Generator) -> Field:
    """A field with this spectrum that has these values where they are known.

    Some field with the spectrum is drawn; what it lacks where values are known is continued into
    the unknown ones as its most probable course, by conjugate gradients.
    """
    from scipy import fft

    def filtered(image: Field, by: Field) -> Field:
        return np.asarray(fft.irfft2(fft.rfft2(image) * by, image.shape), np.float32)

    def unknown(image: Field, by: Field) -> Field:
        return np.where(known, np.float32(0), filtered(image, by))

    inverse = np.asarray(1 / spectrum, np.float32)
    amplitude = np.asarray(np.sqrt(spectrum), np.float32)
    drawn = filtered(rng.standard_normal(noise.shape, np.float32), amplitude)
    lack = np.where(known, noise - drawn, np.float32(0))
    rest = -unknown(lack, inverse)
    direction = towards = unknown(rest, spectrum)
    size = start = float(np.vdot(rest, towards))
    for _ in range(_STEPS):
        if size <= _ACCURACY**2 * start:
            break
        change = unknown(direction, inverse)
        step = np.float32(size / float(np.vdot(direction, change)))
        lack += step * direction
        rest -= step * change
        towards = unknown(rest, spectrum)
        before, size = size, float(np.vdot(rest, towards))
        direction = towards + np.float32(size / before) * direction
    return drawn + lack


def _as_stored(values: Array, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    if dtype.kind not in "iu":
        return values.astype(dtype)
    limits = np.iinfo(dtype)
    return np.rint(values).clip(limits.min, limits.max).astype(dtype)
