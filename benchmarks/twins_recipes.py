"""The kinds of simulated tilt series, and what each is made of."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from twins_images import Optics
from twins_specimen import Contents
from twins_views import Course


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What a kind of twin is made of; ranges are drawn from.

    Parameters
    ----------
    course, contents, optics
        See there; the thickness in `contents` is replaced.
    thickness : (float, float)
        [Å]
    pretilt, across : float
        Largest inclination about the tilt axis, and standard deviation of that across [deg].
    pitch : float
        Of the grid of the density [Å].
    snr : float
        At 10 Å a pixel.
    camera : (float, float)
        rms of what is fixed in the camera.
    beam_edge : float
        Chance that the edge of the beam is in the images.
    known_shift : float or None
        Median error of the shifts that the user has [Å]; None: all images centred.
    axis_error : float
        Standard deviation of the axis that the user has, or 90 or 180 more [deg].
    faults : tuple of str
        Of `FAULTS`.
    """

    course: Course
    contents: Contents
    optics: Optics
    thickness: tuple[float, float]
    pretilt: float = 0.0
    across: float = 0.0
    pitch: float = 10.0
    snr: float = 0.1
    camera: tuple[float, float] = (0.0, 0.0)
    beam_edge: float = 0.0
    known_shift: float | None = None
    axis_error: float = 1.0
    faults: tuple[str, ...] = ()


_SHREC = Recipe(
    course=Course(tilts=61, limit=60.0, axis_spread=2.0),
    contents=Contents(thickness=1800.0, crowding=0.12, roughness=5.0),
    optics=Optics(size=(512, 512), pixel_size=10.0, absorption=1e9, fading=False),
    thickness=(1800.0, 1800.0),
    known_shift=12.0,
)
_LAMELLA = Recipe(
    course=Course(
        tilts=41,
        limit=55.0,
        axis=85.0,
        tracking=25.0,
        turn=0.05,
        tilt=0.05,
        magnification=0.0005,
        jitter=3000.0,
        doming=(10.0, 30.0),
        restless=1.5,
        shear=2.0,
    ),
    contents=Contents(
        thickness=1500.0,
        crowding=0.2,
        layers=3,
        membranes=(2, 4),
        curtains=25.0,
        roughness=15.0,
        dirt=6.0,
    ),
    optics=Optics(size=(1024, 960), pixel_size=5.4),
    thickness=(1000.0, 2500.0),
    pretilt=12.0,
    across=1.5,
    camera=(0.01, 0.02),
    beam_edge=0.5,
)
#: A lamella of half as many pixels, for what needs no large images.
_SMALL = replace(_LAMELLA, optics=Optics(size=(512, 480), pixel_size=10.8), beam_edge=0.0)
_SPARSE = replace(
    _SMALL,
    contents=Contents(
        thickness=600.0, crowding=0.01, vesicles=1.0, filaments=0.0, membranes=(0, 0), dirt=1.0
    ),
    thickness=(400.0, 900.0),
    pretilt=3.0,
    snr=0.005,
)

#: What may be simulated.
KINDS: dict[str, Recipe] = {
    # 512 x 512, 61 images, 10 Å, 180 nm, as of SHREC'21: nothing but the specimen and noise
    "shrec": _SHREC,
    # the same without flat membranes, which no random density is like: what reaches the bound
    "molecules": replace(_SHREC, contents=replace(_SHREC.contents, membranes=(0, 0))),
    # 1024 x 960, 41 images, 5.4 Å, 100 to 250 nm, no beads, and all that breaks assumptions
    "lamella": _LAMELLA,
    # the same from -60 to 60 degrees, flat within 3
    "lamella60": replace(
        _LAMELLA, course=replace(_LAMELLA.course, limit=60.0, axis=-95.0), pretilt=3.0
    ),
    # the first in 512 x 480 pixels of 10.8 Å
    "small": _SMALL,
    # a few particles in thin ice
    "sparse": _SPARSE,
    # the same on the edge of a carbon film
    "carbon": replace(_SPARSE, contents=replace(_SPARSE.contents, carbon=150.0), snr=0.02),
    # no specimen: noise, and what is fixed in the camera
    "empty": replace(_SMALL, faults=("empty",)),
    # one image off by half the field
    "jump": replace(_SMALL, faults=("jump",)),
    # the second half of the series off by a third of the field
    "pieces": replace(_SMALL, faults=("pieces",)),
    # one image dark, one blank, one blocked in part
    "bad_images": replace(_SMALL, faults=("dark", "blank", "blocked")),
    # hot pixels; gradients of the beam; the two are usual
    "hot": replace(_SMALL, faults=("hot",)),
    "gradient": replace(_SMALL, faults=("gradient",)),
    # the axis that the user has is 90 degrees off, or minus the right one
    "axis90": replace(_SMALL, faults=("axis90",)),
    "axisminus": replace(_SMALL, course=replace(_SMALL.course, axis=40.0), faults=("axisminus",)),
}
#: What goes wrong after the images are made, or before.
FAULTS = (
    "empty",
    "jump",
    "pieces",
    "dark",
    "blank",
    "blocked",
    "hot",
    "gradient",
    "axis90",
    "axisminus",
)


def changed(recipe: Recipe, changes: dict[str, Any]) -> Recipe:
    """A recipe with some fields changed, wherever they are."""
    parts: dict[str, Any] = {}
    for name in ("course", "contents", "optics"):
        part = getattr(recipe, name)
        inside = {
            k: v for k, v in changes.items() if k in part.__dataclass_fields__ and k != "thickness"
        }
        parts[name] = replace(part, **inside)
    own = {k: v for k, v in changes.items() if k in recipe.__dataclass_fields__}
    unknown = set(changes) - set(own) - {k for p in parts.values() for k in p.__dataclass_fields__}
    if unknown:
        raise TypeError(f"no such parts of a recipe: {', '.join(sorted(unknown))}")
    return replace(recipe, **{**parts, **own})
