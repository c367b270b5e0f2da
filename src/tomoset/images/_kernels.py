"""Compiled forms of the projectors and of the exact filter; `reference` has the slow ones.

Images come as one flat array, each with a border of zeros (one pixel before, two behind), so that
a point outside an image is clamped to the border and reads nothing: no branch is left in the
innermost loop. That loop runs over the tilt images, not over voxels: a sum without stores, which
the compiler turns into gathers of a whole vector of images at a time.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, prange

#: Columns of voxels that a thread sees through from the first slice to the last: what they read
#: of all the images stays in its cache.
_ROWS, _COLUMNS = 4, 64
_ZERO = np.float32(0)

_compiled: Any = njit(
    parallel=True, fastmath=True, error_model="numpy", boundscheck=False, cache=True
)


@_compiled
def back_project(images, width, height, levels, matrices, out):  # type: ignore[no-untyped-def]
    """out[z, y, x] = the sum over images of what they show where the voxel is projected."""
    depth, rows, columns = out.shape
    n = matrices.shape[0]
    across = (columns + _COLUMNS - 1) // _COLUMNS
    u_max, v_max = np.float32(width - 2), np.float32(height - 2)
    level_max = np.float32(levels - 0.5)
    stride, size = np.uint32(width), np.uint32(width * height)
    for task in prange((rows + _ROWS - 1) // _ROWS * across):
        low_y, low_x = task // across * _ROWS, task % across * _COLUMNS
        start = np.empty((3, n), np.float32)
        step = matrices[:, :, 0].T.astype(np.float32)
        for line in range(depth * _ROWS):
            z, y = line // _ROWS, low_y + line % _ROWS
            if y >= rows:
                continue
            for i in range(n):
                for row in range(3):
                    m = matrices[i, row]
                    start[row, i] = m[1] * y + m[2] * z + m[3]
            for x in range(low_x, min(low_x + _COLUMNS, columns)):
                along = np.float32(x)
                total = _ZERO
                for i in range(n):
                    u = min(max(start[0, i] + step[0, i] * along, _ZERO), u_max)
                    v = min(max(start[1, i] + step[1, i] * along, _ZERO), v_max)
                    at = min(max(start[2, i] + step[2, i] * along, _ZERO), level_max)
                    left, below = np.uint32(u), np.uint32(v)
                    right, up = u - np.float32(left), v - np.float32(below)
                    image = np.uint32(i) * np.uint32(levels) + np.uint32(at)
                    p = np.uint32(image * size + below * stride + left)
                    q = np.uint32(p + stride)
                    a, b = images[p], images[np.uint32(p + np.uint32(1))]
                    c, d = images[q], images[np.uint32(q + np.uint32(1))]
                    low, high = a + right * (b - a), c + right * (d - c)
                    total += low + up * (high - low)
                out[z, y, x] = total


@_compiled
def project(volume, matrices, width, height, images):  # type: ignore[no-untyped-def]
    """The adjoint of `back_project` with one level: every voxel adds to four pixels."""
    depth, rows, columns = volume.shape
    u_max, v_max = np.float32(width - 2), np.float32(height - 2)
    stride, size = np.uint32(width), width * height
    for i in prange(matrices.shape[0]):
        image = images[i * size : (i + 1) * size]
        m = matrices[i]
        step_u, step_v = np.float32(m[0, 0]), np.float32(m[1, 0])
        for z in range(depth):
            for y in range(rows):
                start_u = np.float32(m[0, 1] * y + m[0, 2] * z + m[0, 3])
                start_v = np.float32(m[1, 1] * y + m[1, 2] * z + m[1, 3])
                for x in range(columns):
                    along, value = np.float32(x), volume[z, y, x]
                    u = min(max(start_u + step_u * along, _ZERO), u_max)
                    v = min(max(start_v + step_v * along, _ZERO), v_max)
                    column, line = np.uint32(u), np.uint32(v)
                    right, up = u - np.float32(column), v - np.float32(line)
                    high = value * up
                    low = value - high
                    p = np.uint32(line * stride + column)
                    q = np.uint32(p + stride)
                    image[p] += low - low * right
                    image[np.uint32(p + np.uint32(1))] += low * right
                    image[q] += high - high * right
                    image[np.uint32(q + np.uint32(1))] += high * right


@_compiled
def add_overlaps(pairs, maps, powers, frequencies, reach, out):  # type: ignore[no-untyped-def]
    """out[i, y, x] = sum over j of (1 - |s| / reach) powers[j] where |s| < reach.

    s = x pairs[i, j, 0] + y pairs[i, j, 1] is how far the frequency x, y of image i is from the
    central slice of image j, where it has the frequency turns[i, j] (x, y). Only the strip of
    each row that lies within reach is visited. `frequencies` are the smallest x and y.
    """
    n, height, width = out.shape
    d_x, d_y = frequencies
    rows = powers.shape[1]
    for i in prange(n):
        for j in range(n):
            along, across = pairs[i, j, 0], pairs[i, j, 1]
            a, b, c, d = maps[i, j, 0, 0], maps[i, j, 0, 1], maps[i, j, 1, 0], maps[i, j, 1, 1]
            for row in range(height):
                y = d_y * (row if 2 * row <= height else row - height)
                first, last = 0, width
                if abs(along) * d_x * width > 1e-6 * reach:
                    middle, half = -y * across / (along * d_x), reach / (abs(along) * d_x)
                    first = int(max(0.0, min(middle - half, float(width))))
                    last = int(max(0.0, min(middle + half + 2, float(width))))
                elif abs(y * across) >= reach:
                    continue
                for column in range(first, last):
                    x = column * d_x
                    near = 1.0 - abs(x * along + y * across) / reach
                    if near <= 0.0:
                        continue
                    if rows == 1:  # the same for all frequencies
                        out[i, row, column] += near * powers[j, 0, 0]
                        continue
                    u, v = (a * x + b * y) / d_x, (c * x + d * y) / d_y
                    if u < 0.0:  # the other half plane is the same, turned by 180°
                        u, v = -u, -v
                    at_u, at_v = int(u + 0.5), int(np.floor(v + 0.5))
                    if at_u < width and abs(at_v) <= height // 2:
                        out[i, row, column] += near * powers[j, at_v % height, at_u]


@_compiled
def resample(images, displacements, out):  # type: ignore[no-untyped-def]
    """out[i, y, x] = what image i shows at (x, y) + displacements[i, :, y, x]."""
    n, height, width = images.shape
    for task in prange(n * height):
        i, line = task // height, task % height
        for column in range(width):
            x = column + displacements[i, 0, line, column]
            y = line + displacements[i, 1, line, column]
            left, low = int(np.floor(x)), int(np.floor(y))
            right, up = x - left, y - low
            total = _ZERO
            if 0 <= low < height:
                if 0 <= left < width:
                    total += (1 - right) * (1 - up) * images[i, low, left]
                if 0 <= left + 1 < width:
                    total += right * (1 - up) * images[i, low, left + 1]
            if 0 <= low + 1 < height:
                if 0 <= left < width:
                    total += (1 - right) * up * images[i, low + 1, left]
                if 0 <= left + 1 < width:
                    total += right * up * images[i, low + 1, left + 1]
            out[i, line, column] = total


@_compiled
def spread(images, displacements, out):  # type: ignore[no-untyped-def]
    """The adjoint of `resample`: every pixel adds to four."""
    n, height, width = images.shape
    for i in prange(n):
        for line in range(height):
            for column in range(width):
                x = column + displacements[i, 0, line, column]
                y = line + displacements[i, 1, line, column]
                left, low = int(np.floor(x)), int(np.floor(y))
                right, up, value = x - left, y - low, images[i, line, column]
                if 0 <= low < height:
                    if 0 <= left < width:
                        out[i, low, left] += (1 - right) * (1 - up) * value
                    if 0 <= left + 1 < width:
                        out[i, low, left + 1] += right * (1 - up) * value
                if 0 <= low + 1 < height:
                    if 0 <= left < width:
                        out[i, low + 1, left] += (1 - right) * up * value
                    if 0 <= left + 1 < width:
                        out[i, low + 1, left + 1] += right * up * value


@njit(cache=True, nogil=True)
def cut(image, corners, out):  # type: ignore[no-untyped-def]
    """out[i] = the box of the image whose first pixel is corners[i], x and y; 0 outside of it."""
    number, box, _ = out.shape
    height, width = image.shape
    for i in range(number):
        x, y = corners[i, 0], corners[i, 1]
        for row in range(box):
            for column in range(box):
                inside = 0 <= y + row < height and 0 <= x + column < width
                out[i, row, column] = image[y + row, x + column] if inside else _ZERO
