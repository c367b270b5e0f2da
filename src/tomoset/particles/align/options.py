"""What is wanted of an alignment by particles."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from tomoset.align.particles import ParticleOptions
from tomoset.errors import UnsupportedError
from tomoset.particles.evidence import EvidenceOptions

#: Where it may be computed.
DEVICES = ("cpu", "cuda")


@dataclass(frozen=True, kw_only=True)
class AlignOptions:
    """How particles are compared with images, and what may change.

    Parameters
    ----------
    evidence : EvidenceOptions
        Boxes, range and weights.
    fit : ParticleOptions
        What may change.
    device : {"cpu", "cuda"}
        Where.

    Raises
    ------
    UnsupportedError
        If the device is another than the processor.
    """

    evidence: EvidenceOptions
    fit: ParticleOptions
    device: str = "cpu"

    def __post_init__(self) -> None:
        if self.device != "cpu":
            raise UnsupportedError(
                f"particles cannot be aligned on {self.device!r} yet; leave --device out, or give "
                "--device cpu"
            )

    def describe(self) -> dict[str, Any]:
        """All that decides what the result is, ready for JSON: memory and threads do not."""
        evidence = asdict(self.evidence)
        for name in ("threads", "memory"):
            evidence.pop(name)
        return {"evidence": evidence, "fit": asdict(self.fit)}
