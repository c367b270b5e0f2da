"""What the volumes of a tomogram depend on."""

from __future__ import annotations

from dataclasses import asdict

from tomoset.derived import half_stamps, identity
from tomoset.reconstruct.task import Task

#: Options that change no volume, and those that only one method asks for.
_INDIFFERENT = ("threads", "device")
_OF_METHOD = {"iterations": "sirt", "snr": "wiener"}


def task_identity(task: Task) -> object:
    """All that the volumes of a task depend on, options included."""
    options = asdict(task.options)
    for name in _INDIFFERENT:
        del options[name]
    for name, method in _OF_METHOD.items():
        if task.options.method != method:
            del options[name]
    halves = half_stamps(task) if task.options.halves else []
    return [options, task.target, identity(task), halves]
