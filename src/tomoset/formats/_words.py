"""What formats say and are told: readings, losses, options."""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from tomoset.errors import LossyWarning, TomosetError
from tomoset.model import TomogramSet
from tomoset.model.project import Project

Array = npt.NDArray[np.float64]


StrPath = str | os.PathLike[str]


#: What one format can say and another cannot.
Ability = Literal[
    "magnification",
    "stretch",
    "skew",
    "deformation",
    "single images",
    "parts of stacks",
    "excluded views",
    "centred coordinates",
    "linked sets",
]


#: What rigid alignments cannot say.
BEYOND_RIGID: tuple[Ability, ...] = ("magnification", "stretch", "skew")


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A tilt series that could not be read, and why."""

    name: str
    error: TomosetError | OSError


#: To which what cannot be read is added, while the rest is.
Failures = list[Failure]


@contextlib.contextmanager
def part(bad: Failures, name: str) -> Iterator[None]:
    """Read one tomogram: what is wrong with it does not stop the others."""
    try:
        yield
    except (TomosetError, OSError) as problem:
        bad.append(Failure(name=name, error=problem))


class Motion(Protocol):
    """Movement of points (k, 3) [voxels] of a tomogram in its n images: (k, n, 3) [Å]."""

    def __call__(self, points: Array) -> Array: ...

    @property
    def largest(self) -> float:
        """[Å]"""


@dataclass(frozen=True, kw_only=True, eq=False)
class Reading:
    """What a format has read.

    Parameters
    ----------
    project : Project
        The tomograms, and what belongs to them.
    notes : sequence of str
        What was chosen or is missing, a line each. What was assumed is a warning.
    failures : sequence of Failure
        Series that could not be read; the others are in the project.
    motions : mapping of str to Motion
        How what is in a tomogram moves from image to image, by name.
    """

    project: Project
    notes: Sequence[str] = ()
    failures: Sequence[Failure] = ()
    motions: Mapping[str, Motion] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, eq=False)
class Loss:
    """What a tomogram loses when it is written in a format.

    Parameters
    ----------
    texts : tuple of str
        Each follows the name of the tomogram in a message.
    pixels : (n_tilts,) array
        How far tilt images will be from where they were [px].
    defocus : (n_tilts,) array
        How far the defocus of points in them will be from what it was [Å].
    fields : tuple of str
        Fields of the model, besides these, that will not be what they were.
    """

    texts: tuple[str, ...]
    pixels: npt.NDArray[np.float64]
    defocus: npt.NDArray[np.float64]
    fields: tuple[str, ...] = ()

    def of(self, rows: npt.NDArray[np.int64]) -> Loss:
        """That of some tilt images."""
        return replace(self, pixels=self.pixels[rows], defocus=self.defocus[rows])


def say_losses(lost: Mapping[str, Loss]) -> None:
    """Warn of what each tomogram loses."""
    for name, loss in lost.items():
        warnings.warn(f"tomogram {name!r} {' and '.join(loss.texts)}", LossyWarning, stacklevel=5)


@dataclass(frozen=True, kw_only=True)
class Tolerance:
    """What may be lost in writing.

    Parameters
    ----------
    max_loss : float
        How far a point may be from where it was, in the image and in depth [px].
    nearest, keep_matrices : bool
        Beyond that: take the nearest that the format can say, or write the matrices next to
        it where the format has a place for them; else the set is refused.
    """

    max_loss: float = 0.1
    nearest: bool = False
    keep_matrices: bool = False


@dataclass(frozen=True)
class Option:
    """Something that a user may say about what is read.

    Parameters
    ----------
    name : str
        The keyword of `Format.read`.
    spelling : str
        On the command line.
    help : str
        For people.
    kind : {"number", "text", "path", "flag"}
        What values are.
    default : optional
        If nothing is said.
    metavar : str, optional
        What help calls the value.
    """

    name: str
    spelling: str
    help: str
    kind: Literal["number", "text", "path", "flag"] = "number"
    default: Any = None
    metavar: str | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class LinkedFiles:
    """The sets that refer to tomograms, as files that are to be written with them.

    Parameters
    ----------
    tomograms : TomogramSet
        Naming the files of their fiducials.
    contents : dict of str to bytes
        By path.
    paths : dict of str to str
        Where each set of `tomoset.model.project.LINKED` is.
    """

    tomograms: TomogramSet
    contents: dict[str, bytes]
    paths: dict[str, str]
