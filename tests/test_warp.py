"""Warp's files: every sign against files of others, what is lost, what is wrong with them."""

from __future__ import annotations

import random
import re
import time
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.interpolate import interpn

import tomoset
from tests.builders.command import convert, run
from tests.builders.image_stacks import write_stack
from tests.builders.imod_folder import make_folder
from tests.builders.shared_files import SHARED
from tests.builders.tomograms import rigid_tomogram
from tests.builders.warp_files import each, grid, series_xml, write_images, write_series
from tomoset import AssumptionWarning, FileFormatError, LossyWarning, Project, TomogramSet, star
from tomoset.formats import format_named
from tomoset.formats.warp.motion import VolumeMotion
from tomoset.model import Deformation, Tomogram

WARP = format_named("warp")
TESTDATA = SHARED / "data/warp/warpylib/testdata"
ORACLES = SHARED / "data/oracles/aretomo3_warp_Position_16_3"
K3 = {"size": "4000 5700 1000", "image_size": "5760 4092", "pixel_size": 0.834}

needs_warp = pytest.mark.skipif(
    not TESTDATA.is_dir(), reason="files of Warp (../shared/data/warp) are not there"
)
needs_oracle = pytest.mark.skipif(
    not ORACLES.is_dir(), reason="the series of AreTomo3 and Warp (../shared/data) is not there"
)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def read(*sources: Path | str, **options: Any) -> TomogramSet:
    reading = WARP.read(sources, **options)
    for failure in reading.failures:
        raise failure.error
    return reading.project.tomograms


def read_quietly(*sources: Path | str, **options: Any) -> TomogramSet:
    """Of files from which something is lost, or assumed, which is not the question."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return read(*sources, **options)


def alone(text: str, encoding: str = "utf-8-sig", **options: Any) -> Tomogram:
    (t,) = read(write_series(Path("TS_01.xml"), text, encoding), **options).values()
    return t


def moving(grid: np.ndarray, axes: str = "X") -> str:
    """Movement in 3D, the same along some axes: (duration, depth, height, width) [Å]."""
    sides = zip(("Duration", "Depth", "Height", "Width"), grid.shape, strict=True)
    size = " ".join(f'{name}="{side}"' for name, side in sides)
    nodes = "".join(
        f'<Node X="{x}" Y="{y}" Z="{z}" W="{w}" Value="{grid[w, z, y, x]}"/>'
        for w, z, y, x in np.ndindex(*grid.shape)
    )
    return "".join(f"<GridVolumeWarp{a} {size}>{nodes}</GridVolumeWarp{a}>" for a in axes)


POINTS = np.array([[0, 0, 0], [59, 49, 19], [30, 25, 10], [5, 40, 2.5]])


# Signs and centres, each against something that others have made.


@needs_warp
def test_points_and_defocus_are_where_warptools_puts_them() -> None:
    """Through tilts, axis, offsets, both level angles, 6 x 4 x 41 grids, and the CTF."""
    t = read_quietly(TESTDATA / "TS_1.xml", **K3)["TS_1"]
    file = star.read(TESTDATA / "TS_1.star")
    points, said = file["points"], file["mappings"]
    centred = np.stack([points.floats(f"centeredCoordinate{a}Angst") for a in "XYZ"], axis=1)

    def column(label: str) -> np.ndarray:
        return said.floats(label).reshape(len(points), t.n_tilts).T

    wanted = np.stack([column(f"centeredCoordinate{a}Angst") for a in "XY"], axis=-1)
    voxels = centred / 0.834 + np.array([4000, 5700, 1000]) / 2
    seen = (t.project(voxels) - np.array([5760, 4092]) / 2) * 0.834
    np.testing.assert_allclose(seen, wanted, rtol=0, atol=0.001)  # Å
    defocus = t.defocus(voxels)
    np.testing.assert_allclose(defocus[..., 0], column("defocusU"), rtol=0, atol=0.02)
    np.testing.assert_allclose(defocus[..., 1], column("defocusV"), rtol=0, atol=0.02)
    angles = np.broadcast_to(column("defocusAngle")[:, 0], (t.n_tilts,))
    np.testing.assert_allclose(t.defocus_angle, angles, rtol=0, atol=1e-3)
    assert t.hand == 1


@needs_warp
@pytest.mark.parametrize("sign", [-1, 1])
def test_movement_is_subtracted(sign: int) -> None:
    """Added, it is off by twice what it is."""
    t = read_quietly(TESTDATA / "TS_1.xml", **K3)["TS_1"]
    assert t.deformation is not None
    bent = replace(t.deformation, coefficients=sign * t.deformation.coefficients)
    said = star.read(TESTDATA / "TS_1.star")["mappings"]
    wanted = np.stack([said.floats(f"centeredCoordinate{a}Angst") for a in "XY"], axis=1)
    first = wanted[: t.n_tilts]
    corner = np.array([[-500.0] * 3]) / 0.834 + np.array([2000, 2850, 500])
    seen = (replace(t, deformation=bent).project(corner)[:, 0] - [2880, 2046]) * 0.834
    off = np.abs(seen - first).max()
    assert off < 0.001 if sign == 1 else off > 1


@needs_warp
@pytest.mark.parametrize("axes", [1, 2, 3])
def test_grids_are_the_splines_of_warp(axes: int) -> None:
    """Values that Warp's own library gave, all through the cells."""
    file = star.read(TESTDATA / f"reference{axes}d.star")
    nodes = np.stack([file["grid"].ints(f"i{a}") for a in "xyz"[:axes]], axis=1)
    places = np.stack([file["eval"].floats(a) for a in "xyz"[:axes]], axis=1)
    keep = places[:, 2] == 0 if axes == 3 else np.ones(len(places), bool)
    values = {
        (x, y if axes > 1 else 0, 0): float(value)
        for (x, y, *z), value in zip(
            np.pad(nodes, ((0, 0), (0, 2))).tolist(), file["grid"].floats("value"), strict=True
        )
        if z[0] == 0
    }
    text = series_xml(
        dict.fromkeys(("Dose", "UseTilt", "MoviePath"), ())
        | {"Angles": (0,), "AxisAngle": (0,), "AxisOffsetX": (1,), "AxisOffsetY": (0,)},
        grids=grid("GridMovementX", values),
    )
    text = re.sub(r"(?s)\t<GridCTF.*?</GridCTFDefocusAngle>\n", "", text)
    bend = alone(text).deformation
    assert bend is not None
    points = np.pad(places[keep], ((0, 0), (0, max(2 - axes, 0))))[:, :2]
    moved = bend.displacement(points[None], image_size=(1, 1))[0, :, 0]
    np.testing.assert_allclose(-2.0 * moved, file["eval"].floats("value")[keep], atol=2e-6)


@needs_warp
def test_transforms_of_imod_are_the_alignment_that_warptools_made_of_them() -> None:
    """Axis and offsets. Angles are copied: Warp's tilt is IMOD's, about a depth the other way."""
    folder, px = TESTDATA / "xf_import", 10.0
    sizes = {"size": "400 400 100", "image_size": "384 372", "pixel_size": px}
    t = read_quietly(folder / "00254.xml", **sizes)["00254"]
    xf, tilts = np.loadtxt(folder / "00254.xf"), np.deg2rad(np.loadtxt(folder / "00254.tlt"))
    points = np.array([[0, 0, 0], [150, -120, 40], [-30, 80, -45.0]])
    x, y, depth = points.T
    along = x * np.cos(tilts)[:, None] - depth * np.sin(tilts)[:, None]
    aligned = np.stack([along, np.broadcast_to(y, along.shape)], axis=-1)
    raw = np.linalg.solve(
        xf[:, None, :4].reshape(-1, 1, 2, 2), (aligned - xf[:, None, 4:])[..., None]
    )
    seen = t.project(points + [200, 200, 50]) - [192, 186]
    np.testing.assert_allclose(seen, raw[..., 0], rtol=0, atol=0.02)
    # IMOD's depth of the specimen is against the beam: ours is IMOD's volume turned about x.
    np.testing.assert_allclose(t.tilt_angles, -np.rad2deg(tilts), atol=1e-3)


@needs_oracle
@pytest.mark.parametrize(
    ("wrong", "least", "most"), [("nothing", 5.3, 5.6), ("sign", 32, 33), ("axes", 20, 22.5)]
)
def test_a_series_aligned_by_aretomo_lies_where_warp_has_it(
    wrong: str, least: float, most: float
) -> None:
    """Two independent alignments, up to one common shift in space [Å]."""
    size = {"size": "4096 4096 2000", "image_size": "4096 4096", "pixel_size": 1.54}
    t = read_quietly(ORACLES / "Position_16_3_geometry.xml", **size)["Position_16_3_geometry"]
    rows = np.loadtxt(ORACLES / "Position_16_3_global.aln")
    axis, tilts = np.deg2rad(rows[:, 1]), np.deg2rad(rows[:, 9])
    middle = t.project([[2048, 2048, 1000]])[:, 0] - 2048
    np.testing.assert_allclose(t.tilt_angles, rows[:, 9], atol=0.02)
    np.testing.assert_allclose(t.tilt_axis_angles, rows[:, 1], atol=0.02)
    theirs = rows[:, 3:5] * {"nothing": 1, "sign": -1, "axes": 1}[wrong]
    theirs = theirs[:, ::-1] if wrong == "axes" else theirs
    # x' = Cx cos t - Cz sin t, turned by the axis: of one point, the common shift.
    c, s = np.cos(axis), np.sin(axis)
    design = np.stack(
        [
            np.stack([np.cos(tilts) * c, -s, -np.sin(tilts) * c], axis=1),
            np.stack([np.cos(tilts) * s, c, -np.sin(tilts) * s], axis=1),
        ],
        axis=1,
    )
    apart = middle - theirs
    common = np.linalg.lstsq(design.reshape(-1, 3), apart.ravel(), rcond=None)[0]
    rms = np.sqrt(((apart - design @ common) ** 2).mean()) * 1.54  # of a coordinate
    assert least < rms < most


@needs_oracle
def test_directions_are_those_of_the_matrices_that_warptools_writes_for_relion() -> None:
    size = {"size": "4096 4096 2000", "image_size": "4096 4096", "pixel_size": 1.54}
    t = read_quietly(ORACLES / "Position_16_3_geometry.xml", **size)["Position_16_3_geometry"]
    matching = SHARED / "data/relion4/matching_tomograms.star"
    table = star.read(matching)["24jul16a_Position_16_3.tomostar"]
    rows = [table.vectors(f"rlnTomoProj{a}", 4) for a in "XYZ"]
    wanted = np.stack(rows, axis=1)[:, :, :3]
    assert t.projections is not None
    np.testing.assert_allclose(t.projections[:, :3, :3], wanted, rtol=0, atol=2e-3)
    np.testing.assert_allclose(t.pre_exposure, table.floats("rlnMicrographPreExposure"), atol=1e-3)


@needs_oracle
def test_doses_of_a_tomostar_are_those_before_an_image() -> None:
    """The first image of the day has none."""
    t = read_quietly(ORACLES / "Position_16_3.tomostar", pixel_size=1.54)["Position_16_3"]
    assert t.pre_exposure is not None
    assert t.nominal_tilts is not None
    assert t.movies is not None
    assert t.pre_exposure.min() == 0
    assert "_001_" in t.movies[int(np.argmin(t.pre_exposure))]
    named = [float(re.search(r"_(-?\d+\.\d\d)_2024", movie)[1]) for movie in t.movies]  # type: ignore[index]
    np.testing.assert_allclose(t.nominal_tilts, named, atol=0.02)


def test_inverted_angles_turn_the_sign_of_defocus_and_nothing_else() -> None:
    plain, inverted = alone(series_xml()), alone(series_xml(None, {"AreAnglesInverted": "True"}))
    np.testing.assert_array_equal(plain.project(POINTS), inverted.project(POINTS))
    assert (plain.hand, inverted.hand) == (1, -1)
    np.testing.assert_array_equal(plain.defocus_u, inverted.defocus_u)


# What files say, in all their kinds.


def test_a_series_says_all_of_it() -> None:
    t = alone(series_xml())
    assert (t.size, t.image_size) == ((60, 50, 20), (64, 48))
    assert t.optics == tomoset.Optics(
        pixel_size=2.0, voltage=200.0, spherical_aberration=2.0, amplitude_contrast=0.07
    )
    np.testing.assert_allclose(t.defocus_u, np.array([2.05, 2.15, 2.25, 2.15, 2.05]) * 1e4)
    np.testing.assert_allclose(t.defocus_v, np.array([1.95, 2.05, 2.15, 2.05, 1.95]) * 1e4)
    np.testing.assert_array_equal(t.pre_exposure, [9, 6, 0, 3, 12])
    assert t.fractional_dose == 3
    assert t.movies == tuple(f"frames/TS_01_{row:03d}.tif" for row in range(5))
    assert t.stack == "tiltstack/TS_01/TS_01.st:mrc"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_every_encoding_and_line_end_says_the_same(encoding: str) -> None:
    wanted = alone(series_xml()).project(POINTS)
    text = series_xml().replace("utf-8", encoding[:6]).replace("\n", "\r\n")
    np.testing.assert_array_equal(alone(text, encoding).project(POINTS), wanted)
    path = Path("TS_01.xml")
    assert WARP.detect(str(path), path.read_bytes())


def test_excluded_tilts_are_excluded_and_come_back() -> None:
    used = ("True", "False", "True", "True", "false")
    write_images("tiltstack/TS_01/TS_01.st", 5)
    t = alone(series_xml({"UseTilt": used}), pixel_size=2.0)
    assert t.n_tilts == 3
    assert t.restore().n_tilts == 5
    Project(tomograms=TomogramSet([t])).write("out", "warp")
    text = Path("out/warp_tiltseries/TS_01.xml").read_text()
    assert "<UseTilt>True\nFalse\nTrue\nTrue\nFalse</UseTilt>" in text
    assert len(star.read("out/tomostar/TS_01.tomostar").first) == 3


def test_a_stack_of_used_tilts_alone_is_one_image_a_row() -> None:
    used = ("True", "False", "True", "True", "False")
    write_images("tiltstack/TS_01/TS_01.st", 3)
    t = alone(series_xml({"UseTilt": used}), pixel_size=2.0)
    assert (t.n_tilts, t.image_index) == (3, None)
    np.testing.assert_array_equal(t.pre_exposure, [9, 0, 3])
    write_images("tiltstack/TS_01/TS_01.st", 4)
    with pytest.raises(FileFormatError, match="has 4 images; expected 3, one for each tilt"):
        alone(series_xml({"UseTilt": used}), pixel_size=2.0)


def test_averages_of_movies_become_the_stack_that_relion_4_reads(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for row in range(5):
        write_images(f"frames/average/TS_01_{row:03d}.mrc", 1)
    write_series(Path("warp_tiltseries/TS_01.xml"))
    code, _, errors = run(capsys, "import", "warp", "warp_tiltseries", "-o", "set.star")
    assert code == 0, errors
    t = tomoset.read("set.star")["TS_01"]
    assert t.stack == "stacks/TS_01.mrcs"
    with t.open_images() as images:
        assert len(images) == 5


@pytest.mark.parametrize("folder", ["images", "frames/average"])
def test_single_images_are_found_again(folder: str) -> None:
    """Also where blanks are in their names, as Warp's .xml has lines."""
    names = [f"{folder}/TS 01_{row}.mrc" for row in range(5)]
    for name in names:
        write_images(name, 1)
    t = replace(alone(series_xml()), stack=None, images=tuple(names), movies=None)
    Project(tomograms=TomogramSet([t])).write("out/deep", "warp")
    again = read("out/deep/warp_tiltseries.settings", pixel_size=2.0)["TS_01"]
    assert again.images == t.images
    tomostar = read("out/deep/tomostar/TS_01.tomostar", pixel_size=2.0)["TS_01"]
    assert tomostar.images == t.images


def test_images_of_another_size_than_is_said_are_a_warning() -> None:
    write_images("tiltstack/TS_01/TS_01.st", 5)
    with pytest.warns(AssumptionWarning, match="64 x 48: is the pixel size right"):
        alone(series_xml(), pixel_size=4.0)


@pytest.mark.parametrize(
    ("first", "said", "before"), [(0, None, 0), (3, "after", 3), (1.5, "in the middle", 1.5)]
)
def test_doses_of_warp_1_are_told_by_the_smallest(
    first: float, said: str | None, before: float
) -> None:
    doses = [9 + first, 6 + first, first, 3 + first, 12 + first]
    text = series_xml({"Dose": doses}, {"MagnificationCorrection": "1, 1, 0"})
    if said is None:
        t = alone(text)
    else:
        with pytest.warns(AssumptionWarning, match=f"{said}.*--dose decides"):
            t = alone(text)
    np.testing.assert_array_equal(t.pre_exposure, [9, 6, 0, 3, 12])
    kept = alone(text, dose="before")
    np.testing.assert_array_equal(kept.pre_exposure, doses)
    assert before == first


def test_doses_of_warp_2_stay_where_the_first_image_was_thrown_away() -> None:
    t = alone(series_xml({"Dose": (12, 9, 3, 6, 15)}))
    np.testing.assert_array_equal(t.pre_exposure, [12, 9, 3, 6, 15])


def test_decimal_commas_are_taken_for_points() -> None:
    with pytest.warns(AssumptionWarning, match="<AxisAngle> has decimal commas"):
        t = alone(series_xml({"AxisAngle": ("85,5",) * 5}))
    np.testing.assert_allclose(t.tilt_axis_angles, 85.5)


def test_settings_say_what_series_do_not(here: Path) -> None:
    bare = series_xml(None, {"VolumeDimensionsAngstrom": "0, 0, 0"}, pixel_size="1.0")
    write_series(Path("warp_tiltseries/TS_01.xml"), bare)
    with pytest.raises(tomoset.errors.MissingFieldError, match="pixel size; give it by --angpix"):
        read("warp_tiltseries")
    Path("some.settings").write_text(
        '<Settings><Import><Param Name="PixelSize" Value="1.0"/><Param Name="BinTimes" Value="1"/>'
        '<Param Name="ProcessingFolder" Value="warp_tiltseries"/></Import><Tomo>'
        '<Param Name="DimensionsX" Value="120"/><Param Name="DimensionsY" Value="100"/>'
        '<Param Name="DimensionsZ" Value="40"/></Tomo></Settings>'
    )
    for source in ("warp_tiltseries", "some.settings", str(here)):
        t = read(source)["TS_01"]
        assert (t.optics.pixel_size, t.size) == (2.0, (60, 50, 20))


def test_movies_among_series_are_passed_over_and_alone_refused() -> None:
    write_series(Path("all/TS_01.xml"))
    write_series(Path("all/movie.xml"), "<Movie/>")
    write_series(Path("movies/movie.xml"), "<Movie/>")
    assert list(read("all")) == ["TS_01"]
    with pytest.raises(FileFormatError, match="holds no tilt series of Warp"):
        read("movies")
    with pytest.raises(FileFormatError, match=r"a movie \(frame series\) of Warp"):
        read("movies/movie.xml")


def test_a_series_and_its_tomostar_are_one_too_many() -> None:
    write_series(Path("TS_01.xml"))
    Path("TS_01.tomostar").write_text("data_\nloop_\n_wrpAngleTilt\n_wrpDose\n0 0\n3 3\n")
    with pytest.raises(tomoset.ModelError, match="only one file"):
        read("TS_01.xml", "TS_01.tomostar", pixel_size=2.0)


# Losses, in pixels.

RNG = np.random.default_rng(4)
BENT = {(x, y, z): float(RNG.normal(scale=3)) for z in range(5) for y in range(3) for x in range(4)}


@pytest.mark.parametrize("format", ["warp", "relion4", "relion5"])
def test_movement_goes_through_relion_and_back_without_a_loss(
    format: str, capsys: pytest.CaptureFixture[str]
) -> None:
    other = {place: value for place, value in BENT.items() if place[0] < 2}
    grids = grid("GridMovementX", BENT) + grid("GridMovementY", other)
    t = alone(series_xml(grids=grids))
    assert t.deformation is not None
    assert t.deformation.grid == (4, 3)
    inside = t.triangulate(np.full((5, 1, 2), 24.0))
    code, out, errors = convert(capsys, "TS_01.xml", "there", "--to", format)
    assert code == 0, errors
    source = "there/warp_tiltseries.settings" if format == "warp" else "there/tomograms.star"
    if format != "warp":
        code, _, errors = convert(
            capsys, source, "back", "--to", "warp", "--image-size", "64", "48"
        )
        assert code == 0, errors
        source = "back/warp_tiltseries.settings"
    (again,) = read(source).values()
    np.testing.assert_allclose(again.project(inside), t.project(inside), atol=1e-4)
    assert "verified" in out


@pytest.mark.parametrize("kind", ["linear", "spline", "Fourier"])
def test_a_deformation_of_any_kind_becomes_a_grid_as_good_as_is_said(
    kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    count = {"linear": 3, "spline": 8 * 9, "Fourier": 12}[kind]
    drawn = np.random.default_rng(1).normal(size=(5, count)) * (0.002 if kind == "linear" else 0.5)
    bend = Deformation(kind=kind, grid=(3, 3), coefficients=drawn)
    first = replace(rigid_tomogram(), deformation=bend)
    write_stack(Path("a.mrc"), 5, (65, 47))
    TomogramSet([first]).write("set.star", "relion4")
    lost = WARP.losses(Project(tomograms=TomogramSet([first])))
    code, _, errors = convert(capsys, "set.star", "out", "--to", "warp")
    assert code == 0, errors
    assert ("px off" in errors) == bool(lost)
    assert not lost or lost["TS_01"].pixels.max() < 0.05
    assert bool(lost) == (kind != "linear")


def test_what_is_known_of_some_images_only_is_said_to_be_lost(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Warp has no defocus, angle or dose that is not known."""
    some = np.array([2e4, np.nan, 2e4, 2e4, 2e4])
    part = rigid_tomogram(defocus_u=some, defocus_v=some, b_factor=np.full(5, 8.0))
    write_stack(Path("a.mrc"), 5, (65, 47))
    TomogramSet([part]).write("set.star", "relion4")
    code, _, errors = convert(capsys, "set.star", "out", "--to", "warp")
    assert code == 0, errors
    assert "has B-factors, defocus_u of some tilt images only, defocus_v of" in errors
    assert read("out")["TS_01"].defocus_u is None


@needs_warp
def test_a_refined_series_goes_to_relion_and_back_to_warp(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Also where the smaller defocus is the first."""
    first = read_quietly(TESTDATA / "TS_1.xml", **K3)
    first.write("set.star", "relion4")
    sizes = ("--image-size", "5760", "4092")
    code, out, errors = convert(capsys, "set.star", "out", "--to", "warp", *sizes)
    assert code == 0, errors
    assert "verified: 75 points" in out
    (again,) = read("out").values()
    np.testing.assert_allclose(again.defocus_u, first["TS_1"].defocus_u, atol=1e-3)


def test_grids_with_margins_are_carried_with_the_loss_said() -> None:
    with pytest.warns(LossyWarning, match=r"deformation of 4 x 3 nodes, which is up to .* px off"):
        alone(series_xml(grids=grid("GridMovementX", BENT, margin=0.1)))


@pytest.mark.parametrize(
    ("attributes", "grids", "said"),
    [
        (
            {"MagnificationCorrection": "1.01, 0, 0, 1"},
            "",
            r"magnification .* up to 1\.00%; it changes no position",
        ),
        (
            {"MagnificationCorrection": "1.01, 1, 20"},
            "",
            r"magnification .* up to 1\.00%; it changes no position",
        ),
        ({}, each("GridAngleX", (0, 0.5, 0, 0, -0.25)), r"GridAngle.* up to 0\.5°"),
        ({}, each("GridDoseBfacs", (-1, 0, 0, 0, -2)), "B-factors"),
        (
            {},
            moving(np.array([-5.0, 3.0]).reshape(1, 2, 1, 1)),
            r"3D \(GridVolumeWarp\), of up to 2\.5 px",
        ),
    ],
)
def test_what_a_set_cannot_hold_is_said_with_its_size(
    attributes: dict[str, str], grids: str, said: str
) -> None:
    with pytest.warns(LossyWarning, match=f"TS_01.*: .*{said}.*not carried over"):
        alone(series_xml(None, attributes, grids))


def test_sizes_that_nothing_says_are_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    write_series(Path("TS_01.xml"), series_xml(None, {"ImageDimensionsAngstrom": "0, 0"}))
    code, _, errors = run(capsys, "import", "warp", "TS_01.xml", "-o", "set.star")
    assert code == 1
    assert "give it by --image-size 'W H'" in errors
    code, _, errors = run(
        capsys, "import", "warp", "TS_01.xml", "-o", "set.star", "--image-size", "64 48"
    )
    assert code == 0, errors


def test_the_ctf_says_sizes_that_nothing_else_says() -> None:
    """Warp 1 has no sizes of images, and those of the stack that its CTF was fitted in [Å]."""
    options = '\t<OptionsCTF><Param Name="Dimensions" Value="{}" /></OptionsCTF>\n'
    bare = {"ImageDimensionsAngstrom": ""}
    with pytest.warns(AssumptionWarning, match="64 x 48 px, as the options of its CTF have it"):
        t = alone(series_xml(None, bare, options.format("128,96,5")))
    assert t.image_size == (64, 48)
    np.testing.assert_allclose(t.need_projections(), alone(series_xml()).need_projections())
    for other in ("128,96,1", "0,0,0", "128,96", "a,b,c"):  # of something else
        with pytest.raises(tomoset.errors.MissingFieldError, match="--image-size"):
            alone(series_xml(None, bare, options.format(other)))


def test_a_folder_of_images_that_is_not_there_is_refused(
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_series(Path("TS_01.xml"))
    code, _, errors = run(
        capsys, "import", "warp", "TS_01.xml", "-o", "set.star", "--images", "nowhere"
    )
    assert code == 1
    assert "nowhere: there is no such folder (--images)" in errors


def test_a_pixel_size_that_is_not_that_of_the_ctf_is_said() -> None:
    with pytest.warns(AssumptionWarning, match="1.9 Å/px is given, and .* of images of 2 Å/px"):
        alone(series_xml(), pixel_size=1.9)


# What is wrong with files.


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "TS_01.xml: the file is empty"),
        ("\0\1\2\3" * 99, "TS_01.xml:1: the XML is damaged"),
        (series_xml()[:400], r"TS_01.xml:\d+: the XML is damaged or cut short"),
        (series_xml({"Dose": (1, 2)}), r"TS_01.xml:8: <Dose> has 2 lines, but <Angles> has 5"),
        (series_xml({"UseTilt": ("yes",) * 5}), r"TS_01.xml:13: <UseTilt>: expected True or False"),
        (series_xml({"Angles": (1, "x", 3, 4, 5)}), r"TS_01.xml:4: <Angles>: .* found 'x'"),
        (series_xml({"Angles": (1, 2, 3, 4, 500)}), r"TS_01.xml:7: <Angles>: 500° found"),
        (series_xml({"Angles": ()}), "no <Angles>"),
        (series_xml({"UseTilt": ("False",) * 5}), "False for all"),
        (series_xml({"MoviePath": ("a",)}), "<MoviePath> has 1 lines"),
        (series_xml(None, {"LevelAngleX": "a"}), r"TS_01.xml:2: LevelAngleX: expected 1 number"),
        (series_xml(None, {"MagnificationCorrection": "1, 2"}), "expected 3 or 4 number"),
        (series_xml(None, {"AreAnglesInverted": "maybe"}), "AreAnglesInverted: expected True"),
        (series_xml(pixel_size="-3"), "PixelSize: expected a number above 0"),
        (series_xml().replace("Depth", "Dept"), "<GridCTF>: 1 x 1 x 1 nodes .* found 5"),
        (series_xml().replace('Z="4"', 'Z="3"'), "a node is there twice"),
        (series_xml().replace('Z="4"', 'Z="-1"'), r"TS_01.xml:\d+: <GridCTF>: expected a node"),
        (series_xml().replace("<TiltSeries", "<!DOCTYPE x []>\n<TiltSeries"), "document type"),
        ("<Settings/>", "expected <TiltSeries>, found <Settings>: settings of Warp"),
    ],
)
def test_damage_is_an_error_with_its_line(text: str, said: str) -> None:
    with pytest.raises(FileFormatError, match=said):
        alone(text, "utf-8")


def test_one_bad_series_stops_no_other(capsys: pytest.CaptureFixture[str]) -> None:
    write_series(Path("p/a.xml"))
    write_series(Path("p/b.xml"), series_xml()[:300])
    write_images("p/tiltstack/a/a.st", 5)
    code, out, errors = run(capsys, "import", "warp", "p", "-o", "set.star", "--angpix", "2")
    assert code == 1
    assert "p/b.xml" in errors
    assert list(tomoset.read("set.star")) == ["a"]
    assert "1 of 2 series failed" in errors or "1 of 2 series failed" in out


def test_what_another_package_made_is_told_its_command(
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_series(Path("warp/TS_01.xml"))
    make_folder(Path("imod"))
    for asked, folder in (("warp", "imod"), ("imod", "warp")):
        code, _, errors = run(capsys, "import", asked, folder, "-o", "set.star")
        assert code == 1
        assert f"tomoset import {folder} {folder}" in errors


def mutated(whole: bytes, random: random.Random) -> bytes:
    """A file with something wrong: bytes changed, cut out, doubled or taken from elsewhere."""
    data = bytearray(whole)
    for _ in range(random.randint(1, 4)):
        at = random.randrange(len(data))
        length = random.choice((1, 1, 2, 8, 60, 400))
        kind = random.randrange(5)
        if kind == 0:
            data[at : at + 1] = bytes([random.randrange(256)])
        elif kind == 1:
            del data[at : at + length]
        elif kind == 2:
            data[at:at] = data[at : at + length]
        elif kind == 3:
            data[at:at] = random.choice((b"-", b"9" * 30, b"1e308", b"nan", b"<", b'"', b"\xff\0"))
        else:
            start = random.randrange(len(data))
            data[at : at + length] = data[start : start + length]
        if not data:
            return b""
    return bytes(data)


def outcome(name: str) -> tuple[Tomogram | None, str]:
    """What is read of a file, or what is said."""
    given = {"pixel_size": 2.0} if name.endswith("tomostar") else {}
    try:
        (t,) = read_quietly(name, **given).values()
    except tomoset.TomosetError as problem:
        return None, str(problem)
    return t, ""


def _wrecks(count: int) -> None:
    grids = grid("GridMovementX", BENT) + each("GridDoseWeights", (0.7, 0.9, 1, 0.9, 0.7))
    tomostar = "data_\nloop_\n_wrpMovieName #1\n_wrpAngleTilt #2\n_wrpDose #3\n"
    tomostar += "".join(f"a{row}.tif {row} {3 * row}\n" for row in range(5))
    files = {
        "a.xml": series_xml(grids=grids).encode("utf-8-sig"),
        "b.xml": series_xml(grids=grids).replace("utf-8", "utf-16").encode("utf-16"),
        "c.tomostar": tomostar.encode(),
    }
    chance = random.Random(7)
    read_at_all = 0
    for _ in range(count):
        name = chance.choice(list(files))
        Path(name).write_bytes(mutated(files[name], chance))
        t, said = outcome(name)
        assert t is not None or name in said
        if t is None:
            continue
        read_at_all += 1
        assert t.n_tilts > 0
        if t.projections is not None:
            assert np.isfinite(t.project(POINTS)).all()
    assert 0 < read_at_all < count


def test_300_mutations_are_read_or_refused_by_name() -> None:
    _wrecks(300)


@pytest.mark.slow
def test_5000_mutations_are_read_or_refused_by_name() -> None:
    _wrecks(5000)


def test_a_hundred_series_come_in_within_two_seconds() -> None:
    grids = grid("GridMovementX", BENT) + grid("GridMovementY", BENT)
    for number in range(100):
        write_series(Path(f"warp_tiltseries/TS_{number:03d}.xml"), series_xml(grids=grids))
    start = time.process_time()
    assert len(read("warp_tiltseries")) == 100
    assert time.process_time() - start < 2


# Movement in 3D.


def test_movement_in_3d_is_what_warps_library_makes_of_it() -> None:
    """Nodes and results of Warp's C# library (TomoBabel/cets-nonrigid, tests/golden/
    tiltseries_volwarp.json): movement in z at the largest dose, within and beyond the volume."""
    last = [
        *(-2.55996, -2.51317, -6.31496, 2.06853, 3.08726, 2.52532, 7.30272, 1.91464, -2.42069),
        *(-2.68867, -7.3751, -7.83176, 2.20733, -1.73447, -5.71729, -4.07701, 1.03243, -4.24103),
    ]
    grid = np.stack([np.zeros(18), last]).reshape(2, 2, 3, 3)
    motion = VolumeMotion(
        grids=(grid, grid, grid), volume=np.array([3336, 4753.8, 834]), times=np.array([0.0, 1.0])
    )
    points = [[834, 0, 0], [0, 4753.8, 417], [2817.3794, 942.8695, 231.15143]]
    beyond = [[-77.74107, 632.71094, 876.6317], [3336, 4753.8, 834]]
    found = motion(np.array([*points, *beyond]))
    np.testing.assert_allclose(
        found[:, 1, 2],
        [-2.5365648, 1.612855, -3.242559, -1.1762116, -4.24103],
        atol=2e-6,
    )
    np.testing.assert_array_equal(found[:, 0], 0)


def test_particles_take_movement_in_3d_along(capsys: pytest.CaptureFixture[str]) -> None:
    """Points are where Warp sees them: moved first, then projected."""
    rng = np.random.default_rng(5)
    grid = rng.normal(0, 4, (3, 2, 3, 3))
    use = ("True", "False", "True", "True", "True")
    write_series(
        Path("TS_01.xml"),
        series_xml({"UseTilt": use}, None, moving(grid, "XY")),
    )
    for row in range(5):
        write_images(f"frames/average/TS_01_{row:03d}.mrc", 1)
    t = read_quietly("TS_01.xml")["TS_01"]
    places = rng.uniform(1, 19, (7, 3))
    tomoset.ParticleSet(tomogram_names=["TS_01"] * 7, coordinates=places).write(
        "picks.star", TomogramSet([t], format="relion4")
    )
    code, _, errors = run(
        capsys,
        *("import", "warp", "TS_01.xml", "-o", "out/tomograms.star", "--p", "picks.star"),
        *("--images", "frames/average", "--strict"),
    )
    assert code == 0, errors
    project = tomoset.open_project("out/optimisation_set.star")
    assert project.particles is not None
    assert project.trajectories is not None
    np.testing.assert_allclose(project.particles.positions, places, atol=1e-5)
    dose = np.array([9, 0, 3, 12]) / 12  # of the images that are used
    axes = [np.linspace(0, 1, n) for n in grid.shape]
    for place, name in zip(places, project.particles.particle_names, strict=True):
        at = place / [60, 50, 20]
        where = np.array([[time, at[2], at[1], at[0]] for time in dose])
        moved = interpn(axes, grid, where)
        wanted = np.stack([moved, moved, np.zeros(4)], axis=1)
        np.testing.assert_allclose(project.trajectories[name], wanted, atol=1e-5)
