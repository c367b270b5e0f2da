"""Compiled: the Gaussian model of all images at each frequency (`slab`, which has it in NumPy)."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]


@numba.njit(cache=True, fastmath=True, inline="always")
def _coherence(x: Any, surface: Any, rough: Any) -> Any:
    """Of two images whose lines of sight differ by x: see `slab.coherence`."""
    x = abs(np.pi * x)
    inner = 1.0 if x < 1e-4 else np.sin(x) / x
    value = (1 - surface) * inner + surface * np.cos(x)
    if rough > 0:
        value *= np.exp(-2 * (rough * x) ** 2)
    return value


@numba.njit(cache=True, fastmath=True)
def _factor(C: Any, L: Any, W: Any, m: int) -> Any:
    """Cholesky factor L of the first m rows of C, and its inverse W; the log of C's determinant.

    Rows are swept, so that the inner loops run along memory.
    """
    log_det = np.float32(0.0)
    for a in range(m):
        for c in range(a + 1):
            s = C[a, c]
            for e in range(c):
                s -= L[a, e] * L[c, e]
            if a == c:
                s = max(s, np.float32(1e-6))
                L[a, a] = np.sqrt(s)
                log_det += np.log(s)
            else:
                L[a, c] = s / L[c, c]
    for a in range(m):
        for c in range(m):
            W[a, c] = 0.0
        W[a, a] = 1.0
        for e in range(a):
            factor = L[a, e]
            for c in range(e + 1):
                W[a, c] -= factor * W[e, c]
        scale = 1 / L[a, a]
        for c in range(a + 1):
            W[a, c] *= scale
    return log_det


@numba.njit(cache=True, fastmath=True)
def _precision(W: Any, D: Any, m: int) -> None:
    """The lower half of the inverse of C, of the inverse W of its factor."""
    for a in range(m):
        for c in range(a + 1):
            D[a, c] = 0.0
    for e in range(m):
        for a in range(e + 1):
            factor = W[e, a]
            for c in range(a + 1):
                D[a, c] += factor * W[e, c]


@numba.njit(cache=True, parallel=True, fastmath=True)
def solve(
    V: Any,
    used: Any,
    pattern: Any,
    band: Any,
    along: Any,
    c: Any,
    shape: Any,
    k: Any,
    freedom: float,
    informed: bool,
    threads: int,
) -> Any:
    """See `slab.terms`; `pattern` (W,) says which row of `used` (P, n) a window has."""
    n_windows, n, n_k = V.shape
    U = np.zeros((n_windows, n, n_k), np.complex64)
    quad = np.zeros((n_windows, n_k), np.float32)
    count = np.zeros((len(used), n_k), np.float32)
    log_det = np.zeros((len(used), n_k), np.float32)
    precision = np.zeros((len(used), n, n_k), np.float32)
    information = np.zeros((threads, n_windows, 3, n, n))
    thickness, surface, rough = shape[0], shape[1], shape[2]
    for thread in numba.prange(threads):
        at = np.empty(n, np.int64)
        C = np.empty((n, n), np.float32)
        L = np.empty((n, n), np.float32)
        W = np.empty((n, n), np.float32)
        D = np.empty((n, n), np.float32)
        real = np.empty(n, np.float32)
        imag = np.empty(n, np.float32)
        for q in range(thread, n_k, threads):
            for p in range(len(used)):
                m = 0
                for i in range(n):
                    if used[p, i] and band[i, q]:
                        at[m] = i
                        m += 1
                if m < 2:
                    continue
                for a in range(m):
                    i = at[a]
                    for b in range(a):
                        j = at[b]
                        x = thickness * (along[q, i] - along[q, j])
                        C[a, b] = c[i, q] * c[j, q] * _coherence(x, surface, rough)
                    C[a, a] = 1.0
                log_det[p, q] = _factor(C, L, W, m)
                count[p, q] = m
                _precision(W, D, m)
                for a in range(m):
                    precision[p, at[a], q] = D[a, a]
                for w in range(n_windows):
                    if pattern[w] != p:
                        continue
                    total = np.float32(0.0)
                    for a in range(m):
                        real[a] = 0.0
                        imag[a] = 0.0
                    for a in range(m):
                        x = np.float32(0.0)
                        y = np.float32(0.0)
                        for b in range(a + 1):
                            x += W[a, b] * V[w, at[b], q].real
                            y += W[a, b] * V[w, at[b], q].imag
                        total += x * x + y * y
                        for b in range(a + 1):
                            real[b] += W[a, b] * x
                            imag[b] += W[a, b] * y
                    for a in range(m):
                        U[w, at[a], q] = complex(real[a], imag[a])
                    quad[w, q] = total
                    if not informed:
                        continue
                    weight = (freedom + m) / (freedom + total)
                    xx = weight * k[q, 0] * k[q, 0]
                    xy = weight * k[q, 0] * k[q, 1]
                    yy = weight * k[q, 1] * k[q, 1]
                    for a in range(m):
                        i = at[a]
                        for b in range(a + 1):
                            value = C[a, b] * D[a, b]
                            if a == b:
                                value -= 1.0
                            information[thread, w, 0, i, at[b]] += value * xx
                            information[thread, w, 1, i, at[b]] += value * xy
                            information[thread, w, 2, i, at[b]] += value * yy
    return U, quad, count, log_det, precision, information
