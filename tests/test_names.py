"""Names of series: what makes those of two files agree."""

from __future__ import annotations

import string
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tomoset
from tests.builders.command import run as run_command
from tests.builders.image_stacks import write_stack
from tomoset.errors import FileFormatError, ModelError
from tomoset.formats._names import Renaming, bare, meant, read_renaming, suggested_map

NAMES = st.lists(
    st.text(string.ascii_letters + string.digits + "_", min_size=1), unique=True, max_size=6
)


@pytest.mark.parametrize(
    ("found", "wanted"),
    [
        ("TS_01_Vol", "TS_01"),
        ("TS_01.tomostar", "TS_01"),
        ("TS_1.mrc", "TS_01"),
        ("TS_001", "TS_1"),
        ("tomograms/TS_01_10.00Apx.mrc", "TS_01"),
        ("ts-01", "TS_01"),
        ("TS_01_rec", "TS_01_Vol.mrc"),
        ("TS_01_full_rec.mrc", "TS_01"),
    ],
)
def test_what_keeps_names_apart_is_seen_through(found: str, wanted: str) -> None:
    assert suggested_map([found], ["TS_02", wanted]) == {found: wanted}


@given(NAMES, NAMES)
def test_a_suggested_map_is_one_to_one_and_of_names_that_are_there(
    found: list[str], wanted: list[str]
) -> None:
    pairs = suggested_map(found, wanted)
    assert set(pairs) <= set(found)
    assert set(pairs.values()) <= set(wanted)
    assert len(set(pairs.values())) == len(pairs)
    assert all(bare(old) == bare(new) for old, new in pairs.items())


def test_names_that_could_be_two_are_left_alone() -> None:
    assert suggested_map(["TS_1"], ["TS_01", "TS_001"]) == {}


@given(NAMES)
def test_an_empty_renaming_changes_nothing(names: list[str]) -> None:
    assert [*map(Renaming(), names)] == names


def test_nothing_is_stripped_to_nothing() -> None:
    assert Renaming(strip=("TS", "TS"))("TS") == "TS"


@pytest.mark.parametrize("apart", [" ", "\t", ",", ", ", "   "])
def test_a_map_is_read(tmp_path: Path, apart: str) -> None:
    (tmp_path / "map").write_bytes(f"# old new\r\n\r\nTS_1{apart}TS_01\r\n".encode())
    assert read_renaming(tmp_path / "map") == {"TS_1": "TS_01"}


def test_a_map_may_hold_blanks_in_quotes(tmp_path: Path) -> None:
    (tmp_path / "map").write_text('"grid 1 TS" TS_01\n')
    assert read_renaming(tmp_path / "map") == {"grid 1 TS": "TS_01"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("TS_1\n", "map:1: expected an old and a new name"),
        ("a b\nc d e\n", "map:2: expected an old"),
        ("a b\na c\n", "map:2: 'a' comes twice"),
        ("a c\nb c\n", "two names would become 'c'"),
        ("", "no line"),
        ("a\0b", "binary"),
    ],
)
def test_a_bad_map_is_refused(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "map").write_text(text)
    with pytest.raises(FileFormatError, match=said):
        read_renaming(tmp_path / "map")


def test_import_gives_new_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a_TS_1.mrc", "a_TS_2.mrc"):
        write_stack(Path(name), 3, (8, 8), 2.0)
    Path("map").write_text("TS_1 TS_01\n")
    told = ("--angles", "-3:3:3", "--strip", "a_", "--rename", "map")
    code, _, errors = run_command(
        capsys, "import", "images", "a_TS_1.mrc", "a_TS_2.mrc", "-o", "set.star", *told
    )
    assert code == 0, errors
    assert [*tomoset.read("set.star")] == ["TS_01", "TS_2"]


def test_a_map_of_other_names_is_an_error_and_nothing_is_written(tmp_path: Path) -> None:
    write_stack(tmp_path / "TS_1.mrc", 3, (8, 8), 2.0)
    with pytest.raises(ModelError, match=r"no series is called TS_9, .*there are TS_1"):
        tomoset.import_series(
            "images",
            [tmp_path / "TS_1.mrc"],
            tmp_path / "set.star",
            angles="-3:3:3",
            pixel_size=2.0,
            rename={"TS_9": "x"},
        )
    assert not (tmp_path / "set.star").exists()


def test_an_option_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no option .angle.; there are .*angles"):
        tomoset.import_series("images", ["TS.mrc"], tmp_path / "set.star", angle=3)


def test_names_of_no_tomogram_are_told_what_they_seem_to_mean() -> None:
    assert meant(["TS_1.tomostar"], ["TS_01"]).endswith("--map): TS_1.tomostar TS_01")
    assert meant(["TS_9"], ["TS_01"]) == "did you mean 'TS_01'?"
    assert meant(["x"], ["TS_01"]) == ""
