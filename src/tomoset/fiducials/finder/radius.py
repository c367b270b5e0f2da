"""How large the beads of a series are, and whether they are darker or brighter than the ice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tomoset.errors import ModelError
from tomoset.fiducials.finder.detect import RADIUS_PX, MatchedFilter
from tomoset.fiducials.options import FindOptions
from tomoset.images.device import Cpu
from tomoset.images.fourier import Cropping

Image = npt.NDArray[np.float32]

#: Radii that are tried when it is not given [Å], and steps between them.
_RANGE, _STEP = (15.0, 200.0), 1.12
#: Steps around the best of them.
_FINE = 1.03
#: Beads that are told from noise have a radius of so many pixels, and of this part of the image.
SMALLEST_PX, _LARGEST = 2.0, 0.1
#: How much more bead-like another radius must be, and how far away, to call the given one wrong.
_BETTER, _FAR = 1.3, 1.2
#: What is tried beside the given radius, against it.
_OTHERS = (1 / 3, 1 / 2, 1 / 1.4, 1.4, 2.0, 3.0)
#: Peaks that speak for a radius: few, for there may be few beads.
_BEST = 5
#: The highest of so many peaks of pure noise are not higher than this.
_NOISE = 6.5


@dataclass(frozen=True)
class BeadKind:
    """What beads look like: their radius [Å], and +1 if they are dark, -1 if bright."""

    radius: float
    sign: int

    def filter(self, size: tuple[int, int], pixel_size: float) -> MatchedFilter:
        """What finds them in images of this size [px] and pixel size [Å]."""
        binning = max(1.0, self.radius / pixel_size / RADIUS_PX)
        return MatchedFilter(Cropping.of(size, binning), self.radius, pixel_size, self.sign)


@dataclass(frozen=True, eq=False)
class _Sample:
    """Some images, and how bead-like they are for each kind of bead."""

    images: Sequence[Image]
    pixel_size: float
    signs: tuple[int, ...]

    def best(self, radii: Sequence[float]) -> tuple[float, BeadKind]:
        """The kind that is most bead-like, and how much."""
        kinds = [BeadKind(float(radius), sign) for radius in radii for sign in self.signs]
        scores = [self._score(kind) for kind in kinds]
        i = int(np.argmax(scores))
        return scores[i], kinds[i]

    def _score(self, kind: BeadKind) -> float:
        """The mean height of the highest peaks: the median over images."""
        height, width = self.images[0].shape
        matched = kind.filter((width, height), self.pixel_size)
        return float(np.median([self._height(matched, image) for image in self.images]))

    @staticmethod
    def _height(matched: MatchedFilter, image: Image) -> float:
        heights = matched.peaks(matched.response(matched.cropping.transform(image, Cpu()))).heights
        return float(heights[:_BEST].sum() / _BEST)


def bead_kind(images: Sequence[Image], pixel_size: float, options: FindOptions) -> BeadKind | None:
    """The kind of bead to search for; None if there seems to be none.

    Parameters
    ----------
    images : sequence of (y, x) arrays
        A few of the series.
    pixel_size : float
        [Å].
    options : FindOptions
        What is known.

    Raises
    ------
    ModelError
        If the radius that is given is impossible in such images, or plainly not that of the beads.
    """
    signs = {"auto": (1, -1), "dark": (1,), "bright": (-1,)}[options.contrast]
    sample = _Sample(images, pixel_size, signs)
    low = SMALLEST_PX * pixel_size
    high = _LARGEST * min(images[0].shape) * pixel_size
    if options.radius is None:
        return _measured(sample, max(low, _RANGE[0]), min(high, _RANGE[1]))
    radius = options.radius
    if not low <= radius <= high:
        raise ModelError(
            f"a radius of {radius:g} Å is {radius / pixel_size:.3g} px of these images of "
            f"{images[0].shape[1]} x {images[0].shape[0]} px: beads can be found in them if theirs "
            f"is from {low:.3g} to {high:.3g} Å"
        )
    score, kind = sample.best([radius])
    others = [radius * factor for factor in _OTHERS if low <= radius * factor <= high]
    if others and sample.best(others)[0] > max(_BETTER * score, _NOISE):
        measured = _measured(sample, max(low, radius / 4), min(high, 4 * radius))
        if measured and not 1 / _FAR < measured.radius / radius < _FAR:
            raise ModelError(
                f"the beads of these images have a radius of some {measured.radius:.0f} Å, not "
                f"{radius:g}: give --r {measured.radius:.0f}, or --r auto"
            )
    return kind


def _measured(sample: _Sample, low: float, high: float) -> BeadKind | None:
    if not low < high:
        return None
    n = int(np.ceil(np.log(high / low) / np.log(_STEP))) + 1
    score, kind = sample.best(np.geomspace(low, high, n).tolist())
    if score < _NOISE:
        return None
    fine = [kind.radius * _FINE**k for k in (-2, -1, 0, 1, 2)]
    return sample.best([r for r in fine if low <= r <= high])[1]
