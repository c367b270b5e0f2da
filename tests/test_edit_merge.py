"""Several projects as one: names stay unique, groups that differ are told apart, nothing moves."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.builders.command import run
from tests.builders.image_stacks import write_stack
from tests.builders.random_projects import random_project, seen
from tomoset import star
from tomoset.errors import AssumptionWarning, LossyWarning, ModelError
from tomoset.formats import Renaming
from tomoset.model import Optics, Project, VisibleTilts
from tomoset.project import open_project
from tomoset.project.edit import merge, rename, select, split

SEEDS = st.integers(0, 10**6)
DIALECTS = st.sampled_from(["relion4", "relion5"])
PREFIXES = ("s1_", "s2_")


def same_places(one: Project, other: Project, tolerance: float = 1e-6) -> None:
    a, b = seen(one), seen(other)
    assert a.keys() == b.keys()
    for key, value in a.items():
        np.testing.assert_allclose(b[key], value, rtol=0, atol=tolerance)


def apart_again(both: Project) -> list[Project]:
    parts = split(both, parts={prefix: [f"{prefix}*"] for prefix in PREFIXES})
    return [rename(p, Renaming(strip=(prefix,))) for prefix, p in parts.items()]


@settings(max_examples=25, deadline=None)
@given(SEEDS, DIALECTS, DIALECTS)
def test_merged_and_split_is_as_it_was(seed: int, dialect: str, other: str) -> None:
    projects = [random_project(seed, dialect), random_project(seed + 1, other)]
    both = merge(projects, prefixes=PREFIXES)
    assert both.tomograms.format == dialect
    assert len(both.tomograms) == 6
    assert both.particles is not None
    assert both.trajectories is not None
    assert set(both.trajectories) == set(both.particles.particle_names.tolist())
    assert len(both.trajectories) == 24
    places = list(seen(both).values())
    before = [value for p in projects for value in seen(p).values()]
    assert sorted(v.tolist() for v in places) == sorted(v.tolist() for v in before)
    for project, again in zip(projects, apart_again(both), strict=True):
        assert list(again.tomograms) == list(project.tomograms)
        same_places(project, again)
        assert again.manifolds is not None
        assert list(again.manifolds) == list(project.tomograms) == list(again.fiducials)
        for name, t in project.tomograms.items():
            assert replace(again.tomograms[name].optics, group="") == replace(t.optics, group="")


@settings(max_examples=25, deadline=None)
@given(SEEDS)
def test_no_optics_group_means_two_things(seed: int) -> None:
    projects = [random_project(seed), random_project(seed + 1), random_project(seed)]
    merged = merge(projects, prefixes=("a", "b", "c"))
    particles = merged.particles
    assert particles is not None
    assert particles.optics_groups is not None
    names = [o.group for o in particles.optics.values()]
    assert len(set(names)) == len(names)
    assert len(set(particles.optics.values())) == len(names)
    sizes = np.array([particles.optics[n].pixel_size for n in particles.optics_groups.tolist()])
    np.testing.assert_array_equal(sizes, particles.pixel_sizes)
    first = [t.optics for n, t in merged.tomograms.items() if n[0] == "a"]
    last = [t.optics for n, t in merged.tomograms.items() if n[0] == "c"]
    assert first == last  # the same again is joined


def one(group: str, voltage: float, name: str) -> Project:
    """A single series with an optics group."""
    project = select(random_project(1), ["TS_01"])
    t = project.tomograms["TS_01"]
    optics = Optics(pixel_size=2.0, voltage=voltage, group=group)
    tomograms = project.tomograms.with_tomograms([replace(t, name=name, optics=optics)])
    return Project(tomograms=tomograms)


def test_groups_of_one_name_and_other_values_get_new_names() -> None:
    given = [one("g7", 300, "a"), one("g7", 200, "b"), one("g7", 300, "c"), one("g7", 200, "d"),
             one("x", 120, "e"), one("x", 300, "f")]  # fmt: skip
    merged = merge(given)
    found = {n: (t.optics.group, t.optics.voltage) for n, t in merged.tomograms.items()}
    assert found == {
        "a": ("g7", 300), "b": ("g8", 200), "c": ("g7", 300), "d": ("g8", 200),
        "e": ("x", 120), "f": ("x2", 300),
    }  # fmt: skip


@pytest.mark.parametrize("dialect", ["relion4", "relion5"])
def test_what_nobody_knows_of_particles_and_groups_stays_theirs(
    here: Path, capsys: pytest.CaptureFixture[str], dialect: str
) -> None:
    for i, folder in enumerate("pq"):
        project = random_project(i + 1, dialect)
        for t in project.tomograms.values():
            write_stack(
                Path(f"{folder}_{t.stack}"), t.n_tilts, t.need_image_size(), t.need_pixel_size()
            )
        moved = (replace(t, stack=f"{folder}_{t.stack}") for t in project.tomograms.values())
        project.with_sets(tomograms=project.tomograms.with_tomograms(moved)).write(folder)
        file = star.read(f"{folder}/particles.star")
        tables = []
        for table in file.tables:
            n = len(table)
            own = {"abcBoxSize": [str(64 + i)] * n} if table.name == "optics" else {
                "abcNote": [f"{folder}{row}" for row in range(n)], f"abcOnly{folder}": ["x"] * n}  # fmt: skip
            tables.append(table.with_columns(own))
        star.write(star.StarFile(tuple(tables)), f"{folder}/particles.star")
    sources = [open_project(folder) for folder in "pq"]
    code, out, errors = run(
        capsys, "merge", "p", "q", "--prefix", "s1_,s2_", "-o", "both", "--json"
    )
    assert code == 0, errors
    assert json.loads(out)["particles"] == 24
    assert "have abcOnlyp, abcOnlyq, so none keeps that" in errors
    both = star.read("both/particles.star")
    notes = list(both["particles"]["abcNote"])
    assert notes == [f"{folder}{row}" for folder in "pq" for row in range(12)]
    boxes = dict(zip(both["optics"]["rlnOpticsGroup"], both["optics"]["abcBoxSize"], strict=True))
    groups = [boxes[g] for g in both["particles"]["rlnOpticsGroup"]]
    assert groups == ["64"] * 12 + ["65"] * 12
    code, _, errors = run(
        capsys, "split", "both", "--part", "p=s1_*", "--part", "q=s2_*", "-o", "parts"
    )
    assert code == 0, errors
    for folder, prefix, source in zip("pq", PREFIXES, sources, strict=True):
        code, _, errors = run(
            capsys, "rename", f"parts/{folder}", "--strip", prefix, "-o", f"{folder}2"
        )
        assert code == 0, errors
        again = open_project(f"{folder}2")
        same_places(source, again, 1e-6)
        for name, t in source.tomograms.items():
            new = again.tomograms[name].source
            assert t.source is not None
            assert new is not None
            for label, texts in t.source.tilts.items():
                assert list(new.tilts[label]) == list(texts), label


def test_one_that_lacks_something_is_filled_or_said() -> None:
    a, b = random_project(1), random_project(2)
    assert a.particles is not None
    assert b.particles is not None
    masks = [np.zeros(a.tomograms[n].n_tilts, np.bool_) for n in a.particles.tomogram_names]
    rich = replace(a.particles, visible=VisibleTilts.of(masks), halves=np.ones(12, np.int64))
    a = a.with_sets(particles=rich)
    b = b.with_sets(trajectories=None, particles=replace(b.particles, names=None, origins=None))
    with (
        pytest.warns(LossyWarning, match="1 of 2 projects have no halves"),
        pytest.warns(AssumptionWarning, match="12 particles .* are taken not to move"),
    ):
        both = merge([a, b], prefixes=PREFIXES)
    assert both.particles is not None
    assert both.particles.visible is not None
    assert [mask.all() for mask in both.particles.visible] == [False] * 12 + [True] * 12
    assert both.trajectories is not None
    assert not both.trajectories[str(both.particles.particle_names[-1])].any()
    alone = merge([a, Project(tomograms=b.tomograms)], prefixes=PREFIXES)
    assert alone.particles is not None
    assert len(alone.particles) == 12


def test_what_makes_no_sense_is_said(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b = random_project(1), random_project(2)
    with pytest.raises(ModelError, match="tomograms of more than one project are called TS_01"):
        merge([a, b])
    with pytest.raises(ModelError, match="at least two"):
        merge([a])
    with pytest.raises(ModelError, match="2 projects need 2 prefixes, not 1"):
        merge([a, b], prefixes=["x"])
    other = rename(b, Renaming(names={n: f"x{n}" for n in b.tomograms}))
    with pytest.raises(ModelError, match="particles of more than one project are called TS_0"):
        merge([a, other])
    a = a.with_sets(references={"half1": "a.mrc"})
    with pytest.warns(LossyWarning, match="other references .half1.; those of the first"):
        merge([b, a], prefixes=PREFIXES)
    for t in b.tomograms.values():
        write_stack(Path(t.stack or ""), t.n_tilts, t.need_image_size(), t.need_pixel_size())
    b.write("p")
    for words, said in ((("p",), "at least two"), (("p", "p"), "called TS_01, TS_02, TS_03; give"),
                        (("p", "nowhere"), "there is no such file")):  # fmt: skip
        code, _, errors = run(capsys, "merge", *words, "-o", "new")
        assert code != 0
        assert said in errors
    assert not Path("new").exists()
    code, _, errors = run(capsys, "merge", "p", "p", "--prefix", "a", "--prefix", "b", "-o", "p")
    assert (code, "is read by this command" in errors) == (1, True)
