"""How far the tiles of an image can be trusted."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

#: Tiles that have less noise than this part of that of the brightest tenth see no electrons: they
#: lie behind a grid bar, or outside of the field.
DARK = 1 / 8


def is_lit(power: Array) -> npt.NDArray[np.bool_]:
    """Which parts of an image see electrons, most of whose power is noise.

    Parameters
    ----------
    power : array
        Of each part.
    """
    return np.asarray(power >= DARK * np.percentile(power, 90))


def trust(excess: Array, background: Array) -> Array:
    """Weights of tiles: 1, or less where values vary more than noise should, 0 in the dark.

    Parameters
    ----------
    excess : (n_tiles,) array
        Variance of single values against what noise would have.
    background : (n_tiles, n_bands) array
        Power of each band, which is noise in the finer half of them.
    """
    lit = is_lit(background[:, background.shape[1] // 2 :].mean(axis=1))
    return np.where(lit, np.minimum(np.median(excess[lit]) / np.maximum(excess, 1e-12), 1.0), 0.0)
