"""Tomograms in another frame: every image shows the same, in both dialects."""

from __future__ import annotations

import tempfile
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tomoset
from tomoset import Optics, Tomogram, TomogramSet, geometry, star
from tomoset.formats import _relion_sets as sets
from tomoset.model import (
    Deformation,
    Fiducials,
    Manifold,
    ManifoldSet,
    ParticleSet,
    Reconstruction,
    Source,
    TrajectorySet,
)
from tomoset.model.observations import Observations
from tomoset.project import Project, open_project, open_tomograms
from tomoset.project.transform import (
    read_transforms,
    transform_project,
    transform_tomogram,
    transforms_to_star,
)

Array = npt.NDArray[np.float64]
SIZE, IMAGE, PIXEL = (64, 47, 31), (60, 52), 2.0
TILTS = np.array([-48.0, -3.0, 0.0, 40.0])


def rigid(angles: Array, shift: Array) -> Array:
    """A motion about the middle of the tomogram, and a shift."""
    rotation = geometry.rigid_rotations(angles[None])[0]
    middle = np.array(SIZE) / 2
    return geometry.translation(middle + shift) @ rotation @ geometry.translation(-middle)


degrees = st.one_of(st.sampled_from([0.0, 90.0, 180.0, -5.0, 1e-7]), st.floats(-180, 180))
motions = st.builds(
    rigid,
    hnp.arrays(float, 3, elements=degrees),
    hnp.arrays(float, 3, elements=st.floats(-20, 20)),
)


def tomogram(name: str = "TS_01", **changes: object) -> Tomogram:
    """Rigid, tilted also about x, with a defocus."""
    n = len(TILTS)
    angles = np.stack([np.full(n, 2.0), TILTS, np.full(n, 85.0)], axis=1)
    made = Tomogram(
        name=name,
        n_tilts=n,
        optics=Optics(pixel_size=PIXEL),
        hand=-1,
        stack=f"{name}.mrcs",
        size=SIZE,
        image_size=IMAGE,
        projections=geometry.rigid_projections(
            angles, np.linspace(-3, 3, 2 * n).reshape(n, 2), size=SIZE, image_size=IMAGE
        ),
        pre_exposure=np.arange(n) * 3.0,
        defocus_u=np.linspace(20000, 20300, n),
        defocus_v=np.linspace(19000, 19300, n),
        defocus_angle=np.full(n, 30.0),
        defocus_slope=0.9,
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def seen(t: Tomogram, p: ParticleSet) -> tuple[Array, Array]:
    """Where each image shows the particles, and three arrows that are fixed in each [px]."""
    assert t.projections is not None
    arrows = np.array([[10.0, 0, 0], [0, 10, 0], [3, -4, 9]])
    there = np.einsum("tij,njk,ak->tnai", t.projections[:, :2, :3], p.orientations, arrows)
    return t.project(p.positions), there


def again(project: Project, dialect: str) -> Project:
    """The same, written and read."""
    with tempfile.TemporaryDirectory() as folder:
        read = open_project(project.write(folder, dialect))
    placed = [t.placed(None, IMAGE) for t in read.tomograms.values()]
    return replace(read, tomograms=read.tomograms.with_tomograms(placed))


# ---- particles -------------------------------------------------------------------------------

places = hnp.arrays(float, (3, 3), elements=st.floats(0, 60))
angles = st.none() | hnp.arrays(float, (3, 3), elements=degrees)
shifts = st.none() | hnp.arrays(float, (3, 3), elements=st.floats(-40, 40))


@given(
    motions,
    st.builds(
        ParticleSet,
        tomogram_names=st.just(["TS_01", "other", "TS_01"]),
        coordinates=places,
        origins=shifts,
        subtomogram_angles=angles,
        angles=angles,
        pixel_sizes=st.just([PIXEL] * 3),
    ),
    st.sampled_from(["relion4", "relion5"]),
)
@settings(max_examples=80, deadline=None)
def test_every_image_shows_the_same_particles(
    transform: Array, p: ParticleSet, dialect: str
) -> None:
    before = Project(tomograms=TomogramSet([tomogram(), tomogram("other")]), particles=p)
    after = transform_project(before, {"TS_01": transform})
    # Both dialects give numbers of particles to the last bit. Those of the tomograms have twelve
    # digits of a matrix in RELION 4, and nine decimals of a degree in RELION 5.
    for transformed, far in (
        (after, 1e-9),
        (again(after, dialect), {"relion4": 1e-9, "relion5": 1e-8}[dialect]),
    ):
        assert transformed.particles is not None
        for name in ("TS_01", "other"):
            rows = p.in_tomogram(name)
            here = seen(before.tomograms[name], p.select(rows))
            there = seen(transformed.tomograms[name], transformed.particles.select(rows))
            for a, b in zip(here, there, strict=True):
                np.testing.assert_allclose(b, a, atol=far, rtol=0)
            points = p.coordinates[rows]
            gone = geometry.apply(transform, points) if name == "TS_01" else points
            np.testing.assert_allclose(
                transformed.tomograms[name].defocus(gone),
                before.tomograms[name].defocus(points),
                atol=1e-6,
            )
        if p.origins is not None:
            np.testing.assert_array_equal(transformed.particles.origins, p.origins)  # type: ignore[arg-type]
        if p.angles is not None:
            np.testing.assert_array_equal(transformed.particles.angles, p.angles)  # type: ignore[arg-type]


@given(
    hnp.arrays(float, 3, elements=degrees), st.sampled_from([0.0, 1e-13, 1e-9, 1e-7, 180 - 1e-7])
)
@settings(deadline=None)
def test_angles_of_every_orientation_are_found(rotation: Array, tilt: float) -> None:
    """Also next to where rot and psi mean the same: what counts is the matrix."""
    for triple in (rotation, [rotation[0], tilt, rotation[2]]):
        p = ParticleSet(tomogram_names=["a"], coordinates=[[0, 0, 0]], subtomogram_angles=[triple])  # type: ignore[arg-type]
        same = p.transformed({"a": geometry.rotation_x(0.0) @ geometry.rotation_z(120.0)})
        back = same.transformed({"a": geometry.rotation_z(-120.0)})
        np.testing.assert_allclose(back.orientations, p.orientations, atol=3e-12, rtol=0)


def test_a_shift_alone_turns_nothing() -> None:
    p = ParticleSet(tomogram_names=["TS_01", "b"], coordinates=[[1, 2, 3], [1, 2, 3]])  # type: ignore[arg-type]
    q = p.transformed({"TS_01": geometry.translation([1, 0, -1])})
    assert q.coordinates.tolist() == [[2, 2, 2], [1, 2, 3]]
    assert q.subtomogram_angles is None
    r = p.transformed({"b": geometry.rotation_x(90)})
    assert r.subtomogram_angles is not None
    assert r.subtomogram_angles[0].tolist() == [0, 0, 0]
    np.testing.assert_allclose(r.orientations[1], geometry.rotation_x(90)[:3, :3], atol=1e-15)


def test_angles_that_relion_did_not_look_at(tmp_path: Path) -> None:
    """Tilt and psi without rot are nothing; the angles of a rotation are something.

    See docs/relion.md, 'Particles'.
    """
    path = tmp_path / "picks.star"
    labels = ["rlnTomoName", *(f"rlnCoordinate{axis}" for axis in "XYZ"), *(f"rlnTomoSubtomogram{x}" for x in ("Tilt", "Psi"))]  # fmt: skip
    path.write_text("data_\nloop_\n" + "".join(f"_{x}\n" for x in labels) + "TS_01 1 2 3 40 50\n")
    s = TomogramSet([tomogram()])
    with pytest.warns(tomoset.AssumptionWarning, match="without rlnTomoSubtomogramRot"):
        p = tomoset.read_particles(path, s)
    transform = geometry.rotation_y(-5.0)
    q = transform_project(Project(tomograms=s, particles=p), {"TS_01": transform}).particles
    assert q is not None
    r = sets.particles_from_star(sets.particles_to_star(q, "relion4", s), s)
    np.testing.assert_allclose(r.orientations, transform[None, :3, :3], atol=1e-15)


# ---- tomograms -------------------------------------------------------------------------------


@given(motions, st.booleans())
@settings(max_examples=40, deadline=None)
def test_a_bent_and_stretched_tomogram_moves_too(transform: Array, mirrored: bool) -> None:
    """No dialect is asked: any projections, any deformation, depth counted either way."""
    rng = np.random.default_rng(1)
    t = tomogram()
    assert t.projections is not None
    skewed = t.projections + np.pad(
        rng.normal(0, 0.05, (len(TILTS), 3, 4)), ((0, 0), (0, 1), (0, 0))
    )
    skewed[:, 2] *= -1 if mirrored else 1
    bent = Deformation(
        kind="linear", grid=(3, 3), coefficients=rng.normal(0, 0.01, (len(TILTS), 3))
    )
    t = replace(t, projections=skewed, deformation=bent, depth_origin=[1, 2, 3])
    points = rng.uniform(0, 60, (20, 3))
    transformed = transform_tomogram(t, transform)
    np.testing.assert_allclose(
        transformed.project(geometry.apply(transform, points)), t.project(points), atol=1e-9
    )
    np.testing.assert_allclose(
        transformed.defocus(geometry.apply(transform, points)), t.defocus(points), atol=1e-7
    )
    assert transformed.depth_origin is not None
    assert transformed.depth_origin.tolist() == [1, 2, 3]
    assert transformed.size == t.size
    assert transformed.deformation is bent


def test_depths_that_do_not_change_keep_their_defocus() -> None:
    t = tomogram()
    about = geometry.translation(np.array(SIZE) / 2)
    transformed = transform_tomogram(
        t, about @ geometry.rotation_y(10) @ np.linalg.inv(about).round(12)
    )
    assert transformed.defocus_u is t.defocus_u
    assert transform_tomogram(replace(t, defocus_u=None), about).defocus_v is t.defocus_v


def test_what_shows_the_old_frame_is_not_named(tmp_path: Path) -> None:
    row = {
        "rlnTomoReconstructedTomogramDenoised": "dn.mrc", "rlnTomogramProjection": "empty", "rlnMine": "x",
        "rlnTomoIceNormalX": "0.0", "rlnTomoIceNormalY": "0.6", "rlnTomoIceNormalZ": "0.80",
    }  # fmt: skip
    one = tomogram(
        source=Source(format="relion4", row=row), fiducials="f.star", reconstruction=Reconstruction(binning=4, path="r.mrc"),
    )  # fmt: skip
    path = tmp_path / "tomograms.star"
    TomogramSet([one, replace(one, name="TS_02")]).write(path)
    s = tomoset.read(path)
    with pytest.warns(
        tomoset.LossyWarning, match=r"'TS_01' has another frame: .*reconstruct it again"
    ):
        s = s.with_tomograms([transform_tomogram(s["TS_01"], geometry.rotation_x(90)), s["TS_02"]])
    s.write(tmp_path / "new.star")
    table = star.read(tmp_path / "new.star")["global"]
    assert {label: list(table[label]) for label in (*row, "rlnTomoReconstructedTomogram", "rlnTomoFiducialsStarFile")} == {
        "rlnTomoReconstructedTomogramDenoised": ["empty", "dn.mrc"], "rlnTomogramProjection": ["empty", "empty"],
        "rlnMine": ["x", "x"], "rlnTomoIceNormalX": ["0.0", "0.0"],
        "rlnTomoIceNormalY": [table["rlnTomoIceNormalY"][0], "0.6"], "rlnTomoIceNormalZ": [table["rlnTomoIceNormalZ"][0], "0.80"],
        "rlnTomoReconstructedTomogram": ["empty", "r.mrc"], "rlnTomoFiducialsStarFile": ["empty", "f.star"],
    }  # fmt: skip
    assert [float(table[f"rlnTomoIceNormal{axis}"][0]) for axis in "YZ"] == pytest.approx(
        [-0.8, 0.6]
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert transform_tomogram(tomogram(), np.eye(4)).source is None


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"projections": None}, "it is not aligned, so no image would show where it has gone"),
        ({"size": None}, r"its defocus holds in the middle of a size that is not known; .*--size"),
    ],
)
def test_tomograms_that_cannot_be_transformed_are_refused(
    changes: dict[str, object], says: str
) -> None:
    with pytest.raises(tomoset.ModelError, match=says):
        transform_tomogram(replace(tomogram(), **changes), geometry.rotation_x(5))  # type: ignore[arg-type]


def test_an_alignment_that_waits_for_sizes(tmp_path: Path) -> None:
    before = tomogram()
    TomogramSet([before]).write(tmp_path / "tomograms.star", "relion5")
    waiting = tomoset.read(tmp_path / "tomograms.star")["TS_01"]  # no stack is there
    with pytest.raises(
        tomoset.ModelError, match=r"the middle of a size that is not known; write the sizes"
    ):
        transform_tomogram(replace(waiting, size=None), geometry.rotation_x(5))
    point = np.array([[1.0, 2, 3]])
    moved = transform_tomogram(waiting, geometry.rotation_x(5))  # images stay, whatever their size
    assert moved.alignment is not None
    sized = transform_tomogram(replace(waiting, image_size=IMAGE), geometry.rotation_x(5))
    for transformed in (moved.placed(image_size=IMAGE), sized):
        np.testing.assert_allclose(
            transformed.project(geometry.apply(geometry.rotation_x(5), point)),
            before.project(point),
            atol=1e-6,
        )


@pytest.mark.parametrize(
    ("transform", "says"),
    [
        (np.eye(4) * 2, "scales, skews or projects"),
        (
            np.diag([2.0, 2, 2, 1]),
            r"'TS_01': the matrix scales.*give a rotation with a translation",
        ),
        (np.diag([1.0, 1, -1, 1]), "the matrix mirrors"),
        (np.eye(3), "a matrix of 4 x 4 numbers"),
        (np.full((4, 4), np.nan), "a matrix of 4 x 4 numbers"),
    ],
)
def test_matrices_that_are_no_rigid_transforms_are_refused(transform: Array, says: str) -> None:
    with pytest.raises(tomoset.ModelError, match=says):
        transform_tomogram(tomogram(), transform)


# ---- what else refers to a tomogram ----------------------------------------------------------

TRANSFORM = rigid(np.array([4.0, -7.0, 15.0]), np.array([3.0, -2.0, 1.5]))


def everything(names: tuple[str, ...] = ("TS_01", "other")) -> Project:
    """Two tomograms with all that there may be."""
    rng = np.random.default_rng(3)
    n = len(TILTS)
    ball = Manifold(index=1, kind="sphere", params=[20, 21, 12, 5])  # type: ignore[arg-type]
    blob = Manifold(index=4, kind="spheroid", params=[30, 20, 10, 30, *rng.normal(0, 1, 15)])  # type: ignore[arg-type]
    return Project(
        tomograms=TomogramSet([tomogram(name) for name in names]),
        particles=ParticleSet(
            tomogram_names=np.repeat(names, 2),
            coordinates=rng.uniform(0, 60, (4, 3)),
            origins=rng.normal(0, 5, (4, 3)),
            pixel_sizes=np.full(4, PIXEL),
        ),
        manifolds=ManifoldSet({name: [ball, blob] for name in names}),
        trajectories=TrajectorySet(
            {
                f"{name}/{i}": rng.normal(0, 3, (n, 3)) * np.arange(n)[:, None]
                for name in names
                for i in (1, 2)
            }
        ),
        fiducials={
            name: Fiducials(
                points=rng.uniform(0, 60, (3, 3)),
                observations=Observations(bead=[0, 2], tilt=[1, 3], points=[[1, 2], [3, 4]]),  # type: ignore[arg-type]
                scores=[1.0, 2.0, 0.5],  # type: ignore[arg-type]
            )
            for name in names
        },
    )


@pytest.mark.parametrize("dialect", ["relion4", "relion5"])
def test_all_linked_sets_are_transformed_along(dialect: str) -> None:
    before = everything()
    after = again(transform_project(before, {"TS_01": TRANSFORM}), dialect)
    t, u = before.tomograms["TS_01"], after.tomograms["TS_01"]
    assert u.fiducials is not None
    beads = after.fiducials["TS_01"]
    np.testing.assert_allclose(
        u.project(beads.points), t.project(before.fiducials["TS_01"].points), atol=1e-7
    )
    assert beads.observations is not None
    assert beads.observations.points.tolist() == [[1, 2], [3, 4]]
    assert beads.scores is not None
    assert beads.scores.tolist() == [1.0, 2.0, 0.5]
    for p, q in ((before, after),):
        assert p.particles is not None
        assert p.trajectories is not None
        assert q.particles is not None
        assert q.trajectories is not None
        for row, name in enumerate(p.particles.particle_names):
            here, there = p.particles.positions[row], q.particles.positions[row]
            tomogram_name = str(p.particles.tomogram_names[row])
            for f in range(len(TILTS)):
                a = p.tomograms[tomogram_name].project(
                    (here + p.trajectories.shifts_px(name, pixel_size=PIXEL)[f])[None]
                )
                b = q.tomograms[tomogram_name].project(
                    (there + q.trajectories.shifts_px(name, pixel_size=PIXEL)[f])[None]
                )
                np.testing.assert_allclose(b[f], a[f], atol=1e-7)
    assert before.manifolds is not None
    assert after.manifolds is not None
    phi, theta = np.linspace(0, 360, 30), np.linspace(-90, 90, 30)
    for old, new in zip(before.manifolds["TS_01"], after.manifolds["TS_01"], strict=True):
        assert (new.index, new.mean_radius) == (old.index, old.mean_radius)
        points = geometry.apply(TRANSFORM, old.surface(phi, theta))
        x, y, z = (points - new.centre).T
        towards = np.rad2deg(np.arctan2(y, x)), np.rad2deg(np.arctan2(z, np.hypot(x, y)))
        np.testing.assert_allclose(new.surface(*towards), points, atol=1e-9)


@pytest.mark.parametrize("dialect", ["relion4", "relion5"])
def test_other_tomograms_keep_every_text(
    dialect: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    p = read_text(dialect)
    transform_project(p, {"TS_01": TRANSFORM}).write("transformed", dialect)
    for name in ("tomograms", "manifolds", "motion", "fiducials_other"):
        old, new = star.read(f"same/{name}.star"), star.read(f"transformed/{name}.star")
        for table in old:
            if "other" in table.name or name == "fiducials_other":
                assert list(new[table.name].columns.items()) == list(table.columns.items())
    if dialect == "relion5":
        old, new = (
            star.read(f"{x}/tilt_series/other.star")["other"] for x in ("same", "transformed")
        )
        assert list(new.columns.items()) == list(old.columns.items())
        assert old["rlnTomoZRot"][0] == "85.00"
    old, new = (
        star.read(f"{folder}/particles.star")["particles"] for folder in ("same", "transformed")
    )
    for label in old.labels:
        assert list(new[label][2:]) == list(old[label][2:])
    assert list(new["rlnTomoSubtomogramRot"][2:]) == ["0.0", "0.0"]
    assert list(new["rlnOriginXAngst"]) == list(old["rlnOriginXAngst"])


def read_text(dialect: str) -> Project:
    """All of it, with texts that differ from those that tomoset would write."""
    everything().write("same", dialect)
    for path in Path("same").rglob("*.star"):
        path.write_text(path.read_text().replace(".0 ", ".00 "))
    p = open_project("same")
    one, other = p.tomograms.values()
    if one.projections is None:  # as no stack is there
        one = one.placed(None, IMAGE)
    return replace(p, tomograms=p.tomograms.with_tomograms([one, other]))


def test_trajectories_of_particles_that_are_gone() -> None:
    p = everything()
    assert p.particles is not None
    fewer = replace(p, particles=p.particles.select([0, 2, 3]))
    with pytest.warns(
        tomoset.AssumptionWarning, match=r"1 trajectories .*'TS_01/2' .* tomogram 'TS_01'"
    ):
        some = transform_project(fewer, {"TS_01": TRANSFORM})
    every = transform_project(p, {"TS_01": TRANSFORM})
    assert some.trajectories is not None
    assert every.trajectories is not None
    for name in every.trajectories:
        np.testing.assert_array_equal(some.trajectories[name], every.trajectories[name])
    lost = replace(p, trajectories=TrajectorySet({"x": np.ones((4, 3)), "still": np.zeros((4, 3))}))
    with pytest.raises(
        tomoset.ModelError, match=r"trajectory of 'x' is of no particle that is here"
    ):
        transform_project(lost, {"TS_01": TRANSFORM})
    assert transform_project(lost, {}).trajectories is not None
    still = replace(p, trajectories=TrajectorySet({"still": np.zeros((4, 3))}))
    assert transform_project(still, {"TS_01": TRANSFORM}).trajectories is not None


def test_a_trajectory_of_two_particles() -> None:
    p = everything()
    assert p.particles is not None
    twins = replace(p, particles=replace(p.particles, names=["a", "b", "b", "c"]), trajectories=TrajectorySet({"b": np.ones((4, 3))}))  # fmt: skip
    with pytest.raises(tomoset.ModelError, match=r"'TS_01', 'other' is called 'b'.*other names"):
        transform_project(twins, {"TS_01": TRANSFORM})
    both = transform_project(twins, {"TS_01": TRANSFORM, "other": TRANSFORM})
    assert both.trajectories is not None
    np.testing.assert_allclose(both.trajectories["b"], np.ones((4, 3)) @ TRANSFORM[:3, :3].T)


def test_what_was_not_read_cannot_follow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    everything().write("p", "relion4")
    with pytest.raises(
        tomoset.ModelError,
        match=r"the particles of the project are in p/particles.star, which has not been read",
    ):
        transform_project(open_tomograms("p"), {"TS_01": TRANSFORM})
    linked = open_tomograms("p").load()
    assert repr(linked) == "<Project: 2 tomograms, 4 particles, 4 manifolds, 4 trajectories>"
    assert linked.load() is linked
    with pytest.raises(
        tomoset.ModelError, match=r"names the fiducials 'p/fiducials_TS_01.star', which have not"
    ):
        transform_project(linked, {"TS_01": TRANSFORM})
    with pytest.raises(
        tomoset.ModelError, match=r"no tomogram is called 'TS_1'.*there are TS_01, other"
    ):
        transform_project(linked, {"TS_1": TRANSFORM})
    Path("p/motion.star").unlink()
    with pytest.raises(
        tomoset.MissingFileError, match=r"rlnTomoTrajectoriesFile is 'p/motion.star'"
    ):
        open_tomograms("p").load()


def test_tomograms_that_something_else_has_moved() -> None:
    p = everything()
    named = p.tomograms.with_tomograms(
        replace(t, fiducials="old.star") for t in p.tomograms.values()
    )
    p = replace(p, tomograms=named)
    new = named.with_tomograms([
        replace(transform_tomogram(named["TS_01"], TRANSFORM), fiducials="new.star"),
        transform_tomogram(named["other"], TRANSFORM),
    ])  # fmt: skip
    after = transform_project(p, dict.fromkeys(named, TRANSFORM), transformed=new)
    assert after.tomograms is new
    assert list(after.fiducials) == ["other"]
    np.testing.assert_allclose(
        after.fiducials["other"].points, geometry.apply(TRANSFORM, p.fiducials["other"].points)
    )


# ---- transforms.star -------------------------------------------------------------------------


def test_moves_are_written_to_the_last_bit(tmp_path: Path) -> None:
    path = tmp_path / "transforms.star"
    transforms = {"TS_01": TRANSFORM, "a b": rigid(np.array([1 / 3, 0.1, 7]), np.zeros(3))}
    star.write(transforms_to_star(transforms), path)
    found = read_transforms(path)
    assert list(found) == list(transforms)
    for name, transform in transforms.items():
        np.testing.assert_array_equal(found[name], transform)
    text = path.read_text()
    for old, new, says in (
        ("tomosetTransformY", "mine", "has no _tomosetTransformY"),
        ("'a b'", "TS_01", r"transforms.star:\d+: .*a second row is of tomogram 'TS_01'"),
        ("tomosetTransform", "mine", "no transforms of tomograms"),
        (
            "[0,0,0,1]",
            "[0,0,0,2]",
            r"transforms.star:\d+: .*'TS_01': the matrix scales, skews or projects",
        ),
        ("[0,0,0,1]", "[0,0,1]", "expected 4 numbers in brackets"),
    ):
        assert old in text or old == "'a b'"
        path.write_text(
            text.replace(old, new).replace('"a b"', "TS_01" if old == "'a b'" else '"a b"')
        )
        with pytest.raises(tomoset.TomosetError, match=says):
            read_transforms(path)


def test_picks_of_before_are_moved_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As docs/conventions.md says: a plain set was transformed, and particles come afterwards."""
    monkeypatch.chdir(tmp_path)
    p = everything()
    p.write("before", "relion4")
    transform_project(p, {"TS_01": TRANSFORM}).write("after", "relion4")
    star.write(transforms_to_star({"TS_01": TRANSFORM}), "after/transforms.star")
    picks = open_project("before/tomograms.star", particles="before/particles.star")
    transformed = transform_project(
        picks,
        read_transforms("after/transforms.star"),
        transformed=tomoset.read("after/tomograms.star"),
    )
    again = open_project(transformed.write("picks", "relion4"))
    expected = open_project("after").particles
    assert again.particles is not None
    assert expected is not None
    np.testing.assert_array_equal(again.particles.positions, expected.positions)
    assert again.tomograms["TS_01"].fiducials == "after/fiducials_TS_01.star"
