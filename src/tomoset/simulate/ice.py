"""The slab of uneven ice, along the beam, and the streaks on its surfaces."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tomoset.simulate.acquisition import Acquisition, Views
from tomoset.simulate.doming import Doming
from tomoset.simulate.specimen import Specimen

Array = npt.NDArray[np.float64]


def ice_of(specimen: Specimen, acquisition: Acquisition, views: Views, image: int) -> Array:
    """Ice along the beam in one image, where it is by then [px]: (height, width).

    All depths of the ice move as the middle of the slab does.
    """
    tilt, xf = views.tilts[image], views.xf[image]
    still = ice(specimen, acquisition, tilt, xf)
    if views.doming is None:
        return still
    from scipy.ndimage import map_coordinates

    moved = _Beams(specimen, tilt, xf).moved(views.doming, image, acquisition)
    y, x = np.indices(still.shape, dtype=np.float64)
    return np.asarray(map_coordinates(still, [y - moved[1], x - moved[0]], order=1, mode="nearest"))


def ice(specimen: Specimen, acquisition: Acquisition, tilt: float, xf: Array) -> Array:
    """Ice along the beam, weighted by its density [px]: (height, width).

    A beam meets the middle plane of a level slab at x = across / cos t, and leaves it along
    (sin t, cos t) in x and depth. A wave of density, integrated along the beam through the
    slab, is again a wave in the image, weakened by a sinc: exact, and a product of a wave
    in the image's x and one in its y.
    """
    beams = _Beams(specimen, tilt, xf)
    path_length = specimen.slab / acquisition.pixel_size / beams.direction[1]
    kx, kd, ky, amplitude, phase = specimen.waves.T
    (a, b, dx), (c, d, dy) = xf
    across, up, det = *beams.in_image(kx, ky), beams.det
    along = kx * beams.direction[0] + kd * beams.direction[1] + ky * beams.direction[2]
    weight = amplitude * path_length * np.sinc(along * path_length / (2 * np.pi))
    right, above = (np.arange(n) - (n - 1) / 2 for n in acquisition.image_size)
    along_x = np.exp(1j * np.outer(right, across * a / det + up * c)).astype(np.complex64)
    along_y = np.exp(1j * np.outer(above, across * b / det + up * d)).astype(np.complex64)
    start = np.exp(1j * (phase + across * dx / det + up * dy))
    waves = (along_y * (weight * start).astype(np.complex64)) @ along_x.T
    made = np.asarray(path_length + waves.real, dtype=np.float64)
    for streaks in specimen.lamella.streaks if specimen.lamella is not None else ():
        pixel_size = acquisition.pixel_size
        x, y = beams.meet(streaks.depth / pixel_size, acquisition.image_size)
        height = streaks.height(x * pixel_size, y * pixel_size)
        made += height / pixel_size / beams.direction[1]
    return made


class _Beams:
    """How the beams of an image's pixels pass the slab, in its own frame: x, depth, y [px]."""

    def __init__(self, specimen: Specimen, tilt: float, xf: Array) -> None:
        sin, cos = np.sin(np.deg2rad(tilt)), np.cos(np.deg2rad(tilt))
        x, depth, y = specimen.orientation
        # The aligned image's x (across the axis) and y (up), of a point of the slab.
        self.seen = np.stack([cos * x - sin * depth, y])
        self.direction = sin * x + cos * depth
        self.xf = xf
        (p, _, q), (r, _, s) = self.seen
        self.det = p * s - q * r

    def in_image(self, kx: Array, ky: Array) -> tuple[Array, Array]:
        """A wave of a plane along the slab, in the aligned image: along x (times det), along y."""
        (p, _, q), (r, _, s) = self.seen
        return kx * s - ky * r, ky * (p / self.det) - kx * (q / self.det)

    def meet(self, depth: float, image_size: tuple[int, int]) -> tuple[Array, Array]:
        """x and y where the beam of each pixel meets a depth of the slab: (height, width) each."""
        right, above = (np.arange(n) - (n - 1) / 2 for n in image_size)
        (a, b, dx), (c, d, dy) = self.xf
        across = a * right + b * above[:, None] + dx - self.seen[0, 1] * depth
        up = c * right + d * above[:, None] + dy - self.seen[1, 1] * depth
        (p, _, q), (r, _, s) = self.seen
        return (s * across - q * up) / self.det, (p * up - r * across) / self.det

    def moved(self, doming: Doming, image: int, acquisition: Acquisition) -> Array:
        """How far the middle of the slab has moved in the image: x and y, (2, height, width)."""
        at = np.stack(self.meet(0.0, acquisition.image_size), axis=-1)
        moved = doming.displacement(image, at.reshape(-1, 2)) / acquisition.pixel_size
        back = np.linalg.inv(self.xf[:, :2]) @ self.seen
        return np.asarray((moved @ back.T).T.reshape(2, *at.shape[:2]))
