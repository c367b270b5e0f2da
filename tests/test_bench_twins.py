"""The simulated series of the benchmarks show their specimen where their truth says."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tomoset import geometry

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

import twins
import twins_images
from twins_specimen import ICE, Density
from twins_views import STRATA, Course, random_views, rotation

COURSE = Course(
    tilts=5, limit=55.0, axis=70.0, tracking=5.0, turn=0.5, tilt=0.5, magnification=0.01
)
MOVING = replace(COURSE, doming=(25.0, 30.0), restless=3.0, shear=5.0)
OPTICS = twins_images.Optics(size=(120, 100), pixel_size=8.0)
INCLINED = (7.0, -4.0)


def blob(at: np.ndarray, low: np.ndarray, high: np.ndarray, pitch: float = 10.0) -> Density:
    """A round blob on a grid."""
    x, y, z = (np.arange(low[n], high[n], pitch) for n in range(3))
    g = [np.exp(-((axis - c) ** 2) / (2 * 25.0**2)) for axis, c in zip((x, y, z), at, strict=True)]
    values = 2.4 * ICE * g[1][:, None, None] * g[2][:, None] * g[0]
    return Density(np.rint(values).astype(np.uint8), pitch, np.array([x[0], y[0], z[0]]), 200.0)


def shown(at: np.ndarray, views: object, i: int) -> np.ndarray:
    """Where an image shows a blob [px]."""
    low, high = twins_images.reach(views, OPTICS, 300.0)
    density = blob(at, np.array([*low, -200.0]), np.array([*high, 200.0]))
    path = twins_images._path(density, views, OPTICS, i)[twins_images.PAD : -twins_images.PAD]
    path = path[:, twins_images.PAD : -twins_images.PAD].astype(float)
    y, x = np.mgrid[: path.shape[0], : path.shape[1]]
    return np.array([(path * x).sum(), (path * y).sum()]) / path.sum()


@pytest.mark.parametrize("course", [COURSE, MOVING])
def test_matter_is_where_the_views_say(course: Course) -> None:
    views = random_views(course, INCLINED, 3)
    for at in ([0.0, 0.0, 0.0], [120.0, -90.0, 80.0], [-100.0, 60.0, -80.0]):
        point = np.array([at])
        # The grid of the blob has 40 slices in strata of 8.
        stratum = np.array([int((at[2] + 200) / 400 * STRATA)])
        expected = views.seen(point, stratum, OPTICS.pixel_size)[:, 0] + np.array(OPTICS.size) // 2
        for i in range(course.tilts):
            # Strata move each as a whole: at 60 degrees a blob on the border of two is in both.
            allowed = 0.02 if course is COURSE else 0.35
            assert np.abs(shown(np.array(at), views, i) - expected[i]).max() < allowed


def test_matrices_are_those_of_the_conventions() -> None:
    views = random_views(COURSE, INCLINED, 4)
    size = (90, 100, 60)
    made = twins._matrices(views.stage, np.ones(5), views.shifts, OPTICS.size, size)
    angles = np.array([[0, 30.0, 85.0]] * 5)
    theirs = geometry.rigid_projections(angles, views.shifts, size=size, image_size=OPTICS.size)
    turns = rotation("z", 85.0) @ rotation("y", 30.0)
    ours = twins._matrices(np.stack([turns] * 5), np.ones(5), views.shifts, OPTICS.size, size)
    assert np.allclose(ours, theirs)
    # A point of the slab, by the matrices and by the views.
    at = np.array([[100.0, -50.0, 30.0]])
    slab = rotation("y", INCLINED[0]) @ rotation("x", INCLINED[1])
    voxel = at @ slab.T / OPTICS.pixel_size + np.array(size) // 2
    still = replace(views, scale=np.ones(5))
    seen = still.seen(at, np.zeros(1, int), OPTICS.pixel_size)[:, 0] + np.array(OPTICS.size) // 2
    assert np.allclose(geometry.apply(made, voxel)[:, 0, :2], seen)
