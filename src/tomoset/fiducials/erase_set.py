"""Every tilt series of a set without its beads, one job each, and the set that names the stacks."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from tomoset.derived import Derived, Recipe, as_project, derive, refuse_unknown, set_path
from tomoset.errors import AssumptionWarning, FileAccessError, ModelError, TomosetError
from tomoset.fiducials.erase_job import (
    EraseOptions,
    EraseTask,
    erase_description,
    erase_identity,
    erase_one,
    stack_paths,
)
from tomoset.formats._files import file_names
from tomoset.model import Tomogram, TomogramSet
from tomoset.project import Project, fiducials_of
from tomoset.run import RunOptions

_RECORDS = "run_erase_fiducials"


def erase_set(
    tomograms: TomogramSet | Project,
    folder: str | os.PathLike[str],
    options: EraseOptions,
    running: RunOptions | None = None,
    names: Sequence[str] = (),
) -> Derived:
    """Erase the beads of all tilt series of a set, and write the set that names the new stacks.

    Parameters
    ----------
    tomograms : TomogramSet or Project
        As it was read. Links of a project's optimisation set go on in a new one.
    folder : path-like
        Made when missing. Stacks go to ``stacks/NAME.mrc`` (those of halves of the frames to
        ``stacks/even`` and ``stacks/odd``), the set to ``tomograms.star``.
    options : EraseOptions
        What is erased.
    running : RunOptions, optional
        Where and how to run.
    names : sequence of str
        Only these tomograms; all if empty.

    Returns
    -------
    Derived
        A tomogram that fails, or has no fiducials, keeps its stack.

    Raises
    ------
    ModelError
        If no tomogram has such a name, or none has fiducials.
    FileAccessError
        If a new file would replace another than one of an earlier run.
    """
    project, running = as_project(tomograms), running or RunOptions()
    refuse_unknown(project.tomograms, names)
    tasks = _tasks(project.tomograms, folder, replace(options, threads=running.threads))
    able = {name: task for name, task in tasks.items() if _has_beads(task)}
    asked = list(names or tasks)
    _say_without([name for name in asked if name not in able], len(asked))
    asked = [name for name in asked if name in able]
    if not os.path.isdir(Path(folder) / _RECORDS):
        _refuse_others([able[name] for name in asked])
    recipe = Recipe(
        command="erase-fiducials",
        records=_RECORDS,
        work=erase_one,
        describe=erase_description,
        identity=erase_identity,
        updated=_updated,
    )
    return derive(recipe, project, able, folder, running, asked)


def _say_without(names: Sequence[str], of: int) -> None:
    """Say which tomograms have no fiducials; an error if that is all."""
    if len(names) == of:
        raise ModelError(
            "no tomogram has fiducials that could be erased: find them by `tomoset find-fiducials`"
        )
    if names:
        some = ", ".join(names[:5]) + (" ..." if len(names) > 5 else "")
        warnings.warn(
            f"{some}: no fiducials, so {'its stack stays' if len(names) == 1 else 'stacks stay'} "
            "as before",
            AssumptionWarning,
            stacklevel=3,
        )


def _tasks(
    tomograms: TomogramSet, folder: str | os.PathLike[str], options: EraseOptions
) -> dict[str, EraseTask]:
    files = file_names(tomograms)
    return {
        name: EraseTask(
            tomogram=tomogram,
            set_path=set_path(tomograms),
            root=os.getcwd(),
            format=tomograms.format,
            target=os.path.join(os.fspath(folder), "stacks", files[name]),
            options=options,
        )
        for name, tomogram in tomograms.items()
    }


def _has_beads(task: EraseTask) -> bool:
    try:
        fiducials = fiducials_of(task.tomogram, task.set_path, task.format)
    except TomosetError:
        return True  # which is said of this tomogram, and stops no other
    return fiducials is not None and len(fiducials) > 0


def _refuse_others(tasks: Sequence[EraseTask]) -> None:
    for task in tasks:
        for path in filter(os.path.exists, stack_paths(task)):
            raise FileAccessError(
                f"{path} is there, and was not made by tomoset erase-fiducials: give another "
                "folder, or move it away"
            )


def _updated(tomogram: Tomogram, result: Mapping[str, Any]) -> Tomogram:
    """The tomogram with its new stack, whose images are in the order of its table."""
    order = np.arange(tomogram.n_tilts)
    halves = [tuple(f"{i + 1:06d}@{path}:mrcs" for i in order) for path in result["halves"]]
    return replace(
        tomogram,
        stack=result["path"],
        images=None,
        image_index=None if tomogram.image_index is None else order,
        half_images=(halves[0], halves[1]) if halves else tomogram.half_images,
    )
