"""An XML file of Warp, and where things stand in it."""

from __future__ import annotations

import math
import re
import warnings
import xml.etree.ElementTree as ET

import numpy as np
import numpy.typing as npt

from tomoset.errors import AssumptionWarning, FileAccessError, FileFormatError, MissingFileError
from tomoset.files import read_bytes
from tomoset.formats.warp.grids import Grid

Array = npt.NDArray[np.float64]

#: More nodes than that are no grid [number].
_MOST_NODES = 10_000_000
#: No angle, length in Å, dose or defocus in µm is as large.
HUGE = 1e9


def decoded(raw: bytes, path: str) -> str:
    """The text of an XML file, of whatever encoding Warp writes.

    Raises
    ------
    FileFormatError
        If it is empty or no text, or has a document type: entities are not expanded.
    """
    if not raw.strip():
        raise FileFormatError("the file is empty; one of Warp's XML files was expected", path=path)
    encoding = "utf-8-sig"
    if raw[:2] in (b"\xff\xfe", b"\xfe\xff"):
        encoding = "utf-16"
    elif b"\0" in raw[:2]:
        encoding = "utf-16-be" if raw[0] == 0 else "utf-16-le"
    try:
        text = raw.decode(encoding)
    except UnicodeDecodeError:
        raise FileFormatError(
            "this is no text in UTF-8 or UTF-16, or it is cut short; one of Warp's XML files was "
            "expected",
            path=path,
        ) from None
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise FileFormatError(
            "it has a document type, which no file of Warp has; remove it",
            path=path,
            line=1 + text.count("\n", 0, text.index("<!")),
        )
    return text


class Document:
    """An XML file of Warp, and where things stand in it."""

    def __init__(self, path: str, root: str) -> None:
        self.path = path
        self.text = decoded(read_whole(path), path)
        try:
            self.root = ET.fromstring(self.text)
        except (ET.ParseError, ValueError) as problem:
            line = getattr(problem, "position", (None,))[0]
            raise FileFormatError(
                f"the XML is damaged or cut short ({problem})", path=path, line=line
            ) from None
        if self.root.tag != root:
            what = {"Movie": "a movie (frame series) of Warp", "Settings": "settings of Warp"}
            raise FileFormatError(
                f"expected <{root}>, found <{self.root.tag}>"
                + (f": {what[self.root.tag]}" if self.root.tag in what else ""),
                path=path,
            )

    def error(self, message: str, tag: str, row: int = 0) -> FileFormatError:
        """An error at a line of an element."""
        found = re.search(rf"<{tag}[\s>/]", self.text)
        line = None if found is None else 1 + row + self.text.count("\n", 0, found.start())
        return FileFormatError(message, path=self.path, line=line)

    def attribute(self, name: str) -> str | None:
        """An attribute of the root; None if it is absent or empty."""
        return self.root.get(name) or None

    def attribute_numbers(self, name: str, *counts: int) -> tuple[float, ...] | None:
        """Numbers of an attribute of the root."""
        text = self.attribute(name)
        if text is None:
            return None
        values = tuple(map(number, text.split(",")))
        if len(values) not in counts or None in values:
            many = " or ".join(map(str, counts))
            raise self.error(f"{name}: expected {many} number(s), found {text!r}", self.root.tag)
        return tuple(value for value in values if value is not None)

    def attribute_true(self, name: str) -> bool:
        """A True or False of the root."""
        text = (self.attribute(name) or "False").strip().lower()
        if text not in ("true", "false"):
            raise self.error(f"{name}: expected True or False, found {text!r}", self.root.tag)
        return text == "true"

    def lines(self, tag: str) -> list[str] | None:
        """The lines of an element; None if it is absent or empty."""
        element = self.root.find(tag)
        text = "" if element is None else (element.text or "")
        return [line.strip() for line in text.strip().split("\n")] if text.strip() else None

    def numbers(self, tag: str) -> Array | None:
        """A number a line, of an element."""
        lines = self.lines(tag)
        if lines is None:
            return None
        values = list(map(number, lines))
        if None in values and not any("." in line for line in lines):
            # Warp writes some columns as the language of its computer has numbers.
            values = [number(line.replace(",", ".")) for line in lines]
            if None not in values:
                warnings.warn(
                    f"{self.path}: <{tag}> has decimal commas; they are taken for points",
                    AssumptionWarning,
                    stacklevel=4,
                )
        if None in values:
            row = values.index(None)
            raise self.error(f"<{tag}>: expected a number, found {lines[row]!r}", tag, row)
        return np.array(values, dtype=np.float64)

    def parameters(self, tag: str) -> dict[str, str]:
        """The names and values of an element's ``Param``."""
        element = self.root.find(tag)
        found = [] if element is None else element.findall("Param")
        return {p.get("Name", ""): p.get("Value", "") for p in found}

    def grid(self, tag: str) -> Grid | None:
        """A grid, with each of its nodes; None if there is none."""
        element = self.root.find(tag)
        if element is None:
            return None
        values = self._nodes(element, ("Width", "Height", "Depth"), "XYZ")
        margins = [number(element.get(f"Margin{axis}", "0")) for axis in "XYZ"]
        if not all(m is not None and 0 <= m < 0.5 for m in margins):
            raise self.error(f"<{tag}>: margins must be from 0 to below 0.5", tag)
        return Grid(values=values, margins=tuple(float(m or 0) for m in margins))  # type: ignore[arg-type]

    def volume_grid(self, tag: str) -> Array:
        """The nodes of a grid in 4D: (duration, depth, height, width)."""
        element = self.root.find(tag)
        if element is None:
            return np.zeros((1, 1, 1, 1))
        return self._nodes(element, ("Width", "Height", "Depth", "Duration"), "XYZW")

    def _nodes(self, element: ET.Element, sides: tuple[str, ...], axes: str) -> Array:
        tag, nodes = element.tag, element.findall("Node")
        try:
            shape = [int(element.get(side, "1")) for side in sides]
        except ValueError:
            raise self.error(f"<{tag}>: its sizes must be whole numbers", tag) from None
        if min(shape) < 1 or math.prod(shape) > _MOST_NODES or len(nodes) != math.prod(shape):
            size = " x ".join(map(str, shape))
            raise self.error(f"<{tag}>: {size} nodes were expected, found {len(nodes)}", tag)
        texts = [[node.get(axis, "") for axis in reversed(axes)] for node in nodes]
        try:
            places = np.array(texts).astype(np.int64)
            found = np.array([node.get("Value", "") for node in nodes]).astype(np.float64)
            flat = np.ravel_multi_index(tuple(places.T), shape[::-1])
            if not (np.abs(found) < HUGE).all():
                raise ValueError
        except (ValueError, OverflowError):
            raise self._bad_node(element, shape[::-1], axes) from None
        if len(np.unique(flat)) < len(flat):
            raise self.error(f"<{tag}>: a node is there twice, and another is missing", tag)
        values = np.empty(len(flat))
        values[flat] = found
        return values.reshape(shape[::-1])

    def _bad_node(self, element: ET.Element, shape: list[int], axes: str) -> FileFormatError:
        """The error of the first node of a grid that is none."""
        tag = element.tag
        for row, node in enumerate(element.findall("Node"), 1):
            words = [node.get(axis, "") for axis in reversed(axes)]
            inside = all(w.isdigit() and int(w) < n for w, n in zip(words, shape, strict=True))
            if not inside or number(node.get("Value", "")) is None:
                said = " ".join(f'{name}="{text}"' for name, text in node.items())
                return self.error(
                    f"<{tag}>: expected a node of the grid with a number, found {said}", tag, row
                )
        return self.error(f"<{tag}>: expected nodes of the grid with numbers", tag)


def number(text: str) -> float | None:
    """A number; None if it is none, or beyond all that such files say."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if abs(value) < HUGE and "_" not in text else None


def read_whole(path: str) -> bytes:
    """A file, with errors of ours."""
    try:
        return read_bytes(path)
    except FileNotFoundError:
        raise MissingFileError(f"{path}: there is no such file") from None
    except IsADirectoryError:
        raise FileFormatError("this is a folder, a file was expected", path=path) from None
    except OSError as problem:
        raise FileAccessError(f"{path}: {problem.strerror}") from None
