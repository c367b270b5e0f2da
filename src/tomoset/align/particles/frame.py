"""Where the tomogram lies after a fit: where the old projections saw it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tomoset import geometry
from tomoset.align import gauge
from tomoset.align.particles.freedom import Choice
from tomoset.align.particles.newton import Rest

Array = npt.NDArray[np.float64]

#: Particles by which it is found.
_ENOUGH = 500


@dataclass(frozen=True, eq=False)
class Frame:
    """A motion of the specimen by which new projections see it, on average, as old ones did.

    Parameters
    ----------
    motion : (4, 4) array
        From the frame of the fit to that of the input.
    found : Gauge or None
        How it was found; None where what is held says where the tomogram lies.
    first : int
        Which motions there could be, of `tomoset.align.gauge.motions`: this one and those after.
    """

    motion: Array
    found: gauge.Gauge | None = None
    first: int = 0

    def moved(self, projections: Array) -> Array:
        """Projections of the fit, in the frame of the input."""
        matrices = projections @ np.linalg.inv(self.motion)
        matrices[:, 3] = [0.0, 0.0, 0.0, 1.0]
        return np.asarray(matrices)


def frame(rest: Rest, choice: Choice, size: tuple[int, int, int]) -> Frame:
    """Find it. Turns are possible only if angles are free, and shifts if particles are."""
    acts = rest.problem.free.applies
    if not (choice.shifts and choice.particles and acts.any() and len(rest.moved)):
        return Frame(np.eye(4))
    old = rest.problem.model.projections[acts]
    new = rest.found.seen.cameras.projections[acts]
    shown = rest.problem.surface.energy.any(axis=0)
    positions = (rest.problem.model.positions + rest.moved)[shown]
    points = gauge.reference_points(positions[:: max(len(positions) // _ENOUGH, 1)], size)
    if choice.angles:
        found, first = gauge.find(old, new, points, scaled=False), 0
    else:
        found, first = _shifted(old, new, points), 3
    return Frame(found.motion, found, first)


def _shifted(old: Array, new: Array, points: Array) -> gauge.Gauge:
    off = (geometry.apply(new, points) - geometry.apply(old, points))[..., :2].mean(axis=1)
    by = np.linalg.lstsq(old[:, :2, :3].reshape(-1, 3), off.ravel(), rcond=1e-9)[0]
    return gauge.Gauge(geometry.translation(by), points, np.ones((len(old), len(points))), 6)
