"""Two alignments of one tilt series: the same images, seen in two frames of space."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from tomoset import geometry
from tomoset.errors import ModelError
from tomoset.formats import CommonTilts, common_tilts
from tomoset.model import Tomogram
from tomoset.project.verify import comparable, grid_of

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Pair:
    """A tomogram in two sets, with the tilt images that both have, in one order.

    Frames are voxels of each, 0-based at bin 1; distances in images are pixels of the old one.

    Parameters
    ----------
    old, new : Tomogram
        With projections.
    scale : float
        New pixels to one of the old images: not 1 where these were binned.
    old_tilts, new_tilts : int
        How many images each set has.
    how : str
        How they were matched.
    """

    old: Tomogram
    new: Tomogram
    scale: float
    old_tilts: int
    new_tilts: int
    how: str

    @staticmethod
    def of(old: Tomogram, new: Tomogram, common: CommonTilts | None = None) -> Pair:
        """Match the tilt images of two versions of a tomogram, unless they have been.

        Raises
        ------
        TomosetError
            If images cannot be matched, or one version has no projections.
        """
        common = common or common_tilts(old, new)
        ours, theirs = comparable(old.select(common.rows), new.select(common.lines))
        ours.need_projections()
        theirs.need_projections()
        return Pair(
            old=ours,
            new=theirs,
            scale=_scale(ours, theirs),
            old_tilts=old.n_tilts,
            new_tilts=new.n_tilts,
            how=common.how,
        )

    @cached_property
    def points(self) -> Array:
        """Points of the specimen: a grid of the old tomogram, (n, 3) voxels of it."""
        return grid_of(self.old)

    @cached_property
    def middle(self) -> Array:
        """The voxel in the middle of the old tomogram: (1, 3)."""
        return np.asarray(self.points.mean(axis=0, keepdims=True))

    def seen(self, points: Array) -> Array:
        """Where the old alignment sees points: (n_tilts, n, 2) [px]; NaN beyond bent images."""
        at = self.old.project(points)
        for t in (self.old, self.new):
            if t.deformation is not None:
                edge = np.subtract(t.need_image_size(), 1) / (1 if t is self.old else self.scale)
                at = np.where(((at >= 0) & (at <= edge)).all(axis=-1, keepdims=True), at, np.nan)
        return at

    def triangulated(self, points: Array) -> Array:
        """Where the new alignment has them, by least squares: (n, 3) voxels of the new tomogram.

        NaN where too few images show a point.
        """
        return self.new.triangulate(self.seen(points) * self.scale)

    def motion(self, *, mirrored: bool = False) -> Array:
        """The transform from old voxels to new ones that best explains both: (4, 4).

        A rigid motion, and the ratio of pixel sizes.

        Raises
        ------
        ModelError
            If the common images do not fix points of space.
        """
        seen = self.seen(self.points)
        there = self.new.triangulate(seen * self.scale) / self.scale
        known = np.isfinite(there).all(axis=1)
        if known.sum() < 4:
            raise ModelError(
                f"tomogram {self.old.name!r}: the {self.old.n_tilts} tilt images that both sets "
                "have do not fix points of space, so two alignments cannot be compared; compare "
                "sets with more images of the series in common"
            )
        weights = geometry.projected_weights(
            self.new.need_projections(), np.isfinite(seen[:, known, 0])
        )
        rigid = geometry.rigid_motion(self.points[known], there[known], weights, mirrored=mirrored)
        return np.diag([self.scale, self.scale, self.scale, 1.0]) @ rigid

    def apart(self, points: Array, there: Array) -> Array:
        """How far the new alignment shows points from where the old one does.

        Parameters
        ----------
        points, there : (n, 3) arrays
            The same places, in voxels of the old and of the new tomogram.

        Returns
        -------
        (n_tilts, n, 2) float64 array
            [px of the old images]; NaN beyond images that are bent.
        """
        return np.asarray(self.new.project(there) / self.scale - self.seen(points))


#: Pixel sizes that differ by no more were calibrated anew, and are of the same images.
_CALIBRATED = 0.05


def _scale(old: Tomogram, new: Tomogram) -> float:
    """New pixels to one of the old: 1 if both are of the same images."""
    if old.optics.pixel_size is None or new.optics.pixel_size is None:
        return 1.0
    ratio = old.optics.pixel_size / new.optics.pixel_size
    return 1.0 if abs(ratio - 1) <= _CALIBRATED else ratio
