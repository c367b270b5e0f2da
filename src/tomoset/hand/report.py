"""What is written of the hand of a tilt series."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tomoset import star
from tomoset.hand.measure import Measured
from tomoset.model import Tomogram

Array = npt.NDArray[np.float64]


def hand_to_star(tomogram: Tomogram, measured: Measured) -> star.StarFile:
    """The report of a series.

    Tables: ``hand``, of the whole series; ``tilts``, of each image, in the order of the set.
    Odds are natural logarithms, of a defocus hand of +1 against -1.

    Parameters
    ----------
    tomogram : Tomogram
        As it was.
    measured : Measured
        What was found.
    """
    whole = {
        "rlnTomoName": tomogram.name,
        "rlnTomoHand": str(tomogram.hand),
        "tomosetHandLogOdds": f"{measured.log_odds:.3f}",
        "tomosetHandLogOddsRaw": f"{measured.log_odds_raw:.3f}",
        "tomosetHandSpread": f"{measured.spread:.3f}",
        "tomosetInclinedAboutAxis": f"{measured.inclined[0]:.1f}",
        "tomosetInclinedAcross": f"{measured.inclined[1]:.1f}",
        "tomosetDefocusOff": f"{measured.off:.0f}",
    }
    one = star.Table("hand", {label: [text] for label, text in whole.items()}, is_loop=False)
    unknown = np.full(tomogram.n_tilts, np.nan)
    columns: dict[str, tuple[Array, str]] = {
        "tomosetTiltImage": (np.arange(1.0, tomogram.n_tilts + 1), ".0f"),
        "tomosetTiltAngle": (tomogram.tilt_angles, ".2f"),
        "tomosetHandLogOdds": (measured.by_tilt, ".3f"),
        "tomosetRingsLogOdds": (measured.rings, ".3f"),
        "tomosetDefocus": (measured.defocus, ".0f"),
        "tomosetDefocusError": (measured.error, ".0f"),
        "tomosetDefocusInTable": (unknown if measured.table is None else measured.table, ".0f"),
        "tomosetDisagrees": (measured.disagrees.astype(np.float64), ".0f"),
    }
    texts = {label: [format(v, form) for v in values] for label, (values, form) in columns.items()}
    return star.StarFile((one, star.Table("tilts", texts)))
