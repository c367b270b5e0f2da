"""Windows of the plane, and what all images show in each of them, as spectra."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Image = npt.NDArray[np.float32]
Spectra = npt.NDArray[np.complex64]

#: An image counts in a window of which it shows this share.
_SHOWN = 0.7


@dataclass(frozen=True, kw_only=True, eq=False)
class Windows:
    """Squares of the plane that overlap by half or more.

    Parameters
    ----------
    size : int
        [px]
    first : (W, 2) int array
        Row and column of each one's first pixel.
    shape : (int, int)
        Height and width of the plane [px].
    """

    size: int
    first: npt.NDArray[np.int64]
    shape: tuple[int, int]

    @classmethod
    def over(cls, shape: tuple[int, int], size: int) -> Windows:
        """Windows that cover a plane; smaller ones if it is smaller."""
        size = 2 * (min(size, *shape) // 2)
        starts = []
        for length in shape:
            number = 1 + int(np.ceil((length - size) / (size / 2) - 0.25))
            starts.append(np.rint(np.linspace(0, length - size, number)).astype(np.int64))
        rows, columns = np.meshgrid(*starts, indexing="ij")
        first = np.stack([rows.ravel(), columns.ravel()], axis=1)
        return cls(size=size, first=first, shape=shape)

    @property
    def taper(self) -> Image:
        """Hann's: (size, size)."""
        line = np.sin(np.pi * (np.arange(self.size) + 0.5) / self.size) ** 2
        return np.outer(line, line).astype(np.float32)

    @property
    def independent(self) -> float:
        """Share of the frequencies of a window that are independent of the others."""
        squares = self.taper.astype(np.float64) ** 2
        return float(squares.sum() ** 2 / (squares**2).sum() / self.size**2)

    @property
    def middles(self) -> Array:
        """Of each window, from the centre of the plane: x, y (W, 2) [px]."""
        centre = (np.array(self.shape) - 1) / 2
        return np.asarray((self.first + (self.size - 1) / 2 - centre)[:, ::-1])

    def frequencies(self, highest: float) -> tuple[tuple[npt.NDArray[np.int64], ...], Array]:
        """Where in a transform the frequencies of half the plane are, and these: (K, 2)."""
        x: Array = np.fft.rfftfreq(self.size)[None] + np.zeros((self.size, 1))
        y: Array = np.fft.fftfreq(self.size)[:, None] + np.zeros_like(x)
        # Of waves along y alone, half are the conjugates of the others; those of two pixels,
        # and the mean, are of real numbers.
        kept = (np.hypot(x, y) <= highest) & ~((x == 0) & (y <= 0)) & (x < 0.5) & (np.abs(y) < 0.5)
        at: tuple[npt.NDArray[np.int64], ...] = np.nonzero(kept)
        return at, np.stack([x[kept], y[kept]], axis=1, dtype=np.float64)


@dataclass(frozen=True, kw_only=True, eq=False)
class Seen:
    """What images show in windows.

    Parameters
    ----------
    windows : Windows
    k : (K, 2) array
        Frequencies [cycles per px].
    spectra : (W, n, K) complex64 array
        Of the images, each divided by the root of the window's share that it shows.
    used : (W, n) bool array
        Which images show each window.
    """

    windows: Windows
    k: Array
    spectra: Spectra
    used: npt.NDArray[np.bool_]


def transformed(
    images: Image, weights: Image, windows: Windows, highest: float, threads: int
) -> Seen:
    """The spectra of mapped images in all windows.

    Parameters
    ----------
    images, weights : (n, height, width) float32 arrays
        As `plane.mapped`.
    windows : Windows
    highest : float
        Frequency [cycles per px].
    threads : int
    """
    import scipy.fft

    at, k = windows.frequencies(highest)
    taper, size = windows.taper, windows.size
    full = float((taper**2).sum())
    spectra = np.zeros((len(windows.first), len(images), len(k)), np.complex64)
    used = np.zeros(spectra.shape[:2], bool)

    def one(i: int) -> None:
        for w, (row, column) in enumerate(windows.first):
            part = slice(row, row + size), slice(column, column + size)
            weight = taper * weights[i][part]
            shown = float((weight**2).sum()) / full
            if shown < _SHOWN:
                continue
            used[w, i] = True
            image = images[i][part]
            mean = float((image * weight).sum() / weight.sum())
            spectrum = scipy.fft.rfft2((image - mean) * weight)
            spectra[w, i] = spectrum[at] / np.sqrt(full * shown)

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(one, range(len(images))))
    return Seen(windows=windows, k=k, spectra=spectra, used=used)
