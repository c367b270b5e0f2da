"""What a conversion or an import said, lost and verified, kept beside what it wrote."""

from __future__ import annotations

import contextlib
import json
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tomoset.errors import TomosetWarning
from tomoset.files import write
from tomoset.formats import Loss
from tomoset.project.verify import Verification


@contextlib.contextmanager
def listened() -> Iterator[list[str]]:
    """What is warned of in a block, as ever."""
    said: list[str] = []
    with warnings.catch_warnings():
        show = warnings.showwarning

        def keep(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
            show(message, category, *place, **more)
            if issubclass(category, TomosetWarning) and str(message) not in said:
                said.append(str(message))

        warnings.showwarning = keep
        yield said


def of_tomograms(
    losses: Mapping[str, Loss], verifications: Mapping[str, Verification]
) -> dict[str, dict[str, Any]]:
    """What each tomogram lost, and how far it is from its source, by name."""
    rows: dict[str, dict[str, Any]] = {}
    for name in dict.fromkeys([*verifications, *losses]):
        lost, verified = losses.get(name), verifications.get(name)
        row: dict[str, Any] = {"lost": [] if lost is None else list(lost.texts)}
        if lost is not None:
            row["lost_px"] = lost.pixels.round(4).tolist()
            row["lost_defocus_A"] = lost.defocus.round(2).tolist()
        if verified is not None:
            row["verified_points"] = verified.points
            row["verified_px"] = float(f"{verified.position.max(initial=0.0):.2g}")
            row["verified_defocus_A"] = float(f"{verified.defocus.max(initial=0.0):.2g}")
            row["differs"] = list(verified.differs)
        rows[name] = row
    return rows


def record_path(target: str | os.PathLike[str]) -> str:
    """Where the record of a set, or of the files of a folder, is.

    Examples
    --------
    >>> record_path("run/tomograms.star"), record_path("for_warp")
    ('run/tomograms_conversion.json', 'for_warp/conversion.json')
    """
    stem, ending = os.path.splitext(os.fspath(target))
    return f"{stem}_conversion.json" if ending else os.path.join(stem, "conversion.json")


def is_record(path: str) -> bool:
    """Whether a file is such a record, which may be replaced."""
    return path.endswith("conversion.json")


def store(
    target: str | os.PathLike[str],
    record: Mapping[str, Any],
    said: Sequence[str],
) -> None:
    """Write a record beside its set, or into its folder."""
    text = json.dumps({**record, "said": [*said]}, indent=1, allow_nan=False)
    write(record_path(target), f"{text}\n".encode())
