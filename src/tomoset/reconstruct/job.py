"""One tomogram, from its tilt images to the files of its volumes."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tomoset.images.device import Device, open_device
from tomoset.images.volume import VolumeSpec, int8_scale, open_volume
from tomoset.model import Tomogram
from tomoset.reconstruct.back_projection import back_projection
from tomoset.reconstruct.options import Options
from tomoset.reconstruct.plan import Plan
from tomoset.reconstruct.sirt import as_slabs, sirt
from tomoset.reconstruct.slices import CentralSlices
from tomoset.reconstruct.transforms import Transforms
from tomoset.tilt_series import TiltSeries, half_places

Images = npt.NDArray[np.float32]

#: Grey values this many standard deviations from the mean still fit into int8.
_INT8_RANGE = 4.0


@dataclass(frozen=True, kw_only=True, eq=False)
class Task:
    """What one process needs to reconstruct a tomogram.

    Parameters
    ----------
    tomogram : Tomogram
        As the set has it.
    set_path : str or None
        The STAR file of the set, from which paths are found.
    target : str
        Path of the volume without its suffix.
    options : Options
        What is wanted.
    """

    tomogram: Tomogram
    set_path: str | None
    target: str
    options: Options


def reconstruct_one(task: Task) -> dict[str, Any]:
    """Reconstruct a tomogram: its volumes, and a picture beside each.

    Returns
    -------
    dict
        For JSON: ``path``, ``half1``, ``half2`` (None if not asked for), ``binning``, ``size``
        [bin-1 px], ``voxels``, ``pixel_size`` [Å], ``rounds`` (of SIRT).

    Raises
    ------
    TomosetError
        If something is missing or damaged. Nothing is written then.
    """
    options = task.options
    device = open_device(options.device)
    path = f"{task.target}{options.file}"
    made: dict[str, str | None] = {"path": path, "half1": None, "half2": None}
    with TiltSeries(task.tomogram, task.set_path) as series:
        plan = Plan.of(task.tomogram, options, series.size)
        with Transforms(plan, series, device) as transforms:
            _use_threads(options.threads)
            rows = range(plan.tomogram.n_tilts)
            rounds = _write_volume(plan, transforms, rows, path, device)
            for half, some, of_half in _halves(task, plan, transforms, device):
                made[half] = f"{task.target}_{half}{options.file}"
                _write_volume(plan, some, of_half, str(made[half]), device)
    assert plan.tomogram.size is not None
    return {
        **made,
        "binning": plan.binning,
        "size": list(plan.tomogram.size),
        "voxels": list(plan.size),
        "pixel_size": plan.pixel_size * plan.binning,
        "rounds": rounds,
    }


def _use_threads(threads: int) -> None:
    import numba

    most: int = numba.config.NUMBA_NUM_THREADS  # type: ignore[attr-defined]
    numba.set_num_threads(min(threads, most))


def _halves(
    task: Task, plan: Plan, transforms: Transforms, device: Device
) -> Iterator[tuple[str, Transforms, Sequence[int]]]:
    """Transforms and rows of each half: of frames where the set has such images, or of tilts."""
    if not task.options.halves:
        return
    rows = range(plan.tomogram.n_tilts)
    places = half_places(task.tomogram)
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
    slices = CentralSlices(plan.size)
    spec, parts = _specification(plan, parts)
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    with open_volume(path, spec) as out:
        for slab in parts:
            slices.take(slab)
            out.write(slab)
    slices.write(f"{os.path.splitext(path)[0]}.png", spec.pixel_size, plan.tomogram.name)
    return rounds


def _specification(plan: Plan, parts: Iterator[Images]) -> tuple[VolumeSpec, Iterator[Images]]:
    """What the file is to be. Bytes need a range of grey values, for which all must be known."""
    scale = None
    if plan.options.data_type == "int8":
        known = list(parts)
        volume = np.concatenate(known)
        mean, spread = float(volume.mean(dtype=np.float64)), float(volume.std(dtype=np.float64))
        scale = int8_scale(mean - _INT8_RANGE * spread, mean + _INT8_RANGE * spread)
        parts = iter(known)
    return VolumeSpec(
        size=plan.size,
        pixel_size=plan.pixel_size * plan.binning,
        dtype=plan.options.data_type,
        scale=scale,
    ), parts
