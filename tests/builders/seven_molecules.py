"""Seven molecules without ice waves, their reference, and their cross-correlations."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np

from tests.builders.image_stacks import Images
from tests.builders.simulated_series import seen_molecules
from tomoset import simulate as sim
from tomoset import star
from tomoset.align.cross_correlations import CrossCorrelations
from tomoset.formats._relion_sets import particles_from_star
from tomoset.model import ParticleSet, TomogramSet
from tomoset.particles import CorrelationOptions, Reference, correlate

PIXEL, BOX, SIZE = 8.0, 48, (200, 180)
OPTIONS = CorrelationOptions(box=BOX, range=6)


@cache
def molecule_map():
    return sim.molecule_map(sim.Molecule.made(), PIXEL)


@cache
def series():
    """Seven molecules without ice waves: (simulated series, tomogram, particles)."""
    nominal, rank = sim.dose_symmetric(5)
    taken = sim.Acquisition(
        nominal=nominal, rank=rank, image_size=SIZE, pixel_size=PIXEL, noise=0.3
    )
    size = (*taken.aligned_size, 60)
    specimen = sim.Specimen.random(size, PIXEL, sim.Contents(beads=0, molecules=7), seed=3)
    specimen = replace(specimen, waves=specimen.waves * [1, 1, 1, 0, 1])
    return seen_molecules(specimen, taken, 3)


@cache
def reference():
    return Reference(half1=molecule_map(), half2=molecule_map(), pixel_size=PIXEL)


def images():
    return Images(series()[0].images)


def correlations(tomogram=None, particles=None, options=OPTIONS, **given) -> CrossCorrelations:
    _, own, copies = series()
    return correlate(tomogram or own, images(), particles or copies, reference(), options, **given)


def peak(window, step=1.0):
    """Place of the highest value [px], by a parabola along each axis."""
    h = len(window) // 2
    j, i = np.unravel_index(window.argmax(), window.shape)
    c = window[j - 1 : j + 2, i - 1 : i + 2]
    x = (c[1, 0] - c[1, 2]) / (c[1, 0] + c[1, 2] - 2 * c[1, 1]) / 2
    y = (c[0, 1] - c[2, 1]) / (c[0, 1] + c[2, 1] - 2 * c[1, 1]) / 2
    return np.array([i - h + x, j - h + y]) * step


def relion_particles(subsets, optics="", labels=("rlnRandomSubset",)):
    _, tomogram, particles = series()
    names = ["rlnTomoName", "rlnOpticsGroup", *(f"rlnCoordinate{a}" for a in "XYZ")]
    names += [f"rlnAngle{a}" for a in ("Rot", "Tilt", "Psi")] + list(labels)
    rows = [
        ["a", "1", *map(str, p), *map(str, q), *([str(s)] if labels else [])]
        for p, q, s in zip(particles.coordinates, particles.angles, subsets, strict=True)
    ]
    lines = ["data_optics", "", "loop_", "_rlnOpticsGroup", "_rlnTomoTiltSeriesPixelSize"]
    extra = dict(pair.split("=") for pair in optics.split())
    lines += [f"_{label}" for label in extra] + [" ".join(["1", str(PIXEL), *extra.values()]), ""]
    lines += ["data_particles", "", "loop_", *(f"_{name}" for name in names)]
    lines += [" ".join(row) for row in rows]
    return particles_from_star(star.loads("\n".join(lines) + "\n"), TomogramSet([tomogram]))


ONES = [1] * 7
GROUPS = np.array([1, 2, 2, 1, 2, 1, 1])


def vector_text(coefficients) -> str:
    return "[" + ",".join(repr(float(c)) for c in coefficients) + "]"


def two_groups() -> ParticleSet:
    """Particles of a group with aberrations, and of one without."""
    particles = relion_particles(
        ONES, f"rlnEvenZernike={vector_text([0.5])} rlnOddZernike={vector_text([9])}"
    )
    plain = relion_particles(ONES, "rlnEvenZernike=None rlnOddZernike=[0,0]")
    return replace(particles, optics_groups=GROUPS, optics={**particles.optics, 2: plain.optics[1]})
