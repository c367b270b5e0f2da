"""What command files say of an alignment that a projection cannot hold: it is said."""

from __future__ import annotations

import warnings

from tomoset.errors import LossyWarning
from tomoset.formats.imod.commands import CommandFile

#: Options that bend or move what `tilt` and `newstack` do, and that a projection cannot hold.
_NOT_CARRIED = {
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
