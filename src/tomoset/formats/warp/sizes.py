"""Pixel size and sizes of Warp's series: by options, images, settings and the files."""

from __future__ import annotations

import glob
import os
import warnings
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tomoset.errors import AssumptionWarning, FileFormatError, MissingFieldError
from tomoset.formats.warp.series import Settings, WarpSeries, read_settings
from tomoset.images.stack import ImageHeader

Array = npt.NDArray[np.float64]

#: Sizes that differ by more are of something else (a share).
_FAR = 0.02
#: No image and no volume is wider [px].
_LARGEST = 1e6


@dataclass(frozen=True, kw_only=True)
class ImportOptions:
    """What holds for all series of an import.

    Parameters
    ----------
    pixel_size : float, optional
        Of the tilt images [Å].
    size : (int, int, int), optional
        Of the tomograms [px].
    image_size : (int, int), optional
        Of the tilt images [px].
    dose : {"before", "middle", "after"}, optional
        When an image's dose counts.
    settings : str, optional
        A ``.settings`` file.
    images : str, optional
        Folder of the tilt images, called like the movies.
    optics_group : str
        Name of the optics group.
    """

    pixel_size: float | None = None
    size: tuple[int, int, int] | None = None
    image_size: tuple[int, int] | None = None
    dose: str | None = None
    settings: str | None = None
    images: str | None = None
    optics_group: str = "opticsGroup1"


class SettingsOf:
    """The settings of series: those that are given, or that lie beside their folder."""

    def __init__(self, given: str | None) -> None:
        self._given = None if given is None else read_settings(given)
        self._found: dict[str, Settings | None] = {}

    def of(self, path: str) -> Settings | None:
        """Those of a series; None if there are none, or several with other sizes."""
        if self._given is not None:
            return self._given
        folder = os.path.dirname(os.path.abspath(path))
        if folder not in self._found:
            self._found[folder] = self._look(folder)
        return self._found[folder]

    @staticmethod
    def _look(folder: str) -> Settings | None:
        near = glob.glob(os.path.join(glob.escape(os.path.dirname(folder)), "*.settings"))
        found = []
        for path in sorted(near):
            settings = read_settings(path)
            folders = {os.path.realpath(f) for f in (settings.processing, settings.data) if f}
            if os.path.realpath(folder) in folders:
                found.append(settings)
        same = {(one.pixel_size, one.volume) for one in found}
        return found[0] if len(same) == 1 else None


def pixel_size_of(
    series: WarpSeries, options: ImportOptions, settings: SettingsOf, header: ImageHeader | None
) -> float:
    """What is given; else the images', the settings' or the file's own, which Warp may not know."""
    known = positive(series, series.ctf, "PixelSize")
    known = None if known == 1.0 else known
    if options.pixel_size is not None:
        if header is None and known is not None and abs(options.pixel_size / known - 1) > _FAR:
            warnings.warn(
                f"{series.path}: {options.pixel_size:g} Å/px is given, and its CTF is of images of "
                f"{known:g} Å/px: is the pixel size right?",
                AssumptionWarning,
                stacklevel=4,
            )
        return options.pixel_size
    if header is not None and header.pixel_size > 0 and abs(header.pixel_size - 1) > 1e-6:
        return round(header.pixel_size, 6)
    if known is not None:
        return known
    found = settings.of(series.path)
    if found is not None and found.pixel_size is not None:
        return found.pixel_size
    raise MissingFieldError(
        "neither the file nor settings beside its folder say the pixel size; give it by --angpix "
        "or --settings",
        path=series.path,
    )


def positive(series: WarpSeries, parameters: dict[str, str] | object, name: str) -> float | None:
    """A number of Warp's parameters; None where it is 0 or not said."""
    text = parameters.get(name) if isinstance(parameters, dict) else None
    if text is None or not text.strip():
        return None
    try:
        value = float(text)
    except ValueError:
        value = np.nan
    if not 0 <= value < 1e9:
        raise FileFormatError(
            f"{name}: expected a number above 0, found {text!r}", path=series.path
        )
    return value or None


def image_size_of(
    series: WarpSeries, options: ImportOptions, px: float, header: ImageHeader | None
) -> tuple[Array, tuple[int, int]]:
    """Width and height of the tilt images [px], as Warp has them and as they are."""
    given = options.image_size or (None if header is None else header.size)
    given = given or (_processed_size(series, px) if series.image is None else None)
    if series.image is not None:
        exact = np.array(series.image) / px
        if given is not None and np.abs(exact / given - 1).max() > _FAR:
            warnings.warn(
                f"{series.path}: images of {exact[0]:.5g} x {exact[1]:.5g} px were expected, by "
                f"their size in Å and {px:g} Å/px; they have {given[0]} x {given[1]}: is the pixel "
                "size right?",
                AssumptionWarning,
                stacklevel=4,
            )
        return exact, given or _whole(exact, series.path)  # type: ignore[return-value]
    if given is None:
        raise MissingFieldError(
            "the size of the tilt images is not said (ImageDimensionsAngstrom), and the images are "
            "not there; give it by --image-size 'W H'",
            path=series.path,
        )
    return np.array(given, dtype=np.float64), given


def _processed_size(series: WarpSeries, px: float) -> tuple[int, int] | None:
    """Size of the tilt images [px] that CTFs of all tilts were fitted in; Warp 1 says it in Å."""
    words = series.processing.get("Dimensions", "").split(",")
    try:
        width, height, n = map(float, words)
    except ValueError:
        return None
    if n != len(series.angles) or not 0 < min(width, height) <= max(width, height) < _LARGEST * px:
        return None
    size = round(width / px), round(height / px)
    warnings.warn(
        f"{series.path}: size of the tilt images, {size[0]} x {size[1]} px, as the options of its "
        "CTF have it (Dimensions)",
        AssumptionWarning,
        stacklevel=5,
    )
    return size


def volume_of(
    series: WarpSeries, options: ImportOptions, px: float, settings: SettingsOf
) -> tuple[Array, tuple[int, int, int]]:
    """Size of the tomogram [px], as Warp has it and in whole voxels."""
    if options.size is not None:
        return np.array(options.size, dtype=np.float64), options.size
    sides = series.volume
    if sides is None:
        found = settings.of(series.path)
        sides = None if found is None else found.volume
    if sides is None:
        raise MissingFieldError(
            "the size of the tomogram is not said (VolumeDimensionsAngstrom), nor by settings "
            "beside the folder; give it by --size 'W H D' or --settings",
            path=series.path,
        )
    exact = np.array(sides) / px
    return exact, _whole(exact, series.path)  # type: ignore[return-value]


def _whole(sides: Array, path: str) -> tuple[int, ...]:
    if not (sides < _LARGEST).all():
        raise FileFormatError(
            f"sizes of {' x '.join(f'{side:.3g}' for side in sides)} px were found; is the pixel "
            "size right?",
            path=path,
        )
    return tuple(max(1, round(side)) for side in sides.tolist())
