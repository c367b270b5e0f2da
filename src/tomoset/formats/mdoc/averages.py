"""Images of the sections of an ``.mdoc`` file that are files of their own, called like movies."""

from __future__ import annotations

import bisect
import functools
import glob
import itertools
import os
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tomoset.errors import (
    AmbiguityError,
    FileFormatError,
    LossyWarning,
    MissingFileError,
    some_of,
)
from tomoset.formats._matching import IMAGE_ENDINGS, key_of, stem_of
from tomoset.formats.mdoc.pictures import Halves, Ints, Pictures, say_left
from tomoset.formats.mdoc.series import Series
from tomoset.images.stack import ImageHeader, read_header

#: What stands before and after the stem of a movie in the name of its image.
Affix = tuple[str, str]
#: Words by which images of half of the frames are known.
_HALF = re.compile(r"(?<![a-z])(?:(evn|even)|(odd))(?![a-z])")
#: So many sections that have images show what stands about their names.
_ASKED = 3


class Images(dict[str, str]):
    """The images of a folder or pattern, by the keys of their stems, sorted."""

    def __init__(self, place: str) -> None:
        if os.path.isdir(place or "."):
            paths = [os.path.join(place, name) for name in sorted(os.listdir(place or "."))]
        else:
            paths = sorted(glob.glob(place))
        pairs = [(key_of(stem_of(p)), p) for p in paths if p.lower().endswith(IMAGE_ENDINGS)]
        super().__init__(sorted(pairs))
        self.names = [*self]
        for name, path in pairs:
            if self[name] != path:
                raise AmbiguityError(
                    f"{path} and {self[name]} have one name: which is the image? Give a pattern "
                    "(`images`), as 'DIR/*.mrc'"
                )

    def starting(self, start: str) -> list[str]:
        """The keys that begin so."""
        first = bisect.bisect_left(self.names, start)
        return self.names[first : bisect.bisect_left(self.names, start + "\U0010ffff")]


class Folders:
    """Folders and patterns, each looked at once."""

    def __init__(self) -> None:
        self.images = functools.cache(Images)


@dataclass(frozen=True, kw_only=True, eq=False)
class Averages:
    """Images in one place, and how their names go with those of the movies of a series.

    Parameters
    ----------
    place : str
        A folder, or a pattern.
    files : Images
        What is there.
    keys : tuple of str
        Of the movies of the sections.
    affixes : tuple of (str, str)
        What stands before and after these in names of images.
    """

    place: str
    files: Images
    keys: tuple[str, ...]
    affixes: tuple[Affix, ...]

    @classmethod
    def of(cls, series: Series, place: str, frame_names: str | None, folders: Folders) -> Averages:
        """The images of a place, for a series in whose names `frame_names` (OLD=NEW) is changed."""
        files = folders.images(place)
        old, _, new = (frame_names or "").partition("=")
        stems = [stem_of(section.frames or "") for section in series.sections]
        keys = tuple(key_of(stem.replace(old, new, 1)) if stem else "" for stem in stems)
        about = (found for key in keys if key and (found := [*_about(key, files)]))
        affixes = dict.fromkeys(itertools.chain.from_iterable(itertools.islice(about, _ASKED)))
        return cls(place=place, files=files, keys=keys, affixes=tuple(affixes))

    def at(self, affix: Affix) -> list[str | None]:
        """The file of each section."""
        return [self.files.get(affix[0] + key + affix[1]) if key else None for key in self.keys]

    def of_half(self, half: int | None) -> list[Affix]:
        """Those of the even (0) or odd (1) frames, or of all (None)."""
        marks = {affix: _HALF.search("_".join(affix)) for affix in self.affixes}
        if half is None:
            return [affix for affix, mark in marks.items() if mark is None]
        return [affix for affix, mark in marks.items() if mark and mark[half + 1]]


def _about(key: str, files: Images) -> Iterator[Affix]:
    """What stands about a movie's name in those of images, which mostly begin with it."""
    for name in files.starting(key) or files.names:
        before, found, after = name.partition(key)
        if found and not before[-1:].isalnum() and not after[:1].isalnum():
            yield before, after


def of_averages(
    series: Series, averages: Averages, given: Mapping[str, Any], folders: Folders
) -> Pictures:
    """The images of a series, and those of halves of the frames.

    Parameters
    ----------
    series : Series
    averages : Averages
        With affixes.
    given : mapping
        `even`, `odd`: folders or patterns, and `frame_names`; or None.
    folders : Folders

    Raises
    ------
    AmbiguityError
        If several files may be the image of a section.
    FileFormatError
        If images differ in size, or are movies.
    MissingFileError
        If there are only images of halves.
    """
    whole = averages.of_half(None)
    affix = _one_of(series, averages, [("", "")] if ("", "") in whole else whole)
    paths = averages.at(affix)
    kept = np.flatnonzero([path is not None for path in paths])
    single = tuple(path for path in paths if path is not None)
    say_left(series, set(kept.tolist()), averages.place or ".")
    header = _checked(single)
    halves = _halves(series, averages, kept, given, folders)
    for half in filter(None, halves):
        _checked(half, header)
    return Pictures(
        header=header,
        kept=kept,
        single=single,
        halves=halves,
        notes=tuple(_unused(series, averages, affix)),
    )


def _one_of(series: Series, averages: Averages, affixes: Sequence[Affix]) -> Affix:
    if len(affixes) == 1:
        return affixes[0]
    shown = affixes or averages.affixes
    examples = [next(path for path in averages.at(affix) if path) for affix in shown]
    if not affixes:
        raise MissingFileError(
            f"{series.path}: only images of halves of the frames are there, such as {examples[0]}; "
            "give those of all frames (`images`)"
        )
    raise AmbiguityError(
        f"{series.path}: {some_of(examples)} could each be the image of a section; say which by a "
        "pattern, as 'DIR/*_DW.mrc'"
    )


def _halves(
    series: Series, averages: Averages, kept: Ints, given: Mapping[str, Any], folders: Folders
) -> Halves:
    """Images of the even and odd frames of the kept sections: beside the others, or as given."""
    halves: list[tuple[str, ...]] = []
    for half, option in enumerate(("even", "odd")):
        place, found = given[option], averages
        beside = os.path.join(os.path.dirname(next(iter(averages.files.values()))), option)
        if place is not None or (not averages.of_half(half) and os.path.isdir(beside)):
            found = Averages.of(series, place or beside, given["frame_names"], folders)
        affixes = found.of_half(half)
        if found is not averages:
            affixes = affixes or found.of_half(None)
        if not affixes and place is not None:
            raise MissingFileError(nothing_there(series, found))
        halves.append(_of_kept(series, found, affixes, kept, option) if affixes else ())
    return halves[0], halves[1]


def _of_kept(
    series: Series, found: Averages, affixes: Sequence[Affix], kept: Ints, half: str
) -> tuple[str, ...]:
    """The images of one half; none, and said, unless they are all there."""
    paths = found.at(_one_of(series, found, affixes))
    missing = [series.sections[i] for i in kept if paths[i] is None]
    if not missing:
        return tuple(str(paths[i]) for i in kept)
    warnings.warn(
        f"{series.path}: images of the {half} frames are not there for {len(missing)} of "
        f"{len(kept)} sections (such as {stem_of(missing[0].frames or '')}): this half is left out",
        LossyWarning,
        stacklevel=5,
    )
    return ()


def _checked(paths: Sequence[str], like: ImageHeader | None = None) -> ImageHeader:
    """The header of the first, or what all must be like: single images of one size."""
    for path in paths:
        header = read_header(path)
        like = like or header
        if header.n_images != 1:
            raise FileFormatError(
                f"this has {header.n_images} images: a movie? Give the folder of averages, or the "
                "stack (`images`)",
                path=path,
            )
        if header.size != like.size:
            raise FileFormatError(
                f"images of a series differ in size: {header.size[0]} x {header.size[1]} px here, "
                f"{like.size[0]} x {like.size[1]} in {like.path}",
                path=path,
            )
    assert like is not None
    return like


def _unused(series: Series, averages: Averages, affix: Affix) -> list[str]:
    """A note on images that are called like those of the series and belong to no section."""
    start = affix[0] + _common(averages.keys).rpartition("_")[0] + "_"
    known = tuple(affix[0] + key for key in averages.keys if key)
    spare = [
        os.path.basename(averages.files[name])
        for name in averages.files.starting(start)
        if len(start) > 1 and not name.startswith(known)
    ]
    if not spare:
        return []
    return [
        f"{series.path}: {len(spare)} images in {averages.place or '.'} are of no section: "
        f"{some_of(spare, 3)}"
    ]


def nothing_there(series: Series, averages: Averages) -> str:
    """That there are no images; what was looked for, what is there, and what may help."""
    frames = [stem_of(section.frames) for section in series.sections if section.frames]
    there = [os.path.basename(path) for path in averages.files.values()]
    stack = f"a stack {series.head('ImageFile') or series.name + '.mrc'}"
    looked = f"neither {stack} nor images called like its movies, such as {{}}.mrc"
    text = (
        f"{series.path}: no image of it is in {averages.place or '.'}: "
        + (looked.format(frames[0]) if frames else f"not {stack}, and it names no movies")
        + (f"; there are {some_of(there, 2)}" if there else "; no image is there at all")
    )
    ours, theirs = _common(frames), _common(there)
    renamed = {key_of(theirs + stem[len(ours) :]) for stem in frames}
    if ours != theirs and len(renamed & averages.files.keys()) > len(frames) / 2:
        return f"{text}. These fit if {ours!r} becomes {theirs!r}: --frame-names '{ours}={theirs}'"
    return f"{text}. Give their place (`images`), or say how names changed (`frame_names`: OLD=NEW)"


def _common(names: Sequence[str]) -> str:
    return os.path.commonprefix(list(names))  # noqa: RUF071 - names, not paths
