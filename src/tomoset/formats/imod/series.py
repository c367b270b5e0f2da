"""What is to be imported: options for all, and the files of each tilt series."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tomoset import star
from tomoset.errors import AssumptionWarning, MissingFieldError
from tomoset.files import file_name
from tomoset.formats._words import Failure, part
from tomoset.images.mrc import stack_path

#: Texts that mean nothing in a column of paths or names.
_NOTHING = ("", "empty", "None")


@dataclass(frozen=True, kw_only=True)
class ImportOptions:
    """What holds for all tilt series of an import; names in brackets are RELION's.

    Parameters
    ----------
    pixel_size : float, optional
        Of the raw images [Å] (--angpix); None: as the stack's header says.
    hand : int
        Sign of defocus against depth (--hand).
    voltage, spherical_aberration, amplitude_contrast : float
        kV, mm, fraction (--voltage, --Cs, --Q0).
    order_list, fractional_dose : optional
        For series that bring none of their own (--ol, --fd) [e/Å²].
    newst, tilt : str, optional
        Names of the command files (--nc, --tc).
    thickness : float, optional
        Instead of THICKNESS (--thick) [px].
    offset : (float, float, float)
        --offx, --offy, --offz [px].
    flip_yz, flip_z, flip_angles : bool
        Orientation of the tomogram; sign of the tilts (--flipYZ, --flipZ, --flipAng).
    aligned, aligned_size : bool
        The stack is the aligned one; its size from newst.com (--ali, --ali_size).
    exact_depth : bool
        IMOD's own slice centres instead of RELION's frame.
    root : str
        Folder before every path of the import table (--root).
    stack, ctf, order : str, optional
        What the user decides where a folder leaves a choice: patterns of file names, as in
        ``*_raw.mrc`` (--stack, --ctf, --order).
    tilt_angles : str, optional
        Likewise the file of tilt angles (--tlt).
    axis : float, optional
        Direction of the tilt axis in the images, counter-clockwise from y (--axis) [deg]: what
        stands for transforms where there are none.
    optics_group : str
        Name of the optics group of all folders.
    cull : bool
        Write stacks without the excluded views; else keep the stacks and say which image
        each row means.
    """

    pixel_size: float | None = None
    hand: int = -1
    voltage: float = 300.0
    spherical_aberration: float = 2.7
    amplitude_contrast: float = 0.1
    order_list: str | None = None
    fractional_dose: float | None = None
    newst: str | None = None
    tilt: str | None = None
    thickness: float | None = None
    offset: tuple[float, float, float] = (0.0, 0.0, 0.0)
    flip_yz: bool = False
    flip_z: bool = False
    flip_angles: bool = False
    aligned: bool = False
    aligned_size: bool = False
    exact_depth: bool = False
    root: str = ""
    stack: str | None = None
    ctf: str | None = None
    order: str | None = None
    tilt_angles: str | None = None
    axis: float | None = None
    optics_group: str = "opticsGroup1"
    cull: bool = True


@dataclass(frozen=True, kw_only=True)
class Series:
    """The files of one tilt series, as the user has it.

    Parameters
    ----------
    name : str
        Of the tomogram.
    stack : str
        Path of the raw images as it shall stand in the set (``:mrc`` allowed).
    folder : str
        IMOD's folder.
    newst, tilt : str or None
        Paths of the command files; None: there are none, and the files of the alignment
        are found by their endings.
    ctf : tuple of str
        Table of defocus, or one for each image; its kind is seen from its content, and compared
        with `ctf_kind`.
    ctf_kind : {"imod", "ctffind", None}
        What the import table says `ctf` is.
    order : str or None
        Order list.
    fractional_dose : float or None
        Dose of one image [e/Å²].
    optics_group : str
        Name of the optics group.
    offset : (float, float, float)
        Further move, x, y, z [px].
    culled : str or None
        Where a stack without the excluded views goes.
    dataset : str or None
        IMOD's name of the data set, where no command file names the files.
    excluded : str
        Views excluded by the project file of etomo, where there is no tilt.com.
    tilt_angles : str or None
        File of tilt angles that stands for the one that tilt.com names.
    aligned : bool
        The stack is the aligned one.
    """

    name: str
    stack: str
    folder: str
    newst: str | None = None
    tilt: str | None = None
    ctf: tuple[str, ...] = ()
    ctf_kind: str | None = None
    order: str | None = None
    fractional_dose: float | None = None
    optics_group: str = "opticsGroup1"
    offset: tuple[float, float, float] = (0.0, 0.0, 0.0)
    culled: str | None = None
    dataset: str | None = None
    excluded: str = ""
    tilt_angles: str | None = None
    aligned: bool = False


def read_import_table(
    path: str | os.PathLike[str], options: ImportOptions, failures: list[Failure]
) -> list[Series]:
    """The series of RELION's import table (docs/relion.md, 'Import table').

    Rows that cannot be read are left out, and added to `failures`.

    Raises
    ------
    MissingFieldError
        If a column that nothing else stands for is missing.
    """
    text = star.read(path)
    table = text.first
    for label in ("rlnTomoTiltSeriesName", "rlnTomoImportImodDir"):
        if label not in table:
            raise MissingFieldError(
                f"an import table needs a column {label}, found {', '.join(table.labels)}",
                path=text.path,
            )
    if "rlnTomoImportCtfFindFile" in table and "rlnTomoImportCtfPlotterFile" in table:
        raise table.error(
            "both rlnTomoImportCtfFindFile and rlnTomoImportCtfPlotterFile are there; keep one"
        )
    if not len(table):
        raise table.error("expected a row for each tilt series, found none; is the file whole?")
    series: list[Series] = []
    for i in range(len(table)):
        row = _Row(table, i, options)
        with part(failures, row.name):
            series.append(row.series())
    return series


class _Row:
    """One row of the import table, with the options as what it does not say."""

    def __init__(self, table: star.Table, row: int, options: ImportOptions) -> None:
        self.table, self.row, self.options = table, row, options

    @property
    def name(self) -> str:
        """What the row is called where no more is known of it."""
        return self.text("rlnTomoName") or self.text("rlnTomoTiltSeriesName") or "a row"

    def text(self, label: str) -> str | None:
        if label not in self.table:
            return None
        value = self.table[label][self.row]
        return None if value in _NOTHING else value

    def number(self, label: str, default: float | None) -> float | None:
        text = self.text(label)
        if text is None:
            return default
        try:
            value = float(text)
            if not math.isfinite(value):
                raise ValueError
            return value
        except ValueError:
            raise self.table.error(
                f"expected a number, found {text!r}", row=self.row, label=label
            ) from None

    def path(self, label: str) -> str | None:
        text = self.text(label)
        return None if text is None else under_root(self.options.root, text)

    def required(self, label: str) -> str:
        text = self.text(label)
        if text is None:
            raise self.table.error("expected a path, found nothing", row=self.row, label=label)
        return text

    def series(self) -> Series:
        stack = under_root(self.options.root, self.required("rlnTomoTiltSeriesName"))
        folder = under_root(self.options.root, self.required("rlnTomoImportImodDir"))
        plotter = self.path("rlnTomoImportCtfPlotterFile")
        ctf = self.path("rlnTomoImportCtfFindFile") or plotter
        common = self.options.offset
        offset = tuple(
            self.number(f"rlnTomoImportOffset{axis}", common[i]) or 0.0
            for i, axis in enumerate("XYZ")
        )
        order = self.path("rlnTomoImportOrderList") or self.options.order_list
        culled = self.text("rlnTomoImportCulledFile")
        return Series(
            name=self.text("rlnTomoName") or os.path.splitext(stack_path(stack))[0],
            stack=stack,
            folder=folder,
            newst=os.path.join(folder, self.options.newst or "newst.com"),
            tilt=os.path.join(folder, self.options.tilt or "tilt.com"),
            ctf=() if ctf is None else (ctf,),
            ctf_kind=None if ctf is None else "imod" if plotter else "ctffind",
            order=order,
            fractional_dose=self.number(
                "rlnTomoImportFractionalDose", self.options.fractional_dose
            ),
            optics_group=self.text("rlnOpticsGroupName") or "opticsGroup1",
            offset=(offset[0], offset[1], offset[2]),
            culled=None if culled is None else _joined(self.options.root, culled),
            aligned=self.options.aligned,
        )


def _joined(root: str, path: str) -> str:
    return os.path.join(root, path) if root else path


def under_root(root: str, path: str) -> str:
    """A path of the import table with --root before it.

    RELION forgets --root for order lists and culled stacks, so tables made for it may hold
    such paths from the working folder: where only that file is there, it is taken, and said.
    """
    joined = _joined(root, path)
    if not root or os.path.isabs(path) or os.path.exists(stack_path(joined)):
        return joined
    if os.path.exists(stack_path(path)):
        warnings.warn(
            f"{path} is not under --root {root}; the one in the working folder is taken",
            AssumptionWarning,
            stacklevel=2,
        )
        return path
    return joined


def culled_path(output: str | os.PathLike[str]) -> Callable[[str], str]:
    """Where culled stacks go that no table names: a folder ``culled`` beside the output."""
    folder = Path(output).parent / "culled"
    return lambda name: str(folder / f"{file_name(name)}.mrc")
