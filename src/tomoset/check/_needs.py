"""What the next program needs, and a project lacks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from tomoset.errors import TomosetError, UnsupportedError
from tomoset.formats import FORMATS, Format, format_of
from tomoset.model import Project, Tomogram
from tomoset.model.rules import Problem, Rule, nowhere

_GIVE = "convert SET DST --to FORMAT"
_LACKS = Rule("N01", "error", "the next program has what it needs (with --for)",
              "Give it.", nowhere)  # fmt: skip
_LOSES = Rule("N02", "warning", "the next program can be told all (with --for)",
              "It is said again when it is written.", nowhere)  # fmt: skip
_OTHER = Rule("N03", "warning", "the set is in the files of the next program (with --for)",
              "Write it in those:", nowhere, command=_GIVE)  # fmt: skip
RULES = (_LACKS, _LOSES, _OTHER)

#: What a field is called, what to do where it is not known, and the command that does it.
_CURES: dict[str, tuple[str, str, str | None]] = {
    "images": ("tilt images", "Correct their motion, and name them in the set.", None),
    "stack": ("an image stack", "Write a set that has stacks:", _GIVE),
    "projections": ("an alignment", "Align it, and import the alignment.", None),
    "size": ("a size of the tomogram", "Give it, in px:", f"{_GIVE} --size W H D"),
    "image_size": ("a size of the images", "Give it, in px:", f"{_GIVE} --image-size W H"),
    "pixel_size": ("a pixel size", "Give it, in Å:", f"{_GIVE} --angpix A"),
    "voltage": ("a voltage", "Write it into the set.", None),
    "spherical_aberration": ("a spherical aberration", "Write it into the set.", None),
    "amplitude_contrast": ("an amplitude contrast", "Write it into the set.", None),
    "pre_exposure": ("doses", "Import with the dose of an image and an order list.", None),
    "defocus_u": ("defocus", "Import with a table of defocus.", None),
    "nominal_tilts": ("nominal tilts", "Import with the .mdoc files.", None),
    "nominal_axis": ("a nominal tilt axis", "Import with the .mdoc files.", None),
    "particles": ("particles", "Import some, or name them in an optimisation set.", None),
    "angles": ("orientations of particles", "Find them by a refinement.", None),
    "halves": ("half sets of particles", "Refine them, or split them.", None),
    "half1": ("a first half map", "Reconstruct it, and name it in the optimisation set.", None),
    "half2": ("a second half map", "Reconstruct it, and name it in the optimisation set.", None),
}


def targets() -> dict[str, tuple[Format, tuple[str, ...]]]:
    """The next programs that are known, by what `--for` calls them, and the fields they need."""
    return {
        "-".join(filter(None, (format.name, program))): (format, fields)
        for format in FORMATS
        for program, fields in format.needs.items()
    }


def lacking(project: Project, target: str) -> Iterator[Problem]:
    """What the next program lacks, and if that is nothing, what it cannot be told.

    Raises
    ------
    UnsupportedError
        If the program is not known.
    """
    known = targets()
    if target not in known:
        raise UnsupportedError(f"no program is called {target!r}; there are {', '.join(known)}")
    format, fields = known[target]
    missing = [p for field in fields for p in _missing(project, field, target)]
    yield from missing
    own = format_of(project.tomograms)
    if format is own or missing:
        return
    if format.can("linked sets"):
        found = f"the set is one of {own.package}, {target} reads those of {format.package}"
        yield _to(format, _OTHER.problem(None, found))
    try:
        losses = format.losses(project)
    except TomosetError as problem:
        yield _LACKS.problem(None, str(problem))
        return
    for name, loss in losses.items():
        yield _LOSES.problem(name, " and ".join(loss.texts))


def _missing(project: Project, field: str, target: str) -> Iterator[Problem]:
    """Problems of a field, with its own cure."""
    what, cure, command = _CURES[field]
    format = targets()[target][0]
    if field in _OF_PROJECT:
        names: list[str | None] = [] if _OF_PROJECT[field](project) else [None]
    else:
        names = [name for name, t in project.tomograms.items() if not _known(t, field)]
    for name in names:
        found = _LACKS.problem(name, f"{target} needs {what}")
        cured = replace(found, cure=cure, command=command and f"tomoset {command}")
        yield _to(format, cured)


def _to(format: Format, problem: Problem) -> Problem:
    """The command with the name of the format, where it has files of whole sets."""
    if problem.command is None or not format.can("linked sets"):
        return problem
    return replace(problem, command=problem.command.replace("FORMAT", format.name))


def _known(t: Tomogram, field: str) -> bool:
    if field == "images":
        return t.images is not None or t.stack is not None
    if field == "projections":
        return t.projections is not None or t.alignment is not None
    return getattr(t if hasattr(t, field) else t.optics, field) is not None


def _of_particles(project: Project, field: str) -> bool:
    value = getattr(project.particles, field, None)
    return value is not None and not np.isnan(value).any()


_OF_PROJECT: dict[str, Callable[[Project], bool]] = {
    "particles": lambda project: bool(project.particles),
    "angles": lambda project: _of_particles(project, "angles"),
    "halves": lambda project: _of_particles(project, "halves"),
    "half1": lambda project: "half1" in project.references,
    "half2": lambda project: "half2" in project.references,
}
