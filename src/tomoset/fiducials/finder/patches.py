"""Small pieces of an image, each around a position."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Image = npt.NDArray[np.float32]


def offsets(half: int) -> tuple[Array, Array]:
    """x and y of a patch's pixels from its middle [px]: (2 half + 1, 2 half + 1) each."""
    along = np.arange(-half, half + 1.0)
    x, y = np.meshgrid(along, along)
    return x, y


def cut(image: Image, positions: Array, half: int) -> tuple[Array, Array]:
    """Patches around positions, NaN outside the image.

    Parameters
    ----------
    image : (y, x) array
    positions : (m, 2) array
        x, y [px].
    half : int
        A patch has 2 half + 1 pixels along x and along y.

    Returns
    -------
    patches : (m, 2 half + 1, 2 half + 1) float64 array
    middles : (m, 2) array
        The pixel in the middle of each.

    Examples
    --------
    >>> patches, middles = cut(np.arange(12, dtype=np.float32).reshape(3, 4), [[0.2, 1.4]], 1)
    >>> patches.tolist(), middles.tolist()
    ([[[nan, 0.0, 1.0], [nan, 4.0, 5.0], [nan, 8.0, 9.0]]], [[0.0, 1.0]])
    """
    height, width = image.shape
    middles = np.rint(np.asarray(positions, np.float64))
    along = np.arange(-half, half + 1)
    rows = middles[:, 1, None].astype(np.int64) + along
    columns = middles[:, 0, None].astype(np.int64) + along
    inside = ((rows >= 0) & (rows < height))[:, :, None]
    inside = inside & ((columns >= 0) & (columns < width))[:, None, :]
    pieces = image[rows.clip(0, height - 1)[:, :, None], columns.clip(0, width - 1)[:, None, :]]
    return np.where(inside, pieces, np.nan).astype(np.float64), middles
