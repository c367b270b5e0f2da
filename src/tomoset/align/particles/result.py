"""What an alignment by particles found."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tomoset.model import Deformation

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True, eq=False)
class Gain:
    """What a group of parameters gains in log-likelihood of particles that were left out.

    Parameters
    ----------
    name : str
        ``angles``, ``magnification``, ``deformation`` or ``motion``.
    gain, error : float
        Over the model without it, and the standard error; NaN without cross-validation.
    kept : bool
        False: nothing of it is in the result.
    small : bool
        It is not kept because it is hardly larger than what is uncertain of it.
    """

    name: str
    gain: float
    error: float
    kept: bool
    small: bool = False


@dataclass(frozen=True, kw_only=True, eq=False)
class ParticleFit:
    """An alignment by particles.

    Parameters
    ----------
    projections : (n_tilts, 4, 4) array
        From 0-based voxels to 0-based pixels and depth, the tomogram where it was.
    positions : (n_particles, 3) array
        0-based voxels.
    trajectories : (n_particles, n_tilts, 3) array
        [Å], to be added to positions, those of before included; new ones are 0 in the image of
        the lowest dose.
    deformation : Deformation or None
    changes, deviations : (n_tilts, 8) arrays
        `PARAMETERS` of each tilt image against what was given, and their standard deviations
        (NaN where nothing could change). Shifts are those of the tomogram's middle.
    position_deviations : (n_particles, 3) array
        [voxels]
    spreads : dict of str to float
        Standard deviations that groups of parameters turned out to have, in their units;
        ``positions`` in voxels; of motion and deformation against what was expected.
    expected : (n_tilts,) array
        Rms error to be expected of the projections at the particles [px].
    deformation_deviations : (n_tilts,) array
        Rms error to be expected of the deformation at the particles [px]; NaN where none is free.
    motion_deviations : (n_tilts, 3) array
        Rms error to be expected of trajectories along x, y, z [Å]; NaN without motion.
    amplitude : (n_tilts,) array
        Of what is seen over what is predicted.
    log_likelihood_ratio, weights : (n_particles,) arrays
        Log of the likelihood ratio of each particle against its not being there, and the
        probability that it is.
    offsets : (n_particles, n_tilts, 2) array
        Where particles are now, from the middles of their cross-correlations [px]; NaN where not
        visible.
    residuals : (n_tilts,) array
        Squared residual slopes of the cross-correlations over their variance, per coordinate: 1
        where the model holds. NaN where nothing is visible.
    log_likelihood, log_likelihood_before : float
        Of all particles.
    gains : tuple of Gain
        By group of parameters.
    gain_by_tilt, gain_error_by_tilt : (n_tilts,) arrays
        As in `Gain`, of the camera of each tilt image over that of before.
    kept : (n_tilts,) bool array
        Tilt images that changed; the others have their old cameras.
    """

    projections: Array
    positions: Array
    trajectories: Array
    deformation: Deformation | None
    changes: Array
    deviations: Array
    position_deviations: Array
    spreads: dict[str, float]
    expected: Array
    deformation_deviations: Array
    motion_deviations: Array
    amplitude: Array
    log_likelihood_ratio: Array
    weights: Array
    offsets: Array
    residuals: Array
    log_likelihood: float
    log_likelihood_before: float
    gains: tuple[Gain, ...]
    gain_by_tilt: Array
    gain_error_by_tilt: Array
    kept: Mask
