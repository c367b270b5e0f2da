"""What pictures are made of: grey values, letters, lines and rings, and PNG without any library.

https://www.w3.org/TR/png-3/. A picture is (h, w) of grey values or (h, w, 3) of colours, its first
row at the top.
"""

from __future__ import annotations

import math
import struct
import zlib

import numpy as np
import numpy.typing as npt

from tomoset import __version__

Array = npt.NDArray[np.float32]
Picture = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]
Colour = tuple[int, int, int]

DARK, WHITE = 26, 245
#: Black and white are so many times the width of the middle half of all values from their median.
_CONTRAST = 2.2

#: Seven rows of five dots, for what the pictures have to say.
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
    "Å": "00100 01010 00100 01110 10001 11111 10001",
    "T": "11111 00100 00100 00100 00100 00100 00100",
    "a": "00000 00000 01110 00001 01111 10001 01111",
    "b": "10000 10000 11110 10001 10001 10001 11110",
    "c": "00000 00000 01111 10000 10000 10000 01111",
    "d": "00001 00001 01111 10001 10001 10001 01111",
    "e": "00000 00000 01110 10001 11111 10000 01111",
    "f": "00110 01000 11100 01000 01000 01000 01000",
    "g": "00000 00000 01111 10001 01111 00001 01110",
    "h": "10000 10000 10110 11001 10001 10001 10001",
    "i": "00100 00000 01100 00100 00100 00100 01110",
    "l": "01100 00100 00100 00100 00100 00100 01110",
    "o": "00000 00000 01110 10001 10001 10001 01110",
    "t": "01000 01000 11100 01000 01000 01001 00110",
    "u": "00000 00000 10001 10001 10001 10011 01101",
    "v": "00000 00000 10001 10001 10001 01010 00100",
    "w": "00000 00000 10001 10001 10101 10101 01010",
    "±": "00100 00100 11111 00100 00100 00000 11111",
    "m": "00000 00000 11010 10101 10101 10101 10101",
    "n": "00000 00000 10110 11001 10001 10001 10001",
    "µ": "00000 00000 10001 10001 10011 11101 10000",
    "x": "00000 00000 10001 01010 00100 01010 10001",
    "y": "00000 00000 10001 10001 01111 00001 01110",
    "z": "00000 00000 11111 00010 00100 01000 11111",
    "p": "00000 00000 11110 10001 11110 10000 10000",
    "r": "00000 00000 10110 11001 10000 10000 10000",
    "s": "00000 00000 01111 10000 01110 00001 11110",
    "+": "00000 00100 00100 11111 00100 00100 00000",
    "-": "00000 00000 00000 11111 00000 00000 00000",
    ".": "00000 00000 00000 00000 00000 01100 01100",
    "°": "01100 10010 10010 01100 00000 00000 00000",
    " ": "00000 00000 00000 00000 00000 00000 00000",
}


def binned(image: npt.NDArray[np.floating], factor: int) -> Array:
    """The mean of blocks of an image; at its ends, of what is there."""
    if factor == 1:
        return np.asarray(image, np.float32)
    rows, columns = (np.arange(0, n, factor) for n in image.shape)
    sums = np.add.reduceat(np.add.reduceat(image.astype(np.float32), rows, 0), columns, 1)
    height, width = (np.diff([*x, n]) for x, n in zip((rows, columns), image.shape, strict=True))
    return np.asarray(sums / np.outer(height, width), np.float32)


def contrast(images: list[Array]) -> tuple[float, float]:
    """Values to be black and white in images that are seen together."""
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


def grey(image: Array, low: float, high: float) -> Picture:
    """Grey values of an image, black at `low` or below, white at `high` or above."""
    with np.errstate(invalid="ignore"):
        scaled = (image - np.float32(low)) * np.float32(255 / (high - low))
    values: Picture = np.rint(np.nan_to_num(scaled).clip(0, 255)).astype(np.uint8)
    return values


def nice_number(most: float) -> float:
    """The largest of 1, 2, 5, 10, 20, ... and their tenths that is not above a number.

    Examples
    --------
    >>> [nice_number(x) for x in (0.3, 9.0, 21.0)]
    [0.2, 5.0, 20.0]
    """
    power = 10.0 ** math.floor(math.log10(most))
    return next(power * n for n in (5, 2, 1) if power * n <= most or n == 1)


def text(words: str, dot: int) -> Mask:
    """Letters, each dot of so many pixels; a blank for one that is not in the font."""
    dots = [_FONT.get(letter, _FONT[" "]).split() for letter in words]
    glyphs = [[[c == "1" for c in row] + [False] for row in rows] for rows in dots]
    return np.concatenate(glyphs, axis=1)[:, :-1].repeat(dot, 0).repeat(dot, 1)


def draw(picture: Picture, mask: Mask, corner: tuple[int, int], dot: int) -> None:
    """In white, on a darkened patch so that it is seen on any ground; its corner is row, column."""
    (top, left), (height, width), edge = corner, mask.shape, 3 * dot
    picture[top - edge : top + height + edge, left - edge : left + width + edge] //= 4
    write(picture, mask, corner)


def write(picture: Picture, mask: Mask, corner: tuple[int, int]) -> None:
    """In white, on the ground as it is."""
    (top, left), (height, width) = corner, mask.shape
    picture[top : top + height, left : left + width][mask] = WHITE


def draw_ring(
    picture: Picture, middle: npt.NDArray[np.floating], radius: float, colour: Colour
) -> None:
    """Draw a ring about x, y in colour, 2 px wide; what is outside of the picture is left out."""
    box = _box(picture, middle - radius, middle + radius)
    if box is not None:
        x, y = _places(box)
        _stroke(picture[box], np.abs(np.hypot(x - middle[0], y - middle[1]) - radius), colour)


def draw_line(
    picture: Picture,
    start: npt.NDArray[np.floating],
    end: npt.NDArray[np.floating],
    colour: Colour,
) -> None:
    """Draw a line from x, y to x, y in colour, 2 px wide; what is outside is left out."""
    box = _box(picture, np.minimum(start, end), np.maximum(start, end))
    if box is None:
        return
    x, y = _places(box)
    (dx, dy), length = end - start, max(float(np.hypot(*(end - start))), 1e-9)
    along = np.clip(((x - start[0]) * dx + (y - start[1]) * dy) / length**2, 0, 1)
    distance = np.hypot(x - start[0] - along * dx, y - start[1] - along * dy)
    _stroke(picture[box], distance, colour)


def draw_arrow(
    picture: Picture,
    start: npt.NDArray[np.floating],
    end: npt.NDArray[np.floating],
    colour: Colour,
) -> None:
    """Draw an arrow, its head a third of its length or 7 px."""
    draw_line(picture, start, end, colour)
    back = (start - end) * min(1 / 3, 7 / max(float(np.hypot(*(end - start))), 1e-9))
    for turned in ((back[0] - back[1], back[0] + back[1]), (back[0] + back[1], back[1] - back[0])):
        draw_line(picture, end, end + 0.7 * np.array(turned), colour)


def _box(
    picture: Picture, low: npt.NDArray[np.floating], high: npt.NDArray[np.floating]
) -> tuple[slice, slice] | None:
    """Rows and columns that a stroke may touch."""
    first = np.maximum(np.floor(low - 2), 0).astype(int)
    last = np.minimum(np.ceil(high + 3), picture.shape[1::-1]).astype(int)
    if (first >= last).any():
        return None
    return slice(first[1], last[1]), slice(first[0], last[0])


def _places(
    box: tuple[slice, slice],
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    rows, columns = (np.arange(side.start, side.stop, dtype=np.float64) for side in box)
    return columns[None, :], rows[:, None]


def _stroke(part: Picture, distance: npt.NDArray[np.float64], colour: Colour) -> None:
    """Paint what is near, softly at its edge."""
    cover = np.clip(1.3 - distance, 0, 1)[..., None]
    part[:] = np.rint(part + cover * (np.array(colour, np.float64) - part)).astype(np.uint8)


def png(picture: Picture, title: str) -> bytes:
    """The bytes of a file in PNG."""
    height, width = picture.shape[:2]
    colour_type = 2 if picture.ndim == 3 else 0
    pixels = picture.reshape(height, -1)
    rows = np.zeros((height, pixels.shape[1] + 1), np.uint8)  # each begins with its filter: none
    rows[:, 1:] = pixels
    about = b"Title\0\0\0\0\0" + title.encode()
    chunks = (
        (b"IHDR", struct.pack(">2I5B", width, height, 8, colour_type, 0, 0, 0)),
        (b"iTXt", about),
        (b"tEXt", f"Software\0tomoset {__version__}".encode("latin-1")),
        (b"IDAT", zlib.compress(rows.tobytes(), 6)),
        (b"IEND", b""),
    )
    framed = (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(framed)
