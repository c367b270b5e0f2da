"""Files as Warp writes them, small and with every part that is read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tests.builders.image_stacks import write_stack


def grid(tag: str, values: dict[tuple[int, int, int], float], margin: float = 0.0) -> str:
    """A grid of nodes (x, y, z)."""
    sides = [max(place[axis] for place in values) + 1 for axis in range(3)]
    size = " ".join(
        f'{name}="{side}"' for name, side in zip(("Width", "Height", "Depth"), sides, strict=True)
    )
    edges = f'MarginX="{margin}" MarginY="{margin}" MarginZ="0"'
    nodes = "".join(
        f'\t\t<Node X="{x}" Y="{y}" Z="{z}" Value="{value}" />\n'
        for (x, y, z), value in values.items()
    )
    return f"\t<{tag} {size} {edges}>\n{nodes}\t</{tag}>\n"


def each(tag: str, values: Sequence[float]) -> str:
    """A grid with a value for each tilt image."""
    return grid(tag, {(0, 0, z): value for z, value in enumerate(values)})


def series_xml(
    columns: dict[str, Sequence[object]] | None = None,
    attributes: dict[str, str] | None = None,
    grids: str = "",
    pixel_size: str = "2.0",
) -> str:
    """A tilt series of 5 images, 64 x 48 px, in a volume of 60 x 50 x 20 px."""
    said = {
        "DataDirectory": "tomostar",
        "AreAnglesInverted": "False",
        "LevelAngleX": "0",
        "LevelAngleY": "0",
        "MagnificationCorrection": "1, 0, 0, 1",
        "ImageDimensionsAngstrom": "128, 96",
        "VolumeDimensionsAngstrom": "120, 100, 40",
    } | (attributes or {})
    lists: dict[str, Sequence[object]] = {
        "Angles": (40, 20, 0, -20, -40),
        "Dose": (9, 6, 0, 3, 12),
        "UseTilt": ("True",) * 5,
        "AxisAngle": (85.5,) * 5,
        "AxisOffsetX": (3, 2, 1, -1, -2),
        "AxisOffsetY": (-4, -2, 0, 2, 4),
        "MoviePath": [f"../frames/TS_01_{row:03d}.tif" for row in range(5)],
    }
    lists |= columns or {}
    head = " ".join(f'{name}="{value}"' for name, value in said.items() if value)
    body = "".join(
        "\t<{0}>{1}</{0}>\n".format(tag, "\n".join(map(str, lines)))
        for tag, lines in lists.items()
        if lines
    )
    ctf = each("GridCTF", (2.0, 2.1, 2.2, 2.1, 2.0)) + each("GridCTFDefocusDelta", (0.1,) * 5)
    ctf += each("GridCTFDefocusAngle", (30.0,) * 5)
    return (
        f'<?xml version="1.0" encoding="utf-8"?>\n<TiltSeries {head}>\n{body}\t<CTF>\n'
        f'\t\t<Param Name="PixelSize" Value="{pixel_size}" />\n'
        '\t\t<Param Name="Voltage" Value="200.0" />\n\t\t<Param Name="Cs" Value="2.0" />\n'
        '\t\t<Param Name="Amplitude" Value="0.07" />\n'
        f"\t</CTF>\n{ctf}{grids}</TiltSeries>\n"
    )


def write_series(path: Path, text: str | None = None, encoding: str = "utf-8-sig") -> Path:
    """A file of a series."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes((series_xml() if text is None else text).encode(encoding))
    return path


def write_images(path: str, n: int) -> None:
    """A stack of images of such a series, in a folder that may not be there yet."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    write_stack(Path(path), n, (64, 48))
