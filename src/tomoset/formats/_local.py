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


def nearest_spline(fields: Array, nodes: int, image_size: tuple[int, int]) -> Deformation:
    """The spline that is nearest to fields, by least squares over the image.

    Parameters
    ----------
    fields : (n, m, 2) array
        Displacements in n tilt images, at `sample_points` [px].
    nodes : int
        Along each axis.
    image_size : (int, int)
        [px]
    """
    found = np.swapaxes(fields, 1, 2) @ _solver(nodes, image_size).T
    return Deformation(
        kind="spline", grid=(nodes, nodes), coefficients=found.reshape(len(fields), -1)
    )


@functools.cache
def _solver(nodes: int, image_size: tuple[int, int]) -> Array:
    """What makes the coefficients of values at the points."""
    values = DeformationBasis("spline", (nodes, nodes), image_size).values
    return np.asarray(np.linalg.pinv(values(sample_points(image_size))), dtype=np.float64)
