"""Projections as RELION 5 can say them: rigid, and none of them a mirror image."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from tomoset import geometry
from tomoset.errors import AssumptionWarning, ModelError, UnsupportedError
from tomoset.formats._words import Loss, Tolerance
from tomoset.model import Tomogram

Array = npt.NDArray[np.float64]

#: A loss of more than this is told [px].
_TOLD = 1e-3


def upright(tomogram: Tomogram) -> Tomogram:
    """The same tomogram with its depth counted so that no projection is a mirror image.

    Depth and hand change sign together: defocus stays what it was (docs/relion.md,
    'Conversion of RELION 4 and 5').
    """
    projections = tomogram.need_projections()
    mirrored = np.linalg.det(projections[:, :3, :3]) < 0
    if not mirrored.any():
        return tomogram
    if not mirrored.all():
        raise ModelError(
            f"tomogram {tomogram.name!r}: tilt image {int(np.argmin(mirrored)) + 1} is no mirror "
            "image, but others are; RELION 5 has one hand for all"
        )
    turned = projections.copy()
    turned[:, 2] *= -1
    turned_over = replace(tomogram, projections=turned, hand=-tomogram.hand)
    return turned_over.with_excluded(upright)


def nearest_rigid(tomogram: Tomogram) -> Array | None:
    """The nearest rigid projections, mirrored where the tomogram's are: (n, 4, 4), or None.

    None where there are no projections, or a size is not known.
    """
    projections, size, image_size = tomogram.projections, tomogram.size, tomogram.image_size
    if projections is None or size is None or image_size is None:
        return None
    angles, shifts = geometry.rigid_parameters(projections, size=size, image_size=image_size)
    rigid = geometry.rigid_projections(angles, shifts, size=size, image_size=image_size)
    rigid[np.linalg.det(projections[:, :3, :3]) < 0, 2] *= -1
    return rigid


def rigid_loss(tomogram: Tomogram, points: Array | None = None) -> tuple[Array, Array]:
    """How far each tilt image is from the nearest rigid projection [px]: in the image, in depth.

    Over the corners of the tomogram, and further points (m, 3) [voxels]; nothing where a size
    is not known.
    """
    rigid = nearest_rigid(tomogram)
    if rigid is None or tomogram.projections is None or tomogram.size is None:
        return np.zeros(tomogram.n_tilts), np.zeros(tomogram.n_tilts)
    every = geometry.corners(tomogram.size)
    if points is not None:
        every = np.concatenate([every, points])
    middle = tomogram.with_depth_origin(np.asarray(tomogram.size) / 2)
    depth = middle.depth(every) - replace(middle, projections=rigid).depth(every)
    shifts = geometry.rigid_loss(tomogram.projections, rigid, every)
    return shifts, np.asarray(np.abs(depth).max(axis=1))


def within(tomogram: Tomogram, tolerance: Tolerance) -> Tomogram:
    """The tomogram, or the nearest rigid one where it is further off than it may be.

    Raises
    ------
    UnsupportedError
        If it is, and the nearest one is not asked for.
    """
    shifts, depths = rigid_loss(tomogram)
    loss = np.maximum(shifts, depths)
    if loss.max(initial=0.0) <= max(tolerance.max_loss, 1e-6):
        return tomogram
    if tolerance.nearest:
        return replace(tomogram, projections=nearest_rigid(tomogram))
    worst = int(loss.argmax())
    raise UnsupportedError(
        f"tomogram {tomogram.name!r}: RELION 5 knows rigid alignments only; tilt image "
        f"{worst + 1} would be off by up to {shifts[worst]:.3f} px, and {depths[worst]:.3f} px in "
        "depth (magnification or skew). "
        "Take the nearest rigid one (`nearest`), allow more (`max_loss`), or have matrices written "
        "next to the angles (`keep_matrices`)"
    )


def loss_of(tomogram: Tomogram, points: Array | None) -> Loss | None:
    """What angles and shifts alone lose, over the tomogram and points in it [voxels]."""
    lost, deep = rigid_loss(tomogram, points)
    both = np.maximum(lost, deep)
    if both.max(initial=0.0) <= _TOLD:
        return None
    worst, defocus = int(both.argmax()), deep * (tomogram.optics.pixel_size or 1.0)
    text = (
        f"is not rigid: angles and shifts are off by up to {lost.max():.3g} px, and by "
        f"{defocus.max():.1f} Å in depth, which is defocus (tilt image {worst + 1}; more than "
        f"{_TOLD:g} px in {(both > _TOLD).sum()} of {len(both)})"
    )
    return Loss(texts=(text,), pixels=lost, defocus=defocus * tomogram.defocus_slope)


def compare_matrices(placed: Tomogram, matrices: Array) -> None:
    """Say how far matrices and angles beside them disagree."""
    if placed.projections is None or placed.size is None:
        return
    corners = geometry.corners(placed.size)
    apart = geometry.rigid_loss(matrices, placed.projections, corners).max()
    if apart < 0.01:
        return
    one_based = geometry.rigid_loss(
        geometry.from_one_based(matrices), placed.projections, corners
    ).max()
    why = "; they count voxels from 1, as RELION 4 does" if one_based < 0.01 else ""
    warnings.warn(
        f"tomogram {placed.name!r}: matrices and angles disagree by up to {apart:.3g} px{why}; the "
        "matrices are taken, as RELION 5 does",
        AssumptionWarning,
        stacklevel=2,
    )
