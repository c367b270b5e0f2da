"""``hand --geometric``: the geometric hand of a project, from its particles and a map."""

from __future__ import annotations

import math
import os
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tomoset import derived, star
from tomoset.derived import file_sizes, in_folder, refuse_unknown, set_path, use_threads
from tomoset.errors import AssumptionWarning, ModelError
from tomoset.formats._files import file_names
from tomoset.model import ParticleSet
from tomoset.particles.columns import check_optics
from tomoset.particles.geometric.average import SumOptions, accumulate
from tomoset.particles.geometric.hand import (
    AS_MAP,
    MIRRORED,
    UNKNOWN,
    GeometricOdds,
    answer,
    likeness,
    place,
    reason,
    weigh,
)
from tomoset.particles.geometric.report import geometric_to_star
from tomoset.particles.geometric.search import TurnedMap
from tomoset.particles.geometric.sums import Sums, together
from tomoset.particles.reference import Reference
from tomoset.project import Project
from tomoset.run import Records, Report, RunOptions, run
from tomoset.tilt_series import TiltSeries

Ints = npt.NDArray[np.int64]

#: Without --lowpass: this [Å], or so many pixels if they are coarser.
_LOWPASS, _PIXELS = 20.0, 3.0
#: Pixel sizes of tomograms that are summed up may differ by this part.
_ALIKE = 0.01


@dataclass(frozen=True, kw_only=True)
class GeometricOptions:
    """How sure to be, and what is compared.

    Parameters
    ----------
    box : int
        About a particle in the images [px], even.
    lowpass : float, optional
        Finer waves are left out [Å]; None: 20, or 3 pixels.
    error_rate : float
        How often a verdict may be wrong.

    Raises
    ------
    ModelError
        If a value is impossible.
    """

    box: int
    lowpass: float | None = None
    error_rate: float = 0.001

    def __post_init__(self) -> None:
        if not 0 < self.error_rate < 0.5:
            raise ModelError(
                f"the rate of wrong verdicts must be above 0 and below 0.5, not {self.error_rate:g}"
            )
        self.sums(1.0)

    def sums(self, pixel_size: float, threads: int = 1) -> SumOptions:
        """What is summed of images with pixels of a size [Å]."""
        usual = max(_LOWPASS, _PIXELS * pixel_size)
        lowpass = usual if self.lowpass is None else self.lowpass
        return SumOptions(box=self.box, lowpass=lowpass, threads=threads)


@dataclass(frozen=True, kw_only=True, eq=False)
class Task(derived.Task):
    """What one process needs to sum up the particles of a tomogram.

    Parameters
    ----------
    particles : ParticleSet
        Of this tomogram.
    options : SumOptions
        What is summed.
    pixel_size : float or None
        Of the map [Å].
    target : str
        Where the sums go.
    """

    particles: ParticleSet
    options: SumOptions
    pixel_size: float | None
    target: str


@dataclass(frozen=True, kw_only=True, eq=False)
class GeometricHand:
    """What was found of a project: the geometric hand, not the defocus hand.

    Parameters
    ----------
    report : Report
        Of the sums of each tomogram.
    answer : str
        "as the map", "mirror image" or "cannot tell".
    reason : str
        Why it cannot be told; else empty.
    odds : GeometricOdds or None
        Of all tomograms; None: none could be summed.
    tomograms : dict
        Of each by itself.
    error_rate : float
        How often a verdict may be wrong.
    lowpass : float
        That was taken [Å].
    path : str or None
        What was written.
    """

    report: Report
    answer: str
    reason: str
    odds: GeometricOdds | None
    tomograms: dict[str, GeometricOdds]
    error_rate: float
    lowpass: float
    path: str | None = None

    @property
    def answers(self) -> dict[str, str]:
        """Of each tomogram by itself."""
        return {name: answer(odds, self.error_rate) for name, odds in self.tomograms.items()}

    @property
    def against(self) -> tuple[str, ...]:
        """Tomograms that say the opposite of all, by themselves."""
        if self.answer == UNKNOWN:
            return ()
        opposite = {AS_MAP: MIRRORED, MIRRORED: AS_MAP}[self.answer]
        return tuple(name for name, own in self.answers.items() if own == opposite)


def find_geometric_hand(
    project: Project,
    folder: str | os.PathLike[str] | None,
    reference: Reference,
    options: GeometricOptions,
    running: RunOptions | None = None,
    names: Sequence[str] = (),
) -> GeometricHand:
    """Compare a map of known hand, and its mirror image, with the particles of a project.

    Parameters
    ----------
    project : Project
        With particles that have orientations.
    folder : path-like, optional
        For ``geometric_hand.star``; None: nothing is written.
    reference : Reference
        The map, as both halves, and its mask.
    options : GeometricOptions
        What is wanted.
    running : RunOptions, optional
        Where and how to run.
    names : sequence of str
        Only these tomograms; all if empty.

    Returns
    -------
    GeometricHand
        A tomogram that fails stops no other.

    Raises
    ------
    ModelError
        If there are no particles, or no orientations, or sizes do not fit together.
    TomosetError
        If something cannot be read.
    """
    running = running or RunOptions()
    rows = _rows(project, names)
    sums = options.sums(_pixel_size(project, reference, rows), running.threads)
    density = reference.half1 if reference.mask is None else reference.half1 * reference.mask
    turned = TurnedMap.of(density, options.box)
    with ExitStack() as stack:
        if folder is None:
            where = stack.enter_context(tempfile.TemporaryDirectory())
            records = None
        else:
            where = os.path.join(folder, "geometric_sums")
            records = Records(Path(folder) / "run_geometric_hand", _describe, _is_there)
        os.makedirs(where, exist_ok=True)
        tasks = _tasks(project, rows, sums, reference.pixel_size, where)
        report = run(sum_one, tasks, running, records)
        paths = {name: result["sums"] for name, result in report.results.items()}
        found = _decided(paths, report, turned, options.error_rate, sums)
    _warn(found)
    if folder is None or found.odds is None:
        return found
    path = os.path.join(folder, "geometric_hand.star")
    particles = {name: result["particles"] for name, result in report.results.items()}
    star.write(
        geometric_to_star(
            found.odds, found.tomograms, {"": found.answer, **found.answers}, particles
        ),
        path,
    )
    return replace(found, path=path)


def _rows(project: Project, names: Sequence[str]) -> dict[str, Ints]:
    """The particles of each tomogram that is looked at."""
    particles = project.particles
    if particles is None or not len(particles):
        raise ModelError(
            "there are no particles, and the geometric hand cannot be told without; give a "
            "particle set (--p), or an optimisation set that names one (--i)"
        )
    refuse_unknown(project.tomograms, names)
    of = particles.by_tomogram()
    rows = {n: of[n] for n in project.tomograms if n in of and (not names or n in names)}
    if not rows:
        asked = names[0] if names else next(iter(project.tomograms), "")
        raise ModelError(f"tomogram {asked!r} has no particles, which the geometric hand needs")
    turned = particles.select(np.concatenate(list(rows.values()))).orientations
    if np.allclose(turned, turned[0], atol=1e-6) and (len(turned) > 1 or particles.angles is None):
        raise ModelError(
            "the particles have no orientations (their rot, tilt and psi are "
            "absent, or all alike), so they cannot be compared with a map: align them first "
            "(subtomogram averaging, against any reference)"
        )
    return rows


def _pixel_size(project: Project, reference: Reference, rows: Mapping[str, Ints]) -> float:
    """Of all tomograms [Å]; they and the map must agree."""
    assert project.particles is not None
    sizes = {}
    for name, mine in rows.items():
        tomogram = project.tomograms[name]
        check_optics(project.particles.select(mine), tomogram)
        if tomogram.optics.pixel_size is None:
            raise ModelError(f"tomogram {name!r} has no pixel size")
        sizes[name] = tomogram.optics.pixel_size
        reference.check_pixel_size(sizes[name], name)
    first = next(iter(sizes))
    for name, size in sizes.items():
        if abs(size / sizes[first] - 1) > _ALIKE:
            raise ModelError(
                f"tomogram {first!r} has {sizes[first]:g} Å a pixel, {name!r} {size:g} Å: look at "
                "those of one size at a time (--tn)"
            )
    return sizes[first]


def _tasks(
    project: Project,
    rows: Mapping[str, Ints],
    options: SumOptions,
    pixel_size: float | None,
    folder: str,
) -> dict[str, Task]:
    tomograms, particles = project.tomograms, project.particles
    assert particles is not None
    files = file_names(tomograms)
    return {
        name: Task(
            tomogram=tomograms[name],
            set_path=set_path(tomograms),
            root=os.getcwd(),
            particles=replace(particles.select(mine), source=None),
            options=options,
            pixel_size=pixel_size,
            target=os.path.join(folder, f"{files[name]}.npz"),
        )
        for name, mine in rows.items()
    }


def sum_one(task: Task) -> dict[str, Any]:
    """Sum up what the images say of the particles of a tomogram.

    Returns
    -------
    dict
        For JSON: ``sums`` (a file), ``particles``, ``files``.

    Raises
    ------
    TomosetError
        If something is missing or damaged.
    """
    with in_folder(task.root):
        use_threads(task.options.threads)
        with TiltSeries(task.tomogram, task.set_path) as images:
            tomogram = task.tomogram.placed(None, images.size)
            sums = accumulate(tomogram, images, task.particles, task.options, task.pixel_size)
        sums.write(task.target)
        return {
            "sums": task.target,
            "particles": len(task.particles),
            "files": file_sizes([task.target]),
        }


def _describe(task: Task) -> dict[str, Any]:
    """All that decides what the result is, ready for JSON: threads do not."""
    p = task.particles
    seen = [] if p.visible is None else [np.flatnonzero(mask).tolist() for mask in p.visible]
    return {
        "options": {k: v for k, v in asdict(task.options).items() if k != "threads"},
        "pixel_size": task.pixel_size,
        "target": task.target,
        "particles": [p.positions.tolist(), p.orientations.tolist(), seen],
        "of": derived.identity(task),
    }


def _is_there(result: dict[str, Any]) -> bool:
    return all(
        os.path.exists(path) and os.path.getsize(path) == size
        for path, size in result["files"].items()
    )


def _decided(
    paths: Mapping[str, str],
    report: Report,
    turned: TurnedMap,
    error_rate: float,
    options: SumOptions,
) -> GeometricHand:
    """Search and verdict, from the sums of all tomograms."""
    known: dict[str, Any] = {"report": report, "error_rate": error_rate, "lowpass": options.lowpass}
    if not paths:
        return GeometricHand(
            answer=UNKNOWN, reason="no tomogram could be read", odds=None, tomograms={}, **known
        )
    whole = together(Sums.read(path) for path in paths.values())
    places = place(whole, turned, options.threads)
    parts = [Sums.read(path) for path in paths.values()]
    odds = weigh(whole, turned, places, parts)
    if len(parts) == 1:
        by_tomogram = dict.fromkeys(paths, odds)
    else:
        # The images of one tomogram may have been mirrored by themselves.
        own = (places[0], places[1])
        by_tomogram = {
            name: weigh(part, turned, own) for name, part in zip(paths, parts, strict=True)
        }
    said, why = answer(odds, error_rate), ""
    if said == UNKNOWN:
        alike = likeness(whole, turned, odds.best, options.threads)
        why = reason(odds, alike, error_rate)
    return GeometricHand(answer=said, reason=why, odds=odds, tomograms=by_tomogram, **known)


def _warn(found: GeometricHand) -> None:
    """Warn of what contradicts."""
    for name in found.against:
        warnings.warn(
            f"tomogram {name!r} by itself says {found.answers[name]!r}, all together "
            f"{found.answer!r}: have its tilt angles the other sign, or its tilt axis been turned "
            "by 180°?",
            AssumptionWarning,
            stacklevel=3,
        )
    if found.odds is not None and not math.isfinite(found.odds.log_odds):
        raise ModelError("the images hold numbers that are too large to be compared")
