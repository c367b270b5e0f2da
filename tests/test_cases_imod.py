"""What belongs to a series in an IMOD folder: by what files name, not by what they are called."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest

import tomoset
from tests.builders.command import Run
from tests.builders.image_stacks import write_images, write_stack
from tests.builders.imod_folder import NEWST_COM, ORDER, TILT_COM, ctffind, make_folder, transforms
from tests.builders.imported_folder import COMMON, import_table, imported
from tomoset.formats import format_named


def two_axes(folder: Path, **texts: str) -> Path:
    """A folder of the axes DDa and DDb, whose tilts, shifts and depths differ."""
    make_folder(folder, tilt=None, newst=None, xf=None, tlt=None, ctf=None, order=None)
    (folder / "TS.st").unlink()
    for axis, depth, first in (("a", 30, -40), ("b", 36, -38)):
        name = f"DD{axis}"
        tilt = TILT_COM.replace("TS", name).replace("THICKNESS 30", f"THICKNESS {depth}")
        files = {
            f"tilt{axis}.com": tilt,
            f"newst{axis}.com": NEWST_COM.replace("TS", name),
            f"{name}.tlt": "".join(f"{first + 20 * i:8.2f}\n" for i in range(5)),
            f"{name}.xf": transforms(5, 85.0 if axis == "a" else 3.0),
            f"{name}_ctf.txt": ctffind(5).replace("20000", f"2{depth}00"),
            f"{name}_order.csv": "".join(f"{i + 1},{first + 20 * i}\n" for i in range(5)),
        }
        for file, text in files.items():
            (folder / file).write_text(text)
        write_stack(folder / f"{name}.st", 5)
    for file, text in texts.items():
        (folder / f"{file}.com").write_text(text)
    return folder


def is_axis_b(t: tomoset.Tomogram) -> bool:
    assert t.size is not None
    assert t.defocus_u is not None
    tilts = np.sort(t.tilt_angles)
    return t.size[2] == 36 and t.defocus_u[0] == 23600 and round(tilts[0]) == -38


# Command files, tables and lists of another series


@pytest.mark.parametrize("texts", [{}, {"tilt": TILT_COM.replace("TS", "DDa")},
    {"tilt": TILT_COM.replace("TS", "DDa"), "newst": NEWST_COM.replace("TS", "DDa")}])  # fmt: skip
def test_a_stack_gets_the_files_that_name_it(
    run: Run, tmp_path: Path, texts: dict[str, str]
) -> None:
    two_axes(tmp_path / "TS", **texts)
    assert is_axis_b(imported(run, "--stack", "DDb.st"))
    assert not is_axis_b(imported(run, "--stack", "DDa.st", "--tc", "tilta.com"))


def test_a_command_file_of_another_series_is_a_question(run: Run, tmp_path: Path) -> None:
    folder = two_axes(tmp_path / "TS", tilt=TILT_COM.replace("TS", "DDa"))
    (folder / "tiltb.com").unlink()
    code, _, errors = run("TS", *COMMON, "--stack", "DDb.st")
    assert code == 1
    assert "no tilt command file is of DDb: tilt.com names DDa.ali" in errors
    assert "--tc" in errors
    code, _, errors = run("TS", *COMMON, "--stack", "DDb.st", "--tc", "tilt.com")
    assert code == 0
    assert "names DDa.ali, which is not of DDb; taken as --tc says" in errors


def test_one_foreign_name_is_enough(run: Run, tmp_path: Path) -> None:
    mixed = TILT_COM.replace("TS.ali", "DDb.ali").replace("TS.tlt", "DDa.tlt")
    folder = two_axes(tmp_path / "TS", tiltb=mixed)
    code, _, errors = run("TS", *COMMON, "--stack", "DDb.st")
    assert code == 1
    assert "tiltb.com names DDa.tlt" in errors
    (folder / "tiltb.com").rename(folder / "tilt_of_b.txt")
    (folder / "tilt_second.com").write_text(TILT_COM.replace("TS", "DDb"))
    assert imported(run, "--stack", "DDb.st").size == (64, 48, 30)


def test_two_that_say_different_things_are_a_question(run: Run, tmp_path: Path) -> None:
    two_axes(tmp_path / "TS", tilt=TILT_COM.replace("TS", "DDb"))
    code, _, errors = run("TS", *COMMON, "--stack", "DDb.st")
    assert code == 1
    assert "tilt.com and tiltb.com could each be the tilt command file; say which by --tc" in errors


@pytest.mark.parametrize("kept", ["a", "b"])
def test_companions_of_the_axis_that_is_not_there(run: Run, tmp_path: Path, kept: str) -> None:
    """Of the other axis all is there but its stack."""
    folder = two_axes(tmp_path / "TS", tilt=TILT_COM.replace("TS", "DDa"))
    (folder / "tilta.com").unlink()
    (folder / f"DD{'ab'.replace(kept, '')}.st").unlink()
    (folder / f"newst{'ab'.replace(kept, '')}.com").unlink()
    assert is_axis_b(imported(run)) == (kept == "b")


def test_a_table_of_the_other_axis_is_not_taken(run: Run, tmp_path: Path) -> None:
    folder = two_axes(tmp_path / "TS")
    (folder / "DDb_ctf.txt").unlink()
    (folder / "DDb_order.csv").unlink()
    (folder / "DDb.xf").rename(folder / "gone")
    code, _, errors = run("TS", *COMMON, "--stack", "DDb.st")
    assert code == 1
    assert "DDb.xf is not there, and DDa.xf is of another series" in errors
    (folder / "gone").rename(folder / "DDb.xf")
    t = imported(run, "--stack", "DDb.st")
    assert t.defocus_u is None
    assert t.pre_exposure is None


def test_both_axes_make_two_tomograms(run: Run, tmp_path: Path) -> None:
    folder = two_axes(tmp_path / "TS")
    for told in ((), ("--stack", "DD?.st")):
        code, _, errors = run("TS", *COMMON, *told, "--overwrite")
        assert code == 0, errors
        both = tomoset.read("out.star")
        assert list(both) == ["TS_DDa", "TS_DDb"]
        assert [is_axis_b(t) for t in both.values()] == [False, True]
    shutil.copy(folder / "DDb.st", folder / "DDc.st")
    (folder / "newstc.com").write_text(NEWST_COM.replace("TS", "DDc"))
    shutil.copy(folder / "newstc.com", folder / "newst.com")
    code, _, errors = run("TS", *COMMON, "--overwrite")
    assert code == 1
    assert "DDa.st and DDb.st and DDc.st could each be the stack" in errors
    for name in ("DDc.st", "newstc.com", "newst.com"):
        (folder / name).unlink()
    assert run("TS", *COMMON, "--stack", "DDa.st", "--overwrite")[0] == 0
    shutil.move("out.star", "a.star")
    assert run("TS", *COMMON, "--stack", "DDb.st", "--t", "a.star")[0] == 0
    assert list(tomoset.read("out.star")) == ["TS_DDa", "TS_DDb"]


def test_an_import_table_gets_what_names_its_stack(run: Run, tmp_path: Path) -> None:
    two_axes(tmp_path / "TS", tilt=TILT_COM.replace("TS", "DDa"))
    labels = "TomoName TomoTiltSeriesName TomoImportImodDir TomoImportCtfFindFile"
    import_table(tmp_path, "x TS/DDb.st:mrc TS TS/DDb_ctf.txt", labels)
    code, _, errors = run("--i", "in.star", "--flipYZ", "--flipZ", *COMMON)
    assert code == 0, errors
    assert is_axis_b(tomoset.read("out.star")["x"])


@pytest.mark.parametrize("stack", ["TS_dose.mrc", "other.mrc"])
def test_a_stack_that_was_renamed_or_filtered_is_the_same_series(
    run: Run, tmp_path: Path, stack: str
) -> None:
    folder = make_folder(tmp_path / "TS")
    plain = imported(run)
    shutil.copy(folder / "TS.st", folder / stack)
    if stack == "other.mrc":
        (folder / "TS.st").unlink()
    other = imported(run, "--stack", stack)
    np.testing.assert_allclose(plain.projections, other.projections)  # type: ignore[arg-type]
    assert other.name == "TS"


def test_the_axes_of_imods_tutorial(run: Run, tmp_path: Path, shared: Path) -> None:
    shutil.copytree(shared / "data/imod/BB", tmp_path / "BB")
    for axis in "ab":
        write_images(tmp_path / f"BB/BB{axis}.st", np.zeros((61, 512, 512), np.int8), 10.0)
    for axis, depth in (("a", 84), ("b", 78)):
        code, _, errors = run(
            "BB", "--fd", "3", "--stack", f"BB{axis}.st", "--no-cull", "--overwrite"
        )
        assert code == 0, errors
        t = tomoset.read("out.star")[f"BB{axis}"]
        assert t.size == (550, 550, depth)
        known = np.loadtxt(tmp_path / f"BB/BB{axis}.tlt")[1:]
        np.testing.assert_allclose(np.abs(t.tilt_angles), np.abs(known), atol=0.3)


# Angles and axes without command files


def bare(folder: Path, stack: str, angles: str = "TS.rawtlt") -> Path:
    """A folder with a stack and a list of angles."""
    make_folder(folder, tilt=None, newst=None, xf=None, tlt=None, ctf=None, order=None)
    (folder / "TS.st").rename(folder / stack)
    (folder / angles).write_text("-40\n-20\n0\n20\n40\n")
    return folder


def test_an_aligned_stack_and_nominal_angles_are_enough(run: Run, tmp_path: Path) -> None:
    folder = bare(tmp_path / "TS", "TS.ali")
    code, _, errors = run("TS", "--angpix", "2", "--thick", "30")
    assert code == 0
    assert "TS.ali is an aligned stack by its name" in errors
    assert "TS.rawtlt: no *.tlt there; the nominal angles are taken" in errors
    t = tomoset.read("out.star")["TS"]
    np.testing.assert_allclose(t.tilt_angles, [-40, -20, 0, 20, 40], atol=1e-4)
    np.testing.assert_allclose(t.tilt_axis_angles, 0, atol=1e-6)
    (folder / "TS.rawtlt").rename(folder / "angles.txt")
    code, _, errors = run("TS", "--angpix", "2", "--thick", "30")
    assert code == 1
    assert "--tlt" in errors
    again = imported(run, "--thick", "30", "--tlt", "angles.txt")
    np.testing.assert_allclose(again.projections, t.projections)  # type: ignore[arg-type]


@pytest.mark.parametrize("stack", ["TS.ali", "TS.st"])
@pytest.mark.parametrize("axis", [-12.5, 85.0, 90.0])
def test_the_axis_of_images_without_transforms_is_given(
    run: Run, tmp_path: Path, axis: float, stack: str
) -> None:
    bare(tmp_path / "TS", stack)
    t = imported(run, "--thick", "30", "--axis", str(axis))
    np.testing.assert_allclose(t.tilt_axis_angles, axis, atol=1e-5)
    assert t.size == ((48, 64, 30) if axis > 45 else (64, 48, 30))
    middle = (np.array(t.need_size()) - 1) / 2
    at = t.project([middle])[:, 0]
    # RELION's frame is 1.5 voxels off in depth, which tilts turn into the image.
    np.testing.assert_allclose(at - (31.5, 23.5), 0, atol=1.5)
    np.testing.assert_allclose(at[2], (31.5, 23.5), atol=1e-6)


def test_an_axis_beside_transforms_is_refused(run: Run, tmp_path: Path) -> None:
    make_folder(tmp_path / "TS")
    code, _, errors = run("TS", *COMMON, "--axis", "85")
    assert code == 1
    assert "leave --axis out" in errors
    (tmp_path / "TS/TS.xf").unlink()
    code, _, errors = run("TS", *COMMON)
    assert code == 1
    assert "say by --axis" in errors


def test_a_second_column_of_angles_is_said(run: Run, tmp_path: Path) -> None:
    make_folder(tmp_path / "TS")
    plain = imported(run)
    text = (tmp_path / "TS/TS.tlt").read_text()
    doses = "".join(f"{line} {3 * i}\n" for i, line in enumerate(text.splitlines()))
    (tmp_path / "TS/TS.tlt").write_text(doses)
    code, _, errors = run("TS", *COMMON)
    assert code == 0
    assert "TS.tlt: 2 columns; the first is taken for the tilt angles" in errors
    again = tomoset.read("out.star")["TS"]
    np.testing.assert_array_equal(plain.projections, again.projections)  # type: ignore[arg-type]


@pytest.mark.parametrize("quoted", ['"1","{}"\n', "'1';'{}'\n", '"1"\t"{}"\n'])
def test_quoted_order_lists_are_read(run: Run, tmp_path: Path, quoted: str) -> None:
    lines = "".join(quoted.format(a).replace("1", str(i), 1) for i, a in enumerate(ORDER, 1))
    make_folder(tmp_path / "TS", order='"ImageNumber", "TiltAngle"\n' + lines)
    assert imported(run).pre_exposure.tolist() == [12, 6, 0, 3, 9]  # type: ignore[union-attr]


def test_the_needle_of_etspy(run: Run, tmp_path: Path, shared: Path) -> None:
    shutil.copytree(shared / "data/images/etspy", tmp_path / "etspy")
    code, _, errors = run("etspy", "--angpix", "10", "--thick", "100", "--axis", "90")
    assert code == 0, errors
    t = tomoset.read("out.star")["etspy"]
    assert t.n_tilts == 77
    np.testing.assert_allclose(t.tilt_axis_angles, 90, atol=1e-4)


# What other programs leave in such folders


def test_a_folder_of_aretomo(run: Run, tmp_path: Path, shared: Path) -> None:
    """Its azimuth is that of the second defocus, its LOCALFILE the global transforms."""
    shutil.copytree(shared / "cases/aretomo3_imod_ctf/TS_01_Imod", tmp_path / "TS")
    code, _, errors = run("TS", "--angpix", "10", "--fd", "3")
    assert code == 0
    assert "as AreTomo writes it" in errors
    assert "LOCALFILE" not in errors
    t = tomoset.read("out.star")["TS"]
    assert t.defocus_u is not None
    assert t.defocus_angle is not None
    assert (t.defocus_u[0], t.defocus_angle[0]) == pytest.approx((32909.1, 26.96))


def test_defocus_by_view_where_ctfplotter_inverted_the_angles(
    run: Run, tmp_path: Path, shared: Path
) -> None:
    shutil.copytree(shared / "cases/defocus_v2_inverted_angles/TS_01", tmp_path / "TS")
    code, _, errors = run("TS", "--angpix", "10", "--fd", "3")
    assert code == 0
    assert "opposite sign" in errors
    t = tomoset.read("out.star")["TS"]
    assert t.defocus_u is not None
    assert t.defocus_u[[0, 10]].tolist() == [32680, 32940]


def test_global_transforms_named_as_local_ones_lose_nothing(run: Run, tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "TS", tilt=TILT_COM + "LOCALFILE TSlocal.xf\n")
    (folder / "TSlocal.xf").write_text(transforms(5))
    code, _, errors = run("TS", *COMMON)
    assert code == 0
    assert "LOCALFILE" not in errors


def test_smaller_defoci_in_front_come_back_as_the_same_ctf(run: Run, tmp_path: Path) -> None:
    make_folder(tmp_path / "TS")
    t = imported(run)
    assert t.defocus_u is not None
    odd = dataclasses.replace(t, defocus_u=t.defocus_v, defocus_v=t.defocus_u)
    tomoset.TomogramSet([odd]).write(tmp_path / "odd.star", "relion4")
    tomoset.open_project("odd.star").write(tmp_path / "imod", "imod")
    code, _, errors = run("imod/TS", *COMMON, "--overwrite")
    assert code == 0, errors
    again = tomoset.read("out.star")["TS"]
    np.testing.assert_allclose(again.defocus_u, t.defocus_u)  # type: ignore[arg-type]
    np.testing.assert_allclose(again.defocus_angle, 120)  # type: ignore[arg-type]


# Several at once


def test_a_folder_of_folders_gives_a_series_of_each(run: Run, tmp_path: Path) -> None:
    for name in ("B", "A"):
        make_folder(tmp_path / "data" / name)
    (tmp_path / "data/other").mkdir()
    (tmp_path / "data/notes.txt").write_text("of another kind\n")
    code, out, _ = run("data", *COMMON)
    assert code == 0
    assert list(tomoset.read("out.star")) == ["A", "B"]
    assert "B: stack TS.st" in out


def test_every_folder_and_row_that_fails_is_named(run: Run, tmp_path: Path) -> None:
    make_folder(tmp_path / "data/A")
    make_folder(tmp_path / "data/B")
    (tmp_path / "data/B/TS.tlt").unlink()
    (tmp_path / "empty").mkdir()
    code, _, errors = run("empty", "no", "data/A", "data/B", *COMMON)
    assert code == 1
    assert "empty: no raw stack" in errors
    assert "no: there is no such folder" in errors
    assert "TS.tlt or" not in errors
    assert "TS.tlt is not there" in errors
    assert list(tomoset.read("out.star")) == ["A"]
    labels = "TomoName TomoTiltSeriesName TomoImportImodDir TomoImportFractionalDose"
    rows = "x data/A/TS.st:mrc data/A abc\ny data/A/TS.st:mrc data/A 3\nz data/B/TS.st:mrc data/B 3"
    import_table(tmp_path, rows, labels)
    code, _, errors = run("--i", "in.star", "--flipYZ", "--flipZ", "--angpix", "2", "--overwrite")
    assert code == 1
    assert "error: x: " in errors
    assert "error: z: " in errors
    assert list(tomoset.read("out.star")) == ["y"]


def test_files_of_imod_need_the_hand_of_depth_as_imod_counts_it(run: Run, tmp_path: Path) -> None:
    make_folder(tmp_path / "TS")
    t = imported(run)
    assert t.projections is not None
    other = dataclasses.replace(t, projections=t.projections * [[1.0], [1.0], [-1.0], [1.0]])
    for series, hand in ((t, t.hand), (other, -t.hand)):
        project = tomoset.Project(tomograms=tomoset.TomogramSet([series]))
        assert format_named("imod").told(project)["hand"] == hand


def test_the_aligned_stack_that_is_not_there_is_named(run: Run, tmp_path: Path) -> None:
    make_folder(tmp_path / "TS")
    code, _, errors = run("TS", *COMMON, "--ali")
    assert code == 1
    assert "the aligned stack TS.ali is not there" in errors
