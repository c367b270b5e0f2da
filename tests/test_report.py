"""A report is one page that says what the set says, whatever the set is called or lacks."""

from __future__ import annotations

import json
import math
import os
import re
import tracemalloc
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

from tests.builders.command import run
from tests.builders.image_stacks import write_stack
from tests.builders.pages import Page, hashed
from tests.builders.random_projects import random_project, write_random_project
from tomoset.align.resolution import supported_resolution
from tomoset.check.shown import FORMS
from tomoset.errors import FileAccessError, printable, typed
from tomoset.figures._style import binned
from tomoset.model import Fiducials, Observations, Project, Reconstruction, TomogramSet
from tomoset.programs import program
from tomoset.programs._program import Result
from tomoset.programs._results import store
from tomoset.programs.align_fiducials import AlignedByBeads, FitNumbers
from tomoset.programs.align_images import AlignedByImages, ImageNumbers
from tomoset.programs.estimate_ctf import EstimatedCtf
from tomoset.project import edit_files, open_project
from tomoset.project.metrics import series_table, tilt_table
from tomoset.report import Options, _write, write_report
from tomoset.report._columns import SERIES, TILTS, outlying
from tomoset.report._page import Pages, named
from tomoset.report._page import typed as typed_as
from tomoset.report._paths import Shortened
from tomoset.report._pictures import tilt_images
from tomoset.report._sight import on_plane

HOSTILE = [
    "<script>alert(1)</script>",
    "</script><img src=x onerror=alert(1)>",
    "</style></title>&lt;",
    'it\'s "quoted"',
    "\u202eRTL",
    "x" * 4096,
    "/etc/passwd",
    "{{ 7*7 }}",
]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def page(path: str | Path) -> Page:
    return Page(Path(path).read_text(encoding="utf-8"))


def write_hostile(names: list[str]) -> None:
    """A set of these names, with a stack for the first."""
    t = next(iter(random_project(1).tomograms.values()))
    write_stack(Path("a.mrc"), t.n_tilts, t.need_image_size())
    made = [replace(t, name=name, stack="a.mrc", deformation=None) for name in names]
    tomograms = TomogramSet(made, format="relion5")
    Project(tomograms=tomograms).write("p", "relion5")


def write_result(folder: Path, name: str, warned: tuple[str, ...] = ()) -> AlignedByBeads:
    """The record of an alignment by beads, as the program leaves it."""
    numbers = FitNumbers(
        observations=30,
        outliers=2,
        residual=0.412,
        residual_nm=0.05,
        leave_out=0.523,
        leave_out_before=2.0,
        expected=0.087,
        model="shift free",
        parameters=10,
        unsupported=(),
    )
    result = AlignedByBeads(
        fiducials="fiducials.star",
        beads=12,
        radius=50.0,
        kept=None,
        fit=numbers,
        level=(1.25, 0.1),
        motion=None,
        image_size=(64, 50),
        projections=np.eye(4)[None],
        deviations={},
        deformation=None,
    )
    leave(folder, "align fiducials", name, result, warned)
    return result


def leave(
    folder: Path, which: str, name: str, result: Result, warned: tuple[str, ...] = ()
) -> None:
    """The record of a result, as its program leaves it."""
    records = program(which).records(str(folder))
    records.folder.mkdir(parents=True, exist_ok=True)
    stored = store(result, str(records.folder / f"{name}.npz"))
    said = [["AssumptionWarning", f"tomogram {name!r}: {text}"] for text in warned]
    record = {"name": name, "result": {**stored, "files": {}, "of": ""}, "warnings": said}
    records.path(name).write_text(json.dumps(record))


def test_a_report_needs_nothing_else_and_may_do_nothing_else(here: Path) -> None:
    write_random_project(2, "relion4", "p")
    write_report("p", "r.html")
    made = page("r.html")
    (style,), (script,) = (
        made.root.all("style"),
        [one for one in made.root.all("script") if "type" not in one.attributes],
    )
    assert made.policy == {
        "default-src": "'none'",
        "img-src": "data:",
        "base-uri": "'none'",
        "form-action": "'none'",
        "style-src": hashed("".join(style.parts)),
        "script-src": hashed("".join(script.parts)),
    }
    for one in made.everything:
        for name, value in one.attributes.items():
            assert not name.startswith("on"), one
            assert name != "style", one
            if name in ("src", "href"):
                assert value.startswith(("data:", "#")), value
    assert sum(p.stat().st_size for p in (files("tomoset.report") / "static").glob("*.js")) < 3e5  # type: ignore[attr-defined]


def test_numbers_are_those_of_the_tables(here: Path) -> None:
    write_random_project(2, "relion4", "p")
    write_report("p", "r.html")
    made, project = page("r.html"), open_project("p")
    shown, said = made.table("set"), series_table(project)
    assert shown["name"] == said["name"]
    forms = {column.key: column.form for column in SERIES}
    common = shown.keys() & said.keys() - {"name", "errors", "warnings"}
    assert {"tilts", "axis", "tilt_max", "dose", "defocus", "hand", "pixel_size"} <= common
    for key in common:
        assert shown[key] == [forms[key](value) for value in said[key]], key
    by_tilt, tilts = made.table("by-tilt"), tilt_table(project)
    forms = {column.key: column.form for column in TILTS}
    mine = [i for i, name in enumerate(tilts["series"]) if name == said["name"][0]]
    common = by_tilt.keys() & tilts.keys()
    assert {"tilt", "shift_x", "shift_y", "defocus", "dose", "nominal_tilt"} <= common
    for key in common:
        assert by_tilt[key] == [forms[key](tilts[key][i]) for i in mine], key


def test_numbers_are_those_of_info(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_random_project(2, "relion4", "p")
    write_report("p", "r.html")
    rows = json.loads(run(capsys, "info", "p", "--json")[1])["tomograms"]
    shown = page("r.html").table("set")
    for key, said in (("axis", "tilt_axis"), ("pixel_size", "pixel_size"), ("hand", "hand")):
        assert shown[key] == [FORMS[key](row[said]) for row in rows]
    text = run(capsys, "info", "p")[1]
    for name, axis in zip(shown["name"], shown["axis"], strict=True):
        assert re.search(rf"(?m)^{name}.* {re.escape(axis)} ", text)


def test_residuals_are_those_of_the_beads(here: Path) -> None:
    project = random_project(3, series=1)
    (t,) = project.tomograms.values()
    points = project.fiducials[t.name].points
    rng = np.random.default_rng(1)
    off = rng.normal(0, 0.4, (t.n_tilts, len(points), 2))
    tilt, bead = np.indices(off.shape[:2]).reshape(2, -1)
    seen = Observations(bead=bead, tilt=tilt, points=(t.project(points) + off).reshape(-1, 2))
    beads = {t.name: Fiducials(points=points, observations=seen)}
    write_stack(Path("TS_01.mrc"), t.n_tilts, t.need_image_size())
    project.with_sets(fiducials=beads).write("p", "relion4")
    write_report("p", "r.html")
    made = page("r.html")
    expected = np.sqrt((off**2).sum(axis=2).mean(axis=1))
    assert np.array(made.table("by-tilt")["residual"], float) == pytest.approx(expected, abs=6e-3)
    total = math.sqrt((off**2).sum(axis=2).mean())
    assert float(made.table("set")["residual"][0]) == pytest.approx(total, abs=6e-3)
    assert "Residuals of beads" in made.root.text


def test_what_programs_found_is_shown(here: Path) -> None:
    write_random_project(2, "relion4", "p")
    result = write_result(here / "p", "TS_02")
    (here / "p/run_align_fiducials/TS_01.json").write_text("{ damaged")
    made = write_report("p", "r.html")
    shown = page("r.html").table("set")
    at = shown["name"].index("TS_02")
    assert result.fit is not None
    assert shown["leave_out"][at] == f"{result.fit.leave_out:.2f}"
    assert shown["residual"][at] == f"{result.fit.residual:.2f}"
    assert shown["inclination"][at] == "1.25"
    pixel = open_project("p").tomograms["TS_02"].need_pixel_size()
    assert shown["resolution"][at] == f"{supported_resolution(0.087 * pixel):.2f}"
    lines = list(program("align fiducials").lines(result))
    assert all(line in page("r.html").root.text for line in lines)
    assert any("TS_01.json" in remark for remark in made.remarks)
    assert "what align fiducials left cannot be read" in page("r.html").root.text


def by_images(n: int) -> AlignedByImages:
    """An alignment by images: the second was not used, the third is in doubt."""
    numbers = ImageNumbers(
        expected=0.213,
        expected_nm=0.2,
        moved=1.5,
        axis=84.0,
        axis_error=0.062,
        axis_before=None,
        thickness=1480.0,
        thickness_error=33.0,
        inclination=(3.0, -4.0),
        inclination_error=(0.3, 0.4),
        predicted=0.6,
        working_pixel=10.0,
        signal=0.2,
    )
    support = np.linspace(20, 30, n)
    support[1] = np.nan
    return AlignedByImages(
        fit=numbers,
        images=n - 1,
        unused={"2": "dark"},
        doubtful={"3": "another place fits as well"},
        level=None,
        motion=None,
        rigid_loss=None,
        size=(64, 64, 32),
        image_size=(64, 50),
        projections=np.zeros((n, 4, 4)),
        deviations={},
        support=support,
        rival=support / 4,
        predicted=support / 50,
    )


def test_alignments_by_images_say_what_they_know_of_each(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_random_project(2, "relion4", "p", series=1)
    n = open_project("p").tomograms["TS_01"].n_tilts
    result = by_images(n)
    leave(here / "p", "align images", "TS_01", result)
    # As the program does with what it did not use: the second image is out of the set.
    assert run(capsys, "exclude", "p", "--tn", "TS_01", "--index", "2", "-o", "q")[0] == 0
    write_report("q", "r.html", Options(images="none"))
    made = page("r.html")
    whole, tilts = made.table("set"), made.table("by-tilt")
    said = {
        "error_axis": "0.06",
        "ice_thickness": "1480",
        "error_thickness": "33",
        "inclination": "5.00",
        "error_inclination": "0.50",
        "doubtful": "1",
        "expected": "0.21",
    }
    assert {key: whole[key][0] for key in said} == said
    verdicts = ["confirmed", "in doubt: another place fits as well"]
    assert tilts["verdict"] == [*verdicts, *["confirmed"] * (n - 3), "not used: dark"]
    order = [0, *range(2, n), 1]
    assert tilts["support"] == [FORMS["scale"](result.support[i]) for i in order]
    assert "Correlation with what the others predict" in made.root.text


def test_thon_rings_are_shown(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_random_project(2, "relion4", "p", series=1)
    n = open_project("p").tomograms["TS_01"].n_tilts
    told = np.arange(n) != 1
    result = EstimatedCtf(
        defocus=np.linspace(25000, 26000, n),
        defocus_error=np.where(np.arange(n) == 2, 1e5, 84.0),
        astigmatism=np.full(n, 300.0),
        astigmatism_error=np.full(n, 40.0),
        angle=np.full(n, 20.0),
        angle_error=np.full(n, 3.0),
        phase_shift=None,
        phase_shift_error=None,
        rings=np.linspace(40, 50, n),
        merit=np.linspace(0.3, 0.4, n),
        resolution=np.where(told, np.linspace(8, 9, n), np.inf),
        told=told,
        inclined=np.array([0.6, 0.8]),
        inclined_error=np.array([0.03, 0.04]),
        axis_off=0.0,
        axis_off_error=0.1,
        thickness=1500.0,
        hand_log_odds=-3.0,
        course=np.array([100.0, 20.0]),
        compared=None,
        hand_in_set=-1,
    )
    leave(here / "p", "ctf", "TS_01", result)
    write_report("p", "r.html", Options(images="none"))
    made = page("r.html")
    whole, tilts = made.table("set"), made.table("by-tilt")
    assert whole["show_rings"] == [str(n - 1)]
    assert whole["inclination_rings"] == ["1.00"]
    assert whole["error_inclination_rings"] == ["0.05"]
    assert tilts["defocus_rings"] == [f"{x / 1e4:.3f}" for x in result.defocus]
    assert tilts["error_defocus_rings"] == ["0.008", "0.008", "10.000", *["0.008"] * (n - 3)]
    bars = " ".join(one.attributes["d"] for one in made.root.all("path", class_="bars"))
    ends = np.array(re.findall(r"M\S+ ([\d.]+)V([\d.]+)", bars), float)
    assert len(ends) == n  # and none leaves the frame
    assert ends.min() >= 8
    assert ends.max() <= 156
    assert tilts["ctf_max_resolution"] == [
        f"{x:.1f}" if np.isfinite(x) else "-" for x in result.resolution
    ]
    assert tilts["ctf_figure_of_merit"] == [f"{x:.2f}" for x in result.merit]
    assert tilts["defocus_from"] == ["its rings", "the others", *["its rings"] * (n - 2)]
    assert "Thon rings and CTF by tilt" in made.root.text
    # Images that came back since cannot be told from others.
    assert run(capsys, "exclude", "p", "--tn", "TS_01", "--index", "1", "-o", "q")[0] == 0
    for name in ("TS_01.npz", "TS_01.json"):
        (here / "p/run_ctf" / name).unlink()
    short = replace(result, rings=result.rings[:-2])
    leave(here / "q", "ctf", "TS_01", short)
    write_report("q", "r.html", Options(images="none"))
    assert "it had other tilt images than the series has now" in page("r.html").root.text
    assert "rings" not in page("r.html").table("by-tilt")


def test_no_rings_are_nothing_to_draw(here: Path) -> None:
    (t,) = random_project(1, series=1).tomograms.values()
    seen = np.where(np.arange(t.n_tilts) == 1, 999.0, 8.0)
    project = Project(
        tomograms=TomogramSet([replace(t, ctf_max_resolution=seen)], format="relion5")
    )
    project.write("p", "relion5")
    write_report("p", "r.html", Options(images="none"))
    made = page("r.html")
    assert made.table("by-tilt")["ctf_max_resolution"][1] == "999.0"
    (chart,) = [
        one for one in made.root.all("svg", class_="chart")
        if one.attributes["data-y"].split() == ["ctf_max_resolution"]
    ]  # fmt: skip
    (line,) = chart.all("path", class_="line")
    assert len(re.findall("[ML]", line.attributes["d"])) == t.n_tilts - 1


def test_results_and_history_of_earlier_sets_are_found(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_random_project(2, "relion4", "p")
    run(capsys, "select", "p", "--tn", "TS_0[12]", "-o", "a")
    write_result(here / "a", "TS_01")
    run(capsys, "select", "a", "--tn", "TS_01", "-o", "b")
    assert run(capsys, "report", "b", "-o", "r.html")[0] == 0
    made = page("r.html")
    assert made.table("set")["leave_out"] == ["0.52"]
    history, own = made.root.all("ol", class_="history")
    assert [one.text for one in own.all("code")] == [one.text for one in history.all("code")]
    assert [one.text for one in history.all("code")] == [
        "tomoset select p --tn 'TS_0[12]' -o a",
        "tomoset select a --tn TS_01 -o b",
    ]


def test_a_series_has_the_history_that_concerns_it(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_random_project(2, "relion4", "p")
    assert run(capsys, "exclude", "p", "--tn", "TS_02", "--index", "1", "-o", "a")[0] == 0
    # As the program leaves it: one series is done, another failed.
    token = typed.set(("tomoset", "align", "fiducials", "a", "--o", "b"))
    edit_files("a", "b", lambda project: project)
    typed.reset(token)
    result = write_result(here / "b", "TS_01", ("odd beads",))
    (here / "b/run_align_fiducials/TS_03.json").write_text('{"name": "TS_03", "files": []}')
    assert run(capsys, "convert", "b", "c", "--to", "relion5")[0] == 0
    write_report("c", "r.html")
    made = page("r.html")
    steps = [
        [(one.all("code")[0].text.split()[1], [said.text for said in one.all("li")]) for one in own]
        for own in (
            [li for li in article.all("ol", class_="history")[0].within if li.tag == "li"]
            for article in made.root.all("article")
        )
    ]
    aligned = list(program("align fiducials").lines(result))[:1]
    assert [[what for what, _ in own] for own in steps] == [
        ["align", "convert"],
        ["exclude", "convert"],
        ["align", "convert"],
    ]
    assert steps[0][0][1] == [*aligned, "odd beads"]
    assert steps[2][0][1] == [
        "no result of this series is there: it failed, is not done, or cannot be read"
    ]
    record = json.loads(next(Path("c").glob("*conversion.json")).read_text())["tomograms"]["TS_01"]
    assert f"{record['verified_points']} points" in " ".join(steps[0][1][1])
    assert "warning odd beads" in made.root.all("article")[0].text


def test_a_history_that_is_damaged_elsewhere_is_shown_as_far_as_it_goes(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_random_project(2, "relion4", "p")
    run(capsys, "select", "p", "--tn", "TS_0[12]", "-o", "a")
    run(capsys, "select", "a", "--tn", "TS_01", "-o", "b")
    with (here / "a/.tomoset/history.jsonl").open("a") as stream:
        stream.write("no history\n")
    made = write_report("b", "r.html")
    (command,) = page("r.html").root.all("section", class_="overview")[0].all("code")[-1:]
    assert command.text == "tomoset select a --tn TS_01 -o b"
    assert any("a/.tomoset/history.jsonl:2" in remark for remark in made.remarks)


def test_an_older_set_is_shown_beside(here: Path) -> None:
    write_random_project(2, "relion4", "p")
    project = open_project("p")
    tomograms = []
    for t in project.tomograms.values():
        moved = np.array(t.projections)
        moved[:, 0, 3] += np.linspace(0, 3, t.n_tilts)
        tomograms.append(replace(t, projections=moved))
    project.with_sets(tomograms=project.tomograms.with_tomograms(tomograms)).write("q", "relion4")
    write_report("q", "r.html", Options(compare="p"))
    made = page("r.html")
    tilts = made.table("by-tilt")
    moved_by = np.array(tilts["shift_x"], float) - np.array(tilts["shift_x_before"], float)
    assert moved_by == pytest.approx(np.linspace(0, 3, len(moved_by)), abs=0.05)  # they are bent
    assert "Before and after" in made.root.text


def test_images_that_were_taken_out_are_compared_with_the_right_ones(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_random_project(2, "relion4", "p", series=1)
    run(capsys, "exclude", "p", "--tn", "TS_01", "--index", "2", "-o", "q")
    write_report("q", "r.html", Options(compare="p", images="none"))
    tilts, left = page("r.html").table("by-tilt"), open_project("q").tomograms["TS_01"].n_tilts
    for key in ("shift_x", "axis", "defocus"):
        assert tilts[f"{key}_before"][:left] == tilts[key][:left]
        assert tilts[f"{key}_before"][left:] == ["-"]


@pytest.mark.parametrize("name", HOSTILE, ids=lambda name: name[:12])
def test_hostile_names_are_text(here: Path, name: str) -> None:
    write_hostile([name, "TS_01"])
    write_report("p", "r.html")
    made = page("r.html")
    assert made.table("set")["name"] == [printable(name), "TS_01"]
    headings = [one.text for one in made.root.all("h2", class_="name")]
    assert headings == [printable(name), "TS_01"]
    scripts = [one for one in made.root.all("script") if "type" not in one.attributes]
    assert len(scripts) == 1
    assert not [one for one in made.everything if "onerror" in one.attributes]


def test_what_no_file_can_hold_is_text_too() -> None:
    pages = Pages(Shortened())
    template = pages._environment.from_string("<p title='{{ name|verbatim }}'>{{ name|named }}</p>")
    made = Page(template.render(name="a\nb\x00'<i>\u202e"))
    assert typed_as(["tomoset", "select", "\u202e<i>"]) == r"tomoset select '\u202e<i>'"
    assert [one.tag for one in made.everything] == ["", "p", "bdi"]
    assert made.root.text == made.root.within[0].attributes["title"] == r"a\nb\x00'<i>\u202e"
    assert named("<") == "<bdi>&lt;</bdi>"


def test_there_are_no_absolute_paths_unless_asked(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_random_project(2, "relion4", "p")
    for path in here.glob("*.mrc"):
        path.unlink()  # so that a message names them
    # Paths as typed are in the history.
    assert run(capsys, "select", str(here / "p"), "--tn", "*", "-o", str(here / "q"))[0] == 0
    absolute = str(here / "q/tomograms.star")
    made = write_report(absolute, "r.html")
    text = Path("r.html").read_text()
    assert made.series == 3
    assert str(here) not in text
    assert os.path.expanduser("~") + "/" not in text
    assert "…/q" in text
    write_report(absolute, "r.html", Options(paths=True))
    assert str(here / "q") in Path("r.html").read_text()


def test_a_set_elsewhere_does_not_tell_where(
    here: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_random_project(2, "relion4", "p")
    (here / "TS_01.mrc").unlink()
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    write_report(here / "p", "r.html")
    made = page("r.html")
    assert here.name not in made.root.text
    assert made.root.all("h1")[0].text == "…/tomograms.star"


def test_paths_are_shortened_and_nothing_else() -> None:
    short = Shortened(["/data/my project/TS 1.mrc"])
    assert short("/data/my project/TS 1.mrc: none") == "…/TS 1.mrc: none"
    assert short("in '/a/b/c.st' and \"/x\"") == "in '…/c.st' and \"…/x\""
    assert short("../../home/me/a.star, ../b") == "…/a.star, …/b"
    assert short("Aligned/run_x/a.star, 1/2 e/Å²") == "Aligned/run_x/a.star, 1/2 e/Å²"
    assert Shortened(keep=True)("/a/b") == "/a/b"


def test_a_set_with_broken_parts_has_a_report_that_says_so(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_random_project(2, "relion5", "p")
    (here / "TS_01.mrc").unlink()
    table = here / "p/tilt_series/TS_02.star"
    table.write_text("data_\nloop_\n_rlnNothing #1\nx\n")
    (here / "p/.tomoset").mkdir(exist_ok=True)
    (here / "p/.tomoset/history.jsonl").write_text("no history\n")
    code, out, errors = run(capsys, "report", "p", "-o", "r.html", "--json")
    assert code == 1
    assert "TS_02" in errors
    said = json.loads(out)
    assert said["series"] == 2
    assert len(said["failures"]) == 1
    assert any("history" in remark for remark in said["remarks"])
    made = page("r.html")
    (wrong,) = made.root.all("section", class_="wrong")
    assert "TS_02" in wrong.text
    assert made.table("set")["name"] == ["TS_01", "TS_03"]
    assert "no tilt image" in made.root.text
    assert "history" in made.root.all("details", class_="remarks")[0].text


def test_what_is_assumed_is_said_and_an_error_where_asked(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_random_project(2, "relion4", "p")
    text = (here / "p/particles.star").read_text()
    (here / "p/particles.star").write_text(re.sub(r"\bTS_02\b(?!/)", "TS_99", text))
    code, _, errors = run(capsys, "report", "p", "-o", "r.html")
    assert code == 0
    assert "TS_99" in errors
    assert "TS_99" in page("r.html").root.all("details", class_="remarks")[0].text
    (here / "r.html").unlink()
    code, _, errors = run(capsys, "report", "p", "-o", "r.html", "--strict")
    assert code == 1
    assert "TS_99" in errors
    assert not (here / "r.html").exists()


def test_a_set_of_which_nothing_can_be_read_has_a_report(here: Path) -> None:
    write_random_project(2, "relion5", "p", series=1)
    (here / "p/tilt_series/TS_01.star").unlink()
    made = write_report("p", "r.html")
    assert (made.series, len(made.failures)) == (0, 1)
    assert "1 series cannot be read" in page("r.html").root.text


def test_other_files_are_not_replaced_and_reports_are(here: Path) -> None:
    write_random_project(2, "relion4", "p")
    Path("r.html").write_text("<p>mine</p>")
    with pytest.raises(FileAccessError, match="overwrite"):
        write_report("p", "r.html")
    assert Path("r.html").read_text() == "<p>mine</p>"
    write_report("p", "r.html", Options(overwrite=True))
    write_report("p", "r.html")
    with pytest.raises(FileAccessError, match="read by this command"):
        write_report("p", "p/tomograms.star", Options(overwrite=True))


def test_many_series_have_pages_of_their_own(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_write, "ONE_FILE", 2)
    write_random_project(2, "relion4", "p")
    made = write_report("p", "a report.html")
    assert made.pages == "a report_files"
    overview = page("a report.html")
    links = [one.attributes["href"] for one in overview.root.all("a", class_="name")]
    assert links == [f"a%20report_files/s{i}.html" for i in (1, 2, 3)]
    assert not overview.root.all("article")
    single = page("a report_files/s2.html")
    assert single.root.all("h2", class_="name")[0].text == "TS_02"
    hrefs = [one.attributes["href"] for one in single.root.all("nav")[0].all("a")]
    assert hrefs == ["../a%20report.html#overview", "s1.html", "s3.html"]
    assert single.policy["default-src"] == "'none'"
    write_report("p", "a report.html")  # ours is replaced
    Path("a report_files/s1.html").write_text("mine")
    with pytest.raises(FileAccessError, match="overwrite"):
        write_report("p", "a report.html")


def test_curves_are_where_their_axes_say(here: Path) -> None:
    """Each point of a path, read back by the ticks of its axes, is a number of the table."""
    write_random_project(2, "relion4", "p", series=1)
    write_report("p", "r.html", Options(images="none"))
    made = page("r.html")
    tilts, compared = made.table("by-tilt"), 0
    for chart in made.root.all("svg", class_="chart"):
        drawn = chart.attributes["data-y"].split()
        scales = []
        for kind, which in (("across", "x"), ("up", "y")):
            ticks = [one for one in chart.all("text", class_=kind) if re.match(r"-?\d", one.text)]
            at = [float(one.attributes[which]) for one in ticks]
            numbers = [float(one.text) for one in ticks]
            if len(at) > 1:
                scales.append(np.polyfit(at, numbers, 1))
        if len(scales) < 2:
            continue
        for key, line in zip(drawn, chart.all("path", class_="line"), strict=True):
            points = np.array(re.findall(r"[ML](\S+) ([^ML]+)", line.attributes["d"]), float)
            points[:, 1] += 3.5  # where the text of a tick stands, against its line
            x, y = (np.polyval(scale, v) for scale, v in zip(scales, points.T, strict=True))
            order = np.argsort(np.array(tilts["tilt"], float))
            assert x == pytest.approx(np.array(tilts["tilt"], float)[order], abs=0.5), key
            values = np.array(tilts[key], float)[order]
            room = 0.02 * np.ptp(values) + 0.06
            assert y == pytest.approx(values, abs=room), key
            compared += 1
    assert compared > 4


@pytest.mark.parametrize("images", ["all", "central", "none"])
def test_images_are_as_asked(here: Path, images: _write.Images) -> None:
    write_random_project(2, "relion4", "p", series=2)
    write_report("p", "r.html", Options(images=images))
    made = page("r.html")
    shown = [one for one in made.everything if one.tag in ("img", "image")]
    strips = 2 if images == "all" else 0
    assert len([one for one in shown if one.tag == "img"]) == (0 if images == "none" else 4)
    assert len([one for one in shown if one.tag == "image"]) == strips


@pytest.mark.parametrize("largest", [7, 12, 40])
def test_pictures_are_means_of_blocks(largest: int) -> None:
    """Against loops over blocks: all rows of them, or of large ones every so many."""
    image = np.random.default_rng(1).normal(0, 1, (71, 60)).astype(np.float32)
    found, width = binned(image, largest)
    assert width == math.ceil(71 / largest)
    step = max(1, width // 4)
    for row, column in np.ndindex(found.shape):
        block = image[row * width : (row + 1) * width, column * width : (column + 1) * width]
        assert found[row, column] == pytest.approx(block[::step].mean(dtype=float), abs=1e-5)


def test_large_images_are_not_in_memory(here: Path) -> None:
    (t,) = random_project(1, series=1).tomograms.values()
    side = 2048
    write_stack(Path("large.mrc"), t.n_tilts, (side, side))
    t = replace(t, stack="large.mrc", image_size=(side, side))
    list(tilt_images(t, [0], 112))  # so that all is imported
    tracemalloc.start()
    shown = list(tilt_images(t, range(t.n_tilts), 112))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(shown) == t.n_tilts
    assert peak < side * side  # one pixel takes more than a byte


def test_volumes_of_zarr_are_said_not_to_be_shown(here: Path) -> None:
    (t,) = random_project(1, series=1).tomograms.values()
    made = replace(t, reconstruction=Reconstruction(path="rec.zarr", binning=2.0))
    Project(tomograms=TomogramSet([made], format="relion5")).write("p", "relion5")
    write_report("p", "r.html")
    assert "rec.zarr: Zarr is written but not read" in page("r.html").root.text


def test_nothing_is_minus_zero() -> None:
    assert (FORMS["degrees"](-0.001), FORMS["odds"](-0.01), FORMS["tilt"](-60.04)) == (
        "0.00",
        "+0.0",
        "-60.0",
    )


def test_what_stands_out_is_marked() -> None:
    rng = np.random.default_rng(3)
    numbers = [*rng.normal(0, 1, 50).tolist(), 9.0, -9.0, None]
    assert outlying(numbers) == [*[""] * 50, "high", "low", ""]
    assert outlying([41, 41, 41, 41, 40.9, 39]) == ["", "", "", "", "", "low"]
    assert outlying([1.0, 100.0]) == ["", ""]


def test_resolution_is_where_half_of_a_wave_is_left() -> None:
    """By the mean of a wave over a Gaussian error, summed over its distribution."""
    d = supported_resolution(math.sqrt(2) * 1.7)
    x = np.linspace(-12 * 1.7, 12 * 1.7, 20001)
    weight = np.exp(-0.5 * (x / 1.7) ** 2)
    assert (weight * np.cos(2 * np.pi * x / d)).sum() / weight.sum() == pytest.approx(0.5, abs=1e-9)


def test_lines_of_sight_meet_planes_where_they_are_projected_from() -> None:
    (t,) = random_project(5, series=1).tomograms.values()
    places = np.array([[10.0, 20.0], [40.0, 31.0]])
    for tilt in range(t.n_tilts):
        points = on_plane(t, tilt, places, 12.0)
        assert points[:, 2].tolist() == [12.0, 12.0]
        assert t.project(points)[tilt] == pytest.approx(places, abs=1e-6)
