"""What each view had received before it was taken, from the order of acquisition."""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tomoset.errors import AssumptionWarning, FileFormatError
from tomoset.formats._matching import TOLERANCE, best_fit
from tomoset.formats._text_tables import read_lines

Array = npt.NDArray[np.float64]
Lines = npt.NDArray[np.int64]

#: A common offset beyond this is said: specimens are seldom mounted or milled so steeply [deg].
FAR = 25.0


@dataclass(frozen=True, kw_only=True)
class OrderList:
    """Tilt angles in the order in which the images were taken."""

    path: str
    angles: Array


def read_order(path: str | os.PathLike[str]) -> OrderList:
    """A list of ``number,angle`` lines (comma, blank or tab), in the order of acquisition.

    Lines that begin with no number before the first pair are a header; blank lines and
    comments do no harm. The place of a line counts, as in RELION, not its first number.

    Raises
    ------
    FileFormatError
        If a line below the header does not hold two numbers.
    """
    name = os.fspath(path)
    lines = [_words(line, number, name) for number, line in enumerate(read_lines(name), 1)]
    try:  # as good lists are, without a header
        pairs = np.array([words for words in lines if words], dtype=np.float64)[:, :2]
    except (ValueError, IndexError):
        pairs = _read_pairs(name, lines)
    if pairs.shape[1:] != (2,) or not np.isfinite(pairs).all():
        pairs = _read_pairs(name, lines)
    if (np.diff(pairs[:, 0]) <= 0).any():
        warnings.warn(
            f"{name}: the first column does not ascend; the order of the lines is taken for the "
            "order of acquisition, as RELION does",
            AssumptionWarning,
            stacklevel=2,
        )
    return OrderList(path=name, angles=pairs[:, 1])


#: What sets fields apart; spreadsheets put quotes about them.
_APART = str.maketrans(",;\"'", "    ")


def _words(line: str, number: int, path: str) -> list[str]:
    if "," in line and (";" in line or "\t" in line.strip()):
        raise FileFormatError(
            f"a comma inside a number? {line.strip()[:60]!r}; decimals are written with a point",
            path=path,
            line=number,
        )
    return line.translate(_APART).split()


def _read_pairs(name: str, lines: list[list[str]]) -> Array:
    """The slow way: over headers and comments, and with the line of an error."""
    pairs: list[tuple[float, float]] = []
    for number, words in enumerate(lines, 1):
        if not words or words[0].startswith("#"):
            continue
        pair = _pair(words)
        if pair is not None:
            pairs.append(pair)
        elif pairs or _is_number(words[0]):
            raise FileFormatError(
                f"expected a number and an angle, as in '7,-6.0', found {' '.join(words)[:60]!r}",
                path=name,
                line=number,
            )
    if not pairs:
        raise FileFormatError("the order list holds no line of a number and an angle", path=name)
    return np.array(pairs)


def _pair(words: list[str]) -> tuple[float, float] | None:
    try:
        pair = float(words[0]), float(words[1])
    except (ValueError, IndexError):
        return None
    return pair if np.isfinite(pair).all() else None


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def match_order(tilts: Array, order: OrderList) -> Lines:
    """The line of the order list, from 0, that each tilt image was taken by.

    Every image gets a line of its own: the assignment with the smallest sum of squared
    differences of angle, after a common offset (a specimen that was levelled) is taken off.
    Of several offsets that fit, the smallest wins.

    Parameters
    ----------
    tilts : (n,) array
        Tilt angles [deg].
    order : OrderList
        At least n lines.

    Returns
    -------
    (n,) int64 array

    Raises
    ------
    FileFormatError
        If there are too few lines, or an image lies more than `TOLERANCE` from its line.
    """
    n, m = len(tilts), len(order.angles)
    if m < n:
        raise FileFormatError(
            f"the order list has {m} lines for {n} tilt images; each needs one of its own",
            path=order.path,
        )
    by_tilt = np.argsort(tilts, kind="stable")
    by_line = np.argsort(order.angles, kind="stable")
    t, a = tilts[by_tilt], order.angles[by_line]
    worst, chosen, offset = best_fit(t, a)
    if worst > TOLERANCE:
        bad = int(np.abs(t - a[chosen] - offset).argmax())
        raise FileFormatError(
            f"the tilt image at {t[bad]:g}° has no line of its own: the nearest left is at "
            f"{a[chosen][bad]:g}° (common offset {offset:.2f}°); is this "
            "the order of another series?",
            path=order.path,
        )
    if m > n > 1 and abs(offset) > float(np.median(np.diff(a))) / 2:
        warnings.warn(
            f"{order.path}: the tilt angles lie {offset:+.2f}° from those of the order list, and "
            f"{m - n} of its lines belong to no image: check which (a .rawtlt file beside the "
            ".tlt decides)",
            AssumptionWarning,
            stacklevel=2,
        )
    if abs(offset) > FAR:
        warnings.warn(
            f"{order.path}: the tilt angles lie {offset:+.1f}° from those of the order list; is it "
            "the list of this series, with the same sign of the tilts?",
            AssumptionWarning,
            stacklevel=2,
        )
    lines = np.empty(n, dtype=np.int64)
    lines[by_tilt] = by_line[chosen]
    return lines


def match_kept(tilts: Array, kept: list[int], n_views: int, order: OrderList) -> Lines:
    """Lines of the kept views, where only their tilts are known.

    When the list has a line for every view of the stack, and the stack is in the order of its
    tilts, the number of a view decides, which no common offset can blur. Else as `match_order`.
    """
    steps = np.sign(np.diff(tilts))
    sorted_stack = len(steps) > 0 and steps[0] != 0 and (steps == steps[0]).all()
    if len(order.angles) != n_views or not sorted_stack:
        return match_order(tilts, order)
    lines = np.argsort(order.angles * steps[0], kind="stable")[kept]
    residual = tilts - order.angles[lines]
    if np.abs(residual - residual.mean()).max() > TOLERANCE:
        return match_order(tilts, order)
    return lines
