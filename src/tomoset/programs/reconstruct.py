"""``reconstruct``: tomograms of tilt series."""

from __future__ import annotations

import os
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from tomoset.errors import LossyWarning, ModelError, TomosetError, some_of
from tomoset.figures import sections
from tomoset.formats import working_format
from tomoset.images.device import Device, open_device
from tomoset.model import Reconstruction, Tomogram, TomogramSet
from tomoset.model.quantities import OF_CTF
from tomoset.programs._program import Done, Program, Result, documented
from tomoset.programs._request import Request, StrPath
from tomoset.programs._task import Task, half_stamps, use_threads
from tomoset.project import Project
from tomoset.reconstruct import Options, Plan, Transforms, resized, write_volume
from tomoset.reconstruct.depths import needs
from tomoset.reconstruct.sections import Sections
from tomoset.run import Need, Resources, wanted

Array = npt.NDArray[np.float64]

#: Options that only one method asks for.
_OF_METHOD = {"iterations": "sirt", "snr": "wiener"}


@documented(Options)
def reconstruct(
    tomograms: TomogramSet | Project,
    folder: StrPath,
    options: Options | None = None,
    *,
    resources: Resources | None = None,
    names: Sequence[str] = (),
    **by_name: Any,
) -> Done[Volumes]:
    """Reconstruct the tomograms of a set, and write the set that names their volumes.

    Parameters
    ----------
    {tomograms}
    folder : path-like
        Made when missing. Volumes and figures go to ``tomograms/rec_NAME``, the set to
        ``tomograms.star``.
    options : Options, optional
        What is wanted.
    {running}

    Returns
    -------
    Done
        A tomogram that fails stops no other.

    Raises
    ------
    {refusals}

    Examples
    --------
    >>> import tomoset
    >>> tomograms = tomoset.read("tomograms.star")
    >>> done = tomoset.reconstruct(tomograms, "Tomograms", binning=4, quiet=True)
    >>> done.results["TS_01"].path
    'Tomograms/tomograms/rec_TS_01.mrc'
    """
    chosen, where = wanted(Options, options, resources, by_name)
    request = Request.of(tomograms, folder, chosen, where, names)
    _warn_of_moves(request)
    _rehearse(request.project.tomograms, request.options)
    return request.carry_out(PROGRAM)


@dataclass(frozen=True, kw_only=True, eq=False)
class Volumes(Result):
    """The volumes of a tomogram.

    Parameters
    ----------
    path : str
        Of the volume.
    half1, half2 : str or None
        Of those of halves of the data, if asked for.
    binning : float
        Voxel size against the pixel size of the tilt images.
    size : (int, int, int)
        Of the tomogram [bin-1 px].
    voxels : (int, int, int)
        Of the volume.
    pixel_size : float
        Of the volume [Å].
    rounds : int or None
        That SIRT took.
    """

    path: str
    half1: str | None
    half2: str | None
    binning: float
    size: tuple[int, int, int]
    voxels: tuple[int, int, int]
    pixel_size: float
    rounds: int | None


#: Volumes, without their endings.
_PATTERN = os.path.join("tomograms", "rec_{name}")


def _run(task: Task[Options]) -> Volumes:
    """The volumes of a tomogram, and a figure beside each.

    Halves may be there without the volume, if something is wrong with that.
    """
    options, threads = task.options, task.resources.threads
    target, figures = task.target(_PATTERN), list[str]()
    device = open_device(task.resources.device)
    made: dict[str, str | None] = {"half1": None, "half2": None}
    with task.images() as series:
        plan = Plan.of(task.tomogram, options, series.size, threads)
        beads = _beads(task, plan)
        with Transforms(plan, series, device) as transforms:
            use_threads(threads)
            # Halves first: what is wrong with them is known before the volume is replaced.
            for half, some, of_half in _halves(task, plan, transforms, device):
                path = made[half] = f"{target}_{half}{options.file}"
                _, seen = write_volume(plan, some, of_half, path, device, beads)
                figures += _draw(task, f"{_PATTERN}_{half}", seen)
            path, rows = f"{target}{options.file}", range(plan.tomogram.n_tilts)
            rounds, seen = write_volume(plan, transforms, rows, path, device, beads)
            figures += _draw(task, _PATTERN, seen)
    volumes = [one for one in (path, *made.values()) if one is not None]
    return Volumes(
        path=path,
        **made,
        binning=plan.binning,
        size=plan.tomogram.need_size(),
        voxels=plan.size,
        pixel_size=plan.pixel_size * plan.binning,
        rounds=rounds,
        files=(*volumes, *figures),
    )


def _beads(task: Task[Options], plan: Plan) -> Array | None:
    """Beads that a figure should show, as voxels of the volume, if any can be had."""
    if task.resources.figures == "none" or task.tomogram.size is None:
        return None
    try:
        known = task.fiducials()
    except (TomosetError, OSError):
        return None  # the volume does not need them, and its figure says what it shows
    return None if known is None else plan.voxels(known.points, task.tomogram)


def _draw(task: Task[Options], pattern: str, seen: Sections) -> tuple[str, ...]:
    return task.draw(pattern, lambda: sections(task.tomogram.name, seen))


def _need(task: Task[Options]) -> Need:
    """As the plan has it."""
    with task.images() as series:
        series.refuse_boundless(task.options.size)
        return needs(Plan.of(task.tomogram, task.options, series.size))


def _halves(
    task: Task[Options], plan: Plan, transforms: Transforms, device: Device
) -> Iterator[tuple[str, Transforms, Sequence[int]]]:
    """Transforms and rows of each half: of frames where the set has such images, or of tilts."""
    if not task.options.halves:
        return
    rows = range(plan.tomogram.n_tilts)
    sections = task.tomogram.half_sections()
    if not sections and len(rows) < 2:
        raise ModelError(f"tomogram {task.tomogram.name!r} has one tilt image: no --halves of it")
    for i, half in enumerate(("half1", "half2")):
        if not sections:
            yield half, transforms, rows[i::2]
            continue
        with (
            task.images(sections[i]) as series,
            Transforms(plan, series, device) as of_frames,
        ):
            yield half, of_frames, rows


def _depends(task: Task[Options]) -> object:
    """Options that matter, and the images of halves where these are asked for."""
    of_others = [name for name, method in _OF_METHOD.items() if task.options.method != method]
    options = {k: v for k, v in asdict(task.options).items() if k not in of_others}
    return [options, half_stamps(task) if task.options.halves else None]


def _rehearse(tomograms: TomogramSet, options: Options) -> None:
    """Write the set to nowhere: what cannot be said in its format is to be known before."""
    if options.size is None:
        return
    sized = [_of_size(t, options.size) for t in tomograms.values()]
    with tempfile.TemporaryDirectory() as folder:
        tomograms.with_tomograms(sized).write(os.path.join(folder, "tomograms.star"))


def _updated(tomogram: Tomogram, result: Volumes) -> Tomogram:
    """The tomogram with its volumes, and of the size that they have."""
    made = Reconstruction(
        binning=result.binning, path=result.path, half1=result.half1, half2=result.half2
    )
    return replace(_of_size(tomogram, result.size), reconstruction=made)


def _of_size(tomogram: Tomogram, size: tuple[int, int, int]) -> Tomogram:
    if tomogram.size == size:
        return tomogram
    # An alignment that waits for sizes is about the middle: another size changes nothing else.
    if tomogram.size is None or tomogram.projections is None:
        return replace(tomogram, size=size)
    return resized(tomogram, size)


def _warn_of_moves(request: Request[Options]) -> None:
    """Say by how much another size moves what is counted from the corner."""
    size, format = request.options.size, working_format(request.project.tomograms)
    if size is None or format.can("centred coordinates"):
        return
    moved: dict[tuple[int, ...], list[str]] = {}
    for t in request.asked:
        if t.size is None:
            continue
        by = tuple(a // 2 - b // 2 for a, b in zip(size, t.size, strict=True))
        if any(by):
            moved.setdefault(by, []).append(t.name)
    for by, names in moved.items():
        warnings.warn(
            f"{some_of(names, 3)}: another size about the same middle, and {format.package} counts "
            "coordinates from the corner: those of particles change by "
            f"{', '.join(map(str, by))}",
            LossyWarning,
            stacklevel=4,
        )


def _computes_with(options: Options) -> tuple[str, ...]:
    return (*(OF_CTF if options.ctf != "none" else ()), *("pre_exposure", "voltage") * options.dose)


PROGRAM = Program(
    name="reconstruct",
    verb="reconstructed",
    result=Volumes,
    run=_run,
    outputs=lambda task: [
        path
        for part in ("", "_half1", "_half2")[: 3 if task.options.halves else 1]
        for path in (
            task.target(f"{_PATTERN}{part}{task.options.file}"),
            *task.figures(_PATTERN + part),
        )
    ],
    computes_with=_computes_with,
    updated=_updated,
    cleared=lambda tomogram: replace(tomogram, reconstruction=None),
    depends=_depends,
    draws=True,
    need=_need,
)
