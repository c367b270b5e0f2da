"""Defocus of every image in tables as of CTFFIND, which AreTomo writes too."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from tomoset.errors import AssumptionWarning, FileFormatError
from tomoset.formats._text_tables import LARGEST, read_lines
from tomoset.model import Optics

Array = npt.NDArray[np.float64]


#: No defocus is larger [Å].
_FAR = 1e6


@dataclass(frozen=True, kw_only=True)
class DefocusTable:
    """Defocus by view.

    Parameters
    ----------
    path : str
        The file.
    u, v, angle : (n,) arrays
        Defocus along and across the angle [Å], and the angle [deg].
    phase_shift : (n,) array or None
        Of a phase plate [deg]; None where the file says nothing of it.
    score, resolution : (n,) arrays or None
        Correlation with the rings, and the finest period at which they are seen [Å], to be
        written; None where they are not known.
    """

    path: str
    u: Array
    v: Array
    angle: Array
    phase_shift: Array | None
    score: Array | None = None
    resolution: Array | None = None

    def __len__(self) -> int:
        return len(self.u)

    def take(self, rows: Sequence[int]) -> DefocusTable:
        """The values of some views."""
        index = np.asarray(rows, dtype=np.int64)

        def of(values: Array | None) -> Array | None:
            return None if values is None else values[index]

        return replace(
            self,
            u=self.u[index],
            v=self.v[index],
            angle=self.angle[index],
            phase_shift=of(self.phase_shift),
            score=of(self.score),
            resolution=of(self.resolution),
        )

    def fields(self) -> dict[str, Any]:
        """What a tomogram with these images has."""
        return {
            "defocus_u": self.u,
            "defocus_v": self.v,
            "defocus_angle": self.angle,
            "phase_shift": self.phase_shift,
            "ctf_scale": np.ones(len(self)),
        }


def read_ctffind(path: str | os.PathLike[str]) -> DefocusTable:
    """A table of CTFFIND 4 or 5 (AreTomo writes the same).

    https://cistem.org/documentation: number, defocus 1 and 2 [Å], azimuth [deg], phase shift
    [rad], score, resolution, and in CTFFIND 5 tilt and thickness. One line an image of the
    stack. RELION passes the radians on as degrees, and then drops them.

    Raises
    ------
    FileFormatError
        If a line does not begin with at least five numbers.
    """
    name = os.fspath(path)
    lines = [line.split() for line in read_lines(name)]
    body = [words[:5] for words in lines if words and not words[0].startswith("#")]
    try:
        table = np.array(body, dtype=np.float64)
    except ValueError:
        table = np.empty(0)
    if table.ndim != 2 or table.shape[1] != 5 or not (np.abs(table) <= LARGEST).all():
        raise _bad_ctffind(name, lines)
    table = _in_order(table, name)
    wild = np.flatnonzero(np.abs(table[:, 1:4]).max(axis=1) > _FAR)
    if len(wild):
        raise FileFormatError(
            f"image {table[wild[0], 0]:g} has a defocus or azimuth of more than {_FAR:g} Å or °",
            path=name,
        )
    phase = table[:, 4] if table[:, 4].any() else None
    if phase is not None and np.abs(phase).max() > 2 * np.pi:
        raise FileFormatError(
            f"expected phase shifts in radians in column 5, found {table[:, 4].max():g}; is this a "
            "table of CTFFIND?",
            path=name,
        )
    if smaller_first(table[:, 1], table[:, 2]):
        warnings.warn(
            f"{name}: defocus 2 is the larger in every line, which CTFFIND never writes; taken as "
            "CTFFIND defines it, defocus 1 along the azimuth. If the azimuth is that of the "
            "larger one, change the two columns",
            AssumptionWarning,
            stacklevel=2,
        )
    return DefocusTable(
        path=name,
        u=table[:, 1],
        v=table[:, 2],
        angle=table[:, 3],
        phase_shift=None if phase is None else np.rad2deg(phase),
    )


def ctffind_text(table: DefocusTable, optics: Optics, stack: str) -> str:
    """A table as of CTFFIND 4, its numbers of images from 1.

    Programs expect a score and a resolution: where these are not known they are made up.

    Parameters
    ----------
    table : DefocusTable
        The larger defocus first.
    optics : Optics
        With which it was measured.
    stack : str
        Of which it is.
    """
    n = len(table)
    shifts = np.zeros(n) if table.phase_shift is None else np.deg2rad(table.phase_shift)
    scores = np.full(n, 0.1) if table.score is None else table.score
    finest = np.full(n, 12.0) if table.resolution is None else table.resolution
    rows = zip(table.u, table.v, table.angle, shifts, scores, finest, strict=True)
    return f"""\
# Output as of CTFFind version 4.1.14, written by tomoset
# Input file: {stack} ; Number of micrographs: {n}
# Pixel size: {optics.pixel_size or 0.0:.3f} Angstroms ; acceleration voltage: \
{optics.voltage:.1f} keV ; spherical aberration: {optics.spherical_aberration:.2f} mm ; \
amplitude contrast: {optics.amplitude_contrast:.2f}
# Box size: 512 pixels ; min. res.: 30.0 Angstroms ; max. res.: 5.0 Angstroms ; \
min. def.: 5000.0 um; max. def. 50000.0 um
# Columns: #1 - micrograph number; #2 - defocus 1 [Angstroms]; #3 - defocus 2; \
#4 - azimuth of astigmatism; #5 - additional phase shift [radians]; #6 - cross correlation; \
#7 - spacing (in Angstroms) up to which CTF rings were fit successfully
""" + "".join(
        f"{i:.6f} {u:.6f} {v:.6f} {angle:.6f} {shift:.6f} {score:.6f} {fine:.6f}\n"
        for i, (u, v, angle, shift, score, fine) in enumerate(rows, 1)
    )


def smaller_first(u: Array, v: Array) -> bool:
    """Whether the second of two defoci is the larger wherever they differ."""
    return bool((v >= u).all() and (v > u).any())


def _bad_ctffind(path: str, lines: list[list[str]]) -> FileFormatError:
    for number, words in enumerate(lines, 1):
        if not words or words[0].startswith("#"):
            continue
        try:
            numbers = np.abs([float(word) for word in words[:5]])
            fine = len(words) >= 5 and bool((numbers <= LARGEST).all())
        except ValueError:
            fine = False
        if not fine:
            return FileFormatError(
                "expected number, defocus 1, defocus 2, azimuth, phase shift, ...; "
                f"found {' '.join(words)[:60]!r}",
                path=path,
                line=number,
            )
    return FileFormatError("the table of defocus is empty", path=path)


def _in_order(table: Array, path: str) -> Array:
    numbers = table[:, 0]
    if (np.diff(numbers) == 1).all() or (numbers == numbers[0]).all():
        return table
    order = np.argsort(numbers, kind="stable")
    if (numbers[order] == np.arange(1, len(numbers) + 1)).all():
        warnings.warn(
            f"{path}: the lines are not in the order of the images; sorted by their first column",
            AssumptionWarning,
            stacklevel=2,
        )
        return table[order]
    warnings.warn(
        f"{path}: the first column does not number the images; line i taken for image i",
        AssumptionWarning,
        stacklevel=2,
    )
    return table
