"""Verification that two descriptions of a tomogram agree: points projected through both."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

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


@dataclass(frozen=True, kw_only=True, eq=False)
class Verification:
    """How far apart two descriptions of one tomogram are.

    Parameters
    ----------
    points : int
        Points that were projected through both.
    position : (n_tilts,) array
        Largest difference of image positions [px].
    defocus : (n_tilts,) array
        Largest difference of defocus [Å]; 0 where neither has one.
    pixel_size : float
        Of the tilt images [Å].
    differs : tuple of str
        What else is not the same: doses, optics, particles that are gone.
    """

    points: int
    position: Array
    defocus: Array
    pixel_size: float
    differs: tuple[str, ...] = ()

    def holds(self, lost: Array | float = 0.0, deep: Array | float = 0.0) -> bool:
        """Whether nothing is further off than was announced, tilt image by tilt image.

        Parameters
        ----------
        lost, deep : (n_tilts,) array or float
            Announced losses: in the image [px], of defocus [Å].
        """
        near = self.position <= MAX_POSITION + lost
        focused = self.defocus <= MAX_DEFOCUS + deep
        return not self.differs and bool(near.all() and focused.all())

    def without(self, fields: Iterable[str]) -> Verification:
        """The same, but for fields whose loss was announced."""
        return replace(self, differs=tuple(f for f in self.differs if f not in set(fields)))


Pairs = Mapping[str, tuple[Array, Array]]


def verify(
    before: TomogramSet, after: TomogramSet, particles: Pairs | None = None
) -> dict[str, Verification]:
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
        For each tomogram that is aligned, or differs in something else.

    Raises
    ------
    UnsupportedError
        If tomograms, tilt images or an alignment are lost.
    """
    if list(before) != list(after):
        raise UnsupportedError(
            f"the target has other tomograms: {', '.join(after) or 'none'} instead of "
            f"{', '.join(before)}"
        )
    verifications = {}
    for name, tomogram in before.items():
        source, target = comparable(tomogram, after[name])
        if source.n_tilts != target.n_tilts:
            raise UnsupportedError(f"tomogram {name!r}: the target has lost tilt images")
        aligned = source.projections is not None
        if aligned and target.projections is None:
            raise UnsupportedError(f"tomogram {name!r}: the target has lost its alignment")
        differs = _differences(source, target)
        if aligned or differs:
            grid = grid_of(source)
            pairs = [(grid, grid), *([particles[name]] if particles and name in particles else [])]
            verifications[name] = _verification(source, target, pairs if aligned else [], differs)
    return verifications


def comparable(source: Tomogram, target: Tomogram) -> tuple[Tomogram, Tomogram]:
    """Both descriptions with projections.

    Sizes that one knows serve the other, and any where none does.
    """
    size = source.size or target.size
    image = source.image_size or target.image_size
    if source.alignment is not None and target.alignment is not None:
        size, image = size or _ANY_SIZE, image or _ANY_IMAGE
    return _placed(source, size, image), _placed(target, size, image)


def _placed(
    tomogram: Tomogram, size: tuple[int, int, int] | None, image: tuple[int, int] | None
) -> Tomogram:
    """With projections; nothing is assumed where both have directions only."""
    waiting = tomogram.alignment
    if waiting is not None:
        tomogram = replace(tomogram, alignment=replace(waiting, directions_only=False))
    return tomogram.placed(size, image)


#: What a format must not change, besides projections and defocus, and what it is where it is not
#: said.
_SAME = {
    "pre_exposure": None,
    "defocus_angle": 0.0,
    "phase_shift": 0.0,
    "ctf_scale": 1.0,
    "b_factor": 0.0,
}


def _differences(source: Tomogram, target: Tomogram) -> tuple[str, ...]:
    found = []
    for field in ("defocus_u", "defocus_v"):
        one, other = getattr(source, field), getattr(target, field)
        if (one is None) != (other is None) or (
            one is not None and (np.isnan(one) != np.isnan(other)).any()
        ):
            found.append(field)
    for field, unsaid in _SAME.items():
        values = (getattr(source, field), getattr(target, field))
        one, other = (unsaid if value is None else value for value in values)
        if one is None or other is None:
            same = one is other
        else:
            same = np.allclose(one, other, rtol=0, atol=1e-6, equal_nan=True)
        if not same:
            found.append(field)
    if source.optics != target.optics:
        found.append("optics")
    return tuple(sorted(found))


def grid_of(tomogram: Tomogram) -> Array:
    """75 points from corner to corner of the tomogram [voxels]."""
    width, height, depth = tomogram.size or _ANY_SIZE
    x, y = np.linspace(0, width - 1, 5), np.linspace(0, height - 1, 5)
    z = np.linspace(0, depth - 1, 3)
    return np.stack(np.meshgrid(x, y, z, indexing="ij"), axis=-1).reshape(-1, 3)


def _inside(tomogram: Tomogram, points: Array) -> npt.NDArray[np.bool_]:
    """Which points are projected into the images, which are bent from there."""
    at = replace(tomogram, deformation=None).project(points)
    within = (at >= 0) & (at <= np.subtract(tomogram.need_image_size(), 1))
    return np.asarray(within.all(axis=-1))


def _verification(
    source: Tomogram,
    target: Tomogram,
    pairs: Iterable[tuple[Array, Array]],
    differs: tuple[str, ...],
) -> Verification:
    position, defocus, points = np.zeros(source.n_tilts), np.zeros(source.n_tilts), 0
    both = source.defocus_u is not None and target.defocus_u is not None
    for here, there in pairs:
        if len(here) != len(there):
            differs = (*differs, f"particles: {len(there)} instead of {len(here)}")
            continue
        points += len(here)
        apart = np.linalg.norm(source.project(here) - target.project(there), axis=-1)
        if source.deformation is not None:  # beyond an image nothing says how it is bent
            apart = np.where(_inside(source, here), apart, 0.0)
        position = np.maximum(position, apart.max(axis=1, initial=0.0))
        if both:
            change = np.abs(source.defocus(here) - target.defocus(there)).max(axis=2)
            # Where it is not known it cannot change.
            defocus = np.fmax(defocus, change.max(axis=1, initial=0.0))
    return Verification(
        points=points,
        position=position,
        defocus=defocus,
        pixel_size=source.optics.pixel_size or 1.0,
        differs=differs,
    )
