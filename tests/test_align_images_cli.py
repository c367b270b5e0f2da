"""``tomoset align images`` on the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tomoset
from tests.builders.image_fits import image_fit, moved
from tests.builders.image_stacks import write_images
from tests.builders.measures import affine_errors, rms
from tests.builders.tomograms import rigid_tomogram
from tomoset.align.images.result import UNKNOWN, ImageFit, ImageOptions
from tomoset.cli import main
from tomoset.formats import TomogramSet
from tomoset.model import Tomogram

COMMAND = ["align", "images", "tomograms.star", "--o", "A"]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A set of one series."""
    monkeypatch.chdir(tmp_path)
    images = np.random.default_rng(0).normal(100, 9, (5, 47, 65)).astype(np.float32)
    write_images(tmp_path / "a.mrc", images, 2.0)
    TomogramSet([rigid_tomogram()]).write("tomograms.star", "relion4")
    return tmp_path


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[ImageOptions, int]]:
    """Options and threads that the fit is called with, which is one by hand."""
    calls = []

    def align(t: Tomogram, images: object, options: ImageOptions, threads: int) -> ImageFit:
        calls.append((options, threads))
        return moved(t, images, options, threads)

    monkeypatch.setattr("tomoset.programs.align_images.align", align)
    return calls


@pytest.mark.parametrize(
    ("given", "options"),
    [
        ([], ImageOptions()),
        (["--axis", "-85.5"], ImageOptions(axis=-85.5)),
        (["--axis", "unknown"], ImageOptions(axis=UNKNOWN)),
        (["--thickness", "auto"], ImageOptions()),
        (["--thickness", "1500"], ImageOptions(thickness=1500.0)),
        (["--level", "--tn", "TS_01"], ImageOptions(level=True)),
    ],
)
def test_options_say_what_is_known(
    here: Path,
    asked: list[Any],
    capsys: pytest.CaptureFixture[str],
    given: list[str],
    options: ImageOptions,
) -> None:
    assert main([*COMMAND, "--figures", "none", "--j", "2", *given]) == 0
    assert asked == [(options, 2)]
    out = capsys.readouterr().out
    assert "TS_01  5 images aligned" in out
    assert "set: A/tomograms.star\n" in out
    assert "the hand is not known from this: tomoset hand A/tomograms.star" in out


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (["--axis", "up"], "'up' is neither a number nor 'unknown'"),
        (["--axis", "nan"], "neither a number nor 'unknown'"),
        (["--axis", "400"], "is an angle in degrees, not 400"),
        (["--thickness", "thin"], "'thin' is neither a number nor 'auto'"),
        (["--thickness", "5"], "a specimen is not 5 Å thick"),
        (["--device", "tpu"], "'tpu'"),
        (["--tn", "TS_99"], "no tomogram is called 'TS_99'"),
    ],
)
def test_wrong_options_are_refused(
    here: Path, capsys: pytest.CaptureFixture[str], given: list[str], says: str
) -> None:
    assert main([*COMMAND, *given]) == 2
    assert says in capsys.readouterr().err
    assert not Path("A").exists()


def test_a_gpu_is_refused_and_help_says_so(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*COMMAND, "--device", "cuda"]) == 1
    assert "computed by the processor alone" in capsys.readouterr().err
    assert main(["align", "images", "--help"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "only the processor can so far; cuda is refused" in said


def test_json_has_the_numbers_and_the_warnings(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        "tomoset.programs.align_images.align",
        lambda t, *_: image_fit(t, doubtful={3: "support 4.0"}),
    )
    assert main([*COMMAND, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    result = said["results"]["TS_01"]
    assert result["doubtful"] == {"4": "support 4.0"}
    assert result["fit"]["inclination"] == [2.0, -1.0]
    assert Path("A/TS_01.png").stat().st_size > 1000
    assert "tilt image 4: the other images do not confirm" in said["warnings"][0]
    assert main([*COMMAND, "--strict", "--overwrite"]) != 0


def test_images_with_angles_are_aligned_as_they_are_imported(
    here: Path, asked: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["import", "images", "a.mrc", "-o", "new.star", "--angles", "-40:40:20"]
    assert main([*command, "--angpix", "2"]) == 0
    assert main(["align", "images", "--t", "new.star", "--o", "B", "--axis", "85"]) == 0
    assert "its size is not known" in capsys.readouterr().err
    t = tomoset.read("B/tomograms.star")["a"]
    np.testing.assert_allclose(t.tilt_axis_angles, 85.0, atol=1e-6)
    assert t.size == (47, 65, 1500)
    assert main(["check", "B/tomograms.star"]) == 0


@pytest.mark.parametrize(
    ("angles", "says"),
    [("3,3,3,3,3", "all tilt angles are 3 degrees"), ("-40:40:20", None)],
)
def test_angles_that_are_equal_are_refused(
    here: Path,
    asked: list[Any],
    capsys: pytest.CaptureFixture[str],
    angles: str,
    says: str | None,
) -> None:
    command = ["import", "images", "a.mrc", "-o", "new.star", "--angles", angles]
    assert main([*command, "--angpix", "2", "--thick", "30"]) == 0
    code = main(["align", "images", "new.star", "--o", "B", "--axis", "85"])
    if says is None:
        assert code == 0
    else:
        assert code == 1
        assert says in capsys.readouterr().err


@pytest.mark.slow
def test_a_simulated_series_is_aligned_by_its_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the true fit: images of crowded molecules, off by several pixels, come together."""
    monkeypatch.chdir(tmp_path)
    size = ["--size", "256", "240", "60", "--angpix", "8", "--tilts", "41", "--series", "1"]
    contents = ["--beads", "0", "--crowd", "250", "--noise", "0.3", "--format", "relion4"]
    assert main(["simulate", "S", *size, *contents, "--shift-error", "3"]) == 0
    (before,) = tomoset.read("S/tomograms.star").values()
    (true,) = tomoset.read("S/truth/tomograms.star").values()
    assert main(["align", "images", "S/tomograms.star", "--o", "A", "--j", "2"]) == 0
    after = tomoset.read("A/tomograms.star")[before.name]
    assert after.n_tilts == before.n_tilts
    assert np.isfinite(after.deviations["shift_x"]).all()
    points = np.random.default_rng(1).uniform(0.2, 0.8, (200, 3)) * np.array(true.need_size())
    was, now = (
        rms(affine_errors(t.need_projections(), true.need_projections(), points))
        for t in (before, after)
    )
    assert now < 0.25 * was
