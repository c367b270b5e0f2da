"""Beads, ice crystals and all else that stands out far from an image.

These have a spectrum of their own, with rings that are not those of the CTF: those of a bead of
100 Å look like rings of 8 µm, seen at 15 to 30 Å.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tomoset.hand.rings import Tiles
from tomoset.hand.trust import is_lit

Array = npt.NDArray[np.float64]
Floats = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

#: What stands out is seen at this resolution [Å]; if it is faint at one so many times coarser; and
#: its rims where its middle was taken out.
_COARSE, _WIDER = 12.0, (1, 2, 4, 1)
#: It stands out from so many standard deviations, reaches as far as so many, and is no more than
#: this part of an image.
_FAR, _RIM, _MOST = np.float32(5.0), np.float32(2.5), 0.85
#: It is left out of the standard deviation so often, which is that of what is near the level: a
#: quarter of normal values lie within so many.
_ROUNDS, _QUARTER = 4, 0.31864
#: How much less white noise differs from its surroundings, of twice the width, than from its level.
_DIFFERENT = 0.6708
#: Median of how two normal values differ, in standard deviations.
_DIFFERENCE = 0.95387
#: So many values tell a median.
_ENOUGH = 1 << 16
#: No camera has such values; others say what is wrong with an image that has, or with NaN.
_HUGE = 1e15
#: Parts of an image of so many of these resolutions see electrons or not.
_PARTS = 12


@dataclass(frozen=True, eq=False)
class Left:
    """What is left of an image without what stands out far, and what sees no electrons.

    Parameters
    ----------
    seen : (h', w') array
        How much of its parts is left, 0 to 1.
    bins : int
        Pixels along each edge of such a part.
    """

    seen: Floats
    bins: int

    def part(self, tiles: Tiles) -> Array:
        """How much of each tile is left: (n_tiles,)."""
        first, last = tiles.corners // self.bins, (tiles.corners + tiles.edge) // self.bins
        whole = [self.seen[y:v, x:u].mean() for (x, y), (u, v) in zip(first, last, strict=True)]
        return np.array(whole, np.float64)


def cleared(image: Floats, pixel_size: float) -> tuple[Floats, Left]:
    """An image without what stands out far, and without what sees no electrons.

    In their place is noise, of the level and the power that the image has elsewhere: of tiles that
    are partly empty, waves at k and -k would have in common what is not there.

    Parameters
    ----------
    image : (h, w) array
        As it was taken.
    pixel_size : float
        [Å].
    """
    # What is blurred so much needs no pixels that are finer than two thirds of the blur.
    bins = max(1, int(_COARSE / pixel_size / 1.5))
    width = _COARSE / pixel_size / bins
    if min(image.shape) <= 2 * max(_WIDER) * bins or not np.abs(image).max() < _HUGE:
        return image, Left(np.ones([1 + n // bins for n in image.shape], np.float32), bins)
    coarse = _binned(image, bins)
    noise, lit = _lit(coarse, width)
    seen = _seen(coarse, lit, width, noise)
    if (seen == 1).all():
        return image, Left(seen, bins)
    level = _level(coarse, lit, seen)
    share = 1 - seen
    for axis, n in enumerate(image.shape):
        share = _spread(share, bins, n, axis)
    found, at = image.copy(), np.nonzero(share)
    new = np.random.default_rng(0).standard_normal(len(at[0]), np.float32) * np.float32(
        noise * bins
    )
    found[at] += share[at] * (new + level - image[at])
    return found, Left(seen, bins)


def _level(coarse: Floats, lit: Mask, seen: Floats) -> np.float32:
    """Median of what is left, if something is."""
    left = lit & (seen == 1)
    return np.float32(np.median(_some(coarse[left if left.any() else lit])))


def _some(values: Floats) -> Floats:
    """As many of them as tell a median."""
    return values[:: 1 + len(values) // _ENOUGH]


def _seen(coarse: Floats, lit: Mask, width: float, noise: float) -> Floats:
    """How much of each pixel of a coarse image neither stands out nor lies in the dark."""
    from scipy.ndimage import gaussian_filter

    seen = lit.astype(np.float32)
    for wider in _WIDER:
        rest = seen * (coarse - _level(coarse, lit, seen))
        # Blurred, noise is no less than this, whatever the few values of a small image say.
        least = (1 if wider == 1 else _DIFFERENT) * noise / wider / (2 * np.sqrt(np.pi) * width)
        far = _standing_out(rest, seen == 1, (width, least), wider)
        if far.any():
            # About as much around it as is blurred here, too.
            near = gaussian_filter(far.astype(np.float32), width, mode="constant", truncate=3.0)
            seen = np.minimum(seen, 1 - np.clip(8 * near, 0, 1))
    return seen


def _standing_out(image: Floats, lit: Mask, blur: tuple[float, float], wider: int) -> Mask:
    """Pixels that are far from the level of the rest; none if most are.

    Parameters
    ----------
    image : (h, w) array
        Coarse; about 0 inside, for 0 lies around it.
    lit : (h, w) bool array
        What sees electrons, and was not yet taken out.
    blur : (float, float)
        By which it is blurred [px], times `wider`; and the least deviation of noise then.
    wider : int
        From 2 on what differs from its surroundings is looked for: the level of a specimen that
        is thicker here than there may be far from its mean, seen so coarsely.
    """
    from scipy.ndimage import gaussian_filter

    width, least = blur
    binned, counted = _binned(image, wider), _binned(lit.astype(np.float32), wider) > 0.5
    blurred = gaussian_filter(binned, width, mode="constant", truncate=3.0)
    if wider > 1:
        blurred -= gaussian_filter(binned, 2 * width, mode="constant", truncate=3.0)
    far = np.zeros_like(counted)
    for _ in range(_ROUNDS):
        rest = _some(blurred[counted & ~far])
        if not len(rest):
            break
        level = np.median(rest)
        deviation = max(np.quantile(np.abs(rest - level), 0.25) / _QUARTER, least)
        off, before = np.abs(blurred - level), far
        far = _about(off > _FAR * deviation, off > _RIM * deviation)
        if (far == before).all():
            break
    if not counted.any() or far[counted].mean() > _MOST:
        far[:] = False
    whole = np.zeros_like(lit)
    apart = far.repeat(wider, axis=0).repeat(wider, axis=1)
    whole[: apart.shape[0], : apart.shape[1]] = apart
    return whole


def _about(sure: Mask, maybe: Mask) -> Mask:
    """What may be, connected with what is for sure."""
    from scipy.ndimage import label

    if not sure.any():
        return sure
    parts, n = label(maybe)
    held = np.zeros(n + 1, np.bool_)
    held[parts[sure]] = True
    return np.asarray(held[parts])


def _lit(coarse: Floats, width: float) -> tuple[float, Mask]:
    """Deviation of the noise of an image, and pixels in parts that see electrons: others have none.

    Parameters
    ----------
    coarse : (h, w) array
        The image.
    width : float
        Of what beads are blurred by [px].
    """
    # Neighbours differ by noise, whatever the level; and medians do not see beads.
    noise = np.abs(np.diff(coarse, axis=1, append=coarse[:, -2:-1]))
    edge = max(1, int(_PARTS * width))
    rows, columns = (np.arange(n) * max(1, n // edge) // n for n in coarse.shape)
    medians = np.empty((rows[-1] + 1, columns[-1] + 1))
    for y, row in enumerate(medians):
        across = noise[rows == y].T
        row[:] = [np.median(across[columns == x]) for x in range(len(row))]
    lit = is_lit(medians**2)
    return float(np.median(medians[lit])) / _DIFFERENCE, lit[np.ix_(rows, columns)]


def _binned(image: Floats, bins: int) -> Floats:
    """Means of so many pixels along both axes; what is left over at the end is left out."""
    height, width = (n // bins for n in image.shape)
    rows = image[: height * bins, : width * bins].reshape(height, bins, -1).sum(axis=1)
    return np.asarray(rows.reshape(height, width, bins).sum(axis=2) / np.float32(bins**2))


def _spread(values: Floats, bins: int, n: int, axis: int) -> Floats:
    """From means of pixels to n pixels along an axis, linear between."""
    last = values.shape[axis] - 1
    at = np.clip((np.arange(n, dtype=np.float32) - (bins - 1) / 2) / bins, 0, last)
    below = np.minimum(at.astype(np.int64), max(last - 1, 0))
    part = np.expand_dims((at - below).astype(np.float32), 1 - axis)
    lower, upper = values.take(below, axis), values.take(np.minimum(below + 1, last), axis)
    return np.asarray(lower + part * (upper - lower), np.float32)
