"""Variances of the motion priors, by maximum marginal likelihood.

The log-likelihood is a quadratic form of the free parameters about the state of the fit. Integrated
over these it is the marginal likelihood of the variances (MacKay, Neural Computation 4, 415-447,
1992), with a gradient in closed form, and few steps find its maximum. A fixed point as for other
groups would take far longer here, where one motion prior explains much of what another does.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tomoset.align.particles.algebra import factored, inverse, solved
from tomoset.align.particles.free_parameters import MOTION, Prior
from tomoset.align.particles.motion import Modes
from tomoset.align.particles.motion_priors import COARSE, MOTION_PRIORS

Array = npt.NDArray[np.float64]

#: Bounds of the logarithms of variances: from next to nothing to twice the velocity that was asked
#: for. What all particles share, shifts of images explain as well, and motions must not grow.
_LOW, _HIGH = np.log(1e-6), np.log(4.0)
_STEPS = 12


def learn_motion_variances(
    prior: Prior, modes: Modes, known: tuple[Array, Array], vector: Array
) -> Prior:
    """The prior with the variances of motions that explain most.

    Parameters
    ----------
    prior : Prior
    modes : Modes
        Those of the longest range count, of which there are some of every prior.
    known : (size, size) and (size,) arrays
        Information and slopes at `vector`, positions eliminated, without the prior.
    vector : (size,) array
        The free parameters.
    """
    from scipy.optimize import minimize

    moving = (prior.group >= MOTION) & (prior.group < MOTION + len(MOTION_PRIORS))
    moving[moving] = np.repeat(modes.which < COARSE, 3)
    normal, side = _of_motion(prior, known, vector, moving)
    every = MOTION + np.arange(len(MOTION_PRIORS))
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
    """Information and linear term on motions alone, the other free parameters integrated out."""
    _, expected, stiff = prior.terms(vector)
    information, slope = known
    others = ~moving
    # Slope at the vector plus information times the vector: the slope at no motion.
    side = slope + information[:, moving] @ vector[moving]
    factor = factored(information[np.ix_(others, others)], stiff[others])
    across = information[np.ix_(others, moving)]
    by = solved(factor, np.column_stack([across, side[others] + expected[others]]))
    normal = information[np.ix_(moving, moving)] - across.T @ by[:, :-1]
    return normal, side[moving] - across.T @ by[:, -1]


def _loss(
    normal: Array, side: Array, group: npt.NDArray[np.int64], logs: Array
) -> tuple[float, Array]:
    """Minus the log marginal likelihood but for a constant, and its slopes by log variances."""
    stiff = np.exp(-logs)[group]
    factor = factored(normal, stiff)
    best = solved(factor, side)
    spread = np.diag(inverse(factor))
    log_determinant = 2 * float(np.log(np.diag(factor[0])).sum())
    loss = -0.5 * float(side @ best) + 0.5 * log_determinant - 0.5 * float(np.log(stiff).sum())
    each = 0.5 - 0.5 * stiff * (best**2 + spread)
    return loss, np.asarray(np.bincount(group, each, len(logs)), np.float64)
