"""IMOD's command files, newst.com and tilt.com, as their programs read them.

https://bio3d.colorado.edu/imod/doc/man/pip.html: one option a line, its name in any case
and shortened as long as it is unique, then a blank or ``=``, then the value. Lines of the
shell begin with ``$``, comments with ``#``.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from tomoset.errors import FileFormatError, MissingFieldError
from tomoset.formats._text_tables import LARGEST, read_lines

#: What an import needs of each program, or has to speak of when it cannot carry it.
TILT_OPTIONS = (
    "InputProjections", "OutputFile", "TILTFILE", "THICKNESS", "FULLIMAGE", "IMAGEBINNED",
    "SHIFT", "OFFSET", "XAXISTILT", "XTILTFILE", "SUBSETSTART", "EXCLUDELIST", "EXCLUDELIST2",
    "EXCLUDE", "INCLUDE", "LOCALFILE", "LOCALSCALE", "ZFACTORFILE", "WIDTH", "SLICE", "ANGLES",
    "PARALLEL", "PERPENDICULAR", "RotateBy90", "COMPRESS",
)  # fmt: skip
TILT_PROGRAMS = ("tilt",)
NEWSTACK_PROGRAMS = ("newstack", "newst", "blendmont")
NEWSTACK_OPTIONS = (
    "InputFile", "OutputFile", "TransformFile", "SizeToOutputInXandY", "BinByFactor",
    "OffsetsInXandY", "DistortionField", "GradientFile", "RotateByAngle", "ExpandByFactor",
    "ShrinkByFactor", "ImagesAreBinned", "AntialiasFilter", "TaperAtFill", "AdjustOrigin",
    "UseTransformLines", "SectionsToRead",
)  # fmt: skip
#: Newstack's short names of them, as on the line that calls it in old command files.
_SHORT = {
    "input": "InputFile", "output": "OutputFile", "xform": "TransformFile",
    "size": "SizeToOutputInXandY", "bin": "BinByFactor", "offset": "OffsetsInXandY",
    "distort": "DistortionField", "gradient": "GradientFile", "rotate": "RotateByAngle",
    "expand": "ExpandByFactor", "shrink": "ShrinkByFactor", "imagebinned": "ImagesAreBinned",
    "antialias": "AntialiasFilter", "taper": "TaperAtFill", "origin": "AdjustOrigin",
    "uselines": "UseTransformLines", "secs": "SectionsToRead",
}  # fmt: skip
_WITHOUT_VALUE = ("AdjustOrigin",)


@dataclass(frozen=True)
class Entry:
    """One option of a command file: its value as text, and its line."""

    value: str
    line: int


@dataclass(frozen=True, kw_only=True)
class CommandFile:
    """The options given to one program.

    Parameters
    ----------
    path : str
        The file.
    entries : dict of str to list of Entry
        By the option's full name.
    positional : tuple of str
        Lines before the first option: old command files give file names so.
    called : str or None
        Another program that the file calls, if it calls none of those that were asked for.
    """

    path: str
    entries: dict[str, list[Entry]] = field(default_factory=dict)
    positional: tuple[str, ...] = ()
    called: str | None = None

    def entry(self, name: str) -> Entry | None:
        """The last entry of an option, or None: a later one overrides."""
        found = self.entries.get(name)
        return found[-1] if found else None

    def text(self, name: str) -> str | None:
        """The value of an option, None if it is absent or empty."""
        entry = self.entry(name)
        return entry.value if entry is not None and entry.value else None

    def numbers(self, name: str, *counts: int) -> tuple[float, ...] | None:
        """Numbers set apart by blanks or commas; None if the option is absent or empty."""
        entry = self.entry(name)
        if entry is None or entry.value.strip(", ") in ("", "/"):
            return None
        words, too_large = entry.value.replace(",", " ").split(), False
        try:
            if "_" in entry.value:
                raise ValueError
            values = tuple(float(word) for word in words)
            too_large = not all(abs(value) <= LARGEST for value in values)
            if too_large:
                raise ValueError
        except ValueError:
            values = ()
        if len(values) not in counts:
            wanted = " or ".join(map(str, counts))
            hint = f"; the largest is {LARGEST:.0f}" if too_large else ""
            hint += "; exponents are written with E" if "D" in entry.value.upper() else ""
            raise FileFormatError(
                f"{name} takes {wanted} number{'s' * (counts != (1,))}, found {entry.value!r}"
                + hint,
                path=self.path,
                line=entry.line,
            )
        return values

    def pair(self, name: str) -> tuple[int, int] | None:
        """Two whole numbers; None if the option is absent or empty."""
        values = self.numbers(name, 2)
        if values is None:
            return None
        if not all(v.is_integer() for v in values):
            raise self.error(name, f"{name} takes two whole numbers, found {values}")
        return int(values[0]), int(values[1])

    def number(self, name: str) -> float | None:
        """One number; None if the option is absent or empty."""
        values = self.numbers(name, 1)
        return None if values is None else values[0]

    def error(self, name: str, message: str) -> FileFormatError:
        """An error at the line of an option."""
        entry = self.entry(name)
        if entry is None:
            return MissingFieldError(message, path=self.path)
        return FileFormatError(message, path=self.path, line=entry.line)


def read_commands(
    path: str | os.PathLike[str], options: Iterable[str], programs: Collection[str]
) -> CommandFile:
    """Read what a command file gives to one program.

    Parameters
    ----------
    path : path-like
        The file.
    options : iterable of str
        Names of the options to look for; all others are passed over.
    programs : collection of str
        Names of the program; lines for others are passed over. Lines before any program count.

    Raises
    ------
    MissingFileError
        If it is not there.
    FileFormatError
        If it is not text, or calls the program twice.
    """
    name = os.fspath(path)
    lines = read_lines(name)
    listening, calls, other = True, 0, None
    known = tuple(options)
    entries: dict[str, list[Entry]] = {}
    positional: list[str] = []
    for number, line in enumerate(lines, 1):
        words = line.split(None, 1)
        if not words or words[0][0] == "#":
            continue
        if words[0][0] == "$":
            called = _program(line)
            if called is not None:
                listening = called in programs
                calls += listening
                other = other or called
            if calls > 1:
                raise FileFormatError(
                    f"{called} is called a second time; keep the call that made the tomogram",
                    path=name,
                    line=number,
                )
            for given, value in _options_of_call(line, known) if called and listening else ():
                entries.setdefault(given, []).append(Entry(value, number))
            continue
        if words[0] == "DONE":
            listening = False
        if not listening:
            continue
        name_of_option, mark, glued = words[0].partition("=")
        option = _full_name(name_of_option, known)
        if option is None:
            if not entries:
                positional.append(line.strip())
            continue
        value = (glued + " " if mark else "") + (words[1] if len(words) > 1 else "")
        if not mark:
            value = value.removeprefix("=")
        entries.setdefault(option, []).append(Entry(_without_comment(value), number))
    return CommandFile(
        path=name,
        entries=entries,
        positional=tuple(positional),
        called=None if calls or entries else other,
    )


#: What may stand behind a dollar sign besides the name of a program.
_SHELL = ("if", "setenv", "set", "echo", "goto", "exit", "cd", "cp", "mv", "rm", "ln", "export")


@functools.lru_cache(maxsize=256)
def _program(line: str) -> str | None:
    """The program that a line of the shell calls, if it calls one."""
    words = line.strip()[1:].split(None, 1)
    if not words or words[0] in _SHELL or words[0][0] in "#(" or words[0].endswith(":"):
        return None
    return os.path.basename(words[0])


def _options_of_call(line: str, known: tuple[str, ...]) -> list[tuple[str, str]]:
    """Options on the line that calls a program; the first word without one is the input."""
    words = line.strip()[1:].split()[1:]
    found: list[tuple[str, str]] = []
    while words:
        word = words.pop(0)
        if not _is_option(word):
            if "InputFile" in known and word.endswith(".st"):
                found.append(("InputFile", word))
            continue
        option = _full_name(word[1:], known) or _full_name(_whole(word[1:]), known)
        if option is not None:
            takes = option not in _WITHOUT_VALUE and words and not _is_option(words[0])
            found.append((option, words.pop(0) if takes else ""))
    return found


def _is_option(word: str) -> bool:
    return word[0] == "-" and word[1:2].isalpha()


def _whole(word: str) -> str:
    """A short name that was shortened further, such as xf of xform."""
    fits = [short for short in _SHORT if len(word) > 1 and short.startswith(word.lower())]
    return fits[0] if len(fits) == 1 else word


@functools.lru_cache(maxsize=1024)
def _full_name(word: str, options: tuple[str, ...]) -> str | None:
    """The option that a word of a command file means, in any case and shortened."""
    upper = word.upper()
    for option in options:
        if option.upper() == upper:
            return option
    if _SHORT.get(word.lower()) in options:
        return _SHORT[word.lower()]
    # A word must be longer than a few letters to be told from options that are not ours.
    if len(word) < 5 or not word.isalnum():
        return None
    fits = [option for option in options if option.upper().startswith(upper)]
    return fits[0] if len(fits) == 1 else None


def _without_comment(value: str) -> str:
    value = value.strip()
    if value.startswith("#"):
        return ""
    head, mark, _ = value.partition(" #")
    return head.rstrip() if mark else value


def excluded_views(tilt: CommandFile, n_views: int) -> list[int]:
    """Views that tilt.com leaves out, from 0, in ascending order.

    All of EXCLUDELIST, EXCLUDELIST2 and EXCLUDE, in several lines if need be, as IMOD's
    tilt takes them; or whatever INCLUDE does not name.

    Raises
    ------
    FileFormatError
        If a list cannot be read, or names a view that there is not.
    """
    excluded = _views(tilt, ("EXCLUDELIST", "EXCLUDELIST2", "EXCLUDE"), n_views)
    included = _views(tilt, ("INCLUDE",), n_views)
    if included and excluded:
        raise tilt.error("INCLUDE", "INCLUDE and EXCLUDELIST cannot both be given")
    if included:
        excluded = set(range(n_views)) - included
    if len(excluded) == n_views:
        raise FileFormatError(f"all {n_views} views are excluded", path=tilt.path)
    return sorted(excluded)


def _views(tilt: CommandFile, names: Iterable[str], n_views: int) -> set[int]:
    views: set[int] = set()
    for name in names:
        for entry in tilt.entries.get(name, ()):
            try:
                listed = parse_list(entry.value)
            except ValueError as problem:
                raise FileFormatError(
                    f"{name}: {problem}; expected views as in 1-3, 7, 40",
                    path=tilt.path,
                    line=entry.line,
                ) from None
            for view in listed:
                if not 1 <= view <= n_views:
                    raise FileFormatError(
                        f"{name} names view {view}, but views are numbered 1 to {n_views}",
                        path=tilt.path,
                        line=entry.line,
                    )
            views |= {view - 1 for view in listed}
    return views


#: More views than any tilt series has: a larger number in a list is a slip.
_MANY = 100_000


def parse_list(text: str) -> list[int]:
    """Numbers and ranges, set apart by commas or blanks, as IMOD's parselist has them.

    Examples
    --------
    >>> parse_list("1-3, 7 12-10,")
    [1, 2, 3, 7, 12, 11, 10]
    """
    numbers: list[int] = []
    spaced = text.replace("-", " - ").replace(",", " , ").split()
    words = [word for word in spaced if word != ","]
    if text.strip() == "/":
        return []
    pending: int | None = None
    after_dash = False
    for word in words:
        if word == "-":
            if pending is None or after_dash:
                raise ValueError(f"a dash without a number before it in {text!r}")
            after_dash = True
        elif not word.isdecimal() or int(word) > _MANY:
            raise ValueError(f"{word!r} is not a view number")
        elif after_dash and pending is not None:
            last = int(word)
            step = 1 if last >= pending else -1
            numbers.extend(range(pending + step, last + step, step))
            pending, after_dash = last, False
        else:
            pending = int(word)
            numbers.append(pending)
    if after_dash:
        raise ValueError(f"a dash without a number after it in {text!r}")
    return numbers


def format_list(views: Iterable[int]) -> str:
    """Views from 0 as IMOD lists them, from 1 with ranges.

    Examples
    --------
    >>> format_list([2, 3, 4, 39])
    '3-5,40'
    """
    runs: list[list[int]] = []
    for view in sorted(views):
        if runs and view == runs[-1][-1] + 1:
            runs[-1].append(view)
        else:
            runs.append([view])
    return ",".join(
        f"{run[0] + 1}-{run[-1] + 1}" if len(run) > 1 else str(run[0] + 1) for run in runs
    )
