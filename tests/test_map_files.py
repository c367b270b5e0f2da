"""Files that are carried from one alignment to another, by the command."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from tests.builders.command import run
from tests.builders.imod_alignment import imod_ts03
from tests.builders.moved_projects import moved_set, same_places
from tests.builders.random_projects import random_project, write_random_project
from tests.builders.shared_files import IMAGE_SIZE
from tomoset import star
from tomoset.errors import TomosetError, TomosetWarning
from tomoset.formats import read_points
from tomoset.formats._imod_model import ImodModel, read_model, write_model
from tomoset.model import Project, TomogramSet
from tomoset.project import open_project

Array = npt.NDArray[np.float64]


@pytest.fixture
def two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Project, Project]:
    """The folders old and new: a project in two frames."""
    monkeypatch.chdir(tmp_path)
    write_random_project(7, "relion4", "old")
    old = random_project(7, "relion4")
    new = moved_set(old, 7)
    bare = new.with_sets(particles=None, trajectories=None, manifolds=None, fiducials={})
    bare.write("new", "relion4")
    return old, new


def mapped(points: Array, two: tuple[Project, Project], name: str = "TS_01") -> Array:
    """Where points are in the new frame, by the images of both."""
    old, new = (project.tomograms[name] for project in two)
    return new.triangulate(old.project(points))


POINTS = np.array([[20.0, 22.0, 15.0], [30.5, 18.25, 12.0], [25.0, 30.0, 18.0]])


@pytest.mark.parametrize("dialect", ["relion4", "relion5"])
def test_a_project_there_and_back(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    dialect: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    write_random_project(5, dialect, "old")
    moved = moved_set(random_project(5, dialect), 5)
    moved.with_sets(particles=None, trajectories=None, manifolds=None, fiducials={}).write("new")
    code, out, errors = run(capsys, "map", "--from", "old", "--to", "new", "-o", "there")
    assert code == 0, errors
    assert "12 particles" in out
    code, out, errors = run(capsys, "map", "--from", "there", "--to", "old/tomograms.star",
                            "-o", "back", "--json")  # fmt: skip
    assert code == 0, errors
    assert max(t["residual"]["worst"] for t in json.loads(out)["tomograms"]) < 1e-4
    old, there, back = (open_project(f, check_links=False) for f in ("old", "there", "back"))
    same_places(old, there, 1e-4)
    same_places(old, back, 1e-4)
    assert there.trajectories is not None
    assert there.manifolds is not None
    assert len(there.fiducials) == 3
    assert "map --from old --to new" in run(capsys, "history", "there")[1]


def test_text_keeps_all_but_the_numbers(
    two: tuple[Project, Project], capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [f"{x:.2f}, {y:.2f},\t{z:.2f}" for x, y, z in POINTS.tolist()]
    Path("TS_01.txt").write_bytes("\r\n".join(["# picked", "x, y, z", *rows, ""]).encode())
    code, _, errors = run(capsys, "map", "--from", "old", "--to", "new", "TS_01.txt",
                          "-o", "out", "--binning", "1")  # fmt: skip
    assert code == 0, errors
    lines = Path("out/TS_01.txt").read_text().split("\n")
    assert lines[:2] == ["# picked", "x, y, z"]
    assert ",\t" in lines[2]
    found = [[float(x) for x in line.split(",")] for line in lines[2:5]]
    np.testing.assert_allclose(found, mapped(POINTS, two), atol=2e-3)


def test_text_with_names_and_others(
    two: tuple[Project, Project], capsys: pytest.CaptureFixture[str]
) -> None:
    Path("p.txt").write_text("TS_01 20 22 15\nTS_02 20 22 15\nother 1 2 3\n")
    Path("names").write_text("TS_01 TS_01\nother -\n")
    code, _, errors = run(capsys, "map", "--from", "old", "--to", "new", "p.txt", "-o", "q.txt",
                          "--binning", "1", "--names", "names")  # fmt: skip
    assert code == 0, errors
    lines = Path("q.txt").read_text().split()
    assert lines[::4] == ["TS_01", "TS_02"]
    for name, at in (("TS_01", lines[1:4]), ("TS_02", lines[5:8])):
        expected = mapped(POINTS[:1], two, name)[0]
        np.testing.assert_allclose(np.array(at, float), expected, atol=2e-3)
    code, _, errors = run(capsys, "map", "--from", "old", "--to", "new", "p.txt", "-o", "r.txt")
    assert code == 1
    assert "other" in errors
    assert not Path("r.txt").exists()


def test_models_and_binned_volumes(
    two: tuple[Project, Project], capsys: pytest.CaptureFixture[str]
) -> None:
    corner = [0.5, 0.5, 0.0]
    write_model(ImodModel(contours=(POINTS[:2] / 2 + corner, POINTS[2:] / 2 + corner)), "m.mod")
    code, _, errors = run(capsys, "map", "--from", "old", "--to", "new", "m.mod", "-o", "n.mod",
                          "--binning", "2", "--tn", "TS_02")  # fmt: skip
    assert code == 0, errors
    contours = read_model("n.mod").contours
    assert [len(c) for c in contours] == [2, 1]
    found = (np.concatenate(contours) - corner) * 2
    np.testing.assert_allclose(found, mapped(POINTS, two, "TS_02"), atol=1e-4)
    code, _, errors = run(capsys, "map", "--from", "old", "--to", "new", "m.mod", "-o", "x.mod")
    assert code == 1
    assert "--tn" in errors


def test_picks_in_star_files_keep_their_other_columns(
    two: tuple[Project, Project], capsys: pytest.CaptureFixture[str]
) -> None:
    labels = [f"rlnCoordinate{axis}" for axis in "XYZ"]
    columns = {
        label: [f"{x:.6f}" for x in column]
        for label, column in zip(labels, (POINTS / 2).T.tolist(), strict=True)
    }
    table = star.Table(
        "", {"rlnTomoName": ["TS_03"] * 3, **columns, "rlnSphereRadius": ["1.50", "2", "3"]}
    )
    star.write(star.StarFile((table,)), "picks.star")
    code, _, errors = run(capsys, "map", "--from", "old", "--to", "new", "picks.star",
                          "-o", "out.star", "--binning", "2")  # fmt: skip
    assert code == 0, errors
    found = star.read("out.star").first
    assert list(found["rlnSphereRadius"]) == ["1.50", "2", "3"]
    places = np.stack([found.floats(label) for label in labels], axis=1) * 2
    np.testing.assert_allclose(places, mapped(POINTS, two, "TS_03"), atol=1e-5)


@pytest.mark.parametrize("to", ["dynamo", "ndjson", "peet", "stopgap", "av3", "copick", "eman2"])
def test_tables_of_other_packages(
    two: tuple[Project, Project], capsys: pytest.CaptureFixture[str], to: str
) -> None:
    old, new = two
    assert old.particles is not None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TomosetWarning)
        old.particles.write("tables", old.tomograms, to)
    made = [str(p) for p in sorted(Path("tables").rglob("*"))
            if p.suffix in (".tbl", ".ndjson", ".csv", ".star", ".em", ".lst", ".json")]  # fmt: skip
    code, out, errors = run(capsys, "map", "--from", "old", "--to", "new", *made, "-o", "out",
                            "--binning", "1", "--json")  # fmt: skip
    assert code == 0, errors
    written = json.loads(out)["written"]
    code, _, errors = run(capsys, "import", "particles", *written, "--t", "new/tomograms.star",
                          "-o", "again.star", "--binning", "1")  # fmt: skip
    assert code == 0, errors
    again = open_project("new/tomograms.star", particles="again.star", check_links=False).particles
    assert again is not None
    assert new.particles is not None
    for name, rows in new.particles.by_tomogram().items():
        mine = again.select(again.in_tomogram(name))
        np.testing.assert_allclose(mine.positions, new.particles.positions[rows], atol=5e-3)
        turned = np.swapaxes(mine.orientations, 1, 2) @ new.particles.orientations[rows]
        np.testing.assert_allclose(turned, np.broadcast_to(np.eye(3), turned.shape), atol=1e-4)


def test_relion_particles_into_a_file(
    two: tuple[Project, Project], capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ("--from", "old/tomograms.star", "--to", "new", "old/particles.star")
    code, _, errors = run(capsys, "map", *arguments, "-o", "p.star", "--pointwise")
    assert code == 0, errors
    found = open_project("new/tomograms.star", particles="p.star", check_links=False)
    assert found.particles is not None
    assert two[1].particles is not None
    np.testing.assert_allclose(found.particles.positions, two[1].particles.positions, atol=1e-4)
    code, _, errors = run(capsys, "map", *arguments, "-o", "old/particles.star", "--overwrite")
    assert code == 1
    assert "is read by this command" in errors


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "expected particles, found none"),
        (b"1 2\n", "bad.txt:1"),
        (b"1 2 3\n4 5 x\n", "bad.txt:2"),
        (b"1 2 3 4\n", "bad.txt:1"),
        (b"a 1 2 3\n1 2 3\n", "bad.txt:2"),
        (b"1 2 3\n1 2 nan\n", "particle 2"),
        (b"1 2 3\0", "binary"),
        (b"1000 2000 3000\n", "lie outside"),
    ],
)
def test_damaged_files_of_points_are_said(
    two: tuple[Project, Project], capsys: pytest.CaptureFixture[str], content: bytes, said: str
) -> None:
    Path("bad.txt").write_bytes(content)
    code, _, errors = run(capsys, "map", "--from", "old", "--to", "new", "bad.txt", "-o", "out",
                          "--tn", "TS_01")  # fmt: skip
    assert code == 1
    assert said in errors
    assert not Path("out/bad.txt").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("a.txt", "b.txt", "-o", "c.txt"), "a file is made of one source"),
        (("nowhere.txt", "-o", "out"), "nowhere.txt: there is no such file"),
        (("nowhere.star", "-o", "out"), "nowhere.star"),
        (("old/particles.star", "-o", "out", "--binning", "-1"), "above 0"),
        (("new/tomograms.star", "-o", "out"), "tomograms.star"),
    ],
)
def test_wrong_use_is_said(
    two: tuple[Project, Project],
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    said: str,
) -> None:
    for name in ("a.txt", "b.txt"):
        Path(name).write_text("1 2 3\n")
    code, _, errors = run(capsys, "map", "--from", "old", "--to", "new", *arguments)
    assert code in (1, 2)
    assert said in errors
    assert "mistake in tomoset" not in errors
    assert not Path("out").exists()


def test_a_set_with_nothing_in_it_is_said(
    two: tuple[Project, Project], capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, errors = run(capsys, "map", "--from", "new", "--to", "old", "-o", "out")
    assert code == 1
    assert "nothing lies in the tomograms of the old set" in errors


def damage(folder: Path, times: int) -> None:
    """Files of points with a few other bytes, cut short, are refused by an error of ours or read."""
    rng = np.random.default_rng(0)
    write_model(ImodModel(contours=(POINTS,)), folder / "a.mod")
    (folder / "a.txt").write_text("# points\nx y z\n1 2 3\n4.5 -6e1 7\n")
    (folder / "b.txt").write_text("TS_01,1,2,3\nTS_02,4.5,-6e1,7\n")
    (folder / "a.star").write_text(
        "data_\n\nloop_\n_rlnCoordinateX\n_rlnCoordinateY\n_rlnCoordinateZ\n1 2 3\n4 5 6\n"
    )
    for path in sorted(folder.iterdir()):
        whole = path.read_bytes()
        for _ in range(times):
            data = bytearray(whole)
            for at in rng.integers(0, len(data), rng.integers(1, 4)):
                data[at] = rng.integers(0, 256)
            path.write_bytes(bytes(data[: rng.integers(1, len(data) + 1)]))
            try:
                found = read_points(path)
            except TomosetError:
                continue
            assert found.points.shape[1] == 3


def test_any_damage_is_an_error_of_ours_or_a_file_of_points(tmp_path: Path) -> None:
    damage(tmp_path, 75)


@pytest.mark.slow
def test_much_damage_is_an_error_of_ours_or_a_file_of_points(tmp_path: Path) -> None:
    damage(tmp_path, 1250)


def test_two_real_alignments_by_the_command(
    shared: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    root = (shared / "data/relion5/EMPIAR-10164").resolve()
    new = TomogramSet([imod_ts03(shared.resolve(), IMAGE_SIZE)])
    monkeypatch.chdir(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TomosetWarning)
        new.write("imod.star", "relion5")
    arguments = ["map", "--from", str(root / "CtfRefine/job027"), "--to", "imod.star"]
    particles = str(root / "Picks/job019/particles.star")
    code, out, errors = run(capsys, *arguments, particles, "-o", "mapped")
    assert code == 0, errors
    assert "1.19, 24.7" in out
    assert "TS_45" in errors
    assert "what lies in TS_01, TS_43 is left out" in errors
    code, out, _ = run(capsys, "info", "mapped", "--json")
    assert json.loads(out)["particles"]["tomograms"] == {"TS_03": 1871}
    code, _, errors = run(capsys, *arguments, particles, "-o", "no", "--max-residual", "1")
    assert code == 1
    assert "--pointwise" in errors
    assert not Path("no").exists()
