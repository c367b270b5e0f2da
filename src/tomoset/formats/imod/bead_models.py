"""Beads seen in tilt images as IMOD models (``.fid``): one contour a bead, one point a view.

https://bio3d.colorado.edu/imod/doc/man/beadtrack.html and tiltalign.html: each contour is a
bead, z of a point its view from 0, and no view may have two points of a contour.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from tomoset.errors import FileFormatError, ModelError
from tomoset.formats._imod_model import ImodModel, read_model, write_model
from tomoset.formats.imod.bead_stacks import Array, ImodStack, observed, on_stack
from tomoset.model.observations import Observations

#: How far z may be from a whole section: 3dmod's own sums leave a trace.
_NEAR = 0.1
#: More views than any tilt series has.
_MANY = 100_000


def read_bead_model(
    path: str | os.PathLike[str],
    stack: ImodStack | None = None,
    *,
    kept: Sequence[int] | None = None,
) -> Observations:
    """Read where beads were seen from an IMOD model.

    Parameters
    ----------
    path : path-like
        ``.fid`` or ``.mod``, binary.
    stack : ImodStack, optional
        The stack that it was made on. None: the raw images themselves, not binned. A model of
        images binned otherwise is scaled, and that is said.
    kept : sequence of int, optional
        Which view (from 0) each row of the tomogram is, where some were left out.

    Returns
    -------
    Observations
        Beads are the contours that have points, of all objects, in order; points in 0-based
        pixels of the raw tilt images.

    Raises
    ------
    FileFormatError
        If it is no such model: damaged, without points, of another stack, in 3D, or with two
        points of a contour in one view.
    """
    name = os.fspath(path)
    model = read_model(path)
    used = [i for i, points in enumerate(model.contours) if len(points)]
    if not used:
        raise FileFormatError(
            "the model has no points; track beads first, or leave the file away", path=name
        )
    points = np.concatenate([model.contours[i] for i in used])
    contour = np.repeat(used, [len(model.contours[i]) for i in used])
    bead = np.repeat(np.arange(len(used)), [len(model.contours[i]) for i in used])
    section = np.rint(points[:, 2])
    stray = (np.abs(points[:, 2] - section) > _NEAR) | (section < 0) | (section > _MANY)
    if stray.any():
        first = int(np.argmax(stray))
        raise FileFormatError(
            f"{model.names[contour[first]]} has a point at z = {points[first, 2]:g}, expected the "
            "number of a view, from 0; is this a model of a tomogram, not of a tilt series?",
            path=name,
        )
    view = section.astype(np.int64)
    _refuse_twice(model, contour, view, name)
    xy = points[:, :2] if stack is None else _in_its_pixels(model, points[:, :2], stack, name)
    return observed((bead, view, xy), stack, kept, name)


def _refuse_twice(
    model: ImodModel, contour: npt.NDArray[np.int64], view: npt.NDArray[np.int64], path: str
) -> None:
    pairs, counts = np.unique(np.stack([contour, view]), axis=1, return_counts=True)
    if (counts > 1).any():
        where, image = pairs[:, int(np.argmax(counts > 1))]
        raise FileFormatError(
            f"{model.names[where]} has two points in view {image + 1}; delete one in 3dmod",
            path=path,
        )


def _in_its_pixels(model: ImodModel, points: Array, stack: ImodStack, path: str) -> Array:
    if min(model.size[:2]) > 0:
        return on_stack(points, (model.size[0], model.size[1]), stack, path)
    if model.pixel_size is not None and stack.pixel_size is not None:
        expected = stack.pixel_size * stack.binning
        if abs(model.pixel_size[0] / expected - 1) > 0.05:
            raise FileFormatError(
                f"the model is of images of {model.pixel_size[0]:g} Å a pixel, expected "
                f"{expected:g}; give the binning of the stack that it was made on",
                path=path,
            )
    return points


def write_bead_model(
    observations: Observations,
    path: str | os.PathLike[str],
    stack: ImodStack,
    *,
    kept: Sequence[int] | None = None,
) -> None:
    """Write where beads were seen as an IMOD model, which 3dmod opens on the stack.

    Parameters
    ----------
    observations : Observations
        In 0-based pixels of the raw tilt images; uncertainties are not written.
    path : path-like
        Where; whole or not at all.
    stack : ImodStack
        The stack that the model shall be of; with its raw size alone it is that of the raw
        images. Its pixel size and origin let IMOD's programs find the place.
    kept : sequence of int, optional
        Which view (from 0) each row of the tomogram is, where some were left out.

    Raises
    ------
    ModelError
        If there are no observations, or one is in an image that the stack has not.

    Notes
    -----
    A bead that was never seen gets no contour, so the numbers of those behind it close up.
    """
    if not len(observations):
        raise ModelError(f"{os.fspath(path)}: there are no observations for a model")
    views = observations.tilt
    if kept is not None:
        if views.max() >= len(kept):
            raise ModelError(f"a bead is seen in row {views.max() + 1} of {len(kept)} tilt images")
        views = np.asarray(kept, dtype=np.int64)[views]
    if views.max() >= stack.raw_size[2]:
        raise ModelError(f"a bead is seen in view {views.max() + 1} of {stack.raw_size[2]}")
    points = np.concatenate([stack.from_raw(observations.points, views), views[:, None]], axis=1)
    order = np.lexsort([views, observations.bead])
    _, starts = np.unique(observations.bead[order], return_index=True)
    contours = np.split(points[order], starts[1:])
    width, height = stack.image_size
    # newstack leaves the distance of sections as it was.
    pixel = stack.pixel_size
    model = ImodModel(
        contours=tuple(contours),
        size=(width, height, stack.raw_size[2]),
        pixel_size=None if pixel is None else (pixel * stack.binning, pixel),
        origin=stack.origin,
    )
    write_model(model, path)
