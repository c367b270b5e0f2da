"""Defocus of every view in IMOD's ``.defocus`` files."""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tomoset.errors import AssumptionWarning, FileFormatError
from tomoset.formats._ctffind import DefocusTable, smaller_first
from tomoset.formats._text_tables import LARGEST, read_lines, read_text

Array = npt.NDArray[np.float64]
Views = npt.NDArray[np.int64]


def looks_like_imod(path: str | os.PathLike[str]) -> bool:
    """Whether a table is IMOD's: its second column is a view, CTFFIND's a defocus in Å."""
    for line in read_text(os.fspath(path), 4096).splitlines():
        words = line.split()
        if len(words) > 1 and not words[0].startswith("#"):
            return words[0].isdecimal() and words[1].isdecimal() and int(words[1]) < 1000
    return False


@dataclass(frozen=True)
class _Flags:
    """The first number of a version 3 file (man page of ctfphaseflip, "defocus file")."""

    astigmatism: bool = False
    radians: bool = False
    phase: bool = False
    phase_radians: bool = False
    inverted: bool = False
    cut_on: bool = False

    @classmethod
    def of(cls, number: int) -> _Flags:
        return cls(*(bool(number & bit) for bit in (1, 2, 4, 8, 16, 32)))

    @property
    def columns(self) -> int:
        return 5 + 2 * self.astigmatism + self.phase + self.cut_on


def read_imod(
    path: str | os.PathLike[str], n_views: int, tilts: Array | None = None
) -> DefocusTable:
    """A ``.defocus`` file of ctfplotter, versions 1 to 3.

    Lines of first view, last view, lowest and highest angle, defocus [nm] and what the flags
    of the header announce: second defocus [nm] and angle of astigmatism, phase shift, cut-on
    frequency. Views are numbered from 1 and may come in any order; where a line covers several,
    its values hold at their middle and are interpolated between, as ctfphaseflip does.

    Parameters
    ----------
    path : path-like
        The file.
    n_views : int
        Views of the stack that the numbers count.
    tilts : (n_views,) array, optional
        Tilt angles [deg], NaN for excluded views, by which the numbering is checked.

    Returns
    -------
    DefocusTable
        With one value for each of the `n_views`.

    Raises
    ------
    FileFormatError
        If a line has too few or too many values, or a view that there is not.
    """
    name = os.fspath(path)
    flags, version, rows = _read(name)
    views = _views(rows, n_views, tilts, version, flags, name)
    u = rows[:, 4] * 10
    v, angle, next_column = u, np.zeros(len(rows)), 5
    if flags.astigmatism:
        v, angle, next_column = rows[:, 5] * 10, rows[:, 6], 7
        angle = np.rad2deg(angle) if flags.radians else angle
        if smaller_first(u, v):
            # ctfplotter writes the larger first; AreTomo the smaller, with the larger's azimuth
            u, v = v, u
            warnings.warn(
                f"{name}: the second defocus is the larger in every line, as AreTomo writes it; "
                "the angle is taken for that of the larger one",
                AssumptionWarning,
                stacklevel=2,
            )
    phase = rows[:, next_column] if flags.phase else None
    if phase is not None and flags.phase_radians:
        phase = np.rad2deg(phase)
    if flags.cut_on:
        warnings.warn(
            f"{name}: the cut-on frequency of the phase plate is not carried over",
            AssumptionWarning,
            stacklevel=2,
        )
    wanted = np.ones(n_views, bool) if tilts is None else np.isfinite(tilts)
    return _spread(name, views, wanted, (u, v, angle, phase))


def last_view(path: str) -> int:
    """The largest number of a view in a ``.defocus`` file.

    Raises
    ------
    FileFormatError
        As `read_imod`.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AssumptionWarning)  # said where it is read
        return int(_read(path)[2][:, :2].max())


def _read(path: str) -> tuple[_Flags, int, Array]:
    """What the header announces, the version, and the numbers of all lines."""
    lines = [(n, words) for n, line in enumerate(read_lines(path), 1) if (words := line.split())]
    if not lines:
        raise FileFormatError("the table of defocus is empty", path=path)
    flags, version, body = _header(path, lines)
    return flags, version, np.array([_numbers(path, n, words, flags) for n, words in body])


def ctfplotter_text(table: DefocusTable, tilts: Array) -> str:
    """A ``.defocus`` file, version 3, with a line for each view.

    Parameters
    ----------
    table : DefocusTable
        Of all views, the larger defocus first.
    tilts : (n,) array
        Tilt angles [deg].
    """
    phase = table.phase_shift is not None and bool(table.phase_shift.any())
    shifts = table.phase_shift if phase and table.phase_shift is not None else np.zeros(len(table))
    rows = zip(tilts, table.u / 10, table.v / 10, table.angle, shifts, strict=True)
    return f"{1 + 4 * phase}\t0\t0.0\t0.0\t0.0\t3\n" + "".join(
        f"{i}\t{i}\t{tilt:.2f}\t{tilt:.2f}\t{u:.7f}\t{v:.7f}\t{angle:.7f}"
        + (f"\t{shift:.7f}\n" if phase else "\n")
        for i, (tilt, u, v, angle, shift) in enumerate(rows, 1)
    )


def _header(
    path: str, lines: list[tuple[int, list[str]]]
) -> tuple[_Flags, int, list[tuple[int, list[str]]]]:
    first, words = lines[0]
    if len(words) == 6 and words[1].strip("0.") == "":
        if len(lines) == 1:
            raise FileFormatError("the header is followed by no values", path=path)
        flags, version = _whole(path, first, words[0]), _whole(path, first, words[5])
        if flags > 63 or version > 3:
            raise FileFormatError(
                f"expected flags up to 63 and version up to 3, found {flags} and {version}",
                path=path,
                line=first,
            )
        return _Flags.of(flags), version, lines[1:]
    if len(words) == 6 and (len(lines) == 1 or len(lines[1][1]) == 5):
        return _Flags(), _whole(path, first, words[5]), [(first, words[:5]), *lines[1:]]
    by_width = {5: 0, 7: 1, 8: 1 | 4, 9: 1 | 4 | 32}
    if len(words) not in by_width:
        raise FileFormatError(
            f"the file has no header that says what its {len(words)} columns are, and they may "
            "mean several things; add one, as in '1 0 0. 0. 0 3' for astigmatism",
            path=path,
            line=first,
        )
    if len(words) > 5:
        warnings.warn(
            f"{path}: no header; its {len(words)} columns taken for defocus 1 and 2, the angle "
            "in degrees" + ", and the phase shift in degrees" * (len(words) > 7),
            AssumptionWarning,
            stacklevel=3,
        )
    return _Flags.of(by_width[len(words)]), 3 if len(words) > 5 else 1, lines


def _whole(path: str, line: int, word: str) -> int:
    if not word.isdecimal():
        raise FileFormatError(
            f"expected whole numbers for flags and version, found {word!r}", path=path, line=line
        )
    return int(word)


def _numbers(path: str, line: int, words: list[str], flags: _Flags) -> list[float]:
    try:
        values = [float(word) for word in words]
    except ValueError:
        values = []
    if len(values) != flags.columns or not (np.abs(values) <= LARGEST).all():
        raise FileFormatError(
            f"expected {flags.columns} numbers as the header announces, found {' '.join(words)!r}",
            path=path,
            line=line,
        )
    return values


def _views(
    rows: Array, n_views: int, tilts: Array | None, version: int, flags: _Flags, path: str
) -> Views:
    """First and last view of each line, from 0: (n, 2) int array.

    The angles of the lines tell how views are numbered: from 1 in the whole stack, as the
    manual has it; from 0, as old versions did; or among the kept views only.
    """
    # With the angles of an inverted list a range begins at its last view.
    views: Views = np.sort(rows[:, :2].astype(np.int64) - 1, axis=1)
    readings = {"": views}
    if version < 2:
        readings["views are numbered from 0, as old versions of ctfplotter did; corrected"] = (
            views + 1
        )
    kept = np.arange(n_views) if tilts is None else np.flatnonzero(np.isfinite(tilts))
    if len(kept) < n_views and views.min() >= 0 and views.max() < len(kept):
        readings["views are numbered among those that are kept; taken so"] = kept[views]
    fits = {why: v for why, v in readings.items() if v.min() >= 0 and v.max() < n_views}
    if not fits:
        row = rows[int(np.argmax((views.max(axis=1) >= n_views) | (views.min(axis=1) < 0)))]
        raise FileFormatError(
            f"views {row[0]:g} to {row[1]:g} are not among the {n_views} of the stack, numbered "
            "from 1",
            path=path,
        )
    angles = _angles(rows, path) * (-1 if flags.inverted else 1)
    misfits = {
        (why, sign): _misfit(sign * angles, v, tilts) for why, v in fits.items() for sign in _SIGNS
    }
    # The manual's numbering and the sign that is said, unless another is clearly better.
    best = min(misfits, key=lambda key: misfits[key] + 0.2 * bool(key[0]) + 0.2 * (key[1] < 0))
    if misfits[best] > _OTHER_SERIES:
        raise FileFormatError(
            f"its tilt angles differ by {misfits[best]:.1f}° from those of the series; is this the "
            "defocus of another one?",
            path=path,
        )
    for why in filter(None, (best[0], _SIGNS[best[1]])):
        warnings.warn(f"{path}: {why}", AssumptionWarning, stacklevel=3)
    return fits[best[0]]


#: What is said of either sign of the angles of lines. View numbers hold in any case, as in IMOD.
_SIGNS = {
    1: "",
    -1: "its tilt angles have the opposite sign of the series', as ctfplotter writes them with "
    "-invert; lines are taken by their view numbers",
}


def _angles(rows: Array, path: str) -> Array:
    """The middle of the tilt angles of each line [deg]; 0 where these are none."""
    angles = rows[:, 2:4]
    if (np.abs(angles) <= _STEEPEST).all():
        return np.asarray(angles.mean(axis=1))
    warnings.warn(
        f"{path}: columns 3 and 4 hold no tilt angles, but up to {np.abs(angles).max():g}, as "
        "AreTomo writes them with a phase plate; lines are taken by their view numbers",
        AssumptionWarning,
        stacklevel=4,
    )
    return np.zeros(len(rows))


#: No tilt angle is larger [deg].
_STEEPEST = 180.0


#: Angles of lines and views may differ by a levelling of the specimen, which is common to all,
#: and by little else [deg].
_OTHER_SERIES = 5.0


def _misfit(angles: Array, views: Views, tilts: Array | None) -> float:
    """Typical difference of angle between lines and views, a common offset taken off [deg]."""
    if tilts is None:
        return 0.0
    apart = tilts[views].mean(axis=1) - angles
    apart = apart[np.isfinite(apart)]
    if len(apart) < 3 or not angles.any():
        return 0.0
    return float(np.percentile(np.abs(apart - np.median(apart)), 90))


def _spread(
    path: str,
    views: Views,
    wanted: npt.NDArray[np.bool_],
    values: tuple[Array, Array, Array, Array | None],
) -> DefocusTable:
    """One value for each view, from lines that may cover several or leave some out."""
    u, v, angle, phase = values
    n_views = len(wanted)
    middle = views.sum(axis=1) // 2
    # A line that comes again replaces the first, as in ctfplotter.
    order = len(middle) - 1 - np.unique(middle[::-1], return_index=True)[1]
    at = middle[order].astype(np.float64)
    every = np.arange(n_views, dtype=np.float64)
    missing = sorted(set(range(n_views)) - set(at.astype(int).tolist()))
    covered = {int(k) for first, last in views for k in range(first, last + 1)}
    absent = [k + 1 for k in missing if k not in covered and wanted[k]]
    if absent:
        warnings.warn(
            f"{path}: no line for view{'s' * (len(absent) > 1)} {', '.join(map(str, absent))}; "
            "taken from its neighbours",
            AssumptionWarning,
            stacklevel=3,
        )
    if not missing:
        return DefocusTable(
            path=path,
            u=u[order],
            v=v[order],
            angle=angle[order],
            phase_shift=None if phase is None else phase[order],
        )
    # Astigmatism turns by half turns: interpolate it as a vector of twice the angle.
    turn = np.deg2rad(2 * angle[order])
    mean = np.interp(every, at, (u + v)[order] / 2)
    half = (u - v)[order] / 2
    c = np.interp(every, at, half * np.cos(turn))
    s = np.interp(every, at, half * np.sin(turn))
    radius = np.hypot(c, s)
    new_angle = np.where(radius > 0, np.rad2deg(np.arctan2(s, c)) / 2, 0.0)
    new = DefocusTable(
        path=path,
        u=mean + radius,
        v=mean - radius,
        angle=new_angle,
        phase_shift=None if phase is None else np.interp(every, at, phase[order]),
    )
    known = at.astype(int)  # these keep their digits
    new.u[known], new.v[known], new.angle[known] = u[order], v[order], angle[order]
    return new
