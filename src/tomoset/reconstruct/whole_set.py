"""Every tomogram of a set, one job each, and the set that names the volumes."""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from tomoset.errors import FileAccessError, LossyWarning, ModelError
from tomoset.formats import relion4
from tomoset.formats._files import file_names
from tomoset.model import Reconstruction, Tomogram, TomogramSet
from tomoset.model.tomogram import PER_TILT
from tomoset.reconstruct.job import Task, reconstruct_one
from tomoset.reconstruct.options import Options
from tomoset.reconstruct.plan import resized
from tomoset.run import Records, Report, RunOptions, file_stamp, run
from tomoset.tilt_series import TiltSeries, half_places

#: What does not change a volume.
_INDIFFERENT = ("threads", "device")


@dataclass(frozen=True, kw_only=True, eq=False)
class Reconstructed:
    """What became of a set.

    Parameters
    ----------
    report : Report
        Of every tomogram.
    path : str or None
        The set that names the volumes; None if there is none.
    """

    report: Report
    path: str | None


def reconstruct_set(
    tomograms: TomogramSet,
    folder: str | os.PathLike[str],
    options: Options,
    running: RunOptions | None = None,
    names: Sequence[str] = (),
) -> Reconstructed:
    """Reconstruct the tomograms of a set, and write the set that names their volumes.

    Parameters
    ----------
    tomograms : TomogramSet
        As it was read.
    folder : path-like
        Made when missing. Volumes and pictures go to ``tomograms/rec_NAME``, the set to
        ``tomograms.star``, what is needed to go on after a stop to ``run/``.
    options : Options
        What is wanted.
    running : RunOptions, optional
        Where and how to run.
    names : sequence of str
        Only these tomograms; all if empty.

    Returns
    -------
    Reconstructed
        A tomogram that fails stops no other.

    Raises
    ------
    ModelError
        If no tomogram has such a name.
    FileAccessError
        If the new set would replace the one that is read.
    """
    running = running or RunOptions()
    target = os.path.join(os.fspath(folder), "tomograms.star")
    source = getattr(tomograms.source, "path", None)
    if source is not None and os.path.realpath(source) == os.path.realpath(target):
        raise FileAccessError(
            f"{target} is the set that is read: give another folder for what is made of it"
        )
    tasks = _tasks(tomograms, folder, replace(options, threads=running.threads), names)
    records: Records[Task] = Records(Path(folder) / "run", _description, _is_there)
    report = run(reconstruct_one, tasks, running, records)
    report.write(os.path.join(folder, "run", "summary.json"))
    if not report.results:
        return Reconstructed(report=report, path=None)
    updated = [
        _updated(t, options, report.results[t.name]) if t.name in report.results else t
        for t in tomograms.values()
    ]
    tomograms.with_tomograms(updated).write(target)
    return Reconstructed(report=report, path=target)


def _tasks(
    tomograms: TomogramSet,
    folder: str | os.PathLike[str],
    options: Options,
    names: Sequence[str],
) -> dict[str, Task]:
    unknown = [name for name in names if name not in list(tomograms)]
    if unknown:
        some = ", ".join(list(tomograms)[:5]) + (" ..." if len(tomograms) > 5 else "")
        raise ModelError(f"no tomogram is called {unknown[0]!r}; there are {some}")
    files = file_names(tomograms)
    return {
        name: Task(
            tomogram=tomogram,
            set_path=getattr(tomograms.source, "path", None),
            target=os.path.join(os.fspath(folder), "tomograms", f"rec_{files[name]}"),
            options=options,
        )
        for name, tomogram in tomograms.items()
        if not names or name in names
    }


def _description(task: Task) -> object:
    """All that a volume depends on: choices, geometry, CTF, doses, images."""
    t = task.tomogram
    with TiltSeries(t, task.set_path) as series:
        paths = list(series.paths)
    for places in half_places(t) or () if task.options.halves else ():
        with TiltSeries(t, task.set_path, places=places) as series:
            paths += series.paths
    arrays = [t.projections, t.depth_origin, *(getattr(t, field) for field in PER_TILT)]
    if t.alignment is not None:
        arrays += [t.alignment.angles, t.alignment.shifts]
    if t.deformation is not None:
        arrays += [t.deformation.coefficients]
    numbers = hashlib.sha256()
    for array in arrays:
        numbers.update(b"none" if array is None else array.tobytes())
    options = {k: v for k, v in asdict(task.options).items() if k not in _INDIFFERENT}
    said = [t.size, t.hand, t.defocus_slope, asdict(t.optics), task.target]
    return [options, said, numbers.hexdigest(), [file_stamp(path) for path in paths]]


def _is_there(result: dict[str, Any]) -> bool:
    paths = [result[which] for which in ("path", "half1", "half2")]
    return all(path is None or os.path.exists(path) for path in paths)


def _updated(tomogram: Tomogram, options: Options, result: dict[str, Any]) -> Tomogram:
    """The tomogram with its volumes, and with the size that was asked for."""
    made = Reconstruction(
        binning=result["binning"],
        path=result["path"],
        half1=result["half1"],
        half2=result["half2"],
    )
    if options.size is None or options.size == tomogram.size:
        return replace(tomogram, reconstruction=made)
    if tomogram.size is None:
        return replace(tomogram, size=options.size, reconstruction=made)
    moved = [a // 2 - b // 2 for a, b in zip(options.size, tomogram.size, strict=True)]
    if tomogram.source is not None and tomogram.source.format == relion4.NAME and any(moved):
        warnings.warn(
            f"tomogram {tomogram.name!r} was {_by(tomogram.size)} voxels and is {_by(options.size)}"
            f" now, about the same middle: RELION 4 counts coordinates from the corner, so those "
            f"of its particles change by {', '.join(map(str, moved))}",
            LossyWarning,
            stacklevel=3,
        )
    return replace(resized(tomogram, options.size), reconstruction=made)


def _by(size: tuple[int, int, int]) -> str:
    return " x ".join(map(str, size))
