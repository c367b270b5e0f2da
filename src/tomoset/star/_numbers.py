"""Text <-> numbers, for whole columns. What is no number is an error that knows its row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

_EXACT = 2**53  # beyond it a double no longer holds every integer


class CellError(ValueError):
    """A cell that is not what was asked for: its row, and what was expected."""

    def __init__(self, row: int, expected: str) -> None:
        super().__init__(f"row {row}: expected {expected}")
        self.row = row
        self.expected = expected


def to_floats(values: Sequence[str]) -> NDArray[np.float64]:
    """Turn a column of text into doubles."""
    if _as_in_a_file(values):
        try:
            return np.array(values, dtype=np.float64)
        except ValueError:
            pass
    return np.array([_float(text, row) for row, text in enumerate(values)], dtype=np.float64)


def to_ints(values: Sequence[str]) -> NDArray[np.int64]:
    """Turn a column of text into integers; ``12.000`` is one, ``12.5`` is not."""
    if _as_in_a_file(values):
        try:
            return np.array(values, dtype=np.int64)
        except (ValueError, OverflowError):
            pass
    return np.array([_int(text, row) for row, text in enumerate(values)], dtype=np.int64)


def to_vectors(values: Sequence[str], length: int | None) -> NDArray[np.float64]:
    """Turn a column of ``[a,b,c]`` into the rows of an array."""
    if not values:
        return np.empty((0, length or 0))
    size = _vector_size(values[0]) if length is None else length
    bodies = [text[1:-1] for text in values if text[:1] == "[" and text[-1:] == "]"]
    if size > 0 and len(bodies) == len(values) and {b.count(",") for b in bodies} == {size - 1}:
        try:
            return to_floats(",".join(bodies).split(",")).reshape(-1, size)
        except CellError:
            pass
    return np.array([_vector(text, row, size) for row, text in enumerate(values)])


def _as_in_a_file(values: Sequence[str]) -> bool:
    # Python reads 1_2 as 12, and the digits of every script; a file means neither.
    text = "".join(values)
    return "_" not in text and text.isascii()


def _float(text: str, row: int) -> float:
    try:
        if "_" not in text and text.isascii():
            return float(text)
    except ValueError:
        pass
    raise CellError(row, "a number")


def _int(text: str, row: int) -> int:
    expected = CellError(row, "an integer")
    if "_" in text or not text.isascii():
        raise expected
    whole, _, fraction = text.partition(".")
    try:
        number = int(text if fraction.strip("0") else whole)
    except ValueError:
        try:
            real = float(text)
        except ValueError:
            raise expected from None
        if not (real.is_integer() and abs(real) <= _EXACT):
            raise expected from None
        number = int(real)
    if not -(2**63) <= number < 2**63:
        raise CellError(row, "an integer of at most 64 bits")
    return number


def _vector_size(text: str) -> int:
    body = text.strip()[1:-1].strip()
    return body.count(",") + 1 if body else 0


def _vector(text: str, row: int, size: int) -> list[float]:
    expected = CellError(row, f"{size} number{'s'[: size != 1]} in brackets, like [a,b,...]")
    stripped = text.strip()
    if len(stripped) < 2 or stripped[0] != "[" or stripped[-1] != "]":
        raise expected
    body = stripped[1:-1].strip()
    parts = body.split(",") if body else []
    if len(parts) != size:
        raise expected
    try:
        return [_float(part, row) for part in parts]
    except CellError:
        raise expected from None


def format_number(x: float) -> str:
    """Give the shortest text that reads back as the same number.

    Parameters
    ----------
    x : float or int
        A real number stays one (``2.0``), an integer too (``2``).

    Examples
    --------
    >>> format_number(1.35), format_number(1e-5), format_number(2.0), format_number(2)
    ('1.35', '1e-05', '2.0', '2')
    """
    if isinstance(x, (int, np.integer, np.bool_)):
        return str(int(x))
    return repr(float(x))


def format_vector(values: ArrayLike, digits: int = 12) -> str:
    """Give numbers as ``[a,b,c]``, without blanks, as RELION writes them.

    Parameters
    ----------
    values : array-like (k,)
        The numbers.
    digits : int
        How many significant digits; RELION gives 12, and 17 lose nothing.

    Examples
    --------
    >>> format_vector([1, 0, -0.5, 1 / 3])
    '[1,0,-0.5,0.333333333333]'
    """
    return format_vectors(np.asarray(values, dtype=np.float64)[np.newaxis], digits)[0]


def format_vectors(array: ArrayLike, digits: int = 12) -> list[str]:
    """Do :func:`format_vector` for every row of an array.

    Parameters
    ----------
    array : array-like (n, k)
        One vector a row.
    digits : int
        How many significant digits.

    Examples
    --------
    >>> format_vectors([[1, 2], [3, 4.5]])
    ['[1,2]', '[3,4.5]']
    """
    rows: NDArray[Any] = np.asarray(array, dtype=np.float64)
    if rows.ndim != 2:
        raise ValueError(f"expected one vector a row, an array (n, k); found shape {rows.shape}")
    template = "[" + ",".join([f"%.{digits}g"] * rows.shape[1]) + "]"
    return [template % tuple(row) for row in rows.tolist()]
