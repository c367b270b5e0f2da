"""Peaks that belong together: one of each image at most, of one position in space."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tomoset import geometry
from tomoset.fiducials.finder.vote import PeakMaps, Space, needed, ranked

Array = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


#: A bead is as sure as the images say, of which this part agrees: the surest answer is taken.
_PARTS = (0.5, 0.8, 1.0)


@dataclass(frozen=True, kw_only=True, eq=False)
class Tracks:
    """Positions, and the peaks that show them.

    Parameters
    ----------
    positions : (m, 3) array
        [voxels].
    points : (n_tilts, m, 2) array
        Of the peak that shows it in each image, 0-based pixels; NaN where none does.
    chance : (m,) array
        How many positions that many images agree on as well are to be expected by chance alone.
    """

    positions: Array
    points: Array
    chance: Array

    def __len__(self) -> int:
        return len(self.positions)

    def take(self, rows: npt.NDArray[np.bool_]) -> Tracks:
        """Only these: a mask."""
        return Tracks(
            positions=self.positions[rows],
            points=self.points[:, rows],
            chance=self.chance[rows],
        )


def follow(space: Space, positions: Array, maps: PeakMaps) -> Tracks:
    """The peaks that show positions, each peak given to one only.

    Parameters
    ----------
    space : Space
        How images see positions.
    positions : (m, 3) array
        The best first; those whose peaks are taken already are dropped.
    maps : PeakMaps
        Of all peaks.
    """
    at, inside = space.project(positions)
    index = _nearest(at, inside, maps)
    kept = _first_come(index, inside)
    index = index[:, kept]
    points, heights = np.full((*index.shape, 2), np.nan), np.zeros(index.shape)
    for i, found in enumerate(maps.peaks):
        seen = index[i] >= 0
        points[i, seen] = found.points[index[i, seen]]
        heights[i, seen] = found.heights[index[i, seen]]
    chance = _chance(heights, inside[:, kept], maps)
    return Tracks(positions=_placed(space, positions[kept], points), points=points, chance=chance)


def _placed(space: Space, positions: Array, points: Array) -> Array:
    """Positions by the peaks; where these do not fix one, it stays."""
    seen = geometry.triangulate(space.projections, points)
    return np.where(np.isfinite(seen), seen, positions)


def _nearest(at: Array, inside: npt.NDArray[np.bool_], maps: PeakMaps) -> Ints:
    """The peak nearest to where each bead should be, high ones first: (n_tilts, m), -1: none."""
    index = np.full(inside.shape, -1)
    for i, found in enumerate(maps.peaks):
        if not len(found.points):
            continue
        far = ((at[i][:, None] - found.points) ** 2).sum(axis=-1) / maps.reach**2
        worth = np.where(far <= 1, found.heights * (1 - far / 2), 0.0)
        best = worth.argmax(axis=1)
        seen = inside[i] & (worth[np.arange(len(best)), best] > 0)
        index[i] = np.where(seen, best, -1)
    return index


def _first_come(index: Ints, inside: npt.NDArray[np.bool_]) -> Ints:
    """Beads that have most of their peaks for themselves; the others' are taken away from them."""
    taken = np.zeros((len(index), int(index.max(initial=-1)) + 2), bool)
    images = np.arange(len(index))
    kept = []
    for j in range(index.shape[1]):
        own = index[:, j].copy()
        free = (own >= 0) & ~taken[images, own]
        if free.sum() * 2 <= max(inside[:, j].sum(), 2):
            continue
        index[:, j] = np.where(free, own, -1)
        taken[images[free], own[free]] = True
        kept.append(j)
    return np.array(kept, dtype=np.int64)


def _chance(heights: Array, shown: npt.NDArray[np.bool_], maps: PeakMaps) -> Array:
    """Expected number of positions so well shown, if the peaks of images had nothing in common.

    Each image has a peak as high near any position with a probability that follows from their
    number; so many images have one by the binomial distribution, but for the one whose peak the
    position was made of; and as often as there are positions was it tried.
    """
    import scipy.stats

    number, tried = shown.sum(axis=0), []
    for part in _PARTS:
        probability = maps.probability(ranked(heights, shown, part))
        others = np.maximum(needed(shown, part) - 1, 0)
        tried.append(scipy.stats.binom.sf(others - 1, np.maximum(number - 1, 0), probability))
    return np.asarray(np.min(tried, axis=0) * len(_PARTS) * maps.positions)
