"""EMAN2's particles: lists (``.lst``) of its refinements, and boxes of ``info/NAME_info.json``.

https://eman2.org/e2tomo: places count from the middle of the tomogram. What decides each sign is in
docs/formats.md.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import numpy as np

from tomoset.errors import FileFormatError
from tomoset.files import together, write
from tomoset.formats._format import Format
from tomoset.formats._json_points import numbers, proper, read_json
from tomoset.formats._pick_frames import Picked
from tomoset.formats._picks import (
    Array,
    Picks,
    middle,
    particles_of,
    picks_of,
    scored,
    table_path,
)
from tomoset.formats._text_tables import read_lines
from tomoset.formats._words import StrPath
from tomoset.model import ParticleSet, TomogramSet
from tomoset.paths import file_names

_MAGIC = "#LSX"
_COORD, _ALIGN, _BOXES = "coord", "xform.align3d", "boxes_3d"
_PIXEL = "apix_unbin"
#: The rest of a line of a list: where an image is, and what is known of it.
_LINE = re.compile(r"\s*([0-9]+)\t([^\t]+)\t(\{.*\})\s*\Z")
_NOTE = (
    "# This file is in fast LST format. All lines after the next line have exactly the number of "
    "characters shown on the next line. This MUST be preserved if editing."
)


class Eman2Particles(Format):
    """What EMAN2 says of particles."""

    particle_files = (".lst", "_info.json")
    particle_says = frozenset({"halves", "scores"})

    def detect_particles(self, path: str, head: bytes) -> bool:
        """Whether a list says where particles are, or a file of a tomogram has boxes."""
        if path.endswith(".lst"):
            return head.startswith(_MAGIC.encode()) and f'"{_COORD}"'.encode() in head
        return path.endswith("_info.json") and f'"{_BOXES}"'.encode() in _whole(path)

    def read_picks(self, path: StrPath, tomograms: TomogramSet, picked: Picked) -> ParticleSet:
        """Particles of a list, or boxes of a tomogram; see `Format`."""
        name = os.fspath(path)
        picks = _list(name) if name.endswith(".lst") else _boxes(name)
        return particles_of(picks, name, tomograms, picked)

    def write_picks(
        self, particles: ParticleSet, path: StrPath, tomograms: TomogramSet, picked: Picked
    ) -> list[str]:
        """Write one list, as a refinement leaves it (``aliptcls3d``); see `Format`."""
        picks, rows_of = picks_of(particles, tomograms, picked), particles.by_tomogram()
        points, index, stack = picks.points.copy(), np.empty(len(picks), int), {}
        for name, plain in file_names(rows_of).items():
            rows = rows_of[name]
            points[rows] -= middle(tomograms[name], picked)
            index[rows] = np.arange(len(rows))
            stack[name] = f"particles3d/{plain}__particles.hdf"
        turned = np.broadcast_to(np.eye(3), (len(picks), 3, 3))
        if picks.rotations is not None:
            turned = picks.rotations.transpose(0, 2, 1)
        table = np.concatenate([points, turned.reshape(-1, 9)], axis=1)
        known = {"class": picks.halves, "score": picks.scores}
        said = {what: values.tolist() for what, values in known.items() if values is not None}
        lines = []
        for row, numbers_of in enumerate(table.tolist()):
            matrix = [[*numbers_of[3 * i : 3 * i + 3], 0.0] for i in (1, 2, 3)]
            flat = ",".join(f"{value:.9g}" for part in matrix for value in part)
            facts: dict[str, Any] = {what: values[row] for what, values in said.items()}
            facts[_COORD] = [round(value, 9) for value in numbers_of[:3]]
            facts[_ALIGN] = {"__class__": "Transform", "matrix": f"[{flat}]"}
            lines.append(f"{index[row]}\t{stack[picks.keys[row]]}\t{json.dumps(facts)}")
        width = max(map(len, lines)) + 1
        body = "".join(f"{line.ljust(width - 1)}\n" for line in lines)
        target = table_path(path, ".lst")
        with together():
            write(target, f"{_MAGIC}\n{_NOTE}\n# {width}\n{body}".encode())
        return [target]


def _whole(path: str) -> bytes:
    return Path(path).read_bytes()


def _list(path: str) -> Picks:
    """Particles of a refinement: x of the reference is M x of the particle, M of xform.align3d."""
    lines = read_lines(path)
    if lines[0].strip() != _MAGIC:
        raise FileFormatError(f"expected a list that begins with {_MAGIC}", path=path, line=1)
    facts, keys = [], []
    for number, line in enumerate(lines, 1):
        if line.startswith("#") or not line.strip():
            continue
        said = _facts(line, (path, number))
        facts.append(said)
        keys.append(said["src"])
    places = numbers([fact.get(_COORD) for fact in facts], (3,), path, f"place ({_COORD})")
    aligned = all(_ALIGN in fact for fact in facts) and bool(facts)
    scores = [fact.get("score", 0.0) for fact in facts]
    halves = [fact.get("class") for fact in facts]
    rotations = None
    if aligned:
        matrices = numbers([_matrix(f[_ALIGN]) for f in facts], (12,), path, _ALIGN)
        moved = matrices.reshape(-1, 3, 4)
        rotations = proper(moved[:, :, :3], path).transpose(0, 2, 1)
        # The particle's middle is where the reference's comes from.
        places = places - np.einsum("nij,nj->ni", rotations, moved[:, :, 3])
    return Picks(
        keys=keys,
        points=places,
        rotations=rotations,
        halves=np.array(halves, np.int64) if halves and set(halves) == {0, 1} else None,
        scores=scored(numbers(scores, (), path, "score")),
        from_middle=True,
    )


def _facts(line: str, where: tuple[str, int]) -> dict[str, Any]:
    """What a line says, with the tomogram that its stack is of."""
    path, number = where
    found = _LINE.match(line)
    try:
        said = json.loads(found[3]) if found else None
    except (json.JSONDecodeError, RecursionError):
        said = None
    if found is None or not isinstance(said, dict):
        raise FileFormatError(
            "expected the number of an image, its file and what is known of it (JSON), between "
            f"tabs; found {line.strip()[:60]!r}",
            path=path,
            line=number,
        )
    stem = os.path.basename(found[2]).rsplit(".", 1)[0]
    return said | {"src": stem.partition("__")[0]}


def _matrix(said: Any) -> Any:
    """The 12 numbers of a Transform, which may be a text."""
    matrix = said.get("matrix") if isinstance(said, dict) else None
    if isinstance(matrix, str):
        try:
            return json.loads(matrix)
        except (json.JSONDecodeError, RecursionError):
            return None
    return matrix


def _boxes(path: str) -> Picks:
    """Boxes that were picked, in unbinned pixels from the middle."""
    file = read_json(path)
    boxes = file.get(_BOXES) if isinstance(file, dict) else None
    if not isinstance(boxes, list) or not boxes:
        raise FileFormatError(f"expected boxes ({_BOXES}), found none", path=path)
    pixel = file.get(_PIXEL)
    if not isinstance(pixel, int | float) or not 0 < pixel < 1e6:
        raise FileFormatError(
            f"expected the pixel size of the tilt images ({_PIXEL}), found {pixel!r}", path=path
        )
    short = [box[:3] if isinstance(box, list) else None for box in boxes]
    places: Array = numbers(short, (3,), path, "box with x, y and z") * pixel
    name = Path(path).name.removesuffix("_info.json")
    return Picks(keys=[name] * len(places), points=places, in_angstrom=True, from_middle=True)
