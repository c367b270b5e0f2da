"""Beads found in tilt images and in space, against known truth and slow second ways."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import scipy.stats

import tomoset
from tests.builders.bead_series import BeadSeries, Wanted, bead_series
from tomoset import geometry
from tomoset import simulate as sim
from tomoset.fiducials.finder.centre import Profile, centre, first_profile, mean_profile
from tomoset.fiducials.finder.coarse import corrected
from tomoset.fiducials.finder.detect import MatchedFilter, Peaks
from tomoset.fiducials.finder.find import Finder, Found, _false_discovery, find
from tomoset.fiducials.finder.patches import cut
from tomoset.fiducials.finder.template import bead_image, bead_profile
from tomoset.fiducials.finder.tracks import follow
from tomoset.fiducials.finder.vote import PeakMaps, Space, candidates, ranked
from tomoset.fiducials.options import FindOptions
from tomoset.images.device import Cpu
from tomoset.images.fourier import Cropping

PLAIN = Wanted()


@cache
def series(wanted: Wanted = PLAIN) -> BeadSeries:
    return bead_series(wanted)


def errors(found: Found, of: BeadSeries) -> tuple[np.ndarray, np.ndarray]:
    """Which true bead each is, and how far each sight is off: (n_tilts, n_beads, 2)."""
    seen = found.fiducials.observations
    assert seen is not None
    grid = seen.grid(len(of.images), len(found.fiducials))
    off = grid[:, :, None] - of.seen[:, None]
    nearest = np.nanmedian(np.linalg.norm(off, axis=-1), axis=0).argmin(axis=1)
    return nearest, grid - of.seen[:, nearest]


# The filter


def test_profile_of_a_ball_by_hand() -> None:
    way = 2 * math.sqrt(50**2 - 40**2)  # 60 Å of gold, of 100 in the middle
    by_hand = (1 - math.exp(-way / 130)) / (1 - math.exp(-100 / 130))
    assert bead_profile(np.array([40.0]), 50.0)[0] == pytest.approx(by_hand)
    image = bead_image(50.0, 5.0, 12)
    assert image.shape == (25, 25)
    np.testing.assert_allclose(image, image.T, atol=1e-12)
    np.testing.assert_allclose(image, image[::-1], atol=1e-12)
    assert image[12, 12] == pytest.approx(1.0, abs=0.01)
    assert image[12, 23] == 0.0


@pytest.mark.parametrize("sign", [1, -1])
def test_filter_says_standard_deviations_and_where(sign: int) -> None:
    rng = np.random.default_rng(3)
    image = rng.standard_normal((200, 220)).astype(np.float32)
    matched = MatchedFilter(Cropping.of((220, 200), 1.3), 50.0, 6.0, sign)
    response = matched.response(matched.cropping.transform(image, Cpu()))
    assert response.std() == pytest.approx(1.0, abs=0.1)
    image[88:105, 112:129] -= sign * 3 * bead_image(50.0, 6.0, 8).astype(np.float32)
    peaks = matched.peaks(matched.response(matched.cropping.transform(image, Cpu())))
    assert peaks.heights[0] > 15
    assert np.abs(peaks.points[0] - (120, 96)).max() < 0.25
    assert (np.diff(peaks.heights) <= 0).all()


def test_no_two_peaks_of_one_bead() -> None:
    of = series()
    matched = MatchedFilter(Cropping.of(of.size, 1.5), 50.0, 5.4)
    peaks = matched.peaks(matched.response(matched.cropping.transform(of.read(10), Cpu())))
    apart = np.linalg.norm(peaks.points[:, None] - peaks.points, axis=-1)
    assert apart[~np.eye(len(apart), dtype=bool)].min() > 0.75 * 50 / 5.4


# The centre of a bead


def fuzzy(n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Images of one soft bead each on a slope, without noise, and where it is."""
    at = rng.uniform(-1.5, 1.5, (n, 2))
    x, y = np.meshgrid(np.arange(-15, 16.0), np.arange(-15, 16.0))
    distance = np.hypot(x - at[:, 0, None, None], y - at[:, 1, None, None])
    bead = 1 / (1 + np.exp((distance - 7) / 0.8)) - 0.1 * np.exp(-(((distance - 10) / 1.5) ** 2))
    slope = rng.normal(0, 0.02, (n, 2))
    ground = 5 + slope[:, 0, None, None] * x + slope[:, 1, None, None] * y
    return ground - 2 * bead, at, bead


def test_centres_by_the_mean_bead_are_exact_without_noise() -> None:
    patches, at, _ = fuzzy(40, np.random.default_rng(1))
    profile = first_profile(bead_image(35.0, 5.0, 15))
    for _ in range(4):
        fits = centre(patches, profile)
        profile = mean_profile(patches, fits)
    assert np.abs(fits.offset - at).max() < 0.02
    assert fits.likeness.min() > 0.999


def test_uncertainties_are_what_errors_are() -> None:
    rng = np.random.default_rng(2)
    patches, at, _ = fuzzy(300, rng)
    noisy = patches + rng.normal(0, 0.5, patches.shape)
    profile = first_profile(bead_image(35.0, 5.0, 15))
    for _ in range(3):
        fits = centre(noisy, profile, np.zeros_like(at))
        profile = mean_profile(noisy, fits)
    off = (fits.offset - at) / fits.uncertainty[:, None]
    assert np.sqrt((off**2).mean()) == pytest.approx(1.0, abs=0.08)
    # The Cramér-Rao bound for a known bead in white noise, from its slopes by differences.
    x, y = np.meshgrid(np.arange(-15, 16.0), np.arange(-15, 16.0))

    def bead(shift: float) -> np.ndarray:
        distance = np.hypot(x - shift, y)
        return 2 / (1 + np.exp((distance - 7) / 0.8)) - 0.2 * np.exp(
            -(((distance - 10) / 1.5) ** 2)
        )

    information = (((bead(0.01) - bead(-0.01)) / 0.02) ** 2).sum() / 0.5**2
    assert np.sqrt(((fits.offset - at) ** 2).mean()) < 1.15 / np.sqrt(information)


def test_pixels_that_are_covered_do_not_count() -> None:
    patches, at, _ = fuzzy(20, np.random.default_rng(4))
    profile = first_profile(bead_image(35.0, 5.0, 15))
    for _ in range(3):
        profile = mean_profile(patches, centre(patches, profile))
    covered = patches.copy()
    covered[:, 20:, 18:] = -40.0
    assert np.abs(centre(covered, profile).offset - at).max() > 0.3
    covered[:, 20:, 18:] = np.nan
    assert np.abs(centre(covered, profile).offset - at).max() < 0.02
    covered[:] = np.nan
    assert np.isinf(centre(covered, profile).uncertainty).all()


def test_profile_has_energy_one() -> None:
    patches, _, _ = fuzzy(30, np.random.default_rng(5))
    profile = mean_profile(patches, centre(patches, first_profile(bead_image(35.0, 5.0, 15))))
    x, y = np.meshgrid(np.arange(-15, 16.0), np.arange(-15, 16.0))
    values = np.interp(
        np.hypot(x, y), np.arange(len(profile.values)) * profile.step, profile.values
    )
    assert (values**2).sum() == pytest.approx(1.0, rel=0.02)
    assert isinstance(profile, Profile)


def test_patches_over_the_edge_are_masked() -> None:
    image = np.arange(30, dtype=np.float32).reshape(5, 6)
    patches, middles = cut(image, np.array([[5.4, 0.3]]), 1)
    assert middles.tolist() == [[5.0, 0.0]]
    expected = [[np.nan] * 3, [4.0, 5.0, np.nan], [10.0, 11.0, np.nan]]
    np.testing.assert_array_equal(patches[0], expected)


# Places in space


def space(n: int = 31, half: float = 60.0) -> Space:
    angles = np.linspace(-60, 60, n)
    turn = geometry.rotation_z(np.full(n, 85.0)) @ geometry.rotation_y(angles)
    middle = np.array([200.0, 200.0, 60.0])
    to_image = geometry.translation((200.0, 180.0, 0.0))
    projections = to_image @ turn @ geometry.translation(-middle)
    return Space(projections=projections, image_size=(400, 360), middle=middle, half_depth=half)


def scattered(
    of: Space, positions: np.ndarray, seed: int, false: int = 15, noise: float = 0.3
) -> list[Peaks]:
    """Peaks of beads, a tenth of them missed, among false ones."""
    rng = np.random.default_rng(seed)
    at, inside = of.project(positions)
    found = []
    for i in range(len(at)):
        there = inside[i] & (rng.random(len(positions)) > 0.1)
        own = at[i, there] + rng.normal(0, noise, (there.sum(), 2))
        points = np.concatenate([own, rng.uniform(0, 1, (false, 2)) * of.image_size])
        heights = rng.uniform(8, 12, len(points))
        order = np.argsort(-heights)
        found.append(Peaks(points=points[order], heights=heights[order]))
    return found


def strewn(seed: int, n: int = 12) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.uniform((60, 60, 20), (340, 340, 100), (n, 3))


def test_positions_in_images_are_those_of_the_projections() -> None:
    of, positions = space(), strewn(1)
    at, inside = of.project(positions)
    np.testing.assert_allclose(at, geometry.apply(of.projections, positions)[..., :2], atol=1e-9)
    assert inside.shape == at.shape[:2]


def test_maps_against_looking_at_every_peak() -> None:
    of, positions = space(5), strewn(2)
    peaks = scattered(of, positions, 2)
    maps = PeakMaps(peaks, of.image_size, 6.0)
    at, inside = of.project(strewn(3, 200))
    slow = np.zeros(inside.shape)
    for i, found in enumerate(peaks):
        cells = np.rint(found.points / 2.4)
        for j, place in enumerate(np.rint(at[i] / 2.4)):
            far = ((cells - place) ** 2).sum(axis=1) * 2.4**2 / 36
            near = far <= 1
            slow[i, j] = (found.heights[near] * (1 - far[near] / 2)).max(initial=0)
    expected = [
        np.sort(slow[inside[:, j], j])[(inside[:, j].sum()) // 2] if inside[:, j].any() else 0
        for j in range(200)
    ]
    np.testing.assert_allclose(maps.support(at, inside), expected, atol=1e-5)


def test_ranks_agree_with_sorting() -> None:
    rng = np.random.default_rng(1)
    values, where = rng.random((9, 40)), rng.random((9, 40)) < 0.6
    where[:, 0] = False
    for part in (0.5, 0.8, 1.0):
        for j in range(40):
            counted = np.sort(values[where[:, j], j])[::-1]
            last = math.ceil(part * len(counted)) - 1
            expected = counted[last] if len(counted) else 0.0
            assert ranked(values, where, part)[j] == expected


@pytest.mark.parametrize("seed", range(3))
def test_places_among_false_peaks(seed: int) -> None:
    of, positions = space(), strewn(seed)
    maps = PeakMaps(scattered(of, positions, seed), of.image_size, 5.0)
    tracks = follow(of, candidates(of, maps.peaks, maps), maps)
    sure = tracks.take(_false_discovery(tracks.chance) < 0.01)
    apart = np.linalg.norm(sure.positions[:, None] - positions, axis=-1)
    assert len(sure) == len(positions)
    assert (apart.min(axis=0) < 1.5).all()


def test_the_bound_on_chance_agreement_holds() -> None:
    """Peaks that have nothing in common make no more places than the bound allows."""
    bounds = []
    for seed in range(20):
        of = space(15)
        maps = PeakMaps(scattered(of, np.empty((0, 3)), seed, false=40), of.image_size, 6.0)
        tracks = follow(of, candidates(of, maps.peaks, maps), maps)
        bounds.append(tracks.chance.min(initial=np.inf))
    assert sum(bound < 1 for bound in bounds) <= 2
    assert sum(bound < 0.01 for bound in bounds) == 0


def test_false_discovery_of_benjamini_and_hochberg() -> None:
    chance = np.array([0.3, 1e-6, 4.0, 0.02])  # expected numbers: p times how many were tried
    expected = scipy.stats.false_discovery_control(chance / 1000, method="bh") * 1000 / 4
    np.testing.assert_allclose(_false_discovery(chance), np.minimum(expected, 1.0))


@pytest.mark.parametrize(("shift", "turn"), [(8.0, 1.0), (0.5, 0.0)])
def test_rough_correction_recovers_shifts_and_rotation(shift: float, turn: float) -> None:
    of, positions, rng = space(), strewn(4, 15), np.random.default_rng(5)
    seen = of.project(positions)[0] + rng.normal(0, 0.2, (31, 15, 2))
    false = rng.random((31, 15)) < 0.15
    seen[false] = rng.uniform(0, 360, (false.sum(), 2))
    middle, back = geometry.translation((200, 180, 0)), geometry.translation((-200, -180, 0))
    off = np.stack(
        [
            geometry.translation((*rng.normal(0, shift, 2), 0))
            @ middle @ geometry.rotation_z(rng.normal(0, turn)) @ back
            for _ in range(31)
        ]
    )  # fmt: skip
    better, spread = corrected(off @ of.projections, seen, rotated=True)
    assert spread < 0.5
    left = geometry.apply(better, geometry.triangulate(better, of.project(positions)[0]))[..., :2]
    assert np.sqrt(((left - of.project(positions)[0]) ** 2).sum(axis=-1).mean()) < 0.5


# The whole finder


@pytest.mark.parametrize(
    "wanted",
    [
        Wanted(),
        Wanted(seed=2, beads=4, errors=sim.AlignmentErrors(shift=6, rotation=1, tilt_offset=3)),
        Wanted(seed=3, bead_radius=30.0, molecules=0),
        Wanted(seed=4, deformation=2.0),
        Wanted(seed=5, pixel_size=2.2, bead_radius=50.0, molecules=0, beads=5),
    ],
    ids=["plain", "far off", "small", "bent", "large"],
)
def test_beads_are_found_where_they_are(wanted: Wanted) -> None:
    of = series(wanted)
    given = of.given
    if wanted.deformation:
        given = replace(given, deformation=of.true.deformation)
    found = find(given, of, FindOptions(radius=wanted.bead_radius))
    nearest, off = errors(found, of)
    assert sorted(nearest) == list(range(wanted.beads))
    distance = np.linalg.norm(off, axis=-1)
    assert np.sqrt(np.nanmean(distance**2)) < 0.06 * wanted.bead_radius / wanted.pixel_size
    assert found.false_discovery.max() < 1e-6
    assert found.dark
    radii = found.fiducials.radii
    assert radii is not None
    assert (radii == wanted.bead_radius).all()
    seen = found.fiducials.observations
    assert seen is not None
    assert seen.uncertainty is not None
    inside = ((of.seen > 0) & (of.seen < np.array(of.size) - 1)).all(axis=-1)
    assert len(seen) > 0.95 * inside.sum()


def test_uncertainties_of_observations() -> None:
    of = series(Wanted(seed=6, beads=12))
    found = find(of.given, of, FindOptions())
    _, off = errors(found, of)
    seen = found.fiducials.observations
    assert seen is not None
    assert seen.uncertainty is not None
    ratio = off[seen.tilt, seen.bead] / seen.uncertainty[:, None]
    assert 0.7 < np.sqrt((ratio**2).mean()) < 1.3


def test_threads_change_nothing() -> None:
    of = series()
    one, two = (find(of.given, of, FindOptions(), n).fiducials for n in (1, 2))
    assert np.array_equal(one.points, two.points)


def test_bright_beads_and_radius_are_measured() -> None:
    of = series()
    bright = replace(of, images=of.images.max() - of.images)
    found = find(of.given, bright, FindOptions(radius=None))
    assert not found.dark
    assert found.radius == pytest.approx(50.0, rel=0.12)
    assert len(found.fiducials) == 10
    dark = find(of.given, bright, FindOptions(contrast="dark"))
    assert all(np.linalg.norm(of.beads - at, axis=1).min() > 5 for at in dark.fiducials.points)


@pytest.mark.parametrize("radius", [50.0, None])
def test_no_beads_are_found_where_there_are_none(radius: float | None) -> None:
    of = series(Wanted(seed=7, beads=0, molecules=25))
    found = find(of.given, of, FindOptions(radius=radius))
    assert len(found.fiducials) == 0


def test_no_beads_in_noise_alone() -> None:
    images = np.random.default_rng(1).standard_normal((21, 300, 320)).astype(np.float32)
    of = replace(series(), images=images)
    assert len(find(of.given, of, FindOptions()).fiducials) == 0


def test_a_second_search_uses_the_better_alignment() -> None:
    of = series()
    finder = Finder(of.given, of, FindOptions())
    before, after = finder.find(), finder.find(of.true.projections)
    place = after.fiducials.points
    nearest, _ = errors(after, of)
    assert np.sqrt(((place - of.beads[nearest]) ** 2).mean()) < 0.2
    worse, _ = errors(before, of)
    assert np.sqrt(((before.fiducials.points - of.beads[worse]) ** 2).mean()) > 0.3


def test_images_that_cannot_show_beads_are_refused() -> None:
    of = series()
    one = of.given.select([10])
    with pytest.raises(tomoset.ModelError, match="1 tilt image over 0 degrees"):
        find(one, replace(of, images=of.images[10:11]), FindOptions())
    with pytest.raises(tomoset.ModelError, match="not aligned"):
        find(replace(of.given, projections=None), of, FindOptions())
    for radius in (15.0, 20.0, 30.0):
        with pytest.raises(tomoset.ModelError, match="have a radius of some"):
            find(of.given, of, FindOptions(radius=radius))
    for radius in (5.0, 400.0):
        with pytest.raises(tomoset.ModelError, match="beads can be found in them"):
            find(of.given, of, FindOptions(radius=radius))
    with pytest.raises(tomoset.ModelError, match="has no size"):
        find(replace(of.given, size=None), of, FindOptions())
    for bad in ({"radius": -1.0}, {"contrast": "grey"}, {"false_discovery": 0.0}):
        with pytest.raises(tomoset.ModelError):
            FindOptions(**bad)  # type: ignore[arg-type]
