"""Images in several forms, each with the CTF of another depth: which voxel sees which."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from tomoset.images.ctf import wavelength
from tomoset.images.projector import Projector
from tomoset.reconstruct.agreement import PATCH
from tomoset.reconstruct.plan import Plan
from tomoset.run import Need

Array = npt.NDArray[np.float64]

#: Bytes that the images of a batch may take, in all their forms.
BATCH_BYTES = 1 << 30

#: How far the CTF's phase may be off at the finest frequency, half a step of depth away [rad].
PHASE_ERROR = np.pi / 8


@dataclass(frozen=True, kw_only=True, eq=False)
class Batch:
    """Images that are back-projected together, in equally many forms.

    Parameters
    ----------
    tilts : tuple of int
        Which images of the tomogram.
    lowest : (n,) array
        Depth along the beam, from where the table's defocus holds, of each one's form 0 [Å].
    step : float
        From one form to the next [Å].
    levels : int
        Number of forms.
    """

    tilts: tuple[int, ...]
    lowest: Array
    step: float
    levels: int

    def depth(self, at: int, level: int) -> float:
        """Depth for which a form of an image is corrected [Å]; `at` counts within the batch."""
        return float(self.lowest[at]) + level * self.step

    def projector(self, plan: Plan, whole: Projector) -> Projector:
        """That of all images for these, with their levels."""
        some = whole.of(list(self.tilts))
        if self.levels == 1:
            return some
        axes = np.vstack([np.zeros(3), np.eye(3)]) * plan.binning
        depths = plan.tomogram.depth(axes)[list(self.tilts)] * plan.pixel_size
        matrices = some.matrices.copy()
        matrices[:, 2, :3] = (depths[:, 1:] - depths[:, :1]) / self.step
        matrices[:, 2, 3] = (depths[:, 0] - self.lowest) / self.step
        return replace(some, matrices=matrices)


def batches(plan: Plan, tilts: Sequence[int]) -> Iterator[Batch]:
    """Images in batches that fit into memory: one, but for a CTF of many depths."""
    if plan.options.ctf != "3d":
        middle = plan.depths[list(tilts)].mean(axis=1)
        yield Batch(tilts=tuple(tilts), lowest=middle, step=1.0, levels=1)
        return
    lowest, step = plan.depths[:, 0], depth_step(plan)
    levels = np.ceil((plan.depths[:, 1] - lowest) / step).astype(int) + 1
    width, height = plan.image_size
    together: list[int] = []
    for row in sorted(tilts, key=lambda i: levels[i]):
        if together and (len(together) + 1) * levels[row] * 4 * width * height > BATCH_BYTES:
            yield _batch(together, lowest, step, levels)
            together = []
        together.append(row)
    yield _batch(together, lowest, step, levels)


def needs(plan: Plan) -> Need:
    """What a reconstruction takes.

    The images of a batch three times (filtered, with a border, and the next ones), the transforms
    of all, and so many whole volumes; on disk, the volume and those of halves.
    """
    options, (width, height), voxels = plan.options, plan.image_size, math.prod(plan.size)
    some = list(batches(plan, range(plan.tomogram.n_tilts)))
    images = max(len(batch.tilts) * batch.levels for batch in some) * width * height
    transforms = plan.tomogram.n_tilts * math.prod(plan.cropping.kept)
    planes = plan.tomogram.n_tilts * min(PATCH, max(plan.size[:2])) ** 2
    # SIRT keeps the volume, how much it meets, and what is projected; bytes need all of it first.
    volumes = 3 if options.method == "sirt" else int(len(some) > 1)
    volumes += 2 * (options.data_type == "int8")
    cure = ", or --ctf 2d" if options.ctf == "3d" else ""
    return Need(
        memory=4 * (3 * images + transforms + 3 * planes + volumes * voxels),
        disk=np.dtype(options.data_type).itemsize * voxels * (3 if options.halves else 1),
        cure=f"take larger voxels (--bin){cure}",
    )


def _batch(tilts: list[int], lowest: Array, step: float, levels: npt.NDArray[np.int64]) -> Batch:
    most = int(levels[tilts].max())
    return Batch(tilts=tuple(tilts), lowest=lowest[tilts], step=step, levels=most)


def depth_step(plan: Plan) -> float:
    """Between depths whose CTFs are told apart [Å]: see `PHASE_ERROR`."""
    finest = 1 / (2 * plan.pixel_size * plan.binning)
    length = wavelength(plan.tomogram.optics.need("voltage"))
    return float(2 * PHASE_ERROR / (np.pi * length * finest**2))
