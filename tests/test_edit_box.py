"""Another box of tomograms, and projects in parts: what is seen stays where it was."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.builders.command import run
from tests.builders.random_projects import random_project, seen, write_random_project
from tomoset.errors import AssumptionWarning, LossyWarning, ModelError
from tomoset.geometry import rigid_parameters
from tomoset.model import Alignment, Project, Reconstruction
from tomoset.project import open_project
from tomoset.project.edit import crop, exclude, include, pad, split

SEEDS = st.integers(0, 10**6)
DIALECTS = st.sampled_from(["relion4", "relion5"])


def same_places(one: Project, other: Project, tolerance: float = 1e-6) -> None:
    a, b = seen(one), seen(other)
    assert a.keys() == b.keys()
    for key, value in a.items():
        np.testing.assert_allclose(b[key], value, rtol=0, atol=tolerance)


def same_defocus(one: Project, other: Project) -> None:
    assert one.particles is not None
    assert other.particles is not None
    for name, rows in one.particles.by_tomogram().items():
        a = one.tomograms[name].defocus(one.particles.positions[rows])
        b = other.tomograms[name].defocus(other.particles.positions[rows])
        np.testing.assert_allclose(b, a, rtol=0, atol=1e-6)


@settings(max_examples=25, deadline=None)
@given(SEEDS, DIALECTS, st.tuples(*[st.integers(-3, 3)] * 3))
@pytest.mark.filterwarnings("ignore::tomoset.errors.AssumptionWarning")
def test_cropped_and_padded_is_as_it_was(
    seed: int, dialect: str, offset: tuple[int, int, int]
) -> None:
    project = random_project(seed, dialect)
    project = exclude(project, numbers="2", names=["TS_01"]).with_sets(trajectories=None)
    less = crop(project, (44, 41, 20), offset=offset)
    assert {t.size for t in less.tomograms.values()} == {(44, 41, 20)}
    same_places(project, less)
    same_defocus(project, less)
    back = {}
    for name, t in project.tomograms.items():
        away = (-offset[0], -offset[1], -offset[2])
        back[name] = pad(less, t.need_size(), offset=away, names=[name])
    for name, again in back.items():
        t, new = project.tomograms[name], again.tomograms[name]
        np.testing.assert_allclose(new.need_projections(), t.need_projections(), atol=1e-9)
        np.testing.assert_array_equal(new.need_defocus()[0], t.need_defocus()[0])
        np.testing.assert_allclose(again.fiducials[name].points, project.fiducials[name].points)
        assert again.manifolds is not None
        assert project.manifolds is not None
        params = [p.manifolds[name][0].params for p in (again, project) if p.manifolds is not None]
        np.testing.assert_allclose(params[0], params[1])
        same_places(project, again)
        same_places(include(project), include(again))


def test_an_alignment_that_waits_for_images_moves_too() -> None:
    project = random_project(1, "relion5")
    t = project.tomograms["TS_01"]
    size, image, pixel = t.need_size(), t.need_image_size(), t.need_pixel_size()
    angles, shifts = rigid_parameters(t.need_projections(), size=size, image_size=image)
    alignment = Alignment(angles=angles, shifts=shifts * pixel)
    waits = replace(t, projections=None, image_size=None, deformation=None, alignment=alignment)
    before = Project(tomograms=project.tomograms.with_tomograms([waits]))
    same = crop(before, (44, 41, 20)).tomograms["TS_01"].alignment
    assert same is not None
    np.testing.assert_array_equal(same.angles, alignment.angles)
    np.testing.assert_array_equal(same.shifts, alignment.shifts)
    moved = (
        crop(before, (44, 41, 20), offset=(2, -1, 3)).tomograms["TS_01"].placed(image_size=image)
    )
    shift = np.array((44, 41, 20)) // 2 - np.array(size) // 2 - (2, -1, 3)
    points = np.random.default_rng(0).uniform(0, 40, (9, 3))
    plain = replace(t, deformation=None)
    np.testing.assert_allclose(moved.project(points + shift), plain.project(points), atol=1e-9)


def test_particles_outside_are_counted_and_go_if_asked() -> None:
    project = random_project(1)
    assert project.particles is not None
    with pytest.warns(AssumptionWarning, match="of 12 particles lie outside of their tomograms"):
        less = crop(project, (16, 16, 10))
    assert less.particles is not None
    assert len(less.particles) == 12
    with pytest.warns(AssumptionWarning, match="left out"):
        fewer = crop(project, (16, 16, 10), drop_outside=True)
    assert fewer.particles is not None
    assert fewer.trajectories is not None
    inside = (less.particles.positions >= -0.5) & (less.particles.positions < [15.5, 15.5, 9.5])
    assert len(fewer.particles) == inside.all(axis=1).sum() == len(fewer.trajectories) < 12


def test_volumes_of_the_old_box_are_not_named_any_more() -> None:
    project = random_project(1)
    t = replace(project.tomograms["TS_01"], reconstruction=Reconstruction(path="a.mrc"))
    project = Project(tomograms=project.tomograms.with_tomograms([t]))
    with pytest.warns(LossyWarning, match="reconstruct it again"):
        assert crop(project, (20, 20, 20)).tomograms["TS_01"].reconstruction is None


@pytest.mark.parametrize(
    ("edit", "size", "said"),
    [
        (crop, (500, 20, 20), "reaches out of the old one of"),
        (pad, (20, 500, 500), "does not hold all of the old one of"),
        (crop, (0, 1, 1), "a box has sides above 0, not 0 x 1 x 1"),
    ],
)
def test_boxes_that_make_no_sense_are_said(
    edit: object, size: tuple[int, int, int], said: str
) -> None:
    assert callable(edit)
    with pytest.raises(ModelError, match=said):
        edit(random_project(1), size)
    with pytest.raises(ModelError, match="no tomogram is called 'x'"):
        edit(random_project(1), (20, 20, 20), names=["x"])


@settings(max_examples=25, deadline=None)
@given(SEEDS, DIALECTS)
def test_parts_are_all_of_it(seed: int, dialect: str) -> None:
    project = random_project(seed, dialect)
    found = split(project, into=2)
    assert [list(p.tomograms) for p in found.values()] == [["TS_01", "TS_02"], ["TS_03"]]
    before = sorted(value.tolist() for value in seen(project).values())
    assert before == sorted(value.tolist() for p in found.values() for value in seen(p).values())
    sizes = split(project, by="pixel_size")
    assert list(sizes) == list(
        dict.fromkeys(f"{t.optics.pixel_size:g}" for t in project.tomograms.values())
    )
    named = split(project, parts={"a": ["TS_0[13]"], "b": ["TS_02"]})
    assert {n: list(p.tomograms) for n, p in named.items()} == {
        "a": ["TS_01", "TS_03"],
        "b": ["TS_02"],
    }


def test_splits_that_make_no_sense_are_said() -> None:
    project = random_project(1)
    with pytest.raises(ModelError, match="3 tomograms cannot be split into 4 parts"):
        split(project, into=4)
    with pytest.raises(ModelError, match="say one way to split"):
        split(project)
    with pytest.raises(ModelError, match="hand_log_odds is not known of TS_01, TS_02"):
        split(project, by="hand_log_odds")
    with pytest.raises(ModelError, match="'TS_01' would be in two parts, 'a' and 'b'"):
        split(project, parts={"a": ["TS_01"], "b": ["TS_0[12]"]})
    with pytest.warns(LossyWarning, match="1 of 3 tomograms are in no part: TS_03"):
        split(project, parts={"a": ["TS_01"], "b": ["TS_02"]})


@pytest.mark.parametrize("dialect", ["relion4", "relion5"])
def test_the_commands_write_boxes_and_parts(
    here: Path, capsys: pytest.CaptureFixture[str], dialect: str
) -> None:
    links = write_random_project(3, dialect, "p")
    before = open_project(links, check_links=False)
    code, _, errors = run(capsys, "crop", links, "--size", "50", "40", "24", "-o", "less")
    assert code == 0, errors
    less = open_project("less")
    assert {t.size for t in less.tomograms.values()} == {(50, 40, 24)}
    same_places(before, less, 1e-5)
    for name, t in before.tomograms.items():  # what nothing has moved keeps its text
        size = map(str, t.need_size())
        code, _, errors = run(capsys, "pad", "less", "--tn", name, "--size", *size, "-o", name)
        assert code == 0, errors
        again, old = open_project(name).tomograms[name].source, t.source
        assert again is not None
        assert old is not None
        for label, texts in old.tilts.items():
            if "Defocus" in label:  # odd sizes have their middle elsewhere, in nine decimals
                np.testing.assert_allclose(
                    np.array(again.tilts[label], float), np.array(texts, float), atol=1e-8
                )
            elif "Proj" not in label:  # moved there and back, in twelve digits
                assert list(again.tilts[label]) == list(texts), label
    code, _, errors = run(
        capsys, "pad", "less", "--size", "80", "80", "80", "--offset", "1", "2", "3", "-o", "more"
    )
    assert code == 0, errors
    same_places(before, open_project("more"), 1e-5)
    code, out, errors = run(capsys, "split", links, "--into", "3", "-o", "parts", "--json")
    assert code == 0, errors
    assert json.loads(out)["parts"]["2"]["tomograms"] == ["TS_02"]
    assert list(open_project("parts/3").tomograms) == ["TS_03"]
    code, out, errors = run(capsys, "split", links, "--part", "a=TS_01,TS_02", "-o", "some")
    assert (code, "in no part: TS_03" in errors, out.count("\n")) == (0, True, 1)
    for wrong in (["--part", "../a=TS_01"], ["--into", "2", "--by", "hand"], []):
        assert run(capsys, "split", links, *wrong, "-o", "new")[0] == 2
    assert run(capsys, "split", links, "--into", "9", "-o", "new")[0] == 1
    assert not Path("new").exists()
