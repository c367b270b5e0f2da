"""Manifolds: spheres and spheroids in tomograms, on which particles sit.

See docs/relion.md, 'Manifolds'.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from tomoset import geometry
from tomoset.errors import ModelError
from tomoset.model.source import InFile

Array = npt.NDArray[np.float64]

#: RELION's spelling of the kinds.
KINDS = ("sphere", "spheroid")


@dataclass(frozen=True, kw_only=True, eq=False)
class Manifold:
    """A closed surface around a centre.

    Parameters
    ----------
    index : int
        rlnTomoManifoldIndex, to which particles refer.
    kind : {"sphere", "spheroid"}
        What `params` mean.
    params : (k,) array
        Centre x, y, z, then the radius of a sphere, or the coefficients of a spheroid in real
        spherical harmonics. All in 0-based bin-1 voxels.

    Raises
    ------
    ModelError
        If the kind is unknown or the number of parameters does not fit it.

    Examples
    --------
    >>> import math
    >>> blob = Manifold(index=1, kind="spheroid", params=[5, 6, 7, 2 * math.sqrt(math.pi) * 10])
    >>> round(blob.mean_radius, 9), blob.radius(30, [-90, 0, 45]).round(9).tolist()
    (10.0, [10.0, 10.0, 10.0])
    """

    index: int
    kind: str
    params: Array

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ModelError(f"a manifold is one of {', '.join(KINDS)}, not {self.kind!r}")
        params = np.array(self.params, dtype=np.float64)
        if params.ndim != 1 or not np.isfinite(params).all():
            raise ModelError(f"the parameters of a manifold are one row of numbers, not {params}")
        if self.kind == "sphere" and len(params) != 4:
            raise ModelError(f"a sphere has 4 parameters x, y, z, r, not {len(params)}")
        count = len(params) - 3
        if self.kind == "spheroid" and (count < 1 or math.isqrt(count) ** 2 != count):
            raise ModelError(
                "a spheroid has 3 parameters for its centre and 1, 4, 9, ... coefficients, "
                f"not {len(params)} parameters"
            )
        params.flags.writeable = False
        object.__setattr__(self, "params", params)

    @property
    def centre(self) -> Array:
        """x, y, z in 0-based bin-1 voxels."""
        return self.params[:3]

    @property
    def mean_radius(self) -> float:
        """The mean over all directions [px]: r, or a0 / (2 sqrt(pi))."""
        first = float(self.params[3])
        return first if self.kind == "sphere" else first / (2 * math.sqrt(math.pi))

    def radius(self, phi: npt.ArrayLike, theta: npt.ArrayLike) -> Array:
        """Distance of the surface from the centre, in some directions.

        Parameters
        ----------
        phi : array-like
            Azimuth, from x to y [deg].
        theta : array-like
            Latitude, from -90 at the bottom to 90 at the top [deg]; not RELION's tilt.

        Returns
        -------
        float64 array
            Of the broadcast shape [bin-1 px].
        """
        p, t = np.broadcast_arrays(np.deg2rad(phi), np.deg2rad(theta))
        if self.kind == "sphere":
            return np.full(p.shape, self.params[3])
        total = np.zeros(p.shape)
        for i, coefficient in enumerate(self.params[3:].tolist()):
            if coefficient:
                total += coefficient * _harmonic(i, p, t)
        return total

    def surface(self, phi: npt.ArrayLike, theta: npt.ArrayLike) -> Array:
        """Points of the surface in some directions: (..., 3) 0-based bin-1 voxels.

        Examples
        --------
        >>> ball = Manifold(index=1, kind="sphere", params=[5, 6, 7, 10])
        >>> ball.surface(0, [0, 90]).round(9).tolist()
        [[15.0, 6.0, 7.0], [5.0, 6.0, 17.0]]
        """
        p, t = np.broadcast_arrays(np.deg2rad(phi), np.deg2rad(theta))
        direction = np.stack([np.cos(p) * np.cos(t), np.sin(p) * np.cos(t), np.sin(t)], axis=-1)
        return np.asarray(self.centre + self.radius(phi, theta)[..., None] * direction)

    def transformed(self, transform: Array) -> Manifold:
        """The same surface in another frame of its tomogram.

        Parameters
        ----------
        transform : (4, 4) array
            From voxels, 0-based at bin 1, to those after a rigid motion.

        Examples
        --------
        >>> ball = Manifold(index=1, kind="sphere", params=[5, 6, 7, 10])
        >>> ball.transformed(geometry.rotation_z(90)).params.round(9).tolist()
        [-6.0, 5.0, 7.0, 10.0]
        """
        rotation, shape = transform[:3, :3], self.params[3:]
        if self.kind == "spheroid" and not np.array_equal(rotation, np.eye(3)):
            shape = _rotated(shape, rotation)
        centre = geometry.apply(transform, self.centre)
        return replace(self, params=np.concatenate([centre, shape]))


def _harmonic(i: int, phi: Array, theta: Array) -> Array:
    """Orthonormal real spherical harmonic i = l² + l + m, with the Condon-Shortley sign."""
    from scipy.special import lpmv

    degree = math.isqrt(i)
    order = i - degree * degree - degree
    m = abs(order)
    ratio = math.factorial(degree - m) / math.factorial(degree + m)
    norm = math.sqrt((2 * degree + 1) / (4 * math.pi) * ratio)
    legendre = norm * lpmv(m, degree, np.sin(theta))
    if order == 0:
        return np.asarray(legendre)
    wave = np.cos(m * phi) if order > 0 else np.sin(m * phi)
    return np.asarray(math.sqrt(2) * legendre * wave)


def _rotated(coefficients: Array, rotation: Array) -> Array:
    """Coefficients of the surface r'(d) = r(rotation^-1 d).

    The integrals of r' times each harmonic over the sphere: exact, by Gauss-Legendre nodes in
    the sine of the latitude and equal steps in azimuth.
    """
    degrees = math.isqrt(len(coefficients))  # 0 to one less
    heights, weights = np.polynomial.legendre.leggauss(degrees)
    steps = 2 * degrees - 1
    phi, theta = np.meshgrid(2 * math.pi * np.arange(steps) / steps, np.arcsin(heights))
    along = np.stack([np.cos(phi) * np.cos(theta), np.sin(phi) * np.cos(theta), np.sin(theta)], -1)
    x, y, z = np.moveaxis(along @ rotation, -1, 0)  # rotation^-1 of each direction
    before = np.arctan2(y, x), np.arctan2(z, np.hypot(x, y))
    there = sum(c * _harmonic(i, *before) for i, c in enumerate(coefficients.tolist()))
    area = weights[:, None] * (2 * math.pi / steps)
    rotated = [(area * there * _harmonic(i, phi, theta)).sum() for i in range(len(coefficients))]
    rotated[0] = coefficients[0]  # the mean stays to the last bit
    return np.array(rotated)


class ManifoldSet(InFile, Mapping[str, tuple[Manifold, ...]]):
    """The manifolds of every tomogram, by its name.

    Parameters
    ----------
    manifolds : mapping of str to iterable of Manifold
        In the order of the file.
    source : object, optional
        Text that they were read from. Opaque here.

    Raises
    ------
    ModelError
        If two manifolds of a tomogram have one index.

    Examples
    --------
    >>> s = ManifoldSet({"TS_01": [Manifold(index=3, kind="sphere", params=[5, 6, 7, 10])]})
    >>> s["TS_01"][0].mean_radius
    10.0
    """

    def __init__(self, manifolds: Mapping[str, Iterable[Manifold]], *, source: Any = None) -> None:
        self._manifolds = {name: tuple(found) for name, found in manifolds.items()}
        self.source = source
        for name, found in self._manifolds.items():
            for index, count in Counter(manifold.index for manifold in found).items():
                if count > 1:
                    raise ModelError(
                        f"tomogram {name!r}: {count} manifolds have index {index}; "
                        "particles refer to it, so each may occur only once"
                    )

    def __getitem__(self, name: str) -> tuple[Manifold, ...]:
        return self._manifolds[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._manifolds)

    def __len__(self) -> int:
        return len(self._manifolds)

    def with_manifolds(self, manifolds: Mapping[str, Iterable[Manifold]]) -> ManifoldSet:
        """A set, still with the texts of the file, with these manifolds instead."""
        return ManifoldSet(manifolds, source=self.source)

    def transformed(self, transforms: Mapping[str, Array]) -> ManifoldSet:
        """The same surfaces in other frames of some tomograms: (4, 4) matrices by name."""
        return self.with_manifolds(
            {
                name: [m.transformed(transforms[name]) for m in found]
                if name in transforms
                else found
                for name, found in self.items()
            }
        )

    def __repr__(self) -> str:
        count = sum(map(len, self.values()))
        return f"<ManifoldSet of {count} in {len(self)} tomograms>"
