"""What every kind of image file offers, whatever its format."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from tomoset.errors import FileFormatError
from tomoset.images.statistics import Values


@dataclass(frozen=True, kw_only=True)
class ImageHeader:
    """What a file of images says of them.

    Parameters
    ----------
    path : str
        The file.
    size : (int, int)
        Width and height of an image [px].
    n_images : int
        How many there are: sections of MRC, pages of TIFF.
    mode : int
        Type of the pixels as MRC numbers them; for TIFF that of an MRC file which holds them.
    pixel_size : float
        Of x [Å]; 0 where the file does not say.
    axes : (int, int, int)
        Of a volume: which axes of space columns, rows and sections run along; 1, 2, 3 is x, y, z.
    """

    path: str
    size: tuple[int, int]
    n_images: int
    mode: int
    pixel_size: float
    axes: tuple[int, ...] = (1, 2, 3)


class Stack(ABC):
    """Images of one size, read one by one. Made by `open_stack`; closes with its ``with`` block.

    Attributes
    ----------
    header : ImageHeader
        What the file says; `path`, `size`, `n_images` and `pixel_size` are its.
    dtype : numpy.dtype
        Of the pixels that `read` gives, in the byte order of this machine.
    """

    def __init__(self, header: ImageHeader, dtype: npt.DTypeLike) -> None:
        self.header = header
        self.path, self.size = header.path, header.size
        self.n_images, self.pixel_size = header.n_images, header.pixel_size
        self.dtype: np.dtype[Any] = np.dtype(dtype)

    def read(self, i: int) -> npt.NDArray[Any]:
        """One image.

        Parameters
        ----------
        i : int
            Which, from 0.

        Returns
        -------
        (h, w) array
            The pixels as stored; row 0 is the lowest of the picture, as in every MRC file.

        Raises
        ------
        FileFormatError
            If there is no such image, or it is damaged.
        """
        self._refuse_absent(i)
        return self._image(i)

    def read_rows(self, i: int, rows: npt.NDArray[np.integer]) -> npt.NDArray[Any]:
        """Some rows of one image, in this order; no others are read where the format allows it.

        Parameters
        ----------
        i : int
            Which image, from 0.
        rows : (n,) array
            Which rows, from 0, the lowest.

        Returns
        -------
        (n, w) array
            As `read` has them.

        Raises
        ------
        FileFormatError
            As `read`.
        """
        self._refuse_absent(i)
        return self._rows(i, rows)

    def _refuse_absent(self, i: int) -> None:
        if not 0 <= i < self.n_images:
            raise FileFormatError(
                f"image {i + 1} is asked for, there are {self.n_images}", path=self.path
            )

    def _rows(self, i: int, rows: npt.NDArray[np.integer]) -> npt.NDArray[Any]:
        return np.asarray(self._image(i)[rows])

    def read_all(self) -> npt.NDArray[Any]:
        """All images, or the sections of a volume: (n, h, w), as `read` gives them."""
        return np.stack([self.read(i) for i in range(self.n_images)])

    @abstractmethod
    def _image(self, i: int) -> npt.NDArray[Any]: ...

    @abstractmethod
    def check_whole(self) -> None:
        """Raise FileFormatError if the file is shorter than its header promises."""

    @abstractmethod
    def mrc_header(self, n_images: int, values: Values, label: str) -> bytes:
        """The header of an MRC stack of so many images like these, with one more label."""

    @abstractmethod
    def mrc_bytes(self, image: npt.NDArray[Any]) -> bytes:
        """An image (h, w) of the type of the stack, as such an MRC stack has it."""

    def close(self) -> None:  # noqa: B027 - MRC holds nothing open between two images
        """Let the file go."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None
    ) -> None:
        self.close()
