"""Alignment of tilt series by beads: projections and beads that fit what was seen. Numbers only.

`adjust` does it all. Below it, from the ground up: `parameters` (what a projection is made of),
`freedoms` (what may change), `bundle` (one step of least squares), `leverage` (observations left
out), `scatter` (how much free changes vary), `robust` (false observations), `start`, `choose`
(how many parameters), `gauge` (where the tomogram lies), `certainty` and `checks`.
"""

from tomoset.align._adjust import adjust
from tomoset.align.fit import PARAMETERS, AdjustOptions, AlignmentError, Fit, NoGainError
from tomoset.align.freedoms import CLASSES, Freedoms

__all__ = [
    "CLASSES",
    "PARAMETERS",
    "AdjustOptions",
    "AlignmentError",
    "Fit",
    "Freedoms",
    "NoGainError",
    "adjust",
]
