"""What stands out far from a specimen: ice crystals, dirt, gold beads, membranes seen edge-on.

The likelihood takes the specimen for random matter all through a slab. One crystal on its surface
has more of an image's power than all the rest and lies at one depth only, so that shifts would
follow it; few of them make errors ten times as large.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from tomoset.align.images.prepare import Prepared

Image = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

#: It is looked for at these scales [working px], against what is so many times as wide, in images
#: so many times as large.
_SCALES, _AROUND, _LARGER = (3, 6, 12), 4, 20
#: It stands out by so many standard deviations.
_FAR = 4.0
#: If an image has more of it than this part, it is the specimen.
_MOST = 0.25


def without_dense(prepared: Prepared, threads: int = 1) -> Prepared:
    """Images in which what stands out far is not seen; as they are where it is the specimen itself.

    Parameters
    ----------
    prepared : Prepared
    threads : int
        Images that are looked at at once.
    """
    used = prepared.used
    with ThreadPoolExecutor(threads) as pool:
        found = pool.map(lambda i: dense(prepared.images[i], prepared.valid[i] > 0), used)
        out = np.stack(list(found))
    out &= (out.mean(axis=(1, 2)) <= _MOST)[:, None, None]
    if not out.any():
        return prepared
    images, valid = prepared.images.copy(), prepared.valid.copy()
    images[used] = np.where(out, 0, images[used])
    valid[used] = np.where(out, 0, valid[used])
    return replace(prepared, images=images, valid=valid)


def dense(image: Image, valid: Mask) -> Mask:
    """Where something stands out far from an even image.

    Parameters
    ----------
    image : (h, w) array
        Contrast.
    valid : (h, w) bool array
        Where it shows the specimen.
    """
    import scipy.ndimage

    out = ~valid
    for scale in (each for each in _SCALES if _LARGER * each <= min(image.shape)):
        # What is small and dense would be wide if it was looked for coarsely.
        left = np.where(out, 0, image)
        apart = _smooth(left, scale) - _smooth(left, _AROUND * scale)
        away = np.abs(apart - np.median(apart[valid]))
        far = away > _FAR * 1.4826 * float(np.median(away[valid]))
        # Its rim lies farther out than where it is seen well enough.
        out |= scipy.ndimage.maximum_filter(far, 4 * scale + 1)
    return out & valid


def _smooth(image: Image, scale: float) -> Image:
    """An image smoothed by about a normal distribution of this standard deviation [px].

    Three means over squares are near to it, and as fast for wide ones. Beyond the edge is 0, the
    mean contrast: repeated, what is there would seem to stand out more.
    """
    import scipy.ndimage

    width = max(1, round(np.sqrt(4 * scale**2 + 1)))
    for _ in range(3):
        image = scipy.ndimage.uniform_filter(image, width, mode="constant")
    return image
