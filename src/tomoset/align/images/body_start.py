"""Where to begin with a body: its profile along the axis, and its centre of mass across it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tomoset.align.images.body_views import DETAIL, Working, frames, strips

Array = npt.NDArray[np.float64]
Image = npt.NDArray[np.float32]

#: A body ends where images have this part of its power left.
EDGE = 0.005
_ROUNDS = 8
#: Parts of the power by which it is found at first, and then; so much room is added.
_PARTS, _ROOM = (0.1, 0.03, EDGE), 1.25


def begun(working: Working, projections: Array) -> tuple[Array, Working]:
    """Projections shifted so that profiles along the axis agree, and centres of mass lie on it.

    The sum of an image across the axis is that of the body's density in each section, whatever
    the tilt. The centre of mass of a body is one point: it may lie in the middle of all images,
    as shifts across the axis that follow the cosine and the sine of the tilt are a motion of it.

    Returns
    -------
    projections : (n, 4, 4) array
    working : Working
        Its images over a background that is even beside the body.
    """
    along = _by_profile(working.seen(projections)[0])
    projections = shifted(projections, np.stack([np.zeros_like(along), along], axis=1))
    radius = working.shape[1] / 2
    for part in _PARTS:
        across = _middles(*working.seen(projections), radius)
        projections = shifted(projections, np.stack([across, np.zeros_like(across)], axis=1))
        radius = min(radius, radius_of(*working.seen(projections), part))
        working = working.levelled(projections, radius)
    return projections, working


def _middles(seen: Image, weights: Image, radius: float) -> Array:
    """Of the mass in the rows that all images show, no further than a radius across: (n,) [px]."""
    rows = (weights.max(axis=2) >= 1).all(axis=0)
    mass = seen[:, rows].sum(axis=1, dtype=np.float64)
    across: Array = np.arange(mass.shape[1]) - (mass.shape[1] - 1) / 2
    found = np.zeros(len(mass))
    for _ in range(_ROUNDS):
        inside = mass * (np.abs(across - found[:, None]) <= radius)
        total = inside.sum(axis=1)
        middle = (inside @ across) / np.where(total == 0, 1, total)
        found = np.clip(middle, across[0] / 2, across[-1] / 2)
    return found


def shifted(projections: Array, by: Array) -> Array:
    """Projections that look further across and along the axis, (n, 2) [px]."""
    linear, _ = frames(projections)
    new = projections.copy()
    new[:, :2, 3] += np.einsum("nij,nj->ni", linear, by)
    return new


def _by_profile(seen: Image) -> Array:
    """Where along the axis each image shows what all show: (n,) [px]."""
    import scipy.ndimage

    profiles = seen.sum(axis=2, dtype=np.float64)
    n, rows = profiles.shape
    # Where the profile changes: ends that are cut off do not count.
    change = scipy.ndimage.gaussian_filter1d(profiles, rows * DETAIL, axis=1, order=1)
    change *= np.hanning(rows + 2)[1:-1]
    change /= np.linalg.norm(change, axis=1, keepdims=True) + 1e-30
    size = 2 * rows
    spectra, k = np.fft.rfft(change, size, axis=1), np.fft.rfftfreq(size)
    # Of all images, the one that agrees best with the others is the first reference.
    agree = np.stack(
        [np.fft.irfft(spectra * one.conj(), size, axis=1).max(axis=1) for one in spectra]
    )
    reference, each = spectra[agree.sum(axis=1).argmax()], np.arange(n)
    for _ in range(_ROUNDS):
        scores = np.fft.irfft(spectra * reference.conj(), size, axis=1)
        best = scores.argmax(axis=1)
        before, here, after = (scores[each, (best + d) % size] for d in (-1, 0, 1))
        off = 0.5 * (after - before) / np.maximum(2 * here - before - after, 1e-30)
        at = (best + off + size / 2) % size - size / 2
        reference = (spectra * np.exp(2j * np.pi * k * at[:, None])).mean(axis=0)
    return np.asarray(at - np.median(at))


def radius_of(seen: Image, weights: Image, part: float) -> float:
    """How far from the middle images show at least this part of their greatest power [px]."""
    import scipy.ndimage

    width = seen.shape[2]
    smooth = scipy.ndimage.gaussian_filter(seen, (0, width * DETAIL, width * DETAIL))
    there = (weights >= 1).astype(np.float64)
    shown = there.sum(axis=(0, 1))
    known = shown > 0.1 * shown.max()
    power = (smooth.astype(np.float64) ** 2 * there).sum(axis=(0, 1)) / np.maximum(shown, 1)
    # Noise is everywhere.
    outer = power[known & strips(width)]
    if not len(outer):
        return float(width / 2)
    level = np.median(outer) + max(part * float(power.max()), 4 * float(np.std(outer)))
    middle = int(power.argmax())
    empty = np.flatnonzero(power <= level)
    first = empty[empty < middle].max(initial=0)
    last = empty[empty > middle].min(initial=width - 1)
    return float(_ROOM * max((width - 1) / 2 - first, last - (width - 1) / 2))
