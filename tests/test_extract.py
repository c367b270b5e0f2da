"""Boxes cut out of tilt images about points of a tomogram."""

from __future__ import annotations

import numpy as np
import pytest

from tomoset import geometry
from tomoset.errors import ModelError
from tomoset.model import Optics, Tomogram
from tomoset.particles import extract, projected_positions

SIZE, TILTS, BOX = (70, 60), 3, 16


class Waves:
    """Images of one smooth wave for each tilt, known at any place, and their middles."""

    size = SIZE

    @staticmethod
    def at(t: int, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return np.cos(2 * np.pi * ((t + 1) * x + 2 * y) / BOX + t)

    def read(self, t: int) -> np.ndarray:
        y, x = np.indices(SIZE[::-1])
        return self.at(t, x, y).astype(np.float32)


@pytest.fixture
def tomogram() -> Tomogram:
    tilted = geometry.translation((4.3, -2.1, 0)) @ geometry.rotation_y([-20.0, 0.0, 20.0])
    return Tomogram(name="a", n_tilts=TILTS, optics=Optics(pixel_size=2.0), projections=tilted)


POINTS = np.array([[30.2, 28.7, 4.0], [25.0, 31.4, -6.0]])


def test_boxes_are_parts_of_the_images_and_say_where_the_point_is(tomogram: Tomogram) -> None:
    found = extract(tomogram, Waves(), POINTS, BOX)
    at = projected_positions(tomogram, POINTS)
    assert found.boxes.shape == (2, TILTS, BOX, BOX)
    assert (np.abs(found.offsets - BOX // 2) <= 0.5).all()
    for p, t in np.ndindex(2, TILTS):
        x, y = np.rint(at[p, t] - found.offsets[p, t]).astype(int)
        np.testing.assert_array_equal(found.boxes[p, t], Waves().read(t)[y : y + BOX, x : x + BOX])
        np.testing.assert_allclose([x, y] + found.offsets[p, t], at[p, t])


def test_centred_boxes_have_the_point_at_their_middle_pixel(tomogram: Tomogram) -> None:
    found = extract(tomogram, Waves(), POINTS, BOX).centred()
    np.testing.assert_array_equal(found.offsets, BOX // 2)
    y, x = np.indices((BOX, BOX)) - BOX // 2
    for (p, t), (to_x, to_y) in zip(
        np.ndindex(2, TILTS), projected_positions(tomogram, POINTS).reshape(-1, 2), strict=True
    ):
        np.testing.assert_allclose(found.boxes[p, t], Waves.at(t, to_x + x, to_y + y), atol=1e-5)


def test_boxes_are_blank_outside_of_the_images(tomogram: Tomogram) -> None:
    corner = np.array([[0.0, 0.0, 0.0], [-500.0, 30.0, 0.0], [30.0, 4000.0, 0.0]])
    found = extract(tomogram, Waves(), corner, BOX)
    assert not found.boxes[1:].any()
    x, y = np.rint(projected_positions(tomogram, corner[:1])[0, 1]).astype(int)
    inside = found.boxes[0, 1][BOX // 2 - y :, BOX // 2 - x :]
    np.testing.assert_array_equal(inside, Waves().read(1)[: inside.shape[0], : inside.shape[1]])
    assert not found.boxes[0, 1][: BOX // 2 - y].any()
    assert not found.boxes[0, 1][:, : BOX // 2 - x].any()


def test_points_that_move_are_followed(tomogram: Tomogram) -> None:
    displaced = np.zeros((2, TILTS, 3))
    displaced[:, 1] = [6.0, -4.0, 0.0]  # Å, at 2 Å a pixel
    still, shifted = (extract(tomogram, Waves(), POINTS, BOX, w) for w in (None, displaced))
    np.testing.assert_array_equal(shifted.boxes[:, [0, 2]], still.boxes[:, [0, 2]])
    there = extract(tomogram, Waves(), POINTS + [3, -2, 0], BOX)
    np.testing.assert_array_equal(shifted.boxes[:, 1], there.boxes[:, 1])


def test_what_cannot_be_cut(tomogram: Tomogram) -> None:
    with pytest.raises(ModelError, match="the box must be 1 px or more"):
        extract(tomogram, Waves(), POINTS, 0)
    with pytest.raises(ModelError, match="trajectories must have shape"):
        extract(tomogram, Waves(), POINTS, BOX, np.zeros((2, 1, 3)))
    bare = Tomogram(name="b", n_tilts=TILTS, optics=Optics(pixel_size=2.0))
    with pytest.raises(ModelError, match="not aligned"):
        extract(bare, Waves(), POINTS, BOX)
