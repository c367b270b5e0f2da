"""A small tilt series of copies of a molecule with known truth, as the sets of a project."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from tests.builders.image_stacks import write_map
from tests.builders.measures import reprojection_error
from tests.builders.simulated_series import Acquired, Array, Series, acquired
from tomoset import simulate as sim
from tomoset import star
from tomoset.formats._relion_sets import particles_to_star
from tomoset.model import ParticleSet, Tomogram, TomogramSet

PIXEL = 5.4
OFF = sim.AlignmentErrors(shift=1.5, rotation=0.1, tilt=0.1)


@dataclass(frozen=True, kw_only=True)
class Wanted(Acquired):
    """What is simulated."""

    molecules: int = 40
    depth: int = 160
    errors: sim.AlignmentErrors = OFF


@dataclass(frozen=True, eq=False)
class ParticleSeries(Series):
    """With positions as one would pick them in a tomogram of the given alignment."""

    particles: ParticleSet
    ways: Array | None

    def error(self, t: Tomogram) -> float:
        """Rms distance [px] to the true places in images, of the best place for each molecule."""
        return reprojection_error(t.placed(None, self.size), self.seen)


def particle_series(wanted: Wanted) -> ParticleSeries:
    """Simulate a tilt series."""
    contents = sim.Contents(beads=0, molecules=wanted.molecules)
    series, given, true = acquired(wanted, contents)
    given = replace(given, deformation=None)
    picks = given.triangulate(series.molecule_images)
    particles = ParticleSet(
        tomogram_names=["TS_01"] * len(picks),
        names=[f"TS_01/{i + 1}" for i in range(len(picks))],
        coordinates=picks,
        angles=series.specimen.molecules.angles,
        optics_groups=[1] * len(picks),
        pixel_sizes=[PIXEL] * len(picks),
    )
    return ParticleSeries(
        images=series.images.astype(np.int16),
        given=given,
        true=true,
        seen=series.molecule_images,
        particles=particles,
        ways=series.views.trajectories,
    )


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
