"""From an info file of EMAN2 to a tomogram.

A point p of the tomogram [px from voxel size // 2] is seen, from pixel size // 2 of the image, at

    t + Rz(-rot) Ry(-tilt) Rx(-xtilt) p

where tlt_params has t, rot, tilt, xtilt (e2tomogram.py, get_xf_pos; transform.cpp, "xyz").
Defocus is that of p = 0 less the depth, row z of the rotation (e2spt_extract.py).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tomoset import geometry
from tomoset.errors import FileFormatError, MissingFieldError, MissingFileError
from tomoset.formats._importing import Imported, named_for_relion, parse_size
from tomoset.formats._json import Node
from tomoset.formats._json_format import Source
from tomoset.formats._stacks import listed_stack
from tomoset.images.stack import read_header
from tomoset.model import Alignment, ParticleSet, Tomogram

Array = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

#: EMAN2 leaves images of more out (e2tomogram.py, ``loss0>500``).
BAD = 500.0
#: What EMAN2 has no key for; it keeps and ignores what it does not know.
EXTRA = "tomoset"
_ENDING = "_info.json"


def import_series(source: Source) -> Imported:
    """Import one tilt series; its images stay where they are.

    Raises
    ------
    TomosetError
        If the file, or the stack, is missing, unreadable or contradicts the other.
    """
    node, given = source.node, source.given
    name = os.path.basename(node.path).removesuffix(_ENDING).removesuffix(".json")
    table = node.need("tlt_params").numbers((-1, 5), (-1, 9))
    stack = _stack(source, name)
    header = read_header(stack)
    source.check_stack(header, len(table), "tlt_params")
    extra = node.get(EXTRA)
    size = parse_size(given["size"]) or _size(extra)
    kept, notes = _kept(node, name, len(table))
    pixel, voltage, cs = (_number(node, key) for key in ("apix_unbin", "voltage", "cs"))
    contrast = None if extra is None else _number(extra, "amplitude_contrast")
    optics = source.optics(
        header,
        pixel_size=pixel,
        voltage=voltage,
        spherical_aberration=cs,
        amplitude_contrast=contrast,
    )
    tomogram = Tomogram(
        name=name,
        n_tilts=len(kept),
        optics=optics,
        hand=int(given["hand"] or -1),
        stack=named_for_relion(stack),
        image_index=None if len(kept) == len(table) else kept,
        image_size=header.size,
        size=size,
        nominal_tilts=table[kept, 3],
        **_alignment(table[kept], size, header.size, optics.pixel_size or 1.0, node.path),
        **(source.doses(table[kept, 3]) | _values(extra, kept, ("pre_exposure",), len(table))),
        **_defocus(node, extra, kept, len(table), optics.amplitude_contrast or 0.0),
    )
    return Imported(tomogram=tomogram, notes=notes, particles=_boxes(node, size, notes, name))


def _alignment(
    table: Array,
    size: tuple[int, int, int] | None,
    image: tuple[int, int],
    pixel_size: float,
    path: str,
) -> dict[str, Any]:
    """Projections; or what they are made of as soon as the size of the tomogram is known."""
    if size is not None:
        projections = projections_of(table, size, image)
        return {"projections": projections, "depth_origin": np.array(size) // 2}
    if table.shape[1] > 5:
        raise MissingFieldError(
            "tlt_params has local refinement, and the file does not say how large the tomogram is: "
            "give it by --size",
            path=path,
        )
    angles, shifts = -table[:, [4, 3, 2]], table[:, :2] * pixel_size
    return {"alignment": Alignment(angles=angles, shifts=shifts)}


def projections_of(table: Array, size: tuple[int, int, int], image: tuple[int, int]) -> Array:
    """The projections of rows of tlt_params.

    Four further columns are a matrix c of local refinement: points are moved by (x, y) c / height
    (e2spt_extract.py).
    """
    projections = geometry.rigid_projections(
        -table[:, [4, 3, 2]], table[:, :2], size=size, image_size=image
    )
    if table.shape[1] > 5:
        local = table[:, 5:].reshape(-1, 2, 2).transpose(0, 2, 1) / image[1]
        projections[:, :2, :2] += local
        projections[:, :2, 3] -= local @ (np.array(size[:2]) // 2)
    return projections


def _stack(source: Source, name: str) -> str:
    node = source.node
    said = node.get("tlt_file")
    listed = Path(f"{name}.hdf" if said is None else said.text())
    try:
        return listed_stack(
            node.path,
            os.fspath(listed),
            source.given["stack"],
            alone=source.alone,
            roots=[Path(node.path).parent.parent],
        )
    except MissingFileError as problem:
        if listed.suffix != ".hdf" or source.given["stack"] is not None:
            raise
        raise MissingFileError(
            f"{node.path}: {listed} is EMAN2's .hdf, which is not read; write its images as MRC "
            f"(e2proc2d.py {listed} {listed.with_suffix('.mrc')}), or give the stack (`stack`)"
        ) from problem


def _number(node: Node, key: str) -> float | None:
    found = node.get(key)
    return None if found is None else found.number()


def _size(extra: Node | None) -> tuple[int, int, int] | None:
    found = None if extra is None else extra.get("size")
    if found is None:
        return None
    x, y, z = (side.whole() for side in found.items())
    return x, y, z


def _kept(node: Node, name: str, count: int) -> tuple[Ints, list[str]]:
    """The images that are used, and what is said of the others."""
    loss = node.get("ali_loss")
    bad = np.zeros(count, bool) if loss is None else loss.numbers((count,), finite=False) > BAD
    if bad.all():
        raise FileFormatError("ali_loss is above 500 for all images: none is used", path=node.path)
    views = ", ".join(str(view + 1) for view in np.flatnonzero(bad))
    notes = [f"{name}: images {views} of {count} are excluded (ali_loss above 500) and left out"]
    return np.flatnonzero(~bad), notes if bad.any() else []


def _values(node: Node | None, kept: Ints, keys: tuple[str, ...], count: int) -> dict[str, Any]:
    """Of the images that are used, what a file says of all."""
    found = {key: None if node is None else node.get(key) for key in keys}
    return {key: v.numbers((count,))[kept] for key, v in found.items() if v is not None}


def _defocus(
    node: Node, extra: Node | None, kept: Ints, count: int, contrast: float
) -> dict[str, Any]:
    """EMAN2's defocus [µm]; its phase [deg] has that of the amplitude contrast in it."""
    said = _values(node, kept, ("defocus", "phase"), count)
    if "defocus" not in said:
        return {}
    more = _values(extra, kept, ("dfdiff", "dfang"), count)
    half = more.get("dfdiff", 0.0) / 2
    phases = said.get("phase", np.zeros(len(kept))) - np.rad2deg(np.arcsin(contrast))
    phases = np.where(np.abs(phases) < 1e-9, 0.0, phases)
    return {
        "defocus_u": (said["defocus"] + half) * 1e4,
        "defocus_v": (said["defocus"] - half) * 1e4,
        "defocus_angle": more.get("dfang"),
        "phase_shift": phases if "phase" in said and phases.any() else None,
        "ctf_scale": np.ones(len(kept)),
    }


def _boxes(
    node: Node, size: tuple[int, int, int] | None, notes: list[str], name: str
) -> ParticleSet | None:
    """The particles of boxes_3d: x, y, z from the middle, method, score and class each."""
    boxes = node.each("boxes_3d")
    if not boxes:
        return None
    if size is None or node.get("apix_unbin") is None:
        cure = (
            "give the size of the tomogram (`size`)"
            if size is None
            else ("without apix_unbin they are voxels of a volume that no file names")
        )
        notes.append(f"{name}: boxes_3d are left out: {cure}")
        return None
    places: list[list[float]] = []
    for box in boxes:
        values = box.items()
        if len(values) < 3:
            raise box.wrong("x, y, z, method, score and class")
        places.append([value.number() for value in values[:3]])
    notes.append(
        f"{name}: {len(places)} boxes_3d are particles; their classes are not carried over"
    )
    return ParticleSet(
        tomogram_names=np.full(len(places), name),
        coordinates=np.array(places) + np.array(size) // 2,
    )
