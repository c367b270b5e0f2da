"""What a viewer may ask of a set, and what it is told: pages, images, numbers, never a file."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from tomoset.errors import ModelError
from tomoset.model import Project, Tomogram
from tomoset.report._drawings import some
from tomoset.report._page import Pages, asset, policy
from tomoset.report._paths import Shortened
from tomoset.report._pictures import jpeg, montage, small, tilt_images, volume_slice
from tomoset.report._points import Points
from tomoset.report._sight import on_plane
from tomoset.run import VERSION

Array = npt.NDArray[np.float64]
Asked = Mapping[str, str]

#: Largest side of an image that is sent [px], and of boxes about a point that is followed.
_LARGEST, _BOX, _TILE = 1024, 96, 96
#: Points that are shown of one kind.
_POINTS = 2000
_QUALITY = 80


class BadQuestionError(Exception):
    """A request that makes no sense: a number that is none, a series that there is not."""


@dataclass(frozen=True)
class Answer:
    """What is sent: its type, and its content."""

    kind: str
    content: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


class Answers:
    """What is known of a set.

    Parameters
    ----------
    project : Project
        With its particles and fiducials, as far as they can be read.
    path : str
        Of the set, as the user gave it: for commands.
    first : str, optional
        The series that is shown first.

    Raises
    ------
    ModelError
        If there is no series, or none of this name.
    """

    def __init__(self, project: Project, path: str, first: str | None = None) -> None:
        self.project, self._path = project, path
        self._series = list(project.tomograms.values())
        names = list(project.tomograms)
        if not names:
            raise ModelError(f"{path}: there is no tilt series to look at")
        if first is not None and first not in names:
            some_names = ", ".join(names[:5])
            raise ModelError(f"no tomogram is called {first!r}; there are {some_names}")
        self._first = 0 if first is None else names.index(first)
        self._shortened = Shortened(project.named_files())
        self._points = Points(project)

    def told(self, problem: Exception | str) -> str:
        """What is wrong, without absolute paths."""
        return self._shortened(str(problem))

    def page(self, _: Asked) -> Answer:
        """The viewer itself."""
        pages = Pages(self._shortened, version=VERSION)
        more = {"img-src": "'self' data:", "connect-src": "'self'"}
        names = [t.name for t in self._series]
        text = pages.page(
            "view.html",
            "view.js",
            more,
            names=names,
            first=self._first,
            of=os.path.relpath(self._path),
        )
        rules = policy(asset("report.css"), asset("view.js"), more)
        headers = {"Content-Security-Policy": f"{rules}; frame-ancestors 'none'"}
        return Answer("text/html; charset=utf-8", text.encode("utf-8", "replace"), headers)

    def series(self, asked: Asked) -> Answer:
        """Tilt angles, sizes, and where beads and particles are in every image."""
        t = self._asked_for(asked)
        made = t.reconstruction
        return _json(
            {
                "name": t.name,
                "tilts": t.n_tilts,
                "angles": _angles(t),
                "numbers": [row + 1 for row in t.original_rows()],
                "image_size": t.image_size,
                "size": t.size,
                "aligned": t.projections is not None,
                "binning": None if made is None else made.binning,
                "points": [] if t.projections is None else self._projected(t),
            }
        )

    def _projected(self, t: Tomogram) -> list[dict[str, Any]]:
        return [
            {
                "kind": kind,
                "points": some(points, _POINTS).round(1).tolist(),
                "at": t.project(some(points, _POINTS)).round(1).tolist(),
            }
            for kind, points in self._points.of(t.name).items()
        ]

    def tilt(self, asked: Asked) -> Answer:
        """A tilt image."""
        t = self._asked_for(asked)
        return _jpeg(next(tilt_images(t, [_whole(asked, "i", t.n_tilts)], _LARGEST)).grey)

    def slice(self, asked: Asked) -> Answer:
        """A section of the volume, at a z of the tomogram."""
        t = self._asked_for(asked)
        made, size = t.reconstruction, t.size
        if made is None or size is None:
            raise ModelError(f"tomogram {t.name!r} names no volume")
        depth = max(1, round(size[2] / (made.binning or 1.0)))
        at = int(_number(asked, "z") / (made.binning or 1.0))
        return _jpeg(volume_slice(t, _LARGEST, min(max(at, 0), depth - 1)).grey)

    def follow(self, asked: Asked) -> Answer:
        """A point of the specimen, and where it is in every image.

        Asked for by its place in space, or in a tilt image and by its depth.
        """
        t = self._asked_for(asked)
        place = [_number(asked, key) for key in "xyz"]
        point = np.array([place])
        if "i" in asked:
            point = on_plane(t, _whole(asked, "i", t.n_tilts), [place[:2]], place[2])
        at = t.project(point)[:, 0]
        return _json({"point": point[0].round(2).tolist(), "at": at.round(2).tolist()})

    def boxes(self, asked: Asked) -> Answer:
        """What every tilt image shows about a point, side by side in the order of angles."""
        t = self._asked_for(asked)
        boxes = t.extract([[_number(asked, key) for key in "xyz"]], _BOX).boxes[0]
        angles = _angles(t)
        order = range(t.n_tilts) if angles is None else np.argsort(angles, kind="stable").tolist()
        return _jpeg(montage([small(boxes[i], _TILE).grey for i in order])[0])

    def command(self, asked: Asked) -> Answer:
        """The command that takes tilt images out: places in the whole series, from 1."""
        t = self._asked_for(asked)
        places = list(t.original_rows())
        rows = [int(text) for text in asked.get("tilts", "").split(",") if text.isdecimal()]
        chosen = sorted({int(places[row]) + 1 for row in rows if row < t.n_tilts})
        if not chosen:
            return _json({"command": None})
        named = [f"--tn={t.name}"] if t.name.startswith("-") else ["--tn", t.name]
        index = ["--index", ",".join(map(str, chosen))]
        words = ["tomoset", "exclude", self._path, *named, *index, "-o", "less/"]
        return _json({"command": shlex.join(words)})

    def _asked_for(self, asked: Asked) -> Tomogram:
        return self._series[_whole(asked, "n", len(self._series))]


#: What can be asked, by the end of the address.
ANSWERS: Mapping[str, Callable[[Answers, Asked], Answer]] = {
    "": Answers.page,
    "series.json": Answers.series,
    "tilt.jpg": Answers.tilt,
    "slice.jpg": Answers.slice,
    "follow.json": Answers.follow,
    "boxes.jpg": Answers.boxes,
    "command.json": Answers.command,
}


def _angles(t: Tomogram) -> list[float] | None:
    """Tilt angles, nominal ones where it is not aligned [deg]."""
    if t.projections is not None or t.alignment is not None:
        return [round(float(x), 2) for x in t.tilt_angles]
    if t.nominal_tilts is None or np.isnan(t.nominal_tilts).any():
        return None
    return [round(float(x), 2) for x in t.nominal_tilts]


def _whole(asked: Asked, key: str, number: int) -> int:
    text = asked.get(key, "")
    if not (text.isascii() and text.isdecimal() and int(text[:9]) < number and len(text) < 9):
        raise BadQuestionError(f"{key} must be a whole number below {number}")
    return int(text)


def _number(asked: Asked, key: str) -> float:
    try:
        value = float(asked.get(key, ""))
    except ValueError:
        value = np.nan
    if not abs(value) < 1e9:
        raise BadQuestionError(f"{key} must be a number")
    return value


def _json(said: Any) -> Answer:
    return Answer("application/json", json.dumps(said, allow_nan=False).encode())


def _jpeg(grey: npt.NDArray[np.uint8]) -> Answer:
    return Answer("image/jpeg", jpeg(grey, _QUALITY))
