"""Repairs that are safe: what they change means the same before and after.

Names that seem to mean others, units, signs and what is not known are for people to put right.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tomoset.check import _linked, _particles
from tomoset.formats import larger_first
from tomoset.model import Project, Tomogram
from tomoset.model.io import StrPath
from tomoset.paths import from_here
from tomoset.project import edit_files, open_project


@dataclass(frozen=True)
class Fix:
    """A repair of what breaks a rule.

    Parameters
    ----------
    code : str
        Of the rule.
    does : str
        What it does, for people.
    repair : callable
        Gives the repaired project, and what was repaired: tomograms or counts, in words.
    """

    code: str
    does: str
    repair: Callable[[Project], tuple[Project, list[str]]]


@dataclass(frozen=True, kw_only=True)
class Fixed:
    """What a repair did."""

    code: str
    does: str
    where: tuple[str, ...]


def repaired(project: Project, codes: Collection[str] | None = None) -> tuple[Project, list[Fixed]]:
    """The project with all that is safe repaired, and what was done; None: of all rules.

    Examples
    --------
    >>> from tomoset import Optics, Tomogram, TomogramSet
    >>> one = Tomogram(name="a", n_tilts=1, optics=Optics(pixel_size=1.0), defocus_u=[19000.0],
    ...                defocus_v=[20000.0], defocus_angle=[100.0])
    >>> project, done = repaired(Project(tomograms=TomogramSet([one])))
    >>> float(project.tomograms["a"].defocus_u[0]), [fixed.code for fixed in done]
    (20000.0, ['C04'])
    """
    done = []
    for fix in FIXES:
        if codes is None or fix.code in codes:
            project, where = fix.repair(project)
            if where:
                done.append(Fixed(code=fix.code, does=fix.does, where=tuple(where)))
    return project, done


def repair_files(
    source: StrPath,
    target: StrPath,
    codes: Collection[str] | None = None,
    *,
    overwrite: bool = False,
) -> tuple[str, list[Fixed]]:
    """Repair a project and write it elsewhere, all of it, or nothing if there is nothing to do.

    Parameters
    ----------
    source, target, overwrite
        As of `tomoset.project.edit_files`.
    codes : collection of str, optional
        Of the rules whose breaks are repaired; None: of all.

    Returns
    -------
    (str, list of Fixed)
        What was written, empty if nothing was, and what was done.

    Raises
    ------
    TomosetError
        If something cannot be read or written.
    """
    if not repaired(open_project(source, check_links=False), codes)[1]:
        return "", []
    done: list[Fixed] = []

    def edit(project: Project) -> Project:
        project, said = repaired(project, codes)
        done.extend(said)
        return project

    return edit_files(source, target, edit, overwrite=overwrite).path, done


def _each(
    repair: Callable[[Tomogram], Tomogram],
) -> Callable[[Project], tuple[Project, list[str]]]:
    """A repair of single tomograms, which gives back the same one where nothing is to be done."""

    def over(project: Project) -> tuple[Project, list[str]]:
        after = {name: repair(t) for name, t in project.tomograms.items()}
        names = [name for name, t in after.items() if t is not project.tomograms[name]]
        if not names:
            return project, []
        tomograms = project.tomograms.with_tomograms(after.values())
        return project.with_sets(tomograms=tomograms), names

    return over


def _larger_first(t: Tomogram) -> Tomogram:
    u, v, angle = t.defocus_u, t.defocus_v, t.defocus_angle
    if u is None or v is None or angle is None or not (u < v).any():
        return t
    u, v, angle = larger_first(u, v, angle)
    return replace(t, defocus_u=u, defocus_v=v, defocus_angle=angle)


def _within(t: Tomogram) -> Tomogram:
    """Whole turns are taken off."""
    changes: dict[str, Any] = {}
    for field in ("defocus_angle", "nominal_axis"):
        values = getattr(t, field)
        if values is not None and (wide := np.abs(values) > 180).any():
            changes[field] = np.where(wide, (values + 180) % 360 - 180, values)
    return replace(t, **changes) if changes else t


def _relative(t: Tomogram) -> Tomogram:
    """Paths below or beside the working folder, from there."""
    made = t.reconstruction
    changes: dict[str, Any] = {
        name: from_here(path) for name in ("stack", "fiducials") if (path := getattr(t, name))
    }
    if t.images is not None:
        changes["images"] = tuple(_image_from_here(image) for image in t.images)
    if made is not None:
        paths: dict[str, Any] = {name: getattr(made, name) for name in ("path", "half1", "half2")}
        near: dict[str, Any] = {name: path and from_here(path) for name, path in paths.items()}
        if near != paths:
            changes["reconstruction"] = replace(made, **near)
    changes = {name: value for name, value in changes.items() if value != getattr(t, name)}
    return replace(t, **changes) if changes else t


def _image_from_here(image: str) -> str:
    number, at, path = image.rpartition("@")
    return f"{number}{at}{from_here(path)}"


def _without_strays(project: Project) -> tuple[Project, list[str]]:
    lost = _linked.strays(project)
    if not lost:
        return project, []
    return _without_trajectories(project, lost), [_count(len(lost), "trajector", "y", "ies")]


def _without_trajectories(project: Project, names: Iterable[str]) -> Project:
    motion, gone = project.trajectories, set(names)
    if motion is None:
        return project
    kept = {name: way for name, way in motion.items() if name not in gone}
    return project.with_sets(trajectories=motion.with_trajectories(kept))


def _without_repeats(project: Project) -> tuple[Project, list[str]]:
    """The first of each stays, with its name: a number may be part of a name."""
    rows, particles = _particles.repeats(project), project.particles
    if particles is None or not len(rows):
        return project, []
    names = particles.particle_names
    keep = np.ones(len(particles), np.bool_)
    keep[rows] = False
    if project.trajectories is not None:
        particles = replace(particles, names=names)
    gone = set(names[rows].tolist()) - set(names[keep].tolist())
    project = _without_trajectories(project.with_sets(particles=particles.select(keep)), gone)
    return project, [_count(len(rows), "particle", "", "s")]


def _count(number: int, what: str, one: str, many: str) -> str:
    return f"{number} {what}{one if number == 1 else many}"


#: In this order.
FIXES = (
    Fix("C04", "the larger defocus comes first, its angle turned by 90°", _each(_larger_first)),
    Fix("C05", "angles are within ±180°, by whole turns", _each(_within)),
    Fix("F11", "paths are relative to the working folder", _each(_relative)),
    Fix("M01", "trajectories of no particle are left out", _without_strays),
    Fix("P08", "of equal particles the first one is kept", _without_repeats),
)
