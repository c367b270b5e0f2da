"""A program that draws, in processes that say whether the fonts were known before."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tomoset import figures
from tomoset.model import Optics, Tomogram, TomogramSet
from tomoset.programs._program import Program, Result
from tomoset.programs._request import Request
from tomoset.programs._task import Task
from tomoset.project import Project
from tomoset.reconstruct.sections import Sections
from tomoset.run import Need, Resources


@dataclass(frozen=True, kw_only=True, eq=False)
class Drawn(Result):
    """What a job saw."""

    process: int
    fonts_known: bool


def drawn(task: Task[None]) -> Drawn:
    """Draw something; whether matplotlib's folder had its list of fonts before."""
    known = any(Path(os.environ.get("MPLCONFIGDIR", "/nowhere")).glob("fontlist*"))
    made = Sections((8, 7, 6), 10.0)
    made.take(np.random.default_rng(1).normal(0, 1, (6, 7, 8)).astype(np.float32))
    files = task.draw("{name}", lambda: figures.sections("a", made))
    return Drawn(process=os.getpid(), fonts_known=known, files=files)


def of_its_name(task: Task[None]) -> str:
    """What a result is of: there are no images."""
    return task.tomogram.name


def nothing(_: Task[None]) -> Need:
    """What it needs."""
    return Need()


def main_that_draws(folder: str, workers: int) -> None:
    """Draw with so many processes, and print what they saw."""
    names = [f"TS_{i}" for i in range(workers)]
    tomograms = [Tomogram(name=name, n_tilts=3, optics=Optics(pixel_size=2.0)) for name in names]
    program = Program(
        name="draw",
        verb="drawn",
        result=Drawn,
        run=drawn,
        outputs=lambda _: (),
        need=nothing,
        identity=of_its_name,
        draws=True,
    )
    resources = Resources(workers=workers, quiet=True)
    project = Project(tomograms=TomogramSet(tomograms))
    request = Request.of(project, folder, None, resources, ())
    done = request.carry_out(program, new_set=False)
    print(json.dumps([done.report.failed, [r.fonts_known for r in done.results.values()]]))
