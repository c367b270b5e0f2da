"""A tomogram, and the alignment that is nearest to its own in files of another package."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tomoset import geometry
from tomoset.errors import UnsupportedError
from tomoset.formats._files import header_of
from tomoset.formats._importing import depth_hand
from tomoset.model import Tomogram

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Nearest:
    """What files of one tilt series say of its alignment.

    Parameters
    ----------
    tomogram : Tomogram
        Without the images that show nothing, its defocus where the files have it.
    read : (n_tilts, 4, 4) array
        The projections as they are read again.
    """

    tomogram: Tomogram
    read: Array

    @property
    def pixels(self) -> Array:
        """How far points are from where they were, in each image [px]."""
        t = self.tomogram
        corners = geometry.corners(t.need_size())
        return geometry.rigid_loss(t.need_projections(), self.read, corners)

    @property
    def bent_elsewhere(self) -> Array:
        """How much otherwise points are bent for being there, in each image [px]."""
        t = self.tomogram
        if t.deformation is None:
            return np.zeros(t.n_tilts)
        corners, size = geometry.corners(t.need_size()), t.need_image_size()
        inside = np.subtract(size, 1)
        one, other = (
            t.deformation.displacement(
                np.clip(geometry.apply(p, corners)[..., :2], 0, inside), image_size=size
            )
            for p in (t.need_projections(), self.read)
        )
        return np.asarray(np.linalg.norm(one - other, axis=-1).max(axis=1))

    @property
    def hand(self) -> int:
        """The hand for depth as the files have it."""
        return depth_hand(self.tomogram, self.read)

    @property
    def defocus(self) -> Array:
        """How far the defocus of points is from what it was, in each image [Å]."""
        t = self.tomogram
        own, read = t.need_projections()[:, 2, :3], self.read[:, 2, :3]
        turned = read if self.hand == t.hand else -read
        origin = np.zeros(3) if t.depth_origin is None else t.depth_origin
        deep = (own - turned) @ (geometry.corners(t.need_size()) - origin).T
        px = t.optics.pixel_size or 0.0
        return np.asarray(np.abs(deep).max(axis=1) * px * abs(t.defocus_slope))


def as_written(tomogram: Tomogram, package: str) -> Tomogram:
    """What of a tomogram goes into files: placed, without the images that show nothing, in order.

    Raises
    ------
    UnsupportedError
        If something that they need is not known.
    """
    t = tomogram.placed()
    refuse_lacking(t, package)
    if t.stack is None:
        raise UnsupportedError(
            f"tomogram {t.name!r} has no stack of its images, and {package} reads nothing else"
        )
    return t.select(shown(t))


def refuse_lacking(t: Tomogram, package: str) -> None:
    """Refuse a tomogram of whose alignment, or sizes, nothing is known."""
    lacks = [
        what
        for what, value in (
            ("an alignment", t.alignment if t.projections is None else t.projections),
            ("the size of the tomogram", t.size),
            ("the size of the tilt images", t.image_size),
        )
        if value is None
    ]
    if lacks:
        raise UnsupportedError(
            f"tomogram {t.name!r}: files of {package} need {' and '.join(lacks)}, which is not "
            "known (`size`, `image_size`)"
        )


def shown(t: Tomogram) -> npt.NDArray[np.int64]:
    """The rows of images that show something, or of all where none does, in the stack's order."""
    rows = np.arange(t.n_tilts) if t.ctf_scale is None else np.flatnonzero(t.ctf_scale)
    rows = rows if len(rows) else np.arange(t.n_tilts)
    return rows if t.image_index is None else rows[np.argsort(t.image_index[rows], kind="stable")]


def images_of(t: Tomogram) -> tuple[npt.NDArray[np.int64], int]:
    """Which images of its stack a tomogram has, from 0, and how many are there."""
    images = np.arange(t.n_tilts) if t.image_index is None else t.image_index
    header = header_of(t.stack)
    return images, max(int(images.max()) + 1, 0 if header is None else header.n_images)


def excluded_tilts(t: Tomogram) -> dict[int, float]:
    """Tilts, as far as they are known, of images of the stack that the tomogram has not [deg]."""
    return {
        int(e.tilt.image_index[0]): float(e.tilt.nominal_tilts[0])
        for e in t.exclusions
        if e.tilt.image_index is not None and e.tilt.nominal_tilts is not None
    }
