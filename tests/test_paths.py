"""Paths are resolved once, when a set is read, and written so that they are found again."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

import tomoset
from tests.builders.image_stacks import write_stack
from tomoset import Optics, Tomogram, TomogramSet, star
from tomoset.model import Reconstruction
from tomoset.paths import Finder

HALVES = (("1@even.mrcs", "2@even.mrcs"), ("1@odd.mrcs", "2@odd.mrcs"))
MADE = Reconstruction(path="rec/t.mrc", others={"denoised": "rec/d.mrc"})


@pytest.fixture(params=["relion4", "relion5"])
def project(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A project with all its files, left for a folder beside it; the format of its set."""
    home = tmp_path / "home"
    for name in ("home", "home/frames", "home/rec", "home/sets", "elsewhere"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(home)
    for name in ("TS_01.mrcs", "even.mrcs", "odd.mrcs"):
        write_stack(Path(name), 2)
    for name in ("beads.star", "frames/1.tif", "frames/2.tif", "rec/t.mrc", "rec/d.mrc"):
        Path(name).touch()
    t = Tomogram(
        name="TS_01", n_tilts=2, optics=Optics(pixel_size=2.0), stack="TS_01.mrcs", half_images=HALVES,
        pre_exposure=[0.0, 1.0], movies=("frames/1.tif", "frames/2.tif"), fiducials="beads.star",
        reconstruction=MADE,
    )  # fmt: skip
    TomogramSet([t], format=request.param).write("sets/tomograms.star")
    monkeypatch.chdir(tmp_path / "elsewhere")
    return request.param


def paths(t: Tomogram) -> list[str | None]:
    made = t.reconstruction or Reconstruction()
    halves = [name for half in t.half_images or () for name in half]
    return [t.stack, *halves, *(t.movies or ()), t.fiducials, made.path, made.others["denoised"]]


def texts(folder: str) -> list[list[list[str]]]:
    files = sorted(Path(folder).rglob("*.star"))
    keep = ("rlnTomoTiltSeriesStarFile",)
    return [
        [list(t[label]) for label in t.labels if label not in keep]
        for file in files
        for t in star.read(file)
    ]


def test_names_are_those_that_are_found_from_the_working_folder(project: str) -> None:
    t = tomoset.read("../home/sets/tomograms.star")["TS_01"]
    own = ["TS_01.mrcs", *HALVES[0], *HALVES[1], "frames/1.tif", "frames/2.tif", "beads.star"]
    expected = [name.rpartition("@") for name in (*own, "rec/t.mrc", "rec/d.mrc")]
    assert paths(t) == [f"{number}{at}../home/{path}" for number, at, path in expected]
    with t.open_images() as series:
        assert len(series) == 2
    os.chdir("../home")
    assert paths(tomoset.read("sets/tomograms.star")["TS_01"]) == [
        *own, "rec/t.mrc", "rec/d.mrc"
    ]  # fmt: skip


def test_names_stay_where_they_find_the_same(project: str) -> None:
    s = tomoset.read("../home/sets/tomograms.star")
    s.write("../home/new/tomograms.star")
    assert texts("../home/new") == texts("../home/sets")


def test_names_that_would_find_nothing_become_paths_from_the_working_folder(project: str) -> None:
    s = tomoset.read("../home/sets/tomograms.star")
    s.write("far/tomograms.star")
    assert [paths(t) for t in tomoset.read("far/tomograms.star").values()] == [
        paths(t) for t in s.values()
    ]
    other = "relion5" if project == "relion4" else "relion4"
    s.write("other/tomograms.star", other)
    assert paths(tomoset.read("other/tomograms.star")["TS_01"]) == paths(s["TS_01"])


def test_names_of_what_is_not_there_stay(project: str) -> None:
    lost = replace(MADE, path="rec/lost.mrc")
    s = tomoset.read("../home/sets/tomograms.star")
    t = replace(s["TS_01"], reconstruction=lost, fiducials="lost.star", source=None)
    TomogramSet([t], format=project).write("far/tomograms.star")
    again = tomoset.read("far/tomograms.star")
    assert again["TS_01"].fiducials == "lost.star"
    again.write("further/tomograms.star")
    assert texts("further") == texts("far")


def test_the_nearest_folder_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a/b/x.mrc", "a/x.mrc", "x.mrc", "here/x.mrc"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path / "here")
    found = Finder(tmp_path / "a/b/set.star").find("x.mrc")
    assert found == tmp_path / "a/b/x.mrc"
    monkeypatch.chdir(tmp_path / "a")
    found = Finder("b/set.star").find("x.mrc")
    assert found is not None
    assert found.samefile("x.mrc")


def test_folders_that_are_not_there_are_asked_for_once(tmp_path: Path) -> None:
    asked = []

    def there(path: Path) -> bool:
        asked.append(path)
        return False

    finder = Finder(tmp_path / "sets/tomograms.star")
    for i in range(100):
        assert finder.find(f"frames/{i}.tif", there) is None
    assert not asked
