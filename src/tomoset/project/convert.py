"""A set or a project in another format, with what it loses and a verification of the rest.

docs/relion.md, 'Conversion of RELION 4 and 5'. The formats do the writing; here is what has to be
decided before: sizes that a file does not say, losses that are allowed, single images where a stack
is needed.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from tomoset.errors import (
    FileAccessError,
    LossyWarning,
    ModelError,
    UnsupportedError,
)
from tomoset.files import Guard, together
from tomoset.formats import Loss, Tolerance, format_named, is_linked, read
from tomoset.model import Project, Tomogram, TomogramSet
from tomoset.model.project import LINKED
from tomoset.project._conversion import Result
from tomoset.project._read import open_tomograms, read_all
from tomoset.project._record import is_record, of_tomograms, store
from tomoset.project._series import alike, read_again, written_rows
from tomoset.project.convert_particles import ParticleResult, convert_particles
from tomoset.project.history import writing
from tomoset.project.plausible import warn_of_unusual
from tomoset.project.stacks import with_stacks
from tomoset.project.verify import Verification, verify
from tomoset.run import chosen, documented

Array = npt.NDArray[np.float64]

_NO_FILES: dict[str, Any] = dict.fromkeys(("tomograms", *LINKED))


@dataclass(frozen=True, kw_only=True)
class Options:
    """What a conversion is told.

    Parameters
    ----------
    to : str
        The format to write, by its name.
    tolerance : Tolerance
        What may be lost.
    size, image_size : tuple of int, optional
        Of tomograms and tilt images, where files do not say them [px].
    pixel_size : float, optional
        Of the tilt images, where the set does not say it [Å].
    tomograms, particles, manifolds, trajectories : str, optional
        Files to take instead of those that an optimisation set names.
    overwrite : bool
        Whether files that are there, and other than those written, are replaced.
    """

    to: str
    tolerance: Tolerance = field(default_factory=Tolerance)
    size: tuple[int, int, int] | None = None
    image_size: tuple[int, int] | None = None
    pixel_size: float | None = None
    tomograms: str | None = None
    particles: str | None = None
    manifolds: str | None = None
    trajectories: str | None = None
    overwrite: bool = False

    @property
    def linked(self) -> dict[str, str | None]:
        """Those of sets that belong to tomograms."""
        return {name: getattr(self, name) for name in LINKED}


@documented(Options)
def convert(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    options: Options | None = None,
    **by_name: Any,
) -> Result | ParticleResult:
    """Write a set or a project in another format, read it back, and compare.

    Parameters
    ----------
    source : path-like
        A tomogram set; or an optimisation set, or a folder with one, with all that belongs to it.
    target : path-like
        A file for the set, or a folder.
    options : Options, optional
        What is wanted.
    **by_name
        Fields of the options, and of `Tolerance`:

        {options}

    Returns
    -------
    Result or ParticleResult
        What it lost, and how far what was written is from the source.

    Raises
    ------
    UnsupportedError
        If the format cannot say the set, and no option allows the loss. Nothing is written.
    FileAccessError
        If a file of the source, or of another set, would be replaced.

    Examples
    --------
    >>> import tomoset
    >>> done = tomoset.convert("tomograms.star", "relion4", to="relion4")
    >>> done.position < 0.001
    True
    """
    wanted = chosen(Options, options, by_name)
    if not format_named(wanted.to).alignments:
        project = _open_sized(source, wanted)
        return convert_particles(project, target, wanted.to, overwrite=wanted.overwrite)
    if not format_named(wanted.to).can("linked sets"):
        return convert_series(source, target, wanted)
    if is_linked(source) or any(wanted.linked.values()):
        return convert_project(source, target, wanted)
    if os.path.isdir(target) or not os.path.splitext(target)[1]:
        target = os.path.join(target, "tomograms.star")
    return convert_set(source, target, wanted)


def convert_set(
    source: str | os.PathLike[str], target: str | os.PathLike[str], options: Options
) -> Result:
    """Write a tomogram set in another format, read it back, and compare.

    Parameters
    ----------
    source, target : path-like
        Global STAR files.
    options : Options
        The format, and what may be lost.

    Raises
    ------
    UnsupportedError
        If the format cannot say the set, and no option allows the loss. Nothing is written.
    FileAccessError
        If a file of the source, or of another set, would be replaced.
    """
    tomograms = with_sizes(read(source), options)
    guard = _guard(Project(tomograms=tomograms), options)
    guard.refuse_inputs(format_named(options.to).files(tomograms, target))
    home, reads = os.path.dirname(target), lambda: list(tomograms.files)
    with writing(home, guard, reads) as (_, said):
        result = write_and_verify(tomograms, target, options)
        return _stored(source, target, result, said)


def _guard(project: Project, options: Options) -> Guard:
    return Guard(project.named_files, overwrite=options.overwrite, ours=is_record)


def write_and_verify(
    tomograms: TomogramSet, target: str | os.PathLike[str], options: Options
) -> Result:
    """Write a set, read it back, and compare; see `convert_set`.

    What was there before comes back if what was written is further off than was announced.
    """
    with together() as files:
        after, lost = _prepared(Project(tomograms=tomograms), target, options)
        format_named(options.to).write_set(after, target, options.tolerance)
        files.place()
        again = with_sizes(read(target), options)
        verified = verify(tomograms, again)
        return _result(os.fspath(target), len(tomograms), lost, verified, options)


def _result(
    written: str,
    tomograms: int,
    lost: dict[str, Loss],
    verifications: dict[str, Verification],
    options: Options,
) -> Result:
    result = Result(
        written=written,
        losses=lost,
        verifications=verifications,
        tomograms=tomograms,
        kept=options.tolerance.keep_matrices,
    )
    result.refuse_failed()
    return result


def _stored(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    result: Result,
    said: Sequence[str],
) -> Result:
    """The result, of which a record is kept beside what was written."""
    tomograms = of_tomograms(result.losses, result.verifications)
    for name, hand in result.geometric_hands.items():
        tomograms.setdefault(name, {})["geometric_hand"] = hand
    record = {"source": os.fspath(source), "written": result.written, "tomograms": tomograms}
    store(target, record, said)
    return result


def convert_project(
    source: str | os.PathLike[str], folder: str | os.PathLike[str], options: Options
) -> Result:
    """Write a whole project in another format, read it back, and compare; particles too.

    Parameters
    ----------
    source : path-like
        An optimisation set, or the folder that holds it.
    folder : path-like
        Where all sets go, under RELION's names.
    options : Options
        The format, and what may be lost.

    Raises
    ------
    UnsupportedError
        If the format cannot say the set, and no option allows the loss. Nothing is written.
    """
    project = _open_sized(source, options)
    before, target = project.tomograms, os.path.join(folder, "tomograms.star")
    if os.path.isdir(folder) and os.path.samefile(_folder_of(source), folder):
        raise FileAccessError(f"{os.fspath(folder)} is the folder of the source; give another one")
    guard = _guard(project, options)
    with writing(folder, guard, project.set_files) as (files, said):
        after, lost = _prepared(project, target, options)
        sets = project.with_sets(tomograms=after)
        written = format_named(options.to).write(sets, folder, options.tolerance)
        files.place()
        again = _open_sized(written, replace(options, **_NO_FILES))
        verifications = verify(before, again.tomograms, _pairs(project, again))
        result = _result(written, len(before), lost, verifications, options)
        return _stored(source, folder, result, said)


def convert_series(
    source: str | os.PathLike[str], folder: str | os.PathLike[str], options: Options
) -> Result:
    """Write the files of each tilt series for another package, read them again, and compare.

    Parameters
    ----------
    source : path-like
        A tomogram set, an optimisation set, or a folder with one.
    folder : path-like
        Where they go.
    options : Options
        The format, and what may be lost.

    Raises
    ------
    UnsupportedError
        If the format cannot say the set, and no option allows the loss. Nothing is written.
    """
    project, format = _open_sized(source, options), format_named(options.to)
    guard = _guard(project, options)
    with writing(folder, guard, project.set_files) as (files, said):
        after, lost = _prepared(project, os.path.join(folder, "tomograms.star"), options)
        _refuse_lost(lost, options.tolerance)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", LossyWarning)  # said already
            written = format.write(project.with_sets(tomograms=after), folder, options.tolerance)
        files.place()
        again = read_again(format, after, folder)
        pairs = [alike(t, again[name], format) for name, t in after.items()]
        before, there = (TomogramSet(side) for side in zip(*pairs, strict=True))
        lost = {name: loss.of(written_rows(after[name], format)) for name, loss in lost.items()}
        hands = {name: format.geometric_hand(t) for name, t in after.items()}
        result = _result(written, len(after), lost, verify(before, there), options)
        return _stored(source, folder, replace(result, geometric_hands=hands), said)


def _refuse_lost(lost: dict[str, Loss], tolerance: Tolerance) -> None:
    """Refuse what is further off than is allowed."""
    for name, loss in lost.items():
        if loss.pixels.max(initial=0.0) > tolerance.max_loss and not tolerance.nearest:
            worst = int(loss.pixels.argmax())
            raise UnsupportedError(
                f"tomogram {name!r} {' and '.join(loss.texts)}: tilt image {worst + 1} would be "
                f"off by up to {loss.pixels[worst]:.3g} px; allow that (`max_loss`), or take the "
                "nearest that can be said (`nearest`)"
            )


def _open_sized(path: str | os.PathLike[str], options: Options) -> Project:
    """All of a project, read against tomograms of the sizes that are given."""
    project = open_tomograms(path, tomograms=options.tomograms)
    sized = project.with_sets(tomograms=with_sizes(project.tomograms, options))
    return read_all(sized.load(check_links=False, **options.linked))


def _folder_of(source: str | os.PathLike[str]) -> str:
    return os.fspath(source) if os.path.isdir(source) else os.path.dirname(source) or "."


def _positions(project: Project) -> dict[str, Array]:
    """Where the particles are, by tomogram [voxels]."""
    if project.particles is None:
        return {}
    positions = project.particles.positions
    return {name: positions[rows] for name, rows in project.particles.by_tomogram().items()}


def _pairs(before: Project, after: Project) -> dict[str, tuple[Array, Array]]:
    """Positions of the same particles in both, by tomogram [voxels]; none where they are gone."""
    here, there = _positions(before), _positions(after)
    return {name: (found, there.get(name, np.empty((0, 3)))) for name, found in here.items()}


def _prepared(
    project: Project, target: str | os.PathLike[str], options: Options
) -> tuple[TomogramSet, dict[str, Loss]]:
    """The tomograms as the format can say them, and what that loses, by tomogram.

    What is lost, or assumed, is a warning. Stacks that have to be made are written.
    """
    format, tomograms = format_named(options.to), project.tomograms
    for t in tomograms.values():
        warn_of_unusual(t, options.to)
    lost = format.losses(project)
    kept = f"; matrices next to them keep it, until {format.package} writes the set"
    for name, loss in lost.items():
        is_kept = options.tolerance.keep_matrices and loss.pixels.any()
        for text in loss.texts:
            warnings.warn(
                f"tomogram {name!r} {text}{kept if is_kept else ''}", LossyWarning, stacklevel=3
            )
    if not format.can("single images"):
        tomograms = with_stacks(tomograms, target, parts=format.can("parts of stacks"))
    return tomograms, lost


def with_sizes(tomograms: TomogramSet, options: Options) -> TomogramSet:
    """The set with projections wherever the given sizes make them possible.

    Raises
    ------
    ModelError
        If a size that is given contradicts one that is known.
    """
    return tomograms.with_tomograms(_sized(t, options) for t in tomograms.values())


def _sized(tomogram: Tomogram, options: Options) -> Tomogram:
    for what, given, known in (
        ("size", options.size, tomogram.size),
        ("image_size", options.image_size, tomogram.image_size),
        ("pixel_size", options.pixel_size, tomogram.optics.pixel_size),
    ):
        if given is not None and known is not None and not np.array_equal(given, known):
            raise ModelError(
                f"tomogram {tomogram.name!r}: {_text(given)} (`{what}`) contradicts what the set "
                f"says, {_text(known)}"
            )
    if tomogram.optics.pixel_size is None and options.pixel_size is not None:
        optics = replace(tomogram.optics, pixel_size=options.pixel_size)
        tomogram = replace(tomogram, optics=optics)
    return tomogram.placed(options.size, options.image_size)


def _text(values: object) -> str:
    return " ".join(f"{value:g}" for value in np.ravel(np.asarray(values)))
