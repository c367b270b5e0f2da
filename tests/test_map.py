"""Particles and all else of one alignment in the frame of another: seen where they were seen."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.builders.imod_alignment import imod_ts03
from tests.builders.moved_projects import long_series, moved_set, same_places
from tests.builders.random_projects import random_project, seen
from tests.builders.shared_files import IMAGE_SIZE
from tomoset import geometry as g
from tomoset.errors import AssumptionWarning, LossyWarning, ModelError, TomosetWarning
from tomoset.model import Optics, ParticleSet, Project, Tomogram, TomogramSet
from tomoset.project import open_readable
from tomoset.project.mapping import map_project

Array = npt.NDArray[np.float64]
SEEDS = st.integers(0, 10**6)
DIALECTS = st.sampled_from(["relion4", "relion5"])


@settings(max_examples=20, deadline=None)
@given(SEEDS, DIALECTS, st.booleans())
def test_there_and_back_is_where_it_was(seed: int, dialect: str, pointwise: bool) -> None:
    old = random_project(seed, dialect)
    new = moved_set(old, seed)
    there, reports = map_project(old, new.tomograms, pointwise=pointwise)
    assert max(report.residual.worst for report in reports) < 1e-6
    same_places(old, there)
    same_places(new, there)
    back, _ = map_project(there, old.tomograms, pointwise=pointwise)
    same_places(old, back)
    for a, b in ((new, there), (old, back)):
        assert a.particles is not None
        assert b.particles is not None
        np.testing.assert_allclose(b.particles.positions, a.particles.positions, atol=1e-6)
        np.testing.assert_allclose(b.particles.orientations, a.particles.orientations, atol=1e-6)
        assert a.manifolds is not None
        assert b.manifolds is not None
        for name, (ball, *_) in a.manifolds.items():
            np.testing.assert_allclose(b.manifolds[name][0].params, ball.params, atol=1e-6)
        assert set(a.fiducials) == set(b.fiducials)
        for name, beads in a.fiducials.items():
            np.testing.assert_allclose(b.fiducials[name].points, beads.points, atol=1e-6)


@settings(max_examples=10, deadline=None)
@given(SEEDS)
def test_tilts_of_masks_trajectories_and_sights_follow(seed: int) -> None:
    rng = np.random.default_rng(seed)
    old = random_project(seed)
    assert old.particles is not None
    counts = {name: t.n_tilts for name, t in old.tomograms.items()}
    masks = [rng.random(counts[name]) > 0.3 for name in old.particles.tomogram_names.tolist()]
    old = old.with_sets(particles=replace(old.particles, visible=masks))
    orders = {name: rng.permutation(n)[: max(3, n - 1)] for name, n in counts.items()}
    new = TomogramSet([t.select(orders[t.name]) for t in moved_set(old, seed).tomograms.values()])
    with pytest.warns(AssumptionWarning, match="other tilt images"):
        there, _ = map_project(old, new)
    assert there.particles is not None
    assert there.particles.visible is not None
    for mask, before, name in zip(
        there.particles.visible, masks, old.particles.tomogram_names.tolist(), strict=True
    ):
        np.testing.assert_array_equal(mask, before[orders[name]])
    shown = {
        row: at[orders[old.particles.tomogram_names[int(row)]]] for row, at in seen(old).items()
    }
    for row, at in seen(there).items():
        np.testing.assert_allclose(at, shown[row], atol=1e-6)


@settings(max_examples=10, deadline=None)
@given(SEEDS)
def test_points_that_are_triangulated_are_seen_where_a_bent_alignment_has_them(seed: int) -> None:
    """A new alignment that no motion explains: point by point the residual is less."""
    rng = np.random.default_rng(seed)
    t = long_series(41)
    shifts = g.translation(np.c_[rng.normal(0, 3, (41, 2)), np.zeros(41)])
    stretch = np.diag([1.01, 0.99, 1.0, 1.0])
    new = replace(t, projections=shifts @ stretch @ t.need_projections())
    points = rng.uniform([50, 50, 20], [850, 850, 280], (30, 3))
    particles = ParticleSet(
        tomogram_names=["a"] * 30, coordinates=points, angles=rng.uniform(0, 180, (30, 3))
    )
    old = Project(tomograms=TomogramSet([t]), particles=particles)
    rigid, (one,) = map_project(old, TomogramSet([new]))
    free, (other,) = map_project(old, TomogramSet([new]), pointwise=True)
    assert rigid.particles is not None
    assert free.particles is not None
    wrong = [
        float(np.square(new.project(p.coordinates) - t.project(points)).sum())
        for p in (rigid.particles, free.particles)
    ]
    assert wrong[1] < wrong[0]
    assert other.uncertainty is not None
    assert one.uncertainty is not None
    # standard errors of the triangulation are those of noise of 3 px in 41 images of each point
    assert 0.3 < other.uncertainty / (2.0 * 3 * np.sqrt(4 / 41)) < 3
    turned = g.turns(rigid.particles.orientations.transpose(0, 2, 1) @ free.particles.orientations)
    assert turned.max() < 1.0


def test_images_of_another_size_scale_what_lies_in_them() -> None:
    t = long_series(21)
    half = np.diag([0.5, 0.5, 0.5, 1.0])
    new = replace(
        t,
        optics=Optics(pixel_size=4.0),
        size=(450, 450, 150),
        image_size=(500, 480),
        projections=half @ t.need_projections() @ np.linalg.inv(half),
    )
    particles = ParticleSet(
        tomogram_names=["a"],
        coordinates=[[100, 200, 50]],
        pixel_sizes=[2.0],
        origins=[[4, 0, 0]],
        optics_groups=[1],
        optics={1: Optics(pixel_size=2.0)},
    )
    for pointwise in (False, True):
        there, _ = map_project(
            Project(tomograms=TomogramSet([t]), particles=particles),
            TomogramSet([new]),
            pointwise=pointwise,
        )
        assert there.particles is not None
        np.testing.assert_allclose(there.particles.positions, [[49, 100, 25]], atol=1e-8)
        np.testing.assert_allclose(there.particles.coordinates, [[50, 100, 25]], atol=1e-8)
        assert there.particles.pixel_sizes is not None
        assert there.particles.pixel_sizes.tolist() == [4.0]
        assert there.particles.optics[1].pixel_size == 4.0


def only(t: Tomogram) -> Project:
    particles = ParticleSet(tomogram_names=[t.name], coordinates=[[100, 100, 50]])
    return Project(tomograms=TomogramSet([t]), particles=particles)


def test_what_cannot_be_carried_is_refused() -> None:
    t = long_series(21)
    mirror = g.translation([0, 0, 299]) @ np.diag([1.0, 1, -1, 1])
    mirrored = replace(t, projections=t.need_projections() @ mirror)
    with pytest.raises(ModelError, match="mirror image"):
        map_project(only(t), TomogramSet([mirrored]))
    rng = np.random.default_rng(0)
    shaken = g.translation(np.c_[rng.normal(0, 50, (21, 2)), np.zeros(21)])
    far = replace(t, projections=shaken @ t.need_projections())
    with pytest.raises(ModelError, match=r"the best motion leaves .* allow it"):
        map_project(only(t), TomogramSet([far]))
    assert map_project(only(t), TomogramSet([far]), max_residual=200)
    with pytest.raises(ModelError, match="not aligned"):
        map_project(only(t), TomogramSet([replace(t, projections=None)]))
    with pytest.raises(ModelError, match=r"no tomogram of the old set \(a\) is in the new one"):
        map_project(only(t), TomogramSet([replace(t, name="b")]))
    renamed = replace(t, name="TS_1_Vol")
    with pytest.raises(ModelError, match="'TS_1_Vol TS_01'"):
        map_project(only(renamed), TomogramSet([replace(t, name="TS_01")]))
    with pytest.raises(ModelError, match="which the old set has not"):
        map_project(only(t), TomogramSet([t]), rename={"x": "a"})
    there, _ = map_project(only(t), TomogramSet([replace(t, name="b")]), rename={"a": "b"})
    assert there.particles is not None
    assert there.particles.tomogram_names.tolist() == ["b"]
    two = Project(
        tomograms=TomogramSet([t, replace(t, name="c")]),
        particles=ParticleSet(tomogram_names=["a", "c"], coordinates=[[1, 2, 3], [4, 5, 6]]),
    )
    with pytest.warns(LossyWarning, match="what lies in c is left out"):
        there, _ = map_project(two, TomogramSet([t]))
    assert there.particles is not None
    assert there.particles.coordinates.tolist() == [[1, 2, 3]]


def test_one_name_in_two_tomograms_with_one_trajectory_is_refused() -> None:
    old = random_project(2)
    assert old.particles is not None
    same = replace(old.particles, names=["x"] * len(old.particles))
    motion = old.trajectories
    assert motion is not None
    shared = motion.with_trajectories({"x": np.zeros((5, 3))})
    with pytest.raises(ModelError, match="share a trajectory"):
        map_project(old.with_sets(particles=same, trajectories=shared), old.tomograms)


def test_two_real_alignments_of_one_series(shared: Path) -> None:
    """RELION's and IMOD's of TS_03, which are 10 to 35 Å apart, and whose frames are."""
    root = shared / "data/relion5/EMPIAR-10164"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TomosetWarning)
        old = open_readable(
            root / "CtfRefine/job027", particles=root / "Picks/job019/particles.star"
        )
        new = TomogramSet([imod_ts03(shared, IMAGE_SIZE)])
        there, (report,) = map_project(old, new)
        free, (points,) = map_project(old, new, pointwise=True)
    assert old.particles is not None
    assert there.particles is not None
    assert free.particles is not None
    assert report.particles == len(there.particles) == 1871
    assert report.residual.median == pytest.approx(1.19, abs=0.02)
    assert report.residual.worst == pytest.approx(24.7, abs=0.2)
    assert report.residual.row == 0  # the image at -57 degrees
    assert report.shift == pytest.approx(19.9, abs=0.2)
    assert report.rotation < 0.05
    assert points.residual.median < 1.5
    apart = np.linalg.norm(there.particles.positions - free.particles.positions, axis=1)
    assert np.median(apart) < 1
    mine = old.particles.select(old.particles.in_tomogram("TS_03"))
    before = old.tomograms["TS_03"].placed(image_size=IMAGE_SIZE).project(mine.positions)
    after = new["TS_03"].project(there.particles.positions)
    stay = new["TS_03"].project(mine.positions)
    off = [np.median(np.linalg.norm(at - before, axis=-1)) for at in (stay, after)]
    assert off[0] > 12
    assert off[1] < 1.5
