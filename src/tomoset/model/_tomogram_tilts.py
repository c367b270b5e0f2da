"""Some of the tilt images of a tomogram: selected, taken out with a reason, put back."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Self, cast

import numpy as np
import numpy.typing as npt

from tomoset.model._join import joined
from tomoset.model._tomogram_fields import PER_TILT, Exclusion, TomogramFields
from tomoset.model.source import take


@dataclass(frozen=True, kw_only=True, eq=False)
class TomogramTilts(TomogramFields):
    """What `Tomogram` does with its tilt images."""

    def select(self, rows: Sequence[int] | npt.NDArray[np.int64]) -> Self:
        """The same tomogram with only some of its tilt images, in the order asked for.

        Parameters
        ----------
        rows : (k,) int or (n,) bool array
            Rows from 0, or a mask.

        Returns
        -------
        Tomogram

        Examples
        --------
        >>> from tomoset import Optics, Tomogram
        >>> t = Tomogram(name="a", n_tilts=3, optics=Optics(pixel_size=1.0))
        >>> t.select([2, 0]).image_index.tolist()
        [2, 0]

        Every value per tilt image follows, the unknown columns of its file too; rows keep
        their slice of the stack.
        """
        asked = np.asarray(rows)
        index = np.flatnonzero(asked) if asked.dtype == bool else asked.astype(np.int64)
        changes: dict[str, object] = {"n_tilts": len(index)}
        which = index.tolist()
        for name in ("projections", "images", "movies", "acquisition", *PER_TILT):
            changes[name] = take(getattr(self, name), which)
        changes["deviations"] = {k: v[index] for k, v in self.deviations.items()}
        if self.half_images is not None:
            changes["half_images"] = tuple(
                take(half, which) if half else half for half in self.half_images
            )
        if self.images is None:
            slices = np.arange(self.n_tilts) if self.image_index is None else self.image_index
            changes["image_index"] = slices[index]
        if self.alignment is not None:
            angles, shifts = self.alignment.angles[index], self.alignment.shifts[index]
            changes["alignment"] = replace(self.alignment, angles=angles, shifts=shifts)
        if self.deformation is not None:
            kept = self.deformation.coefficients[index]
            changes["deformation"] = replace(self.deformation, coefficients=kept)
        if self.source is not None:
            changes["source"] = self.source.take(which)
        return replace(self, **changes)  # type: ignore[arg-type]

    def exclude(self, rows: Iterable[int], reason: str) -> Self:
        """The same tomogram without some of its tilt images, which `restore` puts back.

        Parameters
        ----------
        rows : iterable of int
            From 0, as the table is now.
        reason : str
            Why, for people; sets keep it.

        Examples
        --------
        >>> from tomoset import Optics, Tomogram
        >>> t = Tomogram(name="a", n_tilts=3, optics=Optics(pixel_size=1.0),
        ...              pre_exposure=[0.0, 3.0, 6.0])
        >>> less = t.exclude([1], "ice")
        >>> less.pre_exposure.tolist(), less.exclusions[0].reason
        ([0.0, 6.0], 'ice')
        >>> less.restore().pre_exposure.tolist()
        [0.0, 3.0, 6.0]
        """
        out = sorted({range(self.n_tilts)[row] for row in rows})
        original = self.original_rows()
        bare = replace(self, exclusions=(), reconstruction=None, fiducials=None)
        taken = tuple(
            Exclusion(row=original[row], reason=" ".join(reason.split()), tilt=bare.select([row]))
            for row in out
        )
        kept = self.select(np.setdiff1d(np.arange(self.n_tilts), out))
        return replace(kept, exclusions=(*self.exclusions, *taken))

    def original_rows(self) -> list[int]:
        """Where the rows stand, from 0, when all that were taken out are back."""
        out = {exclusion.row for exclusion in self.exclusions}
        every = range(self.n_tilts + len(self.exclusions))
        free = [row for row in every if row not in out]
        return free[: self.n_tilts]

    def restore(self, rows: Collection[int] | None = None) -> Self:
        """The tomogram with tilt images that were taken out, where they stood.

        They are as they were then, in the tomogram's frame of now: what was determined since is
        not known of them.

        Parameters
        ----------
        rows : collection of int, optional
            Which: as `Exclusion.row` has them; all that are out if not given.

        Raises
        ------
        ModelError
            If the tomogram has been aligned, deformed or stored otherwise, and they have not.
        """
        back = [e for e in self.exclusions if rows is None or e.row in rows]
        if not back:
            return self
        every: Self = joined([replace(self, exclusions=()), *(e.tilt for e in back)], PER_TILT)
        places = [*self.original_rows(), *(e.row for e in back)]
        rest = tuple(e for e in self.exclusions if e not in back)
        whole = replace(every.select(np.argsort(places, kind="stable")), exclusions=rest)
        if whole.images is None and np.array_equal(whole.image_index, np.arange(whole.n_tilts)):  # type: ignore[arg-type]
            return replace(whole, image_index=None)
        return whole

    @property
    def excluded(self) -> Self:
        """The tilt images that were taken out, as a series of their own."""
        if not self.exclusions:
            return self.select([])
        common = {"size": self.size, "hand": self.hand, "optics": self.optics}
        tilts = [replace(e.tilt, **common) for e in self.exclusions]  # type: ignore[arg-type]
        series: Self = joined(tilts, PER_TILT)
        return series

    def with_excluded(self, change: Callable[[Self], Self]) -> Self:
        """The tomogram with a change also of the tilt images that were taken out.

        For who changes the tomogram's frame: each is given as the series of one image.
        """
        if not self.exclusions:
            return self
        changed = (replace(e, tilt=change(cast(Self, e.tilt))) for e in self.exclusions)
        return replace(self, exclusions=tuple(changed))
