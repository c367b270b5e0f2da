"""EMAN2's info files against its source, other programs' conversions of them, and a real file."""

from __future__ import annotations

import json
import random
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import tomoset
from tests.builders.command import convert
from tests.builders.command import run as run_command
from tests.builders.image_stacks import write_stack
from tests.builders.tomograms import rigid_tomogram
from tomoset import Project, TomogramSet
from tomoset.formats import Destination, format_named
from tomoset.formats._words import Reading
from tomoset.images.stack import open_stack
from tomoset.model import ParticleSet, Tomogram

Array = npt.NDArray[np.float64]
EMAN2 = format_named("eman2")
SIZE = (62, 50, 31)
#: tx, ty, rotation, tilt, x tilt
ROWS = [[3.5, -2.0, 86.0, -40.0, 0.5], [1.0, 4.0, 85.0, 0.0, 0.0], [-6.0, 0.5, 84.5, 38.0, -1.0]]


def info(**changes: object) -> dict[str, Any]:
    content: dict[str, Any] = {
        "ali_loss": [2.0, 1.0, 3.0],
        "apix_unbin": 2.0,
        "tlt_file": "tiltseries/TS_01.hdf",
        "tlt_params": ROWS,
    }
    return {k: v for k, v in {**content, **changes}.items() if v is not None}


def write_project(folder: Path, content: object, name: str = "TS_01", n: int = 3) -> Path:
    """A project of EMAN2, its stack in MRC."""
    (folder / "tiltseries").mkdir(parents=True, exist_ok=True)
    (folder / "info").mkdir(exist_ok=True)
    write_stack(folder / "tiltseries" / f"{name}.mrc", n, (64, 48))
    path = folder / "info" / f"{name}_info.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def read(path: Path, target: Path | None = None, **options: object) -> Reading:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", tomoset.AssumptionWarning)
        destination = Destination(target=target)
        return EMAN2.read([path], destination, **({"size": "62,50,31"} | options))


def read_one(path: Path, **options: object) -> Tomogram:
    reading = read(path, **options)
    for failure in reading.failures:
        raise failure.error
    (t,) = reading.project.tomograms.values()
    return t


def xyz(x: float, y: float, z: float) -> Array:
    """The nine elements of EMAN2's "xyz" (Transform::set_rotation), as they stand there."""
    (cx, cy, cz), (sx, sy, sz) = np.cos(np.deg2rad([x, y, z])), np.sin(np.deg2rad([x, y, z]))
    return np.array(
        [
            [cy * cz, cx * sz + sx * sy * cz, sx * sz - cx * sy * cz],
            [-cy * sz, cx * cz - sx * sy * sz, sx * cz + cx * sy * sz],
            [sy, -sx * cy, cx * cy],
        ]
    )


# Signs


def test_a_point_is_where_eman2_extracts_it(tmp_path: Path) -> None:
    """e2spt_extract.py: nx // 2 + get_xf_pos of a box, and its defocus less the depth."""
    content = info(defocus=[3.0, 3.1, 3.2], phase=[10.0] * 3, voltage=200, cs=2.0)
    content["boxes_3d"] = [[10.0, -7.5, 3.0, "manual", 0.0, 0], [-20, 4, -8, "tm", 1.5, 1]]
    path = write_project(tmp_path, content)
    reading = read(path, amplitude_contrast=0.07)
    (t,) = reading.project.tomograms.values()
    particles = reading.project.particles
    assert particles is not None
    for i, (tx, ty, rot, tilt, x_tilt) in enumerate(ROWS):
        for point, voxel in zip(content["boxes_3d"], particles.positions, strict=True):
            seen = xyz(x_tilt, tilt, rot) @ point[:3]
            there = seen[:2] + [tx, ty] + [64 // 2, 48 // 2]
            np.testing.assert_allclose(t.project([voxel])[i, 0], there, atol=1e-9)
            depth = (xyz(x_tilt, tilt, 0) @ point[:3])[2]
            expected = (content["defocus"][i] - depth * 2.0 / 1e4) * 1e4
            np.testing.assert_allclose(t.defocus([voxel])[i, 0], expected, atol=1e-6)
    assert t.hand == -1
    assert (t.optics.voltage, t.optics.spherical_aberration) == (200, 2.0)
    # EMAN2's phase is all of it: of its CTF, ampcont 0, nothing else turns waves
    assert t.phase_shift is not None
    np.testing.assert_allclose(t.phase_shift, 10 - np.rad2deg(np.arcsin(0.07)))


def test_local_refinement_moves_points_as_eman2_does(tmp_path: Path) -> None:
    """e2spt_extract.py: (x / ny, y / ny) times a matrix is added."""
    local = [12.0, -3.0, 4.0, 7.0]
    rows = [[*row, *local] for row in ROWS]
    t = read_one(write_project(tmp_path, info(tlt_params=rows)))
    plain = read_one(write_project(tmp_path / "plain", info()))
    points = np.array([[10.0, 5.0, 2.0], [50.0, 40.0, 30.0]])
    away = (points - np.array(SIZE) // 2)[:, :2] / 48 @ np.reshape(local, (2, 2))
    np.testing.assert_allclose(t.project(points) - plain.project(points), [away] * 3, atol=1e-9)


def test_aretomo_aligned_alike(tmp_path: Path) -> None:
    """e2tomogram.py --loadaretomo takes TX, TY, -ROT, TILT: its volume is the mirror image.

    So tilts are the negative ones of the volume that AreTomo has with -FlipVol 1.
    """
    rows = "".join(
        f"{i} {-rot} 1.0 {tx} {ty} 1 1 1 0 {-tilt}\n"
        for i, (tx, ty, rot, tilt, _) in enumerate(ROWS, 1)
    )
    head = "# SEC ROT GMAG TX TY SMEAN SFIT SCALE BASE TILT\n"
    (tmp_path / "a.aln").write_text(f"# AreTomo Alignment / Priims bprmMn\n{head}{rows}")
    write_stack(tmp_path / "a.mrc", 3, (64, 48))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        reading = format_named("aretomo").read(
            [tmp_path / "a.aln"], pixel_size=2.0, thickness=30, flip_volume=1
        )
    (aretomo,) = reading.project.tomograms.values()
    path = write_project(tmp_path, info(tlt_params=[[*row[:4], 0.0] for row in ROWS]))
    t = read_one(path)
    assert t.projections is not None
    assert aretomo.projections is not None
    assert aretomo.depth_origin is not None
    np.testing.assert_allclose(t.projections[:, :3, :3], aretomo.projections[:, :3, :3], atol=1e-9)
    axis = aretomo.project([aretomo.depth_origin])[:, 0] - [31.5, 23.5]
    middle = t.project([np.array(SIZE) // 2])[:, 0] - [32, 24]
    np.testing.assert_allclose(middle, axis, atol=1e-9)
    assert t.hand == aretomo.hand


def test_a_script_in_use_makes_the_same_of_imods_files(tmp_path: Path) -> None:
    """SBC-Utrecht's imodxf2emanjson.py: the inverse of the .xf, and the tilts' other sign."""
    folder = tmp_path / "imod"
    folder.mkdir()
    xf = np.array([[0.1, 0.995, -0.995, 0.1, 5.0, -7.0], [0.12, 0.993, -0.993, 0.12, -3.0, 2.0]])
    xf[:, :4] /= np.hypot(xf[:, :1], xf[:, 1:2])
    np.savetxt(folder / "a.xf", xf, fmt="%.12f")
    (folder / "a.tlt").write_text("-40\n35\n")
    write_stack(folder / "a.mrc", 2, (64, 48))
    (folder / "newst.com").write_text("$newstack\nInputFile a.mrc\nTransformFile a.xf\n")
    (folder / "tilt.com").write_text("$tilt\nTILTFILE a.tlt\nTHICKNESS 30\nFULLIMAGE 64 48\n")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        reading = format_named("imod").read([folder], pixel_size=2.0, exact_depth=True)
    (imod,) = reading.project.tomograms.values()
    inverse = np.linalg.inv(
        [[[a, b, dx], [c, d, dy], [0, 0, 1]] for a, b, c, d, dx, dy in xf.tolist()]
    )
    rotation = -np.rad2deg(np.arctan2(xf[:, 1], xf[:, 0]))
    rows = np.stack([*inverse[:, :2, 2].T, rotation, [40.0, -35.0], [0.0, 0.0]], axis=1)
    path = write_project(tmp_path, info(tlt_params=rows.tolist(), ali_loss=None), n=2)
    t = read_one(path, size="64,48,30")
    # half a pixel in the images, and half a voxel, are between (size - 1)/2 and size // 2
    apart = t.project([[32.0, 24, 15]]) - imod.project([[31.5, 23.5, 14.5]])
    np.testing.assert_allclose(apart, np.full((2, 1, 2), 0.5), atol=1e-6)
    np.testing.assert_allclose(
        t.need_projections()[:, :3, :3], imod.need_projections()[:, :3, :3], atol=1e-6
    )
    assert t.hand == imod.hand


def test_scipion_makes_the_same_transforms(tmp_path: Path) -> None:
    """scipion-em-emantomo: a rotation by -rot of the image less the shift; IMOD's .xf."""
    t = read_one(write_project(tmp_path, info()))
    voxel = np.array([10.0, 5.0, 29.0])
    for seen, (tx, ty, rot, tilt, x_tilt) in zip(t.project([voxel])[:, 0], ROWS, strict=True):
        c, s = np.cos(np.deg2rad(-rot)), np.sin(np.deg2rad(-rot))
        xf = np.array([[c, s], [-s, c]])
        aligned = xf @ (seen - [32, 24]) + xf @ [-tx, -ty]
        there = xyz(x_tilt, tilt, 0) @ (voxel - np.array(SIZE) // 2)
        np.testing.assert_allclose(aligned, there[:2], atol=1e-9)


def test_a_real_file_and_what_another_converter_made_of_it(shared: Path, tmp_path: Path) -> None:
    """The .tlt agrees. The .xf does not: it reads tlt_params as from raw to aligned images.

    e2tomogram.py has them from aligned to raw ones: the inverse (docs/differences.md).
    """
    source = shared / "data/other/eman2"
    content = (source / "example.json").read_text()
    count = len(json.loads(content)["tlt_params"])
    path = write_project(tmp_path, content, "stack", count)
    t = read_one(path)
    assert t.nominal_tilts is not None
    np.testing.assert_allclose(t.nominal_tilts, np.loadtxt(source / "example.tlt"), atol=5.1e-3)
    assert t.optics.pixel_size == pytest.approx(2.65)
    table = np.array(json.loads(content)["tlt_params"])
    xf = np.loadtxt(source / "example.xf")
    theirs = xf[:, :4].reshape(-1, 2, 2)
    middle = t.project([np.array(SIZE) // 2])[:, 0] - [32, 24]
    np.testing.assert_allclose(np.einsum("nij,nj->ni", theirs, middle), xf[:, 4:], atol=1e-3)
    for row, forth in zip(table, theirs, strict=True):
        np.testing.assert_allclose(forth, xyz(0, 0, row[2])[:2, :2], atol=1e-6)


# What is read


def test_bad_images_are_left_out_of_a_new_stack(tmp_path: Path) -> None:
    path = write_project(tmp_path, info(ali_loss=[1.0, 1000.0, 2.0]))
    reading = read(path, target=tmp_path / "set.star")
    (t,) = reading.project.tomograms.values()
    assert t.stack == str(tmp_path / "culled/TS_01.mrc")
    with open_stack(t.stack) as stack:
        assert stack.header.n_images == 2
    assert any("images 2 of 3 are excluded" in note for note in reading.notes)
    whole = read_one(path, no_cull=True)
    assert whole.image_index is not None
    assert whole.image_index.tolist() == [0, 2]


def test_infinite_losses_are_of_images_out_of_the_range(tmp_path: Path) -> None:
    """e2tomogram.py --tltrange writes them."""
    path = write_project(tmp_path, json.dumps(info(ali_loss=[1.0, 2.0, float("inf")])))
    assert read_one(path).n_tilts == 2


def test_without_a_size_the_alignment_waits_for_it(tmp_path: Path) -> None:
    path = write_project(tmp_path, info(boxes_3d=[[1, 2, 3]]))
    reading = read(path, size=None)
    (t,) = reading.project.tomograms.values()
    assert t.projections is None
    points = np.array([[10.0, 5.0, 2.0]])
    np.testing.assert_allclose(
        t.placed(SIZE).project(points), read_one(path).project(points), atol=1e-9
    )
    assert any("boxes_3d are left out" in note for note in reading.notes)


def test_an_order_list_gives_doses(tmp_path: Path) -> None:
    path = write_project(tmp_path, info())
    (tmp_path / "order.csv").write_text("1,0\n2,38\n3,-40\n")
    t = read_one(path, order_list=str(tmp_path / "order.csv"), fractional_dose=3.0)
    assert t.pre_exposure is not None
    assert t.pre_exposure.tolist() == [6.0, 0.0, 3.0]


def test_a_project_folder_is_all_its_series(tmp_path: Path) -> None:
    write_project(tmp_path, info(), "TS_01")
    write_project(tmp_path, info(tlt_file="tiltseries/TS_02.hdf"), "TS_02")
    assert list(read(tmp_path).project.tomograms) == ["TS_01", "TS_02"]


# What is written


@pytest.fixture
def _set(here: Path) -> None:
    write_stack(here / "a.mrc", 5, (65, 47))


@pytest.mark.usefixtures("_set")
def test_boxes_and_what_eman2_has_no_key_for_come_back(here: Path) -> None:
    t = rigid_tomogram()
    boxes = ParticleSet(tomogram_names=np.array(["TS_01"]), coordinates=np.array([[9.0, 8, 7.5]]))
    with pytest.warns(tomoset.LossyWarning, match="not how they are turned"):
        Project(tomograms=TomogramSet([t]), particles=boxes).write("made", "eman2")
    content = json.loads((here / "made/info/TS_01_info.json").read_text())
    assert content["boxes_3d"] == [[9 - 31, 8 - 24, 7.5 - 15, "manual", 0.0, 0]]
    assert content["tlt_file"] == "../a.mrc"
    assert content["phase"] == pytest.approx([np.rad2deg(np.arcsin(0.1))] * 5)
    assert content["ali_loss"] == pytest.approx([4.0, 2.0, 0.0, 2.0, 4.0])
    reading = read(here / "made/info/TS_01_info.json", size=None)
    (again,) = reading.project.tomograms.values()
    assert again.pre_exposure is not None
    assert again.pre_exposure.tolist() == [9.0, 6.0, 0.0, 3.0, 12.0]
    assert reading.project.particles is not None
    np.testing.assert_allclose(reading.project.particles.positions, boxes.positions)
    points = [[0, 0, 0], [62, 48, 30]]
    np.testing.assert_allclose(again.defocus(points), t.defocus(points), atol=1e-3)


@pytest.mark.usefixtures("_set")
def test_images_that_a_set_has_not_are_bad_to_eman2(here: Path) -> None:
    t = rigid_tomogram().select([0, 1, 3, 4])
    Project(tomograms=TomogramSet([t])).write("made", "eman2")
    content = json.loads((here / "made/info/TS_01_info.json").read_text())
    assert [loss > 500 for loss in content["ali_loss"]] == [False, False, True, False, False]
    np.testing.assert_allclose(content["tlt_params"][2][3], 0.0, atol=1e-6)
    again = read_one(here / "made/info/TS_01_info.json")
    assert again.image_index is not None
    assert again.image_index.tolist() == [0, 1, 3, 4]


@pytest.mark.usefixtures("_set")
def test_convert_says_the_hand_that_eman2_does_not_take(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    TomogramSet([rigid_tomogram(hand=1)]).write("set.star", "relion5")
    code, out, errors = convert(capsys, "set.star", "made", "--to", "eman2")
    assert code == 0, errors
    assert "EMAN2 always takes -1" in errors
    assert "0.00" in out or "px" in out
    code, _, errors = run_command(capsys, "info", "made/info/TS_01_info.json")
    assert code == 0, errors


# Bad files


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "json:1: this is not JSON"),
        ('{"tlt_params": [[1, 2, 3, 4, 5]', "json:1: this is not JSON"),
        ('{\n"b": 0, "a": 1,\n"a": 2}', "the key 'a' comes twice"),
        ("[" * 100_000, "not JSON"),
        ("[1, 2]", "expected keys and values"),
        ('{"a": ' + "9" * 5000 + "}", "not JSON that can be read"),
        (info(tlt_params=None), "no tlt_params"),
        (info(tlt_params=[[1, 2, 3, 4]] * 3), "tlt_params: expected n x 5"),
        (info(tlt_params=[[1, 2, 3, 4, 5], [1]]), "tlt_params: expected lists of one length"),
        (info(tlt_params=[[1, 2, 3, "x", 5]] * 3), r"tlt_params\[0\]\[3\]: expected a number"),
        (
            info(tlt_params=[[1, 2, float("nan"), 4, 5]] * 3),
            r"tlt_params\[0\]\[2\]: expected a number",
        ),
        (info(tlt_params=[[1, 2, 10**400, 4, 5]] * 3), r"tlt_params\[0\]\[2\]"),
        (info(tlt_params=ROWS[:2]), "has 2 images, and .* has 3"),
        (info(tlt_params=[[1e300, 2, 3, 4, 5]] * 3), "found 1e.300"),
        (info(ali_loss=[1.0]), "ali_loss: expected 3 numbers"),
        (info(ali_loss=[1000.0] * 3), "none is used"),
        (info(apix_unbin="two"), "apix_unbin: expected a number"),
        (info(defocus=[1.0, 2.0], phase=[0.0] * 3), "defocus: expected 3 numbers"),
        (info(boxes_3d=[[1, 2]]), r"boxes_3d\[0\]"),
        (info(apix_unbin=-1.0), "pixel size"),
    ],
)
def test_errors_name_file_and_key(content: object, message: str, tmp_path: Path) -> None:
    path = write_project(tmp_path, content)
    with pytest.raises(tomoset.FileFormatError, match=message) as problem:
        read_one(path)
    assert "TS_01" in str(problem.value)


def test_binary_and_crlf_files(tmp_path: Path) -> None:
    path = write_project(tmp_path, info())
    path.write_bytes(json.dumps(info(), indent=1).replace("\n", "\r\n").encode())
    assert read_one(path).n_tilts == 3
    path.write_bytes(b"{\0\1")
    with pytest.raises(tomoset.FileFormatError, match="binary"):
        read_one(path)


def test_a_stack_in_hdf_is_said_to_be_written_as_mrc(tmp_path: Path) -> None:
    path = write_project(tmp_path, info())
    (tmp_path / "tiltseries/TS_01.mrc").rename(tmp_path / "tiltseries/other.mrc")
    with pytest.raises(tomoset.errors.MissingFileError, match=r"e2proc2d.py tiltseries/TS_01.hdf"):
        read_one(path)
    assert read_one(path, stack=str(tmp_path / "tiltseries/other.mrc")).n_tilts == 3


@pytest.mark.parametrize("count", [300, pytest.param(5000, marks=pytest.mark.slow)])
def test_mutated_files_never_surprise(count: int, tmp_path: Path) -> None:
    """Whatever a file says, it is read, or an error of ours names it."""
    content = info(defocus=[3.0] * 3, phase=[10.0] * 3, cs=2.7, voltage=300)
    content["boxes_3d"] = [[10.0, -7.5, 3.0, "manual", 0.0, 0]]
    path = write_project(tmp_path, content)
    whole, chance = path.read_bytes(), random.Random(1)
    words = [
        b"NaN",
        b"null",
        b"1e999",
        b"-1",
        b"[]",
        b"{}",
        b'"',
        b"]",
        b"true",
        b"\xff",
        b"9" * 30,
    ]
    for _ in range(count):
        data = bytearray(whole)
        for _ in range(chance.randint(1, 3)):
            at = chance.randrange(len(data))
            data[at : at + chance.choice((0, 1, 5))] = chance.choice(words)
        path.write_bytes(data)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                warnings.simplefilter("ignore", tomoset.errors.TomosetWarning)
                reading = EMAN2.read([path], size="62,50,31")
        except tomoset.TomosetError:
            continue
        for failure in reading.failures:
            assert isinstance(failure.error, (tomoset.TomosetError, OSError))
            assert "TS_01" in str(failure.error)


def test_a_hundred_series_come_in_at_once(tmp_path: Path) -> None:
    angles = np.linspace(-60, 60, 41).tolist()
    rows = [[1.0, 2.0, 85.0, angle, 0.1] for angle in angles]
    content = info(tlt_params=rows, ali_loss=[1.0] * 41, defocus=[3.0] * 41, phase=[10.0] * 41)
    for i in range(100):
        name = f"TS_{i:03d}"
        write_project(tmp_path, content | {"tlt_file": f"tiltseries/{name}.hdf"}, name, 41)
    start = time.perf_counter()
    assert len(read(tmp_path).project.tomograms) == 100
    assert time.perf_counter() - start < 2


def test_boxes_are_written_beside_the_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_project(tmp_path, info(boxes_3d=[[1.0, 2.0, 3.0, "manual", 0.0, 0]]))
    code, out, errors = run_command(
        capsys, "import", "eman2", ".", "-o", "set.star", "--size", "62,50,31", "--angpix", "2"
    )
    assert code == 0, errors
    assert "1 boxes_3d are particles" in out
    particles = tomoset.read_particles("particles.star", tomoset.read("set.star"))
    np.testing.assert_allclose(particles.positions, [[32.0, 27.0, 18.0]], atol=1e-4)


def test_names_are_given_to_particles_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_project(tmp_path, info(boxes_3d=[[1.0, 2.0, 3.0, "manual", 0.0, 0]]))
    told = {"size": "62,50,31", "pixel_size": 2.0, "rename": {"TS_01": "one"}}
    done = tomoset.import_series("eman2", ["."], "set.star", **told)
    assert [t.name for t in done.tomograms] == ["one"]
    particles = tomoset.read_particles("particles.star", tomoset.read("set.star"))
    assert particles.tomogram_names.tolist() == ["one"]


def test_the_stack_that_is_named_is_taken_before_others_of_its_name(tmp_path: Path) -> None:
    path = write_project(tmp_path, info(tlt_file="tiltseries/TS_01.st"))
    (tmp_path / "tiltseries/TS_01.st").write_bytes((tmp_path / "tiltseries/TS_01.mrc").read_bytes())
    t = read_one(path)
    assert t.stack == f"{tmp_path}/tiltseries/TS_01.st:mrc"
    given = read_one(path, stack=str(tmp_path / "tiltseries/TS_01.mrc"))
    assert given.stack == f"{tmp_path}/tiltseries/TS_01.mrc"
    path.write_text(json.dumps(info(tlt_file="tiltseries/TS_01.hdf")))
    with pytest.raises(tomoset.errors.AmbiguityError, match=r"TS_01.mrc, TS_01.st could each"):
        read_one(path)
    write_project(tmp_path, info(), "TS_02")
    failures = read(tmp_path, stack=str(tmp_path / "tiltseries/TS_01.mrc")).failures
    assert all("is one stack" in str(failure.error) for failure in failures)
    assert len(failures) == 2
