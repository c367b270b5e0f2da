"""Where the tomogram lies after a fit: where the old projections saw it, on average."""

from __future__ import annotations

import numpy as np

from tomoset.align.gauge import Gauge, find, find_shift, reference_points
from tomoset.align.particles.free_parameters import Choice
from tomoset.align.particles.newton import State

#: Particles by which it is found.
_ENOUGH = 500
#: What is held says where the tomogram lies.
HELD = Gauge(np.eye(4), np.zeros((0, 3)), np.zeros((0, 0)), slice(0))


def frame(state: State, choice: Choice, size: tuple[int, int, int]) -> Gauge:
    """Find it. Rotations are possible only if angles are free, and shifts if particles are."""
    acts = state.problem.free.applies
    if not (choice.shifts and choice.particles and acts.any() and len(state.displacement)):
        return HELD
    old = state.problem.model.projections[acts]
    new = state.found.projected.cameras.projections[acts]
    shown = state.problem.splines.energy.any(axis=0)
    positions = (state.problem.model.positions + state.displacement)[shown]
    points = reference_points(positions[:: max(len(positions) // _ENOUGH, 1)], size)
    return find(old, new, points, scaled=False) if choice.angles else find_shift(old, new, points)
