"""AreTomo's local alignment as RELION's 2D deformation.

AreTomo3, AreTomo/Correct/GCorrPatchShift.cu: the shift of a point is the mean of those of the
good patches about it, weighted by exp(-100 r²), r in widths and heights of the image, and is
added to where the global alignment sees the point.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from tomoset.formats._local import NODES, nearest_spline, sample_points
from tomoset.model import Deformation

Array = npt.NDArray[np.float64]


def local_shift(points: Array, patches: Array, image_size: tuple[int, int]) -> Array:
    """What AreTomo adds to points.

    Parameters
    ----------
    points : (n, 2) array
        x, y from the projection of the specimen's middle [px].
    patches : (p, 5) array
        Of one image, as `Aln.patches`.
    image_size : (int, int)
        [px]

    Returns
    -------
    (n, 2) array
        [px]; 0 where no patch is good.
    """
    good = patches[patches[:, 4] >= 0.9]
    if not len(good):
        return np.zeros_like(points)
    apart = (points[:, None] - good[None, :, :2]) / np.array(image_size)
    distance = 100.0 * (apart**2).sum(axis=2)
    # the same weights but for a factor, which far away would be 0 for all
    weights = np.exp(distance.min(axis=1, keepdims=True) - distance)
    return np.asarray(weights @ good[:, 2:4] / weights.sum(axis=1, keepdims=True))


def deformation_of(
    patches: Array, shifts: Array, image_size: tuple[int, int]
) -> tuple[Deformation, Array]:
    """The spline that is nearest to AreTomo's local shifts, over the whole image.

    Parameters
    ----------
    patches : (n, p, 5) array
        As `Aln.patches`.
    shifts : (n, 2) array
        TX, TY [px].
    image_size : (int, int)
        [px]

    Returns
    -------
    deformation : Deformation
    off : (n, p) array
        How far it is from what AreTomo does at each patch [px].
    """
    nodes = min(max(math.ceil(math.sqrt(patches.shape[1])), NODES[0]), NODES[1])
    at = sample_points(image_size)
    middles = shifts + (np.array(image_size) - 1) / 2
    fields = [local_shift(at - m, p, image_size) for m, p in zip(middles, patches, strict=True)]
    deformation = nearest_spline(np.stack(fields), nodes, image_size)
    seen = patches[:, :, :2] + middles[:, None]
    wanted = np.stack([local_shift(p[:, :2], p, image_size) for p in patches])
    off = deformation.displacement(seen, image_size=image_size) - wanted
    return deformation, np.asarray(np.linalg.norm(off, axis=2))
