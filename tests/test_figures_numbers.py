"""Figures, screen, JSON and STAR say the same numbers; those of particles say what they show."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.builders.cheap_runs import run
from tests.builders.particle_fits import particle_fit, refined
from tests.builders.whole_project import NAME, PIXEL, whole_project, write_files
from tomoset import figures, star
from tomoset.align.particles import PARAMETERS
from tomoset.model import Deformation
from tomoset.programs._program import Done

TILT = "tilt angle (°)"


def words(figure: Any) -> str:
    """All that is written in a figure outside of axes, in one line."""
    return " ".join(text.get_text() for text in figure.texts).replace("\n", " ")


def chart(figure: Any, label: str, x: str = TILT) -> Any:
    (ax,) = (ax for ax in figure.axes if (ax.get_ylabel(), ax.get_xlabel()) == (label, x))
    return ax


def curves(ax: Any) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """x and y of what is named in a chart, without gaps."""
    found = {}
    for line in ax.lines:
        x, y = np.asarray(line.get_xdata()), np.asarray(line.get_ydata())
        found[line.get_label()] = x[np.isfinite(y)], y[np.isfinite(y)]
    return found


def errors(ax: Any) -> list[np.ndarray]:
    """Half the lengths of error bars, in the order in which they were drawn."""
    return [
        np.array([np.ptp(segment[:, 1]) / 2 for segment in bars.get_segments()])
        for bars in ax.collections
        if bars.get_segments()
    ]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With the images."""
    made = tmp_path_factory.mktemp("project")
    write_files(made)
    return made


Carried = tuple[Done[Any], dict[str, Any]]


@pytest.fixture
def carried(project: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Carried]:
    """Runs a program; what became of it, and its figures by their files."""
    monkeypatch.chdir(project)
    drawn: dict[str, Any] = {}
    monkeypatch.setattr(
        "tomoset.programs._task.save",
        lambda figure, path: (drawn.update({Path(path).stem: figure}), Path(path).touch()),
    )

    def go(program: str) -> Carried:
        return run(program, whole_project(), program.replace(" ", "_")), drawn

    return go


def reported(folder: str, name: str, table: str) -> dict[str, np.ndarray]:
    """Columns of a report that are numbers."""
    columns = star.read(f"{folder}/{name}_{NAME}.star")[table].columns
    return {label: np.array(list(texts), float) for label, texts in columns.items()}


pytestmark = pytest.mark.filterwarnings("ignore::tomoset.TomosetWarning")


def test_found_beads(carried: Callable[[str], Carried]) -> None:
    done, drawn = carried("find-fiducials")
    result, said = done.results[NAME], json.loads(json.dumps(done.summary()))["results"][NAME]
    (line,) = done.lines()
    for number in (f"{result.beads} beads", f"{result.observations} times seen"):
        assert number in line
        assert number in words(drawn[NAME])
    assert f"{result.residual:.2f} px rms off the alignment" in line
    px = f"{result.residual:.2f} px ({result.residual * PIXEL:.2f} Å) rms"
    assert f"off the alignment as it is by {px}" in words(drawn[NAME])
    assert said["residual"] == pytest.approx(result.residual)
    heights = [p.get_height() for p in chart(drawn[NAME], "rms residual (px)").patches[:8]]
    assert np.sqrt(np.mean(np.square(heights))) == pytest.approx(result.residual)


def test_alignment_by_beads(carried: Callable[[str], Carried]) -> None:
    done, drawn = carried("align fiducials")
    fit, figure = done.results[NAME].fit, drawn[NAME]
    lines, said = " ".join(done.lines()), words(figure)
    assert (
        f"error of what is left out {fit.leave_out_before:.2f} -> {fit.leave_out:.2f} px" in lines
    )
    assert f"left out {fit.leave_out_before:.2f} → {fit.leave_out:.2f} px" in said
    assert f"residual {fit.residual:.2f} px ({fit.residual_nm:.2f} nm)" in lines
    assert f"residual {fit.residual:.2f} px ({10 * fit.residual_nm:.2f} Å) rms" in said
    for text in (f"{fit.observations} times seen", f"alignment known to {fit.expected:.2f} px"):
        assert text in lines
        assert text in said
    assert f"model: {fit.model}" in said
    (whole,) = reported_numbers("align_fiducials/alignment_TS_01.star", "tomosetResidual")
    assert whole == pytest.approx(fit.residual, rel=1e-5)
    tilts = reported("align_fiducials", "alignment", "tilts")
    order = np.argsort(tilts["tomosetTiltAngle"])
    bars = chart(figure, "rms residual (px)").patches[: len(order)]
    assert [p.get_height() for p in bars] == pytest.approx(tilts["tomosetResidual"], rel=1e-5)
    for label, end in (
        ("change of the shift (px)", "Change"),
        ("std. dev. in the middle (px)", "Error"),
    ):
        for axis, (x, y) in curves(chart(figure, label)).items():
            np.testing.assert_allclose(x, tilts["tomosetTiltAngle"][order], rtol=1e-5)
            np.testing.assert_allclose(
                y, tilts[f"tomosetShift{axis.upper()}{end}"][order], rtol=1e-5
            )


def reported_numbers(path: str, label: str, table: str = "alignment") -> list[float]:
    return [float(text) for text in star.read(path)[table].columns[label]]


def test_alignment_by_particles(carried: Callable[[str], Carried]) -> None:
    done, drawn = carried("align particles")
    result, figure = done.results[NAME], drawn[NAME]
    lines, said = " ".join(done.lines()), words(figure)
    for text in (
        f"{result.particles} particles in {result.tilt_images} images",
        f"{result.changed} images changed: {result.shift:.2f} px and {result.angle:.3f}",
        f"particles displaced by {result.displacement:.1f} Å rms",
        f"alignment known to {result.expected:.3f} px at the particles",
    ):
        assert text in lines
        assert text in said
    tilts = reported("align_particles", "alignment", "tilts")
    order = np.argsort(tilts["tomosetTiltAngle"])
    for label, names in (
        ("change of the shift (px)", {"x": "ShiftX", "y": "ShiftY"}),
        (
            "change of the angles (°)",
            {"tilt": "Tilt", "tilt axis": "Rotation", "about x": "XTilt"},
        ),
    ):
        ax = chart(figure, label)
        shown = curves(ax)
        for bars, (curve, name) in zip(errors(ax), names.items(), strict=True):
            y = tilts[f"tomoset{name}Change"][order]
            np.testing.assert_allclose(shown[curve][1], y, rtol=1e-5)
            np.testing.assert_allclose(bars, tilts[f"tomoset{name}Error"], rtol=1e-5)
    (_, known), *_ = curves(chart(figure, "std. dev. at the particles (Å)")).values()
    np.testing.assert_allclose(known, tilts["tomosetExpectedError"][order] * PIXEL, rtol=1e-5)


def test_refined_ctf(carried: Callable[[str], Carried]) -> None:
    done, drawn = carried("refine-ctf")
    result, figure = done.results[NAME], drawn[NAME]
    tilts = reported("refine-ctf", "ctf", "tilts")
    assert "defocus stays as it is" in words(figure)
    assert "defocus stays as it is" in " ".join(done.lines())
    assert f"{result.particles} particles, 8 tilt images, 8 Å/px" in words(figure)
    (ax,) = (ax for ax in figure.axes if ax.get_ylabel().startswith("defocus − "))
    middle = float(ax.get_ylabel().split()[2]) * 1e4
    after = curves(ax)["after"][1] + middle
    np.testing.assert_allclose(after, tilts["tomosetDefocus"], rtol=2e-3)  # of the rounded middle
    np.testing.assert_allclose(np.diff(after), np.diff(tilts["tomosetDefocus"]), atol=1.0)
    np.testing.assert_allclose(errors(ax)[0], tilts["tomosetDefocusError"], rtol=1e-5)
    ax = chart(figure, "astigmatism, U − V (Å)")
    np.testing.assert_allclose(curves(ax)["after"][1], tilts["tomosetAstigmatism"], rtol=1e-5)
    np.testing.assert_allclose(errors(ax)[0], tilts["tomosetAstigmatismError"], rtol=1e-5)
    ax = chart(figure, "scale of the contrast")
    for curve, name in (("seen", "Contrast"), ("after", "Scale")):
        np.testing.assert_allclose(curves(ax)[curve][1], tilts[f"tomoset{name}"], rtol=1e-5)


def test_hand(carried: Callable[[str], Carried]) -> None:
    done, drawn = carried("hand")
    result, figure = done.results[NAME], drawn[NAME]
    said = words(figure).replace("−", "-")
    assert f"{result.log_odds:+.1f} for the series" in said
    assert f"rings in {result.shows_rings.sum()} of them" in said
    assert "cannot tell" in said
    assert "cannot tell" in " ".join(done.lines())
    assert done.summary()["log_odds"] == pytest.approx(result.log_odds, abs=1e-4)
    odds = reported("hand", "hand", "tilts")["tomosetHandLogOdds"]
    bars = chart(figure, "ln odds").patches
    assert sorted(p.get_height() for p in bars) == pytest.approx(sorted(odds), abs=6e-4)


def test_sections_are_those_of_the_volume(carried: Callable[[str], Carried]) -> None:
    done, drawn = carried("reconstruct")
    result = done.results[NAME]
    figure = drawn[f"rec_{NAME}"]
    voxels = " × ".join(map(str, result.voxels))
    assert f"{voxels} voxels of {result.pixel_size:g} Å" in words(figure)


# what figures of particles show


def test_charts_of_particles_have_units_and_legends() -> None:
    figure = figures.alignment_by_particles(particle_fit(9, motion=20.0))
    assert "TS_01: alignment by particles" in words(figure)
    ax = chart(figure, "change of the shift (px)")
    assert [text.get_text() for text in ax.get_legend().texts] == ["x", "y"]
    assert [right.get_ylabel() for right in ax.child_axes] == ["Å"]
    assert list(curves(ax)) == ["x", "y"]
    legend = chart(figure, "change of the angles (°)").get_legend()
    assert [text.get_text() for text in legend.texts] == ["tilt", "tilt axis", "about x"]
    chart(figure, "motion of particles, rms (Å)", "dose before the image (e/Å²)")


def test_motion_is_drawn_over_dose_and_from_both_sides() -> None:
    aligned = particle_fit(9, motion=20.0)
    fit, dose = aligned.fit, aligned.before.pre_exposure
    assert dose is not None
    figure = figures.alignment_by_particles(aligned)
    ax = chart(figure, "motion of particles, rms (Å)", "dose before the image (e/Å²)")
    order = np.argsort(dose)
    rms = np.sqrt((fit.trajectories**2).sum(axis=2).mean(axis=0))
    np.testing.assert_allclose(curves(ax)["displacement"], (dose[order], rms[order]))
    known = np.sqrt((fit.motion_deviations**2).sum(axis=1))
    np.testing.assert_allclose(curves(ax)["std. dev."][1], known[order])
    above = next(ax for ax in figure.axes if ax.get_title(loc="left").startswith("motion of"))
    beside = next(ax for ax in figure.axes if ax.get_title(loc="left").startswith("from the side"))
    factor = float(above.get_title(loc="left").rpartition("× ")[2])
    nm = aligned.pixel_size / 10
    last = fit.trajectories[:, order[-1]] / 10
    for ax, axes in ((above, [0, 1]), (beside, [0, 2])):
        paths = np.array(ax.collections[0].get_segments())
        np.testing.assert_allclose(paths[:, 0], aligned.particles.positions[:, axes] * nm)
        np.testing.assert_allclose(paths[:, -1] - paths[:, 0], factor * last[:, axes])


def test_displacements_are_arrows_as_long_as_their_title_says() -> None:
    from matplotlib.quiver import Quiver

    aligned = particle_fit(9)
    figure = figures.alignment_by_particles(aligned)
    ax = next(
        ax for ax in figure.axes if ax.get_title(loc="left").startswith("particles displaced")
    )
    factor = float(ax.get_title(loc="left").rpartition("× ")[2])
    arrows, key = (c for c in ax.collections if isinstance(c, Quiver))
    by = np.stack([arrows.U, arrows.V], axis=1)
    np.testing.assert_allclose(by, factor * aligned.displacement[:, :2] / 10)
    (said,) = (text.get_text() for text in ax.texts)
    value, unit = said.split()
    assert key.U[0] == pytest.approx(factor * float(value) * {"Å": 0.1, "nm": 1.0}[unit])
    total = np.sqrt((aligned.displacement**2).sum(axis=1).mean())
    assert f"{total:.1f} Å rms" in ax.get_title(loc="left")


def test_a_deformation_is_drawn_in_pixels_of_the_images() -> None:
    deformation = Deformation(kind="linear", grid=(2, 2), coefficients=np.full((9, 3), 0.01))
    aligned = particle_fit(9)
    after = replace(aligned.after, deformation=deformation)
    figure = figures.alignment_by_particles(replace(aligned, after=after))
    (ax,) = (ax for ax in figure.axes if ax.get_title(loc="left").startswith("2D deformation"))
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("image x (px)", "image y (px)")
    assert "(linear), mean" in ax.get_title(loc="left")


def test_what_was_held_is_left_out() -> None:
    aligned = particle_fit(9)
    shifts = PARAMETERS.index("shift_x")
    changes, deviations = aligned.fit.changes.copy(), aligned.fit.deviations.copy()
    changes[:, :shifts], deviations[:, :shifts] = 0.0, np.nan
    fit = replace(aligned.fit, changes=changes, deviations=deviations)
    figure = figures.alignment_by_particles(replace(aligned, fit=fit))
    assert "change of the angles (°)" not in {ax.get_ylabel() for ax in figure.axes}
    assert "9 images changed: " in words(figure)
    assert "°" not in words(figure)
    none = replace(fit, kept=np.zeros(9, bool), changes=np.zeros_like(changes))
    said = words(figures.alignment_by_particles(replace(aligned, fit=none)))
    assert "the images stay as they are" in said
    assert "rms" not in said.partition("they are")[2].partition(";")[0]


@pytest.mark.parametrize("n", [1, 41, 120])
@pytest.mark.parametrize("motion", [0.0, 20.0])
def test_particles_in_any_number_of_tilts(tmp_path: Path, n: int, motion: float) -> None:
    figure = figures.alignment_by_particles(particle_fit(n, motion=motion))
    assert "nan" not in words(figure)
    figures.save(figure, tmp_path / "a.png")


@pytest.mark.parametrize("n", [1, 41, 120])
def test_ctf_in_any_number_of_tilts(tmp_path: Path, n: int) -> None:
    made = refined(n)
    figure = figures.ctf_refinement(made)
    figures.save(figure, tmp_path / "a.png")
    assert f"defocus of {n} image{'s' * (n > 1)} changed" in words(figure)
    ax = chart(figure, "astigmatism, U − V (Å)")
    before, after = (curves(ax)[name][1] for name in ("before", "after"))
    np.testing.assert_allclose(before, 1000.0)
    np.testing.assert_allclose(after, 1000.0)
    (ax,) = (ax for ax in figure.axes if ax.get_ylabel().startswith("defocus − "))
    assert ax.get_ylabel() == "defocus − 3 µm (Å)"
    np.testing.assert_allclose(curves(ax)["before"][1], 0.0, atol=1e-6)
    np.testing.assert_allclose(curves(ax)["after"][1], 200.0)
    np.testing.assert_allclose(errors(ax)[0], 30.0)
    assert [text.get_text() for text in ax.get_legend().texts] == ["before", "after"]
