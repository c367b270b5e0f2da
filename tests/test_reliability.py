"""Commands that are killed, or whose disk fails, at any moment: all is old, or all is new."""

from __future__ import annotations

import itertools
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import tomoset
import tomoset.formats
from tests.builders.faults import attempt, contents, next_run
from tests.builders.imod_folder import TILT_COM, make_folder
from tests.builders.relion_project import small_project
from tests.builders.whole_project import NAME, whole_project, write_files
from tomoset.cli import main

ENDS = pytest.mark.parametrize("ends", [True, False])
TOMOSET = [sys.executable, "-m", "tomoset"]

pytestmark = pytest.mark.filterwarnings("ignore::tomoset.TomosetWarning")


def quietly(*arguments: str) -> Callable[[], None]:
    """A command whose exit code says whether it could do its work."""

    def work() -> None:
        if main(list(arguments)) != 0:
            raise OSError("it said so")

    return work


def every_fault(
    monkeypatch: pytest.MonkeyPatch,
    start: Callable[[Path], None],
    work: Callable[[], None],
    *,
    ends: bool,
) -> Iterator[Path]:
    """Folders after a fault at each operation, and after what a next run takes back."""
    root = Path.cwd()
    for at in itertools.count():
        folder = root / f"{at}"
        folder.mkdir()
        monkeypatch.chdir(folder)
        start(folder)
        failed = attempt(monkeypatch, work, at, ends=ends)
        next_run(folder)
        yield folder
        shutil.rmtree(folder)
        if not failed:
            assert at > 10
            return


@ENDS
def test_a_conversion_leaves_the_old_project_or_the_new_one(
    here: Path, monkeypatch: pytest.MonkeyPatch, ends: bool
) -> None:
    def start(folder: Path) -> None:
        shutil.copy(here / "a.mrc", folder)
        small_project(folder)
        assert main(["convert", "optimisation_set.star", "o", "--to", "relion4"]) == 0

    work = quietly("convert", "optimisation_set.star", "o", "--to", "relion5", "--overwrite")
    (here / "whole").mkdir()
    monkeypatch.chdir(here / "whole")
    start(here / "whole")
    old = contents(here / "whole/o")
    work()
    new = contents(here / "whole/o")
    assert old != new
    monkeypatch.chdir(here)
    seen = []
    for folder in every_fault(monkeypatch, start, work, ends=ends):
        found = contents(folder / "o")
        differs = {n for n in found if found[n] not in (old.get(n), new.get(n))}
        kinds = {n: (found[n] == old.get(n), found[n] == new.get(n)) for n in found}
        assert found in (old, new), (
            differs,
            kinds,
            old.keys() ^ found.keys(),
            new.keys() ^ found.keys(),
        )
        seen.append(found == new)
    assert seen[-1]
    assert seen.count(False) > len(seen) / 2


@ENDS
def test_an_import_leaves_nothing_or_all(
    here: Path, monkeypatch: pytest.MonkeyPatch, ends: bool
) -> None:
    def start(folder: Path) -> None:
        for name in ("A", "B"):
            make_folder(folder / name, tilt=TILT_COM + "EXCLUDELIST 2\n")

    work = quietly("import", "imod", "A", "B", "-o", "deep/out.star", "--angpix", "2", "--fd", "3")
    for folder in every_fault(monkeypatch, start, work, ends=ends):
        made = sorted(contents(folder / "deep"))
        names = list(tomoset.read("deep/out.star")) if made else []  # one series may fail alone
        sets = ["out.star", "out_conversion.json"] if names else []
        assert made == [*(f"culled/{name}.mrc" for name in names), *sets]
    assert names == ["A", "B"]


PROGRAMS = {
    "reconstruct": ("reconstruct", "tomograms.star", "--o", "N", "--bin", "4", "--figures", "none"),
    "find-fiducials": (
        "find-fiducials",
        "tomograms.star",
        "--o",
        "N",
        "--r",
        "60",
        "--figures",
        "none",
    ),
    "hand": ("hand", "tomograms.star", "--o", "N", "--apply", "--figures", "none"),
}


def sound(folder: Path) -> None:
    """The set that a program wrote, if there is one, names what is there, and whole."""
    assert not [name for name in contents(folder) if "/.tomoset-" in f"/{name}"]
    if not (folder / "N/tomograms.star").exists():
        return
    os.chdir(folder)
    tomogram = tomoset.read("N/tomograms.star")[NAME]
    with tomogram.open_images() as images:
        assert images.read(0).size
    made = tomogram.reconstruction
    if made is not None and made.path is not None and made.path.startswith("N/"):
        assert Path(made.path).stat().st_size > 1024
    if tomogram.fiducials is not None:
        assert Path(tomogram.fiducials).stat().st_size > 0


def start_of_programs(folder: Path) -> None:
    write_files(folder)
    whole_project().tomograms.write(folder / "tomograms.star", "relion5")


@ENDS
@pytest.mark.parametrize(
    ("program", "step"),
    [
        ("reconstruct", 37),
        ("find-fiducials", 53),
        *(pytest.param(program, 3, marks=pytest.mark.slow) for program in PROGRAMS),
    ],
)
def test_a_program_that_stops_anywhere_can_be_run_again(
    here: Path, monkeypatch: pytest.MonkeyPatch, program: str, step: int, ends: bool
) -> None:
    """At every operation, or at some of them."""
    (here / "start").mkdir()
    monkeypatch.chdir(here / "start")
    start_of_programs(here / "start")
    for at in itertools.count(step % 7, step):
        folder = here / f"{at}"
        shutil.copytree(here / "start", folder)
        monkeypatch.chdir(folder)
        failed = attempt(monkeypatch, quietly(*PROGRAMS[program]), at, ends=ends)
        next_run(folder)
        sound(folder)
        assert main([*PROGRAMS[program], "--continue"]) == 0
        sound(folder)
        assert (folder / "N/tomograms.star").exists()
        shutil.rmtree(folder)
        if not failed:
            break
    assert at > 30


@pytest.mark.slow
def test_thirty_kills_of_a_conversion(here: Path) -> None:
    small_project(here)
    convert = [*TOMOSET, "convert", "optimisation_set.star", "o", "--overwrite", "--to"]

    def convert_to(format: str) -> dict[str, bytes]:
        shutil.rmtree(here / "o", ignore_errors=True)
        subprocess.run([*convert, "relion4"], check=True, capture_output=True)
        if format == "relion5":
            subprocess.run([*convert, "relion5"], check=True, capture_output=True)
        return contents(here / "o")

    begin = time.monotonic()
    new, old = convert_to("relion5"), convert_to("relion4")
    length = (time.monotonic() - begin) / 3
    chance, seen = random.Random(0), []
    for _ in range(30):
        convert_to("relion4")
        child = subprocess.Popen([*convert, "relion5"], stderr=subprocess.DEVNULL)
        time.sleep(length * (0.5 + 0.6 * chance.random()))
        child.send_signal(signal.SIGKILL)
        child.wait()
        subprocess.run([*TOMOSET, "info", "o/tomograms.star"], check=True, capture_output=True)
        subprocess.run([*convert[:-3], "p", "--to", "relion4", "--overwrite"], check=True)
        found = contents(here / "o")
        differs = {n for n in found if found[n] not in (old.get(n), new.get(n))}
        kinds = {n: (found[n] == old.get(n), found[n] == new.get(n)) for n in found}
        assert found in (old, new), (
            differs,
            kinds,
            old.keys() ^ found.keys(),
            new.keys() ^ found.keys(),
        )
        seen.append(found == new)
    assert set(seen) == {True, False}


@pytest.mark.slow
def test_a_full_disk_leaves_the_old_project(here: Path) -> None:
    disk = here / "disk"
    disk.mkdir()
    mounted = shutil.which("mount") and os.geteuid() == 0
    if (
        not mounted
        or subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=120k", "tmpfs", disk], check=False
        ).returncode
    ):
        pytest.skip("no small disk can be mounted here")
    try:
        small_project(here)
        assert main(["convert", "optimisation_set.star", "disk/o", "--to", "relion4"]) == 0
        old = contents(disk)
        for left in range(0, 60, 4):
            free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
            (disk / "filler").write_bytes(bytes(max(0, free - left * 1024)))
            code = main(
                ["convert", "optimisation_set.star", "disk/o", "--to", "relion5", "--overwrite"]
            )
            (disk / "filler").unlink()
            if code == 0:
                break
            assert contents(disk) == old
        assert left > 4
    finally:
        subprocess.run(["umount", "--lazy", disk], check=True)
