"""Which tomogram of a set is meant where a table of another package names or numbers one."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tomoset.errors import AssumptionWarning, FileFormatError, TomosetError, some_of
from tomoset.formats._names import suggested_map
from tomoset.formats._text_tables import read_lines
from tomoset.model.particles import distinct

#: In a map: particles of this tomogram are left out.
LEFT_OUT = "-"
_IMAGES = re.compile(r"\.(?:mrcs?|rec|ali|st|em|mod|hdf|map|zarr|tomostar)\Z", re.IGNORECASE)
_NUMBER = re.compile(r"([0-9]+)\D*\Z")


def read_names(path: str | os.PathLike[str]) -> dict[str, str]:
    """A map of two columns: what a table calls a tomogram, and its name in the set.

    So are Dynamo's table maps (``.doc``): number and file. Lines that begin with ``#`` are
    passed over. A tomogram called ``-`` is left out.

    Raises
    ------
    FileFormatError
        With the line that has another number of columns, or says a name again otherwise.
    """
    found: dict[str, str] = {}
    for number, line in enumerate(read_lines(os.fspath(path)), 1):
        words = line.split(None, 1)
        if not words or words[0].startswith("#"):
            continue
        if len(words) != 2:
            raise FileFormatError(
                "expected two columns, what the table calls a tomogram and its name in the set, "
                f"found {line.strip()!r}",
                path=path,
                line=number,
            )
        known, name = words[0], words[1].strip().strip("'\"")
        if found.setdefault(known, name) != name:
            raise FileFormatError(
                f"{known} is {found[known]!r} and {name!r}; leave one", path=path, line=number
            )
    if not found:
        raise FileFormatError("the map is empty", path=path)
    return found


def names_path(path: str) -> str:
    """Where the map of a table is: ``NAME.doc``."""
    return f"{os.path.splitext(path)[0]}.doc"


def names_beside(path: str, *, only_own: bool = False) -> dict[str, str]:
    """The map beside a table: ``NAME.doc``, or else the only ``.doc`` of its folder; or none."""
    own = names_path(path)
    if os.path.exists(own):
        return read_names(own)
    if only_own:
        return {}
    every = sorted(p for p in Path(path).absolute().parent.iterdir() if p.suffix == ".doc")
    if len(every) != 1:
        return {}
    try:
        found = read_names(every[0])
    except TomosetError:  # a text of another kind
        return {}
    warnings.warn(
        f"{path}: names of tomograms are those of {every[0].name} beside it (`names` decides)",
        AssumptionWarning,
        stacklevel=4,
    )
    return found


def named(
    keys: Sequence[str], wanted: Iterable[str], names: Mapping[str, str], path: str
) -> npt.NDArray[np.str_]:
    """The tomogram of each particle; empty where it is left out.

    Parameters
    ----------
    keys : sequence of str
        What the table calls the tomogram of each particle.
    wanted : iterable of str
        The names of the set.
    names : mapping of str to str
        From keys to names or image files of the set.
    path : str
        Of the table, for messages.

    Raises
    ------
    FileFormatError
        If a key means no tomogram or several; with a map that may be meant.
    """
    once, codes = distinct(keys)
    known = list(wanted)
    names = {str(int(k)): v for k, v in names.items() if k.isdecimal()} | dict(names)
    found = {key: _one(key, known, names) for key in once}
    bad = [key for key, name in found.items() if name is None]
    if bad:
        said = {key: names.get(key, key) for key in bad}
        hints = suggested_map(said.values(), known)
        lines = [f"{key} {hints.get(said[key], '?')}" for key in bad]
        bad = [key if said[key] == key else f"{key}: {said[key]}" for key in bad]
        raise FileFormatError(
            f"{len(bad)} of {len(once)} tomograms of the table are not, or not clearly, in the set "
            f"({some_of(bad)}; the set has {some_of(known)}): give a map of two columns "
            f"(`names`), a line each, such as {some_of([repr(line) for line in lines])}; "
            f"{LEFT_OUT!r} leaves a tomogram out",
            path=path,
        )
    told = [f"{key} is {name}" for key, name in found.items() if name != key and key not in names]
    if told:
        warnings.warn(
            f"{path}: tomograms are taken by the numbers that their names end with: "
            f"{some_of(told)} (`names` decides)",
            AssumptionWarning,
            stacklevel=3,
        )
    by_code = np.array([found[key] for key in once] or [""], dtype=np.str_)
    return np.asarray(np.where(by_code == LEFT_OUT, "", by_code)[codes])


def _one(key: str, known: Sequence[str], names: Mapping[str, str]) -> str | None:
    """The one tomogram that a key means."""
    if (said := names.get(key)) is not None:
        file = _IMAGES.sub("", os.path.basename(said.replace("\\", "/")))
        return next((name for name in (said, file) if name in known or name == LEFT_OUT), None)
    if key in known or not key.isdecimal():
        return key if key in known else None
    fits = [name for name in known if _number(name) == int(key)]
    return fits[0] if len(fits) == 1 else None


def _number(name: str) -> int | None:
    """The last number in a name."""
    found = _NUMBER.search(name)
    return None if found is None else int(found[1])


def numbered(names: Iterable[str]) -> dict[str, int]:
    """A number for each tomogram: that which its name ends with, if no two have the same.

    Examples
    --------
    >>> numbered(["TS_03", "TS_01"]), numbered(["a", "TS_01"])
    ({'TS_03': 3, 'TS_01': 1}, {'a': 1, 'TS_01': 2})
    """
    every = list(names)
    numbers = [_number(name) for name in every]
    if None in numbers or len(set(numbers)) < len(numbers) or 0 in numbers:
        numbers = list(range(1, len(every) + 1))
    return {name: number for name, number in zip(every, numbers, strict=True) if number}


def names_file(numbers: Mapping[str, int]) -> bytes:
    """The map of a table with numbers, as Dynamo has it, and as `read_names` reads it."""
    return "".join(f"{number}\t{name}\n" for name, number in numbers.items()).encode()
