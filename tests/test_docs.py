"""The examples of the documentation run, and what refers to a heading finds it."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

import pytest

from tomoset import figures

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [*sorted(DOCS.rglob("*.md")), ROOT / "README.md", ROOT / "CONTRIBUTING.md"]

#: In the code: docs/relion.md, 'Particles' and 'Particles of RELION 5'.
REFERENCE = re.compile(r"docs/(\w+\.md)((?:[\s#]*(?:,|and)[\s#:]+'[^']+')+)")


@pytest.mark.parametrize("name", ["conventions.md"])
def test_examples_of_the_documentation(name: str) -> None:
    result = doctest.testfile(str(DOCS / name), module_relative=False, encoding="utf-8")
    assert result.attempted > 5
    assert result.failed == 0


def headings(page: Path) -> list[str]:
    """The titles of a page, without the marks of code."""
    text = re.sub(r"(?ms)^```.*?^```", "", page.read_text())
    return [title.replace("`", "") for title in re.findall(r"(?m)^#+ (.+?) *$", text)]


def anchor(title: str) -> str:
    """What a link calls a title, on GitHub and elsewhere."""
    return re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        file, _, title = target.partition("#")
        if "://" in file:
            continue
        other = page.parent / file if file else page
        assert other.exists(), target
        assert not title or title in map(anchor, headings(other)), target


def test_pictures_are_small_and_shown_on_a_page() -> None:
    """Those of a real series are made, but not kept."""
    pictures = [p for p in (DOCS / "pictures").glob("*.png") if not p.name.startswith("needle")]
    assert pictures
    assert sum(p.stat().st_size for p in pictures) < 1.5e6
    gallery = (DOCS / "figures.md").read_text()
    assert [p.name for p in pictures if f"(pictures/{p.name})" not in gallery] == []


def test_every_figure_is_in_the_gallery() -> None:
    gallery = (DOCS / "figures.md").read_text()
    others = {"prepare", "save"}
    assert [n for n in figures.__all__ if n not in others and f"`figures.{n}`" not in gallery] == []


def test_the_code_refers_to_titles_that_there_are() -> None:
    own = Path(__file__)
    for path in [*(ROOT / "src").rglob("*.py"), *(ROOT / "tests").rglob("*.py")]:
        for name, rest in REFERENCE.findall("" if path == own else path.read_text()):
            there = headings(DOCS / name)
            for title in re.findall(r"'([^']+)'", rest):
                words = re.sub(r"[\s#:]+", " ", title)  # it may go on in the next line
                assert words in there, f"{path}: docs/{name} has no {words!r}"
