"""Folders as IMOD and CTFFIND leave them: the way back of the importer.

https://bio3d.colorado.edu/imod/doc/man/tiltalign.html (``.xf``, ``.tlt``),
https://bio3d.colorado.edu/imod/doc/man/tilt.html and newstack.html (command files).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tomoset import star
from tomoset.errors import ModelError
from tomoset.files import atomic_write
from tomoset.formats.imod.commands import format_list
from tomoset.images.mrc import write_images

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class ImodFolder:
    """What a folder of IMOD says of one tilt series. Views are in the order of the stack.

    Parameters
    ----------
    name : str
        IMOD's name of the data set: how all files begin.
    images : (n, y, x) int16 or uint8 array
        The raw stack, counts.
    pixel_size : float
        [Å].
    aligned_size : (int, int)
        Width and height of the aligned stack [px].
    thickness : int
        THICKNESS of the tomogram [px].
    xf : (n, 2, 3) array
        Rows A11 A12 DX and A21 A22 DY [px], from raw to aligned images about their middles.
    tilts, nominal : (n,) arrays
        Refined angles and those of the stage [deg].
    rank : (n,) int array
        When each view was taken, from 0.
    defocus_u, defocus_v, defocus_angle : (n,) arrays
        [Å] and [deg].
    excluded : sequence of int
        Views, from 0, that the tomogram leaves out.
    """

    name: str
    images: npt.NDArray[np.int16] | npt.NDArray[np.uint8]
    pixel_size: float
    aligned_size: tuple[int, int]
    thickness: int
    xf: Array
    tilts: Array
    nominal: Array
    rank: npt.NDArray[np.int64]
    defocus_u: Array
    defocus_v: Array
    defocus_angle: Array
    excluded: Sequence[int] = ()

    def __post_init__(self) -> None:
        if self.images.ndim != 3 or self.images.dtype not in (np.int16, np.uint8):
            raise ModelError(
                "images must be an int16 or uint8 array (n, y, x), not "
                f"{self.images.dtype} {self.images.shape}"
            )
        n = len(self.images)
        if self.xf.shape != (n, 2, 3):
            raise ModelError(f"xf must have shape {(n, 2, 3)}, not {self.xf.shape}")
        per_view = ("tilts", "nominal", "rank", "defocus_u", "defocus_v", "defocus_angle")
        for field in per_view:
            if getattr(self, field).shape != (n,):
                raise ModelError(
                    f"{field} must have shape {(n,)}, not {getattr(self, field).shape}"
                )


def write_imod_folder(folder: str | os.PathLike[str], series: ImodFolder) -> None:
    """Write the files of one tilt series; those that are there already are replaced.

    ``NAME.mrc``, ``.xf``, ``.tlt``, ``.rawtlt``, ``newst.com`` and ``tilt.com`` of IMOD,
    ``NAME_ctf.txt`` of CTFFIND 4, and ``NAME_order.csv``, the order of acquisition.

    Parameters
    ----------
    folder : path-like
        Made when missing.
    series : ImodFolder
        Numbers are rounded as IMOD prints them: A to 7 decimals, shifts to 3, angles to 2.
    """
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    name = series.name
    label = f"tomoset: tilt series {name}"
    write_images(target / f"{name}.mrc", series.images, series.pixel_size, [label])
    texts = {
        f"{name}.xf": _transforms(series),
        f"{name}.tlt": _lines(f"{angle:7.2f}" for angle in series.tilts),
        f"{name}.rawtlt": _lines(f"{angle:.2f}" for angle in series.nominal),
        "newst.com": _newst(series),
        "tilt.com": _tilt(series),
        f"{name}_ctf.txt": _ctf(series),
        f"{name}_order.csv": _order(series),
    }
    for file, text in texts.items():
        with atomic_write(target / file, "w", encoding="ascii") as stream:
            stream.write(text)


def write_import_table(
    path: str | os.PathLike[str], names: Sequence[str], *, fractional_dose: float
) -> None:
    """Write RELION's import table of folders that lie beside it, one a tilt series.

    Parameters
    ----------
    path : path-like
        Such as ``tilt_series.star``. Paths in it start from its own folder, which is
        RELION's working folder, or --root.
    names : sequence of str
        Of the tilt series, their folders and their tomograms.
    fractional_dose : float
        Of one image [e/Å²].
    """
    columns = {
        "rlnTomoName": list(names),
        "rlnTomoTiltSeriesName": [f"{name}/{name}.mrc" for name in names],
        "rlnTomoImportCtfFindFile": [f"{name}/{name}_ctf.txt" for name in names],
        "rlnTomoImportImodDir": list(names),
        "rlnTomoImportOrderList": [f"{name}/{name}_order.csv" for name in names],
        "rlnTomoImportCulledFile": [f"culled/{name}.mrc" for name in names],
        "rlnTomoImportFractionalDose": [star.format_number(fractional_dose)] * len(names),
    }
    star.write([star.Table("", columns)], path)


def _lines(lines: Iterable[str]) -> str:
    return "".join(line + "\n" for line in lines)


def _transforms(series: ImodFolder) -> str:
    matrix = series.xf[:, :, :2].reshape(-1, 4)
    return _lines(
        "".join(f"{value:12.7f}" for value in a) + "".join(f"{value:12.3f}" for value in d)
        for a, d in zip(matrix, series.xf[:, :, 2], strict=True)
    )


def _order(series: ImodFolder) -> str:
    taken = series.nominal[np.argsort(series.rank)].tolist()
    return _lines(f"{i},{round(angle, 2)}" for i, angle in enumerate(taken, 1))


def _newst(series: ImodFolder) -> str:
    width, height = series.aligned_size
    return f"""\
# THIS IS A COMMAND FILE TO RUN NEWSTACK
#
####CreatedVersion#### 4.11.24
#
$setenv IMOD_OUTPUT_FORMAT MRC
$newstack -StandardInput
AntialiasFilter	-1
InputFile	{series.name}.mrc
OutputFile	{series.name}_ali.mrc
TransformFile	{series.name}.xf
TaperAtFill	1,1
AdjustOrigin
SizeToOutputInXandY	{width},{height}
OffsetsInXandY	0.0,0.0
#DistortionField	.idf
ImagesAreBinned	1.0
BinByFactor	1
#GradientFile	{series.name}.maggrad
$if (-e ./savework) ./savework
"""


def _tilt(series: ImodFolder) -> str:
    width, height = series.aligned_size
    excluded = f"EXCLUDELIST2 {format_list(series.excluded)}\n" if series.excluded else ""
    return f"""\
# Command file to run Tilt
#
####CreatedVersion#### 4.11.24
#
# RADIAL specifies the frequency at which the Gaussian low pass filter begins
#   followed by the standard deviation of the Gaussian roll-off
#
# LOG takes the logarithm of tilt data after adding the given value
#
$setenv IMOD_OUTPUT_FORMAT MRC
$tilt -StandardInput
InputProjections {series.name}_ali.mrc
OutputFile {series.name}_full_rec.mrc
IMAGEBINNED 1
TILTFILE {series.name}.tlt
THICKNESS {series.thickness}
RADIAL 0.35 0.035
FalloffIsTrueSigma 1
XAXISTILT 0.0
LOG 0.0
SCALE 0.0 250.0
PERPENDICULAR
MODE 2
FULLIMAGE {width} {height}
SUBSETSTART 0 0
AdjustOrigin
ActionIfGPUFails 1,2
OFFSET 0.0
SHIFT 0.0 0.0
{excluded}$if (-e ./savework) ./savework
"""


def _ctf(series: ImodFolder) -> str:
    table = zip(series.defocus_u, series.defocus_v, series.defocus_angle, strict=True)
    return f"""\
# Output as of CTFFind version 4.1.14, written by tomoset
# Input file: {series.name}.mrc ; Number of micrographs: {len(series.images)}
# Pixel size: {series.pixel_size:.3f} Angstroms ; acceleration voltage: 300.0 keV ; \
spherical aberration: 2.70 mm ; amplitude contrast: 0.10
# Box size: 512 pixels ; min. res.: 30.0 Angstroms ; max. res.: 5.0 Angstroms ; \
min. def.: 5000.0 um; max. def. 50000.0 um
# Columns: #1 - micrograph number; #2 - defocus 1 [Angstroms]; #3 - defocus 2; \
#4 - azimuth of astigmatism; #5 - additional phase shift [radians]; #6 - cross correlation; \
#7 - spacing (in Angstroms) up to which CTF rings were fit successfully
""" + _lines(
        f"{view:.6f} {u:.6f} {v:.6f} {angle:.6f} 0.000000 0.100000 12.000000"
        for view, (u, v, angle) in enumerate(table, 1)
    )
