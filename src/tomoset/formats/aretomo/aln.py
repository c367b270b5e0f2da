"""The ``.aln`` file of AreTomo: read with the line of whatever is wrong, and written.

AreTomo3, AreTomo/MrcUtil/CSaveAlignFile.cpp and CLoadAlignFile.cpp. Lines that begin with ``#``
are the header; then comes a line for each image, and after ``# Local Alignment`` one for each
patch of each image. AreTomo 1.2 has ``# 41  0``, numbers of images and patches, for a header.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from tomoset.errors import FileFormatError
from tomoset.formats._text_tables import read_lines

Array = npt.NDArray[np.float64]

#: How every version begins.
MARK = "# AreTomo Alignment"
COLUMNS = ("SEC", "ROT", "GMAG", "TX", "TY", "SMEAN", "SFIT", "SCALE", "BASE", "TILT")
_ENTRY = re.compile(r"#\s*(\w+)\s*=\s*(.*?)\s*\Z")
_OLD_COUNTS = re.compile(r"#\s*(\d+)\s+(\d+)\s*\Z")
_LOCAL = re.compile(r"#\s*Local Alignment", re.IGNORECASE)
#: No image or shift is larger [px], and no series longer.
_FAR, _MANY = 1e6, 100_000


@dataclass(frozen=True, kw_only=True, eq=False)
class Aln:
    """What a ``.aln`` file says.

    Parameters
    ----------
    path : str
        The file.
    image_size : (int, int) or None
        Of the raw images [px]; AreTomo 1.2 does not say it.
    n_images : int
        Of the raw stack, the dark ones included.
    darks : sequence of (int, int, float)
        DarkFrame: place by tilt angle from 0, section, tilt angle [deg].
    alpha, beta : float
        AlphaOffset, which TILT holds already, and BetaOffset, which AreTomo uses for the CTF
        alone [deg].
    thickness : int
        Of the specimen [px]; 0: not known.
    sections : (n,) int array
        SEC, as the file counts.
    axes, magnifications, tilts : (n,) arrays
        ROT [deg], GMAG, TILT [deg].
    shifts : (n, 2) array
        TX, TY: where the middle of the specimen is in the image, from its middle [px].
    patches : (n, p, 5) array or None
        Of each image and patch: x, y from the middle of the specimen, shift in x and y [px], and
        whether it is good.
    """

    path: str
    image_size: tuple[int, int] | None
    n_images: int
    sections: npt.NDArray[np.int64]
    axes: Array
    shifts: Array
    tilts: Array
    magnifications: Array
    darks: Sequence[tuple[int, int, float]] = ()
    alpha: float = 0.0
    beta: float = 0.0
    thickness: int = 0
    patches: Array | None = None

    @property
    def text(self) -> str:
        """The file, with as many decimals as give all back; no patches."""
        width, height = self.image_size or (0, 0)
        lines = [f"{MARK} / Priims bprmMn", f"# RawSize = {width} {height} {self.n_images}"]
        lines.append("# NumPatches = 0")
        lines += [f"# DarkFrame =  {i:4d} {sec:4d} {tilt:8.2f}" for i, sec, tilt in self.darks]
        lines += [f"# AlphaOffset = {self.alpha:8.2f}", f"# BetaOffset = {self.beta:8.2f}"]
        lines.append(f"# Thickness = {self.thickness}")
        lines.append(
            "# SEC     ROT         GMAG       TX          TY      SMEAN     SFIT    SCALE     "
            "BASE     TILT"
        )
        rows = zip(self.sections, self.axes, self.shifts, self.tilts, strict=True)
        lines += [
            f"{sec:5d}  {axis:12.7f}  {1:9.5f}  {x:12.6f}  {y:12.6f}  {1:7.2f}  {1:7.2f}  {1:7.2f}"
            f"  {0:7.2f}  {tilt:12.7f}"
            for sec, axis, (x, y), tilt in rows
        ]
        return "".join(line + "\n" for line in lines)


def read_aln(path: str | os.PathLike[str]) -> Aln:
    """Read a ``.aln`` file.

    Raises
    ------
    MissingFileError
        If it is not there.
    FileFormatError
        With the line that is no such line, or the number of lines that was expected.
    """
    reader = _Reader(os.fspath(path))
    return reader.aln()


@dataclass
class _Reader:
    """The lines of a file, sorted by what they are."""

    path: str
    entries: dict[str, list[tuple[int, list[str]]]] = field(default_factory=dict)
    rows: list[tuple[int, list[float]]] = field(default_factory=list)
    local: list[tuple[int, list[float]]] = field(default_factory=list)
    last: int = 0

    def __post_init__(self) -> None:
        lines = read_lines(self.path)
        if not lines[0].startswith(MARK):
            raise FileFormatError(
                f"expected {MARK!r} in the first line, found {lines[0][:40]!r}",
                path=self.path,
                line=1,
            )
        is_local = False
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            self.last = number
            if line.startswith("#"):
                is_local = is_local or bool(_LOCAL.match(line))
                self._header(number, line.strip())
            elif is_local:
                self.local.append((number, self._numbers(number, line, 7)))
            else:
                self.rows.append((number, self._numbers(number, line, len(COLUMNS))))

    def _header(self, number: int, line: str) -> None:
        found = _ENTRY.match(line)
        if found:
            self.entries.setdefault(found[1], []).append((number, found[2].split()))
        elif counts := _OLD_COUNTS.match(line):
            self.entries.setdefault("Counts", []).append((number, list(counts.groups())))

    def _numbers(self, line: int, text: str, count: int) -> list[float]:
        words = text.split()
        if len(words) != count:
            what = " ".join(COLUMNS) if count == 10 else "image, patch, x, y, two shifts, good"
            raise self.error(f"expected {count} numbers ({what}), found {len(words)}", line)
        return [self._number(line, word, _FAR) for word in words]

    def _number(self, line: int, word: str, limit: float) -> float:
        try:
            value = float(word) if "_" not in word else np.nan
        except ValueError:
            value = np.nan
        if not abs(value) <= limit:
            raise self.error(f"expected a number within ±{limit:g}, found {word[:40]!r}", line)
        return value

    def error(self, message: str, line: int | None = None) -> FileFormatError:
        return FileFormatError(message, path=self.path, line=line)

    def _entry(self, name: str, *limits: float) -> list[tuple[int, list[float]]]:
        """The lines ``# name = ...``, with a number for each limit."""
        found = []
        for line, words in self.entries.get(name, []):
            if len(words) != len(limits):
                raise self.error(
                    f"{name} takes {len(limits)} number{'s' * (len(limits) > 1)}, found "
                    f"{' '.join(words)[:40]!r}",
                    line,
                )
            pairs = zip(words, limits, strict=True)
            found.append((line, [self._number(line, word, limit) for word, limit in pairs]))
        return found

    def _wholes(self, name: str, *limits: float) -> list[tuple[int, list[int]]]:
        """Likewise of whole numbers from 0."""
        found = []
        for line, values in self._entry(name, *limits):
            if not all(value >= 0 and value.is_integer() for value in values):
                raise self.error(f"{name} takes whole numbers from 0", line)
            found.append((line, [int(value) for value in values]))
        return found

    def _one(self, name: str, limit: float) -> float:
        found = self._entry(name, limit)
        return found[-1][1][0] if found else 0.0

    def aln(self) -> Aln:
        if not self.rows:
            raise self.error("no line of an image: the file is cut short, or of another program")
        table = np.array([values for _, values in self.rows])
        self._check_columns(table)
        darks = self._darks()
        size, n_images = self._sizes(len(table), len(darks))
        if len(table) + len(darks) != n_images:
            raise self.error(
                f"expected lines for {n_images - len(darks)} images ({n_images} of the raw stack, "
                f"{len(darks)} of them dark), found {len(table)}",
                self.rows[-1][0],
            )
        return Aln(
            path=self.path,
            image_size=size,
            n_images=n_images,
            darks=darks,
            alpha=self._one("AlphaOffset", 180.0),
            beta=self._one("BetaOffset", 180.0),
            thickness=int(max(self._one("Thickness", _FAR), 0)),
            sections=table[:, 0].astype(np.int64),
            axes=table[:, 1],
            magnifications=table[:, 2],
            shifts=table[:, 3:5],
            tilts=table[:, 9],
            patches=self._patches(len(table)),
        )

    def _check_columns(self, table: Array) -> None:
        for column, limit, what in ((1, 360.0, "ROT"), (9, 180.0, "TILT")):
            wild = np.flatnonzero(np.abs(table[:, column]) > limit)
            if len(wild):
                raise self.error(
                    f"{what} {table[wild[0], column]:g} is no angle within ±{limit:g}°",
                    self.rows[wild[0]][0],
                )
        wrong = np.flatnonzero((table[:, 0] < 0) | (table[:, 0] % 1 != 0))
        if len(wrong):
            raise self.error("SEC takes whole numbers from 0", self.rows[wrong[0]][0])
        if len(table) > 1 and not table[:, 9].any():
            raise self.error("TILT is 0 in every line; is this the file of the alignment?")

    def _darks(self) -> list[tuple[int, int, float]]:
        darks = []
        for line, (place, section, tilt) in self._entry("DarkFrame", _MANY, _MANY, 180.0):
            if min(place, section) < 0 or place % 1 or section % 1:
                raise self.error("DarkFrame takes two whole numbers from 0 and an angle", line)
            darks.append((int(place), int(section), tilt))
        return darks

    def _sizes(self, n_rows: int, n_darks: int) -> tuple[tuple[int, int] | None, int]:
        """Width and height of the raw images if they are said, and how many there are."""
        for line, (width, height, images) in self._wholes("RawSize", _FAR, _FAR, _MANY):
            if 0 in (width, height, images):
                raise self.error("RawSize takes three numbers above 0", line)
            return (width, height), images
        counts = self._wholes("Counts", _MANY, _MANY)
        return None, counts[0][1][0] if counts else n_rows + n_darks

    def _patches(self, n_rows: int) -> Array | None:
        said = [values[0] for _, values in self._wholes("NumPatches", _MANY)]
        said += [values[1] for _, values in self._wholes("Counts", _MANY, _MANY)]
        count = said[0] if said else 0
        expected = count * n_rows
        if len(self.local) != expected:
            raise self.error(
                f"expected {count} local shifts for each of {n_rows} images, {expected} lines; "
                f"found {len(self.local)}",
                self.last,
            )
        if not expected:
            return None
        patches = np.full((n_rows, count, 5), np.nan)
        for line, (row, patch, *values) in self.local:
            fits = 0 <= row < n_rows and 0 <= patch < count and not (row % 1 or patch % 1)
            if not fits or np.isfinite(patches[int(row), int(patch), 0]):
                raise self.error(f"patch {patch:g} of image {row:g} is not there, or twice", line)
            patches[int(row), int(patch)] = values
        return patches
