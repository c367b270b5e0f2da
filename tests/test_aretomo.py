"""AreTomo's files against AreTomo3's own formulas, Warp's alignment of the same series, real files."""

from __future__ import annotations

import random
import re
import time
import warnings
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import tomoset
from tests.builders.command import convert
from tests.builders.command import run as run_command
from tests.builders.image_stacks import write_stack
from tests.builders.mutations import mutated
from tests.builders.tomograms import rigid_tomogram
from tomoset import TomogramSet, geometry
from tomoset.cli import main
from tomoset.formats import format_named
from tomoset.formats._words import Reading
from tomoset.formats.aretomo.aln import read_aln
from tomoset.images.stack import open_stack
from tomoset.model import Deformation, Tomogram

Array = npt.NDArray[np.float64]
ARETOMO = format_named("aretomo")
HEAD = (
    "# SEC     ROT         GMAG       TX          TY      SMEAN     SFIT    SCALE     BASE     TILT"
)
TILTS = (-40.0, -20.0, 0.0, 20.0, 40.0)


def aln(rows: list[tuple[int, float]], *header: str, local: str = "", axis: float = 85.0) -> str:
    """A file of sections and tilts; shifts are made of them."""
    lines = [
        f"{s:5d} {axis:9.4f} 1.00000 {t / 10 + 1:9.3f} {t / 20 - 2:9.3f} 1 1 1 0 {t:8.2f}"
        for s, t in rows
    ]
    return "\n".join(["# AreTomo Alignment / Priims bprmMn", *header, HEAD, *lines, local])


def write_series(folder: Path, text: str, name: str = "TS_01", n: int = 5) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    write_stack(folder / f"{name}.mrc", n, (64, 48))
    path = folder / f"{name}.aln"
    path.write_text(text, newline="")
    return path


def read(path: Path, **options: object) -> Reading:
    told = {"pixel_size": 2.0, "thickness": 30, "flip_volume": 1}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", tomoset.AssumptionWarning)
        return ARETOMO.read([path], **(told | options))


def read_one(path: Path, **options: object) -> Tomogram:
    reading = read(path, **options)
    for failure in reading.failures:
        raise failure.error
    (t,) = reading.project.tomograms.values()
    return t


def plain(first: int = 1) -> list[tuple[int, float]]:
    return [(first + i, tilt) for i, tilt in enumerate(TILTS)]


def real(shared: Path, tmp_path: Path, name: str, size: tuple[int, int, int]) -> Path:
    """A real file, beside the header of a stack of such a size, and no pixels."""
    source = shared / "data" / name
    path = tmp_path / source.name
    path.write_bytes(source.read_bytes())
    stack = tmp_path / f"{source.stem}.mrc"
    write_stack(stack, 1, (8, 8), 1.54)
    head = bytearray(stack.read_bytes()[:1024])
    head[:12] = np.array(size, "<i4").tobytes()
    head[40:52] = (np.array(size, "<f4") * np.float32(1.54)).tobytes()
    head[28:40] = np.array(size, "<i4").tobytes()
    with open(stack, "wb") as file:
        file.write(head)
        file.truncate(1024 + size[0] * size[1] * size[2] * 2)
    return path


# Signs


@pytest.mark.parametrize("flip", [0, 1, 2])
def test_a_point_is_where_aretomo3_looks_for_it(flip: int, tmp_path: Path) -> None:
    """GBackProj.cu: x cos + z sin of slices that CDoWbpRecon.cpp then stores the last one first.

    CTiltSeries::FlipVol puts them in the place of y, turned round by -FlipVol 1;
    GCorrPatchShift.cu turns aligned images by ROT, and moves them by TX, TY.
    """
    t = read_one(write_series(tmp_path, aln(plain())), flip_volume=flip)
    x, y, slice_seen, depth = 40.0, 11.0, 20.0, 30
    stored = depth - 1 - slice_seen if flip == 1 else slice_seen
    z = (depth - 1 - stored) - depth * 0.5
    point = [x, y, slice_seen] if flip else [x, slice_seen, y]
    c, s = np.cos(np.deg2rad(85)), np.sin(np.deg2rad(85))
    for i, tilt in enumerate(TILTS):
        at = np.deg2rad(tilt)
        across, along = (x - 47 / 2) * np.cos(at) + z * np.sin(at), y - 63 / 2  # images are turned
        shift = np.array([tilt / 10 + 1, tilt / 20 - 2])
        there = np.array([across * c - along * s, across * s + along * c]) + shift + [31.5, 23.5]
        np.testing.assert_allclose(t.project([point])[i, 0], there, atol=1e-9)


def test_the_folder_for_imod_says_the_same(tmp_path: Path) -> None:
    """CSaveXF.cpp: a rotation by -ROT, and minus the shift turned by it; .tlt is TILT."""
    t = read_one(write_series(tmp_path, aln(plain())))
    folder = tmp_path / "TS_01_Imod"
    folder.mkdir()
    a = np.deg2rad(-85.0)
    lines = []
    for tilt in TILTS:
        tx, ty = tilt / 10 + 1, tilt / 20 - 2
        a11, a12, a21, a22 = np.cos(a), -np.sin(a), np.sin(a), np.cos(a)
        dx, dy = a11 * -tx + a12 * -ty, a21 * -tx + a22 * -ty
        lines.append(f"{a11:.7f} {a12:.7f} {a21:.7f} {a22:.7f} {dx:.4f} {dy:.4f}\n")
    (folder / "TS_01.xf").write_text("".join(lines))
    (folder / "TS_01.tlt").write_text("".join(f"{tilt}\n" for tilt in TILTS))
    write_stack(folder / "TS_01.mrc", 5, (64, 48))
    (folder / "newst.com").write_text("$newstack\nInputFile TS_01.mrc\nTransformFile TS_01.xf\n")
    (folder / "tilt.com").write_text("$tilt\nTILTFILE TS_01.tlt\nTHICKNESS 30\nFULLIMAGE 48 64\n")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        reading = format_named("imod").read([folder], pixel_size=2.0)
    (imod,) = reading.project.tomograms.values()
    assert imod.size == t.size
    # RELION's frame of IMOD's volumes is two slices off in depth
    points = np.array([[10.0, 20.0, 8.0], [40.0, 50.0, 25.0]])
    np.testing.assert_allclose(imod.project(points - [0, 0, 2]), t.project(points), atol=1e-3)
    assert imod.hand == t.hand


def test_warp_aligned_the_same_series_alike(shared: Path, tmp_path: Path) -> None:
    """Position_16_3, by each on its own; ../shared/data/oracles says how they are compared."""
    name = "oracles/aretomo3_warp_Position_16_3"
    path = real(shared, tmp_path, f"{name}/Position_16_3_global.aln", (4096, 4096, 31))
    t = read_one(path, pixel_size=1.54, flip_volume=1, thickness=1500)
    root = ElementTree.parse(shared / "data" / name / "Position_16_3_geometry.xml").getroot()

    def column(tag: str) -> Array:
        (node,) = root.iter(tag)
        return np.array(str(node.text).split(), dtype=np.float64)

    turn = np.deg2rad(column("AxisAngle"))
    warp = np.stack([column("AxisOffsetX"), column("AxisOffsetY")], axis=1)
    assert t.projections is not None
    np.testing.assert_allclose(-column("Angles"), t.tilt_angles, atol=0.02)
    np.testing.assert_allclose(np.rad2deg(turn), 83.94, atol=0.1)

    def apart(sign: int, swap: bool) -> float:
        """RMS of x and y in Å, after the move of the specimen that fits best."""
        assert t.projections is not None
        own = t.project([(np.array(t.size) - 1) / 2])[:, 0] - (np.array([4096, 4096]) - 1) / 2
        own = sign * (own[:, ::-1] if swap else own) * 1.54
        design = t.projections[:, :2, :3].reshape(-1, 3)
        off = (warp - own).reshape(-1)
        move = np.linalg.lstsq(design, off, rcond=None)[0]
        return float(np.sqrt(((off - design @ move) ** 2).mean()))

    assert apart(1, False) < 6
    assert apart(-1, False) > 20
    assert apart(1, True) > 20


def test_angles_and_transforms_that_alnfile_made(shared: Path, tmp_path: Path) -> None:
    """Its .tlt is TILT. Its .xf turns by +ROT, against AreTomo3's own: docs/differences.md."""
    folder = shared / "data/aretomo/alnfile"
    path = real(shared, tmp_path, "aretomo/alnfile/global_no_local.aln", (4096, 4096, 61))
    t = read_one(path)
    np.testing.assert_allclose(t.tilt_angles, np.loadtxt(folder / "global_no_local.tlt"), atol=1e-9)
    xf = np.loadtxt(folder / "global_no_local.xf")
    text = path.read_text().replace("-95.4040", " 95.4040")
    path.write_text(text)
    mirrored = read_one(path)
    middle = mirrored.project([(np.array(t.size) - 1) / 2])[:, 0] - (4095 / 2, 4095 / 2)
    A = xf[:, :4].reshape(-1, 2, 2)
    there = -np.einsum("nij,nj->ni", np.linalg.inv(A), xf[:, 4:])
    np.testing.assert_allclose(middle, there, atol=0.6)  # of half a slice
    np.testing.assert_allclose(
        mirrored.projections[:, :2, 0] / np.cos(np.deg2rad(t.tilt_angles))[:, None],  # type: ignore[index]
        np.linalg.inv(A)[:, :, 0],
        atol=1e-5,
    )


def test_tilt_holds_alpha_offset_already(shared: Path, tmp_path: Path) -> None:
    path = real(shared, tmp_path, "aretomo/alnfile/global_no_local.aln", (4096, 4096, 61))
    t = read_one(path)
    assert t.nominal_tilts is not None
    np.testing.assert_allclose(t.nominal_tilts, t.tilt_angles + 7.0, atol=1e-9)


def test_the_hand_is_the_one_of_the_table(tmp_path: Path) -> None:
    """AreTomo3's tiles lie at depth -x tan(tilt) (CTiltInducedZ.cpp), as ours: +1 is +1."""
    path = write_series(tmp_path, aln(plain()))
    rows = "".join(f"{i} 21000 20000 52.0 0.0 0.1 9.6 1\n" for i in range(1, 6))
    (tmp_path / "TS_01_CTF.txt").write_text(f"# Columns\n{rows}")
    t = read_one(path)
    assert t.hand == 1
    deeper = t.depth([[40, 32, 15]])[:, 0]
    np.testing.assert_array_equal(np.sign(deeper)[[0, 1, 3, 4]], [1, 1, -1, -1])
    assert read_one(path, hand=-1).hand == -1
    (tmp_path / "TS_01_CTF.txt").write_text("# Columns\n" + rows.replace(" 1\n", "\n"))
    assert read_one(path).hand == -1
    assert t.defocus_u is not None
    assert t.defocus_u.tolist() == [21000.0] * 5


# Sections and dark images


@pytest.mark.parametrize(
    ("rows", "dark", "images"),
    [
        (plain(1), [], [0, 1, 2, 3, 4]),
        (plain(0), [], [0, 1, 2, 3, 4]),
        ([(3, 0.0), (5, 40.0), (1, -40.0), (2, -20.0), (4, 20.0)], [], [0, 1, 2, 3, 4]),
        (plain(1)[:4], ["4 5 40.0"], [0, 1, 2, 3]),
        (plain(1)[1:], ["0 1 -40.0"], [1, 2, 3, 4]),
        (plain(0)[1:], ["0 0 -40.0"], [1, 2, 3, 4]),
        ([(0, -20.0), (1, 0.0), (2, 20.0)], ["0 0 -40", "4 4 40"], [1, 2, 3]),
        ([(1, -20.0), (2, 0.0), (3, 20.0)], ["0 1 -40", "4 5 40"], [1, 2, 3]),
        ([(5, -20.0), (1, 0.0), (2, 20.0), (4, 40.0)], ["0 3 -40"], [0, 1, 3, 4]),
    ],
)
def test_sections_are_found_in_any_order_and_base(
    rows: list[tuple[int, float]], dark: list[str], images: list[int], tmp_path: Path
) -> None:
    header = ["# RawSize = 64 48 5", *(f"# DarkFrame = {d}" for d in dark)]
    t = read_one(write_series(tmp_path, aln(rows, *header)))
    index = np.arange(t.n_tilts) if t.image_index is None else t.image_index
    assert index.tolist() == images
    order = np.argsort([section for section, _ in rows])
    np.testing.assert_allclose(t.tilt_angles, np.array([tilt for _, tilt in rows])[order])


def test_dark_images_of_a_real_series_are_left_out_of_a_new_stack(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    header = ["# RawSize = 64 48 5", "# DarkFrame = 1 2 -20.0"]
    write_series(tmp_path / "run", aln([r for r in plain() if r[0] != 2], *header))
    common = ("-o", "set.star", "--thick", "30", "--flip-vol", "1")
    code, out, errors = run_command(capsys, "import", "aretomo", "run", *common)
    assert code == 0, errors
    assert "images 2 of 5 are dark" in out
    t = tomoset.read("set.star")["TS_01"]
    assert t.n_tilts == 4
    with open_stack(str(t.stack)) as stack:
        assert [int(stack.read(i)[0, 0]) for i in range(4)] == [0, 2, 3, 4]
    code, _, errors = run_command(
        capsys, "import", "aretomo", "run", *common, "--no-cull", "--overwrite"
    )
    assert code == 0, errors
    whole = tomoset.read("set.star")["TS_01"]
    assert whole.stack == "run/TS_01.mrc"
    assert "takes row i for image i" in errors
    index = np.array([0, 2, 3, 4])
    parts = tomoset.Project(
        tomograms=TomogramSet([replace(t, stack="run/TS_01.mrc", image_index=index)])
    )
    parts.write("back", "aretomo")
    assert "# DarkFrame =     1    2   -20.00" in Path("back/TS_01.aln").read_text()
    again = read_one(Path("back/TS_01.aln"), stack="run/TS_01.mrc")
    assert again.image_index is not None
    assert again.image_index.tolist() == [0, 2, 3, 4]
    points = [[0, 0, 0], [63, 40, 20]]
    np.testing.assert_allclose(again.project(points), t.project(points), atol=1e-3)


# Local alignment


def patches(sign: float = 1.0) -> str:
    """Sixteen patches in five images, shifted by a tenth of where they are, more with the tilt."""
    lines = ["# Local Alignment"]
    for i in range(5):
        for p in range(16):
            x, y = 16 * (p % 4) - 24.0, 12 * (p // 4) - 18.0
            lines.append(
                f"{i:4d} {p:3d} {x:8.2f} {y:8.2f} {sign * x * i / 40:8.2f} {2.0:8.2f}  1.0"
            )
    return "\n".join(lines) + "\n"


def test_local_shifts_are_added_where_the_patches_are(tmp_path: Path) -> None:
    header = ["# RawSize = 64 48 5", "# NumPatches = 16"]
    t = read_one(write_series(tmp_path, aln(plain(), *header, local=patches())))
    assert t.deformation is not None
    assert t.deformation.kind == "spline"
    shifts = np.array([[tilt / 10 + 1, tilt / 20 - 2] for tilt in TILTS])
    at = np.array([[8.0, 6.0], [-8.0, 6.0]]) + (shifts + (31.5, 23.5))[:, None]
    moved = t.deformation.displacement(at, image_size=(64, 48))
    np.testing.assert_allclose(moved[:, :, 1], 2.0, atol=0.02)
    assert (moved[1:, 0, 0] > 0).all()
    assert (moved[1:, 1, 0] < 0).all()


def test_local_shifts_of_a_real_series_lose_little(shared: Path, tmp_path: Path) -> None:
    path = real(shared, tmp_path, "aretomo/alnfile/global_and_local.aln", (4096, 4096, 51))
    reading = read(path)
    (t,) = reading.project.tomograms.values()
    assert t.n_tilts == 37
    assert t.image_index is not None
    assert t.image_index.tolist() == list(range(14, 51))
    (note,) = [note for note in reading.notes if "patches" in note]
    found = re.search(r"([\d.]+) px rms .* ([\d.]+) px at most", note)
    assert found
    local = np.loadtxt(path.read_text().split("# Local Alignment")[1].splitlines())
    rms = np.sqrt((local[:, 4:6] ** 2).sum(axis=1).mean())
    assert float(found[1]) < rms / 5


def test_a_bad_patch_does_not_count(tmp_path: Path) -> None:
    header = ["# RawSize = 64 48 5", "# NumPatches = 16"]
    bad = re.sub(r"(?m)^(   \d   0 .*?)\S+ +\S+  1.0$", r"\g<1> 99.0 99.0 0.0", patches())
    assert bad.count("99.0 99.0") == 5
    t = read_one(write_series(tmp_path, aln(plain(), *header, local=bad)))
    assert t.deformation is not None
    assert np.abs(t.deformation.displacement([[[7.5, 5.5]]] * 5, image_size=(64, 48))).max() < 4


# Angles, order, dose, volume


def test_order_and_dose_come_from_the_table_of_angles(tmp_path: Path) -> None:
    path = write_series(tmp_path, aln(plain(), "# AlphaOffset = 2.0"))
    (tmp_path / "TS_01_TLT.txt").write_text(
        "-42.0 5 1.5\n-22.0 3 2.0\n -2.0 1 2.5\n 18.0 2 2.0\n 38.0 4 1.5\n"
    )
    t = read_one(path)
    assert t.pre_exposure is not None
    assert t.pre_exposure.tolist() == [8.0, 4.5, 0.0, 2.5, 6.5]
    (tmp_path / "TS_01_TLT.txt").write_text("-42.0 5\n-22.0 3\n -2.0 1\n 18.0 2\n 38.0 4\n")
    t = read_one(path, fractional_dose=3.0)
    assert t.pre_exposure is not None
    assert t.pre_exposure.tolist() == [12.0, 6.0, 0.0, 3.0, 9.0]
    (tmp_path / "TS_01_TLT.txt").write_text("-42.0\n-2.0\n -22.0\n 18.0\n 38.0\n")
    with pytest.raises(tomoset.FileFormatError, match="another series"):
        read_one(path)


@pytest.mark.parametrize(("sides", "flip"), [((24, 32, 15), 1), ((24, 15, 32), 0)])
def test_a_volume_beside_says_depth_and_whether_it_was_flipped(
    sides: tuple[int, int, int], flip: int, tmp_path: Path
) -> None:
    path = write_series(tmp_path, aln(plain()))
    write_stack(tmp_path / "TS_01_Vol.mrc", sides[2], sides[:2], 4.0)
    t = read_one(path, thickness=None, flip_volume=None)
    assert t.size == ((48, 64, 30) if flip else (48, 30, 64))


def test_what_the_file_does_not_say_is_said(tmp_path: Path) -> None:
    path = write_series(tmp_path, aln(plain(), "# Thickness = 22"))
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        reading = ARETOMO.read([path], pixel_size=2.0)
    said = " ".join(str(w.message) for w in found)
    assert "--flip-vol" in said
    assert "thickness of the specimen, 22 px" in said
    assert reading.project.tomograms["TS_01"].size == (48, 64, 22)
    bare = write_series(tmp_path / "bare", aln(plain()))
    with pytest.raises(tomoset.errors.MissingFieldError, match="--thick"):
        read_one(bare, thickness=None)


def test_old_versions_and_line_ends(shared: Path, tmp_path: Path) -> None:
    old = "aretomo/lil-aretomo/tests/test_data/example_v1_2_0.aln"
    assert b"\r\n" in (shared / "data" / old).read_bytes()
    t = read_one(real(shared, tmp_path, old, (5760, 4092, 41)))
    assert t.n_tilts == 41
    new = real(shared, tmp_path, old.replace("2_0", "3_0"), (5760, 4092, 41))
    assert read_one(new).size == (4092, 5760, 30)


# Out


def test_what_an_alignment_file_cannot_say_is_refused(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bent = Deformation(kind="linear", grid=(3, 3), coefficients=np.full((5, 3), 0.1))
    TomogramSet([rigid_tomogram(deformation=bent)]).write("set.star", "relion4")
    code, _, errors = convert(capsys, "set.star", "out", "--to", "aretomo")
    assert code == 1
    assert "2D deformation" in errors
    assert not Path("out").exists()
    code, out, _ = convert(capsys, "set.star", "out", "--to", "aretomo", "--nearest")
    assert code == 0
    assert "verified: 75 points" in out
    flat = Deformation(kind="linear", grid=(3, 3), coefficients=np.zeros((5, 3)))
    TomogramSet([rigid_tomogram(deformation=flat)]).write("flat.star", "relion4")
    code, _, errors = convert(capsys, "flat.star", "flat", "--to", "aretomo")
    assert code == 0
    assert "deformation" not in errors


@pytest.mark.parametrize(("kind", "count"), [("spline", 72), ("Fourier", 12)])
@pytest.mark.parametrize("package", ["aretomo", "eman2", "cets", "portal"])
def test_images_that_are_bent_between_their_corners_are_a_loss_as_large_as_it_is(
    kind: Any, count: int, package: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Any point of the tomogram is off by no more than is announced, and by not much less."""
    bent = np.random.default_rng(3).normal(0, 3.0, (5, count))
    t = rigid_tomogram(
        deformation=Deformation(kind=kind, grid=(3, 3), coefficients=bent), depth_origin=None
    )
    TomogramSet([t]).write("set.star", "relion4")
    code, out, errors = convert(capsys, "set.star", "out", "--to", package, "--nearest")
    assert code == 0, errors
    assert "verified: 75 points" in out
    lost = format_named(package).losses(tomoset.Project(tomograms=tomoset.read("set.star")))
    points = np.random.default_rng(4).uniform(0, 1, (4000, 3)) * t.need_size()
    flat = replace(t, deformation=None).project(points)
    inside = ((flat >= 0) & (flat <= np.subtract(t.need_image_size(), 1))).all(axis=2)
    moved = np.where(inside, np.linalg.norm(t.project(points) - flat, axis=2), 0).max(axis=1)
    announced = lost["TS_01"].pixels
    assert (moved <= announced + 1e-3).all()
    assert (announced < 1.3 * moved + 0.1).all()


def test_tilts_about_x_are_a_loss_in_images_and_defocus(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    t = rigid_tomogram()
    assert t.projections is not None
    pitched = t.projections @ geometry.rotation_x(3)
    TomogramSet([replace(t, projections=pitched)]).write("set.star", "relion4")
    code, _, errors = convert(capsys, "set.star", "out", "--to", "aretomo")
    assert code == 1
    assert "tilts about x" in errors
    assert convert(capsys, "set.star", "out", "--to", "aretomo", "--nearest")[0] == 0


def test_doses_before_the_first_image_are_a_loss_unless_a_dark_image_says_them(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As where the first images were thrown away: _TLT.txt counts from 0."""
    before = np.array([22.0, 16.0, 10.0, 13.0, 19.0])
    t = rigid_tomogram(pre_exposure=before, fractional_dose=3.0)
    TomogramSet([t]).write("set.star", "relion5")
    code, out, errors = convert(capsys, "set.star", "out", "--to", "aretomo")
    assert code == 0, errors
    assert "has 10 e/Å² before its first image, and _TLT.txt counts from 0" in errors
    assert "verified: 75 points" in out


def test_nominal_tilts_of_the_other_sign_are_those_of_the_mirror_image(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As of a series whose tilts Warp 1 took as they were: _TLT.txt goes with the .aln."""
    t = rigid_tomogram()
    turned = replace(t, nominal_tilts=-np.asarray(t.tilt_angles) + 1)
    TomogramSet([turned]).write("set.star", "relion5")
    code, _, errors = convert(capsys, "set.star", "out", "--to", "aretomo")
    assert code == 0, errors
    said = np.loadtxt("out/TS_01_TLT.txt")[:, 0]
    np.testing.assert_allclose(said, read_aln("out/TS_01.aln").tilts - 1, atol=1e-4)


@pytest.mark.parametrize("package", ["aretomo", "imod", "eman2", "cets", "portal"])
def test_what_other_files_need_is_said_where_it_is_not_known(package: str, here: Path) -> None:
    flat = replace(
        rigid_tomogram(),
        projections=None,
        size=None,
        image_size=None,
        stack="no.mrc",
        alignment=None,
    )
    with pytest.raises(
        tomoset.UnsupportedError, match=r"need an alignment and the size of the tom"
    ):
        tomoset.Project(tomograms=TomogramSet([flat])).write("out", package)


def test_mirrored_volumes_are_flipped_the_other_way(here: Path) -> None:
    t = read_one(write_series(here / "x", aln(plain())), flip_volume=2)
    assert ARETOMO.told(tomoset.Project(tomograms=TomogramSet([t])))["flip_volume"] == 2
    again = tomoset.Project(tomograms=TomogramSet([t])).write("out", "aretomo")
    back = read_one(again / "TS_01.aln", flip_volume=2, stack="x/TS_01.mrc")
    np.testing.assert_allclose(back.projections, t.projections, atol=1e-6)


def test_imod_folders_are_converted_to_as_well(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    TomogramSet([rigid_tomogram()]).write("r5.star", "relion5")
    code, out, errors = convert(capsys, "r5.star", "folders", "--to", "imod")
    assert code == 0, errors
    assert "verified: 75 points" in out


# What is no such file


@pytest.mark.parametrize(
    ("change", "line", "message"),
    [
        (lambda t: "", 1, "AreTomo Alignment"),
        (lambda t: t.replace("# AreTomo", "# Foo"), 1, "AreTomo Alignment"),
        (lambda t: t.replace(" 0.00\n", " x\n", 1).replace("    3 ", "  a 3 ", 1), 6, "10 numbers"),
        (lambda t: t.replace("-20.00", "1567301525373690323140608.00"), 5, "within"),
        (lambda t: t.replace("-20.00", "200.00"), 5, "TILT 200 is no angle"),
        (lambda t: t.replace("    2 ", "  2.5 "), 5, "whole numbers"),
        (lambda t: "\n".join(t.splitlines()[:6]), 6, "found 3"),
        (lambda t: t.replace("    2 ", "    1 "), None, "a SEC comes twice"),
        (lambda t: t.replace("# RawSize = 64", "# RawSize = many"), 2, "number"),
        (lambda t: t.replace("48 5", "48 5 5"), 2, "takes 3 numbers"),
        (lambda t: t + "# Local Alignment\n 0 0 1 1 1 1 1\n", 11, "expected 0 local shifts"),
    ],
)
def test_errors_name_file_and_line(
    change: object, line: int | None, message: str, tmp_path: Path
) -> None:
    text = aln(plain(), "# RawSize = 64 48 5") + "\n"
    path = write_series(tmp_path, change(text))  # type: ignore[operator]
    with pytest.raises(tomoset.FileFormatError, match=re.escape(message)) as found:
        read_one(path)
    assert str(path) in str(found.value)
    if line is not None:
        assert f"TS_01.aln:{line}" in str(found.value)


def test_another_stack_is_refused(tmp_path: Path) -> None:
    path = write_series(tmp_path, aln(plain(), "# RawSize = 128 96 5"))
    with pytest.raises(tomoset.FileFormatError, match=r"5 images of 128 x 96 px.*raw stack"):
        read_one(path)


def test_files_of_another_package_name_the_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("TS_01_Imod").mkdir()
    Path("TS_01_Imod/TS_01_st.xf").write_text("1 0 0 1 0 0\n")
    write_series(Path("run"), aln(plain()))
    for asked, source, told in (
        ("aretomo", "TS_01_Imod", "imod"),
        ("imod", "run", "aretomo"),
        ("images", "run/TS_01.aln", "aretomo"),
    ):
        code, _, errors = run_command(capsys, "import", asked, source, "-o", "set.star")
        assert code == 1
        assert f"tomoset import {told} {source}" in errors


@pytest.mark.parametrize("count", [300, pytest.param(5000, marks=pytest.mark.slow)])
def test_mutated_files_never_surprise(count: int, tmp_path: Path) -> None:
    """An error of ours that names the file, or a tomogram with all its images."""
    chance = random.Random(count)
    header = ["# RawSize = 64 48 5", "# NumPatches = 16", "# AlphaOffset = 2.0", "# Thickness = 9"]
    path = write_series(tmp_path, aln(plain(), *header, local=patches()))
    tables = {
        path: path.read_bytes(),
        tmp_path / "TS_01_TLT.txt": b"-42 5 1.5\n-22 3 2\n-2 1 2.5\n18 2 2\n38 4 1.5\n",
        tmp_path / "TS_01_CTF.txt": b"# Columns\n"
        + b"".join(b"%d 21000.0 20000.0 52.0 0.0 0.1 9.6 -1\n" % i for i in range(1, 6)),
    }
    good, said = 0, list[str]()
    for _ in range(count):
        for file, whole in tables.items():
            file.write_bytes(whole)
        file, whole = chance.choice(list(tables.items()))
        file.write_bytes(mutated(chance, whole))
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                warnings.simplefilter("ignore", tomoset.errors.TomosetWarning)
                t = read_one(path)
        except tomoset.TomosetError as problem:
            said.append(str(problem))
        else:
            good += 1
            assert t.n_tilts
            assert t.projections is not None
            assert np.isfinite(t.projections).all()
    assert 0.02 < good / count < 0.9
    assert all("TS_01" in message for message in said)


def test_a_hundred_series_come_in_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    rows = [(i + 1, 3.0 * i - 60) for i in range(41)]
    for i in range(100):
        write_series(tmp_path / "run", aln(rows), f"TS_{i:03d}", 41)
    command = ["import", "aretomo", "run", "-o", "set.star", "--thick", "30", "--flip-vol", "1"]
    started = time.perf_counter()
    assert main(command) == 0
    assert time.perf_counter() - started < 4  # 2 s, and room for a busy machine
    capsys.readouterr()
    assert len(tomoset.read("set.star")) == 100


@pytest.mark.parametrize(
    "name",
    [
        "aretomo/alnfile/global_no_local.aln",
        "aretomo/alnfile/global_and_local.aln",
    ],
)
def test_peers_read_the_same_numbers(shared: Path, name: str) -> None:
    """alnfile 0.1 reads no files of AreTomo 1.2 and 1.3, cryoet-alignment 0.2 none of 1.2."""
    peer = pytest.importorskip("alnfile", reason="alnfile is not installed")
    path = shared / "data" / name
    ours, theirs = read_aln(str(path)), peer.read(path)
    for column, values in (
        ("sec", ours.sections),
        ("rot", ours.axes),
        ("gmag", ours.magnifications),
        ("tx", ours.shifts[:, 0]),
        ("ty", ours.shifts[:, 1]),
        ("tilt", ours.tilts),
    ):
        np.testing.assert_allclose(values, theirs[column], rtol=0, atol=1e-12, err_msg=column)
