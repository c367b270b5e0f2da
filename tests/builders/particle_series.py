"""A small tilt series of copies of a molecule with known truth, as the sets of a project."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import mrcfile
import numpy as np
import numpy.typing as npt

from tests.builders.image_stacks import write_map
from tomoset import geometry, star
from tomoset import simulate as sim
from tomoset.cli._simulated_truth import tomogram
from tomoset.formats._relion_sets import particles_to_star
from tomoset.model import ParticleSet, Tomogram, TomogramSet

Array = npt.NDArray[np.float64]

PIXEL = 5.4
OFF = sim.AlignmentErrors(shift=1.5, rotation=0.1, tilt=0.1)


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What is simulated."""

    molecules: int = 40
    n_tilts: int = 21
    image_size: tuple[int, int] = (320, 300)
    depth: int = 160
    errors: sim.AlignmentErrors = field(default=OFF)
    deformation: float = 0.0
    motion: float = 0.0
    seed: int = 1


@dataclass(frozen=True, eq=False)
class ParticleSeries:
    """Images, the alignment that one has, the true one, and where the molecules are in images."""

    images: npt.NDArray[np.int16]
    given: Tomogram
    true: Tomogram
    particles: ParticleSet
    seen: Array
    ways: Array | None

    def write(self, folder: Path, name: str = "TS_01") -> Tomogram:
        """The images as a stack in a folder; the tomogram that names it."""
        with mrcfile.new(folder / f"{name}.mrcs", self.images, overwrite=True) as stack:
            stack.voxel_size = PIXEL
            stack.set_image_stack()
        return replace(self.given, name=name, stack=f"{name}.mrcs")

    def error(self, t: Tomogram) -> float:
        """Rms distance [px] to the true places in images, of the best place for each molecule."""
        size = self.images.shape[2], self.images.shape[1]
        t = t.placed(None, size)
        off = t.project(t.triangulate(self.seen)) - self.seen
        return float(np.sqrt((off**2).sum(axis=-1).mean()))


def particle_series(wanted: Wanted) -> ParticleSeries:
    """Simulate a tilt series; positions are what one would pick in a tomogram of it."""
    nominal, rank = sim.dose_symmetric(wanted.n_tilts)
    taken = sim.Acquisition(
        nominal=nominal, rank=rank, image_size=wanted.image_size, pixel_size=PIXEL
    )
    size = (*taken.aligned_size, wanted.depth)
    contents = sim.Contents(beads=0, molecules=wanted.molecules)
    specimen = sim.Specimen.random(size, PIXEL, contents, seed=wanted.seed)
    molecules = specimen.molecules
    assert molecules is not None
    views = sim.Views.random(taken, wanted.seed + 1000)
    if wanted.deformation:
        bent = sim.random_deformation(
            wanted.n_tilts, wanted.image_size, rms=wanted.deformation, seed=wanted.seed
        )
        views = replace(views, deformation=bent)
    ways = None
    if wanted.motion:
        dose = taken.pre_exposure / taken.pre_exposure.max()
        at = molecules.positions * PIXEL
        ways = sim.random_motion(at, dose, rms=wanted.motion, seed=wanted.seed)
        views = replace(views, trajectories=ways)
    series = sim.simulate(specimen, taken, views, seed=wanted.seed + 2000)
    true = tomogram("TS_01", series, views)
    off = sim.misaligned(views, wanted.errors, wanted.seed + 3000)
    given = replace(tomogram("TS_01", series, off), deformation=None)
    seen = series.molecule_images
    picks = given.triangulate(seen)
    particles = ParticleSet(
        tomogram_names=["TS_01"] * len(picks),
        names=[f"TS_01/{i + 1}" for i in range(len(picks))],
        coordinates=picks,
        angles=molecules.angles,
        optics_groups=[1] * len(picks),
        pixel_sizes=[PIXEL] * len(picks),
    )
    return ParticleSeries(
        images=series.images.astype(np.int16),
        given=given,
        true=true,
        particles=particles,
        seen=seen,
        ways=ways,
    )


def rigid(t: Tomogram) -> Tomogram:
    """With the nearest rigid alignment, which is all that RELION 5 knows."""
    assert t.projections is not None
    assert t.size is not None
    assert t.image_size is not None
    sizes = {"size": t.size, "image_size": t.image_size}
    angles, shifts = geometry.rigid_parameters(t.projections, **sizes)
    return replace(t, projections=geometry.rigid_projections(angles, shifts, **sizes))


def write_reference(folder: Path, noise: float = 0.05) -> None:
    """``half1.mrc``, ``half2.mrc``, with some noise, and ``mask.mrc``."""
    density = sim.molecule_map(sim.Molecule.made(), PIXEL)
    rng = np.random.default_rng(3)
    for name in ("half1", "half2"):
        rough = density + noise * density.std() * rng.standard_normal(density.shape)
        write_map(folder / f"{name}.mrc", rough)
    n = len(density)
    r = np.linalg.norm(np.indices((n,) * 3) - n // 2, axis=0)
    write_map(folder / "mask.mrc", np.clip((0.45 * n - r) / 3, 0, 1))


def write_particles(path: str | Path, p: ParticleSet, t: TomogramSet, dialect: str) -> None:
    """``particles.star`` with a column that nobody knows, and half sets."""
    file = particles_to_star(p, dialect, t)
    n = len(p)
    more = {
        "rlnRandomSubset": [str(i % 2 + 1) for i in range(n)],
        "rlnWhatever": [f"w{i}" for i in range(n)],
    }
    tables = [
        table.with_columns({**table.columns, **more}) if table.name == "particles" else table
        for table in file.tables
    ]
    star.write(star.StarFile(tuple(tables)), path)
