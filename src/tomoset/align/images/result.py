"""What is wanted of an alignment by images alone, and what it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from tomoset.errors import ModelError

Array = npt.NDArray[np.float64]

#: Where the direction of the tilt axis is not known at all.
UNKNOWN = "unknown"


@dataclass(frozen=True, kw_only=True)
class ImageOptions:
    """What is known of the specimen and the axis.

    Parameters
    ----------
    axis : float or "unknown", optional
        Direction of the tilt axis, counter-clockwise from the images' y [deg]; the set's if not
        given.
    thickness : float, optional
        Of the specimen [Å]; found if not given.
    level : bool
        Rotate the tomogram so that the specimen lies flat.

    Raises
    ------
    ModelError
        If numbers make no sense.
    """

    axis: float | str | None = None
    thickness: float | None = None
    level: bool = False

    def __post_init__(self) -> None:
        if isinstance(self.axis, str) and self.axis != UNKNOWN:
            raise ModelError(f"--axis is an angle in degrees, or {UNKNOWN!r}, not {self.axis!r}")
        if isinstance(self.axis, int | float) and not -360 <= self.axis <= 360:
            raise ModelError(f"--axis is an angle in degrees, not {self.axis:g}")
        if self.thickness is not None and not 50 <= self.thickness <= 20000:
            raise ModelError(f"a specimen is not {self.thickness:g} Å thick (50 to 20000)")


@dataclass(frozen=True, kw_only=True, eq=False)
class ImageFit:
    """An alignment by images alone.

    Parameters
    ----------
    projections : (n, 4, 4) array
        From 0-based voxels to 0-based pixels. Images that were not used keep their angles, and
        have the shift of their neighbours.
    deviations : mapping of str to (n,) array
        Standard deviations of ``shift_x``, ``shift_y`` [px], ``rotation``, ``tilt`` [deg] and
        ``magnification``, but for common motions of the specimen; NaN where an image was not used.
        Of a body that is seen whole across the axis, tilts and magnifications are not fitted.
    unused : mapping of int to str
        Images, from 0, that show nothing to align by, and why: dark, blank, blocked.
    doubtful : mapping of int to str
        Images whose place the others do not confirm, and why.
    support : (n,) array
        Of each image: how many standard deviations of chance its correlation with what the other
        images predict of it is above 0; NaN where it was not used.
    rival : (n,) array
        The same at the best other place.
    predicted : (n,) array
        Correlation coefficient, 0 to 1, of image and prediction, where the specimen is seen.
    residuals : (n, W, 2) array
        How far the content of each window lies from where the alignment has it [px of the images].
    windows : (W, 3) array
        Middles of the windows in the tomogram [0-based voxels].
    expected : float
        How well projections are known, but for a common motion of the specimen: rms [px].
    thickness, thickness_error : float
        Of the specimen, and its standard deviation [Å]; the diameter of a body.
    inclination, inclination_error : (float, float)
        Of the specimen's middle plane in the tomogram: about y (the tilt axis) and about x, and
        standard deviations [deg]. NaN about y for a body that is seen whole across the axis: only
        its long axis is inclined.
    plane : (3,) array
        z = plane[0] + plane[1] x + plane[2] y of the middle of the specimen [0-based voxels].
    axis, axis_error, axis_before : float
        Direction of the tilt axis, mean of all images, its standard deviation, and what the set
        had [deg].
    working_pixel : float
        Of the images as they were aligned [Å].
    signal : float
        Ratio of signal to noise at that pixel, median of the images.
    moved : float
        By how much projections changed, but for a common motion of the specimen: median [px].
    """

    projections: Array
    deviations: Mapping[str, Array]
    unused: Mapping[int, str]
    doubtful: Mapping[int, str]
    support: Array
    rival: Array
    predicted: Array
    residuals: Array
    windows: Array
    expected: float
    thickness: float
    thickness_error: float
    inclination: tuple[float, float]
    inclination_error: tuple[float, float]
    plane: Array
    axis: float
    axis_error: float
    axis_before: float
    working_pixel: float
    signal: float
    moved: float

    def reordered(self, order: npt.NDArray[np.int64]) -> ImageFit:
        """The same, of images of which `order` says where each stands otherwise: (n,)."""
        rank = np.argsort(order)
        return replace(
            self,
            projections=self.projections[rank],
            deviations={name: values[rank] for name, values in self.deviations.items()},
            unused={int(order[i]): why for i, why in self.unused.items()},
            doubtful={int(order[i]): why for i, why in self.doubtful.items()},
            support=self.support[rank],
            rival=self.rival[rank],
            predicted=self.predicted[rank],
            residuals=self.residuals[rank],
        )
