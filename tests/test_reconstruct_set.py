"""A set from the command line: what is made, what is kept, what is said when something fails."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import mrcfile
import numpy as np
import pytest

import tomoset
from tests.builders.bead_stack import bead_set
from tomoset.cli import main
from tomoset.figures import sections
from tomoset.formats import working_format
from tomoset.model import Fiducials, TomogramSet
from tomoset.programs._task import Task
from tomoset.programs.reconstruct import PROGRAM
from tomoset.reconstruct import Options
from tomoset.reconstruct.sections import Sections
from tomoset.run import Resources

NAMES = ("TS_01", "TS_02", "TS_03")


@pytest.fixture
def three(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of three series, and the folder to work in."""
    monkeypatch.chdir(tmp_path)
    t = bead_set(Path(), size=(48, 45, 24), image_size=(50, 48))["TS_01"]
    stacks = []
    for name in NAMES:
        Path(name).mkdir()
        shutil.copy("TS_01.mrcs", f"{name}/{name}.mrcs")
        stacks.append(replace(t, name=name, stack=f"{name}/{name}.mrcs"))
    TomogramSet(stacks).write("tomograms.star")
    return tmp_path


def go(*arguments: str) -> int:
    return main(["reconstruct", "tomograms.star", "--o", "T", "--bin", "2", *arguments])


def volumes(path: str = "T/tomograms.star") -> dict[str, tuple[float, str] | None]:
    found = {}
    for name, t in tomoset.read(path).items():
        made = t.reconstruction
        found[name] = None if made is None or made.path is None else (made.binning, made.path)
    return found


def test_all_series_of_a_set_are_reconstructed(
    three: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert go("--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert said["done"] == list(NAMES)
    assert said["set"] == "T/tomograms.star"
    assert volumes() == {name: (2.0, f"T/tomograms/rec_{name}.mrc") for name in NAMES}
    assert main(["check", "T/tomograms.star"]) == 0
    assert main(["info", "T/tomograms.star"]) == 0
    assert "volumes at bin 2: TS_01, TS_02, TS_03\n" in capsys.readouterr().out
    stamp = os.stat("T/tomograms/rec_TS_01.mrc").st_mtime_ns
    assert go("--continue", "--snr", "3", "--j", "1") == 0  # neither changes these volumes
    assert "(3 were there already)" in capsys.readouterr().out
    assert os.stat("T/tomograms/rec_TS_01.mrc").st_mtime_ns == stamp
    assert go("--continue", "--dose") == 0
    assert "done again" in capsys.readouterr().err
    assert os.stat("T/tomograms/rec_TS_01.mrc").st_mtime_ns != stamp


@pytest.mark.filterwarnings("ignore::tomoset.LossyWarning")
@pytest.mark.parametrize("size", [None, (40, 50, 30)])
def test_sections_show_the_beads_that_the_set_knows(
    three: Path, monkeypatch: pytest.MonkeyPatch, size: tuple[int, int, int] | None
) -> None:
    """Also in a tomogram of another size; a table that is not there is no reason to fail."""
    tomograms = tomoset.read("tomograms.star")
    points = np.array([[10.0, 12, 5], [30, 12, 5], [30, 40, 5], [30, 20, 20]])
    for name in NAMES[:2]:
        beads = Fiducials(points=points)
        working_format(tomograms).write_fiducials(beads, f"{name}.star", tomograms[name])
    Path("TS_02.star").unlink()
    with_beads = [
        replace(t, fiducials=f"{t.name}.star" if t.name != "TS_03" else None)
        for t in tomograms.values()
    ]
    drawn: dict[str, Sections] = {}

    def record(name: str, made: Sections) -> object:
        drawn[name] = made
        return sections(name, made)

    monkeypatch.setattr("tomoset.programs.reconstruct.sections", record)
    done = tomoset.reconstruct(TomogramSet(with_beads), "T", binning=2, size=size, quiet=True)
    assert not done.report.failed
    assert [drawn[name].beads for name in NAMES] == [4, 0, 0]
    first = np.array([0, 0, 0]) if size is None else np.array([24, 22, 12]) - (20, 25, 15)
    for place, along in zip(drawn["TS_01"].places, ((points - first) / 2).T, strict=True):
        inside = (along >= place.first - 0.5) & (along < place.last - 0.5)
        assert place.beads == inside.sum() > 1


def test_reconstructing_one_series_keeps_the_volumes_of_others(three: Path) -> None:
    assert go("--tn", "TS_01") == 0
    assert go("--tn", "TS_03") == 0
    assert [name for name, made in volumes().items() if made] == ["TS_01", "TS_03"]
    # What was made of other images, or of another alignment, is not named any more.
    with mrcfile.open("TS_01/TS_01.mrcs", mode="r+") as file:
        file.data[0] += 1
    os.utime("TS_01/TS_01.mrcs", ns=(1, 1))
    assert go("--tn", "TS_03") == 0
    assert [name for name, made in volumes().items() if made] == ["TS_03"]


@pytest.mark.parametrize("damage", ["empty", "gone", "no picture"])
def test_continue_looks_at_the_files(
    three: Path, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert go() == 0
    file = Path("T/tomograms/rec_TS_02.mrc")
    size = file.stat().st_size
    if damage == "empty":
        file.write_bytes(b"")
    else:
        (file if damage == "gone" else file.with_suffix(".png")).unlink()
    assert go("--continue") == 0
    assert "(2 were there already)" in capsys.readouterr().out
    assert file.stat().st_size == size
    assert file.with_suffix(".png").exists()


@pytest.mark.parametrize(
    "fault", ["truncated", "count", "nan", "missing", "empty", "text", "blank"]
)
def test_a_bad_series_stops_no_other(
    three: Path, fault: str, capsys: pytest.CaptureFixture[str]
) -> None:
    stack = Path("TS_02/TS_02.mrcs")
    whole = stack.read_bytes()
    if fault == "truncated":
        stack.write_bytes(whole[: len(whole) // 2])
    elif fault == "count":
        with mrcfile.new(stack, overwrite=True) as file:
            file.set_data(np.zeros((5, 48, 50), np.float32))
    elif fault == "nan":
        with mrcfile.open(stack, mode="r+") as file:
            file.data[3, 4, 5] = np.nan
    elif fault == "blank":
        with mrcfile.open(stack, mode="r+") as file:
            file.data[:] = 7
    elif fault == "missing":
        stack.unlink()
    else:
        stack.write_bytes(b"" if fault == "empty" else b"data_\n\nloop_\n" * 200)
    assert go() == 1
    said = capsys.readouterr()
    assert "reconstructed 2 of 3 tomograms" in said.out
    assert "TS_02 failed: " in said.err
    assert [name for name, made in volumes_of_good().items() if made] == ["TS_01", "TS_03"]
    assert sorted(os.listdir("T/tomograms")) == [
        f"rec_TS_0{i}.{end}" for i in (1, 3) for end in ("mrc", "png")
    ]
    if fault in ("count", "missing", "empty", "text"):
        return
    stack.write_bytes(whole)
    assert go("--continue") == 0
    assert all(volumes().values())


def volumes_of_good() -> dict[str, tuple[float, str] | None]:
    from tomoset.formats import read_without_images

    found = {}
    for name, t in read_without_images("T/tomograms.star").items():
        made = t.reconstruction
        found[name] = None if made is None or made.path is None else (made.binning, made.path)
    return found


def test_an_older_set_does_not_speak_of_what_is_replaced(
    three: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert go() == 0
    program = import_module("tomoset.programs.reconstruct")
    real, calls = program.PROGRAM.run, []

    def second_stops(task: object) -> object:
        calls.append(task)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(task)

    monkeypatch.setattr(program, "PROGRAM", replace(program.PROGRAM, run=second_stops))
    assert main(["reconstruct", "tomograms.star", "--o", "T", "--bin", "1"]) == 130
    assert "1 of 3 are done" in capsys.readouterr().err
    assert volumes() == {
        "TS_01": (1.0, "T/tomograms/rec_TS_01.mrc"),
        "TS_02": None,
        "TS_03": (2.0, "T/tomograms/rec_TS_03.mrc"),  # not touched yet
    }


def test_check_looks_at_volumes(three: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert go() == 0
    Path("T/tomograms/rec_TS_01.mrc").unlink()
    with mrcfile.open("T/tomograms/rec_TS_02.mrc", mode="r+") as file:
        file.voxel_size = 9.0
    assert main(["check", "T/tomograms.star"]) == 0
    captured = capsys.readouterr()
    said = " ".join((captured.out + captured.err).split())
    assert "F04 TS_01: the volume T/tomograms/rec_TS_01.mrc is not there" in said
    assert "F04 TS_02: voxels of T/tomograms/rec_TS_02.mrc have 9 Å, the set says 8 Å" in said


def test_paths_hold_from_another_folder(three: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there = three / "elsewhere"
    there.mkdir()
    monkeypatch.chdir(there)
    assert main(["reconstruct", "../tomograms.star", "--o", "T", "--bin", "2"]) == 0
    assert main(["check", "T/tomograms.star"]) == 0
    assert tomoset.read("T/tomograms.star")["TS_01"].stack == "../TS_01/TS_01.mrcs"


def test_a_worker_in_another_folder_writes_where_the_program_was_started(three: Path) -> None:
    t = tomoset.read("tomograms.star")["TS_01"]
    task = Task(
        tomogram=t,
        options=Options(binning=2),
        inputs=None,
        resources=Resources(),
        folder="T",
        file_name="TS_01",
        format="relion4",
        root=str(three),
    )
    os.mkdir("elsewhere")
    os.chdir("elsewhere")
    work = PROGRAM.work("T")
    done = PROGRAM.read(work(task))
    assert os.getcwd() == str(three / "elsewhere")
    assert done.path == "T/tomograms/rec_TS_01.mrc"
    assert (three / done.path).exists()
    with pytest.raises(FileNotFoundError, match="all machines need to see the same files"):
        work(replace(task, root="/not/there"))


def test_what_is_refused_before_anything_is_done(
    three: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy("tomograms.star", "mine.star")
    Path("other").mkdir()
    shutil.copy("tomograms.star", "other/tomograms.star")
    for arguments, code, says in (
        (["mine.star", "--o", "."], 1, "was not made by this command"),
        (["tomograms.star", "--o", "other"], 1, "was not made by this command"),
        (["tomograms.star", "--o", "."], 1, "is read by this command"),
        (["tomograms.star", "--o", ""], 2, "--o is empty"),
        (["tomograms.star", "--o", "T", "--tn", "TS_9"], 2, "there are TS_01, TS_02, TS_03"),
        (["tomograms.star", "--o", "T", "--bin", "0.5"], 2, "from 1 to"),
        (["tomograms.star", "--o", "T", "--bin", "2", "--pixel-size", "8"], 2, "not both"),
        (["tomograms.star", "--o", "T", "--w", "8"], 2, "all of --w --h --d"),
        (["tomograms.star", "--o", "T", "--taper", "-1"], 2, "taper must be"),
        (
            ["tomograms.star", "--o", "T", "--method", "sirt", "--ctf", "3d"],
            2,
            "--ctf 2d with sirt",
        ),
        (["tomograms.star", "--o", "T", "--device", "cuda"], 1, "--device cpu"),
    ):
        assert main(["reconstruct", *arguments]) == code, arguments
        assert says in capsys.readouterr().err.replace("\n", " ")
        assert not Path("T").exists()
    assert Path("tomograms.star").read_text() == Path("mine.star").read_text()


def test_nothing_empty_is_called_done(three: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reconstruct", "tomograms.star", "--o", "T", "--bin", "200", "--taper", "0"]) == 1
    assert "every voxel came out as the same" in capsys.readouterr().err
    assert not list(Path("T").rglob("*.mrc"))
    assert not Path("T/tomograms.star").exists()


def test_continue_does_the_rest_of_an_interrupted_run(three: Path) -> None:
    """SIGTERM in the middle: nothing half-written, and --continue does the rest."""
    command = [sys.executable, "-m", "tomoset", "reconstruct", "tomograms.star", "--o", "T"]
    with subprocess.Popen(
        [*command, "--bin", "1", "--method", "sirt", "--iterations", "60", "--workers", "2"],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
    ) as process:
        assert process.stderr is not None
        process.stderr.readline()  # the first one is done
        process.send_signal(signal.SIGTERM)
        process.stderr.read()
        assert process.wait(30) == 130
    left = [p for p in Path("T").rglob("*") if p.is_file()]
    assert not [p for p in left if p.name.startswith(".") or p.suffix == ".tmp"]
    for path in Path("T").rglob("*.mrc"):
        assert mrcfile.validate(path)
    again = ["--bin", "1", "--method", "sirt", "--iterations", "60", "--continue"]
    assert main(["reconstruct", "tomograms.star", "--o", "T", *again]) == 0
    assert all(volumes().values())


def test_a_local_dask_cluster_makes_the_same(three: Path) -> None:
    distributed = pytest.importorskip("distributed")
    assert go() == 0
    before = Path("T/tomograms/rec_TS_02.mrc").read_bytes()
    with (
        distributed.LocalCluster(
            n_workers=1,
            threads_per_worker=1,
            processes=False,
            protocol="tcp://",
            dashboard_address=None,
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        address = client.scheduler.address
        if not address.startswith("tcp://"):
            pytest.skip("this cluster has no address for others")
        code = main(
            ["reconstruct", "tomograms.star", "--o", "D", "--bin", "2", "--j", "1"]
            + ["--engine", address]
        )
    assert code == 0
    assert Path("D/tomograms/rec_TS_02.mrc").read_bytes() == before


def test_a_full_disk_leaves_nothing(
    three: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from tomoset.images import volume

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(volume.VolumeWriter, "write", full)
    assert go() == 1
    assert "No space left on device" in capsys.readouterr().err
    assert not list(Path("T").rglob("*.mrc"))
    assert not list(Path("T/tomograms").iterdir())


def test_repeated_runs_give_the_same_bytes(three: Path) -> None:
    """Two runs give the same bytes."""
    assert go("--j", "1") == 0
    first = Path("T/tomograms/rec_TS_01.mrc").read_bytes()
    time.sleep(0.01)
    assert go("--j", "2") == 0
    assert Path("T/tomograms/rec_TS_01.mrc").read_bytes() == first


@pytest.mark.filterwarnings("ignore:.*takes row i for image i:tomoset.LossyWarning")
def test_a_row_that_means_another_image_is_another_volume(
    three: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert go() == 0
    s = tomoset.read("tomograms.star")
    n = s["TS_02"].n_tilts
    turned = replace(s["TS_02"], image_index=np.arange(n)[::-1].copy())
    s.with_tomograms([s["TS_01"], turned, s["TS_03"]]).write("tomograms.star")
    assert go("--continue") == 0
    assert "(2 were there already)" in capsys.readouterr().out


def test_a_series_in_tiff_takes_its_size_from_the_images(three: Path) -> None:
    tifffile = pytest.importorskip("tifffile")
    with mrcfile.open("TS_01/TS_01.mrcs") as file:
        upside_down = np.asarray(file.data)[:, ::-1]
        tifffile.imwrite("a.tif", upside_down, photometric="minisblack", metadata=None)
    s = tomoset.read("tomograms.star")
    TomogramSet([replace(s["TS_01"], stack="a.tif")]).write("r5/tomograms.star", "relion5")
    assert main(["reconstruct", "r5/tomograms.star", "--o", "A", "--bin", "2"]) == 0
    assert go("--tn", "TS_01") == 0
    with (
        mrcfile.open("A/tomograms/rec_TS_01.mrc") as a,
        mrcfile.open("T/tomograms/rec_TS_01.mrc") as b,
    ):
        np.testing.assert_allclose(a.data, b.data, atol=1e-4)
    more = ["--o", "B", "--bin", "2", "--size", "40", "40", "20"]
    assert main(["reconstruct", "r5/tomograms.star", *more]) == 0
    assert tomoset.read("B/tomograms.star")["TS_01"].size == (40, 40, 20)


def test_what_cannot_be_written_is_known_before(
    three: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    s = tomoset.read("tomograms.star")
    t = s["TS_01"]
    assert t.projections is not None
    stretched = t.projections.copy()
    stretched[:, 0] *= 1.01
    from tomoset.formats import Tolerance, format_named

    skewed = s.with_tomograms([replace(t, projections=stretched)])
    tolerance = Tolerance(keep_matrices=True)
    format_named("relion5").write_set(skewed, "r5/tomograms.star", tolerance)
    more = ["--o", "B", "--bin", "2", "--size", "40", "40", "20"]
    assert main(["reconstruct", "r5/tomograms.star", *more]) == 1
    assert "rigid" in capsys.readouterr().err
    assert not Path("B").exists()
    assert main(["reconstruct", "r5/tomograms.star", "--o", "B", "--bin", "2"]) == 0


@pytest.mark.filterwarnings("ignore:.*takes row i for image i:tomoset.LossyWarning")
def test_one_tilt_image_has_no_halves(three: Path, capsys: pytest.CaptureFixture[str]) -> None:
    s = tomoset.read("tomograms.star")
    s.with_tomograms([s["TS_01"].select([4])]).write("one.star")
    assert main(["reconstruct", "one.star", "--o", "T", "--bin", "2", "--halves"]) == 1
    assert "has one tilt image" in capsys.readouterr().err
    assert not list(Path("T").rglob("*.mrc"))
    assert main(["reconstruct", "one.star", "--o", "T", "--bin", "2"]) == 0


def test_more_than_there_is_memory_for(
    three: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("tomoset.run._room.available_memory", lambda: 100)
    assert go("--ctf", "3d") == 1
    said = capsys.readouterr().err
    assert "GiB of memory" in said
    assert "take larger voxels (--bin), or --ctf 2d" in said


def test_a_tomogram_called_summary(three: Path) -> None:
    s = tomoset.read("tomograms.star")
    both = [replace(s["TS_01"], name="summary", source=None), s["TS_02"]]
    TomogramSet(both).write("two.star")
    for name in ("summary", "TS_02"):
        code = main(["reconstruct", "two.star", "--o", "T", "--bin", "2", "--tn", name])
        assert code == 0
    assert all(volumes().values())


def test_what_fails_is_not_said_to_have_an_older_volume(three: Path) -> None:
    from tomoset.model import Reconstruction

    s = tomoset.read("tomograms.star")
    old = [replace(t, reconstruction=Reconstruction(path="old.mrc")) for t in s.values()]
    s.with_tomograms(old).write("old.star")
    Path("TS_02/TS_02.mrcs").unlink()
    assert main(["reconstruct", "old.star", "--o", "T", "--bin", "2"]) == 1
    assert volumes()["TS_02"] is None


def test_what_nobody_asked_for_keeps_what_the_set_said(three: Path) -> None:
    from tomoset.model import Reconstruction

    s = tomoset.read("tomograms.star")
    old = [replace(t, reconstruction=Reconstruction(path="old.mrc")) for t in s.values()]
    s.with_tomograms(old).write("old.star")
    arguments = ["reconstruct", "old.star", "--o", "T", "--bin", "2", "--tn", "TS_01"]
    assert main(arguments) == 0
    assert volumes() == {
        "TS_01": (2.0, "T/tomograms/rec_TS_01.mrc"),
        "TS_02": (1.0, "old.mrc"),
        "TS_03": (1.0, "old.mrc"),
    }


def test_another_pixel_size_in_the_file_is_said(
    three: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with mrcfile.open("TS_02/TS_02.mrcs", mode="r+") as file:
        file.voxel_size = 8.0
    assert go() == 0
    said = " ".join(capsys.readouterr().err.split())
    assert "pixels of TS_02/TS_02.mrcs have 8 Å, those of the set 4 Å; the set's are taken" in said
    assert said.count("pixels of") == 1
    assert go("--strict") == 1
