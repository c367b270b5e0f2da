"""Sufficient statistics of the defocus and contrast of tilt images: any change of them is quick.

A particle's predicted image is P sin(gamma): its projection and all that damps it, times minus
the CTF of its own depth. A change of the table's defocus adds the same phase d(k) to gamma for
every particle, so that

    P sin(gamma + d) = (P sin gamma) cos d + (P cos gamma) sin d

and what the images say of any such change, exactly, are five sums over particles for each wave:
the images' products with both parts, and those of the parts among themselves. RELION keeps the
same ("even-phase evidence": an optimum and a 2 x 2 weight).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from tomoset.images.boxes import TiltImages, shifted
from tomoset.images.ctf import frequencies, wavelength
from tomoset.model import ParticleSet, Tomogram
from tomoset.particles.extract import Extraction, ExtractionOptions, TiltParticles
from tomoset.particles.reference import Reference
from tomoset.particles.slices import Slices

Array = npt.NDArray[np.float64]
Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

#: Particles are in two groups, each of which tests what the other says, and each group is in
#: batches: by how far these differ it is known how sure the test is.
GROUPS, BATCHES = 2, 4
#: The largest change rotates phases within one ring by so much, or less [rad].
_RING = 0.1


@dataclass(frozen=True, kw_only=True, eq=False)
class CtfStatistics:
    """The sums of all tilt images: what `CtfStatistics.parts` makes of them are log-likelihoods.

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

    def coarser_left_out(self, resolution: float) -> CtfStatistics:
        """Without waves longer than this [Å]."""
        keep = np.hypot(self.x, self.y) >= 1 / resolution
        return replace(
            self,
            products=self.products[..., keep],
            powers=self.powers[..., keep],
            x=self.x[keep],
            y=self.y[keep],
        )

    def damped(self, factor: Array) -> CtfStatistics:
        """With predictions multiplied by a factor for each wave, (n_waves,)."""
        once = factor.astype(np.float32)
        return replace(self, products=self.products * once, powers=self.powers * once * once)

    def rings(self, reach: float) -> CtfStatistics:
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

    def group(self, number: int) -> CtfStatistics:
        """Of one group of particles alone."""
        return self._of(slice(number, None, GROUPS))

    def batches(self) -> list[CtfStatistics]:
        """Of each batch of particles alone."""
        return [self._of(slice(i, i + 1)) for i in range(self.products.shape[1])]

    def _of(self, only: slice) -> CtfStatistics:
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
            As `log_likelihood` has them.
        """
        phase = (np.asarray(changes) @ self.slopes).astype(np.float32)
        c, s = np.cos(phase), np.sin(phase)
        sine, cosine = self.products[tilt].sum(axis=0)
        power = self.powers[tilt].sum(axis=0)
        common = c @ sine + s @ cosine
        energy = (c * c) @ power[0] + 2 * (s * c) @ power[1] + (s * s) @ power[2]
        return common.astype(np.float64), energy.astype(np.float64)

    def log_likelihood(self, tilt: int, changes: Array, amplitude: float) -> Array:
        """Of changes (n, 3) and an amplitude of all predictions, against nothing being there."""
        common, energy = self.parts(tilt, changes)
        return amplitude * common - amplitude**2 * energy / 2

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
    options: ExtractionOptions,
    trajectories: npt.ArrayLike | None = None,
) -> CtfStatistics:
    """Sum up what all tilt images say of their CTF.

    Parameters
    ----------
    tomogram, images, particles, reference, options, trajectories
        As of `tomoset.particles.extract.Extraction`.

    Raises
    ------
    TomosetError
        As `tomoset.particles.extract.Extraction` does, or if no particle is visible.
    """
    of = Extraction(tomogram, images, particles, reference, options, trajectories)
    batch_of = _batches(of.predictor.halves)
    x, y = frequencies((options.box, options.box), of.predictor.pixel_size)
    x, y = np.broadcast_arrays(x, y)
    shape = tomogram.n_tilts, GROUPS * BATCHES
    products = np.zeros((*shape, 2, *x.shape), np.float32)
    powers = np.zeros((*shape, 3, *x.shape), np.float32)

    def add(tilt: TiltParticles) -> None:
        t = tilt.tilt
        for batch in range(GROUPS * BATCHES):
            for rows in of.batches(tilt.rows[batch_of[tilt.rows] == batch], options.box):
                boxes, offsets = of.transforms(t, rows, tilt.image)
                seen = shifted(boxes, -offsets)
                sine, cosine = of.predictor.sine_and_cosine(t, rows, tilt.weight)
                for i, part in enumerate((sine, cosine)):
                    products[t, batch, i] += _sum_of_products(part, seen)
                for i, (one, other) in enumerate(((sine, sine), (sine, cosine), (cosine, cosine))):
                    powers[t, batch, i] += _sum_of_products(one, other)

    of.run(add)
    # Waves of the whole plane count.
    twice = np.full(x.shape, 2.0 / options.box**2)
    twice[:, 0] /= 2
    used: Mask = np.array(powers.any(axis=(0, 1, 2)))
    used[:, -1] = False
    factor = twice[used].astype(np.float32)
    seen = [of.visible[batch_of == b].sum(axis=0) for b in range(GROUPS * BATCHES)]
    return CtfStatistics(
        products=products[..., used] * factor,
        powers=powers[..., used] * factor,
        x=x[used],
        y=y[used],
        voltage=tomogram.optics.need("voltage"),
        seen=np.stack(seen, axis=1).astype(np.int64),
        particles=int(of.visible.any(axis=1).sum()),
    )


def _batches(halves: Ints) -> Ints:
    """The batch of each particle: those of either half set go to all of them in turns."""
    batches = np.empty(len(halves), np.int64)
    for half in np.unique(halves):
        mine = np.flatnonzero(halves == half)
        batches[mine] = np.arange(len(mine)) % (GROUPS * BATCHES)
    return batches


def _sum_of_products(one: Slices, other: Slices) -> Floats:
    """The real part of one times the conjugate of the other, summed over the first axis."""
    n, height, width = one.shape
    first, second = (a.view(np.float32).reshape(n, height, width, 2) for a in (one, other))
    return np.asarray(np.einsum("nyxc,nyxc->yx", first, second))
