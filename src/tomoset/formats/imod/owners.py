"""Which series a file of an IMOD folder is of, by its name and by what command files name.

A folder may hold the files of several series: two axes, a copy, a parallel try. ``tilt.com`` is
that of the series whose projections and tilt angles it names, whatever it is called itself.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

from tomoset.errors import MissingFileError
from tomoset.formats.imod.commands import CommandFile
from tomoset.images.mrc import stack_path
from tomoset.images.tiff import TIFF_ENDINGS

#: Ends of the names of what is made of a raw stack, and of the files of its alignment.
_MADE = (
    *("_ali", "_rec", "_full", "_preali", "_ctfcorr", "_erase", "_fixed", "_mid", "_cut"),
    *("_fid", "_nonfid", "_st", "_3dfind"),
)
#: Endings of images that are not raw tilt series, whatever else they are.
NOT_RAW = tuple(end for end in _MADE if end not in ("_fid", "_nonfid", "_st", "_full"))
STACK_ENDINGS = (".st", ".mrc", ".mrcs", *TIFF_ENDINGS)
#: Endings of what an alignment cannot do without.
_ALIGNMENT = (".xf", ".tlt", ".rawtlt", ".prexg")
#: What command files take in, and what they make.
_TAKEN = ("InputFile", "TransformFile", "InputProjections", "TILTFILE", "XTILTFILE")
_GIVEN = ("OutputFile",)
_WORDS = (*STACK_ENDINGS, *_ALIGNMENT, ".ali", ".rec", ".xtilt")


def is_aligned(name: str) -> bool:
    """Whether a stack is an aligned one by its name, as etomo calls it."""
    stem, ending = os.path.splitext(stack_path(name))
    return ending == ".ali" or stem.endswith("_ali")


def is_raw(name: str) -> bool:
    """Whether a file may be a raw stack by its name."""
    stem, ending = os.path.splitext(name)
    return ending in STACK_ENDINGS and not stem.endswith(NOT_RAW) and "culled" not in stem.lower()


def raw_stacks(names: Iterable[str]) -> list[str]:
    """Which files may be raw stacks; a TIFF beside MRC is most likely a picture of something."""
    raw = list(filter(is_raw, names))
    return [name for name in raw if not name.endswith(TIFF_ENDINGS)] or raw


def names_in(folder: str | os.PathLike[str]) -> list[str]:
    """Names of the files in a folder, in order, without those that macOS leaves beside others.

    Raises
    ------
    MissingFileError
        If there is no such folder.
    """
    if os.path.isfile(folder):
        raise MissingFileError(
            f"{os.fspath(folder)} is a file; give the folder it is in, and say by --stack, --nc, "
            "--tc or --tlt which of its files count"
        )
    if not os.path.isdir(folder):
        found = "a file, not the folder of a series" if os.path.isfile(folder) else "no such folder"
        raise MissingFileError(f"{os.fspath(folder)}: there is {found}")
    with os.scandir(folder) as entries:
        return sorted(e.name for e in entries if e.is_file() and not e.name.startswith("."))


def stem_of(name: str) -> str:
    """What a file shares with the others of its series: BBa of BBa.st, BBa_ali.mrc, BBa_fid.tlt.

    Examples
    --------
    >>> stem_of("BB/BBa_full_rec.mrc")
    'BBa'
    """
    stem = os.path.splitext(os.path.basename(stack_path(name)))[0]
    while stem.endswith(_MADE):
        stem = stem.rpartition("_")[0]
    return stem


class Owners:
    """Whose the files of a folder are, seen from the series of one stack.

    Parameters
    ----------
    names : iterable of str
        Files of the folder.
    stack : str
        Of the series; it may lie elsewhere.
    """

    def __init__(self, names: Iterable[str], stack: str) -> None:
        self._names = list(names)
        self._stacks = set(map(stem_of, raw_stacks(self._names)))
        self.stem = stem_of(stack)
        #: Whatever the files of this series are called.
        self._own = {self.stem}
        known = self._stacks | self._own
        self._aligned: set[str] = set()
        for stem in sorted({stem_of(n) for n in self._names if n.endswith(_ALIGNMENT)}, key=len):
            # BBa_fid.tlt, BBa_try2.xf are no series beside BBa
            if _longest(stem, known | self._aligned) in (None, stem):
                self._aligned.add(stem)
        self._known = known | self._aligned

    def is_own(self, name: str) -> bool:
        """Whether a name says that the file is of this series."""
        return self._owner(name) in self._own

    def is_foreign(self, name: str) -> bool:
        """Whether a file is of another series that is in the folder.

        Files of another name may be those of this series, whose stack was renamed, or filtered
        (TS_01_dose.mrc): not where this one has an alignment of its own name, or each a stack.
        """
        owner = self._owner(name)
        if owner in self._own or owner not in self._known:
            return False
        if not self._own.isdisjoint(self._aligned):
            return True
        filtered = _longest(self.stem, [owner]) is not None
        return owner in self._stacks and self.stem in self._stacks and not filtered

    def foreign_names(self, commands: CommandFile) -> list[str]:
        """What a command file takes in of other series."""
        return [name for name in _named(commands, _TAKEN) if self.is_foreign(name)]

    def names_own(self, commands: CommandFile) -> bool:
        """Whether a command file names anything of this series."""
        return any(map(self.is_own, _named(commands, (*_TAKEN, *_GIVEN))))

    def is_of(self, commands: CommandFile) -> bool:
        """Whether a command file is this series', and no other's."""
        return self.names_own(commands) and not self.foreign_names(commands)

    def adopt(self, commands: CommandFile) -> None:
        """Take what else a command file of this series names as this series', too."""
        self._own |= {self._owner(name) for name in _named(commands, (*_TAKEN, *_GIVEN))}

    def pick(self, names: Iterable[str]) -> list[str]:
        """Those of some files that may be this series'."""
        return [name for name in names if not self.is_foreign(name)]

    def aligned_stacks(self) -> set[str]:
        """Stems of the raw stacks in the folder that have an alignment of their own."""
        return self._stacks & self._aligned

    def _owner(self, name: str) -> str:
        return _longest(os.path.basename(name), self._known) or stem_of(name)


def _longest(name: str, stems: Iterable[str]) -> str | None:
    """The longest of some stems that a name begins with, up to a mark between words."""
    fits = [s for s in stems if name.startswith(s) and not name[len(s) : len(s) + 1].isalnum()]
    return max(fits, key=len, default=None)


def _named(commands: CommandFile, options: Iterable[str]) -> list[str]:
    """Files that a command file names, by options or, in old ones, in lines of their own."""
    words = [line.split()[0] for line in commands.positional if line.split()]
    named = [commands.text(option) for option in options]
    return [*filter(None, named), *(word for word in words if word.endswith(_WORDS))]
