"""Imports go down only, and heavy packages are loaded where they are used."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
SOURCE = TESTS.parent / "src" / "tomoset"

#: From the ground up. What stands on one line may import each other only within a package.
FLOORS = (
    {"errors"},
    {"blas", "files"},
    {"star", "geometry", "run"},
    {"model", "images"},
    {"formats", "simulate"},
    {"proof", "project", "stacks", "tilt_series", "align"},
    {"moves"},
    {"derived"},
    {"check", "summary", "convert", "reconstruct", "fiducials", "hand"},
    {"particles"},
    {"cli"},
)
LEVEL = {name: level for level, floor in enumerate(FLOORS) for name in floor}
#: The numbers side and the files side of one floor must not know each other.
APART = ({"formats"}, {"simulate"})
HEAVY = {
    *("scipy", "numba", "mrcfile", "rich", "jinja2", "matplotlib", "pandas", "tifffile", "zarr"),
    *("dask", "distributed", "dask_jobqueue", "cupy", "cupyx", "threadpoolctl"),
}


def modules() -> list[Path]:
    doors = {SOURCE / "__init__.py", SOURCE / "__main__.py"}
    return sorted(p for p in SOURCE.rglob("*.py") if p not in doors)


def imports(path: Path) -> list[tuple[str, bool]]:
    """Absolute names that a module imports, and whether at its top."""
    tree = ast.parse(path.read_text())
    package = ["tomoset", *path.relative_to(SOURCE).parent.parts]
    found = []
    for node in ast.walk(tree):
        top = node in tree.body
        if isinstance(node, ast.Import):
            found += [(alias.name, top) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            name = ".".join([*base, *([node.module] if node.module else [])])
            found += [
                (f"{name}.{alias.name}" if name == "tomoset" else name, top) for alias in node.names
            ]
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


def test_formats_do_not_know_each_other() -> None:
    for path in (SOURCE / "formats").rglob("*.py"):
        own = path.relative_to(SOURCE / "formats").parts[0].removesuffix(".py")
        if own == "__init__":
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
        names = re.findall(r"(?m)^\s*(?:from|import) (tests\.\S+)", path.read_text())
        assert not [name for name in names if not name.startswith("tests.builders.")], path


def code_lines(path: Path) -> int:
    """Lines that are neither blank, comment nor docstring."""
    source = path.read_text()
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef)
    prose: set[int] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, documented) and ast.get_docstring(node) is not None:
            text = node.body[0]
            prose |= set(range(text.lineno, (text.end_lineno or text.lineno) + 1))
    lines = source.splitlines()
    return sum(
        1
        for i, line in enumerate(lines, 1)
        if i not in prose and line.strip() and line.strip()[0] != "#"
    )


def test_modules_are_small() -> None:
    sizes = {str(p.relative_to(SOURCE)): code_lines(p) for p in modules()}
    assert not {name: size for name, size in sizes.items() if size > 350}
