"""Conditions on quantities: what they say, what they refuse, what is not known."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.builders.command import run
from tests.builders.random_projects import random_project, write_random_project
from tomoset.errors import AssumptionWarning, ModelError, TomosetError
from tomoset.model import Project, Source
from tomoset.project.edit import Condition, select
from tomoset.project.edit.conditions import Values
from tomoset.project.edit.quantities import SeriesQuantities

VALUES: dict[str, Values] = {
    "a": np.array([1.0, 2.0, np.nan, -4.0]),
    "b": np.array([0.0, 2.0, 3.0, np.nan]),
    "s": np.array(["x", "y", "", "x"]),
}


def told(text: str) -> str:
    """Of each of four: + where it is true, ? where nobody knows, - else."""
    found = Condition(text).of(4, VALUES.get)
    assert not (found.true & found.unknown).any()
    return "".join(
        "+" if t else "?" if u else "-" for t, u in zip(found.true, found.unknown, strict=True)
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a > 1", "-+?-"),
        ("a == b", "-+??"),
        ("a != b", "+-??"),
        ("0 < a <= 2", "++?-"),
        ("not a > 1", "+-?+"),
        ("a > 1 or b > 1", "-++?"),
        ("a > 1 and b > 1", "-+?-"),
        ("abs(a) ** 2 > 3", "-+?+"),
        ("-a + 2 * b / 2 - 1 % 2 >= -1", "-+??"),
        ("s == 'x'", "+-?+"),
        ('s != "x" or a > 0', "+++-".replace("+-", "?-")),
        ("a / b > 0", "++??"),
    ],
)
def test_what_conditions_say(text: str, said: str) -> None:
    assert told(text) == said


@pytest.mark.parametrize(
    "text",
    ["", "a", "a +", "a = 1", "a > 'x'", "s > 1", "s + 1 > 2", "(a > 1) + 1 > 2", "a and b > 1",
     "__import__('os').system('x')", "a.real > 1", "a[0] > 1", "lambda: 1", "[1] == 1", "abs(a, b) > 1",
     "open('x') == 1", "abs > 1 > abs(s)", "True", "a is 1", "a in b", "(a := 1) > 0", "f'{a}' == 'x'",
     "a > 1j", "a > None", "b'x' == s", "a > " + "9" * 400, "-" * 200 + "a > 1", "(" * 300 + "a",
     "a > 1 # " + "x" * 1000, "a > 1; b > 1", "a >\n\x00 1", "(a > 1) > 0", "a << 1 > 1", "~a > 1"],
)  # fmt: skip
def test_what_is_no_condition_is_said(text: str) -> None:
    with pytest.raises(ModelError, match=r"the condition .* cannot be used"):
        Condition(text).of(4, lambda name: VALUES.get(name, VALUES["a"]))


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="ab s()<>=!.'\"+-*/%0123456789andornotbs_[]{}:,\\\n", max_size=40))
def test_any_text_is_a_condition_or_an_error_of_ours(text: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SyntaxWarning)
        try:
            found = Condition(text).of(4, lambda name: VALUES.get(name, VALUES["a"]))
        except TomosetError:
            return
    assert found.true.shape == found.unknown.shape == (4,)


def labelled(seed: int) -> Project:
    """With texts of columns that nobody knows, as read from files."""
    project = random_project(seed)
    made = []
    for i, t in enumerate(project.tomograms.values()):
        column = [f"{10 * i + row}.5" for row in range(t.n_tilts)]
        source = Source(
            format="",
            row={"abcNote": ["good", "bad", ""][i]},
            tilts={"xyzCtfIceDensity": column, "rawName": ["n"] * t.n_tilts},
        )
        made.append(t.with_source(source))
    return project.with_sets(tomograms=project.tomograms.with_tomograms(made))


def test_quantities_of_series_are_those_of_the_model_and_of_its_columns() -> None:
    project = labelled(1)
    of = SeriesQuantities(project)
    series = list(project.tomograms.values())
    assert of.get("tilts").tolist() == [t.n_tilts for t in series]
    assert of.get("pixel_size").tolist() == [t.need_pixel_size() for t in series]
    assert of.get("dose").tolist() == [t.need_pre_exposure().max() for t in series]
    np.testing.assert_allclose(of.get("range"), [np.ptp(t.tilt_angles) for t in series])
    defocus = [np.median((t.need_defocus()[0] + t.need_defocus()[1]) / 2) for t in series]
    np.testing.assert_allclose(of.get("defocus"), defocus)
    np.testing.assert_allclose(of.get("max_defocus_u"), [t.need_defocus()[0].max() for t in series])
    np.testing.assert_allclose(of.get("min_tilt"), [t.tilt_angles.min() for t in series])
    assert of.get("particles").sum() == 12
    assert of.get("fiducials").tolist() == [4, 4, 4]
    assert of.get("manifolds").tolist() == [1, 1, 1]
    assert np.isnan(of.get("thickness")).all()
    assert of.get("note").tolist() == of.get("abcNote").tolist() == ["good", "bad", ""]
    assert of.get("max_ctf_ice_density").tolist() == [
        10 * i + t.n_tilts - 0.5 for i, t in enumerate(series)
    ]
    for name in dict.fromkeys(of.names()):
        assert len(of.get(name)) == 3
    with pytest.raises(ModelError, match="no quantity of a series is called tlits; did you mean"):
        of.get("tlits")


def test_what_is_not_known_is_left_out_and_said() -> None:
    project = random_project(3)
    first, *rest = project.tomograms.values()
    some = project.with_sets(
        tomograms=project.tomograms.with_tomograms(
            [first, *(replace(t, hand_log_odds=9.0) for t in rest)]
        )
    )
    with pytest.warns(AssumptionWarning, match="1 of 3 tomograms are left out, as hand_log_odds"):
        assert list(select(some, where="hand_log_odds > 5").tomograms) == ["TS_02", "TS_03"]
    assert list(select(some, ["TS_0[12]"], where="name != 'TS_01'").tomograms) == ["TS_02"]
    with pytest.raises(ModelError, match="no quantity of a series is called nothing"):
        select(some, where="nothing > 1")


@pytest.mark.parametrize("dialect", ["relion4", "relion5"])
def test_select_takes_a_condition(
    here: Path, capsys: pytest.CaptureFixture[str], dialect: str
) -> None:
    write_random_project(5, dialect, "p")
    (name,) = select(random_project(5), ["TS_02"]).tomograms
    arguments = ("select", "p", "--where", f"particles >= 0 and name == '{name}'", "-o", "some")
    code, out, errors = run(capsys, *arguments)
    assert code == 0, errors
    assert "1 tomogram," in out
    for wrong, said in (("tilts > 1000", "no tomogram would be left"), ("tilts", "it is a value"),
                        ("wrong > 1", "There are")):  # fmt: skip
        code, _, errors = run(capsys, "select", "p", "--where", wrong, "-o", "new")
        assert (code, said in errors) == (1, True), errors
        assert not Path("new").exists()
    assert run(capsys, "select", "p", "-o", "new")[0] == 2
