"""How far two half maps agree, shell by shell, and what a shell of one of them is worth.

A half map is X = S + N, with S the structure that images show, and noise N. Where the power of
both is known, the structure is expected to be E[S | X] = w X with w = |S|² / (|S|² + |N|²), and
that is just what the correlation f of two such maps estimates: **w = f**. An image seen with
noise of variance 1, a S C + noise, is then Gaussian about a C f X, with a variance of 1 and what
E[S | X] leaves open, which is little beside the noise of one image of one particle: f X, not X,
is the template of the likelihood. For the mean of both halves the noise has half of the power,
and w = 2 f / (1 + f). (The root of that is the correlation of that mean with the structure, a
figure of merit of maps; it is the weight where each shell's power was set to 1 before.)
"""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tomoset.errors import FileFormatError, ModelError
from tomoset.formats import read_fsc as read_curve

Array = npt.NDArray[np.float64]

#: Below this correlation nothing is told of the structure: Rosenthal and Henderson (2003).
THRESHOLD = 0.143


@dataclass(frozen=True, kw_only=True, eq=False)
class Fsc:
    """Fourier shell correlation of two half maps.

    Parameters
    ----------
    frequency : (n,) array
        Ascending [1/voxel].
    values : (n,) array
        Correlations, -1 to 1.

    Raises
    ------
    ModelError
        If these are not two columns of finite numbers, or nothing agrees.

    Examples
    --------
    >>> fsc = Fsc(frequency=[0.0, 0.1, 0.2, 0.3], values=[1.0, 0.8, 0.1, 0.6])
    >>> fsc.weight([0.0, 0.05, 0.1, 0.15, 0.2, 0.3]).round(9).tolist()
    [1.0, 0.9, 0.8, 0.0, 0.0, 0.0]
    >>> fsc.weight([0.1], whole=True).round(4).tolist()
    [0.8889]
    """

    frequency: Array
    values: Array

    def __post_init__(self) -> None:
        for name in ("frequency", "values"):
            object.__setattr__(self, name, np.asarray(getattr(self, name), np.float64))
        if self.frequency.ndim != 1 or self.frequency.shape != self.values.shape:
            raise ModelError("a shell correlation needs as many values as frequencies")
        if len(self.values) < 3 or not np.isfinite([self.frequency, self.values]).all():
            raise ModelError("a shell correlation needs three shells or more, of finite numbers")
        if (np.diff(self.frequency) <= 0).any():
            raise ModelError("the shells of a correlation must come in ascending order")
        if self.end < 2:
            raise ModelError(
                f"the two half maps do not agree even in their coarsest shell (correlation "
                f"{self.values[1]:.3f}): are they halves of one map, and is the mask theirs?"
            )

    @property
    def end(self) -> int:
        """The first shell below `THRESHOLD`; the mean of the map, shell 0, is no measure."""
        low = np.flatnonzero(self.values[1:] < THRESHOLD)
        return int(low[0]) + 1 if len(low) else len(self.values)

    def weight(self, frequency: npt.ArrayLike, *, whole: bool = False) -> Array:
        """What a shell is multiplied with, 0 to 1.

        Parameters
        ----------
        frequency : array
            [1/voxel].
        whole : bool
            Whether the map is the mean of both halves.
        """
        at = np.asarray(frequency, np.float64)
        known = np.clip(self.values[: self.end], 0.0, 1.0)
        if whole:
            known = 2 * known / (1 + known)
        weight = np.interp(at, self.frequency[: self.end], known)
        return np.where(at <= self.frequency[self.end - 1] * (1 + 1e-9), weight, 0.0)


def correlation(half1: npt.ArrayLike, half2: npt.ArrayLike) -> Fsc:
    """The correlation of two maps of one size (z, y, x), masked or not.

    Examples
    --------
    >>> noise = np.random.default_rng(1).standard_normal((2, 16, 16, 16))
    >>> noise[:] += 3 * noise[0]
    >>> bool((correlation(*noise).values > 0.9).all())
    True
    """
    import scipy.fft

    first, second = (scipy.fft.rfftn(np.asarray(h, np.float32)) for h in (half1, half2))
    n = len(first)
    plane = np.fft.fftfreq(n, 1 / n) ** 2
    radius = np.sqrt(plane[:, None, None] + plane[:, None] + np.arange(n // 2 + 1) ** 2)
    shell = np.rint(radius).astype(np.int64).ravel()
    products = (first * second.conj()).real, np.abs(first) ** 2, np.abs(second) ** 2
    cross, power1, power2 = (np.bincount(shell, p.ravel())[: n // 2 + 1] for p in products)
    both = np.sqrt(power1 * power2)
    values = np.divide(cross, both, out=np.zeros(len(both)), where=both > 0)
    return Fsc(frequency=np.arange(len(values)) / n, values=values)


def read_fsc(path: str | os.PathLike[str], box: int, pixel_size: float | None) -> Fsc:
    """The curve of RELION's post-processing.

    Parameters
    ----------
    path : path-like
        A STAR file with ``data_fsc``.
    box : int
        Size of the map [voxels].
    pixel_size : float or None
        Of the map [Å], if it is known: shells are then told by their resolution, and else by
        their number.

    Raises
    ------
    MissingFileError, MissingFieldError, FileFormatError
        If it is not there, or is no such curve.
    """
    frequency, values = read_curve(path, box, pixel_size)
    try:
        return Fsc(frequency=frequency, values=values)
    except ModelError as problem:
        raise FileFormatError(str(problem), path=path) from None
