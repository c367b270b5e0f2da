"""The fields of a tomogram, checked once, and what to say where one that is needed is not known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from tomoset.errors import ModelError
from tomoset.model._checks import Checks
from tomoset.model.alignment import Alignment
from tomoset.model.deformation import Deformation
from tomoset.model.ice import Ice
from tomoset.model.optics import Optics
from tomoset.model.quantities import refuse_impossible
from tomoset.model.reconstruction import Reconstruction
from tomoset.model.source import Source

Array = npt.NDArray[np.float64]
T = TypeVar("T")

#: Arrays with one value per tilt image, besides the projections.
PER_TILT = (
    "defocus_u",
    "defocus_v",
    "defocus_angle",
    "phase_shift",
    "ctf_scale",
    "b_factor",
    "ctf_max_resolution",
    "ctf_figure_of_merit",
    "pre_exposure",
    "exposure",
    "nominal_tilts",
    "nominal_axis",
)

#: What writes into a set what it lacks.
_GIVE_SIZE = "tomoset convert SET DST --to FORMAT --size W H D"
_GIVE_SIZES = "tomoset convert SET DST --to FORMAT --size W H D --image-size W H"
_GIVE_PIXEL_SIZE = "tomoset convert SET DST --to FORMAT --angpix A"


@dataclass(frozen=True, kw_only=True, eq=False)
class Exclusion:
    """A tilt image that was taken out of its series.

    Parameters
    ----------
    row : int
        Where it stands in the table, from 0, when all that were taken out are back.
    reason : str
        Why it is out.
    tilt : Tomogram
        The series of this one image.
    """

    row: int
    reason: str
    tilt: TomogramFields


@dataclass(frozen=True, kw_only=True, eq=False)
class TomogramFields:
    """What is said of a tomogram; `Tomogram` documents each field, and what follows from them."""

    name: str
    n_tilts: int
    optics: Optics
    hand: int = -1
    stack: str | None = None
    image_index: npt.NDArray[np.int64] | None = None
    images: tuple[str, ...] | None = None
    image_size: tuple[int, int] | None = None
    size: tuple[int, int, int] | None = None
    projections: Array | None = None
    alignment: Alignment | None = None
    defocus_u: Array | None = None
    defocus_v: Array | None = None
    defocus_angle: Array | None = None
    phase_shift: Array | None = None
    ctf_scale: Array | None = None
    b_factor: Array | None = None
    ctf_max_resolution: Array | None = None
    ctf_figure_of_merit: Array | None = None
    pre_exposure: Array | None = None
    fractional_dose: float | None = None
    defocus_slope: float = 1.0
    depth_origin: Array | None = None
    fiducials: str | None = None
    deformation: Deformation | None = None
    reconstruction: Reconstruction | None = None
    exposure: Array | None = None
    nominal_tilts: Array | None = None
    nominal_axis: Array | None = None
    acquisition: npt.NDArray[np.int64] | None = None
    half_images: tuple[tuple[str, ...], tuple[str, ...]] | None = None
    movies: tuple[str, ...] | None = None
    deviations: Mapping[str, Array] = field(default_factory=dict)
    hand_log_odds: float | None = None
    ice: Ice | None = None
    unfinished: tuple[str, ...] = ()
    exclusions: tuple[Exclusion, ...] = ()
    source: Source | None = None

    def __post_init__(self) -> None:
        if not self.name:
            raise ModelError("a tomogram needs a name")
        if self.hand not in (1, -1):
            raise ModelError(
                f"tomogram {self.name!r}: hand must be +1 or -1, not {self.hand}; "
                "find it by experiment, it is the sign of defocus against depth"
            )
        checked = Checks(self.name)
        for single in ("n_tilts", "fractional_dose", "defocus_slope", "hand_log_odds"):
            refuse_impossible(single, getattr(self, single), checked.place)
        n = (self.n_tilts,)
        for name, value in (
            ("hand", int(self.hand)),
            ("size", checked.size("size", self.size, 3)),
            ("image_size", checked.size("image_size", self.image_size, 2)),
            ("projections", checked.matrices("projections", self.projections, self.n_tilts)),
            ("depth_origin", checked.array("depth_origin", self.depth_origin, (3,))),
            ("image_index", checked.indices("image_index", self.image_index, n)),
            ("acquisition", checked.indices("acquisition", self.acquisition, n)),
            ("deviations", {k: checked.array(k, v, n) for k, v in self.deviations.items()}),
            *((each, checked.quantity(each, getattr(self, each), n)) for each in PER_TILT),
        ):
            object.__setattr__(self, name, value)
        for name in ("images", "movies"):
            if (names := getattr(self, name)) is not None:
                object.__setattr__(self, name, tuple(names))
        even, odd = self.half_images or ((), ())
        halves = (tuple(even), tuple(odd)) if even or odd else None
        object.__setattr__(self, "half_images", halves)
        for what, length in (
            ("names", None if self.images is None else len(self.images)),
            ("names of even frames", len(even) or None),
            ("names of odd frames", len(odd) or None),
            ("movies", None if self.movies is None else len(self.movies)),
            (
                "deformation coefficients",
                None if self.deformation is None else len(self.deformation.coefficients),
            ),
        ):
            if length not in (None, self.n_tilts):
                raise ModelError(
                    f"tomogram {self.name!r}: {self.n_tilts} tilt images but {what} for {length}"
                )

    def need_projections(self) -> Array:
        """`projections`, or a ModelError that says what they lack."""
        if self.projections is not None:
            return self.projections
        if self.alignment is None:
            raise ModelError(f"tomogram {self.name!r} is not aligned: it has no projections")
        unknown = [
            what
            for what, value in (
                ("of the tomogram", self.size),
                ("of the tilt images", self.image_size),
                ("of a pixel", self.optics.pixel_size),
            )
            if value is None
        ]
        raise ModelError(
            f"tomogram {self.name!r} is aligned, but its projections need the size "
            f"{' and '.join(unknown)}, which is not known; give it (`size`, `image_size`), or "
            f"write it into the set: {_GIVE_SIZES}"
        )

    def need_pixel_size(self) -> float:
        """The pixel size of the tilt images [Å], or a ModelError."""
        lack = f": the set does not say the pixel size; write it there: {_GIVE_PIXEL_SIZE}"
        return self._known(self.optics.pixel_size, lack)

    def need_image_size(self) -> tuple[int, int]:
        """`image_size`, or a ModelError."""
        lack = ": the size of the tilt images is not known, as they are not there (`image_size`)"
        return self._known(self.image_size, lack)

    def need_size(self) -> tuple[int, int, int]:
        """`size`, or a ModelError."""
        lack = f" has no size; give it (`size`), or write it into the set: {_GIVE_SIZE}"
        return self._known(self.size, lack)

    def need_defocus(self) -> tuple[Array, Array]:
        """`defocus_u` and `defocus_v`, or a ModelError."""
        lack = " has no defocus; estimate it first (tomoset ctf, CTFFIND)"
        return self._known(self.defocus_u, lack), self._known(self.defocus_v, lack)

    def need_pre_exposure(self) -> Array:
        """`pre_exposure`, or a ModelError."""
        return self._known(
            self.pre_exposure, " has no doses; its set must name them (pre_exposure)"
        )

    def _known(self, value: T | None, lack: str) -> T:
        if value is None:
            raise ModelError(f"tomogram {self.name!r}{lack}")
        return value
