"""Sets that belong together, written as one (specification 7)."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from tomoset import star
from tomoset.errors import (
    ModelError,
    UnsupportedError,
)
from tomoset.formats import Tolerance, format_named
from tomoset.formats import _relion_sets as sets
from tomoset.formats._files import file_names
from tomoset.formats._relion_sets.optimisation import (
    MANIFOLDS,
    PARTICLES,
    TOMOGRAMS,
    TRAJECTORIES,
)
from tomoset.model import (
    TomogramSet,
)
from tomoset.model.project import Project, StrPath


def write_project(
    project: Project,
    folder: StrPath,
    format: str,
    *,
    tolerance: Tolerance | None = None,
) -> Path:
    """Write all sets of a project into one folder, under RELION's names.

    ``tomograms.star``, ``particles.star``, ``manifolds.star``, ``motion.star``,
    ``fiducials_NAME.star``, and last ``optimisation_set.star``, whose paths start from the
    working folder, as RELION reads them. Every file is whole or what it was.

    Parameters
    ----------
    project : Project
        What to write.
    folder : path-like
        Where; made if it is not there.
    format : {"relion4", "relion5"}
        The dialect of all of them.
    tolerance : Tolerance, optional
        What the tomograms may lose.

    Returns
    -------
    Path
        Of the optimisation set.

    Raises
    ------
    UnsupportedError
        If the format is no such dialect, or cannot say what the tomograms are.
    ModelError
        If sets contradict each other. Then nothing is written.

    Examples
    --------
    >>> import tempfile
    >>> from tomoset import Optics, Tomogram, open_project
    >>> one = Tomogram(name="001", n_tilts=2, stack="001.mrc", size=(40, 40, 20),
    ...                optics=Optics(pixel_size=2.0), pre_exposure=[0.0, 3.0])
    >>> made = write_project(Project(tomograms=TomogramSet([one])), tempfile.mkdtemp(), "relion4")
    >>> made.name, list(open_project(made).tomograms)
    ('optimisation_set.star', ['001'])
    """
    if format not in ("relion4", "relion5"):
        raise UnsupportedError(f"a project is written as relion4 or relion5, not {format!r}")
    tomograms, texts, entries = linked_texts(project, folder, format)
    entries[TOMOGRAMS] = os.path.join(folder, "tomograms.star")
    last = sets.optimisation_set_to_star(
        {**project.references, **entries}, project.optimisation_set, format
    )
    format_named(format).write_set(tomograms, entries[TOMOGRAMS], tolerance)
    for path, text in texts.items():
        star.write(text, path)
    made = Path(folder) / "optimisation_set.star"
    star.write(last, made)
    return made


def linked_texts(
    project: Project, folder: StrPath, format: str
) -> tuple[TomogramSet, dict[str, star.StarFile], dict[str, str]]:
    """What `write_project` writes beside the tomogram set, before anything is written.

    Parameters
    ----------
    project, folder, format
        As of `write_project`.

    Returns
    -------
    tomograms : TomogramSet
        Naming the files of their fiducials.
    texts : dict of str to StarFile
        By path: particles, manifolds, trajectories, fiducials.
    entries : dict of str to str
        Of the optimisation set, for those that it names.

    Raises
    ------
    ModelError
        If sets contradict each other.
    """
    texts, entries = _texts(project, os.fspath(folder), format)
    tomograms, beads = _with_fiducials(project, os.fspath(folder), format)
    return tomograms, {**texts, **beads}, entries


def _texts(
    project: Project, folder: str, format: str
) -> tuple[dict[str, star.StarFile], dict[str, str]]:
    """The linked sets as text, by path, and the entries that name them."""
    made: dict[str, tuple[str, star.StarFile]] = {}
    if project.particles is not None:
        text = sets.particles_to_star(project.particles, format, project.tomograms)
        made[PARTICLES] = "particles.star", text
    if project.manifolds is not None:
        made[MANIFOLDS] = "manifolds.star", sets.manifolds_to_star(project.manifolds, format)
    if project.trajectories is not None:
        text = sets.trajectories_to_star(project.trajectories, format)
        made[TRAJECTORIES] = "motion.star", text
    texts = {os.path.join(folder, name): text for name, text in made.values()}
    return texts, {entry: os.path.join(folder, name) for entry, (name, _) in made.items()}


def _with_fiducials(
    project: Project, folder: str, format: str
) -> tuple[TomogramSet, dict[str, star.StarFile]]:
    """The tomograms, naming their files of fiducials, and those files by path."""
    texts: dict[str, star.StarFile] = {}
    tomograms = []
    names = file_names(project.tomograms)
    for name, tomogram in project.tomograms.items():
        fiducials = project.fiducials.get(name)
        if fiducials is None:
            tomograms.append(tomogram)
            continue
        pixel_size = tomogram.optics.pixel_size
        if pixel_size is None:
            raise ModelError(f"tomogram {name!r} has fiducials but no pixel size, to say them in Å")
        path = os.path.join(folder, f"fiducials_{names[name]}.star")
        texts[path] = sets.fiducials_to_star(fiducials, dialect=format, pixel_size=pixel_size)
        tomograms.append(replace(tomogram, fiducials=path))
    return project.tomograms.with_tomograms(tomograms), texts
