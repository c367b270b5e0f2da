"""Files of single tilt series, as written for other packages: read again, to be compared."""

from __future__ import annotations

import os
import warnings
from dataclasses import fields, replace

import numpy as np
import numpy.typing as npt

from tomoset.errors import LossyWarning, TomosetWarning
from tomoset.formats import Format, larger_first
from tomoset.model import Project, Tomogram, TomogramSet
from tomoset.paths import file_names

#: What packages may not say of a tilt image, by how messages call it.
_MAY_BE_LOST = {
    "pre_exposure": "doses",
    "defocus_u": "defocus",
    "defocus_v": "",
    "defocus_angle": "",
    "phase_shift": "phase shifts",
    "ctf_scale": "scales of the CTF",
    "b_factor": "B factors",
}


def read_again(
    format: Format, tomograms: TomogramSet, folder: str | os.PathLike[str]
) -> TomogramSet:
    """What was written of a set, told what such files do not say.

    Raises
    ------
    TomosetError
        If it cannot be read.
    """
    found = []
    for name, plain in file_names(tomograms).items():
        told = format.told(Project(tomograms=TomogramSet([tomograms[name]])))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", TomosetWarning)
            reading = format.read([format.place(folder, plain)], **told)
        for failure in reading.failures:
            raise failure.error
        (again,) = reading.project.tomograms.values()
        found.append(replace(again, name=name))
    return TomogramSet(found, format=format.name)


def written_rows(t: Tomogram, format: Format) -> npt.NDArray[np.int64]:
    """The tilt images that come back, in the order of their stack, as most files have them.

    Where files can leave some out, those that show something.
    """
    rows = np.arange(t.n_tilts) if t.image_index is None else np.argsort(t.image_index)
    if format.can("excluded views") and t.ctf_scale is not None and t.ctf_scale.any():
        rows = rows[t.ctf_scale[rows] != 0]
    return rows


def alike(before: Tomogram, again: Tomogram, format: Format) -> tuple[Tomogram, Tomogram]:
    """Both without what the files do not say of a tomogram, which is a warning."""
    rows = written_rows(before, format)
    before = before if np.array_equal(rows, np.arange(before.n_tilts)) else before.select(rows)
    again = _by_image(again)
    before, again, lost = _larger_first(before), _larger_first(again), []
    for field, called in _MAY_BE_LOST.items():
        one, other = getattr(before, field), getattr(again, field)
        plain = field in ("ctf_scale", "b_factor") and other is not None
        if one is not None and (other is None or (plain and not np.array_equal(one, other))):
            lost.append(called)
        elif one is not None or other is None:
            continue
        before, again = replace(before, **{field: None}), replace(again, **{field: None})  # type: ignore[arg-type]
    optics = replace(
        again.optics,
        **{
            f.name: getattr(before.optics, f.name)
            for f in fields(again.optics)
            if getattr(again.optics, f.name) == f.default
        },
    )
    if optics == before.optics and optics != again.optics:
        lost.append("aberrations and further optics")
        again = replace(again, optics=before.optics)
    if gone := [called for called in lost if called]:
        warnings.warn(
            f"tomogram {before.name!r} has {', '.join(gone)}: files of {format.package} do not "
            "say it",
            LossyWarning,
            stacklevel=4,
        )
    return before, again


def _by_image(t: Tomogram) -> Tomogram:
    """The tilt images in the order of their stack, as most files have them."""
    order = None if t.image_index is None else np.argsort(t.image_index)
    return t if order is None or (np.diff(order) == 1).all() else t.select(order)


def _larger_first(t: Tomogram) -> Tomogram:
    """The same astigmatism with the larger defocus first, as most packages have it."""
    if t.defocus_u is None or t.defocus_v is None or not (t.defocus_u < t.defocus_v).any():
        return t
    angle = np.zeros(t.n_tilts) if t.defocus_angle is None else t.defocus_angle
    u, v, turned = larger_first(t.defocus_u, t.defocus_v, angle)
    return replace(t, defocus_u=u, defocus_v=v, defocus_angle=turned)
