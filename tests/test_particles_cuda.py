"""Particles on a GPU against the processor: a real one, or a stand-in that is as strict as CuPy."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.builders.cuda_stand_in import cuda_device
from tests.builders.particle_project import align, image_error, series, write_project
from tests.builders.particle_series import write_reference
from tests.builders.seven_molecules import (
    BOX,
    OPTIONS,
    images,
    reference,
    relion_particles,
    two_groups,
    vector_text,
)
from tests.builders.seven_molecules import series as seven
from tomoset.images.device import Device
from tomoset.particles import Predictor, Reference, Weighting, correlate
from tomoset.particles.device import CpuParticles, CudaParticles


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_project(tmp_path, series())
    write_reference(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("kernels")


@pytest.fixture(params=["GPU", "stand-in"])
def cuda(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, folder: Path) -> Device:
    return cuda_device(request.param, monkeypatch, folder)


def same(got: np.ndarray, expected: np.ndarray, within: float) -> None:
    np.testing.assert_allclose(got, expected, rtol=0, atol=within * np.abs(expected).max())


def test_kernels_agree_with_the_cpu(cuda: Device) -> None:
    ours, there = CpuParticles(), CudaParticles()
    rng = np.random.default_rng(1)
    transform = reference().transforms[0]
    linear = np.linalg.qr(rng.standard_normal((5, 3, 3)))[0][:, :2]
    for radius in (7.3, BOX / 2 - 1):
        slices = ours.slices(transform, linear, BOX, radius)
        found = there.slices(transform, linear, BOX, radius)
        same(cuda.to_host(found), slices, 1e-5)
    cycles, squares = rng.uniform(-3, 3, (2, BOX, BOX // 2 + 1)).astype(np.float32)
    changes, weight = rng.uniform(-1, 1, 5), rng.random(cycles.shape).astype(np.float32)
    ours.modulate(slices, cycles, squares, changes, weight)
    there.modulate(found, cycles, squares, changes, weight)
    same(cuda.to_host(found), slices, 1e-5)
    image = rng.standard_normal((90, 70)).astype(np.float32)
    corners = np.array([[0, 0], [19, 7], [-5, 60], [40, -9], [-200, 300]])  # some outside
    boxes = ours.cut(image, corners, BOX)
    cut = there.cut(there.upload(image), corners, BOX)
    same(cuda.to_host(cut), boxes, 0)
    offsets = rng.uniform(0, BOX, (5, 2))
    for fine in (BOX, 2 * BOX):
        seen = np.fft.rfft2(boxes).astype(np.complex64)
        expected = ours.match(seen.copy(), slices, offsets, fine)
        got = there.match(there.upload(seen), found, offsets, fine)
        same(cuda.to_host(got[0]), expected[0], 1e-4)
        for one, other in zip(got[1:], expected[1:], strict=True):
            same(one, other, 1e-4)


@pytest.mark.parametrize("padding", [1, 2])
def test_correlations_agree_with_the_cpu(cuda: Device, padding: int) -> None:
    _, tomogram, _ = seven()
    optics = f"rlnEvenZernike={vector_text([0.5, 0, 3])} rlnOddZernike={vector_text([9, -30])}"
    particles = relion_particles([1, 2, 2, 1, 2, 1, 1], optics)
    density = reference().half1
    halves = Reference(half1=density, half2=np.roll(density, 2, axis=1), pixel_size=8.0)
    options = replace(OPTIONS, padding=padding)
    expected = correlate(tomogram, images(), particles, halves, options)
    there = replace(options, device=cuda.name)
    found = correlate(tomogram, images(), particles, halves, there)
    np.testing.assert_array_equal(found.visible, expected.visible)
    same(found.values, expected.values, 1e-4)
    same(found.energy, expected.energy, 1e-4)
    same(found.information, expected.information, 1e-4)


def test_predictions_of_two_groups_and_halves_agree_with_the_cpu(cuda: Device) -> None:
    _, tomogram, _ = seven()
    density = reference().half1
    halves = Reference(half1=density, half2=np.roll(density, 2, axis=1), pixel_size=8.0)
    own, other = (
        Predictor(tomogram, two_groups(), halves, BOX, d) for d in (None, CudaParticles())
    )
    weight = own.weight(1, Weighting(dose=False, reference=False))
    weight[np.hypot(*np.meshgrid(np.arange(BOX // 2 + 1), np.fft.fftfreq(BOX, 1 / BOX))) > 11] = 0
    rows = np.array([3, 0, 6, 1, 2])
    expected = own.images(1, rows, weight)
    same(cuda.to_host(other.images(1, rows, weight)), expected, 1e-5)
    assert expected[:, 0, 11].all()  # the last ring counts


def test_an_alignment_agrees_with_the_cpu(cuda: Device, here: Path) -> None:
    assert align() == 0
    assert align("--device", "cuda", o="B") == 0
    of = series()
    assert abs(image_error(of, "A") - image_error(of, "B")) < 1e-3
