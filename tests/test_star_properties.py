"""For any tables: reading what was written gives the same text, and numbers are Python's."""

from __future__ import annotations

import math
import string

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tomoset import star
from tomoset.errors import FileFormatError
from tomoset.star import StarFile, Table
from tomoset.star._parse import _load_bytes

quick = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow], database=None
)

# What could confuse a reader, mixed with any text that can stand on a line.
_pieces = st.sampled_from(
    ["data_", "DATA_", "loop_", "stop_", *"_#'\" \t[],;$1x\xa0\x07\x0b\x85\u2028\udcff", "e5"]
)
_any = st.text(st.characters(exclude_characters="\r\n\0", exclude_categories=["Cs"]), max_size=8)
values = st.lists(_pieces | _any, max_size=6).map("".join)
labels = st.text(string.ascii_letters + string.digits + "_.'[", min_size=1, max_size=6)
names = values.map(lambda text: text.strip(" \t"))
comments = st.lists(values.map(lambda text: ("#" + text).rstrip(" \t")), max_size=3).map(tuple)


def representable(value: str) -> bool:
    return not all(mark + blank in value for mark in "'\"" for blank in " \t") and (
        '"' not in value
        or "'" not in value
        or any(mark + " " not in value and mark + "\t" not in value for mark in "'\"")
    )


@st.composite
def tables(draw: st.DrawFn) -> Table:
    head = draw(st.lists(labels, min_size=1, max_size=4, unique=True))
    is_loop = draw(st.booleans())
    rows = draw(st.integers(0, 4)) if is_loop else 1
    cells = st.lists(values.filter(representable), min_size=rows, max_size=rows)
    columns = {label: draw(cells) for label in head}
    return Table(draw(names), columns, is_loop, draw(comments))


def content(file: StarFile | list[Table]) -> list[tuple[object, ...]]:
    return [
        (t.name, t.is_loop, t.comments, {k: list(v) for k, v in t.columns.items()}) for t in file
    ]


@quick
@given(st.lists(tables(), min_size=1, max_size=3), comments)
def test_written_tables_come_back(written: list[Table], last: tuple[str, ...]) -> None:
    file = StarFile(tuple(written), last)
    text = star.dumps(file)
    again = star.loads(text)
    assert content(again) == content(written)
    assert again.comments == last
    assert star.dumps(again) == text


@quick
@given(tables())
def test_the_packed_reader_agrees(table: Table) -> None:
    text = star.dumps([table]).encode("utf-8", "surrogateescape")
    assert content(_load_bytes(text, None, 0)) == content(star.loads(text))


_lines = st.lists(
    st.sampled_from(["data_", "data_x", "loop_", "_a", "_b #2", "_c 1", "1 2", "x", "# c", "", "'"])
    | values,
    max_size=12,
)


@quick
@given(_lines, st.sampled_from(["\n", "\r\n", "\r"]))
@example(["data_", "loop_", "_a", "data_", "data_x", "_b"], "\n")
def test_any_text_is_read_alike_or_refused_alike(lines: list[str], end: str) -> None:
    text = end.join(lines).encode("utf-8", "surrogateescape")
    answers = []
    for pack_from in (0, 1 << 30):
        try:
            file = _load_bytes(text, "x", pack_from)
            where = [[table.line_of(row) for row in range(len(table))] for table in file]
            answers.append((content(file), file.comments, where))
        except FileFormatError as error:
            answers.append((str(error), error.line, None))
    assert answers[0] == answers[1]


numbers = (
    st.floats().map(repr)
    | st.floats().map(lambda x: f"{x:.6f}")
    | st.integers().map(str)
    | st.from_regex(r"[+-]?[0-9]{0,25}\.?[0-9]{0,25}([eE][+-]?[0-9]{1,4})?", fullmatch=True)
    | st.text("0123456789+-.eE_nai", min_size=1, max_size=8)
)


def is_a_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return "_" not in text


@quick
@given(st.lists(numbers, min_size=1, max_size=30).map(lambda c: [x for x in c if x]))
@example(["9007199254740993", "1e23", "1e22", "1e-22", "0.1e-22", "-0", "4.35", "1" * 400])
def test_floats_are_those_of_python_bit_for_bit(cells: list[str]) -> None:
    text = "data_t\nloop_\n_x\n_y\n" + "".join(f"{cell} 1\n" for cell in cells)
    for pack_from in (0, 1 << 30):
        table = _load_bytes(text.encode(), "x", pack_from).first
        bad = next((i for i, cell in enumerate(cells) if not is_a_number(cell)), None)
        if bad is not None:
            with pytest.raises(FileFormatError) as caught:
                table.floats("x")
            assert caught.value.line == 5 + bad
        elif cells:
            expected = np.array([float(cell) for cell in cells])
            assert table.floats("x").tobytes() == expected.tobytes()


@quick
@given(st.lists(numbers.filter(bool), min_size=1, max_size=5))
def test_integers_of_both_readers_agree(cells: list[str]) -> None:
    text = "data_t\nloop_\n_x\n_y\n" + "".join(f"{cell} 1\n" for cell in cells)
    answers = []
    for pack_from in (0, 1 << 30):
        try:
            answers.append(_load_bytes(text.encode(), "x", pack_from).first.ints("x").tolist())
        except FileFormatError as error:
            answers.append(str(error))
    assert answers[0] == answers[1]


@quick
@given(st.floats(), st.integers(-(2**70), 2**70))
def test_format_number_loses_nothing(real: float, whole: int) -> None:
    again = float(star.format_number(real))
    assert again == real or (math.isnan(again) and math.isnan(real))
    assert math.copysign(1, again) == math.copysign(1, real) or math.isnan(real)
    assert int(star.format_number(whole)) == whole


@quick
@given(st.lists(st.lists(st.floats(), min_size=3, max_size=3), min_size=1, max_size=5))
def test_vectors_come_back(rows: list[list[float]]) -> None:
    table = Table("t", {"v": star.format_vectors(rows, digits=17)})
    again = star.loads(star.dumps([table])).first.vectors("v", 3)
    assert np.array_equal(again, rows, equal_nan=True)
