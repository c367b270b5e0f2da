"""Defocus and scale by particles: sums over particles, the fit to them, the command."""

from __future__ import annotations

import contextlib
import json
import shutil
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

import tomoset
from tests.builders.image_stacks import Images
from tests.builders.measures import rms
from tests.builders.simulated_series import seen_molecules
from tomoset import simulate as sim
from tomoset import star
from tomoset.cli import main
from tomoset.errors import ModelError
from tomoset.model import Tomogram
from tomoset.particles import ExtractionOptions, Predictor, Reference, Weighting, Whitener
from tomoset.particles.ctf.defocus import angle_errors, mean_and_astigmatism, with_changes
from tomoset.particles.ctf.fit import CtfFit, CtfFitOptions, fit_ctf
from tomoset.particles.ctf.held_out import HeldOut, beyond_errors
from tomoset.particles.ctf.scale import about_curve, fit_ice
from tomoset.particles.ctf.statistics import CtfStatistics, gather

PIXEL, BOX = 5.4, 64
OPTIONS = ExtractionOptions(box=BOX)


@cache
def series(tilts: int = 11, noise: float = 0.3, depth: int = 200):
    """Molecules in ice: (images, tomogram, particles)."""
    nominal, rank = sim.dose_symmetric(tilts)
    taken = sim.Acquisition(
        nominal=nominal, rank=rank, image_size=(320, 300), pixel_size=PIXEL, noise=noise
    )
    size = (*taken.aligned_size, depth)
    contents = sim.Contents(beads=0, molecules=30)
    specimen = sim.Specimen.random(size, PIXEL, contents, seed=4)
    return seen_molecules(specimen, taken, 4)


@cache
def reference() -> Reference:
    volume = sim.molecule_map(sim.Molecule.made(), PIXEL)
    return Reference(half1=volume, half2=volume, pixel_size=PIXEL)


def gathered(tomogram: Tomogram, **given) -> CtfStatistics:
    made, _, particles = series(**given)
    return gather(tomogram, Images(made.images), particles, reference(), OPTIONS)


def refined(tomogram: Tomogram, options: CtfFitOptions | None = None, **given) -> CtfFit:
    beams = tomogram.projections[:, 2, :3]
    beams = beams / np.linalg.norm(beams, axis=1)[:, None]
    scale = np.ones(tomogram.n_tilts) if tomogram.ctf_scale is None else tomogram.ctf_scale
    return fit_ctf(gathered(tomogram, **given), beams, scale, options or CtfFitOptions())


def low(tomogram: Tomogram) -> np.ndarray:
    return np.abs(tomogram.tilt_angles) < 25


# The sums


def test_sums_are_those_of_boxes_and_predictions():
    """The slow form: particle by particle, transforms in double precision."""
    made, tomogram, particles = series()
    found = gathered(tomogram)
    t = 3
    predictor = Predictor(tomogram, particles, reference(), BOX)
    white = Whitener((320, 300))(made.images[t])
    k = np.hypot(np.fft.rfftfreq(BOX), np.fft.fftfreq(BOX)[:, None])
    weight = predictor.weight(t, Weighting(), white.gain_at(k))
    weight[:, -1] = 0
    common = energy = 0.0
    at = tomogram.project(particles.positions)[t]
    inside = ((at > BOX / 2) & (at < np.array([320, 300]) - BOX / 2)).all(axis=1)
    for i in np.flatnonzero(inside):
        spectrum = predictor.images(t, np.array([i]), weight)[0]
        x, y = np.rint(at[i]).astype(int) - BOX // 2
        box = white.image[y : y + BOX, x : x + BOX].astype(float)
        rest = at[i] - [x, y]
        kx, ky = np.fft.rfftfreq(BOX), np.fft.fftfreq(BOX)[:, None]
        placed = spectrum * np.exp(-2j * np.pi * (kx * rest[0] + ky * rest[1]))
        image = np.fft.irfft2(placed, s=(BOX, BOX))
        common += (box * image).sum()
        energy += (image**2).sum()
    seen = found.parts(t, np.zeros((1, 3)))
    assert found.seen[t].sum() == inside.sum()
    assert seen[0][0] == pytest.approx(common, rel=1e-3)
    assert seen[1][0] == pytest.approx(energy, rel=1e-3)


@pytest.mark.parametrize("change", [(700.0, 0, 0), (-300.0, 500, -200)])
def test_a_change_is_the_same_as_another_table(change):
    """Each particle at its own depth: the sums of one table say what another one would."""
    _, tomogram, _ = series()
    every = np.tile(change, (tomogram.n_tilts, 1))
    here, there = gathered(tomogram), gathered(with_changes(tomogram, every))
    for t in range(tomogram.n_tilts):
        seen = np.array(here.parts(t, every[:1]))
        np.testing.assert_allclose(seen, there.parts(t, np.zeros((1, 3))), rtol=2e-3)


def test_slopes_are_those_of_finite_differences():
    found = gathered(series()[1])
    x, amplitude, step = np.array([400.0, -200.0, 300.0]), 20.0, 2.0
    double = replace(
        found, products=found.products.astype(float), powers=found.powers.astype(float)
    )
    gradient, information = double.derivatives(4, x, amplitude)

    def value(at):
        common, energy = double.parts(4, at[None])
        return amplitude * common[0] - amplitude**2 * energy[0] / 2

    for i in range(3):
        d = np.eye(3)[i] * 50 * step
        slope = (value(x + d) - value(x - d)) / (100 * step)
        assert gradient[i] == pytest.approx(slope, rel=0.02, abs=1e-3)
    assert (np.linalg.eigvalsh(information) > 0).all()


def test_rings_say_the_same_of_defocus_alone():
    found = gathered(series()[1]).coarser_left_out(30)
    rings = found.rings(3000)
    changes = np.zeros((13, 3))
    changes[:, 0] = np.linspace(-3000, 3000, 13)
    assert len(rings.x) < len(found.x) / 5
    np.testing.assert_allclose(rings.parts(5, changes), found.parts(5, changes), rtol=0.01)


# Numbers


def test_defocus_along_any_direction_changes_as_it_should():
    n = 4
    rng = np.random.default_rng(1)
    before = replace(
        series(11)[1].select(range(n)),
        defocus_u=np.full(n, 20000.0),
        defocus_v=20000 - rng.uniform(-900, 900, n),
        defocus_angle=rng.uniform(0, 180, n),
    )
    changes = rng.normal(0, 300, (n, 3))
    after = with_changes(before, changes)
    twice = 2 * np.deg2rad(np.arange(0, 180, 20))
    wave = np.stack([np.cos(twice), np.sin(twice)])
    old, new = mean_and_astigmatism(before), mean_and_astigmatism(after)
    seen = (new[0] - old[0])[:, None] + (new[1] - old[1]) @ wave
    np.testing.assert_allclose(seen, changes[:, :1] + changes[:, 1:] @ wave, atol=1e-9)
    assert after.hand == before.hand
    alone = with_changes(before, changes * [1, 0, 0])
    np.testing.assert_array_equal(alone.defocus_angle, before.defocus_angle)
    errors = angle_errors(np.array([[500.0, 0], [0, 0]]), np.full((2, 2), 50.0))
    np.testing.assert_allclose(errors, [np.rad2deg(0.05), 180 / np.sqrt(12)])


def test_ice_is_found_where_it_is_inclined_and_within_its_errors():
    tilt = np.deg2rad(np.arange(-60, 61, 3.0))
    beams = np.stack([np.sin(tilt), 0 * tilt, np.cos(tilt)], axis=1)
    off = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        angle, path = np.deg2rad(rng.uniform(-8, 8)), rng.uniform(0.1, 0.8)
        true = 3 * np.exp(-path / np.cos(tilt - angle))
        model = fit_ice(true + 0.05 * rng.standard_normal(41), np.full(41, 0.05), beams)
        found = np.rad2deg(np.arctan2(model.normal[0], model.normal[2]) - angle)
        off.append(
            [
                (model.luminance - 3) / model.luminance_error,
                (model.thickness - path) / model.thickness_error,
                found / model.inclination_error,
                rms((model.values - true) / model.errors),
            ]
        )
        own, errors = about_curve(true, np.full(41, 0.05), model.values)
        assert rms(own - true) <= rms(model.values - true) + 1e-9
        assert (errors <= 0.05).all()
    assert np.all(np.abs(np.sqrt(np.mean(np.square(off), axis=0)) - 1) < 0.4)


# The fit


def test_a_true_defocus_table_is_not_changed():
    _, tomogram, _ = series()
    fit = refined(tomogram)
    assert (np.abs(fit.changes) <= 3 * fit.errors).all()
    assert rms(fit.changes[:, 0]) < 60
    assert not fit.astigmatism


def test_defocus_errors_are_recovered():
    _, tomogram, _ = series()
    rng = np.random.default_rng(2)
    n = tomogram.n_tilts
    off = rng.choice([-1, 1], n) * rng.uniform(300, 1500, n)
    fit = refined(with_changes(tomogram, np.stack([off, 0 * off, 0 * off], axis=1)))
    left = fit.changes[:, 0] + off
    assert rms(left[low(tomogram)]) < 150
    assert rms(left) < 0.5 * rms(off)
    assert 0.4 < rms(left / fit.errors[:, 0]) < 1.8
    assert np.abs(left / fit.errors[:, 0]).max() < 4
    assert fit.gain.sum() > 20


def test_what_all_images_are_off_is_known_best():
    _, tomogram, _ = series()
    fit = refined(with_changes(tomogram, np.tile([600.0, 0, 0], (tomogram.n_tilts, 1))))
    assert fit.common[0] == pytest.approx(-600, abs=150)
    assert rms(fit.changes[:, 0] + 600) < 150
    assert not fit.kept.any()


def test_astigmatism_is_recovered():
    _, tomogram, _ = series()
    fit = refined(with_changes(tomogram, np.tile([0.0, 700, -500], (tomogram.n_tilts, 1))))
    assert fit.astigmatism
    assert rms(fit.changes[:, 1:] - [-700, 500]) < 0.4 * rms(np.array([700, 500]))
    assert rms((fit.changes[:, 1:] - [-700, 500]) / fit.errors[:, 1:]) < 2


def test_depth_counts_and_the_hand_stays():
    """Of a thick specimen, each particle's own defocus: the other hand is worse at any defocus."""
    _, tomogram, _ = series(depth=500)
    at = np.zeros((61, 3))
    at[:, 0] = np.linspace(-3000, 3000, 61)
    best = []
    for hand in (tomogram.hand, -tomogram.hand):
        found = gathered(replace(tomogram, hand=hand), depth=500)
        sums = [found.parts(t, at) for t in range(tomogram.n_tilts)]
        best.append(sum(float((c**2 / (2 * e)).max()) for c, e in sums))
    assert best[0] > best[1] + 10
    assert with_changes(tomogram, np.ones((tomogram.n_tilts, 3))).hand == tomogram.hand


@pytest.mark.parametrize("per_tilt", [False, True])
def test_the_scale_is_what_the_ice_lets_pass(per_tilt):
    made, tomogram, _ = series()
    fit = refined(tomogram, CtfFitOptions(defocus=False, per_tilt_scale=per_tilt))
    passed = made.images.mean(axis=(1, 2)) / made.images.mean()
    ratio = fit.scales / passed
    assert np.std(passed) > 0.04
    assert np.std(ratio / ratio.mean()) < 0.02
    assert rms((ratio / ratio.mean() - 1) / (fit.scale_errors / fit.scales)) < 2.5
    assert fit.kept.all()
    assert fit.ice.thickness > 3 * fit.ice.thickness_error


def test_an_image_without_contrast_stays():
    _, tomogram, _ = series()
    scale = np.ones(tomogram.n_tilts)
    scale[2] = 0
    off = np.tile([600.0, 0, 0], (tomogram.n_tilts, 1))
    fit = refined(replace(with_changes(tomogram, off), ctf_scale=scale))
    assert fit.kept[2]
    assert fit.scales[2] == 0
    assert np.isfinite(fit.changes).all()


def test_other_particles_are_refused():
    made, tomogram, particles = series()
    wrong = replace(particles, coordinates=np.roll(particles.coordinates, 1, axis=0))
    found = gather(tomogram, Images(-made.images), wrong, reference(), OPTIONS)
    with pytest.raises(ModelError, match="do not show the particles"):
        fit_ctf(found, tomogram.projections[:, 2, :3], np.ones(11), CtfFitOptions())
    with pytest.raises(ModelError, match=r"--kmin"):
        refined(tomogram, CtfFitOptions(coarsest=5.0))
    with pytest.raises(ModelError, match="--b"):
        gather(tomogram, Images(made.images), particles, reference(), ExtractionOptions(box=400))
    for wrong_options in ({"low": 100.0}, {"step": 0.0}, {"coarsest": -1.0}):
        with pytest.raises(ModelError):
            CtfFitOptions(**wrong_options)


# The command


SIMULATE = "simulate P --series 1 --format relion4 --size 320 300 200 --tilts 11 --molecules 20"


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    """A project whose defocus is off by 1000 Å, with an optimisation set."""
    folder = tmp_path_factory.mktemp("ctf")
    with contextlib.chdir(folder):
        assert main([*SIMULATE.split(), "--beads", "0"]) == 0
    with contextlib.chdir(folder / "P"):
        tomograms = tomoset.read("tomograms.star")
        t = tomograms["TS_01"]
        off = with_changes(t, np.tile([1000.0, 0, 0], (t.n_tilts, 1)))
        shutil.copy(t.stack, "empty.mrc")
        empty = replace(off, name="empty", stack="empty.mrc")
        tomograms.with_tomograms([off, empty]).write("off.star")
        Path("opt.star").write_text(
            "data_\n_rlnTomoParticlesFile truth/particles.star\n_rlnTomoTomogramsFile off.star\n"
            "_rlnTomoReferenceMap1File truth/molecule.mrc\n_rlnTomoOther note\n"
        )
        Path("none.star").write_text("data_TS_01\n")
    return folder / "P"


@pytest.fixture
def here(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> Path:
    """A copy of it to work in."""
    shutil.copytree(project, tmp_path / "P")
    monkeypatch.chdir(tmp_path / "P")
    capsys.readouterr()
    return tmp_path / "P"


GIVEN = [
    "--t",
    "off.star",
    "--p",
    "truth/particles.star",
    "--ref1",
    "truth/molecule.mrc",
    "--b",
    "64",
    "--o",
    "R",
]


def test_refined_values_are_written_to_the_set(here, capsys):
    assert main(["refine-ctf", *GIVEN]) == 0
    out = capsys.readouterr()
    assert "only one reference map" in out.err
    assert "20 particles in 11 images" in out.out
    assert "ln likelihood" in out.out
    assert "scale changed" in out.out
    true = tomoset.read("truth/tomograms.star")["TS_01"]
    new = tomoset.read("R/tomograms.star")
    left = new["TS_01"].defocus_u - true.defocus_u
    assert rms(left) < 600
    assert new["TS_01"].hand == true.hand
    np.testing.assert_allclose(new["empty"].defocus_u, true.defocus_u + 1000, atol=1e-3)
    head, tilts, *_ = star.read("R/tomograms.star").tables
    for label in ("Luminance", "IceThickness"):
        assert float(head[f"rlnTomoRelative{label}"][0]) > 0
    assert tilts.floats("rlnCtfScalefactor").mean() == pytest.approx(1, abs=0.1)
    assert (tilts.floats("tomosetDefocusError") > 0).all()
    report = star.read("R/ctf_TS_01.star")
    assert len(report["tilts"]) == 11
    assert rms(report["tilts"].floats("tomosetDefocusChange") + 1000) < 600
    assert Path("R/TS_01.png").stat().st_size > 1000
    links = star.read("R/optimisation_set.star").first
    assert links["rlnTomoTomogramsFile"][0] == "R/tomograms.star"
    assert links["rlnTomoParticlesFile"][0] == "truth/particles.star"
    assert links["rlnTomoReferenceMap1File"][0] == "truth/molecule.mrc"
    # It is there already, and from there nothing changes any more by much.
    assert main(["refine-ctf", *GIVEN, "--continue"]) == 0
    assert "1 was there already" in capsys.readouterr().out
    assert main(["check", "R/tomograms.star"]) == 0


def test_what_is_asked_for_is_done(here, capsys):
    given = ["refine-ctf", "--i", "opt.star", "--b", "64", "--json"]
    assert main([*given, "--o", "S", "--do_scale", "--per_frame_scale", "--lambda", "0.1"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert any("--lambda" in warning for warning in said["warnings"])
    scaled, before = tomoset.read("S/tomograms.star")["TS_01"], tomoset.read("off.star")["TS_01"]
    np.testing.assert_array_equal(scaled.defocus_u, before.defocus_u)
    assert "rlnTomoRelativeLuminance" not in star.read("S/tomograms.star").tables[0]
    assert star.read("S/optimisation_set.star").first["rlnTomoOther"][0] == "note"
    assert main([*given, "--o", "D", "--do_defocus"]) == 0
    moved = tomoset.read("D/tomograms.star")["TS_01"]
    assert moved.ctf_scale is None
    assert (moved.defocus_u != before.defocus_u).any()


@pytest.mark.slow
def test_a_true_table_of_a_series_that_is_not_aligned_stays(tmp_path, monkeypatch, capsys):
    """Images that are 1.5 px off show little, and what that little says is chance."""
    monkeypatch.chdir(tmp_path)
    made = "simulate S --series 2 --format relion4 --size 384 360 120 --tilts 21 --molecules 40"
    rough = "--beads 0 --specks 8000 --shift-error 1.5 --rotation-error 0.1"
    assert main([*made.split(), *rough.split()]) == 0
    monkeypatch.chdir(tmp_path / "S")
    capsys.readouterr()
    given = "--t tomograms.star --p truth/particles.star --ref1 truth/molecule.mrc --b 64 --o R"
    assert main(["refine-ctf", *given.split()]) == 0
    said = capsys.readouterr().out
    assert said.count("defocus stays as it is") == 2
    assert said.count("scale stays as it is") == 2
    assert "1 not used" in said
    old, new = tomoset.read("tomograms.star"), tomoset.read("R/tomograms.star")
    for name in old:
        np.testing.assert_array_equal(new[name].defocus_u, old[name].defocus_u)
        assert star.read(f"R/ctf_{name}.star")["ctf"]["tomosetScaleKept"][0] == "1"


def test_gains_must_be_clear_and_changes_larger_than_their_errors():
    assert HeldOut.of(np.full(8, 1.0)).clear
    assert not HeldOut.of(np.full(8, 0.7)).clear
    assert not HeldOut.of(np.array([40.0, -10, -10, -10, 0, 0, 0, 0])).clear
    assert beyond_errors(np.array([[300.0, 0]]), np.array([[200.0, 0]]))
    assert not beyond_errors(np.array([[300.0, 0]]), np.array([[400.0, 0]]))


def test_no_change_goes_beyond_what_is_scanned():
    _, tomogram, _ = series()
    fit = refined(
        with_changes(tomogram, np.tile([900.0, 0, 0], (tomogram.n_tilts, 1))),
        CtfFitOptions(low=-400, high=400),
    )
    assert (np.abs(fit.changes[:, 0]) <= 500).all()


def changed(**columns):
    tomograms = tomoset.read("off.star")
    tomograms.with_tomograms([replace(tomograms["TS_01"], **columns)]).write("bad.star")


@pytest.mark.parametrize(
    ("options", "code", "says"),
    [
        ("--t off.star --ref1 truth/molecule.mrc --b 64", 2, "no particles"),
        ("--t off.star --p truth/particles.star --b 64", 2, "--ref1"),
        ("--t off.star --p truth/particles.star --ref2 a.mrc --b 64", 2, "--ref2 needs --ref1"),
        ("--i opt.star --b 64 --do_scale --kmin 20", 2, "--kmin does nothing without --do_defocus"),
        ("--i opt.star --b 64 --do_scale --ds 50", 2, "--ds does nothing without --do_defocus"),
        ("--t off.star --p truth/particles.star --ref1 none.mrc --b 64", 1, "none.mrc"),
        ("--t off.star --p none.star --ref1 truth/molecule.mrc --b 64", 1, "none.star"),
        ("--t bad.star --p truth/particles.star --ref1 truth/molecule.mrc --b 64", 1, "no defocus"),
        ("--i opt.star --b 64 --d0 100", 2, "--d0"),
        ("--i opt.star --b 63", 2, "even number"),
        ("--i opt.star --b 1000", 1, "--b"),
        ("--i opt.star --b 64 --tn empty", 1, "has no particles"),
        ("--i opt.star --b 64 --tn other", 2, "other"),
        ("--i opt.star --b 64 --per_frame_scale --do_defocus", 2, "--do_scale"),
        ("--b 64", 2, "--i"),
    ],
)
def test_impossible_requests_are_refused_with_their_reason(here, capsys, options, code, says):
    if "bad.star" in options:
        changed(defocus_u=None, defocus_v=None, defocus_angle=None)
    assert main(["refine-ctf", *options.split(), "--o", "R"]) == code
    assert says in capsys.readouterr().err
    assert not Path("R/tomograms.star").exists()


def test_pixels_of_another_size_are_refused(here, capsys):
    import mrcfile

    with mrcfile.open("truth/molecule.mrc", mode="r+") as mrc:
        mrc.voxel_size = 4.0
    assert main(["refine-ctf", *GIVEN]) == 1
    assert "4 Å a voxel" in capsys.readouterr().err
    assert not Path("R").exists()


# Larger, and side by side with what is quoted


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_errors_are_as_large_as_they_say(seed):
    _, tomogram, _ = series(tilts=41, noise=0.5)
    rng = np.random.default_rng(seed)
    z = []
    for scatter in (300.0, 900.0):
        off = rng.normal(0, scatter, 41)
        fit = refined(
            with_changes(tomogram, np.stack([off, 0 * off, 0 * off], axis=1)), tilts=41, noise=0.5
        )
        z.append(rms((fit.changes[:, 0] + off) / fit.errors[:, 0]))
    assert 0.5 < np.mean(z) < 1.6
