"""Whatever a set was made of, each program gives back all of it but what the program is for."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.builders.cheap_runs import run
from tests.builders.equality import equal
from tests.builders.whole_project import (
    ALIGNMENT,
    CTF,
    NAME,
    whole_project,
    with_everything,
    write_files,
)
from tomoset.formats import FORMATS, format_named
from tomoset.model import ParticleSet, Project, Tomogram, TomogramSet
from tomoset.programs import PROGRAMS
from tomoset.project import open_project

SETS = (
    "made in Python",
    *(format.name for format in FORMATS if format.writes and format.alignments),
)


#: Fields that a program may change or not, as the images say.
MAY_CHANGE = {"refine-ctf": ("defocus_u", "defocus_v", "defocus_angle", "ctf_scale")}
#: Fields of a tomogram that a program is for, and what it finds anew of `Tomogram.deviations`.
CHANGES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "find-fiducials": (("fiducials",), ()),
    "align fiducials": (("fiducials", "projections"), ALIGNMENT),
    "align images": (("projections",), ALIGNMENT),
    "erase-fiducials": (("stack", "half_images"), ()),
    "align particles": (("projections",), ALIGNMENT),
    "refine-ctf": ((), CTF),
    "hand": (("hand_log_odds",), ()),
    "reconstruct": (("reconstruction",), ()),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With the images."""
    made = tmp_path_factory.mktemp("sets")
    write_files(made)
    return made


@pytest.fixture
def here(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(folder)
    return folder


def given(came_from: str) -> Project:
    """The project, made, or written and read; what a format cannot say is put in again."""
    made = whole_project()
    if came_from == "made in Python":
        return made
    format = format_named(came_from)
    if format.can("linked sets"):
        if not os.path.exists(came_from):
            made.write(came_from, came_from)
        return open_project(came_from)
    whole_stack = replace(made.tomograms[NAME].restore(), image_index=None)
    plain = Project(tomograms=TomogramSet([whole_stack]))
    format.write(plain, came_from)
    read = format.read([format.place(came_from, NAME)], **format.told(plain))
    tomograms = read.project.tomograms
    stacked = [replace(t, stack=whole_stack.stack) for t in tomograms.values()]
    whole = [with_everything(t) for t in stacked]
    return made.with_sets(tomograms=tomograms.with_tomograms(whole))


@pytest.mark.filterwarnings("ignore::tomoset.TomosetWarning")
@pytest.mark.parametrize("came_from", SETS)
@pytest.mark.parametrize("program", [p for p in PROGRAMS if p != "ctf"])  # see test_ctf.py
def test_all_that_a_program_is_not_for_stays(here: Path, program: str, came_from: str) -> None:
    project, folder = given(came_from), f"{program} {came_from}"
    done = run(program, project, folder)
    assert not done.report.failed
    if program not in CHANGES:  # it writes no set
        assert done.path is None
        return
    assert done.path == f"{folder}/tomograms.star"
    new = open_project(f"{folder}/optimisation_set.star")
    fields, deviations = CHANGES[program]
    old = project.tomograms[NAME]
    found = new.tomograms[NAME].with_depth_origin(old.depth_origin)
    free = {field: getattr(old, field) for field in MAY_CHANGE.get(program, ())}
    found = replace(found.with_depth_origin(old.depth_origin), **free)
    same_tomogram(old, found, fields, deviations)
    assert new.references == project.references
    assert project.particles is not None
    assert new.particles is not None
    moved = ("coordinates",) if program == "align particles" else ()
    same_particles(project.particles, new.particles, moved)
    assert project.trajectories is not None
    assert new.trajectories is not None
    for name, ways in project.trajectories.items():
        near = 0.01 if moved else 1e-9  # displacements turn with what is aligned
        np.testing.assert_allclose(new.trajectories[name], ways, atol=near)
    beads, others = project.fiducials[NAME].points, new.fiducials[NAME].points
    same = beads.shape == others.shape and np.allclose(beads, others)
    assert same != ("fiducials" in fields)


def same_tomogram(
    old: Tomogram, new: Tomogram, fields: tuple[str, ...], deviations: tuple[str, ...]
) -> None:
    new = new.with_depth_origin(old.depth_origin)
    close = ("projections", "defocus_u", "defocus_v", "depth_origin")
    for field in old.__dataclass_fields__:
        before, after = getattr(old, field), getattr(new, field)
        if field in close:
            assert np.allclose(before, after, atol=1e-6) != (field in fields), field
        elif field == "exclusions":
            for one, other in zip(before, after, strict=True):
                assert (one.row, one.reason) == (other.row, other.reason)
                of_series = tuple({"hand_log_odds"} & {*fields})
                same_tomogram(one.tilt, other.tilt, of_series, ())
        elif field not in ("source", "deviations", "fiducials"):
            assert equal(before, after) != (field in fields), field
    for what, before in old.deviations.items():
        assert equal(before, new.deviations.get(what)) != (what in deviations), what


def same_particles(old: ParticleSet, new: ParticleSet, fields: tuple[str, ...]) -> None:
    for field in old.__dataclass_fields__:
        before, after = getattr(old, field), getattr(new, field)
        if field == "visible":
            assert [v.tolist() for v in before] == [v.tolist() for v in after]
        elif field == "coordinates":
            assert np.allclose(before, after) != (field in fields)
        elif field not in ("source", *fields):
            assert equal(before, after), field
