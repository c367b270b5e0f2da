"""``refine-ctf``: defocus and scale of every tilt image, by particles."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from tomoset import star
from tomoset.errors import AssumptionWarning
from tomoset.figures import ctf_refinement
from tomoset.model import Ice, Tomogram
from tomoset.particles.ctf.defocus import angle_errors, mean_and_astigmatism, with_changes
from tomoset.particles.ctf.fit import CtfFit, CtfFitOptions, fit_ctf
from tomoset.particles.ctf.report import (
    Refined,
    astigmatism_error,
    refined_to_star,
)
from tomoset.particles.ctf.scale import IceModel
from tomoset.particles.ctf.statistics import gather
from tomoset.particles.extract import ExtractionOptions
from tomoset.programs._particles import (
    ReferenceFiles,
    check_particles,
    identity_with_particles,
    inputs_of,
    options_and_reference,
    particle_inputs,
)
from tomoset.programs._program import Done, Program, Result, ctf_and_doses, documented
from tomoset.programs._request import Request, StrPath
from tomoset.programs._task import Task, use_threads
from tomoset.programs._words import gain_text, rounded
from tomoset.project import Project
from tomoset.run import Resources, filled, wanted

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class RefineCtfOptions:
    """What is refined, and from what.

    Parameters
    ----------
    statistics : ExtractionOptions
        How images and particles are compared.
    fit : CtfFitOptions
        What is searched.
    """

    statistics: ExtractionOptions
    fit: CtfFitOptions


@documented(RefineCtfOptions)
def refine_ctf(
    project: Project,
    folder: StrPath,
    options: RefineCtfOptions | None = None,
    *,
    reference: ReferenceFiles | None = None,
    resources: Resources | None = None,
    names: Sequence[str] = (),
    **by_name: Any,
) -> Done[RefinedCtf]:
    """Refine defocus and scale of the tilt images of a project, and write the set with them.

    Parameters
    ----------
    {project}
    folder : path-like
        Made when missing. The set goes to ``tomograms.star``, links to
        ``optimisation_set.star``, what is to be known of it to ``ctf_NAME.star``, figures to
        ``NAME.png``.
    options : RefineCtfOptions, optional
        What is wanted.
    {reference}
    {running}

    Returns
    -------
    Done
        A tomogram that fails stops no other. Those without particles stay as they are.

    Raises
    ------
    {refusals}

    Examples
    --------
    >>> import tomoset
    >>> project = tomoset.open_project("optimisation_set.star")
    >>> done = tomoset.refine_ctf(project, "CtfRefine", box=96)  # doctest: +SKIP
    >>> done.results["TS_01"].fit.defocus_gain.gain  # doctest: +SKIP
    152.0
    """
    files = filled(ReferenceFiles, reference, by_name)
    chosen, where = wanted(RefineCtfOptions, options, resources, by_name)
    request = Request.of(project, folder, chosen, where, names)
    files = files.completed(project)
    inputs = particle_inputs(request, files, "the CTF cannot be refined")
    for name in inputs:
        mean_and_astigmatism(project.tomograms[name])  # refuses what has no CTF
    check_particles(project, inputs, files)
    done = replace(request, project=files.named_by(project)).carry_out(PROGRAM, inputs)
    for name, result in done.results.items():
        if result.at_the_end:
            warnings.warn(
                f"tomogram {name!r}: the defocus of {result.at_the_end} images would change by "
                "as much as is scanned, or more; give a wider range (--d0 --d1), or align the "
                "tomogram first",
                AssumptionWarning,
                stacklevel=2,
            )
    return done


@dataclass(frozen=True, kw_only=True, eq=False)
class RefinedCtf(Result):
    """Defocus and scale, refined.

    Parameters
    ----------
    particles, particles_given : int
        Of which at least one image shows something, and all.
    box : int
        That was compared [px].
    seen : (n_tilts,) int array
        Particles that each image shows.
    searched : CtfFitOptions
        What was asked for.
    fit : CtfFit
        What was found.
    """

    particles: int
    particles_given: int
    box: int
    seen: npt.NDArray[np.int64]
    searched: CtfFitOptions
    fit: CtfFit

    @property
    def at_the_end(self) -> int:
        """Images whose defocus would change by as much as is scanned, or more."""
        step, changed = 1.5 * self.searched.step, self.fit.changes[~self.fit.kept, 0]
        low, high = self.searched.low + step, self.searched.high - step
        return int(((changed < low) | (changed > high)).sum()) + self.fit.outside


def _run(task: Task[RefineCtfOptions]) -> RefinedCtf:
    """Refine the CTF of a tomogram, and write what is to be known of it."""
    threads, inputs, wanted = task.resources.threads, inputs_of(task), task.options.fit
    use_threads(threads)
    with task.images() as images:
        tomogram = task.tomogram.placed(None, images.size)
        statistics = gather(
            tomogram,
            images,
            inputs.particles,
            inputs.reference.read(),
            replace(task.options.statistics, threads=threads),
            inputs.trajectories,
        )
    beams = tomogram.need_projections()[:, 2, :3]
    beams = beams / np.linalg.norm(beams, axis=1)[:, None]
    fit = fit_ctf(statistics, beams, _scale(tomogram), wanted)
    refined = Refined(
        before=tomogram,
        after=with_changes(tomogram, fit.changes),
        fit=fit,
        seen=statistics.seen.sum(axis=1),
        particles=statistics.particles,
        particles_given=len(inputs.particles),
    )
    report = task.target("ctf_{name}.star")
    star.write(refined_to_star(refined), report)
    figures = task.draw("{name}", lambda: ctf_refinement(refined))
    return RefinedCtf(
        particles=refined.particles,
        particles_given=refined.particles_given,
        box=task.options.statistics.box,
        seen=refined.seen,
        searched=wanted,
        fit=fit,
        files=(report, *figures),
    )


def _scale(tomogram: Tomogram) -> Array:
    return np.ones(tomogram.n_tilts) if tomogram.ctf_scale is None else tomogram.ctf_scale


def _updated(tomogram: Tomogram, result: RefinedCtf) -> Tomogram:
    """The tomogram with its new defocus and scale, and how sure they are."""
    fit, new = result.fit, tomogram
    if not fit.kept.all():
        new = with_changes(new, fit.changes)
    if not fit.scale_kept:  # what another scale was made of is true no more
        ice = None if result.searched.per_tilt_scale else _ice(fit.ice)
        new = replace(new, ctf_scale=fit.scales, ice=ice)
    found = {}
    if result.searched.defocus:
        _, astigmatism = mean_and_astigmatism(with_changes(tomogram, fit.changes))
        found["defocus"] = fit.errors[:, 0]
        found["astigmatism"] = astigmatism_error(fit)
        found["defocus_angle"] = angle_errors(astigmatism, fit.errors[:, 1:])
    if result.searched.scale:
        found["ctf_scale"] = fit.scale_errors
    known = {k: rounded(np.where(result.seen > 0, v, np.nan)) for k, v in found.items()}
    return replace(new, deviations={**new.deviations, **known})


def _ice(model: IceModel) -> Ice:
    values = model.luminance, model.thickness, *model.normal
    luminance, thickness, x, y, z = (float(f"{value:.6g}") for value in values)
    return Ice(luminance=luminance, thickness=thickness, normal=(x, y, z))


def _lines(r: RefinedCtf) -> Iterator[str]:
    """What has changed, and how sure it is."""
    fit, unused = r.fit, r.particles_given - r.particles
    why = f" of {r.particles_given}" * bool(unused)
    yield f"{r.particles}{why} particles in {(r.seen > 0).sum()} images"
    if unused:
        yield (
            f"{unused} not used: in no image lies their box of {r.box} px (--b) whole, or all "
            "are marked as not visible"
        )
    if r.searched.defocus:
        gain, changed = gain_text(fit.defocus_gain), fit.changes[~fit.kept, 0]
        if len(changed):
            astigmatism = ", with astigmatism" * fit.astigmatism
            yield (
                f"defocus of {len(changed)} images changed by "
                f"{np.sqrt(np.mean(changed**2)):.0f} Å rms{astigmatism} (gain {gain})"
            )
        else:
            yield (
                f"defocus stays as it is: what fits best gains {gain} for particles that are "
                "left out, which is not clear, or is not larger than its error"
            )
        yield f"defocus known to {np.median(fit.errors[r.seen > 0, 0]):.0f} Å (median)"
    if r.searched.scale:
        verdict = "stays as it is" if fit.scale_kept else "changed"
        yield f"scale {verdict} (gain {gain_text(fit.scale_gain)})"
        thickness, error = fit.ice.thickness, fit.ice.thickness_error
        yield f"ice: {thickness:.2f} +- {error:.2f} mean free paths of contrast thick"


PROGRAM = Program(
    name="refine-ctf",
    verb="refined",
    result=RefinedCtf,
    run=_run,
    outputs=lambda task: [task.target("ctf_{name}.star"), *task.figures("{name}")],
    computes_with=ctf_and_doses,
    lines=_lines,
    updated=_updated,
    identity=identity_with_particles,
    depends=options_and_reference,
    links=True,
    draws=True,
)
