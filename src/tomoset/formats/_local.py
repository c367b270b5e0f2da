"""Local shifts of tilt images as RELION's 2D deformation: one fit for all formats."""

from __future__ import annotations

import functools

import numpy as np
import numpy.typing as npt

from tomoset.geometry import DeformationBasis
from tomoset.model import Deformation
from tomoset.run import one_thread

Array = npt.NDArray[np.float64]

#: Nodes along an axis: RELION's default, and the most that are of use.
NODES = (3, 6)
#: Points along each axis at which a field is fitted.
_SAMPLES = 33


def sample_points(image_size: tuple[int, int]) -> Array:
    """Where fields have to be known, over the whole image: (m, 2) [px]."""
    sides = [np.linspace(0, side - 1, _SAMPLES) for side in image_size]
    return np.stack(np.meshgrid(*sides), axis=-1).reshape(-1, 2)


def nearest_spline(
    fields: Array, nodes: int, image_size: tuple[int, int], weights: Array | None = None
) -> Deformation:
    """The spline that is nearest to fields, by least squares over the image.

    Parameters
    ----------
    fields : (n, m, 2) array
        Displacements in n tilt images, at `sample_points` [px].
    nodes : int
        Along each axis.
    image_size : (int, int)
        [px]
    weights : (n, m) array, optional
        Of the points in each image, above 0.
    """
    values, inverse = _solver(nodes, image_size)
    if weights is None:
        found = np.swapaxes(inverse @ fields, 1, 2)
    else:
        with one_thread():
            pulled = [values.T * w for w in weights]
            found = np.stack(
                [np.linalg.solve(p @ values, p @ f).T for p, f in zip(pulled, fields, strict=True)]
            )
    return Deformation(
        kind="spline", grid=(nodes, nodes), coefficients=found.reshape(len(fields), -1)
    )


@functools.cache
def _solver(nodes: int, image_size: tuple[int, int]) -> tuple[Array, Array]:
    """The functions of the spline at the points, and what makes coefficients of values there."""
    values = DeformationBasis("spline", (nodes, nodes), image_size).values(
        sample_points(image_size)
    )
    return values, np.asarray(np.linalg.pinv(values), dtype=np.float64)
