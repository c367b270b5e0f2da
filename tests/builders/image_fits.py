"""Alignments by images, made by hand: what a program makes of one does not need the true one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from tomoset.align.images.result import ImageFit, ImageOptions
from tomoset.model import Tomogram

#: Standard deviations of each parameter.
SURE = {"shift_x": 0.1, "shift_y": 0.08, "rotation": 0.02, "tilt": 0.05, "magnification": 4e-4}
UNUSED = "dark, odds 3000 to 1"


def image_fit(tomogram: Tomogram, **changes: Any) -> ImageFit:
    """A fit of an aligned tomogram that moves each image by up to a pixel.

    Images that ``unused`` names, or ``doubtful``, look like such.
    """
    rng, n = np.random.default_rng(1), tomogram.n_tilts
    projections = np.array(tomogram.need_projections())
    projections[:, :2, 3] += rng.uniform(-1, 1, (n, 2))
    width, height, depth = tomogram.need_size()
    x, y = np.meshgrid(np.linspace(0.2, 0.8, 4) * width, np.linspace(0.2, 0.8, 3) * height)
    windows = np.column_stack([x.ravel(), y.ravel(), np.full(x.size, (depth - 1) / 2)])
    fit = ImageFit(
        projections=projections,
        deviations={name: rng.uniform(0.8, 1.2, n) * sure for name, sure in SURE.items()},
        unused={},
        doubtful={},
        support=rng.uniform(15, 30, n),
        rival=rng.uniform(2, 6, n),
        predicted=rng.uniform(0.3, 0.5, n),
        residuals=rng.normal(0, 0.3, (n, len(windows), 2)),
        windows=windows,
        expected=0.14,
        thickness=1480.0,
        thickness_error=55.0,
        inclination=(2.0, -1.0),
        inclination_error=(0.2, 0.3),
        plane=np.array([depth / 2 + 3, np.tan(np.deg2rad(2.0)), -0.01]),
        axis=84.12,
        axis_error=0.05,
        axis_before=84.0,
        working_pixel=10.0,
        signal=0.31,
        moved=0.62,
    )
    fit = replace(fit, **changes)
    out = list(fit.unused)
    for values in (fit.support, fit.rival, fit.predicted, fit.residuals, *fit.deviations.values()):
        values[out] = np.nan
    doubtful = list(fit.doubtful)
    fit.support[doubtful], fit.predicted[doubtful] = 4.0, 0.08
    return fit


def moved(tomogram: Tomogram, images: object, options: ImageOptions, threads: int) -> ImageFit:
    """In the place of `tomoset.align.images.align.align`."""
    assert threads >= 1
    return image_fit(tomogram)
