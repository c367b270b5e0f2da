"""Tilt series of gold beads in ice, with known truth: arrays and numbers, no files.

The geometry here is written out point by point and owes nothing to `tomoset.geometry`, so
that the one is a test of the other. Coordinates of the specimen are x, depth and y from the
tilt axis, in pixels, as IMOD has them; those of the tomogram are 0-based voxels in the frame
that RELION gives to a volume turned about x, where z runs against depth.

Images follow the law of Beer and Lambert: electrons are lost on their way through the ice,
which is longer in a tilted slab, and through the gold. Only shot noise is added.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tomoset.errors import ModelError

Array = npt.NDArray[np.float64]

#: Way after which 1 of e electrons is left [Å].
ICE_PATH, GOLD_PATH = 3000.0, 130.0
#: Counts of a pixel that nothing shadows.
FULL_COUNTS = 2000.0
#: What passes where a grid bar is in the way.
GRID_BAR = 0.03
#: Standard deviation of the soft edge that pixels and optics give to a bead [px].
EDGE_PX = 0.6

#: Waves of density that make the ice look like ice: number, wavelengths [Å], amplitude.
_WAVES, _WAVELENGTHS, _AMPLITUDE = 300, (100.0, 1000.0), 0.02


@dataclass(frozen=True, kw_only=True, eq=False)
class Specimen:
    """A slab of uneven ice with gold beads.

    Parameters
    ----------
    size : (int, int, int)
        x, y, z of the tomogram, whose voxels are as large as the pixels of the images.
    beads : (n, 3) array
        Centres: x, y, z in 0-based voxels of the tomogram.
    bead_radius : float
        [Å].
    slab : float
        Thickness of the ice, whose middle is at the depth of the tilt axis [Å].
    waves : (n, 5) array
        The ice's density is 1 plus a sum of cosines: wave vector along x, depth and y
        [rad/px], amplitude, phase [rad].
    """

    size: tuple[int, int, int]
    beads: Array
    bead_radius: float = 50.0
    slab: float
    waves: Array

    @classmethod
    def random(
        cls, size: tuple[int, int, int], pixel_size: float, *, n_beads: int, seed: int
    ) -> Specimen:
        """Beads strewn over the slab, none touching another.

        Raises
        ------
        ModelError
            If the tomogram has no room for so many.
        """
        rng = np.random.default_rng(seed)
        slab = 0.7 * size[2] * pixel_size
        radius = cls.bead_radius
        half = np.array([size[0] / 2, 0.0, size[1] / 2]) - 1.2 * radius / pixel_size
        half[1] = slab / pixel_size / 2
        middle = _strew(rng, n_beads, half, 2.3 * radius / pixel_size)
        # Three decimals, so that the positions can be told to others in short.
        beads = np.round(_from_axis(middle, size), 3)
        waves = _random_waves(rng, pixel_size)
        return cls(size=size, beads=beads, slab=slab, waves=waves)

    def from_axis(self, voxels: npt.ArrayLike) -> Array:
        """x, depth and y from the tilt axis [px] of 0-based voxels: (n, 3).

        Depth is t/2 - 2 - z for a thickness t: RELION's frame of a volume turned about x is
        1.5 voxels off the middle (specification 4.7 #12), and this is its definition.
        """
        x, y, z = np.asarray(voxels, dtype=np.float64).T
        width, height, thickness = self.size
        return np.stack([x - (width - 1) / 2, thickness / 2 - 2 - z, y - (height - 1) / 2], axis=-1)


def _from_axis(points: Array, size: tuple[int, int, int]) -> Array:
    """The way back of `Specimen.from_axis`."""
    x, depth, y = points.T
    return np.stack(
        [x + (size[0] - 1) / 2, y + (size[1] - 1) / 2, size[2] / 2 - 2 - depth], axis=-1
    )


def _strew(rng: np.random.Generator, number: int, half: Array, apart: float) -> Array:
    """Points in a box about 0, at least `apart` from each other: (number, 3)."""
    points = np.empty((0, 3))
    if (half >= 0).all():
        for _ in range(100 * number):
            if len(points) == number:
                break
            new = rng.uniform(-half, half)
            if not len(points) or np.linalg.norm(points - new, axis=1).min() > apart:
                points = np.vstack([points, new])
    if len(points) < number:
        raise ModelError(
            f"there is room for {len(points)} gold beads, not for {number}: take fewer, larger "
            "images or larger pixels"
        )
    return points


def _random_waves(rng: np.random.Generator, pixel_size: float) -> Array:
    low, high = np.log(_WAVELENGTHS)
    wavelength = np.exp(rng.uniform(low, high, _WAVES)) / pixel_size
    direction = rng.standard_normal((_WAVES, 3))
    direction *= (2 * np.pi / wavelength / np.linalg.norm(direction, axis=1))[:, None]
    # Short waves are seen only where they lie across the beam: stronger, to be seen at all.
    amplitude = _AMPLITUDE * (wavelength.max() / wavelength) ** 0.5
    phase = rng.uniform(0, 2 * np.pi, _WAVES)
    return np.column_stack([direction, amplitude, phase])


def dose_symmetric(n_tilts: int) -> tuple[Array, npt.NDArray[np.int64]]:
    """Angles of a dose-symmetric scheme over 120°, and the order in which they are taken.

    Returns
    -------
    angles, rank : (n_tilts,) float64 and int64 arrays
        Ascending [deg]; 0 for the image that is taken first.

    Examples
    --------
    >>> angles, rank = dose_symmetric(5)
    >>> angles.tolist(), rank.tolist()
    ([-60.0, -30.0, 0.0, 30.0, 60.0], [4, 2, 0, 1, 3])
    """
    step = 120.0 / (n_tilts - 1)
    angles = np.round(step * (np.arange(n_tilts) - (n_tilts - 1) / 2), 2)
    rank = np.empty(n_tilts, dtype=np.int64)
    rank[np.lexsort((angles < 0, np.abs(angles)))] = np.arange(n_tilts)
    return angles, rank


@dataclass(frozen=True, kw_only=True, eq=False)
class Acquisition:
    """How the images were taken.

    Parameters
    ----------
    nominal : (n,) array
        Angles of the stage, in the order of the stack [deg].
    rank : (n,) int array
        When each image was taken, from 0.
    image_size : (int, int)
        Width and height [px].
    pixel_size : float
        [Å].
    dose : float
        Of one image [e/Å²].
    tilt_axis : float
        Direction of the tilt axis in the images, counter-clockwise from y [deg].
    defocus : float
        Mean underfocus [Å].
    hand : int
        Sign of defocus against depth. The images have no contrast transfer function yet.
    noise : float
        Factor on the shot noise that the dose gives.
    blocked : tuple of int
        Images, from 0, in which a grid bar hides the specimen.
    """

    nominal: Array
    rank: npt.NDArray[np.int64]
    image_size: tuple[int, int] = (256, 240)
    pixel_size: float = 5.4
    dose: float = 3.0
    tilt_axis: float = 85.0
    defocus: float = 30000.0
    hand: int = -1
    noise: float = 1.0
    blocked: tuple[int, ...] = ()

    @property
    def aligned_size(self) -> tuple[int, int]:
        """Width and height of the images once the tilt axis is upright [px]."""
        turned = abs(np.sin(np.deg2rad(self.tilt_axis))) > np.sqrt(0.5)
        width, height = self.image_size
        return (height, width) if turned else (width, height)

    @property
    def pre_exposure(self) -> Array:
        """What the specimen had received before each image [e/Å²]: (n,)."""
        return np.asarray(self.rank * self.dose, dtype=np.float64)


@dataclass(frozen=True, kw_only=True, eq=False)
class Views:
    """The truth of each image, rounded as IMOD and CTFFIND print it.

    Parameters
    ----------
    tilts : (n,) array
        Tilt angles [deg].
    xf : (n, 2, 3) array
        Rows A11 A12 DX and A21 A22 DY: q = A p + d from raw to aligned images, about the
        middle of each [px].
    defocus_u, defocus_v, defocus_angle : (n,) arrays
        [Å] and [deg].
    """

    tilts: Array
    xf: Array
    defocus_u: Array
    defocus_v: Array
    defocus_angle: Array

    @classmethod
    def random(cls, acquisition: Acquisition, seed: int) -> Views:
        """Small errors of stage, axis, magnification, tracking and focus."""
        rng = np.random.default_rng(seed)
        n = len(acquisition.nominal)
        progress = acquisition.rank / max(n - 1, 1)
        axis = acquisition.tilt_axis + 0.6 * progress + rng.normal(0, 0.1, n)
        scale = 1.0 / (1.0 + rng.normal(0, 0.001, n))
        shift = rng.normal(0, 3, (n, 2)) + 4 * np.sin(3 * progress)[:, None]
        turn = np.deg2rad(axis)
        xf = np.empty((n, 2, 3))
        xf[:, 0, 0] = xf[:, 1, 1] = np.round(scale * np.cos(turn), 7)
        xf[:, 0, 1] = np.round(scale * np.sin(turn), 7)
        xf[:, 1, 0] = -xf[:, 0, 1]
        xf[:, :, 2] = np.round(shift, 3)
        offset = rng.normal(0, 0.4)
        focus = acquisition.defocus * rng.uniform(0.85, 1.15) + rng.normal(0, 200, n)
        half = np.abs(rng.normal(250, 60, n))
        azimuth = rng.uniform(-80, 80) + rng.normal(0, 4, n)
        return cls(
            tilts=np.round(acquisition.nominal + offset + rng.normal(0, 0.06, n), 2),
            xf=xf,
            defocus_u=np.round(focus + half, 6),
            defocus_v=np.round(focus - half, 6),
            defocus_angle=np.round((azimuth + 90) % 180 - 90, 6),
        )

    @property
    def axes(self) -> Array:
        """Direction of the tilt axis, counter-clockwise from the image's y [deg]: (n,)."""
        return np.rad2deg(np.arctan2(self.xf[:, 0, 1], self.xf[:, 0, 0]))

    @property
    def magnification(self) -> Array:
        """Of the raw images, against the specimen: (n,)."""
        return 1.0 / np.hypot(self.xf[:, 0, 0], self.xf[:, 0, 1])


@dataclass(frozen=True, kw_only=True, eq=False)
class SimulatedSeries:
    """A tilt series, and all that is true of it.

    Parameters
    ----------
    images : (n, y, x) int16 array
        Counts; dark is dense.
    specimen, acquisition, views
        What was simulated.
    bead_images : (n, n_beads, 2) array
        x, y of every bead in 0-based pixels, also of those outside the image.
    """

    images: npt.NDArray[np.int16]
    specimen: Specimen
    acquisition: Acquisition
    views: Views
    bead_images: Array


def simulate(
    specimen: Specimen, acquisition: Acquisition, views: Views, *, seed: int
) -> SimulatedSeries:
    """Take the images of a specimen.

    Parameters
    ----------
    specimen, acquisition, views
        What is seen, how, and the truth of each image.
    seed : int
        Of the noise. The same numbers give the same images.

    Returns
    -------
    SimulatedSeries

    Examples
    --------
    >>> nominal, rank = dose_symmetric(5)
    >>> acquisition = Acquisition(nominal=nominal, rank=rank, image_size=(64, 60), pixel_size=20)
    >>> specimen = Specimen.random((*acquisition.aligned_size, 24), 20, n_beads=3, seed=1)
    >>> series = simulate(specimen, acquisition, Views.random(acquisition, 1), seed=1)
    >>> series.images.shape, series.bead_images.shape
    ((5, 60, 64), (5, 3, 2))
    """
    rng = np.random.default_rng(seed)
    beads = project(specimen, acquisition, views, specimen.beads)
    width, height = acquisition.image_size
    images = np.empty((len(views.tilts), height, width), dtype=np.int16)
    pixel_size = acquisition.pixel_size
    electrons = acquisition.dose * pixel_size**2
    for i in range(len(images)):
        ice = _ice(specimen, acquisition, views.tilts[i], views.xf[i])
        gold = _gold(acquisition.image_size, beads[i], specimen.bead_radius / pixel_size)
        passed = np.exp(-pixel_size * (ice / ICE_PATH + gold / GOLD_PATH))
        if i in acquisition.blocked:
            passed *= GRID_BAR
        noise = rng.standard_normal(passed.shape) * np.sqrt(passed / electrons)
        counts = np.rint(FULL_COUNTS * (passed + acquisition.noise * noise))
        images[i] = np.clip(counts, -32768, 32767)
    return SimulatedSeries(
        images=images,
        specimen=specimen,
        acquisition=acquisition,
        views=views,
        bead_images=beads,
    )


def project(
    specimen: Specimen, acquisition: Acquisition, views: Views, voxels: npt.ArrayLike
) -> Array:
    """Where 0-based voxels of the tomogram lie in the raw images, in 0-based pixels.

    Voxels are x, y, z, of shape (n_points, 3); pixels x, y, of shape (n_tilts, n_points, 2).
    """
    x, depth, y = specimen.from_axis(voxels).T
    width, height = acquisition.image_size
    seen = np.empty((len(views.tilts), len(x), 2))
    for i, tilt in enumerate(np.deg2rad(views.tilts)):
        # The specimen turns, and is seen along depth, in the aligned image.
        across = x * np.cos(tilt) - depth * np.sin(tilt)
        # The raw image is where IMOD's transform came from: solve A p = q - d.
        (a, b, dx), (c, d, dy) = views.xf[i]
        u, v = across - dx, y - dy
        seen[i, :, 0] = (d * u - b * v) / (a * d - b * c) + (width - 1) / 2
        seen[i, :, 1] = (a * v - c * u) / (a * d - b * c) + (height - 1) / 2
    return seen


def _ice(specimen: Specimen, acquisition: Acquisition, tilt: float, xf: Array) -> Array:
    """Ice along the beam, weighted by its density [px]: (height, width).

    A beam meets the plane of the tilt axis at x = across / cos t, and leaves it along
    (sin t, cos t) in x and depth. A wave of density, integrated along the beam through the
    slab, is again a wave in the image, weakened by a sinc: exact, and a product of a wave
    in the image's x and one in its y.
    """
    sin, cos = np.sin(np.deg2rad(tilt)), np.cos(np.deg2rad(tilt))
    way = specimen.slab / acquisition.pixel_size / cos
    kx, kd, ky, amplitude, phase = specimen.waves.T
    (a, b, dx), (c, d, dy) = xf
    weight = amplitude * way * np.sinc((kx * sin + kd * cos) * way / (2 * np.pi))
    right, up = (np.arange(n) - (n - 1) / 2 for n in acquisition.image_size)
    along_x = np.exp(1j * np.outer(right, kx * a / cos + ky * c)).astype(np.complex64)
    along_y = np.exp(1j * np.outer(up, kx * b / cos + ky * d)).astype(np.complex64)
    start = np.exp(1j * (phase + kx * dx / cos + ky * dy))
    waves = (along_y * (weight * start).astype(np.complex64)) @ along_x.T
    return np.asarray(way + waves.real, dtype=np.float64)


def _gold(image_size: tuple[int, int], at: Array, radius: float) -> Array:
    """Gold along the beam [px] for beads at these pixels, with soft edges: (height, width)."""
    width, height = image_size
    gold = np.zeros((height, width))
    reach = radius + 4 * EDGE_PX
    distances = np.linspace(0, reach, 500)
    profile = _soft_chord(distances, radius)
    for x, y in at:
        left, right = max(int(np.ceil(x - reach)), 0), min(int(x + reach) + 1, width)
        low, high = max(int(np.ceil(y - reach)), 0), min(int(y + reach) + 1, height)
        if left < right and low < high:
            distance = np.hypot(np.arange(left, right) - x, np.arange(low, high)[:, None] - y)
            gold[low:high, left:right] += np.interp(distance, distances, profile, right=0.0)
    return gold


def _soft_chord(distances: Array, radius: float) -> Array:
    """Way through a ball at these distances from its middle, blurred by `EDGE_PX` [px]."""
    steps = np.linspace(-3.5, 3.5, 29)
    weight = np.exp(-(steps**2) / 2)
    weight /= weight.sum()
    squared = (distances[:, None, None] + EDGE_PX * steps[:, None]) ** 2 + (EDGE_PX * steps) ** 2
    chord = 2 * np.sqrt(np.maximum(radius**2 - squared, 0.0))
    return np.asarray(np.einsum("dij,i,j->d", chord, weight, weight))
