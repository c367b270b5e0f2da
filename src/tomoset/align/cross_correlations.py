"""Cross-correlations of images and predictions, about the expected positions of particles."""

from __future__ import annotations

import math
import tempfile
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tomoset.errors import ModelError
from tomoset.run import Need, refuse_beyond

Array = npt.NDArray[np.float64]
Values = npt.NDArray[np.float32]


def zeros(shape: tuple[int, ...], memory: int) -> Values:
    """Zeros: in memory if they take no more bytes than that, else in a temporary file.

    The file is gone with the last array on it.

    Raises
    ------
    ModelError
        If there is no room for them.
    """
    size = 4 * math.prod(shape)
    what, cure = "cross-correlations", "take a smaller range (`range`) or fewer particles"
    if size <= memory:
        refuse_beyond(what, Need(memory=size, cure=cure))
        return np.zeros(shape, np.float32)
    refuse_beyond(what, Need(disk=size, cure=f"{cure}, or set TMPDIR"), tempfile.gettempdir())
    with tempfile.TemporaryFile() as file:
        file.truncate(size)
        stream: Any = file
        return np.memmap(stream, np.float32, mode="r+", shape=shape)


@dataclass(frozen=True, kw_only=True, eq=False)
class CrossCorrelations:
    """Cross-correlations of each particle with each tilt image, by displacement.

    Parameters
    ----------
    values : (n_particles, n_tilts, n, n) float32 array
        n is odd. ``values[p, t, j, i]`` is the correlation of the whitened image t with the
        whitened predicted image of particle p, displaced by (i - n // 2) step along x and
        (j - n // 2) step along y [px] from ``at[p, t]``. Noise alone gives it the variance
        ``energy``: if the particle is in the image with amplitude s, then
        s value - s² / 2 energy is the logarithm of the likelihood ratio against "nothing there".
    step : float
        Between entries [px].
    at : (n_particles, n_tilts, 2) array
        x, y where the alignment so far projects the particle, the 2D deformation included [px]:
        what the middle entry stands for, exactly.
    energy : (n_particles, n_tilts) array
        Sum of squares of the whitened prediction; 0 where not visible.
    information : (n_particles, n_tilts, 3) array
        Minus the second derivatives xx, xy, yy of the expected value at its peak, for
        amplitude 1 [1/px²]; 0 where not visible.
    visible : (n_particles, n_tilts) bool array
        Where the image shows the particle; values are 0 elsewhere.

    Raises
    ------
    ModelError
        If shapes contradict each other, or numbers are not finite.
    """

    values: Values
    step: float
    at: Array
    energy: Array
    information: Array
    visible: npt.NDArray[np.bool_]

    def __post_init__(self) -> None:
        if self.values.ndim != 4 or self.values.shape[2] != self.values.shape[3]:
            raise ModelError(
                f"values must have shape (n_particles, n_tilts, n, n), not {self.values.shape}"
            )
        if self.values.shape[3] % 2 == 0:
            raise ModelError(
                f"cross-correlations need a middle: n must be odd, not {self.values.shape[3]}"
            )
        if not 0 < self.step < np.inf:
            raise ModelError(f"the step must be above 0 px, not {self.step}")
        both = self.values.shape[:2]
        for name, shape in (("at", (2,)), ("energy", ()), ("information", (3,)), ("visible", ())):
            array = getattr(self, name)
            if array.shape != both + shape:
                raise ModelError(f"{name} must have shape {both + shape}, not {array.shape}")
            if not np.isfinite(array).all():
                raise ModelError(f"{name} must be finite numbers")
        # Particle by particle: the values may be more than memory holds.
        for number, values in enumerate(self.values):
            if not np.isfinite(values).all():
                raise ModelError(f"the values of particle {number + 1} are not all finite")

    @property
    def half(self) -> float:
        """How far they reach to each side [px]."""
        return float(self.step * (self.values.shape[3] // 2))
