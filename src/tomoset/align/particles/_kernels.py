"""Compiled forms of what is done to every cross-correlation; `_slow` has the plain ones.

Threads share particles out among themselves, and nothing is summed over particles by two of them:
results do not depend on their number.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, prange

#: A spline's value fades from 1 to 0 between so many points from its edge.
FADE_FROM, FADE_TO = 4.0, 2.0
_POLE = np.sqrt(3.0) - 2.0

_compiled: Any = njit(parallel=True, error_model="numpy", boundscheck=False, cache=True)
_alone: Any = njit(error_model="numpy", boundscheck=False, cache=True)
_inlined: Any = njit(error_model="numpy", boundscheck=False, cache=True, inline="always")


@_inlined
def _recursion(line):  # type: ignore[no-untyped-def]
    """Coefficients of the cubic B-spline through the points of a line, mirrored at its ends."""
    n = line.shape[0]
    first, power = line[0], _POLE
    for i in range(1, min(n, 24)):
        first += power * line[i]
        power *= _POLE
    line[0] = first
    for i in range(1, n):
        line[i] += _POLE * line[i - 1]
    line[n - 1] = _POLE / (_POLE * _POLE - 1.0) * (line[n - 1] + _POLE * line[n - 2])
    for i in range(n - 2, -1, -1):
        line[i] = _POLE * (line[i + 1] - line[i])
    for i in range(n):
        line[i] *= 6.0


@_compiled
def prefilter(values, visible, out, finite):  # type: ignore[no-untyped-def]
    """Coefficients of the splines through correlations; whether those of a particle are finite."""
    particles, tilts, n, _ = values.shape
    for p in prange(particles):
        rows = np.empty((n, n))
        line = np.empty(n)
        total = 0.0
        for t in range(tilts):
            if not visible[p, t]:
                out[p, t] = 0.0
                continue
            for j in range(n):
                for i in range(n):
                    line[i] = values[p, t, j, i]
                _recursion(line)
                rows[j] = line
            # Down all columns at once: rows lie together in memory.
            for i in range(n):
                power = _POLE
                for j in range(1, min(n, 24)):
                    rows[0, i] += power * rows[j, i]
                    power *= _POLE
            for j in range(1, n):
                for i in range(n):
                    rows[j, i] += _POLE * rows[j - 1, i]
            for i in range(n):
                rows[n - 1, i] = (
                    _POLE / (_POLE * _POLE - 1.0) * (rows[n - 1, i] + _POLE * rows[n - 2, i])
                )
            for j in range(n - 2, -1, -1):
                for i in range(n):
                    rows[j, i] = _POLE * (rows[j + 1, i] - rows[j, i])
            for j in range(n):
                for i in range(n):
                    value = rows[j, i] * 6.0
                    total += abs(value)
                    out[p, t, j, i] = value
        finite[p] = np.isfinite(total)


@_inlined
def _fade(u, middle):  # type: ignore[no-untyped-def]
    """1 inside, 0 outside, twice differentiable between; and its slope."""
    away = abs(u - middle)
    if away <= middle - FADE_FROM:
        return 1.0, 0.0
    if away >= middle - FADE_TO:
        return 0.0, 0.0
    s = (middle - FADE_TO - away) / (FADE_FROM - FADE_TO)
    slope = 30.0 * s * s * (s - 1.0) * (s - 1.0) / (FADE_FROM - FADE_TO)
    return s * s * s * (10.0 + s * (6.0 * s - 15.0)), -slope if u > middle else slope


@_inlined
def _weights(f, w, d):  # type: ignore[no-untyped-def]
    """Weights of four coefficients, and their slopes, at the fraction f between the inner two."""
    g = 1.0 - f
    w[0], w[3] = g * g * g / 6.0, f * f * f / 6.0
    w[1], w[2] = (
        (4.0 - 6.0 * f * f + 3.0 * f * f * f) / 6.0,
        (4.0 - 6.0 * g * g + 3.0 * g * g * g) / 6.0,
    )
    d[0], d[3] = -g * g / 2.0, f * f / 2.0
    d[1], d[2] = -2.0 * f + 1.5 * f * f, 2.0 * g - 1.5 * g * g


@_inlined
def _look_up(coefficients, p, visible, offsets, step, k, out):  # type: ignore[no-untyped-def]
    """The splines of particle p, the k-th of those that are asked for."""
    tilts, n = coefficients.shape[1], coefficients.shape[3]
    middle = float(n // 2)
    wx, dx, wy, dy = np.empty(4), np.empty(4), np.empty(4), np.empty(4)
    for t in range(tilts):
        out[t, k, :] = 0.0
        u, v = offsets[t, k, 0] / step + middle, offsets[t, k, 1] / step + middle
        inside = max(abs(u - middle), abs(v - middle)) < middle - FADE_TO
        if not visible[p, t] or not inside:
            continue
        i, j = int(u), int(v)
        _weights(u - i, wx, dx)
        _weights(v - j, wy, dy)
        value, along_x, along_y = 0.0, 0.0, 0.0
        for b in range(4):
            line, slope = 0.0, 0.0
            for a in range(4):
                c = coefficients[p, t, j - 1 + b, i - 1 + a]
                line += wx[a] * c
                slope += dx[a] * c
            value += wy[b] * line
            along_x += wy[b] * slope
            along_y += dy[b] * line
        fx, sx = _fade(u, middle)
        fy, sy = _fade(v, middle)
        out[t, k, 0] = fx * fy * value
        out[t, k, 1] = (fx * along_x + sx * value) * fy / step
        out[t, k, 2] = (fy * along_y + sy * value) * fx / step


@_compiled
def evaluate(coefficients, rows, visible, offsets, step, out):  # type: ignore[no-untyped-def]
    """out[t, k] = value, slope along x, slope along y of the splines of particle rows[k]."""
    for k in prange(rows.shape[0]):
        _look_up(coefficients, rows[k], visible, offsets, step, k, out)


@_alone
def evaluate_few(coefficients, rows, visible, offsets, step, out):  # type: ignore[no-untyped-def]
    """The same in one thread: for so little work, others would only be waited for."""
    for k in range(rows.shape[0]):
        _look_up(coefficients, rows[k], visible, offsets, step, k, out)


@_compiled
def stack(values, weights, offsets, step, out):  # type: ignore[no-untyped-def]
    """out[t] = weighted sum over particles of their correlations, each shifted by -offset."""
    particles, tilts, n, _ = values.shape
    for t in prange(tilts):
        out[t] = 0.0
        for p in range(particles):
            w = weights[p, t]
            if w == 0.0:
                continue
            i = int(np.rint(offsets[t, p, 0] / step))
            j = int(np.rint(offsets[t, p, 1] / step))
            for y in range(max(0, -j), min(n, n - j)):
                for x in range(max(0, -i), min(n, n - i)):
                    out[t, y, x] += w * values[p, t, y + j, x + i]


@_compiled
def scores(values, weights, offsets, linear, shifts, step, out):  # type: ignore[no-untyped-def]
    """out[p, k] = weighted sum over tilts of correlations, displaced by shifts[p, k]."""
    particles, tilts, n, _ = values.shape
    middle = n // 2
    for p in prange(particles):
        for k in range(shifts.shape[1]):
            out[p, k] = 0.0
        for t in range(tilts):
            w = weights[p, t]
            if w == 0.0:
                continue
            correlation = values[p, t]
            for k in range(shifts.shape[1]):
                a, b, c = shifts[p, k]
                x, y = offsets[t, p, 0], offsets[t, p, 1]
                x += linear[t, 0, 0] * a + linear[t, 0, 1] * b + linear[t, 0, 2] * c
                y += linear[t, 1, 0] * a + linear[t, 1, 1] * b + linear[t, 1, 2] * c
                i, j = int(np.rint(x / step)) + middle, int(np.rint(y / step)) + middle
                if 0 <= i < n and 0 <= j < n:
                    out[p, k] += w * correlation[j, i]


@_compiled
def mix(by_pair, which, time, out):  # type: ignore[no-untyped-def]
    """out[a, i, b, j] = sum over tilts of time[a] time[b] by_pair[which a, which b, ij].

    ij are six: xx, xy, xz, yy, yz, zz.
    """
    count, tilts = time.shape
    for item in prange(count):
        # The longest rows and the shortest alternate: threads get the same work.
        a = item // 2 if item % 2 == 0 else count - 1 - item // 2
        both = np.empty(tilts)
        for b in range(a + 1):
            for t in range(tilts):
                both[t] = time[a, t] * time[b, t]
            of, k = by_pair[which[a], which[b]], 0
            for i in range(3):
                for j in range(i, 3):
                    total = 0.0
                    for t in range(tilts):
                        total += both[t] * of[k, t]
                    out[a, i, b, j] = out[a, j, b, i] = total
                    out[b, i, a, j] = out[b, j, a, i] = total
                    k += 1
