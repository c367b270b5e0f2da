"""The specimen as a volume: what a perfect reconstruction would show."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tomoset.simulate.clouds import EDGE_PX
from tomoset.simulate.imaging import GOLD_PATH, PROTEIN_PATH
from tomoset.simulate.molecules import Molecule
from tomoset.simulate.specimen import Specimen
from tomoset.simulate.vesicles import LEAFLET_WIDTH

Array = npt.NDArray[np.float64]
Volume = npt.NDArray[np.float32]

#: Points that are drawn at once.
_AT_ONCE = 4096


def density(specimen: Specimen, pixel_size: float, binning: int = 1) -> Volume:
    """The beads, vesicles, molecules and what is in a lamella, before any motion.

    Parameters
    ----------
    specimen : Specimen
        What there is.
    pixel_size : float
        [Å].
    binning : int
        Voxel k, j, i lies at voxel binning * (i, j, k), x, y, z, of the tomogram, and is the mean
        of the cube around it.

    Returns
    -------
    (z, y, x) float32 array
        1 is dense protein, gold is more, ice is 0. Its size is size / binning, rounded.

    Examples
    --------
    >>> from tomoset import simulate as sim
    >>> specimen = sim.Specimen.random((64, 60, 40), 10.0, sim.Contents(beads=2), seed=1)
    >>> density(specimen, 10.0, 2).shape
    (20, 30, 32)
    """
    x, y, z = (max(round(n / binning), 1) for n in specimen.size)
    volume = np.zeros((z, y, x), np.float32)
    voxel = pixel_size**3
    if specimen.vesicles is not None:
        points, weights = specimen.vesicles.cloud(pixel_size)
        _draw(volume, points, weights / voxel, LEAFLET_WIDTH / pixel_size, binning)
    if (molecules := specimen.molecules) is not None:
        width = molecules.molecule.width / pixel_size
        weights = molecules.weights / voxel
        _draw(volume, molecules.points(pixel_size), weights, width, binning)
    if (lamella := specimen.lamella) is not None:
        at, width = specimen.lamella_voxels(pixel_size), lamella.width / pixel_size
        _draw(volume, at, lamella.weights / voxel, width, binning)
    for bead in specimen.beads:
        _ball(volume, bead, specimen.bead_radius / pixel_size, binning)
    return volume


def molecule_map(molecule: Molecule, pixel_size: float) -> Volume:
    """One molecule, upright, its origin at voxel size // 2 of an even box: (z, y, x).

    Examples
    --------
    >>> molecule_map(Molecule.made(), 10.0).shape
    (28, 28, 28)
    """
    half = int(np.ceil(1.2 * molecule.radius / pixel_size)) + 1
    volume = np.zeros((2 * half,) * 3, np.float32)
    weights = molecule.weights / pixel_size**3
    _draw(volume, molecule.points / pixel_size + half, weights, molecule.width / pixel_size, 1)
    return volume


def _draw(volume: Volume, points: Array, weights: Array, width: float, binning: int) -> None:
    """Add Gaussians, averaged over every voxel. Points and width in voxels at bin 1."""
    from scipy.special import ndtr

    reach = int(np.ceil((4 * width + binning / 2) / binning))
    offsets = np.arange(-reach, reach + 1)
    size = np.array(volume.shape[::-1])
    for start in range(0, len(points), _AT_ONCE):
        at = points[start : start + _AT_ONCE, :, None]
        cells = np.round(at / binning).astype(np.int64) + offsets
        edges = (cells - 0.5) * binning - at, (cells + 0.5) * binning - at
        part = (ndtr(edges[1] / width) - ndtr(edges[0] / width)) / binning
        part[(cells < 0) | (cells >= size[:, None])] = 0
        cells = np.clip(cells, 0, size[:, None] - 1)
        values = np.einsum("ni,nj,nk,n->nkji", *part.swapaxes(0, 1), weights[start:][: len(at)])
        where = cells[:, 2, :, None, None], cells[:, 1, None, :, None], cells[:, 0, None, None, :]
        np.add.at(volume, where, values)


def _ball(volume: Volume, at: Array, radius: float, binning: int) -> None:
    """Add a ball of gold with soft edges. Everything in voxels at bin 1."""
    from scipy.special import ndtr

    fine = max(2, 4 // binning) * binning  # samples of a voxel along an edge
    steps = ((np.arange(fine) + 0.5) / fine - 0.5) * binning
    reach = radius + 4 * EDGE_PX + binning / 2
    size = np.array(volume.shape[::-1])
    first = np.maximum(np.ceil((at - reach) / binning), 0).astype(int)
    last = np.minimum(np.floor((at + reach) / binning), size - 1).astype(int) + 1
    if (first >= last).any():
        return
    x, y, z = (
        (np.arange(a, b)[:, None] * binning + steps - c).ravel() ** 2
        for a, b, c in zip(first, last, at, strict=True)
    )
    distance = np.sqrt(z[:, None, None] + y[:, None] + x)
    solid = ndtr((radius - distance) / EDGE_PX) * PROTEIN_PATH / GOLD_PATH
    shape = [n for a, b in zip(last[::-1], first[::-1], strict=True) for n in (a - b, fine)]
    box = tuple(slice(a, b) for a, b in zip(first[::-1], last[::-1], strict=True))
    volume[box] += solid.reshape(shape).mean(axis=(1, 3, 5))
