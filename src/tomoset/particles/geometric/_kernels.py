"""Compiled forms of putting images into a map's transform, and of turning such a transform.

`sums.insert_slowly` and `geometric_search.rotated_directly` are the slow ones.
"""

from __future__ import annotations

import numpy as np

from tomoset.particles._kernels import _between, _compiled

_HALF, _ONE, _THREE_QUARTERS = np.float32(0.5), np.float32(1), np.float32(0.75)


@_compiled
def insert(products, weights, linear, groups, reach, grids):  # type: ignore[no-untyped-def]
    """Add every value of every image where `_kernels.slices` would read it, by its weights.

    `products` (n, box, box // 2 + 1) goes to the first of the grids (groups, z, y, x, 2), the
    square of what `weights` are to the second (groups, z, y, x): z and y from
    -(size // 2), x from -1.
    `reach` is (radius, padded): frequencies beyond the radius are left out.
    """
    numerator, power = grids
    number, box, _ = products.shape
    radius, scale = reach[0], reach[1] / box
    middle = np.float32(numerator.shape[1] // 2)
    across = np.empty((3, 3), np.float32)
    corner = np.empty(3, np.int64)
    for i in range(number):
        group = groups[i]
        matrix = (linear[i] * scale).astype(np.float32)
        for row in range(box):
            ky = row if 2 * row < box else row - box
            inside = radius * radius - ky * ky
            count = 0 if inside < 0 else int(np.sqrt(inside)) + 1
            for kx in range(count):
                weight = weights[i, row, kx]
                square = weight.real * weight.real + weight.imag * weight.imag
                if square == 0:
                    continue
                value = products[i, row, kx]
                real, imaginary = value.real, value.imag
                if kx == 0:  # both k and -k are in the image's half: each counts half
                    real, imaginary, square = _HALF * real, _HALF * imaginary, _HALF * square
                x = matrix[0, 0] * np.float32(kx) + matrix[1, 0] * np.float32(ky)
                y = matrix[0, 1] * np.float32(kx) + matrix[1, 1] * np.float32(ky)
                z = matrix[0, 2] * np.float32(kx) + matrix[1, 2] * np.float32(ky)
                if x < 0:
                    x, y, z, imaginary = -x, -y, -z, -imaginary
                for axis in range(3):
                    at = x + _ONE if axis == 0 else (y + middle if axis == 1 else z + middle)
                    near = int(at + _HALF)
                    off = at - np.float32(near)
                    corner[axis] = near - 1
                    across[axis, 0] = _HALF * (_HALF - off) * (_HALF - off)
                    across[axis, 1] = _THREE_QUARTERS - off * off
                    across[axis, 2] = _HALF * (_HALF + off) * (_HALF + off)
                for dz in range(3):
                    for dy in range(3):
                        line = across[2, dz] * across[1, dy]
                        for dx in range(3):
                            part = line * across[0, dx]
                            c, b, a = corner[2] + dz, corner[1] + dy, corner[0] + dx
                            numerator[group, c, b, a, 0] += part * real
                            numerator[group, c, b, a, 1] += part * imaginary
                            power[group, c, b, a] += part * square


@_compiled
def rotated(transform, matrices, points, scale, out):  # type: ignore[no-untyped-def]
    """out[i, j] = the map's transform at matrices[i].T points[j], by quadratic splines.

    `transform` is as for `_kernels.slices`; `scale` is how many of its samples a step of the
    points is. The matrices may mirror.
    """
    number, many = out.shape
    middle = np.float32(transform.shape[0] // 2)
    limit = middle - np.float32(2)
    flat, line = transform.reshape(transform.size), 2 * transform.shape[2]
    plane = line * transform.shape[1]
    for i in range(number):
        matrix = (matrices[i] * scale).astype(np.float32)
        for j in range(many):
            px, py, pz = points[j, 0], points[j, 1], points[j, 2]
            x = matrix[0, 0] * px + matrix[1, 0] * py + matrix[2, 0] * pz
            y = matrix[0, 1] * px + matrix[1, 1] * py + matrix[2, 1] * pz
            z = matrix[0, 2] * px + matrix[1, 2] * py + matrix[2, 2] * pz
            if x * x + y * y + z * z > limit * limit:
                out[i, j] = 0
                continue
            sign = _ONE
            if x < 0:
                x, y, z, sign = -x, -y, -z, -_ONE
            real, imaginary = _between(flat, line, plane, x + _ONE, y + middle, z + middle)
            out[i, j] = complex(real, sign * imaginary)
