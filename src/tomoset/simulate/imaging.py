"""From a specimen to its images: transfer function, dose, absorption, noise.

Ice and gold absorb, by the law of Beer and Lambert. Protein and lipid scatter: the contrast of an
image is their projected density times the contrast transfer function, whose defocus is that of
each depth. Gold is imaged by such a function too, of more amplitude contrast. Radiation damps the
fine structure of all but gold and ice.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from tomoset.align.images.bound import Spectra
from tomoset.run import doing
from tomoset.simulate.acquisition import Acquisition, Views
from tomoset.simulate.clouds import clouds
from tomoset.simulate.field import Field
from tomoset.simulate.ice import ice_of
from tomoset.simulate.projection import project, see
from tomoset.simulate.signal import RingPower, noise_for
from tomoset.simulate.specimen import Specimen
from tomoset.simulate.transfer import Transfer, at_once, damage, imaged, one_by_one

Array = npt.NDArray[np.float64]
Image = npt.NDArray[np.float32]

#: Path after which 1 of e electrons is left [Å].
ICE_PATH, GOLD_PATH = 3000.0, 130.0
#: Path through protein whose contrast is 1 where the transfer function is: 0.65 mrad per V Å, and
#: 2.5 V more than ice, twice.
PROTEIN_PATH = 300.0
#: Counts of a pixel that nothing shadows.
FULL_COUNTS = 2000.0
#: What passes where a grid bar is in the way.
GRID_BAR = 0.03


@dataclass(frozen=True, kw_only=True, eq=False)
class SimulatedSeries:
    """A tilt series, and all that is true of it.

    Parameters
    ----------
    images : (n, y, x) int16 array
        Counts; dark is dense.
    specimen, acquisition, views
        What was simulated.
    bead_images : (n, n_beads, 2) array
        x, y of every bead in 0-based pixels, also of those outside the image.
    molecule_images : (n, n_molecules, 2) array
        The same of the molecules' origins, their motion included.
    spectra : Spectra, optional
        Power of the images without noise, and of their noise.
    """

    images: npt.NDArray[np.int16]
    specimen: Specimen
    acquisition: Acquisition
    views: Views
    bead_images: Array
    molecule_images: Array
    spectra: Spectra | None = None


def simulate(
    specimen: Specimen, acquisition: Acquisition, views: Views, *, seed: int, threads: int = 2
) -> SimulatedSeries:
    """Take the images of a specimen.

    Parameters
    ----------
    specimen, acquisition, views
        What is seen, how, and the truth of each image.
    seed : int
        Of the noise. The same numbers give the same images.
    threads : int
        Images that are made at once.

    Returns
    -------
    SimulatedSeries

    Examples
    --------
    >>> from tomoset import simulate as sim
    >>> nominal, rank = sim.dose_symmetric(5)
    >>> taken = sim.Acquisition(nominal=nominal, rank=rank, image_size=(64, 60), pixel_size=20)
    >>> size = (*taken.aligned_size, 24)
    >>> specimen = sim.Specimen.random(size, 20, sim.Contents(beads=3), seed=1)
    >>> series = sim.simulate(specimen, taken, sim.Views.random(taken, 1), seed=1)
    >>> series.images.shape, series.bead_images.shape
    ((5, 60, 64), (5, 3, 2))
    """
    rng = np.random.default_rng(seed)
    clean: Iterable[Image] = transmitted(specimen, acquisition, views, threads)
    if acquisition.snr is not None:
        clean = list(clean)
        acquisition = replace(acquisition, noise=noise_for(clean, acquisition))
    molecules = molecule_voxels(specimen, acquisition, views)
    width, height = acquisition.image_size
    images = np.empty((len(views.tilts), height, width), dtype=np.int16)
    rings = RingPower(acquisition)
    for i, passed in enumerate(clean):
        doing(f"image {i + 1} of {len(images)}")
        rings.add(passed)
        images[i] = np.clip(np.rint(counts(passed, acquisition, rng)), -32768, 32767)
    return SimulatedSeries(
        images=images,
        specimen=specimen,
        acquisition=acquisition,
        views=views,
        bead_images=project(
            specimen, acquisition, views, moving(specimen, acquisition, views, specimen.beads)
        ),
        molecule_images=project(specimen, acquisition, views, molecules),
        spectra=rings.spectra(acquisition.noise),
    )


def counts(passed: Image, acquisition: Acquisition, rng: np.random.Generator) -> Image:
    """What the camera counts of the electrons that pass: (height, width)."""
    camera = acquisition.camera
    reaching = passed if camera is None else passed * camera.lit
    electrons = acquisition.dose * acquisition.pixel_size**2
    noise = rng.standard_normal(passed.shape, dtype=np.float32) * np.sqrt(reaching / electrons)
    counted = FULL_COUNTS * (reaching + acquisition.noise * noise)
    return np.asarray(counted if camera is None else counted * camera.gain)


def moving(specimen: Specimen, acquisition: Acquisition, views: Views, voxels: Array) -> Array:
    """Where what belongs at 0-based voxels is in each image: (n, 3) or (n_tilts, n, 3)."""
    if views.doming is None:
        return voxels
    there = range(len(views.tilts))
    size = acquisition.pixel_size
    return np.stack([views.doming.moved(specimen, size, i, voxels) for i in there])


def molecule_voxels(specimen: Specimen, acquisition: Acquisition, views: Views) -> Array:
    """Where each molecule is in each image: (n_tilts, n_molecules, 3) 0-based voxels."""
    n = len(views.tilts)
    if specimen.molecules is None:
        return np.empty((n, 0, 3))
    positions = np.broadcast_to(
        specimen.molecules.positions, (n, *specimen.molecules.positions.shape)
    )
    if views.trajectories is None:
        return np.asarray(positions)
    return np.asarray(positions + views.trajectories.swapaxes(0, 1) / acquisition.pixel_size)


def transmitted(
    specimen: Specimen, acquisition: Acquisition, views: Views, threads: int = 2
) -> Iterator[Image]:
    """The images without noise, one after the other: the part of the electrons that passes.

    Yields
    ------
    (height, width) float32 array
        Not below 0.
    """
    matter = _Matter(specimen, acquisition, views)
    n = len(views.tilts)
    with ThreadPoolExecutor(threads) as pool:
        for first in range(0, n, threads):
            yield from pool.map(matter.image, range(first, min(first + threads, n)))


class _Matter:
    """All that is in the beam, and the field in which it is imaged."""

    def __init__(self, specimen: Specimen, acquisition: Acquisition, views: Views) -> None:
        self.specimen, self.acquisition, self.views = specimen, acquisition, views
        self.clouds = clouds(specimen, acquisition.pixel_size, views)
        self.field = Field(acquisition.image_size, margin(specimen, acquisition))
        self.frequency = np.hypot(*self.field.frequencies(acquisition.pixel_size))
        self.shapes = [cloud.shape(self.frequency).astype(np.float32) for cloud in self.clouds]

    def image(self, i: int) -> Image:
        """What passes in one image."""
        acquisition = self.acquisition
        pixel_size = acquisition.pixel_size
        path_length = ice_of(self.specimen, acquisition, self.views, i)
        light, gold = self._scattering(i)
        passed = np.exp(-pixel_size * path_length / ICE_PATH - gold / GOLD_PATH)
        passed *= np.maximum(1 - light / PROTEIN_PATH, 0)
        if i in acquisition.blocked:
            passed *= GRID_BAR
        return np.asarray(passed, dtype=np.float32)

    def _scattering(self, i: int) -> tuple[Image, Image]:
        """Protein and gold along the beam as the microscope images them [Å]."""
        acquisition, views = self.acquisition, self.views
        exposure = acquisition.pre_exposure[i] + acquisition.dose / 2
        left = damage(self.frequency, exposure).astype(np.float32)
        sums = [np.zeros(self.frequency.shape, np.complex64) for _ in range(2)]
        for cloud, shape in zip(self.clouds, self.shapes, strict=True):
            if not len(cloud.weights):
                continue
            at, depth = see(self.specimen, acquisition, views, i, cloud.points(i))
            transfer = Transfer(acquisition, views, i, cloud.amplitude)
            by_plane = at_once if cloud.vast else one_by_one
            spectrum = imaged(self.field, at, depth, cloud.weights, transfer, by_plane) * shape
            absorbs = cloud.amplitude is not None
            sums[absorbs] += spectrum * left if cloud.fades and not absorbs else spectrum
        light, gold = (self.field.image(s) / acquisition.pixel_size**2 for s in sums)
        return light, gold


def margin(specimen: Specimen, acquisition: Acquisition) -> int:
    """Around the image, so that all that reaches into it is in the field [px]."""
    finest = 0.5 / acquisition.pixel_size
    blur = 0.02 * 1.2 * acquisition.defocus * finest if acquisition.ctf else 0.0
    return int(np.ceil((specimen.bead_radius + blur) / acquisition.pixel_size)) + 8
