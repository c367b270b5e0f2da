"""A tiny project in which everything that the model can hold is there, made in Python."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np

from tests.builders.image_stacks import write_images, write_map
from tomoset import simulate as sim
from tomoset.model import (
    Fiducials,
    Ice,
    Optics,
    ParticleSet,
    Project,
    Reconstruction,
    Tomogram,
    TomogramSet,
    TrajectorySet,
)
from tomoset.simulate.truth import tomogram as tomogram_of

N, PIXEL, NAME, DEPTH = 9, 8.0, "TS_01", 60
ALIGNMENT = (
    *("x_tilt", "tilt", "rotation", "shift_x", "shift_y"),
    *("magnification", "stretch", "skew"),
)
HALVES = ("even", "odd")
CTF = ("defocus", "astigmatism", "defocus_angle", "ctf_scale")


@cache
def simulated() -> tuple[sim.SimulatedSeries, sim.Views]:
    """Beads and molecules, and the alignment that one has of them: rigid, and a little off."""
    nominal, rank = sim.dose_symmetric(N)
    taken = sim.Acquisition(
        nominal=nominal,
        rank=rank,
        image_size=(170, 160),
        pixel_size=PIXEL,
        magnification_error=0.0,
        noise=0.3,
    )
    contents = sim.Contents(beads=10, molecules=10, bead_radius=60.0)
    specimen = sim.Specimen.random((*taken.aligned_size, DEPTH), PIXEL, contents, seed=2)
    series = sim.simulate(specimen, taken, sim.Views.random(taken, 3), seed=4)
    off = sim.AlignmentErrors(shift=0.7, rotation=0.1, tilt=0.1)
    return series, sim.misaligned(series.views, off, 5)


def whole_project() -> Project:
    """A project that was never written, of images in the working folder (`write_files`)."""
    series, given = simulated()
    molecules, beads = series.specimen.molecules, series.specimen.beads
    assert molecules is not None
    count = len(molecules.positions)
    names = [f"{NAME}/{i}" for i in range(1, count + 1)]
    visible = np.ones((count, N - 1), bool)
    visible[0, 0] = False
    particles = ParticleSet(
        tomogram_names=[NAME] * count,
        names=names,
        coordinates=molecules.positions,
        origins=np.zeros((count, 3)),
        angles=molecules.angles,
        visible=visible,
        halves=np.arange(count) // 2 % 2,  # not what anyone would guess
        optics_groups=np.arange(count) % 2 + 3,
        optics={
            3: Optics(pixel_size=PIXEL, group="one", aberrations=((0.1, 0.2), (0.0, 0.0, 0.3))),
            4: Optics(pixel_size=PIXEL, group="two", beam_tilt=(0.1, -0.2)),
        },
        pixel_sizes=[PIXEL] * count,
    )
    ways = {name: np.full((N - 1, 3), 0.25 * i) for i, name in enumerate(names)}
    return Project(
        tomograms=TomogramSet([with_everything(tomogram_of(NAME, series, given))]),
        particles=particles,
        trajectories=TrajectorySet(ways),
        fiducials={NAME: Fiducials(points=beads[:2])},
        references={"half1": "half1.mrc", "half2": "half2.mrc"},
    )


def with_everything(tomogram: Tomogram) -> Tomogram:
    """With all that a set can say of an aligned series, and its last image taken out."""
    n, ramp = N, np.arange(N) / 8
    halves = [tuple(f"{i:06d}@{half}.mrcs:mrcs" for i in range(1, n + 1)) for half in HALVES]
    whole = replace(
        tomogram.restore(),
        optics=replace(tomogram.optics, group="three", aberrations=((0.5,), (0.25, 0.125))),
        stack=f"{NAME}.mrcs",
        image_index=np.arange(n),
        half_images=(halves[0], halves[1]),
        movies=tuple(f"frames/{i}.tif" for i in range(n)),
        phase_shift=90 + ramp,
        ctf_scale=1 - ramp / 8,
        b_factor=10 * ramp,
        exposure=3 + ramp,
        acquisition=np.arange(n)[::-1],
        deviations={what: 1 + i + ramp for i, what in enumerate((*ALIGNMENT, *CTF))},
        hand_log_odds=-1.5,
        unfinished=("another program",),
        ice=Ice(luminance=1.5, thickness=0.25, normal=(0.0, 0.6, 0.8)),
        reconstruction=Reconstruction(binning=2.0, path="t.mrc", half1="1.mrc", half2="2.mrc"),
    )
    return whole.exclude([N - 1], "ice")


def write_files(folder: Path) -> None:
    """What the project names."""
    series, _ = simulated()
    for name in (NAME, *HALVES):
        write_images(folder / f"{name}.mrcs", series.images, PIXEL)
    density = sim.molecule_map(sim.Molecule.made(), PIXEL)
    for i, name in enumerate(("half1", "half2")):
        rough = 0.05 * density.std() * np.random.default_rng(i).standard_normal(density.shape)
        write_map(folder / f"{name}.mrc", density + rough, PIXEL)
