"""The CUDA path against the CPU's: on a GPU, or on a stand-in that is as strict as CuPy.

The stand-in compiles the kernels as C++, runs their threads one after the other, and refuses
what CuPy refuses: arrays of the host where those of the device belong.
"""

from __future__ import annotations

import ctypes
import functools
import operator
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import scipy.fft

from tests.test_images_projector import CPU, make
from tests.test_reconstruct import bead_set, made, volume
from tomoset.errors import UnsupportedError
from tomoset.images import reference
from tomoset.images.device import Device, open_device
from tomoset.images.fourier import Cropping
from tomoset.images.projector import Projector
from tomoset.model import Deformation

#: What nvcc knows and g++ does not, and how kernels are launched, as cuLaunchKernel has it.
BEFORE_KERNELS = """
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <utility>
#define __global__
#define __device__
struct Three { unsigned x, y, z; };
static Three threadIdx, blockIdx, blockDim;
static inline void atomicAdd(float *at, float value) { *at += value; }
using std::min;
"""
BEHIND_KERNELS = """
template <class... A, size_t... I>
static void everywhere(void (*kernel)(A...), void **given, const unsigned *grid,
                       const unsigned *block, std::index_sequence<I...>)
{
    blockDim = {block[0], block[1], block[2]};
    for (unsigned b = 0; b < grid[0] * grid[1] * grid[2]; b++)
        for (unsigned t = 0; t < block[0] * block[1] * block[2]; t++) {
            blockIdx = {b % grid[0], b / grid[0] % grid[1], b / grid[0] / grid[1]};
            threadIdx = {t % block[0], t / block[0] % block[1], t / block[0] / block[1]};
            kernel(*(A *)given[I]...);
        }
}
template <class... A>
static void launch(void (*kernel)(A...), void **given, const unsigned *grid, const unsigned *block)
{
    everywhere(kernel, given, grid, block, std::index_sequence_for<A...>{});
}
"""
LAUNCHER = """
extern "C" void launch_NAME(void **given, const unsigned *grid, const unsigned *block)
{
    launch(NAME, given, grid, block);
}
"""


class Array:
    """An array of the stand-in: meets its like and scalars only."""

    __array_ufunc__ = None  # NumPy leaves operators to this class

    def __init__(self, held: np.ndarray) -> None:
        self.held = held

    def __array__(self, *_: object, **__: object) -> np.ndarray:
        raise TypeError("Implicit conversion to a NumPy array is not allowed.")

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # ways by which NumPy would get hold of it
            raise AttributeError(name)
        value = getattr(self.held, name)
        return on_device(value) if callable(value) else wrapped(value)

    def __getitem__(self, at: Any) -> Array:
        return Array(np.asarray(self.held[at.held if isinstance(at, Array) else at]))

    def __setitem__(self, at: Any, value: Any) -> None:
        self.held[at] = bare(value)

    def __len__(self) -> int:
        return len(self.held)

    def __float__(self) -> float:
        return float(self.held)

    def __int__(self) -> int:
        return int(self.held)

    def __invert__(self) -> Array:
        return Array(~self.held)


def bare(value: Any) -> Any:
    """What the device's functions work on."""
    if isinstance(value, Array):
        return value.held
    if isinstance(value, np.ndarray):
        raise TypeError(f"Unsupported type {type(value)}")
    return [bare(v) for v in value] if isinstance(value, list) else value


def wrapped(value: Any) -> Any:
    return Array(np.asarray(value)) if isinstance(value, np.ndarray | np.generic) else value


def on_device(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function of NumPy or scipy, for arrays of the stand-in."""

    def call(*given: Any, **named: Any) -> Any:
        return wrapped(function(*map(bare, given), **{k: bare(v) for k, v in named.items()}))

    return call


def _operator(name: str) -> Callable[[Array, Any], Array]:
    plain, known = name.removeprefix("r"), hasattr(operator, f"__{name}__")
    function = getattr(operator, f"__{name if known else plain}__")

    def apply(self: Array, other: Any) -> Array:
        other = bare(other)
        if known and name.startswith("i"):
            self.held = function(self.held, other)
            return self
        return Array(np.asarray(function(*((self.held, other) if known else (other, self.held)))))

    return apply


for _name in (
    "add",
    "sub",
    "mul",
    "truediv",
    "matmul",
    "and",
    "pow",
    "gt",
    "lt",
    "ge",
    "le",
    "radd",
):
    setattr(Array, f"__{_name}__", _operator(_name))
for _name in ("rsub", "rmul", "rtruediv", "rand", "iadd", "isub", "imul", "itruediv"):
    setattr(Array, f"__{_name}__", _operator(_name))


class Stand(ModuleType):
    """A module whose functions are another's, for arrays of the stand-in."""

    def __init__(self, name: str, behind: Any) -> None:
        super().__init__(name)
        self._behind = behind

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._behind, name)
        return on_device(value) if callable(value) and not isinstance(value, type) else value


class Kernel:
    """A kernel in C++, launched as CuPy's functions are."""

    def __init__(self, launch: Any, parameters: str) -> None:
        self._launch = launch
        self._kinds = [" ".join(p.split()[:-1]) for p in parameters.split(",")]

    def __call__(self, grid: Any, block: Any, given: Any) -> None:
        assert len(given) == len(self._kinds)
        held = [self._checked(kind, value) for kind, value in zip(self._kinds, given, strict=True)]
        pointers = [ctypes.c_void_p(h.ctypes.data) for h in held]
        by_address = (ctypes.c_void_p * len(held))(
            *(
                ctypes.addressof(p) if isinstance(value, Array) else p.value
                for p, value in zip(pointers, given, strict=True)
            )
        )
        three = [(ctypes.c_uint * 3)(*(*n, 1, 1)[:3]) for n in (grid, block)]
        self._launch(by_address, *three)

    def _checked(self, kind: str, value: Any) -> np.ndarray:
        """Nobody checks this on a GPU: width, memory order, and where an array is."""
        if "*" not in kind:
            assert (kind, type(value)) == ("int", np.int32)
            return np.asarray(value)
        assert isinstance(value, Array), "a kernel was given an array of the host"
        assert value.held.flags.c_contiguous
        assert {"float32": "float", "float64": "double"}[str(value.held.dtype)] in kind.split()
        return value.held


@functools.cache
def kernels(folder: Path, code: str, options: tuple[str, ...]) -> dict[str, Kernel]:
    """Compiled once for all tests."""
    found = re.findall(r"__global__ void (\w+)\((.*?)\)", code.replace("__restrict__", ""), re.S)
    launchers = [LAUNCHER.replace("NAME", name) for name, _ in found]
    (folder / "kernels.cpp").write_text(BEFORE_KERNELS + code + BEHIND_KERNELS + "".join(launchers))
    flags = [option for option in options if option.startswith("-D")]
    command = ["g++", "-std=c++14", "-O2", "-shared", "-fPIC", *flags]
    subprocess.run([*command, "kernels.cpp", "-o", "kernels.so"], cwd=folder, check=True)
    library = ctypes.CDLL(str(folder / "kernels.so"))
    return {
        name: Kernel(library[f"launch_{name}"], re.sub(r"\s*\*\s*", " * ", p)) for name, p in found
    }


def stand_in(folder: Path) -> dict[str, ModuleType]:
    """Modules cupy and cupyx."""
    cupy = Stand("cupy", np)

    def asarray(value: Any, dtype: Any = None, order: str | None = None) -> Array:
        host = value.held if isinstance(value, Array) else value
        known = np.asarray(host, dtype=dtype, order=order)  # type: ignore[call-overload]
        return Array(known if isinstance(value, Array) else known.copy())

    class RawModule:
        def __init__(self, *, code: str, options: tuple[str, ...]) -> None:
            self.get_function = kernels(folder, code, options).__getitem__

    class CUDARuntimeError(RuntimeError):
        pass

    cupy.asarray = asarray
    cupy.asnumpy = lambda array: array.held.copy()
    cupy.RawModule = RawModule
    cupy.cuda = ModuleType("cupy.cuda")
    cupy.cuda.runtime = ModuleType("cupy.cuda.runtime")
    cupy.cuda.runtime.getDeviceCount = lambda: 1
    cupy.cuda.runtime.CUDARuntimeError = CUDARuntimeError
    cupyx, cupyx.scipy = ModuleType("cupyx"), ModuleType("cupyx.scipy")
    cupyx.scipy.fft = Stand("cupyx.scipy.fft", scipy.fft)
    modules = (cupy, cupyx, cupyx.scipy, cupyx.scipy.fft)
    return dict(zip(("cupy", "cupyx", "cupyx.scipy", "cupyx.scipy.fft"), modules, strict=True))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("kernels")


@pytest.fixture(params=["GPU", "stand-in"])
def cuda(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, folder: Path) -> Device:
    """The CUDA device: the real one, or the stand-in."""
    if request.param == "GPU":
        try:
            return open_device("cuda")
        except UnsupportedError as problem:
            pytest.skip(str(problem))
    if shutil.which("g++") is None:
        pytest.skip("there is no g++ to compile the CUDA kernels as C++")
    for name, module in stand_in(folder).items():
        monkeypatch.setitem(sys.modules, name, module)
    return open_device("cuda")


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
def test_projectors(
    cuda: Device, axis: float, bent: float, size: tuple[int, int, int], image: tuple[int, int]
) -> None:
    rng = np.random.default_rng(1)
    p = make(5, axis, size, image)
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
    p = make(3, 85.0, (2000, 9, 2), (2100, 40))
    images = np.random.default_rng(5).standard_normal((3, 40, 2100)).astype(np.float32)
    slow = reference.back_project(images, p.matrices, p.size).astype(np.float32)
    same(cuda.to_host(on(cuda, p).back(images)), slow, within=2e-4)


@pytest.mark.parametrize("axis", [2.0, 80.0])
def test_levels_and_parts(cuda: Device, axis: float) -> None:
    p = make(3, axis, (16, 21, 10), (16, 22))
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
def test_cropping(cuda: Device, dtype: str, size: tuple[int, int], binning: float) -> None:
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
def test_tomograms(cuda: Device, tmp_path: Path, options: dict[str, Any], bent: bool) -> None:
    changes: dict[str, Any] = {}
    if bent:
        normal = np.random.default_rng(2).normal(0, 2.0, (29, 72))
        changes["deformation"] = Deformation(kind="spline", grid=(3, 3), coefficients=normal)
    s = bead_set(tmp_path, **changes)
    ours = made(s, tmp_path / "cpu", binning=2, **options)
    there = made(s, tmp_path / "cuda", binning=2, device=cuda.name, **options)
    assert there["rounds"] == ours["rounds"]
    for which in ("path", "half1", "half2")[: 3 if options.get("halves") else 1]:
        same(volume(str(there[which])), volume(str(ours[which])))


def test_no_gpu_is_said(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
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
