"""Repairs of check --fix: each means the same before and after, and nothing else changes."""

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
from tomoset.check import RULES, check_project
from tomoset.check.fixes import FIXES, repaired
from tomoset.model import Project, Reconstruction, TrajectorySet
from tomoset.project import open_project

SEEDS = st.integers(0, 10**6)
#: The codes of all repairs.
ONLY = ",".join(fix.code for fix in FIXES)
DIALECTS = ("relion4", "relion5")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def faulty(seed: int, dialect: str = "relion4") -> Project:
    """A project with all that can be repaired."""
    project = random_project(seed, dialect)
    particles, motion = project.particles, project.trajectories
    assert particles is not None
    assert motion is not None
    series = []
    for t in project.tomograms.values():
        assert t.defocus_angle is not None
        n = t.n_tilts
        series.append(
            replace(
                t,
                stack=str(Path(f"{t.name}.mrc").absolute()),
                defocus_angle=t.defocus_angle + 270,
                nominal_axis=np.full(n, 265.0),
                reconstruction=Reconstruction(path=str(Path("rec.mrc").absolute()), binning=4),
            )
        )
    names = [*particles.particle_names.tolist(), "again"]
    twice = replace(particles.select([*range(len(particles)), 0]), names=np.array(names))
    ways = {**motion, "again": motion[names[0]]}
    return project.with_sets(
        tomograms=project.tomograms.with_tomograms(series),
        particles=twice,
        trajectories=TrajectorySet({**ways, "nobody": np.ones((3, 3))}),
    )


def codes(project: Project) -> set[str]:
    return {p.code for p in check_project(project)} & {fix.code for fix in FIXES}


def test_each_repair_is_of_a_rule() -> None:
    rules = {rule.code: rule for rule in RULES}
    for fix in FIXES:
        assert "--fix" in rules[fix.code].cure, fix.code
    assert {c for c, rule in rules.items() if "--fix" in rule.cure} == {f.code for f in FIXES}


@settings(max_examples=15, deadline=None)
@given(SEEDS, st.sampled_from(DIALECTS))
def test_repairs_leave_nothing_to_repair_and_change_no_meaning(seed: int, dialect: str) -> None:
    project = faulty(seed, dialect)
    assert codes(project) == {fix.code for fix in FIXES}
    after, done = repaired(project)
    assert [one.code for one in done] == [fix.code for fix in FIXES]
    assert codes(after) == set()
    assert repaired(after) == (after, [])
    places = seen(project)
    del places[str(len(places) - 1)]
    for key, value in seen(after).items():
        np.testing.assert_array_equal(value, places[key])
    depth = np.array([[10.0, 12.0, 9.0]])
    for name, t in after.tomograms.items():
        before = project.tomograms[name]
        np.testing.assert_array_equal(astigmatism(t)[0], astigmatism(before)[0])
        np.testing.assert_allclose(astigmatism(t)[1], astigmatism(before)[1], atol=1e-7)
        np.testing.assert_array_equal(t.depth(depth), before.depth(depth))


def astigmatism(t: object) -> tuple[np.ndarray, np.ndarray]:
    """Mean, and its change with direction as a vector: the same for every way to say it."""
    u, v, angle = (np.asarray(getattr(t, f"defocus_{name}")) for name in ("u", "v", "angle"))
    return (u + v) / 2, (u - v) / 2 * np.exp(2j * np.deg2rad(angle))


def test_repairs_are_chosen_by_the_codes_of_rules() -> None:
    after, done = repaired(faulty(1), {"C05"})
    assert [one.code for one in done] == ["C05"]
    assert "C05" not in codes(after)
    assert "M01" in codes(after)
    after, _ = repaired(faulty(1), {"P08"})
    assert after.trajectories is not None
    assert "again" not in after.trajectories
    assert "nobody" in after.trajectories


def test_particles_that_differ_in_anything_stay() -> None:
    project = faulty(1)
    particles = project.particles
    assert particles is not None
    for name in ("coordinates", "angles", "origins"):
        moved = np.array(getattr(particles, name))
        moved[-1] += 1
        other = project.with_sets(particles=replace(particles, **{name: moved}))  # type: ignore[arg-type]
        assert "P08" not in codes(other)
    assert project.trajectories is not None
    ways = {**project.trajectories, "again": project.trajectories["again"] + 1}
    assert "P08" not in codes(project.with_sets(trajectories=TrajectorySet(ways)))


@pytest.mark.parametrize("dialect", DIALECTS)
def test_fix_writes_elsewhere_and_says_what_it_did(
    dialect: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write_random_project(1, dialect, "old")
    faulty(1, dialect).write("p")
    files = {path: path.read_bytes() for path in Path("p").rglob("*.star")}
    links = "p/optimisation_set.star"
    code, out, _ = run(capsys, "check", links, "--fix", "-o", "q", "--select", ONLY)
    assert code == 0
    assert "fixed   C04  TS_01, TS_02, TS_03: the larger defocus comes first" in out
    assert "fixed   P08  1 particle: of equal particles the first one is kept" in out
    assert "q/optimisation_set.star: written" in out
    assert "nothing found" in out
    assert {path: path.read_bytes() for path in files} == files
    again = open_project("q")
    assert codes(again) == set()
    _, out, _ = run(capsys, "history", "q")
    assert "check" in out
    code, out, _ = run(capsys, "check", "q", "--fix", "-o", "r", "--select", "C04", "--json")
    said = json.loads(out)
    assert (said["written"], said["fixed"]) == (None, [])
    assert not Path("r").exists()


def test_mistakes_of_fix_are_said(capsys: pytest.CaptureFixture[str]) -> None:
    write_random_project(1, "relion4", "old")
    faulty(1).write("p")
    for options in (["--fix"], ["-o", "q"]):
        code, _, err = run(capsys, "check", "p", *options)
        assert code == 2
        assert "--fix and --o go together" in err
    before = Path("p/tomograms.star").read_bytes()
    for options in ([], ["--overwrite"]):
        code, _, err = run(capsys, "check", "p", "--fix", "-o", "p", *options)
        assert code == 1
        assert "error" in err
    assert Path("p/tomograms.star").read_bytes() == before
    Path("p/particles.star").write_text("data_x\n")
    assert run(capsys, "check", "p", "--fix", "-o", "q")[0] == 1
    assert not Path("q").exists()
