"""Tilt series aligned by particles from the command line, and the sets of that read back."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import mrcfile
import numpy as np
import pytest

import tomoset
from tests.builders.image_stacks import write_map
from tests.builders.particle_project import (
    BOX,
    MAPS,
    align,
    image_error,
    series,
    write_project,
)
from tests.builders.particle_series import (
    PIXEL,
    ParticleSeries,
    Wanted,
    write_particles,
    write_reference,
)
from tomoset import simulate as sim
from tomoset import star
from tomoset.cli import main
from tomoset.errors import TomosetError
from tomoset.model import ParticleSet
from tomoset.particles import CorrelationOptions, Reference
from tomoset.particles.align.whole_images import shifts_by_images
from tomoset.programs._results import load
from tomoset.programs.align_particles import PROGRAM, AlignedByParticles
from tomoset.project import open_project


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_project(tmp_path, series())
    write_reference(tmp_path)
    return tmp_path


def table(path: str, name: str = "particles") -> star.Table:
    return star.read(path)[name]


# what it is for


def test_the_alignment_gets_better_and_all_sets_say_so(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    of = series()
    assert of.error(of.given) > 1.0
    assert align() == 0
    said = capsys.readouterr()
    assert "40 particles in 21 images" in said.out
    assert "set: A/tomograms.star" in said.out
    project = open_project("A/optimisation_set.star")
    t = project.tomograms["TS_01"]
    assert of.error(t) < 0.15
    assert project.particles is not None
    off = t.project(project.particles.positions) - of.seen
    assert np.sqrt((off**2).sum(axis=-1).mean()) < 0.3
    # The tomogram stays where it was.
    displacement = project.particles.positions - of.particles.positions
    assert np.linalg.norm(displacement.mean(axis=0)) < 0.1
    # What nobody knows stays, origins are 0, references go on.
    rows = table("A/particles.star")
    assert rows["rlnWhatever"][7] == "w7"
    assert not rows.floats("rlnOriginXAngst").any()
    assert dict(project.references) == {
        "half1": "half1.mrc",
        "half2": "half2.mrc",
        "mask": "mask.mrc",
    }
    assert not os.path.exists("A/motion.star")
    # A tomogram without particles stays as it was, text and all.
    old, new = (star.read(f"{f}tomograms.star")["TS_02"] for f in ("", "A/"))
    assert dict(old.columns) == dict(new.columns)
    errors = star.read("A/tomograms.star")["TS_01"].floats("tomosetShiftXError")
    assert ((errors > 0) & (errors < 0.5)).all()
    assert main(["check", "A/tomograms.star"]) == 0


def test_the_report_lists_what_was_determined(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert align("--json") == 0
    said = json.loads(capsys.readouterr().out)
    result = said["results"]["TS_01"]
    assert said["set"] == "A/tomograms.star"
    assert result["particles"] == 40
    assert result["expected"] < 0.2
    assert [g["name"] for g in result["gains"]] == ["angles"]
    report = star.read("A/alignment_TS_01.star")
    assert [t.name for t in report.tables] == ["alignment", "tilts", "particles", "gains"]
    assert len(report["tilts"]) == 21
    places = np.stack([report["particles"].floats(f"tomoset{x}") for x in "XYZ"], axis=1)
    now = open_project("A/optimisation_set.star").particles
    assert now is not None
    np.testing.assert_allclose(places, now.positions, rtol=1e-5)
    assert Path("A/TS_01.png").read_bytes()[:4] == b"\x89PNG"


def test_an_optimisation_set_in_relion_5(here: Path) -> None:
    write_project(here, series(), "relion5")
    labels = ("Particles", "Tomograms", "ReferenceMap1", "ReferenceMap2", "ReferenceMask")
    files = ("particles.star", "tomograms.star", "half1.mrc", "half2.mrc", "mask.mrc")
    entries = {f"rlnTomo{x}File": [f] for x, f in zip(labels, files, strict=True)}
    star.write(star.StarFile((star.Table("", entries, is_loop=False),)), "optimisation_set.star")
    command = ["align", "particles", "--i", "optimisation_set.star", *BOX, "--o", "A"]
    assert main(command) == 0
    project = open_project("A/optimisation_set.star")
    assert project.tomograms.format == "relion5"
    assert series().error(project.tomograms["TS_01"]) < 0.4  # less than rigid is not said there
    assert "rlnCenteredCoordinateXAngst" in table("A/particles.star")
    assert project.references["half2"] == "half2.mrc"


def test_motion_is_found_written_and_taken_up_again(here: Path) -> None:
    of = series(Wanted(motion=30.0, seed=5))
    write_project(here, of)
    assert align("--motion", "--s_div", "3000", "--max_ed", "90") == 0
    file = star.read("A/motion.star")
    assert [t.name for t in file.tables][:2] == ["general", "TS_01/1"]
    assert list(file["general"]["rlnParticleNumber"]) == ["40"]
    project = open_project("A/optimisation_set.star")
    assert project.trajectories is not None
    ways = np.stack([project.trajectories[f"TS_01/{i + 1}"] for i in range(40)])
    first = int(np.argmin(of.given.pre_exposure))
    assert not ways[:, first].any()
    assert align(o="S") == 0
    moving, still = image_error(of, "A"), image_error(of, "S")
    assert moving < 0.7 * still
    # Once more from there: the motion is known, and stays.
    again = ["align", "particles", "--i", "A/optimisation_set.star", *BOX, "--o", "B"]
    assert main(again) == 0
    more = open_project("B/optimisation_set.star")
    assert more.trajectories is not None
    twice = np.stack([more.trajectories[f"TS_01/{i + 1}"] for i in range(40)])
    assert np.abs(twice - ways).max() < 1.0
    assert abs(image_error(of, "B") - moving) < 0.05


@pytest.mark.parametrize("kind", ["spline", "linear", "Fourier"])
def test_deformation_columns_are_read_back(here: Path, kind: str) -> None:
    options = ["--deformation", "--def_model", kind, "--no-cross-validation"]
    assert align(*options, "--const_p") == 0
    read = tomoset.read("A/tomograms.star")
    record = json.loads(Path("A/run_align_particles/TS_01.json").read_text())
    found = PROGRAM.read(record["result"]).deformation
    deformation, plain = read["TS_01"].deformation, read["TS_02"].deformation
    assert found is not None
    assert deformation is not None
    assert deformation.kind == kind
    assert deformation.grid == (3, 3)
    np.testing.assert_allclose(deformation.coefficients, found.coefficients, rtol=1e-6, atol=1e-9)
    # RELION 4 stops at a tomogram without a type, or without coefficients.
    assert plain is not None
    assert not plain.coefficients.any()
    assert "empty" not in star.read("A/tomograms.star")["global"]["rlnTomoDeformationType"]


@pytest.mark.slow
def test_a_deformation_is_recovered(here: Path) -> None:
    of = series(Wanted(deformation=1.5, seed=5))
    write_project(here, of)
    assert align() == 0
    straight = of.error(tomoset.read("A/tomograms.star")["TS_01"])
    assert align("--deformation", "--per_frame_deformation", o="D") == 0
    tomogram = tomoset.read("D/tomograms.star")["TS_01"]
    assert tomogram.deformation is not None
    assert of.error(tomogram) < 0.8 * straight


def test_what_lies_at_the_edge_of_the_range_is_found_in_a_second_round(here: Path) -> None:
    of = series(Wanted(errors=sim.AlignmentErrors(shift=4.0, rotation=0.1, tilt=0.1), seed=6))
    write_project(here, of)
    t = of.given
    off = np.abs(t.project(of.particles.positions) - of.seen).max(axis=-1)
    assert (off > 8).any()
    assert align("--r", "9") == 0
    assert of.error(tomoset.read("A/tomograms.star")["TS_01"]) < 0.15
    shifts = star.read("A/alignment_TS_01.star")["tilts"].floats("tomosetShiftXChange")
    assert 2.0 < np.sqrt((shifts**2).mean()) < 8.0  # of both rounds together


# what is held


def test_parameter_groups_that_are_not_refined_stay(here: Path) -> None:
    of = series()
    assert align("--const_a", "--const_p") == 0
    t = tomoset.read("A/tomograms.star")["TS_01"]
    np.testing.assert_allclose(
        t.projections[:, :3, :3], of.given.projections[:, :3, :3], atol=1e-12
    )
    assert table("A/particles.star").columns == table("particles.star").columns
    assert align("--const_s", "--const_a", o="B") == 0
    t = tomoset.read("B/tomograms.star")["TS_01"]
    np.testing.assert_allclose(t.projections, of.given.projections, atol=1e-9)
    assert table("B/particles.star").columns != table("particles.star").columns


@pytest.mark.parametrize("option", ["--shift_only", "--shift_only_by_particles"])
def test_shifts_only_changes_shifts_alone(here: Path, option: str) -> None:
    of = series()
    assert align(option) == 0
    t = tomoset.read("A/tomograms.star")["TS_01"]
    change = t.projections - of.given.projections
    assert np.abs(change[:, :, :3]).max() < 1e-9
    assert np.abs(change[:, :2, 3]).max() > 0.5
    assert of.error(t) < 0.5 * of.error(of.given)
    assert table("A/particles.star").columns == table("particles.star").columns


def displaced(of: ParticleSeries, by: dict[int, tuple[float, float]]) -> ParticleSeries:
    """The same with images where nobody expects them."""
    projections = of.given.projections.copy()
    for t, (x, y) in by.items():
        projections[t, :2, 3] += [x, y]
    return replace(of, given=replace(of.given, projections=projections, alignment=None))


def test_images_that_are_far_off_are_shifted_by_all_they_show(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    of = series()
    wrong = {0: (60.0, -45.0), 9: (-38.0, 4.0), 15: (0.0, 72.5)}
    write_project(here, displaced(of, wrong))
    assert align("--shift_only") == 0
    known = re.search(r"known to ([0-9.]+) px", capsys.readouterr().out)
    assert known is not None
    assert 0.02 < float(known[1]) < 0.3
    t = tomoset.read("A/tomograms.star")["TS_01"]
    assert of.error(t) < 0.5 * of.error(of.given)
    tilts = table("A/alignment_TS_01.star", "tilts")
    assert tilts["tomosetChanged"][15] == "1"
    assert tilts.floats("tomosetShiftYChange")[15] == pytest.approx(-72.5, abs=4)
    assert 0 < tilts.floats("tomosetShiftYError")[15] < 0.5
    assert tilts.floats("tomosetGain")[15] > 20
    assert align("--shift_only_by_particles", o="B") == 0
    particles = tomoset.read("B/tomograms.star")["TS_01"]
    assert of.error(particles) > 10  # beyond --r
    assert align("--shift_only", "--no-cross-validation", "--continue", o="A") == 0
    tilts = table("A/alignment_TS_01.star", "tilts")
    assert np.isfinite(tilts.floats("tomosetGain")[[0, 9, 15]]).all()


class Noise:
    """Images that show nothing."""

    def __init__(self, of: ParticleSeries) -> None:
        self.size = (of.images.shape[2], of.images.shape[1])

    def read(self, i: int) -> np.ndarray:
        rng = np.random.default_rng(i)
        return rng.normal(1000, 100, self.size[::-1]).astype(np.float32)


def test_no_shift_is_seen_in_noise(here: Path) -> None:
    of = series()
    reference = Reference.read("half1.mrc", "half2.mrc", mask="mask.mrc")
    options = CorrelationOptions(box=48)
    found = shifts_by_images(of.given, Noise(of), of.particles, reference, options)
    assert not found.shifted.any()
    assert found.applied(of.given) is of.given
    # Nor where particles overlap, so that halves of them see the same noise.
    line = np.linspace(40, 280, 400)[:, None] * [1, 0.9, 0] + [0, 0, 80]
    lined = ParticleSet(tomogram_names=["TS_01"] * 400, coordinates=line, angles=np.zeros((400, 3)))
    found = shifts_by_images(of.given, Noise(of), lined, reference, options)
    assert not found.shifted.any()


def test_images_of_nothing_are_not_shifted(here: Path) -> None:
    of = series()
    images = of.images.copy()
    rng = np.random.default_rng(2)
    images[4] = rng.normal(1000, 100, images[4].shape)
    write_project(here, replace(of, images=images))
    assert align("--shift_only") == 0
    t = tomoset.read("A/tomograms.star")["TS_01"]
    # By particles, an image may still move a little.
    assert np.abs(t.projections[4] - of.given.projections[4]).max() < 8


def test_magnification_is_refined_in_common_or_by_tilt(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert align("--magnification", "common", "--aniso", "--no_whiten", "--pad", "2") == 0
    assert "magnification:" in capsys.readouterr().out
    write_project(here, series(), "relion5")
    assert align("--magnification", "tilt", o="B") == 1
    assert "RELION 5 knows rigid alignments only" in capsys.readouterr().err
    assert not Path("B").exists()


# what is wrong


def nothing_written(folder: str = "A") -> bool:
    return not (Path(folder) / "tomograms.star").exists()


def test_maps_that_do_not_fit_are_refused(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good = np.random.default_rng(1).standard_normal((30, 30, 30))
    write_map("half2.mrc", good)
    assert align() == 1
    assert "voxels along each axis" in capsys.readouterr().err
    write_reference(here)
    for name in ("half1", "half2", "mask"):
        write_map(f"{name}.mrc", np.abs(good / np.abs(good).max()), 4.0)
    assert align() == 1
    assert "the reference maps have 4 Å a voxel, the tilt images 5.4 Å" in capsys.readouterr().err
    good[3, 4, 5] = np.nan
    with pytest.warns(RuntimeWarning, match="NaN"):
        write_map("half1.mrc", good)
    assert align() == 1
    assert "NaN" in capsys.readouterr().err
    write_reference(here)
    assert align("--fsc", "no.star") == 1
    assert "no.star: there is no such file" in capsys.readouterr().err
    os.remove("half2.mrc")
    assert align() == 1
    assert "half2.mrc: there is no such" in capsys.readouterr().err
    assert not Path("A").exists()


def test_optics_that_contradict_the_set(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = Path("particles.star").read_text()
    for old, new, says in (
        ("300.0", "200.0", "voltage"),
        ("2.7", "0.01", "spherical aberration"),
        (" 5.4 ", " 4.4 ", "4.4"),
    ):
        assert old in text
        Path("particles.star").write_text(text.replace(old, new, 1))
        assert align() == 1
        assert says in capsys.readouterr().err
    assert not Path("A").exists()


def test_what_is_the_wrong_way_round_is_refused(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    density, mask = (mrcfile.read(f"{name}.mrc") for name in ("half1", "mask"))
    write_map("black1.mrc", -density)
    write_map("black2.mrc", -mrcfile.read("half2.mrc"))
    write_map("minus.mrc", -mask)
    maps = ["--ref1", "black1.mrc", "--ref2", "black2.mrc"]
    sets = ["--t", "tomograms.star", "--p", "particles.star", *BOX, "--o", "A"]
    assert main(["align", "particles", *sets, *maps]) == 1
    assert "multiply what is the other way round by -1" in capsys.readouterr().err
    assert not Path("A/tomograms.star").exists()
    assert main(["align", "particles", *sets, *MAPS[:4], "--mask", "minus.mrc"]) == 1
    assert "values from 0 to 1, not from" in capsys.readouterr().err


def test_waves_that_are_not_there(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert align("--hp", "5") == 1
    assert "nothing is left to compare" in capsys.readouterr().err
    assert align("--r", "0.2") == 2
    assert "the range must be 2 px or more, not 0.2" in capsys.readouterr().err
    assert not Path("A/tomograms.star").exists()


def test_missing_angles_are_an_error_under_strict(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = star.read("particles.star")
    columns = {k: v for k, v in file["particles"].columns.items() if k != "rlnAngleRot"}
    tables = tuple(
        star.Table("particles", columns) if t.name == "particles" else t for t in file.tables
    )
    star.write(replace(file, tables=tables), "particles.star")
    assert align("--strict") == 1
    assert "have no angle rot" in capsys.readouterr().err


def test_particles_that_nobody_sees_say_nothing(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    p = series().particles
    lost = replace(p, coordinates=np.concatenate([p.coordinates[:39], [[9999.0, 50, 50]]]))
    write_particles("particles.star", lost, tomoset.read("tomograms.star"), "relion4")
    assert align("--json") == 0
    result = json.loads(capsys.readouterr().out)["results"]["TS_01"]
    assert (result["particles"], result["unseen"]) == (39, 1)
    assert result["expected"] < 0.2
    rows = table("A/alignment_TS_01.star", "particles")
    assert rows["tomosetSeen"][39] == "0"
    assert rows["tomosetProbability"][39] == rows["tomosetDisplacementXErrorAngst"][39] == "nan"
    assert align(o="B") == 0
    assert "39 particles in 21 images, 1 in none" in capsys.readouterr().out


def test_errors_are_those_of_the_round_that_changed_an_image(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Particles far off are looked for again, where no image moves any more."""
    p = series().particles
    far = p.coordinates + np.where(np.arange(40) % 5 == 0, 7.5, 0.0)[:, None] * [0, 1, 0]
    both = tomoset.read("tomograms.star")
    write_particles("particles.star", replace(p, coordinates=far), both, "relion4")
    assert align() == 0
    said = capsys.readouterr().out
    known = re.search(r"known to ([0-9.]+) px", said)
    changed = re.search(r"changed: ([0-9.]+) px", said)
    assert known is not None
    assert changed is not None
    assert 0.02 < float(known[1]) < 0.3
    assert float(changed[1]) > 1.0
    errors = table("A/tomograms.star", "TS_01").floats("tomosetShiftXError")
    assert np.isfinite(errors).all()


def test_a_single_particle_changes_no_image(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    p = series().particles.select(np.array([4]))
    write_particles("particles.star", p, tomoset.read("tomograms.star"), "relion4")
    assert align() == 0
    assert set(table("A/alignment_TS_01.star", "tilts")["tomosetChanged"]) == {"0"}
    assert "too few particles to tell" in capsys.readouterr().out


def test_an_image_that_shows_particles_elsewhere_is_named(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_project(here, displaced(series(), {7: (40.0, 20.0)}))
    assert align() == 0
    assert "particles are faint in 1 image (8)" in capsys.readouterr().out


def test_missing_inputs_are_named(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rest = ["--t", "tomograms.star", *BOX, "--o", "A"]
    assert main(["align", "particles", *rest, *MAPS]) == 2
    assert "there are no particles" in capsys.readouterr().err
    assert main(["align", "particles", *rest, "--p", "particles.star"]) == 2
    assert "give --ref1" in capsys.readouterr().err
    assert main(["align", "particles", *rest, "--p", "no.star", *MAPS]) == 1
    assert "no.star" in capsys.readouterr().err
    assert align("--tn", "TS_02") == 1
    assert "'TS_02' has no particles" in capsys.readouterr().err
    assert align("--tn", "TS_09") == 2
    assert main(["align", "particles", *rest, "--p", "particles.star", *MAPS[2:]]) == 2
    assert "--ref2 needs --ref1" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "cupy", None)
    assert align("--device", "cuda") == 1
    assert "or take --device cpu" in capsys.readouterr().err
    assert not Path("A").exists()


def test_a_set_without_particles_is_an_error(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nobody = ParticleSet(tomogram_names=[], coordinates=np.empty((0, 3)))
    write_particles("particles.star", nobody, tomoset.read("tomograms.star"), "relion4")
    assert align() == 1
    assert "there are no particles" in capsys.readouterr().err


def test_a_box_that_does_not_fit_is_refused(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert align("--b", "310") == 1
    assert "larger than the tilt images of 320 x 300 px" in capsys.readouterr().err
    assert nothing_written()
    assert align("--r", "40") == 2  # of a box of 48
    assert "take a larger box (--b)" in capsys.readouterr().err
    assert align("--b", "49") == 2


@pytest.mark.parametrize(
    "options",
    [
        ["--aniso"],
        ["--shift_only", "--motion"],
        ["--shift_only", "--const_s"],
        ["--def_model", "cubic"],
        ["--cutoff_fract", "2"],
        ["--const_a", "--const_s", "--const_p"],
        *(["--s_vel", "0.5"], ["--s_div", "5000"], ["--sq_exp_ker"], ["--max_ed", "9"]),
        *(["--def_model", "spline"], ["--def_w", "3"], ["--def_h", "3"], ["--def_reg", "0.1"]),
        ["--per_frame_deformation", "--motion"],
    ],
)
def test_wrong_options_are_refused(here: Path, options: list[str]) -> None:
    assert align(*options) == 2
    assert not Path("A").exists()


def test_what_stays_is_not_said_to_be_known(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert align("--const_a", "--const_s") == 0
    said = capsys.readouterr().out
    assert "the images stay as they are (--const_a --const_s)" in said
    assert "alignment known to" not in said
    assert align(o="B") == 0
    said = capsys.readouterr().out
    assert re.search(r"shifts and angles of these images: \+\d+ \+- \d+ ln likelihood", said)
    assert align("--s_vel", "2", o="C") == 2
    assert "--s_vel does nothing without --motion" in capsys.readouterr().err


def test_one_map_is_both_halves_and_that_is_said(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["align", "particles", "--t", "tomograms.star", "--p", "particles.star"]
    command += ["--ref1", "half1.mrc", *BOX, "--o", "A"]
    assert main(command) == 0
    assert "only one reference map is given" in capsys.readouterr().err
    assert main([*command, "--strict"]) == 1
    capsys.readouterr()
    assert main([*command, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert any("only one reference map" in warning for warning in said["warnings"])


def test_what_is_read_is_not_replaced(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    os.mkdir("P")
    shutil.move("particles.star", "P/particles.star")
    command = ["align", "particles", "--t", "tomograms.star", "--p", "P/particles.star"]
    assert main([*command, *MAPS, *BOX, "--o", "P"]) == 1
    assert "would be replaced" in capsys.readouterr().err
    assert align("--p", "P/particles.star", o=".") == 1
    assert "give another folder" in capsys.readouterr().err


# runs


def test_halves_that_nobody_says_are_assumed(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = star.read("particles.star")
    columns = {k: v for k, v in file["particles"].columns.items() if k != "rlnRandomSubset"}
    table = star.Table("particles", columns)
    tables = tuple(table if t.name == "particles" else t for t in file.tables)
    star.write(replace(file, tables=tables), "particles.star")
    assert align() == 0
    assert "have no half sets" in capsys.readouterr().err


def test_continue_and_an_interrupted_run(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    both = tomoset.read("tomograms.star")
    p = series().particles
    twice = ParticleSet(
        tomogram_names=["TS_01"] * 40 + ["TS_02"] * 40,
        coordinates=np.concatenate([p.coordinates] * 2),
        angles=np.concatenate([p.angles] * 2),
        optics_groups=[1] * 80,
        pixel_sizes=[PIXEL] * 80,
    )
    write_particles("particles.star", twice, both, "relion4")
    assert align("--tn", "TS_01") == 0
    first = tomoset.read("A/tomograms.star")
    assert not np.allclose(first["TS_01"].projections, both["TS_01"].projections, atol=1e-3)
    assert np.array_equal(first["TS_02"].projections, both["TS_02"].projections)
    capsys.readouterr()
    # The second is stopped in the middle: the first stays, in all sets.
    program = import_module("tomoset.programs.align_particles")

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    before = Path("A/particles.star").read_text()
    with monkeypatch.context() as patch:
        patch.setattr(program, "align", stop)
        assert align("--continue") == 130
    assert Path("A/particles.star").read_text() == before
    assert align("--only_do_unfinished", "--json") == 0  # as RELION says it
    said = json.loads(capsys.readouterr().out)
    assert said["skipped"] == ["TS_01"]
    project = open_project("A/optimisation_set.star")
    there = project.particles
    assert there is not None
    np.testing.assert_allclose(there.positions[:40], there.positions[40:], atol=1e-9)
    # Other particles: what was found of the old ones is not taken for theirs.
    write_particles("particles.star", twice.select(np.arange(10, 80)), both, "relion4")
    with pytest.raises(TomosetError):
        load(AlignedByParticles, {"arrays": "particles.star", "result": {}})
    assert align("--continue", "--tn", "TS_02") == 0
    fewer = open_project("A/optimisation_set.star")
    assert fewer.particles is not None
    assert np.array_equal(fewer.particles.positions[:30], twice.positions[10:40])
