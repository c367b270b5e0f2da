"""Folders as IMOD and CTFFIND leave them: the way back of the importer.

https://bio3d.colorado.edu/imod/doc/man/tiltalign.html (``.xf``, ``.tlt``),
https://bio3d.colorado.edu/imod/doc/man/tilt.html and newstack.html (command files).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tomoset import geometry, star
from tomoset.errors import UnsupportedError
from tomoset.formats._importing import depth_hand, dose_of, larger_first
from tomoset.formats.imod.commands import format_list
from tomoset.images.mrc import stack_path
from tomoset.model import Tomogram

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class ImodFolder:
    """What a folder of IMOD says of one tilt series. Views are in the order of the stack.

    Parameters
    ----------
    tomogram : Tomogram
        Aligned, its images in a stack.
    name : str
        IMOD's name of the data set: how all files begin.
    stack : str
        Path of the stack, from the folder.
    xf : (n, 2, 3) array
        Rows A11 A12 DX and A21 A22 DY [px], from raw to aligned images about their middles.
    tilts, x_tilts : (n,) arrays
        [deg]
    """

    tomogram: Tomogram
    name: str
    stack: str
    xf: Array
    tilts: Array
    x_tilts: Array

    @classmethod
    def of(cls, tomogram: Tomogram, name: str, folder: str) -> ImodFolder:
        """The files of a tomogram whose folder is this one.

        Raises
        ------
        UnsupportedError
            If something that IMOD's files need is not known, or cannot be said there.
        """
        t = tomogram.placed()
        if t.projections is None or t.size is None or t.image_size is None:
            raise UnsupportedError(
                f"tomogram {t.name!r}: transforms of IMOD need an alignment, and the sizes of "
                "tomogram and tilt images"
            )
        every = t.image_index is None or np.array_equal(t.image_index, np.arange(t.n_tilts))
        if t.stack is None or not every:
            raise UnsupportedError(
                f"tomogram {t.name!r} has no stack with an image a row, and IMOD reads nothing else"
            )
        volume = geometry.ImodVolume(aligned_size=t.size[:2], thickness=t.size[2])
        xf, tilts, x_tilts = geometry.imod_parameters(
            t.projections, volume=volume, raw_size=t.image_size
        )
        return cls(
            tomogram=t.with_depth_origin(np.asarray(t.size) / 2 - 1),
            name=name,
            stack=os.path.relpath(stack_path(t.stack), folder),
            xf=xf,
            tilts=tilts,
            x_tilts=x_tilts,
        )

    @property
    def hand(self) -> int:
        """The hand that an import has to be told: of depth as IMOD counts it."""
        volume = geometry.ImodVolume(aligned_size=(1, 1), thickness=1)
        read = geometry.imod_projections(
            None, self.tilts, self.x_tilts, volume=volume, raw_size=(1, 1)
        )
        return depth_hand(self.tomogram, read)

    @property
    def nominal(self) -> Array:
        """Angles by which views are told apart [deg]."""
        given = self.tomogram.nominal_tilts
        return self.tilts.round(2) if given is None else given

    @property
    def excluded(self) -> list[int]:
        """Views, from 0, that show nothing: the scale of their CTF is 0."""
        scale = self.tomogram.ctf_scale
        return [] if scale is None else np.flatnonzero(scale == 0).tolist()

    @property
    def turned(self) -> bool:
        """Whether views are turned about x as well."""
        return bool((np.abs(self.x_tilts) > _NO_TURN).any())

    def texts(self) -> dict[str, str]:
        """The files, by name: those of IMOD, a table as of CTFFIND 4, the order of acquisition."""
        name, t = self.name, self.tomogram
        files = {
            f"{name}.xf": _transforms(self.xf),
            f"{name}.tlt": _lines(f"{angle + 0.0:.6f}" for angle in self.tilts.round(6)),
            f"{name}.rawtlt": _lines(f"{angle:.2f}" for angle in self.nominal),
            "newst.com": _newst(self),
            "tilt.com": _tilt(self),
        }
        if self.turned:
            files[f"{name}.xtilt"] = _lines(f"{angle:.6f}" for angle in self.x_tilts)
        if t.defocus_u is not None and t.defocus_v is not None:
            files[f"{name}_ctf.txt"] = _ctf(self, t.defocus_u, t.defocus_v)
        if t.pre_exposure is not None:
            files[f"{name}_order.csv"] = _order(self, t.acquisition_order)
        return files


#: Turns about x of less are those of rounded numbers [deg].
_NO_TURN = 5e-7


def import_table(folder: str, names: Sequence[str], tomograms: Iterable[Tomogram]) -> star.StarFile:
    """RELION's import table of folders, one a tilt series; its paths start where ours do.

    Parameters
    ----------
    folder : str
        Which holds them all.
    names : sequence of str
        Of the folders, and of the data sets in them.
    tomograms : iterable of Tomogram
        In the same order.
    """
    every = list(zip(names, tomograms, strict=True))
    folders = [os.path.join(folder, name) for name in names]
    columns = {
        "rlnTomoName": [t.name for _, t in every],
        "rlnTomoTiltSeriesName": [stack_path(t.stack or "") for _, t in every],
        "rlnTomoImportImodDir": folders,
        "rlnTomoImportCulledFile": [os.path.join(folder, "culled", f"{n}.mrc") for n in names],
    }
    if all(t.defocus_u is not None for _, t in every):
        tables = [f"{path}/{name}_ctf.txt" for path, name in zip(folders, names, strict=True)]
        columns["rlnTomoImportCtfFindFile"] = tables
    if all(t.pre_exposure is not None for _, t in every):
        lists = [f"{path}/{name}_order.csv" for path, name in zip(folders, names, strict=True)]
        columns["rlnTomoImportOrderList"] = lists
    doses = [dose_of(t) for _, t in every]
    if None not in doses:
        columns["rlnTomoImportFractionalDose"] = [star.format_number(d) for d in doses if d]
    return star.StarFile((star.Table("", columns),))


def _lines(lines: Iterable[str]) -> str:
    return "".join(line + "\n" for line in lines)


def _transforms(xf: Array) -> str:
    matrix = xf[:, :, :2].reshape(-1, 4)
    return _lines(
        "".join(f"{value:12.7f}" for value in a) + "".join(f"{value:12.4f}" for value in d)
        for a, d in zip(matrix, xf[:, :, 2], strict=True)
    )


def _order(series: ImodFolder, order: npt.NDArray[np.int64]) -> str:
    return _lines(f"{i},{round(angle, 2)}" for i, angle in enumerate(series.nominal[order], 1))


def _newst(series: ImodFolder) -> str:
    width, height, _ = series.tomogram.size or (0, 0, 0)
    return f"""\
# THIS IS A COMMAND FILE TO RUN NEWSTACK
#
####CreatedVersion#### 4.11.24
#
$setenv IMOD_OUTPUT_FORMAT MRC
$newstack -StandardInput
AntialiasFilter	-1
InputFile	{series.stack}
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
    width, height, thickness = series.tomogram.size or (0, 0, 0)
    turned = f"XTILTFILE {series.name}.xtilt\n" if series.turned else ""
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
THICKNESS {thickness}
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
{turned}{excluded}$if (-e ./savework) ./savework
"""


def _ctf(series: ImodFolder, u: Array, v: Array) -> str:
    t, zeros = series.tomogram, np.zeros(len(u))
    angles = zeros if t.defocus_angle is None else t.defocus_angle
    u, v, angles = larger_first(u, v, angles)
    shifts = zeros if t.phase_shift is None else np.deg2rad(t.phase_shift)
    of, pixel_size = t.optics, t.optics.pixel_size or 0.0
    return f"""\
# Output as of CTFFind version 4.1.14, written by tomoset
# Input file: {series.stack} ; Number of micrographs: {len(u)}
# Pixel size: {pixel_size:.3f} Angstroms ; acceleration voltage: {of.voltage:.1f} keV ; \
spherical aberration: {of.spherical_aberration:.2f} mm ; amplitude contrast: \
{of.amplitude_contrast:.2f}
# Box size: 512 pixels ; min. res.: 30.0 Angstroms ; max. res.: 5.0 Angstroms ; \
min. def.: 5000.0 um; max. def. 50000.0 um
# Columns: #1 - micrograph number; #2 - defocus 1 [Angstroms]; #3 - defocus 2; \
#4 - azimuth of astigmatism; #5 - additional phase shift [radians]; #6 - cross correlation; \
#7 - spacing (in Angstroms) up to which CTF rings were fit successfully
""" + _lines(
        f"{view:.6f} {u:.6f} {v:.6f} {angle:.6f} {shift:.6f} 0.100000 12.000000"
        for view, (u, v, angle, shift) in enumerate(zip(u, v, angles, shifts, strict=True), 1)
    )
