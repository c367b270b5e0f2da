"""Cameras that make all images of a specimen agree, by the likelihood of `slab`."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from tomoset.align.images.cameras import Numbers
from tomoset.align.images.coherent import Whitened, shares, whiten
from tomoset.align.images.plane import Plane, mapped
from tomoset.align.images.slab import Model, Slab, Terms, displaced, terms
from tomoset.align.images.windows import Seen, Windows, transformed
from tomoset.align.parameters import compose, decompose

Array = npt.NDArray[np.float64]
Image = npt.NDArray[np.float32]

#: Steps at one mapping, at most; the log-likelihood that another must bring.
_STEPS, _GAIN = 6, 1.0
#: Damping of steps: at first, and how it grows and shrinks.
_DAMPING, _MORE, _LESS = 1e-6, 30.0, 0.1


@dataclass(frozen=True, kw_only=True, eq=False)
class Aligning:
    """Images that are being aligned.

    Parameters
    ----------
    images, valid : (n, h, w) float32 arrays
        As `plane.mapped`.
    windows : Windows
    lowest : float
        Frequency below which images say nothing [cycles per px].
    threads : int
    """

    images: Image
    valid: Image
    windows: Windows
    lowest: float
    threads: int


@dataclass(frozen=True, kw_only=True, eq=False)
class State:
    """An alignment on the way.

    Parameters
    ----------
    projections : (n, 4, 4) array
        From 0-based voxels to pixels, both of the working size.
    expected : (n, 9) array
        Cameras about which rotations, tilts and magnifications scatter.
    scatter : (3,) array
        How much.
    plane : Plane
        The middle of the specimen.
    slab : Slab
    thicker : (W,) array
        Factor by which it is thicker in each window.
    """

    projections: Array
    expected: Array
    scatter: Array
    plane: Plane
    slab: Slab
    thicker: Array


@dataclass(frozen=True, kw_only=True, eq=False)
class Looked:
    """What images show by a state: mapped, cut into windows, transformed, whitened."""

    seen: Seen
    frequencies: Array
    whitened: Whitened
    model: Model


@dataclass(frozen=True, kw_only=True, eq=False)
class Bettered:
    """A better state, and how well it is known.

    Parameters
    ----------
    state : State
    looked : Looked
        By the state of before.
    terms : Terms
        At the end.
    numbers : Numbers
    covariance : (p, p) array
        Of them, by the likelihood's own account.
    found : (p,) array
        Their values.
    """

    state: State
    looked: Looked
    terms: Terms
    numbers: Numbers
    covariance: Array
    found: Array

    @property
    def spectra(self) -> npt.NDArray[np.complex64]:
        """Whitened spectra, moved to where the new state has them: (W, n, K)."""
        by = self.numbers.displacements(self.found)
        return displaced(self.looked.whitened.spectra, self.looked.model.k, by)

    @property
    def moved(self) -> float:
        """How far cameras moved what they show, but for a shift of the specimen: rms [px]."""
        by = self.numbers.by_cameras(self.found)
        parallax = self.looked.model.parallax
        shift = np.concatenate([np.tile(np.eye(2), (len(parallax), 1, 1)), parallax[..., None]], 2)
        alike = np.tile(shift.reshape(-1, 3), (len(by), 1))
        left = by.ravel() - alike @ np.linalg.lstsq(alike, by.ravel(), rcond=None)[0]
        return float(np.sqrt(2 * np.mean(left**2)))


def look(series: Aligning, state: State, highest: float) -> Looked:
    """Map images onto the plane, and transform them, up to a frequency [cycles per px]."""
    projections, plane, threads = state.projections, state.plane, series.threads
    maps = plane.maps(projections)
    flat, weights = mapped(series.images, series.valid, maps, series.windows.shape, threads)
    seen = transformed(flat, weights, series.windows, highest, threads)
    frequencies = plane.image_frequencies(projections, seen.k)
    kept = (frequencies <= highest).sum(axis=0) >= 2
    seen = replace(seen, k=seen.k[kept], spectra=seen.spectra[..., kept])
    return _looked(seen, frequencies[:, kept], state, (series.lowest, highest))


def _looked(seen: Seen, frequencies: Array, state: State, limits: tuple[float, float]) -> Looked:
    parallax = state.plane.parallax(state.projections)
    white = whiten(seen, frequencies, limits)
    share = shares(white, parallax, state.slab, state.thicker, highest=limits[1])
    model = Model(
        k=seen.k,
        parallax=parallax,
        coherent=share.coherent,
        level=share.level,
        thicker=state.thicker,
        band=white.band,
        slab=state.slab,
        independent=white.independent,
    )
    return Looked(seen=seen, frequencies=frequencies, whitened=white, model=model)


def better(series: Aligning, state: State, highest: float) -> Bettered:
    """The most probable cameras, at one mapping of the images.

    Steps of Fisher scoring, damped (Levenberg-Marquardt) where they would lead downwards.
    """
    looked = look(series, state, highest)
    centre = state.plane.centre
    cameras = decompose(state.projections, centre)
    numbers = Numbers.of(
        cameras, state.expected, state.projections, state.plane, series.windows.middles
    ).expecting(state.scatter, state.slab.thickness)
    found, last = _climb(looked, numbers, series.threads)
    # Common shifts are fixed by nothing: they stay.
    covariance = inverse(numbers.information(last))
    changed = cameras + numbers.cameras(found)
    new = replace(
        state,
        projections=compose(changed, centre, state.projections),
        scatter=numbers.scatter(found, covariance),
        plane=_raised(state.plane, series.windows.middles, numbers.depths(found)),
    )
    return Bettered(
        state=new,
        looked=looked,
        terms=last,
        numbers=numbers,
        covariance=covariance,
        found=found,
    )


def _climb(looked: Looked, numbers: Numbers, threads: int) -> tuple[Array, Terms]:
    """The most probable numbers, and the likelihood there."""
    model, spectra, used = looked.model, looked.whitened.spectra, looked.seen.used

    def at(values: Array, *, informed: bool) -> Terms:
        moved = displaced(spectra, model.k, numbers.displacements(values))
        return terms(model, moved, used, informed=informed, threads=threads)

    values = np.zeros(len(numbers.before))
    first = now = at(values, informed=True)
    value, damping = numbers.value(now, values), _DAMPING
    information = numbers.information(now)
    scale = information.diagonal() + 1e-9 * information.diagonal().max()
    for _ in range(_STEPS):
        slope = numbers.slope(now, values)
        gain = 0.0
        while damping < 1e3:
            damped = information + np.diag(damping * scale)
            step = np.asarray(np.linalg.solve(damped, slope), np.float64)
            trial = values + numbers.without_common_shift(step)
            there = at(trial, informed=False)
            gain = numbers.value(there, trial) - value
            if gain > 0:
                damping = max(damping * _LESS, _DAMPING)
                break
            damping = max(damping * _MORE, 1e-3)
        if gain <= 0:
            break
        values, now, value = trial, there, value + gain
        if gain < _GAIN:
            break
    # Displacements do not change the covariance, and its weights hardly.
    return values, replace(now, information=first.information, precision=first.precision)


def inverse(information: Array) -> Array:
    """Of what is known; what nothing tells, as a common shift, is left out."""
    found = np.linalg.pinv(information, rcond=1e-12, hermitian=True)
    return np.asarray(found, dtype=np.float64)


def _raised(plane: Plane, middles: Array, depths: Array) -> Plane:
    """The plane through the matter of all windows, so far as they tell its slope."""
    if np.linalg.matrix_rank(middles - middles.mean(axis=0)) < 2:
        return plane
    rows = np.column_stack([np.ones(len(middles)), middles])
    _, along_x, along_y = np.linalg.lstsq(rows, depths, rcond=None)[0]
    return replace(plane, slope=(plane.slope[0] + along_x, plane.slope[1] + along_y))
