"""A 2D deformation as IMOD's local alignment.

Each patch gets what the deformation does, to first order, to the images of its place in the middle
of the tomogram. Between patches `tilt` takes the mean, so that what is lost is curvature within a
patch; more patches are taken until that is little.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from tomoset.formats.imod.local_field import Field, GlobalAlignment
from tomoset.formats.imod.local_file import LocalAlignment
from tomoset.model import Deformation

Array = npt.NDArray[np.float64]

#: Patches along an axis, and when they are enough [px].
_PATCHES, _ENOUGH = (2, 5, 9, 17, 33), 0.02


def local_alignment(
    alignment: GlobalAlignment, deformation: Deformation, pixel_size: float
) -> LocalAlignment:
    """The local alignment that is nearest to a deformation, of as few patches as will do.

    Parameters
    ----------
    alignment : GlobalAlignment
        With transforms.
    deformation : Deformation
        Of the same images.
    pixel_size : float
        Of the tilt images [Å].
    """
    for patches in _PATCHES:
        local = _of_patches(alignment, deformation, patches, pixel_size)
        off = _curvature(Field(alignment, local), deformation)
        if off < _ENOUGH:
            break
    return local


def _of_patches(
    alignment: GlobalAlignment, deformation: Deformation, patches: int, pixel_size: float
) -> LocalAlignment:
    """That of so many patches along each axis.

    They cover what lies above and below the tomogram's middle as it is seen from the side, too:
    `tilt` does not use that, but it is where the deformation is known.
    """
    sides = alignment.volume.aligned_size
    depth = alignment.volume.thickness / 2
    lean = [np.abs(np.tan(np.deg2rad(a))).max() for a in (alignment.tilts, alignment.x_tilts)]
    aside = [math.ceil(min(depth * t, side / 2)) for t, side in zip(lean, sides, strict=True)]
    step = [
        max(math.ceil((side - 1 + 2 * a) / (patches - 1)), 1)
        for side, a in zip(sides, aside, strict=True)
    ]
    first = [(side + 1 - (patches - 1) * s) // 2 for side, s in zip(sides, step, strict=True)]
    n = len(alignment.tilts)
    none = LocalAlignment(
        path="",
        first=(first[0], first[1]),
        step=(step[0], step[1]),
        tilts=np.zeros((patches, patches, n)),
        x_tilts=np.zeros((patches, patches, n)),
        z_factors=None,
        xf=np.broadcast_to(np.eye(2, 3), (patches, patches, n, 2, 3)),
        pixel_size=pixel_size,
    )
    xf = _transforms(alignment, deformation, Field(alignment, none).of_patches())
    return replace(none, xf=np.swapaxes(xf, 0, 1).reshape(patches, patches, n, 2, 3))


def _transforms(alignment: GlobalAlignment, deformation: Deformation, seen: Array) -> Array:
    """What the deformation does about points of the images, (n, m, 2): (n, m, 2, 3)."""
    assert alignment.xf is not None
    basis = deformation.basis(alignment.raw_size)
    middle = (np.array(alignment.raw_size) - 1) / 2
    local = np.empty((*seen.shape, 3))
    for i, xf in enumerate(alignment.xf):
        inside = np.clip(seen[i], 0.0, alignment.raw_size)
        C = basis.matrix(deformation.coefficients[i])
        rise = np.swapaxes(basis.slopes(inside) @ C.T, 1, 2)
        moved = basis.displacement(deformation.coefficients[i], inside)
        # beyond the image it goes on as at its edge
        moved = moved + np.einsum("mij,mj->mi", rise, seen[i] - inside)
        rise = xf[:, :2] @ rise @ np.linalg.inv(xf[:, :2])
        place = (seen[i] - middle) @ xf[:, :2].T + xf[:, 2]  # from the middle of the aligned image
        local[i, :, :, :2] = np.eye(2) + rise
        local[i, :, :, 2] = moved @ xf[:, :2].T - np.einsum("mij,mj->mi", rise, place)
    return local


def _curvature(field: Field, deformation: Deformation) -> float:
    """How far the local alignment is from the deformation, at most, in the middle [px]."""
    off = field.apart(deformation, *field.seen(field.depths[0]))
    return float(off[np.isfinite(off)].max(initial=0.0))
