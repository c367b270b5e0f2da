"""How many parameters the observations support: as many as predict those left out better."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from tomoset.align.bundle import Problem, State, linearise, reduce, residuals, solve, updated
from tomoset.align.leverage import inverse, left_out, spread
from tomoset.align.parameter_groups import Basis, ParameterGroups, basis
from tomoset.align.parameters import TILT
from tomoset.align.robust import Fitted, known_scatter, loss, reweighted
from tomoset.align.scatter import learned

Array = npt.NDArray[np.float64]

#: What is tried, group by group, from little freedom to much. A common change of tilt, tilt
#: about x, magnification or stretch is not there: it rotates, scales or stretches the specimen.
LADDERS: dict[str, tuple[str, ...]] = {
    "rotation": ("common", "grouped:15", "grouped:8", "grouped:4", "grouped:2", "free"),
    "tilt": ("grouped:15", "grouped:8", "grouped:4", "grouped:2", "free"),
    "magnification": ("grouped:15", "grouped:8", "grouped:4", "grouped:2", "free"),
    "stretch": ("grouped:15", "grouped:8", "grouped:4"),
    "skew": ("common", "grouped:15", "grouped:8", "grouped:4"),
    "x_tilt": ("grouped:15", "grouped:8", "grouped:4"),
    "beam_tilt": ("common",),
}
#: Few beads may not tell the first of two steps from noise where both together are needed: what
#: most series need is tried at once, too.
USUAL = {"rotation": "free", "tilt": "free"}
#: A freer model must predict better by so many standard errors of the difference, and by this
#: fraction: what changes nothing may do so very surely.
ERRORS, LEAST = 1.0, 1e-3
#: Steps of a fit during the choice; the fit of the chosen model goes on until it converges.
_STEPS = 8


@dataclass(frozen=True, eq=False)
class Chosen:
    """What was chosen, and the fit to it."""

    groups: ParameterGroups
    basis: Basis
    fitted: Fitted


def choose(problem: Problem, start: Fitted, forced: Mapping[str, str]) -> Chosen:
    """Free more and more parameters, as long as observations left out are predicted better.

    Each round tries every further step of the `LADDERS` and takes the best one. The error of an
    observation left out follows from its leverage, in a robust loss that false observations
    cannot sway.

    Parameters
    ----------
    problem
    start : Fitted
        Of shifts alone.
    forced : mapping of str to str
        Groups whose freedom is not for choice.
    """
    one, other = (
        _optimise(
            problem,
            _fitted(problem, replace(ParameterGroups(), **(usual | dict(forced))), start),
            forced,
        )
        for usual in ({}, USUAL)
    )
    errors = (np.linalg.norm(each.fitted.out.errors, axis=2) for each in (one, other))
    scale = np.minimum(one.fitted.scale, other.fitted.scale)[:, None]
    gain, error = gained(problem, *(loss(each / scale) for each in errors))
    return other if gain > ERRORS * error else one


def _optimise(problem: Problem, chosen: Chosen, forced: Mapping[str, str]) -> Chosen:
    """Step after step from a model, until no step predicts better."""
    groups = chosen.groups
    open_steps = {
        (name, level) for name, ladder in LADDERS.items() for level in ladder if name not in forced
    }
    put_off: set[tuple[str, str]] = set()
    while open_steps:
        step, hopeless = _best_step(problem, chosen, sorted(open_steps - put_off))
        put_off |= hopeless
        if step is None and put_off & open_steps:
            # What was hopeless among large errors need not be so among small ones.
            step, _ = _best_step(problem, chosen, sorted(open_steps))
        if step is None:
            break
        name, level = step
        groups = replace(groups, **{name: level})
        chosen = _fitted(problem, groups, chosen.fitted)
        taken = LADDERS[name][: LADDERS[name].index(level) + 1]
        open_steps -= {(name, below) for below in taken}
    return chosen


def _fitted(problem: Problem, groups: ParameterGroups, before: Fitted) -> Chosen:
    free = basis(groups, problem.start[:, TILT])
    start = rebased(problem, before.state, free)
    fitted = reweighted(problem, start, free, "tukey", limit=_STEPS, before=before)
    return Chosen(groups, free, fitted)


def rebased(problem: Problem, state: State, free: Basis) -> State:
    """The nearest state that other free parameters allow."""
    changes = free.nearest(state.cameras - problem.start)
    return State(problem.start + changes, state.beads)


def _best_step(
    problem: Problem, now: Chosen, steps: list[tuple[str, str]]
) -> tuple[tuple[str, str] | None, set[tuple[str, str]]]:
    """The step to take, if there is one, and the steps that need not be tried again."""
    fitted = now.fitted
    before = predictive_loss(problem, fitted, now.basis)
    worse, found = set(), []
    for name, level in steps:
        free = basis(replace(now.groups, **{name: level}), problem.start[:, TILT])
        if free.size <= now.basis.size:
            continue
        after = predictive_loss(problem, fitted, free)
        gain, error = gained(problem, before, after)
        if gain > max(ERRORS * error, LEAST * seen_mean(problem, before)):
            found.append((gain, (name, level)))
        elif gain < -2 * error:
            worse.add((name, level))
    if not found:
        return None, worse
    return max(found)[1], worse


def predictive_loss(problem: Problem, fitted: Fitted, free: Basis) -> Array:
    """Robust loss of every observation when it is left out, other parameters being free.

    One Gauss-Newton step from a fit, its weights as they are: (n, m), 0 to 1.
    """
    noise, state = fitted.noise, fitted.state
    scatter = known_scatter(fitted.scatter, free)
    news = [free.parts[part][0] for part in free.free_by_tilt]
    for _ in range(3):
        prior = problem.prior(noise, scatter)
        system = linearise(problem, state, fitted.weights, prior)
        reduced = reduce(system, free)
        covariance = inverse(reduced)
        parameters, beads = solve(system, reduced)
        after = updated(problem, state, free, (parameters, beads))
        if np.isfinite(scatter[news]).all():
            break
        scatter = learned(problem, after.cameras, free, covariance, (noise, scatter))
    residual = residuals(problem, state)
    residual = residual - np.einsum(
        "imka,ia->imk", system.change, free.expand(parameters), optimize=True
    )
    residual = residual - np.einsum("iks,ms->imk", system.linear, beads)
    variance = spread(system, reduced, free, covariance)
    out = left_out(problem, residual, fitted.weights, variance)
    return loss(np.linalg.norm(out.errors, axis=2) / fitted.scale[:, None])


def seen_mean(problem: Problem, values: Array) -> float:
    """Mean over the observations."""
    return float(values[problem.precision > 0].mean())


def gained(problem: Problem, before: Array, after: Array) -> tuple[float, float]:
    """How much smaller a loss has become, on average, and the standard error of that.

    Observations of one tilt image share its parameters, so that images are what is counted.
    """
    seen = problem.precision > 0
    by_tilt = np.where(seen, before - after, 0.0).sum(axis=1) / seen.sum()
    n = int(seen.any(axis=1).sum())
    mean = float(by_tilt.sum())
    varied = float(((by_tilt - mean / n) ** 2).sum())
    return mean, float(np.sqrt(varied * n / max(n - 1, 1)))
