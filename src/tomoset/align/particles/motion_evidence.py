"""How much particles walk, swerve and drift: variances of modes that make the windows most likely.

The log-likelihood is a quadratic form of the free numbers about where the fit stands. Integrated
over these it is the evidence of the variances (MacKay, Neural Computation 4, 415-447, 1992), with a
gradient in closed form, and few steps find where it is largest. A fixed point as for other groups
would take far longer here, where one course of motion can do much of what another does.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tomoset.align.particles.algebra import factored, inverse, solved
from tomoset.align.particles.courses import COARSE, COURSES
from tomoset.align.particles.freedom import MOTION, Prior
from tomoset.align.particles.motion import Modes

Array = npt.NDArray[np.float64]

#: Bounds of the logarithms of variances: from next to nothing to twice the velocity that was asked
#: for. What all particles share, shifts of images explain as well, and motions must not grow.
_LOW, _HIGH = np.log(1e-6), np.log(4.0)
_STEPS = 12


def learn_courses(prior: Prior, modes: Modes, known: tuple[Array, Array], vector: Array) -> Prior:
    """The prior with the variances of motions that explain most.

    Parameters
    ----------
    prior : Prior
    modes : Modes
        Those that reach farthest are looked at, of which there are some of every course.
    known : (size, size) and (size,) arrays
        Information and slopes at `vector`, places eliminated, without the prior.
    vector : (size,) array
        The free numbers.
    """
    from scipy.optimize import minimize

    moving = (prior.group >= MOTION) & (prior.group < MOTION + len(COURSES))
    moving[moving] = np.repeat(modes.which < COARSE, 3)
    normal, side = _of_motion(prior, known, vector, moving)
    every = MOTION + np.arange(len(COURSES))
    found = minimize(
        lambda logs: _loss(normal, side, prior.group[moving] - MOTION, logs),
        np.clip(np.log(prior.variance[every]), _LOW, _HIGH),
        jac=True,
        method="L-BFGS-B",
        bounds=[(_LOW, _HIGH)] * len(every),
        options={"maxiter": _STEPS},
    )
    return prior.with_variances(every, np.exp(found.x))


def _of_motion(
    prior: Prior, known: tuple[Array, Array], vector: Array, moving: npt.NDArray[np.bool_]
) -> tuple[Array, Array]:
    """Information and linear term on motions alone, the other free numbers integrated out."""
    _, expected, stiff = prior.terms(vector)
    information, slope = known
    rest = ~moving
    # Slope at the vector plus information times the vector: the slope at no motion.
    side = slope + information[:, moving] @ vector[moving]
    factor = factored(information[np.ix_(rest, rest)], stiff[rest])
    across = information[np.ix_(rest, moving)]
    by = solved(factor, np.column_stack([across, side[rest] + expected[rest]]))
    normal = information[np.ix_(moving, moving)] - across.T @ by[:, :-1]
    return normal, side[moving] - across.T @ by[:, -1]


def _loss(
    normal: Array, side: Array, group: npt.NDArray[np.int64], logs: Array
) -> tuple[float, Array]:
    """Minus the log-evidence but for a constant, and its slopes by the logarithms of variances."""
    stiff = np.exp(-logs)[group]
    factor = factored(normal, stiff)
    best = solved(factor, side)
    spread = np.diag(inverse(factor))
    log_determinant = 2 * float(np.log(np.diag(factor[0])).sum())
    loss = -0.5 * float(side @ best) + 0.5 * log_determinant - 0.5 * float(np.log(stiff).sum())
    each = 0.5 - 0.5 * stiff * (best**2 + spread)
    return loss, np.asarray(np.bincount(group, each, len(logs)), np.float64)
