"""The stack that a file of an alignment belongs to."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from tomoset.errors import AmbiguityError, MissingFileError, some_of
from tomoset.images.mrc import stack_path
from tomoset.images.tiff import TIFF_ENDINGS

STACK_ENDINGS = (".mrc", ".st", ".mrcs", *TIFF_ENDINGS)


def listed_stack(
    source: str | os.PathLike[str],
    listed: str,
    given: str | None,
    *,
    alone: bool,
    roots: Sequence[str | os.PathLike[str]],
) -> str:
    """The stack that a file names, from folders (`roots`) or from here; or what is given instead.

    Errors and other parameters are those of `stack_of`; its name may have another ending.
    """
    name = Path(listed)
    folders = [Path(root) / name.parent for root in roots]
    folders += [name.parent, *map(Path, roots), Path(source).parent]
    for folder in folders if given is None and listed.endswith(STACK_ENDINGS) else []:
        if (folder / name.name).is_file():
            return os.fspath(folder / name.name)
    stems = (name.name, name.stem)
    return stack_of(source, stems, given, alone=alone, folders=folders)


def stack_of(
    source: str | os.PathLike[str],
    stems: Sequence[str],
    given: str | None,
    *,
    alone: bool,
    folders: Sequence[str | os.PathLike[str]] = (),
) -> str:
    """The stack of an alignment.

    Parameters
    ----------
    source : path-like
        The file of the alignment.
    stems : sequence of str
        How the stack may be called, without its ending; with it where it is known.
    given : str, optional
        The stack, or a folder that holds it, as users give it.
    alone : bool
        Whether it is the only series, for which one stack can be given.
    folders : sequence of path-like
        Where it may be if none is given; by default beside the file.

    Raises
    ------
    MissingFileError
        If it is not there.
    AmbiguityError
        If it may be several.
    """
    if given is not None and os.path.isfile(stack_path(given)):
        if not alone:
            raise AmbiguityError(
                f"{given} is one stack (`stack`), and several series are imported; give the folder "
                "that holds their stacks"
            )
        return given
    places = [Path(given)] if given is not None else [Path(f) for f in folders]
    places = places or [Path(source).parent]
    if given is not None and not places[0].is_dir():
        raise MissingFileError(f"{given}: there is no such file or folder (`stack`)")
    names = [stem + ending for stem in dict.fromkeys(stems) for ending in ("", *STACK_ENDINGS)]
    names = [name for name in dict.fromkeys(names) if name.endswith(STACK_ENDINGS)]
    for folder in places:
        found = [name for name in names if (folder / name).is_file()]
        if len(found) > 1:
            raise AmbiguityError(
                f"{source}: {some_of(found)} could each be the stack in {folder}; say which "
                "(`stack`)"
            )
        if found:
            return os.fspath(folder / found[0])
    raise MissingFileError(
        f"{source}: its stack is not there: {places[0] / (stems[-1] + '.mrc')} or with another of "
        f"the endings {', '.join(STACK_ENDINGS)}; give it, or its folder (`stack`)"
    )
