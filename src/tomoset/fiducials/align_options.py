"""What is wanted of an alignment by beads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tomoset.align import AdjustOptions
from tomoset.fiducials.options import FindOptions


@dataclass(frozen=True, kw_only=True)
class AlignOptions:
    """What may change, and which beads say so.

    Parameters
    ----------
    groups : mapping of str to str
        Freedom of parameter groups: see `tomoset.align.fit.AdjustOptions`.
    find : FindOptions
        How beads are searched.
    radius_given : bool
        Whether their radius was asked for; otherwise the one that a set says is taken.
    keep : bool
        Take the set's observations as they are.
    level : bool
        Rotate the tomogram so that the specimen lies flat.
    deformation : bool
        Fit a 2D deformation to the residuals, if beads that are left out support that.

    Raises
    ------
    ModelError
        If a parameter group, or its freedom, is unknown.
    """

    groups: Mapping[str, str] = field(default_factory=dict)
    find: FindOptions = field(default_factory=FindOptions)
    radius_given: bool = False
    keep: bool = False
    level: bool = False
    deformation: bool = False

    def __post_init__(self) -> None:
        AdjustOptions(groups=self.groups)
