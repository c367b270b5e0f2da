"""What is wrong with the sets and maps that are linked to a tomogram set, one by one."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator

import numpy as np

from tomoset.errors import LossyWarning, ModelError, TomosetError, TomosetWarning, some_of
from tomoset.formats import format_named, format_of, working_format
from tomoset.model import Project, Tomogram, TomogramSet
from tomoset.model.project import LINKED
from tomoset.model.rules import Found

#: What a particle moves between two images that were taken one after the other, at most [Å].
JUMP = 30.0


class Reader:
    """Reads the sets that a project names, one by one.

    Parameters
    ----------
    project : Project
        Whose linked sets have not been read; as far as they can be, they are in `project` then.
    whole : bool
        Whether all of its tomograms are there: what refers to others is wrong only then.

    Attributes
    ----------
    wrong, lost, assumed : list of str
        What cannot be read, what is passed over, what is taken to be so.
    """

    def __init__(self, project: Project, *, whole: bool) -> None:
        self.project = project.with_sets(unread={})
        self.lost: list[str] = []
        self.assumed: list[str] = []
        self.wrong = list(self._read(project, whole=whole))

    def _read(self, project: Project, *, whole: bool) -> Iterator[str]:
        label = working_format(project.tomograms).label
        for name, path in {**project.unread, **project.references}.items():
            if not os.path.isfile(path):
                yield f"{label(name)} is {path!r}, and there is no such file"
            elif whole and name in project.unread:
                with warnings.catch_warnings(record=True) as said:
                    warnings.simplefilter("always", TomosetWarning)
                    try:
                        self.project = self.project.with_sets(unread={name: path}).load()
                    except TomosetError as problem:
                        self.project = self.project.with_sets(unread={})
                        yield str(problem)
                for one in said:
                    lossy = issubclass(one.category, LossyWarning)
                    (self.lost if lossy else self.assumed).append(str(one.message))


def stray_trajectories(project: Project) -> Found:
    lost = strays(project)
    if lost:
        yield None, f"there are trajectories of no particle: {some_of(lost)}"


def strays(project: Project) -> list[str]:
    """Names of trajectories that no particle has."""
    particles, motion = project.particles, project.trajectories
    if particles is None or motion is None:
        return []
    names = set(particles.particle_names.tolist())
    return [name for name in motion if name not in names]


def jumps(project: Project) -> Found:
    particles, motion = project.particles, project.trajectories
    if particles is None or motion is None:
        return
    names = particles.particle_names
    for tomogram, rows in particles.by_tomogram().items():
        t = project.tomograms.get(tomogram)
        ways = [motion[name] for name in names[rows].tolist() if name in motion]
        if t is None or not ways or t.n_tilts < 2:
            continue
        whole = [way for way in ways if len(way) == t.n_tilts]
        if n := len(ways) - len(whole):
            yield (
                tomogram,
                f"{n} of {len(ways)} trajectories have other rows than {t.n_tilts} tilt images",
            )
        if whole:
            steps = np.linalg.norm(np.diff(np.stack(whole)[:, _order(t)], axis=1), axis=2)
            if n := int((steps > JUMP).any(axis=1).sum()):
                far = f"by up to {steps.max():.0f} Å from one image to the next"
                yield tomogram, f"{n} of {len(ways)} particles move {far}"


def _order(t: Tomogram) -> list[int]:
    try:
        return t.acquisition_order.tolist()  # type: ignore[no-any-return]
    except ModelError:
        return list(range(t.n_tilts))


def mixed_dialects(project: Project) -> Found:
    """A format keeps with a set what it was; where it does not, nothing is said."""
    own = format_of(project.tomograms)
    for name in LINKED:
        dialect = getattr(getattr(getattr(project, name), "source", None), "dialect", own.name)
        if dialect != own.name:
            theirs = format_named(dialect).package
            yield None, f"the {name} are of {theirs}, the tomograms of {own.package}"


def fiducials(tomograms: TomogramSet) -> Found:
    """Those that are there: whether they can be read, and lie in their tomogram."""
    format = working_format(tomograms)
    for name, t in tomograms.items():
        if t.fiducials is None or not os.path.isfile(t.fiducials):
            continue
        try:
            points = format.read_fiducials(t.fiducials, t).points
        except TomosetError as problem:
            yield name, str(problem)
            continue
        if t.size is not None:
            # Beads lie on the surfaces, and the tomogram may be cut to what is between them.
            margin = np.array([0.05, 0.05, 1.0]) * t.size
            out = (points < -margin) | (points > t.size + margin)
            if out.any():
                n = int(out.any(axis=1).sum())
                yield name, f"{n} of {len(points)} fiducials of {t.fiducials} lie far outside it"
