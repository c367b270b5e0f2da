"""The info file of a tilt series for EMAN2."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tomoset import geometry
from tomoset.formats._nearest import Nearest, as_written, images_of
from tomoset.formats.eman2.importer import EXTRA, projections_of
from tomoset.images.mrc import stack_path
from tomoset.model import ParticleSet, Tomogram

Array = npt.NDArray[np.float64]

#: What EMAN2 gives images that it leaves out (e2tomogram.py), and boxes of no known size.
_BAD_LOSS, _BOX = 1000.0, 64


@dataclass(frozen=True, kw_only=True, eq=False)
class Eman2File(Nearest):
    """What an info file of EMAN2 says of a tilt series.

    Parameters
    ----------
    tomogram : Tomogram
        Without the images that show nothing, its defocus that of the middle.
    table : (n_tilts, 5) array
        tlt_params.
    particles : (n, 3) array
        Where particles are, from the middle [px].
    """

    table: Array
    particles: Array

    @classmethod
    def of(cls, tomogram: Tomogram, particles: ParticleSet | None) -> Eman2File:
        """The file of a tomogram; UnsupportedError where it needs something that is not known."""
        t = as_written(tomogram, "EMAN2")
        size, image_size = t.need_size(), t.need_image_size()
        angles, shifts = geometry.rigid_parameters(
            t.need_projections(), size=size, image_size=image_size
        )
        table = np.concatenate([shifts, -angles[:, ::-1]], axis=1).round(9) + 0.0
        middle = np.array(size) // 2
        where = np.empty((0, 3))
        if particles is not None:
            where = particles.select(particles.in_tomogram(t.name)).positions - middle
        return cls(
            tomogram=t.with_depth_origin(middle),
            read=projections_of(table, size, image_size),
            table=table,
            particles=where,
        )

    def content(self, folder: str) -> dict[str, Any]:
        """The file, in a project of this folder."""
        t = self.tomogram
        images, count = images_of(t)
        table, loss = self._of_stack(images, count)
        content: dict[str, Any] = {
            "tlt_params": table.tolist(),
            "ali_loss": loss.tolist(),
            "tlt_file": os.path.relpath(stack_path(t.stack or ""), folder),
            EXTRA: {"size": list(t.need_size())},
        }
        optics = {
            "apix_unbin": t.optics.pixel_size,
            "voltage": t.optics.voltage,
            "cs": t.optics.spherical_aberration,
        }
        content |= {key: value for key, value in optics.items() if value is not None}
        if t.pre_exposure is not None:
            content[EXTRA]["pre_exposure"] = _spread(t.pre_exposure, images, count)
        if t.defocus_u is not None and t.defocus_v is not None:
            self._add_defocus(content, t.defocus_u, t.defocus_v)
        if len(self.particles):
            content["boxes_3d"] = [
                [*place, "manual", 0.0, 0] for place in self.particles.round(6).tolist()
            ]
            content["class_list"] = {"0": {"name": "particles_00", "boxsize": _BOX}}
        return content

    def _add_defocus(self, content: dict[str, Any], u: Array, v: Array) -> None:
        """Defocus [µm], phase with that of the amplitude contrast in it, astigmatism."""
        t = self.tomogram
        images, count = images_of(t)
        contrast = t.optics.amplitude_contrast or 0.0
        phase = np.zeros(len(u)) if t.phase_shift is None else t.phase_shift
        phase = phase + np.rad2deg(np.arcsin(contrast))
        content["defocus"] = _spread((u + v) / 2e4, images, count)
        content["phase"] = _spread(phase, images, count)
        content[EXTRA]["amplitude_contrast"] = contrast
        if (u != v).any():
            angle = np.zeros(len(u)) if t.defocus_angle is None else t.defocus_angle
            content[EXTRA]["dfdiff"] = _spread((u - v) / 1e4, images, count)
            content[EXTRA]["dfang"] = _spread(angle, images, count)

    def _of_stack(self, images: npt.NDArray[np.int64], count: int) -> tuple[Array, Array]:
        """Rows and losses of all images of the stack; those of the others are interpolated."""
        table = np.array([_spread(column, images, count) for column in self.table.T]).T
        table[images] = self.table
        loss = np.full(count, _BAD_LOSS)
        # as e2tomogram.py has it for alignments of other programs
        loss[images] = np.abs(self.table[:, 3]) * 0.1
        return table, loss


def _spread(values: Array, images: npt.NDArray[np.int64], count: int) -> list[float]:
    """Values of all images of a stack, interpolated where they are not known."""
    spread = np.interp(np.arange(count), images, values)
    spread[images] = values
    return [float(value) for value in spread]
