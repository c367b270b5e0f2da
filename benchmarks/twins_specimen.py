"""The specimen of a simulated tilt series, as a density on a grid.

A slab of vitreous ice with two rough faces, and in it molecules of several sizes that keep their
distance, membranes, vesicles, microtubules and actin; on it redeposited matter and ice crystals.
Densities are relative to vitreous ice (1); lengths are Å; the slab's mid-plane is z = 0.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from twins_kernels import (
    HALF,
    ORIENTATIONS,
    fill,
    keep_apart,
    paint,
    paint_crystal,
    paint_film,
    paint_sheet,
)

Floats = npt.NDArray[np.float32]
Array = npt.NDArray[np.float64]

#: Stored as bytes: so many for the density of vitreous ice.
ICE = 100
#: What molecules are made of: subunits, radius of the whole [Å], share of the volume.
MOLECULES = (
    (1, 1.0, 0.05),
    (2, 28.0, 0.10),
    (4, 40.0, 0.17),
    (8, 52.0, 0.18),
    (14, 66.0, 0.16),
    (24, 80.0, 0.12),
    (60, 115.0, 0.22),
)
#: Radius of a subunit, as a standard deviation [Å]; density of a molecule above the ice.
SUBUNIT, EXCESS = 15.0, 0.42
#: Cell of the grid that keeps molecules apart [Å].
CELL = 20.0


@dataclass(frozen=True, kw_only=True)
class Contents:
    """What is in the specimen, and on it.

    Parameters
    ----------
    thickness : float
        Of the slab [Å].
    crowding : float
        Share of the volume that molecules take, at most.
    layers : int
        Strata that differ in how crowded they are.
    vesicles, filaments : float
        Number in a square of 1 µm.
    membranes : (int, int)
        Number of those about parallel to the slab, and of oblique and upright ones.
    curtains, roughness : float
        Standard deviation of the height of both faces [Å]: stripes along the milling direction,
        and without direction.
    dirt : float
        Number of ice crystals on each face in a square of 1 µm.
    carbon : float
        Thickness of a carbon film that covers a part of the field [Å]; 0: none.
    """

    thickness: float
    crowding: float = 0.15
    layers: int = 1
    vesicles: float = 8.0
    filaments: float = 4.0
    membranes: tuple[int, int] = (1, 2)
    curtains: float = 0.0
    roughness: float = 8.0
    dirt: float = 0.0
    carbon: float = 0.0


@dataclass(frozen=True, eq=False)
class Density:
    """A density on a grid.

    Parameters
    ----------
    values : (y, z, x) uint8 array
        100 is vitreous ice.
    pitch : float
        Of the grid [Å].
    origin : (3,) array
        x, y, z of the first voxel's centre [Å].
    half : float
        Of the slab's thickness [Å].
    """

    values: npt.NDArray[np.uint8]
    pitch: float
    origin: Array
    half: float


def build(contents: Contents, low: Array, high: Array, pitch: float, seed: int) -> Density:
    """A specimen between two corners [Å] in x and y, with all that is on it in z."""
    rng = np.random.default_rng([seed, 77])
    half = contents.thickness / 2 + 60.0 + 3 * math.hypot(contents.curtains, contents.roughness)
    half += 400.0 if contents.dirt else 0.0
    first = np.array([low[0], low[1], -half])
    count = np.ceil((np.array([high[0], high[1], half]) - first) / pitch).astype(int) + 1
    nx, ny, nz = (int(n) for n in count)
    extent = count * pitch
    area = extent[0] * extent[1] / 1e8
    faces = _faces(contents, rng, nx, ny, pitch)
    sheets = _sheets(contents, rng, first, extent, area)
    crystals = _crystals(contents, rng, first, extent, area)
    film = _film(rng, nx, ny, pitch)
    molecules = _Molecules.random(contents, rng, first, extent, pitch)
    values = np.zeros((ny, nz, nx), np.uint8)
    for start in range(0, ny, 48):
        part = np.zeros((min(48, ny - start), nz, nx), np.float32)
        rows = slice(start, start + len(part))
        corner = first + np.array([0.0, start * pitch, 0.0])
        molecules.paint(part, start)
        for sheet in sheets:
            paint_sheet(part, corner, pitch, sheet)
        fill(part, corner[2], pitch, faces[0][rows], faces[1][rows])
        for crystal in crystals:
            paint_crystal(part, corner, pitch, crystal)
        if contents.carbon:
            paint_film(part, corner[2], pitch, film[rows], faces[0][rows], contents.carbon)
        np.clip(np.rint(part * ICE), 0, 255, out=part)
        values[rows] = part
    return Density(values, pitch, first, contents.thickness / 2)


@dataclass(frozen=True, eq=False)
class _Molecules:
    """Where all molecules are, x, y, z [voxels], by y; which template each is, and their sizes."""

    cells: npt.NDArray[np.int64]
    what: npt.NDArray[np.int64]
    templates: Floats
    sizes: npt.NDArray[np.int64]

    @classmethod
    def random(
        cls,
        contents: Contents,
        rng: np.random.Generator,
        first: Array,
        extent: Array,
        pitch: float,
    ) -> _Molecules:
        """Molecules that keep their distance, and filaments of subunits through them."""
        templates, radii = _templates(rng, pitch)
        where, what = _placed(contents, rng, first, extent, radii)
        n = _count(rng, contents.filaments * extent[0] * extent[1] / 1e8)
        threads = [_filament(contents, rng, first, extent) for _ in range(n)]
        where = np.vstack([where, *threads])
        what = np.concatenate([what, np.zeros(len(where) - len(what), np.int64)])
        cells = np.rint((where - first) / pitch).astype(np.int64)
        order = np.argsort(cells[:, 1], kind="stable")
        sizes = np.minimum(np.ceil((radii + 2.5 * SUBUNIT) / pitch).astype(np.int64), HALF)
        return cls(cells[order], what[order], templates, sizes)

    def paint(self, part: Floats, start: int) -> None:
        """Add those that reach into a part of the grid."""
        rows = [start - HALF, start + len(part) + HALF]
        near = slice(*np.searchsorted(self.cells[:, 1], rows))
        paint(part, start, self.cells[near], self.what[near], self.templates, self.sizes)


def _count(rng: np.random.Generator, mean: float) -> int:
    return int(rng.poisson(mean)) if mean > 0 else 0


def smooth_field(rng: np.random.Generator, shape: tuple[int, ...], length: float) -> Floats:
    """A random field of mean 0 and standard deviation 1, smooth over a length [samples]."""
    coarse = max(1, int(length / 3))
    few = tuple(n // coarse + 8 for n in shape)
    field = ndimage.gaussian_filter(rng.normal(size=few), length / coarse)
    scale = [1.0 / coarse] * len(shape)
    fine = ndimage.affine_transform(field, scale, 3.0, shape, order=3)
    return np.asarray((fine - fine.mean()) / max(fine.std(), 1e-9), np.float32)


def _faces(
    contents: Contents, rng: np.random.Generator, nx: int, ny: int, pitch: float
) -> tuple[Floats, Floats]:
    """Heights of the lower and the upper face, (y, x) [Å]."""
    faces = []
    for sign in (-1, 1):
        height = np.full((ny, nx), sign * contents.thickness / 2, np.float32)
        height += 0.8 * contents.roughness * smooth_field(rng, (ny, nx), 600 / pitch)
        height += 0.6 * contents.roughness * smooth_field(rng, (ny, nx), 110 / pitch)
        if contents.curtains:
            stripes = smooth_field(rng, (ny,), 350 / pitch) + 0.5 * smooth_field(
                rng, (ny,), 70 / pitch
            )
            fades = 1 + 0.3 * smooth_field(rng, (ny, nx), 3000 / pitch)
            height += contents.curtains * stripes[:, None] * fades
        faces.append(height)
    return faces[0], faces[1]


def _templates(rng: np.random.Generator, pitch: float) -> tuple[Floats, Array]:
    """Molecules in some orientations, (kind x orientation, z, y, x), and radii of the kinds."""
    grid = (np.arange(2 * HALF + 1) - HALF) * pitch
    made, radii = [], []
    for subunits, radius, _ in MOLECULES:
        at = _compact(rng, subunits, radius)
        radii.append(float(np.linalg.norm(at, axis=1).max()) + SUBUNIT)
        for _ in range(ORIENTATIONS):
            q, _ = np.linalg.qr(rng.normal(size=(3, 3)))
            box = np.zeros((len(grid),) * 3)
            for x, y, z in at @ q.T:
                gz, gy, gx = (np.exp(-((grid - c) ** 2) / (2 * SUBUNIT**2)) for c in (z, y, x))
                box += gz[:, None, None] * gy[:, None] * gx
            # Overlapping subunits do not make matter denser than protein is.
            made.append(EXCESS * np.tanh(1.2 * box))
    return np.asarray(made, np.float32), np.array(radii)


def _compact(rng: np.random.Generator, n: int, radius: float) -> Array:
    """Centres of n subunits in a ball, in two, four or seven equal parts where there are many."""
    fold = 1 if n < 4 else int(rng.choice([1, 2, 4]))
    parts = math.ceil(n / fold)
    ball = rng.normal(size=(parts, 3))
    ball *= (
        radius * rng.uniform(0.1, 1, (parts, 1)) ** (1 / 3) / np.linalg.norm(ball, axis=1)[:, None]
    )
    turns = [2 * np.pi * k / fold for k in range(fold)]
    c, s = np.cos(turns), np.sin(turns)
    x = np.outer(c, ball[:, 0]) - np.outer(s, ball[:, 1])
    y = np.outer(s, ball[:, 0]) + np.outer(c, ball[:, 1])
    z = np.broadcast_to(ball[:, 2], x.shape) * rng.uniform(0.6, 1.2)
    at = np.stack([x, y, z], axis=-1).reshape(-1, 3)
    return np.asarray(at - at.mean(axis=0))


def _placed(
    contents: Contents, rng: np.random.Generator, first: Array, extent: Array, radii: Array
) -> tuple[Array, npt.NDArray[np.int64]]:
    """Centres of molecules [Å], (n, 3), and which template each is."""
    slab = np.array([extent[0], extent[1], contents.thickness])
    corner = np.array([first[0], first[1], -contents.thickness / 2])
    taken = np.zeros(tuple(np.ceil(slab[::-1] / CELL).astype(int) + 1), np.uint8)
    crowded = _crowding(contents, rng, taken.shape)
    where, what = [np.zeros((0, 3))], [np.zeros(0, np.int64)]
    for kind in range(len(MOLECULES))[::-1]:
        volume = 4 / 3 * np.pi * radii[kind] ** 3
        wanted = int(contents.crowding * MOLECULES[kind][2] * slab.prod() / volume)
        tries = rng.random((2 * wanted, 4))
        radius = float(radii[kind])
        kept = keep_apart(taken, crowded, tries, radius / CELL)
        at = corner + tries[kept, :3] * slab
        where.append(at)
        what.append(kind * ORIENTATIONS + rng.integers(0, ORIENTATIONS, len(at)))
    return np.vstack(where), np.concatenate(what)


def _crowding(contents: Contents, rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """Chance that a place takes a molecule, on a grid of 10 x 10 x 10 cells."""
    few = tuple(n // 10 + 1 for n in shape)
    region = 0.75 + 0.2 * smooth_field(rng, few[1:], 15.0)
    z, y, x = np.meshgrid(*(np.linspace(-1, 1, n) for n in few), indexing="ij")
    chance = np.broadcast_to(region, few).copy()
    if contents.layers > 1:
        slope = rng.normal(0, 0.3, 2)
        tilted = np.clip((z + slope[0] * x + slope[1] * y + 1) / 2, 0, 0.999)
        levels = rng.permutation(np.linspace(0.3, 1.0, contents.layers))
        chance *= levels[(tilted * contents.layers).astype(int)]
    return np.asarray(np.clip(chance, 0.02, 1), np.float32)


def _filament(contents: Contents, rng: np.random.Generator, first: Array, extent: Array) -> Array:
    """Subunits of a microtubule or of an actin filament [Å], (n, 3)."""
    length = rng.uniform(3000, 12000)
    angle, rise = rng.uniform(0, np.pi), rng.normal(0, 0.08)
    along = np.array([np.cos(angle), np.sin(angle), rise])
    along /= np.linalg.norm(along)
    side = np.array([-along[1], along[0], 0.0]) / np.hypot(along[0], along[1])
    up = np.cross(along, side)
    place = first + rng.random(3) * extent
    place[2] = rng.uniform(-0.35, 0.35) * contents.thickness
    tube = rng.random() < 0.4
    strands, radius, step, turn = (13, 112.0, 40.0, 0.0) if tube else (2, 22.0, 55.0, 0.46)
    steps = np.arange(0, length, step) - length / 2
    turns = turn * np.arange(len(steps))
    points = []
    for k in range(strands):
        phase = 2 * np.pi * k / strands + turns
        around = radius * (np.cos(phase)[:, None] * side + np.sin(phase)[:, None] * up)
        points.append(place + (steps + step * k / strands)[:, None] * along + around)
    bend = rng.normal(0, 0.04) * (steps / 1000) ** 2 * 1000
    at = np.concatenate([p + bend[:, None] * side for p in points])
    return at[np.abs(at[:, 2]) < contents.thickness / 2]


def _sheets(
    contents: Contents, rng: np.random.Generator, first: Array, extent: Array, area: float
) -> Array:
    """Membranes, (n, 10): centre, radius (0: flat), normal, reach, undulation and its phase [Å]."""
    sheets = []
    for _ in range(_count(rng, contents.vesicles * area)):
        radius = min(rng.uniform(150, 600), 0.8 * contents.thickness)
        centre = first + rng.random(3) * extent
        centre[2] = rng.uniform(-0.4, 0.4) * contents.thickness
        sheets.append([*centre, radius, 0, 0, 1, 0, 0.04 * radius, rng.uniform(0, 6.28)])
    for upright in [False] * contents.membranes[0] + [True] * contents.membranes[1]:
        lean = np.deg2rad(rng.uniform(30, 90) if upright else abs(rng.normal(0, 6)))
        angle = rng.uniform(0, 2 * np.pi)
        normal = [np.sin(lean) * np.cos(angle), np.sin(lean) * np.sin(angle), np.cos(lean)]
        centre = first + (0.25 + 0.5 * rng.random(3)) * extent
        centre[2] = rng.uniform(-0.35, 0.35) * contents.thickness
        reach = rng.uniform(2000, 5000)
        waves = rng.uniform(20, 60)
        # As of the endoplasmic reticulum: many come as pairs.
        for gap in (0.0, rng.uniform(250, 450))[: int(rng.integers(1, 3))]:
            at = centre + gap * np.array(normal)
            sheets.append([*at, 0, *normal, reach, waves, rng.uniform(0, 6.28)])
    return np.array(sheets).reshape(-1, 10)


def _crystals(
    contents: Contents, rng: np.random.Generator, first: Array, extent: Array, area: float
) -> Array:
    """Ice crystals and dirt on the faces: centre, half axes [Å], density, (n, 7)."""
    made = []
    for sign in (-1, 1):
        for _ in range(_count(rng, contents.dirt * area)):
            radius = np.exp(rng.normal(np.log(130), 0.5))
            axes = np.minimum(radius * rng.uniform(0.7, 1.4, 3), 380)
            centre = first + rng.random(3) * extent
            centre[2] = sign * (contents.thickness / 2 + rng.uniform(-0.3, 0.8) * axes[2])
            made.append([*centre, *axes, rng.uniform(0.6, 1.1)])
    return np.array(made).reshape(-1, 7)


def _film(rng: np.random.Generator, nx: int, ny: int, pitch: float) -> Floats:
    """Share of the carbon film at each place, (y, x): its edge is about straight."""
    angle, offset = rng.uniform(0, 2 * np.pi), rng.uniform(0.02, 0.15)
    y, x = np.mgrid[:ny, :nx]
    far = (x / nx - 0.5) * np.cos(angle) * nx / ny + (y / ny - 0.5) * np.sin(angle) - offset
    edge = far * ny * pitch + 60 * smooth_field(rng, (ny, nx), 500 / pitch)
    share = np.clip(edge / 40 + 0.5, 0, 1)
    return np.asarray(share * (1 + 0.08 * smooth_field(rng, (ny, nx), 2.0)), np.float32)
