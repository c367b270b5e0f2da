"""How much more likely one hand is than the other, whatever else is not known.

For a hand, an inclination of the specimen and a defocus, the tables of all tiles of an image add
up. What is not known is averaged over, not chosen: the amplitude of rings and how they fade, the
defocus of each image about the table's, what the table is off by in common, and the inclination.
So odds are right also where no image shows rings: the mean of the likelihood of noise is the same
for both hands.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tomoset.hand.field import Slab
from tomoset.hand.tables import AMPLITUDES, Offsets, Table
from tomoset.model import Tomogram

Array = npt.NDArray[np.float64]

HANDS = (1, -1)
#: Inclinations that are tried: about the tilt axis, and about the direction across [deg].
_ABOUT, _ACROSS = np.arange(-20.0, 21.0, 4.0), np.array([-6.0, 0.0, 6.0])
#: How inclined specimens usually are [deg].
_USUAL = np.array([8.0, 4.0])
#: Then around the best, finer and finer: steps of these parts of the first ones.
_FINER = (0.4, 0.16)
#: By how much defoci of a table scatter [Å], one way or the other, and are off in common.
SCATTER, _COMMON, _COMMON_STEP = (120.0, 500.0, 2000.0), 5000.0, 200.0
#: Part of images whose defocus in the table has nothing to do with them.
_STRAY = 0.05
#: Series that are drawn from the tilts, to see how much the odds depend on which there are.
_DRAWN = 200


@dataclass(frozen=True, eq=False)
class Prior:
    """What is known of the offsets of defocus.

    Parameters
    ----------
    weights : (n, n_offsets) float64 array
        Of each offset of an image, for n kinds of tables.
    logarithm : (n,) array
        How likely each kind is.
    """

    weights: Array
    logarithm: Array

    @classmethod
    def of_table(cls, offsets: Offsets, scatter: tuple[float, ...] = SCATTER) -> Prior:
        """Of images that are corrected by a table of defocus."""
        common = np.arange(-1.6 * _COMMON, 1.6 * _COMMON + 1, max(_COMMON_STEP, offsets.step / 2))
        d = offsets.values
        wide = np.hypot(scatter, offsets.step / 3)
        off = (d - common[:, None]) / wide[:, None, None]
        weights = np.exp(-0.5 * off**2)
        weights /= weights.sum(axis=2, keepdims=True)
        weights = (1 - _STRAY) * weights + _STRAY / len(d)
        logarithm = np.broadcast_to(-0.5 * (common / _COMMON) ** 2, weights.shape[:2])
        return cls(weights.reshape(-1, len(d)), _normalized(logarithm.ravel()))


def _normalized(logarithm: Array) -> Array:
    return np.asarray(logarithm - np.logaddexp.reduce(logarithm))


@dataclass(frozen=True, eq=False)
class Poses:
    """Inclinations of a specimen, for both hands.

    Parameters
    ----------
    inclined : (2, n, 2) array
        For each of `HANDS`: about the tilt axis, and about the direction across it [deg].
    logarithm : (2, n) array
        How likely each is.
    """

    inclined: Array
    logarithm: Array

    @classmethod
    def usual(cls, *, inclined: bool) -> Poses:
        """All that are possible, coarsely."""
        if not inclined:
            return cls(np.zeros((2, 1, 2)), np.zeros((2, 1)))
        grid = np.stack(np.meshgrid(_ABOUT, _ACROSS, indexing="ij"), axis=-1).reshape(-1, 2)
        both = np.broadcast_to(grid, (2, *grid.shape))
        logarithm = _normalized(-0.5 * ((grid / _USUAL) ** 2).sum(axis=1))
        return cls(both, np.broadcast_to(logarithm, (2, len(grid))))

    def finer(self, best: Array, part: float) -> Poses:
        """Around the best of each hand, (2, 2), in steps of this part of the first ones."""
        step = np.array([_ABOUT[1] - _ABOUT[0], _ACROSS[1] - _ACROSS[0]])
        around = np.stack(np.meshgrid(*[np.arange(-2.0, 3.0)] * 2, indexing="ij"), axis=-1)
        inclined = best[:, None] + around.reshape(-1, 2) * part * step
        usual = np.stack(np.meshgrid(_ABOUT, _ACROSS, indexing="ij"), axis=-1).reshape(-1, 2)
        whole = np.logaddexp.reduce(-0.5 * ((usual / _USUAL) ** 2).sum(axis=1))
        # A pose stands for less than one of the first ones.
        own = -0.5 * ((inclined / _USUAL) ** 2).sum(axis=2) - whole + 2 * np.log(part)
        return Poses(inclined, own)


@dataclass(frozen=True, eq=False)
class HandLikelihood:
    """How likely each hand is.

    Parameters
    ----------
    logarithm : (2,) array
        Natural logarithm of the marginal likelihood of each of `HANDS`, against no rings at all.
    by_tilt : (n_tilts, 2) array
        What each image says, where the others have decided what is not known of all.
    spread : float
        Standard deviation of the logarithm of the odds over series drawn from the tilts.
    inclined : (2, 2) array
        The likeliest inclination for each hand [deg].
    amplitude : (2,) array
        The likeliest of rings.
    """

    logarithm: Array
    by_tilt: Array
    spread: float
    inclined: Array
    amplitude: Array

    @property
    def log_odds(self) -> float:
        """Natural logarithm of the odds of +1 against -1."""
        return float(self.logarithm[0] - self.logarithm[1])

    def or_better(self, finer: HandLikelihood) -> HandLikelihood:
        """For each hand, whichever is more: a grid that is too fine misses what is far away."""
        better = finer.logarithm > self.logarithm
        return HandLikelihood(
            logarithm=np.where(better, finer.logarithm, self.logarithm),
            by_tilt=np.where(better, finer.by_tilt, self.by_tilt),
            spread=finer.spread if better.any() else self.spread,
            inclined=np.where(better[:, None], finer.inclined, self.inclined),
            amplitude=np.where(better, finer.amplitude, self.amplitude),
        )


@dataclass(frozen=True, eq=False)
class Series:
    """What a tilt series says, image by image.

    Parameters
    ----------
    tomogram : Tomogram
        Aligned.
    slab : Slab
        Where the specimen lies.
    middles : (n_tiles, 2) array
        Of the tiles [px].
    offsets : Offsets
        Of defocus.
    tables : tuple of Table
        Of each image.
    """

    tomogram: Tomogram
    slab: Slab
    middles: Array
    offsets: Offsets
    tables: tuple[Table, ...]

    def depths(self, inclined: Array) -> Array:
        """Defocus of tiles over that of the table's voxel, for a hand of +1: [Å].

        For (n, 2) inclinations, (n_tilts, n, n_tiles).
        """
        scale = self.tomogram.need_pixel_size() * self.tomogram.defocus_slope
        return scale * self.slab.depths(self.tomogram, self.middles, inclined)

    def sums(self, image: int, shifts: Array) -> Array:
        """What an image says: (n_poses, n_amplitudes, n_offsets) log-likelihoods against noise.

        Parameters
        ----------
        image : int
            Which, from 0.
        shifts : (n_poses, n_tiles) array
            Defocus of each tile over the image's [Å].
        """
        entries = (shifts / self.offsets.step + self.offsets.margin).astype(np.float32)
        return self.tables[image].sums(entries, 2 * self.offsets.reach + 1)

    def log_likelihoods(self, poses: Poses, prior: Prior) -> Array:
        """Logarithms: (n_tilts, 2, n_poses, n_amplitudes, n_kinds of tables)."""
        from tomoset.hand import _kernels

        depths = [hand * self.depths(p) for hand, p in zip(HANDS, poses.inclined, strict=True)]
        shifts = np.concatenate(depths, axis=1)
        shape = shifts.shape[1], len(AMPLITUDES), len(prior.weights)
        found = np.empty((len(self.tables), *shape))
        for i, out in enumerate(found):
            _kernels.averaged(self.sums(i, shifts[i]), prior.weights, out)
        return found.reshape(len(found), 2, -1, *shape[1:])


def weigh(series: Series, prior: Prior, *, inclined: bool) -> HandLikelihood:
    """Weigh both hands.

    Parameters
    ----------
    series : Series
        What is seen.
    prior : Prior
        What is known of its defocus.
    inclined : bool
        Whether the specimen may be inclined.
    """
    poses = Poses.usual(inclined=inclined)
    found = series.log_likelihoods(poses, prior)
    weighed = _weighed(found, poses, prior)
    for part in _FINER if inclined else ():
        near = poses.finer(weighed.inclined, part)
        weighed = weighed.or_better(_weighed(series.log_likelihoods(near, prior), near, prior))
    return weighed


def _weighed(found: Array, poses: Poses, prior: Prior) -> HandLikelihood:
    """What all images together say."""
    known = poses.logarithm[:, :, None, None] + prior.logarithm - np.log(len(AMPLITUDES))
    total = found.sum(axis=0) + known
    logarithm = np.logaddexp.reduce(total.reshape(2, -1), axis=1)
    share = np.exp(total - logarithm[:, None, None, None])
    by_tilt = np.einsum("thpkq,hpkq->th", found, share)
    best = [np.unravel_index(np.argmax(t), t.shape) for t in total]
    return HandLikelihood(
        logarithm=logarithm,
        by_tilt=by_tilt,
        spread=_spread(found, known),
        inclined=np.stack([p[b[0]] for p, b in zip(poses.inclined, best, strict=True)]),
        amplitude=np.array([AMPLITUDES[b[1]] for b in best]),
    )


def _spread(found: Array, known: Array) -> float:
    """Of the logarithm of the odds, over series of as many tilts drawn from these."""
    n = len(found)
    drawn = np.random.default_rng(0).multinomial(n, np.full(n, 1 / n), _DRAWN)
    total = drawn.astype(np.float64) @ found.reshape(n, -1)
    total += np.broadcast_to(known, found.shape[1:]).reshape(-1)
    each = np.logaddexp.reduce(total.reshape(_DRAWN, 2, -1), axis=2)
    return float((each[:, 0] - each[:, 1]).std())
