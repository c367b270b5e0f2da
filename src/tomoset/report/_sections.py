"""What the page of a series has: a list of sections, each made of what is known of it.

A section that has nothing to show is left out. A program whose result is more than words and
columns (`tomoset.report._results`) gets its own section by one entry here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from tomoset.check.shown import short
from tomoset.report._charts import CHARTS, Chart, Drawn, charts
from tomoset.report._columns import SERIES, TILTS, known_columns, table
from tomoset.report._drawings import (
    ARROWS,
    CIRCLES,
    deformation,
    field_of_view,
    residual_vectors,
    scene,
    through_tilts,
)
from tomoset.report._gather import Series
from tomoset.report._pictures import Missing, Picture, Strip, strip, tilt_picture, volume_picture
from tomoset.report._results import Found

#: From here on a picture is large [px].
_LARGE = 300
#: Of differences between two sets, where they have one.
_UNITS = {
    **dict.fromkeys(("images", "shift_x", "shift_y"), "px"),
    **dict.fromkeys(("tilt", "x_tilt", "axis", "phase_shift"), "°"),
    **dict.fromkeys(("defocus", "astigmatism"), "Å"),
    "b_factor": "Å²",
    "dose": "e/Å²",
}


@dataclass(frozen=True, kw_only=True)
class Pictures:
    """Pictures of a series, as its page has them.

    Parameters
    ----------
    tilt : Picture or Missing or None
        The tilt image at least tilt; None if it is not shown.
    slice : Picture or Missing or None
        The middle of the tomogram, if there is a volume.
    strip : Strip or Missing or None
        All tilt images; None if they are not shown.
    large : bool
        Whether there is room for large ones.
    """

    tilt: Picture | Missing | None
    slice: Picture | Missing | None
    strip: Strip | Missing | None
    large: bool

    @property
    def strip_bytes(self) -> int:
        """What the strip takes of a page."""
        return len(self.strip.picture.uri) if isinstance(self.strip, Strip) else 0


def pictures(
    series: Series, largest: int, room: int, *, central: bool, all_tilts: bool
) -> Pictures:
    """Those of a series: no larger than this along a side; all tilts in so many bytes."""
    t = series.tomogram
    angles = series.angles
    order = range(t.n_tilts) if angles is None else np.argsort(angles, kind="stable").tolist()
    return Pictures(
        tilt=tilt_picture(t, series.central, largest) if central else None,
        slice=volume_picture(t, largest) if central else None,
        strip=strip(t, order, room) if all_tilts and t.n_tilts else None,
        large=largest >= _LARGE,
    )


@dataclass(frozen=True)
class Section:
    """A part of the page of a series.

    Parameters
    ----------
    title : str
        Its heading.
    template : str
        What shows it: a block of ``series.html``.
    of : callable
        What its template is given; nothing if there is nothing to show.
    """

    title: str
    template: str
    of: Callable[[Series, Pictures], Any]


def _facts(series: Series, _: Pictures) -> list[tuple[str, str]]:
    known = known_columns(SERIES, [series.row])
    (cells,) = table(known, [series.row])
    return [(column.heading, cell.text) for column, cell in zip(known, cells, strict=True)]


def _seen(series: Series, shown: Pictures) -> list[tuple[str, Picture | Missing]]:
    central = "" if series.central is None else f"tilt image {series.central + 1}, at least tilt"
    both = ((central, shown.tilt), ("middle of the tomogram", shown.slice))
    return [(what, one) for what, one in both if one is not None]


def _geometry(series: Series, _: Pictures) -> dict[str, Any] | None:
    above = field_of_view(series)
    return None if above is None else {"above": above, "scene": scene(series)}


def _charts(some: Sequence[Chart], series: Series, _: Pictures) -> list[Drawn]:
    return list(charts(series, some))


def _fields(series: Series, shown: Pictures) -> list[Any]:
    # Where a file holds many series, the same picture is not in it twice.
    behind = shown.tilt if isinstance(shown.tilt, Picture) and shown.large else None
    most = ARROWS[shown.large]
    both = residual_vectors(series, behind, most), deformation(series, most)
    return [one for one in both if one]


def _strip(series: Series, shown: Pictures) -> Any:
    of = shown.strip
    return through_tilts(series, of, CIRCLES[shown.large]) if isinstance(of, Strip) else of


def _results(series: Series, _: Pictures) -> list[Found]:
    return [one for one in series.found if one.lines or one.warned]


def _numbers(series: Series, _: Pictures) -> dict[str, Any] | None:
    known = known_columns(TILTS, series.tilts)
    return {"columns": known, "rows": table(known, series.tilts)} if series.tilts else None


def _change(series: Series, _: Pictures) -> list[tuple[str, str]]:
    """What is another than in the older set: median and largest differences."""
    one = series.change
    if one is None:
        return []
    said = [("tilt images: before, now, in both", ", ".join(map(str, one.tilts)))]
    if one.problem is not None:
        said.append(("cannot be compared", one.problem))
    spreads = dict(one.values)
    if one.geometry is not None:
        spreads = {"images": one.geometry.pixels, **one.geometry.values, **spreads}
    said += [
        (_titled(what), f"{short(spread.median)}, {short(spread.worst)}")
        for what, spread in spreads.items()
    ]
    known = {
        k: ["not known" if x is None else str(x) for x in both] for k, both in one.fields.items()
    }
    return [*said, *((_titled(what), " → ".join(both)) for what, both in known.items())]


def _titled(what: str) -> str:
    """What differs, with its unit."""
    return what.replace("_", " ") + (f" ({_UNITS[what]})" if what in _UNITS else "")


#: The page of a series, from above.
SECTIONS: Sequence[Section] = (
    Section("At a glance", "facts", _facts),
    Section("Findings of check", "problems", lambda series, _: series.problems),
    Section("Pictures", "pictures", _seen),
    Section("Geometry", "geometry", _geometry),
    *(Section(title, "charts", partial(_charts, some)) for title, some in CHARTS.items()),
    Section("In the images", "drawings", _fields),
    Section("Before and after", "pairs", _change),
    Section("Through all tilts", "strip", _strip),
    Section("What programs found", "results", _results),
    Section("Numbers by tilt", "tilts", _numbers),
    Section("History", "history", lambda series, _: series.history),
)


def sections(series: Series, shown: Pictures) -> list[dict[str, Any]]:
    """The sections of a series that have something to show: ``title``, ``template``, ``data``."""
    made = ({"title": s.title, "template": s.template, "data": s.of(series, shown)}
            for s in SECTIONS)  # fmt: skip
    return [one for one in made if one["data"]]
