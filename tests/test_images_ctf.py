"""CTF, dose weight and Fourier cropping against worked numbers and laws."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tomoset.errors import ModelError
from tomoset.images.ctf import Ctf, dose_weight, frequencies, wavelength
from tomoset.images.device import open_device
from tomoset.images.fourier import Cropping

CPU = open_device("cpu")
BASE = {
    "defocus_u": 20000.0, "defocus_v": 19000.0, "defocus_angle": 30.0, "voltage": 300.0,
    "spherical_aberration": 2.7, "amplitude_contrast": 0.1,
}  # fmt: skip


def test_ctf_agrees_with_worked_numbers() -> None:
    """docs/relion.md, 'CTF and dose'."""
    assert wavelength(300) == pytest.approx(0.0196876, abs=2e-7)
    ctf = Ctf(**BASE)
    assert ctf.phase(1 / 20, 0) == pytest.approx(-3.15201, abs=1e-5)
    assert ctf.at(1 / 20, 0) == pytest.approx(-0.010419, abs=1e-6)
    for k, w in ((1 / 20, 0.4609), (1 / 10, 0.1198), (1 / 5, 0.00909), (1 / 3, 0.00099)):
        assert dose_weight(k, 60) == pytest.approx(w, rel=2e-3)
    assert dose_weight(0, 60) == 1


@given(st.floats(0, 360), st.floats(0, 360), st.floats(0, 0.3))
def test_turning_the_astigmatism_turns_the_ctf(angle: float, turn: float, k: float) -> None:
    x, y = k * np.cos(np.deg2rad(turn)), k * np.sin(np.deg2rad(turn))
    one = Ctf(**{**BASE, "defocus_angle": angle})
    other = Ctf(**{**BASE, "defocus_angle": angle - turn})
    assert one.phase(x, y) == pytest.approx(float(other.phase(k, 0)), abs=1e-6)


def test_defocus_along_the_axes_is_u_and_v() -> None:
    """Along the angle the phase is that of U alone, across it of V alone."""
    ctf = Ctf(**{**BASE, "defocus_angle": 0.0})
    only_u, only_v = (Ctf(**{**BASE, "defocus_u": d, "defocus_v": d}) for d in (20000.0, 19000.0))
    assert ctf.phase(0.1, 0) == pytest.approx(float(only_u.phase(0.1, 0)))
    assert ctf.phase(0, 0.1) == pytest.approx(float(only_v.phase(0.1, 0)))


def test_phase_shift_scale_and_b_factor() -> None:
    plain = Ctf(**BASE)
    quarter = Ctf(**BASE, phase_shift=90.0, scale=0.5, b_factor=100.0)
    damped = 0.5 * np.exp(-25 * 0.01)
    assert quarter.at(0.1, 0) == pytest.approx(float(np.cos(plain.phase(0.1, 0))) * damped)


def test_ctf_on_the_half_plane_is_that_of_the_whole() -> None:
    ctf = Ctf(**BASE)
    image = ctf.image((8, 6), 2.0)
    x, y = frequencies((8, 6), 2.0)
    assert image.shape == (6, 5)
    assert image[4, 3] == pytest.approx(float(ctf.at(x[0, 3], y[4, 0])))
    assert (x[0, 4], y[3, 0], y[5, 0]) == pytest.approx((0.25, -0.25, -1 / 12))


def test_dose_weights_at_200_kv_count_the_dose_more() -> None:
    assert dose_weight(0.1, 48.0, voltage=200) == pytest.approx(float(dose_weight(0.1, 60.0)))


def wave(n: int, cycles: int, phase: float) -> np.ndarray:
    return np.cos(2 * np.pi * cycles * np.arange(n) / n + phase)


def crop(image: np.ndarray, size: int) -> np.ndarray:
    """Square images without padding."""
    n = image.shape[0]
    cropping = Cropping((n, n), (n, n), (size, size))
    return np.asarray(cropping.image_of(cropping.transform(image, CPU), CPU))


@settings(deadline=None)
@given(st.integers(4, 40), st.integers(4, 40), st.integers(0, 10**6))
def test_waves_that_fit_stay_and_finer_ones_go(n: int, m: int, seed: int) -> None:
    if m > n:
        n, m = m, n
    rng = np.random.default_rng(seed)
    fits, phase = rng.integers(1, max((m - 1) // 2, 1) + 1), rng.uniform(0, 6)
    if 2 * fits >= m:
        return
    image = wave(n, int(fits), phase)[None, :] * np.ones((n, 1))
    expected = wave(m, int(fits), phase)[None, :] * np.ones((m, 1))
    np.testing.assert_allclose(crop(image, m), expected, atol=1e-5)
    np.testing.assert_allclose(crop(image.T, m), expected.T, atol=1e-5)
    finer = m // 2 + 1
    if finer < n / 2:
        gone = crop(wave(n, finer, phase)[None, :] * np.ones((n, 1)), m)
        np.testing.assert_allclose(gone, 0, atol=1e-5)


def test_cropping_nothing_takes_the_mean_only() -> None:
    image = np.random.default_rng(1).normal(5, 1, size=(10, 10)).astype(np.float32)
    np.testing.assert_allclose(crop(image, 10), image - image.mean(), atol=1e-5)
    with pytest.raises(ModelError, match="cannot be padded"):
        crop(image, 12)
    with pytest.raises(ModelError, match=r"1 or more, not 0\.5"):
        Cropping.of((10, 10), 0.5)


@settings(deadline=None)
@given(
    st.integers(1, 5000),
    st.integers(1, 5000),
    st.one_of(st.integers(1, 16), st.floats(1, 16)),
)
def test_padded_and_cropped_lengths_fit_the_binning(
    width: int, height: int, binning: float
) -> None:
    c = Cropping.of((width, height), binning)
    for size, padded, cropped, factor, kept in zip(
        c.size, c.padded, c.cropped, c.factors, c.kept, strict=True
    ):
        assert padded >= size
        assert cropped % 2 == 0
        assert abs(padded - cropped * binning) <= 1
        assert (kept - 1) * factor < size <= kept * factor + 1e-6


def test_padding_closes_without_a_step() -> None:
    # A slope would ring at the edges if its two ends met.
    image = np.linspace(0, 100, 100)[None, :] * np.ones((90, 1))
    cropping = Cropping.of((100, 90), 2)
    small = cropping.image_of(cropping.transform(image, CPU), CPU)
    assert small.shape == (45, 50)
    middle = np.linspace(0, 100, 100)[::2] - 50
    assert np.abs(small - middle)[:, 3:-3].max() < 1.5
