"""Where the files are that a set names, and what files of tomograms are called.

RELION's paths start in the project folder, which is the working folder of its programs. A set is
often looked at from elsewhere: then its names are looked for in each folder above it. This is done
once, when a set is read: from there on a path is one from the working folder, or absolute.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path

from tomoset.errors import ModelError
from tomoset.files import file_name
from tomoset.images.mrc import stack_path


class Finder:
    """Finds the files that a set names: from the working folder, or from a folder above the set.

    Parameters
    ----------
    set_path : path-like or None
        The file of the set. Folders above it are tried, the nearest first, and the working
        folder last; or first, where that is one of them, or there is no set.

    Examples
    --------
    >>> Finder(None).here("nowhere/TS_01.mrc")
    'nowhere/TS_01.mrc'
    """

    def __init__(self, set_path: str | os.PathLike[str] | None) -> None:
        above = [] if set_path is None else list(Path(set_path).absolute().parents)
        start = [Path()]
        self._folders = start + above if not above or Path.cwd() in above else above + start
        # What is looked for is mostly in few folders, under few names: thousands of tilt series.
        self._holding = cache(self._with_folder)
        self._here = cache(self._looked_for)

    def find(self, name: str, there: Callable[[Path], bool] = os.path.isfile) -> Path | None:
        """The file of this name; None if it is nowhere."""
        for folder in self._holding(os.path.dirname(name)):
            if there(folder / name):
                return folder / name
        return None

    def _with_folder(self, name: str) -> list[Path]:
        """The folders in which there is a folder of this name."""
        above = os.path.dirname(name)
        if above == name:  # nothing, or a root
            return self._folders
        return [folder for folder in self._holding(above) if os.path.isdir(folder / name)]

    def here(self, name: str, there: Callable[[Path], bool] = os.path.isfile) -> str:
        """The name, or the path from the working folder where the name alone finds nothing."""
        return self._here(name, there)

    def _looked_for(self, name: str, there: Callable[[Path], bool]) -> str:
        if there(Path(name)):
            return name
        found = self.find(name, there)
        return name if found is None else os.path.relpath(found)

    def image_here(self, name: str) -> str:
        """As `here`, of an image: ``000003@stack.st:mrc`` or a file."""
        number, at, path = name.rpartition("@")
        file = stack_path(path)
        return f"{number}{at}{self.here(file)}{path[len(file) :]}"


def find_file(name: str, set_path: str | os.PathLike[str] | None) -> Path | None:
    """One file that a set names; None if it is nowhere. See `Finder`."""
    return Finder(set_path).find(name)


def from_here(path: str) -> str:
    """The path from the working folder, where those of a project begin, if it is in or beside it.

    Elsewhere an absolute path stays: it says where a file is wherever programs are started.

    Examples
    --------
    >>> from_here(os.path.abspath("relion5/tomograms.star")), from_here("/data/tomograms.star")
    ('relion5/tomograms.star', '/data/tomograms.star')
    """
    if not os.path.isabs(path):
        return path
    here = os.getcwd()
    near = here if os.path.dirname(here) == os.sep else os.path.dirname(here)
    return os.path.relpath(path) if os.path.commonpath([near, path]) == near else path


def image_place(name: str) -> tuple[str, int]:
    """File and section, from 0, of an image named ``000003@stack.mrcs`` or ``image.mrc``.

    Examples
    --------
    >>> image_place("000003@TS_01.st:mrc"), image_place("image.mrc")
    (('TS_01.st', 2), ('image.mrc', 0))
    """
    number, _, path = name.rpartition("@")
    return stack_path(path), int(number) - 1 if number.isdecimal() else 0


def image_sections(names: Iterable[str]) -> list[tuple[str, int]]:
    """Files and sections, from 0, of images: `image_place` of each."""
    return list(map(image_place, names))


def file_names(names: Iterable[str]) -> dict[str, str]:
    """A name for files of each tomogram: `tomoset.files.file_name` of each.

    Raises
    ------
    ModelError
        If two would be the same.
    """
    owners: dict[str, str] = {}
    for name in names:
        plain = file_name(name)
        twin = owners.setdefault(plain, name)
        if twin != name:
            raise ModelError(
                f"the files of tomograms {twin!r} and {name!r} would both be called {plain!r}; "
                "rename one"
            )
    return {name: plain for plain, name in owners.items()}
