"""Import of real alignments by IMOD, judged by where the gold beads were seen."""

from __future__ import annotations

import shutil
import struct
from pathlib import Path

import numpy as np
import pytest

import tomoset
from tests.builders.bb_series import bb_folder, imported, seen_beads
from tests.builders.measures import rms_length, turn_between
from tomoset.cli import main
from tomoset.formats.imod.alignment import read_xf


@pytest.mark.parametrize(("axis", "by_imod"), [("a", 0.36), ("b", 0.34)])
@pytest.mark.parametrize("options", [(), ("--no-flip",), ("--exact-depth",)])
def test_beads_triangulate_as_well_as_in_imod(
    shared: Path, tmp_path: Path, axis: str, by_imod: float, options: tuple[str, ...]
) -> None:
    seen, residual = seen_beads(shared, axis)
    kept = slice(1, None)  # EXCLUDELIST 1
    tomogram = imported(bb_folder(shared, tmp_path, axis), *options)
    assert tomogram.n_tilts == 60
    points = tomogram.triangulate(seen[kept])
    missed = seen[kept] - tomogram.project(points)
    ours = rms_length(missed[np.isfinite(missed).all(axis=-1)])
    assert rms_length(residual) == pytest.approx(by_imod, abs=0.006)
    assert ours <= 1.1 * rms_length(residual)


@pytest.mark.parametrize(("axis", "x_axis_tilt"), [("a", 1.94), ("b", -0.08)])
def test_x_axis_tilt_turns_the_beads(
    shared: Path, tmp_path: Path, axis: str, x_axis_tilt: float
) -> None:
    seen, _ = seen_beads(shared, axis)
    tomogram = imported(bb_folder(shared, tmp_path, axis))
    points = tomogram.triangulate(seen[1:])
    known = np.loadtxt(shared / f"data/imod/BB/BB{axis}fid.xyz", usecols=(1, 2, 3), comments=None)
    turn = turn_between(known, points)
    # fid.xyz is in the frame before XAXISTILT; z of both runs the same way.
    assert abs(turn[0]) == pytest.approx(abs(x_axis_tilt), abs=0.05)
    assert abs(turn[1:]).max() < 0.1
    before, after = slope_along_y(known), slope_along_y(points)
    assert abs(after) < 0.4
    assert abs(before) == pytest.approx(abs(x_axis_tilt), abs=0.3)


def slope_along_y(points: np.ndarray) -> float:
    """Slope of the section along y [deg], from the beads on its two faces."""
    top = points[:, 2] > np.median(points[:, 2])
    for _ in range(2):
        design = np.stack([points[:, 0], points[:, 1], top, ~top], axis=1).astype(float)
        x, y, upper, lower = np.linalg.lstsq(design, points[:, 2], rcond=None)[0]
        top = points[:, 2] - design[:, :2] @ [x, y] > (upper + lower) / 2
    return float(np.rad2deg(np.arctan(y)))


def test_binned_and_turned_output(shared: Path, tmp_path: Path) -> None:
    """mka2018: bin 4, output turned by 90 degrees and larger than the images, other names."""
    folder = tmp_path / "mka2018"
    shutil.copytree(shared / "data/imod/mka2018", folder)
    header_only(folder / "raw.mrc", (3832, 3708, 59), pixel_size=3.37)
    out = tmp_path / "set.star"
    assert main(["import", "imod", str(folder), "-o", str(out)]) == 0
    (tomogram,) = tomoset.read(out).values()
    assert tomogram.size == (3712, 3832, 2000)  # 928 x 958 at bin 4
    assert tomogram.optics.pixel_size == pytest.approx(3.37)
    # The middle of the tomogram (IMOD's, half a voxel from ours) is the middle of each image,
    # moved by its transform: q = A (p - c) + d = 0.
    middle = (np.array(tomogram.size) - 1) / 2 - (0, 0, 1.5)
    xf = read_xf(folder / "tilt_1.xf")
    expected = np.array([(3831 / 2, 3707 / 2) - np.linalg.solve(m[:, :2], m[:, 2]) for m in xf])
    np.testing.assert_allclose(tomogram.project([middle])[:, 0], expected, atol=1e-6)
    np.testing.assert_allclose(
        np.abs(tomogram.tilt_angles), np.abs(np.loadtxt(folder / "tilt_1.tlt")), atol=0.05
    )


def test_a_folder_without_command_files(shared: Path, tmp_path: Path) -> None:
    """etomo_TS_001: only the project file, the alignment and a header; view 40 excluded."""
    folder = tmp_path / "TS_001"
    shutil.copytree(shared / "data/imod/etomo_TS_001", folder)
    out = tmp_path / "set.star"
    arguments = ["import", "imod", str(folder), "-o", str(out), "--angpix", "6.192"]
    assert main(arguments) == 1  # no THICKNESS anywhere
    assert not out.exists()
    assert main([*arguments, "--thick", "1200"]) == 0
    assert tomoset.read(out)["TS_001"].stack == str(tmp_path / "culled/TS_001.mrc")
    assert main([*arguments, "--thick", "1200", "--no-cull", "--overwrite"]) == 0
    (tomogram,) = tomoset.read(out).values()
    assert tomogram.n_tilts == 39
    assert tomogram.image_index is not None
    assert tomogram.image_index.tolist() == list(range(39))
    expected = np.loadtxt(folder / "TS_001.tlt")[:39]
    np.testing.assert_allclose(tomogram.tilt_angles, expected, atol=0.01)
    # Seen from the tomogram's y axis: RELION calls this axis 84 degrees.
    assert np.median(tomogram.tilt_axis_angles) == pytest.approx(84.1, abs=0.5)


def header_only(path: Path, size: tuple[int, int, int], pixel_size: float) -> None:
    """A stack of zeros in bytes that takes no room on disk."""
    header = bytearray(1024)
    nx, ny, nz = size
    struct.pack_into("<10i", header, 0, nx, ny, nz, 0, 0, 0, 0, nx, ny, nz)
    struct.pack_into("<3f", header, 40, nx * pixel_size, ny * pixel_size, nz * pixel_size)
    header[208:216] = b"MAP DD\0\0"
    with path.open("wb") as stream:
        stream.write(header)
        stream.truncate(1024 + nx * ny * nz)
