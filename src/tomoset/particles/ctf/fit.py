"""Changes of defocus and contrast of the images of a series, from what these say of them.

Numbers only: sums over particles go in (`CtfEvidence`), changes and how sure they are come out.
Each image's change is its likelihood times what all images together expect (`ctf_prior`). Two
groups of particles test each other: what one says must make the other more likely, or it is not
believed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from tomoset.errors import ModelError
from tomoset.particles.ctf.estimate import (
    Estimate,
    estimate,
    excess_of,
    fading_of,
    first_guess,
    gains_of,
    measured,
    scaled_errors,
    scan_grid,
    smooth_amplitudes,
    sums,
)
from tomoset.particles.ctf.evidence import GROUPS, CtfEvidence
from tomoset.particles.ctf.scale import IceModel, about_curve, fit_ice

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

#: Rounds of amplitudes and changes.
_ROUNDS = 3
#: A change of the whole series must make what is left out so much more likely (log).
_SURE = 3.0
#: Particles are seen if all images together say so by so many standard deviations.
_SHOWN = 5.0
#: An image whose change makes what is left out so much less likely stays as it is. That of an
#: image which shows little goes up and down by 1: holding all that go down makes errors larger.
_WORSE = -2.0


@dataclass(frozen=True, kw_only=True)
class CtfFitOptions:
    """What is searched.

    Parameters
    ----------
    low, high, step : float
        Changes of defocus that are scanned [Å].
    coarsest : float
        Longer waves do not count for defocus [Å].
    defocus, scale : bool
        Whether these are fitted.
    per_tilt_scale : bool
        Scale of each image on its own, instead of by the law of Beer and Lambert.

    Raises
    ------
    ModelError
        If a value is impossible.
    """

    low: float = -3000.0
    high: float = 3000.0
    step: float = 100.0
    coarsest: float = 30.0
    defocus: bool = True
    scale: bool = True
    per_tilt_scale: bool = False

    def __post_init__(self) -> None:
        if not self.low <= 0 <= self.high or self.low == self.high:
            raise ModelError(
                f"changes of defocus from {self.low:g} (--d0) to {self.high:g} Å (--d1) do not "
                "include that there is none"
            )
        if not 0 < self.step <= self.high - self.low:
            raise ModelError(f"the step of the scan (--ds) cannot be {self.step:g} Å")
        if not self.coarsest > 0:
            raise ModelError(f"the coarsest wave (--kmin) must be above 0 Å, not {self.coarsest:g}")


@dataclass(frozen=True, kw_only=True, eq=False)
class CtfFit:
    """What is to change.

    Parameters
    ----------
    changes, errors : (n_tilts, 3) arrays
        dz, a1, a2 of the table's defocus, and standard deviations [Å]. The defocus along a
        direction t from image x changes by dz + a1 cos 2t + a2 sin 2t.
    gain : (n_tilts,) array
        By how much a change found with one half of the particles makes the other more likely
        (natural logarithm, both ways).
    kept : (n_tilts,) bool array
        Images whose defocus stays as it is.
    common, scatter : (3,) arrays
        The change of all images (0: none is believed), and how tables scatter about it [Å].
    astigmatism : bool
        Whether it changes.
    excess : float
        Errors are so many times those of white noise: as halves of the particles disagree.
    amplitudes, amplitude_errors : (n_tilts,) arrays
        Contrast of the images, against that of the predictions.
    ice : IceModel
        What these are by the law of Beer and Lambert.
    scales, scale_errors : (n_tilts,) arrays
        By which predictions are to be multiplied; their mean, by weight, is 1.
    scale_gain : float
        As `gain`, of all scales together.
    """

    changes: Array
    errors: Array
    gain: Array
    kept: Mask
    common: Array
    scatter: Array
    astigmatism: bool
    excess: float
    amplitudes: Array
    amplitude_errors: Array
    ice: IceModel
    scales: Array
    scale_errors: Array
    scale_gain: float


def fit_ctf(evidence: CtfEvidence, beams: Array, scale: Array, options: CtfFitOptions) -> CtfFit:
    """Fit changes of defocus and of scale.

    Parameters
    ----------
    evidence : CtfEvidence
        Of the whole series.
    beams : (n_tilts, 3) array
        Directions of the beam in the tomogram.
    scale : (n_tilts,) array
        Of the CTF, as the table has it and the evidence is of.
    options : CtfFitOptions
        What is searched.

    Raises
    ------
    ModelError
        If images say nothing of defocus, or show no particles at all.
    """
    fine = evidence.coarser_left_out(options.coarsest)
    if options.defocus and not len(fine.x):
        raise ModelError(
            f"no wave is shorter than {options.coarsest:g} Å (--kmin) and in the reference: "
            "nothing can be told of defocus"
        )
    changes = np.zeros((evidence.n_tilts, 3))
    found = None
    if options.defocus:
        found = _fit_defocus(fine, beams, scale, options)
        changes = found.changes
    return _with_scale(evidence, changes, beams, scale, found, options)


@dataclass(frozen=True, eq=False)
class _Defocus:
    changes: Array
    errors: Array
    gain: Array
    kept: Mask
    common: Array
    scatter: Array
    astigmatism: bool
    excess: float


def _fit_defocus(
    evidence: CtfEvidence, beams: Array, scale: Array, options: CtfFitOptions
) -> _Defocus:
    """Changes of defocus that what is left out supports."""
    grid = scan_grid(evidence, options.low, options.high, options.step)
    n = evidence.n_tilts
    best = first_guess(evidence, grid)
    amplitude = np.ones(n)
    for _ in range(_ROUNDS):
        evidence = evidence.damped(fading_of(evidence, best))
        amplitude = smooth_amplitudes(evidence, best, beams, scale)
        whole = estimate(evidence, amplitude, grid, np.array([True, False, False]))
        best = whole.changes
    groups = [evidence.group(g) for g in range(GROUPS)]
    tried = []
    for free in (np.array([True, False, False]), np.ones(3, np.bool_)):
        halves = [estimate(one, amplitude, grid, free) for one in groups]
        tried.append((estimate(evidence, amplitude, grid, free), halves))
    gains = [gains_of(groups, amplitude, [h.changes for h in halves]) for _, halves in tried]
    astigmatism = bool(gains[1].sum() > gains[0].sum() + _SURE)
    found = _believed(groups, amplitude, *tried[astigmatism], gains[astigmatism])
    return found if astigmatism else _with_open_astigmatism(found, tried[1][0])


def _believed(
    groups: list[CtfEvidence],
    amplitude: Array,
    estimate: Estimate,
    halves: list[Estimate],
    gain: Array,
) -> _Defocus:
    """Of the changes, those that what is left out supports; else the common one, or none."""
    n, excess = len(gain), excess_of(halves)
    alike = [np.broadcast_to(half.prior.mean, (n, 3)) for half in halves]
    all_alike = float(gains_of(groups, amplitude, alike).sum()) > _SURE
    common = estimate.prior.mean if all_alike else np.zeros(3)
    changes = np.where((gain > _WORSE)[:, None], estimate.changes, common)
    if not gain.sum() > _SURE and not all_alike:
        changes = np.zeros((n, 3))
    # An image that shows no particle has nothing to say, and stays.
    changes[~estimate.information.any(axis=(1, 2))] = 0.0
    variance = np.einsum("tii->ti", estimate.covariance) * excess**2
    free = estimate.prior.scatter[1] > 0.01
    return _Defocus(
        changes=changes,
        # What is not believed may be true nevertheless.
        errors=np.sqrt(variance + (changes - estimate.changes) ** 2),
        gain=gain,
        kept=np.asarray(~changes.any(axis=1)),
        common=common,
        scatter=estimate.prior.scatter * (1.0, free, free),
        astigmatism=bool(free),
        excess=excess,
    )


def _with_open_astigmatism(found: _Defocus, estimate: Estimate) -> _Defocus:
    """With the errors of an astigmatism that stays, as what is not believed may be true."""
    variance = np.einsum("tii->ti", estimate.covariance)[:, 1:] * found.excess**2
    errors = found.errors.copy()
    errors[:, 1:] = np.sqrt(variance + estimate.changes[:, 1:] ** 2)
    return replace(found, errors=errors)


def _with_scale(
    evidence: CtfEvidence,
    changes: Array,
    beams: Array,
    scale: Array,
    found: _Defocus | None,
    options: CtfFitOptions,
) -> CtfFit:
    """The whole answer: contrast by the defocus that was found."""
    n = evidence.n_tilts
    seen = scale > 0
    total, errors, ice, curve = _contrast(evidence, changes, beams, scale, options)
    groups = [evidence.group(g) for g in range(GROUPS)]
    gain = 0.0
    for one, other in ((0, 1), (1, 0)):
        new = _contrast(groups[one], changes, beams, scale, options)[3][0] / np.where(
            seen, scale, 1
        )
        old = _level(groups[one], changes)
        common, energy = sums(groups[other], changes)
        for sign, a in ((1, np.where(seen, new, 0.0)), (-1, np.full(n, old))):
            gain += sign * float((a * common - a * a * energy / 2).sum())
    level = _level(evidence, changes)
    _refuse_nothing(evidence, changes)
    change = options.scale and gain > _SURE
    nothing, excess = np.zeros((n, 3)), 1.0 if found is None else found.excess
    return CtfFit(
        changes=changes,
        errors=np.full((n, 3), np.nan) if found is None else found.errors,
        gain=np.zeros(n) if found is None else found.gain,
        kept=np.ones(n, np.bool_) if found is None else found.kept,
        common=nothing[0] if found is None else found.common,
        scatter=nothing[0] if found is None else found.scatter,
        astigmatism=False if found is None else found.astigmatism,
        excess=excess,
        amplitudes=total / level,
        amplitude_errors=errors * excess / level,
        ice=ice.scaled(1 / level),
        scales=curve[0] / level if change else scale,
        scale_errors=curve[1] * excess / level,
        scale_gain=gain,
    )


def _level(evidence: CtfEvidence, changes: Array) -> float:
    """The amplitude of all images if it is one: the gauge of scales."""
    common, energy = sums(evidence, changes)
    return float(common.sum() / max(energy.sum(), 1e-30))


def _refuse_nothing(evidence: CtfEvidence, changes: Array) -> None:
    common, energy = sums(evidence, changes)
    sure = float(common.sum() / np.sqrt(max(energy.sum(), 1e-30)))
    if not sure > _SHOWN:
        raise ModelError(
            "the images do not show the particles: what they have in common with the reference is "
            f"{sure:.1f} times what noise has; are particles, angles and maps of this set, and is "
            "density high in the maps?"
        )


def _contrast(
    evidence: CtfEvidence, changes: Array, beams: Array, scale: Array, options: CtfFitOptions
) -> tuple[Array, Array, IceModel, tuple[Array, Array]]:
    """Contrast measured and its error, the law of Beer and Lambert, and scales and errors."""
    amplitude, error = measured(evidence, changes)
    seen = scale > 0
    total = amplitude * scale
    errors = scaled_errors(error, scale)
    ice = fit_ice(total, errors, beams)
    curve = ice.values, ice.errors
    if options.per_tilt_scale:
        curve = about_curve(total, errors, ice.values)
    return total, errors, ice, (np.where(seen, curve[0], 0.0), np.where(seen, curve[1], 0.0))
