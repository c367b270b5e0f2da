"""Tilt images as programs leave them: every mode and byte order, and what is damaged."""

from __future__ import annotations

import gzip
import struct
import sys
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import mrcfile
import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tests.builders.image_stacks import mrc_bytes
from tomoset.errors import FileAccessError, FileFormatError, MissingFileError, UnsupportedError
from tomoset.images.stack import open_stack, read_float32

TYPES = {0: "i1", 1: "i2", 2: "f4", 6: "u2", 12: "f2"}
SIZE = (7, 5)


def images(kind: str, n: int = 3, size: tuple[int, int] = SIZE) -> np.ndarray:
    values = np.random.default_rng(n).integers(0, 256, (n, size[1], size[0]))
    return (values - (128 if np.dtype(kind).kind != "u" else 0)).astype(kind)


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def read_all(path: Path | str) -> np.ndarray:
    with open_stack(path) as stack:
        found = np.stack([stack.read(i) for i in range(stack.n_images)])
        assert found.dtype == stack.dtype
        assert found.dtype.isnative
        assert found.shape == (stack.n_images, *stack.size[::-1])
        some = np.arange(stack.size[1])[::-2]
        rows = stack.read_rows(stack.n_images - 1, some)
        assert rows.dtype == stack.dtype
        assert rows.tobytes() == found[-1][some].tobytes()
        return found


@pytest.mark.parametrize("old", [False, True], ids=["new", "old"])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("mode", TYPES)
def test_modes_and_byte_orders(tmp_path: Path, mode: int, order: str, old: bool) -> None:
    expected = images(TYPES[mode])
    data = expected.astype(np.dtype(TYPES[mode]).newbyteorder(order)).tobytes()
    path = write(tmp_path / "a.st", mrc_bytes(data, mode, order=order, old=old, extended=80))
    assert np.array_equal(read_all(path), expected)
    with open_stack(path) as stack:
        assert (stack.size, stack.n_images, stack.pixel_size) == (SIZE, 3, 2.5)
        assert stack.dtype == TYPES[mode]
    if not old:  # mrcfile wants the stamps
        with mrcfile.open(path) as oracle:
            assert np.array_equal(oracle.data, expected)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    ("stamp", "low_high", "kind"),
    [
        ((1146047817, 0), (0, 200), "u1"),
        ((1146047817, 2), (-5, 90), "u1"),
        ((1146047817, 1), (-5, 90), "i1"),
        ((1146047817, 3), (0, 200), "i1"),
        ((0, 0), (0, 0), "i1"),
        ((0, 0), (-128, 127), "i1"),
        ((0, 0), (0, 127), "i1"),
        ((0, 0), (0, 255), "u1"),
        ((0, 1), (0, 1e9), "i1"),
    ],
)
def test_bytes_are_signed_or_not_as_imod_says(
    tmp_path: Path, order: str, stamp: tuple[int, int], low_high: tuple[float, float], kind: str
) -> None:
    expected = images(kind)
    content = mrc_bytes(expected.tobytes(), 0, order=order, stamp=stamp, low_high=low_high)
    found = read_all(write(tmp_path / "a.st", content))
    assert found.dtype == kind
    assert np.array_equal(found, expected)


@pytest.mark.parametrize("width", [6, 7])
def test_four_bits_the_low_ones_first(tmp_path: Path, width: int) -> None:
    rows = [[1, 2, 3, 4, 5, 6, 7][:width], [15, 0, 14, 1, 13, 2, 12][:width]]
    packed = bytearray()
    for row in rows:
        pairs = row + [0] * (len(row) % 2)
        packed += bytes(pairs[i] + 16 * pairs[i + 1] for i in range(0, len(pairs), 2))
    path = write(tmp_path / "a.mrc", mrc_bytes(bytes(packed), 101, 1, size=(width, 2)))
    assert read_all(path).tolist() == [rows]


@settings(max_examples=30, deadline=None)
@given(
    hnp.arrays(
        st.sampled_from([np.dtype(kind) for kind in TYPES.values()]),
        hnp.array_shapes(min_dims=3, max_dims=3, max_side=4),
    )
)
def test_whatever_mrcfile_writes_is_read(
    tmp_path_factory: pytest.TempPathFactory, data: np.ndarray
) -> None:
    path = tmp_path_factory.mktemp("any") / "a.mrcs"
    content = mrc_bytes(
        data.tobytes(),
        dict(map(reversed, TYPES.items()))[data.dtype.str[1:]],
        len(data),
        size=data.shape[:0:-1],
    )
    assert read_all(write(path, content)).tobytes() == data.tobytes()


def test_stacks_written_by_mrcfile_are_read(tmp_path: Path) -> None:
    expected = images("f4")
    with mrcfile.new(tmp_path / "a.mrc") as out:
        out.set_data(expected)
        out.set_image_stack()
        out.voxel_size = 1.5
    assert np.array_equal(read_all(f"{tmp_path / 'a.mrc'}:mrcs"), expected)
    with mrcfile.new(tmp_path / "b.mrc") as out:
        out.set_data(expected[0])
    assert np.array_equal(read_all(f"{tmp_path / 'b.mrc'}:mrc"), expected[:1])
    with open_stack(tmp_path / "a.mrc") as stack:
        assert stack.pixel_size == pytest.approx(1.5)
    with open_stack(tmp_path / "b.mrc") as stack:
        assert stack.pixel_size == 0.0


def test_real_stack_of_fei(shared: Path) -> None:
    path = shared / "data/images/etspy/HAADF.ali"
    with open_stack(path) as stack:
        assert (stack.size, stack.n_images, stack.dtype) == ((256, 256), 77, np.int16)
        low, high, mean = struct.unpack_from("<3f", path.read_bytes(), 76)
        found = np.stack([stack.read(i) for i in range(77)])
    assert (found.min(), found.max()) == (low, high)
    assert found.mean() == pytest.approx(mean, rel=1e-3)


@pytest.mark.parametrize(
    "name",
    [
        "001_mode0.mrc",
        "001_mode1.mrc",
        "001_mode2.mrc",
        "001_mode6.mrc",
        "002_mode0.st",
        "002_mode1.st",
        "002_mode2.st",
        "002_mode6.st",
    ],
)
def test_real_stacks_of_serialem(shared: Path, name: str) -> None:
    path = shared / f"data/images/tomoauto/spec/test_{name}"
    found = read_all(path)
    with mrcfile.open(path, permissive=True) as oracle:
        as_mrcfile = np.asarray(oracle.data)
        high, mean = float(oracle.header.dmax), float(oracle.header.dmean)
    assert found.tobytes() == as_mrcfile.tobytes()
    assert found.max() == pytest.approx(high, abs=0.5)
    assert found.mean() == pytest.approx(mean, abs=0.1)
    assert (found.dtype == np.uint8) if "mode0" in name else np.array_equal(found, as_mrcfile)


def test_bytes_after_the_last_image_are_no_matter(tmp_path: Path) -> None:
    expected = images("i2")
    assert np.array_equal(
        read_all(write(tmp_path / "a.st", mrc_bytes(expected.tobytes(), 1) + b"tail")), expected
    )


def test_threads_may_read_at_once(tmp_path: Path) -> None:
    expected = images("i2", 20)
    path = write(tmp_path / "a.st", mrc_bytes(expected.tobytes(), 1, 20))
    with open_stack(path) as stack, ThreadPoolExecutor(4) as pool:
        assert np.array_equal(np.stack(list(pool.map(stack.read, range(20)))), expected)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            mrc_bytes(bytes(210), 1)[:-1],
            r"3 images of 7 x 5 px need 1234 bytes, the file has 1233, .* 2 whole images; copy",
        ),
        (mrc_bytes(b"", 1), "the file has 1024, which is 0 whole images"),
        (mrc_bytes(bytes(210), 1, extended=80)[:1050], "the file has 1050, which is 0 whole"),
        (mrc_bytes(bytes(210), 1, size=(1000000, 1000000)), "0 whole images"),
        (mrc_bytes(bytes(210), 1, size=(-7, 5)), "not an MRC file"),
        (mrc_bytes(bytes(210), 1, size=(0, 5)), "not an MRC file"),
        (mrc_bytes(bytes(210), 7), "not an MRC file"),
        (mrc_bytes(bytes(420), 3), "found a Fourier transform .mode 3"),
        (mrc_bytes(bytes(840), 4), "found a Fourier transform .mode 4"),
        (mrc_bytes(bytes(315), 16), "found a colour picture"),
        (mrc_bytes(bytes(105), 0, stamp=(1146047817, 16)), "two 4-bit values .* newstack"),
        (b"", "found a file of 0"),
        (
            b"data_global\n\nloop_\n_rlnTomoName #1\nTS_01\n" * 50,
            "expected images in MRC or TIFF, found a text",
        ),
        (b"\x89PNG\r\n\x1a\n" + bytes(2000), "expected images in MRC or TIFF, found a PNG"),
        (
            gzip.compress(mrc_bytes(bytes(210), 1), mtime=0),
            r"found compressed by gzip: decompress it first .gunzip",
        ),
        (b"BZh91AY" + bytes(2000), "bunzip2"),
        (b"II*\0" + bytes(100), "expected a TIFF file"),
    ],
)
def test_files_that_are_no_stacks_are_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = write(tmp_path / "a.st", content)
    with pytest.raises(FileFormatError, match=message) as caught:
        open_stack(path)
    assert caught.value.path == str(path)


def test_absent_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError):
        open_stack(tmp_path / "a.st")
    with pytest.raises(FileFormatError, match="folder"):
        open_stack(tmp_path)


def test_rows_of_a_file_that_became_shorter(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mrc", mrc_bytes(images("i2").tobytes(), 1))
    with open_stack(path) as stack:
        path.write_bytes(path.read_bytes()[:-3])
        assert stack.read_rows(2, np.array([0, 3])).shape == (2, SIZE[0])
        with pytest.raises(FileFormatError, match="image 3 is cut short"):
            stack.read_rows(2, np.array([4]))
        with pytest.raises(FileFormatError, match="image 4 is asked for"):
            stack.read_rows(3, np.array([0]))


def test_an_image_that_is_not_there(tmp_path: Path) -> None:
    path = write(tmp_path / "a.st", mrc_bytes(bytes(210), 1))
    with open_stack(path) as stack:
        for i in (3, -1):
            with pytest.raises(FileFormatError, match=f"image {i + 1} is asked for, there are 3"):
                stack.read(i)
        path.write_bytes(path.read_bytes()[:1100])
        with pytest.raises(FileFormatError, match="image 2 is cut short"):
            stack.read(1)
        path.unlink()
        with pytest.raises(FileAccessError, match="No such file"):
            stack.read(0)


@pytest.mark.parametrize("mode", TYPES)
def test_images_are_read_as_float32(tmp_path: Path, mode: int) -> None:
    expected = images(TYPES[mode])
    path = write(tmp_path / "a.st", mrc_bytes(expected.tobytes(), mode))
    with open_stack(path) as stack:
        found = read_float32(stack, 1)
    assert found.dtype == np.float32
    assert found.flags.c_contiguous
    assert np.array_equal(found, expected[1].astype(np.float32))


@pytest.mark.parametrize("mode", [2, 12])
def test_pixels_that_are_not_finite(tmp_path: Path, mode: int) -> None:
    data = images(TYPES[mode])
    data[2, 0, 0], data[2, 1, :2] = np.nan, (np.inf, -np.inf)
    path = write(tmp_path / "a.st", mrc_bytes(data.tobytes(), mode))
    with open_stack(path) as stack:
        read_float32(stack, 1)
        with pytest.raises(FileFormatError, match=r"a\.st: image 3: 3 of 35 pixels are NaN or inf"):
            read_float32(stack, 2)


# TIFF


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", ["u1", "i2", "u2", "f4"])
def test_tiff_is_turned_bottom_up(
    tmp_path: Path, kind: str, order: str, compression: str | None
) -> None:
    expected = images(kind)
    path = tmp_path / "a.tif"
    tifffile.imwrite(
        path, expected, byteorder=order, compression=compression, photometric="minisblack"
    )
    assert np.array_equal(read_all(path), expected[:, ::-1])
    with open_stack(path) as stack:
        assert (stack.size, stack.n_images, stack.pixel_size) == (SIZE, 3, 0.0)


@pytest.mark.parametrize(
    ("resolution", "unit", "pixel_size"),
    [(1e8 / 2.5, 3, 2.5), (2.54e8 / 13.0, 2, 13.0), (300, 2, 0.0), (1e8, 1, 0.0)],
)
def test_pixel_size_of_tiff(
    tmp_path: Path, resolution: float, unit: int, pixel_size: float
) -> None:
    tifffile.imwrite(
        tmp_path / "a.tiff",
        images("u2"),
        photometric="minisblack",
        resolution=(resolution, resolution),
        resolutionunit=unit,
    )
    with open_stack(tmp_path / "a.tiff") as stack:
        assert stack.pixel_size == pytest.approx(pixel_size, rel=1e-4)


def test_tiff_of_imagej_is_read(tmp_path: Path) -> None:
    expected = images("u2")
    tifffile.imwrite(tmp_path / "a.tif", expected, imagej=True)
    assert np.array_equal(read_all(tmp_path / "a.tif"), expected[:, ::-1])


@pytest.mark.parametrize(
    ("pages", "message"),
    [
        ([np.zeros((5, 7, 3), "u1")], r"the pages are \(5, 7, 3\) uint8"),
        ([np.zeros((5, 7), "c8")], r"the pages are \(5, 7\) complex64"),
        ([np.zeros((5, 7), "u1"), np.zeros((5, 7), "u2")], "page 2 is"),
        (
            [np.zeros((5, 7), "u1"), np.zeros((6, 7), "u1")],
            r"page 2 is \(6, 7\) uint8, the first \(5, 7\) uint8",
        ),
    ],
)
def test_tiff_that_is_no_stack_is_refused(
    tmp_path: Path, pages: list[np.ndarray], message: str
) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as out:
        for page in pages:
            out.write(page, contiguous=False, metadata=None)
    with pytest.raises(FileFormatError, match=message):
        open_stack(tmp_path / "a.tif")


@pytest.mark.parametrize("part", [0.01, 0.5, 0.98])
def test_truncated_tiff_is_refused(tmp_path: Path, part: float) -> None:
    data = images("u2", 4, (40, 30))
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as out:
        for page in data:
            out.write(page, contiguous=False)
    content = path.read_bytes()
    path.write_bytes(content[: int(part * len(content))])
    with pytest.raises(FileFormatError, match=r"expected a TIFF file|image 4 is damaged"):
        read_all(path)


def test_tiff_with_a_damaged_image(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, images("u2", 3, (40, 30)), compression="zlib", photometric="minisblack")
    with tifffile.TiffFile(path) as file:
        start = file.pages[1].dataoffsets[0]
    content = bytearray(path.read_bytes())
    content[start + 20 : start + 60] = zlib.compress(b"")[:1] * 40
    path.write_bytes(content)
    with open_stack(path) as stack:
        stack.read(0)
        with pytest.raises(FileFormatError, match="image 2 is damaged"):
            stack.read(1)


def test_tiff_needs_its_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, images("u2"), photometric="minisblack")
    with open_stack(path) as stack:

        def no_codec(*_: object) -> None:
            raise ValueError("<COMPRESSION.LZW: 5> requires the 'imagecodecs' package")

        monkeypatch.setattr(tifffile.TiffPage, "asarray", no_codec)
        monkeypatch.setattr(tifffile.TiffFrame, "asarray", no_codec)
        with pytest.raises(UnsupportedError, match="pip install imagecodecs"):
            stack.read(0)
    monkeypatch.setitem(sys.modules, "tifffile", None)
    with pytest.raises(UnsupportedError, match=r"pip install tomoset\[tiff\]"):
        open_stack(path)


def test_eer_files_are_refused_as_electron_events(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", images("u2"), photometric="minisblack")
    path = (tmp_path / "a.tif").rename(tmp_path / "a.eer")
    with pytest.raises(FileFormatError, match="electron events"):
        open_stack(path)


def test_the_machine_stamp_decides_where_either_order_makes_sense(tmp_path: Path) -> None:
    # 256 = 0x100 is a size in both byte orders: 0x00010000 is 65536.
    header = bytearray(1024)
    struct.pack_into(">4i", header, 0, 256, 256, 256, 0)
    header[212:216] = b"\x11\x11\0\0"
    path = tmp_path / "big.mrc"
    path.write_bytes(bytes(header) + bytes(256**3))
    assert open_stack(path).size == (256, 256)
    assert open_stack(path).n_images == 256


def test_several_threads_read_one_tiff(tmp_path: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    images = np.stack([np.full((128, 512), i, "f4") for i in range(41)])
    path = tmp_path / "many.tif"
    tifffile.imwrite(path, images, photometric="minisblack", metadata=None)
    with open_stack(path) as stack, ThreadPoolExecutor(8) as pool:
        for _ in range(10):
            for i, image in enumerate(pool.map(stack.read, range(41))):
                assert (image == i).all()
