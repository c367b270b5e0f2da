"""``tomoset align particles``: alignment against a reference."""

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
from tomoset.cli._shell import collected_warnings, common_options

if TYPE_CHECKING:
    from tomoset.align.particles import DeformationOptions, MotionOptions
    from tomoset.derived import Derived
    from tomoset.particles.align.options import AlignOptions
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
    _path("--ref1", "ref1", "MRC", REF1_HELP),
    _path("--ref2", "ref2", "MRC", REF2_HELP),
    _path("--mask", "mask", "MRC", "Mask of both."),
    _path("--fsc", "fsc", "STAR", "Their correlation.  [default: computed from them]"),
    click.option("--b", "box", type=click.IntRange(8), required=True, metavar="PX", help=BOX_HELP),
    click.option(
        "--r",
        "range",
        type=_ABOVE_0,
        default=20.0,
        show_default=True,
        metavar="PX",
        help="How far a particle may be from where it is expected; --b / 2 - 3 at most.",
    ),
    _number(
        "--pad",
        click.IntRange(1),
        1,
        "N",
        "Correlations in steps of 1/N px; 1 is enough.",
    ),
    _flag("--no_whiten", "Do not make the noise white."),
    _number("--hp", float, -1.0, "A", "Leave out waves longer than this, Å; -1: none."),
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
    _flag("--shift_only", "Shifts of tilt images only, however large: by all they show at once."),
    _flag("--shift_only_by_particles", "The same, particle by particle and within --r."),
    click.option(
        "--magnification",
        type=click.Choice(["none", "common", "tilt"]),
        default="none",
        show_default=True,
        help="Fit one for all tilt images (common), or for each (tilt).",
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
    _number("--max_ed", int, -1, "N", "At most so many modes of motion; -1: 600."),
    _flag("--deformation", "Tilt images are bent in 2D."),
    click.option(
        "--def_model",
        type=click.Choice(["linear", "spline", "Fourier"]),
        default="spline",
        show_default=True,
        help="Between points of a grid: straight lines, splines, or waves.",
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
    "--device",
    type=click.Choice(["cpu", "cuda"]),
    default="cpu",
    show_default=True,
    help="What predicts and correlates particles: the processor, or a GPU (cuda).",
)
@common_options
def particles(**given: Any) -> int:
    """Align tilt series by their particles, against a reference.

    \b
        tomoset align particles --i optimisation_set.star --b 96 --r 10 --o Out
        tomoset align particles --p particles.star --t tomograms.star
            --ref1 half1.mrc --ref2 half2.mrc --mask mask.mrc --fsc fsc.star
            --b 96 --r 10 --o Out --motion

    Every particle is compared with its own half map in every tilt image, and one fit to all that
    finds angles and shifts of the images, places of the particles, and what else is asked for.
    What does not predict particles better that are left out stays as it was. The tomogram stays
    where it was. Tomograms without particles stay as they are.
    """
    running = run_options_from(given)
    with collected_warnings(strict=given["strict"]) as warned:
        options = _options(given, running)
        project = particle_project(given)
        reference = reference_files(given, project)
        from tomoset.particles.align.whole_set import align_set

        done = align_set(project, given["folder"], reference, options, running, given["names"])
    if not given["as_json"]:
        _print_alignments(done, given)
    return print_derived(done, warned, "aligned", as_json=given["as_json"], without=_BULK)


def _options(given: dict[str, Any], running: RunOptions) -> AlignOptions:
    from tomoset.align.particles import ParticleOptions
    from tomoset.errors import ModelError
    from tomoset.particles import CorrelationOptions, Weighting
    from tomoset.particles.align.options import AlignOptions

    _refuse_contradictions(given, only=bool(_shift_only(given)))
    try:
        evidence = CorrelationOptions(
            box=given["box"],
            range=given["range"],
            padding=given["pad"],
            whiten=not given["no_whiten"],
            weighting=Weighting(
                high_pass=given["hp"] if given["hp"] > 0 else None, cutoff=given["cutoff_fract"]
            ),
            threads=running.threads,
            device=given["device"],
        )
        fit = ParticleOptions(
            constant_angles=given["const_a"],
            constant_shifts=given["const_s"],
            constant_particles=given["const_p"],
            shift_only=_shift_only(given),
            range=given["range"],
            motion=_motion(given),
            deformation=_deformation(given),
            magnification="" if given["magnification"] == "none" else given["magnification"],
            anisotropic=given["aniso"],
            cross_validation=given["cross_validation"],
        )
        return AlignOptions(evidence=evidence, fit=fit)
    except ModelError as problem:
        raise click.UsageError(str(problem)) from None


def _shift_only(given: dict[str, Any]) -> str:
    if given["shift_only_by_particles"]:
        return "particles"
    return "images" if given["shift_only"] else ""


def _refuse_contradictions(given: dict[str, Any], *, only: bool) -> None:
    """Usage errors for what does not go together, or does nothing."""
    magnification = given["magnification"] != "none"
    if given["aniso"] and not magnification:
        raise click.UsageError("--aniso needs --magnification common or tilt")
    for other in ("const_s", "motion", "deformation"):
        if only and given[other]:
            raise click.UsageError(f"--shift_only and --{other} contradict each other")
    held = all(given[name] for name in ("const_a", "const_s", "const_p"))
    if held and not (magnification or given["motion"] or given["deformation"]):
        raise click.UsageError(
            "nothing is free with --const_a --const_s --const_p: leave one out, or give --motion, "
            "--deformation or --magnification"
        )
    refuse_idle({"--motion": (given["motion"], _GROUPS["Motion"][1:])})
    refuse_idle({"--deformation": (given["deformation"], _GROUPS["Deformation"][1:])})


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


def _print_alignments(done: Derived, given: dict[str, Any]) -> None:
    """Some lines for each tomogram: what has changed, and how sure it is."""
    for name, result in done.report.results.items():
        for i, line in enumerate(_lines(result, given)):
            click.echo(f"{name}  {line}" if i == 0 else f"    {line}")


def _lines(r: dict[str, Any], given: dict[str, Any]) -> Iterator[str]:
    doubtful = f", {r['doubtful']} doubtful" * bool(r["doubtful"])
    unseen = f", {r['unseen']} in none" * bool(r["unseen"])
    seen = f"{_count(r['particles'], 'particle')} in {_count(r['tilt_images'], 'image')}"
    yield seen + unseen + doubtful
    only = given["shift_only"] or given["shift_only_by_particles"]
    shifts, angles = not given["const_s"] or only, not (given["const_a"] or only)
    if r["changed"]:
        sizes = [f"{r['shift']:.2f} px"] * shifts + [f"{r['angle']:.3f} degrees"] * angles
        said = f": {' and '.join(sizes)} rms" * bool(sizes)
        yield f"{_count(r['changed'], 'image')} changed{said}"
    elif not (shifts or angles):
        yield "the images stay as they are (--const_a --const_s)"
    else:
        yield (
            "the images stay as they are: no other alignment predicts particles better that are "
            "left out"
        )
    if r["particles_moved"]:
        yield f"particles moved by {r['moved']:.1f} Å rms"
    if r["expected"] is not None:
        yield f"alignment known to {r['expected']:.3f} px at the particles"
    if r["image_gain"] is not None:
        gain_said = gain_text(r["image_gain"], r["image_gain_error"])
        what = " and ".join(["shifts"] * shifts + ["angles"] * angles) or "cameras"
        yield f"{what} of these images: {gain_said} (accepted)"
    for gain in r["gains"]:
        yield _gain_line(gain, _size(gain["name"], r) * gain["kept"])
    if r["faint"]:
        which = ", ".join(map(str, r["faint"][:8])) + ", ..." * (len(r["faint"]) > 8)
        yield (
            f"particles are faint in {_count(len(r['faint']), 'image')} ({which}): these may be "
            "bad, or further off than --r; try --shift_only"
        )


def _count(number: int, what: str) -> str:
    """``1 image``, ``2 images``."""
    return f"{number} {what}{'s' * (number != 1)}"


def _size(name: str, r: dict[str, Any]) -> str:
    """How large what a class brought is, and how well that is known."""
    if name == "motion" and r["motion_error"] is not None:
        return f", {r['motion']:.1f} Å rms, known to {r['motion_error']:.1f} Å"
    if name == "deformation" and r["deformation_error"] is not None:
        return f", known to {r['deformation_error']:.2f} px"
    return ""


def _gain_line(gain: dict[str, Any], size: str) -> str:
    """What a class brought: ``motion: +812 +- 30 ln likelihood (accepted, 9.1 Å rms)``."""
    if gain["gain"] is None:
        return f"{gain['name']}: fitted{size}"
    why = "particles that are left out say no"
    if gain["small"]:
        why = "hardly larger than its error"
    verdict = "not accepted" + f": {why}" * (gain["error"] is not None)
    if gain["kept"]:
        verdict = f"accepted{size}"
    return f"{gain['name']}: {gain_text(gain['gain'], gain['error'])} ({verdict})"
