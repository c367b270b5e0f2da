"""Which peaks of many tilt images belong to one position in space.

Every peak of a few reference images is a ray; along it, each step is a position that all other
images should show. The median height of the peaks near where they should be speaks for a position:
a peak that is there by chance in some images does not change it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from tomoset import geometry
from tomoset.fiducials.finder.detect import Peaks

Array = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

#: Images whose peaks are taken for rays.
_REFERENCES = 7
#: References are not tilted further than this from the one that is tilted least [deg].
_WIDEST = 35.0
#: Side of the cells of a map, against the reach.
_CELL = 0.4
#: Depths of a position that are tried, about.
_DEPTHS = 30
#: A position must lie in at least so many images.
_FEWEST = 3


@dataclass(frozen=True, kw_only=True, eq=False)
class Space:
    """Where beads may be, and how images see it.

    Parameters
    ----------
    projections : (n, 4, 4) array
        From 0-based voxels to 0-based pixels.
    image_size : (int, int)
        Width and height [px].
    middle : (3,) array
        Of the tomogram [voxels].
    half_depth : float
        Beads lie no further above or below the middle [voxels].
    """

    projections: Array
    image_size: tuple[int, int]
    middle: Array
    half_depth: float

    def project(self, points: Array) -> tuple[Array, npt.NDArray[np.bool_]]:
        """Where points are in each image (n, m, 2) [px], and whether that is within it (n, m)."""
        # One product of matrices: most of the search is this.
        rows = self.projections[:, :2]
        flat = points @ rows[..., :3].reshape(-1, 3).T
        at = flat.reshape(len(points), len(rows), 2).swapaxes(0, 1) + rows[:, None, :, 3]
        inside = ((at >= 0) & (at <= np.array(self.image_size) - 1)).all(axis=-1)
        return at, np.asarray(inside, bool)


class PeakMaps:
    """The height of the highest peak near any point of each image, less if it is further away.

    Parameters
    ----------
    peaks : sequence of Peaks
        Of each image.
    size : (int, int)
        Width and height of the images [px].
    reach : float
        How far a peak may be from where it should be [px].
    """

    def __init__(self, peaks: Sequence[Peaks], size: tuple[int, int], reach: float) -> None:
        self.peaks, self.reach, self._size = peaks, reach, size
        self._cell = max(reach * _CELL, 0.5)

    @cached_property
    def _maps(self) -> npt.NDArray[np.float32]:
        """By image and cell; most of the time of a search, so not before they are asked for."""
        width, height = (int(np.ceil(n / self._cell)) + 1 for n in self._size)
        maps = np.zeros((len(self.peaks), height, width), np.float32)
        image = np.repeat(np.arange(len(self.peaks)), [len(found.points) for found in self.peaks])
        cells = np.concatenate([np.rint(found.points / self._cell) for found in self.peaks])
        heights = np.concatenate([found.heights for found in self.peaks])
        rise = np.argsort(heights, kind="stable")  # of two peaks for one cell, the last is taken
        image, cells, heights = image[rise], cells[rise].astype(np.int64), heights[rise]
        steps = int(np.ceil(self.reach / self._cell))
        for dy in range(-steps, steps + 1):
            for dx in range(-steps, steps + 1):
                far = (dx * dx + dy * dy) * (self._cell / self.reach) ** 2
                x, y = cells[:, 0] + dx, cells[:, 1] + dy
                ok = (x >= 0) & (x < width) & (y >= 0) & (y < height) & (far <= 1)
                where = (image[ok], y[ok], x[ok])
                maps[where] = np.maximum(maps[where], heights[ok] * (1 - far / 2))
        return maps

    def support(self, at: Array, inside: npt.NDArray[np.bool_]) -> Array:
        """The median over the images that show a position: (m,)."""
        x, y = (np.rint(np.where(inside, at[..., k], 0) / self._cell).astype(int) for k in (0, 1))
        heights = self._maps[np.arange(len(self._maps))[:, None], y, x]
        return ranked(heights, inside, 0.5)

    def probability(self, heights: Array) -> Array:
        """How likely an image is to have a peak that is as high within reach of any point."""
        ordered = np.sort(np.concatenate([found.heights for found in self.peaks]))
        higher = len(ordered) - np.searchsorted(ordered, heights)
        one = np.pi * self.reach**2 / np.prod(self._size) / len(self.peaks)
        return np.where(heights > 0, np.minimum(np.maximum(higher, 1) * one, 1.0), 1.0)

    @property
    def positions(self) -> float:
        """How many positions can be told apart, of any depth."""
        return float(np.prod(self._size) / self._cell**2 * _DEPTHS)


def ranked(values: npt.NDArray[np.floating], where: npt.NDArray[np.bool_], part: float) -> Array:
    """The value over axis 0 that a part of what counts is as high as: (m,); 0 if nothing counts."""
    ordered = np.sort(np.where(where, values, np.inf), axis=0)
    below = where.sum(axis=0) - needed(where, part)
    found = np.take_along_axis(ordered, below[None], axis=0)[0]
    return np.where(where.any(axis=0), found, 0.0)


def needed(where: npt.NDArray[np.bool_], part: float) -> Ints:
    """How many are that part of what counts, at least: (m,)."""
    return np.asarray(np.ceil(part * where.sum(axis=0)), np.int64)


def references(projections: Array) -> Ints:
    """Images whose peaks are taken for rays: those that are tilted least, spread out."""
    angles = geometry.tilt_angles(projections)
    order = np.argsort(np.abs(angles), kind="stable")
    near = order[np.abs(angles[order] - angles[order[0]]) <= _WIDEST]
    near = near[np.argsort(angles[near])]
    picked = np.linspace(0, len(near) - 1, min(_REFERENCES, len(near))).round().astype(int)
    return np.asarray(np.unique(np.append(near[picked], order[0])))


def rays(space: Space, image: int, points: Array, step: float) -> Array:
    """Positions along the rays of points of an image: (n_steps, m, 3) [voxels].

    The steps displace no point further than `step` px in any image.
    """
    linear, shift = space.projections[image, :2, :3], space.projections[image, :2, 3]
    beam = np.cross(linear[0], linear[1])
    beam /= np.linalg.norm(beam)
    start = (points - shift) @ np.linalg.pinv(linear).T
    # Along the beam to the height of the middle; a beam that lies flat cannot get there.
    upright = beam[2] if abs(beam[2]) > 0.2 else np.copysign(0.2, beam[2] or 1.0)
    start += ((space.middle[2] - start[:, 2]) / upright)[:, None] * beam
    fastest = np.linalg.norm(space.projections[:, :2, :3] @ beam, axis=1).max()
    half = space.half_depth / abs(upright)
    n = 2 * int(np.ceil(half * max(fastest, 1e-6) / step)) + 1
    return np.asarray(start + np.linspace(-half, half, n)[:, None, None] * beam)


def candidates(space: Space, of: Sequence[Peaks], maps: PeakMaps) -> Array:
    """Positions at which many images may show a bead, the best first.

    Parameters
    ----------
    space : Space
        Where to search.
    of : sequence of Peaks
        Of each image: what positions are made of.
    maps : PeakMaps
        What speaks for them.

    Returns
    -------
    (m, 3) array
        [voxels]. A bead may be there several times, once of each reference.
    """
    found, supports = [np.empty((0, 3))], [np.empty(0)]
    for image in references(space.projections):
        if not len(of[image].points):
            continue
        positions = rays(space, int(image), of[image].points, maps.reach / 2)
        at, inside = space.project(positions.reshape(-1, 3))
        support = maps.support(at, inside)
        support[inside.sum(axis=0) < _FEWEST] = 0
        support = support.reshape(positions.shape[:2])
        best = support.argmax(axis=0)
        each = np.arange(positions.shape[1])
        found.append(positions[best, each])
        supports.append(support[best, each])
    positions, support = np.concatenate(found), np.concatenate(supports)
    order = np.argsort(-support, kind="stable")
    return positions[order[support[order] > 0]]
