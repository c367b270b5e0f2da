"""Stacks made of single images, for formats that name one stack for each tilt series."""

from __future__ import annotations

import os
import warnings
from dataclasses import replace

import numpy as np

from tomoset.errors import FileAccessError, LossyWarning
from tomoset.images.stack import join_images
from tomoset.model import Tomogram, TomogramSet
from tomoset.paths import file_names, from_here


def with_stacks(
    tomograms: TomogramSet, target: str | os.PathLike[str], *, parts: bool = False
) -> TomogramSet:
    """The set with one stack for each tilt series, its images in the order of the table.

    RELION 4 needs that: it takes row i for image i of the stack, whatever the rows say. Stacks are
    made of single images, or of some of a larger stack.

    Parameters
    ----------
    tomograms : TomogramSet
        As it was read.
    target : path-like
        The set to be written; stacks that have to be made go into ``stacks`` beside it.
    parts : bool
        Whether some images of a larger stack will do.

    """
    names = file_names(tomograms)
    folder = os.path.join(os.path.dirname(os.fspath(target)), "stacks")
    made = []
    for tomogram in tomograms.values():
        if not (_is_one_stack(tomogram) or (parts and tomogram.stack is not None)):
            stack = os.path.join(folder, f"{names[tomogram.name]}.mrcs")
            _join(tomogram, stack)
            tomogram = replace(tomogram, stack=from_here(stack), image_index=None)
        made.append(tomogram)
    return tomograms.with_tomograms(made)


def _is_one_stack(tomogram: Tomogram) -> bool:
    """Whether the images are a stack in the order of the table already, or are not named."""
    if tomogram.stack is None:
        return tomogram.images is None
    index = tomogram.image_index
    return index is None or np.array_equal(index, np.arange(tomogram.n_tilts))


def _join(tomogram: Tomogram, stack: str) -> None:
    sections = tomogram.image_sections()
    missing = sum(not os.path.isfile(path) for path, _ in sections)
    if not missing:
        join_images(sections, stack)
        return
    if os.path.lexists(stack):
        raise FileAccessError(
            f"tomogram {tomogram.name!r}: {missing} of its {tomogram.n_tilts} images are not "
            f"there, and {stack}, which the set would name, is a stack of something else: convert "
            "to another folder, or move it away"
        )
    warnings.warn(
        f"tomogram {tomogram.name!r}: {missing} of its {tomogram.n_tilts} images "
        "are not there; RELION 4 wants one stack of them, which the set names but which was not "
        f"made: {stack}",
        LossyWarning,
        stacklevel=4,
    )
