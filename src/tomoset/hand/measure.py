"""The hand of one tilt series, its inclination and its defocus."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from tomoset.hand.coarse import off_table, one_for_all, table_of
from tomoset.hand.likelihood import HANDS, SCATTER, HandLikelihood, Prior, Series, weigh
from tomoset.hand.options import HandOptions
from tomoset.hand.series import read_series
from tomoset.hand.tables import AMPLITUDES
from tomoset.images.ctf import Ctf
from tomoset.images.tilt_series import TiltSeries
from tomoset.model import Tomogram
from tomoset.run import one_thread

Array = npt.NDArray[np.float64]

#: Log-odds that vary more over series drawn from the tilts than they should are tempered; which
#: tilts there are makes for so much of the variance by itself.
_NATURAL = 1.5
#: Strips across the field, for the figure.
_STRIPS = 5
#: Images whose rings are this much likelier than none [natural logarithm] show them.
_RINGS = 4.0
#: The table is wrong of an image whose defocus is so many standard deviations, and Å, away.
_SURE, _AWAY = 4.0, 1500.0
#: Where the table's defocus shows less than this, another is tried, and kept if it shows so much
#: more [natural logarithms].
_ENOUGH, _BETTER = 10.0, 20.0
#: Scatter of defocus where no table says anything of single images [Å].
_UNKNOWN = (1000.0, 3000.0)


@dataclass(frozen=True, kw_only=True, eq=False)
class Measured:
    """What a tilt series says.

    Parameters
    ----------
    log_odds : float
        Natural logarithm of the odds of a hand of +1 against -1, tempered: as far as its spread
        bears it out.
    log_odds_raw : float
        Not tempered: as if all that images meet were in the model.
    spread : float
        Its standard deviation over series drawn from the tilts.
    by_tilt : (n_tilts,) array
        What each image says.
    rings : (n_tilts,) array
        Natural logarithm of how much likelier rings are than none.
    inclined : (2,) array
        Of the specimen against the tomogram's middle plane: about the tilt axis, and about the
        direction across [deg].
    off : float
        How far the table's defocus is off in common, if that is beyond what is usual; else 0 [Å].
    defocus, error : (n_tilts,) arrays
        Mean of U and V at the table's voxel, and its standard deviation [Å].
    table : (n_tilts,) array or None
        What the table says [Å].
    position, measured, uncertain, expected : (n_tilts, n_strips) arrays
        Of strips of each image parallel to the tilt axis: where they are across it, defocus over
        the image's, its standard deviation, and what a hand of +1 predicts [Å].
    """

    log_odds: float
    log_odds_raw: float
    spread: float
    by_tilt: Array
    rings: Array
    inclined: Array
    off: float
    defocus: Array
    error: Array
    table: Array | None
    position: Array
    measured: Array
    uncertain: Array
    expected: Array

    @property
    def shows_rings(self) -> npt.NDArray[np.bool_]:
        """Which images show rings by themselves: (n_tilts,)."""
        return self.rings > _RINGS

    @property
    def disagrees(self) -> npt.NDArray[np.bool_]:
        """Images that show rings of another defocus than the table's: (n_tilts,)."""
        if self.table is None:
            return np.zeros(len(self.rings), np.bool_)
        away = np.abs(self.defocus - self.table)
        return self.shows_rings & (away > np.maximum(_SURE * self.error, _AWAY))


def measure(
    tomogram: Tomogram, images: TiltSeries, options: HandOptions, threads: int = 1
) -> Measured:
    """Find the hand of a tilt series.

    Parameters
    ----------
    tomogram : Tomogram
        Aligned, with its size, pixel size and microscope; with defocus if it is known.
    images : TiltSeries
        Its images.
    options : HandOptions
        What is wanted.
    threads : int
        That are used.

    Raises
    ------
    ModelError
        If something is not known, or the images cannot tell: one tilt, no rings and no defocus,
        too coarse or too few pixels.
    FileFormatError
        If an image is damaged.
    """
    # Formats have the table's defocus at voxels of their own: what is found must not depend on it.
    middle = tomogram.with_depth_origin(np.array(tomogram.need_size()) / 2)
    measured = _measure(middle, images, options, threads)
    if tomogram.defocus_u is None or middle.defocus_u is None:
        return measured
    back, table = tomogram.defocus_u - middle.defocus_u, measured.table
    return replace(
        measured,
        defocus=measured.defocus + back,
        table=None if table is None else table + back,
    )


def _measure(
    tomogram: Tomogram, images: TiltSeries, options: HandOptions, threads: int
) -> Measured:
    import scipy.fft

    tomogram.need_pixel_size()
    with one_thread(), scipy.fft.set_workers(threads):
        table = table_of(tomogram) if options.defocus is None else None
        if table is None:
            focus = one_for_all(tomogram, images, options.defocus)
            return _measured(_Fit.of(tomogram, images, focus, options, _UNKNOWN), None)
        fit = _Fit.of(tomogram, images, table, options)
        if fit.likelihood.logarithm.max() < _ENOUGH:
            off = off_table(tomogram, images)
            corrected = table_of(tomogram, off)
            if off and corrected is not None:
                other = _Fit.of(tomogram, images, corrected, options)
                gain = other.likelihood.logarithm.max() - fit.likelihood.logarithm.max()
                if gain > _BETTER:
                    return _measured(other, off)
        return _measured(fit, 0.0)


@dataclass(frozen=True, eq=False)
class _Fit:
    """The fit to a series, corrected at some defoci."""

    focus: list[Ctf]
    series: Series
    likelihood: HandLikelihood

    @classmethod
    def of(
        cls,
        tomogram: Tomogram,
        images: TiltSeries,
        focus: list[Ctf],
        options: HandOptions,
        scatter: tuple[float, ...] = SCATTER,
    ) -> _Fit:
        series = read_series(tomogram, images, focus)
        prior = Prior.of_table(series.offsets, scatter)
        return cls(focus, series, weigh(series, prior, inclined=options.inclined))


def tempered(log_odds: float, spread: float) -> float:
    """Log-odds as far as their spread bears them out.

    A logarithm L of odds of independent images has a variance of 2 |L|. One that varies more has
    met something that the model does not know, and is worth less.

    Examples
    --------
    >>> tempered(10.0, 4.0), round(tempered(10.0, 10.0), 6)
    (10.0, 3.0)
    """
    if not log_odds:
        return 0.0
    return log_odds * min(1.0, 2 * _NATURAL * abs(log_odds) / max(spread, 1e-9) ** 2)


def _measured(fit: _Fit, off: float | None) -> Measured:
    """All that follows; `off` is None if there is no table."""
    series, likelihood = fit.series, fit.likelihood
    base = np.array([(c.defocus_u + c.defocus_v) / 2 for c in fit.focus])
    best = int(np.argmax(likelihood.logarithm))
    inclined = likelihood.inclined[best]
    depths = series.depths(inclined[None])[:, 0]
    k = AMPLITUDES.index(likelihood.amplitude[best])
    shift, error = _defoci(series, HANDS[best] * depths, k)
    strips = _Strips(series, depths, shift, best, k)
    return Measured(
        log_odds=tempered(likelihood.log_odds, likelihood.spread),
        log_odds_raw=likelihood.log_odds,
        spread=likelihood.spread,
        by_tilt=likelihood.by_tilt[:, 0] - likelihood.by_tilt[:, 1],
        rings=likelihood.by_tilt[:, best],
        inclined=inclined,
        off=off or 0.0,
        defocus=base + shift,
        error=error,
        table=None if off is None else base - off,
        **strips.all(),
    )


def _defoci(series: Series, shifts: Array, k: int) -> tuple[Array, Array]:
    """Offset of each image's defocus, and its standard deviation [Å]."""
    scores = [series.sums(i, s[None])[0, k] for i, s in enumerate(shifts)]
    return _moments(np.stack(scores), series.offsets.values, series.offsets.step)


def _moments(scores: Array, offsets: Array, step: float) -> tuple[Array, Array]:
    """Means and standard deviations of what is as likely as log-likelihoods say.

    Where the peak is as narrow as the grid, those of a parabola through its top.
    """
    likely = np.exp(scores - scores.max(axis=1, keepdims=True))
    likely /= likely.sum(axis=1, keepdims=True)
    mean = likely @ offsets
    deviation = np.sqrt((likely * (offsets - mean[:, None]) ** 2).sum(axis=1))
    top = np.clip(scores.argmax(axis=1), 1, len(offsets) - 2)
    low, peak, high = (scores[np.arange(len(scores)), top + i] for i in (-1, 0, 1))
    curvature = np.maximum(2 * peak - low - high, 1e-12)
    narrow = deviation < step
    vertex = offsets[top] + step * np.clip((high - low) / (2 * curvature), -1, 1)
    return (
        np.where(narrow, vertex, mean),
        np.where(narrow, step / np.sqrt(curvature), deviation),
    )


class _Strips:
    """Defocus across the field of each image."""

    def __init__(self, series: Series, depths: Array, shift: Array, best: int, k: int) -> None:
        self._series, self._depths, self._shift = series, depths, shift
        self._hand, self._amplitude = HANDS[best], k

    def all(self) -> dict[str, Array]:
        """``position``, ``measured``, ``uncertain`` and ``expected``: (n_tilts, n_strips) [Å]."""
        found = [self._of(i) for i in range(len(self._depths))]
        names = ("position", "measured", "uncertain", "expected")
        return {n: np.stack([f[k] for f in found]) for k, n in enumerate(names)}

    def _of(self, image: int) -> tuple[Array, Array, Array, Array]:
        tomogram, table = self._series.tomogram, self._series.tables[image]
        direction = tomogram.need_projections()[image, :2, :3] @ self._series.slab.axis
        direction = np.array([direction[1], -direction[0]]) / np.linalg.norm(direction)
        middles = self._series.middles
        across = (middles - middles.mean(axis=0)) @ direction * tomogram.need_pixel_size()
        depth = self._depths[image] - self._depths[image].mean()
        offsets = self._series.offsets
        level = self._shift[image] + self._hand * self._depths[image].mean()
        edges = np.linspace(across.min(), across.max() + 1e-9, _STRIPS + 1)
        out = np.full((4, _STRIPS), np.nan)
        for k in range(_STRIPS):
            tiles = np.flatnonzero((across >= edges[k]) & (across < edges[k + 1]))
            if not len(tiles):
                continue
            part = table.take(tiles)
            entries = np.full((1, len(tiles)), offsets.margin, np.float32)
            scores = part.sums(entries, 2 * offsets.reach + 1)[:, self._amplitude]
            mean, error = _moments(scores, offsets.values, offsets.step)
            out[:, k] = across[tiles].mean(), mean[0] - level, error[0], depth[tiles].mean()
        return out[0], out[1], out[2], out[3]
