"""The tomogram set: a mapping from name to tomogram, in the order of its file."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from tomoset.errors import ModelError
from tomoset.model.io import entered
from tomoset.model.tomogram import Tomogram


class TomogramSet(Mapping[str, Tomogram]):
    """Which tilt series there are, by unique name.

    Parameters
    ----------
    tomograms : iterable of Tomogram
        In the order of the file.
    format : str
        The format in which it came, and in which `write` writes it unless told otherwise; empty
        for a set that was made in Python.
    files : sequence of str
        Those that it was read from, the global one first.
    source : object, optional
        What that format keeps of its file (further tables, comments). Opaque here.

    Raises
    ------
    ModelError
        If two tomograms have one name.

    Examples
    --------
    >>> from tomoset import Optics, Tomogram
    >>> one = Tomogram(name="001", n_tilts=41, optics=Optics(pixel_size=1.35))
    >>> s = TomogramSet([one])
    >>> s["001"].n_tilts, list(s)
    (41, ['001'])
    """

    def __init__(
        self,
        tomograms: Iterable[Tomogram] = (),
        *,
        format: str = "",
        files: Iterable[str] = (),
        source: Any = None,
    ) -> None:
        self._tomograms: dict[str, Tomogram] = {}
        for tomogram in tomograms:
            if tomogram.name in self._tomograms:
                raise ModelError(
                    f"two tomograms are called {tomogram.name!r}; names are what particles "
                    "refer to, so each may occur only once"
                )
            self._tomograms[tomogram.name] = tomogram
        self.format = format
        self.files = tuple(map(os.path.abspath, files))
        self.source = source

    def __getitem__(self, name: str) -> Tomogram:
        try:
            return self._tomograms[name]
        except KeyError:
            some = ", ".join(map(repr, list(self)[:5])) + (" ..." if len(self) > 5 else "")
            raise KeyError(f"no tomogram is called {name!r}; there are {some}") from None

    @property
    def path(self) -> str | None:
        """The file that it was read from, absolute; None for a set that was made."""
        return self.files[0] if self.files else None

    def __iter__(self) -> Iterator[str]:
        return iter(self._tomograms)

    def __len__(self) -> int:
        return len(self._tomograms)

    def with_tomograms(self, tomograms: Iterable[Tomogram]) -> TomogramSet:
        """A set of the same file with these tomograms instead.

        Parameters
        ----------
        tomograms : iterable of Tomogram
            Changed, fewer or more, in the order to be written.

        Returns
        -------
        TomogramSet

        Examples
        --------
        >>> from dataclasses import replace
        >>> from tomoset import Optics, Tomogram
        >>> one = Tomogram(name="a", n_tilts=1, optics=Optics(pixel_size=1.35))
        >>> s = TomogramSet([one])
        >>> s.with_tomograms([*s.values(), replace(one, name="b")])
        <TomogramSet of 2: a, b>
        """
        return TomogramSet(tomograms, format=self.format, files=self.files, source=self.source)

    def write(self, path: str | os.PathLike[str], format: str | None = None) -> None:
        """Write the set, whole or not at all.

        Parameters
        ----------
        path : path-like
            The (global) STAR file.
        format : str, optional
            Of those that `tomoset.formats` lists; the set's own if not given.

        Raises
        ------
        UnsupportedError
            If the format is not known or cannot say what the set holds.
        """
        entered("write_set")(self, path, format)

    def __repr__(self) -> str:
        return (
            f"<TomogramSet of {len(self)}: {', '.join(list(self)[:4])}{' ...' * (len(self) > 4)}>"
        )
