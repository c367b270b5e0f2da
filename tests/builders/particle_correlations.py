"""Cross-correlations of particles whose true alignment is known, made without any image."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from tomoset import geometry
from tomoset.align.cross_correlations import CrossCorrelations
from tomoset.align.particles import ParticleOptions, ParticleProblem, fit_particles
from tomoset.model import Deformation

SIZE, IMAGE, PIXEL = (1024, 960, 300), (1024, 960), 5.4


@dataclass
class Case:
    """What is wrong with the alignment that a fit is given."""

    seed: int = 0
    particles: int = 60
    tilts: int = 21
    half: int = 10
    energy: float = 400.0
    amplitude: float = 1.0
    shift: float = 1.5
    angle: tuple[float, float, float] = (0.0, 0.1, 0.1)
    position_error: float = 0.3
    far: float = 0.0
    far_by: float = 9.0
    velocity: float = 0.0  # of Brownian motion [Å per e/Å²]
    linear: float = 0.0  # deviation of a constant velocity [Å per e/Å²]
    picked: bool = False  # positions are averages over all images
    deformation: Deformation | None = None
    magnification: float = 0.0
    noise: float = 1.0
    old_deformation: Deformation | None = None


@dataclass
class Truth:
    projections: np.ndarray
    positions: np.ndarray
    motion: np.ndarray
    wrong: np.ndarray
    angles: np.ndarray
    shifts: np.ndarray


def spectrum(n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A prediction: a ring about 1/8 per pixel, of energy 1."""
    k = np.hypot(np.fft.fftfreq(n)[:, None], np.fft.fftfreq(n))
    F = np.exp(-(((k - 1 / 8) / 0.05) ** 2) / 2) * (k > 0)
    F = F / np.sqrt((F**2).sum()) * n
    return F, np.fft.fftfreq(n)[:, None], np.fft.fftfreq(n)[None]


def projections(tilts: int) -> np.ndarray:
    angles = np.zeros((tilts, 3))
    angles[:, 1], angles[:, 2] = np.linspace(-60, 60, tilts), 4.0
    return geometry.rigid_projections(angles, np.zeros((tilts, 2)), size=SIZE, image_size=IMAGE)


def changed(
    P: np.ndarray, angles: np.ndarray, shifts: np.ndarray, factor: np.ndarray
) -> np.ndarray:
    """T(shift) T(c) Rz Ry Rx M T(-c) P, written out."""
    new = np.empty_like(P)
    for t, old in enumerate(P):
        c = old @ np.append((np.array(SIZE) - 1) / 2, 1.0)
        there, back = geometry.translation(c[:3]), geometry.translation(-c[:3])
        x, y, z = angles[t]
        turn = geometry.rotation_z(z) @ geometry.rotation_y(y) @ geometry.rotation_x(x)
        M = np.diag([1 + factor[t], 1 + factor[t], 1.0, 1.0])
        new[t] = geometry.translation([*shifts[t], 0.0]) @ there @ turn @ M @ back @ old
    return new


def dose_order(tilts: int) -> np.ndarray:
    """Dose before each image, from the middle outwards, 3 e/Å² each."""
    order = np.argsort(np.abs(np.arange(tilts) - tilts // 2), kind="stable")
    dose = np.empty(tilts)
    dose[order] = 3.0 * np.arange(tilts)
    return dose


def brownian(rng, positions: np.ndarray, dose: np.ndarray, velocity: float) -> np.ndarray:
    """Motion of particles [voxels]: (tilts, particles, 3)."""
    apart = np.linalg.norm(positions[:, None] - positions, axis=2) * PIXEL
    root = np.linalg.cholesky(np.exp(-apart / 3000.0) + 1e-9 * np.eye(len(positions)))
    order = np.argsort(dose)
    moved = np.zeros((len(dose), len(positions), 3))
    now = np.zeros((len(positions), 3))
    for before, t in pairwise(order):
        step = (dose[t] - dose[before]) * velocity / PIXEL
        now = now + step * root @ rng.standard_normal((len(positions), 3))
        moved[t] = now
    return moved


def correlations(
    rng, case: Case, true: np.ndarray, at: np.ndarray, visible: np.ndarray
) -> CrossCorrelations:
    """Correlations with white noise of what is truly at `true`; all (particles, tilts, ...)."""
    n, count = 2 * case.half + 1, max(64, 2 * case.half + 1)
    F, ky, kx = spectrum(count)
    share = rng.uniform(0.5, 1.5, (1, case.tilts)) * np.ones((case.particles, 1))
    energy = case.energy * share / share.sum(axis=1, keepdims=True) * visible
    off = true - at
    values = np.empty((case.particles, case.tilts, n, n), np.float32)
    for p in range(case.particles):
        root = np.sqrt(energy[p])[:, None, None]
        turn = kx * off[p, :, 0, None, None] + ky * off[p, :, 1, None, None]
        seen = case.amplitude * root * F / count * np.exp(-2j * np.pi * turn)
        white = rng.standard_normal((case.tilts, count, count))
        field = (
            np.fft.ifft2((np.fft.fft2(white) * case.noise / count + seen) * root * F).real * count
        )
        rolled = np.roll(field, (case.half, case.half), axis=(1, 2))
        values[p] = rolled[:, :n, :n]
    power = F**2 / count**2 * (2 * np.pi) ** 2
    each = np.array([(power * kx**2).sum(), (power * kx * ky).sum(), (power * ky**2).sum()])
    values[~visible] = 0
    return CrossCorrelations(
        values=values,
        step=1.0,
        at=at,
        energy=energy,
        information=energy[..., None] * each,
        visible=visible,
    )


def series(case: Case) -> tuple[ParticleProblem, Truth]:
    rng = np.random.default_rng(case.seed)
    P = projections(case.tilts)
    angles = rng.standard_normal((case.tilts, 3)) * case.angle
    shifts = case.shift * rng.standard_normal((case.tilts, 2))
    factor = case.magnification * rng.standard_normal(case.tilts)
    true = changed(P, angles, shifts, factor)
    positions = rng.uniform(0.1, 0.9, (case.particles, 3)) * SIZE
    off = case.position_error * rng.standard_normal(positions.shape)
    wrong = rng.uniform(size=case.particles) < case.far
    direction = rng.standard_normal(positions.shape)
    direction /= np.linalg.norm(direction, axis=1)[:, None]
    off[wrong] += case.far_by * direction[wrong]
    dose = dose_order(case.tilts)
    motion = np.zeros((case.tilts, case.particles, 3))
    if case.velocity:
        motion = brownian(rng, positions, dose, case.velocity)
    if case.linear:
        apart = np.linalg.norm(positions[:, None] - positions, axis=2) * PIXEL
        root = np.linalg.cholesky(np.exp(-apart / 3000.0) + 1e-9 * np.eye(len(positions)))
        velocity = case.linear / PIXEL * root @ rng.standard_normal(positions.shape)
        motion = motion + (dose - dose.min())[:, None, None] * velocity
    seen = np.stack([geometry.apply(true[t], positions + motion[t]) for t in range(case.tilts)])[
        ..., :2
    ]
    if case.deformation is not None:
        seen = seen + case.deformation.displacement(seen, image_size=IMAGE)
    if case.picked:
        aims = seen - P[:, None, :2, 3]
        rows = P[:, :2, :3].reshape(-1, 3)
        aims = aims.transpose(0, 2, 1).reshape(len(rows), -1)
        off += positions - np.linalg.lstsq(rows, aims, rcond=None)[0].T
    at = geometry.apply(P, positions - off)[..., :2]
    if case.old_deformation is not None:
        at = at + case.old_deformation.displacement(at, image_size=IMAGE)
    edge = 12.0
    visible = ((at > edge) & (at < np.array(IMAGE) - edge)).all(axis=-1)
    seen, at, visible = np.swapaxes(seen, 0, 1), np.swapaxes(at, 0, 1), visible.T
    problem = ParticleProblem(
        correlations=correlations(rng, case, seen, at, visible),
        projections=P,
        positions=positions - off,
        image_size=IMAGE,
        size=SIZE,
        pixel_size=PIXEL,
        pre_exposure=dose,
        deformation=case.old_deformation,
    )
    return problem, Truth(true, positions, motion, wrong, angles, shifts)


def residual(
    projections: np.ndarray, true: np.ndarray, points: np.ndarray, affine: bool = False
) -> float:
    """Rms distance of the images of points [px], after the best common map of space."""
    from tomoset.align.gauge import motions

    middle = points.mean(axis=0)
    off = (geometry.apply(projections, points) - geometry.apply(true, points))[..., :2]
    by = motions(points - middle, true[:, :2, :3], slice(12 if affine else 6))
    flat = by.reshape(-1, by.shape[-1])
    left = off.ravel() - flat @ np.linalg.lstsq(flat, off.ravel(), rcond=None)[0]
    return float(np.sqrt((left**2).sum() / (len(left) / 2)))


def residual_of(case: Case, options: ParticleOptions | None = None) -> float:
    problem, truth = series(case)
    fit = fit_particles(problem, options)
    return residual(fit.projections, truth.projections, truth.positions)
