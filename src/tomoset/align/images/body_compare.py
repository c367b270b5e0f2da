"""Images of a body against what the others predict of them, and which way that gets better."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tomoset.align.images.body import Body
from tomoset.align.images.body_views import Lines

Array = npt.NDArray[np.float64]
Image = npt.NDArray[np.float32]

#: Places elsewhere at which less than this part of an image shows what is predicted do not count.
_OVERLAP = 0.3
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
