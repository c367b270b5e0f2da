"""A specimen that domes in the beam, and settles: a smooth motion of all that is in it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tomoset.simulate.specimen import Specimen

Array = npt.NDArray[np.float64]

#: Dose after which 1 of e of the doming is left [e/Å²].
_DECAY = 10.0
#: Later images jitter by this part of the doming.
_JITTER = 0.1
#: Waves of the motion along the surface, besides the dome; the shortest in parts of the field.
_WAVES, _SHORTEST = 6, 0.8
#: How much of the motion is along the surface, as an rms over that along the normal.
_LEVEL = 0.7
#: Points whose motion is found at once.
_AT_ONCE = 100_000


@dataclass(frozen=True, kw_only=True, eq=False)
class Doming:
    """Displacements that depend on where something is in the plane of the slab, not on its depth.

    In image i all at x, y of the slab's plane, from the tilt axis, is off its place by

        sum_w heights[i, w] cos(waves[w, 0] x + waves[w, 1] y + waves[w, 2]) - mean[i]

    The place is where it comes to rest. `mean` is that of the field of view: the motion of the
    image as a whole belongs to the alignment, which the projections say.

    Parameters
    ----------
    waves : (w, 3) array
        Wave vectors along x and y [rad/px] and phases [rad].
    heights : (n, w, 3) array
        Along x, depth and y of the slab [Å].
    mean : (n, 3) array
        [Å]
    """

    waves: Array
    heights: Array
    mean: Array

    @classmethod
    def random(
        cls, field: tuple[int, int], pre_exposure: Array, *, rms: float, seed: int
    ) -> Doming:
        """A dome that is off by this rms length in the first image, then less; and jitter.

        Parameters
        ----------
        field : (int, int)
            Width and height of what the untilted image shows [px].
        pre_exposure : (n,) array
            [e/Å²]
        rms : float
            Over the field of view [Å].
        seed : int
            The same gives the same.
        """
        rng = np.random.default_rng(seed)
        extent = np.array(field, dtype=np.float64)
        # cos(pi x / w) cos(pi y / h) is 1 in the middle, 0 at the edges, and these two waves.
        dome = np.array([[1.0, 1.0], [1.0, -1.0]]) * np.pi / extent
        others = rng.normal(0, 1, (_WAVES, 2))
        others *= (rng.uniform(0.3, 1 / _SHORTEST, _WAVES) / np.linalg.norm(others, axis=1))[
            :, None
        ]
        vectors = np.concatenate([dome, others * 2 * np.pi / extent.max()])
        phases = np.concatenate([[0.0, 0.0], rng.uniform(0, 2 * np.pi, _WAVES)])
        waves = np.column_stack([vectors, phases])

        def motion(level: Array, up: float) -> Array:
            heights = np.zeros((_WAVES + 2, 3))
            heights[:2, 1], heights[2:, ::2] = up, level
            return heights

        def size(heights: Array) -> float:
            moved = _cosines(waves, grid) @ heights
            return float(np.sqrt(np.square(moved - moved.mean(axis=0)).sum(axis=1).mean()))

        steps = [((np.arange(25) + 0.5) / 25 - 0.5) * length for length in extent]
        grid = np.stack(np.meshgrid(*steps), axis=-1).reshape(-1, 2)
        up, level = motion(np.zeros((_WAVES, 2)), 1.0), motion(rng.normal(0, 1, (_WAVES, 2)), 0.0)
        whole = up / size(up) + _LEVEL * level / size(level)
        left = np.exp(-pre_exposure / _DECAY)
        heights = left[:, None, None] * whole * rms / size(whole)
        for i, gone in enumerate(1 - left):
            jitter = motion(rng.normal(0, 1, (_WAVES, 2)), float(rng.normal(0, 0.5)))
            heights[i] += gone * _JITTER * rms * jitter / size(jitter)
        mean = np.stack([(_cosines(waves, grid) @ h).mean(axis=0) for h in heights])
        return cls(waves=waves, heights=heights, mean=mean)

    def displacement(self, image: int, at: Array) -> Array:
        """Along x, depth and y of the slab [Å], at x and y in its plane [px]: (n, 2) to (n, 3)."""
        return np.asarray(_cosines(self.waves, at) @ self.heights[image] - self.mean[image])

    def displaced(self, specimen: Specimen, image: int, flat: Array) -> Array:
        """How far what is at x and y in the slab is off its place in an image: (n, 2) to (n, 3).

        `flat` are those of `Specimen.flat` [px]; displacements are along x, y and z of the
        tomogram [Å].
        """
        x, depth, y = specimen.orientation
        to_voxels = np.stack([x, y, -depth])
        heights, moved = self.heights[image] @ to_voxels.T, np.empty((len(flat), 3))
        for first in range(0, len(flat), _AT_ONCE):
            part = slice(first, first + _AT_ONCE)
            moved[part] = _cosines(self.waves, flat[part]) @ heights
        moved -= to_voxels @ self.mean[image]
        return moved

    def moved(self, specimen: Specimen, pixel_size: float, image: int, voxels: Array) -> Array:
        """Where what belongs at 0-based voxels is in an image: (n, 3)."""
        return voxels + self.displaced(specimen, image, specimen.flat(voxels)) / pixel_size


def _cosines(waves: Array, at: Array) -> Array:
    # Single precision is good for a part in a million of some tens of Å, and far faster.
    phase = (at @ waves[:, :2].T + waves[:, 2]).astype(np.float32)
    return np.asarray(np.cos(phase), dtype=np.float64)
