"""The sums over particles from which the likelihood of any map follows, group by group.

With images x of white noise, predicted as s W S F (F the map's transform, S the slices through
it, W the contrast transfer function times all weights, s an amplitude), the logarithm of the
likelihood is s <num, F> - s² / 2 <F, den F> + constant, with num = S* W x and den = S* W². So
images are read once, and then any map, turned in any way, is compared with all of them at once.
"""

from __future__ import annotations

import math
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from tomoset.errors import ModelError
from tomoset.images.ctf import frequencies
from tomoset.model import ParticleSet, Tomogram
from tomoset.particles.evidence import TiltImages, expected_places, own_masks, visible_in
from tomoset.particles.geometric.sums import BEYOND, Sums, empty_grids, padded_size, regridded
from tomoset.particles.predict import Predictor, Weighting
from tomoset.particles.reference import Reference
from tomoset.particles.slices import Slices
from tomoset.particles.whiten import WhiteImage, Whitener

Array = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

#: Pixels of boxes that are worked on at once.
_AT_ONCE = 1 << 18
#: Seed of the groups: the same particles are always in the same group.
_SEED = 6


@dataclass(frozen=True, kw_only=True)
class SumOptions:
    """What is summed.

    Parameters
    ----------
    box : int
        About a particle in the images [px], even.
    lowpass : float
        Finer waves are left out [Å].
    groups : int
        Of particles, each with sums of its own.
    weighting : Weighting
        Which frequencies count.
    threads : int
        Images that are worked on at once.

    Raises
    ------
    ModelError
        If a value is impossible.
    """

    box: int
    lowpass: float
    groups: int = 10
    weighting: Weighting = field(default_factory=Weighting)
    threads: int = 1

    def __post_init__(self) -> None:
        if self.box % 2 or self.box < 16:
            raise ModelError(
                f"the box (--b) must be an even number of pixels, 16 or more, not {self.box}"
            )
        if not 0 < self.lowpass < math.inf:
            raise ModelError(f"the low-pass filter must be above 0 Å, not {self.lowpass:g}")
        if self.groups < 2 or self.threads < 1:
            raise ModelError("there must be 2 groups or more, and 1 thread or more")

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
    ModelError
        If something is not known or does not fit, or no particle is visible.
    FileFormatError
        If an image is damaged, or optics groups contradict the tomogram.
    """
    if options.box > min(images.size):
        width, height = images.size
        raise ModelError(
            f"tomogram {tomogram.name!r}: a box of {options.box} px is larger than the tilt images "
            f"of {width} x {height} px; take a smaller one (--b)"
        )
    work = _Summation(tomogram, images, particles, options, pixel_size)
    with ThreadPoolExecutor(options.threads) as pool:
        for _ in pool.map(work.tilt, range(tomogram.n_tilts)):
            pass
    return work.sums()


class _Summation:
    """The work on one tomogram, image by image."""

    def __init__(
        self,
        tomogram: Tomogram,
        images: TiltImages,
        particles: ParticleSet,
        options: SumOptions,
        pixel_size: float | None,
    ) -> None:
        # Of a single point nothing is left in a slice but the CTF and the weights.
        point = np.zeros((8, 8, 8), np.float32)
        point[4, 4, 4] = 1
        reference = Reference(half1=point, half2=point, pixel_size=pixel_size)
        box = options.box
        self._predictor = Predictor(tomogram, particles, reference, box)
        self._images, self._options = images, options
        self._at = expected_places(tomogram, particles)
        self._visible = visible_in(self._at, images.size, box / 2) & own_masks(particles, tomogram)
        if not self._visible.any():
            raise ModelError(
                f"tomogram {tomogram.name!r}: none of its {len(particles)} particles is visible in "
                f"any tilt image (with {box / 2:g} px about it); are the coordinates voxels of the "
                "tomogram at bin 1, and is the box (--b) not too large?"
            )
        assert tomogram.projections is not None
        assert tomogram.optics.pixel_size is not None
        self._linear = tomogram.projections[:, None, :2, :3] @ particles.orientations
        self._groups = _groups_of(len(particles), options.groups)
        self._radius = options.radius(tomogram.optics.pixel_size)
        self._padded = padded_size(box)
        self._numerator, self._power = empty_grids(options.groups, self._radius, box)
        x, y = frequencies((box, box), 1.0)
        self._k = np.hypot(x, y)
        self._whitener = Whitener(images.size)
        self._lock = threading.Lock()

    def tilt(self, t: int) -> None:
        """Add what one image says."""
        rows = np.flatnonzero(self._visible[:, t])
        if not len(rows):
            return
        white = self._whitener(self._images.read(t))
        weight = self._predictor.weight(t, self._options.weighting, white.gain_at(self._k))
        weight[self._k * self._options.box > self._radius] = 0
        if not weight.any():
            return
        count = max(1, _AT_ONCE // self._options.box**2)
        for first in range(0, len(rows), count):
            self._batch(t, rows[first : first + count], white, weight)

    def _batch(self, t: int, rows: Ints, white: WhiteImage, weight: Array) -> None:
        import scipy.fft

        from tomoset.particles import _kernels
        from tomoset.particles.geometric import _kernels as own_kernels

        box = self._options.box
        at = self._at[rows, t]
        middle = np.rint(at).astype(np.int64)
        boxes = np.empty((len(rows), box, box), np.float32)
        _kernels.cut(white.image, middle - box // 2, boxes)
        seen: Slices = scipy.fft.rfft2(boxes)
        weights = self._predictor.images(t, rows, weight)
        unused = np.empty(len(rows)), np.empty((len(rows), 3))
        _kernels.match(seen, weights, at - middle + box // 2, seen, *unused)
        linear = np.ascontiguousarray(self._linear[t, rows])
        reach = float(self._radius), float(self._padded)
        with self._lock:
            own_kernels.insert(
                seen, weights, linear, self._groups[rows], reach, (self._numerator, self._power)
            )

    def sums(self) -> Sums:
        """All of it, when all images are done."""
        return regridded(self._numerator, self._power, self._radius, self._options.box)


def _groups_of(number: int, groups: int) -> Ints:
    """A random group for each particle, all about as large."""
    return np.random.default_rng(_SEED).permutation(number) % groups
