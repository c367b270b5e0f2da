"""The local alignment that tilt.com names, and what becomes of it."""

from __future__ import annotations

import warnings

from tomoset.errors import AssumptionWarning, LossyWarning
from tomoset.formats._text_tables import read_lines
from tomoset.formats.imod.commands import CommandFile
from tomoset.formats.imod.local_field import Field, GlobalAlignment, largest, rms
from tomoset.formats.imod.local_file import LocalAlignment, read_local
from tomoset.formats.imod.named import named_here
from tomoset.formats.imod.series import Series
from tomoset.images.stack import ImageHeader
from tomoset.model import Deformation
from tomoset.run import one_thread

#: Pixel sizes that are further from whole multiples of each other are of other images.
_WHOLE = 0.005
#: What depends on depth is said from here on [px].
_SAID = 0.01


def find_local(
    folder: str, tilt: CommandFile, header: ImageHeader, pixel_size: float | None
) -> LocalAlignment | None:
    """The local alignment of a series, in unbinned pixels of its aligned images.

    Raises
    ------
    FileFormatError
        If it is damaged, or of another series.
    """
    path = named_here(folder, tilt, "LOCALFILE", "local alignments")
    if path is None or _is_global(path, header.n_images):
        return None
    local = read_local(path, header.n_images)
    local = local.scaled(_scale(local, tilt, header, pixel_size))
    start = tilt.pair("SUBSETSTART") or (0, 0)
    return local.moved(-start[0], -start[1])


def _is_global(path: str, n_views: int) -> bool:
    """AreTomo names the global transforms there; local ones begin with a line of sizes."""
    lines = [words for line in read_lines(path) if (words := line.split())]
    return len(lines) == n_views and all(len(words) == 6 for words in lines)


def _scale(
    local: LocalAlignment, tilt: CommandFile, header: ImageHeader, pixel_size: float | None
) -> float:
    """Unbinned pixels in one of the local alignment, by LOCALSCALE or pixel sizes, as in tilt."""
    binning = max(1.0, tilt.number("IMAGEBINNED") or 1.0)
    said = tilt.number("LOCALSCALE")
    if said is not None and said > 0:
        return said * binning
    if not local.pixel_size > 0:
        return binning
    known = [size for size in (header.pixel_size, pixel_size) if size is not None and size > 0]
    ratios = [local.pixel_size / size for size in known]
    whole = min(ratios, key=lambda r: abs(r / max(round(r), 1) - 1), default=1.0)
    nearest = max(round(whole), 1)
    if not ratios or abs(whole / nearest - 1) > _WHOLE:
        warnings.warn(
            f"{local.path}: its pixels are of {local.pixel_size:g} Å, no multiple of those of the "
            f"stack; taken for {nearest} of these. LOCALSCALE in {tilt.path} decides",
            AssumptionWarning,
            stacklevel=3,
        )
    return float(nearest)


def local_deformation(
    series: Series, alignment: GlobalAlignment, local: LocalAlignment | None
) -> tuple[Deformation | None, list[str]]:
    """A local alignment as a deformation, and a note; what it cannot say is a warning."""
    if local is None:
        return None, []
    with one_thread():
        fit = Field(alignment, local).spline()
    nodes, (nx, ny) = fit.deformation.grid, local.count
    deep = rms(fit.ends) - rms(fit.middle)
    if deep > _SAID:
        warnings.warn(
            f"{series.name}: of the local alignment what depends on depth is not carried: at the "
            f"ends of the tomogram in depth {rms(fit.ends):.2f} px rms, {largest(fit.ends):.2f} px "
            "at most",
            LossyWarning,
            stacklevel=3,
        )
    return fit.deformation, [
        f"{series.name}: {nx} x {ny} local alignments are carried as a spline of {nodes[0]} x "
        f"{nodes[1]} nodes, {rms(fit.middle):.2f} px rms from IMOD's in the middle of the "
        f"tomogram, {largest(fit.middle):.2f} px at most"
    ]
