"""What is wanted of beads: which to find, what to erase of them."""

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

    Raises
    ------
    ModelError
        If a value is impossible.
    """

    radius: float | None = 50.0
    contrast: str = "auto"
    false_discovery: float = 0.01

    def __post_init__(self) -> None:
        _check_radius(self.radius)
        if self.contrast not in CONTRASTS:
            raise ModelError(f"contrast must be one of {', '.join(CONTRASTS)}")
        if not 0 < self.false_discovery < 1:
            raise ModelError("the fraction of false beads must be between 0 and 1")


@dataclass(frozen=True, kw_only=True)
class EraseOptions:
    """What is erased around each bead.

    Parameters
    ----------
    radius : float, optional
        Of a bead [Å]; None: as large as the fiducials say they are, else 50.
    margin : float
        The radius of what is erased, the bead and its fringes, against that of the bead.

    Raises
    ------
    ModelError
        If a value is impossible.
    """

    radius: float | None = None
    margin: float = 1.6

    def __post_init__(self) -> None:
        _check_radius(self.radius)
        if not 1 <= self.margin <= 10:
            raise ModelError(f"the margin must be from 1 to 10, not {self.margin:g}")


def _check_radius(radius: float | None) -> None:
    if radius is not None and not 0 < radius <= _LARGEST:
        raise ModelError(
            f"the radius of a bead must be above 0 Å, at most {_LARGEST:g}: not {radius:g}"
        )
