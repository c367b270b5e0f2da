"""What stays where it is in the camera while the specimen moves: its gain, and the beam's edge."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.float32]

#: Parts of the variance of the gain: single pixels, dirt, fringes.
_SINGLE, _DIRT, _FRINGES = 0.4, 0.4, 0.2
#: Grains of dirt in 100 x 100 px, and their standard deviations [px].
_GRAINS, _SIZES = 2.0, (1.0, 8.0)
#: Fringes: how many, and their wavelengths [px].
_WAVES, _LENGTHS = 3, (12.0, 60.0)
#: What passes outside the beam, how soft its edge is [px], and its centre from the middle of the
#: image in parts of the shorter side.
_DARK, _SOFT, _CENTRE = 0.02, 3.0, 0.05


@dataclass(frozen=True, kw_only=True, eq=False)
class Camera:
    """The same for all images of a series.

    Parameters
    ----------
    gain : (height, width) float32 array
        What counts are multiplied with; 1 in the mean.
    lit : (height, width) float32 array
        The part of the beam's electrons that reaches each pixel.
    """

    gain: Image
    lit: Image

    @classmethod
    def random(
        cls, image_size: tuple[int, int], *, pattern: float, beam_edge: float, seed: int
    ) -> Camera:
        """A camera that is not quite flat, and a round beam that does not light all of it.

        Parameters
        ----------
        image_size : (int, int)
            Width and height [px].
        pattern : float
            Rms of the gain about 1.
        beam_edge : float
            The part of the image that is dark.
        seed : int
            The same gives the same.

        Examples
        --------
        >>> camera = Camera.random((64, 60), pattern=0.015, beam_edge=0.1, seed=1)
        >>> round(float(camera.gain.std()), 4), round(float((camera.lit < 0.5).mean()), 2)
        (0.015, 0.1)
        """
        rng = np.random.default_rng(seed)
        width, height = image_size
        y, x = np.mgrid[:height, :width].astype(np.float64)
        single = rng.standard_normal((height, width))
        parts = [(single, _SINGLE), (_dirt(rng, x, y), _DIRT), (_fringes(rng, x, y), _FRINGES)]
        made = sum(np.sqrt(share) * _standard(part) for part, share in parts)
        lit = np.ones((height, width))
        if beam_edge:
            off = rng.uniform(-_CENTRE, _CENTRE, 2) * min(image_size)
            distance = np.hypot(x - width / 2 - off[0], y - height / 2 - off[1])
            outside = (distance - np.quantile(distance, 1 - beam_edge)) / _SOFT
            lit = _DARK + (1 - _DARK) / (1 + np.exp(np.clip(outside, -40, 40)))
        return cls(
            gain=(1 + pattern * _standard(np.asarray(made))).astype(np.float32),
            lit=lit.astype(np.float32),
        )


def _standard(image: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """With mean 0 and standard deviation 1."""
    return np.asarray((image - image.mean()) / image.std())


def _dirt(
    rng: np.random.Generator, x: npt.NDArray[np.float64], y: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Dark grains."""
    made = np.zeros(x.shape)
    height, width = x.shape
    low, high = np.log(_SIZES)
    for _ in range(max(round(_GRAINS * made.size / 1e4), 1)):
        at, size = rng.uniform(0, 1, 2) * (width, height), np.exp(rng.uniform(low, high))
        rows, columns = (
            slice(max(int(c - 4 * size), 0), int(c + 4 * size) + 2) for c in (at[1], at[0])
        )
        box = rows, columns
        squared = (x[box] - at[0]) ** 2 + (y[box] - at[1]) ** 2
        made[box] -= rng.uniform(0.3, 1.0) * np.exp(-squared / (2 * size**2))
    return made


def _fringes(
    rng: np.random.Generator, x: npt.NDArray[np.float64], y: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Faint waves."""
    made = np.zeros(x.shape)
    for _ in range(_WAVES):
        direction, phase = rng.uniform(0, 2 * np.pi, 2)
        along = x * np.cos(direction) + y * np.sin(direction)
        made += np.cos(2 * np.pi * along / rng.uniform(*_LENGTHS) + phase)
    return made
