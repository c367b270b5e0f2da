"""The exact filter: against its slow form, and known cases."""

from __future__ import annotations

import numpy as np
import pytest

from tomoset import geometry
from tomoset.images.fourier import Cropping
from tomoset.images.weighting import overlaps, overlaps_slowly, slices


def projections(n: int, axis: float = 85.0) -> np.ndarray:
    angles = np.column_stack([np.full(n, 3.0), np.linspace(-60, 60, n), axis + np.arange(n)])
    return geometry.rigid_projections(
        angles, np.zeros((n, 2)), size=(40, 40, 20), image_size=(40, 40)
    )


@pytest.mark.parametrize("size", [(40, 40), (40, 36)])
@pytest.mark.parametrize("with_powers", [False, True])
@pytest.mark.parametrize("thickness", [100.0, 800.0, np.linspace(100, 900, 7)])
def test_the_filter_agrees_with_the_slow_form(
    size: tuple[int, int], with_powers: bool, thickness: float | np.ndarray
) -> None:
    cropping = Cropping(size, size, size)
    frequencies = cropping.frequencies(5.0)
    shape = (7, size[1], size[0] // 2 + 1)
    powers = np.random.default_rng(1).uniform(0, 1, shape) if with_powers else None
    given = projections(7), frequencies, thickness, powers
    fast, slow = overlaps(*given), overlaps_slowly(*given)
    # A frequency on the border between two pixels may be rounded either way.
    same = np.isclose(fast, slow, atol=1e-5)
    assert same.mean() > (0.995 if with_powers else 0.99999)
    assert fast.shape == shape


def test_images_of_one_direction_are_counted_all() -> None:
    straight = np.repeat(np.eye(4)[None], 5, axis=0)
    cropping = Cropping((16, 16), (16, 16), (16, 16))
    np.testing.assert_allclose(overlaps(straight, cropping.frequencies(1.0), 50.0), 5.0)


def test_thick_specimens_have_thin_slices() -> None:
    # At frequency 0 all overlap; far out only the image itself: Crowther's criterion.
    cropping = Cropping((64, 64), (64, 64), (64, 64))
    found = overlaps(projections(21, 90.0), cropping.frequencies(2.0), 600.0)
    assert found[:, 0, 0] == pytest.approx(21)
    assert found[10].min() == pytest.approx(1, abs=0.2)


def test_slices_know_the_magnification() -> None:
    axes, beams = slices(1.1 * projections(3))
    np.testing.assert_allclose(np.linalg.norm(axes, axis=2), 1.1)
    np.testing.assert_allclose(np.einsum("nak,nk->na", axes, beams), 0, atol=1e-12)
    np.testing.assert_allclose(np.linalg.norm(beams, axis=1), 1)
