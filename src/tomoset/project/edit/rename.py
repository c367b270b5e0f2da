"""Other names of tomograms, in all sets of a project."""

from __future__ import annotations

from collections import Counter

from tomoset.errors import ModelError, some_of
from tomoset.formats import Renaming
from tomoset.model import Project
from tomoset.project.edit._follow import renamed


def rename(project: Project, names: Renaming) -> Project:
    """A project whose tomograms have other names, in every set that refers to them.

    Parameters
    ----------
    project : Project
        All of it read.
    names : Renaming
        Old names to new ones.

    Raises
    ------
    ModelError
        If two would have one name, or no tomogram is renamed.

    Examples
    --------
    >>> from tomoset import Optics, Tomogram, TomogramSet
    >>> one = Tomogram(name="TS_1_Vol", n_tilts=1, optics=Optics(pixel_size=1.0))
    >>> before = Project(tomograms=TomogramSet([one]))
    >>> list(rename(before, Renaming(strip=("_Vol",), names={"TS_1": "TS_01"})).tomograms)
    ['TS_01']
    """
    old = list(project.tomograms)
    new = [names(name) for name in old]
    twice = [name for name, count in Counter(new).items() if count > 1]
    if twice:
        raise ModelError(f"more than one tomogram would be called {some_of([*map(repr, twice)])}")
    if new == old:
        raise ModelError(f"no name is changed; there are {some_of(old)}")
    return renamed(project, names)
