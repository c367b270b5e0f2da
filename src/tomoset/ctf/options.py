"""What is wanted of an estimate of the CTF."""

from __future__ import annotations

from dataclasses import dataclass

from tomoset.errors import ModelError

#: What a defocus can be [Å].
LOWEST, HIGHEST = 2000.0, 200000.0


@dataclass(frozen=True, kw_only=True)
class CtfOptions:
    """What is searched.

    Parameters
    ----------
    low, high : float
        Between these is the defocus that the images have in common [Å].
    phase_plate : bool
        Whether there is a phase shift, of 0 to 180 degrees.
    astigmatism : bool
        Whether there may be astigmatism.

    Raises
    ------
    ModelError
        If a value is impossible.
    """

    low: float = 5000.0
    high: float = 100000.0
    phase_plate: bool = False
    astigmatism: bool = True

    def __post_init__(self) -> None:
        if not LOWEST <= self.low < self.high <= HIGHEST:
            raise ModelError(
                f"the range of defocus lies within {LOWEST / 1e4:g} and {HIGHEST / 1e4:g} µm, the "
                f"smaller one first, not {self.low / 1e4:g} to {self.high / 1e4:g}"
            )
