"""Picks of copick: a JSON file for each run, object and session.

https://copick.github.io/copick/: places in Å; a 4 x 4 matrix takes the object to its place, and its
translation [Å] is added to that. What decides each sign is in docs/formats.md.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping

import numpy as np

from tomoset.errors import FileFormatError, ModelError
from tomoset.files import file_name, together, write
from tomoset.formats._format import Format
from tomoset.formats._json_points import locations, numbers, proper, read_json, run_of
from tomoset.formats._pick_frames import Picked
from tomoset.formats._picks import Ints, Picks, particles_of, picks_of, scored
from tomoset.formats._words import StrPath
from tomoset.model import ParticleSet, TomogramSet
from tomoset.paths import file_names

_OBJECT = "pickable_object_name"
_RUNS, _PICKS = "ExperimentRuns", "Picks"
_USER, _SESSION, _GROUP = "tomoset", "0", "particles"


class Copick(Format):
    """Picks."""

    name = "copick"
    package = "copick"
    url = "https://copick.github.io/copick/"
    reads = "particle tables `Picks/*.json`"
    writes = "the same"
    alignments = False
    needs: Mapping[str, tuple[str, ...]] = {"": ("particles", "size", "pixel_size")}
    particle_files = (".json",)
    particle_says = frozenset({"scores"})

    def detect_particles(self, path: str, head: bytes) -> bool:
        """Whether the file begins with the name of what was picked."""
        return path.endswith(self.particle_files) and f'"{_OBJECT}"'.encode() in head

    def read_picks(self, path: StrPath, tomograms: TomogramSet, picked: Picked) -> ParticleSet:
        """Particles of one file; see `Format`."""
        name = os.fspath(path)
        file = read_json(name)
        if not isinstance(file, dict) or not isinstance(points := file.get("points"), list):
            raise FileFormatError("expected picks of copick, with a list of points", path=name)
        run = file.get("run_name")
        places = locations(points, name)
        unit = file.get("unit", "angstrom")
        if unit != "angstrom":
            raise FileFormatError(f"expected points in angstrom, found {unit!r}", path=name)
        still = np.eye(4).tolist()
        matrices = [point.get("transformation_") or still for point in points]
        moved = numbers(matrices, (4, 4), name, "matrix of 4 x 4 numbers")
        turned = len(moved) > 0 and not np.array_equal(moved[:, :3, :3], [np.eye(3)] * len(moved))
        scores = [1.0 if (s := point.get("score")) is None else s for point in points]
        picks = Picks(
            keys=[run if isinstance(run, str) and run else run_of(name, (_PICKS,))] * len(points),
            points=places + moved[:, :3, 3] if len(moved) else places.reshape(-1, 3),
            rotations=proper(moved[:, :3, :3], name) if turned else None,
            scores=scored(numbers(scores, (), name, "score")),
            in_angstrom=True,
        )
        return particles_of(picks, name, tomograms, picked)

    def write_picks(
        self, particles: ParticleSet, path: StrPath, tomograms: TomogramSet, picked: Picked
    ) -> list[str]:
        """Write ``ExperimentRuns/NAME/Picks/*.json`` of each tomogram; see `Format`."""
        picks, written = picks_of(particles, tomograms, picked), []
        rows_of = particles.by_tomogram()
        group = _GROUP if picked.group is None else file_name(picked.group)
        with together():
            for name, plain in file_names(rows_of).items():
                rows, t = rows_of[name], tomograms[name]
                spacing = t.need_pixel_size() * picked.factor(t)
                head = {
                    _OBJECT: group,
                    "user_id": _USER,
                    "session_id": _SESSION,
                    "run_name": name,
                    "voxel_spacing": spacing,
                    "unit": "angstrom",
                }
                text = (
                    f'{json.dumps(head)[:-1]}, "points": [\n{_points(picks, rows, spacing)}\n]}}\n'
                )
                file = f"{_USER}_{_SESSION}_{group}.json"
                written.append(os.path.join(path, _RUNS, plain, _PICKS, file))
                write(written[-1], text.encode())
        return written


def _points(picks: Picks, rows: Ints, spacing: float) -> str:
    places, table = picks.points[rows] * spacing, np.zeros((len(rows), 13))
    table[:, :3], table[:, 12] = places, 1.0 if picks.scores is None else picks.scores[rows]
    unturned = np.broadcast_to(np.eye(3), (len(rows), 3, 3))
    turned = unturned if picks.rotations is None else picks.rotations[rows]
    table[:, 3:12] = turned.reshape(-1, 9)
    if not np.isfinite(table).all():
        raise ModelError("a place, an orientation or a score is not known, and copick needs all")
    number = "%.12g"
    matrix = ", ".join(f"[{number}, {number}, {number}, 0.0]" for _ in range(3))
    row = (
        f'{{"location": {{"x": {number}, "y": {number}, "z": {number}}}, "transformation_": '
        f'[{matrix}, [0.0, 0.0, 0.0, 1.0]], "instance_id": 0, "score": {number}}}'
    )
    return ",\n".join([row % tuple(values) for values in table.tolist()])


COPICK = Copick()
