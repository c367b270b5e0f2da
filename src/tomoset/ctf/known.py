"""The parameters of a series, and what is known of them before: where tiles lie, and priors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tomoset.ctf.absorbed import Absorbed
from tomoset.ctf.prior import Course
from tomoset.ctf.terms import OWN
from tomoset.hand.field import Slab
from tomoset.model import Tomogram

Array = npt.NDArray[np.float64]

#: Standard deviations of astigmatism [Å]: in common, its course, and single images about it.
ASTIGMATISM = (1500.0, 60.0, 15.0)
#: The same of the phase shift [rad].
_PHASE = (1.5, 0.15, 0.02)
#: Without a phase plate, the phase is that of the amplitude contrast that the set has, about [rad]:
#: with more freedom, what the model lacks in coarse rings shifts all defoci.
_CONTRAST = 0.01
#: Over so many degrees of tilt these change.
_SLOW = 40.0
#: What is not free has this deviation.
_FIXED = 1e-4
#: How inclined specimens are, about the axis and across [deg].
_INCLINED = (10.0, 5.0)
#: An image that does not follow the course of the others may be anywhere [Å].
_ALONE = 5000.0


@dataclass(frozen=True, kw_only=True, eq=False)
class Geometry:
    """Where tiles lie.

    Parameters
    ----------
    tomogram : Tomogram
        With projections.
    middles : (n_tiles, 2) array
        Of the tiles [px].
    hand : float
        Sign of defocus against depth.
    axis_error : float
        How well the direction of the tilt axis is known [deg].
    """

    tomogram: Tomogram
    middles: Array
    hand: float
    axis_error: float

    def heights(self, pose: Array) -> Array:
        """Defocus of tiles over that of the image: (n_tilts, n_tiles) [Å].

        Parameters
        ----------
        pose : (3,) array
            How the specimen is inclined about the tilt axis and across it, and by how much the
            axis is another [deg].
        """
        middle = (np.array(self.tomogram.need_image_size()) - 1) / 2
        c, s = np.cos(np.deg2rad(pose[2])), np.sin(np.deg2rad(pose[2]))
        points = (self.middles - middle) @ np.array([[c, -s], [s, c]]) + middle
        scale = self.hand * self.tomogram.need_pixel_size() * self.tomogram.defocus_slope
        slab = Slab.of(self.tomogram)
        return np.asarray(scale * slab.depths(self.tomogram, points, pose[None, :2])[:, 0])

    def slopes(self, pose: Array) -> Array:
        """Change of `heights` with the pose: (n_tilts, n_tiles, 3) [Å/deg]."""
        step = 0.25
        sides = [
            (self.heights(pose + step * unit) - self.heights(pose - step * unit)) / (2 * step)
            for unit in np.eye(3)
        ]
        return np.stack(sides, axis=-1)


@dataclass(frozen=True, kw_only=True, eq=False)
class Parameters:
    """Of a series.

    Parameters
    ----------
    own : (n_tilts, 4) array
        Mean defocus [Å], astigmatism along 0 and 45 degrees [Å], phase shift [rad].
    pose : (3,) array
        As `Geometry.heights` takes it.
    """

    own: Array
    pose: Array

    def moved(self, by: Array) -> Parameters:
        """By a step of all, (4 n_tilts + 3,)."""
        n = self.own.size
        return Parameters(own=self.own + by[:n].reshape(self.own.shape), pose=self.pose + by[n:])


@dataclass(frozen=True, kw_only=True, eq=False)
class Priors:
    """What is known before.

    Parameters
    ----------
    precision : (4 n_tilts + 3,) * 2 array
        Of all parameters.
    mean : (4 n_tilts + 3,) array
        The same.
    """

    precision: Array
    mean: Array

    def value(self, at: Array) -> float:
        """Logarithm of how likely parameters are, but for a constant."""
        off = at - self.mean
        return float(-0.5 * off @ self.precision @ off)


@dataclass(frozen=True, kw_only=True, eq=False)
class Known:
    """What decides the priors.

    Parameters
    ----------
    angles : (n_tilts,) array
        Tilts [deg].
    course : Course
        Of defocus.
    alone : (n_tilts,) bool array
        Images that do not follow it.
    astigmatism, phase_plate : bool
        Whether these are free.
    axis_error : float
        [deg].
    absorbed : Absorbed or None
        What the levels of images say of the thickness.
    """

    angles: Array
    course: Course
    alone: npt.NDArray[np.bool_]
    astigmatism: bool
    phase_plate: bool
    axis_error: float
    absorbed: Absorbed | None = None

    def priors(self, start: Parameters) -> Priors:
        """About some parameters."""
        n = len(self.angles)
        defocus = self.course.covariance(self.angles) + 1e10 + np.diag(_ALONE**2 * self.alone)
        blocks = [
            defocus,
            *[self._slow(ASTIGMATISM if self.astigmatism else (0.0, 0.0, _FIXED))] * 2,
            self._slow(_PHASE if self.phase_plate else (_CONTRAST, 0.0, _FIXED)),
        ]
        precision = np.zeros((OWN * n + 3,) * 2)
        for k, block in enumerate(blocks):
            precision[k : OWN * n : OWN, k : OWN * n : OWN] = np.linalg.inv(block)
        scale = np.array([*_INCLINED, self.axis_error])
        precision[OWN * n :, OWN * n :] = np.diag(scale**-2)
        own = np.zeros_like(start.own)
        own[:, 0], own[:, 3] = np.median(start.own[:, 0]), np.median(start.own[:, 3])
        return Priors(precision=precision, mean=np.concatenate([own.ravel(), np.zeros(3)]))

    def of_thickness(self, thickness: float) -> float:
        """Logarithm of how likely a thickness is, by the levels of images [Å]."""
        if self.absorbed is None:
            return 0.0
        off = (thickness - self.absorbed.thickness) / self.absorbed.deviation
        return -0.5 * off**2

    def _slow(self, deviations: tuple[float, float, float]) -> Array:
        """Covariance of what is common, changes slowly, and scatters by so much."""
        common, course, single = deviations
        apart = np.abs(self.angles[:, None] - self.angles)
        slow = course**2 * np.exp(-apart / _SLOW)
        return np.asarray(common**2 + slow + single**2 * np.eye(len(self.angles)))
