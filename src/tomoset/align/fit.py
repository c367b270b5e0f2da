"""The result of an alignment by beads, and what may be asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from tomoset.align.parameter_groups import GROUP_NAMES, ParameterGroups
from tomoset.align.parameters import COLUMNS
from tomoset.errors import ModelError

Array = npt.NDArray[np.float64]

#: Columns of `Fit.parameters`: px, px, deg, deg, a factor, fractions, deg.
PARAMETERS = COLUMNS[:8]


class AlignmentError(ModelError):
    """The observations do not support an alignment; the message says what is missing."""


class NoGainError(AlignmentError):
    """The alignment as it is fits the observations as well as any; it may well be right."""


@dataclass(frozen=True, kw_only=True)
class AdjustOptions:
    """What may change, and what frame the tomogram has.

    Parameters
    ----------
    groups : mapping of str to str
        Freedom of parameter groups, as `ParameterGroups` has them, or ``auto``, which is what
        the others are: chosen by how well observations are predicted that are left out.
    size : (int, int, int), optional
        x, y, z of the tomogram [bin-1 px]. Its middle is what shifts are counted at; its
        corners keep it where it was where beads are few. None: the beads do.
    image_size : (int, int), optional
        Width and height of the tilt images [px], against which the beads must be spread.

    Raises
    ------
    ModelError
        If there is no such group, or the shift is not free.
    """

    groups: Mapping[str, str] = field(default_factory=dict)
    size: tuple[int, int, int] | None = None
    image_size: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        unknown = sorted(set(self.groups) - set(GROUP_NAMES))
        if unknown:
            raise ModelError(
                f"no parameter group {unknown[0]!r}; there are {', '.join(GROUP_NAMES)}"
            )
        if self.groups.get("shift", "free") not in ("free", "auto"):
            raise ModelError("shifts are always free: the beads say them first")
        ParameterGroups(**self.forced)

    @property
    def forced(self) -> dict[str, str]:
        """Groups whose freedom is not for choice."""
        return {name: level for name, level in self.groups.items() if level != "auto"}


@dataclass(frozen=True, kw_only=True, eq=False)
class Fit:
    """An alignment by beads.

    Lengths of residuals and errors are those of 2D vectors: sqrt(2) times what they are along
    one coordinate.

    Parameters
    ----------
    projections : (n, 4, 4) array
        From 0-based voxels to 0-based pixels, the tomogram where it was.
    beads : (m, 3) array
        0-based voxels; NaN for beads whose observations do not agree on a position.
    residuals : (n_obs, 2) array
        Seen less predicted, in the order of the observations [px].
    weights : (n_obs,) array
        How much each counted, 0 to 1.
    outliers : (n_obs,) bool array
        Those that did not count at all.
    by_tilt, by_bead : (n,), (m,) arrays
        Rms residual of those that counted [px]; NaN where there are none.
    rms : float
        Of all that counted [px].
    leave_out, leave_out_before : float
        Rms error of those observations [px], each predicted by all others: with this alignment,
        and with the one that was given.
    expected : float
        Rms error to be expected of the projections at the beads [px], if the model holds; but for
        an affine map of the specimen, common to all images.
    parameters, deviations : (n, 8) arrays
        `PARAMETERS` of every tilt image, and their standard deviations. Shifts say where the
        middle of the tomogram (without a size: of the beads) is seen. A beam tilt is part of the
        tilts about x and y here.
    changes : (n, 8) array
        Against what was given; the magnification as a ratio less 1.
    n_parameters : int
        Free parameters of cameras and beads, less those that rotate, shift or scale the specimen.
    effective : float
        How many of these the observations determine; what they leave open follows the mean.
    model : ParameterGroups
        What was free: its text is one line.
    beam_tilt : float
        That was fitted [deg].
    unsupported : (k,) int array
        Tilt images without enough good observations: they keep their shift, rotated as their
        neighbours are.
    """

    projections: Array
    beads: Array
    residuals: Array
    weights: Array
    outliers: npt.NDArray[np.bool_]
    by_tilt: Array
    by_bead: Array
    rms: float
    leave_out: float
    leave_out_before: float
    expected: float
    parameters: Array
    deviations: Array
    changes: Array
    n_parameters: int
    effective: float
    model: ParameterGroups
    beam_tilt: float
    unsupported: npt.NDArray[np.int64]

    @property
    def counted(self) -> int:
        """How many observations counted."""
        return int((~self.outliers).sum())

    @property
    def discarded(self) -> int:
        """How many observations did not count at all."""
        return int(self.outliers.sum())
