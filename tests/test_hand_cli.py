"""``tomoset hand``, ``check`` of the hand, and the set that is written."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

import tomoset
from tests.builders.hand_series import Wanted, hand_series
from tests.builders.image_stacks import Images, write_stack
from tomoset import star
from tomoset.check import check
from tomoset.cli import main
from tomoset.images.stack import read_header
from tomoset.model import Tomogram, TomogramSet


@cache
def series(hand: int) -> tuple[Tomogram, Images]:
    return hand_series(Wanted(hand=hand, n=11, seed=2 + hand))


def written(folder: Path, name: str, hand: int) -> Tomogram:
    """A series on disk; its set has the wrong hand."""
    tomogram, images = series(hand)
    write_stack(folder / f"{name}.mrc", len(images), images.size)
    header = read_header(folder / f"{name}.mrc")
    with open(folder / f"{name}.mrc", "r+b") as stream:
        stream.seek(1024)
        stream.write(images.images.astype(mrc_type(header.mode)).tobytes())
    return replace(tomogram, name=name, stack=f"{name}.mrc")


def mrc_type(mode: int) -> str:
    return {0: "i1", 1: "<i2", 2: "<f4"}[mode]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*args: str) -> int:
    try:
        return int(main(list(args)) or 0)
    except SystemExit as end:
        return int(end.code or 0)


@pytest.mark.parametrize("dialect", ["relion4", "relion5"])
def test_the_hand_is_measured_and_written_to_a_set(
    here: Path, dialect: str, capsys: pytest.CaptureFixture[str]
) -> None:
    TomogramSet([written(here, "TS_01", 1)]).write("tomograms.star", dialect)
    before = Path("tomograms.star").read_bytes()
    assert run("hand", "tomograms.star", "--j", "2") == 0
    out = capsys.readouterr().out
    assert "TS_01  hand +1" in out
    assert "the set has -1" in out
    assert sorted(p.name for p in here.iterdir() if p.name.startswith("run")) == []

    assert run("hand", "tomograms.star", "--o", "Hand", "--j", "2") == 0
    assert not Path("Hand/tomograms.star").exists()
    assert Path("Hand/TS_01.png").stat().st_size > 5000
    report = star.read("Hand/hand_TS_01.star")
    whole, tilts = report.tables
    assert float(whole["tomosetHandLogOdds"][0]) > 7
    assert len(tilts["tomosetDefocus"]) == 11

    assert run("hand", "tomograms.star", "--o", "Hand", "--apply", "--continue", "--j", "2") == 0
    assert "was there already" in capsys.readouterr().out
    after = tomoset.read("Hand/tomograms.star")
    assert after["TS_01"].hand == 1
    assert Path("tomograms.star").read_bytes() == before
    codes = {p.code for p in check(after)}
    assert not codes & {"H02", "H03"}
    assert "H03" in {p.code for p in check(tomoset.read("tomograms.star"))}

    wrong = after["TS_01"]
    contradicted = check(after.with_tomograms([replace(wrong, hand=-1)]))
    assert "H02" in {p.code for p in contradicted}


def test_a_series_that_contradicts_is_named(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own = {"TS_01": 1, "TS_02": 1, "TS_03": -1, "TS_04": 1}
    TomogramSet([written(here, name, hand) for name, hand in own.items()]).write(
        "tomograms.star", "relion4"
    )
    assert run("hand", "tomograms.star", "--o", "Hand", "--apply", "--json", "--j", "2") == 0
    said = json.loads(capsys.readouterr().out)
    assert said["hand"] == 1
    assert said["against"] == ["TS_03"]
    assert said["hands"] == own
    assert any("'TS_03' says -1" in w for w in said["warnings"])
    after = tomoset.read("Hand/tomograms.star")
    assert {name: t.hand for name, t in after.items()} == own


def test_noise_gives_no_hand_and_changes_nothing(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tomogram = written(here, "TS_01", 1)
    rng = np.random.default_rng(1)
    header = read_header(here / "TS_01.mrc")
    noise = 100 * rng.standard_normal((11, 384, 400))
    with open("TS_01.mrc", "r+b") as stream:
        stream.seek(1024)
        stream.write(noise.astype(mrc_type(header.mode)).tobytes())
    TomogramSet([tomogram]).write("tomograms.star", "relion4")
    assert run("hand", "tomograms.star", "--o", "Hand", "--apply", "--j", "2") == 0
    captured = capsys.readouterr()
    assert "cannot tell" in captured.out
    assert "finer pixels" in captured.err
    after = tomoset.read("Hand/tomograms.star")
    assert after["TS_01"].hand == -1
    assert "H03" in {p.code for p in check(after)}
    assert run("hand", "tomograms.star", "--strict", "--j", "2") == 1


def test_linked_sets_are_passed_on_and_other_tomograms_kept(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    both = [written(here, name, 1) for name in ("TS_01", "TS_02")]
    TomogramSet(both).write("tomograms.star", "relion4")
    Path("links.star").write_text(
        "\ndata_\n\n_rlnTomoTomogramsFile tomograms.star\n_rlnTomoManifoldsFile m.star\n"
    )
    args = ["--i", "links.star", "--o", "Hand", "--apply", "--tn", "TS_01", "--j", "2"]
    assert run("hand", *args) == 0
    links = star.read("Hand/optimisation_set.star").tables[0]
    assert links["rlnTomoTomogramsFile"] == ("Hand/tomograms.star",)
    assert links["rlnTomoManifoldsFile"] == ("m.star",)
    after = tomoset.read("Hand/tomograms.star")
    assert {name: t.hand for name, t in after.items()} == {"TS_01": 1, "TS_02": -1}


def test_wrong_options_are_refused(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    TomogramSet([written(here, "TS_01", 1)]).write("tomograms.star", "relion4")
    for args, match in (
        (["--apply"], "--o DIR"),
        (["--continue"], "--o DIR"),
        (["--error-rate", "0.9"], "below 0.5"),
        (["--defocus", "3e4"], "between 0.1 and 20"),
        (["--tn", "TS_09"], "no tomogram is called 'TS_09'"),
    ):
        assert run("hand", "tomograms.star", *args) == 2
        assert match in capsys.readouterr().err
    assert run("hand", "tomograms.star", "--o", ".", "--apply") != 0
    assert "is read by this command" in capsys.readouterr().err
    assert run("hand", "--explain") == 0
    assert "rlnTomoHand" in capsys.readouterr().out


def test_a_series_that_fails_stops_no_other(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good, bad = written(here, "TS_01", 1), written(here, "TS_02", 1)
    TomogramSet([good, bad]).write("tomograms.star", "relion4")
    with open("TS_02.mrc", "r+b") as stream:
        stream.truncate(5000)
    assert run("hand", "tomograms.star", "--o", "Hand", "--apply", "--j", "2") == 1
    captured = capsys.readouterr()
    assert "TS_02" in captured.err
    assert "TS_01  hand +1" in captured.out
    # The set has one hand: that of the series that tell it.
    assert {t.hand for t in tomoset.read("Hand/tomograms.star").values()} == {1}
