"""``hand``: the sign of defocus against depth of every series of a set, and of the set."""

from __future__ import annotations

import os
import warnings
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from tomoset import star
from tomoset.derived import Task as SeriesTask
from tomoset.derived import (
    as_project,
    file_sizes,
    identity,
    in_folder,
    links_file,
    refuse_unknown,
    set_path,
    use_threads,
)
from tomoset.errors import AssumptionWarning, FileAccessError, ModelError
from tomoset.files import AtomicFiles, refuse_unless_star
from tomoset.formats._files import file_names, refuse_unless_set
from tomoset.hand.measure import Measured, measure
from tomoset.hand.options import HandOptions
from tomoset.hand.report import hand_to_star, write_hand_picture
from tomoset.hand.verdict import Verdict, verdict
from tomoset.model import Tomogram, TomogramSet
from tomoset.project import Project
from tomoset.run import Records, Report, RunOptions, run
from tomoset.tilt_series import TiltSeries, found_from_here


@dataclass(frozen=True, kw_only=True, eq=False)
class Task(SeriesTask):
    """What one process needs to find the hand of a series.

    Parameters
    ----------
    options : HandOptions
        What is wanted.
    target : str or None
        Where files go, without their extension; None: none are written.
    """

    options: HandOptions
    target: str | None


@dataclass(frozen=True, kw_only=True, eq=False)
class SetHand:
    """What was found of a set.

    Parameters
    ----------
    report : Report
        Of each series.
    verdict : Verdict
        Of the set.
    path : str or None
        The set that has it, if one was written.
    """

    report: Report
    verdict: Verdict
    path: str | None


def find_hand(
    tomograms: TomogramSet | Project,
    folder: str | os.PathLike[str] | None,
    options: HandOptions,
    running: RunOptions | None = None,
    names: Sequence[str] = (),
    *,
    apply: bool = False,
) -> SetHand:
    """Find the hand of a set.

    Parameters
    ----------
    tomograms : TomogramSet or Project
        As it was read, aligned.
    folder : path-like, optional
        For ``hand_NAME.star`` and ``NAME.png``, the summary, and the set; None: nothing is written.
    options : HandOptions
        What is wanted.
    running : RunOptions, optional
        Where and how to run.
    names : sequence of str
        Only these tomograms; all if empty.
    apply : bool
        Write ``tomograms.star`` with the hand.

    Returns
    -------
    SetHand
        A series that fails stops no other.

    Raises
    ------
    ModelError
        If no tomogram has such a name, there is none, or it is to be applied without a folder.
    FileAccessError
        If the new set would replace another than one of an earlier run.
    """
    project, running = as_project(tomograms), running or RunOptions()
    refuse_unknown(project.tomograms, names)
    if not project.tomograms:
        raise ModelError("the set holds no tomogram, so there is nothing to do")
    if apply and folder is None:
        raise ModelError("the hand is written into a new set: name a folder for it")
    options = replace(options, threads=running.threads)
    records = None
    if folder is not None:
        records = Records(Path(folder) / "run_hand", _describe, _is_there)
        if apply:
            _refuse(project.tomograms, os.path.join(folder, "tomograms.star"))
    tasks = _tasks(project.tomograms, folder, options, names)
    report = run(find_one, tasks, running, records)
    odds = {name: result["log_odds"] for name, result in report.results.items()}
    found = verdict(odds, options.error_rate)
    if folder is not None:
        report.write(os.path.join(folder, "summary.json"))
    _say(found, report, options.error_rate)
    path = None
    if folder is not None and apply and odds:
        path = _applied(project, folder, found, tasks)
    return SetHand(report=report, verdict=found, path=path)


def _tasks(
    tomograms: TomogramSet,
    folder: str | os.PathLike[str] | None,
    options: HandOptions,
    names: Sequence[str],
) -> dict[str, Task]:
    files = file_names(tomograms)
    return {
        name: Task(
            tomogram=tomogram,
            set_path=set_path(tomograms),
            root=os.getcwd(),
            options=options,
            target=None if folder is None else os.path.join(folder, files[name]),
        )
        for name, tomogram in tomograms.items()
        if not names or name in names
    }


def find_one(task: Task) -> dict[str, Any]:
    """Find the hand of a series, and write what is to be written.

    Returns
    -------
    dict
        For JSON: ``in_set`` (the hand that the set has), ``log_odds`` (natural, of +1 against
        -1), ``spread``, ``by_tilt``, ``rings``, ``inclined`` [deg], ``defocus_off``, ``defocus``,
        ``defocus_error`` [Å], ``disagrees`` (tilt images from 1), ``files``.

    Raises
    ------
    TomosetError
        If something is missing or damaged, or the series cannot tell.
    """
    with in_folder(task.root):
        use_threads(task.options.threads)
        with TiltSeries(task.tomogram, task.set_path) as images:
            tomogram = task.tomogram.placed(None, images.size)
            measured = measure(tomogram, images, task.options)
        files = _write(task, tomogram, measured)
        numbers = {"in_set": tomogram.hand, **_numbers(measured)}
        return {**numbers, "files": file_sizes(files)}


def _write(task: Task, tomogram: Tomogram, measured: Measured) -> list[str]:
    """Write report and picture, if they are to be written; their paths."""
    if task.target is None:
        return []
    folder, name = os.path.split(task.target)
    os.makedirs(folder or ".", exist_ok=True)
    paths = [os.path.join(folder, f"hand_{name}.star"), f"{task.target}.png"]
    star.write(hand_to_star(tomogram, measured), paths[0])
    write_hand_picture(paths[1], tomogram, measured, task.options.error_rate)
    return paths


def _numbers(measured: Measured) -> dict[str, Any]:
    return {
        "log_odds": round(measured.log_odds, 4),
        "spread": round(measured.spread, 4),
        "by_tilt": measured.by_tilt.round(4).tolist(),
        "rings": measured.rings.round(4).tolist(),
        "rings_seen": int(measured.shows_rings.sum()),
        "inclined": measured.inclined.round(2).tolist(),
        "defocus_off": measured.off,
        "defocus": measured.defocus.round(1).tolist(),
        "defocus_error": measured.error.round(1).tolist(),
        "disagrees": [int(i) + 1 for i in measured.disagrees.nonzero()[0]],
    }


def _describe(task: Task) -> dict[str, Any]:
    """All that decides what the result is, ready for JSON: threads do not."""
    options = {k: v for k, v in asdict(task.options).items() if k != "threads"}
    return {"options": options, "target": task.target, "of": identity(task)}


def _is_there(result: dict[str, Any]) -> bool:
    return all(
        os.path.exists(path) and os.path.getsize(path) == size
        for path, size in result["files"].items()
    )


def _say(found: Verdict, report: Report, error_rate: float) -> None:
    """Warn of what contradicts, and where nothing can be told."""
    if report.results and found.hand is None:
        warnings.warn(
            f"the images do not tell the hand at an error rate of {error_rate:g}: more series, "
            "finer pixels, images that were not filtered or corrected for their CTF, or --flat "
            "may",
            AssumptionWarning,
            stacklevel=3,
        )
    for name in found.against:
        warnings.warn(
            f"tomogram {name!r} says {found.series[name]:+d}, the set {found.hand:+d}: has its "
            "tilt axis been turned by 180°, or its tilt angles the other sign?",
            AssumptionWarning,
            stacklevel=3,
        )
    for name, result in report.results.items():
        if result["defocus_off"]:
            warnings.warn(
                f"tomogram {name!r}: Thon rings are those of a defocus that is "
                f"{abs(result['defocus_off']) / 1e4:.1f} µm "
                f"{'more' if result['defocus_off'] > 0 else 'less'} than the table's",
                AssumptionWarning,
                stacklevel=3,
            )
        if result["disagrees"]:
            rows = ", ".join(map(str, result["disagrees"][:8]))
            warnings.warn(
                f"tomogram {name!r}: the defocus in the table is not that of the Thon rings of "
                f"tilt image{'s' * (len(result['disagrees']) > 1)} {rows}",
                AssumptionWarning,
                stacklevel=3,
            )


def _refuse(tomograms: TomogramSet, path: str) -> None:
    """Refuse to write over the set that is read, or over what is no set."""
    source = set_path(tomograms)
    if source is not None and os.path.realpath(source) == os.path.realpath(path):
        raise FileAccessError(
            f"{path} is the set that is read: give another folder for the one with the hand"
        )
    refuse_unless_set(path)
    if os.path.exists(path) and not os.path.isdir(os.path.join(os.path.dirname(path), "run_hand")):
        raise FileAccessError(
            f"{path} is there, and was not made by tomoset hand: give another folder, or move it "
            "away"
        )


def _applied(
    project: Project, folder: str | os.PathLike[str], found: Verdict, asked: Collection[str]
) -> str:
    """Write the set with the hand of the series that were asked for; its path."""
    tomograms = project.tomograms
    origin = set_path(tomograms)
    changed = [
        _with_hand(new, found) if name in asked else new
        for name, new in ((n, found_from_here(t, origin)) for n, t in tomograms.items())
    ]
    path = os.path.join(folder, "tomograms.star")
    with AtomicFiles() as files:
        if project.source is not None:
            links = os.path.join(folder, "optimisation_set.star")
            refuse_unless_star(links)
            files.write(links, links_file(project, path, {}))
        tomograms.with_tomograms(changed).write(path)
    return path


def _with_hand(tomogram: Tomogram, found: Verdict) -> Tomogram:
    hand, odds = found.of(tomogram.name), found.odds_of(tomogram.name)
    if hand is not None:
        tomogram = replace(tomogram, hand=hand)
    return tomogram if odds is None else replace(tomogram, hand_log_odds=round(odds, 3))
