"""What stage and lens do besides: a field of view that moves, a focus that is off."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from tomoset.simulate.acquisition import Acquisition, Views


@dataclass(frozen=True, kw_only=True)
class Handling:
    """How far stage and focus are off.

    Parameters
    ----------
    field_motion : float
        How far the field of view is off, rms in x and in y [Å].
    defocus_jitter : float
        Defocus is off by this at most, each as likely [µm].
    """

    field_motion: float = 0.0
    defocus_jitter: float = 0.0


def handled(views: Views, acquisition: Acquisition, handling: Handling, seed: int) -> Views:
    """The truth of images that were taken so.

    Parameters
    ----------
    views : Views
        Of a better stage.
    acquisition : Acquisition
        In which order the images were taken.
    handling : Handling
        How far it is off. Without any, the views are given back.
    seed : int
        The same gives the same.

    Examples
    --------
    >>> from tomoset import simulate as sim
    >>> nominal, rank = sim.dose_symmetric(5)
    >>> taken = sim.Acquisition(nominal=nominal, rank=rank)
    >>> views = sim.Views.random(taken, 1)
    >>> moved = handled(views, taken, sim.Handling(field_motion=100.0), 1)
    >>> off = (moved.xf - views.xf)[:, :, 2] * taken.pixel_size
    >>> (off**2).mean(axis=0).round(-1).tolist()
    [10000.0, 10000.0]
    """
    rng = np.random.default_rng(seed)
    n = len(views.tilts)
    # Half a walk, as stages drift and are brought back; half of their own in each image.
    walk = np.cumsum(rng.standard_normal((n, 2)), axis=0)[acquisition.rank]
    off = walk / walk.std(axis=0) + rng.standard_normal((n, 2))
    off = (off - off.mean(axis=0)) / off.std(axis=0)
    focus = rng.uniform(-1, 1, n) * 1e4 * handling.defocus_jitter
    changed = views
    if handling.field_motion:
        xf = views.xf.copy()
        xf[:, :, 2] = np.round(
            xf[:, :, 2] + off * handling.field_motion / acquisition.pixel_size, 3
        )
        changed = replace(changed, xf=xf)
    if handling.defocus_jitter:
        changed = replace(
            changed,
            defocus_u=np.round(views.defocus_u + focus, 6),
            defocus_v=np.round(views.defocus_v + focus, 6),
        )
    return changed
