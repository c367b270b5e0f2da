"""A real alignment by IMOD that has no stack, as a tomogram."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tomoset import geometry as g
from tomoset.model import Optics, Tomogram


def imod_ts03(shared: Path, image_size: tuple[int, int]) -> Tomogram:
    """TS_03 of EMPIAR-10164 as IMOD aligned it, in a volume as etomo leaves it."""
    base = shared / "data/imod/EMPIAR-10164_TS_03/TS_03"
    rows, tilts = np.loadtxt(f"{base}.xf"), np.loadtxt(f"{base}.tlt")[:, 0]
    projections = g.imod_projections(
        rows[:, [0, 1, 4, 2, 3, 5]].reshape(-1, 2, 3),
        tilts,
        np.zeros_like(tilts),
        volume=g.ImodVolume(aligned_size=(4000, 4000), thickness=2000),
        raw_size=image_size,
    )
    return Tomogram(
        name="TS_03",
        n_tilts=len(tilts),
        optics=Optics(pixel_size=1.35, voltage=300.0, spherical_aberration=2.7,
                      amplitude_contrast=0.1),
        size=(4000, 4000, 2000),
        image_size=image_size,
        stack="TS_03.mrc",
        nominal_tilts=tilts,
        pre_exposure=3.0 * np.arange(len(tilts)),
        projections=projections,
    )  # fmt: skip
