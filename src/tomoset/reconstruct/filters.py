"""What every tilt image is multiplied with in Fourier space before it is back-projected."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from tomoset.images.ctf import dose_weight
from tomoset.images.weighting import overlaps
from tomoset.reconstruct.plan import Plan

Images = npt.NDArray[np.float32]


#: Depths over which a mean is taken of what an image transfers.
_DEPTHS = 5


class Filters:
    """The filters of some images of a plan.

    With w the dose weight and c the CTF (each 1 if not asked for), image i is multiplied by

    - weighted back-projection: w sign(c) / sum over j of overlap(i, j)
    - Wiener filter: w c / (sum over j of overlap(i, j) w² c² + 1 / SNR)
    - SIRT: w sign(c), as it finds the weights itself

    where c is that of the voxel's depth in image i; in other images, it is a mean over depths.

    Parameters
    ----------
    plan : Plan
        Geometry and choices.
    tilts : sequence of int
        The images that are back-projected together.
    """

    def __init__(self, plan: Plan, tilts: Sequence[int]) -> None:
        self._plan, self._tilts = plan, list(tilts)
        self._frequencies = plan.cropping.frequencies(plan.pixel_size)
        x, y = self._frequencies
        self._k = np.sqrt(x * x + y * y)
        self._others = self._sums()

    def _sums(self) -> Images | None:
        """What is measured besides by each image itself; of weighted back-projection, in all."""
        plan, method = self._plan, self._plan.options.method
        if method == "sirt":
            return None
        powers = None
        if method == "wiener":
            powers = np.stack([self._power(i) for i in self._tilts])
        projections = plan.projections[self._tilts]
        sums = overlaps(projections, self._frequencies, plan.thickness, powers)
        return np.maximum(sums, 1) if powers is None else np.maximum(sums - powers, 0)

    def _power(self, i: int) -> Images:
        """What image i transfers, squared, as a mean over the depths that are told apart."""
        lowest, highest = self._plan.depths[i]
        told_apart = self._plan.options.ctf == "3d"
        depths = np.linspace(lowest, highest, _DEPTHS) if told_apart else [(lowest + highest) / 2]
        powers = [self._transfer(i, float(depth)) ** 2 for depth in depths]
        return np.asarray(np.mean(powers, axis=0, dtype=np.float32))

    def _transfer(self, i: int, depth: float) -> Images:
        """Dose weight and CTF of image i at a depth [Å]; its CTF's sign alone for phase flips."""
        plan = self._plan
        options, t = plan.options, plan.tomogram
        weight = np.ones(self._k.shape, dtype=np.float32)
        if options.dose:
            weight *= dose_weight(
                self._k, float(t.need_pre_exposure()[i]), t.optics.need("voltage")
            )
        if options.ctf != "none":
            ctf = plan.ctf(i, depth).at(*self._frequencies)
            weight *= ctf if options.method == "wiener" else np.sign(ctf)
        return weight

    def of(self, i: int, depth: float) -> Images:
        """The filter of image i (a member of `tilts`) for a depth along the beam [Å]: (h, w).

        Depth counts from where the table's defocus holds.
        """
        transfer = self._transfer(i, depth)
        if self._others is None:
            return transfer
        others = self._others[self._tilts.index(i)]
        if self._plan.options.method == "wiener":
            others = others + transfer**2 + np.float32(1 / self._plan.options.snr)
        return np.asarray(transfer / others)
