"""Images whose background is as strong at every frequency, so that pixels may count alike.

A least-squares fit of a bead is the best one where noise is white. Ice and protein are not: what is
coarse in them would pull beads to one side. One filter serves all images of a series, so that a
bead looks the same in all of them.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from tomoset.fiducials.finder.template import bead_image
from tomoset.fiducials.finder.transform import radial_power, rings, symmetric_transform
from tomoset.images.device import Cpu
from tomoset.images.fourier import Cropping

Array = npt.NDArray[np.float64]
Image = npt.NDArray[np.float32]

#: A bead's radius in these images [px]: finer pixels add nothing but time.
_RADIUS_PX = 10.0


class Whitening:
    """Makes the background of images white.

    Parameters
    ----------
    images : iterable of (y, x) arrays
        Some of the series, which show its mean spectrum.
    size : (int, int)
        Their width and height [px].
    radius : float
        Of a bead [px of the images as stored].
    """

    def __init__(self, images: Iterable[Image], size: tuple[int, int], radius: float) -> None:
        self.cropping = Cropping.of(size, max(1.0, radius / _RADIUS_PX))
        self._rings = rings(self.cropping)
        power = np.zeros(int(self._rings.max()) + 1)
        for image in images:
            of_this = radial_power(self.cropping.transform(image, Cpu()), self._rings)
            power += of_this / np.median(of_this)  # its contrast is its own
        self._filter = (1 / np.sqrt(power)).astype(np.float32)[self._rings]

    @property
    def factors(self) -> Array:
        """Pixels as stored in one of the white images, along x and y."""
        return np.array(self.cropping.factors)

    def image(self, image: Image) -> Image:
        """The white image: (y, x)."""
        transform = self.cropping.transform(image, Cpu())
        transform *= self._filter
        white: Image = self.cropping.image_of(transform, Cpu())
        return white

    def bead(self, radius: float, pixel_size: float, half: int) -> Array:
        """A ball of gold of a radius [Å] as white images show it: (2 half + 1, 2 half + 1).

        Parameters
        ----------
        radius : float
            [Å].
        pixel_size : float
            Of the images as stored [Å].
        half : int
            Of the patch [px].
        """
        import scipy.fft

        pixel = pixel_size * float(np.mean(self.factors))
        ball = bead_image(radius, pixel, int(np.ceil(radius / pixel)) + 1)
        transform = symmetric_transform(ball, self.cropping.cropped) * self._filter
        width, height = self.cropping.cropped
        image = scipy.fft.irfft2(transform, s=(height, width))
        along = np.arange(-half, half + 1)
        return np.asarray(image[along[:, None], along])
