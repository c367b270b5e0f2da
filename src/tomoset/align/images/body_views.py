"""Images as lines across the tilt axis, each of one section of a body."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from tomoset.align.images.plane import mapped

Array = npt.NDArray[np.float64]
Image = npt.NDArray[np.float32]
Spectra = npt.NDArray[np.complex64]

#: Strips at both sides, in which a body leaves its background free [part of the width].
_STRIP = 1 / 12
#: The background is curved only if each side has this part of the image.
_SIDE = 0.1
#: Details over which the emptiness of strips is judged [part of the width].
DETAIL = 1 / 64
#: Share of the power of such details, at least, that must not be noise.
_SHOWN = 0.3
#: Rings of frequencies up to 0.5 cycles per px.
_RINGS = 64
_MIDDLES = (np.arange(_RINGS) + 0.5) / (2 * _RINGS)
#: Least and most of a body's part in images; the rest, then, is what the model does not know.
_SHARES = (0.05, 0.998)
#: Part of the band over which it ends; pixels of lines in the shortest wave.
_SOFT, SAMPLES = 0.2, 2.5
#: Lines at both ends fade over this part of what all images show.
_FADE = 1 / 8


def frames(projections: Array) -> tuple[Array, Array]:
    """Directions across and along the tilt axis in images, and what is seen across.

    Parameters
    ----------
    projections : (n, 4, 4) array
        The tilt axis is y.

    Returns
    -------
    linear : (n, 2, 2) array
        From places across and along the axis to pixels.
    directions : (n, 2) array
        How far across a point lies, by its x and z.
    """
    along = projections[:, :2, 1]
    linear = np.stack([np.stack([along[:, 1], -along[:, 0]], axis=1), along], axis=2)
    seen = np.linalg.solve(linear, projections[:, :2, :3])
    return linear, np.asarray(seen[:, 0, ::2], np.float64)


@dataclass(frozen=True, kw_only=True, eq=False)
class Working:
    """Images of a body that are being aligned.

    Parameters
    ----------
    plain, valid : (n, h, w) float32 arrays
        Intensities, and 1 where an image shows the specimen.
    images : (n, h, w) float32 array
        Over an even background, as coefficients of splines (`plane.mapped`).
    shape : (int, int)
        How far along and across the axis images are looked at [px].
    centre : (3,) array
        What lies in the middle [0-based voxels].
    threads : int
    """

    plain: Image
    valid: Image
    images: Image
    shape: tuple[int, int]
    centre: Array
    threads: int

    @classmethod
    def of(
        cls, plain: Image, valid: Image, shape: tuple[int, int], centre: Array, threads: int
    ) -> Working:
        """Of images whose background is not taken off yet."""
        return cls(
            plain=plain, valid=valid, images=plain, shape=shape, centre=centre, threads=threads
        )

    def _maps(self, projections: Array) -> tuple[Array, Array]:
        offset = projections[:, :2, :3] @ self.centre + projections[:, :2, 3]
        return frames(projections)[0], offset

    def seen(self, projections: Array) -> tuple[Image, Image]:
        """Images whose lines are across the axis, and weights: (n, *shape)."""
        maps = self._maps(projections)
        seen, weights = mapped(self.images, self.valid, maps, self.shape, self.threads)
        return seen * weights, weights

    def levelled(self, projections: Array, radius: float | None = None) -> Working:
        """Over a background that is even beside a body.

        Beside it are strips at both sides of the field; and all that is further from the middle
        than its radius [px], if that is known.
        """
        import scipy.ndimage

        half = self.shape[1] / 2
        away = half * (1 - 2 * _STRIP) if radius is None else radius
        images = np.empty_like(self.plain)
        y, x = np.indices(self.plain.shape[1:])
        for i, (linear, offset) in enumerate(zip(*self._maps(projections), strict=True)):
            at = np.stack([x - offset[0], y - offset[1]]).reshape(2, -1)
            u, v = np.linalg.solve(linear, at) / half
            terms = np.stack([np.ones_like(u), u, v, u * v, v * v, u * u])
            inside = self.valid[i].ravel() > 0
            sides = [inside & (side * u * half > away) for side in (-1, 1)]
            # Strips do not tell how the background is curved between them.
            curved = radius is not None and min(side.mean() for side in sides) > _SIDE
            terms = terms if curved else terms[:-1]
            beside = sides[0] | sides[1]
            values = self.plain[i].ravel().astype(np.float64)
            by = np.zeros(len(terms))
            if beside.sum() > 10 * len(terms):
                by = np.linalg.lstsq(terms[:, beside].T, values[beside], rcond=None)[0]
            level = (values - by @ terms) * inside
            images[i] = scipy.ndimage.spline_filter(level.reshape(y.shape), 3, output=np.float32)
        return replace(self, images=images)


def strips(width: int) -> npt.NDArray[np.bool_]:
    """Pixels at both sides, of a body's background."""
    reach = max(3, round(width * _STRIP))
    at = np.arange(width)
    return (at < reach) | (at >= width - reach)


def emptiness(images: Image, weights: Image) -> float:
    """What is seen in strips at both sides, against the whole: rms, median of the images.

    Noise, of which alternate lines do not have the same, does not count; where there is nothing
    but noise it is 1.
    """
    import scipy.ndimage

    width = images.shape[2]
    rows = images.shape[1] // 2 * 2
    outer = np.broadcast_to(strips(width), (rows // 2, width))
    reach = width * DETAIL / 2, width * DETAIL
    shares = []
    for image, weight in zip(images[:, :rows], weights[:, :rows], strict=True):
        one, other = (scipy.ndimage.gaussian_filter(image[k::2], reach) for k in (0, 1))
        there = np.minimum(weight[::2], weight[1::2])
        both = one * other
        whole = both[there > 0]
        side = both[outer & (there >= 1)]
        power = np.sqrt((one**2).mean() * (other**2).mean())
        if not side.size or both.mean() < _SHOWN * power:
            shares.append(1.0)
            continue
        shares.append(float(np.sqrt(max(side.mean() / whole.mean(), 0.0))))
    return float(np.median(shares))


@dataclass(frozen=True, kw_only=True, eq=False)
class Lines:
    """Filtered lines of images, whose noise is even, each image of variance 1.

    Parameters
    ----------
    values : (n, rows, samples) float32 array
    step : (float, float)
        Pixels of the images between rows, and between samples.
    shown : (rows,) array
        How far images are faded in along the axis: that stays where it is.
    """

    values: Image
    step: tuple[float, float]
    shown: Array

    @property
    def fading(self) -> Array:
        """By which part images change along the axis because they fade in and out [1/px]."""
        slope = np.gradient(self.shown) / self.step[0]
        return np.asarray(slope / np.maximum(self.shown, 0.1))

    @property
    def places(self) -> tuple[Array, Array]:
        """Of rows along the axis and samples across it, from the middle [px]."""
        _, rows, samples = self.values.shape
        v = (np.arange(rows) - (rows - 1) / 2) * self.step[0]
        u = (np.arange(samples) - (samples - 1) / 2) * self.step[1]
        return v, u


@dataclass(frozen=True, kw_only=True, eq=False)
class Cut:
    """How lines are made of images.

    Parameters
    ----------
    band : float
        Highest frequency [cycles per px].
    radius : float
        Of the body [px].
    shares : (_RINGS,) array
        Root of the body's share in the power of images, by rings up to 0.5 cycles per px.
    """

    band: float
    radius: float
    shares: Array

    @property
    def spectrum(self) -> Array:
        """Amplitudes of the body against those of noise, in pixels of the lines: from 0 to 0.5."""
        k = np.linspace(0, 0.5 * SAMPLES * self.band, 128)
        share = np.interp(k, _MIDDLES, self.shares) ** 2
        return np.asarray(np.sqrt(share / (1 - share)) * self._end(k))

    def _end(self, k: Array) -> Array:
        return np.asarray(np.clip((self.band - k) / (_SOFT * self.band), 0, 1))

    def lines(self, seen: Image, weights: Image) -> Lines:
        """Of images that `Working.seen` has made."""
        return self.faded(seen, shown_by_all(weights))

    def faded(self, seen: Image, shown: Image) -> Lines:
        """The same, faded in along the axis as is given: (rows,)."""
        import scipy.fft

        _, rows, width = seen.shape
        spectra = scipy.fft.rfft2(seen * shown[:, None])
        v, u = np.fft.fftfreq(rows)[:, None], np.fft.rfftfreq(width)[None]
        k = np.hypot(u, v)
        spectra *= self._filter(k, spectra).astype(np.float32)
        small = tuple(2 * round(size * SAMPLES * self.band / 2) for size in (rows, width))
        step = rows / small[0], width / small[1]
        # Middles of pixels come to lie on middles.
        down, right = ((s - 1) / 2 for s in step)
        spectra *= np.exp(2j * np.pi * (v * down + u * right)).astype(np.complex64)
        half = int(np.ceil(self.radius / step[1])) + 2
        middle = small[1] // 2
        part = slice(max(0, middle - half), middle + half)
        values = scipy.fft.irfft2(_cropped(spectra, small), s=small)[..., part]
        gain = 1 / np.sqrt((values**2).mean(axis=(1, 2), keepdims=True) + 1e-30)
        at = (np.arange(small[0]) - (small[0] - 1) / 2) * step[0] + (rows - 1) / 2
        fade = np.interp(at, np.arange(rows), shown)
        return Lines(values=np.asarray(values * gain, dtype=np.float32), step=step, shown=fade)

    def _filter(self, k: Array, spectra: Spectra) -> Array:
        """Makes noise even: a filter of space, the same in all directions."""
        power, known = _by_ring(k, (np.abs(spectra) ** 2).mean(axis=0))
        level = np.exp(np.interp(k, _MIDDLES[known], np.log(power[known])))
        return np.asarray(
            self._end(k) / np.sqrt((1 - np.interp(k, _MIDDLES, self.shares) ** 2) * level)
        )

    def measured(self, lines: Lines, predicted: Image) -> Cut:
        """The same, with the shares by which the other images predict each."""
        import scipy.fft

        _, rows, samples = lines.values.shape
        shown, expected = scipy.fft.rfft2(lines.values), scipy.fft.rfft2(predicted)
        v = np.fft.fftfreq(rows, lines.step[0])[:, None]
        k = np.hypot(np.fft.rfftfreq(samples, lines.step[1])[None], v)
        both, _ = _by_ring(k, np.real(shown * expected.conj()).sum(axis=0))
        one, known = _by_ring(k, (np.abs(shown) ** 2).sum(axis=0))
        other, _ = _by_ring(k, (np.abs(expected) ** 2).sum(axis=0))
        known &= (self.band > _MIDDLES) & (one > 0) & (other > 0)
        if not known.any():
            return self
        found = np.clip(both[known] / np.sqrt(one[known] * other[known]), *_SHARES)
        # What is beyond the band has been measured by nobody: as the last ring has.
        shares = np.interp(_MIDDLES, _MIDDLES[known], found)
        return replace(self, shares=shares)


def guessed(seen: Image) -> Array:
    """Shares of a body in images, as if the highest frequencies were noise alone: (_RINGS,)."""
    import scipy.fft

    spectra = scipy.fft.rfft2(seen)
    k = np.hypot(np.fft.fftfreq(seen.shape[1])[:, None], np.fft.rfftfreq(seen.shape[2])[None])
    power, known = _by_ring(k, (np.abs(spectra) ** 2).mean(axis=0))
    power = np.exp(np.interp(_MIDDLES, _MIDDLES[known], np.log(power[known] + 1e-30)))
    noise = np.median(power[_MIDDLES > 0.4])
    return np.asarray(np.clip(np.sqrt(np.maximum(1 - noise / power, 0)), *_SHARES))


def _by_ring(k: Array, values: Array) -> tuple[Array, npt.NDArray[np.bool_]]:
    """Means of values in rings of frequencies, and which rings have any."""
    ring = np.minimum((k * 2 * _RINGS).astype(np.int64), _RINGS).ravel()
    number = np.bincount(ring, minlength=_RINGS + 1)[:_RINGS]
    total = np.bincount(ring, values.ravel(), _RINGS + 1)[:_RINGS]
    return np.asarray(total / np.maximum(number, 1)), number > 0


def shown_by_all(weights: Image) -> Image:
    """Fades out the lines that not all images show: (rows,)."""
    rows = weights.shape[1]
    everywhere = (weights.max(axis=2) >= 1).all(axis=0)
    there = np.flatnonzero(everywhere)
    if not len(there):
        return np.zeros(rows, np.float32)
    first, last = there[0], there[-1]
    at = np.arange(rows)
    depth = np.minimum(at - first, last - at) / max(1.0, _FADE * (last - first + 1))
    return np.asarray(np.sin(np.pi / 2 * np.clip(depth, 0, 1)) ** 2, dtype=np.float32)


def _cropped(spectra: Spectra, size: tuple[int, ...]) -> Spectra:
    """Of real images, to fewer pixels."""
    half = size[0] // 2
    kept = np.zeros((len(spectra), size[0], size[1] // 2 + 1), np.complex64)
    kept[:, :half] = spectra[:, :half, : size[1] // 2 + 1]
    kept[:, 1 - half :] = spectra[:, 1 - half :, : size[1] // 2 + 1]
    return kept
