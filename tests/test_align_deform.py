"""Deformations that residuals of an alignment show: against the truth, and where there is none."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.builders.measures import rms_length
from tomoset import geometry
from tomoset.align import AdjustOptions, Fit, adjust
from tomoset.align.deform import GRID, Regression, deformed
from tomoset.errors import ModelError
from tomoset.model import Deformation, Observations
from tomoset.simulate import random_deformation

IMAGE, SIZE, N, BEADS, NOISE = (1024, 960), (1024, 960, 300), 41, 25, 0.15
OPTIONS = AdjustOptions(size=SIZE, image_size=IMAGE)


class Case:
    """Beads seen in bent images, with noise, and the alignment of what was seen."""

    def __init__(self, seed: int, *, bent: float, beads: int = BEADS) -> None:
        self.rng = np.random.default_rng(seed)
        matrices = geometry.rotation_z(np.full(N, 85.0)) @ geometry.rotation_y(
            np.linspace(-60, 60, N)
        )
        matrices[:, :2, 3] = np.array(IMAGE) / 2
        self.true = np.asarray(matrices @ geometry.translation(-np.array(SIZE) / 2))
        self.coefficients = random_deformation(N, IMAGE, rms=bent or 1.0, seed=seed) * (bent > 0)
        points = self.images(self.within(beads))
        points += NOISE * self.rng.standard_normal(points.shape)
        tilt, bead = np.nonzero(((points >= 0) & (points < IMAGE)).all(axis=2))
        self.observations = Observations(bead=bead, tilt=tilt, points=points[tilt, bead])
        given = self.true.copy()
        given[:, :2, 3] += self.rng.normal(0, 2, (N, 2))
        self.fit = adjust(given, self.observations, OPTIONS)

    def within(self, n: int) -> np.ndarray:
        return np.array(SIZE) / 2 + self.rng.uniform(-1, 1, (n, 3)) * (470, 440, 100)

    def images(self, space: np.ndarray) -> np.ndarray:
        """Where points are seen, without noise."""
        bent = Deformation(kind="spline", grid=(3, 3), coefficients=self.coefficients)
        flat = geometry.apply(self.true, space)[..., :2]
        return flat + bent.displacement(flat, image_size=IMAGE)


def error(fit: Fit, space: np.ndarray, target: np.ndarray, inside: np.ndarray) -> float:
    """Rms distance [px] after the best affine map of space, the frame of the fit, by `inside`."""
    X = np.c_[space - space.mean(axis=0), np.ones(len(space))]
    A = np.einsum("ika,ph->ipkah", fit.projections[:, :2, :3], X)[inside].reshape(-1, 12)
    b = (target - fit.projections[:, None, :2, 3])[inside].ravel()
    off = A @ np.linalg.lstsq(A, b, rcond=None)[0] - b
    return float(np.sqrt(2 * (off**2).mean()))


@pytest.mark.parametrize("seed", [1, *(pytest.param(s, marks=pytest.mark.slow) for s in (2, 3))])
def test_a_deformation_is_found_and_predicts_what_was_not_seen(seed: int) -> None:
    case = Case(seed, bent=1.0)
    found = deformed(case.observations, case.fit, IMAGE)
    assert found is not None
    assert found.deformation.kind == "spline"
    assert found.leave_out < 0.7 * found.leave_out_before
    used = case.fit.weights > 0
    weights = case.fit.weights[used]
    squares = (case.fit.residuals[used] ** 2).sum(axis=1)
    assert found.leave_out_before == pytest.approx(
        np.sqrt((weights * squares).sum() / weights.sum())
    )
    # At other points of the specimen, where they are in the images.
    space = case.within(400)
    target = case.images(space)
    inside = ((target >= 0) & (target < IMAGE)).all(axis=2)
    straight = found.deformation.undo(target, image_size=IMAGE)
    before, after = (error(case.fit, space, t, inside) for t in (target, straight))
    assert after < 0.7 * before


@pytest.mark.parametrize("seed", [0, *(pytest.param(s, marks=pytest.mark.slow) for s in (1, 2, 3))])
def test_no_deformation_is_found_in_noise(seed: int) -> None:
    case = Case(seed, bent=0.0)
    assert deformed(case.observations, case.fit, IMAGE) is None


@pytest.mark.parametrize("kind", ["linear", "spline"])
@pytest.mark.parametrize("strength", [1e-3, 0.3, 20.0])
def test_errors_left_out_are_those_of_regressions_without(kind: str, strength: float) -> None:
    rng = np.random.default_rng(5)
    n = 9
    points, seen = rng.uniform(0, IMAGE, (n, 2)), rng.standard_normal((n, 2))
    weights = rng.uniform(0.2, 1.0, n)
    B = geometry.DeformationBasis(kind, GRID, IMAGE).design(points)
    scale = rng.uniform(0.5, 1.0, B.shape[2]) / np.abs(B).max(axis=(0, 1)).clip(1)
    out = Regression.of(B, seen, weights, scale).left_out(strength)
    for i in range(n):
        others = np.arange(n) != i
        # Normal equations, weights and ridge as they are defined.
        A, w = B[others].reshape(-1, len(scale)), np.repeat(weights[others], 2)
        normal = A.T @ (w[:, None] * A) + strength * np.diag(scale**-2.0)
        theta = np.linalg.solve(normal, A.T @ (w * seen[others].ravel()))
        expected = np.sqrt(weights[i]) * (seen[i] - B[i] @ theta)
        np.testing.assert_allclose(out[i], expected, rtol=1e-6, atol=1e-7)
        again = Regression.of(B[others], seen[others], weights[others], scale)
        np.testing.assert_allclose(again.coefficients(strength), theta, rtol=1e-6, atol=1e-9)


def residuals_only(case: Case, residuals: np.ndarray) -> tuple[Observations, Fit]:
    """The fit with other residuals: seen where these say."""
    points = case.observations.points - case.fit.residuals + residuals
    return replace(case.observations, points=points), replace(case.fit, residuals=residuals)


@pytest.fixture(scope="module")
def plain() -> Case:
    return Case(0, bent=0.0)


def test_a_linear_deformation_is_enough_where_it_explains_all(plain: Case) -> None:
    rng = np.random.default_rng(2)
    true = Deformation(kind="linear", grid=(3, 3), coefficients=rng.normal(0, 1e-3, (N, 3)))
    seen = plain.observations
    flat = seen.points - plain.fit.residuals
    bent = true.displacement(np.broadcast_to(flat, (N, *flat.shape)), image_size=IMAGE)
    moved = bent[seen.tilt, np.arange(len(seen))] + plain.fit.residuals
    found = deformed(*residuals_only(plain, moved), IMAGE)
    assert found is not None
    assert found.deformation.kind == "linear"
    np.testing.assert_allclose(found.deformation.coefficients, true.coefficients, atol=5e-4)


def test_outliers_and_empty_images_count_for_nothing() -> None:
    case = Case(4, bent=1.0)
    wrong, none = np.arange(len(case.observations)) % 17 == 0, case.observations.tilt == 20
    beads = case.observations.bead == 3
    away = wrong | none | beads
    fit = replace(
        case.fit, outliers=away | case.fit.outliers, weights=np.where(away, 0, case.fit.weights)
    )
    spoilt = case.fit.residuals + 50.0 * away[:, None]
    spoilt[beads] = np.nan
    found = [
        deformed(case.observations, replace(fit, residuals=r), IMAGE)
        for r in (fit.residuals, spoilt)
    ]
    assert found[0] is not None and found[1] is not None  # noqa: PT018
    np.testing.assert_array_equal(*(f.deformation.coefficients for f in found if f))
    assert not found[0].deformation.coefficients[20].any()
    nothing = replace(fit, outliers=np.ones_like(away), weights=np.zeros(len(away)))
    assert deformed(case.observations, nothing, IMAGE) is None


def test_uncertain_observations_count_less(plain: Case) -> None:
    case = plain
    n = len(case.observations)
    alike = replace(case.observations, uncertainty=np.full(n, 3.0))
    bent = case.fit.residuals + np.sin(case.observations.points[:, :1] / 200) * [1.0, 0.5]
    seen, fit = residuals_only(case, bent)
    alike = replace(seen, uncertainty=np.full(n, 3.0))
    one, two = deformed(seen, fit, IMAGE), deformed(alike, fit, IMAGE)
    assert one is not None and two is not None  # noqa: PT018
    np.testing.assert_allclose(one.deformation.coefficients, two.deformation.coefficients)
    # False, but said to be vague.
    vague = np.arange(n) % 10 == 0
    noisy = fit.residuals + 5.0 * vague[:, None] * np.random.default_rng(1).standard_normal((n, 2))
    seen, fit = residuals_only(case, noisy)
    told = deformed(replace(seen, uncertainty=np.where(vague, 5.0, NOISE)), fit, IMAGE)
    assert told is not None
    assert rms_length(
        told.deformation.coefficients - one.deformation.coefficients
    ) < 0.5 * rms_length(one.deformation.coefficients)


def test_observations_and_images_of_another_size_are_refused(plain: Case) -> None:
    with pytest.raises(ModelError, match="does not belong to 3"):
        deformed(plain.observations.take(np.arange(3)), plain.fit, IMAGE)
    with pytest.raises(ModelError, match="0 x 960"):
        deformed(plain.observations, plain.fit, (0, 960))
