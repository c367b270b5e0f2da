"""A tilt series, its tomogram and its points as layers of napari."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tomoset.errors import TomosetError, UnsupportedError
from tomoset.images.mrc import stack_path
from tomoset.images.stack import open_stack
from tomoset.model import Project
from tomoset.report._points import Points


@dataclass(frozen=True, kw_only=True, eq=False)
class Layer:
    """A layer: ``image`` or ``points``, its name, its array, and what else napari is told."""

    kind: str
    name: str
    data: npt.NDArray[Any]
    more: dict[str, Any]


def layers(project: Project, name: str) -> Iterator[Layer]:
    """What there is of a series: images (z or tilt, y, x), points in the same order of axes.

    Parameters
    ----------
    project : Project
        With its particles and fiducials.
    name : str
        Of the tomogram.
    """
    t = project.tomograms[name]
    with t.open_images() as images:
        stack = np.stack([images.read(i) for i in range(len(images))])
    yield Layer(kind="image", name=f"{name}: tilt images", data=stack, more={})
    made = t.reconstruction
    if made is not None and made.path is not None:
        with open_stack(stack_path(made.path)) as volume:
            scale = [made.binning or 1.0] * 3
            more = {"visible": False, "scale": scale}
            yield Layer(kind="image", name=f"{name}: tomogram", data=volume.read_all(), more=more)
    for kind, points in Points(project).of(name).items():
        more = {"visible": False, "size": 10}
        yield Layer(kind="points", name=f"{kind} in space", data=points[:, ::-1], more=more)
        if t.projections is not None:
            at = t.project(points)[..., ::-1]
            tilt = np.broadcast_to(np.arange(t.n_tilts)[:, None, None], (*at.shape[:2], 1))
            flat = np.concatenate([tilt, at], axis=-1).reshape(-1, 3)
            more = {"size": 10, "face_color": "transparent", "border_color": "orange"}
            yield Layer(kind="points", name=f"{kind} in tilt images", data=flat, more=more)


def show(project: Project, name: str) -> None:
    """Open napari with a series, until it is closed.

    Raises
    ------
    UnsupportedError
        If napari is not installed.
    TomosetError
        If images cannot be read.
    """
    try:
        import napari
    except ImportError as problem:
        raise UnsupportedError("napari is not installed: pip install 'tomoset[view]'") from problem
    viewer = napari.Viewer(title=name)
    try:
        for layer in layers(project, name):
            add = viewer.add_image if layer.kind == "image" else viewer.add_points
            add(layer.data, name=layer.name, **layer.more)
    except TomosetError:
        viewer.close()
        raise
    napari.run()
