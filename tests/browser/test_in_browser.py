"""What a person does with a report and a viewer, in a real browser (make test-browser)."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.builders.image_stacks import write_images, write_map
from tests.builders.random_projects import random_project
from tomoset.model import Fiducials, Observations, Project, Reconstruction, TomogramSet
from tomoset.project import open_readable
from tomoset.report import write_report
from tomoset.report.view import Answers, Server

pytestmark = pytest.mark.browser

Tab = Callable[..., Any]
HOSTILE = "<img src=x onerror=document.title='hacked'>"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where a set of 12 series is, one of them of a hostile name, and its report."""
    folder = tmp_path_factory.mktemp("set")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        write_set()
        write_report("p", "report.html")
        yield folder


def write_set() -> None:
    rng = np.random.default_rng(2)
    project = random_project(2, series=12)
    tomograms, beads = [], {}
    for i, t in enumerate(project.tomograms.values()):
        name = HOSTILE if i == 5 else t.name
        shape = (t.n_tilts, *t.need_image_size()[::-1])
        write_images(f"{t.name}.mrc", rng.normal(100, 10, shape).astype(np.float32))
        x, y, z = t.need_size()
        write_map(f"rec_{t.name}.mrc", rng.normal(0, 1, (z, y, x)).astype(np.float32))
        made = Reconstruction(path=f"rec_{t.name}.mrc", binning=1.0)
        t = replace(t, name=name, reconstruction=made, deformation=None)
        points = rng.uniform(0.2, 0.8, (6, 3)) * t.need_size()
        at = t.project(points) + rng.normal(0, 0.3, (t.n_tilts, 6, 2))
        tilt, bead = np.indices(at.shape[:2]).reshape(2, -1)
        seen = Observations(bead=bead, tilt=tilt, points=at.reshape(-1, 2))
        tomograms.append(t)
        beads[name] = Fiducials(points=points, observations=seen)
    whole = TomogramSet(tomograms, format="relion4")
    Project(tomograms=whole, fiducials=beads).write("p", "relion4")


@pytest.fixture
def report(folder: Path) -> str:
    return (folder / "report.html").as_uri()


def names(page: Any) -> list[str]:
    found: list[str] = page.locator("table.set tbody th").all_inner_texts()
    return [name.strip() for name in found]


def numbers(page: Any, key: str) -> list[float]:
    heads = page.locator("table.set thead th").evaluate_all("all => all.map(x => x.dataset.key)")
    cells = page.locator(f"table.set tbody tr > :nth-child({heads.index(key) + 1})")
    return [float(text.strip(" ▲▼")) for text in cells.all_inner_texts()]


def test_the_table_sorts_by_mouse_and_keyboard(tab: Tab, report: str) -> None:
    page = tab(report, offline=True)
    assert len(names(page)) == 12
    assert HOSTILE in names(page)
    assert page.title() != "hacked"
    head = page.locator(".set th[data-key=defocus]")
    head.locator("button").click()
    assert numbers(page, "defocus") == sorted(numbers(page, "defocus"))
    assert head.get_attribute("aria-sort") == "ascending"
    head.locator("button").press("Enter")
    assert numbers(page, "defocus") == sorted(numbers(page, "defocus"), reverse=True)
    page.locator(".set th[data-key=name] button").click()
    assert names(page)[0] == HOSTILE
    assert names(page)[1:3] == ["TS_01", "TS_02"]


def test_the_table_filters_by_name_and_by_number(tab: Tab, report: str) -> None:
    page = tab(report)
    page.fill("[name=filter]", "ts_1")
    assert names(page) == ["TS_10", "TS_11", "TS_12"]
    assert page.locator("output[name=count]").inner_text() == "3 of 12 series"
    page.fill("[name=filter]", "tilts >= 6 and defocus < 2.5")
    shown = zip(numbers(page, "tilts"), numbers(page, "defocus"), strict=True)
    assert all(tilts >= 6 and defocus <= 2.5 for tilts, defocus in shown)
    assert 0 < len(names(page)) < 12
    page.click("[name=clear]")
    assert len(names(page)) == 12


def test_brushing_a_plot_filters_the_table(tab: Tab, report: str) -> None:
    page = tab(report)
    plot = page.locator(".plot svg").first
    box = plot.bounding_box()
    x, y, width, height = (box[key] for key in ("x", "y", "width", "height"))
    page.mouse.move(x + 0.1 * width, y + 0.02 * height)
    page.mouse.down()
    page.mouse.move(x + 0.55 * width, y + 0.9 * height, steps=4)
    page.mouse.up()
    assert 0 < len(names(page)) < 12
    assert names(page)[0] == "TS_01"
    page.click("[name=clear]")
    assert len(names(page)) == 12


def test_points_tell_what_they_are_and_open_their_series(tab: Tab, report: str) -> None:
    page = tab(report)
    plot = page.locator(".plot").first
    at = plot.locator(".points.on").get_attribute("d").removeprefix("M").split("h0")[0].split()
    box = plot.locator("svg").bounding_box()
    place = [box["x"] + float(at[0]) / 320 * box["width"],
             box["y"] + float(at[1]) / 200 * box["height"]]  # fmt: skip
    page.mouse.move(*place)
    assert plot.locator("figcaption output").inner_text().startswith("TS_01: ")
    page.mouse.click(*place)
    assert page.locator("#s1 h2").is_visible()


def test_a_series_opens_turns_and_tells(tab: Tab, report: str) -> None:
    page = tab(report)
    page.click(".set >> text=TS_02")
    assert page.locator("#s2 h2").is_visible()
    assert not page.locator("#overview").is_visible()
    scene = page.locator("#s2 .scene")
    scene.scroll_into_view_if_needed()
    page.wait_for_selector("#s2 .scene[data-turned]")
    before = scene.get_attribute("data-turned")
    scene.focus()
    page.keyboard.press("ArrowRight")
    turned = scene.get_attribute("data-turned")
    assert turned != before
    box = scene.bounding_box()
    page.mouse.move(box["x"] + 100, box["y"] + 100)
    page.mouse.down()
    page.mouse.move(box["x"] + 150, box["y"] + 120)
    page.mouse.up()
    assert scene.get_attribute("data-turned") != turned
    chart = page.locator("#s2 .chart").first
    chart.hover(position={"x": 100, "y": 60})
    said = page.locator("#s2 .of-charts output").first.inner_text()
    assert "shift x (px): " in said
    page.locator("#s2 summary").click()
    value = said.split("shift x (px): ")[1].split(",")[0]
    assert value in page.locator("#s2 .by-tilt").inner_text()
    page.click("#s2 nav >> text=Next")
    assert page.locator("#s3 h2").is_visible()
    page.click("#s3 nav >> text=Overview")
    assert page.locator("#overview").is_visible()


def test_many_series_are_shown_by_and_by(
    tab: Tab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_many(120)
    write_report("p", "r.html")
    page = tab((tmp_path / "r.html").as_uri())
    assert len(names(page)) == 100
    page.click("[name=on]")
    assert names(page)[0] == "TS_101"
    assert len(names(page)) == 20
    assert page.locator("[name=on]").is_disabled()
    page.locator(".set th[data-key=name] button").dblclick()
    assert names(page)[0] == "TS_120"


@pytest.mark.slow
def test_thousands_of_series_open_and_sort_at_once(
    tab: Tab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_many(5000)
    made = write_report("p", "r.html")
    assert made.size < 25e6
    assert made.pages == "r_files"
    page = tab((tmp_path / "r.html").as_uri())
    entry = "performance.getEntriesByType('navigation')[0].toJSON().loadEventEnd"
    assert page.evaluate(entry) < 3000
    # By hand, and to the next frame that is painted.
    sorting = """async () => {
      const start = performance.now();
      document.querySelector(".set th[data-key=defocus] button").click();
      await new Promise((go) => requestAnimationFrame(() => setTimeout(go, 0)));
      return performance.now() - start;
    }"""
    assert min(page.evaluate(sorting) for _ in range(3)) < 300
    assert numbers(page, "defocus") == sorted(numbers(page, "defocus"))
    page.locator("table.set tbody a").first.click()
    assert page.locator(".alone h2").is_visible()


def write_many(series: int) -> None:
    tomograms = random_project(1, series=series).tomograms
    Project(tomograms=tomograms).write("p", "relion4")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("place", ["", "#s2"])
def test_nothing_keeps_people_out(tab: Tab, report: str, axe: str, place: str, scheme: str) -> None:
    page = tab(report + place, color_scheme=scheme)
    assert serious(page, axe) == []


def serious(page: Any, axe: str) -> list[tuple[str, str]]:
    page.evaluate(axe)
    found = page.evaluate("axe.run()")["violations"]
    return [
        (one["id"], one["nodes"][0]["html"][:200])
        for one in found
        if one["impact"] in ("serious", "critical")
    ]


@pytest.mark.parametrize("place", ["", "#s2"])
def test_a_phone_shows_all_of_it(tab: Tab, report: str, place: str) -> None:
    page = tab(report + place, viewport={"width": 390, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_it_prints(tab: Tab, report: str) -> None:
    page = tab(report)
    page.emulate_media(media="print")
    assert not page.locator(".filter").is_visible()
    assert page.locator("table.set").is_visible()


@pytest.fixture
def viewer(folder: Path) -> Iterator[Server]:
    with Server(Answers(open_readable("p"), "p", "TS_02")) as server:
        thread = threading.Thread(target=server.serve)
        thread.start()
        yield server
        server.stop()
        thread.join()


def test_the_viewer_follows_a_point_and_marks_images(tab: Tab, viewer: Server, axe: str) -> None:
    page = tab(viewer.address)
    page.wait_for_selector(".tilt[data-drawn]")
    page.wait_for_selector(".slice[data-drawn]")
    assert serious(page, axe) == []
    page.locator(".tilt").click(position={"x": 150, "y": 120})
    page.wait_for_selector(".followed:not([hidden])")
    assert page.locator("[name=point]").inner_text().count(",") == 2
    page.click("[name=boxes]")
    page.wait_for_selector(".boxes:not([hidden])")
    first = page.locator(".tilt").get_attribute("data-drawn")
    page.locator(".tilt").press("ArrowRight")
    page.wait_for_selector(f".tilt:not([data-drawn='{first}'])")
    page.locator(".tilt").press("x")
    page.wait_for_selector(".taken:not([hidden])")
    command = page.locator(".taken code").inner_text()
    assert command.startswith("tomoset exclude p --tn TS_02 --index ")
    page.select_option("[name=series]", label=HOSTILE)
    page.locator(".slice").click(position={"x": 100, "y": 100})
    assert page.title() != "hacked"
