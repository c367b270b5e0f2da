"""Alignments that are off by as much as one asks for: the truth is what the images show."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from tomoset.simulate.acquisition import Views, transforms

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class AlignmentErrors:
    """How far an alignment is off the truth: normal errors, rms, of their own in every image.

    Parameters
    ----------
    shift : float
        Along x and along y of the aligned image [px].
    rotation, tilt : float
        Of the direction of the tilt axis, and of the tilt angle [deg].
    magnification : float
        A fraction.
    tilt_offset : float
        Of all tilt angles alike, not random [deg].
    outliers : float
        The part of the images that is off by much more.
    farthest : float
        They are off by a tenth of this to this, the logarithm being as likely [px].
    """

    shift: float = 0.0
    rotation: float = 0.0
    tilt: float = 0.0
    magnification: float = 0.0
    tilt_offset: float = 0.0
    outliers: float = 0.0
    farthest: float = 50.0


def misaligned(views: Views, errors: AlignmentErrors, seed: int) -> Views:
    """The alignment that one has instead of the true one; the defocus is the true one.

    Parameters
    ----------
    views : Views
        The truth.
    errors : AlignmentErrors
        How far it is to be off. Without any, the truth is given back.
    seed : int
        The same gives the same errors.

    Returns
    -------
    Views
        Without deformation and motion, which an alignment does not know.

    Examples
    --------
    >>> from tomoset import simulate as sim
    >>> nominal, rank = sim.dose_symmetric(5)
    >>> true = sim.Views.random(sim.Acquisition(nominal=nominal, rank=rank), 1)
    >>> wrong = sim.misaligned(true, sim.AlignmentErrors(tilt_offset=2.0), 1)
    >>> (wrong.tilts - true.tilts).round(9).tolist()
    [2.0, 2.0, 2.0, 2.0, 2.0]
    """
    straight = replace(views, deformation=None, trajectories=None, doming=None)
    if errors == AlignmentErrors():
        return straight
    chance = np.random.default_rng(seed).standard_normal((5, len(views.tilts)))
    return replace(
        straight,
        tilts=np.round(views.tilts + errors.tilt_offset + errors.tilt * chance[0], 2),
        xf=transforms(
            views.axes + errors.rotation * chance[1],
            (1 + errors.magnification * chance[2]) / views.magnification,
            views.xf[:, :, 2]
            + errors.shift * chance[3:].T
            + _outliers(len(views.tilts), errors, seed),
        ),
    )


def _outliers(n: int, errors: AlignmentErrors, seed: int) -> Array:
    """Shifts of images that are far off, in any direction: (n, 2) [px]."""
    rng = np.random.default_rng([seed, 1])
    far = np.zeros((n, 2))
    which = rng.permutation(n)[: round(errors.outliers * n)]
    length = errors.farthest * 10.0 ** rng.uniform(-1, 0, len(which))
    direction = rng.uniform(0, 2 * np.pi, len(which))
    far[which] = length[:, None] * np.stack([np.cos(direction), np.sin(direction)], axis=1)
    return far
