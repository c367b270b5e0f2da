"""All parameters of a series at once: Newton's method on one likelihood with its priors."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from tomoset.ctf.known import ASTIGMATISM, Geometry, Known, Parameters, Priors
from tomoset.ctf.sectors import Sectors
from tomoset.ctf.terms import FADING, OWN, Envelope, ImageLikelihood, Terms, directions, envelopes

Array = npt.NDArray[np.float64]

#: The model is off by so much of a phase, and by so much more where tiles show both waves of rings,
#: and the background with them; measured on simulations of another kind [rad].
_MODEL, _OF_BOTH = 0.03, 0.1
#: Astigmatism that is tried at first [Å].
_TRIED = np.arange(-1500.0, 1501.0, 125.0)
#: Thickness of specimens that is tried [Å].
_THICKNESS = (0.0, 500.0, 1000.0, 1500.0, 2000.0, 2500.0, 3000.0, 4000.0)
#: Images at tilts within about so many degrees have rings that fade alike.
_ALIKE = 12.0
#: Neighbouring tiles share pixels, so scatter between them says a little less than there is.
_SHARED = 1.1
#: The likeliest rings are so much likelier than none by chance [natural logarithm], which says
#: nothing of where they are.
_CHANCE = 6.0
#: An image that knows its defocus no better than this says nothing of the others' [Å].
_SAYS = 2000.0
_STEPS = 6


@dataclass(frozen=True, eq=False)
class Bands:
    """What an image shows of rings, band by band.

    Parameters
    ----------
    k2 : (n_bands,) array
        [1/Å²].
    along, square : (n_bands,) array, (n_bands, n_bands) array
        As `ImageLikelihood.bands` gives them.
    hotter : float
        Noise is that much more than that of counting.
    """

    k2: Array
    along: Array
    square: Array
    hotter: float


@dataclass(frozen=True, kw_only=True, eq=False)
class Fit:
    """What was found.

    Parameters
    ----------
    parameters : Parameters
        Of the series.
    covariance : (4 n_tilts + 3,) * 2 array
        Of these.
    seen : tuple of Bands
        What each image shows of those rings.
    thickness : float
        Of the specimen, roughly [Å].
    single, deviation : (n_tilts,) arrays
        Defocus as each image says it by itself, all else as it was found, and its standard
        deviation; infinite where an image says nothing [Å].
    """

    parameters: Parameters
    covariance: Array
    seen: tuple[Bands, ...]
    thickness: float
    single: Array
    deviation: Array
    rings: Array
    value: float


class SeriesFit:
    """Fits a series.

    Parameters
    ----------
    images : sequence of Sectors
        What each shows.
    geometry : Geometry
        Where its tiles lie.
    known : Known
        What decides the priors.
    threads : int
        That are used.
    """

    def __init__(
        self, images: Sequence[Sectors], geometry: Geometry, known: Known, threads: int = 1
    ) -> None:
        self._threads = threads
        self._images = [ImageLikelihood(image) for image in images]
        self._geometry, self._known = geometry, known
        cosines = np.abs(np.cos(np.deg2rad(known.angles)))
        self._paths = 1 / np.maximum(cosines, 0.2)

    def fit(self, start: Parameters, rounds: int) -> Fit:
        """The likeliest parameters, from some that are near.

        Parameters
        ----------
        start : Parameters
            Where to begin.
        rounds : int
            How often envelopes, parameters and noise are found in turn.
        """
        at = start
        hotter = np.ones(len(self._images))
        priors = self._known.priors(start)
        thickness = 0.0
        for step in range(rounds):
            thickness, shapes = self._envelopes(at, hotter)
            at = self._newton(at, shapes, hotter, priors)
            if step < rounds - 1:
                hotter = self._hotter(at, shapes)
        seen = [
            (image.sectors.k2, *bands, hot)
            for image, bands, hot in zip(self._images, self._bands(at), hotter, strict=True)
        ]
        singles = self._singles(at, shapes, hotter)
        certain = np.clip(1 - _CHANCE / np.maximum(singles["rings"], 1e-9), 0.1, 1.0)
        information = self._joint(at, shapes, hotter / certain, priors)[2]
        covariance = np.asarray(np.linalg.inv(information), np.float64)
        each = np.arange(0, at.own.size, OWN)
        covariance[each, each] += self._of_model(shapes) ** 2
        return Fit(
            parameters=at,
            covariance=covariance,
            seen=tuple(Bands(*one) for one in seen),
            thickness=thickness,
            **singles,
            value=self._joint(at, shapes, hotter, priors)[0],
        )

    def _of_model(self, shapes: Sequence[Envelope]) -> Array:
        """Error of defocus by what the model of each image lacks: (n_tilts,) [Å]."""
        found = np.zeros(len(shapes))
        for i, (image, shape) in enumerate(zip(self._images, shapes, strict=True)):
            s = image.sectors
            weight = shape.height**2 * s.number.sum(axis=0) + 1e-30
            both = np.average(np.abs(s.lopsided).mean(axis=(0, 1)), weights=weight)
            phase = np.hypot(_MODEL, _OF_BOTH * both)
            found[i] = phase / np.sqrt(np.average(s.rate**2, weights=weight))
        return found

    def _singles(
        self, at: Parameters, shapes: Sequence[Envelope], hotter: Array
    ) -> dict[str, Array]:
        """What each image says of its defocus: a step of Newton's without the prior."""
        found = self._terms(at, shapes)
        stiff = np.array([one.information[0, 0] for one in found]) / hotter
        pull = np.array([one.gradient[0] for one in found]) / hotter
        told = stiff > _SAYS**-2
        stiff = np.where(told, stiff, 1.0)
        return {
            "single": at.own[:, 0] + np.where(told, pull / stiff, 0.0),
            "deviation": np.where(told, 1 / np.sqrt(stiff), np.inf),
            "rings": np.array([one.value for one in found]) / hotter,
        }

    def with_astigmatism(self, at: Parameters) -> Parameters:
        """The likeliest that all images have in common, coarsely."""
        if not self._known.astigmatism:
            return at
        heights, c = self._geometry.heights(at.pose), directions()
        first, second = np.meshgrid(_TRIED, _TRIED, indexing="ij")
        offsets = np.stack([first.ravel(), second.ravel()], axis=1) @ c.T
        total = np.zeros(len(offsets))
        for i, image in enumerate(self._images):
            height, one = heights[i], image.sectors
            defocus = at.own[i, 0] + height[:, None] + 0 * c[:, 0]
            seen = one.merged(defocus, at.own[i, 3], _TRIED[-1])
            values = np.einsum("t,tsb->sb", one.weight, seen.values) * seen.number
            number = seen.number.sum(axis=0) * one.weight.sum()
            shapes = envelopes(seen.k2, one.voltage, 0.0)[::3]
            turn = np.exp(-1j * offsets[:, :, None] * seen.rate)
            along = -np.einsum("asb,sb->ab", turn, values).real
            fits = np.maximum(along @ shapes.T, 0) ** 2 / np.maximum(shapes**2 @ number, 1e-9)
            total += fits.max(axis=1)
        total -= 0.5 * (first.ravel() ** 2 + second.ravel() ** 2) / ASTIGMATISM[0] ** 2
        own = at.own.copy()
        best = int(np.argmax(total))
        own[:, 1], own[:, 2] = first.ravel()[best], second.ravel()[best]
        return replace(at, own=own)

    def _envelopes(self, at: Parameters, hotter: Array) -> tuple[float, list[Envelope]]:
        """Thickness, and the envelope of each image."""
        seen = self._bands(at)
        apart = np.abs(self._known.angles[:, None] - self._known.angles)
        alike = np.exp(-0.5 * (apart / _ALIKE) ** 2)
        tried = []
        for thickness in _THICKNESS:
            scores, found = np.empty((len(seen), len(FADING))), []
            for i, (y, square) in enumerate(seen):
                one = self._images[i].sectors
                shapes = envelopes(one.k2, one.voltage, thickness * self._paths[i])
                along = shapes @ y / hotter[i]
                energy = np.einsum("fb,bc,fc->f", shapes, square, shapes) / hotter[i]
                energy = np.maximum(energy, 1e-9)
                # Rings stand out as far as they are more than chance makes.
                amplitude = np.maximum(along - np.sqrt(energy), 0) / energy
                scores[i] = np.maximum(along, 0) ** 2 / (2 * energy)
                found.append((amplitude[:, None], shapes))
            best = np.argmax(alike @ scores, axis=1)
            total = float(scores[np.arange(len(seen)), best].sum())
            total += self._known.of_thickness(thickness)
            chosen = [(a * s)[k] for (a, s), k in zip(found, best, strict=True)]
            tried.append((total, thickness, chosen))
        _, thickness, chosen = max(tried, key=lambda one: one[0])
        return thickness, [
            Envelope.near(image.sectors.k2, shape, y / hot, square / hot)
            for image, shape, (y, square), hot in zip(
                self._images, chosen, seen, hotter, strict=True
            )
        ]

    def _terms(self, at: Parameters, shapes: Sequence[Envelope]) -> list[Terms]:
        heights, slopes = self._geometry.heights(at.pose), self._geometry.slopes(at.pose)
        with ThreadPoolExecutor(self._threads) as pool:
            found = pool.map(ImageLikelihood.terms, self._images, at.own, heights, slopes, shapes)
            return list(found)

    def _bands(self, at: Parameters) -> list[tuple[Array, Array]]:
        heights = self._geometry.heights(at.pose)
        with ThreadPoolExecutor(self._threads) as pool:
            return list(pool.map(ImageLikelihood.bands, self._images, at.own, heights))

    def _hotter(self, at: Parameters, shapes: Sequence[Envelope]) -> Array:
        """By how much noise of each image is more than that of counting."""
        found = np.array([one.hotter for one in self._terms(at, shapes)])
        told = np.array([bool(shape.height.max() > 1e-3) for shape in shapes])
        usual = float(np.median(found[told])) if told.any() else 1.0
        return np.asarray(_SHARED * np.maximum(np.where(told, np.maximum(found, usual), usual), 1))

    def _newton(
        self, at: Parameters, shapes: Sequence[Envelope], hotter: Array, priors: Priors
    ) -> Parameters:
        """The likeliest parameters with these envelopes."""
        now = self._joint(at, shapes, hotter, priors)
        for _ in range(_STEPS):
            value, gradient, information = now
            step = np.asarray(np.linalg.solve(information, gradient), np.float64)
            for part in (1.0, 0.5, 0.2, 0.05):
                there = at.moved(part * step)
                new = self._joint(there, shapes, hotter, priors)
                if new[0] > value:
                    break
            else:
                break
            at, now = there, new
            if new[0] - value < 0.01:
                break
        return at

    def _joint(
        self, at: Parameters, shapes: Sequence[Envelope], hotter: Array, priors: Priors
    ) -> tuple[float, Array, Array]:
        """Value, gradient and information of everything together."""
        n = at.own.size
        vector = np.concatenate([at.own.ravel(), at.pose])
        value = priors.value(vector)
        gradient = -priors.precision @ (vector - priors.mean)
        information = priors.precision.copy()
        for i, one in enumerate(self._terms(at, shapes)):
            where = np.r_[OWN * i : OWN * (i + 1), n : n + 3]
            value += one.value / hotter[i]
            gradient[where] += one.gradient / hotter[i]
            information[np.ix_(where, where)] += one.information / hotter[i]
        return value, gradient, information
