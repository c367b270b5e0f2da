"""How far defoci of a table are off, learnt from all images of a series together.

Most images of a series are off alike: by a common change, and a scatter about it. What one image
leaves open is filled in by that (empirical Bayes). A few may be far off, where the search for
rings has taken one for another: these are told by their own likelihood, and left out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

#: Scatters that are tried [Å].
_SCATTERS = np.geomspace(1.0, 3000.0, 25)
#: Parts of the images that may be far off.
_FAR = (0.003, 0.03, 0.1)
#: Of an astigmatism that is not known at all [Å], and of any change.
_BROAD = 3000.0


@dataclass(frozen=True, eq=False)
class Prior:
    """What is expected of the changes (dz, a1, a2) of an image before its data.

    Parameters
    ----------
    mean : (3,) array
        The common change [Å].
    mean_covariance : (3, 3) array
        How well it is known [Å²].
    scatter : (3,) array
        Standard deviation about it [Å].
    far : (n_tilts,) bool array
        Images to which it does not apply: they are on their own.
    """

    mean: Array
    mean_covariance: Array
    scatter: Array
    far: Mask

    def of(self, tilt: int) -> tuple[Array, Array, Array]:
        """Mean, its covariance, and inverse variance about it of one image."""
        if not self.far[tilt]:
            return self.mean, self.mean_covariance, 1 / self.scatter**2
        scatter = np.maximum(self.scatter, (_BROAD, 0.0, 0.0))
        return self.mean * (0, 1, 1), self.mean_covariance * 0, 1 / scatter**2


def scan_prior(likelihood: Array, grid: Array) -> tuple[Array, Array, Mask]:
    """Where each image is most likely to be, by its own likelihood and by what the others say.

    Parameters
    ----------
    likelihood : (n_tilts, n) array
        Logarithms, of each change of defocus.
    grid : (n,) array
        The changes [Å], evenly spaced.

    Returns
    -------
    best : (n_tilts,) array
        [Å].
    spread : (n_tilts,) array
        Root mean square of how far each may be from there [Å].
    far : (n_tilts,) bool array
        Images that are no part of what is common to the others.

    Examples
    --------
    >>> grid = np.arange(-1000.0, 1001, 100)
    >>> at = np.array([200.0, 100.0, 200.0, 300.0, 200.0, -800.0])
    >>> best, _, far = scan_prior(-((grid - at[:, None]) / 80) ** 2 / 2, grid)
    >>> best.tolist(), far.tolist()
    ([200.0, 200.0, 200.0, 200.0, 200.0, -800.0], [False, False, False, False, False, True])
    """
    L = np.exp(likelihood - likelihood.max(axis=1, keepdims=True))
    flat, step = L.mean(axis=1), grid[1] - grid[0]
    cases = []
    for scatter, width in zip(_SCATTERS, np.gradient(_SCATTERS), strict=True):
        near = np.exp(-(((grid[:, None] - grid) / max(scatter, 0.3 * step)) ** 2) / 2)
        near /= near.sum(axis=0)
        both = L @ near
        for part in _FAR:
            mixed = np.maximum((1 - part) * both + part * flat[:, None], 1e-300)
            cases.append((part, near, mixed, np.log(mixed).sum(axis=0) + np.log(width)))
    most = max(float(total.max()) for *_, total in cases)
    # Over all scatters, parts and common changes, by how likely they are: a single one that is
    # the most likely would be too sure of who belongs to the others.
    posterior, far = np.zeros(L.shape), np.zeros(len(L))
    for part, near, mixed, total in cases:
        share = np.exp(total - most) / mixed
        posterior += L * (
            (1 - part) * share @ near.T + part / len(grid) * share.sum(axis=1)[:, None]
        )
        far += part * flat * share.sum(axis=1)
    far /= posterior.sum(axis=1)
    posterior /= posterior.sum(axis=1, keepdims=True)
    best = grid[posterior.argmax(axis=1)]
    spread = np.sqrt((posterior * (grid - best[:, None]) ** 2).sum(axis=1))
    return best, spread, np.asarray(far > 0.5)


def learn(information: Array, pull: Array, far: Mask, free: Mask) -> Prior:
    """What the images say they have in common.

    Parameters
    ----------
    information : (n_tilts, 3, 3) array
        Of the changes [1/Å²].
    pull : (n_tilts, 3) array
        Information times the change that an image alone would have: no inverse is needed where
        it says nothing.
    far : (n_tilts,) bool array
        Images that do not count for the common change of defocus.
    free : (3,) bool array
        Which of the changes there are; others are 0.
    """
    mean, covariance, scatter = np.zeros(3), np.zeros((3, 3)), np.full(3, 1e-3)
    for which, rows in ((slice(0, 1), ~far), (slice(1, 3), np.ones(len(far), np.bool_))):
        if not free[which].any() or not rows.any():
            continue
        H, b = information[rows][:, which, which], pull[rows][:, which]
        likely = np.array([_given(H, b, float(s))[0] for s in _SCATTERS])
        # Any scatter is as likely beforehand. Not the most likely one, which is often none at all:
        # images would be held to the common change, and taken for better known than they are.
        weight = np.exp(likely - likely.max()) * np.gradient(_SCATTERS)
        scatter[which] = np.sqrt((weight * _SCATTERS**2).sum() / weight.sum())
        _, mean[which], covariance[which, which] = _given(H, b, float(scatter[which][0]))
    return Prior(mean, covariance, scatter, far)


def _given(H: Array, b: Array, scatter: float) -> tuple[float, Array, Array]:
    """For one scatter: log marginal likelihood, common change and its covariance."""
    n = H.shape[-1]
    unit = np.eye(n)
    # About the common change m, an image says (1 + H s²)^-1 of what it would say alone.
    shrink = np.linalg.inv(unit + H * scatter**2)
    weight = shrink @ H
    seen = (shrink @ b[..., None])[..., 0]
    total = weight.sum(axis=0) + unit / _BROAD**2
    covariance = np.linalg.inv(total)
    mean = covariance @ seen.sum(axis=0)
    inner = np.einsum("ti,tij,tj->", b, shrink * scatter**2, b)
    marginal = np.linalg.slogdet(shrink)[1].sum() / 2 + inner / 2
    marginal += mean @ total @ mean / 2 - np.linalg.slogdet(total * _BROAD**2)[1] / 2
    return float(marginal), mean, covariance
