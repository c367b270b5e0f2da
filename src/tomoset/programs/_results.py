"""Typed results as JSON with arrays beside it, both ways."""

from __future__ import annotations

import math
import os
import zipfile
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from types import NoneType, UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

import numpy as np
import numpy.typing as npt

from tomoset.errors import FileFormatError
from tomoset.files import atomic_write

T = TypeVar("T")
Arrays = dict[str, npt.NDArray[Any]]

#: For ``field(metadata=BULK)``: a summary does not show this field of a result.
BULK = {"bulk": True}


def encode(value: object, arrays: Arrays | None = None, key: str = "") -> Any:
    """A value as JSON has it: numbers that are not finite are None.

    Parameters
    ----------
    value : object
        Made of dataclasses, mappings, sequences, arrays, texts, numbers and None.
    arrays : dict, optional
        Takes up the arrays, which JSON then names; without it they become lists.
    key : str
        Of the value, for those names.

    Examples
    --------
    >>> encode({"a": (1, float("nan")), "b": np.arange(2)})
    {'a': [1, None], 'b': [0, 1]}
    """

    def part(name: object, of: object) -> Any:
        return encode(of, arrays, f"{key}.{name}" if key else str(name))

    if isinstance(value, np.ndarray) and arrays is not None:
        arrays[key] = value
        return {"array": key}
    if isinstance(value, np.ndarray | np.generic):
        return encode(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if is_dataclass(value):
        return {f.name: part(f.name, getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, Mapping):
        return {str(name): part(name, of) for name, of in value.items()}
    if isinstance(value, tuple | list):
        return [part(i, of) for i, of in enumerate(value)]
    return value


def decode(kind: Any, value: Any, arrays: Mapping[str, npt.NDArray[Any]]) -> Any:
    """The value of a type that `encode` made JSON of.

    Raises
    ------
    LookupError, TypeError, ValueError
        It is of another type.

    Examples
    --------
    >>> decode(dict[str, tuple[float, ...]] | None, {"a": [1, None]}, {})
    {'a': (1.0, nan)}
    """
    origin, args = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        (one,) = (arg for arg in args if arg is not NoneType)
        return None if value is None else decode(one, value, arrays)
    if origin is np.ndarray:
        return arrays[value["array"]]
    if is_dataclass(kind):
        types = get_type_hints(kind)
        parts = {f.name: decode(types[f.name], value[f.name], arrays) for f in fields(kind)}
        return kind(**parts)  # type: ignore[operator]
    if origin is tuple:
        kinds = args[:1] * len(value) if args[1:] == (...,) else args
        return tuple(decode(k, v, arrays) for k, v in zip(kinds, value, strict=True))
    if origin in (dict, Mapping):
        return {name: decode(args[1], of, arrays) for name, of in value.items()}
    if kind is float:
        return math.nan if value is None else float(value)
    if not isinstance(value, kind):
        raise TypeError(f"expected {kind}, found {value!r}")
    return value


def layout(kind: Any) -> Any:
    """What a type is made of, ready for JSON: a record of another layout is not one of it."""
    if is_dataclass(kind):
        return {name: layout(part) for name, part in get_type_hints(kind).items()}
    return [str(kind), *map(layout, get_args(kind))]


def store(result: object, path: str) -> dict[str, Any]:
    """A result as a record keeps it; its arrays, if there are any, go to a file.

    Returns
    -------
    dict
        ``result``, and ``arrays``, the path of that file or None.
    """
    arrays: Arrays = {}
    said = encode(result, arrays)
    if arrays:
        with atomic_write(path) as stream:
            np.savez(stream, **arrays)  # type: ignore[arg-type]
    return {"result": said, "arrays": path if arrays else None}


def load(kind: type[T], stored: Mapping[str, Any]) -> T:
    """The result of which `store` made this.

    Raises
    ------
    FileFormatError
        The file of its arrays is damaged.
    LookupError, TypeError, ValueError
        It is of another type.
    """
    path, arrays = stored["arrays"], {}
    if path is not None:
        try:
            with np.load(path, allow_pickle=False) as file:
                arrays = dict(file)
        except (ValueError, EOFError, OSError, zipfile.BadZipFile) as problem:
            raise FileFormatError(
                f"what was found of a tomogram cannot be read ({problem}); do it again",
                path=os.fspath(path),
            ) from problem
    found: T = decode(kind, stored["result"], arrays)
    return found


def summary(result: Any) -> dict[str, Any]:
    """What a summary shows of a result, ready for JSON."""
    shown = [f.name for f in fields(result) if "bulk" not in f.metadata]
    return {name: encode(getattr(result, name)) for name in shown}
