"""The tilt images that a tomogram of a set names, read one by one."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from tomoset.errors import (
    AssumptionWarning,
    FileAccessError,
    FileFormatError,
    LossyWarning,
    MissingFieldError,
    MissingFileError,
    ModelError,
)
from tomoset.files import AtomicFiles
from tomoset.images.mrc import stack_path
from tomoset.images.stack import (
    Stack,
    check_finite,
    join_images,
    open_stack,
    read_float32,
    write_like,
)
from tomoset.model import Tomogram, TomogramSet
from tomoset.paths import file_names, image_places


class TiltSeries:
    """The tilt images of a tomogram, in the order of its table.

    Parameters
    ----------
    tomogram : Tomogram
        What names them.
    places : sequence of (str, int), optional
        Files and sections to take instead of the tomogram's own.

    Raises
    ------
    MissingFileError
        If a file is not there.
    FileFormatError
        If a file is no image, is cut short, or does not fit the others or the set.
    ModelError
        If the tomogram names no images.
    """

    def __init__(
        self,
        tomogram: Tomogram,
        *,
        places: Sequence[tuple[str, int]] | None = None,
    ) -> None:
        self.name = tomogram.name
        own = list(_places(tomogram) if places is None else places)
        self._stacks: Mapping[str, Stack] = {path: self._open(path) for path in dict(own)}
        #: File and section, from 0, of each image.
        self.places = own
        self.size = self._check(tomogram)
        self._compare_pixel_size(tomogram)

    def _open(self, path: str) -> Stack:
        if not os.path.isfile(path):
            raise MissingFileError(
                f"tomogram {self.name!r}: the images {path} are not there; paths start in the "
                "working folder or in a folder above the set: go there, or put them there"
            )
        return open_stack(path)

    def _check(self, tomogram: Tomogram) -> tuple[int, int]:
        sizes = {stack.size: path for path, stack in self._stacks.items()}
        if len(sizes) > 1:
            (one, first), (other, second) = list(sizes.items())[:2]
            raise FileFormatError(
                f"tomogram {self.name!r}: images of {other[0]} x {other[1]} px, those of {first} "
                f"have {one[0]} x {one[1]}; all images of a tilt series have one size",
                path=second,
            )
        (size, path), *_ = sizes.items()
        if tomogram.image_size not in (None, size):
            raise FileFormatError(
                f"expected images of {tomogram.image_size}, found {size}", path=path
            )
        for path, section in self.places:
            stack = self._stacks[path]
            if section >= stack.n_images:
                raise FileFormatError(
                    f"tomogram {self.name!r} has {len(self.places)} tilt images and asks for "
                    f"image {section + 1} of this stack, which holds {stack.n_images}",
                    path=stack.path,
                )
        whole = tomogram.images is None and tomogram.image_index is None
        if whole and len(sizes) == 1 and self._stacks[path].n_images != len(self.places):
            raise FileFormatError(
                f"tomogram {self.name!r} has {len(self.places)} tilt images, the stack "
                f"{self._stacks[path].n_images}: they cannot belong together",
                path=path,
            )
        return size

    def _compare_pixel_size(self, tomogram: Tomogram) -> None:
        """Say where a file has another pixel size than the set; many programs leave 1 Å there."""
        said = tomogram.optics.pixel_size
        for stack in self._stacks.values():
            if (
                said
                and stack.pixel_size not in (0.0, 1.0)
                and abs(stack.pixel_size / said - 1) > 0.02
            ):
                warnings.warn(
                    f"tomogram {tomogram.name!r}: pixels of {stack.path} have "
                    f"{stack.pixel_size:.4g} Å, those of the set {said:.4g} Å; the set's are taken",
                    AssumptionWarning,
                    stacklevel=3,
                )
                return

    def __len__(self) -> int:
        return len(self.places)

    def read(self, i: int) -> npt.NDArray[np.float32]:
        """Image i of the table, from 0: (h, w), finite. Several threads may read at once.

        Raises
        ------
        FileFormatError
            If pixels are NaN or infinite, or the file is damaged.
        """
        path, section = self.places[i]
        return read_float32(self._stacks[path], section)

    def stored(self, i: int) -> npt.NDArray[Any]:
        """Image i of the table, from 0, in the type of its file: (h, w), finite.

        Raises
        ------
        FileFormatError
            As `read`.
        """
        path, section = self.places[i]
        image = self._stacks[path].read(section)
        check_finite(image, self._stacks[path], section)
        return image

    def write_like(
        self, target: str | os.PathLike[str], images: Iterable[npt.NDArray[Any]], label: str
    ) -> None:
        """Write changed images, in the order of the table, as `images.stack.write_like` does."""
        write_like(list(self._stacks.values()), target, images, label)

    def __enter__(self) -> TiltSeries:
        return self

    def __exit__(self, *_: object) -> None:
        for stack in self._stacks.values():
            stack.close()


def half_places(tomogram: Tomogram) -> tuple[list[tuple[str, int]], list[tuple[str, int]]] | None:
    """Files and sections of images from even and odd frames, where the set names them.

    Raises
    ------
    MissingFieldError
        If it names only one of the two.
    """
    if tomogram.half_images is None:
        return None
    even, odd = tomogram.half_images
    if not even or not odd:
        raise MissingFieldError(
            f"tomogram {tomogram.name!r} names images of one half of the frames only; those of "
            "even and of odd frames belong together"
        )
    return image_places(even), image_places(odd)


def _places(tomogram: Tomogram) -> list[tuple[str, int]]:
    if tomogram.images is not None and tomogram.stack is None:
        return image_places(tomogram.images)
    if tomogram.stack is None:
        raise ModelError(f"tomogram {tomogram.name!r} names no tilt images")
    index = tomogram.image_index
    sections = np.arange(tomogram.n_tilts) if index is None else index
    return [(stack_path(tomogram.stack), section) for section in sections.tolist()]


def with_stacks(
    tomograms: TomogramSet, target: str | os.PathLike[str], files: AtomicFiles
) -> TomogramSet:
    """The set with one stack for each tilt series, its images in the order of the table.

    RELION 4 needs that: it takes row i for image i of the stack, whatever the rows say. Stacks are
    made of single images, or of some of a larger stack.

    Parameters
    ----------
    tomograms : TomogramSet
        As it was read.
    target : path-like
        The set to be written; stacks that have to be made go into ``stacks`` beside it.
    files : AtomicFiles
        With which the stacks take their places.

    Raises
    ------
    FileAccessError
        If a stack would replace a file of something else.
    """
    names = file_names(tomograms)
    folder = os.path.join(os.path.dirname(os.fspath(target)), "stacks")
    made = []
    for tomogram in tomograms.values():
        if not _is_one_stack(tomogram):
            stack = os.path.join(folder, f"{names[tomogram.name]}.mrcs")
            _join(tomogram, stack, files)
            tomogram = replace(tomogram, stack=stack, image_index=None)
        made.append(tomogram)
    return tomograms.with_tomograms(made)


def _is_one_stack(tomogram: Tomogram) -> bool:
    """Whether the images are a stack in the order of the table already, or are not named."""
    if tomogram.stack is None:
        return tomogram.images is None
    index = tomogram.image_index
    return index is None or np.array_equal(index, np.arange(tomogram.n_tilts))


def _join(tomogram: Tomogram, stack: str, files: AtomicFiles) -> None:
    if os.path.exists(stack):
        raise FileAccessError(
            f"{stack} is there already; a stack of tomogram {tomogram.name!r} would replace it: "
            "convert to another folder, or remove it"
        )
    places = _places(tomogram)
    missing = sum(not os.path.isfile(path) for path, _ in places)
    if not missing:
        join_images(places, stack, files)
        return
    warnings.warn(
        f"tomogram {tomogram.name!r}: {missing} of its {tomogram.n_tilts} images "
        "are not there; RELION 4 wants one stack of them, which the set names but which was not "
        f"made: {stack}",
        LossyWarning,
        stacklevel=4,
    )
