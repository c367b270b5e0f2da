"""Other packages' alignments as a tomogram set: read, named, written, verified."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tomoset.errors import FileAccessError
from tomoset.files import Guard, together
from tomoset.formats import (
    BEYOND_RIGID,
    FORMATS,
    Destination,
    Reading,
    Renaming,
    Tolerance,
    format_named,
    read,
    read_renaming,
)
from tomoset.model import Tomogram, TomogramSet
from tomoset.project._record import is_record, listened, of_tomograms, store
from tomoset.project.convert import Options as ConvertOptions
from tomoset.project.convert import Result, write_and_verify
from tomoset.project.stacks import with_stacks
from tomoset.run import filled

StrPath = str | os.PathLike[str]


@dataclass(frozen=True, kw_only=True)
class Options:
    """What holds for the import of any package's files.

    Parameters
    ----------
    to : str
        Format of the set.
    tolerance : Tolerance
        What may be lost in it.
    append : str, optional
        A set to which the new tomograms are added.
    strip : tuple of str
        Taken off the end, or the beginning, of the names of series.
    rename : str or mapping, optional
        New names by old ones, or a file of lines with both.
    overwrite : bool
        Whether files that are there, and are others, are replaced.
    """

    to: str = FORMATS[0].name
    tolerance: Tolerance = field(default_factory=Tolerance)
    append: str | None = None
    strip: tuple[str, ...] = ()
    rename: str | Mapping[str, str] | None = None
    overwrite: bool = False

    def renaming(self) -> Renaming:
        """What becomes of names."""
        given = self.rename or {}
        names = given if isinstance(given, Mapping) else read_renaming(given)
        return Renaming(strip=tuple(self.strip), names=names)


@dataclass(frozen=True, kw_only=True, eq=False)
class Imported:
    """What came in.

    Parameters
    ----------
    path : str or None
        The set; None if there was nothing to write.
    reading : Reading
        All tomograms, what was chosen, and series that could not be read.
    tomograms : tuple of Tomogram
        The new ones.
    verified : Result or None
        How far the set is from what was read, where its format cannot say all.
    """

    path: str | None
    reading: Reading
    tomograms: tuple[Tomogram, ...]
    verified: Result | None = None

    def record(self) -> dict[str, Any]:
        """What is kept of it, beside the set."""
        done = self.verified
        rows = {t.name: {"tilt_images": t.n_tilts, "stack": t.stack} for t in self.tomograms}
        compared = {} if done is None else of_tomograms(done.losses, done.verifications)
        return {
            "written": self.path,
            "tomograms": {name: row | compared.get(name, {}) for name, row in rows.items()},
            "failed": {f.name: str(f.error) for f in self.reading.failures},
            "notes": [*self.reading.notes],
        }


def import_series(
    package: str, sources: Sequence[StrPath], target: StrPath, **by_name: Any
) -> Imported:
    """Make a tomogram set of other packages' files.

    Parameters
    ----------
    package : str
        Of `FORMATS`, one with options.
    sources : sequence of path-like
        Its files or folders.
    target : path-like
        The set that is written.
    **by_name
        Fields of `Options` and of `Tolerance`, and the options of the package.

    Returns
    -------
    Imported
        The set, and series that could not be read: they stop no other.

    Raises
    ------
    TomosetError
        If an option makes no sense, names come twice, or a file may not be replaced. Nothing is
        written then.

    Examples
    --------
    >>> import tomoset
    >>> done = tomoset.import_series("imod", ["TS_01"], "tomograms.star")    # doctest: +SKIP
    >>> done.path, [t.name for t in done.tomograms]                         # doctest: +SKIP
    ('tomograms.star', ['TS_01'])
    """
    format, given = format_named(package), dict(by_name)
    options = filled(Options, None, given)
    chosen, names, output = format.chosen(sources, given), options.renaming(), os.fspath(target)
    before = None if options.append is None else read(options.append)
    inputs = [path for path in (*sources, chosen.get("table")) if path and os.path.isfile(path)]
    guard = _guard(inputs, output, before, overwrite=options.overwrite)
    with together(guard, home=os.path.dirname(output) or "."), listened() as caught:
        destination = Destination(target=output, before=before, names=names)
        reading = format.read(sources, destination, **chosen)
        new = tuple(t for t in reading.project.tomograms.values() if t.name not in (before or ()))
        if not reading.failures:
            names.refuse_unused([t.name for t in new])
        if not new:
            return Imported(path=None, reading=reading, tomograms=())
        verified = _write(reading.project.tomograms, output, options)
        done = Imported(path=output, reading=reading, tomograms=new, verified=verified)
        store(
            output, {"sources": [os.fspath(source) for source in sources], **done.record()}, caught
        )
    return done


def _guard(
    inputs: Sequence[StrPath], output: str, before: TomogramSet | None, *, overwrite: bool
) -> Guard:
    """What is read is not replaced; the set that is added to may be."""
    if os.path.realpath(output) in map(os.path.realpath, inputs):
        raise FileAccessError(f"{output} is read: give another path for the set")
    files = set() if before is None else {os.path.realpath(file) for file in before.files}
    return Guard(
        lambda: inputs,
        overwrite=overwrite,
        ours=lambda path: is_record(path) or os.path.realpath(path) in files,
    )


def _write(tomograms: TomogramSet, output: str, options: Options) -> Result | None:
    """Write the set; in a format that cannot say all of an alignment, verified."""
    target = format_named(options.to)
    if not target.can("single images"):
        single = TomogramSet(t for t in tomograms.values() if t.images is not None)
        stacked = with_stacks(single, output)
        tomograms = tomograms.with_tomograms(stacked.get(n, t) for n, t in tomograms.items())
    if all(map(target.can, BEYOND_RIGID)):
        target.write_set(tomograms, output)
        return None
    return write_and_verify(
        tomograms, output, ConvertOptions(to=target.name, tolerance=options.tolerance)
    )
