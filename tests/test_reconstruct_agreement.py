"""Signal and noise from what neighbours in tilt show alike, and the filter that they make."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, map_coordinates

from tomoset import geometry
from tomoset.images.device import Device, open_device
from tomoset.images.weighting import overlaps_slowly
from tomoset.model import Optics, Tomogram
from tomoset.reconstruct import Options, Plan
from tomoset.reconstruct.agreement import Agreement, agreement
from tomoset.reconstruct.back_projection import back_projection
from tomoset.reconstruct.filters import COUNTED, THINNER, Filters

PIXEL, SIZE, BAND, NOISE = 10.0, (112, 120, 20), 0.2, 2.0
CPU: Device = open_device("cpu")


def plan_of(
    tilts: np.ndarray, axis: float = 5.0, size: tuple[int, int, int] = SIZE, **options: object
) -> Plan:
    n, image_size = len(tilts), size[:2]
    angles = np.column_stack([np.zeros(n), tilts, np.full(n, axis)])
    tomogram = Tomogram(
        name="a",
        n_tilts=n,
        optics=Optics(pixel_size=PIXEL),
        image_size=image_size,
        size=size,
        projections=geometry.rigid_projections(
            angles, np.zeros((n, 2)), size=size, image_size=image_size
        ),
    )
    return Plan.of(tomogram, Options(**{"binning": 1, **options}), image_size)  # type: ignore[arg-type]


def film(rng: np.random.Generator) -> np.ndarray:
    """A field of white spectrum up to `BAND` per pixel, 0 beyond, variance 1."""
    n = 240
    k = np.hypot(np.fft.fftfreq(n)[:, None], np.fft.rfftfreq(n))
    field = np.fft.irfft2(np.fft.rfft2(rng.normal(size=(n, n))) * (k < BAND), s=(n, n))
    return np.asarray(field / field.std())


def of_film(plan: Plan, noise: float, seed: int = 1) -> np.ndarray:
    """Images of a thin film in the middle plane; noise in units of the signal within its band."""
    rng = np.random.default_rng(seed)
    field, (width, height) = film(rng), plan.cropping.size
    pixels = np.stack(np.meshgrid(np.arange(width), np.arange(height)))
    images = []
    for m in plan.projections:
        offset = m[:2, 2] * (SIZE[2] // 2) + m[:2, 3]
        at = np.einsum("ab,bhw->ahw", np.linalg.inv(m[:2, :2]), pixels - offset[:, None, None])
        shown = map_coordinates(field, at[::-1] + 50, order=5, mode="wrap")
        sigma = np.sqrt(noise / (np.pi * BAND**2))
        images.append(shown + rng.normal(0, 1, shown.shape) * sigma)
    return np.array(images)


def found(plan: Plan, images: np.ndarray) -> Agreement:
    transforms = [plan.cropping.transform(image, CPU) for image in images]
    return agreement(plan, transforms, range(len(images)), CPU)


@pytest.mark.parametrize("axis", [5.0, 88.0])
def test_noise_is_found_as_it_was_added(axis: float) -> None:
    plan = plan_of(np.linspace(-30, 30, 21), axis)
    f = found(plan, of_film(plan, NOISE))
    inside = np.arange(0.04, 0.17, 0.02) / PIXEL
    # On the plane, an inclined image has its noise in fewer frequencies.
    cosines = np.cos(np.deg2rad(np.linspace(-30, 30, 21)))
    expected = 1 / np.mean(1 / (1 + NOISE / cosines)) - 1
    np.testing.assert_allclose(f.noise(inside), expected, rtol=0.3)
    assert f.noise(inside).mean() == pytest.approx(expected, rel=0.12)
    assert f.noise(np.array([0.3 / PIXEL]))[0] == pytest.approx(4)  # no signal: the most believed
    assert f.weights.min() > 0.8


def test_without_noise_nothing_is_lost() -> None:
    plan = plan_of(np.linspace(-30, 30, 11))
    f = found(plan, of_film(plan, 0.0))
    assert f.noise(np.arange(0.04, 0.15, 0.02) / PIXEL).max() < 0.15
    np.testing.assert_allclose(f.weights, 1, atol=0.05)


def test_images_that_agree_with_no_other_count_nothing() -> None:
    plan = plan_of(np.linspace(-40, 40, 21))
    images = of_film(plan, NOISE)
    good = found(plan, images)
    images[4] = np.random.default_rng(2).normal(0, images[4].std(), images[4].shape)
    images[12] = np.roll(images[12], (25, 30), axis=(0, 1))
    images[17] = 0
    f = found(plan, images)
    assert f.weights[[4, 12]].max() < 0.05
    others = np.delete(f.weights, [4, 12])
    assert others.min() > 0.8  # an empty one adds nothing, whatever its weight
    assert f.noise(plan.k).mean() < 1.3 * good.noise(plan.k).mean()


def test_an_order_of_tilts_and_grey_values_do_not_matter() -> None:
    plan = plan_of(np.linspace(-30, 30, 11))
    images = of_film(plan, NOISE)
    order = np.random.default_rng(3).permutation(11)
    f, g = found(plan, images), found(plan_of(np.linspace(-30, 30, 11)[order]), images[order] * 7)
    np.testing.assert_allclose(g.share, f.share, atol=0.02)
    np.testing.assert_allclose(g.weights, f.weights[order], atol=0.05)


@pytest.mark.parametrize("tilts", [[0.0], [0.0, 0.0], [-60.0, 60.0], [80.0, 90.0]])
def test_few_images_are_taken_as_they_are(tilts: list[float]) -> None:
    plan = plan_of(np.array(tilts))
    f = found(plan, of_film(plan, NOISE))
    np.testing.assert_allclose(f.weights, 1)
    assert np.isfinite(f.noise(plan.k)).all()


def test_blank_images_are_not_judged() -> None:
    plan = plan_of(np.linspace(-30, 30, 5))
    f = found(plan, np.zeros((5, SIZE[1], SIZE[0])))
    np.testing.assert_allclose(f.weights, 1)
    assert np.isfinite(f.noise(plan.k)).all()


def test_the_filter_is_what_its_formula_says() -> None:
    plan = plan_of(np.linspace(-60, 60, 7))
    rings = np.array([0.0, 0.5 / PIXEL])
    weights = np.random.default_rng(4).uniform(0.2, 1, 7)
    f = Agreement(rings, np.array([0.8, 0.3]), weights)
    filters = Filters(plan, range(7), f)
    powers = np.broadcast_to(weights[:, None, None], (7, *plan.k.shape))
    paths = THINNER * plan.thickness / np.cos(np.deg2rad(np.linspace(-60, 60, 7)))
    sums = overlaps_slowly(plan.projections, plan.frequencies, paths, powers)
    share = np.interp(plan.k, rings, f.share)
    noise = COUNTED * (1 / share - 1)
    for i in range(7):
        expected = weights[i] * (1 + noise) / (sums[i] + noise)
        # At the border of the half plane one pixel may count as known or not.
        assert np.isclose(filters.of(i, 0.0), expected, rtol=1e-3).mean() > 0.98


def test_more_of_the_truth_is_seen_in_noise() -> None:
    size = (96, 96, 40)
    plan = plan_of(np.linspace(-60, 60, 31), size=size)
    rng = np.random.default_rng(5)
    truth = gaussian_filter(rng.normal(size=size[::-1]), 1.2).astype(np.float32)
    truth[:6] = truth[-6:] = 0
    whole = plan.projector(CPU).forward(truth)
    images = whole[..., ::2] + whole[..., 1::2] if plan.finer[0] > 1 else whole
    images = images + rng.normal(0, 2 * images.std(), images.shape).astype(np.float32)
    transforms = [plan.cropping.transform(image, CPU) for image in images]

    def correlation(plan: Plan) -> float:
        parts = back_projection(plan, transforms, range(31), CPU)
        inner = np.s_[8:-8, 16:-16, 16:-16]
        return float(
            np.corrcoef(np.concatenate(list(parts))[inner].ravel(), truth[inner].ravel())[0, 1]
        )

    exact = replace(plan, options=Options(binning=1, method="wiener", snr=1e6))
    assert correlation(plan) > 1.05 * correlation(exact) > 0.1
