"""Images that are not what a set takes them for: used twice, with outlier pixels, blank."""

from __future__ import annotations

import shutil
from pathlib import Path

import mrcfile
import numpy as np
import pytest

from tests.builders.command import run as run_command
from tests.builders.image_stacks import read_volume


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


@pytest.mark.parametrize("kind", ["defects", "X-rays", "dead"])
def test_outlier_pixels_change_neither_beads_nor_volumes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    monkeypatch.chdir(tmp_path)
    what = ("--tilts", "11", "--size", "200", "190", "60", "--beads", "8", "--angpix", "10")
    assert run_command(capsys, "simulate", "mix", "--format", "relion5", *what)[0] == 0
    monkeypatch.chdir("mix")
    options = ("tomograms.star", "--bin", "4", "--figures", "none")
    assert run_command(capsys, "reconstruct", *options, "--o", "clean")[0] == 0
    rng = np.random.default_rng(2)
    with mrcfile.open("TS_01/TS_01.mrc", "r+") as stack:
        for image in stack.data if kind == "X-rays" else [stack.data]:
            for _ in range(3):
                y, x = rng.integers(190), rng.integers(200)
                image[..., y, x] = -30000 if kind == "dead" else 30000
    code, out, errors = run_command(
        capsys, "find-fiducials", "tomograms.star", "--o", "F", "--figures", "none"
    )
    assert code == 0
    assert "8 beads" in out + errors
    assert "33 pixels of outlier values" in out + errors
    assert run_command(capsys, "reconstruct", *options, "--o", "spoilt")[0] == 0
    clean, spoilt = (read_volume(next(Path(d).rglob("rec_*.mrc"))) for d in ("clean", "spoilt"))
    assert np.corrcoef(clean.ravel(), spoilt.ravel())[0, 1] > 0.99
