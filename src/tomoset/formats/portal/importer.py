"""From metadata of the CryoET Data Portal to a tomogram.

A point of the aligned image is seen at M p + offset in the raw one, both from their middles
(size - 1)/2 [px], M being in_plane_rotation: so cryoet-alignment, which the portal uses, has them
from ``.xf`` and ``.aln`` files. The rest is IMOD's: tilt_angle, and volume_x_rotation for
XTILTFILE.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tomoset import geometry
from tomoset.errors import (
    AssumptionWarning,
    FileFormatError,
    LossyWarning,
    MissingFieldError,
    UnsupportedError,
)
from tomoset.formats._importing import Imported, axis_voxel, named_for_relion, parse_size
from tomoset.formats._json import Node, read_json
from tomoset.formats._json_format import Source
from tomoset.formats._stacks import listed_stack
from tomoset.images.stack import read_header
from tomoset.model import Tomogram

Array = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

_SERIES, _FRAMES = "tiltseries_metadata.json", "frames_metadata.json"
#: A volume of the portal has whole voxels of any size; what is further off is said [px].
_WHOLE = 0.05


def import_series(source: Source) -> Imported:
    """Import the tilt series of an alignment; its images stay where they are.

    Raises
    ------
    TomosetError
        If a file, or the stack, is missing, unreadable or contradicts another.
    """
    node, given = source.node, source.given
    _refuse_unknown(node)
    sections = _sections(node)
    run = _run_of(node.path)
    series = _beside(run, _SERIES, node.get("tiltseries_path"))
    name = run.name if series is None or (said := series.get("run_name")) is None else said.text()
    images = np.array([section.need("z_index").whole() for section in sections])
    stack = listed_stack(
        node.path,
        f"{name}.mrc"
        if series is None or (file := series.get("mrc_file")) is None
        else file.text(),
        given["stack"],
        alone=source.alone,
        roots=[run.parent.parent, run.parent, run, *sorted(run.glob("TiltSeries/*"))],
    )
    header = read_header(stack)
    if (np.diff(images) < 1).any() or images[0] < 0 or images[-1] >= header.n_images:
        raise FileFormatError(
            f"z_index does not name each section of {header.path} once at most, from 0 to "
            f"{header.n_images - 1}: give the raw stack (`stack`)",
            path=node.path,
        )
    by_section = _by_section(series, images)
    optics = source.optics(header, **_optics(series))
    size = parse_size(given["size"]) or _size(node, optics.pixel_size or 1.0)
    volume = volume_of(size, aretomo=_format(node) == "ARETOMO3")
    nominal = _column(by_section, "raw_angle")
    tilts = _tilts(sections, nominal)
    t = Tomogram(
        name=name,
        n_tilts=len(images),
        optics=optics,
        hand=int(given["hand"] or -1),
        stack=named_for_relion(stack),
        image_index=None if len(images) == header.n_images else images,
        image_size=header.size,
        size=size,
        projections=geometry.imod_projections(
            transforms_of(sections),
            tilts,
            np.array([_number(section, "volume_x_rotation") for section in sections]),
            volume=volume,
            raw_size=header.size,
        ),
        nominal_tilts=nominal if nominal is not None else tilts,
        depth_origin=axis_voxel(volume),
        **(source.doses(tilts if nominal is None else nominal) | _doses(run, by_section)),
        **_defocus(by_section),
    )
    return Imported(tomogram=t, notes=_said(name, node, images, header.n_images))


def _sections(node: Node) -> list[Node]:
    """The sections that have parameters, in the order of the stack."""
    sections = node.need("per_section_alignment_parameters").items()
    if not sections:
        raise FileFormatError("per_section_alignment_parameters has no section", path=node.path)
    return sorted(sections, key=lambda section: section.need("z_index").whole())


def volume_of(size: tuple[int, int, int], *, aretomo: bool) -> geometry.ImodVolume:
    """Where the volume is: as IMOD, or AreTomo with -FlipVol 1, have it turned about x."""
    return geometry.ImodVolume(
        aligned_size=size[:2],
        thickness=size[2],
        slice_centre=size[2] / 2 - (0.5 if aretomo else 0.0),
    )


def transforms_of(sections: Sequence[Node]) -> Array:
    """IMOD's transforms, from raw to aligned images: (n, 2, 3)."""
    found = np.zeros((len(sections), 2, 3))
    for row, section in zip(found, sections, strict=True):
        node = section.need("in_plane_rotation")
        matrix = node.numbers((), (2, 2), (4,))
        if matrix.ndim == 0:
            matrix = geometry.rotation_z(matrix)[:2, :2]
        matrix = matrix.reshape(2, 2)
        scale = np.abs(matrix).max()
        if not (0 < scale < 1e3) or not abs(np.linalg.det(matrix / scale)) > 1e-6:
            raise node.wrong("a matrix with an inverse, or an angle")
        offset = [section.need(key).number() for key in ("x_offset", "y_offset")]
        row[:, :2] = np.linalg.inv(matrix)
        row[:, 2] = -row[:, :2] @ offset
    return found


def _run_of(path: str) -> Path:
    """The folder of a run: RUN of RUN/Alignments/100, else that of the file."""
    folder = Path(os.path.abspath(path)).parent
    return folder.parent.parent if folder.parent.name == "Alignments" else folder


def _beside(run: Path, name: str, said: Node | None = None) -> Node | None:
    """Metadata in the folder of a run: what a file names, or the only one that is there."""
    listed = "" if said is None else said.text()
    for root in (run.parent.parent, run.parent):
        if (root / listed).is_file():
            return read_json(root / listed)
    found = sorted(path for at in ("", "*/", "*/*/") for path in run.glob(at + name))
    if len(found) > 1:
        warnings.warn(
            f"{run}: {len(found)} files {name} are there; {found[0]} is taken",
            AssumptionWarning,
            stacklevel=2,
        )
    return read_json(found[0]) if found else None


def _refuse_unknown(node: Node) -> None:
    """Refuse registrations, whose meaning nothing shows; say what is not carried."""
    affine = node.get("affine_transformation_matrix")
    if affine is not None and not np.array_equal(affine.numbers((4, 4)), np.eye(4)):
        raise UnsupportedError(
            f"{node.path}: affine_transformation_matrix is not 1: in which frame it holds, no file "
            "shows; take it out to import the alignment without it"
        )
    offset = node.get("volume_offset")
    if offset is not None and any(_number(offset, axis) for axis in "xyz"):
        raise UnsupportedError(
            f"{node.path}: volume_offset is not 0: with which sign it holds, no file shows; set it "
            "to 0 to import the alignment without it"
        )
    kind = node.get("alignment_type")
    if kind is not None and kind.text() == "LOCAL":
        warnings.warn(
            f"{node.path}: the alignment is local, and the file has its global part only",
            LossyWarning,
            stacklevel=3,
        )


def _said(name: str, node: Node, images: Ints, count: int) -> list[str]:
    notes = [
        f"{name}: {key} {value:g}° is not carried over: tilt angles are taken as they are"
        for key in ("tilt_offset", "x_rotation_offset")
        if (value := _number(node, key))
    ]
    out = sorted(set(range(count)) - set(images.tolist()))
    if out:
        views = ", ".join(str(view + 1) for view in out)
        notes.append(f"{name}: images {views} of {count} have no parameters and are left out")
    return notes


def _format(node: Node) -> str:
    found = node.get("format")
    return "" if found is None else found.text()


def _number(node: Node, key: str, default: float = 0.0) -> float:
    found = node.get(key)
    return default if found is None else found.number()


def _optics(series: Node | None) -> dict[str, float | None]:
    """Pixel size [Å], voltage (V there, kV here), spherical aberration [mm]."""
    keys = {
        "pixel_size": "pixel_spacing",
        "voltage": "acceleration_voltage",
        "spherical_aberration": "spherical_aberration_constant",
    }
    found = {field: None if series is None else series.get(key) for field, key in keys.items()}
    values = {field: None if node is None else node.number() for field, node in found.items()}
    if values["voltage"] is not None:
        values["voltage"] /= 1000
    return values


def _size(node: Node, pixel: float) -> tuple[int, int, int]:
    dimension = node.get("volume_dimension")
    if dimension is None:
        raise MissingFieldError(
            "the file does not say how large the tomogram is (volume_dimension); give it by --size",
            path=node.path,
        )
    sides = np.array([dimension.need(axis).number() for axis in "xyz"]) / pixel
    if not ((sides >= 0.5) & (sides < 1e6)).all():
        raise dimension.wrong("sides above 0 [Å]")
    x, y, z = (int(side) for side in sides.round())
    if np.abs(sides - sides.round()).max() > _WHOLE:
        warnings.warn(
            f"{node.path}: volume_dimension is not whole pixels of {pixel:g} Å: {x} x {y} x {z} px "
            "are taken (`size`)",
            AssumptionWarning,
            stacklevel=3,
        )
    return x, y, z


def _tilts(sections: Sequence[Node], nominal: Array | None) -> Array:
    """Refined tilts; those of the stage where none is known [deg]."""
    found = [section.get("tilt_angle") for section in sections]
    if all(tilt is not None for tilt in found):
        return np.array([tilt.number() for tilt in found if tilt is not None])
    if nominal is None or any(tilt is not None for tilt in found):
        missing = next(s for s, tilt in zip(sections, found, strict=True) if tilt is None)
        missing.need("tilt_angle")
    warnings.warn(
        f"{sections[0].path}: no tilt_angle is known: the stage's raw_angle is taken",
        AssumptionWarning,
        stacklevel=3,
    )
    return np.asarray(nominal)


def _by_section(series: Node | None, images: Ints) -> list[Node | None]:
    """What metadata of the tilt series say of sections."""
    every = [] if series is None else series.each("per_section_parameter")
    found = {section.need("z_index").whole(): section for section in every}
    return [found.get(int(image)) for image in images]


def _column(sections: Sequence[Node | None], key: str) -> Array | None:
    """A value of all sections; None where it is not known of each."""
    values = [None if section is None else section.get(key) for section in sections]
    return None if None in values else np.array([v.number() for v in values if v is not None])


def _defocus(sections: Sequence[Node | None]) -> dict[str, Any]:
    """Defocus [Å]; phase shifts are radians there."""
    u, v = (_column(sections, key) for key in ("major_defocus", "minor_defocus"))
    if u is None or v is None:
        return {}
    phase = _column(sections, "phase_shift")
    return {
        "defocus_u": u,
        "defocus_v": v,
        "defocus_angle": _column(sections, "astigmatic_angle"),
        "phase_shift": None if phase is None else np.rad2deg(phase),
        "ctf_scale": np.ones(len(sections)),
    }


def _doses(run: Path, sections: Sequence[Node | None]) -> dict[str, Any]:
    """What metadata of frames say, by the place of each section in time."""
    frames = _beside(run, _FRAMES) if os.path.isdir(run / "Frames") else None
    order = _column(sections, "frame_acquisition_order")
    if frames is None or order is None:
        return {}
    every = frames.each("frames")
    by_order = {frame.need("acquisition_order").whole(): frame for frame in every}
    own = [by_order.get(int(place)) for place in order]
    columns = {
        "pre_exposure": _column(own, "accumulated_dose"),
        "exposure": _column(own, "exposure_dose"),
    }
    return {field: value for field, value in columns.items() if value is not None}
