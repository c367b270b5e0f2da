"""Changes of whole projects: what refers to tomograms follows, and what is undone is as before."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tomoset
from tests.builders.command import run
from tests.builders.random_projects import random_project, seen, write_random_project
from tomoset.errors import ModelError
from tomoset.formats import Renaming
from tomoset.model import Project
from tomoset.project import open_project
from tomoset.project.edit import rename, select

SEEDS = st.integers(0, 10**6)
DIALECTS = st.sampled_from(["relion4", "relion5"])


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def same_places(one: Project, other: Project, tolerance: float = 1e-6) -> None:
    a, b = seen(one), seen(other)
    assert a.keys() == b.keys()
    for key, value in a.items():
        np.testing.assert_allclose(b[key], value, rtol=0, atol=tolerance)


@settings(max_examples=25, deadline=None)
@given(SEEDS, DIALECTS)
def test_renamed_and_back_is_as_it_was(seed: int, dialect: str) -> None:
    project = random_project(seed, dialect)
    there = {name: f"x{name}_Vol" for name in project.tomograms}
    after = rename(project, Renaming(names=there))
    assert list(after.tomograms) == list(there.values())
    assert after.manifolds is not None
    assert list(after.manifolds) == list(there.values())
    assert set(after.fiducials) == set(there.values())
    again = rename(after, Renaming(names={new: old for old, new in there.items()}))
    assert list(again.tomograms) == list(project.tomograms)
    same_places(project, after)
    same_places(project, again)


@settings(max_examples=25, deadline=None)
@given(SEEDS, DIALECTS)
def test_a_selection_has_what_refers_to_it_and_nothing_else(seed: int, dialect: str) -> None:
    project = random_project(seed, dialect)
    assert project.particles is not None
    after = select(project, ["TS_03", "TS_01"])
    assert list(after.tomograms) == ["TS_01", "TS_03"]
    kept = np.flatnonzero(project.particles.tomogram_names != "TS_02").tolist()
    found, before = seen(after), seen(project)
    for row, old in enumerate(kept):
        np.testing.assert_array_equal(found[str(row)], before[str(old)])
    assert after.trajectories is not None
    assert len(after.trajectories) == len(kept)
    assert after.manifolds is not None
    assert set(after.manifolds) == set(after.fiducials) == {"TS_01", "TS_03"}


@pytest.mark.parametrize("dialect", ["relion4", "relion5"])
def test_the_commands_write_what_the_functions_say(
    here: Path, capsys: pytest.CaptureFixture[str], dialect: str
) -> None:
    links = write_random_project(3, dialect, "p")
    before = open_project(links, check_links=False)
    code, out, errors = run(capsys, "select", links, "--tn", "TS_0[12]", "-o", "some")
    assert code == 0, errors
    assert "2 tomograms" in out
    some = open_project("some", check_links=False)
    same_places(select(before, ["TS_01", "TS_02"]), some, 1e-5)
    Path("map").write_text("TS_01 A\nTS_02 B\n")
    code, out, errors = run(capsys, "rename", "some", "--map", "map", "-o", "renamed", "--json")
    assert code == 0, errors
    assert json.loads(out)["tomograms"] == ["A", "B"]
    same_places(some, open_project("renamed", check_links=False), 1e-5)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("select", "p", "--tn", "TS_9", "-o", "new"), "no tomogram is called 'TS_9'; there are"),
        (("rename", "p", "--strip", "x", "-o", "new"), "no name is changed"),
        (("rename", "p", "--strip", "1", "--strip", "2", "--strip", "3", "-o", "new"), "more than"),
        (("rename", "p", "-o", "new"), "say the new names"),
        (("select", "p", "--tn", "TS_01", "-o", "p"), "is read by this command"),
        (("select", "nowhere", "--tn", "TS_01", "-o", "new"), "there is no such file"),
    ],
)
def test_what_makes_no_sense_is_said_and_nothing_is_written(
    here: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], said: str
) -> None:
    write_random_project(3, "relion4", "p")
    code, _, errors = run(capsys, *arguments)
    assert code != 0
    assert said in errors
    assert not Path("new").exists()


def test_a_name_that_changes_nothing_is_an_error() -> None:
    with pytest.raises(ModelError, match="no name is changed"):
        rename(random_project(1), Renaming())
    assert tomoset.Project is Project
