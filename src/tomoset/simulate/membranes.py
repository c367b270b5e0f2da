"""Flat membranes: bilayers that lie along the slab, or cross it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tomoset.simulate.vesicles import BILAYER, LEAFLET

Array = npt.NDArray[np.float64]

#: Half the edges of a membrane, in parts of the longer side of the images.
_EDGES = (0.12, 0.4)
#: Angles between the slab and membranes along it, and those that cross it, at most and at least
#: [deg].
_ALONG, _ACROSS = 8.0, 45.0


@dataclass(frozen=True, kw_only=True, eq=False)
class Membranes:
    """Rectangles of bilayer, as far as they are in the slab.

    Parameters
    ----------
    centres : (n, 3) array
        x, depth and y from the middle of the slab [Å].
    frames : (n, 3, 3) array
        Unit vectors along the edges, and the normal.
    edges : (n, 2) array
        Half their lengths [Å].
    """

    centres: Array
    frames: Array
    edges: Array

    @classmethod
    def random(cls, rng: np.random.Generator, number: int, half: Array) -> Membranes:
        """Every other one along the slab, the rest across it, within these half edges [Å]."""
        centres = rng.uniform(-0.9, 0.9, (number, 3)) * half
        along = np.arange(number) % 2 == 0
        lean = np.where(along, rng.uniform(0, _ALONG, number), rng.uniform(_ACROSS, 90, number))
        lean, azimuth = np.deg2rad(lean), rng.uniform(0, 2 * np.pi, number)
        normal = np.stack(
            [np.sin(lean) * np.cos(azimuth), np.cos(lean), np.sin(lean) * np.sin(azimuth)], axis=1
        )
        level = np.stack([-np.sin(azimuth), np.zeros(number), np.cos(azimuth)], axis=1)
        frames = np.stack([level, np.cross(normal, level), normal], axis=1)
        edges = rng.uniform(*_EDGES, (number, 2)) * 2 * max(half[0], half[2])
        return cls(centres=centres, frames=frames, edges=edges)

    def hit(self, at: Array, radii: Array) -> npt.NDArray[np.bool_]:
        """Which balls at x, depth and y [Å] reach into a membrane: (n,)."""
        hit = np.zeros(len(at), dtype=bool)
        for centre, frame, edges in zip(self.centres, self.frames, self.edges, strict=True):
            u, v, off = np.abs((at - centre) @ frame.T).T
            near = off < radii + BILAYER / 2 + 10.0
            hit |= near & (u < edges[0] + radii) & (v < edges[1] + radii)
        return hit

    def cloud(self, spacing: float, depth: float) -> tuple[Array, Array]:
        """Points of the leaflets within a depth of the middle [Å], and their weights [Å³]."""
        points = [np.empty((0, 3))]
        for centre, frame, edges in zip(self.centres, self.frames, self.edges, strict=True):
            steps = [np.arange(-edge, edge, spacing) for edge in edges]
            sheet = np.stack(np.meshgrid(*steps), axis=-1).reshape(-1, 2) @ frame[:2] + centre
            for side in (-BILAYER / 2, BILAYER / 2):
                leaflet = sheet + side * frame[2]
                points.append(leaflet[np.abs(leaflet[:, 1]) < depth])
        together = np.concatenate(points)
        return together, np.full(len(together), LEAFLET * spacing**2)
