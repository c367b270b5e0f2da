"""Particles: where each is in its tomogram, its orientation, which tilt images show it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol, overload

import numpy as np
import numpy.typing as npt

from tomoset import geometry
from tomoset.errors import ModelError, UnsupportedError
from tomoset.model.io import StrPath, entered
from tomoset.model.optics import Optics
from tomoset.model.quantities import refuse_impossible
from tomoset.model.source import InFile
from tomoset.model.tomogram_set import TomogramSet

if TYPE_CHECKING:
    import pandas

Array = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
Names = npt.NDArray[np.str_]


class RowSource(Protocol):
    """What a format keeps of its file, row by row; the model only carries it."""

    def __len__(self) -> int: ...

    def take(self, rows: Ints) -> RowSource: ...

    def group(self, number: int) -> Mapping[str, str]: ...

    def rebinned(self, factor: float) -> RowSource: ...

    def with_paths(self, change: Callable[[str], str]) -> RowSource: ...

    def joined(self, others: Sequence[Any], numbers: Sequence[Mapping[int, int]]) -> RowSource: ...


class VisibleTilts(Sequence[Mask]):
    """One mask a particle, as long as its tilt series; all kept in one array.

    Parameters
    ----------
    flat : (total,) bool array
        All masks, one after the other.
    starts : (n + 1,) int array
        Where each begins, and where the last ends.

    Examples
    --------
    >>> v = VisibleTilts.of([[True, False, True], [False, True]])
    >>> v[0].tolist(), v.take([1]).lengths.tolist()
    ([True, False, True], [2])
    """

    def __init__(self, flat: Mask, starts: Ints) -> None:
        self.flat, self.starts = flat, starts
        self.flat.flags.writeable = False

    @classmethod
    def of(cls, masks: Iterable[npt.ArrayLike]) -> VisibleTilts:
        """Put masks together; what is together already is given back."""
        if isinstance(masks, VisibleTilts):
            return masks
        arrays = [np.asarray(mask, dtype=np.bool_).ravel() for mask in masks]
        lengths = np.array([len(a) for a in arrays], dtype=np.int64)
        return cls(np.concatenate([*arrays, np.empty(0, np.bool_)]), _starts(lengths))

    @property
    def lengths(self) -> Ints:
        """How many tilt images each mask is for: (n,) int array."""
        return np.asarray(np.diff(self.starts))

    def __len__(self) -> int:
        return len(self.starts) - 1

    @overload
    def __getitem__(self, index: int) -> Mask: ...
    @overload
    def __getitem__(self, index: slice) -> VisibleTilts: ...
    def __getitem__(self, index: int | slice) -> Mask | VisibleTilts:
        if isinstance(index, slice):
            return self.take(np.arange(len(self))[index])
        row = range(len(self))[index]
        return self.flat[self.starts[row] : self.starts[row + 1]]

    def take(self, rows: npt.ArrayLike) -> VisibleTilts:
        """The masks of some particles, in the order asked for."""
        index = np.asarray(rows, dtype=np.int64)
        lengths = self.lengths[index]
        starts = _starts(lengths)
        where = np.repeat(self.starts[index] - starts[:-1], lengths) + np.arange(starts[-1])
        return VisibleTilts(self.flat[where], starts)


def _starts(lengths: Ints) -> Ints:
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths, dtype=np.int64)])


@dataclass(frozen=True, kw_only=True, eq=False)
class ParticleSet(InFile):
    """Particles of any number of tomograms, as columns. Arrays are read-only.

    Parameters
    ----------
    tomogram_names : (n,) array of str
        Which tomogram each particle is in.
    coordinates : (n, 3) array
        x, y, z in 0-based bin-1 voxels of the tomogram, before `origins`.
    names : (n,) array of str, optional
        Of the particles; trajectories refer to them. None: `particle_names` makes them.
    origins : (n, 3) array, optional
        rlnOriginX/Y/ZAngst [Å], in the subtomogram's frame. The particle is at minus it.
    subtomogram_angles : (n, 3) array, optional
        rot, tilt, psi of rlnTomoSubtomogram* [deg]. None: not rotated.
    angles : (n, 3) array, optional
        rot, tilt, psi of the particle in its subtomogram [deg]; NaN where they are not known.
    visible : sequence of masks, optional
        Per particle, which tilt images show it, in the order of its tomogram's table.
    halves : (n,) int array, optional
        The half map that each particle is part of, 0 or 1. None: nobody says it.
    classes : (n,) int array, optional
        The class that each was put into.
    scores : (n,) array, optional
        How good each was when it was picked or aligned, as its program counts it.
    optics_groups : (n,) int array, optional
        Number of each particle's optics group.
    optics : mapping of int to Optics
        The microscope of optics groups, by number; empty: that of the tomograms.
    pixel_sizes : (n,) array, optional
        Of the tilt series, as each particle's optics group gives it [Å].
    source : optional
        Text that they were read from, row by row. Opaque here.

    Raises
    ------
    ModelError
        If shapes differ, or a coordinate, an origin, a half or a pixel size is impossible.

    Examples
    --------
    >>> p = ParticleSet(tomogram_names=["TS_01"], coordinates=[[10, 20, 30]], pixel_sizes=[2.0],
    ...                 origins=[[4, 0, 0]], subtomogram_angles=[[90, 0, 0]])
    >>> p.positions.round(9).tolist()
    [[10.0, 22.0, 30.0]]
    """

    tomogram_names: Names
    coordinates: Array
    names: Names | None = None
    origins: Array | None = None
    subtomogram_angles: Array | None = None
    angles: Array | None = None
    visible: Sequence[Mask] | None = None
    halves: Ints | None = None
    classes: Ints | None = None
    scores: Array | None = None
    optics_groups: Ints | None = None
    optics: Mapping[int, Optics] = field(default_factory=dict)
    pixel_sizes: Array | None = None
    source: RowSource | None = None

    def __post_init__(self) -> None:
        n = len(self.tomogram_names)
        self._freeze("tomogram_names", (n,), np.str_)
        self._freeze("names", (n,), np.str_)
        for name in ("coordinates", "origins", "subtomogram_angles", "angles"):
            self._freeze(name, (n, 3), np.float64)
        self._freeze("halves", (n,), np.int64)
        self._freeze("classes", (n,), np.int64)
        self._freeze("scores", (n,), np.float64)
        self._freeze("optics_groups", (n,), np.int64)
        object.__setattr__(self, "optics", dict(self.optics))
        self._freeze("pixel_sizes", (n,), np.float64)
        for name in ("coordinates", "origins", "subtomogram_angles", "angles", "pixel_sizes"):
            refuse_impossible(name, getattr(self, name), each="particle", unknown=name == "angles")
        self._refuse("halves", lambda value: (value != 0) & (value != 1), "is neither 0 nor 1")
        if self.visible is not None:
            object.__setattr__(self, "visible", VisibleTilts.of(self.visible))
        for what, rows in (("masks", self.visible), ("rows of text", self.source)):
            if rows is not None and len(rows) != n:
                raise ModelError(
                    f"{n} particles but {len(rows)} {what}; use ParticleSet.select for fewer, "
                    "and leave `source` out for others"
                )

    def _freeze(self, field: str, shape: tuple[int, ...], dtype: type[np.generic]) -> None:
        value = getattr(self, field)
        if value is None:
            return
        array: npt.NDArray[np.generic] = np.asarray(value, dtype=dtype)
        if array.shape != shape:
            raise ModelError(f"{field} of particles must have shape {shape}, not {array.shape}")
        if array.flags.writeable:
            array = array.copy()
            array.flags.writeable = False
        object.__setattr__(self, field, array)

    def _refuse(self, field: str, bad: Callable[[Array], Mask], why: str) -> None:
        value = getattr(self, field)
        if value is None:
            return
        rows = np.flatnonzero(bad(value))
        if len(rows):
            raise ModelError(
                f"particle {rows[0] + 1} (of {len(rows)} such): {field} {value[rows[0]]} {why}"
            )

    def __len__(self) -> int:
        return len(self.tomogram_names)

    @property
    def positions(self) -> Array:
        """Where the particles are, origins applied: (n, 3) 0-based bin-1 voxels.

        coordinate - A origin / pixel size, A of the subtomogram (docs/relion.md,
        'Particles of RELION 5' and 'Particles').

        Raises
        ------
        ModelError
            If there are origins [Å] but no pixel sizes.
        """
        if self.origins is None or not self.origins.any():
            return self.coordinates
        if self.pixel_sizes is None:
            raise ModelError(
                "the particles have origins [Å] but no pixel sizes; give ParticleSet.pixel_sizes"
            )
        shift = self.origins / self.pixel_sizes[:, None]
        if self.subtomogram_angles is not None:
            rotation = geometry.euler_matrix(*self.subtomogram_angles.T)
            shift = np.einsum("nij,nj->ni", rotation, shift)
        return self.coordinates - shift

    @property
    def orientations(self) -> Array:
        """From each particle's own frame to the tomogram's: (n, 3, 3), A_sub A.

        See docs/relion.md, 'Particles'.

        Raises
        ------
        ModelError
            If angles of a particle are not known.
        """
        self._refuse(
            "angles",
            lambda value: np.asarray(np.isnan(value).any(axis=1)),
            "are not known; leave out such particles, or find their orientations",
        )
        total = np.broadcast_to(np.eye(3), (len(self), 3, 3))
        for angles in (self.subtomogram_angles, self.angles):
            if angles is not None:
                total = total @ geometry.euler_matrix(*angles.T)
        return np.asarray(total)

    @property
    def particle_names(self) -> Names:
        """The names, or those RELION gives where there are none: ``TS_01/1``, ``TS_01/2``."""
        if self.names is not None:
            return self.names
        number = np.empty(len(self), np.int64)
        for rows in self.by_tomogram().values():
            number[rows] = np.arange(1, len(rows) + 1)
        pairs = zip(self.tomogram_names.tolist(), number.tolist(), strict=True)
        return np.array([f"{name}/{i}" for name, i in pairs], dtype=np.str_)

    def by_tomogram(self) -> dict[str, Ints]:
        """The rows of every tomogram that has particles, in the order of the file."""
        names, codes = distinct(self.tomogram_names.tolist())
        order = np.argsort(codes, kind="stable")
        edges = np.cumsum(np.bincount(codes, minlength=len(names)))[:-1]
        return dict(zip(names, np.split(order, edges), strict=True)) if names else {}

    def in_tomogram(self, name: str) -> Ints:
        """The rows of one tomogram's particles; none if there are none."""
        return np.flatnonzero(self.tomogram_names == name)

    def select(self, rows: npt.ArrayLike) -> ParticleSet:
        """Some of the particles, by number or by a mask; their unknown columns follow.

        Examples
        --------
        >>> p = ParticleSet(tomogram_names=["a", "b", "a"], coordinates=[[0] * 3, [1] * 3, [2] * 3])
        >>> p.select(p.in_tomogram("a")).coordinates[:, 0].tolist()
        [0.0, 2.0]
        """
        index = np.asarray(rows)
        if index.dtype == np.bool_:
            if index.shape != (len(self),):
                raise ModelError(f"a mask of {index.shape} does not fit {len(self)} particles")
            index = np.flatnonzero(index)
        index = index.astype(np.int64)
        changes: dict[str, object] = {}
        for name in _COLUMNS:
            value = getattr(self, name)
            changes[name] = None if value is None else value[index]
        if self.visible is not None:
            changes["visible"] = VisibleTilts.of(self.visible).take(index)
        if self.source is not None:
            changes["source"] = self.source.take(index)
        return replace(self, **changes)  # type: ignore[arg-type]

    def write(self, path: StrPath, tomograms: TomogramSet, format: str | None = None) -> None:
        """Write the particles, whole or not at all.

        Parameters
        ----------
        path : path-like
            Such as ``particles.star``.
        tomograms : TomogramSet
            The set that their names refer to.
        format : str, optional
            Name of a format; that of the tomograms if not given.

        Raises
        ------
        ModelError
            If a particle is in no such tomogram, or a size is not known that the format needs.
        UnsupportedError
            If the format is not known, or has no particles.
        """
        entered("write_particles")(self, path, tomograms, format)

    def to_dataframe(self) -> pandas.DataFrame:
        """One row a particle, as Pandas has tables.

        Returns
        -------
        pandas.DataFrame
            ``tomogram``, ``name``; ``x``, ``y``, ``z`` of the position [0-based bin-1 voxels];
            ``rot``, ``tilt``, ``psi`` of the particle against the tomogram [deg]; and where it is
            known ``half``, ``class``, ``score``, ``optics_group``, ``pixel_size`` [Å] and
            ``visible``, the number of tilt images that show it.

        Raises
        ------
        UnsupportedError
            If Pandas is not installed.

        Examples
        --------
        >>> p = ParticleSet(tomogram_names=["TS_01"], coordinates=[[10, 20, 30]])
        >>> p.to_dataframe()[["tomogram", "name", "x", "rot"]].values.tolist()
        [['TS_01', 'TS_01/1', 10.0, 0.0]]
        """
        try:
            import pandas
        except ImportError as problem:
            raise UnsupportedError(
                "a table of particles needs Pandas: pip install 'tomoset[frames]'"
            ) from problem
        angles = geometry.euler_angles(self.orientations)
        columns: dict[str, Any] = {"tomogram": self.tomogram_names, "name": self.particle_names}
        columns |= dict(zip(("x", "y", "z"), self.positions.T, strict=True))
        columns |= dict(zip(("rot", "tilt", "psi"), angles.T, strict=True))
        visible = None if self.visible is None else [int(mask.sum()) for mask in self.visible]
        known = {
            "half": self.halves,
            "class": self.classes,
            "score": self.scores,
            "optics_group": self.optics_groups,
            "pixel_size": self.pixel_sizes,
            "visible": visible,
        }
        return pandas.DataFrame(columns | {k: v for k, v in known.items() if v is not None})

    def transformed(self, transforms: Mapping[str, Array]) -> ParticleSet:
        """The same particles in other frames of some of their tomograms.

        Only what is in the tomogram's frame changes: coordinates, and the orientation of the
        subtomogram, R A_sub (docs/relion.md, 'Particles'). Origins and angles are in the
        subtomogram's frame, which rotates with the tomogram's, and stay; so do images that were cut
        out of it.

        Parameters
        ----------
        transforms : mapping of str to (4, 4) array
            By tomogram name, from voxels, 0-based at bin 1, to those after a rigid motion.

        Examples
        --------
        >>> p = ParticleSet(tomogram_names=["a"], coordinates=[[10, 20, 30]], angles=[[5, 6, 7]])
        >>> q = p.transformed({"a": geometry.rotation_z(90)})
        >>> q.coordinates.round(9).tolist(), q.subtomogram_angles.tolist(), q.angles.tolist()
        ([[-20.0, 10.0, 30.0]], [[0.0, 0.0, -90.0]], [[5.0, 6.0, 7.0]])
        """
        mine = {name: rows for name, rows in self.by_tomogram().items() if name in transforms}
        coordinates = self.coordinates.copy()
        for name, rows in mine.items():
            coordinates[rows] = geometry.apply(transforms[name], coordinates[rows])
        transformed = replace(self, coordinates=coordinates)
        rotations = {name: transforms[name][:3, :3] for name in mine}
        rotations = {
            name: rotation
            for name, rotation in rotations.items()
            if not np.array_equal(rotation, np.eye(3))
        }
        if not rotations:
            return transformed
        before = self.subtomogram_angles
        angles = np.zeros((len(self), 3)) if before is None else before.copy()
        for name, rotation in rotations.items():
            rows = mine[name]
            angles[rows] = geometry.euler_angles(rotation @ geometry.euler_matrix(*angles[rows].T))
        return replace(transformed, subtomogram_angles=angles)

    def __repr__(self) -> str:
        return f"<ParticleSet of {len(self)} in {len(self.by_tomogram())} tomograms>"


_COLUMNS = (
    "tomogram_names",
    "coordinates",
    "names",
    "origins",
    "subtomogram_angles",
    "angles",
    "halves",
    "classes",
    "scores",
    "optics_groups",
    "pixel_sizes",
)


def distinct(names: Sequence[str]) -> tuple[list[str], Ints]:
    """Each name once, in order, and for every entry which of them it is.

    Examples
    --------
    >>> distinct(["b", "a", "b"])
    (['b', 'a'], array([0, 1, 0]))
    """
    once = list(dict.fromkeys(names))
    code = {name: i for i, name in enumerate(once)}
    return once, np.fromiter(map(code.__getitem__, names), np.int64, len(names))
