"""What tilt images should show of particles: projections times everything that damps them.

Images are dark where there is density: the predicted image of a particle is minus the contrast
transfer function of its own depth times its projection, which is sin(gamma) times it. Even
aberrations of its optics group are part of gamma, odd ones change the phases of the product.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tomoset.errors import ModelError
from tomoset.images.ctf import dose_weight, frequencies, wavelength
from tomoset.images.device import DeviceArray
from tomoset.model import ParticleSet, Tomogram
from tomoset.particles.aberrations import Aberrations
from tomoset.particles.columns import check_optics, halves
from tomoset.particles.device import CpuParticles, ParticleDevice
from tomoset.particles.reference import Reference
from tomoset.particles.slices import band

Array = npt.NDArray[np.float64]
Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Weighting:
    """Which frequencies count, and how much.

    Parameters
    ----------
    dose : bool
        Whether the structure is damped by radiation.
    reference : bool
        Whether shells of the reference are weighted by what is known of them.
    high_pass : float, optional
        Coarser waves are left out [Å].
    cutoff : float
        Frequencies are left out where what is left by radiation, or the weight of the reference
        as a part of its largest, is below this (RELION's --cutoff_fract).
    """

    dose: bool = True
    reference: bool = True
    high_pass: float | None = None
    cutoff: float = 0.02

    def __post_init__(self) -> None:
        if not 0 <= self.cutoff < 1:
            raise ModelError(f"the cutoff is a fraction from 0 to 1, not {self.cutoff}")
        if self.high_pass is not None and not self.high_pass > 0:
            raise ModelError(f"the high-pass filter must be above 0 Å, not {self.high_pass}")


def check_box(box: int, least: int = 8) -> None:
    """Refuse boxes that are odd or too small [px]."""
    if box % 2 or box < least:
        raise ModelError(
            f"the box (--b) must be an even number of pixels, {least} or more, not {box}"
        )


class Predictor:
    """Predicts images of the particles of one tomogram.

    Parameters
    ----------
    tomogram : Tomogram
        Aligned, with a CTF.
    particles : ParticleSet
        Of this tomogram.
    reference : Reference
        With pixels of the same size.
    box : int
        Of the images [px], even.
    there : ParticleDevice, optional
        Where images are predicted; on the processor.

    Attributes
    ----------
    halves : (n_particles,) int array
        The half map of each particle, 0 or 1.
    pixel_size : float
        [Å].
    frequency : (box, box // 2 + 1) array
        Of the waves of a box [1/px].

    Raises
    ------
    ModelError
        If there is no alignment, CTF or pixel size, or they contradict each other.
    """

    def __init__(
        self,
        tomogram: Tomogram,
        particles: ParticleSet,
        reference: Reference,
        box: int,
        there: ParticleDevice | None = None,
    ) -> None:
        projections, self.pixel_size = tomogram.need_projections(), tomogram.need_pixel_size()
        defocus_u, _ = tomogram.need_defocus()
        check_box(box)
        check_optics(particles, tomogram)
        self.there: ParticleDevice = CpuParticles() if there is None else there
        self.tomogram, self.box = tomogram, box
        x, y = frequencies((box, box), 1.0)
        self.frequency = np.hypot(x, y)
        reference.check_pixel_size(self.pixel_size, tomogram.name)
        self._aberrations = Aberrations(particles, box, self.pixel_size)
        self.halves = halves(particles)
        self._reference = reference
        self._transforms = reference.transforms
        self._orientations = particles.orientations
        self._projections = projections[:, :2, :3]
        defocus = tomogram.defocus(particles.positions)[..., 0]
        #: Change of defocus with depth [Å]: (n_tilts, n_particles).
        self._changes = defocus - defocus_u[:, None]

    def weight(self, tilt: int, weighting: Weighting, gain: Array | None = None) -> Array:
        """Factor on projections besides the sine of the CTF: (box, box // 2 + 1).

        Parameters
        ----------
        tilt : int
            Row of the tomogram.
        weighting : Weighting
            What damps, and what is left out.
        gain : (box, box // 2 + 1) array, optional
            Filter of the image.
        """
        t, k = self.tomogram, self.frequency
        known = self._reference.weight(k) if weighting.reference else np.ones(k.shape)
        keep = (k > 0) & (k <= band(self.box) / self.box) & (known > 0)
        keep &= known >= weighting.cutoff * known.max()
        weight = known if gain is None else known * gain
        if weighting.dose and t.pre_exposure is not None:
            left = dose_weight(
                k / self.pixel_size, float(t.pre_exposure[tilt]), t.optics.need("voltage")
            )
            keep &= left >= weighting.cutoff
            weight = weight * left
        if weighting.high_pass is not None:
            keep &= k >= self.pixel_size / weighting.high_pass
        weight = weight * t.ctf(tilt).envelope(k / self.pixel_size, 0.0)
        return np.where(keep, weight, 0.0)

    def images(self, tilt: int, rows: Ints, weight: Array) -> DeviceArray:
        """Transforms of predicted images, as ``rfft2`` gives them with the particle at pixel 0.

        Parameters
        ----------
        tilt : int
            Row of the tomogram.
        rows : (n,) int array
            Particles.
        weight : (box, box // 2 + 1) array
            As `weight` gives it.

        Returns
        -------
        (n, box, box // 2 + 1) complex64 array
            Of the device.
        """
        return self._modulated(self._slices(tilt, rows, weight), tilt, rows, weight)

    def sine_and_cosine(
        self, tilt: int, rows: Ints, weight: Array
    ) -> tuple[DeviceArray, DeviceArray]:
        """What `images` gives, and the same with the cosine of the CTF's phase for its sine."""
        slices = self._slices(tilt, rows, weight)
        sine = self._modulated(slices.copy(), tilt, rows, weight)
        return sine, self._modulated(slices, tilt, rows, weight, ahead=0.25)

    def linear(self, tilt: int, rows: Ints) -> Array:
        """From x, y, z of the maps [voxels] to x, y of an image [px]: (n, 2, 3)."""
        return np.asarray(self._projections[tilt] @ self._orientations[rows])

    def _modulated(
        self, slices: DeviceArray, tilt: int, rows: Ints, weight: Array, ahead: float = 0.0
    ) -> DeviceArray:
        """Slices times CTF and weight, in place; the phase of the CTF may be ahead [cycles]."""
        there = self.there
        cycles, squares = self._phase(tilt)
        for mine, phases in self._aberrations.shares(rows):
            where = mine if isinstance(mine, slice) else there.upload(mine)
            part = slices[where]
            own = cycles + ahead if phases is None else cycles + phases.even + ahead
            changes = np.ascontiguousarray(self._changes[tilt, rows[mine]])
            # Whole cycles are taken off before float32 could lose what matters.
            phase: Floats = (own - np.rint(own)).astype(np.float32)
            there.modulate(part, phase, squares, changes, weight.astype(np.float32))
            if phases is not None and phases.odd is not None:
                part *= there.upload(phases.odd)
            if not isinstance(mine, slice):
                slices[where] = part
        return slices

    def _slices(self, tilt: int, rows: Ints, weight: Array) -> DeviceArray:
        """Slices of the own half map of each particle, as far out as anything counts."""
        linear, halves = self.linear(tilt, rows), self.halves[rows]
        radius = float(self.frequency[weight != 0].max(initial=0.0)) * self.box * (1 + 1e-9)
        there, (first, second) = self.there, self._transforms
        kinds = np.unique(halves).tolist()
        if first is second or len(kinds) < 2:
            transform = second if kinds == [1] else first
            return there.slices(transform, linear, self.box, radius)
        shape = len(linear), self.box, self.box // 2 + 1
        slices = there.device.xp.empty(shape, dtype=np.complex64)
        for half in kinds:
            mine = np.flatnonzero(halves == half)
            own = there.slices(self._transforms[half], linear[mine], self.box, radius)
            slices[there.upload(mine)] = own
        return slices

    def _phase(self, tilt: int) -> tuple[Array, Floats]:
        """The phase of the CTF at no depth, and what each Å of defocus takes off: in cycles."""
        x, y = frequencies((self.box, self.box), self.pixel_size)
        cycles = self.tomogram.ctf(tilt).phase(x, y) / (2 * np.pi)
        squares = wavelength(self.tomogram.optics.need("voltage")) / 2 * (x * x + y * y)
        return cycles, squares.astype(np.float32)
