"""Changes of defocus and contrast of the images of a series, from what these say of them.

Numbers only: sums over particles go in (`CtfStatistics`), changes and how sure they are come out.
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
    unscaled,
)
from tomoset.particles.ctf.held_out import HeldOut, beyond_errors
from tomoset.particles.ctf.scale import IceModel, about_curve, fit_ice
from tomoset.particles.ctf.statistics import GROUPS, CtfStatistics

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

#: Rounds of amplitudes and changes.
_ROUNDS = 3
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

    def scanned(self, changes: Array) -> Mask:
        """Which changes of defocus are among those that are scanned, or a step beyond."""
        found = np.asarray(changes)
        inside: Mask = (found >= self.low - self.step) & (found <= self.high + self.step)
        return inside


@dataclass(frozen=True, kw_only=True, eq=False)
class DefocusFit:
    """How defocus is to change.

    Parameters
    ----------
    changes, errors : (n_tilts, 3) arrays
        dz, a1, a2 of the table's defocus, and standard deviations [Å]. The defocus along a
        direction t from image x changes by dz + a1 cos 2t + a2 sin 2t.
    gain : (n_tilts,) array
        By how much a change found with one half of the particles makes the other more likely
        (natural logarithm, both ways): what is written, or if all stays, what was tried.
    defocus_gain : HeldOut
        That of all images.
    kept : (n_tilts,) bool array
        Images whose defocus stays as it is.
    common, scatter : (3,) arrays
        The change of all images (0: none is believed), and how tables scatter about it [Å].
    astigmatism : bool
        Whether it changes.
    excess : float
        Errors are so many times those of white noise: as halves of the particles disagree.
    outside : int
        Images that would change by more than is scanned, and do not.
    """

    changes: Array
    errors: Array
    gain: Array
    defocus_gain: HeldOut
    kept: Mask
    common: Array
    scatter: Array
    astigmatism: bool
    excess: float
    outside: int

    @classmethod
    def not_asked(cls, n_tilts: int) -> DefocusFit:
        """No change, and nothing known of it."""
        return cls(
            changes=np.zeros((n_tilts, 3)),
            errors=np.full((n_tilts, 3), np.nan),
            gain=np.zeros(n_tilts),
            defocus_gain=HeldOut(0.0, 0.0),
            kept=np.ones(n_tilts, np.bool_),
            common=np.zeros(3),
            scatter=np.zeros(3),
            astigmatism=False,
            excess=1.0,
            outside=0,
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class CtfFit(DefocusFit):
    """What is to change.

    Parameters
    ----------
    amplitudes, amplitude_errors : (n_tilts,) arrays
        Contrast of the images, against that of the predictions.
    ice : IceModel
        What these are by the law of Beer and Lambert.
    scales, scale_errors : (n_tilts,) arrays
        By which predictions are to be multiplied; their mean, by weight, is 1.
    scale_gain : HeldOut
        As `defocus_gain`, of all scales together.
    scale_kept : bool
        Whether scales stay as they are.
    """

    amplitudes: Array
    amplitude_errors: Array
    ice: IceModel
    scales: Array
    scale_errors: Array
    scale_gain: HeldOut
    scale_kept: bool


def fit_ctf(
    statistics: CtfStatistics, beams: Array, scale: Array, options: CtfFitOptions
) -> CtfFit:
    """Fit changes of defocus and of scale.

    Parameters
    ----------
    statistics : CtfStatistics
        Of the whole series.
    beams : (n_tilts, 3) array
        Directions of the beam in the tomogram.
    scale : (n_tilts,) array
        Of the CTF, as the table has it and the statistics have it.
    options : CtfFitOptions
        What is searched.

    Raises
    ------
    ModelError
        If images say nothing of defocus, or show no particles at all.
    """
    fine = statistics.coarser_left_out(options.coarsest)
    if options.defocus and not len(fine.x):
        raise ModelError(
            f"no wave is shorter than {options.coarsest:g} Å (--kmin) and in the reference: "
            "nothing can be told of defocus"
        )
    found = DefocusFit.not_asked(statistics.n_tilts)
    if options.defocus:
        found = _fit_defocus(fine, beams, scale, options)
    return _with_scale(statistics, found, beams, scale, options)


def _fit_defocus(
    statistics: CtfStatistics, beams: Array, scale: Array, options: CtfFitOptions
) -> DefocusFit:
    """Changes of defocus that what is left out supports."""
    grid = scan_grid(statistics, options.low, options.high, options.step)
    n = statistics.n_tilts
    best = first_guess(statistics, grid)
    amplitude = np.ones(n)
    for _ in range(_ROUNDS):
        statistics = statistics.damped(fading_of(statistics, best))
        amplitude = smooth_amplitudes(statistics, best, beams, scale)
        whole = estimate(statistics, amplitude, grid, np.array([True, False, False]))
        best = whole.changes
    groups = [statistics.group(g) for g in range(GROUPS)]
    tried = []
    for free in (np.array([True, False, False]), np.ones(3, np.bool_)):
        halves = [estimate(one, amplitude, grid, free) for one in groups]
        tried.append((estimate(statistics, amplitude, grid, free), halves))
    gains = [gains_of(groups, amplitude, [h.changes for h in halves]) for _, halves in tried]
    astigmatism = HeldOut.of((gains[1] - gains[0]).sum(axis=0)).clear
    found = _believed(groups, amplitude, *tried[astigmatism], gains[astigmatism], options)
    return found if astigmatism else _with_open_astigmatism(found, tried[1][0])


def _believed(
    groups: list[CtfStatistics],
    amplitude: Array,
    estimate: Estimate,
    halves: list[Estimate],
    gains: Array,
    options: CtfFitOptions,
) -> DefocusFit:
    """Of the changes, those that what is left out supports; else the common one, or none."""
    n, excess = len(gains), excess_of(halves)
    # An image that shows no particle has nothing to say, and stays.
    seen = np.asarray(estimate.information.any(axis=(1, 2)))[:, None]
    free = bool(estimate.prior.scatter[1] > 0.01)
    variance = np.einsum("tii->ti", estimate.covariance) * excess**2
    mask = np.array([True, free, free])
    alike = [np.broadcast_to(half.prior.mean, (n, 3)) for half in halves]
    shared = gains_of(groups, amplitude, alike)
    mean, of_mean = estimate.prior.mean, np.diag(estimate.prior.mean_covariance) * excess**2
    all_alike = _supported(shared, mean[None], of_mean * mask)
    all_alike = all_alike and bool(options.scanned(mean[:1]).all())
    common = mean if all_alike else np.zeros(3)
    # What would be written, and what that gains.
    inside = options.scanned(estimate.changes[:, 0])
    better = (inside & (gains.sum(axis=1) > _WORSE))[:, None]
    changes = np.where(better & seen, estimate.changes, common * seen)
    written = np.where(better, gains, shared * all_alike)
    if not _supported(written, changes, variance * mask):
        changes, written = (common * seen, shared) if all_alike else (0 * changes, gains)
    return DefocusFit(
        changes=changes,
        # What is not believed may be true nevertheless.
        errors=np.sqrt(variance + (changes - estimate.changes) ** 2),
        gain=written.sum(axis=1),
        defocus_gain=HeldOut.of(written.sum(axis=0)),
        kept=np.asarray(~changes.any(axis=1)),
        common=common,
        scatter=estimate.prior.scatter * mask,
        astigmatism=free,
        excess=excess,
        outside=int((~inside & seen[:, 0]).sum()) * HeldOut.of(gains.sum(axis=0)).clear,
    )


def _supported(gains: Array, changes: Array, variance: Array) -> bool:
    """Whether changes gain something for sure, and are larger than their own errors."""
    gain = HeldOut.of(gains.sum(axis=0))
    deviations = np.broadcast_to(np.sqrt(variance), changes.shape)
    return gain.clear and beyond_errors(changes, deviations)


def _with_open_astigmatism(found: DefocusFit, estimate: Estimate) -> DefocusFit:
    """With the errors of an astigmatism that stays, as what is not believed may be true."""
    variance = np.einsum("tii->ti", estimate.covariance)[:, 1:] * found.excess**2
    errors = found.errors.copy()
    errors[:, 1:] = np.sqrt(variance + estimate.changes[:, 1:] ** 2)
    return replace(found, errors=errors)


def _with_scale(
    statistics: CtfStatistics, found: DefocusFit, beams: Array, scale: Array, options: CtfFitOptions
) -> CtfFit:
    """The whole answer: contrast by the defocus that was found."""
    _refuse_nothing(statistics, found.changes)
    total, errors, ice, curve = _contrast(statistics, found.changes, beams, scale, options)
    gain = _scale_gain(statistics, found.changes, beams, scale, options)
    level = _level(statistics, found.changes)
    change = options.scale and gain.clear
    return CtfFit(
        **vars(found),
        amplitudes=total / level,
        amplitude_errors=errors * found.excess / level,
        ice=ice.scaled(1 / level),
        scales=curve[0] / level if change else scale,
        scale_errors=curve[1] * found.excess / level,
        scale_gain=gain,
        scale_kept=not change,
    )


def _scale_gain(
    statistics: CtfStatistics, changes: Array, beams: Array, scale: Array, options: CtfFitOptions
) -> HeldOut:
    """What scales found with one group of particles gain for the other, both ways."""
    groups, gains = [statistics.group(g) for g in range(GROUPS)], []
    for one, other in ((0, 1), (1, 0)):
        scales = _contrast(groups[one], changes, beams, scale, options)[3][0]
        new, old = unscaled(scales, scale), _level(groups[one], changes)
        for batch in groups[other].batches():
            common, energy = sums(batch, changes)
            gains.append(float(((new - old) * common - (new**2 - old**2) * energy / 2).sum()))
    return HeldOut.of(np.array(gains))


def _level(statistics: CtfStatistics, changes: Array) -> float:
    """The amplitude of all images if it is one: the gauge of scales."""
    common, energy = sums(statistics, changes)
    return float(common.sum() / max(energy.sum(), 1e-30))


def _refuse_nothing(statistics: CtfStatistics, changes: Array) -> None:
    common, energy = sums(statistics, changes)
    sure = float(common.sum() / np.sqrt(max(energy.sum(), 1e-30)))
    if not sure > _SHOWN:
        raise ModelError(
            "the images do not show the particles: what they have in common with the reference is "
            f"{sure:.1f} times what noise has; are particles, angles and maps of this set, and is "
            "density high in the maps?"
        )


def _contrast(
    statistics: CtfStatistics, changes: Array, beams: Array, scale: Array, options: CtfFitOptions
) -> tuple[Array, Array, IceModel, tuple[Array, Array]]:
    """Contrast measured and its error, the law of Beer and Lambert, and scales and errors."""
    amplitude, error = measured(statistics, changes)
    seen = scale > 0
    total = amplitude * scale
    errors = scaled_errors(error, scale)
    ice = fit_ice(total, errors, beams)
    curve = ice.values, ice.errors
    if options.per_tilt_scale:
        curve = about_curve(total, errors, ice.values)
    return total, errors, ice, (np.where(seen, curve[0], 0.0), np.where(seen, curve[1], 0.0))
