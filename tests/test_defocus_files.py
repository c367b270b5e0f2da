"""Tables of defocus: real files of IMOD and CTFFIND, and every flag of the header."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tomoset import AssumptionWarning, FileFormatError
from tomoset.formats._ctffind import read_ctffind
from tomoset.formats._ctfplotter import looks_like_imod, read_imod

VIEWS = np.arange(-57.0, 61, 3)


def real(shared: Path, name: str) -> Path:
    return shared / "data/ctf" / name


def test_five_variants_of_one_series(shared: Path) -> None:
    """docs/relion.md, 'Tables of defocus' and IMOD's manual: what each column is, read by hand from
    line 1."""
    plain = read_imod(real(shared, "TS_03_plain_estimation.defocus"), 40, VIEWS)
    assert len(plain) == 40
    assert (plain.u[0], plain.v[0], plain.angle[0]) == (13600, 13600, 0)
    astigmatic = read_imod(real(shared, "TS_03_only_astigmatism.defocus"), 40, VIEWS)
    assert (astigmatic.u[0], astigmatic.v[0], astigmatic.angle[0]) == (16516, 12067, 31.76)
    assert astigmatic.phase_shift is None
    phase = read_imod(real(shared, "TS_03_only_phase_shift.defocus"), 40, VIEWS)
    assert phase.phase_shift is not None
    assert (phase.u[0], phase.v[0], phase.phase_shift[0]) == (13236, 13236, 10.19)
    both = read_imod(real(shared, "TS_03_astigmatism_and_phase_shift.defocus"), 40, VIEWS)
    assert both.phase_shift is not None
    assert (both.u[0], both.v[0], both.angle[0]) == (14839, 10687, 32.44)
    assert both.phase_shift[0] == 26.49
    with pytest.warns(AssumptionWarning, match="cut-on"):
        cut_on = read_imod(
            real(shared, "TS_03_astigmatism_phase_shift_and_cutoff_freq.defocus"), 40, VIEWS
        )
    assert cut_on.phase_shift is not None
    assert (cut_on.u[0], cut_on.angle[0], cut_on.phase_shift[0]) == (13314, 32.43, 29.08)
    # They describe one series: means of U and V lie together (a phase shift takes some of it).
    means = [np.mean((t.u + t.v) / 2) for t in (plain, astigmatic, both)]
    assert np.ptp(means) < 2500


def test_real_files_of_imod_and_aretomo_are_read(shared: Path) -> None:
    other = read_imod(real(shared, "test_imod.defocus"), 35)
    assert (len(other), other.u[0]) == (35, 30830)
    aretomo = read_ctffind(real(shared, "test_CTF.txt"))
    assert (aretomo.u[0], aretomo.v[0], aretomo.angle[0]) == (25951.41, 24469.37, 88.08)
    assert aretomo.phase_shift is None
    assert looks_like_imod(real(shared, "test_imod.defocus"))
    assert not looks_like_imod(real(shared, "test_CTF.txt"))


def lines(tmp_path: Path, *rows: str) -> Path:
    path = tmp_path / "x.defocus"
    path.write_text("\n".join(rows) + "\n")
    return path


def test_flags_of_units_are_followed(tmp_path: Path) -> None:
    path = lines(tmp_path, "15 0 0. 0. 0 3", *(f"{i} {i} 0 0 2000 1900 0.5 1.0" for i in (1, 2)))
    table = read_imod(path, 2)
    assert table.phase_shift is not None
    np.testing.assert_allclose(table.angle, np.rad2deg(0.5))
    np.testing.assert_allclose(table.phase_shift, np.rad2deg(1.0))


def test_views_in_any_order(tmp_path: Path) -> None:
    path = lines(tmp_path, "1 0 0. 0. 0 3", *(f"{i} {i} 0 0 {i} {i} 10" for i in (3, 1, 2)))
    assert read_imod(path, 3).u.tolist() == [10, 20, 30]


def test_a_file_without_header_is_assumed_or_refused(tmp_path: Path) -> None:
    path = lines(tmp_path, *(f"{i} {i} 0 0 2000 1900 {i}" for i in (1, 2)))
    with pytest.warns(AssumptionWarning, match="no header"):
        table = read_imod(path, 2)
    assert (table.v[1], table.angle[1]) == (19000, 2)
    ambiguous = lines(tmp_path, *(f"{i} {i} 0 0 2000 1900" for i in (1, 2)))
    with pytest.raises(FileFormatError, match="may mean several things"):
        read_imod(ambiguous, 2)


def test_ranges_of_views_are_interpolated_as_in_ctfphaseflip(tmp_path: Path) -> None:
    # Middles: views 2 and 5 (from 1: (1+3)/2, (4+6)/2); constant outside them.
    path = lines(tmp_path, "1 3 -50 -30 2000 2", "4 6 -20 0 2300")
    table = read_imod(path, 6)
    np.testing.assert_allclose(table.u, [20000, 20000, 21000, 22000, 23000, 23000])
    # Astigmatism at 85 and -85 degrees is at 90 between, not at 0.
    turned = lines(tmp_path, "1 0 0 0 0 3", "1 1 0 0 2100 1900 85", "3 3 0 0 2100 1900 -85")
    with pytest.warns(AssumptionWarning, match="no line for view 2"):
        table = read_imod(turned, 3)
    assert abs(table.angle[1]) == pytest.approx(90)
    assert table.u[1] - table.v[1] == pytest.approx(2000 * np.cos(np.deg2rad(10)))


def test_views_low_by_one_in_version_1(tmp_path: Path) -> None:
    tilts = np.array([-20.0, 0.0, 20.0])
    rows = [f"{i} {i} {a} {a} {2000 + i}" for i, a in enumerate(tilts)]
    with pytest.warns(AssumptionWarning, match="numbered from 0"):
        table = read_imod(lines(tmp_path, *rows), 3, tilts)
    assert table.u.tolist() == [20000, 20010, 20020]
    rows = [f"{i + 1} {i + 1} {a} {a} {2000 + i}" for i, a in enumerate(tilts)]
    assert read_imod(lines(tmp_path, *rows), 3, tilts).u.tolist() == [20000, 20010, 20020]


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        (("1 0 0 0 0 3", "1 1 0 0 2000 1900"), "expected 7 numbers"),
        (("1 1 0 0 2000 2", "9 9 0 0 2000"), "not among the 3"),
        (("1 1 0 0 abc 2", "2 2 0 0 2000"), "expected 5 numbers"),
        (("1 0 0 0 0 3",), "no values"),
        (("",), "empty"),
        (("x 0 0 0 0 3", "1 1 0 0 2000"), "whole numbers"),
    ],
)
def test_damaged_defocus_files_are_refused(
    tmp_path: Path, rows: tuple[str, ...], says: str
) -> None:
    with pytest.raises(FileFormatError, match=says):
        read_imod(lines(tmp_path, *rows), 3)


def ctffind(tmp_path: Path, numbers: list[float]) -> Path:
    path = tmp_path / "ctf.txt"
    rows = [f"{n} {1000 * n + i} 1 2 0 0 0" for i, n in enumerate(numbers)]
    path.write_text("# CTFFind 5\n" + "\n".join(rows) + "\n")
    return path


def test_rows_of_ctffind_are_sorted_by_their_first_column(tmp_path: Path) -> None:
    with pytest.warns(AssumptionWarning, match="sorted by their first column"):
        table = read_ctffind(ctffind(tmp_path, [2, 1, 3]))
    assert table.u.tolist() == [1001, 2000, 3002]
    assert read_ctffind(ctffind(tmp_path, [1, 1, 1])).u.tolist() == [1000, 1001, 1002]
    with pytest.warns(AssumptionWarning, match="line i taken for image i"):
        read_ctffind(ctffind(tmp_path, [1, 3, 3]))


# The order of two defoci, and signs of angles


def astigmatic(tmp_path: Path, *pairs: tuple[float, float]) -> Path:
    rows = [f"{i} {i} 0 0 {u} {v} {10 * i}" for i, (u, v) in enumerate(pairs, 1)]
    return lines(tmp_path, "1 0 0. 0. 0 3", *rows)


def test_the_angle_is_that_of_the_larger_defocus_where_it_never_comes_first(
    tmp_path: Path,
) -> None:
    path = astigmatic(tmp_path, (2000, 2100), (2050, 2050), (1990, 2200))
    with pytest.warns(AssumptionWarning, match="second defocus is the larger in every line"):
        table = read_imod(path, 3)
    assert table.u.tolist() == [21000, 20500, 22000]
    assert table.v.tolist() == [20000, 20500, 19900]
    assert table.angle.tolist() == [10, 20, 30]


@pytest.mark.parametrize("pairs", [((2100, 2000), (2050, 2050)), ((2000, 2100), (2200, 2100))])
def test_files_with_larger_values_in_front_are_taken_as_they_are(
    tmp_path: Path, pairs: tuple[tuple[float, float], ...]
) -> None:
    table = read_imod(astigmatic(tmp_path, *pairs), 2)
    assert [(u / 10, v / 10) for u, v in zip(table.u, table.v, strict=True)] == list(pairs)


def test_the_order_of_ctffinds_defoci_is_said_where_it_is_not_ctffinds(tmp_path: Path) -> None:
    path = tmp_path / "x_ctf.txt"
    path.write_text("".join(f"{i} 20000 2{i}000 30 0 0.1 8\n" for i in (1, 2)))
    with pytest.warns(AssumptionWarning, match="defocus 2 is the larger in every line"):
        table = read_ctffind(path)
    assert (table.u[0], table.v[0]) == (20000, 21000)


SLANTED = np.array([-50.0, -30.0, -10.0, 10.0, 35.0])


@pytest.mark.parametrize("header", ["version 2", "version 3"])
def test_angles_of_the_opposite_sign_are_said_and_view_numbers_hold(
    tmp_path: Path, header: str
) -> None:
    rows = [f"{v} {v} {-t} {-t} {2000 + v}" for v, t in enumerate(SLANTED, 1)][::-1]
    rows = [rows[0] + " 2", *rows[1:]] if header == "version 2" else ["0 0 0. 0. 0 3", *rows]
    with pytest.warns(AssumptionWarning, match="opposite sign"):
        table = read_imod(lines(tmp_path, *rows), 5, SLANTED)
    assert table.u.tolist() == [20010, 20020, 20030, 20040, 20050]


def test_ranges_of_an_inverted_list(tmp_path: Path) -> None:
    rows = [f"{a} {b} {-SLANTED[a - 1]} {-SLANTED[b - 1]} {d}"
            for a, b, d in ((5, 3, 2300), (3, 1, 2000))]  # fmt: skip
    tilts = np.concatenate([SLANTED, [50.0, 60.0]])
    rows.insert(0, f"7 5 {-tilts[6]} {-tilts[4]} 2600")
    with pytest.warns(AssumptionWarning, match="opposite sign"):
        table = read_imod(lines(tmp_path, rows[0] + " 2", *rows[1:]), 7, tilts)
    np.testing.assert_allclose(table.u, [20000, 20000, 21500, 23000, 24500, 26000, 26000])


def test_an_inverted_flag_that_is_true_says_nothing(tmp_path: Path) -> None:
    rows = [f"{v} {v} {-t} {-t} {2000 + v}" for v, t in enumerate(SLANTED, 1)]
    table = read_imod(lines(tmp_path, "16 0 0. 0. 0 3", *rows), 5, SLANTED)
    assert table.u[0] == 20010


def test_columns_of_angles_that_hold_none(tmp_path: Path) -> None:
    """AreTomo with a phase plate: the smaller defocus in Å stands there."""
    rows = [f"{v} {v} {20000 + v} {20000 + v} {2000 + v} {2100 + v} 30 90" for v in range(1, 6)]
    with pytest.warns(AssumptionWarning) as said:
        table = read_imod(lines(tmp_path, "5 0 0. 0. 0 3", *rows), 5, SLANTED)
    assert any("hold no tilt angles" in str(w.message) for w in said)
    assert table.phase_shift is not None
    assert (table.u[0], table.v[0], table.phase_shift[0]) == (21010, 20010, 90)
    wrong = SLANTED + 40 * np.array([1, -1, 1, -1, 1])
    rows = [f"{v} {v} {t} {t} {2000 + v}" for v, t in enumerate(wrong, 1)]
    with pytest.raises(FileFormatError, match="another one"):
        read_imod(lines(tmp_path, *rows), 5, SLANTED)
