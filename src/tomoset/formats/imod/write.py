"""Folders as IMOD and CTFFIND leave them: the way back of the importer.

https://bio3d.colorado.edu/imod/doc/man/tiltalign.html (``.xf``, ``.tlt``),
https://bio3d.colorado.edu/imod/doc/man/tilt.html and newstack.html (command files).
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from tomoset import geometry, star
from tomoset.errors import UnsupportedError
from tomoset.formats._ctf_tables import defocus_of
from tomoset.formats._ctffind import ctffind_text
from tomoset.formats._ctfplotter import ctfplotter_text
from tomoset.formats._importing import depth_hand, dose_of
from tomoset.formats._nearest import refuse_lacking
from tomoset.formats.imod.commands import format_list
from tomoset.formats.imod.local_field import Field, GlobalAlignment
from tomoset.formats.imod.local_file import LocalAlignment, transform_lines
from tomoset.formats.imod.local_write import local_alignment
from tomoset.images.mrc import stack_path
from tomoset.model import Tomogram

Array = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Bent:
    """How far local alignments are from a deformation, at most in each image [px].

    Parameters
    ----------
    middle, ends : (n,) arrays
        As `tilt` has them, in the middle of the tomogram and at its ends in depth.
    again : (n,) array
        As they are read again, anywhere.
    """

    middle: Array
    ends: Array
    again: Array

    @property
    def most(self) -> Array:
        """Of all three."""
        return np.maximum(np.maximum(self.middle, self.ends), self.again)


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

    @property
    def alignment(self) -> GlobalAlignment:
        """The global one, as it is read again."""
        t = self.tomogram
        return GlobalAlignment(
            xf=self.xf,
            tilts=self.tilts,
            x_tilts=self.x_tilts,
            z_factors=None,
            volume=_volume(t),
            raw_size=t.need_image_size(),
        )

    @functools.cached_property
    def local(self) -> LocalAlignment | None:
        """What stands for a deformation."""
        deformation = self.tomogram.deformation
        if deformation is None or not deformation.coefficients.any():
            return None
        return local_alignment(self.alignment, deformation, self.tomogram.optics.pixel_size or 0.0)

    @functools.cached_property
    def bent(self) -> Bent:
        """How far what stands for the deformation is from it."""
        t, local = self.tomogram, self.local
        if t.deformation is None or local is None:
            return Bent(
                middle=np.zeros(t.n_tilts), ends=np.zeros(t.n_tilts), again=np.zeros(t.n_tilts)
            )
        field = Field(self.alignment, local)
        middle, *ends = (field.apart(t.deformation, *field.seen(d)) for d in field.depths)
        sides = [np.linspace(0, side - 1, 9) for side in t.need_size()]
        points = np.stack(np.meshgrid(*sides), axis=-1).reshape(-1, 3)
        straight = replace(t, deformation=None).project(points)
        within = (straight >= 0) & (straight <= np.subtract(t.need_image_size(), 1))
        read = replace(t, deformation=field.spline().deformation)
        again = np.linalg.norm(t.project(points) - read.project(points), axis=-1)
        return Bent(
            middle=_most(middle),
            ends=np.maximum(*map(_most, ends)),
            again=_most(np.where(within.all(axis=-1), again, np.nan)),
        )

    @classmethod
    def of(cls, tomogram: Tomogram, name: str, folder: str) -> ImodFolder:
        """The files of a tomogram whose folder is this one.

        Raises
        ------
        UnsupportedError
            If something that IMOD's files need is not known, or cannot be said there.
        """
        t = tomogram.placed()
        refuse_lacking(t, "IMOD")
        every = t.image_index is None or np.array_equal(t.image_index, np.arange(t.n_tilts))
        if t.stack is None or not every:
            raise UnsupportedError(
                f"tomogram {t.name!r} has no stack with an image a row, and IMOD reads nothing else"
            )
        xf, tilts, x_tilts = geometry.imod_parameters(
            t.need_projections(), volume=_volume(t), raw_size=t.need_image_size()
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
    def places(self) -> Ints:
        """Of images in the order of acquisition, from 0, with gaps where images are not there."""
        t, dose = self.tomogram, dose_of(self.tomogram)
        if dose and t.pre_exposure is not None:
            places = np.rint(t.pre_exposure / dose).astype(np.int64)
            if len(set(places.tolist())) == t.n_tilts and places.max() < _MANY:
                return places
        return np.argsort(t.acquisition_order)

    @property
    def keeps_doses(self) -> bool:
        """Whether the order of acquisition and the dose of an image say all doses."""
        before = self.tomogram.pre_exposure
        if before is None:
            return True
        said = self.places * (dose_of(self.tomogram) or 0.0)
        return np.allclose(before, said, rtol=0, atol=1e-6)

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
        """By name: the files of IMOD, a table as of CTFFIND 4, the order of acquisition."""
        name, t = self.name, self.tomogram
        files = {
            f"{name}.xf": transform_lines(self.xf),
            f"{name}.tlt": _lines(f"{angle + 0.0:.6f}" for angle in self.tilts.round(6)),
            f"{name}.rawtlt": _lines(f"{angle:.2f}" for angle in self.nominal),
            "newst.com": _newst(self),
            "tilt.com": _tilt(self),
        }
        if self.turned:
            files[f"{name}.xtilt"] = _lines(f"{angle:.6f}" for angle in self.x_tilts)
        if self.local is not None:
            files[f"{name}local.xf"] = self.local.text()
        if (table := defocus_of(t)) is not None:
            files[f"{name}_ctf.txt"] = ctffind_text(table, t.optics, self.stack)
            files[f"{name}.defocus"] = ctfplotter_text(table, self.tilts)
        if t.pre_exposure is not None:
            files[f"{name}_order.csv"] = _order(self, self.places)
        return files


def _most(off: Array) -> Array:
    """The largest in each image, of those that are known: (n, m) to (n,)."""
    return np.asarray(np.where(np.isfinite(off), off, 0.0).max(axis=1, initial=0.0))


#: What stands for the angle of an image that is not there [deg]; and more images than there are.
_NO_ANGLE, _MANY = 180.0, 100_000
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


def _volume(t: Tomogram) -> geometry.ImodVolume:
    """The tomogram as a folder is imported."""
    width, height, depth = t.need_size()
    return geometry.ImodVolume(aligned_size=(width, height), thickness=depth)


def _order(series: ImodFolder, places: Ints) -> str:
    """A line for each image that was taken; of those that are not there the angle is none."""
    angles = np.full(places.max() + 1, _NO_ANGLE)
    angles[places] = series.nominal.round(2) + 0.0
    return _lines(f"{i},{angle}" for i, angle in enumerate(angles.tolist(), 1))


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
    local = f"LOCALFILE {series.name}local.xf\n" if series.local is not None else ""
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
{turned}{local}{excluded}$if (-e ./savework) ./savework
"""
