"""Whether images of a tilt series agree with its tilt axis.

Summed across the tilt axis, all images of a series are one profile along it (their common line):
at the right axis even those far apart in tilt agree, at others less. Noise, and a pattern that all
images share, make no direction much better than others.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tomoset.images.tilt_series import TiltSeries
from tomoset.model import Tomogram

Array = npt.NDArray[np.float64]

#: Images are averaged down to so many pixels ...
_SIZE = 96
#: ... of which profiles keep so many waves across the image.
_WAVES = np.arange(2.0, 24.0, 0.5)
#: Directions that are tried, from the axis that is said [deg].
_TRIED = np.arange(0.0, 180.0, 6.0)
#: Shifts between images that are tried [px of these].
_SHIFTS = np.arange(-10.0, 11.0)
#: Images so far apart in tilt are compared: close ones agree along any direction [deg].
_APART = (15.0, 30.0)
#: Profiles along the common line agree so well; along an axis that is wrong they disagree so many
#: times as much, and by so much more ...
_AGREE, _TIMES, _MORE = 0.7, 3.0, 0.03
#: ... and an axis that is off by less is not told from a rough one [deg].
_OFF = 20.0


def contradicted_axis(t: Tomogram, series: TiltSeries) -> str | None:
    """What the images say of the tilt axis, if that is clearly another one than the set says.

    Parameters
    ----------
    t : Tomogram
        Aligned or not; where it is not, nothing is said.
    series : TiltSeries
        Its images.
    """
    if t.projections is None or t.size is None:
        return None
    tilts = t.tilt_angles
    apart = np.abs(tilts[:, None] - tilts)
    pairs = (apart >= _APART[0]) & (apart <= _APART[1])
    if not pairs.any() or min(series.size) < _SIZE:
        return None
    middles = t.project([(np.array(t.size) - 1) / 2])[:, 0]
    lines = np.stack(
        [
            _lines(*_small(series.read(i), middles[i]), np.deg2rad(axis + _TRIED))
            for i, axis in enumerate(t.tilt_axis_angles)
        ]
    )
    agreement = np.array([_agreement(one, pairs) for one in lines.swapaxes(0, 1)])
    best = int(agreement.argmax())
    off = min(_TRIED[best], 180 - _TRIED[best])
    at_best, as_said = 1 - agreement[best], 1 - agreement[0]
    unclear = at_best > 1 - _AGREE or as_said < max(_TIMES * at_best, at_best + _MORE)
    # Stripes of a detector make one direction agree best, and leave the axis better than most.
    if off < _OFF or unclear or agreement[0] > np.median(agreement):
        return None
    said = float(np.median(t.tilt_axis_angles))
    return (
        f"the tilt axis lies at {said:.0f}° (counter-clockwise from y), but the images have a "
        f"common line at some {(said + _TRIED[best] + 90) % 180 - 90:.0f}°"
    )


def _agreement(lines: npt.NDArray[np.complex128], pairs: npt.NDArray[np.bool_]) -> float:
    """Mean correlation of pairs of profiles at their best shifts: images may be unaligned."""
    one, other = np.nonzero(np.triu(pairs))
    products = lines[one] * lines[other].conj()
    shifted = products @ np.exp(2j * np.pi / _SIZE * np.outer(_WAVES, _SHIFTS))
    return float(shifted.real.max(axis=1).mean())


def _small(image: npt.NDArray[np.float32], middle: Array) -> tuple[Array, Array]:
    """The image averaged down, faded out about a point, and where that is in it."""
    step = min(image.shape) // _SIZE
    corner = np.clip(
        np.round(middle - step * (_SIZE - 1) / 2).astype(int),
        0,
        np.array(image.shape[::-1]) - step * _SIZE,
    )
    x, y = corner
    part = image[y : y + step * _SIZE, x : x + step * _SIZE]
    small = part.reshape(_SIZE, step, _SIZE, step).mean(axis=(1, 3), dtype=np.float64)
    at = (middle - corner + 0.5) / step - 0.5
    v, u = np.indices(small.shape)
    fade = np.clip((0.95 - np.hypot(u - at[0], v - at[1]) / (_SIZE / 2)) / 0.2, 0, 1)
    weight = fade**2 * (3 - 2 * fade)
    return (small - np.average(small, weights=weight + 1e-12)) * weight, at


def _lines(image: Array, middle: Array, directions: Array) -> npt.NDArray[np.complex128]:
    """Waves of the profiles along some directions, each profile of length 1: (n, waves)."""
    lines = []
    for angle in directions:
        along = np.array([-np.sin(angle), np.cos(angle)])
        x, y = (
            np.exp(-2j * np.pi / _SIZE * a * np.outer(_WAVES, np.arange(_SIZE) - m))
            for a, m in zip(along, middle, strict=True)
        )
        line = np.einsum("ky,yk->k", y, image @ x.T)
        lines.append(line / max(float(np.linalg.norm(line)), 1e-30))
    return np.array(lines)
