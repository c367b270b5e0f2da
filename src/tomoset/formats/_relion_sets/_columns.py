"""The columns of RELION's particles, and the step between centred Å and voxels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from tomoset import star
from tomoset.errors import ModelError
from tomoset.formats._relion_sets._links import Links
from tomoset.formats._texts import Array, Ints
from tomoset.model import Optics

TOMOGRAM = "rlnTomoName"
NAME = "rlnTomoParticleName"
SUBSET = "rlnRandomSubset"
CLASS = "rlnClassNumber"
SCORE = "rlnAutopickFigureOfMerit"
CORNER = tuple(f"rlnCoordinate{axis}" for axis in "XYZ")
CENTRED = tuple(f"rlnCenteredCoordinate{axis}Angst" for axis in "XYZ")
ORIGINS = tuple(f"rlnOrigin{axis}Angst" for axis in "XYZ")
SUBTOMOGRAM = tuple(f"rlnTomoSubtomogram{angle}" for angle in ("Rot", "Tilt", "Psi"))
ANGLES = tuple(f"rlnAngle{angle}" for angle in ("Rot", "Tilt", "Psi"))

#: The model's fields, and the columns that both dialects write alike.
TRIPLES = {"subtomogram_angles": SUBTOMOGRAM, "angles": ANGLES, "origins": ORIGINS}


@dataclass(frozen=True, kw_only=True, eq=False)
class ParticleSource:
    """The file that particles came from.

    Parameters
    ----------
    dialect : str
        ``relion5`` where the coordinates are centred.
    file : StarFile
        With all its other tables.
    block : int
        Which of its tables holds the particles.
    table : Table
        Its rows, as far as they are still in the set.
    optics : mapping of int to Optics
        What its optics groups were read as.
    """

    dialect: str
    file: star.StarFile
    block: int
    table: star.Table
    optics: Mapping[int, Optics] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.table)

    def take(self, rows: Ints) -> ParticleSource:
        """The texts of some particles."""
        return replace(self, table=self.table.take(rows))


@dataclass(frozen=True, kw_only=True, eq=False)
class Frame:
    """The step between centred Å and voxels, row by row (docs/relion.md, 'Particles of RELION 5').

    ::

        v = c / px + Size / 2          Size / 2 is a real number: odd sizes end in a half
    """

    pixel_sizes: Array
    centres: Array
    codes: Ints

    @classmethod
    def of(cls, links: Links, pixel_sizes: Array | None) -> Frame:
        """ModelError if a size of a tomogram or of a pixel is not known."""
        for tomogram in links.tomograms:
            if tomogram.size is None:
                raise ModelError(
                    f"tomogram {tomogram.name!r} has no size, which centred coordinates count "
                    "from; give a set with rlnTomoSizeX, Y and Z (RELION 5 writes them when it "
                    "reconstructs the tomograms)"
                )
            if pixel_sizes is None and tomogram.optics.pixel_size is None:
                raise ModelError(
                    f"tomogram {tomogram.name!r} has no pixel size, and the particles no optics "
                    "group with rlnTomoTiltSeriesPixelSize; centred coordinates need one"
                )
        own = links.pixel_sizes[links.codes] if pixel_sizes is None else pixel_sizes
        return cls(pixel_sizes=own, centres=links.centres, codes=links.codes)

    def to_voxels(self, centred: Array, axis: int) -> Array:
        """0-based voxels of centred coordinates [Å], along one axis."""
        voxels: Array = centred / self.pixel_sizes + self.centres[self.codes, axis]
        return voxels

    def to_centred(self, voxels: Array, axis: int) -> Array:
        """Centred coordinates [Å] of 0-based voxels, along one axis."""
        centred: Array = (voxels - self.centres[self.codes, axis]) * self.pixel_sizes
        return centred
