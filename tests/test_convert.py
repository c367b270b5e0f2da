"""tomoset convert: both ways and back, verified; what is lost is stated or refused."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import mrcfile
import numpy as np
import pytest

import tomoset
from tests.builders.command import convert
from tests.builders.image_stacks import write_stack
from tests.builders.imod_folder import make_folder
from tests.builders.random_projects import write_random_project
from tests.builders.relion_project import small_project
from tests.builders.shared_files import IMAGE_SIZE
from tests.builders.tomograms import rigid_tomogram
from tomoset.cli import main


def same(a: tomoset.Tomogram, b: tomoset.Tomogram, px: float = 1e-6) -> None:
    size = np.array(a.size)
    points = np.random.default_rng(1).uniform(0, size, (50, 3))
    np.testing.assert_allclose(a.project(points), b.project(points), rtol=0, atol=px)
    if a.defocus_u is not None:
        np.testing.assert_allclose(a.defocus(points), b.defocus(points), rtol=0, atol=1e-4)


def test_relion_5_and_4_round_trips_keep_the_tomogram(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tomoset.TomogramSet([rigid_tomogram()])
    source.write("r5.star", "relion5")
    assert convert(capsys, "r5.star", "r4/set.star", "--to", "relion4")[0] == 0
    code, out, _ = convert(capsys, "r4/set.star", "again/set.star", "--to", "relion5")
    assert code == 0
    assert "verified: 75 points" in out
    same(tomoset.read("again/set.star")["TS_01"], source["TS_01"])
    assert convert(capsys, "again/set.star", "r4b/set.star", "--to", "relion4")[0] == 0
    same(tomoset.read("r4b/set.star")["TS_01"], tomoset.read("r4/set.star")["TS_01"])


def test_defocus_is_kept_where_the_origin_of_depth_differs(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """docs/relion.md, 'Conversion of RELION 4 and 5', step 5: the tables differ by up to 1.73 px of
    depth, defocus does not."""
    tomoset.TomogramSet([rigid_tomogram()]).write("r5.star", "relion5")
    convert(capsys, "r5.star", "r4.star", "--to", "relion4")
    five, four = tomoset.read("r5.star")["TS_01"], tomoset.read("r4.star")["TS_01"]
    assert five.projections is not None
    step = -1 * 2.0 * five.projections[:, 2, :3].sum(axis=1)  # hand x px x sum of the third row
    np.testing.assert_allclose(five.defocus_u - four.defocus_u, step, atol=1e-6)  # type: ignore[operator]


def test_what_relion_5_cannot_say_is_refused_or_its_loss_stated(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    magnified = np.array(rigid_tomogram().projections)
    magnified[2, :2, :3] *= 1.01
    tomoset.TomogramSet([rigid_tomogram(projections=magnified)]).write("r4.star", "relion4")
    code, _, errors = convert(capsys, "r4.star", "r5/set.star", "--to", "relion5")
    assert code == 1
    assert "tilt image 3 would be off by up to" in errors
    assert not Path("r5/set.star").exists()
    code, out, _ = convert(
        capsys, "r4.star", "r5/set.star", "--to", "relion5", "--nearest", "--json"
    )
    assert code == 0
    summary = json.loads(out)
    lost = summary["losses_px"]["TS_01"]
    # 1 % of the way to the corners, in that tilt image alone
    assert max(lost) == lost[2] == pytest.approx(0.01 * np.hypot(31, 24), rel=0.2)
    assert sum(lost) == pytest.approx(lost[2], abs=1e-6)
    assert 1e-3 < summary["position_px"] <= max(lost) + 1e-6
    code, out, _ = convert(
        capsys, "r4.star", "kept/set.star", "--to", "relion5", "--keep-matrices", "--json"
    )
    assert code == 0
    assert json.loads(out)["position_px"] < 1e-6
    code, _, _ = convert(capsys, "r4.star", "loose/set.star", "--to", "relion5", "--max-loss", "1")
    assert code == 0
    assert (
        convert(capsys, "r4.star", "x.star", "--to", "relion5", "--nearest", "--keep-matrices")[0]
        == 2
    )
    assert convert(capsys, "r4.star", "r4.star", "--to", "relion4")[0] == 2


def test_a_real_project_survives_the_round_trip(
    project: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(project)
    size = ("--image-size", *map(str, IMAGE_SIZE))
    stage = "Tomograms/job006/tomograms.star"
    code, _, errors = convert(capsys, stage, "r4/set.star", "--to", "relion4")
    assert code == 1
    assert "--image-size" in errors
    code, out, errors = convert(capsys, stage, "r4/set.star", "--to", "relion4", *size)
    assert code == 0
    assert "verified: 225 points" in out
    assert "was not made: r4/stacks/TS_01.mrcs" in errors
    code, out, _ = convert(capsys, "r4/set.star", "r5/set.star", "--to", "relion5", *size, "--json")
    assert code == 0
    assert json.loads(out)["position_px"] < 1e-6
    for name, t in tomoset.read(stage).items():
        again = tomoset.read("r5/set.star")[name]
        same(t.placed(image_size=IMAGE_SIZE), again.placed(image_size=IMAGE_SIZE))
        assert again.images == t.images
        assert again.source is not None
        assert t.source is not None
        even = "rlnMicrographNameEven"
        assert list(again.source.tilts[even]) == list(t.source.tilts[even])


def test_single_images_become_a_stack(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for i in range(5):
        write_stack(here / f"tilt{i}.mrc", 1, (65, 47))
        with mrcfile.open(here / f"tilt{i}.mrc", mode="r+") as image:
            image.data[:] = i
    t = rigid_tomogram(stack=None, images=tuple(f"tilt{i}.mrc" for i in range(5)))
    tomoset.TomogramSet([t]).write("r5.star", "relion5")
    assert convert(capsys, "r5.star", "r4/set.star", "--to", "relion4")[0] == 0
    with mrcfile.open("r4/stacks/TS_01.mrcs") as stack:
        assert stack.data.shape == (5, 47, 65)
        assert stack.data[:, 0, 0].tolist() == [0, 1, 2, 3, 4]
        assert stack.voxel_size.x == pytest.approx(2.0)
    assert tomoset.read("r4/set.star")["TS_01"].image_size == (65, 47)


def test_warps_sets_without_translations(
    shared: Path, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = str(shared / "data/relion4/matching_tomograms.star")
    assert main(["info", source]) == 0
    assert "directions only, no shifts, as Warp" in capsys.readouterr().out
    code, out, _ = convert(capsys, source, "r5/set.star", "--to", "relion5")
    assert code == 0
    assert "verified: 225 points" in out
    size = ("--image-size", "4096", "4096")
    assert convert(capsys, "r5/set.star", "r4/set.star", "--to", "relion4", *size)[0] == 0
    four, five = tomoset.read("r4/set.star"), tomoset.read("r5/set.star")
    for name, t in five.items():
        same(four[name], t.placed(image_size=(4096, 4096)), px=1e-5)
        np.testing.assert_allclose(four[name].tilt_angles, t.tilt_angles, atol=1e-6)


def test_an_imod_folder_is_converted(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_folder(here / "TS")
    common = ("import", "imod", "TS", "--angpix", "2", "--fd", "3")
    assert main([*common, "-o", "r4.star"]) == 0
    assert main([*common, "-o", "r5/", "--to", "relion5"]) == 0
    assert "verified: 75 points" in capsys.readouterr().out
    same(tomoset.read("r4.star")["TS"], tomoset.read("r5/tomograms.star")["TS"])
    make_folder(here / "TS", xf="".join(f"1.01 0 0 1.01 {i} 0\n" for i in range(5)))
    shutil.rmtree(here / "r5")
    assert main([*common, "-o", "r5/", "--to", "relion5"]) == 1
    assert "--nearest" in capsys.readouterr().err
    assert not Path("r5").exists()
    assert main([*common, "-o", "r5/", "--to", "relion5", "--nearest"]) == 0
    assert "is not rigid: angles and shifts are off by up to" in capsys.readouterr().err


def test_an_import_whose_verification_fails_writes_nothing(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    make_folder(here / "TS")
    command = ["import", "imod", "TS", "--angpix", "2", "--fd", "3", "--to", "relion5", "--json"]
    assert main([*command, "-o", "a/"]) == 0
    assert json.loads(capsys.readouterr().out)["verification"]["position_px"] < 1e-3
    monkeypatch.setattr("tomoset.project.verify.Verification.holds", lambda *_: False)
    assert main([*command, "-o", "b/"]) == 1
    assert "nothing was written" in capsys.readouterr().err
    assert not Path("b").exists()


def test_contradicting_sizes_are_refused(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tomoset.TomogramSet([rigid_tomogram()]).write("r5.star", "relion5")
    code, _, errors = convert(
        capsys, "r5.star", "r4.star", "--to", "relion4", "--image-size", "64", "64"
    )
    assert code == 1
    assert "contradicts" in errors
    assert not Path("r4.star").exists()


def test_a_series_that_is_not_aligned(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tomoset.TomogramSet([rigid_tomogram(projections=None)]).write("r5.star", "relion5")
    code, out, _ = convert(capsys, "r5.star", "r4.star", "--to", "relion4")
    assert code == 0
    assert "not aligned" in out


def test_a_whole_project_and_back(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small_project(here)
    code, out, errors = convert(capsys, "optimisation_set.star", "r5", "--to", "relion5")
    assert code == 0, errors
    assert "verified: 77 points" in out  # the grid and two particles
    assert convert(capsys, "r5", "r4", "--to", "relion4")[0] == 0
    first, five, back = (
        tomoset.open_project(p) for p in ("optimisation_set.star", "r5", "r4/optimisation_set.star")
    )
    assert first.particles is not None
    for other in (five, back):
        assert other.particles is not None
        np.testing.assert_allclose(other.particles.positions, first.particles.positions, atol=1e-9)
        assert other.references["half1"] == "ref1.mrc"
        assert other.trajectories is not None
        assert len(other.trajectories) == 2
        np.testing.assert_allclose(other.fiducials["TS_01"].points, [[10, 20, 8]])
        same(other.tomograms["TS_01"], first.tomograms["TS_01"])
    centred = tomoset.star.read("r5/particles.star")["particles"]
    assert centred.floats("rlnCenteredCoordinateXAngst")[0] == pytest.approx((10.5 - 31.5) * 2)
    assert "rlnCoordinateX" not in centred
    corner = tomoset.star.read("r4/particles.star")["particles"]
    np.testing.assert_allclose(corner.floats("rlnCoordinateX"), [10.5, 40], atol=1e-9)
    beads = tomoset.star.read("r5/fiducials_TS_01.star").tables[0]
    assert beads.floats("rlnOriginXAngst").tolist() == [20.0]


def test_the_picks_of_a_real_project(
    project: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(project)
    path = project / "Picks/job019/particles.star"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(x for x in lines if not x.startswith(("TS_45", "TS_54"))))
    Path("set.star").write_text(
        "data_\n\n_rlnTomoParticlesFile Picks/job019/particles.star\n"
        "_rlnTomoTomogramsFile Tomograms/job006/tomograms.star\n"
    )
    size = ("--image-size", *map(str, IMAGE_SIZE))
    code, out, _ = convert(capsys, "set.star", "r4", "--to", "relion4", *size, "--json")
    assert code == 0
    assert json.loads(out)["position_px"] < 1e-6
    picks = tomoset.open_project("set.star")
    assert picks.particles is not None
    inside = []
    for name, rows in picks.particles.by_tomogram().items():
        placed = picks.tomograms[name].placed(image_size=IMAGE_SIZE)
        at = placed.project(picks.particles.positions[rows])
        inside.append(((at >= 0) & (at < np.array(IMAGE_SIZE))).all(axis=-1).ravel())
    # The tomograms, 4000 x 4000, are wider than the images, 3710 x 3838.
    assert np.concatenate(inside).mean() > 0.99


def test_a_particle_of_an_unknown_tomogram(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small_project(here)
    path = here / "particles.star"
    path.write_text(path.read_text().replace("TS_01 TS_01/2", "TS_02 TS_01/2"))
    arguments = ("optimisation_set.star", "r5", "--to", "relion5")
    code, _, errors = convert(capsys, *arguments, "--strict")
    assert code == 1
    assert "particles.star" in errors
    assert "TS_02" in errors
    assert not Path("r5").exists()


def test_a_set_becomes_folders_of_imod_that_are_verified(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tomoset.TomogramSet([rigid_tomogram()]).write("set.star", "relion4")
    code, out, errors = convert(capsys, "set.star", "out", "--to", "imod")
    assert code == 0, errors
    assert "verified: 75 points" in out
    assert Path("out/TS_01/tilt.com").is_file()


def test_what_is_off_is_taken_back_from_folders_too(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Doses in other steps than one cannot be said by an order of acquisition."""
    odd = rigid_tomogram(pre_exposure=np.array([9.0, 6.0, 0.0, 3.0, 13.0]))
    tomoset.TomogramSet([odd]).write("set.star", "relion4")
    with monkeypatch.context() as unsaid:
        unsaid.setattr("tomoset.formats.imod.write.ImodFolder.keeps_doses", True)
        code, _, errors = convert(capsys, "set.star", "out", "--to", "imod")
    assert code == 1
    assert "it differs in pre_exposure" in errors
    assert not Path("out").exists()
    code, _, errors = convert(capsys, "set.star", "out", "--to", "imod")
    assert code == 0
    assert "has doses that are not the place of an image in time" in errors


def test_what_was_lost_and_verified_is_kept_beside_what_was_written(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    t = rigid_tomogram()
    write_stack(Path("TS_01.mrc"), t.n_tilts, t.need_image_size(), 2.0)
    larger = t.need_projections().copy()
    larger[0, :2] *= 1.01
    tomoset.TomogramSet([replace(t, stack="TS_01.mrc", projections=larger)]).write("set.star")
    code, out, errors = convert(capsys, "set.star", "out", "--to", "aretomo", "--nearest")
    assert code == 0, errors
    assert "lost: something of 1 tomogram, up to" in out
    assert "geometric hand: its programs make the same volume, if told -FlipVol" in out
    kept = json.loads(Path("out/conversion.json").read_text())
    row = kept["tomograms"]["TS_01"]
    assert row["geometric_hand"].startswith("its programs make the same volume")
    assert max(row["lost_px"]) > 0.01
    assert row["verified_points"] == 75
    assert row["verified_px"] <= max(row["lost_px"]) + 0.001
    assert any("magnification" in text for text in kept["said"])
    assert row["lost"][0] in kept["said"][0]


@pytest.mark.filterwarnings("ignore::tomoset.LossyWarning")
@pytest.mark.parametrize(
    "to",
    [f.name for f in tomoset.FORMATS if f.writes and f.alignments and not f.can("linked sets")],
)
def test_any_set_goes_to_any_package(here: Path, to: str) -> None:
    """Random defocus, the smaller one first too, doses, hands, deformations."""
    links = write_random_project(11, "relion4", "p")
    done = tomoset.convert(links, "out", to=to, nearest=True)
    assert done.tomograms == 3
    for name, verification in done.verifications.items():
        lost = done.losses[name].pixels if name in done.losses else 0.0
        assert verification.position.max() <= 0.001 + np.max(lost)
    assert json.loads(Path("out/conversion.json").read_text())["tomograms"].keys() == {
        "TS_01", "TS_02", "TS_03"
    }  # fmt: skip
