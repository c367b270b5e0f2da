"""The CTF's correction: on a thick specimen each depth needs its own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import mrcfile
import numpy as np
import pytest
import scipy.fft

from tests.builders.bead_stack import N, bead_set, made
from tests.builders.image_stacks import read_volume
from tomoset.images.ctf import Ctf, dose_weight, frequencies
from tomoset.model import Optics, TomogramSet

#: At 20 kV the depth of field is so short that a small volume is thick.
VOLTAGE = 20.0
PIXEL, SIZE, IMAGE = 2.5, (360, 32, 240), (44, 368)


def points() -> np.ndarray:
    """Atoms at all depths, in 0-based voxels."""
    return np.rint(np.random.default_rng(7).uniform(0.1, 0.9, (60, 3)) * SIZE)


def thick_set(folder: Path, hand: int) -> TomogramSet:
    """Atoms in a slab of 600 Å, each seen through the CTF of its own depth: a direct sum."""
    s = bead_set(
        folder,
        size=SIZE,
        image_size=IMAGE,
        optics=Optics(pixel_size=PIXEL, voltage=VOLTAGE),
        hand=hand,
        defocus_u=np.full(N, 4000.0),
        defocus_v=np.full(N, 3900.0),
    )
    t = s["TS_01"]
    kx, ky = frequencies(IMAGE, PIXEL)
    at, defocus = t.project(points()), t.defocus(points())
    images = np.zeros((N, IMAGE[1], IMAGE[0]), dtype=np.float32)
    for i in range(N):
        waves = sum(
            Ctf(
                defocus_u=defocus[i, p, 0],
                defocus_v=defocus[i, p, 1],
                defocus_angle=20.0,
                voltage=VOLTAGE,
                spherical_aberration=2.7,
                amplitude_contrast=0.1,
            ).at(kx, ky)
            * np.exp(-2j * np.pi * PIXEL * (kx * at[i, p, 0] + ky * at[i, p, 1]))
            for p in range(len(points()))
            if 0 < at[i, p, 0] < IMAGE[0] - 1 and 0 < at[i, p, 1] < IMAGE[1] - 1
        )
        envelope = np.exp(-2 * np.pi**2 * 1.0**2 * (kx**2 + ky**2))
        images[i] = scipy.fft.irfft2(waves * envelope, s=images[i].shape)
    with mrcfile.open(folder / "TS_01.mrcs", mode="r+") as file:
        file.data[:] = images
    return s


def correlation(v: np.ndarray) -> float:
    """With the atoms, from 5.5 to 12 Å."""
    truth = np.zeros(SIZE[::-1])
    for x, y, z in points().astype(int):
        truth[z, y, x] = 1
    z, y, x = (np.fft.fftfreq(n, PIXEL) for n in truth.shape)
    k = np.sqrt(z[:, None, None] ** 2 + y[:, None] ** 2 + x**2)
    band = (k > 1 / 12) & (k < 1 / 5.5)
    filtered = [scipy.fft.ifftn(scipy.fft.fftn(w) * band).real.ravel() for w in (v, truth)]
    return float(np.corrcoef(*filtered)[0, 1])


@pytest.mark.parametrize("hand", [1, -1])
def test_each_depth_has_its_own_ctf(tmp_path: Path, hand: int) -> None:
    s = thick_set(tmp_path, hand)

    def found(**options: object) -> float:
        return correlation(read_volume(made(s, tmp_path, binning=1, **options).path))

    none, flat, deep = (found(ctf=ctf) for ctf in ("none", "2d", "3d"))
    assert deep > 1.2 * flat
    assert flat > none + 0.1
    flat, deep = (found(ctf=ctf, method="wiener") for ctf in ("2d", "3d"))
    assert deep > 1.2 * flat
    other = TomogramSet([replace(s["TS_01"], hand=-hand)])
    wrong = read_volume(made(other, tmp_path, binning=1, ctf="3d").path)
    assert correlation(wrong) < 0.6 * flat


def test_batches_of_images_give_the_same_volume(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tomoset.reconstruct import back_projection, depths

    s = thick_set(tmp_path, 1)
    whole = read_volume(made(s, tmp_path, binning=2, ctf="3d").path)
    monkeypatch.setattr(depths, "BATCH_BYTES", 1 << 16)
    monkeypatch.setattr(back_projection, "SLAB_BYTES", 1 << 16)
    parts = read_volume(made(s, tmp_path, binning=2, ctf="3d").path)
    np.testing.assert_allclose(parts, whole, atol=1e-5 * np.abs(whole).max())


def test_dose_damps_late_images(tmp_path: Path) -> None:
    """With a single image the volume's transform is the image's, times the dose weight."""
    s = bead_set(tmp_path, width=0.7)
    t = s["TS_01"].select([3])
    one = replace(t, pre_exposure=np.array([50.0]))
    plain, damped = (
        read_volume(made(TomogramSet([one]), tmp_path, binning=1, dose=dose, taper=0.5).path)
        for dose in (False, True)
    )
    assert 0.3 < np.abs(damped).max() / np.abs(plain).max() < 0.9
    assert dose_weight(1 / 8.0, 50.0) < 0.2


def test_an_image_without_any_contrast_transfer_gives_nothing(tmp_path: Path) -> None:
    s = bead_set(tmp_path)
    scale = np.ones(N)
    scale[N // 2] = 0
    t = s["TS_01"]
    with_none = made(TomogramSet([replace(t, ctf_scale=scale)]), tmp_path, binning=2, ctf="2d")
    v = read_volume(with_none.path)
    stack = tmp_path / "TS_01.mrcs"
    with mrcfile.open(stack, mode="r+") as file:
        file.data[N // 2] = np.random.default_rng(8).normal(0, 9, file.data.shape[1:])
    again = made(TomogramSet([replace(t, ctf_scale=scale)]), tmp_path, binning=2, ctf="2d")
    np.testing.assert_allclose(read_volume(again.path), v, atol=1e-6)
