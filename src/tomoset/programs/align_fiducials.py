"""``align fiducials``: alignments by gold beads."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from tomoset import geometry, star
from tomoset.align import PARAMETERS, Fit
from tomoset.align.level import Level, level
from tomoset.fiducials.align_one import Aligned, Kept, align
from tomoset.fiducials.align_options import AlignOptions
from tomoset.fiducials.align_report import alignment_to_star
from tomoset.fiducials.outputs import write_beads
from tomoset.figures import alignment_by_beads, alignment_kept, tilts
from tomoset.formats import BEYOND_RIGID, refuse_unable, working_format
from tomoset.images.tilt_series import TiltSeries
from tomoset.model import Deformation, Fiducials, Tomogram, TomogramSet
from tomoset.programs._linked import follow_motions
from tomoset.programs._program import Done, Program, Result, documented
from tomoset.programs._request import Request, StrPath
from tomoset.programs._results import BULK
from tomoset.programs._task import Task, identity_with_fiducials
from tomoset.programs._words import rounded
from tomoset.project import Project
from tomoset.project.transform import transform_tomogram
from tomoset.run import Resources, wanted

Array = npt.NDArray[np.float64]

#: A specimen is levelled if the angle is so many times its standard deviation.
_SURE = 3.0


@documented(AlignOptions)
def align_fiducials(
    tomograms: TomogramSet | Project,
    folder: StrPath,
    options: AlignOptions | None = None,
    *,
    resources: Resources | None = None,
    names: Sequence[str] = (),
    **by_name: Any,
) -> Done[AlignedByBeads]:
    """Align the tomograms of a set by their beads, and write the set with that alignment.

    Parameters
    ----------
    {tomograms}
    folder : path-like
        Made when missing. The set goes to ``tomograms.star``, beads to ``fiducials_NAME.star``,
        what is to be known of an alignment to ``alignment_NAME.star``, figures to ``NAME.png``,
        links to ``optimisation_set.star``; where tomograms are rotated, sets that go along to
        ``particles.star``, ``manifolds.star`` and ``motion.star``, and the matrices to
        ``transforms.star``.
    options : AlignOptions, optional
        What is wanted.
    {running}

    Returns
    -------
    Done
        A tomogram whose beads do not support an alignment fails, and keeps the one it has.

    Raises
    ------
    {refusals}

    Examples
    --------
    >>> import tomoset
    >>> tomograms = tomoset.read("tomograms.star")
    >>> done = tomoset.align_fiducials(tomograms, "Aligned", level=True)  # doctest: +SKIP
    >>> done.results["TS_01"].fit.residual  # doctest: +SKIP
    0.41
    """
    if "radius" in by_name:
        by_name["radius_given"] = True
    chosen, where = wanted(AlignOptions, options, resources, by_name)
    request = Request.of(tomograms, folder, chosen, where, names)
    groups = _sayable(request.project.tomograms, request.options.groups)
    request = replace(request, options=replace(request.options, groups=groups))
    may_write: Sequence[str] = ()
    if request.options.level:
        project, may_write = follow_motions(request.project, os.fspath(folder))
        request = replace(request, project=project)
    return request.carry_out(PROGRAM, may_write=may_write)


def _sayable(tomograms: TomogramSet, groups: Mapping[str, str]) -> dict[str, str]:
    """What may change in a set: known before the jobs, not when the set is written."""
    format = working_format(tomograms)
    fixed = {name: "fixed" for name in BEYOND_RIGID if not format.can(name)} | dict(groups)
    refuse_unable(tomograms, *(n for n in BEYOND_RIGID if fixed.get(n, "fixed") != "fixed"))
    return fixed


@dataclass(frozen=True, kw_only=True, eq=False)
class FitNumbers:
    """How well a fit describes where beads were seen.

    Parameters
    ----------
    observations, outliers : int
        That count, and that do not.
    residual, residual_nm : float
        Rms [px], [nm].
    leave_out, leave_out_before : float
        Error of beads that were left out, by the new alignment and the old one [px].
    expected : float
        How well the alignment is known, but for a common motion [px].
    model : str
        What was free.
    parameters : int
        How many.
    unsupported : tuple of int
        Tilt images, from 1, in which no beads were seen.
    """

    observations: int
    outliers: int
    residual: float
    residual_nm: float
    leave_out: float
    leave_out_before: float
    expected: float
    model: str
    parameters: int
    unsupported: tuple[int, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class AlignedByBeads(Result):
    """An alignment by beads.

    Parameters
    ----------
    fiducials : str
        Path of the table of beads.
    beads : int
        How many.
    radius : float or None
        Of a bead [Å], if known.
    kept : str or None
        Why the alignment stays, if it does.
    fit : FitNumbers or None
        None if it stays.
    level : (float, float) or None
        The specimen's inclination [deg] and its standard deviation, if it was asked for.
    motion : (4, 4) array or None
        By which the tomogram is rotated to be level: from old voxels to new ones.
    image_size : (int, int)
        Of the tilt images [px].
    projections : (n_tilts, 4, 4) array or None
        In the frame of before; None if they stay.
    deviations : dict
        (n_tilts,) standard deviations of the parameters that were free.
    deformation : Deformation or None
        That was found.
    """

    fiducials: str
    beads: int
    radius: float | None
    kept: str | None
    fit: FitNumbers | None
    level: tuple[float, float] | None
    motion: Array | None
    image_size: tuple[int, int]
    projections: Array | None = field(metadata=BULK)
    deviations: dict[str, Array] = field(metadata=BULK)
    deformation: Deformation | None = field(metadata=BULK)


def _run(task: Task[AlignOptions]) -> AlignedByBeads:
    """Align a tomogram by its beads, and write what is to be known of it."""
    given = task.fiducials()
    with task.images() as images:
        tomogram = task.tomogram.placed(None, images.size)
        aligned = align(tomogram, images, given, task.options, task.resources.threads)
        seen = _level(tomogram, aligned.fiducials) if task.options.level else None
        flat = seen if seen is not None and seen.angle > _SURE * seen.error else None
        files = [_write_beads(task, tomogram, aligned.fiducials, flat)]
        if isinstance(aligned, Aligned):
            files += _write_report(task, tomogram, aligned, images)
        else:
            files += task.draw("{name}", lambda: alignment_kept(tomogram, aligned, images))
            files += task.draw("tilts_{name}", lambda: tilts(tomogram, aligned.fiducials, images))
    fit = aligned.fit if isinstance(aligned, Aligned) else None
    return AlignedByBeads(
        fiducials=files[0],
        beads=len(aligned.fiducials),
        radius=aligned.radius,
        kept=aligned.reason if isinstance(aligned, Kept) else None,
        fit=None if fit is None else _numbers(tomogram, fit),
        level=None if seen is None else (seen.angle, seen.error),
        motion=None if flat is None else flat.motion,
        image_size=images.size,
        projections=None if fit is None else fit.projections,
        deviations={} if fit is None else _deviations(fit),
        deformation=aligned.deformation if isinstance(aligned, Aligned) else None,
        files=tuple(files),
    )


def _level(tomogram: Tomogram, fiducials: Fiducials) -> Level:
    return level(fiducials.points, (np.array(tomogram.need_size(), np.float64) - 1) / 2)


def _write_beads(
    task: Task[AlignOptions], tomogram: Tomogram, fiducials: Fiducials, flat: Level | None
) -> str:
    """Write the beads in the frame that the tomogram gets; the path."""
    path = task.target("fiducials_{name}.star")
    if flat is not None:
        points = geometry.apply(flat.motion, fiducials.points)
        fiducials = replace(fiducials, points=points, source=None)
    write_beads(fiducials, path, tomogram, task.format)
    return path


def _write_report(
    task: Task[AlignOptions], tomogram: Tomogram, aligned: Aligned, images: TiltSeries
) -> list[str]:
    """Write report and figures; their paths."""
    better = replace(tomogram, projections=aligned.fit.projections, alignment=None)
    if aligned.deformation is not None:
        better = replace(better, deformation=aligned.deformation)
    path = task.target("alignment_{name}.star")
    star.write(alignment_to_star(better, aligned), path)
    return [
        path,
        *task.draw("{name}", lambda: alignment_by_beads(better, aligned, images)),
        *task.draw("tilts_{name}", lambda: tilts(better, aligned.fiducials, images)),
    ]


def _numbers(tomogram: Tomogram, fit: Fit) -> FitNumbers:
    return FitNumbers(
        observations=fit.counted,
        outliers=fit.discarded,
        residual=fit.rms,
        residual_nm=fit.rms * tomogram.need_pixel_size() / 10,
        leave_out=fit.leave_out,
        leave_out_before=fit.leave_out_before,
        expected=fit.expected,
        model=str(fit.model),
        parameters=fit.n_parameters,
        unsupported=tuple(int(i) + 1 for i in fit.unsupported),
    )


def _deviations(fit: Fit) -> dict[str, Array]:
    """None for what was not free."""
    return {
        name: rounded(fit.deviations[:, i])
        for i, name in enumerate(PARAMETERS)
        if getattr(fit.model, name.removesuffix("_x").removesuffix("_y"), "free") != "fixed"
    }


def _updated(tomogram: Tomogram, result: AlignedByBeads) -> Tomogram:
    """The tomogram with its new alignment, how sure that is, and its beads."""
    aligned = tomogram.placed(None, result.image_size)
    if result.projections is not None:
        aligned = replace(aligned, projections=result.projections, alignment=None)
    if result.deformation is not None:
        aligned = replace(aligned, deformation=result.deformation)
    if result.motion is not None:
        aligned = transform_tomogram(aligned, result.motion)
    if result.deviations:
        kept = {k: v for k, v in aligned.deviations.items() if k not in PARAMETERS}
        aligned = replace(aligned, deviations=kept | result.deviations)
    return replace(aligned, fiducials=result.fiducials)


def _lines(result: AlignedByBeads) -> Iterator[str]:
    """How much better it is, and what has changed."""
    beads, fit = f"{result.beads} beads", result.fit
    if fit is None:
        yield f"{beads}; the alignment stays as it is: {(result.kept or '').partition(': ')[2]}"
    else:
        outliers = f", {fit.outliers} outliers" * bool(fit.outliers)
        yield f"{beads}, {fit.observations} times seen{outliers}"
        yield (
            f"error of what is left out {fit.leave_out_before:.2f} -> {fit.leave_out:.2f} px, "
            f"residual {fit.residual:.2f} px ({fit.residual_nm:.2f} nm)"
        )
        yield f"alignment known to {fit.expected:.2f} px, but for a common shift"
        yield fit.model
        if result.deformation is not None:
            yield f"images deformed in 2D ({result.deformation.kind})"
        if fit.unsupported:
            views = ", ".join(map(str, fit.unsupported))
            yield f"no beads seen in images {views}: they keep their alignment"
    if result.level is not None:
        angle, error = result.level
        rotated = f"{angle:.2f} degrees (+- {error:.2f})"
        if result.motion is None:
            yield f"not levelled: beads say {rotated}, which is not known well enough"
        else:
            yield f"rotated by {rotated} to be level"


PROGRAM = Program(
    name="align fiducials",
    verb="aligned",
    result=AlignedByBeads,
    run=_run,
    outputs=lambda task: [
        *map(task.target, ("fiducials_{name}.star", "alignment_{name}.star")),
        *task.figures("{name}", "tilts_{name}"),
    ],
    lines=_lines,
    updated=_updated,
    motion=lambda result: result.motion,
    identity=identity_with_fiducials,
    links=True,
    draws=True,
)
