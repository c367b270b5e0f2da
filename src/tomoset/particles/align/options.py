"""What is wanted of an alignment by particles."""

from __future__ import annotations

from dataclasses import dataclass

from tomoset.align.particles import ParticleOptions
from tomoset.particles.correlations import CorrelationOptions


@dataclass(frozen=True, kw_only=True)
class AlignOptions:
    """How particles are compared with images, and what may change.

    Parameters
    ----------
    correlation : CorrelationOptions
        Boxes, range and weights.
    fit : ParticleOptions
        What may change.
    """

    correlation: CorrelationOptions
    fit: ParticleOptions
