"""``.resid`` files of tiltalign: where beads were seen in the pre-aligned stack.

https://bio3d.colorado.edu/imod/doc/man/tiltalign.html, FILES: a line with the number of
residuals, then ``X Y Z X_residual Y_residual`` for each, x and y as in a model (0.5 in the
middle of the first pixel), z the view from 0. Bead by bead in the order of the model's
contours, which it does not name: a new one begins where the view does not increase.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np

from tomoset.errors import FileFormatError
from tomoset.formats._text_tables import read_lines
from tomoset.formats.imod.bead_stacks import Array, ImodStack, observed
from tomoset.model.observations import Observations

#: x, y, view and two residuals; what else may follow is passed over.
_COLUMNS = 5
#: More views than any tilt series has.
_MANY = 100_000


def read_residuals(
    path: str | os.PathLike[str],
    stack: ImodStack | None = None,
    *,
    n_beads: int | None = None,
    kept: Sequence[int] | None = None,
) -> Observations:
    """Read where beads were seen from a table of tiltalign's residuals.

    Parameters
    ----------
    path : path-like
        ``.resid``.
    stack : ImodStack, optional
        The pre-aligned stack, as `prealigned_stack` finds it. None: the raw images.
    n_beads : int, optional
        How many there are (the lines of ``fid.xyz``), to refuse a table that cannot be told
        apart: one bead ends before the next begins, or a contour's views are in no order.
    kept : sequence of int, optional
        Which view (from 0) each row of the tomogram is, where some were left out.

    Returns
    -------
    Observations
        In 0-based pixels of the raw tilt images, rounded by tiltalign to 0.01 px.

    Raises
    ------
    FileFormatError
        With the line that is not what it must be; or if the table is cut short.
    """
    name = os.fspath(path)
    table = _read_table(name)
    view = np.rint(table[:, 2]).astype(np.int64)
    bead = np.concatenate([[0], np.cumsum(np.diff(view) <= 0)])
    if n_beads is not None and bead[-1] + 1 != n_beads:
        raise FileFormatError(
            f"expected {n_beads} beads, found {bead[-1] + 1}, each from where the view does not "
            "increase; read the fiducial model (.fid), which tells them apart",
            path=name,
        )
    return observed((bead, view, table[:, :2]), stack, kept, name)


def _read_table(path: str) -> Array:
    lines = [(i, line) for i, line in enumerate(read_lines(path), 1) if line.strip()]
    head = lines[0][1].split() if lines else []
    if len(head) < 2 or not head[0].isdecimal() or head[1] != "residuals":
        raise FileFormatError(
            "expected tiltalign's residuals, whose first line is like '1403 residuals', found "
            + (repr(lines[0][1].strip()[:40]) if lines else "an empty file"),
            path=path,
        )
    rows = [_row(line, path, number) for number, line in lines[1:]]
    if len(rows) != int(head[0]) or not rows:
        raise FileFormatError(
            f"expected {head[0]} residuals, found {len(rows)}; run tiltalign again", path=path
        )
    return np.array(rows)


def _row(line: str, path: str, number: int) -> list[float]:
    try:
        values = [float(word) for word in line.split()[:_COLUMNS]]
    except ValueError:
        values = []
    if len(values) < _COLUMNS or not np.isfinite(values).all():
        raise FileFormatError(
            f"expected x, y, view and two residuals, found {line.strip()[:60]!r}",
            path=path,
            line=number,
        )
    if not (0 <= values[2] < _MANY and values[2].is_integer()):
        raise FileFormatError(
            f"expected a view, from 0, found {values[2]:g}", path=path, line=number
        )
    return values
