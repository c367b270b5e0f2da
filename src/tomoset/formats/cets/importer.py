"""From CETS documents to tomograms.

A point p of the tomogram is seen at R p + shift, both from the origins of their frames [Å]: profile
cets-rigid (docs/cets.md of cryoet-alignment), where R is Rz(rot) Ry(tilt) Rx(x tilt).
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tomoset import geometry
from tomoset.errors import (
    AmbiguityError,
    AssumptionWarning,
    FileFormatError,
    LossyWarning,
    MissingFieldError,
    UnsupportedError,
    some_of,
)
from tomoset.formats._importing import Imported, named_for_relion, parse_size
from tomoset.formats._json import Node
from tomoset.formats._json_format import Source
from tomoset.formats._stacks import listed_stack
from tomoset.formats.cets.entities import Frame, frame_of, projection_of
from tomoset.images.stack import read_header
from tomoset.model import Tomogram

Array = npt.NDArray[np.float64]


def import_document(source: Source) -> Iterator[Imported]:
    """The tilt series of a document that are aligned; their images stay where they are.

    Raises
    ------
    TomosetError
        If the document, or a stack, is missing, unreadable or contradicts the other.
    """
    regions = source.node.need("regions").items()
    every = [(region, series) for region in regions for series in region.each("tilt_series")]
    for region, series in every:
        alone = source.alone and len(every) == 1
        yield _series(region, series, Source(node=series, given=source.given, alone=alone))


def _series(region: Node, series: Node, source: Source) -> Imported:
    name = _name(series)
    alignment = _alignment(region, name, source.given)
    tomogram = _tomogram(region, alignment, name, source.given)
    images = series.need("images").items()
    by_image = _projections(alignment, images, name)
    kept = [row for row, image in enumerate(images) if _id(image, name, row) in by_image]
    if not kept:
        raise FileFormatError(f"{series.at}: no image has an alignment", path=series.path)
    frames = [frame_of(images[row]) for row in kept]
    if len({(frame.size, frame.spacing, frame.origin) for frame in frames}) > 1:
        raise UnsupportedError(f"{series.path}: {series.at}: images differ in size or frame")
    stack = _stack(series, [images[row] for row in kept], source)
    header = read_header(stack)
    image, pixel = frames[0], frames[0].spacing
    if image.size != header.size:
        raise FileFormatError(
            f"{series.at}: images have {image.size[0]} x {image.size[1]} px, and {header.path} has "
            f"{header.size[0]} x {header.size[1]}: give the stack (`stack`)",
            path=series.path,
        )
    sections = np.array([_section(images[row], row) for row in kept])
    if len(set(sections.tolist())) < len(kept) or not 0 <= sections.min() <= sections.max() < (
        header.n_images
    ):
        raise FileFormatError(
            f"{series.at}: sections are not each one of the {header.n_images} images of "
            f"{header.path}",
            path=series.path,
        )
    matrices = [by_image[_id(images[row], name, row)] for row in kept]
    volume = frame_of(tomogram)
    size = parse_size(source.given["size"]) or _unbinned(volume, pixel)
    whole = np.array_equal(sections, np.arange(header.n_images))
    values = _of_images([images[row] for row in kept], source)
    t = Tomogram(
        name=name,
        n_tilts=len(kept),
        optics=source.optics(header, pixel_size=pixel),
        hand=_hand(series, [images[row] for row in kept], source.given),
        stack=named_for_relion(stack),
        image_index=None if whole else sections,
        image_size=header.size,
        size=size,
        projections=_matrices(matrices, image, volume),
        depth_origin=np.array(volume.origin) * volume.spacing / pixel,
        **values,
    )
    return Imported(tomogram=t, notes=_notes(name, len(images), kept))


def _notes(name: str, count: int, kept: list[int]) -> list[str]:
    out = [str(row + 1) for row in range(count) if row not in set(kept)]
    if not out:
        return []
    return [f"{name}: images {', '.join(out)} of {count} have no alignment and are left out"]


def _name(node: Node) -> str:
    found = node.get("id") or node.get("ts_id")
    if found is None:
        raise MissingFieldError(f"{node.at} has no id, which is needed", path=node.path)
    return found.text()


def _id(image: Node, name: str, row: int) -> str:
    """The id of an image; documents before the profile name them by their section."""
    found = image.get("id")
    return f"{name}_{_section(image, row)}" if found is None else found.text()


def _section(image: Node, row: int) -> int:
    found = image.get("section")
    return row if found is None else found.whole()


def _alignment(region: Node, name: str, given: Mapping[str, Any]) -> Node:
    own = []
    for node in region.each("alignments"):
        of = node.get("tilt_series_id")
        if of is None or of.text() == name:
            own.append(node)
    if not own:
        raise FileFormatError(
            f"{region.at}: {name!r} has no alignment; its images alone are imported by tomoset "
            "import images, or mdoc",
            path=region.path,
        )
    which = given["alignment"]
    if which is None and len(own) > 1:
        raise AmbiguityError(
            f"{region.path}: {len(own)} alignments are of {name!r}: say which (`alignment`), from 1"
        )
    number = 1 if which is None else which
    if number not in range(1, len(own) + 1):
        raise AmbiguityError(f"{region.path}: {name!r} has alignments 1 to {len(own)}")
    if own[int(number) - 1].get("non_rigid_alignment") is not None:
        warnings.warn(
            f"{name}: its alignment that is not rigid, in another file, is not carried over",
            LossyWarning,
            stacklevel=2,
        )
    return own[int(number) - 1]


def _tomogram(region: Node, alignment: Node, name: str, given: Mapping[str, Any]) -> Node:
    """The volume that an alignment refers to."""
    every = region.each("tomograms")
    said = alignment.get("reference_volume_id")
    wanted = given["tomogram"] or (None if said is None else said.text())
    if wanted is not None:
        every = [node for node in every if _of(node, "id") == wanted]
    else:
        every = [node for node in every if _of(node, "tilt_series_id") in (None, name)]
    if len(every) > 1:
        names = some_of([str(_of(node, "id")) for node in every])
        raise AmbiguityError(
            f"{region.path}: {name!r} has tomograms {names}: say which (`tomogram`)"
        )
    if not every:
        what = f"there is no tomogram {wanted!r}" if wanted else f"{name!r} has no tomogram"
        raise FileFormatError(f"{region.at}: {what}, whose frame is needed", path=region.path)
    return every[0]


def _of(node: Node, key: str) -> str | None:
    found = node.get(key)
    return None if found is None else found.text()


def _projections(alignment: Node, images: list[Node], name: str) -> dict[str, tuple[Array, Array]]:
    """Rotations and shifts [Å], by the ids of images."""
    ids = {_id(image, name, row) for row, image in enumerate(images)}
    if len(ids) < len(images):
        raise alignment.wrong("images with ids of their own")
    found: dict[str, tuple[Array, Array]] = {}
    for node in alignment.need("projection_alignments").items():
        projection = projection_of(node)
        image = node.need("tilt_image_id").text()
        if image in found or image not in ids:
            what = "comes twice" if image in found else "is no image of the tilt series"
            raise FileFormatError(f"{node.at}: {image!r} {what}", path=node.path)
        found[image] = projection
    return found


def _matrices(found: list[tuple[Array, Array]], image: Frame, volume: Frame) -> Array:
    """Projections from 0-based voxels, unbinned, to 0-based pixels."""
    origin = np.array(volume.origin) * volume.spacing / image.spacing
    matrices = np.zeros((len(found), 4, 4))
    matrices[:, 3, 3] = 1
    matrices[:, :3, :3] = [rotation for rotation, _ in found]
    matrices[:, :2, 3] = [shift / image.spacing + np.array(image.origin) for _, shift in found]
    return np.asarray(matrices @ geometry.translation(-origin))


def _unbinned(volume: Frame, pixel: float) -> tuple[int, int, int]:
    if len(volume.size) != 3:
        raise UnsupportedError("the tomogram has no depth")
    x, y, z = (round(side * volume.spacing / pixel) for side in volume.size)
    return x, y, z


def _stack(series: Node, images: list[Node], source: Source) -> str:
    listed = {_of(image, "path") or _of(series, "path") or "" for image in images}
    if len(listed) > 1 and source.given["stack"] is None:
        raise UnsupportedError(
            f"{series.path}: {series.at}: tilt images are in files of their own; give a stack of "
            "them (`stack`)"
        )
    name = next(iter(listed)) or f"{_name(series)}.mrc"
    return listed_stack(
        series.path,
        name,
        source.given["stack"],
        alone=source.alone,
        roots=[Path(series.path).parent],
    )


#: Fields of the model by keys of images, and of their CTF.
_KEYS = {
    "nominal_tilts": "nominal_tilt_angle",
    "pre_exposure": "accumulated_dose",
    "exposure": "exposure_dose",
}
_CTF_KEYS = {
    "defocus_u": "defocus_u",
    "defocus_v": "defocus_v",
    "defocus_angle": "defocus_angle",
    "phase_shift": "phase_shift",
}


def _of_images(images: list[Node], source: Source) -> dict[str, Any]:
    """What is said of all images."""
    ctfs = [image.get("ctf_metadata") for image in images]
    values = {field: _column(images, key) for field, key in _KEYS.items()}
    values |= {field: _column(ctfs, key) for field, key in _CTF_KEYS.items()}
    found: dict[str, Any] = {field: value for field, value in values.items() if value is not None}
    if "defocus_v" in found and "defocus_u" in found:
        found["ctf_scale"] = np.ones(len(images))
    else:
        found = {field: value for field, value in found.items() if field not in _CTF_KEYS}
    if "nominal_tilts" in found:
        found = source.doses(found["nominal_tilts"]) | found
    return found


def _column(nodes: list[Node | None] | list[Node], key: str) -> Array | None:
    values = [None if node is None else node.get(key) for node in nodes]
    return None if None in values else np.array([v.number() for v in values if v is not None])


def _hand(series: Node, images: list[Node], given: Mapping[str, Any]) -> int:
    if given["hand"] is not None:
        return int(given["hand"])
    ctfs = [ctf for image in images if (ctf := image.get("ctf_metadata")) is not None]
    said = [hand for node in (series, *ctfs) if (hand := node.get("defocus_handedness"))]
    hands = {hand.number() for hand in said}
    if len(hands) > 1 or not hands <= {-1.0, 1.0}:
        raise said[0].wrong("defocus_handedness -1 or 1, the same for all images")
    if not hands and ctfs:
        warnings.warn(
            f"{_name(series)}: the document does not say the hand: taken as -1 (`hand`)",
            AssumptionWarning,
            stacklevel=2,
        )
    return int(hands.pop()) if hands else -1
