"""A GPU at tomograms and at particles, without the disk.

``python benchmarks/bench_gpu.py``. 41 images of 4096 x 4096 go to 1024 x 1024 x 300 voxels.
Stages are waited for one by one, but for "in one go"; best of 3 runs; a small series is done on
the processor too. 2,000 particles in 41 images of 1500 x 1400 px are compared with a reference
(boxes of 72 px), as ``align particles`` does, on the GPU and by two threads. Without a GPU it
says so and ends.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from tomoset import Optics, Tomogram, geometry
from tomoset.errors import UnsupportedError
from tomoset.images.device import Device, open_device
from tomoset.model import ParticleSet
from tomoset.particles import CorrelationOptions, Reference, correlate
from tomoset.reconstruct import Options, Plan
from tomoset.reconstruct.back_projection import back_projection, filtered, slabs
from tomoset.reconstruct.depths import batches
from tomoset.reconstruct.filters import Filters

TILTS, THREADS = 41, os.cpu_count() or 1


def main() -> None:
    """Print seconds of each stage, rates, and the ratio to the processor."""
    try:
        device = open_device("cuda")
    except UnsupportedError as problem:
        print(f"no GPU here: skipped ({problem})")
        return
    one = device.xp.zeros(1 << 28, dtype=np.float32)
    copied = 2 * one.nbytes / best(device, one.copy)
    print(f"memory: {copied / 1e12:.2f} TB/s, reading and writing of a copy counted")
    plan, images = case(4096, 1200)
    seconds = stages(plan, images, device)
    seconds["in all"] = sum(seconds.values())
    seconds["in one go"] = best(device, partial(whole, plan, images, device))
    for stage, value in seconds.items():
        print(f"  {stage:14} {value:7.3f} s")
    rates(plan, seconds["back-project"], copied)
    small, cpu = case(1024, 300), open_device("cpu")
    ours, theirs = (best(each, partial(whole, *small, each)) for each in (device, cpu))
    print(f"256 x 256 x 75: {ours:.3f} s; {THREADS} threads {theirs / ours:.1f} times as long")
    particles()


def particles() -> None:
    """Print how long 2,000 particles take, and by how much the processor's correlations differ."""
    tomogram, images, some, reference = particle_case()
    found, taken = {}, {}
    for device, threads in (("cpu", 2), ("cuda", THREADS)):
        options = CorrelationOptions(box=72, range=10, threads=threads, device=device)
        for _ in range(2):  # the first one compiles
            start = time.perf_counter()
            found[device] = correlate(tomogram, images, some, reference, options)
            taken[device] = time.perf_counter() - start
    off = np.abs(found["cuda"].values - found["cpu"].values).max()
    off /= np.abs(found["cpu"].values).max()
    ratio = taken["cpu"] / taken["cuda"]
    print(f"2,000 particles: {taken['cuda']:.2f} s; 2 threads {ratio:.1f} times; off by {off:.0e}")


class Noise:
    """Images of noise."""

    size = (1500, 1400)

    def __init__(self) -> None:
        rng = np.random.default_rng(1)
        self._images = rng.standard_normal((4, *self.size[::-1]), dtype=np.float32)

    def read(self, i: int) -> Any:
        """Image i."""
        return self._images[i % 4]


def particle_case() -> tuple[Tomogram, Noise, ParticleSet, Reference]:
    """Particles of a ball of noise at random places."""
    rng, images, size = np.random.default_rng(2), Noise(), (1500, 1400, 300)
    known: Any = {"size": size, "image_size": images.size}
    angles = np.column_stack([np.zeros(TILTS), np.linspace(-60, 60, TILTS), np.full(TILTS, 3.0)])
    projections = geometry.rigid_projections(angles, np.zeros((TILTS, 2)), **known)
    defocus = np.full(TILTS, 3e4)
    known |= {"optics": Optics(pixel_size=5.4), "projections": projections}
    known |= {"defocus_u": defocus, "defocus_v": defocus, "defocus_angle": 0 * defocus, "hand": -1}
    known |= {"pre_exposure": 3.0 * np.arange(TILTS)}
    tomogram = Tomogram(name="many", n_tilts=TILTS, **known)
    some = ParticleSet(
        tomogram_names=["many"] * 2000,
        coordinates=rng.uniform(0.05, 0.95, (2000, 3)) * size,
        angles=rng.uniform(-180, 180, (2000, 3)),
    )
    ball = np.linalg.norm(np.indices((72,) * 3) - 36, axis=0) < 15
    density = (ball * rng.standard_normal(ball.shape)).astype(np.float32)
    return tomogram, images, some, Reference(half1=density, half2=density, pixel_size=5.4)


def case(width: int, depth: int) -> tuple[Plan, list[Any]]:
    """A series of square images of 16 bits, binned by 4; every fourth image is another one."""
    known: Any = {"size": (width, width, depth), "image_size": (width, width)}
    angles = np.column_stack([np.zeros(TILTS), np.linspace(-60, 60, TILTS), np.full(TILTS, 85.0)])
    matrices = geometry.rigid_projections(angles, np.zeros((TILTS, 2)), **known)
    known |= {"optics": Optics(pixel_size=1.35), "projections": matrices}
    tomogram = Tomogram(name="large", n_tilts=TILTS, **known)
    rng = np.random.default_rng(1)
    some = [rng.integers(0, 1000, (width, width), dtype=np.int16) for _ in range(4)]
    plan = Plan.of(tomogram, Options(binning=4), (width, width), THREADS)
    return plan, [some[i % 4] for i in range(TILTS)]


def stages(plan: Plan, images: list[Any], device: Device) -> dict[str, float]:
    """Seconds of each stage, which keeps what the next one needs."""
    rows, to_device = range(TILTS), device.xp.asarray
    (batch,) = batches(plan, rows)
    projector = batch.projector(plan, plan.projector(device))

    def filters(transforms: Any) -> Any:
        return filtered(plan, transforms, Filters(plan, rows), batch, device, finer=plan.finer)

    def back(images: Any) -> Any:
        prepared = projector.prepared(images)
        return [projector.part(a, b).back_prepared(prepared) for a, b in slabs(plan.size)]

    jobs: dict[str, Callable[[Any], Any]] = {
        "upload": lambda _: [to_device(image) for image in images],
        "crop": lambda there: [plan.cropping.transform(image, device) for image in there],
        "filter": filters,
        "back-project": back,
        "download": lambda parts: [device.to_host(slab) for slab in parts],
    }
    made, seconds = None, {}
    for name, job in jobs.items():
        seconds[name] = best(device, partial(job, made))
        made = job(made)
    return seconds


def whole(plan: Plan, images: list[Any], device: Device) -> None:
    """From images to slabs in the memory of the host."""
    transforms = [plan.cropping.transform(image, device) for image in images]
    list(back_projection(plan, transforms, range(TILTS), device))


def rates(plan: Plan, seconds: float, copied: float) -> None:
    """Voxel-images by second, and the memory's share in it."""
    voxels, pixels = float(np.prod(plan.size)), float(np.prod(plan.image_size))
    print(f"  back-projection: {voxels * TILTS / seconds / 1e9:.0f} G voxel-images/s")
    # Images are bordered (read, zeroed, written), then read once a slab; voxels are written once.
    least = 4 * (voxels + TILTS * pixels * (3 + len(list(slabs(plan.size)))))
    print(f"  least bytes from memory: {least / seconds / copied:.2f} of its bandwidth")
    print(f"  asked of the caches, 16 a voxel-image: {16e-12 * voxels * TILTS / seconds:.1f} TB/s")


def best(device: Device, job: Callable[[], object], runs: int = 3) -> float:
    """Seconds of the fastest of some runs after a first one, which compiles."""
    taken = []
    for _ in range(runs + 1):
        start = time.perf_counter()
        job()
        if device.name == "cuda":
            device.xp.cuda.Device().synchronize()
        taken.append(time.perf_counter() - start)
    return min(taken[1:])


if __name__ == "__main__":
    main()
