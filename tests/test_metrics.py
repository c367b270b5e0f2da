"""All that is known as tables, and a project at a glance."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.builders.command import run
from tests.builders.random_projects import random_project, write_random_project
from tomoset.check import check
from tomoset.check.overview import overview
from tomoset.formats import open_parts
from tomoset.model import Project, TomogramSet
from tomoset.project import open_project
from tomoset.project.metrics import csv_text, data_frame, series_table, tilt_table


@pytest.fixture
def project() -> Project:
    found = random_project(4)
    assert found.particles is not None
    halves = np.arange(len(found.particles)) % 2
    first, *others = found.tomograms.values()
    n = first.n_tilts
    first = replace(
        first,
        deviations={"tilt": np.linspace(0.1, 0.3, n), "defocus": np.full(n, np.nan)},
        phase_shift=np.full(n, 90.0),
    ).exclude([1], "dark, and bad")
    return found.with_sets(
        tomograms=found.tomograms.with_tomograms([first, *others]),
        particles=replace(found.particles, halves=halves),
    )


def test_a_row_of_each_series(project: Project) -> None:
    table = series_table(project, check(project.tomograms))
    assert table["name"] == ["TS_01", "TS_02", "TS_03"]
    assert len({len(column) for column in table.values()}) == 1
    assert project.particles is not None
    for i, (name, t) in enumerate(project.tomograms.items()):
        assert table["tilts"][i] == t.n_tilts
        assert table["particles"][i] == len(project.particles.in_tomogram(name))
        assert table["fiducials"][i] == 4
        assert table["tilt_max"][i] == pytest.approx(t.tilt_angles.max())
        mean = (t.need_defocus()[0] + t.need_defocus()[1]) / 2
        assert table["defocus"][i] == pytest.approx(float(np.median(mean)))
        assert table["magnification"][i] == pytest.approx(1)
        assert table["hand"][i] == t.hand
        assert table["errors"][i] is not None
    assert table["excluded"] == [1, 0, 0]
    deviation = np.median(project.tomograms["TS_01"].deviations["tilt"])
    assert table["error_tilt"] == [pytest.approx(deviation), None, None]
    assert table["error_defocus"] == [None] * 3
    assert table["phase_shift"][1] is None
    assert sum(table["errors"]) == sum(
        p.severity == "error" and p.tomogram is not None for p in check(project.tomograms)
    )


def test_a_row_of_each_tilt_image(project: Project) -> None:
    table = tilt_table(project)
    ts = project.tomograms["TS_01"]
    assert table["series"].count("TS_01") == ts.n_tilts + 1
    assert table["excluded"].count("dark, and bad") == 1
    row = table["excluded"].index("dark, and bad")
    assert table["series"][row] == "TS_01"
    assert table["section"][row] == 2
    at = table["series"].index("TS_02")
    t = project.tomograms["TS_02"]
    middle = t.project([np.array(t.need_size()) // 2])[0, 0] - np.array(t.need_image_size()) // 2
    assert [table["shift_x"][at], table["shift_y"][at]] == pytest.approx(middle.tolist())
    assert table["error_tilt"][at] is None
    assert table["dose"][at] == t.need_pre_exposure()[0]
    assert all(len(column) == len(table["series"]) for column in table.values())


def test_what_files_say_beyond_the_model_is_there(shared: Path) -> None:
    root = shared / "data/relion5/EMPIAR-10164"
    table = tilt_table(open_parts(root / "CtfRefine/job027").project)
    assert len(table["series"]) == 121
    assert table["ctf_max_resolution"][0] == pytest.approx(14.626481)
    assert table["defocus_u"][0] == pytest.approx(39242.406055)
    assert "rlnDefocusU" not in table


def test_tables_are_those_of_pandas(project: Project) -> None:
    pandas = pytest.importorskip("pandas", reason="tables of Pandas need Pandas")
    frame = data_frame(series_table(project))
    assert isinstance(frame, pandas.DataFrame)
    assert frame["particles"].sum() == 12
    assert data_frame(tilt_table(project)).groupby("series").size()["TS_02"] > 3


def test_an_empty_set_is_an_empty_table() -> None:
    empty = Project(tomograms=TomogramSet())
    assert series_table(empty) == tilt_table(empty) == {}
    assert csv_text({}) == "\n"


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    return write_random_project(3, "relion4", "p")


def test_the_command_writes_tables(files: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, errors = run(capsys, "info", files, "--csv", "out/s.csv", "--tilts-csv", "out/t.csv")
    assert code == 0, errors
    with open("out/s.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    project = open_project(files, check_links=False)
    assert [row["name"] for row in rows] == ["TS_01", "TS_02", "TS_03"]
    assert sum(int(row["particles"]) for row in rows) == 12
    assert [row["fiducials"] for row in rows] == ["4", "4", "4"]
    assert rows[0]["phase_shift"] == ""
    with open("out/t.csv", newline="") as stream:
        tilts = list(csv.DictReader(stream))
    assert len(tilts) == sum(t.n_tilts for t in project.tomograms.values())
    code, _, errors = run(capsys, "info", files, "--csv", files, "--overwrite")
    assert code == 1
    assert "is read by this command" in errors
    Path("mine.csv").write_text("mine")
    code, _, errors = run(capsys, "info", files, "--csv", "mine.csv")
    assert code == 1
    assert Path("mine.csv").read_text() == "mine"


def test_a_project_at_a_glance(files: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, errors = run(capsys, "info", files)
    assert code == 0, errors
    assert "particles: 12 particles, in TS_0" in out
    assert "manifolds: 3\n" in out
    assert "trajectories: 12\n" in out
    assert "fiducials: of 3 tomograms\n" in out
    code, out, _ = run(capsys, "info", files, "--json")
    said = json.loads(out)
    assert said["particles"]["count"] == 12
    assert sum(said["particles"]["tomograms"].values()) == 12
    assert said["fiducials"] == {"named": 3, "there": 3}
    Path("p/motion.star").unlink()
    code, out, errors = run(capsys, "info", files)
    assert code == 0, errors
    assert "trajectories: p/motion.star (not there)" in out
    Path("p/particles.star").write_text("data_x\n\n_a 1\n")
    code, out, errors = run(capsys, "info", files)
    assert code == 1
    assert "not a particle set" in errors
    assert "manifolds: 3" in out


def test_halves_and_volumes_are_counted(project: Project) -> None:
    assert project.particles is not None
    found = overview(project)
    assert found["particles"]["halves"] == [6, 6]
    assert found["volumes"] == {"named": 0, "there": 0, "halves": 0}
    assert found["manifolds"] == 3
    assert json.loads(json.dumps(found)) == found
