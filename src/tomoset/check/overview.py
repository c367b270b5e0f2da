"""A whole project in a few numbers: particles, volumes, halves, and what is not there."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from tomoset.model import Project


def overview(project: Project) -> dict[str, Any]:
    """What belongs to the tomograms of a project, ready for JSON.

    Parameters
    ----------
    project : Project
        Sets that are unread are told as not there.

    Returns
    -------
    dict
        ``particles``: how many, in each tomogram, in each half, with how many classes;
        ``manifolds``, ``trajectories``: how many; ``fiducials``, ``volumes``: how many tomograms
        name some, of how many these are there, and how many have volumes of both halves;
        ``references`` and ``unread``: path, and whether it is there.
    """
    held = vars(project)
    particles, manifolds, motion = (
        held[name] for name in ("particles", "manifolds", "trajectories")
    )
    return {
        "particles": None if particles is None else _particles(particles),
        "manifolds": None if manifolds is None else sum(map(len, manifolds.values())),
        "trajectories": None if motion is None else len(motion),
        "fiducials": _fiducials(project),
        "volumes": _volumes(project),
        "references": {name: _file(path) for name, path in project.references.items()},
        "unread": {name: _file(path) for name, path in project.unread.items()},
    }


def _particles(particles: Any) -> dict[str, Any]:
    halves = None
    if particles.halves is not None:
        halves = np.bincount(particles.halves, minlength=2).tolist()
    return {
        "path": particles.path,
        "count": len(particles),
        "tomograms": {name: len(rows) for name, rows in particles.by_tomogram().items()},
        "halves": halves,
        "classes": None if particles.classes is None else len(np.unique(particles.classes)),
        "oriented": particles.angles is not None or particles.subtomogram_angles is not None,
    }


def _fiducials(project: Project) -> dict[str, int]:
    files = [t.fiducials for t in project.tomograms.values() if t.fiducials is not None]
    return {"named": len(files), "there": sum(map(os.path.isfile, files))}


def _volumes(project: Project) -> dict[str, int]:
    made = [t.reconstruction for t in project.tomograms.values() if t.reconstruction is not None]
    named = [[path for path in (one.path, one.half1, one.half2) if path] for one in made]
    return {
        "named": sum(map(bool, named)),
        "there": sum(bool(paths) and all(map(os.path.isfile, paths)) for paths in named),
        "halves": sum(bool(one.half1 and one.half2) for one in made),
    }


def _file(path: str) -> dict[str, Any]:
    return {"path": path, "there": os.path.isfile(path)}
