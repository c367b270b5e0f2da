"""The specimen's matter as clouds of points, besides the ice: one kind and one shape each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tomoset.simulate.acquisition import Views
from tomoset.simulate.specimen import Specimen
from tomoset.simulate.vesicles import LEAFLET_WIDTH

Array = npt.NDArray[np.float64]

#: Standard deviation of the soft edge that pixels and optics give to a bead [px].
EDGE_PX = 0.6
#: Standard deviation of a speck [Å].
_SPECK_WIDTH = 1.5
#: Amplitude contrast of gold.
GOLD_AMPLITUDE = 0.7


@dataclass(frozen=True, kw_only=True, eq=False)
class Cloud:
    """Matter of one kind, as points of one shape.

    Parameters
    ----------
    points : callable
        From the number of an image to x, y, z of the points in 0-based voxels: (n, 3).
    weights : (n,) array
        Volumes [Å³].
    shape : callable
        From spatial frequency [1/Å] to the transform of one point, 1 at 0.
    amplitude : float, optional
        Amplitude contrast, if it is not that of the microscope: of what absorbs.
    fades : bool
        Whether radiation damages it.
    vast : bool
        Whether it has very many points, many of them beyond the sides of the images.
    """

    points: Callable[[int], Array]
    weights: Array
    shape: Callable[[Array], Array]
    amplitude: float | None = None
    fades: bool = True
    vast: bool = False


def clouds(specimen: Specimen, pixel_size: float, views: Views) -> list[Cloud]:
    """The specimen's matter, besides the ice, where it is in each image."""
    doming = views.doming

    def there(voxels: Array) -> Callable[[int], Array]:
        if doming is None:
            return lambda _: voxels
        flat = specimen.flat(voxels)
        return lambda i: voxels + doming.displaced(specimen, i, flat) / pixel_size

    radius = specimen.bead_radius
    gold = Cloud(
        points=there(specimen.beads),
        weights=np.full(len(specimen.beads), 4 / 3 * np.pi * radius**3),
        shape=lambda k: ball(k * radius) * gaussian(k * EDGE_PX * pixel_size),
        amplitude=GOLD_AMPLITUDE,
    )
    made = [gold]
    if (vesicles := specimen.vesicles) is not None:
        points, weights = vesicles.cloud(pixel_size)
        made.append(
            Cloud(
                points=there(points),
                weights=weights,
                shape=lambda k: gaussian(k * LEAFLET_WIDTH),
            )
        )
    if (molecules := specimen.molecules) is not None:
        displacement = views.trajectories
        made.append(
            Cloud(
                points=lambda i: molecules.points(
                    pixel_size, None if displacement is None else displacement[:, i]
                ),
                weights=molecules.weights,
                shape=lambda k: gaussian(k * molecules.molecule.width),
            )
        )
    if (specks := specimen.specks) is not None:
        made.append(
            Cloud(
                points=there(specks.points),
                weights=specks.weights,
                shape=lambda k: gaussian(k * _SPECK_WIDTH),
                fades=False,
            )
        )
    if (lamella := specimen.lamella) is not None:
        made.append(
            Cloud(
                points=there(specimen.lamella_voxels(pixel_size)),
                weights=lamella.weights,
                shape=lambda k: gaussian(k * lamella.width),
                vast=True,
            )
        )
    return made


def gaussian(frequency: Array) -> Array:
    """The transform of a Gaussian, at frequencies in units of 1 / standard deviation."""
    return np.asarray(np.exp(-2 * (np.pi * frequency) ** 2))


def ball(frequency: Array) -> Array:
    """The transform of a ball, at frequencies in units of 1 / radius; 1 at 0."""
    q = 2 * np.pi * np.maximum(frequency, 1e-3)
    return np.asarray(3 * (np.sin(q) - q * np.cos(q)) / q**3)
