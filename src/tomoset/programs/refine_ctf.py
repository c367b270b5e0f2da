"""``refine-ctf``: defocus and scale of every tilt image, by particles."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from tomoset import star
from tomoset.errors import AssumptionWarning
from tomoset.model import Ice, Tomogram
from tomoset.particles.ctf.defocus import mean_and_astigmatism, with_changes
from tomoset.particles.ctf.fit import CtfFitOptions, fit_ctf
from tomoset.particles.ctf.numbers import CtfNumbers, errors_of, numbers
from tomoset.particles.ctf.report import Refined, refined_to_star, write_refined_png
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
from tomoset.programs._program import Done, Program, Result, documented
from tomoset.programs._request import Request, StrPath
from tomoset.programs._results import BULK
from tomoset.programs._task import Task, use_threads
from tomoset.programs._words import gain_text, rounded
from tomoset.project import Project
from tomoset.run import Resources

Array = npt.NDArray[np.float64]


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


@documented
def refine_ctf(
    project: Project,
    folder: StrPath,
    options: RefineCtfOptions,
    *,
    reference: ReferenceFiles | None = None,
    resources: Resources | None = None,
    names: Sequence[str] = (),
) -> Done[RefinedCtf]:
    """Refine defocus and scale of the tilt images of a project, and write the set with them.

    Parameters
    ----------
    {project}
    folder : path-like
        Made when missing. The set goes to ``tomograms.star``, links to
        ``optimisation_set.star``, what is to be known of it to ``ctf_NAME.star``, pictures to
        ``NAME.png``.
    options : RefineCtfOptions
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
    >>> project = tomoset.open_project("optimisation_set.star")  # doctest: +SKIP
    >>> done = refine_ctf(project, "CtfRefine", options)  # doctest: +SKIP
    >>> done.results["TS_01"].error  # doctest: +SKIP
    140.0
    """
    request = Request.of(project, folder, options, resources, names)
    files = (reference or ReferenceFiles()).completed(project)
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
class RefinedCtf(Result, CtfNumbers):
    """Defocus and scale, refined.

    Parameters
    ----------
    box : int
        That was compared [px].
    ice : Ice or None
        That scales follow from, if they do.
    changes : (n_tilts, 3) array or None
        Of the defocus [Å]; None if it stays.
    scales : (n_tilts,) array or None
        None if they stay.
    errors : dict
        (n_tilts,) standard deviations of what was refined.
    """

    box: int
    ice: Ice | None
    changes: Array | None = field(metadata=BULK)
    scales: Array | None = field(metadata=BULK)
    errors: dict[str, Array] = field(metadata=BULK)


def _run(task: Task[RefineCtfOptions]) -> RefinedCtf:
    """Refine the CTF of a tomogram, and write what is to be known of it."""
    threads, inputs, wanted = task.resources.threads, inputs_of(task), task.options.fit
    use_threads(threads)
    with task.images() as images:
        tomogram = task.tomogram.placed(None, images.size)
        evidence = gather(
            tomogram,
            images,
            inputs.particles,
            inputs.reference.read(),
            replace(task.options.evidence, threads=threads),
            inputs.trajectories,
        )
    assert tomogram.projections is not None
    beams = tomogram.projections[:, 2, :3]
    beams = beams / np.linalg.norm(beams, axis=1)[:, None]
    fit = fit_ctf(evidence, beams, _scale(tomogram), wanted)
    refined = Refined(
        before=tomogram,
        after=with_changes(tomogram, fit.changes),
        fit=fit,
        seen=evidence.seen.sum(axis=1),
        particles=evidence.particles,
        particles_given=len(inputs.particles),
    )
    files = task.target("ctf_{name}.star"), task.target("{name}.png")
    star.write(refined_to_star(refined), files[0])
    write_refined_png(refined, files[1])
    by_ice = not (fit.scale_kept or wanted.per_tilt_scale)
    luminance, thickness, *normal = (
        float(f"{v:.6g}") for v in (fit.ice.luminance, fit.ice.thickness, *fit.ice.normal)
    )
    ice = Ice(luminance=luminance, thickness=thickness, normal=(normal[0], normal[1], normal[2]))
    return RefinedCtf(
        **vars(numbers(refined, wanted)),
        box=task.options.evidence.box,
        ice=ice if by_ice else None,
        changes=None if fit.kept.all() else fit.changes,
        scales=None if fit.scale_kept else fit.scales,
        errors=errors_of(refined, wanted),
        files=files,
    )


def _scale(tomogram: Tomogram) -> Array:
    return np.ones(tomogram.n_tilts) if tomogram.ctf_scale is None else tomogram.ctf_scale


def _updated(tomogram: Tomogram, result: RefinedCtf) -> Tomogram:
    """The tomogram with its new defocus and scale, and how sure they are."""
    new = tomogram
    if result.changes is not None:
        new = with_changes(new, result.changes)
    if result.scales is not None:  # what another scale was made of is true no more
        new = replace(new, ctf_scale=result.scales, ice=result.ice)
    found = {name: rounded(errors) for name, errors in result.errors.items()}
    return replace(new, deviations={**new.deviations, **found})


def _lines(r: RefinedCtf) -> Iterator[str]:
    """What has changed, and how sure it is."""
    unused = r.particles_given - r.particles
    why = f" of {r.particles_given}" * bool(unused)
    yield f"{r.particles}{why} particles in {r.tilt_images} images"
    if unused:
        yield (
            f"{unused} not used: in no image lies their box of {r.box} px (--b) whole, or all "
            "are marked as not visible"
        )
    if r.error is not None:
        gain = gain_text(r.gain, r.gain_error)
        if r.changed:
            astigmatism = ", with astigmatism" * r.astigmatism
            yield (
                f"defocus of {r.changed} images changed by {r.change:.0f} Å rms"
                f"{astigmatism} (gain {gain})"
            )
        else:
            yield (
                f"defocus stays as it is: what fits best gains {gain} for particles that are "
                "left out, which is not clear, or is not larger than its error"
            )
        yield f"defocus known to {r.error:.0f} Å (median)"
    if r.scale_gain is not None:
        verdict = "changed" if r.scale_changed else "stays as it is"
        yield f"scale {verdict} (gain {gain_text(r.scale_gain, r.scale_gain_error)})"
        yield (
            f"ice: {r.thickness:.2f} +- {r.thickness_error:.2f} mean free paths of contrast thick"
        )


PROGRAM = Program(
    name="refine-ctf",
    verb="refined",
    result=RefinedCtf,
    run=_run,
    lines=_lines,
    updated=_updated,
    identity=identity_with_particles,
    depends=options_and_reference,
    links=True,
)
