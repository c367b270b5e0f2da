"""Size and place of the tomogram that newst.com and tilt.com describe.

Everything is in unbinned pixels of the aligned stack. ``tilt`` itself divides whole numbers
by the binning, which puts its axis up to half a binned pixel off where sizes do not divide;
here the axis stays where the transforms put it, in the middle of the aligned images.
"""

from __future__ import annotations

import warnings

from tomoset import geometry
from tomoset.errors import AssumptionWarning, FileFormatError, MissingFieldError
from tomoset.formats.imod.commands import CommandFile
from tomoset.formats.imod.series import ImportOptions, Series
from tomoset.images.stack import ImageHeader


def volume_of(
    tilt: CommandFile,
    newst: CommandFile,
    series: Series,
    options: ImportOptions,
    header: ImageHeader,
) -> geometry.ImodVolume:
    """Where the tomogram lies, as the command files and the options have it.

    Raises
    ------
    MissingFieldError
        If its thickness is nowhere said.
    FileFormatError
        If a value is impossible.
    """
    thickness = options.thickness if options.thickness is not None else tilt.number("THICKNESS")
    if thickness is None:
        what = "no tilt.com is there" if series.tilt is None else "THICKNESS is not there"
        raise MissingFieldError(
            f"{what}; give the depth of the tomogram by --thick", path=tilt.path
        )
    if not thickness >= 1:
        raise FileFormatError(
            f"THICKNESS must be at least 1 px, found {thickness:g}", path=tilt.path
        )
    if options.flip_z and not options.flip_yz:
        warnings.warn("--flipZ has no effect without --flipYZ", AssumptionWarning, stacklevel=3)
    binning = max(1, round(tilt.number("IMAGEBINNED") or newst.number("BinByFactor") or 1))
    offsets = tilt.numbers("OFFSET", 1, 2) or (0.0,)
    shift = tilt.numbers("SHIFT", 1, 2) or (0.0,)
    aligned = _aligned_size(tilt, newst, options, header)
    _compare_with_raw(aligned, header, tilt)
    return geometry.ImodVolume(
        aligned_size=aligned,
        thickness=thickness,
        axis_offset=offsets[1] if len(offsets) == 2 else 0.0,
        shift=(shift[0], shift[1] if len(shift) == 2 else 0.0),
        offset=series.offset,
        flip_yz=options.flip_yz,
        flip_z=options.flip_z,
        # tilt divides whole numbers: THICKNESS by the binning, and that by two.
        slice_centre=binning * (int(thickness) // binning // 2) if options.exact_depth else None,
    )


def _compare_with_raw(aligned: tuple[int, int], header: ImageHeader, tilt: CommandFile) -> None:
    """Say when the stack cannot be the one that was aligned: most likely it is binned."""
    raw = sorted(header.size)
    ratio = max(a / r for a, r in zip(sorted(aligned), raw, strict=True))
    least = min(a / r for a, r in zip(sorted(aligned), raw, strict=True))
    if least > 0.6 and ratio < 1.6:
        return
    warnings.warn(
        f"{tilt.path}: the aligned images have {aligned[0]} x {aligned[1]} px unbinned, those of "
        f"{header.path} {header.size[0]} x {header.size[1]}: is that stack binned, or another?",
        AssumptionWarning,
        stacklevel=4,
    )


def _aligned_size(
    tilt: CommandFile, newst: CommandFile, options: ImportOptions, header: ImageHeader
) -> tuple[int, int]:
    """Width and height of the aligned stack in unbinned pixels: what the tomogram covers."""
    full = tilt.pair("FULLIMAGE")
    full = None if full is not None and 0 in full else full
    binning = newst.number("BinByFactor") or 1.0
    _check_binning(tilt, newst)
    output = newst.pair("SizeToOutputInXandY")
    written = None
    if output is not None:
        written = (int(output[0] * binning), int(output[1] * binning))
    if options.aligned_size:
        if written is None:
            raise MissingFieldError(
                "--ali_size asks for SizeToOutputInXandY, which is not there", path=newst.path
            )
        return written
    start = tilt.pair("SUBSETSTART") or (0, 0)
    if any(start):
        if full is None:
            raise tilt.error("SUBSETSTART", "SUBSETSTART needs a FULLIMAGE, which is not there")
        return written or (full[0] - 2 * start[0], full[1] - 2 * start[1])
    if full is not None and written is not None and _is_turned(full, written, binning):
        warnings.warn(
            f"{tilt.path}: FULLIMAGE {full[0]} {full[1]} is the other way round than the aligned "
            f"images, {written[0]} x {written[1]}; the tomogram is made of the latter",
            AssumptionWarning,
            stacklevel=4,
        )
        return written
    if full is not None and written is not None and _differs(full, written, binning):
        warnings.warn(
            f"{tilt.path}: FULLIMAGE {full[0]} {full[1]} is not the size of the aligned images, "
            f"{written[0]} x {written[1]}; FULLIMAGE is taken (--ali_size takes the other)",
            AssumptionWarning,
            stacklevel=4,
        )
    return full or written or _raw_size(header, tilt, options.axis)


def _raw_size(header: ImageHeader, tilt: CommandFile, axis: float | None) -> tuple[int, int]:
    warnings.warn(
        f"{tilt.path}: no FULLIMAGE; the tomogram gets the width and height of the raw images",
        AssumptionWarning,
        stacklevel=5,
    )
    return header.size if axis is None else geometry.extent(axis, header.size)


def _differs(a: tuple[int, int], b: tuple[int, int], binning: float) -> bool:
    return max(abs(a[0] - b[0]), abs(a[1] - b[1])) >= max(binning, 2)


def _is_turned(full: tuple[int, int], written: tuple[int, int], binning: float) -> bool:
    turned = (full[1], full[0])
    return _differs(full, written, binning) and not _differs(turned, written, binning)


def _check_binning(tilt: CommandFile, newst: CommandFile) -> None:
    made, said = newst.number("BinByFactor"), tilt.number("IMAGEBINNED")
    if made is not None and said is not None and made != said:
        warnings.warn(
            f"{tilt.path}: IMAGEBINNED {said:g}, but {newst.path} has BinByFactor {made:g}; "
            "matrices are for unbinned images, so only the size of the tomogram may be affected",
            AssumptionWarning,
            stacklevel=4,
        )
