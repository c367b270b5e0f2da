"""What there is no memory or disk for is refused before it begins."""

from __future__ import annotations

import resource
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import tomoset
from tests.builders.image_stacks import write_images
from tests.builders.tomograms import rigid_tomogram
from tomoset.cli import main
from tomoset.errors import ModelError
from tomoset.formats import TomogramSet
from tomoset.run import Need, available_memory, free_disk, refuse_beyond

GIB = 1 << 30
#: Commands that work tomogram by tomogram.
COMMANDS = (
    ["reconstruct", "--bin", "8"],
    ["reconstruct", "--method", "sirt"],
    ["reconstruct", "--ctf", "3d"],
    ["reconstruct", "--zarr"],
    ["find-fiducials", "--r", "20"],
    ["align fiducials", "--r", "20"],
    ["align images"],
    ["hand"],
)


@pytest.fixture
def tomograms(here: Path) -> TomogramSet:
    """Two, of one stack each."""
    images = np.random.default_rng(0).normal(size=(5, 47, 65)).astype(np.float32)
    for name in "ab":
        write_images(here / f"{name}.mrc", images, 2.0)
    return TomogramSet([rigid_tomogram(name=n, stack=f"{n}.mrc") for n in "ab"], format="relion4")


def refused(capsys: pytest.CaptureFixture[str], tomograms: TomogramSet, command: list[str]) -> str:
    """What a command says that does nothing."""
    tomograms.write("tomograms.star")
    name, *options = command
    assert main([*name.split(), "tomograms.star", "--o", "out", "--j", "1", *options]) == 1
    assert not list(Path("out").rglob("*.mrc"))
    assert not list(Path("out").rglob("*.zarr"))
    return capsys.readouterr().err


@pytest.mark.parametrize("size", [(63, 49, 900_000), (200_000, 200_000, 20_000)])
@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_tomogram_far_beyond_its_images_is_refused(
    tomograms: TomogramSet,
    capsys: pytest.CaptureFixture[str],
    command: list[str],
    size: tuple[int, int, int],
) -> None:
    boundless = tomograms.with_tomograms([replace(t, size=size) for t in tomograms.values()])
    said = refused(capsys, boundless, command)
    assert f"is said to have {' x '.join(map(str, size))} voxels, its images 65 x 47 px" in said


def test_the_case_of_a_depth_of_a_thousand_million(
    shared: Path,
) -> None:
    with pytest.raises(
        tomoset.FileFormatError, match=r"t\.star:21: .*size: expected from 1 to 1e\+06 px"
    ):
        tomoset.read(shared / "cases/reconstruct_no_memory_bound/t.star")


@pytest.mark.parametrize(("there", "what"), [("available_memory", "memory"), ("free_disk", "disk")])
def test_what_there_is_no_room_for_fails_before_it_begins(
    tomograms: TomogramSet,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    there: str,
    what: str,
) -> None:
    monkeypatch.setattr(f"tomoset.run._room.{there}", lambda *_: 1000)
    one = tomograms.with_tomograms([tomograms["a"]])
    said = refused(capsys, one, ["reconstruct"])
    assert f"tomogram 'a' would need 0 GiB of {what}" in said
    assert "0.0 are available: take larger voxels (--bin)" in said


def test_the_disk_has_to_hold_what_all_tomograms_write(
    tomograms: TomogramSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tomoset.run._room.free_disk", lambda _: int(1.5 * 4 * 63 * 49 * 31))
    with pytest.raises(ModelError, match=r"2 tomograms would need .* of disk in out"):
        tomoset.reconstruct(tomograms, "out", binning=1, quiet=True)
    done = tomoset.reconstruct(tomograms, "out", binning=1, quiet=True, names=["a"], figures="none")
    assert done.results["a"].voxels == (63, 49, 31)


def test_the_memory_has_to_hold_the_jobs_that_run_at_once(
    tomograms: TomogramSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = 4 * (3 * 5 * 2 * 65 * 47 + 5 * 65 * 47)
    monkeypatch.setattr("tomoset.run._room.available_memory", lambda: int(1.5 * one))
    with pytest.raises(ModelError, match=r"2 tomograms at once .*take fewer --workers"):
        tomoset.reconstruct(tomograms, "out", binning=1, quiet=True, workers=2)


@pytest.mark.parametrize("what", [{"size": (10**6, 10**6, 1000)}, {"tilts": 10**9}])
def test_a_project_that_is_too_large_is_not_simulated(tmp_path: Path, what: dict[str, int]) -> None:
    with pytest.raises(ModelError, match="the project would need"):
        tomoset.simulate_project(tmp_path / "p", **what)
    assert not (tmp_path / "p").exists()


def test_a_new_stack_is_refused_where_the_disk_is_full(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    some = rigid_tomogram(stack="a.mrc").exclude([2], "ice")
    TomogramSet([some], format="relion5").write("tomograms.star")
    monkeypatch.setattr("tomoset.run._room.free_disk", lambda _: 100)
    with pytest.raises(ModelError, match=r"the stack .* of disk in "):
        tomoset.convert("tomograms.star", "r4/tomograms.star", to="relion4")
    assert not (here / "r4/tomograms.star").exists()


def test_a_limit_of_the_process_counts() -> None:
    text = (
        "import resource; from tomoset.run import available_memory as there; "
        f"resource.setrlimit(resource.RLIMIT_AS, ({4 * GIB},) * 2); print(there())"
    )
    there = int(
        subprocess.run([sys.executable, "-c", text], capture_output=True, check=True).stdout
    )
    assert 0 < there < 4 * GIB
    assert resource.getrlimit(resource.RLIMIT_AS)[0] != 4 * GIB


@pytest.mark.parametrize("controllers", ["", "memory"])
def test_limits_of_control_groups_count_and_those_above(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, controllers: str
) -> None:
    limit, usage, cache = ("memory.max", "memory.current", "inactive_file")
    if controllers:
        limit, usage = "memory.limit_in_bytes", "memory.usage_in_bytes"
        cache = "total_inactive_file"
    root = tmp_path / "sys/fs/cgroup" / controllers
    inner = root / "job/step"
    inner.mkdir(parents=True)
    for folder, most in ((inner, "max"), (root / "job", str(4 * GIB)), (root, str(9 * GIB))):
        (folder / limit).write_text(f"{most}\n")
        (folder / usage).write_text(f"{2 * GIB}\n")
        (folder / "memory.stat").write_text(f"{cache} {GIB}\n")
    said = {"/proc/self/cgroup": f"1:name=systemd:/x\n0:{controllers}:/job/step"}

    def lines(path: str | Path) -> list[str]:
        text = said.get(str(path))
        there = tmp_path / str(path).lstrip("/")
        return (
            (there.read_text() if text is None else text).splitlines()
            if text or there.is_file()
            else []
        )

    monkeypatch.setattr("tomoset.run._room._lines", lines)
    monkeypatch.setattr("tomoset.run._room._of_machine", lambda: 100 * GIB)
    assert available_memory() == 3 * GIB


def test_a_folder_that_is_not_there_yet_has_the_disk_of_one_above(tmp_path: Path) -> None:
    assert free_disk(tmp_path / "a/b/c") > 0
    refuse_beyond("nothing", Need(), tmp_path / "a/b")
    with pytest.raises(ModelError, match=r"all would need 1,\d+,\d+,\d+ GiB of memory"):
        refuse_beyond("all", Need(memory=1 << 60))
