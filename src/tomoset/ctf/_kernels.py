"""Compiled sums over the tiles of an image: of what they have in common with rings."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit

_compiled: Any = njit(error_model="numpy", boundscheck=False, cache=True, nogil=True, fastmath=True)
_inlined: Any = njit(
    error_model="numpy", boundscheck=False, cache=True, nogil=True, fastmath=True, inline="always"
)


@_inlined
def _cos_sin(angle):  # type: ignore[no-untyped-def]
    """Both of an angle, to 1e-6: Taylor's series of half of it, which vectorizes."""
    turns = angle * np.float32(0.15915494309)
    h = np.float32(math.pi) * (turns - math.floor(turns + np.float32(0.5)))
    q = h * h
    s = np.float32(2.7557319e-6) * q - np.float32(1.9841270e-4)
    s = (s * q + np.float32(8.3333333e-3)) * q - np.float32(1.6666667e-1)
    s = h + h * q * (s + q * q * q * np.float32(-2.5052108e-8))
    c = np.float32(-2.7557319e-7) * q + np.float32(2.4801587e-5)
    c = ((c * q - np.float32(1.3888889e-3)) * q + np.float32(4.1666667e-2)) * q
    c = np.float32(1.0) + q * (c - np.float32(0.5) + q * q * q * q * q * np.float32(2.0876757e-9))
    return np.float32(1.0) - np.float32(2.0) * s * s, np.float32(2.0) * s * c


@_compiled
def band_sums(planes, off, rate, out):  # type: ignore[no-untyped-def]
    """What each band has in common with rings of height 1, their energy, and their noise.

    planes (9, n_tiles, n_sectors, n_bands): real and imaginary parts of values, of noise, and of
    the mirrored wave; a phase to take from those of rings; the precisions of real and imaginary
    parts. off (n_tiles, n_sectors + 1): defocus from that of the values, the last one a phase; rate
    (n_bands,); all float32. out (4, n_bands), float64: along, energy, and what rings have in common
    with noise, and with i times it.
    """
    _, tiles, sectors, bands = planes.shape
    sums = np.zeros((4, bands), np.float32)
    for t in range(tiles):
        for s in range(sectors):
            d, p = off[t, s], off[t, sectors]
            for b in range(bands):
                x, y = _cos_sin(d * rate[b] + p - planes[6, t, s, b])
                u, v = planes[4, t, s, b], planes[5, t, s, b]
                rx = np.float32(-0.5) * (x + u * x + v * y)
                ry = np.float32(-0.5) * (y + v * x - u * y)
                wx, wy = planes[7, t, s, b] * rx, planes[8, t, s, b] * ry
                n, m = planes[2, t, s, b], planes[3, t, s, b]
                sums[0, b] += wx * planes[0, t, s, b] + wy * planes[1, t, s, b]
                sums[1, b] += wx * rx + wy * ry
                sums[2, b] += n * wx + m * wy
                sums[3, b] += n * wy - m * wx
        if t % 32 == 31 or t == tiles - 1:
            out += sums
            sums[:] = 0.0


@_compiled
def change_sums(planes, off, rate, model, slopes, out):  # type: ignore[no-untyped-def]
    """What tiles have in common with a change of the phase of their rings.

    As `band_sums`; model (3, n_bands): height of rings, and what is added to the noise, real and
    imaginary; slopes (n_tiles, 3).
    out: (5, n_tiles, n_sectors), sums over bands of the pull times rate and 1, and of the stiffness
    times rate squared, rate, and 1; (3, n_sectors + 3, n_bands), what the change has in
    common with rings of height 1, with noise and with i times it, of sectors and of the slopes.
    """
    _, tiles, sectors, bands = planes.shape
    each, shared = out
    line = np.empty((3, bands), np.float32)
    for t in range(tiles):
        line[:] = 0.0
        for s in range(sectors):
            d, p = off[t, s], off[t, sectors]
            a0 = a1 = b0 = b1 = b2 = np.float32(0.0)
            for b in range(bands):
                x, y = _cos_sin(d * rate[b] + p - planes[6, t, s, b])
                u, v = planes[4, t, s, b], planes[5, t, s, b]
                ox, oy = u * x + v * y, v * x - u * y
                h = np.float32(-0.5) * model[0, b]
                # Rings, and their change: i times the difference of both waves.
                rx, ry = np.float32(-0.5) * (x + ox), np.float32(-0.5) * (y + oy)
                mx, my = -h * (y - oy), h * (x - ox)
                n, m = planes[2, t, s, b], planes[3, t, s, b]
                ex, ey = model[1, b], model[2, b]
                lx = planes[0, t, s, b] - model[0, b] * rx - (n * ex - m * ey)
                ly = planes[1, t, s, b] - model[0, b] * ry - (n * ey + m * ex)
                sx, sy = planes[7, t, s, b] * mx, planes[8, t, s, b] * my
                pull, stiff = sx * lx + sy * ly, sx * mx + sy * my
                r = rate[b]
                a0 += pull * r
                a1 += pull
                b0 += stiff * r * r
                b1 += stiff * r
                b2 += stiff
                c0, c1, c2 = sx * rx + sy * ry, n * sx + m * sy, n * sy - m * sx
                shared[0, s, b] += c0
                shared[1, s, b] += c1
                shared[2, s, b] += c2
                line[0, b] += c0
                line[1, b] += c1
                line[2, b] += c2
            each[0, t, s], each[1, t, s] = a0, a1
            each[2, t, s], each[3, t, s], each[4, t, s] = b0, b1, b2
        for k in range(3):
            for q in range(slopes.shape[1]):
                for b in range(bands):
                    shared[k, sectors + q, b] += slopes[t, q] * line[k, b]
