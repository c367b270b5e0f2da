"""``ctf``: defocus, astigmatism and phase shift of every tilt image, by the images alone."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from tomoset import star
from tomoset.ctf.compare import Compared, compare
from tomoset.ctf.measure import MeasuredCtf, measure
from tomoset.ctf.nominal import in_place
from tomoset.ctf.options import CtfOptions
from tomoset.ctf.report import ctf_to_star
from tomoset.errors import AssumptionWarning
from tomoset.figures import ctf
from tomoset.files import write
from tomoset.formats import defocus_texts, read_defocus_of
from tomoset.images.tilt_series import tilt_images
from tomoset.model import Tomogram, TomogramSet
from tomoset.model.quantities import OF_OPTICS
from tomoset.programs._program import Done, Program, Result, documented
from tomoset.programs._request import Request, StrPath
from tomoset.programs._task import Task, use_threads
from tomoset.project import Project
from tomoset.run import Resources, wanted

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class EstimateCtfOptions(CtfOptions):
    """What is searched, and what becomes of it.

    Parameters
    ----------
    compare : str or None
        A table of defocus of any program that is compared with what is found, ``{{name}}`` in it
        standing for the tomogram's name.
    tables : bool
        Write tables as of CTFFIND and of ctfplotter too.
    """

    compare: str | None = None
    tables: bool = False


@documented(EstimateCtfOptions)
def estimate_ctf(
    tomograms: TomogramSet | Project,
    folder: StrPath,
    options: EstimateCtfOptions | None = None,
    *,
    resources: Resources | None = None,
    names: Sequence[str] = (),
    **by_name: Any,
) -> Done[EstimatedCtf]:
    """Find the CTF of every tilt image of a set by its Thon rings, and write the set with it.

    Parameters
    ----------
    tomograms : TomogramSet or Project
        As it was read, aligned or with the stage's angles; what it says of defocus is not used.
    folder : path-like
        Made when missing. The set goes to ``tomograms.star``, reports to ``ctf_NAME.star``,
        figures to ``NAME.png``.
    options : EstimateCtfOptions, optional
        What is wanted.
    {running}

    Returns
    -------
    Done
        A series that fails, or shows no rings, stops no other.

    Raises
    ------
    {refusals}

    Examples
    --------
    >>> import tomoset
    >>> done = tomoset.estimate_ctf(tomoset.read("tomograms.star"), "Ctf")  # doctest: +SKIP
    >>> done.results["TS_01"].defocus_error.max()  # doctest: +SKIP
    84.2
    """
    chosen, where = wanted(EstimateCtfOptions, options, resources, by_name)
    request = Request.of(tomograms, folder, chosen, where, names)
    done = request.carry_out(PROGRAM)
    for name, result in done.results.items():
        for text in _remarks(result):
            warnings.warn(f"tomogram {name!r}: {text}", AssumptionWarning, stacklevel=2)
    return done


@dataclass(frozen=True, kw_only=True, eq=False)
class EstimatedCtf(Result, MeasuredCtf):
    """The CTF of a series.

    Parameters
    ----------
    compared : Compared or None
        A table, against it.
    hand_in_set : int
        The set's sign of defocus against depth.
    """

    compared: Compared | None
    hand_in_set: int


#: The hand in a set is doubted from these odds on [natural logarithm].
_WRONG_HAND = 10.0


def _remarks(r: EstimatedCtf) -> Iterator[str]:
    """What a user has to know."""
    dark = np.flatnonzero(~r.told).tolist()
    if dark:
        yield (
            f"{tilt_images(dark)} cannot tell {'their' if len(dark) > 1 else 'its'} defocus: what "
            "the others predict is written, with its error; exclude what shows nothing"
        )
    if r.compared is not None and r.compared.contradicts.any():
        wrong = np.flatnonzero(r.compared.contradicts).tolist()
        yield f"the table contradicts the Thon rings of {tilt_images(wrong)}"
    if r.hand_in_set * r.hand_log_odds < -_WRONG_HAND:
        yield (
            f"rings across the images speak for a hand of {-r.hand_in_set:+d}, the set has "
            f"{r.hand_in_set:+d}: see tomoset hand"
        )


def _run(task: Task[EstimateCtfOptions]) -> EstimatedCtf:
    """Find the CTF of a series, and write what is to be known of it."""
    use_threads(task.resources.threads)
    tomogram, options = task.tomogram, task.options
    table = None
    if options.compare is not None:
        path = options.compare.replace("{name}", task.file_name)
        table = read_defocus_of(tomogram, path)
    with task.images() as images:
        measured = measure(tomogram, images, options, task.resources.threads)
        placed = in_place(tomogram, images.size)
    compared = None if table is None else compare(measured, table.u, table.v, table.angle)
    report = task.target("ctf_{name}.star")
    os.makedirs(os.path.dirname(report) or ".", exist_ok=True)
    star.write(ctf_to_star(tomogram.name, placed.tilt_angles, measured, compared), report)
    files = [report, *task.draw("{name}", lambda: ctf(placed, measured))]
    if options.tables:
        texts = defocus_texts(_with_ctf(placed, measured))
        for path, text in zip(_tables(task), texts, strict=True):
            write(path, text.encode())
            files.append(path)
    return EstimatedCtf(
        **vars(measured), compared=compared, hand_in_set=tomogram.hand, files=tuple(files)
    )


def _tables(task: Task[EstimateCtfOptions]) -> list[str]:
    """Paths of tables for other programs, if they are asked for."""
    names = ("{name}_ctf.txt", "{name}.defocus") if task.options.tables else ()
    return [task.target(name) for name in names]


def _with_ctf(tomogram: Tomogram, m: MeasuredCtf) -> Tomogram:
    """The tomogram with what was found, and how sure that is."""
    found = {
        "defocus": m.defocus_error,
        "astigmatism": m.astigmatism_error,
        "defocus_angle": m.angle_error,
    }
    if m.phase_shift_error is not None:
        found["phase_shift"] = m.phase_shift_error
    known = {k: _tenths(v) for k, v in found.items()}
    return replace(
        tomogram,
        defocus_u=_tenths(m.defocus_u),
        defocus_v=_tenths(m.defocus_v),
        defocus_angle=_tenths(m.angle),
        phase_shift=None if m.phase_shift is None else _tenths(m.phase_shift),
        ctf_max_resolution=_tenths(np.where(np.isfinite(m.resolution), m.resolution, _NONE)),
        ctf_figure_of_merit=np.round(m.merit, 3),
        deviations={**tomogram.deviations, **known},
    )


def _tenths(values: Array) -> Array:
    """More digits say nothing, of Å and degrees."""
    return np.asarray(np.round(values, 1))


#: Resolution that is written where no rings are seen [Å].
_NONE = 999.0


def _lines(r: EstimatedCtf) -> Iterator[str]:
    """What was found, and how sure it is."""
    n = len(r.told)
    yield (
        f"defocus {np.median(r.defocus) / 1e4:.2f} µm, known to {np.median(r.defocus_error):.0f} Å "
        f"(median); {r.told.sum()} of {n} images show it"
    )
    yield (
        f"astigmatism {np.median(r.astigmatism):.0f} +- {np.median(r.astigmatism_error):.0f} Å at "
        f"{np.median(r.angle):.0f}°; rings seen to {np.median(r.resolution):.1f} Å (median)"
    )
    yield (
        f"specimen inclined by {r.inclined[0]:.1f} +- {r.inclined_error[0]:.1f}° about the tilt "
        f"axis, {r.inclined[1]:.1f} +- {r.inclined_error[1]:.1f}° across"
    )
    if r.compared is not None:
        yield _difference(r, r.compared)


def _difference(r: EstimatedCtf, c: Compared) -> str:
    """What a table has that the images do not, of those images that tell."""
    if not r.told.any():
        return "no image tells its defocus: the table cannot be compared"
    off, deviations = c.defocus[r.told], c.deviations[r.told]
    return (
        f"the table's defocus is off by {np.median(off):+.0f} Å (median; "
        f"{np.sqrt(np.mean(deviations**2)):.1f} standard deviations rms), its astigmatism by "
        f"{np.median(c.astigmatism[r.told]):.0f} Å; it contradicts {c.contradicts.sum()} images"
    )


def _optics(_: object) -> tuple[str, ...]:
    """The microscope is all that goes into it."""
    return OF_OPTICS


PROGRAM = Program(
    name="ctf",
    verb="estimated",
    result=EstimatedCtf,
    run=_run,
    outputs=lambda task: [
        task.target("ctf_{name}.star"),
        *task.figures("{name}"),
        *_tables(task),
    ],
    computes_with=_optics,
    lines=_lines,
    updated=lambda tomogram, result: _with_ctf(tomogram, result),
    draws=True,
)
