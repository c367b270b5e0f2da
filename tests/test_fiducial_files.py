"""Files of beads: RELION's with our tables behind, IMOD's models and residuals."""

from __future__ import annotations

import math
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tomoset
from tests.builders.bb_series import bb_folder, imported, seen_beads
from tests.builders.command import convert
from tests.builders.measures import rms_length, turn_between
from tests.builders.relion_project import small_project
from tests.builders.relion_texts import same_texts
from tomoset import star
from tomoset.errors import TomosetError, TomosetWarning
from tomoset.formats import _relion_sets as sets
from tomoset.formats._imod_model import read_model
from tomoset.formats.imod.bead_models import read_bead_model, write_bead_model
from tomoset.formats.imod.bead_stacks import ImodStack, prealigned_stack
from tomoset.formats.imod.residuals import read_residuals
from tomoset.model import Fiducials
from tomoset.model.observations import Observations


def write(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def read_star(path: Path, dialect: str = "relion4", **more: int) -> Fiducials:
    return sets.read_fiducials(path, dialect=dialect, pixel_size=2.0, **more)


def to_star(fiducials: Fiducials, dialect: str = "relion4") -> star.StarFile:
    return sets.fiducials_to_star(fiducials, dialect=dialect, pixel_size=2.0)


def assert_same(a: Observations | None, b: Observations | None, atol: float = 0.0) -> None:
    assert a is not None
    assert b is not None
    for name in ("bead", "tilt"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
    np.testing.assert_allclose(a.points, b.points, rtol=0, atol=atol)
    assert (a.uncertainty is None) == (b.uncertainty is None)
    if a.uncertainty is not None and b.uncertainty is not None:
        np.testing.assert_array_equal(a.uncertainty, b.uncertainty)


# ---- RELION ----------------------------------------------------------------------------------

PLACES = """
# version 30001

data_

loop_
_rlnOriginXAngst #1
_rlnOriginYAngst #2
_rlnOriginZAngst #3
54.000000 48.0 0.00
1e2 20 -3
7 8 9

"""

BEADS = """
data_beads

loop_
_tomosetScore #1
_tomosetSeen #2
_tomosetResidual #3
_mine #4
10.50 2 0.30 a
9 1 0.40 b
1e0 0 0 c

"""

SEEN = """
data_observations

loop_
_tomosetBead #1
_tomosetTiltImage #2
_tomosetImageX #3
_tomosetImageY #4
_tomosetImageUncertainty #5
_theirs #6
1 1 30.50 20 0.10 p
1 2 31 20.250 0.1 q
2 2 1e1 -0.5 0.2 r

"""


def test_observations_and_scores_are_read_and_keep_their_text(tmp_path: Path) -> None:
    text = PLACES + BEADS + SEEN
    fiducials = read_star(write(tmp_path / "f.star", text), n_tilts=2)
    expected = Observations(
        bead=[0, 0, 1],
        tilt=[0, 1, 1],
        points=[[30.5, 20], [31, 20.25], [10, -0.5]],
        uncertainty=[0.1, 0.1, 0.2],
    )
    assert_same(fiducials.observations, expected)
    assert fiducials.scores is not None
    assert fiducials.scores.tolist() == [10.5, 9, 1]
    assert same_texts(to_star(fiducials), star.loads(text))


def test_a_file_without_them_has_none(tmp_path: Path) -> None:
    fiducials = read_star(write(tmp_path / "f.star", PLACES))
    assert fiducials.observations is None
    assert fiducials.scores is None
    assert same_texts(to_star(fiducials), star.loads(PLACES))
    other = read_star(write(tmp_path / "f.star", PLACES + "\ndata_mine\n\nloop_\n_a\n1\n2\n\n"))
    assert to_star(other).names == ("", "mine")


@pytest.mark.parametrize("dialect", ["relion4", "relion5"])
def test_new_tables_stand_behind_relions(tmp_path: Path, dialect: str) -> None:
    seen = Observations(bead=[2, 0], tilt=[5, 1], points=[[1 / 3, 2], [3, 4.5]])
    points = np.array([[26, 23, -1], [1, 2, 3], [0.1, 0.2, 0.3]])
    fiducials = Fiducials(points=points, observations=seen, scores=np.array([3.5, 2, -1]))
    path = tmp_path / "f.star"
    sets.write_fiducials(fiducials, path, dialect=dialect, pixel_size=2.0)
    file = star.read(path)
    assert file.names == ("", "beads", "observations")
    assert file.tables[0].labels == tuple(f"rlnOrigin{axis}Angst" for axis in "XYZ")
    assert file["beads"].ints("tomosetSeen").tolist() == [1, 0, 1]
    table = file["observations"]
    assert table.labels == ("tomosetBead", "tomosetTiltImage", "tomosetImageX", "tomosetImageY")
    assert list(table["tomosetBead"]) == ["3", "1"]
    assert list(table["tomosetTiltImage"]) == ["6", "2"]
    assert list(table["tomosetImageX"]) == [repr(1 / 3), "3.0"]
    versions = {t.comments for t in file.tables}
    assert versions == {("# version 30001" if dialect == "relion4" else "# version 50001",)}
    again = read_star(path, dialect)
    assert_same(again.observations, seen)
    np.testing.assert_allclose(again.points, points, atol=1e-12)
    assert again.scores is not None
    assert again.scores.tolist() == [3.5, 2, -1]
    # RELION's table is what it is without ours.
    bare = to_star(Fiducials(points=points), dialect)
    assert star.dumps(file.tables[:1]).strip() == star.dumps(bare).strip()


def test_what_changed_gets_new_text_and_the_rest_stays(tmp_path: Path) -> None:
    fiducials = read_star(write(tmp_path / "f.star", PLACES + BEADS + SEEN))
    found, scores = fiducials.observations, fiducials.scores
    assert found is not None
    assert scores is not None
    moved = replace(found, points=found.points + [[0, 0], [0, 0], [0.5, 0]])
    out = to_star(replace(fiducials, observations=moved))
    assert list(out["observations"]["tomosetImageX"]) == ["30.50", "31", "10.5"]
    assert list(out["observations"]["theirs"]) == ["p", "q", "r"]
    assert list(out["beads"]["tomosetScore"]) == ["10.50", "9", "1e0"]
    assert "tomosetResidual" not in out["beads"]  # of other observations
    assert "mine" in out["beads"]
    plain = to_star(replace(fiducials, observations=replace(found, uncertainty=None)))
    assert "tomosetImageUncertainty" not in plain["observations"]
    with pytest.warns(tomoset.LossyWarning, match="theirs"):
        fewer = to_star(replace(fiducials, observations=found.take(np.array([0]))))
    assert list(fewer["beads"]["tomosetSeen"]) == ["1", "0", "0"]
    gone = to_star(replace(fiducials, observations=None, scores=None))
    assert gone.names == ("", "beads")
    assert gone["beads"].labels == ("mine",)
    with pytest.warns(tomoset.LossyWarning, match="mine"):
        one = to_star(Fiducials(points=fiducials.points[:1], source=fiducials.source))
    assert one.names == ("",)
    other = to_star(fiducials, "relion5")
    assert list(other.first["rlnOriginXAngst"]) == ["52.0", "98.0", "5.0"]
    assert list(other["observations"]["tomosetImageY"]) == ["20", "20.250", "-0.5"]


def test_a_single_observation_as_a_list(tmp_path: Path) -> None:
    text = (
        PLACES
        + "\ndata_observations\n\n_tomosetBead 1\n_tomosetTiltImage 1\n_tomosetImageX 2\n_tomosetImageY 3\n\n"
    )
    fiducials = read_star(write(tmp_path / "f.star", text))
    assert same_texts(to_star(fiducials), star.loads(text))
    two = Observations(bead=[0, 1], tilt=[0, 0], points=[[2, 3], [4, 5]])
    assert len(to_star(replace(fiducials, observations=two))["observations"]) == 2


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("1 1 30.50", "0 1 30.50", r"f.star:\d+: .*_tomosetBead: expected the number of a bead, 1 to 3, found 0"),
        ("1 1 30.50", "4 1 30.50", "1 to 3, found 4"),
        ("1 1 30.50", "1.5 1 30.50", "expected an integer, found '1.5'"),
        ("1 1 30.50", "1 0 30.50", "_tomosetTiltImage: expected the row of a tilt image, from 1 to 2, found 0"),
        ("1 1 30.50", "1 3 30.50", "from 1 to 2, found 3"),
        ("1 1 30.50", "1 2 30.50", "each bead once in a tilt image"),
        ("30.50", "nan", "_tomosetImageX: expected a finite number, found nan"),
        ("-0.5", "inf", "_tomosetImageY: expected a finite number, found inf"),
        ("30.50", "left", "expected a number, found 'left'"),
        ("0.10", "0", "an uncertainty above 0 px, found 0"),
        ("tomosetImageX", "tomosetX", "has no _tomosetImageX"),
        ("9 1 0.40 b\n", "", "expected a row for each of the 3 beads, found 2"),
        ("10.50", "-nan", "_tomosetScore: expected a finite number"),
    ],
)  # fmt: skip
def test_damaged_tables_are_refused_with_their_file(
    tmp_path: Path, old: str, new: str, says: str
) -> None:
    path = write(tmp_path / "f.star", (PLACES + BEADS + SEEN).replace(old, new, 1))
    with pytest.raises(tomoset.FileFormatError, match=says) as caught:
        read_star(path, n_tilts=2)
    assert "f.star" in str(caught.value)


def test_scores_of_wrong_shape_or_value_are_refused() -> None:
    for scores, says in (([1.0], r"shape \(2,\)"), ([1.0, math.nan], "must be finite")):
        with pytest.raises(tomoset.ModelError, match=says):
            Fiducials(points=np.zeros((2, 3)), scores=np.array(scores))


@pytest.mark.parametrize("dialect", ["relion4", "relion5"])
def test_no_beads_are_a_table_without_rows(tmp_path: Path, dialect: str) -> None:
    # RELION stops at a table behind one without rows: nothing may follow.
    empty = Observations(bead=[], tilt=[], points=[])
    path = tmp_path / "f.star"
    for observations in (None, empty):
        none = Fiducials(points=[], observations=observations, scores=np.empty(0))
        sets.write_fiducials(none, path, dialect=dialect, pixel_size=2.0)
        file = star.read(path)
        assert len(file) == 1
        assert file.first.labels == tuple(f"rlnOrigin{axis}Angst" for axis in "XYZ")
        assert len(file.first) == 0
        again = sets.read_fiducials(path, dialect=dialect, pixel_size=None)
        assert again.points.shape == (0, 3)
        assert again.observations is None
    before = path.read_text()
    sets.write_fiducials(again, path, dialect=dialect, pixel_size=2.0)
    assert path.read_text() == before
    other = {"relion4": "relion5", "relion5": "relion4"}[dialect]
    assert to_star(again, other).first.comments != to_star(again, dialect).first.comments
    # RELION's own way of saying so stays as it was.
    nothing = read_star(write(path, ""), dialect)
    assert not to_star(nothing, dialect).tables
    write(path, PLACES.split("54")[0] + "\n" + SEEN)
    with pytest.raises(tomoset.FileFormatError, match="there is no bead"):
        read_star(path)


def test_conversion_keeps_observations(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small_project(here)
    with Path("fid.star").open("a") as stream:
        stream.write(SEEN.replace("2 2 1e1", "1 3 1e1"))
    assert convert(capsys, "optimisation_set.star", "r5", "--to", "relion5")[0] == 0
    assert convert(capsys, "r5", "r4", "--to", "relion4")[0] == 0
    first = tomoset.open_project("optimisation_set.star").fiducials["TS_01"]
    for folder in ("r5", "r4"):
        other = tomoset.open_project(folder).fiducials["TS_01"]
        assert_same(other.observations, first.observations)
        np.testing.assert_allclose(other.points, first.points, atol=1e-9)


# ---- IMOD's binary models ---------------------------------------------------------------------
# Built here byte by byte from binspec.html, and not by our writer.

OPEN = 1 << 3


def header(objects: int = 1, flags: int = 0, size: tuple[int, int, int] = (100, 80, 9)) -> bytes:
    out = (
        b"IMODV1.2"
        + b"a model".ljust(128, b"\0")
        + struct.pack(">4iI4i", *size, objects, flags, 1, 1, 0, 255)
    )
    out += struct.pack(">6f", 0, 0, 0, 1, 1, 1) + struct.pack(">5i", 0, 0, 0, 3, 128)
    out += struct.pack(">fii3f", 1.0, 0, 0, 0, 0, 0)
    assert len(out) == 8 + 232
    return out


def objt(contours: int, meshes: int = 0) -> bytes:
    out = (
        b"one".ljust(64, b"\0")
        + bytes(64)
        + struct.pack(">iIii3fi", contours, OPEN, 0, 0, 0, 1, 0, 0)
    )
    out += bytes((0, 5, 1, 1, 0, 0, 0, 0)) + struct.pack(">ii", meshes, 0)
    assert len(out) == 176
    return b"OBJT" + out


def cont(points: list[tuple[float, float, float]]) -> bytes:
    flat = [x for point in points for x in point]
    return (
        b"CONT" + struct.pack(">iIii", len(points), 0, 0, 0) + struct.pack(f">{len(flat)}f", *flat)
    )


def chunk(kind: bytes, data: bytes) -> bytes:
    return kind + struct.pack(">i", len(data)) + data


def minx(origin: tuple[float, ...], scale: float, translation: tuple[float, ...]) -> bytes:
    values = (9.0, 9.0, 9.0, *origin, 0, 0, 0, scale, scale, scale, *translation, 0, 0, 0)
    return chunk(b"MINX", struct.pack(">18f", *values))


MESH = b"MESH" + struct.pack(">iiIhh", 2, 3, 0, 0, 0) + bytes(2 * 12 + 3 * 4)
EXTRAS = (
    chunk(b"IMAT", bytes(16)) + chunk(b"LABL", b"12345678") + chunk(b"NEWS", b"what comes in 2030")
    + chunk(b"VIEW", struct.pack(">i", 1)) + chunk(b"CLIP", bytes(28)) + chunk(b"OGRP", b"")
)  # fmt: skip
GOOD = (
    header(2) + objt(2, 1) + cont([(10.5, 20.5, 0), (11.0, 20.5, 1)]) + cont([]) + MESH
    + EXTRAS + objt(1) + cont([(0.5, 0.5, 1.0000001)]) + EXTRAS + b"IEOF"
)  # fmt: skip


def test_a_model_as_the_specification_has_it(tmp_path: Path) -> None:
    found = read_bead_model(write(tmp_path / "a.fid", GOOD))
    # The middle of the first pixel is 0.5 in IMOD and 0 here; the empty contour is no bead.
    expected = Observations(bead=[0, 0, 1], tilt=[0, 1, 1], points=[[10, 20], [10.5, 20], [0, 0]])
    assert_same(found, expected)


def test_models_saved_on_a_part_of_the_stack_or_flipped(tmp_path: Path) -> None:
    # 3dmod had loaded the stack from pixel (30, 40) and section 2: translation = origin - scale x start.
    part = minx((7.0, 8.0, 9.0), 2.0, (7.0 - 60, 8.0 - 80, 9.0 - 4))
    body = objt(1) + cont([(1.5, 2.5, 0), (1.5, 2.5, 3)])
    path = write(tmp_path / "a.mod", header(flags=1 << 14) + body + part + b"IEOF")
    found = read_bead_model(path, ImodStack(raw_size=(100, 80, 9)))
    assert found.points.tolist() == [[31, 42], [31, 42]]
    assert found.tilt.tolist() == [2, 5]
    # Without bit 14 the old translation is not the image's origin.
    write(path, header() + body + part + b"IEOF")
    assert read_bead_model(path).points[0].tolist() == [1, 2]
    # Bit 16: y and z stand exchanged, sizes too.
    flipped = header(flags=1 << 14 | 1 << 16, size=(100, 9, 80)) + objt(1) + cont([(1.5, 3, 2.5)])
    write(path, flipped + part + b"IEOF")
    found = read_bead_model(path)
    assert (found.points.tolist(), found.tilt.tolist()) == ([[31, 42]], [5])
    write(path, header() + body + minx((0, 0, 0), math.nan, (0, 0, 0)) + b"IEOF")
    with pytest.raises(tomoset.FileFormatError, match="number of MINX is not finite"):
        read_bead_model(path)


def test_models_of_images_binned_otherwise(tmp_path: Path) -> None:
    """Worked numbers: the model is of 50 x 40 px, the raw images have 100 x 80."""
    body = objt(1) + cont([(25, 20, 0), (0.5, 0.5, 1)])
    path = write(tmp_path / "a.mod", header(size=(50, 40, 9)) + body + b"IEOF")
    raw = ImodStack(raw_size=(100, 80, 9))
    with pytest.warns(
        tomoset.AssumptionWarning,
        match="50 x 40 px, the stack has 100 x 80: taken to be binned by 2",
    ):
        found = read_bead_model(path, raw)
    # The middle of the image, and of the first binned pixel.
    assert found.points.tolist() == [[49.5, 39.5], [0.5, 0.5]]
    told = read_bead_model(path, replace(raw, binning=2.0))
    assert_same(told, found)
    write(path, header(size=(200, 160, 9)) + objt(1) + cont([(100, 80, 0)]) + b"IEOF")
    with pytest.warns(tomoset.AssumptionWarning, match="binned by 0.5"):
        assert read_bead_model(path, raw).points.tolist() == [[49.5, 39.5]]
    write(path, header(size=(70, 56, 9)) + body + b"IEOF")
    with pytest.raises(
        tomoset.FileFormatError, match="70 x 56 px, expected 100 x 80; give the size"
    ):
        read_bead_model(path, raw)
    # Of a part, only the pixel size tells.
    part = header(flags=1 << 14) + body + minx((0, 0, 0), 4.0, (-4.0, 0, 0)) + b"IEOF"
    write(path, part)
    with pytest.raises(tomoset.FileFormatError, match="4 Å a pixel, expected 2"):
        read_bead_model(path, replace(raw, pixel_size=2.0))
    assert read_bead_model(path, replace(raw, pixel_size=4.0)).points[0].tolist() == [25.5, 19.5]


def test_prealigned_positions_are_taken_to_raw_images() -> None:
    """Worked numbers: a quarter turn, a shift of 6 and 2 raw pixels, binning 2."""
    turn = np.array([[[0, -1, 6], [1, 0, 2]]])
    stack = ImodStack(raw_size=(100, 80, 1), size=(40, 50), binning=2.0, transforms=turn)
    # Raw middle plus (10, 20) goes to (-20, 10) + (6, 2) = (-14, 12) from the middle, halved.
    point = np.array([[49.5 + 10, 39.5 + 20]])
    np.testing.assert_allclose(stack.from_raw(point, [0]), [[20 - 7, 25 + 6]])
    np.testing.assert_allclose(stack.to_raw([[13, 31]], [0]), point)
    for wrong, says in (
        ({"binning": 0.0}, "binning must be above 0"),
        ({"size": (0, 1)}, "at least one image"),
        ({"transforms": np.zeros((2, 2, 3))}, r"shape \(1, 2, 3\), not \(2, 2, 3\)"),
    ):
        with pytest.raises(tomoset.ModelError, match=says):
            ImodStack(raw_size=(100, 80, 1), **wrong)  # type: ignore[arg-type]


def test_views_that_the_tomogram_has_not(tmp_path: Path) -> None:
    path = write(tmp_path / "a.fid", GOOD)
    with pytest.warns(tomoset.LossyWarning, match="1 of 3 observations"):
        found = read_bead_model(path, kept=[1, 2, 5])
    assert found.bead.tolist() == [0, 1]
    assert found.tilt.tolist() == [0, 0]
    stack = ImodStack(raw_size=(100, 80, 9))
    write_bead_model(found, path, stack, kept=[1, 2, 5])
    assert read_bead_model(path).tilt.tolist() == [1, 1]
    with pytest.raises(tomoset.FileFormatError, match="seen in view 2, but there are 1 raw images"):
        read_bead_model(path, ImodStack(raw_size=(100, 80, 1)))


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "expected an IMOD model"),
        (b"IMOD", "cut short"),
        (b"# me\n\nimod 1\nobject 0 1 0\n", "a model in ASCII"),
        (b"IMODV0.1" + GOOD[8:], "version b'V0.1'"),
        (GOOD[:-4], "cut short or damaged: expected 4 bytes of the next chunk"),
        (GOOD[:-60], "cut short or damaged"),
        (GOOD.replace(b"NEWS", b"\1\2\3\4"), r"expected a chunk at byte \d+, found b'\\x01"),
        (header(2) + objt(0) + b"IEOF", "expected 2 objects"),
        (header() + objt(2) + cont([(1, 1, 1)]) + b"IEOF", r"of \[2\] contours, found 1 of \[1\]"),
        (header() + cont([(1, 1, 1)]) + objt(0) + b"IEOF", "a contour of no object"),
        (header() + objt(1) + b"CONT" + struct.pack(">iIii", -1, 0, 0, 0) + b"IEOF", "points of a contour"),
        (header() + objt(1) + b"CONT" + struct.pack(">iIii", 2**31 - 1, 0, 0, 0) + b"IEOF", "points of a contour"),
        (header() + objt(1) + cont([(math.nan, 1, 1)]) + b"IEOF", "point of object 1, contour 1 is not finite"),
        (header() + objt(1) + cont([]) + b"IEOF", "the model has no points"),
        (header(0) + b"IEOF", "the model has no points"),
        (header() + objt(1) + cont([(1, 1, 1), (2, 2, 1)]) + b"IEOF", "object 1, contour 1 has two points in view 2"),
        (header() + objt(1) + cont([(1, 1, 12.4)]) + b"IEOF", "z = 12.4, expected the number of a view"),
        (header() + objt(1) + cont([(1, 1, -2)]) + b"IEOF", "z = -2, expected"),
        (header() + objt(1) + cont([(1, 1, 1e30)]) + b"IEOF", r"z = 1e\+30, expected"),
    ],
)  # fmt: skip
def test_files_that_are_no_models_are_refused(tmp_path: Path, data: bytes, says: str) -> None:
    path = write(tmp_path / "a.fid", data)
    with pytest.raises(TomosetError, match=says) as caught:
        read_bead_model(path)
    assert "a.fid" in str(caught.value)


def test_no_file_and_no_observations(tmp_path: Path) -> None:
    with pytest.raises(tomoset.MissingFileError, match=r"moon.fid: there is no such model"):
        read_bead_model(tmp_path / "moon.fid")
    with pytest.raises(tomoset.FileFormatError, match="this is a folder"):
        read_bead_model(tmp_path)
    stack = ImodStack(raw_size=(100, 80, 3))
    seen = Observations(bead=[0], tilt=[3], points=[[1, 2]])
    for observations, kept, says in (
        (seen.take(np.array([], dtype=int)), None, "no observations"),
        (seen, None, "seen in view 4 of 3"),
        (seen, [0, 1], "seen in row 4 of 2"),
    ):
        with pytest.raises(tomoset.ModelError, match=says):
            write_bead_model(observations, tmp_path / "a.fid", stack, kept=kept)
    assert not (tmp_path / "a.fid").exists()


@given(at=st.integers(0, len(GOOD) - 1), byte=st.integers(0, 255), cut=st.integers(0, len(GOOD)))
@settings(max_examples=200, deadline=None)
def test_damaged_models_are_said_to_be(
    tmp_path_factory: pytest.TempPathFactory, at: int, byte: int, cut: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "damaged.fid"
    stack = ImodStack(raw_size=(100, 80, 9))
    for data in (GOOD[:at] + bytes([byte]) + GOOD[at + 1 :], GOOD[:cut]):
        try:
            found = read_bead_model(write(path, data), stack)
        except (TomosetError, TomosetWarning):
            continue
        assert len(found) == 3  # a point moved, or a byte that nobody reads


transforms = st.tuples(*[st.floats(-0.3, 0.3)] * 4, *[st.floats(-50, 50)] * 2)


@given(
    st.sets(st.tuples(st.integers(0, 5), st.integers(0, 6)), min_size=1),
    st.lists(transforms, min_size=7, max_size=7),
    st.sampled_from([1.0, 2.0, 4.0]),
    st.booleans(),
    st.randoms(use_true_random=False),
)
@settings(max_examples=50, deadline=None)
def test_models_give_back_what_was_written(
    tmp_path_factory: pytest.TempPathFactory,
    sights: set[tuple[int, int]],
    rows: list[tuple[float, ...]],
    binning: float,
    moved: bool,
    random: object,
) -> None:
    pairs = np.array(sorted(sights))
    _, bead = np.unique(pairs[:, 0], return_inverse=True)  # beads that nobody saw close up
    generator = np.random.default_rng(random.getrandbits(32))  # type: ignore[attr-defined]
    points = generator.uniform(-20, 1020, (len(pairs), 2))
    before = Observations(bead=bead, tilt=pairs[:, 1], points=points)
    xf = np.array([[[1 + a, b, x], [c, 1 + d, y]] for a, b, c, d, x, y in rows])
    stack = ImodStack(
        raw_size=(1000, 801, 7),
        binning=binning,
        transforms=xf if moved else None,
        pixel_size=1.35,
        origin=(10.0, -20.0, 0.0),
    )
    path = tmp_path_factory.getbasetemp() / "model.fid"
    write_bead_model(before, path, stack)
    assert_same(read_bead_model(path, stack), before, atol=2e-3)
    model = read_model(path)
    assert model.size == (int(1000 / binning), int(801 / binning), 7)
    assert model.pixel_size == pytest.approx((1.35 * binning, 1.35))
    assert model.origin == (10.0, -20.0, 0.0)


# ---- tiltalign's residuals --------------------------------------------------------------------

RESIDUALS = """     5 residuals
     10.50     20.50    0   -0.20    0.17
     11.00     20.50    2   -0.31    0.33
      0.50      0.50    2   -0.29   -0.32
      1.50      1.00    1    0.10    0.10   0.95
      2.50      1.00    7    0.10    0.10
"""


def test_residuals_of_imod_become_observations(tmp_path: Path) -> None:
    found = read_residuals(write(tmp_path / "a.resid", RESIDUALS), n_beads=3)
    expected = Observations(
        bead=[0, 0, 1, 2, 2],
        tilt=[0, 2, 2, 1, 7],
        points=[[10, 20], [10.5, 20], [0, 0], [1, 0.5], [2, 0.5]],
    )
    assert_same(found, expected)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (RESIDUALS, "\n", "an empty file"),
        ("     5 residuals\n", "", "first line is like '1403 residuals', found '10.50"),
        ("     5", "     6", "expected 6 residuals, found 5"),
        ("  -0.31", " *******", r"a.resid:3: expected x, y, view and two residuals"),
        ("   0.33", "", "a.resid:3: expected x, y, view"),
        ("    2   -0.31", "    2.5 -0.31", "a.resid:3: expected a view, from 0, found 2.5"),
        ("    2   -0.31", "   -1   -0.31", "found -1"),
        ("11.00", "  nan", "a.resid:3: expected x, y"),
        ("    1    0.10", "    3    0.10", "expected 3 beads, found 2.*read the fiducial model"),
    ],
)
def test_damaged_residuals_are_refused(tmp_path: Path, old: str, new: str, says: str) -> None:
    path = write(tmp_path / "a.resid", RESIDUALS.replace(old, new, 1))
    with pytest.raises(tomoset.FileFormatError, match=says):
        read_residuals(path, n_beads=3)


# ---- an etomo folder --------------------------------------------------------------------------


def xf(path: Path, *rows: tuple[float, ...]) -> None:
    path.write_text("".join("".join(f"{x:12.7f}" for x in row) + "\n" for row in rows))


def test_the_prealigned_stack_of_a_folder(tmp_path: Path) -> None:
    size = (100, 80, 2)
    with pytest.raises(tomoset.MissingFileError, match=r"BBa.prexg is not there, nor both"):
        prealigned_stack(tmp_path, "BBa", size)
    # Binned by 2, a quarter turn in tiltalign with a shift of (3, 4) binned pixels; in all, etomo's
    # xfproduct with ScaleShifts 1,2: A = At Ap, d = At dp + 2 dt = (-7, 5) + (6, 8).
    xf(tmp_path / "BBa.tltxf", (0, -1, 1, 0, 3, 4), (1, 0, 0, 1, 0, 0))
    xf(tmp_path / "BBa.xf", (0, -1, 1, 0, -1, 13), (1, 0, 0, 1, 8, 9))
    commands = (
        "$newstack -StandardInput\nInputFile BBa.st\nTransformFile BBa.prexg\nBinByFactor 2\n"
    )
    (tmp_path / "prenewsta.com").write_text("$xftoxg\n0\nBBa.prexf\n" + commands)
    told = prealigned_stack(tmp_path, "BBa", size)
    assert told.binning == 2
    assert told.image_size == (50, 40)
    expected = [[[1, 0, 5], [0, 1, 7]], [[1, 0, 8], [0, 1, 9]]]
    assert told.transforms is not None
    np.testing.assert_allclose(told.transforms, expected, atol=1e-9)
    xf(tmp_path / "BBa.prexg", (1, 0, 0, 1, 5, 7), (1, 0, 0, 1, 8, 9))
    found = prealigned_stack(tmp_path, "BBa", size)
    assert found.transforms is not None
    np.testing.assert_allclose(found.transforms, expected, atol=1e-9)
    head = bytearray(1024)
    struct.pack_into("<4i", head, 0, 52, 40, 2, 1)
    (tmp_path / "BBa_preali.mrc").write_bytes(head)
    assert prealigned_stack(tmp_path, "BBa", size).size == (52, 40)
    with pytest.raises(tomoset.FileFormatError, match="each of the 3 raw images, found 2"):
        prealigned_stack(tmp_path, "BBa", (100, 80, 3))
    (tmp_path / "prenewsta.com").write_text(commands.replace("Factor 2", "Factor 0.5e-400"))
    assert prealigned_stack(tmp_path, "BBa", size).binning == 1
    (tmp_path / "prenewsta.com").write_text(commands.replace("Factor 2", "Factor -2"))
    with pytest.raises(tomoset.FileFormatError, match="binning above 0, found -2"):
        prealigned_stack(tmp_path, "BBa", size)


def test_the_prealigned_stack_is_made_by_the_command_file_that_names_it(tmp_path: Path) -> None:
    for axis, binning in (("a", 2), ("b", 3)):
        xf(tmp_path / f"BB{axis}.prexg", (1, 0, 0, 1, 5, 7), (1, 0, 0, 1, 8, 9))
        (tmp_path / f"prenewst{axis}.com").write_text(
            f"$newstack -StandardInput\nInputFile BB{axis}.st\nBinByFactor {binning}\n"
        )
    assert prealigned_stack(tmp_path, "BBb", (120, 90, 2)).binning == 3
    (tmp_path / "prenewstb.com").rename(tmp_path / "b.com")
    (tmp_path / "prenewsta.com").rename(tmp_path / "prenewst.com")
    assert prealigned_stack(tmp_path, "BBa", (120, 90, 2)).binning == 2
    with pytest.warns(tomoset.AssumptionWarning, match=r"names BBa.st, which is not of BBb"):
        assert prealigned_stack(tmp_path, "BBb", (120, 90, 2)).binning == 1


# ---- real beads -------------------------------------------------------------------------------


@pytest.mark.parametrize(("axis", "by_us"), [("a", 0.37), ("b", 0.37)])
def test_real_residuals_triangulate(shared: Path, tmp_path: Path, axis: str, by_us: float) -> None:
    folder = shared / "data/imod/BB"
    stack = prealigned_stack(folder, f"BB{axis}", (512, 512, 61))
    assert stack.transforms is not None
    # What is left of .xf without .tltxf is the shift of tiltxcorr, and nothing else.
    np.testing.assert_allclose(stack.transforms[:, :, :2], [np.eye(2)] * 61, atol=2e-6)
    path = folder / f"BB{axis}.resid"
    found = read_residuals(path, stack, n_beads=23)
    seen, _ = seen_beads(shared, axis)
    np.testing.assert_allclose(found.grid(61), seen, atol=1e-9)
    tomogram = imported(bb_folder(shared, tmp_path, axis))  # EXCLUDELIST 1
    with pytest.warns(tomoset.LossyWarning, match="observations are in views"):
        found = read_residuals(path, stack, kept=range(1, 61))
    points = tomogram.triangulate(found.grid(60))
    missed = found.points - tomogram.project(points)[found.tilt, found.bead]
    assert rms_length(missed) == pytest.approx(by_us, abs=0.005)
    known = np.loadtxt(folder / f"BB{axis}fid.xyz", usecols=(1, 2, 3), comments=None)
    turn = np.deg2rad(turn_between(known, points))
    around = known - known.mean(0)
    # Turned by XAXISTILT; to first order of the other two angles, which are below 0.02 degrees.
    c, s = np.cos(turn[0]), np.sin(turn[0])
    there = around @ np.array([[1, 0, 0], [0, c, -s], [0, s, c]]).T + points.mean(0)
    assert rms_length(points - there) < 0.15
    # As a model, on the pre-aligned stack and on the raw one.
    for target in (replace(stack, pixel_size=20.2), ImodStack(raw_size=(512, 512, 61))):
        write_bead_model(found, tmp_path / "bb.fid", target, kept=range(1, 61))
        again = read_bead_model(tmp_path / "bb.fid", target, kept=range(1, 61))
        assert_same(again, found, atol=1e-4)
    for other in ("_patch-tracking", "_simple-align"):
        if axis == "a":
            assert len(read_residuals(folder / f"BBa{other}.resid"))
