"""What a tomogram loses in Warp's files."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tomoset.errors import UnsupportedError
from tomoset.formats._words import Loss
from tomoset.formats.warp.write import WarpFiles, partly_known
from tomoset.model import Project, Tomogram

Array = npt.NDArray[np.float64]

#: Differences of less are those of rounded numbers [px].
_ROUNDED = 5e-4


def losses_of(project: Project) -> dict[str, Loss]:
    """By the names of tomograms that lose something; those that cannot be written at all do not."""
    lost = {}
    first: WarpFiles | None = None
    with_particles = set() if project.particles is None else set(project.particles.by_tomogram())
    for name, t in project.tomograms.items():
        try:
            files = WarpFiles.of(t)
        except UnsupportedError:
            continue
        first = first or files
        pixels, texts = _alignment(files)
        gone = [what for what, value in _not_said(t).items() if value]
        unknown = partly_known(t)
        gone += [f"{field} of some tilt images only" for field in unknown]
        gone += ["particles"] * (name in with_particles)
        gone += ["fiducials"] * bool(project.fiducials.get(name))
        if gone:
            texts.append(f"has {', '.join(gone)}: files of Warp do not say it")
        if (files.pixel_size, *files.volume) != (first.pixel_size, *first.volume):
            texts.append(
                "has another size than the first, and settings of Warp have one for all series: "
                "the .xml has its own"
            )
        if texts:
            kept = pixels[np.flatnonzero(files.used)]
            lost[name] = Loss(
                texts=tuple(texts),
                pixels=kept,
                defocus=files.nearest.defocus[np.flatnonzero(files.used)],
                fields=("b_factor", "optics", *unknown) if gone else (),
            )
    return lost


def _alignment(files: WarpFiles) -> tuple[Array, list[str]]:
    """How far images are off, and what is said of it."""
    off, bend = files.nearest.pixels, files.movement[2]
    texts = []
    if off.max() > _ROUNDED:
        texts.append(
            f"has magnification, stretch, skew or tilts about x that Warp's model does not have: "
            f"images would be up to {off.max():.2g} px off"
        )
    if bend.max() > _ROUNDED:
        texts.append(
            f"has a 2D deformation that becomes a grid of movement, which is up to "
            f"{bend.max():.2g} px off"
        )
    return off + files.nearest.bent_elsewhere + bend, texts


def _not_said(t: Tomogram) -> dict[str, bool]:
    even, odd = t.optics.aberrations
    return {
        "images of half of the frames": bool(t.half_images),
        "B-factors": t.b_factor is not None and bool(np.any(t.b_factor)),
        "aberrations": any(even) or any(odd),
        "a slope of defocus": t.defocus_slope != 1.0,
        "excluded tilt images that do not fit the others any more": _unfit(t),
    }


def _unfit(t: Tomogram) -> bool:
    return bool(t.exclusions) and len(WarpFiles.of(t).used) == t.n_tilts
