"""Particle images of a tilt series: where each particle is, which images show it, boxes about it.

`extract` cuts boxes about any points of a tomogram. `Extraction` is what every comparison with a
reference begins with: each tilt image is made white, boxes are cut out of it, and the same filter
is on what is predicted, so every frequency counts by what is signal and what is noise in it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from threading import Lock
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from tomoset.errors import ModelError
from tomoset.images.boxes import ParticleImages, TiltImages, extract_boxes
from tomoset.images.device import DeviceArray
from tomoset.model import ParticleSet, Tomogram
from tomoset.particles.device import ParticleDevice, open_particle_device
from tomoset.particles.predict import Predictor, Weighting, check_box
from tomoset.particles.reference import Reference
from tomoset.particles.whiten import Whitener

Array = npt.NDArray[np.float64]
Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


def projected_positions(
    tomogram: Tomogram, points: npt.ArrayLike, trajectories: npt.ArrayLike | None = None
) -> Array:
    """Where points lie in every tilt image, the deformation included: (n_points, n_tilts, 2) [px].

    Parameters
    ----------
    tomogram : Tomogram
        Aligned.
    points : (n_points, 3) array
        x, y, z in 0-based bin-1 voxels.
    trajectories : (n_points, n_tilts, 3) array, optional
        Displacement of each point in each image, x, y, z of the tomogram [Å].

    Raises
    ------
    ModelError
        If the tomogram is not aligned, or trajectories are not finite or have another shape.
    """
    at = np.asarray(points, np.float64)
    if trajectories is None:
        return np.ascontiguousarray(tomogram.project(at).swapaxes(0, 1))
    displacements = np.asarray(trajectories, np.float64)
    if displacements.shape != (len(at), tomogram.n_tilts, 3):
        raise ModelError(
            f"trajectories must have shape {(len(at), tomogram.n_tilts, 3)}, not "
            f"{displacements.shape}"
        )
    if not np.isfinite(displacements).all():
        raise ModelError("trajectories must be finite numbers")
    displaced = at[:, None] + displacements / (tomogram.optics.pixel_size or 1.0)
    tilts = range(tomogram.n_tilts)
    return np.stack([tomogram.select([t]).project(displaced[:, t])[0] for t in tilts], axis=1)


def visible_in(at: Array, size: tuple[int, int], radius: float | Array) -> Mask:
    """Where points have so many pixels of the image about them, by RELION's rule.

    See docs/relion.md, 'Matrices of RELION 4'.
    """
    inside = (at > radius) & (at < np.array(size) - radius)
    return np.asarray(inside.all(axis=-1))


def extract(
    tomogram: Tomogram,
    images: TiltImages,
    points: npt.ArrayLike,
    box: int,
    trajectories: npt.ArrayLike | None = None,
) -> ParticleImages:
    """Cut a box out of every tilt image about each of some points of a tomogram.

    Parameters
    ----------
    tomogram : Tomogram
        Aligned.
    images : TiltImages
        Its tilt images, in the order of its table; one is in memory at a time.
    points : (n_points, 3) array
        x, y, z in 0-based bin-1 voxels.
    box : int
        Of the boxes [px].
    trajectories : (n_points, n_tilts, 3) array, optional
        Displacement of each point in each image, x, y, z of the tomogram [Å].

    Raises
    ------
    ModelError
        If the tomogram is not aligned, the box is empty, or trajectories do not fit.
    """
    return extract_boxes(images, projected_positions(tomogram, points, trajectories), box)


def _cut(
    device: ParticleDevice, image: DeviceArray, at: Array, box: int
) -> tuple[DeviceArray, Array]:
    """Boxes about points, and where in its box each point is."""
    corners = np.rint(at).astype(np.int64) - box // 2
    return device.cut(image, corners, box), at - corners


@dataclass(frozen=True, kw_only=True)
class ExtractionOptions:
    """How particles are extracted and predicted.

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
    device : str
        Where, as `tomoset.images.device.DEVICES` has it.

    Raises
    ------
    ModelError
        If a value is impossible.
    """

    least_box: ClassVar[int] = 8

    box: int
    whiten: bool = True
    weighting: Weighting = field(default_factory=Weighting)
    threads: int = 2
    device: str = "cpu"

    def __post_init__(self) -> None:
        check_box(self.box, self.least_box)
        if self.threads < 1:
            raise ModelError(f"the number of threads must be 1 or more, not {self.threads}")


@dataclass(frozen=True, kw_only=True, eq=False)
class TiltParticles:
    """A tilt image and the particles that it shows.

    Parameters
    ----------
    tilt : int
        Row of the tomogram.
    rows : (n,) int array
        Particles, half set by half set.
    image : (y, x) float32 array
        White.
    weight : (box, box // 2 + 1) array
        Factor on predictions, as `Predictor.weight` gives it.
    """

    tilt: int
    rows: Ints
    image: Floats
    weight: Array


class Extraction:
    """The particles of one tomogram in its tilt images, and what a reference predicts of them.

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
    options : ExtractionOptions
        Sizes and weights.
    trajectories : (n_particles, n_tilts, 3) array, optional
        Displacement of each particle in each image, x, y, z of the tomogram [Å].

    Attributes
    ----------
    at : (n_particles, n_tilts, 2) array
        x, y where particles are projected, the deformation included [px].
    visible : (n_particles, n_tilts) bool array
        Where the whole box is inside, the particle's own mask says so, and after `run` something
        is left of it by the dose and the contrast.

    Raises
    ------
    ModelError
        If particles are of another tomogram, the box is larger than the images, or pixel sizes
        differ.
    FileFormatError
        If optics groups contradict the tomogram.
    UnsupportedError
        If there is no such device here.
    """

    def __init__(
        self,
        tomogram: Tomogram,
        images: TiltImages,
        particles: ParticleSet,
        reference: Reference,
        options: ExtractionOptions,
        trajectories: npt.ArrayLike | None = None,
    ) -> None:
        _check(tomogram, images, particles, options.box)
        self._tomogram, self._images, self._options = tomogram, images, options
        self.device = open_particle_device(options.device)
        self.predictor = Predictor(tomogram, particles, reference, options.box, self.device)
        self.at = projected_positions(tomogram, particles.positions, trajectories)
        self._masks = _own_masks(particles, tomogram)
        self.visible = self.visible_within(options.box / 2)
        self._whitener = Whitener(images.size, whiten=options.whiten)

    def visible_within(self, radius: float | Array) -> Mask:
        """Where particles have so many pixels of the image about them, and their mask says so."""
        return visible_in(self.at, self._images.size, radius) & self._masks

    def run(self, work: Callable[[TiltParticles], None]) -> None:
        """Have something done to every image that shows particles, several at once.

        Raises
        ------
        ModelError
            If there is none.
        FileFormatError
            If an image is damaged.
        """
        if not self.visible.any():
            raise ModelError(
                f"tomogram {self._tomogram.name!r}: none of its {len(self.visible)} particles is "
                f"visible in any tilt image (with {self._options.box / 2:g} px about it); are the "
                "coordinates voxels of the tomogram at bin 1, and is the box (--b) not too large?"
            )
        # Threads read images and make them white; one at a time has a GPU.
        lock: AbstractContextManager[object] = nullcontext()
        if self.device.device.name != "cpu":
            lock = Lock()

        def one(t: int) -> None:
            tilt = self._tilt(t)
            if tilt is not None:
                with lock:
                    work(tilt)

        with ThreadPoolExecutor(self._options.threads) as pool:
            for _ in pool.map(one, range(self._tomogram.n_tilts)):
                pass

    def _tilt(self, t: int) -> TiltParticles | None:
        rows = np.flatnonzero(self.visible[:, t])
        if not len(rows):
            return None
        white = self._whitener(self._images.read(t))
        gain = white.gain_at(self.predictor.frequency)
        weight = self.predictor.weight(t, self._options.weighting, gain)
        if not weight.any():
            self.visible[:, t] = False
            return None
        # Half by half, so that most batches are of one map.
        rows = rows[np.argsort(self.predictor.halves[rows], kind="stable")]
        return TiltParticles(tilt=t, rows=rows, image=white.image, weight=weight)

    def batches(self, rows: Ints, box: int) -> Iterator[Ints]:
        """As many particles as are best worked on at once, in boxes of a size [px]."""
        count = max(1, self.device.at_once // box**2)
        for first in range(0, len(rows), count):
            yield rows[first : first + count]

    def transforms(self, t: int, rows: Ints, image: DeviceArray) -> tuple[DeviceArray, Array]:
        """What the white image, on the device, shows of particles.

        Returns
        -------
        transforms : (n, box, box // 2 + 1) complex64 array
            Of boxes about the particles, on the device.
        offsets : (n, 2) array
            x, y of the particles in their boxes [px].
        """
        boxes, offsets = _cut(self.device, image, self.at[rows, t], self._options.box)
        return self.device.device.fft.rfft2(boxes), offsets


def _check(tomogram: Tomogram, images: TiltImages, particles: ParticleSet, box: int) -> None:
    """Refuse particles and images that do not belong to a tomogram, or to a box."""
    strangers = np.flatnonzero(particles.tomogram_names != tomogram.name)
    if len(strangers):
        other = str(particles.tomogram_names[strangers[0]])
        raise ModelError(
            f"{len(strangers)} particles are of {other!r}, not of "
            f"{tomogram.name!r}; use ParticleSet.in_tomogram"
        )
    if not len(particles):
        raise ModelError(f"tomogram {tomogram.name!r} has no particles")
    if box > min(images.size):
        width, height = images.size
        raise ModelError(
            f"tomogram {tomogram.name!r}: a box of {box} px is larger than the tilt images "
            f"of {width} x {height} px; take a smaller one (--b)"
        )
    if tomogram.image_size not in (None, images.size):
        raise ModelError(
            f"tomogram {tomogram.name!r}: expected images of {tomogram.image_size} px, found "
            f"{images.size}"
        )


def _own_masks(particles: ParticleSet, tomogram: Tomogram) -> Mask:
    """Which images show each particle, by its own word: (n_particles, n_tilts)."""
    shape = len(particles), tomogram.n_tilts
    if particles.visible is None:
        return np.ones(shape, np.bool_)
    if any(len(mask) != tomogram.n_tilts for mask in particles.visible):
        raise ModelError(
            f"tomogram {tomogram.name!r} has {tomogram.n_tilts} tilt images, and particles say of "
            "another number whether they are visible"
        )
    return np.stack(list(particles.visible))
