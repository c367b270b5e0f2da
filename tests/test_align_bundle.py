"""Alignment by beads against the truth, against slow references, and where it is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.builders.measures import affine_errors, rms
from tomoset import geometry
from tomoset.align import (
    GROUP_NAMES,
    PARAMETERS,
    AdjustOptions,
    AlignmentError,
    ParameterGroups,
    adjust,
    bundle,
    gauge,
    leverage,
    parameters,
    robust,
    start,
)
from tomoset.align.bundle import Problem, State
from tomoset.align.parameter_groups import basis, changes
from tomoset.errors import ModelError
from tomoset.model import Observations

IMAGE, SIZE, AXIS = (1024, 960), (1024, 960, 300), 85.0
NOISE = 0.31  # px a coordinate
OPTIONS = AdjustOptions(size=SIZE, image_size=IMAGE)


def rigid(tilt: np.ndarray, axis: np.ndarray, scale: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Projections by angles [deg], magnification, and where the middle of the tomogram is seen."""
    matrices = geometry.rotation_z(axis) @ geometry.rotation_y(tilt)
    matrices[:, :2, :3] *= np.asarray(scale)[:, None, None]
    matrices[:, :2, 3] = at
    return matrices @ geometry.translation(-np.array(SIZE) / 2)


class Case:
    """A tilt series whose truth is known, an alignment that is off, and beads seen with noise."""

    def __init__(
        self, seed: int, *, beads: int = 25, shift: float = 2.0, rotation: float = 0.15,
        tilt: float = 0.15, scale: float = 0.001, offset: float = 0.0, noise: float = NOISE,
    ) -> None:  # fmt: skip
        self.rng = np.random.default_rng(seed)
        n = 41
        nominal = np.linspace(-60.0, 60.0, n)
        self.numbers = [nominal, np.full(n, AXIS), np.ones(n)]
        self.at = np.array(IMAGE) / 2 + self.rng.normal(0, 3, (n, 2))
        self.true = rigid(*self.numbers, self.at)
        chance = self.rng.standard_normal((5, n))
        self.given = rigid(
            nominal + offset + tilt * chance[0],
            AXIS + rotation * chance[1],
            1 + scale * chance[2],
            self.at + shift * chance[3:].T,
        )
        self.beads = self.within(beads)
        self.places = geometry.apply(self.true, self.beads)[..., :2]
        self.seen = ((self.places >= 0) & (self.places < IMAGE)).all(axis=2)
        self.places = self.places + noise * self.rng.standard_normal(self.places.shape)
        self.false = np.zeros_like(self.seen)

    def within(self, n: int) -> np.ndarray:
        """Points all over the specimen, a slab of 200 px."""
        return np.array(SIZE) / 2 + self.rng.uniform(-1, 1, (n, 3)) * (470, 440, 100)

    def observations(self, mask: np.ndarray | None = None) -> Observations:
        tilt, bead = np.nonzero(self.seen if mask is None else mask)
        return Observations(bead=bead, tilt=tilt, points=self.places[tilt, bead])

    def lie(self, fraction: float, *, add: bool = False, neighbour: bool = False) -> None:
        """Replace observations by false ones, or add false ones where none were."""
        places = np.argwhere(~self.seen if add else self.seen)
        count = int(fraction * self.seen.sum())
        clean = self.places.copy()
        for tilt, bead in self.rng.permutation(places)[:count]:
            apart = np.linalg.norm(clean[tilt] - clean[tilt, bead], axis=1)
            other = int(np.argmin(np.where(apart > 10, apart, np.inf)))
            wrong = clean[tilt, other] if neighbour else self.rng.uniform(0, IMAGE)
            self.places[tilt, bead] = wrong
            self.seen[tilt, bead] = self.false[tilt, bead] = True


def cramer_rao(case: Case, points: np.ndarray) -> float:
    """The smallest rms error at points that any unbiased fit has, an affine map aside.

    By finite differences of the projections in shift, rotation, tilt and magnification of every
    image and in the beads, and one dense pseudo-inverse: nothing of the package.
    """
    n, m, step = len(case.true), len(case.beads), 1e-4

    def images(numbers: np.ndarray, space: np.ndarray) -> np.ndarray:
        tilt, axis, scale, x, y = numbers.reshape(5, n)
        at = np.stack([x, y], axis=1)
        return geometry.apply(rigid(tilt, axis, scale, at), space)[..., :2]

    numbers = np.concatenate([*case.numbers, *case.at.T])
    weak = np.zeros((5 * n, *case.places.shape)), np.zeros((5 * n, n, len(points), 2))
    for k in range(5 * n):
        for out, space in zip(weak, (case.beads, points), strict=True):
            up, down = numbers.copy(), numbers.copy()
            up[k] += step
            down[k] -= step
            out[k] = (images(up, space) - images(down, space)) / (2 * step)
    by_bead = np.zeros((3 * m, n, m, 2))
    for j in range(m):
        by_bead[3 * j : 3 * j + 3, :, j] = case.true[:, :2, :3].transpose(2, 0, 1)
    J = np.concatenate([weak[0], by_bead])[:, case.seen].reshape(5 * n + 3 * m, -1)
    scale = 1 / np.linalg.norm(J, axis=1)
    information = (J * scale[:, None]) @ (J * scale[:, None]).T / NOISE**2
    covariance = np.linalg.pinv(information, rcond=1e-10)[: 5 * n, : 5 * n]
    D = (weak[1].reshape(5 * n, -1) * scale[: 5 * n, None]).T
    X = np.c_[points - points.mean(axis=0), np.ones(len(points))]
    affine = np.einsum("ika,ph->ipkah", case.true[:, :2, :3], X).reshape(len(D), -1)
    U = np.linalg.svd(affine, full_matrices=False)[0]
    D = D - U @ (U.T @ D)
    return float(np.sqrt(((D @ covariance) * D).sum() / (n * len(points))))


# --- what a projection is made of -------------------------------------------------------------


@given(st.integers(0, 2**32 - 1))
def test_every_affine_projection_comes_back(seed: int) -> None:
    rng = np.random.default_rng(seed)
    matrices = np.tile(np.eye(4), (5, 1, 1))
    matrices[:, :3] = rng.normal(0, 1, (5, 3, 4)) * 10 ** rng.uniform(-2, 2, (5, 1, 1))
    matrices[:, :3, 3] *= 100
    centre = rng.normal(0, 300, 3)
    cameras = parameters.decompose(matrices, centre)
    back = parameters.compose(cameras, centre, matrices)
    size = np.abs(matrices[:, :3]).max(axis=(1, 2), keepdims=True)
    np.testing.assert_allclose(back[:, :3] / size, matrices[:, :3] / size, atol=1e-10)
    np.testing.assert_allclose(parameters.planes(cameras) @ parameters.rotations(cameras)[:, :2],
                               matrices[:, :2, :3], atol=1e-9 * float(size.max()))  # fmt: skip


def test_parameters_say_what_they_are() -> None:
    matrices = (
        geometry.rotation_z([85.0]) @ geometry.rotation_y(-20.0) @ geometry.rotation_x(3.0)
    ) * [[1.02], [1.02], [1], [1]]
    stretch = np.eye(4)
    stretch[:2, :2] = [[1.01, 0.004], [0.004, 0.99]]
    rotation = geometry.rotation_z(85.0)
    matrices = rotation @ stretch @ np.linalg.inv(rotation) @ matrices
    shown = parameters.readable(parameters.decompose(matrices, np.zeros(3)))[0]
    assert dict(zip(PARAMETERS, shown.round(9).tolist(), strict=False)) == pytest.approx(
        {"shift_x": 0, "shift_y": 0, "rotation": 85, "tilt": -20, "magnification": 1.02,
         "stretch": 0.01, "skew": 0.004, "x_tilt": 3}
    )  # fmt: skip


def test_depth_keeps_its_sense_and_scale_and_turns_with_the_beam() -> None:
    old = geometry.rotation_z([85.0, 85.0]) @ geometry.rotation_y([20.0, 20.0])
    old[1, 2] *= -2.0  # counted the other way, in halves
    centre = np.array([5.0, 6.0, 7.0])
    cameras = parameters.decompose(old, centre)
    cameras[:, parameters.TILT] += np.deg2rad(10)
    new = parameters.compose(cameras, centre, old)
    turned = geometry.rotation_z(85.0) @ geometry.rotation_y(30.0)
    np.testing.assert_allclose(new[0, 2, :3], turned[2, :3], atol=1e-12)
    np.testing.assert_allclose(new[1, 2, :3], -2 * turned[2, :3], atol=1e-12)
    at = geometry.apply(old, centre[None])[:, 0, 2]
    np.testing.assert_allclose(geometry.apply(new, centre[None])[:, 0, 2], at, atol=1e-12)


def test_dependent_rows_are_no_projection() -> None:
    flat = np.eye(4)[None].copy()
    flat[0, 1] = 2 * flat[0, 0]
    with pytest.raises(ModelError, match="image 1: rows x and y"):
        parameters.decompose(flat, np.zeros(3))


# --- what may change --------------------------------------------------------------------------


def test_changes_are_linear_between_nodes_in_the_order_of_the_angles() -> None:
    rank = np.array([2, 1, 3, 0, 4])  # dose-symmetric
    grouped = changes("grouped:2", rank)
    np.testing.assert_allclose(grouped @ [0.0, 2.0, 8.0], [2.0, 1.0, 5.0, 0.0, 8.0])
    assert changes("common", rank).tolist() == [[1.0]] * 5
    assert changes("fixed", rank).shape == (5, 0)
    assert ParameterGroups(rotation="grouped:2", beam_tilt="common").counts(5) == {
        **dict.fromkeys(GROUP_NAMES, 0), "shift": 10, "rotation": 3, "beam_tilt": 1,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ({"rotation": "grouped:1"}, "rotation cannot be 'grouped:1'"),
        ({"beam_tilt": "free"}, "beam_tilt cannot be 'free': fixed or common"),
        ({"shift": "common"}, "shifts are always free"),
        ({"defocus": "free"}, "no parameter group 'defocus'"),
    ],
)
def test_unknown_parameter_groups_are_refused(groups: dict[str, str], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        AdjustOptions(groups=groups)


# --- one step of least squares ----------------------------------------------------------------


def system(seed: int) -> tuple[Problem, State, np.ndarray]:
    """A small problem away from its solution, and weights, some of them 0."""
    rng = np.random.default_rng(seed)
    case = Case(seed, beads=6, shift=1.0)
    rows = slice(None, None, 5)
    observations = case.observations(case.seen & (np.arange(41) % 5 == 0)[:, None])
    observations = replace(observations, tilt=observations.tilt // 5)
    given = start.problem(case.given[rows], observations, SIZE)
    cameras = given.start + rng.normal(0, 0.02, given.start.shape)
    cameras[:, parameters.BEAM_TILT] = 0.01
    weights = np.where(given.precision > 0, rng.uniform(0.2, 1, given.precision.shape), 0.0)
    weights[2, 1] = 0.0
    return given, State(cameras, case.beads + rng.normal(0, 3, case.beads.shape)), weights


def test_derivatives_are_those_of_finite_differences() -> None:
    given, state, _ = system(1)
    ours = parameters.derivatives(state.cameras, state.beads - given.centre)
    for column in range(9):
        step = np.zeros(9)
        step[column] = 1e-6
        ends = [
            bundle.predicted(given, State(c, state.beads))
            for c in (state.cameras + step, state.cameras - step)
        ]
        numeric = (ends[0] - ends[1]) / 2e-6
        np.testing.assert_allclose(ours[..., column], numeric, atol=1e-5, rtol=1e-7)


def dense(
    given: Problem, state: State, weights: np.ndarray, free: bundle.Basis
) -> tuple[np.ndarray, np.ndarray]:
    """Slow reference: derivatives of all residuals by all numbers and beads, and residuals."""
    arms = state.beads - given.centre
    by_camera = parameters.derivatives(state.cameras, arms) * given.units
    numbers = free.expand(np.eye(free.size))
    n, m = weights.shape
    J = np.zeros((n, m, 2, free.size + 3 * m))
    linear = parameters.linear(state.cameras)
    for i in range(n):
        for j in range(m):
            J[i, j, :, : free.size] = by_camera[i, j] @ numbers[i]
            J[i, j, :, free.size + 3 * j : free.size + 3 * j + 3] = linear[i]
    root = np.sqrt(weights)[..., None]
    off = bundle.residuals(given, state)
    return (J * root[..., None]).reshape(2 * n * m, -1), (off * root).ravel()


def test_elimination_of_beads_is_the_whole_system() -> None:
    given, state, weights = system(2)
    free = basis(ParameterGroups(rotation="grouped:3", tilt="free", skew="common", beam_tilt="common"),
                 given.start[:, parameters.TILT])  # fmt: skip
    known = np.full(9, np.inf)
    known[parameters.TILT] = 2.0
    prior = given.prior(0.5, known)
    made = bundle.linearise(given, state, weights, prior)
    reduced = bundle.reduce(made, free)
    numbers, beads = bundle.solve(made, reduced)

    J, off = dense(given, state, weights, free)
    normal, side = J.T @ J, J.T @ off
    held = free.expand(np.eye(free.size))
    gone = (state.cameras - given.start) / given.units
    pulled = np.stack([prior.restraint(held[..., k]) for k in range(free.size)], axis=-1)
    normal[: free.size, : free.size] += np.einsum("nap,naq->pq", held, pulled)
    side[: free.size] -= np.einsum("nap,na->p", held, prior.restraint(gone))
    # What nothing holds is held by a trifle, in both.
    trifle = np.zeros(len(normal))
    trifle[: free.size] = 1e-7 * reduced.normal.diagonal().max()
    inverse = np.linalg.inv(normal + np.diag(trifle))
    # What moves the specimen is nobody's: compare what both do to the images.
    J, _ = dense(given, state, np.ones_like(weights), free)
    ours = J @ np.concatenate([numbers, beads.ravel()])
    np.testing.assert_allclose(ours, J @ inverse @ side, atol=1e-4)

    # Leverage: J N^-1 J^T, observation by observation.
    rows = J.reshape(*weights.shape, 2, -1)
    spread = leverage.spread(made, reduced, free, leverage.inverse(reduced))
    np.testing.assert_allclose(
        spread, np.einsum("imka,ab,imlb->imkl", rows, inverse, rows), atol=1e-5
    )


def test_leave_out_error_is_that_of_a_fit_without_the_observation() -> None:
    case = Case(3, beads=8)
    given = start.problem(case.given, case.observations(), SIZE)
    free = basis(ParameterGroups(rotation="free", magnification="grouped:8"), given.start[:, 3])
    weights = np.where(given.precision > 0, 1.0, 0.0)
    prior = given.prior(0.3)

    def fit(weights: np.ndarray) -> tuple[State, bundle.System, bundle.Reduced]:
        state = start.unchanged(given, case.given)
        for _ in range(8):
            state, made, reduced = bundle.step(given, state, weights, prior, free)
        return state, made, reduced

    state, made, reduced = fit(weights)
    variance = leverage.spread(made, reduced, free, leverage.inverse(reduced))
    fast = leverage.left_out(given, bundle.residuals(given, state), weights, variance).errors
    for tilt, bead in np.argwhere(given.precision > 0)[::37]:
        without = weights.copy()
        without[tilt, bead] = 0.0
        slow = bundle.residuals(given, fit(without)[0])[tilt, bead]
        np.testing.assert_allclose(fast[tilt, bead], slow, rtol=0.01, atol=2e-3)


# --- against the truth ------------------------------------------------------------------------


def test_exact_observations_give_the_exact_projections() -> None:
    case = Case(1, noise=0.0, shift=10.0, rotation=1.0, offset=3.0)
    fit = adjust(case.given, case.observations(), OPTIONS)
    points = case.within(200)
    assert rms(affine_errors(fit.projections, case.true, points)) < 1e-6
    assert fit.rms < 1e-6
    assert not fit.outliers.any()
    # The beads are those of the projections, wherever both lie.
    again = geometry.apply(fit.projections, fit.beads)[..., :2]
    np.testing.assert_allclose(again[case.seen], case.places[case.seen], atol=1e-6)


@pytest.mark.parametrize("seed", [1, *(pytest.param(s, marks=pytest.mark.slow) for s in (2, 3))])
def test_error_is_near_the_cramer_rao_bound(seed: int) -> None:
    case = Case(seed)
    points = case.within(200)
    fit = adjust(case.given, case.observations(), OPTIONS)
    found = rms(affine_errors(fit.projections, case.true, points))
    # px a coordinate: 0.15; lengths are sqrt(2) times that.
    assert found <= 0.17
    assert found <= 1.15 * cramer_rao(case, points)
    assert fit.expected == pytest.approx(found, rel=0.25)
    # Noise, and the error of the prediction: leverage on average.
    leverage = fit.effective / (2 * case.seen.sum())
    assert fit.leave_out == pytest.approx(np.sqrt(2 / (1 - leverage)) * NOISE, rel=0.06)
    assert fit.leave_out < fit.leave_out_before / 3
    assert "rotation free" in str(fit.model)
    # Motions along x, y, z, a turn about y and a scale are nobody's.
    assert fit.n_parameters == 41 * 5 + 75 - 5
    assert fit.effective <= fit.n_parameters


@pytest.mark.parametrize("far", [pytest.param(False, marks=pytest.mark.slow), True])
@pytest.mark.parametrize("how", ["replaced", "neighbours", "added"])
def test_false_observations_do_not_change_the_fit(how: str, far: bool) -> None:
    errors = {"shift": 10.0, "rotation": 1.0, "offset": 3.0} if far else {}
    case = Case(4, **errors)
    if how == "added":
        case.seen &= case.rng.uniform(size=case.seen.shape) < 0.7
    points = case.within(200)
    case.lie(0.3, add=how == "added", neighbour=how == "neighbours")
    fit = adjust(case.given, case.observations(), OPTIONS)
    clean = adjust(case.given, case.observations(case.seen & ~case.false), OPTIONS)
    ratio = rms(affine_errors(fit.projections, case.true, points)) / rms(
        affine_errors(clean.projections, case.true, points)
    )
    assert ratio < 1.1
    false = case.false[np.nonzero(case.seen)]
    assert fit.outliers[false].mean() > 0.99
    assert fit.outliers[~false].mean() < 0.01
    assert not len(fit.unsupported)


def test_a_track_that_jumps_to_a_neighbour_is_rejected_where_it_does() -> None:
    case = Case(5)
    far = np.arange(41) < 19
    case.places[far, 3], case.false[far, 3] = case.places[far, 8], case.seen[far, 3]
    fit = adjust(case.given, case.observations(), OPTIONS)
    tilt, bead = np.nonzero(case.seen)
    apart = np.linalg.norm(fit.residuals, axis=1)
    assert fit.outliers[case.false[tilt, bead]].all()
    assert not fit.outliers[(bead == 3) & ~case.false[tilt, bead] & (apart < 1)].any()
    assert apart[(bead == 3) & ~case.false[tilt, bead]].max() < 2


def test_a_bead_without_consistent_observations_has_no_position() -> None:
    case = Case(6)
    case.places[:, 7] = case.rng.uniform(0, IMAGE, (41, 2))
    fit = adjust(case.given, case.observations(), OPTIONS)
    assert np.flatnonzero(np.isnan(fit.beads[:, 0])).tolist() == [7]
    bead = case.observations().bead
    assert fit.outliers[bead == 7].all()
    assert np.isnan(fit.residuals[bead == 7]).all()
    assert np.isnan(fit.by_bead[7])
    assert np.isfinite(fit.residuals[bead != 7]).all()


@pytest.mark.parametrize("seed", [1, 2])
def test_five_beads_correct_shifts_with_few_parameters(seed: int) -> None:
    case = Case(seed, beads=5, shift=3 / np.sqrt(2), rotation=0.0, tilt=0.0, scale=0.0)
    points = case.within(200)
    fit = adjust(case.given, case.observations(), OPTIONS)
    assert rms(affine_errors(fit.projections, case.true, points)) < 0.4
    assert fit.effective < 2 * 41 + 15 + 10


@pytest.mark.slow
def test_declared_deviations_are_those_of_many_fits() -> None:
    case = Case(7, noise=0.0, tilt=0.0)
    exact = case.places.copy()
    free = {name: "fixed" for name in GROUP_NAMES if name != "shift"}
    free |= {"rotation": "free", "tilt": "grouped:8", "magnification": "free"}
    fits = []
    for seed in range(20):
        case.places = exact + NOISE * np.random.default_rng(seed).standard_normal(exact.shape)
        fits.append(adjust(case.given, case.observations(), replace(OPTIONS, groups=free)))
    found = np.std([fit.parameters for fit in fits], axis=0)
    declared = np.mean([fit.deviations for fit in fits], axis=0)
    columns = [PARAMETERS.index(x) for x in ("shift_x", "shift_y", "rotation", "magnification")]
    ratio = np.sqrt((found**2).mean(axis=0) / (declared**2).mean(axis=0))
    assert ratio[columns].tolist() == pytest.approx([1.0] * 4, abs=0.15)
    # Eight numbers, of which no common change is one.
    assert ratio[PARAMETERS.index("tilt")] < 1.3
    assert str(fits[0].model) == (
        "shift free, rotation free, tilt grouped by 8, magnification free"
    )


# --- where the tomogram lies ------------------------------------------------------------------


def test_the_tomogram_stays_where_it_was() -> None:
    case = Case(8, offset=3.0)
    fit = adjust(case.given, case.observations(), OPTIONS)
    # Random errors average out: 41 images off by 2 px, 0.15 degrees and 0.001.
    gone = geometry.apply(fit.projections, case.beads) - geometry.apply(case.given, case.beads)
    assert np.abs(np.median(gone[..., :2], axis=(0, 1))).max() < 1.0
    changes = np.median(fit.changes, axis=0)
    assert abs(changes[PARAMETERS.index("tilt")]) < 0.1
    assert abs(changes[PARAMETERS.index("x_tilt")]) < 0.1
    assert abs(changes[PARAMETERS.index("magnification")]) < 0.001
    # A motion of the whole specimen by hand comes back, and nothing else.
    moved = gauge.motion(np.array([0.01, -0.02, 0.03, 4.0, 5.0, -6.0, 0.02]), np.array(SIZE) / 2)
    found = gauge.find(
        case.true, case.true @ np.linalg.inv(moved), geometry.apply(moved, case.beads), scaled=True
    )
    np.testing.assert_allclose(found.motion @ moved, np.eye(4), atol=1e-8)


def test_depth_of_projections_is_kept() -> None:
    case = Case(9, offset=3.0)
    mirrored = case.given.copy()
    mirrored[:, 2] *= -1
    ours = [adjust(P, case.observations(), OPTIONS).projections for P in (case.given, mirrored)]
    np.testing.assert_allclose(ours[0][:, :2], ours[1][:, :2], atol=1e-9)
    np.testing.assert_allclose(ours[0][:, 2], -ours[1][:, 2], atol=1e-9)
    beam = np.cross(ours[0][:, 0, :3], ours[0][:, 1, :3])
    beam /= np.linalg.norm(beam, axis=1)[:, None]
    np.testing.assert_allclose(ours[0][:, 2, :3], beam, atol=1e-9)


def test_an_image_without_beads_keeps_its_shift() -> None:
    case = Case(10, rotation=0.0, offset=0.0)
    case.given = rigid(case.numbers[0], case.numbers[1] + 1.0, case.numbers[2], case.at)
    case.given[:, :2, 3] += case.rng.normal(0, 2, (41, 2))
    case.seen[13] = False
    fit = adjust(case.given, case.observations(), OPTIONS)
    assert fit.unsupported.tolist() == [13]
    middle = np.array([SIZE]) / 2
    at = [geometry.apply(P, middle)[13, 0, :2] for P in (case.given, fit.projections)]
    np.testing.assert_allclose(*at, atol=1e-9)
    # Its axis follows the others, which are all a degree off.
    turned = fit.changes[:, PARAMETERS.index("rotation")]
    assert turned[13] == pytest.approx(np.median(turned), abs=0.1)
    assert np.isnan(fit.by_tilt[13])
    assert np.isfinite(fit.deviations).all()


def test_order_of_tilt_images_and_size_of_uncertainties_do_not_matter() -> None:
    case = Case(11, beads=12)
    seen = case.observations()
    fit = adjust(case.given, seen, OPTIONS)
    order = np.argsort(np.abs(case.numbers[0] + 0.1), kind="stable")
    index = np.argsort(order)
    other = adjust(
        case.given[order],
        Observations(
            bead=seen.bead, tilt=index[seen.tilt], points=seen.points,
            uncertainty=np.full(len(seen), 0.02),
        ),
        OPTIONS,
    )  # fmt: skip
    assert other.model == fit.model
    np.testing.assert_allclose(other.projections[index], fit.projections, atol=2e-3)
    assert other.leave_out == pytest.approx(fit.leave_out, rel=1e-3)
    assert adjust(case.given, seen, OPTIONS).projections.tolist() == fit.projections.tolist()


def test_uncertain_observations_count_less() -> None:
    case = Case(12, rotation=0.0, tilt=0.0, scale=0.0)
    points = case.within(200)
    poor = np.zeros_like(case.seen)
    poor[:, ::2] = True
    case.places[poor] += 1.2 * case.rng.standard_normal(case.places.shape)[poor]
    seen = case.observations()
    sure = replace(seen, uncertainty=np.where(poor[seen.tilt, seen.bead], 1.24, NOISE))
    fits = [adjust(case.given, x, OPTIONS) for x in (seen, sure)]
    blind, seeing = (rms(affine_errors(fit.projections, case.true, points)) for fit in fits)
    assert seeing < 0.9 * blind
    assert fits[1].outliers.sum() < 3 < fits[0].outliers.sum()


# --- where it is refused ----------------------------------------------------------------------


def keep(case: Case, *, tilts: slice = slice(None), beads: slice = slice(None)) -> Observations:
    mask = np.zeros_like(case.seen)
    mask[tilts, beads] = case.seen[tilts, beads]
    return case.observations(mask)


@pytest.mark.parametrize(
    ("tilts", "beads", "message"),
    [
        (slice(1), slice(None), "in which beads were seen: 1; an alignment needs 3"),
        (slice(None), slice(2), "seen in 3 tilt images or more: 2; an"),
        (slice(12, 20), slice(None), "agree with the rest: 33 of 41"),
    ],
)
def test_too_few_observations_are_refused(tilts: slice, beads: slice, message: str) -> None:
    case = Case(13)
    with pytest.raises(AlignmentError, match=message):
        adjust(case.given, keep(case, tilts=tilts, beads=beads), OPTIONS)


def test_random_observations_are_refused() -> None:
    case = Case(14)
    case.places = case.rng.uniform(0, IMAGE, case.places.shape)
    with pytest.raises(AlignmentError):
        adjust(case.given, case.observations(), OPTIONS)


def test_beads_in_one_corner_are_no_alignment() -> None:
    case = Case(15)
    beads = np.array(SIZE) / 2 + case.rng.normal(0, 3, (25, 3))
    case.places = geometry.apply(case.true, beads)[..., :2]
    case.places += 0.05 * case.rng.standard_normal(case.places.shape)
    case.seen[:] = True
    with pytest.raises(AlignmentError, match="the beads lie within"):
        adjust(case.given, case.observations(), OPTIONS)


def test_a_true_alignment_is_not_changed() -> None:
    case = Case(16)
    with pytest.raises(AlignmentError, match="the alignment as it is predicts beads"):
        adjust(case.true, case.observations(), OPTIONS)


def test_inconsistent_shapes_are_refused() -> None:
    case = Case(17)
    with pytest.raises(ModelError, match="shape"):
        adjust(case.given[:, :3], case.observations(), OPTIONS)
    with pytest.raises(ModelError, match="there are 40 tilt images"):
        adjust(case.given[:40], case.observations(), OPTIONS)
    broken = case.given.copy()
    broken[3, 0, 0] = np.nan
    with pytest.raises(ModelError, match="finite"):
        adjust(broken, case.observations(), OPTIONS)


def test_robust_weights_fall_from_one_to_zero() -> None:
    size = np.array([0.0, 2.0, 3.0, robust.TUKEY, 100.0])
    weights = robust.weigh(size, "tukey")
    assert weights[0] == weights[1] == 1.0
    assert weights[1] > weights[2] > weights[3] == weights[4] == 0.0
    numeric = (robust.weigh(size + 1e-6, "tukey") - robust.weigh(size - 1e-6, "tukey")) / 2e-6
    np.testing.assert_allclose(robust.slope(size), numeric, atol=1e-5)
    seen = np.ones((3, 400), dtype=bool)
    seen[2, 1:] = False
    noise = np.random.default_rng(1).normal(0, 2.0, (3, 400, 2))
    noise[1, :160] = 300.0  # most of what is false does not change the scale much
    by_tilt, overall = robust.scales(np.linalg.norm(noise, axis=2), seen, 1e-9)
    assert overall == pytest.approx(2.0, rel=0.2)
    assert by_tilt[0] == pytest.approx(2.0, rel=0.1)
    assert by_tilt[1] < 3.0
