"""The command line, run within the process."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tomoset.cli import main

#: Runs a command: exit code, output, errors.
Run = Callable[..., tuple[int, str, str]]


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Exit code, output, errors of ``tomoset`` with these arguments."""
    code = main(list(arguments))
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def convert(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    return run(capsys, "convert", *arguments)
