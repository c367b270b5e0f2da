"""What is wanted of a program, said by name."""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import MISSING, fields, is_dataclass, replace
from typing import Any, TypeVar, get_args, get_type_hints

from tomoset.errors import ModelError
from tomoset.run._resources import Resources

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])

_PARAMETERS = re.compile(r"Parameters\n-+\n(.*?)(?:\n\n[A-Z][^\n]*\n-+\n|\Z)", re.DOTALL)


def wanted(
    kind: type[T], options: T | None, resources: Resources | None, by_name: Mapping[str, Any]
) -> tuple[T, Resources]:
    """Options and resources of a program, where fields may be given by their names.

    Fields of options that are fields themselves are given by their own names; one that may be
    absent is there if it is True, or a mapping of its fields.

    Parameters
    ----------
    kind : type
        Of the options: a dataclass.
    options : object, optional
        What holds for fields that are not given by name.
    resources : Resources, optional
        The same of resources.
    by_name : mapping
        Fields of both.

    Raises
    ------
    ModelError
        If a name is unknown, or an option that has to be given is not.

    Examples
    --------
    >>> from dataclasses import dataclass
    >>> @dataclass(frozen=True)
    ... class Options:
    ...     binning: float = 4.0
    >>> options, resources = wanted(Options, None, None, {"binning": 2, "threads": 8})
    >>> options, resources.threads
    (Options(binning=2), 8)
    """
    given = dict(by_name)
    found = filled(Resources, resources, given)
    return chosen(kind, options, given, also=names_of(Resources)), found


def chosen(
    kind: type[T], options: T | None, by_name: Mapping[str, Any], also: Iterable[str] = ()
) -> T:
    """The same of options alone; an error tells of other names that there are."""
    known = names_of(kind)
    unknown = [name for name in by_name if name not in known]
    if unknown:
        every = dict.fromkeys([*known, *also])
        raise ModelError(f"there is no option {unknown[0]!r}; there are {', '.join(every)}")
    return _filled(kind, options, by_name)


def filled(kind: type[T], base: T | None, given: dict[str, Any]) -> T:
    """An object of a kind, with those of its fields that are given, which are taken out."""
    mine = {name: given.pop(name) for name in names_of(kind) if name in given}
    return _filled(kind, base, mine)


def _filled(kind: type[T], base: T | None, given: Mapping[str, Any]) -> T:
    changes: dict[str, Any] = {}
    for field, inner, optional in _fields(kind):
        if field.name in given:
            changes[field.name] = _made(inner, given[field.name])
        elif inner is not None and not optional:
            old = None if base is None else getattr(base, field.name)
            changes[field.name] = _filled(inner, old, given)
        elif base is None and field.default is MISSING and field.default_factory is MISSING:
            raise ModelError(f"the option {field.name!r} has to be given")
    return kind(**changes) if base is None else replace(base, **changes)  # type: ignore[type-var]


def _made(inner: type | None, value: Any) -> Any:
    """A field that is options itself, from what says them."""
    if inner is None or not isinstance(value, bool | Mapping):
        return value
    if isinstance(value, bool):
        return inner() if value else None
    return _filled(inner, None, value)


def _fields(kind: type) -> list[tuple[Any, type | None, bool]]:
    """Fields; of those that are options themselves, their type; whether they may be absent."""
    hints = get_type_hints(kind)
    found = []
    for field in fields(kind):
        types = [*get_args(hints[field.name]), hints[field.name]]
        inner = next((t for t in types if isinstance(t, type) and is_dataclass(t)), None)
        found.append((field, inner, type(None) in types))
    return found


def names_of(kind: type) -> list[str]:
    """Names by which fields of options can be given."""
    names: list[str] = []
    for field, inner, optional in _fields(kind):
        names += [field.name] if inner is None or optional else names_of(inner)
    return list(dict.fromkeys(names))


def documented(kind: type) -> Callable[[F], F]:
    """Put what can be given by name in place of ``{options}`` in a function's docstring."""

    def fill(function: F) -> F:
        fields = described(kind, inspect.signature(function).parameters)
        text = function.__doc__ or ""
        function.__doc__ = text.replace("{options}", textwrap.indent(fields, " " * 8).strip())
        return function

    return fill


def described(kind: type, besides: Collection[str] = ()) -> str:
    """What docstrings of options say of fields that can be given by name, besides others."""
    known = {*names_of(kind)} - {*names_of(Resources), *besides}
    entries: dict[str, str] = {}
    for names, entry in _entries(kind):
        if known & {*names.split(", ")}:
            entries.setdefault(names, entry)
    return "\n".join(entries.values())


def _entries(kind: type) -> Iterator[tuple[str, str]]:
    """Parameters in docstrings, by their names."""
    for base in reversed(kind.__mro__):
        found = _PARAMETERS.search(inspect.cleandoc(base.__doc__ or ""))
        for entry in re.split(r"\n(?=\S)", found[1]) if found else ():
            yield re.split(r" :|\n", entry)[0], entry
    for _, inner, optional in _fields(kind):
        if inner is not None and not optional:
            yield from _entries(inner)
