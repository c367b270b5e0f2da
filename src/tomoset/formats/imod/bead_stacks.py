"""Where the pixels of a stack made by ``newstack`` lie in the raw images.

Beads are tracked in a pre-aligned stack, which is moved, often turned and binned. By
https://bio3d.colorado.edu/imod/doc/man/newstack.html images are binned first and transformed
then, q = A p + d about the middles of both images, d being in unbinned pixels. Where the raw
size is no multiple of the binning, ``newstack`` keeps the middle to half a raw pixel.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tomoset.errors import (
    AssumptionWarning,
    FileFormatError,
    LossyWarning,
    MissingFileError,
    ModelError,
)
from tomoset.formats.imod.alignment import read_xf
from tomoset.formats.imod.commands import (
    NEWSTACK_OPTIONS,
    NEWSTACK_PROGRAMS,
    CommandFile,
    read_commands,
)
from tomoset.formats.imod.owners import Owners, names_in
from tomoset.images.stack import read_header
from tomoset.model.observations import Observations

Array = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, eq=False)
class ImodStack:
    """The stack that a model was made on, and how it came from the raw images.

    Parameters
    ----------
    raw_size : (int, int, int)
        Width, height [px] and number of the raw images.
    size : (int, int), optional
        Of its own images [px]; by default as large as the raw ones, binned.
    binning : float
        Raw pixels in one of its own.
    transforms : (n, 2, 3) array, optional
        One for each raw image, as `alignment.read_xf` gives them: from raw images to this
        stack, shifts in raw pixels. None: it is not transformed.
    pixel_size : float, optional
        Of the raw images [Å].
    origin : (float, float, float)
        Of this stack [Å], as IMOD's ``header`` prints it.

    Raises
    ------
    ModelError
        If a number is impossible, or there are not as many transforms as images.

    Examples
    --------
    >>> stack = ImodStack(raw_size=(100, 80, 3), binning=2)
    >>> stack.to_raw([[0.5, 0.5]], [0]).tolist()  # middle of the first 2 x 2 raw pixels
    [[0.5, 0.5]]
    """

    raw_size: tuple[int, int, int]
    size: tuple[int, int] | None = None
    binning: float = 1.0
    transforms: Array | None = None
    pixel_size: float | None = None
    origin: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def __post_init__(self) -> None:
        if not (np.isfinite(self.binning) and self.binning > 0):
            raise ModelError(f"a binning must be above 0, not {self.binning:g}")
        if min(*self.raw_size, *(self.size or (1, 1))) < 1:
            raise ModelError("a stack has at least one image of one pixel")
        if self.transforms is None:
            return
        transforms = np.asarray(self.transforms, dtype=np.float64)
        if transforms.shape != (self.raw_size[2], 2, 3):
            raise ModelError(
                f"{self.raw_size[2]} raw images need transforms of shape "
                f"({self.raw_size[2]}, 2, 3), not {transforms.shape}"
            )
        object.__setattr__(self, "transforms", transforms)

    @property
    def image_size(self) -> tuple[int, int]:
        """Width and height of its own images [px]."""
        if self.size is not None:
            return self.size
        return int(self.raw_size[0] / self.binning), int(self.raw_size[1] / self.binning)

    def to_raw(self, points: npt.ArrayLike, views: npt.ArrayLike) -> Array:
        """From its own pixels as IMOD has them to raw images.

        Parameters
        ----------
        points : (n, 2) array
            x, y, 0.5 in the middle of the first pixel [its own px].
        views : (n,) int array
            Images, from 0.

        Returns
        -------
        (n, 2) array
            x, y, 0 in the middle of the first pixel [raw px].
        """
        middle = np.array(self.image_size, dtype=np.float64) / 2
        moved: Array = (np.asarray(points, dtype=np.float64) - middle) * self.binning
        if self.transforms is not None:
            used = self.transforms[np.asarray(views, dtype=np.int64)]
            moved -= used[:, :, 2]
            moved = np.asarray(np.linalg.solve(used[:, :, :2], moved[..., None]))[..., 0]
        return moved + (np.array(self.raw_size[:2]) - 1) / 2

    def from_raw(self, points: npt.ArrayLike, views: npt.ArrayLike) -> Array:
        """The inverse of `to_raw`."""
        moved: Array = np.asarray(points, dtype=np.float64) - (np.array(self.raw_size[:2]) - 1) / 2
        if self.transforms is not None:
            used = self.transforms[np.asarray(views, dtype=np.int64)]
            moved = np.einsum("nij,nj->ni", used[:, :, :2], moved) + used[:, :, 2]
        return moved / self.binning + np.array(self.image_size) / 2


def prealigned_stack(
    folder: str | os.PathLike[str], name: str, raw_size: tuple[int, int, int]
) -> ImodStack:
    """The pre-aligned stack of an etomo folder, on which beads are tracked.

    Parameters
    ----------
    folder : path-like
        Of etomo.
    name : str
        Of the data set with its axis, as in ``BBa.prexg``.
    raw_size : (int, int, int)
        Width, height [px] and number of the raw images.

    Returns
    -------
    ImodStack
        Binned as ``prenewst.com`` says, transformed by ``.prexg``; where that is gone, by what
        is left of ``.xf`` (raw to aligned) without ``.tltxf`` (pre-aligned to aligned).

    Raises
    ------
    MissingFileError
        If neither ``.prexg`` nor both of the others are there.
    FileFormatError
        If a file is damaged, or is of another number of images.
    """
    base = os.path.join(folder, name)
    made = _commands(os.fspath(folder), name)
    binning, size = 1.0, None
    if made is not None:
        binning = made.number("BinByFactor") or 1.0
        size = made.pair("SizeToOutputInXandY")
        if not binning > 0:
            raise made.error("BinByFactor", f"expected a binning above 0, found {binning:g}")
    for image in (f"{base}_preali.mrc", f"{base}.preali"):
        if os.path.isfile(image):
            size = read_header(image).size
            break
    return ImodStack(
        raw_size=raw_size,
        size=size,
        binning=binning,
        transforms=_prealignment(base, binning, raw_size[2]),
    )


def _commands(folder: str, name: str) -> CommandFile | None:
    """How the pre-aligned stack was made: the command file that names the data set, or nobody's."""
    names = names_in(folder or ".")
    owners = Owners(names, name)
    usual = (f"prenewst{name[-1:]}.com", "prenewst.com")
    files = [
        read_commands(os.path.join(folder, file), NEWSTACK_OPTIONS, NEWSTACK_PROGRAMS)
        for file in usual
        if file in names
    ]
    fits = [file for file in files if not owners.foreign_names(file)]
    if files and not fits:
        warnings.warn(
            f"{files[0].path} names {owners.foreign_names(files[0])[0]}, which is not of {name}: "
            "not used, so the pre-aligned stack is taken not to be binned",
            AssumptionWarning,
            stacklevel=4,
        )
    return next(iter([*filter(owners.is_of, fits), *fits]), None)


def _prealignment(base: str, binning: float, n_views: int) -> Array:
    if os.path.isfile(f"{base}.prexg"):
        return _transforms(f"{base}.prexg", n_views)
    if not (os.path.isfile(f"{base}.xf") and os.path.isfile(f"{base}.tltxf")):
        raise MissingFileError(
            f"{base}.prexg is not there, nor both of {base}.xf and {base}.tltxf to tell it from; "
            "give the folder where the alignment was made, or write the beads' raw positions"
        )
    whole, second = _transforms(f"{base}.xf", n_views), _transforms(f"{base}.tltxf", n_views)
    # tiltalign works in the pixels of the pre-aligned stack; etomo's xfproduct scales its shifts.
    rest = whole - np.concatenate([np.zeros((n_views, 2, 2)), binning * second[:, :, 2:]], axis=2)
    return np.asarray(np.linalg.solve(second[:, :, :2], rest))


def _transforms(path: str, n_views: int) -> Array:
    found = read_xf(path)
    if len(found) != n_views:
        raise FileFormatError(
            f"expected a line for each of the {n_views} raw images, found {len(found)}", path=path
        )
    return found


def observed(
    found: tuple[Ints, Ints, Array], stack: ImodStack | None, kept: Sequence[int] | None, path: str
) -> Observations:
    """Observations in raw images, of beads, views (from 0) and points on a stack.

    Parameters
    ----------
    found : bead (n,), view (n,) and points (n, 2)
        Points in IMOD's pixels of the stack.
    stack : ImodStack or None
        None: the stack is that of the raw images.
    kept : sequence of int, optional
        Which view each row of the tomogram is; what is seen in others is left out, and said.
        None: all views, in order.
    path : str
        The file they came from.
    """
    bead, view, points = found
    if stack is not None and view.max(initial=0) >= stack.raw_size[2]:
        raise FileFormatError(
            f"a bead is seen in view {view.max() + 1}, but there are {stack.raw_size[2]} raw "
            "images; is this the file of another tilt series?",
            path=path,
        )
    raw = points - 0.5 if stack is None else stack.to_raw(points, view)
    if kept is None:
        return Observations(bead=bead, tilt=view, points=raw)
    rows = np.full(max(int(view.max(initial=-1)), max(kept, default=-1)) + 1, -1)
    rows[list(kept)] = np.arange(len(kept))
    there = rows[view] >= 0
    if not there.all():
        warnings.warn(
            f"{path}: {int((~there).sum())} of {len(view)} observations are in views that the "
            "tomogram has not; they are left out",
            LossyWarning,
            stacklevel=3,
        )
    return Observations(bead=bead[there], tilt=rows[view[there]], points=raw[there])


def on_stack(points: Array, size: tuple[int, int], stack: ImodStack, path: str) -> Array:
    """Points of a model of images of another binning, in pixels of this stack.

    Parameters
    ----------
    points : (n, 2) array
        IMOD's pixels.
    size : (int, int)
        Width and height of the images that the model is of [px].

    Raises
    ------
    FileFormatError
        If the sizes do not go with any whole binning.
    """
    own = np.array(stack.image_size, dtype=np.float64)
    ratio = own / np.array(size)
    factor = float(np.round(ratio.mean())) if ratio.mean() >= 1 else 1 / np.round(1 / ratio.mean())
    # newstack rounds sizes up by as much as two pixels to keep the middle.
    if (np.abs(np.array(size) * factor - own) > 2 * max(factor, 1.0)).any():
        raise FileFormatError(
            f"the model is of images of {size[0]} x {size[1]} px, expected {own[0]:g} x "
            f"{own[1]:g}; give the size and the binning of the stack that it was made on",
            path=path,
        )
    if factor != 1:
        warnings.warn(
            f"{path}: the model is of images of {size[0]} x {size[1]} px, the stack has "
            f"{own[0]:g} x {own[1]:g}: taken to be binned by {factor:g}",
            AssumptionWarning,
            stacklevel=4,
        )
    return (points - np.array(size) / 2) * factor + own / 2
