"""The house: imports go down only, each room knows its own matters, and nothing is there twice."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

import pytest

from tomoset import formats

TESTS = Path(__file__).parent
SOURCE = TESTS.parent / "src" / "tomoset"

#: From the ground up. What stands on one line may import each other only within a package.
FLOORS = (
    {"errors"},
    {"files"},
    {"star", "geometry", "run"},
    {"images"},
    {"paths"},
    {"model"},
    {"formats"},
    {"align"},
    {"project"},
    {"simulate"},
    {"reconstruct", "fiducials", "hand"},
    {"ctf", "particles"},
    {"check"},
    {"figures"},
    {"programs"},
    {"report"},
    {"cli"},
)
LEVEL = {name: level for level, floor in enumerate(FLOORS) for name in floor}
#: At most so many modules and packages lie at the top of the source. May only shrink.
ROOMS = 22
#: What still knows more than it should: the number of places in each file. May only shrink, and
#: does so with the code: the tests ask for the very numbers that are found.
LABELS: dict[str, int] = {
    "hand/explain.py": 1,
    "hand/report.py": 2,
    "particles/align/report.py": 1,
    "particles/geometric/report.py": 1,
    "project/transform.py": 1,
}
DIALECTS: dict[str, int] = {}
FORMAT_MODULES: dict[str, int] = {}
DOOR: dict[str, int] = {
    "cli/_main.py": 1,
    "images/volume.py": 1,
    "run/_records.py": 1,
}
CIRCLES: dict[str, set[str]] = {}
HEAVY = {
    *(
        "scipy",
        "numba",
        "mrcfile",
        "rich",
        "jinja2",
        "matplotlib",
        "PIL",
        "pandas",
        "tifffile",
        "zarr",
    ),
    *("dask", "distributed", "dask_jobqueue", "cupy", "cupyx", "threadpoolctl"),
}


def modules() -> list[Path]:
    doors = {SOURCE / "__init__.py", SOURCE / "__main__.py"}
    return sorted(p for p in SOURCE.rglob("*.py") if p not in doors)


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


@cache
def imports(path: Path) -> list[tuple[str, bool]]:
    """Absolute names that a module imports, ``tomoset.model.Tomogram``, and whether at its top."""
    tree = parsed(path)
    package = ["tomoset", *path.relative_to(SOURCE).parent.parts]
    found = []
    for node in ast.walk(tree):
        top = node in tree.body
        if isinstance(node, ast.Import):
            found += [(alias.name, top) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = [*base, *([node.module] if node.module else [])]
            found += [(".".join([*module, alias.name]), top) for alias in node.names]
    return found


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(SOURCE)))
def test_imports_go_down(path: Path) -> None:
    own = path.relative_to(SOURCE).parts[0].removesuffix(".py")
    for name, _ in imports(path):
        parts = name.split(".")
        if parts[0] != "tomoset" or len(parts) < 2 or parts[1] == own or parts[1] == "__version__":
            continue
        assert LEVEL[parts[1]] < LEVEL[own], f"{own} imports {parts[1]}, which is not below it"


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(SOURCE)))
def test_heavy_packages_are_imported_where_they_are_used(path: Path) -> None:
    heavy = [name for name, top in imports(path) if top and name.split(".")[0] in HEAVY]
    # Compiled kernels are numba from their first line; who needs them imports them late.
    if not path.name.endswith("_kernels.py"):
        assert not heavy


def relative(path: Path) -> str:
    return path.relative_to(SOURCE).as_posix()


def outside_formats() -> list[Path]:
    return [path for path in modules() if not relative(path).startswith("formats/")]


def strings(path: Path) -> list[str]:
    """Texts in a module that are not docstrings."""
    nodes = list(ast.walk(parsed(path)))
    prose = {node.value for node in nodes if isinstance(node, ast.Expr)}
    constants = [n for n in nodes if isinstance(n, ast.Constant) and n not in prose]
    return [n.value for n in constants if isinstance(n.value, str)]


def changed(found: Mapping[str, int], allowed: dict[str, int]) -> dict[str, str]:
    """What is to be mended where more is found than allowed, or in the list where less is."""
    return {
        path: f"{found.get(path, 0)} found, {allowed.get(path, 0)} allowed"
        for path in {*found, *allowed}
        if found.get(path, 0) != allowed.get(path, 0)
    }


@pytest.mark.parametrize(("pattern", "allowed"), [("rln[A-Z]", LABELS), ("relion[45]", DIALECTS)])
def test_labels_and_dialects_are_known_to_formats_alone(
    pattern: str, allowed: dict[str, int]
) -> None:
    found = {
        relative(path): len([text for text in strings(path) if re.search(pattern, text)])
        for path in outside_formats()
    }
    assert not changed(found, allowed)


def test_modules_of_formats_are_known_to_formats_alone() -> None:
    public = {f"tomoset.formats.{name}" for name in formats.__all__}
    found = Counter(
        relative(path)
        for path in outside_formats()
        for name, _ in imports(path)
        if name.startswith("tomoset.formats") and name not in public
    )
    assert not changed(found, FORMAT_MODULES)


def module_of(name: str) -> tuple[str, ...]:
    """The parts of a module's path that defines an absolute name of ours, below the source."""
    parts = name.split(".")[1:]
    while parts:
        if SOURCE.joinpath(*parts).with_suffix(".py").is_file():
            return (*parts[:-1], f"{parts[-1]}.py")
        if SOURCE.joinpath(*parts).is_dir():
            break
        parts.pop()
    return (*parts, "__init__.py")


def test_nothing_within_imports_the_package_itself() -> None:
    found = Counter(
        relative(path)
        for path in modules()
        for name, _ in imports(path)
        if name.split(".")[0] == "tomoset" and module_of(name) == ("__init__.py",)
    )
    assert not changed(found, DOOR)


def test_no_imports_run_in_circles() -> None:
    """What of a folder is left if files and folders that import, or serve, none of it are gone."""
    uses: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for path in modules():
        own = path.relative_to(SOURCE).parts
        for name, _ in imports(path):
            other = module_of(name)
            if name.split(".")[0] == "tomoset" and other not in (own, ("__init__.py",)):
                depth = next(i for i, (a, b) in enumerate(zip(own, other, strict=False)) if a != b)
                uses["/".join(own[:depth])].add((own[depth], other[depth]))
    circles = {}
    for folder, pairs in uses.items():
        left: set[tuple[str, str]] = set()
        while left != pairs:
            left, users, used = pairs, {a for a, _ in pairs}, {b for _, b in pairs}
            pairs = {(a, b) for a, b in left if a in used and b in users}
        if left:
            circles[folder] = {a for a, _ in left}
    assert circles == CIRCLES


def test_rooms_are_few() -> None:
    rooms = [p for p in SOURCE.iterdir() if p.suffix == ".py" or (p / "__init__.py").is_file()]
    assert len([p for p in rooms if not p.name.startswith("__")]) <= ROOMS


def test_formats_do_not_know_each_other() -> None:
    for path in (SOURCE / "formats").rglob("*.py"):
        own = path.relative_to(SOURCE / "formats").parts[0].removesuffix(".py")
        if own in ("__init__", "_list"):
            continue
        for name, _ in imports(path):
            parts = name.split(".")
            if parts[:2] == ["tomoset", "formats"] and len(parts) > 2:
                assert parts[2] == own or parts[2].startswith("_"), f"{own} imports {parts[2]}"


def test_help_loads_no_numpy() -> None:
    code = "import sys, tomoset.cli; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_no_test_imports_another() -> None:
    for path in TESTS.rglob("*.py"):
        names = re.findall(r"(?m)^\s*(?:from|import) ((?:tests\b|\.)\S*)", path.read_text())
        own = f"tests.{path.relative_to(TESTS).parts[0]}."  # of a folder of tests, such as fuzzing
        assert not [name for name in names if not name.startswith(("tests.builders", own))], path


def is_prose(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def is_import(node: ast.AST) -> bool:
    return isinstance(node, ast.Import | ast.ImportFrom)


def code(path: Path, *left_out: Callable[[ast.AST], bool]) -> list[tuple[int, str]]:
    """Numbers and texts of lines that are neither blank, nor comments, nor of what is left out."""
    source = path.read_text()
    skipped: set[int] = set()
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.stmt) and any(leave(node) for leave in left_out):
            skipped |= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    lines = [(i, line.strip()) for i, line in enumerate(source.splitlines(), 1)]
    return [(i, line) for i, line in lines if i not in skipped and line and line[0] != "#"]


def test_modules_are_small() -> None:
    sizes = {relative(path): len(code(path, is_prose)) for path in modules()}
    assert not {name: size for name, size in sizes.items() if size > 350}


def test_no_two_places_have_ten_equal_lines() -> None:
    places: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for path in modules():
        lines = code(path, is_prose, is_import)
        for i in range(len(lines) - 9):
            numbers, texts = zip(*lines[i : i + 10], strict=True)
            places[texts].append(f"{relative(path)}:{numbers[0]}")
    assert not [where for where in places.values() if len(where) > 1]
