"""What messages advise can be done: every command line and option in them is there."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

import tomoset
from tests.builders.command import run
from tests.builders.tomograms import rigid_tomogram
from tomoset.check import RULES, Rule, check
from tomoset.cli._main import root
from tomoset.cli._spelling import command_named, every_command, spelled
from tomoset.errors import joined
from tomoset.formats import FORMATS
from tomoset.model import Manifold, ManifoldSet, Optics, TomogramSet

SOURCE = Path(tomoset.__file__).parent
#: What stands in command lines for what a user knows.
KNOWN = {"FORMAT": "relion5", "A": "1.5", "W": "64", "H": "60", "D": "32"}
#: Rooms whose messages any command may print: they name parameters, not options.
SHARED_ROOMS = ("errors", "star", "paths", "model", "formats/_", "formats/relion", "project")
#: Options of other programs, and of compilers.
FOREIGN = {"--std", "--multiply_constant", "--angpix", "--rescale_angpix"}
#: A page on the hand in other programs.
ELSEWHERE = "hand/explain.py"
_COMMAND = re.compile(r"tomoset ([a-z][^;:()`\n]*?)(?=[;:()`\n]|, |\.?$|\. )")
_PARAMETER = re.compile(r"`(\w+)`")


def texts(path: Path) -> Iterator[str]:
    """All texts of a module but docstrings, with X for what is put into them."""
    tree = ast.parse(path.read_text())
    inner = {
        id(part)
        for node in ast.walk(tree)
        for part in ast.walk(node)
        if isinstance(node, ast.JoinedStr | ast.Expr) and part is not node
        if not isinstance(node, ast.Expr) or part is node.value
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inner:
            yield node.value
        elif isinstance(node, ast.JoinedStr):
            yield "".join(str(p.value) if isinstance(p, ast.Constant) else "X" for p in node.values)


def options(command: click.Command) -> set[str]:
    found = {"--help"}
    for parameter in command.params:
        found |= {*parameter.opts, *parameter.secondary_opts}
    return found


def modules() -> list[tuple[str, Path]]:
    found = [(p.relative_to(SOURCE).as_posix(), p) for p in sorted(SOURCE.rglob("*.py"))]
    return [(name, path) for name, path in found if not name.startswith("cli/")]


def parsed(line: str) -> None:
    words = [KNOWN.get(word, word) for word in shlex.split(line)]
    command = command_named(words)
    name = next(
        name for name, there in every_command() if there is command or there.name == command.name
    )
    # As of the root: click remembers the names of a command's help for the whole process.
    whole = click.Context(root, **root.context_settings)
    command.make_context(name, words[len(name.split()) - 1 :], parent=whole)


@pytest.mark.parametrize("rule", [r for r in RULES if r.command], ids=lambda r: r.code)
def test_cures_of_rules_are_command_lines(rule: Rule) -> None:
    assert rule.command is not None
    parsed(rule.command)
    assert rule.cure.endswith(":")


@pytest.mark.parametrize(("name", "path"), modules(), ids=lambda v: v if isinstance(v, str) else "")
def test_command_lines_in_messages_have_their_options(name: str, path: Path) -> None:
    for text in texts(path):
        for line in _COMMAND.findall(text):
            words = line.split()
            command = command_named(words)
            if isinstance(command, click.Group):  # a sentence about tomoset
                continue
            missing = {w for w in words if w.startswith("--")} - options(command)
            assert not missing, f"{name}: tomoset {line}"


def test_options_in_messages_are_there() -> None:
    every = set().union(*(options(command) for _, command in every_command())) | FOREIGN
    found = {
        option: name
        for name, path in modules()
        for text in texts(path)
        for option in re.findall(r"(?<![\w-])--[A-Za-z][\w-]*", text)
    }
    there = {option for option, name in found.items() if name != ELSEWHERE}
    assert there <= {*every, "--X"}


def test_parameters_in_messages_are_options_of_some_command() -> None:
    every = {p.name for _, command in every_command() for p in command.params} | {"tomograms"}
    for name, path in modules():
        for text in texts(path):
            for group in re.findall(r"\(([^()]*`\w+`[^()]*)\)", text):
                assert {*_PARAMETER.findall(group)} <= {*every, "X"}, f"{name}: {group}"


def test_rooms_that_all_commands_share_name_no_option_of_one() -> None:
    definitions = {o.spelling for format in FORMATS for o in format.options}
    for name, path in modules():
        if name.startswith(SHARED_ROOMS):
            for text in {*texts(path)} - definitions:
                alone = text in {rule.command for rule in RULES} or _COMMAND.sub("", text)
                assert alone is True or "--" not in alone, f"{name}: {text}"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("convert a b --to relion4", "give it (--size, --image-size)"),
        ("reconstruct a --o b", "give it (--size, `image_size`)"),
        ("check a", "give it"),
    ],
)
def test_parameters_are_spelled_as_the_command_has_them(words: str, said: str) -> None:
    assert spelled("give it (`size`, `image_size`)", words.split()) == said


def test_an_option_of_another_command_comes_with_its_name() -> None:
    assert spelled("give it by --angpix", ["info", "TS_01"]).startswith("give it by tomoset ")
    assert spelled("give it by --angpix", ["import", "imod", "TS_01"]) == "give it by --angpix"
    line = "write it: tomoset convert SET DST --to FORMAT --size W H D"
    assert spelled(line, ["hand", "set.star"]) == line


def test_independent_errors_come_together() -> None:
    from tomoset.errors import FileFormatError, MissingFileError

    both = joined([MissingFileError("a"), FileFormatError("b", path="c", line=3)])
    assert isinstance(both, MissingFileError)
    assert str(both) == "a\nc:3: b"
    many = joined([MissingFileError(str(i)) for i in range(20)])
    assert str(many).splitlines()[-1] == "and 10 more"


# The cases


def test_a_missing_file_of_an_optimisation_set_can_be_given(
    shared: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    case = shared / "cases/convert_missing_motion"
    monkeypatch.chdir(case)
    target = tmp_path / "o4"
    code, _, said = run(capsys, "convert", "optimisation_set.star", str(target), "--to", "relion4")
    assert code == 1
    assert "give another for the trajectories (--mot), or take the entry out" in said
    assert not target.exists()


@pytest.mark.filterwarnings("ignore::tomoset.errors.TomosetWarning")
@pytest.mark.parametrize("what", ["particles", "manifolds", "trajectories"])
def test_another_file_is_taken_for_one_that_is_missing(
    here: Path, capsys: pytest.CaptureFixture[str], what: str
) -> None:
    from tests.builders.whole_project import whole_project

    sphere = Manifold(index=1, kind="sphere", params=[5, 6, 7, 10])
    project = whole_project().with_sets(manifolds=ManifoldSet({"TS_01": [sphere]}))
    project.write("p", "relion4")
    names = {
        "particles": "particles.star",
        "manifolds": "manifolds.star",
        "trajectories": "motion.star",
    }
    Path("p", names[what]).rename("other.star")
    command = [
        "convert",
        "p/optimisation_set.star",
        "r5",
        "--to",
        "relion5",
        "--image-size",
        "65",
        "47",
    ]
    option = {"particles": "--p", "manifolds": "--man", "trajectories": "--mot"}[what]
    code, _, said = run(capsys, *command)
    assert (code, f"({option})" in said) == (1, True)
    assert run(capsys, *command, option, "other.star")[0] == 0
    assert getattr(tomoset.open_project("r5/optimisation_set.star"), what) is not None


def test_a_set_without_a_pixel_size_says_so(
    shared: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(shared / "cases/convert_no_pixel_size")
    assert "missing: pixel size: TS_01, TS_02" in run(capsys, "info", "tomograms.star")[1]
    assert "S06  TS_01, TS_02: no pixel size" in run(capsys, "check", "tomograms.star")[1]
    for source in ("tomograms.star", "unaligned/tomograms.star"):
        target = tmp_path / source
        sizes = ["--image-size", "64", "60", "--size", "60", "64", "32"]
        command = ["convert", source, str(target), "--to", "relion4", *sizes]
        code, _, said = run(capsys, *command)
        assert code == 1
        assert "the set has no rlnTomoTiltSeriesPixelSize" in said
        assert "give it (--angpix)" in said
        assert not target.parent.exists() or not list(target.parent.glob("*.star"))
    assert (
        run(capsys, *command[:2], str(tmp_path / "o.star"), *command[3:], "--angpix", "10")[0] == 0
    )
    given = tomoset.read(tmp_path / "o.star")
    assert {t.optics.pixel_size for t in given.values()} == {10.0}


def test_doses_without_that_of_the_first_image() -> None:
    t = rigid_tomogram(pre_exposure=[9.0, 6.0, 0.0, 3.0, 12.0], fractional_dose=3.0)
    first_gone = t.select([0, 1, 3, 4])
    (found,) = [p for p in check(TomogramSet([first_gone])) if p.code == "D04"]
    assert "the image that was taken first is left out, or these are doses after" in found.message
    assert "ubtract" not in found.cure
    assert not [p for p in check(TomogramSet([t.exclude([2], "ice")])) if p.code == "D04"]


def test_movies_alone_are_good_to_know() -> None:
    movies = tuple(f"{i}.tif" for i in range(5))
    raw = rigid_tomogram(
        stack=None, image_size=None, movies=movies, projections=None, optics=Optics(pixel_size=None)
    )
    codes = {p.code for p in check(TomogramSet([raw]))}
    assert "F07" in codes
    assert not codes & {"F01", "S06"}  # there is no image yet to be found, or to have a pixel size
