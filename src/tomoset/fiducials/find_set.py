"""``find-fiducials``: the beads of every tomogram of a set, and the set that names them."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from tomoset.derived import Derived, Recipe, as_project, derive, file_sizes, identity, in_folder
from tomoset.errors import AssumptionWarning
from tomoset.fiducials.finder.find import Found, find
from tomoset.fiducials.from_imod import read_imod_beads
from tomoset.fiducials.options import FindOptions
from tomoset.fiducials.outputs import residuals, rms, write_beads, write_imod_model, write_picture
from tomoset.fiducials.task import BeadTask, common_fields
from tomoset.model import Tomogram, TomogramSet
from tomoset.project import Project
from tomoset.run import RunOptions, file_stamp
from tomoset.tilt_series import TiltSeries


@dataclass(frozen=True, kw_only=True)
class Sources:
    """Where beads are from, and what else is written of them.

    Parameters
    ----------
    beads : str, optional
        Take what IMOD has tracked instead of searching: a path in which ``{name}`` stands for the
        name of a tomogram.
    models : bool
        Write IMOD models too.
    """

    beads: str | None = None
    models: bool = False


@dataclass(frozen=True, kw_only=True, eq=False)
class Task(BeadTask):
    """What one process needs to find the beads of a tomogram.

    Parameters
    ----------
    options : FindOptions
        What is wanted.
    sources : Sources
        Where beads are from.
    """

    options: FindOptions
    sources: Sources

    @property
    def beads(self) -> str | None:
        """The file of tracked beads, if they are not searched."""
        given = self.sources.beads
        return None if given is None else given.replace("{name}", self.tomogram.name)


def find_set(
    tomograms: TomogramSet | Project,
    folder: str | os.PathLike[str],
    options: FindOptions,
    sources: Sources | None = None,
    running: RunOptions | None = None,
    names: Sequence[str] = (),
) -> Derived:
    """Find the beads of the tomograms of a set, and write the set that names them.

    Parameters
    ----------
    tomograms : TomogramSet or Project
        As it was read, aligned.
    folder : path-like
        Made when missing. Beads go to ``fiducials_NAME.star``, pictures to ``NAME.png``, the set
        to ``tomograms.star``, links to ``optimisation_set.star``.
    options : FindOptions
        What is wanted.
    sources : Sources, optional
        Where beads are from, if they are not searched.
    running : RunOptions, optional
        Where and how to run.
    names : sequence of str
        Only these tomograms; all if empty.

    Returns
    -------
    Derived
        A tomogram that fails stops no other; one without beads has an empty table, which is said.
    """
    project, running = as_project(tomograms), running or RunOptions()
    options = replace(options, threads=running.threads)
    tasks = {
        name: Task(**fields, options=options, sources=sources or Sources())
        for name, fields in common_fields(project, folder).items()
    }
    recipe = Recipe(
        command="find-fiducials",
        records="run_find_fiducials",
        work=find_one,
        describe=_describe,
        updated=_updated,
        cleared=lambda tomogram: replace(tomogram, fiducials=None),
        links=True,
    )
    done = derive(recipe, project, tasks, folder, running, names)
    for name, result in done.report.results.items():
        if not result["beads"]:
            radius = f"of a radius of {result['radius']:g} Å " if result["radius"] else ""
            warnings.warn(
                f"tomogram {name!r}: no beads {radius}were found; its table is empty",
                AssumptionWarning,
                stacklevel=2,
            )
    return done


def find_one(task: Task) -> dict[str, Any]:
    """Find the beads of a tomogram, and write them.

    Returns
    -------
    dict
        For JSON: ``fiducials`` (the path of their table), ``beads``, ``observations`` (numbers),
        ``radius`` [Å], ``dark``, ``residual`` (rms, by the alignment as it is) [px],
        ``uncertainty`` (median) [px], ``files`` and ``of``.

    Raises
    ------
    TomosetError
        If something is missing or damaged, or the series cannot show beads.
    """
    with in_folder(task.root):
        of = identity(task)
        path = task.target("fiducials_{name}.star")
        with TiltSeries(task.tomogram, task.set_path) as images:
            found = _beads(task, images)
            tomogram = task.tomogram.placed(None, images.size)
            write_beads(found.fiducials, path, tomogram, task.format)
            files = [path]
            if len(found.fiducials):
                files.append(task.target("{name}.png"))
                write_picture(found.fiducials, files[-1], tomogram, images, found.radius)
            if len(found.fiducials) and task.sources.models:
                files.append(task.target("{name}.fid"))
                write_imod_model(found.fiducials, files[-1], images, tomogram)
        return {
            "fiducials": path,
            **_numbers(tomogram, found),
            "files": file_sizes(files),
            "of": of,
        }


def _beads(task: Task, images: TiltSeries) -> Found:
    if task.beads is None:
        return find(task.tomogram, images, task.options)
    tracked = read_imod_beads(task.beads, task.tomogram, images)
    return Found(fiducials=tracked, false_discovery=np.zeros(len(tracked)), radius=None)


def _numbers(tomogram: Tomogram, found: Found) -> dict[str, Any]:
    seen = found.fiducials.observations
    numbers: dict[str, Any] = {
        "beads": len(found.fiducials),
        "observations": 0 if seen is None else len(seen),
        "radius": found.radius,
        "dark": found.dark,
        "residual": None,
        "uncertainty": None,
        "false_discovery": float(found.false_discovery.max(initial=0.0)),
    }
    if seen is not None and len(seen):
        off = residuals(tomogram, found.fiducials)
        numbers["residual"] = float(rms(off.reshape(1, -1, 2), axis=1)[0])
        if seen.uncertainty is not None:
            numbers["uncertainty"] = float(np.median(seen.uncertainty))
    return numbers


def _describe(task: Task) -> dict[str, Any]:
    """All that decides what the result is, ready for JSON: threads do not."""
    options = {k: v for k, v in asdict(task.options).items() if k != "threads"}
    beads = None if task.beads is None else file_stamp(task.beads)
    return {
        "options": options,
        "models": task.sources.models,
        "beads": beads,
        "target": task.target("fiducials_{name}.star"),
        "format": task.format,
        "of": identity(task),
    }


def _updated(tomogram: Tomogram, result: Mapping[str, Any]) -> Tomogram:
    return replace(tomogram, fiducials=result["fiducials"])
