"""What is wanted of an alignment by particles."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from tomoset.align.particles import ParticleOptions
from tomoset.particles.correlations import CorrelationOptions


@dataclass(frozen=True, kw_only=True)
class AlignOptions:
    """How particles are compared with images, and what may change.

    Parameters
    ----------
    evidence : CorrelationOptions
        Boxes, range and weights.
    fit : ParticleOptions
        What may change.
    """

    evidence: CorrelationOptions
    fit: ParticleOptions

    def describe(self) -> dict[str, Any]:
        """All that decides what the result is, ready for JSON: memory, threads, device do not."""
        evidence = asdict(self.evidence)
        for name in ("threads", "memory", "device"):
            evidence.pop(name)
        return {"evidence": evidence, "fit": asdict(self.fit)}
