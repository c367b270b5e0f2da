"""The geometry of one reconstruction: how its voxels and its smaller images lie."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from tomoset import geometry
from tomoset.errors import ModelError
from tomoset.images.ctf import Ctf, dose_weight
from tomoset.images.device import Device
from tomoset.images.fourier import Cropping
from tomoset.images.projector import Projector
from tomoset.model import Tomogram
from tomoset.reconstruct.options import Options

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Plan:
    """The geometry of one reconstruction. Voxel i of the volume is voxel binning x i of the set.

    Parameters
    ----------
    tomogram : Tomogram
        Aligned, with all sizes.
    options : Options
        What is wanted.
    cropping : Cropping
        From the tilt images to those of larger pixels.
    binning : float
        Voxel size against the pixel size of the tilt images.
    threads : int
        That are used on the processor.
    """

    tomogram: Tomogram
    options: Options
    cropping: Cropping
    binning: float
    threads: int = 1

    @classmethod
    def of(
        cls, tomogram: Tomogram, options: Options, image_size: tuple[int, int], threads: int = 1
    ) -> Plan:
        """The plan for a tomogram with images of this size.

        Raises
        ------
        ModelError
            If something is not known: an alignment, a size, a pixel size, a defocus, a dose.
        """
        pixel = tomogram.need_pixel_size()
        binning = options.binning if options.pixel_size is None else options.pixel_size / pixel
        if binning < 1 - 1e-6:
            raise ModelError(
                f"tomogram {tomogram.name!r}: voxels of {binning * pixel:g} Å would be finer than "
                f"the images' pixels of {pixel:g} Å; ask for {pixel:g} Å or more"
            )
        cropping = Cropping.of(image_size, max(binning, 1.0))
        if 2 * options.taper > min(cropping.kept):
            raise ModelError(
                f"tomogram {tomogram.name!r}: edges of {options.taper:g} px are more than images "
                f"of {' x '.join(map(str, cropping.kept))} px have: take a smaller --taper or --bin"
            )
        placed = _placed(tomogram, options.size, image_size)
        for wanted, field, what, cure in (
            (options.ctf != "none", "defocus_u", "defocus", "take --ctf none"),
            (options.dose, "pre_exposure", "doses", "leave --dose out"),
        ):
            if wanted and getattr(placed, field) is None:
                raise ModelError(f"tomogram {tomogram.name!r} has no {what}: {cure}")
        return cls(
            tomogram=placed,
            options=options,
            cropping=cropping,
            binning=max(binning, 1.0),
            threads=threads,
        )

    @property
    def pixel_size(self) -> float:
        """Of the tilt images as stored [Å]."""
        return self.tomogram.need_pixel_size()

    @property
    def projections(self) -> Array:
        """The tomogram's: (n, 4, 4)."""
        return self.tomogram.need_projections()

    @property
    def size(self) -> tuple[int, int, int]:
        """x, y, z of the volume, rounded as RELION does.

        See docs/relion.md, 'relion_tomo_reconstruct_tomogram'.
        """
        x, y, z = (n / self.binning for n in self.tomogram.need_size())
        return max(int(x + 0.5), 1), max(int(y + 0.5), 1), max(int(z), 1)

    @property
    def thickness(self) -> float:
        """Of the specimen, as far as known [Å]."""
        return self.options.thickness or self.size[2] * self.binning * self.pixel_size

    @property
    def finer(self) -> tuple[int, int]:
        """How much finer than voxels the images that are back-projected are sampled, in x and y.

        Twice across the tilt axis: linear interpolation would else displace what is sharp by up to
        0.1 voxel in depth.
        """
        along_x, along_y = np.abs(self.projections[:, :2, 0]).sum(axis=0)
        return (1, 2) if along_y > along_x else (2, 1)

    @property
    def image_size(self) -> tuple[int, int]:
        """Width and height of the images that are back-projected [their px]."""
        width, height = self.cropping.kept
        return width * self.finer[0], height * self.finer[1]

    @property
    def _factors(self) -> Array:
        """Pixels of the stored images in one of those that are back-projected, in x and y."""
        return np.array(self.cropping.factors) / self.finer

    @cached_property
    def depths(self) -> Array:
        """Least and greatest depth along the beam in each image, over the volume: (n, 2) [Å].

        From where the table's defocus holds.
        """
        corners = geometry.corners(self.tomogram.need_size())
        at_corners = self.tomogram.depth(corners) * self.pixel_size
        return np.stack([at_corners.min(axis=1), at_corners.max(axis=1)], axis=1)

    @property
    def matrices(self) -> Array:
        """From voxels of the volume to pixels of the images that are back-projected: (n, 3, 4)."""
        factors = np.array([*self._factors, 1.0])
        matrices = self.projections[:, :3].copy()
        matrices[:, :, :3] *= self.binning
        matrices /= factors[:, None]
        matrices[:, 2] = 0
        return matrices

    def voxels(self, points: Array, of: Tomogram) -> Array:
        """Where points of the tomogram as it was before lie in the volume [0-based voxels]."""
        return np.asarray((points - _cut_off(of, self.tomogram.need_size())) / self.binning)

    def projector(self, device: Device) -> Projector:
        """`matrices` and the 2D deformation, to be computed on a device."""
        return Projector(
            matrices=self.matrices,
            image_size=self.image_size,
            size=self.size,
            device=device,
            displacements=self._displacements,
        )

    @cached_property
    def _displacements(self) -> npt.NDArray[np.float32] | None:
        """The tomogram's 2D deformation on the smaller images: (n, 2, y, x) [their px]."""
        deformation, (width, height) = self.tomogram.deformation, self.image_size
        if deformation is None:
            return None
        return deformation.field((height, width), self._factors, image_size=self.cropping.size)

    @cached_property
    def frequencies(self) -> tuple[Array, Array]:
        """x and y of a cropped transform [1/Å], as `Cropping.frequencies` gives them."""
        return self.cropping.frequencies(self.pixel_size)

    @cached_property
    def k(self) -> Array:
        """Their length: (h, w) [1/Å]."""
        x, y = self.frequencies
        return np.sqrt(x * x + y * y)

    def transfer(self, i: int, depth: float) -> npt.NDArray[np.float32]:
        """Dose weight and CTF of image i at a depth [Å], each 1 if not asked for: (h, w).

        Of the CTF, the sign alone, but for the Wiener filter.
        """
        options, t = self.options, self.tomogram
        weight = np.ones(self.k.shape, dtype=np.float32)
        if options.dose:
            weight *= dose_weight(self.k, float(t.need_pre_exposure()[i]), t.optics.need("voltage"))
        if options.ctf != "none":
            ctf = self.ctf(i, depth).at(*self.frequencies)
            weight *= ctf if options.method == "wiener" else np.sign(ctf)
        return weight

    def ctf(self, i: int, depth: float) -> Ctf:
        """The CTF of image i at a depth along the beam from the table's own [Å]."""
        return self.tomogram.ctf(i, depth / self.pixel_size)


def _placed(
    tomogram: Tomogram, size: tuple[int, int, int] | None, image_size: tuple[int, int]
) -> Tomogram:
    """The tomogram with projections, of the size that is wanted, about the same middle."""
    known = tomogram.placed(None if tomogram.size else size, image_size)
    known.need_projections()
    if known.size is None:
        if size is None:
            raise ModelError(
                f"tomogram {tomogram.name!r}: the set does not say how large it is: give --size"
            )
        known = replace(known, size=size)
    return known if size is None or size == known.size else resized(known, size)


def resized(tomogram: Tomogram, size: tuple[int, int, int]) -> Tomogram:
    """The tomogram with another size, whose middle (size // 2, as RELION 5 has it) stays."""
    old, first = np.array(tomogram.need_size()), _cut_off(tomogram, size)
    defocus_there = tomogram.with_depth_origin(old / 2)
    return replace(
        defocus_there,
        size=size,
        projections=defocus_there.need_projections() @ geometry.translation(first),
        depth_origin=old / 2 - first,
    ).with_excluded(lambda tilt: resized(tilt, size))


def _cut_off(tomogram: Tomogram, size: tuple[int, int, int]) -> npt.NDArray[np.int64]:
    """Voxels that another size leaves out before the first."""
    return np.asarray(np.array(tomogram.need_size()) // 2 - np.array(size) // 2)
