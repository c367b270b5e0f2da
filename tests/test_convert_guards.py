"""What a conversion must not do: replace its source, reorder images in silence, verify too little."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import mrcfile
import numpy as np
import pytest

import tomoset
from tests.builders.command import convert
from tests.builders.image_stacks import write_stack
from tests.builders.relion_project import small_project
from tests.builders.tomograms import rigid_tomogram
from tomoset import geometry as g
from tomoset import star
from tomoset.project.verify import verify


def write_rigid(path: str, **changes: object) -> tomoset.Tomogram:
    t = rigid_tomogram(**changes)
    tomoset.TomogramSet([t]).write(path, "relion5")
    return t


def test_rows_out_of_order_get_a_stack_of_their_own(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """RELION 4 takes row i for image i of the stack."""
    tomoset.TomogramSet([rigid_tomogram().select([4, 0, 2])]).write("r5/x.star", "relion5")
    assert convert(capsys, "r5/x.star", "r4/x.star", "--to", "relion4")[0] == 0
    t = tomoset.read("r4/x.star")["TS_01"]
    assert (t.stack, t.image_index) == ("r4/stacks/TS_01.mrcs", None)
    with mrcfile.open("r4/stacks/TS_01.mrcs") as stack:
        assert stack.data[:, 0, 0].tolist() == [4, 0, 2]
    before = Path("r4/stacks/TS_01.mrcs").read_bytes()
    tomoset.TomogramSet([rigid_tomogram().select([0, 4, 2])]).write("r5/y.star", "relion5")
    code, _, errors = convert(capsys, "r5/y.star", "r4/y.star", "--to", "relion4")
    assert code == 1
    assert "TS_01.mrcs is there, and was not made by this command" in errors
    assert Path("r4/stacks/TS_01.mrcs").read_bytes() == before
    assert not Path("r4/y.star").exists()


def test_images_named_with_a_number_each(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for i in range(5):
        write_stack(here / f"f{i}.mrc", 2, (65, 47))
    write_rigid("r5/x.star", stack=None, images=tuple(f"000002@f{i}.mrc" for i in range(5)))
    assert convert(capsys, "r5/x.star", "r4/x.star", "--to", "relion4")[0] == 0
    with mrcfile.open("r4/stacks/TS_01.mrcs") as stack:
        assert stack.data[:, 0, 0].tolist() == [1] * 5


def test_images_that_are_not_there_are_not_taken_from_another_stack(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_rigid("r5/x.star", stack=None, images=tuple(f"gone{i}.mrc" for i in range(5)))
    size = ("--image-size", "65", "47")
    assert convert(capsys, "r5/x.star", "r4/x.star", "--to", "relion4", *size)[0] == 0
    Path("r4/stacks").mkdir()
    write_stack(Path("r4/stacks/TS_01.mrcs"), 5, (65, 47))
    code, _, errors = convert(capsys, "r5/x.star", "r4/y.star", "--to", "relion4", *size)
    assert code == 1
    assert "is a stack of something else" in errors


def test_no_stack_is_left_when_a_later_tomogram_fails(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for i in range(5):
        write_stack(here / f"f{i}.mrc", 1, (65, 47))
    images = tuple(f"f{i}.mrc" for i in range(5))
    good = rigid_tomogram(stack=None, images=images)
    tomoset.TomogramSet([good, replace(good, name="b")]).write("r5.star", "relion5")
    path = Path("r5.star")
    table = star.read(path)["global"]
    sizes = {f"rlnTomoSize{x}": [table[f"rlnTomoSize{x}"][0], "empty"] for x in "XYZ"}
    star.write([table.with_columns(sizes)], path)
    code, _, errors = convert(capsys, "r5.star", "q/r4.star", "--to", "relion4")
    assert code == 1
    assert "--size" in errors
    assert not [p for p in Path("q").rglob("*") if p.is_file()]


def test_matrices_beside_angles_survive_an_untouched_write(here: Path) -> None:
    t = write_rigid("r5/x.star")
    path = Path("r5/tilt_series/TS_01.star")
    table = star.read(path).tables[0]
    moved = np.array(t.projections)
    moved[:, 0, 3] += 5
    columns = {f"rlnTomoProj{x}": star.format_vectors(moved[:, i]) for i, x in enumerate("XYZW")}
    star.write([table.with_columns(columns)], path)
    before = star.read(path).tables[0]
    with pytest.warns(tomoset.AssumptionWarning, match="disagree by up to 5 px"):
        s = tomoset.read("r5/x.star")
    np.testing.assert_allclose(s["TS_01"].projections, moved, atol=1e-9)  # type: ignore[arg-type]
    s.write("out/x.star")
    after = star.read("out/tilt_series/TS_01.star").tables[0]
    assert {k: list(v) for k, v in after.columns.items()} == {
        k: list(v) for k, v in before.columns.items()
    }
    # What is moved is written in angles alone, and at its new place.
    changed = np.array(s["TS_01"].projections)
    changed[:, 1, 3] -= 1
    s.with_tomograms([replace(s["TS_01"], projections=changed)]).write("new/x.star")
    again = tomoset.read("new/x.star")["TS_01"]
    np.testing.assert_allclose(
        again.project([[9, 9, 9]])[:, 0, 1], s["TS_01"].project([[9, 9, 9]])[:, 0, 1] - 1, atol=1e-6
    )


def test_incomplete_angles_survive(here: Path) -> None:
    write_rigid("r5/x.star", projections=None)
    path = Path("r5/tilt_series/TS_01.star")
    star.write([star.read(path).tables[0].with_columns({"rlnTomoYTilt": list("12345")})], path)
    tomoset.read("r5/x.star").write("out/x.star")
    assert list(star.read("out/tilt_series/TS_01.star").tables[0]["rlnTomoYTilt"]) == list("12345")
    tomoset.TomogramSet([rigid_tomogram()]).write("r4.star", "relion4")
    file = star.read("r4.star")
    extra = file.tables[1].with_columns({"rlnTomoYTilt": list("12345")})
    star.write([file.tables[0], extra], "r4.star")
    tomoset.read("r4.star").write("r4b.star")
    assert list(star.read("r4b.star").tables[1]["rlnTomoYTilt"]) == list("12345")


def test_sources_and_other_sets_are_safe(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_rigid("a/x.star")
    small_project(here)
    (here / "p").mkdir()
    before = {p: p.read_bytes() for p in here.rglob("*") if p.is_file()}
    for arguments in (
        ("a/x.star", "a/new.star", "--to", "relion5"),
        ("a/x.star", "a/tilt_series/TS_01.star", "--to", "relion4"),
        ("tomograms.star", "a/mine.star", "--to", "relion5"),
        ("tomograms.star", "particles.star", "--to", "relion5"),
        ("tomograms.star", "a.mrc", "--to", "relion5"),
        ("optimisation_set.star", ".", "--to", "relion5"),
    ):
        code, _, errors = convert(capsys, *arguments)
        assert code == 1, arguments
        assert "error:" in errors
        assert {p: p.read_bytes() for p in here.rglob("*") if p.is_file()} == before, arguments


def test_names_that_would_share_a_file(here: Path) -> None:
    twins = tomoset.TomogramSet([rigid_tomogram(name="a/b"), rigid_tomogram(name="a_b")])
    with pytest.raises(tomoset.ModelError, match="would both be called 'a_b'"):
        twins.write("x.star", "relion5")
    for dialect in ("relion4", "relion5"):
        with pytest.raises(tomoset.ModelError, match="no tomogram"):
            tomoset.TomogramSet().write("y.star", dialect)


def magnified(tilt: int, by: float) -> np.ndarray:
    P = np.array(rigid_tomogram().projections)
    P[tilt, :3, :3] *= by
    return P


def test_the_verification_looks_at_each_tilt_image_and_at_more_than_positions() -> None:
    t = rigid_tomogram()
    P = np.array(t.projections)
    P[1, 0, 3] += 0.5
    for changes, names in (
        ({"projections": P}, ()),
        ({"hand": -t.hand}, ()),
        ({"pre_exposure": np.asarray(t.pre_exposure) + 1}, ("pre_exposure",)),
        ({"defocus_u": None}, ("defocus_u",)),
        ({"optics": replace(t.optics, voltage=200.0)}, ("optics",)),
    ):
        verification = verify(
            tomoset.TomogramSet([t]), tomoset.TomogramSet([replace(t, **changes)])
        )["TS_01"]  # type: ignore[arg-type]
        assert verification.differs == names
        assert not verification.holds()
    # A loss in one tilt image excuses no other.
    verification = verify(
        tomoset.TomogramSet([t]), tomoset.TomogramSet([replace(t, projections=P)])
    )["TS_01"]
    assert verification.holds(np.array([0, 0.5, 0, 0, 0]))
    assert not verification.holds(np.array([0.5, 0, 0.5, 0.5, 0.5]))
    same = verify(tomoset.TomogramSet([t]), tomoset.TomogramSet([t]))["TS_01"]
    assert same.holds()
    gone = verify(
        tomoset.TomogramSet([t]),
        tomoset.TomogramSet([t]),
        {"TS_01": (np.zeros((2, 3)), np.zeros((1, 3)))},
    )
    assert not gone["TS_01"].holds()
    with pytest.raises(tomoset.UnsupportedError, match="other tomograms"):
        verify(tomoset.TomogramSet([t]), tomoset.TomogramSet())


def test_losses_of_a_scale_in_depth_too(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    t = rigid_tomogram(projections=magnified(3, 1.02))
    tomoset.TomogramSet([t]).write("r4.star", "relion4")
    code, _, errors = convert(capsys, "r4.star", "n/x.star", "--to", "relion5", "--nearest")
    assert code == 0, errors
    assert "tilt image 4; more than 0.001 px in 1 of 5" in errors
    assert (
        convert(capsys, "r4.star", "s/x.star", "--to", "relion5", "--nearest", "--strict")[0] == 1
    )
    code, out, errors = convert(
        capsys, "r4.star", "k/x.star", "--to", "relion5", "--keep-matrices", "--json"
    )
    assert code == 0
    assert max(json.loads(out)["losses_px"]["TS_01"]) > 0.1
    assert "until RELION 5 writes the set" in errors


def test_particles_outside_count_for_the_loss(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small_project(here)
    t = rigid_tomogram(projections=magnified(3, 1.002), fiducials=None)
    tomoset.TomogramSet([t]).write("tomograms.star", "relion4")
    path = here / "particles.star"
    path.write_text(path.read_text().replace(" 40 30 12 ", " 900 30 12 "))
    code, out, errors = convert(
        capsys, "optimisation_set.star", "r5", "--to", "relion5", "--nearest", "--json"
    )
    assert code == 0, errors
    assert max(json.loads(out)["losses_px"]["TS_01"]) > 1


def test_a_project_whose_sizes_are_given(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small_project(here)
    assert convert(capsys, "optimisation_set.star", "r5", "--to", "relion5")[0] == 0
    path = Path("r5/tomograms.star")
    table = star.read(path)["global"]
    kept = {k: v for k, v in table.columns.items() if not k.startswith("rlnTomoSize")}
    star.write([star.Table("global", kept)], path)
    code, _, errors = convert(capsys, "r5", "r4", "--to", "relion4")
    assert code == 1
    code, out, errors = convert(capsys, "r5", "r4", "--to", "relion4", "--size", "63", "49", "31")
    assert code == 0, errors
    assert "verified: 77 points" in out


def test_a_general_alignment_there_and_back(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Tilts about x, shifts, odd sizes, both hands: angles of particles too."""
    small_project(here)
    rng = np.random.default_rng(3)
    angles = rng.uniform([-5, -50, 80], [5, 50, 90], (5, 3))
    P = g.rigid_projections(
        angles, rng.normal(0, 9, (5, 2)), size=(63, 49, 31), image_size=(65, 47)
    )
    tomoset.TomogramSet([rigid_tomogram(projections=P, hand=1, fiducials=None)]).write(
        "tomograms.star", "relion4"
    )
    assert convert(capsys, "optimisation_set.star", "r5", "--to", "relion5")[0] == 0
    assert convert(capsys, "r5", "r4", "--to", "relion4")[0] == 0
    first, back = tomoset.open_project("optimisation_set.star"), tomoset.open_project("r4")
    np.testing.assert_allclose(back.tomograms["TS_01"].projections, P, atol=1e-6)  # type: ignore[arg-type]
    assert first.particles is not None
    assert back.particles is not None
    np.testing.assert_array_equal(
        back.particles.subtomogram_angles, first.particles.subtomogram_angles
    )
    np.testing.assert_array_equal(back.particles.origins, first.particles.origins)
    five = star.read("r5/tilt_series/TS_01.star").tables[0]
    np.testing.assert_allclose(five.floats("rlnTomoXTilt"), angles[:, 0], atol=1e-8)


def test_sets_that_relion_4_does_not_read_are_named(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_rigid("r5.star", projections=None, defocus_u=None, defocus_v=None)
    code, _, errors = convert(capsys, "r5.star", "r4.star", "--to", "relion4")
    assert code == 0
    assert "has not an alignment, defocus: RELION 4 reads no such set" in errors
