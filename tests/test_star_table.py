"""Tables of a STAR file: numbers from text and back, what is missing, and changed copies."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from tomoset import star
from tomoset.errors import FileFormatError, MissingFieldError, ModelError
from tomoset.star import StarFile, Table

AB = "data_t\nloop_\n_a #1\n_b #2\n"


def columns(table: Table) -> dict[str, list[str]]:
    return {label: list(values) for label, values in table.columns.items()}


def test_columns_become_numbers() -> None:
    table = star.loads(
        "data_t\nloop_\n_f\n_i\n_v\n"
        "1.5 12 [1,2]\n-1e-05 -3.000 '[ 3 , nan ]'\nnan 9007199254740993 [inf,-.5e1]\n"
    ).first
    assert np.array_equal(table.floats("f"), [1.5, -1e-5, np.nan], equal_nan=True)
    assert table.ints("i").tolist() == [12, -3, 9007199254740993]
    expected = [[1, 2], [3, np.nan], [np.inf, -5]]
    assert np.array_equal(table.vectors("v", 2), expected, equal_nan=True)
    assert np.array_equal(table.vectors("v"), expected, equal_nan=True)


def test_columns_without_rows_are_empty_arrays() -> None:
    table = Table("t", {"a": []})
    assert table.floats("a").shape == (0,)
    assert table.ints("a").dtype == np.int64
    assert table.vectors("a", 4).shape == (0, 4)
    assert Table("t", {"a": ["[]", "[ ]"]}).vectors("a").shape == (2, 0)


@pytest.mark.parametrize("pack", [False, True], ids=["plain", "packed"])
@pytest.mark.parametrize(
    ("method", "bad"),
    [
        *(("floats", bad) for bad in ["x", "1_2", "0x10", "1,5", "1.5abc", "٣", "--1", "1e", "."]),
        *(("ints", bad) for bad in ["x", "1_2", "12.5", "nan", "inf", "0x10", str(2**63), "1e300"]),
    ],
)
def test_what_is_no_number_is_named_with_its_line(
    method: str, bad: str, pack: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if pack:
        monkeypatch.setattr("tomoset.star._parse._PACK_FROM_BYTES", 0)
    table = star.loads(f"data_t\nloop_\n_n\n_a\n1 3\n\n2 {bad}\n".encode(), "some.star").first
    with pytest.raises(FileFormatError) as caught:
        getattr(table, method)("a")
    found = f"expected {'a number' if method == 'floats' else 'an integer'}"
    assert str(caught.value).startswith(f"some.star:7: data_t, _a: {found}")
    assert str(caught.value).endswith(f"found {bad!r}")


@pytest.mark.parametrize(
    "bad",
    ["[1,2]", "[1,2,3,x]", "[1,2,3,4", "1,2,3,4]", "1", "[1,2,3,4,5]", "[1,2,,4]", "[1 2 3 4]"],
)
def test_a_bad_vector_is_named_with_its_line(bad: str) -> None:
    table = star.loads(f"data_t\nloop_\n_a\n[1,2,3,4]\n'{bad}'\n", "some.star").first
    for length in (4, None):
        with pytest.raises(FileFormatError, match=r"^some\.star:5: data_t, _a: expected 4 numbers"):
            table.vectors("a", length)


def test_errors_in_a_list_know_the_line_of_the_label() -> None:
    table = star.loads("data_t\n_a 1\n\n_b x\n", "some.star").first
    with pytest.raises(FileFormatError) as caught:
        table.floats("b")
    assert caught.value.line == 4
    assert (table.line_of(0), Table("t", {"a": ["1"]}).line_of(0)) == (2, None)


def test_what_is_missing_is_named_with_what_is_there() -> None:
    file = star.loads(AB + "1 2\n", "some.star")
    with pytest.raises(MissingFieldError, match=r"some.star: data_t has no _c; it has _a, _b"):
        file["t"]["c"]
    with pytest.raises(
        MissingFieldError, match=r"some.star: there is no data_u; the file has data_t"
    ):
        file["u"]
    assert file["t"].get("c") is None
    assert "c" not in file["t"]
    assert "t" in file
    assert "u" not in file
    with pytest.raises(MissingFieldError):
        _ = StarFile(()).first


def test_the_first_of_a_name_is_the_one_meant() -> None:
    file = star.loads("data_t\n_a 1\ndata_t\n_a 2\n")
    assert file["t"]["a"][0] == "1"
    assert len(file) == 2


def test_changed_tables_keep_the_rest() -> None:
    table = star.loads("# c\n" + AB + "1 2\n\n3 4\n5 6\n", "some.star").first
    wider = table.with_columns({"a": ["x", "y", "z"], "c": ["7", "8", "9"]})
    assert columns(wider) == {"a": ["x", "y", "z"], "b": ["2", "4", "6"], "c": ["7", "8", "9"]}
    assert (wider.comments, wider.path, wider.line_of(1)) == (("# c",), "some.star", 8)
    assert list(table["a"]) == ["1", "3", "5"]
    picked = table.take([2, 0])
    assert columns(picked) == {"a": ["5", "1"], "b": ["6", "2"]}
    assert picked.line_of(0) == 9
    assert list(table.take(np.array([False, True, False]))["a"]) == ["3"]
    assert len(table.take([])) == 0


def test_tables_that_contradict_themselves_are_refused() -> None:
    with pytest.raises(ModelError, match="different lengths"):
        Table("t", {"a": ["1"], "b": []})
    with pytest.raises(ModelError, match="one value"):
        Table("t", {"a": ["1", "2"]}, is_loop=False)
    with pytest.raises(ModelError, match="mask"):
        Table("t", {"a": ["1", "2"]}).take(np.array([True]))


def test_tables_can_go_to_another_process() -> None:
    file = star.loads(AB + "1 2\n")
    there = pickle.loads(pickle.dumps(file))
    assert columns(there["t"]) == columns(file["t"])


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0.1, "0.1"),
        (1e-5, "1e-05"),
        (1e16, "1e+16"),
        (-1.0, "-1.0"),
        (3, "3"),
        (np.int64(7), "7"),
        (np.float64(1 / 3), "0.3333333333333333"),
        (float("nan"), "nan"),
        (True, "1"),
    ],
)
def test_numbers_are_formatted(number: float, text: str) -> None:
    assert star.format_number(number) == text


def test_vectors_are_formatted() -> None:
    array = np.array([[1, -0.5, 1e-12, 123456.789012345]])
    assert star.format_vectors(array) == ["[1,-0.5,1e-12,123456.789012]"]
    assert star.format_vector(array[0], digits=15).endswith("123456.789012345]")
    with pytest.raises(ValueError, match="one vector a row"):
        star.format_vectors([1.0, 2.0])
