"""Points in JSON files, as copick and the CryoET Data Portal have them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tomoset.errors import FileFormatError
from tomoset.formats._picks import Array, usable
from tomoset.formats._text_tables import read_text


def read_json(path: str) -> Any:
    """A JSON file; FileFormatError with the line that is none."""
    text = read_text(path)
    try:
        return json.loads(text)
    except json.JSONDecodeError as problem:
        raise FileFormatError(f"no JSON: {problem.msg}", path=path, line=problem.lineno) from None
    except RecursionError:
        raise FileFormatError("no JSON of points: too deep", path=path) from None


def read_json_lines(path: str) -> list[Any]:
    """A JSON value a line; FileFormatError as above."""
    lines = [line for line in read_text(path).splitlines() if line.strip()]
    try:
        return list(json.loads(f"[{','.join(lines)}]"))
    except (json.JSONDecodeError, RecursionError):
        pass
    for number, line in enumerate(read_text(path).splitlines(), 1):
        try:
            json.loads(line or "0")
        except (json.JSONDecodeError, RecursionError):
            found = line.strip()[:40]
            raise FileFormatError(
                f"expected a point in JSON, found {found!r}", path=path, line=number
            ) from None
    raise FileFormatError("expected a point in JSON in each line", path=path)


def locations(points: Sequence[Any], path: str) -> Array:
    """x, y, z of the `location` of each point: (n, 3) array."""
    return numbers([_xyz(point) for point in points], (3,), path, "location with x, y and z")


def _xyz(point: Any) -> Any:
    place = point.get("location") if isinstance(point, dict) else None
    return [place.get(axis) for axis in "xyz"] if isinstance(place, dict) else None


def numbers(values: list[Any], shape: tuple[int, ...], path: str, what: str) -> Array:
    """Nested lists of numbers as an array (n, *shape); else FileFormatError."""
    try:
        array = np.array(values, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        array = np.empty(0)
    if array.shape == (len(values), *shape):
        return usable(array, path, what)
    for row, value in enumerate(values):
        try:
            fine = np.array(value, dtype=np.float64).shape == shape
        except (TypeError, ValueError, OverflowError):
            fine = False
        if not fine:
            raise FileFormatError(f"point {row + 1}: expected a {what}", path=path)
    raise FileFormatError(f"expected points, each with a {what}", path=path)


def proper(rotations: Array, path: str) -> Array:
    """The same matrices; FileFormatError if one is no rotation."""
    square = rotations @ rotations.transpose(0, 2, 1) - np.eye(3)
    bad = ~(np.abs(square).max(axis=(1, 2)) < 1e-3) | ~(np.linalg.det(rotations) > 0)
    if bad.any():
        row = int(np.argmax(bad))
        raise FileFormatError(
            f"point {row + 1} (of {int(bad.sum())} such): the matrix is no rotation", path=path
        )
    return rotations


def run_of(path: str, marks: tuple[str, ...]) -> str:
    """The run that a file is of: the folder above one that begins with a mark, or else its stem."""
    parts = Path(path).absolute().parts
    for i in range(len(parts) - 1, 0, -1):
        if parts[i].startswith(marks):
            return parts[i - 1]
    return Path(path).stem
