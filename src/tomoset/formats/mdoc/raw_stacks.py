"""The stack whose images the sections of an ``.mdoc`` file are."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from tomoset.errors import AmbiguityError, FileFormatError, MissingFileError, some_of
from tomoset.formats._matching import IMAGE_ENDINGS, Match, Side, match_tilts
from tomoset.formats._text_tables import read_angles
from tomoset.formats.mdoc.document import assume
from tomoset.formats.mdoc.pictures import Halves, Ints, Pictures, say_left
from tomoset.formats.mdoc.series import Series
from tomoset.images.mrc import stack_path
from tomoset.images.stack import ImageHeader, read_header

Array = npt.NDArray[np.float64]


def stack_in(series: Series, place: str) -> str | None:
    """The stack of a series in a folder, or the file that is given; None if there is none.

    Raises
    ------
    AmbiguityError
        If several may be meant.
    """
    if os.path.isfile(stack_path(place)):
        return place
    named = os.path.basename((series.head("ImageFile") or "").replace("\\", "/"))
    own = os.path.basename(series.path).removesuffix(".mdoc")
    every = [series.name + ending for ending in IMAGE_ENDINGS]
    # files of single movies are called like these
    for names in ([named], [own], every) if len(series.documents) == 1 else (every,):
        there = [
            name
            for name in names
            if name.lower().endswith(IMAGE_ENDINGS) and os.path.isfile(os.path.join(place, name))
        ]
        if len(there) > 1:
            raise AmbiguityError(
                f"{series.path}: {some_of(there)} could each be its stack; say which (`images`)"
            )
        if there:
            return os.path.join(place, there[0])
    return None


def of_stack(series: Series, stack: str, tilts: Array, given: Mapping[str, Any]) -> Pictures:
    """The images of a stack, by the numbers of sections, or by angles in a file beside it.

    Parameters
    ----------
    series : Series
    stack : str
        Its path.
    tilts : (n,) array
        Of the sections [deg].
    given : mapping
        `even` and `odd`: a stack, or the folder that holds it under the same name; or None.

    Raises
    ------
    FileFormatError
        If it has fewer images than sections, and no file of angles says of which.
    """
    header = read_header(stack)
    raw = f"{os.path.splitext(stack_path(stack))[0]}.rawtlt"
    notes: tuple[str, ...] = ()
    if os.path.isfile(raw):
        kept, index, how = _by_angles(series, raw, tilts, header)
        notes = (how,)
    elif series.numbers.max() < header.n_images:
        kept, index = np.arange(len(tilts)), series.numbers
    else:
        raise FileFormatError(
            f"its sections go up to [ZValue = {series.numbers.max()}], and its stack {stack} has "
            f"{header.n_images} images; which are those is not known: give its angles in {raw}, "
            "or the folder of single images (`images`)",
            path=series.path,
        )
    say_left(series, set(kept.tolist()), f"the stack {stack}")
    if header.n_images > len(index):
        assume(
            f"{stack} has {header.n_images} images, and {series.path} {len(tilts)} sections: "
            f"{header.n_images - len(index)} are left out"
        )
    order = np.argsort(index, kind="stable")
    return Pictures(
        header=header,
        kept=kept[order],
        stack=stack,
        index=index[order],
        halves=_halves(stack, header, index[order], given),
        notes=notes,
    )


def _by_angles(
    series: Series, raw: str, tilts: Array, header: ImageHeader
) -> tuple[Ints, Ints, str]:
    """Sections and their images, by a file of the stack's angles, and how they were matched."""
    angles = read_angles(raw)
    if len(angles) != header.n_images:
        raise FileFormatError(
            f"{len(angles)} angles, but the stack {header.path} has {header.n_images} images",
            path=raw,
        )
    every = np.arange(header.n_images)
    images = Side(what=raw, angles=angles, sections=every)
    sections = Side(what=series.path, angles=tilts, sections=series.numbers)
    match: Match
    if len(every) <= len(tilts):
        match = match_tilts(images, sections)
        return match.lines, every, match.how
    match = match_tilts(sections, images)
    return np.arange(len(tilts)), match.lines, match.how


def _halves(stack: str, header: ImageHeader, index: Ints, given: Mapping[str, Any]) -> Halves:
    """Stacks of the halves, named ``number@stack``: as given, or called like the stack."""
    stem, ending = os.path.splitext(stack_path(stack))
    halves: list[tuple[str, ...]] = []
    for option, words in (("even", ("EVN", "even", "Even")), ("odd", ("ODD", "odd", "Odd"))):
        place = given[option]
        names = [f"{stem}_{word}{ending}" for word in words]
        if place is not None:
            names = [place, os.path.join(place, os.path.basename(stack_path(stack)))]
            names += [os.path.join(place, os.path.basename(f"{stem}_{w}{ending}")) for w in words]
        there = next((name for name in names if os.path.isfile(name)), None)
        if there is None:
            if place is not None:
                raise MissingFileError(f"--{option} {place}: no such stack is there")
            halves.append(())
            continue
        half = read_header(there)
        if (half.n_images, half.size) != (header.n_images, header.size):
            raise FileFormatError(
                f"{half.n_images} images of {half.size[0]} x {half.size[1]} px; expected "
                f"{header.n_images} of {header.size[0]} x {header.size[1]}, as {stack} has",
                path=there,
            )
        halves.append(tuple(f"{i + 1:06d}@{there}" for i in index.tolist()))
    return halves[0], halves[1]
