"""Local alignments: ``local.xf`` of tiltalign, LOCALFILE of tilt.

https://bio3d.colorado.edu/imod/doc/man/tiltalign.html and tilt.html; their sources, tiltalign.f90
and tilt.f90, say the rest. A line ``NX NY X0 Y0 DX DY [x tilts] [pixel size] [Z factors]`` says how
many patches there are, where the first one is and how far they are apart. Then, for each patch, x
running fastest: the changes of the tilt of all views, those of the x tilt if the line says 1, two
Z factors a view if it says so, and a transform a view.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from tomoset.errors import FileFormatError
from tomoset.formats._text_tables import LARGEST, read_lines, read_numbers

Array = npt.NDArray[np.float64]

#: More patches than there are, and larger Z factors.
_MANY, _STEEP = 10_000, 10.0


@dataclass(frozen=True, kw_only=True, eq=False)
class LocalAlignment:
    """What a patch of the specimen does otherwise than the global alignment.

    Parameters
    ----------
    path : str
        The file.
    first, step : (float, float)
        Where the first patch is, and how far patches are apart, along x and y [px]. Pixels are
        counted from 1 in the whole aligned image.
    tilts, x_tilts : (ny, nx, n) arrays
        To be added to those of the views [deg].
    z_factors : (ny, nx, n, 2) array or None
        To be taken instead of those of the views.
    xf : (ny, nx, n, 2, 3) array
        Rows A11 A12 DX and A21 A22 DY [px], of aligned images about their middles: to where the
        patch is, from where the changed tilts have it.
    pixel_size : float
        Of the pixels above [Å]; 0 where the file does not say it.
    """

    path: str
    first: tuple[float, float]
    step: tuple[float, float]
    tilts: Array
    x_tilts: Array
    z_factors: Array | None
    xf: Array
    pixel_size: float = 0.0

    @property
    def count(self) -> tuple[int, int]:
        """Patches along x and y."""
        return self.tilts.shape[1], self.tilts.shape[0]

    def take(self, views: list[int]) -> LocalAlignment:
        """That of some views."""
        z = self.z_factors
        return replace(
            self,
            tilts=self.tilts[:, :, views],
            x_tilts=self.x_tilts[:, :, views],
            z_factors=None if z is None else z[:, :, views],
            xf=self.xf[:, :, views],
        )

    def scaled(self, pixels: float) -> LocalAlignment:
        """In other pixels, so many of which are in one of these."""
        xf = self.xf.copy()
        xf[..., 2] *= pixels
        return replace(
            self,
            first=(self.first[0] * pixels, self.first[1] * pixels),
            step=(self.step[0] * pixels, self.step[1] * pixels),
            xf=xf,
        )

    def moved(self, x: float, y: float) -> LocalAlignment:
        """With the patches elsewhere."""
        return replace(self, first=(self.first[0] + x, self.first[1] + y))

    def text(self) -> str:
        """The file, with more decimals than tiltalign's own."""
        nx, ny = self.count
        turned, deep = bool(self.x_tilts.any()), self.z_factors is not None
        numbers = (nx, ny, *(round(v) for v in (*self.first, *self.step)), int(turned))
        head = "".join(f"{v:6d}" for v in numbers) + f"{self.pixel_size:12.5f}{int(deep):4d}\n"
        parts = [head]
        for j in range(ny):
            for i in range(nx):
                parts.append(_block(self.tilts[j, i], 10, "10.5f"))
                if turned:
                    parts.append(_block(self.x_tilts[j, i], 10, "10.5f"))
                if self.z_factors is not None:
                    parts.append(_block(self.z_factors[j, i].ravel(), 6, "14.8f"))
                parts.append(transform_lines(self.xf[j, i]))
        return "".join(parts)


def _block(values: Array, columns: int, form: str) -> str:
    rows = (values[i : i + columns] for i in range(0, len(values), columns))
    return "".join("".join(f"{v + 0.0:{form}}" for v in row) + "\n" for row in rows)


def transform_lines(xf: Array) -> str:
    """Lines of a file of transforms, (n, 2, 3)."""
    return "".join(
        "".join(f"{value:12.7f}" for value in m[:, :2].ravel())
        + "".join(f"{value:12.4f}" for value in m[:, 2])
        + "\n"
        for m in xf
    )


def read_local(path: str | os.PathLike[str], n_views: int) -> LocalAlignment:
    """Read a local alignment of a tilt series.

    Parameters
    ----------
    path : path-like
        The file.
    n_views : int
        How many views the series has; the file has numbers for all of them.

    Raises
    ------
    FileFormatError
        With the line that is not what it must be, or if there are not as many numbers as the
        first line says.
    """
    name = os.fspath(path)
    lines = [(i, words) for i, line in enumerate(read_lines(name), 1) if (words := line.split())]
    if not lines:
        raise FileFormatError("the file is empty", path=name)
    (line, words), body = lines[0], lines[1:]
    head = _numbers(words, name, line)
    nx, ny = _counts(head, name, line)
    turned, deep = (len(head) > i and head[i] > 0 for i in (6, 8))
    each = n_views * (7 + turned + 2 * deep)
    count = sum(len(words) for _, words in body)
    if count != nx * ny * each:
        raise FileFormatError(
            f"expected {nx} x {ny} patches of {n_views} views, {nx * ny * each} numbers, found "
            f"{count} after the first line; is this the local alignment of this series?",
            path=name,
        )
    values = _all_numbers(body, name)
    parts = np.split(values.reshape(ny, nx, each), n_views * np.cumsum([1, turned, 2 * deep]), -1)
    tilts, x_tilts, factors, transforms = parts
    xf = np.empty((ny, nx, n_views, 2, 3))
    table = transforms.reshape(ny, nx, n_views, 6)
    xf[..., :2], xf[..., 2] = table[..., :4].reshape(ny, nx, n_views, 2, 2), table[..., 4:]
    local = LocalAlignment(
        path=name,
        first=(head[2], head[3]),
        step=(head[4], head[5]),
        tilts=tilts,
        x_tilts=x_tilts if turned else np.zeros_like(tilts),
        z_factors=factors.reshape(ny, nx, n_views, 2) if deep else None,
        xf=xf,
        pixel_size=float(head[7]) if len(head) > 7 else 0.0,
    )
    _refuse_impossible(local)
    return local


def _all_numbers(body: list[tuple[int, list[str]]], path: str) -> Array:
    """Those of many lines; one by one where one of them is wrong."""
    try:
        values = np.array([word for _, words in body for word in words], dtype=np.float64)
    except ValueError:
        values = np.array([np.nan])
    if (np.abs(values) <= LARGEST).all():
        return values
    return np.concatenate([_numbers(words, path, i) for i, words in body])


def _numbers(words: list[str], path: str, line: int) -> Array:
    try:
        values = np.array(words, dtype=np.float64)
    except ValueError:
        values = np.array([np.nan])
    if not (np.abs(values) <= LARGEST).all():
        raise FileFormatError(
            f"expected numbers, found {' '.join(words)[:60]!r}", path=path, line=line
        )
    return values


def _counts(head: Array, path: str, line: int) -> tuple[int, int]:
    """Patches along x and y."""
    if 6 <= len(head) <= 9 and (head[:2] == head[:2].astype(int)).all():
        nx, ny = int(head[0]), int(head[1])
        if min(nx, ny) >= 2 and nx * ny <= _MANY and (head[4:6] > 0).all() and head[-1] >= 0:
            return nx, ny
    raise FileFormatError(
        "expected 6 to 9 numbers: how many patches along x and y, at least 2, where the first one "
        f"is, how far they are apart, ...; found {' '.join(f'{v:g}' for v in head)[:60]!r}",
        path=path,
        line=line,
    )


def read_z_factors(path: str | os.PathLike[str]) -> Array:
    """ZFACTORFILE: two factors a view, by which what lies higher is seen aside: (n, 2) array.

    Raises
    ------
    FileFormatError
        With the line that does not hold two possible numbers.
    """
    factors = read_numbers(path, 2)
    far = impossible_factors(factors)
    if far.any():
        view = int(np.argmax(far))
        raise FileFormatError(
            f"expected Z factors within ±{_STEEP:g}, found {factors[view, 0]:g} "
            f"{factors[view, 1]:g} for view {view + 1}",
            path=path,
        )
    return factors


def impossible_factors(factors: Array) -> npt.NDArray[np.bool_]:
    """Which views have factors that there are not: (..., 2) to (...)."""
    return np.asarray((np.abs(factors) > _STEEP).any(axis=-1))


def _refuse_impossible(local: LocalAlignment) -> None:
    xf = local.xf
    flat = np.abs(xf[..., 0, 0] * xf[..., 1, 1] - xf[..., 0, 1] * xf[..., 1, 0]) < 1e-6
    wild = np.maximum(np.abs(local.tilts), np.abs(local.x_tilts)) > 180
    far = np.zeros_like(flat) if local.z_factors is None else impossible_factors(local.z_factors)
    for bad, what in (
        (far, f"Z factors beyond ±{_STEEP:g}"),
        (flat, "a transform with determinant 0, which cannot be inverted"),
        (wild, "a tilt that changes by more than 180°"),
    ):
        if bad.any():
            y, x, view = np.argwhere(bad)[0]
            raise FileFormatError(
                f"patch {x + 1} {y + 1} has {what}, in view {view + 1}", path=local.path
            )
