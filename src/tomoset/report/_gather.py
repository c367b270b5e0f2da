"""What is known of a set and of each of its series, in one place, before any of it is drawn."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from tomoset.check import check_reading
from tomoset.check.overview import overview
from tomoset.errors import TomosetError, said_of, some_of
from tomoset.fiducials.outputs import residuals, rms
from tomoset.formats import common_tilts, open_parts
from tomoset.model import Fiducials, Project, Tomogram
from tomoset.model.io import StrPath
from tomoset.model.rules import Problem
from tomoset.project import fiducials_of, open_readable, with_linked
from tomoset.project.diff import SeriesDiff
from tomoset.project.diff import diff as compared
from tomoset.project.history import Step, ancestry
from tomoset.project.metrics import series_table, tilt_table
from tomoset.report._columns import Column
from tomoset.report._history import Event, History
from tomoset.report._points import Points
from tomoset.report._results import Found, Results

Array = npt.NDArray[np.float64]
Row = dict[str, Any]

#: Of an older set, beside the new one.
_BEFORE = ("shift_x", "shift_y", "axis", "defocus")
#: Of what a command said of a whole set, the overview has so many lines; `tomoset history` has all.
_SAID = 5


@dataclass(frozen=True, kw_only=True, eq=False)
class Series:
    """What is known of a tilt series.

    Parameters
    ----------
    tomogram : Tomogram
        Itself.
    row : dict
        By the keys of `tomoset.report._columns.SERIES`.
    tilts : list of dict
        Of each tilt image, by the keys of `tomoset.report._columns.TILTS`: those of the set, then
        those that were taken out.
    fiducials : Fiducials or None
        Its beads.
    off : (n_tilts, n_beads, 2) array or None
        Where beads were seen less where they should be [px].
    particles : (n, 3) array or None
        0-based voxels.
    problems : tuple of Problem
        What `check` says of it.
    found : tuple of Found
        What programs have found.
    change : SeriesDiff or None
        Against the older set.
    history : tuple of Event
        What was done to make it.
    """

    tomogram: Tomogram
    row: Row
    tilts: list[Row]
    fiducials: Fiducials | None = None
    off: Array | None = None
    particles: Array | None = None
    problems: tuple[Problem, ...] = ()
    found: tuple[Found, ...] = ()
    change: SeriesDiff | None = None
    history: tuple[Event, ...] = ()

    @property
    def name(self) -> str:
        """Of the tomogram."""
        return self.tomogram.name

    @property
    def aligned(self) -> bool:
        """Whether points of the specimen can be projected."""
        return self.tomogram.projections is not None

    def values(self, key: str) -> Array:
        """Of the tilt images of the set: (n_tilts,), NaN where it is not known."""
        rows = self.tilts[: self.tomogram.n_tilts]
        return np.array([_number(row.get(key)) for row in rows], dtype=np.float64)

    def shown(self, column: Column) -> Array:
        """The same as it is shown, in the unit of the column."""
        rows = self.tilts[: self.tomogram.n_tilts]
        return np.array([column.number(row.get(column.key)) for row in rows], dtype=np.float64)

    @property
    def angles(self) -> Array | None:
        """Tilt angles, nominal ones where it is not aligned [deg]; None if neither is known."""
        for key in ("tilt", "nominal_tilt"):
            if np.isfinite(found := self.values(key)).all() and len(found):
                return found
        return None

    @property
    def central(self) -> int | None:
        """The tilt image nearest to no tilt, or the middle one, from 0."""
        if self.tomogram.n_tilts == 0:
            return None
        angles = self.angles
        return self.tomogram.n_tilts // 2 if angles is None else int(np.abs(angles).argmin())


def _number(value: Any) -> float:
    return np.nan if value is None or isinstance(value, str) else float(value)


@dataclass(frozen=True, kw_only=True, eq=False)
class Gathered:
    """What is known of a set.

    Parameters
    ----------
    path : str
        As it was given.
    project : Project
        As far as it can be read.
    rows : dict of str to dict
        Of its series, by name.
    failures : tuple of (str, str)
        Series that could not be read, and why.
    problems : tuple of Problem
        What `check` says of the set as a whole.
    of_series : mapping of str to tuple of Problem
        What it says of each.
    about : dict
        What else belongs to the set.
    steps : tuple of Step
        What was done to make it.
    remarks : list of str
        What could not be read besides: history, records, beads.
    results : Results
        What programs have left.
    changes : mapping of str to SeriesDiff
        Against the older set, by name.
    before : Project or None
        The older set.
    """

    path: str
    project: Project
    rows: dict[str, Row]
    failures: tuple[tuple[str, str], ...]
    problems: tuple[Problem, ...]
    of_series: Mapping[str, tuple[Problem, ...]]
    about: dict[str, Any]
    steps: tuple[Step, ...]
    remarks: list[str]
    results: Results
    changes: Mapping[str, SeriesDiff] = field(default_factory=dict)
    before: Project | None = None

    def series(self) -> Iterator[Series]:
        """Each series with all that is known of it, one at a time."""
        points = Points(self.project)
        history = History(self.steps, list(self.project.tomograms), self.results)
        for name, t in self.project.tomograms.items():
            beads = self._beads(t)
            off = None if beads is None else self._off(t, beads)
            found = tuple(self.results.of(t))
            tilts = self._tilts(t, off, found)
            row = self._row(t, tilts, beads, off, found)
            self.rows[name] = row
            yield Series(
                tomogram=t,
                row=row,
                tilts=tilts,
                fiducials=beads,
                off=off,
                particles=points.particles(name),
                problems=self.of_series.get(name, ()),
                found=found,
                change=self.changes.get(name),
                history=history.of(name, found),
            )

    @property
    def events(self) -> list[Event]:
        """What was done to make the set, and what that assumed."""
        return [Event(step=step, said=step.entry.said[:_SAID]) for step in self.steps]

    @property
    def all_remarks(self) -> list[str]:
        """What could not be read besides series."""
        return list(dict.fromkeys([*self.remarks, *self.results.problems]))

    def _beads(self, t: Tomogram) -> Fiducials | None:
        try:
            return fiducials_of(t, self.project.tomograms.format)
        except (TomosetError, OSError) as problem:
            self.remarks.append(str(problem))
            return None

    def _off(self, t: Tomogram, beads: Fiducials) -> Array | None:
        if t.projections is None or beads.observations is None:
            return None
        try:
            return residuals(t, beads)
        except (TomosetError, IndexError) as problem:
            self.remarks.append(f"tomogram {t.name!r}: residuals of its beads: {problem}")
            return None

    def _tilts(self, t: Tomogram, off: Array | None, found: Sequence[Found]) -> list[Row]:
        """Rows of tilt images: those of the tables of the set, and what results add."""
        rows = _rows_of_tilts(self.project, t)
        more: dict[str, Any] = {}
        if off is not None:
            more["residual"] = rms(off, axis=1).tolist()
            more["seen"] = np.isfinite(off[..., 0]).sum(axis=1).tolist()
        for one in found:
            more |= one.said.tilts
        more |= self._earlier(t)
        for key, values in more.items():
            for row, value in zip(rows, values, strict=False):
                row[key] = None if value != value else value  # NaN
        return rows

    def _earlier(self, t: Tomogram) -> dict[str, list[Any]]:
        """What the older set says of the same tilt images."""
        old = None if self.before is None else self.before.tomograms.get(t.name)
        if self.before is None or old is None:
            return {}
        try:
            common = common_tilts(old, t)
        except TomosetError:  # which is said where both are compared
            return {}
        rows = _rows_of_tilts(self.before, old)
        found: dict[str, list[Any]] = {f"{key}_before": [None] * t.n_tilts for key in _BEFORE}
        for earlier, now in zip(common.rows, common.lines, strict=True):
            for key in _BEFORE:
                found[f"{key}_before"][now] = rows[earlier].get(key)
        return found

    def _row(
        self,
        t: Tomogram,
        tilts: Sequence[Row],
        beads: Fiducials | None,
        off: Array | None,
        found: Sequence[Found],
    ) -> Row:
        """The row of a series: that of the table of the set, and what results add."""
        row = dict(self.rows[t.name])
        if beads is not None:
            row["beads"] = len(beads)
        if off is not None and np.isfinite(off).any():
            row["residual"] = float(rms(off.reshape(1, -1, 2), axis=1)[0])
        shifts = [
            float(np.hypot(one["shift_x"], one["shift_y"]))
            for one in tilts[: t.n_tilts]
            if one.get("shift_x") is not None and one.get("shift_y") is not None
        ]
        row["largest_shift"] = max(shifts, default=None)
        change = self.changes.get(t.name)
        if change is not None and change.geometry is not None:
            row["change"] = change.geometry.pixels.worst
        for one in found:
            # What the set itself says has the last word: a program may have run before others.
            row |= {k: v for k, v in one.said.row.items() if row.get(k) is None or k in _LATEST}
        return row


#: Of these the latest program has the last word, of others the set itself, or the first.
_LATEST = frozenset(
    {
        *("residual", "leave_out", "expected", "expected_length", "resolution"),
        *("inclination", "error_inclination", "inclination_rings", "error_inclination_rings"),
    }
)


def _rows_of_tilts(project: Project, t: Tomogram) -> list[Row]:
    alone = Project(tomograms=project.tomograms.with_tomograms([t]))
    table = tilt_table(alone)
    return [dict(zip(table, values, strict=True)) for values in zip(*table.values(), strict=True)]


def gather(path: StrPath, compare: StrPath | None = None, more: Sequence[str] = ()) -> Gathered:
    """Read a set, and what is known of it; what cannot be read is said, and stops nothing.

    Parameters
    ----------
    path : path-like
        A tomogram set, an optimisation set, or a folder with one.
    compare : path-like, optional
        An older one.
    more : sequence of str
        Folders of further results of programs.

    Raises
    ------
    TomosetError
        If the set is not there or is none; or the older one cannot be read.
    """
    reading = open_parts(path)
    project, unreadable = with_linked(reading.project)
    problems = check_reading(reading)
    tomograms = project.tomograms
    remarks = list(map(str, unreadable))
    file = tomograms.path or os.fspath(path)
    steps = _history(file, remarks)
    home = file if os.path.isdir(file) else os.path.dirname(file)
    before = None if compare is None else open_readable(compare)
    change = None if before is None else compared(before, project)
    if change is not None and (only := [*change.only_old, *change.only_new]):
        remarks.append(f"in one of the two sets alone: {some_of(only)}")
    table = series_table(project, problems)
    rows = (dict(zip(table, values, strict=True)) for values in zip(*table.values(), strict=True))
    said = {*tomograms, *(failure.name for failure in reading.failures)}
    by_series: dict[str, list[Problem]] = {}
    for problem in problems:
        by_series.setdefault(problem.tomogram or "", []).append(problem)
    return Gathered(
        path=os.fspath(path),
        project=project,
        rows={row["name"]: row for row in rows},
        failures=tuple((f.name, said_of(f.name, str(f.error))) for f in reading.failures),
        problems=tuple(p for p in problems if p.tomogram not in said),
        of_series={name: tuple(found) for name, found in by_series.items()},
        about=overview(project),
        steps=tuple(steps),
        remarks=remarks,
        results=Results([*_folders(steps), os.path.relpath(home), *more]),
        changes={} if change is None else {one.name: one for one in change.series},
        before=before,
    )


def _folders(steps: Sequence[Step]) -> Iterator[str]:
    """Where commands have read sets, and written them, the earliest first."""
    for step in steps:
        if not step.undone:
            for read in step.entry.reads:
                yield os.path.relpath(os.path.join(step.folder, os.path.dirname(read)))
            yield step.folder


def _history(path: str, remarks: list[str]) -> list[Step]:
    """What was done to make a set; where that is damaged in another folder, what was done here."""
    for of in (path, os.path.dirname(path) or "."):
        try:
            return ancestry(of)
        except (TomosetError, OSError) as problem:
            if str(problem) not in remarks:
                remarks.append(str(problem))
    return []
