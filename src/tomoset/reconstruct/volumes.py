"""The volumes of one tomogram, each to its file."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from tomoset.errors import ModelError
from tomoset.images.device import Device
from tomoset.images.volume import VolumeSpec, int8_scale, open_volume
from tomoset.reconstruct.back_projection import back_projection
from tomoset.reconstruct.plan import Plan
from tomoset.reconstruct.sections import Sections
from tomoset.reconstruct.sirt import as_slabs, sirt
from tomoset.reconstruct.transforms import Transforms

Images = npt.NDArray[np.float32]
Array = npt.NDArray[np.float64]

#: Grey values this many standard deviations from the mean still fit into int8.
_INT8_RANGE = 4.0


def write_volume(
    plan: Plan,
    transforms: Transforms,
    tilts: Sequence[int],
    path: str,
    device: Device,
    beads: Array | None = None,
) -> tuple[int | None, Sections]:
    """Reconstruct and write one volume.

    Parameters
    ----------
    plan : Plan
        What is wanted.
    transforms : Transforms
        Of the tilt images.
    tilts : sequence of int
        The tilt images that it is made of.
    path : str
        Of the volume; it appears whole or not at all.
    device : Device
        Where it is computed.
    beads : (n, 3) array, optional
        That sections should show [0-based voxels of the volume].

    Returns
    -------
    (int or None, Sections)
        The rounds that SIRT took, and what a figure shows of the volume.

    Raises
    ------
    ModelError
        If every voxel comes out as the same.
    """
    rounds = None
    if plan.options.method == "sirt":
        volume, history = sirt(plan, transforms, tilts, device)
        parts, rounds = as_slabs(volume, device), len(history)
    else:
        parts = back_projection(plan, transforms, tilts, device)
    seen = Sections(plan.size, plan.pixel_size * plan.binning, beads)
    spec, parts = _specification(plan, parts)
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    with open_volume(path, spec) as out:
        for slab in parts:
            seen.take(slab)
            out.write(slab)
        if seen.are_blank():
            raise _blank(plan)
    return rounds, seen


def _blank(plan: Plan) -> ModelError:
    return ModelError(
        f"tomogram {plan.tomogram.name!r}: every voxel came out as the same: its images are blank, "
        "or show nothing of it, or voxels are far too large"
    )


def _specification(plan: Plan, parts: Iterator[Images]) -> tuple[VolumeSpec, Iterator[Images]]:
    """What the file is to be. Bytes need a range of grey values, for which all must be known."""
    scale = None
    if plan.options.data_type == "int8":
        known = list(parts)
        volume = np.concatenate(known)
        mean, spread = float(volume.mean(dtype=np.float64)), float(volume.std(dtype=np.float64))
        if not spread > 0:
            raise _blank(plan)
        scale = int8_scale(mean - _INT8_RANGE * spread, mean + _INT8_RANGE * spread)
        parts = iter(known)
    return VolumeSpec(
        size=plan.size,
        pixel_size=plan.pixel_size * plan.binning,
        dtype=plan.options.data_type,
        scale=scale,
    ), parts
