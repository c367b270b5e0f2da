"""The text of an ``.mdoc`` file: IMOD's autodoc, and what other programs make of it."""

from __future__ import annotations

import math
import os
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from tomoset.errors import AssumptionWarning, FileFormatError, MissingFieldError, some_of
from tomoset.formats._text_tables import read_lines

T = TypeVar("T")

#: Sections that are images, or movies.
ZVALUE, FRAME_SET, IMAGE, MONTAGE = "ZValue", "FrameSet", "Image", "MontSection"
_KINDS = (ZVALUE, FRAME_SET, IMAGE, MONTAGE)
_SECTION = re.compile(r"\[\s*(\w+)\s*=\s*(.*?)\s*\]")
#: Titles; some Tomo5 leave out the first bracket.
_TITLE = re.compile(r"\[?\s*T\s*=\s*(.*?)\s*\]?")
#: One of these is in the beginning of each file.
MARK = re.compile(rb"^\[\s*(?:ZValue|FrameSet|MontSection|Image)\s*=", re.MULTILINE)
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DATES = (
    re.compile(
        r"(?P<day>\d{1,2})[-/. ](?P<month>[A-Za-z]{3,9})\.?[-/. ](?P<year>\d{4}|\d{2})[\sT]+"
        r"(?P<time>\d{1,2}:\d{2}:\d{2}(?:\.\d+)?)"
    ),
    re.compile(
        r"(?P<year>\d{4})[-/](?P<month>\d{1,2}|[A-Za-z]{3,9})[-/](?P<day>\d{1,2})[\sT]+"
        r"(?P<time>\d{1,2}:\d{2}:\d{2}(?:\.\d+)?)"
    ),
)


@dataclass(frozen=True, kw_only=True, eq=False)
class Section:
    """A section, or the head of the file: values by key, as texts.

    Parameters
    ----------
    path : str
        The file.
    kind, name : str
        What stands in its brackets, as in ``[ZValue = 3]``; empty for the head.
    line : int
        Where it begins, from 1.
    values : dict of str to str
    lines : dict of str to int
        Where each value stands.
    """

    path: str
    kind: str = ""
    name: str = ""
    line: int = 1
    values: dict[str, str] = field(default_factory=dict)
    lines: dict[str, int] = field(default_factory=dict)

    @property
    def index(self) -> int:
        """The number of a section."""
        if not (self.name.isdecimal() and len(self.name) < 8):
            raise FileFormatError(
                f"expected a whole number in [{self.kind} = {self.name}]",
                path=self.path,
                line=self.line,
            )
        return int(self.name)

    def text(self, key: str) -> str | None:
        """What is said; None where nothing is."""
        return self.values.get(key) or None

    def number(self, key: str) -> float | None:
        """A number; None where there is none, or nan."""
        return self._read(key, _number, "a number")

    def numbers(self, key: str) -> list[float] | None:
        """Numbers with blanks between them; None as `number`."""
        return self._read(key, lambda text: [*map(_number, text.split())], "numbers")

    def need(self, key: str) -> float:
        """A number that must be there; MissingFieldError."""
        value = self.number(key)
        if value is None:
            raise MissingFieldError(
                f"[{self.kind} = {self.name}] has no {key}", path=self.path, line=self.line
            )
        return value

    def date(self) -> float | None:
        """``DateTime`` in seconds; None where it is empty or absent."""
        return self._read("DateTime", _seconds, "a date and a time, as 08-Oct-21  07:39:08")

    def _read(self, key: str, convert: Callable[[str], T], expected: str) -> T | None:
        text = self.text(key)
        if text is None:
            return None
        try:
            value = convert(text)
        except ValueError:
            raise FileFormatError(
                f"{key}: expected {expected}, found {text[:60]!r}",
                path=self.path,
                line=self.lines[key],
            ) from None
        return None if isinstance(value, float) and math.isnan(value) else value

    @property
    def frames(self) -> str | None:
        """``SubFramePath`` with slashes, as the camera's computer has it."""
        text = self.name if self.kind == IMAGE else self.text("SubFramePath")
        return text and text.replace("\\", "/")


@dataclass(frozen=True, kw_only=True, eq=False)
class Document:
    """An ``.mdoc`` file.

    Parameters
    ----------
    path : str
    head : Section
        What stands before all sections.
    titles : tuple of str
        Of ``[T = ...]``.
    sections : tuple of Section
    """

    path: str
    head: Section
    titles: tuple[str, ...]
    sections: tuple[Section, ...]

    def of_kind(self, *kinds: str) -> tuple[Section, ...]:
        """Its sections of these kinds."""
        return tuple(section for section in self.sections if section.kind in kinds)

    @property
    def is_montage(self) -> bool:
        """Whether its sections are pieces of larger images, not tilts."""
        return (
            self.head.values.get("Montage") == "1"
            or bool(self.of_kind(MONTAGE))
            or any("PieceCoordinates" in section.values for section in self.sections)
        )


def read_document(path: str | os.PathLike[str]) -> Document:
    """Read an ``.mdoc`` file.

    Raises
    ------
    FileFormatError
        With the line that is no ``key = value``, or if there is no section.
    """
    name = os.fspath(path)
    head = section = Section(path=name)
    sections: list[Section] = []
    titles: list[str] = []
    said: dict[str, list[str]] = {}
    for number, raw in enumerate(read_lines(name), 1):
        line = raw.strip()
        if not line:
            continue
        if title := _TITLE.fullmatch(line):
            titles.append(title[1])
        elif bracket := _SECTION.fullmatch(line):
            section = Section(path=name, kind=bracket[1], name=bracket[2], line=number)
            sections.append(section)
        else:
            _add(section, line, number, said)
    _say(name, said, [s for s in sections if s.kind not in _KINDS])
    known = tuple(s for s in sections if s.kind in _KINDS)
    if not known:
        raise FileFormatError(
            "no section [ZValue = ...] or [FrameSet = ...] of an .mdoc file is there", path=name
        )
    _say_cut(known)
    return Document(path=name, head=head, titles=tuple(titles), sections=known)


def _add(section: Section, line: str, number: int, said: dict[str, list[str]]) -> None:
    key, equals, value = (part.strip() for part in line.partition("="))
    if not equals or not key or " " in key or "[" in key:
        raise FileFormatError(
            f"expected key = value or [ZValue = number], found {line[:60]!r}",
            path=section.path,
            line=number,
        )
    if section.values.get(key, value) != value:
        said.setdefault("twice", []).append(f"line {number} ({key})")
    if re.fullmatch(r"[-+]?\d+,\d+", value):
        said.setdefault("comma", []).append(f"line {number} ({key} = {value})")
    section.values[key], section.lines[key] = value, number


def _say(path: str, said: Mapping[str, list[str]], unknown: list[Section]) -> None:
    """Say what was odd, once for a file."""
    kinds = [f"[{kind}]" for kind in dict.fromkeys(s.kind for s in unknown)]
    texts = {
        "a key comes twice in a section with another value; the last is taken": said.get("twice"),
        "decimal commas are taken for points": said.get("comma"),
        "sections of a kind that is not known are passed over": kinds,
    }
    for text, places in texts.items():
        if places:
            assume(f"{path}: {text}: {some_of(places, 3)}")


def _say_cut(sections: Sequence[Section]) -> None:
    """Say that the last section lacks what all others have, as in a file that was cut short."""
    last, others = sections[-1], [s.values.keys() for s in sections[:-1]]
    common = [key for key in sections[0].values if all(key in keys for keys in others)]
    lacking = [key for key in common if key not in last.values]
    if lacking and all(section.kind == last.kind for section in sections):
        assume(
            f"{last.path}:{last.line}: the last section lacks {some_of(lacking, 3)}, which all "
            "others have: was the file cut short?"
        )


def assume(text: str) -> None:
    """Say what is assumed of a file."""
    warnings.warn(text, AssumptionWarning, stacklevel=4)


def _number(text: str) -> float:
    if not text.isascii() or "_" in text:
        raise ValueError
    value = float(text.replace(",", ".") if text.count(",") == 1 and "." not in text else text)
    if math.isinf(value):
        raise ValueError
    return value


def _seconds(text: str) -> float:
    found = next((match for form in _DATES if (match := form.fullmatch(text))), None)
    if found is None:
        raise ValueError
    from datetime import datetime

    month = found["month"]
    year = int(found["year"]) + (2000 if len(found["year"]) == 2 else 0)
    number = int(month) if month.isdecimal() else _MONTHS.index(month[:3].lower()) + 1
    hours, minutes, seconds = found["time"].split(":")
    day = datetime(year, number, int(found["day"]), int(hours), int(minutes))
    return (day - datetime(2000, 1, 1)).total_seconds() + float(seconds)
