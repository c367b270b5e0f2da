"""Ten times the series, ten times the work: counted, not measured."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import tomoset
from tests.builders.tomograms import rigid_tomogram
from tests.builders.work import files_looked_at, lines_run
from tomoset.model import Optics, ParticleSet, Project, TomogramSet, TrajectorySet
from tomoset.project import open_tomograms

FEW, MANY = 12, 120
DIALECTS = ("relion4", "relion5")
#: What is read and written.
SETS = ("tomograms", "particles", "trajectories")


def project(n: int) -> Project:
    """So many series, each with two particles, and an optics group of its own."""
    names = [f"TS_{i}" for i in range(n)]
    series = [rigid_tomogram(name=name, stack=f"stacks/{name}.mrc") for name in names]
    groups = np.repeat(np.arange(1, n + 1), 2)
    aberrations = [((), ()), ((0.5,), ())]
    particles = ParticleSet(
        tomogram_names=np.repeat(names, 2),
        names=[f"{name}/{i}" for name in names for i in (1, 2)],
        coordinates=np.ones((2 * n, 3)),
        visible=[np.ones(5, bool)] * (2 * n),
        halves=np.arange(2 * n) % 2,
        optics_groups=groups,
        optics={
            i: Optics(pixel_size=2.0, group=f"g{i}", aberrations=aberrations[i % 2])
            for i in groups.tolist()
        },
        pixel_sizes=np.full(2 * n, 2.0),
    )
    ways = {name: np.ones((5, 3)) for name in particles.particle_names.tolist()}
    return Project(
        tomograms=TomogramSet(series), particles=particles, trajectories=TrajectorySet(ways)
    )


def reading(n: int, dialect: str, what: str) -> Callable[[], object]:
    project(n).write(f"{dialect}_{n}", dialect)
    if what == "tomograms":
        return lambda: tomoset.read(f"{dialect}_{n}/tomograms.star")
    opened = open_tomograms(f"{dialect}_{n}")
    unread = {what: opened.unread[what]}
    only = Project(tomograms=opened.tomograms, unread=unread)
    return lambda: only.load()


def writing(n: int, dialect: str, what: str) -> Callable[[], object]:
    """As they were read, so that every text is compared with its value."""
    project(n).write(f"{dialect}_{n}", dialect)
    opened = open_tomograms(f"{dialect}_{n}").load()
    tomograms, target = opened.tomograms, f"{dialect}_{n}_again"
    if what == "tomograms":
        return lambda: tomograms.write(f"{target}/tomograms.star")
    bare = Project(tomograms=TomogramSet([*tomograms.values()][:1], format=dialect))
    only = bare.with_sets(tomograms=tomograms, **{what: getattr(opened, what)})
    return lambda: only.write(target)


@pytest.mark.parametrize("work", [reading, writing])
@pytest.mark.parametrize("what", SETS)
@pytest.mark.parametrize("dialect", DIALECTS)
def test_work_grows_with_the_number_of_series_and_not_with_its_square(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    dialect: str,
    what: str,
    work: Callable[..., Callable[[], object]],
) -> None:
    monkeypatch.chdir(tmp_path)
    few, many = (lines_run(work(n, dialect, what)) for n in (FEW, MANY))
    assert many < 1.1 * MANY / FEW * few


@pytest.mark.parametrize("dialect", DIALECTS)
def test_files_are_looked_for_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dialect: str
) -> None:
    """However many series lie in a folder, and however deep the set is below the project."""
    monkeypatch.chdir(tmp_path)

    def looks(n: int, folder: str) -> int:
        sets = f"{folder}/{dialect}_{n}"
        project(n).tomograms.write(f"{sets}/tomograms.star", dialect)
        return files_looked_at(lambda: tomoset.read(f"{sets}/tomograms.star"))

    few, many, deep = looks(FEW, "a"), looks(MANY, "a"), looks(MANY, "/".join("abcdefgh"))
    assert many < 1.1 * MANY / FEW * few
    assert deep < many + 100
    assert many < 6 * MANY
