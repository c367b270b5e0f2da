"""Volumes written slab by slab: what others read back, and what remains when it goes wrong."""

from __future__ import annotations

import errno
import io
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mrcfile
import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from tomoset.errors import FileAccessError, ModelError, UnsupportedError
from tomoset.files import together
from tomoset.images.stack import open_stack
from tomoset.images.volume import VolumeSpec, VolumeWriter, ZarrWriter, int8_scale, open_volume

SIZE = (21, 13, 9)
SCALE = int8_scale(-8.0, 12.0)


def volume(size: tuple[int, int, int] = SIZE) -> np.ndarray:
    return np.random.default_rng(3).normal(2.0, 2.5, size[::-1]).astype(np.float32)


def spec(dtype: str = "float32", size: tuple[int, int, int] = SIZE) -> VolumeSpec:
    scale = SCALE if dtype == "int8" else None
    return VolumeSpec(
        size=size, pixel_size=2.5, origin=(10.0, -20.0, 30.0), dtype=dtype, scale=scale
    )


def as_stored(values: np.ndarray, dtype: str) -> np.ndarray:
    if dtype != "int8":
        return values.astype(dtype)
    offset, factor = SCALE
    return np.clip(np.round((values - offset) * factor), -127, 127).astype(np.int8)


def put(path: Path, values: np.ndarray, about: VolumeSpec, step: int = 4) -> None:
    with open_volume(path, about) as out:
        for z in range(0, len(values), step):
            out.write(values[z : z + step])


@pytest.mark.parametrize("dtype", ["float32", "float16", "int8"])
def test_mrc_as_mrcfile_reads_it(tmp_path: Path, dtype: str) -> None:
    values, path = volume(), tmp_path / "a.mrc"
    put(path, values, spec(dtype))
    expected = as_stored(values, dtype)
    assert mrcfile.validate(path, print_file=io.StringIO())
    with mrcfile.open(path) as found:
        header = found.header
        assert np.array_equal(found.data, expected)
        assert found.data.dtype == dtype
        assert found.is_volume()
        assert found.voxel_size.tolist() == (2.5, 2.5, 2.5)
        assert header.origin.tolist() == (10.0, -20.0, 30.0)
        assert header.cellb.tolist() == (90, 90, 90)
        assert (header.mx, header.my, header.mz) == SIZE
        wide = expected.astype(np.float64)
        statistics = (header.dmin, header.dmax, header.dmean, header.rms)
        assert statistics == pytest.approx(
            (wide.min(), wide.max(), wide.mean(), wide.std()), rel=1e-6
        )
        labels = found.get_labels()
    assert labels[0].startswith("tomoset ")
    assert labels[0].rstrip().endswith(": tomogram")
    assert len(labels) == 1 + (dtype == "int8")


@settings(max_examples=25, deadline=None)
@given(
    st.tuples(*[st.integers(1, 6)] * 3),
    st.integers(1, 7),
    st.sampled_from(["float32", "float16", "int8"]),
)
def test_the_size_of_slabs_does_not_change_the_file(
    tmp_path_factory: pytest.TempPathFactory, size: tuple[int, int, int], step: int, dtype: str
) -> None:
    path = tmp_path_factory.mktemp("any") / "a.rec"
    put(path, volume(size), spec(dtype, size), step)
    with open_stack(path) as stack:
        found = np.stack([stack.read(i) for i in range(stack.n_images)])
    assert np.array_equal(found, as_stored(volume(size), dtype))


@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_statistics_far_from_zero_and_over_many_blocks(tmp_path: Path, offset: float) -> None:
    size = (200, 150, 5)
    values = (volume(size) + offset).astype(np.float32)
    put(tmp_path / "a.mrc", values, spec(size=size), 2)
    with mrcfile.open(tmp_path / "a.mrc") as found:
        assert float(found.header.rms) == pytest.approx(values.astype(np.float64).std(), rel=1e-6)
        assert float(found.header.dmean) == pytest.approx(
            values.astype(np.float64).mean(), rel=1e-6
        )


@pytest.mark.parametrize("dtype", ["float32", "float16", "int8"])
def test_any_kind_of_array_is_written(tmp_path: Path, dtype: str) -> None:
    values = volume()
    put(tmp_path / "a.mrc", np.asfortranarray(values.astype(">f8")), spec(dtype))
    with mrcfile.open(tmp_path / "a.mrc") as found:
        assert np.array_equal(found.data, as_stored(values, dtype))


def test_int8_spans_what_is_given() -> None:
    offset, factor = int8_scale(-3.0, 13.0)
    assert ((-3.0 - offset) * factor, (13.0 - offset) * factor) == (-127.0, 127.0)
    with pytest.raises(ModelError, match="from low to high"):
        int8_scale(1.0, 1.0)


def test_together_with_other_files(tmp_path: Path) -> None:
    with together() as files:
        with VolumeWriter(tmp_path / "a.mrc", spec()) as out:
            out.write(volume())
        files.write(tmp_path / "log.txt", b"done")
        assert not (tmp_path / "a.mrc").exists()
    with mrcfile.open(tmp_path / "a.mrc") as found:
        assert np.array_equal(found.data, volume())


# What goes wrong, for both formats

SUFFIXES = pytest.mark.parametrize("suffix", [".mrc", ".zarr"])


@SUFFIXES
@pytest.mark.parametrize(
    ("slab", "message"),
    [
        (volume()[:8], "expected 9 slices, found 8"),
        (np.zeros((10, 13, 21), "f4"), "expected 9 slices, found 10"),
        (np.zeros((9, 21, 13), "f4"), r"expected slices of \(13, 21\), found \(9, 21, 13\)"),
        (np.zeros((13, 21), "f4"), "expected slices of"),
        (np.full((9, 13, 21), np.nan, "f4"), "slices 0 to 8 hold NaN"),
        (np.full((9, 13, 21), -np.inf, "f4"), "slices 0 to 8 hold NaN"),
    ],
)
@pytest.mark.parametrize("dtype", ["float32", "int8"])
def test_slices_of_wrong_shape_are_refused(
    tmp_path: Path, suffix: str, slab: np.ndarray, message: str, dtype: str
) -> None:
    with (
        pytest.raises(ModelError, match=rf"a\{suffix}: {message}"),
        open_volume(tmp_path / f"a{suffix}", spec(dtype)) as out,
    ):
        out.write(slab)
    assert not list(tmp_path.iterdir())


@SUFFIXES
def test_values_too_large_for_float16(tmp_path: Path, suffix: str) -> None:
    with (
        pytest.raises(ModelError, match="too large for float16"),
        open_volume(tmp_path / f"a{suffix}", spec("float16")) as out,
    ):
        out.write(np.full((9, 13, 21), 1e5, "f4"))
    assert not list(tmp_path.iterdir())


def no_space(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class Full(io.FileIO):
    """A file on a disk that is full after the header."""

    def write(self, content: Any) -> int:
        if self.tell() + memoryview(content).nbytes > 1024:
            no_space()
        return super().write(content)


def test_full_disk_leaves_the_old_mrc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.mrc"
    path.write_bytes(b"old")
    monkeypatch.setattr("builtins.open", lambda name, mode, **_: Full(name, mode))
    with pytest.raises(OSError, match="No space left") as caught:
        put(path, volume(), spec())
    assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, str(path))
    assert [x.name for x in tmp_path.iterdir()] == ["a.mrc"]
    assert path.read_bytes() == b"old"


def test_full_disk_leaves_the_old_zarr(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.zarr"
    put(path, volume(), spec())
    monkeypatch.setattr("zarr.storage.LocalStore.set", no_space)
    with pytest.raises(OSError, match="No space left") as caught:
        put(path, volume() + 1, spec())
    assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, str(path))
    assert [x.name for x in tmp_path.iterdir()] == ["a.zarr"]
    monkeypatch.undo()
    assert np.array_equal(zarr.open_array(path / "0", mode="r")[:], volume())


@SUFFIXES
def test_an_error_of_the_caller_leaves_nothing(tmp_path: Path, suffix: str) -> None:
    def interrupted() -> None:
        with open_volume(tmp_path / f"a{suffix}", spec()) as out:
            out.write(volume()[:3])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"size": (0, 1, 1)}, "a volume with voxels"),
        ({"pixel_size": 0.0}, "pixel size above 0"),
        ({"pixel_size": float("nan")}, "pixel size above 0"),
        ({"dtype": "float64"}, "expected int8, float32, float16"),
        ({"dtype": "int8"}, "int8 needs a scale"),
    ],
)
def test_impossible_volumes_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        VolumeSpec(**{"size": SIZE, "pixel_size": 1.0, **change})


def test_the_suffix_decides_the_format(tmp_path: Path) -> None:
    assert isinstance(open_volume("a.MRC", spec()), VolumeWriter)
    assert isinstance(open_volume(tmp_path / "a.zarr", spec()), ZarrWriter)
    with pytest.raises(UnsupportedError, match=r"a\.hdf: expected .* \.mrc, \.rec or \.zarr"):
        open_volume("a.hdf", spec())


# OME-Zarr


def halved(values: np.ndarray) -> np.ndarray:
    """Means of 2 x 2 x 2, one by one."""
    padded = np.pad(values, [(0, n % 2) for n in values.shape], mode="edge")
    found = np.empty([n // 2 for n in padded.shape])
    for z, y, x in np.ndindex(*found.shape):
        found[z, y, x] = padded[2 * z : 2 * z + 2, 2 * y : 2 * y + 2, 2 * x : 2 * x + 2].mean()
    return found


@pytest.mark.parametrize("dtype", ["float32", "float16", "int8"])
@pytest.mark.parametrize("size", [(21, 13, 9), (6, 5, 71), (1, 1, 1)])
def test_levels_of_zarr_are_averages(
    tmp_path: Path, size: tuple[int, int, int], dtype: str
) -> None:
    path, values = tmp_path / "TS_01.zarr", volume(size)
    put(path, values, spec(dtype, size), 7)
    group = zarr.open_group(path, mode="r")
    expected = values.astype(np.float64)
    for level in range(3):
        array = group[str(level)]
        assert array.dtype == dtype
        assert array.metadata.dimension_names == ("z", "y", "x")
        tolerance = 1 if dtype == "int8" else 1e-2 if dtype == "float16" else 1e-5
        stored = as_stored(expected, dtype).astype(np.float64)
        assert np.allclose(array[:].astype(np.float64), stored, atol=tolerance if level else 0)
        expected = halved(expected)


def test_metadata_of_zarr_are_ome_ngff(tmp_path: Path) -> None:
    path = tmp_path / "TS_01.zarr"
    put(path, volume(), spec())
    found = json.loads((path / "zarr.json").read_text())
    assert (found["zarr_format"], found["node_type"]) == (3, "group")
    ome = found["attributes"]["ome"]
    assert ome["version"] == "0.5"
    (image,) = ome["multiscales"]
    assert image["name"] == "TS_01"
    assert image["axes"] == [{"name": x, "type": "space", "unit": "angstrom"} for x in "zyx"]
    steps = [
        [t[t["type"]] for t in level["coordinateTransformations"]] for level in image["datasets"]
    ]
    assert steps == [
        [[2.5] * 3, [30.0, -20.0, 10.0]],
        [[5.0] * 3, [31.25, -18.75, 11.25]],
        [[10.0] * 3, [33.75, -16.25, 13.75]],
    ]


def test_zarr_replaces_zarr_only(tmp_path: Path) -> None:
    path = tmp_path / "a.zarr"
    put(path, volume(), spec())
    put(path, volume() + 1, spec())
    assert np.array_equal(zarr.open_array(path / "0", mode="r")[:], volume() + 1)
    assert [x.name for x in tmp_path.iterdir()] == ["a.zarr"]
    (tmp_path / "b.zarr").mkdir()
    (tmp_path / "b.zarr/thesis.txt").write_text("dear")
    with pytest.raises(FileAccessError, match=r"b\.zarr is there and is no Zarr"):
        put(tmp_path / "b.zarr", volume(), spec())
    assert (tmp_path / "b.zarr/thesis.txt").read_text() == "dear"


def test_zarr_that_cannot_take_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.zarr"
    put(path, volume(), spec())
    replace: Callable[[str, str], None] = os.replace

    def fail(new: str, target: str) -> None:
        if target == str(path) and new.endswith(".new"):
            raise PermissionError(errno.EACCES, "no", new, target)
        replace(new, target)

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(PermissionError) as caught:
        put(path, volume() + 1, spec())
    assert caught.value.filename == str(path)
    assert np.array_equal(zarr.open_array(path / "0", mode="r")[:], volume())
    assert [x.name for x in tmp_path.iterdir()] == ["a.zarr"]


def test_zarr_needs_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "zarr", None)
    with (
        pytest.raises(UnsupportedError, match=r"pip install tomoset\[zarr\]"),
        open_volume(tmp_path / "a.zarr", spec()),
    ):
        pass
    assert not list(tmp_path.iterdir())


def test_bytes_in_zarr_say_what_they_mean(tmp_path: Path) -> None:
    spec = VolumeSpec(size=(4, 3, 2), pixel_size=1.0, dtype="int8", scale=int8_scale(-8.0, 8.0))
    with ZarrWriter(tmp_path / "a.zarr", spec) as out:
        out.write(np.full((2, 3, 4), 4.0, np.float32))
    said = zarr.open_group(tmp_path / "a.zarr", mode="r").attrs["grey_scale"]
    factor, offset = map(float, str(said).removeprefix("value = stored / ").split(" + "))
    stored = np.asarray(zarr.open_array(tmp_path / "a.zarr/0", mode="r")[:])
    np.testing.assert_allclose(stored / factor + offset, 4.0, atol=0.07)
