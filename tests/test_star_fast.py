"""The reader of big tables: the same answers as the plain one, from views of the file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tomoset import star
from tomoset.errors import FileFormatError
from tomoset.star import StarFile, Table, _packed
from tomoset.star._packed import PackedColumn
from tomoset.star._parse import _load_bytes

HEAD = "# version 30001\n\ndata_optics\n\n_rlnVoltage 300\n\n\ndata_particles\n\nloop_ \n"
LABELS = ("rlnTomoName", "rlnX", "rlnY", "rlnClass")


def particles(rows: int, seed: int = 1) -> tuple[list[str], str]:
    rng = np.random.default_rng(seed)
    x = rng.normal(scale=10.0 ** rng.integers(-30, 30, size=rows)).tolist()
    y = rng.normal(scale=1e4, size=rows)
    lines = [f"TS_{i % 7:02d} {x[i]!r:>25} {y[i]:12.6f} {i - 5} \n" for i in range(rows)]
    return lines, HEAD + "".join(f"_{label} #{i}\n" for i, label in enumerate(LABELS, 1))


def both(text: str | bytes) -> tuple[StarFile, StarFile]:
    data = text.encode() if isinstance(text, str) else text
    return _load_bytes(data, "p.star", 0), _load_bytes(data, "p.star", 1 << 40)


def is_packed(file: StarFile) -> bool:
    return isinstance(file["particles"]["rlnX"], PackedColumn)


def assert_same(fast: StarFile, slow: StarFile) -> None:
    assert fast.names == slow.names
    assert fast.comments == slow.comments
    for a, b in zip(fast, slow, strict=True):
        assert a.labels == b.labels
        assert a.comments == b.comments
        assert [list(a[label]) for label in a.labels] == [list(b[label]) for label in b.labels]
        assert [a.line_of(i) for i in range(len(a))] == [b.line_of(i) for i in range(len(b))]


# What may stand in a file, and whether the compiled reader does it itself.
VARIANTS = {
    "plain": (lambda lines: "".join(lines), True),
    "CRLF": (lambda lines: "".join(lines).replace("\n", "\r\n"), True),
    "blank lines": (lambda lines: "\n\n".join(lines) + "\n \n\t\n", True),
    "no final newline": (lambda lines: "".join(lines).rstrip(), True),
    "tabs": (lambda lines: "".join(lines).replace(" ", "\t"), True),
    "comments": (lambda lines: "# c\n" + " # d\n".join(lines) + "# e\n", True),
    "a table after it": (lambda lines: "".join(lines) + "# v\n\ndata_x\n_a 1\n", True),
    "a table glued to it": (lambda lines: "".join(lines) + "data_x\nloop_\n_a\n1\n2\n", True),
    "rows like heads": (lambda lines: "".join(lines).replace("TS_01", "data_TS_01"), True),
    "not ASCII": (lambda lines: "".join(lines).replace("TS_0", "Tür\xa0"), True),
    "lone CR": (lambda lines: "".join(lines).replace("\n", "\r"), False),
    "quotes": (lambda lines: "".join(lines).replace("TS_03", "'TS 03'"), False),
    "a comment on a row": (lambda lines: "".join(lines).replace("7 \n", "7 # why\n"), False),
    "blanks in brackets": (lambda lines: "".join(lines).replace("TS_03", "[1, 2]"), False),
}


@pytest.mark.parametrize("name", VARIANTS)
def test_both_readers_agree(name: str) -> None:
    change, packs = VARIANTS[name]
    lines, head = particles(40)
    fast, slow = both(head + change(lines))
    assert is_packed(fast) is packs
    assert_same(fast, slow)


def test_every_row_like_a_head_is_read_slowly_but_right(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_packed, "_MOST_PARTS", 10)
    lines, head = particles(40)
    fast, slow = both(head + "".join("data_" + line for line in lines))
    assert not is_packed(fast)
    assert_same(fast, slow)


def test_several_pieces_of_offsets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_packed, "_WINDOW", 100)
    lines, head = particles(300)
    assert_same(*both(head + "".join(lines)))


def test_columns_are_sequences() -> None:
    lines, head = particles(100)
    fast, slow = both(head + "".join(lines))
    ours, theirs = fast["particles"]["rlnX"], slow["particles"]["rlnX"]
    assert isinstance(ours, PackedColumn)
    assert (len(ours), ours[3], ours[-1]) == (100, theirs[3], theirs[-1])
    assert list(ours[10:20:3]) == list(theirs[10:20:3])
    assert isinstance(ours[10:20], PackedColumn)
    assert list(ours[:0]) == []
    assert theirs[5] in ours
    with pytest.raises(IndexError):
        ours[100]
    mask = np.arange(100) % 3 == 1
    picked, expected = fast["particles"].take(mask), slow["particles"].take(mask)
    assert list(picked["rlnX"]) == list(expected["rlnX"])
    assert picked.line_of(7) == expected.line_of(7)
    assert np.array_equal(picked.floats("rlnX"), expected.floats("rlnX"))


def test_numbers_are_the_same_bits_in_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_packed, "_ROWS_PER_THREAD", 64)
    lines, head = particles(1000)
    fast, slow = both(head + "".join(lines))
    for label in LABELS[1:]:
        a, b = fast["particles"].floats(label), slow["particles"].floats(label)
        assert a.tobytes() == b.tobytes()
    ints = fast["particles"].ints("rlnClass")
    assert np.array_equal(ints, np.arange(1000) - 5)
    with pytest.raises(
        FileFormatError, match=r"p\.star:15: data_particles, _rlnX: expected an int"
    ):
        fast["particles"].ints("rlnX")


def test_a_wrong_row_is_named_with_its_line() -> None:
    lines, head = particles(50)
    lines[30] = "TS_01 1 2\n"
    with pytest.raises(FileFormatError, match=r"p\.star:45: expected 4 values.*found 3"):
        _load_bytes((head + "".join(lines)).encode(), "p.star", 0)


def test_written_again_the_text_is_the_same() -> None:
    lines, head = particles(500)
    fast, slow = both(head + "".join(lines))
    assert star.dumps(fast) == star.dumps(slow)


def test_big_files_use_it_and_small_ones_do_not(tmp_path: Path) -> None:
    lines, head = particles(1000)
    path = tmp_path / "p.star"
    path.write_text(head + "".join(lines))
    assert not is_packed(star.read(path))
    path.write_text(head + "".join(lines * 400))
    file = star.read(path)
    assert is_packed(file)
    assert len(file["particles"]) == 400_000
    assert file["particles"].line_of(399_999) == 400_000 + 14


def test_offsets_beyond_4_gib_need_8_bytes() -> None:
    from tomoset.star import _kernels

    data = np.frombuffer(b"1 2.5\n3 4\n", np.uint8)
    offsets = np.empty((2, 2), np.uint64)
    assert _kernels.scan_rows(data, 0, offsets, False)[:1] == (_kernels.END,)
    column = PackedColumn(data.tobytes(), offsets[:, 1])
    assert column.to_floats().tolist() == [2.5, 4.0]
    assert list(column) == ["2.5", "4"]


def test_kernels_compile_where_nothing_can_be_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    import numba

    from tomoset.star import _kernels

    njit = numba.njit

    def no_cache(**options: bool) -> object:
        if options.get("cache"):
            raise RuntimeError("cannot cache function: no locator available")
        return njit(**options)

    monkeypatch.setattr(numba, "njit", no_cache)
    assert _kernels._compiled(lambda x: x + 1)(2) == 3


def test_a_table_of_views_can_be_changed_and_written() -> None:
    lines, head = particles(30)
    table = both(head + "".join(lines))[0]["particles"]
    changed = table.with_columns({"rlnX": ["1"] * 30})
    again = star.loads(star.dumps([changed])).first
    assert set(again["rlnX"]) == {"1"}
    assert list(again["rlnY"]) == list(table["rlnY"])
    assert isinstance(Table("t", {"a": table["rlnX"]})["a"], PackedColumn)
