"""Alignment by beads of real series, against IMOD's own alignment of the same observations.

BBa and BBb are the two tilt series of IMOD's tutorial: a plastic section, 61 images, 23 beads that
are seen in every image. `tiltalign` wrote where it saw them, and its residuals, to ``.resid``.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.builders.measures import rms_length
from tomoset import geometry
from tomoset.align import AdjustOptions, Fit, adjust, parameters
from tomoset.model import Observations

IMAGE, SIZE = (512, 512), (512, 512, 100)
BOTH = pytest.mark.parametrize("name", ["BBa", "BBb"])


class Series:
    """One series: what IMOD saw, what it was left with, and its transforms and angles."""

    def __init__(self, shared: Path, name: str) -> None:
        folder = shared / "data" / "imod" / "BB"
        table = np.loadtxt(folder / f"{name}.resid", skiprows=1)
        view = table[:, 2].astype(np.int64)
        # Bead by bead: a new one begins where the view does not increase.
        bead = np.cumsum(np.r_[0, np.diff(view) <= 0])
        # IMOD counts from the edge of the first pixel, we from its centre.
        self.observations = Observations(bead=bead, tilt=view, points=table[:, :2] - 0.5)
        self.residuals = table[:, 3:]
        self.left = rms_length(self.residuals)
        self.tilts = np.loadtxt(folder / f"{name}.tlt")
        transforms = np.loadtxt(folder / f"{name}.tltxf")
        # From specimen to image: the way back of what makes an aligned image.
        back = np.zeros((len(view) // (bead[-1] + 1), 4, 4))
        back[:, :2, :2] = np.linalg.inv(transforms[:, :4].reshape(-1, 2, 2))
        back[:, 2, 2] = back[:, 3, 3] = 1.0
        self.planes = parameters.decompose(back, np.zeros(3))

    @property
    def before(self) -> np.ndarray:
        """Projections that one has before tiltalign: nominal angles and one tilt axis, no shifts."""
        nominal = np.arange(60.0, -61.0, -2.0)
        axis = np.rad2deg(self.planes[:, parameters.ROTATION].mean())
        matrices = geometry.rotation_z(axis) @ geometry.rotation_y(nominal)
        matrices[:, :2, 3] = (np.array(IMAGE) - 1) / 2
        return np.asarray(matrices @ geometry.translation(-np.array(SIZE) / 2))

    def imods_numbers(self) -> dict[str, int]:
        """How many numbers IMOD chose, besides shifts and beads, as its files show.

        Rotation and magnification bend in every view: one number each, but for the magnification
        of its reference view. Tilt angles, in hundredths of a degree, are straight between the
        nodes of their groups, of which one is fixed; only bends that are seen are counted, so that
        there may be more. Stretch is alike within a group, and skew nearly straight.
        """
        rotation = np.rad2deg(self.planes[:, parameters.ROTATION])
        scale, skew = self.planes[:, parameters.MAGNIFICATION], self.planes[:, parameters.SKEW]
        bends = np.diff(skew, 2)
        window = np.lib.stride_tricks.sliding_window_view(np.pad(bends, 2, mode="edge"), 5)
        assert (np.abs(np.diff(rotation, 2)) > 1e-4).mean() > 0.95
        assert (np.abs(np.diff(scale, 2)) > 2e-7).mean() > 0.95
        return {
            "rotation": len(rotation),
            "magnification": len(scale) - 1,
            "tilt": int((np.abs(np.diff(self.tilts, 2)) > 0.025).sum()) + 2 - 1,
            "stretch": int((np.abs(np.diff(self.planes[:, parameters.STRETCH])) > 1e-5).sum()),
            "skew": int((np.abs(bends - np.median(window, axis=1)) > 1e-5).sum()) + 2,
        }


def chosen_numbers(fit: Fit, series: Series) -> int:
    """Independent numbers of the fit, besides shifts and beads (whose three motions are nobody's)."""
    seen = series.observations
    return fit.n_parameters - 2 * len(series.tilts) - 3 * seen.n_beads + 3


def aligned(series: Series, **groups: str) -> Fit:
    options = AdjustOptions(size=SIZE, image_size=IMAGE, groups=groups)
    return adjust(series.before, series.observations, options)


@pytest.fixture
def series(shared: Path, name: str) -> Series:
    return Series(shared, name)


@BOTH
def test_residuals_are_below_imods_with_fewer_numbers(series: Series) -> None:
    groups = {"stretch": "grouped:4", "skew": "grouped:4", "x_tilt": "grouped:4"}
    groups |= {"rotation": "grouped:2", "tilt": "grouped:2", "magnification": "grouped:2"}
    fit = aligned(series, **groups, beam_tilt="fixed")
    # All observations, also those that we weigh down.
    assert rms_length(fit.residuals) <= series.left
    assert chosen_numbers(fit, series) <= sum(series.imods_numbers().values())
    assert fit.outliers.sum() <= 3


@BOTH
def test_what_is_chosen_predicts_better_than_imods_model_with_far_fewer_numbers(
    series: Series,
) -> None:
    fit = aligned(series)
    like_imod = aligned(
        series, rotation="free", tilt="grouped:5", magnification="free", stretch="grouped:7",
        skew="grouped:11", x_tilt="fixed", beam_tilt="fixed",
    )  # fmt: skip
    assert fit.leave_out < 0.98 * like_imod.leave_out
    assert chosen_numbers(fit, series) < 0.7 * sum(series.imods_numbers().values())
    assert rms_length(fit.residuals) < 1.02 * series.left
    assert fit.leave_out < 0.4 < fit.leave_out_before
    assert not len(fit.unsupported)


@BOTH
def test_beads_are_where_imod_has_them(series: Series) -> None:
    """IMOD's residuals are predicted less seen: both predict the same to a tenth of a pixel."""
    fit = aligned(series)
    assert (
        rms_length(fit.residuals + series.residuals)
        < 0.12
        < 0.3 * rms_length(fit.residuals - series.residuals)
    )
