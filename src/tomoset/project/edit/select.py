"""Some tomograms of a project."""

from __future__ import annotations

import fnmatch
import warnings
from collections.abc import Iterable, Sequence

import numpy as np

from tomoset.errors import AssumptionWarning, ModelError, some_of
from tomoset.model import Project
from tomoset.project.edit._follow import of_tomograms
from tomoset.project.edit.conditions import Condition
from tomoset.project.edit.quantities import SeriesQuantities


def select(project: Project, names: Iterable[str] = (), *, where: str | None = None) -> Project:
    """A project with some of its tomograms, and all that refers to these.

    Parameters
    ----------
    project : Project
        All of it read.
    names : iterable of str
        Names, or patterns of names with ``*``, ``?`` and ``[...]``; all tomograms if there are
        none.
    where : str, optional
        A condition on quantities of a series, such as ``tilts > 30 and defocus < 50000``
        (docs/projects.md, 'Conditions'). A series of which it is not known is left out, with a
        warning.

    Returns
    -------
    Project
        In the order of the set.

    Raises
    ------
    ModelError
        If a name or a pattern fits none, or the condition makes no sense.

    Examples
    --------
    >>> from tomoset import Optics, Tomogram, TomogramSet
    >>> s = TomogramSet(Tomogram(name=n, n_tilts=1, optics=Optics(pixel_size=1.0)) for n in "abc")
    >>> list(select(Project(tomograms=s), ["a", "[c-d]"]).tomograms)
    ['a', 'c']
    >>> list(select(Project(tomograms=s), where="name != 'b' and pixel_size < 2").tomograms)
    ['a', 'c']
    """
    there = list(project.tomograms)
    kept = set(named(there, names))
    if where is not None:
        kept &= set(_where(project, where))
    return of_tomograms(project, [name for name in there if name in kept])


def named(there: Sequence[str], names: Iterable[str]) -> list[str]:
    """Those of some names that fit names or patterns, in their order; all where none is given.

    Raises
    ------
    ModelError
        If a name or a pattern fits none.
    """
    patterns, wanted = list(names), set[str]()
    for pattern in patterns:
        fits = [pattern] if pattern in there else fnmatch.filter(there, pattern)
        if not fits:
            raise ModelError(f"no tomogram is called {pattern!r}; there are {some_of(there)}")
        wanted.update(fits)
    return [name for name in there if not patterns or name in wanted]


def _where(project: Project, text: str) -> list[str]:
    """The series of which a condition is true."""
    condition, quantities = Condition(text), SeriesQuantities(project)
    there = list(project.tomograms)
    values = {name: quantities.get(name) for name in condition.names}
    told = condition.of(len(there), values.get)
    if told.unknown.any():
        lost = [there[row] for row in np.flatnonzero(told.unknown).tolist()]
        warnings.warn(
            f"{len(lost)} of {len(there)} tomograms are left out, as {' or '.join(values)} is not "
            f"known of them: {some_of(lost)}",
            AssumptionWarning,
            stacklevel=3,
        )
    return [there[row] for row in np.flatnonzero(told.true).tolist()]
