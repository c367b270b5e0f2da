"""A set of one series whose images show Gaussian beads, and its reconstruction."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np

import tomoset
from tests.builders.image_stacks import write_images
from tomoset import geometry
from tomoset.model import Optics, Tomogram, TomogramSet
from tomoset.programs._task import Task
from tomoset.programs.reconstruct import PROGRAM, Volumes
from tomoset.reconstruct import Options
from tomoset.run import Resources

N, PIXEL = 29, 4.0


def beads_at(size: tuple[int, int, int]) -> np.ndarray:
    """Two beads, in 0-based bin-1 voxels."""
    return np.array([[0.41, 0.55, 0.61], [0.62, 0.38, 0.36]]) * size


def bead_set(
    folder: Path,
    *,
    size: tuple[int, int, int] = (96, 90, 48),
    image_size: tuple[int, int] = (98, 94),
    dialect: str = "relion4",
    width: float = 3.0,
    **changes: object,
) -> TomogramSet:
    """A set of one series whose images show Gaussian beads, written and read again."""
    angles = np.column_stack([np.zeros(N), np.linspace(-56, 56, N), np.full(N, 84.0)])
    shifts = np.random.default_rng(1).normal(0, 1.5, (N, 2))
    t = Tomogram(
        name="TS_01",
        n_tilts=N,
        optics=Optics(pixel_size=PIXEL),
        stack=str(folder / "TS_01.mrcs"),
        image_size=image_size,
        size=size,
        projections=geometry.rigid_projections(angles, shifts, size=size, image_size=image_size),
        pre_exposure=3.0 * np.argsort(np.argsort(np.abs(angles[:, 1]))),
        defocus_u=np.full(N, 30000.0),
        defocus_v=np.full(N, 29000.0),
        defocus_angle=np.full(N, 20.0),
    )
    t = replace(t, **changes)  # type: ignore[arg-type]
    y, x = np.indices(image_size[::-1])
    at = t.project(beads_at(size))
    images = np.zeros((N, *image_size[::-1]), dtype=np.float32)
    for i, bead in itertools.product(range(N), range(at.shape[1])):
        r2 = (x - at[i, bead, 0]) ** 2 + (y - at[i, bead, 1]) ** 2
        images[i] += np.exp(-r2 / (2 * width**2))
    write_images(folder / "TS_01.mrcs", images, t.optics.pixel_size)
    path = folder / f"{dialect}.star"
    TomogramSet([t], format=dialect).write(path)
    return tomoset.read(path)


def made(
    s: TomogramSet, folder: Path, device: str = "cpu", threads: int = 1, **options: object
) -> Volumes:
    task = Task(
        tomogram=s["TS_01"],
        options=Options(**options),  # type: ignore[arg-type]
        inputs=None,
        resources=Resources(device=device, threads=threads),
        folder=str(folder),
        file_name="TS_01",
        format=s.format,
    )
    return PROGRAM.run(task)
