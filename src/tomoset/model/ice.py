"""The ice that a specimen lies in."""

from __future__ import annotations

from dataclasses import dataclass

from tomoset.model.quantities import refuse_impossible


@dataclass(frozen=True, kw_only=True)
class Ice:
    """The ice that a specimen lies in, as the contrast of its tilt images tells.

    Parameters
    ----------
    luminance : float, optional
        Contrast without any ice, relative.
    thickness : float, optional
        In mean free paths of electrons.
    normal : (float, float, float), optional
        Perpendicular to the ice, of length 1, in the tomogram's frame.

    Raises
    ------
    ModelError
        If a number is not finite.
    """

    luminance: float | None = None
    thickness: float | None = None
    normal: tuple[float, float, float] | None = None

    def __post_init__(self) -> None:
        for name in ("luminance", "thickness", "normal"):
            refuse_impossible(name, getattr(self, name), "ice", each="")
