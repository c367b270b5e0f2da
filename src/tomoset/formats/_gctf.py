"""Defocus in STAR tables, as of Gctf and of RELION's CtfFind, and in Gctf's logs.

Gctf (https://doi.org/10.1016/j.jsb.2015.11.003) gives defocus along the angle first, which may be
the smaller one; phase shifts are in degrees.
"""

from __future__ import annotations

import os
import warnings

import numpy as np
import numpy.typing as npt

from tomoset import star
from tomoset.errors import AssumptionWarning, FileFormatError, MissingFieldError
from tomoset.formats._ctffind import DefocusTable
from tomoset.formats._matching import TOLERANCE
from tomoset.formats._numbers import possible_floats
from tomoset.formats._text_tables import LARGEST, read_lines

Array = npt.NDArray[np.float64]

_DEFOCUS = ("rlnDefocusU", "rlnDefocusV", "rlnDefocusAngle")
_TILT = "rlnTomoNominalStageTiltAngle"
#: In a set of RELION 5: the table of each series.
_SERIES = "rlnTomoTiltSeriesStarFile"
#: How the line of a log ends that has the result.
FINAL = "Final Values"


def read_defocus_star(
    path: str | os.PathLike[str], tilts: Array | None = None, name: str | None = None
) -> DefocusTable:
    """Defocus of a table with a row for each image, in the order of the images.

    Rows of ``number@stack`` are in the order of the numbers, and rows with the nominal tilts of
    RELION 5 where those are `tilts`, of all images [deg]; others are in the order of the table,
    which is said. A set of RELION 4 has a table for each tomogram: that of `name` is taken.

    Raises
    ------
    FileFormatError
        If there is no such table, or a value is no number or an impossible one.
    """
    table = _table_of(star.read(path), path, name)
    for label in _DEFOCUS:
        if label not in table:
            raise table.error(f"expected a column {label}, found {', '.join(table.labels)}")
    if not len(table):
        raise table.error("the table of defocus is empty")
    u, v = (possible_floats(table, label, "defocus_u") for label in _DEFOCUS[:2])
    phase = "rlnPhaseShift" in table
    made = DefocusTable(
        path=os.fspath(path),
        u=u,
        v=v,
        angle=possible_floats(table, _DEFOCUS[2], "defocus_angle"),
        phase_shift=possible_floats(table, "rlnPhaseShift", "phase_shift") if phase else None,
    )
    return made.take(_order(table, os.fspath(path), tilts))


def _table_of(file: star.StarFile, path: str | os.PathLike[str], name: str | None) -> star.Table:
    """The table that has the defocus of this series."""
    tables = [t for t in file if _DEFOCUS[0] in t]
    if not tables:
        several = any(_SERIES in t for t in file)
        raise MissingFieldError(
            "expected a table of defocus, with rlnDefocusU, rlnDefocusV and rlnDefocusAngle"
            + f"; this names tables of single series ({_SERIES}): give one of these" * several,
            path=path,
        )
    own = next((t for t in tables if t.name == name), tables[0])
    if name is not None and own.name != name and len(tables) > 1:
        raise FileFormatError(
            f"expected defocus of {name!r} or of one series alone, found {len(tables)} tables, "
            f"such as that of {own.name!r}",
            path=path,
        )
    return own


def _order(table: star.Table, path: str, tilts: Array | None) -> list[int]:
    """The rows in the order of the images."""
    names = list(table.get("rlnMicrographName") or ())
    marks = [name.partition("@") for name in names]
    if names and all(mark and number.isdecimal() for number, mark, _ in marks):
        numbers = [int(number) for number, _, _ in marks]
        if len(set(numbers)) == len(numbers) and len({stack for _, _, stack in marks}) == 1:
            return [int(i) for i in np.argsort(numbers)]
    if tilts is not None and (rows := _by_tilt(table, tilts)) is not None:
        return rows
    if len(table) > 1:
        warnings.warn(
            f"{path}: rows name single images, such as {names[0] if names else 'none'}; row i is "
            "taken for image i of the stack",
            AssumptionWarning,
            stacklevel=4,
        )
    return list(range(len(table)))


def _by_tilt(table: star.Table, tilts: Array) -> list[int] | None:
    """The row of each image by its tilt, but for an offset of all; None if they do not fit."""
    if _TILT not in table or len(table) != len(tilts) or not np.isfinite(tilts).all():
        return None
    stated = possible_floats(table, _TILT, "nominal_tilts")
    rows, images = (np.argsort(angles, kind="stable") for angles in (stated, tilts))
    if np.ptp(stated[rows] - tilts[images]) > TOLERANCE:
        return None
    return [int(row) for row in rows[np.argsort(images)]]


def read_gctf_log(path: str | os.PathLike[str]) -> DefocusTable:
    """Defocus of one image, in ``NAME_gctf.log``.

    The line that ends in "Final Values" has U, V, angle, phase shift where it was searched for, and
    the score.

    Raises
    ------
    FileFormatError
        If there is no such line, or it holds no such numbers.
    """
    name = os.fspath(path)
    found = [
        (i, line) for i, line in enumerate(read_lines(name), 1) if line.rstrip().endswith(FINAL)
    ]
    if not found:
        raise FileFormatError(
            f"expected a line that ends in {FINAL!r}, found none; did Gctf end?", path=name
        )
    number, line = found[-1]
    words = line.rstrip().removesuffix(FINAL).split()
    try:
        values = np.array(words, dtype=np.float64)
    except ValueError:
        values = np.empty(0)
    if len(values) not in (4, 5) or not (np.abs(values) <= LARGEST).all():
        raise FileFormatError(
            "expected defocus U, V, angle, perhaps a phase shift, and a score, found "
            f"{line.strip()[:60]!r}",
            path=name,
            line=number,
        )
    return DefocusTable(
        path=name,
        u=values[:1],
        v=values[1:2],
        angle=values[2:3],
        phase_shift=values[3:4] if len(values) == 5 else None,
    )
