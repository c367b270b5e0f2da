"""Compiled loops over the bytes of a STAR file. Imported where needed: numba takes its time.

Every kernel lets go of the interpreter's lock, and is kept compiled on disk.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
import numpy as np
from llvmlite import ir
from numba.extending import intrinsic

_Kernel = TypeVar("_Kernel", bound=Callable[..., Any])

END, FULL, STOP, NOT_PLAIN, WRONG_WIDTH = range(5)

_POWERS = np.array([float(f"1e{i}") for i in range(23)])  # all of them exact
_EXACT = np.uint64(2**53)

_SPACE, _TAB, _NEWLINE, _RETURN = 32, 9, 10, 13
_HASH, _DOUBLE, _SINGLE = 35, 34, 39
_PLUS, _MINUS, _DOT, _ZERO = 43, 45, 46, 48
_UNDERSCORE = 95


def _compiled(function: _Kernel) -> _Kernel:
    try:
        made = numba.njit(nogil=True, cache=True)(function)
    except RuntimeError:  # no folder to keep it in, as in a read-only container
        made = numba.njit(nogil=True)(function)
    return cast(_Kernel, made)


def _emit_prefetch(_: Any, data: Any, at: Any) -> Any:
    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        address = builder.gep(array.data, [arguments[1]])
        number = ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [address.type, number, number, number])
        prefetch = builder.module.declare_intrinsic("llvm.prefetch", [address.type], kind)
        builder.call(prefetch, [address, *(ir.Constant(number, i) for i in (0, 3, 1))])
        return context.get_dummy_value()

    return numba.types.void(data, at), emit


# Values of a column lie a row apart, too far and too uneven for the processor to foresee: asking
# for them ahead makes reading numbers 2.5 times as fast.
_prefetch: Any = intrinsic(_emit_prefetch)
_AHEAD = 16


@_compiled
def _is_blank(byte: int) -> bool:
    return byte <= _SPACE and byte in (_SPACE, _NEWLINE, _TAB, _RETURN)


@_compiled
def _may_be_head(data: Any, at: int) -> bool:
    # data_ or loop_, in any case
    if at + 5 > len(data) or data[at + 4] != _UNDERSCORE:
        return False
    a, b, c, d = data[at] | 32, data[at + 1] | 32, data[at + 2] | 32, data[at + 3] | 32
    if a == 100:
        return bool(b == 97 and c == 116 and d == 97)
    return bool(a == 108 and b == 111 and c == 111 and d == 112)


@_compiled
def scan_rows(data: Any, position: int, offsets: Any, sure: bool) -> Any:
    """Note where every value of every row begins, up to something else than a row.

    Gives why it stopped and where, the rows and lines passed, and the values of a wrong row.
    Where `sure`, the first line is a row even if it begins like the head of a table.
    """
    capacity, width = offsets.shape
    end = len(data)
    row = lines = 0
    while position < end:
        if row == capacity:
            return FULL, position, row, lines, 0
        begin = position
        count = 0
        while position < end:
            byte = data[position]
            if _is_blank(byte):
                if byte == _NEWLINE:
                    break
                position += 1
                continue
            if byte in (_DOUBLE, _SINGLE):
                return NOT_PLAIN, begin, row, lines, 0
            if byte == _HASH:
                return (NOT_PLAIN if count else STOP), begin, row, lines, 0
            if count == 0 and not sure and _may_be_head(data, position):
                return STOP, begin, row, lines, 0
            if count < width:
                offsets[row, count] = position
            count += 1
            position += 1
            while position < end and not _is_blank(data[position]):
                position += 1
        if count:
            if count != width:
                return WRONG_WIDTH, begin, row, lines, count
            row += 1
            sure = False
        if position < end:
            position += 1
            lines += 1
    return END, end + 1, row, lines, 0


@_compiled
def gather(data: Any, starts: Any, out: Any) -> int:
    """Copy values into `out`, each with a newline after it, and give the size that takes.

    Nothing is written beyond the end of `out`, so an empty one asks for the size.
    """
    size = 0
    for i in range(len(starts)):
        if i + _AHEAD < len(starts):
            _prefetch(data, np.int64(starts[i + _AHEAD]))
        position: Any = np.int64(starts[i])  # unsigned and signed would make a float
        while position < len(data) and not _is_blank(data[position]):
            if size < len(out):
                out[size] = data[position]
            size += 1
            position += 1
        if size < len(out):
            out[size] = _NEWLINE
        size += 1
    return size


@_compiled
def _exponent(data: Any, at: Any) -> Any:
    end = len(data)
    negative = at < end and data[at] == _MINUS
    if at < end and (negative or data[at] == _PLUS):
        at += 1
    power = 0
    digits = 0
    while at < end and _ZERO <= data[at] <= _ZERO + 9 and digits < 9:
        power = power * 10 + (data[at] - _ZERO)
        digits += 1
        at += 1
    if digits == 0:
        return 1000, at
    return (-power if negative else power), at


@_compiled
def parse_floats(data: Any, starts: Any, out: Any, left: Any) -> None:
    """Read the numbers whose value is exact in one multiplication or division.

    That is: a mantissa below 2^53 and a power of ten up to 22, both exact as doubles. The
    others, and what is no number, are marked in `left`.
    """
    end = len(data)
    for i in range(len(starts)):
        if i + _AHEAD < len(starts):
            _prefetch(data, np.int64(starts[i + _AHEAD]))
        at: Any = np.int64(starts[i])
        negative = data[at] == _MINUS
        if negative or data[at] == _PLUS:
            at += 1
        mantissa = np.uint64(0)
        digits = exponent = 0
        seen_dot = False
        while at < end and mantissa < _EXACT:
            byte = data[at]
            if _ZERO <= byte <= _ZERO + 9:
                mantissa = mantissa * np.uint64(10) + np.uint64(byte - _ZERO)
                digits += 1
                exponent -= seen_dot
            elif byte == _DOT and not seen_dot:
                seen_dot = True
            else:
                break
            at += 1
        if at < end and digits and (data[at] | 32) == 101:
            power, at = _exponent(data, at + 1)
            exponent += power
        plain = digits > 0 and (at >= end or _is_blank(data[at]))
        if not plain or mantissa >= _EXACT or not -22 <= exponent <= 22:
            left[i] = True
            continue
        value = np.float64(mantissa)
        value = value * _POWERS[exponent] if exponent >= 0 else value / _POWERS[-exponent]
        out[i] = -value if negative else value


@_compiled
def parse_ints(data: Any, starts: Any, out: Any, left: Any) -> None:
    """Read integers of up to 18 digits, a fraction of zeros allowed; the others are `left`."""
    end = len(data)
    for i in range(len(starts)):
        if i + _AHEAD < len(starts):
            _prefetch(data, np.int64(starts[i + _AHEAD]))
        at: Any = np.int64(starts[i])
        negative = data[at] == _MINUS
        if negative or data[at] == _PLUS:
            at += 1
        value = np.int64(0)
        digits = 0
        while at < end and digits < 19 and _ZERO <= data[at] <= _ZERO + 9:
            value = value * 10 + (data[at] - _ZERO)
            digits += 1
            at += 1
        if at < end and data[at] == _DOT:
            at += 1
            while at < end and data[at] == _ZERO:
                at += 1
        if 0 < digits < 19 and (at >= end or _is_blank(data[at])):
            out[i] = -value if negative else value
        else:
            left[i] = True
