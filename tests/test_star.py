"""STAR text: what is read, what is refused and with what words, what is written."""

from __future__ import annotations

import doctest
import importlib
import os
from pathlib import Path

import pytest

from tomoset import star
from tomoset.errors import FileFormatError, MissingFileError
from tomoset.star import StarFile, Table

SHARED = Path(__file__).parents[2] / "shared"


def plain(tables: StarFile | list[Table]) -> list[tuple[object, ...]]:
    """Give what a file says, without where it stood."""
    return [
        (t.name, t.is_loop, {label: list(values) for label, values in t.columns.items()})
        for t in tables
    ]


def same(a: StarFile, b: StarFile) -> bool:
    comments = [table.comments for table in a] == [table.comments for table in b]
    return plain(a) == plain(b) and comments and a.comments == b.comments


def loop(name: str, **columns: list[str]) -> tuple[object, ...]:
    return (name, True, columns)


def listing(name: str, **values: str) -> tuple[object, ...]:
    return (name, False, {label: [value] for label, value in values.items()})


AB = "data_t\nloop_\n_a #1\n_b #2\n"


def test_the_word_loop_and_labels_may_have_comments_and_nothing_else() -> None:
    (table,) = star.loads("data_t\nLOOP_ # of mine\n_a#1\n_b # 2 \n_c # good\n1 2 3\n")
    assert plain([table]) == [loop("t", a=["1"], b=["2"], c=["3"])]
    assert table.comments == ("# of mine", "# good")
    for wrong in ("loop_x\n_a\n1", "loop_ x\n_a\n1", "loop\n_a\n1"):
        with pytest.raises(FileFormatError, match=r"expected _label, loop_ or data_"):
            star.loads(f"data_t\n{wrong}\n")
    (open_quote,) = star.loads(f'{AB}\'a "b c" \n')
    assert plain([open_quote]) == [loop("t", a=["'a"], b=["b c"])]


READS = {
    "loop": (AB + "1 x\n2 y\n", [loop("t", a=["1", "2"], b=["x", "y"])]),
    "list": ("data_t\n\n_a   1\n_b  x\n", [listing("t", a="1", b="x")]),
    "unnamed": ("data_\nloop_\n_a\n1\n", [loop("", a=["1"])]),
    "name with blanks": ("data_TS 1 \t\nloop_\n_a\n1\n", [loop("TS 1", a=["1"])]),
    "names like numbers": (
        AB + "001 1e5\nnan 1_2\n",
        [loop("t", a=["001", "nan"], b=["1e5", "1_2"])],
    ),
    "one-row loop": (AB + "1 2\n", [loop("t", a=["1"], b=["2"])]),
    "labels without numbers": ("data_t\nloop_\n_a\n_b\n1 2\n", [loop("t", a=["1"], b=["2"])]),
    "glued label number": ("data_t\nloop_\n_a#1\n_b#2\n1 2\n", [loop("t", a=["1"], b=["2"])]),
    "label numbers in any order": (
        "data_t\nloop_\n_a #2\n_b #1\n1 2\n",
        [loop("t", a=["1"], b=["2"])],
    ),
    "indented": (" data_t\n loop_\n _a\n _b\n\t1\t 2\n", [loop("t", a=["1"], b=["2"])]),
    "keywords in capitals": ("DATA_t\nLOOP_\n_a\n1\n", [loop("t", a=["1"])]),
    "CRLF": (AB.replace("\n", "\r\n") + "1 2\r\n", [loop("t", a=["1"], b=["2"])]),
    "lone CR": (AB.replace("\n", "\r") + "1 2\r", [loop("t", a=["1"], b=["2"])]),
    "BOM": ("\ufeff" + AB + "1 2\n", [loop("t", a=["1"], b=["2"])]),
    "no final newline": (AB + "1 2", [loop("t", a=["1"], b=["2"])]),
    "no blank line between tables": (
        AB + "1 2\ndata_u\n_c 3\ndata_v\nloop_\n_d\n4\n",
        [loop("t", a=["1"], b=["2"]), listing("u", c="3"), loop("v", d=["4"])],
    ),
    "blank lines between rows": (
        AB + "\n1 2\n \n\t\n3 4\n\n\n",
        [loop("t", a=["1", "3"], b=["2", "4"])],
    ),
    "quotes": (AB + """'a b' "c 'd"\n"" ''\n""", [loop("t", a=["a b", ""], b=["c 'd", ""])]),
    "quote in a word": (AB + "O'Brien 5\"\n", [loop("t", a=["O'Brien"], b=['5"'])]),
    "quote ends before a blank": (AB + "'it's' 1\n", [loop("t", a=["it's"], b=["1"])]),
    "open quote is text": (AB + "'tis 1\n", [loop("t", a=["'tis"], b=["1"])]),
    "hash in a word": (AB + "TS#1 a#\n", [loop("t", a=["TS#1"], b=["a#"])]),
    "comment after values": (AB + "1 2 # bad\n3 4 #5\n", [loop("t", a=["1", "3"], b=["2", "4"])]),
    "vectors": (AB + "[1,2] []\n", [loop("t", a=["[1,2]"], b=["[]"])]),
    "vectors with blanks": (AB + "[1, 2] [ 3 , 4]\n", [loop("t", a=["[1, 2]"], b=["[ 3 , 4]"])]),
    "vector with blanks in a list": ("data_t\n_a [1, 2]\n", [listing("t", a="[1, 2]")]),
    "bracket that is text": (AB + "[1, 2]\n", [loop("t", a=["[1,"], b=["2]"])]),
    "row like a head": (
        AB + "data_set/1 2\ndata_x y\n",
        [loop("t", a=["data_set/1", "data_x"], b=["2", "y"])],
    ),
    "row like a head before a head": (
        AB + "data_set/1 2\n\n# c\ndata_u x\nloop_\n_c\n1\n",
        [loop("t", a=["data_set/1"], b=["2"]), loop("u x", c=["1"])],
    ),
    "head before an empty block": (
        AB + "1 2\ndata_u\ndata_v\n_c 1\n",
        [loop("t", a=["1"], b=["2"]), ("u", False, {}), listing("v", c="1")],
    ),
    "row like a loop": ("data_t\nloop_\n_a\nloop_\n1\n", [loop("t", a=["loop_", "1"])]),
    "value like a label": (
        AB + "1 _x\n_y 2\n_z _z\n",
        [loop("t", a=["1", "_y", "_z"], b=["_x", "2", "_z"])],
    ),
    "first value like a label": (
        "data_t\nloop_\n_a\n_b\n_c\n_x 1 2\n",
        [loop("t", a=["_x"], b=["1"], c=["2"])],
    ),
    "not ASCII": (AB + "Å Müller\n", [loop("t", a=["Å"], b=["Müller"])]),
    "odd blanks are no blanks": (AB + "a\xa0b c\x0bd\n", [loop("t", a=["a\xa0b"], b=["c\x0bd"])]),
    "same name twice": ("data_t\n_a 1\ndata_t\n_a 2\n", [listing("t", a="1"), listing("t", a="2")]),
    "list and loop": ("data_t\n_a 1\nloop_\n_b\n2\n", [listing("t", a="1"), loop("t", b=["2"])]),
    "two loops": ("data_t\nloop_\n_a\n1\nloop_\n_b\n2\n", [loop("t", a=["1"]), loop("t", b=["2"])]),
    "empty loop": (AB + "\ndata_u\nloop_\n_c\n1\n", [loop("t", a=[], b=[]), loop("u", c=["1"])]),
    "empty loop at the end": (AB, [loop("t", a=[], b=[])]),
    "empty block": ("data_t\ndata_u\n_a 1\n", [("t", False, {}), listing("u", a="1")]),
    "only an empty block": ("data_t", [("t", False, {})]),
    "list value missing": ("data_t\n_a\n_b 1\n", [listing("t", a="", b="1")]),
    "list value quoted": ("data_t\n_a 'x y' # c\n", [listing("t", a="x y")]),
}


@pytest.mark.parametrize("name", READS)
@pytest.mark.parametrize("pack", [False, True], ids=["plain", "packed"])
def test_texts_are_read_as_listed(name: str, pack: bool) -> None:
    text, expected = READS[name]
    if pack:
        from tomoset.star._parse import _load_bytes

        file = _load_bytes(text.encode(), None, 0)
    else:
        file = star.loads(text)
    assert plain(file) == expected


@pytest.mark.parametrize("name", READS)
def test_written_text_says_the_same(name: str) -> None:
    file = star.loads(READS[name][0])
    again = star.loads(star.dumps(file)) if any(t.columns for t in file) else StarFile(())
    assert plain(again) == plain([table for table in file if table.columns])


REFUSED = {
    "short row": (AB + "1 2\n\n1\n", 7, "expected 2 values, one for each label, found 1"),
    "long row": (AB + "1 2 3\n", 5, "expected 2 values, one for each label, found 3"),
    "open quote": (AB + "'1 2 3\n", 5, "found 3; is a quote left open"),
    "vector with a blank too many": (AB + "[1, 2] [3, 4] 5\n", 5, "found 5"),
    "same label twice": ("data_t\nloop_\n_a\n_a\n1 2\n", 4, "two columns of the name _a"),
    "same label twice in a list": ("data_t\n_a 1\n_a 2\n", 3, "two columns of the name _a"),
    "values before a table": (
        "\n1 2\ndata_t\n_a 1\n",
        2,
        "expected data_ to begin a table, found '1 2'",
    ),
    "values before labels": ("data_t\n1 2\n", 2, "expected _label, loop_ or data_ after data_t"),
    "loop without labels": ("data_t\nloop_\n1 2\n", 3, "expected _label after loop_"),
    "two values in a list": ("data_t\n_a 1 2\n", 2, "one value for _a of data_t, found 2"),
    "no table": ("# only this\n\n", None, "found no data_"),
    "nothing": ("", None, "found no data_"),
    "zero byte": ("data_t\n_a \0\n", None, "zero bytes"),
    "error on CRLF lines": ((AB + "1 2\n1\n").replace("\n", "\r\n"), 6, "found 1"),
    "error on CR lines": ((AB + "1 2\n1\n").replace("\n", "\r"), 6, "found 1"),
}


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("pack", [False, True], ids=["plain", "packed"])
def test_damaged_texts_are_refused_with_their_line(
    name: str, pack: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    text, line, message = REFUSED[name]
    if pack:
        monkeypatch.setattr("tomoset.star._parse._PACK_FROM_BYTES", 0)
    with pytest.raises(FileFormatError) as caught:
        star.loads(text.encode(), "some.star")
    assert message in str(caught.value)
    assert caught.value.line == line
    assert caught.value.path == "some.star"
    assert str(caught.value).startswith(f"some.star:{line}: " if line else "some.star: ")


def test_an_image_file_is_called_one(tmp_path: Path) -> None:
    path = tmp_path / "stack.mrc"
    path.write_bytes(bytes(208) + b"MAP " + bytes(812))
    with pytest.raises(FileFormatError, match="looks like an MRC image file"):
        star.read(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match=r"none\.star"):
        star.read(tmp_path / "none.star")


def test_comments_stay_with_their_table() -> None:
    file = star.loads(
        "# top\n\n# version 30001\n\ndata_t # no comment\n# in\nloop_ # l\n_a #1\n_b # unit\n"
        "# before rows\n1 2 # on a row\n# between\n3 4\n# version 5\n\n"
        "data_u\n; semi\n_c 1\n# end\n"
    )
    assert file.tables[0].name == "t # no comment"
    assert file.tables[0].comments == (
        "# top",
        "# version 30001",
        "# in",
        "# l",
        "# unit",
        "# before rows",
        "# on a row",
        "# between",
    )
    assert file["u"].comments == ("# version 5", "# ; semi")
    assert file.comments == ("# end",)
    assert same(file, star.loads(star.dumps(file)))


def test_comments_of_an_empty_loop_go_to_what_follows() -> None:
    file = star.loads("# 1\ndata_t\nloop_\n_a\n\n# 2\n\ndata_u\n_b 1\n")
    assert [table.comments for table in file] == [("# 1",), ("# 2",)]


def test_the_layout_is_relions() -> None:
    tables = [
        Table(
            "global",
            {"rlnTomoName": ["TS_01", "TS 02"], "rlnTomoHand": ["-1.00000", "1"]},
            comments=("# version 30001",),
        ),
        Table("list", {"rlnA": ["1.5"], "rlnLongerLabel": ["text"]}, is_loop=False),
    ]
    assert star.dumps(tables) == (
        "\n# version 30001\n\ndata_global\n\nloop_ \n_rlnTomoName #1 \n_rlnTomoHand #2 \n"
        "     TS_01     -1.00000 \n"
        '   "TS 02"            1 \n'
        " \n"
        "\n\ndata_list\n\n"
        "_rlnA                               1.5\n"
        "_rlnLongerLabel            text\n"
        " \n"
    )


def test_comments_that_relion_would_take_for_heads_are_put_inside() -> None:
    comments = ("# version 1", "# from data_a", "# then", "# a loop_", "# b")
    table = Table("t", {"a": ["1"], "b": ["2"]}, comments=comments)
    for is_loop in (True, False):
        text = star.dumps([Table("t", table.columns, is_loop, comments)])
        head = text.index("data_t\n")
        assert text.index("# version 1") < head < text.index("# from data_a")
        assert star.loads(text).first.comments == comments
        # What RELION sees: the first line with loop_, or with a leading underscore.
        after = text[head:].splitlines()[1:]
        first = next(line for line in after if "loop_" in line or line[:1] == "_")
        assert first == ("loop_ " if is_loop else after[3])


def test_an_empty_table_becomes_a_comment() -> None:
    tables = [Table("x", {}, comments=("# why",)), Table("y", {"a": ["1"]}), Table("z", {})]
    again = star.loads(star.dumps(tables))
    assert again.names == ("y",)
    assert again["y"].comments == ("# why", "# empty table: x")
    assert again.comments == ("# empty table: z",)


UNWRITABLE = {
    "newline in a value": Table("t", {"a": ["x\ny"]}),
    "CR in a value": Table("t", {"a": ["x\r"]}),
    "zero byte in a value": Table("t", {"a": ["\0"]}),
    "both quotes before blanks": Table("t", {"a": ["a' b\" c"]}),
    "newline in a name": Table("t\nu", {"a": ["1"]}),
    "blank around a name": Table(" t", {"a": ["1"]}),
    "blank in a label": Table("t", {"a b": ["1"]}),
    "hash in a label": Table("t", {"a#b": ["1"]}),
    "empty label": Table("t", {"": ["1"]}),
    "comment without hash": Table("t", {"a": ["1"]}, comments=("version 3",)),
    "newline in a comment": Table("t", {"a": ["1"]}, comments=("# a\nb",)),
}


@pytest.mark.parametrize("name", UNWRITABLE)
def test_what_cannot_be_said_is_refused_and_the_old_file_stays(name: str, tmp_path: Path) -> None:
    path = tmp_path / "t.star"
    path.write_text("data_old")
    with pytest.raises(FileFormatError, match="data_"):
        star.write([UNWRITABLE[name]], path)
    assert path.read_text() == "data_old"
    assert os.listdir(tmp_path) == ["t.star"]


def test_half_characters_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match="half of a character"):
        star.write([Table("t", {"a": ["\ud800"]})], tmp_path / "t.star")


def test_bytes_that_are_no_text_survive(tmp_path: Path) -> None:
    path = tmp_path / "latin.star"
    path.write_bytes(b"data_t\n_a M\xfcller\n")
    star.write(star.read(path), tmp_path / "out.star")
    assert b"M\xfcller" in (tmp_path / "out.star").read_bytes()


@pytest.mark.parametrize(
    "module", ["", "._tokens", "._numbers", "._table", "._cursor", "._parse", "._write"]
)
def test_examples_of_docstrings_run(module: str) -> None:
    assert doctest.testmod(importlib.import_module("tomoset.star" + module)).failed == 0


@pytest.mark.skipif(
    not SHARED.is_dir(), reason="needs the folder of real files beside the checkout"
)
def test_real_files_come_back() -> None:
    paths = [*SHARED.glob("data/**/*.star"), *SHARED.glob("golden/**/*.star")]
    assert paths
    for path in paths:
        file = star.read(path)
        text = star.dumps(file)
        assert same(star.loads(text), file), path
        if path.name.startswith("relion_"):  # as RELION wrote it: the same bytes
            assert text.encode() == path.read_bytes(), path
