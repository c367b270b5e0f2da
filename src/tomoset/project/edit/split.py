"""A project in parts."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping

import numpy as np

from tomoset.errors import LossyWarning, ModelError, some_of
from tomoset.model import Project
from tomoset.paths import file_names
from tomoset.project.edit._follow import parts_of
from tomoset.project.edit.quantities import SeriesQuantities
from tomoset.project.edit.select import named


def split(
    project: Project,
    *,
    into: int | None = None,
    by: str | None = None,
    parts: Mapping[str, Iterable[str]] | None = None,
) -> dict[str, Project]:
    """Parts of a project, each with all that refers to its tomograms; one of the three is given.

    Parameters
    ----------
    project : Project
        All of it read.
    into : int, optional
        How many parts, as equal as possible, in the order of the set.
    by : str, optional
        A quantity of a series (docs/projects.md, 'Conditions'), such as ``optics_group`` or
        ``pixel_size``: a part for each value.
    parts : mapping of str to iterable of str, optional
        Names or patterns of the tomograms of each part. Tomograms of no part are left out, with a
        warning.

    Returns
    -------
    dict of str to Project
        By name: a number from 1, the value, or as given.

    Raises
    ------
    ModelError
        If there are fewer tomograms than parts, a value is not known, or a tomogram would be in
        two parts.

    Examples
    --------
    >>> from tomoset import Optics, Tomogram, TomogramSet
    >>> s = TomogramSet(Tomogram(name=n, n_tilts=1, optics=Optics(pixel_size=1.0)) for n in "abc")
    >>> {k: list(p.tomograms) for k, p in split(Project(tomograms=s), into=2).items()}
    {'1': ['a', 'b'], '2': ['c']}
    """
    if [into, by, parts].count(None) != 2:
        raise ModelError("say one way to split: a number of parts, a quantity, or lists of names")
    if by is not None:
        found = _by_value(project, by)
    elif parts is not None:
        found = _by_lists(project, parts)
    else:
        found = _equal(project, into or 0)
    return dict(zip(found, parts_of(project, list(found.values())), strict=True))


def _equal(project: Project, parts: int) -> dict[str, list[str]]:
    there = list(project.tomograms)
    if not 1 <= parts <= len(there):
        raise ModelError(f"{len(there)} tomograms cannot be split into {parts} parts")
    some = np.array_split(np.arange(len(there)), parts)
    return {str(i + 1): [there[row] for row in rows] for i, rows in enumerate(some)}


def _by_value(project: Project, quantity: str) -> dict[str, list[str]]:
    there, values = list(project.tomograms), SeriesQuantities(project).get(quantity)
    lost = [n for n, value in zip(there, values, strict=True) if value in ("",) or value != value]
    if lost:
        raise ModelError(
            f"{quantity} is not known of {some_of(lost)}, so nothing says which part they belong to"
        )
    found: dict[str, list[str]] = {}
    for name, value in zip(there, values.tolist(), strict=True):
        found.setdefault(value if isinstance(value, str) else f"{value:.9g}", []).append(name)
    plain = file_names(found)
    return {plain[value]: some for value, some in found.items()}


def _by_lists(project: Project, parts: Mapping[str, Iterable[str]]) -> dict[str, list[str]]:
    there = list(project.tomograms)
    found = {name: named(there, patterns) for name, patterns in parts.items()}
    part_of: dict[str, str] = {}
    for part, some in found.items():
        for name in some:
            if part_of.setdefault(name, part) != part:
                raise ModelError(
                    f"tomogram {name!r} would be in two parts, {part_of[name]!r} and {part!r}"
                )
    rest = [name for name in there if name not in part_of]
    if rest:
        warnings.warn(
            f"{len(rest)} of {len(there)} tomograms are in no part: {some_of(rest)}",
            LossyWarning,
            stacklevel=3,
        )
    return found
