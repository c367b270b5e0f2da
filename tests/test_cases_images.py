"""Images that are not what a set takes them for: used twice, with outlier pixels, blank."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.builders.command import run as run_command


@pytest.mark.parametrize(
    ("case", "says"),
    [("one_image_for_all", "also that of another tilt"), ("shared_by_two", "also one of TS_02")],
)
def test_images_that_are_used_twice(
    shared: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    case: str,
    says: str,
) -> None:
    shutil.copytree(shared / "cases/image_used_twice" / case, tmp_path / "set")
    monkeypatch.chdir(tmp_path / "set")
    code, out, _ = run_command(capsys, "check", "tomograms.star")
    assert code == 1
    assert "F05" in out
    assert says in out
    code, _, errors = run_command(capsys, "reconstruct", "tomograms.star", "--o", "R", "--bin", "2")
    assert code == 1
    assert says in errors
    assert not list(Path("R").rglob("*.mrc"))
