"""``erase-fiducials``: tilt images without their gold beads."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tomoset.errors import AssumptionWarning, ModelError, TomosetError
from tomoset.fiducials.erase_series import erased_images
from tomoset.fiducials.options import EraseOptions
from tomoset.model import Tomogram, TomogramSet
from tomoset.programs._program import Done, Program, Result, documented
from tomoset.programs._request import Request, StrPath
from tomoset.programs._task import Task, half_stamps, identity_with_fiducials, need_of_images
from tomoset.project import Project
from tomoset.run import VERSION, Need, Resources, wanted

_LABEL = f"tomoset {VERSION}: gold beads replaced by noise"


@documented(EraseOptions)
def erase_fiducials(
    tomograms: TomogramSet | Project,
    folder: StrPath,
    options: EraseOptions | None = None,
    *,
    resources: Resources | None = None,
    names: Sequence[str] = (),
    **by_name: Any,
) -> Done[ErasedStacks]:
    """Erase the beads of all tilt series of a set, and write the set that names the new stacks.

    Parameters
    ----------
    {tomograms}
    folder : path-like
        Made when missing. Stacks go to ``stacks/NAME.mrc`` (those of halves of the frames to
        ``stacks/even`` and ``stacks/odd``), the set to ``tomograms.star``.
    options : EraseOptions, optional
        What is erased.
    {running}

    Returns
    -------
    Done
        A tomogram that fails, or has no fiducials, keeps its stack.

    Raises
    ------
    {refusals}

    Examples
    --------
    >>> import tomoset
    >>> tomograms = tomoset.read("Fiducials/tomograms.star")  # doctest: +SKIP
    >>> done = tomoset.erase_fiducials(tomograms, "Erased")  # doctest: +SKIP
    >>> done.results["TS_01"].path  # doctest: +SKIP
    'Erased/stacks/TS_01.mrc'
    """
    chosen, where = wanted(EraseOptions, options, resources, by_name)
    request = Request.of(tomograms, folder, chosen, where, names)
    able = {name: task for name, task in request.tasks().items() if _has_beads(task)}
    asked = [t.name for t in request.asked]
    _say_without([name for name in asked if name not in able], len(asked))
    asked = [name for name in asked if name in able]
    stacks = [path for name in asked for path in _stacks(able[name])]
    request = replace(request, names=asked)
    return request.carry_out(PROGRAM, dict.fromkeys(able), may_write=stacks)


def _say_without(names: Sequence[str], of: int) -> None:
    """Say which tomograms have no fiducials; an error if that is all."""
    if len(names) == of:
        raise ModelError(
            "no tomogram has fiducials that could be erased: find them by `tomoset find-fiducials`"
        )
    if names:
        some = ", ".join(names[:5]) + (" ..." if len(names) > 5 else "")
        warnings.warn(
            f"{some}: no fiducials, so {'its stack stays' if len(names) == 1 else 'stacks stay'} "
            "as before",
            AssumptionWarning,
            stacklevel=3,
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class ErasedStacks(Result):
    """The new stacks of a tomogram.

    Parameters
    ----------
    path : str
        Of the stack.
    halves : tuple of str
        Of those of even and odd frames, where the set names such images; else empty.
    beads : int
        That were erased.
    """

    path: str
    halves: tuple[str, ...]
    beads: int


def _has_beads(task: Task[EraseOptions]) -> bool:
    try:
        fiducials = task.fiducials()
    except TomosetError:
        return True  # which is said of this tomogram, and stops no other
    return fiducials is not None and len(fiducials) > 0


def _stacks(task: Task[EraseOptions]) -> list[str]:
    """The stacks that may be made: of all frames, and of the even and the odd ones."""
    return [task.target(os.path.join("stacks", w, "{name}.mrc")) for w in ("", "even", "odd")]


def _need(task: Task[EraseOptions]) -> Need:
    """New stacks, like those that there are."""
    with task.images() as series:
        stacks = 1 + len(task.tomogram.half_sections())
        return replace(need_of_images(task), disk=stacks * len(series) * series.image_bytes)


def _run(task: Task[EraseOptions]) -> ErasedStacks:
    """Write the images of a tilt series without beads, and those of halves of its frames."""
    fiducials = task.fiducials()
    if fiducials is None or not len(fiducials):
        raise ModelError(f"tomogram {task.tomogram.name!r} has no fiducials to be erased")
    stacks = (None, *task.tomogram.half_sections())
    paths = _stacks(task)[: len(stacks)]
    for path, sections in zip(paths, stacks, strict=True):
        seed = task.tomogram.name + os.path.relpath(path, task.target("stacks"))
        with task.images(sections) as images:
            new = erased_images(
                task.tomogram, images, fiducials, task.options, seed, task.resources.threads
            )
            images.write_like(path, new, _LABEL)
    return ErasedStacks(
        path=paths[0], halves=tuple(paths[1:]), beads=len(fiducials), files=tuple(paths)
    )


def _updated(tomogram: Tomogram, result: ErasedStacks) -> Tomogram:
    """The tomogram with its new stack, whose images are in the order of its table."""
    order = np.arange(tomogram.n_tilts)
    halves = [tuple(f"{i + 1:06d}@{path}:mrcs" for i in order) for path in result.halves]
    return replace(
        tomogram,
        stack=result.path,
        images=None,
        image_index=None if tomogram.image_index is None else order,
        half_images=(halves[0], halves[1]) if halves else tomogram.half_images,
    )


PROGRAM = Program(
    name="erase-fiducials",
    verb="erased the beads of",
    result=ErasedStacks,
    run=_run,
    outputs=lambda task: _stacks(task)[: 1 + len(task.tomogram.half_images or ())],
    updated=_updated,
    identity=identity_with_fiducials,
    depends=lambda task: [task.options, half_stamps(task)],
    need=_need,
)
