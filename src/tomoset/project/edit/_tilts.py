"""Tilt images that are chosen: by number, by name, or by a condition."""

from __future__ import annotations

import fnmatch
import os
import re
import warnings
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from tomoset.errors import AssumptionWarning, ModelError, some_of
from tomoset.model import Project, Tomogram
from tomoset.paths import image_place
from tomoset.project.edit.conditions import Condition, Values, no_such_quantity
from tomoset.project.edit.quantities import SeriesQuantities

#: What a comparison begins with.
_COMPARED = re.compile(r"\s*(<=|>=|<|>|==|!=)")
_PART = re.compile(r"(\d+)(?:-(\d+))?\Z")


@dataclass(frozen=True, kw_only=True)
class Tilts:
    """Which tilt images are meant: those that fit any of what is given.

    Parameters
    ----------
    numbers : str
        A list as IMOD's, ``1-3,40``: places in the whole series, from 1, those that are out
        included.
    where : str, optional
        A condition on quantities of a tilt image, such as ``tilt > 50 or ctf_max_resolution > 20``
        (docs/projects.md, 'Conditions').
    tilts, dose : str, optional
        Short for such conditions: ``>50``.
    images : sequence of str
        Names of images or movies, or patterns of them; with or without their folder.
    """

    numbers: str = ""
    where: str | None = None
    tilts: str | None = None
    dose: str | None = None
    images: Sequence[str] = ()

    def conditions(self) -> list[Condition]:
        """What is to hold of a tilt image, one way or another."""
        texts = [] if self.where is None else [self.where]
        for quantity, said in (("tilt", self.tilts), ("dose", self.dose)):
            if said is None:
                continue
            if not _COMPARED.match(said):
                raise ModelError(f"expected a comparison like '>50' of {quantity}, found {said!r}")
            texts.append(f"{quantity} {said}")
        return list(map(Condition, texts))

    def rows(self, project: Project, names: Collection[str]) -> dict[str, list[int]]:
        """Rows of the tables of some tomograms, from 0; those that have none are left out.

        Raises
        ------
        ModelError
            If a number, or an image, is not there, a condition makes no sense, or nothing is said.
        """
        conditions, numbers = self.conditions(), tilt_numbers(self.numbers)
        if not (conditions or numbers or self.images):
            raise ModelError("say which tilt images are meant (`numbers`, `where`, `images`)")
        chosen = {name: set[int]() for name in names}
        for name in names:
            chosen[name].update(_numbered(project.tomograms[name], numbers))
        _add_images(project, chosen, self.images)
        if conditions:
            _add_where(project, chosen, conditions)
        return {name: sorted(rows) for name, rows in chosen.items() if rows}


def tilt_numbers(text: str) -> list[int]:
    """Numbers of a list as IMOD's.

    Examples
    --------
    >>> tilt_numbers("1-3, 40")
    [1, 2, 3, 40]
    """
    numbers: dict[int, None] = {}
    for part in filter(None, re.split(r"[,\s]+", re.sub(r"\s*-\s*", "-", text.strip()))):
        match = _PART.match(part)
        first, last = (
            (0, 0) if match is None else (int(match[1][:7]), int((match[2] or match[1])[:7]))
        )
        if not 1 <= first <= last <= 100_000:
            raise ModelError(
                f"expected numbers of tilt images from 1, like 1-3,40, found {part!r} in {text!r}"
            )
        numbers |= dict.fromkeys(range(first, last + 1))
    return list(numbers)


def _numbered(t: Tomogram, numbers: Sequence[int]) -> Iterable[int]:
    """Rows of tilt images by their places in the whole series; those that are out have none."""
    total = t.n_tilts + len(t.exclusions)
    beyond = [number for number in numbers if number > total]
    if beyond:
        raise ModelError(
            f"tomogram {t.name!r} has {total} tilt images, so there is no number {beyond[0]}; say "
            "which tomograms are meant (`names`)"
        )
    place = {row + 1: i for i, row in enumerate(t.original_rows())} if numbers else {}
    return (place[number] for number in numbers if number in place)


def _add_images(project: Project, chosen: dict[str, set[int]], patterns: Sequence[str]) -> None:
    unused = dict.fromkeys(patterns)
    for name in chosen if patterns else ():
        for row, called in enumerate(_called(project.tomograms[name])):
            fits = [p for p in patterns if any(_fits(text, p) for text in called)]
            if fits:
                chosen[name].add(row)
            for pattern in fits:
                unused.pop(pattern, None)
    if unused:
        some = [c[0] for t in project.tomograms.values() for c in _called(t)[:1] if c]
        raise ModelError(
            f"no tilt image is called {some_of(list(unused))}"
            + (f"; there are such as {some_of(some)}" if some else ", as the set names none")
        )


def _fits(text: str, pattern: str) -> bool:
    return text == pattern or fnmatch.fnmatchcase(text, pattern)


def _called(t: Tomogram) -> list[list[str]]:
    """What each tilt image, and its movie, is called: with its folder and without."""
    names: list[list[str]] = [[] for _ in range(t.n_tilts)]
    if t.images is not None or t.stack is not None:
        for row, (path, section) in enumerate(t.image_sections()):
            single = t.images is not None and "@" not in t.images[row]
            names[row] += (
                [path] if single else [f"{section + 1:06d}@{path}", f"{section + 1}@{path}"]
            )
    for row, movie in enumerate(t.movies or ()):
        names[row].append(image_place(movie)[0])
    return [[form for name in own for form in _forms(name)] for own in names]


def _forms(name: str) -> list[str]:
    number, at, path = name.rpartition("@")
    base = os.path.basename(path)
    return [name, f"{number}{at}{base}", f"{number}{at}{os.path.splitext(base)[0]}"]


def _add_where(
    project: Project, chosen: dict[str, set[int]], conditions: Sequence[Condition]
) -> None:
    quantities = SeriesQuantities(project)
    unknown, total = dict[str, int](), 0
    for name, rows in chosen.items():
        t, of = project.tomograms[name], quantities.of_tilts(name)
        total += t.n_tilts
        for condition in conditions:
            values = {n: of.get(n) for n in condition.names}
            told = condition.of(t.n_tilts, _known(values, t.n_tilts).get)
            rows.update(np.flatnonzero(told.true).tolist())
            if told.unknown.any():
                unknown[name] = unknown.get(name, 0) + int(told.unknown.sum())
    _refuse_unheard(quantities, chosen, conditions)
    if unknown:
        names = dict.fromkeys(n for condition in conditions for n in condition.names)
        warnings.warn(
            f"{sum(unknown.values())} of {total} tilt images are not touched, as "
            f"{' or '.join(names)} is not known of them: those of {some_of(list(unknown))}",
            AssumptionWarning,
            stacklevel=4,
        )


def _known(values: dict[str, Values | None], n: int) -> dict[str, Values]:
    return {name: np.full(n, np.nan) if v is None else v for name, v in values.items()}


def _refuse_unheard(
    quantities: SeriesQuantities, chosen: Iterable[str], conditions: Sequence[Condition]
) -> None:
    """Refuse names that are quantities of no series' tilt images."""
    every = [quantities.of_tilts(name) for name in chosen]
    for name in dict.fromkeys(n for condition in conditions for n in condition.names):
        if all(of.get(name) is None for of in every):
            there = (n for of in every for n in of.names())
            raise no_such_quantity(name, "a tilt image", there)
