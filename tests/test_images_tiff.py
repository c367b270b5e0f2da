"""TIFF wherever MRC is taken: sets are read, checked, converted and imported alike."""

from __future__ import annotations

import contextlib
import shutil
import sys
from pathlib import Path

import mrcfile
import numpy as np
import pytest
import tifffile

import tomoset
from tests.builders.command import convert, run
from tests.builders.imod_folder import make_folder
from tests.builders.tomograms import rigid_tomogram
from tomoset.check import check
from tomoset.errors import UnsupportedError
from tomoset.images.mrc import write_images
from tomoset.images.stack import open_stack, read_header

PIXELS = np.random.default_rng(5).integers(-500, 500, (5, 47, 65)).astype(np.int16)
NAMES = tuple(f"tilt{i}.tif" for i in range(5))


def write_tiff(path: Path | str, images: np.ndarray) -> None:
    """Images (n, y, x) as microscopes write them: the highest row comes first."""
    tifffile.imwrite(
        path,
        images[:, ::-1],
        photometric="minisblack",
        metadata=None,
        resolution=(1e8 / 2, 1e8 / 2),
        resolutionunit=3,
    )


@pytest.fixture
def single(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A set of RELION 5 whose images are TIFF files, one each."""
    monkeypatch.chdir(tmp_path)
    for name, image in zip(NAMES, PIXELS, strict=True):
        write_tiff(name, image[None])
    t = rigid_tomogram(stack=None, images=NAMES)
    tomoset.TomogramSet([t]).write("single.star", "relion5")
    return "single.star"


@pytest.fixture
def stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A set of RELION 4 whose stack is a TIFF file."""
    monkeypatch.chdir(tmp_path)
    write_tiff("a.tif", PIXELS)
    tomoset.TomogramSet([rigid_tomogram(stack="a.tif")]).write("stack.star", "relion4")
    return "stack.star"


def test_one_header_for_either_kind(tmp_path: Path) -> None:
    write_tiff(tmp_path / "a.tif", PIXELS)
    write_images(tmp_path / "a.mrc", PIXELS, 2.0, [])
    ours, theirs = read_header(tmp_path / "a.tif"), read_header(tmp_path / "a.mrc")
    assert (ours.size, ours.n_images, ours.mode) == ((65, 47), 5, 1)
    assert (theirs.size, theirs.n_images, theirs.mode) == ((65, 47), 5, 1)
    assert ours.pixel_size == pytest.approx(theirs.pixel_size, rel=1e-6)
    with open_stack(tmp_path / "a.tif") as tiff, open_stack(tmp_path / "a.mrc") as mrc:
        assert np.array_equal(tiff.read_all(), mrc.read_all())


@pytest.mark.parametrize("kind", ["single", "stack"])
def test_sets_with_tiff_are_sound(
    kind: str, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]
) -> None:
    path = request.getfixturevalue(kind)
    tomograms = tomoset.read(path)
    assert tomograms["TS_01"].image_size == (65, 47)
    assert not {"F01", "F03", "G01"} & {p.code for p in check(tomograms)}
    code, out, _ = run(capsys, "info", path)
    assert code == 0
    assert "missing" not in out


def test_single_images_become_one_mrc_stack(
    single: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, errors = convert(capsys, single, "r4/set.star", "--to", "relion4")
    assert (code, errors) == (0, "")
    assert "verified" in out
    with mrcfile.open("r4/stacks/TS_01.mrcs") as file:
        assert np.array_equal(file.data, PIXELS)
        assert file.voxel_size.x == pytest.approx(2.0)


def test_relion_5_finds_pages_by_the_ending_of_tiff(
    stack: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert convert(capsys, stack, "r5/set.star", "--to", "relion5")[0] == 0
    text = Path("r5/tilt_series/TS_01.star").read_text()
    assert "000003@a.tif" in text
    assert ":mrc" not in text
    with tomoset.read("r5/set.star")["TS_01"].open_images() as series:
        assert np.array_equal(series.read(2), PIXELS[2])


def test_a_stack_of_another_number_of_pages(stack: str) -> None:
    write_tiff("a.tif", PIXELS[:4])
    with pytest.raises(tomoset.FileFormatError, match=r"a\.tif holds 4 images"):
        tomoset.read(stack)


def test_files_that_are_cut_short(stack: str) -> None:
    Path("a.tif").write_bytes(Path("a.tif").read_bytes()[:20000])
    (found,) = (p.message for p in check(tomoset.read(stack)) if p.code == "F03")
    assert "a.tif: expected a TIFF file" in found
    assert "not there" not in found
    write_tiff("a.tif", PIXELS[:1])
    Path("a.tif").write_bytes(Path("a.tif").read_bytes()[:-100])
    assert read_header("a.tif").size == (65, 47)
    with pytest.raises(tomoset.FileFormatError, match="cut short in page 1 of 1; copy the file"):
        open_stack("a.tif")


@pytest.mark.parametrize("command", ["info", "check"])
def test_without_tifffile_it_is_said_how_to_install_it(
    single: str,
    command: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(sys.modules, "tifffile", None)
    with pytest.raises(UnsupportedError, match=r"tilt0\.tif: .* pip install tomoset\[tiff\]"):
        tomoset.read(single)
    code, out, errors = run(capsys, command, single)
    assert code != 0
    assert "pip install tomoset[tiff]" in " ".join((out + errors).split())
    assert "not there" not in out + errors


# Import


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An IMOD folder whose raw stack is TIFF."""
    monkeypatch.chdir(tmp_path)
    folder = make_folder(tmp_path / "TS")
    (folder / "TS.st").unlink()
    write_tiff(folder / "TS.tif", PIXELS[:, :, :64])
    return folder


@pytest.mark.parametrize("options", [(), ("--stack", "*.tif")])
def test_imported(
    folder: Path, options: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, errors = run(capsys, "import", "imod", "TS", "-o", "out.star", "--fd", "3", *options)
    assert code == 0, errors
    t = tomoset.read("out.star")["TS"]
    assert (t.stack, t.image_size) == ("TS/TS.tif", (64, 47))
    assert t.optics.pixel_size == pytest.approx(2.0)


def test_imported_without_excluded_views(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tilt = folder / "tilt.com"
    tilt.write_text(tilt.read_text().replace("$if", "EXCLUDELIST2 2\n$if"))
    assert run(capsys, "import", "imod", "TS", "-o", "out.star", "--fd", "3")[0] == 0
    stack = tomoset.read("out.star")["TS"].stack
    assert stack is not None
    with mrcfile.open(stack) as file:
        assert np.array_equal(file.data, PIXELS[[0, 2, 3, 4], :, :64])
        assert file.voxel_size.x == pytest.approx(2.0)


def test_mrc_goes_before_a_tiff_beside_it(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_images(folder / "raw.mrc", PIXELS[:, :, :64], 2.0, [])
    assert run(capsys, "import", "imod", "TS", "-o", "out.star", "--fd", "3")[0] == 0
    assert tomoset.read("out.star")["TS"].stack == "TS/raw.mrc"


# A real kind of project: motion-corrected images of RELION, with brackets in their names


@pytest.fixture
def case(shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same series twice: with the images in TIFF, and in MRC."""
    monkeypatch.chdir(tmp_path)
    for kind in ("tiff", "mrc"):
        shutil.copytree(shared / "cases" / "tiff_images", kind, copy_function=shutil.copyfile)
        for folder in (tmp_path / kind).rglob("*/"):
            folder.chmod(0o755)
    for image in sorted(Path("mrc/MotionCorr").glob("*.tif")):
        pixels = tifffile.imread(image)[None, ::-1]
        write_images(image.with_suffix(".mrc"), pixels, 10.0, [])
        image.unlink()
    table = Path("mrc/tilt_series/TS_01.star")
    table.write_text(table.read_text().replace(".tif", ".mrc"))
    return tmp_path


def test_motion_corrected_images(
    case: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made = {}
    for kind in ("tiff", "mrc"):
        monkeypatch.chdir(case / kind)
        code, out, errors = run(capsys, "info", "tomograms.star")
        assert (code, "missing" in out) == (0, False), out + errors
        assert not {"F01", "F03", "G01"} & {p.code for p in check(tomoset.read("tomograms.star"))}
        assert convert(capsys, "tomograms.star", "o4/t.star", "--to", "relion4")[0] == 0
        assert run(capsys, "reconstruct", "tomograms.star", "--o", "R", "--bin", "2")[0] == 0
        made[kind] = [
            mrcfile.read(path) for path in ("o4/stacks/TS_01.mrcs", "R/tomograms/rec_TS_01.mrc")
        ]
    for one, other in zip(made["tiff"], made["mrc"], strict=True):
        assert np.array_equal(one, other)


def test_damaged_tags_are_told_whatever_the_library_makes_of_them(stack: str) -> None:
    """The type of a tag is another: tifffile compares a tuple with a number."""
    whole = Path("a.tif").read_bytes()
    first = int.from_bytes(whole[4:8], "little")
    for tag in range(int.from_bytes(whole[first : first + 2], "little")):
        for kind in (1, 2, 5, 12):
            at = first + 2 + 12 * tag + 2
            Path("a.tif").write_bytes(whole[:at] + bytes([kind, 0, 2]) + whole[at + 3 :])
            with contextlib.suppress(tomoset.TomosetError):
                (series,) = tomoset.read(stack).values()
                with series.open_images() as images:
                    images.read(0)
