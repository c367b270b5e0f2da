"""Files of an alignment, by the names that command files have for them."""

from __future__ import annotations

import os
import warnings

from tomoset.errors import AmbiguityError, AssumptionWarning, LossyWarning
from tomoset.formats.imod.commands import CommandFile
from tomoset.formats.imod.owners import Owners, names_in
from tomoset.formats.imod.series import Series


def named_here(folder: str, tilt: CommandFile, option: str, what: str) -> str | None:
    """A file that tilt.com names; None where it names none, or none that is there, and said."""
    named = tilt.text(option)
    if named is None:
        return None
    path = os.path.join(folder, named)
    if os.path.isfile(path):
        return path
    warnings.warn(
        f"{tilt.path}: {option} {named} is not carried over ({what}): there is no such file",
        LossyWarning,
        stacklevel=3,
    )
    return None


def named_or_only(series: Series, named: str | None, ending: str) -> str | None:
    """A file of the alignment: the one that is named, the series' own, or the only one.

    Projects are renamed and copied; a name that is not on disk any more is replaced by the
    only file with its ending, and said.

    Raises
    ------
    AmbiguityError
        If several have the ending and none the name, or only those of other series.
    """
    folder = series.folder
    if named is not None and os.path.isfile(os.path.join(folder, named)):
        return os.path.join(folder, named)
    if named is None and series.dataset is not None:
        own = os.path.join(folder, series.dataset + ending)
        if os.path.isfile(own):
            return own
    names = names_in(folder)
    every = [
        n
        for n in names
        if n.endswith(ending)
        and not n.startswith(("rot_", "pre"))
        and not n.removesuffix(ending).endswith(("_fid", "_nonfid", "local"))
    ]
    fits = Owners(names, series.stack).pick(every)
    if len(fits) > 1 or (every and not fits):
        listed = " and ".join((fits or every)[:4])
        what = "could each be meant" if fits else "is of another series"
        raise AmbiguityError(
            f"{folder}: {named or 'no name'} is not there, and {listed} {what}; name it in the "
            "command file"
        )
    if not fits:
        return None
    if named is not None:
        warnings.warn(
            f"{folder}: {named} is not there; {fits[0]} taken for it",
            AssumptionWarning,
            stacklevel=3,
        )
    return os.path.join(folder, fits[0])
