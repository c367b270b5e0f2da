"""Shifts and the direction of the axis by which all images are those of one body."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from tomoset.align.images.body import MOST_POINTS, Body, Section
from tomoset.align.images.body_compare import Compared, Slopes
from tomoset.align.images.body_places import Elsewhere
from tomoset.align.images.body_start import EDGE, begun, radius_of, shifted
from tomoset.align.images.body_views import SAMPLES, Cut, Working, frames, guessed
from tomoset.run import doing

Array = npt.NDArray[np.float64]
Image = npt.NDArray[np.float32]

#: Highest frequencies, one after the other [cycles per px]; rounds of each, at most, or until
#: images move by less than this part of the shortest wave.
BANDS = (0.06, 0.1, 0.15, 0.25)
_ROUNDS, _SETTLED = 6, 0.004
#: An image moves by so much in one round, at most [shortest waves]; it is looked for further away
#: in so many rounds of the first band, and one of the others, if it agrees so much better there.
_STEP, _LOOKING, _BETTER = 0.25, 3, 1.1
#: Other places are those so far away [px, parts of the length that is seen].
_NEAR, _FAR = 3.0, 0.04
#: How weakly the direction of the axis [rad] and the body's place [parts of its radius] are held.
_AXIS, _PLACE = 0.2, 1.0
#: What images have to look across, along, and rotated about the middle.
_KINDS = 3


def free_of(slopes: Slopes, directions: Array, radius: float) -> tuple[Array, Array]:
    """Information on shifts (n, 2) and one rotation of all images, and its gradient.

    Parameters
    ----------
    slopes : Slopes
    directions : (n, 2) array
        As `frames`.
    radius : float
        Of the body: its place is held by a part of it.
    """
    n = len(directions)
    rows = np.zeros((n * _KINDS, 2 * n + 1))
    at = np.arange(n)
    for kind in (0, 1):
        rows[_KINDS * at + kind, 2 * at + kind] = 1
    rows[_KINDS * at + 2, 2 * n] = 1
    flat = slopes.information.reshape(n * _KINDS, n * _KINDS)
    information = rows.T @ (0.5 * (flat + flat.T)) @ rows
    moved = motions_of(directions)
    # A motion of the body shifts all images: it is held, so that nothing else need be.
    information += moved @ moved.T / (n * (_PLACE * radius) ** 2)
    information[2 * n, 2 * n] += _AXIS**-2
    return information, rows.T @ slopes.gradient.sum(axis=0).reshape(-1)


def motions_of(directions: Array) -> Array:
    """How shifts follow motions of the body: orthonormal columns (2 n + 1, 3)."""
    n = len(directions)
    moved = np.zeros((2 * n + 1, 3))
    moved[0 : 2 * n : 2, :2] = directions
    moved[1 : 2 * n : 2, 2] = 1
    return np.asarray(np.linalg.qr(moved)[0])


@dataclass(frozen=True, kw_only=True, eq=False)
class Fitted:
    """A body's alignment.

    Parameters
    ----------
    projections : (n, 4, 4) array
        [working px]
    compared : Compared
        Of the last band.
    slopes : Slopes
    cut : Cut
        By which lines were made.
    working : Working
        The images.
    """

    projections: Array
    compared: Compared
    slopes: Slopes
    cut: Cut
    working: Working

    @property
    def radius(self) -> float:
        """Of the body [working px]."""
        return self.cut.radius

    def elsewhere(self) -> Elsewhere:
        """The best other place of each image."""
        rows, (down, right) = self.compared.lines.values.shape[1], self.compared.lines.step
        near = max(_NEAR, _FAR * rows * down, 2 * max(down, right))
        return Elsewhere.of(self.working, self.projections, self.cut, self.compared, near)


def fitted(working: Working, projections: Array) -> Fitted:
    """Align the images of a body, from coarse to fine.

    Parameters
    ----------
    working : Working
    projections : (n, 4, 4) array
        About whose direction of the axis one is looked for; their shifts do not matter.
    """
    projections, working = begun(working, projections)
    shares = guessed(working.seen(projections)[0])
    for number, band in enumerate(BANDS):
        radius = radius_of(*working.seen(projections), EDGE)
        highest = min(band, _finest(radius))
        doing(f"aligning a body, to {1 / highest:.0f} px")
        cut = Cut(band=highest, radius=radius, shares=shares)
        looking, turning = (1, True) if number else (_LOOKING, False)
        found = _in_band(working, projections, cut, looking, turning=turning)
        projections = found.projections
        shares = cut.measured(found.compared.lines, found.compared.predicted).shares
        if highest < band:
            break
    cut = replace(cut, shares=shares)
    found = _in_band(working, projections, cut, 1)
    other = found.elsewhere()
    gain = np.where(other.rival > _BETTER * other.support, other.there - other.here, 0.0)
    if not gain.any():
        return found
    # The others of those that gain may do so because the worst are where they are.
    far = np.where((gain > gain.max() / 2)[:, None], other.by, 0.0)
    return _in_band(working, shifted(found.projections, far), cut, 0)


def _finest(radius: float) -> float:
    """The highest frequency for which a section has points enough [cycles per px]."""
    return float(np.sqrt(MOST_POINTS / np.pi) / radius / SAMPLES)


def _in_band(
    working: Working, projections: Array, cut: Cut, looking: int, *, turning: bool = True
) -> Fitted:
    """With one set of lines; the axis stays where it is in the first band, which hardly sees it."""
    body = None
    for number in range(_ROUNDS):
        lines = cut.lines(*working.seen(projections))
        _, directions = frames(projections)
        if body is None:
            _, rows, samples = lines.values.shape
            section = Section(
                directions=directions, samples=samples, radius=cut.radius / lines.step[1]
            )
            body = Body.of(section, rows, cut.spectrum, 1 / SAMPLES)
            body = body.as_noisy_as(lines.values)
        compared = Compared.of(lines, body)
        slopes = Slopes.of(compared)
        found = Fitted(
            projections=projections,
            compared=compared,
            slopes=slopes,
            cut=cut,
            working=working,
        )
        information, gradient = free_of(slopes, directions, cut.radius)
        if not turning:
            information, gradient = information[:-1, :-1], gradient[:-1]
        by = np.append(np.linalg.solve(information, gradient), 0.0)[: 2 * len(directions) + 1]
        most = _STEP / cut.band
        shifts = np.clip(by[:-1].reshape(-1, 2), -most, most)
        if number < looking:
            far = _elsewhere(compared, most)
            shifts = np.where(np.any(far, axis=1)[:, None], far, shifts)
        projections = rotated(shifted(projections, shifts), by[-1], working.centre)
        turned = by[-1] * working.shape[0] / 4
        if np.sqrt((shifts**2).mean() + turned**2) < _SETTLED / cut.band:
            break
    return found


def _elsewhere(compared: Compared, near: float) -> Array:
    """Where images agree much better with the others, further than `near` away: (n, 2) [px]."""
    scores, step = compared.scores(), compared.lines.step
    _, rows, samples = scores.shape
    v, u = np.fft.fftfreq(rows, 1 / rows) * step[0], np.fft.fftfreq(samples, 1 / samples) * step[1]
    distance = np.hypot(v[:, None], u)
    close = scores[:, distance <= near].max(axis=1)
    far = np.where(distance > near, scores, -np.inf).reshape(len(scores), -1)
    at = np.stack([u[far.argmax(axis=1) % samples], v[far.argmax(axis=1) // samples]], axis=1)
    better = far.max(axis=1) > np.maximum(_BETTER * close, 1.0)
    return np.where(better[:, None], at, 0.0)


def rotated(projections: Array, by: float, centre: Array) -> Array:
    """Projections whose images are rotated about where they show the centre [rad]."""
    at = projections[:, :2, :3] @ centre + projections[:, :2, 3]
    turn = np.array([[np.cos(by), -np.sin(by)], [np.sin(by), np.cos(by)]])
    new = projections.copy()
    new[:, :2, :3] = turn @ projections[:, :2, :3]
    new[:, :2, 3] = at - new[:, :2, :3] @ centre
    return new
