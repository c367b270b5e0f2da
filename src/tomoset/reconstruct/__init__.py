"""Tomograms from tilt series: weighted back-projection, Wiener filter, SIRT."""

from tomoset.reconstruct.job import reconstruct_one
from tomoset.reconstruct.options import Options
from tomoset.reconstruct.plan import Plan, resized
from tomoset.reconstruct.task import Task
from tomoset.reconstruct.whole_set import reconstruct_set

__all__ = [
    "Options",
    "Plan",
    "Task",
    "reconstruct_one",
    "reconstruct_set",
    "resized",
]
