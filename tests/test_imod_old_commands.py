"""Command files as IMOD wrote them before its programs read options from their input."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.builders.command import Run
from tests.builders.imod_folder import NEWST_COM, TILT_COM, make_folder, transforms
from tests.builders.imported_folder import COMMON, imported
from tomoset.formats.imod.commands import NEWSTACK_OPTIONS, NEWSTACK_PROGRAMS, read_commands


@pytest.mark.parametrize(
    "line",
    [
        "$newstack -input TS.st -output TS.ali -offset 0,-7.5 -xform TS_fid.xf -origin -bin 2",
        "$newst -size 40,30 -off 0,-7.5 -xf TS_fid.xf -float 2 -bin 2 TS.st TS.ali",
        "$/opt/imod/bin/newstack -BinByFactor 2 -TRANSFORMFILE TS_fid.xf -offset 0,-7.5 TS.st a",
    ],
)
def test_options_on_the_line_that_calls_the_program(tmp_path: Path, line: str) -> None:
    path = tmp_path / "newst.com"
    path.write_text(f"# made by hand\n{line}\n$mrctaper TS.ali\n$if (-e ./savework) ./savework\n")
    newst = read_commands(path, NEWSTACK_OPTIONS, NEWSTACK_PROGRAMS)
    assert (newst.text("InputFile"), newst.text("TransformFile")) == ("TS.st", "TS_fid.xf")
    assert newst.numbers("OffsetsInXandY", 2) == (0.0, -7.5)
    assert newst.number("BinByFactor") == 2


def test_an_import_follows_them(run: Run, tmp_path: Path) -> None:
    """The transforms and the offset that they name; else the transforms of the stack's name."""
    folder = make_folder(
        tmp_path / "TS", newst="$newstack -in TS.st -ou TS.ali -xf TS_fid.xf -off 3,0\n"
    )
    (folder / "TS_fid.xf").write_text(transforms(5, 20.0))
    assert "OffsetsInXandY (3.0, 0.0) is not carried over" in run("TS", *COMMON)[2]
    by_line = imported(run).projections
    make_folder(tmp_path / "TS", newst=NEWST_COM, xf=transforms(5, 20.0))
    np.testing.assert_array_equal(by_line, imported(run).projections)


def test_two_axes_have_a_file_each(run: Run, tmp_path: Path) -> None:
    for axis in "ab":
        make_folder(tmp_path / axis)
        for end in ("st", "xf", "tlt"):
            target = tmp_path / "TS" / f"BB{axis}.{end}"
            target.parent.mkdir(exist_ok=True)
            (tmp_path / axis / f"TS.{end}").rename(target)
        (tmp_path / "TS" / f"newst{axis}.com").write_text(f"$newst -xf BB{axis}.xf BB{axis}.st x\n")
        tilt = TILT_COM.replace("TS.", f"BB{axis}.")
        (tmp_path / "TS" / f"tilt{axis}.com").write_text(tilt)
    said = run("TS", *COMMON)[1]
    assert "BBa.st, newst newsta.com, tilt tilta.com" in said
    assert "BBb.st, newst newstb.com, tilt tiltb.com" in said


@pytest.mark.parametrize("size", [",,", "/", ",", ""])
def test_sizes_that_are_left_to_newstack(run: Run, tmp_path: Path, size: str) -> None:
    make_folder(tmp_path / "TS")
    plain = imported(run)
    make_folder(tmp_path / "TS", newst=NEWST_COM.replace("64,48", size))
    np.testing.assert_array_equal(imported(run).projections, plain.projections)


@pytest.mark.parametrize("option", ["--tc", "--nc"])
def test_files_of_other_programs_are_refused(run: Run, tmp_path: Path, option: str) -> None:
    folder = make_folder(tmp_path / "TS")
    (folder / "x.com").write_text("$setenv A B\n$goto do\n$do:\n$tiltxcorr -StandardInput\nX 1\n")
    code, _, errors = run("TS", option, "x.com", *COMMON)
    program = "tilt" if option == "--tc" else "newstack"
    assert code == 1
    assert f"x.com: it runs tiltxcorr; expected a command file of {program}" in errors


def test_a_file_in_place_of_a_folder(run: Run, tmp_path: Path) -> None:
    make_folder(tmp_path / "TS")
    code, _, errors = run("TS/tilt.com", *COMMON)
    assert code == 1
    assert "TS/tilt.com is a file; give the folder it is in" in errors
