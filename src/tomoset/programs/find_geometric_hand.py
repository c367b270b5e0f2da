"""``hand --geometric``: the geometric hand of a project, from its particles and a map."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from tomoset import star
from tomoset.errors import AssumptionWarning, ModelError
from tomoset.particles.columns import check_optics
from tomoset.particles.geometric.average import SumOptions, accumulate
from tomoset.particles.geometric.hand import (
    AS_MAP,
    MIRRORED,
    UNKNOWN,
    GeometricOdds,
    answer,
    likeness,
    locate,
    reason,
    weigh,
)
from tomoset.particles.geometric.report import geometric_to_star, numbers
from tomoset.particles.geometric.search import RotatedMap
from tomoset.particles.geometric.sums import Sums, together
from tomoset.particles.reference import Reference
from tomoset.programs._particles import (
    ParticleInputs,
    ReferenceFiles,
    identity_with_particles,
    inputs_of,
    particle_inputs,
)
from tomoset.programs._program import Done, Program, Result, ctf_and_doses, documented
from tomoset.programs._request import Request, StrPath
from tomoset.programs._results import BULK
from tomoset.programs._task import Task, use_threads
from tomoset.project import Project
from tomoset.run import Resources, filled, wanted

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


@documented(GeometricOptions)
def find_geometric_hand(
    project: Project,
    folder: StrPath | None = None,
    options: GeometricOptions | None = None,
    *,
    reference: ReferenceFiles | None = None,
    resources: Resources | None = None,
    names: Sequence[str] = (),
    **by_name: Any,
) -> GeometricHand:
    """Compare a map of known hand, and its mirror image, with the particles of a project.

    Parameters
    ----------
    {project}
    folder : path-like, optional
        Made when missing. The answer goes to ``geometric_hand.star``; None: nothing is written.
    options : GeometricOptions, optional
        What is wanted.
    reference : ReferenceFiles, optional
        The map, and its mask; ``half1`` and ``mask`` by name do as well.
    {running}

    Returns
    -------
    GeometricHand
        A tomogram that fails stops no other.

    Raises
    ------
    {refusals}

    Examples
    --------
    >>> import tomoset
    >>> project = tomoset.open_project("optimisation_set.star")  # doctest: +SKIP
    >>> files, options = ReferenceFiles(half1="map.mrc"), GeometricOptions(box=64)  # doctest: +SKIP
    >>> find_geometric_hand(project, None, options, reference=files).answer  # doctest: +SKIP
    'as the map'
    """
    files = filled(ReferenceFiles, reference, by_name)
    chosen, where = wanted(GeometricOptions, options, resources, by_name)
    request = Request.of(project, folder, chosen, where, names)
    inputs = particle_inputs(request, files, "the geometric hand cannot be told")
    asked = [t.name for t in request.asked if t.name in inputs]
    density = files.read()
    _check(request, density, [inputs[name] for name in asked])
    masked = density.half1 if density.mask is None else density.half1 * density.mask
    rotated = RotatedMap.of(masked, chosen.box)
    done = request.carry_out(PROGRAM, inputs, new_set=False)
    found = _decided(done, rotated, chosen, request.resources.threads)
    _warn(found)
    if request.folder is None or found.odds is None:
        return found
    path = os.path.join(request.folder, "geometric_hand.star")
    particles = {name: result.particles for name, result in done.results.items()}
    answers = {"": found.answer, **found.answers}
    star.write(geometric_to_star(found.odds, found.tomograms, answers, particles), path)
    return replace(found, written=path)


def _check(
    request: Request[GeometricOptions], reference: Reference, of: list[ParticleInputs]
) -> None:
    """Refuse particles without orientations, and pixels of other sizes than the map's."""
    rotated = np.concatenate([inputs.particles.orientations for inputs in of])
    said = of[0].particles.angles is not None
    if np.allclose(rotated, rotated[0], atol=1e-6) and (len(rotated) > 1 or not said):
        raise ModelError(
            "the particles have no orientations (their rot, tilt and psi are "
            "absent, or all alike), so they cannot be compared with a map: align them first "
            "(subtomogram averaging, against any reference)"
        )
    sizes: dict[str, float] = {}
    for inputs in of:
        tomogram = request.project.tomograms[str(inputs.particles.tomogram_names[0])]
        check_optics(inputs.particles, tomogram)
        sizes[tomogram.name] = tomogram.need_pixel_size()
        reference.check_pixel_size(sizes[tomogram.name], tomogram.name)
    first = next(iter(sizes))
    for name, size in sizes.items():
        if abs(size / sizes[first] - 1) > _ALIKE:
            raise ModelError(
                f"tomogram {first!r} has {sizes[first]:g} Å a pixel, {name!r} {size:g} Å: look at "
                "those of one size at a time (--tn)"
            )


@dataclass(frozen=True, kw_only=True, eq=False)
class ParticleSums(Result):
    """What the images of a tomogram say of any map of its particles.

    Parameters
    ----------
    particles : int
        How many there are.
    lowpass : float
        Finer waves were left out [Å].
    sums : Sums
        Group by group.
    """

    particles: int
    lowpass: float
    sums: Sums = field(metadata=BULK)


@dataclass(frozen=True, kw_only=True, eq=False)
class GeometricHand(Done[ParticleSums]):
    """What was found of a project: the geometric hand, not the defocus hand.

    Parameters
    ----------
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
    written : str or None
        The report, if one was written.
    """

    answer: str
    reason: str
    odds: GeometricOdds | None
    tomograms: dict[str, GeometricOdds]
    error_rate: float
    written: str | None = None

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

    def summary(self) -> dict[str, Any]:
        """All of it, ready for JSON."""
        report = {k: v for k, v in self.report.summary().items() if k != "results"}
        lowpass = [result.lowpass for result in self.results.values()]
        return {
            **report,
            "geometric_hand": self.answer,
            "reason": self.reason,
            **({} if self.odds is None else numbers(self.odds)),
            "error_rate": self.error_rate,
            "lowpass": lowpass[0] if lowpass else None,
            "tomograms": {
                name: {
                    "particles": self.results[name].particles,
                    "geometric_hand": self.answers[name],
                    **numbers(odds),
                }
                for name, odds in self.tomograms.items()
            },
            "against": list(self.against),
            "report": self.written,
        }

    def lines(self) -> Iterator[str]:
        """A line for each tomogram, and the verdict."""
        width = max(map(len, self.tomograms), default=0)
        for name, odds in self.tomograms.items():
            yield f"{name:{width}}  geometric hand: {self.answers[name]:12}  {_said(odds)}"
        if self.odds is not None:
            yield f"geometric hand: {self.answer}; {_said(self.odds)}"
        if self.reason:
            yield f"why: {self.reason}"

    def ending(self) -> Sequence[str]:
        """Where the report is."""
        return [] if self.written is None else [f"report: {self.written}"]


def _said(odds: GeometricOdds) -> str:
    """``odds 1200 to 1 for 'as the map'; correlation with the map 0.93, ...``."""
    favoured = AS_MAP if odds.log_odds >= 0 else MIRRORED
    size = abs(odds.log_odds) / math.log(10)
    times = "over a million" if size >= 6 else f"{10**size:.3g}"
    return (
        f"odds {times} to 1 for {favoured!r}; correlation with the map {odds.explained[0]:.2f}, "
        f"with its mirror image {odds.explained[1]:.2f}"
    )


def _run(task: Task[GeometricOptions]) -> ParticleSums:
    """Sum up what the images say of the particles of a tomogram."""
    threads, particles = task.resources.threads, inputs_of(task).particles
    use_threads(threads)
    options = task.options.sums(task.tomogram.need_pixel_size(), threads)
    with task.images() as images:
        tomogram = task.tomogram.placed(None, images.size)
        sums = accumulate(tomogram, images, particles, options)
    return ParticleSums(particles=len(particles), lowpass=options.lowpass, sums=sums)


def _depends(task: Task[GeometricOptions]) -> object:
    """The map does not matter for the sums, nor how sure to be."""
    return [task.options.box, task.options.lowpass]


def _decided(
    done: Done[ParticleSums], rotated: RotatedMap, options: GeometricOptions, threads: int
) -> GeometricHand:
    """Search and verdict, from the sums of all tomograms."""
    known: dict[str, Any] = {**vars(done), "error_rate": options.error_rate}
    parts = {name: result.sums for name, result in done.results.items()}
    if not parts:
        why = "no tomogram could be read"
        return GeometricHand(answer=UNKNOWN, reason=why, odds=None, tomograms={}, **known)
    whole = together(parts.values())
    sections = locate(whole, rotated, threads)
    odds = weigh(whole, rotated, sections, list(parts.values()))
    own = dict.fromkeys(parts, odds)
    if len(parts) > 1:  # the images of one tomogram may have been mirrored by themselves
        own = {name: weigh(part, rotated, sections) for name, part in parts.items()}
    said, why = answer(odds, options.error_rate), ""
    if said == UNKNOWN:
        alike = likeness(whole, rotated, odds.best, threads)
        why = reason(odds, alike, options.error_rate)
    return GeometricHand(answer=said, reason=why, odds=odds, tomograms=own, **known)


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


PROGRAM = Program(
    name="hand --geometric",
    verb="looked at",
    result=ParticleSums,
    run=_run,
    outputs=lambda _: (),
    computes_with=ctf_and_doses,
    identity=identity_with_particles,
    depends=_depends,
)
