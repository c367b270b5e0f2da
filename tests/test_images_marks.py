"""Pictures of beads, decoded by other means than those that wrote them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.builders.pictures import GROUND, decode
from tomoset.errors import ModelError
from tomoset.images.drawing import nice_number, text
from tomoset.images.marks import BeadPanel, write_beads_png

BLUE, ORANGE, GREY = (90, 200, 255), (255, 140, 20), (165, 165, 165)
MARGIN, GAP = 16, 8
ANGLES = np.array([-60.0, 0.0, 60.0])
RMS = np.array([0.2, np.nan, 0.4])


def panel(
    shape: tuple[int, int] = (400, 500),
    centres: object = ((100.0, 300.0), (400.0, 50.0)),
    residuals: object = ((0.5, 0.0), (0.0, 0.5)),
    accepted: object = (True, False),
    angle: float = 0.0,
) -> BeadPanel:
    noise = np.random.default_rng(1).normal(0, 1, shape)
    return BeadPanel(
        image=noise,
        angle=angle,
        centres=np.array(centres, dtype=float).reshape(-1, 2),
        residuals=np.array(residuals, dtype=float).reshape(-1, 2),
        accepted=np.array(accepted, dtype=bool),
    )


def drawn(
    path: Path, panels: list[BeadPanel], radius: float = 8.0, rms: np.ndarray = RMS
) -> np.ndarray:
    write_beads_png(path / "a.png", panels, radius, ANGLES, rms, "TS_01")
    picture, chunks = decode(path / "a.png")
    assert picture.ndim == 3
    assert chunks[b"iTXt"].endswith(b"TS_01")
    return picture


def places(picture: np.ndarray, colour: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """x and y of all pixels of a colour."""
    rows, columns = np.nonzero((picture == colour).all(axis=2))
    return columns, rows


def test_rings_are_where_beads_are(tmp_path: Path) -> None:
    picture = drawn(tmp_path, [panel()])
    image = picture[MARGIN : MARGIN + 400, MARGIN : MARGIN + 500]
    for colour, (x, y) in ((BLUE, (100, 300)), (ORANGE, (400, 50))):
        columns, rows = places(image, colour)
        assert len(columns) > 30
        r = np.hypot(columns - x, rows - (399 - y))  # y upwards
        assert abs(r - 10).max() < 1
        at = np.degrees(np.arctan2(rows - (399 - y), columns - x))
        assert np.histogram(at, 8, (-180, 180))[0].min() > 2  # all round


def test_large_images_are_binned_and_small_ones_enlarged(tmp_path: Path) -> None:
    """The middle of a ring is where the middle of a block of pixels is."""
    for shape, factor in (((1200, 1500), 1 / 3), ((100, 90), 3)):
        picture = drawn(tmp_path, [panel(shape, [[40, 60]], [[0, 0]], [True])], 20 / factor)
        height, width = (round(n * factor) for n in shape)
        image = picture[MARGIN : MARGIN + height, MARGIN : MARGIN + width]
        x, y = (np.array([40, 60]) + 0.5) * factor - 0.5
        columns, rows = places(image, BLUE)
        r = np.hypot(columns - x, rows - (height - 1 - y))
        assert abs(r - 22).max() < 1
        assert (picture[MARGIN + height] == GROUND).all()


def test_arrows_are_enlarged_residuals(tmp_path: Path) -> None:
    picture = drawn(tmp_path, [panel()])
    top = MARGIN + 400 + GAP
    below = picture[top : top + 400, MARGIN : MARGIN + 500]
    label = text("x50", 2)  # 40 px for 0.5 px would be x80
    assert (below[12 : 12 + 14, 12 : 12 + label.shape[1]][label] == 245).all()
    columns, rows = places(below, BLUE)
    assert abs(columns.min() - 100) <= 1
    assert abs(columns.max() - (100 + 25)) <= 1  # to the right
    assert abs(rows - 99).max() < 6
    columns, rows = places(below, ORANGE)
    assert abs(rows.max() - 349) <= 1
    assert abs(rows.min() - (349 - 25)) <= 1  # upwards
    assert len(places(picture[:top], ORANGE)[0]) > 0


def test_residuals_are_drawn_as_bars_of_their_height(tmp_path: Path) -> None:
    picture = drawn(tmp_path, [panel()])
    chart = picture[MARGIN + 2 * (400 + GAP) :]
    columns, rows = places(chart, GREY)
    assert set(np.unique(columns, return_counts=True)[1]) == {60, 120}  # 0.2 and 0.4 of 0.4
    assert len(places(chart, BLUE)[0]) == 0  # the tilt that is shown has no rms
    shown = drawn(tmp_path, [panel(angle=60.0)])[MARGIN + 2 * (400 + GAP) :]
    columns, rows = places(shown, BLUE)
    assert np.ptp(rows) + 1 == 120
    labels = [text(words, 2) for words in ("0.4", "rms px", "-60°")]
    white = (chart == 245).all(axis=2)
    for label in labels:
        windows = np.lib.stride_tricks.sliding_window_view(white, label.shape)
        assert (windows == label).all(axis=(2, 3)).any()


def test_panels_side_by_side_and_numbers(tmp_path: Path) -> None:
    picture = drawn(tmp_path, [panel(angle=a) for a in ANGLES])
    assert picture.shape[1] == 3 * 500 + 2 * GAP + 2 * MARGIN
    white = (picture == 245).all(axis=2)
    for i, a in enumerate(ANGLES):
        label = text(f"{a:+.1f}°", 2)
        left = MARGIN + i * (500 + GAP) + 12
        assert (white[MARGIN + 12 :][: label.shape[0], left : left + label.shape[1]] == label).all()
    number = text("2", 1)
    beside = white[MARGIN + 349 - 30 : MARGIN + 349, MARGIN + 400 : MARGIN + 430]
    windows = np.lib.stride_tricks.sliding_window_view(beside, number.shape)
    assert (windows == number).all(axis=(2, 3)).any()


@pytest.mark.parametrize(
    "one",
    [
        panel((3, 2), [[1, 1]], [[0.1, 0]], [True]),
        panel((20, 700)),
        panel((700, 20)),
        panel(centres=[], residuals=[], accepted=[]),
        panel(residuals=[[0, 0], [0, 0]]),
        panel(residuals=[[np.nan, np.nan], [3, 1e-9]]),
        panel(centres=[[np.nan, np.nan], [-3, 402]]),
        panel(centres=[[-900, 900], [1e6, 20]], residuals=[[1e7, 0], [0, 1e7]]),
        panel(angle=np.nan),
    ],
)
def test_small_empty_and_extreme_values_are_drawn(tmp_path: Path, one: BeadPanel) -> None:
    drawn(tmp_path, [one])
    drawn(tmp_path, [one, one], rms=np.full(3, np.nan))
    drawn(tmp_path, [one], rms=np.array([0, 1e9, 1e-9]))


def test_inconsistent_panels_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="one tilt image or more"):
        drawn(tmp_path, [])
    with pytest.raises(ModelError, match="all of one size"):
        drawn(tmp_path, [panel(), panel((40, 50))])
    with pytest.raises(ModelError, match="angles and residuals differ"):
        drawn(tmp_path, [panel()], rms=np.zeros(2))
    with pytest.raises(ModelError, match="other numbers of beads"):
        panel(accepted=[True])
    assert not list(tmp_path.iterdir())


def test_nice_numbers_are_one_two_or_five_times_a_power_of_ten() -> None:
    assert [nice_number(x) for x in (1.0, 0.99, 4.9, 700.0)] == pytest.approx([1, 0.5, 2, 500])
