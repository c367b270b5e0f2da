"""Tables of numbers for people, six digits each; what is not known is ``nan``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from tomoset.star._table import Table


def summary_table(name: str, values: Mapping[str, object]) -> Table:
    """A table of one value a label."""
    return Table(name, {label: [_text(value)] for label, value in values.items()}, is_loop=False)


def report_table(name: str, columns: Mapping[str, Iterable[object]]) -> Table:
    """A table of one column a label."""
    return Table(name, {label: [_text(v) for v in values] for label, values in columns.items()})


def parameter_columns(names: Sequence[str], **arrays: np.ndarray) -> dict[str, Iterable[object]]:
    """Columns of (n, parameters) arrays, by the ends of their labels (`report_label`)."""
    each = [(i, name, end) for i, name in enumerate(names) for end in arrays]
    return {report_label(name, end): arrays[end][:, i] for i, name, end in each}


def report_label(name: str, end: str = "") -> str:
    """``x_tilt`` and ``Error`` make ``tomosetXTiltError``."""
    return f"tomoset{name.title().replace('_', '')}{end}"


def _text(value: object) -> str:
    if value is None:
        return "nan"
    return f"{value:.6g}" if isinstance(value, float) else str(value)
