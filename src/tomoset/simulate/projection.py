"""How each image sees the specimen, written out point by point.

Nothing here comes from `tomoset.geometry` or the model: the one is a test of the other.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from tomoset.simulate.acquisition import Acquisition, Views
from tomoset.simulate.specimen import Specimen

Array = npt.NDArray[np.float64]

#: Nodes of the spline that deforms an image, along x and along y.
NODES = 3


def project(
    specimen: Specimen, acquisition: Acquisition, views: Views, voxels: npt.ArrayLike
) -> Array:
    """Where voxels of the tomogram lie in the raw images.

    Parameters
    ----------
    specimen, acquisition, views
        What is seen, how, and the truth of each image.
    voxels : (n_points, 3) or (n_tilts, n_points, 3) array
        x, y, z, 0-based; the same for all images, or other ones for each.

    Returns
    -------
    (n_tilts, n_points, 2) float64 array
        x, y in 0-based pixels, the deformation included.
    """
    positions = np.asarray(voxels, dtype=np.float64)
    moving = np.broadcast_to(positions, (len(views.tilts), *positions.shape[-2:]))
    return np.stack([see(specimen, acquisition, views, i, v)[0] for i, v in enumerate(moving)])


def see(
    specimen: Specimen, acquisition: Acquisition, views: Views, image: int, voxels: Array
) -> tuple[Array, Array]:
    """Where one image shows voxels, (n, 2) [px], and how deep they lie, (n,) [px].

    Depth runs along the beam, from voxel size/2 - 1 of the tomogram, where the table's defocus
    holds: the specimen's depth runs the other way.
    """
    at = specimen.from_axis(voxels)
    angle = np.deg2rad(views.tilts[image])
    # The specimen rotates, and is seen along depth, in the aligned image.
    across = at[:, 0] * np.cos(angle) - at[:, 1] * np.sin(angle)
    along = -at[:, 0] * np.sin(angle) - at[:, 1] * np.cos(angle)
    x0, depth0, _ = specimen.from_axis(np.array(specimen.size)[None] / 2 - 1)[0]
    origin = -x0 * np.sin(angle) - depth0 * np.cos(angle)
    # The raw image is where IMOD's transform came from: solve A p = q - d.
    (a, b, dx), (c, d, dy) = views.xf[image]
    u, v = across - dx, at[:, 2] - dy
    width, height = acquisition.image_size
    x = (d * u - b * v) / (a * d - b * c) + (width - 1) / 2
    y = (a * v - c * u) / (a * d - b * c) + (height - 1) / 2
    seen = np.stack([x, y], axis=-1)
    if views.deformation is not None:
        seen = seen + deform(views.deformation[image], seen, acquisition.image_size)
    return seen, along - origin


def matrices(specimen: Specimen, acquisition: Acquisition, views: Views) -> Array:
    """Projections from 0-based voxels to pixels and depth, without the deformation: (n, 4, 4)."""
    straight = replace(views, deformation=None)
    corners = np.vstack([np.zeros(3), np.eye(3)])
    made = np.zeros((len(views.tilts), 4, 4))
    made[:, 3, 3] = 1.0
    for i, matrix in enumerate(made):
        seen, depth = see(specimen, acquisition, straight, i, corners)
        rows = np.column_stack([seen, depth]).T
        matrix[:3, 3] = rows[:, 0]
        matrix[:3, :3] = rows[:, 1:] - rows[:, :1]
    return made


def deform(coefficients: Array, points: Array, image_size: tuple[int, int]) -> Array:
    """Displacements by RELION's spline (docs/relion.md, 'Deformation'): (n, 2) [px].

    Parameters
    ----------
    coefficients : (72,) array
        Of one image: for shifts in x and in y, node by node, x fastest: value, slope along x,
        slope along y, and twist, per cell [px].
    points : (n, 2) array
        x, y [px]. Those outside are taken to the edge.
    image_size : (int, int)
        Width and height [px].
    """
    nodes = coefficients.reshape(2, NODES, NODES, 4)
    cells = NODES - 1
    position = np.clip(points / np.array(image_size) * cells, 0, cells)
    cell = np.minimum(np.floor(position), cells - 1).astype(np.int64)
    weights = [_hermite(position[:, axis] - cell[:, axis]) for axis in (0, 1)]
    displaced = np.zeros((len(points), 2))
    for right in (0, 1):
        for up in (0, 1):
            value, slope_x, slope_y, twist = np.moveaxis(
                nodes[:, cell[:, 1] + up, cell[:, 0] + right], -1, 0
            )
            level_x, rise_x = weights[0][right]
            level_y, rise_y = weights[1][up]
            part = level_x * (level_y * value + rise_y * slope_y)
            displaced += (part + rise_x * (level_y * slope_x + rise_y * twist)).T
    return displaced


def _hermite(s: Array) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    """Cubic weights of value and slope at the cell's start, and at its end."""
    start = (1 + 2 * s) * (1 - s) ** 2, s * (1 - s) ** 2
    end = s * s * (3 - 2 * s), s * s * (s - 1)
    return start, end
