"""What takes long says how far it is; outputs are named and given alike by all commands."""

from __future__ import annotations

import sys
from pathlib import Path

import click
import numpy as np
import pytest

import tomoset
from tests.builders.command import run
from tests.builders.image_stacks import write_images
from tests.builders.tomograms import rigid_tomogram
from tomoset import star
from tomoset.cli._spelling import every_command
from tomoset.model import ParticleSet, Project, TomogramSet
from tomoset.run import Resources, doing, listening, shown
from tomoset.run import run as run_jobs
from tomoset.simulate.write import ProjectOptions

SMALL = ["--series", "1", "--tilts", "9", "--size", "48", "40", "16", "--beads", "1"]


@pytest.fixture
def heard() -> list[str]:
    return []


@pytest.fixture
def noise(here: Path) -> TomogramSet:
    images = np.random.default_rng(0).normal(size=(5, 47, 65)).astype(np.float32)
    write_images(here / "a.mrc", images, 2.0)
    return TomogramSet([rigid_tomogram(name="a", stack="a.mrc")], format="relion4")


def test_simulation_tells_each_image(tmp_path: Path, heard: list[str]) -> None:
    with listening(heard.append):
        tomoset.simulate_project(tmp_path / "p", n_series=1, tilts=9, size=(48, 40, 16), beads=1)
    assert heard[:3] == ["tilt series TS_01", "image 1 of 9", "image 2 of 9"]


def test_any_number_of_threads_simulates_the_same(tmp_path: Path) -> None:
    small = ProjectOptions(n_series=1, tilts=9, size=(48, 40, 16), beads=1)
    for threads in (1, 3):
        tomoset.simulate_project(tmp_path / str(threads), small, threads=threads)
    one, three = ((tmp_path / f"{n}/TS_01/TS_01.mrc").read_bytes() for n in (1, 3))
    assert one == three


def test_new_stacks_tell_each_image(noise: TomogramSet, heard: list[str]) -> None:
    less = noise.with_tomograms([t.exclude([2], "ice") for t in noise.values()])
    less.write("tomograms.star", "relion5")
    with listening(heard.append):
        tomoset.convert("tomograms.star", "r4/tomograms.star", to="relion4")
    assert heard == [f"r4/stacks/a.mrcs: image {i}" for i in (1, 2, 3, 4)]


def test_iterations_tell_each_round(
    noise: TomogramSet, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tomoset.run._steps.Rarely.now", lambda _: True)
    tomoset.reconstruct(noise, "out", binning=2, method="sirt", iterations=3, figures="none")
    monkeypatch.undo()
    assert "a: round 1 of 3 at most" in capsys.readouterr().err.splitlines()


def test_where_there_is_no_terminal_lines_come_rarely(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with shown():
        doing("much")
    assert capsys.readouterr().err == ""
    monkeypatch.setattr("tomoset.run._steps.Rarely.now", lambda _: True)
    with shown():
        doing("much")
    doing("nobody listens")
    assert capsys.readouterr().err == "much\n"


def test_on_a_terminal_one_line_is_written_again_and_is_gone_at_the_end(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tomoset.run._steps.on_terminal", lambda: True)
    monkeypatch.setattr("tomoset.run._steps.Rarely.now", lambda _: True)
    with shown():
        doing("image 1")
        doing("image 2")
    assert capsys.readouterr().err == "\rimage 1\x1b[K\rimage 2\x1b[K\r\x1b[K"


def test_jobs_that_fail_are_told_without_their_name_twice(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(_: int) -> dict[str, object]:
        raise tomoset.ModelError("tomogram 'a': it is bad")

    report = run_jobs(fail, {"a": 1}, Resources())
    assert capsys.readouterr().err == "1/1 a failed: it is bad\n"
    assert report.lines("done", "job")[1] == "  a: it is bad"
    assert report.lines("done", "job", told=True) == [
        f"done 0 of 1 job in {report.seconds:.1f} s; 1 failed, as said above: a"
    ]


def test_every_command_that_writes_takes_its_output_by_the_same_options() -> None:
    reads = {"formats", "info", "check", "diff", "history", "undo", "view"}
    for name, command in every_command():
        if name.split()[1] not in reads:
            spelled = [o for p in command.params if isinstance(p, click.Option) for o in p.opts]
            assert {"--o", "-o", "--output"} <= set(spelled), name


@pytest.mark.parametrize("option", ["--o", "-o", "--output"])
def test_what_is_written_can_be_named_by_an_option(
    noise: TomogramSet, capsys: pytest.CaptureFixture[str], option: str
) -> None:
    noise.write("tomograms.star")
    assert run(capsys, "convert", "tomograms.star", option, "r5/t.star", "--to", "relion5")[0] == 0
    assert Path("r5/t.star").exists()
    assert run(capsys, "simulate", option, "p", *SMALL)[0] == 0
    assert Path("p/tilt_series.star").exists()
    for given in (["p", option, "q"], []):
        code, _, said = run(capsys, "simulate", *given, *SMALL)
        assert (code, "say once what to write: as OUT, or by --o" in said) == (2, True)


@pytest.mark.parametrize("dialect", ["relion4", "relion5"])
def test_paths_of_a_project_begin_in_the_working_folder_wherever_it_is_written(
    noise: TomogramSet, dialect: str
) -> None:
    particles = ParticleSet(tomogram_names=["a"], coordinates=np.ones((1, 3)))
    Project(tomograms=noise, particles=particles).write("source", "relion4")
    done = tomoset.convert("source", Path("target").absolute(), to=dialect)
    entries = star.read(done.written).first
    assert list(entries["rlnTomoParticlesFile"]) == ["target/particles.star"]
    assert list(entries["rlnTomoTomogramsFile"]) == ["target/tomograms.star"]
    if dialect == "relion5":
        (table,) = star.read("target/tomograms.star").tables
        assert list(table["rlnTomoTiltSeriesStarFile"]) == ["target/tilt_series/a.star"]
    assert tomoset.open_project("target").particles is not None


def test_paths_beside_the_working_folder_are_relative_too(
    noise: TomogramSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    Project(tomograms=noise).write("source", "relion4")
    Path("project").mkdir()
    monkeypatch.chdir("project")
    done = tomoset.convert("../source", Path("../other").resolve(), to="relion5")
    assert list(star.read(done.written).first["rlnTomoTomogramsFile"]) == [
        "../other/tomograms.star"
    ]
    monkeypatch.chdir("/")
    assert tomoset.open_project(done.written).tomograms["a"].image_size == (65, 47)


def test_names_are_whole_however_narrow_the_terminal(
    noise: TomogramSet, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    name = "Position_" + "12_" * 20
    noise.with_tomograms([rigid_tomogram(name=name, stack="a.mrc")]).write("tomograms.star")
    shown = run(capsys, "info", "tomograms.star")[1]
    assert any(line.startswith(name) for line in shown.splitlines())
