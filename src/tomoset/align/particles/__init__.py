"""Alignment of tilt series by particles: cameras, places, motion and deformation. Numbers only.

`fit_particles` does it all. Below it, from the ground up: `problem` and `result`, `cameras` and
`motion` (what moves a particle in an image), `courses` (how particles may move), `freedom`
(what may change), `model` (all of it together), `surface` (the windows as functions), `likelihood`,
`algebra`, `motion_evidence` (how much they move), `newton` (steps), `held_out` (cross-validation),
`start`, `stages` (which model) and `certainty`.
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
