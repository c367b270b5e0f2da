"""All that is known of a project as two tables: a row a series, and a row a tilt image.

A table is a dict of columns, lists of one length; what is not known is None.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tomoset.errors import UnsupportedError
from tomoset.model import Project, Tomogram
from tomoset.model.rules import Problem, Severity
from tomoset.model.tilting import tilting

if TYPE_CHECKING:
    import pandas

Array = npt.NDArray[np.float64]
Columns = dict[str, list[Any]]

#: Fields with a value for each tilt image, by the column that they are.
_FIELDS = {
    "nominal_tilt": "nominal_tilts",
    "nominal_axis": "nominal_axis",
    "dose": "pre_exposure",
    "exposure": "exposure",
    "acquisition": "acquisition",
    "defocus_u": "defocus_u",
    "defocus_v": "defocus_v",
    "defocus_angle": "defocus_angle",
    "phase_shift": "phase_shift",
    "ctf_scale": "ctf_scale",
    "b_factor": "b_factor",
    "ctf_max_resolution": "ctf_max_resolution",
    "ctf_figure_of_merit": "ctf_figure_of_merit",
}
#: Of these a series has the median.
_OF_CTF = ("phase_shift", "ctf_scale", "b_factor", "ctf_max_resolution", "ctf_figure_of_merit")
#: What the alignment says of each.
_GEOMETRY = ("tilt", "x_tilt", "axis", "shift_x", "shift_y", "magnification")
_SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")


def series_table(project: Project, problems: Iterable[Problem] = ()) -> Columns:
    """One row a series, in the order of the set.

    Parameters
    ----------
    project : Project
        Sets that are unread count as not known.
    problems : iterable of Problem
        What `tomoset.check` found, to be counted.

    Returns
    -------
    dict of str to list
        ``name``; how many ``tilts``, ``excluded``, ``particles``, ``manifolds``, ``fiducials``;
        ``tilt_min``, ``tilt_max``, ``axis`` (median) [deg], ``magnification`` (median); ``dose``
        (all of it) [e/Å²]; medians of ``defocus``, ``astigmatism`` [Å], ``phase_shift`` [deg],
        ``ctf_scale``, ``b_factor`` [Å²], ``ctf_max_resolution`` [Å], ``ctf_figure_of_merit``;
        optics; ``hand`` and its log odds; sizes [px]; ice; ``volume`` and its ``binning``;
        ``error_NAME``, the median standard deviation of what was determined; ``errors``,
        ``warnings`` and ``notes`` of `problems`.

    Examples
    --------
    >>> from tomoset.model import Optics, TomogramSet
    >>> one = Tomogram(name="a", n_tilts=2, optics=Optics(pixel_size=2.0), pre_exposure=[0.0, 3.0])
    >>> table = series_table(Project(tomograms=TomogramSet([one])))
    >>> table["name"], table["tilts"], table["defocus"]
    (['a'], [2], [None])
    """
    found = list(problems)
    counts = Counter((one.tomogram, one.severity) for one in found)
    held = vars(project)
    particles, manifolds = held["particles"], held["manifolds"]
    inside: dict[str, int] | None = None
    if particles is not None:
        inside = {name: len(rows) for name, rows in particles.by_tomogram().items()}
    rows = []
    for name, t in project.tomograms.items():
        beads = project.fiducials.get(name)
        row = {
            **_series_row(t),
            "particles": None if inside is None else inside.get(name, 0),
            "manifolds": None if manifolds is None else len(manifolds.get(name, ())),
            "fiducials": None if beads is None else len(beads),
        }
        row |= {f"error_{what}": _median(values) for what, values in t.deviations.items()}
        if found:
            row |= {f"{severity}s": counts[name, severity] for severity in _SEVERITIES}
        rows.append(row)
    return _columns(rows)


def tilt_table(project: Project) -> Columns:
    """One row a tilt image, in the order of the set and of each series.

    Parameters
    ----------
    project : Project
        Its tomograms.

    Returns
    -------
    dict of str to list
        ``series``, ``image`` (from 1), ``excluded`` (why it was taken out), ``file``, ``section``
        (from 1), ``movie``; ``tilt``, ``x_tilt``, ``axis`` [deg], ``shift_x``, ``shift_y`` of the
        middle of the tomogram, size // 2, from that of the image [px], ``magnification``; nominal
        angles, doses, order of acquisition, defocus, ``astigmatism`` [Å] and the rest of the CTF;
        ``error_NAME``, standard deviations; and the columns of the file that nobody here knows,
        as numbers where they are.

    Examples
    --------
    >>> from tomoset.model import Optics, TomogramSet
    >>> one = Tomogram(name="a", n_tilts=2, optics=Optics(pixel_size=2.0), pre_exposure=[0.0, 3.0])
    >>> tilt_table(Project(tomograms=TomogramSet([one])))["dose"]
    [0.0, 3.0]
    """
    blocks = []
    for t in project.tomograms.values():
        blocks.append(_tilt_block(t, [None] * t.n_tilts))
        if t.exclusions:
            blocks.append(_tilt_block(t.excluded, [one.reason for one in t.exclusions]))
    labels = dict.fromkeys(label for block in blocks for label in block)
    table: Columns = {label: [] for label in labels}
    for block in blocks:
        for label in labels:
            table[label] += block.get(label, [None] * len(block["series"]))
    return table


def data_frame(table: Columns) -> pandas.DataFrame:
    """A table as Pandas has it.

    Raises
    ------
    UnsupportedError
        If Pandas is not installed.
    """
    try:
        import pandas
    except ImportError as problem:
        raise UnsupportedError(
            "a table of Pandas needs Pandas: pip install 'tomoset[frames]'"
        ) from problem
    return pandas.DataFrame(table)


def csv_text(table: Columns) -> str:
    """A table as comma-separated values, with names of columns; what is not known is empty.

    Examples
    --------
    >>> csv_text({"name": ["a,b", "c"], "dose": [None, 1.5]})
    'name,dose\\n"a,b",\\nc,1.5\\n'
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(table)
    writer.writerows(zip(*table.values(), strict=True))
    return out.getvalue()


def _columns(rows: list[dict[str, Any]]) -> Columns:
    labels = dict.fromkeys(label for row in rows for label in row)
    return {label: [row.get(label) for row in rows] for label in labels}


def _series_row(t: Tomogram) -> dict[str, Any]:
    optics, ice, made = t.optics, t.ice, t.reconstruction
    geometry = _geometry(t)
    tilts, axis = tilting(t)
    x, y, z = t.size or (None, None, None)
    width, height = t.image_size or (None, None)
    dose = None if t.pre_exposure is None else _known(np.nanmax, t.pre_exposure)
    if dose is not None:
        dose += t.fractional_dose or 0.0
    return {
        "name": t.name,
        "tilts": t.n_tilts,
        "excluded": len(t.exclusions),
        "tilt_min": _known(np.nanmin, tilts),
        "tilt_max": _known(np.nanmax, tilts),
        "axis": axis,
        "magnification": _median(geometry["magnification"]),
        "dose": dose,
        "defocus": _median(_defocus(t)),
        "astigmatism": _median(_astigmatism(t)),
        **{name: _median(getattr(t, name)) for name in _OF_CTF},
        "pixel_size": optics.pixel_size,
        "voltage": optics.voltage,
        "spherical_aberration": optics.spherical_aberration,
        "amplitude_contrast": optics.amplitude_contrast,
        "optics_group": optics.group,
        "hand": t.hand,
        "hand_log_odds": t.hand_log_odds,
        "size_x": x,
        "size_y": y,
        "size_z": z,
        "image_width": width,
        "image_height": height,
        "deformation": None if t.deformation is None else t.deformation.kind,
        "ice_thickness": None if ice is None else ice.thickness,
        "ice_luminance": None if ice is None else ice.luminance,
        "volume": None if made is None else made.path,
        "binning": None if made is None else made.binning,
    }


def _tilt_block(t: Tomogram, reasons: list[str | None]) -> Columns:
    n = t.n_tilts
    named = t.image_sections() if t.stack is not None or t.images is not None else [None] * n
    block: Columns = {
        "series": [t.name] * n,
        "image": list(range(1, n + 1)),
        "excluded": list(reasons),
        "file": [None if place is None else place[0] for place in named],
        "section": [None if place is None else place[1] + 1 for place in named],
        "movie": list(t.movies or [None] * n),
    }
    numbers: dict[str, npt.NDArray[Any] | None] = {
        **_geometry(t),
        **{label: getattr(t, field) for label, field in _FIELDS.items()},
        "defocus": _defocus(t),
        "astigmatism": _astigmatism(t),
        **{f"error_{what}": values for what, values in t.deviations.items()},
    }
    block |= {label: _listed(values, n) for label, values in numbers.items()}
    return block | _unknown(t, block)


def _unknown(t: Tomogram, known: Columns) -> Columns:
    """Columns of the file that the model does not know."""
    if t.source is None:
        return {}
    texts = {k: v for k, v in t.source.tilts.items() if k not in t.source.tilt_values}
    return {label: _numbers(list(v)) for label, v in texts.items() if label not in known}


def _numbers(texts: list[str]) -> list[Any]:
    try:
        return _listed(np.array(texts, dtype=np.float64), len(texts))
    except ValueError:
        return list(texts)


def _geometry(t: Tomogram) -> dict[str, Array | None]:
    """What the alignment says of each tilt image, as far as sizes are known."""
    found: dict[str, Array | None] = dict.fromkeys(_GEOMETRY)
    if t.projections is None and t.alignment is None:
        return found
    found |= {"tilt": t.tilt_angles, "x_tilt": t.x_tilt_angles, "axis": t.tilt_axis_angles}
    if t.projections is None:
        if t.alignment is not None and t.optics.pixel_size is not None:
            shifts = t.alignment.shifts / t.optics.pixel_size
            found |= {"shift_x": shifts[:, 0], "shift_y": shifts[:, 1]}
        return found
    sizes = np.linalg.svd(t.projections[:, :2, :3], compute_uv=False)
    found["magnification"] = sizes.mean(axis=1)
    if t.size is not None and t.image_size is not None:
        shifts = t.project([np.asarray(t.size) // 2])[:, 0] - np.asarray(t.image_size) // 2
        found |= {"shift_x": shifts[:, 0], "shift_y": shifts[:, 1]}
    return found


def _defocus(t: Tomogram) -> Array | None:
    if t.defocus_u is None or t.defocus_v is None:
        return None
    return np.asarray((t.defocus_u + t.defocus_v) / 2)


def _astigmatism(t: Tomogram) -> Array | None:
    if t.defocus_u is None or t.defocus_v is None:
        return None
    return np.abs(t.defocus_u - t.defocus_v)


def _median(values: Array | None) -> float | None:
    return _known(np.nanmedian, values)


def _known(of: Callable[[Array], Any], values: Array | None) -> float | None:
    if values is None or not np.isfinite(values).any():
        return None
    return float(of(values))


def _listed(values: npt.NDArray[Any] | None, n: int) -> list[Any]:
    if values is None:
        return [None] * n
    if values.dtype.kind != "f" or np.isfinite(values).all():
        return list(values.tolist())
    return [value if np.isfinite(value) else None for value in values.tolist()]
