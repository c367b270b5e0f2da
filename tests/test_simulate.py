"""Simulated projects: their files, imported, give the truth back."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import mrcfile
import numpy as np
import pytest

import tomoset
from tomoset import simulate as sim
from tomoset.cli import main
from tomoset.errors import AssumptionWarning, ModelError
from tomoset.formats.imod.commands import format_list
from tomoset.images.mrc import stack_path
from tomoset.images.stack import read_header
from tomoset.simulate.ice import ice

SMALL = ["--tilts", "15", "--size", "160", "150", "60", "--beads", "7"]
TINY = ["--series", "1", "--tilts", "9", "--size", "48", "44", "40", "--beads", "1"]
FILES = (
    "{}.mrc",
    "{}.xf",
    "{}.tlt",
    "{}.rawtlt",
    "{}_ctf.txt",
    "{}.defocus",
    "{}_order.csv",
    "newst.com",
)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small project, imported."""
    out = tmp_path_factory.mktemp("simulated") / "project"
    assert main(["simulate", str(out), *SMALL]) == 0
    folders = [str(out / name) for name in ("TS_01", "TS_02")]
    output = ["-o", str(out / "tomograms.star"), "--angpix", "5.4", "--fd", "3", "--strict"]
    assert main(["import", "imod", *folders, *output]) == 0
    return out


def truth_of(project: Path, name: str) -> dict[str, Any]:
    truth = json.loads((project / "truth" / f"{name}.json").read_text())
    truth = {k: np.array(v) if isinstance(v, list) else v for k, v in truth.items()}
    kept = np.setdiff1d(np.arange(len(truth["tilts"])), truth["excluded_images"])
    return {**truth, "kept": kept}


@pytest.mark.parametrize("name", ["TS_01", "TS_02"])
def test_imported_projections_see_the_beads_where_they_are(project: Path, name: str) -> None:
    tomogram, truth = tomoset.read(project / "tomograms.star")[name], truth_of(project, name)
    seen = tomogram.project(truth["beads_px"])
    expected = truth["bead_images_px"][truth["kept"]]
    # Twelve digits of a matrix and six decimals of the truth are all that is lost.
    np.testing.assert_allclose(seen, expected, rtol=0, atol=2e-6)
    found = tomogram.triangulate(expected)
    np.testing.assert_allclose(found, truth["beads_px"], rtol=0, atol=5e-6)


@pytest.mark.parametrize("name", ["TS_01", "TS_02"])
def test_imported_values_are_the_truth(project: Path, name: str) -> None:
    tomogram, truth = tomoset.read(project / "tomograms.star")[name], truth_of(project, name)
    kept = truth["kept"]
    assert tomogram.size == tuple(truth["tomogram_size_px"])
    assert tomogram.image_size == tuple(truth["image_size_px"])
    assert tomogram.hand == truth["hand"]
    np.testing.assert_array_equal(tomogram.pre_exposure, truth["pre_exposure"][kept])
    np.testing.assert_allclose(tomogram.tilt_angles, truth["tilts"][kept], atol=1e-6)
    np.testing.assert_allclose(tomogram.tilt_axis_angles, truth["tilt_axes"][kept], atol=2e-6)
    for ours in ("defocus_u", "defocus_v", "defocus_angle"):
        np.testing.assert_allclose(getattr(tomogram, ours), truth[ours][kept], atol=1e-5)


def test_excluded_views_are_culled(project: Path) -> None:
    assert "EXCLUDELIST2 3-5,14\n" in (project / "TS_02" / "tilt.com").read_text()
    tomograms, truth = tomoset.read(project / "tomograms.star"), truth_of(project, "TS_02")
    assert [t.n_tilts for t in tomograms.values()] == [15, 11]
    assert truth["excluded_images"].tolist() == [2, 3, 4, 13]
    with (
        mrcfile.open(project / "TS_02" / "TS_02.mrc") as raw,
        mrcfile.open(stack_path(str(tomograms["TS_02"].stack))) as culled,
    ):
        np.testing.assert_array_equal(culled.data, raw.data[truth["kept"]])
        # Something stood in the beam: a view that should be gone is known by its darkness.
        assert raw.data[truth["excluded_images"]].mean() < 0.1 * culled.data.mean()


def test_the_import_table_gives_the_same(project: Path, tmp_path: Path) -> None:
    table, out = str(project / "tilt_series.star"), str(tmp_path / "table.star")
    flags = ["--flipYZ", "--flipZ", "--angpix", "5.4", "--root", f"{project}/"]
    assert main(["import", "imod", "--i", table, "-o", out, *flags]) == 0
    by_table, by_folder = tomoset.read(out), tomoset.read(project / "tomograms.star")
    assert list(by_table) == list(by_folder)
    for one, other in zip(by_table.values(), by_folder.values(), strict=True):
        np.testing.assert_array_equal(one.projections, other.projections)
        np.testing.assert_array_equal(one.pre_exposure, other.pre_exposure)


def test_exact_depth_is_one_and_a_half_voxels_from_relions_frame(
    project: Path, tmp_path: Path
) -> None:
    out = str(tmp_path / "exact.star")
    flags = ["--angpix", "5.4", "--fd", "3", "--exact-depth"]
    assert main(["import", "imod", str(project / "TS_01"), "-o", out, *flags]) == 0
    truth = truth_of(project, "TS_01")
    seen = tomoset.read(out)["TS_01"].project(truth["beads_px"] + (0, 0, 1.5))
    np.testing.assert_allclose(seen, truth["bead_images_px"], rtol=0, atol=2e-6)


def test_files_are_those_of_imod(project: Path) -> None:
    for name in ("TS_01", "TS_02"):
        expected = {file.format(name) for file in (*FILES, "tilt.com")}
        assert {path.name for path in (project / name).iterdir()} == expected
        header = read_header(project / name / f"{name}.mrc")
        assert (header.size, header.n_images, header.mode) == ((160, 150), 15, 1)
        assert header.pixel_size == pytest.approx(5.4)
        assert mrcfile.validate(project / name / f"{name}.mrc")


def test_info_and_check_are_content(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", str(project / "tomograms.star")]) == 0
    assert main(["check", str(project / "tomograms.star"), "--strict"]) == 0
    assert "missing" not in capsys.readouterr().out


def centroid(image: np.ndarray, at: np.ndarray, radius: float) -> np.ndarray:
    """Centre of what is dark around the pixel nearest to `at`, against a plane around it."""
    y, x = np.indices(image.shape)
    dx, dy = x - round(at[0]), y - round(at[1])
    distance = np.hypot(dx, dy)
    around = (distance > radius + 3) & (distance < radius + 8)
    inside = distance <= radius + 2
    plane = np.stack([np.ones(image.shape), dx, dy], axis=-1)
    level = np.linalg.lstsq(plane[around], image[around].astype(float), rcond=None)[0]
    dark = (plane @ level - image)[inside]
    return np.array([(dark * x[inside]).sum(), (dark * y[inside]).sum()]) / dark.sum()


def isolated(beads: np.ndarray, radius: float, image_size: tuple[int, int]) -> np.ndarray:
    """Which of the beads of an image have nothing near, and are well inside it."""
    apart = np.linalg.norm(beads[:, None] - beads, axis=-1)
    np.fill_diagonal(apart, np.inf)
    margin = radius + 8
    inside = ((beads > margin) & (beads < np.array(image_size) - 1 - margin)).all(axis=-1)
    return (apart.min(axis=1) > 2 * radius + 9) & inside


def test_beads_are_where_the_truth_says_in_the_images(project: Path) -> None:
    radius = 50 / 5.4
    off = []
    for name in ("TS_01", "TS_02"):
        truth = truth_of(project, name)
        with mrcfile.open(project / name / f"{name}.mrc") as stack:
            for row in truth["kept"]:
                beads = truth["bead_images_px"][row]
                alone = beads[isolated(beads, radius, (160, 150))]
                off += [centroid(stack.data[row], at, radius) - at for at in alone]
    assert len(off) > 60
    assert np.abs(np.mean(off, axis=0)).max() < 0.1  # the ice is uneven; half a pixel would show
    assert np.sqrt(np.mean(np.square(off))) < 0.25  # shot noise


def test_beads_are_drawn_to_a_hundredth_of_a_pixel() -> None:
    nominal, rank = sim.dose_symmetric(9)
    taken = sim.Acquisition(nominal=nominal, rank=rank, image_size=(120, 110), ctf=False, noise=0.0)
    beads = np.array([[54.3, 60.7, 20.0], [80.0, 80.0, 35.25], [30.25, 35.5, 10.5]])
    specimen = sim.Specimen(
        size=(*taken.aligned_size, 50),
        beads=beads,
        slab=200,
        waves=np.empty((0, 5)),
    )
    series = sim.simulate(specimen, taken, sim.Views.random(taken, 3), seed=3)
    radius = 50 / 5.4
    off = [
        centroid(image, at, radius) - at
        for image, seen in zip(series.images, series.bead_images, strict=True)
        for at in seen[isolated(seen, radius, taken.image_size)]
    ]
    assert len(off) > 10
    assert np.abs(off).max() < 0.01


def test_ice_is_darker_at_high_tilt() -> None:
    nominal, rank = sim.dose_symmetric(9)
    taken = sim.Acquisition(nominal=nominal, rank=rank, image_size=(64, 60), noise=0.0)
    specimen = sim.Specimen.random((*taken.aligned_size, 50), 5.4, sim.Contents(beads=0), seed=1)
    views = sim.Views.random(taken, 1)
    brightness = sim.simulate(specimen, taken, views, seed=1).images.mean(axis=(1, 2))
    expected = sim.FULL_COUNTS * np.exp(
        -specimen.slab / sim.ICE_PATH / np.cos(np.deg2rad(views.tilts))
    )
    np.testing.assert_allclose(brightness, expected, rtol=0.05)


def test_ice_belongs_to_the_specimen() -> None:
    """Its texture follows the same projection as the beads: summed up along beams by hand."""
    nominal, rank = sim.dose_symmetric(3)
    taken = sim.Acquisition(nominal=nominal, rank=rank, image_size=(40, 36), pixel_size=20)
    specimen = sim.Specimen.random((*taken.aligned_size, 30), 20, sim.Contents(beads=0), seed=2)
    views = sim.Views.random(taken, 2)
    for i, tilt in enumerate(views.tilts):
        drawn = ice(specimen, taken, tilt, views.xf[i])
        thickness = specimen.slab / taken.pixel_size
        depth = (np.arange(2000) + 0.5) / 2000 * thickness - thickness / 2
        sin, cos = np.sin(np.deg2rad(tilt)), np.cos(np.deg2rad(tilt))
        for x, y in [(3, 5), (20, 30)]:
            p = np.array([x, y]) - (np.array(taken.image_size) - 1) / 2
            across, up = views.xf[i][:, :2] @ p + views.xf[i][:, 2]
            beam = np.stack([(across + depth * sin) / cos, depth, np.full_like(depth, up)])
            phase = specimen.waves[:, :3] @ beam + specimen.waves[:, 4:]
            density = 1 + specimen.waves[:, 3] @ np.cos(phase)
            assert drawn[y, x] == pytest.approx(density.mean() * thickness / cos, abs=1e-3)


def test_one_seed_gives_one_project(project: Path, tmp_path: Path) -> None:
    assert main(["simulate", str(tmp_path / "same"), *SMALL]) == 0
    assert main(["simulate", str(tmp_path / "other"), *SMALL, "--seed", "2"]) == 0
    made = sorted(p.relative_to(tmp_path / "same") for p in (tmp_path / "same").rglob("*.*"))
    assert len(made) == 2 * 9 + 2 + 3
    for file in made:
        assert (tmp_path / "same" / file).read_bytes() == (project / file).read_bytes()
    for file in ("TS_01/TS_01.mrc", "TS_01/TS_01.xf", "truth/TS_01.json"):
        assert (tmp_path / "other" / file).read_bytes() != (project / file).read_bytes()


def test_series_of_a_project_differ(project: Path) -> None:
    one, other = truth_of(project, "TS_01"), truth_of(project, "TS_02")
    assert not np.allclose(one["beads_px"], other["beads_px"], atol=1)
    assert not np.allclose(one["tilts"], other["tilts"], atol=0.01)


def test_says_what_it_made_and_what_is_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["simulate", "new", *SMALL, "--series", "1"]) == 0
    said = capsys.readouterr().out
    assert "TS_01 excludes views 3-5,14" in said
    commands = [line.split() for line in said.splitlines() if line.startswith("  tomoset ")]
    assert len(commands) == 2
    for command in commands:
        assert main(command[1:]) == 0


def test_an_existing_project_is_replaced_with_overwrite_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "project"
    assert main(["simulate", str(out), *TINY]) == 0
    before = (out / "TS_01" / "TS_01.xf").read_bytes()
    assert main(["simulate", str(out), *TINY, "--seed", "5"]) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert (out / "TS_01" / "TS_01.xf").read_bytes() == before
    assert main(["simulate", str(out), *TINY, "--seed", "5", "--overwrite"]) == 0
    assert (out / "TS_01" / "TS_01.xf").read_bytes() != before
    assert [p.name for p in tmp_path.iterdir()] == ["project"]


def test_overwrites_only_its_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter1.tex").write_text("\\section{}")
    assert main(["simulate", str(tmp_path / "thesis"), *TINY, "--overwrite"]) == 2
    assert "is not a project that simulate made" in capsys.readouterr().err
    assert (tmp_path / "thesis" / "chapter1.tex").exists()


def test_simulating_into_the_working_folder_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["simulate", ".", *TINY]) == 2
    assert "one folder up" in capsys.readouterr().err


@pytest.mark.parametrize("problem", [KeyboardInterrupt, OSError(28, "No space left on device")])
def test_a_failed_simulation_leaves_nothing(
    problem: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "project"
    assert main(["simulate", str(out), *TINY]) == 0
    before = (out / "TS_01" / "TS_01.xf").read_bytes()

    def fail(*_: object, **__: object) -> None:
        raise problem

    monkeypatch.setattr("tomoset.formats.imod.write.import_table", fail)
    assert main(["simulate", str(out), *TINY, "--seed", "2", "--overwrite"]) != 0
    assert main(["simulate", str(tmp_path / "new"), *TINY]) != 0
    assert [p.name for p in tmp_path.iterdir()] == ["project"]
    assert (out / "TS_01" / "TS_01.xf").read_bytes() == before


def test_too_many_beads_is_wrong_use(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "project"
    assert main(["simulate", str(out), "--size", "64", "60", "30", "--beads", "400"]) == 2
    assert "room for" in capsys.readouterr().err
    assert not out.exists()
    with pytest.raises(ModelError, match="room for 0 gold beads"):
        sim.Specimen.random((8, 8, 8), 1.0, sim.Contents(beads=1), seed=1)


def test_views_as_imod_lists_them() -> None:
    assert format_list([39, 2, 4, 3]) == "3-5,40"
    assert format_list([]) == ""
    assert format_list([0, 1]) == "1-2"


def test_pixel_size_is_in_the_header(project: Path, tmp_path: Path) -> None:
    out = str(tmp_path / "by_header.star")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AssumptionWarning)
        assert main(["import", "imod", str(project / "TS_01"), "-o", out, "--fd", "3"]) == 0
    assert tomoset.read(out)["TS_01"].optics.pixel_size == pytest.approx(5.4, abs=1e-6)
