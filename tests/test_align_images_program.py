"""What becomes of an alignment by images: the set, what refers to it, reports and figures."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tomoset
from tests.builders.image_fits import UNUSED, image_fit
from tests.builders.image_stacks import write_images
from tests.builders.tomograms import rigid_tomogram
from tests.builders.whole_project import NAME, whole_project, write_files
from tomoset import figures, star
from tomoset.align import AlignmentError
from tomoset.align.images.result import UNKNOWN, ImageFit, ImageOptions
from tomoset.errors import AssumptionWarning, LossyWarning, UnsupportedError
from tomoset.figures._style import ORANGE
from tomoset.model import Fiducials, Observations, Project, Tomogram, TomogramSet
from tomoset.project import fiducials_of, open_project
from tomoset.project.edit import include
from tomoset.report import write_report

QUIET = {"quiet": True, "figures": "none"}


#: With what the last fit was asked for.
ASKED: dict[str, Any] = {}


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What fits are to be, by their fields; or ``failure``, why there is none."""
    changes: dict[str, Any] = {}

    def align(tomogram: Tomogram, images: object, options: ImageOptions, threads: int) -> ImageFit:
        ASKED.update(tomogram=tomogram, options=options)
        if "failure" in changes:
            raise AlignmentError(f"tomogram {tomogram.name!r}: {changes['failure']}")
        return image_fit(tomogram, **changes)

    monkeypatch.setattr("tomoset.programs.align_images.align", align)
    return changes


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """With the images of two projects."""
    monkeypatch.chdir(tmp_path)
    write_files(tmp_path)
    images = np.random.default_rng(0).normal(100, 9, (5, 47, 65)).astype(np.float32)
    write_images(tmp_path / "a.mrc", images, 2.0)
    return tmp_path


def small(format: str = "relion4", **changes: Any) -> TomogramSet:
    return TomogramSet([rigid_tomogram(**changes)], format=format)


def unaligned(**changes: Any) -> TomogramSet:
    given = {"projections": None, "size": None, "nominal_tilts": np.linspace(-40, 40, 5)}
    return small("relion5", **{**given, **changes})


def test_the_set_has_the_new_alignment_and_how_sure_it_is(
    here: Path, found: dict[str, Any]
) -> None:
    before = small(deviations={"tilt": np.ones(5), "defocus": np.full(5, 7.0)})
    done = tomoset.align_images(before, "A", **QUIET)
    assert not done.report.failed
    t = tomoset.read("A/tomograms.star")["TS_01"]
    fit = image_fit(before["TS_01"])
    np.testing.assert_allclose(t.need_projections(), fit.projections, atol=1e-9)
    assert sorted(t.deviations) == [
        *("defocus", "magnification", "rotation", "shift_x", "shift_y", "tilt")
    ]
    np.testing.assert_allclose(t.deviations["shift_x"], fit.deviations["shift_x"], rtol=1e-3)
    np.testing.assert_array_equal(t.deviations["defocus"], 7.0)
    assert t.size == (63, 49, 31)
    result = done.results["TS_01"]
    assert (result.images, result.unused, result.doubtful) == (5, {}, {})
    assert result.fit.axis_before == pytest.approx(85.0)
    assert result.fit.expected_nm == pytest.approx(fit.expected * 2.0 / 10)
    said = json.loads(Path("A/summary.json").read_text())["results"]["TS_01"]
    assert said["fit"]["thickness"] == 1480.0
    assert "projections" not in said
    assert done.ending() == [
        "set: A/tomograms.star",
        "the hand is not known from this: tomoset hand A/tomograms.star",
    ]
    lines = "\n".join(done.lines())
    assert "5 images aligned, moved by 0.62 px; known to 0.14 px (0.03 nm)" in lines
    assert "tilt axis at 84.12 degrees (+- 0.05; 85.00 before)" in lines
    assert "specimen 148 nm thick (+- 6), inclined by 2.00 degrees (+- 0.20)" in lines
    assert ASKED["options"] == ImageOptions()


def test_reports_have_what_it_found(here: Path, found: dict[str, Any]) -> None:
    tomoset.align_images(small(), "A", **QUIET)
    write_report("A/tomograms.star", "r.html")
    page = Path("r.html").read_text()
    assert "specimen 148 nm thick" in page
    assert "2.24" in page  # how much it is inclined in all


def test_images_with_angles_alone_become_an_aligned_set(here: Path, found: dict[str, Any]) -> None:
    with pytest.warns(AssumptionWarning) as warned:
        done = tomoset.align_images(unaligned(), "A", **QUIET)
    said = [str(w.message) for w in warned]
    assert sum("its size is not known" in one for one in said) == 1
    assert sum("nothing says the direction of its tilt axis" in one for one in said) == 1
    assert ASKED["options"].axis == UNKNOWN
    assert done.results["TS_01"].fit.axis_before is None
    assert "not known before" in "\n".join(done.lines())
    t = tomoset.read("A/tomograms.star")["TS_01"]
    assert t.size == (65, 65, 1500)
    np.testing.assert_allclose(t.tilt_angles, np.linspace(-40, 40, 5), atol=1e-6)


def test_images_that_were_out_can_come_back_aligned(here: Path, found: dict[str, Any]) -> None:
    (t,) = unaligned(nominal_axis=np.full(5, 84.12)).values()
    found["plane"] = np.array([700.0, 0.2, 0.0])
    with pytest.warns((AssumptionWarning, LossyWarning)):
        tomoset.align_images(
            TomogramSet([t.exclude([1], "ice")], format="relion5"), "A", level=True, **QUIET
        )
    found_again = tomoset.read("A/tomograms.star")["TS_01"]
    assert found_again.n_tilts == 4
    whole = found_again.restore()
    assert whole.n_tilts == 5
    assert whole.tilt_axis_angles[1] == pytest.approx(whole.tilt_axis_angles[2], abs=0.5)


def test_images_that_show_nothing_are_kept_aside_and_doubtful_ones_named(
    here: Path, found: dict[str, Any]
) -> None:
    found |= {"unused": {1: UNUSED, 3: "blank"}, "doubtful": {4: "support 4.0, rival 3.9"}}
    with pytest.warns(AssumptionWarning) as warned:
        done = tomoset.align_images(small("relion5"), "A", **QUIET)
    said = " ".join(str(w.message) for w in warned)
    assert "'TS_01', tilt images 2, 4: nothing to align by, so kept aside" in said
    assert f": {UNUSED}, blank" in said
    assert "tilt image 5: the other images do not confirm where they are" in said
    result = done.results["TS_01"]
    assert result.unused == {"2": UNUSED, "4": "blank"}
    assert result.doubtful == {"5": "support 4.0, rival 3.9"}
    assert f"not used: 2 ({UNUSED}), 4 (blank)" in "\n".join(done.lines())
    t = tomoset.read("A/tomograms.star")["TS_01"]
    assert t.n_tilts == 3
    assert [(e.row, e.reason) for e in t.exclusions] == [(1, UNUSED), (3, "blank")]
    np.testing.assert_allclose(
        t.restore().need_projections(), image_fit(small()["TS_01"]).projections, atol=1e-9
    )
    (tilts,) = (table for table in star.read("A/alignment_TS_01.star") if table.name == "tilts")
    assert list(tilts["tomosetVerdict"]) == ["good", "unused", "good", "unused", "doubtful"]
    assert tilts["tomosetReason"][1] == UNUSED.replace(" ", "_")
    assert tilts["tomosetShiftXError"][1] == "nan"


@pytest.fixture
def project(here: Path) -> Project:
    """Particles that move, and beads that were seen, in eight images and one that is out."""
    made = whole_project()
    t = made.tomograms[NAME]
    points = made.fiducials[NAME].points
    tilt, bead = (a.ravel() for a in np.indices((t.n_tilts, 2)))
    seen = Observations(points=t.project(points)[tilt, bead], tilt=tilt, bead=bead)
    beads = Fiducials(points=points, observations=seen)
    made.with_sets(fiducials={NAME: beads}).write("P", "relion4")
    return open_project("P/optimisation_set.star")


@pytest.mark.filterwarnings("ignore::tomoset.TomosetWarning")
@pytest.mark.parametrize("level", [False, True])
def test_what_refers_to_a_set_follows_images_that_are_kept_aside(
    project: Project, found: dict[str, Any], level: bool
) -> None:
    found |= {"unused": {0: "dark", 5: "blank"}}
    done = tomoset.align_images(project, "A", level=level, **QUIET)
    assert not done.report.failed
    new = open_project("A/optimisation_set.star")
    t, old = new.tomograms[NAME], project.tomograms[NAME]
    assert (old.n_tilts, t.n_tilts, len(t.exclusions)) == (8, 6, 3)
    kept = [1, 2, 3, 4, 6, 7]
    assert new.particles is not None
    assert project.particles is not None
    visible = [v[kept].tolist() for v in project.particles.visible]  # type: ignore[union-attr]
    assert [v.tolist() for v in new.particles.visible] == visible  # type: ignore[union-attr]
    assert new.trajectories is not None
    assert {len(way) for way in new.trajectories.values()} == {6}
    beads, before = (fiducials_of(p.tomograms[NAME], "relion4") for p in (new, project))
    assert beads is not None
    assert before is not None
    assert beads.observations is not None
    assert before.observations is not None
    seen = before.observations.grid(8)[kept]
    np.testing.assert_allclose(beads.observations.grid(6), seen, atol=1e-4)
    if level:
        moved = done.results[NAME].motion
        assert moved is not None
        fit = image_fit(old)
        np.testing.assert_allclose(t.need_projections() @ moved, fit.projections[kept], atol=1e-6)
        np.testing.assert_allclose(
            t.project(new.particles.positions),
            replace(old, projections=fit.projections).project(project.particles.positions)[kept],
            atol=1e-4,
        )
    back = include(new)
    assert back.tomograms[NAME].n_tilts == 9
    assert back.trajectories is not None
    assert {len(way) for way in back.trajectories.values()} == {9}


def test_what_follows_is_written_only_where_images_are_kept_aside(
    project: Project, found: dict[str, Any]
) -> None:
    with pytest.warns():
        tomoset.align_images(project, "A", **QUIET)
    names = {p.name for p in Path("A").iterdir()}
    assert names >= {"tomograms.star", "optimisation_set.star", "alignment_TS_01.star"}
    assert not names & {"particles.star", "motion.star", "fiducials_TS_01.star"}


def test_a_set_of_rigid_alignments_gets_the_nearest_one_and_says_what_that_loses(
    here: Path, found: dict[str, Any]
) -> None:
    before = small("relion5")
    P = before["TS_01"].need_projections()
    grown = P.copy()
    grown[:, :2, :3] *= 1.01
    found["projections"] = grown
    with pytest.warns(LossyWarning, match="knows rigid alignments only, and the magnifications"):
        done = tomoset.align_images(before, "A", **QUIET)
    result = done.results["TS_01"]
    # Half of the diagonal of the least tilted image, times the magnification.
    assert result.rigid_loss == pytest.approx(0.01 * np.hypot(62, 48) / 2, rel=0.1)
    t = tomoset.read("A/tomograms.star")["TS_01"]
    assert np.abs(np.linalg.norm(t.need_projections()[:, :2, :3], axis=2) - 1).max() < 1e-9
    assert "magnification" not in t.deviations
    assert tomoset.align_images(small(), "B", **QUIET).results["TS_01"].rigid_loss is None


def test_what_supports_no_alignment_keeps_the_one_that_it_has(
    here: Path, found: dict[str, Any]
) -> None:
    found["failure"] = "its images do not support an alignment"
    done = tomoset.align_images(small(), "A", **QUIET)
    assert list(done.report.failed) == ["TS_01"]
    assert done.path is None
    assert done.ending() == ["no set was written"]
    # Of two, the other one is there, and the set says which waits.
    (one,) = small().values()
    write_images(here / "b.mrc", np.ones((5, 47, 65), np.float32), 2.0)
    two = TomogramSet([one, replace(one, name="TS_02", stack="b.mrc")], format="relion4")
    del found["failure"]
    found["unused"] = {}
    original = tomoset.programs.align_images.align  # type: ignore[attr-defined]

    def fails_once(tomogram: Tomogram, *given: Any) -> ImageFit:
        if tomogram.name == "TS_02":
            raise AlignmentError("its images do not support an alignment")
        fit: ImageFit = original(tomogram, *given)
        return fit

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tomoset.programs.align_images.align", fails_once)
        done = tomoset.align_images(two, "B", **QUIET)
    assert list(done.report.failed) == ["TS_02"]
    made = tomoset.read("B/tomograms.star")
    assert made["TS_02"].unfinished == ("align images",)
    np.testing.assert_allclose(made["TS_02"].need_projections(), one.need_projections(), atol=1e-9)
    assert not np.allclose(made["TS_01"].need_projections(), one.need_projections())
    # And what is there is not done again.
    done = tomoset.align_images(two, "B", resume=True, **QUIET)
    assert list(done.results) == ["TS_01", "TS_02"]
    assert not tomoset.read("B/tomograms.star")["TS_02"].unfinished


def test_a_gpu_is_refused_before_anything_begins(here: Path) -> None:
    with pytest.raises(UnsupportedError, match="computed by the processor alone"):
        tomoset.align_images(small(), "A", device="cuda")
    assert not Path("A").exists()


def test_a_body_seen_whole_is_told_from_a_slab(here: Path, found: dict[str, Any]) -> None:
    """Its tilts are not fitted, and it has no inclination about the axis that it is round about."""
    sure = {"shift_x": np.full(5, 0.1), "shift_y": np.full(5, 0.1), "rotation": np.full(5, 0.2)}
    found.update(inclination=(np.nan, -2.0), inclination_error=(np.nan, 0.3), deviations=sure)
    done = tomoset.align_images(small(), "A", **QUIET)
    assert not done.report.failed
    said = "a body seen whole, 148 nm thick (+- 6), inclined by -2.00 degrees (+- 0.30) across"
    assert said in "\n".join(done.lines())
    assert sorted(tomoset.read("A/tomograms.star")["TS_01"].deviations) == sorted(sure)
    assert json.loads(Path("A/summary.json").read_text())["results"]["TS_01"]["fit"][
        "inclination"
    ] == [None, -2.0]
    t = rigid_tomogram()
    fit = image_fit(t, **found)
    with t.open_images() as images:
        figure = figures.alignment_by_images(replace(t, projections=fit.projections), fit, images)
    assert "a body seen whole, 148 nm ± 5.5 nm thick, inclined by −2.00° ± 0.30°" in in_words(
        figure
    )


def in_words(figure: Any) -> str:
    return " ".join(" ".join(text.get_text() for text in figure.texts).split())


def test_the_figure_says_what_the_fit_says(here: Path) -> None:
    t = rigid_tomogram()
    fit = image_fit(t, unused={1: "dark"}, doubtful={4: "support 4.0"})
    with t.open_images() as images:
        figure = figures.alignment_by_images(replace(t, projections=fit.projections), fit, images)
    said = in_words(figure)
    assert "5 tilt images, 2 Å/px, compared at 10 Å/px" in said
    assert "known to 0.14 px (0.28 Å)" in said
    assert "specimen 148 nm ± 5.5 nm thick, inclined by 2.00° ± 0.20° about the tilt axis" in said
    assert "not used: 2 (dark)" in said
    assert "in doubt: 5 (support 4.0)" in said
    axes = {ax.get_ylabel(): ax for ax in figure.axes}
    shifts = axes["shift of the middle (px)"]
    middle = (np.array(t.need_size()) - 1) / 2
    away = replace(t, projections=fit.projections).project(middle[None])[:, 0] - np.array([32, 23])
    drawn = {line.get_label(): line.get_ydata() for line in shifts.lines}
    np.testing.assert_allclose(drawn["x"][[0, 2, 3, 4]], away[[0, 2, 3, 4], 0])
    assert np.isnan(drawn["y"][1])
    bars = [c for c in shifts.collections if len(c.get_paths()) == 4]
    assert len(bars) == 2
    support = axes["support (std. dev.)"]
    doubtful = next(line for line in support.lines if line.get_label() == "in doubt")
    assert doubtful.get_color() == ORANGE
    assert (doubtful.get_xdata()[0], doubtful.get_ydata()[0]) == (pytest.approx(40.0), 4.0)
    (panel,) = (ax for ax in figure.axes if "residuals of windows ×" in ax.get_title(loc="left"))
    factor = float(panel.get_title(loc="left").rpartition("× ")[2])
    from matplotlib.quiver import Quiver

    (arrows,) = (c for c in panel.collections if isinstance(c, Quiver))
    np.testing.assert_allclose(arrows.U, factor * fit.residuals[2, :, 0])
    np.testing.assert_allclose(
        arrows.get_offsets(), replace(t, projections=fit.projections).project(fit.windows)[2]
    )


@pytest.mark.parametrize("name", ["alignment", "tilts", "windows"])
def test_the_report_has_the_numbers_of_the_fit(
    here: Path, found: dict[str, Any], name: str
) -> None:
    tomoset.align_images(small(), "A", **QUIET)
    fit = image_fit(small()["TS_01"])
    (table,) = (table for table in star.read("A/alignment_TS_01.star") if table.name == name)

    def column(label: str) -> np.ndarray:
        return np.array(table[label], np.float64)

    if name == "alignment":
        assert column("tomosetThicknessAngst")[0] == 1480
        assert column("tomosetExpectedErrorAngst")[0] == pytest.approx(0.28)
        assert column("tomosetInclinationX")[0] == -1
    elif name == "tilts":
        np.testing.assert_allclose(column("tomosetSupport"), fit.support, rtol=1e-5)
        np.testing.assert_allclose(column("tomosetRotation"), 85.0, rtol=1e-5)
        np.testing.assert_allclose(column("tomosetTilt"), np.linspace(-40, 40, 5), atol=1e-4)
        np.testing.assert_allclose(column("tomosetTiltError"), fit.deviations["tilt"], rtol=1e-5)
        np.testing.assert_allclose(column("tomosetMagnification"), 1.0)
    else:
        assert len(column("tomosetX")) == 5 * 12
        off = np.column_stack([column("tomosetResidualX"), column("tomosetResidualY")])
        np.testing.assert_allclose(off.reshape(5, 12, 2), fit.residuals, rtol=1e-4)
