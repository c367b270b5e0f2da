"""Pages from templates: all text is escaped, style and script are in the page.

A policy in the page tells the browser what it may do: nothing is loaded, and no script runs but
ours, which its hash names.
"""

from __future__ import annotations

import base64
import hashlib
import shlex
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from markupsafe import Markup, escape

from tomoset.errors import printable

if TYPE_CHECKING:
    from jinja2 import Environment

_HERE = files("tomoset.report")
#: Of the page; `view` adds where it may ask for images.
POLICY = {
    "default-src": "'none'",
    "img-src": "data:",
    "base-uri": "'none'",
    "form-action": "'none'",
}


@cache
def asset(name: str) -> Markup:
    """A file of style or script: it is ours, and is not escaped."""
    return Markup(_HERE.joinpath("static", name).read_text(encoding="utf-8"))


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def policy(style: str, script: str, more: Mapping[str, str]) -> str:
    """A Content-Security-Policy for a page with this style and script."""
    rules = {**POLICY, "style-src": _hash(style), "script-src": _hash(script), **more}
    return "; ".join(f"{what} {where}" for what, where in rules.items())


def named(name: str) -> Markup:
    """A name as text: on one line, in its own direction, whatever it holds."""
    return Markup("<bdi>{}</bdi>").format(printable(name))


def verbatim(text: str) -> Markup:
    """Text that is no path, such as a name in an attribute."""
    return escape(printable(text))


def typed(words: Sequence[str]) -> str:
    """A command as a shell takes it, on one line."""
    return printable(shlex.join(words))


def minute(time: str) -> str:
    """A time of the history, to the minute.

    Examples
    --------
    >>> minute("2026-01-31T10:20:30.123+00:00")
    '2026-01-31 10:20 UTC'
    """
    return f"{time[:16].replace('T', ' ')} UTC"


class Pages:
    """Templates of pages.

    Parameters
    ----------
    shortened : callable
        What becomes of every text that is shown, other than names: paths are shortened there.
    **common
        What all templates are given.
    """

    def __init__(self, shortened: Callable[[str], str], **common: Any) -> None:
        from jinja2 import Environment, PackageLoader, StrictUndefined

        def finalize(value: Any) -> Any:
            plain = isinstance(value, str) and not isinstance(value, Markup)
            return shortened(value) if plain else value

        self._environment: Environment = Environment(
            loader=PackageLoader("tomoset.report"),
            autoescape=True,
            undefined=StrictUndefined,
            finalize=finalize,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.filters.update(named=named, verbatim=verbatim, typed=typed, minute=minute)
        self._environment.globals.update(common)

    def part(self, template: str, **given: Any) -> Markup:
        """A part of a page."""
        return Markup(self._environment.get_template(template).render(given))

    def page(
        self, template: str, script: str, policy_more: Mapping[str, str] | None = None, **given: Any
    ) -> str:
        """A whole page, with its style and this script."""
        style, code = asset("report.css"), asset(script)
        rules = policy(style, code, policy_more or {})
        return self.part(template, style=style, script=code, policy=Markup(rules), **given)
