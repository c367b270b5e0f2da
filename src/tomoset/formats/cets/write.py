"""A CETS document of one tilt series, in the profile cets-rigid."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tomoset import geometry
from tomoset.errors import UnsupportedError
from tomoset.formats._importing import larger_first
from tomoset.formats._nearest import Nearest, as_written, excluded_tilts, images_of
from tomoset.images.mrc import stack_path
from tomoset.model import Tomogram

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class CetsFile(Nearest):
    """What a document says of one tilt series.

    Parameters
    ----------
    tomogram : Tomogram
        Without the images that show nothing, its defocus that of the origin of the volume.
    angles : (n_tilts, 3) array
        x tilt, tilt, rotation [deg].
    shifts : (n_tilts, 2) array
        [px]
    """

    angles: Array
    shifts: Array

    @classmethod
    def of(cls, tomogram: Tomogram) -> CetsFile:
        """The document of a tomogram; UnsupportedError where something needed is not known."""
        t = as_written(tomogram, "CETS")
        if t.optics.pixel_size is None:
            raise UnsupportedError(
                f"tomogram {t.name!r}: CETS documents need a pixel size (`pixel_size`)"
            )
        size, image_size = t.need_size(), t.need_image_size()
        angles, shifts = geometry.rigid_parameters(
            t.need_projections(), size=size, image_size=image_size
        )
        return cls(
            tomogram=t.with_depth_origin(np.array(size) // 2),
            read=geometry.rigid_projections(angles, shifts, size=size, image_size=image_size),
            angles=angles,
            shifts=shifts,
        )

    def content(self, folder: str) -> dict[str, Any]:
        """The document, in a folder."""
        t, path = self.tomogram, os.path.relpath(stack_path(self.tomogram.stack or ""), folder)
        images, count = images_of(t)
        rows = dict(zip(images.tolist(), range(t.n_tilts), strict=True))
        known = excluded_tilts(t)
        return {
            "name": t.name,
            "regions": [
                {
                    "id": t.name,
                    "tilt_series": [
                        {
                            "id": t.name,
                            "path": path,
                            "ctf_corrected": False,
                            "images": [
                                self._image(i, rows.get(i), path, known.get(i))
                                for i in range(count)
                            ],
                        }
                    ],
                    "alignments": [
                        {
                            "tilt_series_id": t.name,
                            "projection_alignments": [
                                self._alignment(image, row) for image, row in rows.items()
                            ],
                        }
                    ],
                    "tomograms": [
                        {
                            "id": f"{t.name}_volume",
                            "path": None,
                            "tilt_series_id": t.name,
                            "ctf_corrected": False,
                            **_frame(t.need_size(), t.need_pixel_size()),
                        }
                    ],
                    "annotations": [],
                }
            ],
        }

    def _image(
        self, section: int, row: int | None, path: str, nominal: float | None
    ) -> dict[str, Any]:
        t = self.tomogram
        found: dict[str, Any] = {
            "id": f"{t.name}_{section}",
            "path": path,
            "section": section,
            "nominal_tilt_angle": nominal,
            "accumulated_dose": None,
            "ctf_metadata": None,
            **_frame(t.need_image_size(), t.need_pixel_size()),
        }
        if row is not None:
            nominals = self.angles[:, 1] if t.nominal_tilts is None else t.nominal_tilts
            found["nominal_tilt_angle"] = float(nominals[row])
            found["accumulated_dose"] = _at(t.pre_exposure, row)
            if t.defocus_u is not None and t.defocus_v is not None:
                angles = np.zeros(t.n_tilts) if t.defocus_angle is None else t.defocus_angle
                u, v, angle = larger_first(t.defocus_u, t.defocus_v, angles)
                found["ctf_metadata"] = {
                    "defocus_u": _at(u, row),
                    "defocus_v": _at(v, row),
                    "defocus_angle": _at(angle, row),
                    "phase_shift": _at(t.phase_shift, row),
                    "defocus_handedness": self.hand,
                }
        return found

    def _alignment(self, section: int, row: int) -> dict[str, Any]:
        x, y, z = self.angles[row]
        tilt = (geometry.rotation_y(y) @ geometry.rotation_x(x))[:3, :3]
        shift = self.shifts[row] * self.tomogram.need_pixel_size()
        return {
            "id": f"{self.tomogram.name}_tomoset_align_{section}",
            "tilt_image_id": f"{self.tomogram.name}_{section}",
            "transformation_type": "projection_alignment",
            "name": "tomogram_to_projection",
            "input": "physical",
            "output": "physical",
            "sequence": [
                _step("affine", "tilt", tilt),
                _step("affine", "in_plane_rotation", geometry.rotation_z(z)[:3, :3]),
                _step("translation", "shift", shift),
            ],
        }


def _at(values: Array | None, row: int) -> float | None:
    """A value; None where it is not known."""
    return None if values is None or np.isnan(values[row]) else float(values[row])


def _step(kind: str, name: str, values: Array) -> dict[str, Any]:
    return {"transformation_type": kind, "name": name, kind: np.asarray(values).tolist()}


def _frame(size: tuple[int, ...], spacing: float) -> dict[str, Any]:
    """Sizes and frames of an image or a volume: the physical origin is pixel size // 2."""
    sides = dict(zip(("width", "height", "depth"), size, strict=False))
    unit = "voxel" if len(size) == 3 else "pixel"
    return {
        **sides,
        "coordinate_systems": [
            _system("array", "array", unit, len(size)),
            _system("physical", "space", "angstrom", len(size)),
        ],
        "coordinate_transformations": [
            {
                "transformation_type": "sequence",
                "name": "array_to_physical",
                "input": "array",
                "output": "physical",
                "sequence": [
                    _step("translation", "center_array_origin", -(np.array(size) // 2.0)),
                    _step("scale", "scale_to_physical", np.full(len(size), spacing)),
                ],
            }
        ],
    }


def _system(name: str, kind: str, unit: str, count: int) -> dict[str, Any]:
    axes = [{"name": axis, "axis_type": kind, "axis_unit": unit} for axis in "xyz"[:count]]
    return {"name": name, "axes": axes}
