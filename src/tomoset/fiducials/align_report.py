"""What an alignment by beads says of itself: a STAR file with a table for each question."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from tomoset import geometry, star
from tomoset.align import PARAMETERS
from tomoset.fiducials.align_one import Aligned
from tomoset.model import Tomogram

Array = npt.NDArray[np.float64]


def alignment_to_star(tomogram: Tomogram, aligned: Aligned) -> star.StarFile:
    """The report of an alignment.

    Tables: ``alignment``, of the whole series; ``tilts`` and ``beads``, residuals of each and what
    the fit is of; ``outliers``, observations that did not count. Shifts and residuals are in px
    of the tilt images, angles in degrees; errors are standard deviations.

    Parameters
    ----------
    tomogram : Tomogram
        With the new alignment.
    aligned : Aligned
        What was found.
    """
    fit = aligned.fit
    whole: dict[str, object] = {
        "tomosetModel": str(fit.model).replace(" ", "_"),
        "tomosetBeads": int(np.isfinite(fit.by_bead).sum()),
        "tomosetObservations": fit.counted,
        "tomosetOutliers": fit.discarded,
        "tomosetParameters": fit.n_parameters,
        "tomosetResidual": fit.rms,
        "tomosetResidualAngst": fit.rms * tomogram.need_pixel_size(),
        "tomosetLeaveOutError": fit.leave_out,
        "tomosetLeaveOutErrorBefore": fit.leave_out_before,
        "tomosetExpectedError": fit.expected,
        "tomosetBeamTilt": fit.beam_tilt,
        **_coverage(tomogram, aligned),
    }
    one = star.summary_table("alignment", whole)
    return star.StarFile((one, _tilts(tomogram, aligned), _beads(aligned), _outliers(aligned)))


def _coverage(tomogram: Tomogram, aligned: Aligned) -> dict[str, float]:
    """How much of the least tilted image lies between beads, and how deep these lie [Å]."""
    import scipy.spatial

    points = aligned.fiducials.points
    least = int(np.argmin(np.abs(tomogram.tilt_angles)))
    area = scipy.spatial.ConvexHull(tomogram.project(points)[least]).volume
    return {
        "tomosetCoveredArea": float(area / np.prod(tomogram.need_image_size())),
        "tomosetBeadDepthAngst": float(np.ptp(points[:, 2]) * tomogram.need_pixel_size()),
    }


def _tilts(tomogram: Tomogram, aligned: Aligned) -> star.Table:
    fit, n = aligned.fit, tomogram.n_tilts
    seen = aligned.seen
    columns: dict[str, Iterable[object]] = {
        "tomosetTiltImage": range(1, n + 1),
        "tomosetTiltAngle": geometry.tilt_angles(fit.projections),
        "tomosetSeen": np.bincount(seen.tilt[~fit.outliers], minlength=n),
        "tomosetResidual": fit.by_tilt,
    }
    each = {"": fit.parameters, "Change": fit.changes, "Error": fit.deviations}
    columns |= star.parameter_columns(PARAMETERS, **each)
    return star.report_table("tilts", columns)


def _beads(aligned: Aligned) -> star.Table:
    fit, seen = aligned.fit, aligned.seen
    number = np.bincount(seen.bead[~fit.outliers], minlength=len(fit.beads))
    return star.report_table(
        "beads",
        {
            "tomosetBead": range(1, len(fit.beads) + 1),
            "tomosetX": fit.beads[:, 0],
            "tomosetY": fit.beads[:, 1],
            "tomosetZ": fit.beads[:, 2],
            "tomosetSeen": number,
            "tomosetResidual": fit.by_bead,
        },
    )


def _outliers(aligned: Aligned) -> star.Table:
    fit, seen = aligned.fit, aligned.seen
    out = np.flatnonzero(fit.outliers)
    return star.report_table(
        "outliers",
        {
            "tomosetBead": seen.bead[out] + 1,
            "tomosetTiltImage": seen.tilt[out] + 1,
            "tomosetImageX": seen.points[out, 0],
            "tomosetImageY": seen.points[out, 1],
            "tomosetResidualX": fit.residuals[out, 0],
            "tomosetResidualY": fit.residuals[out, 1],
        },
    )
