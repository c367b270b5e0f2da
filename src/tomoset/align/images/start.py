"""Where to begin: the direction of the axis, the pre-tilt, and a place for every image."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from tomoset import geometry
from tomoset.align.images.graph import Placed, place
from tomoset.align.images.pairs import Pairs, correlate, near
from tomoset.align.images.plane import Plane

Array = npt.NDArray[np.float64]
Image = npt.NDArray[np.float32]

#: Edges of small images, by which directions are compared, and of those for places [px].
SMALL, LARGE = 128, 256
#: Thickness of a specimen of which nothing is known [Å].
USUAL = 1500.0
#: Directions of the axis that are tried all round, and then more and more finely [deg].
_ROUND, _FINER = 10.0, (5.0, 2.5, 1.2)
#: Another direction than a given one must be so much better, far from it and near.
_FAR, _BETTER = 1.25, 1.05
#: Pre-tilts that are tried [deg].
_PRETILTS = np.arange(-24.0, 25.0, 6.0)


@dataclass(frozen=True, kw_only=True, eq=False)
class Coarse:
    """Small images, and how to look at them.

    Parameters
    ----------
    images, valid : (n, h, w) float32 arrays
        As `plane.mapped`.
    scale : float
        Working pixels in one of theirs.
    tilts : (n,) array
        [deg]
    shape : (int, int)
        Height and width of the plane [px].
    thickness : float
        Of the specimen, roughly [px].
    threads : int
    """

    images: Image
    valid: Image
    scale: float
    tilts: Array
    shape: tuple[int, int]
    thickness: float
    threads: int

    @classmethod
    def of(
        cls,
        images: Image,
        valid: Image,
        tilts: Array,
        shape: tuple[int, int],
        thickness: float,
        edge: int,
        threads: int,
    ) -> Coarse:
        """Of working images, none of whose edges is then longer than `edge` by half."""
        import scipy.ndimage

        factor = max(1, round(max(images.shape[1:]) / edge))
        small = [
            scipy.ndimage.spline_filter(_shrunk(image, factor), 3, output=np.float32)
            for image in images
        ]
        return cls(
            images=np.stack(small),
            valid=np.stack([_shrunk(part, factor) for part in valid]),
            scale=factor,
            tilts=tilts,
            shape=(round(shape[0] / factor), round(shape[1] / factor)),
            thickness=thickness / factor,
            threads=threads,
        )

    def pairs(self, projections: Array, plane: Plane, neighbours: int) -> Pairs:
        """Pairs correlated by projections and a plane in working pixels."""
        small = projections.copy()
        small[:, :2, 3] = (small[:, :2, 3] - (self.scale - 1) / 2) / self.scale
        small[:, 2, 3] /= self.scale
        there = replace(plane, centre=plane.centre / self.scale)
        pairs = near(self.tilts, neighbours)
        return correlate(
            self.images,
            self.valid,
            small,
            there,
            pairs,
            self.shape,
            self.thickness,
            self.threads,
        )


def _shrunk(image: Image, factor: int) -> Image:
    height, width = (n // factor * factor for n in image.shape)
    parts = image[:height, :width].reshape(height // factor, factor, width // factor, factor)
    return np.asarray(parts.mean(axis=(1, 3)), dtype=np.float32)


def turned(projections: Array, by: float, size: tuple[int, int]) -> Array:
    """Projections whose images are rotated about their middle [deg], width and height in px."""
    middle = np.array([(size[0] - 1) / 2, (size[1] - 1) / 2, 0.0])
    about = geometry.translation(middle) @ geometry.rotation_z(by) @ geometry.translation(-middle)
    return np.asarray(about @ projections)


@dataclass(frozen=True, kw_only=True)
class Direction:
    """The direction of the axis, against the one that was given.

    Parameters
    ----------
    by : float
        Rotation of all images [deg].
    evidence : mapping of float to float
        Of each rotation that was tried.
    """

    by: float
    evidence: dict[float, float]


def direction(coarse: Coarse, projections: Array, plane: Plane, *, known: bool) -> Direction:
    """The direction of the axis by which neighbours in tilt agree best.

    Parameters
    ----------
    coarse : Coarse
    projections : (n, 4, 4) array
        By the direction that is given [working px].
    plane : Plane
    known : bool
        Whether that is more than a guess: then another one must be much better.
    """
    size = (coarse.images.shape[2] * coarse.scale, coarse.images.shape[1] * coarse.scale)
    tried: dict[float, float] = {}

    def evidence(by: float) -> float:
        by = (by + 90) % 180 - 90
        if by not in tried:
            tried[by] = coarse.pairs(turned(projections, by, size), plane, 2).evidence
        return tried[by]

    best = float(max(np.arange(-90.0, 90.0, _ROUND), key=evidence))
    here = max(map(evidence, (-_ROUND, 0.0, _ROUND)))
    if known and evidence(best) < _FAR * here:
        best = 0.0
    for step in _FINER:
        best = max((best - step, best, best + step), key=evidence)
    if known and evidence(best) < _BETTER * evidence(0.0):
        best = 0.0
    return Direction(by=float((best + 90) % 180 - 90), evidence=tried)


def inclined(coarse: Coarse, projections: Array, plane: Plane) -> Plane:
    """The plane, inclined about the tilt axis so that neighbours agree best."""
    planes = [replace(plane, slope=(float(np.tan(np.deg2rad(x))), 0.0)) for x in _PRETILTS]
    evidence = np.array([coarse.pairs(projections, p, 2).evidence for p in planes])
    at = int(evidence.argmax())
    by = 0.0
    if 0 < at < len(evidence) - 1:
        before, here, after = evidence[at - 1 : at + 2]
        by = 0.5 * (before - after) / min(before - 2 * here + after, -1e-9)
    if evidence[at] < _BETTER * evidence[len(evidence) // 2]:
        return plane
    tilt = _PRETILTS[at] + by * (_PRETILTS[1] - _PRETILTS[0])
    return replace(plane, slope=(float(np.tan(np.deg2rad(tilt))), 0.0))


def placed(coarse: Coarse, projections: Array, plane: Plane) -> tuple[Array, Placed]:
    """Projections shifted so that the images of all pairs agree, and how well they do."""
    found = place(coarse.pairs(projections, plane, 5), len(projections))
    linear, _ = plane.maps(projections)
    new = projections.copy()
    new[:, :2, 3] += np.einsum("nij,nj->ni", linear, found.at * coarse.scale)
    return new, found
