"""The tilt series of ``.mdoc`` files: one file each, or one for each movie of a series."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tomoset.errors import FileFormatError, MissingFileError, UnsupportedError, some_of
from tomoset.formats._matching import IMAGE_ENDINGS, stem_of
from tomoset.formats._words import Failures, StrPath, part
from tomoset.formats.mdoc.document import (
    FRAME_SET,
    IMAGE,
    ZVALUE,
    Document,
    Section,
    assume,
    read_document,
)

#: Number and angle in the name of a movie, each pair of such words.
_NUMBERED = re.compile(r"(?<![^_-])(?=(\d{1,7})[_\[]([-+]?\d+(?:\.\d+)?)(?:[_\]]|$))")
#: Of a second file of a series, by Tomo5.
_OVERRIDE = "_override.mdoc"
#: The angle in a movie's name is that of the stage within this [deg].
_SAME_ANGLE = 1.6


@dataclass(frozen=True, kw_only=True, eq=False)
class Series:
    """A tilt series.

    Parameters
    ----------
    name : str
    documents : tuple of Document
        The file, or all of its files.
    sections : tuple of Section
        One for each image.
    """

    name: str
    documents: tuple[Document, ...]
    sections: tuple[Section, ...]

    @property
    def path(self) -> str:
        """The file, or the first of them."""
        return self.documents[0].path

    @property
    def numbers(self) -> npt.NDArray[np.int64]:
        """The numbers of its images in a stack, from 0: ``ZValue``, else their order."""
        if all(section.kind == ZVALUE for section in self.sections):
            return np.array([section.index for section in self.sections], dtype=np.int64)
        return np.arange(len(self.sections))

    def head(self, key: str) -> str | None:
        """What the head of the first file says."""
        return self.documents[0].head.text(key)


def mdoc_files(source: StrPath) -> list[Path]:
    """The ``.mdoc`` files that a path stands for: itself, or those of a folder.

    In a folder, second files of Tomo5 (``NAME_override.mdoc``) are passed over.

    Raises
    ------
    MissingFileError
        If it is not there, or a folder without such files.
    """
    path = Path(source)
    if not path.is_dir():
        if not path.exists():
            raise MissingFileError(f"{path}: there is no such file or folder")
        return [path]
    found = sorted(path.glob("*.mdoc"))
    if not found:
        raise MissingFileError(f"{path}: no .mdoc file is there")
    again = {file.with_name(f"{file.stem}{_OVERRIDE}") for file in found}.intersection(found)
    if again:
        assume(
            f"{path}: passed over, as Tomo5 writes them beside the file of a series: "
            f"{some_of([file.name for file in sorted(again)], 3)}"
        )
    return [file for file in found if file not in again]


def all_series(sources: Sequence[StrPath], failures: Failures) -> list[Series]:
    """The series of files and folders. Files of single movies are put together by their names."""
    series: list[Series] = []
    single: dict[tuple[str, str], list[Document]] = {}
    for source in sources:
        files: list[Path] = []
        with part(failures, os.fspath(source)):
            files = mdoc_files(source)
        for file in files:
            with part(failures, os.fspath(file)):
                document = read_document(file)
                _refuse_other(document)
                tilts = document.of_kind(ZVALUE, IMAGE) or document.of_kind(FRAME_SET)
                if len(tilts) == 1 and tilts[0].kind == FRAME_SET:
                    stem = stem_of(tilts[0].frames or file.name.removesuffix(".mdoc"))
                    found = numbered(stem, tilts[0].need("TiltAngle"))
                    key = str(file.parent), found[0] if found else file.parent.resolve().name
                    single.setdefault(key, []).append(document)
                else:
                    series.append(_checked(series_name(file), [document], tilts))
    whole = {one.name: one.path for one in series}
    for (_, name), documents in single.items():
        if name in whole:
            assume(
                f"{documents[0].path}: {len(documents)} .mdoc files of single movies of {name!r} "
                f"are passed over: {whole[name]} is of the series"
            )
            continue
        with part(failures, documents[0].path):
            series.append(_assembled(name, documents))
    return series


def series_name(file: StrPath) -> str:
    """What a series is called by its file: ``TS_01`` of ``TS_01.mrc.mdoc`` or ``TS_01.idoc``."""
    name = os.path.basename(file).removesuffix(".mdoc").removesuffix(".idoc")
    return next((name.removesuffix(e) for e in IMAGE_ENDINGS if name.endswith(e)), name)


def numbered(stem: str, tilt: float) -> tuple[str, int] | None:
    """What stands before number and tilt angle in a movie's name, and the number; None: nothing.

    Examples
    --------
    >>> numbered("TS_01_000_-3.0_Oct08_07.46.46", -2.99)
    ('TS_01', 0)
    """
    pairs = [m for m in _NUMBERED.finditer(stem) if abs(float(m[2]) - tilt) <= _SAME_ANGLE]
    return (stem[: pairs[-1].start()].rstrip("_-"), int(pairs[-1][1])) if pairs else None


def _refuse_other(document: Document) -> None:
    """Refuse montages, and movies that hold several tilts."""
    if document.is_montage:
        raise UnsupportedError(
            f"{document.path}: this is the .mdoc of a montage (pieces of larger images), not of a "
            "tilt series"
        )
    if document.of_kind(FRAME_SET) and document.of_kind(ZVALUE):
        raise UnsupportedError(
            f"{document.path}: one movie holds several images of the series (FrameTSStartEndFrames)"
            ": cut it into images first, with IMOD's alignframes, and give the .mdoc of that stack"
        )


def _assembled(name: str, documents: Sequence[Document]) -> Series:
    first = documents[0]
    if len(documents) < 2:
        raise FileFormatError(
            "this .mdoc is of one movie, that is, of one tilt image: give those of all movies of "
            f"the series together (their names begin with {name!r}), or the .mdoc of the series",
            path=first.path,
        )
    sections = [section for document in documents for section in document.of_kind(FRAME_SET)]
    assume(
        f"{os.path.dirname(first.path) or '.'}: {len(documents)} .mdoc files of single movies are "
        f"taken for the tilt series {name!r}, by their names"
    )
    return _checked(name, documents, sections)


def _checked(name: str, documents: Sequence[Document], sections: Sequence[Section]) -> Series:
    """A series whose sections, and movies, come once."""
    seen: dict[str, Section] = {}
    one_file = len(documents) == 1
    for section in sections:
        number = f"{section.kind} {section.name}"
        if section.kind == ZVALUE:
            number = f"{ZVALUE} {section.index}"
        for what in (number if one_file else None, section.frames):
            if what and (twin := seen.setdefault(what, section)) is not section:
                raise FileFormatError(
                    f"{what} comes twice, also in {twin.path}:{twin.line}; each image is one tilt",
                    path=section.path,
                    line=section.line,
                )
    return Series(name=name, documents=tuple(documents), sections=tuple(sections))
