"""What command files say of an alignment that a projection cannot hold: it is said."""

from __future__ import annotations

import os
import warnings

from tomoset.errors import LossyWarning, TomosetError
from tomoset.formats.imod.alignment import read_xf
from tomoset.formats.imod.commands import CommandFile

#: Options that bend or move what `tilt` and `newstack` do, and that a projection cannot hold.
_NOT_CARRIED = {
    "ZFACTORFILE": "Z factors",
    "COMPRESS": "compression",
    "ANGLES": "tilt angles in the command file itself",
    "DistortionField": "a distortion field",
    "GradientFile": "magnification gradients",
    "RotateByAngle": "a rotation on top of the transforms",
    "ExpandByFactor": "an expansion",
    "ShrinkByFactor": "a reduction",
}


def say_what_is_not_carried(*files: CommandFile) -> None:
    """Warn of options of tilt and newstack that are not carried over."""
    for file in files:
        for option, what in _NOT_CARRIED.items():
            value = file.text(option)
            if value is None or value == ".idf" or value == "0":
                continue
            warnings.warn(
                f"{file.path}: {option} {value} is not carried over ({what})",
                LossyWarning,
                stacklevel=3,
            )
        offsets = file.numbers("OffsetsInXandY", 2) if "OffsetsInXandY" in file.entries else None
        if offsets and any(offsets):
            warnings.warn(
                f"{file.path}: OffsetsInXandY {offsets} is not carried over: the aligned images "
                "are taken to be centred",
                LossyWarning,
                stacklevel=3,
            )
        for option in ("WIDTH", "SLICE"):
            if file.text(option):
                warnings.warn(
                    f"{file.path}: {option} {file.text(option)} is not carried over: the tomogram "
                    "has the whole extent of the aligned images",
                    LossyWarning,
                    stacklevel=3,
                )


def say_local_alignments(folder: str, tilt: CommandFile, n_views: int) -> None:
    """Say what local alignments are lost. AreTomo names the global transforms there: no loss."""
    named = tilt.text("LOCALFILE")
    if named is None:
        return
    try:  # local ones begin with a line of sizes, and have angles between transforms
        is_global = len(read_xf(os.path.join(folder, named))) == n_views
    except (TomosetError, OSError):
        is_global = False
    if not is_global:
        warnings.warn(
            f"{tilt.path}: LOCALFILE {named} is not carried over (local alignments)",
            LossyWarning,
            stacklevel=3,
        )
