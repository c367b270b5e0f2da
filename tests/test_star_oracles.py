"""What we write, read by gemmi, starfile and starfile-rs: the same values."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tomoset import star
from tomoset.star import Table

Content = dict[str, dict[str, list[str]]]

TABLES = [
    Table(
        "global",
        {
            "rlnTomoName": ["001", "1e5", "20240101_01"],
            "rlnTomoTiltSeriesName": ["a b.mrc", "data_set/x.mrc", "_x"],
            "rlnTomoHand": ["-1.0", "1e-05", "123456.789012345"],
            "rlnProj": ["[1,0,0,-2.5]", "[0,1,0,1e-12]", "[]"],
        },
        comments=("# version 30001",),
    ),
    Table("TS_1", {"one": ["x"]}, comments=("# version 30001", "# made from data_TS_0")),
    Table("job", {"rlnA": ["text"], "rlnLongerLabel": ["a b"], "rlnC": ["1.5"]}, is_loop=False),
    Table("last", {"a": ["1", "2"], "b": ["loop_x", "#5"]}),
]

# Read right by gemmi, by RELION and by us; the two others mend or split these. (And gemmi
# reads ASCII only.)
HARD = Table(
    "hard",
    {
        "a": ["O'Brien", '5"', "", "it's 5", '6" x', "stop_", "global_1"],
        "b": ["TS#1", ";x", "$a", "'q'", "[1, 2]", "[", "save_"],
    },
)


def content(tables: list[Table]) -> Content:
    return {t.name: {k: list(v) for k, v in t.columns.items()} for t in tables}


def by_gemmi(path: Path) -> Content:
    from gemmi import cif

    found: Content = {}
    for block in cif.read(str(path)):
        columns = found[block.name] = {}
        for item in block:
            if item.pair is not None:
                columns[item.pair[0][1:]] = [cif.as_string(item.pair[1])]
            elif item.loop is not None:
                for i, tag in enumerate(item.loop.tags):
                    values = [item.loop[row, i] for row in range(item.loop.length())]
                    columns[tag[1:]] = [cif.as_string(value) for value in values]
    return found


def as_text(table: Any) -> dict[str, list[str]]:
    if isinstance(table, dict):
        return {label: [str(value)] for label, value in table.items()}
    return {label: [str(value) for value in table[label]] for label in table.columns}


def by_starfile(path: Path) -> Content:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its own, and those of pandas
        import starfile

        labels = [label for table in (*TABLES, HARD) for label in table.labels]
        tables = starfile.read(path, always_dict=True, parse_as_string=labels)
    return {name: as_text(table) for name, table in tables.items()}


def by_starfile_rs(path: Path) -> Content:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import starfile_rs

        found: Content = {}
        for name, block in starfile_rs.read_star(path).items():
            single = block.try_single()
            if single is not None:
                found[name] = as_text(single.to_dict(string_columns=single.columns))
            else:
                found[name] = as_text(block.to_pandas(string_columns=block.columns))
    return found


READERS = [by_gemmi, by_starfile, by_starfile_rs]


@pytest.mark.parametrize("reader", READERS)
def test_others_read_what_we_write(reader: Callable[[Path], Content], tmp_path: Path) -> None:
    path = tmp_path / "ours.star"
    star.write(TABLES, path)
    assert reader(path) == content(TABLES)


def test_gemmi_reads_hard_values(tmp_path: Path) -> None:
    path = tmp_path / "ours.star"
    star.write([HARD], path)
    assert by_gemmi(path) == content([HARD])


@pytest.mark.parametrize("reader", [by_gemmi, by_starfile])
def test_others_read_an_empty_loop_at_the_end(
    reader: Callable[[Path], Content], tmp_path: Path
) -> None:
    path = tmp_path / "ours.star"
    tables = [TABLES[1], Table("particles", {"x": [], "y": []})]
    star.write(tables, path)
    assert reader(path) == content(tables)


@pytest.mark.parametrize("package", ["starfile", "starfile_rs.compat"])
def test_we_read_what_others_write(package: str, tmp_path: Path) -> None:
    path = tmp_path / "theirs.star"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import importlib

        import pandas as pd

        frame = pd.DataFrame({"name": ["a b", "c"], "x": [1.5, 2.25], "n": [1, 2]})
        importlib.import_module(package).write({"t": frame, "u": frame[:1], "v": {"k": 1}}, path)
    file = star.read(path)
    assert file.names == ("t", "u", "v")
    assert list(file["t"]["name"]) == ["a b", "c"]
    assert file["t"].floats("x").tolist() == [1.5, 2.25]
    assert file["u"].ints("n").tolist() == [1]
    assert file["v"].ints("k").tolist() == [1]
    assert not file["v"].is_loop
