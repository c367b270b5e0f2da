"""``python -m tests.mutating [N] [SEED] [FIRST]``: N mistakes at random, and those that no test notices.

Each is put into a copy of the source. Of the tests of its package those run that call the function
with the mistake, until one fails.
"""

from __future__ import annotations

import ast
import json
import os
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.mutating.calls import run_tests
from tests.mutating.mistakes import Mistake, mistakes_in

ROOT = Path(__file__).parents[2]
#: What is changed, and its own tests.
TESTS = {
    "geometry": "geometry deformation transform fiducial_files",
    "star": "star star_properties star_table star_fast star_oracles",
    "model": "model fields_through_files cases_values particles transform fiducial_files linked_sets",
    "formats": "relion4 relion5 formats fields_through_files particles linked_sets cases_values "
    "parts fiducial_files defocus_files imod_import cases_imod imod_local ctf_tables convert aretomo "
    "warp mdoc eman2 cets import_images",
    "project": "project convert convert_guards transform linked_sets parts cases_values",
    "align/bundle.py": "align_bundle",
    "align/particles/cameras.py": "align_particles align_motion",
}
#: Longer than this, and it hangs [s].
LONGEST = 200.0


def _forked(work: Callable[[], int]) -> int | None:
    """The exit code of a function in a process of its own; None if it does not end."""
    child = os.fork()
    if child == 0:
        code = 99
        try:
            code = work()
        finally:
            os._exit(code)
    end = time.monotonic() + LONGEST * (20 if work.__name__ == "look" else 1)
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.05)
    os.kill(child, 9)
    os.waitpid(child, 0)
    return None


def _files(name: str) -> list[Path]:
    place = ROOT / "src/tomoset" / name
    return [place] if place.is_file() else sorted(place.rglob("*.py"))


def _function_of(mistake: Mistake) -> int | None:
    """First line of the innermost function around a mistake; None outside all."""
    first = None
    for node in ast.walk(ast.parse(mistake.path.read_bytes())):
        if isinstance(node, ast.FunctionDef) and node.end_lineno is not None:
            begin = min([node.lineno, *(d.lineno for d in node.decorator_list)])
            if begin <= mistake.line <= node.end_lineno and (first is None or begin > first):
                first = begin
    return first


class Watch:
    """Tests that come by functions, found once for each package."""

    def __init__(self, source: Path, folder: Path) -> None:
        self._source, self._folder = source, folder
        self._known: dict[str, dict[str, list[tuple[str, int]]]] = {}

    def _calls(self, name: str) -> dict[str, list[tuple[str, int]]]:
        if name not in self._known:
            from tests.mutating.calls import Calls

            paths = {str(self._copy(path)) for path in _files(name)}
            to = self._folder / "calls.json"
            tests = [f"tests/test_{test}.py" for test in TESTS[name].split()]

            def look() -> int:
                return run_tests([t for t in tests if (ROOT / t).exists()], Calls(paths, to))

            code = _forked(look)
            if code != 0:
                raise SystemExit(f"tests of {name} fail without a mistake ({code})")
            self._known[name] = json.loads(to.read_text())
        return self._known[name]

    def _copy(self, path: Path) -> Path:
        return self._source / path.relative_to(ROOT / "src")

    def tests(self, name: str, mistake: Mistake) -> list[str]:
        """Those that call the function, or, where it is none or compiled, any of its file."""
        calls, path = self._calls(name), str(self._copy(mistake.path))
        line = _function_of(mistake)
        found = [test for test, functions in calls.items() if [path, line] in functions]
        if not found:
            found = [t for t, functions in calls.items() if any(f[0] == path for f in functions)]
        return found or list(calls)

    def noticed(self, name: str, mistake: Mistake) -> bool:
        """Whether a test fails with the mistake."""
        tests, path = self.tests(name, mistake), self._copy(mistake.path)
        text = path.read_bytes()
        path.write_bytes(mistake.apply(text))
        try:
            return _forked(lambda: run_tests(tests)) != 0
        finally:
            path.write_bytes(text)


def mutate(count: int, seed: int, first: int = 0) -> float:
    """Make mistakes and print which were noticed; the part that was."""
    every = [(name, m) for name in TESTS for path in _files(name) for m in mistakes_in(path)]
    chosen = random.Random(seed).sample(every, len(every))[first : first + count]
    os.chdir(ROOT)
    sys.dont_write_bytecode = True
    with tempfile.TemporaryDirectory(prefix="tomoset_mutate_") as folder:
        source = Path(folder) / "src"
        shutil.copytree(ROOT / "src", source)
        sys.path.insert(0, str(source))
        os.environ.update(PYTHONPATH=str(source), PYTHONDONTWRITEBYTECODE="1")
        watch, noticed = Watch(source, Path(folder)), 0
        for i, (name, mistake) in sorted(enumerate(chosen, first), key=lambda each: each[1][0]):
            begin = time.monotonic()
            seen = watch.noticed(name, mistake)
            noticed += seen
            where = f"{mistake.path.relative_to(ROOT / 'src/tomoset')}:{mistake.line}"
            print(
                f"{i} {'noticed' if seen else 'SURVIVED'} {where}: "
                f"{' '.join(mistake.old.split())} -> {mistake.new} ({time.monotonic() - begin:.0f} s)",
                flush=True,
            )
    print(f"{noticed} of {len(chosen)} noticed, of {len(every)} that can be made, seed {seed}")
    return noticed / len(chosen)


if __name__ == "__main__":
    # What all tests load is loaded once; plugins of pytest are not.
    import numba  # noqa: F401
    import numpy  # noqa: F401
    import scipy.linalg  # noqa: F401

    given = [*map(int, sys.argv[1:]), *(60, 1, 0)[len(sys.argv) - 1 :]]
    sys.exit(mutate(*given) < 0.9)
