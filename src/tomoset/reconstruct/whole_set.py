"""Every tomogram of a set, one job each, and the set that names the volumes."""

from __future__ import annotations

import os
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from tomoset.derived import Derived, Recipe, as_project, derive, refuse_unknown, set_path
from tomoset.errors import LossyWarning
from tomoset.formats import working_format
from tomoset.formats._files import file_names
from tomoset.images.device import open_device
from tomoset.model import Reconstruction, Tomogram, TomogramSet
from tomoset.project import Project
from tomoset.reconstruct.identity import task_identity
from tomoset.reconstruct.job import reconstruct_one
from tomoset.reconstruct.options import Options
from tomoset.reconstruct.plan import resized
from tomoset.reconstruct.task import Task
from tomoset.run import RunOptions


def reconstruct_set(
    tomograms: TomogramSet | Project,
    folder: str | os.PathLike[str],
    options: Options,
    running: RunOptions | None = None,
    names: Sequence[str] = (),
) -> Derived:
    """Reconstruct the tomograms of a set, and write the set that names their volumes.

    Parameters
    ----------
    tomograms : TomogramSet or Project
        As it was read. Links of a project's optimisation set go on in a new one.
    folder : path-like
        Made when missing. Volumes and pictures go to ``tomograms/rec_NAME``, the set to
        ``tomograms.star``, what is needed to go on after a stop to ``run/``.
    options : Options
        What is wanted.
    running : RunOptions, optional
        Where and how to run.
    names : sequence of str
        Only these tomograms; all if empty. Others keep the volumes that are there already.

    Returns
    -------
    Derived
        A tomogram that fails stops no other.

    Raises
    ------
    ModelError
        If no tomogram has such a name.
    FileAccessError
        If the new set would replace another than one of an earlier run.
    UnsupportedError
        If there is no such device.
    """
    project = as_project(tomograms)
    running = running or RunOptions()
    refuse_unknown(project.tomograms, names)
    if options.device != "cpu" and running.engine == "local":
        open_device(options.device)
    asked = [t for t in project.tomograms.values() if not names or t.name in names]
    _warn_of_moves(project.tomograms.with_tomograms(asked), options)
    _rehearse(project.tomograms, options)
    recipe = Recipe(
        command="reconstruct",
        records="run",
        work=reconstruct_one,
        describe=task_identity,
        updated=_updated,
        cleared=lambda tomogram: replace(tomogram, reconstruction=None),
    )
    tasks = _tasks(project.tomograms, folder, replace(options, threads=running.threads))
    return derive(recipe, project, tasks, folder, running, names)


def _tasks(
    tomograms: TomogramSet, folder: str | os.PathLike[str], options: Options
) -> dict[str, Task]:
    files = file_names(tomograms)
    return {
        name: Task(
            tomogram=tomogram,
            set_path=set_path(tomograms),
            root=os.getcwd(),
            target=os.path.join(os.fspath(folder), "tomograms", f"rec_{files[name]}"),
            options=options,
        )
        for name, tomogram in tomograms.items()
    }


def _rehearse(tomograms: TomogramSet, options: Options) -> None:
    """Write the set to nowhere: what cannot be said in its format is to be known before."""
    if options.size is None:
        return
    sized = [_of_size(t, options.size) for t in tomograms.values()]
    with tempfile.TemporaryDirectory() as folder:
        tomograms.with_tomograms(sized).write(os.path.join(folder, "tomograms.star"))


def _updated(tomogram: Tomogram, result: Mapping[str, Any]) -> Tomogram:
    """The tomogram with its volumes, and of the size that they have."""
    made = Reconstruction(
        binning=result["binning"],
        path=result["path"],
        half1=result["half1"],
        half2=result["half2"],
    )
    return replace(_of_size(tomogram, tuple(result["size"])), reconstruction=made)


def _of_size(tomogram: Tomogram, size: tuple[int, ...]) -> Tomogram:
    x, y, z = size
    if tomogram.size == (x, y, z):
        return tomogram
    # An alignment that waits for sizes is about the middle: another size changes nothing else.
    if tomogram.size is None or tomogram.projections is None:
        return replace(tomogram, size=(x, y, z))
    return resized(tomogram, (x, y, z))


def _warn_of_moves(tomograms: TomogramSet, options: Options) -> None:
    """Say by how much another size moves what is counted from the corner."""
    format = working_format(tomograms)
    if options.size is None or format.can("centred coordinates"):
        return
    moved: dict[tuple[int, ...], list[str]] = {}
    for t in tomograms.values():
        if t.size is None:
            continue
        by = tuple(a // 2 - b // 2 for a, b in zip(options.size, t.size, strict=True))
        if any(by):
            moved.setdefault(by, []).append(t.name)
    for by, names in moved.items():
        some = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
        warnings.warn(
            f"{some}: another size about the same middle, and {format.package} counts coordinates "
            f"from the corner: those of particles change by {', '.join(map(str, by))}",
            LossyWarning,
            stacklevel=4,
        )
