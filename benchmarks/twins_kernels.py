"""Compiled loops that paint a specimen. Parts of its grid are (y, z, x), corners x, y, z [Å]."""

from __future__ import annotations

import math

import numba
import numpy as np

#: Half the edge of the box of a molecule [voxels].
HALF = 16
#: Orientations of each kind of molecule that there are.
ORIENTATIONS = 24


@numba.njit(cache=True, nogil=True)
def keep_apart(taken, chance, tries, radius):  # type: ignore[no-untyped-def]
    """Which of the tried places, fractions of the slab, get a ball that touches no other."""
    nz, ny, nx = taken.shape
    kept = np.zeros(len(tries), np.bool_)
    for t in range(len(tries)):
        x, y, z = tries[t, 0] * (nx - 1), tries[t, 1] * (ny - 1), tries[t, 2] * (nz - 1)
        if tries[t, 3] > chance[int(z) // 10, int(y) // 10, int(x) // 10]:
            continue
        kept[t] = _ball(taken, x, y, z, radius, False)
        if kept[t]:
            _ball(taken, x, y, z, radius, True)
    return kept


@numba.njit(cache=True, nogil=True)
def _ball(taken, x, y, z, radius, take):  # type: ignore[no-untyped-def]
    """Whether all cells of a ball are free; take them."""
    nz, ny, nx = taken.shape
    reach = math.ceil(radius)
    for k in range(max(0, int(z) - reach), min(nz, int(z) + reach + 2)):
        for j in range(max(0, int(y) - reach), min(ny, int(y) + reach + 2)):
            for i in range(max(0, int(x) - reach), min(nx, int(x) + reach + 2)):
                if (k - z) ** 2 + (j - y) ** 2 + (i - x) ** 2 > radius * radius:
                    continue
                if taken[k, j, i] and not take:
                    return False
                if take:
                    taken[k, j, i] = 1
    return True


@numba.njit(cache=True, nogil=True)
def paint(part, start, cells, what, templates, sizes):  # type: ignore[no-untyped-def]
    """Add molecules to a part of the grid, (y, z, x)."""
    ny, nz, nx = part.shape
    for m in range(len(cells)):
        half = sizes[what[m] // ORIENTATIONS]
        x, y, z = cells[m, 0], cells[m, 1] - start, cells[m, 2]
        box = templates[what[m]]
        for j in range(max(0, y - half), min(ny, y + half + 1)):
            for k in range(max(0, z - half), min(nz, z + half + 1)):
                for i in range(max(0, x - half), min(nx, x + half + 1)):
                    part[j, k, i] += box[k - z + HALF, j - y + HALF, i - x + HALF]


@numba.njit(cache=True, nogil=True)
def paint_sheet(part, corner, pitch, sheet):  # type: ignore[no-untyped-def]
    """Add a membrane of two leaflets, 36 Å apart, flat or round, to a part of the grid."""
    ny, nz, nx = part.shape
    cx, cy, cz, radius, ux, uy, uz, reach, waves, phase = sheet
    thick = 50.0 + waves
    for j in range(ny):
        y = corner[1] + j * pitch - cy
        if radius > 0 and abs(y) > radius + thick:
            continue
        for i in range(nx):
            x = corner[0] + i * pitch - cx
            flat = x * x + y * y
            if radius > 0:
                if flat > (radius + thick) ** 2:
                    continue
                wave = waves * math.sin(3 * math.atan2(y, x) + phase)
                top = math.sqrt((radius + thick) ** 2 - flat)
                bottom = -top
            else:
                wave = waves * math.sin(x / 400 + phase) * math.sin(y / 530 + 2 * phase)
                across = x * ux + y * uy
                if uz < 0.02:
                    if abs(across) > thick:
                        continue
                    top, bottom = 1e6, -1e6
                else:
                    top, bottom = (thick - across) / uz, (-thick - across) / uz
            low = max(0, math.floor((bottom + cz - corner[2]) / pitch))
            high = min(nz, math.ceil((top + cz - corner[2]) / pitch) + 1)
            for k in range(low, high):
                z = corner[2] + k * pitch - cz
                if radius > 0:
                    far = math.sqrt(flat + z * z) - radius - wave
                else:
                    far = x * ux + y * uy + z * uz
                    if flat + z * z - far * far > reach * reach:
                        continue
                    far -= wave
                if abs(far) < 48:
                    a, b = (far - 18) / 8.5, (far + 18) / 8.5
                    part[j, k, i] += 0.5 * (math.exp(-a * a / 2) + math.exp(-b * b / 2))


@numba.njit(cache=True, nogil=True)
def fill(part, z0, pitch, lower, upper):  # type: ignore[no-untyped-def]
    """Put ice where the slab is, and cut off what is beyond its faces."""
    ny, nz, nx = part.shape
    for j in range(ny):
        for k in range(nz):
            z = z0 + k * pitch
            for i in range(nx):
                # Edges as soft as the grid carries.
                inside = min((upper[j, i] - z), (z - lower[j, i])) / (3 * pitch) + 0.5
                inside = min(max(inside, 0.0), 1.0)
                inside = inside * inside * (3 - 2 * inside)
                part[j, k, i] = inside * (1 + part[j, k, i])


@numba.njit(cache=True, nogil=True)
def paint_crystal(part, corner, pitch, crystal):  # type: ignore[no-untyped-def]
    """Put a crystal where no ice is yet."""
    ny, nz, nx = part.shape
    cx, cy, cz, ax, ay, az, dense = crystal
    low = [0, 0, 0]
    high = [0, 0, 0]
    for n in range(3):
        size = (nx, ny, nz)[n]
        low[n] = max(0, int((crystal[n] - 1.3 * crystal[3 + n] - corner[n]) / pitch))
        high[n] = min(size, int((crystal[n] + 1.3 * crystal[3 + n] - corner[n]) / pitch) + 1)
    for j in range(low[1], high[1]):
        for k in range(low[2], high[2]):
            for i in range(low[0], high[0]):
                x = (corner[0] + i * pitch - cx) / ax
                y = (corner[1] + j * pitch - cy) / ay
                z = (corner[2] + k * pitch - cz) / az
                ragged = 1 + 0.12 * math.sin(5 * x + 3 * z) * math.cos(4 * y - 2 * x)
                edge = (ragged - math.sqrt(x * x + y * y + z * z)) * min(ax, ay, az) / (
                    3 * pitch
                ) + 0.5
                inside = min(max(edge, 0.0), 1.0)
                part[j, k, i] = max(part[j, k, i], dense * inside)


@numba.njit(cache=True, nogil=True)
def paint_film(part, z0, pitch, share, lower, thick):  # type: ignore[no-untyped-def]
    """Put a carbon film under the ice."""
    ny, nz, nx = part.shape
    for j in range(ny):
        for k in range(nz):
            for i in range(nx):
                z = z0 + k * pitch - lower[j, i]
                inside = min(max(min(z + thick / 2, thick / 2 - z) / (2 * pitch) + 0.5, 0.0), 1.0)
                part[j, k, i] = max(part[j, k, i], 1.5 * inside * share[j, i])
