"""The header of MRC, field by field, against the package mrcfile."""

from __future__ import annotations

from pathlib import Path

import mrcfile
import numpy as np
import pytest
from mrcfile.dtypes import HEADER_DTYPE

from tomoset.images import mrc
from tomoset.images.stack import read_header
from tomoset.images.statistics import Statistics, Values

#: Our fields by those of mrcfile.
SAME = {
    "size": ("nx", "ny", "nz"),
    "mode": ("mode",),
    "start": ("nxstart", "nystart", "nzstart"),
    "sampling": ("mx", "my", "mz"),
    "cell": ("cella",),
    "angles": ("cellb",),
    "axes": ("mapc", "mapr", "maps"),
    "values": ("dmin", "dmax", "dmean"),
    "space_group": ("ispg",),
    "extended": ("nsymbt",),
    "extended_type": ("exttyp",),
    "version": ("nversion",),
    "origin": ("origin",),
    "map": ("map",),
    "rms": ("rms",),
    "n_labels": ("nlabl",),
    "labels": ("label",),
}


def flat(value: object) -> list[object]:
    """The values of a field of mrcfile, in the order of the file."""
    found = np.asarray(value).tolist()
    return list(found) if isinstance(found, list | tuple) else [found]


@pytest.mark.parametrize("order", ["<", ">"])
def test_fields_are_where_mrcfile_has_them(order: str) -> None:
    raw = bytearray(np.random.default_rng(1).integers(1, 100, 1024, dtype=np.uint8).tobytes())
    raw[:16] = np.array([7, 5, 3, 2], f"{order}i4").tobytes()
    raw[212:216] = b"\x11\x11\0\0" if order == ">" else b"DD\0\0"
    ours = mrc.parse_header(bytes(raw), "a.mrc")
    theirs = np.frombuffer(bytes(raw), HEADER_DTYPE.newbyteorder(order))[0]
    assert ours.byte_order == order
    for name, names in SAME.items():
        expected = [value for other in names for value in flat(theirs[other])]
        assert list(ours.field(name)) == expected, name
    assert set(mrc.FIELDS) - set(SAME) == {
        *("extra", "extra_of_imod", "imod_stamp", "tilts_of_imod", "machine_stamp")
    }


@pytest.mark.parametrize("kind", ["i1", "i2", "f4", "u2", "f2"])
@pytest.mark.parametrize("origin", [None, (1.0, -2.0, 3.0)])
def test_new_files_are_what_mrcfile_reads(
    tmp_path: Path, kind: str, origin: tuple[float, float, float] | None
) -> None:
    pixels = np.random.default_rng(2).integers(0, 10, (4, 5, 6)).astype(kind)
    of = Statistics()
    of.add(pixels)
    labels = ["one", "two " * 30]
    header = mrc.new_header((6, 5, 4), kind, 2.5, of.values, labels, origin)
    path = tmp_path / "a.mrc"
    path.write_bytes(header + pixels.tobytes())
    assert mrcfile.validate(path)
    with mrcfile.open(path) as file:
        assert np.array_equal(file.data, pixels)
        assert file.is_volume() == (origin is not None)
        assert file.voxel_size.tolist() == (2.5, 2.5, 2.5)
        assert file.header.origin.tolist() == (origin or (0, 0, 0))
        assert [label.rstrip() for label in file.get_labels()] == ["one", ("two " * 20).rstrip()]
        assert float(file.header.rms) == pytest.approx(pixels.astype(float).std(), rel=1e-6)
    found = read_header(path)
    assert (found.size, found.n_images, found.pixel_size) == ((6, 5), 4, 2.5)


def test_no_more_than_ten_labels() -> None:
    old = mrc.new_header((1, 1, 1), "f4", 1.0, Values(), [f"label {i}" for i in range(12)])
    header = mrc.parse_header(old, "a.mrc")
    assert header.field("n_labels") == (10,)
    assert header.field("labels")[9].rstrip() == b"label 9"
    assert mrc.header_like(header, 1, Values(), "more") == old


@pytest.mark.parametrize("pixels", [[], [1.0, np.nan], [1.0, -np.inf]])
def test_statistics_that_are_unknown(pixels: list[float]) -> None:
    of = Statistics()
    of.add(np.array(pixels, np.float32))
    assert of.values == Values(0, -1, -2, -1)
