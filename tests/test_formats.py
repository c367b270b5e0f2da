"""Every format of the list: it knows its own, refuses others, gives back what it read, says losses."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

import tomoset
from tests.builders.command import convert
from tests.builders.image_stacks import write_stack
from tests.builders.tomograms import rigid_tomogram
from tomoset import Project, TomogramSet, TomosetError
from tomoset.cli import main
from tomoset.formats import BEYOND_RIGID, FORMATS, Ability, Format, format_named
from tomoset.model import Deformation, Tomogram

WRITTEN = [format for format in FORMATS if format.writes and format.alignments]
CASES = sorted((Path(__file__).parent / "formats").glob("*/*/case.json"))
every = pytest.mark.parametrize("format", WRITTEN, ids=lambda f: f.name)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_stack(tmp_path / "a.mrc", 5, (65, 47))
    return tmp_path


def written(format: Format, folder: str, *tomograms: Tomogram) -> list[Path]:
    """The files of a project in a format."""
    Project(tomograms=TomogramSet(tomograms or [rigid_tomogram()])).write(folder, format.name)
    return sorted(path for path in Path(folder).rglob("*") if path.is_file())


def read_all(format: Format, path: Path) -> list[Tomogram]:
    """The tomograms of a file or folder, read with what such files do not say."""
    told = format.told(Project(tomograms=TomogramSet([rigid_tomogram()])))
    reading = format.read([path], **told)
    for failure in reading.failures:
        raise failure.error
    assert reading.project.tomograms.format == format.name
    return list(reading.project.tomograms.values())


def read_alone(format: Format, path: Path) -> Tomogram:
    (t,) = read_all(format, path)
    return t


def detects(format: Format, path: Path) -> bool:
    return format.detect(str(path), b"" if path.is_dir() else path.read_bytes()[: 1 << 16])


def own(format: Format, folder: str) -> list[Path]:
    """What in a folder a format takes for its own."""
    return [path for path in sorted(Path(folder).rglob("*")) if detects(format, path)]


@every
def test_a_format_knows_its_own_files_and_no_other_takes_them(format: Format) -> None:
    written(format, "made")
    assert len(own(format, "made")) == 1
    for other in FORMATS:
        assert other is format or not own(other, "made")
    (path,) = own(format, "made")
    assert read_alone(format, path).name == "TS_01"


@pytest.mark.parametrize(
    "content", [b"", b"\0\1\2" * 99, b"data_\n", b"data_global\n_rlnTomoName a\n"]
)
def test_what_is_no_set_is_refused_by_all(content: bytes, here: Path) -> None:
    path = here / "file.star"
    path.write_bytes(content)
    with pytest.raises((tomoset.FileFormatError, tomoset.errors.UnknownFormatError)):
        tomoset.read(path)
    (here / "empty").mkdir()
    for format in FORMATS:
        assert not detects(format, here / "empty")
    with pytest.raises(TomosetError, match="no format recognises"):
        tomoset.read(here / "empty")


def said(t: Tomogram) -> dict[str, Any]:
    """What a tomogram says, but for where it is written and in which frame of depth."""
    t = t.placed().with_depth_origin((0, 0, 0))
    fields = ("name", "n_tilts", "size", "image_size", "fractional_dose")
    arrays = ("projections", "defocus_u", "defocus_v", "defocus_angle", "pre_exposure")
    numbers = {name: getattr(t, name) for name in arrays}
    return {name: getattr(t, name) for name in fields} | {
        name: None if value is None else np.round(value, 5).tolist()
        for name, value in numbers.items()
    }


@every
def test_what_was_read_is_written_and_read_again(format: Format) -> None:
    first = rigid_tomogram()
    written(format, "one", first)
    (path,) = own(format, "one")
    t = read_alone(format, path)
    points = [[0, 0, 0], [62, 48, 30], [31, 24, 15], [5, 40, 2]]
    np.testing.assert_allclose(t.placed().project(points), first.project(points), atol=1e-3)
    np.testing.assert_allclose(t.defocus(points), first.defocus(points), atol=0.1)
    np.testing.assert_array_equal(t.pre_exposure, first.pre_exposure)
    written(format, "two", t)
    (again,) = own(format, "two")
    assert said(read_alone(format, again)) == said(t)


def broken(files: list[Path]) -> Iterator[tuple[str, Path, bytes]]:
    for path in files:
        whole = path.read_bytes()
        yield "CRLF", path, whole.replace(b"\n", b"\r\n")
        yield "empty", path, b""
        yield "zero bytes", path, whole[:20] + b"\0\1\2\3" + whole[20:]
        yield "binary", path, bytes(range(256)) * 8
        for share in (3, 2):
            yield "truncated", path, whole[: len(whole) // share]
        yield "letters for numbers", path, re.sub(rb"\d", b"x", whole)


@every
def test_damaged_files_are_an_error_that_names_one(format: Format) -> None:
    """Or they say the same: never anything else than an error of ours."""
    files = written(format, "made")
    (path,) = own(format, "made")
    whole = said(read_alone(format, path))
    for damage, file, content in broken(files):
        before = file.read_bytes()
        file.write_bytes(content)
        read, message = outcome(format, path)
        file.write_bytes(before)
        if damage == "CRLF":
            assert read is not None, message
            assert said(read) == whole
        assert not message or "made" in message, f"{damage} {file}: {message}"


def outcome(format: Format, path: Path) -> tuple[Tomogram | None, str]:
    """What is read, or what is said; a table that is cut before its first row holds nothing."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            read = read_all(format, path)
        except TomosetError as problem:
            return None, str(problem)
    return (read[0] if read else None), ""


def changed(ability: str) -> Tomogram:
    """A tomogram that only formats with this ability can say."""
    t = rigid_tomogram()
    if ability == "deformation":
        bent = np.full((5, 16), 0.5)
        return replace(
            t, deformation=Deformation(kind="linear", grid=(3, 3), coefficients=bent[:, :3])
        )
    matrix = {
        "magnification": [[1.02, 0], [0, 1.02]],
        "stretch": [[1.02, 0], [0, 1 / 1.02]],
        "skew": [[1, 0.03], [0, 1]],
    }[ability]
    projections = np.array(t.projections)
    projections[:, :2, :3] = matrix @ projections[:, :2, :3]
    return replace(t, projections=projections)


@every
@pytest.mark.parametrize("ability", [*BEYOND_RIGID, "deformation"])
def test_what_a_format_cannot_say_is_a_loss(format: Format, ability: Ability) -> None:
    project = Project(tomograms=TomogramSet([changed(ability)]))
    plain = format.losses(Project(tomograms=TomogramSet([rigid_tomogram()])))
    lost = format.losses(project)
    if format.can(ability):
        assert lost.keys() == plain.keys()
        return
    loss = lost["TS_01"]
    assert loss.pixels.shape == (5,)
    assert loss.pixels.max() > 0.3
    assert all(loss.texts)
    if not format.can("linked sets"):
        with pytest.warns(tomoset.LossyWarning, match="TS_01"):
            project.write("made", format.name)


@pytest.mark.parametrize(
    "format", [f for f in WRITTEN if f.can("linked sets")], ids=lambda f: f.name
)
def test_a_loss_is_a_warning_of_convert(format: Format, capsys: pytest.CaptureFixture[str]) -> None:
    TomogramSet([changed("magnification")]).write("from.star", "relion4")
    code, _, errors = convert(capsys, "from.star", "to/x.star", "--to", format.name, "--nearest")
    assert code == 0
    assert ("warning: tomogram 'TS_01'" in errors) != format.can("magnification")


@pytest.mark.parametrize("case", CASES, ids=lambda p: f"{p.parts[-3]}-{p.parts[-2]}")
def test_cases(case: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A case is a folder ``formats/NAME/CASE``: ``case.json`` says what is read, or the error."""
    wanted = json.loads(case.read_text())
    monkeypatch.chdir(case.parent)
    format = format_named(case.parts[-3])
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        if "error" in wanted:
            with pytest.raises(TomosetError, match=wanted["error"]):
                tomoset.read(wanted["source"])
            return
        read = tomoset.read(wanted["source"])
    assert read.format == format.name
    for name, fields in wanted["tomograms"].items():
        for field, value in fields.items():
            there = getattr(read[name], field)
            there = list(there) if isinstance(there, tuple | np.ndarray) else there
            assert there == value
    for text in wanted.get("warnings", []):
        assert any(re.search(text, str(w.message)) for w in found)


def test_the_list_is_what_the_command_and_the_page_say(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["formats"]) == 0
    shown = capsys.readouterr().out
    assert main(["formats", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)["formats"]
    assert [row["name"] for row in listed] == [format.name for format in FORMATS]
    page = (Path(__file__).parents[1] / "docs/formats.md").read_text()
    for f in FORMATS:
        assert f"| `{f.name}` | [{f.package}]({f.url}) | {f.reads} | {f.writes} |" in page
        assert f.package in shown
    for ability in get_args(Ability):
        row = " | ".join("yes" if f.can(ability) else "" for f in FORMATS if f.alignments)
        assert f"| {ability} | {row} |" in page


def test_imports_come_from_the_list(capsys: pytest.CaptureFixture[str]) -> None:
    for format in FORMATS:
        if format.options:
            assert main(["import", format.name, "--help"]) == 0
            shown = capsys.readouterr().out
            assert all(option.spelling in shown for option in format.options)
