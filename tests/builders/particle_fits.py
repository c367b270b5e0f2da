"""Alignments and CTFs by particles that were never fitted: known numbers, any number of tilts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tomoset import geometry
from tomoset.align.particles import PARAMETERS, ParticleFit
from tomoset.model import Optics, ParticleSet, Tomogram
from tomoset.particles.align.one import Aligned
from tomoset.particles.ctf.defocus import with_changes
from tomoset.particles.ctf.fit import CtfFit, DefocusFit
from tomoset.particles.ctf.held_out import HeldOut
from tomoset.particles.ctf.report import Refined
from tomoset.particles.ctf.scale import IceModel

PIXEL, SIZE, IMAGE = 5.0, (200, 180, 60), (200, 180)


def series(n: int) -> Tomogram:
    """A tilt series, dose-symmetric, at 3 µm."""
    angles = np.linspace(-60, 60, n) if n > 1 else np.array([3.0])
    each = np.column_stack([np.zeros(n), angles, np.full(n, 84.0)])
    return Tomogram(
        name="TS_01",
        n_tilts=n,
        optics=Optics(pixel_size=PIXEL),
        size=SIZE,
        image_size=IMAGE,
        projections=geometry.rigid_projections(each, np.zeros((n, 2)), size=SIZE, image_size=IMAGE),
        pre_exposure=3.0 * np.argsort(np.argsort(np.abs(angles), kind="stable")),
        defocus_u=np.full(n, 30500.0),
        defocus_v=np.full(n, 29500.0),
        defocus_angle=np.full(n, 20.0),
    )


def particle_fit(n: int, motion: float = 0.0, particles: int = 12) -> Aligned:
    """An alignment of n tilts, whose particles move by so much each [Å], or only once."""
    rng, t = np.random.default_rng(n), series(n)
    positions = rng.uniform(20, 50, (particles, 3))
    every = (particles, n)
    fit = ParticleFit(
        projections=t.need_projections(),
        positions=positions + rng.normal(0, 0.5, (particles, 3)),
        trajectories=rng.normal(0, motion, (*every, 3)) if motion else np.zeros((*every, 3)),
        deformation=None,
        changes=rng.normal(0, 1, (n, len(PARAMETERS))),
        deviations=rng.uniform(0.1, 0.2, (n, len(PARAMETERS))),
        position_deviations=np.full((particles, 3), 0.1),
        spreads={},
        expected=rng.uniform(0.1, 0.2, n),
        deformation_deviations=np.full(n, np.nan),
        motion_deviations=rng.uniform(1, 2, (n, 3)) if motion else np.full((n, 3), np.nan),
        amplitude=np.ones(n),
        log_likelihood_ratio=np.ones(particles),
        weights=np.ones(particles),
        offsets=np.zeros((*every, 2)),
        residuals=np.ones(n),
        log_likelihood=2.0,
        log_likelihood_before=1.0,
        gains=(),
        gain_by_tilt=np.ones(n),
        gain_error_by_tilt=np.ones(n),
        kept=np.ones(n, np.bool_),
    )
    return Aligned(
        before=t,
        after=t,
        particles=ParticleSet(tomogram_names=["TS_01"] * particles, coordinates=positions),
        visible=np.ones(every, np.bool_),
        fit=fit,
        pixel_size=PIXEL,
    )


def refined(n: int) -> Refined:
    """A refinement in which the defocus of all images grows by 200 Å, known to 30 Å."""
    t, values = series(n), np.ones(n)
    found = replace(
        DefocusFit.not_asked(n),
        changes=np.tile([200.0, 0.0, 0.0], (n, 1)),
        errors=np.full((n, 3), 30.0),
        kept=np.zeros(n, np.bool_),
    )
    ice = IceModel(
        luminance=1.0,
        thickness=0.5,
        normal=np.array([0.0, 0.0, 1.0]),
        luminance_error=0.1,
        thickness_error=0.1,
        inclination_error=1.0,
        values=values,
        errors=values,
        chi2=1.0,
    )
    fit = CtfFit(
        **vars(found),
        amplitudes=0.9 * values,
        amplitude_errors=0.1 * values,
        ice=ice,
        scales=values,
        scale_errors=0.05 * values,
        scale_gain=HeldOut(0.0, 1.0),
        scale_kept=True,
    )
    after = with_changes(t, fit.changes)
    seen = np.full(n, 10)
    return Refined(before=t, after=after, fit=fit, seen=seen, particles=10, particles_given=10)
