"""Where real and golden files are."""

from __future__ import annotations

from pathlib import Path

SHARED = Path(__file__).parents[3] / "shared"
STAGES = (
    "Import/job001/tilt_series.star",
    "CtfFind/job003/tilt_series_ctf.star",
    "ExcludeTiltImages/job004/selected_tilt_series.star",
    "AlignTiltSeries/job005/aligned_tilt_series.star",
    "Tomograms/job006/tomograms.star",
    "CtfRefine/job027/tomograms.star",
)
IMAGE_SIZE = (3710, 3838)  # of EMPIAR-10164, as the matrices of 220728_TS_01.star have it
