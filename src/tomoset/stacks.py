"""One stack in the order of the table, which RELION 4 needs of every tilt series.

RELION 4 takes row i for image i of the stack, whatever the rows say (specification 2.2).
"""

from __future__ import annotations

import os
import warnings
from dataclasses import replace

import numpy as np

from tomoset.errors import FileAccessError, LossyWarning
from tomoset.files import AtomicFiles
from tomoset.formats._files import file_names, find_file, image_places
from tomoset.images.mrc import stack_path
from tomoset.images.stack import join_images
from tomoset.model import Tomogram, TomogramSet


def with_stacks(
    tomograms: TomogramSet, target: str | os.PathLike[str], files: AtomicFiles
) -> TomogramSet:
    """The set with such stacks, made of single images or picked from larger stacks.

    Parameters
    ----------
    tomograms : TomogramSet
        As it was read.
    target : path-like
        The set to be written; stacks that have to be made go into ``stacks`` beside it.
    files : AtomicFiles
        With which the stacks take their places.

    Raises
    ------
    FileAccessError
        If a stack would replace a file of something else.
    """
    names = file_names(tomograms)
    folder = os.path.join(os.path.dirname(os.fspath(target)), "stacks")
    origin = getattr(tomograms.source, "path", None)
    made = []
    for tomogram in tomograms.values():
        images = _images(tomogram)
        if images is None:
            made.append(tomogram)
            continue
        stack = os.path.join(folder, f"{names[tomogram.name]}.mrcs")
        _join(tomogram, images, stack, origin, files)
        made.append(replace(tomogram, stack=stack, image_index=None))
    return tomograms.with_tomograms(made)


def _images(tomogram: Tomogram) -> list[tuple[str, int]] | None:
    """Files and sections of the images, where they are not one stack in order already."""
    if tomogram.images is not None and tomogram.stack is None:
        return image_places(tomogram.images)
    index = tomogram.image_index
    if tomogram.stack is None or index is None:
        return None
    if np.array_equal(index, np.arange(tomogram.n_tilts)):
        return None
    return [(tomogram.stack, section) for section in index.tolist()]


def _join(
    tomogram: Tomogram,
    images: list[tuple[str, int]],
    stack: str,
    origin: str | None,
    files: AtomicFiles,
) -> None:
    if os.path.exists(stack):
        raise FileAccessError(
            f"{stack} is there already; a stack of tomogram {tomogram.name!r} would replace it: "
            "convert to another folder, or remove it"
        )
    found = {path: find_file(stack_path(path), origin) for path, _ in images}
    missing = sum(found[path] is None for path, _ in images)
    if missing:
        warnings.warn(
            f"tomogram {tomogram.name!r}: {missing} of its {tomogram.n_tilts} images are not "
            "there; RELION 4 wants one stack of them, which the set names but which was not made: "
            f"{stack}",
            LossyWarning,
            stacklevel=4,
        )
        return
    pieces = [(path, section) for name, section in images if (path := found[name]) is not None]
    join_images(pieces, stack, files)
