"""Boxes cut out of tilt images, by whole pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from tomoset.errors import ModelError

Array = npt.NDArray[np.float64]
Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
Slices = npt.NDArray[np.complex64]


class TiltImages(Protocol):
    """Images that can be read one by one, several threads at once: `TiltSeries`."""

    size: tuple[int, int]

    def read(self, i: int, /) -> Floats: ...


def shifted(slices: Slices, by: Array) -> Slices:
    """The transforms of images (n, box, box), each shifted by x, y [px].

    Parameters
    ----------
    slices : (n, box, box // 2 + 1) complex64 array
        As ``rfft2`` gives them.
    by : (n, 2) array
        [px]
    """
    box = slices.shape[1]
    kx, ky = np.fft.rfftfreq(box), np.fft.fftfreq(box)[:, None]
    waves = [
        np.exp(-2j * np.pi * by[:, i, None, None] * k).astype(np.complex64)
        for i, k in enumerate((kx, ky))
    ]
    return np.asarray(slices * waves[0] * waves[1])


@dataclass(frozen=True, eq=False)
class ParticleImages:
    """Boxes of tilt images.

    Parameters
    ----------
    boxes : (n_points, n_tilts, box, box) float32 array
        Cut by whole pixels: no value is interpolated. 0 outside of the images.
    offsets : (n_points, n_tilts, 2) array
        x, y of each point in its box [px]: box // 2 and up to half a pixel.
    """

    boxes: Floats
    offsets: Array

    def centred(self) -> ParticleImages:
        """With every point at pixel box // 2 exactly, by phases of the boxes' transforms."""
        import scipy.fft

        box = self.boxes.shape[-1]
        transforms = scipy.fft.rfft2(self.boxes.reshape(-1, box, box))
        centred = shifted(transforms, box // 2 - self.offsets.reshape(-1, 2))
        boxes = scipy.fft.irfft2(centred, s=(box, box)).reshape(self.boxes.shape)
        return ParticleImages(boxes, np.full_like(self.offsets, box // 2))


def extract_boxes(images: TiltImages, at: Array, box: int) -> ParticleImages:
    """Cut a box out of every image about each of some points.

    Parameters
    ----------
    images : TiltImages
        One is in memory at a time.
    at : (n_points, n_tilts, 2) array
        x, y where the points are in each image [px].
    box : int
        Of the boxes [px].

    Raises
    ------
    ModelError
        If the box is empty.
    """
    if box < 1:
        raise ModelError(f"the box must be 1 px or more, not {box}")
    corners = np.rint(at).astype(np.int64) - box // 2
    boxes = np.empty((*at.shape[:2], box, box), np.float32)
    for t in range(at.shape[1]):
        boxes[:, t] = cut(images.read(t), corners[:, t], box)
    return ParticleImages(boxes, at - corners)


def cut(image: Floats, corners: Ints, box: int) -> Floats:
    """Boxes of an image whose first pixels are at x, y; 0 outside of it: (n, box, box)."""
    from tomoset.images import _kernels

    boxes = np.empty((len(corners), box, box), np.float32)
    _kernels.cut(image, corners, boxes)
    return boxes
