"""What programs have left of a set: their results, as they were recorded, and what these add.

A program's words are shown whatever it is. One whose result has numbers of a series or of tilt
images that are to be columns, charts or drawings has a reader in `READERS`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tomoset.align.resolution import supported_resolution
from tomoset.check.shown import FORMS
from tomoset.errors import TomosetError, said_of
from tomoset.files import file_name
from tomoset.model import Tomogram

if TYPE_CHECKING:
    from tomoset.programs._program import Program

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Said:
    """What the result of a program adds to what is known of a series.

    Parameters
    ----------
    row : mapping
        Of the series, by the keys of `tomoset.report._columns.SERIES`.
    tilts : mapping of str to sequence
        Of its tilt images, by the keys of `tomoset.report._columns.TILTS`: numbers or texts.
    lines : tuple of str
        Words, besides those that the program itself has.
    """

    row: Mapping[str, Any] = field(default_factory=dict)
    tilts: Mapping[str, Sequence[Any] | Array] = field(default_factory=dict)
    lines: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, eq=False)
class Found:
    """The result of a program for one series.

    Parameters
    ----------
    program : str
        As a user types it.
    folder : str
        In which it was recorded.
    lines : tuple of str
        What the program tells of it.
    warned : tuple of str
        What it warned of.
    said : Said
        What it adds.
    """

    program: str
    folder: str
    lines: tuple[str, ...]
    warned: tuple[str, ...]
    said: Said


def _by_beads(result: Any, t: Tomogram) -> Said:
    row: dict[str, Any] = {"beads": result.beads}
    if result.level is not None:
        row |= dict(zip(("inclination", "error_inclination"), result.level, strict=True))
    if (fit := result.fit) is not None:
        row |= {"residual": fit.residual, "leave_out": fit.leave_out}
        row |= _known_to(fit.expected, t)
    return Said(row=row)


def _by_images(result: Any, t: Tomogram) -> Said:
    fit = result.fit
    row = {
        "error_axis": fit.axis_error,
        "ice_thickness": fit.thickness,
        "error_thickness": fit.thickness_error,
        "doubtful": len(result.doubtful),
        "inclination": float(np.hypot(*fit.inclination)),
        "error_inclination": float(np.hypot(*fit.inclination_error)),
        **_known_to(fit.expected, t),
    }
    verdicts = ["confirmed"] * len(result.support)
    for said, which in (("not used", result.unused), ("in doubt", result.doubtful)):
        for number, why in which.items():
            verdicts[int(number) - 1] = f"{said}: {why}"
    tilts = {"verdict": verdicts, "support": result.support, "rival": result.rival}
    return Said(row=row, tilts={**tilts, "predicted": result.predicted})


def _by_particles(result: Any, t: Tomogram) -> Said:
    row = {} if result.residual is None else {"residual": result.residual}
    return Said(row=row | _known_to(result.expected, t))


def _known_to(expected: float | None, t: Tomogram) -> dict[str, Any]:
    """How well an alignment is known, and what resolution that supports."""
    if expected is None or not np.isfinite(expected):
        return {}
    if (pixel := t.optics.pixel_size) is None:
        return {"expected": expected}
    length = expected * pixel
    return {
        "expected": expected,
        "expected_length": length,
        "resolution": supported_resolution(length),
    }


def _found_beads(result: Any, _: Tomogram) -> Said:
    known = {} if result.residual is None else {"residual": result.residual}
    return Said(row={"beads": result.beads, **known})


def _hand(result: Any, _: Tomogram) -> Said:
    tilts = {
        "rings": result.rings,
        "defocus_rings": result.defocus,
        "error_defocus_rings": result.error,
    }
    row = {"hand_log_odds": result.log_odds}
    return Said(row={**row, "inclination_rings": float(np.hypot(*result.inclined))}, tilts=tilts)


def _ctf(result: Any, _: Tomogram) -> Said:
    seen = np.isfinite(result.resolution)
    middle = float(np.median(result.resolution))
    row = {
        "show_rings": int(result.told.sum()),
        "ctf_max_resolution": middle if np.isfinite(middle) else None,
        "ctf_figure_of_merit": float(np.median(result.merit)),
        "inclination_rings": float(np.hypot(*result.inclined)),
        "error_inclination_rings": float(np.hypot(*result.inclined_error)),
    }
    tilts = {
        "defocus_rings": result.defocus,
        "error_defocus_rings": result.defocus_error,
        "defocus_from": np.where(result.told, "its rings", "the others"),
        "rings": result.rings,
        "ctf_max_resolution": np.where(seen, result.resolution, np.nan),
        "ctf_figure_of_merit": result.merit,
    }
    return Said(row=row, tilts=tilts)


def _volumes(result: Any, _: Tomogram) -> Said:
    voxels = " x ".join(map(str, result.voxels))
    return Said(lines=(f"{voxels} voxels of {FORMS['pixel_size'](result.pixel_size)} Å",))


#: What a program's result adds, by the program's name. Later ones have the last word.
READERS: Mapping[str, Callable[[Any, Tomogram], Said]] = {
    "find-fiducials": _found_beads,
    "align fiducials": _by_beads,
    "align images": _by_images,
    "align particles": _by_particles,
    "ctf": _ctf,
    "hand": _hand,
    "reconstruct": _volumes,
}


class Results:
    """What is recorded in the folders in which a set, and those that it was made of, were written.

    Parameters
    ----------
    folders : sequence of str
        The earliest first.
    """

    def __init__(self, folders: Sequence[str]) -> None:
        self._folders = list(dict.fromkeys(folders))
        #: Records that could not be read, and why.
        self.problems: list[str] = []

    @cached_property
    def _programs(self) -> list[tuple[str, str, Path, Program[Any, Any]]]:
        """Name, folder, records and program, of those that have left something."""
        from tomoset.programs import PROGRAMS, program

        places = [(folder, _run_folders(folder)) for folder in self._folders]
        found = []
        for name in PROGRAMS if any(there for _, there in places) else ():
            one = program(name)
            for folder, there in places:
                records = one.records(folder).folder
                if records.name in there:
                    found.append((name, folder, records, one))
        return sorted(found, key=lambda one: self._folders.index(one[1]))

    def recorded(self, folder: str) -> dict[str, frozenset[str]]:
        """By program, of which series a folder has records: names as files have them."""
        return {
            name: frozenset(path.stem for path in records.glob("*.json"))
            for name, place, records, _ in self._programs
            if place == folder
        }

    def of(self, t: Tomogram) -> list[Found]:
        """What programs have found of a series, the earliest first."""
        return list(self._found(t))

    def _found(self, t: Tomogram) -> Iterator[Found]:
        for name, folder, records, program in self._programs:
            path = records / f"{file_name(t.name)}.json"
            if not path.is_file():
                continue
            try:
                record = json.loads(path.read_bytes())
                if record.get("name") != t.name or "result" not in record:
                    continue  # of another series, or begun and not done
                result = program.read(_placed(record["result"], folder))
                said = READERS[name](result, t) if name in READERS else Said()
                lines = (*program.lines(result), *said.lines)
                warned = tuple(said_of(t.name, text) for _, text in record.get("warnings", ()))
            except (TomosetError, OSError, LookupError, TypeError, ValueError, AttributeError) as e:
                self.problems.append(f"{path}: what {name} left cannot be read ({e})")
                continue
            fits = {k: placed for k, v in said.tilts.items() if (placed := _in_rows(v, t))}
            if len(fits) < len(said.tilts):
                lines = (*lines, _OTHERS)
            said = Said(row=said.row, tilts=fits)
            yield Found(program=name, folder=folder, lines=lines, warned=warned, said=said)


#: Where images came back since, nobody knows which of them had which number.
_OTHERS = "it had other tilt images than the series has now: its numbers of each are not shown"


def _in_rows(values: Sequence[Any] | Array, t: Tomogram) -> list[Any] | None:
    """Values of tilt images in the order of rows: those of the set, then those taken out.

    A program had those of the set, or all of them, if it ran before some were taken out.
    """
    plain = np.asarray(values).tolist()
    places = [*t.original_rows(), *(out.row for out in t.exclusions)]
    if len(plain) == len(places):
        return [plain[i] for i in places]
    return plain if len(plain) == t.n_tilts else None


def _run_folders(folder: str) -> frozenset[str]:
    try:
        return frozenset(name for name in os.listdir(folder) if name.startswith("run_"))
    except OSError:
        return frozenset()


def _placed(recorded: Mapping[str, Any], folder: str) -> Mapping[str, Any]:
    """A record whose arrays are where the folder is now, wherever the program was started."""
    arrays = recorded.get("arrays")
    if arrays is None or os.path.isfile(arrays):
        return recorded
    return {**recorded, "arrays": os.path.join(folder, *Path(arrays).parts[-2:])}
