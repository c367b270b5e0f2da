"""The images of a tilt series, in one stack or in many files, read one by one."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tomoset.errors import AssumptionWarning, FileFormatError, MissingFileError, ModelError
from tomoset.images.outliers import Looks, limit_outliers
from tomoset.images.stack import (
    Stack,
    check_finite,
    check_size,
    open_stack,
    read_float32,
    write_like,
)

#: A tomogram with an edge of more than so many of its images is a mistake.
MOST_BEYOND = 20


class TiltSeries:
    """The tilt images of a tomogram, in the order of its table.

    Parameters
    ----------
    name : str
        Of the tomogram, for messages.
    sections : sequence of (str, int)
        Files and sections, from 0.
    size : (int, int), optional
        Width and height that images must have [px].
    pixel_size : float, optional
        That files should have [Å].
    whole : bool
        Whether the images must be all of their stack.

    Raises
    ------
    MissingFileError
        If a file is not there.
    FileFormatError
        If a file is no image, is cut short, or does not fit the others or the set.
    """

    def __init__(
        self,
        name: str,
        sections: Sequence[tuple[str, int]],
        size: tuple[int, int] | None = None,
        pixel_size: float | None = None,
        *,
        whole: bool = False,
    ) -> None:
        self.name = name
        #: File and section, from 0, of each image.
        self.sections = list(sections)
        #: What the images that were read look like, by index.
        self._looks: dict[int, Looks] = {}
        self._stacks: Mapping[str, Stack] = {path: self._open(path) for path in dict(self.sections)}
        self.size = self._check(size, whole=whole)
        self._compare_pixel_size(pixel_size)

    def _open(self, path: str) -> Stack:
        if not os.path.isfile(path):
            raise MissingFileError(
                f"tomogram {self.name!r}: the images {path} are not there; paths start in the "
                "working folder or in a folder above the set: go there, or put them there"
            )
        return open_stack(path)

    def _check(self, size_said: tuple[int, int] | None, *, whole: bool) -> tuple[int, int]:
        sizes = {stack.size: path for path, stack in self._stacks.items()}
        if len(sizes) > 1:
            (one, first), (other, second) = list(sizes.items())[:2]
            raise FileFormatError(
                f"tomogram {self.name!r}: images of {other[0]} x {other[1]} px, those of {first} "
                f"have {one[0]} x {one[1]}; all images of a tilt series have one size",
                path=second,
            )
        (size, path), *_ = sizes.items()
        if size_said not in (None, size):
            raise FileFormatError(f"expected images of {size_said}, found {size}", path=path)
        for path, section in self.sections:
            stack = self._stacks[path]
            if section >= stack.n_images:
                raise FileFormatError(
                    f"tomogram {self.name!r} has {len(self.sections)} tilt images and asks for "
                    f"image {section + 1} of this stack, which holds {stack.n_images}",
                    path=stack.path,
                )
        if whole and len(sizes) == 1 and self._stacks[path].n_images != len(self.sections):
            raise FileFormatError(
                f"tomogram {self.name!r} has {len(self.sections)} tilt images, the stack "
                f"{self._stacks[path].n_images}: they cannot belong together",
                path=path,
            )
        return size

    def _compare_pixel_size(self, said: float | None) -> None:
        """Say where a file has another pixel size than the set; many programs leave 1 Å there."""
        for stack in self._stacks.values():
            if (
                said
                and stack.pixel_size not in (0.0, 1.0)
                and abs(stack.pixel_size / said - 1) > 0.02
            ):
                warnings.warn(
                    f"tomogram {self.name!r}: pixels of {stack.path} have "
                    f"{stack.pixel_size:.4g} Å, those of the set {said:.4g} Å; the set's are taken",
                    AssumptionWarning,
                    stacklevel=4,
                )
                return

    def refuse_boundless(self, size: tuple[int, int, int] | None) -> None:
        """Refuse a tomogram far beyond what its images show.

        Parameters
        ----------
        size : (int, int, int) or None
            Of the tomogram, if it is known [bin-1 px].

        Raises
        ------
        ModelError
            If an edge is more than `MOST_BEYOND` times that of an image.
        """
        if size is not None and max(size) > MOST_BEYOND * max(self.size):
            raise ModelError(
                f"tomogram {self.name!r} is said to have {' x '.join(map(str, size))} voxels, its "
                f"images {' x '.join(map(str, self.size))} px, which cannot show that: correct the "
                "size of the tomogram"
            )

    @property
    def image_bytes(self) -> int:
        """Of an image as its file has it."""
        width, height = self.size
        return width * height * self._stacks[self.sections[0][0]].dtype.itemsize

    def __len__(self) -> int:
        return len(self.sections)

    def read(self, i: int) -> npt.NDArray[np.float32]:
        """Image i of the table, from 0: (h, w), finite, its outlier pixels limited.

        Several threads may read at once. What was limited is said when the images are closed.

        Raises
        ------
        FileFormatError
            If pixels are NaN or infinite, if too many to be limited are beyond 1e15, or if the file
            is damaged.
        """
        path, section = self.sections[i]
        stack = self._stacks[path]
        image, self._looks[i] = limit_outliers(read_float32(stack, section))
        check_size(image, stack, section)
        return image

    def stored(self, i: int) -> npt.NDArray[Any]:
        """Image i of the table, from 0, in the type of its file: (h, w), finite.

        Raises
        ------
        FileFormatError
            As `read`.
        """
        path, section = self.sections[i]
        image = self._stacks[path].read(section)
        check_finite(image, self._stacks[path], section)
        return image

    def write_like(
        self, target: str | os.PathLike[str], images: Iterable[npt.NDArray[Any]], label: str
    ) -> None:
        """Write changed images, in the order of the table, as `images.stack.write_like` does."""
        write_like(list(self._stacks.values()), target, images, label)

    def remarks(self) -> list[str]:
        """What is odd about the images that were read since this was last asked."""
        looks, self._looks = dict(sorted(self._looks.items())), {}
        odd = [i for i, look in looks.items() if look.outliers]
        blank = [i for i, look in looks.items() if look.blank]
        dark = _dark(looks)
        pixels = sum(look.outliers for look in looks.values())
        said = {
            f"{pixels} pixel{'s' * (pixels > 1)} of outlier values (defects of the detector, "
            f"X-rays) limited in {tilt_images(odd)}": odd,
            f"{tilt_images(blank)}: blank, every pixel is the same; exclude what shows nothing": (
                blank
            ),
            f"{tilt_images(dark)}: dark, with less than {_DARK:.0%} of the others' intensity; "
            "exclude what shows nothing": dark,
        }
        return [text for text, which in said.items() if which]

    def __enter__(self) -> TiltSeries:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        for stack in self._stacks.values():
            stack.close()
        if kind is None:
            for remark in self.remarks():
                warnings.warn(f"tomogram {self.name!r}: {remark}", AssumptionWarning, stacklevel=2)


#: An image with less than this share of the usual intensity was taken in the dark. Where a
#: specimen is seen at 70 degrees, it is three times as thick.
_DARK = 0.05


def _dark(looks: Mapping[int, Looks]) -> list[int]:
    """Which images have hardly any counts; none where pixels are no counts."""
    means = [look.mean for look in looks.values()]
    if len(means) < 3 or min(look.low for look in looks.values()) < 0:
        return []
    usual = float(np.median(means))
    return [i for i, look in looks.items() if not look.blank and look.mean < _DARK * usual]


def tilt_images(indices: Sequence[int]) -> str:
    """Some tilt images, from 0, as people count them: from 1."""
    few = ", ".join(str(i + 1) for i in indices[:8])
    more = f" and {len(indices) - 8} more" if len(indices) > 8 else ""
    return f"tilt image{'s' * (len(indices) > 1)} {few}{more}"
