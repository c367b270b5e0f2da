"""Where the tilt images of Warp's series are."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tomoset.errors import FileFormatError, MissingFileError
from tomoset.formats._files import header_of
from tomoset.formats.warp.series import WarpSeries
from tomoset.images.stack import ImageHeader


@dataclass(frozen=True, kw_only=True)
class WarpImages:
    """Where the tilt images are.

    Parameters
    ----------
    stack, single : str or tuple of str, optional
        A stack, or single images.
    only_used : bool
        Whether there are images only of the tilts that Warp uses.
    header : ImageHeader or None
        Of the images, if they are there.
    notes : tuple of str
    """

    stack: str | None = None
    single: tuple[str, ...] | None = None
    only_used: bool = False
    header: ImageHeader | None = None
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, series: WarpSeries, given: str | None) -> WarpImages:
        """The stack that Warp makes of a series, or averages of its movies."""
        if given and not os.path.isdir(given):
            raise MissingFileError(f"{given}: there is no such folder (`images`)")
        beside = os.path.dirname(series.path)
        stack = os.path.join(beside, "tiltstack", series.name, f"{series.name}.st")
        n, used = len(series.angles), int(series.use.sum())
        header = None if given else header_of(stack)
        if header is not None:
            if header.n_images not in (n, used):
                raise FileFormatError(
                    f"the stack {stack} has {header.n_images} images; expected {used}, one for "
                    f"each tilt that Warp uses, or all {n}",
                    path=series.path,
                )
            return cls(stack=f"{stack}:mrc", only_used=header.n_images == used, header=header)
        for names in _averages(movies_of(series), given):
            header = header_of(names[0])
            if header is not None and header.n_images == 1:
                return cls(single=tuple(names), header=header)
        what = f"{stack}, which WarpTools ts_stack makes, is not there, nor averages of its movies"
        return cls(stack=f"{stack}:mrc", only_used=True, notes=(what,))


def movies_of(series: WarpSeries) -> tuple[str, ...] | None:
    """The movies as they are found from here; Warp names them from the folder of its data."""
    if series.movies is None or not all(series.movies):
        return None
    names = [movie.replace("\\", "/") for movie in series.movies]
    project = os.path.dirname(os.path.dirname(series.path))
    bases = [os.path.join(project, series.data), os.path.join(project, "tomostar"), series.data]
    folders = [os.path.normpath(os.path.join(base, os.path.dirname(names[0]))) for base in bases]
    there = next((b for b, f in zip(bases, folders, strict=True) if os.path.isdir(f)), bases[0])
    return tuple(os.path.normpath(os.path.join(there, name)) for name in names)


def _averages(movies: Sequence[str] | None, given: str | None) -> Iterator[list[str]]:
    """What the tilt images may be: where the user says, beside the movies, or what is called so."""
    if movies is None:
        return
    stems = [os.path.splitext(os.path.basename(movie))[0] for movie in movies]
    yield [
        os.path.join(given or os.path.join(os.path.dirname(movie), "average"), f"{stem}.mrc")
        for movie, stem in zip(movies, stems, strict=True)
    ]
    if not given and all(movie.endswith(".mrc") for movie in movies):
        yield list(movies)
