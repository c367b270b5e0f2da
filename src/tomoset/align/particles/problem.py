"""What an alignment by particles is given, and what may be asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tomoset.errors import ModelError
from tomoset.model import Deformation

if TYPE_CHECKING:
    from tomoset.align.cross_correlations import CrossCorrelations

Array = npt.NDArray[np.float64]

#: What `ParticleOptions.shift_only` may be.
SHIFT_ONLY = ("", "particles", "images")
#: What `ParticleOptions.magnification` may be.
MAGNIFICATIONS = ("", "common", "tilt")


@dataclass(frozen=True, kw_only=True)
class MotionOptions:
    """Motion of particles during the acquisition (docs/relion.md, 'relion_tomo_align').

    Parameters
    ----------
    sigma_velocity : float
        Standard deviation of the velocity along each axis [Å per e/Å²], of each of the
        three processes of `motion_priors`: learned, from nothing to twice that.
    sigma_divergence : float
        Distance over which velocities of particles come apart [Å].
    square_exponential : bool
        Covariance exp(-d²/s²) of the velocities of two particles, not exp(-d/s).
    max_modes : int
        Modes of space and time together; those of the largest variance are kept once the variance
        of each process is known.
    """

    sigma_velocity: float = 0.5
    sigma_divergence: float = 3000.0
    square_exponential: bool = False
    max_modes: int = 600

    def __post_init__(self) -> None:
        if not (self.sigma_velocity > 0 and self.sigma_divergence > 0 and self.max_modes > 0):
            raise ModelError("velocity, divergence and number of modes of a motion must be above 0")


@dataclass(frozen=True, kw_only=True)
class DeformationOptions:
    """A 2D deformation to be fitted.

    Parameters
    ----------
    kind, grid
        As in `Deformation`.
    regularisation : float
        RELION's ``--def_reg``: this times its quadratic form of the coefficients (docs/relion.md,
        'Deformation') is taken off the log-likelihood, on top of the learned prior.
    per_tilt : bool
        One of its own for each tilt image, not one for all.
    """

    kind: str = "spline"
    grid: tuple[int, int] = (3, 3)
    regularisation: float = 0.0
    per_tilt: bool = False


@dataclass(frozen=True, kw_only=True)
class ParticleOptions:
    """What may change.

    Parameters
    ----------
    constant_angles, constant_shifts, constant_particles : bool
        What is held.
    shift_only : {"", "particles", "images"}
        Nothing but the shifts of tilt images; "images": found by whole images before.
    range : float, optional
        Offsets beyond this are pulled back [px]; never more than the cross-correlations hold.
    motion : MotionOptions, optional
    deformation : DeformationOptions, optional
        None: the one that is there stays.
    magnification : {"", "common", "tilt"}
        None, one for all tilt images, or one for each.
    anisotropic : bool
        Magnifications have a stretch and a skew too.
    cross_validation : bool
        Tilt images and groups of parameters that do not predict particles better that were left
        out stay as they were.
    iterations : int
        At most, for each model.
    """

    constant_angles: bool = False
    constant_shifts: bool = False
    constant_particles: bool = False
    shift_only: str = ""
    range: float | None = None
    motion: MotionOptions | None = None
    deformation: DeformationOptions | None = None
    magnification: str = ""
    anisotropic: bool = False
    cross_validation: bool = True
    iterations: int = 20

    def __post_init__(self) -> None:
        if self.shift_only not in SHIFT_ONLY:
            raise ModelError(
                f"shift_only is one of {', '.join(map(repr, SHIFT_ONLY))}, not {self.shift_only!r}"
            )
        if self.magnification not in MAGNIFICATIONS:
            raise ModelError(
                f"a magnification is one of {', '.join(map(repr, MAGNIFICATIONS))}, "
                f"not {self.magnification!r}"
            )
        if self.range is not None and not self.range > 0:
            raise ModelError(f"the range must be above 0 px, not {self.range}")


@dataclass(frozen=True, kw_only=True, eq=False)
class ParticleProblem:
    """One tilt series, its particles, and how well they match when they are displaced.

    Parameters
    ----------
    correlations : CrossCorrelations
        Cross-correlations about where the particles are projected so far.
    projections : (n_tilts, 4, 4) array
        From 0-based voxels to 0-based pixels and depth.
    positions : (n_particles, 3) array
        0-based voxels.
    image_size : (int, int)
        Width and height of the tilt images [px].
    size : (int, int, int)
        x, y, z of the tomogram [voxels].
    pixel_size : float
        [Å]
    pre_exposure : (n_tilts,) array
        [e/Å²]
    deformation : Deformation, optional
        That `correlations.at` has in it.
    trajectories : (n_particles, n_tilts, 3) array, optional
        Displacements of particles by motion [Å]; that `correlations.at` has in it.

    Raises
    ------
    ModelError
        If shapes do not fit each other, or a value is not finite.
    """

    correlations: CrossCorrelations
    projections: Array
    positions: Array
    image_size: tuple[int, int]
    size: tuple[int, int, int]
    pixel_size: float
    pre_exposure: Array
    deformation: Deformation | None = None
    trajectories: Array | None = None

    def __post_init__(self) -> None:
        n_particles, n_tilts = self.correlations.values.shape[:2]
        shapes: dict[str, tuple[Any, tuple[int, ...]]] = {
            "projections": (self.projections, (n_tilts, 4, 4)),
            "positions": (self.positions, (n_particles, 3)),
            "pre_exposure": (self.pre_exposure, (n_tilts,)),
            "correlations.at": (self.correlations.at, (n_particles, n_tilts, 2)),
            "correlations.energy": (self.correlations.energy, (n_particles, n_tilts)),
            "correlations.information": (self.correlations.information, (n_particles, n_tilts, 3)),
        }
        if self.trajectories is not None:
            shapes["trajectories"] = self.trajectories, (n_particles, n_tilts, 3)
        for name, (values, shape) in shapes.items():
            if np.shape(values) != shape:
                raise ModelError(f"{name} must have shape {shape}, not {np.shape(values)}")
            shown = self.correlations.visible if name.startswith("correlations") else np.True_
            finite = np.isfinite(values)
            if name.startswith("correlations"):
                finite = finite.all(axis=tuple(range(2, finite.ndim))) | ~shown
            if not finite.all():
                raise ModelError(
                    f"{name} of an alignment by particles has values that are not finite"
                )
        n = self.correlations.values.shape[-1]
        if n % 2 == 0 or n < 9 or self.correlations.values.shape[-2] != n:
            raise ModelError(
                f"cross-correlations must be square and odd, 9 points at least, not {n}"
            )
        if self.deformation is not None and len(self.deformation.coefficients) != n_tilts:
            raise ModelError("the deformation is not one of this tilt series")
