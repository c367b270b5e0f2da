"""How each image of a simulated series sees the specimen: geometry, motion, defocus, dose.

Two frames [Å]: that of the stage, with the tilt axis along y, and that of the slab, which is
inclined in it. A ray is named by where it crosses the slab's mid-plane.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

#: Strata of the slab that move each on their own.
STRATA = 5
#: Unit of x and y in the polynomials of the motion [Å].
REACH = 2500.0


@dataclass(frozen=True, kw_only=True)
class Course:
    """How a series is taken, and what goes wrong: what `random_views` draws from.

    Parameters
    ----------
    tilts : int
        Number of images.
    limit : float
        Highest tilt about the slab's normal [deg].
    dose : float
        In all [e/Å²].
    axis, axis_spread : float
        Mean direction of the tilt axis, counter-clockwise from image y, and its spread [deg].
    tracking : float
        Move of the field of view, rms over the series [px].
    turn, tilt, magnification : float
        Standard deviation of each image's own error [deg, deg, a fraction].
    defocus : (float, float)
        Range of the mean underfocus [Å].
    jitter : float
        Standard deviation of each image's defocus [Å].
    doming : (float, float)
        Range of the height of the dome before the first image [Å].
    restless : float
        Standard deviation of the motion of every image, smooth over the field [Å].
    shear : float
        How far strata have moved against each other in the end [Å].
    """

    tilts: int = 61
    limit: float = 60.0
    dose: float = 120.0
    axis: float = 0.0
    axis_spread: float = 3.0
    tracking: float = 4.0
    turn: float = 0.0
    tilt: float = 0.0
    magnification: float = 0.0
    defocus: tuple[float, float] = (20000.0, 50000.0)
    jitter: float = 0.0
    doming: tuple[float, float] = (0.0, 0.0)
    restless: float = 0.0
    shear: float = 0.0


@dataclass(frozen=True, kw_only=True, eq=False)
class Views:
    """The truth of each image.

    Parameters
    ----------
    nominal, pre_exposure, defocus : (n,) arrays
        [deg], [e/Å²], [Å].
    turns : (n, 3, 3) array
        From the slab's frame to the image's: x, y, depth.
    stage : (n, 3, 3) array
        From the stage's frame to the image's.
    scale : (n,) array
        Magnification.
    shifts : (n, 2) array
        Of the specimen's middle from the image's [px].
    motion : (n, strata, 3, 6) array
        Displacement of matter, x, y, z in the slab's frame [Å]: coefficients of
        1, x, y, x², xy, y² in units of `REACH`.
    axis : float
        Mean direction of the tilt axis [deg].
    """

    nominal: Array
    pre_exposure: Array
    defocus: Array
    turns: Array
    stage: Array
    scale: Array
    shifts: Array
    motion: Array
    axis: float

    def slopes(self) -> Array:
        """How far a ray moves in x and y with each Å of z in the slab: (n, 2)."""
        along = self.turns[:, 2, :]
        return np.asarray(along[:, :2] / along[:, 2:])

    def seen(self, at: Array, strata: npt.NDArray[np.int64], pixel_size: float) -> Array:
        """Where all images show points of the slab [Å], from their middle: (n, points, 2) [px]."""
        terms = polynomial(at[:, 0] / REACH, at[:, 1] / REACH)
        moved = at[None] + np.einsum("nspk,ks->nsp", self.motion[:, strata], terms)
        flat = np.einsum("nij,nsj->nsi", self.turns[:, :2], moved)
        return np.asarray(flat * self.scale[:, None, None] / pixel_size + self.shifts[:, None])


def polynomial(x: Array, y: Array) -> Array:
    """1, x, y, x², xy, y²: (6, points)."""
    return np.stack([np.ones_like(x), x, y, x * x, x * y, y * y])


def rotation(axis: str, degrees: npt.ArrayLike) -> Array:
    """Right-handed rotations about x, y or z: (..., 3, 3)."""
    angle = np.deg2rad(np.asarray(degrees, dtype=np.float64))
    i, j = {"x": (1, 2), "y": (2, 0), "z": (0, 1)}[axis]
    made = np.zeros((*angle.shape, 3, 3))
    made[..., range(3), range(3)] = 1.0
    made[..., i, i] = made[..., j, j] = np.cos(angle)
    made[..., j, i] = np.sin(angle)
    made[..., i, j] = -np.sin(angle)
    return made


def random_views(course: Course, inclination: tuple[float, float], seed: int) -> Views:
    """The views of a series, by chance; inclination as of `Twin`."""
    rng = np.random.default_rng([seed, 11])
    n = course.tilts
    step = 2 * course.limit / (n - 1)
    # The stage starts where the slab lies flat, as near as its steps allow.
    nominal = np.linspace(-course.limit, course.limit, n) - np.round(inclination[0] / step) * step
    rank = np.argsort(np.argsort(np.abs(np.arange(n) - n // 2) - 0.25 * (np.arange(n) > n // 2)))
    pre_exposure = rank * course.dose / n
    axis = course.axis + rng.normal(0, course.axis_spread)
    tilts = nominal + rng.normal(0, course.tilt, n) if course.tilt else nominal
    turn = axis + (rng.normal(0, course.turn, n) if course.turn else np.zeros(n))
    stage = rotation("z", turn) @ rotation("y", tilts)
    slab = rotation("y", inclination[0]) @ rotation("x", inclination[1])
    return Views(
        nominal=nominal,
        pre_exposure=pre_exposure,
        defocus=rng.uniform(*course.defocus) + rng.normal(0, 1, n) * course.jitter,
        turns=stage @ slab,
        stage=stage,
        scale=1 + rng.normal(0, 1, n) * course.magnification,
        shifts=_tracking(rng, rank, course.tracking),
        motion=_motion(course, rng, pre_exposure),
        axis=float(axis),
    )


def _tracking(rng: np.random.Generator, rank: npt.NDArray[np.int64], rms: float) -> Array:
    """A random walk in the order of acquisition, and what is new in each image."""
    steps = np.cumsum(rng.normal(size=(len(rank), 2)), axis=0)[rank]
    walk = steps - steps.mean(axis=0)
    walk /= np.sqrt((walk**2).sum(axis=1).mean())
    return np.asarray(rms * (0.85 * walk + 0.37 * rng.normal(size=walk.shape)))


def _motion(course: Course, rng: np.random.Generator, dose: Array) -> Array:
    """A dome that sinks, what moves from image to image, and strata that slide."""
    n = len(dose)
    motion = np.zeros((n, STRATA, 3, 6))
    height = rng.uniform(*course.doming) * np.exp(-dose / rng.uniform(8, 25))
    x, y = rng.normal(0, 0.2, 2)
    dome = np.array([1 - x * x - y * y, 2 * x, 2 * y, -1, 0, -1])
    motion[:, :, 2] += (height[:, None] * dome)[:, None]
    # Where a film sinks, its matter spreads.
    spread = 0.2 * rng.uniform(0.5, 1.5, 2)
    motion[:, :, 0, 1] -= spread[0] * height[:, None]
    motion[:, :, 1, 2] -= spread[1] * height[:, None]
    motion += course.restless * rng.normal(size=(n, 1, 3, 6)) * [[0.5], [0.5], [1.0]]
    slide = rng.normal(size=(STRATA, 2)) * np.linspace(-1, 1, STRATA)[:, None]
    slide -= slide.mean(axis=0)
    motion[:, :, :2, 0] += course.shear * (dose / course.dose)[:, None, None] * slide
    return np.asarray(motion - motion.mean(axis=0))
