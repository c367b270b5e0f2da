"""Ten times the series, ten times the work: counted, not measured."""

from __future__ import annotations

import ast
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import tomoset
from tests.builders.tomograms import rigid_tomogram
from tests.builders.work import files_looked_at, lines_run
from tomoset import star
from tomoset.cli import main
from tomoset.errors import FileFormatError, ModelError
from tomoset.model import (
    Manifold,
    ManifoldSet,
    Optics,
    ParticleSet,
    Project,
    TomogramSet,
    TrajectorySet,
)
from tomoset.project import open_project, open_tomograms
from tomoset.project.transform import transform_project

FEW, MANY = 12, 120
DIALECTS = ("relion4", "relion5")
#: What is read and written.
SETS = ("tomograms", "particles", "manifolds", "trajectories")


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
    spheres = {name: [Manifold(index=1, kind="sphere", params=[5, 6, 7, 10])] for name in names}
    return Project(
        tomograms=TomogramSet(series),
        particles=particles,
        manifolds=ManifoldSet(spheres),
        trajectories=TrajectorySet(ways),
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


def opened(n: int, dialect: str) -> Project:
    project(n).write(f"{dialect}_{n}", dialect)
    return open_project(f"{dialect}_{n}/optimisation_set.star")


def selecting(n: int, dialect: str) -> Callable[[], object]:
    """Names, half of the particles, and a tilt image of each series."""
    found = opened(n, dialect)

    def select() -> None:
        found.tomograms.with_tomograms([t.exclude([2], "ice") for t in found.tomograms.values()])
        assert found.particles is not None
        found.particles.select(np.arange(len(found.particles)) % 2 == 0).by_tomogram()

    return select


def transforming(n: int, dialect: str) -> Callable[[], object]:
    found = opened(n, dialect)
    placed = [t.placed(image_size=(65, 47)) for t in found.tomograms.values()]
    found = found.with_sets(tomograms=found.tomograms.with_tomograms(placed))
    shift = np.eye(4)
    shift[:3, 3] = 1, 2, 3
    return lambda: transform_project(found, dict.fromkeys(found.tomograms, shift))


def asking(*command: str) -> Callable[[int, str], Callable[[], object]]:
    """A command about a set."""

    def of(n: int, dialect: str) -> Callable[[], object]:
        project(n).write(f"{dialect}_{n}", dialect)
        return lambda: main([command[0], f"{dialect}_{n}/tomograms.star", *command[1:]])

    return of


def checking(n: int, dialect: str) -> Callable[[], object]:
    """A whole project, and what a program needs."""
    project(n).write(f"{dialect}_{n}", dialect)
    return lambda: main(["check", f"{dialect}_{n}", "--for", f"{dialect}-polish"])


def converting(n: int, dialect: str) -> Callable[[], object]:
    project(n).write(f"{dialect}_{n}", dialect)
    (other,) = {*DIALECTS} - {dialect}
    command = ["convert", f"{dialect}_{n}/optimisation_set.star", f"to_{n}", "--to", other]

    def convert() -> None:
        assert main([*command, "--image-size", "65", "47"]) == 0

    return convert


@pytest.mark.parametrize(
    "work",
    [asking("info"), asking("info", "--json"), asking("check"), selecting, transforming]
    + [converting, checking],
    ids=["info", "info --json", "check", "select", "transform", "convert", "check --for"],
)
@pytest.mark.parametrize("dialect", DIALECTS)
def test_what_is_asked_of_a_set_grows_with_it(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    dialect: str,
    work: Callable[..., Callable[[], object]],
) -> None:
    monkeypatch.chdir(tmp_path)
    few, many = (lines_run(work(n, dialect)) for n in (FEW, MANY))
    assert many < 1.1 * MANY / FEW * few


#: So long that work with the square of it would not end today.
LONG = 100_000


def row_of(values: str, n: int) -> list[str]:
    """What a reader makes of a row of so many columns."""
    labels = [f"_l{i}" for i in range(n)]
    table = star.loads("\n".join(["data_x", "loop_", *labels, values, ""])).first
    return [table[label][0] for label in table.labels]


@pytest.mark.parametrize("open_quote", ['"a ', "'a ", "\"a 'b ", "[a ", "[1, "])
def test_a_line_of_quotes_left_open_is_read_once(open_quote: str) -> None:
    line = open_quote * LONG
    values = line.split()
    assert row_of(line, len(values)) == values


@pytest.mark.parametrize(
    ("line", "values"),
    [
        ("""'a "b c" 'd""", ["'a", "b c", "'d"]),
        ("""'a "b' c" d'""", ['a "b', 'c"', "d'"]),
        ("""a" "b 'c' "d""", ['a"', '"b', "c", '"d']),
    ],
)
def test_a_quote_closes_after_others_that_do_not(line: str, values: list[str]) -> None:
    assert row_of(line, len(values)) == values


def test_quotes_left_open_in_a_row_are_refused_with_their_line(shared: Path) -> None:
    with pytest.raises(FileFormatError, match=r"star:39: .*is a quote left open"):
        tomoset.read(shared / "cases/quadratic_quotes/tomograms.star")


def test_so_many_labels_are_read_and_written() -> None:
    labels = [f"_l{i}" for i in range(LONG)]
    text = "\n".join(["data_x", "loop_", *labels, "1 " * LONG, ""])
    table = star.loads(text)["x"]
    assert len(table.labels) == LONG
    assert len(star.loads(b"".join(star.encode(star.StarFile((table,)))))["x"].labels) == LONG
    with pytest.raises(FileFormatError, match=r"has no _y; it has _l0, .*_l19 and 99980 more"):
        table["y"]


def test_so_many_manifolds_have_an_index_each() -> None:
    spheres = [Manifold(index=i, kind="sphere", params=[5, 6, 7, 10]) for i in range(LONG // 10)]
    assert len(ManifoldSet({"TS_01": spheres})["TS_01"]) == LONG // 10
    with pytest.raises(ModelError, match="2 manifolds have index 0"):
        ManifoldSet({"TS_01": [*spheres, spheres[0]]})


def searches_in_loops(path: Path) -> list[str]:
    """Places where a list is searched, by index() or count(), once for each of many."""
    loops = (ast.For, ast.While, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
    return [
        f"{path.name}:{call.lineno} {ast.unparse(call)}"
        for loop in ast.walk(ast.parse(path.read_text()))
        if isinstance(loop, loops)
        for call in ast.walk(loop)
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and call.func.attr in ("index", "count")
        and not ast.unparse(call.func.value).isupper()  # a constant of a few
    ]


def test_no_list_is_searched_for_each_of_its_values() -> None:
    found = {
        place
        for path in Path(tomoset.__file__).parent.rglob("*.py")
        for place in searches_in_loops(path)
    }
    assert {place.split()[0].split(":")[0] for place in found} <= FEW_SEARCHED, found


#: What is searched there has a few values, or an error ends the search.
FEW_SEARCHED = {
    "filters.py",  # tilt images
    "choose.py",  # models of an alignment
    "_numbers.py",  # commas of a text
    "_relion.py",  # the line of one error
    "relion4.py",  # the line of one error
}
