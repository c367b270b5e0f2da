"""What is wrong with one part of a set is said, of all parts at once, and the rest goes on."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import tomoset
from tests.builders.command import run
from tests.builders.image_stacks import write_stack
from tests.builders.imod_folder import make_folder
from tests.builders.tomograms import rigid_tomogram
from tomoset.errors import MissingFileError, TomosetError
from tomoset.formats import open_parts
from tomoset.model import Manifold, ManifoldSet, ParticleSet, Project, TomogramSet, TrajectorySet

NAMES = ("A", "B", "C", "D")


@pytest.fixture(params=["relion4", "relion5"])
def dialect(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def folder(here: Path, dialect: str) -> Path:
    """A project of four series, with all sets that may be linked."""
    for name in NAMES:
        shutil.copy(here / "a.mrc", here / f"{name}.mrc")
    series = [rigid_tomogram(name=name, stack=f"{name}.mrc", hand_log_odds=-20.0) for name in NAMES]
    particles = ParticleSet(tomogram_names=NAMES, coordinates=np.ones((4, 3)))
    names = particles.particle_names.tolist()
    sphere = [Manifold(index=1, kind="sphere", params=[5, 6, 7, 10])]
    Project(
        tomograms=TomogramSet(series),
        particles=particles,
        manifolds=ManifoldSet(dict.fromkeys(NAMES, sphere)),
        trajectories=TrajectorySet({name: np.zeros((5, 3)) for name in names}),
    ).write("set", dialect)
    return here / "set"


def spoil(folder: Path, dialect: str) -> None:
    """B has no table, C one with a word in the place of a number, D a stack of other images."""
    if dialect == "relion5":
        (folder / "tilt_series/B.star").unlink()
        table = folder / "tilt_series/C.star"
        table.write_text(table.read_text().replace("20000", "what", 1))
    else:
        text = (folder / "tomograms.star").read_text().replace("data_B", "data_X")
        head, of_c = text.split("data_C")
        (folder / "tomograms.star").write_text(head + "data_C" + of_c.replace("20000", "what", 1))
    write_stack(folder.parent / "D.mrc", 3, (65, 47))


@pytest.mark.parametrize("source", ["set", "set/tomograms.star", "set/optimisation_set.star"])
def test_info_shows_the_parts_that_can_be_read(
    folder: Path, dialect: str, capsys: pytest.CaptureFixture[str], source: str
) -> None:
    spoil(folder, dialect)
    code, out, said = run(capsys, "info", source)
    assert code == 1
    assert [line.split()[0] for line in out.splitlines() if "-40..40" in line or " 5 " in line]
    assert f"{source}: {dialect}, 2 tomograms, 10 tilt images" in out
    lines = said.splitlines()
    assert len(lines) == 3
    assert all(line.startswith("error: ") for line in lines)
    for name, line in zip("BCD", lines, strict=True):
        assert f"{name!r}" in line or "what" in line
    code, out, _ = run(capsys, "info", source, "--json")
    assert [len(json.loads(out)[key]) for key in ("tomograms", "errors")] == [2, 3]


def test_check_finds_what_is_wrong_with_each_part(
    folder: Path, dialect: str, capsys: pytest.CaptureFixture[str]
) -> None:
    spoil(folder, dialect)
    code, out, _ = run(capsys, "check", "set", "--json")
    problems = json.loads(out)["problems"]
    assert code == 1
    assert [p["tomogram"] for p in problems if p["code"] == "S05"] == ["B", "C", "D"]
    assert not [p for p in problems if p["code"] == "L01"]  # B and C cannot be looked for


def test_reading_says_all_that_is_wrong_at_once(folder: Path, dialect: str) -> None:
    spoil(folder, dialect)
    with pytest.raises(TomosetError) as found:
        tomoset.read("set/tomograms.star")
    assert len(str(found.value).splitlines()) == 2  # tables first: stacks of those that are whole
    assert [failure.name for failure in open_parts("set").failures] == ["B", "C"]


def test_check_looks_at_the_linked_sets_one_by_one(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(capsys, "check", "set")[0] == 0
    (folder / "manifolds.star").unlink()
    text = (folder / "motion.star").read_text()
    (folder / "motion.star").write_text(text.replace("data_B/1", "data_Z/1"))
    code, out, _ = run(capsys, "check", "set", "--json")
    assert code == 1
    first, second = (p["message"] for p in json.loads(out)["problems"] if p["code"] == "L01")
    assert "rlnTomoManifoldsFile is 'set/manifolds.star', and there is no such file" in first
    assert "B/1" in second


def test_all_files_that_are_missing_are_named_at_once(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("particles.star", "manifolds.star", "motion.star"):
        (folder / name).unlink()
    with pytest.raises(MissingFileError) as found:
        tomoset.open_project("set")
    assert [line.count("no such file") for line in str(found.value).splitlines()] == [1, 1, 1]
    said = run(capsys, "convert", "set", "other", "--to", "relion5")[2]
    assert said.count("error: ") == 3
    assert "particles: set/particles.star (not there)" in run(capsys, "info", "set")[1]


def test_a_folder_of_folders_says_which_to_give(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("TS_01", "TS_02"):
        make_folder(tmp_path / "imod" / name)
    for command in ("info", "check"):
        code, _, said = run(capsys, command, "imod")
        assert code == 1
        assert "2 of IMOD's folders (TS_01, TS_02): give one of them, or make a set" in said
        assert "tomoset import imod imod/* -o SET" in said


def test_an_error_has_the_name_of_its_series_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("imod/BB").mkdir(parents=True)
    code, _, said = run(capsys, "import", "imod", "imod/BB", "-o", "set.star")
    assert code == 1
    assert said.count("imod/BB") <= 2
    assert "imod/BB: imod/BB" not in said


def test_a_failure_is_told_once(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("B.mrc").unlink()
    code, out, said = run(capsys, "hand", "set/tomograms.star", "--tn", "B")
    assert code == 1
    assert (out + said).count("B.mrc") == 1
    assert "1 failed, as said above: B" in out


def test_an_import_table_beside_a_set_is_no_second_one(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "optimisation_set.star").unlink()
    table = (
        "data_\n\nloop_\n_rlnTomoName\n_rlnTomoTiltSeriesName\n_rlnTomoImportImodDir\nA A.mrc A\n"
    )
    (folder / "tilt_series.star").write_text(table)
    assert run(capsys, "info", "set")[0] == 0


def test_a_folder_whose_folders_hold_sets_names_them(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder.parent / "above").mkdir()
    folder.rename(folder.parent / "above/set")
    assert "but above/set may" in run(capsys, "info", "above")[2]


def test_import_of_a_folder_of_folders_says_which_to_give(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("TS_01", "TS_02"):
        Path("runs", name).mkdir(parents=True)
        Path("runs", name, f"{name}.aln").write_text("# AreTomo Alignment / Priims bprmMn\n")
    code, _, said = run(capsys, "import", "aretomo", "runs", "-o", "set.star")
    assert code == 1
    assert "it holds TS_01, TS_02: give runs/*" in said


def test_a_stop_is_told_once(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("tomoset.programs.find_hand.measure", stop)
        code, _, said = run(capsys, "hand", "set/tomograms.star")
    assert code == 130
    assert said.strip() == "stopped: 0 of 4 are done"
    monkeypatch.setattr("tomoset.formats.open_parts", stop)
    code, _, said = run(capsys, "info", "set")
    assert (code, said.strip()) == (130, "stopped; the files that were there are as they were")
