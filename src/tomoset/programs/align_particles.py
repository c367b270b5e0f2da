"""``align particles``: alignments by particles against a reference."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from tomoset import star
from tomoset.align.particles import PARAMETERS, Gain
from tomoset.errors import AssumptionWarning
from tomoset.figures import alignment_by_particles
from tomoset.formats import refuse_unable
from tomoset.model import Deformation, ParticleSet, Tomogram, TrajectorySet
from tomoset.particles.align.one import align
from tomoset.particles.align.options import AlignOptions
from tomoset.particles.align.report import Numbers, alignment_to_star, numbers
from tomoset.programs._linked import linked_files
from tomoset.programs._particles import (
    ReferenceFiles,
    check_particles,
    identity_with_particles,
    inputs_of,
    need_particles,
    options_and_reference,
    particle_inputs,
)
from tomoset.programs._program import Done, Program, Result, ctf_and_doses, documented
from tomoset.programs._request import Request, StrPath
from tomoset.programs._results import BULK
from tomoset.programs._task import Task, use_threads
from tomoset.programs._words import count, gain_text, rounded
from tomoset.project import Project
from tomoset.run import Resources, filled, wanted

Array = npt.NDArray[np.float64]

#: What does not work without particles.
_WITHOUT = "nothing can be aligned by them"


@documented(AlignOptions)
def align_particles(
    project: Project,
    folder: StrPath,
    options: AlignOptions | None = None,
    *,
    reference: ReferenceFiles | None = None,
    resources: Resources | None = None,
    names: Sequence[str] = (),
    **by_name: Any,
) -> Done[AlignedByParticles]:
    """Align the tomograms of a project by their particles, and write all sets with that alignment.

    Parameters
    ----------
    {project}
    folder : path-like
        Made when missing. The sets go to ``tomograms.star``, ``particles.star``, ``motion.star``
        and ``optimisation_set.star``, what is to be known of an alignment to
        ``alignment_NAME.star``, figures to ``NAME.png``.
    options : AlignOptions, optional
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
    >>> done = tomoset.align_particles(
    ...     project, "Polished", box=96, range=10, motion=True
    ... )  # doctest: +SKIP
    >>> done.results["TS_01"].expected  # doctest: +SKIP
    0.14
    """
    files = filled(ReferenceFiles, reference, by_name)
    chosen, where = wanted(AlignOptions, options, resources, by_name)
    request = Request.of(project, folder, chosen, where, names)
    if chosen.fit.magnification:
        refuse_unable(project.tomograms, "magnification")
    files = files.completed(project)
    inputs = particle_inputs(request, files, _WITHOUT)
    check_particles(project, inputs, files)
    request = replace(request, project=files.named_by(project))
    may_write = linked_files(project, str(request.folder), ("particles", "trajectories"))
    return request.carry_out(PROGRAM, inputs, may_write=may_write)


@dataclass(frozen=True, kw_only=True, eq=False)
class AlignedByParticles(Result, Numbers):
    """An alignment by particles.

    Parameters
    ----------
    image_size : (int, int)
        Of the tilt images [px].
    free : tuple of str
        Of ``shifts`` and ``angles`` of tilt images, what was free.
    particles_changed : bool
        Whether positions are others than before.
    projections : (n_tilts, 4, 4) array or None
        None if they stay.
    positions : (n_particles, 3) array or None
        0-based voxels; None if they stay.
    deviations : (n_tilts, 8) array
        Of `PARAMETERS`; NaN where nothing could change.
    trajectories : (n_particles, n_tilts, 3) array or None
        [Å]; None if particles were not to move.
    deformation : Deformation or None
        If it is another one than before.
    """

    image_size: tuple[int, int]
    free: tuple[str, ...]
    particles_changed: bool
    projections: Array | None = field(metadata=BULK)
    positions: Array | None = field(metadata=BULK)
    deviations: Array = field(metadata=BULK)
    trajectories: Array | None = field(metadata=BULK)
    deformation: Deformation | None = field(metadata=BULK)


def _run(task: Task[AlignOptions]) -> AlignedByParticles:
    """Align a tomogram by its particles, and write what is to be known of it."""
    use_threads(task.resources.threads)
    inputs, wanted = inputs_of(task), task.options.fit
    with task.images() as images:
        aligned = align(
            task.tomogram,
            images,
            inputs.particles,
            inputs.reference.read(),
            _with_resources(task),
            inputs.trajectories,
        )
        image_size = images.size
    report = task.target("alignment_{name}.star")
    star.write(alignment_to_star(aligned), report)
    figures = task.draw("{name}", lambda: alignment_by_particles(aligned))
    fit, deformation = aligned.fit, aligned.after.deformation
    changed = bool((fit.positions != inputs.particles.positions).any())
    moving = inputs.trajectories is not None or wanted.motion is not None
    shifts = bool(wanted.shift_only) or not wanted.constant_shifts
    angles = not (wanted.constant_angles or wanted.shift_only)
    return AlignedByParticles(
        **vars(numbers(aligned)),
        image_size=image_size,
        free=("shifts",) * shifts + ("angles",) * angles,
        particles_changed=changed,
        projections=fit.projections if fit.kept.any() else None,
        positions=fit.positions if changed else None,
        deviations=fit.deviations,
        trajectories=fit.trajectories if moving else None,
        deformation=None if deformation is aligned.before.deformation else deformation,
        files=(report, *figures),
    )


def _with_resources(task: Task[AlignOptions]) -> AlignOptions:
    r = task.resources
    correlation = replace(
        task.options.correlation, threads=r.threads, device=r.device, memory=r.memory
    )
    return replace(task.options, correlation=correlation)


def _updated(tomogram: Tomogram, result: AlignedByParticles) -> Tomogram:
    """The tomogram with its new alignment, and how sure that is."""
    aligned = tomogram.placed(None, result.image_size)
    if result.projections is not None:
        aligned = replace(aligned, projections=result.projections, alignment=None)
    if result.deformation is not None:
        aligned = replace(aligned, deformation=result.deformation)
    kept = {k: v for k, v in aligned.deviations.items() if k not in PARAMETERS}
    found = zip(PARAMETERS, result.deviations.T, strict=True)
    new = {name: rounded(values) for name, values in found if np.isfinite(values).any()}
    return replace(aligned, deviations=kept | new)


def _linked(project: Project, results: Mapping[str, AlignedByParticles]) -> Project:
    """The project with particles where results have them, and how they move."""
    particles = need_particles(project, _WITHOUT)
    found = {name: r.positions for name, r in results.items() if r.positions is not None}
    moving = {name: r.trajectories for name, r in results.items() if r.trajectories is not None}
    trajectories = _moving(project, particles, moving)
    return project.with_sets(particles=_placed(particles, found), trajectories=trajectories)


def _placed(particles: ParticleSet, positions: Mapping[str, Array]) -> ParticleSet:
    """The particles at new positions in some tomograms, where origins are 0."""
    coordinates = particles.coordinates.copy()
    origins = None if particles.origins is None else particles.origins.copy()
    rows = particles.by_tomogram()
    for name, found in positions.items():
        coordinates[rows[name]] = found
        if origins is not None:
            origins[rows[name]] = 0.0
    return replace(particles, coordinates=coordinates, origins=origins)


def _moving(
    project: Project, particles: ParticleSet, found: Mapping[str, Array]
) -> TrajectorySet | None:
    """The old trajectories and those that were found; 0 for particles that have neither."""
    old = project.trajectories
    if not found:
        return old
    shifts: dict[str, Array] = {} if old is None else dict(old)
    names, rows = particles.particle_names, particles.by_tomogram()
    for tomogram, mine in rows.items():
        n_tilts = project.tomograms[tomogram].n_tilts
        for i, name in enumerate(names[mine].tolist()):
            if tomogram in found:
                shifts[name] = found[tomogram][i]
            elif name not in shifts:
                shifts[name] = np.zeros((n_tilts, 3))
    others = [name for name in rows if name not in found]
    if others and old is None:
        warnings.warn(
            f"no motion was found in {len(others)} tomograms ({', '.join(others[:3])}); RELION "
            "wants a trajectory of every particle, and theirs is 0",
            AssumptionWarning,
            stacklevel=5,
        )
    return TrajectorySet(shifts) if old is None else old.with_trajectories(shifts)


def _lines(r: AlignedByParticles) -> Iterator[str]:
    """What has changed, and how sure it is."""
    doubtful = f", {r.doubtful} doubtful" * bool(r.doubtful)
    unseen = f", {r.unseen} in none" * bool(r.unseen)
    yield f"{count(r.particles, 'particle')} in {count(r.tilt_images, 'image')}{unseen}{doubtful}"
    sizes = {"shifts": f"{r.shift:.2f} px", "angles": f"{r.angle:.3f} degrees"}
    if r.changed:
        said = " and ".join(sizes[name] for name in r.free)
        yield f"{count(r.changed, 'image')} changed" + f": {said} rms" * bool(said)
    elif not r.free:
        yield "the images stay as they are (--const_a --const_s)"
    else:
        yield (
            "the images stay as they are: no other alignment predicts particles better that are "
            "left out"
        )
    if r.particles_changed:
        yield f"particles displaced by {r.displacement:.1f} Å rms"
    if r.expected is not None:
        yield f"alignment known to {r.expected:.3f} px at the particles"
    if r.image_gain is not None:
        what = " and ".join(r.free) or "cameras"
        yield f"{what} of these images: {gain_text(r.image_gain)} (accepted)"
    for gain in r.gains:
        yield _gain_line(gain, _size(gain.name, r) * gain.kept)
    if r.faint:
        which = ", ".join(map(str, r.faint[:8])) + ", ..." * (len(r.faint) > 8)
        yield (
            f"particles are faint in {count(len(r.faint), 'image')} ({which}): these may be bad, "
            "or further off than --r; try --shift_only"
        )


def _size(name: str, r: AlignedByParticles) -> str:
    """How large the change by a parameter group is, and how well that is known."""
    if name == "motion" and r.motion_error is not None:
        return f", {r.motion:.1f} Å rms, known to {r.motion_error:.1f} Å"
    if name == "deformation" and r.deformation_error is not None:
        return f", known to {r.deformation_error:.2f} px"
    return ""


def _gain_line(gain: Gain, size: str) -> str:
    """What a parameter group gained: ``motion: +812 +- 30 ln likelihood (accepted, 9.1 Å rms)``."""
    if not math.isfinite(gain.gain):
        return f"{gain.name}: fitted{size}"
    why = "hardly larger than its error" if gain.small else "particles that are left out say no"
    verdict = "not accepted" + f": {why}" * math.isfinite(gain.error)
    if gain.kept:
        verdict = f"accepted{size}"
    return f"{gain.name}: {gain_text(gain)} ({verdict})"


PROGRAM = Program(
    name="align particles",
    verb="aligned",
    result=AlignedByParticles,
    run=_run,
    outputs=lambda task: [task.target("alignment_{name}.star"), *task.figures("{name}")],
    computes_with=ctf_and_doses,
    lines=_lines,
    updated=_updated,
    linked=_linked,
    identity=identity_with_particles,
    depends=options_and_reference,
    links=True,
    draws=True,
)
