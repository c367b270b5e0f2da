"""``tomoset refine-ctf``: defocus and scale of tilt images, by particles."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from tomoset.cli._groups import GroupedCommand
from tomoset.cli._particle_options import (
    BOX_HELP,
    REF1_HELP,
    REF2_HELP,
    gain_text,
    particle_project,
    reference_files,
    refuse_idle,
)
from tomoset.cli._run_options import print_derived, run_options, run_options_from
from tomoset.cli._shell import FINITE, collected_warnings, common_options

if TYPE_CHECKING:
    from tomoset.derived import Derived
    from tomoset.particles.ctf.whole_set import RefineCtfOptions

#: Of a result: what is in files, and not for a summary.
_BULK = ("changes", "scales", "errors", "of")

_GROUPS = {
    "What": ("linked", "given", "particles", "motions", "folder", "names"),
    "Reference": ("ref1", "ref2", "mask", "fsc"),
    "Comparison": ("box", "no_whiten", "cutoff_fract"),
    "Defocus": ("do_defocus", "do_reg_defocus", "lambda_", "d0", "d1", "ds", "kmin"),
    "Scale": ("do_scale", "per_frame_scale", "per_tomogram_scale"),
    "Where it runs": ("j", "workers", "engine", "resume"),
}


def _path(option: str, name: str, metavar: str, help: str) -> Any:
    return click.option(option, name, metavar=metavar, type=click.Path(), help=help)


def _flag(option: str, help: str) -> Any:
    return click.option(option, is_flag=True, help=help)


def _length(option: str, default: float, help: str) -> Any:
    return click.option(
        option, type=FINITE, default=default, show_default=True, metavar="A", help=help
    )


#: In the order of the help.
_OPTIONS = (
    _path("--i", "linked", "STAR", "Optimisation set: sets and reference in one."),
    _path("--t", "given", "STAR", "Tomogram set, instead."),
    _path("--p", "particles", "STAR", "Particle set, instead."),
    _path("--mot", "motions", "STAR", "Their trajectories, instead."),
    click.option(
        "--o",
        "-o",
        "folder",
        required=True,
        metavar="DIR",
        type=click.Path(file_okay=False),
        help="Folder for the new set, reports and pictures.",
    ),
    click.option("--tn", "names", multiple=True, metavar="NAME", help="Only this tomogram."),
    _path("--ref1", "ref1", "MRC", REF1_HELP),
    _path("--ref2", "ref2", "MRC", REF2_HELP),
    _path("--mask", "mask", "MRC", "Mask of both."),
    _path("--fsc", "fsc", "STAR", "Their correlation.  [default: computed from them]"),
    click.option("--b", "box", type=click.IntRange(8), required=True, metavar="PX", help=BOX_HELP),
    _flag("--no_whiten", "Do not make the noise white."),
    click.option(
        "--cutoff_fract",
        type=click.FloatRange(0, 1, max_open=True),
        default=0.02,
        show_default=True,
        metavar="F",
        help="Leave out frequencies of less weight than this part.",
    ),
    _flag("--do_defocus", "Refine defocus and astigmatism."),
    _flag("--do_reg_defocus", "As RELION says it; images help each other always here."),
    click.option(
        "--lambda",
        "lambda_",
        type=FINITE,
        metavar="F",
        help="Weight of that in RELION; no effect here: it is learnt.",
    ),
    _length("--d0", -3000.0, "Smallest change of defocus that is tried, Å."),
    _length("--d1", 3000.0, "Largest, Å."),
    _length("--ds", 100.0, "Step between changes that are tried, Å; finer where needed."),
    _length("--kmin", 30.0, "Waves longer than this do not count for defocus, Å."),
    _flag("--do_scale", "Refine the scale of the CTF."),
    _flag("--per_frame_scale", "Of each image, not by the thickness of the ice."),
    _flag("--per_tomogram_scale", "Contrast of each tomogram by itself; always so here."),
)


def _given(command: click.decorators.FC) -> click.decorators.FC:
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


@click.command(name="refine-ctf", cls=GroupedCommand, groups=_GROUPS)
@_given
@run_options
@common_options
def refine_ctf(**given: Any) -> int:
    """Refine defocus and scale of tilt images by their particles.

    \b
        tomoset refine-ctf --i optimisation_set.star --b 96 --o CtfRefine
        tomoset refine-ctf --p particles.star --t tomograms.star
            --ref1 half1.mrc --ref2 half2.mrc --mask mask.mrc --fsc fsc.star
            --b 96 --o CtfRefine --do_defocus

    Every particle is compared with its own half map in every tilt image, at its own depth. What is
    common to all images helps those that show little; what does not predict particles better that
    are left out stays as it was. Without --do_defocus and --do_scale, both are done. The scale
    follows the thickness of the ice, and keeps its mean. Tomograms without particles stay as they
    are.
    """
    running = run_options_from(given)
    options = _options(given)
    from tomoset.particles.ctf.whole_set import refine_ctf_set

    with collected_warnings(strict=given["strict"]) as warned:
        _say_of_lambda(given)
        project = particle_project(given)
        reference = reference_files(given, project)
        done = refine_ctf_set(project, given["folder"], reference, options, running, given["names"])
    if not given["as_json"]:
        _print_refined(done)
    return print_derived(done, warned, "refined", as_json=given["as_json"], without=_BULK)


def _options(given: dict[str, Any]) -> RefineCtfOptions:
    from tomoset.errors import ModelError
    from tomoset.particles import ExtractionOptions, Weighting
    from tomoset.particles.ctf.fit import CtfFitOptions
    from tomoset.particles.ctf.whole_set import RefineCtfOptions

    if given["per_frame_scale"] and given["per_tomogram_scale"]:
        raise click.UsageError("--per_frame_scale and --per_tomogram_scale contradict each other")
    scale = given["do_scale"]
    defocus = given["do_defocus"]
    both = not (scale or defocus)
    for option in ("per_frame_scale", "per_tomogram_scale"):
        if given[option] and defocus and not scale:
            raise click.UsageError(f"--{option} needs --do_scale")
    refuse_idle({"--do_defocus": (defocus or both, ("d0", "d1", "ds", "kmin"))})
    try:
        return RefineCtfOptions(
            evidence=ExtractionOptions(
                box=given["box"],
                whiten=not given["no_whiten"],
                weighting=Weighting(cutoff=given["cutoff_fract"]),
            ),
            fit=CtfFitOptions(
                low=given["d0"],
                high=given["d1"],
                step=given["ds"],
                coarsest=given["kmin"],
                defocus=defocus or both,
                scale=scale or both,
                per_tilt_scale=given["per_frame_scale"],
            ),
        )
    except ModelError as problem:
        raise click.UsageError(str(problem)) from None


def _say_of_lambda(given: dict[str, Any]) -> None:
    if given["lambda_"] is None:
        return
    import warnings

    from tomoset.errors import AssumptionWarning

    warnings.warn(
        "--lambda has no effect: how much images have in common is learnt from them",
        AssumptionWarning,
        stacklevel=2,
    )


def _print_refined(done: Derived) -> None:
    """Some lines for each tomogram: what has changed, and how sure it is."""
    for name, result in done.report.results.items():
        for i, line in enumerate(_lines(result)):
            click.echo(f"{name}  {line}" if i == 0 else f"    {line}")


def _lines(r: dict[str, Any]) -> Iterator[str]:
    unused = r["particles_given"] - r["particles"]
    why = f" of {r['particles_given']}" * bool(unused)
    yield f"{r['particles']}{why} particles in {r['tilt_images']} images"
    if unused:
        yield (
            f"{unused} not used: in no image lies their box of {r['box']} px (--b) whole, or all "
            "are marked as not visible"
        )
    if r["error"] is not None:
        gain = gain_text(r["gain"], r["gain_error"])
        if r["changed"]:
            astigmatism = ", with astigmatism" * r["astigmatism"]
            yield (
                f"defocus of {r['changed']} images changed by {r['change']:.0f} Å rms"
                f"{astigmatism} (gain {gain})"
            )
        else:
            yield (
                f"defocus stays as it is: what fits best gains {gain} for particles that are "
                "left out, which is not clear, or is not larger than its error"
            )
        yield f"defocus known to {r['error']:.0f} Å (median)"
    if r["scale_gain"] is not None:
        thickness, error = r["thickness"]
        verdict = "changed" if r["scale_changed"] else "stays as it is"
        yield f"scale {verdict} (gain {gain_text(r['scale_gain'], r['scale_gain_error'])})"
        yield f"ice: {thickness:.2f} +- {error:.2f} mean free paths of contrast thick"
