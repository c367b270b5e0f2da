"""A picture of a tomogram to look at: three slices and a scale bar, as PNG.

https://www.w3.org/TR/png-3/.
"""

from __future__ import annotations

import math
import os
import struct
import zlib

import numpy as np
import numpy.typing as npt

from tomoset import __version__
from tomoset.errors import ModelError
from tomoset.files import atomic_write

Array = npt.NDArray[np.float32]
Picture = npt.NDArray[np.uint8]

_LARGEST, _SMALLEST = 1600, 640
_DARK, _WHITE = 26, 245
#: Black and white are so many times the width of the middle half of all values from their median.
_CONTRAST = 2.2

#: Seven rows of five dots, for what a scale bar and the names of axes need.
_FONT = {
    "0": "01110 10001 10011 10101 11001 10001 01110",
    "1": "00100 01100 00100 00100 00100 00100 01110",
    "2": "01110 10001 00001 00110 01000 10000 11111",
    "3": "11111 00010 00100 00010 00001 10001 01110",
    "4": "00010 00110 01010 10010 11111 00010 00010",
    "5": "11111 10000 11110 00001 00001 10001 01110",
    "6": "00110 01000 10000 11110 10001 10001 01110",
    "7": "11111 00001 00010 00100 01000 01000 01000",
    "8": "01110 10001 10001 01110 10001 10001 01110",
    "9": "01110 10001 10001 01111 00001 00010 01100",
    "A": "00100 01010 10001 10001 11111 10001 10001",
    "m": "00000 00000 11010 10101 10101 10101 10101",
    "n": "00000 00000 10110 11001 10001 10001 10001",
    "µ": "00000 00000 10001 10001 10011 11101 10000",
    "x": "00000 00000 10001 01010 00100 01010 10001",
    "y": "00000 00000 10001 10001 01111 00001 01110",
    "z": "00000 00000 11111 00010 00100 01000 11111",
    " ": "00000 00000 00000 00000 00000 00000 00000",
}


def write_slices_png(
    path: str | os.PathLike[str],
    xy: npt.NDArray[np.floating],
    xz: npt.NDArray[np.floating],
    yz: npt.NDArray[np.floating],
    pixel_size: float,
    title: str,
) -> None:
    """Write a picture of three slices of a volume at one scale and one contrast.

    xy is large, xz below it, yz to its right. x runs to the right, y upwards as in IMOD, z away
    from xy. Voxels are averaged if the picture would be larger than 1600 px, and repeated if it
    would be small.

    Parameters
    ----------
    path : path-like
        The file; it appears whole or not at all.
    xy, xz, yz : (y, x), (z, x) and (z, y) arrays
        Slices as they come out of a volume: ``v[k]``, ``v[:, j]``, ``v[:, :, i]``.
    pixel_size : float
        For the scale bar [Å]; none is drawn if it is 0.
    title : str
        Goes into the file as its title.

    Raises
    ------
    ModelError
        If the slices are not of one volume.
    """
    (ny, nx), nz = xy.shape, xz.shape[0]
    if xz.shape != (nz, nx) or yz.shape != (nz, ny):
        raise ModelError(
            f"expected slices of one volume, found xy {xy.shape}, xz {xz.shape}, yz {yz.shape}"
        )
    largest = max(nx + nz, ny + nz)
    bin_ = math.ceil(largest / _LARGEST)
    zoom = max(1, round(_SMALLEST / largest))
    binned = [_binned(image, bin_) for image in (xy[::-1], xz, yz.T[::-1])]
    low, high = _contrast(binned)
    panels = [_grey(image, low, high).repeat(zoom, 0).repeat(zoom, 1) for image in binned]
    dot = 1 + (max(panels[0].shape) > 300) + (max(panels[0].shape) > 1200)
    picture = _arranged(panels, dot)
    if pixel_size > 0:
        _draw_scale_bar(picture, panels[0].shape, pixel_size * bin_ / zoom, dot)
    with atomic_write(path) as stream:
        stream.write(_png(picture, title))


def _binned(image: npt.NDArray[np.floating], factor: int) -> Array:
    """The mean of blocks; at the ends, of what is there."""
    if factor == 1:
        return np.asarray(image, np.float32)
    rows, columns = (np.arange(0, n, factor) for n in image.shape)
    sums = np.add.reduceat(np.add.reduceat(image.astype(np.float32), rows, 0), columns, 1)
    height, width = (np.diff([*x, n]) for x, n in zip((rows, columns), image.shape, strict=True))
    return np.asarray(sums / np.outer(height, width), np.float32)


def _contrast(images: list[Array]) -> tuple[float, float]:
    values = np.concatenate([image.ravel() for image in images])
    values = values[np.isfinite(values)]
    if not values.size:
        return 0.0, 1.0
    # About the median, by the middle half of all values: a few gold beads change nothing.
    quarter, middle, three = np.percentile(values, [25, 50, 75])
    spread = _CONTRAST * (three - quarter) or float(np.ptp(values))
    low, high = max(middle - spread, values.min()), min(middle + spread, values.max())
    if low == high:
        return float(low) - 1, float(high) + 1
    return float(low), float(high)


def _grey(image: Array, low: float, high: float) -> Picture:
    with np.errstate(invalid="ignore"):
        scaled = (image - np.float32(low)) * np.float32(255 / (high - low))
    grey: Picture = np.rint(np.nan_to_num(scaled).clip(0, 255)).astype(np.uint8)
    return grey


def _arranged(panels: list[Picture], dot: int) -> Picture:
    """The panels on dark ground, each with the names of its axes in a corner."""
    xy, xz, yz = panels
    margin, gap = 8 * dot, 4 * dot
    below, right = margin + xy.shape[0] + gap, margin + xy.shape[1] + gap
    picture = np.full((below + xz.shape[0] + margin, right + yz.shape[1] + margin), _DARK, np.uint8)
    places = ((xy, margin, margin, "xy"), (xz, below, margin, "xz"), (yz, margin, right, "yz"))
    for panel, top, left, name in places:
        picture[top : top + panel.shape[0], left : left + panel.shape[1]] = panel
        if min(panel.shape) > 20 * dot:
            _draw(picture, _text(name, dot), (top + 6 * dot, left + 6 * dot), dot)
    return picture


def _draw_scale_bar(picture: Picture, shape: tuple[int, ...], pixel_size: float, dot: int) -> None:
    """In the lower right corner of xy, a quarter of its width or less."""
    length, label = _nice_length(shape[1] * pixel_size / 4)
    text = _text(label, dot)
    bar = max(1, round(length / pixel_size))
    width, height = max(bar, text.shape[1]), len(text) + 5 * dot
    if width + 12 * dot > shape[1] or height + 12 * dot > shape[0]:
        return
    mask = np.zeros((height, width), bool)
    left = (width - text.shape[1]) // 2
    mask[: len(text), left : left + text.shape[1]] = text
    mask[-2 * dot :, (width - bar) // 2 :][:, :bar] = True
    bottom, right = shape[0] + 2 * dot, shape[1] + 2 * dot  # the margin of the picture less 6 dots
    _draw(picture, mask, (bottom - height, right - width), dot)


def _nice_length(longest: float) -> tuple[float, str]:
    """The largest of 1, 2, 5, 10, ... that is not above a length [Å], and how it is written."""
    power = 10.0 ** math.floor(math.log10(longest))
    length = next(power * n for n in (5, 2, 1) if power * n <= longest or n == 1)
    for unit, name in ((1e4, "µm"), (10.0, "nm"), (1.0, "A")):
        if length >= unit * (1 - 1e-9):
            return length, f"{length / unit:.0f} {name}"
    return 1.0, "1 A"


def _text(text: str, dot: int) -> npt.NDArray[np.bool_]:
    glyphs = [[[c == "1" for c in row] + [False] for row in _FONT[x].split()] for x in text]
    return np.concatenate(glyphs, axis=1)[:, :-1].repeat(dot, 0).repeat(dot, 1)


def _draw(picture: Picture, mask: npt.NDArray[np.bool_], corner: tuple[int, int], dot: int) -> None:
    """In white, on a darkened patch so that it is seen on any ground."""
    (top, left), (height, width), edge = corner, mask.shape, 3 * dot
    picture[top - edge : top + height + edge, left - edge : left + width + edge] //= 4
    picture[top : top + height, left : left + width][mask] = _WHITE


def _png(picture: Picture, title: str) -> bytes:
    height, width = picture.shape
    rows = np.zeros((height, width + 1), np.uint8)  # each row begins with its filter: none
    rows[:, 1:] = picture
    text = b"Title\0\0\0\0\0" + title.encode()
    chunks = (
        (b"IHDR", struct.pack(">2I5B", width, height, 8, 0, 0, 0, 0)),
        (b"iTXt", text),
        (b"tEXt", f"Software\0tomoset {__version__}".encode("latin-1")),
        (b"IDAT", zlib.compress(rows.tobytes(), 6)),
        (b"IEND", b""),
    )
    framed = (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(framed)
