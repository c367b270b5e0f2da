"""The files of a tilt series of AreTomo, found by the name of its ``.aln`` file."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tomoset.errors import AmbiguityError, MissingFileError, some_of
from tomoset.formats._files import fitting
from tomoset.formats._stacks import STACK_ENDINGS, stack_of

_ANGLES, _CTF, _VOLUME = ("_TLT.txt",), ("_CTF.txt", "_ctf.txt"), ("_Vol.mrc", "_rec.mrc")


@dataclass(frozen=True, kw_only=True)
class Series:
    """The files of one tilt series.

    Parameters
    ----------
    name : str
        Of the tomogram.
    aln, stack : str
        Paths.
    angles, volume : str or None
        Paths of ``_TLT.txt``, and of the reconstructed volume.
    ctf : tuple of str
        Path of ``_CTF.txt`` or another table of defocus, or of one for each image.
    """

    name: str
    aln: str
    stack: str
    angles: str | None
    ctf: tuple[str, ...]
    volume: str | None


def aln_files(source: str | os.PathLike[str]) -> list[Path]:
    """The ``.aln`` files that a path stands for: itself, or those of a folder.

    Raises
    ------
    MissingFileError
        If it is not there, or a folder without such files; what else it holds is said.
    """
    path = Path(source)
    if not path.is_dir():
        if not path.exists():
            raise MissingFileError(f"{path}: there is no such file or folder")
        return [path]
    found = sorted(path.glob("*.aln"))
    if found:
        return found
    deeper = sorted(os.fspath(p) for p in path.iterdir() if list(p.glob("*.aln")))
    cure = some_of(deeper) if deeper else "the folder that AreTomo wrote to, or .aln files"
    raise MissingFileError(f"{path}: no .aln file is there; give {cure}")


def series_of(aln: Path, options: Mapping[str, Any], *, alone: bool) -> Series:
    """The files that belong to a ``.aln`` file.

    Parameters
    ----------
    aln : Path
        The file.
    options : dict
        `stack`, a file or folder, `angles` and `ctf`, patterns of file names, as users give them.
    alone : bool
        Whether it is the only series, for which one stack can be given.

    Raises
    ------
    MissingFileError
        If its stack is not there.
    AmbiguityError
        If several files may be meant.
    """
    stem = aln.name.removesuffix(".aln")
    name = stem
    for ending in STACK_ENDINGS:
        name = name.removesuffix(ending)
    return Series(
        name=name,
        aln=os.fspath(aln),
        stack=stack_of(aln, (stem, name), options["stack"], alone=alone),
        angles=_only(aln, _beside(aln, (stem, name), _ANGLES, options["tilt_angles"])),
        ctf=_beside(aln, (stem, name), _CTF, options["ctf"]),
        volume=_only(aln, _beside(aln, (stem, name), _VOLUME, None)),
    )


def _beside(
    aln: Path, stems: Sequence[str], endings: Sequence[str], given: str | None
) -> tuple[str, ...]:
    """A file beside the ``.aln`` file, of its name; or what fits a pattern that is given."""
    if given is None:
        names = [stem + ending for stem in dict.fromkeys(stems) for ending in endings]
        return tuple(str(aln.parent / n) for n in names if (aln.parent / n).is_file())[:1]
    found = fitting(given, aln.parent, stems[1])
    if not found:
        raise MissingFileError(f"{aln}: {given} is no file in {aln.parent}; give a pattern of one")
    return found


def _only(aln: Path, files: Sequence[str]) -> str | None:
    if len(files) > 1:
        raise AmbiguityError(
            f"{aln}: {some_of([os.path.basename(f) for f in files])} could each be meant; give a "
            "pattern of one file"
        )
    return files[0] if files else None
