"""What is said of a body's alignment: in the tomogram's own frame and pixels, with doubts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tomoset import geometry
from tomoset.align.gauge import Gauge, find
from tomoset.align.images.body_compare import SECTIONS, Slopes
from tomoset.align.images.body_fit import Fitted, free_of, motions_of
from tomoset.align.images.body_views import Working, frames
from tomoset.align.images.outcome import Judged, mean_direction, with_unused
from tomoset.align.images.prepare import Prepared
from tomoset.align.images.result import ImageFit
from tomoset.align.parameters import ROTATION, decompose, rotated_by
from tomoset.model import Tomogram

Array = npt.NDArray[np.float64]

#: What all sections have wrong alike, as no body is a disc of random density: errors of twins are
#: so many times what sections say, of shifts and of the axis.
_ALIKE, _ALIKE_AXIS = 2.0, 8.0
#: A place is confirmed if the support of any other place is below this part of its own.
_RIVAL = 0.95
#: A diameter is not known better than this: bodies are not round [fraction].
_ROUND = 0.02

#: Median of chi² with as many degrees of freedom as sections leave, over its mean.
_MEDIAN = (1 - 2 / (9 * (SECTIONS - 1))) ** 3
#: Places about the middle of a section, which tell how it is turned [radii].
_AROUND = np.array([[1.0, 0, 0], [-1.0, 0, 0], [0, 0, 1.0], [0, 0, -1.0]])


@dataclass(frozen=True, kw_only=True, eq=False)
class Known:
    """How well a body's alignment is known, but for common motions of the body.

    Parameters
    ----------
    shifts : (n, 2, 2) array
        Covariances, across and along the axis [working px²].
    axis : float
        Standard deviation of its direction [rad].
    """

    shifts: Array
    axis: float

    @classmethod
    def of(cls, slopes: Slopes, directions: Array, radius: float) -> Known:
        """By the likelihood, and by how far sections of the body contradict each other."""
        n = len(directions)
        information, _ = free_of(slopes, directions, radius)
        covariance = np.linalg.inv(information)
        moved = motions_of(directions)
        covariance -= moved @ (moved.T @ covariance)
        covariance -= (covariance @ moved) @ moved.T
        gradient = np.concatenate(
            [slopes.gradient[..., :2].reshape(-1, 2 * n), slopes.gradient[..., 2:].sum(axis=1)],
            axis=1,
        )
        wanted = (gradient - gradient.mean(axis=0)) @ covariance
        wanted = (wanted**2).sum(axis=0) * SECTIONS / (SECTIONS - 1)
        said = covariance.diagonal()
        inflation = np.median(wanted[:-1] / np.maximum(said[:-1], 1e-30)) / _MEDIAN
        # One number says little, but the axis moves all shifts: what sections want of it counts.
        axis, by_axis = float(said[-1]), covariance[:, -1] / said[-1]
        covariance -= axis * np.outer(by_axis, by_axis)
        covariance *= max(float(inflation), 1.0)
        axis = max(axis * max(float(inflation), 1.0), float(wanted[-1]))
        covariance *= _ALIKE**2
        covariance += axis * np.outer(by_axis, by_axis)
        pairs = np.arange(2 * n).reshape(n, 2)
        shifts = covariance[pairs[:, :, None], pairs[:, None, :]]
        return cls(shifts=np.asarray(shifts), axis=_ALIKE_AXIS * float(np.sqrt(axis)))

    @property
    def expected(self) -> float:
        """How well projections are known: rms [working px]."""
        return float(np.sqrt(np.einsum("nii->n", self.shifts).mean()))


@dataclass(frozen=True, kw_only=True, eq=False)
class Shape:
    """A body, by its density's first and second moments across the axis.

    Parameters
    ----------
    middles : (rows, 3) array
        Of sections that all images show, from the centre [working px].
    mass : (rows,) array
    diameter : float
        Of a uniform disc as wide as sections are, mean [working px].
    """

    middles: Array
    mass: Array
    diameter: float

    @classmethod
    def of(cls, working: Working, projections: Array, radius: float) -> Shape:
        seen, weights = working.seen(projections)
        _, directions = frames(projections)
        rows = np.flatnonzero((weights.max(axis=2) >= 1).all(axis=0))
        across: Array = np.arange(seen.shape[2]) - (seen.shape[2] - 1) / 2
        inside = np.abs(across) <= radius
        lines = seen[:, rows][..., inside].astype(np.float64)
        each = lines.sum(axis=2)
        # Sections of less mass than this say nothing of their middle.
        mass = each.mean(axis=0)
        sign = np.sign(mass.sum()) or 1.0
        least = 0.05 * np.max(mass * sign)
        heavy = mass * sign > least
        rows, lines, each, mass = rows[heavy], lines[:, heavy], each[:, heavy], mass[heavy]
        first = (lines @ across[inside]) / mass
        at = np.linalg.lstsq(directions, first, rcond=None)[0]
        second = (lines @ across[inside] ** 2) / mass - first**2
        squares = float((second.mean(axis=0) * np.abs(mass)).sum() / np.abs(mass).sum())
        along = rows - (seen.shape[1] - 1) / 2
        return cls(
            middles=np.stack([at[0], along, at[1]], axis=1),
            mass=np.abs(mass),
            diameter=4 * float(np.sqrt(max(squares, 0.0))),
        )

    def plane(self, working: Working) -> tuple[Array, float]:
        """z = plane[0] + plane[2] y through the middles, and the deviation of plane[2]."""
        y, z = self.middles[:, 1], self.middles[:, 2]
        weight = np.sqrt(self.mass)
        rows = np.stack([np.ones_like(y), y], axis=1)
        found = np.linalg.lstsq(rows * weight[:, None], z * weight, rcond=None)[0]
        off = z - rows @ found
        spread = float(np.sqrt((off**2 @ self.mass) / self.mass.sum() / SECTIONS))
        slope = float(found[1])
        height = working.centre[2] + found[0] - slope * working.centre[1]
        lever = float(np.sqrt((y - y.mean()) ** 2 @ self.mass / self.mass.sum()))
        return np.array([height, 0.0, slope]), spread / max(lever, 1.0)


@dataclass(frozen=True, kw_only=True, eq=False)
class BodyOutcome:
    """A body's alignment in working pixels, and what is known of it.

    Parameters
    ----------
    tomogram : Tomogram
        With the projections that were given.
    prepared : Prepared
    fitted : Fitted
    """

    tomogram: Tomogram
    prepared: Prepared
    fitted: Fitted

    def fit(self) -> ImageFit:
        """All of it in the tomogram's own frame and pixels.

        Raises
        ------
        AlignmentError
            If too many images are not confirmed.
        """
        used, binning, fitted = self.prepared.used, self.prepared.binning, self.fitted
        before = self.tomogram.need_projections()
        linear, directions = frames(fitted.projections)
        known = Known.of(fitted.slopes, directions, fitted.radius)
        other = fitted.elsewhere()
        support, rival = other.support, other.rival
        deviation = np.sqrt(np.maximum(np.einsum("nii->ni", known.shifts), 0)).max(axis=1)
        judged = Judged(used=used, support=support, rival=rival, deviation=deviation, most=_RIVAL)
        doubtful = judged.doubts(self.tomogram.name)
        shape = Shape.of(fitted.working, fitted.projections, fitted.radius)
        good = np.array([i not in doubtful for i in used])
        gauge, new = self._placed(self._windows(shape), good)
        windows = geometry.apply(gauge.motion, self._windows(shape))
        plane, slope_error = shape.plane(fitted.working)
        plane = _moved(plane * [binning, 1, 1], gauge.motion, windows)
        moved = (geometry.apply(new, windows) - geometry.apply(before[used], windows))[..., :2]
        pixel = self.tomogram.need_pixel_size() * binning
        share = float(np.clip(np.median(fitted.compared.coefficients), 0.0, 0.999))
        return ImageFit(
            projections=with_unused(before, new, used, self._middle),
            deviations=self._deviations(known, linear),
            unused=self.prepared.unused,
            doubtful=doubtful,
            support=self._by_image(support),
            rival=self._by_image(rival),
            predicted=self._by_image(fitted.compared.coefficients),
            residuals=self._by_image(residuals(fitted.slopes, linear)) * binning,
            windows=windows,
            expected=known.expected * binning,
            thickness=shape.diameter * pixel,
            thickness_error=shape.diameter * pixel * _ROUND,
            inclination=(float("nan"), float(np.rad2deg(np.arctan(plane[2])))),
            inclination_error=(float("nan"), float(np.rad2deg(slope_error))),
            plane=plane,
            axis=mean_direction(self._rotation(new)),
            axis_error=float(np.rad2deg(known.axis)),
            axis_before=mean_direction(self._rotation(before)),
            working_pixel=pixel,
            signal=share / (1 - share),
            moved=float(np.median(np.linalg.norm(moved, axis=2))),
        )

    @property
    def _middle(self) -> Array:
        return (np.array(self.tomogram.need_size(), np.float64) - 1) / 2

    def _rotation(self, projections: Array) -> Array:
        return np.asarray(np.rad2deg(decompose(projections, self._middle)[:, ROTATION]))

    def _windows(self, shape: Shape) -> Array:
        """Middles of the sections that are compared: (SECTIONS, 3) [voxels of the fit]."""
        parts = np.array_split(self.fitted.compared.lines.places[0], SECTIONS)
        along = np.array([part.mean() for part in parts])
        x, z = (np.interp(along, shape.middles[:, 1], shape.middles[:, k]) for k in (0, 2))
        middles = self.fitted.working.centre + np.stack([x, along, z], axis=1)
        return np.asarray(middles * self.prepared.binning)

    def _placed(self, windows: Array, good: npt.NDArray[np.bool_]) -> tuple[Gauge, Array]:
        """Where the tomogram was: the motion there, and projections of the used images."""
        used, binning = self.prepared.used, self.prepared.binning
        before = self.tomogram.need_projections()[used]
        scale = np.diag([binning] * 3 + [1.0])
        found = np.asarray(scale @ self.fitted.projections @ np.linalg.inv(scale))
        around = [windows + away for away in self.fitted.radius * binning * _AROUND]
        gauge = find(before[good], found[good], np.concatenate(around), scaled=False)
        return gauge, rotated_by(gauge.transformed(found), before, self._middle)

    def _deviations(self, known: Known, linear: Array) -> dict[str, Array]:
        in_images = np.einsum("nij,njk,nlk->nil", linear, known.shifts, linear)
        shifts = np.sqrt(np.maximum(np.einsum("nii->ni", in_images), 0)) * self.prepared.binning
        axis = np.full(len(shifts), np.rad2deg(known.axis))
        names = ("shift_x", "shift_y", "rotation")
        return {k: self._by_image(v) for k, v in zip(names, (*shifts.T, axis), strict=True)}

    def _by_image(self, values: Array) -> Array:
        """Values of the used images: NaN for the others."""
        every = np.full((self.tomogram.n_tilts, *values.shape[1:]), np.nan)
        every[self.prepared.used] = values
        return every


def _moved(plane: Array, motion: Array, windows: Array) -> Array:
    """A plane z = a + c y after a motion, where the windows lie."""
    here = geometry.apply(np.asarray(np.linalg.inv(motion), np.float64), windows)
    here[:, 2] = plane[0] + plane[2] * here[:, 1]
    there = geometry.apply(motion, here)
    rows = np.stack([np.ones(len(there)), there[:, 1]], axis=1)
    height, slope = np.linalg.lstsq(rows, there[:, 2], rcond=None)[0]
    return np.array([height, 0.0, slope])


def residuals(slopes: Slopes, linear: Array) -> Array:
    """How far each section of each image is from where all have it: (n, SECTIONS, 2) [px]."""
    own = slopes.own
    size = np.einsum("snii->sn", own)
    sure = np.linalg.det(own) > 1e-6 * size**2
    steps = np.full((*sure.shape, 2), np.nan)
    steps[sure] = np.linalg.solve(own[sure], slopes.gradient[..., :2][sure][..., None])[..., 0]
    return np.asarray(np.einsum("nij,snj->nsi", linear, steps))
