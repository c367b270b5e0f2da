"""The geometric hand: are volumes of this set mirror images of the specimen?

What particles say of a map of known hand, and of its mirror image, each where it lies best.
Nothing here is the defocus hand, and no answer is +1 or -1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tomoset.hand.measure import tempered
from tomoset.hand.verdict import decide
from tomoset.particles.geometric.search import (
    MIRROR,
    Bands,
    Pose,
    RotatedMap,
    gain,
    products,
    refined,
    search,
)
from tomoset.particles.geometric.sums import Sums

Array = npt.NDArray[np.float64]

#: What is said: of volumes made of the set, against the map that is given.
AS_MAP, MIRRORED, UNKNOWN = "as the map", "mirror image", "cannot tell"
ANSWERS = {1: AS_MAP, -1: MIRRORED, None: UNKNOWN}

#: Sets of groups that are drawn, to see how much the odds depend on single particles.
_DRAWS, _SEED = 400, 1
#: What no map explains may by chance look like one hand by this part of it.
_CHANCE = 0.1
#: A search among so many poses finds this much in noise, and 1 more for each band of
#: frequencies [natural logarithm].
_NOISE = 20.0
#: A map of the molecule is correlated at least so well with what particles have in common.
_WELL = 0.9
#: Maps that are this much like their mirror image have no hand.
_ALIKE = 0.97
#: Part of a ring's mean weight that is added where an average is made.
_DAMPING = 0.1
#: And this part of the largest mean weight of all rings.
_LEAST = 0.02


@dataclass(frozen=True, kw_only=True, eq=False)
class GeometricOdds:
    """What some particles say.

    Parameters
    ----------
    log_odds : float
        Natural logarithm of the odds that volumes are as the map, against its mirror image.
    spread : float
        Of the odds before they were tempered: over groups drawn with replacement, and by what
        the map does not explain.
    plain : float
        The odds, not tempered.
    explained : (float, float)
        By the map, by its mirror image: correlation with what the particles have in common.
    poses : (Pose, Pose)
        Of both in the particles' frame.
    noise : float
        Log-likelihood that a search finds in noise.
    """

    log_odds: float
    spread: float
    plain: float
    explained: tuple[float, float]
    poses: tuple[Pose, Pose]
    noise: float

    @property
    def best(self) -> Pose:
        """Of the one that fits better."""
        return max(self.poses, key=lambda p: p.log_likelihood)


def locate(sums: Sums, rotated: RotatedMap, threads: int = 1) -> tuple[list[Pose], list[Pose]]:
    """Candidate poses of the map and of its mirror image, each from the same search.

    Parameters
    ----------
    sums : Sums
        Of all particles, in groups.
    rotated : RotatedMap
        The map.
    threads : int
        That are used.
    """
    total = sums.total
    as_map, mirror = (search(total, rotated, mirrored=m, threads=threads) for m in (False, True))
    # The mirror image of the other's best pose: so lies what was mirrored with its set.
    more = [Pose(m, s, 0.0) for m, s in _reflections(mirror[0])]
    mirror += [Pose(m, s, 0.0) for m, s in _reflections(as_map[0])]
    return as_map + more, mirror


def _reflections(pose: Pose) -> list[tuple[Array, Array]]:
    """In three planes, and in the origin."""
    flips = [np.diag(d) for d in ([-1.0, 1, 1], [1.0, -1, 1], [1.0, 1, -1], [-1.0, -1, -1])]
    return [(flip @ pose.matrix, flip @ pose.shift) for flip in flips]


def weigh(
    sums: Sums,
    rotated: RotatedMap,
    both_poses: tuple[Sequence[Pose], Sequence[Pose]],
    parts: Sequence[Sums] = (),
) -> GeometricOdds:
    """The odds, each of the two being refined from some poses to where it fits best.

    Parameters
    ----------
    sums : Sums
        Of the particles, in groups.
    rotated : RotatedMap
        The map.
    both_poses : (sequence of Pose, sequence of Pose)
        Of the map and of its mirror image, as `locate` gives them.
    parts : sequence of Sums
        That `sums` are made of, if they are of several tomograms: groups that can be drawn.
    """
    total = sums.total
    as_map, mirror = (refined(poses, total, rotated) for poses in both_poses)
    units = [
        [products(rotated.at(p.matrix[None], part)[0], p.shift, part) for part in parts or (sums,)]
        for p in (as_map, mirror)
    ]
    first, second = (
        np.stack([np.concatenate([u[k] for u in one]) for one in units]) for k in (0, 1)
    )
    both = gain(first.sum(axis=1), second.sum(axis=1))
    # What noise would give says nothing of either.
    noise = _NOISE + first.shape[-1]
    plain = float(np.logaddexp(both[0], noise) - np.logaddexp(both[1], noise))
    better = as_map if plain >= 0 else mirror
    common = in_common(sums, rotated.extent, better.shift)
    unexplained = max(common - float(both.max()), 0.0)
    spread = math.hypot(_spread(first, second), _CHANCE * unexplained)
    level = max(common, float(both.max()), 1e-9)
    return GeometricOdds(
        log_odds=tempered(plain, spread),
        spread=spread,
        plain=plain,
        explained=(math.sqrt(both[0] / level), math.sqrt(both[1] / level)),
        poses=(as_map, mirror),
        noise=noise,
    )


def _spread(first: Array, second: Array) -> float:
    """Of the odds, over groups drawn with replacement: of (2, groups, bands)."""
    groups = first.shape[1]
    rng = np.random.default_rng(_SEED)
    draws = rng.multinomial(groups, np.full(groups, 1 / groups), _DRAWS).astype(np.float64)
    one, two = (np.einsum("dg,hgb->dhb", draws, part) for part in (first, second))
    both = gain(one, two)
    return float(np.std(both[:, 0] - both[:, 1]))


def in_common(sums: Sums, extent: float, shift: Array) -> float:
    """What particles say of the average of the others, within a ball: a log-likelihood.

    As much as a map of the specimen would explain, however it came about.

    Parameters
    ----------
    sums : Sums
        In groups.
    extent : float
        Radius of the ball [px].
    shift : (3,) array
        Its middle [px].
    """
    # Of the outermost points, where next to nothing was put in, there is no average.
    sums = sums.within(sums.radius)
    bands = Bands(sums)
    total, weight = sums.numerator.sum(axis=0), sums.power.sum(axis=0)
    ring_means = bands.sum(weight) / np.bincount(bands.of)
    # Where nearly nothing was put in, what has leaked from beside it must not be made large.
    least = _LEAST * float(ring_means.max()) + 1e-30
    damping = np.maximum(_DAMPING * ring_means, 0)[bands.of] + least
    ball = _ball(sums.box, extent, shift)
    first, second = np.zeros(len(ring_means)), np.zeros(len(ring_means))
    for numerator, power in zip(sums.numerator, sums.power, strict=True):
        average = (total - numerator) / (np.maximum(weight - power, 0) + damping)
        inside = _masked(average.astype(np.complex64), sums, ball)
        first += bands.sum((numerator * inside.conj()).real)
        second += bands.sum(
            (np.maximum(power, 0) + least / len(sums.power)) * (inside.real**2 + inside.imag**2)
        )
    return float(gain(first, second))


def _ball(box: int, radius: float, shift: Array) -> npt.NDArray[np.float32]:
    """1 within a ball about the origin, fading out beyond: (z, y, x) in the order of ``fftn``."""
    at = np.fft.fftfreq(box, 1 / box)
    z, y, x = at[:, None, None] - shift[2], at[:, None] - shift[1], at - shift[0]
    fade = np.clip((radius + 3 - np.sqrt(x * x + y * y + z * z)) / 3, 0, 1)
    return np.asarray(fade, np.float32)


def _masked(
    values: npt.NDArray[np.complex64], sums: Sums, ball: npt.NDArray[np.float32]
) -> npt.NDArray[np.complex64]:
    """A transform at the sums' points, after its map was multiplied with a ball."""
    import scipy.fft

    box, (x, y, z) = sums.box, sums.points.T
    grid = np.zeros((box, box, box // 2 + 1), np.complex64)
    grid[z % box, y % box, x] = values
    flat = x == 0
    grid[-z[flat] % box, -y[flat] % box, 0] = values[flat].conj()
    volume = scipy.fft.irfftn(grid, s=(box,) * 3) * ball
    return np.asarray(scipy.fft.rfftn(volume)[z % box, y % box, x], np.complex64)


def likeness(sums: Sums, rotated: RotatedMap, pose: Pose, threads: int = 1) -> float:
    """How much a map is like its own mirror image, at its best, as these particles would see it.

    Parameters
    ----------
    sums : Sums
        What weight each frequency has.
    rotated : RotatedMap
        The map.
    pose : Pose
        Where it lies.
    threads : int
        That are used.

    Returns
    -------
    float
        Correlation: 1 for a map without a hand.
    """
    total = sums.total
    seen = rotated.at(pose.matrix[None], total)
    exact = Sums(total.points, (total.power * seen).astype(np.complex64), total.power, total.box)
    whole = gain(*products(seen[0], np.zeros(3), exact))[0]
    other = search(exact, rotated, mirrored=np.linalg.det(pose.matrix) > 0, threads=threads)[0]
    return float(np.sqrt(min(other.log_likelihood / max(float(whole), 1e-30), 1.0)))


def answer(odds: GeometricOdds, error_rate: float) -> str:
    """ "as the map", "mirror image" or "cannot tell"."""
    return ANSWERS[decide(odds.log_odds, error_rate)]


def reason(odds: GeometricOdds, alike: float, error_rate: float) -> str:
    """Why it cannot be told.

    Parameters
    ----------
    odds : GeometricOdds
        Of all particles.
    alike : float
        By `likeness`.
    error_rate : float
        How often a verdict may be wrong.
    """
    if odds.best.log_likelihood < odds.noise:
        return (
            "the particles show nothing of the map: are their orientations and the pixel size "
            "right, and is it the same molecule?"
        )
    if alike > _ALIKE:
        return (
            f"at this resolution the map equals its own mirror image to within {1 - alike:.1%} "
            f"(correlation {alike:.4f}): take an asymmetric one, or a finer --lowpass"
        )
    if decide(odds.plain, error_rate) is not None and max(odds.explained) < _WELL:
        return (
            f"the map explains too little of what the particles have in common (correlation "
            f"{max(odds.explained):.2f}, its mirror image {min(odds.explained):.2f}): is it the "
            "same molecule, and does --mask fit?"
        )
    if decide(odds.plain, error_rate) is not None:
        return "the odds hang on few of the particles: more of them would tell"
    return "the odds are too even: more particles, or a finer --lowpass, would tell"


def rotation_of(pose: Pose) -> Array:
    """The rotation of a map, or of its mirror image with x reversed, into the particles' frame."""
    return pose.matrix if np.linalg.det(pose.matrix) > 0 else pose.matrix @ MIRROR
