"""What tilt images say of their defocus and contrast, in so few numbers that any change is quick.

A particle's predicted image is P sin(gamma): its projection and all that damps it, times minus
the CTF of its own depth. A change of the table's defocus adds the same phase d(k) to gamma for
every particle, so that

    P sin(gamma + d) = (P sin gamma) cos d + (P cos gamma) sin d

and what the images say of any such change, exactly, are five sums over particles for each wave:
the images' products with both parts, and those of the parts among themselves. RELION keeps the
same ("even-phase evidence": an optimum and a 2 x 2 weight).
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from tomoset.errors import ModelError
from tomoset.images.ctf import frequencies, wavelength
from tomoset.model import ParticleSet, Tomogram
from tomoset.particles.evidence import TiltImages, expected_places, own_masks, visible_in
from tomoset.particles.predict import Predictor, Weighting
from tomoset.particles.reference import Reference
from tomoset.particles.slices import Slices, moved
from tomoset.particles.whiten import WhiteImage, Whitener

Array = npt.NDArray[np.float64]
Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

#: Particles are in two groups, each of which tests what the other says, and each group is in
#: batches: by how far these differ it is known how sure the test is.
GROUPS, BATCHES = 2, 4
#: Pixels of boxes that are worked on at once: they stay in the cache of a core.
_AT_ONCE = 1 << 18
#: The largest change turns waves of one ring by so much, or less [rad].
_RING = 0.1


@dataclass(frozen=True, kw_only=True)
class CtfEvidenceOptions:
    """How the sums are made.

    Parameters
    ----------
    box : int
        Of the boxes that are cut out [px], even.
    whiten : bool
        Whether images are made white; else only their variance is 1.
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
    whiten: bool = True
    weighting: Weighting = field(default_factory=Weighting)
    threads: int = 2

    def __post_init__(self) -> None:
        if self.box % 2 or self.box < 8:
            raise ModelError(f"the box must be an even number of pixels, 8 or more, not {self.box}")
        if self.threads < 1:
            raise ModelError("the number of threads must be 1 or more")


@dataclass(frozen=True, kw_only=True, eq=False)
class CtfEvidence:
    """The sums of all tilt images: what `CtfEvidence.parts` makes of them are log-likelihoods.

    Parameters
    ----------
    products : (n_tilts, n_batches, 2, n_waves) float32 array
        By tilt, batch of particles, and part (sine, cosine): images times predictions.
    powers : (n_tilts, n_batches, 3, n_waves) float32 array
        Sine squared, sine times cosine, cosine squared of the predictions.
    x, y : (n_waves,) arrays
        Frequencies [1/Å] of the half plane that have a weight.
    voltage : float
        [kV].
    seen : (n_tilts, n_batches) int array
        Particles of each batch that an image shows.
    particles : int
        That any image shows.
    """

    products: Floats
    powers: Floats
    x: Array
    y: Array
    voltage: float
    seen: Ints
    particles: int

    @property
    def n_tilts(self) -> int:
        """How many tilt images there are."""
        return len(self.products)

    @property
    def slopes(self) -> Array:
        """Phase for each Å of a change (dz, a1, a2): (3, n_waves) [rad/Å].

        The change of defocus along a wave's direction t is dz + a1 cos 2t + a2 sin 2t.
        """
        x, y = self.x, self.y
        return (
            -np.pi * wavelength(self.voltage) * np.stack([x * x + y * y, x * x - y * y, 2 * x * y])
        )

    def coarser_left_out(self, resolution: float) -> CtfEvidence:
        """Without waves longer than this [Å]."""
        keep = np.hypot(self.x, self.y) >= 1 / resolution
        return replace(
            self,
            products=self.products[..., keep],
            powers=self.powers[..., keep],
            x=self.x[keep],
            y=self.y[keep],
        )

    def damped(self, factor: Array) -> CtfEvidence:
        """With predictions multiplied by a factor for each wave, (n_waves,)."""
        once = factor.astype(np.float32)
        return replace(self, products=self.products * once, powers=self.powers * once * once)

    def rings(self, reach: float) -> CtfEvidence:
        """Summed over rings, for changes without astigmatism within a reach [Å]: far fewer."""
        k2 = self.x**2 + self.y**2
        width = _RING / (np.pi * wavelength(self.voltage) * reach)
        ring = np.rint(k2 / width).astype(np.int64)
        order = np.argsort(ring, kind="stable")
        starts = np.flatnonzero(np.diff(ring[order], prepend=-1))
        mean = np.add.reduceat(k2[order], starts) / np.diff([*starts, len(order)])
        return replace(
            self,
            products=np.add.reduceat(self.products[..., order], starts, axis=-1),
            powers=np.add.reduceat(self.powers[..., order], starts, axis=-1),
            x=np.sqrt(mean),
            y=np.zeros(len(starts)),
        )

    def group(self, number: int) -> CtfEvidence:
        """Of one group of particles alone."""
        return self._of(slice(number, None, GROUPS))

    def batches(self) -> list[CtfEvidence]:
        """Of each batch of particles alone."""
        return [self._of(slice(i, i + 1)) for i in range(self.products.shape[1])]

    def _of(self, only: slice) -> CtfEvidence:
        return replace(
            self,
            products=self.products[:, only],
            powers=self.powers[:, only],
            seen=self.seen[:, only],
        )

    def parts(self, tilt: int, changes: Array) -> tuple[Array, Array]:
        """What an image and its prediction have in common, if its defocus changes.

        Parameters
        ----------
        tilt : int
            Row of the tomogram.
        changes : (n, 3) array
            dz, a1, a2 [Å].

        Returns
        -------
        common, energy : (n,) arrays
            The log-likelihood of a change and of an amplitude A of all predictions is
            A common - A² energy / 2, against nothing being there.
        """
        phase = (np.asarray(changes) @ self.slopes).astype(np.float32)
        c, s = np.cos(phase), np.sin(phase)
        sine, cosine = self.products[tilt].sum(axis=0)
        power = self.powers[tilt].sum(axis=0)
        common = c @ sine + s @ cosine
        energy = (c * c) @ power[0] + 2 * (s * c) @ power[1] + (s * s) @ power[2]
        return common.astype(np.float64), energy.astype(np.float64)

    def derivatives(self, tilt: int, change: Array, amplitude: float) -> tuple[Array, Array]:
        """Slope of the log-likelihood at a change, and the Fisher information of it.

        Parameters
        ----------
        tilt : int
            Row of the tomogram.
        change : (3,) array
            dz, a1, a2 [Å].
        amplitude : float
            Of the predictions.

        Returns
        -------
        gradient : (3,) array
            [1/Å].
        information : (3, 3) array
            [1/Å²]. Of the predicted image's own slope: positive, also far from the optimum.
        """
        slopes = self.slopes
        phase = change @ slopes
        c, s = np.cos(phase), np.sin(phase)
        sine, cosine = self.products[tilt].sum(axis=0, dtype=np.float64)
        ss, sc, cc = self.powers[tilt].sum(axis=0, dtype=np.float64)
        by_phase = amplitude * (c * cosine - s * sine)
        by_phase -= amplitude**2 * (s * c * (cc - ss) + (c * c - s * s) * sc)
        own = amplitude**2 * (s * s * ss - 2 * s * c * sc + c * c * cc)
        return slopes @ by_phase, (slopes * own) @ slopes.T


def gather(
    tomogram: Tomogram,
    images: TiltImages,
    particles: ParticleSet,
    reference: Reference,
    options: CtfEvidenceOptions,
    trajectories: npt.ArrayLike | None = None,
) -> CtfEvidence:
    """Sum up what all tilt images say of their CTF.

    Parameters
    ----------
    tomogram : Tomogram
        Aligned, with a CTF.
    images : TiltImages
        Its tilt images, in the order of its table; one for each thread is in memory at a time.
    particles : ParticleSet
        Of this tomogram.
    reference : Reference
        Two half maps. A particle is compared with that of its own half set.
    options : CtfEvidenceOptions
        Sizes and weights.
    trajectories : (n_particles, n_tilts, 3) array, optional
        How far each particle has moved by each image, x, y, z of the tomogram [Å].

    Raises
    ------
    ModelError
        If no particle is visible, the box is larger than the images, or pixel sizes differ.
    FileFormatError
        If images hold NaN, or optics groups contradict the tomogram.
    """
    if options.box > min(images.size):
        width, height = images.size
        raise ModelError(
            f"tomogram {tomogram.name!r}: a box of {options.box} px is larger than the tilt images "
            f"of {width} x {height} px; take a smaller one (--b)"
        )
    work = _Sums(tomogram, images, particles, reference, options)
    work.place(particles, trajectories)
    with ThreadPoolExecutor(options.threads) as pool:
        for _ in pool.map(work.tilt, range(tomogram.n_tilts)):
            pass
    return work.evidence()


class _Sums:
    """The work on one tomogram, image by image."""

    def __init__(
        self,
        tomogram: Tomogram,
        images: TiltImages,
        particles: ParticleSet,
        reference: Reference,
        options: CtfEvidenceOptions,
    ) -> None:
        self._tomogram, self._images, self._options = tomogram, images, options
        self._sine = Predictor(tomogram, particles, reference, options.box)
        # A quarter of a turn more of phase: sin(gamma - 90°) = -cos(gamma).
        shift = np.zeros(tomogram.n_tilts) if tomogram.phase_shift is None else tomogram.phase_shift
        turned = replace(tomogram, phase_shift=shift + 90.0)
        self._cosine = Predictor(turned, particles, reference, options.box)
        self._batches = _batches(self._sine.halves)
        self._whitener = Whitener(images.size, whiten=options.whiten)
        assert tomogram.optics.pixel_size is not None
        x, y = frequencies((options.box, options.box), tomogram.optics.pixel_size)
        self._x, self._y = (np.ascontiguousarray(a) for a in np.broadcast_arrays(x, y))
        self._k = np.hypot(self._x, self._y) * tomogram.optics.pixel_size
        half = self._x.shape
        self._products = np.zeros((tomogram.n_tilts, GROUPS * BATCHES, 2, *half), np.float32)
        self._powers = np.zeros((tomogram.n_tilts, GROUPS * BATCHES, 3, *half), np.float32)
        self._at, self._visible = np.empty((0, 0, 2)), np.empty((0, 0), np.bool_)

    def place(self, particles: ParticleSet, trajectories: npt.ArrayLike | None) -> None:
        """Find where particles are in the images, and in which."""
        tomogram = self._tomogram
        self._at = expected_places(tomogram, particles, trajectories)
        self._visible = visible_in(self._at, self._images.size, self._options.box / 2)
        self._visible &= own_masks(particles, tomogram)
        if not self._visible.any():
            raise ModelError(
                f"tomogram {tomogram.name!r}: none of its {len(particles)} particles is visible in "
                f"any tilt image (with {self._options.box / 2:g} px about it); are the coordinates "
                "voxels of the tomogram at bin 1, and is the box (--b) not too large?"
            )

    def tilt(self, t: int) -> None:
        """Add up what one image says."""
        rows = np.flatnonzero(self._visible[:, t])
        if not len(rows):
            return
        white = self._whitener(self._images.read(t))
        weight = self._sine.weight(t, self._options.weighting, white.gain_at(self._k))
        if not weight.any():
            self._visible[:, t] = False
            return
        count = max(1, _AT_ONCE // self._options.box**2)
        for batch in range(GROUPS * BATCHES):
            mine = rows[self._batches[rows] == batch]
            mine = mine[np.argsort(self._sine.halves[mine], kind="stable")]
            for first in range(0, len(mine), count):
                self._add(t, batch, mine[first : first + count], white, weight)

    def _add(self, t: int, batch: int, rows: Ints, white: WhiteImage, weight: Array) -> None:
        sine = self._sine.images(t, rows, weight)
        cosine = self._cosine.images(t, rows, weight)
        np.negative(cosine, out=cosine)
        products, powers = self._products[t, batch], self._powers[t, batch]
        seen = _boxes(white, self._at[rows, t], self._options.box)
        for i, part in enumerate((sine, cosine)):
            products[i] += _sum_of_products(part, seen)
        for i, (one, other) in enumerate(((sine, sine), (sine, cosine), (cosine, cosine))):
            powers[i] += _sum_of_products(one, other)

    def evidence(self) -> CtfEvidence:
        """All of it, when all images are done; waves of the whole plane count."""
        box = self._options.box
        twice = np.full(self._x.shape, 2.0 / box**2)
        twice[:, 0] /= 2
        used: Mask = np.array(self._powers.any(axis=(0, 1, 2)))
        used[:, -1] = False
        twice = twice[used].astype(np.float32)
        seen = [self._visible[self._batches == b].sum(axis=0) for b in range(GROUPS * BATCHES)]
        return CtfEvidence(
            products=self._products[..., used] * twice,
            powers=self._powers[..., used] * twice,
            x=self._x[used],
            y=self._y[used],
            voltage=self._tomogram.optics.voltage,
            seen=np.stack(seen, axis=1).astype(np.int64),
            particles=int(self._visible.any(axis=1).sum()),
        )


def _batches(halves: Ints) -> Ints:
    """The batch of each particle: those of either half set go to all of them in turns."""
    batches = np.empty(len(halves), np.int64)
    for half in np.unique(halves):
        mine = np.flatnonzero(halves == half)
        batches[mine] = np.arange(len(mine)) % (GROUPS * BATCHES)
    return batches


def _boxes(white: WhiteImage, at: Array, box: int) -> Slices:
    """Transforms of boxes about places, with the place at pixel 0: (n, box, box // 2 + 1)."""
    import scipy.fft

    from tomoset.particles import _kernels

    middle = np.rint(at).astype(np.int64)
    boxes = np.empty((len(at), box, box), np.float32)
    _kernels.cut(white.image, middle - box // 2, boxes)
    return moved(scipy.fft.rfft2(boxes), middle - at - box // 2)


def _sum_of_products(one: Slices, other: Slices) -> Floats:
    """The real part of one times the conjugate of the other, summed over the first axis."""
    n, height, width = one.shape
    first, second = (a.view(np.float32).reshape(n, height, width, 2) for a in (one, other))
    return np.asarray(np.einsum("nyxc,nyxc->yx", first, second))
