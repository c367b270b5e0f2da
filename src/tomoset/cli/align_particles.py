"""``tomoset align particles``: alignment against a reference."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from tomoset.cli._groups import GroupedCommand
from tomoset.cli._run_options import print_derived, run_options, run_options_from
from tomoset.cli._shell import collected_warnings, common_options

if TYPE_CHECKING:
    from tomoset.align.particles import DeformationOptions, MotionOptions
    from tomoset.derived import Derived
    from tomoset.particles.align.options import AlignOptions
    from tomoset.particles.align.task import ReferenceFiles
    from tomoset.project import Project
    from tomoset.run import RunOptions

#: Of a result: what is in files, and not for a summary.
_BULK = ("of",)

_GROUPS = {
    "What": ("linked", "given", "particles", "motions", "folder", "names"),
    "Reference": ("ref1", "ref2", "mask", "fsc"),
    "Comparison": ("box", "range", "pad", "no_whiten", "hp", "cutoff_fract"),
    "What may change": (
        "const_a",
        "const_s",
        "const_p",
        "shift_only",
        "shift_only_by_particles",
        "magnification",
        "aniso",
        "cross_validation",
    ),
    "Motion": ("motion", "s_vel", "s_div", "sq_exp_ker", "max_ed"),
    "Deformation": (
        "deformation",
        "def_model",
        "def_w",
        "def_h",
        "def_reg",
        "per_frame_deformation",
    ),
    "Where it runs": ("j", "workers", "engine", "resume", "device"),
}


def _path(option: str, name: str, metavar: str, help: str) -> Any:
    return click.option(option, name, metavar=metavar, type=click.Path(), help=help)


def _flag(option: str, help: str) -> Any:
    return click.option(option, is_flag=True, help=help)


def _number(option: str, type: Any, default: Any, metavar: str, help: str) -> Any:
    return click.option(
        option, type=type, default=default, show_default=True, metavar=metavar, help=help
    )


_ABOVE_0 = click.FloatRange(min=0, min_open=True)

#: In the order of the help.
_OPTIONS = (
    _path("--i", "linked", "STAR", "Optimisation set: sets and reference in one."),
    _path("--t", "given", "STAR", "Tomogram set, instead."),
    _path("--p", "particles", "STAR", "Particle set, instead."),
    _path("--mot", "motions", "STAR", "Trajectories so far, instead."),
    click.option(
        "--o",
        "-o",
        "folder",
        required=True,
        metavar="DIR",
        type=click.Path(file_okay=False),
        help="Folder for the new sets, reports and pictures.",
    ),
    click.option("--tn", "names", multiple=True, metavar="NAME", help="Only this tomogram."),
    _path("--ref1", "ref1", "MRC", "First half map, with the pixels of the tilt images."),
    _path("--ref2", "ref2", "MRC", "Second half map, the same."),
    _path("--mask", "mask", "MRC", "Mask of both."),
    _path("--fsc", "fsc", "STAR", "Their correlation.  [default: computed from them]"),
    click.option(
        "--b", "box", type=click.IntRange(8), required=True, metavar="PX", help="Box about a copy."
    ),
    click.option(
        "--r",
        "range",
        type=_ABOVE_0,
        default=20.0,
        show_default=True,
        metavar="PX",
        help="How far a particle may be from where it is expected.",
    ),
    _number("--pad", click.IntRange(1), 1, "N", "Entries of a correlation for each pixel."),
    _flag("--no_whiten", "Do not make the noise white."),
    _number("--hp", float, -1.0, "A", "Leave out coarser waves than this; -1: none."),
    _number(
        "--cutoff_fract",
        click.FloatRange(0, 1, max_open=True),
        0.02,
        "F",
        "Leave out frequencies of less weight than this part.",
    ),
    _flag("--const_a", "Hold the angles of tilt images."),
    _flag("--const_s", "Hold their shifts."),
    _flag("--const_p", "Hold the particles."),
    _flag("--shift_only", "Shifts of tilt images only."),
    _flag("--shift_only_by_particles", "The same: both go by the particles."),
    click.option(
        "--magnification",
        type=click.Choice(["none", "common", "tilt"]),
        default="none",
        show_default=True,
        help="One for all tilt images, or for each.",
    ),
    _flag("--aniso", "Magnifications may differ along two axes."),
    click.option(
        "--cross-validation/--no-cross-validation",
        "cross_validation",
        default=True,
        help="Change only what predicts particles better that are left out.  [default: yes]",
    ),
    _flag("--motion", "Particles move with the dose."),
    _number("--s_vel", _ABOVE_0, 0.5, "A", "Deviation of their velocity, Å per e/Å²."),
    _number("--s_div", _ABOVE_0, 5000.0, "A", "Distance over which velocities differ, Å."),
    _flag("--sq_exp_ker", "Velocities are alike by the square of distances."),
    _number("--max_ed", int, -1, "N", "At most so many modes of motion; -1: 300."),
    _flag("--deformation", "Tilt images are bent in 2D."),
    click.option(
        "--def_model",
        type=click.Choice(["linear", "spline", "Fourier"]),
        default="spline",
        show_default=True,
        help="How.",
    ),
    _number("--def_w", click.IntRange(2), 3, "N", "Points of its grid along x."),
    _number("--def_h", click.IntRange(2), 3, "N", "And along y."),
    _number("--def_reg", click.FloatRange(min=0), 0.0, "F", "Weight of RELION's regulariser."),
    _flag("--per_frame_deformation", "Each tilt image is bent its own way."),
)


def _given(command: click.decorators.FC) -> click.decorators.FC:
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


@click.command(name="particles", cls=GroupedCommand, groups=_GROUPS)
@_given
@run_options
@click.option(
    "--device", type=click.Choice(["cpu", "cuda"]), default="cpu", show_default=True, help="Where."
)
@common_options
def particles(**given: Any) -> int:
    """Align tilt series by their particles, against a reference.

    \b
        tomoset align particles --i optimisation_set.star --b 96 --r 10 --o Polished
        tomoset align particles --p particles.star --t tomograms.star --ref1 half1.mrc
            --ref2 half2.mrc --mask mask.mrc --fsc fsc.star --b 96 --r 10 --o Polished --motion

    Every particle is compared with its own half map in every tilt image, and one fit to all that
    finds angles and shifts of the images, places of the particles, and what else is asked for.
    What does not predict particles better that are left out stays as it was. The tomogram stays
    where it was. Tomograms without particles stay as they are.
    """
    running = run_options_from(given)
    with collected_warnings(strict=given["strict"]) as warned:
        options = _options(given, running)
        project = _project(given)
        reference = _reference(given, project)
        from tomoset.particles.align.whole_set import align_set

        done = align_set(project, given["folder"], reference, options, running, given["names"])
    if not given["as_json"]:
        _print_alignments(done)
    return print_derived(done, warned, "aligned", as_json=given["as_json"], without=_BULK)


def _options(given: dict[str, Any], running: RunOptions) -> AlignOptions:
    from tomoset.align.particles import ParticleOptions
    from tomoset.errors import ModelError
    from tomoset.particles import EvidenceOptions, Weighting
    from tomoset.particles.align.options import AlignOptions

    if given["aniso"] and given["magnification"] == "none":
        raise click.UsageError("--aniso needs --magnification common or tilt")
    only = given["shift_only"] or given["shift_only_by_particles"]
    for other in ("const_s", "motion", "deformation"):
        if only and given[other]:
            raise click.UsageError(f"--shift_only and --{other} contradict each other")
    try:
        evidence = EvidenceOptions(
            box=given["box"],
            range=given["range"],
            padding=given["pad"],
            whiten=not given["no_whiten"],
            weighting=Weighting(
                high_pass=given["hp"] if given["hp"] > 0 else None, cutoff=given["cutoff_fract"]
            ),
            threads=running.threads,
        )
        fit = ParticleOptions(
            constant_angles=given["const_a"],
            constant_shifts=given["const_s"],
            constant_particles=given["const_p"],
            shift_only="particles" if only else "",
            range=given["range"],
            motion=_motion(given),
            deformation=_deformation(given),
            magnification="" if given["magnification"] == "none" else given["magnification"],
            anisotropic=given["aniso"],
            cross_validation=given["cross_validation"],
        )
    except ModelError as problem:
        raise click.UsageError(str(problem)) from None
    return AlignOptions(evidence=evidence, fit=fit, device=given["device"])


def _motion(given: dict[str, Any]) -> MotionOptions | None:
    from tomoset.align.particles import MotionOptions

    if not given["motion"]:
        return None
    most = {"max_modes": given["max_ed"]} if given["max_ed"] > 0 else {}
    return MotionOptions(
        sigma_velocity=given["s_vel"],
        sigma_divergence=given["s_div"],
        square_exponential=given["sq_exp_ker"],
        **most,
    )


def _deformation(given: dict[str, Any]) -> DeformationOptions | None:
    from tomoset.align.particles import DeformationOptions

    if not given["deformation"]:
        return None
    return DeformationOptions(
        kind=given["def_model"],
        grid=(given["def_w"], given["def_h"]),
        regularisation=given["def_reg"],
        per_tilt=given["per_frame_deformation"],
    )


def _project(given: dict[str, Any]) -> Project:
    """Tomograms, particles and trajectories, from wherever they are given."""
    if not (given["linked"] or given["given"]):
        raise click.UsageError(
            "give an optimisation set (--i), or tomograms and particles (--t --p)"
        )
    if not given["folder"]:
        raise click.UsageError("--o is empty: name a folder")
    from tomoset.derived import refuse_unknown
    from tomoset.errors import ModelError
    from tomoset.project import open_tomograms, read_linked

    if given["linked"]:
        project = open_tomograms(given["linked"], tomograms=given["given"])
    else:
        project = open_tomograms(given["given"])
    try:
        refuse_unknown(project.tomograms, given["names"])
    except ModelError as problem:
        raise click.UsageError(f"--tn: {problem}") from None
    return read_linked(project, particles=given["particles"], trajectories=given["motions"])


def _reference(given: dict[str, Any], project: Project) -> ReferenceFiles:
    """The maps that are given, and else those of the optimisation set."""
    from tomoset.errors import MissingFieldError, MissingFileError
    from tomoset.formats._files import find_file
    from tomoset.formats._relion_sets import read_optimisation_set
    from tomoset.particles.align.task import ReferenceFiles
    from tomoset.particles.align.whole_set import ENTRIES

    text = project.optimisation_set
    said = {} if text is None else read_optimisation_set(text).entries
    paths: dict[str, str | None] = {field: given[field] for field in ENTRIES.values()}
    for label, field in ENTRIES.items():
        if paths[field] is not None or label not in said:
            continue
        # Half maps belong together: one that is given goes with no other of the set.
        if field == "ref2" and given["ref1"] is not None:
            continue
        found = find_file(said[label], None if text is None else text.path)
        if found is None:
            raise MissingFileError(
                f"{None if text is None else text.path}: {label} is {said[label]!r}, and there is "
                f"no such file; give another (--{field})"
            )
        paths[field] = os.path.relpath(found)
    ref1 = paths.pop("ref1")
    if ref1 is None:
        raise MissingFieldError(
            "there is no reference map: give --ref1 and --ref2"
            + (" (rlnTomoReferenceMap1File is empty or absent)" if text is not None else ""),
            path=None if text is None else text.path,
        )
    return ReferenceFiles(ref1=ref1, **paths)


def _print_alignments(done: Derived) -> None:
    """Some lines for each tomogram: what has changed, and how sure it is."""
    for name, result in done.report.results.items():
        for i, line in enumerate(_lines(result)):
            click.echo(f"{name}  {line}" if i == 0 else f"    {line}")


def _lines(r: dict[str, Any]) -> Iterator[str]:
    doubtful = f", {r['doubtful']} doubtful" * bool(r["doubtful"])
    yield f"{r['particles']} particles in {r['tilt_images']} images{doubtful}"
    if r["changed"]:
        yield (
            f"{r['changed']} images changed: {r['shift']:.2f} px and {r['angle']:.3f} degrees rms; "
            f"particles moved by {r['moved']:.1f} Å rms"
        )
    else:
        yield "the images stay as they are: no other alignment predicts particles better"
    if r["expected"] is not None:
        yield f"alignment known to {r['expected']:.3f} px at the particles"
    for gain in r["gains"]:
        yield _gain_line(gain)


def _gain_line(gain: dict[str, Any]) -> str:
    """What a class of parameters brought: ``motion: +812 +- 30 (kept)``."""
    if gain["gain"] is None:
        return f"{gain['name']}: fitted"
    verdict = "kept" if gain["kept"] else "not kept: particles that are left out say no"
    return f"{gain['name']}: {gain['gain']:+.0f} +- {gain['error']:.0f} ({verdict})"
