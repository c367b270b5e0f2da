"""Weighted back-projection of filtered images, slab by slab, each voxel from its own depth."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt

from tomoset.images.device import Device, DeviceArray
from tomoset.images.projector import Projector
from tomoset.reconstruct.coverage import Coverage
from tomoset.reconstruct.depths import Batch, batches
from tomoset.reconstruct.filters import Filters
from tomoset.reconstruct.plan import Plan

Images = npt.NDArray[np.float32]

#: Bytes of the volume that are made at a time.
SLAB_BYTES = 1 << 26


def back_projection(
    plan: Plan, transforms: Sequence[DeviceArray], rows: Sequence[int], device: Device
) -> Iterator[Images]:
    """The volume that some images give, from its first slice to its last.

    Parameters
    ----------
    plan : Plan
        Geometry and choices.
    transforms : sequence of arrays
        Of all images, as `Cropping.transform` gives them.
    rows : sequence of int
        The images to take.
    device : Device
        Where it is computed.

    Yields
    ------
    (k, y, x) float32 arrays
        Slabs along z, in image units per voxel of depth.
    """
    filters, whole = Filters(plan, rows), plan.projector(device)
    coverage = Coverage(plan, rows)
    scale = np.float32(plan.pixel_size * plan.binning / plan.thickness)
    ready = (
        (
            batch.projector(plan, whole),
            filtered(plan, transforms, filters, batch, device, finer=plan.finer),
        )
        for batch in batches(plan, rows)
    )
    for first, last, slab in _sum(plan.size, ready):
        slab *= coverage.share(first, last) * scale
        yield slab


def _sum(
    size: tuple[int, int, int], ready: Iterator[tuple[Projector, DeviceArray]]
) -> Iterator[tuple[int, int, Images]]:
    """Slabs of the sum over batches; the whole volume is in memory only if there are several."""
    projector, images = next(ready)
    prepared = projector.prepared(images)
    another = next(ready, None)
    if another is None:
        for first, last in slabs(size):
            yield first, last, _slab(projector, prepared, first, last)
        return
    total = np.zeros(size[::-1], dtype=np.float32)
    while True:
        for first, last in slabs(size):
            total[first:last] += _slab(projector, prepared, first, last)
        if another is None:
            break
        projector, prepared = another[0], another[0].prepared(another[1])
        another = next(ready, None)
    for first, last in slabs(size):
        yield first, last, total[first:last]


def _slab(projector: Projector, prepared: DeviceArray, first: int, last: int) -> Images:
    slab = projector.part(first, last).back_prepared(prepared)
    return np.asarray(projector.device.to_host(slab))


def slabs(size: tuple[int, int, int]) -> Iterator[tuple[int, int]]:
    """First slice, and the one after the last, of slabs that are small in memory."""
    thick = max(1, SLAB_BYTES // (4 * size[0] * size[1]))
    for first in range(0, size[2], thick):
        yield first, min(first + thick, size[2])


def filtered(
    plan: Plan,
    transforms: Sequence[DeviceArray],
    filters: Filters,
    batch: Batch,
    device: Device,
    *,
    finer: tuple[int, int] = (1, 1),
) -> DeviceArray:
    """The images of a batch, filtered for each of its depths: (n, levels, y, x) on the device."""
    width, height = plan.cropping.kept
    shape = (len(batch.rows), batch.levels, height * finer[1], width * finer[0])
    images = device.xp.empty(shape, dtype=np.float32)
    edge = device.xp.asarray(_edge(plan, finer))

    def fill(place: tuple[int, int]) -> None:
        at, level = place
        row = batch.rows[at]
        weight = device.xp.asarray(filters.of(row, batch.depth(at, level)))
        image = plan.cropping.image_of(transforms[row] * weight, device, finer)
        images[at, level] = image * edge

    places = [(at, level) for at in range(shape[0]) for level in range(batch.levels)]
    with ThreadPoolExecutor(plan.options.threads) as pool:
        list(pool.map(fill, places))
    return images


def _edge(plan: Plan, finer: tuple[int, int]) -> Images:
    """1 within an image, falling to 0 over its edge as a cosine: (y, x)."""
    sides = []
    for size, times in zip(plan.cropping.kept, finer, strict=True):
        n = size * times
        from_edge = np.minimum(np.arange(n), np.arange(n)[::-1]) + 0.5
        inside = np.clip(from_edge / max(plan.options.taper * times, 0.5), 0, 1)
        sides.append((1 - np.cos(np.pi * inside)) / 2)
    return np.outer(sides[1], sides[0]).astype(np.float32)
