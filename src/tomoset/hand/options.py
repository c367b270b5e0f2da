"""What is wanted of a search for the hand."""

from __future__ import annotations

from dataclasses import dataclass

from tomoset.errors import ModelError


@dataclass(frozen=True, kw_only=True)
class HandOptions:
    """How sure to be, and what is known.

    Parameters
    ----------
    error_rate : float
        How often a verdict may be wrong.
    defocus : float, optional
        Roughly, of all images [Å], instead of the table's; None: the table's, or measured if
        there is none.
    inclined : bool
        Whether the specimen may be inclined against the tomogram's middle plane.

    Raises
    ------
    ModelError
        If a value is impossible.
    """

    error_rate: float = 0.001
    defocus: float | None = None
    inclined: bool = True

    def __post_init__(self) -> None:
        if not 0 < self.error_rate < 0.5:
            raise ModelError(
                f"the rate of wrong verdicts must be above 0 and below 0.5, not {self.error_rate:g}"
            )
        if self.defocus is not None and not 1000 <= self.defocus <= 200000:
            raise ModelError(f"a defocus is between 0.1 and 20 µm, not {self.defocus / 1e4:g}")
