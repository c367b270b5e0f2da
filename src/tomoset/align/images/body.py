"""What images of a body have in common: one that is seen whole across the tilt axis.

Each section of it across the axis is a disc of random density, and each line of an image the
projection of one section, with noise: no section is flat, and nothing is stretched onto a plane.
All lines of all images are Gaussian then, with a covariance C that does not depend on shifts, so
that what the others predict of an image has a closed form, with no image reconstructed.

Waves along the axis are independent of each other, and each has its own C: the density's spectrum
depends on the whole frequency. Those of a few ranges are taken to have the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Image = npt.NDArray[np.float32]

#: Points of a section, at most: as many numbers an eigen-decomposition has.
MOST_POINTS = 1200
#: Ends of the ranges of waves along the axis [highest frequencies].
_RANGES = np.array([0.0, 0.08, 0.2, 0.4, 0.7, 1.0])
#: Strengths of the noise that are tried.
_NOISES = 10.0 ** np.arange(-1.0, 1.6, 0.25)


@dataclass(frozen=True, kw_only=True, eq=False)
class Section:
    """How a section of a body is seen.

    Parameters
    ----------
    directions : (n, 2) array
        How far across each image a point lies, by its x and z.
    samples : int
        Pixels across an image, whose middle is the middle of the section.
    radius : float
        Of the section [px].
    """

    directions: Array
    samples: int
    radius: float

    def lines(self, spectrum: Array) -> Image:
        """What images show of each point of the section: (n, samples, N).

        Parameters
        ----------
        spectrum : (m,) array
            Amplitudes of waves across the axis that a point stands for, from 0 to 0.5 cycles/px.
        """
        steps = np.arange(-int(self.radius), int(self.radius) + 1)
        x, z = np.meshgrid(steps, steps, indexing="ij")
        inside = np.hypot(x, z) <= self.radius
        points = np.stack([x[inside], z[inside]])
        across: Array = np.arange(self.samples, dtype=np.float64) - (self.samples - 1) / 2
        away = np.abs(across[:, None] - (self.directions @ points)[:, None])
        at: Array = np.arange(0.0, away.max() + 0.2, 0.1)
        k = np.linspace(0, 0.5, len(spectrum))
        point = np.cos(2 * np.pi * at[:, None] * k) @ (spectrum * np.gradient(k))
        return np.asarray(np.interp(away, at, point), dtype=np.float32)


@dataclass(frozen=True, kw_only=True, eq=False)
class Waves:
    """The covariance C of lines of one range of waves along the axis: that of a body, and noise.

    Parameters
    ----------
    principal : (n, samples, N) float32 array
        Principal components of what is seen of the body.
    variances : (N,) array
        Along them.
    """

    principal: Image
    variances: Array

    @classmethod
    def of(cls, seen: Image) -> Waves:
        """By what is seen of each point, as `Section.lines`."""
        import scipy.linalg

        flat = seen.reshape(-1, seen.shape[-1]).astype(np.float64)
        variances, axes = scipy.linalg.eigh(flat.T @ flat, overwrite_a=True)
        known = variances > 1e-6 * variances[-1]
        principal = flat @ (axes[:, known] / np.sqrt(variances[known]))
        return cls(
            principal=principal.reshape(*seen.shape[:2], -1).astype(np.float32),
            variances=variances[known],
        )

    def shrunk(self, noise: float) -> Image:
        """Share of the body in the variance along each component: (N,)."""
        return np.asarray(self.variances / (self.variances + noise), dtype=np.float32)

    def along(self, lines: Image) -> Image:
        """Lines (n, rows, samples), along the components: (N, rows)."""
        return np.asarray(np.einsum("iup,ivu->pv", self.principal, lines, optimize=True))

    def across(self, along: Image) -> Image:
        """And back: (n, rows, samples)."""
        return np.asarray(np.einsum("iup,pv->ivu", self.principal, along, optimize=True))


@dataclass(frozen=True, kw_only=True, eq=False)
class Body:
    """The covariance C of all lines of all images, up to a factor.

    Parameters
    ----------
    waves : tuple of Waves
        Of each range of waves along the axis.
    which : (rows,) int array
        The range of each wave; -1 where a body has none.
    turn : (rows, rows) float32 array
        Orthonormal, from rows of an image to waves along them.
    noise : float
        Variance of the noise of a pixel.
    """

    waves: tuple[Waves, ...]
    which: npt.NDArray[np.int64]
    turn: Image
    noise: float = 1.0

    @classmethod
    def of(cls, section: Section, rows: int, spectrum: Array, highest: float) -> Body:
        """Of a body of which sections are alike.

        Parameters
        ----------
        section : Section
        rows : int
            Of the images, as far apart as pixels across.
        spectrum : (m,) array
            Of the density: amplitudes against those of the noise, from 0 to 0.5 cycles/px.
        highest : float
            Frequency that images show [cycles/px].
        """
        turn, k = _waves_along(rows)
        which = np.searchsorted(_RANGES[1:] * highest, k)
        which[which >= len(_RANGES) - 1] = -1
        at = np.linspace(0, 0.5, len(spectrum))
        waves = []
        for number in range(len(_RANGES) - 1):
            there = k[which == number]
            along = float(np.sqrt(np.mean(there**2))) if len(there) else 0.0
            seen = section.lines(np.interp(np.hypot(at, along), at, spectrum, right=0.0))
            waves.append(Waves.of(seen))
        return cls(waves=tuple(waves), which=which, turn=turn)

    def _ranges(self) -> Iterator[tuple[Waves, npt.NDArray[np.int64]]]:
        for number, waves in enumerate(self.waves):
            rows = np.flatnonzero(self.which == number)
            if len(rows):
                yield waves, rows

    def _turned(self, lines: Image) -> Image:
        return np.asarray(np.einsum("kv,...vu->...ku", self.turn, lines, optimize=True))

    def _back(self, lines: Image) -> Image:
        return np.asarray(np.einsum("kv,...ku->...vu", self.turn, lines, optimize=True))

    def weighted(self, lines: Image) -> Image:
        """C^-1 times lines: (n, rows, samples)."""
        turned = self._turned(lines)
        out = turned.copy()
        for waves, rows in self._ranges():
            explained = waves.along(turned[:, rows]) * waves.shrunk(self.noise)[:, None]
            out[:, rows] -= waves.across(explained)
        return self._back(out) / np.float32(self.noise)

    def log_likelihood(self, lines: Image) -> float:
        """Of lines, whose common scale is the most likely one."""
        turned = self._turned(lines)
        n, _, samples = lines.shape
        misfit, logs, count = 0.0, 0.0, 0
        for waves, rows in self._ranges():
            part = turned[:, rows].astype(np.float64)
            squares = (waves.along(turned[:, rows]).astype(np.float64) ** 2).sum(axis=1)
            misfit += float((part**2).sum() - squares @ waves.shrunk(self.noise)) / self.noise
            one = np.log1p(waves.variances / self.noise).sum() + n * samples * np.log(self.noise)
            logs += len(rows) * float(one)
            count += part.size
        return float(-0.5 * (count * np.log(misfit / count) + logs))

    def as_noisy_as(self, lines: Image) -> Body:
        """With the noise that makes lines most likely."""
        return max(
            (replace(self, noise=float(x)) for x in _NOISES), key=lambda b: b.log_likelihood(lines)
        )

    def _alone(self, waves: Waves) -> Image:
        """The part of C^-1 of each image by itself: (n, samples, samples)."""
        scaled = waves.principal * np.sqrt(waves.shrunk(self.noise))
        blocks = -scaled @ scaled.transpose(0, 2, 1)
        blocks[:, range(blocks.shape[1]), range(blocks.shape[1])] += 1
        return np.asarray(blocks / np.float32(self.noise))

    def predicted(self, lines: Image, weighted: Image) -> Image:
        """What the other images predict of each: (n, rows, samples).

        By partitioned inverses, an image less its prediction is (C^-1)_ii^-1 (C^-1 y)_i.
        """
        turned, inverse = self._turned(lines), self._turned(weighted)
        out = np.zeros_like(turned)
        for waves, rows in self._ranges():
            alone = np.linalg.inv(self._alone(waves).astype(np.float64)).astype(np.float32)
            off = np.einsum("iuw,ivw->ivu", alone, inverse[:, rows], optimize=True)
            out[:, rows] = turned[:, rows] - off
        return self._back(out)

    def alone(self, lines: Image) -> Image:
        """The part of C^-1 of each image by itself, times lines: (..., n, rows, samples)."""
        turned = self._turned(lines)
        out = turned / np.float32(self.noise)
        for waves, rows in self._ranges():
            out[..., rows, :] = np.einsum(
                "iuw,...ivw->...ivu", self._alone(waves), turned[..., rows, :], optimize=True
            )
        return self._back(out)

    def products(self, changes: Image) -> Array:
        """changes' C^-1 changes of all pairs of images: (n, k, n, k), of (k, n, rows, samples)."""
        kinds, n = changes.shape[:2]
        turned = self._turned(changes)
        out = np.zeros((n * kinds, n * kinds))
        own = np.einsum("kivu,livu->ikl", changes, changes, optimize=True)
        for waves, rows in self._ranges():
            scaled = waves.principal * np.sqrt(waves.shrunk(self.noise))
            along = np.einsum("iup,kivu->ikpv", scaled, turned[:, :, rows], optimize=True)
            flat = along.reshape(n * kinds, -1)
            out -= flat @ flat.T
        pairs = out.reshape(n, kinds, n, kinds)
        pairs[range(n), :, range(n)] += own
        return pairs / self.noise


def _waves_along(rows: int) -> tuple[Image, Array]:
    """Orthonormal cosines and sines, a row each, and their frequencies [cycles/px]."""
    spectra = np.fft.rfft(np.eye(rows), axis=1)
    number = np.arange(spectra.shape[1])
    cosines, sines = np.real(spectra).T, np.imag(spectra).T
    some = (number > 0) & (2 * number < rows)
    both = np.concatenate([cosines, sines[some]])
    both /= np.linalg.norm(both, axis=1, keepdims=True)
    return both.astype(np.float32), np.concatenate([number, number[some]]) / rows
