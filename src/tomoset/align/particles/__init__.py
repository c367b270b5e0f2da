"""Alignment of tilt series by particles: cameras, positions, motion and deformation. Numbers only.

`fit_particles` does it all. Below it, from the ground up: `problem` and `result`, `cameras` and
`motion` (displacements by modes), `motion_priors` (which modes there are), `free_parameters` (what
may change), `model` (all of it together), `splines` (cross-correlations as smooth functions),
`likelihood`, `algebra`, `motion_variances` (how large motions are), `newton` (the optimiser),
`held_out` (cross-validation), `start`, `stages` (model selection) and `certainty`.
"""

from tomoset.align.particles._fit import fit_particles
from tomoset.align.particles.cameras import PARAMETERS, changes_between
from tomoset.align.particles.problem import (
    DeformationOptions,
    MotionOptions,
    ParticleOptions,
    ParticleProblem,
)
from tomoset.align.particles.result import Gain, ParticleFit

__all__ = [
    "PARAMETERS",
    "DeformationOptions",
    "Gain",
    "MotionOptions",
    "ParticleFit",
    "ParticleOptions",
    "ParticleProblem",
    "changes_between",
    "fit_particles",
]
