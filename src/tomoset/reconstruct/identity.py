"""What a volume was made of, as a short text that differs when it would."""

from __future__ import annotations

import hashlib
from dataclasses import asdict

from tomoset.model.tomogram import PER_TILT
from tomoset.reconstruct.task import Task
from tomoset.run import file_stamp
from tomoset.tilt_series import TiltSeries, half_places

#: Options that change no volume, and those that only one method asks for.
_INDIFFERENT = ("threads", "device")
_OF_METHOD = {"iterations": "sirt", "snr": "wiener"}


def identity(task: Task) -> str:
    """A hash of images, alignment, CTF and doses: what a volume is of, whatever the options.

    Raises
    ------
    TomosetError, OSError
        If images are not there, or do not fit.
    """
    t = task.tomogram
    with TiltSeries(t, task.set_path) as series:
        images = _stamps(series)
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


def _stamps(series: TiltSeries) -> list[list[str | int]]:
    """What each image is, however its path is spelled: bytes and time of its file, section."""
    files = {path: file_stamp(path)[1:] for path, _ in series.found}
    return [[*files[path], section] for path, section in series.found]


def task_identity(task: Task) -> object:
    """All that the volumes of a task depend on, options included."""
    options = asdict(task.options)
    for name in _INDIFFERENT:
        del options[name]
    for name, method in _OF_METHOD.items():
        if task.options.method != method:
            del options[name]
    halves = []
    for places in (half_places(task.tomogram) or ()) if task.options.halves else ():
        with TiltSeries(task.tomogram, task.set_path, places=places) as series:
            halves += _stamps(series)
    return [options, task.target, identity(task), halves]
