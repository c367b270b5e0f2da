"""What an ``.mdoc`` file tells of a tomogram that another import has made."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TypeVar, cast

import numpy as np
import numpy.typing as npt

from tomoset.errors import (
    AmbiguityError,
    FileFormatError,
    MissingFileError,
    TomosetError,
    some_of,
)
from tomoset.formats._matching import TOLERANCE, Match, Side, match_tilts, misfit, stem_of
from tomoset.formats._names import suggested_map
from tomoset.formats._words import Failures, StrPath, part
from tomoset.formats.mdoc.acquisition import Acquisition, acquisition_of, agree
from tomoset.formats.mdoc.axis import nominal_axis
from tomoset.formats.mdoc.document import assume
from tomoset.formats.mdoc.importer import movies_of
from tomoset.formats.mdoc.series import Series, all_series, mdoc_files, series_name
from tomoset.model import Tomogram
from tomoset.model.source import take

T = TypeVar("T")
Ints = npt.NDArray[np.int64]


def tell(
    tomograms: Sequence[Tomogram], source: StrPath, *, dose: float | None
) -> tuple[list[Tomogram], list[str], Failures]:
    """Tomograms with what the ``.mdoc`` files of their series say; see `told_by`.

    Parameters
    ----------
    tomograms : sequence of Tomogram
        Of one import.
    source : path-like
        The file of the only one; or a folder of files, called like the series, or whose
        ``ImageFile`` or movies are: endings and leading zeros are seen through.
    dose : float or None
        Of one image, whatever files say [e/Å²].

    Returns
    -------
    (list of Tomogram, list of str, list of Failure)
        The tomograms, a line for each: how its images were matched; and those whose file does
        not fit.

    Raises
    ------
    MissingFileError
        If no file is of any of them; where one has none, that is said.
    """
    files = _files_of([t.name for t in tomograms], os.fspath(source))
    told: list[Tomogram] = []
    notes: list[str] = []
    failures: Failures = []
    for t in tomograms:
        with part(failures, t.name):
            if t.name in files:
                file = files[t.name]
                t, lines = told_by(t, file, fractional_dose=dose)
                path = file.path if isinstance(file, Series) else file
                notes += [f"{t.name}: {os.path.basename(path)}: {line}" for line in lines]
            told.append(t)
    without = [t.name for t in tomograms if t.name not in files]
    if without:
        assume(f"{source}: there is no .mdoc of {some_of(without)}")
    return told, notes, failures


def _files_of(names: Sequence[str], source: str) -> dict[str, str | Series]:
    """The file, folder of files, or what they hold, of each series."""
    if len(names) == 1 and (os.path.isfile(source) or not mdoc_names(source)):
        return {names[0]: source}
    there = mdoc_names(source)
    found: dict[str, str | Series] = dict(_called_like(names, there))
    lacking = [name for name in names if name not in found]
    if lacking:
        used = {path for path in found.values() if isinstance(path, str)}
        found |= _holding(lacking, [path for path in there.values() if path not in used])
    if not found:
        raise MissingFileError(
            f"{source}: no .mdoc is called like {some_of(names)}; there are "
            f"{some_of([*there]) or 'none'}: rename the series (`rename`), or "
            "give the only one its file itself (`mdoc`)"
        )
    return found


def _called_like(names: Sequence[str], there: Mapping[str, T]) -> dict[str, T]:
    """What is called like series, endings and leading zeros seen through."""
    pairs = suggested_map(there, names)
    found = {pairs.get(name, name): one for name, one in there.items()}
    return {name: one for name, one in found.items() if name in names}


def _holding(names: Sequence[str], paths: Sequence[str]) -> dict[str, Series]:
    """The series of files with other names: by those of their stacks or of their movies."""
    every = all_series(paths, [])
    by_stack = {stem_of(file): one for one in every if (file := one.head("ImageFile"))}
    return _called_like(names, by_stack | {one.name: one for one in every})


def mdoc_names(folder: str) -> dict[str, str]:
    """The ``.mdoc`` files of a folder by the names of their series."""
    if not os.path.isdir(folder):
        return {}
    return {series_name(path): os.fspath(path) for path in mdoc_files(folder)}


def told_by(
    tomogram: Tomogram,
    mdoc_path: StrPath | Series,
    *,
    fractional_dose: float | None = None,
    order_by: str | None = None,
    sign: int | None = None,
) -> tuple[Tomogram, tuple[str, ...]]:
    """A tomogram with what an ``.mdoc`` file says of the acquisition of its images.

    That is the order, the doses of and before each image, movies, nominal tilts and tilt axis.
    Tilts that are not in the tomogram any more count for the doses of those that came later;
    those that were taken out with a reason (`Tomogram.exclusions`) are told as well.

    Parameters
    ----------
    tomogram : Tomogram
        Aligned or not; which section each image is, is found by `match_tilts`.
    mdoc_path : path-like or Series
        The file, or a folder with the files of all movies, or what they hold.
    fractional_dose : float, optional
        Dose of one image, whatever the file says [e/Å²].
    order_by : str, optional
        What says the order, of `tomoset.formats.mdoc.acquisition.ORDERS`.
    sign : {1, -1}, optional
        That of the tomogram's tilts against the stage's, where these are not in it; if it is not
        given, 1 unless only -1 fits angles and doses.

    Returns
    -------
    (Tomogram, tuple of str)
        The tomogram, and how its images were matched, a line.

    Raises
    ------
    FileFormatError
        If the file is none, or of several series, or images match no section.
    AmbiguityError
        If images match in several ways, or order or doses are contradictory.
    """
    series = mdoc_path if isinstance(mdoc_path, Series) else _series(mdoc_path)
    given = {"order_by": order_by, "order_list": None, "fractional_dose": fractional_dose}
    acquired = acquisition_of(tomogram.name, series.sections, given)
    parts = [tomogram, *(cast(Tomogram, e.tilt) for e in tomogram.exclusions)]
    match = _matched(parts, series, acquired, sign)
    axis = nominal_axis(series.documents, series.sections)
    ends = np.cumsum([part.n_tilts for part in parts])[:-1]
    first, *out = (
        _told(part, rows, series, acquired, axis)
        for part, rows in zip(parts, np.split(match.lines, ends), strict=True)
    )
    exclusions = tuple(
        replace(e, tilt=tilt) for e, tilt in zip(tomogram.exclusions, out, strict=True)
    )
    _say_other_doses(tomogram, first, series.path)
    order = f"order by {acquired.how}" if acquired.how else "nothing says the order"
    return replace(first, exclusions=exclusions), (f"{match.how}; {order}",)


def _told(
    t: Tomogram, rows: Ints, series: Series, acquired: Acquisition, axis: float | None
) -> Tomogram:
    """The tomogram whose images are these sections; what is not said stays as it is."""
    which = rows.tolist()
    new = {
        "acquisition": take(acquired.ranks, which),
        "exposure": take(acquired.exposure, which),
        "pre_exposure": take(acquired.pre_exposure, which),
        "fractional_dose": acquired.fractional_dose,
        "movies": t.movies or movies_of([series.sections[i] for i in which], None),
        "nominal_axis": None if axis is None else np.full(len(which), axis),
        "nominal_tilts": acquired.tilts[rows],
    }
    known = {field: value for field, value in new.items() if value is not None}
    return replace(t, **known)


def _say_other_doses(before: Tomogram, told: Tomogram, path: str) -> None:
    """Say that doses become others."""
    one, other = before.pre_exposure, told.pre_exposure
    if one is not None and other is not None and not np.allclose(one, other, rtol=0.05, atol=0.1):
        assume(
            f"tomogram {told.name!r}: doses before its images, up to {np.nanmax(one):g} e/Å², "
            f"become those of {path}, up to {other.max():g}; the dose of an image may be given "
            "(`fractional_dose`)"
        )


def _series(path: str | os.PathLike[str]) -> Series:
    failures: Failures = []
    series = all_series([path], failures)
    for failure in failures:
        raise failure.error
    if len(series) != 1:
        names = some_of([one.name for one in series])
        raise FileFormatError(
            f"expected the .mdoc of one series, found those of {names}", path=path
        )
    return series[0]


def _matched(
    parts: Sequence[Tomogram], series: Series, acquired: Acquisition, sign: int | None
) -> Match:
    """The section of each image, by the sign of the tilts that fits angles and doses."""
    ours = _side(parts, len(series.sections))
    frames = [section.frames or "" for section in series.sections]
    theirs = Side(what=series.path, angles=acquired.tilts, names=frames, sections=series.numbers)
    problem: TomosetError | None = None
    opposite = replace(ours, angles=-ours.angles)
    tries = [(1, ours)] if sign != -1 or ours.exact else []
    if not ours.exact and sign != 1:
        tries.append((-1, opposite))
    if ours.exact and _as_aligned(parts):
        tries.append((1, replace(ours, exact=False)))
    for turn, side in tries:
        try:
            match = match_tilts(side, theirs)
            _refuse_other_order(parts, match, acquired, series.path)
        except TomosetError as one:
            problem = problem or one
            continue
        fits = [misfit(each, theirs, match.lines) <= TOLERANCE for _, each in tries]
        if fits == [False, True] and side is ours:  # names match, whatever the angles
            continue
        if not any(fits):
            assume(f"{match.how}: are the angles of one of the two wrong?")
        if turn == -1:
            match = replace(match, how=f"{match.how}, with the opposite sign of the tilts")
        return match
    assert problem is not None
    raise problem


def _as_aligned(parts: Sequence[Tomogram]) -> bool:
    """Whether nominal tilts are those of the alignment, which may have a common offset."""
    return all(
        part.nominal_tilts is not None
        and (part.projections is not None or part.alignment is not None)
        and np.allclose(np.abs(part.nominal_tilts), np.abs(part.tilt_angles), rtol=0, atol=1e-3)
        for part in parts
    )


def _side(parts: Sequence[Tomogram], n_sections: int) -> Side:
    """What a tomogram, and the images that were taken out of it, say of their tilts."""
    t, n = parts[0], sum(part.n_tilts for part in parts)
    exact = all(part.nominal_tilts is not None for part in parts)
    angles = [part.nominal_tilts if exact else part.tilt_angles for part in parts]
    names = [part.movies or part.images or () for part in parts]
    index: Ints | None = None
    if all(part.image_index is not None for part in parts):
        index = np.concatenate([np.asarray(part.image_index) for part in parts])
    elif len(parts) == 1 and t.stack is not None and n == n_sections:
        index = np.arange(n)
    return Side(
        what=f"tomogram {t.name!r}",
        angles=np.concatenate([np.asarray(a) for a in angles]),
        names=sum(names, ()) if all(names) else None,
        sections=index,
        exact=exact,
    )


def _refuse_other_order(
    parts: Sequence[Tomogram], match: Match, acquired: Acquisition, path: str
) -> None:
    """Refuse a match by which doses that the tomogram has would be of other images."""
    doses = [part.pre_exposure for part in parts]
    if acquired.ranks is None or any(d is None or np.isnan(d).any() for d in doses):
        return
    before = np.concatenate([np.asarray(d) for d in doses])
    if len(set(before.tolist())) == len(before) and not agree(before, acquired.ranks[match.lines]):
        raise AmbiguityError(
            f"{path}: {match.how}; then the order of acquisition contradicts the doses that the "
            "tomogram has: is it of another series, or are the tilts of the opposite sign?"
        )
