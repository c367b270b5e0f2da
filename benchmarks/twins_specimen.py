"""The specimen of a simulated tilt series, as a density on a grid. Shares no code with `tomoset.simulate`.

A slab of vitreous ice with two rough faces, and in it molecules of several sizes that keep their
distance, membranes, vesicles, microtubules and actin; on it redeposited matter and ice crystals.
Densities are relative to vitreous ice (1); lengths are Å; the slab's mid-plane is z = 0.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numba
import numpy as np
import numpy.typing as npt
from scipy import ndimage

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
#: Orientations of each kind that there are.
ORIENTATIONS = 24
#: Radius of a subunit, as a standard deviation [Å]; density of a molecule above the ice.
SUBUNIT, EXCESS = 15.0, 0.42
#: Half the edge of the box of a template [voxels].
HALF = 16
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
    """

    values: npt.NDArray[np.uint8]
    pitch: float
    origin: Array


def build(contents: Contents, low: Array, high: Array, pitch: float, seed: int) -> Density:
    """A specimen between two corners [Å] in x and y, with all that is on it in z."""
    rng = np.random.default_rng([seed, 77])
    above = 60.0 + 3 * math.hypot(contents.curtains, contents.roughness)
    above += 400.0 if contents.dirt else 0.0
    half = contents.thickness / 2 + above
    first = np.array([low[0], low[1], -half])
    count = np.ceil((np.array([high[0], high[1], half]) - first) / pitch).astype(int) + 1
    nx, ny, nz = (int(n) for n in count)
    area = nx * ny * pitch**2 / 1e8
    faces = _faces(contents, rng, nx, ny, pitch)
    sheets = _sheets(contents, rng, first, count * pitch, area)
    templates, radii = _templates(rng, pitch)
    where, what = _placed(contents, rng, first, count * pitch, radii)
    threads = [
        _filament(contents, rng, first, count * pitch)
        for _ in range(_count(rng, contents.filaments * area))
    ]
    where = np.vstack([where, *threads])
    what = np.concatenate([what, np.zeros(len(where) - len(what), np.int64)])
    crystals = _crystals(contents, rng, first, count * pitch, area)
    film = _film(contents, rng, nx, ny, pitch)
    cells = np.rint((where - first) / pitch).astype(np.int64)
    order = np.argsort(cells[:, 1], kind="stable")
    cells, what = cells[order], what[order]
    sizes = np.minimum(np.ceil((radii + 2.5 * SUBUNIT) / pitch).astype(np.int64), HALF)
    values = np.zeros((ny, nz, nx), np.uint8)
    for start in range(0, ny, 48):
        part = np.zeros((min(48, ny - start), nz, nx), np.float32)
        near = slice(*np.searchsorted(cells[:, 1], [start - HALF, start + len(part) + HALF]))
        _paint(part, start, cells[near], what[near], templates, sizes)
        corner = first + [0.0, start * pitch, 0.0]
        for sheet in sheets:
            _paint_sheet(part, corner, pitch, sheet)
        rows = slice(start, start + len(part))
        _fill(part, corner[2], pitch, faces[0][rows], faces[1][rows])
        for crystal in crystals:
            _paint_crystal(part, corner, pitch, crystal)
        if contents.carbon:
            _paint_film(part, corner[2], pitch, film[rows], faces[0][rows], contents.carbon)
        np.clip(np.rint(part * ICE), 0, 255, out=part)
        values[rows] = part
    return Density(values, pitch, first)


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
    """Molecules in some orientations, (kind x orientation, z, y, x), and the radius of each kind."""
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
        kept = _keep_apart(taken, crowded, tries, radius / CELL)
        at = corner + tries[kept, :3] * slab
        where.append(at)
        what.append(kind * ORIENTATIONS + rng.integers(0, ORIENTATIONS, len(at)))
    return np.vstack(where), np.concatenate(what)


def _crowding(contents: Contents, rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """Chance that a place takes a molecule, on a grid of 10 x 10 x 10 cells, (z, y, x)."""
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


@numba.njit(cache=True, nogil=True)
def _keep_apart(taken, chance, tries, radius):  # type: ignore[no-untyped-def]
    """Which of the tried places, fractions of the slab, get a ball that touches no other [cells]."""
    nz, ny, nx = taken.shape
    kept = np.zeros(len(tries), np.bool_)
    reach = int(np.ceil(radius))
    for i in range(len(tries)):
        x, y, z = tries[i, 0] * (nx - 1), tries[i, 1] * (ny - 1), tries[i, 2] * (nz - 1)
        if tries[i, 3] > chance[int(z) // 10, int(y) // 10, int(x) // 10]:
            continue
        free = True
        for fill in range(2):
            for k in range(max(0, int(z) - reach), min(nz, int(z) + reach + 2)):
                for j in range(max(0, int(y) - reach), min(ny, int(y) + reach + 2)):
                    for l in range(max(0, int(x) - reach), min(nx, int(x) + reach + 2)):
                        far = (k - z) ** 2 + (j - y) ** 2 + (l - x) ** 2
                        if far > radius * radius:
                            continue
                        if fill == 1:
                            taken[k, j, l] = 1
                        elif taken[k, j, l]:
                            free = False
                            break
                    if not free:
                        break
                if not free:
                    break
            if not free:
                break
        kept[i] = free
    return kept


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


def _film(contents: Contents, rng: np.random.Generator, nx: int, ny: int, pitch: float) -> Floats:
    """Share of the carbon film at each place, (y, x): its edge is about straight."""
    angle, offset = rng.uniform(0, 2 * np.pi), rng.uniform(0.02, 0.15)
    y, x = np.mgrid[:ny, :nx]
    far = (x / nx - 0.5) * np.cos(angle) * nx / ny + (y / ny - 0.5) * np.sin(angle) - offset
    edge = far * ny * pitch + 60 * smooth_field(rng, (ny, nx), 500 / pitch)
    share = np.clip(edge / 40 + 0.5, 0, 1)
    return np.asarray(share * (1 + 0.08 * smooth_field(rng, (ny, nx), 2.0)), np.float32)


@numba.njit(cache=True, nogil=True)
def _paint(part, start, cells, what, templates, sizes):  # type: ignore[no-untyped-def]
    """Add molecules to a part of the grid, (y, z, x)."""
    ny, nz, nx = part.shape
    for i in range(len(cells)):
        half = sizes[what[i] // ORIENTATIONS]
        x, y, z = cells[i, 0], cells[i, 1] - start, cells[i, 2]
        box = templates[what[i]]
        for j in range(max(0, y - half), min(ny, y + half + 1)):
            for k in range(max(0, z - half), min(nz, z + half + 1)):
                for l in range(max(0, x - half), min(nx, x + half + 1)):
                    part[j, k, l] += box[k - z + HALF, j - y + HALF, l - x + HALF]


@numba.njit(cache=True, nogil=True)
def _paint_sheet(part, corner, pitch, sheet):  # type: ignore[no-untyped-def]
    """Add a membrane of two leaflets, 36 Å apart, flat or round, to a part of the grid."""
    ny, nz, nx = part.shape
    cx, cy, cz, radius, ux, uy, uz, reach, waves, phase = sheet
    thick = 50.0 + waves
    for j in range(ny):
        y = corner[1] + j * pitch - cy
        if radius > 0 and abs(y) > radius + thick:
            continue
        for l in range(nx):
            x = corner[0] + l * pitch - cx
            flat = x * x + y * y
            if radius > 0:
                if flat > (radius + thick) ** 2:
                    continue
                wave = waves * math.sin(3 * math.atan2(y, x) + phase)
                top = math.sqrt((radius + thick) ** 2 - flat)
                bottom = -top
            else:
                wave = waves * math.sin(x / 400 + phase) * math.sin(y / 530 + 2 * phase)
                across = x * ux + y * uy
                if uz < 0.02:
                    if abs(across) > thick:
                        continue
                    top, bottom = 1e6, -1e6
                else:
                    top, bottom = (thick - across) / uz, (-thick - across) / uz
            low = max(0, int(math.floor((bottom + cz - corner[2]) / pitch)))
            high = min(nz, int(math.ceil((top + cz - corner[2]) / pitch)) + 1)
            for k in range(low, high):
                z = corner[2] + k * pitch - cz
                if radius > 0:
                    far = math.sqrt(flat + z * z) - radius - wave
                else:
                    far = x * ux + y * uy + z * uz
                    if flat + z * z - far * far > reach * reach:
                        continue
                    far -= wave
                if abs(far) < 48:
                    a, b = (far - 18) / 8.5, (far + 18) / 8.5
                    part[j, k, l] += 0.5 * (math.exp(-a * a / 2) + math.exp(-b * b / 2))


@numba.njit(cache=True, nogil=True)
def _fill(part, z0, pitch, lower, upper):  # type: ignore[no-untyped-def]
    """Put ice where the slab is, and cut off what is beyond its faces."""
    ny, nz, nx = part.shape
    for j in range(ny):
        for k in range(nz):
            z = z0 + k * pitch
            for l in range(nx):
                # Edges as soft as the grid carries.
                inside = min((upper[j, l] - z), (z - lower[j, l])) / (3 * pitch) + 0.5
                inside = min(max(inside, 0.0), 1.0)
                inside = inside * inside * (3 - 2 * inside)
                part[j, k, l] = inside * (1 + part[j, k, l])


@numba.njit(cache=True, nogil=True)
def _paint_crystal(part, corner, pitch, crystal):  # type: ignore[no-untyped-def]
    """Put a crystal where no ice is yet."""
    ny, nz, nx = part.shape
    cx, cy, cz, ax, ay, az, dense = crystal
    low = [0, 0, 0]
    high = [0, 0, 0]
    for n in range(3):
        size = (nx, ny, nz)[n]
        low[n] = max(0, int((crystal[n] - 1.3 * crystal[3 + n] - corner[n]) / pitch))
        high[n] = min(size, int((crystal[n] + 1.3 * crystal[3 + n] - corner[n]) / pitch) + 1)
    for j in range(low[1], high[1]):
        for k in range(low[2], high[2]):
            for l in range(low[0], high[0]):
                x = (corner[0] + l * pitch - cx) / ax
                y = (corner[1] + j * pitch - cy) / ay
                z = (corner[2] + k * pitch - cz) / az
                ragged = 1 + 0.12 * math.sin(5 * x + 3 * z) * math.cos(4 * y - 2 * x)
                edge = (ragged - math.sqrt(x * x + y * y + z * z)) * min(ax, ay, az) / (
                    3 * pitch
                ) + 0.5
                inside = min(max(edge, 0.0), 1.0)
                part[j, k, l] = max(part[j, k, l], dense * inside)


@numba.njit(cache=True, nogil=True)
def _paint_film(part, z0, pitch, share, lower, thick):  # type: ignore[no-untyped-def]
    """Put a carbon film under the ice."""
    ny, nz, nx = part.shape
    for j in range(ny):
        for k in range(nz):
            for l in range(nx):
                z = z0 + k * pitch - lower[j, l]
                inside = min(max(min(z + thick / 2, thick / 2 - z) / (2 * pitch) + 0.5, 0.0), 1.0)
                part[j, k, l] = max(part[j, k, l], 1.5 * inside * share[j, l])
