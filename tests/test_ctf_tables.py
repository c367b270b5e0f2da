"""Tables of defocus of any program, in any import; and written."""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tomoset
from tests.builders.imod_folder import ctffind, make_folder
from tests.builders.mutations import mutated
from tomoset.formats import format_named
from tomoset.formats._ctf_tables import (
    agree,
    defocus_of,
    kind_of,
    read_defocus,
    read_defocus_of,
)
from tomoset.formats._ctffind import DefocusTable, ctffind_text, read_ctffind
from tomoset.formats._ctfplotter import ctfplotter_text, read_imod
from tomoset.formats._gctf import read_gctf_log

#: As Gctf 1.06 writes it: U is along the angle, and may be the smaller one.
GCTF = """
data_

loop_
_rlnMicrographName #1
_rlnCtfImage #2
_rlnDefocusU #3
_rlnDefocusV #4
_rlnDefocusAngle #5
_rlnVoltage #6
_rlnSphericalAberration #7
_rlnAmplitudeContrast #8
_rlnMagnification #9
_rlnDetectorPixelSize #10
_rlnCtfFigureOfMerit #11
_rlnFinalResolution #12
"""
LOG = """
 ***************************************************
  Gctf v1.06: a program for real time CTF determination
 ***************************************************
   Defocus_U   Defocus_V       Angle         CCC
    22000.00    21000.00       10.00    0.100000
    18861.34    19810.57       40.06    0.150301  Final Values

   RES_LIMIT 3.9
"""
PHASE_LOG = LOG.replace("       40.06    0.15", "       40.06       88.50    0.15")


def gctf(n: int, names: Callable[[int], str] = lambda i: f"TS_{i:03d}.mrc") -> str:
    return GCTF + "".join(
        f"{names(i)} x.ctf:mrc {20000 + i}.5 {21000 + i}.25 -40.06 300.0 2.7 0.1 10000 14.0 0.15 3.9\n"
        for i in range(1, n + 1)
    )


def read(path: Path, n: int = 5, **more: Any) -> tuple[DefocusTable, str]:
    """The table, and what was assumed."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        table = read_defocus(str(path), n, **more)
    return table, "\n".join(str(w.message) for w in caught)


def numbers(table: DefocusTable) -> tuple[list[float], list[float], list[float]]:
    return table.u.tolist(), table.v.tolist(), table.angle.tolist()


def test_each_program_is_known_by_its_numbers(tmp_path: Path) -> None:
    path = tmp_path / "table"
    for text, kind in (
        (ctffind(5), "ctffind"),
        (gctf(5), "star"),
        (LOG, "gctf"),
        ("# a comment\n" + LOG.lstrip(), "gctf"),
        ("1 0 0. 0. 0 3\n1 1 -40 -40 2000 1900 30\n", "imod"),
        ("1 1 -40 -40 2000 2\n2 2 -20 -20 2000\n", "imod"),
    ):
        path.write_text(text)
        assert kind_of(path) == kind, text[:60]


def test_gctf_may_have_the_smaller_defocus_first(tmp_path: Path) -> None:
    path = tmp_path / "micrographs_all_gctf.star"
    path.write_text(gctf(5))
    table, said = read(path)
    assert table.u.tolist() == [20001.5, 20002.5, 20003.5, 20004.5, 20005.5]
    assert table.v.tolist() == [21001.25, 21002.25, 21003.25, 21004.25, 21005.25]
    assert set(table.angle) == {-40.06}
    assert table.phase_shift is None
    assert "row i is taken for image i" in said
    assert read(path, kept=[0, 3])[0].u.tolist() == [20001.5, 20004.5]


def test_images_of_a_stack_are_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    path = tmp_path / "table.star"
    path.write_text(
        gctf(5, lambda i: f"{6 - i:06d}@TS_01.mrc").replace("_rlnVoltage", "_rlnPhaseShift")
    )
    table, said = read(path)
    assert table.u.tolist() == [20005.5, 20004.5, 20003.5, 20002.5, 20001.5]
    assert table.phase_shift is not None
    assert table.phase_shift.tolist() == [300.0] * 5
    assert not said


@pytest.mark.parametrize(
    "name", [lambda i: f"{i}x@s.mrc", lambda i: f"{6 - i}@s{i}.mrc", lambda i: f"{i // 2}@s.mrc"]
)
def test_names_that_say_no_order_are_in_that_of_the_table(
    tmp_path: Path, name: Callable[[int], str]
) -> None:
    path = tmp_path / "table.star"
    path.write_text(gctf(5, name))
    table, said = read(path)
    assert table.u.tolist() == [20001.5, 20002.5, 20003.5, 20004.5, 20005.5]
    assert "row i is taken for image i" in said


def test_rows_with_nominal_tilts_go_to_the_images_of_these(tmp_path: Path) -> None:
    """A tilt series of RELION 5 is in the order of acquisition, and a stack often in that of tilts."""
    rows = [(0, 21), (3, 22), (-3, 23), (-6, 24), (6, 25)]
    head = "data_TS\n\nloop_\n_rlnTomoNominalStageTiltAngle\n_rlnDefocusU\n_rlnDefocusV\n"
    path = tmp_path / "TS.star"
    lines = [f"{tilt + 0.1} {u}000 {u}000 10\n" for tilt, u in rows]
    path.write_text(head + "_rlnDefocusAngle\n" + "".join(lines))
    tilts = np.array([-6.0, -3, 0, 3, 6]) + 11  # as after levelling
    table, said = read(path, tilts=tilts)
    assert (table.u / 1000).tolist() == [24, 23, 21, 22, 25]
    assert not said
    table, said = read(path, tilts=tilts * 2)
    assert (table.u / 1000).tolist() == [21, 22, 23, 24, 25]
    assert "row i is taken for image i" in said


def test_ctf_jobs_of_relion_are_read(tmp_path: Path) -> None:
    """With optics groups in front, as relion_run_ctffind writes micrographs_ctf.star."""
    path = tmp_path / "micrographs_ctf.star"
    optics = "data_optics\n\nloop_\n_rlnOpticsGroupName #1\n_rlnVoltage #2\nopticsGroup1 300\n"
    path.write_text("# version 30001\n\n" + optics + gctf(5).replace("data_", "data_micrographs"))
    assert read(path)[0].u[0] == 20001.5


@pytest.mark.parametrize("text", [LOG, PHASE_LOG])
def test_logs_of_gctf(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x_gctf.log"
    path.write_text(text)
    table = read_gctf_log(path)
    assert numbers(table) == ([18861.34], [19810.57], [40.06])
    assert (table.phase_shift is None) == (text == LOG)
    assert table.phase_shift is None or table.phase_shift.tolist() == [88.5]
    assert numbers(read(path, 1)[0]) == numbers(table)


def test_ctffind_5_has_three_columns_more(tmp_path: Path) -> None:
    path = tmp_path / "x.txt"
    head = (
        "# Columns: #1 - micrograph number; #2 - defocus 1 [Angstroms]; #3 - defocus 2; #4 - azimuth "
        "of astigmatism; #5 - additional phase shift [radians]; #6 - cross correlation; #7 - spacing "
        "(in Angstroms) up to which CTF rings were fit successfully; #8 - Estimated tilt axis angle; "
        "#9 - Estimated tilt angle ; #10 Estimated sample thickness (in Angstroms)\n"
    )
    path.write_text(
        head + "".join(f"{i}.0 21000 20000 45 1.5 0.1 9 85 40 1500\n" for i in range(1, 6))
    )
    table, said = read(path)
    assert numbers(table) == ([21000.0] * 5, [20000.0] * 5, [45.0] * 5)
    assert table.phase_shift is not None
    np.testing.assert_allclose(table.phase_shift, np.rad2deg(1.5))
    assert not said


def test_real_tables_of_ctfplotter_and_aretomo(shared: Path) -> None:
    """One that has a line for three views, and all of data/ctf."""
    ranges = shared / "data/oracles/tomotools_ctfplotter/lamella07A_ts_001_ctfplotter.txt"
    rows = np.loadtxt(ranges, skiprows=1)
    table, _ = read(ranges, int(rows[:, 1].max()))
    assert table.u[1] == pytest.approx(rows[0, 4] * 10)
    for path in sorted((shared / "data/ctf").iterdir()):
        if path.suffix == ".rawtlt":
            continue
        n = sum(line[:1] != "#" and len(line.split()) > 4 for line in path.read_text().split("\n"))
        n -= path.read_text().split("\n")[0].split()[1:2] == ["0"]
        table, _ = read(path, n)
        assert len(table) == n, path
        assert 5000 < np.median(table.u) < 60000


def test_views_by_number_where_angles_are_inverted(shared: Path) -> None:
    folder = shared / "cases/defocus_v2_inverted_angles/TS_01"
    tilts = np.loadtxt(folder / "TS_01.tlt")
    table, said = read(folder / "TS_01.defocus", 11, tilts=tilts)
    assert table.u[[0, 10]].tolist() == [32680, 32940]
    assert "opposite sign" in said


# In any import


def tables() -> dict[str, str]:
    rows = "".join(f"{i} {i} {20 * i - 60} {20 * i - 60} 2000.5 1900.25 30\n" for i in range(1, 6))
    return {
        "x_ctffind.txt": "".join(f"{i} 20005 19002.5 30 0 0.1 9\n" for i in range(1, 6)),
        "x_gctf.star": "".join(
            line.replace(line.split()[2], "20005", 1).replace(line.split()[3], "19002.5", 1)
            .replace("-40.06", "30") + "\n"
            if ".mrc" in line else line + "\n"
            for line in gctf(5, lambda i: f"{i}@s.mrc").split("\n")
        ),
        "x.defocus": "1 0 0. 0. 0 3\n" + rows,
    }  # fmt: skip


@pytest.mark.parametrize("name", sorted(tables()))
@pytest.mark.parametrize("format", ["imod", "aretomo", "images"])
def test_every_import_takes_every_table(tmp_path: Path, format: str, name: str) -> None:
    folder = make_folder(tmp_path / "TS", ctf=None)
    told: dict[str, Any] = {"pixel_size": 2.0, "fractional_dose": 3.0}
    source: Path = folder
    if format == "aretomo":
        source = folder / "TS.aln"
        rows = "".join(f"{i} 85 1 0 0 1 1 1 0 {20 * i - 60}\n" for i in range(1, 6))
        head = "# AreTomo Alignment / Priims bprmMn\n# RawSize = 64 48 5\n# NumPatches = 0\n"
        source.write_text(head + "# SEC ROT GMAG TX TY SMEAN SFIT SCALE BASE TILT\n" + rows)
        told |= {"thickness": 30, "flip_volume": 1, "ctf": name}
    if format == "images":
        source = folder / "TS.st"
        told = {"pixel_size": 2.0, "ctf": name}
    (folder / name).write_text(tables()[name])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", tomoset.AssumptionWarning)
        reading = format_named(format).read([source], **told)
    assert not reading.failures, reading.failures[0].error
    (t,) = reading.project.tomograms.values()
    assert t.defocus_u is not None
    assert t.defocus_u.tolist() == [20005] * 5
    assert t.defocus_v is not None
    assert t.defocus_v.tolist() == [19002.5] * 5
    assert t.defocus_angle is not None
    assert t.defocus_angle.tolist() == [30] * 5


def test_tables_of_single_images_are_joined(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "TS", ctf=None)
    for i in (1, 2, 3, 4, 10):
        (folder / f"TS_{i}_gctf.log").write_text(LOG.replace("18861.34", f"{18000 + i}.00"))
    told = {"pixel_size": 2.0, "fractional_dose": 3.0, "ctf": "*_gctf.log"}
    with pytest.warns(tomoset.AssumptionWarning, match="5 tables of one image each"):
        reading = format_named("imod").read([folder], **told)
    (t,) = reading.project.tomograms.values()
    assert t.defocus_u is not None
    assert t.defocus_u.tolist() == [18001, 18002, 18003, 18004, 18010]
    (folder / "TS_3_gctf.log").write_text(PHASE_LOG)
    with pytest.warns(tomoset.AssumptionWarning):
        (failure,) = format_named("imod").read([folder], **told).failures
    assert "TS_1_gctf.log: this has no phase shift, and the others have" in str(failure.error)
    (folder / "TS_3_gctf.log").write_text(ctffind(5))
    (failure,) = format_named("imod").read([folder], **told).failures
    assert "TS_3_gctf.log: several tables of defocus fit, and this is not of one" in str(
        failure.error
    )


# Damaged tables


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("data_\n\nloop_\n_rlnDefocusU #1\n", "column rlnDefocusV"),
        ("data_\n\nloop_\n_rlnMicrographName #1\na.mrc\n", "expected a table of defocus"),
        (GCTF, "the table of defocus is empty"),
        (gctf(4), "expected defocus of the 5 images of the stack, found 4 lines"),
        (gctf(5).replace("20003.5", "far"), "far"),
        (gctf(5).replace("20003.5", "nan"), "rlnDefocusU"),
        (gctf(5).replace("20003.5", "1e30"), "rlnDefocusU"),
        (LOG.replace("Final Values", "Values"), "expected number, defocus 1"),
        (LOG, "expected defocus of the 5 images of the stack, found 1 lines"),
        (LOG.replace("18861.34", "x"), ":7: expected defocus U, V, angle"),
        (LOG.replace("18861.34 ", "1e308"), ":7: expected defocus U, V, angle"),
        ("", "the table of defocus is empty"),
        ("\0", "binary"),
    ],
)
def test_damaged_tables_are_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "x_table"
    path.write_text(text)
    with pytest.raises(tomoset.FileFormatError, match=message) as refused:
        read(path)
    assert "x_table" in str(refused.value)


@pytest.mark.parametrize("name", ["gctf", "log", "imod", "ctffind"])
@pytest.mark.parametrize("count", [300, pytest.param(5000, marks=pytest.mark.slow)])
def test_mutated_tables_never_surprise(tmp_path: Path, name: str, count: int) -> None:
    """An error of ours that names the file, or a value for each image."""
    chance = random.Random(count)
    path = tmp_path / "x_table"
    imod = "5 0 0. 0. 0 3\n" + "".join(f"{i} {i} 0 0 2000 1900 30 {i}\n" for i in range(1, 6))
    whole = {"gctf": gctf(5), "log": LOG, "imod": imod, "ctffind": ctffind(5)}[name].encode()
    good = 0
    for _ in range(count):
        path.write_bytes(mutated(chance, whole))
        n = 1 if name == "log" else 5
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            warnings.simplefilter("ignore", tomoset.errors.TomosetWarning)
            try:
                table = read_defocus(str(path), n)
            except tomoset.TomosetError as problem:
                assert "x_table" in str(problem)  # noqa: PT017
                continue
        good += 1
        for values in (table.u, table.v, table.angle):
            assert len(values) == n
            assert np.isfinite(values).all()
    assert 0.02 < good / count < 0.95


# Out


def table_of(*, phase: bool) -> DefocusTable:
    rng = np.random.default_rng(2)
    v = rng.uniform(1e4, 5e4, 5)
    return DefocusTable(
        path="",
        u=v + rng.uniform(0, 2000, 5),
        v=v,
        angle=rng.uniform(-90, 90, 5),
        phase_shift=rng.uniform(20, 120, 5) if phase else None,
    )


@pytest.mark.parametrize("phase", [True, False])
def test_tables_are_written_as_they_are_read(tmp_path: Path, *, phase: bool) -> None:
    table, tilts = table_of(phase=phase), np.arange(-40.0, 41, 20)
    one, other = tmp_path / "x_ctf.txt", tmp_path / "x.defocus"
    one.write_text(ctffind_text(table, tomoset.Optics(pixel_size=1.35), "x.st"))
    other.write_text(ctfplotter_text(table, tilts))
    for again in (read_ctffind(one), read_imod(other, 5, tilts)):
        np.testing.assert_allclose(again.u, table.u, atol=1e-3)
        np.testing.assert_allclose(again.v, table.v, atol=1e-3)
        np.testing.assert_allclose(again.angle, table.angle, atol=1e-4)
        assert (again.phase_shift is None) == (not phase)
        if again.phase_shift is not None and table.phase_shift is not None:
            np.testing.assert_allclose(again.phase_shift, table.phase_shift, atol=1e-4)
    assert agree(str(one), str(other))
    other.write_text(ctfplotter_text(table_of(phase=False).take([0, 1, 2, 3, 3]), tilts))
    assert not agree(str(one), str(other))
    assert not agree(str(one), str(one))
    one.write_text("1 2 3\n")
    assert not agree(str(one), str(other))


def test_tables_have_the_score_and_the_resolution_of_rings() -> None:
    t = tomoset.Tomogram(
        name="a",
        n_tilts=2,
        optics=tomoset.Optics(pixel_size=1.0),
        defocus_u=[2e4, 1e4],
        defocus_v=[2e4, 1e4],
    )

    def ends(t: tomoset.Tomogram) -> list[list[float]]:
        table = defocus_of(t)
        assert table is not None
        lines = ctffind_text(table.take([1, 0]), t.optics, "x.st").splitlines()[5:]
        return [[float(word) for word in line.split()[5:]] for line in lines]

    assert ends(t) == [[0.1, 12.0]] * 2
    known = replace(t, ctf_figure_of_merit=[0.4, 0.25], ctf_max_resolution=[9.5, 999.0])
    assert ends(known) == [[0.25, 999.0], [0.4, 9.5]]


def of(path: Path, n: int = 4, rows: list[int] | None = None) -> list[float]:
    """The larger defocus of the images of a tomogram, of the slices of a stack if that is said."""
    t = tomoset.Tomogram(
        name="TS_02",
        n_tilts=n,
        optics=tomoset.Optics(pixel_size=1.0),
        nominal_tilts=np.arange(n) * 20.0 - 40 if rows is None else np.array(rows) * 20.0 - 40,
        image_index=rows,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", tomoset.AssumptionWarning)
        return read_defocus_of(t, str(path)).u.tolist()


def test_a_tomogram_finds_its_images_in_tables_of_the_whole_stack_or_of_itself(
    tmp_path: Path,
) -> None:
    one, other = tmp_path / "x.txt", tmp_path / "x.defocus"
    one.write_text(ctffind(5))
    for line_of in (
        lambda i: f"{i} {i} {20 * i - 60} {20 * i - 60} {1999.9 + i / 10:.1f}",
        lambda i: f"{6 - i} {6 - i} {60 - 20 * i} {60 - 20 * i} {2000.5 - i / 10:.1f}",
    ):
        other.write_text("0 0 0. 0. 0 3\n" + "".join(line_of(i) + "\n" for i in range(1, 6)))
        for table in (one, other):
            assert of(table, 5) == [20000, 20001, 20002, 20003, 20004]
            assert of(table, 3, [1, 0, 2]) == [20001, 20000, 20002]  # the last ones are excluded
            assert of(table, 2, [4, 2]) == [20004, 20002]
    one.write_text(ctffind(2))
    other.write_text("0 0 0. 0. 0 3\n1 1 40 40 2000\n2 2 0 0 2001\n")
    assert of(one, 2, [4, 2]) == [20000, 20001]
    with pytest.raises(tomoset.FileFormatError, match="expected defocus of the 5 images of tomo"):
        of(one, 3, [4, 2, 1])
    other.write_text("0 0 0. 0. 0 3\n1 1 0 0 2000\n1 9000000 0 0 2000\n")
    with pytest.raises(tomoset.FileFormatError, match="are not among"):
        of(other, 5)


def test_a_set_of_relion_4_is_asked_by_name(tmp_path: Path) -> None:
    path = tmp_path / "tomograms.star"
    columns = "loop_\n_rlnDefocusU\n_rlnDefocusV\n_rlnDefocusAngle\n"
    tables = [f"data_TS_0{i}\n\n{columns}" + f"{i}0000 9000 0\n" * 4 + "\n" for i in (1, 2)]
    path.write_text("\n".join(tables))
    assert of(path) == [20000] * 4
    path.write_text(tables[0])  # one alone has any name
    assert of(path) == [10000] * 4
    path.write_text(tables[0] + tables[0].replace("TS_01", "TS_03"))
    with pytest.raises(tomoset.FileFormatError, match="'TS_02' or of one series alone, found 2"):
        of(path)
    path.write_text("data_global\n\nloop_\n_rlnTomoName\n_rlnTomoTiltSeriesStarFile\nTS_02 x\n")
    with pytest.raises(tomoset.FileFormatError, match="names tables of single series"):
        of(path)


def test_the_larger_defocus_comes_first() -> None:
    t = tomoset.Tomogram(name="a", n_tilts=2, optics=tomoset.Optics(pixel_size=1.0))
    assert defocus_of(t) is None
    table = defocus_of(
        replace(t, defocus_u=[2e4, 1e4], defocus_v=[1e4, 3e4], defocus_angle=[10.0, 20.0])
    )
    assert table is not None
    assert numbers(table) == ([2e4, 3e4], [1e4, 1e4], [10.0, 110.0])


def test_two_tables_that_say_the_same_are_no_question(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "TS")
    rows = "".join(
        f"{i + 1} {i + 1} 0 0 {2000 + i / 10:.1f} {1900 + i / 10:.1f} 30\n" for i in range(5)
    )
    (folder / "TS.defocus").write_text("1 0 0. 0. 0 3\n" + rows)
    told = {"pixel_size": 2.0, "fractional_dose": 3.0}
    reading = format_named("imod").read([folder], **told)
    (t,) = reading.project.tomograms.values()
    assert t.defocus_u is not None
    assert t.defocus_u.tolist() == [20000, 20001, 20002, 20003, 20004]
    (folder / "TS.defocus").write_text("1 0 0. 0. 0 3\n" + rows.replace("2000.1", "2001.1"))
    (failure,) = format_named("imod").read([folder], **told).failures
    assert "TS.defocus and TS_ctf.txt could each be the table of defocus" in str(failure.error)
