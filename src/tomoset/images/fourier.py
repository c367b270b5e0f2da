"""Fewer, larger pixels: images cropped in Fourier space, without aliasing or interpolation."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Images = npt.NDArray[np.float32]


def cropped_size(size: int, binning: float) -> int:
    """The even number of pixels nearest to size / binning, at least 2."""
    return max(2, 2 * round(size / binning / 2))


def crop(images: npt.ArrayLike, size: tuple[int, int], *, workers: int = 1) -> Images:
    """Images of fewer pixels that show the same field.

    The transform is cropped to the new size: what is finer than the new pixels is left out,
    everything else stays. The centre of pixel 0 stays the centre of pixel 0, as in RELION: a point
    at p lies at p / binning, with binning = old / new size.

    Parameters
    ----------
    images : (..., y, x) array
        Real images.
    size : (int, int)
        Width and height wanted [px], not more than there are.
    workers : int
        Threads.

    Returns
    -------
    (..., height, width) float32 array
        With the same mean.

    Raises
    ------
    ValueError
        If more pixels are asked for than there are.

    Examples
    --------
    >>> crop(np.full((8, 8), 3.0), (4, 4)).tolist()[0]
    [3.0, 3.0, 3.0, 3.0]
    """
    import scipy.fft

    full = np.asarray(images, dtype=np.float32)
    height, width = full.shape[-2:]
    new_width, new_height = size
    if new_width > width or new_height > height:
        raise ValueError(f"images of {width} x {height} px cannot be cropped to {size}")
    rows = scipy.fft.rfft(full, axis=-1, workers=workers)[..., : new_width // 2 + 1]
    plane = scipy.fft.fft(rows, axis=-2, workers=workers)
    upper, lower = (new_height + 1) // 2, new_height // 2
    kept = np.concatenate([plane[..., :upper, :], plane[..., height - lower :, :]], axis=-2)
    if new_width % 2 == 0 and new_width < width:
        kept[..., -1] = 0  # the Nyquist frequency alone says only half of a wave
    if new_height % 2 == 0 and new_height < height:
        kept[..., upper, :] = 0
    kept *= new_width * new_height / (width * height)
    small: Any = scipy.fft.irfft2(kept, s=(new_height, new_width), workers=workers)
    return np.asarray(small, dtype=np.float32)
