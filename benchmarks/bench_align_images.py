"""Alignment without markers on simulated series, judged by their truth, beside peers.

``python benchmarks/bench_align_images.py [--kinds shrec lamella] [--seeds 1 2] [--snr 0.1]
[--aligners chain tomoset] [--jobs 1] [--peer-python PATH]``. Kinds are listed in `twins_recipes`,
aligners in `aligners`, and how they are judged in `judge` and `bound`. Series are kept in a folder
(``--cache``), as they take longer to make than to align. torch-tiltxcorr is run by an interpreter
that has it (``--peer-python``), and left out without one.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import resource
import sys
import tempfile
import time
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from aligners import ALIGNERS, AbsentError, Found
from bound import twin_bound
from judge import expected_inclination, judge
from twins import Twin, cached, write
from twins_recipes import KINDS

Array = npt.NDArray[np.float64]

#: Series with an image farther off than this, that is not flagged, are wrong in silence [px].
FAR = 2.0
HEADER = (
    "kind       seed  snr  aligner       | px: median   95 %    max | affine | Å: shift  bound"
    "  ratio | axis°    T %  incl.° | z: sd  in 95 % | flagged bad false |    s   GiB"
)


@dataclass(frozen=True, kw_only=True)
class Task:
    """One aligner on one series."""

    kind: str
    seed: int
    snr: float
    aligner: str
    cache: str
    threads: int = 2


@dataclass(frozen=True, kw_only=True)
class Result:
    """What one aligner did on one series; NaN where it says nothing.

    Parameters
    ----------
    task : Task
    median, high, worst : float
        Of the images' errors of projection, those that show nothing and those that are flagged
        left out: median, 95 %, maximum [px].
    affine : float
        Median after the best affine map [px].
    shift, bound : float
        Median error of shifts, and what it would be by the Cramér-Rao bound [Å].
    axis, thickness, inclination : float
        Errors [deg], [%], and the larger of the two [deg].
    z, inside : float
        Robust standard deviation of error / stated deviation, and share within 95 %.
    bad_flagged, false_flagged, bad : int
        Images that are flagged and show nothing, or are good; and how many show nothing.
    refused : str
        Why there is no alignment.
    seconds, peak : float
        Time, and memory of the process [bytes].
    """

    task: Task
    median: float = np.nan
    high: float = np.nan
    worst: float = np.nan
    affine: float = np.nan
    shift: float = np.nan
    bound: float = np.nan
    axis: float = np.nan
    thickness: float = np.nan
    inclination: float = np.nan
    z: float = np.nan
    inside: float = np.nan
    bad_flagged: int = 0
    false_flagged: int = 0
    bad: int = 0
    refused: str = ""
    seconds: float = np.nan
    peak: float = np.nan

    @property
    def ratio(self) -> float:
        """Of the error of shifts to its bound."""
        return self.shift / self.bound

    def row(self) -> str:
        """As a line under `HEADER`."""
        task = self.task
        name = f"{task.kind:10} {task.seed:4d} {task.snr:5.3g} {task.aligner:13} |"
        if self.refused:
            return f"{name} refused: {self.refused[:90]} | {self.seconds:.1f} s"
        return (
            f"{name} {self.median:10.3f} {self.high:6.2f} {self.worst:6.2f} | {self.affine:6.3f} |"
            f" {self.shift:8.2f} {self.bound:6.2f} {self.ratio:6.2f} | {self.axis:5.2f} "
            f"{self.thickness:6.1f} {self.inclination:7.2f} | {self.z:5.2f} "
            f"{100 * self.inside:8.0f} | {self.bad_flagged:7d}/{self.bad:<3d} "
            f"{self.false_flagged:5d} | {self.seconds:5.1f} {self.peak / 2**30:5.2f}"
        )


def run(task: Task) -> Result:
    """Make or load the series, write it, align it in a folder that is gone afterwards, judge it.

    Raises
    ------
    AbsentError
        If the aligner is not installed.
    """
    twin = cached(task.kind, task.seed, task.cache, snr=task.snr)
    with tempfile.TemporaryDirectory() as folder:
        path = write(twin, folder)
        _forget_peak()
        start = time.perf_counter()
        try:
            found = ALIGNERS[task.aligner](twin, path, task.threads)
        except AbsentError:
            raise
        except Exception as error:  # a refusal is a result
            seconds = time.perf_counter() - start
            return Result(task=task, refused=f"{type(error).__name__}: {error}", seconds=seconds)
        seconds, peak = time.perf_counter() - start, _peak()
    return judged(task, twin, found, found.seconds or seconds, found.peak or peak)


def judged(task: Task, twin: Twin, found: Found, seconds: float, peak: float) -> Result:
    """An alignment against the truth."""
    n = len(twin.truth)
    bad = np.isin(np.arange(n), list(twin.bad))
    used = ~(bad | found.flagged)
    if found.refused or used.sum() < 3:
        why = found.refused or "nearly all images are flagged"
        return Result(task=task, refused=why, seconds=seconds, peak=peak)
    errors = judge(twin.truth, found.projections, twin.points(), used)
    limit = twin_bound(twin)
    z = (errors.shift / found.deviations)[used]
    known = np.isfinite(z)
    wanted = expected_inclination(twin.inclination, errors.placed)
    return Result(
        task=task,
        median=float(np.median(errors.projection[used])),
        high=float(np.quantile(errors.projection[used], 0.95)),
        worst=float(errors.projection[used].max()),
        affine=float(np.median(errors.affine[used])),
        shift=float(np.median(np.linalg.norm(errors.shift[used], axis=1)) * twin.pixel_size),
        bound=usual(limit[used]) * twin.pixel_size,
        axis=errors.axis,
        thickness=100 * (found.thickness / twin.thickness - 1),
        inclination=float(np.abs(np.subtract(found.inclination, wanted)).max()),
        z=_spread(z[known]),
        inside=float(np.mean(np.abs(z[known]) < 1.96)) if known.any() else np.nan,
        bad_flagged=int((bad & found.flagged).sum()),
        false_flagged=int((~bad & found.flagged).sum()),
        bad=int(bad.sum()),
        seconds=seconds,
        peak=peak,
    )


def usual(deviations: Array) -> float:
    """Median length of errors with these standard deviations in x and y, (n, 2)."""
    drawn = np.random.default_rng(1).normal(size=(400, *deviations.shape)) * deviations
    return float(np.median(np.linalg.norm(drawn, axis=2)))


def _spread(values: Array) -> float:
    """Standard deviation by the median, which a few far values do not change."""
    if len(values) == 0:
        return float("nan")
    return float(1.4826 * np.median(np.abs(values)))


def _forget_peak() -> None:
    """Let the system measure the highest memory of this process from now on, where it can."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _peak() -> float:
    """Highest memory of this process [bytes]."""
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM"):
                return 1024.0 * int(line.split()[1])
    return 1024.0 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def attempt(task: Task) -> Result | str:
    """A result, or why the aligner cannot be run here."""
    try:
        return run(task)
    except AbsentError as error:
        return str(error)


def results(tasks: list[Task], jobs: int) -> Iterable[Result | str]:
    """Of all tasks, each in a process of its own."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context, max_tasks_per_child=1) as pool:
        yield from pool.map(attempt, tasks)


def summary(found: list[Result]) -> str:
    """One line for each kind, ratio of signal to noise, and aligner."""
    groups: dict[tuple[str, float, str], list[Result]] = {}
    for r in found:
        groups.setdefault((r.task.kind, r.task.snr, r.task.aligner), []).append(r)
    lines = [
        "kind         snr  aligner       | series refused silent>2px | median of medians: px"
        "      Å  ratio | worst median px | z sd in 95 % |     s"
    ]
    for (kind, snr, aligner), of in groups.items():
        whole = [r for r in of if not r.refused]
        silent = sum(r.worst > FAR for r in whole)
        middle = {k: _median([getattr(r, k) for r in whole]) for k in _SUMMED}
        lines.append(
            f"{kind:10} {snr:5.3g}  {aligner:13} | {len(of):6d} {len(of) - len(whole):7d} "
            f"{silent:10d} | {middle['median']:21.3f} {middle['shift']:6.2f} "
            f"{middle['ratio']:6.2f} | {max([r.median for r in whole], default=np.nan):15.3f} | "
            f"{middle['z']:4.2f} {100 * middle['inside']:7.0f} | {middle['seconds']:5.1f}"
        )
    return "\n".join(lines)


_SUMMED = ("median", "shift", "ratio", "z", "inside", "seconds")


def _median(values: list[Any]) -> float:
    kept = [v for v in values if np.isfinite(v)]
    return float(np.median(kept)) if kept else float("nan")


def main() -> None:
    """Run what is wanted, print each result and what they come to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kinds", nargs="+", choices=sorted(KINDS), default=["shrec", "lamella"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[1])
    parser.add_argument("--snr", nargs="+", type=float, help="default: that of the kind")
    parser.add_argument("--aligners", nargs="+", choices=list(ALIGNERS), default=list(ALIGNERS))
    parser.add_argument("--jobs", type=int, default=1, help="series at once")
    parser.add_argument("--threads", type=int, default=2, help="of each")
    parser.add_argument("--cache", default=str(Path(tempfile.gettempdir()) / "tomoset_twins"))
    parser.add_argument("--peer-python", default="", help="an interpreter with torch-tiltxcorr")
    wanted = parser.parse_args()
    if wanted.peer_python:
        os.environ["PEER_PYTHON"] = wanted.peer_python
    tasks = [
        Task(
            kind=kind,
            seed=seed,
            snr=snr,
            aligner=aligner,
            cache=wanted.cache,
            threads=wanted.threads,
        )
        for kind in wanted.kinds
        for snr in (wanted.snr or [KINDS[kind].snr])
        for seed in wanted.seeds
        for aligner in wanted.aligners
    ]
    print(HEADER)
    found, absent = [], set()
    for result in results(tasks, wanted.jobs):
        if isinstance(result, str):
            if result not in absent:
                print(f"left out: {result}", file=sys.stderr)
            absent.add(result)
        else:
            found.append(result)
            print(result.row(), flush=True)
    print("\n" + summary(found))


if __name__ == "__main__":
    main()
