"""What CETS documents say of images and volumes: their sizes and physical frames."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tomoset.errors import UnsupportedError
from tomoset.formats._json import Node

Array = npt.NDArray[np.float64]

#: Pixels of images and volumes [Å], and how many of them a side has at most.
_FINEST, _COARSEST = 1e-3, 1e6


@dataclass(frozen=True, kw_only=True)
class Frame:
    """An image or a volume.

    Parameters
    ----------
    size : tuple of int
        Width, height (and depth) [px].
    spacing : float
        Of pixels [Å].
    origin : tuple of float
        The pixel, from 0, where the physical frame has its origin.
    """

    size: tuple[int, ...]
    spacing: float
    origin: tuple[float, ...]


def frame_of(node: Node) -> Frame:
    """The frame of an image or a volume.

    Its ``array_to_physical`` is a scale [Å], after a translation [px] or alone.

    Raises
    ------
    FileFormatError
        If it has none, or another.
    """
    sides = [node.get(key) for key in ("width", "height", "depth")]
    size = tuple(side.whole() for side in sides if side is not None)
    if len(size) < 2 or not 1 <= min(size) <= max(size) <= _COARSEST:
        raise node.wrong("width and height above 0")
    chains = [t for t in node.each("coordinate_transformations") if _leads_to_physical(t)]
    if len(chains) != 1:
        raise node.wrong("one coordinate transformation array_to_physical")
    origin, scale = np.zeros(len(size)), None
    for step in steps_of(chains[0]):
        kind = kind_of(step)
        if kind == "translation" and scale is None:
            origin = origin - _each_axis(step.need("translation"), len(size))
        elif kind == "scale" and scale is None:
            scale = _each_axis(step.need("scale"), len(size))
        else:
            raise step.wrong("a translation and a scale")
    if scale is None or not ((scale >= _FINEST) & (scale <= _COARSEST)).all():
        raise chains[0].wrong(f"a scale from {_FINEST:g} to {_COARSEST:g} Å")
    if np.ptp(scale) > 1e-6 * scale[0]:
        raise UnsupportedError(f"{node.path}: {chains[0].at}: pixels that are not square")
    return Frame(size=size, spacing=float(scale[0]), origin=tuple(origin.tolist()))


def _leads_to_physical(node: Node) -> bool:
    """By its name, or as documents before the profile have it: a scale from pixels to Å."""
    name = node.get("name")
    return name is not None and name.value in (
        "array_to_physical",
        "pixel_to_angstrom",
        "voxel_to_angstrom",
    )


def _each_axis(node: Node, count: int) -> Array:
    values = node.numbers((1,), (count,))
    return np.broadcast_to(values, count).astype(np.float64)


def steps_of(node: Node) -> list[Node]:
    """The transformations of a sequence; else the transformation itself."""
    sequence = node.get("sequence")
    return [node] if sequence is None else sequence.items()


def kind_of(node: Node) -> str:
    """``affine``, ``translation`` and so on; documents of 2025 have the key ``type``."""
    found = node.get("transformation_type") or node.need("type")
    return found.text()


def projection_of(node: Node) -> tuple[Array, Array]:
    """Rotation (3, 3) and shift (2,) [Å] of a projection alignment.

    Raises
    ------
    UnsupportedError
        If it is another transformation than that of the profile.
    FileFormatError
        If its matrices are no rotations.
    """
    name = node.get("name")
    if name is None or name.value != "tomogram_to_projection":
        raise UnsupportedError(
            f"{node.path}: {node.at}: only projection alignments called tomogram_to_projection are "
            "read (profile cets-rigid): what others mean is not settled"
        )
    rotation, shift, moved = np.eye(3), np.zeros(2), False
    for step in steps_of(node):
        kind = kind_of(step)
        if kind == "affine" and not moved:
            rotation = _rotation(step.need("affine")) @ rotation
        elif kind == "translation":
            shift = shift + step.need("translation").numbers((2,), (3,))[:2]
            moved = True
        elif kind != "identity":
            raise step.wrong("rotations, and then translations")
    return rotation, shift


def _rotation(node: Node) -> Array:
    matrix = node.numbers((3, 3))
    with np.errstate(over="ignore", invalid="ignore"):
        off = np.abs(matrix @ matrix.T - np.eye(3)).max()
    if not off < 1e-5 or np.linalg.det(matrix) < 0:
        raise node.wrong("a rotation, 3 x 3")
    return matrix
