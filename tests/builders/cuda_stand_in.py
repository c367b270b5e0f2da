"""CuPy and its GPU for machines that have none, as strict as they are.

Kernels are compiled as C++, their threads run one after the other, and what CuPy refuses is
refused: arrays of the host where those of the device belong.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
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

from tomoset.errors import UnsupportedError
from tomoset.images.device import Device, open_device

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


#: What C++ calls the numbers of an array.
KINDS = {"float32": "float", "float64": "double", "int32": "int"}


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
        self.held[at.held if isinstance(at, Array) else at] = bare(value)

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
            assert (kind, type(value)) in (("int", np.int32), ("float", np.float32))
            return np.asarray(value)
        assert isinstance(value, Array), "a kernel was given an array of the host"
        assert value.held.flags.c_contiguous
        assert KINDS[str(value.held.dtype)] in kind.split()
        return value.held


@functools.cache
def kernels(folder: Path, code: str, options: tuple[str, ...]) -> dict[str, Kernel]:
    """Compiled once for all tests."""
    found = re.findall(r"__global__ void (\w+)\((.*?)\)", code.replace("__restrict__", ""), re.S)
    launchers = [LAUNCHER.replace("NAME", name) for name, _ in found]
    name = hashlib.sha256(code.encode()).hexdigest()[:8]
    text = BEFORE_KERNELS + code + BEHIND_KERNELS + "".join(launchers)
    (folder / f"{name}.cpp").write_text(text)
    flags = [option for option in options if option.startswith("-D")]
    command = ["g++", "-std=c++14", "-O2", "-shared", "-fPIC", *flags]
    subprocess.run([*command, f"{name}.cpp", "-o", f"{name}.so"], cwd=folder, check=True)
    library = ctypes.CDLL(str(folder / f"{name}.so"))
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


def cuda_device(which: str, monkeypatch: pytest.MonkeyPatch, folder: Path) -> Device:
    """The CUDA device: the real one (``GPU``), or the stand-in. Skips if there is none."""
    if which == "GPU":
        try:
            return open_device("cuda")
        except UnsupportedError as problem:
            pytest.skip(str(problem))
    if shutil.which("g++") is None:
        pytest.skip("there is no g++ to compile the CUDA kernels as C++")
    for name, module in stand_in(folder).items():
        monkeypatch.setitem(sys.modules, name, module)
    return open_device("cuda")
