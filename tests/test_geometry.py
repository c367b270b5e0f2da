"""Geometry against worked numbers of docs/conventions.md, and its laws."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tomoset import geometry as g

angles = st.floats(-180, 180)
lengths = st.floats(-1000, 1000)


def test_rotations_are_right_handed() -> None:
    # docs/conventions.md, 'Projection'.
    c, s = np.cos(np.deg2rad(30)), np.sin(np.deg2rad(30))
    np.testing.assert_allclose(g.rotation_x(30)[:3, :3], [[1, 0, 0], [0, c, -s], [0, s, c]])
    np.testing.assert_allclose(g.rotation_y(30)[:3, :3], [[c, 0, s], [0, 1, 0], [-s, 0, c]])
    np.testing.assert_allclose(g.rotation_z(30)[:3, :3], [[c, -s, 0], [s, c, 0], [0, 0, 1]])


def test_relion_4_worked_example() -> None:
    """docs/conventions.md, 'Projection', an identical run of RELION: matrix and depth."""
    xf = np.array([[[0.0871557, 0.9961947, -3.0], [-0.9961947, 0.0871557, 4.0]]])
    volume = g.ImodVolume(aligned_size=(64, 48), thickness=30)
    ours = g.imod_projections(
        xf, np.array([20.0]), np.array([0.0]), volume=volume, raw_size=(64, 48)
    )
    expected = [
        [0.0818995684483, -0.996194703636, 0.0298090051144, 57.0739541084],
        [0.936116811872, 0.0871557003181, 0.340718655318, -11.1892109085],
        [-0.342020143326, 0, 0.939692620786, -2.04004203292],
        [0, 0, 0, 1],
    ]
    np.testing.assert_allclose(g.to_one_based(ours)[0], expected, atol=1e-9)
    assert volume.size == (64, 48, 30)


@given(st.tuples(lengths, lengths, lengths), angles, angles, angles)
def test_one_based_is_a_step_of_one_voxel(
    point: tuple[float, float, float], x: float, y: float, z: float
) -> None:
    matrix = g.translation((1, 2, 3)) @ g.rotation_z(z) @ g.rotation_y(y) @ g.rotation_x(x)
    one_based = g.to_one_based(matrix)
    np.testing.assert_allclose(
        g.apply(one_based, np.array(point) + 1), g.apply(matrix, point), atol=1e-9
    )
    np.testing.assert_allclose(g.from_one_based(one_based), matrix, atol=1e-12)


@given(st.integers(0, 2**32 - 1), st.integers(3, 8), st.integers(1, 5))
def test_triangulation_inverts_projection(seed: int, n_tilts: int, n_points: int) -> None:
    rng = np.random.default_rng(seed)
    tilts = np.linspace(-50, 50, n_tilts) + rng.normal(0, 1, n_tilts)
    matrices = g.translation(rng.normal(0, 20, (n_tilts, 3))) @ g.rotation_z(85)
    matrices = matrices @ g.rotation_y(tilts)
    points = rng.uniform(-100, 100, (n_points, 3))
    seen = g.apply(matrices, points)[..., :2]
    seen[0, 0] = np.nan  # not seen once
    np.testing.assert_allclose(g.triangulate(matrices, seen), points, atol=1e-6)


def test_triangulation_of_what_is_not_fixed_is_nan() -> None:
    matrices = g.rotation_y([0.0, 0.0, 40.0])
    seen = g.apply(matrices, [[1.0, 2.0, 3.0]])[..., :2]
    seen[2] = np.nan  # twice from one direction
    assert np.isnan(g.triangulate(matrices, seen)).all()


@given(st.floats(-89, 89), st.floats(-179, 179), st.floats(0.9, 1.1))
def test_angles_of_a_projection_are_recovered(tilt: float, axis: float, scale: float) -> None:
    matrix = (g.rotation_z(axis) @ g.rotation_y(tilt))[None]
    matrix[:, :3, :3] *= scale
    assert g.tilt_angles(matrix)[0] == pytest.approx(tilt, abs=1e-9)
    assert g.tilt_axis_angles(matrix)[0] == pytest.approx(axis, abs=1e-9)
    mirrored = g.translation((0, 0, 0)) * [[1], [1], [-1], [1]] @ matrix[0]
    assert g.tilt_angles(mirrored[None])[0] == pytest.approx(tilt, abs=1e-9)


def by_hand(point: np.ndarray, tilt: float, alpha: float, size: tuple[int, int]) -> np.ndarray:
    """IMOD's tilt.f90, lines as they stand there, in its 1-based indices: x, y of one point.

    `point` is x, slice of depth, y in 1-based voxels of the volume before any flip.
    """
    thickness, (width, height) = 100, size
    sin_beta, cos_beta = -np.sin(np.deg2rad(tilt)), np.cos(np.deg2rad(tilt))
    cos_alpha, sin_alpha = np.cos(np.deg2rad(alpha)), -np.sin(np.deg2rad(alpha))
    x_centre_in, centre_slice = width / 2 + 0.5, height / 2 + 0.5
    x_centre_out, y_centre_out = width // 2 + 0.5, thickness // 2 + 0.5
    rj, ri, rslice = point
    zz, yy = ri - y_centre_out, rslice - centre_slice
    zpart = yy * sin_alpha * sin_beta + zz * cos_alpha * sin_beta + x_centre_in
    yproj = yy * cos_alpha - zz * sin_alpha + centre_slice
    return np.array([zpart + (rj - x_centre_out) * cos_beta, yproj])


@given(
    st.tuples(st.floats(1, 64), st.floats(1, 100), st.floats(1, 48)),
    st.floats(-70, 70),
    st.floats(-5, 5),
)
def test_exact_depth_is_imods_own(
    point: tuple[float, float, float], tilt: float, alpha: float
) -> None:
    expected = by_hand(np.array(point), tilt, alpha, (64, 48)) - 1
    x, depth, y = np.array(point) - 1  # from 0
    for flips, ours in (
        ((False, False), (x, depth, y)),
        ((True, False), (x, y, depth)),
        ((True, True), (x, y, 99 - depth)),
    ):
        volume = g.ImodVolume(
            aligned_size=(64, 48), thickness=100, slice_centre=50,
            flip_yz=flips[0], flip_z=flips[1],
        )  # fmt: skip
        matrix = g.imod_projections(
            None, np.array([tilt]), np.array([alpha]), volume=volume, raw_size=(64, 48)
        )
        np.testing.assert_allclose(g.apply(matrix, [ours])[0, 0, :2], expected, atol=1e-9)


@given(st.integers(0, 10**6))
def test_a_rotation_about_a_vector_is_that_of_the_exponential(seed: int) -> None:
    rng = np.random.default_rng(seed)
    vector = rng.normal(0, 1, 3) * 10.0 ** rng.integers(-9, 1)
    x, y, z = vector
    generator = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    terms = [np.eye(3)]
    for k in range(1, 60):
        terms.append(terms[-1] @ generator / k)
    np.testing.assert_allclose(g.rotation_about(vector), np.sum(terms, axis=0), atol=1e-9)


@given(st.integers(0, 10**6))
def test_products_have_the_derivatives_of_finite_differences(seed: int) -> None:
    numbers = np.random.default_rng(seed).normal(0, 0.3, (3, 7))
    dual = g.DualMatrix

    def product(n: np.ndarray) -> g.DualMatrix:
        bent = dual.rotation(2, n[:, 0]) @ dual.strain(n[:, 1:4]) @ dual.rotation(0, n[:, 4])
        return bent @ dual.scaling(n[:, 5]) @ dual.rotation(1, n[:, 6])

    found = product(numbers)
    for column in range(7):
        h = 1e-6 * np.eye(7)[column]
        numeric = (product(numbers + h).matrix - product(numbers - h).matrix) / 2e-6
        np.testing.assert_allclose(found.slopes[:, column], numeric, atol=1e-7)
