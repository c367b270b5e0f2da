"""What a particle looks like: two half maps, each for the particles that it was not made of."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from tomoset.errors import FileFormatError, ModelError
from tomoset.particles.fsc import Fsc, correlation, read_fsc
from tomoset.particles.maps import DensityMap, read_map
from tomoset.particles.slices import MapTransform

Array = npt.NDArray[np.float64]
Volume = npt.NDArray[np.float32]
StrPath = str | os.PathLike[str]

#: How far the pixel sizes of a map and of a tilt series may be apart: headers are rounded.
_SAME_PIXEL = 0.01
#: Masks overshoot by so much where they were interpolated.
_MASK_SLACK = 0.1


@dataclass(frozen=True, kw_only=True, eq=False)
class Reference:
    """Two half maps of a particle.

    Parameters
    ----------
    half1, half2 : (z, y, x) arrays
        Cubes of one size, dense where they are high. The origin is voxel n // 2, as in RELION.
        The same array twice: there are no halves, and it is taken to be without noise, or to be
        their mean if there is a curve.
    pixel_size : float, optional
        [Å]. None: that of the tilt series.
    mask : (z, y, x) array, optional
        The maps are multiplied with it.
    fsc : Fsc, optional
        Of the halves; computed from them (masked) if not given.

    Raises
    ------
    ModelError
        If sizes differ, or numbers are not finite.

    Examples
    --------
    >>> volume = np.random.default_rng(1).standard_normal((16, 16, 16))
    >>> Reference(half1=volume, half2=volume).weight([0.1, 0.4, 0.6]).tolist()
    [1.0, 1.0, 0.0]
    """

    half1: Volume
    half2: Volume
    pixel_size: float | None = None
    mask: Volume | None = None
    fsc: Fsc | None = None

    def __post_init__(self) -> None:
        same = self.half1 is self.half2
        for name in ("half1", "half2", "mask"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, _volume(getattr(self, name), name))
        if same:
            object.__setattr__(self, "half2", self.half1)
        for name in ("half2", "mask"):
            other = getattr(self, name)
            if other is not None and other.shape != self.half1.shape:
                raise ModelError(
                    f"{name} has {len(other)} voxels along an axis, half1 {len(self.half1)}; "
                    "they must be of one size"
                )
        if self.mask is not None and not self.mask.any():
            raise ModelError("the mask is empty: nothing would be left of the maps")
        if self.mask is not None:
            low, high = float(self.mask.min()), float(self.mask.max())
            if low < -_MASK_SLACK or high > 1 + _MASK_SLACK:
                raise ModelError(f"a mask has values from 0 to 1, not from {low:.3g} to {high:.3g}")
        if not any(self._masked(half).any() for half in (self.half1, self.half2)):
            raise ModelError("there is nothing in the maps (under the mask)")
        if self.pixel_size is not None and not 0 < self.pixel_size < np.inf:
            raise ModelError(f"the pixel size must be above 0 Å, not {self.pixel_size}")

    @classmethod
    def read(
        cls,
        ref1: StrPath,
        ref2: StrPath | None = None,
        *,
        mask: StrPath | None = None,
        fsc: StrPath | None = None,
    ) -> Reference:
        """From files, by RELION's --ref1 --ref2 --mask --fsc. Without --ref2 there are no halves.

        Raises
        ------
        MissingFileError
            If a file is not there.
        FileFormatError
            If one is not what it should be, or they do not fit together.
        """
        first = read_map(ref1)
        second = None if ref2 is None else read_map(ref2)
        masked = None if mask is None else read_map(mask, "mask")
        for other in (second, masked):
            if other is not None:
                _compare(first, other)
        pixel_size = first.pixel_size or (None if second is None else second.pixel_size)
        curve = None if fsc is None else read_fsc(fsc, len(first.density), pixel_size)
        try:
            return cls(
                half1=first.density,
                half2=first.density if second is None else second.density,
                pixel_size=pixel_size,
                mask=None if masked is None else masked.density,
                fsc=curve,
            )
        except ModelError as problem:
            raise FileFormatError(str(problem), path=first.path) from None

    @property
    def size(self) -> int:
        """Of the maps' box [voxels]."""
        return len(self.half1)

    @property
    def has_halves(self) -> bool:
        """Whether there are two different maps."""
        return self.half1 is not self.half2 and not np.array_equal(self.half1, self.half2)

    def weight(self, frequency: npt.ArrayLike) -> Array:
        """What the maps are multiplied with, shell by shell (`fsc` says why).

        Parameters
        ----------
        frequency : array
            [1/voxel].
        """
        curve = self._curve
        if curve is None:
            return np.where(np.asarray(frequency) <= 0.5, 1.0, 0.0)
        return curve.weight(frequency, whole=not self.has_halves)

    @cached_property
    def _curve(self) -> Fsc | None:
        if self.fsc is not None or not self.has_halves:
            return self.fsc
        return correlation(self._masked(self.half1), self._masked(self.half2))

    @cached_property
    def transforms(self) -> tuple[MapTransform, MapTransform]:
        """Of both halves under the mask, made when they are first asked for."""
        first = MapTransform.of(self._masked(self.half1))
        return first, MapTransform.of(self._masked(self.half2)) if self.has_halves else first

    def _masked(self, half: Volume) -> Volume:
        return half if self.mask is None else half * self.mask

    def check_pixel_size(self, pixel_size: float, name: str) -> None:
        """Refuse a tilt series with pixels of another size.

        Parameters
        ----------
        pixel_size : float
            Of the tilt images [Å].
        name : str
            Of the tomogram.

        Raises
        ------
        ModelError
            If they differ by more than 1 %.
        """
        own = self.pixel_size
        if own is not None and abs(own / pixel_size - 1) > _SAME_PIXEL:
            raise ModelError(
                f"tomogram {name!r}: the reference maps have {own:.4g} Å a voxel, the tilt images "
                f"{pixel_size:.4g} Å a pixel; rescale the maps to the pixels of the tilt images "
                "(relion_image_handler --angpix --rescale_angpix), or correct their header"
            )


def _volume(values: npt.ArrayLike, name: str) -> Volume:
    volume = np.ascontiguousarray(values, dtype=np.float32)
    if volume.ndim != 3 or len(set(volume.shape)) != 1:
        raise ModelError(f"{name} must be a cube (z, y, x), not {volume.shape}")
    if len(volume) < 8:
        raise ModelError(f"{name} has {len(volume)} voxels along an axis, expected 8 or more")
    if not np.isfinite(volume).all():
        raise ModelError(f"{name} holds NaN or infinity")
    return volume


def _compare(first: DensityMap, other: DensityMap) -> None:
    if other.density.shape != first.density.shape:
        raise FileFormatError(
            f"expected {len(first.density)} voxels along each axis as in {first.path}, found "
            f"{len(other.density)}; both must be of one size",
            path=other.path,
        )
    if (
        first.pixel_size is not None
        and other.pixel_size is not None
        and abs(other.pixel_size / first.pixel_size - 1) > _SAME_PIXEL
    ):
        raise FileFormatError(
            f"expected {first.pixel_size:.4g} Å a voxel as in {first.path}, found "
            f"{other.pixel_size:.4g} Å; correct the header of the one that is wrong",
            path=other.path,
        )
