"""``find-fiducials``: gold beads, in space and in every image."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tomoset.errors import AssumptionWarning
from tomoset.fiducials.finder.find import Found, find
from tomoset.fiducials.from_imod import read_imod_beads
from tomoset.fiducials.options import FindOptions
from tomoset.fiducials.outputs import residuals, rms, write_beads, write_imod_model
from tomoset.figures import beads, tilts
from tomoset.files import stamp
from tomoset.images.tilt_series import TiltSeries
from tomoset.model import Tomogram, TomogramSet
from tomoset.programs._program import Done, Program, Result, documented
from tomoset.programs._request import Request, StrPath
from tomoset.programs._task import Task
from tomoset.project import Project
from tomoset.run import Resources, wanted


@dataclass(frozen=True, kw_only=True)
class FindFiducialsOptions(FindOptions):
    """What beads to find, where they are from, and what is written of them.

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


@documented(FindFiducialsOptions)
def find_fiducials(
    tomograms: TomogramSet | Project,
    folder: StrPath,
    options: FindFiducialsOptions | None = None,
    *,
    resources: Resources | None = None,
    names: Sequence[str] = (),
    **by_name: Any,
) -> Done[FoundBeads]:
    """Find the gold beads of the tomograms of a set, and write the set that names them.

    Parameters
    ----------
    {tomograms}
    folder : path-like
        Made when missing. Beads go to ``fiducials_NAME.star``, figures to ``NAME.png`` and
        ``tilts_NAME.png``, the set to ``tomograms.star``, links to ``optimisation_set.star``.
    options : FindFiducialsOptions, optional
        What is wanted.
    {running}

    Returns
    -------
    Done
        A tomogram that fails stops no other; one without beads has an empty table, which is said.

    Raises
    ------
    {refusals}

    Examples
    --------
    >>> import tomoset
    >>> tomograms = tomoset.read("tomograms.star")
    >>> done = tomoset.find_fiducials(tomograms, "Fiducials", radius=None)  # doctest: +SKIP
    >>> done.results["TS_01"].beads  # doctest: +SKIP
    14
    """
    chosen, where = wanted(FindFiducialsOptions, options, resources, by_name)
    request = Request.of(tomograms, folder, chosen, where, names)
    done = request.carry_out(PROGRAM)
    for name, result in done.results.items():
        if not result.beads:
            radius = f"of a radius of {result.radius:g} Å " if result.radius else ""
            warnings.warn(
                f"tomogram {name!r}: no beads {radius}were found; its table is empty",
                AssumptionWarning,
                stacklevel=2,
            )
    return done


@dataclass(frozen=True, kw_only=True, eq=False)
class FoundBeads(Result):
    """The beads of a tomogram.

    Parameters
    ----------
    fiducials : str
        Path of their table.
    beads, observations : int
        How many there are, and how many times they were seen.
    radius : float or None
        Of a bead [Å], if known.
    dark : bool
        Whether beads are darker than the ice.
    residual : float or None
        Of the alignment as it is, rms [px].
    uncertainty : float or None
        Of where beads were seen, median [px].
    false_discovery : float
        Not more than this part of them is there by chance.
    """

    fiducials: str
    beads: int
    observations: int
    radius: float | None
    dark: bool
    residual: float | None
    uncertainty: float | None
    false_discovery: float


def _run(task: Task[FindFiducialsOptions]) -> FoundBeads:
    """Find the beads of a tomogram, and write them."""
    files = [task.target("fiducials_{name}.star")]
    with task.images() as images:
        found = _beads(task, images)
        tomogram = task.tomogram.placed(None, images.size)
        write_beads(found.fiducials, files[0], tomogram, task.format)
        of = tomogram, found.fiducials, images
        files += task.draw("{name}", lambda: beads(*of, radius=found.radius))
        files += task.draw("tilts_{name}", lambda: tilts(*of))
        seen = found.fiducials.observations
        if seen is not None and len(seen) and task.options.models:
            files.append(task.target("{name}.fid"))
            write_imod_model(seen, files[-1], images, tomogram)
    return _result(tomogram, found, files)


def _file(task: Task[FindFiducialsOptions]) -> str | None:
    """The file of tracked beads, if they are not searched."""
    given = task.options.beads
    return None if given is None else given.replace("{name}", task.tomogram.name)


def _beads(task: Task[FindFiducialsOptions], images: TiltSeries) -> Found:
    file = _file(task)
    if file is None:
        return find(task.tomogram, images, task.options, task.resources.threads)
    tracked = read_imod_beads(file, task.tomogram, images)
    return Found(fiducials=tracked, false_discovery=np.zeros(len(tracked)), radius=None)


def _result(tomogram: Tomogram, found: Found, files: Sequence[str]) -> FoundBeads:
    seen, residual, uncertainty = found.fiducials.observations, None, None
    if seen is not None and len(seen):
        off = residuals(tomogram, found.fiducials)
        residual = float(rms(off.reshape(1, -1, 2), axis=1)[0])
        if seen.uncertainty is not None:
            uncertainty = float(np.median(seen.uncertainty))
    return FoundBeads(
        fiducials=files[0],
        beads=len(found.fiducials),
        observations=0 if seen is None else len(seen),
        radius=found.radius,
        dark=found.dark,
        residual=residual,
        uncertainty=uncertainty,
        false_discovery=float(found.false_discovery.max(initial=0.0)),
        files=tuple(files),
    )


def _depends(task: Task[FindFiducialsOptions]) -> object:
    file = _file(task)
    return [task.options, None if file is None else stamp(file)]


def _lines(result: FoundBeads) -> Iterator[str]:
    if not result.beads:
        yield "no beads"
        return
    sure = "" if result.uncertainty is None else f" to {result.uncertainty:.2f} px"
    yield (
        f"{result.beads:3} beads, {result.observations} times seen{sure}, {result.residual:.2f} px "
        "rms off the alignment"
    )


PROGRAM = Program(
    name="find-fiducials",
    verb="searched",
    result=FoundBeads,
    run=_run,
    outputs=lambda task: [
        *(task.target("fiducials_{name}.star"), *task.figures("{name}", "tilts_{name}")),
        *([task.target("{name}.fid")] if task.options.models else ()),
    ],
    reads=lambda task: filter(None, [_file(task)]),
    lines=_lines,
    updated=lambda tomogram, result: replace(tomogram, fiducials=result.fiducials),
    cleared=lambda tomogram: replace(tomogram, fiducials=None),
    depends=_depends,
    links=True,
    draws=True,
)
