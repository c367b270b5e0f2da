"""RELION 4's tomograms.star: nothing is lost, and what is wrong is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import tomoset
from tests.builders.image_stacks import write_stack
from tests.builders.relion_texts import GLOBAL, ROWS, TILTS, tilt_table, tomograms_text
from tests.builders.shared_files import SHARED
from tomoset import Deformation, star


def read(tmp_path: Path, text: str) -> tomoset.TomogramSet:
    (tmp_path / "in.star").write_text(text)
    return tomoset.read(tmp_path / "in.star")


def texts(path: Path) -> list[object]:
    return [(t.name, t.comments, dict(t.columns), t.is_loop) for t in star.read(path).tables]


REAL = [p for p in (
    *sorted((SHARED / "golden").rglob("*_tomograms.star")),
    SHARED / "data/relion4/matching_tomograms.star",
) if p.is_file()]  # fmt: skip


@pytest.mark.skipif(not REAL, reason="the folder ../shared is not there")
@pytest.mark.parametrize("path", REAL, ids=lambda p: f"{p.parent.name}/{p.name}")
def test_untouched_sets_keep_every_text(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(path.parent)  # where its paths start
    tomoset.read(path).write(tmp_path / "out.star")
    before = [(t.name, dict(t.columns), t.comments) for t in star.read(path).tables]
    after = [(t.name, dict(t.columns), t.comments) for t in star.read(tmp_path / "out.star").tables]
    assert after == before


def test_unknown_columns_and_comments_survive(tmp_path: Path) -> None:
    s = read(
        tmp_path,
        tomograms_text(tables=tilt_table("nan") + tilt_table("other") + tilt_table("TS_01")),
    )
    assert list(s) == ["TS_01", "nan"]
    s.write(tmp_path / "out.star")
    assert texts(tmp_path / "out.star") == texts(tmp_path / "in.star")


def test_only_what_changed_is_written_anew(tmp_path: Path) -> None:
    s = read(tmp_path, tomograms_text())
    t = s["TS_01"]
    assert t.defocus_u is not None
    assert t.projections is not None
    moved = t.projections.copy()
    moved[1, 0, 3] += 0.25
    changed = replace(
        t, defocus_u=t.defocus_u + [0, 1.25], projections=moved,
        optics=replace(t.optics, pixel_size=1.36),
    )  # fmt: skip
    s.with_tomograms([changed, s["nan"]]).write(tmp_path / "out.star")
    out = star.read(tmp_path / "out.star")
    assert list(out["TS_01"]["rlnDefocusU"]) == ["20000.000000", "20101.75"]
    assert out["TS_01"]["rlnTomoProjX"][0] == "[1,0,0,3.5]"
    assert out["TS_01"]["rlnTomoProjX"][1] == "[1,0,0,0.251]"
    assert out["TS_01"]["rlnTomoProjY"][0] == "[0,1,0,-2]"
    assert list(out["global"]["rlnTomoTiltSeriesPixelSize"]) == ["1.36", "1.35"]
    assert list(out["global"]["rlnVoltage"]) == ["300.000000", "300"]
    assert texts(tmp_path / "out.star")[2] == texts(tmp_path / "in.star")[2]


def test_voxels_count_from_one_in_the_file_and_from_zero_here(tmp_path: Path) -> None:
    """Voxels are counted from 0 here, from 1 in the file: its identity moves a point by one."""
    t = read(tmp_path, tomograms_text())["TS_01"]
    np.testing.assert_allclose(t.project([[0, 0, 0]])[0, 0], [4.5, -1])
    assert t.depth_origin is not None
    assert t.depth_origin.tolist() == [31, 23, 14]
    assert t.defocus([[31, 23, 14]])[0, 0].tolist() == [20000, 19000]
    assert t.defocus([[31, 23, 24]])[0, 0, 0] == pytest.approx(20000 - 13.5)


def test_legacy_names_of_tables_are_read(tmp_path: Path) -> None:
    with pytest.warns(tomoset.AssumptionWarning, match="legacy"):
        s = read(tmp_path, tomograms_text(tables=tilt_table("tomo_0") + tilt_table("tomo_1")))
    s.write(tmp_path / "out.star")
    assert list(star.read(tmp_path / "out.star").names) == ["global", "TS_01", "nan"]


def test_a_global_table_may_be_a_list(tmp_path: Path) -> None:
    labels = [line.split()[0] for line in GLOBAL.splitlines() if line.startswith("_")]
    values = ROWS[0].split()
    text = "data_global\n\n" + "".join(f"{a} {b}\n" for a, b in zip(labels, values, strict=True))
    s = read(tmp_path, text + tilt_table("TS_01"))
    assert list(s) == ["TS_01"]
    s.write(tmp_path / "out.star")
    assert texts(tmp_path / "out.star") == texts(tmp_path / "in.star")


def test_removing_and_adding_tomograms(tmp_path: Path) -> None:
    s = read(tmp_path, tomograms_text())
    fewer = s.with_tomograms([s["nan"]])
    fewer.write(tmp_path / "fewer.star")
    again = tomoset.read(tmp_path / "fewer.star")
    assert list(again) == ["nan"]
    assert [t.name for t in star.read(tmp_path / "fewer.star").tables] == ["global", "nan"]
    more = s.with_tomograms([*s.values(), replace(s["TS_01"], name="new")])
    more.write(tmp_path / "more.star")
    assert list(tomoset.read(tmp_path / "more.star")) == ["TS_01", "nan", "new"]


def test_selected_tilt_images_keep_their_unknown_columns(tmp_path: Path) -> None:
    s = read(tmp_path, tomograms_text())
    with pytest.warns(tomoset.LossyWarning, match="takes row i for image i"):
        s.with_tomograms([s["TS_01"].select([1])]).write(tmp_path / "out.star")
    out = star.read(tmp_path / "out.star")["TS_01"]
    assert list(out["rlnMine"]) == ["q"]
    assert list(out["rlnTomoProjX"]) == ["[1,0,0,1e-3]"]
    assert list(out["rlnMicrographName"]) == ["000002@a.mrc:mrcs"]
    index = tomoset.read(tmp_path / "out.star")["TS_01"].image_index
    assert index is not None
    assert index.tolist() == [1]


def test_deformations_come_back(tmp_path: Path) -> None:
    s = read(tmp_path, tomograms_text())
    bent = Deformation(kind="linear", grid=(3, 3), coefficients=[[0.1, 0, 0], [0, 0.2, 0]])
    s.with_tomograms([replace(s["TS_01"], deformation=bent), s["nan"]]).write(tmp_path / "o.star")
    again = tomoset.read(tmp_path / "o.star")
    found = again["TS_01"].deformation
    assert found is not None
    np.testing.assert_array_equal(found.coefficients, bent.coefficients)
    # RELION wants a deformation of every tomogram as soon as one has one: none is one of zeros.
    assert (
        list(star.read(tmp_path / "o.star")["global"]["rlnTomoDeformationType"]) == ["linear"] * 2
    )
    zero = again["nan"].deformation
    assert zero is not None
    assert not zero.coefficients.any()


@pytest.mark.parametrize(
    ("rows", "tables", "says"),
    [
        ([ROWS[0], ROWS[0]], None, r"in.star:\d+: .*2 tomograms are called 'TS_01'"),
        ([ROWS[0].replace(" 2 64", " 3 64")], None, r"3 tilt images are announced.*has 2 rows"),
        ([ROWS[0].replace("-1.00000", "0")], None, r"expected \+1 or -1, found 0"),
        ([ROWS[0].replace("-1.00000", "-1.5")], None, r"expected \+1 or -1"),
        ([ROWS[0].replace("1.350000", "0")], None, "above 0"),
        ([ROWS[0].replace("1.350000", "abc")], None, r"rlnTomoTiltSeriesPixelSize.*'abc'|'abc'"),
        ([ROWS[0]], tilt_table("TS_1"), "expected data_TS_01, found data_TS_1"),
        ([ROWS[0]], tilt_table("ts_01"), "expected data_TS_01"),
        ([ROWS[0]], tilt_table("TS_01") + tilt_table("TS_01"), "2 tables are called data_TS_01"),
        ([ROWS[0]], tilt_table("TS_01", [TILTS[0], TILTS[1].replace("[0,0,1,0]", "[0,0,1]")]), r"in.star:\d+"),
        ([ROWS[0]], tilt_table("TS_01", [TILTS[0], TILTS[1].replace("[0,0,1,0]", "[0,0,x,0]")]), r"in.star:\d+"),
        ([ROWS[0]], tilt_table("TS_01", [TILTS[0], TILTS[1].replace("19100", "1_9")]), r"in.star:\d+.*'1_9'"),
        ([ROWS[0]], tilt_table("TS_01", [TILTS[0], TILTS[1].replace("[0,0,0,1]", "[0,0,0,2]")]), "fourth row"),
    ],
)  # fmt: skip
def test_damaged_sets_are_refused(
    tmp_path: Path, rows: list[str], tables: str | None, says: str
) -> None:
    with pytest.raises(tomoset.FileFormatError, match=says):
        read(tmp_path, tomograms_text(rows, tables))


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    text = tomograms_text().replace("_rlnTomoHand #7", "_rlnTomoMoon #7")
    with pytest.raises(tomoset.errors.MissingFieldError, match="rlnTomoHand"):
        read(tmp_path, text)


def test_the_stack_must_agree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_stack(tmp_path / "a.mrc", 2)
    assert read(tmp_path, tomograms_text())["TS_01"].image_size == (64, 48)
    write_stack(tmp_path / "a.mrc", 3)
    with pytest.raises(tomoset.FileFormatError, match=r"2 tilt images, but the stack .* 3 images"):
        read(tmp_path, tomograms_text())


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("data_particles\nloop_\n_rlnTomoName\n_rlnCoordinateX\na 1\n", "a particle set"),
        ("data_\nloop_\n_rlnTomoName\n_rlnTomoImportImodDir\na b\n", "import table"),
        ("data_micrographs\nloop_\n_rlnMicrographName\na\n", "micrographs"),
        ("data_TS_01\nloop_\n_rlnTomoProjX\n_rlnDefocusU\n[1,0,0,0] 1\n", "without the table"),
        ("data_\n_rlnTomoTomogramsFile tomograms.star\n", "optimisation set"),
        ("data_x\nloop_\n_foo\n1\n", "rlnTomoName"),
    ],
)
def test_another_star_file_is_named(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(tomoset.errors.UnknownFormatError, match=says):
        read(tmp_path, text)


def test_an_image_file_is_named(tmp_path: Path) -> None:
    write_stack(tmp_path / "in.star", 3)
    with pytest.raises(tomoset.FileFormatError, match="MRC"):
        tomoset.read(tmp_path / "in.star")


def test_a_size_of_which_one_number_is_missing_keeps_the_others(tmp_path: Path) -> None:
    text = tomograms_text()
    file = star.loads(text)
    table = file["global"]
    changed = table.with_columns({"rlnTomoSizeZ": ["", *table["rlnTomoSizeZ"][1:]]})
    tables = tuple(changed if t is table else t for t in file.tables)
    star.write(replace(file, tables=tables), tmp_path / "in.star")
    s = tomoset.read(tmp_path / "in.star")
    assert s["TS_01"].size is None
    s.write(tmp_path / "out.star")
    assert texts(tmp_path / "out.star") == texts(tmp_path / "in.star")
