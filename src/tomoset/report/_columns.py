"""What is shown of each series, and of each of its tilt images: two lists that a person can read.

A number is that of the tables of a set (`tomoset.project.metrics`) or of the result of a program,
in the digits of `tomoset.check.shown`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tomoset.check.shown import FORMS, Form

#: A value stands out beyond so many standard deviations of the others, as their median absolute
#: deviation has it, if there are so many.
_FAR, _ENOUGH = 5.0, 5
_GAUSSIAN = 1.4826
#: Resolution that RELION's sets have where no Thon rings are seen [Å].
_NO_RINGS = 999.0


@dataclass(frozen=True)
class Column:
    """A quantity of a series, or of a tilt image.

    Parameters
    ----------
    key : str
        Its column in the tables, or its name among the results of programs.
    title : str
        What people call it.
    quantity : str
        How it is shown, of `tomoset.check.shown.FORMS`.
    unit : str, optional
        Where it is another than the quantity's.
    judged : bool
        Whether a series that differs from the others stands out.
    none_from : float
        From this value on, a set says that there is none: it is neither drawn nor compared.
    """

    key: str
    title: str
    quantity: str
    unit: str | None = None
    judged: bool = True
    none_from: float = math.inf

    @property
    def form(self) -> Form:
        """How it is shown."""
        return FORMS[self.quantity]

    @property
    def heading(self) -> str:
        """Title and unit."""
        unit = self.form.unit if self.unit is None else self.unit
        return f"{self.title} ({unit})" if unit else self.title

    def number(self, value: Any) -> float | None:
        """What is sorted and drawn: in the unit that is shown."""
        if value is None or isinstance(value, str) or not value < self.none_from:
            return None
        return float(f"{value * self.form.scale:.7g}")


#: Of the overview, in the order of its table.
SERIES = (
    Column("tilts", "tilts", "count"),
    Column("excluded", "excluded", "count", judged=False),
    Column("tilt_min", "lowest tilt", "tilt"),
    Column("tilt_max", "highest tilt", "tilt"),
    Column("axis", "axis", "axis"),
    Column("largest_shift", "largest shift", "length_px"),
    Column("change", "moved by", "length_px"),
    Column("beads", "beads", "count"),
    Column("residual", "residual", "length_px"),
    Column("leave_out", "leave-out error", "length_px"),
    Column("expected", "known to", "length_px"),
    Column("expected_length", "known to", "length"),
    Column("resolution", "supports", "scale", "Å"),
    Column("defocus", "defocus", "defocus"),
    Column("show_rings", "show rings", "count"),
    Column("ctf_max_resolution", "rings to", "resolution", none_from=_NO_RINGS),
    Column("ctf_figure_of_merit", "CTF fit", "scale"),
    Column("dose", "dose", "dose"),
    Column("hand", "hand", "hand"),
    Column("hand_log_odds", "hand, odds", "odds", judged=False),
    Column("ice_thickness", "thickness", "thickness"),
    Column("inclination", "inclination", "degrees"),
    Column("inclination_rings", "inclination by rings", "degrees"),
    Column("doubtful", "in doubt", "count"),
    Column("particles", "particles", "count", judged=False),
    Column("pixel_size", "pixel", "pixel_size"),
    Column("errors", "errors", "count", judged=False),
    Column("warnings", "warnings", "count", judged=False),
    Column("error_axis", "axis ±", "degrees"),
    Column("error_defocus", "defocus ±", "fine_defocus"),
    Column("error_thickness", "thickness ±", "thickness"),
    Column("error_inclination", "inclination ±", "degrees"),
    Column("error_inclination_rings", "by rings ±", "degrees"),
)

#: Of the page of a series, a row a tilt image.
TILTS = (
    Column("image", "image", "count"),
    Column("tilt", "tilt", "degrees"),
    Column("nominal_tilt", "nominal tilt", "degrees"),
    Column("x_tilt", "x tilt", "degrees"),
    Column("axis", "axis", "degrees"),
    Column("shift_x", "shift x", "length_px"),
    Column("shift_y", "shift y", "length_px"),
    Column("magnification", "magnification", "factor"),
    Column("residual", "residual", "length_px"),
    Column("seen", "beads seen", "count"),
    Column("verdict", "place by images", "text"),
    Column("support", "support", "scale"),
    Column("rival", "best other place", "scale"),
    Column("predicted", "predicted by others", "scale"),
    Column("dose", "dose before", "dose"),
    Column("defocus", "defocus", "fine_defocus"),
    Column("defocus_rings", "defocus of rings", "fine_defocus"),
    Column("defocus_from", "told by", "text"),
    Column("rings", "rings", "odds"),
    Column("ctf_max_resolution", "rings to", "resolution", none_from=_NO_RINGS),
    Column("ctf_figure_of_merit", "CTF fit", "scale"),
    Column("defocus_u", "U", "fine_defocus"),
    Column("defocus_v", "V", "fine_defocus"),
    Column("defocus_angle", "direction of U", "degrees"),
    Column("astigmatism", "astigmatism", "fine_defocus"),
    Column("phase_shift", "phase shift", "degrees"),
    Column("ctf_scale", "CTF scale", "scale"),
    Column("b_factor", "B-factor", "b_factor"),
    Column("error_tilt", "error of tilt", "degrees"),
    Column("error_rotation", "error of axis", "degrees"),
    Column("error_shift_x", "error of x", "length_px"),
    Column("error_shift_y", "error of y", "length_px"),
    Column("error_defocus", "error of defocus", "fine_defocus"),
    Column("error_defocus_rings", "error, rings", "fine_defocus"),
    Column("error_astigmatism", "error of astigmatism", "fine_defocus"),
    Column("error_defocus_angle", "error of direction", "degrees"),
    Column("shift_x_before", "x before", "length_px"),
    Column("shift_y_before", "y before", "length_px"),
    Column("axis_before", "axis before", "degrees"),
    Column("defocus_before", "defocus before", "fine_defocus"),
    Column("excluded", "excluded because", "text"),
)


@dataclass(frozen=True)
class Cell:
    """A value of a table.

    Parameters
    ----------
    text : str
        As it is shown.
    number : float or None
        By which it is sorted and drawn.
    mark : str
        ``high`` or ``low`` where it is far from the others; else empty.
    """

    text: str
    number: float | None
    mark: str = ""


def known_columns(
    columns: Sequence[Column], rows: Sequence[Mapping[str, Any]]
) -> tuple[Column, ...]:
    """Those of which any row says something."""
    return tuple(c for c in columns if any(row.get(c.key) not in (None, "") for row in rows))


def table(columns: Sequence[Column], rows: Sequence[Mapping[str, Any]]) -> list[list[Cell]]:
    """Cells, a list a row; those of judged columns that are far from the others are marked."""
    by_column = []
    for column in columns:
        numbers = [column.number(row.get(column.key)) for row in rows]
        marks = outlying(numbers) if column.judged else [""] * len(rows)
        texts = [column.form(row.get(column.key)) for row in rows]
        by_column.append(list(map(Cell, texts, numbers, marks)))
    return [list(cells) for cells in zip(*by_column, strict=True)]


def outlying(numbers: Sequence[float | None]) -> list[str]:
    """Which of some numbers are far above or below the others: ``high``, ``low`` or nothing.

    Examples
    --------
    >>> outlying([1.0, 1.1, 0.9, 1.0, None, 9.0, 1.05])
    ['', '', '', '', '', 'high', '']
    """
    values = np.array([np.nan if x is None else x for x in numbers], dtype=np.float64)
    known = values[np.isfinite(values)]
    if len(known) < _ENOUGH:
        return [""] * len(numbers)
    middle = np.median(known)
    spread = _GAUSSIAN * float(np.median(np.abs(known - middle)))
    # Where most are equal, what differs by a fiftieth is no outlier yet.
    limit = _FAR * max(spread, 0.02 * abs(float(middle)) / _FAR, 1e-9)
    with np.errstate(invalid="ignore"):
        high, low = values > middle + limit, values < middle - limit
    return ["high" if h else "low" if w else "" for h, w in zip(high, low, strict=True)]
