"""Modes of motion: displacements of particles by few coefficients, and information on these."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Index = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Modes:
    """Modes of motion, each with a standard deviation of 1 along every axis.

    Parameters
    ----------
    space : (n_particles, s) array
        Modes over particles [voxels].
    times : (n_tilts, k) array
        Modes over images; 0 in the image of the lowest dose.
    priors : (k,) int array
        Of which motion prior each of these is.
    which, when : (m,) int arrays
        The mode in space and the one in time that each mode is made of.
    means : (k, 3, 3) array
        Average position, over all images, of a particle that is displaced along each axis by a
        mode in time.
    """

    space: Array
    times: Array
    priors: Index
    which: Index
    when: Index
    means: Array

    @property
    def time(self) -> Array:
        """All modes in time: (n_tilts, m)."""
        return np.asarray(self.times[:, self.when])

    @property
    def count(self) -> int:
        return len(self.which)

    def displacements(self, coefficients: Array) -> Array:
        """Of coefficients (m, 3): (n_tilts, n_particles, 3) [voxels]."""
        return np.asarray(
            np.einsum(
                "tm,pm,mi->tpi", self.time, self.space[:, self.which], coefficients, optimize=True
            )
        )

    def of(self, which: Index) -> Modes:
        """Those of some particles only."""
        return replace(self, space=self.space[which])

    def for_modes(self, coefficients: Array, other: Modes) -> Array:
        """Coefficients (m, 3), for other modes of the same set; 0 for those that are new."""
        known = dict(zip(self._names(), coefficients, strict=True))
        nothing = np.zeros(3)
        return np.array([known.get(k, nothing) for k in other._names()])

    def _names(self) -> list[tuple[int, int]]:
        return list(zip(self.which.tolist(), self.when.tolist(), strict=True))

    def averages(self, coefficients: Array) -> Array:
        """Average positions of particles over all images, from those in the first.

        Parameters
        ----------
        coefficients : (m, 3) array

        Returns
        -------
        (n_particles, 3) float64 array
            [voxels]
        """
        along = np.einsum("mij,mj->mi", self.means[self.when], coefficients)
        return np.asarray(self.space[:, self.which] @ along)

    def averages_slope(self, by_position: Array) -> Array:
        """Slopes by coefficients, (m, 3), of those by averages (n_particles, 3)."""
        reached = self.space[:, self.which].T @ by_position
        return np.asarray(np.einsum("mij,mi->mj", self.means[self.when], reached))

    def averages_normal(self, stiff: Array) -> Array:
        """Information on coefficients, (m, 3, m, 3), of that on averages along every axis (n,)."""
        both = (self.space * stiff[:, None]).T @ self.space
        pairs = np.einsum(
            "aki,bkj->aibj", self.means[self.when], self.means[self.when], optimize=True
        )
        return np.asarray(pairs * both[np.ix_(self.which, self.which)][:, None, :, None])

    def averages_reach(self) -> Array:
        """Averages by coefficients: (m, 3, n_particles, 3)."""
        return np.asarray(
            self.space.T[self.which][:, None, :, None]
            * np.swapaxes(self.means[self.when], 1, 2)[:, :, None]
        )

    def slope(self, by_position: Array) -> Array:
        """Slopes by coefficients, (m, 3), of those by positions (n_tilts, n_particles, 3)."""
        reached = np.einsum("ps,tpi->sti", self.space, by_position, optimize=True)[self.which]
        return np.asarray(np.einsum("tm,mti->mi", self.time, reached, optimize=True))

    def normal(self, information: Array) -> Array:
        """Information on coefficients, (m, 3, m, 3), of that on positions.

        Parameters
        ----------
        information : (n_tilts, n_particles, 3, 3) array
        """
        from tomoset.align.particles import _kernels

        count = self.space.shape[1]
        tilts, particles = information.shape[:2]
        # Six of the nine: they are symmetric.
        row, column = np.triu_indices(3)
        flat = information[:, :, row, column].transpose(1, 2, 0).reshape(particles, 6 * tilts)
        by_pair = np.empty((count, count, 6, tilts))
        for i in range(count):
            products = self.space[:, i:] * self.space[:, i, None]
            by_pair[i, i:] = (products.T @ flat).reshape(-1, 6, tilts)
            by_pair[i:, i] = by_pair[i, i:]
        out = np.zeros((self.count, 3, self.count, 3))
        _kernels.mix(by_pair, self.which, np.ascontiguousarray(self.time.T), out)
        return out

    def cross(self, information: Array) -> Array:
        """Information that coefficients share with positions: (m, 3, n_particles, 3)."""
        tilts, particles = information.shape[:2]
        over_time = (self.time.T @ information.reshape(tilts, -1)).reshape(-1, particles, 3, 3)
        shared = over_time * self.space.T[self.which][..., None, None]
        return np.asarray(shared.transpose(0, 2, 1, 3))

    def with_others(self, tilt: int, shared: Array) -> Array:
        """And with other parameters, of what these share with positions in one tilt image.

        Parameters
        ----------
        tilt : int
        shared : (n_particles, f, 3) array

        Returns
        -------
        (f, m, 3) float64 array
        """
        reached = np.einsum("pfi,ps->fsi", shared, self.space, optimize=True)
        return np.asarray(reached[:, self.which] * self.time[tilt][:, None])
