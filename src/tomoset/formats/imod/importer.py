"""From IMOD's alignment of a tilt series to a tomogram.

docs/relion.md, 'relion_tomo_import_tomograms'; ``docs/differences.md`` lists where RELION 4.0.1
does otherwise.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from tomoset.errors import (
    AssumptionWarning,
    FileFormatError,
    MissingFieldError,
    MissingFileError,
    ModelError,
    UnsupportedError,
)
from tomoset.formats import _dose as dose
from tomoset.formats._ctf_tables import kind_of, read_defocus
from tomoset.formats._ctffind import DefocusTable
from tomoset.formats._importing import pixel_size_of, to_axis
from tomoset.formats._text_tables import read_angles
from tomoset.formats.imod.alignment import read_xf
from tomoset.formats.imod.commands import (
    NEWSTACK_OPTIONS,
    NEWSTACK_PROGRAMS,
    TILT_OPTIONS,
    TILT_PROGRAMS,
    CommandFile,
    Entry,
    excluded_views,
    parse_list,
    read_commands,
)
from tomoset.formats.imod.frame import volume_of
from tomoset.formats.imod.local import find_local, local_deformation
from tomoset.formats.imod.local_field import GlobalAlignment
from tomoset.formats.imod.local_file import LocalAlignment, read_z_factors
from tomoset.formats.imod.named import named_here, named_or_only
from tomoset.formats.imod.not_carried import say_what_is_not_carried
from tomoset.formats.imod.series import ImportOptions, Series
from tomoset.images.mrc import stack_path
from tomoset.images.stack import ImageHeader, join_images, read_header
from tomoset.model import Optics, Tomogram

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Imported:
    """A tomogram, and how many views its series has, of which some may be left out (from 0)."""

    tomogram: Tomogram
    n_views: int
    excluded: list[int]
    notes: Sequence[str] = ()


def import_series(series: Series, options: ImportOptions) -> Imported:
    """Import one tilt series; writes its culled stack if views are excluded.

    Parameters
    ----------
    series : Series
        Its files.
    options : ImportOptions
        What holds for all.

    Returns
    -------
    Imported
        The tomogram, aligned, with defocus and doses as far as the files tell them.

    Raises
    ------
    TomosetError
        If a file is missing, unreadable or contradicts another. Nothing is written then.
    """
    project = _Project.read(series, options)
    views = project.views
    ctf = _read_ctf(series, project)
    size = project.alignment.volume.size
    doses = _read_doses(series, project)
    deformation, notes = local_deformation(series, project.alignment, project.local)
    cull = bool(views.excluded) and options.cull
    tomogram = Tomogram(
        name=series.name,
        n_tilts=len(views.kept),
        optics=_optics(series, options, project.header),
        hand=options.hand,
        stack=series.stack,
        image_index=np.array(views.kept) if views.excluded and not cull else None,
        image_size=project.header.size,
        size=size,
        projections=project.alignment.projections(),
        deformation=deformation,
        fractional_dose=series.fractional_dose,
        depth_origin=np.asarray(size) / 2 - 1,
        nominal_tilts=project.raw,
        pre_exposure=doses,
        **({} if ctf is None else ctf.fields()),
    )
    if cull:  # last, so that a series that fails leaves no stack
        tomogram = replace(tomogram, stack=_cull(series, project))
    return Imported(tomogram=tomogram, n_views=views.n_views, excluded=views.excluded, notes=notes)


def _optics(series: Series, options: ImportOptions, header: ImageHeader) -> Optics:
    return Optics(
        pixel_size=pixel_size_of(options.pixel_size, header),
        voltage=options.voltage,
        spherical_aberration=options.spherical_aberration,
        amplitude_contrast=options.amplitude_contrast,
        group=series.optics_group,
    )


@dataclass(frozen=True, kw_only=True)
class _Project:
    """The alignment of one series, read and made consistent.

    `alignment`, `local` and `raw`, the nominal angles if there are any, are of the kept views;
    `nominal` are the angles by which the order of acquisition is looked up, of all views where the
    file has them.
    """

    header: ImageHeader
    views: _Views
    nominal: Array
    raw: Array | None
    tilts: Array
    alignment: GlobalAlignment
    local: LocalAlignment | None

    @classmethod
    def read(cls, series: Series, options: ImportOptions) -> _Project:
        header = read_header(series.stack)
        tilt = _commands(series.tilt, TILT_OPTIONS, TILT_PROGRAMS, series.folder)
        newst = _commands(series.newst, NEWSTACK_OPTIONS, NEWSTACK_PROGRAMS, series.folder)
        say_what_is_not_carried(tilt, newst)
        if series.tilt is None and series.excluded:
            tilt = _with_exclusions(tilt, series.excluded)
        views = _Views(series, header.n_images, excluded_views(tilt, header.n_images))
        _refuse_reordering(newst, header.n_images)
        tilts, nominal, raw = _tilt_angles(views, tilt)
        offsets = tilt.numbers("OFFSET", 1, 2) or (0.0,)
        volume = volume_of(tilt, newst, series, options, header)
        local = find_local(series.folder, tilt, header, options.pixel_size)
        return cls(
            header=header,
            views=views,
            nominal=nominal,
            raw=raw,
            tilts=tilts,
            alignment=GlobalAlignment(
                xf=_transforms(views, newst, options.axis),
                tilts=(-1.0 if options.flip_angles else 1.0) * (tilts + offsets[0]),
                x_tilts=_x_tilts(views, tilt),
                z_factors=_z_factors(views, tilt),
                volume=volume,
                raw_size=header.size,
            ),
            local=None if local is None else local.take(views.kept),
        )


def _refuse_reordering(newst: CommandFile, n_views: int) -> None:
    """Stop where the aligned stack has other images, or other transforms, than the raw one."""
    for option in ("SectionsToRead", "UseTransformLines"):
        value = newst.text(option)
        if value is None or value == "/":
            continue
        try:
            numbers = parse_list(value)
        except ValueError as problem:
            raise newst.error(option, f"{option}: {problem}") from None
        if numbers and numbers != list(range(n_views)):
            raise UnsupportedError(
                f"{newst.path}: {option} {value} picks or reorders images; import a stack and "
                f"transforms that have the same {n_views} views in the same order"
            )


class _Views:
    """Which views are kept, and tables cut to them."""

    def __init__(self, series: Series, n_views: int, excluded: list[int]) -> None:
        self.series, self.n_views, self.excluded = series, n_views, excluded
        out = set(excluded)
        self.kept = [view for view in range(n_views) if view not in out]

    def cut(self, table: Array, path: str) -> Array:
        """The kept views of a table that has all views, or only those."""
        if len(table) == self.n_views:
            return table[self.kept] if self.excluded else table
        if self.excluded and len(table) == len(self.kept):
            warnings.warn(
                f"{path} has {len(table)} lines, as many as views are kept of {self.n_views}: "
                "taken for the kept ones",
                AssumptionWarning,
                stacklevel=3,
            )
            return table
        kept = f", or the {len(self.kept)} that are kept" if self.excluded else ""
        raise FileFormatError(
            f"expected a line for each of the {self.n_views} images of {self.series.stack}{kept}; "
            f"found {len(table)}",
            path=path,
        )


def _commands(
    path: str | None, options: Sequence[str], programs: Sequence[str], folder: str
) -> CommandFile:
    """What a command file gives to its program.

    Raises
    ------
    FileFormatError
        If it is that of another program.
    """
    if path is None:
        return CommandFile(path=folder)
    commands = read_commands(path, options, programs)
    if commands.called is not None:
        raise FileFormatError(
            f"it runs {commands.called}; expected a command file of {programs[0]}", path=path
        )
    return commands


def _with_exclusions(tilt: CommandFile, views: str) -> CommandFile:
    return CommandFile(path=tilt.path, entries={**tilt.entries, "EXCLUDELIST2": [Entry(views, 0)]})


def _tilt_angles(views: _Views, tilt: CommandFile) -> tuple[Array, Array, Array | None]:
    """Aligned angles of the kept views, the nominal ones or else all, and the nominal kept ones."""
    path = _angle_file(views.series, tilt)
    angles = read_angles(path)
    if len(angles) > 1 and not angles.any():
        raise FileFormatError(
            "all tilt angles are 0; is this the file of the alignment?", path=path
        )
    tilts = views.cut(angles, path)
    if path.endswith(".rawtlt"):
        return tilts, angles, tilts
    raw = os.path.splitext(path)[0] + ".rawtlt"
    if not os.path.isfile(raw):
        return tilts, angles, None
    nominal = read_angles(raw)
    return tilts, nominal, views.cut(nominal, raw)


def _angle_file(series: Series, tilt: CommandFile) -> str:
    """The aligned angles; the nominal ones, said, where there are no others."""
    named = tilt.text("TILTFILE")
    path = series.tilt_angles or named_or_only(series, named, ".tlt")
    if path is not None:
        return path
    path = named_or_only(series, None, ".rawtlt")
    if path is None:
        raise MissingFileError(
            f"{series.folder}: no file of tilt angles: {named or '*.tlt or *.rawtlt'} is not "
            "there; say which file it is by --tlt"
        )
    warnings.warn(
        f"{path}: {'no *.tlt' if named is None else f'{named} is not'} there; the nominal angles "
        "are taken",
        AssumptionWarning,
        stacklevel=3,
    )
    return path


def _x_tilts(views: _Views, tilt: CommandFile) -> Array:
    """Turn of each kept view about x: XTILTFILE less XAXISTILT, as tilt.f90 has it."""
    section = tilt.number("XAXISTILT") or 0.0
    named = tilt.text("XTILTFILE")
    turn = np.zeros(len(views.kept))
    if named is not None or views.series.tilt is None:
        path = named_or_only(views.series, named, ".xtilt")
        if path is not None:
            turn = views.cut(read_angles(path), path)
        elif named is not None:
            raise MissingFileError(f"{tilt.path}: XTILTFILE {named} is not there")
    return turn - section


def _z_factors(views: _Views, tilt: CommandFile) -> Array | None:
    path = named_here(views.series.folder, tilt, "ZFACTORFILE", "Z factors")
    return None if path is None else views.cut(read_z_factors(path), path)


def _transforms(views: _Views, newst: CommandFile, axis: float | None) -> Array | None:
    """From raw images of the kept views to aligned ones; None where these are the same."""
    series = views.series
    turned = None if axis is None else to_axis(np.full(len(views.kept), axis))
    if series.aligned:
        return turned
    named = newst.text("TransformFile")
    if named is None:  # old command files answer questions line by line
        named = next((line for line in newst.positional if line.split()[0].endswith(".xf")), None)
        named = None if named is None else named.split()[0]
    path = named_or_only(series, named, ".xf")
    if path is None and turned is None:
        raise MissingFileError(
            f"{series.folder}: no file of transforms: {named or '*.xf'} is not there; if the "
            "images are aligned but for the tilt axis, say by --axis where it lies"
        )
    if path is not None and turned is not None:
        raise ModelError(
            f"--axis is for images without transforms, but {path} is there and says where the "
            "axis lies: leave --axis out"
        )
    return turned if path is None else views.cut(read_xf(path), path)


def _read_ctf(series: Series, project: _Project) -> DefocusTable | None:
    if not series.ctf:
        return None
    if series.ctf_kind is not None:
        kind = "imod" if kind_of(series.ctf[0]) == "imod" else "ctffind"
        if series.ctf_kind != kind:
            column = "CtfPlotterFile" if kind == "imod" else "CtfFindFile"
            raise FileFormatError(
                f"this is a table of {'ctfplotter' if kind == 'imod' else 'CTFFIND'}; the import "
                f"table should name it in rlnTomoImport{column}",
                path=series.ctf[0],
            )
    return read_defocus(
        series.ctf,
        project.views.n_views,
        kept=project.views.kept,
        tilts=project.tilts,
        stack=series.stack,
    )


def _read_doses(series: Series, project: _Project) -> Array | None:
    if series.order is None:
        return None
    if series.fractional_dose is None:
        raise MissingFieldError(
            "an order list is there but no dose of one image; give it by --fd or by a column "
            "rlnTomoImportFractionalDose",
            path=series.order,
        )
    if not series.fractional_dose > 0:
        raise ModelError(
            f"{series.name}: the dose of one image must be above 0 e/Å², not "
            f"{series.fractional_dose:g}"
        )
    order = dose.read_order(series.order)
    views = project.views
    if views.excluded and len(project.nominal) == len(views.kept):
        lines = dose.match_kept(project.nominal, views.kept, views.n_views, order)
    else:
        lines = dose.match_order(project.nominal, order)
        lines = lines[views.kept] if len(lines) == views.n_views else lines
    return lines.astype(np.float64) * series.fractional_dose


def _cull(series: Series, project: _Project) -> str:
    if series.culled is None:
        raise UnsupportedError(
            f"{series.name}: {len(project.views.excluded)} views are excluded, and the import "
            "table has no rlnTomoImportCulledFile for the stack without them; add it, or use "
            "--no-cull"
        )
    kept = [(series.stack, view) for view in project.views.kept]
    join_images(kept, stack_path(series.culled))
    return series.culled
