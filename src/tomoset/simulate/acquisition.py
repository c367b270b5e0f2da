"""How a tilt series is taken: the scheme, and the truth of each image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tomoset.simulate.camera import Camera
from tomoset.simulate.doming import Doming

Array = npt.NDArray[np.float64]


def dose_symmetric(n_tilts: int, highest: float = 60.0) -> tuple[Array, npt.NDArray[np.int64]]:
    """Angles of a dose-symmetric scheme, and the order in which they are taken.

    Parameters
    ----------
    n_tilts : int
        How many.
    highest : float
        The last of them; the first is minus that [deg].

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
    step = 2 * highest / (n_tilts - 1)
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
        Sign of defocus against depth, +1 or -1.
    magnification_error : float
        How much the magnification differs from image to image, rms, a fraction.
    ctf : bool
        Whether the images have a contrast transfer function; without, it is 1 everywhere.
    voltage, spherical_aberration, amplitude_contrast : float
        Of the microscope [kV], [mm], and a fraction.
    noise : float
        Factor on the shot noise that the dose gives.
    snr : float, optional
        Signal-to-noise ratio that the noise is to give instead (`simulate.signal`).
    camera : Camera, optional
        What is fixed in the camera; without, it is flat.
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
    magnification_error: float = 0.001
    ctf: bool = True
    voltage: float = 300.0
    spherical_aberration: float = 2.7
    amplitude_contrast: float = 0.1
    noise: float = 1.0
    snr: float | None = None
    camera: Camera | None = None
    blocked: tuple[int, ...] = ()

    @property
    def aligned_size(self) -> tuple[int, int]:
        """Width and height of the images once the tilt axis is upright [px]."""
        swapped = abs(np.sin(np.deg2rad(self.tilt_axis))) > np.sqrt(0.5)
        width, height = self.image_size
        return (height, width) if swapped else (width, height)

    @property
    def pre_exposure(self) -> Array:
        """What the specimen had received before each image [e/Å²]: (n,)."""
        return np.asarray(self.rank * self.dose, dtype=np.float64)

    @property
    def shown(self) -> npt.NDArray[np.bool_]:
        """Images that show the specimen: (n,)."""
        shown = np.ones(len(self.nominal), dtype=bool)
        shown[list(self.blocked)] = False
        return shown

    @property
    def progress(self) -> Array:
        """How far the acquisition was, from 0 in the first image to 1 in the last: (n,)."""
        return np.asarray(self.rank / max(len(self.rank) - 1, 1), dtype=np.float64)


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
        [Å] and [deg], at voxel size/2 - 1 of the tomogram, as RELION 4 has it.
    deformation : (n, 72) array, optional
        RELION's spline on 3 x 3 nodes (docs/relion.md, 'Deformation'): how each image is deformed
        after the projection [px].
    trajectories : (n_molecules, n, 3) array, optional
        Displacement of each molecule in each image: x, y, z of the tomogram [Å]; doming included.
    doming : Doming, optional
        The motion of all other matter.
    """

    tilts: Array
    xf: Array
    defocus_u: Array
    defocus_v: Array
    defocus_angle: Array
    deformation: Array | None = None
    trajectories: Array | None = None
    doming: Doming | None = None

    @classmethod
    def random(cls, acquisition: Acquisition, seed: int) -> Views:
        """Small errors of stage, axis, magnification, tracking and focus."""
        rng = np.random.default_rng(seed)
        n = len(acquisition.nominal)
        progress = acquisition.progress
        axis = acquisition.tilt_axis + 0.6 * progress + rng.normal(0, 0.1, n)
        scale = 1.0 / (1.0 + acquisition.magnification_error * rng.standard_normal(n))
        shift = rng.normal(0, 3, (n, 2)) + 4 * np.sin(3 * progress)[:, None]
        offset = rng.normal(0, 0.4)
        focus = acquisition.defocus * rng.uniform(0.85, 1.15) + rng.normal(0, 200, n)
        half = np.abs(rng.normal(250, 60, n))
        azimuth = rng.uniform(-80, 80) + rng.normal(0, 4, n)
        return cls(
            tilts=np.round(acquisition.nominal + offset + rng.normal(0, 0.06, n), 2),
            xf=transforms(axis, scale, shift),
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


def transforms(axes: Array, scale: Array, shift: Array) -> Array:
    """IMOD's transforms that rotate tilt axes upright: (n, 2, 3), rounded as it prints them.

    Parameters
    ----------
    axes : (n,) array
        Direction of the tilt axis, counter-clockwise from the image's y [deg].
    scale : (n,) array
        From raw to aligned images.
    shift : (n, 2) array
        DX and DY [px].

    Examples
    --------
    >>> transforms(np.array([90.0]), np.array([1.0]), np.array([[2.0, 3.0]])).tolist()
    [[[0.0, 1.0, 2.0], [-1.0, 0.0, 3.0]]]
    """
    angle = np.deg2rad(axes)
    xf = np.empty((len(axes), 2, 3))
    xf[:, 0, 0] = xf[:, 1, 1] = np.round(scale * np.cos(angle), 7)
    xf[:, 0, 1] = np.round(scale * np.sin(angle), 7)
    xf[:, 1, 0] = -xf[:, 0, 1]
    xf[:, :, 2] = np.round(shift, 3)
    return xf
