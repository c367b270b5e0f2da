"""Which point of the specimen a place in a tilt image may be."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tomoset.errors import ModelError
from tomoset.model import Tomogram

Array = npt.NDArray[np.float64]


def on_plane(t: Tomogram, tilt: int, places: npt.ArrayLike, z: float) -> Array:
    """Where lines of sight through places of a tilt image meet a plane across z.

    Parameters
    ----------
    t : Tomogram
        Aligned.
    tilt : int
        Of the image, from 0.
    places : (n, 2) array
        x, y in 0-based pixels of the image.
    z : float
        Of the plane [0-based voxels].

    Returns
    -------
    (n, 3) float64 array
        0-based voxels.

    Raises
    ------
    ModelError
        If the plane is seen edge-on, or the tomogram is not aligned.

    Examples
    --------
    >>> from tomoset import geometry
    >>> from tomoset.model import Optics
    >>> t = Tomogram(name="a", n_tilts=1, optics=Optics(pixel_size=2.0),
    ...              projections=geometry.rotation_y([60.0]))
    >>> t.project(on_plane(t, 0, [[5.0, 7.0]], 3.0)).round(9).tolist()
    [[[5.0, 7.0]]]
    """
    matrix = t.need_projections()[tilt]
    seen = np.asarray(places, dtype=np.float64)
    if t.deformation is not None:
        every = np.broadcast_to(seen, (t.n_tilts, *seen.shape))
        seen = t.deformation.undo(every, image_size=t.need_image_size())[tilt]
    offset = matrix[:2, 3] + matrix[:2, 2] * z
    if abs(np.linalg.det(matrix[:2, :2])) < 1e-6:
        raise ModelError(f"tilt image {tilt + 1} of {t.name!r} sees the plane edge-on")
    across = np.linalg.solve(matrix[:2, :2], (seen - offset).T).T
    return np.concatenate([across, np.full((len(seen), 1), z)], axis=1)
