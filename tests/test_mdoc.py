"""``tomoset import mdoc``: what SerialEM and Tomo5 say, against RELION's and Warp's own reading of it."""

from __future__ import annotations

import contextlib
import csv
import itertools
import random
import re
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tomoset
from tests.builders.command import Run
from tests.builders.command import run as run_command
from tests.builders.image_stacks import write_images, write_stack
from tests.builders.imod_folder import TILT_COM, make_folder
from tests.builders.imod_folder import TILTS as IMOD_TILTS
from tests.builders.warp_files import series_xml, write_series
from tests.builders.warp_files import write_images as write_warp_images
from tomoset import star
from tomoset.cli import main
from tomoset.errors import (
    AmbiguityError,
    AssumptionWarning,
    FileFormatError,
    MissingFieldError,
    MissingFileError,
    TomosetError,
    UnsupportedError,
)
from tomoset.formats import format_named
from tomoset.formats._matching import IMAGE_ENDINGS, Side, match_tilts, stem_of
from tomoset.formats.mdoc.acquisition import acquisition_of
from tomoset.formats.mdoc.axis import nominal_axis
from tomoset.formats.mdoc.document import Document, read_document
from tomoset.formats.mdoc.series import all_series, series_name
from tomoset.formats.mdoc.tell import told_by
from tomoset.images.stack import open_stack
from tomoset.model import Tomogram
from tomoset.paths import image_sections

MDOC = format_named("mdoc")
#: Dose-symmetric, in the order of acquisition.
TILTS = [0.0, 10.0, -10.0, -20.0, 20.0, 30.0, -30.0]
SERIALEM = "[T = SerialEM: Krios 1  08-Oct-21]\n[T =    Tilt axis angle = 85.3, binning = 1]\n"
NO_ORDER: dict[str, Any] = {"order_by": None, "order_list": None, "fractional_dose": None}


def sections(
    tilts: Sequence[float] = TILTS,
    name: str = "TS_01_{i:03d}_{tilt:.1f}.tif",
    kind: str = "ZValue",
    **more: str | Callable[[int], str] | None,
) -> list[str]:
    """A section for each tilt; `more` are keys, to replace others or, if None, to leave out."""
    made = []
    for i, tilt in enumerate(tilts):
        keys: dict[str, Any] = {
            "TiltAngle": f"{tilt + 0.003:.3f}",
            "ExposureDose": "3.0",
            "PriorRecordDose": f"{3 * i:.1f}",
            "RotationAngle": "175.3",
            "SubFramePath": "D:\\frames\\" + name.format(i=i, tilt=tilt),
            "DateTime": f"08-Oct-21  07:{i:02d}:24",
        } | more
        lines = [
            f"{key} = {value(i) if callable(value) else value}"
            for key, value in keys.items()
            if value is not None
        ]
        made.append("\n".join([f"[{kind} = {i}]", *lines, "", ""]))
    return made


def text(*parts: str, head: str = "ImageFile = TS_01.mrc\nVoltage = 200\n") -> str:
    return head + "\n" + SERIALEM + "\n" + "".join(parts or sections())


def document(content: str) -> Document:
    Path("TS_01.mdoc").write_text(content, newline="")
    return read_document("TS_01.mdoc")


def read(*sources: str | Path, **options: Any) -> Tomogram:
    """The one tomogram, assumptions unsaid."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AssumptionWarning)
        reading = MDOC.read([*sources], **options)
    for failure in reading.failures:
        raise failure.error
    (t,) = reading.project.tomograms.values()
    return t


def acquired(content: str, **given: Any) -> Any:
    (series,) = all_series([document(content).path], [])
    return acquisition_of(series.name, series.sections, NO_ORDER | given)


def averages(folder: str, tilts: Sequence[float] = TILTS, form: str = "{}.mrc") -> None:
    """An image for each tilt, each of the value of its angle."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    for i, tilt in enumerate(tilts):
        name = form.format(f"TS_01_{i:03d}_{tilt:.1f}")
        write_images(Path(folder) / name, np.full((1, 6, 8), tilt, np.float32), 2.0)


def stack(path: str, tilts: Sequence[float]) -> None:
    images = np.ones((len(tilts), 6, 8)) * np.array(tilts)[:, None, None]
    write_images(path, images.astype(np.float32), 2.0)


@contextlib.contextmanager
def warned(match: str) -> Iterator[None]:
    """Some warning of these is given; others may be."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        yield
    messages = [str(w.message) for w in said]
    assert any(re.search(match, message) for message in messages), messages


def values(t: Tomogram) -> list[float]:
    """The value of each image: its angle."""
    return _values(t.image_sections())


def half_values(names: Sequence[str]) -> list[float]:
    return _values(image_sections(names))


def _values(places: Sequence[tuple[str, int]]) -> list[float]:
    found = []
    for path, section in places:
        with open_stack(path) as images:
            found.append(float(images.read(section).mean()))
    return found


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def go(*arguments: str) -> tuple[int, str, str]:
        return run_command(capsys, "import", "mdoc", *arguments, "-o", "out/out.star")

    return go


# against what others made of the same files


def _frames(mdoc: Path) -> list[str]:
    return [stem_of(s.frames or "") for s in read_document(mdoc).sections]


def _oracle_images(mdoc: Path, change: Callable[[str], str] = str) -> None:
    Path("images").mkdir()
    for name in _frames(mdoc):
        for half in ("", "_EVN", "_ODD", "_PS"):
            write_stack(Path("images") / f"{change(name)}{half}.mrc", 1, pixel_size=1.35)


def test_relion_reads_the_same_of_a_file_of_serialem(shared: Path) -> None:
    """EMPIAR-10164, TS_01: RELION 5's import with 3 e/Å² a tilt, its averages, its alignment."""
    mdoc = shared / "data/mdoc/tilt_series.mdoc"
    project = shared / "data/relion5/EMPIAR-10164"
    theirs = star.read(next(project.glob("Import/*/tilt_series/TS_01.star")))["TS_01"]
    _oracle_images(mdoc, lambda name: name.replace(".", "_"))
    t = read(mdoc, images="images", fractional_dose=3.0)
    by_time = t.select(t.acquisition_order)
    np.testing.assert_allclose(
        by_time.nominal_tilts, theirs.floats("rlnTomoNominalStageTiltAngle"), atol=1e-6
    )
    np.testing.assert_array_equal(by_time.pre_exposure, theirs.floats("rlnMicrographPreExposure"))
    movies = [Path(name).name for name in theirs["rlnMicrographMovieName"]]
    assert [Path(name).name for name in by_time.movies or ()] == movies
    aligned = star.read(project / "AlignTiltSeries/job005/tilt_series/TS_01.star")["TS_01"]
    named = {
        Path(m).name: tuple(Path(aligned[label][i]).name for label in (
            "rlnMicrographName", "rlnMicrographNameEven", "rlnMicrographNameOdd"))
        for i, m in enumerate(aligned["rlnMicrographMovieName"])
    }  # fmt: skip
    for movie, *ours in zip(t.movies or (), t.images or (), *(t.half_images or ()), strict=True):
        assert tuple(Path(name).name for name in ours) == named.get(Path(movie).name, tuple(
            Path(name).name for name in ours))  # fmt: skip
    assert t.nominal_axis is not None
    assert np.abs(t.nominal_axis - np.median(aligned.floats("rlnTomoZRot"))).max() < 0.3


def test_warp_reads_the_same_of_a_file_of_tomo5_with_the_opposite_tilts(shared: Path) -> None:
    """And AreTomo's alignment of the series has the same tilts and axis as the file."""
    folder = shared / "data/oracles/aretomo3_warp_Position_16_3"
    mdoc = folder / "Position_16_3_head14.mdoc"
    _oracle_images(mdoc)
    with warned("is 3.87 e/Å² .*though ExposureDose is 2"):
        MDOC.read([mdoc], images="images", fractional_dose=3.87)
    t = read(mdoc, images="images", fractional_dose=3.87)
    rows = [
        line.split() for line in (folder / "Position_16_3.tomostar").read_text().splitlines()
        if ".eer" in line
    ]  # fmt: skip
    warp = {stem_of(row[0]): tuple(map(float, row[1:4])) for row in rows}
    assert t.pre_exposure is not None
    assert t.nominal_tilts is not None
    assert t.nominal_axis is not None
    for i, movie in enumerate(t.movies or ()):
        tilt, axis, dose = warp[stem_of(movie).removeprefix("24jul16a_")]
        assert t.nominal_tilts[i] == pytest.approx(-tilt, abs=0.011)
        assert t.nominal_axis[i] == pytest.approx(axis, abs=0.01)
        assert t.pre_exposure[i] == pytest.approx(dose, abs=1e-4)
    aln = (folder / "Position_16_3_global.aln").read_text().splitlines()
    rot = [line.split() for line in aln if line[:5].strip().isdecimal()]
    assert max(abs(float(row[1]) - t.nominal_axis[0]) for row in rot) < 0.02
    aretomo = sorted(float(row[-1]) for row in rot)
    assert all(min(abs(a - tilt) for a in aretomo) < 0.011 for tilt in t.nominal_tilts)
    # without the option, the doses are the file's
    own = read(mdoc, images="images")
    assert own.pre_exposure is not None
    assert sorted(own.pre_exposure)[:4] == [0.0, 2.01, 4.02, 6.03]
    assert own.fractional_dose == 2.0


@pytest.mark.parametrize(
    ("name", "error", "match"),
    [
        ("frame_set_single.mdoc", FileFormatError, r"one movie.*begin with 's_mmm'"),
        ("frame_set_multiple.mdoc", UnsupportedError, "holds several images .*alignframes"),
        ("montage_section.mdoc", UnsupportedError, "montage"),
        ("montage_section_multiple.mdoc", UnsupportedError, "montage"),
        ("test_1.mdoc", MissingFileError, r"neither a stack chrom_07_ts_010.mrc nor"),
    ],
)
def test_real_files_that_are_no_series_are_refused(
    shared: Path, name: str, error: type[Exception], match: str
) -> None:
    with pytest.raises(error, match=match):
        read(shared / "data/mdoc" / name)


@pytest.mark.parametrize(
    "content",
    [
        "Montage = 1\n[ZValue = 0]\nTiltAngle = 0\n",
        "[MontSection = 0]\nMontBacklash = 5\n",
        "[ZValue = 0]\nTiltAngle = 0\nPieceCoordinates = 0 0 0\n",
    ],
)
def test_montages_are_known_by_three_signs(content: str) -> None:
    Path("TS_01.mdoc").write_text(content)
    write_stack(Path("TS_01.mrc"), 1)
    with pytest.raises(UnsupportedError, match="of a montage"):
        read("TS_01.mdoc")


def test_mdocfile_reads_the_same(shared: Path) -> None:
    mdocfile = pytest.importorskip("mdocfile", reason="mdocfile is not installed")
    for path in sorted((shared / "data").rglob("*.mdoc")):
        ours = read_document(path)
        try:
            theirs = mdocfile.read(path)
        except ValueError:  # of a comma in MinMaxMean
            assert path.name == "dummy.mrc.mdoc"
            continue
        mine = [s for s in ours.sections if s.kind != "MontSection"]
        for key in ("TiltAngle", "ExposureDose", "PriorRecordDose", "RotationAngle"):
            if key not in theirs:
                assert all(s.number(key) is None for s in mine)
                continue
            found = [np.nan if (v := s.number(key)) is None else v for s in mine]
            np.testing.assert_array_equal(found, theirs[key].to_numpy(float)[: len(mine)])


# the text


def test_what_is_odd_in_a_file_is_read_and_said() -> None:
    with pytest.warns(AssumptionWarning) as said:
        odd = document(
            "PixelSpacing = 1,54\r\nT = Tomography_5.24.0: KRIOS 1]\r\nVoltage=300\r\n\r\n"
            "[T =   TiltAxisAngle = -173.94  Binning = 1]\r\n\r\n[ZValue = 0]\r\n"
            "TiltAngle =   -0,01 \r\nCameraLength = nan\r\nExposureDose = 2\r\nExposureDose = 3\r\n"
            "DateTime = \r\nChannelName = \r\nSubFramePath = \\\\server\\x\\a b=c.tif\r\n"
            "[Frob = 3]\r\nTiltAngle = 99\r\n"
        )
    messages = " ".join(str(w.message) for w in said)
    assert "line 11 (ExposureDose)" in messages
    assert "decimal commas are taken for points: line 1 (PixelSpacing = 1,54), line 8" in messages
    assert "passed over: [Frob]" in messages
    (section,) = odd.sections
    assert odd.titles == (
        "Tomography_5.24.0: KRIOS 1",
        "TiltAxisAngle = -173.94  Binning = 1",
    )
    assert odd.head.number("PixelSpacing") == 1.54
    assert section.need("TiltAngle") == -0.01
    assert section.number("CameraLength") is section.date() is section.text("ChannelName") is None
    assert section.number("ExposureDose") == 3
    assert section.frames == "//server/x/a b=c.tif"


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ("30-Nov-15  15:21:38", 0.0),
        ("30-Nov-2015  15:21:38", 0.0),
        ("30-November-2015 15:21:39", 1.0),
        ("2015-11-30 15:21:38", 0.0),
        ("2015-Nov-30T15:21:38.5", 0.5),
        ("01-Dec-15     00:00:00", 31102.0),
    ],
)
def test_forms_of_dates(said: str, seconds: float) -> None:
    first, then = document(
        text(*sections([0, 1], DateTime=lambda i: "30-Nov-15  15:21:38" if i == 0 else said))
    ).sections
    assert (then.date() or 0) - (first.date() or 0) == seconds


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"", "no section"),
        (b"\0\1\2" * 50, "binary"),
        (b"[ZValue = 0]\nTiltAngle = 1\nTiltAn", r"TS_01.mdoc:3: expected key = value"),
        (b"[ZValue = x]\nTiltAngle = 1\n", r"TS_01.mdoc:1: expected a whole number"),
        (b"\n[ZValue = 0]\nTiltAngle = 1,2,3\n", r"TS_01.mdoc:3: TiltAngle: expected a number"),
        (b"\n[ZValue = 0]\nExposureDose = 1\n", r"TS_01.mdoc:2: .*has no TiltAngle"),
        (b"[ZValue = 0]\nTiltAngle = 1e9\n[ZValue = 1]\nTiltAngle = 2\n", "TS_01.mdoc: "),
        (
            b"[ZValue = 0]\nTiltAngle = 1\n[ZValue = 0]\nTiltAngle = 2\n",
            r":3: ZValue 0 comes twice",
        ),
        (b"data_\nloop_\n_rlnTomoName\n", r"TS_01.mdoc:1: expected key = value"),
    ],
)
def test_bad_files_are_named_with_the_line(content: bytes, match: str) -> None:
    Path("TS_01.mdoc").write_bytes(content)
    write_stack(Path("TS_01.mrc"), 2)
    with pytest.raises((FileFormatError, MissingFieldError), match=match):
        read("TS_01.mdoc", pixel_size=2.0)


def test_a_file_that_was_cut_short_is_said() -> None:
    whole = text()
    with warned(r"TS_01.mdoc:55: the last section lacks SubFramePath, DateTime, which all others"):
        document(whole[: whole.rindex("SubFramePath")])


def test_one_movie_for_two_tilts_is_refused() -> None:
    Path("TS_01.mdoc").write_text(text(*sections(name="movie.tif")))
    with pytest.raises(FileFormatError, match=r"mdoc:15: D:/frames/movie.tif comes twice, also in"):
        read("TS_01.mdoc")


def test_names_of_series() -> None:
    assert series_name("a/TS_01.mrc.mdoc") == series_name("TS_01.mdoc") == "TS_01"
    assert series_name("b/TS_01.idoc") == "TS_01"
    assert series_name("TS_1.5A.st.mdoc") == "TS_1.5A"


# order and doses


def test_all_that_says_the_order_agrees() -> None:
    a = acquired(text())
    assert a.ranks.tolist() == [*range(7)]
    assert a.pre_exposure.tolist() == [0, 3, 6, 9, 12, 15, 18]
    assert a.exposure.tolist() == [3.0] * 7
    assert a.fractional_dose == 3.0
    assert a.how.startswith("DateTime, PriorRecordDose, the numbers in frame names, the order")


def by_tilt(made: list[str]) -> list[str]:
    """Sorted by tilt and numbered anew, as programs do it."""
    order = np.argsort(TILTS)
    return [re.sub(r"= \d+\]", f"= {n}]", made[i], count=1) for n, i in enumerate(order)]


@pytest.mark.parametrize(
    "lacking",
    [
        {},
        {"PriorRecordDose": None},
        {"DateTime": ""},
        {"DateTime": None, "PriorRecordDose": "0"},
        {"DateTime": lambda i: f"08-Oct-21  07:{i // 2:02d}:24"},  # equal ones
    ],
)
def test_sections_sorted_by_tilt_are_put_in_order(lacking: dict[str, Any]) -> None:
    a = acquired(text(*by_tilt(sections(**lacking))))
    assert a.ranks.tolist() == np.argsort(TILTS).tolist()
    assert a.pre_exposure.tolist() == [3.0 * i for i in np.argsort(TILTS)]


def test_dates_that_are_not_all_there_are_said_and_not_used() -> None:
    some = {"DateTime": lambda i: "" if i == 3 else f"08-Oct-21  08:{59 - i:02d}:24"}
    with warned("no DateTime in 1 of 7 sections; dates are not used"):
        a = acquired(text(*by_tilt(sections(**some))))
    assert a.ranks.tolist() == np.argsort(TILTS).tolist()
    with warned("found 'yesterday'; dates are not used"):
        a = acquired(text(*sections(DateTime="yesterday")))
    assert a.ranks.tolist() == [*range(7)]


def test_sections_in_another_order_than_dates_are_said() -> None:
    made = [one for _, one in sorted(zip("3014256", sections(PriorRecordDose=None), strict=True))]
    made = [re.sub(r"= \d+\]", f"= {n}]", one, count=1) for n, one in enumerate(made)]
    plain = [re.sub("TS_01_...", "x", one) for one in made]
    with warned(r"order by DateTime, against the order of the sections \(such as ZValue 0"):
        a = acquired(text(*plain))
    assert a.tilts[np.argsort(a.ranks)].round().tolist() == TILTS


def test_one_source_against_two_is_said_and_two_alone_ask() -> None:
    wrong = {"DateTime": lambda i: f"08-Oct-21  07:{59 - i:02d}:24"}
    with warned(r"frame names, against DateTime \(such as ZValue"):
        a = acquired(text(*by_tilt(sections(**wrong))))
    assert a.ranks.tolist() == np.argsort(TILTS).tolist()
    two = text(*by_tilt(sections(**wrong, name="{i}.tif")))
    with pytest.raises(AmbiguityError, match=r"DateTime and PriorRecordDose contradict .*order_by"):
        acquired(two)
    with warned("by DateTime, against PriorRecordDose"):
        a = acquired(two, order_by="date")
    assert a.ranks.tolist() == (6 - np.argsort(TILTS)).tolist()
    assert a.pre_exposure.tolist() == [3.0 * i for i in a.ranks]


def test_an_order_that_nothing_says_is_none_or_asked_for() -> None:
    lacking = {"DateTime": None, "PriorRecordDose": None, "name": "{i}.tif"}
    sorted_ones = text(*by_tilt(sections(**lacking)))
    a = acquired(sorted_ones)
    assert a.ranks is a.pre_exposure is None
    assert a.exposure is not None
    with pytest.raises(AmbiguityError, match=r"order list \(`order_list`\)"):
        acquired(sorted_ones, fractional_dose=2.0)
    Path("order.csv").write_text("".join(f"{i},{tilt}\n" for i, tilt in enumerate(TILTS)))
    a = acquired(sorted_ones, fractional_dose=3.0, order_list="order.csv")
    assert a.pre_exposure.tolist() == [3.0 * i for i in np.argsort(TILTS)]
    assert acquired(sorted_ones, order_by="file").ranks.tolist() == [*range(7)]
    with pytest.raises(AmbiguityError, match="DateTime does not say the order"):
        acquired(sorted_ones, order_by="date")
    with warned("nothing but the order of the sections"):
        assert acquired(text(*sections(**lacking))).ranks.tolist() == [*range(7)]


def test_numbers_that_do_not_stand_before_angles_say_nothing() -> None:
    """As in ``chrom_07_ts_010_167_000_-3.0``: 000 in all; and 16_3 is not number and angle."""
    name = "p_16_3_{i:03d}_{tilt:.1f}_x.tif"
    assert acquired(text(*by_tilt(sections(name=name, DateTime=None, PriorRecordDose=None)))).ranks.tolist() == np.argsort(TILTS).tolist()  # fmt: skip
    name = "chrom_07_167_000_{tilt:.1f}.tif"
    assert acquired(text(*by_tilt(sections(name=name, DateTime=None, PriorRecordDose=None)))).ranks is None  # fmt: skip


def test_no_dose_is_none_and_what_the_camera_counted_is_said() -> None:
    none = {"ExposureDose": "0", "PriorRecordDose": None, "DoseRate": "6.0", "ExposureTime": "1.5",
            "PixelSpacing": "1.5", "Binning": "1"}  # fmt: skip
    with warned(r"camera counted up to 4 e/Å² behind"):
        a = acquired(text(*sections(**none)))
    assert a.exposure is a.pre_exposure is a.fractional_dose is None
    frames = acquired(text(*sections(**none | {"FrameDosesAndNumber": "0.5 4 1 2"})))
    assert frames.exposure.tolist() == [4.0] * 7
    with pytest.raises(AmbiguityError, match=r"0 or absent in 1 of 7 sections \(such as line 23"):
        acquired(text(*sections(ExposureDose=lambda i: "0" if i == 2 else "3")))
    with pytest.raises(FileFormatError, match="a dose below 0"):
        acquired(text(*sections(ExposureDose="-3")))


def test_doses_that_contradict_each_other_are_said() -> None:
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        acquired(text(*sections(FrameDosesAndNumber="1 6")))
    (one,) = (str(w.message) for w in said)
    assert "FrameDosesAndNumber adds up to 6; the former is taken, as in 7 of 7 sections" in one
    with warned(r"had been received before the first image"):
        a = acquired(text(*sections(PriorRecordDose=lambda i: str(10 + 3 * i))))
    assert a.pre_exposure.tolist() == [10 + 3 * i for i in range(7)]
    gap = {"PriorRecordDose": lambda i: str(3 * i + (3 if i > 3 else 0))}
    with warned(r"is 15 e/Å², and .*adds up to 12; .*removed"):
        a = acquired(text(*sections(**gap)))
    assert a.pre_exposure.tolist() == [0, 3, 6, 9, 15, 18, 21]
    uneven = {"ExposureDose": lambda i: str(3 + i), "PriorRecordDose": None}
    a = acquired(text(*sections(**uneven)))
    assert a.pre_exposure.tolist() == [0, 3, 7, 12, 18, 25, 33]
    assert a.fractional_dose is None


# the axis


def axis_of(title: str, rotation: str | None, head: str = "") -> float | None:
    made = document(f"{head}\n{title}\n" + "".join(sections([0, 1], RotationAngle=rotation)))
    return nominal_axis([made], made.sections)


@pytest.mark.parametrize(
    ("title", "rotation", "axis", "said"),
    [
        ("[T = Tilt axis angle = 85.3, binning = 1]", "175.3", 85.3, None),
        ("[T = Tilt axis angle = -86.7, binning = 1]", "3.34915", -86.7, None),
        ("[T = SerialEM: x]\n[T = Tilt axis angle = 177.0, binning = 2]", None, 177.0, None),
        ("[T = SerialEM: x]", "178.414", 88.414, "RotationAngle - 90 alone"),
        ("[T =   TiltAxisAngle = -173.94  Binning = 1]", "83.94", 83.94, None),
        ("T = Tomography_5.24.0]\n[T =  TiltAxisAngle = -176.73  Binning = 1]", None, 86.73, "alone"),
        ("TiltAxisAngle = -173.94", "83.94", 83.94, None),
        ("[T = Tomography: x]", "83.94", 83.94, "RotationAngle alone"),
        ("[T = Tilt axis angle = 85.3, binning = 1]", "85.3", 85.3, "-4.70° by .*90° away"),
        ("[T = Tilt axis angle = 85.3, binning = 1]", "-4.7", 85.3, "180° away"),
        ("[T =   TiltAxisAngle = 4.9  Binning = 1]", "84.0", 84.0, "-94.90° by .*179° away"),
        ("[T = Tilt axis angle = nan, binning = 1]", "175.3", 85.3, "RotationAngle - 90 alone"),
        ("", None, None, None),
    ],
)  # fmt: skip
def test_the_axis_is_found_in_three_places_that_must_agree(
    title: str, rotation: str | None, axis: float | None, said: str | None
) -> None:
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        assert axis_of(title, rotation) == (axis and pytest.approx(axis))
    messages = [str(w.message) for w in found]
    assert len(messages) == (said is not None)
    assert said is None or re.search(said, messages[0])


# images


def test_a_stack_beside_the_file_and_its_halves(run: Run) -> None:
    Path("TS_01.mrc.mdoc").write_text(text())
    for half in ("", "_EVN", "_ODD"):
        stack(f"TS_01{half}.mrc", TILTS)
    code, out, errors = run("TS_01.mrc.mdoc", "--thick", "30", "--to", "relion5")
    assert code == 0, errors
    assert "order by DateTime" in out
    t = tomoset.read("out/out.star")["TS_01"]
    assert values(t) == TILTS
    assert [half_values(half) for half in t.half_images or ()] == [TILTS, TILTS]
    assert t.optics.voltage == 200
    assert t.size == (6, 8, 30)  # turned: the axis lies along x
    assert t.nominal_axis is not None
    assert t.nominal_axis.tolist() == [85.3] * 7
    assert t.exposure is not None
    assert t.acquisition is not None
    assert t.acquisition.tolist() == [*range(7)]
    assert t.projections is None
    assert main(["info", "out/out.star"]) == 0


def test_info_shows_nominal_values_in_brackets(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("TS_01.mdoc").write_text(text())
    write_stack(Path("TS_01.mrc"), 7)
    assert run("TS_01.mdoc", "--to", "relion5")[0] == 0
    assert main(["info", "out/out.star"]) == 0
    shown = capsys.readouterr().out
    assert "(-30..30)  (85.3)" in re.sub(" +", "  ", shown)
    assert "as the microscope has them, not aligned" in shown
    assert main(["info", "TS_01.mdoc"]) == 0


@pytest.mark.parametrize("form", ["{}.mrc", "motion_{}.mrc", "{}_DW.mrc", "{}.TIF"])
def test_single_images_come_in_the_order_of_tilts(form: str) -> None:
    Path("TS_01.mdoc").write_text(text())
    if form.endswith("TIF"):
        tifffile = pytest.importorskip("tifffile")
        Path("i").mkdir()
        for i, tilt in enumerate(TILTS):
            tifffile.imwrite(f"i/TS_01_{i:03d}_{tilt:.1f}.TIF", np.full((6, 8), tilt, np.float32))
    else:
        averages("i", form=form)
    t = read("TS_01.mdoc", images="i", pixel_size=2.0)
    assert values(t) == sorted(TILTS)
    assert t.nominal_tilts is not None
    assert np.abs(t.nominal_tilts - sorted(TILTS)).max() < 0.01
    assert t.pre_exposure is not None
    assert t.pre_exposure.tolist() == [3.0 * i for i in np.argsort(TILTS)]
    assert [stem_of(m) for m in t.movies or ()] == [
        f"TS_01_{i:03d}_{TILTS[i]:.1f}" for i in np.argsort(TILTS)
    ]


def test_relion_makes_dots_underscores() -> None:
    Path("TS_01.mdoc").write_text(text())
    averages("i")
    for path in Path("i").iterdir():
        path.rename(path.with_name(path.stem.replace(".", "_") + path.suffix))
    assert values(read("TS_01.mdoc", images="i")) == sorted(TILTS)


@pytest.mark.parametrize(
    ("even", "odd", "options"),
    [
        ("i/{}_EVN.mrc", "i/{}_ODD.mrc", {}),
        ("i/{}_even.mrc", "i/{}_odd.mrc", {}),
        ("i/even/{}.mrc", "i/odd/{}.mrc", {}),
        ("e/{}.mrc", "o/{}.mrc", {"even": "e", "odd": "o"}),
        ("h/{}_EVN.mrc", "h/{}_ODD.mrc", {"even": "h", "odd": "h"}),
        ("h/x_{}.mrc", "h/y_{}.mrc", {"even": "h/x_*", "odd": "h/y_*"}),
        ("i/{}_EVN.mrc", "", {}),
    ],
)
def test_images_of_halves(even: str, odd: str, options: dict[str, str]) -> None:
    Path("TS_01.mdoc").write_text(text())
    averages("i")
    for form in filter(None, (even, odd)):
        folder, name = form.split("/{", 1) if "/{" in form else form.rsplit("/", 1)
        averages(folder, form="{" + name if "/{" in form else name)
    t = read("TS_01.mdoc", images="i", **options)
    assert values(t) == sorted(TILTS)
    assert t.half_images is not None
    assert half_values(t.half_images[0]) == sorted(TILTS)
    assert half_values(t.half_images[1]) == (sorted(TILTS) if odd else [])
    letters = [{Path(n).stem[0] + Path(n).stem[-1] + n[0] for n in half} for half in t.half_images]
    assert not letters[0] & letters[1] or "even/" in even


def test_a_half_with_a_gap_is_left_out_whole() -> None:
    Path("TS_01.mdoc").write_text(text())
    for form in ("{}.mrc", "{}_EVN.mrc", "{}_ODD.mrc"):
        averages("i", form=form)
    Path("i/TS_01_002_-10.0_ODD.mrc").unlink()
    with warned("odd frames are not there for 1 of 7"):
        t = read("TS_01.mdoc", images="i")
    assert t.half_images is not None
    assert [len(half) for half in t.half_images] == [7, 0]


@pytest.mark.parametrize("missing", range(7))
def test_a_missing_image_shifts_no_other(missing: int) -> None:
    """Its section is left out, and said; its dose counts for those that came later."""
    Path("TS_01.mdoc").write_text(text())
    averages("i")
    Path(f"i/TS_01_{missing:03d}_{TILTS[missing]:.1f}.mrc").unlink()
    averages("i", [55.0], form="TS_01_100_55.0.mrc")
    with warned("1 of 7 sections have no image in i and are left"):
        reading = MDOC.read(["TS_01.mdoc"], images="i", pixel_size=2.0)
    (t,) = reading.project.tomograms.values()
    left = [i for i in np.argsort(TILTS).tolist() if i != missing]
    assert values(t) == [TILTS[i] for i in left]
    assert t.pre_exposure is not None
    assert t.pre_exposure.tolist() == [3.0 * i for i in left]
    assert any("1 images in i are of no section: TS_01_100_55.0.mrc" in n for n in reading.notes)


def test_strict_makes_a_missing_image_an_error(run: Run) -> None:
    Path("TS_01.mdoc").write_text(text())
    averages("i")
    Path("i/TS_01_000_0.0.mrc").unlink()
    assert run("TS_01.mdoc", "--images", "i", "--angpix", "2")[0] == 0
    code, _, errors = run("TS_01.mdoc", "--images", "i", "--angpix", "2", "--strict", "--overwrite")
    assert code == 1
    assert "TS_01_000_0.0" in errors


def test_nothing_found_names_both_sides_and_suggests_the_map(run: Run) -> None:
    Path("TS_01.mdoc").write_text(text())
    averages("i", form="grid2_{}.mrc")
    for path in Path("i").iterdir():
        path.rename(str(path).replace("TS_01", "tomo7"))
    code, _, errors = run("TS_01.mdoc", "--images", "i")
    assert code == 1
    assert (
        "neither a stack TS_01.mrc nor images called like its movies, such as TS_01_000_0.0"
        in errors
    )
    assert "there are grid2_tomo7_000_0.0.mrc" in errors
    told = re.search(r"--frame-names '(\S+)'", errors)
    assert told
    code, _, errors = run("TS_01.mdoc", "--images", "i", "--frame-names", told[1])
    assert code == 0, errors
    t = tomoset.read("out/out.star")["TS_01"]
    assert values(t) == sorted(TILTS)
    assert not Path("out2").exists()
    Path("empty").mkdir()
    code, _, errors = run("TS_01.mdoc", "--images", "empty", "--overwrite")
    assert code == 1
    assert "no image is there at all" in errors
    assert "nothing was written" in errors


def test_what_may_be_several_images_asks() -> None:
    Path("TS_01.mdoc").write_text(text())
    averages("i", form="{}_DW.mrc")
    averages("i", form="{}_ali.mrc")
    with pytest.raises(AmbiguityError, match=r"_ali.mrc, .*_DW.mrc could each be"):
        read("TS_01.mdoc", images="i")
    assert values(read("TS_01.mdoc", images="i/*_DW.mrc")) == sorted(TILTS)
    averages("i")  # the very name decides
    assert {stem_of(n)[-2:] for n in read("TS_01.mdoc", images="i").images or ()} == {".0"}
    averages("i", form="{}.st")
    with pytest.raises(AmbiguityError, match="have one name"):
        read("TS_01.mdoc", images="i")
    averages("h", form="{}_EVN.mrc")
    with pytest.raises(MissingFileError, match="only images of halves"):
        read("TS_01.mdoc", images="h")


def test_images_that_are_none_or_others_are_refused() -> None:
    Path("TS_01.mdoc").write_text(text())
    averages("i")
    write_stack(Path("i/TS_01_003_-20.0.mrc"), 8)
    with pytest.raises(FileFormatError, match=r"has 8 images: a movie\?"):
        read("TS_01.mdoc", images="i")
    write_stack(Path("i/TS_01_003_-20.0.mrc"), 1, (9, 9))
    with pytest.raises(FileFormatError, match="differ in size: 9 x 9 px here, 8 x 6"):
        read("TS_01.mdoc", images="i")
    Path("i/TS_01_003_-20.0.mrc").write_bytes(b"x" * 2000)
    with pytest.raises(TomosetError, match=r"TS_01_003_-20\.0\.mrc"):
        read("TS_01.mdoc", images="i")
    averages("i")
    with pytest.raises(MissingFileError, match="is in nowhere"):
        read("TS_01.mdoc", images="i", even="nowhere")


def test_a_stack_of_other_images_is_matched_by_its_angles_or_refused() -> None:
    Path("TS_01.mdoc").write_text(text())
    kept = sorted(TILTS)[1:]
    stack("TS_01.mrc", kept)
    with pytest.raises(FileFormatError, match=r"up to \[ZValue = 6\], .* 6 images; .*TS_01.rawtlt"):
        read("TS_01.mdoc")
    Path("TS_01.rawtlt").write_text("".join(f"{tilt}\n" for tilt in kept))
    t = read("TS_01.mdoc")
    assert values(t) == kept
    assert t.pre_exposure is not None
    assert t.pre_exposure.tolist() == [3.0 * i for i in np.argsort(TILTS)[1:]]
    more = sorted([*TILTS, 44.0])
    stack("TS_01.mrc", more)
    Path("TS_01.rawtlt").write_text("".join(f"{tilt}\n" for tilt in more))
    t = read("TS_01.mdoc")
    assert values(t) == sorted(TILTS)
    assert t.image_index is not None
    assert t.pre_exposure is not None
    assert t.pre_exposure.tolist() == [3.0 * i for i in np.argsort(TILTS)]
    Path("TS_01.rawtlt").write_text("1\n2\n")
    with pytest.raises(FileFormatError, match="2 angles, but the stack"):
        read("TS_01.mdoc")


def test_a_stack_with_more_images_than_sections_is_said() -> None:
    Path("TS_01.mdoc").write_text(text())
    write_stack(Path("TS_01.mrc"), 9)
    with warned("has 9 images, and TS_01.mdoc 7 sections: 2 are"):
        MDOC.read(["TS_01.mdoc"], pixel_size=2.0)


def test_pixel_size_of_header_and_file() -> None:
    Path("TS_01.mdoc").write_text(text(*sections(PixelSpacing="4.0")))
    write_stack(Path("TS_01.mrc"), 7, pixel_size=2.0)
    with warned("2 Å by their headers, is 0.5 times that"):
        (t,) = MDOC.read(["TS_01.mdoc"]).project.tomograms.values()
    assert t.optics.pixel_size == 2.0
    write_stack(Path("TS_01.mrc"), 7, pixel_size=0.0)
    with warned("4 Å, as the .mdoc has it"):
        (t,) = MDOC.read(["TS_01.mdoc"]).project.tomograms.values()
    assert t.optics.pixel_size == 4.0
    assert read("TS_01.mdoc", pixel_size=3.0).optics.pixel_size == 3.0


def test_pixel_sizes_that_agree_are_no_matter() -> None:
    Path("TS_01.mdoc").write_text(text(*sections(PixelSpacing="2.04")))
    write_stack(Path("TS_01.mrc"), 7, pixel_size=2.0)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        MDOC.read(["TS_01.mdoc"])
    assert ["pixel size taken from the stacks" in str(w.message) for w in said] == [True]


def test_several_stacks_ask() -> None:
    Path("TS_01.mdoc").write_text(text(head=""))
    write_stack(Path("TS_01.st"), 7)
    assert read("TS_01.mdoc").stack == "TS_01.st:mrc"
    write_stack(Path("TS_01.mrc"), 7)
    with pytest.raises(AmbiguityError, match=r"TS_01.mrc, TS_01.st could each be its stack"):
        read("TS_01.mdoc")
    assert read("TS_01.mdoc", images="TS_01.mrc").stack == "TS_01.mrc"
    Path("TS_01.mdoc").write_text(text(head="ImageFile = D:\\data\\TS_01.mrc\n"))
    assert read("TS_01.mdoc").stack == "TS_01.mrc"


def test_movies_are_found_beside_or_in_a_folder() -> None:
    Path("TS_01.mdoc").write_text(text())
    write_stack(Path("TS_01.mrc"), 7)
    assert read("TS_01.mdoc").movies == tuple(
        f"D:/frames/TS_01_{i:03d}_{tilt:.1f}.tif" for i, tilt in enumerate(TILTS)
    )
    Path("frames").mkdir()
    for i, tilt in enumerate(TILTS):
        Path(f"frames/TS_01_{i:03d}_{tilt:.1f}.tif").touch()
    found = read("TS_01.mdoc").movies or ()
    assert found[1] == "frames/TS_01_001_10.0.tif"
    with warned("7 of 7 movies are not there, such as elsewhere/TS_01_000_0.0.tif"):
        (t,) = MDOC.read(["TS_01.mdoc"], frames="elsewhere").project.tomograms.values()
    assert t.movies == tuple(name.replace("frames", "elsewhere") for name in found)


def test_files_of_single_movies_are_put_together_by_their_names() -> None:
    """Two series in a folder; each image has a file of its own."""
    Path("m").mkdir()
    for name in ("TS_01", "TS_010"):
        made = sections(name=name + "_{i:03d}_{tilt:.1f}_Oct08.tif", kind="FrameSet",
                        PriorRecordDose=None)  # fmt: skip
        for i, one in enumerate(made):
            one = re.sub(r"= \d+\]", "= 0]", one, count=1)
            Path(f"m/{name}_{i:03d}.tif.mdoc").write_text(
                f"T = SerialEM: x\nVoltage = 300\n\n{one}"
            )
        averages("i", form="{}_Oct08.mrc")
    for path in [*Path("i").iterdir()]:
        write_images(
            str(path).replace("TS_01_", "TS_010_"), np.full((1, 6, 8), 99, np.float32), 2.0
        )
    with warned("7 .mdoc files of single movies"):
        reading = MDOC.read(["m"], images="i", pixel_size=2.0)
    assert not reading.failures
    t = reading.project.tomograms["TS_01"]
    assert values(t) == sorted(TILTS)
    assert values(reading.project.tomograms["TS_010"]) == [99.0] * 7
    assert t.pre_exposure is not None
    assert t.pre_exposure.tolist() == [3.0 * i for i in np.argsort(TILTS)]


def test_images_beside_files_of_single_movies_are_no_stack() -> None:
    """As SerialEM and PACEtomo name them: each image beside a file that is called like it."""
    averages(".")
    for i, one in enumerate(sections(kind="FrameSet")):
        name = f"TS_01_{i:03d}_{TILTS[i]:.1f}.mrc.mdoc"
        Path(name).write_text(text(re.sub(r"= \d+\]", "= 0]", one, count=1), head=""))
    assert values(read(".")) == sorted(TILTS)


def test_second_files_of_tomo5_are_no_series() -> None:
    write_stack(Path("TS_01.mrc"), 7)
    for name in ("TS_01", "TS_01_override"):
        Path(f"{name}.mdoc").write_text(text())
    with warned("passed over, as Tomo5 writes them beside .*: TS_01_override.mdoc"):
        reading = MDOC.read(["."])
    assert not reading.failures
    assert [*reading.project.tomograms] == ["TS_01"]
    Path("TS_01.mdoc").unlink()
    assert read(".").name == "TS_01_override"


def test_two_movies_are_a_series() -> None:
    Path("m").mkdir()
    averages("i")
    for i, one in enumerate(sections(kind="FrameSet")[:2]):
        Path(f"m/{i}.mdoc").write_text(text(re.sub(r"= \d+\]", "= 0]", one, count=1)))
    assert values(read("m", images="i")) == [0, 10]


def test_the_file_of_the_series_goes_before_those_of_its_movies() -> None:
    Path("m").mkdir()
    Path("m/TS_01.mrc.mdoc").write_text(text())
    write_stack(Path("m/TS_01.mrc"), 7)
    for i, one in enumerate(sections(kind="FrameSet")):
        Path(f"m/TS_01_{i:03d}.tif.mdoc").write_text(text(re.sub(r"= \d+\]", "= 0]", one, count=1)))
    with warned("7 .mdoc files of single movies of 'TS_01' are passed over: m/TS_01.mrc.mdoc"):
        (t,) = MDOC.read(["m"]).project.tomograms.values()
    assert t.n_tilts == 7


def test_files_that_are_named_by_their_sections() -> None:
    """As SerialEM writes where each image is saved as a file."""
    made = sections(SubFramePath=None)
    for i, tilt in enumerate(TILTS):
        made[i] = re.sub(r"\[ZValue = \d+\]", f"[Image = TS_01_{i:03d}_{tilt:.1f}.tif]", made[i])
    Path("TS_01.mdoc").write_text(text(*made))
    averages("i")
    assert values(read("TS_01.mdoc", images="i")) == sorted(TILTS)


def test_an_image_is_of_one_series_only() -> None:
    Path("TS_01.mdoc").write_text(text())
    Path("TS_02.mdoc").write_text(text())
    write_stack(Path("TS_01.mrc"), 7)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        reading = MDOC.read(["TS_01.mdoc", "TS_02.mdoc"])
    (failure,) = reading.failures
    assert "TS_02.mdoc: TS_01.mrc is an image of TS_01.mdoc already" in str(failure.error)
    assert [*reading.project.tomograms] == ["TS_01"]


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (["--order-by", "luck"], "takes one of date, dose, names, file"),
        (["--order-by", "date", "--ol", "x.csv"], "both say the order"),
        (["--frame-names", "x"], "takes OLD=NEW"),
        (["--thick", "1.5"], "must be a whole number"),
        (["--fd", "-1"], "--fd must be above 0"),
    ],
)
def test_options_that_say_nothing_possible(run: Run, arguments: list[str], match: str) -> None:
    Path("TS_01.mdoc").write_text(text())
    code, _, errors = run("TS_01.mdoc", *arguments)
    assert code == 2
    assert match in errors


# stacks that are written


def test_ordered_stacks_with_angles_and_order(run: Run) -> None:
    """They come in again as `import images` takes them: the same images, tilts and doses."""
    Path("TS_01.mdoc").write_text(text())
    for form in ("{}.mrc", "{}_EVN.mrc", "{}_ODD.mrc"):
        averages("i", form=form)
    code, _, errors = run("TS_01.mdoc", "--images", "i", "--write-stack", "--to", "relion5")
    assert code == 0, errors
    t = tomoset.read("out/out.star")["TS_01"]
    assert Path(t.stack or "").samefile("out/stacks/TS_01.mrc")
    assert values(t) == sorted(TILTS)
    for half, word in zip(t.half_images or (), ("EVN", "ODD"), strict=True):
        assert half_values(half) == sorted(TILTS)
        assert half[0].endswith(f"TS_01_{word}.mrc")
    with open("out/stacks/TS_01_order.csv") as lines:
        order = [(int(n), float(tilt)) for n, tilt in csv.reader(lines)]
    assert [n for n, _ in order] == [*range(1, 8)]
    np.testing.assert_allclose([tilt for _, tilt in order], np.array(TILTS) + 0.003)
    again = format_named("images").read(
        ["out/stacks/TS_01.mrc"], order_list="out/stacks/TS_01_order.csv", fractional_dose=3.0,
        pixel_size=2.0,
    )  # fmt: skip
    (same,) = again.project.tomograms.values()
    np.testing.assert_allclose(same.nominal_tilts, t.nominal_tilts)
    np.testing.assert_allclose(same.pre_exposure, t.pre_exposure)
    with pytest.raises(tomoset.ModelError, match="stacks are written beside a set"):
        MDOC.read(["TS_01.mdoc"], write_stack=True)


# matching


def side(angles: Sequence[float], **more: Any) -> Side:
    return Side(what=more.pop("what", "ours"), angles=np.array(angles), **more)


def test_names_decide_also_with_another_beginning() -> None:
    names = [f"24jul_P_{i:03d}_{tilt:.1f}.eer" for i, tilt in enumerate(TILTS)]
    theirs = side(TILTS, names=names, what="theirs")
    order = [3, 0, 5]
    for change in (str, lambda n: n.removeprefix("24jul_"), lambda n: f"x/new_{stem_of(n)}_DW.mrc"):
        ours = side([1.0] * 3, names=[change(names[i]) for i in order])
        match = match_tilts(ours, theirs)
        assert match.lines.tolist() == order
        assert "by name" in match.how
    ours = side([TILTS[i] for i in order], names=["other"] * 3)
    assert "by angle" in match_tilts(ours, theirs).how


def test_names_that_come_twice_or_not_at_all_decide_nothing() -> None:
    names = [f"{i}.eer" for i in range(7)]
    for ours, theirs in (
        (["a"] * 3, names),
        (names[:3], ["a"] * 7),
        ([""] * 3, names),
        (["7.eer", "8.eer", "9.eer"], names),
        (["0.eer", "1.eer", "9.eer"], names),
        (None, names),
        (names[:3], None),
    ):
        match = match_tilts(
            side([30, -10, 0], names=ours), side(TILTS, names=theirs, what="theirs")
        )
        assert match.lines.tolist() == [5, 2, 0]
        assert match.how.endswith("by angle: angles within 0.00°; 4 of the latter are left")


def test_refined_angles_of_some_uneven_tilts_find_their_own() -> None:
    """Whatever the common offset, and the order on either side."""
    rng = np.random.default_rng(3)
    for _ in range(40):
        steps = rng.uniform(1.5, 5, 24)
        theirs = rng.permutation(np.cumsum(steps) - 40)
        rows = rng.permutation(24)[: rng.integers(14, 25)]
        offset = rng.uniform(-15, 15)
        ours = theirs[rows] + offset + rng.uniform(-0.05, 0.05, len(rows))
        try:
            match = match_tilts(side(ours, exact=False), side(theirs, what="theirs"))
        except AmbiguityError:
            assert len(rows) < 24
            continue
        assert match.lines.tolist() == rows.tolist()
        told = re.search(r"common offset of ([-+][0-9.]+)°", match.how)
        assert told
        assert float(told[1]) == pytest.approx(offset, abs=0.03)


def test_an_error_of_the_first_angle_does_not_mislead() -> None:
    theirs = [-50.0, -41, -33, -22, -14, -3, 4, 15, 21, 33, 40, 52]
    rows = [1, 3, 4, 5, 7, 8, 10, 11]
    ours = np.array([theirs[i] for i in rows]) + 12.0
    ours[0] += 1.4
    match = match_tilts(side(ours, exact=False), side(theirs, what="theirs"))
    assert match.lines.tolist() == rows


def test_numbers_in_a_stack_decide_where_angles_agree() -> None:
    theirs = side([0, 0.01, 3, 6], sections=np.arange(4), what="theirs")
    ours = side([0.01, 6.2], sections=np.array([1, 3]))
    match = match_tilts(ours, theirs)
    assert match.lines.tolist() == [1, 3]
    assert "by number in the stack" in match.how
    assert "2 of the latter are left" in match.how
    offset = side([10.01, 16], sections=np.array([1, 3]), exact=False)
    assert match_tilts(offset, theirs).lines.tolist() == [1, 3]
    assert "common offset of +10.00°" in match_tilts(offset, theirs).how
    wrong = side([3, 6.2], sections=np.array([0, 1]))
    assert match_tilts(wrong, theirs).lines.tolist() == [2, 3]


def test_maps_that_fit_equally_ask() -> None:
    evenly = side(np.arange(-30, 31, 3.0), what="theirs")
    refined = side(np.arange(-27, 28, 3.0) + 0.1, exact=False)
    with pytest.raises(AmbiguityError, match=r"offset of \+0.10° and as well with [-+]\d.\d0°"):
        match_tilts(refined, evenly)
    whole = side(np.arange(-30, 31, 3.0) + 9.02, exact=False)
    assert match_tilts(whole, evenly).lines.tolist() == [*range(21)]
    assert match_tilts(side(np.arange(-27, 28, 3.0)), evenly).lines.tolist() == [*range(1, 20)]
    uneven = side([-30, -27, -24, -12, 0, 3, 9.5, 21], what="theirs")
    assert match_tilts(side([-23, -11, 1, 10.5], exact=False), uneven).lines.tolist() == [
        2,
        3,
        4,
        6,
    ]
    for angles in ([0.0, 0.01, 3], [0.0, 3.0, 3.02]):
        with pytest.raises(AmbiguityError, match="has several images at"):
            match_tilts(side([0.0, 3.0]), side(angles, what="theirs"))
    with pytest.raises(FileFormatError, match=r"do not match, by up to 7.0°"):
        match_tilts(side([0.0, 10.0]), side([0.0, 3.0], what="theirs"))
    with pytest.raises(FileFormatError, match="has 1 tilt images and ours 2"):
        match_tilts(side([0.0, 10.0]), side([0.0], what="theirs"))


def test_the_assignment_is_the_best_of_all() -> None:
    optimize = pytest.importorskip("scipy.optimize")
    rng = np.random.default_rng(7)
    for _ in range(50):
        theirs = np.sort(rng.uniform(-60, 60, 20)).round(1) + np.arange(20) / 5
        rows = rng.permutation(20)[:13]
        ours = theirs[rows] + rng.uniform(-0.6, 0.6, 13)
        try:
            found = match_tilts(side(ours), side(theirs))
        except AmbiguityError:
            continue
        _, best = optimize.linear_sum_assignment((ours[:, None] - theirs) ** 2)
        np.testing.assert_array_equal(found.lines, best)


# other imports are told


def aligned(rows: Sequence[int], **more: Any) -> Tomogram:
    """A tomogram, aligned, with these of the tilts, in the order of their angles."""
    rows = sorted(rows, key=lambda i: TILTS[i])
    tilts = [TILTS[i] for i in rows]
    return Tomogram(
        name="TS_01", n_tilts=len(rows), optics=tomoset.Optics(pixel_size=2.0), stack="TS_01.mrc",
        size=(8, 6, 4), projections=tomoset.geometry.rotation_y(tilts), **more,
    )  # fmt: skip


@pytest.mark.parametrize("kept", [range(7), [0, 1, 2, 4, 6], [5, 3, 1]])
def test_an_aligned_tomogram_is_told_order_and_doses(kept: Sequence[int]) -> None:
    """Views that an alignment has left out shift nothing; their dose counts."""
    Path("TS_01.mdoc").write_text(text())
    rows = sorted(kept, key=lambda i: TILTS[i])
    nominal = np.array([TILTS[i] for i in rows])
    t, (how,) = told_by(aligned(kept, nominal_tilts=nominal), "TS_01.mdoc")
    assert f"{len(rows)} tilt images of tomogram 'TS_01' matched with TS_01.mdoc" in how
    assert "order by DateTime" in how
    assert t.acquisition is not None
    assert t.acquisition.tolist() == rows
    assert t.pre_exposure is not None
    assert t.pre_exposure.tolist() == [3.0 * i for i in rows]
    assert t.exposure is not None
    assert t.nominal_axis is not None
    assert [stem_of(m) for m in t.movies or ()] == [f"TS_01_{i:03d}_{TILTS[i]:.1f}" for i in rows]
    np.testing.assert_allclose(t.nominal_tilts, nominal + 0.003)


def test_a_stack_without_some_views_is_not_taken_by_its_numbers() -> None:
    """With small steps the angles of a neighbour are near enough."""
    tilts = np.arange(-12.0, 13, 2)
    Path("TS_01.mdoc").write_text(text(*sections(tilts.tolist())))
    t = aligned(range(7))
    t = replace(t.select(range(6)), image_index=None, nominal_tilts=tilts[1:7])
    told, (how,) = told_by(t, "TS_01.mdoc")
    assert "by angle" in how
    assert told.acquisition is not None
    assert told.acquisition.tolist() == [1, 2, 3, 4, 5, 6]


def test_refined_angles_match_where_only_one_map_fits() -> None:
    Path("TS_01.mdoc").write_text(text())
    tilted = tomoset.geometry.rotation_y([tilt + 9.0 for tilt in sorted(TILTS)])
    t, (how,) = told_by(aligned(range(7), nominal_tilts=None), "TS_01.mdoc")
    assert t.acquisition is not None
    assert t.acquisition.tolist() == np.argsort(TILTS).tolist()
    t, (how,) = told_by(replace(aligned(range(7)), projections=tilted), "TS_01.mdoc")
    assert "common offset of +9.00°" in how
    with pytest.raises(AmbiguityError, match="which images were left out is not known"):
        told_by(aligned([0, 1, 2, 3, 4]), "TS_01.mdoc")
    index = np.array([i for i in np.argsort(TILTS) if i != 5])
    t, (how,) = told_by(aligned(index.tolist(), image_index=index), "TS_01.mdoc")
    assert "by number in the stack" in how
    assert t.acquisition is not None
    assert t.acquisition.tolist() == index.tolist()


def test_series_of_imod_are_told_with_views_left_out() -> None:
    """By the numbers of the kept views in the raw stack, where the stack is in mdoc's order."""
    Path("TS_01").mkdir()
    Path("TS_01/TS_01.mrc.mdoc").write_text(text())
    write_stack(Path("TS_01/TS_01.mrc"), 7)
    Path("TS_01/TS_01.tlt").write_text("".join(f"{tilt + 9.02}\n" for tilt in TILTS))
    Path("TS_01/TS_01.xf").write_text("1 0 0 1 0 0\n" * 7)
    Path("TS_01/tilt.com").write_text("$tilt -StandardInput\nEXCLUDELIST 2,5\nTHICKNESS 30\n")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        reading = format_named("imod").read(["TS_01"], pixel_size=2.0, thickness=30, no_cull=True)
        for failure in reading.failures:
            raise failure.error
        (t,) = reading.project.tomograms.values()
        assert t.n_tilts == 5
        told, (how,) = told_by(t, "TS_01/TS_01.mrc.mdoc")
    assert "by number in the stack" in how
    assert "common offset of +9.02°" in how
    assert told.pre_exposure is not None
    assert told.pre_exposure.tolist() == [0, 6, 9, 15, 18]
    assert told.nominal_tilts is not None
    assert told.nominal_tilts.round().tolist() == [0, -10, -20, 30, -30]


def test_images_that_were_taken_out_are_told_too_and_come_back() -> None:
    Path("TS_01.mdoc").write_text(text())
    whole = aligned(range(7), nominal_tilts=np.array(sorted(TILTS)))
    t, _ = told_by(whole.exclude([1, 4], "ice"), "TS_01.mdoc")
    assert t.n_tilts == 5
    back = t.restore()
    assert back.acquisition is not None
    assert back.acquisition.tolist() == np.argsort(TILTS).tolist()


def test_tilts_of_the_opposite_sign_are_known_by_doses_or_told() -> None:
    """As Warp's are; where the range is symmetric angles alone do not show it."""
    Path("TS_01.mdoc").write_text(text())
    order = np.argsort(-np.array(TILTS), kind="stable")
    turned = Tomogram(
        name="TS_01", n_tilts=7, optics=tomoset.Optics(pixel_size=2.0), size=(8, 6, 4),
        projections=tomoset.geometry.rotation_y([-TILTS[i] for i in order]),
        pre_exposure=3.0 * order,
    )  # fmt: skip
    t, (how,) = told_by(turned, "TS_01.mdoc")
    assert "with the opposite sign" in how
    assert t.acquisition is not None
    assert t.acquisition.tolist() == order.tolist()
    with pytest.raises(AmbiguityError, match=r"contradicts the doses .*opposite sign"):
        told_by(turned, "TS_01.mdoc", sign=1)
    t, _ = told_by(replace(turned, pre_exposure=None), "TS_01.mdoc", sign=-1)
    assert t.acquisition is not None
    assert t.acquisition.tolist() == order.tolist()


def test_warps_series_is_told_by_the_names_of_its_movies(shared: Path) -> None:
    """Their names begin otherwise, and its tilts have the opposite sign."""
    folder = shared / "data/oracles/aretomo3_warp_Position_16_3"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        reading = format_named("warp").read([folder / "Position_16_3.tomostar"], pixel_size=1.54)
        (t,) = reading.project.tomograms.values()
        rows = np.argsort(t.pre_exposure)[:14]
        t, (how,) = told_by(t.select(rows), folder / "Position_16_3_head14.mdoc")
    assert "by name" in how
    assert t.acquisition is not None
    assert t.acquisition.tolist() == [*range(14)]


def test_names_match_whatever_the_sign_of_the_tilts() -> None:
    """As of a series whose angles Warp 1 took as they are: the tomogram's are the opposite."""
    tilts = [*TILTS[:5], 45.0, -35.0]
    Path("TS_01.mdoc").write_text(text(*sections(tilts)))
    movies = tuple(f"TS_01_{i:03d}_{tilt:.1f}.tif" for i, tilt in enumerate(tilts))
    turned = replace(
        aligned(range(7)),
        movies=movies,
        projections=tomoset.geometry.rotation_y(np.negative(tilts)),
    )
    _, (how,) = told_by(turned, "TS_01.mdoc")
    assert "by name: angles within 0.00°, with the opposite sign of the tilts" in how


def test_names_that_match_where_angles_do_not_are_said() -> None:
    Path("TS_01.mdoc").write_text(text())
    movies = tuple(f"TS_01_{i:03d}_{tilt:.1f}.tif" for i, tilt in enumerate(TILTS))
    wrong = replace(aligned(range(7)), movies=movies, nominal_tilts=np.arange(-30.0, 31, 10))
    with warned(r"by name: angles within 60.00°: are the angles of one of the two wrong\?"):
        told_by(wrong, "TS_01.mdoc")


def test_nominal_tilts_that_are_those_of_the_alignment_may_have_an_offset() -> None:
    """As of AreTomo 1, which corrects tilts and says no AlphaOffset; of a stage they have none."""
    tilts = [-31.0, -20.0, -10.0, 0.0, 10.0, 20.0, 32.0]
    Path("TS_01.mdoc").write_text(text(*sections(tilts)))
    moved = np.array(tilts) + 4
    nominal = replace(aligned(range(7)), projections=tomoset.geometry.rotation_y(moved),
                      nominal_tilts=moved)  # fmt: skip
    told, (how,) = told_by(replace(nominal, stack=None), "TS_01.mdoc")
    assert "after a common offset of +4.00°" in how
    np.testing.assert_allclose(told.nominal_tilts, np.array(tilts) + 0.003)
    other = replace(nominal, projections=tomoset.geometry.rotation_y(moved - 2), stack=None)
    with pytest.raises(FileFormatError, match=r"do not match, by up to 4.0°"):
        told_by(other, "TS_01.mdoc")


def test_a_folder_tells_by_what_files_hold_where_names_are_others(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The stack that a file names, or the movies whose own files they are."""
    write_stack(Path("TS_01.mrc"), 7, (8, 6))
    Path("TS_01.rawtlt").write_text("".join(f"{tilt}\n" for tilt in sorted(TILTS)))
    Path("a").mkdir()
    Path("a/17.mdoc").write_text(text(*by_tilt(sections())))
    Path("b").mkdir()
    for i, one in enumerate(sections(kind="FrameSet")):
        one = re.sub(r"= \d+\]", "= 0]", one, count=1)
        Path(f"b/TS_01_{i:03d}.tif.mdoc").write_text(text(one, head=""))
    for folder in ("a", "b"):
        target = f"{folder}.star"
        code, out, errors = run_command(
            capsys, "import", "images", "TS_01.mrc", "-o", target, "--mdoc", folder
        )
        assert code == 0, errors
        assert "7 tilt images of tomogram 'TS_01' matched" in out
        assert "no column of dose" not in out
        (t,) = tomoset.read(target).values()
        assert t.pre_exposure is not None
        assert t.pre_exposure.tolist() == [3.0 * i for i in np.argsort(TILTS)]


def test_other_doses_are_said() -> None:
    Path("TS_01.mdoc").write_text(text())
    nominal = np.array(sorted(TILTS))
    doses = 2.0 * np.argsort(TILTS)
    with warned("up to 12 e/Å², become those of TS_01.mdoc, up to 18"):
        t, _ = told_by(aligned(range(7), nominal_tilts=nominal, pre_exposure=doses), "TS_01.mdoc")
    with warned("2 e/Å² .`fractional_dose`., though ExposureDose is 3"):
        t, _ = told_by(t, "TS_01.mdoc", fractional_dose=2.0)
    assert t.pre_exposure is not None
    assert t.pre_exposure.tolist() == doses.tolist()


def test_a_folder_of_several_series_tells_nothing() -> None:
    Path("TS_01.mdoc").write_text(text())
    Path("TS_02.mdoc").write_text(text())
    with pytest.raises(FileFormatError, match="of one series, found those of TS_01, TS_02"):
        told_by(aligned(range(7)), ".")


# what may come


def mutated(count: int) -> tuple[int, list[str]]:
    """Files changed at random: read, or refused by name."""
    chance = random.Random(count)
    whole = text().encode()
    write_stack(Path("TS_01.mrc"), 7, (8, 6))
    words = [b"nan", b"inf", b"1e308", b"-1e308", b"", b"\0", b"=", b"[", b"]", b"-", b"99999999999",
             b"1,5", b"\xff", b"[ZValue = 3]", b"[MontSection = 0]", b"\r\n"]  # fmt: skip
    good, said = 0, list[str]()
    for _ in range(count):
        data = whole
        for _ in range(chance.choice([1, 1, 2, 5])):
            spots = [m.span() for m in re.finditer(rb"\S+", data)] or [(0, 0)]
            start, end = chance.choice(spots)
            kind = chance.randrange(5)
            if kind == 0:
                data = data[:start] + chance.choice(words) + data[end:]
            elif kind == 1 and chance.random() < 0.3:
                data = data[:start]
            elif kind == 2:
                data = data[:start] + data[end:]
            elif kind == 3:
                data = data[:end] + bytes([chance.randrange(256)]) + data[end:]
            else:
                data = data[:start] + data[chance.choice(spots)[0] :]
        Path("TS_01.mdoc").write_bytes(data)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                warnings.simplefilter("ignore", tomoset.errors.TomosetWarning)
                reading = MDOC.read(["TS_01.mdoc"], fractional_dose=chance.choice([None, 3.0]))
                for failure in reading.failures:
                    raise failure.error
        except (TomosetError, OSError) as problem:
            said.append(str(problem))
        else:
            good += 1
            (t,) = reading.project.tomograms.values()
            assert t.n_tilts
            assert t.nominal_tilts is not None
            assert np.isfinite(t.nominal_tilts).all()
            assert t.pre_exposure is None or np.isfinite(t.pre_exposure).all()
    return good, said


def test_300_mutations_are_read_or_refused_by_name() -> None:
    good, said = mutated(300)
    assert 0.05 < good / 300 < 0.95
    assert all("TS_01" in message for message in said), [m for m in said if "TS_01" not in m]


@pytest.mark.slow
def test_5000_mutations_are_read_or_refused_by_name() -> None:
    _, said = mutated(5000)
    assert all("TS_01" in message for message in said)


def test_a_hundred_series_come_in_fast_and_the_cost_is_linear() -> None:
    """With an image for each tilt, and for its halves, all in one folder."""
    for k in range(100):
        made = sections(name=f"TS_{k:03d}" + "_{i:03d}_{tilt:.1f}.tif", tilts=range(-60, 61, 3))
        Path(f"TS_{k:03d}.mdoc").write_text(text(*made, head=""))
    Path("i").mkdir()
    write_stack(Path("one.mrc"), 1, (8, 6))
    data = Path("one.mrc").read_bytes()
    for k, half in itertools.product(range(100), ("", "_EVN", "_ODD")):
        for i, tilt in enumerate(range(-60, 61, 3)):
            Path(f"i/TS_{k:03d}_{i:03d}_{tilt:.1f}{half}.mrc").write_bytes(data)

    def took(n: int) -> float:
        start = time.process_time()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            reading = MDOC.read([f"TS_{k:03d}.mdoc" for k in range(n)], images="i")
        assert not reading.failures
        assert len(reading.project.tomograms) == n
        return time.process_time() - start

    took(1)
    few, many = took(20), took(100)
    assert many < 6  # 1.5 s, and room for a slow machine
    assert many < 10 * few


def test_endings_are_those_of_images() -> None:
    assert {".mrc", ".st", ".tif"} <= set(IMAGE_ENDINGS)


# What other imports are told: --mdoc.


def test_warps_series_are_told(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_series(Path("xml/TS_01.xml"), series_xml({"Dose": ()}))
    write_warp_images("xml/tiltstack/TS_01/TS_01.st", 5)
    stage = [0.0, 20.0, -20.0, -40.0, 40.0]
    Path("mdocs").mkdir()
    Path("mdocs/ts_1.mrc.mdoc").write_text(text(*sections(stage)))
    code, out, errors = run_command(
        capsys,
        "import",
        "warp",
        "xml/TS_01.xml",
        "-o",
        "s.star",
        "--mdoc",
        "mdocs",
        "--to",
        "relion5",
    )
    assert code == 0, errors
    assert "TS_01: ts_1.mrc.mdoc: " in out
    t = tomoset.read("s.star")["TS_01"]
    assert t.nominal_tilts is not None
    np.testing.assert_allclose(t.nominal_tilts, [-40, -20, 0, 20, 40], atol=0.01)
    assert t.need_pre_exposure().tolist() == [9, 6, 0, 3, 12]


def test_one_series_without_its_mdoc_is_said_and_one_that_does_not_fit_fails(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("TS_01", "TS_02", "TS_03"):
        write_stack(Path(f"{name}.mrc"), 7, (8, 8), 2.0)
    Path("mdocs").mkdir()
    Path("mdocs/TS_01.mdoc").write_text(text())
    Path("mdocs/TS_03.mdoc").write_text(text(*sections([0.0, 1.0])))
    images = ("import", "images", "TS_01.mrc", "TS_02.mrc", "TS_03.mrc", "--angles", "-30:30:10")
    code, _, errors = run_command(capsys, *images, "-o", "s.star", "--mdoc", "mdocs")
    assert code == 1
    assert "there is no .mdoc of TS_02" in errors
    assert "error: TS_03: " in errors
    made = tomoset.read("s.star")
    assert list(made) == ["TS_01", "TS_02"]
    assert made["TS_01"].need_pre_exposure().tolist() == [18, 9, 6, 0, 3, 12, 15]
    code, _, errors = run_command(capsys, *images, "-o", "t.star", "--mdoc", "nowhere")
    assert code == 1
    assert not Path("t.star").exists()


def test_imods_series_without_a_view_are_told_by_their_nominal_angles(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Refined angles of views at even steps would fit other sections too, after a common offset."""
    monkeypatch.chdir(tmp_path)
    refined = "".join(f"{t + 1.2}\n" for t in IMOD_TILTS)
    make_folder(
        Path("TS"),
        tilt=TILT_COM + "EXCLUDELIST 1\n",
        tlt=refined,
        rawtlt="".join(f"{t}\n" for t in IMOD_TILTS),
        order=None,
    )
    Path("TS.mdoc").write_text(text(*sections([0.0, 20.0, -20.0, -40.0, 40.0])))
    code, _, errors = run_command(
        capsys, "import", "imod", "TS", "-o", "s.star", "--angpix", "2", "--mdoc", "TS.mdoc"
    )
    assert code == 0, errors
    t = tomoset.read("s.star")["TS"]
    assert t.need_pre_exposure().tolist() == [6, 0, 3, 12]
