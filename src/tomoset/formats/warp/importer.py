"""From Warp's files of a tilt series to a tomogram.

A point p of the volume [Å, from the middle of its first voxel] is seen at

    q = I/2 + offset + Rz(axis) Ry(-(angle + LevelAngleY)) Rx(LevelAngleX) (p - V/2)

less the movement that the grids have there, of an image of size I and a volume of size V [Å].
Row z of that rotation adds to the defocus; with AreAnglesInverted it is subtracted.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from tomoset import geometry
from tomoset.errors import AssumptionWarning, FileFormatError, LossyWarning
from tomoset.formats.warp.grids import Grid, to_deformation
from tomoset.formats.warp.images import WarpImages, movies_of
from tomoset.formats.warp.motion import VolumeMotion
from tomoset.formats.warp.series import WarpSeries
from tomoset.formats.warp.sizes import (
    ImportOptions,
    SettingsOf,
    image_size_of,
    pixel_size_of,
    positive,
    volume_of,
)
from tomoset.images.stack import ImageHeader
from tomoset.model import Deformation, Optics, Tomogram

Array = npt.NDArray[np.float64]

#: Movements of less are of no use to anybody [px].
_NOTHING = 1e-6


@dataclass(frozen=True, kw_only=True)
class Imported:
    """A tomogram, what was chosen for it, and how what is in it moves."""

    tomogram: Tomogram
    notes: tuple[str, ...]
    motion: VolumeMotion | None = None


def import_series(series: WarpSeries, options: ImportOptions, settings: SettingsOf) -> Imported:
    """One tilt series.

    Raises
    ------
    MissingFieldError
        If a size is nowhere said.
    FileFormatError
        If values are impossible.
    """
    if not series.use.any():
        raise FileFormatError(
            "UseTilt is False for all tilt images: nothing is left", path=series.path
        )
    images = WarpImages.of(series, options.images)
    pixel_size = pixel_size_of(series, options, settings, images.header)
    notes = list(images.notes)
    tomogram = Tomogram(
        name=series.name,
        n_tilts=len(series.angles),
        optics=_optics(series, options, pixel_size),
        # More depth is more defocus in Warp, unless its angles are inverted.
        hand=-1 if series.inverted else 1,
        nominal_tilts=-series.angles if series.offsets is None else None,
        movies=movies_of(series),
        **_doses(series, options),  # type: ignore[arg-type]
        **_ctf(series),  # type: ignore[arg-type]
    )
    if series.offsets is None:
        notes.append("not aligned: it has no offsets of the tilt axis; give Warp's .xml")
    else:
        tomogram = _aligned(tomogram, series, options, settings, images.header)
        _say_what_is_lost(series, tomogram)
    out = np.flatnonzero(~series.use)
    if images.only_used and len(out):
        tomogram = tomogram.select(np.flatnonzero(series.use).tolist())
    tomogram = replace(tomogram, stack=images.stack, images=images.single, image_index=None)
    if len(out):
        notes.append(f"{len(out)} of {len(series.angles)} tilt images are excluded (UseTilt)")
    if len(out) and not images.only_used:
        tomogram = tomogram.exclude(out.tolist(), "UseTilt is False in Warp")
    motion = None
    if series.volume_warp is not None and series.offsets is not None:
        volume, _ = volume_of(series, options, pixel_size, settings)
        motion = VolumeMotion(grids=series.volume_warp, volume=volume, times=_times(series))
    return Imported(tomogram=tomogram, notes=tuple(notes), motion=motion)


def _times(series: WarpSeries) -> Array:
    """When each image that is used was taken, of the series' doses 0 to 1."""
    dose = np.zeros(len(series.angles)) if series.dose is None else series.dose
    return np.asarray(((dose - dose.min()) / (np.ptp(dose) or 1.0))[series.use])


def projections_of(series: WarpSeries, pixel_size: float, volume: Array, image: Array) -> Array:
    """Projections of a series, but for its grids, from voxels to pixels: (n, 4, 4).

    Parameters
    ----------
    series : WarpSeries
        With its offsets.
    pixel_size : float
        [Å]
    volume, image : (3,) and (2,) arrays
        Sizes, which need not be whole [px].
    """
    x, y = series.level
    angles = np.zeros((len(series.angles), 3))
    angles[:, 0], angles[:, 1], angles[:, 2] = x, -(series.angles + y), series.axis
    turned = geometry.rigid_rotations(angles)
    offsets = np.zeros((len(angles), 2)) if series.offsets is None else series.offsets
    turned[:, :2, 3] = image / 2 + offsets / pixel_size
    return np.asarray(turned @ geometry.translation(-volume / 2))


def _aligned(
    t: Tomogram,
    series: WarpSeries,
    options: ImportOptions,
    settings: SettingsOf,
    header: ImageHeader | None,
) -> Tomogram:
    """With its projections and its deformation."""
    px = t.need_pixel_size()
    image, image_size = image_size_of(series, options, px, header)
    volume, size = volume_of(series, options, px, settings)
    projections = projections_of(series, px, volume, image)
    shift, deformation = _movement(series, px)
    projections[:, :2, 3] -= shift
    if len(series.angles) > 1 and not np.any(series.offsets):
        warnings.warn(
            f"{series.path}: all offsets of the tilt axis are 0: it seems not to be aligned yet",
            AssumptionWarning,
            stacklevel=3,
        )
    return replace(
        t,
        projections=projections,
        size=size,
        image_size=image_size,
        depth_origin=volume / 2,
        deformation=deformation,
    )


def _movement(series: WarpSeries, pixel_size: float) -> tuple[Array, Deformation | None]:
    """Shifts of whole images [px], and how they are bent; what of that is off is said."""
    n, none = len(series.angles), Grid(values=np.zeros((1, 1, 1)))
    x, y = (series.grids.get(f"GridMovement{axis}", none) for axis in "XY")
    if x.is_flat and y.is_flat:
        return np.stack([x.centre(n), y.centre(n)], axis=1) / pixel_size, None
    made, off = to_deformation(x, y, n, pixel_size)
    if off.max() > _NOTHING:
        warnings.warn(
            f"{series.path}: its movement is carried over as a deformation of {made.grid[0]} x "
            f"{made.grid[1]} nodes, which is up to {off.max():.2g} px off",
            LossyWarning,
            stacklevel=4,
        )
    return np.zeros((n, 2)), made


def _optics(series: WarpSeries, options: ImportOptions, pixel_size: float) -> Optics:
    numbers = {
        "voltage": positive(series, series.ctf, "Voltage"),
        "spherical_aberration": positive(series, series.ctf, "Cs"),
        "amplitude_contrast": positive(series, series.ctf, "Amplitude"),
    }
    given = {name: value for name, value in numbers.items() if value is not None}
    return Optics(pixel_size=pixel_size, group=options.optics_group, **given)  # type: ignore[arg-type]


def _doses(series: WarpSeries, options: ImportOptions) -> dict[str, Array | float | None]:
    """What the specimen had received before each image, and of one image [e/Å²].

    Warp 2 writes the dose before an image; Warp 1 that after it, or in its middle.
    """
    dose = series.dose
    if dose is None or (len(dose) > 1 and not dose.any()):
        return {"pre_exposure": None}
    if dose.min() < 0:
        raise FileFormatError(f"doses must not be negative, found {dose.min():g}", path=series.path)
    steps = np.diff(np.unique(dose))
    step = float(np.median(steps)) if len(steps) else None
    meaning = options.dose
    if meaning is None:
        late = round(2 * dose.min() / step) if series.is_warp1 and step else 0
        meaning = {0: "before", 1: "middle", 2: "after"}.get(late, "before")
        if meaning != "before":
            warnings.warn(
                f"{series.path}: the smallest dose is {dose.min():g} e/Å², in steps of {step:g}: "
                f"taken for what counts {'in the ' * (meaning == 'middle')}{meaning} "
                f"{'of ' * (meaning == 'middle')}an image, as Warp 1 has it (--dose decides)",
                AssumptionWarning,
                stacklevel=3,
            )
    early = {"before": 0.0, "middle": 0.5, "after": 1.0}[meaning] * (step or 0.0)
    return {"pre_exposure": np.maximum(dose - early, 0.0), "fractional_dose": step}


def _ctf(series: WarpSeries) -> dict[str, Array | None]:
    """Defocus [Å], angles [deg] and scales, in the middle of the volume."""
    n, found = len(series.angles), series.grids
    weights = found.get("GridDoseWeights")
    scale = None if weights is None or weights.values.size == 1 else weights.centre(n)
    defocus = found.get("GridCTF")
    if defocus is None or not defocus.values.any():
        return {"ctf_scale": scale}
    zeros = np.zeros(n)
    names = ("GridCTFDefocusDelta", "GridCTFDefocusAngle", "GridCTFPhase")
    delta, angle, phase = (zeros if g is None else g.centre(n) for g in map(found.get, names))
    mean = defocus.centre(n)
    return {
        "defocus_u": (mean + delta / 2) * 1e4,
        "defocus_v": (mean - delta / 2) * 1e4,
        "defocus_angle": angle,
        "phase_shift": phase * 180 if phase.any() else None,
        "ctf_scale": scale,
    }


def _say_what_is_lost(series: WarpSeries, t: Tomogram) -> None:
    """Warn of what a tomogram cannot hold, in the units of what it costs."""
    said = []
    stretch = _magnification(series.magnification)
    if stretch > 1e-5:
        said.append(
            f"an anisotropic magnification of what particles look like (MagnificationCorrection), "
            f"of up to {stretch:.2%}; it changes no position"
        )
    turns = [series.grids[name].values for name in series.grids if name.startswith("GridAngle")]
    turn = max((float(np.abs(values).max()) for values in turns), default=0.0)
    if turn > _NOTHING:
        said.append(f"turns of particles (GridAngle), of up to {turn:.2g}°")
    defocus = series.grids.get("GridCTF")
    if defocus is not None and not defocus.is_flat:
        spread = np.ptp(defocus.of_tilts(t.n_tilts), axis=(1, 2)).max() * 1e4
        said.append(f"a change of defocus over the volume, of up to {spread:.3g} Å")
    if any(_any(series.ctf.get(f"ZernikeCoeffs{order}", "")) for order in ("Odd", "Even")):
        said.append("aberrations (ZernikeCoeffs)")
    bfactors = series.grids.get("GridDoseBfacs")
    if bfactors is not None and bfactors.values.size > 1 and bfactors.values.any():
        said.append("B-factors (GridDoseBfacs), in which the dose is weighted already")
    for what in said:
        warnings.warn(f"{series.path}: {what}: not carried over", LossyWarning, stacklevel=4)


def _any(numbers: str) -> bool:
    return any(word.strip("0.-+ ") for word in numbers.split(";"))


def _magnification(values: Sequence[float]) -> float:
    """By how much it changes lengths, at most."""
    if len(values) == 3:
        return max(abs(values[0] - 1), abs(values[1] - 1))
    return float(np.linalg.norm(np.reshape(values, (2, 2)) - np.eye(2), 2))
