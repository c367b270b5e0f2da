"""What changed between two projects: tilts, fields, geometry, defocus, dose, particles.

Two alignments may differ by a rigid motion of the tomogram's frame alone, which changes nothing
that images show. The motion that best explains the one by the other is taken off first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tomoset.errors import TomosetError, said_of
from tomoset.formats import common_tilts
from tomoset.model import Project, Tomogram
from tomoset.project._geometry_diff import Geometry, geometry_diff
from tomoset.project._pair import Pair
from tomoset.project._particle_diff import ParticleDiff, Side, particle_diff
from tomoset.project._spread import Spread
from tomoset.project._value_diff import field_diff, value_diff

Array = npt.NDArray[np.float64]

#: Differences of fewer pixels are those of digits in files.
_DIGITS = 1e-3


@dataclass(frozen=True, kw_only=True)
class SeriesDiff:
    """What changed in one series.

    Parameters
    ----------
    name : str
        In both sets.
    tilts : tuple of int
        How many the old one has, the new one, and both.
    how : str or None
        How tilts were matched.
    geometry : Geometry or None
        None where not both are aligned, or they cannot be compared: `problem` says why.
    values : mapping of str to Spread
        Per tilt image, new less old: ``defocus``, ``astigmatism`` [Å], ``phase_shift`` [deg],
        ``ctf_scale``, ``b_factor`` [Å²], ``dose`` [e/Å²].
    fields : mapping of str to tuple
        Of the whole tomogram, what each says of it.
    particles : ParticleDiff or None
        None where there are none.
    problem : str or None
        Why it could not be compared.
    """

    name: str
    tilts: tuple[int, int, int]
    how: str | None
    geometry: Geometry | None
    values: Mapping[str, Spread]
    fields: Mapping[str, tuple[Any, Any]]
    particles: ParticleDiff | None
    problem: str | None = None

    @property
    def worst(self) -> float:
        """By which series are ordered: the largest distance in images [px]."""
        if self.geometry is None:
            return np.inf if self.problem is not None else 0.0
        return np.inf if self.geometry.mirrored else self.geometry.pixels.worst

    @property
    def order(self) -> tuple[float, ...]:
        """Sorts series, the worst first: by geometry, then by defocus."""
        defocus = self.values.get("defocus")
        return -max(self.worst, _DIGITS), 0.0 if defocus is None else -defocus.worst

    @property
    def same(self) -> bool:
        """Whether nothing changed, up to digits of files."""
        old, new, both = self.tilts
        values = any(spread.worst > _DIGITS for spread in self.values.values())
        moved = self.particles is not None and not self.particles.same
        return old == new == both and not (values or self.fields or moved or self.worst > _DIGITS)


@dataclass(frozen=True, kw_only=True)
class ProjectDiff:
    """What changed between two projects.

    Parameters
    ----------
    only_old, only_new : tuple of str
        Tomograms of one alone.
    columns_old, columns_new : tuple of str
        Columns that files of one have and those of the other have not.
    series : tuple of SeriesDiff
        Of tomograms in both, the worst first.
    """

    only_old: tuple[str, ...]
    only_new: tuple[str, ...]
    columns_old: tuple[str, ...]
    columns_new: tuple[str, ...]
    series: tuple[SeriesDiff, ...]

    @property
    def same(self) -> bool:
        """Whether nothing changed."""
        lists = (self.only_old, self.only_new, self.columns_old, self.columns_new)
        return not any(lists) and all(one.same for one in self.series)

    def beyond(self, pixels: float) -> list[str]:
        """Tomograms that are in one alone, cannot be compared, or lie further apart [px]."""
        far = [one.name for one in self.series if one.worst > pixels]
        return [*far, *self.only_old, *self.only_new]

    def summary(self) -> dict[str, Any]:
        """For a program to read."""
        return {**asdict(self), "same": self.same}


def diff(old: Project, new: Project, rename: Mapping[str, str] | None = None) -> ProjectDiff:
    """Compare two projects.

    Parameters
    ----------
    old, new : Project
        Sets that are unread are not compared.
    rename : mapping of str to str, optional
        What a tomogram of the old one is called in the new one, where it is another name.

    Returns
    -------
    ProjectDiff

    Examples
    --------
    >>> from tomoset import geometry
    >>> from tomoset.model import Optics, TomogramSet
    >>> from tomoset.project.transform import transform_project
    >>> tilts = [-40.0, 0.0, 40.0]
    >>> one = Tomogram(name="a", n_tilts=3, size=(9, 9, 9), optics=Optics(pixel_size=2.0),
    ...                nominal_tilts=tilts, projections=geometry.rotation_y(tilts))
    >>> project = Project(tomograms=TomogramSet([one]))
    >>> turned = transform_project(project, {"a": geometry.rotation_x(5)})
    >>> found = diff(project, turned).series[0].geometry
    >>> round(found.rotation, 6), found.pixels.worst < 1e-9
    (5.0, True)
    """
    called = {name: (rename or {}).get(name, name) for name in old.tomograms}
    both = [name for name, theirs in called.items() if theirs in new.tomograms]
    met = {called[name] for name in both}
    sides = Side.of(old), Side.of(new)
    series = [_series_diff(sides, (name, called[name])) for name in both]
    ours, theirs = _columns(old), _columns(new)
    return ProjectDiff(
        only_old=tuple(name for name in old.tomograms if name not in both),
        only_new=tuple(name for name in new.tomograms if name not in met),
        columns_old=tuple(column for column in ours if column not in theirs),
        columns_new=tuple(column for column in theirs if column not in ours),
        series=tuple(sorted(series, key=lambda one: one.order)),
    )


def _columns(project: Project) -> dict[str, None]:
    """Columns of the files, in their order."""
    found: dict[str, None] = {}
    for tomogram in project.tomograms.values():
        if tomogram.source is not None:
            found.update(dict.fromkeys((*tomogram.source.row, *tomogram.source.tilts)))
    return found


def _series_diff(sides: tuple[Side, Side], names: tuple[str, str]) -> SeriesDiff:
    one, other = (side.tomograms[name] for side, name in zip(sides, names, strict=True))
    found: Geometry | None = None
    how, problem, values, common = None, None, dict[str, Spread](), 0
    transform = None
    try:
        tilts = common_tilts(one, other)
        how, common = tilts.how, len(tilts.rows)
        if _aligned(one) and _aligned(other):
            pair = Pair.of(one, other, tilts)
            ours, theirs = pair.old, pair.new
            found, transform = geometry_diff(pair)
        else:
            ours, theirs = one.select(tilts.rows), other.select(tilts.lines)
        values = dict(value_diff(ours, theirs, transform))
    except TomosetError as reason:
        problem = said_of(names[0], str(reason))
    return SeriesDiff(
        name=names[0],
        tilts=(one.n_tilts, other.n_tilts, common),
        how=how,
        geometry=found,
        values=values,
        fields=dict(field_diff(one, other)),
        particles=particle_diff(sides, names, transform),
        problem=problem,
    )


def _aligned(t: Tomogram) -> bool:
    return t.projections is not None or t.alignment is not None
