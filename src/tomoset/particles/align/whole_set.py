"""``align particles``: every tomogram of a set aligned by its particles, and the sets of that."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from tomoset import star
from tomoset.align.particles import PARAMETERS
from tomoset.derived import (
    Derived,
    Recipe,
    derive,
    file_sizes,
    in_folder,
    refuse_unknown,
    set_path,
    use_threads,
)
from tomoset.errors import ModelError
from tomoset.formats import refuse_unable
from tomoset.formats._files import file_names
from tomoset.model import ParticleSet, Tomogram
from tomoset.particles.align.findings import Findings
from tomoset.particles.align.followers import ParticleFollowers
from tomoset.particles.align.one import Aligned, align
from tomoset.particles.align.options import AlignOptions
from tomoset.particles.align.picture import write_alignment_png
from tomoset.particles.align.report import alignment_to_star, numbers
from tomoset.particles.align.task import Task, task_options
from tomoset.particles.device import open_particle_device
from tomoset.particles.task import ENTRIES, ReferenceFiles, check_tasks, task_identity
from tomoset.project import Project
from tomoset.run import RunOptions
from tomoset.tilt_series import TiltSeries

Array = npt.NDArray[np.float64]

#: Where what was found is kept, below the folder of the new set.
_FOUND = "found"


def align_set(
    project: Project,
    folder: str | os.PathLike[str],
    reference: ReferenceFiles,
    options: AlignOptions,
    running: RunOptions | None = None,
    names: Sequence[str] = (),
) -> Derived:
    """Align the tomograms of a set by their particles, and write all sets with that alignment.

    Parameters
    ----------
    project : Project
        With particles, and trajectories if there are any.
    folder : path-like
        Made when missing. The sets go to ``tomograms.star``, ``particles.star``, ``motion.star``
        and ``optimisation_set.star``, what is to be known of an alignment to
        ``alignment_NAME.star``, pictures to ``NAME.png``.
    reference : ReferenceFiles
        What the particles look like.
    options : AlignOptions
        What is wanted.
    running : RunOptions, optional
        Where and how to run.
    names : sequence of str
        Only these tomograms; all if empty.

    Returns
    -------
    Derived
        Tomograms without particles stay as they are.

    Raises
    ------
    ModelError
        If there are no particles, or their optics or the reference contradict the tomograms.
    TomosetError
        If a file is missing or not what it should be.
    UnsupportedError
        If the set's format cannot say what is to be free, or there is no such device.
    """
    running = running or RunOptions()
    options = replace(options, evidence=replace(options.evidence, threads=running.threads))
    tasks = _tasks(project, os.fspath(folder), reference.absolute(), options, names)
    _check(project, tasks, reference, options, running.engine)
    recipe = Recipe(
        command="align particles",
        records="run_align_particles",
        work=align_one,
        describe=task_options,
        updated=_updated,
        identity=task_identity,
        links=True,
        followers=lambda given, where: ParticleFollowers(given, where, _entries(reference)),
    )
    return derive(recipe, project, tasks, folder, running, names)


def _tasks(
    project: Project,
    folder: str,
    reference: ReferenceFiles,
    options: AlignOptions,
    names: Sequence[str],
) -> dict[str, Task]:
    tomograms, particles = project.tomograms, project.particles
    if particles is None or not len(particles):
        raise ModelError(
            "there are no particles, and nothing can be aligned by them; give a particle set "
            "(--p), or an optimisation set that names one (--i)"
        )
    refuse_unknown(tomograms, names)
    of = particles.by_tomogram()
    if names and not any(name in of for name in names):
        raise ModelError(f"tomogram {names[0]!r} has no particles, and cannot be aligned by them")
    files = file_names(tomograms)
    tasks = {}
    for name in (name for name in tomograms if name in of):
        mine = replace(particles.select(of[name]), source=None)  # slim for other processes
        tasks[name] = Task(
            tomogram=tomograms[name],
            set_path=set_path(tomograms),
            root=os.getcwd(),
            particles=mine,
            trajectories=_trajectories(project, particles, of[name]),
            reference=reference,
            options=options,
            folder=folder,
            file_name=files[name],
        )
    return tasks


def _trajectories(
    project: Project, particles: ParticleSet, rows: npt.NDArray[np.int64]
) -> Array | None:
    if project.trajectories is None:
        return None
    moving = project.trajectories
    return np.stack([moving[name] for name in particles.particle_names[rows].tolist()])


def _check(
    project: Project,
    tasks: Mapping[str, Task],
    files: ReferenceFiles,
    options: AlignOptions,
    engine: str,
) -> None:
    """Refuse what cannot work, before the first job."""
    if options.fit.magnification:
        refuse_unable(project.tomograms, "magnification")
    check_tasks(tasks.values(), files)
    if engine == "local":  # the nodes of a cluster are others
        open_particle_device(options.evidence.device)


def _entries(reference: ReferenceFiles) -> dict[str, str]:
    found = {label: getattr(reference, field) for label, field in ENTRIES.items()}
    return {label: path for label, path in found.items() if path is not None}


def align_one(task: Task) -> dict[str, Any]:
    """Align a tomogram by its particles, and write what is to be known of it.

    Returns
    -------
    dict
        For JSON: ``found`` (path of `Findings`), what is changed by it, numbers for people,
        ``files``, ``of``.

    Raises
    ------
    TomosetError
        If something is missing or damaged.
    """
    with in_folder(task.root):
        of = task_identity(task)
        use_threads(task.options.evidence.threads)
        with TiltSeries(task.tomogram, task.set_path) as images:
            aligned = align(
                task.tomogram,
                images,
                task.particles,
                task.reference.read(),
                task.options,
                task.trajectories,
            )
            image_size = images.size
        files = _write(task, aligned)
        fit, bent = aligned.fit, aligned.after.deformation
        return {
            "found": files[0],
            "image_size": list(image_size),
            "projections_changed": bool(fit.kept.any()),
            "particles_moved": fit.positions is not task.particles.positions
            and bool((fit.positions != task.particles.positions).any()),
            "deformation": None
            if bent is aligned.before.deformation or bent is None
            else bent.kind,
            "trajectories": task.trajectories is not None or task.options.fit.motion is not None,
            **numbers(aligned),
            "files": file_sizes(files),
            "of": of,
        }


def _write(task: Task, aligned: Aligned) -> list[str]:
    """Write findings, report and picture; their paths."""
    paths = [
        task.target(os.path.join(_FOUND, "{name}.npz")),
        task.target("alignment_{name}.star"),
        task.target("{name}.png"),
    ]
    Findings.of(aligned.fit).write(paths[0])
    star.write(alignment_to_star(aligned), paths[1])
    write_alignment_png(aligned, paths[2])
    return paths


def _updated(tomogram: Tomogram, result: dict[str, Any]) -> Tomogram:
    """The tomogram with its new alignment, and how sure that is."""
    found = Findings.read(result["found"])
    width, height = result["image_size"]
    aligned = tomogram.placed(None, (width, height))
    if result["projections_changed"]:
        aligned = replace(aligned, projections=found.projections, alignment=None)
    if result["deformation"] is not None:
        aligned = replace(aligned, deformation=found.deformation)
    kept = {k: v for k, v in aligned.deviations.items() if k not in PARAMETERS}
    return replace(aligned, deviations=kept | found.by_name())
