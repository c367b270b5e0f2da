"""Tilt images taken out and put back, with all that refers to them."""

from __future__ import annotations

import re
import shlex
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.builders.command import run
from tests.builders.image_stacks import write_images
from tests.builders.random_projects import random_project, seen, write_random_project
from tomoset import star
from tomoset.errors import AssumptionWarning, LossyWarning, ModelError
from tomoset.model import Fiducials, Observations, Project, VisibleTilts
from tomoset.project import open_project
from tomoset.project.edit import Tilts, exclude, include, select

SEEDS = st.integers(0, 10**6)
DIALECTS = st.sampled_from(["relion4", "relion5"])


def with_masks(seed: int, dialect: str) -> Project:
    """A random project whose particles are visible in some tilt images."""
    project, rng = random_project(seed, dialect), np.random.default_rng(seed)
    particles = project.particles
    assert particles is not None
    masks = [rng.random(project.tomograms[n].n_tilts) < 0.7 for n in particles.tomogram_names]
    return project.with_sets(particles=replace(particles, visible=VisibleTilts.of(masks)))


def still(project: Project) -> Project:
    return project.with_sets(trajectories=None)


@settings(max_examples=25, deadline=None)
@given(SEEDS, DIALECTS)
@pytest.mark.filterwarnings("ignore::tomoset.errors.AssumptionWarning")
def test_excluded_and_included_is_as_it_was(seed: int, dialect: str) -> None:
    project, rng = with_masks(seed, dialect), np.random.default_rng(seed)
    out = sorted(rng.choice(np.arange(1, 5), 2, replace=False).tolist())
    less = exclude(project, numbers=",".join(map(str, out)), names=["TS_0[12]"])
    kept = {n: np.setdiff1d(np.arange(t.n_tilts), np.array(out) - 1 if n != "TS_03" else [])
            for n, t in project.tomograms.items()}  # fmt: skip
    assert less.particles is not None
    assert project.particles is not None
    before, between = seen(project), seen(less)
    for row, name in enumerate(project.particles.tomogram_names.tolist()):
        np.testing.assert_allclose(between[str(row)], before[str(row)][kept[name]], atol=1e-9)
        old, new = project.particles.visible, less.particles.visible
        assert old is not None
        assert new is not None
        np.testing.assert_array_equal(new[row], old[row][kept[name]])
    again = include(include(less, str(out[0])))
    after, plain = seen(still(again)), seen(still(project))
    moved = seen(again)
    for row, name in enumerate(project.particles.tomogram_names.tolist()):
        np.testing.assert_allclose(after[str(row)], plain[str(row)], rtol=0, atol=1e-9)
        rows = kept[name]
        np.testing.assert_allclose(moved[str(row)][rows], before[str(row)][rows], atol=1e-9)
    for name, t in project.tomograms.items():
        assert again.tomograms[name].exclusions == ()
        for field in ("defocus_u", "pre_exposure", "projections"):
            np.testing.assert_array_equal(getattr(again.tomograms[name], field), getattr(t, field))


def test_trajectories_go_between_their_neighbours_in_time() -> None:
    project = random_project(2)
    motion, particles = project.trajectories, project.particles
    assert motion is not None
    assert particles is not None
    t = project.tomograms["TS_01"]
    order = t.acquisition_order
    row = int(order[1])
    name = str(particles.particle_names[particles.in_tomogram("TS_01")[0]])
    less = exclude(project, numbers=str(row + 1), names=["TS_01"])
    with pytest.warns(AssumptionWarning, match="trajectories are interpolated, in order of acqui"):
        again = include(less, str(row + 1), names=["TS_01"]).trajectories
    assert again is not None
    middle = (motion[name][order[0]] + motion[name][order[2]]) / 2
    np.testing.assert_allclose(again[name][row], middle)


@pytest.mark.parametrize(
    ("asked", "rows"),
    [
        ({"numbers": "1-2, 4"}, [0, 1, 3]),
        ({"tilts": ">40"}, "tilt > 40"),
        ({"dose": "<=3"}, "dose <= 3"),
        ({"where": "abs(tilt) > 40"}, "abs"),
        ({"images": ["000002@TS_01.mrc"]}, [1]),
        ({"images": ["2@TS_01", "*3@*"]}, [1, 2]),
        ({"where": "number == 3"}, [2]),
    ],
)
def test_which_tilt_images_are_meant(asked: dict[str, object], rows: object) -> None:
    project = select(random_project(4), ["TS_01"])
    t = project.tomograms["TS_01"]
    tilts, dose = t.tilt_angles, t.need_pre_exposure()
    wanted = {"tilt > 40": tilts > 40, "dose <= 3": dose <= 3, "abs": np.abs(tilts) > 40}
    if isinstance(rows, str):
        rows = np.flatnonzero(wanted[rows]).tolist()
    found = exclude(project, **asked).tomograms["TS_01"].exclusions
    assert [exclusion.row for exclusion in found] == rows


def test_movies_and_single_images_are_names_too() -> None:
    t = random_project(4).tomograms["TS_01"]
    names = tuple(f"frames/m{i}.tif" for i in range(t.n_tilts))
    single = replace(
        t, stack=None, images=tuple(f"c/i{i}.mrc" for i in range(t.n_tilts)), movies=names
    )
    for pattern in ("m2.tif", "frames/m2.tif", "i2", "c/i2.*"):
        project = Project(tomograms=random_project(4).tomograms.with_tomograms([single]))
        assert [
            e.row for e in exclude(project, images=[pattern]).tomograms["TS_01"].exclusions
        ] == [2]


@pytest.mark.filterwarnings("ignore::tomoset.errors.AssumptionWarning")
def test_numbers_are_of_the_whole_series_also_the_second_time() -> None:
    once = exclude(random_project(4), numbers="1", names=["TS_01"], reason="dark")
    twice = exclude(once, numbers="1,3", names=["TS_01"])
    found = twice.tomograms["TS_01"].exclusions
    assert [(e.row, e.reason) for e in found] == [(0, "dark"), (2, "number 1,3")]
    assert [e.row for e in include(twice, "3").tomograms["TS_01"].exclusions] == [0]


def test_observations_of_beads_follow() -> None:
    project = random_project(4)
    beads = Fiducials(
        points=np.ones((2, 3)),
        observations=Observations(bead=[0, 0, 1], tilt=[0, 2, 3], points=np.ones((3, 2))),
    )
    project = project.with_sets(fiducials={"TS_01": beads})
    with pytest.warns(LossyWarning, match="1 observations of beads are in tilt images"):
        less = exclude(project, numbers="1", names=["TS_01"])
    seen = less.fiducials["TS_01"].observations
    assert seen is not None
    assert (seen.bead.tolist(), seen.tilt.tolist()) == ([0, 1], [1, 2])
    again = include(less.with_sets(trajectories=None)).fiducials["TS_01"].observations
    assert again is not None
    assert again.tilt.tolist() == [2, 3]


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({}, "say which tilt images"),
        ({"numbers": "0"}, "expected numbers of tilt images from 1"),
        ({"numbers": "3-1"}, "expected numbers"),
        ({"numbers": "x"}, "expected numbers"),
        ({"numbers": "99"}, "so there is no number 99"),
        ({"tilts": "50"}, "expected a comparison like '>50' of tilt"),
        ({"tilts": "> x y"}, "cannot be used"),
        ({"where": "tilt > 1000"}, "nothing is taken out"),
        ({"where": "tilt > -1000"}, "no tilt image would be left of TS_01"),
        ({"where": "tild > 1"}, "no quantity of a tilt image is called tild; did you mean"),
        ({"images": ["zzz"]}, "no tilt image is called zzz; there are such as"),
        ({"wrong": 1}, "there is no option 'wrong'"),
    ],
)
def test_what_makes_no_sense_is_said(asked: dict[str, object], said: str) -> None:
    with pytest.raises(ModelError, match=said.replace("(", "\\(")):
        exclude(random_project(4), **asked)
    with pytest.raises(ModelError, match="so there is nothing to put back"):
        include(random_project(4))
    with pytest.raises(ModelError, match="1 is not out of the series; out are none"):
        include(random_project(4), "1", names=["TS_01"])


def test_unknown_values_are_said_and_their_images_stay() -> None:
    project = random_project(4)
    t = project.tomograms["TS_01"]
    scale = np.where(np.arange(t.n_tilts) == 1, np.nan, np.arange(t.n_tilts) / 10 + 0.5)
    project = Project(tomograms=project.tomograms.with_tomograms([replace(t, ctf_scale=scale)]))
    with pytest.warns(AssumptionWarning, match=f"1 of {t.n_tilts} tilt images are not touched"):
        less = exclude(project, where="ctf_scale < 0.65")
    assert [e.row for e in less.tomograms["TS_01"].exclusions] == [0]
    assert Tilts(tilts=">5").conditions()[0].text == "tilt >5"


@pytest.mark.parametrize("dialect", ["relion4", "relion5"])
def test_the_commands_take_out_and_put_back(
    here: Path, capsys: pytest.CaptureFixture[str], dialect: str
) -> None:
    links = write_random_project(3, dialect, "p")
    for name, t in random_project(3).tomograms.items():
        shape = (t.n_tilts, *t.need_image_size()[::-1])
        noise = np.random.default_rng(0).normal(size=shape).astype(np.float32)
        write_images(here / f"{name}.mrc", noise, t.need_pixel_size())
    before = open_project(links, check_links=False)
    Path("list").write_text("# dark ones\n000002@TS_02.mrc\n")
    code, _, errors = run(
        capsys, "exclude", links, "--tn", "TS_0[12]", "--index", "1", "--images-from", "list",
        "--reason", "dark", "-o", "less",
    )  # fmt: skip
    assert code == 0, errors
    less = open_project("less")
    assert [e.row for e in less.tomograms["TS_02"].exclusions] == [0, 1]
    assert less.tomograms["TS_01"].exclusions[0].reason == "dark"
    series = (project.tomograms["TS_02"] for project in (before, less))
    with next(series).open_images() as all_images, next(series).open_images() as fewer:
        np.testing.assert_array_equal(fewer.read(0), all_images.read(2))
    if dialect == "relion4":
        assert star.read("less/tomograms.star")["TS_02"].labels.count("rlnMicrographName") == 0
        assert less.tomograms["TS_02"].stack == "less/stacks/TS_02.mrcs"
    code, _, errors = run(capsys, "include", "less", "-o", "whole")
    assert code == 0, errors
    assert "interpolated" in errors
    whole = open_project("whole")
    a, b = seen(still(before)), seen(still(whole))
    for key, value in a.items():
        np.testing.assert_allclose(b[key], value, atol=1e-5)
    for name, t in before.tomograms.items():
        with t.open_images() as one, whole.tomograms[name].open_images() as other:
            for row in range(t.n_tilts):
                np.testing.assert_array_equal(other.read(row), one.read(row))
    Path("empty").write_text("# none\n\n")
    for words, said in ((["--images-from", "empty"], "empty: holds no name"), ([], "say which"),
                        (["--index", "99"], "say which tomograms are meant (--tn)"),
                        (["--images-from", "nowhere"], "nowhere")):  # fmt: skip
        code, _, errors = run(capsys, "exclude", "p", *words, "-o", "new")
        assert (code, said in errors) == (1, True), errors
    assert not Path("new").exists()


@pytest.mark.parametrize("dialect", ["relion4", "relion5"])
def test_texts_come_back(here: Path, dialect: str) -> None:
    project = open_project(write_random_project(7, dialect, "p"), check_links=False)
    again = include(still(exclude(project, numbers="2", names=["TS_02"])))
    again.write("again")
    for folder in ("p", "again"):
        for path in Path(folder).rglob("*.star"):
            if path.name not in ("optimisation_set.star", "motion.star"):
                new = (Path("again") / path.relative_to(folder)).read_text()
                assert (
                    new.replace("again/", "p/")
                    == (Path("p") / path.relative_to(folder)).read_text()
                )


@pytest.mark.filterwarnings("ignore::tomoset.errors.AssumptionWarning")
def test_pipelines_of_the_documentation_say_the_same(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = (Path(__file__).parents[1] / "docs/projects.md").read_text()
    python = re.search(r"```python\n(.*?)```", page, re.DOTALL)
    console = re.search(r"```console\n(.*?)```", page, re.DOTALL)
    assert python is not None
    assert console is not None
    write_random_project(3, "relion5", ".")
    for path in Path("tilt_series").glob("*.star"):
        (table,) = star.read(path).tables
        column = [f"{10 + 3 * row}.0" for row in range(len(table))]
        star.write(star.StarFile((table.with_columns({"rlnCtfMaxResolution": column}),)), path)
    text = python[1].replace("tilts > 30", "tilts > 3")
    exec(compile(text, "docs/projects.md", "exec"), {})
    first = open_project("better")
    assert all(
        len(t.exclusions) == t.n_tilts + len(t.exclusions) - 4 for t in first.tomograms.values()
    )
    Path("better").rename("by_python")
    for line in console[1].replace("tilts > 30", "tilts > 3").splitlines():
        code, _, errors = run(capsys, *shlex.split(line.removeprefix("$ tomoset ")))
        assert code == 0, errors
    assert list(open_project("better").tomograms) == list(first.tomograms)
    for name, t in open_project("better").tomograms.items():
        np.testing.assert_array_equal(t.need_defocus()[0], first.tomograms[name].need_defocus()[0])
