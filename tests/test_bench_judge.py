"""What judges alignments of images, and the bound they are held against."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from tomoset import geometry

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

import bound
import judge

TILTS = np.linspace(-55, 55, 12)
SIZE = (200, 180, 60)


def series(axis: float = 80.0, shifts: np.ndarray | float = 0.0) -> np.ndarray:
    angles = np.column_stack([np.zeros(12), TILTS, np.full(12, axis)])
    moved = np.zeros((12, 2)) + shifts
    return geometry.rigid_projections(angles, moved, size=SIZE, image_size=(180, 200))


def points() -> np.ndarray:
    rng = np.random.default_rng(1)
    return rng.uniform(0.1, 0.9, (80, 3)) * SIZE


def test_a_specimen_moved_and_turned_is_no_error() -> None:
    truth = series()
    G = geometry.translation((5, -3, 8)) @ geometry.rotation_x(9.0) @ geometry.rotation_y(-12.0)
    found = judge.judge(truth, truth @ np.linalg.inv(G), points())
    assert found.projection.max() < 1e-8
    assert found.affine.max() < 1e-8
    assert np.allclose(found.placed, G)
    assert not found.mirrored


def test_nor_is_its_mirror_image() -> None:
    truth = series()
    # The axis turned by 180 degrees and depth inverted show the same.
    mirrored = truth @ np.diag([1.0, 1, -1, 1]) @ geometry.rotation_x(3.0)
    found = judge.judge(truth, mirrored, points())
    assert found.projection.max() < 1e-8
    assert found.mirrored
    assert abs(found.axis) < 1e-8


def test_one_image_far_off_is_found_and_draws_nothing() -> None:
    shifts = np.random.default_rng(2).normal(0, 0.1, (12, 2))
    shifts[3] = 40.0, -30.0
    found = judge.judge(series(), series(shifts=shifts), points())
    assert found.projection[3] == pytest.approx(50.0, abs=0.3)
    assert np.delete(found.projection, 3).max() < 0.4
    assert np.allclose(found.shift, shifts, atol=0.25)


def test_the_axis_is_told_without_the_map() -> None:
    found = judge.judge(series(), series(axis=80.7), points())
    assert found.axis == pytest.approx(0.7, abs=1e-6)
    assert judge.axis_direction(series(-35.0)) == pytest.approx(-35.0, abs=1e-6)


def test_an_inclination_follows_the_map() -> None:
    a, b = 8.0, -3.0
    normal = (geometry.rotation_y(a) @ geometry.rotation_x(b))[:3, 2]
    assert judge.inclination_of(normal) == pytest.approx((a, b))
    G = geometry.rotation_y(4.0)
    assert judge.expected_inclination((a, b), G) == pytest.approx((a + 4.0, b))


def toy() -> bound.Slab:
    """Five images of a slab at 0.3 signal to noise, whatever the frequency."""
    tilts = np.deg2rad([-40.0, -20, 0, 20, 40])
    maps = np.stack([np.diag([np.cos(t), 1.0]) for t in tilts])
    translations = np.zeros((5, 2, 3))
    translations[:, 0, 0], translations[:, 0, 2] = np.cos(tilts), np.sin(tilts)
    translations[:, 1, 1] = 1.0
    return bound.Slab(
        maps=maps,
        slopes=np.column_stack([np.tan(tilts), np.zeros(5)]),
        thickness=12.0,
        area=1.0,
        ratio=lambda f: np.full_like(f, 0.3),
        translations=translations,
    )


def test_the_most_likely_shifts_scatter_as_the_bound_says() -> None:
    slab, rng = toy(), np.random.default_rng(4)
    # So many independent frequencies, of half the plane.
    k = rng.uniform([0.01, -0.2], [0.2, 0.2], (1500, 2))
    f = bound.information(slab, k, 1.0)
    gauge = slab.translations.reshape(-1, 3)
    predicted = bound.scatter(f, gauge)
    c = bound.covariance(slab, k)
    inverse, root = np.linalg.inv(c), np.linalg.cholesky(c)
    q = 2 * np.pi * np.einsum("nba,mb->mna", np.linalg.inv(slab.maps), k)
    basis = np.linalg.svd(gauge)[0][:, 3:]
    found = []
    for _ in range(300):
        white = rng.normal(size=(2, len(k), 5)) / np.sqrt(2)
        v = np.einsum("mij,mj->mi", root, white[0] + 1j * white[1])
        shifts = np.zeros(10)
        for _ in range(4):
            # Steps up the log-likelihood, -V^H C^-1 V, from the true shifts.
            turned = v * np.exp(-1j * np.einsum("mna,na->mn", q, shifts.reshape(5, 2)))
            by_phase = 2 * np.imag(np.conj(turned) * np.einsum("mij,mj->mi", inverse, turned))
            slope = np.einsum("mna,mn->na", q, by_phase).ravel()
            shifts += basis @ np.linalg.solve(basis.T @ f @ basis, basis.T @ slope)
        found.append(shifts)
    scattered = np.array(found)
    measured = scattered.T @ scattered / len(found)
    ratio = np.sqrt(np.diag(measured) / np.diag(predicted))
    assert ratio.min() > 0.88
    assert ratio.max() < 1.15


def test_more_signal_and_more_images_are_worth_more() -> None:
    slab = toy()
    few = bound.shift_bound(slab, (0.02, 0.25))
    four_fold = bound.Slab(**{**vars(slab), "area": 4.0})
    assert np.allclose(bound.shift_bound(four_fold, (0.02, 0.25)), few / 2)
    # Across the axis parallax costs; along it, nothing does.
    assert np.all(few[:, 0] > few[:, 1])
