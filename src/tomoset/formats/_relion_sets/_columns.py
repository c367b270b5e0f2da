"""The columns of RELION's particles, and the step between centred Å and voxels."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from tomoset import star
from tomoset.errors import LossyWarning, ModelError
from tomoset.formats._relion_optics import ABERRATIONS, USUAL
from tomoset.formats._relion_sets._links import Links
from tomoset.formats._texts import Array, Ints, exact_texts
from tomoset.model import Optics

TOMOGRAM = "rlnTomoName"
NAME = "rlnTomoParticleName"
SUBSET = "rlnRandomSubset"
CLASS = "rlnClassNumber"
SCORE = "rlnAutopickFigureOfMerit"
GROUP = "rlnOpticsGroup"
VISIBLE = "rlnTomoVisibleFrames"
#: Of images cut out of tomograms, against the pixel size of the tilt images.
_BINNING = "rlnTomoSubtomogramBinning"
CORNER = tuple(f"rlnCoordinate{axis}" for axis in "XYZ")
CENTRED = tuple(f"rlnCenteredCoordinate{axis}Angst" for axis in "XYZ")
ORIGINS = tuple(f"rlnOrigin{axis}Angst" for axis in "XYZ")
SUBTOMOGRAM = tuple(f"rlnTomoSubtomogram{angle}" for angle in ("Rot", "Tilt", "Psi"))
ANGLES = tuple(f"rlnAngle{angle}" for angle in ("Rot", "Tilt", "Psi"))

#: The model's fields, and the columns that both dialects write alike.
TRIPLES = {"subtomogram_angles": SUBTOMOGRAM, "angles": ANGLES, "origins": ORIGINS}
#: What the model knows, of particles and of optics groups.
_KNOWN = {
    *(TOMOGRAM, NAME, SUBSET, CLASS, SCORE, GROUP, VISIBLE),
    *(*CORNER, *CENTRED, *ORIGINS, *SUBTOMOGRAM, *ANGLES),
    *(column.label for column in (*USUAL, *ABERRATIONS)),
}


def optics_of(file: star.StarFile | None) -> star.Table | None:
    """The table of optics groups, if there is one that says something."""
    if file is None or "optics" not in file or not len(file["optics"]):
        return None
    return file["optics"]


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

    def group(self, number: int) -> dict[str, str]:
        """What the file says of an optics group and the model does not know, by column."""
        table = optics_of(self.file)
        if table is None or number not in table.ints(GROUP):
            return {}
        row = table.ints(GROUP).tolist().index(number)
        return {label: v[row] for label, v in table.columns.items() if label not in _KNOWN}

    def rebinned(self, factor: float) -> ParticleSource:
        """The same images of particles, beside tilt images that were binned."""
        tables = list(self.file.tables)
        for i, table in enumerate(tables):
            if table.name == "optics" and _BINNING in table:
                binning = exact_texts(table.floats(_BINNING) / factor)
                tables[i] = table.with_columns({_BINNING: binning})
        return replace(self, file=replace(self.file, tables=tuple(tables)))

    def with_paths(self, change: Callable[[str], str]) -> ParticleSource:
        """The same, with other texts where these may be paths, in columns that nobody knows."""
        columns = {
            label: [change(text) for text in texts]
            for label, texts in self.table.columns.items()
            if label not in _KNOWN
        }
        return replace(self, table=self.table.with_columns(columns))

    def joined(
        self, others: Sequence[ParticleSource], numbers: Sequence[Mapping[int, int]]
    ) -> ParticleSource:
        """The texts of several files, one after the other: of columns that all of them have.

        Parameters
        ----------
        others : sequence of ParticleSource
            Of the files after this one.
        numbers : sequence of mapping of int to int
            New numbers of optics groups, for this one and each of the others.
        """
        every = [self, *others]
        groups, optics = _joined_groups(every, numbers)
        others_of_file = [(i, t) for i, t in enumerate(self.file.tables) if t.name != "optics"]
        tables = [t for _, t in others_of_file]
        block = [i for i, _ in others_of_file].index(self.block)
        return ParticleSource(
            dialect=self.dialect,
            file=replace(self.file, tables=tuple(tables if groups is None else [groups, *tables])),
            block=block if groups is None else block + 1,
            table=_joined_tables([source.table for source in every], "particles"),
            optics=optics,
        )


def _joined_tables(tables: Sequence[star.Table], what: str) -> star.Table:
    """Rows of several tables, of columns that all of them have; what else they had is said."""
    first = tables[0]
    common = [label for label in first.columns if all(label in t for t in tables)]
    lost = {label for t in tables for label in t.columns if label not in common} - _KNOWN
    if lost:
        warnings.warn(
            f"not all files of {what} have {', '.join(sorted(lost))}, so none keeps that",
            LossyWarning,
            stacklevel=5,
        )
    columns = {label: [text for t in tables for text in t[label]] for label in common}
    return star.Table(first.name, columns, comments=first.comments)


def _joined_groups(
    sources: Sequence[ParticleSource], numbers: Sequence[Mapping[int, int]]
) -> tuple[star.Table | None, dict[int, Optics]]:
    """The table of all groups, each once, if all files have one, and what they were read as."""
    tables, optics = list[star.Table](), dict[int, Optics]()
    for source, new in zip(sources, numbers, strict=True):
        table = optics_of(source.file)
        if table is None:
            return None, {}
        old = table.ints(GROUP).tolist()
        rows = []
        for row, number in enumerate(old):
            if number in new and new[number] not in optics:
                optics[new[number]] = source.optics[number]
                rows.append(row)
        texts = [str(new[old[row]]) for row in rows]
        tables.append(table.take(rows).with_columns({GROUP: texts}))
    return _joined_tables(tables, "optics groups"), optics


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
