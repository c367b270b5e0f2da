"""Projects: links are followed, all sets are written as one, in both dialects."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import tomoset
from tests.builders.relion_texts import (
    GLOBAL,
    MANIFOLDS,
    MOTION,
    PARTICLES_4,
    PARTICLES_5,
    same_texts,
    tilt_table,
)
from tomoset import Optics, Tomogram, TomogramSet, geometry, star
from tomoset.model import Fiducials, Manifold, ManifoldSet, ParticleSet, TrajectorySet
from tomoset.project import Project, open_project

TOMOGRAMS = (
    GLOBAL
    + "TS_01 a.mrc 3 4000 4000 2000 -1 1.35 300 2.7 0.1 x\n001 b.mrc 2 401 403 201 -1 1.35 300 2.7 0.1 y\n\n"
)
TILT = "[1,0,0,3.5] [0,1,0,-2] [0,0,1,0] [0,0,0,1] 20000 19000 30.0 {dose} p"


def tilts(name: str, n: int) -> str:
    return tilt_table(name, [TILT.format(dose=i) for i in range(n)])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A RELION project with all sets, as jobs leave it."""
    jobs = {
        "Import/job001/tomograms.star": TOMOGRAMS + tilts("TS_01", 3) + tilts("001", 2),
        "Extract/job002/particles.star": PARTICLES_4,
        "Picks/job003/manifolds.star": MANIFOLDS,
        "Polish/job004/motion.star": MOTION.replace("_rlnParticleNumber 2", "_rlnParticleNumber 3").replace("data_001/1", "data_001/7") + "data_TS_01/9\nloop_\n_rlnOriginXAngst\n_rlnOriginYAngst\n_rlnOriginZAngst\n0 0 0\n0 0 0\n1 1 1\n",
        "Polish/job004/optimisation_set.star": """data_
_rlnTomoParticlesFile Extract/job002/particles.star
_rlnTomoTomogramsFile Import/job001/tomograms.star
_rlnTomoTrajectoriesFile Polish/job004/motion.star
_rlnTomoManifoldsFile Picks/job003/manifolds.star
_rlnTomoReferenceMap1File Reconstruct/half1.mrc
_rlnTomoReferenceMaskFile ""
_rlnMine kept
""",
    }  # fmt: skip
    for path, text in jobs.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    return tmp_path


def test_links_are_followed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = folder / "deep" / "folder"
    elsewhere.mkdir(parents=True)
    monkeypatch.chdir(elsewhere)
    p = open_project(folder / "Polish/job004/optimisation_set.star")
    assert list(p.tomograms) == ["TS_01", "001"]
    assert p.particles is not None
    assert p.manifolds is not None
    assert p.trajectories is not None
    assert p.particles.particle_names.tolist() == ["TS_01/1", "001/7", "TS_01/9"]
    assert p.trajectories["TS_01/9"][2].tolist() == [1, 1, 1]
    assert dict(p.references) == {"half1": "Reconstruct/half1.mrc"}  # not there: as it is said
    assert repr(p) == "<Project: 2 tomograms, 3 particles, 3 manifolds, 3 trajectories>"
    assert repr(open_project(folder / "Polish/job004")) == repr(p)
    alone = open_project(folder / "Import/job001")
    assert alone.particles is None
    assert alone.source is None


def test_options_come_before_entries(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    other = folder / "fewer.star"
    star.write(
        [t if t.name != "particles" else t.take([1]) for t in star.loads(PARTICLES_4)], other
    )
    p = open_project("Polish/job004", particles="fewer.star")
    assert p.particles is not None
    assert len(p.particles) == 1
    q = open_project(
        "Import/job001/tomograms.star",
        particles=other,
        manifolds="Picks/job003/manifolds.star",
        trajectories=Path("Polish/job004/motion.star"),
    )
    assert q.manifolds is not None
    assert q.trajectories is not None
    with pytest.raises(tomoset.MissingFileError, match=r"moon.star: .*given for the trajectories"):
        open_project("Polish/job004", trajectories="moon.star")
    with pytest.raises(tomoset.errors.AmbiguityError, match="give only one"):
        open_project("Import/job001/tomograms.star", tomograms="Import/job001/tomograms.star")


def test_the_working_folder_is_looked_at_last(
    folder: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    away = tmp_path_factory.mktemp("away") / "optimisation_set.star"
    shutil.copy(folder / "Polish/job004/optimisation_set.star", away)
    with pytest.raises(
        tomoset.MissingFileError, match=r"rlnTomoTomogramsFile is 'Import.*the tomogram set"
    ):
        open_project(away)
    monkeypatch.chdir(folder)
    assert open_project(away).particles is not None


def test_missing_linked_files_are_refused_or_left_out(folder: Path) -> None:
    (folder / "Polish/job004/motion.star").unlink()
    with pytest.raises(
        tomoset.MissingFileError,
        match=r"rlnTomoTrajectoriesFile is 'Polish/job004/motion.star'.*the trajectories",
    ):
        open_project(folder / "Polish/job004")
    p = open_project(folder / "Polish/job004", check_links=False)
    assert dict(p.unread) == {"trajectories": "Polish/job004/motion.star"}
    with pytest.raises(tomoset.ModelError, match=r"Polish/job004/motion.star, which has not been"):
        _ = p.trajectories
    with pytest.raises(tomoset.MissingFileError, match=r"rlnTomoTrajectoriesFile is"):
        p.load()
    path = folder / "Polish/job004/optimisation_set.star"
    path.write_text('data_\n_rlnTomoTomogramsFile ""\n_rlnTomoParticlesFile a\n')
    with pytest.raises(tomoset.errors.MissingFieldError, match="no tomogram set"):
        open_project(path, check_links=False)


def test_folders_that_mean_several_sets(folder: Path) -> None:
    job = folder / "Polish/job004"
    with pytest.raises(tomoset.MissingFileError, match=r"holds no optimisation_set.star"):
        open_project(folder)
    shutil.copy(folder / "Import/job001/tomograms.star", job)
    with pytest.raises(
        tomoset.errors.AmbiguityError, match=r"names Import/job001/tomograms.star; give the path"
    ):
        open_project(job)
    (job / "tomograms.star").unlink()
    (job / "optimisation_set.star").rename(job / "run_it001_optimisation_set.star")
    assert open_project(job).particles is not None
    shutil.copy(job / "run_it001_optimisation_set.star", job / "run_optimisation_set.star")
    with pytest.raises(
        tomoset.errors.AmbiguityError,
        match=r"run_it001_optimisation_set.star, run_optimisation_set.star",
    ):
        open_project(job)


def test_sets_that_do_not_fit_are_refused(folder: Path) -> None:
    path = folder / "Import/job001/tomograms.star"
    others = (TOMOGRAMS + tilts("TS_01", 3) + tilts("001", 2)).replace("001", "x")
    path.write_text(others.replace("TS_01", "TS_02"))
    with pytest.raises(
        tomoset.FileFormatError, match=r"particles.star:\d+: .*'TS_01'.*did you mean 'TS_02'"
    ):
        open_project(folder / "Polish/job004")


@pytest.mark.parametrize("format", ["relion4", "relion5"])
def test_projects_are_written_and_read(
    folder: Path, format: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    p = open_project("Polish/job004")
    points = np.array([[0, 1, 2], [100.25, 50, 7]])
    rigid = [replace(t, projections=geometry.rotation_y(np.zeros(t.n_tilts)), image_size=t.size[:2]) for t in p.tomograms.values() if t.size]  # fmt: skip
    p = replace(
        p, tomograms=p.tomograms.with_tomograms(rigid),
        fiducials={"TS_01": Fiducials(points=points), "001": Fiducials(points=np.zeros((0, 3)))},
    )  # fmt: skip
    made = p.write("out/all", format)
    assert made == Path("out/all/optimisation_set.star")
    entries = {k: v[0] for k, v in star.read(made).first.columns.items()}
    assert entries == {
        "rlnTomoParticlesFile": "out/all/particles.star", "rlnTomoTomogramsFile": "out/all/tomograms.star",
        "rlnTomoTrajectoriesFile": "out/all/motion.star", "rlnTomoManifoldsFile": "out/all/manifolds.star",
        "rlnTomoReferenceMap1File": "Reconstruct/half1.mrc", "rlnTomoReferenceMaskFile": "", "rlnMine": "kept",
    }  # fmt: skip
    q = open_project("out/all")
    assert q.tomograms.format == format
    assert q.tomograms["TS_01"].fiducials == "out/all/fiducials_TS_01.star"
    assert len(star.read(folder / "out/all/fiducials_001.star").first) == 0
    first = {"relion4": 1.35, "relion5": 0.0}[format]
    assert star.read("out/all/fiducials_TS_01.star").first.floats("rlnOriginXAngst")[
        0
    ] == pytest.approx(first)
    np.testing.assert_allclose(q.fiducials["TS_01"].points, points, atol=1e-9)
    assert p.particles is not None
    assert q.particles is not None
    np.testing.assert_allclose(q.particles.positions, p.particles.positions, atol=1e-9)
    for name, text in (
        ("manifolds", MANIFOLDS),
        ("motion", (folder / "Polish/job004/motion.star").read_text()),
    ):
        assert same_texts(star.read(f"out/all/{name}.star"), star.loads(text))
    if format == "relion4":
        assert same_texts(star.read("out/all/particles.star"), star.loads(PARTICLES_4))
    placed = [t.placed(image_size=t.size[:2]) for t in q.tomograms.values() if t.size]
    q = replace(q, tomograms=q.tomograms.with_tomograms(placed))
    back = q.write("back", "relion4")
    r = open_project(back)
    assert r.particles is not None
    np.testing.assert_allclose(r.particles.coordinates, p.particles.coordinates, atol=1e-9)
    np.testing.assert_allclose(r.fiducials["TS_01"].points, points, atol=1e-9)


def test_a_project_of_nothing_but_values(tmp_path: Path) -> None:
    one = Tomogram(
        name="a/b", n_tilts=2, stack="x.mrc", size=(11, 10, 9), optics=Optics(pixel_size=2.0), pre_exposure=[0.0, 1.0],  # type: ignore[arg-type]
    )  # fmt: skip
    ball = Manifold(index=1, kind="sphere", params=[1, 2, 3, 4])  # type: ignore[arg-type]
    p = Project(
        tomograms=TomogramSet([one]),
        particles=ParticleSet(tomogram_names=["a/b"], coordinates=[[1, 2, 3]]),  # type: ignore[arg-type]
        manifolds=ManifoldSet({"a/b": [ball]}),
        trajectories=TrajectorySet({"a/b/1": [[0, 0, 0], [1, 1, 1]]}),
        fiducials={"a/b": Fiducials(points=[[1, 2, 3]])},  # type: ignore[arg-type]
    )
    q = open_project(p.write(tmp_path, "relion4"))
    assert (
        repr(q)
        == repr(p)
        == "<Project: 1 tomograms, 1 particles, 1 manifolds, 1 trajectories, fiducials of 1>"
    )
    assert q.particles is not None
    assert q.particles.positions.tolist() == [[1, 2, 3]]
    assert q.fiducials["a/b"].points.tolist() == [[1, 2, 3]]
    assert (tmp_path / "fiducials_a_b.star").is_file()


def test_nothing_is_written_of_sets_that_do_not_fit(tmp_path: Path) -> None:
    one = Tomogram(name="a", n_tilts=2, stack="x.mrc", optics=Optics(pixel_size=2.0))
    p = Project(
        tomograms=TomogramSet([one]),
        particles=ParticleSet(tomogram_names=["b"], coordinates=[[1, 2, 3]]),  # type: ignore[arg-type]
    )
    with pytest.raises(tomoset.ModelError, match="no tomogram is called 'b'"):
        p.write(tmp_path / "out", "relion4")
    with pytest.raises(tomoset.UnsupportedError, match=r"relion4, relion5, .*, not 'peet'"):
        p.write(tmp_path / "out", "peet")
    assert not (tmp_path / "out").exists()
    bead = Fiducials(points=[[1, 2, 3]])  # type: ignore[arg-type]
    with pytest.raises(tomoset.ModelError, match="fiducials of 'b'"):
        Project(tomograms=TomogramSet([one]), fiducials={"b": bead})
    unknown = TomogramSet([replace(one, optics=Optics(pixel_size=None))])
    with pytest.raises(tomoset.ModelError, match="no pixel size"):
        Project(tomograms=unknown, fiducials={"a": bead}).write(tmp_path / "out", "relion4")
    twins = TomogramSet([replace(one, name="a/b"), replace(one, name="a_b")])
    both = Project(tomograms=twins, fiducials={"a/b": bead, "a_b": bead})
    with pytest.raises(tomoset.ModelError, match="would both be called"):
        both.write(tmp_path / "out", "relion4")


def test_missing_fiducials_are_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    text = (
        TOMOGRAMS.replace("_rlnMyOwn", "_rlnTomoFiducialsStarFile")
        + tilts("TS_01", 3)
        + tilts("001", 2)
    )
    Path("Import/job001/tomograms.star").write_text(text)
    with pytest.raises(
        tomoset.MissingFileError,
        match="tomogram 'TS_01' names the fiducials 'x', and there is no such file",
    ):
        open_project("Import/job001")
    p = open_project("Import/job001", check_links=False)
    assert p.tomograms["TS_01"].fiducials == "x"
    assert not p.fiducials


def test_a_real_project_is_opened_with_its_particles(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its tomograms of which the tilt series are there, with the particles picked in them."""
    root = shared / "data/relion5/EMPIAR-10164"
    for job in ("CtfRefine/job027", "Picks/job019"):
        shutil.copytree(root / job, tmp_path / job)
    monkeypatch.chdir(tmp_path)
    there = [p.stem for p in Path("CtfRefine/job027/tilt_series").glob("*.star")]
    for path in ("CtfRefine/job027/tomograms.star", "Picks/job019/particles.star"):
        text = star.read(path)
        rows = np.isin(np.array(list(text.first["rlnTomoName"])), there)
        star.write(replace(text, tables=(text.first.take(rows),)), path)
    p = open_project(Path("CtfRefine/job027"), particles="Picks/job019/particles.star")
    assert p.tomograms.format == "relion5"
    assert p.particles is not None
    assert sorted(p.particles.by_tomogram()) == sorted(there)
    made = p.write("out", "relion5")
    assert same_texts(star.read("out/particles.star"), star.read("Picks/job019/particles.star"))
    q = open_project(made)
    assert q.particles is not None
    np.testing.assert_array_equal(q.particles.positions, p.particles.positions)
    for name, rows in q.particles.by_tomogram().items():
        t = q.tomograms[name].placed(image_size=(3838, 3710))
        seen = t.project(q.particles.positions[rows])
        inside = ((seen > 0) & (seen < (3838, 3710))).all(axis=-1)
        assert inside.mean() > 0.99  # the tomogram is a little larger than the images
        # docs/relion.md, 'Particles of RELION 5': RELION 5 moves its picks by one voxel on the way
        # to centred ones.
        picked = star.read(f"Picks/job019/annotations/{name}_particles.star").first
        binned = np.stack([picked.floats(f"rlnCoordinate{axis}") for axis in "XYZ"], axis=1)
        np.testing.assert_allclose(q.particles.positions[rows], 7.407407 * binned + 1, atol=2e-6)


def test_particles_of_relion_5_in_a_set_of_relion_5(folder: Path) -> None:
    """The columns of the particles say how they count, whatever the set is."""
    (folder / "Extract/job002/particles.star").write_text(PARTICLES_5)
    (folder / "Polish/job004/optimisation_set.star").write_text(
        "data_optimisation_set\nloop_\n_rlnTomoParticlesFile\n_rlnTomoTomogramsFile\nExtract/job002/particles.star Import/job001/tomograms.star\n"
    )
    p = open_project(folder / "Polish/job004")
    assert p.particles is not None
    np.testing.assert_allclose(
        p.particles.coordinates[0], [2000 + 100 / 1.35, 2000 - 50 / 1.35, 1000 + 200 / 1.35]
    )
    made = p.write(folder / "out", "relion4")
    first = star.read(made).first
    assert first.is_loop
    assert Path(first["rlnTomoParticlesFile"][0]).resolve() == folder / "out/particles.star"
    assert star.read(folder / "out/particles.star")["particles"].get("rlnCoordinateX") is not None
