"""Aberrations of optics groups: polynomials, predicted images, and series aligned with them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.fft

from tests.builders.particle_project import BOX as OPTIONS
from tests.builders.particle_project import MAPS, image_error
from tests.builders.particle_series import ParticleSeries, Wanted, particle_series, write_particles
from tests.builders.particle_series import write_reference as write_maps
from tests.builders.seven_molecules import (
    BOX,
    GROUPS,
    ONES,
    PIXEL,
    correlations,
    peak,
    reference,
    relion_particles,
    series,
    two_groups,
    vector_text,
)
from tomoset import star
from tomoset.cli import main
from tomoset.errors import FileFormatError
from tomoset.images.ctf import frequencies, wavelength
from tomoset.images.zernike import even_phase, odd_phase
from tomoset.model import ParticleSet, TomogramSet
from tomoset.particles import Predictor, Weighting
from tomoset.particles.aberrations import say_what_is_unread

# polynomials

EVEN = [
    lambda r, _: r**0,
    lambda r, a: r**2 * np.sin(2 * a),
    lambda r, _: 2 * r**2 - 1,
    lambda r, a: r**2 * np.cos(2 * a),
    lambda r, a: r**4 * np.sin(4 * a),
    lambda r, a: (4 * r**4 - 3 * r**2) * np.sin(2 * a),
    lambda r, _: 6 * r**4 - 6 * r**2 + 1,
    lambda r, a: (4 * r**4 - 3 * r**2) * np.cos(2 * a),
    lambda r, a: r**4 * np.cos(4 * a),
]
ODD = [
    lambda r, a: r * np.sin(a),
    lambda r, a: r * np.cos(a),
    lambda r, a: r**3 * np.sin(3 * a),
    lambda r, a: (3 * r**3 - 2 * r) * np.sin(a),
    lambda r, a: (3 * r**3 - 2 * r) * np.cos(a),
    lambda r, a: r**3 * np.cos(3 * a),
]


@pytest.mark.parametrize(("phase", "known"), [(even_phase, EVEN), (odd_phase, ODD)])
def test_polynomials_in_relions_order(phase, known):
    rng = np.random.default_rng(1)
    x, y = rng.uniform(-0.5, 0.5, (2, 30))
    for i, polynomial in enumerate(known):
        expected = polynomial(np.hypot(x, y), np.arctan2(y, x))
        np.testing.assert_allclose(phase(np.eye(len(known))[i], x, y), expected, atol=1e-12)
    sign = 1 if phase is even_phase else -1
    many = rng.standard_normal(20)
    np.testing.assert_allclose(phase(many, -x, -y), sign * phase(many, x, y), atol=1e-12)


# predicted images


def predicted(optics: str, tomogram=None):
    own = series()[1] if tomogram is None else tomogram
    predictor = Predictor(own, relion_particles(ONES, optics), reference(), BOX)
    weight = predictor.weight(1, Weighting())
    return predictor.images(1, np.arange(7), weight)


def test_even_aberrations_are_changes_of_defocus_astigmatism_and_spherical_aberration():
    _, tomogram, _ = series()
    length = wavelength(300)
    change, along, more = 7000.0, 4000.0, 15.0
    flat = np.full(tomogram.n_tilts, 20000.0)
    plain = replace(tomogram, defocus_u=flat, defocus_v=flat, defocus_angle=0 * flat)
    other = replace(
        plain,
        defocus_u=flat + change + along,
        defocus_v=flat + change - along,
        optics=replace(plain.optics, spherical_aberration=2.7 + more),
    )
    squares = -np.pi * length * change
    fourth = np.pi / 2 * more * 1e7 * length**3
    # k² = (Z(0, 2) + Z(0, 0)) / 2, k^4 = (Z(0, 4) + 3 Z(0, 2) + 2 Z(0, 0)) / 6.
    coefficients = np.zeros(9)
    coefficients[[0, 2]] = squares / 2
    coefficients[3] = -np.pi * length * along
    coefficients[[0, 2, 6]] += fourth * np.array([2, 3, 1]) / 6
    found = predicted(f"rlnEvenZernike={vector_text(coefficients)}", plain)
    relion = relion_particles(ONES, f"rlnSphericalAberration={2.7 + more}")
    wanted = Predictor(other, relion, reference(), BOX)
    expected = wanted.images(1, np.arange(7), wanted.weight(1, Weighting()))
    assert np.abs(expected - predicted("", plain)).max() > 0.2 * np.abs(expected).max()
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())


def test_odd_aberrations_turn_phases():
    coefficients = [3.0, -5.0, 900.0, 400.0, -700.0, 300.0]
    x, y = frequencies((BOX, BOX), PIXEL)
    turn = np.exp(1j * odd_phase(coefficients, x, y))
    found = predicted(f"rlnOddZernike={vector_text(coefficients)}")
    expected = predicted("") * turn
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())


def test_a_slope_of_the_phase_is_a_shift():
    by = 1.5  # px along x, by which images are displaced
    slope = -2 * np.pi * by * PIXEL
    moved = correlations(
        particles=relion_particles(ONES, f"rlnOddZernike={vector_text([0, slope])}")
    )
    there = correlations(particles=relion_particles(ONES))
    for p, t in np.argwhere(there.visible):
        off = peak(moved.values[p, t]) - peak(there.values[p, t])
        np.testing.assert_allclose(off, [-by, 0], atol=0.1)


def test_every_particle_has_the_aberrations_of_its_own_group():
    two = two_groups()
    _, tomogram, _ = series()
    predictor = Predictor(tomogram, two, reference(), BOX)
    weight = predictor.weight(1, Weighting())
    found = predictor.images(1, np.arange(7), weight)
    with_them = predicted(f"rlnEvenZernike={vector_text([0.5])} rlnOddZernike={vector_text([9])}")
    without = predicted("")
    scale = np.abs(without).max()
    np.testing.assert_allclose(found[GROUPS == 1], with_them[GROUPS == 1], atol=1e-6 * scale)
    np.testing.assert_allclose(found[GROUPS == 2], without[GROUPS == 2], atol=1e-6 * scale)


@pytest.mark.parametrize("value", ["[0,nan]", "[1,2", "abc"])
def test_damaged_coefficients_are_refused(value):
    with pytest.raises(FileFormatError, match="rlnOddZernike"):
        relion_particles(ONES, f"rlnOddZernike={value}")


def test_unread_aberrations_are_a_warning():
    with pytest.warns(UserWarning, match="a beam tilt of optics group 1 is not taken"):
        say_what_is_unread(relion_particles(ONES, "rlnBeamTiltX=0.3 rlnMagMat00=1"))
    say_what_is_unread(relion_particles(ONES, "rlnBeamTiltX=0 rlnMagMat00=1"))
    with pytest.warns(UserWarning, match="anisotropic magnification of optics group 1"):
        say_what_is_unread(relion_particles(ONES, "rlnMagMat01=0.02"))
    say_what_is_unread(ParticleSet(tomogram_names=["a"], coordinates=[[1, 2, 3]]))


# from the command line

#: A coma of 3 |(a, b)| k³ [rad], 1 at 30 Å: Z(±1, 3) and twice Z(±1, 1).
COMA = [10000.0, -16000.0, 0.0, 5000.0, -8000.0, 0.0]


def aberrated(of: ParticleSeries) -> ParticleSeries:
    """The same series through a lens with a coma."""
    _, height, width = of.images.shape
    x, y = frequencies((width, height), 5.4)
    turn = np.exp(1j * odd_phase(COMA, x, y))
    images = scipy.fft.irfft2(scipy.fft.rfft2(of.images.astype(float)) * turn, s=(height, width))
    return replace(of, images=np.rint(images).astype(np.int16))


def test_alignment_takes_coma_into_account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    of = particle_series(Wanted())
    TomogramSet([aberrated(of).write(tmp_path)]).write("tomograms.star", "relion4")
    write_maps(tmp_path)
    import tomoset

    tomograms = tomoset.read("tomograms.star")
    write_particles("plain.star", of.particles, tomograms, "relion4")
    file = star.read("plain.star")
    optics = file["optics"].with_columns({"rlnOddZernike": [vector_text(COMA)]})
    tables = tuple(optics if t.name == "optics" else t for t in file.tables)
    star.write(replace(file, tables=tables), "known.star")
    errors = {}
    for name in ("plain", "known"):
        sets = ["--t", "tomograms.star", "--p", f"{name}.star", *MAPS, *OPTIONS]
        assert main(["align", "particles", *sets, "--o", name]) == 0
        errors[name] = image_error(of, name)
    # Without it all is displaced by what the coma is like on average: a shift.
    assert errors["known"] < 0.3 < errors["plain"]
    written = star.read("known/particles.star")["optics"]
    assert written["rlnOddZernike"][0] == vector_text(COMA)
    # What an earlier run found is of other aberrations.
    star.write(replace(file, tables=tables), "plain.star")
    sets = ["--t", "tomograms.star", "--p", "plain.star", *MAPS, *OPTIONS]
    assert main(["align", "particles", *sets, "--o", "plain", "--continue"]) == 0
    assert image_error(of, "plain") == errors["known"]
    command = ["refine-ctf", "--t", "tomograms.star", "--p", "known.star", *MAPS, "--b", "48"]
    assert main([*command, "--o", "ctf"]) == 0
