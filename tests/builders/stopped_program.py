"""A program in the middle of slow jobs, to be interrupted."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

from tomoset.files import atomic_write
from tomoset.run import Records, Resources, run


def write_slowly(task: tuple[str, str]) -> dict[str, Any]:
    """Be done at once, or be in the middle of a file for a long time."""
    folder, name = Path(task[0]), task[1]
    if name.startswith("slow"):
        with atomic_write(folder / f"{name}.mrc") as stream:
            stream.write(b"half")
            stream.flush()
            (folder / f"{name}.pid").write_text(str(os.getpid()))
            time.sleep(100)
    return {}


def main_to_stop(folder: str, workers: int) -> None:
    """A program to be interrupted."""
    from tomoset.cli._main import _be_a_good_process

    _be_a_good_process()
    tasks = {name: (folder, name) for name in ("TS_01", "TS_02", "slow_1", "slow_2", "TS_05")}
    records = Records[Any](Path(folder, "run"), lambda task: task, lambda result: True)
    try:
        run(write_slowly, tasks, Resources(workers=workers), records)
    except KeyboardInterrupt:
        sys.exit(130)
