"""How deep the specimen lies where an image shows it, if it is flat and inclined."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tomoset.errors import ModelError
from tomoset.model import Tomogram

Array = npt.NDArray[np.float64]

#: Between the first and the last tilt there must be so much [deg].
_RANGE = 5.0
#: No specimen is seen at a lower angle to its plane [deg].
_GRAZING = 85.0


@dataclass(frozen=True, eq=False)
class Slab:
    """The plane of a specimen, and the directions in which it may be inclined.

    Parameters
    ----------
    normal, across : (3,) array
        Unit vectors of the tomogram: of the plane as the tomogram has it, and in it, across the
        tilt axis.
    axis : (3,) array
        The tilt axis in the plane.
    middle : (3,) array
        A voxel that it goes through.
    """

    normal: Array
    across: Array
    axis: Array
    middle: Array

    @classmethod
    def of(cls, tomogram: Tomogram) -> Slab:
        """The middle plane of a tomogram, perpendicular to that edge which beams are nearest to.

        Raises
        ------
        ModelError
            If it has no size, is not aligned, or its tilts do not differ: defocus then changes
            across no image, and nothing can be said of its sign.
        """
        size = tomogram.need_size()
        beams = tomogram.need_projections()[:, 2, :3]
        beams = beams / np.linalg.norm(beams, axis=1, keepdims=True)
        spread = np.rad2deg(np.arccos(np.clip(beams @ beams.T, -1, 1))).max(initial=0.0)
        if spread < _RANGE:
            raise ModelError(
                f"tomogram {tomogram.name!r}: its {tomogram.n_tilts} tilt image"
                f"{'s are' if tomogram.n_tilts != 1 else ' is'} within {spread:.1f} degrees; the "
                "hand shows only where tilts differ"
            )
        normal = np.zeros(3)
        normal[np.argmax(np.abs(beams.sum(axis=0)))] = 1.0
        axis = np.linalg.svd(beams)[2][2]
        axis = axis - normal * (axis @ normal)
        axis /= np.linalg.norm(axis)
        # The same way round in every frame, so that a pre-tilt has one sign.
        axis *= np.sign(axis[np.argmax(np.abs(axis))])
        return cls(normal, np.cross(axis, normal), axis, np.array(size) / 2)

    def depths(self, tomogram: Tomogram, points: Array, inclined: Array) -> Array:
        """Depth of what is seen at image points, as `Tomogram.depth` counts it.

        Parameters
        ----------
        tomogram : Tomogram
            Aligned.
        points : (n_points, 2) array
            x, y in 0-based pixels, the same of all images.
        inclined : (n, 2) array
            By how much the specimen is inclined: its normal against the tomogram's, rotated about
            the tilt axis, and about the direction across it [deg].

        Returns
        -------
        (n_tilts, n, n_points) float64 array
            [px]. Where the plane is seen edge-on, that at a grazing angle.
        """
        slope = np.tan(np.deg2rad(inclined))
        normals = self.normal + slope[:, :1] * self.across + slope[:, 1:] * self.axis
        found = np.empty((tomogram.n_tilts, len(inclined), len(points)))
        zero = tomogram.depth(np.zeros((1, 3)))[:, 0]
        for i, matrix in enumerate(tomogram.need_projections()):
            inverse = np.linalg.inv(matrix[:3, :3])
            # Voxels that the image shows at a point: `near`, of depth `zero`, and along `beam`.
            beam, near = inverse[:, 2], (points - matrix[:2, 3]) @ inverse[:, :2].T
            cosine = normals @ beam
            least = np.cos(np.deg2rad(_GRAZING)) * np.linalg.norm(normals, axis=1)
            cosine = np.where(np.abs(cosine) < least, np.copysign(least, cosine), cosine)
            found[i] = ((normals @ self.middle)[:, None] - normals @ near.T) / cosine[:, None]
        found += zero[:, None, None]
        return found
