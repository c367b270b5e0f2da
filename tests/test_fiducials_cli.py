"""Beads found, aligned by and read back from the command line."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

import tomoset
from tests.builders.bead_series import BeadSeries, Wanted, bead_series
from tests.builders.measures import affine_errors, rms
from tests.builders.tomograms import nearest_rigid
from tomoset import simulate as sim
from tomoset import star
from tomoset.cli import main
from tomoset.formats._relion_sets import read_fiducials
from tomoset.model import Fiducials, TomogramSet

SMALL = Wanted(n_tilts=21, image_size=(256, 240), depth=80, beads=12, molecules=8, seed=11)
NONE = replace(SMALL, beads=0, seed=12)


@cache
def series(wanted: Wanted = SMALL) -> BeadSeries:
    return bead_series(wanted)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A set of one series with beads, off its alignment by some pixels."""
    monkeypatch.chdir(tmp_path)
    TomogramSet([series().write(tmp_path)]).write("tomograms.star", "relion4")
    return tmp_path


def error(of: BeadSeries, projections: np.ndarray) -> float:
    """Rms distance to the true projections, after the best common affine map of space [px]."""
    points = np.random.default_rng(1).uniform(0.1, 0.9, (200, 3)) * np.array(of.given.size)
    return rms(affine_errors(projections, of.true.projections, points))


def read_beads(path: str) -> Fiducials:
    return read_fiducials(path, dialect="relion4", pixel_size=5.4)


# find-fiducials


def test_find_writes_what_relion_writes(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["find-fiducials", "--t", "tomograms.star", "--o", "F", "--fid", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["set"] == "F/tomograms.star"
    assert said["results"]["TS_01"]["beads"] == 12
    t = tomoset.read("F/tomograms.star")["TS_01"]
    assert t.fiducials == "F/fiducials_TS_01.star"
    links = star.read("F/optimisation_set.star").first
    assert links["rlnTomoTomogramsFile"][0] == "F/tomograms.star"
    beads = read_beads(t.fiducials)
    apart = np.linalg.norm(beads.points[:, None] - series().beads, axis=-1)
    assert (apart.min(axis=0) < 5).all()
    assert beads.observations is not None
    assert np.abs(t.triangulate(beads.observations.grid(21)) - beads.points).max() < 1e-6
    assert Path("F/TS_01.png").stat().st_size > 1000
    # And what others make of it goes in again.
    assert main(["find-fiducials", "tomograms.star", "--o", "M", "--beads", "F/{name}.fid"]) == 0
    assert "taken to be of the raw images" in capsys.readouterr().err
    again = read_beads("M/fiducials_TS_01.star").observations
    assert again is not None
    np.testing.assert_allclose(again.grid(21), beads.observations.grid(21), atol=1e-3)
    assert main(["check", "F/tomograms.star"]) == 0


def test_no_beads_are_an_empty_table_and_a_warning(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    t = series(NONE).write(here, "TS_02")
    TomogramSet([series().write(here), t]).write("two.star", "relion4")
    assert main(["find-fiducials", "two.star", "--o", "F"]) == 0
    out = capsys.readouterr()
    assert "TS_02  no beads" in out.out
    assert "'TS_02': no beads" in out.err
    assert len(read_beads("F/fiducials_TS_02.star")) == 0
    assert tomoset.read("F/tomograms.star")["TS_02"].fiducials == "F/fiducials_TS_02.star"
    assert main(["find-fiducials", "two.star", "--o", "G", "--strict"]) != 0


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--r", "20"], "give --r"),
        (["--r", "2"], "beads can be found in them"),
        (["--beads", "no.fid"], "no.fid"),
    ],
)
def test_impossible_requests_fail_with_their_reason(
    here: Path, capsys: pytest.CaptureFixture[str], options: list[str], says: str
) -> None:
    assert main(["find-fiducials", "tomograms.star", "--o", "F", *options]) == 1
    out = capsys.readouterr()
    assert says in out.err
    assert "no set was written" in out.out


@pytest.mark.parametrize(
    "options",
    [
        ["--r", "1e6"],
        ["--r", "many"],
        ["--r", "-5"],
        ["--contrast", "grey"],
        ["--fdr", "2"],
        ["--tn", "TS_99"],
    ],
)
def test_wrong_options_are_refused(here: Path, options: list[str]) -> None:
    assert main(["find-fiducials", "tomograms.star", "--o", "F", *options]) == 2


@pytest.mark.filterwarnings("ignore:.*takes row i for image i:tomoset.LossyWarning")
def test_a_series_that_fails_stops_no_other(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good = series().write(here)
    lost = replace(good, name="TS_02", stack="lost.mrcs")
    shutil.copy("TS_01.mrcs", "TS_03.mrcs")
    one = replace(good.select([10]), name="TS_03", stack="TS_03.mrcs")
    raw = replace(good, name="TS_04", projections=None)
    TomogramSet([lost, good, one]).write("more.star", "relion4")
    assert main(["find-fiducials", "more.star", "--o", "F"]) == 1
    said = capsys.readouterr().err
    assert "lost.mrcs are not there" in said
    assert "TS_03" in said
    assert "1 tilt image over 0 degrees" in said
    found = tomoset.read("F/tomograms.star")
    assert found["TS_01"].fiducials == "F/fiducials_TS_01.star"
    assert found["TS_02"].fiducials is None
    TomogramSet([raw]).write("raw.star", "relion5")
    assert main(["align", "fiducials", "raw.star", "--o", "R"]) == 1
    assert "not aligned" in capsys.readouterr().err


# align fiducials


def test_align_writes_the_set_and_what_is_to_be_known(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = error(series(), series().given.projections)
    assert main(["align", "fiducials", "--t", "tomograms.star", "--o", "A"]) == 0
    assert "-> 0." in capsys.readouterr().out
    t = tomoset.read("A/tomograms.star")["TS_01"]
    assert before > 2
    assert error(series(), t.projections) < 0.15
    # The tomogram stays where it was: what was at a place is there still.
    there = t.triangulate(series().given.project(series().beads))
    assert np.linalg.norm((there - series().beads).mean(axis=0)) < 0.5
    table = star.read("A/tomograms.star")["TS_01"]
    assert 0 < table.floats("tomosetShiftXError").max() < 0.5
    report = star.read("A/alignment_TS_01.star")
    assert [t.name for t in report.tables] == ["alignment", "tilts", "beads", "outliers"]
    assert float(report["alignment"]["tomosetResidual"][0]) < 0.5
    beads = read_beads("A/fiducials_TS_01.star")
    assert beads.observations is not None
    off = t.project(beads.points) - beads.observations.grid(21)
    assert np.sqrt(np.nanmean(off**2)) < 0.3
    assert main(["check", "A/tomograms.star"]) == 0
    # Aligned once more, nothing changes, and that is said; it can still be rotated.
    capsys.readouterr()
    assert main(["align", "fiducials", "A/tomograms.star", "--o", "B", "--level"]) == 0
    assert "stays as it is" in capsys.readouterr().out
    assert Path("B/TS_01.png").exists()
    assert Path("B/tilts_TS_01.png").exists()
    twice = tomoset.read("B/tomograms.star")["TS_01"]
    flat = read_beads("B/fiducials_TS_01.star").points
    apart = np.linalg.norm(
        twice.project(flat)[:, :, None] - t.project(beads.points)[:, None], axis=-1
    )
    assert apart.min(axis=2).max() < 0.2


def test_observations_of_others_are_kept(here: Path) -> None:
    assert main(["find-fiducials", "tomograms.star", "--o", "F", "--fid"]) == 0
    assert main(["find-fiducials", "tomograms.star", "--o", "M", "--beads", "F/TS_01.fid"]) == 0
    assert main(["align", "fiducials", "M/tomograms.star", "--o", "A"]) == 0
    kept = read_beads("A/fiducials_TS_01.star").observations
    given = read_beads("M/fiducials_TS_01.star").observations
    assert kept is not None
    assert given is not None
    assert np.array_equal(kept.points, given.points)
    assert error(series(), tomoset.read("A/tomograms.star")["TS_01"].projections) < 0.15


def test_keep_without_observations(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["align", "fiducials", "tomograms.star", "--o", "A", "--keep"]) == 1
    assert "no observations of beads to keep" in capsys.readouterr().err


def test_too_few_beads_change_nothing(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    t = series(replace(SMALL, beads=1, seed=13)).write(here, "TS_02")
    TomogramSet([t]).write("one.star", "relion4")
    assert main(["align", "fiducials", "one.star", "--o", "A"]) == 1
    assert "bead" in capsys.readouterr().err
    assert not Path("A/tomograms.star").exists()


@pytest.mark.parametrize("dialect", [pytest.param("relion4", marks=pytest.mark.slow), "relion5"])
def test_alignment_by_beads_works_in_both_dialects(here: Path, dialect: str) -> None:
    errors = sim.AlignmentErrors(shift=2.0, rotation=0.15, tilt=0.15)
    of = series(replace(SMALL, errors=errors, seed=14))
    t = of.write(here)
    if dialect == "relion5":  # which knows rigid alignments only
        t = nearest_rigid(t)
    TomogramSet([t]).write("set.star", dialect)
    free = main(["align", "fiducials", "set.star", "--o", "M", "--magnification", "free"])
    assert (free == 0) == (dialect == "relion4")  # the other cannot say it, and that is said first
    assert main(["align", "fiducials", "set.star", "--o", "A"]) == 0
    aligned = tomoset.read("A/tomograms.star")["TS_01"]
    assert error(of, aligned.placed(None, of.size).projections) < (
        0.15 if dialect == "relion4" else 0.5
    )


def test_level_turns_the_specimen_flat(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    off = sim.AlignmentErrors(shift=1.0, tilt_offset=8.0)
    of = series(replace(SMALL, depth=36, molecules=0, errors=off, seed=16))
    TomogramSet([of.write(here)]).write("thin.star", "relion4")
    assert main(["align", "fiducials", "thin.star", "--o", "A"]) == 0
    assert main(["align", "fiducials", "thin.star", "--o", "L", "--level"]) == 0
    assert "rotated by" in capsys.readouterr().out
    before, after = (tomoset.read(f"{folder}/tomograms.star")["TS_01"] for folder in "AL")
    beads, flat = (read_beads(f"{folder}/fiducials_TS_01.star").points for folder in "AL")
    np.testing.assert_allclose(before.project(beads), after.project(flat), atol=1e-6)
    assert np.abs(beads - flat).max() > 5
    assert np.std(flat[:, 2]) < 0.8 * np.std(beads[:, 2])
    np.testing.assert_allclose(before.defocus(beads), after.defocus(flat), atol=0.5)


def test_level_is_left_alone_where_beads_do_not_say(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["align", "fiducials", "tomograms.star", "--o", "L", "--level", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)["results"]["TS_01"]
    angle, error = result["level"]
    assert (result["motion"] is None) == (angle <= 3 * error)
    assert "projections" not in result


def test_a_class_that_is_asked_for(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--tilt", "fixed", "--magnification", "free", "--rotation", "grouped:5"]
    assert main(["align", "fiducials", "tomograms.star", "--o", "A", *options]) == 0
    assert "rotation grouped by 5, magnification free" in capsys.readouterr().out
    assert main(["align", "fiducials", "tomograms.star", "--o", "A", "--tilt", "loose"]) == 2


def test_images_of_unequal_size_are_refused(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    smaller = replace(SMALL, image_size=(200, 190), beads=3, molecules=2)
    series(smaller).write(here, "other")
    names = [f"{i}@{'other' if i == 4 else 'TS_01'}.mrcs" for i in range(1, 22)]
    t = nearest_rigid(replace(series().write(here), stack=None, images=tuple(names)))
    TomogramSet([t]).write("unequal.star", "relion5")
    for command in (["find-fiducials"], ["align", "fiducials"]):
        assert main([*command, "unequal.star", "--o", "F"]) == 1
        said = capsys.readouterr()
        assert "all images of a tilt series have one size" in said.err
        assert not Path("F/tomograms.star").exists()
        shutil.rmtree("F", ignore_errors=True)


@pytest.mark.slow
def test_deformation_where_beads_support_it(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    of = series(replace(SMALL, seed=15, beads=14, molecules=0, deformation=1.5))
    TomogramSet([of.write(here, "TS_02")]).write("bent.star", "relion4")
    assert main(["align", "fiducials", "bent.star", "--o", "S"]) == 0
    assert main(["align", "fiducials", "bent.star", "--o", "D", "--deformation"]) == 0
    assert "images deformed in 2D (spline)" in capsys.readouterr().out
    straight, bent = (tomoset.read(f"{folder}/tomograms.star")["TS_02"] for folder in "SD")
    assert straight.deformation is None
    assert bent.deformation is not None
    off = []
    for t in (straight, bent):
        places = t.triangulate(of.seen)
        off.append(np.sqrt(((t.project(places) - of.seen) ** 2).sum(axis=-1).mean()))
    assert off[1] < 0.7 * off[0]
    # Without a deformation of the images none is found.
    assert main(["align", "fiducials", "tomograms.star", "--o", "N", "--deformation"]) == 0
    assert tomoset.read("N/tomograms.star")["TS_01"].deformation is None
