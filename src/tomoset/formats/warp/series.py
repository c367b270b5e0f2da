"""What Warp's files say of one tilt series: ``.xml``, ``.tomostar`` and ``.settings``.

https://warpem.github.io/warp/. Warp's lengths are Å; its defocus is µm, its phase shift a multiple
of pi. Values per tilt image stand in the order of the file.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from tomoset import star
from tomoset.errors import MissingFieldError
from tomoset.formats.warp.document import HUGE, Document, decoded, number, read_whole
from tomoset.formats.warp.grids import Grid

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

#: Grids of which something is made, or said.
GRIDS = (
    *("GridCTF", "GridCTFDefocusDelta", "GridCTFDefocusAngle", "GridCTFPhase"),
    *("GridMovementX", "GridMovementY", "GridAngleX", "GridAngleY", "GridAngleZ"),
    *("GridDoseWeights", "GridDoseBfacs"),
)


@dataclass(frozen=True, kw_only=True, eq=False)
class WarpSeries:
    """One tilt series as Warp says it.

    Parameters
    ----------
    path : str
        Its file.
    angles, axis : (n,) arrays
        Tilts, of Warp's sign; direction of the tilt axis [deg].
    offsets : (n, 2) array or None
        Of the tilt axis in the images, x and y [Å]; None: it is not aligned.
    dose : (n,) array or None
        [e/Å²]
    use : (n,) bool array
        UseTilt.
    movies : tuple of str or None
        As the file names them.
    level : (float, float)
        LevelAngleX and LevelAngleY [deg].
    inverted : bool
        AreAnglesInverted.
    image, volume : tuple of float or None
        Sizes [Å].
    magnification : tuple of float
        MagnificationCorrection: 4 values of a matrix, or 3 in files of Warp 1.
    grids : mapping of str to Grid
        By their names in the file.
    volume_warp : (array, array, array) or None
        Movement in 3D [Å], as `VolumeMotion` has it; None where there is none.
    ctf, processing : mapping of str to str
        Parameters of the CTF, and of the processing it comes from.
    data : str
        The folder that the names of movies start from.
    """

    path: str
    angles: Array
    axis: Array
    offsets: Array | None = None
    dose: Array | None = None
    use: Mask
    movies: tuple[str, ...] | None = None
    level: tuple[float, float] = (0.0, 0.0)
    inverted: bool = False
    image: tuple[float, ...] | None = None
    volume: tuple[float, ...] | None = None
    magnification: tuple[float, ...] = (1.0, 0.0, 0.0, 1.0)
    grids: Mapping[str, Grid] = field(default_factory=dict)
    volume_warp: tuple[Array, Array, Array] | None = None
    ctf: Mapping[str, str] = field(default_factory=dict)
    processing: Mapping[str, str] = field(default_factory=dict)
    data: str = ""

    @property
    def name(self) -> str:
        """Of the series: its file's."""
        return os.path.splitext(os.path.basename(self.path))[0]

    @property
    def is_warp1(self) -> bool:
        """Whether Warp 1 wrote it."""
        return len(self.magnification) == 3


def read_xml(path: str) -> WarpSeries:
    """A tilt series of Warp or M.

    Raises
    ------
    FileFormatError
        If it is damaged, or has other numbers of values than of tilts.
    """
    document = Document(path, "TiltSeries")
    angles = document.numbers("Angles")
    if angles is None:
        raise MissingFieldError("it has no <Angles>, so no tilt images", path=path)
    n = len(angles)
    _check_angles(document, angles)
    columns = {tag: _column(document, tag, n) for tag in ("AxisAngle", "Dose")}
    x, y = (_column(document, tag, n) for tag in ("AxisOffsetX", "AxisOffsetY"))
    zeros = np.zeros(n)
    offsets = (
        None if x is None and y is None else (zeros if x is None else x, zeros if y is None else y)
    )
    movies = document.lines("MoviePath")
    if movies is not None and len(movies) != n:
        raise document.error(_other_count("MoviePath", len(movies), n), "MoviePath")
    grids = {tag: grid for tag in GRIDS if (grid := document.grid(tag)) is not None}
    level = [document.attribute_numbers(f"LevelAngle{axis}", 1) or (0.0,) for axis in "XY"]
    return WarpSeries(
        path=path,
        angles=angles,
        axis=zeros if columns["AxisAngle"] is None else columns["AxisAngle"],
        offsets=None if offsets is None else np.stack(offsets, axis=1),
        dose=columns["Dose"],
        use=_use(document, n),
        movies=None if movies is None else tuple(movies),
        level=(level[0][0], level[1][0]),
        inverted=document.attribute_true("AreAnglesInverted"),
        image=_sizes(document, "ImageDimensionsAngstrom", 2),
        volume=_sizes(document, "VolumeDimensionsAngstrom", 3),
        magnification=document.attribute_numbers("MagnificationCorrection", 3, 4)
        or (1.0, 0.0, 0.0, 1.0),
        grids=grids,
        volume_warp=_volume_warp(document),
        ctf=document.parameters("CTF"),
        processing=document.parameters("OptionsCTF"),
        data=document.attribute("DataDirectory") or "",
    )


def _volume_warp(document: Document) -> tuple[Array, Array, Array] | None:
    x, y, z = (document.volume_grid(f"GridVolumeWarp{axis}") for axis in "XYZ")
    return (x, y, z) if any(grid.any() for grid in (x, y, z)) else None


def _check_angles(document: Document, angles: Array) -> None:
    wild = np.flatnonzero(np.abs(angles) > 180)
    if len(wild):
        row = int(wild[0])
        raise document.error(
            f"<Angles>: {angles[row]:g}° found, expected one within ±180°", "Angles", row
        )


def _column(document: Document, tag: str, n: int) -> Array | None:
    values = document.numbers(tag)
    if values is not None and len(values) != n:
        raise document.error(_other_count(tag, len(values), n), tag)
    return values


def _other_count(tag: str, found: int, n: int) -> str:
    return (
        f"<{tag}> has {found} lines, but <Angles> has {n}: they must have one for each tilt image"
    )


def _use(document: Document, n: int) -> Mask:
    lines = document.lines("UseTilt")
    if lines is None:
        return np.ones(n, np.bool_)
    if len(lines) != n:
        raise document.error(_other_count("UseTilt", len(lines), n), "UseTilt")
    for row, line in enumerate(lines):
        if line.lower() not in ("true", "false"):
            raise document.error(
                f"<UseTilt>: expected True or False, found {line!r}", "UseTilt", row
            )
    return np.array([line.lower() == "true" for line in lines])


def _sizes(document: Document, name: str, count: int) -> tuple[float, ...] | None:
    """Sizes in Å; None where Warp writes none, as 0, or 1 Å for a depth that it does not know."""
    sizes = document.attribute_numbers(name, count)
    return None if sizes is None or min(sizes) <= 1 else sizes


def read_tomostar(path: str) -> WarpSeries:
    """A series before Warp has processed it.

    Raises
    ------
    FileFormatError
        If it is no such table.
    """
    raw = read_whole(path)
    if raw[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raw = decoded(raw, path).encode()
    tables = star.loads(raw, path).tables
    table = next((t for t in tables if "wrpAngleTilt" in t), None)
    if table is None or not len(table):
        raise MissingFieldError(
            "expected a table with a column wrpAngleTilt and a row for each tilt image", path=path
        )
    offsets = ("wrpAxisOffsetX", "wrpAxisOffsetY")
    angles = table.floats("wrpAngleTilt")
    wild = np.flatnonzero(~(np.abs(angles) <= 180))
    if len(wild):
        raise table.error("expected a tilt within ±180°", row=int(wild[0]), label="wrpAngleTilt")
    for label in ("wrpAxisAngle", "wrpDose", *offsets):
        values = table.floats(label) if label in table else np.zeros(0)
        if not (np.abs(values) < HUGE).all():
            row = int(np.argmin(np.abs(values) < HUGE))
            raise table.error("expected a number", row=row, label=label)
    return WarpSeries(
        path=path,
        angles=angles,
        axis=table.floats("wrpAxisAngle") if "wrpAxisAngle" in table else np.zeros(len(table)),
        offsets=np.stack([table.floats(label) for label in offsets], axis=1)
        if all(label in table for label in offsets)
        else None,
        dose=table.floats("wrpDose") if "wrpDose" in table else None,
        use=np.ones(len(table), np.bool_),
        movies=tuple(table["wrpMovieName"]) if "wrpMovieName" in table else None,
        data=os.path.dirname(path),
    )


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a ``.settings`` file says of all series.

    Parameters
    ----------
    path : str
    pixel_size : float or None
        After binning [Å].
    volume : tuple of float or None
        Size of the tomograms [Å].
    processing, data : str
        Folders of the results and of the ``.tomostar`` files, from that of the file.
    """

    path: str
    pixel_size: float | None
    volume: tuple[float, ...] | None
    processing: str
    data: str


def read_settings(path: str) -> Settings:
    """Settings of tilt series.

    Raises
    ------
    FileFormatError
        If it is damaged, or the settings are of something else.
    """
    document = Document(path, "Settings")
    given, tomo = document.parameters("Import"), document.parameters("Tomo")
    unbinned = number(given.get("PixelSize", ""))
    binning = number(given.get("BinTimes", "0")) or 0.0
    if unbinned is None or not 0 < unbinned < 1e6 or not -10 < binning < 10:
        raise document.error("expected a PixelSize above 0 and a BinTimes in <Import>", "Import")
    sides = [number(tomo.get(f"Dimensions{axis}", "")) for axis in "XYZ"]
    known = [side * unbinned for side in sides if side is not None and side > 1]
    folder = os.path.dirname(path)
    names = {
        "processing": given.get("ProcessingFolder") or given.get("DataFolder") or "",
        "data": given.get("DataFolder") or "",
    }
    return Settings(
        path=path,
        pixel_size=unbinned * 2**binning,
        volume=tuple(known) if len(known) == 3 else None,
        **{what: os.path.join(folder, name) for what, name in names.items()},
    )
