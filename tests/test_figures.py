"""Figures say what results say: asked of the figure itself, not of its pixels."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.builders.bead_series import BeadSeries, Wanted, bead_series
from tomoset import figures
from tomoset.align import AlignmentError
from tomoset.errors import ModelError
from tomoset.fiducials.align_one import Aligned, AlignOptions, Kept, align
from tomoset.figures._style import BLUE, ORANGE, grey_levels, length, nice, round_steps
from tomoset.hand.measure import Measured
from tomoset.hand.verdict import verdict
from tomoset.model import Fiducials, Observations, Optics, Tomogram
from tomoset.reconstruct.sections import Sections
from tomoset.run import Resources

ANGLES = np.linspace(-60, 60, 41)


def words(figure: Any) -> str:
    """All that is written in a figure outside of axes."""
    return "\n".join(text.get_text() for text in figure.texts)


def titled(figure: Any, title: str) -> Any:
    (ax,) = (ax for ax in figure.axes if ax.get_title(loc="left").startswith(title))
    return ax


def labelled(figure: Any, label: str, x: str = "tilt angle (°)") -> Any:
    (ax,) = (ax for ax in figure.axes if (ax.get_ylabel(), ax.get_xlabel()) == (label, x))
    return ax


def tomogram(angles: np.ndarray = ANGLES, **changes: Any) -> Tomogram:
    from tomoset import geometry

    size, image_size = (200, 180, 60), (200, 180)
    each = np.column_stack([np.zeros(len(angles)), angles, np.full(len(angles), 84.0)])
    given = {
        "name": "TS_$1",
        "n_tilts": len(angles),
        "optics": Optics(pixel_size=5.0),
        "size": size,
        "image_size": image_size,
        "projections": geometry.rigid_projections(
            each, np.zeros((len(angles), 2)), size=size, image_size=image_size
        ),
        "pre_exposure": 3.0 * np.arange(len(angles)),
        **changes,
    }
    return Tomogram(**given)


class Noise:
    """Images of nothing."""

    def read(self, i: int) -> np.ndarray:
        return np.random.default_rng(i).normal(0, 1, (180, 200)).astype(np.float32)


def seen_beads(t: Tomogram, n: int = 6, off: float = 0.5) -> Fiducials:
    """Beads that are seen in every image so many px to the right of where they should be."""
    points = np.random.default_rng(2).uniform((40, 40, 10), (160, 140, 50), (n, 3))
    at = t.project(points) + (off, 0.0)
    tilt, bead = (a.ravel() for a in np.indices(at.shape[:2]))
    seen = Observations(points=at[tilt, bead], tilt=tilt, bead=bead)
    return Fiducials(points=points, observations=seen)


def test_beads_are_ringed_where_they_were_seen_with_their_number() -> None:
    t = tomogram()
    beads = seen_beads(t)
    figure = figures.beads(t, beads, Noise(), radius=50.0)
    middle = titled(figure, "+0.0°")
    rings = [c for c in middle.collections if len(c.get_offsets()) == 6]
    np.testing.assert_allclose(rings[-1].get_offsets(), t.project(beads.points)[20] + (0.5, 0))
    assert {text.get_text() for text in middle.texts} >= {"1", "6", "20 nm"}
    assert "6 beads, 246 times seen; off the alignment as it is by 0.50 px (2.50 Å) rms" in words(
        figure
    )
    assert r"TS_\$1: gold beads" in words(figure)
    assert "41 tilt images, 5 Å/px, 10 nm beads" in words(figure)


def test_residuals_are_drawn_as_long_as_their_title_and_key_say() -> None:
    t = tomogram()
    figure = figures.beads(t, seen_beads(t), Noise())
    ax = next(ax for ax in figure.axes if ax.get_title(loc="left").startswith("residuals × "))
    factor = float(ax.get_title(loc="left").removeprefix("residuals × "))
    from matplotlib.quiver import Quiver

    arrows, *_, key = (c for c in ax.collections if isinstance(c, Quiver))
    np.testing.assert_allclose(arrows.U, 0.5 * factor)
    np.testing.assert_allclose(arrows.V, 0.0, atol=1e-9)
    (said,) = (text.get_text() for text in ax.texts)
    value = float(said.partition(" px")[0])
    assert key.U[0] == pytest.approx(factor * value)
    assert f"({5 * value:g} Å)" in said


def test_bars_stand_at_tilt_angles_and_leave_gaps() -> None:
    angles = ANGLES[[*range(10), *range(15, 41)]]
    t = tomogram(angles)
    ax = labelled(figures.beads(t, seen_beads(t), Noise()), "rms residual (px)")
    bars = sorted({round(p.get_x() + p.get_width() / 2, 6) for p in ax.patches})
    np.testing.assert_allclose(bars, angles, atol=1e-6)
    assert max(p.get_width() for p in ax.patches) < 3.0
    np.testing.assert_allclose([p.get_height() for p in ax.patches], 0.5)
    ticks = ax.xaxis.get_major_locator().tick_values(-60, 60)
    assert set(np.diff(ticks)) == {30.0}
    assert 0 in ticks
    assert ax.get_xlabel() == "tilt angle (°)"


def test_residuals_stand_against_dose_where_it_is_known() -> None:
    t = tomogram()
    beads = seen_beads(t)
    labels = {ax.get_xlabel() for ax in figures.beads(t, beads, Noise()).axes}
    assert "dose before the image (e/Å²)" in labels
    figure = figures.beads(replace(t, pre_exposure=None), beads, Noise())
    assert "dose before the image (e/Å²)" not in {ax.get_xlabel() for ax in figure.axes}
    assert {p.get_height() for p in labelled(figure, "beads seen").patches} == {6.0}


def test_the_box_shows_beads_and_the_field_of_view_in_nm() -> None:
    t = tomogram()
    beads = seen_beads(t)
    ax = titled(figures.beads(t, beads, Noise()), "beads in the tomogram")
    (points,) = ax.collections
    np.testing.assert_allclose(points.get_offsets(), beads.points[:, :2] * 0.5)
    assert ax.get_ylabel() == "y (nm)"
    box = next(p for p in ax.patches if p.get_label() == "tomogram")
    assert (box.get_width(), box.get_height()) == (100.0, 90.0)
    fields = {line.get_label(): line.get_xydata() for line in ax.lines}
    corners = np.column_stack([fields["field of view, least tilted"] / 0.5, np.full(5, 29.5)])
    at = t.project(corners)[20]
    np.testing.assert_allclose(
        at, [[-0.5, -0.5], [199.5, -0.5], [199.5, 179.5], [-0.5, 179.5], [-0.5, -0.5]], atol=1e-6
    )


@pytest.mark.parametrize(("n", "beads"), [(1, 0), (1, 1), (2, 60), (41, 0), (120, 60)])
def test_any_number_of_tilts_and_beads(tmp_path: Path, n: int, beads: int) -> None:
    t = tomogram(np.linspace(-60, 60, n) if n > 1 else np.array([3.0]))
    found = seen_beads(t, beads) if beads else Fiducials(points=np.zeros((0, 3)))
    for make in (figures.beads, figures.tilts):
        figure = make(t, found, Noise())  # type: ignore[operator]
        assert words(figure).count("nan") == 0
        figures.save(figure, tmp_path / "a.png")
    assert ("no beads were found" in words(figures.beads(t, found, Noise()))) == (not beads)


def test_all_tilts_are_shown_in_their_order_with_the_beads_on_them() -> None:
    t = tomogram(ANGLES[::-1])
    beads = seen_beads(t)
    observations = beads.observations
    assert observations is not None
    some = replace(beads, observations=observations.take(observations.tilt != 0))
    (ax,) = figures.tilts(t, some, Noise()).axes
    titles = {
        text.get_text(): text.get_position()[0] for text in ax.texts if "°" in text.get_text()
    }
    assert list(titles)[:2] == ["−60.0°", "−57.0°"]
    assert len(titles) == 41
    (edges,) = (c for c in ax.collections if len(c.get_paths()) == 41)
    corners = np.array([path.vertices[0] for path in edges.get_paths()]) + 0.5
    assert corners[0, 1] == corners[1, 1] > corners[40, 1] == 0
    marks = {line.get_color(): line.get_xydata() for line in ax.lines}
    np.testing.assert_allclose(marks[ORANGE], t.project(beads.points)[0] + corners[40])
    np.testing.assert_allclose(marks[BLUE][:6], t.project(beads.points)[40] + corners[0])
    assert len(marks[BLUE]) == 40 * 6


def test_each_tilt_image_is_shown_where_its_frame_is() -> None:
    class Numbered:
        def read(self, i: int) -> np.ndarray:
            image = np.zeros((180, 200), np.float32)
            image[2 * i : 2 * i + 4] = 1.0  # a line that says which one it is
            return image

    t = tomogram()
    (ax,) = figures.tilts(t, Fiducials(points=np.zeros((0, 3))), Numbered()).axes
    (edges,) = (c for c in ax.collections if len(c.get_paths()) == 41)
    whole, (left, right, bottom, top) = ax.images[0].get_array(), ax.images[0].get_extent()
    unit = (right - left) / whole.shape[1]
    assert unit == (top - bottom) / whole.shape[0] == 2.0
    for i, path in enumerate(edges.get_paths()):
        x, y = ((path.vertices[0] + 0.5) / unit).astype(int)
        assert np.flatnonzero(whole[y : y + 90, x]).tolist() == [i, i + 1]


def test_of_very_many_tilts_every_second_one_is_shown() -> None:
    t = tomogram(np.linspace(-60, 60, 129))
    figure = figures.tilts(t, seen_beads(t), Noise())
    assert "129 tilt images, 65 of which are shown" in words(figure)
    assert sum("°" in text.get_text() for text in figure.axes[0].texts) == 65


def test_figures_of_a_series_take_less_than_a_second(tmp_path: Path) -> None:
    """Not of the first one, which loads matplotlib; the least of two, as others work too."""
    t = tomogram()
    found, taken = seen_beads(t, 20), []
    for _ in range(3):
        begin = time.process_time()
        for make in (figures.beads, figures.tilts):
            figures.save(make(t, found, Noise()), tmp_path / "a.png")  # type: ignore[operator]
        taken.append(time.process_time() - begin)
    assert min(taken[1:]) < 1.0


@cache
def aligned() -> tuple[BeadSeries, Tomogram, Aligned]:
    of = bead_series(Wanted(seed=4))
    found = align(of.given, of, None, AlignOptions())
    if not isinstance(found, Aligned):
        raise AlignmentError("these beads support an alignment")
    t = of.given.placed(None, of.size)
    return of, replace(t, projections=found.fit.projections, alignment=None), found


def test_an_alignment_by_beads_has_the_numbers_of_its_fit() -> None:
    of, t, found = aligned()
    figure, fit = figures.alignment_by_beads(t, found, of), found.fit
    said = words(figure).replace("\n", " ")
    assert f"residual {fit.rms:.2f} px" in said
    assert f"{fit.leave_out_before:.2f} → {fit.leave_out:.2f} px" in said
    assert f"{int((~fit.outliers).sum())} times seen" in said
    bars = labelled(figure, "rms residual (px)").patches[: t.n_tilts]
    np.testing.assert_allclose([p.get_height() for p in bars], fit.by_tilt)
    for label, values in (
        ("change of the shift (px)", fit.changes),
        ("std. dev. in the middle (px)", fit.deviations),
    ):
        curves = {line.get_label(): line.get_ydata() for line in labelled(figure, label).lines}
        order = np.argsort(t.tilt_angles)
        for k, axis in enumerate("xy"):
            np.testing.assert_allclose(curves[axis], values[order, k + _shift()])


def test_an_alignment_that_stays_is_drawn_with_the_reason() -> None:
    t = tomogram()
    kept = Kept(fiducials=seen_beads(t), radius=50.0, reason="tomogram 'a': no better one: noise")
    figure = figures.alignment_kept(t, kept, Noise())
    said = words(figure)
    assert "TS_\\$1: the alignment stays as it is" in said
    assert "it stays: no better one: noise" in said
    assert "off the alignment as it is by 0.50 px (2.50 Å) rms" in said
    heights = [p.get_height() for p in labelled(figure, "rms residual (px)").patches]
    np.testing.assert_allclose(heights, 0.5)


def test_beads_have_the_same_colour_in_both_views_of_the_tomogram() -> None:
    for off in (0.0, 0.5):
        t = tomogram()
        figure = figures.beads(t, seen_beads(t, off=off), Noise())
        views = [titled(figure, "beads in the tomogram"), labelled(figure, "z (nm)", "x (nm)")]
        colours = [ax.collections[0].to_rgba(ax.collections[0].get_array()) for ax in views]
        np.testing.assert_array_equal(*colours)


def _shift() -> int:
    from tomoset.align import PARAMETERS

    return PARAMETERS.index("shift_x")


def measured(angles: np.ndarray = ANGLES, **changes: Any) -> Measured:
    """A series that says +1 with all its images."""
    n, x = len(angles), np.linspace(-3000, 3000, 5)
    expected = -np.tan(np.deg2rad(angles))[:, None] * x
    given = {
        "log_odds": 88.0,
        "log_odds_raw": 88.0,
        "spread": 12.0,
        "by_tilt": np.abs(angles) / 10,
        "rings": np.full(n, 9.0),
        "inclined": np.zeros(2),
        "off": 0.0,
        "defocus": np.full(n, 3e4),
        "error": np.full(n, 100.0),
        "table": None,
        "position": np.tile(x, (n, 1)),
        "measured": expected,
        "uncertain": np.full((n, 5), 50.0),
        "expected": expected,
        **changes,
    }
    return Measured(**given)


def test_the_hand_says_what_becomes_of_the_odds_of_images() -> None:
    """88 for the series and bars that add up to 123 are no contradiction when both are said."""
    m = measured()
    figure = figures.hand(tomogram(), m, 1e-3)
    assert r"TS_\$1: hand +1" in words(figure)
    assert "+88.0 for the series" in words(figure)
    assert f"+{m.by_tilt.sum():.1f} for its images added up" in words(figure)
    bars = titled(figure, "odds of each image").patches
    assert sum(p.get_height() for p in bars) == pytest.approx(m.by_tilt.sum())
    assert "cannot tell" in words(figures.hand(tomogram(), measured(log_odds=2.0), 1e-3))


def test_points_lie_on_the_line_of_their_hand_in_micrometres() -> None:
    figure = figures.hand(tomogram(), measured(), 1e-3)
    ax = titled(figure, "−60.0°")
    lines = {line.get_color(): line for line in ax.lines}
    points = next(line for line in ax.lines if line.get_marker() == ".")
    np.testing.assert_allclose(points.get_ydata(), lines[BLUE].get_ydata())
    np.testing.assert_allclose(points.get_ydata(), -np.asarray(lines[ORANGE].get_ydata()))
    assert max(points.get_xdata()) == pytest.approx(0.3)
    assert lines[BLUE].get_linestyle() != lines[ORANGE].get_linestyle()  # in grey print too


def test_points_that_say_nothing_are_left_out_and_those_off_scale_are_marked() -> None:
    def marks(**changes: Any) -> tuple[int, int]:
        ax = titled(figures.hand(tomogram(), measured(**changes), 1e-3), "−60.0°")
        n = {line.get_marker(): len(line.get_xdata()) for line in ax.lines}
        return n["."], n["x"]

    assert marks() == (5, 0)
    assert marks(uncertain=np.full((41, 5), 2e4)) == (0, 0)
    assert marks(measured=np.full((41, 5), np.nan)) == (0, 0)
    assert marks(measured=np.full((41, 5), 9e4)) == (0, 5)


@pytest.mark.parametrize("n", [1, 9, 120])
def test_the_hand_of_any_number_of_tilts(tmp_path: Path, n: int) -> None:
    angles = np.linspace(-60, 60, n) if n > 1 else np.array([40.0])
    figure = figures.hand(tomogram(angles), measured(angles), 1e-3)
    panels = [ax for ax in figure.axes if ax.get_title(loc="left").endswith("°")]
    assert len(panels) == min(n, 24)
    nothing = np.full((n, 5), np.nan)
    unknown = measured(
        angles, position=nothing, measured=nothing, expected=nothing, by_tilt=np.full(n, np.nan)
    )
    figures.save(figures.hand(tomogram(angles), unknown, 1e-3), tmp_path / "a.png")


def test_the_hand_of_a_series_without_images_is_refused() -> None:
    none = np.zeros(0)
    with pytest.raises(ModelError, match="no tilt image"):
        figures.hand(tomogram(none, projections=np.zeros((0, 4, 4))), measured(none), 1e-3)


def test_the_hand_of_a_set_has_a_bar_for_each_series() -> None:
    odds = {"a": 20.0, "b": 9.0, "c": -30.0}
    found = verdict(odds, 1e-3)
    figure = figures.hand_of_set(found, 1e-3)
    (ax,) = figure.axes
    assert {p.get_width() for p in ax.patches} == set(odds.values())
    assert [label.get_text() for label in ax.get_yticklabels()] == list(odds)
    assert f"{found.log_odds:+.1f} for the set" in words(figure).replace("−", "-")


def the_volume(size: tuple[int, int, int]) -> np.ndarray:
    return np.random.default_rng(5).normal(0, 1, size[::-1]).astype(np.float32)


def cut(
    size: tuple[int, int, int] = (120, 100, 40),
    pixel_size: float = 10.0,
    beads: np.ndarray | None = None,
) -> Sections:
    made = Sections(size, pixel_size, beads)
    for slab in np.split(the_volume(size), [7]):
        made.take(slab)
    return made


def test_sections_say_where_they_lie_and_show_it_in_the_others() -> None:
    figure = figures.sections("TS_01", cut())
    sides = ("left", "left", "right")
    titles = [ax.get_title(loc=side) for ax, side in zip(figure.axes, sides, strict=True)]
    assert titles == ["xy at z = 19.5 nm", "xz at y = 49.5 nm", "zy at x = 59.5 nm"]
    assert lines_down(figure) == [[59.5], [59.5], [19.5]]
    said = words(figure)
    assert "TS_01: central sections" in said
    assert "120 × 100 × 40 voxels of 10 Å, 120 × 100 × 40 nm" in said
    assert "thickness of 10 nm" in said
    assert "in voxels, from 0: xy at z = 19.5, xz at y = 49.5, zy at x = 59.5" in said


def lines_down(figure: Any) -> list[list[float]]:
    """Where vertical lines lie in each of the axes."""
    return [
        sorted({float(line.get_xdata()[0]) for line in ax.lines if len({*line.get_xdata()}) == 1})
        for ax in figure.axes
    ]


def test_sections_lie_where_most_beads_do() -> None:
    near = np.array([[100.0, 20, 8], [104, 24, 30], [103, 70, 31], [30, 22, 34], [500, 1, 1]])
    made = cut(beads=near)
    assert [place.beads for place in made.places] == [3, 3, 3]
    assert made.beads == 4  # one lies outside
    for place, along in zip(made.places, near[:4].T, strict=True):
        inside = (along >= place.first - 0.5) & (along < place.last - 0.5)
        assert inside.sum() == place.beads
    volume = the_volume((120, 100, 40))
    in_x, in_y, in_z = made.places
    np.testing.assert_allclose(made.xy, volume[in_z.first : in_z.last].mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(made.xz, volume[:, in_y.first : in_y.last].mean(axis=1), atol=1e-6)
    np.testing.assert_allclose(made.yz, volume[..., in_x.first : in_x.last].mean(axis=2), atol=1e-6)
    figure = figures.sections("TS_01", made)
    assert "TS_01: sections through most beads" in words(figure)
    assert f"xy at z = {in_z.at:g} (3 of 4 beads)" in words(figure)
    assert lines_down(figure) == [[in_x.at], [in_x.at], [in_z.at]]


def test_of_places_with_as_many_beads_the_middle_one_is_shown() -> None:
    made = cut(beads=np.array([[10.0, 10, 4], [110, 90, 36], [60, 50, 20]]))
    assert [place.at for place in made.places] == [59.5, 49.5, 19.5]


def test_sections_show_the_volume_with_y_and_z_upwards() -> None:
    made = cut()
    for ax, image in zip(
        figures.sections("TS_01", made).axes, (made.xy, made.xz, made.yz.T), strict=True
    ):
        (shown,) = ax.images
        np.testing.assert_allclose(shown.get_array(), image.clip(*shown.get_clim()), rtol=1e-6)
        assert shown.origin == "lower"


@pytest.mark.parametrize(("size", "row"), [((120, 100, 40), False), ((90, 90, 90), True)])
def test_deep_volumes_have_their_sections_in_a_row(size: tuple[int, int, int], row: bool) -> None:
    figure = figures.sections("TS_01", cut(size))
    first, second, _ = (ax.get_position() for ax in figure.axes)
    assert (first.y0 == pytest.approx(second.y0)) == row
    wide, high = figure.get_size_inches()
    assert first.width * wide / size[0] == pytest.approx(first.height * high / size[1])


def test_scale_bars_are_as_long_as_they_say() -> None:
    ax = figures.sections("TS_01", cut(pixel_size=6.25)).axes[0]
    (bar,) = (p for p in ax.patches if p.get_gid() == "scale bar")
    assert [text.get_text() for text in ax.texts] == ["10 nm"]
    assert bar.get_width() == pytest.approx(16.0)
    unknown = cut()
    unknown.pixel_size = 0.0
    assert not figures.sections("TS_01", unknown).axes[0].patches


def test_sections_of_different_volumes_are_refused() -> None:
    made = cut()
    made.yz = made.xz
    with pytest.raises(ModelError, match="expected sections of one volume"):
        figures.sections("TS_01", made)


@pytest.mark.parametrize("value", [0.0, 7.0, np.nan, np.inf])
def test_images_without_contrast_are_drawn(tmp_path: Path, value: float) -> None:
    made = cut((3, 2, 1))
    for image in (made.xy, made.xz, made.yz):
        image[:] = value
    figures.save(figures.sections("TS_01", made), tmp_path / "a.png")


def test_grey_levels_are_those_of_most_values() -> None:
    rng = np.random.default_rng(3)
    ice = rng.normal(0, 1, (200, 200))
    plain = grey_levels(ice)
    gold = ice.copy()
    gold[:10, :10] = -1e6
    np.testing.assert_allclose(grey_levels(gold), plain, rtol=0.05)
    assert -3.5 < plain[0] < -2.2 < 2.2 < plain[1] < 3.5
    dark_field = np.where(np.arange(200) < 30, 100.0, 0.0) + ice  # a needle on nothing
    assert grey_levels(dark_field)[1] > 100


@pytest.mark.parametrize(
    ("angstroms", "said"), [(10000.0, "1 µm"), (500.0, "50 nm"), (5.0, "5 Å"), (0.25, "0.25 Å")]
)
def test_lengths_are_told_in_their_usual_unit(angstroms: float, said: str) -> None:
    assert length(angstroms) == said


def test_round_numbers() -> None:
    assert [nice(x) for x in (1.0, 0.99, 4.9, 700.0)] == pytest.approx([1, 0.5, 2, 500])
    assert [round_steps(-60, 60, n) for n in (4, 8, 13)] == [30, 15, 10]


@pytest.mark.parametrize(
    ("kind", "head"), [("png", b"\x89PNG"), ("pdf", b"%PDF"), ("svg", b"<?xml")]
)
def test_figures_are_saved_as_their_path_ends(tmp_path: Path, kind: str, head: bytes) -> None:
    figures.save(figures.sections("TS_01", cut()), tmp_path / f"a.{kind}")
    assert (tmp_path / f"a.{kind}").read_bytes().startswith(head)
    assert len(list(tmp_path.iterdir())) == 1


def test_threads_draw_the_same_at_once(tmp_path: Path) -> None:
    def drawn(i: int) -> bytes:
        figures.save(figures.hand(tomogram(), measured(), 1e-3), tmp_path / f"{i}.png")
        return (tmp_path / f"{i}.png").read_bytes()

    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(drawn, range(4)))) == 1


@pytest.mark.parametrize("home", ["new", "not writable"])
def test_fonts_are_searched_once_before_processes_draw_and_without_a_word(
    tmp_path: Path, home: str
) -> None:
    """On a new machine, also where nothing can be written at home: what is left is removed."""
    (tmp_path / "tmp").mkdir()
    at_home = {"new": {"MPLCONFIGDIR": str(tmp_path / "fonts")}, "not writable": {}}[home]
    names = ("MPLCONFIGDIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME")
    rest = {name: value for name, value in os.environ.items() if name not in names}
    of_here = {"HOME": "/dev/null", "TMPDIR": str(tmp_path / "tmp")}
    out = tmp_path / "out"
    code = "from tests.builders.drawing_program import main_that_draws as m"
    program = f"{code}; m({str(out)!r}, 2)"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        cwd=Path(__file__).parent.parent,
        env={**rest, **of_here, **at_home},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stderr, done.stdout) == ("", "[{}, [true, true]]\n")
    assert len(list(out.glob("*.png"))) == 2
    assert not list((tmp_path / "tmp").glob("matplotlib*"))


def test_other_kinds_of_figures_are_refused() -> None:
    with pytest.raises(ModelError, match="png, pdf, svg, none, not 'jpg'"):
        Resources(figures="jpg")
