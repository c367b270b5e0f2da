"""Beads, ice crystals and all else that stands out far from an image.

These have a spectrum of their own, with rings that are not those of the CTF: those of a bead of
100 Å look like rings of 8 µm, seen at 15 to 30 Å.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tomoset.hand.trust import is_lit

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
#: Parts of an image of so many of these resolutions see electrons or not.
_PARTS = 12


def without_beads(image: Floats, pixel_size: float) -> Floats:
    """An image in which what stands out far has the level of the rest.

    Parameters
    ----------
    image : (h, w) array
        As it was taken.
    pixel_size : float
        [Å].
    """
    from scipy.ndimage import gaussian_filter

    # What is blurred so much needs no pixels that are finer than half of the blur.
    bins = max(1, int(_COARSE / pixel_size / 2))
    width = _COARSE / pixel_size / bins
    coarse = _binned(image, bins)
    lit = _lit(coarse, width)
    middle = np.float32(np.median(coarse[lit]))
    share = np.zeros_like(coarse)
    for i, wider in enumerate(_WIDER):
        if i == len(_WIDER) - 1 and not share.any():
            return image
        left = lit & (share == 0)
        far = _standing_out((1 - share) * (coarse - middle), left, width, wider)
        # All of what stands out, and about as much around it as is blurred here.
        near = gaussian_filter(far.astype(np.float32), width, mode="constant", truncate=3.0)
        share = np.maximum(share, np.clip(8 * near, 0, 1))
    left = lit & (share == 0)
    middle = np.float32(np.median(coarse[left if left.any() else lit]))
    for axis, n in enumerate(image.shape):
        share = _spread(share, bins, n, axis)
    return np.asarray(image + share * (middle - image), np.float32)


def _standing_out(image: Floats, lit: Mask, width: float, wider: int) -> Mask:
    """Pixels that are far from the level of the rest; none if most are.

    Parameters
    ----------
    image : (h, w) array
        Coarse; about 0 inside, for 0 lies around it.
    lit : (h, w) bool array
        What sees electrons, and was not yet taken out.
    width : float
        By which it is blurred [px], times `wider`.
    wider : int
        From 2 on what differs from its surroundings is looked for: the level of a specimen that
        is thicker here than there may be far from its mean, seen so coarsely.
    """
    from scipy.ndimage import gaussian_filter

    binned, counted = _binned(image, wider), _binned(lit.astype(np.float32), wider) > 0.5
    blurred = gaussian_filter(binned, width, mode="constant", truncate=3.0)
    if wider > 1:
        blurred -= gaussian_filter(binned, 2 * width, mode="constant", truncate=3.0)
    far = np.zeros_like(counted)
    for _ in range(_ROUNDS):
        rest = blurred[counted & ~far]
        if not len(rest):
            break
        level = np.median(rest)
        deviation = np.quantile(np.abs(rest - level), 0.25) / _QUARTER
        off, before = np.abs(blurred - level), far
        far = _about(off > _FAR * deviation, off > _RIM * deviation)
        if (far == before).all():
            break
    if far[counted].mean() > _MOST:
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


def _lit(coarse: Floats, width: float) -> Mask:
    """Pixels of an image that lie in parts which see electrons: others have no noise.

    Parameters
    ----------
    coarse : (h, w) array
        The image.
    width : float
        Of what beads are blurred by [px].
    """
    # Neighbours differ by noise, whatever the level; and medians do not see beads.
    noise = np.abs(np.diff(coarse, axis=1, append=coarse[:, -1:]))
    rows, columns = (np.arange(n) // max(1, int(_PARTS * width)) for n in coarse.shape)
    medians = np.empty((rows[-1] + 1, columns[-1] + 1))
    for y, x in np.ndindex(medians.shape):
        medians[y, x] = np.median(noise[rows == y][:, columns == x])
    return is_lit(medians**2)[np.ix_(rows, columns)]


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
