"""Tilt series simulated with known truth, whatever is in the specimen."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tests.builders.image_stacks import write_images
from tomoset import simulate as sim
from tomoset.model import ParticleSet, Tomogram
from tomoset.simulate.truth import tomogram as true_tomogram

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Acquired:
    """How a series is taken, and how far off the alignment is that one has of it."""

    n_tilts: int = 21
    image_size: tuple[int, int] = (320, 300)
    depth: int = 100
    pixel_size: float = 5.4
    errors: sim.AlignmentErrors
    deformation: float = 0.0
    motion: float = 0.0
    seed: int = 1


@dataclass(frozen=True, eq=False)
class Series:
    """Images, the alignment that one has, the true one, and where things are in images."""

    images: npt.NDArray[np.generic]
    given: Tomogram
    true: Tomogram
    seen: Array

    @property
    def size(self) -> tuple[int, int]:
        return self.images.shape[2], self.images.shape[1]

    def write(self, folder: Path, name: str = "TS_01") -> Tomogram:
        """The images as a stack in a folder; the tomogram that names it."""
        images = self.images.astype(np.int16)
        write_images(folder / f"{name}.mrcs", images, self.given.optics.pixel_size)
        return replace(self.given, name=name, stack=f"{name}.mrcs")


def acquired(
    wanted: Acquired, contents: sim.Contents
) -> tuple[sim.SimulatedSeries, Tomogram, Tomogram]:
    """A simulated series, the alignment that one has of it, and the true one."""
    nominal, rank = sim.dose_symmetric(wanted.n_tilts)
    taken = sim.Acquisition(
        nominal=nominal, rank=rank, image_size=wanted.image_size, pixel_size=wanted.pixel_size
    )
    size = (*taken.aligned_size, wanted.depth)
    specimen = sim.Specimen.random(size, wanted.pixel_size, contents, seed=wanted.seed)
    views = sim.Views.random(taken, wanted.seed + 1000)
    if wanted.deformation:
        bent = sim.random_deformation(
            wanted.n_tilts, wanted.image_size, rms=wanted.deformation, seed=wanted.seed
        )
        views = replace(views, deformation=bent)
    if wanted.motion:
        dose = taken.pre_exposure / taken.pre_exposure.max()
        at = specimen.molecules.positions * wanted.pixel_size
        moved = sim.random_motion(at, dose, rms=wanted.motion, seed=wanted.seed)
        views = replace(views, trajectories=moved)
    series = sim.simulate(specimen, taken, views, seed=wanted.seed + 2000)
    off = sim.misaligned(views, wanted.errors, wanted.seed + 3000)
    given, true = (true_tomogram("TS_01", series, v) for v in (off, views))
    return series, given, true


def seen_molecules(
    specimen: sim.Specimen, taken: sim.Acquisition, seed: int
) -> tuple[sim.SimulatedSeries, Tomogram, ParticleSet]:
    """A series of molecules, its true tomogram, and its particles where they are."""
    series = sim.simulate(specimen, taken, sim.Views.random(taken, seed), seed=seed)
    molecules = specimen.molecules
    particles = ParticleSet(
        tomogram_names=["a"] * len(molecules.positions),
        coordinates=molecules.positions,
        angles=molecules.angles,
    )
    return series, true_tomogram("a", series, series.views), particles
