"""How well an alignment by images is known."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from tomoset.align.gauge import motions
from tomoset.align.images.cameras import FREE, Numbers
from tomoset.align.images.fit import Bettered, inverse
from tomoset.align.images.slab import Terms, terms

Array = npt.NDArray[np.float64]

#: Surfaces are never as flat as a model, whose flatness would tell shifts too well [thicknesses].
ROUGH = 0.07
#: Images, in the order of their tilts, to each side: windows contradict each other about as much.
_NEAR = 2


@dataclass(frozen=True, kw_only=True, eq=False)
class Certainty:
    """Standard deviations, but for common shifts of the specimen.

    Parameters
    ----------
    columns : (n, 5) array
        Of `cameras.FREE` [working px, rad, a fraction].
    axis : float
        Of the mean rotation [rad].
    slope : (float, float)
        Of the plane of the specimen.
    expected : float
        Of where windows are projected: rms [working px].
    inflation : float
        By how much they are larger than those of the likelihood alone.
    """

    columns: Array
    axis: float
    slope: tuple[float, float]
    expected: float
    inflation: float


def certainty(bettered: Bettered, threads: int) -> Certainty:
    """Standard deviations by the likelihood, and by how the answer changes without each window.

    The likelihood is that of a slab with rough surfaces: what only flat ones tell is left out. It
    knows of noise; matter that moves or is of another thickness here than there shows in how
    windows contradict each other. Both are added.
    """
    numbers, model = bettered.numbers, bettered.looked.model
    slab = replace(model.slab, rough=max(model.slab.rough, ROUGH))
    used = bettered.looked.seen.used
    rough = terms(replace(model, slab=slab), bettered.spectra, used, informed=True, threads=threads)
    by_noise = inverse(numbers.information(rough))
    off = without_each(numbers, bettered.terms)
    n, count = numbers.n, len(FREE)
    images = np.arange(count * n).reshape(n, count)
    by_shift = bettered.state.projections[:, :2, :3].reshape(-1, 3)
    made_up = np.eye(len(by_noise))
    shifts = images[:, :2].ravel()
    made_up[np.ix_(shifts, shifts)] -= by_shift @ np.linalg.pinv(by_shift)
    covariance = by_noise + off.T @ off
    free = made_up @ covariance @ made_up.T
    said = (made_up @ by_noise @ made_up.T).diagonal()[images]
    variances = said + _smooth(((off @ made_up.T) ** 2).sum(axis=0)[images])
    mean = np.zeros(len(free))
    mean[images[:, 2]] = 1 / n
    mean[count * n] = 1
    return Certainty(
        columns=np.sqrt(np.maximum(variances, 0)),
        axis=float(np.sqrt(max(float(mean @ covariance @ mean), 0.0))),
        slope=_slope(bettered, by_noise),
        expected=_of_windows(bettered, free),
        inflation=float(np.sqrt(variances[:, :2].sum() / max(said[:, :2].sum(), 1e-30))),
    )


def without_each(numbers: Numbers, found: Terms) -> Array:
    """How far numbers would be elsewhere without each window, (W, p), as of one standard deviation.

    By one step from where all windows together have their maximum (the jackknife): so a window
    that says more than the others is not its own judge. Squares add up to variances.
    """
    number = len(numbers.rows)
    off = np.zeros((number, numbers.rows.shape[-1]))
    if number < 2:
        return off
    flat = numbers.rows.reshape(number, 2 * numbers.n, -1)
    size = flat.shape[1]
    own = [
        rows.T @ (block.reshape(size, size) @ rows)
        for rows, block in zip(flat, found.information, strict=True)
    ]
    whole = np.diag(numbers.precision) + sum(own)
    slopes = np.einsum("wap,wa->wp", flat, found.gradient.reshape(number, size))
    for w in range(number):
        off[w] = -inverse(whole - own[w]) @ slopes[w]
    return np.asarray(off * np.sqrt((number - 1) / number))


def _smooth(variances: Array) -> Array:
    """Means over images that are near in tilt: a few windows say little of one number."""
    near = [variances[max(0, i - _NEAR) : i + _NEAR + 1] for i in range(len(variances))]
    return np.array([part.mean(axis=0) for part in near])


def _of_windows(bettered: Bettered, covariance: Array) -> float:
    """How well it is known where windows are projected, but for rigid motions: rms [px]."""
    plane, projections = bettered.state.plane, bettered.state.projections
    rows = bettered.numbers.rows[..., : len(covariance) - len(bettered.numbers.rows)]
    linear, _ = plane.maps(projections)
    rows = np.einsum("nab,wnbp->wnap", linear, rows).reshape(-1, rows.shape[-1])
    levers = plane.points(bettered.looked.seen.windows.middles) - plane.centre
    by_motion = motions(levers, projections[:, :2, :3], slice(6))
    by_motion = by_motion.transpose(1, 0, 2, 3).reshape(len(rows), -1)
    rows = rows - by_motion @ (np.linalg.pinv(by_motion) @ rows)
    squares = np.einsum(
        "rp,pq,rq->r", rows, covariance[: rows.shape[1], : rows.shape[1]], rows, optimize=True
    )
    return float(np.sqrt(max(2 * squares.mean(), 0.0)))


def _slope(bettered: Bettered, by_noise: Array) -> tuple[float, float]:
    """Of the plane, by the likelihood, and by how depths of windows scatter about it.

    Nothing else tells the depth of a window that is left out.
    """
    middles = bettered.looked.seen.windows.middles
    number = len(middles)
    if number < 4:
        return (np.inf, np.inf)
    at = np.column_stack([np.ones(number), middles])
    rows = np.linalg.pinv(at)
    depths = bettered.numbers.depths(bettered.found)
    left = depths - at @ (rows @ depths)
    scatter = float(left @ left) / (number - 3) * (rows @ rows.T).diagonal()
    variances = (rows @ by_noise[-number:, -number:] @ rows.T).diagonal() + scatter
    _, x, y = np.sqrt(variances)
    return float(x), float(y)
