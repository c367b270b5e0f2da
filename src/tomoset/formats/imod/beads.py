"""Beads that IMOD has tracked: models and residuals, on the raw stack or on the pre-aligned one."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence

from tomoset.errors import AssumptionWarning, MissingFileError
from tomoset.formats.imod.bead_models import read_bead_model
from tomoset.formats.imod.bead_stacks import ImodStack, prealigned_stack
from tomoset.formats.imod.residuals import read_residuals
from tomoset.model import Observations


def read_tracked(
    path: str, raw_size: tuple[int, int, int], kept: Sequence[int] | None
) -> Observations:
    """Where IMOD saw beads; see `Format.read_observations`.

    If the transforms of the pre-aligned stack are beside the file (``.prexg``, or ``.xf`` and
    ``.tltxf``), it is of that stack, else of the raw images; which, is said.
    """
    stack = _stack(path, raw_size)
    if path.endswith(".resid"):
        return read_residuals(path, stack, kept=kept)
    return read_bead_model(path, stack, kept=kept)


def _stack(path: str, raw_size: tuple[int, int, int]) -> ImodStack:
    """What the beads were tracked on."""
    folder, name = os.path.split(os.path.splitext(path)[0])
    try:
        stack = prealigned_stack(folder, name, raw_size)
    except MissingFileError:
        warnings.warn(
            f"{path}: no {name}.prexg is beside it, so it is taken to be of the raw images",
            AssumptionWarning,
            stacklevel=5,
        )
        return ImodStack(raw_size=raw_size)
    warnings.warn(
        f"{path}: taken to be of the pre-aligned stack, whose transforms are beside it",
        AssumptionWarning,
        stacklevel=5,
    )
    return stack
