"""The likelihood of a Gaussian slab: against its definition, written out, and against chance."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tomoset.align.images.slab import (
    FREEDOM,
    Model,
    Slab,
    Terms,
    coherence,
    displaced,
    terms,
    terms_slowly,
)

TILTS = np.deg2rad([-50.0, -30.0, -12.0, 0.0, 9.0, 27.0, 45.0])


def model(n_k: int = 30, n_windows: int = 4, **changes: object) -> Model:
    """Images tilted about y, and a little about x; frequencies of half the plane."""
    rng = np.random.default_rng(3)
    n = len(TILTS)
    k = rng.uniform(-0.15, 0.15, (n_k, 2))
    k[:, 0] = np.abs(k[:, 0])
    fields = {
        "k": k,
        "parallax": np.column_stack([np.tan(TILTS), 0.05 * np.arange(n)]),
        "coherent": rng.uniform(0.3, 0.9, (n, n_k)),
        "level": np.ones(n_windows),
        "thicker": np.ones(n_windows),
        "band": np.ones((n, n_k), bool),
        "slab": Slab(thickness=20.0, surface=0.2, rough=0.05),
        "independent": 0.4,
    }
    return Model(**{**fields, **changes})  # type: ignore[arg-type]


def covariance(of: Model, q: int, w: int = 0) -> np.ndarray:
    """As the module says, with the integrals over depth in place of their formulas."""
    x = of.slab.thickness * of.thicker[w] * (of.parallax[:, None] - of.parallax) @ of.k[q]
    z = (np.arange(400) + 0.5) / 400 - 0.5
    inside = np.cos(2 * np.pi * x[..., None] * z).mean(axis=-1)
    surface = np.cos(2 * np.pi * x[..., None] * np.array([-0.5, 0.5])).mean(axis=-1)
    p = (1 - of.slab.surface) * inside + of.slab.surface * surface
    p *= np.exp(-0.5 * (2 * np.pi * of.slab.rough * x) ** 2)
    c = of.within(of.level[w])[:, q]
    return np.outer(c, c) * p + np.diag(1 - c**2)


def drawn(of: Model, n_windows: int, seed: int = 5) -> np.ndarray:
    """Spectra as the model has them."""
    rng = np.random.default_rng(seed)
    shape = (n_windows, len(of.parallax), len(of.k))
    white = (rng.normal(size=shape) + 1j * rng.normal(size=shape)) / np.sqrt(2)
    for q in range(len(of.k)):
        white[..., q] = white[..., q] @ np.linalg.cholesky(covariance(of, q)).T
    return white


def likelihood(of: Model, spectra: np.ndarray, used: np.ndarray) -> float:
    """Of a multivariate complex Student t distribution, but for its constants."""
    total = 0.0
    for w in range(len(spectra)):
        for q in range(len(of.k)):
            at = np.flatnonzero(used[w] & of.band[:, q])
            if len(at) > 1:
                C, V = covariance(of, q, w)[np.ix_(at, at)], spectra[w, at, q]
                quad = np.real(V.conj() @ np.linalg.solve(C, V))
                total -= (FREEDOM + len(at)) * np.log1p(quad / FREEDOM)
                total -= np.linalg.slogdet(C)[1]
    return of.independent * total


def some() -> tuple[Model, np.ndarray, np.ndarray]:
    """A model of which images miss windows and frequencies, and spectra."""
    rng = np.random.default_rng(8)
    of = model(
        band=rng.random((len(TILTS), 30)) > 0.2,
        level=np.array([1.0, 2.0, 0.5, 2.0]),
        thicker=np.array([1.4, 1.0, 1.4, 0.7]),
    )
    of.band[1:, 4] = False
    used = np.ones((4, len(TILTS)), bool)
    used[1, 2] = used[3, 2] = used[2, 1:] = False
    spectra = drawn(of, 4) * (used[..., None] & of.band)
    return of, spectra.astype(np.complex64), used


@pytest.mark.parametrize("threads", [1, 2])
def test_compiled_terms_are_those_of_numpy(threads: int) -> None:
    of, spectra, used = some()
    fast = terms(of, spectra, used, informed=True, threads=threads)
    slow = terms_slowly(of, spectra, used)
    assert fast.log_likelihood == pytest.approx(slow.log_likelihood, rel=1e-4)
    for name in ("gradient", "information", "residual", "precision", "weights"):
        there, here = getattr(fast, name), getattr(slow, name)
        np.testing.assert_allclose(there, here, atol=1e-3 * np.abs(here).max(), err_msg=name)
    without = terms(of, spectra, used, informed=False, threads=threads)
    np.testing.assert_allclose(without.gradient, fast.gradient)
    assert not without.information.any()


def test_the_likelihood_is_that_of_its_definition_and_the_gradient_its_slope() -> None:
    of, spectra, used = some()
    found = terms(of, spectra, used, informed=False, threads=1)
    exact = spectra.astype(np.complex128)
    assert found.log_likelihood == pytest.approx(likelihood(of, exact, used), rel=1e-4)
    step = 1e-4
    for w, i in ((0, 0), (0, 3), (1, 5), (3, 6), (1, 2)):
        for axis in (0, 1):
            values = []
            for sign in (-1, 1):
                by = np.zeros((4, len(TILTS), 2))
                by[w, i, axis] = sign * step
                phase = np.exp(2j * np.pi * (by @ of.k.T))
                values.append(likelihood(of, exact * phase, used))
            slope = (values[1] - values[0]) / (2 * step)
            assert found.gradient[w, i, axis] == pytest.approx(slope, rel=1e-3, abs=1e-3)


def test_content_that_is_moved_is_moved_back() -> None:
    rng = np.random.default_rng(1)
    image = rng.normal(size=(16, 16))
    k = np.array([[1, 3], [5, -2], [0, 4]]) / 16
    at = (np.array([3, -2, 4]), np.array([1, 5, 0]))
    before, moved = np.fft.fft2(image), np.fft.fft2(np.roll(image, (2, 3), (0, 1)))
    spectra = moved[at][None, None].astype(np.complex64)
    back = displaced(spectra, k, np.array([[3.0, 2.0]]))
    np.testing.assert_allclose(back[0, 0], before[at], rtol=1e-4)


def test_information_is_the_expected_square_of_the_gradient() -> None:
    n_windows, n_images = 6000, len(TILTS)
    of = model(8, n_windows, independent=1.0)
    strength = np.random.default_rng(2).gamma(FREEDOM, 1 / FREEDOM, (n_windows, 1, 8))
    spectra = (drawn(of, n_windows) / np.sqrt(strength)).astype(np.complex64)
    used = np.ones((n_windows, n_images), bool)
    found: Terms = terms(of, spectra, used, informed=True, threads=1)
    n = 2 * n_images
    gradient = found.gradient.reshape(-1, n)
    # At the truth no direction is favoured.
    off = gradient.mean(axis=0) / (gradient.std(axis=0) / np.sqrt(n_windows))
    assert np.abs(off).max() < 4
    outer = gradient.T @ gradient / n_windows
    information = found.information.reshape(-1, n, n).mean(axis=0)
    # Lange, Little and Taylor (1989): a t distribution says so much less than its weights.
    information *= (FREEDOM + n_images) / (FREEDOM + n_images + 1)
    scale = np.sqrt(np.outer(information.diagonal(), information.diagonal()))
    assert np.abs((outer - information) / scale).max() < 0.06
    # A displacement of all images alike is not seen.
    alike = np.tile(np.eye(2), (n_images, 1))
    assert np.abs(information @ alike).max() < 1e-3 * information.max()
    assert np.abs(gradient @ alike).max() < 1e-3 * np.abs(gradient).max()


def test_coherence_is_the_transform_of_the_density_across_the_slab() -> None:
    x = np.linspace(-3, 3, 25)
    assert coherence(0.0) == coherence(0.0, 0.5, 0.2) == 1.0
    np.testing.assert_allclose(coherence(np.arange(1, 5)), 0, atol=1e-12)
    z = (np.arange(20000) + 0.5) / 20000 - 0.5
    uniform = np.cos(2 * np.pi * x[:, None] * z).mean(axis=1)
    np.testing.assert_allclose(coherence(x), uniform, atol=1e-6)
    np.testing.assert_allclose(coherence(x, surface=1.0), np.cos(np.pi * x), atol=1e-12)
    np.testing.assert_allclose(
        coherence(x, surface=0.3), 0.7 * uniform + 0.3 * np.cos(np.pi * x), atol=1e-6
    )
    heights = np.random.default_rng(1).normal(0, 0.1, 200_000)
    rough = np.cos(2 * np.pi * x[:, None] * heights).mean(axis=1)
    np.testing.assert_allclose(coherence(x, 0.3, 0.1), coherence(x, 0.3) * rough, atol=6e-3)
    assert abs(coherence(50.0, 0.9, 0.1)) < 1e-6
    slab = Slab(thickness=4.0, surface=0.2, rough=0.1)
    np.testing.assert_array_equal(slab.coherence(x), coherence(4 * x, 0.2, 0.1))


@settings(suppress_health_check=[HealthCheck.too_slow])  # on a busy machine
@given(
    st.floats(0.1, 500),
    st.floats(0, 1),
    st.floats(0, 0.4),
    st.lists(st.floats(-2, 2), min_size=2, max_size=12),
)
def test_a_covariance_is_positive(
    thickness: float, surface: float, rough: float, depths: list[float]
) -> None:
    at = np.array(depths)
    slab = Slab(thickness=thickness, surface=surface, rough=rough)
    values = np.linalg.eigvalsh(slab.coherence(at[:, None] - at))
    assert values.min() > -1e-9
