"""``tomoset import images``: sets of stacks and single images with angles, aligned or not."""

from __future__ import annotations

import random
import re
import time
import warnings
from pathlib import Path

import numpy as np
import pytest

import tomoset
from tests.builders.command import Run
from tests.builders.command import run as run_command
from tests.builders.image_stacks import write_stack
from tomoset.cli import main
from tomoset.formats import format_named

IMAGES = format_named("images")
TILTS = [-40.0, -20.0, 0.0, 20.0, 40.0]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run ``tomoset import images`` in a folder with a stack of five images and its angles."""
    monkeypatch.chdir(tmp_path)
    series(tmp_path / "TS_01.mrc")

    def go(*arguments: str) -> tuple[int, str, str]:
        return run_command(capsys, "import", "images", *arguments, "-o", "out.star")

    return go


def series(stack: Path, angles: str = ".rawtlt") -> None:
    write_stack(stack, 5, (64, 48))
    stack.with_suffix(angles).write_text("".join(f"{tilt:8.2f}\n" for tilt in TILTS))


def result() -> tomoset.Tomogram:
    (t,) = tomoset.read("out.star").values()
    return t


def test_a_stack_and_its_angles_are_a_set_that_is_not_aligned(run: Run) -> None:
    code, out, errors = run("TS_01.mrc", "--fd", "3", "--ol", "order.csv")
    assert code == 1
    Path("order.csv").write_text("1,0\n2,20\n3,-20\n4,40\n5,-40\n")
    code, out, errors = run("TS_01.mrc", "--fd", "3", "--ol", "order.csv", "--to", "relion4")
    assert code == 0, errors
    t = result()
    assert t.name == "TS_01"
    assert t.projections is None
    assert t.optics.pixel_size == 2.0
    assert t.pre_exposure is not None
    assert t.pre_exposure.tolist() == [12.0, 6.0, 0.0, 3.0, 9.0]
    assert "no table of defocus" in out


@pytest.mark.parametrize("axis", [0.0, 85.0, -12.5])
def test_aligned_images_are_projections_by_geometry(run: Run, axis: float) -> None:
    """As `import imod` makes of the same files; a point on the axis stays in the middle."""
    told = ("--aligned", "--axis", str(axis), "--thick", "30", "--angpix", "2")
    code, _, errors = run("TS_01.mrc", *told)
    assert code == 0, errors
    t = result()
    assert t.size == ((48, 64, 30) if axis == 85 else (64, 48, 30))
    Path("TS").mkdir()
    series(Path("TS/TS.mrc"), ".tlt")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        reading = format_named("imod").read(["TS"], axis=axis, thickness=30, pixel_size=2.0)
    (imod,) = reading.project.tomograms.values()
    np.testing.assert_allclose(t.projections, imod.projections, atol=1e-9)
    width, height, _ = t.size or (0, 0, 0)
    along = t.project([[(width - 1) / 2, (height - 1) / 2 + 10, 13.0]])[:, 0]
    a = np.deg2rad(axis)
    there = np.array([31.5 - 10 * np.sin(a), 23.5 + 10 * np.cos(a)])
    np.testing.assert_allclose(along, np.broadcast_to(there, (5, 2)), atol=1e-9)


def test_a_list_of_angles_and_its_sign(run: Run) -> None:
    Path("TS_01.rawtlt").unlink()
    code, _, errors = run("TS_01.mrc")
    assert code == 1
    assert "--angles" in errors
    common = ("--aligned", "--thick", "30", "--angles", "-40:40:20")
    assert run("TS_01.mrc", *common)[0] == 0
    np.testing.assert_allclose(result().tilt_angles, TILTS)
    assert run("TS_01.mrc", *common, "--flipAng", "--overwrite")[0] == 0
    np.testing.assert_allclose(np.sort(result().tilt_angles), TILTS)
    assert result().tilt_angles[0] == pytest.approx(40)


@pytest.mark.parametrize("given", ["folder", "files"])
def test_single_images_are_one_series(run: Run, given: str) -> None:
    for i in range(5):
        write_stack(Path(f"one/TS_02_{i + 8}.mrc"), 1, (64, 48)) if Path("one").is_dir() else None
        if not Path("one").is_dir():
            Path("one").mkdir()
            write_stack(Path(f"one/TS_02_{i + 8}.mrc"), 1, (64, 48))
    sources = ["one"] if given == "folder" else sorted(map(str, Path("one").glob("*.mrc")))
    told = ("--angles", "-40:40:20", "--aligned", "--thick", "30")
    code, _, errors = run(*sources, *told)
    assert code == 0, errors
    t = result()
    assert t.name == ("one" if given == "folder" else "TS_02")
    assert t.stack == f"stacks/{t.name}.mrcs"  # for RELION 4
    reading = IMAGES.read(sources, angles="-40:40:20", pixel_size=2.0)
    (t,) = reading.project.tomograms.values()
    assert t.images == tuple(f"one/TS_02_{i}.mrc" for i in range(8, 13))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "give stacks"),
        (("TS_01.mrc", "--angles", "1:2"), "--angles takes"),
        (("TS_01.mrc", "--angles", "-60:60:7"), "do not lead"),
        (("TS_01.mrc", "--angles", "x"), "--angles takes"),
        (("TS_01.mrc", "--axis", "3"), "--aligned"),
        (("TS_01.mrc", "--aligned"), "--thick"),
        (("TS_01.mrc", "--angles", "1,2", "--tlt", "*.tlt"), "one of the two"),
        (("TS_01.mrc", "--fd", "3"), "--ol"),
    ],
)
def test_options_that_make_no_sense(run: Run, arguments: tuple[str, ...], message: str) -> None:
    code, _, errors = run(*arguments)
    assert code == 2
    assert message in errors


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("-40\n-20\n0\n20\n", "expected angles of the 5 images of TS_01, found 4"),
        ("-40\n-20\nx\n20\n40\n", "TS_01.rawtlt:3"),
        ("-40\n-20\n1 2 3\n20\n40\n", "TS_01.rawtlt:3"),
        ("-40\n-20\n700\n20\n40\n", "within ±180"),
        ("0\n0\n0\n0\n0\n", "all tilt angles are 0"),
        ("\0\1\2", "binary"),
    ],
)
def test_errors_name_file_and_line(run: Run, text: str, message: str) -> None:
    Path("TS_01.rawtlt").write_text(text)
    code, _, errors = run("TS_01.mrc")
    assert code == 1
    assert message in errors
    assert "TS_01.rawtlt" in errors
    assert not Path("out.star").exists()


def test_line_ends_do_not_matter(run: Run) -> None:
    Path("TS_01.rawtlt").write_bytes(b"-40\r\n-20\r\n0\r\n20\r\n40\r\n")
    assert run("TS_01.mrc", "--aligned", "--thick", "30")[0] == 0
    np.testing.assert_allclose(result().tilt_angles, TILTS)


def test_what_is_no_stack_is_refused(run: Run) -> None:
    Path("text.mrc").write_text("hello")
    Path("empty.mrc").write_bytes(b"")
    write_stack(Path("one.mrc"), 1)
    code, _, errors = run("text.mrc", "empty.mrc", "absent.mrc", "one.mrc")
    assert code == 1
    for name in ("text", "empty", "absent", "one"):
        assert f"{name}.mrc" in errors


def test_one_bad_series_does_not_stop_the_others(run: Run) -> None:
    write_stack(Path("TS_02.mrc"), 5)
    code, _, errors = run("TS_01.mrc", "TS_02.mrc", "--aligned", "--thick", "30")
    assert code == 1
    assert "1 of 2 series failed" in errors
    assert list(tomoset.read("out.star")) == ["TS_01"]


@pytest.mark.parametrize("count", [300, pytest.param(5000, marks=pytest.mark.slow)])
def test_mutated_angles_never_surprise(count: int, tmp_path: Path) -> None:
    """An error of ours that names the series, or five angles."""
    chance = random.Random(count)
    stack = tmp_path / "TS_01.mrc"
    series(stack)
    file, order = stack.with_suffix(".rawtlt"), tmp_path / "order.csv"
    tables = {file: file.read_bytes(), order: b"1,0\n2,20\n3,-20\n4,40\n5,-40\n"}
    words = [b"nan", b"inf", b"1e308", b"-1e308", b"", b"\0", b"#", b"-", b"\xff", b",", b"7 8"]
    good, said = 0, list[str]()
    for _ in range(count):
        for path, content in tables.items():
            path.write_bytes(content)
        path, content = chance.choice(list(tables.items()))
        start, end = chance.choice([m.span() for m in re.finditer(rb"[^\s,]+", content)])
        pick = chance.randrange(4)
        middle = (
            chance.choice(words),
            b"",
            content[start:end] + bytes([chance.randrange(256)]),
            content[start:end] + b"\n",
        )[pick]
        path.write_bytes(
            content[:start] + middle + (content[end:] if chance.random() < 0.9 else b"")
        )
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            warnings.simplefilter("ignore", tomoset.errors.TomosetWarning)
            reading = IMAGES.read(
                [stack], pixel_size=2.0, order_list=str(order), fractional_dose=3.0
            )
        said += [str(failure.error) for failure in reading.failures]
        for t in reading.project.tomograms.values():
            good += 1
            assert t.nominal_tilts is not None
            assert np.isfinite(t.nominal_tilts).all()
        assert len(reading.failures) + len(reading.project.tomograms) == 1
    assert 0.02 < good / count < 0.98
    assert all("TS_01" in message or "order.csv" in message for message in said)


def test_a_hundred_series_come_in_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for i in range(100):
        series(tmp_path / f"TS_{i:03d}.mrc")
    stacks = sorted(map(str, Path().glob("*.mrc")))
    started = time.perf_counter()
    assert main(["import", "images", *stacks, "-o", "set.star", "--aligned", "--thick", "30"]) == 0
    assert time.perf_counter() - started < 4  # 2 s, and room for a busy machine
    capsys.readouterr()
    assert len(tomoset.read("set.star")) == 100
