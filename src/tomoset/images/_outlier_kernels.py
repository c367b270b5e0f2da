"""Compiled form of the search for outlier pixels; `outliers` says what they are."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

#: Of the liberties of fast arithmetic those that hold for finite pixels.
_compiled: Any = njit(
    boundscheck=False, nogil=True, cache=True, fastmath={"nnan", "nsz", "reassoc"}
)


#: Rows that are looked at together.
_ROWS = 16


@_compiled
def stand_out(image, reach, least):  # type: ignore[no-untyped-def]
    """Pixels that differ by more than `least` from both at `reach` along a row or a column.

    Beyond an edge the pixel on the other side stands for both: (n, 2) array, y and x.
    """
    height, width = image.shape
    most = np.empty(width, np.float32)
    found = []
    for first in range(0, height, _ROWS):
        rows = range(first, min(first + _ROWS, height))
        most[:] = 0
        most[:reach] = most[width - reach :] = np.inf  # edges are few: looked at below
        for y in rows:
            above = image[y - reach if y >= reach else y + reach]
            below = image[y + reach if y + reach < height else y - reach]
            middle, left, right = image[y, reach:], image[y], image[y, 2 * reach :]
            up, down, so_far = above[reach:], below[reach:], most[reach:]
            for x in range(width - 2 * reach):  # one vector of pixels at a time: no branch
                high = middle[x] - min(max(left[x], right[x]), max(up[x], down[x]))
                low = max(min(left[x], right[x]), min(up[x], down[x])) - middle[x]
                either = high if high > low else low
                so_far[x] = either if either > so_far[x] else so_far[x]
        for x in range(width):
            if most[x] > least:
                for y in rows:
                    if _apart(image, y, x, reach) > least:
                        found.append((y, x))  # noqa: PERF401 - compiled
    at = np.empty((len(found), 2), np.int64)
    for i, (y, x) in enumerate(found):
        at[i, 0], at[i, 1] = y, x
    return at


@_compiled
def _apart(image, y, x, reach):  # type: ignore[no-untyped-def]
    """How far a pixel stands out of both sides of its row, or of its column."""
    height, width = image.shape
    a = image[y, x - reach if x >= reach else x + reach]
    b = image[y, x + reach if x + reach < width else x - reach]
    c = image[y - reach if y >= reach else y + reach, x]
    d = image[y + reach if y + reach < height else y - reach, x]
    value = image[y, x]
    return max(value - min(max(a, b), max(c, d)), max(min(a, b), min(c, d)) - value)


@_compiled
def surroundings(image, at, reach, share, most, far):  # type: ignore[no-untyped-def]
    """What each of some pixels should be, NaN for those that are part of something larger.

    The median of the pixels from 2 to `reach` away, if the pixel differs from it by `far[k]`, and
    so do, by a `share` of that, at most `most[k]` pixels, or those of one row or column.
    """
    height, width = image.shape
    values = np.full(len(at), np.nan, np.float32)
    ring = np.empty((2 * reach + 1) ** 2, np.float32)
    for i in range(len(at)):
        y, x = at[i]
        top, bottom = max(0, y - reach), min(height, y + reach + 1)
        left, right = max(0, x - reach), min(width, x + reach + 1)
        n = 0
        for v in range(top, bottom):
            for u in range(left, right):
                if abs(v - y) > 1 or abs(u - x) > 1:
                    ring[n] = image[v, u]
                    n += 1
        middle = np.median(ring[:n])
        excess = image[y, x] - middle
        allowed = 0
        for k in range(len(far)):
            if abs(excess) > far[k]:
                allowed = most[k]
        if not allowed:
            continue
        count, low_v, high_v, low_u, high_u = 0, y, y, x, x
        for v in range(top, bottom):
            for u in range(left, right):
                if (image[v, u] - middle) / excess > share:
                    count += 1
                    low_v, high_v = min(low_v, v), max(high_v, v)
                    low_u, high_u = min(low_u, u), max(high_u, u)
        if count <= allowed or low_v == high_v or low_u == high_u:
            values[i] = middle
    return values
