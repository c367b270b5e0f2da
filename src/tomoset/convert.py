"""A tomogram set in RELION's other dialect, with what it loses and the proof of the rest.

Specification 3.7. The formats do the writing; here is what has to be decided before: sizes that
a file does not say, projections that are not rigid, single images where a stack is needed.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from tomoset import geometry, star
from tomoset.errors import LossyWarning, ModelError
from tomoset.formats import FORMATS, read
from tomoset.formats._files import find_file
from tomoset.formats._relion_sets import is_optimisation_set
from tomoset.images import mrc
from tomoset.model import Tomogram, TomogramSet
from tomoset.project import Project, open_project, write_project
from tomoset.proof import MAX_DEFOCUS, MAX_POSITION, Proof, prove

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
    max_loss: float = 0.1
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
    losses : dict of str to (n,) array
        Announced losses by tomogram and tilt image [px].
    proofs : dict of str to Proof
        By tomogram; those that are not aligned have none.
    tomograms : int
        How many there are.
    """

    written: str
    losses: dict[str, Array]
    proofs: dict[str, Proof]
    tomograms: int

    @property
    def position(self) -> float:
        """Largest difference of image positions [px]."""
        return max((p.position for p in self.proofs.values()), default=0.0)

    @property
    def defocus(self) -> float:
        """Largest difference of defocus [Å]."""
        return max((p.defocus or 0.0 for p in self.proofs.values()), default=0.0)

    def failed(self) -> list[str]:
        """Tomograms that are further off than was announced."""
        return [name for name, proof in self.proofs.items() if not self._holds(name, proof)]

    def _holds(self, name: str, proof: Proof) -> bool:
        lost = float(self.losses[name].max()) if name in self.losses else 0.0
        # A rigid projection that is off in the image is off in depth alike, at 1 px a pixel.
        fine = (proof.defocus or 0.0) <= MAX_DEFOCUS or lost > 0
        return fine and proof.position <= MAX_POSITION + lost

    def summary(self) -> dict[str, Any]:
        """For a program to read."""
        return {
            "written": self.written,
            "tomograms": self.tomograms,
            "aligned": len(self.proofs),
            "position_px": self.position,
            "defocus_A": self.defocus,
            "losses_px": {name: lost.round(6).tolist() for name, lost in self.losses.items()},
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
    """
    return write_and_prove(with_sizes(read(source), options), target, options)


def write_and_prove(
    tomograms: TomogramSet,
    target: str | os.PathLike[str],
    options: Options,
    before_reading: Callable[[], None] = lambda: None,
) -> Result:
    """Write a set, do what must come first, read it back, and compare; see `convert_set`."""
    after, lost = prepared(tomograms, target, options)
    write_set(after, target, options)
    before_reading()
    again = with_sizes(read(target), options)
    return Result(
        written=os.fspath(target),
        losses=lost,
        proofs=prove(tomograms, again),
        tomograms=len(tomograms),
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
    project = open_project(source)
    before = with_sizes(project.tomograms, options)
    after, lost = prepared(before, os.path.join(folder, "tomograms.star"), options)
    written = write_project(
        replace(project, tomograms=after),
        folder,
        options.to,
        write_set=lambda tomograms, path: write_set(tomograms, path, options),
    )
    again = open_project(written)
    return Result(
        written=os.fspath(written),
        losses=lost,
        proofs=prove(before, with_sizes(again.tomograms, options), _pairs(project, again)),
        tomograms=len(before),
    )


def _pairs(before: Project, after: Project) -> dict[str, tuple[Array, Array]]:
    """Positions of the same particles in both, by tomogram [voxels]."""
    if before.particles is None or after.particles is None:
        return {}
    here, there = before.particles, after.particles
    return {
        name: (here.positions[rows], there.positions[there.in_tomogram(name)])
        for name, rows in here.by_tomogram().items()
    }


def write_set(tomograms: TomogramSet, path: str | os.PathLike[str], options: Options) -> None:
    """Write a set in the dialect of the options."""
    extra: dict[str, Any] = {}
    if options.to == "relion5":
        extra = {"keep_matrices": options.keep_matrices, "max_loss": options.max_loss}
    FORMATS[options.to].write(tomograms, path, **extra)


def prepared(
    tomograms: TomogramSet, target: str | os.PathLike[str], options: Options
) -> tuple[TomogramSet, dict[str, Array]]:
    """The set as the dialect can say it, and what that loses, by tomogram and tilt image [px]."""
    if options.to == "relion4":
        stacked = [_stacked(t, tomograms, os.fspath(target)) for t in tomograms.values()]
        return tomograms.with_tomograms(stacked), {}
    lost = losses(tomograms)
    if options.keep_matrices:
        return tomograms, {}
    over = {name: loss for name, loss in lost.items() if loss.max() > options.max_loss}
    rigid = over if options.nearest else {}
    small = {name: loss for name, loss in lost.items() if loss.max() > MAX_POSITION}
    nearest = [
        replace(t, projections=_rigid(t)) if name in rigid else t for name, t in tomograms.items()
    ]
    return tomograms.with_tomograms(nearest), {**small, **over}


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


def losses(tomograms: TomogramSet) -> dict[str, Array]:
    """How far each tilt image is from the nearest rigid projection [px], by tomogram.

    Over the corners of the tomogram; tomograms without projections or sizes are left out.
    """
    found = {}
    for name, tomogram in tomograms.items():
        rigid = _rigid(tomogram)
        if rigid is not None and tomogram.projections is not None and tomogram.size is not None:
            found[name] = geometry.rigid_loss(tomogram.projections, rigid, tomogram.size)
    return found


def _rigid(tomogram: Tomogram) -> Array | None:
    """The nearest rigid projections; a mirrored depth stays mirrored."""
    projections, size, image_size = tomogram.projections, tomogram.size, tomogram.image_size
    if projections is None or size is None or image_size is None:
        return None
    angles, shifts = geometry.rigid_parameters(projections, size=size, image_size=image_size)
    rigid = geometry.rigid_projections(angles, shifts, size=size, image_size=image_size)
    rigid[np.linalg.det(projections[:, :3, :3]) < 0, 2] *= -1
    return rigid


def _stacked(tomogram: Tomogram, tomograms: TomogramSet, target: str) -> Tomogram:
    """The tomogram with one stack, which RELION 4 needs; made of its single images."""
    if tomogram.stack is not None or tomogram.images is None:
        return tomogram
    folder = os.path.join(os.path.dirname(target), "stacks")
    stack = os.path.join(folder, f"{tomogram.name.replace('/', '_')}.mrcs")
    origin = getattr(tomograms.source, "path", None)
    found = [find_file(mrc.stack_path(name), origin) for name in tomogram.images]
    if all(path is not None for path in found):
        mrc.join_images([path for path in found if path is not None], stack)
    else:
        missing = sum(path is None for path in found)
        warnings.warn(
            f"tomogram {tomogram.name!r}: {missing} of its {tomogram.n_tilts} images are not "
            "there; RELION 4 wants one stack of them, which the set names but which was not made: "
            f"{stack}",
            LossyWarning,
            stacklevel=2,
        )
    return replace(tomogram, stack=stack)
