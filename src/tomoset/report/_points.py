"""Beads and particles of each tomogram, as points of it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tomoset.model import Project

Array = npt.NDArray[np.float64]


class Points:
    """The points that a project knows.

    Parameters
    ----------
    project : Project
        With its particles and fiducials, as far as they have been read.
    """

    def __init__(self, project: Project) -> None:
        self._beads = project.fiducials
        self._particles = vars(project)["particles"]
        self._inside = {} if self._particles is None else self._particles.by_tomogram()

    def particles(self, name: str) -> Array | None:
        """Of a tomogram: (n, 3) [0-based voxels]; None if the project has none at all."""
        if self._particles is None:
            return None
        found: Array = self._particles.positions[self._inside.get(name, [])]
        return found

    def of(self, name: str) -> dict[str, Array]:
        """All of a tomogram by what they are, ``beads`` first; without those of which none are."""
        beads = self._beads.get(name)
        kinds = {
            "beads": None if beads is None else beads.points,
            "particles": self.particles(name),
        }
        return {kind: found for kind, found in kinds.items() if found is not None and len(found)}
