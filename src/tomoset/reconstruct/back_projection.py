"""Weighted back-projection of filtered images, slab by slab, each voxel from its own depth."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt

from tomoset.images.device import Device, DeviceArray
from tomoset.images.projector import Projector
from tomoset.reconstruct.agreement import agreement
from tomoset.reconstruct.coverage import Coverage
from tomoset.reconstruct.depths import Batch, batches
from tomoset.reconstruct.filters import Filters
from tomoset.reconstruct.plan import Plan

Images = npt.NDArray[np.float32]

#: Bytes of the volume that are made at a time.
SLAB_BYTES = 1 << 26


def back_projection(
    plan: Plan, transforms: Sequence[DeviceArray], tilts: Sequence[int], device: Device
) -> Iterator[Images]:
    """The volume that some images give, from its first slice to its last.

    Parameters
    ----------
    plan : Plan
        Geometry and choices.
    transforms : sequence of arrays
        Of all images, as `Cropping.transform` gives them.
    tilts : sequence of int
        The images to take.
    device : Device
        Where it is computed.

    Yields
    ------
    (k, y, x) float32 arrays
        Slabs along z, in image units per voxel of depth.
    """
    some = list(batches(plan, tilts))
    found = agreement(plan, transforms, tilts, device) if plan.options.method == "wbp" else None
    filters, whole = Filters(plan, tilts, found), plan.projector(device)
    coverage = Coverage(plan, tilts, device)
    scale = np.float32(plan.pixel_size * plan.binning / plan.thickness)
    ready = (
        (
            batch.projector(plan, whole),
            filtered(plan, transforms, filters, batch, device, finer=plan.finer),
        )
        for batch in some
    )

    def slab(projector: Projector, prepared: DeviceArray, first: int, last: int) -> Images:
        made = projector.part(first, last).back_prepared(prepared)
        for z in range(first, last):
            made[z - first] *= coverage.share(z) * scale
        return np.asarray(device.to_host(made))

    return _sum(plan.size, ready, slab)


def _sum(
    size: tuple[int, int, int],
    ready: Iterator[tuple[Projector, DeviceArray]],
    slab: Callable[[Projector, DeviceArray, int, int], Images],
) -> Iterator[Images]:
    """Slabs of the sum over batches; the whole volume is in memory only if there are several."""
    projector, images = next(ready)
    prepared = projector.prepared(images)
    del images  # the bordered ones are enough
    another = next(ready, None)
    if another is None:
        for first, last in slabs(size):
            yield slab(projector, prepared, first, last)
        return
    total = np.zeros(size[::-1], dtype=np.float32)
    while True:
        for first, last in slabs(size):
            total[first:last] += slab(projector, prepared, first, last)
        if another is None:
            break
        projector, prepared = another[0], another[0].prepared(another[1])
        another = next(ready, None)
    for first, last in slabs(size):
        yield total[first:last]


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
    shape = (len(batch.tilts), batch.levels, height * finer[1], width * finer[0])
    images = device.xp.empty(shape, dtype=np.float32)
    edge = device.xp.asarray(_edge(plan, finer))

    def weight_of(index: tuple[int, int]) -> Images:
        at, level = index
        return filters.of(batch.tilts[at], batch.depth(at, level))

    def fill(index: tuple[int, int], weight: Images) -> None:
        transform = transforms[batch.tilts[index[0]]] * device.xp.asarray(weight)
        images[index] = plan.cropping.image_of(transform, device, finer) * edge

    indices = [(at, level) for at in range(shape[0]) for level in range(batch.levels)]
    with ThreadPoolExecutor(plan.threads) as pool:
        if device.name == "cpu":
            list(pool.map(lambda index: fill(index, weight_of(index)), indices))
        else:  # one thread for a GPU: each has its own plans of transforms there, and their memory
            list(map(fill, indices, pool.map(weight_of, indices)))
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
