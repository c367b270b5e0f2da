"""``refine-ctf``: defocus and scale of every tilt image of a set, by its particles."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from tomoset import star
from tomoset.derived import (
    Carried,
    Derived,
    Recipe,
    derive,
    file_sizes,
    in_folder,
    refuse_unknown,
    set_path,
    source_path,
    use_threads,
)
from tomoset.errors import AssumptionWarning, ModelError
from tomoset.formats._files import file_names
from tomoset.model import Ice, Tomogram, TomogramSet
from tomoset.particles.ctf.defocus import mean_and_astigmatism, with_changes
from tomoset.particles.ctf.fit import CtfFitOptions, fit_ctf
from tomoset.particles.ctf.numbers import numbers
from tomoset.particles.ctf.report import Refined, refined_to_star, write_refined_png
from tomoset.particles.ctf.statistics import gather
from tomoset.particles.extract import ExtractionOptions
from tomoset.particles.task import (
    ENTRIES,
    ParticleTask,
    ReferenceFiles,
    check_tasks,
    task_identity,
)
from tomoset.project import Project
from tomoset.run import RunOptions
from tomoset.tilt_series import TiltSeries

Array = npt.NDArray[np.float64]
Result = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class RefineCtfOptions:
    """What is refined, and from what.

    Parameters
    ----------
    evidence : ExtractionOptions
        How images and particles are compared.
    fit : CtfFitOptions
        What is searched.
    """

    evidence: ExtractionOptions
    fit: CtfFitOptions

    def describe(self) -> dict[str, Any]:
        """All that decides what the result is, ready for JSON: threads do not."""
        evidence = {k: v for k, v in asdict(self.evidence).items() if k != "threads"}
        return {"evidence": evidence, "fit": asdict(self.fit)}


@dataclass(frozen=True, kw_only=True, eq=False)
class Task(ParticleTask):
    """What one process needs to refine the CTF of a tomogram.

    Parameters
    ----------
    options : RefineCtfOptions
        What is wanted.
    """

    options: RefineCtfOptions


def refine_ctf_set(
    project: Project,
    folder: str | os.PathLike[str],
    reference: ReferenceFiles,
    options: RefineCtfOptions,
    running: RunOptions | None = None,
    names: Sequence[str] = (),
) -> Derived:
    """Refine defocus and scale of the tilt images of a set, and write the set with them.

    Parameters
    ----------
    project : Project
        With particles, and trajectories if there are any.
    folder : path-like
        Made when missing. The set goes to ``tomograms.star``, links to
        ``optimisation_set.star``, what is to be known of it to ``ctf_NAME.star``, pictures to
        ``NAME.png``.
    reference : ReferenceFiles
        What the particles look like.
    options : RefineCtfOptions
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
        If there are no particles, or optics or the reference contradict the tomograms.
    TomosetError
        If a file is missing or not what it should be.
    """
    running = running or RunOptions()
    options = replace(options, evidence=replace(options.evidence, threads=running.threads))
    tasks = _tasks(project, os.fspath(folder), reference.absolute(), options, names)
    for task in tasks.values():
        mean_and_astigmatism(task.tomogram)  # refuses what has no CTF
    check_tasks(tasks.values(), reference)
    recipe = Recipe(
        command="refine-ctf",
        records="run_refine_ctf",
        work=refine_one,
        describe=_describe,
        updated=_updated,
        identity=task_identity,
        links=True,
        followers=lambda given, _: _Links(given, reference),
    )
    done = derive(recipe, project, tasks, folder, running, names)
    for name, result in done.report.results.items():
        if result["at_the_end"]:
            warnings.warn(
                f"tomogram {name!r}: the defocus of {result['at_the_end']} images would change by "
                "as much as is scanned, or more; give a wider range (--d0 --d1), or align the "
                "tomogram first",
                AssumptionWarning,
                stacklevel=2,
            )
    return done


class _Links:
    """What the new optimisation set names besides tomograms: nothing of it is written anew."""

    targets: Sequence[str] = ()

    def __init__(self, project: Project, reference: ReferenceFiles) -> None:
        paths = {label: getattr(reference, field) for label, field in ENTRIES.items()}
        paths |= {
            "particles": source_path(project.particles),
            "trajectories": source_path(project.trajectories),
        }
        there = {label: path for label, path in paths.items() if path is not None}
        self._entries = {label: os.path.relpath(path) for label, path in there.items()}

    def carried(self, tomograms: TomogramSet, results: Mapping[str, Result]) -> Carried:
        """The tomograms as they are, and the links."""
        del results
        return Carried(tomograms=tomograms, entries=self._entries)


def _tasks(
    project: Project,
    folder: str,
    reference: ReferenceFiles,
    options: RefineCtfOptions,
    names: Sequence[str],
) -> dict[str, Task]:
    tomograms, particles = project.tomograms, project.particles
    if particles is None or not len(particles):
        raise ModelError(
            "there are no particles, and the CTF cannot be refined without; give a particle set "
            "(--p), or an optimisation set that names one (--i)"
        )
    refuse_unknown(tomograms, names)
    of = particles.by_tomogram()
    if names and not any(name in of for name in names):
        raise ModelError(f"tomogram {names[0]!r} has no particles, and its CTF cannot be refined")
    files, moving = file_names(tomograms), project.trajectories
    tasks = {}
    for name in (name for name in tomograms if name in of):
        ways = None
        if moving is not None:
            ways = np.stack([moving[one] for one in particles.particle_names[of[name]].tolist()])
        tasks[name] = Task(
            tomogram=tomograms[name],
            set_path=set_path(tomograms),
            root=os.getcwd(),
            particles=replace(particles.select(of[name]), source=None),
            trajectories=ways,
            reference=reference,
            options=options,
            folder=folder,
            file_name=files[name],
        )
    return tasks


def refine_one(task: Task) -> Result:
    """Refine the CTF of a tomogram, and write what is to be known of it.

    Returns
    -------
    dict
        For JSON: ``changes`` of defocus [Å] and their errors, ``scales`` (None where they stay)
        and errors, ``ice``, numbers for people, ``files``, ``of``.

    Raises
    ------
    TomosetError
        If something is missing or damaged.
    """
    with in_folder(task.root):
        of = task_identity(task)
        use_threads(task.options.evidence.threads)
        with TiltSeries(task.tomogram, task.set_path) as images:
            tomogram = task.tomogram.placed(None, images.size)
            evidence = gather(
                tomogram,
                images,
                task.particles,
                task.reference.read(),
                task.options.evidence,
                task.trajectories,
            )
        assert tomogram.projections is not None
        beams = tomogram.projections[:, 2, :3]
        beams = beams / np.linalg.norm(beams, axis=1)[:, None]
        fit = fit_ctf(evidence, beams, _scale(tomogram), task.options.fit)
        refined = Refined(
            before=tomogram,
            after=with_changes(tomogram, fit.changes),
            fit=fit,
            seen=evidence.seen.sum(axis=1),
            particles=evidence.particles,
            particles_given=len(task.particles),
        )
        files = [task.target("ctf_{name}.star"), task.target("{name}.png")]
        star.write(refined_to_star(refined), files[0])
        write_refined_png(refined, files[1])
        return {
            **numbers(refined, task.options.fit),
            "box": task.options.evidence.box,
            "files": file_sizes(files),
            "of": of,
        }


def _scale(tomogram: Tomogram) -> Array:
    return np.ones(tomogram.n_tilts) if tomogram.ctf_scale is None else tomogram.ctf_scale


def _describe(task: Task) -> dict[str, Any]:
    """All that decides what the result is, ready for JSON."""
    return {
        "options": task.options.describe(),
        "reference": task.reference.stamps(),
        "target": task.target("ctf_{name}.star"),
        "of": task_identity(task),
    }


def _updated(tomogram: Tomogram, result: Result) -> Tomogram:
    """The tomogram with its new defocus and scale, and how sure they are."""
    new = tomogram
    if result["changes"] is not None:
        new = with_changes(new, result["changes"])
    if result["scales"] is not None:
        # What another scale was made of is true no more.
        new = replace(new, ctf_scale=np.array(result["scales"]), ice=None)
    if result["ice"] is not None:
        luminance, thickness, *normal = result["ice"]
        x, y, z = normal
        new = replace(new, ice=Ice(luminance=luminance, thickness=thickness, normal=(x, y, z)))
    found = {name: values for name, values in result["errors"].items() if values is not None}
    return replace(new, deviations={**new.deviations, **found})
