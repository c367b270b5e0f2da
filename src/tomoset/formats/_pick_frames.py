"""From voxels of the volume that particles were picked in to those of the tomogram, and back."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from tomoset import geometry
from tomoset.errors import AssumptionWarning, ModelError
from tomoset.model import Tomogram

Array = npt.NDArray[np.float64]

#: How the volume lies against the tomogram of the set.
Volume = Literal["same", "mirrored", "turned", "unrotated", "exchanged"]
#: Axes of the tomogram from those of the volume: where a row is negative, counted from the end.
_AXES: dict[str, Array] = {
    "same": np.eye(3),
    "mirrored": np.diag([1.0, 1.0, -1.0]),
    "turned": np.diag([1.0, -1.0, -1.0]),
    "unrotated": np.array([[1.0, 0, 0], [0, 0, 1.0], [0, -1.0, 0]]),
    "exchanged": np.array([[1.0, 0, 0], [0, 0, 1.0], [0, 1.0, 0]]),
}
#: A mirror image turns a particle into its own, seen by its x reversed.
_OWN_MIRROR = np.diag([-1.0, 1.0, 1.0])
#: Binnings that are tried for particles outside, and how many of these.
_TRIED = (1, 2, 3, 4, 5, 6, 8, 10, 12, 16)
_MOST = 5000
#: So many are mistaken for all if they fill no more than this share of every axis.
_FEW, _CORNER = 50, 0.55


@dataclass(frozen=True, kw_only=True)
class Picked:
    """What files of other packages do not say of their particles.

    Parameters
    ----------
    pixel_size : float, optional
        Of the volume they were picked in [Å].
    binning : float, optional
        Of that volume, instead.
    volume : str
        How it lies against the tomogram of the set: ``same``; ``mirrored``, z running the other
        way; ``turned`` by 180° about x; ``unrotated``, as IMOD's tilt leaves it (x, depth, y),
        before ``trimvol -rotx``; ``exchanged``, y and z, which mirrors it (``-yz``).
    averaged : bool
        Whether its voxels are means of the binned ones, as IMOD's and AreTomo's are:
        `tomoset.geometry.unbinned`.
    first_voxel : int, optional
        What the package calls the first voxel, 0 or 1, where it does not do so as usual.
    names : mapping of str to str
        From what the package calls tomograms to names of the set; ``-`` leaves one out.
    allow_outside : bool
        Whether most of the particles may be outside their tomograms.
    group : str, optional
        What the particles are called, where a file names them: ribosome.

    Raises
    ------
    ModelError
        If a value makes no sense, or both a pixel size and a binning are given.
    """

    pixel_size: float | None = None
    binning: float | None = None
    volume: Volume = "same"
    averaged: bool = False
    first_voxel: int | None = None
    names: Mapping[str, str] = field(default_factory=dict)
    allow_outside: bool = False
    group: str | None = None

    def __post_init__(self) -> None:
        if self.pixel_size is not None and self.binning is not None:
            raise ModelError("give the pixel size or the binning of the volume, not both")
        for what in ("pixel_size", "binning"):
            value = getattr(self, what)
            if value is not None and not 0 < value < np.inf:
                raise ModelError(f"{what.replace('_', ' ')} must be above 0, found {value:g}")
        if self.volume not in get_args(Volume):
            raise ModelError(
                f"volume must be one of {', '.join(get_args(Volume))}, found {self.volume!r}"
            )
        if self.first_voxel not in (None, 0, 1):
            raise ModelError(f"first voxel must be 0 or 1, found {self.first_voxel}")
        object.__setattr__(self, "names", MappingProxyType(dict(self.names)))

    def factor(self, tomogram: Tomogram) -> float:
        """Voxels of a tomogram over those of its volume; 1 if nothing is said."""
        if self.pixel_size is None:
            return 1.0 if self.binning is None else float(self.binning)
        return self.pixel_size / tomogram.need_pixel_size()

    def to_tomogram(self, points: Array, tomogram: Tomogram) -> Array:
        """From voxels of the volume, from 0, to those of the tomogram: (n, 3) arrays."""
        axes, factor = _AXES[self.volume], self.factor(tomogram)
        moved = points @ axes.T + self._ends(tomogram, factor)
        return geometry.unbinned(moved, factor, averaged=self.averaged)

    def from_tomogram(self, points: Array, tomogram: Tomogram) -> Array:
        """The inverse of `to_tomogram`."""
        axes, factor = _AXES[self.volume], self.factor(tomogram)
        moved = geometry.binned(points, factor, averaged=self.averaged)
        return np.asarray((moved - self._ends(tomogram, factor)) @ axes)

    def _ends(self, tomogram: Tomogram, factor: float) -> Array:
        """The last voxel of each axis that runs the other way, else 0."""
        if self.volume in ("same", "exchanged"):
            return np.zeros(3)
        size = np.asarray(tomogram.need_size()) / factor
        last = np.array([np.round(size[0]), np.round(size[1]), np.floor(size[2] + 1e-6)]) - 1
        return np.where(_AXES[self.volume].sum(axis=1) < 0, last, 0.0)

    def turned(self, rotations: Array) -> Array:
        """Orientations in the tomogram, of those in the volume: (n, 3, 3) arrays."""
        axes = _AXES[self.volume]
        own = np.eye(3) if np.linalg.det(axes) > 0 else _OWN_MIRROR
        return np.asarray(axes @ rotations @ own)

    def turned_back(self, rotations: Array) -> Array:
        """The inverse of `turned`."""
        axes = _AXES[self.volume]
        own = np.eye(3) if np.linalg.det(axes) > 0 else _OWN_MIRROR
        return np.asarray(axes.T @ rotations @ own)


#: Points of a tomogram as the table has them, in voxels of its volume.
Places = Sequence[tuple[Tomogram, Array]]


def refuse_outside(places: Places, picked: Picked, path: str) -> None:
    """Say how many particles are outside their tomograms; ModelError if most are, with a cure."""
    sized = [(t, points) for t, points in places if t.size is not None and len(points)]
    total = sum(len(points) for _, points in sized)
    outside = total - _inside(sized, picked)
    if 2 * outside <= total or picked.allow_outside:
        if outside:
            warnings.warn(
                f"{path}: {outside} of {total} particles lie outside their tomograms",
                AssumptionWarning,
                stacklevel=3,
            )
        _warn_of_corner(sized, picked, path)
        return
    few = [(t, points[:: len(points) // _MOST + 1]) for t, points in sized]
    raise ModelError(
        f"{path}: {outside} of {total} particles lie outside their tomograms. Mostly the binning "
        f"(`binning`, `pixel_size`) or the axes (`volume`) of the volume are others"
        f"{_cure(few, picked)}; or allow them (`allow_outside`)"
    )


def _inside(places: Places, picked: Picked) -> int:
    """How many points are in their tomograms."""
    count = 0
    for t, points in places:
        moved = picked.to_tomogram(points, t)
        count += int(((moved > -0.5) & (moved < np.asarray(t.size) - 0.5)).all(axis=1).sum())
    return count


def _cure(places: Places, picked: Picked) -> str:
    """What would put most of the points inside: the fewest changes, the largest binning."""
    total = sum(len(points) for _, points in places)
    binnings = [replace(picked, binning=float(b), pixel_size=None) for b in reversed(_TRIED)]
    volumes = [replace(picked, volume=volume) for volume in get_args(Volume)]
    both = [replace(b, volume=v.volume) for v in volumes for b in binnings]
    for tried in (volumes, binnings, both):
        shares = [_inside(places, other) / total for other in tried]
        best = int(np.argmax([round(share, 2) for share in shares]))
        if shares[best] > 0.9:
            other = tried[best]
            changed = [
                f"{what} {getattr(other, what):{form}}"
                for what, form in (("binning", "g"), ("volume", "s"))
                if getattr(other, what) != getattr(picked, what)
            ]
            return f": {' and '.join(changed)} would put {shares[best]:.0%} inside"
    return ", or the table is of other tomograms: no usual binning puts most of them inside"


def _warn_of_corner(places: Places, picked: Picked, path: str) -> None:
    """Say where all particles crowd in the first corner of every tomogram: a binning too small."""
    if sum(len(points) for _, points in places) < _FEW:
        return
    far = [(picked.to_tomogram(p, t) / np.asarray(t.size)).max(axis=0) for t, p in places]
    if np.max(far, axis=0).max() < _CORNER:
        warnings.warn(
            f"{path}: all particles lie in the first half of their tomograms along every axis; "
            "was the volume that they were picked in binned (`binning`, `pixel_size`)?",
            AssumptionWarning,
            stacklevel=4,
        )
