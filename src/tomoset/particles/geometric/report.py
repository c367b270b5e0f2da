"""What is written of the geometric hand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from tomoset import star
from tomoset.particles.geometric.hand import GeometricOdds, rotation_of

Array = npt.NDArray[np.float64]


def angles_of(matrix: Array) -> tuple[float, float, float]:
    """Euler angles rot, tilt, psi of a rotation, by `geometry.euler_matrix` [deg].

    Examples
    --------
    >>> from tomoset.geometry import euler_matrix
    >>> [round(a, 6) + 0.0 for a in angles_of(euler_matrix(20, 30, 40))]
    [20.0, 30.0, 40.0]
    >>> [round(a, 6) + 0.0 for a in angles_of(euler_matrix(0, 180, 40))]
    [0.0, 180.0, 40.0]
    """
    tilt = np.arctan2(np.hypot(matrix[2, 0], matrix[2, 1]), matrix[2, 2])
    if np.sin(tilt) > 1e-6:
        rot = np.arctan2(matrix[2, 1], matrix[2, 0])
        psi = np.arctan2(matrix[1, 2], -matrix[0, 2])
    else:
        rot, psi = 0.0, np.arctan2(matrix[0, 1], matrix[1, 1])
    rot, tilt, psi = np.rad2deg([rot, tilt, psi]).tolist()
    return rot, tilt, psi


def numbers(odds: GeometricOdds) -> dict[str, Any]:
    """The same for JSON; shifts in px."""
    return {
        "geometric_log_odds": round(odds.log_odds, 4),
        "spread": round(odds.spread, 4),
        "correlation_with_map": round(odds.explained[0], 4),
        "correlation_with_mirror_image": round(odds.explained[1], 4),
        "rotation": [round(a, 3) for a in angles_of(rotation_of(odds.best))],
        "shift_px": odds.best.shift.round(3).tolist(),
    }


def geometric_to_star(
    whole: GeometricOdds,
    tomograms: Mapping[str, GeometricOdds],
    answers: Mapping[str, str],
    particles: Mapping[str, int],
) -> star.StarFile:
    """The report: tables ``geometric_hand``, of all, and ``tomograms``, of each.

    Odds are natural logarithms, of "as the map" against "mirror image". Rotation and shift take
    the better of the two into the particles' frame; the mirror image is the map with x reversed.

    Parameters
    ----------
    whole : GeometricOdds
        Of all tomograms.
    tomograms : mapping
        Of each.
    answers : mapping
        By name; "" is for all.
    particles : mapping
        How many there are in each.
    """
    first = {"tomosetParticles": str(sum(particles.values())), **_texts(whole, answers[""])}
    one = star.Table("geometric_hand", {k: [text] for k, text in first.items()}, is_loop=False)
    rows = [
        {"rlnTomoName": name, "tomosetParticles": str(particles[name]), **_texts(o, answers[name])}
        for name, o in tomograms.items()
    ]
    table = star.Table("tomograms", {label: [row[label] for row in rows] for label in rows[0]})
    return star.StarFile((one, table))


def _texts(odds: GeometricOdds, answer: str) -> dict[str, str]:
    rot, tilt, psi = angles_of(rotation_of(odds.best))
    x, y, z = odds.best.shift.tolist()
    return {
        "tomosetGeometricHand": answer,
        "tomosetGeometricLogOdds": f"{odds.log_odds:.3f}",
        "tomosetGeometricSpread": f"{odds.spread:.3f}",
        "tomosetMapCorrelation": f"{odds.explained[0]:.4f}",
        "tomosetMirrorCorrelation": f"{odds.explained[1]:.4f}",
        "tomosetMapRot": f"{rot:.3f}",
        "tomosetMapTilt": f"{tilt:.3f}",
        "tomosetMapPsi": f"{psi:.3f}",
        "tomosetMapShiftX": f"{x:.3f}",
        "tomosetMapShiftY": f"{y:.3f}",
        "tomosetMapShiftZ": f"{z:.3f}",
    }
