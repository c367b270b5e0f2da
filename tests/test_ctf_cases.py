"""Defocus of series that are odd in one way or another: small ones, quickly measured."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from tests.builders.hand_series import Wanted, hand_series
from tests.builders.image_stacks import Images
from tomoset.ctf.measure import MeasuredCtf, measure
from tomoset.ctf.options import CtfOptions
from tomoset.errors import ModelError
from tomoset.model import Tomogram

NARROW = CtfOptions(low=20000.0, high=39000.0)


@cache
def series() -> tuple[Tomogram, np.ndarray, np.ndarray]:
    """Without defocus, its images, and the truth."""
    return made(0.1)


def made(amplitude_contrast: float) -> tuple[Tomogram, np.ndarray, np.ndarray]:
    wanted = Wanted(n=7, seed=6, highest=45.0, specks=16000, amplitude_contrast=amplitude_contrast)
    tomogram, images = hand_series(wanted)
    assert tomogram.defocus_u is not None
    assert tomogram.defocus_v is not None
    truth = (tomogram.defocus_u + tomogram.defocus_v) / 2
    bare = replace(tomogram, defocus_u=None, defocus_v=None, defocus_angle=None)
    return bare, images.images, truth


def found(tomogram: Tomogram, images: np.ndarray, options: CtfOptions = NARROW) -> MeasuredCtf:
    return measure(tomogram, Images(images), options)  # type: ignore[arg-type]


@pytest.mark.parametrize("off", [5.0, pytest.param(-5.0, marks=pytest.mark.slow)])
def test_the_axis_of_a_series_that_is_not_aligned_may_be_off(off: float) -> None:
    tomogram, images, truth = series()
    stage = replace(
        tomogram,
        projections=None,
        nominal_tilts=tomogram.tilt_angles,
        nominal_axis=tomogram.tilt_axis_angles + off,
    )
    m = found(stage, images)
    assert m.told.sum() >= 5
    assert (np.abs(m.defocus - truth) < 4 * m.defocus_error)[m.told].all()
    assert abs(m.axis_off + off) < 3 * m.axis_off_error < 8


def test_dark_and_blocked_images_are_named_and_doses_may_differ() -> None:
    tomogram, images, truth = series()
    rng = np.random.default_rng(3)
    noise = images[3].std() * rng.standard_normal(images.shape)
    doses = np.array([1.0, 1.0, 0.5, 2.0, 0.5, 1.0, 1.0])[:, None, None]
    taken = doses * images + np.sqrt(np.maximum(doses - doses**2, 0)) * noise
    taken[1] = 0.02 * noise[1]  # dark
    taken[5, :, :150] = 0.02 * noise[5, :, :150]  # blocked by a grid bar
    m = found(tomogram, taken)
    assert not m.told[1]
    assert m.told[[2, 3, 4]].all()
    assert (np.abs(m.defocus - truth) < 4 * m.defocus_error).all()


def test_what_a_grid_bar_leaves_of_an_image_tells_its_defocus() -> None:
    """Behind it are no electrons, so what is seen stands out far from most of the image."""
    tomogram, images, truth = series()
    noise = 0.02 * images.std() * np.random.default_rng(3).standard_normal(images.shape)
    behind = np.zeros(images.shape, np.bool_)
    behind[1, :, :270], behind[5, 100:], behind[6, :, :375] = True, True, True
    m = found(tomogram, np.where(behind, noise - 3 * images.std(), images))
    assert m.told[:6].all()
    assert (np.abs(m.defocus - truth) < 4 * m.defocus_error).all()
    assert (np.abs(m.defocus - truth)[:6] < 200).all()


def test_halves_of_the_frames_say_the_same_within_their_errors() -> None:
    tomogram, images, _ = series()
    noise = images.std() * np.random.default_rng(5).standard_normal(images.shape)
    even, odd = found(tomogram, images + noise), found(tomogram, images - noise)
    both = even.told & odd.told
    assert both.sum() >= 4
    apart = (even.defocus - odd.defocus) / np.hypot(even.defocus_error, odd.defocus_error)
    assert np.abs(apart[both]).max() < 4


@pytest.mark.slow
def test_a_phase_plate_shifts_phases() -> None:
    """Which amplitude contrast does too, by its arc sine."""
    tomogram, images, truth = made(float(np.sin(np.deg2rad(70.0))))
    m = found(tomogram, images, replace(NARROW, phase_plate=True))
    shift = 70 - np.rad2deg(np.arcsin(0.1))
    assert m.phase_shift is not None
    assert m.told.sum() >= 5
    assert (np.abs(m.defocus - truth) < 4 * m.defocus_error)[m.told].all()
    assert (np.abs(m.phase_shift - shift) < 4 * m.phase_shift_error)[m.told].all()


def test_pixels_that_show_fewer_than_three_rings_tell_no_defocus() -> None:
    wanted = Wanted(n=7, seed=6, highest=45.0, specks=16000, defocus=14000.0, noise=0.5)
    tomogram, images = hand_series(wanted)
    with pytest.raises(ModelError, match=r"fewer than 2\.5 Thon rings .* pixels of .* show them"):
        found(tomogram, images.images, CtfOptions(low=8000.0, high=20000.0))
