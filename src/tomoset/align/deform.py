"""What an alignment by beads leaves over, as a 2D deformation of the tilt images.

RELION's model: q = p + d(p), where p is where a projection puts a
point. Every tilt image has its own d, fitted to the residuals of its beads by ridge regression.
One ridge strength serves all images: that with which beads that are left out are predicted best.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tomoset.align.fit import Fit
from tomoset.errors import ModelError
from tomoset.geometry import DeformationBasis
from tomoset.model import Deformation, Observations

Array = npt.NDArray[np.float64]

#: RELION's default.
GRID = (3, 3)
#: From the simplest: another must predict better than the one before.
_KINDS = ("linear", "spline")
#: Noise over what coefficients are expected to be, both squared.
_STRENGTHS = np.logspace(-4, 4, 33)
#: What counts as better: so many standard errors, and so much of the squared error.
_SIGMAS, _RELATIVE_GAIN = 2.0, 0.05
#: An observation has a leverage below 1 by at least this.
_ROUNDING = 1e-9


@dataclass(frozen=True, kw_only=True, eq=False)
class Deformed:
    """A deformation of the tilt images that predicts residuals of an alignment by beads.

    Parameters
    ----------
    deformation : Deformation
        Displacements on top of `Fit.projections`; none in images without good observations.
    leave_out, leave_out_before : float
        Weighted rms length of the residuals [px]: each less the deformation that the others of
        its image say, and without a deformation. The alignment is the same for both, so that
        these are not those of `Fit`.
    strength : float
        Of the ridge: variance of the residuals' noise over that of the coefficients.
    """

    deformation: Deformation
    leave_out: float
    leave_out_before: float
    strength: float


@dataclass(frozen=True, eq=False)
class Regression:
    """Weighted ridge regression of the residuals of one tilt image, for any strength.

    The singular values of sqrt(w) B S, where B says what each coefficient displaces, w are the
    weights and S is how large coefficients may be.

    Parameters
    ----------
    left : (2 n, r) array
    values : (r,) array
    right : (k, r) array
        S V: from the r directions back to coefficients.
    seen : (n, 2) array
        Residuals times the roots of their weights.
    """

    left: Array
    values: Array
    right: Array
    seen: Array

    @classmethod
    def of(cls, design: Array, residuals: Array, weights: Array, scale: Array) -> Regression:
        """Set up.

        Parameters
        ----------
        design : (n, 2, k) array
            Of `DeformationBasis`.
        residuals : (n, 2) array
            [px]
        weights : (n,) array
            Above 0.
        scale : (k,) array
            How large each coefficient may be, against the others.
        """
        root = np.sqrt(weights)
        scaled = (design * root[:, None, None] * scale).reshape(-1, len(scale))
        left, values, right = np.linalg.svd(scaled, full_matrices=False)
        return cls(left, values, scale[:, None] * right.T, residuals * root[:, None])

    def coefficients(self, strength: float) -> Array:
        """The most likely ones: (k,)."""
        gain = self.values / (self.values**2 + strength)
        return np.asarray(self.right @ (gain * (self.left.T @ self.seen.ravel())))

    def left_out(self, strength: float) -> Array:
        """Errors of the regression without each observation at that observation: (n, 2).

        Closed form, (I - H)^-1 r with the 2x2 block H of the hat matrix; times the roots of the
        weights [px].
        """
        shrunk = self.values**2 / (self.values**2 + strength)
        fitted = self.left @ (shrunk * (self.left.T @ self.seen.ravel()))
        off = self.seen - fitted.reshape(-1, 2)
        rows = self.left.reshape(len(self.seen), 2, len(shrunk))
        rest = (1 + _ROUNDING) * np.eye(2) - (rows * shrunk) @ rows.transpose(0, 2, 1)
        return np.asarray(np.linalg.solve(rest, off[..., None])[..., 0])


def deformed(observations: Observations, fit: Fit, image_size: tuple[int, int]) -> Deformed | None:
    """The deformation of the tilt images that the residuals of an alignment show, if any.

    Residuals of observations that are left out must become smaller by it: squared, by more than
    two standard errors of the difference and by at least 5 %. A spline on RELION's grid must do
    so against a linear deformation too, if that one does against none. What is common to all
    images went into the positions of the beads, and shifts into the projections.

    Parameters
    ----------
    observations : Observations
        That were given to `adjust`.
    fit : Fit
        What it made of them.
    image_size : (int, int)
        Width and height of the tilt images [px].

    Returns
    -------
    Deformed or None
        None where the observations show no deformation.

    Raises
    ------
    ModelError
        If the fit is one of other observations, or the images have no size.
    """
    _check(observations, fit, image_size)
    used = ~fit.outliers & (fit.weights > 0) & np.isfinite(fit.residuals).all(axis=1)
    images = _images(observations, fit, used)
    counts = np.array([len(points) for points, _, _ in images if len(points)])
    before = errors = np.concatenate([w * (off**2).sum(axis=1) for _, off, w in images])
    best: tuple[Deformation, float] | None = None
    for kind in _KINDS if len(counts) else ():
        basis = DeformationBasis(kind, GRID, image_size)
        sides = [Regression.of(basis.design(p), off, w, basis.scale) for p, off, w in images]
        strength, now = _strongest(sides)
        if _better(errors, now, counts):
            found = np.stack([side.coefficients(strength) for side in sides])
            best = Deformation(kind=kind, grid=GRID, coefficients=found), strength
            errors = now
    if best is None:
        return None
    total = sum(float(w.sum()) for _, _, w in images)
    return Deformed(
        deformation=best[0],
        leave_out=float(np.sqrt(errors.sum() / total)),
        leave_out_before=float(np.sqrt(before.sum() / total)),
        strength=best[1],
    )


def _check(observations: Observations, fit: Fit, image_size: tuple[int, int]) -> None:
    if len(observations) != len(fit.residuals):
        raise ModelError(
            f"a fit of {len(fit.residuals)} observations does not belong to {len(observations)}"
        )
    if min(image_size) < 1:
        raise ModelError(f"tilt images cannot be {image_size[0]} x {image_size[1]} pixels")


def _images(
    observations: Observations, fit: Fit, used: npt.NDArray[np.bool_]
) -> list[tuple[Array, Array, Array]]:
    """Of each tilt image: points as projected (n, 2), residuals (n, 2) [px], weights (n,)."""
    weights = fit.weights[used]
    if observations.uncertainty is not None and used.any():
        precision = observations.uncertainty[used] ** -2.0
        weights = weights * precision / precision.mean()
    tilt, residuals = observations.tilt[used], fit.residuals[used]
    points = observations.points[used] - residuals
    rows = [np.flatnonzero(tilt == t) for t in range(len(fit.projections))]
    return [(points[r], residuals[r], weights[r]) for r in rows]


def _strongest(sides: list[Regression]) -> tuple[float, Array]:
    """The strength that predicts best what is left out, and the squares of those errors [px²]."""
    squares = [
        np.concatenate([(side.left_out(strength) ** 2).sum(axis=1) for side in sides])
        for strength in _STRENGTHS
    ]
    best = int(np.argmin([s.sum() for s in squares]))
    return float(_STRENGTHS[best]), squares[best]


def _better(before: Array, after: Array, counts: npt.NDArray[np.int64]) -> bool:
    """Whether squared errors, image by image, fell by enough, and surely.

    The errors of one image have its deformation in common: the standard error is the larger of
    those that take observations, or images, to be independent.
    """
    fall = before - after
    apart = fall - fall.mean()
    together = np.add.reduceat(apart, np.cumsum(counts) - counts)
    error = np.sqrt(max((apart**2).sum(), (together**2).sum()))
    return bool(fall.sum() > max(_SIGMAS * error, _RELATIVE_GAIN * before.sum()))
