"""Small simulated series whose hand is known."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from tests.builders.image_stacks import Images
from tomoset import simulate as sim
from tomoset.model import Optics, Tomogram
from tomoset.simulate.projection import matrices


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What a series is to be like."""

    hand: int = 1
    n: int = 13
    size: tuple[int, int] = (400, 384)
    pixel_size: float = 5.4
    defocus: float = 30000.0
    tilt_axis: float = 85.0
    highest: float = 60.0
    noise: float = 1.0
    specks: int = 12000
    beads: int = 0
    inclined: float = 0.0
    thickness: float = 500.0
    ctf: bool = True
    #: Which the tomogram says to be 0.1; more is as a phase plate makes it.
    amplitude_contrast: float = 0.1
    seed: int = 1


def hand_series(wanted: Wanted) -> tuple[Tomogram, Images]:
    """A series as a set has it: with the wrong hand."""
    angles, rank = sim.dose_symmetric(wanted.n, wanted.highest)
    taken = sim.Acquisition(
        nominal=angles,
        rank=rank,
        image_size=wanted.size,
        pixel_size=wanted.pixel_size,
        tilt_axis=wanted.tilt_axis,
        defocus=wanted.defocus,
        hand=wanted.hand,
        magnification_error=0.0,  # which RELION 5 cannot say
        noise=wanted.noise,
        ctf=wanted.ctf,
        amplitude_contrast=wanted.amplitude_contrast,
    )
    contents = sim.Contents(
        beads=wanted.beads,
        specks=wanted.specks,
        thickness=wanted.thickness,
        inclined=wanted.inclined,
    )
    size = (*taken.aligned_size, 200)
    specimen = sim.Specimen.random(size, wanted.pixel_size, contents, seed=wanted.seed)
    views = sim.Views.random(taken, wanted.seed)
    series = sim.simulate(specimen, taken, views, seed=wanted.seed)
    tomogram = Tomogram(
        name="TS_01",
        n_tilts=wanted.n,
        optics=Optics(
            pixel_size=wanted.pixel_size,
            voltage=300.0,
            spherical_aberration=2.7,
            amplitude_contrast=0.1,
        ),
        hand=-wanted.hand,
        size=size,
        image_size=wanted.size,
        projections=matrices(specimen, taken, views),
        defocus_u=views.defocus_u,
        defocus_v=views.defocus_v,
        defocus_angle=views.defocus_angle,
        pre_exposure=taken.pre_exposure,
        depth_origin=np.array(size) / 2 - 1,
    )
    return tomogram, Images(series.images)


def off(tomogram: Tomogram, by: float) -> Tomogram:
    """With a table that is off by so much [Å]."""
    assert tomogram.defocus_u is not None
    assert tomogram.defocus_v is not None
    return replace(tomogram, defocus_u=tomogram.defocus_u + by, defocus_v=tomogram.defocus_v + by)
