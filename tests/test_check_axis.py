"""Whether images contradict the tilt axis: a finding of check --images."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import tomoset
from tests.builders.command import run as run_command
from tests.builders.image_stacks import write_images
from tomoset import Optics, Tomogram, TomogramSet, geometry
from tomoset.check import check

N, SIZE = 21, (200, 180)


def blobs(axis: float, spread: float = 60.0) -> tuple[Tomogram, np.ndarray]:
    """A series of many soft dots, seen about an axis; with its images, noise in them."""
    rng = np.random.default_rng(5)
    size = (180, 160, 60)
    angles = np.column_stack([np.zeros(N), np.linspace(-spread, spread, N), np.full(N, axis)])
    matrices = geometry.rigid_projections(
        angles, rng.normal(0, 2, (N, 2)), size=size, image_size=SIZE
    )
    t = Tomogram(
        name="TS_01",
        n_tilts=N,
        optics=Optics(pixel_size=2.0),
        size=size,
        projections=matrices,
        image_size=SIZE,
        stack="b.mrc",
    )
    at = t.project(rng.uniform(10, np.array(size) - 10, (60, 3)))
    v, u = np.indices((SIZE[1], SIZE[0]))
    images = rng.normal(0, 0.2, (N, SIZE[1], SIZE[0]))
    for i in range(N):
        for x, y in at[i]:
            images[i] -= np.exp(-((u - x) ** 2 + (v - y) ** 2) / 18)
    return t, images


def turned(t: Tomogram, degrees: float) -> Tomogram:
    """The series with another axis: all images turned about their middle."""
    x, y = (np.array(SIZE) - 1) / 2
    there, back = geometry.translation((x, y, 0)), geometry.translation((-x, -y, 0))
    turn = there @ geometry.rotation_z(degrees) @ back
    return replace(t, projections=turn @ t.need_projections())


def findings(t: Tomogram) -> list[str]:
    every = check(TomogramSet([t]), images=True)
    return [p.message for p in every if p.code == "F08" and "axis" in p.message]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    "axis",
    [
        0.0,
        85.0,
        pytest.param(35.0, marks=pytest.mark.slow),
        pytest.param(-60.0, marks=pytest.mark.slow),
    ],
)
def test_only_a_wrong_axis_is_contradicted(axis: float) -> None:
    t, images = blobs(axis)
    write_images("b.mrc", images.astype(np.float32))
    assert findings(t) == []
    assert findings(turned(t, 8)) == []
    (found,) = findings(turned(t, 90))
    assert "the images have a common line at some" in found


@pytest.mark.parametrize("what", ["noise", "one pattern", "stripes", "few tilts"])
def test_images_that_do_not_tell_contradict_nothing(what: str) -> None:
    t, images = blobs(85.0, spread=6 if what == "few tilts" else 60)
    rng = np.random.default_rng(1)
    if what == "noise":
        images = rng.normal(size=images.shape)
    elif what == "one pattern":
        images = np.broadcast_to(images[3], images.shape)
    elif what == "stripes":
        images = images + np.repeat(rng.normal(size=45), 4)[:, None]
    write_images("b.mrc", images.astype(np.float32))
    assert findings(t) == []
    if what != "stripes":
        assert findings(turned(t, 90)) == []


def test_a_needle_that_lies_along_x(shared: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(shared / "data/images/etspy", "etspy")
    for axis, wrong in (("0", True), ("90", False)):
        options = ("--angpix", "10", "--thick", "100", "--axis", axis)
        code, _, _ = run_command(capsys, "import", "imod", "etspy", "-o", f"{axis}.star", *options)
        assert code == 0
        code, out, _ = run_command(capsys, "check", f"{axis}.star", "--images")
        assert ("the tilt axis lies at 0°" in out) == wrong
        assert ("common line" in out) == wrong
    assert tomoset.read("90.star")["etspy"].n_tilts == 77
