"""Every tomogram of a set, one job each, and the set that names the volumes."""

from __future__ import annotations

import os
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tomoset.errors import FileAccessError, LossyWarning, ModelError, TomosetError
from tomoset.formats import relion4
from tomoset.formats._files import file_names, refuse_unless_set
from tomoset.images.device import open_device
from tomoset.model import Reconstruction, Tomogram, TomogramSet
from tomoset.reconstruct.identity import identity, task_identity
from tomoset.reconstruct.job import reconstruct_one
from tomoset.reconstruct.options import Options
from tomoset.reconstruct.plan import resized
from tomoset.reconstruct.task import Task
from tomoset.run import Records, Report, RunOptions, run
from tomoset.tilt_series import found_from_here

#: Where records are kept, below the folder of the volumes.
_RECORDS = "run"


@dataclass(frozen=True, kw_only=True, eq=False)
class Reconstructed:
    """What became of a set.

    Parameters
    ----------
    report : Report
        Of every tomogram that was asked for.
    path : str or None
        The set that names the volumes; None if there are none.
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
        Only these tomograms; all if empty. Others keep the volumes that are there already.

    Returns
    -------
    Reconstructed
        A tomogram that fails stops no other.

    Raises
    ------
    ModelError
        If no tomogram has such a name.
    FileAccessError
        If the new set would replace another than one of an earlier run.
    UnsupportedError
        If there is no such device.
    """
    running = running or RunOptions()
    refuse_unknown(tomograms, names)
    if options.device != "cpu" and running.engine == "local":
        open_device(options.device)
    if not tomograms:
        raise ModelError("the set holds no tomogram, so there is nothing to reconstruct")
    asked = [t for t in tomograms.values() if not names or t.name in names]
    _warn_of_moves(asked, options)
    tasks = _tasks(tomograms, folder, replace(options, threads=running.threads))
    records = Records(Path(folder) / _RECORDS, task_identity, _is_there)
    volumes = _Volumes(tomograms, tasks, records, os.path.join(folder, "tomograms.star"))
    volumes.refuse()
    volumes.rehearse(options)
    volumes.forget([t.name for t in asked], resume=running.resume)
    try:
        report = run(reconstruct_one, {t.name: tasks[t.name] for t in asked}, running, records)
    finally:
        path = volumes.write()
    report.write(os.path.join(folder, "summary.json"))
    return Reconstructed(report=report, path=path)


def refuse_unknown(tomograms: TomogramSet, names: Sequence[str]) -> None:
    """Refuse names that no tomogram has.

    Raises
    ------
    ModelError
        With names that there are.
    """
    unknown = [name for name in names if name not in list(tomograms)]
    if unknown:
        some = ", ".join(list(tomograms)[:5]) + (" ..." if len(tomograms) > 5 else "")
        raise ModelError(f"no tomogram is called {unknown[0]!r}; there are {some}")


def _tasks(
    tomograms: TomogramSet, folder: str | os.PathLike[str], options: Options
) -> dict[str, Task]:
    files = file_names(tomograms)
    source = getattr(tomograms.source, "path", None)
    set_path = None if source is None else os.path.abspath(source)
    return {
        name: Task(
            tomogram=tomogram,
            set_path=set_path,
            root=os.getcwd(),
            target=os.path.join(os.fspath(folder), "tomograms", f"rec_{files[name]}"),
            options=options,
        )
        for name, tomogram in tomograms.items()
    }


def _is_there(result: dict[str, Any]) -> bool:
    """Whether all files of a result are there, as large as they were."""
    return all(
        os.path.exists(path) and size in (None, os.path.getsize(path))
        for path, size in result["files"].items()
    )


def _folder(path: str) -> str:
    return os.path.dirname(os.path.realpath(path))


class _Volumes:
    """The set that names the volumes: those in the records, else what nobody asked for anew."""

    def __init__(
        self,
        tomograms: TomogramSet,
        tasks: Mapping[str, Task],
        records: Records[Task],
        path: str,
    ) -> None:
        self._tomograms, self._tasks, self._records = tomograms, tasks, records
        self._path = path
        self._asked: frozenset[str] = frozenset()

    def refuse(self) -> None:
        """Refuse to replace a set that no earlier run has made."""
        source = getattr(self._tomograms.source, "path", None)
        if source is not None and os.path.realpath(source) == os.path.realpath(self._path):
            raise FileAccessError(
                f"{self._path} is the set that is read: give another folder for what is made of it"
            )
        if source is not None and _folder(source) == _folder(self._path):
            raise FileAccessError(
                f"{_folder(source)} is the folder of the set that is read, whose files would be "
                "replaced: give another folder for what is made of it"
            )
        refuse_unless_set(self._path)
        if os.path.exists(self._path) and not self._records.folder.is_dir():
            raise FileAccessError(
                f"{self._path} is there, and was not made by tomoset reconstruct: give another "
                "folder, or move it away"
            )

    def rehearse(self, options: Options) -> None:
        """Write the set to nowhere: what cannot be said in its format is to be known before."""
        if options.size is None:
            return
        sized = [_of_size(t, options.size) for t in self._tomograms.values()]
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "tomograms.star")
            self._tomograms.with_tomograms(sized).write(path)

    def forget(self, names: Sequence[str], *, resume: bool) -> None:
        """What will be made again is not named any more, also in a set that is there."""
        self._asked = frozenset(names)
        if os.path.exists(self._path):
            again = [name for name in names if not (resume and self._holds(name))]
            self._write({k: v for k, v in self._known().items() if k not in again})

    def _holds(self, name: str) -> bool:
        try:
            fingerprint = self._records.fingerprint(self._tasks[name])
        except (TomosetError, OSError):
            return False
        return not isinstance(self._records.read(name, fingerprint), str)

    def _known(self) -> dict[str, dict[str, Any]]:
        """Volumes that are there and were made of these images and this alignment."""
        found = {}
        for name, task in self._tasks.items():
            result = self._records.last(name)
            try:
                if result is not None and result["of"] == identity(task):
                    found[name] = result
            except (TomosetError, OSError, LookupError):
                continue  # made of images that are not there any more, or by another version
        return found

    def write(self) -> str | None:
        """Write the set if there are volumes; its path."""
        known = self._known()
        if not known:
            return None
        self._write(known)
        return self._path

    def _write(self, known: Mapping[str, dict[str, Any]]) -> None:
        source = getattr(self._tomograms.source, "path", None)
        updated = []
        for t in self._tomograms.values():
            if t.name in known:
                t = _updated(t, known[t.name])
            elif t.name in self._asked:  # what the set said of it would be an older volume
                t = replace(t, reconstruction=None)
            updated.append(found_from_here(t, source))
        self._tomograms.with_tomograms(updated).write(self._path)


def _updated(tomogram: Tomogram, result: Mapping[str, Any]) -> Tomogram:
    """The tomogram with its volumes, and of the size that they have."""
    made = Reconstruction(
        binning=result["binning"],
        path=result["path"],
        half1=result["half1"],
        half2=result["half2"],
    )
    return replace(_of_size(tomogram, tuple(result["size"])), reconstruction=made)


def _of_size(tomogram: Tomogram, size: tuple[int, ...]) -> Tomogram:
    x, y, z = size
    if tomogram.size == (x, y, z):
        return tomogram
    # An alignment that waits for sizes is about the middle: another size changes nothing else.
    if tomogram.size is None or tomogram.projections is None:
        return replace(tomogram, size=(x, y, z))
    return resized(tomogram, (x, y, z))


def _warn_of_moves(tomograms: Sequence[Tomogram], options: Options) -> None:
    """Say by how much another size moves what RELION 4 counts from the corner."""
    moved: dict[tuple[int, ...], list[str]] = {}
    for t in tomograms:
        if options.size is None or t.size is None or t.source is None:
            continue
        by = tuple(a // 2 - b // 2 for a, b in zip(options.size, t.size, strict=True))
        if t.source.format == relion4.NAME and any(by):
            moved.setdefault(by, []).append(t.name)
    for by, names in moved.items():
        some = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
        warnings.warn(
            f"{some}: another size about the same middle, and RELION 4 counts coordinates from the "
            f"corner: those of particles change by {', '.join(map(str, by))}",
            LossyWarning,
            stacklevel=4,
        )
