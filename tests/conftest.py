"""Where real and golden files are, for tests that need them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.builders.command import Run
from tests.builders.command import run as run_command
from tests.builders.image_stacks import write_stack
from tests.builders.shared_files import SHARED, STAGES


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real files and of RELION's own output; the test is skipped without it."""
    if not SHARED.is_dir():
        pytest.skip("the folder ../shared with real and golden files is not there")
    return SHARED


@pytest.fixture
def golden(shared: Path) -> Path:
    """What RELION 4.0.1 made of small IMOD projects."""
    return shared / "golden" / "imod_import"


@pytest.fixture
def project(shared: Path, tmp_path: Path) -> Path:
    """EMPIAR-10164, with the three series whose files are there."""
    root = tmp_path / "EMPIAR-10164"
    shutil.copytree(shared / "data/relion5/EMPIAR-10164", root)
    for stage in STAGES:
        path = root / stage
        lines = path.read_text().splitlines(keepends=True)
        path.write_text("".join(x for x in lines if "TS_45" not in x and "TS_54" not in x))
    return root


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder to work in, with a stack of five images of 65 x 47 pixels."""
    monkeypatch.chdir(tmp_path)
    write_stack(tmp_path / "a.mrc", 5, (65, 47))
    return tmp_path


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run ``tomoset import imod`` in a folder of its own: exit code, output, errors."""
    monkeypatch.chdir(tmp_path)

    def go(*arguments: str) -> tuple[int, str, str]:
        return run_command(capsys, "import", "imod", *arguments, "-o", "out.star")

    return go
