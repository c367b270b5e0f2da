"""Which test calls which function: a mistake is shown to the tests that come by."""

from __future__ import annotations

import json
import os
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import pytest

Function = tuple[str, int]


class Calls:
    """A plugin of pytest that notes functions of some files, by file and first line."""

    def __init__(self, files: set[str], to: Path) -> None:
        self._files, self._to = files, to
        self._seen: set[Function] = set()
        self._tests: dict[str, set[Function]] = defaultdict(set)

    def _note(self, frame: FrameType, event: str, _: object) -> None:
        if event == "call" and frame.f_code.co_filename in self._files:
            self._seen.add((frame.f_code.co_filename, frame.f_code.co_firstlineno))

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        """Note what a test calls, its fixtures included."""
        self._seen = set()
        sys.setprofile(self._note)
        yield
        sys.setprofile(None)
        self._tests[item.nodeid] |= self._seen

    def pytest_sessionfinish(self) -> None:
        """Write what was noted."""
        found = {test: sorted(functions) for test, functions in self._tests.items()}
        self._to.write_text(json.dumps(found))


def run_tests(tests: list[str], *plugins: object) -> int:
    """Run tests in this process, quietly; the exit code."""
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 1)
        os.dup2(nowhere.fileno(), 2)
        quiet = ["-x", "-q", "-p", "no:cacheprovider", "--tb=no"]
        return int(pytest.main([*quiet, *tests], plugins=list(plugins)))
