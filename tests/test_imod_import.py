"""Import from IMOD: what it takes beyond RELION, and what it refuses.

See docs/differences.md, 'Import from IMOD'.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import tomoset
from tests.builders.command import Run
from tests.builders.imod_folder import NEWST_COM, ORDER, TILT_COM, ctffind, make_folder, transforms
from tests.builders.imported_folder import COMMON, import_table, imported


def same(a: tomoset.Tomogram, b: tomoset.Tomogram) -> None:
    np.testing.assert_allclose(a.projections, b.projections, atol=2e-8)  # type: ignore[arg-type]


# What every writer of text files may do


@pytest.mark.parametrize("kind", ["tilt", "newst", "xf", "tlt", "ctf", "order"])
@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda s: s.replace("\n", "\r\n"), id="CRLF"),
        pytest.param(lambda s: s + "\n\n  \n", id="blank lines at the end"),
        pytest.param(lambda s: s.rstrip("\n"), id="no final newline"),
        pytest.param(lambda s: "\n".join(x.replace(" ", "\t") for x in s.split("\n")), id="tabs"),
        pytest.param(lambda s: s.replace("\n", "\n\n"), id="blank lines between"),
        pytest.param(lambda s: "\ufeff" + s, id="byte order mark"),
    ],
)
def test_line_ends_and_blanks_do_no_harm(
    run: Run, tmp_path: Path, kind: str, change: Callable[[str], str]
) -> None:
    make_folder(tmp_path / "TS")
    plain = imported(run)
    (path,) = [
        p for p in (tmp_path / "TS").iterdir()
        if p.name in (f"{kind}.com", f"TS.{kind}", f"TS_{kind}.txt", f"TS_{kind}.csv")
    ]  # fmt: skip
    path.write_bytes(change(path.read_text()).encode())
    other = imported(run)
    same(plain, other)
    for field in ("defocus_u", "defocus_angle", "pre_exposure"):
        np.testing.assert_array_equal(getattr(plain, field), getattr(other, field))


# Command files


@pytest.mark.parametrize(
    ("lines", "excluded"),
    [
        ("EXCLUDELIST 2-3", [1, 2]),
        ("EXCLUDELIST 2, 3", [1, 2]),
        ("EXCLUDELIST 2 3", [1, 2]),
        ("EXCLUDELIST2 2,3,", [1, 2]),
        ("EXCLUDELIST 3-2", [1, 2]),
        ("EXCLUDE 2\nEXCLUDELIST 3\nEXCLUDELIST2 5", [1, 2, 4]),
        ("excludelist 2\nExcludeList2 3", [1, 2]),
        ("EXCLUDELIST", []),
        ("EXCLUDELIST /", []),
        ("INCLUDE 1,4-5", [1, 2]),
        ("EXCLUDELIST 1-2 # the first two", [0, 1]),
        ("#EXCLUDELIST 1", []),
    ],
)
def test_exclusion_lists_leave_views_out(
    run: Run, tmp_path: Path, lines: str, excluded: list[int]
) -> None:
    make_folder(tmp_path / "TS", tilt=TILT_COM + lines + "\n")
    t = imported(run)
    kept = [i for i in range(5) if i not in excluded]
    assert t.n_tilts == len(kept)
    whole = imported(run, "--no-cull")
    assert (whole.image_index is None) == (not excluded)
    if excluded:
        assert whole.image_index is not None
        assert whole.image_index.tolist() == kept
        assert whole.stack == "TS/TS.st:mrc"
        assert t.stack == "culled/TS.mrc"
    assert t.defocus_u is not None
    assert t.defocus_u.tolist() == [20000 + i for i in kept]


@pytest.mark.parametrize("kind", ["xf", "tlt", "ctf"])
def test_tables_of_the_kept_views_only(run: Run, tmp_path: Path, kind: str) -> None:
    """Decided from the number of lines, and said."""
    make_folder(tmp_path / "TS", tilt=TILT_COM + "EXCLUDELIST 2\n")
    full = imported(run)
    path = tmp_path / "TS" / ("TS_ctf.txt" if kind == "ctf" else f"TS.{kind}")
    lines = path.read_text().splitlines()
    del lines[1 + 2 * (kind == "ctf")]
    path.write_text("\n".join(lines) + "\n")
    code, _, errors = run("TS", *COMMON)
    assert code == 0
    assert "taken for the kept ones" in errors
    (other,) = tomoset.read("out.star").values()
    same(full, other)
    np.testing.assert_array_equal(full.defocus_u, other.defocus_u)  # type: ignore[arg-type]
    np.testing.assert_array_equal(full.pre_exposure, other.pre_exposure)  # type: ignore[arg-type]


def test_an_old_positional_command_file(run: Run, tmp_path: Path) -> None:
    make_folder(tmp_path / "TS")
    plain = imported(run)
    old = TILT_COM.replace("InputProjections TS.ali\n", "TS.ali\nTS.rec\n")
    newst = "$newstack\n1\nTS.st\n/\n1\nTS.ali\n/\n0\n1\nTS.xf\n/\n"
    make_folder(tmp_path / "TS", tilt=old.replace(" -StandardInput", ""), newst=newst)
    same(plain, imported(run))


def test_keys_in_any_case_and_shortened(run: Run, tmp_path: Path) -> None:
    make_folder(tmp_path / "TS")
    plain = imported(run)
    odd = TILT_COM.replace("THICKNESS 30", "Thickn = 30").replace(
        "FULLIMAGE 64 48", "fullimage 64,48"
    )
    make_folder(tmp_path / "TS", tilt=odd)
    same(plain, imported(run))


def test_shift_with_commas_or_blanks(run: Run, tmp_path: Path) -> None:
    make_folder(tmp_path / "TS", tilt=TILT_COM.replace("SHIFT 0.0 0.0", "SHIFT 2.5 -4"))
    blanks = imported(run)
    make_folder(tmp_path / "TS", tilt=TILT_COM.replace("SHIFT 0.0 0.0", "SHIFT 2.5,-4"))
    same(blanks, imported(run))
    # Voxels move by the shift: x right, depth against z of the turned volume.
    make_folder(tmp_path / "TS")
    plain = imported(run)
    np.testing.assert_allclose(
        blanks.project([[12.5, 20, 11]]), plain.project([[10, 20, 15 - 8]]), atol=1e-6
    )


def test_offset_of_angles_and_axis(run: Run, tmp_path: Path) -> None:
    make_folder(tmp_path / "TS", tilts=[t + 2.5 for t in (-40, -20, 0, 20, 40)])
    expected = imported(run)
    make_folder(tmp_path / "TS", tilt=TILT_COM + "OFFSET 2.5\n")
    same(expected, imported(run))
    # The axis 3 px right: the voxel there is imaged 3 px right of where the middle was.
    make_folder(tmp_path / "TS", newst=NEWST_COM)
    plain = imported(run)
    make_folder(tmp_path / "TS", tilt=TILT_COM + "OFFSET 0 3\n")
    moved = imported(run)
    on_axis = np.array([[31.5, 20.0, 13.0]])
    turn = np.array([[0.0871557, 0.9961947], [-0.9961947, 0.0871557]])
    expected_shift = np.linalg.solve(turn, [3.0, 0.0])
    np.testing.assert_allclose(
        moved.project(on_axis + [3, 0, 0]) - plain.project(on_axis),
        np.broadcast_to(expected_shift, (5, 1, 2)),
        atol=1e-5,
    )


def test_x_axis_tilt_and_its_file_are_added_up(run: Run, tmp_path: Path) -> None:
    make_folder(tmp_path / "TS", tilt=TILT_COM.replace("XAXISTILT 0.0", "XAXISTILT 3"))
    by_option = imported(run)
    make_folder(tmp_path / "TS", tilt=TILT_COM + "XTILTFILE TS.xtilt\n", xtilt="-3.0\n" * 5)
    same(by_option, imported(run))
    both = TILT_COM.replace("XAXISTILT 0.0", "XAXISTILT 3") + "XTILTFILE TS.xtilt\n"
    make_folder(tmp_path / "TS", tilt=both, xtilt="3.0\n" * 5)
    flat = imported(run)
    make_folder(tmp_path / "TS")
    same(flat, imported(run))


def test_options_before_the_name_of_a_program_count_and_either_hand_is_taken(
    run: Run, tmp_path: Path
) -> None:
    make_folder(tmp_path / "TS")
    plain = imported(run)
    bare = TILT_COM.replace("$tilt -StandardInput\n", "").replace("THICKNESS 30", "THICKNESS 36")
    make_folder(tmp_path / "TS", tilt=bare)
    deeper = imported(run, "--hand", "1")
    assert (plain.size, plain.hand) == ((64, 48, 30), -1)
    assert (deeper.size, deeper.hand) == ((64, 48, 36), 1)


def test_subset_and_turned_sizes(run: Run, tmp_path: Path) -> None:
    make_folder(tmp_path / "TS")
    plain = imported(run)
    wide = NEWST_COM.replace("64,48", "72,56")
    make_folder(tmp_path / "TS", tilt=TILT_COM + "SUBSETSTART -4 -4\n", newst=wide)
    subset = imported(run)
    assert subset.size == (72, 56, 30)
    unsaid = NEWST_COM.replace("SizeToOutputInXandY\t64,48\n", "")
    make_folder(tmp_path / "uneven", tilt=TILT_COM + "SUBSETSTART -4 3\n", newst=unsaid)
    code, _, errors = run("uneven", *COMMON, "--overwrite")
    assert code == 0, errors
    assert tomoset.read("out.star")["uneven"].size == (72, 42, 30)
    points = np.array([[10.0, 20.0, 5.0]])
    np.testing.assert_allclose(subset.project(points + [4, 4, 0]), plain.project(points), atol=1e-6)
    make_folder(tmp_path / "TS", newst=NEWST_COM.replace("64,48", "48,64"))
    code, _, errors = run("TS", *COMMON, "--overwrite")
    assert code == 0
    assert "other way round" in errors
    assert tomoset.read("out.star")["TS"].size == (48, 64, 30)


def test_binning_that_does_not_divide(run: Run, tmp_path: Path) -> None:
    make_folder(tmp_path / "TS")
    plain = imported(run)
    binned = NEWST_COM.replace("64,48", "21,16").replace("BinByFactor\t1", "BinByFactor\t3")
    make_folder(
        tmp_path / "TS", newst=binned, tilt=TILT_COM.replace("IMAGEBINNED 1", "IMAGEBINNED 3")
    )
    same(plain, imported(run))


def test_exact_depth_is_one_and_a_half_voxels_from_relions_frame(run: Run, tmp_path: Path) -> None:
    make_folder(tmp_path / "TS")
    relion, exact = imported(run), imported(run, "--exact-depth")
    # With --flipYZ --flipZ RELION's frame is 1.5 voxels off (docs/conventions.md, 'IMOD').
    points = np.array([[10.0, 20.0, 5.0]])
    np.testing.assert_allclose(
        exact.project(points), relion.project(points - [0, 0, 1.5]), atol=1e-6
    )


@pytest.mark.parametrize("option", ["LOCALFILE x.xf", "ZFACTORFILE x.zf", "WIDTH 40", "SLICE 1 5"])
def test_what_is_not_carried_is_named(run: Run, tmp_path: Path, option: str) -> None:
    make_folder(tmp_path / "TS", tilt=TILT_COM + option + "\n")
    code, _, errors = run("TS", *COMMON)
    assert code == 0
    assert f"{option} is not carried over" in errors
    code, _, errors = run("TS", *COMMON, "--strict")
    assert code == 1
    assert "--strict" in errors


# Doses


def test_a_series_that_was_levelled(run: Run, tmp_path: Path) -> None:
    make_folder(tmp_path / "TS")
    plain = imported(run)
    assert plain.pre_exposure is not None
    assert plain.pre_exposure.tolist() == [12, 6, 0, 3, 9]
    make_folder(tmp_path / "TS", tilts=[t + 14.3 for t in (-40, -20, 0, 20, 40)])
    assert imported(run).pre_exposure.tolist() == [12, 6, 0, 3, 9]  # type: ignore[union-attr]


def test_headers_and_comments_of_an_order_list(run: Run, tmp_path: Path) -> None:
    lines = [f"{i + 1}\t{a}" for i, a in enumerate(ORDER)]
    make_folder(tmp_path / "TS", order="index,angle\n# first\n" + "\n\n".join(lines))
    assert imported(run).pre_exposure.tolist() == [12, 6, 0, 3, 9]  # type: ignore[union-attr]


def test_two_images_at_one_angle(run: Run, tmp_path: Path) -> None:
    tilts = [-40.0, -20.0, 0.0, 0.0, 20.0, 40.0]
    order = "1,0\n2,20\n3,-20\n4,40\n5,-40\n6,0\n"
    make_folder(tmp_path / "TS", tilts=tilts, order=order)
    assert imported(run).pre_exposure.tolist() == [12, 6, 0, 15, 3, 9]  # type: ignore[union-attr]


def test_missing_tilts_and_an_offset_are_told_apart_by_rawtlt(run: Run, tmp_path: Path) -> None:
    tilts = [-20.0, 0.0, 20.0, 40.0]
    make_folder(
        tmp_path / "TS", tilts=[t - 19 for t in tilts],
        rawtlt="".join(f"{t}\n" for t in tilts),
    )  # fmt: skip
    assert imported(run).pre_exposure.tolist() == [6, 0, 3, 9]  # type: ignore[union-attr]


# Defocus


def test_phase_shifts_are_kept_in_degrees(run: Run, tmp_path: Path) -> None:
    make_folder(tmp_path / "TS", ctf=ctffind(5, phase=1.5707963268))
    t = imported(run)
    assert t.phase_shift is not None
    np.testing.assert_allclose(t.phase_shift, 90, atol=1e-6)


def test_without_ctf_and_order(run: Run, tmp_path: Path) -> None:
    make_folder(tmp_path / "TS", ctf=None, order=None)
    code, out, _ = run("TS", "--angpix", "2")
    assert code == 0
    assert "no columns of defocus: TS" in out
    assert "no column of dose: TS" in out
    t = tomoset.read("out.star")["TS"]
    assert t.defocus_u is None
    assert t.pre_exposure is None


# Choices


def test_two_files_that_would_do_are_a_question(run: Run, tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "TS")
    shutil.copy(folder / "TS_order.csv", folder / "other_order.csv")
    code, _, errors = run("TS", *COMMON)
    assert code == 1
    assert "TS_order.csv" in errors
    assert "--order" in errors
    assert imported(run, "--order", "TS_*.csv").pre_exposure is not None
    (folder / "TS.defocus").write_text("1\t1\t0\t0\t2000\t2\n")
    code, _, errors = run("TS", *COMMON, "--order", "TS_*.csv")
    assert code == 1
    assert "--ctf" in errors
    (folder / "newst.com").unlink()
    (folder / "tilt.com").rename(folder / "tilta.com")
    (folder / "tiltb.com").write_text(TILT_COM.replace("THICKNESS 30", "THICKNESS 40"))
    code, _, errors = run("TS", *COMMON, "--order", "TS_*.csv", "--ctf", "*.txt")
    assert code == 1
    assert "--tc" in errors


def test_pixel_size_from_the_header(run: Run, tmp_path: Path) -> None:
    make_folder(tmp_path / "TS")
    code, _, errors = run("TS", "--fd", "3")
    assert code == 0
    assert "pixel size taken from the stacks" in errors
    assert tomoset.read("out.star")["TS"].optics.pixel_size == pytest.approx(2.0)


# What is refused: nothing is written, and the old output stays


def remove(kind: str) -> Callable[[Path], None]:
    return lambda folder: (folder / kind).unlink()


def write(name: str, text: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_text(text) and None


MISTAKES = {
    "tilt with too many lines": (write("TS.tlt", "1.0\n" * 9), "expected a line for each of the 5 images"),
    "tilt with too few lines": (write("TS.tlt", "1.0\n-1\n2\n"), "found 3"),
    "tilt that is all zero": (write("TS.tlt", "0.0\n" * 5), "all tilt angles are 0"),
    "tilt with a comma": (write("TS.tlt", "1,5\n2\n3\n4\n5\n"), "TS.tlt:1: expected a number, found '1,5'; decimals"),
    "tilt with five columns": (write("TS.tlt", "1 2 3 4 5\n" * 5), "TS.tlt:1: expected one number, found 5"),
    "tilt out of range": (write("TS.tlt", "1\n2\n1567301525373690.00\n4\n5\n"), "within ±180"),
    "tilt that is not a number": (write("TS.tlt", "1\n2\nnan\n4\n5\n"), "TS.tlt:3"),
    "no tilt file": (remove("TS.tlt"), "TS.tlt is not there"),
    "no transforms": (remove("TS.xf"), "TS.xf is not there"),
    "empty transforms": (write("TS.xf", ""), "the file is empty"),
    "short line of transforms": (write("TS.xf", transforms(4) + "1 0 0 1 2\n"), "TS.xf:5: expected 6 numbers, found 5"),
    "flat transform": (write("TS.xf", transforms(4) + "0 0 0 0 1 2\n"), "determinant 0"),
    "transforms of another series": (write("TS.xf", transforms(8)), "found 8"),
    "no stack": (remove("TS.st"), "no raw stack"),
    "stack is no image": (write("TS.st", "hello"), "expected images in MRC or TIFF, found a text"),
    "no thickness": (write("tilt.com", TILT_COM.replace("THICKNESS 30\n", "")), "--thick"),
    "thickness 0": (write("tilt.com", TILT_COM.replace("THICKNESS 30", "THICKNESS 0")), "at least 1"),
    "thickness is text": (write("tilt.com", TILT_COM.replace("THICKNESS 30", "THICKNESS abc")), "tilt.com:6: THICKNESS takes 1 number, found 'abc'"),
    "view 0": (write("tilt.com", TILT_COM + "EXCLUDELIST 0\n"), "tilt.com:11: EXCLUDELIST names view 0"),
    "view that is not there": (write("tilt.com", TILT_COM + "EXCLUDELIST 4-6\n"), "names view 6, but views are numbered 1 to 5"),
    "bad list": (write("tilt.com", TILT_COM + "EXCLUDELIST 1;2\n"), "expected views as in"),
    "all excluded": (write("tilt.com", TILT_COM + "EXCLUDELIST 1-5\n"), "all 5 views are excluded"),
    "list and its contrary": (write("tilt.com", TILT_COM + "EXCLUDELIST 1\nINCLUDE 2\n"), "cannot both"),
    "subset without full size": (write("tilt.com", TILT_COM.replace("FULLIMAGE 64 48\n", "") + "SUBSETSTART 1 1\n"), "needs a FULLIMAGE"),
    "x tilts of another series": (write("tilt.com", TILT_COM + "XTILTFILE no.xtilt\n"), "XTILTFILE no.xtilt is not there"),
    "binary command file": (lambda f: (f / "tilt.com").write_bytes(b"\0\1\2"), "binary"),
    "order of another series": (write("TS_order.csv", "1,0\n2,3\n3,-3\n4,6\n5,-6\n"), "another series"),
    "order too short": (write("TS_order.csv", "1,0\n2,20\n"), "2 lines for 5 tilt images"),
    "order that is no list": (write("TS_order.csv", "1,0\n2\n"), "TS_order.csv:2"),
    "empty order": (write("TS_order.csv", "index,angle\n"), "no line of a number and an angle"),
    "defocus of another series": (write("TS_ctf.txt", ctffind(4)), "found 4 lines"),
    "defocus with a short line": (write("TS_ctf.txt", ctffind(4) + "5 20000\n"), "TS_ctf.txt:7"),
    "defocus that is not a number": (write("TS_ctf.txt", ctffind(4) + "5 nan 1 1 0 0 0\n"), "TS_ctf.txt:7"),
    "empty defocus": (write("TS_ctf.txt", "# nothing\n"), "empty"),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_in_a_folder_are_refused_and_the_old_output_stays(
    run: Run, tmp_path: Path, mistake: str
) -> None:
    spoil, says = MISTAKES[mistake]
    folder = make_folder(tmp_path / "TS")
    spoil(folder)
    (tmp_path / "out.star").write_text("the old output")
    code, _, errors = run("TS", *COMMON)
    assert code == 1
    assert says in errors
    assert "Traceback" not in errors
    assert (tmp_path / "out.star").read_text() == "the old output"
    assert not (tmp_path / "culled").exists()


def test_dose_needs_a_fraction(run: Run, tmp_path: Path) -> None:
    make_folder(tmp_path / "TS")
    code, _, errors = run("TS", "--angpix", "2")
    assert code == 1
    assert "--fd" in errors


def test_a_stack_cut_short_is_not_culled(run: Run, tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "TS", tilt=TILT_COM + "EXCLUDELIST 2\n")
    raw = (folder / "TS.st").read_bytes()
    (folder / "TS.st").write_bytes(raw[:-100])
    code, _, errors = run("TS", *COMMON)
    assert code == 1
    assert "cut short" in errors
    assert not (tmp_path / "culled/TS.mrc").exists()


def test_one_bad_series_does_not_stop_the_rest(run: Run, tmp_path: Path) -> None:
    for name in ("A", "B", "C"):
        make_folder(tmp_path / name)
    (tmp_path / "B/TS.tlt").unlink()
    code, out, errors = run("A", "B", "C", "missing", *COMMON)
    assert code == 1
    assert list(tomoset.read("out.star")) == ["A", "C"]
    assert "error: B:" in errors
    assert "missing: there is no such folder" in errors
    assert "2 of 4 series failed" in errors
    assert "out.star: 2 tomograms, 10 tilt images" in out


# The import table


def test_root_goes_before_every_path(run: Run, tmp_path: Path) -> None:
    make_folder(tmp_path / "deep/TS", tilt=TILT_COM + "EXCLUDELIST 2\n")
    labels = "TomoName TomoTiltSeriesName TomoImportImodDir TomoImportCtfFindFile TomoImportOrderList TomoImportCulledFile"
    import_table(tmp_path, "x TS/TS.st:mrc TS TS/TS_ctf.txt TS/TS_order.csv cut/x.mrc", labels)
    code, _, errors = run("--i", "in.star", "--root", "deep", *COMMON)
    assert code == 0, errors
    t = tomoset.read("out.star")["x"]
    assert t.stack == "deep/cut/x.mrc"
    assert Path("deep/cut/x.mrc").exists()
    assert t.pre_exposure is not None


def test_order_list_beside_root_is_found_and_said(run: Run, tmp_path: Path) -> None:
    make_folder(tmp_path / "deep/TS")
    shutil.move(tmp_path / "deep/TS/TS_order.csv", tmp_path / "order.csv")
    import_table(tmp_path, "x TS/TS.st:mrc TS TS/TS_ctf.txt order.csv")
    code, _, errors = run("--i", "in.star", "--root", "deep", *COMMON)
    assert code == 0
    assert "order.csv is not under --root deep" in errors


@pytest.mark.parametrize(
    ("row", "labels", "says"),
    [
        ("TS/TS.st TS", "TomoTiltSeriesName Foo", "rlnTomoImportImodDir"),
        ("TS TS", "Foo TomoImportImodDir", "rlnTomoTiltSeriesName"),
        ("TS/no.st TS", "TomoTiltSeriesName TomoImportImodDir", "no.st: there is no such image stack"),
        ("TS/TS.st no", "TomoTiltSeriesName TomoImportImodDir", "no/tilt.com"),
        ("TS/TS.st TS a b", "TomoTiltSeriesName TomoImportImodDir TomoImportCtfFindFile TomoImportCtfPlotterFile", "keep one"),
        ("TS/TS.st TS x", "TomoTiltSeriesName TomoImportImodDir TomoImportFractionalDose", "expected a number, found 'x'"),
        ("TS/TS.st TS 0 TS/TS_order.csv", "TomoTiltSeriesName TomoImportImodDir TomoImportFractionalDose TomoImportOrderList", "above 0"),
        ("a TS/TS.st TS\na TS/TS.st TS", "TomoName TomoTiltSeriesName TomoImportImodDir", "called 'a'"),
    ],
)  # fmt: skip
def test_damaged_import_tables_are_refused(
    run: Run, tmp_path: Path, row: str, labels: str, says: str
) -> None:
    make_folder(tmp_path / "TS")
    import_table(tmp_path, row, labels)
    (tmp_path / "out.star").write_text("the old output")
    code, _, errors = run("--i", "in.star", "--flipYZ", *COMMON)
    assert code == 1
    assert says in errors
    assert (tmp_path / "out.star").read_text() == "the old output"


def test_excluded_views_need_a_place_for_the_stack(run: Run, tmp_path: Path) -> None:
    make_folder(tmp_path / "TS", tilt=TILT_COM + "EXCLUDELIST 2\n")
    import_table(tmp_path, "x TS/TS.st TS TS/TS_ctf.txt TS/TS_order.csv")
    code, _, errors = run("--i", "in.star", *COMMON)
    assert code == 1
    assert "rlnTomoImportCulledFile" in errors
    assert run("--i", "in.star", "--no-cull", *COMMON)[0] == 0


def test_new_series_are_appended_to_a_set(run: Run, tmp_path: Path) -> None:
    make_folder(tmp_path / "A")
    make_folder(tmp_path / "B")
    assert run("A", *COMMON)[0] == 0
    shutil.move("out.star", "before.star")
    code, out, _ = run("B", "--t", "before.star", *COMMON)
    assert code == 0
    assert "added to 1" in out
    assert list(tomoset.read("out.star")) == ["A", "B"]
    code, _, errors = run("A", "--t", "before.star", *COMMON)
    assert code == 1
    assert "'A'" in errors


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "one of the two"),
        (("TS", "--i", "in.star"), "one of the two"),
        (("TS", "--hand", "0"), "--hand"),
        (("TS", "--hand", "2"), "--hand"),
        (("TS", "--angpix", "-1"), "--angpix must be above 0"),
        (("TS", "--fd", "0"), "--fd must be above 0"),
        (("TS", "--no-flip", "--flipZ"), "contradicts"),
        (("--i", "in.star", "--stack", "x"), "for folders"),
        (("TS", "--wrong"), "No such option"),
    ],
)
def test_wrong_options_are_refused(
    run: Run, tmp_path: Path, arguments: tuple[str, ...], says: str
) -> None:
    make_folder(tmp_path / "TS")
    code, _, errors = run(*arguments)
    assert code == 2
    assert says in errors
    assert not (tmp_path / "out.star").exists()


def test_json_lists_what_was_imported_and_what_failed(run: Run, tmp_path: Path) -> None:
    import json

    make_folder(tmp_path / "TS")
    code, out, _ = run("TS", "no", *COMMON, "--json")
    assert code == 1
    summary = json.loads(out)
    assert summary["imported"][0] == {"name": "TS", "tilt_images": 5, "stack": "TS/TS.st:mrc"}
    assert summary["failed"][0]["name"] == "no"


def test_without_fullimage_the_size_is_that_of_the_aligned_images(run: Run, tmp_path: Path) -> None:
    unsaid = NEWST_COM.replace("BinByFactor\t1\n", "")
    binned = NEWST_COM.replace("64,48", "32,24").replace("BinByFactor\t1", "BinByFactor\t2")
    for full in ("", "FULLIMAGE 0 0\n"):
        for newst in (unsaid, binned):
            tilt = TILT_COM.replace("FULLIMAGE 64 48\n", full)
            make_folder(tmp_path / "TS", tilt=tilt, newst=newst)
            assert imported(run).size == (64, 48, 30)


def test_the_size_of_newstack_in_place_of_fullimage(run: Run, tmp_path: Path) -> None:
    make_folder(tmp_path / "TS")
    assert "not the size of" not in run("TS", *COMMON)[2]
    make_folder(tmp_path / "TS", newst=NEWST_COM.replace("64,48", "60,40"))
    _, _, said = run("TS", *COMMON, "--overwrite")
    assert "FULLIMAGE 64 48 is not the size of the aligned images, 60 x 40" in said
    assert tomoset.read("out.star")["TS"].size == (64, 48, 30)
    assert imported(run, "--ali_size").size == (60, 40, 30)
    make_folder(tmp_path / "TS", newst=NEWST_COM.replace("SizeToOutputInXandY\t64,48\n", ""))
    code, _, errors = run("TS", *COMMON, "--overwrite", "--ali_size")
    assert code == 1
    assert "newst.com: --ali_size asks for SizeToOutputInXandY, which is not there" in errors
