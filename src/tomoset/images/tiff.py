"""Tilt images in TIFF, one a page, read by tifffile."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tomoset.errors import FileFormatError, UnsupportedError
from tomoset.images._stack import ImageHeader, Stack
from tomoset.images.mrc import MODES, new_header
from tomoset.images.statistics import Values

if TYPE_CHECKING:
    import tifffile


#: How programs call them.
TIFF_ENDINGS = (".tif", ".tiff")

#: Types that MRC has; bytes become wider, for MRC's are signed to most programs.
_IN_MRC = {"u1": "u2", "i1": "i2", "i2": "i2", "u2": "u2", "f2": "f2"}


class TiffStack(Stack):
    """A TIFF file.

    Parameters
    ----------
    path : str
        The file.

    Raises
    ------
    FileFormatError
        If its pages are not grey images, all alike.
    UnsupportedError
        If tifffile is not installed.
    """

    def __init__(self, path: str) -> None:
        if path.lower().endswith(".eer"):
            raise FileFormatError(
                "expected images, found electron events (EER): sum the frames first, for example "
                "by RELION's motion correction or IMOD's alignframes",
                path=path,
            )
        try:
            import tifffile
        except ImportError:
            raise UnsupportedError(
                f"{path}: TIFF needs the package tifffile: pip install tomoset[tiff]"
            ) from None
        self.path = path
        complaints = _Complaints()
        logger = logging.getLogger("tifffile")
        logger.addHandler(complaints)
        try:
            self._file = tifffile.TiffFile(path)
            self._file.filehandle.set_lock(True)  # seeking and reading are two steps
            self._pages = [self._file.pages[i] for i in range(len(self._file.pages))]
            problem = complaints.first or self._problem()
            pixel_size = 0.0 if problem else _pixel_size(self._file.pages.first)
        except OSError:
            raise
        except Exception as error:  # damaged tags end in any error
            problem = str(error) or type(error).__name__
        finally:
            logger.removeHandler(complaints)
        if problem:
            self.close()
            raise self._error(problem)
        first = self._file.pages.first
        dtype = np.dtype(first.dtype).newbyteorder("=")
        self._stored = np.dtype("<" + _IN_MRC.get(dtype.str[1:], "f4"))
        header = ImageHeader(
            path=path,
            size=(first.shape[1], first.shape[0]),
            n_images=len(self._pages),
            mode=MODES[self._stored.str[1:]],
            pixel_size=pixel_size,
        )
        super().__init__(header, dtype)

    def _error(self, problem: str) -> FileFormatError:
        return FileFormatError(
            f"expected a TIFF file with one grey image a page, all alike: {problem}", path=self.path
        )

    def _problem(self) -> str:
        """What forbids to take the pages for a stack, if anything."""
        first = self._file.pages.first
        for number, page in enumerate(self._pages, 1):
            if page.shape != first.shape or page.dtype != first.dtype:
                return (
                    f"page {number} is {page.shape} {page.dtype}, the first {first.shape} "
                    f"{first.dtype}"
                )
        if len(first.shape) != 2 or first.dtype is None or first.dtype.kind not in "iuf":
            return f"the pages are {first.shape} {first.dtype}"
        if len(self._pages) < (self._file.imagej_metadata or {}).get("images", 1):
            return "ImageJ keeps all images in one page of files above 4 GB: save it as MRC"
        return ""

    def check_whole(self) -> None:
        for number, page in enumerate(self._pages, 1):
            parts = zip(page.dataoffsets, page.databytecounts, strict=False)
            try:
                end = max(start + count for start, count in parts)
            except (TypeError, ValueError):
                raise self._error(f"page {number} does not say where its pixels are") from None
            if end > self._file.filehandle.size:
                raise self._error(
                    f"it is cut short in page {number} of {self.n_images}; copy the file again "
                    "from where it comes from"
                )

    def _image(self, i: int) -> npt.NDArray[Any]:
        try:
            image = self._pages[i].asarray()
        except Exception as problem:  # each decoder has errors of its own
            if "imagecodecs" in str(problem):
                raise UnsupportedError(
                    f"{self.path}: {problem}: pip install imagecodecs, or save it uncompressed"
                ) from None
            raise FileFormatError(f"image {i + 1} is damaged: {problem}", path=self.path) from None
        return np.ascontiguousarray(image[::-1], self.dtype)

    def mrc_header(self, n_images: int, values: Values, label: str) -> bytes:
        size = (*self.size, n_images)
        return new_header(size, self._stored, self.pixel_size, values, [label])

    def mrc_bytes(self, image: npt.NDArray[Any]) -> bytes:
        return image.astype(self._stored).tobytes()

    def close(self) -> None:
        if hasattr(self, "_file"):
            self._file.close()


class _Complaints(logging.Handler):
    """What tifffile logs of a chain of pages that breaks off, where it raises nothing."""

    first = ""

    def emit(self, record: logging.LogRecord) -> None:
        self.first = self.first or record.getMessage()


def _pixel_size(page: tifffile.TiffPage) -> float:
    """Å from the resolution, if that is of a microscope: 300 dpi, a printer's, are 85 µm."""
    units = {2: 2.54e8, 3: 1e8}
    unit, resolution = page.tags.valueof(296, 1), page.tags.valueof(282, (0, 1))
    if unit not in units or not all(resolution):
        return 0.0
    pixel_size = float(units[unit] * resolution[1] / resolution[0])
    return pixel_size if pixel_size < 1000 else 0.0
