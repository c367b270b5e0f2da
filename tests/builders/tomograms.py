"""Tomograms that tests start from."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tomoset import geometry as g
from tomoset.model import Optics, Tomogram


def tomogram(**changes: object) -> Tomogram:
    n = 5
    fields: dict[str, object] = {
        "name": "TS_01",
        "n_tilts": n,
        "optics": Optics(pixel_size=2.0),
        "hand": -1,
        "size": (64, 48, 30),
        "projections": g.translation((5, 7, 1)) @ g.rotation_z(85) @ g.rotation_y(np.arange(n) * 20.0 - 40),
        "defocus_u": np.full(n, 20000.0),
        "defocus_v": np.full(n, 19000.0),
        "pre_exposure": np.array([9.0, 6.0, 0.0, 3.0, 12.0]),
    }  # fmt: skip
    return Tomogram(**{**fields, **changes})  # type: ignore[arg-type]


def rigid_tomogram(**changes: object) -> Tomogram:
    """A tomogram that RELION 5 can say, of odd sizes."""
    angles = np.stack([np.zeros(5), np.linspace(-40, 40, 5), np.full(5, 85.0)], axis=1)
    P = g.rigid_projections(angles, np.zeros((5, 2)), size=(63, 49, 31), image_size=(65, 47))
    fields = {"size": (63, 49, 31), "projections": P, "stack": "a.mrc", "image_size": (65, 47)}
    return tomogram(**{**fields, **changes})


def unaligned_tomogram(
    name: str = "TS_01", size: tuple[int, int, int] = (4000, 4000, 2000), n: int = 3
) -> Tomogram:
    """Of which only names and sizes are known."""
    return Tomogram(name=name, n_tilts=n, size=size, optics=Optics(pixel_size=1.35), hand=-1)


def nearest_rigid(t: Tomogram) -> Tomogram:
    """With the nearest rigid alignment, which is all that RELION 5 knows."""
    assert t.projections is not None
    assert t.size is not None
    assert t.image_size is not None
    sizes = {"size": t.size, "image_size": t.image_size}
    angles, shifts = g.rigid_parameters(t.projections, **sizes)
    return replace(t, projections=g.rigid_projections(angles, shifts, **sizes))
