"""``hand``: the sign of defocus against depth of every series of a set, and of the set."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from tomoset import star
from tomoset.errors import AssumptionWarning, ModelError
from tomoset.figures import hand, hand_of_set, save
from tomoset.hand.measure import Measured, measure
from tomoset.hand.options import HandOptions
from tomoset.hand.report import hand_to_star
from tomoset.hand.verdict import Verdict, verdict
from tomoset.model import Tomogram, TomogramSet
from tomoset.programs._program import Done, Program, Result, ctf_and_doses, documented
from tomoset.programs._request import Request, StrPath
from tomoset.programs._task import Task, use_threads
from tomoset.project import Project
from tomoset.run import Resources, wanted


@dataclass(frozen=True, kw_only=True)
class FindHandOptions(HandOptions):
    """How sure to be, what is known, and what becomes of it.

    Parameters
    ----------
    apply : bool
        Write a set with the hand.
    """

    apply: bool = False


@documented(FindHandOptions)
def find_hand(
    tomograms: TomogramSet | Project,
    folder: StrPath | None = None,
    options: FindHandOptions | None = None,
    *,
    resources: Resources | None = None,
    names: Sequence[str] = (),
    **by_name: Any,
) -> HandDone:
    """Find the hand of a set: of each series, and of all together.

    Parameters
    ----------
    {tomograms}
    folder : path-like, optional
        Made when missing. Reports go to ``hand_NAME.star``, figures to ``NAME.png``, the set, if
        it is asked for, to ``tomograms.star``; None: nothing is written.
    options : FindHandOptions, optional
        What is wanted.
    {running}

    Returns
    -------
    HandDone
        A series that fails stops no other; a new set has the hand of the others for it.

    Raises
    ------
    {refusals}

    Examples
    --------
    >>> import tomoset
    >>> done = tomoset.find_hand(tomoset.read("tomograms.star"))  # doctest: +SKIP
    >>> done.verdict.hand, done.verdict.log_odds  # doctest: +SKIP
    (1, 35.2)
    """
    chosen, where = wanted(FindHandOptions, options, resources, by_name)
    request = Request.of(tomograms, folder, chosen, where, names)
    if chosen.apply and request.folder is None:
        raise ModelError("the hand is written into a new set: name a folder for it")
    asked = frozenset(t.name for t in request.asked)
    program = replace(PROGRAM, linked=partial(_with_hands, chosen.error_rate, asked))
    done = request.carry_out(program, new_set=chosen.apply)
    odds = {name: result.log_odds for name, result in done.results.items()}
    found = verdict(odds, chosen.error_rate)
    kind = request.resources.figures
    if request.folder is not None and len(odds) > 1 and kind != "none":
        figure = hand_of_set(found, chosen.error_rate)
        save(figure, os.path.join(request.folder, f"hand_of_set.{kind}"))
    _say(found, done.results, chosen.error_rate)
    return HandDone(
        **vars(done), verdict=found, error_rate=chosen.error_rate, folder=request.folder
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class SeriesHand(Result, Measured):
    """What a tilt series says of its hand.

    Parameters
    ----------
    in_set : int or None
        The hand that the set has.
    """

    in_set: int | None


@dataclass(frozen=True, kw_only=True, eq=False)
class HandDone(Done[SeriesHand]):
    """What became of a set, and its hand.

    Parameters
    ----------
    verdict : Verdict
        Of the series that were asked for.
    error_rate : float
        How often it may be wrong.
    folder : str or None
        Of the reports.
    """

    verdict: Verdict
    error_rate: float
    folder: str | None

    def summary(self) -> dict[str, Any]:
        """All of it, ready for JSON."""
        return {
            **super().summary(),
            "hand": self.verdict.hand,
            "log_odds": round(self.verdict.log_odds, 4),
            "log_odds_of_series": {n: round(x, 4) for n, x in self.verdict.odds.items()},
            "error_rate": self.error_rate,
            "hands": self.verdict.series,
            "against": list(self.verdict.against),
        }

    def lines(self) -> Iterator[str]:
        """A line for each series, and the verdict."""
        found, width = self.verdict, max(map(len, self.results), default=0)
        for name, result in self.results.items():
            contradicts = found.of(name) not in (None, result.in_set)
            yield (
                f"{name:{width}}  {_said(found.series[name]):11}  {''.join(_lines(result))}"
                + f"; the set has {result.in_set:+d}" * contradicts
            )
        if len(self.results) > 1:
            yield f"the set: {_said(found.hand)}, odds {_odds(found.log_odds)}"

    def ending(self) -> Sequence[str]:
        """Where the set is, or the reports."""
        if self.path is not None:
            return [f"set: {self.path}"]
        if self.folder is None or not self.results:
            return []
        return [f"reports: {os.path.join(self.folder, 'hand_NAME.star')}; the set stays as it is"]


def _said(hand: int | None) -> str:
    return "cannot tell" if hand is None else f"hand {hand:+d}"


def _odds(log_odds: float) -> str:
    """Odds as people say them: ``1200 to 1 for +1``."""
    favoured = "+1" if log_odds >= 0 else "-1"
    size = abs(log_odds) / math.log(10)
    if size >= 6:
        return f"over a million to 1 for {favoured}"
    return f"{10**size:.{'3g' if size < 3 else '0f'}} to 1 for {favoured}"


def _lines(result: SeriesHand) -> Iterator[str]:
    """What a series says by itself."""
    rings = f"rings in {result.shows_rings.sum()} of {len(result.rings)} images"
    yield f"odds {_odds(result.log_odds)}; {rings}"


def _run(task: Task[FindHandOptions]) -> SeriesHand:
    """Find the hand of a series, and write what is to be written."""
    use_threads(task.resources.threads)
    with task.images() as images:
        tomogram = task.tomogram.placed(None, images.size)
        measured = measure(tomogram, images, task.options, task.resources.threads)
    files = _write(task, tomogram, measured)
    return SeriesHand(**vars(measured), in_set=tomogram.hand, files=files)


def _write(task: Task[FindHandOptions], tomogram: Tomogram, measured: Measured) -> tuple[str, ...]:
    """Write report and figure, if they are to be written; their paths."""
    if task.folder is None:
        return ()
    os.makedirs(task.folder, exist_ok=True)
    path, error_rate = task.target("hand_{name}.star"), task.options.error_rate
    star.write(hand_to_star(tomogram, measured), path)
    return (path, *task.draw("{name}", lambda: hand(tomogram, measured, error_rate)))


def _say(found: Verdict, results: Mapping[str, SeriesHand], error_rate: float) -> None:
    """Warn of what contradicts, and where nothing can be told."""
    said = []
    if results and found.hand is None:
        said.append(
            f"the images do not tell the hand at an error rate of {error_rate:g}: more series, "
            "finer pixels, images that were not filtered or corrected for their CTF, or --flat may"
        )
    said += [
        f"tomogram {name!r} says {found.series[name]:+d}, the set {found.hand:+d}: has its "
        "tilt axis been turned by 180°, or its tilt angles the other sign?"
        for name in found.against
    ]
    for name, result in results.items():
        if result.off:
            said.append(
                f"tomogram {name!r}: Thon rings are those of a defocus that is "
                f"{abs(result.off) / 1e4:.1f} µm "
                f"{'more' if result.off > 0 else 'less'} than the table's"
            )
        wrong = [str(i + 1) for i in result.disagrees.nonzero()[0]]
        if wrong:
            said.append(
                f"tomogram {name!r}: the defocus in the table is not that of the Thon rings of "
                f"tilt image{'s' * (len(wrong) > 1)} {', '.join(wrong[:8])}"
            )
    for text in said:
        warnings.warn(text, AssumptionWarning, stacklevel=3)


def _with_hands(
    error_rate: float,
    asked: Collection[str],
    project: Project,
    results: Mapping[str, SeriesHand],
) -> Project:
    """The project with the hand of all series that are known or asked for."""
    found = verdict({name: result.log_odds for name, result in results.items()}, error_rate)
    changed = [
        _with_hand(t, found) if name in asked or name in results else t
        for name, t in project.tomograms.items()
    ]
    return project.with_sets(tomograms=project.tomograms.with_tomograms(changed))


def _with_hand(tomogram: Tomogram, found: Verdict) -> Tomogram:
    hand, odds = found.of(tomogram.name), found.odds_of(tomogram.name)
    if hand is not None:
        tomogram = replace(tomogram, hand=hand)
    return tomogram if odds is None else replace(tomogram, hand_log_odds=round(odds, 3))


PROGRAM = Program(
    name="hand",
    verb="looked at",
    result=SeriesHand,
    run=_run,
    outputs=lambda task: [task.target("hand_{name}.star"), *task.figures("{name}")],
    lines=_lines,
    computes_with=ctf_and_doses,
    depends=lambda task: replace(task.options, apply=False),
    draws=True,
)
