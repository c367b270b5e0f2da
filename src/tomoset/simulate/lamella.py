"""What a lamella has that plunged samples have not: a crowd in layers, membranes, two surfaces."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tomoset.simulate.crowd import Box, crowd
from tomoset.simulate.membranes import Membranes
from tomoset.simulate.surfaces import Streaks, dirt

Array = npt.NDArray[np.float64]

#: Standard deviation of the points, at least [Å], and in parts of the distance between them.
_WIDTH, _SMOOTH = 6.0, 0.45
#: Distance between points: so many pixels, but no less than this [Å]. What makes them a smooth
#: sheet or ball then has no waves that the images could show.
_SPACING, _CLOSEST = 1.5, 14.0
#: Volume of a molecule and area of a leaflet of a membrane in parts of the field, about [Å³].
_MOLECULE, _LEAFLET = 4e5, 0.25
#: How much more than what the images show there is, at each side.
_SPARE = 1.1


@dataclass(frozen=True, kw_only=True)
class LamellaContents:
    """What there is of a lamella.

    Parameters
    ----------
    crowd : int
        Globular molecules of several kinds in the field of view, and as densely beyond its sides.
    layers : int
        Layers along depth that most of the crowd is in; 0: it is everywhere.
    membranes : int
        Flat membranes, every other one along the slab.
    curtains : float
        Streaks of milling on both surfaces, rms height of each [Å].
    surface : float
        Ice and dirt on both surfaces, rms thickness along the beam [Å].
    steepest : float
        Tilt about the slab's normal up to which images show matter to their sides [deg].
    """

    crowd: int = 0
    layers: int = 0
    membranes: int = 0
    curtains: float = 0.0
    surface: float = 0.0
    steepest: float = 64.0

    @property
    def anything(self) -> bool:
        """Whether there is any of it."""
        return bool(self.crowd or self.membranes or self.curtains or self.surface)

    def points(self, half: Array, pixel_size: float) -> float:
        """About how many points it will be made of, in a field of view of these half edges [Å]."""
        spacing = spacing_of(pixel_size)
        molecules = self.crowd * float(np.prod(_beyond(half, self.steepest)))
        leaflets = 2 * self.membranes * _LEAFLET * (2 * max(half[0], half[2])) ** 2
        return float(molecules * _MOLECULE / spacing**3 + leaflets / spacing**2)


@dataclass(frozen=True, kw_only=True, eq=False)
class Lamella:
    """Matter that reaches beyond the sides of the field of view, and the surfaces of the slab.

    Parameters
    ----------
    points : (n, 3) array
        Of crowd, membranes and dirt: x, depth and y from the middle of the slab [Å], before it is
        turned.
    weights : (n,) array
        Volumes of protein of the same contrast [Å³].
    width : float
        Standard deviation of the Gaussian that each point is [Å].
    membranes : Membranes
        Where they are.
    streaks : tuple of Streaks
        Of the surfaces.
    """

    points: Array
    weights: Array
    width: float
    membranes: Membranes
    streaks: tuple[Streaks, ...] = ()

    @classmethod
    def random(
        cls,
        half: Array,
        pixel_size: float,
        contents: LamellaContents,
        taken: tuple[Array, Array],
        *,
        seed: int,
    ) -> Lamella:
        """Fill a slab.

        Parameters
        ----------
        half : (3,) array
            Half the edges of what the untilted image shows: x, depth and y [Å].
        pixel_size : float
            [Å]
        contents : LamellaContents
            How much of what.
        taken : (n, 3) and (n,) arrays
            Places and radii of what is there already [Å].
        seed : int
            The same gives the same.

        Raises
        ------
        ModelError
            If there is no room for so much.
        """
        spacing = spacing_of(pixel_size)
        whole = half * _beyond(half, contents.steepest)
        # A stream for each, so that one stays as it is whatever else is there.
        chance = [np.random.default_rng([seed, 3, i]) for i in range(4)]
        membranes = Membranes.random(chance[0], contents.membranes, half)
        parts = [membranes.cloud(spacing, float(half[1]))]
        if contents.crowd:

            def reject(at: Array, radii: Array) -> npt.NDArray[np.bool_]:
                there, theirs = taken
                apart = np.linalg.norm(at[:, None] - there, axis=2) - theirs
                return np.asarray(membranes.hit(at, radii) | (apart < radii[:, None]).any(axis=1))

            number = round(contents.crowd * float(np.prod(whole / half)))
            box = Box(half=whole, layers=contents.layers)
            parts.append(crowd(chance[1], number, box, spacing, reject))
        if contents.surface:
            parts.append(dirt(chance[2], whole, contents.surface, spacing))
        streaks: tuple[Streaks, ...] = ()
        if contents.curtains:
            reach = float(np.hypot(whole[0], whole[2]))
            streaks = tuple(
                Streaks.random(chance[3], float(side * half[1]), reach, contents.curtains)
                for side in (-1, 1)
            )
        return cls(
            points=np.concatenate([points for points, _ in parts]),
            weights=np.concatenate([weights for _, weights in parts]),
            width=max(_WIDTH, _SMOOTH * spacing),
            membranes=membranes,
            streaks=streaks,
        )


def spacing_of(pixel_size: float) -> float:
    """Distance between points [Å]."""
    return max(_CLOSEST, _SPACING * pixel_size)


def _beyond(half: Array, steepest: float) -> Array:
    """How much farther than an untilted image tilted ones see, along x, depth and y."""
    steep = np.deg2rad(min(steepest, 78.0))
    across = (half[0] + half[1] * np.sin(steep)) / np.cos(steep) / half[0]
    return np.array([_SPARE * across, 1.0, _SPARE])
