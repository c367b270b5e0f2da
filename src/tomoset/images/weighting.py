"""The exact filter of weighted back-projection, for any tilt angles, with or without a CTF.

Each image is a central slice of the specimen's transform, about as thick as 1 / the specimen's
own thickness. Where slices overlap, back-projection adds up the same frequency several times:
the exact filter divides by how often (Harauz and van Heel, Optik 73 (1986) 146). With what each
image transfers, the same sum is the denominator of a Wiener filter.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Images = npt.NDArray[np.float32]


def slices(projections: npt.ArrayLike) -> tuple[Array, Array]:
    """Central slices that images are of a volume.

    Parameters
    ----------
    projections : (n, ..., 3 or 4) array
        Rows x and y are from volume to image, in equal lengths: the first three columns count.

    Returns
    -------
    axes : (n, 2, 3) array
        The frequency x, y of an image is the frequency (x, y) @ axes of the volume.
    beams : (n, 3) array
        Unit vectors across the slices.
    """
    axes = np.asarray(projections, dtype=np.float64)[:, :2, :3]
    beams = np.cross(axes[:, 0], axes[:, 1])
    return axes, beams / np.linalg.norm(beams, axis=1, keepdims=True)


def _pairs(axes: Array, beams: Array) -> tuple[Array, Array]:
    """For images i, j: distance from slice j by frequency of i (2), and frequency in j (2, 2)."""
    apart = np.einsum("iak,jk->ija", axes, beams)
    inverse = np.linalg.pinv(np.swapaxes(axes, 1, 2))  # (n, 2, 3): volume to image frequency
    maps = np.einsum("jbk,iak->ijba", inverse, axes)
    return apart, maps


def overlaps(
    projections: npt.ArrayLike,
    frequencies: tuple[Array, Array],
    thickness: npt.ArrayLike,
    powers: npt.ArrayLike | None = None,
) -> Images:
    """How often each frequency of each image is measured, by all images together.

    Parameters
    ----------
    projections : (n, ..., 3 or 4) array
        As `slices` has them.
    frequencies : ((1, w), (h, 1)) arrays
        x and y of a half plane [1/Å], from 0, as `Cropping.frequencies` gives them.
    thickness : float or (n,) array
        Of the specimen along the beam of each image [Å]. Slices are 1 / thickness thick.
    powers : (n, h, w) array, optional
        What each image transfers of a frequency, squared; 1 if not given.

    Returns
    -------
    (n, h, w) float32 array
        sum over j of powers[j] max(0, 1 - thickness[j] |distance from slice j|).
    """
    from tomoset.images import _kernels

    x, y = frequencies
    pairs, maps = _pairs(*slices(projections))
    n = len(pairs)
    given = np.ones((n, 1, 1)) if powers is None else np.asarray(powers)
    out = np.zeros((n, y.size, x.size), dtype=np.float32)
    steps = (float(x[0, 1]), float(y[1, 0]))
    pairs *= np.broadcast_to(thickness, n)[:, None]
    _kernels.add_overlaps(pairs, maps, given.astype(np.float32), steps, 1.0, out)
    return out


def overlaps_slowly(
    projections: npt.ArrayLike,
    frequencies: tuple[Array, Array],
    thickness: npt.ArrayLike,
    powers: npt.ArrayLike | None = None,
) -> Array:
    """`overlaps`, written out."""
    x, y = frequencies
    axes, beams = slices(projections)
    inverse = np.linalg.pinv(np.swapaxes(axes, 1, 2))
    thick = np.broadcast_to(thickness, len(axes))
    total = np.zeros((len(axes), y.size, x.size))
    for i, axis in enumerate(axes):
        in_volume = x[..., None] * axis[0] + y[..., None] * axis[1]
        for j, beam in enumerate(beams):
            near = np.maximum(0, 1 - thick[j] * np.abs(in_volume @ beam))
            power = 1.0 if powers is None else _nearest(powers, j, in_volume @ inverse[j].T, x, y)
            total[i] += near * power
    return total


def _nearest(powers: npt.ArrayLike, j: int, at: Array, x: Array, y: Array) -> Array:
    """Values of the half plane j next to frequencies (h, w, 2); 0 beyond it."""
    plane = np.asarray(powers)[j]
    height, width = plane.shape
    turned = np.where(at[..., :1] < 0, -at, at)
    u = np.floor(turned[..., 0] / x[0, 1] + 0.5).astype(int)
    v = np.floor(turned[..., 1] / y[1, 0] + 0.5).astype(int)
    known = (u < width) & (np.abs(v) <= height // 2)
    return np.where(known, plane[v % height, np.minimum(u, width - 1)], 0.0)
