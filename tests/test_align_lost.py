"""Images whose beads are far from where they should be: placed by their neighbours, then aligned."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from tests.builders.bead_series import BeadSeries, Wanted, bead_series
from tests.builders.measures import affine_errors, rms
from tomoset.fiducials.align_one import Aligned, AlignOptions, align
from tomoset.fiducials.lost import placed_by_neighbours
from tomoset.model import Tomogram

#: 41 px: further than beads are searched.
FAR = np.array([33.0, -25.0])


@cache
def series() -> BeadSeries:
    return bead_series(Wanted(n_tilts=21, image_size=(320, 300), seed=5))


def off(*images: int) -> Tomogram:
    """The tomogram, with some images far off."""
    given = series().given
    projections = given.need_projections().copy()
    for i in images:
        projections[i, :2, 3] += FAR
    return replace(given, projections=projections)


def error(projections: np.ndarray) -> np.ndarray:
    """Distance of each image to the truth, after the best common affine map of space: rms [px]."""
    true = series().true
    points = np.random.default_rng(1).uniform(0.1, 0.9, (100, 3)) * np.array(true.need_size())
    of = affine_errors(projections, true.need_projections(), points)
    return np.array([rms(one) for one in of])


@pytest.mark.parametrize("lost", [8, pytest.param(0, marks=pytest.mark.slow)])
def test_an_image_that_is_far_off_is_aligned_as_well_as_the_others(lost: int) -> None:
    aligned = align(off(lost), series(), None, AlignOptions())
    assert isinstance(aligned, Aligned)
    assert not len(aligned.fit.unsupported)
    assert error(aligned.fit.projections).max() < 0.5


def test_lost_images_are_placed_where_their_neighbours_show_the_same() -> None:
    lost, true = np.array([3, 4, 12]), series().given.need_projections()
    t = off(*lost)
    new = placed_by_neighbours(t, series(), t.need_projections(), lost)
    away = np.linalg.norm(new[:, :2, 3] - true[:, :2, 3], axis=1)
    # The set's own alignment is off by 2 px along x and y.
    assert away[lost].max() < 8
    others = np.setdiff1d(np.arange(21), lost)
    np.testing.assert_array_equal(new[others], true[others])
    np.testing.assert_array_equal(new[:, :3, :3], true[:, :3, :3])


class Replaced:
    """The images, one of which shows something else."""

    def __init__(self, i: int, image: np.ndarray) -> None:
        self.size, self._i, self._image = series().size, i, image.astype(np.float32)

    def read(self, i: int) -> np.ndarray:
        return self._image if i == self._i else series().read(i)


@pytest.mark.parametrize("what", ["noise", "blank"])
def test_an_image_that_shows_something_else_stays(what: str) -> None:
    usual = series().read(8)
    noise = np.random.default_rng(3).normal(usual.mean(), usual.std(), usual.shape)
    images = Replaced(8, noise if what == "noise" else np.full(usual.shape, 7.0))
    t = off(8)
    new = placed_by_neighbours(t, images, t.need_projections(), np.array([8]))
    np.testing.assert_array_equal(new, t.need_projections())
    if what == "blank":
        aligned = align(t, images, None, AlignOptions())
        assert isinstance(aligned, Aligned)
        assert aligned.fit.unsupported.tolist() == [8]
