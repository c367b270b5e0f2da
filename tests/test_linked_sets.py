"""Manifolds, trajectories, fiducials, optimisation sets: texts kept, mistakes refused."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

import tomoset
from tests.builders.relion_texts import MANIFOLDS, MOTION, TOMOGRAMS, same_texts
from tests.builders.shared_files import SHARED
from tomoset import star
from tomoset.formats import _relion_sets as sets
from tomoset.model import Fiducials, Manifold, ManifoldSet, ParticleSet, TrajectorySet


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


# ---- manifolds -------------------------------------------------------------------------------


def manifolds(tmp_path: Path, text: str = MANIFOLDS) -> ManifoldSet:
    return sets.read_manifolds(write(tmp_path / "manifolds.star", text), TOMOGRAMS)


def test_manifolds_keep_their_texts(tmp_path: Path) -> None:
    m = manifolds(tmp_path)
    assert list(m) == ["TS_01", "001"]
    assert [x.index for x in m["TS_01"]] == [1, 3]
    assert m["TS_01"][0].centre.tolist() == [10.5, 20, 30]
    assert m["TS_01"][1].mean_radius == pytest.approx(10)
    assert "3 in 2" in repr(m)
    for dialect in ("relion4", "relion5"):
        assert same_texts(sets.manifolds_to_star(m, dialect), star.loads(MANIFOLDS))


def test_changed_manifolds_get_new_texts_and_others_keep_theirs(tmp_path: Path) -> None:
    m = manifolds(tmp_path)
    ball, blob = m["TS_01"]
    bigger = Manifold(index=1, kind="sphere", params=[*ball.centre, 6.5])  # type: ignore[arg-type]
    new = Manifold(index=9, kind="sphere", params=[0.1, 0, 0, 1])  # type: ignore[arg-type]
    out = sets.manifolds_to_star(
        m.with_manifolds({"TS_01": [bigger, blob, new], "002": [new]}), "relion5"
    )
    assert out.names == ("TS_01", "other", "002")
    table = out["TS_01"]
    assert list(table["rlnTomoManifoldIndex"]) == ["1", "2", "3", "9"]
    assert list(table["rlnTomoManifoldParams"]) == [
        "[10.5,20.0,30.0,6.5]", "[1,2,3]", "[10,20,30,35.4490770181,1.0,0,0.50]", "[0.1,0.0,0.0,1.0]"
    ]  # fmt: skip
    assert list(table["rlnTomoManifoldType"]) == ["sphere", "", "spheroid", "sphere"]
    assert list(table["rlnMine"]) == ["a", "b", "c", "empty"]
    assert out["002"].comments == ("# version 50001",)


def test_surfaces_of_spheroids_are_sums_of_harmonics() -> None:
    """docs/relion.md, 'Manifolds': Y_0 = 1 / (2 sqrt(pi)); Y_1..3 are -y, z, -x of the
    direction."""
    a = [2 * math.sqrt(math.pi) * 10, 0.3, -0.7, 1.1]
    blob = Manifold(index=1, kind="spheroid", params=[5, 6, 7, *a])  # type: ignore[arg-type]
    assert blob.mean_radius == pytest.approx(10)
    phi, theta = np.array([0, 30, 200.0]), np.array([[0], [45.0], [-80]])
    p, t = np.deg2rad(phi), np.deg2rad(theta)
    x, y, z = np.cos(p) * np.cos(t), np.sin(p) * np.cos(t), np.sin(t)
    first = math.sqrt(3 / (4 * math.pi))
    expected = 10 + first * (-a[1] * y + a[2] * z - a[3] * x)
    np.testing.assert_allclose(blob.radius(phi, theta), expected)
    out = blob.surface(phi, theta) - [5, 6, 7]
    np.testing.assert_allclose(np.linalg.norm(out, axis=-1), expected)
    np.testing.assert_allclose(out[..., 2], expected * z)


def test_harmonics_are_orthonormal() -> None:
    """Over the sphere, with Gauss-Legendre nodes in sin(latitude)."""
    nodes, weights = np.polynomial.legendre.leggauss(12)
    phi, theta = np.arange(24) * 15.0, np.rad2deg(np.arcsin(nodes))[:, None]
    values = []
    for i in range(25):
        blob = Manifold(index=1, kind="spheroid", params=[0, 0, 0, *np.eye(25)[i]])  # type: ignore[arg-type]
        values.append(blob.radius(phi, theta))
    y = np.array(values)
    gram = np.einsum("ajk,bjk,j->ab", y, y, weights) * (2 * np.pi / 24)
    np.testing.assert_allclose(gram, np.eye(25), atol=1e-12)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("] sphere\n2", "] cube\n2", r"manifolds.star:\d+: .*one of sphere, spheroid, not 'cube'"),
        ("[10.50,20,30,5.0]", "[10.50,20,30]", r"manifolds.star:\d+: .*4 parameters x, y, z, r, not 3"),
        (",0.50]", "]", r"manifolds.star:\d+: .*1, 4, 9, ... coefficients, not 6"),
        ("[1,2,3,4]", "1,2", r"manifolds.star:\d+: .*expected numbers in brackets"),
        ("[1,2,3,4]", "[1,nan,3,4]", r"manifolds.star:\d+: .*one row of numbers"),
        ("3 c", "1 c", r"manifolds.star:\d+: .*a second manifold has the index 1"),
        ("data_001", "data_TS_01", "2 tables are called data_TS_01"),
        ("_rlnTomoManifoldType #3", "_rlnMoon #3", "has no _rlnTomoManifoldType"),
        ("Manifold", "Moon", "not a manifold set"),
    ],
)  # fmt: skip
def test_damaged_manifolds_are_refused(tmp_path: Path, old: str, new: str, says: str) -> None:
    with pytest.raises(tomoset.FileFormatError, match=says):
        manifolds(tmp_path, MANIFOLDS.replace(old, new))


def test_manifolds_of_no_tomogram_are_left_out(tmp_path: Path) -> None:
    text = MANIFOLDS.replace("data_001", "data_TS_02")
    with pytest.warns(tomoset.LossyWarning, match=r"1 of 2 tables .*'TS_02'.*did you mean 'TS_01'"):
        found = manifolds(tmp_path, text)
    assert list(found) == ["TS_01"]
    with pytest.raises(tomoset.FileFormatError, match=r"manifolds.star:\d+: .*'TS_03'"):
        manifolds(tmp_path, text.replace("data_TS_01", "data_TS_03"))


def test_two_manifolds_of_one_index_are_refused() -> None:
    ball = Manifold(index=1, kind="sphere", params=[0, 0, 0, 1])  # type: ignore[arg-type]
    with pytest.raises(tomoset.ModelError, match="2 manifolds have index 1"):
        ManifoldSet({"a": [ball, ball]})


# ---- trajectories ----------------------------------------------------------------------------

PARTICLES = ParticleSet(tomogram_names=["001", "TS_01"], coordinates=np.zeros((2, 3)))  # type: ignore[arg-type]


def motion(
    tmp_path: Path, text: str = MOTION, particles: ParticleSet | None = PARTICLES
) -> TrajectorySet:
    return sets.read_trajectories(write(tmp_path / "motion.star", text), particles, TOMOGRAMS)


@pytest.mark.parametrize("particles", [PARTICLES, None])
def test_trajectories_keep_their_texts(tmp_path: Path, particles: ParticleSet | None) -> None:
    t = motion(tmp_path, particles=particles)
    assert t["TS_01/1"].tolist() == [[0, 0, 0], [1.5, -2, 3], [-1, 0.25, 0]]
    assert "2 particles" in repr(t)
    for dialect in ("relion4", "relion5"):
        assert same_texts(sets.trajectories_to_star(t, dialect), star.loads(MOTION))


def test_changed_trajectories_get_new_texts_and_others_keep_theirs(tmp_path: Path) -> None:
    t = motion(tmp_path)
    moved = t["001/1"] + [[0, 0, 0], [0.5, 0, 0]]
    out = sets.trajectories_to_star(
        t.with_trajectories({"001/1": moved, "new": [[1, 2, 3]]}), "relion5"
    )
    assert out.names == ("general", "001/1", "new")
    assert list(out["general"]["rlnParticleNumber"]) == ["2"]
    assert list(out["001/1"]["rlnOriginXAngst"]) == ["0", "4.5"]
    assert list(out["001/1"]["rlnMine"]) == ["p", "q"]
    with pytest.warns(tomoset.LossyWarning, match="rlnMine"):
        out = sets.trajectories_to_star(t.with_trajectories({"001/1": moved[:1]}), "relion5")
    assert out["001/1"].labels == ("rlnOriginXAngst", "rlnOriginYAngst", "rlnOriginZAngst")
    assert list(out["general"]["rlnParticleNumber"]) == ["1"]
    new = sets.trajectories_to_star(TrajectorySet({"a/1": [[1, 2, 3]]}), "relion4")
    assert new["general"].is_loop is False
    assert new["a/1"].floats("rlnOriginYAngst").tolist() == [2]


def test_numbered_trajectories(tmp_path: Path) -> None:
    text = MOTION.replace("data_001/1", "data_0").replace("data_TS_01/1", "data_1")
    # In the order of the particles: the first is of 001, so its table comes first.
    head, one, zero = (
        text.partition("data_1")[0],
        "data_1" + text.partition("data_1")[2].partition("data_0")[0],
        "data_0" + text.partition("data_0")[2],
    )
    with pytest.warns(tomoset.AssumptionWarning, match="legacy"):
        t = motion(tmp_path, head + zero + one)
    assert t["001/1"].tolist() == [[0, 0, 0], [4, 5, 6]]
    assert sets.trajectories_to_star(t, "relion5").names == ("general", "001/1", "TS_01/1")


def test_trajectories_without_their_count(tmp_path: Path) -> None:
    text = MOTION.replace("_rlnParticleNumber 2", "_rlnMoon 2")
    with pytest.warns(tomoset.AssumptionWarning, match="the 2 tables"):
        t = motion(tmp_path, text)
    assert sets.trajectories_to_star(t, "relion4")["general"].labels == (
        "rlnMoon",
        "rlnParticleNumber",
    )


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (MOTION.replace("-1 0.25 0\n", ""), r"motion.star:\d+: data_TS_01/1: expected 3 rows.*'TS_01', found 2"),
        (MOTION.replace("data_TS_01/1", "data_TS_01/2"), "1 of 2 particles have no trajectory: 'TS_01/1'; the tables are named 'TS_01/2'"),
        (MOTION.replace("Number 2", "Number 3"), r"motion.star:\d+: .*3 trajectories are announced, but the file has 2"),
        (MOTION[: MOTION.index("data_001")].replace("Number 2", "Number 1"), "1 trajectories for 2 particles"),
        (MOTION.replace("0.25", "inf"), r"motion.star:\d+: .*finite number.*found inf"),
        (MOTION.replace("0.25", "x"), r"motion.star:\d+: .*expected a number, found 'x'"),
        ("data_moon\n_rlnMoon 1\n", "not a trajectory set"),
    ],
)  # fmt: skip
def test_damaged_trajectories_are_refused(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(tomoset.FileFormatError, match=says):
        motion(tmp_path, text)


@pytest.mark.parametrize(
    ("value", "says"),
    [([[1, 2]], r"\(n_tilts, 3\)"), ([[1, 2, np.nan]], "tilt image 1: .*expected a finite number")],
)
def test_impossible_trajectories_are_refused(value: list[list[float]], says: str) -> None:
    with pytest.raises(tomoset.ModelError, match=says):
        TrajectorySet({"a": value})


# ---- fiducials -------------------------------------------------------------------------------

FIDUCIALS = """
# version 30001

data_

loop_
_rlnOriginXAngst #1
_rlnOriginYAngst #2
_rlnOriginZAngst #3
_rlnMine #4
54.000000 48.0 0.00 a
1e2 20 -3 b

"""


def test_fiducials_count_from_one_in_relion_4(tmp_path: Path) -> None:
    path = write(tmp_path / "f.star", FIDUCIALS)
    four = sets.read_fiducials(path, dialect="relion4", pixel_size=2.0)
    five = sets.read_fiducials(path, dialect="relion5", pixel_size=2.0)
    assert four.points.tolist() == [[26, 23, -1], [49, 9, -2.5]]
    assert five.points.tolist() == [[27, 24, 0], [50, 10, -1.5]]
    out = sets.fiducials_to_star(four, dialect="relion4", pixel_size=2.0)
    assert same_texts(out, star.loads(FIDUCIALS))
    other = sets.fiducials_to_star(four, dialect="relion5", pixel_size=2.0)
    assert list(other.first["rlnOriginXAngst"]) == ["52.0", "98.0"]
    assert list(other.first["rlnMine"]) == ["a", "b"]
    assert other.first.comments == ("# version 50001",)
    with pytest.warns(tomoset.LossyWarning, match="rlnMine"):
        fewer = sets.fiducials_to_star(
            Fiducials(points=four.points[:1], source=four.source), dialect="relion4", pixel_size=2.0
        )
    assert list(fewer.first["rlnOriginXAngst"]) == ["54.0"]


def test_no_fiducials_are_no_bytes(tmp_path: Path) -> None:
    path = write(tmp_path / "f.star", "")
    none = sets.read_fiducials(path, dialect="relion4", pixel_size=2.0)
    assert none.points.shape == (0, 3)
    sets.write_fiducials(none, tmp_path / "out.star", dialect="relion5", pixel_size=2.0)
    assert (tmp_path / "out.star").read_bytes() == b""
    one = Fiducials(points=[[1, 2, 3]], source=none.source)  # type: ignore[arg-type]
    sets.write_fiducials(one, tmp_path / "out.star", dialect="relion4", pixel_size=2.0)
    assert list(star.read(tmp_path / "out.star").first["rlnOriginZAngst"]) == ["8.0"]


def test_damaged_fiducials_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "f.star", FIDUCIALS)
    with pytest.raises(tomoset.FileFormatError, match="no pixel size"):
        sets.read_fiducials(path, dialect="relion4", pixel_size=None)
    with pytest.raises(tomoset.MissingFileError, match="no such file of fiducials"):
        sets.read_fiducials(tmp_path / "moon.star", dialect="relion4", pixel_size=2.0)
    for old, new, says in (
        ("-3", "nan", r"f.star:\d+: .*finite number.*found nan"), ("rlnOriginZ", "rlnMoon", "not a file of fiducials"),
    ):  # fmt: skip
        write(path, FIDUCIALS.replace(old, new))
        with pytest.raises(tomoset.FileFormatError, match=says):
            sets.read_fiducials(path, dialect="relion4", pixel_size=2.0)
    for points, says in (([[1, 2]], r"\(n, 3\)"), ([[1, 2, np.inf]], "finite number")):
        with pytest.raises(tomoset.ModelError, match=says):
            Fiducials(points=points)  # type: ignore[arg-type]


# ---- optimisation sets -----------------------------------------------------------------------

REAL = sorted((SHARED / "data/relion5").rglob("*optimisation_set.star"))


@pytest.mark.skipif(not REAL, reason="the folder ../shared is not there")
@pytest.mark.parametrize("path", REAL, ids=lambda p: f"{p.parent.parent.name}/{p.parent.name}")
def test_real_optimisation_sets_come_back(path: Path) -> None:
    found = sets.read_optimisation_set(path)
    assert found.entries["rlnTomoTomogramsFile"].endswith("tomograms.star")
    assert all(found.entries.values())
    assert same_texts(
        sets.optimisation_set_to_star(found.entries, found.file, "relion5"), star.read(path)
    )


def test_optimisation_sets_keep_unknown_entries() -> None:
    text = 'data_\n_rlnTomoTomogramsFile a\n_rlnTomoTrajectoriesFile ""\n_rlnMine b\n'
    found = sets.read_optimisation_set(star.loads(text))
    assert dict(found.entries) == {"rlnTomoTomogramsFile": "a", "rlnMine": "b"}
    out = sets.optimisation_set_to_star(
        {"rlnTomoManifoldsFile": "m", "rlnTomoParticlesFile": "p", "rlnMine": "b"},
        found.file,
        "relion4",
    )
    assert {k: v[0] for k, v in out.first.columns.items()} == {
        "rlnTomoTomogramsFile": "", "rlnTomoTrajectoriesFile": "", "rlnMine": "b",
        "rlnTomoParticlesFile": "p", "rlnTomoManifoldsFile": "m",
    }  # fmt: skip
    new = sets.optimisation_set_to_star(
        {"rlnTomoTomogramsFile": "t", "rlnTomoParticlesFile": "p"}, None, "relion5"
    )
    assert new.first.labels == ("rlnTomoParticlesFile", "rlnTomoTomogramsFile")
    assert not new.first.is_loop


def test_damaged_optimisation_sets_are_refused() -> None:
    with pytest.raises(tomoset.errors.MissingFieldError, match=r"in.star: not an optimisation set"):
        sets.read_optimisation_set(star.loads("data_\n_rlnMoon a\n", "in.star"))
    two = "data_optimisation_set\nloop_\n_rlnTomoParticlesFile\na\nb\n"
    with pytest.raises(tomoset.FileFormatError, match=r"in.star:5: .*found 2 rows"):
        sets.read_optimisation_set(star.loads(two, "in.star"))
