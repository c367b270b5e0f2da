"""The CTF of one tilt series, of its images alone."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from tomoset.ctf.absorbed import absorbed
from tomoset.ctf.coarse import CoarseSearch, Common
from tomoset.ctf.cropped import Images, KeptImages
from tomoset.ctf.nominal import ALIGNED, NOMINAL, in_place, is_aligned
from tomoset.ctf.options import CtfOptions
from tomoset.ctf.search import FINEST, Search, Solved
from tomoset.ctf.seen import evidence, seen_of
from tomoset.ctf.terms import OWN
from tomoset.errors import ModelError
from tomoset.hand.coarse import microscope
from tomoset.hand.series import coarsest_pixel, least_defocus
from tomoset.images.ctf import wavelength
from tomoset.model import Tomogram
from tomoset.run import one_thread

Array = npt.NDArray[np.float64]

#: The finest rings that are looked for, first [Å].
_FIRST = 6.0
#: Rings must be so much likelier than none [natural logarithm].
_SEEN = 6.0
#: An image tells its defocus if its rings are so much likelier than none [natural logarithm], it
#: is known so well [Å], and no other one is likelier.
_TOLD, _KNOWN, _CERTAIN = 6.0, 600.0, 0.5
#: And if its pixels show so many rings: fewer say as much of the background as of the defocus.
_FEWEST_RINGS = 2.5
#: By chance, the best of all defoci makes rings four times likelier, as a logarithm, in each image;
#: they must be so much on average, of which no image counts for more than a few.
_ON_AVERAGE, _FEW = 5.5, 5.0
#: So many images must tell, for nothing confirms a defocus that fewer show.
_LEAST = 3
_CURES = (
    "take images that were not filtered, binned less, or not yet corrected for their CTF, or "
    "another range (--defocus)"
)
#: Images whose tilts lie within so many degrees do not show a specimen's depth.
_RANGE = 5.0


@dataclass(frozen=True, kw_only=True, eq=False)
class MeasuredCtf:
    """What a tilt series says of its CTF.

    Parameters
    ----------
    defocus, defocus_error : (n_tilts,) arrays
        Mean of U and V where the set's table holds, and its standard deviation [Å].
    astigmatism, astigmatism_error : (n_tilts,) arrays
        U - V, 0 or more [Å].
    angle, angle_error : (n_tilts,) arrays
        From image x to the U axis, counter-clockwise, -90 to 90 [deg].
    phase_shift, phase_shift_error : (n_tilts,) arrays or None
        Of a phase plate, if there is one [deg].
    rings : (n_tilts,) array
        Natural logarithm of how much likelier rings are than none, of all defoci that the others
        predict.
    merit : (n_tilts,) array
        Correlation of what the image shows with its rings.
    resolution : (n_tilts,) array
        To which rings are seen [Å]; infinite if none are.
    told : (n_tilts,) bool array
        Images that show their defocus; that of the rest is what the others predict.
    inclined, inclined_error : (2,) arrays
        Of the specimen against the tomogram's middle plane: about the tilt axis, and across [deg].
    axis_off, axis_off_error : float
        Of the direction of the tilt axis, from what the set says [deg].
    thickness : float
        Of the specimen, roughly [Å].
    hand_log_odds : float
        Natural logarithm of the odds of a hand of +1 against -1, roughly.
    course : (2,) array
        Standard deviations of defocus: of its course over the tilts, and about that [Å].
    """

    defocus: Array
    defocus_error: Array
    astigmatism: Array
    astigmatism_error: Array
    angle: Array
    angle_error: Array
    phase_shift: Array | None
    phase_shift_error: Array | None
    rings: Array
    merit: Array
    resolution: Array
    told: npt.NDArray[np.bool_]
    inclined: Array
    inclined_error: Array
    axis_off: float
    axis_off_error: float
    thickness: float
    hand_log_odds: float
    course: Array

    @property
    def defocus_u(self) -> Array:
        """The larger defocus [Å]: (n_tilts,)."""
        return np.asarray(self.defocus + self.astigmatism / 2)

    @property
    def defocus_v(self) -> Array:
        """The smaller defocus [Å]: (n_tilts,)."""
        return np.asarray(self.defocus - self.astigmatism / 2)


def measure(
    tomogram: Tomogram, images: Images, options: CtfOptions, threads: int = 1
) -> MeasuredCtf:
    """Find the CTF of each image of a tilt series.

    Parameters
    ----------
    tomogram : Tomogram
        With its pixel size and microscope; aligned, or with the stage's angles.
    images : Images
        Its images.
    options : CtfOptions
        What is searched.
    threads : int
        That are used.

    Raises
    ------
    ModelError
        If something is not known, or the images cannot tell: one tilt, no rings, too coarse or
        too few pixels.
    FileFormatError
        If an image is damaged.
    """
    import scipy.fft

    placed = in_place(tomogram, images.size)
    refuse_alike(placed)
    options = seen_range(placed, options)
    axis_error = ALIGNED if is_aligned(tomogram) else NOMINAL
    with one_thread(), scipy.fft.set_workers(threads):
        kept = KeptImages(images, placed.need_pixel_size(), FINEST, threads)
        common = _common(placed, kept, options)
        search = Search(
            tomogram=placed,
            images=kept,
            options=options,
            axis_error=axis_error,
            absorbed=absorbed(placed.tilt_angles, kept.levels, placed.optics.need("voltage")),
            threads=threads,
        )
        found = search.best(common)
    measured = _measured((tomogram, placed), found, plate=options.phase_plate)
    likeliest = np.median(found.fit.parameters.own[:, 0])
    if np.median(_number(found.fit.parameters.own[:, 0], placed)) < _FEWEST_RINGS:
        finer = math.sqrt(wavelength(placed.optics.need("voltage")) * likeliest / _FEWEST_RINGS) / 2
        raise ModelError(
            f"tomogram {placed.name!r}: pixels of {placed.need_pixel_size():.3g} Å show fewer than "
            f"{_FEWEST_RINGS:g} Thon rings of its defocus (likeliest: {likeliest / 1e4:.1f} µm), "
            f"too few to tell it; pixels of {finer:.3g} Å or less show them (less binning)"
        )
    some = measured.rings[found.fit.rings != 0] / _ON_AVERAGE
    if np.minimum(some, _FEW).sum() < len(some) or measured.told.sum() < _LEAST:
        raise ModelError(
            f"tomogram {placed.name!r}: its images show Thon rings too faint to tell their "
            f"defocus (likeliest: {likeliest / 1e4:.1f} µm); "
            f"{_CURES}"
        )
    return measured


def _number(defocus: Array, tomogram: Tomogram) -> Array:
    """How many rings of a defocus pixels show: (n_tilts,)."""
    finest = max(2 * tomogram.need_pixel_size(), FINEST)
    return np.asarray(wavelength(tomogram.optics.need("voltage")) * defocus / finest**2)


def refuse_alike(tomogram: Tomogram) -> None:
    """Refuse a series that shows its specimen from one side only.

    Raises
    ------
    ModelError
        With how many tilts there are.
    """
    if tomogram.n_tilts < 3 or np.ptp(tomogram.tilt_angles) < _RANGE:
        raise ModelError(
            f"tomogram {tomogram.name!r} has {tomogram.n_tilts} tilt image"
            f"{'s' * (tomogram.n_tilts != 1)} within "
            f"{np.ptp(tomogram.tilt_angles) if tomogram.n_tilts else 0:.1f} degrees; at least 3 "
            "that differ are needed, for the images of a series help each other: take a program "
            "for single images (CTFFIND, Gctf)"
        )


def seen_range(tomogram: Tomogram, options: CtfOptions) -> CtfOptions:
    """The part of the range that the pixels can show.

    Raises
    ------
    ModelError
        If that is nothing: with a pixel size that would do.
    """
    pixel_size, voltage = tomogram.need_pixel_size(), tomogram.optics.need("voltage")
    least = least_defocus(pixel_size, voltage)
    if least < 0.7 * options.high:
        return replace(options, low=max(options.low, least))
    raise ModelError(
        f"tomogram {tomogram.name!r}: pixels of {pixel_size:g} Å are too coarse to show Thon rings "
        f"of a defocus up to {options.high / 1e4:.2g} µm; take images of pixels of "
        f"{coarsest_pixel(options.low, voltage):.2g} Å or less (less binning)"
    )


def _common(placed: Tomogram, images: KeptImages, options: CtfOptions) -> Common:
    """What all images have in common.

    Raises
    ------
    ModelError
        If no rings are seen.
    """
    cropped = images.coarser(_FIRST)
    search = CoarseSearch(placed, cropped, microscope(placed), options)
    for i in range(len(cropped)):
        search.add(cropped.read(i))
    common = search.common()
    if common.odds < _SEEN:
        raise ModelError(
            f"tomogram {placed.name!r}: its images show no Thon rings of a defocus of "
            f"{options.low / 1e4:.2g} to {options.high / 1e4:.2g} µm; {_CURES}"
        )
    return common


def _measured(tomograms: tuple[Tomogram, Tomogram], found: Solved, *, plate: bool) -> MeasuredCtf:
    """All that follows; of the tomogram as it was, and in its place."""
    tomogram, placed = tomograms
    near, fit, course = found.near, found.fit, found.course
    seen, rings = seen_of(fit), evidence(fit, course, placed.tilt_angles)
    own, n = fit.parameters.own, len(fit.parameters.own)
    errors = np.sqrt(fit.covariance.diagonal())
    each = errors[: OWN * n].reshape(n, OWN)
    half = np.hypot(own[:, 1], own[:, 2])
    # With the other hand the specimen is inclined to the other side.
    other = math.exp(-0.5 * np.logaddexp(0, abs(near.hand_log_odds)))
    # Errors along the astigmatism and across it, as if both components had the same.
    spread = np.hypot(each[:, 1], each[:, 2]) / math.sqrt(2)
    across = np.degrees(np.arctan2(spread, np.maximum(half, 1e-9))) / 2
    table = np.array(placed.need_size()) / 2
    origin = table if tomogram.depth_origin is None else tomogram.depth_origin
    turned = replace(placed, defocus_u=own[:, 0], defocus_v=own[:, 0], hand=int(near.geometry.hand))
    at_table = turned.with_depth_origin(origin).defocus_u
    assert at_table is not None
    return MeasuredCtf(
        defocus=at_table,
        defocus_error=each[:, 0],
        astigmatism=2 * half,
        astigmatism_error=2 * spread,
        angle=np.degrees(np.arctan2(own[:, 2], own[:, 1])) / 2,
        angle_error=np.minimum(across, 52.0),
        phase_shift=np.degrees(own[:, 3]) % 180 if plate else None,
        phase_shift_error=np.degrees(each[:, 3]) if plate else None,
        rings=rings,
        merit=seen.merit,
        resolution=seen.resolution,
        told=(rings > _TOLD)
        & (each[:, 0] < _KNOWN)
        & (near.defoci.certain > _CERTAIN)
        & (_number(own[:, 0], placed) >= _FEWEST_RINGS),
        inclined=fit.parameters.pose[:2],
        inclined_error=np.hypot(errors[OWN * n : OWN * n + 2], 2 * other * fit.parameters.pose[:2]),
        axis_off=float(fit.parameters.pose[2]),
        axis_off_error=float(errors[OWN * n + 2]),
        thickness=fit.thickness,
        hand_log_odds=near.hand_log_odds,
        course=np.array([course.smooth, course.rough]),
    )
