"""IMOD's alignments as projections."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tomoset.geometry._basic import Array


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
        Further shift on IMOD's axes x, depth, y [px] (RELION's --offx, --offy, --offz).
    flip_yz : bool
        Whether z of the result is depth (the volume rotated about x), not y.
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
        (docs/conventions.md, 'IMOD').
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
    xf: Array | None,
    tilts: Array,
    x_tilts: Array,
    *,
    volume: ImodVolume,
    raw_size: tuple[int, int],
    z_factors: Array | None = None,
) -> Array:
    """Projections of an alignment by IMOD, from 0-based voxels to 0-based pixels.

    A point x, depth z, y from the tilt axis rotates about x by a and about y by t::

        z' = z cos a - y sin a          x'     =  x cos t - z' sin t - z fx
        y' = z sin a + y cos a - z fy   depth  = -x sin t - z' cos t

    (IMOD's tilt.f90, where a = XTILTFILE - XAXISTILT), and goes from the aligned stack to
    the raw images by the inverse of its ``.xf``, which acts about the centres of both.

    Parameters
    ----------
    xf : (n, 2, 3) array or None
        Invertible. Rows A11 A12 DX and A21 A22 DY [px] from raw to aligned images; None: the images
        are those of the aligned stack.
    tilts, x_tilts : (n,) arrays
        t and a [deg], all offsets included.
    volume : ImodVolume
        Size and shifts of the tomogram.
    raw_size : (int, int)
        Width and height of the raw images [px].
    z_factors : (n, 2) array, optional
        fx and fy of each view, as ZFACTORFILE has them; None: 0.

    Returns
    -------
    (n, 4, 4) float64 array

    """
    t, a = np.deg2rad(tilts), np.deg2rad(x_tilts)
    x, y = volume.centre
    rotation = np.zeros((len(t), 4, 4))
    rotation[:, 0, 0], rotation[:, 0, 1], rotation[:, 0, 2] = (
        np.cos(t),
        -np.sin(t) * np.cos(a),
        np.sin(t) * np.sin(a),
    )
    rotation[:, 1, 1], rotation[:, 1, 2] = np.sin(a), np.cos(a)
    rotation[:, 2, 0], rotation[:, 2, 1], rotation[:, 2, 2] = (
        -np.sin(t),
        -np.cos(t) * np.cos(a),
        np.cos(t) * np.sin(a),
    )
    rotation[:, 0, 3], rotation[:, 1, 3], rotation[:, 3, 3] = x + volume.axis_offset, y, 1.0
    if z_factors is not None:
        rotation[:, :2, 1] -= z_factors
    projections = rotation @ volume.to_specimen()
    if xf is None:
        return np.asarray(projections)
    # q = A (p - raw centre) + d + aligned centre, solved for p.
    a11, a12, a21, a22 = xf[:, 0, 0], xf[:, 0, 1], xf[:, 1, 0], xf[:, 1, 1]
    raw = np.zeros((len(t), 4, 4))
    raw[:, 2, 2] = raw[:, 3, 3] = 1.0
    raw[:, 0, 0], raw[:, 0, 1], raw[:, 1, 0], raw[:, 1, 1] = a22, -a12, -a21, a11
    raw[:, :2, :2] /= (a11 * a22 - a12 * a21)[:, None, None]
    back = xf[:, :, 2] + (x, y)
    raw[:, :2, 3] = (np.array(raw_size) - 1) / 2 - np.einsum("nij,nj->ni", raw[:, :2, :2], back)
    return np.asarray(raw @ projections)


def imod_parameters(
    projections: Array, *, volume: ImodVolume, raw_size: tuple[int, int]
) -> tuple[Array, Array, Array]:
    """The inverse of `imod_projections`: any projection is a rotation and a transform of the image.

    Parameters
    ----------
    projections : (n, 4, 4) array
        From 0-based voxels of the volume to 0-based pixels. The row of depth does not matter.
    volume, raw_size
        As of `imod_projections`.

    Returns
    -------
    xf : (n, 2, 3) array
        From raw to aligned images.
    tilts, x_tilts : (n,) arrays
        [deg], tilts from -90 to 90.

    Examples
    --------
    >>> volume = ImodVolume(aligned_size=(100, 90), thickness=40)
    >>> xf = np.array([[[0.9, 0.1, 3.0], [-0.2, 1.1, 4.0]]])
    >>> there = imod_projections(xf, np.array([30.0]), np.array([2.0]), volume=volume,
    ...                          raw_size=(80, 70))
    >>> [x.round(9).tolist() for x in imod_parameters(there, volume=volume, raw_size=(80, 70))]
    [[[[0.9, 0.1, 3.0], [-0.2, 1.1, 4.0]]], [30.0], [2.0]]
    """
    seen = projections[:, :2] @ np.linalg.inv(volume.to_specimen())
    beam = np.cross(seen[:, 0, :3], seen[:, 1, :3])
    beam *= np.where(
        beam[:, 1:2] > 0, -1, 1
    )  # depth grows against the beam: IMOD tilts by less than 90°
    tilts = np.arctan2(-beam[:, 0], np.hypot(beam[:, 1], beam[:, 2]))
    x_tilts = np.arctan2(beam[:, 2], -beam[:, 1])
    across = np.stack(
        [np.cos(tilts), -np.sin(tilts) * np.cos(x_tilts), np.sin(tilts) * np.sin(x_tilts)], axis=-1
    )
    along = np.stack([np.zeros_like(tilts), np.sin(x_tilts), np.cos(x_tilts)], axis=-1)
    matrix = np.linalg.inv(seen[:, :, :3] @ np.stack([across, along], axis=-1))
    away = (np.array(raw_size) - 1) / 2 - seen[:, :, 3]
    shifts = np.einsum("nij,nj->ni", matrix, away)
    shifts[:, 0] += volume.axis_offset
    xf = np.concatenate([matrix, shifts[:, :, None]], axis=2)
    return xf, np.rad2deg(tilts), np.rad2deg(x_tilts)
