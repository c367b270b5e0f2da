"""A tomogram set in RELION's other dialect, with what it loses and the proof of the rest.

Specification 3.7. The formats do the writing; here is what has to be decided before: sizes that
a file does not say, projections that are not rigid, single images where a stack is needed.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from tomoset import star
from tomoset.errors import AssumptionWarning, FileAccessError, LossyWarning, ModelError
from tomoset.files import AtomicFiles
from tomoset.formats import FORMATS, read
from tomoset.formats._files import file_names
from tomoset.formats._relion_sets import is_optimisation_set
from tomoset.formats.relion5 import MAX_LOSS, nearest_rigid, rigid_loss, series_path
from tomoset.model import Tomogram, TomogramSet
from tomoset.project import Project, open_project, write_project
from tomoset.proof import MAX_POSITION, Proof, prove
from tomoset.tilt_series import with_stacks

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Options:
    """What a conversion is told.

    Parameters
    ----------
    to : {"relion4", "relion5"}
        The dialect to write.
    max_loss : float
        How far a projection may be from a rigid one, in RELION 5 [px].
    nearest, keep_matrices : bool
        Beyond that: take the nearest rigid one, or write matrices next to the angles; else it
        is refused.
    size, image_size : tuple of int, optional
        Of tomograms and tilt images, where files do not say them [px].
    """

    to: str
    max_loss: float = MAX_LOSS
    nearest: bool = False
    keep_matrices: bool = False
    size: tuple[int, int, int] | None = None
    image_size: tuple[int, int] | None = None


@dataclass(frozen=True, kw_only=True)
class Result:
    """What was written, what it lost, and how far it is from the source.

    Parameters
    ----------
    written : str
        The set, or the project's optimisation set.
    losses : dict of str to (n_tilts,) array
        What angles and shifts alone lose, by tomogram [px].
    proofs : dict of str to Proof
        By tomogram; those that are not aligned have none.
    tomograms : int
        How many there are.
    kept : bool
        Whether matrices next to the angles keep what these lose.
    """

    written: str
    losses: dict[str, Array]
    proofs: dict[str, Proof]
    tomograms: int
    kept: bool = False

    @property
    def position(self) -> float:
        """Largest difference of image positions [px]."""
        return max((float(p.position.max(initial=0)) for p in self.proofs.values()), default=0.0)

    @property
    def defocus(self) -> float:
        """Largest difference of defocus [Å]."""
        return max((float(p.defocus.max(initial=0)) for p in self.proofs.values()), default=0.0)

    def failed(self) -> list[str]:
        """Tomograms that are further off than was announced."""
        lost = {} if self.kept else self.losses
        return [n for n, proof in self.proofs.items() if not proof.holds(lost.get(n, 0.0))]

    def summary(self) -> dict[str, Any]:
        """For a program to read."""
        return {
            "written": self.written,
            "tomograms": self.tomograms,
            "aligned": len(self.proofs),
            "position_px": self.position,
            "defocus_A": self.defocus,
            "losses_px": {name: lost.round(6).tolist() for name, lost in self.losses.items()},
            "differs": {n: list(p.differs) for n, p in self.proofs.items() if p.differs},
            "failed": self.failed(),
        }


def convert_set(
    source: str | os.PathLike[str], target: str | os.PathLike[str], options: Options
) -> Result:
    """Write a tomogram set in another dialect, read it back, and compare.

    Parameters
    ----------
    source, target : path-like
        Global STAR files.
    options : Options
        The dialect, and what may be lost.

    Raises
    ------
    UnsupportedError
        If the dialect cannot say the set, and no option allows the loss. Nothing is written.
    FileAccessError
        If a file of the source, or of another set, would be replaced.
    """
    tomograms = with_sizes(read(source), options)
    _refuse_overwriting(source, tomograms, target, options)
    return write_and_prove(tomograms, target, options)


def write_and_prove(
    tomograms: TomogramSet,
    target: str | os.PathLike[str],
    options: Options,
    before_reading: Callable[[], None] = lambda: None,
) -> Result:
    """Write a set, do what must come first, read it back, and compare; see `convert_set`."""
    with AtomicFiles() as files:
        after, lost = prepared(tomograms, target, options, files)
        write_set(after, target, options)
    before_reading()
    again = with_sizes(read(target), options)
    return _result(os.fspath(target), lost, prove(tomograms, again), options)


def _result(
    written: str, lost: dict[str, Array], proofs: dict[str, Proof], options: Options
) -> Result:
    return Result(
        written=written,
        losses=lost,
        proofs=proofs,
        tomograms=len(lost),
        kept=options.keep_matrices,
    )


def is_project(source: str | os.PathLike[str]) -> bool:
    """Whether a path means more than a tomogram set: a folder, or an optimisation set."""
    return os.path.isdir(source) or is_optimisation_set(star.read(source))


def convert_project(
    source: str | os.PathLike[str], folder: str | os.PathLike[str], options: Options
) -> Result:
    """Write a whole project in another dialect, read it back, and compare; particles too.

    Parameters
    ----------
    source : path-like
        An optimisation set, or the folder that holds it.
    folder : path-like
        Where all sets go, under RELION's names.
    options : Options
        The dialect, and what may be lost.

    Raises
    ------
    UnsupportedError
        If the dialect cannot say the set, and no option allows the loss. Nothing is written.
    """

    def sized(tomograms: TomogramSet) -> TomogramSet:
        return with_sizes(tomograms, options)

    project = open_project(source, prepare=sized)
    before, target = project.tomograms, os.path.join(folder, "tomograms.star")
    _refuse_overwriting(source, before, target, options)
    if os.path.isdir(folder) and os.path.samefile(_folder_of(source), folder):
        raise FileAccessError(f"{os.fspath(folder)} is the folder of the source; give another one")
    with AtomicFiles() as files:
        after, lost = prepared(before, target, options, files, _positions(project))
        written = write_project(
            replace(project, tomograms=after),
            folder,
            options.to,
            write_set=lambda tomograms, path: write_set(tomograms, path, options),
        )
    again = open_project(written, prepare=sized)
    proofs = prove(before, again.tomograms, _pairs(project, again))
    return _result(os.fspath(written), lost, proofs, options)


def _folder_of(source: str | os.PathLike[str]) -> str:
    return os.fspath(source) if os.path.isdir(source) else os.path.dirname(source) or "."


def _refuse_overwriting(
    source: str | os.PathLike[str],
    tomograms: TomogramSet,
    target: str | os.PathLike[str],
    options: Options,
) -> None:
    """Stop before a file of the source, or of another set in the folder, is replaced."""
    used = {os.path.realpath(source)}
    series = getattr(tomograms.source, "series", {})
    used |= {os.path.realpath(text.path) for text in series.values() if text.path}
    if os.path.realpath(target) in used:
        raise FileAccessError(f"{os.fspath(target)} is a file of the source; give another path")
    if options.to != "relion5":
        return
    fresh = not os.path.exists(target)
    for name in file_names(tomograms).values():
        path = series_path(os.fspath(target), name)
        if os.path.realpath(path) in used or (fresh and os.path.exists(path)):
            raise FileAccessError(
                f"{path} is there and belongs to the source or to another set; convert to a "
                "folder of its own"
            )


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


def write_set(tomograms: TomogramSet, path: str | os.PathLike[str], options: Options) -> None:
    """Write a set in the dialect of the options."""
    extra: dict[str, Any] = {}
    if options.to == "relion5":
        extra = {"keep_matrices": options.keep_matrices, "max_loss": options.max_loss}
    FORMATS[options.to].write(tomograms, path, **extra)


def prepared(
    tomograms: TomogramSet,
    target: str | os.PathLike[str],
    options: Options,
    files: AtomicFiles,
    points: Mapping[str, Array] | None = None,
) -> tuple[TomogramSet, dict[str, Array]]:
    """The set as the dialect can say it, and what that loses, by tomogram and tilt image [px].

    Losses are over the corners of a tomogram and over `points` in it [voxels], such as its
    particles; those above 0.001 px are warned of. Stacks that RELION 4 needs wait in `files`.
    """
    _say_what_it_is(tomograms, options)
    if options.to == "relion4":
        return with_stacks(tomograms, target, files), {n: np.zeros(1) for n in tomograms}
    lost = {n: rigid_loss(t, (points or {}).get(n)) for n, t in tomograms.items()}
    made = []
    for name, tomogram in tomograms.items():
        worst = float(lost[name].max(initial=0.0))
        if worst > MAX_POSITION and (worst <= options.max_loss or _allowed(options)):
            _warn_of_loss(name, lost[name], kept=options.keep_matrices)
        rigid = nearest_rigid(tomogram) if options.nearest and worst > options.max_loss else None
        made.append(tomogram if rigid is None else replace(tomogram, projections=rigid))
    return tomograms.with_tomograms(made), lost


def _allowed(options: Options) -> bool:
    return options.nearest or options.keep_matrices


def _warn_of_loss(name: str, lost: Array, *, kept: bool) -> None:
    tilt = int(lost.argmax())
    warnings.warn(
        f"tomogram {name!r} is not rigid: angles and shifts are off by up to {lost[tilt]:.3g} px "
        f"(tilt image {tilt + 1}; more than 0.001 px in {(lost > MAX_POSITION).sum()} of "
        f"{len(lost)})"
        + ("; matrices next to them keep it, until RELION 5 writes the set" if kept else ""),
        LossyWarning,
        stacklevel=3,
    )


def _say_what_it_is(tomograms: TomogramSet, options: Options) -> None:
    """Warn of sets that the target's programs cannot use as they are."""
    for name, t in tomograms.items():
        source = t.source
        if t.alignment is not None and source is not None and source.format == "relion4":
            warnings.warn(
                f"tomogram {name!r}: its matrices have no translations, only directions; the "
                "middle of the tomogram is taken to be in the middle of each image",
                AssumptionWarning,
                stacklevel=4,
            )
        lacking = [
            what
            for what, value in (
                ("an alignment", t.projections),
                ("a size", t.size),
                ("defocus", t.defocus_u),
                ("doses", t.pre_exposure),
            )
            if value is None
        ]
        if options.to == "relion4" and lacking:
            warnings.warn(
                f"tomogram {name!r} has not {', '.join(lacking)}: RELION 4 reads no such set",
                LossyWarning,
                stacklevel=4,
            )


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
        ("--size", options.size, tomogram.size),
        ("--image-size", options.image_size, tomogram.image_size),
    ):
        if given is not None and known is not None and tuple(given) != tuple(known):
            raise ModelError(
                f"tomogram {tomogram.name!r}: {what} {' '.join(map(str, given))} contradicts the "
                f"size that is known, {' '.join(map(str, known))}"
            )
    return tomogram.placed(options.size, options.image_size)
