"""From displacements seen in windows to cameras: all of them by one system of equations."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tomoset.align.images.plane import Plane
from tomoset.align.images.slab import Terms
from tomoset.align.parameters import MAGNIFICATION, ROTATION, SHIFT_X, SHIFT_Y, TILT, derivatives

Array = npt.NDArray[np.float64]

#: What is free in every image; the last three scatter about what they were.
FREE = (SHIFT_X, SHIFT_Y, ROTATION, TILT, MAGNIFICATION)
SCATTERING = FREE[2:]
#: How much they do before that is learned, and at most [rad, rad, a fraction].
SCATTER, MOST = np.array([1e-3, 1e-3, 5e-4]), np.array([3e-3, 1e-3, 1e-3])
_LEAST = 2e-5
#: A rotation of the axis, and depths of windows, are held only so weakly [rad], [slabs].
_AXIS, _DEPTH = 0.2, 0.25


@dataclass(frozen=True, kw_only=True, eq=False)
class Numbers:
    """What is free, and how displacements in windows follow it.

    For each image its shifts, and how far its rotation, tilt and magnification have changed; a
    rotation common to all images; the depth of the matter in each window.

    Parameters
    ----------
    rows : (W, n, 2, p) array
        Displacement of the content of each window in each image by each number [px].
    before : (p,) array
        How far each is from what is expected already.
    precision : (p,) array
        Of what is expected.
    """

    rows: Array
    before: Array
    precision: Array

    @property
    def n(self) -> int:
        """How many images."""
        return int(self.rows.shape[1])

    @classmethod
    def of(
        cls,
        cameras: Array,
        expected: Array,
        projections: Array,
        plane: Plane,
        middles: Array,
    ) -> Numbers:
        """About cameras as they are, without an expectation of how much they scatter.

        Parameters
        ----------
        cameras, expected : (n, 9) arrays
            `tomoset.align.parameters.COLUMNS`, about the centre of the plane; and what they
            scatter about, but for a rotation of all.
        projections : (n, 4, 4) array
            The same cameras.
        plane : Plane
        middles : (W, 2) array
            Of the windows, on the plane [px].
        """
        n, number = len(cameras), len(middles)
        linear, _ = plane.maps(projections)
        by_camera = derivatives(cameras, plane.points(middles) - plane.centre)[..., FREE]
        # Where content lies is where a camera must look: back through the map of the plane.
        by_camera = np.einsum("nab,nwbc->wnac", np.linalg.inv(linear), by_camera)
        count = len(FREE)
        rows = np.zeros((number, n, 2, count * n + 1 + number))
        for i in range(n):
            rows[:, i, :, count * i : count * (i + 1)] = by_camera[:, i]
        rows[..., count * n] = by_camera[..., FREE.index(ROTATION)]
        for w in range(number):
            rows[w, :, :, count * n + 1 + w] = plane.parallax(projections)
        before = np.zeros(rows.shape[-1])
        for place, column in enumerate(FREE):
            if column in SCATTERING:
                off = cameras[:, column] - expected[:, column]
                off = off - np.median(off) if column == ROTATION else off
                before[place : count * n : count] = off
        return cls(rows=rows, before=before, precision=np.zeros(len(before)))

    def expecting(self, scatter: Array, thickness: float) -> Numbers:
        """The same, if cameras scatter so much, (3,), in a slab so thick [px]."""
        precision = np.zeros(len(self.before))
        for place, spread in zip(range(2, len(FREE)), scatter, strict=True):
            precision[self._of(place)] = spread**-2.0
        precision[len(FREE) * self.n] = _AXIS**-2
        precision[len(FREE) * self.n + 1 :] = (_DEPTH * thickness) ** -2
        return Numbers(rows=self.rows, before=self.before, precision=precision)

    def _of(self, place: int) -> slice:
        return slice(place, len(FREE) * self.n, len(FREE))

    def information(self, terms: Terms) -> Array:
        """Of the numbers, by likelihood and expectation: (p, p)."""
        flat = self.rows.reshape(len(self.rows), 2 * self.n, -1)
        information = np.diag(self.precision)
        for rows, block in zip(flat, terms.information, strict=True):
            information += rows.T @ (block.reshape(2 * self.n, 2 * self.n) @ rows)
        return information

    def value(self, terms: Terms, numbers: Array) -> float:
        """What is to be maximal: the log of the posterior probability."""
        return terms.log_likelihood - 0.5 * float(self.precision @ (self.before + numbers) ** 2)

    def slope(self, terms: Terms, numbers: Array) -> Array:
        """Its derivatives: (p,)."""
        by_window = np.einsum("wnap,wna->p", self.rows, terms.gradient, optimize=True)
        return np.asarray(by_window - self.precision * (self.before + numbers))

    def displacements(self, numbers: Array) -> Array:
        """Of the content of each window in each image: (W, n, 2) [px]."""
        return np.asarray(self.rows @ numbers)

    def by_cameras(self, numbers: Array) -> Array:
        """The part of them that is not of the depth of windows: (W, n, 2) [px]."""
        cameras = len(FREE) * self.n + 1
        return np.asarray(self.rows[..., :cameras] @ numbers[:cameras])

    def without_common_shift(self, numbers: Array) -> Array:
        """The same, but for a shift of all content alike, which no image sees."""
        shifts = self.rows[0, range(self.n), :, :][..., : len(FREE) * self.n]
        by_shift = np.stack(
            [shifts[i][:, len(FREE) * i : len(FREE) * i + 2] for i in range(self.n)]
        )
        at = np.array([numbers[len(FREE) * i : len(FREE) * i + 2] for i in range(self.n)])
        common = np.einsum("nab,nb->na", by_shift, at).mean(axis=0)
        kept = numbers.copy()
        for i in range(self.n):
            kept[len(FREE) * i : len(FREE) * i + 2] -= np.linalg.solve(by_shift[i], common)
        return kept

    def cameras(self, numbers: Array) -> Array:
        """Changes of the cameras: (n, 9)."""
        changes = np.zeros((self.n, 9))
        changes[:, FREE] = numbers[: len(FREE) * self.n].reshape(self.n, len(FREE))
        changes[:, ROTATION] += numbers[len(FREE) * self.n]
        return changes

    def depths(self, numbers: Array) -> Array:
        """Of the matter in each window: (W,) [px]."""
        return numbers[len(FREE) * self.n + 1 :]

    def scatter(self, numbers: Array, covariance: Array) -> Array:
        """How much rotations, tilts and magnifications scatter: (3,), the expected squares."""
        found = []
        for place in range(2, len(FREE)):
            off = (self.before + numbers)[self._of(place)]
            found.append(np.sqrt(np.mean(off**2 + covariance.diagonal()[self._of(place)])))
        return np.asarray(np.clip(found, _LEAST, MOST))
