"""A page of HTML, taken apart by the standard library: what is on it, and what it may do."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass, field
from html.parser import HTMLParser

#: Elements that end where they begin.
_VOID = {"meta", "link", "img", "input", "br"}


@dataclass
class Element:
    """A tag, its attributes, and its text with that of all within."""

    tag: str
    attributes: dict[str, str]
    parts: list[str] = field(default_factory=list)
    within: list[Element] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(self.parts).strip()

    def all(self, tag: str, **attributes: str) -> list[Element]:
        """Elements below with a tag, and these words among those of attributes (class_: class)."""
        found = []
        for one in self.within:
            said = {k.rstrip("_").replace("_", "-"): v for k, v in attributes.items()}
            if one.tag == tag and all(
                v in one.attributes.get(k, "").split() for k, v in said.items()
            ):
                found.append(one)
            found += one.all(tag, **attributes)
        return found


class Page(HTMLParser):
    """Reads a page; every element that is opened must be closed in order.

    Attributes
    ----------
    root : Element
        Holds all others.
    """

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.root = Element("", {})
        self._open = [self.root]
        self.feed(text)
        self.close()
        assert len(self._open) == 1, [one.tag for one in self._open]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        made = Element(tag, {name: value or "" for name, value in attrs})
        self._open[-1].within.append(made)
        if tag not in _VOID:
            self._open.append(made)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._open[-1].within.append(Element(tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        # In HTML, rows, cells and items may stay open; ours never do.
        assert self._open[-1].tag == tag, (tag, [one.tag for one in self._open])
        self._open.pop()

    def handle_data(self, data: str) -> None:
        for one in self._open:
            one.parts.append(data)

    @property
    def everything(self) -> list[Element]:
        """All elements."""

        def below(one: Element) -> list[Element]:
            return [one, *(e for inside in one.within for e in below(inside))]

        return below(self.root)

    @property
    def policy(self) -> dict[str, str]:
        """What the page lets the browser do, by kind."""
        (meta,) = self.root.all("meta", http_equiv="Content-Security-Policy")
        rules = (rule.strip().partition(" ") for rule in meta.attributes["content"].split(";"))
        return {kind: where for kind, _, where in rules}

    def table(self, kind: str) -> dict[str, list[str]]:
        """Columns of the first table of a class, by the keys of their headings."""
        table = self.root.all("table", class_=kind)[0]
        keys = [one.attributes.get("data-key", "") for one in table.all("th", scope="col")]
        rows = table.all("tbody")[0].all("tr")
        cells = [[c.text for c in row.within] for row in rows]
        return {key: [row[i] for row in cells] for i, key in enumerate(keys) if key}


def hashed(text: str) -> str:
    """As a policy names the content of a script or style."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
