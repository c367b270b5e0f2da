"""Compiled sums over the spectra of tiles, over the tiles of a tilt, and over what is not known."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit, prange

_compiled: Any = njit(parallel=True, error_model="numpy", boundscheck=False, cache=True)
_inlined: Any = njit(error_model="numpy", boundscheck=False, cache=True)


@_compiled
def tile_sums(spectra, indices, out):  # type: ignore[no-untyped-def]
    """Sums of J(k) J(-k), of |J|^2, and of |J(k) J(-k)|^2 over the cells of each tile."""
    at, mirrored, cell = indices
    sums, power, squares = out
    for tile in prange(len(spectra)):
        for i in range(len(at)):
            a, b = spectra[tile, at[i]], spectra[tile, mirrored[i]]
            c = cell[i]
            product = a * b
            sums[tile, c] += product
            power[tile, c] += np.float32(0.5) * (
                a.real * a.real + a.imag * a.imag + b.real * b.real + b.imag * b.imag
            )
            squares[tile, c] += product.real * product.real + product.imag * product.imag


@_compiled
def power_sums(spectra, at, cell, out):  # type: ignore[no-untyped-def]
    """Sums of |J|^2 over the cells of each tile, for real J."""
    for tile in prange(len(spectra)):
        for i in range(len(at)):
            a = spectra[tile, at[i]]
            out[tile, cell[i]] += a.real * a.real + a.imag * a.imag


@_inlined
def _half_normal(x, y, s):  # type: ignore[no-untyped-def]
    """Logarithm of the mean of exp(a x - a^2 y / 2) over a > 0, normal about 0 with deviation s."""
    v = y + 1.0 / (s * s)
    z = x / math.sqrt(v)
    if z > -6.0:
        tail = 0.5 * z * z + math.log(math.erfc(-z * 0.7071067811865476))
    else:  # erfc is too small; its asymptotic series
        tail = math.log(0.7978845608028654 / -z) - 1.0 / (z * z)
    return tail - 0.5 * math.log1p(s * s * y)


@_compiled
def shifted_sums(table, shift, weight, out):  # type: ignore[no-untyped-def]
    """out[e, p, d] = sum over tiles j of weight[j] table[e, j, d + shift[p, j]].

    table (n_envelopes, n_tiles, m) is linear between entries, and stays as it is beyond its ends;
    shift (n_poses, n_tiles) in entries.
    """
    envelopes, tiles, m = table.shape
    n = out.shape[2]
    for p in prange(out.shape[1]):
        for e in range(envelopes):
            out[e, p, :] = 0.0
            for j in range(tiles):
                low = math.floor(shift[p, j])
                part = np.float32(shift[p, j] - low) * weight[j]
                rest = weight[j] - part
                if low >= 0 and low + n < m:
                    for d in range(n):
                        i = d + low
                        out[e, p, d] += rest * table[e, j, i] + part * table[e, j, i + 1]
                else:
                    for d in range(n):
                        i = min(max(d + low, 0), m - 2)
                        out[e, p, d] += rest * table[e, j, i] + part * table[e, j, i + 1]


@_compiled
def marginal_over_envelopes(sums, energy, amplitudes, out):  # type: ignore[no-untyped-def]
    """out[p, k, d] = log of the mean over envelopes e of the likelihood of sums[e, p, d].

    For rings of an amplitude of about amplitudes[k], against none.
    """
    envelopes, poses, n = sums.shape
    for p in prange(poses):
        each = np.empty(envelopes, np.float64)
        for k in range(len(amplitudes)):
            for d in range(n):
                top = -1e300
                for e in range(envelopes):
                    each[e] = _half_normal(sums[e, p, d], energy[e], amplitudes[k])
                    top = max(top, each[e])
                total = 0.0
                for e in range(envelopes):
                    total += math.exp(each[e] - top)
                out[p, k, d] = top + math.log(total / envelopes)


@_compiled
def averaged(values, prior, out):  # type: ignore[no-untyped-def]
    """out[p, k, q] = log of the mean of exp(values[p, k, d]) over offsets d by prior[q, d]."""
    poses, amplitudes, n = values.shape
    for task in prange(poses * amplitudes):
        p, k = task // amplitudes, task % amplitudes
        top = -1e300
        for d in range(n):
            top = max(top, values[p, k, d])
        each = np.empty(n, np.float64)
        for d in range(n):
            each[d] = math.exp(values[p, k, d] - top)
        for q in range(len(prior)):
            total = 0.0
            for d in range(n):
                total += prior[q, d] * each[d]
            out[p, k, q] = top + math.log(max(total, 1e-300))
