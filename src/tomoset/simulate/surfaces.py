"""The two surfaces of a slab: streaks of milling, and the ice and dirt that lie on them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

#: Radii of lumps of ice [Å], and the part that each has in the variance of their thickness.
_LUMPS, _SHARES = (25.0, 50.0, 110.0), (0.5, 0.3, 0.2)
#: Ice against nothing, over protein against ice: 4.5 V over 2.5 V.
_ICE = 1.8
#: Widths of streaks [Å], how many there are in 1000 Å, and how far their direction is off that
#: across the tilt axis [deg].
_WIDTHS, _OFTEN, _OFF = (40.0, 700.0), 6.0, 8.0
#: Samples of a profile of streaks [Å].
_STEP = 10.0


@dataclass(frozen=True, kw_only=True, eq=False)
class Streaks:
    """A surface that is the same along a direction in it, as the ion beam leaves it.

    Parameters
    ----------
    depth : float
        Of the surface, from the middle of the slab [Å].
    across : (2,) array
        The unit vector across the streaks: x and y in the slab.
    heights : (n,) array
        Of what is there more, or less [Å]: every `step`, the middle one below the tilt axis.
    step : float
        [Å]
    """

    depth: float
    across: Array
    heights: Array
    step: float = _STEP

    @classmethod
    def random(cls, rng: np.random.Generator, depth: float, reach: float, rms: float) -> Streaks:
        """Streaks as far as a distance from the axis [Å], of this rms height [Å]."""
        n = 2 * int(np.ceil(reach / _STEP)) + 1
        at = (np.arange(n) - n // 2) * _STEP
        number = max(round(_OFTEN * 2 * reach / 1000), 1)
        heights = np.zeros(n)
        low, high = np.log(_WIDTHS)
        for middle, width, height in zip(
            rng.uniform(-reach, reach, number),
            np.exp(rng.uniform(low, high, number)),
            rng.standard_normal(number),
            strict=True,
        ):
            # A groove is steep on one side: the beam came from there.
            side = np.where(at > middle, 0.4 * width, width)
            heights += height * np.sqrt(width) * np.exp(-np.abs(at - middle) / side)
        heights -= heights.mean()
        off = np.deg2rad(rng.uniform(-_OFF, _OFF))
        return cls(
            depth=depth,
            across=np.array([np.sin(off), np.cos(off)]),
            heights=heights * rms / heights.std(),
        )

    def height(self, x: Array, y: Array) -> Array:
        """What there is more at places of the surface [Å]."""
        at = (x * self.across[0] + y * self.across[1]) / self.step + len(self.heights) // 2
        return np.asarray(np.interp(at, np.arange(len(self.heights)), self.heights))


def dirt(rng: np.random.Generator, half: Array, rms: float, spacing: float) -> tuple[Array, Array]:
    """Lumps of ice on both surfaces of a box, as points.

    Parameters
    ----------
    rng : Generator
        Of chance.
    half : (3,) array
        Half the edges of the box along x, depth and y [Å].
    rms : float
        Of the thickness of ice along the beam, both surfaces together [Å].
    spacing : float
        Between points [Å].

    Returns
    -------
    points, weights : (n, 3) and (n,) arrays
        x, depth and y from the middle [Å]; volumes of protein of the same contrast [Å³].
    """
    points, weights = [np.empty((0, 3))], [np.empty(0)]
    area = 4 * half[0] * half[2]
    for radius, share in zip(_LUMPS, _SHARES, strict=True):
        # A ball, strewn n times over an area, adds 2 pi r^4 n / area to the variance.
        number = rng.poisson(share * rms**2 * area / (2 * np.pi * radius**4))
        at = rng.uniform(-1, 1, (number, 3)) * half
        at[:, 1] = np.sign(at[:, 1]) * (half[1] + rng.uniform(-0.3, 0.8, number) * radius)
        ball = _ball(radius, spacing)
        points.append((at[:, None] + ball).reshape(-1, 3))
        volume = _ICE * 4 / 3 * np.pi * radius**3
        weights.append(np.full(number * len(ball), volume / len(ball)))
    return np.concatenate(points), np.concatenate(weights)


def _ball(radius: float, spacing: float) -> Array:
    """Points of a grid in a ball: (n, 3), at least one."""
    steps = np.arange(np.ceil(2 * radius / spacing)) * spacing
    grid = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(-1, 3)
    grid -= grid.mean(axis=0)
    inside = np.linalg.norm(grid, axis=1) <= radius
    return grid[inside] if inside.any() else np.zeros((1, 3))
