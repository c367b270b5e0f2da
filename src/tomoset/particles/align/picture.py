"""A picture of an alignment by particles: shifts over the tilts, motion, deformation."""

from __future__ import annotations

import os

import numpy as np
import numpy.typing as npt

from tomoset import geometry
from tomoset.align.particles import PARAMETERS
from tomoset.files import atomic_write
from tomoset.images.alignment_marks import BLUE, GREY, ORANGE, Curve, Field, chart, field_panel
from tomoset.images.drawing import Picture, png
from tomoset.particles.align.one import Aligned

Array = npt.NDArray[np.float64]

#: Arrows of a deformation along each axis, and ways of particles, at most.
_ARROWS, _WAYS = 9, 300
#: Of `PARAMETERS`, what is drawn together, and what it is called.
_SHIFTS = {"shift_x": "x", "shift_y": "y"}
_TURNS = {"tilt": "tilt", "rotation": "rotation", "x_tilt": "across"}


def write_alignment_png(aligned: Aligned, path: str | os.PathLike[str]) -> None:
    """Write a picture: shifts of the images, turns, ways of the particles, bent images.

    Blue is x, or the tilt; orange is y, or the turn of the tilt axis; grey is the turn about the
    axis of the image across it. Ways of particles are their motion if there is one, else how far
    the fit has moved them; of the deformation, the mean of all images. Beside the title is the
    length that nine of ten do not exceed, in Å or px. What was held has no panel.

    Parameters
    ----------
    aligned : Aligned
        What was found.
    path : path-like
        PNG; it appears whole or not at all.
    """
    fit = aligned.fit
    angles = geometry.tilt_angles(fit.projections)
    panels = [chart("shift change px", angles, _curves(aligned, _SHIFTS))]
    if any(fit.changes[:, PARAMETERS.index(name)].any() for name in _TURNS):
        panels.append(chart("turn change °", angles, _curves(aligned, _TURNS)))
    if fit.trajectories.any() or aligned.displacement.any():
        panels.append(_ways(aligned))
    if aligned.after.deformation is not None:
        panels.append(_bent(aligned))
    with atomic_write(path) as stream:
        stream.write(png(_together(panels), aligned.before.name))


def _together(panels: list[Picture]) -> Picture:
    """Two panels in a row."""
    firsts = range(0, len(panels), 2)
    rows = [np.concatenate(panels[first : first + 2], axis=1) for first in firsts]
    width = max(row.shape[1] for row in rows)
    padded = [np.pad(row, ((0, 0), (0, width - row.shape[1]), (0, 0)), mode="edge") for row in rows]
    return np.concatenate(padded)


def _curves(aligned: Aligned, names: dict[str, str]) -> list[Curve]:
    fit = aligned.fit
    columns = [PARAMETERS.index(name) for name in names]
    return [
        Curve(values=fit.changes[:, i], errors=fit.deviations[:, i], colour=colour, name=name)
        for i, colour, name in zip(columns, (BLUE, ORANGE, GREY), names.values(), strict=False)
    ]


def _ways(aligned: Aligned) -> Picture:
    """Particles from above."""
    assert aligned.before.size is not None
    size = float(aligned.before.size[0]), float(aligned.before.size[1])
    rows = np.arange(0, len(aligned.particles), -(-len(aligned.particles) // _WAYS))
    points = aligned.particles.positions[rows, :2]
    title, ways = "particles moved {} Å", aligned.displacement[rows, None, :2]
    if aligned.fit.trajectories.any():
        dose = aligned.before.pre_exposure
        order = np.arange(aligned.before.n_tilts) if dose is None else np.argsort(dose)
        title, ways = "motion of particles {} Å", aligned.fit.trajectories[rows][:, order, :2]
    px = aligned.pixel_size
    return field_panel(title, Field(size=size, points=points, ways=ways / px, unit=px))


def _bent(aligned: Aligned) -> Picture:
    """What the deformation does to the images, on the mean."""
    bent, size = aligned.after.deformation, aligned.after.image_size
    assert bent is not None
    assert size is not None
    axes = [np.linspace(0, n - 1, _ARROWS + 2)[1:-1] for n in size]
    points = np.stack(np.meshgrid(*axes), axis=-1).reshape(-1, 2)
    every = np.broadcast_to(points, (len(bent.coefficients), *points.shape))
    ways = bent.displacement(every, image_size=size).mean(axis=0)
    field = Field(size=(float(size[0]), float(size[1])), points=points, ways=ways[:, None])
    return field_panel("deformation {} px", field)
