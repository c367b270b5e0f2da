"""What the job of one tomogram begins with: its task, its folder, its threads, what it is of."""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
from collections.abc import Iterable
from dataclasses import asdict, dataclass

from tomoset.errors import MissingFileError
from tomoset.model import Tomogram, TomogramSet
from tomoset.model.tomogram import PER_TILT
from tomoset.run import file_stamp
from tomoset.tilt_series import TiltSeries, half_places


@dataclass(frozen=True, kw_only=True, eq=False)
class Task:
    """What every job needs to know of its tomogram; each command adds what it needs.

    Parameters
    ----------
    tomogram : Tomogram
        As the set has it.
    set_path : str or None
        The STAR file of the set, absolute, from which paths are found.
    root : str
        Folder in which the program was started, absolute: where relative paths begin, also on
        another machine.
    """

    tomogram: Tomogram
    set_path: str | None
    root: str


def set_path(tomograms: TomogramSet) -> str | None:
    """The STAR file of a set, absolute; None if it was not read from one."""
    path = getattr(tomograms.source, "path", None)
    return None if path is None else os.path.abspath(path)


def in_folder(root: str) -> contextlib.AbstractContextManager[None]:
    """Work where the program was started: a worker of a cluster may be elsewhere.

    Raises
    ------
    MissingFileError
        If that folder is not there.
    """
    if not os.path.isdir(root):
        raise MissingFileError(
            f"the folder {root}, where the program was started, is not there on "
            f"{socket.gethostname()}: all machines need to see the same files"
        )
    return contextlib.nullcontext() if os.getcwd() == root else contextlib.chdir(root)


def use_threads(threads: int) -> None:
    """Have compiled kernels run in so many threads, or in all there are if those are fewer."""
    import numba

    most: int = numba.config.NUMBA_NUM_THREADS  # type: ignore[attr-defined]
    numba.set_num_threads(min(threads, most))


def file_sizes(paths: Iterable[str]) -> dict[str, int | None]:
    """Bytes of each file that was made, None for a folder: what a result says in ``files``."""
    return {path: None if os.path.isdir(path) else os.path.getsize(path) for path in paths}


def identity(task: Task) -> str:
    """A hash of images, alignment, CTF and doses: what is made is of these, whatever the options.

    Raises
    ------
    TomosetError, OSError
        If images are not there, or do not fit.
    """
    t = task.tomogram
    with TiltSeries(t, task.set_path) as series:
        images = _image_stamps(series)
    arrays = [t.projections, t.depth_origin, *(getattr(t, field) for field in PER_TILT)]
    if t.alignment is not None:
        arrays += [t.alignment.angles, t.alignment.shifts]
    bent: list[object] = []
    if t.deformation is not None:
        arrays += [t.deformation.coefficients]
        bent = [t.deformation.kind, t.deformation.grid]
    text = hashlib.sha256()
    for array in arrays:
        text.update(b"none" if array is None else array.tobytes())
    said = [t.size, t.hand, t.defocus_slope, asdict(t.optics), bent, images]
    text.update(repr(said).encode())
    return text.hexdigest()


def half_stamps(task: Task) -> list[list[str | int]]:
    """What the images of each half of the frames are, where the set names them.

    Raises
    ------
    TomosetError, OSError
        As `identity`.
    """
    stamps = []
    for places in half_places(task.tomogram) or ():
        with TiltSeries(task.tomogram, task.set_path, places=places) as series:
            stamps += _image_stamps(series)
    return stamps


def _image_stamps(series: TiltSeries) -> list[list[str | int]]:
    """What each image is, however its path is spelled: bytes and time of its file, section."""
    files = {path: file_stamp(path)[1:] for path, _ in series.found}
    return [[*files[path], section] for path, section in series.found]
