"""Where all images lie, by all pairs at once: robust, and not one after the other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tomoset.align.images.pairs import Pairs

Array = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Image = npt.NDArray[np.float32]

#: Peaks below are what chance brings; above, a pair does not count for more.
_CHANCE, _SURE = 4.5, 15.0
_ROUNDS = 8


@dataclass(frozen=True, kw_only=True, eq=False)
class Placed:
    """Where images lie.

    Parameters
    ----------
    at : (n, 2) array
        x, y of each; the median of the largest piece is 0 [px].
    support : (n,) array
        Log-likelihood ratio of this place against chance, by all its pairs.
    rival : (n,) array
        The same of the best other place.
    piece : (n,) int array
        Images of different pieces are not tied to each other by any pair that is beyond chance.
    """

    at: Array
    support: Array
    rival: Array
    piece: Ints


def place(pairs: Pairs, n: int) -> Placed:
    """Place images where the correlations of all pairs are highest together.

    A spanning tree of the strongest peaks gives the start; then images, and all images beyond
    any gap, are moved to where the sum over all their pairs is highest, until none moves.

    Parameters
    ----------
    pairs : Pairs
    n : int
        Number of images.
    """
    height, width = pairs.scores.shape[1:]
    # A pair says mu z - mu²/2 of a place if its peak is expected to be mu high.
    heights = np.clip(pairs.peaks - _CHANCE, 0.3, _SURE)
    scores = np.maximum(pairs.scores, -2.0) * heights[:, None, None].astype(np.float32)
    at, piece = _tree(pairs, n)
    for _ in range(_ROUNDS):
        before = at.copy()
        for i in range(n):
            total = _total(pairs, scores, at, np.arange(n) == i)
            at[i] += _peak(total)
        for cut in range(1, n):
            total = _total(pairs, scores, at, np.arange(n) >= cut)
            at[cut:] += _peak(total)
        if np.array_equal(at, before):
            break
    # Together images stay where they were: the plane would leave what they show otherwise.
    largest = piece == np.bincount(piece).argmax()
    at -= np.rint(np.median(at[largest], axis=0)).astype(np.int64)
    support, rival = np.zeros(n), np.zeros(n)
    y, x = (
        np.minimum(np.arange(height), height - np.arange(height)),
        np.minimum(np.arange(width), width - np.arange(width)),
    )
    far = np.hypot(x[None], y[:, None]) > 0.04 * max(height, width)
    for i in range(n):
        total = _total(pairs, scores, at, np.arange(n) == i)
        if total is not None:
            support[i], rival[i] = total[0, 0], total[far].max()
    return Placed(at=at.astype(np.float64), support=support, rival=rival, piece=piece)


def _tree(pairs: Pairs, n: int) -> tuple[Ints, Ints]:
    """Places by the strongest peaks that tie all images together."""
    height, width = pairs.scores.shape[1:]
    flat = pairs.scores.reshape(len(pairs.scores), -1).argmax(axis=1)
    apart = np.stack([flat % width, flat // width], axis=1)
    apart = _centred(apart, (width, height))
    at, piece = np.zeros((n, 2), np.int64), np.arange(n)
    tied = np.arange(n)
    for p in np.argsort(-pairs.peaks, kind="stable"):
        i, j = pairs.first[p], pairs.second[p]
        if tied[i] == tied[j]:
            continue
        moved = tied == tied[j]
        at[moved] += at[i] + apart[p] - at[j]
        tied[moved] = tied[i]
        if pairs.peaks[p] > _CHANCE:
            piece[piece == piece[j]] = piece[i]
    return at, piece


def _centred(at: Ints, size: tuple[int, int]) -> Ints:
    half = np.array(size) // 2
    return np.asarray((at + half) % np.array(size) - half)


def _total(pairs: Pairs, scores: Image, at: Ints, moved: npt.NDArray[np.bool_]) -> Image | None:
    """Sum over all pairs of which one is moved, by that movement."""
    total = None
    for p in np.flatnonzero(moved[pairs.first] != moved[pairs.second]):
        i, j = pairs.first[p], pairs.second[p]
        x, y = at[j] - at[i]
        part = np.roll(scores[p], (-y, -x), axis=(0, 1))
        if moved[i]:
            part = np.roll(part[::-1, ::-1], (1, 1), axis=(0, 1))
        total = part if total is None else total + part
    return total


def _peak(total: Image | None) -> Ints:
    """By how much to move: x, y."""
    if total is None:
        return np.zeros(2, np.int64)
    height, width = total.shape
    y, x = divmod(int(total.argmax()), width)
    return _centred(np.array([x, y]), (width, height))
