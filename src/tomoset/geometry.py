"""Rotations, projection matrices and changes of frame. Arrays in, arrays out.

Every formula on how space maps onto images is here, once; ``docs/conventions.md`` states
each frame with a worked number. Matrices act on column vectors ``(x, y, z, 1)``; arrays of
points have shape ``(..., 3)``.

Frames, in pixels of the tilt series as stored (bin 1):

v
    voxels of the tomogram, from 0: the centre of the first voxel is 0. This is ours.
m
    what the matrices of RELION 4 eat: m = v + 1 on each axis.
image
    pixels of the tilt image, from 0: the centre of the first pixel is 0; row z is depth
    along the beam.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


def translation(shift: npt.ArrayLike) -> Array:
    """4x4 matrices that move points.

    ::

        [ 1 0 0 x ]
        [ 0 1 0 y ]
        [ 0 0 1 z ]
        [ 0 0 0 1 ]

    Parameters
    ----------
    shift : (..., 3) array
        x, y, z.

    Returns
    -------
    (..., 4, 4) float64 array

    Examples
    --------
    >>> (translation((1, 2, 3)) @ [0, 0, 0, 1]).tolist()
    [1.0, 2.0, 3.0, 1.0]
    """
    shift = np.asarray(shift, dtype=np.float64)
    matrix = np.zeros((*shift.shape[:-1], 4, 4))
    matrix[..., range(4), range(4)] = 1.0
    matrix[..., :3, 3] = shift
    return matrix


def rotation_x(degrees: npt.ArrayLike) -> Array:
    """4x4 right-handed rotations about x: y turns towards z. Shape (..., 4, 4)."""
    return _rotation(degrees, 1, 2)


def rotation_y(degrees: npt.ArrayLike) -> Array:
    """4x4 right-handed rotations about y: z turns towards x. Shape (..., 4, 4)."""
    return _rotation(degrees, 2, 0)


def rotation_z(degrees: npt.ArrayLike) -> Array:
    """4x4 right-handed rotations about z: x turns towards y. Shape (..., 4, 4).

    Examples
    --------
    >>> (rotation_z(90) @ [1, 0, 0, 1]).round(12).tolist()
    [0.0, 1.0, 0.0, 1.0]
    """
    return _rotation(degrees, 0, 1)


def _rotation(degrees: npt.ArrayLike, first: int, second: int) -> Array:
    angle = np.deg2rad(np.asarray(degrees, dtype=np.float64))
    matrix = np.zeros((*angle.shape, 4, 4))
    matrix[..., range(4), range(4)] = 1.0
    matrix[..., first, first] = matrix[..., second, second] = np.cos(angle)
    matrix[..., second, first] = np.sin(angle)
    matrix[..., first, second] = -np.sin(angle)
    return matrix


def apply(matrices: Array, points: npt.ArrayLike) -> Array:
    """Points carried by one or several affine matrices.

    Parameters
    ----------
    matrices : (4, 4) or (n, 4, 4) array
        No perspective: the last row is taken to be 0, 0, 0, 1.
    points : (..., 3) array

    Returns
    -------
    (..., 3) or (n, ..., 3) float64 array

    Examples
    --------
    >>> apply(translation((1, 0, 0)), [[0, 0, 0], [5, 5, 5]]).tolist()
    [[1.0, 0.0, 0.0], [6.0, 5.0, 5.0]]
    """
    points = np.asarray(points, dtype=np.float64)
    linear, shift = matrices[..., :3, :3], matrices[..., :3, 3]
    if matrices.ndim == 2:
        return np.asarray(points @ linear.T + shift)
    flat = points.reshape(-1, 3)
    moved = np.einsum("nij,pj->npi", linear, flat) + shift[:, None, :]
    return np.asarray(moved.reshape(len(matrices), *points.shape))


def from_one_based(matrices: Array) -> Array:
    """Projections that count voxels from 1 (RELION 4), as projections that count from 0.

    P0 = P4 T(1,1,1): specification 2.3.
    """
    moved = np.array(matrices, dtype=np.float64)
    moved[..., :, 3] += matrices[..., :, :3].sum(axis=-1)
    return moved


def to_one_based(matrices: Array) -> Array:
    """The way back of `from_one_based`: P4 = P0 T(-1,-1,-1)."""
    moved = np.array(matrices, dtype=np.float64)
    moved[..., :, 3] -= matrices[..., :, :3].sum(axis=-1)
    return moved


def triangulate(projections: Array, image_points: npt.ArrayLike) -> Array:
    """The points of space that lie nearest, in the images, to what was seen there.

    Least squares over the tilt images in which a point was seen, each image point
    counting the same: the rows x and y of every projection give two equations in v.

    Parameters
    ----------
    projections : (n_tilts, 4, 4) array
        From 0-based voxels to 0-based pixels.
    image_points : (n_tilts, n_points, 2) array
        x, y [px]; NaN where a point was not seen.

    Returns
    -------
    (n_points, 3) float64 array
        x, y, z in 0-based voxels; NaN where the views seen do not fix a point (fewer than
        two, or all from one direction).

    Examples
    --------
    >>> P = rotation_y([-30.0, 0.0, 30.0])
    >>> seen = apply(P, [[3.0, 4.0, 5.0]])[..., :2]
    >>> triangulate(P, seen).round(9).tolist()
    [[3.0, 4.0, 5.0]]
    """
    observed = np.asarray(image_points, dtype=np.float64)
    seen = np.isfinite(observed).all(axis=-1).T.astype(np.float64)  # (points, tilts)
    rows = projections[:, :2, :3]
    rhs = np.where(np.isfinite(observed), observed, 0.0) - projections[:, None, :2, 3]
    normal = np.einsum("pn,nij,nik->pjk", seen, rows, rows)
    vector = np.einsum("pn,nij,npi->pj", seen, rows, rhs)
    points = np.full(vector.shape, np.nan)
    # The smallest eigenvalue is the sum of squared sines towards the worst direction.
    fixed = np.linalg.eigvalsh(normal)[:, 0] > 1e-6 if len(normal) else np.zeros(0, bool)
    points[fixed] = np.linalg.solve(normal[fixed], vector[fixed][..., None])[..., 0]
    return points


def nearest_rotation(linear: Array) -> Array:
    """The rotation (or rotation and mirror) nearest to a 3x3 matrix, by its SVD.

    The determinant keeps its sign. Shape (..., 3, 3) in and out.
    """
    u, _, vt = np.linalg.svd(linear)
    return np.asarray(u @ vt)


def tilt_angles(projections: Array) -> Array:
    """Tilt of each image about the tomogram's y axis [deg], within (-180, 180].

    Right-handed, from the in-plane rows x and y alone, so that scale, skew and a depth
    that is counted the other way do not matter: RELION 5's rlnTomoYTilt where the tilt
    about x is zero. Shape (n,).

    Examples
    --------
    >>> tilt_angles((rotation_z(85) @ rotation_y(-20))[None]).round(9).tolist()
    [-20.0]
    """
    beam = np.cross(projections[:, 0, :3], projections[:, 1, :3])
    return np.rad2deg(np.arctan2(-beam[:, 0], beam[:, 2]))


def tilt_axis_angles(projections: Array) -> Array:
    """Direction in each image of the tomogram's y axis, from the image's y axis [deg].

    Counter-clockwise, within (-180, 180]: RELION 5's rlnTomoZRot. Shape (n,).
    """
    x, y = projections[:, 0, 1], projections[:, 1, 1]
    return np.rad2deg(np.arctan2(-x, y))


def corners(size: Sequence[int] | Array) -> Array:
    """The eight outer corner voxels of a tomogram of this size: (8, 3) voxels from 0."""
    x, y, z = (float(n) - 1.0 for n in size)
    return np.array([(i, j, k) for k in (0.0, z) for j in (0.0, y) for i in (0.0, x)])


@dataclass(frozen=True, kw_only=True)
class ImodVolume:
    """Where IMOD's ``tilt`` puts its volume, in unbinned pixels of the aligned stack.

    Parameters
    ----------
    aligned_size : (int, int)
        Width and height of the aligned stack [px].
    thickness : float
        THICKNESS of tilt.com [px].
    axis_offset : float
        Second number of OFFSET: the tilt axis lies so far right of the centre [px].
    shift : (float, float)
        SHIFT of tilt.com, x and depth [px].
    offset : (float, float, float)
        Further move on IMOD's axes x, depth, y [px] (RELION's --offx, --offy, --offz).
    flip_yz : bool
        Whether z of the result is depth (the volume turned about x), not y.
    flip_z : bool
        With `flip_yz`: whether z of the result runs against IMOD's depth.
    slice_centre : float or None
        Where the middle of the volume lies, in slice edges from the first one. None:
        RELION's frame, which is half a voxel off, or 1.5 voxels with `flip_z`.
    """

    aligned_size: tuple[int, int]
    thickness: float
    axis_offset: float = 0.0
    shift: tuple[float, float] = (0.0, 0.0)
    offset: tuple[float, float, float] = (0.0, 0.0, 0.0)
    flip_yz: bool = True
    flip_z: bool = True
    slice_centre: float | None = None

    @property
    def centre(self) -> tuple[float, float]:
        """Middle of the aligned stack, in 0-based pixels."""
        return (self.aligned_size[0] - 1) / 2, (self.aligned_size[1] - 1) / 2

    @property
    def size(self) -> tuple[int, int, int]:
        """x, y, z of the volume [px]."""
        width, height, depth = *self.aligned_size, int(self.thickness)
        return (width, height, depth) if self.flip_yz else (width, depth, height)

    def to_specimen(self) -> Array:
        """4x4 matrix from 0-based voxels to x, depth, y from the tilt axis.

        Depth of voxel v, t being the thickness: v + 1 - t/2 as RELION has it, and
        v + 1/2 - t/2 as IMOD has it; t/2 - 2 - v and t/2 - 1/2 - v when `flip_z`
        (specification 4.7 #12).
        """
        flipped = self.flip_yz and self.flip_z
        if self.slice_centre is None:
            start = self.thickness / 2 - 2 if flipped else 1 - self.thickness / 2
        elif flipped:
            start = self.thickness - 0.5 - self.slice_centre
        else:
            start = 0.5 - self.slice_centre
        depth, height = (2, 1) if self.flip_yz else (1, 2)
        matrix = np.zeros((4, 4))
        matrix[0, 0] = matrix[2, height] = matrix[3, 3] = 1.0
        matrix[1, depth] = -1.0 if flipped else 1.0
        x, y = self.centre
        matrix[:3, 3] = (
            self.offset[0] - self.shift[0] - x - self.axis_offset,
            self.offset[1] - self.shift[1] + start,
            self.offset[2] - y,
        )
        return matrix


def imod_projections(
    xf: Array | None, tilts: Array, x_tilts: Array, *, volume: ImodVolume, raw_size: tuple[int, int]
) -> Array:
    """Projections of an alignment by IMOD, from 0-based voxels to 0-based pixels.

    A point x, depth z, y from the tilt axis turns about x by a and about y by t::

        z' = z cos a - y sin a          x'     =  x cos t - z' sin t
        y' = z sin a + y cos a          depth  = -x sin t - z' cos t

    (IMOD's tilt.f90, where a = XTILTFILE - XAXISTILT), and goes from the aligned stack to
    the raw images by the inverse of its ``.xf``, which acts about the centres of both.

    Parameters
    ----------
    xf : (n, 2, 3) array or None
        Rows A11 A12 DX and A21 A22 DY [px] from raw to aligned images; None: the images
        are those of the aligned stack.
    tilts, x_tilts : (n,) arrays
        t and a [deg], all offsets included.
    volume : ImodVolume
        Size and place of the tomogram.
    raw_size : (int, int)
        Width and height of the raw images [px].

    Returns
    -------
    (n, 4, 4) float64 array

    Raises
    ------
    numpy.linalg.LinAlgError
        If a transform of `xf` cannot be inverted.
    """
    t, a = np.deg2rad(tilts), np.deg2rad(x_tilts)
    x, y = volume.centre
    turn = np.zeros((len(t), 4, 4))
    turn[:, 0, 0], turn[:, 0, 1], turn[:, 0, 2] = (
        np.cos(t),
        -np.sin(t) * np.cos(a),
        np.sin(t) * np.sin(a),
    )
    turn[:, 1, 1], turn[:, 1, 2] = np.sin(a), np.cos(a)
    turn[:, 2, 0], turn[:, 2, 1], turn[:, 2, 2] = (
        -np.sin(t),
        -np.cos(t) * np.cos(a),
        np.cos(t) * np.sin(a),
    )
    turn[:, 0, 3], turn[:, 1, 3], turn[:, 3, 3] = x + volume.axis_offset, y, 1.0
    projections = turn @ volume.to_specimen()
    if xf is None:
        return np.asarray(projections)
    aligned = np.zeros((len(t), 4, 4))
    aligned[:, range(4), range(4)] = 1.0
    aligned[:, :2, :2] = xf[:, :, :2]
    # q = A (p - raw centre) + d + aligned centre
    raw_centre = (np.array(raw_size) - 1) / 2
    aligned[:, :2, 3] = xf[:, :, 2] + (x, y) - xf[:, :, :2] @ raw_centre
    return np.asarray(np.linalg.inv(aligned) @ projections)
