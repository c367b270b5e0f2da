"""When each image was taken and what it received, from all that an ``.mdoc`` file says of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tomoset.errors import AmbiguityError, FileFormatError, some_of
from tomoset.formats._dose import match_order, read_order
from tomoset.formats._matching import stem_of
from tomoset.formats.mdoc.document import Section, assume
from tomoset.formats.mdoc.series import numbered

Array = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

#: What may say the order, the most trusted first, and how messages call it.
ORDERS = {
    "date": "DateTime",
    "dose": "PriorRecordDose",
    "names": "the numbers in frame names",
    "file": "the order of the sections",
}
#: Doses that differ by more than this part are not the same.
_SAME_DOSE = 0.05


@dataclass(frozen=True, kw_only=True, eq=False)
class Acquisition:
    """What is said of the images of a tilt series, in the order of their sections.

    Parameters
    ----------
    tilts : (n,) array
        Of the stage [deg].
    ranks : (n,) int array or None
        When each was taken, from 0.
    exposure, pre_exposure : (n,) array or None
        What the specimen received in each, and before each [e/Å²].
    fractional_dose : float or None
        Dose of one image, as it is given or where all are alike [e/Å²].
    how : str
        What says the order; empty if nothing does.
    """

    tilts: Array
    ranks: Ints | None
    exposure: Array | None
    pre_exposure: Array | None
    fractional_dose: float | None
    how: str


def acquisition_of(name: str, sections: Sequence[Section], given: Mapping[str, Any]) -> Acquisition:
    """Order and doses of the images of a series.

    Parameters
    ----------
    name : str
        Of the series, for messages.
    sections : sequence of Section
    given : mapping
        `order_by`, a key of `ORDERS`, `order_list`, a path, and `fractional_dose`, or None.

    Raises
    ------
    AmbiguityError
        If what is said of the order, or of the doses, is contradictory and undecided.
    FileFormatError
        If a number is none.
    """
    tilts = np.array([section.need("TiltAngle") for section in sections])
    if given["order_list"] is not None:
        lines = match_order(tilts, read_order(given["order_list"]))
        ranks: Ints | None = np.argsort(np.argsort(lines, kind="stable"), kind="stable")
        how = str(given["order_list"])
    else:
        ranks, how = _ranks(name, sections, tilts, given["order_by"])
    if ranks is None and given["fractional_dose"] is not None:
        raise AmbiguityError(
            f"{sections[0].path}: neither dates, doses nor names say in which order the images "
            "were taken, and the sections are sorted by tilt; give an order list (`order_list`), "
            "or say that the sections are in that order (`order_by`: file)"
        )
    exposure, fractional = _exposure(name, sections, given["fractional_dose"])
    return Acquisition(
        tilts=tilts,
        ranks=ranks,
        exposure=exposure,
        pre_exposure=_before(name, sections, ranks, exposure, given["fractional_dose"]),
        fractional_dose=fractional,
        how=how,
    )


def _ranks(
    name: str, sections: Sequence[Section], tilts: Array, by: str | None
) -> tuple[Ints | None, str]:
    """When each image was taken, from 0, and what says so; None if nothing does."""
    places = _places(sections, tilts)
    steps = np.diff(tilts)
    sorted_by_tilt = len(tilts) > 2 and ((steps >= 0).all() or (steps <= 0).all())
    votes = {what: value for what, value in places.items() if value is not None}
    if sorted_by_tilt and by != "file":  # as programs sort them: no vote
        votes.pop("file")
    if by is not None and by not in votes:
        raise AmbiguityError(f"{sections[0].path}: {ORDERS[by]} does not say the order")
    if not votes:
        return None, ""
    first = by or _trusted(sections[0].path, votes)
    agreed = [w for w in votes if w == first or agree(votes[w], votes[first])]
    against = [w for w in votes if w not in agreed]
    if against:
        rows = _differing(votes[against[0]], votes[first])
        which = some_of([f"{sections[r].kind} {sections[r].name}" for r in rows], 3)
        assume(
            f"{name}: order by {_said(agreed)}, against {_said(against)} (such as {which}); give "
            "what is right (`order_by`)"
        )
    elif agreed == ["file"] and by is None:
        assume(f"{name}: nothing but the order of the sections says when images were taken")
    # equal ones as the others have them, and last as in the file
    keys = [np.arange(len(tilts)), *(votes[w] for w in reversed(agreed) if w != first)]
    order = np.lexsort((*keys, votes[first]))
    return np.argsort(order, kind="stable"), _said(agreed)


def _said(which: Sequence[str]) -> str:
    return ", ".join(ORDERS[what] for what in which)


def _places(sections: Sequence[Section], tilts: Array) -> dict[str, Array | None]:
    """What each source says of the order, ascending; None if it does not of all images."""
    dates = _dates(sections)
    prior = [section.number("PriorRecordDose") for section in sections]
    return {
        "date": _whole(dates),
        "dose": _whole(prior),
        "names": _numbers_in_names(sections, tilts),
        "file": np.arange(len(sections), dtype=np.float64),
    }


def _dates(sections: Sequence[Section]) -> list[float | None]:
    """``DateTime`` of each; what is no date is said once, and counts as none."""
    dates: list[float | None] = []
    bad: list[FileFormatError] = []
    for section in sections:
        try:
            dates.append(section.date())
        except FileFormatError as problem:
            dates.append(None)
            bad.append(problem)
    lacking = [s for s, date in zip(sections, dates, strict=True) if date is None]
    if bad:
        assume(f"{bad[0]}; dates are not used")
    elif 0 < len(lacking) < len(sections):
        assume(
            f"{lacking[0].path}:{lacking[0].line}: no DateTime in {len(lacking)} of "
            f"{len(sections)} sections; dates are not used"
        )
    return dates


def _whole(values: Sequence[float | None]) -> Array | None:
    known = [value for value in values if value is not None]
    return np.array(known) if len(known) == len(values) and len(set(known)) > 1 else None


def _numbers_in_names(sections: Sequence[Section], tilts: Array) -> Array | None:
    """The numbers that stand before the tilt angles in frame names, as in ``TS_01_007_-9.0``."""
    found = [
        numbered(stem_of(section.frames or ""), tilt)
        for section, tilt in zip(sections, tilts, strict=True)
    ]
    return _whole([None if one is None else float(one[1]) for one in found])


def agree(one: npt.ArrayLike, other: npt.ArrayLike) -> bool:
    """Whether no two images come in another order, equal ones apart."""
    one, other = np.asarray(one), np.asarray(other)
    return bool((np.diff(other[np.lexsort((other, one))]) >= 0).all())


def _differing(one: Array, other: Array) -> Ints:
    """Images that come at another place, where two sources contradict each other."""
    ranks = [np.argsort(np.argsort(x, kind="stable"), kind="stable") for x in (one, other)]
    return np.flatnonzero(ranks[0] != ranks[1])


def _trusted(path: str, votes: Mapping[str, Array]) -> str:
    """The source with which most agree.

    Raises
    ------
    AmbiguityError
        If two that contradict each other have as many.
    """
    # sections may be sorted by anything: alone they decide nothing
    weight = {what: 0.5 if what == "file" else 1.0 for what in votes}
    agreeing = {w: sum(weight[v] for v in votes if agree(votes[w], votes[v])) for w in votes}
    most = max(agreeing.values())
    best = [what for what, count in agreeing.items() if count == most]
    first = best[0]
    against = [what for what in best if not agree(votes[what], votes[first])]
    if against:
        raise AmbiguityError(
            f"{path}: {ORDERS[first]} and {ORDERS[against[0]]} contradict each other about the "
            "order in which the images were taken; say which is right (`order_by`: "
            f"{first} or {against[0]})"
        )
    return first


def _exposure(
    name: str, sections: Sequence[Section], given: float | None
) -> tuple[Array | None, float | None]:
    """Dose of each image, and the one that all have [e/Å²]."""
    path = sections[0].path
    said = np.array([_dose_of(section) for section in sections])
    _say_frames(sections)
    some = bool(said.any())
    if given is not None:
        typical = float(np.median(said[said > 0])) if some else 0.0
        if some and abs(typical / given - 1) > _SAME_DOSE:
            assume(
                f"{name}: the dose of an image is {given:g} e/Å² (`fractional_dose`), though "
                f"ExposureDose is {typical:g}"
            )
        return np.full(len(sections), given), given
    if not some:
        if hint := _at_camera(sections):
            assume(
                f"{path}: ExposureDose is 0 or absent, so there are no doses; {hint}: give the "
                "dose of an image (`fractional_dose`)"
            )
        return None, None
    if not said.all():
        without = [section for section, dose in zip(sections, said, strict=True) if not dose]
        raise AmbiguityError(
            f"{path}: ExposureDose is 0 or absent in {len(without)} of {len(sections)} sections "
            f"(such as line {without[0].line}); give the dose of an image (`fractional_dose`)"
        )
    alike = np.ptp(said) <= _SAME_DOSE * np.median(said)
    return said, round(float(np.median(said)), 6) if alike else None


def _dose_of(section: Section) -> float:
    """``ExposureDose``, else the sum over frames [e/Å²]."""
    dose, total = _doses_of(section)
    if dose < 0 or total < 0:
        raise FileFormatError(
            "a dose below 0", path=section.path, line=section.lines.get("ExposureDose")
        )
    return dose or total


def _doses_of(section: Section) -> tuple[float, float]:
    """``ExposureDose``, and the sum over frames; 0 where they are not said."""
    frames = section.numbers("FrameDosesAndNumber") or []
    total = float(np.dot(frames[::2], frames[1::2])) if len(frames) % 2 == 0 else 0.0
    return section.number("ExposureDose") or 0.0, total


def _say_frames(sections: Sequence[Section]) -> None:
    """Say where the two doses of a section contradict each other, once for a series."""
    pairs = [(section, *_doses_of(section)) for section in sections]
    apart = [p for p in pairs if p[1] and p[2] and abs(p[2] / p[1] - 1) > _SAME_DOSE]
    if apart:
        section, dose, total = apart[0]
        assume(
            f"{section.path}:{section.line}: ExposureDose is {dose:g} e/Å², FrameDosesAndNumber "
            f"adds up to {total:g}; the former is taken"
            + (f", as in {len(apart)} of {len(sections)} sections" if len(apart) > 1 else "")
        )


def _at_camera(sections: Sequence[Section]) -> str:
    """What the camera counted, which is less than the specimen received."""
    counted = []
    for section in sections:
        rate, time, pixel, binning = map(
            section.number, ("DoseRate", "ExposureTime", "PixelSpacing", "Binning")
        )
        if rate and time and pixel and (binning or 1) == 1:
            counted.append(rate * time / pixel**2)
    return (
        f"the camera counted up to {max(counted):.2g} e/Å² behind the specimen" if counted else ""
    )


def _before(
    name: str,
    sections: Sequence[Section],
    ranks: Ints | None,
    exposure: Array | None,
    given: float | None,
) -> Array | None:
    """What the specimen had received before each image [e/Å²]."""
    if ranks is None or exposure is None:
        return None
    order = np.argsort(ranks)
    sums = np.empty(len(order))
    sums[order] = np.cumsum(exposure[order]) - exposure[order]
    prior = [section.number("PriorRecordDose") for section in sections]
    said = np.array([np.nan if value is None else value for value in prior])
    if given is not None or not (said > 0).any() or np.isnan(said).any() or not agree(said, ranks):
        return sums
    lowest = float(said.min())
    if lowest > 0:
        assume(
            f"{name}: {lowest:g} e/Å² had been received before the first image (PriorRecordDose)"
        )
    apart = said - lowest - sums
    worst = int(np.abs(apart).argmax())
    if abs(apart[worst]) > exposure.min() / 2:
        assume(
            f"{sections[worst].path}:{sections[worst].line}: PriorRecordDose is {said[worst]:g} "
            f"e/Å², and ExposureDose of the images before adds up to {sums[worst]:.4g}; the former "
            "is taken: were images removed, or is one of the two wrong?"
        )
    return said
