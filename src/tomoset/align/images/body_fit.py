"""Shifts and the direction of the axis by which all images are those of one body."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from tomoset.align.images.body import MOST_POINTS, Body, Section
from tomoset.align.images.body_start import EDGE, begun, radius_of, shifted
from tomoset.align.images.body_views import SAMPLES, Cut, Lines, Working, frames, guessed
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
#: Places elsewhere at which less than this part of an image shows what is predicted do not count.
_OVERLAP = 0.3
#: How weakly the direction of the axis [rad] and the body's place [parts of its radius] are held.
_AXIS, _PLACE = 0.2, 1.0
#: What images have to look across, along, and rotated about the middle.
_KINDS = 3
#: Sections of the body that are compared with each other.
SECTIONS = 8


@dataclass(frozen=True, kw_only=True, eq=False)
class Compared:
    """All images against what the others predict of them, at one alignment.

    Parameters
    ----------
    lines : Lines
    body : Body
    predicted, weighted : (n, rows, samples) arrays
        What the others say of each image, and C^-1 times the lines.
    """

    lines: Lines
    body: Body
    predicted: Image
    weighted: Image

    @classmethod
    def of(cls, lines: Lines, body: Body) -> Compared:
        weighted = body.weighted(lines.values)
        predicted = body.predicted(lines.values, weighted)
        return cls(lines=lines, body=body, predicted=predicted, weighted=weighted)

    @property
    def coefficients(self) -> Array:
        """Correlation of each image with its prediction: (n,)."""
        seen, expected = self.lines.values, self.predicted
        both = np.einsum("ivu,ivu->i", seen, expected, dtype=np.float64)
        power = [np.einsum("ivu,ivu->i", x, x, dtype=np.float64) for x in (seen, expected)]
        return np.asarray(both / np.sqrt(power[0] * power[1] + 1e-30))

    def scores(self) -> Image:
        """Correlations by how far images lie elsewhere, against chance: (n, rows, 2 samples)."""
        import scipy.fft

        _, rows, samples = self.lines.values.shape
        size = (2 * rows, 2 * samples)
        seen = scipy.fft.rfft2(self.lines.values, size)
        scores = scipy.fft.irfft2(seen * scipy.fft.rfft2(self.predicted, size).conj(), size)
        # Elsewhere along the axis less of an image lies on what is predicted.
        both = np.correlate(self.lines.shown, self.lines.shown, "full") / (
            self.lines.shown @ self.lines.shown
        )
        overlap = np.fft.ifftshift(np.append(0.0, both)).astype(np.float32)[:, None]
        scores = np.where(overlap > _OVERLAP, scores / np.sqrt(np.maximum(overlap, _OVERLAP)), 0)
        spread = np.sqrt((scores**2).mean(axis=(1, 2), keepdims=True))
        return np.asarray(scores / np.maximum(spread, 1e-30), dtype=np.float32)


@dataclass(frozen=True, kw_only=True, eq=False)
class Slopes:
    """How the likelihood changes with shifts of the images, and rotations of them.

    Parameters
    ----------
    gradient : (SECTIONS, n, 3) array
        Across, along [1/px], by rotation [1/rad], of each section.
    information : (n, 3, n, 3) array
        Of the whole body.
    own : (SECTIONS, n, 2, 2) array
        Of shifts of one image alone.
    """

    gradient: Array
    information: Array
    own: Array

    @classmethod
    def of(cls, compared: Compared) -> Slopes:
        """By what the others predict: the noise of an image says nothing of its shift."""
        body, lines, weighted = compared.body, compared.lines, compared.weighted
        changes = _changes(compared)
        scale = float(np.mean(lines.values * weighted))
        by_row = -np.einsum("kivu,ivu->vik", changes, weighted) / scale
        own = np.einsum("kivu,livu->vikl", changes[:2], body.alone(changes[:2]), optimize=True)
        return cls(
            gradient=_in_sections(by_row),
            information=body.products(changes) / scale,
            own=_in_sections(own) / scale,
        )


def _in_sections(by_row: Image) -> Array:
    """Sums over the rows of each section."""
    parts = np.array_split(by_row.astype(np.float64), SECTIONS)
    return np.stack([part.sum(axis=0) for part in parts])


def _changes(compared: Compared) -> Image:
    """Of predicted images by looking across, along, and by rotating them: (3, n, rows, samples)."""
    import scipy.fft

    lines, expected = compared.lines, compared.predicted
    _, rows, samples = expected.shape
    wide = 2 * samples
    spectra = scipy.fft.rfft2(expected, (rows, wide)) * np.complex64(2j * np.pi)
    k = np.fft.rfftfreq(wide, lines.step[1]), np.fft.fftfreq(rows, lines.step[0])[:, None]
    across, along = (
        scipy.fft.irfft2(spectra * part.astype(np.float32), (rows, wide))[..., :samples]
        for part in k
    )
    along -= lines.fading[:, None].astype(np.float32) * expected
    v, u = lines.places
    turned = along * u.astype(np.float32) - across * v[:, None].astype(np.float32)
    return np.stack([across, along, turned]).astype(np.float32)


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
    radius : float
        Of the body [working px].
    working : Working
        Its images.
    """

    projections: Array
    compared: Compared
    slopes: Slopes
    radius: float
    working: Working


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
        found = _in_band(working, projections, cut, first=number == 0)
        projections = found.projections
        shares = cut.measured(found.compared.lines, found.compared.predicted).shares
        if highest < band:
            break
    return _in_band(working, projections, replace(cut, shares=shares), first=False)


def _finest(radius: float) -> float:
    """The highest frequency for which a section has points enough [cycles per px]."""
    return float(np.sqrt(MOST_POINTS / np.pi) / radius / SAMPLES)


def _in_band(working: Working, projections: Array, cut: Cut, *, first: bool) -> Fitted:
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
            radius=cut.radius,
            working=working,
        )
        information, gradient = free_of(slopes, directions, cut.radius)
        if first:
            information, gradient = information[:-1, :-1], gradient[:-1]
        by = np.append(np.linalg.solve(information, gradient), 0.0)[: 2 * len(directions) + 1]
        most = _STEP / cut.band
        shifts = np.clip(by[:-1].reshape(-1, 2), -most, most)
        if number < (_LOOKING if first else 1):
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
