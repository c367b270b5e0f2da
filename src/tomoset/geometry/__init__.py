"""Rotations, projection matrices, deformations, changes of frame. Arrays in, arrays out.

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

from tomoset.geometry._basic import (
    apply,
    binned,
    corners,
    extent,
    from_one_based,
    projected_weights,
    rotation_about,
    rotation_x,
    rotation_y,
    rotation_z,
    tilt_angles,
    tilt_axis_angles,
    to_one_based,
    translation,
    triangulate,
    turns,
    unbinned,
    x_tilt_angles,
)
from tomoset.geometry._deformation import DeformationBasis
from tomoset.geometry._dual import DualMatrix, image_derivatives, strains
from tomoset.geometry._euler import euler_angles, euler_matrix, zxz_angles, zxz_matrix
from tomoset.geometry._imod import ImodVolume, imod_parameters, imod_projections
from tomoset.geometry._motion import rigid_motion
from tomoset.geometry._rigid import (
    nearest_rotation,
    rigid_angles,
    rigid_loss,
    rigid_parameters,
    rigid_projections,
    rigid_rotations,
)

__all__ = [
    "DeformationBasis",
    "DualMatrix",
    "ImodVolume",
    "apply",
    "binned",
    "corners",
    "euler_angles",
    "euler_matrix",
    "extent",
    "from_one_based",
    "image_derivatives",
    "imod_parameters",
    "imod_projections",
    "nearest_rotation",
    "projected_weights",
    "rigid_angles",
    "rigid_loss",
    "rigid_motion",
    "rigid_parameters",
    "rigid_projections",
    "rigid_rotations",
    "rotation_about",
    "rotation_x",
    "rotation_y",
    "rotation_z",
    "strains",
    "tilt_angles",
    "tilt_axis_angles",
    "to_one_based",
    "translation",
    "triangulate",
    "turns",
    "unbinned",
    "x_tilt_angles",
    "zxz_angles",
    "zxz_matrix",
]
