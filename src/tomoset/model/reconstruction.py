"""The volumes that were made of a tilt series."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tomoset.model.quantities import refuse_impossible


@dataclass(frozen=True, kw_only=True)
class Reconstruction:
    """The volumes that were made of a tilt series.

    Voxel i of a volume lies at voxel binning x i of the tomogram, on each axis.

    Parameters
    ----------
    binning : float
        Voxel size against the pixel size of the tilt images.
    path, half1, half2 : str, optional
        Of the volume, and of those from two halves of the data.
    others : mapping of str to str
        Of what else was made of these volumes, by what it is: ``denoised``, ``projection`` ...

    Raises
    ------
    ModelError
        If the binning is impossible.
    """

    binning: float = 1.0
    path: str | None = None
    half1: str | None = None
    half2: str | None = None
    others: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        refuse_impossible("binning", self.binning)
