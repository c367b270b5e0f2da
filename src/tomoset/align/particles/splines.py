"""Cross-correlations as smooth functions of the offsets of particles."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from tomoset.align.cross_correlations import zeros
from tomoset.align.particles.problem import ParticleProblem
from tomoset.errors import ModelError

Array = npt.NDArray[np.float64]
Index = npt.NDArray[np.int64]

#: Curvature of the restraint beyond the range, over that of a peak at amplitude 1.
_RESTRAINT = 0.02
#: Coordinates of offsets that one thread looks up sooner than it could tell others to.
_FEW = 30_000


@dataclass(frozen=True, kw_only=True, eq=False)
class CorrelationSplines:
    """Splines through cross-correlations, which fade at the edge, and a restraint beyond the range.

    Parameters
    ----------
    coefficients : (n_all, n_tilts, n, n) float32 array
    which : (n_particles,) int array
        Of which particles.
    visible : (n_all, n_tilts) bool array
    step, range : float
        [px]
    energy : (n_tilts, n_particles) array
        0 where a particle is not visible.
    information : (n_tilts, n_particles, 2, 2) array
        [1/px²], 0 where it is not visible.
    """

    coefficients: npt.NDArray[np.float32]
    which: Index
    visible: npt.NDArray[np.bool_]
    step: float
    range: float
    energy: Array
    information: Array

    @classmethod
    def of(cls, problem: ParticleProblem, limit: float | None) -> CorrelationSplines:
        """Set up.

        Raises
        ------
        ModelError
            If a value of a cross-correlation is not finite.
        """
        from tomoset.align.particles import _kernels

        w = problem.correlations
        shown = np.asarray(w.visible) & (np.asarray(w.energy) > 0)
        filed = isinstance(w.values, np.memmap)  # more than memory should hold
        coefficients = np.asarray(zeros(w.values.shape, 0) if filed else np.empty_like(w.values))
        finite = np.ones(len(shown), dtype=bool)
        if coefficients.size:
            _kernels.prefilter(np.asarray(w.values), shown, coefficients, finite)
        if not finite.all():
            raise ModelError(
                f"cross-correlations of particle {int(np.argmin(finite)) + 1} have values that are "
                "not finite"
            )
        energy = np.where(shown, w.energy, 0.0).T
        xx, xy, yy = np.moveaxis(np.where(shown[..., None], w.information, 0.0), -1, 0)
        information = np.stack([xx, xy, xy, yy], axis=-1).transpose(1, 0, 2)
        reach = (w.values.shape[-1] // 2 - _kernels.FADE_FROM) * w.step
        return cls(
            coefficients=coefficients,
            which=np.arange(len(shown)),
            visible=shown,
            step=float(w.step),
            range=min(reach, limit if limit is not None else np.inf),
            energy=energy,
            information=information.reshape(*energy.shape, 2, 2),
        )

    def of_particles(self, which: Index) -> CorrelationSplines:
        """Of some particles only."""
        return replace(
            self,
            which=self.which[which],
            energy=self.energy[:, which],
            information=self.information[:, which],
        )

    def values(self, offsets: Array) -> tuple[Array, Array]:
        """Values and slopes at offsets (n_tilts, n_particles, 2) [px], the slopes shaped alike."""
        from tomoset.align.particles import _kernels

        out = np.zeros((*offsets.shape[:2], 3))
        work = _kernels.evaluate if offsets.size > _FEW else _kernels.evaluate_few
        if out.size:
            work(self.coefficients, self.which, self.visible, offsets, self.step, out)
        return out[..., 0], out[..., 1:]

    def restraint(self, offsets: Array) -> tuple[Array, Array]:
        """Log-likelihood lost beyond the range, and its slope."""
        strength = _RESTRAINT / 2 * np.trace(self.information, axis1=2, axis2=3)
        beyond = np.sign(offsets) * np.maximum(np.abs(offsets) - self.range, 0.0)
        lost = strength * (beyond**2).sum(axis=-1) / 2
        return -lost, -strength[..., None] * beyond
