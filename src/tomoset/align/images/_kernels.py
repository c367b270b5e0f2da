"""Compiled: the Gaussian model of all images at each frequency (`slab`, which has it in NumPy).

Frequencies are taken `_LANES` at a time, as the innermost axis of all arrays: so the same step is
done for all of them at once.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

#: Frequencies that are taken at once; pivots whose product a float holds.
_LANES, _PIVOTS = 16, 4


@numba.njit(cache=True, fastmath=True)
def _sine(r: Any) -> Any:
    """sin(pi r) / (pi r) for |r| <= 1/2, to 1e-7: its Taylor series."""
    s = np.float32(9.869604401) * r * r
    value = np.float32(1 / 39916800.0)
    value = np.float32(1 / 362880.0) - s * value
    value = np.float32(1 / 5040.0) - s * value
    value = np.float32(1 / 120.0) - s * value
    value = np.float32(1 / 6.0) - s * value
    return np.float32(1.0) - s * value


@numba.njit(cache=True, fastmath=True)
def _sinpi(x: Any) -> Any:
    """sin(pi x)."""
    turns = np.floor(x + np.float32(0.5))
    r = x - turns
    sign = np.float32(1.0) - np.float32(2.0) * (turns - 2 * np.floor(np.float32(0.5) * turns))
    return sign * np.float32(np.pi) * r * _sine(r)


@numba.njit(cache=True, fastmath=True)
def _coherences(C: Any, along: Any, first: int, lanes: int, shape: Any) -> None:
    """Of all pairs of images: see `slab.coherence`."""
    thickness, surface, rough = shape[0], shape[1], shape[2]
    even = np.float32(1.0) - surface
    for a in range(len(C)):
        for b in range(a):
            for q in range(lanes):
                x = thickness * (along[a, first + q] - along[b, first + q])
                x = max(abs(x), np.float32(1e-6))
                value = even * _sinpi(x) / (np.float32(np.pi) * x)
                C[a, b, q] = value + surface * _sinpi(x + np.float32(0.5))
            if rough > 0:
                for q in range(lanes):
                    x = thickness * (along[a, first + q] - along[b, first + q])
                    C[a, b, q] *= np.exp(np.float32(-2 * np.pi**2) * (rough * x) ** 2)


@numba.njit(cache=True, fastmath=True)
def _factor(C: Any, c: Any, L: Any, log_det: Any) -> None:
    """Cholesky factor of c_a c_b C_ab, with 1 on the diagonal: its inverse pivots there.

    And the log of the determinant. Rows are swept, so that the inner loops run along memory.
    """
    n, _, lanes = C.shape
    s = np.empty(lanes, np.float32)
    product = np.ones(lanes, np.float32)
    log_det[:] = 0
    for a in range(n):
        for b in range(a):
            for q in range(lanes):
                s[q] = c[a, q] * c[b, q] * C[a, b, q]
            for e in range(b):
                for q in range(lanes):
                    s[q] -= L[a, e, q] * L[b, e, q]
            for q in range(lanes):
                L[a, b, q] = s[q] * L[b, b, q]
        for q in range(lanes):
            s[q] = 1
        for e in range(a):
            for q in range(lanes):
                s[q] -= L[a, e, q] * L[a, e, q]
        for q in range(lanes):
            pivot = max(s[q], np.float32(1e-6))
            product[q] *= pivot
            L[a, a, q] = 1 / np.sqrt(pivot)
        if a % _PIVOTS == _PIVOTS - 1 or a == n - 1:
            for q in range(lanes):
                log_det[q] += np.log(product[q])
                product[q] = 1


@numba.njit(cache=True, fastmath=True)
def _inverse(L: Any, W: Any, D: Any) -> None:
    """The inverse W of a factor, and the lower half of that of what it is the factor of."""
    n, _, lanes = L.shape
    for a in range(n):
        for b in range(a + 1):
            for q in range(lanes):
                W[a, b, q] = 0
                D[a, b, q] = 0
        for e in range(a):
            for b in range(e + 1):
                for q in range(lanes):
                    W[a, b, q] -= L[a, e, q] * W[e, b, q]
        for b in range(a):
            for q in range(lanes):
                W[a, b, q] *= L[a, a, q]
        for q in range(lanes):
            W[a, a, q] = L[a, a, q]
    for e in range(n):
        for a in range(e + 1):
            for b in range(a + 1):
                for q in range(lanes):
                    D[a, b, q] += W[e, a, q] * W[e, b, q]


@numba.njit(cache=True, fastmath=True)
def _solved(L: Any, x: Any) -> None:
    """Solve L L^T u = x in place; the last row of x is set to x^T u."""
    n, _, lanes = L.shape
    for q in range(lanes):
        x[n, q] = 0
    for a in range(n):
        for b in range(a):
            for q in range(lanes):
                x[a, q] -= L[a, b, q] * x[b, q]
        for q in range(lanes):
            x[a, q] *= L[a, a, q]
            x[n, q] += x[a, q] * x[a, q]
    for a in range(n - 1, -1, -1):
        for q in range(lanes):
            x[a, q] *= L[a, a, q]
        for b in range(a):
            for q in range(lanes):
                x[b, q] -= L[a, b, q] * x[a, q]


@numba.njit(cache=True, fastmath=True)
def _inform(D: Any, C: Any, c: Any, weights: Any, out: Any) -> None:
    """Add c_a c_b C_ab D_ab times weights (lanes, 3 W) to what is below the diagonal of out."""
    n, _, lanes = C.shape
    for a in range(n):
        for b in range(a):
            for q in range(lanes):
                value = c[a, q] * c[b, q] * C[a, b, q] * D[a, b, q]
                for s in range(weights.shape[1]):
                    out[a, b, s] += value * weights[q, s]


@numba.njit(cache=True, parallel=True, fastmath=True)
def solve(
    V: Any,
    used: Any,
    kind: Any,
    band: Any,
    along: Any,
    c: Any,
    shapes: Any,
    k: Any,
    freedom: float,
    informed: bool,
    threads: int,
) -> Any:
    """See `slab.terms`; `kind` (W,) says which row of `used` (P, n), of c (P, n, K), and of shapes
    (P, 3; as `coherence` has them) a window has. If not `informed`, the precision is empty and the
    information is 0."""
    n_windows, n, n_k = V.shape
    U = np.zeros((n_windows, n, n_k), np.complex64)
    quad = np.zeros((n_windows, n_k), np.float32)
    count = np.zeros((len(used), n_k), np.float32)
    log_det = np.zeros((len(used), n_k), np.float32)
    precision = np.zeros((len(used), n, n_k) if informed else (len(used), n, 0), np.float32)
    information = np.zeros((threads, n, n, 3 * n_windows))
    blocks = (n_k + _LANES - 1) // _LANES
    for thread in numba.prange(threads):
        C = np.zeros((n, n, _LANES), np.float32)
        L = np.empty((n, n, _LANES), np.float32)
        W = np.empty((n, n, _LANES), np.float32)
        D = np.empty((n, n, _LANES), np.float32)
        root = np.zeros((n, _LANES), np.float32)
        det = np.zeros(_LANES, np.float32)
        seen = np.zeros(_LANES, np.float32)
        real = np.zeros((n + 1, _LANES), np.float32)
        imag = np.zeros((n + 1, _LANES), np.float32)
        weights = np.zeros((_LANES, 3 * n_windows), np.float32)
        for block in range(thread, blocks, threads):
            first = block * _LANES
            lanes = min(_LANES, n_k - first)
            for p in range(len(used)):
                if p == 0 or shapes[p, 0] != shapes[p - 1, 0]:
                    _coherences(C, along, first, lanes, shapes[p])
                seen[:] = 0
                root[:] = 0
                for a in range(n):
                    for q in range(lanes):
                        if used[p, a] and band[a, first + q]:
                            seen[q] += 1
                            root[a, q] = c[p, a, first + q]
                _factor(C, root, L, det)
                if informed:
                    _inverse(L, W, D)
                    weights[:] = 0
                for q in range(lanes):
                    if seen[q] >= 2:
                        count[p, first + q] = seen[q]
                        log_det[p, first + q] = det[q]
                if informed:
                    for a in range(n):
                        for q in range(lanes):
                            if root[a, q] > 0 and seen[q] >= 2:
                                precision[p, a, first + q] = D[a, a, q]
                for w in range(n_windows):
                    if kind[w] != p:
                        continue
                    for a in range(n):
                        for q in range(lanes):
                            on = root[a, q] > 0 and seen[q] >= 2
                            real[a, q] = V[w, a, first + q].real if on else 0
                            imag[a, q] = V[w, a, first + q].imag if on else 0
                    _solved(L, real)
                    _solved(L, imag)
                    for q in range(lanes):
                        total = real[n, q] + imag[n, q]
                        quad[w, first + q] = total
                        if informed and seen[q] >= 2:
                            weight = (freedom + seen[q]) / (freedom + total)
                            x, y = k[first + q, 0], k[first + q, 1]
                            weights[q, 3 * w] = weight * x * x
                            weights[q, 3 * w + 1] = weight * x * y
                            weights[q, 3 * w + 2] = weight * y * y
                    for a in range(n):
                        for q in range(lanes):
                            U[w, a, first + q] = complex(real[a, q], imag[a, q])
                if informed:
                    _inform(D, C, root, weights, information[thread])
    return U, quad, count, log_det, precision, information


@numba.njit(cache=True, parallel=True, fastmath=True)
def displace(V: Any, k: Any, by: Any) -> Any:
    """V (W, n, K) times exp(2 pi i k . by), by (W, n, 2)."""
    out = np.empty_like(V)
    n_windows, n, n_k = V.shape
    for task in numba.prange(n_windows * n):
        w, i = task // n, task % n
        x, y = by[w, i, 0], by[w, i, 1]
        for q in range(n_k):
            turns = k[q, 0] * x + k[q, 1] * y
            turns = np.float32(2 * (turns - np.floor(turns)))
            sine, cosine = _sinpi(turns), _sinpi(turns + np.float32(0.5))
            re, im = V[w, i, q].real, V[w, i, q].imag
            out[w, i, q] = complex(re * cosine - im * sine, re * sine + im * cosine)
    return out
