"""STOPGAP's motive lists: ``data_stopgap_motivelist`` of a STAR file.

https://github.com/wan-lab-vanderbilt/STOPGAP/wiki. What decides each sign is in docs/formats.md.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from tomoset import star
from tomoset.errors import FileFormatError, MissingFieldError
from tomoset.formats._numbered_tables import Numbered, NumberedTables
from tomoset.formats._picks import Array, Ints, scored, whole
from tomoset.formats._texts import exact_texts, whole_texts
from tomoset.model import TomogramSet

_TABLE = "stopgap_motivelist"
_TOMOGRAM, _HALF, _CLASS, _SCORE = "tomo_num", "halfset", "class", "score"
_PLACE = ("orig_x", "orig_y", "orig_z")
_SHIFT = ("x_shift", "y_shift", "z_shift")
_ANGLES = ("phi", "the", "psi")
_HALVES = ("A", "B")


class Stopgap(NumberedTables):
    """Motive lists."""

    name = "stopgap"
    package = "STOPGAP"
    url = "https://github.com/wan-lab-vanderbilt/STOPGAP"
    reads = "particle tables `_motl.star`"
    particle_files = (".star",)
    particle_says = frozenset({"halves", "classes", "scores"})

    def detect_particles(self, path: str, head: bytes) -> bool:
        """Whether a table is called as STOPGAP calls it."""
        return path.endswith(self.particle_files) and f"data_{_TABLE}".encode() in head

    def table_of(self, path: str) -> Numbered:
        """Columns of the table."""
        file = star.read(path)
        table = next((t for t in file.tables if t.name == _TABLE), None)
        if table is None:
            raise FileFormatError(f"expected a table data_{_TABLE}, found none", path=path)
        lack = [c for c in (_TOMOGRAM, *_PLACE, *_SHIFT, *_ANGLES) if c not in table]
        if lack:
            raise MissingFieldError(f"data_{_TABLE} has no {', '.join(lack)}", path=path)
        return Numbered(
            numbers=table.floats(_TOMOGRAM),
            places=_floats(table, _PLACE),
            shifts=_floats(table, _SHIFT),
            angles=_floats(table, _ANGLES),
            halves=_read_halves(table),
            classes=whole(table.floats(_CLASS)) if _CLASS in table else None,
            scores=scored(table.floats(_SCORE)) if _SCORE in table else None,
        )

    def content(
        self,
        table: Numbered,
        tomograms: TomogramSet,  # noqa: ARG002
        numbers: Mapping[str, int],  # noqa: ARG002
    ) -> bytes:
        """All columns, in STOPGAP's order."""
        n = len(table.numbers)
        halves = np.zeros(n, np.int64) if table.halves is None else table.halves
        classes = np.ones(n, np.int64) if table.classes is None else table.classes
        scores = np.zeros(n) if table.scores is None else table.scores
        count = whole_texts(np.arange(1, n + 1))
        columns = {
            "motl_idx": count,
            _TOMOGRAM: whole_texts(table.numbers.astype(np.int64)),
            "object": ["1"] * n,
            "subtomo_num": count,
            _HALF: [_HALVES[half] for half in halves.tolist()],
            **_texts(_PLACE, table.places),
            _SCORE: exact_texts(scores),
            **_texts(_SHIFT, table.shifts),
            **_texts(("phi", "psi", "the"), table.angles[:, [0, 2, 1]]),
            _CLASS: whole_texts(classes),
        }
        return b"".join(star.encode(star.StarFile((star.Table(_TABLE, columns),))))


def _floats(table: star.Table, labels: tuple[str, ...]) -> Array:
    return np.stack([table.floats(label) for label in labels], axis=1)


def _texts(labels: tuple[str, ...], values: Array) -> dict[str, list[str]]:
    texts = (exact_texts(column) for column in values.round(9).T)
    return dict(zip(labels, texts, strict=True))


def _read_halves(table: star.Table) -> Ints | None:
    """Half sets, 0 and 1; none where all particles are in one."""
    if _HALF not in table:
        return None
    texts = [text.upper() for text in table[_HALF]]
    if len(set(texts)) < 2:
        return None
    bad = next((row for row, text in enumerate(texts) if text not in _HALVES), None)
    if bad is not None:
        raise table.error(f"expected a half set, A or B, found {texts[bad]!r}", bad, _HALF)
    return np.array([_HALVES.index(text) for text in texts], dtype=np.int64)


STOPGAP = Stopgap()
