"""CETS documents and metadata of the CryoET Data Portal, against what others say and make of them."""

from __future__ import annotations

import json
import random
import time
import warnings
from collections.abc import Callable
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
from tomoset.formats import Format, format_named
from tomoset.formats._words import Reading
from tomoset.model import Tomogram

Array = npt.NDArray[np.float64]
CETS, PORTAL, IMOD = (format_named(name) for name in ("cets", "portal", "imod"))
POINTS = np.array([[0.0, 0, 0], [62, 48, 30], [31, 24, 15], [5, 40, 2]])


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_stack(tmp_path / "a.mrc", 5, (65, 47))
    return tmp_path


def read(format: Format, path: str | Path, **options: object) -> Reading:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", tomoset.AssumptionWarning)
        return format.read([path], **options)


def read_one(format: Format, path: str | Path, **options: object) -> Tomogram:
    reading = read(format, path, **options)
    for failure in reading.failures:
        raise failure.error
    (t,) = reading.project.tomograms.values()
    return t


def document(*tomograms: Tomogram, path: str = "made/TS_01.cets.json") -> dict[str, Any]:
    """What is written of a tomogram, to be changed."""
    written = Project(tomograms=TomogramSet(tomograms or [rigid_tomogram()]))
    written.write("made", "cets")
    content: dict[str, Any] = json.loads(Path(path).read_text())
    return content


def rewrite(content: object, path: str = "made/TS_01.cets.json") -> str:
    Path(path).write_text(json.dumps(content))
    return path


# CETS


def test_a_point_is_where_the_profile_has_it() -> None:
    """docs/cets.md of cryoet-alignment: q = drop_z(Rz Ry Rx p) + shift, from index floor(N/2) [Å]."""
    content = document()
    (region,) = content["regions"]
    rot, tilt, x_tilt, shift = 84.0, -33.0, 2.0, [13.0, -7.0]
    (cx, cy, cz), (sx, sy, sz) = (f(np.deg2rad([x_tilt, tilt, rot])) for f in (np.cos, np.sin))
    Rx = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    Ry = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    Rz = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    region["alignments"][0]["projection_alignments"][0]["sequence"] = [
        {"transformation_type": "affine", "affine": (Ry @ Rx).tolist()},
        {"transformation_type": "affine", "affine": Rz.tolist()},
        {"transformation_type": "translation", "translation": shift},
    ]
    t = read_one(CETS, rewrite(content))
    for voxel in POINTS:
        p = (voxel - [63 // 2, 49 // 2, 31 // 2]) * 2.0
        q = (Rz @ Ry @ Rx @ p)[:2] + shift
        there = q / 2.0 + [65 // 2, 47 // 2]
        np.testing.assert_allclose(t.project([voxel])[0, 0], there, atol=1e-9)


def test_a_binned_tomogram_is_the_same_frame() -> None:
    """Voxel i of a volume at binning b is voxel b i; its origin is its own floor(N/2)."""
    content = document()
    (region,) = content["regions"]
    (volume,) = region["tomograms"]
    volume |= {"width": 16, "height": 12, "depth": 8}
    steps = volume["coordinate_transformations"][0]["sequence"]
    steps[0]["translation"], steps[1]["scale"] = [-8.0, -6.0, -4.0], [8.0]
    t = read_one(CETS, rewrite(content))
    assert t.size == (64, 48, 32)
    before = rigid_tomogram()
    origin, own = np.array([8, 6, 4]) * 4.0, np.array([31, 24, 15])
    np.testing.assert_allclose(t.project([origin]), before.project([own]), atol=1e-9)


def test_names_and_keys_of_documents_before_the_profile() -> None:
    """`type` for transformation_type, `ts_id` for id, a scale alone: the origin is the corner."""
    content = document()
    (region,) = content["regions"]
    text = json.dumps(content).replace("transformation_type", "type")
    content = json.loads(text)
    (region,) = content["regions"]
    region["tilt_series"][0]["ts_id"] = region["tilt_series"][0].pop("id")
    for image in region["tilt_series"][0]["images"]:
        del image["id"]
        image["coordinate_transformations"] = [
            {"type": "scale", "name": "pixel_to_angstrom", "scale": [2.0, 2.0]}
        ]
    t = read_one(CETS, rewrite(content))
    moved = rigid_tomogram().project(POINTS) - [65 // 2, 47 // 2]
    np.testing.assert_allclose(t.project(POINTS), moved, atol=1e-9)


def test_images_without_an_alignment_are_left_out() -> None:
    t = rigid_tomogram().select([0, 1, 3, 4])
    content = document(t)
    images = content["regions"][0]["tilt_series"][0]["images"]
    assert [image["section"] for image in images] == [0, 1, 2, 3, 4]
    reading = read(CETS, "made/TS_01.cets.json")
    (again,) = reading.project.tomograms.values()
    assert again.image_index is not None
    assert again.image_index.tolist() == [0, 1, 3, 4]
    assert any("images 3 of 5 have no alignment" in note for note in reading.notes)


def test_the_hand_comes_back_and_one_that_is_not_said_is_assumed() -> None:
    content = document(rigid_tomogram(hand=1))
    assert read_one(CETS, "made/TS_01.cets.json").hand == 1
    for image in content["regions"][0]["tilt_series"][0]["images"]:
        image["ctf_metadata"]["defocus_handedness"] = None
    rewrite(content)
    with pytest.warns(tomoset.AssumptionWarning, match="does not say the hand"):
        CETS.read(["made/TS_01.cets.json"])
    assert read_one(CETS, "made/TS_01.cets.json", hand=1).hand == 1


def test_several_alignments_are_chosen_from() -> None:
    content = document()
    (region,) = content["regions"]
    region["alignments"].append(json.loads(json.dumps(region["alignments"][0])))
    sequence = region["alignments"][1]["projection_alignments"][0]["sequence"]
    sequence[-1]["translation"][0] += 10.0
    path = rewrite(content)
    with pytest.raises(tomoset.errors.AmbiguityError, match="2 alignments"):
        read_one(CETS, path)
    one, two = (read_one(CETS, path, alignment=n) for n in (1, 2))
    np.testing.assert_allclose((two.project(POINTS) - one.project(POINTS))[0], [[5.0, 0]] * 4)


def test_a_stack_elsewhere_is_given(here: Path) -> None:
    document()
    (here / "stacks").mkdir()
    (here / "a.mrc").rename(here / "stacks/b.mrc")
    with pytest.raises(tomoset.errors.MissingFileError, match="its stack is not there"):
        read_one(CETS, "made/TS_01.cets.json")
    assert read_one(CETS, "made/TS_01.cets.json", stack="stacks/b.mrc").stack == "stacks/b.mrc"


def test_the_example_of_the_schema_is_refused_with_the_reason(shared: Path) -> None:
    """It maps images to the tomogram in 2D, and what that means is not settled."""
    source = shared / "data/oracles/cets_example/expected_dataset.json"
    with pytest.raises(tomoset.TomosetError) as problem:
        read_one(CETS, source, stack="a.mrc")
    assert "tomogram_to_projection" in str(problem.value) or "tomogram" in str(problem.value)
    assert CETS.detect(str(source), source.read_bytes())


def change(*keys: str | int, to: object) -> Callable[[Any], None]:
    def apply(content: Any) -> None:
        for key in keys[:-1]:
            content = content[key]
        content[keys[-1]] = to

    return apply


_IMAGE = ("regions", 0, "tilt_series", 0, "images", 0)
_PROJECTION = ("regions", 0, "alignments", 0, "projection_alignments", 0)


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (change("regions", to=None), "no regions"),
        (change("regions", to=[]), "no tilt series"),
        (change("regions", 0, "alignments", to=[]), "has no alignment"),
        (change("regions", 0, "tomograms", to=[]), "has no tomogram"),
        (change(*_PROJECTION, "name", to="align_tilt"), "only projection alignments called"),
        (change(*_PROJECTION, "tilt_image_id", to="other"), "'other' is no image"),
        (change(*_PROJECTION, "tilt_image_id", to="TS_01_1"), "'TS_01_1' comes twice"),
        (
            change(*_PROJECTION, "sequence", 0, "affine", to=[[1, 0, 5], [0, 1, 0], [0, 0, 1]]),
            r"sequence\[0\].affine: expected a rotation",
        ),
        (
            change(*_PROJECTION, "sequence", 1, "affine", to=[[-1, 0, 0], [0, 1, 0], [0, 0, 1]]),
            "expected a rotation",
        ),
        (change(*_PROJECTION, "sequence", 2, "translation", to=[1]), "expected 2 numbers"),
        (change(*_IMAGE, "width", to=64), "images differ in size"),
        (change(*_IMAGE, "coordinate_transformations", to=[]), "array_to_physical"),
        (
            change(
                "regions",
                0,
                "tomograms",
                0,
                "coordinate_transformations",
                0,
                "sequence",
                1,
                "scale",
                to=[1e300] * 3,
            ),
            "within 1e15",
        ),
        (
            change(
                "regions",
                0,
                "tomograms",
                0,
                "coordinate_transformations",
                0,
                "sequence",
                1,
                "scale",
                to=[1e-9] * 3,
            ),
            "a scale from 0.001",
        ),
        (change(*_IMAGE, "section", to=1), "sections are not each one"),
        (change(*_IMAGE, "ctf_metadata", "defocus_u", to="x"), "defocus_u: expected a number"),
        (change(*_IMAGE, "ctf_metadata", "defocus_handedness", to=3), "handedness -1 or 1"),
    ],
)
def test_errors_of_documents_name_file_and_key(broken: Any, message: str) -> None:
    content = document()
    broken(content)
    path = rewrite(content)
    with pytest.raises(tomoset.TomosetError, match=message) as problem:
        read_one(CETS, path)
    assert path in str(problem.value)


# The portal


def portal_run(folder: Path, sections: list[dict[str, Any]], **changes: object) -> Path:
    """Metadata of an alignment alone, beside a stack."""
    place = folder / "RUN1/Alignments/100"
    place.mkdir(parents=True, exist_ok=True)
    content = {
        "format": "IMOD",
        "affine_transformation_matrix": np.eye(4).tolist(),
        "volume_dimension": {"x": 128.0, "y": 96.0, "z": 60.0},
        "volume_offset": {"x": 0, "y": 0, "z": 0},
        "per_section_alignment_parameters": sections,
        **changes,
    }
    path = place / "alignment_metadata.json"
    path.write_text(json.dumps(content))
    write_stack(folder / "RUN1.mrc", 3, (64, 48), 2.0)
    return path


def imod_folder(folder: Path, xf: str, tilts: str, x_tilts: str = "") -> Tomogram:
    """A folder of etomo for the same stack, read in IMOD's own frame of depth."""
    folder.mkdir()
    (folder / "a.xf").write_text(xf)
    (folder / "a.tlt").write_text(tilts)
    write_stack(folder / "a.mrc", 3, (64, 48), 2.0)
    lines = ["$tilt", "TILTFILE a.tlt", "THICKNESS 30", "FULLIMAGE 64 48"]
    if x_tilts:
        (folder / "a.xtilt").write_text(x_tilts)
        lines.append("XTILTFILE a.xtilt")
    (folder / "tilt.com").write_text("\n".join(lines) + "\n")
    (folder / "newst.com").write_text("$newstack\nInputFile a.mrc\nTransformFile a.xf\n")
    return read_one(IMOD, folder, pixel_size=2.0, exact_depth=True)


#: What the portal's own tests (test_alignments.py) expect of TS_run1.xf, .tlt and .xtilt.
THEIRS = [
    (23.95253, -56.17124, -5, 0.23),
    (57.29936, 74.24210, 0, 2.12),
    (80.5102, 91.54409, 5, 1.97),
]


def theirs() -> list[dict[str, Any]]:
    return [
        {
            "z_index": i,
            "in_plane_rotation": [[0.029, -1.0], [1.0, 0.029]],
            "x_offset": x,
            "y_offset": y,
            "tilt_angle": tilt,
            "volume_x_rotation": x_tilt,
        }
        for i, (x, y, tilt, x_tilt) in enumerate(THEIRS)
    ]


def test_what_the_portal_makes_of_imods_files_is_the_same_alignment(
    shared: Path, tmp_path: Path
) -> None:
    """Its converter transposes where the inverse is meant: 0.08 % of a matrix of three digits."""
    source = shared / "data/other/portal/test_infra/test_files/input_bucket/10001_input/alignments"
    rows = np.loadtxt(source / "TS_run1.xf")
    size = np.hypot(rows[:, :1], rows[:, 1:2])  # of a rotation, it is 1
    rows[:, :4] /= size
    xf = "".join(" ".join(f"{v:.9f}" for v in row) + "\n" for row in rows)
    imod = imod_folder(
        tmp_path / "imod", xf, (source / "TS_run1.tlt").read_text(), "0.23\n2.12\n1.97\n"
    )
    sections = theirs()
    for section, scale in zip(sections, size, strict=True):
        section["in_plane_rotation"] = (np.array(section["in_plane_rotation"]) / scale).tolist()
        for key in ("x_offset", "y_offset"):
            section[key] /= float(scale[0])
    t = read_one(PORTAL, portal_run(tmp_path, sections))
    assert t.size == imod.size == (64, 48, 30)
    np.testing.assert_allclose(t.project(POINTS), imod.project(POINTS), atol=1e-4)
    deep, theirs_deep = t.depth(POINTS), imod.depth(POINTS)
    np.testing.assert_allclose(np.diff(deep), np.diff(theirs_deep), atol=1e-6)
    assert t.hand == imod.hand


def test_aretomo_alignments_of_the_portal_lie_as_those_of_aln_files(tmp_path: Path) -> None:
    """ROT is the angle of in_plane_rotation; offsets are TX and TY, in pixels whatever docs say."""
    rows = [(86.0, 3.5, -2.0, -40.0), (85.0, 1.0, 4.0, 0.0), (84.5, -6.0, 0.5, 38.0)]
    lines = "".join(
        f"{i} {rot} 1 {x} {y} 1 1 1 0 {tilt}\n" for i, (rot, x, y, tilt) in enumerate(rows, 1)
    )
    head = "# AreTomo Alignment / Priims bprmMn\n# SEC ROT GMAG TX TY SMEAN SFIT SCALE BASE TILT\n"
    (tmp_path / "RUN1.aln").write_text(head + lines)
    write_stack(tmp_path / "RUN1.mrc", 3, (64, 48), 2.0)
    aretomo = read_one(
        format_named("aretomo"), "RUN1.aln", pixel_size=2.0, size="64,48,30", flip_volume=1
    )
    sections = [
        {
            "z_index": i,
            "in_plane_rotation": rot if i else _matrix(rot),
            "x_offset": x,
            "y_offset": y,
            "tilt_angle": tilt,
        }
        for i, (rot, x, y, tilt) in enumerate(rows)
    ]
    t = read_one(PORTAL, portal_run(tmp_path, sections, format="ARETOMO3"))
    assert t.size == aretomo.size
    np.testing.assert_allclose(t.project(POINTS), aretomo.project(POINTS), atol=1e-9)
    np.testing.assert_allclose(t.depth(POINTS), aretomo.depth(POINTS), atol=1e-9)


def _matrix(angle: float) -> list[float]:
    c, s = np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))
    return [c, -s, s, c]


def test_cryoet_alignment_makes_what_is_read(tmp_path: Path) -> None:
    package = pytest.importorskip("cryoet_alignment", reason="the portal's package is not there")
    assert package
    from cryoet_alignment.io.cryoet_data_portal import Alignment
    from cryoet_alignment.io.imod import ImodAlignment, ImodTLT, ImodXF

    xf, tlt = "0.6 0.8 -0.8 0.6 5 -7\n" * 3, "-5\n0\n5\n"
    made = Alignment.from_imod(
        ImodAlignment(xf=ImodXF.from_string(xf), tlt=ImodTLT.from_string(tlt)),
        vol_size=(128.0, 96.0, 60.0),
    )
    path = portal_run(tmp_path, [])
    path.write_text(str(made))
    imod = imod_folder(tmp_path / "imod", xf, tlt)
    np.testing.assert_allclose(
        read_one(PORTAL, path).project(POINTS), imod.project(POINTS), atol=1e-6
    )


def test_metadata_of_tilt_series_and_frames_are_used() -> None:
    TomogramSet([rigid_tomogram()]).write("set.star", "relion5")
    Project(tomograms=tomoset.read("set.star")).write("made", "portal")
    path = "made/TS_01/Alignments/100/alignment_metadata.json"
    t = read_one(PORTAL, path, amplitude_contrast=0.1)
    assert t.pre_exposure is not None
    assert t.pre_exposure.tolist() == [9.0, 6.0, 0.0, 3.0, 12.0]
    np.testing.assert_allclose(t.defocus(POINTS), rigid_tomogram().defocus(POINTS), atol=1e-3)
    assert t.optics.pixel_size == 2.0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        PORTAL.read([path])
    series = Path("made/TS_01/TiltSeries/100/tiltseries_metadata.json")
    content = json.loads(series.read_text())
    content["acceleration_voltage"] = 200000
    for section in content["per_section_parameter"]:
        section["phase_shift"] = np.pi / 2
    series.write_text(json.dumps(content))
    again = read_one(PORTAL, path)
    assert again.optics.voltage == 200
    assert again.phase_shift is not None
    np.testing.assert_allclose(again.phase_shift, 90.0)


def test_toy_values_of_the_portal_are_read_as_far_as_they_can_be(
    shared: Path, tmp_path: Path
) -> None:
    """Its angles are null: nothing is made up."""
    source = shared / "data/other/portal/test_infra/test_files/30001/RUN1/Alignments/100"
    with pytest.raises(tomoset.TomosetError, match="tilt_angle"):
        read_one(PORTAL, source / "alignment_metadata.json", stack="a.mrc", pixel_size=4.37)
    del tmp_path


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"affine_transformation_matrix": np.diag([1, 1, 2, 1]).tolist()}, "is not 1"),
        ({"volume_offset": {"x": 1, "y": 0, "z": 0}}, "volume_offset is not 0"),
        ({"volume_dimension": None}, "how large the tomogram is"),
        ({"volume_dimension": {"x": 0, "y": 1, "z": 1}}, "sides above 0"),
        ({"per_section_alignment_parameters": []}, "has no section"),
        ({"per_section_alignment_parameters": [{"z_index": 9}]}, "z_index does not name"),
        ({"per_section_alignment_parameters": [theirs()[0] | {"z_index": 0.5}]}, "a whole number"),
        (
            {"per_section_alignment_parameters": [theirs()[0] | {"in_plane_rotation": [0] * 4}]},
            r"\[0\].in_plane_rotation: expected a matrix",
        ),
        (
            {"per_section_alignment_parameters": [theirs()[0] | {"tilt_angle": None}]},
            "no tilt_angle",
        ),
    ],
)
def test_errors_of_the_portal_name_file_and_key(
    changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    path = portal_run(tmp_path, theirs(), **changes)
    with pytest.raises(tomoset.TomosetError, match=message) as problem:
        read_one(PORTAL, path)
    assert str(path) in str(problem.value)


def test_what_is_not_carried_is_said(tmp_path: Path) -> None:
    path = portal_run(tmp_path, theirs()[:2], tilt_offset=-0.3, alignment_type="LOCAL")
    with pytest.warns(tomoset.LossyWarning, match="local"):
        reading = read(PORTAL, path)
    assert any("tilt_offset -0.3° is not carried over" in note for note in reading.notes)
    assert any("images 3 of 3 have no parameters" in note for note in reading.notes)


def test_metadata_of_other_runs_are_not_looked_for(tmp_path: Path) -> None:
    """A file that was taken out of its run is in its own folder, whatever lies above."""
    path = portal_run(tmp_path, theirs())
    for name in ("RUN2", "RUN3"):
        other = tmp_path / name / "TiltSeries/100/tiltseries_metadata.json"
        other.parent.mkdir(parents=True)
        other.write_text('{"run_name": "OTHER"}')
    alone = tmp_path / "deep/mine/alignment_metadata.json"
    alone.parent.mkdir(parents=True)
    alone.write_bytes(path.read_bytes())
    assert read_one(PORTAL, path).name == "RUN1"
    assert read_one(PORTAL, alone, stack=str(tmp_path / "RUN1.mrc")).name == "mine"


# Both


def test_a_mirrored_volume_keeps_its_defocus() -> None:
    """Files have rotations; where the depth of a set is counted the other way, so is its hand."""
    P = np.array(rigid_tomogram().projections)
    P[:, 2] *= -1
    t = rigid_tomogram(projections=P, hand=1, depth_origin=(3.0, 4.0, 5.0))
    project = Project(tomograms=TomogramSet([t]))
    for format in (CETS, PORTAL):
        project.write("made", format.name)
        again = read_one(format, format.place("made", "TS_01"), **format.told(project))
        assert again.hand == -1
        np.testing.assert_allclose(again.defocus(POINTS), t.defocus(POINTS), atol=1e-6)
    bent = rigid_tomogram(projections=P, hand=1, half_images=(("a.mrc",) * 5, ()))
    lost = CETS.losses(Project(tomograms=TomogramSet([bent])))["TS_01"]
    assert lost.defocus.max() < 1e-6


def test_angles_of_excluded_images_are_those_of_the_stage() -> None:
    nominal = np.array([-41.0, -21, 1, 21, 41])
    t = rigid_tomogram(nominal_tilts=nominal, image_index=np.arange(5)).exclude([1], "ice")
    content = document(t)
    images = content["regions"][0]["tilt_series"][0]["images"]
    assert [image["nominal_tilt_angle"] for image in images] == nominal.tolist()
    assert images[1]["accumulated_dose"] is None
    Project(tomograms=TomogramSet([t])).write("made", "portal")
    series = json.loads(Path("made/TS_01/TiltSeries/100/tiltseries_metadata.json").read_text())
    angles = [section["raw_angle"] for section in series["per_section_parameter"]]
    assert angles == nominal.tolist()


@pytest.mark.parametrize("format", [CETS, PORTAL], ids=lambda f: f.name)
def test_what_a_json_is_is_told_by_info(format: Format, capsys: pytest.CaptureFixture[str]) -> None:
    TomogramSet([rigid_tomogram()]).write("set.star", "relion5")
    code, _, errors = convert(capsys, "set.star", "made", "--to", format.name)
    assert code == 0, errors
    path = format.place("made", "TS_01")
    code, out, errors = run_command(capsys, "info", path)
    assert code == 0, errors
    assert f": {format.name}, 1 tomogram" in out
    code, _, errors = run_command(capsys, "import", "eman2", path, "-o", "x.star")
    assert code == 1
    assert f"tomoset import {format.name} {path}" in errors


@pytest.mark.parametrize("format", [CETS, PORTAL], ids=lambda f: f.name)
@pytest.mark.parametrize("count", [300, pytest.param(5000, marks=pytest.mark.slow)])
def test_mutated_files_never_surprise(format: Format, count: int) -> None:
    Project(tomograms=TomogramSet([rigid_tomogram()])).write("made", format.name)
    files = {path: path.read_bytes() for path in Path("made").rglob("*.json")}
    chance = random.Random(2)
    words = [b"NaN", b"null", b"1e999", b"-1", b"[]", b"{}", b'"', b"true", b"\xff", b"9" * 30]
    good = 0
    for _ in range(count):
        path, whole = chance.choice(list(files.items()))
        data = bytearray(whole)
        for _ in range(chance.randint(1, 3)):
            at = chance.randrange(len(data))
            data[at : at + chance.choice((0, 1, 5))] = chance.choice(words)
        path.write_bytes(data)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                warnings.simplefilter("ignore", tomoset.errors.TomosetWarning)
                reading = format.read([format.place("made", "TS_01")])
        except tomoset.TomosetError as problem:
            assert "made" in str(problem)  # noqa: PT017
        else:
            good += not reading.failures
            assert reading.failures or reading.project.tomograms
            for failure in reading.failures:
                assert isinstance(failure.error, (tomoset.TomosetError, OSError))
                assert "made" in str(failure.error)
        path.write_bytes(whole)
    assert 0 < good < count


@pytest.mark.parametrize("format", [CETS, PORTAL], ids=lambda f: f.name)
def test_a_hundred_series_come_in_at_once(format: Format) -> None:
    tomograms = [rigid_tomogram(name=f"TS_{i:03d}") for i in range(100)]
    Project(tomograms=TomogramSet(tomograms)).write("made", format.name)
    start = time.perf_counter()
    assert len(read(format, "made").project.tomograms) == 100
    assert time.perf_counter() - start < 2
