"""What was done in a folder is known, can be taken back, and two at once lose nothing."""

from __future__ import annotations

import json
import multiprocessing
import os
from pathlib import Path
from typing import Any

import pytest

import tomoset
from tests.builders.command import run
from tests.builders.faults import contents
from tests.builders.image_stacks import write_stack
from tests.builders.random_projects import write_random_project
from tomoset.errors import FileAccessError, FileFormatError, TomosetError
from tomoset.files import locked
from tomoset.formats import Renaming
from tomoset.model import Project
from tomoset.project import edit_files, importing
from tomoset.project import history as h
from tomoset.project.edit import rename, select


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def first(project: Project) -> Project:
    return select(project, ["TS_01"])


@pytest.mark.parametrize("dialect", ["relion4", "relion5"])
def test_undone_files_are_as_they_were(here: Path, dialect: str) -> None:
    write_random_project(1, dialect, "p")
    edit_files("p", "made", first)
    before = contents(here / "made")
    edit_files("p", "made", lambda p: select(p, ["TS_02"]), overwrite=True)
    assert contents(here / "made") != before
    entry = h.undo("made")
    assert entry.number == 2
    assert contents(here / "made") == before
    h.undo("made")
    assert contents(here / "made") == {}
    assert [e.undoes for e in h.read_history("made")] == [None, None, 2, 1]
    with pytest.raises(FileAccessError, match="no history of a command that could be undone"):
        h.undo("made")


def test_commands_show_and_undo(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_random_project(1, "relion4", "p")
    code, _, errors = run(capsys, "select", "p", "--tn", "TS_0[12]", "-o", "a")
    assert code == 0, errors
    code, _, errors = run(capsys, "rename", "a", "--strip", "TS_", "-o", "b/set.star")
    assert code == 0, errors
    code, out, _ = run(capsys, "history", "b/set.star", "--json")
    steps = json.loads(out)["history"]
    assert [step["folder"] for step in steps] == ["a", "b"]
    assert steps[0]["command"][:3] == ["tomoset", "select", "p"]
    code, out, _ = run(capsys, "history", "b")
    assert "rename a --strip TS_ -o b/set.star" in out
    assert run(capsys, "undo", "b")[0] == 0
    assert contents(here / "b") == {}
    code, _, errors = run(capsys, "undo", "b")
    assert code == 1
    assert "no history of a command that could be undone" in errors


def test_what_changed_since_is_not_taken_back(here: Path) -> None:
    write_random_project(1, "relion4", "p")
    edit_files("p", "made", first)
    path = Path("made/particles.star")
    path.write_text(path.read_text() + "\n# by hand\n")
    before = contents(here / "made")
    with pytest.raises(FileAccessError, match=r"particles\.star has been changed"):
        h.undo("made")
    assert contents(here / "made") == before


def test_files_of_any_name_can_be_kept(here: Path) -> None:
    """Names have 255 bytes at most; letters may have several."""
    write_random_project(1, "relion4", "p")
    long = f"made/{'ä' * 125}.star"
    edit_files("p", long, first)
    before = contents(here / "made")
    edit_files("p", long, lambda p: select(p, ["TS_02"]), overwrite=True)
    h.undo("made")
    assert contents(here / "made") == before


def test_an_undo_that_was_overtaken_changes_nothing(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_random_project(1, "relion4", "p")
    edit_files("p", "made", first)
    stale = h.read_history("made")
    edit_files("p", "made", lambda p: select(p, ["TS_02"]), overwrite=True)
    before = contents(here / "made")
    answers = [stale, h.read_history("made")]
    monkeypatch.setattr(h, "read_history", lambda _: answers.pop(0))
    with pytest.raises(FileAccessError, match="another command has written there meanwhile"):
        h.undo("made")
    assert contents(here / "made") == before


def test_what_was_too_large_to_be_kept_is_said(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(h, "MAX_KEPT", 10)
    write_random_project(1, "relion4", "p")
    edit_files("p", "made", first)
    edit_files("p", "made", lambda p: select(p, ["TS_02"]), overwrite=True)
    with pytest.raises(FileAccessError, match="was too large to be kept"):
        h.undo("made")


def test_copies_that_are_old_can_be_forgotten(here: Path) -> None:
    write_random_project(1, "relion4", "p")
    edit_files("p", "made", first)
    edit_files("p", "made", lambda p: select(p, ["TS_02"]), overwrite=True)
    assert h.forget("made", days=1) == 0
    assert h.forget("made", days=-1) > 0
    with pytest.raises(FileAccessError, match="is not there any more"):
        h.undo("made")


@pytest.mark.parametrize("damage", [b"{", b"[]", b'{"number": 1}', b"\xff\x00"])
def test_a_damaged_history_is_an_error_with_its_line(here: Path, damage: bytes) -> None:
    write_random_project(1, "relion4", "p")
    edit_files("p", "made", first)
    ledger = Path("made/.tomoset/history.jsonl")
    ledger.write_bytes(ledger.read_bytes() + damage + b"\n")
    with pytest.raises(FileFormatError, match=r"history\.jsonl:2: this line of the history"):
        h.read_history("made")
    before = contents(here)
    with pytest.raises(FileFormatError):
        edit_files("p", "made", lambda p: select(p, ["TS_02"]), overwrite=True)
    assert contents(here) == before


def test_what_fails_leaves_no_history_and_no_folder(here: Path) -> None:
    write_random_project(1, "relion4", "p")
    with pytest.raises(TomosetError):
        edit_files("p", "new/deep", lambda p: select(p, ["nobody"]))
    assert not Path("new").exists()


def test_conversions_have_their_lines(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_random_project(1, "relion4", "p")
    code, _, errors = run(capsys, "convert", "p", "five", "--to", "relion5", "--nearest")
    assert code == 0, errors
    (entry,) = h.read_history("five")
    assert entry.command[:2] == ("tomoset", "convert")
    assert "tomograms.star" in entry.writes
    assert os.path.join("..", "p", "tomograms.star") in entry.reads


def test_another_process_is_waited_for_but_not_for_ever(here: Path) -> None:
    refused = pytest.raises(FileAccessError, match="another tomoset writes there")
    with locked("x/.tomoset"), refused, locked("x/.tomoset", patience=0.1):
        pass
    assert not Path("x").exists()


def _write(name: str, gate: object) -> None:
    gate.wait()  # type: ignore[attr-defined]
    try:
        edit_files(
            "p", "made", lambda p: rename(p, Renaming(names={"TS_01": name})), overwrite=True
        )
    except TomosetError as problem:
        Path(f"{name}.error").write_text(str(problem))


def test_two_processes_that_write_one_project_lose_nothing(here: Path) -> None:
    write_random_project(1, "relion4", "p", series=1)
    fork = multiprocessing.get_context("fork")
    for trial in range(50):
        gate = fork.Barrier(2)
        names = [f"a{trial}", f"b{trial}"]
        both = [fork.Process(target=_write, args=(name, gate)) for name in names]
        for one in both:
            one.start()
        for one in both:
            one.join(60)
        refused = [name for name in names if Path(f"{name}.error").exists()]
        assert len(refused) < 2
        there = tomoset.open_project("made", check_links=False)
        (name,) = set(there.tomograms) & set(names)
        assert name not in refused
        assert there.particles is not None
        assert set(there.particles.tomogram_names.tolist()) <= set(there.tomograms)
        said = [entry.command for entry in h.read_history("made")]
        assert len(said) == 2 * (trial + 1) - len(list(here.glob("*.error")))


def _append(name: str) -> None:
    try:
        tomoset.import_series(
            "images",
            [f"{name}.mrc"],
            "set.star",
            append="set.star",
            angles="-3:3:3",
            pixel_size=2.0,
        )
    except TomosetError as problem:
        Path(f"{name}.error").write_text(str(problem))


def test_what_another_process_added_meanwhile_is_not_lost(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in "abc":
        write_stack(Path(f"{name}.mrc"), 3, (8, 8), 2.0)
    tomoset.import_series("images", ["a.mrc"], "set.star", angles="-3:3:3", pixel_size=2.0)
    fork = multiprocessing.get_context("fork")
    gate, guard = fork.Barrier(2), importing._guard

    def both_have_read(*args: Any, **kwargs: Any) -> Any:
        gate.wait()
        return guard(*args, **kwargs)

    monkeypatch.setattr(importing, "_guard", both_have_read)
    both = [fork.Process(target=_append, args=(name,)) for name in "bc"]
    for one in both:
        one.start()
    for one in both:
        one.join(60)
    (lost,) = here.glob("*.error")
    assert "has changed since it was read" in lost.read_text()
    assert list(tomoset.read("set.star")) == ["a", "c" if lost.stem == "b" else "b"]
