"""One tomogram, from its tilt images to the files of its volumes."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tomoset.derived import file_sizes, identity, in_folder, use_threads
from tomoset.errors import ModelError
from tomoset.images.device import Device, open_device
from tomoset.images.volume import VolumeSpec, int8_scale, open_volume
from tomoset.reconstruct.back_projection import back_projection
from tomoset.reconstruct.plan import Plan
from tomoset.reconstruct.sirt import as_slabs, sirt
from tomoset.reconstruct.slices import CentralSlices
from tomoset.reconstruct.task import Task
from tomoset.reconstruct.transforms import Transforms
from tomoset.tilt_series import TiltSeries, half_places

Images = npt.NDArray[np.float32]

#: Grey values this many standard deviations from the mean still fit into int8.
_INT8_RANGE = 4.0


def reconstruct_one(task: Task) -> dict[str, Any]:
    """Reconstruct a tomogram: its volumes, and a picture beside each.

    Returns
    -------
    dict
        For JSON: ``path``, ``half1``, ``half2`` (None if not asked for), ``binning``, ``size``
        [bin-1 px], ``voxels``, ``pixel_size`` [Å], ``rounds`` (of SIRT), ``files`` (each with
        its bytes, None for a folder) and ``of``, the identity of what they were made of.

    Raises
    ------
    TomosetError
        If something is missing or damaged. No file is half-written then; halves may be there
        without the volume.
    """
    with in_folder(task.root):
        of = identity(task)
        made = _reconstruct(task)
        volumes = [made[which] for which in ("path", "half1", "half2") if made[which]]
        files = [*volumes, *(_picture(path) for path in volumes)]
        return {**made, "files": file_sizes(files), "of": of}


def _picture(path: str) -> str:
    return f"{os.path.splitext(path)[0]}.png"


def _reconstruct(task: Task) -> dict[str, Any]:
    options = task.options
    device = open_device(options.device)
    path = f"{task.target}{options.file}"
    made: dict[str, str | None] = {"path": path, "half1": None, "half2": None}
    with TiltSeries(task.tomogram, task.set_path) as series:
        plan = Plan.of(task.tomogram, options, series.size)
        with Transforms(plan, series, device) as transforms:
            use_threads(options.threads)
            # Halves first: what is wrong with them is known before the volume is replaced.
            for half, some, of_half in _halves(task, plan, transforms, device):
                made[half] = f"{task.target}_{half}{options.file}"
                _write_volume(plan, some, of_half, str(made[half]), device)
            rows = range(plan.tomogram.n_tilts)
            rounds = _write_volume(plan, transforms, rows, path, device)
    assert plan.tomogram.size is not None
    return {
        **made,
        "binning": plan.binning,
        "size": list(plan.tomogram.size),
        "voxels": list(plan.size),
        "pixel_size": plan.pixel_size * plan.binning,
        "rounds": rounds,
    }


def _halves(
    task: Task, plan: Plan, transforms: Transforms, device: Device
) -> Iterator[tuple[str, Transforms, Sequence[int]]]:
    """Transforms and rows of each half: of frames where the set has such images, or of tilts."""
    if not task.options.halves:
        return
    rows = range(plan.tomogram.n_tilts)
    places = half_places(task.tomogram)
    if places is None and len(rows) < 2:
        raise ModelError(f"tomogram {task.tomogram.name!r} has one tilt image: no --halves of it")
    for i, half in enumerate(("half1", "half2")):
        if places is None:
            yield half, transforms, rows[i::2]
            continue
        with (
            TiltSeries(task.tomogram, task.set_path, places=places[i]) as series,
            Transforms(plan, series, device) as of_frames,
        ):
            yield half, of_frames, rows


def _write_volume(
    plan: Plan,
    transforms: Transforms,
    rows: Sequence[int],
    path: str,
    device: Device,
) -> int | None:
    """Reconstruct and write one volume and its picture; the rounds that SIRT took."""
    rounds = None
    if plan.options.method == "sirt":
        volume, history = sirt(plan, transforms, rows, device)
        parts, rounds = as_slabs(volume, device), len(history)
    else:
        parts = back_projection(plan, transforms, rows, device)
    slices = CentralSlices(plan.size, plan.pixel_size * plan.binning)
    spec, parts = _specification(plan, parts)
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    with open_volume(path, spec) as out:
        for slab in parts:
            slices.take(slab)
            out.write(slab)
        if slices.are_blank():
            raise _blank(plan)
    slices.write(_picture(path), plan.tomogram.name)
    return rounds


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
