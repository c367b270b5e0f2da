"""Stacks in the order of the tilts, with angles and order, for AreTomo and IMOD."""

from __future__ import annotations

import os
from dataclasses import replace

import numpy as np

from tomoset.files import write
from tomoset.images.stack import join_images
from tomoset.model import Tomogram
from tomoset.paths import from_here, image_sections


def with_ordered_stacks(t: Tomogram, folder: str, name: str) -> Tomogram:
    """The tomogram with new stacks of its images by ascending tilt, and text files beside them.

    ``NAME.mrc`` has the images, ``NAME_EVN.mrc`` and ``NAME_ODD.mrc`` those of the halves, as far
    as there are any, ``NAME.rawtlt`` the angles, and ``NAME_order.csv`` numbers and angles in the
    order of acquisition, if it is known.

    Parameters
    ----------
    t : Tomogram
        With nominal tilts.
    folder, name : str
        Where they go, and what they are called.
    """
    assert t.nominal_tilts is not None
    order = np.argsort(t.nominal_tilts, kind="stable")
    tilts = [f"{angle:.4f}" for angle in t.nominal_tilts[order]]
    t = t.select(order)
    stem = from_here(os.path.join(folder, name))
    join_images(t.image_sections(), f"{stem}.mrc")
    halves: list[tuple[str, ...]] = []
    for half, word in zip(t.half_images or ((), ()), ("EVN", "ODD"), strict=True):
        if half:
            join_images(image_sections(half), f"{stem}_{word}.mrc")
        halves.append(tuple(f"{i + 1:06d}@{stem}_{word}.mrc" for i in range(len(half))))
    write(f"{stem}.rawtlt", "".join(f"{tilt}\n" for tilt in tilts).encode())
    if t.acquisition is not None:
        lines = (f"{i},{tilts[row]}\n" for i, row in enumerate(t.acquisition_order, 1))
        write(f"{stem}_order.csv", "".join(lines).encode())
    return replace(
        t, stack=f"{stem}.mrc", image_index=None, images=None, half_images=(halves[0], halves[1])
    )
