"""What is in the microscope: a slab of uneven ice with beads, vesicles, molecules and specks."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from tomoset.errors import ModelError
from tomoset.simulate.lamella import Lamella, LamellaContents
from tomoset.simulate.molecules import Molecule, Molecules, random_angles
from tomoset.simulate.vesicles import BILAYER, RADII, Vesicles

Array = npt.NDArray[np.float64]

#: Waves of density that make the ice look like ice: number, wavelengths [Å], amplitude.
_WAVES, _WAVELENGTHS, _AMPLITUDE = 300, (100.0, 1000.0), 0.02
#: The same of a lamella, as a part of that: it has enough in it that is uneven.
_EVEN = 0.15
#: What a speck has more, or less, than the ice, rms [Å³]: a cube of 17 Å of protein.
_SPECK = 5000.0
#: Specks reach as far as images tilted so much show them [deg], and somewhat along the tilt axis.
_HIGHEST, _ALONG = 64.0, 1.2
#: The smallest vesicle, if the slab is too thin for any other [Å].
_SMALLEST = 60.0


@dataclass(frozen=True, kw_only=True)
class Contents:
    """What lies in the ice, and how much of it.

    Parameters
    ----------
    beads, vesicles, molecules : int
        How many of each.
    bead_radius : float
        [Å].
    molecule : Molecule, optional
        What the molecules are copies of; `Molecule.made` if not given.
    specks : int
        Points of more or less density, as amorphous matter has them: they show Thon rings.
    thickness : float, optional
        Of the ice [Å]; seven tenths of the tomogram's depth if not given.
    inclined : float
        By how much what is in the ice is rotated about the tilt axis in the tomogram [deg].
    lamella : LamellaContents
        What there is of a lamella.
    pretilt, x_tilt : float
        By how much the slab, ice and all, is rotated about the tilt axis, and before that about x
        [deg].
    """

    beads: int = 20
    vesicles: int = 0
    molecules: int = 0
    bead_radius: float = 50.0
    molecule: Molecule | None = None
    specks: int = 0
    thickness: float | None = None
    inclined: float = 0.0
    lamella: LamellaContents = field(default_factory=LamellaContents)
    pretilt: float = 0.0
    x_tilt: float = 0.0

    def __post_init__(self) -> None:
        if self.inclined and self.lamella.anything:
            raise ModelError(
                "--inclined leaves the ice level, and a lamella has its matter at its surfaces: "
                "take --pretilt, which turns all of it"
            )


@dataclass(frozen=True, kw_only=True, eq=False)
class Specks:
    """Amorphous matter.

    Parameters
    ----------
    points : (n, 3) array
        0-based voxels of the tomogram.
    weights : (n,) array
        Volumes of protein, or of what is missing [Å³].
    """

    points: Array
    weights: Array


@dataclass(frozen=True, kw_only=True, eq=False)
class Specimen:
    """A slab of uneven ice with gold beads, vesicles and molecules.

    Parameters
    ----------
    size : (int, int, int)
        x, y, z of the tomogram, whose voxels are as large as the pixels of the images.
    beads : (n, 3) array
        Centres: x, y, z in 0-based voxels of the tomogram.
    bead_radius : float
        [Å].
    slab : float
        Thickness of the ice, whose middle is at the depth of the tilt axis [Å].
    waves : (n, 5) array
        The ice's density is 1 plus a sum of cosines: wave vector along x, depth and y
        [rad/px], amplitude, phase [rad].
    vesicles : Vesicles, optional
        None: there are none.
    molecules : Molecules, optional
        None: there are none.
    specks : Specks, optional
        None: there are none.
    lamella : Lamella, optional
        None: the slab has smooth surfaces, and nothing in it reaches beyond the tomogram.
    orientation : (3, 3) array
        Takes x, depth and y of the slab to those of the tomogram, from the tilt axis.
    """

    size: tuple[int, int, int]
    beads: Array
    bead_radius: float = 50.0
    slab: float
    waves: Array
    vesicles: Vesicles | None = None
    molecules: Molecules | None = None
    specks: Specks | None = None
    lamella: Lamella | None = None
    orientation: Array = field(default_factory=lambda: np.eye(3))

    @classmethod
    def random(
        cls, size: tuple[int, int, int], pixel_size: float, contents: Contents, *, seed: int
    ) -> Specimen:
        """Things strewn over the slab, none touching another.

        Parameters
        ----------
        size : (int, int, int)
            x, y, z of the tomogram [px].
        pixel_size : float
            [Å].
        contents : Contents
            What there is.
        seed : int
            The same gives the same specimen.

        Raises
        ------
        ModelError
            If the tomogram has no room for so much.
        """
        # Streams of their own: the beads stay where they are, whatever else is there.
        ice, chance = np.random.default_rng(seed), np.random.default_rng([seed, 1])
        slab = contents.thickness or 0.7 * size[2] * pixel_size
        room = _Room.of(size, pixel_size, slab)
        radii = _vesicle_radii(chance, contents.vesicles, slab)
        bead = contents.bead_radius
        beads = room.strew(ice, np.full(contents.beads, bead), "gold beads", sunk=False)
        round_ones = room.strew(chance, radii + BILAYER / 2 + 15.0, "vesicles")
        molecules = None
        if contents.molecules:
            molecule = contents.molecule or Molecule.made()
            each = np.full(contents.molecules, molecule.radius)
            positions = room.strew(chance, each, "molecules")
            angles = random_angles(chance, len(positions))
            molecules = Molecules(molecule=molecule, positions=positions, angles=angles)
        specks = None
        if contents.specks:
            specks = room.specks(
                np.random.default_rng([seed, 2]), contents.specks, contents.inclined
            )
        lamella = None
        if contents.lamella.anything:
            at, taken = room.taken
            lamella = Lamella.random(
                room.half * pixel_size, pixel_size, contents.lamella, (at, taken), seed=seed
            )
        waves = _random_waves(ice, pixel_size)
        if lamella is not None:
            waves[:, 3] *= _EVEN
        made = cls(
            size=size,
            beads=beads,
            bead_radius=bead,
            slab=slab,
            waves=waves,
            vesicles=Vesicles(centres=round_ones, radii=radii) if len(radii) else None,
            molecules=molecules,
            specks=specks,
            lamella=lamella,
        )
        if contents.pretilt or contents.x_tilt:
            rotation = _rotation(contents.pretilt, contents.x_tilt)
            made = replace(made.turned(rotation), orientation=rotation)
        return made.turned(_rotation(contents.inclined)) if contents.inclined else made

    def turned(self, rotation: Array) -> Specimen:
        """With all that is in the ice rotated about the middle of the slab, each thing upright."""

        def there(voxels: Array) -> Array:
            x, depth, y = self.from_axis(voxels).T
            turned = [a * x + b * depth + c * y for a, b, c in rotation]
            return _voxels(np.stack(turned, axis=-1), self.size)

        changes: dict[str, object] = {"beads": np.round(there(self.beads), 3)}
        if self.vesicles is not None:
            centres = np.round(there(self.vesicles.centres), 3)
            changes["vesicles"] = replace(self.vesicles, centres=centres)
        if self.molecules is not None:
            positions = np.round(there(self.molecules.positions), 3)
            changes["molecules"] = replace(self.molecules, positions=positions)
        if self.specks is not None:
            changes["specks"] = replace(self.specks, points=there(self.specks.points))
        return replace(self, **changes)  # type: ignore[arg-type]

    def from_axis(self, voxels: npt.ArrayLike) -> Array:
        """x, depth and y from the tilt axis [px] of 0-based voxels: (n, 3).

        Depth is t/2 - 2 - z for a thickness t: RELION's frame of a volume turned about x is
        1.5 voxels off the middle (docs/conventions.md, 'IMOD'), and this is its definition.
        """
        return _from_axis(np.asarray(voxels, dtype=np.float64), self.size)

    def flat(self, voxels: npt.ArrayLike) -> Array:
        """x and y in the slab, from the tilt axis [px], of 0-based voxels: (n, 2)."""
        return self.from_axis(voxels) @ self.orientation[:, ::2]

    def voxels(self, from_axis: Array) -> Array:
        """The inverse: 0-based voxels of x, depth and y from the axis [px]."""
        return _voxels(from_axis, self.size)

    def lamella_voxels(self, pixel_size: float) -> Array:
        """The points of the lamella in 0-based voxels: (n, 3)."""
        if self.lamella is None:
            return np.empty((0, 3))
        return self.voxels(self.lamella.points @ self.orientation.T / pixel_size)


def _rotation(about_axis: float, about_x: float = 0.0) -> Array:
    """First about x, then about the tilt axis [deg]: for x, depth and y from the axis."""
    c, s = np.cos(np.deg2rad(about_axis)), np.sin(np.deg2rad(about_axis))
    a, b = np.cos(np.deg2rad(about_x)), np.sin(np.deg2rad(about_x))
    tilted = np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])
    return np.asarray(tilted @ [[1.0, 0.0, 0.0], [0.0, a, -b], [0.0, b, a]])


class _Room:
    """The slab, and what is in it already."""

    def __init__(self, size: tuple[int, int, int], half: Array, pixel_size: float) -> None:
        self.size, self.half, self.pixel_size = size, half, pixel_size
        self.centres, self.radii = np.empty((0, 3)), np.empty(0)

    @classmethod
    def of(cls, size: tuple[int, int, int], pixel_size: float, slab: float) -> _Room:
        half = np.array([size[0] / 2, slab / pixel_size / 2, size[1] / 2])
        return cls(size, half, pixel_size)

    @property
    def taken(self) -> tuple[Array, Array]:
        """x, depth and y of what is in it, from the middle, and its radii [Å]."""
        at = _from_axis(self.centres, self.size)
        return at * self.pixel_size, self.radii * self.pixel_size

    def strew(
        self, rng: np.random.Generator, radii: Array, what: str, *, sunk: bool = True
    ) -> Array:
        """Positions for balls of these radii [Å] that touch nothing: (n, 3), 0-based voxels.

        Those that are not `sunk` may stand out of the ice, as beads do.
        """
        first = len(self.centres)
        for radius in radii / self.pixel_size:
            half = self.half - 1.2 * radius
            half[1] = max(self.half[1] - radius, 0.0) if sunk else self.half[1]
            for _ in range(500 if (half >= 0).all() else 0):
                # Three decimals, so that the positions can be told to others in short.
                new = np.round(_voxels(rng.uniform(-half, half)[None], self.size)[0], 3)
                apart = np.linalg.norm(self.centres - new, axis=1) - 1.15 * (self.radii + radius)
                if (apart > 0).all():
                    self.centres = np.vstack([self.centres, new])
                    self.radii = np.append(self.radii, radius)
                    break
            else:
                raise ModelError(
                    f"there is room for {len(self.centres) - first} {what}, not for "
                    f"{len(radii)}: take fewer, larger images or larger pixels"
                )
        return self.centres[first:]

    def specks(self, rng: np.random.Generator, number: int, inclined: float) -> Specks:
        """So many specks in the slab, and as densely beyond its sides, which tilted images show."""
        steep = np.deg2rad(min(_HIGHEST + abs(inclined), 78.0))
        across = (self.half[0] + self.half[1] * np.sin(steep)) / np.cos(steep)
        beyond = np.array([across / self.half[0], 1.0, _ALONG])
        total = round(number * float(np.prod(beyond)))
        positions = rng.uniform(-1, 1, (total, 3)) * self.half * beyond
        weights = _SPECK * rng.standard_normal(total)
        return Specks(points=_voxels(positions, self.size), weights=weights)


def _from_axis(voxels: Array, size: tuple[int, int, int]) -> Array:
    """As `Specimen.from_axis`."""
    x, y, z = voxels.T
    width, height, thickness = size
    return np.stack([x - (width - 1) / 2, thickness / 2 - 2 - z, y - (height - 1) / 2], axis=-1)


def _voxels(from_axis: Array, size: tuple[int, int, int]) -> Array:
    """The inverse of `Specimen.from_axis`: (n, 3)."""
    x, depth, y = from_axis.T
    width, height, thickness = size
    return np.stack([x + (width - 1) / 2, y + (height - 1) / 2, thickness / 2 - 2 - depth], axis=-1)


def _vesicle_radii(rng: np.random.Generator, number: int, slab: float) -> Array:
    """At random, but none that would stand out of the ice [Å]."""
    largest = slab / 2 - BILAYER / 2 - 15.0
    if number and largest < _SMALLEST:
        raise ModelError(
            f"a slab of {slab:.0f} Å has no room for vesicles: take a deeper tomogram (--size) "
            "or none"
        )
    return np.asarray(np.round(np.minimum(rng.uniform(*RADII, number), largest), 1))


def _random_waves(rng: np.random.Generator, pixel_size: float) -> Array:
    low, high = np.log(_WAVELENGTHS)
    wavelength = np.exp(rng.uniform(low, high, _WAVES)) / pixel_size
    direction = rng.standard_normal((_WAVES, 3))
    direction *= (2 * np.pi / wavelength / np.linalg.norm(direction, axis=1))[:, None]
    # Short waves are seen only where they lie across the beam: stronger, to be seen at all.
    amplitude = _AMPLITUDE * (wavelength.max() / wavelength) ** 0.5
    phase = rng.uniform(0, 2 * np.pi, _WAVES)
    return np.column_stack([direction, amplitude, phase])
