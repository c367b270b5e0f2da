"""The proof that two descriptions of a tomogram agree: points projected through both."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tomoset.errors import UnsupportedError
from tomoset.model import Tomogram, TomogramSet

Array = npt.NDArray[np.float64]

#: A conversion that is off by more than this has failed [px, Å].
MAX_POSITION, MAX_DEFOCUS = 1e-3, 0.1

#: Where neither side knows a size, both are compared with these [px]: the differences do not
#: depend on them.
_ANY_SIZE, _ANY_IMAGE = (1000, 1000, 500), (1000, 1000)


@dataclass(frozen=True, kw_only=True)
class Proof:
    """How far apart two descriptions of one tomogram are.

    Parameters
    ----------
    points : int
        Points that were projected through both.
    position : float
        Largest difference of image positions [px].
    defocus : float or None
        Largest difference of defocus [Å]; None where there is no defocus.
    """

    points: int
    position: float
    defocus: float | None


def prove(
    before: TomogramSet,
    after: TomogramSet,
    particles: Mapping[str, tuple[Array, Array]] | None = None,
) -> dict[str, Proof]:
    """Project points through two sets, and see how far the images are apart.

    Parameters
    ----------
    before, after : TomogramSet
        The source, and the target as it was read back. Tilt images in the same order.
    particles : mapping of str to (array, array), optional
        Positions of particles in each, by tomogram [voxels]; besides a grid of 75 points.

    Returns
    -------
    dict of str to Proof
        For each tomogram that is aligned.

    Raises
    ------
    UnsupportedError
        If a tomogram is missing in the target or has lost its alignment or tilt images.
    """
    proofs = {}
    for name, tomogram in before.items():
        if name not in after:
            raise UnsupportedError(f"tomogram {name!r} is not in the target")
        source, target = _comparable(tomogram, after[name])
        if source.projections is None and target.projections is None:
            continue
        if target.projections is None or source.n_tilts != target.n_tilts:
            raise UnsupportedError(
                f"tomogram {name!r}: the target has lost its alignment or tilt images"
            )
        pairs = [(_grid(source), _grid(source))]
        if particles and name in particles:
            pairs.append(particles[name])
        proofs[name] = _proof(source, target, pairs)
    return proofs


def _comparable(source: Tomogram, target: Tomogram) -> tuple[Tomogram, Tomogram]:
    """Both with projections: sizes that one knows serve the other, and any where none does."""
    size = source.size or target.size
    image = source.image_size or target.image_size
    waiting = source.alignment is not None and target.alignment is not None
    if waiting:
        size, image = size or _ANY_SIZE, image or _ANY_IMAGE
    return source.placed(size, image), target.placed(size, image)


def _grid(tomogram: Tomogram) -> Array:
    """75 points from corner to corner of the tomogram [voxels]."""
    width, height, depth = tomogram.size or _ANY_SIZE
    x, y = np.linspace(0, width - 1, 5), np.linspace(0, height - 1, 5)
    z = np.linspace(0, depth - 1, 3)
    return np.stack(np.meshgrid(x, y, z, indexing="ij"), axis=-1).reshape(-1, 3)


def _proof(source: Tomogram, target: Tomogram, pairs: Iterable[tuple[Array, Array]]) -> Proof:
    points, position, defocus = 0, 0.0, None
    for here, there in pairs:
        if not len(here):
            continue
        points += len(here)
        apart = np.linalg.norm(source.project(here) - target.project(there), axis=-1)
        position = max(position, float(apart.max()))
        if source.defocus_u is not None and target.defocus_u is not None:
            change = np.abs(source.defocus(here) - target.defocus(there)).max()
            defocus = max(defocus or 0.0, float(change))
    return Proof(points=points, position=position, defocus=defocus)
