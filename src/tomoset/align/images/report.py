"""What an alignment by images says of itself: a STAR file with a table for each question."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from tomoset import star
from tomoset.align.images.result import ImageFit
from tomoset.align.parameters import MAGNIFICATION, ROTATION, SHIFT_X, SHIFT_Y, TILT, decompose
from tomoset.model import Tomogram


def alignment_to_star(tomogram: Tomogram, fit: ImageFit) -> star.StarFile:
    """The report of an alignment.

    Tables: ``alignment``, of the whole series; ``tilts``, of each image; ``windows``, how far the
    content of parts of the specimen lies from where the alignment has it. Shifts and residuals
    are in px of the tilt images, angles in degrees; errors are standard deviations.

    Parameters
    ----------
    tomogram : Tomogram
        With the new alignment, in the frame of the fit.
    fit : ImageFit
        What was found.
    """
    about_y, about_x = fit.inclination
    whole: dict[str, object] = {
        "tomosetUsed": tomogram.n_tilts - len(fit.unused),
        "tomosetUnused": len(fit.unused),
        "tomosetDoubtful": len(fit.doubtful),
        "tomosetExpectedError": fit.expected,
        "tomosetExpectedErrorAngst": fit.expected * tomogram.need_pixel_size(),
        "tomosetMoved": fit.moved,
        "tomosetTiltAxis": fit.axis,
        "tomosetTiltAxisError": fit.axis_error,
        "tomosetTiltAxisBefore": fit.axis_before,
        "tomosetThicknessAngst": fit.thickness,
        "tomosetThicknessAngstError": fit.thickness_error,
        "tomosetInclinationY": about_y,
        "tomosetInclinationYError": fit.inclination_error[0],
        "tomosetInclinationX": about_x,
        "tomosetInclinationXError": fit.inclination_error[1],
        "tomosetWorkingPixelAngst": fit.working_pixel,
        "tomosetSignalToNoise": fit.signal,
    }
    one = star.summary_table("alignment", whole)
    return star.StarFile((one, _tilts(tomogram, fit), _windows(fit)))


def _tilts(tomogram: Tomogram, fit: ImageFit) -> star.Table:
    """Where each image shows the middle of the tomogram, and what the others say of it."""
    n = tomogram.n_tilts
    middle = (np.array(tomogram.need_size(), np.float64) - 1) / 2
    cameras = decompose(fit.projections, middle)
    image_middle = (np.array(tomogram.need_image_size()) - 1) / 2
    values = {
        "shift_x": cameras[:, SHIFT_X] - image_middle[0],
        "shift_y": cameras[:, SHIFT_Y] - image_middle[1],
        "rotation": np.rad2deg(cameras[:, ROTATION]),
        "tilt": np.rad2deg(cameras[:, TILT]),
        "magnification": np.exp(cameras[:, MAGNIFICATION]),
    }
    columns: dict[str, Iterable[object]] = {"tomosetTiltImage": range(1, n + 1)}
    for name, of in values.items():
        columns[star.report_label(name)] = of
        columns[star.report_label(name, "Error")] = fit.deviations.get(name, np.full(n, np.nan))
    columns |= {
        "tomosetSupport": fit.support,
        "tomosetRival": fit.rival,
        "tomosetPredicted": fit.predicted,
        "tomosetVerdict": [_verdict(fit, i) for i in range(n)],
        "tomosetReason": [_reason(fit, i) for i in range(n)],
    }
    return star.report_table("tilts", columns)


def _verdict(fit: ImageFit, i: int) -> str:
    return "unused" if i in fit.unused else "doubtful" if i in fit.doubtful else "good"


def _reason(fit: ImageFit, i: int) -> str:
    said = fit.unused.get(i) or fit.doubtful.get(i) or "none"
    return "_".join(said.split())


def _windows(fit: ImageFit) -> star.Table:
    """Of each window in each image in which it was compared."""
    tilt, window = np.nonzero(np.isfinite(fit.residuals).all(axis=2))
    off, at = fit.residuals[tilt, window], fit.windows[window]
    return star.report_table(
        "windows",
        {
            "tomosetWindow": window + 1,
            "tomosetTiltImage": tilt + 1,
            "tomosetX": at[:, 0],
            "tomosetY": at[:, 1],
            "tomosetZ": at[:, 2],
            "tomosetResidualX": off[:, 0],
            "tomosetResidualY": off[:, 1],
        },
    )
