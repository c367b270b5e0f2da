"""``align fiducials``: every tomogram of a set aligned by its beads, and the set of that."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from tomoset import geometry, star
from tomoset.align import PARAMETERS, Fit
from tomoset.align.level import Level, level
from tomoset.derived import Derived, Recipe, as_project, derive, file_sizes, identity, in_folder
from tomoset.fiducials.align_one import Aligned, Kept, align
from tomoset.fiducials.align_options import AlignOptions
from tomoset.fiducials.align_report import alignment_to_star
from tomoset.fiducials.outputs import write_beads, write_picture
from tomoset.fiducials.task import BeadTask, common_fields
from tomoset.formats import BEYOND_RIGID, refuse_unable, working_format
from tomoset.formats._files import fiducials_file
from tomoset.model import Deformation, Fiducials, Tomogram, TomogramSet
from tomoset.project import Project, fiducials_of
from tomoset.project.transform import move_tomogram
from tomoset.run import RunOptions, file_stamp
from tomoset.tilt_series import TiltSeries

Array = npt.NDArray[np.float64]

#: A specimen is turned to be level if the angle is so many times its standard deviation.
_SURE = 3.0


@dataclass(frozen=True, kw_only=True, eq=False)
class Task(BeadTask):
    """What one process needs to align a tomogram by its beads.

    Parameters
    ----------
    options : AlignOptions
        What is wanted.
    """

    options: AlignOptions


def align_set(
    tomograms: TomogramSet | Project,
    folder: str | os.PathLike[str],
    options: AlignOptions,
    running: RunOptions | None = None,
    names: Sequence[str] = (),
) -> Derived:
    """Align the tomograms of a set by their beads, and write the set with that alignment.

    Parameters
    ----------
    tomograms : TomogramSet or Project
        As it was read, aligned however badly. Sets that a project links to are carried along
        where a tomogram is turned to be level.
    folder : path-like
        Made when missing. The set goes to ``tomograms.star``, beads to ``fiducials_NAME.star``,
        what is to be known of an alignment to ``alignment_NAME.star``, pictures to ``NAME.png``.
    options : AlignOptions
        What is wanted.
    running : RunOptions, optional
        Where and how to run.
    names : sequence of str
        Only these tomograms; all if empty.

    Returns
    -------
    Derived
        A tomogram whose beads do not support an alignment fails, and keeps the one it has.

    Raises
    ------
    UnsupportedError
        If the set's format cannot say what is to be free.
    """
    project, running = as_project(tomograms), running or RunOptions()
    options = replace(options, find=replace(options.find, threads=running.threads))
    options = replace(options, classes=_sayable(project.tomograms, options.classes))
    tasks = {
        name: Task(**fields, options=options)
        for name, fields in common_fields(project, folder).items()
    }
    recipe = Recipe(
        command="align fiducials",
        records="run_align_fiducials",
        work=align_one,
        describe=_describe,
        updated=_updated,
        identity=_identity,
        links=True,
        moved=_moved,
        may_move=options.level,
    )
    return derive(recipe, project, tasks, folder, running, names)


def _sayable(tomograms: TomogramSet, classes: Mapping[str, str]) -> dict[str, str]:
    """What may change in a set: known before the jobs, not when the set is written."""
    format = working_format(tomograms)
    fixed = {name: "fixed" for name in BEYOND_RIGID if not format.can(name)} | dict(classes)
    refuse_unable(tomograms, *(n for n in BEYOND_RIGID if fixed.get(n, "fixed") != "fixed"))
    return fixed


def align_one(task: Task) -> dict[str, Any]:
    """Align a tomogram by its beads, and write what is to be known of it.

    Returns
    -------
    dict
        For JSON: ``projections`` (in the frame of before; None if they stay), ``deviations``
        (texts, by column), ``motion`` (of the frame; None if it stays), ``fiducials`` (path),
        ``kept`` (why the alignment stays, else None), numbers for people, ``files``, ``of``.

    Raises
    ------
    AlignmentError
        If beads do not support an alignment.
    TomosetError
        If something is missing or damaged.
    """
    with in_folder(task.root):
        of = _identity(task)
        given = fiducials_of(task.tomogram, task.set_path, task.format)
        with TiltSeries(task.tomogram, task.set_path) as images:
            tomogram = task.tomogram.placed(None, images.size)
            aligned = align(tomogram, images, given, task.options)
            seen = _level(tomogram, aligned.fiducials) if task.options.level else None
            flat = seen if seen is not None and seen.angle > _SURE * seen.error else None
            files = [_write_beads(task, tomogram, aligned.fiducials, flat)]
            if isinstance(aligned, Aligned):
                files += _write_report(task, tomogram, aligned, images)
        fit = aligned.fit if isinstance(aligned, Aligned) else None
        return {
            "projections": None if fit is None else fit.projections.tolist(),
            "image_size": list(images.size),
            "deformation": _coefficients(aligned),
            "deviations": {} if fit is None else _deviations(fit),
            "motion": None if flat is None else flat.motion.tolist(),
            "level": None if seen is None else [seen.angle, seen.error],
            "fiducials": files[0],
            "beads": len(aligned.fiducials),
            "radius": aligned.radius,
            "kept": aligned.reason if isinstance(aligned, Kept) else None,
            **({} if fit is None else _numbers(tomogram, fit)),
            "files": file_sizes(files),
            "of": of,
        }


def _level(tomogram: Tomogram, fiducials: Fiducials) -> Level:
    assert tomogram.size is not None
    return level(fiducials.points, (np.array(tomogram.size, np.float64) - 1) / 2)


def _write_beads(task: Task, tomogram: Tomogram, fiducials: Fiducials, flat: Level | None) -> str:
    """Write the beads in the frame that the tomogram gets; the path."""
    path = task.target("fiducials_{name}.star")
    if flat is not None:
        fiducials = replace(
            fiducials, points=geometry.apply(flat.motion, fiducials.points), source=None
        )
    write_beads(fiducials, path, tomogram, task.format)
    return path


def _write_report(
    task: Task, tomogram: Tomogram, aligned: Aligned, images: TiltSeries
) -> list[str]:
    """Write report and picture; their paths."""
    better = replace(tomogram, projections=aligned.fit.projections, alignment=None)
    if aligned.deformation is not None:
        better = replace(better, deformation=aligned.deformation)
    paths = [task.target("alignment_{name}.star"), task.target("{name}.png")]
    star.write(alignment_to_star(better, aligned, _coverage(better, aligned)), paths[0])
    write_picture(aligned.fiducials, paths[1], better, images, aligned.radius, aligned.good)
    return paths


def _coverage(better: Tomogram, aligned: Aligned) -> dict[str, float]:
    """How much of the least tilted image lies between beads, and how deep they lie [Å]."""
    import scipy.spatial

    assert better.projections is not None
    assert better.image_size is not None
    assert better.optics.pixel_size is not None
    points = aligned.fiducials.points
    least = int(np.argmin(np.abs(geometry.tilt_angles(better.projections))))
    at = better.project(points)[least]
    area = scipy.spatial.ConvexHull(at).volume / float(np.prod(better.image_size))
    return {
        "tomosetCoveredArea": float(area),
        "tomosetBeadDepthAngst": float(np.ptp(points[:, 2]) * better.optics.pixel_size),
    }


def _coefficients(aligned: Aligned | Kept) -> dict[str, Any] | None:
    """The 2D deformation, ready for JSON."""
    if isinstance(aligned, Kept) or aligned.deformation is None:
        return None
    bent = aligned.deformation
    return {"kind": bent.kind, "grid": bent.grid, "coefficients": bent.coefficients.tolist()}


def _numbers(tomogram: Tomogram, fit: Fit) -> dict[str, Any]:
    assert tomogram.optics.pixel_size is not None
    return {
        "observations": int((~fit.outliers).sum()),
        "outliers": int(fit.outliers.sum()),
        "residual": fit.rms,
        "residual_nm": fit.rms * tomogram.optics.pixel_size / 10,
        "leave_out": fit.leave_out,
        "leave_out_before": fit.leave_out_before,
        "expected": fit.expected,
        "model": str(fit.model),
        "parameters": fit.n_parameters,
        "unsupported": [int(i) + 1 for i in fit.unsupported],
    }


def _deviations(fit: Fit) -> dict[str, list[float | None]]:
    """Standard deviations of each parameter that was free, as `Tomogram.deviations`."""
    return {
        name: [float(f"{v:.4g}") if np.isfinite(v) else None for v in fit.deviations[:, i]]
        for i, name in enumerate(PARAMETERS)
        if getattr(fit.model, name.removesuffix("_x").removesuffix("_y"), "free") != "fixed"
    }


def _describe(task: Task) -> dict[str, Any]:
    """All that decides what the result is, ready for JSON: threads do not."""
    options = asdict(task.options)
    options["find"].pop("threads")
    options["classes"] = dict(task.options.classes)
    return {
        "options": options,
        "target": task.target("fiducials_{name}.star"),
        "format": task.format,
        "of": _identity(task),
    }


def _identity(task: Task) -> str:
    """Of images and alignment, and of the beads that the set names."""
    beads = fiducials_file(task.tomogram, task.set_path)
    stamp = "" if beads is None else repr(file_stamp(str(beads))[1:])
    return identity(task) + stamp


def _moved(result: dict[str, Any]) -> Array | None:
    return None if result["motion"] is None else np.array(result["motion"])


def _updated(tomogram: Tomogram, result: dict[str, Any]) -> Tomogram:
    """The tomogram with its new alignment, how sure that is, and its beads."""
    width, height = result["image_size"]
    aligned = tomogram.placed(None, (width, height))
    if result["projections"] is not None:
        projections = np.array(result["projections"])
        aligned = replace(aligned, projections=projections, alignment=None)
    if (bent := result["deformation"]) is not None:
        coefficients = np.array(bent["coefficients"])
        columns, rows = bent["grid"]
        deformation = Deformation(
            kind=bent["kind"], grid=(columns, rows), coefficients=coefficients
        )
        aligned = replace(aligned, deformation=deformation)
    motion = _moved(result)
    if motion is not None:
        aligned = move_tomogram(aligned, motion)
    if result["deviations"]:
        kept = {k: v for k, v in aligned.deviations.items() if k not in PARAMETERS}
        aligned = replace(aligned, deviations=kept | result["deviations"])
    return replace(aligned, fiducials=result["fiducials"])
