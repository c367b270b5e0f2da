"""How sure a fit is: standard deviations of its parameters, and where it sees the specimen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tomoset.align.bundle import Problem
from tomoset.align.gauge import AFFINE, Gauge, compensation, motion, motions
from tomoset.align.leverage import camera_blocks, inverse
from tomoset.align.parameter_groups import Basis
from tomoset.align.parameters import ANGLES, compose, decompose, derivatives
from tomoset.align.robust import Fitted, slope

Array = npt.NDArray[np.float64]

#: Of differences, in pixels at the beads.
_STEP = 1e-5


@dataclass(frozen=True, eq=False)
class Certainty:
    """What the observations leave open, the tomogram lying where it was.

    Parameters
    ----------
    deviations : (n, 9) array
        Standard deviations of the columns of the cameras.
    expected : float
        Error of the projections at the beads, but for an affine map of the specimen that all
        have in common: rms length [px].
    """

    deviations: Array
    expected: float


def variance(problem: Problem, fitted: Fitted) -> float:
    """What the inverse normal matrix is to be multiplied by: the variance of the residuals.

    Of weighted residuals, and corrected for what weights below 1 throw away (Huber, Robust
    Statistics, 7.6).
    """
    used = fitted.weights > 0
    weights = fitted.weights[used]
    residual = np.linalg.norm(fitted.residual * problem.precision[..., None], axis=2)[used]
    size = (fitted.out.size / fitted.scale[:, None])[used]
    left = max(2 * len(weights) - float(fitted.out.hat.sum()), 1.0)
    kept = float((weights + slope(size) * size / 2).mean())
    return float(
        (weights * residual) @ (weights * residual) / left * weights.mean() / max(kept, 0.1) ** 2
    )


def certainty(
    problem: Problem, fitted: Fitted, basis: Basis, gauge: Gauge, projections: tuple[Array, Array]
) -> Certainty:
    """Standard deviations by the reduced normal matrix, in the frame that the gauge keeps.

    Parameters
    ----------
    problem, fitted, basis
    gauge : Gauge
        By the tilt images with observations.
    projections : ((n, 4, 4) array, (n, 4, 4) array)
        Those of before, and those that were fitted and transformed by the gauge.
    """
    old, final = projections
    covariance = inverse(fitted.reduced) * variance(problem, fitted)
    parameters = basis.expand(np.eye(basis.size))
    change = derivatives(fitted.state.cameras, gauge.points - problem.centre) * problem.units
    levers = (gauge.points - gauge.points.mean(axis=0)) @ gauge.motion[:3, :3].T
    used = (fitted.weights > 0).any(axis=1)
    by_motion = motions(levers, old[:, :2, :3], gauge.free)[used]
    followed = compensation(by_motion, gauge.weights, change[used], parameters[used])
    by_camera, by_gauge = _readings(problem, fitted.state.cameras, gauge, final)
    rows = np.einsum("nac,ncp->nap", by_camera, parameters, optimize=True) - by_gauge @ followed
    deviations = np.sqrt(np.maximum(((rows @ covariance) * rows).sum(axis=2), 0.0))
    # What no affine motion of the specimen makes up for: the trace over the images of points.
    by_motion = motions(levers, final[:, :2, :3], AFFINE)[used]
    change, alike = change[used], np.ones(by_motion.shape[:2])
    followed = compensation(by_motion, alike, change, parameters[used])
    squares = np.einsum("nkic,nkid->ncd", change, change, optimize=True)
    total = float((squares * camera_blocks(covariance, basis)[used]).sum())
    made_up = np.einsum("nkia,nkib->ab", by_motion, by_motion, optimize=True)
    total -= float(((followed @ covariance @ followed.T) * made_up).sum())
    return Certainty(deviations, float(np.sqrt(max(total, 0.0) / alike.size)))


def _readings(
    problem: Problem, cameras: Array, gauge: Gauge, projections: Array
) -> tuple[Array, Array]:
    """How the parameters of final projections change: with the cameras, and with the motion.

    By central differences: (n, 9, 9) per unit of each column, (n, 9, 6 or 7).
    """
    back = np.linalg.inv(gauge.motion)
    about = (gauge.motion @ np.r_[gauge.points.mean(axis=0), 1.0])[:3]
    by_camera = np.zeros((*cameras.shape, cameras.shape[1]))
    for column in range(cameras.shape[1]):
        step = np.zeros(cameras.shape[1])
        step[column] = _STEP * problem.units[column]
        ends = [
            decompose(compose(x, problem.centre, projections) @ back, problem.centre)
            for x in (cameras + step, cameras - step)
        ]
        by_camera[:, :, column] = _difference(*ends)
    lever = np.array([problem.lever] * 3 + [1.0] * 3 + [problem.lever])[gauge.free]
    by_motion = np.zeros((*cameras.shape, len(lever)))
    for axis in range(len(lever)):
        step = np.zeros(len(lever))
        step[axis] = _STEP / lever[axis]
        ends = [decompose(projections @ motion(x, about), problem.centre) for x in (step, -step)]
        by_motion[:, :, axis] = _difference(*ends) * lever[axis]
    return by_camera, by_motion


def _difference(above: Array, below: Array) -> Array:
    apart = above - below
    apart[:, ANGLES] = (apart[:, ANGLES] + np.pi) % (2 * np.pi) - np.pi
    return np.asarray(apart / (2 * _STEP))
