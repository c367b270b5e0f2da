"""A small tilt series of gold beads with known truth, in memory or as a set."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tests.builders.simulated_series import Acquired, Array, Series, acquired
from tomoset import simulate as sim

USUAL = sim.AlignmentErrors(shift=2.0, rotation=0.15, tilt=0.15)


@dataclass(frozen=True, kw_only=True)
class Wanted(Acquired):
    """What is simulated."""

    beads: int = 10
    molecules: int = 20
    bead_radius: float = 50.0
    errors: sim.AlignmentErrors = USUAL


@dataclass(frozen=True, eq=False)
class BeadSeries(Series):
    """With the beads' places in space."""

    beads: Array

    def read(self, i: int) -> npt.NDArray[np.float32]:
        return self.images[i]


def bead_series(wanted: Wanted) -> BeadSeries:
    """Simulate a tilt series."""
    contents = sim.Contents(
        beads=wanted.beads, molecules=wanted.molecules, bead_radius=wanted.bead_radius
    )
    series, given, true = acquired(wanted, contents)
    return BeadSeries(
        images=series.images.astype(np.float32),
        given=given,
        true=true,
        seen=series.bead_images,
        beads=series.specimen.beads,
    )
