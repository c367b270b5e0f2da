"""New sets made of others: what they name, which links go on, what they never replace."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import mrcfile
import numpy as np
import pytest

import tomoset
from tomoset import star
from tomoset.cli import main
from tomoset.errors import (
    AssumptionWarning,
    FileAccessError,
    FileFormatError,
    LossyWarning,
    MissingFileError,
    ModelError,
)
from tomoset.model import Optics, Reconstruction, Tomogram, TomogramSet
from tomoset.programs._linked import follow_motions
from tomoset.programs._program import Done, Program, Result
from tomoset.programs._request import Request, refuse_unknown
from tomoset.programs._task import Task
from tomoset.project import Project, fiducials_of, open_project, open_tomograms
from tomoset.project.history import read_history
from tomoset.project.transform import read_transforms, transform_tomogram
from tomoset.run import Resources

QUIET = Resources(quiet=True)
NAMES = ("TS_01", "TS_02")
LINKS = """# mine

data_optimisation_set

loop_
_rlnTomoTomogramsFile
_rlnTomoParticlesFile
_rlnTomoManifoldsFile
_rlnMine
sets/tomograms.star  sets/particles.star  "" kept
"""


@dataclass(frozen=True, kw_only=True, eq=False)
class Note(Result):
    """What the programs of these tests find."""

    path: str
    motion: np.ndarray[Any, np.dtype[np.float64]] | None = None


#: Their options are what is noted of a tomogram: by its name, else "seen".
Texts = Mapping[str, str]


def text(task: Task[Texts]) -> str:
    return task.options.get(task.tomogram.name, "seen")


def note(task: Task[Texts]) -> Note:
    if text(task) == "fail":
        raise ModelError("it was to fail")
    path = Path(task.target("{name}.txt"))
    path.parent.mkdir(exist_ok=True, parents=True)
    path.write_text(text(task))
    return Note(path=str(path), files=(str(path),))


NOTE = Program(
    name="note",
    verb="noted",
    result=Note,
    run=note,
    outputs=lambda task: [task.target("{name}.txt")],
    depends=text,
    updated=lambda tomogram, result: replace(tomogram, fiducials=result.path),
    cleared=lambda tomogram: replace(tomogram, fiducials=None),
)
Noting = Program[Texts, Note]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A set of two series, and an optimisation set that names it."""
    monkeypatch.chdir(tmp_path)
    tomograms = []
    for name in NAMES:
        with mrcfile.new(f"{name}.mrcs") as file:
            file.set_data(np.zeros((3, 8, 10), np.float32))
        tomograms.append(
            Tomogram(
                name=name,
                n_tilts=3,
                optics=Optics(pixel_size=2.0),
                stack=f"{name}.mrcs",
                image_size=(10, 8),
                size=(10, 8, 4),
                projections=tomoset.geometry.rotation_y([-30.0, 0.0, 30.0]),
                pre_exposure=np.arange(3.0),
                fiducials=f"old/{name}.star",
            )
        )
    TomogramSet(tomograms).write("sets/tomograms.star")
    Path("sets/particles.star").write_text("data_\n")
    Path("optimisation_set.star").write_text(LINKS)
    return tmp_path


def go(
    program: Noting = NOTE,
    given: str = "sets/tomograms.star",
    to: str = "N",
    resume: bool = False,
    names: tuple[str, ...] = (),
    texts: Texts | None = None,
) -> Done[Note]:
    return of_project(program, open_tomograms(given), to, resume=resume, names=names, texts=texts)


def of_project(
    program: Noting,
    project: Project,
    to: str | None,
    *,
    resume: bool = False,
    names: tuple[str, ...] = (),
    texts: Texts | None = None,
) -> Done[Note]:
    request = Request.of(project, to, texts or {}, replace(QUIET, resume=resume), names)
    may_write: list[str] = []
    if program.motion is not NOTE.motion and program is not FLAT and to:
        project, may_write = follow_motions(project, to)
        request = replace(request, project=project)
    return request.carry_out(program, may_write=may_write)


def named(path: str = "N/tomograms.star") -> dict[str, str | None]:
    return {name: t.fiducials for name, t in tomoset.read(path).items()}


def test_every_tomogram_gets_its_result_and_record(folder: Path) -> None:
    done = go()
    assert (done.path, done.report.failed) == ("N/tomograms.star", {})
    assert named() == {name: f"N/{name}.txt" for name in NAMES}
    assert sorted(os.listdir("N")) == [
        *(".tomoset", "TS_01.txt", "TS_02.txt", "run_note", "summary.json", "tomograms.star")
    ]
    (entry,) = read_history("N")
    assert {"tomograms.star", "run_note/set.json"} <= entry.writes.keys()
    assert go(resume=True).report.skipped == NAMES
    assert go(resume=True, texts={"TS_02": "other"}).report.skipped == ("TS_01",)


def test_what_failed_is_cleared_and_what_nobody_asked_for_stays(folder: Path) -> None:
    assert set(go(texts={"TS_01": "fail"}).report.failed) == {"TS_01"}
    assert named() == {"TS_01": None, "TS_02": "N/TS_02.txt"}
    go(to="M", names=("TS_01",))
    assert named("M/tomograms.star") == {"TS_01": "M/TS_01.txt", "TS_02": "old/TS_02.star"}
    both = dict.fromkeys(NAMES, "fail")
    assert go(to="L", texts=both).path is None
    assert not Path("L/tomograms.star").exists()


def test_without_clearing_what_failed_stays_as_it_was(folder: Path) -> None:
    go(replace(NOTE, cleared=Program.cleared), texts={"TS_01": "fail"})
    assert named() == {"TS_01": "old/TS_01.star", "TS_02": "N/TS_02.txt"}


def test_an_interrupted_run_keeps_finished_results(folder: Path) -> None:
    def stopped(task: Task[Texts]) -> Note:
        if task.tomogram.name == "TS_02":
            raise KeyboardInterrupt
        return note(task)

    with pytest.raises(KeyboardInterrupt):
        go(replace(NOTE, run=stopped))
    assert named() == {"TS_01": "N/TS_01.txt", "TS_02": None}


def test_a_set_says_with_what_a_program_was_not_ready(folder: Path) -> None:
    go(texts={"TS_02": "fail"})
    stopped = tomoset.read("N/tomograms.star")
    assert {name: t.unfinished for name, t in stopped.items()} == {"TS_01": (), "TS_02": ("note",)}
    with pytest.warns(AssumptionWarning, match=r"tomoset note has failed or was stopped for TS_02"):
        go(replace(NOTE, name="next"), given="N/tomograms.star", to="M")
    assert tomoset.read("M/tomograms.star")["TS_02"].unfinished == ("note",)
    go(resume=True)
    assert not any(t.unfinished for t in tomoset.read("N/tomograms.star").values())


def test_without_a_folder_nothing_is_written(folder: Path) -> None:
    silent = replace(NOTE, run=lambda task: Note(path=str(task.folder), motion=np.eye(4)))
    before = sorted(folder.rglob("*"))
    done = of_project(silent, open_tomograms("sets/tomograms.star"), None)
    assert done.path is None
    assert [result.path for result in done.results.values()] == ["None", "None"]
    np.testing.assert_array_equal(done.results["TS_01"].motion, np.eye(4))
    assert sorted(folder.rglob("*")) == before
    with pytest.raises(ModelError, match="nothing to resume from"):
        of_project(silent, open_tomograms("sets/tomograms.star"), None, resume=True)
    failed = of_project(NOTE, open_tomograms("sets/tomograms.star"), None).report.failed
    assert "there is no folder" in failed["TS_01"]


def test_a_tomogram_without_a_task_stays(folder: Path) -> None:
    request = Request.of(open_tomograms("sets/tomograms.star"), "N", {}, QUIET, ())
    done = request.carry_out(NOTE, {"TS_02": None})
    assert list(done.report.results) == ["TS_02"]
    assert named() == {"TS_01": "old/TS_01.star", "TS_02": "N/TS_02.txt"}


def test_linked_sets_are_passed_on(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    go()
    assert not Path("N/optimisation_set.star").exists()
    go(given="optimisation_set.star", to="M")
    text = Path("M/optimisation_set.star").read_text()
    assert text.lstrip().startswith("# mine\n\ndata_optimisation_set\n")
    table = star.read("M/optimisation_set.star").first
    assert {label: values[0] for label, values in table.columns.items()} == {
        "rlnTomoTomogramsFile": "M/tomograms.star",
        "rlnTomoParticlesFile": "sets/particles.star",
        "rlnTomoManifoldsFile": "",
        "rlnMine": "kept",
    }
    Path("elsewhere").mkdir()
    monkeypatch.chdir("elsewhere")
    go(given="../optimisation_set.star", to="M")
    table = star.read("M/optimisation_set.star").first
    assert table["rlnTomoParticlesFile"][0] == "../sets/particles.star"
    assert table["rlnTomoTomogramsFile"][0] == "M/tomograms.star"
    assert tomoset.read("M/tomograms.star")["TS_01"].stack == "../TS_01.mrcs"


def test_links_where_there_were_none(folder: Path) -> None:
    go(replace(NOTE, links=True))
    text = Path("N/optimisation_set.star").read_text()
    said = ["# version 30001", "data_", "_rlnTomoTomogramsFile N/tomograms.star"]
    assert [" ".join(line.split()) for line in text.splitlines() if line.strip()] == said


def test_fiducials_are_found_from_here(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("old").mkdir()
    Path("old/TS_02.star").touch()
    Path("elsewhere").mkdir()
    monkeypatch.chdir("elsewhere")
    go(given="../sets/tomograms.star", names=("TS_01",))
    assert named() == {"TS_01": "N/TS_01.txt", "TS_02": "../old/TS_02.star"}


def test_what_no_earlier_run_has_made_is_not_replaced(folder: Path) -> None:
    for given, to, says in (
        ("sets/tomograms.star", "sets", "is read by this command"),
        ("optimisation_set.star", ".", "is read by this command"),
    ):
        with pytest.raises(FileAccessError, match=says):
            go(given=given, to=to)
    go()
    with pytest.raises(FileAccessError, match="not made by this command"):
        go(replace(NOTE, name="other"))
    Path("L").mkdir()
    Path("L/optimisation_set.star").write_text(LINKS)
    with pytest.raises(FileAccessError, match=r"L/optimisation_set.star is there"):
        go(given="optimisation_set.star", to="L")
    assert go(to="L").path == "L/tomograms.star"  # which writes no such file
    assert Path("L/optimisation_set.star").read_text() == LINKS


def test_an_empty_set_and_unknown_names_are_refused(folder: Path) -> None:
    empty = Project(tomograms=TomogramSet())
    with pytest.raises(ModelError, match="nothing to do"):
        of_project(NOTE, empty, "N")
    with pytest.raises(ModelError, match="there are TS_01, TS_02"):
        refuse_unknown(open_tomograms("sets/tomograms.star").tomograms, ["TS_3"])
    assert not Path("N").exists()


def test_fiducials_of_a_tomogram(folder: Path) -> None:
    tomograms = open_tomograms(".").tomograms
    t = tomograms["TS_01"]
    with pytest.raises(MissingFileError, match="tomogram 'TS_01' names the fiducials"):
        fiducials_of(t, "relion4")
    assert fiducials_of(replace(t, fiducials=None), "relion4") is None
    Path("sets/old").mkdir()
    Path("sets/old/TS_01.star").write_text(
        "data_\nloop_\n_rlnOriginXAngst\n_rlnOriginYAngst\n_rlnOriginZAngst\n4 6 8\n"
    )
    t = open_tomograms(".").tomograms["TS_01"]
    for format, point in (("relion4", [1, 2, 3]), ("relion5", [2, 3, 4])):
        found = fiducials_of(t, format)
        assert found is not None
        assert found.points.tolist() == [point]


def test_reconstruct_takes_an_optimisation_set(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(1)
    for name in NAMES:
        with mrcfile.open(f"{name}.mrcs", "r+") as file:
            file.data[:] = rng.normal(size=file.data.shape)
    more = ["--o", "T", "--bin", "2", "--taper", "0"]
    assert main(["reconstruct", "--i", "optimisation_set.star", *more]) == 0
    assert "set: T/tomograms.star" in capsys.readouterr().out
    project = open_tomograms("T")
    assert all(t.reconstruction for t in project.tomograms.values())
    table = star.read("T/optimisation_set.star").first
    assert table["rlnTomoParticlesFile"][0] == "sets/particles.star"
    both = ["--i", "optimisation_set.star", "--t", "sets/tomograms.star", *more]
    assert main(["reconstruct", *both]) == 2
    assert "give the set once" in capsys.readouterr().err
    Path("sets/tomograms.star").unlink()
    assert main(["reconstruct", "optimisation_set.star", *more]) == 1
    assert "rlnTomoTomogramsFile is 'sets/tomograms.star'" in capsys.readouterr().err


# ---- tomograms in another frame --------------------------------------------------------------

TRANSFORM = tomoset.geometry.translation([1, 2, -1]) @ tomoset.geometry.rotation_x(5.0)
PICKS = """data_particles
loop_
_rlnTomoName
_rlnCoordinateX
_rlnCoordinateY
_rlnCoordinateZ
_rlnMine
TS_01 1.50 2 3 a
TS_02 1.50 2 3 b
"""
BALLS = "".join(
    f"data_{name}\nloop_\n_rlnTomoManifoldIndex\n_rlnTomoManifoldType\n_rlnTomoManifoldParams\n"
    "1 sphere [1.50,2,3,4]\n\n"
    for name in NAMES
)
BEADS = "data_\nloop_\n_rlnOriginXAngst\n_rlnOriginYAngst\n_rlnOriginZAngst\n4.00 6 8\n"


def levelled(tomogram: Tomogram, result: Note) -> Tomogram:
    return tomogram if result.motion is None else transform_tomogram(tomogram, result.motion)


def level(task: Task[Texts]) -> Note:
    return replace(note(task), motion=None if text(task) == "still" else TRANSFORM)


LEVEL = replace(
    NOTE,
    name="level",
    run=level,
    updated=levelled,
    cleared=Program.cleared,
    motion=lambda result: result.motion,
)
#: The same, of which is said that no tomogram will be transformed.
FLAT = replace(LEVEL)


@pytest.fixture
def linked(folder: Path) -> Path:
    """The same with particles, manifolds and beads that are there."""
    Path("sets/particles.star").write_text(PICKS)
    Path("sets/manifolds.star").write_text(BALLS)
    Path("old").mkdir()
    for name in NAMES:
        Path(f"old/{name}.star").write_text(BEADS)
    Path("optimisation_set.star").write_text(LINKS.replace('""', "sets/manifolds.star"))
    return folder


def links(path: str) -> dict[str, str]:
    return {label: values[0] for label, values in star.read(path).first.columns.items()}


def shown(project: Project, name: str) -> list[np.ndarray[Any, Any]]:
    """Where images show particles, beads and the middles of manifolds."""
    t, p, m = project.tomograms[name], project.particles, project.manifolds
    assert p is not None
    assert m is not None
    points = [
        p.positions[p.in_tomogram(name)],
        m[name][0].centre[None],
        project.fiducials[name].points,
    ]
    return [t.project(x) for x in points]


def test_what_is_linked_goes_along(linked: Path) -> None:
    before = open_project("optimisation_set.star")
    go(LEVEL, "optimisation_set.star", "M", texts={"TS_02": "still"})
    assert links("M/optimisation_set.star") == {
        "rlnTomoTomogramsFile": "M/tomograms.star",
        "rlnTomoParticlesFile": "M/particles.star",
        "rlnTomoManifoldsFile": "M/manifolds.star",
        "rlnMine": "kept",
    }
    assert named("M/tomograms.star") == {
        "TS_01": "M/fiducials_TS_01.star",
        "TS_02": "old/TS_02.star",
    }
    after = open_project("M")
    for name in NAMES:
        for old, new in zip(shown(before, name), shown(after, name), strict=True):
            np.testing.assert_allclose(new, old, atol=1e-9)
    table = star.read("M/particles.star")["particles"]
    assert list(table["rlnMine"]) == ["a", "b"]
    assert table["rlnCoordinateX"][0] == "2.5"
    assert table["rlnCoordinateX"][1] == "1.50"
    assert "[1.50,2,3,4]" in Path("M/manifolds.star").read_text()
    transforms = read_transforms("M/transforms.star")
    assert list(transforms) == ["TS_01"]
    np.testing.assert_array_equal(transforms["TS_01"], TRANSFORM)


def test_links_are_right_at_any_time(linked: Path) -> None:
    """From the frames of before again, whatever an earlier run had transformed."""
    go(LEVEL, "optimisation_set.star", "M")
    first = Path("M/particles.star").read_text()
    go(LEVEL, "optimisation_set.star", "M", resume=True)
    assert Path("M/particles.star").read_text() == first
    go(LEVEL, "optimisation_set.star", "M", texts={"TS_01": "fail"})
    assert list(read_transforms("M/transforms.star")) == ["TS_02"]
    assert star.read("M/particles.star")["particles"]["rlnCoordinateX"][0] == "1.50"

    def stopped(task: Task[Texts]) -> Note:
        assert links("M/optimisation_set.star")["rlnTomoParticlesFile"] == "sets/particles.star"
        assert not Path("M/transforms.star").exists()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        go(replace(LEVEL, run=stopped), "optimisation_set.star", "M")
    assert list(read_transforms("M/transforms.star")) == ["TS_02"]  # which is there still
    assert open_project("M").tomograms["TS_01"].fiducials == "old/TS_01.star"
    still = dict.fromkeys(NAMES, "still")
    go(FLAT, "optimisation_set.star", "M", names=("TS_01",), texts=still)
    assert list(read_transforms("M/transforms.star")) == ["TS_02"]  # transformed by an earlier run
    assert links("M/optimisation_set.star")["rlnTomoParticlesFile"] == "M/particles.star"
    go(FLAT, "optimisation_set.star", "M", texts=still)
    assert not Path("M/transforms.star").exists()
    assert links("M/optimisation_set.star")["rlnTomoParticlesFile"] == "sets/particles.star"


def test_without_particles_the_transforms_are_what_is_left(linked: Path) -> None:
    with pytest.warns(
        LossyWarning, match=r"no particles are linked .* matrices of N/transforms.star"
    ):
        go(LEVEL)
    assert sorted(os.listdir("N")) == [
        *(
            ".tomoset",
            "TS_01.txt",
            "TS_02.txt",
            "fiducials_TS_01.star",
            "fiducials_TS_02.star",
            "run_level",
        ),
        *("summary.json", "tomograms.star", "transforms.star"),
    ]
    assert list(read_transforms("N/transforms.star")) == list(NAMES)
    still = dict.fromkeys(NAMES, "still")
    go(FLAT, texts=still)
    assert not Path("N/transforms.star").exists()
    Path("N/transforms.star").write_text("mine")
    go(FLAT, texts=still)
    assert Path("N/transforms.star").read_text() == "mine"


def test_a_project_made_in_memory_is_processed(linked: Path) -> None:
    """What was read already, from wherever, goes along as it is."""
    project = open_project("sets/tomograms.star", particles="sets/particles.star")
    of_project(replace(LEVEL, links=True), project, "M")
    assert links("M/optimisation_set.star") == {
        "rlnTomoParticlesFile": "M/particles.star",
        "rlnTomoTomogramsFile": "M/tomograms.star",
    }
    assert project.particles is not None
    after = open_project("M").particles
    assert after is not None
    there = tomoset.geometry.apply(TRANSFORM, project.particles.positions)
    np.testing.assert_array_equal(after.positions, there)


def test_what_was_picked_out_of_linked_sets_is_written(linked: Path) -> None:
    """A program that changes no particles must not tie in the file they were taken from."""
    whole = open_project("optimisation_set.star")
    assert whole.particles is not None
    assert whole.manifolds is not None
    assert whole.particles.path == "sets/particles.star"
    few = whole.particles.select([1])
    one = whole.manifolds.with_manifolds({"TS_01": whole.manifolds["TS_01"]})
    assert few.path is None
    assert one.path is None
    idle = replace(NOTE, updated=lambda tomogram, _: tomogram)
    of_project(idle, whole.with_sets(particles=few, manifolds=one), "N")
    after = open_project("N")
    assert after.particles is not None
    assert after.manifolds is not None
    np.testing.assert_array_equal(after.particles.positions, few.positions)
    assert list(after.manifolds) == ["TS_01"]


def test_beads_of_its_own_and_volumes_of_before(linked: Path) -> None:
    tomograms = tomoset.read("sets/tomograms.star")
    made = Reconstruction(binning=4, path="rec.mrc")
    tomograms.with_tomograms(replace(t, reconstruction=made) for t in tomograms.values()).write("sets/tomograms.star")  # fmt: skip

    def own(tomogram: Tomogram, result: Note) -> Tomogram:
        return replace(levelled(tomogram, result), fiducials=result.path)

    with pytest.warns(LossyWarning, match="reconstruct it again") as found:
        go(replace(LEVEL, updated=own), "optimisation_set.star", "M", names=("TS_01",))
    assert len(found) == 1
    after = tomoset.read("M/tomograms.star")
    assert named("M/tomograms.star") == {"TS_01": "M/TS_01.txt", "TS_02": "old/TS_02.star"}
    assert after["TS_01"].reconstruction == Reconstruction()
    assert after["TS_02"].reconstruction == made


def test_a_program_that_says_nothing_of_the_beads(linked: Path) -> None:
    def rotated(tomogram: Tomogram, result: Note) -> Tomogram:
        return replace(tomogram, projections=levelled(tomogram, result).projections)

    go(replace(LEVEL, updated=rotated), "optimisation_set.star", "M")
    assert named("M/tomograms.star") == {name: f"M/fiducials_{name}.star" for name in NAMES}


def test_beads_that_are_not_there(linked: Path) -> None:
    Path("old/TS_01.star").unlink()
    with pytest.warns(
        LossyWarning,
        match=r"'TS_01' has another frame, and its fiducials cannot follow: .*put it there",
    ):
        go(LEVEL, "optimisation_set.star", "M")
    assert named("M/tomograms.star") == {"TS_01": None, "TS_02": "M/fiducials_TS_02.star"}


def test_what_cannot_follow_is_known_before_the_first_job(linked: Path) -> None:
    Path("sets/particles.star").write_text(PICKS.replace("TS_0", "TS_3"))
    with pytest.raises(FileFormatError, match=r"particles.star:\d+: .*'TS_3"):
        go(LEVEL, "optimisation_set.star", "M")
    Path("sets/particles.star").unlink()
    with pytest.raises(MissingFileError, match=r"rlnTomoParticlesFile is 'sets/particles.star'"):
        go(LEVEL, "optimisation_set.star", "M")
    assert not Path("M").exists()
    go(given="optimisation_set.star", to="M")  # where nothing is transformed, nobody asks


def test_linked_files_are_not_replaced(linked: Path) -> None:
    for name in ("transforms", "particles", "fiducials_TS_02"):
        path = Path(f"L/{name}.star")
        path.parent.mkdir(exist_ok=True)
        path.write_text("mine")
        with pytest.raises(FileAccessError, match=rf"L/{name}.star is there, and was not made"):
            go(LEVEL, "optimisation_set.star", "L")
        path.unlink()
    Path("L/run_level").mkdir()
    Path("L/particles.star").write_text(PICKS)
    Path("optimisation_set.star").write_text(LINKS.replace("sets/particles", "L/particles"))
    with pytest.raises(
        FileAccessError, match=r"L/particles.star is linked to the set that is read"
    ):
        go(LEVEL, "optimisation_set.star", "L")
    assert Path("L/particles.star").read_text() == PICKS
