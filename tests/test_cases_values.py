"""Values that files say: each is possible and known, or an error that names its place."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import fields, replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import tomoset
from tests.builders.command import run
from tests.builders.image_stacks import write_images
from tests.builders.imod_folder import NEWST_COM, TILT_COM, ctffind, make_folder, transforms
from tests.builders.tomograms import rigid_tomogram
from tomoset import star
from tomoset.check import check
from tomoset.check.summary import summarise
from tomoset.errors import (
    AssumptionWarning,
    FileFormatError,
    ImpossibleValueError,
    LossyWarning,
    ModelError,
    TomosetError,
)
from tomoset.images.volume import VolumeSpec, VolumeWriter
from tomoset.model import Optics, ParticleSet, Project, Tomogram, TomogramSet
from tomoset.model._tomogram_fields import PER_TILT
from tomoset.model.quantities import OF_OPTICS, OF_TOMOGRAM, QUANTITIES
from tomoset.paths import file_names

quick = settings(
    max_examples=60,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)

#: What a cell may hold instead of its number.
ODD = ["nan", "-nan", "inf", "-inf", "1e400", "-1e400", "1e308", "-999", "-999.000000", "0", "-1",
       "1e20", "1_0", "0x10", "1,5", "word", "", "''", "\u0663", "[1,2,3,4]", "[]", "empty", "1e-320",
       "99999999999999999999"]  # fmt: skip


def made(**changes: object) -> Tomogram:
    """Three tilt images with all that a set can say of each."""
    t = rigid_tomogram()
    n = t.n_tilts
    return replace(
        t,
        defocus_u=np.linspace(20000, 21000, n),
        defocus_v=np.linspace(19000, 20000, n),
        defocus_angle=np.linspace(10, 20, n),
        phase_shift=np.full(n, 30.0),
        ctf_scale=np.full(n, 0.9),
        b_factor=np.full(n, 4.0),
        pre_exposure=3.0 * np.arange(n),
        exposure=np.full(n, 3.0),
        nominal_tilts=np.linspace(-60, 60, n),
        acquisition=np.arange(n),
        fractional_dose=3.0,
        defocus_slope=0.9,
        hand_log_odds=7.0,
        deviations={"tilt": np.full(n, 0.1)},
        **changes,
    )


@cache
def texts(dialect: str) -> Mapping[str, bytes]:
    """The files of a set in a dialect, by path; `inline`: RELION 5's tables in one file."""
    here = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            t = made()
            TomogramSet([t]).write("set.star", "relion4" if dialect == "relion4" else "relion5")
            files = {str(p): p.read_bytes() for p in Path().rglob("*.star")}
        finally:
            os.chdir(here)
    if dialect == "inline":
        head = star.loads(files["set.star"])
        columns = {k: v for k, v in head.first.columns.items() if k != "rlnTomoTiltSeriesStarFile"}
        (series,) = (text for path, text in files.items() if path != "set.star")
        both = star.StarFile((replace(head.first, columns=columns), *star.loads(series)))
        return {"set.star": star.dumps(both)}
    return files


#: File, block, label and row.
Cell = tuple[str, int, str, int]


def cells(files: Mapping[str, bytes]) -> Iterator[Cell]:
    for path, text in files.items():
        for block, table in enumerate(star.loads(text)):
            for label, column in table.columns.items():
                for row in range(len(column)):
                    yield path, block, label, row


def put(files: Mapping[str, bytes], cell: Cell, value: str, *more: tuple[Cell, str]) -> None:
    """Write the files with another value in one cell, or in more."""
    if "set.star" in files:
        shutil.rmtree("tilt_series", ignore_errors=True)
    for name, text in files.items():
        file = star.loads(text)
        for (path, block, label, row), other in ((cell, value), *more):
            if name == path:
                column = list(file.tables[block][label])
                column[row] = other
                tables = list(file.tables)
                tables[block] = tables[block].with_columns({label: column})
                file = replace(file, tables=tuple(tables))
        Path(name).parent.mkdir(exist_ok=True)
        star.write(file, name)


def columns_of(path: str) -> dict[tuple[str, str], list[str]]:
    """All texts of a set, by table and label, wherever its tables are."""
    found = {}
    for file in (path, *map(str, Path("tilt_series").rglob("*.star"))):
        for table in star.read(file):
            found |= {(table.name, label): list(column) for label, column in table.columns.items()}
    found.pop(("global", "rlnTomoTiltSeriesStarFile"), None)
    return found


def after(files: Mapping[str, bytes], *odd: tuple[Cell, str]) -> None:
    """What becomes of files with such cells: an error that names the file, or all is as it was."""
    (first, value), *more = odd
    put(files, first, value, *more)
    before = columns_of("set.star")
    try:
        tomograms = tomoset.read("set.star")
    except TomosetError as refused:
        problem = refused
    else:
        problem = None
    if problem is not None:
        assert ".star" in str(problem), problem
        return
    json.dumps([summarise(t) for t in tomograms.values()], allow_nan=False)
    check(tomograms)
    for t in tomograms.values():
        for field in (*PER_TILT, *OF_OPTICS, "fractional_dose"):
            found = getattr(t, field) if hasattr(t, field) else getattr(t.optics, field)
            assert not np.isinf(0.0 if found is None else found).any()
    try:
        tomograms.write("set.star")
    except TomosetError:
        return
    assert columns_of("set.star") == before, odd


@pytest.mark.filterwarnings("ignore::tomoset.TomosetWarning")
@pytest.mark.parametrize("dialect", ["relion4", "relion5", "inline"])
@quick
@given(data=st.data())
def test_any_cell_of_a_set_is_an_error_with_its_file_or_comes_back(
    dialect: str, tmp_path: Path, data: st.DataObject
) -> None:
    files = texts(dialect)
    cell = st.tuples(st.sampled_from(sorted(cells(files))), st.sampled_from(ODD))
    with contextlib.chdir(tmp_path):
        after(files, *data.draw(st.lists(cell, min_size=1, max_size=3)))


@pytest.mark.filterwarnings("ignore::tomoset.TomosetWarning")
@pytest.mark.parametrize("dialect", ["relion4", "relion5", "inline"])
@quick
@given(data=st.data())
def test_any_column_misspelt_or_gone_is_an_error_or_all_else_comes_back(
    dialect: str, tmp_path: Path, data: st.DataObject
) -> None:
    files = texts(dialect)
    path, block, label, _ = data.draw(st.sampled_from(sorted(cells(files))))
    other = data.draw(st.sampled_from([None, label[:-1], label.lower(), f"{label}X"]))
    with contextlib.chdir(tmp_path):
        renamed(files, path, block, label, other)


def renamed(
    files: Mapping[str, bytes], path: str, block: int, label: str, other: str | None
) -> None:
    """What becomes of files with a column of another name, or without it."""
    put(files, (path, block, label, 0), star.loads(files[path]).tables[block][label][0])
    file = star.read(path)
    columns = {
        (name if name != label else other): column
        for name, column in file.tables[block].columns.items()
    }
    known = {name: column for name, column in columns.items() if name is not None}
    tables = list(file.tables)
    tables[block] = replace(tables[block], columns=known)
    star.write(replace(file, tables=tuple(tables)), path)
    before = columns_of("set.star")
    try:
        tomoset.read("set.star").write("set.star")
    except TomosetError:
        return
    now = columns_of("set.star")
    assert {key: now.get(key) for key in before} == before


def line_of(path: str, text: str) -> int:
    return Path(path).read_text().splitlines().index(text) + 1


def with_value(dialect: str, label: str, value: str) -> tuple[str, str]:
    """A set with that value in its first row: the file that says it, and the line's place."""
    files = texts(dialect)
    cell = next(c for c in cells(files) if c[2] == label and c[3] == 0)
    put(files, cell, value)
    path, block, _, _ = cell
    return path, f"{path}:{star.read(path).tables[block].line_of(0)}: "


#: Labels, and values that nothing can have.
IMPOSSIBLE = [
    ("rlnVoltage", "3"), ("rlnVoltage", "300000"), ("rlnVoltage", "0"), ("rlnVoltage", "-300"),
    ("rlnVoltage", "inf"), ("rlnSphericalAberration", "-2.7"), ("rlnSphericalAberration", "1e9"),
    ("rlnSphericalAberration", "2.7e7"), ("rlnAmplitudeContrast", "10"),
    ("rlnAmplitudeContrast", "-0.1"), ("rlnTomoTiltSeriesPixelSize", "0"),
    ("rlnTomoTiltSeriesPixelSize", "1e9"), ("rlnTomoImportFractionalDose", "-5"),
    ("rlnTomoImportFractionalDose", "1e9"), ("rlnMicrographPreExposure", "1e9"),
    ("rlnMicrographPreExposure", "-3"), ("rlnMicrographPreExposure", "inf"),
    ("rlnDefocusU", "1e9"), ("rlnDefocusV", "-inf"), ("rlnDefocusAngle", "inf"),
    ("rlnDefocusAngle", "1e20"), ("rlnPhaseShift", "1e5"), ("rlnCtfScalefactor", "-1"),
    ("rlnCtfBfactor", "1e30"), ("rlnTomoNominalStageTiltAngle", "1e20"), ("rlnTomoSizeX", "0"),
    ("rlnTomoSizeY", "-5"), ("rlnTomoSizeZ", "1e12"), ("rlnTomoHand", "0"),
    ("rlnTomoDefocusSlope", "1e9"), ("tomosetAcquisition", "0"),
    ("tomosetAcquisition", "99999999999"),
]  # fmt: skip
OF_RELION_5 = [
    ("rlnTomoYTilt", "inf"), ("rlnTomoYTilt", "1e20"), ("rlnTomoXTilt", "-999"),
    ("rlnTomoZRot", "nan"), ("rlnTomoXShiftAngst", "1e20"), ("rlnTomoYShiftAngst", "-999"),
    ("rlnMicrographName", "000000@a.mrc"), ("rlnMicrographName", "-1@a.mrc"),
    ("rlnMicrographName", "x@a.mrc"), ("rlnMicrographName", "99999999999999999999@a.mrc"),
]  # fmt: skip
OF_RELION_4 = [
    ("rlnTomoProjX", "[0,0,0,5]"), ("rlnTomoProjY", "[1e300,0,0,5]"),
    ("rlnTomoProjZ", "[nan,0,0,5]"), ("rlnTomoProjW", "[0,0,0,0]"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("dialect", "label", "value"),
    [(d, *each) for d in ("relion4", "relion5", "inline") for each in IMPOSSIBLE]
    + [(d, *each) for d in ("relion5", "inline") for each in OF_RELION_5]
    + [("relion4", *each) for each in OF_RELION_4],
)
def test_an_impossible_value_is_an_error_with_file_line_and_what_is_expected(
    dialect: str, label: str, value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    _, place = with_value(dialect, label, value)
    with pytest.raises(TomosetError) as refused:
        tomoset.read("set.star")
    said = str(refused.value)
    assert place in said
    if label.startswith(("rlnTomoSize", "rlnTomoProj")):
        return  # of three or four columns together
    assert label in said
    assert "expected" in said
    assert "found" in said


#: Labels, and values that are possible, but not usual.
UNUSUAL = [
    ("rlnVoltage", "30"), ("rlnSphericalAberration", "8"), ("rlnAmplitudeContrast", "0.9"),
    ("rlnTomoTiltSeriesPixelSize", "200"), ("rlnTomoImportFractionalDose", "500"),
    ("rlnMicrographPreExposure", "3000"), ("rlnDefocusU", "2.9"), ("rlnDefocusU", "-30000"),
    ("rlnDefocusV", "500000"), ("rlnDefocusAngle", "700"), ("rlnPhaseShift", "300"),
    ("rlnCtfScalefactor", "0"), ("rlnCtfBfactor", "1e5"),
]  # fmt: skip


@pytest.mark.parametrize("dialect", ["relion4", "relion5"])
@pytest.mark.parametrize(("label", "value"), UNUSUAL)
def test_an_unusual_value_is_a_finding_and_said_before_something_is_made_of_it(
    dialect: str,
    label: str,
    value: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    with_value(dialect, label, value)
    (found,) = (p for p in check(tomoset.read("set.star")) if p.code in ("V01", "C02"))
    assert label in found.message
    assert f"{float(value):g}" in found.message
    other = "relion5" if dialect == "relion4" else "relion4"
    code, _, err = run(capsys, "convert", "set.star", "out/set.star", "--to", other, "--strict")
    assert code == 1
    assert "usual is from" in err
    assert not Path("out/set.star").exists()


def test_what_is_made_in_python_is_asked_the_same() -> None:
    for field, value in (("voltage", 3.0), ("spherical_aberration", np.inf), ("pixel_size", -1.0)):
        with pytest.raises(ImpossibleValueError, match="expected"):
            replace(Optics(pixel_size=2.0), **{field: value})
    for field in PER_TILT:
        with pytest.raises(ImpossibleValueError, match=r"tilt image 3: .*expected") as refused:
            replace(made(), **{field: np.where(np.arange(5) == 2, np.inf, 1.0)})
        assert (refused.value.field, refused.value.row) == (field, 2)
    singular = np.array(made().projections)
    singular[1, 0] = 0
    with pytest.raises(ModelError, match="tilt image 2: the projection matrix"):
        replace(made(), projections=singular)


def test_every_number_of_the_model_has_a_range() -> None:
    numbers = {*PER_TILT, *OF_OPTICS, *OF_TOMOGRAM, "fractional_dose", "defocus_slope", "size"}
    assert numbers <= set(QUANTITIES)
    texts = {"group", "name", "hand", "stack", "images", "half_images", "movies", "fiducials"}
    texts |= {"unfinished"}
    parts = {"alignment", "deformation", "reconstruction", "ice", "exclusions", "source", "optics"}
    for model in (Optics, Tomogram):
        assert {f.name for f in fields(model)} <= {*QUANTITIES, *texts, *parts}
    for name, quantity in QUANTITIES.items():
        (low, high), (least, most) = quantity.possible, quantity.usual
        assert low <= least < most <= high, name


@pytest.mark.parametrize("dialect", ["relion4", "relion5"])
@pytest.mark.parametrize("label", ["rlnDefocusU", "rlnMicrographPreExposure", "rlnPhaseShift"])
@pytest.mark.parametrize("value", ["-999", "-999.000000", "nan"])
def test_what_is_not_known_of_a_tilt_image_is_no_value(
    dialect: str, label: str, value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with_value(dialect, label, value)
    tomograms = tomoset.read("set.star")
    (t,) = tomograms.values()
    field = {"rlnDefocusU": "defocus_u", "rlnPhaseShift": "phase_shift"}.get(label, "pre_exposure")
    assert np.isnan(getattr(t, field)).tolist() == [True, False, False, False, False]
    assert "V02" in {p.code for p in check(tomograms)}
    if field == "pre_exposure":
        with pytest.raises(ModelError, match="not known"):
            _ = replace(t, acquisition=None).acquisition_order
    else:
        with pytest.raises(ModelError, match=r"tilt image 1: .* is not known"):
            t.ctf(0)
        assert t.ctf(1).voltage == 300.0


@pytest.mark.parametrize("known", [0, 1, 5])
def test_check_looks_at_what_is_known(known: int) -> None:
    values = np.where(np.arange(5) < known, 4.0 + np.arange(5), np.nan)
    defocus = values * 5000
    t = replace(made(), pre_exposure=values, defocus_u=defocus, defocus_v=defocus)
    found = {p.code: p.message for p in check(TomogramSet([t]))}
    assert ("V02" in found) == (known < 5)
    assert ("D04" in found) == (known > 0)
    assert not any("nan" in message for message in found.values())
    twice = replace(made(), pre_exposure=np.array([0, 0, np.nan, np.nan, 3]))
    (same,) = (p.message for p in check(TomogramSet([twice])) if p.code == "D03")
    assert same == "tilt images 1, 2 share doses (0 e/Å²)"


@pytest.mark.parametrize("label", ["rlnVoltage", "rlnSphericalAberration", "rlnAmplitudeContrast"])
def test_optics_that_are_not_known_are_none(
    label: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with_value("relion4", label, "-999")
    code, out, _ = run(capsys, "info", "--json", "set.star")
    assert code == 0
    assert None in json.loads(out)["tomograms"][0].values()
    (t,) = tomoset.read("set.star").values()
    with pytest.raises(ModelError, match="is not known"):
        t.ctf(0)


# ---- numbers that no arithmetic stands, names that no terminal or file system does ---------------


#: Lines of IMOD's files, by what `make_folder` calls them.
OF_IMOD = [
    ("newst", "BinByFactor {}"), ("newst", "SizeToOutputInXandY {},40"), ("tilt", "THICKNESS {}"),
    ("tilt", "FULLIMAGE {} 64"), ("tilt", "SHIFT {} 0"), ("tilt", "OFFSET {}"),
    ("tilt", "XAXISTILT {}"), ("tlt", "{}"), ("xf", "{} 0 0 1 0 0"), ("xf", "1 0 0 1 {} 0"),
    ("ctf", "1 {} 19000 30 0 0.1 8"), ("ctf", "1 20000 19000 30 {} 0.1 8"),
]  # fmt: skip


@pytest.mark.filterwarnings("ignore::tomoset.TomosetWarning")
@pytest.mark.parametrize("value", ["1e308", "-1e308", "1e400", "nan", "1e20", "1e9"])
@pytest.mark.parametrize(("kind", "line"), OF_IMOD)
def test_numbers_of_imod_are_within_reason(
    here: Path, kind: str, line: str, value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    text, usual = line.format(value), {"newst": NEWST_COM, "tilt": TILT_COM}
    if kind in usual:
        whole = usual[kind] + text + "\n"
    else:
        own = {"tlt": "0\n" * 5, "xf": transforms(5), "ctf": ctffind(5)}[kind].splitlines()
        first = 2 if kind == "ctf" else 0
        whole = "\n".join([*own[:first], text, *own[first + 1 :]]) + "\n"
    make_folder(here / "s", **{kind: whole})
    code, _, err = run(capsys, "import", "imod", "s", "-o", "o.star", "--angpix", "2", "--fd", "3")
    assert "mistake in tomoset" not in err
    assert "RuntimeWarning" not in err
    if code == 0:
        (t,) = tomoset.read("o.star").values()
        assert np.abs(t.need_projections()).max() < 1e8
        json.dumps(summarise(t), allow_nan=False)


def with_pixels(path: Path, value: float, number: int, noise: float) -> None:
    """Tilt images of noise, of which the third has so many pixels of a value."""
    images = np.random.default_rng(1).normal(0, noise, (5, 47, 65)).astype(np.float32)
    write_images(path, images)
    with path.open("r+b") as file:
        file.seek(1024 + 4 * ((2 * 47 + 3) * 65 + 4))
        file.write(np.full(number, value, np.float32).tobytes())


@pytest.mark.parametrize(
    ("value", "number", "noise"),
    [(np.inf, 1, 1.0), (np.nan, 1, 1.0), (1e30, 1500, 1.0), (-1e16, 1500, 1.0), (1e30, 1, 0.0)],
)
def test_pixels_that_cannot_be_summed_are_refused(
    here: Path, value: float, number: int, noise: float
) -> None:
    with_pixels(here / "a.mrc", value, number, noise)
    refused = pytest.raises(FileFormatError, match=rf"a.mrc: image 3: {number} of 3055 pixels")
    with made().open_images() as series, refused:
        series.read(2)


@pytest.mark.parametrize("value", [1e30, -1e30, 1e16, 3e38])
def test_a_few_such_pixels_are_defects_and_limited(here: Path, value: float) -> None:
    with_pixels(here / "a.mrc", value, 2, 1.0)
    with made().open_images() as series:
        assert np.abs(series.read(2)).max() < 5
        assert series.remarks()[0].startswith("2 pixels of outlier values")


def test_a_volume_that_float16_cannot_say_is_refused(here: Path) -> None:
    spec = VolumeSpec(size=(4, 3, 2), pixel_size=10.0, dtype="float16")
    with (
        pytest.raises(ModelError, match="store them as float32"),
        VolumeWriter("v.mrc", spec) as out,
    ):
        out.write(np.full((2, 3, 4), 1e-9, np.float32))
    assert not Path("v.mrc").exists()
    for fine in (0.0, 1e-3):
        with VolumeWriter("v.mrc", spec) as out:
            out.write(np.full((2, 3, 4), fine, np.float32))


def test_control_characters_are_shown(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name, odd = "T\x1b[2J\x07\x9b", "s\x1b[31m\r.star"
    TomogramSet([replace(made(), name=name)]).write(odd)
    linked, folder, tomograms = "l\x1b[1m.star", "f\x1b[0m", "t\x1b[31m.star"
    TomogramSet([replace(made(), name=name)]).write(tomograms)
    names = {"rlnTomoTomogramsFile": [tomograms], "rlnTomoParticlesFile": ["p\x1b.star"]}
    star.write([star.Table("", names)], linked)
    make_folder(here / folder / "s\x07")
    for command in (["info"], ["check"], ["reconstruct", "--o", "R", "--bin", "x"]):
        run(capsys, *command, odd)
    commands = (
        ["info", odd], ["check", odd], ["convert", odd, "o5", "--to", "relion5"],
        ["reconstruct", odd, "--o", "R", "--bin", "4"], ["info", "n\x1b[0m"], ["\x1b[0m"],
        ["info", linked], ["check", "--notes", linked], ["import", "imod", folder, "no\x1b[0m"],
        ["align", "particles", "--i", linked, "--b", "8", "--o", "A"],
    )  # fmt: skip
    for command in commands:
        _, out, err = run(capsys, *command)
        assert (out + err).replace("\n", "").isprintable(), command
    _, out, _ = run(capsys, "info", odd)
    assert r"T\x1b[2J\x07\x9b" in out


def test_a_long_name_is_cut_in_names_of_files(here: Path) -> None:
    long = ["n" * 300, "n" * 299 + "m", "é" * 200, "short"]
    stacks = [f"{i}.mrc" for i in range(len(long))]
    tomograms = TomogramSet(
        [replace(made(), name=name, stack=stack) for name, stack in zip(long, stacks, strict=True)]
    )
    for dialect in ("relion4", "relion5"):
        tomograms.write(f"{dialect}.star", dialect)
        assert list(tomoset.read(f"{dialect}.star")) == long
    names = file_names(long)
    assert len(set(names.values())) == 4
    assert names["short"] == "short"
    for stack in stacks:
        write_images(stack, np.random.default_rng(1).normal(size=(5, 47, 65)).astype(np.float32))
    done = tomoset.reconstruct(tomoset.read("relion4.star"), "R", binning=8, quiet=True)
    assert not done.report.failed
    assert set(done.results) == set(long)


def test_a_path_that_no_file_system_has_is_an_error_of_ours(here: Path) -> None:
    TomogramSet([replace(made(), stack="x" * 300 + ".mrc")]).write("set.star")
    (t,) = tomoset.read("set.star").values()
    with pytest.raises(TomosetError, match="are not there"):
        t.open_images()
    for path in ("y" * 300, "y\0"):
        with pytest.raises(TomosetError):
            tomoset.read(path)


# ---- nothing from nothing ------------------------------------------------------------------------


@pytest.mark.parametrize("json_too", [[], ["--json"]])
def test_an_import_table_without_rows_is_an_error(
    here: Path, json_too: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    Path("t.star").write_text(
        "data_\n\nloop_\n_rlnTomoTiltSeriesName #1\n_rlnTomoImportImodDir #2\n"
    )
    code, out, err = run(capsys, "import", "imod", "--i", "t.star", "-o", "o.star", *json_too)
    assert (code, out) == (1, "")
    assert "t.star" in err
    assert "expected a row for each tilt series" in err


@pytest.mark.parametrize("dialect", ["relion4", "relion5"])
def test_a_set_cut_after_its_labels_is_an_error(here: Path, dialect: str) -> None:
    for name, text in texts(dialect).items():
        Path(name).parent.mkdir(exist_ok=True)
        whole = text.decode()
        Path(name).write_text(whole[: whole.index("     TS_01")] if name == "set.star" else whole)
    with pytest.raises(FileFormatError, match="expected a row for each tomogram, found none"):
        tomoset.read("set.star")


# ---- rows that a program takes for others --------------------------------------------------------


def test_selected_rows_are_images_of_their_own_or_said_not_to_be(here: Path) -> None:
    images = np.random.default_rng(1).normal(size=(5, 47, 65)).astype(np.float32)
    write_images("a.mrc", images)
    some = made().select([4, 0, 2])
    TomogramSet([some]).write("r5.star", "relion5")
    with pytest.warns(LossyWarning, match="'TS_01': .*takes row i for image i.*tomoset convert"):
        TomogramSet([some]).write("r4.star", "relion4")
    again = tomoset.read("r4.star")
    again.write("same.star")  # as the file said, and `check` says
    assert "R02" in {p.code for p in check(again)}
    assert "R02" not in {p.code for p in check(tomoset.read("r5.star"))}
    for i, source in enumerate(("r4.star", "r5.star")):
        tomoset.convert(source, f"o{i}", to="relion4")
        converted = tomoset.read(f"o{i}/tomograms.star")
        assert "R02" not in {p.code for p in check(converted)}
        with converted["TS_01"].open_images() as series:
            found = np.array([series.read(row) for row in range(3)])
        np.testing.assert_array_equal(found, images[[4, 0, 2]])


# ---- what refers to tomograms ----------------------------------------------------------------------


@pytest.fixture
def linked(here: Path) -> Path:
    """A project of two tomograms with particles, as files in the folder."""
    tomograms = TomogramSet([made(), replace(made(), name="TS_02")], format="relion5")
    particles = ParticleSet(
        tomogram_names=["TS_01", "TS_02", "TS_02"],
        coordinates=np.ones((3, 3)),
        pixel_sizes=[2.0] * 3,
    )
    Project(tomograms=tomograms, particles=particles).write(".", "relion5")
    return here


def without(name: str) -> None:
    """Take a tomogram out of the set, as users do."""
    path = Path("tomograms.star")
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(line for line in lines if line.split()[:1] != [name]))


def test_particles_of_a_tomogram_that_is_gone_are_left_out(
    linked: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    without("TS_02")
    arguments = ("convert", "optimisation_set.star", "o4", "--to", "relion4")
    code, _, err = run(capsys, *arguments, "--strict")
    assert (code, "2 of 3 particles are left out" in err) == (1, True)
    assert not Path("o4").exists()
    code, _, err = run(capsys, *arguments)
    assert (code, "2 of 3 particles are left out" in err) == (0, True)
    assert "'TS_02'" in err
    written = tomoset.open_project("o4").particles
    assert written is not None
    assert written.tomogram_names.tolist() == ["TS_01"]


def test_particles_of_no_tomogram_are_an_error(
    linked: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("particles.star").write_text(Path("particles.star").read_text().replace("TS_0", "moon"))
    code, _, err = run(capsys, "convert", "optimisation_set.star", "o4", "--to", "relion4")
    assert code == 1
    assert "particles.star:" in err
    assert "(3 particles)" in err


@pytest.mark.parametrize("label", ["rlnTomoParticleFile", "rlntomoparticlesfile", "rlnMyParticles"])
def test_a_link_by_a_label_that_nobody_knows_is_said(
    linked: Path, label: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = Path("optimisation_set.star")
    path.write_text(path.read_text().replace("rlnTomoParticlesFile", label))
    code, _, err = run(capsys, "convert", str(path), "o4", "--to", "relion4")
    assert code == 0
    assert f"no label of an optimisation set is {label}" in err
    assert "rlnTomoParticlesFile" in err
    assert "particles.star" in err


@pytest.mark.parametrize("value", ["nan", "inf", "1e20", "word"])
@pytest.mark.parametrize("label", ["rlnCenteredCoordinateXAngst", "rlnVoltage", "rlnOpticsGroup"])
def test_impossible_values_of_particles_are_errors_with_their_line(
    linked: Path, label: str, value: str
) -> None:
    file = star.read("particles.star")
    tables = []
    for table in file:
        if label in table and not (label == "rlnOpticsGroup" and table.name == "optics"):
            table = table.with_columns({label: [value, *list(table[label])[1:]]})
            line = table.line_of(0)
        tables.append(table)
    star.write(replace(file, tables=tuple(tables)), "particles.star")
    if (label, value) == ("rlnVoltage", "nan"):  # not known: the tomograms' is taken
        assert tomoset.open_project("optimisation_set.star").particles is not None
        return
    with pytest.raises(TomosetError) as refused:
        tomoset.open_project("optimisation_set.star")
    assert f"particles.star:{line}: " in str(refused.value)
    assert label in str(refused.value)


@pytest.mark.filterwarnings("ignore::tomoset.TomosetWarning")
@quick
@given(data=st.data())
def test_any_cell_of_particles_is_an_error_with_its_file_or_comes_back(
    linked: Path, data: st.DataObject
) -> None:
    files = {"particles.star": particles_text()}
    cell = data.draw(st.sampled_from(sorted(cells(files))))
    put(files, cell, data.draw(st.sampled_from(ODD)))
    before = star.read("particles.star")
    problem = None
    try:
        tomograms = tomoset.read("tomograms.star")
        particles = tomoset.read_particles("particles.star", tomograms)
    except TomosetError as refused:
        problem = refused
    if problem is not None:
        assert "particles.star" in str(problem)
        return
    assert np.isfinite(particles.positions).all()
    particles.write("out.star", tomograms)
    if len(particles) == len(before["particles"]):
        after = star.read("out.star")
        for table in before:
            assert {k: list(v) for k, v in after[table.name].columns.items()} == {
                k: list(v) for k, v in table.columns.items()
            }


@cache
def particles_text() -> bytes:
    """The file of `linked`."""
    return Path("particles.star").read_bytes()


def test_an_orientation_that_is_not_known_is_none(linked: Path) -> None:
    (angles, places) = ([[1.0, 2, 3], [np.nan, 0, 0], [0, 0, 0]], np.ones((3, 3)))
    p = ParticleSet(tomogram_names=["TS_01"] * 3, coordinates=places, angles=angles)
    assert p.select([0, 2]).orientations.shape == (2, 3, 3)
    with pytest.raises(ModelError, match=r"particle 2 .*not known"):
        _ = p.orientations
    with pytest.raises(ImpossibleValueError, match="particle 3: angles: expected"):
        replace(p, angles=[[0, 0, 0], [0, 0, 0], [0, 0, 1e20]])


# ---- cases that are kept outside ---------------------------------------------------------------


@pytest.fixture
def case(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Path:
    """A copy of the case that the test names, to work in."""
    source = shared / "cases" / request.param
    if not source.is_dir():
        pytest.skip(f"the case {request.param} is not in ../shared/cases")
    for path in source.rglob("*"):
        if path.is_file():
            target = tmp_path / path.relative_to(source)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("case", ["info_json_nan"], indirect=True)
def test_no_infinite_number_comes_in(case: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for options in (["--json"], []):
        code, out, err = run(capsys, "info", *options, "tomograms.star")
        assert code == 1
        assert "tomograms.star:" in err
        assert "rlnDefocusU: " in err
        assert "expected a finite number" in err
        assert "-inf" not in out.partition('"errors"')[0]


@pytest.mark.parametrize("case", ["partial_size_lost"], indirect=True)
def test_two_sizes_of_three_keep_their_texts(case: Path) -> None:
    tomoset.read("tomograms.star").write("out.star")
    assert columns_of("out.star") == columns_of("tomograms.star")


@pytest.mark.parametrize("case", ["relion5_inline_tables"], indirect=True)
def test_tilt_tables_in_the_global_file_are_those_of_relion_5(
    case: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (t,) = tomoset.read("tomograms.star").values()
    np.testing.assert_allclose(
        t.need_projections()[0, 0, :3], [0.03753690, -0.99717627, -0.06504203], atol=1e-8
    )
    assert [p.code for p in check(tomoset.read("tomograms.star"))] == ["H03"]
    code, out, _ = run(capsys, "convert", "tomograms.star", "o5", "--to", "relion5", "--strict")
    assert (code, "verified" in out) == (0, True)
    found, truth = star.read("o5/tilt_series/TS_01.star"), star.read("truth_tilt_series/TS_01.star")
    assert found.first.columns == truth.first.columns


def test_warps_angles_without_shifts_are_directions(
    shared: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = shared / "data/oracles/cryocat_relion5_warp2/warp2_R5_inline_tomograms.star"
    if not path.is_file():
        pytest.skip("this set is not in ../shared/data")
    code, out, _ = run(capsys, "info", "--json", str(path))
    assert code == 0
    (first, *_) = json.loads(out)["tomograms"]
    assert first["tilt_angles"] == [-67.871925, 51.821392]
    assert "directions only" in first["note"]
    assert "alignment" not in first["missing"]


def test_angles_without_shifts_are_directions_and_programs_say_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    files = texts("inline")
    head, series = star.loads(files["set.star"])
    shifts = ("rlnTomoXShiftAngst", "rlnTomoYShiftAngst")
    columns = {label: column for label, column in series.columns.items() if label not in shifts}
    star.write(star.StarFile((head, replace(series, columns=columns))), "set.star")
    (t,) = tomoset.read("set.star").values()
    assert t.projections is None
    np.testing.assert_allclose(t.tilt_angles, np.linspace(-40, 40, 5))
    with pytest.warns(AssumptionWarning, match="directions only"):
        placed = t.placed(image_size=(65, 47))
    np.testing.assert_allclose(placed.project([[31, 24, 15]]), np.tile([32.0, 23.0], (5, 1, 1)))


@pytest.mark.parametrize("case", ["particles_of_missing_tomogram"], indirect=True)
def test_a_tomogram_that_was_taken_out_stops_no_conversion(
    case: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    size = ("--image-size", "128", "120")
    arguments = ("convert", "optimisation_set.star", "o4", "--to", "relion4", *size)
    code, _, err = run(capsys, *arguments)
    assert (code, "6 of 12 particles are left out" in err) == (0, True)
    assert run(capsys, *arguments, "--strict")[0] == 1


@pytest.mark.parametrize("case", ["import_empty_table_rc0"], indirect=True)
def test_a_table_cut_after_its_labels_is_said(
    case: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = ("--i", "tilt_series.star", "-o", "imp.star", "--angpix", "8", "--fd", "3")
    code, out, err = run(capsys, "import", "imod", *table)
    assert (code, out) == (1, "")
    assert "tilt_series.star" in err
    assert "found none" in err


@pytest.mark.parametrize("case", ["long_name_stops_all"], indirect=True)
def test_a_set_with_a_long_name_is_written(case: Path) -> None:
    tomoset.read("tomograms.star").write("out/tomograms.star")
    assert len(tomoset.read("out/tomograms.star")) == 3


@pytest.mark.parametrize("case", ["import_newst_1e308"], indirect=True)
def test_a_binning_of_1e308_is_refused(case: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_folder(case / "s", newst=Path("newst.com").read_text())
    code, _, err = run(capsys, "import", "imod", "s", "-o", "o.star", "--angpix", "8", "--fd", "3")
    assert code == 1
    assert "newst.com:17: BinByFactor takes 1 number, found '1e308'; the largest is" in err
