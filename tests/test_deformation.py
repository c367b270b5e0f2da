"""The three 2D deformations against slow implementations, point by point."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tomoset import Deformation, ModelError
from tomoset.geometry import DeformationBasis

SIZE = (64, 48)


def slow_linear(c: np.ndarray, p: np.ndarray) -> np.ndarray:
    r = p - np.array(SIZE) / 2
    return np.array([c[0] * r[0], c[1] * r[0] + c[2] * r[1]])


def slow_spline(c: np.ndarray, p: np.ndarray, gx: int, gy: int) -> np.ndarray:
    """Bicubic Hermite h(s)' F h(t), docs/relion.md, 'Deformation'."""

    def h(s: float) -> np.ndarray:
        return np.array(
            [1 - 3 * s**2 + 2 * s**3, 3 * s**2 - 2 * s**3, s - 2 * s**2 + s**3, s**3 - s**2]
        )

    u = min(max(p[0] / (SIZE[0] / (gx - 1)), 0), gx - 1)
    v = min(max(p[1] / (SIZE[1] / (gy - 1)), 0), gy - 1)
    x, y = min(int(u), gx - 2), min(int(v), gy - 2)
    total = np.zeros(2)
    for d in range(2):

        def at(i: int, j: int, k: int, d: int = d) -> float:
            return float(c[((d * gy + y + j) * gx + x + i) * 4 + k])

        F = np.array([
            [at(0, 0, 0), at(0, 1, 0), at(0, 0, 2), at(0, 1, 2)],
            [at(1, 0, 0), at(1, 1, 0), at(1, 0, 2), at(1, 1, 2)],
            [at(0, 0, 1), at(0, 1, 1), at(0, 0, 3), at(0, 1, 3)],
            [at(1, 0, 1), at(1, 1, 1), at(1, 0, 3), at(1, 1, 3)],
        ])  # fmt: skip
        total[d] = h(u - x) @ F @ h(v - y)
    return total


def slow_fourier(c: np.ndarray, p: np.ndarray, gx: int, gy: int) -> np.ndarray:
    waves = []
    for y in range(gy):
        if y < gy // 2:
            waves += [(x, y) for x in range(1 if y == 0 else 0, gx // 2 + 1)]
        else:
            waves += [(x, y - gy) for x in range(1, gx // 2 + 1)]
    n = len(waves)
    total = np.zeros(2)
    for d in range(2):
        for i, (x, y) in enumerate(waves):
            phase = x * np.pi / SIZE[0] * p[0] + y * np.pi / SIZE[1] * p[1]
            total[d] += c[(d * n + i) * 2] * np.cos(phase) + c[(d * n + i) * 2 + 1] * np.sin(phase)
    return total


def make(kind: str, grid: tuple[int, int], rng: np.random.Generator, scale: float) -> Deformation:
    k = DeformationBasis(kind, grid, SIZE).count
    return Deformation(kind=kind, grid=grid, coefficients=rng.normal(0, scale, (2, k)))


@given(
    st.sampled_from(["linear", "spline", "Fourier"]),
    st.integers(2, 5),
    st.integers(2, 5),
    st.integers(0, 10**6),
)
def test_deformations_agree_with_the_slow_form(kind: str, gx: int, gy: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    bent = make(kind, (gx, gy), rng, 1.0)
    points = rng.uniform(-10, 80, (2, 6, 2))
    points[0, 0] = 0, 0
    points[0, 1] = SIZE
    fast = bent.displacement(points, image_size=SIZE)
    for tilt in range(2):
        for i in range(6):
            c, p = bent.coefficients[tilt], points[tilt, i]
            slow = {
                "linear": lambda c, p: slow_linear(c, p),
                "spline": lambda c, p: slow_spline(c, p, gx, gy),
                "Fourier": lambda c, p: slow_fourier(c, p, gx, gy),
            }[kind](c, p)
            np.testing.assert_allclose(fast[tilt, i], slow, atol=1e-9)


@given(
    st.sampled_from(["linear", "spline", "Fourier"]),
    st.integers(2, 5),
    st.integers(2, 5),
    st.integers(0, 10**6),
)
def test_functions_add_up_to_the_displacement_and_have_its_slopes(
    kind: str, gx: int, gy: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    basis = DeformationBasis(kind, (gx, gy), SIZE)
    coefficients = make(kind, (gx, gy), rng, 1.0).coefficients[0]
    points = rng.uniform(-10, 80, (6, 2))
    moved = basis.displacement(coefficients, points)
    C = basis.matrix(coefficients)
    np.testing.assert_allclose(basis.values(points) @ C.T, moved, atol=1e-9)
    np.testing.assert_allclose(basis.design(points) @ coefficients, moved, atol=1e-9)
    slopes = basis.slopes(points) @ C.T
    for axis in range(2):
        h = 1e-5 * np.eye(2)[axis]
        ends = (basis.displacement(coefficients, points + sign * h) for sign in (1, -1))
        numeric = (next(ends) - next(ends)) / 2e-5
        np.testing.assert_allclose(slopes[:, axis], numeric, atol=1e-4)


@pytest.mark.parametrize("kind", ["spline", "Fourier"])
def test_another_model_follows_as_far_as_it_can(kind: str) -> None:
    linear = DeformationBasis("linear", (3, 3), SIZE)
    other = DeformationBasis(kind, (3, 4), SIZE)
    given_ = np.array([[0.01, 0.002, -0.01], [0.0, 0.0, 0.0]])
    assert linear.nearest(given_, linear) is given_
    found = other.nearest(given_, linear)
    assert found.shape == (2, other.count)
    assert not found[1].any()
    assert other.design(np.zeros((0, 2))).shape == (0, 2, other.count)
    points = np.random.default_rng(0).uniform(0, SIZE, (50, 2))
    wanted = linear.displacement(given_[0], points)
    off = other.displacement(found[0], points) - wanted
    # A spline can do it exactly.
    assert np.abs(off).max() < (1e-9 if kind == "spline" else 0.5 * np.abs(wanted).max())


@settings(max_examples=30)
@given(st.sampled_from(["linear", "spline", "Fourier"]), st.integers(0, 10**6))
def test_undo_inverts_the_deformation(kind: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    bent = make(kind, (3, 3), rng, 0.01 if kind == "linear" else 0.5)
    p = rng.uniform(0, 48, (2, 5, 2))
    q = p + bent.displacement(p, image_size=SIZE)
    np.testing.assert_allclose(bent.undo(q, image_size=SIZE), p, atol=1e-6)


def test_a_field_that_folds_is_refused() -> None:
    bent = Deformation(kind="linear", grid=(3, 3), coefficients=[[-2.0, 0.0, 0.0]])
    with pytest.raises(ModelError, match="folds"):
        bent.undo([[[1.0, 1.0]]], image_size=SIZE)


@pytest.mark.parametrize(
    ("kind", "grid", "k"), [("linear", (3, 3), 3), ("spline", (3, 3), 72), ("Fourier", (3, 3), 12)]
)
def test_wrong_numbers_of_coefficients_are_refused(
    kind: str, grid: tuple[int, int], k: int
) -> None:
    Deformation(kind=kind, grid=grid, coefficients=np.zeros((1, k)))
    with pytest.raises(ModelError, match=f"{k} coefficients"):
        Deformation(kind=kind, grid=grid, coefficients=np.zeros((1, k + 1)))


def test_an_unknown_kind_of_deformation_is_refused() -> None:
    with pytest.raises(ModelError, match="linear, spline, Fourier"):
        Deformation(kind="empty", grid=(3, 3), coefficients=np.zeros((1, 3)))


@pytest.mark.parametrize(
    ("kind", "grid"), [("linear", (2, 2)), ("spline", (3, 4)), ("Fourier", (4, 4))]
)
def test_coefficients_of_their_scale_displace_by_about_a_pixel(
    kind: str, grid: tuple[int, int]
) -> None:
    basis = DeformationBasis(kind=kind, grid=grid, image_size=SIZE)
    assert basis.scale.shape == (basis.count,)
    rng = np.random.default_rng(3)
    coefficients = basis.scale * rng.normal(size=(50, basis.count))
    points = rng.uniform((0, 0), SIZE, (40, 2))
    moved = basis.design(points).reshape(-1, basis.count) @ coefficients.T
    assert 0.3 < np.sqrt((moved**2).mean()) < 3
