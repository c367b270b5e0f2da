"""Quantities of series and of tilt images, by the names that conditions call them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from operator import attrgetter
from typing import Any

import numpy as np
import numpy.typing as npt

from tomoset.formats import working_format
from tomoset.model import Project, Tomogram
from tomoset.model.tilting import tilting
from tomoset.project.edit.conditions import Values, no_such_quantity

Array = npt.NDArray[np.float64]


def _defocus(t: Tomogram, mean: bool) -> Array | None:
    u, v = t.defocus_u, t.defocus_v
    if u is None or v is None:
        return None
    return np.asarray((u + v) / 2 if mean else np.abs(u - v))


def _aligned(t: Tomogram, name: str) -> Array | None:
    known = t.projections is not None or t.alignment is not None
    return np.asarray(getattr(t, name)) if known else None


#: Of a tilt image: numbers of all of a series, or None.
_OF_TILTS: dict[str, Callable[[Tomogram], Any]] = {
    "number": lambda t: np.array(t.original_rows()) + 1,
    "tilt": lambda t: tilting(t)[0],
    "x_tilt": lambda t: _aligned(t, "x_tilt_angles"),
    "axis": lambda t: _aligned(t, "tilt_axis_angles"),
    "nominal_tilt": attrgetter("nominal_tilts"),
    "dose": attrgetter("pre_exposure"),
    "defocus": lambda t: _defocus(t, True),
    "astigmatism": lambda t: _defocus(t, False),
    "acquisition": lambda t: None if t.acquisition is None else t.acquisition + 1,
    **{
        field: attrgetter(field)
        for field in ("nominal_axis", "pre_exposure", "exposure", "defocus_u", "defocus_v",
                      "defocus_angle", "phase_shift", "ctf_scale", "b_factor",
                      "ctf_max_resolution", "ctf_figure_of_merit")
    },
}  # fmt: skip


def _side(field: str, axis: int) -> Callable[[Tomogram], int | None]:
    return lambda t: None if (size := getattr(t, field)) is None else size[axis]


def _range(t: Tomogram) -> float | None:
    tilts = tilting(t)[0]
    return None if tilts is None else float(np.ptp(tilts))


def _last_dose(t: Tomogram) -> float | None:
    return None if t.pre_exposure is None or not t.n_tilts else float(np.max(t.pre_exposure))


#: Of a series.
_OF_SERIES: dict[str, Callable[[Tomogram], float | str | None]] = {
    "name": attrgetter("name"),
    "tilts": attrgetter("n_tilts"),
    "excluded": lambda t: len(t.exclusions),
    "range": _range,
    "axis": lambda t: tilting(t)[1],
    "dose": _last_dose,
    "optics_group": attrgetter("optics.group"),
    "thickness": lambda t: getattr(t.ice, "thickness", None),
    "luminance": lambda t: getattr(t.ice, "luminance", None),
    "binning": lambda t: getattr(t.reconstruction, "binning", None),
    **{
        field: attrgetter(f"optics.{field}")
        for field in ("pixel_size", "voltage", "spherical_aberration", "amplitude_contrast")
    },
    **{
        field: attrgetter(field)
        for field in ("hand", "hand_log_odds", "fractional_dose", "defocus_slope")
    },
    **{f"size_{letter}": _side("size", axis) for axis, letter in enumerate("xyz")},
    **{f"image_size_{letter}": _side("image_size", axis) for axis, letter in enumerate("xy")},
}


def plain_name(label: str) -> str:
    """What a column is called in conditions, besides its label.

    Examples
    --------
    >>> plain_name("rlnCtfMaxResolution"), plain_name("wrpAxisAngle1")
    ('ctf_max_resolution', 'axis_angle1')
    """
    bare = re.sub(r"^[a-z]+(?=[A-Z])", "", label)
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", bare).lower()


def _of_texts(texts: Iterable[str | None]) -> Values:
    """A column as numbers, where any is one; else as texts."""
    every = [text or "" for text in texts]
    numbers = np.array([_number(text) for text in every])
    if np.isnan(numbers).all() and any(every):
        return np.array(every, dtype=np.str_)
    return numbers


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return np.nan


class TiltQuantities:
    """Quantities of the tilt images of one series.

    Parameters
    ----------
    tomogram : Tomogram
    fields : mapping of str to str
        Of columns, by label, the field of the model that is good for them.
    """

    def __init__(self, tomogram: Tomogram, fields: Mapping[str, str]) -> None:
        self._t, self._fields = tomogram, fields
        source = tomogram.source
        self._texts = {} if source is None else source.tilts

    def names(self) -> Iterator[str]:
        """All there are."""
        yield from _OF_TILTS
        yield from (f"{what}_error" for what in self._t.deviations)
        for label in self._texts:
            yield from (label, plain_name(label))

    def get(self, name: str) -> Values | None:
        """(n_tilts,) values, NaN where they are not known; None if nothing is called so."""
        n, field = self._t.n_tilts, self._fields.get(name, name)
        field = {"nominal_tilts": "nominal_tilt"}.get(field, field)
        found: Any
        if field in _OF_TILTS:
            found = _OF_TILTS[field](self._t)
            return np.full(n, np.nan) if found is None else np.asarray(found, dtype=np.float64)
        found = self._t.deviations.get(name.removesuffix("_error"))
        if found is not None and name.endswith("_error"):
            return np.asarray(found)
        for label, texts in self._texts.items():
            if name in (label, plain_name(label)):
                return _of_texts(texts)
        return None


class SeriesQuantities:
    """Quantities of all series of a project: of a tilt image, the median, ``min_`` and ``max_``."""

    def __init__(self, project: Project) -> None:
        self._project = project
        tomograms = project.tomograms
        labels = working_format(tomograms).labels
        self.fields = {label: field for field, label in labels.items()}
        self._tilts = {name: TiltQuantities(t, self.fields) for name, t in tomograms.items()}
        self._counts = _counts(project)

    def names(self) -> Iterator[str]:
        """All there are."""
        yield from _OF_SERIES
        yield from self._counts
        for t in self._project.tomograms.values():
            for label in () if t.source is None else t.source.row:
                yield from (label, plain_name(label))
            yield from self._tilts[t.name].names()

    def of_tilts(self, name: str) -> TiltQuantities:
        """Those of the tilt images of a series."""
        return self._tilts[name]

    def get(self, name: str) -> Values:
        """Values of all series, in their order; NaN or "" where they are not known.

        Raises
        ------
        ModelError
            If nothing is called so; with what there is.
        """
        field = self.fields.get(name, name)
        series = self._project.tomograms.values()
        if field in self._counts:
            counts = self._counts[field]
            return np.array([counts(t.name) for t in series], dtype=np.float64)
        if field in _OF_SERIES:
            found = [_OF_SERIES[field](t) for t in series]
            if any(isinstance(value, str) for value in found):
                return np.array([value or "" for value in found], dtype=np.str_)
            return np.array([np.nan if value is None else value for value in found], np.float64)
        which, _, rest = name.partition("_")
        for quantity, pick in ((name, np.median), (rest, _EDGES.get(which))):
            columns = [self._tilts[t.name].get(quantity) for t in series]
            if pick is not None and any(c is not None for c in columns):
                return np.array([_picked(c, pick) for c in columns])
        return self._column(name)

    def _column(self, name: str) -> Values:
        """A column of the global table."""
        texts: list[str | None] = []
        for t in self._project.tomograms.values():
            row = {} if t.source is None else t.source.row
            texts.append(next((v for k, v in row.items() if name in (k, plain_name(k))), None))
        if all(text is None for text in texts):
            raise no_such_quantity(name, "a series", self.names())
        return _of_texts(texts)


_EDGES: dict[str, Callable[[Array], Any]] = {"min": np.min, "max": np.max}


def _picked(values: Values | None, pick: Callable[[Array], Any]) -> float:
    if values is None or values.dtype.kind != "f":
        return np.nan
    known = values[~np.isnan(values)]
    return float(pick(known)) if len(known) else np.nan


def _counts(project: Project) -> dict[str, Callable[[str], float]]:
    """How many of what refers to a series there are; NaN where there is no such set."""
    held = vars(project)
    particles, manifolds = held["particles"], held["manifolds"]
    rows = {} if particles is None else particles.by_tomogram()

    def of_particles(name: str) -> float:
        return np.nan if particles is None else float(len(rows.get(name, ())))

    def of_manifolds(name: str) -> float:
        return np.nan if manifolds is None else float(len(manifolds.get(name, ())))

    def of_fiducials(name: str) -> float:
        beads = project.fiducials.get(name)
        return np.nan if beads is None else float(len(beads))

    return {"particles": of_particles, "manifolds": of_manifolds, "fiducials": of_fiducials}
