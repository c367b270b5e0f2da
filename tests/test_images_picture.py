"""Pictures of tomograms, decoded by other means than those that wrote them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.builders.pictures import GROUND, WHITE, decode
from tomoset.errors import ModelError
from tomoset.images.drawing import text
from tomoset.images.picture import _nice_length, write_slices_png


def slices(volume: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    nz, ny, nx = volume.shape
    return volume[nz // 2], volume[:, ny // 2], volume[:, :, nx // 2]


def noise(shape: tuple[int, int, int]) -> np.ndarray:
    return np.random.default_rng(5).normal(0, 1, shape).astype(np.float32)


def test_slices_lie_where_they_should_with_y_upwards(tmp_path: Path) -> None:
    volume = noise((60, 320, 400))
    volume[:, 20:40, 100:140] = 50  # low y, left of the middle, all z
    write_slices_png(tmp_path / "a.png", *slices(volume), 0.0, "TS_01")
    picture, _ = decode(tmp_path / "a.png")
    margin, gap = 16, 8
    assert picture.shape == (320 + 60 + 2 * margin + gap, 400 + 60 + 2 * margin + gap)
    assert (picture[:margin] == GROUND).all()
    assert (picture[margin + 320 + gap :, margin + 400 + gap :] == GROUND).all()
    xy = picture[margin : margin + 320, margin : margin + 400]
    assert (xy[320 - 40 : 320 - 20, 100:140] == 255).all()  # y upwards
    assert (xy[20:40, 100:140] != 255).any()


def test_z_increases_away_from_the_xy_slice(tmp_path: Path) -> None:
    volume = noise((60, 320, 400))
    volume[:10] = 50
    write_slices_png(tmp_path / "a.png", *slices(volume), 0.0, "")
    picture, _ = decode(tmp_path / "a.png")
    assert (picture[16 + 320 + 8 :][:10, 100:400] == 255).all()
    assert (picture[100:330, 16 + 400 + 8 :][:, :10] == 255).all()


def test_the_scale_bar_has_its_length(tmp_path: Path) -> None:
    volume = np.zeros((40, 320, 400), np.float32)
    write_slices_png(tmp_path / "a.png", *slices(volume), 6.25, "")
    picture, _ = decode(tmp_path / "a.png")
    rows = (picture[: 16 + 320] == WHITE).sum(1)
    assert rows[-20:].max() == 80  # 50 nm; a quarter of the width would be 62.5 nm
    assert np.count_nonzero(rows == 80) == 4


@pytest.mark.parametrize(
    ("longest", "length", "label"),
    [
        (800.0, 500.0, "50 nm"),
        (1000.0, 1000.0, "100 nm"),
        (12000.0, 10000.0, "1 µm"),
        (9999.0, 5000.0, "500 nm"),
        (299.0, 200.0, "20 nm"),
        (9.0, 5.0, "5 A"),
        (0.4, 1.0, "1 Å"),
    ],
)
def test_lengths_of_scale_bars_are_round(longest: float, length: float, label: str) -> None:
    assert _nice_length(longest) == (pytest.approx(length), label)
    assert text(label, 2).shape == (14, 2 * (6 * len(label) - 1))


def test_large_slices_are_averaged(tmp_path: Path) -> None:
    xy = np.ones((1701, 3001), np.float32)
    xy[:, ::2] = 3  # 2 where columns are averaged in pairs
    xy[-101:] = 0  # the top, black
    xz, yz = np.full((7, 3001), 4.0, np.float32), np.full((7, 1701), 4.0, np.float32)
    write_slices_png(tmp_path / "a.png", xy, xz, yz, 0.0, "")
    picture, _ = decode(tmp_path / "a.png")
    assert max(picture.shape) < 1650
    assert picture.shape[1] > 1500
    xy = picture[24:874, 24 : 24 + 1501]  # three dots of a letter are the margin
    assert (xy[:50, 100:] == 0).all()
    assert len(np.unique(xy[52:, 100:-1])) == 1


def test_small_slices_are_repeated(tmp_path: Path) -> None:
    write_slices_png(tmp_path / "a.png", *slices(noise((6, 40, 50))), 10.0, "")
    picture, _ = decode(tmp_path / "a.png")
    assert 500 < max(picture.shape) < 700
    assert len(set(map(bytes, picture[300:310, 16:400]))) <= 2


def test_contrast_is_robust(tmp_path: Path) -> None:
    volume = noise((60, 320, 400))
    volume[30, 5, 5], volume[30, 6, 6] = 1e6, -1e6
    write_slices_png(tmp_path / "a.png", *slices(volume), 0.0, "")
    picture, _ = decode(tmp_path / "a.png")
    inside = picture[60:300, 60:400]
    assert inside.std() > 40
    assert 110 < inside.mean() < 145


@pytest.mark.parametrize("value", [0.0, 7.0, np.nan, np.inf])
def test_slices_without_contrast(tmp_path: Path, value: float) -> None:
    volume = np.full((1, 3, 2), value, np.float32)
    write_slices_png(tmp_path / "a.png", *slices(volume), 1.35, "")
    decode(tmp_path / "a.png")


def test_the_title_is_written_into_the_file(tmp_path: Path) -> None:
    write_slices_png(tmp_path / "a.png", *slices(noise((6, 40, 50))), 1.35, "TS_01 å")
    _, chunks = decode(tmp_path / "a.png")
    assert chunks[b"iTXt"] == b"Title\0\0\0\0\0" + "TS_01 å".encode()
    assert chunks[b"tEXt"].startswith(b"Software\0tomoset ")


def test_slices_of_different_volumes(tmp_path: Path) -> None:
    xy, xz, _ = slices(noise((6, 40, 50)))
    with pytest.raises(ModelError, match="expected slices of one volume"):
        write_slices_png(tmp_path / "a.png", xy, xz, xz, 1.35, "")
    assert not list(tmp_path.iterdir())
