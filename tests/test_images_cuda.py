"""The CUDA path against the CPU's: on a GPU, or on a stand-in that is as strict as CuPy."""

from __future__ import annotations

import operator
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.builders.bead_stack import bead_set, made
from tests.builders.cuda_stand_in import cuda_device, stand_in
from tests.builders.image_stacks import read_volume
from tests.builders.projectors import CPU, make_projector
from tomoset.errors import UnsupportedError
from tomoset.images import reference
from tomoset.images.device import Device, open_device
from tomoset.images.fourier import Cropping
from tomoset.images.projector import Projector
from tomoset.model import Deformation


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("kernels")


@pytest.fixture(params=["GPU", "stand-in"])
def cuda(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, folder: Path) -> Device:
    """The CUDA device: the real one, or the stand-in."""
    return cuda_device(request.param, monkeypatch, folder)


def on(device: Device, p: Projector) -> Projector:
    return Projector(
        matrices=p.matrices,
        image_size=p.image_size,
        size=p.size,
        device=device,
        displacements=p.displacements,
    )


def same(got: np.ndarray, expected: np.ndarray, within: float = 1e-4) -> None:
    assert got.dtype == expected.dtype
    np.testing.assert_allclose(got, expected, rtol=0, atol=within * np.abs(expected).max())


def bend(n: int, image: tuple[int, int], size: float) -> np.ndarray:
    return np.random.default_rng(4).normal(0, size, (n, 2, *image[::-1])).astype(np.float32)


@pytest.mark.parametrize("axis", [3.0, 45.0, 85.0, -95.0])
@pytest.mark.parametrize("bent", [0.0, 2.0])
@pytest.mark.parametrize(
    ("size", "image"), [((23, 19, 8), (21, 26)), ((1, 1, 1), (1, 1)), ((40, 33, 3), (64, 60))]
)
def test_projectors_agree_with_the_cpu(
    cuda: Device, axis: float, bent: float, size: tuple[int, int, int], image: tuple[int, int]
) -> None:
    rng = np.random.default_rng(1)
    p = make_projector(5, axis, size, image)
    images = rng.standard_normal((5, *image[::-1])).astype(np.float32)
    specimen = rng.standard_normal(size[::-1]).astype(np.float32)
    if not bent:
        q = on(cuda, p)
        slow = reference.back_project(images, p.matrices, size).astype(np.float32)
        same(cuda.to_host(q.back(images)), slow)
        slow = reference.project(specimen, p.matrices, image).astype(np.float32)
        same(cuda.to_host(q.forward(specimen)), slow)
        return
    p = Projector(
        matrices=p.matrices,
        image_size=image,
        size=size,
        device=CPU,
        displacements=bend(5, image, bent),
    )
    q = on(cuda, p)
    back, there = cuda.to_host(q.back(images)), cuda.to_host(q.forward(specimen))
    same(back, p.back(images))
    same(there, p.forward(specimen))
    scale = np.linalg.norm(there) * np.linalg.norm(images) + 1e-6
    assert abs(np.vdot(there.astype(float), images) - np.vdot(specimen, back)) < 1e-5 * scale
    same(cuda.to_host(q.of([1, 3]).back(images[[1, 3]])), p.of([1, 3]).back(images[[1, 3]]))


def test_large_images_keep_their_precision(cuda: Device) -> None:
    p = make_projector(3, 85.0, (2000, 9, 2), (2100, 40))
    images = np.random.default_rng(5).standard_normal((3, 40, 2100)).astype(np.float32)
    slow = reference.back_project(images, p.matrices, p.size).astype(np.float32)
    same(cuda.to_host(on(cuda, p).back(images)), slow, within=2e-4)


@pytest.mark.parametrize("axis", [2.0, 80.0])
def test_levels_and_parts_agree_with_the_cpu(cuda: Device, axis: float) -> None:
    p = make_projector(3, axis, (16, 21, 10), (16, 22))
    p.matrices[:, 2] = [0.011, 0.023, 0.3, -0.71]
    images = np.random.default_rng(3).standard_normal((3, 4, 22, 16)).astype(np.float32)
    whole, q = p.back(images), on(cuda, p)
    prepared = q.prepared(images)
    same(cuda.to_host(q.back_prepared(prepared)), whole)
    for first, last in ((0, 3), (3, 4), (4, 10)):
        same(cuda.to_host(q.part(first, last).back_prepared(prepared)), whole[first:last])


@pytest.mark.parametrize("dtype", ["int16", "uint16", "int8", "float32"])
@pytest.mark.parametrize("size", [(98, 94), (51, 77)])
@pytest.mark.parametrize("binning", [1.0, 2.0, 3.3])
def test_cropping_agrees_with_the_cpu(
    cuda: Device, dtype: str, size: tuple[int, int], binning: float
) -> None:
    rng = np.random.default_rng(6)
    image = rng.integers(-99, 99, size[::-1]).astype(dtype)
    crop = Cropping.of(size, binning)
    ours, there = crop.transform(image, CPU), crop.transform(image, cuda)
    same(cuda.to_host(there), ours)
    uneven = rng.random(ours.shape).astype(np.float32)  # the same for no wave and its conjugate
    weight = cuda.xp.asarray(uneven)
    for finer in ((1, 1), (2, 1), (1, 2)):
        got = cuda.to_host(crop.image_of(there * weight, cuda, finer))
        same(got, crop.image_of(ours * uneven, CPU, finer))


@pytest.mark.parametrize(
    ("options", "bent"),
    [
        ({}, True),
        ({"ctf": "2d", "dose": True, "threads": 2}, False),
        ({"ctf": "3d", "halves": True}, False),
        ({"method": "wiener", "ctf": "3d"}, False),
        ({"method": "sirt", "iterations": 4}, False),
        ({"method": "sirt", "iterations": 2}, True),
    ],
)
def test_reconstructions_agree_with_the_cpu(
    cuda: Device, tmp_path: Path, options: dict[str, Any], bent: bool
) -> None:
    changes: dict[str, Any] = {}
    if bent:
        normal = np.random.default_rng(2).normal(0, 2.0, (29, 72))
        changes["deformation"] = Deformation(kind="spline", grid=(3, 3), coefficients=normal)
    s = bead_set(tmp_path, **changes)
    ours = made(s, tmp_path / "cpu", binning=2, **options)
    there = made(s, tmp_path / "cuda", binning=2, device=cuda.name, **options)
    assert there.rounds == ours.rounds
    for which in ("path", "half1", "half2")[: 3 if options.get("halves") else 1]:
        same(read_volume(getattr(there, which)), read_volume(getattr(ours, which)))


def test_a_missing_gpu_is_reported(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    modules = stand_in(folder)
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    runtime: Any = modules["cupy"].cuda.runtime

    def fails() -> int:
        raise runtime.CUDARuntimeError("cudaErrorNoDevice")

    runtime.getDeviceCount = fails
    with pytest.raises(UnsupportedError, match=r"no GPU here \(cudaErrorNoDevice\)"):
        open_device("cuda")
    runtime.getDeviceCount = lambda: 0
    with pytest.raises(UnsupportedError, match="no GPU here: take --device cpu"):
        open_device("cuda")
    monkeypatch.setitem(sys.modules, "cupy", None)
    with pytest.raises(UnsupportedError, match="pip install 'tomoset\\[gpu\\]'"):
        open_device("cuda")


def test_the_stand_in_refuses_what_cupy_refuses(folder: Path) -> None:
    cupy: Any = stand_in(folder)["cupy"]
    host, device = np.ones(3, np.float32), cupy.ones(3, dtype=np.float32)
    for mixed in (
        lambda: device * host,
        lambda: host * device,
        lambda: np.sqrt(device),
        lambda: np.asarray(device),
        lambda: cupy.ascontiguousarray(host),
        lambda: cupy.where(device > 0, host, 0),
        lambda: operator.setitem(device, ..., host),
    ):
        with pytest.raises(TypeError):
            mixed()
    assert cupy.asnumpy(np.float32(2) * device + 1).tolist() == [3, 3, 3]
