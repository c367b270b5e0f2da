"""The files of a tilt series in an IMOD folder, found by their names and by what they name."""

from __future__ import annotations

import fnmatch
import os
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tomoset.errors import AmbiguityError, AssumptionWarning, MissingFileError
from tomoset.formats._ctf_tables import agree
from tomoset.formats._text_tables import read_lines
from tomoset.formats.imod.commands import (
    NEWSTACK_OPTIONS,
    NEWSTACK_PROGRAMS,
    TILT_OPTIONS,
    TILT_PROGRAMS,
    CommandFile,
    read_commands,
)
from tomoset.formats.imod.owners import (
    STACK_ENDINGS,
    Owners,
    is_aligned,
    names_in,
    raw_stacks,
    stem_of,
)
from tomoset.formats.imod.series import ImportOptions, Series
from tomoset.images.mrc import stack_path
from tomoset.images.tiff import TIFF_ENDINGS


@dataclass(frozen=True)
class _Kind:
    """A kind of command file: how names begin, what is read of it, the option that names one."""

    stem: str
    options: tuple[str, ...]
    programs: tuple[str, ...]
    option: str


_NEWST = _Kind("newst", NEWSTACK_OPTIONS, NEWSTACK_PROGRAMS, "--nc")
_TILT = _Kind("tilt", TILT_OPTIONS, TILT_PROGRAMS, "--tc")


def find_series(
    folder: str | os.PathLike[str],
    options: ImportOptions,
    culled: Callable[[str], str],
) -> list[tuple[Series, list[str]]]:
    """The series in an IMOD folder, each with lines that say what was chosen.

    It is one, unless --stack is a pattern of several stacks with an alignment of its own each, or
    there are those of two axes.

    Raises
    ------
    MissingFileError
        If the folder is not there, or holds no alignment or no stack.
    AmbiguityError
        If two files fit; the message names the option that decides.
    """
    path = Path(folder)
    finder = _Finder(path, names_in(path))
    return [finder.series(stack, options, culled) for stack in finder.stacks(options)]


def folders_of_series(folder: str | os.PathLike[str]) -> list[str]:
    """The folder; or those in it that hold a series, where it holds nothing of one itself."""
    own = os.fspath(folder)
    if not os.path.isdir(own):
        return [own]  # which is said when it is read
    names = names_in(own)
    if raw_stacks(names) or any(map(_tells_a_series, names)):
        return [own]
    with os.scandir(own) as entries:
        inner = sorted(entry.path for entry in entries if entry.is_dir())
    return [path for path in inner if any(map(_tells_a_series, os.listdir(path)))] or [own]


def own_commands(series: Series, options: ImportOptions) -> Series:
    """A series of an import table, with the command files that are of its stack.

    Raises
    ------
    AmbiguityError
        If those that are there are of other series, or several fit.
    """
    if not (os.path.isdir(series.folder) and os.path.isfile(stack_path(series.stack))):
        return series  # which is said when it is read
    finder = _Finder(Path(series.folder), names_in(series.folder))
    owners = Owners(finder.names, series.stack)
    newst = finder.command_file(owners, _NEWST, options.newst)
    tilt = finder.command_file(owners, _TILT, options.tilt)
    return replace(series, newst=newst or series.newst, tilt=tilt or series.tilt)


def _base(path: str | None) -> str:
    return "none" if path is None else os.path.basename(path)


class _Finder:
    """Looks for files in one folder; names options in its errors."""

    def __init__(self, folder: Path, names: list[str]) -> None:
        self.folder, self.names = folder, names
        self._files: dict[tuple[_Kind, str], CommandFile] = {}

    def series(
        self, stack: str, options: ImportOptions, culled: Callable[[str], str]
    ) -> tuple[Series, list[str]]:
        """The series of one stack, and a line for each file that was chosen."""
        owners = Owners(self.names, stack)
        newst = self.command_file(owners, _NEWST, options.newst)
        tilt = self.command_file(owners, _TILT, options.tilt)
        project = self.project()
        dataset = project.get("Setup.DatasetName")
        ctf = self.ctf(owners, options.ctf)
        order = self.order(owners, options.order) or options.order_list
        aligned = options.aligned or is_aligned(stack)
        if aligned and not options.aligned:
            warnings.warn(
                f"{stack} is an aligned stack by its name: no transforms are applied to it",
                AssumptionWarning,
                stacklevel=3,
            )
        name = self._name(owners)
        axis = "B" if dataset is not None and owners.stem == f"{dataset}b" else "A"
        series = Series(
            name=name,
            # RELION knows MRC, TIFF and .st by their endings, and reads .st only when told so.
            stack=stack if stack.endswith((".mrc", ".mrcs", *TIFF_ENDINGS)) else stack + ":mrc",
            folder=str(self.folder),
            newst=newst,
            tilt=tilt,
            ctf=ctf,
            order=order,
            fractional_dose=options.fractional_dose,
            optics_group=options.optics_group,
            offset=options.offset,
            culled=culled(name),
            dataset=dataset or Path(stack).stem,
            excluded=project.get(f"Setup.Axis{axis}.ExcludeProjections", ""),
            tilt_angles=self._tilt_angles(options.tilt_angles),
            aligned=aligned,
        )
        table = f"{ctf[0]} and {len(ctf) - 1} more" if len(ctf) > 1 else next(iter(ctf), None)
        said = {"stack": stack, "newst": newst, "tilt": tilt, "ctf": table, "order": order}
        return series, [f"{what} {_base(value)}" for what, value in said.items()]

    def _name(self, owners: Owners) -> str:
        """The folder's; the stack's, where several series are in the folder."""
        folder = os.path.basename(os.path.abspath(self.folder))
        if len(owners.aligned_stacks()) < 2 or owners.stem == folder:
            return folder
        return owners.stem if owners.stem.startswith(folder) else f"{folder}_{owners.stem}"

    def _tilt_angles(self, pattern: str | None) -> str | None:
        return None if pattern is None else self.matching(pattern, "file of tilt angles", "--tlt")

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

    def fitting(self, pattern: str, option: str) -> list[str]:
        """The files that fit a user's pattern, from the folder; or the file itself."""
        if os.path.isfile(pattern) and os.path.isabs(pattern):
            return [pattern]
        if not pattern or os.path.isabs(pattern):
            raise MissingFileError(f"{option} {pattern!r}: there is no such file")
        fits = [str(p.relative_to(self.folder)) for p in self.folder.glob(pattern) if p.is_file()]
        if not fits:
            raise MissingFileError(f"{self.folder}: no file fits {option} {pattern!r}")
        return sorted(fits)

    def matching(self, pattern: str, what: str, option: str) -> str:
        """The only file that fits a user's pattern, or the file itself."""
        return self.one(self.fitting(pattern, option), what, option) or ""

    def command_file(
        self,
        owners: Owners,
        kind: _Kind,
        given: str | None,
    ) -> str | None:
        """The command file of a series: one that names its files, by whatever name it goes."""
        stem, option = kind.stem, kind.option
        names = self._usual(stem) if given is None else self.fitting(given, option)
        files = self._read(names, kind)
        foreign = {name: owners.foreign_names(file) for name, file in files.items()}
        fits = [name for name in files if not foreign[name]]
        own = [name for name in fits if owners.names_own(files[name])]
        if given is None and not own:
            others = self._read(self._unusual(stem), kind)
            files |= others
            own = [n for n, file in others.items() if owners.is_of(file)]
        if not (own or fits) and files:
            if given is None:
                raise self._only_foreign(owners, kind, foreign)
            fits = list(files)
        name = self._chosen(own or fits, files, kind)
        if name is None:
            return None
        if not foreign.get(name):
            owners.adopt(files[name])
        else:
            warnings.warn(
                f"{self.path(name)} names {foreign[name][0]}, which is not of {owners.stem}; taken "
                f"as {option} says",
                AssumptionWarning,
                stacklevel=3,
            )
        return self.path(name)

    def _only_foreign(
        self, owners: Owners, kind: _Kind, foreign: dict[str, list[str]]
    ) -> AmbiguityError:
        named = ", ".join(f"{name} names {files[0]}" for name, files in foreign.items() if files)
        return AmbiguityError(
            f"{self.folder}: no {kind.stem} command file is of {owners.stem}: {named}; say which "
            f"is to be taken by {kind.option}, or put the series into a folder of its own"
        )

    def _read(self, names: Sequence[str], kind: _Kind) -> dict[str, CommandFile]:
        for name in names:
            if (kind, name) not in self._files:
                path = self.path(name)
                self._files[kind, name] = read_commands(path, kind.options, kind.programs)
        return {name: self._files[kind, name] for name in names}

    def _usual(self, stem: str) -> list[str]:
        """What etomo calls a command file: for one axis, and for two."""
        names = {name.lower(): name for name in self.names}
        usual = (f"{stem}.com", f"{stem}_ali.com", f"{stem}a.com", f"{stem}b.com")
        return [names[n] for n in usual if n in names]

    def _unusual(self, stem: str) -> list[str]:
        """Other command files, but for the pieces of one and those of a search for beads."""
        usual = set(self._usual(stem))
        return [
            n
            for n in self.names
            if fnmatch.fnmatch(n.lower(), f"{stem}*.com")
            and n not in usual
            and "3dfind" not in n
            and not n.lower().startswith(f"{stem}-")
        ]

    def _chosen(self, fits: list[str], files: dict[str, CommandFile], kind: _Kind) -> str | None:
        """The one that fits; of those that say the same, the first."""
        said = [_what_counts(files[name]) for name in fits]
        if any(one != said[0] for one in said):
            self.one(fits, f"{kind.stem} command file", kind.option)
        return fits[0] if fits else None

    def project(self) -> dict[str, str]:
        """Key and value of etomo's project file, if there is just one."""
        files = [n for n in self.names if n.endswith(".edf")]
        if len(files) != 1:
            return {}
        pairs = (line.partition("=") for line in read_lines(self.path(files[0])))
        return {key.strip(): value.strip() for key, mark, value in pairs if mark}

    def stacks(self, options: ImportOptions) -> list[str]:
        """The stack; several if --stack is a pattern of such, or if they are two axes."""
        if options.stack is not None:
            fits = self.fitting(options.stack, "--stack")
            stems = {stem_of(name) for name in fits}
            if len(stems) == len(fits) and stems <= Owners(self.names, fits[0]).aligned_stacks():
                return [self.path(name) for name in fits]
            return [self.one(fits, "stack", "--stack") or ""]
        key = "OutputFile" if options.aligned else "InputFile"
        named = self._named_stacks(key, options.newst)
        if axes := self._axes(list(filter(self._is_here, named)) or raw_stacks(self.names)):
            return axes
        if found := self.one(filter(self._is_here, named), "stack", "--stack"):
            return [found]
        if options.aligned:
            what = named[0] if named else "(OutputFile of newst.com)"
            raise MissingFileError(
                f"{self.folder}: the aligned stack {what} is not there; say which file it is by "
                "--stack"
            )
        dataset = self.project().get("Setup.DatasetName")
        for name in (f"{dataset}{ending}" for ending in STACK_ENDINGS):
            if dataset and self._is_here(name):
                return [self.path(name)]
        return [self._only_stack(named)]

    def _axes(self, names: list[str]) -> list[str]:
        """The stacks of two axes, NAMEa and NAMEb as etomo calls them, with an alignment each."""
        stems = {stem_of(name): name for name in names}
        first, *rest = sorted(stems) or [""]
        if len(names) != 2 or not first.endswith("a") or rest != [f"{first[:-1]}b"]:
            return []
        aligned = stems.keys() <= Owners(self.names, names[0]).aligned_stacks()
        return [self.path(stems[stem]) for stem in (first, *rest)] if aligned else []

    def _is_here(self, name: str) -> bool:
        return os.path.isfile(self.folder / name)

    def _named_stacks(self, key: str, given: str | None) -> list[str]:
        """Stacks that the command files of newstack name."""
        names = self._usual("newst") if given is None else self.fitting(given, _NEWST.option)
        named = [file.text(key) for file in self._read(names, _NEWST).values()]
        return list(dict.fromkeys(filter(None, named)))

    def _only_stack(self, named: Sequence[str]) -> str:
        raw = raw_stacks(self.names) or [
            n for n in self.names if is_aligned(n) and n.endswith((".ali", ".mrc"))
        ]
        found = self.one(raw, "raw stack", "--stack (a pattern takes all series that are aligned)")
        if found is None:
            raise MissingFileError(
                f"{self.folder}: no raw stack (*.st, *.mrc, *.tif), nor an aligned one (*.ali), "
                "is there; if it is elsewhere, say where by --stack or use an import table (--i)"
            )
        if named:
            warnings.warn(
                f"{self.folder}: {named[0]}, which newst.com names, is not there; "
                f"{os.path.basename(found)} taken for it",
                AssumptionWarning,
                stacklevel=3,
            )
        return found

    def ctf(self, owners: Owners, pattern: str | None) -> tuple[str, ...]:
        """The table of defocus; several where a user's pattern fits those of single images."""
        if pattern is not None:
            fits = self.fitting(pattern, "--ctf")
            return tuple(map(self.path, [n for n in fits if owners.is_own(n)] or fits))
        fits = owners.pick(n for n in self.names if n.lower().endswith(_CTF) or _is_ctf(n))
        if len(fits) == 2 and agree(*map(self.path, fits)):
            fits = fits[:1]
        found = self.one(fits, "table of defocus", "--ctf")
        return () if found is None else (found,)

    def order(self, owners: Owners, pattern: str | None) -> str | None:
        if pattern is not None:
            return self._own_match(owners, pattern, "order list", "--order")
        fits = [
            n for n in self.names if "order" in n.lower() and n.lower().endswith((".csv", ".txt"))
        ]
        return self.one(owners.pick(fits), "order list", "--order")

    def _own_match(self, owners: Owners, pattern: str, what: str, option: str) -> str | None:
        """What fits a pattern; of several, what is of the series."""
        fits = self.fitting(pattern, option)
        own = [name for name in fits if owners.is_own(name)]
        return self.one(own if len(fits) > 1 and own else fits, what, option)


#: How names of tables of defocus end.
_CTF = (
    *(".defocus", "_ctf.txt", "_ctf_imod.txt", "ctffind.txt", "ctffind4.txt", "ctffind5.txt"),
    *("_gctf.star", "_ctf.star"),
)


def _is_ctf(name: str) -> bool:
    return name.lower() in ("ctf.txt", "diagnostic_output.txt")


def _tells_a_series(name: str) -> bool:
    return name.endswith((".xf", ".tlt", ".rawtlt", ".st")) or name in ("newst.com", "tilt.com")


def _what_counts(commands: CommandFile) -> dict[str, list[str]]:
    """What a command file says of an alignment: all but what it makes."""
    entries = commands.entries.items()
    return {name: [e.value for e in said] for name, said in entries if name != "OutputFile"}
