"""Pictures of the hand, decoded by other means than those that wrote them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.builders.pictures import GROUND, decode
from tomoset.errors import ModelError
from tomoset.hand.picture import HandOdds, HandPanel, write_hand_png

BLUE, ORANGE, WHITE, FAINT = (90, 200, 255), (255, 140, 20), (245, 245, 245), (90, 90, 90)
#: Where the first panel begins, and the smallest ones' size.
TOP, LEFT, HEIGHT, WIDTH = 16 + 30 + 18, 76, 101, 153


def panel(angle: float, hand: int = 1, error: float = 0.0, **changes: object) -> HandPanel:
    position = np.linspace(-3000, 3000, 7)
    slope = -position * np.tan(np.deg2rad(angle))
    values = {
        "angle": angle,
        "position": position,
        "measured": hand * slope,
        "error": np.full(7, error),
        "slope": slope,
        "log_odds": hand * abs(angle) / 10,
        **changes,
    }
    return HandPanel(**values)  # type: ignore[arg-type]


def series(n: int, hand: int = 1, **changes: object) -> list[HandPanel]:
    return [panel(float(angle), hand, **changes) for angle in np.linspace(-60, 60, n)]  # type: ignore[arg-type]


def drawn(path: Path, panels: list[HandPanel], odds: HandOdds | None = None) -> np.ndarray:
    write_hand_png(path / "a.png", panels, odds or HandOdds(12.3, 1), "TS_01")
    picture, chunks = decode(path / "a.png")
    assert picture.ndim == 3
    assert picture.shape[1] == 1200
    assert chunks[b"iTXt"].endswith(b"TS_01")
    return picture


def is_of(picture: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    return np.asarray((picture == colour).all(axis=-1))


def first_panel(picture: np.ndarray) -> np.ndarray:
    return picture[TOP + 1 : TOP + HEIGHT - 1, LEFT + 1 : LEFT + WIDTH - 1]


def near(part: np.ndarray, colour: tuple[int, int, int]) -> list[bool]:
    """Whether something of a colour is within a few px of each of the seven points."""
    white, found = is_of(part, WHITE), []
    columns = np.flatnonzero(white.any(axis=0))
    for group in np.split(columns, np.flatnonzero(np.diff(columns) > 1) + 1):
        row = int(np.flatnonzero(white[:, group].any(axis=1)).mean())
        beside = np.r_[group[0] - 2 : group[0], group[-1] + 1 : group[-1] + 3]
        beside = beside[(beside >= 0) & (beside < part.shape[1])]
        found.append(bool(is_of(part[max(row - 4, 0) : row + 5, beside], colour).any()))
    return found


@pytest.mark.parametrize(("hand", "on", "off"), [(1, BLUE, ORANGE), (-1, ORANGE, BLUE)])
def test_points_lie_on_the_line_of_their_hand(
    tmp_path: Path, hand: int, on: tuple[int, int, int], off: tuple[int, int, int]
) -> None:
    part = first_panel(drawn(tmp_path, series(41, hand), HandOdds(12.0 * hand, hand)))
    assert near(part, on) == [True] * 7
    # Both lines cross in the middle only.
    assert near(part, off) == [False] * 3 + [True] + [False] * 3


def test_lines_rise_as_predicted(tmp_path: Path) -> None:
    """At -60 degrees hand +1 predicts more underfocus to the right: upwards."""
    part = first_panel(
        drawn(tmp_path, [panel(a, measured=np.full(7, np.nan)) for a in range(-60, 61, 3)])
    )
    for colour, sign in ((BLUE, -1), (ORANGE, 1)):
        rows, columns = np.nonzero(is_of(part, colour))
        assert len(rows) > 50
        assert sign * np.polyfit(columns, rows, 1)[0] > 0.4
    assert not is_of(part, WHITE).any()


def test_errors_are_drawn_as_bars(tmp_path: Path) -> None:
    part = first_panel(drawn(tmp_path, series(41, error=500.0)))
    column = is_of(part, WHITE)[:, 70:82].sum(axis=0)
    # Panels show 1.3 times what is predicted at most, 5196 Å, over half their height.
    assert abs(column.max() - 2 * 500 * 47.5 / 6755 - 1) < 2


def test_points_that_say_nothing_are_left_out(tmp_path: Path) -> None:
    for error in (7000.0, np.nan):
        assert not is_of(first_panel(drawn(tmp_path, series(41, error=error))), WHITE).any()


def test_points_beyond_the_edge_are_grey(tmp_path: Path) -> None:
    measured = np.full(7, np.nan)
    measured[2] = 9000.0
    part = first_panel(drawn(tmp_path, [panel(-60, measured=measured), *series(41)[1:]]))
    assert not is_of(part, WHITE).any()
    assert is_of(part[:6], FAINT).any()


def test_bars_go_up_for_one_hand_and_down_for_the_other(tmp_path: Path) -> None:
    odds = [5.0, 0.0, -5.0, np.nan]
    panels = [panel(float(i), log_odds=o) for i, o in enumerate(odds)]
    chart = drawn(tmp_path, panels)[-16 - 210 + 28 :, LEFT : LEFT + 4 * 120]
    zero = int(np.argmax(is_of(chart, WHITE).all(axis=1)))
    assert 78 <= zero <= 82
    blue, orange = is_of(chart, BLUE), is_of(chart, ORANGE)
    assert blue[5 : zero - 1, 5:90].all()
    assert not blue[:, 120:].any()
    assert orange[zero + 2 : 2 * zero - 5, 2 * 120 + 5 : 2 * 120 + 90].all()
    assert not orange[: zero - 1].any()
    assert not orange[:, 3 * 120 :].any()


@pytest.mark.parametrize(
    ("number", "panels"), [(1, 1), (9, 9), (41, 41), (48, 48), (61, 31), (120, 40)]
)
def test_as_many_panels_as_can_be_seen(tmp_path: Path, number: int, panels: int) -> None:
    picture = drawn(tmp_path, series(number) if number > 1 else [panel(40.0)])
    frames = is_of(picture[:-230, LEFT:], FAINT)
    # Upper and lower edges are the only long grey lines.
    edges = [np.convolve(row, np.ones(140), "valid") > 139 for row in frames]
    found = sum(int((np.diff(np.r_[0, edge.astype(int)]) == 1).sum()) for edge in edges)
    assert found == 2 * panels
    assert (picture[:16] == GROUND).all()
    assert (picture[:, -16:] == GROUND).all()


def test_nothing_is_drawn_of_values_that_are_not_known(tmp_path: Path) -> None:
    nothing = np.full(7, np.nan)
    panels = series(
        41, position=nothing, measured=nothing, error=nothing, slope=nothing, log_odds=np.nan
    )
    picture = drawn(tmp_path, panels, HandOdds(np.nan, 0))
    assert not is_of(picture[TOP:], BLUE).any()
    assert not is_of(picture[TOP:], ORANGE).any()


@pytest.mark.parametrize("scale", [1e-3, 1e-2, 0.1, 10.0, 100.0])
@pytest.mark.parametrize("odds", [1e-4, 0.3, 1e5])
def test_numbers_of_any_size_fit(tmp_path: Path, scale: float, odds: float) -> None:
    panels = [
        panel(p.angle, position=scale * p.position, slope=scale * p.slope, log_odds=odds)
        for p in series(41)
    ]
    drawn(tmp_path, panels, HandOdds(-odds, -1))


def test_the_order_of_panels_does_not_matter(tmp_path: Path) -> None:
    first = drawn(tmp_path, series(41))
    content = (tmp_path / "a.png").read_bytes()
    np.testing.assert_array_equal(drawn(tmp_path, series(41)[::-1]), first)
    assert (tmp_path / "a.png").read_bytes() == content


def test_inconsistent_panels_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="one tilt image or more"):
        write_hand_png(tmp_path / "a.png", [], HandOdds(0.0, 0), "TS_01")
    with pytest.raises(ModelError, match="arrays of one length"):
        panel(3.0, slope=np.zeros(6))
    assert not (tmp_path / "a.png").exists()
