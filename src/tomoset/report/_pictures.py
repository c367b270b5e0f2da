"""Small pictures of large images, for a page: grey, JPEG, the first row at the bottom."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby

import numpy as np
import numpy.typing as npt
from markupsafe import Markup

from tomoset.errors import ModelError, TomosetError, UnsupportedError
from tomoset.figures._style import binned, binned_rows, grey_levels
from tomoset.images.mrc import stack_path
from tomoset.images.stack import Stack, open_stack
from tomoset.model import Tomogram

Grey = npt.NDArray[np.uint8]
Pixels = npt.NDArray[np.float32]

#: Slices of a volume of which the picture is the mean, at most.
_SLICES = 5
#: Of JPEG; pictures that are small anyway, as there are many, take the second.
_QUALITY, _ROUGH, _SMALL = 62, 45, 200
#: Tiles of a strip are this wide where there is room, and no narrower than the second [px]; a pixel
#: of noise takes this part of a byte in a page, about.
TILE, _NARROW, _BYTES = 112, 28, 0.4
_COLUMNS = 14


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A picture in a page.

    Parameters
    ----------
    uri : Markup
        Its content.
    width, height : int
        Of the picture [px].
    factor : float
        Pixels of the image for each of it.
    grey : (h, w) uint8 array
        The picture, its first row the lowest.
    """

    uri: Markup
    width: int
    height: int
    factor: float
    grey: Grey


@dataclass(frozen=True, kw_only=True)
class Missing:
    """Why there is no picture."""

    reason: str


@dataclass(frozen=True, kw_only=True)
class Small:
    """An image, small, with its grey levels.

    Parameters
    ----------
    grey : (h, w) uint8 array
        The first row is the lowest of the picture.
    factor : int
        Pixels of the image for each of it.
    """

    grey: Grey
    factor: int


def small(image: npt.NDArray[np.generic], largest: int) -> Small:
    """An image of no more than so many pixels along a side."""
    with np.errstate(over="ignore", invalid="ignore"):
        return _grey(*binned(np.asarray(image, np.float32), largest))


def small_section(stack: Stack, sections: Sequence[int], largest: int) -> Small:
    """The mean of some sections of a file, small: no more of it is read than is needed."""
    width, height = stack.size
    with np.errstate(over="ignore", invalid="ignore"):
        read = (partial(stack.read_rows, i) for i in sections)
        means, factors = zip(*(binned_rows(r, (height, width), largest) for r in read), strict=True)
        return _grey(np.mean(means, axis=0, dtype=np.float32), factors[0])


def _grey(means: Pixels, factor: int) -> Small:
    low, high = grey_levels(means)
    grey = np.nan_to_num((means - low) / (high - low) * 255, nan=0.0).clip(0, 255)
    return Small(grey=grey.astype(np.uint8), factor=factor)


def jpeg(grey: Grey, quality: int = _QUALITY) -> bytes:
    """A picture as a JPEG file; its first row is the lowest."""
    from PIL import Image

    out = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(grey[::-1])).save(out, "JPEG", quality=quality)
    return out.getvalue()


def picture(of: Small, quality: int | None = None) -> Picture:
    """What a page shows of an image."""
    quality = quality or (_QUALITY if max(of.grey.shape) > _SMALL else _ROUGH)
    file = base64.b64encode(jpeg(of.grey, quality)).decode("ascii")
    height, width = of.grey.shape
    uri = Markup("data:image/jpeg;base64,") + Markup(file)
    return Picture(uri=uri, width=width, height=height, factor=of.factor, grey=of.grey)


def thumbnail(of: Picture | Missing | None, largest: int) -> Picture | Missing | None:
    """The same smaller, so that no image is read twice."""
    return picture(small(of.grey, largest)) if isinstance(of, Picture) else of


def tilt_images(t: Tomogram, order: Sequence[int], largest: int) -> Iterator[Small]:
    """Tilt images, from 0, in this order, as their files have them, small.

    Raises
    ------
    TomosetError
        If one is not there, or is no image.
    """
    places = t.image_sections()
    for path, some in groupby((places[i] for i in order), key=lambda place: place[0]):
        with open_stack(path) as stack:
            for _, section in some:
                yield small_section(stack, [section], largest)


def tilt_picture(t: Tomogram, i: int | None, largest: int) -> Picture | Missing:
    """A tilt image, small; or why it cannot be shown."""
    if i is None:
        return Missing(reason="there are no tilt images")
    try:
        return picture(next(tilt_images(t, [i], largest)))
    except (TomosetError, OSError, ValueError) as problem:
        return Missing(reason=str(problem))


def volume_path(t: Tomogram) -> str:
    """The file of the tomogram's volume.

    Raises
    ------
    ModelError
        If there is none.
    UnsupportedError
        If it is Zarr, which is written and not read.
    """
    made = t.reconstruction
    path = None if made is None else made.path or made.half1
    if path is None:
        raise ModelError(f"tomogram {t.name!r} names no volume")
    if path.endswith(".zarr"):
        raise UnsupportedError(
            f"{path}: Zarr is written but not read; reconstruct as MRC to see it here"
        )
    return stack_path(path)


def volume_slice(t: Tomogram, largest: int, at: int | None = None, slices: int = 1) -> Small:
    """A section of the tomogram's volume across z, small: slice `at` from 0, or the middle ones.

    Raises
    ------
    TomosetError
        If there is no volume, or it cannot be read.
    """
    with open_stack(volume_path(t)) as stack:
        first = max(0, (stack.n_images - slices) // 2) if at is None else at
        some = range(first, min(first + slices, stack.n_images))
        return small_section(stack, some or [first], largest)


def volume_picture(t: Tomogram, largest: int) -> Picture | Missing | None:
    """The middle of the tomogram; None if there is no volume."""
    if t.reconstruction is None or not (t.reconstruction.path or t.reconstruction.half1):
        return None
    try:
        return picture(volume_slice(t, largest, slices=_SLICES))
    except (TomosetError, OSError, ValueError) as problem:
        return Missing(reason=str(problem))


@dataclass(frozen=True, kw_only=True)
class Strip:
    """All tilt images as one picture.

    Parameters
    ----------
    picture : Picture
        Of all tiles.
    order : list of int
        Tilt images, from 0, in the order of the tiles.
    corners : list of (int, int)
        Upper left corner of each tile in the picture [px].
    tile : (int, int)
        Width and height of a tile [px].
    """

    picture: Picture
    order: list[int]
    corners: list[tuple[int, int]]
    tile: tuple[int, int]


def strip(t: Tomogram, order: Sequence[int], room: int) -> Strip | Missing:
    """All tilt images, in this order, in no more bytes of a page than there is room."""
    fits = math.sqrt(room / (len(order) * _BYTES))
    largest = min(max(round(fits), _NARROW), TILE)
    try:
        tiles = list(tilt_images(t, order, largest))
    except (TomosetError, OSError, ValueError) as problem:
        return Missing(reason=str(problem))
    if len({one.grey.shape for one in tiles}) != 1:
        return Missing(reason=f"tomogram {t.name!r}: its tilt images are not of one size")
    for every, quality in _smaller(tiles[0].grey.shape):
        shown = [_every(one, every) for one in tiles]
        made = _montage(shown, list(order), quality)
        if len(made.picture.uri) <= room:
            break
    return made


def _smaller(shape: tuple[int, ...]) -> Iterator[tuple[int, int]]:
    """By how much tiles are binned once more, and the quality, each taking less room."""
    for every in range(1, 6):
        if every == 1 or max(shape) // every >= _NARROW:
            yield every, _QUALITY
            yield every, _QUALITY // 2


def _every(one: Small, every: int) -> Small:
    if every == 1:
        return one
    means, factor = binned(one.grey.astype(np.float32), math.ceil(max(one.grey.shape) / every))
    return Small(grey=means.astype(np.uint8), factor=one.factor * factor)


def _montage(tiles: Sequence[Small], order: list[int], quality: int) -> Strip:
    whole, corners = montage([tile.grey for tile in tiles])
    made = picture(Small(grey=whole, factor=tiles[0].factor), quality)
    height, width = tiles[0].grey.shape
    return Strip(picture=made, order=order, corners=corners, tile=(width, height))


def montage(tiles: Sequence[Grey]) -> tuple[Grey, list[tuple[int, int]]]:
    """Images of one size side by side, and the upper left corner of each [px]."""
    height, width = tiles[0].shape
    rows = math.ceil(len(tiles) / _COLUMNS)
    columns = math.ceil(len(tiles) / rows)
    whole = np.full((rows * height, columns * width), 255, np.uint8)
    corners = []
    for k, tile in enumerate(tiles):
        row, column = divmod(k, columns)
        corners.append((column * width, row * height))
        low = (rows - 1 - row) * height
        whole[low : low + height, column * width : (column + 1) * width] = tile
        # A line between neighbours.
        whole[low + height - 1, column * width : (column + 1) * width] = 255
        whole[low : low + height, column * width] = 255
    return whole, corners
