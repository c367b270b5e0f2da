"""What changed between two projects: motions of space are nothing, and changes have their size."""

from __future__ import annotations

import json
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import least_squares

from tests.builders.command import run
from tests.builders.moved_projects import long_series, random_motion
from tests.builders.random_projects import random_project, write_random_project
from tomoset import geometry as g
from tomoset.errors import LossyWarning
from tomoset.model import Optics, Project, Tomogram, TomogramSet
from tomoset.project import open_readable
from tomoset.project.diff import diff
from tomoset.project.transform import transform_project

Array = npt.NDArray[np.float64]
SEEDS = st.integers(0, 10**6)
DIALECTS = st.sampled_from(["relion4", "relion5"])


def one(t: Tomogram) -> Project:
    return Project(tomograms=TomogramSet([t]))


@settings(max_examples=25, deadline=None)
@given(SEEDS, DIALECTS)
def test_a_rigid_motion_changes_nothing(seed: int, dialect: str) -> None:
    rng = np.random.default_rng(seed)
    old = random_project(seed, dialect)
    motions = {name: random_motion(rng) for name in old.tomograms}
    found = diff(old, transform_project(old, motions))
    assert found.same
    assert diff(old, old).same
    for series in found.series:
        assert series.geometry is not None
        assert series.particles is None or series.particles.same
        assert series.geometry.pixels.worst < 1e-6
        assert not series.geometry.mirrored
        np.testing.assert_allclose(series.geometry.transform, motions[series.name], atol=1e-6)
        expected = float(g.turns(motions[series.name][:3, :3]))
        assert series.geometry.rotation == pytest.approx(expected, abs=1e-6)
        assert series.values["defocus"].worst < 1e-6


@settings(max_examples=10, deadline=None)
@given(SEEDS)
def test_noise_has_its_size(seed: int) -> None:
    """Shifts of 2 px and angles of 0.1°, less what six numbers of a motion explain of them."""
    rng = np.random.default_rng(seed)
    old = long_series(241)
    shifts = g.translation(np.c_[rng.normal(0, 2, (old.n_tilts, 2)), np.zeros(old.n_tilts)])
    new = replace(old, projections=shifts @ old.need_projections())
    found = diff(one(old), one(new)).series[0].geometry
    assert found is not None
    assert found.pixels.median == pytest.approx(2 * np.sqrt(2 * np.log(2)), rel=0.35)
    assert found.values["shift_x"].mean == pytest.approx(0, abs=1.0)
    turned = g.rotation_z(rng.normal(0, 0.1, old.n_tilts))
    middle = g.translation([500, 480, 0])
    new = replace(old, projections=middle @ turned @ np.linalg.inv(middle) @ old.need_projections())
    found = diff(one(old), one(new)).series[0].geometry
    assert found is not None
    assert found.values["axis"].median == pytest.approx(0.1 * 0.6745, rel=0.35)
    assert found.values["tilt"].worst < 0.1


def test_the_motion_is_that_of_a_fit_to_all_projections() -> None:
    """Against a general optimiser, which sees the projections alone."""
    rng = np.random.default_rng(0)
    old = long_series(21)
    shaken = rng.normal(0, 0.01, (21, 4, 4))
    shaken[:, 3] = 0
    new = replace(old, projections=old.need_projections() + shaken)
    found = diff(one(old), one(new)).series[0].geometry
    assert found is not None
    x, y, z = (np.linspace(0, n - 1, k) for n, k in zip((900, 900, 300), (5, 5, 3), strict=True))
    points = np.stack(np.meshgrid(x, y, z, indexing="ij"), axis=-1).reshape(-1, 3)

    def moved(six: Array) -> Array:
        return (points - 400) @ g.rotation_about(six[:3] / 400).T + 400 + six[3:]

    seen = old.project(points)
    best = least_squares(lambda six: (new.project(moved(six)) - seen).ravel(), np.zeros(6))
    np.testing.assert_allclose(g.apply(np.array(found.transform), points), moved(best.x), atol=1e-4)
    assert found.pixels.worst > 1


@settings(max_examples=15, deadline=None)
@given(SEEDS)
def test_a_mirror_image_is_said(seed: int) -> None:
    rng = np.random.default_rng(seed)
    old = long_series(21)
    mirror = g.translation([0, 0, 299]) @ np.diag([1.0, 1, -1, 1]) @ random_motion(rng)
    new = replace(old, projections=old.need_projections() @ np.linalg.inv(mirror))
    found = diff(one(old), one(new))
    geometry = found.series[0].geometry
    assert geometry is not None
    assert geometry.mirrored
    assert geometry.pixels.worst < 1e-6
    np.testing.assert_allclose(geometry.transform, mirror, atol=1e-6)
    assert found.beyond(10.0) == ["a"]
    assert not found.same


def test_a_flipped_hand_is_a_field_and_changes_defocus_off_the_middle() -> None:
    old = long_series(21)
    defocus = np.full(21, 3e4)
    old = replace(old, defocus_u=defocus, defocus_v=defocus, defocus_angle=np.zeros(21))
    found = diff(one(old), one(replace(old, hand=1))).series[0]
    assert found.fields == {"hand": (-1, 1)}
    assert found.worst < 1e-9


def test_images_that_are_binned_are_compared_in_pixels_of_the_old_ones() -> None:
    old = long_series(21)
    half = np.diag([0.5, 0.5, 0.5, 1.0])
    new = replace(
        old,
        optics=Optics(pixel_size=4.0),
        size=(450, 450, 150),
        image_size=(500, 480),
        projections=half @ old.need_projections() @ np.linalg.inv(half),
    )
    found = diff(one(old), one(new)).series[0]
    assert found.geometry is not None
    assert found.geometry.pixels.worst < 1e-9
    assert found.geometry.rotation < 1e-9
    np.testing.assert_allclose(found.geometry.transform, half, atol=1e-9)
    assert found.geometry.values["magnification"].worst < 1e-12


@settings(max_examples=15, deadline=None)
@given(SEEDS, st.sampled_from(["name", "number", "angle"]))
def test_tilts_are_matched_whatever_their_order(seed: int, by: str) -> None:
    rng = np.random.default_rng(seed)
    old = long_series(21)
    if by == "name":
        names = tuple(f"f/TS_{i:03d}.mrc" for i in range(21))
        old = replace(old, stack=None, images=names)
    new = old.select(rng.permutation(21)[:15])
    if by == "angle":
        new = replace(new, stack="other.mrc")
    else:
        old = old.exclude([3, 7], "dark")
    found = diff(one(old), one(new)).series[0]
    assert found.geometry is not None
    assert found.geometry.pixels.worst < 1e-9
    assert found.how is not None
    assert by in found.how
    kept = {*range(21)} - ({3, 7} if by != "angle" else set())
    angles = set(np.round(new.nominal_tilts, 6).tolist())  # type: ignore[arg-type]
    every = np.round(np.linspace(-60, 60, 21), 6)
    assert found.tilts == (len(kept), 15, len([i for i in kept if every[i] in angles]))


def test_series_that_cannot_be_compared_say_why_and_come_first() -> None:
    a, b = long_series(21), replace(long_series(21), name="b")
    lone = replace(a, projections=np.repeat(a.need_projections()[:1], 21, axis=0))
    found = diff(Project(tomograms=TomogramSet([b, a])), Project(tomograms=TomogramSet([b, lone])))
    assert [series.name for series in found.series] == ["a", "b"]
    assert "do not fix points of space" in (found.series[0].problem or "")
    other = replace(a, stack="z.mrc", nominal_tilts=np.linspace(-100, 0, 21))
    found = diff(one(a), one(other))
    assert "do not match" in (found.series[0].problem or "")
    assert found.beyond(1e9) == ["a"]
    bare = replace(a, projections=None)
    found = diff(one(a), one(bare))
    assert found.series[0].geometry is None
    assert found.series[0].problem is None


def test_what_particles_did_is_measured() -> None:
    old = random_project(5)
    assert old.particles is not None
    moved = replace(old.particles, coordinates=old.particles.coordinates + [0, 0, 1.5])
    found = diff(old, old.with_sets(particles=moved))
    for series in found.series:
        if series.particles is not None:
            pixel = old.tomograms[series.name].need_pixel_size()
            assert series.particles.moved is not None
            assert series.particles.moved.worst == pytest.approx(1.5 * pixel)
            assert series.particles.turned is not None
            assert series.particles.turned.worst < 1e-6
    less = old.particles.select(np.arange(len(old.particles)) > 2)
    found = diff(old, old.with_sets(particles=less))
    assert not found.same
    counts = [(s.particles.old, s.particles.new, s.particles.both) for s in found.series
              if s.particles is not None]  # fmt: skip
    assert sum(a - b for a, b, _ in counts) == 3
    assert all(both == new for _, new, both in counts)


def test_the_command_says_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_random_project(3, "relion4", "p")
    code, out, errors = run(capsys, "diff", "p", "p", "--tolerance", "0.001")
    assert code == 0, errors
    assert "no differences" in out
    assert run(capsys, "rename", "p", "--strip", "TS_0", "-o", "q")[0] == 0
    code, out, errors = run(capsys, "diff", "p", "q")
    assert code == 0, errors
    assert "only in p: 3 tomograms: TS_01, TS_02, TS_03" in out
    assert "there are differences" in out
    assert run(capsys, "diff", "p", "q", "--tolerance", "1")[0] == 1
    Path("names").write_text("TS_01 1\nTS_02 2\nTS_03 3\n")
    code, out, errors = run(capsys, "diff", "p", "q", "--rename", "names", "--json")
    assert code == 0, errors
    said = json.loads(out)
    assert len(said["series"]) == 3
    assert said["same"]
    assert max(s["geometry"]["pixels"]["worst"] for s in said["series"]) < 1e-6
    code, _, errors = run(capsys, "diff", "p", "nowhere")
    assert code == 1
    assert "nowhere" in errors


def test_relion_before_and_after_ctf_refinement(
    shared: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = shared / "data/relion5/EMPIAR-10164"
    before, after = root / "Tomograms/job006/tomograms.star", root / "CtfRefine/job027"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LossyWarning)
        found = diff(open_readable(before), open_readable(after))
    assert [series.name for series in found.series] == ["TS_01", "TS_43", "TS_03"]
    for series in found.series:
        assert series.worst < 1e-9  # it refines no geometry
        assert 50 < series.values["defocus"].median < 200
        assert 300 < series.values["defocus"].worst < 700
        assert series.values["dose"].worst == 0
    code, out, errors = run(capsys, "diff", str(before), str(after))
    assert code == 0
    assert "TS_45" in errors
    assert "95.2, 599" in out
    assert run(capsys, "diff", str(before), str(after), "--strict")[0] == 1
