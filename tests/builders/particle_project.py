"""A project of two tomograms with particles, aligned from the command line."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np

import tomoset
from tests.builders.particle_series import (
    PIXEL,
    ParticleSeries,
    Wanted,
    particle_series,
    write_particles,
)
from tests.builders.tomograms import nearest_rigid
from tomoset.cli import main
from tomoset.model import TomogramSet
from tomoset.project import open_project

SMALL = Wanted()
MAPS = ["--ref1", "half1.mrc", "--ref2", "half2.mrc", "--mask", "mask.mrc"]
BOX = ["--b", "48", "--r", "8", "--j", "2"]


@cache
def series(wanted: Wanted = SMALL) -> ParticleSeries:
    return particle_series(wanted)


def write_project(folder: Path, of: ParticleSeries, dialect: str = "relion4") -> None:
    """Two tomograms, one without particles, and the sets that belong to them."""
    both = TomogramSet([of.write(folder), of.write(folder, "TS_02")])
    if dialect == "relion5":
        both = TomogramSet([nearest_rigid(x) for x in both.values()])
    both.write("tomograms.star", dialect)
    write_particles("particles.star", of.particles, tomoset.read("tomograms.star"), dialect)


def align(*more: str, o: str = "A") -> int:
    """Align what is here."""
    sets = ["--t", "tomograms.star", "--p", "particles.star"]
    return main(["align", "particles", *sets, *MAPS, *BOX, "--o", o, *more])


def image_error(of: ParticleSeries, folder: str) -> float:
    """Rms distance of where particles are said to be in images from where they are [px]."""
    project = open_project(f"{folder}/optimisation_set.star")
    t, p, ways = project.tomograms["TS_01"], project.particles, project.trajectories
    assert p is not None
    at = np.repeat(p.positions[:, None], t.n_tilts, axis=1)
    if ways is not None:
        at = at + np.stack([ways[name] for name in p.particle_names.tolist()]) / PIXEL
    places = [t.select([i]).project(at[:, i])[0] for i in range(t.n_tilts)]
    return float(np.sqrt(((np.stack(places) - of.seen) ** 2).sum(axis=-1).mean()))
