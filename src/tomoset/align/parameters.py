"""A projection as shifts, angles and strains, and back again: exact for every affine one."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tomoset import geometry
from tomoset.errors import ModelError
from tomoset.geometry import DualMatrix

Array = npt.NDArray[np.float64]

#: Columns of the cameras: one row of these a tilt image. Pixels, radians, the logarithm of the
#: magnification, fractions. With logarithms a common change is a change of scale, exactly.
COLUMNS = (
    "shift_x",
    "shift_y",
    "rotation",
    "tilt",
    "magnification",
    "stretch",
    "skew",
    "x_tilt",
    "beam_tilt",
)
SHIFT_X, SHIFT_Y, ROTATION, TILT, MAGNIFICATION, STRETCH, SKEW, X_TILT, BEAM_TILT = range(9)
#: Of them in degrees, where people read them.
ANGLES = (ROTATION, TILT, X_TILT, BEAM_TILT)


def decompose(projections: Array, centre: Array) -> Array:
    """Cameras of projections: rows x and y, nothing lost.

    ::

        p = m Rz(rotation) S E Rx(beam_tilt) Ry(tilt) Rx(x_tilt) (v - centre) + shift

        E = [1 0 0]    S = [1 + stretch      skew   ]
            [0 1 0]        [   skew      1 - stretch]

    The direction of the beam, normal to both rows, gives the two tilts; the polar
    decomposition of what is left gives the rest. The beam tilt is 0: common to all images, it
    cannot be read off one. A mirrored image is one from behind: a tilt beyond 90 degrees.

    Parameters
    ----------
    projections : (n, 4, 4) array
        From 0-based voxels to 0-based pixels.
    centre : (3,) array
        0-based voxels.

    Returns
    -------
    (n, 9) float64 array
        The `COLUMNS`.

    Raises
    ------
    ModelError
        If the rows x and y of a projection are not independent.

    Examples
    --------
    >>> matrix = geometry.rotation_z(85) @ geometry.rotation_y([-20.0]) @ geometry.rotation_x(3)
    >>> cameras = decompose(matrix, np.zeros(3))
    >>> np.rad2deg(cameras[0, [ROTATION, TILT, X_TILT]]).round(9).tolist()
    [85.0, -20.0, 3.0]
    """
    rows = projections[:, :2, :3]
    beam = np.cross(rows[:, 0], rows[:, 1])
    length = np.linalg.norm(beam, axis=1)
    flat = ~(length > 1e-9 * np.linalg.norm(rows, axis=2).prod(axis=1))
    if flat.any():
        raise ModelError(
            f"tilt image {int(np.argmax(flat)) + 1}: rows x and y of the projection are not "
            "independent, so it is none"
        )
    beam /= length[:, None]
    cameras = np.zeros((len(rows), len(COLUMNS)))
    side = np.where(beam[:, 2] < 0, -1.0, 1.0)  # from behind: the tilt is beyond 90 degrees
    across = np.hypot(beam[:, 1], beam[:, 2])
    cameras[:, TILT] = np.arctan2(-beam[:, 0], side * across)
    cameras[:, X_TILT] = np.arctan2(side * beam[:, 1], side * beam[:, 2])
    plane = rows @ np.swapaxes(rotations(cameras)[:, :2], 1, 2)
    rotation = np.arctan2(plane[:, 1, 0] - plane[:, 0, 1], plane[:, 0, 0] + plane[:, 1, 1])
    stretched = np.swapaxes(_in_plane(rotation), 1, 2) @ plane
    scale, stretch, skew = geometry.strains(stretched).T
    cameras[:, ROTATION] = rotation
    cameras[:, MAGNIFICATION] = np.log(scale)
    cameras[:, STRETCH], cameras[:, SKEW] = stretch / scale, skew / scale
    cameras[:, :2] = rows @ centre + projections[:, :2, 3]
    return cameras


def rotations(cameras: Array) -> Array:
    """How each camera rotates the specimen, the beam along the last row: (n, 3, 3)."""
    angles = np.rad2deg(cameras)
    matrix = geometry.rotation_y(angles[:, TILT]) @ geometry.rotation_x(angles[:, X_TILT])
    if cameras[:, BEAM_TILT].any():
        matrix = geometry.rotation_x(angles[:, BEAM_TILT]) @ matrix
    return np.asarray(matrix[:, :3, :3])


def planes(cameras: Array) -> Array:
    """What each camera does within the image: m Rz(rotation) S, (n, 2, 2)."""
    stretch, skew = cameras[:, STRETCH], cameras[:, SKEW]
    S = np.array([[1 + stretch, skew], [skew, 1 - stretch]]).transpose(2, 0, 1)
    scale = np.exp(cameras[:, MAGNIFICATION])[:, None, None]
    return np.asarray(scale * _in_plane(cameras[:, ROTATION]) @ S)


def _in_plane(angle: Array) -> Array:
    return np.asarray(geometry.rotation_z(np.rad2deg(angle))[:, :2, :2])


def linear(cameras: Array) -> Array:
    """Rows x and y of the projections: derivatives of image points by voxels, (n, 2, 3)."""
    return planes(cameras) @ rotations(cameras)[:, :2]


def derivatives(cameras: Array, levers: Array) -> Array:
    """How the image of every point changes with each column of its camera.

    Parameters
    ----------
    cameras : (n, 9) array
    levers : (m, 3) array
        Points from the centre [voxels].

    Returns
    -------
    (n, m, 2, 9) float64 array
        [px per radian, per 1]
    """
    rotation, strain = DualMatrix.rotation, DualMatrix.strain
    product = (
        DualMatrix.scaling(cameras[:, MAGNIFICATION])
        @ rotation(2, cameras[:, ROTATION])
        @ strain(cameras[:, [STRETCH, SKEW]], 1)
        @ rotation(0, cameras[:, BEAM_TILT])
        @ rotation(1, cameras[:, TILT])
        @ rotation(0, cameras[:, X_TILT])
    )
    columns = MAGNIFICATION, ROTATION, STRETCH, SKEW, BEAM_TILT, TILT, X_TILT
    return geometry.image_derivatives(product.in_images(columns, len(COLUMNS)), levers, SHIFT_X)


def compose(cameras: Array, centre: Array, like: Array) -> Array:
    """Projections of cameras: the inverse of `decompose`.

    Parameters
    ----------
    cameras : (n, 9) array
        The `COLUMNS`.
    centre : (3,) array
        0-based voxels.
    like : (n, 4, 4) array
        The projections of before: row z, the depth, keeps its sense, its scale and its value
        at `centre`, and rotates with the beam.

    Returns
    -------
    (n, 4, 4) float64 array
    """
    matrices = np.zeros((len(cameras), 4, 4))
    rotation = rotations(cameras)
    matrices[:, :2, :3] = linear(cameras)
    matrices[:, :2, 3] = cameras[:, :2] - matrices[:, :2, :3] @ centre
    # Depth in the frame of the beam, where it is the same before and after.
    rotated = rotations(decompose(like, centre)) @ like[:, 2, :3, None]
    matrices[:, 2, :3] = (np.swapaxes(rotation, 1, 2) @ rotated)[..., 0]
    matrices[:, 2, 3] = like[:, 2, 3] + (like[:, 2, :3] - matrices[:, 2, :3]) @ centre
    matrices[:, 3, 3] = 1.0
    return matrices


def readable(cameras: Array) -> Array:
    """The same in degrees, and with the magnification itself: (n, 9)."""
    shown = cameras.copy()
    shown[:, ANGLES] = np.rad2deg(cameras[:, ANGLES])
    shown[:, MAGNIFICATION] = np.exp(cameras[:, MAGNIFICATION])
    return shown


def rotated_by(projections: Array, like: Array, centre: Array) -> Array:
    """Projections whose row z is that of `like`, rotated with their beam.

    For projections whose rows x and y came about otherwise, as through a change of frame.
    """
    return compose(decompose(projections, centre), centre, like)
