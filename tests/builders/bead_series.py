"""A small tilt series of gold beads with known truth, in memory or as a set."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import mrcfile
import numpy as np
import numpy.typing as npt

from tomoset import simulate as sim
from tomoset.cli._simulated_truth import tomogram
from tomoset.model import Tomogram

Array = npt.NDArray[np.float64]
USUAL = sim.AlignmentErrors(shift=2.0, rotation=0.15, tilt=0.15)


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What is simulated."""

    beads: int = 10
    molecules: int = 20
    n_tilts: int = 21
    image_size: tuple[int, int] = (320, 300)
    depth: int = 100
    bead_radius: float = 50.0
    pixel_size: float = 5.4
    errors: sim.AlignmentErrors = USUAL
    deformation: float = 0.0
    seed: int = 1


@dataclass(frozen=True, eq=False)
class BeadSeries:
    """Images, the alignment that one has, the true one, and the beads' places."""

    images: npt.NDArray[np.float32]
    given: Tomogram
    true: Tomogram
    beads: Array
    seen: Array

    @property
    def size(self) -> tuple[int, int]:
        return self.images.shape[2], self.images.shape[1]

    def read(self, i: int) -> npt.NDArray[np.float32]:
        return self.images[i]

    def write(self, folder: Path, name: str = "TS_01") -> Tomogram:
        """The images as a stack in a folder; the tomogram that names it."""
        with mrcfile.new(
            folder / f"{name}.mrcs", self.images.astype(np.int16), overwrite=True
        ) as stack:
            stack.voxel_size = self.given.optics.pixel_size
            stack.set_image_stack()
        return replace(self.given, name=name, stack=f"{name}.mrcs")


def bead_series(wanted: Wanted) -> BeadSeries:
    """Simulate a tilt series."""
    nominal, rank = sim.dose_symmetric(wanted.n_tilts)
    taken = sim.Acquisition(
        nominal=nominal, rank=rank, image_size=wanted.image_size, pixel_size=wanted.pixel_size
    )
    size = (*taken.aligned_size, wanted.depth)
    contents = sim.Contents(
        beads=wanted.beads, molecules=wanted.molecules, bead_radius=wanted.bead_radius
    )
    specimen = sim.Specimen.random(size, wanted.pixel_size, contents, seed=wanted.seed)
    views = sim.Views.random(taken, wanted.seed + 1000)
    if wanted.deformation:
        bent = sim.random_deformation(
            wanted.n_tilts, wanted.image_size, rms=wanted.deformation, seed=wanted.seed
        )
        views = replace(views, deformation=bent)
    series = sim.simulate(specimen, taken, views, seed=wanted.seed + 2000)
    true = tomogram("TS_01", series, views)
    given = tomogram("TS_01", series, sim.misaligned(views, wanted.errors, wanted.seed + 3000))
    return BeadSeries(
        images=series.images.astype(np.float32),
        given=given,
        true=true,
        beads=specimen.beads,
        seen=series.bead_images,
    )
