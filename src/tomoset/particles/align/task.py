"""What the job of one tomogram needs to know to align it by its particles."""

from __future__ import annotations

from dataclasses import dataclass

from tomoset.particles.align.options import AlignOptions
from tomoset.particles.task import ParticleTask, task_identity


@dataclass(frozen=True, kw_only=True, eq=False)
class Task(ParticleTask):
    """What one process needs to align a tomogram by its particles.

    Parameters
    ----------
    options : AlignOptions
        What is wanted.
    """

    options: AlignOptions


def task_options(task: Task) -> dict[str, object]:
    """All that decides what the result is, ready for JSON."""
    return {
        "options": task.options.describe(),
        "reference": task.reference.stamps(),
        "target": task.target("alignment_{name}.star"),
        "of": task_identity(task),
    }
