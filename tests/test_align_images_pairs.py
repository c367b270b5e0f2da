"""A first place for every image, by the correlations of all pairs, and where the axis lies."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.ndimage

from tests.builders.slab_images import slab_images, tilted
from tomoset.align.images.graph import Placed, place
from tomoset.align.images.pairs import Pairs, correlate, near
from tomoset.align.images.plane import Plane
from tomoset.align.images.start import Coarse, direction, inclined, placed, turned
from tomoset.align.parameters import ROTATION, decompose

EDGE, N = 64, 9
TILTS = np.arange(N) * 3.0 - 12
CENTRE = np.array([31.5, 31.5, 15.5])
FLAT = tilted(np.zeros(N), 0.0, CENTRE, EDGE)


def scene(seed: int) -> np.ndarray:
    """What images show parts of."""
    noise = np.random.default_rng(seed).normal(size=(3 * EDGE, 3 * EDGE))
    smooth = scipy.ndimage.gaussian_filter(noise, 1.0)
    return np.asarray(smooth / smooth.std())


def shown(scenes: list[np.ndarray], shifts: np.ndarray, noise: float = 0.7) -> np.ndarray:
    """Images of scenes, each shifted by whole pixels, with noise."""
    rng = np.random.default_rng(11)
    images = np.empty((len(shifts), EDGE, EDGE), np.float32)
    for image, of, (x, y) in zip(images, scenes, shifts, strict=True):
        image[:] = of[EDGE - y : 2 * EDGE - y, EDGE - x : 2 * EDGE - x]
    images += rng.normal(0, noise, images.shape).astype(np.float32)
    return images


def compared(images: np.ndarray, valid: np.ndarray | None = None) -> Pairs:
    coefficients = np.stack([scipy.ndimage.spline_filter(i, 3, output=np.float32) for i in images])
    valid = np.ones_like(images) if valid is None else valid
    plane = Plane(centre=CENTRE)
    return correlate(coefficients, valid, FLAT, plane, near(TILTS), (EDGE, EDGE), 1.0, 1)


def test_pairs_are_near_in_tilt_and_each_has_a_neighbour() -> None:
    tilts = np.array([30.0, 0.0, 3.0, -3.0, 6.0, 60.0])
    pairs = {tuple(p) for p in near(tilts, 2)}
    assert pairs == {(3, 1), (3, 2), (1, 2), (1, 4), (2, 4), (4, 0), (0, 5)}
    assert near(np.array([1.0])).shape == (0, 2)


def test_a_pair_lies_apart_as_its_highest_score_says() -> None:
    shifts = np.zeros((N, 2), int)
    shifts[4] = 7, -5
    pairs = compared(shown([scene(1)] * N, shifts))
    height, width = pairs.scores.shape[1:]
    for p, (i, j) in enumerate(zip(pairs.first, pairs.second, strict=True)):
        y, x = divmod(int(pairs.scores[p].argmax()), width)
        apart = shifts[j] - shifts[i]
        assert (x, y) == (apart[0] % width, apart[1] % height)
        assert pairs.peaks[p] == pairs.scores[p].max() > 10
        # Images that would hardly overlap are not compared.
        assert np.isneginf(pairs.scores[p][height // 2, width // 2])


def test_scores_of_noise_are_in_standard_deviations_of_chance() -> None:
    rng = np.random.default_rng(2)
    pairs = compared(rng.normal(size=(N, EDGE, EDGE)).astype(np.float32))
    scores = pairs.scores[np.isfinite(pairs.scores)]
    assert scores.std() == pytest.approx(1, abs=0.1)
    assert scores.max() < 7


def off(found: Placed, shifts: np.ndarray) -> float:
    return float(np.abs(found.at - found.at[0] - (shifts - shifts[0])).max())


def test_images_are_placed_to_the_pixel() -> None:
    shifts = np.random.default_rng(3).integers(-9, 10, (N, 2))
    found = place(compared(shown([scene(1)] * N, shifts)), N)
    assert off(found, shifts) == 0
    # All together they are not moved.
    assert np.abs(np.median(found.at, axis=0)).max() <= 0.5
    assert (found.support > 3 * np.abs(found.rival)).all()
    assert len(set(found.piece)) == 1


@pytest.mark.parametrize("jump", [(EDGE // 2, 0), (-EDGE // 2, 5), (20, -30)])
def test_an_image_that_jumps_by_half_the_field_is_found(jump: tuple[int, int]) -> None:
    shifts = np.random.default_rng(4).integers(-3, 4, (N, 2))
    shifts[5] += jump
    found = place(compared(shown([scene(1)] * N, shifts)), N)
    assert off(found, shifts) == 0
    assert (found.support > found.rival).all()


def test_a_series_in_two_pieces_is_put_together() -> None:
    shifts = np.random.default_rng(5).integers(-3, 4, (N, 2))
    shifts[4:] += [EDGE // 3, -EDGE // 4]
    found = place(compared(shown([scene(1)] * N, shifts)), N)
    assert off(found, shifts) == 0
    assert len(set(found.piece)) == 1


def test_pieces_that_have_nothing_in_common_are_told_apart() -> None:
    shifts = np.random.default_rng(6).integers(-4, 5, (N, 2))
    found = place(compared(shown([scene(1)] * 5 + [scene(2)] * 4, shifts)), N)
    assert len(set(found.piece[:5])) == len(set(found.piece[5:])) == 1
    assert found.piece[0] != found.piece[5]
    for part in (slice(5), slice(5, N)):
        np.testing.assert_array_equal(
            found.at[part] - found.at[part][0], shifts[part] - shifts[part][0]
        )


def test_noise_is_not_supported() -> None:
    noise = np.random.default_rng(7).normal(size=(N, EDGE, EDGE)).astype(np.float32)
    shifts = np.zeros((N, 2), int)
    real = place(compared(shown([scene(1)] * N, shifts)), N)
    found = place(compared(noise), N)
    assert len(set(found.piece)) > N // 2
    assert found.support.max() < 0.1 * real.support.min()


def test_one_image_of_noise_is_told_from_the_others() -> None:
    images = shown([scene(1)] * N, np.zeros((N, 2), int))
    images[3] = np.random.default_rng(8).normal(size=(EDGE, EDGE))
    found = place(compared(images), N)
    others = np.arange(N) != 3
    # Wherever chance has the one, the others stay where they were.
    assert not found.at[others].any()
    assert found.support[3] < 0.1 * found.support[others].min()
    assert (found.piece[others] == found.piece[0]).all()
    assert found.piece[3] != found.piece[0]


def test_what_is_hidden_in_every_image_places_nothing() -> None:
    """A frame fixed in the camera, behind a mask."""
    shifts = np.random.default_rng(9).integers(-6, 7, (N, 2))
    images = shown([scene(1)] * N, shifts)
    images[:, :, :12] = 30 * scene(4)[:EDGE, :12]
    valid = np.ones_like(images)
    valid[:, :, :16] = 0
    assert off(place(compared(images, valid), N), shifts) == 0


AXIS, TURNED = 25.0, np.arange(-42.0, 43.0, 6.0)


def coarse(images: np.ndarray, tilts: np.ndarray, edge: int = EDGE) -> Coarse:
    valid = np.ones_like(images)
    return Coarse.of(images, valid, tilts, (EDGE, EDGE), 10.0, edge, 1)


def tilt_images(projections: np.ndarray, noise: float = 0.5, **slab: float) -> np.ndarray:
    images = slab_images(projections, EDGE, slab.get("thickness", 10.0), CENTRE)
    rng = np.random.default_rng(3)
    return images + rng.normal(0, noise, images.shape).astype(np.float32)


@pytest.mark.parametrize("wrong_by", [90.0, -60.0])
def test_the_axis_is_found_wherever_it_is(wrong_by: float) -> None:
    small = coarse(tilt_images(tilted(TURNED, AXIS, CENTRE, EDGE)), TURNED)
    given = tilted(TURNED, AXIS + wrong_by, CENTRE, EDGE)
    found = direction(small, given, Plane(centre=CENTRE), known=False)
    # The other way round, the hand of the specimen is the other one: images do not tell.
    assert abs((found.by + wrong_by + 90) % 180 - 90) < 4


def test_an_axis_that_is_right_stays() -> None:
    small = coarse(tilt_images(tilted(TURNED, AXIS, CENTRE, EDGE)), TURNED)
    given = tilted(TURNED, AXIS, CENTRE, EDGE)
    found = direction(small, given, Plane(centre=CENTRE), known=True)
    assert abs(found.by) < 4


def test_images_are_turned_about_their_middle() -> None:
    given = tilted(TURNED, 10.0, CENTRE, EDGE)
    expected = tilted(TURNED, 45.0, CENTRE, EDGE)
    np.testing.assert_allclose(turned(given, 35.0, (EDGE, EDGE)), expected, atol=1e-9)
    rotation = np.rad2deg(decompose(expected, CENTRE)[:, ROTATION])
    np.testing.assert_allclose(rotation, 45.0)


def test_a_pretilt_is_found_and_a_flat_specimen_stays_flat() -> None:
    level = tilted(TURNED, 0.0, CENTRE, EDGE)
    for pretilt, allowed in ((0.0, 3.0), (15.0, 5.0)):
        # A slab inclined by an angle is a flat one that is tilted by as much.
        images = tilt_images(tilted(TURNED - pretilt, 0.0, CENTRE, EDGE), thickness=4.0)
        plane = inclined(coarse(images, TURNED), level, Plane(centre=CENTRE))
        slope = np.rad2deg(np.arctan(plane.slope[0]))
        assert abs(abs(slope) - pretilt) < allowed, (pretilt, slope)
        assert plane.slope[1] == 0.0
        if pretilt:
            flat, risen = (Plane(centre=CENTRE, slope=s) for s in ((0.0, 0.0), plane.slope))
            pairs = [coarse(images, TURNED).pairs(level, p, 2).evidence for p in (flat, risen)]
            assert pairs[1] > pairs[0]


@pytest.mark.parametrize("edge", [EDGE, EDGE // 2])
def test_projections_are_moved_to_where_images_show_the_specimen(edge: int) -> None:
    """By small images too, whose pixel 0 is elsewhere."""
    truth = tilted(TURNED, AXIS, CENTRE, EDGE)
    shifts = np.random.default_rng(3).integers(-8, 9, (len(TURNED), 2))
    truth[:, :2, 3] += shifts
    start = tilted(TURNED, AXIS, CENTRE, EDGE)
    new, found = placed(coarse(tilt_images(truth), TURNED, edge), start, Plane(centre=CENTRE))
    plane = Plane(centre=CENTRE)
    missed = np.einsum("nab,nb->na", np.linalg.inv(plane.maps(truth)[0]), (new - truth)[:, :2, 3])
    # But for a shift of all on the plane, and to some pixels.
    missed -= np.median(missed, axis=0)
    assert np.abs(missed).max() <= 3.0
    assert (found.support > found.rival).all()
