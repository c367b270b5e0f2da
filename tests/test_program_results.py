"""Typed results of programs: as JSON and arrays, both ways; the list of programs."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from tomoset import programs
from tomoset.errors import FileFormatError
from tomoset.model import Deformation
from tomoset.programs._program import Result
from tomoset.programs._results import BULK, layout, load, store, summary
from tomoset.run import Resources

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Part:
    of: str
    size: tuple[int, int]
    much: Array


@dataclass(frozen=True, kw_only=True, eq=False)
class Everything(Result):
    number: float
    unknown: float
    maybe: int | None
    nothing: str | None
    few: Array
    parts: tuple[Part, ...]
    by_name: dict[str, Array]
    deformation: Deformation | None = field(metadata=BULK)


def everything() -> Everything:
    rng = np.random.default_rng(1)
    part = Part(of="a", size=(3, 4), much=rng.normal(size=(2, 3)))
    bent = Deformation(kind="linear", grid=(1, 1), coefficients=rng.normal(size=(2, 3)))
    return Everything(
        number=0.1,
        unknown=math.nan,
        maybe=3,
        nothing=None,
        few=np.array([1.5, np.nan, np.inf]),
        parts=(part, part),
        by_name={"x": np.arange(3.0)},
        deformation=bent,
        files=("a.star",),
    )


def test_results_come_back_to_the_last_bit(tmp_path: Path) -> None:
    before, path = everything(), str(tmp_path / "a.npz")
    stored = json.loads(json.dumps(store(before, path), allow_nan=False))
    after = load(Everything, stored)
    assert (after.number, after.maybe, after.nothing, after.files) == (0.1, 3, None, ("a.star",))
    assert math.isnan(after.unknown)
    np.testing.assert_array_equal(after.few, before.few)
    np.testing.assert_array_equal(after.by_name["x"], before.by_name["x"])
    assert [part.size for part in after.parts] == [(3, 4), (3, 4)]
    np.testing.assert_array_equal(after.parts[1].much, before.parts[1].much)
    assert after.deformation is not None
    assert before.deformation is not None
    assert after.deformation.grid == (1, 1)
    np.testing.assert_array_equal(after.deformation.coefficients, before.deformation.coefficients)


def test_summaries_leave_out_what_is_bulk_and_are_json() -> None:
    shown = summary(everything())
    assert "deformation" not in shown
    assert shown["few"] == [1.5, None, None]
    json.dumps(shown, allow_nan=False)


def test_results_of_another_layout_are_refused(tmp_path: Path) -> None:
    path = str(tmp_path / "a.npz")
    stored = store(everything(), path)
    del stored["result"]["number"]
    with pytest.raises(LookupError):
        load(Everything, stored)
    stored = store(everything(), path)
    stored["result"]["maybe"] = "three"
    with pytest.raises(TypeError):
        load(Everything, stored)
    Path(path).write_bytes(b"PK damaged")
    with pytest.raises(FileFormatError, match="cannot be read"):
        load(Everything, store(everything(), str(tmp_path / "b.npz")) | {"arrays": path})


def test_every_program_is_in_the_list() -> None:
    files = {p.stem for p in Path(str(programs.__file__)).parent.glob("[a-z]*.py")}
    assert set(programs.PROGRAMS.values()) == files
    for name in programs.PROGRAMS:
        program = programs.program(name)
        assert program.name == name
        assert issubclass(program.result, Result)
        assert json.loads(json.dumps(layout(program.result)))["files"]


def test_resources_change_no_fingerprint(tmp_path: Path) -> None:
    from tests.builders.bead_stack import bead_set
    from tomoset.programs._request import Request
    from tomoset.programs.reconstruct import PROGRAM
    from tomoset.reconstruct import Options

    s, found = bead_set(tmp_path), set()
    for resources in (Resources(), Resources(threads=3, workers=2, memory=1000)):
        request = Request.of(s, tmp_path, Options(), resources, ())
        found.add(PROGRAM.records("x").fingerprint(request.tasks()["TS_01"]))
    assert len(found) == 1
