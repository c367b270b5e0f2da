"""One tilt series without its beads."""

from __future__ import annotations

import hashlib
import os
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tomoset import __version__, derived
from tomoset.derived import file_sizes, half_stamps, identity, in_folder
from tomoset.errors import ModelError
from tomoset.fiducials.erase import erase
from tomoset.formats._files import fiducials_file
from tomoset.model import Fiducials, Tomogram
from tomoset.project import fiducials_of
from tomoset.run import file_stamp
from tomoset.tilt_series import TiltSeries, half_places

Array = npt.NDArray[np.float64]

_LABEL = f"tomoset {__version__}: gold beads replaced by noise"


#: No gold bead is larger [Å].
_LARGEST = 2000.0


@dataclass(frozen=True, kw_only=True)
class EraseOptions:
    """What is erased around each bead.

    Parameters
    ----------
    radius : float, optional
        Of a bead [Å]; None: as large as the fiducials say they are, else 50.
    margin : float
        The radius of what is erased, the bead and its fringes, against that of the bead.
    threads : int
        Images that are worked on at once.

    Raises
    ------
    ModelError
        If a value is impossible.
    """

    radius: float | None = None
    margin: float = 1.6
    threads: int = 1

    def __post_init__(self) -> None:
        if self.radius is not None and not 0 < self.radius <= _LARGEST:
            raise ModelError(
                f"the radius of a bead must be above 0 Å, at most {_LARGEST:g}: not {self.radius:g}"
            )
        if not 1 <= self.margin <= 10:
            raise ModelError(f"the margin must be from 1 to 10, not {self.margin:g}")


@dataclass(frozen=True, kw_only=True, eq=False)
class EraseTask(derived.Task):
    """What one process needs to erase the beads of a tilt series.

    Parameters
    ----------
    format : str
        Of the set: from where its files of fiducials count voxels.
    target : str
        Path of the new stack without its suffix, as sets will name it.
    options : EraseOptions
        What is erased.
    """

    format: str
    target: str
    options: EraseOptions


def erase_one(task: EraseTask) -> dict[str, Any]:
    """Write the images of a tilt series without beads, and those of halves of its frames.

    Returns
    -------
    dict
        For JSON: ``path`` of the stack, ``halves`` (those of even and odd frames), ``beads``,
        ``files`` and ``of``.

    Raises
    ------
    TomosetError
        If something is missing or damaged, or there are no beads. No stack is half-written then.
    """
    with in_folder(task.root):
        of = erase_identity(task)
        fiducials = fiducials_of(task.tomogram, task.set_path, task.format)
        if fiducials is None or not len(fiducials):
            raise ModelError(f"tomogram {task.tomogram.name!r} has no fiducials to be erased")
        stacks = (None, *(half_places(task.tomogram) or ()))
        paths = stack_paths(task)[: len(stacks)]
        for path, places in zip(paths, stacks, strict=True):
            _write(task, fiducials, places, path)
        return {
            "path": paths[0],
            "halves": paths[1:],
            "beads": len(fiducials),
            "files": file_sizes(paths),
            "of": of,
        }


def stack_paths(task: EraseTask) -> list[str]:
    """The stacks that may be made: of all frames, and of the even and the odd ones."""
    folder, name = os.path.split(f"{task.target}.mrc")
    return [os.path.join(folder, which, name) for which in ("", "even", "odd")]


def erase_identity(task: EraseTask) -> str:
    """What a stack is of: images and alignment, and the file of fiducials."""
    file = fiducials_file(task.tomogram, task.set_path)
    beads = None if file is None else file_stamp(file)[1:]
    return hashlib.sha256(repr([identity(task), beads]).encode()).hexdigest()


def erase_description(task: EraseTask) -> object:
    """All that a stack depends on, options included."""
    radius, margin = task.options.radius, task.options.margin
    return [radius, margin, task.target, erase_identity(task), half_stamps(task)]


def _write(
    task: EraseTask, fiducials: Fiducials, places: Sequence[tuple[str, int]] | None, path: str
) -> None:
    t, options = task.tomogram, task.options
    assert t.optics.pixel_size is not None  # without it fiducials are not read
    known = 50.0 if fiducials.radii is None else float(fiducials.radii.max())
    radius = (options.radius or known) * options.margin / t.optics.pixel_size
    seed = t.name + os.path.relpath(path, os.path.dirname(task.target))
    with TiltSeries(t, task.set_path, places=places) as series:
        centres = bead_centres(t.placed(image_size=series.size), fiducials)

        def erased(i: int) -> npt.NDArray[Any]:
            # Noise of its own for each image, and the same in every run.
            rng = np.random.default_rng([zlib.crc32(seed.encode()), i])
            return erase(series.stored(i), centres[i], radius, rng)

        series.write_like(path, _in_order(erased, len(series), options.threads), _LABEL)


def _in_order(
    make: Callable[[int], npt.NDArray[Any]], number: int, threads: int
) -> Iterator[npt.NDArray[Any]]:
    """The images that are made of 0, 1, ..., some at once, not all in memory."""
    with ThreadPoolExecutor(threads) as pool:
        for first in range(0, number, threads):
            yield from pool.map(make, range(first, min(first + threads, number)))


def bead_centres(tomogram: Tomogram, fiducials: Fiducials) -> Array:
    """Where beads are in the images: as they were seen, or else where they should be.

    Parameters
    ----------
    tomogram : Tomogram
        With projections.
    fiducials : Fiducials
        Its beads.

    Returns
    -------
    (n_tilts, n_beads, 2) array
        x, y [px], from 0; also of beads outside of an image.

    Raises
    ------
    ModelError
        If the tomogram is not aligned.
    """
    expected = tomogram.project(fiducials.points)
    if fiducials.observations is None:
        return expected
    seen = fiducials.observations.grid(tomogram.n_tilts, len(fiducials))
    return np.where(np.isfinite(seen), seen, expected)
