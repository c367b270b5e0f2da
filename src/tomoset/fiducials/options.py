"""What is wanted of the finder."""

from __future__ import annotations

from dataclasses import dataclass

from tomoset.errors import ModelError

#: No gold bead is larger [Å].
_LARGEST = 2000.0
#: Contrasts of beads: darker than the ice, brighter, or whichever shows.
CONTRASTS = ("auto", "dark", "bright")


@dataclass(frozen=True, kw_only=True)
class FindOptions:
    """What beads to find, and how sure to be of them.

    Parameters
    ----------
    radius : float, optional
        Of a bead [Å]; None: it is measured.
    contrast : str
        One of `CONTRASTS`.
    false_discovery : float
        Beads that may be false, as a fraction of those found.
    threads : int
        Images that are worked on at once.

    Raises
    ------
    ModelError
        If a value is impossible.
    """

    radius: float | None = 50.0
    contrast: str = "auto"
    false_discovery: float = 0.01
    threads: int = 1

    def __post_init__(self) -> None:
        if self.radius is not None and not 0 < self.radius <= _LARGEST:
            raise ModelError(
                f"the radius of a bead must be above 0 Å, at most {_LARGEST:g}: not {self.radius:g}"
            )
        if self.contrast not in CONTRASTS:
            raise ModelError(f"contrast must be one of {', '.join(CONTRASTS)}")
        if not 0 < self.false_discovery < 1:
            raise ModelError("the fraction of false beads must be between 0 and 1")
