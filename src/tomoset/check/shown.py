"""How numbers of a set are shown to people: the same digits in a terminal and in a report."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

#: What stands where nothing is known.
UNKNOWN = "-"


@dataclass(frozen=True)
class Form:
    """How a quantity is shown.

    Parameters
    ----------
    digits : str
        As `format` takes them.
    scale : float
        From the unit of the model to that which people read.
    unit : str
        That one.
    """

    digits: str
    scale: float = 1  # an int, so that counts stay whole
    unit: str = ""

    def __call__(self, value: Any) -> str:
        """The number in its digits; what is no number, as it is.

        Examples
        --------
        >>> FORMS["defocus"](28123.0), FORMS["axis"](None), FORMS["hand"](1)
        ('2.8', '-', '+1')
        """
        if value is None or value != value:  # NaN
            return UNKNOWN
        if isinstance(value, bool | str):
            return str(value)
        return format(value * self.scale, self.digits)


#: By quantity; a range shows its ends so. Nothing is minus zero (``z``).
FORMS = {
    "angle": Form("z.0f", unit="°"),
    "tilt": Form("z.1f", unit="°"),
    "axis": Form("z.1f", unit="°"),
    "dose": Form("z.0f", unit="e/Å²"),
    "defocus": Form("z.1f", 1e-4, "µm"),
    "fine_defocus": Form("z.3f", 1e-4, "µm"),
    "pixel_size": Form("z.3g", unit="Å"),
    "hand": Form("+d"),
    "count": Form("d"),
    "length_px": Form("z.2f", unit="px"),
    "length": Form("z.2f", unit="Å"),
    "resolution": Form("z.1f", unit="Å"),
    "degrees": Form("z.2f", unit="°"),
    "thickness": Form("z.0f", unit="Å"),
    "factor": Form("z.4f"),
    "scale": Form("z.2f"),
    "b_factor": Form("z.0f", unit="Å²"),
    "odds": Form("+z.1f", unit="ln"),
    "text": Form(""),
}


def short(value: float) -> str:
    """A size, three digits of it; 0 where it is that of digits in files.

    Examples
    --------
    >>> short(2e-13), short(0.12345), short(12345.6)
    ('0', '0.123', '12346')
    """
    return "0" if value < 5e-4 else f"{value:.3g}" if value < 1000 else f"{value:.0f}"
