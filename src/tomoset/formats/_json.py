"""JSON of other programs: read within limits; what is not as expected names its file and key."""

from __future__ import annotations

import json
import math
import os
from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tomoset.errors import FileFormatError, MissingFieldError
from tomoset.formats._text_tables import read_text

Array = npt.NDArray[np.float64]

#: No alignment is larger; what is, is of something else [characters].
_LARGEST = 1 << 28
#: No angle, length or count is beyond; computations with what is overflow.
_FARTHEST = 1e15


@dataclass(frozen=True)
class Node:
    """A value of a JSON file.

    Parameters
    ----------
    value : object
        As Python has it.
    path : str
        Of the file.
    at : str
        Where in the file, as ``regions[0].tilt_series``; empty for all of it.
    """

    value: Any
    path: str
    at: str = ""

    def wrong(self, expected: str) -> FileFormatError:
        """The error that something else was expected here."""
        found = json.dumps(self.value)
        found = found if len(found) <= 60 else f"{found[:57]}..."
        return FileFormatError(
            f"{self.at or 'the file'}: expected {expected}, found {found}", path=self.path
        )

    def get(self, key: str) -> Node | None:
        """The value of a key; None where it is absent or null."""
        if not isinstance(self.value, dict):
            raise self.wrong("keys and values")
        value = self.value.get(key)
        return None if value is None else Node(value, self.path, f"{self.at}.{key}".lstrip("."))

    def need(self, key: str) -> Node:
        """The value of a key; MissingFieldError where it is absent or null."""
        found = self.get(key)
        if found is None:
            where = f"{self.at} has" if self.at else "the file has"
            raise MissingFieldError(f"{where} no {key}, which is needed", path=self.path)
        return found

    def items(self) -> list[Node]:
        """The values of a list."""
        if not isinstance(self.value, list):
            raise self.wrong("a list")
        return [Node(v, self.path, f"{self.at}[{i}]") for i, v in enumerate(self.value)]

    def each(self, key: str) -> list[Node]:
        """The values of a list that may be absent."""
        found = self.get(key)
        return [] if found is None else found.items()

    def text(self) -> str:
        """A text, or a number as one."""
        if isinstance(self.value, bool) or not isinstance(self.value, str | int):
            raise self.wrong("a text")
        return str(self.value)

    def number(self) -> float:
        """A number that is finite, and within reason."""
        value = _number(self.value)
        if not abs(value) <= _FARTHEST:
            raise self.wrong("a number" if math.isnan(value) else "a number within 1e15")
        return value

    def whole(self) -> int:
        """A whole number."""
        value = self.number()
        if value != int(value) or abs(value) > 2**53:
            raise self.wrong("a whole number")
        return int(value)

    def numbers(self, *shapes: tuple[int, ...], finite: bool = True) -> Array:
        """Numbers in nested lists of one of some shapes (-1: of any length).

        Parameters
        ----------
        *shapes : tuple of int
            Those that can be.
        finite : bool
            Whether NaN, Infinity and numbers beyond reason are refused.
        """
        found = self._array()
        if not any(_fits(found.shape, shape) for shape in shapes):
            sizes = " or ".join(_shape_text(shape) for shape in shapes)
            there = _shape_text(found.shape) if found.size else "none"
            raise FileFormatError(f"{self.at}: expected {sizes}, found {there}", path=self.path)
        wild = ~(np.abs(found) <= _FARTHEST)
        if finite and wild.any():
            at = tuple(np.argwhere(wild)[0].tolist())
            place = "".join(f"[{i}]" for i in at)
            raise FileFormatError(
                f"{self.at}{place}: expected a number within 1e15, found {found[at]:g}",
                path=self.path,
            )
        return found

    def _array(self) -> Array:
        try:
            found = np.array(self.value)
        except ValueError:
            raise self.wrong("lists of one length") from None
        if found.dtype.kind in "if":
            return found.astype(np.float64)
        if not isinstance(self.value, list):
            return np.array(self.number())
        return np.array([node._array() for node in self.items()])


def _number(value: object) -> float:
    """A number as a float; NaN for all else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return math.nan
    try:
        return float(value)
    except OverflowError:
        return math.inf


def _fits(found: tuple[int, ...], shape: tuple[int, ...]) -> bool:
    return len(found) == len(shape) and all(
        wanted in (-1, there) for there, wanted in zip(found, shape, strict=True)
    )


def _shape_text(shape: tuple[int, ...]) -> str:
    sides = " x ".join("n" if side == -1 else str(side) for side in shape)
    return f"{sides} numbers" if shape else "a number"


def read_json(path: str | os.PathLike[str]) -> Node:
    """A JSON file; NaN and Infinity, which programs in Python write, are read.

    Raises
    ------
    MissingFileError, FileAccessError
        If it is not there, or may not be read.
    FileFormatError
        With the line, if it is not JSON; if a key comes twice, or the file is too large.
    """
    name = os.fspath(path)
    text = read_text(name, _LARGEST + 1)
    if len(text) > _LARGEST:
        raise FileFormatError(f"larger than {_LARGEST >> 20} MiB: no alignment is", path=path)

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            count = Counter(key for key, _ in pairs)
            twice = next(key for key in count if count[key] > 1)
            raise FileFormatError(f"the key {twice!r} comes twice", path=path)
        return found

    try:
        return Node(json.loads(text, object_pairs_hook=once), name)
    except json.JSONDecodeError as problem:
        raise FileFormatError(
            f"this is not JSON: {problem.msg} (column {problem.colno})",
            path=path,
            line=problem.lineno,
        ) from None
    except FileFormatError:
        raise
    except (RecursionError, ValueError) as problem:
        raise FileFormatError(f"this is not JSON that can be read: {problem}", path=path) from None


def json_bytes(value: object) -> bytes:
    """A JSON file: sorted keys, a value a line."""
    return json.dumps(value, indent=1, sort_keys=True, allow_nan=False).encode() + b"\n"


def mentions(head: bytes, *keys: str) -> bool:
    """Whether a file begins as JSON does, and has one of some keys in its beginning."""
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    return start.startswith(b"{") and any(f'"{key}"'.encode() in start for key in keys)
