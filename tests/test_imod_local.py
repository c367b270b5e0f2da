"""Local alignments and Z factors of IMOD: in as 2D deformations, out as local alignments."""

from __future__ import annotations

import random
import shutil
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tomoset
from tests.builders.bb_series import bb_folder, seen_beads
from tests.builders.image_stacks import write_images
from tests.builders.imod_folder import TILT_COM, make_folder
from tests.builders.measures import rms_length
from tests.builders.mutations import mutated
from tests.builders.tilt_program import Tilt
from tomoset.cli import main
from tomoset.formats import format_named
from tomoset.formats.imod.alignment import read_xf
from tomoset.formats.imod.local_field import Field, GlobalAlignment
from tomoset.formats.imod.local_file import read_local
from tomoset.geometry import DeformationBasis, ImodVolume, imod_projections
from tomoset.model import Project


def read_folder(folder: Path, **options: Any) -> tuple[tomoset.Tomogram, list[str], str]:
    """The tomogram, the notes, and what was said to be lost."""
    told = {"pixel_size": 2.0, "fractional_dose": 3.0} | options
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        reading = format_named("imod").read([folder], **told)
    assert not reading.failures, reading.failures[0].error
    (tomogram,) = reading.project.tomograms.values()
    said = "\n".join(str(w.message) for w in caught if issubclass(w.category, tomoset.LossyWarning))
    return tomogram, list(reading.notes), said


def bead_error(t: tomoset.Tomogram, seen: np.ndarray) -> float:
    points = t.triangulate(seen)
    missed = seen - t.project(points)
    return rms_length(missed[(missed == missed).all(axis=-1)])


@pytest.mark.parametrize(
    ("axis", "without", "with_factors", "with_both"),
    [("a", 0.3695, 0.3580, 0.348), ("b", 0.3662, 0.3435, 0.329)],
)
def test_beads_fit_better_with_z_factors_and_local_alignments(
    shared: Path, tmp_path: Path, axis: str, without: float, with_factors: float, with_both: float
) -> None:
    """Each sign is IMOD's: any other raises what remains of the beads."""
    seen = seen_beads(shared, axis)[0][1:]
    folder = bb_folder(shared, tmp_path, axis)
    plain, _, said = read_folder(folder, pixel_size=20.2)
    assert "ZFACTORFILE" in said
    assert "LOCALFILE" in said
    shutil.copy(shared / f"data/imod/BB/BB{axis}.zfac", folder)
    sheared, _, said = read_folder(folder, pixel_size=20.2)
    assert "ZFACTORFILE" not in said
    shutil.copy(shared / f"data/imod/BB/BB{axis}local.xf", folder)
    bent, notes, said = read_folder(folder, pixel_size=20.2)
    assert "what depends on depth is not carried" in said
    assert any("2 x 2 local alignments are carried as a spline" in note for note in notes)
    errors = [bead_error(t, seen) for t in (plain, sheared, bent)]
    assert errors[0] == pytest.approx(without, abs=5e-4)
    assert errors[1] == pytest.approx(with_factors, abs=5e-4)
    assert errors[2] <= with_both


def with_local(
    folder: Path, *, turned: bool = False, factors: bool = False, scale: float = 1.0
) -> tuple[Path, np.ndarray]:
    """A small folder with 3 x 2 local alignments of the images of TS, and its numbers."""
    rng = np.random.default_rng(3)
    lines = "ZFACTORFILE TS.zfac\n" if factors else ""
    make_folder(folder, tilt=TILT_COM + "LOCALFILE TSlocal.xf\n" + lines)
    (folder / "TS.zfac").write_text("".join(f"{0.01 * i:.6f} {-0.02:.6f}\n" for i in range(5)))
    parts = [f"3 2 {round(10 * scale)} {round(8 * scale)} {round(20 * scale)} {round(30 * scale)}"]
    parts[0] += f" {int(turned)} {2.0 / scale:.5f} {int(factors)}"
    for _ in range(6):
        parts.append(" ".join(f"{v:.2f}" for v in rng.normal(0, 0.5, 5)))
        if turned:
            parts.append(" ".join(f"{v:.2f}" for v in rng.normal(0, 0.5, 5)))
        if factors:
            parts.append(" ".join(f"{v:.6f}" for v in rng.normal(0, 0.01, 10)))
        for _ in range(5):
            a = np.eye(2) + rng.normal(0, 0.004, (2, 2))
            d = rng.normal(0, 0.5, 2) * scale
            parts.append(" ".join(f"{v:.7f}" for v in [*a.ravel(), *d]))
    (folder / "TSlocal.xf").write_text("\n".join(parts) + "\n")
    return folder, rng.uniform(1, (64, 48, 30), (40, 3))


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("factors", [False, True])
def test_points_go_where_tilt_takes_them(tmp_path: Path, *, turned: bool, factors: bool) -> None:
    """Anywhere in the volume, by tilt's source, computed apart from the code under test."""
    folder, points = with_local(tmp_path / "TS", turned=turned, factors=factors)
    with (folder / "tilt.com").open("a") as commands:
        commands.write("OFFSET 0.0 3.0\n")
    tilt, xf = Tilt(folder), read_xf(folder / "TS.xf")
    alignment = GlobalAlignment(
        xf=xf,
        tilts=tilt.angles,
        x_tilts=tilt.alpha,
        z_factors=tilt.factors if factors else None,
        volume=ImodVolume(aligned_size=(64, 48), thickness=30, slice_centre=15, axis_offset=3.0),
        raw_size=(64, 48),
    )
    field = Field(alignment, read_local(folder / "TSlocal.xf", 5))
    for view in range(5):
        expected = [tilt.raw(xf[view], (64, 48), tilt.aligned(view, *p)) for p in points]
        there = np.c_[points[:, 0] - 35.5, points[:, 2] - 15.5, points[:, 1] - 24.5, np.ones(40)]
        np.testing.assert_allclose(field.local(there)[view], expected, atol=1e-6)


def test_patches_of_images_that_are_aligned_already(tmp_path: Path) -> None:
    """Those without transforms, of another size than the volume: patches that change nothing."""
    folder, _ = with_local(tmp_path / "TS")
    local = read_local(folder / "TSlocal.xf", 5)
    none = replace(local, tilts=0 * local.tilts, xf=np.broadcast_to(np.eye(2, 3), local.xf.shape))
    alignment = GlobalAlignment(
        xf=None,
        tilts=np.arange(-40.0, 41, 20),
        x_tilts=np.full(5, 3.0),
        z_factors=None,
        volume=ImodVolume(aligned_size=(70, 51), thickness=30),
        raw_size=(64, 48),
    )
    whole = np.broadcast_to(alignment.projections(), (2, 3, 5, 4, 4))
    np.testing.assert_allclose(alignment.of_patches(none), whole, atol=1e-9)


def test_the_middle_of_the_tomogram_is_carried(tmp_path: Path) -> None:
    folder, points = with_local(tmp_path / "TS", turned=True, factors=True)
    tilt, xf = Tilt(folder), read_xf(folder / "TS.xf")
    t = read_folder(folder, exact_depth=True)[0]
    voxels = np.c_[points[:, :2] - 1, np.full(40, 14.5)]
    bent, straight = t.project(voxels), replace(t, deformation=None).project(voxels)
    off, was = [], []
    for view in range(5):
        expected = [
            tilt.raw(xf[view], (64, 48), tilt.aligned(view, *p, 15.5)) for p in points[:, :2]
        ]
        inside = ((straight[view] >= 0) & (straight[view] <= (63, 47))).all(axis=1)
        off.append((bent[view] - expected)[inside])
        was.append((straight[view] - expected)[inside])
    assert rms_length(np.concatenate(was)) > 0.3
    assert rms_length(np.concatenate(off)) < 0.05


@pytest.mark.parametrize("said", ["pixel size", "LOCALSCALE", "scale alone", "nothing"])
def test_local_alignments_of_binned_images(tmp_path: Path, said: str) -> None:
    """Of images binned by 2, each number of pixels is half."""
    plain, _ = with_local(tmp_path / "TS")
    whole = read_folder(plain)[0]
    folder, _ = with_local(tmp_path / "half/TS", scale=0.5)
    local, commands = folder / "TSlocal.xf", folder / "tilt.com"
    if said != "pixel size":  # then IMOD takes the pixels of the aligned stack, which are binned
        local.write_text(local.read_text().replace(" 4.00000 ", " 0.00000 "))
        lines = {"LOCALSCALE": "LOCALSCALE 1\nIMAGEBINNED 2\n", "scale alone": "LOCALSCALE 2\n"}
        more = lines.get(said, "IMAGEBINNED 2\n")
        commands.write_text(commands.read_text().replace("IMAGEBINNED 1\n", more))
    half = read_folder(folder)[0]
    assert whole.deformation is not None
    assert half.deformation is not None
    np.testing.assert_allclose(
        half.deformation.coefficients, whole.deformation.coefficients, atol=1e-4
    )


def test_views_that_are_left_out_leave_the_others_as_they_are(tmp_path: Path) -> None:
    folder, _ = with_local(tmp_path / "TS", factors=True)
    every = read_folder(folder)[0]
    (folder / "tilt.com").write_text((folder / "tilt.com").read_text() + "EXCLUDELIST 2\n")
    some = read_folder(folder)[0]
    assert every.projections is not None
    np.testing.assert_allclose(some.projections, every.projections[[0, 2, 3, 4]])  # type: ignore[arg-type]
    assert every.deformation is not None
    assert some.deformation is not None
    points = np.broadcast_to(np.array([[20.0, 30.0], [50.0, 9.0]]), (5, 2, 2))
    here = every.deformation.displacement(points, image_size=(64, 48))
    there = some.deformation.displacement(points[1:], image_size=(64, 48))
    np.testing.assert_allclose(there, here[[0, 2, 3, 4]], atol=0.05)


# Out


def bent(tmp_path: Path, kind: str, grid: tuple[int, int], amount: float) -> tomoset.Tomogram:
    """A series of 11 images of 480 x 464, each with a deformation of its own."""
    rng = np.random.default_rng(5)
    angle = np.deg2rad(85)
    xf = np.zeros((11, 2, 3))
    xf[:, :, :2] = [[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]
    xf[:, :, 2] = rng.normal(0, 5, (11, 2))
    volume = ImodVolume(aligned_size=(500, 450), thickness=150)
    write_images(tmp_path / "bent.mrc", np.zeros((11, 464, 480), np.int8), 2.0)
    basis = DeformationBasis(kind, grid, (480, 464))
    smooth = np.tile([1, 0.3, 0.3, 0.0], basis.count // 4) if kind == "spline" else 1.0
    return tomoset.Tomogram(
        name="bent",
        n_tilts=11,
        optics=tomoset.Optics(pixel_size=2.0),
        stack=str(tmp_path / "bent.mrc"),
        image_size=(480, 464),
        size=(500, 450, 150),
        projections=imod_projections(
            xf, np.linspace(-60, 60, 11), np.zeros(11), volume=volume, raw_size=(480, 464)
        ),
        depth_origin=np.array([249.0, 224, 74]),
        deformation=tomoset.Deformation(
            kind=kind,
            grid=grid,
            coefficients=amount * smooth * rng.normal(0, 1, (11, basis.count)) * basis.scale,
        ),
    )


@pytest.mark.parametrize(
    ("kind", "grid", "amount", "middle", "again"),
    [("linear", (3, 3), 2.0, 0.001, 0.002), ("spline", (3, 3), 1.0, 0.03, 0.03),
     ("spline", (4, 3), 0.5, 0.03, 0.03), ("Fourier", (2, 2), 1.0, 0.03, 0.03)],
)  # fmt: skip
def test_a_deformation_becomes_local_alignments_and_comes_back(
    tmp_path: Path, kind: str, grid: tuple[int, int], amount: float, middle: float, again: float
) -> None:
    t = bent(tmp_path, kind, grid, amount)
    format_named("relion4").write_set(tomoset.TomogramSet([t]), tmp_path / "set.star")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", tomoset.LossyWarning)
        done = tomoset.convert(tmp_path / "set.star", tmp_path / "out", to="imod", nearest=True)
    assert done.position < again
    folder = tmp_path / "out/bent"
    tilt, xf = Tilt(folder), read_xf(folder / "bent.xf")
    points = np.random.default_rng(0).uniform((1, 1), (500, 450), (60, 2))
    # RELION's frame lies 1.5 voxels off IMOD's: slice k is voxel thickness - k - 1.5
    voxels = np.c_[points - 1, np.full(60, 75.0)]
    seen, straight = t.project(voxels), replace(t, deformation=None).project(voxels)
    for view in range(11):
        found = [
            tilt.raw(xf[view], (480, 464), tilt.aligned(view, *p, 150 - 75 - 1.5 + 0.0))
            for p in points
        ]
        inside = ((straight[view] >= 0) & (straight[view] <= (479, 463))).all(axis=1)
        assert np.abs(seen[view] - found)[inside].max() < middle + 1e-3
        assert middle < 0.01 or np.abs(straight[view] - found)[inside].max() > 10 * middle


def converted(t: tomoset.Tomogram, folder: Path) -> Path:
    """The folder that a tomogram is written to for IMOD."""
    format_named("relion4").write_set(tomoset.TomogramSet([t]), folder / "set.star")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", tomoset.errors.TomosetWarning)
        tomoset.convert(folder / "set.star", folder / "out", to="imod", nearest=True)
    return folder / "out" / t.name


def whole(shared: Path, tmp_path: Path, axis: str, *names: str) -> Path:
    """A folder of BB without views left out."""
    folder = bb_folder(shared, tmp_path, axis)
    for name in names:
        shutil.copy(shared / "data/imod/BB" / name, folder)
    command = folder / f"tilt{axis}.com"
    command.write_text(command.read_text().replace("EXCLUDELIST 1\n", ""))
    return folder


@pytest.mark.parametrize("axis", ["a", "b"])
def test_written_files_reproduce_tiltaligns_residuals(
    shared: Path, tmp_path: Path, axis: str
) -> None:
    """Beads of BB through the files that we write, by tilt's source: what remains is in .resid."""
    data, folder = shared / "data/imod/BB", whole(shared, tmp_path, axis, f"BB{axis}.zfac")
    written = converted(read_folder(folder, pixel_size=20.2)[0], tmp_path)
    tilt, xf = Tilt(written), read_xf(written / f"BB{axis}.xf")
    seen, residuals = seen_beads(shared, axis)
    table = np.loadtxt(data / f"BB{axis}.resid", skiprows=1)
    back = np.linalg.solve(
        read_xf(data / f"BB{axis}.tltxf")[:, :, :2], read_xf(data / f"BB{axis}.xf")[:, :, :2]
    )
    corners = np.array([(1, 1, 1), (501, 1, 1), (1, 501, 1), (1, 1, 81)], dtype=float)
    at = np.array(
        [[tilt.raw(xf[i], (512, 512), tilt.aligned(i, *p)) for p in corners] for i in range(61)]
    )
    slopes = np.swapaxes((at[:, 1:] - at[:, :1]) / [[500], [500], [80]], 1, 2)
    found = np.full(seen.shape, np.nan)
    for bead in range(seen.shape[1]):
        here = np.isfinite(seen[:, bead, 0])
        A, b = slopes[here].reshape(-1, 3), (seen[here, bead] - at[here, 0]).ravel()
        off = A @ np.linalg.lstsq(A, b, rcond=None)[0] - b  # tiltalign's sign
        found[here, bead] = np.einsum("nij,nj->ni", back[here], off.reshape(-1, 2))
    view = table[:, 2].astype(int)
    bead = np.concatenate([[0], np.cumsum(np.diff(view) < 0)])
    apart = found[view, bead] - residuals
    assert rms_length(residuals) > 0.3
    assert rms_length(apart) < 0.012


def test_the_local_alignment_of_bb_goes_out_and_comes_back(shared: Path, tmp_path: Path) -> None:
    folder = whole(shared, tmp_path, "b", "BBb.zfac", "BBblocal.xf")
    t = read_folder(folder, pixel_size=20.2)[0]
    written = converted(t, tmp_path)
    again = read_folder(written, pixel_size=20.2, stack=str(folder / "BBb.st"))[0]
    seen = seen_beads(shared, "b")[0]
    assert bead_error(again, seen) == pytest.approx(bead_error(t, seen), abs=5e-4)


def test_views_that_show_nothing_are_left_out_of_what_is_compared(tmp_path: Path) -> None:
    seen = np.ones(11)
    seen[3] = 0
    t = replace(
        bent(tmp_path, "spline", (3, 3), 1.0),
        **{"ctf_scale": seen, "defocus_u": np.full(11, 2e4), "defocus_v": np.full(11, 1.9e4)},
        hand=-1,
    )
    folder = converted(t, tmp_path)
    assert "EXCLUDELIST2 4\n" in (folder / "tilt.com").read_text()
    assert "LOCALFILE bentlocal.xf\n" in (folder / "tilt.com").read_text()
    assert (folder / "bent.defocus").read_text().startswith("1\t0\t0.0\t0.0\t0.0\t3\n1\t1\t-60.00")
    again = read_folder(folder, stack=t.stack)[0]
    assert again.n_tilts == 10
    assert again.defocus_u is not None
    assert again.defocus_u.tolist() == [2e4] * 10


# Damaged files


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: "", "the file is empty"),
        (lambda s: s[:400], "expected 3 x 2 patches of 5 views, 240 numbers, found"),
        (lambda s: s + "1 2 3\n", "found 243 after the first line"),
        (lambda s: s.replace("3 2 10", "1 6 10", 1), r"TSlocal.xf:1: expected 6 to 9 numbers"),
        (lambda s: s.replace("3 2 10 8 20", "3 2 10 8 0", 1), r"TSlocal.xf:1: expected 6 to 9"),
        (lambda s: s.replace("3 2", "3.5 2", 1), r"TSlocal.xf:1: expected 6 to 9"),
        (lambda s: s.replace("3 2", "x 2", 1), r"TSlocal.xf:1: expected numbers, found 'x 2"),
        (lambda s: s.replace("\n1.0", "\nnan", 1), ":2: expected numbers, found 'nan"),
        (lambda s: s.replace(".", ",", 2), ":1: expected numbers"),
        (lambda s: "\0" + s, "this is a binary file"),
        (lambda s: flat(s), "patch 1 1 has a transform with determinant 0"),
        (lambda s: wild(s), "patch 1 1 has a tilt that changes by more than 180°, in view 2"),
    ],
)  # fmt: skip
def test_damaged_local_alignments_are_refused(
    tmp_path: Path, change: Callable[[str], str], message: str
) -> None:
    folder, _ = with_local(tmp_path / "TS", turned=True)
    path = folder / "TSlocal.xf"
    path.write_text(change(path.read_text()))
    with pytest.raises(tomoset.FileFormatError, match=message) as refused:
        read_local(path, 5)
    assert "TSlocal.xf" in str(refused.value)


def flat(text: str) -> str:
    lines = text.split("\n")
    lines[4] = "1 2 2 4 0 0"
    return "\n".join(lines)


def wild(text: str) -> str:
    lines = text.split("\n")
    lines[1] = "0 400 0 0 0"
    return "\n".join(lines)


@pytest.mark.parametrize("end", ["\r\n", "\r"])
def test_line_ends_and_breaks_of_local_alignments_do_no_harm(tmp_path: Path, end: str) -> None:
    folder, _ = with_local(tmp_path / "TS", turned=True, factors=True)
    path = folder / "TSlocal.xf"
    plain = read_local(path, 5)
    head, _, rest = path.read_text().partition("\n")
    path.write_bytes((head + end + rest.replace(" ", end) + end * 3).encode())
    other = read_local(path, 5)
    for field in ("tilts", "x_tilts", "z_factors", "xf"):
        np.testing.assert_array_equal(getattr(plain, field), getattr(other, field))


@pytest.mark.parametrize(
    ("text", "message"),
    [("0 0\n" * 4, "expected a line for each of the 5 images"), ("0 0 0\n" * 5, "2 numbers, found 3"),
     ("0 x\n" * 5, "expected a number, found 'x'"), ("", "the file is empty"),
     ("99 0\n" * 5, "expected Z factors within ±10, found 99 0 for view 1")],
)  # fmt: skip
def test_damaged_z_factors_are_refused(tmp_path: Path, text: str, message: str) -> None:
    folder, _ = with_local(tmp_path / "TS", factors=True)
    (folder / "TS.zfac").write_text(text)
    reading = format_named("imod").read([folder], pixel_size=2.0, fractional_dose=3.0)
    (failure,) = reading.failures
    assert message in str(failure.error)
    assert "TS.zfac" in str(failure.error)


def test_tilts_of_a_right_angle_do_no_harm(tmp_path: Path) -> None:
    folder, _ = with_local(tmp_path / "TS", turned=True, factors=True)
    (folder / "TS_order.csv").unlink()
    (folder / "TS.tlt").write_text("-90\n-45\n0\n45\n90\n")
    t = read_folder(folder)[0]
    assert t.deformation is not None
    assert np.abs(t.deformation.coefficients).max() < 20


def test_pixels_that_are_of_no_binning_are_said(tmp_path: Path) -> None:
    folder, _ = with_local(tmp_path / "TS")
    path = folder / "TSlocal.xf"
    path.write_text(path.read_text().replace(" 2.00000 ", " 3.10000 ", 1))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        format_named("imod").read([folder], pixel_size=2.0, fractional_dose=3.0)
    assert any("its pixels are of 3.1 Å, no multiple" in str(w.message) for w in caught)


@pytest.mark.parametrize("count", [300, pytest.param(5000, marks=pytest.mark.slow)])
def test_mutated_files_never_surprise(count: int, tmp_path: Path) -> None:
    """An error of ours that names the file, or a tomogram with all its images."""
    chance = random.Random(count)
    folder, _ = with_local(tmp_path / "TS", turned=True, factors=True)
    files = {path: path.read_bytes() for path in (folder / "TSlocal.xf", folder / "TS.zfac")}
    good, said = 0, list[str]()
    for _ in range(count):
        for file, whole in files.items():
            file.write_bytes(whole)
        file, whole = chance.choice(list(files.items()))
        file.write_bytes(mutated(chance, whole))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            warnings.simplefilter("ignore", tomoset.errors.TomosetWarning)
            reading = format_named("imod").read([folder], pixel_size=2.0, fractional_dose=3.0)
        said += [str(failure.error) for failure in reading.failures]
        for t in reading.project.tomograms.values():
            good += 1
            assert t.n_tilts == 5
            assert t.deformation is not None
            assert np.isfinite(t.deformation.coefficients).all()
    assert 0.02 < good / count < 0.9
    assert all("TS" in message for message in said)


def test_what_was_imported_without_some_views_goes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The new stack lies where an import of the written folder would put one."""
    monkeypatch.chdir(tmp_path)
    folder, _ = with_local(tmp_path / "TS")
    (folder / "tilt.com").write_text((folder / "tilt.com").read_text() + "EXCLUDELIST 2\n")
    assert main(["import", "imod", "TS", "-o", "set.star", "--angpix", "2", "--fd", "3"]) == 0
    capsys.readouterr()
    assert main(["convert", "set.star", "back", "--to", "imod", "--nearest"]) == 0
    assert "verified" in "".join(capsys.readouterr())
    assert (tmp_path / "back/TS/TSlocal.xf").is_file()
    # the second view was the third that was taken
    assert (tmp_path / "back/TS/TS_order.csv").read_text() == (
        "1,0.0\n2,20.0\n3,180.0\n4,40.0\n5,-40.0\n"
    )
    t = tomoset.read("set.star")["TS"]
    uneven = replace(t, pre_exposure=np.array([0.0, 3.0, 7.0, 9.0]))
    (loss,) = format_named("imod").losses(Project(tomograms=tomoset.TomogramSet([uneven]))).values()
    assert loss.fields == ("pre_exposure",)
    assert "has doses that are not the place of an image in time" in " ".join(loss.texts)
