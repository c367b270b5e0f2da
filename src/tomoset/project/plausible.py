"""What is asked of the numbers of a tomogram before something is computed with them."""

from __future__ import annotations

import warnings
from collections.abc import Iterable

from tomoset.errors import AssumptionWarning, ModelError
from tomoset.formats import format_named
from tomoset.model import Tomogram
from tomoset.model.quantities import OF_TOMOGRAM, unknown, unusual


def warn_of_unusual(tomogram: Tomogram, format: str, fields: Iterable[str] = OF_TOMOGRAM) -> None:
    """Say which values are not usual, or not known; what is impossible no tomogram has.

    Parameters
    ----------
    tomogram : Tomogram
        That something is computed with.
    format : str
        Of its set: messages call values as its files do.
    fields : iterable of str
        Quantities that go into it (`tomoset.model.quantities`).
    """
    asked = tuple(fields)
    for finding in (*unknown(tomogram, asked), *unusual(tomogram, asked)):
        text = finding.text(format_named(format).label)
        warnings.warn(f"tomogram {tomogram.name!r}: {text}", AssumptionWarning, stacklevel=3)


def refuse_unknown(tomogram: Tomogram, format: str, fields: Iterable[str]) -> None:
    """Refuse values that are known of some tilt images and not of others.

    Parameters are those of `warn_of_unusual`.

    Raises
    ------
    ModelError
        With these tilt images.
    """
    for finding in unknown(tomogram, fields):
        text = finding.text(format_named(format).label)
        raise ModelError(
            f"tomogram {tomogram.name!r}: {text}; write it into the set, or take these images out"
        )
