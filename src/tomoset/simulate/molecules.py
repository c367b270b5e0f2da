"""Molecules as clouds of weighted points: one that is made here, or one from a density map."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tomoset.errors import ModelError

Array = npt.NDArray[np.float64]

#: Balls that the molecule which is made here fills: x, y, z and radius [Å]. A right-handed turn
#: of a screw that grows thinner, with a spur: nothing brings it, or its mirror image, onto itself.
_DOMAINS = (
    (40.0, 0.0, -56.0, 34.0),
    (10.0, 39.0, -40.0, 30.0),
    (-35.0, 20.0, -22.0, 27.0),
    (-28.0, -28.0, -2.0, 25.0),
    (20.0, -35.0, 20.0, 22.0),
    (39.0, 10.0, 40.0, 20.0),
    (8.0, 38.0, 56.0, 18.0),
    (76.0, -18.0, -40.0, 22.0),
)
#: Its points, how near they come to each other [Å], and the volume of protein that each
#: stands for [Å³]: about 500 kDa in all.
_POINTS, _APART, _VOLUME, _WIDTH, _SEED = 400, 9.0, 1500.0, 4.0, 40


@dataclass(frozen=True, kw_only=True, eq=False)
class Molecule:
    """A cloud of Gaussians of one width.

    Parameters
    ----------
    points : (n, 3) array
        x, y, z from the molecule's origin [Å].
    weights : (n,) array
        The volume of protein that each point stands for [Å³].
    width : float
        Standard deviation of the Gaussians [Å].
    """

    points: Array
    weights: Array
    width: float

    @classmethod
    def made(cls) -> Molecule:
        """An asymmetric molecule, about 155 Å across, always the same.

        Examples
        --------
        >>> molecule = Molecule.made()
        >>> len(molecule.points), round(molecule.radius)
        (400, 107)
        """
        domains = np.array(_DOMAINS)
        positions = np.random.default_rng(_SEED).uniform(-110, 110, (50000, 1, 3))
        inside = (np.linalg.norm(positions - domains[:, :3], axis=-1) < domains[:, 3]).any(axis=1)
        points = np.empty((0, 3))
        for new in positions[inside, 0]:
            if len(points) < _POINTS and (np.linalg.norm(points - new, axis=1) > _APART).all():
                points = np.vstack([points, new])
        centred = np.round(points - points.mean(axis=0), 2)
        return cls(points=centred, weights=np.full(_POINTS, _VOLUME), width=_WIDTH)

    @classmethod
    def from_map(cls, density: npt.ArrayLike, voxel_size: float, *, pixel_size: float) -> Molecule:
        """The voxels of a map that stand out: over its mean by twice the standard deviation.

        Parameters
        ----------
        density : (z, y, x) array
            Positive where it is dense. Its origin is voxel size // 2, as RELION has it.
        voxel_size : float
            [Å].
        pixel_size : float
            Of the images [Å]. Voxels that are much finer are averaged first.

        Raises
        ------
        ModelError
            If nothing stands out.
        """
        volume = np.asarray(density, dtype=np.float64)
        if volume.ndim != 3:
            raise ModelError(f"a density map has three axes, not {volume.ndim}")
        middle = np.array(volume.shape[::-1]) // 2
        dense = volume > volume.mean() + 2 * volume.std()
        if not dense.any():
            raise ModelError("nothing stands out in the density map; give one of a molecule")
        at = np.argwhere(dense)[:, ::-1]
        weights = volume[dense] / volume[dense].mean() * voxel_size**3
        points, step = (at - middle) * voxel_size, voxel_size
        bins = int(0.8 * pixel_size / voxel_size)
        if bins > 1:
            step = bins * voxel_size
            points, weights = _merged(points, weights, step)
        # Wide enough to hide the grid that the points lie on.
        return cls(points=points, weights=weights, width=0.6 * step)

    @property
    def radius(self) -> float:
        """Of the ball about the origin that holds it [Å]."""
        return float(np.linalg.norm(self.points, axis=1).max() + 1.5 * self.width)


def _merged(points: Array, weights: Array, step: float) -> tuple[Array, Array]:
    """One point, at the centre of mass, for all in a cube of this edge."""
    _, cube = np.unique(np.floor(points / step).astype(np.int64), axis=0, return_inverse=True)
    cube = cube.ravel()
    mass = np.bincount(cube, weights).astype(np.float64)
    sums = [np.bincount(cube, weights * axis) for axis in points.T]
    return np.stack(sums, axis=-1) / mass[:, None], mass


@dataclass(frozen=True, kw_only=True, eq=False)
class Molecules:
    """Copies of one molecule in a tomogram.

    Parameters
    ----------
    molecule : Molecule
        What there are copies of.
    positions : (n, 3) array
        x, y, z of each origin in 0-based voxels of the tomogram.
    angles : (n, 3) array
        rot, tilt, psi [deg]: the matrix of these Euler angles (ZYZ, docs/relion.md, 'Particles')
        turns the molecule's own frame into the tomogram's.
    """

    molecule: Molecule
    positions: Array
    angles: Array

    def points(self, pixel_size: float, displacement: Array | None = None) -> Array:
        """The points of all copies, in 0-based voxels of the tomogram: (n * n_points, 3).

        `displacement`, of shape (n, 3), is added to the positions [Å].
        """
        positions = (
            self.positions if displacement is None else self.positions + displacement / pixel_size
        )
        rotated = np.einsum("nij,pj->npi", rotations(self.angles), self.molecule.points)
        return np.asarray((positions[:, None] + rotated / pixel_size).reshape(-1, 3))

    @property
    def weights(self) -> Array:
        """Of all points [Å³]: (n * n_points,)."""
        return np.tile(self.molecule.weights, len(self.positions))


def random_angles(rng: np.random.Generator, number: int) -> Array:
    """Euler angles of rotations that are equally likely all over, to a thousandth: (n, 3)."""
    angles = rng.uniform(-180, 180, (number, 2))
    tilts = np.rad2deg(np.arccos(rng.uniform(-1, 1, number)))
    return np.round(np.column_stack([angles[:, 0], tilts, angles[:, 1]]), 3)


def rotations(angles: Array) -> Array:
    """The matrices of Euler angles rot, tilt, psi [deg], written out one rotation at a time.

    docs/relion.md, 'Particles': about z by -rot, about y by -tilt, about z by -psi, each rotation
    right-handed. (n, 3) angles give (n, 3, 3) matrices.

    Examples
    --------
    >>> (rotations(np.array([[90.0, 0.0, 0.0]]))[0] @ [1, 2, 3]).round(9).tolist()
    [2.0, -1.0, 3.0]
    """
    made = np.empty((len(angles), 3, 3))
    for i, (rot, tilt, psi) in enumerate(np.deg2rad(angles)):
        first = np.array([[np.cos(rot), np.sin(rot), 0], [-np.sin(rot), np.cos(rot), 0], [0, 0, 1]])
        second = np.array(
            [[np.cos(tilt), 0, -np.sin(tilt)], [0, 1, 0], [np.sin(tilt), 0, np.cos(tilt)]]
        )
        third = np.array([[np.cos(psi), np.sin(psi), 0], [-np.sin(psi), np.cos(psi), 0], [0, 0, 1]])
        made[i] = third @ second @ first
    return made
