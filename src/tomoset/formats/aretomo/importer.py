"""From AreTomo's files of a tilt series to a tomogram."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tomoset import geometry
from tomoset.errors import (
    AssumptionWarning,
    FileFormatError,
    LossyWarning,
    MissingFieldError,
)
from tomoset.formats._ctf_tables import read_defocus
from tomoset.formats._ctffind import DefocusTable
from tomoset.formats._importing import (
    Imported,
    axis_voxel,
    named_for_relion,
    optics_of,
    parse_size,
    to_axis,
)
from tomoset.formats._text_tables import read_lines, read_numbers
from tomoset.formats.aretomo.aln import Aln, read_aln
from tomoset.formats.aretomo.patches import deformation_of
from tomoset.formats.aretomo.sections import images_of
from tomoset.formats.aretomo.series import Series
from tomoset.images.stack import ImageHeader, read_header
from tomoset.model import Tomogram

Array = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

#: Angles that differ by more, a common offset taken off, are of another series [deg].
_OTHER_SERIES = 2.5


def import_series(series: Series, given: Mapping[str, Any]) -> Imported:
    """Import one tilt series; its images stay where they are.

    Parameters
    ----------
    series : Series
        Its files.
    given : dict
        The options of the format, by name.

    Raises
    ------
    TomosetError
        If a file is missing, unreadable or contradicts another.
    """
    header, aln = read_header(series.stack), read_aln(series.aln)
    _check_stack(aln, header)
    images = images_of(aln)
    order = np.argsort(images)
    kept = images[order].tolist()
    notes = _said(series.name, aln, kept)
    volume = volume_of(aln, header.size, given, series.volume)
    angles = _Angles.read(series, aln, order, kept, given["fractional_dose"])
    ctf: DefocusTable | None = None
    if series.ctf:
        ctf = read_defocus(
            series.ctf, aln.n_images, kept=kept, tilts=aln.tilts[order], stack=series.stack
        )
    hand = given["hand"] or _hand(series, notes)
    deformation = None
    if aln.patches is not None:
        deformation, off = deformation_of(aln.patches[order], aln.shifts[order], header.size)
        nodes = deformation.grid[0]
        notes.append(
            f"{series.name}: {aln.patches.shape[1]} local patches are carried as a spline of "
            f"{nodes} x {nodes} nodes, {np.sqrt((off**2).mean()):.2f} px rms from AreTomo's local "
            f"shifts at the patches, {off.max():.2f} px at most"
        )
    tomogram = Tomogram(
        name=series.name,
        n_tilts=len(kept),
        optics=optics_of(given, header),
        hand=int(hand),
        stack=named_for_relion(series.stack),
        image_index=None if len(kept) == aln.n_images else np.array(kept),
        image_size=header.size,
        size=volume.size,
        projections=projections_of(aln, volume, header.size)[order],
        deformation=deformation,
        nominal_tilts=angles.nominal,
        pre_exposure=angles.pre_exposure,
        fractional_dose=angles.fractional_dose,
        depth_origin=axis_voxel(volume),
        **({} if ctf is None else ctf.fields()),
    )
    return Imported(tomogram=tomogram, notes=notes)


def _check_stack(aln: Aln, header: ImageHeader) -> None:
    expected = (*(aln.image_size or header.size), aln.n_images)
    found = (*header.size, header.n_images)
    if found != expected:
        raise FileFormatError(
            f"this is of a stack of {expected[2]} images of {expected[0]} x {expected[1]} px, and "
            f"{header.path} has {found[2]} of {found[0]} x {found[1]}; shifts are in pixels of the "
            "raw stack: give that by --stack",
            path=aln.path,
        )


def _said(name: str, aln: Aln, kept: Sequence[int]) -> list[str]:
    """What else the file says."""
    if (np.abs(aln.magnifications - 1) > 1e-6).any():
        warnings.warn(
            f"{aln.path}: GMAG is not 1 everywhere; AreTomo does not use it, and it is not "
            "carried over",
            LossyWarning,
            stacklevel=3,
        )
    dark = sorted(set(range(aln.n_images)) - set(kept))
    notes = []
    if dark:
        views = ", ".join(str(view + 1) for view in dark)
        notes.append(f"{name}: images {views} of {aln.n_images} are dark and left out")
    if aln.beta:
        notes.append(
            f"{name}: BetaOffset {aln.beta:g}° is of the specimen's defocus alone, not of the "
            "alignment; not carried over"
        )
    return notes


def projections_of(aln: Aln, volume: geometry.ImodVolume, raw_size: tuple[int, int]) -> Array:
    """The projections of all lines.

    A raw image is the aligned one turned by ROT, counter-clockwise, and moved by TX, TY
    (GCorrPatchShift.cu); the transform of IMOD is the inverse, as CSaveXF.cpp has it.
    """
    xf = to_axis(aln.axes)
    xf[:, :, 2] = -np.einsum("nij,nj->ni", xf[:, :, :2], aln.shifts)
    return geometry.imod_projections(
        xf, aln.tilts, np.zeros(len(aln.tilts)), volume=volume, raw_size=raw_size
    )


def flipped(aligned: tuple[int, int], thickness: int, flip: int) -> geometry.ImodVolume:
    """Where AreTomo puts its volume, by -FlipVol.

    It computes slice k at k - thickness/2 from the axis (GBackProj.cu), stores the last one first,
    "to match IMOD handedness" (CDoWbpRecon.cpp, CDoSartRecon.cpp), and -FlipVol 1 turns them
    round again (CTiltSeries.cpp).
    """
    return geometry.ImodVolume(
        aligned_size=aligned,
        thickness=thickness,
        flip_yz=flip > 0,
        flip_z=flip == 1,
        slice_centre=thickness / 2 - 0.5,
    )


def volume_of(
    aln: Aln, raw_size: tuple[int, int], given: Mapping[str, Any], volume: str | None
) -> geometry.ImodVolume:
    """The volume, as options, the file of AreTomo's volume, or the specimen's thickness say it.

    Raises
    ------
    MissingFieldError
        If nothing says its depth.
    """
    # CCorrectUtil.cpp takes the axis of the middle image.
    aligned = geometry.extent(float(aln.axes[len(aln.axes) // 2]), raw_size)
    flip, thickness = given["flip_volume"], None
    if volume is not None:
        seen, thickness = _layout(volume, aligned)
        if flip is None and seen is not None:
            flip = seen
        elif (seen == 0 and flip) or (flip == 0 and seen):
            warnings.warn(
                f"{volume}: by its sizes this was {'not ' * (not seen)}flipped; --flip-vol "
                f"{flip:g} is taken",
                AssumptionWarning,
                stacklevel=3,
            )
    size = parse_size(given["size"])
    if size is not None:
        aligned, thickness = size[:2], size[2]
    if given["thickness"] is not None:
        thickness = int(given["thickness"])
    if thickness is None and aln.thickness > 0:
        thickness = aln.thickness
        warnings.warn(
            "the files do not say how deep tomograms are (-VolZ): they get the thickness of the "
            f"specimen, {thickness} px in {aln.path}; give it by --thick",
            AssumptionWarning,
            stacklevel=3,
        )
    if thickness is None:
        raise MissingFieldError(
            "the file does not say how deep the tomogram is (-VolZ); give it by --thick",
            path=aln.path,
        )
    return flipped(aligned, thickness, 1 if flip is None else int(flip))


def _layout(path: str, aligned: tuple[int, int]) -> tuple[int | None, int | None]:
    """-FlipVol by the sizes of a volume, 1 standing for 2 too, and its depth unbinned [px]."""
    header = read_header(path)
    width, middle, last = (*header.size, header.n_images)
    binning = aligned[0] / max(width, 1)
    if abs(binning - round(binning)) < 0.02 * binning:  # sizes are cut to even numbers
        binning = round(binning)
    upright = abs(middle * binning - aligned[1]) <= 2 * binning
    lying = abs(last * binning - aligned[1]) <= 2 * binning
    if upright == lying:
        return None, None
    return (1, round(last * binning)) if upright else (0, round(middle * binning))


def _hand(series: Series, notes: list[str]) -> int:
    """As AreTomo 3 found it, which is noted; else that of most microscopes."""
    words = _last_words(series.ctf[0]) if len(series.ctf) == 1 else []
    if len(words) == 8 and words[7] in ("1", "-1"):
        notes.append(f"{series.name}: hand {words[7]}, as column 8 of {series.ctf[0]} says")
        return int(words[7])
    return -1


def _last_words(path: str) -> list[str]:
    lines = [line.split() for line in read_lines(path) if line.strip()]
    return lines[-1] if lines else []


@dataclass(frozen=True, kw_only=True)
class _Angles:
    """Tilt angles of the stage, and doses, of the kept images."""

    nominal: Array
    pre_exposure: Array | None = None
    fractional_dose: float | None = None

    @classmethod
    def read(
        cls, series: Series, aln: Aln, order: Ints, kept: list[int], dose: float | None
    ) -> _Angles:
        tilts = aln.tilts[order] - aln.alpha
        if series.angles is None:
            return cls(nominal=tilts, fractional_dose=dose)
        table = _table(series.angles, aln.n_images)
        apart = table[kept, 0] - tilts
        if np.abs(apart - np.median(apart)).max() > _OTHER_SERIES:
            raise FileFormatError(
                f"its tilt angles differ by up to {np.abs(apart - np.median(apart)).max():.1f}° "
                f"from those of {os.path.basename(aln.path)}; is this the file of another series, "
                "or in another order?",
                path=series.angles,
            )
        doses = table[:, 2] if table.shape[1] == 3 else np.zeros(len(table))
        doses = doses if doses.any() else np.full(len(table), dose or 0.0)
        if table.shape[1] < 2 or not doses.any():
            return cls(nominal=table[kept, 0], fractional_dose=dose)
        if len(set(table[:, 1])) < len(table):
            raise FileFormatError(
                "two images have the same place in the order of acquisition (column 2)",
                path=series.angles,
            )
        taken = np.argsort(table[:, 1])
        before = np.empty(len(table))
        before[taken] = np.concatenate([[0.0], np.cumsum(doses[taken])[:-1]])
        same = np.ptp(doses[kept]) < 1e-9
        return cls(
            nominal=table[kept, 0],
            pre_exposure=before[kept].round(9),
            fractional_dose=dose if dose else float(doses[kept[0]]) if same else None,
        )


def _table(path: str, n_images: int) -> Array:
    """Tilt angle, place in the order of acquisition, dose: one to three columns."""
    widths = {len(words) for line in read_lines(path) if (words := line.split())}
    columns = min(max(min(widths, default=1), 1), 3)
    table = read_numbers(path, columns)
    if len(table) != n_images:
        raise FileFormatError(
            f"expected angles of the {n_images} images of the raw stack, found {len(table)} lines",
            path=path,
        )
    if np.abs(table[:, 0]).max() > 180 or (columns == 3 and (table[:, 2] < 0).any()):
        raise FileFormatError(
            "expected a tilt angle within ±180°, a number and a dose of at least 0", path=path
        )
    if not np.abs(table).max() < 1e6:
        raise FileFormatError("expected numbers below a million", path=path)
    return table
