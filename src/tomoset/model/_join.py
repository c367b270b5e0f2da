"""Parts of one tilt series put together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from tomoset.errors import ModelError
from tomoset.model.source import Source


def joined(parts: Sequence[Any], per_tilt: Sequence[str]) -> Any:
    """Parts of one tilt series put together, in their order; all else is the first one's.

    Parameters
    ----------
    parts : sequence of Tomogram
        At least one.
    per_tilt : sequence of str
        Fields that are arrays of numbers; NaN where a part has none.

    Raises
    ------
    ModelError
        If some are aligned and others not, or name their images otherwise.
    """
    first = parts[0]
    changes: dict[str, Any] = {"n_tilts": sum(t.n_tilts for t in parts)}
    for name in per_tilt:
        changes[name] = _numbers([getattr(t, name) for t in parts], parts)
    for name in ("projections", "acquisition", "movies"):
        changes[name] = _all([getattr(t, name) for t in parts], name, first)
    for name in ("alignment", "deformation"):
        changes[name] = _of_all([getattr(t, name) for t in parts], name, first)
    found = dict.fromkeys(what for t in parts for what in t.deviations)
    changes["deviations"] = {
        what: _numbers([t.deviations.get(what) for t in parts], parts) for what in found
    }
    halves = [t.half_images or ((), ()) for t in parts]
    changes["half_images"] = tuple(
        _all([pair[half] or None for pair in halves], "half images", first) or () for half in (0, 1)
    )
    if all(t.source for t in parts):
        changes["source"] = _texts([t.source for t in parts if t.source])
    else:
        changes["source"] = first.source and replace(first.source, tilts={}, tilt_values={})
    return replace(first, **_images(parts), **changes)


def _numbers(values: list[Any], parts: Sequence[Any]) -> Any:
    if all(value is None for value in values):
        return None
    pairs = zip(values, parts, strict=True)
    return np.concatenate([np.full(t.n_tilts, np.nan) if v is None else v for v, t in pairs])


def _all(values: list[Any], what: str, of: Any) -> Any:
    """Values of all parts, which have them all or not at all."""
    there = [value for value in values if value is not None]
    if not there:
        return None
    if len(there) < len(values):
        raise ModelError(
            f"tomogram {of.name!r}: some tilt images have {what} and others, that were taken out, "
            "have not: say the same of all of them, or leave those out"
        )
    if isinstance(there[0], tuple):
        return tuple(entry for value in there for entry in value)
    return np.concatenate(there)


def _of_all(values: list[Any], what: str, of: Any) -> Any:
    """As `_all`, of objects that hold arrays and what is common to all tilt images."""
    if _all([None if value is None else () for value in values], what, of) is None:
        return None
    changes: dict[str, Any] = {}
    for name, one in vars(values[0]).items():
        if isinstance(one, np.ndarray):
            changes[name] = np.concatenate([getattr(value, name) for value in values])
        elif any(getattr(value, name) != one for value in values):
            raise ModelError(f"tomogram {of.name!r}: tilt images have {what}s of different kinds")
    return replace(values[0], **changes)


def _images(parts: Sequence[Any]) -> dict[str, Any]:
    """Slices of one stack where all are of it, else images by their names."""
    index = [np.arange(t.n_tilts) if t.image_index is None else t.image_index for t in parts]
    if len({t.stack for t in parts}) == 1 and all(t.images is None for t in parts):
        return {"image_index": np.concatenate(index)}
    names: list[str] = []
    for t, slices in zip(parts, index, strict=True):
        if t.images is None and t.stack is None:
            raise ModelError(f"tomogram {t.name!r} names only some of its tilt images")
        names += t.images or [f"{i + 1:06d}@{t.stack}" for i in slices.tolist()]
    return {"images": tuple(names), "stack": None, "image_index": None}


def _texts(sources: Sequence[Source]) -> Source:
    """The texts of columns that all parts have."""
    common = [c for c in sources[0].tilts if all(c in source.tilts for source in sources)]
    tilts = {label: [text for s in sources for text in s.tilts[label]] for label in common}
    values: dict[str, Any] = {}
    for label in common:
        found = [source.tilt_values.get(label) for source in sources]
        if all(isinstance(value, tuple) for value in found):
            values[label] = tuple(entry for value in found for entry in value or ())
        elif all(isinstance(value, np.ndarray) for value in found):
            arrays = [value for value in found if value is not None]
            if len({array.shape[1:] for array in arrays}) == 1:
                values[label] = np.concatenate(arrays)
    return replace(sources[0], tilts=tilts, tilt_values=values)
