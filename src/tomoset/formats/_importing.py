"""What imports have in common: what users say of the optics, defocus and doses of images."""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from tomoset import geometry
from tomoset.errors import (
    AssumptionWarning,
    FileFormatError,
    MissingFieldError,
    ModelError,
)
from tomoset.formats._ctffind import DefocusTable
from tomoset.formats._words import Option
from tomoset.images.mrc import stack_path
from tomoset.images.stack import ImageHeader, join_images
from tomoset.model import Optics, ParticleSet, Project, Tomogram
from tomoset.paths import file_names

Array = npt.NDArray[np.float64]

PIXEL_SIZE = Option(
    "pixel_size",
    "--angpix",
    "Pixel size of the raw images; by default as their headers say.",
    metavar="A",
)
FRACTIONAL_DOSE = Option("fractional_dose", "--fd", "Dose of one tilt image, e/Å².", metavar="E")
OPTICS_GROUP = Option(
    "optics_group",
    "--optics-group",
    "Name of the optics group.",
    kind="text",
    default="opticsGroup1",
    metavar="NAME",
)
HAND = Option("hand", "--hand", "Sign of defocus against depth, -1 or 1.", default=-1)
MICROSCOPE = (
    Option("voltage", "--voltage", "kV.", default=300.0),
    Option("spherical_aberration", "--Cs", "Spherical aberration, mm.", default=2.7),
    Option("amplitude_contrast", "--Q0", "Amplitude contrast.", default=0.1),
)
THICKNESS = Option("thickness", "--thick", "Depth of the tomograms, px.", metavar="PX")
SIZE = Option("size", "--size", "Of the tomograms, unbinned px.", kind="text", metavar="W,H,D")
#: Points along each side of an image at which a deformation is looked at.
_FINE = 65
NO_CULL = Option(
    "no_cull",
    "--no-cull",
    "Keep stacks whole; excluded views are left out of the table only.",
    kind="flag",
)


@dataclass(frozen=True, kw_only=True)
class Imported:
    """A tomogram, with notes on what its files say besides, and the particles in it."""

    tomogram: Tomogram
    notes: Sequence[str]
    particles: ParticleSet | None = None


def refuse_impossible(given: Mapping[str, Any]) -> None:
    """Refuse values of the options above, and of `hand`, that say nothing possible.

    Raises
    ------
    ModelError
        With the option.
    """
    if given.get("hand") not in (1, -1, None):
        raise ModelError(f"{HAND.spelling} must be 1 or -1: the sign of defocus against depth")
    for option in (PIXEL_SIZE, FRACTIONAL_DOSE, *MICROSCOPE[:2]):
        value = given.get(option.name)
        if value is not None and not (value > 0 or (option is MICROSCOPE[1] and value == 0)):
            raise ModelError(f"{option.spelling} must be above 0")


def refuse_odd_thickness(given: Mapping[str, Any]) -> None:
    """Refuse a depth that is no whole number of pixels; ModelError with the option."""
    thickness = given["thickness"]
    if thickness is not None and not (1 <= thickness < 1e6 and thickness == int(thickness)):
        raise ModelError(f"{THICKNESS.spelling} must be a whole number from 1 px")


def optics_of(given: Mapping[str, Any], header: ImageHeader) -> Optics:
    """The optics as options say them; the pixel size also as the header says it."""
    return Optics(
        pixel_size=pixel_size_of(given["pixel_size"], header),
        voltage=given["voltage"],
        spherical_aberration=given["spherical_aberration"],
        amplitude_contrast=given["amplitude_contrast"],
        group=given["optics_group"],
    )


def told_optics(optics: Optics) -> dict[str, Any]:
    """The options that say these optics."""
    return {
        "pixel_size": optics.pixel_size,
        "voltage": optics.voltage,
        "spherical_aberration": optics.spherical_aberration,
        "amplitude_contrast": optics.amplitude_contrast,
        "optics_group": optics.group,
    }


def pixel_size_of(given: float | None, header: ImageHeader) -> float:
    """The pixel size that is given, or that of the header, which is said [Å].

    Raises
    ------
    MissingFieldError
        If neither says one.
    """
    # 1 Å is what programs write that know none.
    known = header.pixel_size > 0 and abs(header.pixel_size - 1) > 1e-6
    if given is None:
        if not known:
            raise MissingFieldError(
                "the header has no pixel size; give it (`pixel_size`)", path=header.path
            )
        warnings.warn(
            f"pixel size taken from the stacks, such as {header.pixel_size:.4g} Å of "
            f"{os.path.basename(header.path)}",
            AssumptionWarning,
            stacklevel=3,
        )
        return round(header.pixel_size, 6)
    if known and abs(header.pixel_size / given - 1) > 0.05:
        warnings.warn(
            f"pixel size {given:g} Å (`pixel_size`) is taken, though the stacks' headers "
            f"say another pixel size, such as {header.pixel_size:.4g} Å of "
            f"{os.path.basename(header.path)}",
            AssumptionWarning,
            stacklevel=3,
        )
    return given


def of_kept(table: DefocusTable, kept: Sequence[int], n_views: int, stack: str) -> DefocusTable:
    """The defocus of the kept views, of a table that has all of a stack's views or only those.

    Raises
    ------
    FileFormatError
        If it has another number of lines.
    """
    if len(table) == n_views:
        return table.take(kept)
    if len(table) == len(kept):
        warnings.warn(
            f"{table.path} has {len(table)} lines, as many as views are kept of {n_views}: taken "
            "for the kept ones",
            AssumptionWarning,
            stacklevel=3,
        )
        return table
    raise FileFormatError(
        f"expected defocus of the {n_views} images of {stack}, found {len(table)} lines",
        path=table.path,
    )


def with_own_stack(tomogram: Tomogram, path: str) -> Tomogram:
    """The tomogram with a stack, written here, of those images that it has."""
    if tomogram.stack is None or tomogram.image_index is None:
        return tomogram
    join_images([(tomogram.stack, int(i)) for i in tomogram.image_index], stack_path(path))
    return replace(tomogram, stack=path, image_index=None)


def named_for_relion(stack: str) -> str:
    """The path of a stack as sets have it: RELION knows MRC and TIFF by their endings only."""
    known = (".mrc", ".mrcs", ".tif", ".tiff")
    return stack if stack.endswith(known) else f"{stack}:mrc"


@contextlib.contextmanager
def of_file(path: str) -> Iterator[None]:
    """Have what the model refuses name the file that says it."""
    try:
        yield
    except ModelError as problem:
        raise FileFormatError(str(problem), path=path) from problem


def dose_of(tomogram: Tomogram) -> float | None:
    """Dose of one image, said or from the order of doses [e/Å²]."""
    doses = tomogram.pre_exposure
    if tomogram.fractional_dose is not None or doses is None or len(doses) < 2:
        return tomogram.fractional_dose
    return float(np.median(np.diff(np.sort(doses))))


def depth_hand(tomogram: Tomogram, read: Array) -> int:
    """The hand for depth as projections that are read have it, where the own runs otherwise."""
    own = tomogram.projections
    same = own is None or (read[:, 2, :3] * own[:, 2, :3]).sum() >= 0
    return tomogram.hand if same else -tomogram.hand


def larger_first(u: Array, v: Array, angles: Array) -> tuple[Array, Array, Array]:
    """The same astigmatism with the larger defocus first, as CTFFIND has it."""
    turned = np.where(u < v, (angles + 90) % 180, angles)
    return np.maximum(u, v), np.minimum(u, v), turned


def bend(t: Tomogram) -> Array:
    """How far the deformation moves what is seen of the tomogram in each image, at most [px]."""
    assert t.deformation is not None
    size = t.need_image_size()
    seen = replace(t, deformation=None).project(geometry.corners(t.size or (1, 1, 1)))
    low, high = (np.clip(side, 0, np.subtract(size, 1)) for side in (seen.min(1), seen.max(1)))
    share = np.linspace(0, 1, _FINE)
    grid = np.stack(np.meshgrid(share, share), axis=-1).reshape(-1, 2)
    points = low[:, None] + grid * (high - low)[:, None]
    moved = t.deformation.displacement(points, image_size=size).reshape(-1, _FINE, _FINE, 2)
    # between points it is as far from linear as second differences say
    between = sum(
        np.linalg.norm(np.diff(moved, 2, axis), axis=-1).max(axis=(1, 2)) for axis in (1, 2)
    )
    return np.asarray(np.linalg.norm(moved, axis=-1).max(axis=(1, 2)) + between / 8)


def unsaid(project: Project, t: Tomogram, package: str, said: Sequence[str] = ()) -> list[str]:
    """What belongs to a tomogram, and files of single series say nothing of, but for `said`."""
    particles = project.particles
    what = {
        "a 2D deformation": t.deformation is not None and t.deformation.coefficients.any(),
        "images of half of the frames": t.half_images,
        "particles": particles is not None and t.name in particles.by_tomogram(),
        "fiducials": project.fiducials.get(t.name),
    }
    gone = ", ".join(one for one, value in what.items() if value and one not in said)
    return [f"has {gone}: files of {package} do not say it"] if gone else []


def to_axis(axes: Array) -> Array:
    """Transforms that turn directions, counter-clockwise from y [deg], to y: (n, 2, 3)."""
    turn = np.deg2rad(axes)
    c, s = np.cos(turn), np.sin(turn)
    xf = np.zeros((len(turn), 2, 3))
    xf[:, 0, 0] = xf[:, 1, 1] = c
    xf[:, 0, 1], xf[:, 1, 0] = s, -s
    return xf


def volume_about(axis: float, size: tuple[int, int], thickness: float) -> geometry.ImodVolume:
    """The volume of images [px] whose tilt axis, in this direction [deg], is turned to y."""
    return geometry.ImodVolume(aligned_size=geometry.extent(axis, size), thickness=int(thickness))


def axis_voxel(volume: geometry.ImodVolume) -> Array:
    """The voxel on the tilt axis in the middle of the volume, where the defocus holds."""
    return np.asarray(np.linalg.inv(volume.to_specimen())[:3, 3])


def parse_size(text: str | None) -> tuple[int, int, int] | None:
    """Width, height and depth of ``W,H,D`` [px]; ValueError where it is none."""
    if text is None:
        return None
    words = text.replace("x", ",").split(",")
    if len(words) != 3 or not all(word.strip().isdecimal() and int(word) > 0 for word in words):
        raise ValueError(text)
    return int(words[0]), int(words[1]), int(words[2])


def refuse_size(text: str | None) -> None:
    """Refuse a `--size` that is none; ModelError."""
    try:
        parse_size(text)
    except ValueError:
        raise ModelError(
            f"{SIZE.spelling} takes three whole numbers above 0, as in 4096,4096,1500"
        ) from None


def culled(tomograms: Sequence[Tomogram], target: str | os.PathLike[str]) -> list[Tomogram]:
    """With stacks of the images that they have, in the folder ``culled`` beside a set."""
    folder = os.path.join(os.path.dirname(os.fspath(target)), "culled")
    names = file_names(t.name for t in tomograms)
    return [with_own_stack(t, os.path.join(folder, f"{names[t.name]}.mrc")) for t in tomograms]
