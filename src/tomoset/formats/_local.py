"""Local shifts of tilt images as RELION's 2D deformation: one fit for all formats."""

from __future__ import annotations

import functools

import numpy as np
import numpy.typing as npt

from tomoset.geometry import DeformationBasis
from tomoset.model import Deformation

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
        found = _weighted(values, fields, weights, nodes)
    return Deformation(
        kind="spline", grid=(nodes, nodes), coefficients=found.reshape(len(fields), -1)
    )


def _weighted(values: Array, fields: Array, weights: Array, nodes: int) -> Array:
    """Coefficients by weighted least squares: (n, 2, 4 nodes^2).

    Functions are products of one of x and one of y, and points a grid, so that sums over its rows
    come before those over its columns.
    """
    n, m, k = len(fields), _SAMPLES, 2 * nodes
    parts = values.reshape(m, m, nodes, nodes, 2, 2)  # by the row, and by place of the point
    x = parts[0, :, 0, :, 0, :].reshape(m, k)
    y = parts[:, 0, :, 0, :, 0].reshape(m, k)
    xx, yy = ((v[:, :, None] * v[:, None]).reshape(m, k * k) for v in (x, y))
    w = weights.reshape(n, m, m)
    normal = (yy.T @ (w @ xx)).reshape(n, k, k, k, k).swapaxes(2, 3).reshape(n, k * k, k * k)
    pulled = y.T @ ((w[:, None] * np.moveaxis(fields, 2, 1).reshape(n, 2, m, m)) @ x)
    found = np.linalg.solve(normal, np.swapaxes(pulled.reshape(n, 2, k * k), 1, 2))
    by_axis = np.swapaxes(found, 1, 2).reshape(n, 2, nodes, 2, nodes, 2)
    return np.asarray(by_axis.swapaxes(3, 4).reshape(n, 2, k * k))


@functools.cache
def _solver(nodes: int, image_size: tuple[int, int]) -> tuple[Array, Array]:
    """The functions of the spline at the points, and what makes coefficients of values there."""
    values = DeformationBasis("spline", (nodes, nodes), image_size).values(
        sample_points(image_size)
    )
    return values, np.asarray(np.linalg.pinv(values), dtype=np.float64)
