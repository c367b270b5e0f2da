"""Files take their places whole, together, and never those of others."""

from __future__ import annotations

import errno
import itertools
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tomoset.files._staging as staging
from tests.builders.faults import attempt, contents, next_run
from tomoset.errors import FileAccessError
from tomoset.files import (
    Guard,
    atomic_folder,
    atomic_write,
    read_bytes,
    recover,
    stamp,
    together,
    write,
)

OLD = {"a": b"old a", "deep/b": b"old b", "deep/c": b"old c"}


def fill(folder: Path, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


@pytest.mark.parametrize("ends", [True, False])
@pytest.mark.parametrize(
    "new", [{"a": b"new a", "deep/b": b"new b", "deep/d": b"new d"}, {"a": b"n"}]
)
def test_at_whatever_operation_it_stops_all_is_old_or_all_is_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, new: dict[str, bytes], ends: bool
) -> None:
    for at in itertools.count():
        folder = tmp_path / f"{at}"
        fill(folder, OLD)

        def work(folder: Path = folder) -> None:
            with together():
                for name, content in new.items():
                    write(folder / name, content)

        failed = attempt(monkeypatch, work, at, ends=ends)
        if not ends:  # the process goes on: nothing is left for the next one
            assert contents(folder) in (OLD, OLD | new)
        next_run(folder)
        assert contents(folder) in (OLD, OLD | new), at
        if not failed:
            break
    assert contents(folder) == OLD | new
    assert at > 5


@pytest.mark.parametrize("ends", [True, False])
def test_what_follows_in_the_block_can_take_files_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ends: bool
) -> None:
    for at in itertools.count():
        folder = tmp_path / f"{at}"
        fill(folder, OLD)

        def work(folder: Path = folder) -> None:
            with together() as files:
                write(folder / "a", b"new")
                write(folder / "deep/d", b"new")
                files.place()
                assert (folder / "a").read_bytes() == b"new"
                raise OSError("it is not what it should be")

        attempt(monkeypatch, work, at, ends=ends)
        next_run(folder)
        assert contents(folder) == OLD
        if at > 60:
            break


@pytest.mark.parametrize("ends", [True, False])
def test_a_folder_takes_its_place_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ends: bool
) -> None:
    old, new = {"x.zarr/0/a": b"1", "x.zarr/1": b"2"}, {"x.zarr/0/a": b"3"}
    for at in itertools.count():
        folder = tmp_path / f"{at}"
        fill(folder, old)

        def work(folder: Path = folder) -> None:
            with atomic_folder(folder / "x.zarr") as made:
                (made / "0").mkdir()
                (made / "0/a").write_bytes(b"3")

        failed = attempt(monkeypatch, work, at, ends=ends)
        next_run(folder)
        assert contents(folder) in (old, new), at
        if not failed:
            break
    assert contents(folder) == new


def test_files_of_a_run_that_goes_on_are_left_alone(tmp_path: Path) -> None:
    with together() as files, files.open(tmp_path / "a") as stream:
        stream.write(b"1")
        (beside,) = tmp_path.iterdir()
        with pytest.MonkeyPatch.context() as patch:  # as another process sees it
            patch.setattr(staging, "_own", set())
            recover(tmp_path)
        assert beside.is_dir()
    assert contents(tmp_path) == {"a": b"1"}


def test_without_locks_nothing_of_others_is_touched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_locks(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("fcntl.flock", no_locks)
    with together() as files, files.open(tmp_path / "a") as stream:
        stream.write(b"1")
        with pytest.MonkeyPatch.context() as patch:  # as another process sees it
            patch.setattr(staging, "_own", set())
            recover(tmp_path)
    assert contents(tmp_path) == {"a": b"1"}


def test_folders_that_were_made_for_nothing_go(tmp_path: Path) -> None:
    def fails() -> None:
        with atomic_write(tmp_path / "new/deep/a") as stream:
            stream.write(b"1")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fails()
    assert not list(tmp_path.iterdir())


def test_a_link_is_never_followed(tmp_path: Path) -> None:
    fill(tmp_path, OLD)
    (tmp_path / "link").symlink_to("a")
    with pytest.raises(FileAccessError, match="is a link to a, which is not followed"):
        write(tmp_path / "link", b"new")
    with together(Guard(overwrite=True)):
        write(tmp_path / "link", b"new")
    assert not (tmp_path / "link").is_symlink()
    assert contents(tmp_path) == OLD | {"link": b"new"}


def several(guard: Guard, *paths: Path) -> None:
    with together(guard):
        for path in paths:
            write(path, b"new")


def test_a_guard_keeps_inputs_and_files_of_others(tmp_path: Path) -> None:
    fill(tmp_path, OLD)
    os.link(tmp_path / "a", tmp_path / "same")
    for guard in (Guard(lambda: [tmp_path / "a"], overwrite=True), Guard()):
        for name in ("a", "same"):
            with pytest.raises(FileAccessError, match=r"is read by this|--overwrite"):
                several(guard, tmp_path / "new", tmp_path / name)
    assert contents(tmp_path) == OLD | {"same": b"old a"}
    with together(Guard()):
        write(tmp_path / "a", b"old a")  # which changes nothing
    with together(Guard(ours=lambda path: path.endswith("a"))):
        write(tmp_path / "a", b"ours")
    assert (tmp_path / "a").read_bytes() == b"ours"


def test_a_file_that_changed_since_it_was_read_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"1")
    read_bytes(path)
    write(path, b"2")
    write(path, b"3")
    read_bytes(path)
    path.write_bytes(b"somebody else's")
    with pytest.raises(FileAccessError, match="has changed since it was read"):
        write(path, b"4")
    read_bytes(path)
    write(path, b"5")
    assert path.read_bytes() == b"5"


def test_a_name_that_is_too_long_says_so(tmp_path: Path) -> None:
    with pytest.raises(FileAccessError, match="255 bytes at most, and this has 300"):
        write(tmp_path / ("x" * 300), b"")
    write(tmp_path / ("x" * 255), b"1")
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".")]


@given(at=st.integers(0, (3 << 20) - 1), size=st.sampled_from([10, 1 << 20, 3 << 20]))
@settings(max_examples=20, deadline=None)
def test_a_stamp_sees_other_content_of_the_same_time(
    tmp_path_factory: pytest.TempPathFactory, at: int, size: int
) -> None:
    path = tmp_path_factory.mktemp("stamp") / "stack.mrc"
    path.write_bytes(bytes(size))
    os.utime(path, ns=(1, 1))
    before = stamp(path)
    path.write_bytes(
        os.urandom(size)
        if size > 1 << 20
        else bytes(at % size) + b"1" + bytes(size - at % size - 1)
    )
    os.utime(path, ns=(1, 1))
    assert stamp(path)[:2] == before[:2]
    assert stamp(path) != before
