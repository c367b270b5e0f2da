"""What may change: parameter groups, and how freely from tilt image to tilt image."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from tomoset.align.parameters import COLUMNS
from tomoset.errors import ModelError

Array = npt.NDArray[np.float64]

_GROUPED = re.compile(r"grouped:(\d+)")
#: Changes that all tilt images may share only.
_ONE_FOR_ALL = "beam_tilt"


@dataclass(frozen=True, kw_only=True)
class ParameterGroups:
    """How freely each group of parameters may change from its input values.

    ``fixed``: not at all. ``common``: one change for all tilt images. ``grouped:N``: changes
    at nodes that lie N tilt images apart, in the order of the tilt angles, and linearly between
    them. ``free``: a change for every tilt image.

    Parameters
    ----------
    shift, rotation, tilt, magnification, stretch, skew, x_tilt : str
        One of the four. Along the image's axes; of the tilt axis in the image; about the
        tomogram's y; a factor; of the image across against along the tilt axis; its skew; about
        the tomogram's x.
    beam_tilt : str
        Of the beam against the normal of the tilt axis: fixed or common.

    Raises
    ------
    ModelError
        If a word is another.

    Notes
    -----
    A common change of the tilt, the tilt about x, the magnification or the stretch rotates,
    scales or stretches the specimen. No observation sees that: such changes stay with the input.

    Examples
    --------
    >>> print(ParameterGroups(rotation="grouped:5", magnification="free"))
    shift free, rotation grouped by 5, magnification free
    >>> ParameterGroups(beam_tilt="free")
    Traceback (most recent call last):
        ...
    tomoset.errors.ModelError: beam_tilt cannot be 'free': fixed or common
    """

    shift: str = "free"
    rotation: str = "fixed"
    tilt: str = "fixed"
    magnification: str = "fixed"
    stretch: str = "fixed"
    skew: str = "fixed"
    x_tilt: str = "fixed"
    beam_tilt: str = "fixed"

    def __post_init__(self) -> None:
        for name, level in self.items():
            grouped = _GROUPED.fullmatch(level)
            if level in ("fixed", "common") or (level == "free" and name != _ONE_FOR_ALL):
                continue
            if grouped is None or int(grouped[1]) < 2 or name == _ONE_FOR_ALL:
                allowed = (
                    "fixed or common"
                    if name == _ONE_FOR_ALL
                    else "fixed, common, grouped:N (N of 2 or more) or free"
                )
                raise ModelError(f"{name} cannot be {level!r}: {allowed}")

    def items(self) -> list[tuple[str, str]]:
        """Groups and their freedom, in order."""
        return [(field.name, getattr(self, field.name)) for field in fields(self)]

    def __str__(self) -> str:
        parts = [(n, x.replace("grouped:", "grouped by ")) for n, x in self.items()]
        text = ", ".join(f"{n.replace('_', ' ')} {x}" for n, x in parts if x != "fixed")
        return text or "nothing"

    def counts(self, n_tilts: int) -> dict[str, int]:
        """Numbers of parameters, by group."""
        columns = {name: 2 if name == "shift" else 1 for name, _ in self.items()}
        return {
            name: columns[name] * changes(level, np.arange(n_tilts)).shape[1]
            for name, level in self.items()
        }


#: Names of the groups.
GROUP_NAMES = tuple(field.name for field in fields(ParameterGroups))


def changes(level: str, rank: npt.NDArray[np.int64]) -> Array:
    """Changes of one parameter in every tilt image, for each of its free parameters being 1.

    Parameters
    ----------
    level : str
        As in `ParameterGroups`.
    rank : (n,) int array
        Rank of each tilt image in the order of the tilt angles.

    Returns
    -------
    (n, k) float64 array

    Examples
    --------
    >>> changes("grouped:2", np.arange(5))[:, 1].tolist()
    [0.0, 0.5, 1.0, 0.5, 0.0]
    """
    n = len(rank)
    if level == "fixed":
        return np.zeros((n, 0))
    if level == "common" or n < 2:
        return np.ones((n, 1))
    grouped = _GROUPED.fullmatch(level)
    n_nodes = n if grouped is None else max(2, round((n - 1) / int(grouped[1])) + 1)
    if n_nodes >= n:
        return np.eye(n)
    nodes = np.linspace(0, n - 1, n_nodes)
    return np.stack([np.interp(rank, nodes, row) for row in np.eye(n_nodes)], axis=1)


@dataclass(frozen=True, eq=False)
class Basis:
    """The free parameters of all columns: which column each changes, and how by tilt image.

    Parameters
    ----------
    parts : tuple of (int, (n, k) array)
        A column of the cameras, and its `changes`.
    n_tilts : int
    free_by_tilt : tuple of int
        Indices in `parts` of the columns, but for shifts, that are free in every tilt image: how
        much they scatter is learned (`scatter`).
    """

    parts: tuple[tuple[int, Array], ...]
    n_tilts: int
    free_by_tilt: tuple[int, ...] = ()

    @property
    def size(self) -> int:
        """How many numbers are free."""
        return sum(matrix.shape[1] for _, matrix in self.parts)

    def slices(self) -> list[slice]:
        """Where the numbers of each part are."""
        ends = np.cumsum([0, *(matrix.shape[1] for _, matrix in self.parts)])
        return [slice(int(a), int(b)) for a, b in pairwise(ends)]

    def expand(self, parameters: Array) -> Array:
        """Changes of the cameras: (size, ...) to (n, 9, ...)."""
        cameras = np.zeros((self.n_tilts, len(COLUMNS), *parameters.shape[1:]))
        for (column, matrix), part in zip(self.parts, self.slices(), strict=True):
            cameras[:, column] = matrix @ parameters[part]
        return cameras

    def nearest(self, cameras: Array) -> Array:
        """The changes of the cameras, (n, 9), that lie nearest and are possible."""
        possible = np.zeros_like(cameras)
        for column, matrix in self.parts:
            parameters = np.linalg.lstsq(matrix, cameras[:, column], rcond=None)[0]
            possible[:, column] = matrix @ parameters
        return possible


def basis(groups: ParameterGroups, tilts: Array) -> Basis:
    """The free parameters of a tilt series with these tilt angles: (n,) array."""
    rank = np.empty(len(tilts), dtype=np.int64)
    rank[np.argsort(tilts, kind="stable")] = np.arange(len(tilts))
    parts: list[tuple[int, Array]] = []
    free_by_tilt = []
    for name, level in groups.items():
        matrix = changes(level, rank)
        columns = ("shift_x", "shift_y") if name == "shift" else (name,)
        if level == "free" and name != "shift":
            free_by_tilt.append(len(parts))
        parts += [(COLUMNS.index(column), matrix) for column in columns if matrix.shape[1]]
    return Basis(tuple(parts), len(tilts), tuple(free_by_tilt))
