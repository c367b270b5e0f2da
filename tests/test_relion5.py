"""RELION 5's dialect: real projects at every stage, worked numbers, and what is refused."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tomoset
from tests.builders.image_stacks import write_stack
from tests.builders.shared_files import IMAGE_SIZE, STAGES
from tests.builders.tomograms import rigid_tomogram
from tomoset import geometry as g
from tomoset import star
from tomoset.formats.imod.alignment import read_xf


@pytest.mark.parametrize("stage", STAGES)
def test_every_stage_reads_and_comes_back(
    project: Path, stage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    s = tomoset.read(project / stage)  # from another folder
    assert list(s) == ["TS_01", "TS_03", "TS_43"]
    aligned = "job005" in stage or "job006" in stage or "job027" in stage
    for t in s.values():
        assert (t.alignment is not None) == aligned
        assert t.projections is None  # the images are not there, so their size is not known
        assert t.hand == -1
        assert t.acquisition_order.tolist() == np.argsort(t.pre_exposure).tolist()  # type: ignore[arg-type]
    monkeypatch.chdir(project)
    s.write("out/set.star")
    before, after = star.read(stage), star.read("out/set.star")
    assert [t.name for t in after.tables] == [t.name for t in before.tables]
    for label, texts in before["global"].columns.items():
        if label != "rlnTomoTiltSeriesStarFile":
            assert list(after["global"][label]) == list(texts)
    assert list(after["global"]["rlnTomoTiltSeriesStarFile"]) == [
        f"out/tilt_series/{name}.star" for name in s
    ]
    for name, path in zip(s, before["global"]["rlnTomoTiltSeriesStarFile"], strict=True):
        old, new = star.read(path)[name], star.read(f"out/tilt_series/{name}.star")[name]
        assert {k: list(v) for k, v in new.columns.items()} == {
            k: list(v) for k, v in old.columns.items()
        }
        assert new.comments == old.comments


def test_values_of_a_real_stage_are_read(project: Path) -> None:
    t = tomoset.read(project / "Tomograms/job006/tomograms.star")["TS_01"]
    assert (t.n_tilts, t.size, t.optics.pixel_size) == (40, (4000, 4000, 2000), 1.35)
    assert t.alignment is not None
    np.testing.assert_allclose(t.alignment.angles[0], [0, -57, 85.032958])
    np.testing.assert_allclose(t.alignment.shifts[0], [34.845611, 108.499417])
    assert t.images is not None
    assert t.images[0] == "MotionCorr/job002/frames/TS_01_038_-57_0.mrc"
    placed = t.placed(image_size=IMAGE_SIZE)
    middle = placed.project([[2000, 2000, 1000]])[:, 0]
    np.testing.assert_allclose(middle, t.alignment.shifts / 1.35 + (1855, 1919), atol=1e-9)
    with pytest.raises(tomoset.ModelError, match="size of the tilt images"):
        t.project([[0, 0, 0]])


def test_matrices_and_angles_of_one_file(shared: Path, tmp_path: Path) -> None:
    """RELION's own file holds both: they agree to the digits of the angles."""
    source = shared / "data/imod/EMPIAR-10164_TS_01/220728_TS_01.star"
    shutil.copy(source, tmp_path / "series.star")
    (tmp_path / "set.star").write_text(
        "data_global\n\nloop_\n_rlnTomoName\n_rlnTomoTiltSeriesStarFile\n_rlnVoltage\n"
        "_rlnSphericalAberration\n_rlnAmplitudeContrast\n_rlnTomoHand\n"
        "_rlnTomoTiltSeriesPixelSize\n_rlnTomoSizeX\n_rlnTomoSizeY\n_rlnTomoSizeZ\n"
        "220728_TS_01 series.star 300 2.7 0.1 -1 1.35 4000 4000 3000\n"
    )
    t = tomoset.read(tmp_path / "set.star")["220728_TS_01"]
    assert t.projections is not None  # from the matrices, which RELION 5 prefers
    alone = star.read(source).tables[0]
    angles = np.stack([alone.floats(f"rlnTomo{x}") for x in ("XTilt", "YTilt", "ZRot")], axis=1)
    shifts = np.stack([alone.floats(f"rlnTomo{x}ShiftAngst") for x in "XY"], axis=1) / 1.35
    ours = g.rigid_projections(angles, shifts, size=(4000, 4000, 3000), image_size=IMAGE_SIZE)
    assert g.rigid_loss(t.projections, ours, g.corners((4000, 4000, 3000))).max() < 1e-3


def test_imods_alignment_as_relion_5_reads_it(shared: Path) -> None:
    """Rotation and shifts of an .xf against RELION's own file, in ascending stage tilt.

    RELION turns images about the pixel W/2, IMOD about the middle (W - 1)/2: its shifts are the
    exact ones and half a pixel (docs/differences.md).
    """
    folder = shared / "data/imod/EMPIAR-10164_TS_01"
    xf = read_xf(folder / "xf_file.xf")
    table = star.read(folder / "220728_TS_01.star").tables[0]
    order = np.argsort(table.floats("rlnTomoNominalStageTiltAngle"))
    tilts = table.floats("rlnTomoYTilt")[order]
    # tiltalign's own table: view, rotation, tilt, without the first view. Its one rotation is
    # that before the beam tilt, which it found too, goes into the .xf.
    rows = (folder / "align.log").read_text().split("resid-nm\n")[1].split("\n\n")[0]
    views, _, solved = np.array([row.split()[:3] for row in rows.splitlines()], float).T
    np.testing.assert_allclose(tilts[views.astype(int) - 1], solved, atol=0.051)
    # Odd sizes: the tilt axis, in the middle of the volume, is a voxel.
    volume = g.ImodVolume(
        aligned_size=(3711, 3839), thickness=2001, slice_centre=1000.5, flip_z=False
    )
    exact = g.imod_projections(xf, -tilts, 0 * tilts, volume=volume, raw_size=IMAGE_SIZE)
    angles, shifts = g.rigid_parameters(exact, size=volume.size, image_size=IMAGE_SIZE)
    np.testing.assert_allclose(angles[:, 2], table.floats("rlnTomoZRot")[order], atol=1e-4)
    for axis, label in enumerate(("rlnTomoXShiftAngst", "rlnTomoYShiftAngst")):
        theirs = table.floats(label)[order]
        np.testing.assert_allclose((shifts[:, axis] + 0.5) * 1.35, theirs, atol=1e-4)
        raw = -np.linalg.solve(xf[:, :, :2], xf[:, :, 2:])[:, axis, 0] * 1.35
        np.testing.assert_allclose(raw, theirs, atol=1e-4)


@settings(max_examples=60)
@given(
    st.integers(0, 10**6),
    st.tuples(*[st.integers(20, 400)] * 3),
    st.tuples(*[st.integers(20, 400)] * 2),
)
def test_rigid_parameters_come_back(
    seed: int, size: tuple[int, int, int], image_size: tuple[int, int]
) -> None:
    rng = np.random.default_rng(seed)
    angles = rng.uniform([-20, -89, -180], [20, 89, 180], (6, 3))
    shifts = rng.normal(0, 50, (6, 2))
    P = g.rigid_projections(angles, shifts, size=size, image_size=image_size)
    again = g.rigid_parameters(P, size=size, image_size=image_size)
    np.testing.assert_allclose(again[0], angles, atol=1e-9)
    np.testing.assert_allclose(again[1], shifts, atol=1e-9)
    turned = P.copy()
    turned[:, 2] *= -1  # depth counted the other way
    np.testing.assert_allclose(
        g.rigid_parameters(turned, size=size, image_size=image_size)[0], angles, atol=1e-9
    )


@pytest.mark.parametrize("y", [90.0, -90.0])
def test_parameters_come_back_when_looking_along_an_axis(y: float) -> None:
    P = g.rigid_projections(
        np.array([[0, y, 30.0]]), np.zeros((1, 2)), size=(9, 9, 9), image_size=(9, 9)
    )
    angles, shifts = g.rigid_parameters(P, size=(9, 9, 9), image_size=(9, 9))
    again = g.rigid_projections(angles, shifts, size=(9, 9, 9), image_size=(9, 9))
    np.testing.assert_allclose(again, P, atol=1e-7)


@pytest.mark.parametrize("hand", [1, -1])
def test_a_mirrored_depth_turns_the_hand(tmp_path: Path, hand: int) -> None:
    t = rigid_tomogram(hand=hand)
    P = np.array(t.projections)
    P[:, 2] *= -1
    mirrored = rigid_tomogram(hand=-hand, projections=P)
    write_stack(tmp_path / "a.mrc", 5, (65, 47))
    points = np.random.default_rng(1).uniform(0, 30, (7, 3))
    for name, one in (("plain", t), ("mirrored", mirrored)):
        tomoset.TomogramSet([one]).write(tmp_path / name / "set.star", "relion5")
        shutil.copy(tmp_path / "a.mrc", tmp_path / name)
        again = tomoset.read(tmp_path / name / "set.star")["TS_01"]
        assert again.hand == hand
        np.testing.assert_allclose(again.project(points), t.project(points), atol=1e-6)
        np.testing.assert_allclose(again.defocus(points), t.defocus(points), atol=1e-5)


def test_what_relion_5_cannot_say_is_refused(tmp_path: Path) -> None:
    target = tmp_path / "set.star"
    magnified = np.array(rigid_tomogram().projections)
    magnified[2, :2, :3] *= 1.01
    mixed = np.array(rigid_tomogram().projections)
    mixed[2, 2] *= -1
    for t, error, says in (
        (
            rigid_tomogram(projections=magnified),
            tomoset.UnsupportedError,
            "tilt image 3 would be off",
        ),
        (rigid_tomogram(projections=mixed), tomoset.ModelError, "mirror"),
        (rigid_tomogram(pre_exposure=None), tomoset.UnsupportedError, "no doses"),
        (rigid_tomogram(image_size=None), tomoset.UnsupportedError, "image_size"),
    ):
        with pytest.raises(error, match=says):
            tomoset.TomogramSet([t]).write(target, "relion5")
        assert not target.exists()
        assert not (tmp_path / "tilt_series").exists() or not any(
            (tmp_path / "tilt_series").iterdir()
        )


HEAD = (
    "data_global\n\nloop_\n_rlnTomoName\n_rlnTomoTiltSeriesStarFile\n_rlnVoltage\n"
    "_rlnSphericalAberration\n_rlnAmplitudeContrast\n_rlnTomoHand\n_rlnTomoTiltSeriesPixelSize\n"
)
SERIES = "data_A\n\nloop_\n_rlnMicrographName\n_rlnMicrographPreExposure\na1.mrc 0\na2.mrc 3\n"


def refused(tmp_path: Path, head: str, series: str) -> str:
    (tmp_path / "set.star").write_text(HEAD + head)
    (tmp_path / "a.star").write_text(series)
    with pytest.raises(tomoset.TomosetError) as problem:
        tomoset.read(tmp_path / "set.star")
    return str(problem.value)


def test_damaged_sets_are_refused_with_file_and_line(tmp_path: Path) -> None:
    good = "A a.star 300 2.7 0.1 -1 1.35\n"
    assert "b.star is not there" in refused(tmp_path, good.replace("a.star", "b.star"), SERIES)
    assert "set.star:11" in refused(tmp_path, good.replace("a.star", "b.star"), SERIES)
    assert "expected a table data_A, found data_B" in refused(
        tmp_path, good, SERIES.replace("data_A", "data_B")
    )
    assert "rlnMicrographPreExposure" in refused(
        tmp_path, good, SERIES.replace("PreExposure", "Pre")
    )
    assert "above 0" in refused(tmp_path, good.replace("1.35", "0"), SERIES)
    assert "two tomograms are called 'A'" in refused(tmp_path, good + good, SERIES)
    write_stack(tmp_path / "a.star", 1)
    (tmp_path / "set.star").write_text(HEAD + good)
    with pytest.raises(tomoset.FileFormatError, match="MRC"):
        tomoset.read(tmp_path / "set.star")
    write_stack(tmp_path / "a1.mrc", 1, (64, 48))
    write_stack(tmp_path / "a2.mrc", 1, (64, 50))
    assert "a2.mrc has 64 x 50 px" in refused(tmp_path, good, SERIES)


def test_single_images_and_stacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for i in (1, 2):
        write_stack(tmp_path / f"a{i}.mrc", 1)
    (tmp_path / "set.star").write_text(HEAD + "A a.star 300 2.7 0.1 -1 1.35\n")
    (tmp_path / "a.star").write_text(SERIES)
    t = tomoset.read(tmp_path / "set.star")["A"]
    assert t.images == ("a1.mrc", "a2.mrc")
    assert t.image_size == (64, 48)
    write_stack(tmp_path / "s.mrcs", 4)
    (tmp_path / "a.star").write_text(
        SERIES.replace("a1.mrc", "4@s.mrcs").replace("a2.mrc", "2@s.mrcs")
    )
    s = tomoset.read(tmp_path / "set.star")
    assert s["A"].stack == "s.mrcs"
    assert s["A"].image_index is not None
    assert s["A"].image_index.tolist() == [3, 1]
    s.write(tmp_path / "out/set.star")
    written = star.read(tmp_path / "out/tilt_series/A.star")["A"]
    assert list(written["rlnMicrographName"]) == ["4@s.mrcs", "2@s.mrcs"]
    assert "rlnTomoTiltSeriesName" not in star.read(tmp_path / "out/set.star")["global"]


def test_matrices_that_count_from_one_are_noticed(tmp_path: Path) -> None:
    t = rigid_tomogram()
    write_stack(tmp_path / "a.mrc", 5, (65, 47))
    tomoset.TomogramSet([t]).write(tmp_path / "set.star", "relion5")
    path = tmp_path / "tilt_series/TS_01.star"
    table = star.read(path).tables[0]
    one_based = g.to_one_based(np.array(t.projections))
    columns = {
        f"rlnTomoProj{x}": star.format_vectors(one_based[:, i]) for i, x in enumerate("XYZW")
    }
    star.write([table.with_columns(columns)], path)
    with pytest.warns(tomoset.AssumptionWarning, match="count voxels from 1, as RELION 4"):
        tomoset.read(tmp_path / "set.star")


def test_relions_misspelt_label_is_kept(tmp_path: Path) -> None:
    (tmp_path / "set.star").write_text(
        HEAD + "_rlnTomogramHProjectionalf2\nA a.star 300 2.7 0.1 -1 1.35 x.mrc\n"
    )
    (tmp_path / "a.star").write_text(SERIES)
    tomoset.read(tmp_path / "set.star").write(tmp_path / "out.star")
    assert list(star.read(tmp_path / "out.star")["global"]["rlnTomogramHProjectionalf2"]) == [
        "x.mrc"
    ]


def test_selected_tilt_images(tmp_path: Path) -> None:
    s = tomoset.TomogramSet([rigid_tomogram().select([4, 0])])
    write_stack(tmp_path / "a.mrc", 5, (65, 47))
    s.write(tmp_path / "set.star", "relion5")
    written = star.read(tmp_path / "tilt_series/TS_01.star")["TS_01"]
    assert list(written["rlnMicrographName"]) == ["000005@a.mrc:mrcs", "000001@a.mrc:mrcs"]
    assert written.floats("rlnTomoYTilt").tolist() == [40, -40]


def test_names_with_slashes_are_written_and_read(tmp_path: Path) -> None:
    write_stack(tmp_path / "a.mrc", 5, (65, 47))
    tomoset.TomogramSet([replace(rigid_tomogram(), name="a/b 1")]).write(
        tmp_path / "set.star", "relion5"
    )
    assert list(tomoset.read(tmp_path / "set.star")) == ["a/b 1"]
