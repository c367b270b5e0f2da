"""Alignment of tilt series by beads: projections and beads that fit the observations. Numbers only.

`adjust` does it all. Below it, from the ground up: `parameters` (what a projection is made of),
`parameter_groups` (what may change), `bundle` (one step of least squares), `leverage` (observations
left out), `scatter` (how much free changes vary), `robust` (false observations), `start`, `choose`
(how many parameters), `gauge` (where the tomogram lies), `certainty` and `checks`.
"""

from tomoset.align._adjust import adjust
from tomoset.align.fit import PARAMETERS, AdjustOptions, AlignmentError, Fit, NoGainError
from tomoset.align.parameter_groups import GROUP_NAMES, ParameterGroups

__all__ = [
    "GROUP_NAMES",
    "PARAMETERS",
    "AdjustOptions",
    "AlignmentError",
    "Fit",
    "NoGainError",
    "ParameterGroups",
    "adjust",
]
