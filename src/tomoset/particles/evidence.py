"""What tilt images say of where particles are: their correlations with predicted images.

The image is made white once, boxes are cut out of it, and the same filter is on the prediction;
so every frequency counts by what is signal and what is noise in it, and values are
log-likelihoods. The correlation is circular within the box, as RELION's is: what is displaced
by d px leaves the box by that much.
"""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from threading import Lock
from typing import Protocol

import numpy as np
import numpy.typing as npt

from tomoset.align.windows import Windows, room
from tomoset.errors import ModelError
from tomoset.images.ctf import frequencies
from tomoset.images.device import DeviceArray
from tomoset.model import ParticleSet, Tomogram
from tomoset.particles.device import ParticleDevice, open_particle_device
from tomoset.particles.predict import Predictor, Weighting
from tomoset.particles.reference import Reference
from tomoset.particles.slices import Slices, moved
from tomoset.particles.whiten import Whitener

Array = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

#: Entries of windows beyond the range, which splines through them need.
_BORDER = 2
#: Entries to each side that a fit needs at least, besides.
_LEAST_RANGE = 2.0


class TiltImages(Protocol):
    """Images that can be read one by one, several threads at once: `TiltSeries`."""

    size: tuple[int, int]

    def read(self, i: int, /) -> npt.NDArray[np.float32]: ...


@dataclass(frozen=True, kw_only=True)
class EvidenceOptions:
    """How correlations are made.

    Parameters
    ----------
    box : int
        Of the boxes that are cut out [px], even.
    range : float
        How far a particle may be from where it is expected, along x and y [px].
    padding : int
        Entries of a window for each pixel.
    whiten : bool
        Whether images are made white; else only their variance is 1.
    weighting : Weighting
        Which frequencies count.
    memory : int
        Windows of more bytes than this are kept in a temporary file.
    threads : int
        Images that are worked on at once.
    device : str
        Where, as `tomoset.images.device.DEVICES` has it.

    Raises
    ------
    ModelError
        If the window does not fit in the box, or a value is impossible.
    """

    box: int
    range: float = 20.0
    padding: int = 1
    whiten: bool = True
    weighting: Weighting = field(default_factory=Weighting)
    memory: int = 2 << 30
    threads: int = 2
    device: str = "cpu"

    def __post_init__(self) -> None:
        if self.box % 2 or self.box < 8:
            raise ModelError(f"the box must be an even number of pixels, 8 or more, not {self.box}")
        if self.padding < 1 or self.threads < 1:
            raise ModelError("the padding and the number of threads must be 1 or more")
        if not _LEAST_RANGE <= self.range * self.padding < math.inf:
            raise ModelError(
                f"the range must be {_LEAST_RANGE / self.padding:g} px or more, not {self.range:g}"
            )
        if self.entries > self.box * self.padding:
            raise ModelError(
                f"a range of {self.range:g} px needs a box of more than "
                f"{2 * (self.range + _BORDER):g} px, not {self.box}; take a larger box (--b) or a "
                "smaller range (--r)"
            )

    @property
    def entries(self) -> int:
        """Along each side of a window: odd."""
        return 2 * (math.ceil(self.range * self.padding) + _BORDER) + 1


def correlate(
    tomogram: Tomogram,
    images: TiltImages,
    particles: ParticleSet,
    reference: Reference,
    options: EvidenceOptions,
    trajectories: npt.ArrayLike | None = None,
) -> Windows:
    """Correlate all tilt images with what they should show of every particle.

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
    options : EvidenceOptions
        Sizes and weights.
    trajectories : (n_particles, n_tilts, 3) array, optional
        How far each particle has moved by each image, x, y, z of the tomogram [Å].

    Returns
    -------
    Windows
        A particle is visible in an image where its whole box is inside, its own mask says so,
        and something is left of it by the dose and the contrast.

    Raises
    ------
    ModelError
        If particles are of another tomogram or none is visible, the box is larger than the
        images, or pixel sizes differ.
    FileFormatError
        If images hold NaN, or optics groups contradict the tomogram.
    UnsupportedError
        If there is no such device here.
    """
    check_images(tomogram, images, particles, options)
    there = open_particle_device(options.device)
    predictor = Predictor(tomogram, particles, reference, options.box, there)
    at = expected_places(tomogram, particles, trajectories)
    visible = visible_in(at, images.size, options.box / 2) & own_masks(particles, tomogram)
    _refuse_nothing(visible, tomogram, options)
    work = _Correlation(predictor, images, options, at, visible, there)
    with ThreadPoolExecutor(options.threads) as pool:
        for _ in pool.map(work.tilt, range(tomogram.n_tilts)):
            pass
    found = work.windows()
    if not found.visible.any():
        raise ModelError(
            f"tomogram {tomogram.name!r}: nothing is left to compare: images are blank, or of the "
            "waves from the box to two pixels none counts (--hp, --cutoff_fract, --fsc, the dose)"
        )
    return found


def expected_places(
    tomogram: Tomogram, particles: ParticleSet, trajectories: npt.ArrayLike | None = None
) -> Array:
    """Where particles are projected, the deformation included: (n_particles, n_tilts, 2) [px].

    Parameters
    ----------
    tomogram, particles, trajectories
        As of `correlate`.
    """
    positions = particles.positions
    if trajectories is None:
        return np.ascontiguousarray(tomogram.project(positions).swapaxes(0, 1))
    moved = np.asarray(trajectories, np.float64)
    if moved.shape != (len(particles), tomogram.n_tilts, 3):
        raise ModelError(
            f"trajectories must have shape {(len(particles), tomogram.n_tilts, 3)}, not "
            f"{moved.shape}"
        )
    if not np.isfinite(moved).all():
        raise ModelError("trajectories must be finite numbers")
    pixel_size = tomogram.optics.pixel_size or 1.0
    places = [
        tomogram.select([t]).project(positions + moved[:, t] / pixel_size)[0]
        for t in range(tomogram.n_tilts)
    ]
    return np.stack(places, axis=1)


def visible_in(at: Array, size: tuple[int, int], radius: float) -> Mask:
    """Where points have so many pixels of the image about them, by RELION's rule (2.3)."""
    inside = (at > radius) & (at < np.array(size) - radius)
    return np.asarray(inside.all(axis=-1))


def matched(seen: Slices, predicted: Slices, offsets: Array) -> Slices:
    """The transforms of correlations: the slow form of the kernel ``match``.

    Parameters
    ----------
    seen, predicted : (n, box, box // 2 + 1) arrays
        Transforms of boxes and of predicted images.
    offsets : (n, 2) array
        x, y of the box [px] that come to the first entry.
    """
    return np.asarray(moved(seen * predicted.conj(), -offsets), np.complex64)


def check_images(
    tomogram: Tomogram, images: TiltImages, particles: ParticleSet, options: EvidenceOptions
) -> None:
    """Refuse particles and images that do not belong to a tomogram, or to a box.

    Raises
    ------
    ModelError
        As `correlate` does.
    """
    strangers = np.flatnonzero(particles.tomogram_names != tomogram.name)
    if len(strangers):
        other = str(particles.tomogram_names[strangers[0]])
        raise ModelError(
            f"{len(strangers)} particles are of {other!r}, not of "
            f"{tomogram.name!r}; use ParticleSet.in_tomogram"
        )
    if not len(particles):
        raise ModelError(f"tomogram {tomogram.name!r} has no particles")
    if options.box > min(images.size):
        width, height = images.size
        raise ModelError(
            f"tomogram {tomogram.name!r}: a box of {options.box} px is larger than the tilt images "
            f"of {width} x {height} px; take a smaller one (--b)"
        )
    if tomogram.image_size not in (None, images.size):
        raise ModelError(
            f"tomogram {tomogram.name!r}: expected images of {tomogram.image_size} px, found "
            f"{images.size}"
        )


def _refuse_nothing(visible: Mask, tomogram: Tomogram, options: EvidenceOptions) -> None:
    if not visible.any():
        raise ModelError(
            f"tomogram {tomogram.name!r}: none of its {len(visible)} particles is visible in any "
            f"tilt image (with {options.box / 2:g} px about it); are the coordinates voxels of "
            "the tomogram at bin 1, and is the box (--b) not too large?"
        )


def own_masks(particles: ParticleSet, tomogram: Tomogram) -> Mask:
    """Which images show each particle, by its own word: (n_particles, n_tilts).

    Raises
    ------
    ModelError
        If particles speak of another number of images.
    """
    shape = len(particles), tomogram.n_tilts
    if particles.visible is None:
        return np.ones(shape, np.bool_)
    if any(len(mask) != tomogram.n_tilts for mask in particles.visible):
        raise ModelError(
            f"tomogram {tomogram.name!r} has {tomogram.n_tilts} tilt images, and particles say of "
            "another number whether they are visible"
        )
    return np.stack(list(particles.visible))


class _Correlation:
    """The work on one tomogram, image by image."""

    def __init__(
        self,
        predictor: Predictor,
        images: TiltImages,
        options: EvidenceOptions,
        at: Array,
        visible: Mask,
        there: ParticleDevice,
    ) -> None:
        self._predictor, self._images, self._options = predictor, images, options
        # Threads read images and make them white; one at a time has the GPU.
        self._there = there
        self._turn: AbstractContextManager[object] = nullcontext()
        if there.device.name != "cpu":
            self._turn = Lock()
        self._at, self._visible = at, visible.copy()
        both, n = visible.shape, options.entries
        self._values = room((*both, n, n), options.memory)
        self._energy, self._information = np.zeros(both), np.zeros((*both, 3))
        self._whitener = Whitener(images.size, whiten=options.whiten)
        x, y = frequencies((options.box, options.box), 1.0)
        self._k = np.hypot(x, y)

    def tilt(self, t: int) -> None:
        """Fill in what one image says."""
        options = self._options
        rows = np.flatnonzero(self._visible[:, t])
        if not len(rows):
            return
        white = self._whitener(self._images.read(t))
        gain = white.gain_at(self._k)
        weight = self._predictor.weight(t, options.weighting, gain)
        if not weight.any():
            self._visible[:, t] = False
            return
        # Half by half, so that most batches are of one map.
        rows = rows[np.argsort(self._predictor.halves[rows], kind="stable")]
        count = max(1, self._there.at_once // (options.box * options.padding) ** 2)
        with self._turn:
            image = self._there.upload(white.image)
            for first in range(0, len(rows), count):
                self._batch(t, rows[first : first + count], image, weight)

    def _batch(self, t: int, rows: Ints, image: DeviceArray, weight: Array) -> None:
        there, fft = self._there, self._there.device.fft
        box, padding, n = self._options.box, self._options.padding, self._options.entries
        at = self._at[rows, t]
        middle = np.rint(at).astype(np.int64)
        seen = fft.rfft2(there.cut(image, middle - box // 2, box))
        predicted = self._predictor.images(t, rows, weight)
        # The first entry of a window, from the first pixel of the box.
        offsets = at - middle + box // 2 - (n // 2) / padding
        fine = box * padding
        product, energy, information = there.match(seen, predicted, offsets, fine)
        columns = fft.ifft(product, axis=1, overwrite_x=True)[:, :n]
        values = there.device.to_host(fft.irfft(columns, n=fine, axis=2)[:, :, :n])
        self._values[rows, t] = values * np.float32(padding**2) if padding > 1 else values
        self._energy[rows, t], self._information[rows, t] = energy, information

    def windows(self) -> Windows:
        """All of it, when all images are done."""
        return Windows(
            values=self._values,
            step=1 / self._options.padding,
            at=self._at,
            energy=self._energy,
            information=self._information,
            visible=self._visible & (self._energy > 0),
        )
