"""Some tomograms of a project."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable

from tomoset.errors import ModelError, some_of
from tomoset.model import Project
from tomoset.project.edit._follow import of_tomograms


def select(project: Project, names: Iterable[str]) -> Project:
    """A project with some of its tomograms, and all that refers to these.

    Parameters
    ----------
    project : Project
        All of it read.
    names : iterable of str
        Names, or patterns of names with ``*``, ``?`` and ``[...]``.

    Returns
    -------
    Project
        In the order of the set.

    Raises
    ------
    ModelError
        If a name or a pattern fits none.

    Examples
    --------
    >>> from tomoset import Optics, Tomogram, TomogramSet
    >>> s = TomogramSet(Tomogram(name=n, n_tilts=1, optics=Optics(pixel_size=1.0)) for n in "abc")
    >>> list(select(Project(tomograms=s), ["a", "[c-d]"]).tomograms)
    ['a', 'c']
    """
    there, wanted = list(project.tomograms), set[str]()
    for pattern in names:
        fits = [pattern] if pattern in there else fnmatch.filter(there, pattern)
        if not fits:
            raise ModelError(f"no tomogram is called {pattern!r}; there are {some_of(there)}")
        wanted.update(fits)
    return of_tomograms(project, [name for name in there if name in wanted])
