"""The tilt axis, which programs hide in three places and by two conventions."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from statistics import median

from tomoset.formats.mdoc.document import Document, Section, assume

_SERIALEM = re.compile(r"Tilt axis angle\s*=\s*(\S+?),?(?:\s|$)")
_TOMO5 = re.compile(r"TiltAxisAngle\s*=\s*(\S+)")
#: What two places may differ by [deg].
_TOLERANCE = 2.0


def nominal_axis(documents: Sequence[Document], sections: Sequence[Section]) -> float | None:
    """Direction of the tilt axis in images, counter-clockwise from y as IMOD has it [deg].

    SerialEM's title has it, and RotationAngle is that + 90; Tomo5's RotationAngle is it, and its
    title has -(that + 90): docs/formats.md, 'Mdoc', says what proves either. Places that
    contradict each other are said.

    Returns
    -------
    float or None
        Above -180, up to 180; None if nothing is said.
    """
    path, titles = documents[0].path, [t for d in documents for t in _lines(d)]
    serialem = [value for title in titles if (value := _found(_SERIALEM, title)) is not None]
    tomo5 = [value for title in titles if (value := _found(_TOMO5, title)) is not None]
    turns = [v for s in sections if (v := s.number("RotationAngle")) is not None]
    turn = _median(turns)
    if turn is not None and max(abs(_wrapped(t - turn)) for t in turns) > _TOLERANCE:
        assume(f"{path}: RotationAngle differs between images; its median, {turn:g}°, is taken")
    by_tomo5 = bool(tomo5) or (
        not serialem and any(title.startswith("Tomography") for title in titles)
    )
    title = _median(tomo5 if by_tomo5 else serialem)
    if by_tomo5:
        said = {
            "RotationAngle": turn,
            "-(TiltAxisAngle + 90)": None if title is None else -title - 90,
        }
    else:
        said = {"the title": title, "RotationAngle - 90": None if turn is None else turn - 90}
    known = {what: _wrapped(value) for what, value in said.items() if value is not None}
    if not known:
        return None
    (what, axis), *others = known.items()
    if not others and what != "the title":
        assume(f"{path}: the nominal tilt axis, {axis:.2f}°, is taken from {what} alone")
    for other, value in others:
        if (apart := abs(_wrapped(value - axis))) > _TOLERANCE:
            assume(
                f"{path}: the nominal tilt axis is {axis:.2f}° by {what} and {value:.2f}° by "
                f"{other}, {apart:.0f}° away; the former is taken: check it"
            )
    return axis


def _lines(document: Document) -> list[str]:
    """Titles, and what stands in the head though it is one."""
    head = document.head.values
    return [*document.titles, *(f"{key} = {value}" for key, value in head.items())]


def _found(form: re.Pattern[str], title: str) -> float | None:
    match = form.search(title)
    try:
        value = float(match[1].replace(",", ".")) if match else math.nan
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _median(values: Sequence[float]) -> float | None:
    """Of directions, from the first one, so that ±180° is no edge."""
    if not values:
        return None
    return _wrapped(values[0] + median(_wrapped(v - values[0]) for v in values))


def _wrapped(degrees: float) -> float:
    return 180 - (180 - degrees) % 360
