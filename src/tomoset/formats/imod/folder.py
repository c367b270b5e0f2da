"""The files of a tilt series in an IMOD folder, found by what etomo calls them."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path

from tomoset.errors import AmbiguityError, AssumptionWarning, MissingFileError
from tomoset.formats.imod.commands import (
    NEWSTACK_OPTIONS,
    NEWSTACK_PROGRAMS,
    read_commands,
    read_lines,
)
from tomoset.formats.imod.series import ImportOptions, Series
from tomoset.images.tiff import TIFF_ENDINGS

#: Endings of image files that are not raw tilt series.
_NOT_RAW = ("_ali", "_rec", "_full_rec", "_preali", "_ctfcorr", "_erase", "_fixed", "_mid", "_cut")
_STACK_ENDINGS = (".st", ".mrc", ".mrcs", *TIFF_ENDINGS)


def find_series(
    folder: str | os.PathLike[str],
    options: ImportOptions,
    culled: Callable[[str], str],
) -> tuple[Series, list[str]]:
    """The series in an IMOD folder, and lines that say what was chosen.

    Raises
    ------
    MissingFileError
        If the folder is not there, or holds no alignment or no stack.
    AmbiguityError
        If two files fit; the message names the option that decides.
    """
    path = Path(folder)
    if not path.is_dir():
        raise MissingFileError(f"{path}: there is no such folder")
    finder = _Finder(path)
    newst = finder.command_file("newst", options.newst, "--nc")
    tilt = finder.command_file("tilt", options.tilt, "--tc")
    project = finder.project()
    dataset = project.get("Setup.DatasetName")
    stack = finder.stack(options.stack, newst, dataset, aligned=options.aligned)
    name = os.path.basename(os.path.abspath(path))
    ctf = finder.ctf(options.ctf)
    order = finder.order(options.order) or options.order_list
    series = Series(
        name=name,
        # RELION knows MRC, TIFF and .st by their endings, and reads .st only when told so.
        stack=stack if stack.endswith((".mrc", ".mrcs", *TIFF_ENDINGS)) else stack + ":mrc",
        folder=str(path),
        newst=newst,
        tilt=tilt,
        ctf=ctf,
        order=order,
        fractional_dose=options.fractional_dose,
        optics_group=options.optics_group,
        offset=options.offset,
        culled=culled(name),
        dataset=dataset or Path(stack).stem,
        excluded=project.get("Setup.AxisA.ExcludeProjections", ""),
    )
    said = {"stack": stack, "newst": newst, "tilt": tilt, "ctf": ctf, "order": order}
    return series, [f"{what} {_base(value)}" for what, value in said.items()]


def _base(path: str | None) -> str:
    return "none" if path is None else os.path.basename(path)


class _Finder:
    """Looks for files in one folder; names options in its errors."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with os.scandir(folder) as entries:
            self.names = sorted(entry.name for entry in entries if _is_ours(entry))

    def path(self, name: str) -> str:
        return os.path.join(self.folder, name)

    def one(self, names: Iterable[str], what: str, option: str) -> str | None:
        """The only one of these names, as a path."""
        found = sorted(set(names))
        if len(found) > 1:
            raise AmbiguityError(
                f"{self.folder}: {' and '.join(found[:4])} could each be the {what}; "
                f"say which by {option}"
            )
        return self.path(found[0]) if found else None

    def matching(self, pattern: str, what: str, option: str) -> str:
        """The only file that fits a user's pattern, or the file itself."""
        if os.path.isfile(pattern) and os.path.isabs(pattern):
            return pattern
        if not pattern or os.path.isabs(pattern):
            raise MissingFileError(f"{option} {pattern!r}: there is no such file")
        fits = [str(p.relative_to(self.folder)) for p in self.folder.glob(pattern) if p.is_file()]
        found = self.one(fits, what, option)
        if found is None:
            raise MissingFileError(f"{self.folder}: no file fits {option} {pattern!r}")
        return found

    def command_file(self, stem: str, given: str | None, option: str) -> str | None:
        if given is not None:
            return self.matching(given, f"{stem} command file", option)
        names = {name.lower(): name for name in self.names}
        for plain in (f"{stem}.com", f"{stem}_ali.com"):
            if plain in names:
                return self.path(names[plain])
        axes = [names[n] for n in (f"{stem}a.com", f"{stem}b.com") if n in names]
        return self.one(axes, f"{stem} command file (two axes)", option)

    def project(self) -> dict[str, str]:
        """Key and value of etomo's project file, if there is just one."""
        files = [n for n in self.names if n.endswith(".edf")]
        if len(files) != 1:
            return {}
        pairs = (line.partition("=") for line in read_lines(self.path(files[0])))
        return {key.strip(): value.strip() for key, mark, value in pairs if mark}

    def stack(
        self, pattern: str | None, newst: str | None, dataset: str | None, *, aligned: bool
    ) -> str:
        if pattern is not None:
            return self.matching(pattern, "stack", "--stack")
        key = "OutputFile" if aligned else "InputFile"
        named = None
        if newst is not None:
            named = read_commands(newst, NEWSTACK_OPTIONS, NEWSTACK_PROGRAMS).text(key)
        guesses = [] if aligned or not dataset else [f"{dataset}{e}" for e in _STACK_ENDINGS]
        for name in (named, *guesses):
            if name and (self.folder / name).is_file():
                return self.path(name)
        if aligned:
            raise MissingFileError(
                f"{self.folder}: the aligned stack {named or '(OutputFile of newst.com)'} is not "
                "there; say which file it is by --stack"
            )
        raw = [n for n in self.names if n.endswith(_STACK_ENDINGS) and not _is_product(n)]
        # A TIFF beside MRC is most likely a picture of something.
        raw = [n for n in raw if not n.endswith(TIFF_ENDINGS)] or raw
        found = self.one(raw, "raw stack", "--stack")
        if found is None:
            raise MissingFileError(
                f"{self.folder}: no raw stack (*.st, *.mrc, *.tif) is there; if it is elsewhere, "
                "say where by --stack or use an import table (--i)"
            )
        if named:
            warnings.warn(
                f"{newst}: {key} {named} is not there; {os.path.basename(found)} taken for it",
                AssumptionWarning,
                stacklevel=3,
            )
        return found

    def ctf(self, pattern: str | None) -> str | None:
        if pattern is not None:
            return self.matching(pattern, "table of defocus", "--ctf")
        fits = [
            n
            for n in self.names
            if n.lower().endswith((".defocus", "_ctf.txt", "ctffind.txt", "ctffind4.txt"))
            or n.lower() in ("ctf.txt", "diagnostic_output.txt")
        ]
        return self.one(fits, "table of defocus", "--ctf")

    def order(self, pattern: str | None) -> str | None:
        if pattern is not None:
            return self.matching(pattern, "order list", "--order")
        fits = [
            n for n in self.names if "order" in n.lower() and n.lower().endswith((".csv", ".txt"))
        ]
        return self.one(fits, "order list", "--order")


def _is_ours(entry: os.DirEntry[str]) -> bool:
    # ._name is what macOS leaves beside a file on other disks.
    return entry.is_file() and not entry.name.startswith(".")


def _is_product(name: str) -> bool:
    stem = os.path.splitext(name)[0].lower()
    return stem.endswith(_NOT_RAW) or "culled" in stem


def named_or_only(folder: str, named: str | None, dataset: str | None, ending: str) -> str | None:
    """A file of the alignment: the one that is named, the data set's, or the only one.

    Projects are renamed and copied; a name that is not on disk any more is replaced by the
    only file with its ending, and said.

    Raises
    ------
    AmbiguityError
        If several have the ending and none the name.
    """
    if named is not None and os.path.isfile(os.path.join(folder, named)):
        return os.path.join(folder, named)
    if named is None and dataset is not None:
        own = os.path.join(folder, dataset + ending)
        if os.path.isfile(own):
            return own
    fits = [
        n
        for n in sorted(os.listdir(folder))
        if n.endswith(ending)
        and not n.startswith(("rot_", "pre"))
        and not n.removesuffix(ending).endswith(("_fid", "_nonfid", "local"))
    ]
    if len(fits) > 1:
        raise AmbiguityError(
            f"{folder}: {named or 'no name'} is not there, and {' and '.join(fits[:4])} could each "
            f"be meant; name it in the command file"
        )
    if not fits:
        return None
    if named is not None:
        warnings.warn(
            f"{folder}: {named} is not there; {fits[0]} taken for it",
            AssumptionWarning,
            stacklevel=3,
        )
    return os.path.join(folder, fits[0])
