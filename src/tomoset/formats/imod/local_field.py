"""IMOD's local alignment as RELION's 2D deformation.

By tilt.f90 a point is projected by the four patches about it, each with tilts, Z factors and a
transform of its own, and is where the mean of the four is, weighted bilinearly by its x and y in
the tomogram; beyond the outermost patches these hold. What it does at one depth is a field in
each image; a deformation is that of the middle of the tomogram.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tomoset import geometry
from tomoset.formats._local import NODES, nearest_spline, sample_points
from tomoset.formats.imod.local_file import LocalAlignment
from tomoset.model import Deformation

Array = npt.NDArray[np.float64]

#: A spline so near to the field needs no more nodes, rms [px].
_NEAR = 0.02
#: What a point counts that shows nothing of the tomogram.
_UNSEEN = 0.01
#: Points along each axis of the tomogram at which both are compared.
_COMPARED = 17


@dataclass(frozen=True, kw_only=True, eq=False)
class GlobalAlignment:
    """The alignment that a local one adds to; all as of `geometry.imod_projections`."""

    xf: Array | None
    tilts: Array
    x_tilts: Array
    z_factors: Array | None
    volume: geometry.ImodVolume
    raw_size: tuple[int, int]

    def projections(self) -> Array:
        """Of the views: (n, 4, 4)."""
        return geometry.imod_projections(
            self.xf,
            self.tilts,
            self.x_tilts,
            volume=self.volume,
            raw_size=self.raw_size,
            z_factors=self.z_factors,
        )

    def of_patches(self, local: LocalAlignment) -> Array:
        """Projections of each patch: (ny, nx, n, 4, 4)."""
        ny, nx, n = local.tilts.shape
        z = self.z_factors  # without which tilt takes none of the patches' either
        if z is not None:
            z = np.broadcast_to(z, (ny, nx, n, 2)) if local.z_factors is None else local.z_factors
        made = geometry.imod_projections(
            self._transforms(local.xf).reshape(-1, 2, 3),
            (self.tilts + local.tilts).ravel(),
            (self.x_tilts + local.x_tilts).ravel(),
            volume=self.volume,
            raw_size=self.raw_size,
            z_factors=None if z is None else z.reshape(-1, 2),
        )
        return made.reshape(ny, nx, n, 4, 4)

    def _transforms(self, local: Array) -> Array:
        """From raw images to where the patches' tilts have a point: first the views' own."""
        moved = np.broadcast_to(self._own, local.shape).copy()
        moved[..., 2] -= local[..., 2]
        return np.asarray(np.linalg.solve(local[..., :2], moved))

    @property
    def _own(self) -> Array:
        if self.xf is not None:
            return self.xf
        own = np.zeros((len(self.tilts), 2, 3))
        own[:, 0, 0] = own[:, 1, 1] = 1.0
        own[:, :, 2] = (np.array(self.raw_size) - 1) / 2 - self.volume.centre
        return own


@dataclass(frozen=True, kw_only=True, eq=False)
class Fit:
    """A deformation that stands for a local alignment, and how far it is from that.

    Parameters
    ----------
    deformation : Deformation
    middle, ends : (n, m) arrays
        At points over the middle of the tomogram, and over its two ends in depth, in each image
        [px]; NaN where these are in no image.
    """

    deformation: Deformation
    middle: Array
    ends: Array


class Field:
    """What a local alignment adds to a global one, in the images.

    Parameters
    ----------
    alignment : GlobalAlignment
    local : LocalAlignment
        In unbinned pixels of the aligned images.
    """

    def __init__(self, alignment: GlobalAlignment, local: LocalAlignment) -> None:
        volume = alignment.volume
        specimen = volume.to_specimen()
        back = np.linalg.inv(specimen)
        self.raw_size, self.count = alignment.raw_size, local.count
        self.views = (alignment.projections() @ back)[:, :2]
        patches = (alignment.of_patches(local) @ back)[..., :2, :]
        self.patches = patches.reshape(-1, *self.views.shape)
        axis = (volume.centre[0] + volume.axis_offset + 1, volume.centre[1] + 1)
        #: Of the first patch, from the tilt axis.
        self.first = np.subtract(local.first, axis)
        self.step = np.array(local.step)
        ends = specimen @ np.array([(-0.5, -0.5, -0.5, 1.0), (*np.subtract(volume.size, 0.5), 1)]).T
        #: Sides of the tomogram: x, depth, y.
        self.box = np.sort(ends[:3], axis=1)

    @property
    def depths(self) -> tuple[float, float, float]:
        """The middle of the tomogram, and its two ends."""
        low, high = self.box[1]
        return (low + high) / 2, low, high

    def spline(self) -> Fit:
        """The spline of as few nodes as come near to the field."""
        at = sample_points(self.raw_size)
        added = [self.added(i, at) for i in range(len(self.views))]
        fields, weights = (np.stack(parts) for parts in zip(*added, strict=True))
        seen = [self.seen(depth) for depth in self.depths]
        for nodes in range(NODES[0], NODES[1] + 1):
            found = nearest_spline(fields, nodes, self.raw_size, weights)
            middle = self.apart(found, *seen[0])
            if rms(middle) < _NEAR:
                break
        ends = np.concatenate([self.apart(found, *both) for both in seen[1:]], axis=1)
        return Fit(deformation=found, middle=middle, ends=ends)

    def added(self, view: int, points: Array) -> tuple[Array, Array]:
        """What is added to points of an image, (m, 2), if they are of the middle [px].

        And what they count: (m,). Where no part of the tomogram is seen the field goes on, level
        beyond twice its extent, and counts for little.
        """
        depth, seen = self.depths[0], self.views[view]
        flat = points - seen[:, 3] - seen[:, 1] * depth
        to_flat = np.linalg.inv(seen[:, [0, 2]])
        place = to_flat @ flat.T
        # What lies above and below is seen beside the middle.
        box = self.box[[0, 2]]
        aside = (np.abs(to_flat @ seen[:, 1]) * (self.box[1, 1] - depth))[:, None]
        half = (box[:, 1:] - box[:, :1]) / 2
        off = np.abs(place - box.mean(axis=1, keepdims=True)) - half
        inside = (off <= np.minimum(aside, half)).all(axis=0)
        x, y = np.clip(place, box[:, :1] - half, box[:, 1:] + half)
        there = np.stack([x, np.full(len(points), depth), y, np.ones(len(points))], axis=1)
        local = self.local(there, slice(view, view + 1))[0]
        return local - there @ seen.T, np.where(inside, 1.0, _UNSEEN)

    def seen(self, depth: float) -> tuple[Array, Array]:
        """Where points at one depth are in all images: globally, and locally, (n, m, 2)."""
        x, y = (np.linspace(self.box[k, 0], self.box[k, 1], _COMPARED) for k in (0, 2))
        points = np.stack(np.meshgrid(x, [depth], y, [1.0]), axis=-1).reshape(-1, 4)
        here = points @ np.swapaxes(self.views, 1, 2)
        return here, self.local(points)

    def of_patches(self) -> Array:
        """Where the patches are in the images, globally, if in the middle: (n, ny nx, 2)."""
        (nx, ny), depth = self.count, self.depths[0]
        x, y = (self.first[k] + self.step[k] * np.arange(m) for k, m in ((0, nx), (1, ny)))
        points = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
        there = np.insert(points, 1, depth, axis=1)
        return np.asarray(
            there @ np.swapaxes(self.views[:, :, :3], 1, 2) + self.views[:, None, :, 3]
        )

    def local(self, points: Array, views: slice = slice(None)) -> Array:
        """Where points x, depth, y, 1 are in images: (m, 4) to (n, m, 2)."""
        nx, ny = self.count
        place = np.clip((points[:, [0, 2]] - self.first) / self.step, 0, (nx - 1, ny - 1))
        cell = np.minimum(place.astype(np.int64), (nx - 2, ny - 2))
        right, up = (place - cell).T
        shares = ((1 - up) * (1 - right), (1 - up) * right, up * (1 - right), up * right)
        weights, every = np.zeros((len(points), nx * ny)), np.arange(len(points))
        for k, share in zip((0, 1, nx, nx + 1), shares, strict=True):
            weights[every, cell[:, 1] * nx + cell[:, 0] + k] = share
        mean = weights @ self.patches[:, views].reshape(nx * ny, -1)
        return np.asarray(np.einsum("mnij,mj->nmi", mean.reshape(len(points), -1, 2, 4), points))

    def apart(self, found: Deformation, here: Array, there: Array) -> Array:
        """How far the deformation is from the field, (n, m); NaN outside of the images."""
        basis = found.basis(self.raw_size)
        off = here + basis.displacement(found.coefficients, here) - there
        within = ((here >= 0) & (here <= np.subtract(self.raw_size, 1))).all(axis=-1)
        return np.where(within, np.linalg.norm(off, axis=-1), np.nan)


def rms(values: Array) -> float:
    """Of those that are known."""
    known = values[np.isfinite(values)]
    return float(np.sqrt((known**2).mean())) if len(known) else 0.0


def largest(values: Array) -> float:
    """Of those that are known."""
    return float(values[np.isfinite(values)].max(initial=0.0))
