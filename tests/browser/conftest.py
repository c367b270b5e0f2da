"""A real browser, where there is one: Debian's Chromium, driven by playwright."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

#: By which names Chromium is called.
_NAMES = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """The browser; tests are skipped without it."""
    path = next(filter(None, map(shutil.which, _NAMES)), None)
    if path is None:
        pytest.skip("Chromium is not there: apt-get install chromium")
    api = pytest.importorskip("playwright.sync_api", reason="pip install 'tomoset[browser]'")
    with api.sync_playwright() as playwright:
        # Its sandbox needs rights that a container may not give; pages are our own.
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def tab(chromium: Any) -> Iterator[Callable[..., Any]]:
    """Opens an address; what the console says is wrong fails the test at its end."""
    wrong: list[str] = []
    contexts = []

    def go(address: str, **options: Any) -> Any:
        given = {"viewport": {"width": 1280, "height": 900}, **options}
        context = chromium.new_context(**given)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(10_000)
        page.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.goto(address)
        return page

    yield go
    for context in contexts:
        context.close()
    assert wrong == []


@pytest.fixture(scope="session")
def axe() -> str:
    """The source of axe-core, which judges how accessible a page is."""
    package = pytest.importorskip("axe_core_python", reason="pip install 'tomoset[browser]'")
    return (Path(package.__path__[0]) / "axe.min.js").read_text(encoding="utf-8")
