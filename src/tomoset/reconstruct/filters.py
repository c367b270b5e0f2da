"""What every tilt image is multiplied with in Fourier space before it is back-projected."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from tomoset.images.weighting import overlaps, slices
from tomoset.reconstruct.agreement import Agreement
from tomoset.reconstruct.plan import Plan

Images = npt.NDArray[np.float32]


#: Depths over which a mean is taken of what an image transfers.
_DEPTHS = 5

#: For weighted back-projection slices are this much thinner than the specimen's transform is: what
#: two images have in common falls faster than how far they agree.
THINNER = 1.3

#: So much of the noise counts: a filter that is too flat costs more than one that is too steep.
COUNTED = 0.5

#: Cosine of a tilt beyond which the specimen is no longer than there.
_STEEPEST = 0.1


class Filters:
    """The filters of some images of a plan.

    With w the dose weight and c the CTF (each 1 if not asked for), image i is multiplied by

    - weighted back-projection: w sign(c) a_i (1 + n) / (sum over j of overlap(i, j) a_j + n)
    - Wiener filter: w c / (sum over j of overlap(i, j) w² c² + 1 / SNR)
    - SIRT: w sign(c), as it finds the weights itself

    where c is that of the voxel's depth in image i; in other images, it is a mean over depths.
    The noise n in units of the signal and what images count, a, are measured
    (`Agreement`). Without noise this is the exact filter; with very much, there is none at all:
    what several images show alike is then worth more than what only one shows.

    Parameters
    ----------
    plan : Plan
        Geometry and choices.
    tilts : sequence of int
        The images that are back-projected together.
    agreement : Agreement, optional
        Of these images, for weighted back-projection; all alike and without noise if not given.
    """

    def __init__(
        self, plan: Plan, tilts: Sequence[int], agreement: Agreement | None = None
    ) -> None:
        self._plan, self._tilts = plan, list(tilts)
        self._agreement = Agreement.perfect(len(self._tilts)) if agreement is None else agreement
        self._noise = self._agreement.noise(plan.k) * np.float32(COUNTED)
        self._others = self._sums()

    def _sums(self) -> Images | None:
        """What is measured besides by each image itself; of weighted back-projection, in all."""
        plan, method = self._plan, self._plan.options.method
        projections = plan.projections[self._tilts]
        if method == "sirt":
            return None
        if method == "wiener":
            powers = np.stack([self._power(i) for i in self._tilts])
            sums = overlaps(projections, plan.frequencies, plan.thickness, powers)
            return np.asarray(np.maximum(sums - powers, 0))
        weights = self._agreement.weights[:, None, None]
        # The specimen is a slab: the beam's way through it is longer where it is tilted.
        cosines = np.maximum(np.abs(slices(projections)[1][:, 2]), _STEEPEST)
        paths = THINNER * plan.thickness / cosines
        return overlaps(projections, plan.frequencies, paths, weights)

    def _power(self, i: int) -> Images:
        """What image i transfers, squared, as a mean over the depths that are told apart."""
        lowest, highest = self._plan.depths[i]
        told_apart = self._plan.options.ctf == "3d"
        depths = np.linspace(lowest, highest, _DEPTHS) if told_apart else [(lowest + highest) / 2]
        powers = [self._plan.transfer(i, float(depth)) ** 2 for depth in depths]
        return np.asarray(np.mean(powers, axis=0, dtype=np.float32))

    def of(self, i: int, depth: float) -> Images:
        """The filter of image i (a member of `tilts`) for a depth along the beam [Å]: (h, w).

        Depth counts from where the table's defocus holds.
        """
        transfer, at = self._plan.transfer(i, depth), self._tilts.index(i)
        if self._others is None:
            return transfer
        others = self._others[at]
        if self._plan.options.method == "wiener":
            return np.asarray(
                transfer / (others + transfer**2 + np.float32(1 / self._plan.options.snr))
            )
        weight = np.float32(self._agreement.weights[at])
        return np.asarray(transfer * weight * (1 + self._noise) / (others + self._noise))
