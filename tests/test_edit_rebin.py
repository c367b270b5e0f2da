"""Binned tilt images, and other paths: the specimen stays where it is, and files are found."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.builders.command import run
from tests.builders.image_stacks import write_stack
from tests.builders.random_projects import random_project, seen, write_random_project
from tomoset import star
from tomoset.errors import AssumptionWarning, LossyWarning, ModelError
from tomoset.geometry import DeformationBasis
from tomoset.model import Deformation, Fiducials, Observations, Project, Reconstruction, Source
from tomoset.project import open_project
from tomoset.project.edit import exclude, include, rebase, rebin

SEEDS = st.integers(0, 10**6)
DIALECTS = st.sampled_from(["relion4", "relion5"])
QUIET = pytest.mark.filterwarnings("ignore::tomoset.errors.AssumptionWarning")


def with_kind(project: Project, kind: str, seed: int) -> Project:
    """The same project, bent in another way, in images that can be halved."""
    rng, grid = np.random.default_rng(seed), (4, 4)
    made = []
    for t in project.tomograms.values():
        size = (t.need_image_size()[0] // 2 * 2, t.need_image_size()[1] // 2 * 2)
        count = DeformationBasis(kind, grid, size).count
        bent = Deformation(
            kind=kind, grid=grid, coefficients=rng.normal(0, 0.5, (t.n_tilts, count))
        )
        made.append(replace(t, deformation=bent, image_size=size))
    return project.with_sets(tomograms=project.tomograms.with_tomograms(made))


@settings(max_examples=25, deadline=None)
@given(SEEDS, DIALECTS, st.sampled_from([2, 3, 4, 1.7, 0.5]), st.booleans())
@QUIET
def test_all_is_seen_where_it_was(seed: int, dialect: str, factor: float, averaged: bool) -> None:
    project = random_project(seed, dialect)
    small = rebin(project, factor, averaged=averaged)
    before, after = seen(project), seen(small)
    offset = (factor - 1) / 2 if averaged else 0  # of pixels that are means, as newstack's
    for key, value in before.items():
        np.testing.assert_allclose(after[key], (value - offset) / factor, rtol=0, atol=1e-9)
    assert project.particles is not None
    assert small.particles is not None
    for name, rows in project.particles.by_tomogram().items():
        a, b = project.tomograms[name], small.tomograms[name]
        assert b.need_pixel_size() == a.need_pixel_size() * factor
        np.testing.assert_allclose(
            b.defocus(small.particles.positions[rows]),
            a.defocus(project.particles.positions[rows]),
            rtol=0,
            atol=1e-6,
        )
    again = rebin(small, 1 / factor, averaged=averaged)
    for key, value in seen(again).items():
        np.testing.assert_allclose(value, before[key], rtol=0, atol=1e-6)


@QUIET
@pytest.mark.parametrize("kind", ["spline", "Fourier"])
def test_any_deformation_follows(kind: str) -> None:
    project = with_kind(random_project(3), kind, 3)
    exact = rebin(project, 2)
    for key, value in seen(project).items():
        np.testing.assert_allclose(seen(exact)[key], value / 2, atol=1e-9)
    if kind == "Fourier":  # a shift is another phase of the same waves
        near, tolerance = rebin(project, 2, averaged=True), 1e-6
    else:
        with pytest.warns(LossyWarning, match="2D deformation in binned images of another exten"):
            near, tolerance = rebin(project, 2, averaged=True), 0.3
    for key, value in seen(project).items():
        np.testing.assert_allclose(seen(near)[key], (value - 0.5) / 2, atol=tolerance)


@QUIET
def test_what_is_in_pixels_is_divided_and_the_rest_stays() -> None:
    project = random_project(4)
    t = replace(
        project.tomograms["TS_01"],
        reconstruction=Reconstruction(binning=8, path="a.mrc"),
        deviations={"shift_x": np.ones(project.tomograms["TS_01"].n_tilts),
                    "tilt": np.ones(project.tomograms["TS_01"].n_tilts)},
        half_images=(("e.mrc",) * project.tomograms["TS_01"].n_tilts, ()),
    )  # fmt: skip
    observed = Observations(bead=[0], tilt=[1], points=[[8, 4]], uncertainty=[0.4])
    beads = Fiducials(points=[[4, 8, 12]], radii=[50.0], observations=observed)
    project = project.with_sets(
        tomograms=project.tomograms.with_tomograms([t, *list(project.tomograms.values())[1:]]),
        fiducials={"TS_01": beads},
    )
    small = rebin(project, 4, images="b/{image}.mrc")
    new, found = small.tomograms["TS_01"], small.fiducials["TS_01"]
    assert new.reconstruction == Reconstruction(binning=2, path="a.mrc")
    assert (new.deviations["shift_x"][0], new.deviations["tilt"][0]) == (0.25, 1)
    assert new.stack == "b/TS_01.mrc"
    assert new.half_images == (("b/e.mrc",) * t.n_tilts, ())
    assert found.points.tolist() == [[1, 2, 3]]
    assert found.observations is not None
    assert found.observations.points.tolist() == [[2, 1]]
    assert found.observations.uncertainty is not None
    assert found.observations.uncertainty.tolist() == [0.1]
    assert found.radii is not None
    assert found.radii.tolist() == [50]
    assert small.manifolds is not None
    assert project.manifolds is not None
    np.testing.assert_array_equal(
        small.manifolds["TS_01"][0].params, project.manifolds["TS_01"][0].params / 4
    )
    assert small.particles is not None
    assert project.particles is not None
    np.testing.assert_array_equal(small.particles.origins, project.particles.origins)
    out = exclude(project.with_sets(trajectories=None, fiducials={}), numbers="1", names=["TS_01"])
    late, early = include(rebin(out, 4)), rebin(project, 4)
    np.testing.assert_allclose(
        late.tomograms["TS_01"].need_projections(), early.tomograms["TS_01"].need_projections()
    )
    with pytest.warns(LossyWarning, match="images of even and odd frames are not named"):
        rebin(project, 4, images="{name}.mrc")


def test_impossible_factors_and_unknown_sizes_are_said() -> None:
    project = random_project(4)
    for factor in (0, -1, float("nan"), float("inf")):
        with pytest.raises(ModelError, match="binning"):
            rebin(project, factor)
    t = project.tomograms["TS_01"]
    single = replace(t, stack=None, images=tuple(f"{i}.mrc" for i in range(t.n_tilts)))
    with pytest.raises(ModelError, match=r"so their names need \{image\}"):
        rebin(Project(tomograms=project.tomograms.with_tomograms([single])), 2, images="{name}.mrc")


@pytest.mark.parametrize("dialect", ["relion4", "relion5"])
def test_the_command_bins_a_project(
    here: Path, capsys: pytest.CaptureFixture[str], dialect: str
) -> None:
    links = write_random_project(3, dialect, "p")
    before = open_project(links, check_links=False)
    file = star.read("p/particles.star")
    tables = [
        t.with_columns({"rlnTomoSubtomogramBinning": ["4.0"] * len(t)}) if t.name == "optics" else t
        for t in file.tables
    ]
    star.write(star.StarFile(tuple(tables)), "p/particles.star")
    Path("b").mkdir()
    for name, t in before.tomograms.items():
        size = (t.need_image_size()[0] // 2, t.need_image_size()[1] // 2)
        write_stack(Path(f"b/{name}.mrc"), t.n_tilts, size, t.need_pixel_size() * 2)
    arguments = ("rebin", links, "--factor", "2", "--images", "b/{name}.mrc", "-o", "small")
    code, _, errors = run(capsys, *arguments)
    assert (code, errors) == (0, "")
    small = open_project("small")
    for key, value in seen(before).items():
        np.testing.assert_allclose(seen(small)[key], value / 2, atol=1e-5)
    optics = star.read("small/particles.star")["optics"]
    assert set(optics["rlnTomoSubtomogramBinning"]) == {"2.0"}
    code, _, errors = run(capsys, "rebin", links, "--factor", "2", "-o", "absent")
    assert (
        code,
        "3 files of binned images are not there, and are to be made: TS_01_bin2" in errors,
    ) == (0, True)
    assert run(capsys, "rebin", links, "--factor", "0", "-o", "new")[0] == 1
    assert not Path("new").exists()


@settings(max_examples=25, deadline=None)
@given(SEEDS, DIALECTS)
@QUIET
def test_paths_change_and_nothing_else(seed: int, dialect: str) -> None:
    project = random_project(seed, dialect)
    there = rebase(project, absolute=True)
    assert all(Path(t.stack or "").is_absolute() for t in there.tomograms.values())
    back = rebase(there, relative_to=".")
    assert [t.stack for t in back.tomograms.values()] == [
        t.stack for t in project.tomograms.values()
    ]
    for key, value in seen(project).items():
        np.testing.assert_array_equal(seen(back)[key], value)


def test_every_path_is_changed(here: Path) -> None:
    t = random_project(1).tomograms["TS_01"]
    n = t.n_tilts
    names = tuple(f"old/i{i}.mrc" for i in range(n))
    source = Source(
        format="x",
        row={"abcTable": "old/t.star", "abcOther": "older/t.star"},
        tilts={"abcCtf": ["old/c.ctf:mrc"] * n, "abcNumber": ["0.5"] * n},
    )
    t = replace(
        t, stack=None, images=names, movies=("None", *names[1:]), half_images=(names, ()),
        reconstruction=Reconstruction(path="old/v.mrc", others={"denoised": "old/d.mrc"}),
        source=source,
    )  # fmt: skip
    project = Project(
        tomograms=random_project(1).tomograms.with_tomograms([t.exclude([0], "x")]),
        references={"half1": "old/h.mrc"},
        unread={"particles": "old/p.star"},
    )
    with pytest.warns(
        AssumptionWarning, match=r"of .* files are not there by these names: new/deep/"
    ):
        after = rebase(project, moved={"old/": "new/deep", "ol": "wrong"})
    found = after.tomograms["TS_01"].restore()
    made = found.reconstruction
    assert made is not None
    assert found.images == tuple(f"new/deep/i{i}.mrc" for i in range(n))
    assert found.movies == ("None", *found.images[1:])
    assert found.half_images == (found.images, ())
    assert (made.path, made.others["denoised"]) == ("new/deep/v.mrc", "new/deep/d.mrc")
    assert found.source is not None
    assert found.source.row == {"abcTable": "new/deep/t.star", "abcOther": "older/t.star"}
    assert found.source.tilts["abcCtf"] == ["new/deep/c.ctf:mrc"] * n
    assert found.source.tilts["abcNumber"] == ["0.5"] * n
    assert after.references["half1"] == "new/deep/h.mrc"
    assert after.unread["particles"] == "new/deep/p.star"
    with pytest.raises(ModelError, match=r"no path is changed; there are such as old/v\.mrc"):
        rebase(project, moved={"nowhere": "x"})
    with pytest.raises(ModelError, match="say one way to name files"):
        rebase(project)


@pytest.mark.parametrize("dialect", ["relion4", "relion5"])
def test_the_command_finds_a_moved_project(
    here: Path, capsys: pytest.CaptureFixture[str], dialect: str
) -> None:
    links = write_random_project(3, dialect, "p")
    file = star.read("p/particles.star")
    tables = [
        t.with_columns({"rlnImageName": ["1@TS_01.mrc", *["x/none.mrc"] * (len(t) - 1)]})
        if t.name == "particles" else t
        for t in file.tables
    ]  # fmt: skip
    star.write(star.StarFile(tuple(tables)), "p/particles.star")
    code, _, errors = run(capsys, "rebase", links, "--absolute", "-o", "absolute")
    assert (code, errors) == (0, "")
    there = open_project("absolute")
    assert there.tomograms["TS_01"].stack == str(here / "TS_01.mrc")
    assert list(star.read("absolute/particles.star")["particles"]["rlnImageName"])[:2] == [
        f"1@{here}/TS_01.mrc", "x/none.mrc",
    ]  # fmt: skip
    Path("moved").mkdir()
    for path in here.glob("*.mrc"):
        path.rename(here / "moved" / path.name)
    words = ("rebase", "absolute", "--moved", f"{here}={here}/moved", "-o", "found")
    code, _, errors = run(capsys, *words)
    assert (code, errors) == (0, "")
    assert open_project("found").tomograms["TS_02"].image_size is not None
    for wrong, code in (([], 2), (["--absolute", "--relative-to", "."], 2), (["--moved", "x"], 2),
                        (["--moved", "nowhere=x"], 1)):  # fmt: skip
        assert run(capsys, "rebase", "absolute", *wrong, "-o", "new")[0] == code
    assert not Path("new").exists()
