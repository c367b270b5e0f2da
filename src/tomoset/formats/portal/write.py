"""Metadata of one tilt series for the CryoET Data Portal."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tomoset import geometry
from tomoset.errors import UnsupportedError
from tomoset.formats._importing import axis_voxel, larger_first
from tomoset.formats._nearest import Nearest, as_written, excluded_tilts, images_of
from tomoset.formats.portal.importer import volume_of
from tomoset.images.mrc import stack_path
from tomoset.model import Tomogram

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class PortalFiles(Nearest):
    """What metadata of the portal say of one tilt series.

    Parameters
    ----------
    tomogram : Tomogram
        Without the images that show nothing, its defocus that of the tilt axis.
    matrices : (n_tilts, 2, 3) array
        From aligned to raw images, from their middles [px].
    tilts, x_tilts : (n_tilts,) arrays
        [deg]
    """

    matrices: Array
    tilts: Array
    x_tilts: Array

    @classmethod
    def of(cls, tomogram: Tomogram) -> PortalFiles:
        """The files of a tomogram; UnsupportedError where something needed is not known."""
        t = as_written(tomogram, "the CryoET Data Portal")
        if t.optics.pixel_size is None:
            raise UnsupportedError(
                f"tomogram {t.name!r}: the portal's files need a pixel size (`pixel_size`)"
            )
        volume, raw_size = volume_of(t.need_size(), aretomo=False), t.need_image_size()
        xf, tilts, x_tilts = geometry.imod_parameters(
            t.need_projections(), volume=volume, raw_size=raw_size
        )
        matrices = np.concatenate([np.linalg.inv(xf[:, :, :2]), xf[:, :, 2:]], axis=2)
        matrices[:, :, 2] = -np.einsum("nij,nj->ni", matrices[:, :, :2], xf[:, :, 2])
        return cls(
            tomogram=t.with_depth_origin(axis_voxel(volume)),
            read=geometry.imod_projections(xf, tilts, x_tilts, volume=volume, raw_size=raw_size),
            matrices=matrices,
            tilts=tilts,
            x_tilts=x_tilts,
        )

    def contents(self, run: str, folder: str) -> dict[str, object]:
        """The files, by their paths in a folder."""
        t, (images, count) = self.tomogram, images_of(self.tomogram)
        series_path = os.path.join(run, "TiltSeries", "100", "tiltseries_metadata.json")
        files: dict[str, object] = {
            os.path.join(run, "Alignments", "100", "alignment_metadata.json"): self._alignment(
                images, series_path
            ),
            series_path: self._series(images, count, folder),
        }
        if t.pre_exposure is not None:
            files[os.path.join(run, "Frames", "frames_metadata.json")] = {
                "frames": [
                    {
                        "acquisition_order": place,
                        "accumulated_dose": float(t.pre_exposure[row]),
                        "exposure_dose": None if t.exposure is None else float(t.exposure[row]),
                    }
                    for place, row in enumerate(np.argsort(t.pre_exposure, kind="stable"))
                ]
            }
        return files

    def _alignment(self, images: npt.NDArray[np.int64], series_path: str) -> dict[str, Any]:
        t = self.tomogram
        sides = (side * t.need_pixel_size() for side in t.need_size())
        return {
            "format": "IMOD",
            "alignment_type": "GLOBAL",
            "method_type": "undefined",
            "is_portal_standard": False,
            "affine_transformation_matrix": np.eye(4, dtype=int).tolist(),
            "volume_dimension": dict(zip("xyz", sides, strict=True)),
            "volume_offset": dict.fromkeys("xyz", 0),
            "tilt_offset": 0,
            "x_rotation_offset": 0,
            "tiltseries_path": series_path,
            "per_section_alignment_parameters": [
                {
                    "z_index": int(images[row]),
                    "tilt_angle": float(self.tilts[row]),
                    "volume_x_rotation": float(self.x_tilts[row]),
                    "in_plane_rotation": self.matrices[row, :, :2].tolist(),
                    "x_offset": float(self.matrices[row, 0, 2]),
                    "y_offset": float(self.matrices[row, 1, 2]),
                }
                for row in range(t.n_tilts)
            ],
        }

    def _series(self, images: npt.NDArray[np.int64], count: int, folder: str) -> dict[str, Any]:
        t, optics = self.tomogram, self.tomogram.optics
        width, height = t.need_image_size()
        rows = dict(zip(images.tolist(), range(t.n_tilts), strict=True))
        known = excluded_tilts(t)
        return {
            "run_name": t.name,
            "mrc_file": os.path.relpath(stack_path(t.stack or ""), folder),
            "pixel_spacing": optics.pixel_size,
            "size": {"x": width, "y": height, "z": count},
            "acceleration_voltage": None if optics.voltage is None else optics.voltage * 1000,
            "spherical_aberration_constant": optics.spherical_aberration,
            "is_aligned": False,
            "per_section_parameter": [
                {"z_index": image, "raw_angle": known.get(image)}
                if image not in rows
                else self._section(image, rows[image])
                for image in range(count)
            ],
        }

    def _section(self, image: int, row: int) -> dict[str, Any]:
        t = self.tomogram
        nominal = self.tilts if t.nominal_tilts is None else t.nominal_tilts
        found: dict[str, Any] = {"z_index": image, "raw_angle": float(nominal[row])}
        if t.pre_exposure is not None:
            order = np.argsort(np.argsort(t.pre_exposure, kind="stable"))
            found["frame_acquisition_order"] = int(order[row])
        if t.defocus_u is not None and t.defocus_v is not None:
            angles = np.zeros(t.n_tilts) if t.defocus_angle is None else t.defocus_angle
            phases = np.zeros(t.n_tilts) if t.phase_shift is None else t.phase_shift
            u, v, angle = larger_first(t.defocus_u, t.defocus_v, angles)
            found |= {
                "major_defocus": float(u[row]),
                "minor_defocus": float(v[row]),
                "astigmatic_angle": float(angle[row]),
                "phase_shift": float(np.deg2rad(phases[row])),
            }
        return found
