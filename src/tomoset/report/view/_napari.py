"""A tilt series, its tomogram and its points as layers of napari, in a window each."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from tomoset.errors import AssumptionWarning, ModelError, TomosetError, UnsupportedError
from tomoset.figures._style import grey_levels
from tomoset.images.stack import open_stack, read_header
from tomoset.model import Project, Tomogram
from tomoset.report._pictures import volume_path
from tomoset.report._points import Points

#: Axes of tilt images and of volumes: they lie in windows of their own.
TILTS, SPACE = ("tilt image", "y", "x"), ("z", "y", "x")
#: Width of the circles of points [px].
_WIDE = 10
_COLOURS = {"beads": "orange", "particles": "deepskyblue"}


@dataclass(frozen=True, kw_only=True, eq=False)
class Layer:
    """A layer of napari.

    Parameters
    ----------
    kind : {"image", "points"}
        What it is.
    name : str
        What it is called.
    axes : tuple of str
        `TILTS` or `SPACE`.
    data : array
        Images (z or tilt, y, x), which may be read as they are looked at; or points in the same
        order of axes.
    more : dict
        What else napari is told.
    """

    kind: str
    name: str
    axes: tuple[str, ...]
    data: Any
    more: dict[str, Any] = field(default_factory=dict)


def layers(project: Project, name: str) -> Iterator[Layer]:
    """What there is of a series; what cannot be read is warned of.

    Parameters
    ----------
    project : Project
        With its particles and fiducials.
    name : str
        Of the tomogram.
    """
    t = project.tomograms[name]
    for of in (_tilt_images, _volume):
        try:
            yield from of(t)
        except (TomosetError, OSError) as problem:
            warnings.warn(f"not shown: {problem}", AssumptionWarning, stacklevel=2)
    for kind, points in Points(project).of(name).items():
        look = {"size": _WIDE, "face_color": "transparent", "border_color": _COLOURS[kind]}
        if t.projections is not None:
            at = t.project(points)[..., ::-1]
            tilt = np.broadcast_to(np.arange(t.n_tilts)[:, None, None], (*at.shape[:2], 1))
            flat = np.concatenate([tilt, at], axis=-1).reshape(-1, 3)
            yield Layer(kind="points", name=kind, axes=TILTS, data=flat, more=look)
        # In space a point is seen in all sections that its circle, as a sphere, would meet.
        look = {**look, "out_of_slice_display": True}
        yield Layer(kind="points", name=kind, axes=SPACE, data=points[:, ::-1], more=look)


def _tilt_images(t: Tomogram) -> Iterator[Layer]:
    if t.n_tilts:
        yield _images("tilt images", TILTS, _looked_at(t.image_sections()))


def _volume(t: Tomogram) -> Iterator[Layer]:
    if t.reconstruction is not None:
        path = volume_path(t)
        sections = [(path, i) for i in range(read_header(path).n_images)]
        scale = [t.reconstruction.binning or 1.0] * 3
        yield _images("tomogram", SPACE, _looked_at(sections), scale=scale)


def _images(name: str, axes: tuple[str, ...], stack: Any, **more: Any) -> Layer:
    """With the grey levels of the middle one: beads, and empty ends, would spoil all others."""
    more["contrast_limits"] = grey_levels(np.asarray(stack[len(stack) // 2]))
    return Layer(kind="image", name=name, axes=axes, data=stack, more=more)


def _looked_at(sections: Sequence[tuple[str, int]]) -> Any:
    """Sections of files, each read when it is looked at, as napari's own Dask does: (n, y, x)."""
    from dask import array
    from dask.delayed import delayed

    def read(path: str, i: int) -> npt.NDArray[np.float32]:
        with open_stack(path) as stack:
            return np.asarray(stack.read(i), np.float32)

    shape = read_header(sections[0][0]).size[::-1]
    stacked: Any = array
    images = [
        stacked.from_delayed(delayed(read)(path, i), shape, np.float32) for path, i in sections
    ]
    return stacked.stack(images)


def show(project: Project, name: str) -> None:
    """Open napari with a series, until its windows are closed.

    Raises
    ------
    UnsupportedError
        If napari is not installed.
    ModelError
        If there is nothing to show.
    """
    try:
        import napari
    except ImportError as problem:
        raise UnsupportedError("napari is not installed: pip install 'tomoset[view]'") from problem
    windows: dict[tuple[str, ...], Any] = {}
    for layer in layers(project, name):
        if layer.axes not in windows:
            what = "tilt images" if layer.axes == TILTS else "tomogram"
            viewer = napari.Viewer(title=f"{name}: {what}", axis_labels=layer.axes)
            # As in every MRC viewer: the first row is the lowest. From napari 0.9 on the camera is
            # that of a scene.
            getattr(viewer, "scene", viewer).camera.orientation2d = ("up", "right")
            windows[layer.axes] = viewer
        viewer = windows[layer.axes]
        add = viewer.add_image if layer.kind == "image" else viewer.add_points
        add(layer.data, name=layer.name, **layer.more)
    if not windows:
        raise ModelError(f"tomogram {name!r}: neither images nor points can be shown")
    napari.run()
