"""The sums over particles from which the likelihood of any map follows, group by group.

With images x of white noise, predicted as s W S F (F the map's transform, S the slices through
it, W the contrast transfer function times all weights, s an amplitude), the logarithm of the
likelihood is s <num, F> - s² / 2 <F, den F> + constant, with num = S* W x and den = S* W². So
images are read once, and then any map, in any orientation, is compared with all of them at once.
"""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from tomoset.errors import ModelError
from tomoset.images.boxes import TiltImages
from tomoset.model import ParticleSet, Tomogram
from tomoset.particles.extract import Extraction, ExtractionOptions, TiltParticles
from tomoset.particles.geometric.sums import BEYOND, Sums, empty_grids, padded_size, regridded
from tomoset.particles.reference import Reference

Ints = npt.NDArray[np.int64]

#: Seed of the groups: the same particles are always in the same group.
_SEED = 6


@dataclass(frozen=True, kw_only=True)
class SumOptions(ExtractionOptions):
    """What is summed.

    Parameters
    ----------
    lowpass : float
        Finer waves are left out [Å].
    groups : int
        Of particles, each with sums of its own.

    Raises
    ------
    ModelError
        If a value is impossible.
    """

    least_box: ClassVar[int] = 16

    lowpass: float
    groups: int = 10

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.lowpass < math.inf:
            raise ModelError(f"the low-pass filter must be above 0 Å, not {self.lowpass:g}")
        if self.groups < 2:
            raise ModelError(f"there must be 2 groups or more, not {self.groups}")

    def radius(self, pixel_size: float) -> float:
        """Of the ball of frequencies that is kept, in steps of the box.

        Raises
        ------
        ModelError
            If next to nothing would be left.
        """
        radius = min(self.box * pixel_size / self.lowpass, self.box / 2 - 2 * BEYOND)
        if radius < 3:
            raise ModelError(
                f"a box of {self.box} px of {pixel_size:g} Å has next to nothing coarser than "
                f"{self.lowpass:g} Å: take a larger box (--b), or a finer filter (--lowpass)"
            )
        return radius


def accumulate(
    tomogram: Tomogram,
    images: TiltImages,
    particles: ParticleSet,
    options: SumOptions,
    pixel_size: float | None = None,
) -> Sums:
    """Sum up what all images of a tomogram say of its particles.

    Parameters
    ----------
    tomogram : Tomogram
        Aligned, with a CTF.
    images : TiltImages
        Its tilt images, in the order of its table.
    particles : ParticleSet
        Of this tomogram, with orientations.
    options : SumOptions
        What is summed.
    pixel_size : float, optional
        Of the map that this is for [Å]; the tomogram's must be the same.

    Raises
    ------
    TomosetError
        As `tomoset.particles.extract.Extraction` does, or if no particle is visible.
    """
    # Of a single point nothing is left in a slice but the CTF and the weights.
    point = np.zeros((8, 8, 8), np.float32)
    point[4, 4, 4] = 1
    reference = Reference(half1=point, half2=point, pixel_size=pixel_size)
    of, box = Extraction(tomogram, images, particles, reference, options), options.box
    radius = options.radius(of.predictor.pixel_size)
    inside = of.predictor.frequency * box <= radius
    group_of = _groups_of(len(particles), options.groups)
    grids, lock = empty_grids(options.groups, radius, box), threading.Lock()
    reach = radius, float(padded_size(box))

    def add(tilt: TiltParticles) -> None:
        from tomoset.particles.geometric import _kernels

        t, weight = tilt.tilt, tilt.weight * inside
        for rows in of.batches(tilt.rows, box):
            seen, offsets = of.transforms(t, rows, tilt.image)
            weights = of.predictor.images(t, rows, weight)
            products, _, _ = of.device.match(seen, weights, offsets, box)
            linear = of.predictor.linear(t, rows)
            with lock:
                _kernels.insert(products, weights, linear, group_of[rows], reach, grids)

    of.run(add)
    return regridded(*grids, radius, box)


def _groups_of(number: int, groups: int) -> Ints:
    """A random group for each particle, all about as large."""
    return np.random.default_rng(_SEED).permutation(number) % groups
