"""Compiled forms of what is done to every particle in every tilt image.

`slices.directly`, `images.ctf.Ctf` and `correlations.matched` are the slow ones. They let go of the
interpreter, and work on many particles of one image: threads share out the images.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

_HALF, _ONE, _TWO, _FOUR = np.float32(0.5), np.float32(1), np.float32(2), np.float32(4)
_THREE_QUARTERS, _ZERO = np.float32(0.75), np.float32(0)

#: sin(2 pi r) = r (1 - 4 r²) p(r²) for |r| <= 1/2, with p by least squares: exact to 3e-7.
_S0, _S1, _S2 = np.float32(6.28318378), np.float32(-16.2086542), np.float32(16.7595084)
_S3, _S4 = np.float32(-9.51590712), np.float32(3.01841558)

_compiled: Any = njit(nogil=True, fastmath=True, error_model="numpy", boundscheck=False, cache=True)


@_compiled
def _between(flat, line, plane, x, y, z):  # type: ignore[no-untyped-def]
    """A quadratic spline through samples, at a place counted in them: real and imaginary part.

    `line` and `plane` are the steps of the flat array along y and z. Unsigned indices need no
    look whether they count from the end, and six sums go along together.
    """
    at_x, at_y, at_z = int(x + _HALF), int(y + _HALF), int(z + _HALF)
    x, y, z = x - np.float32(at_x), y - np.float32(at_y), z - np.float32(at_z)
    below, above = _HALF * (_HALF - y) * (_HALF - y), _HALF * (_HALF + y) * (_HALF + y)
    far, near = _HALF * (_HALF - z) * (_HALF - z), _HALF * (_HALF + z) * (_HALF + z)
    level, middle = _THREE_QUARTERS - y * y, _THREE_QUARTERS - z * z
    a, b, c, d, e, f = _ZERO, _ZERO, _ZERO, _ZERO, _ZERO, _ZERO
    first = (at_z - 1) * plane + (at_y - 1) * line + 2 * (at_x - 1)
    for k in range(3):
        weight_z = far if k == 0 else (middle if k == 1 else near)
        for j in range(3):
            weight = weight_z * (below if j == 0 else (level if j == 1 else above))
            i = np.uintp(first + k * plane + j * line)
            a += weight * flat[i]
            b += weight * flat[i + np.uintp(1)]
            c += weight * flat[i + np.uintp(2)]
            d += weight * flat[i + np.uintp(3)]
            e += weight * flat[i + np.uintp(4)]
            f += weight * flat[i + np.uintp(5)]
    left, right = _HALF * (_HALF - x) * (_HALF - x), _HALF * (_HALF + x) * (_HALF + x)
    centre = _THREE_QUARTERS - x * x
    return left * a + centre * c + right * e, left * b + centre * d + right * f


@_compiled
def slices(transform, linear, padded, radius, out):  # type: ignore[no-untyped-def]
    """out[i, row, kx] = the map's transform at linear[i].T (kx, ky), by quadratic splines.

    `transform` is (z, y, x, 2), real and imaginary: z and y from -(padded // 2 + 2), x from -1.
    Frequencies are in steps of the box, those beyond `radius` are 0.
    """
    number, box, width = out.shape
    middle = np.float32(transform.shape[0] // 2)
    limit = np.float32(padded * padded / 4)
    flat, line = transform.reshape(transform.size), 2 * transform.shape[2]
    plane = line * transform.shape[1]
    for i in range(number):
        matrix = (linear[i] * (padded / box)).astype(np.float32)
        xx, yx, zx = matrix[0, 0], matrix[0, 1], matrix[0, 2]
        xy, yy, zy = matrix[1, 0], matrix[1, 1], matrix[1, 2]
        for row in range(box):
            ky = row if 2 * row < box else row - box
            inside = radius * radius - ky * ky
            count = 0 if inside < 0 else int(np.sqrt(inside)) + 1
            v = np.float32(ky)
            for kx in range(count):
                u = np.float32(kx)
                x, y, z = xx * u + xy * v, yx * u + yy * v, zx * u + zy * v
                if x * x + y * y + z * z > limit:
                    out[i, row, kx] = 0
                    continue
                sign = _ONE
                if x < _ZERO:  # a real map: the other half is the conjugate
                    x, y, z, sign = -x, -y, -z, -_ONE
                real, imaginary = _between(flat, line, plane, x + _ONE, y + middle, z + middle)
                out[i, row, kx] = complex(real, sign * imaginary)
            for kx in range(count, width):
                out[i, row, kx] = 0


@_compiled
def image_slices(slices, cycles, squares, changes, weight):  # type: ignore[no-untyped-def]
    """Multiply slices, in place, by sin(2 pi (cycles - changes[i] squares)) weight.

    `cycles` is the phase of the CTF at no depth in cycles, and `squares` how many cycles a
    change of defocus by 1 takes from it; minus the CTF is the sine.
    """
    number, height, width = slices.shape
    for i in range(number):
        change = np.float32(changes[i])
        for row in range(height):
            for column in range(width):
                cycle = cycles[row, column] - change * squares[row, column]
                cycle -= np.floor(cycle + _HALF)
                square = cycle * cycle
                sine = _S3 + square * _S4
                sine = _S2 + square * sine
                sine = _S1 + square * sine
                sine = _S0 + square * sine
                sine *= cycle * (_ONE - _FOUR * square)
                slices[i, row, column] *= sine * weight[row, column]


@_compiled
def match(seen, predicted, offsets, out, energy, information):  # type: ignore[no-untyped-def]
    """The transforms of correlations, and how sharp they would be without noise.

    out[i] = seen[i] conj(predicted[i]) exp(2 pi i k offsets[i] / box), in the middle of a finer
    grid if `out` is larger. energy[i] = the sum of squares of the predicted image;
    information[i] = its slopes squared: xx, xy, yy.
    """
    number, box, width = seen.shape
    larger = out.shape[1] - box
    unit = 2 * np.pi / box
    waves_x, waves_y = np.empty((2, width), np.float32), np.empty((2, box), np.float32)
    for i in range(number):
        for kx in range(width):
            angle = unit * kx * offsets[i, 0]
            waves_x[0, kx], waves_x[1, kx] = np.cos(angle), np.sin(angle)
        for row in range(box):
            angle = unit * (row if 2 * row < box else row - box) * offsets[i, 1]
            waves_y[0, row], waves_y[1, row] = np.cos(angle), np.sin(angle)
        sums = np.zeros(4)
        for row in range(box):
            ky = row if 2 * row < box else row - box
            target = row if 2 * row < box else row + larger
            sum_0, sum_1, sum_2 = _ZERO, _ZERO, _ZERO
            wave_y = complex(waves_y[0, row], waves_y[1, row])
            for kx in range(width):
                p = predicted[i, row, kx]
                power = p.real * p.real + p.imag * p.imag
                power *= _ONE if kx == 0 else _TWO
                x = np.float32(kx)
                sum_0 += power
                sum_1 += power * x
                sum_2 += power * x * x
                wave = wave_y * complex(waves_x[0, kx], waves_x[1, kx])
                out[i, target, kx] = seen[i, row, kx] * np.conj(p) * wave
            sums[0] += sum_0
            sums[1] += sum_2
            sums[2] += sum_1 * ky
            sums[3] += sum_0 * ky * ky
        scale = 1.0 / (box * box)
        energy[i] = sums[0] * scale
        information[i, 0] = sums[1] * scale * unit * unit
        information[i, 1] = sums[2] * scale * unit * unit
        information[i, 2] = sums[3] * scale * unit * unit
