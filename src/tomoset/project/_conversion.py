"""What a conversion wrote, and whether it is what was announced."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tomoset.errors import VerificationError
from tomoset.formats import Loss
from tomoset.project.verify import Verification


@dataclass(frozen=True, kw_only=True)
class Result:
    """What was written, what it lost, and how far it is from the source.

    Parameters
    ----------
    written : str
        The set, or the project's optimisation set.
    losses : dict of str to Loss
        How far tilt images, and their defocus, are off, by tomogram that loses something.
    verifications : dict of str to Verification
        By tomogram; those that are not aligned have none.
    tomograms : int
        How many there are.
    kept : bool
        Whether matrices next to the angles keep what these lose.
    geometric_hands : mapping of str to str
        How the volumes that the target's own programs make lie against the set's, by tomogram.
    """

    written: str
    losses: dict[str, Loss]
    verifications: dict[str, Verification]
    tomograms: int
    kept: bool = False
    geometric_hands: Mapping[str, str] = field(default_factory=dict)

    @property
    def position(self) -> float:
        """Largest difference of image positions [px]."""
        return max(
            (float(p.position.max(initial=0)) for p in self.verifications.values()), default=0.0
        )

    @property
    def defocus(self) -> float:
        """Largest difference of defocus [Å]."""
        return max(
            (float(p.defocus.max(initial=0)) for p in self.verifications.values()), default=0.0
        )

    def summary(self) -> dict[str, Any]:
        """For a program to read."""
        losses = self.losses.items()
        return {
            "written": self.written,
            "tomograms": self.tomograms,
            "aligned": len(self.verifications),
            "position_px": self.position,
            "defocus_A": self.defocus,
            "losses_px": {name: lost.pixels.round(6).tolist() for name, lost in losses},
            "losses_defocus_A": {name: lost.defocus.round(3).tolist() for name, lost in losses},
            "differs": {n: list(p.differs) for n, p in self.verifications.items() if p.differs},
            "geometric_hands": dict(self.geometric_hands),
        }

    def refuse_failed(self) -> None:
        """Stop if what was written is further off than was announced; VerificationError."""
        failed = []
        for name, verification in self.verifications.items():
            loss = None if self.kept else self.losses.get(name)
            announced = (0.0, 0.0) if loss is None else (loss.pixels, loss.defocus)
            if loss is not None:
                verification = verification.without(loss.fields)
            if not verification.holds(*announced):
                failed.append(name)
        if not failed:
            return
        name, verification = failed[0], self.verifications[failed[0]]
        fields = ", ".join(verification.differs)
        raise VerificationError(
            f"{self.written}: tomogram {name!r} would be {verification.position.max():.3g} px and "
            f"{verification.defocus.max():.3g} Å of defocus from the source"
            f"{f'; it differs in {fields}' if fields else ''}, more than was announced "
            f"({len(failed)} of {self.tomograms} tomograms): nothing was written; please report it"
        )
