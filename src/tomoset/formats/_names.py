"""Names of tilt series that differ between files, and what makes them agree."""

from __future__ import annotations

import csv
import difflib
import os
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from tomoset.errors import FileFormatError, ModelError, some_of
from tomoset.formats._text_tables import read_lines

#: What programs add to the name of a series, longest first.
_ADDED = (
    r"\.(tomostar|mrcs|mrc|rec|ali|aln|st|xml|mdoc|json|tiff|tif|hdf|star|settings|zarr)",
    r"_(full_rec|rec_full|tomogram|preali|info|full|Vol|rec|ali|bin\d+|st)",
    r"_\d+(\.\d+)?Apx",
)
_ENDINGS = re.compile(f"({'|'.join(_ADDED)})$", re.IGNORECASE)


def bare(name: str) -> str:
    """A name without its folder and what programs add, in lower case, numbers without zeros.

    Examples
    --------
    >>> bare("tomo/TS_01_Vol.mrc"), bare("ts_1.tomostar"), bare("TS-1_13.80Apx.mrc")
    ('ts_1', 'ts_1', 'ts_1')
    """
    name = name.rsplit("/", 1)[-1]
    while (shorter := _ENDINGS.sub("", name)) not in (name, ""):
        name = shorter
    return re.sub(r"\d+", lambda m: str(int(m[0])), name.lower()).replace("-", "_")


def suggested_map(found: Iterable[str], wanted: Iterable[str]) -> dict[str, str]:
    """What the names of one file seem to mean in another: those that fit one another only.

    Examples
    --------
    >>> suggested_map(["TS_1_Vol", "other"], ["TS_01", "TS_02"])
    {'TS_1_Vol': 'TS_01'}
    """
    there, theirs = _by_bare(wanted), _by_bare(found)
    return {
        names[0]: there[key][0]
        for key, names in theirs.items()
        if len(names) == 1 and len(there.get(key, ())) == 1 and names[0] != there[key][0]
    }


def _by_bare(names: Iterable[str]) -> dict[str, list[str]]:
    grouped: dict[str, list[str]] = {}
    for name in dict.fromkeys(names):
        grouped.setdefault(bare(name), []).append(name)
    return grouped


def meant(lost: Collection[str], there: Collection[str]) -> str:
    """What to say of names that are not there: what they seem to mean, and what puts it right."""
    pairs, first = suggested_map(lost, there), next(iter(lost))
    near = [*pairs.values()][:1] or difflib.get_close_matches(first, [*there], n=1, cutoff=0.5)
    near += sorted((name for name in there if name and name in first), key=len)[-1:]
    if not near:
        return ""
    lines = some_of([f"{old} {new}" for old, new in pairs.items()])
    cure = f" A file of such lines renames them (tomoset rename --map): {lines}"
    return f"did you mean {near[0]!r}?{cure if pairs else ''}"


@dataclass(frozen=True, kw_only=True)
class Renaming:
    """New names of series.

    Parameters
    ----------
    strip : tuple of str
        Taken off the end of a name, or its beginning, once each.
    names : mapping of str to str
        New names, of those that `strip` leaves, or of the old ones.

    Examples
    --------
    >>> renamed = Renaming(strip=("_Vol",), names={"TS_1": "TS_01"})
    >>> renamed("TS_1_Vol"), renamed("TS_2_Vol"), renamed("TS_3")
    ('TS_01', 'TS_2', 'TS_3')
    """

    strip: tuple[str, ...] = ()
    names: Mapping[str, str] = field(default_factory=dict)

    def __call__(self, name: str) -> str:
        if name in self.names:
            return self.names[name]
        short = name
        for text in self.strip:
            cut = short.removesuffix(text)
            cut = short.removeprefix(text) if cut == short else cut
            short = cut or short
        return self.names.get(short, short)

    def refuse_unused(self, series: Collection[str]) -> None:
        """Refuse a map none of whose new names are there; ModelError."""
        if self.names and not set(self.names.values()) & set(series):
            raise ModelError(
                f"no series is called {some_of([*self.names])}, to be renamed (`rename`); there "
                f"are {some_of([*series])}"
            )


#: Names as they are.
UNCHANGED = Renaming()


def read_renaming(path: str | os.PathLike[str]) -> dict[str, str]:
    """A file of lines of an old and a new name, set apart by a blank, a tab or a comma.

    Quotes are taken off, as spreadsheets put them; lines that begin with # are passed over.

    Raises
    ------
    FileFormatError
        If a line holds another number of names, or a name comes twice.
    """
    pairs: dict[str, str] = {}
    for number, line in enumerate(read_lines(os.fspath(path)), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        apart = "," if "," in line else "\t" if "\t" in line.strip() else " "
        words = next(csv.reader([line.strip()], delimiter=apart, skipinitialspace=True))
        words = [word.strip() for word in words if word.strip()]
        if len(words) != 2:
            raise FileFormatError(
                f"expected an old and a new name, found {line.strip()[:60]!r}",
                path=path,
                line=number,
            )
        if words[0] in pairs:
            raise FileFormatError(f"{words[0]!r} comes twice", path=path, line=number)
        pairs[words[0]] = words[1]
    if not pairs:
        raise FileFormatError("holds no line of an old and a new name", path=path)
    twice = [name for name, n in Counter(pairs.values()).items() if n > 1]
    if twice:
        raise FileFormatError(f"two names would become {twice[0]!r}", path=path)
    return pairs


def read_listed(path: str | os.PathLike[str]) -> list[str]:
    """A file of names, one a line; blank lines and those that begin with # are passed over.

    Raises
    ------
    FileFormatError
        If there is none.
    """
    lines = (line.strip() for line in read_lines(os.fspath(path)))
    names = [line for line in lines if line and not line.startswith("#")]
    if not names:
        raise FileFormatError("holds no name", path=path)
    return names
