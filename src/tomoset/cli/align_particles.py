"""``tomoset align particles``: alignment against a reference."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from tomoset.cli._groups import choice, flag, grouped_command, number
from tomoset.cli._particle_options import (
    BOX,
    CUTOFF,
    NO_WHITEN,
    REFERENCE,
    particle_project,
    particle_sets,
    refuse_idle,
)
from tomoset.cli._run_options import DEVICE, FIGURES, RUN_OPTIONS, carry_out, usage_errors
from tomoset.cli._shell import common_options

if TYPE_CHECKING:
    from tomoset.align.particles import DeformationOptions, MotionOptions
    from tomoset.particles.align.options import AlignOptions

_ABOVE_0 = click.FloatRange(min=0, min_open=True)
_CROSS_VALIDATION = click.Option(
    ["--cross-validation/--no-cross-validation"],
    default=True,
    help="Change only what predicts particles better that are left out.  [default: yes]",
)
_MOTION = (
    number("--s_vel", _ABOVE_0, 0.5, "A", "Standard deviation of their velocity, Å per e/Å²."),
    number("--s_div", _ABOVE_0, 5000.0, "A", "Distance over which velocities differ, Å."),
    flag("--sq_exp_ker", "Squared exponential covariance over distance."),
    number("--max_ed", int, -1, "N", "At most so many modes of motion; -1: 600."),
)
_DEFORMATION = (
    choice(
        "--def_model",
        ["linear", "spline", "Fourier"],
        "spline",
        "Between points of a grid: straight lines, splines, or waves.",
    ),
    number("--def_w", click.IntRange(2), 3, "N", "Points of its grid along x."),
    number("--def_h", click.IntRange(2), 3, "N", "And along y."),
    number("--def_reg", click.FloatRange(min=0), 0.0, "F", "Weight of RELION's regulariser."),
    flag("--per_frame_deformation", "One deformation for each tilt image."),
)
_GROUPS = {
    "What": particle_sets("Folder for the new sets, reports and figures."),
    "Reference": REFERENCE,
    "Comparison": (
        BOX,
        number(
            "--r range",
            _ABOVE_0,
            20.0,
            "PX",
            "How far a particle may be from where it is expected; --b / 2 - 3 at most.",
        ),
        number("--pad", click.IntRange(1), 1, "N", "Correlations in steps of 1/N px; 1 is enough."),
        NO_WHITEN,
        number("--hp", float, -1.0, "A", "Leave out waves longer than this, Å; -1: none."),
        CUTOFF,
    ),
    "What may change": (
        flag("--const_a", "Hold the angles of tilt images."),
        flag("--const_s", "Hold their shifts."),
        flag("--const_p", "Hold the particles."),
        flag(
            "--shift_only", "Shifts of tilt images only, however large: by all they show at once."
        ),
        flag("--shift_only_by_particles", "The same, particle by particle and within --r."),
        choice(
            "--magnification",
            ["none", "common", "tilt"],
            "none",
            "Fit one for all tilt images (common), or for each (tilt).",
        ),
        flag("--aniso", "Magnifications may differ along two axes."),
        _CROSS_VALIDATION,
    ),
    "Motion": (flag("--motion", "Particles move with the dose."), *_MOTION),
    "Deformation": (flag("--deformation", "Fit a 2D deformation of the images."), *_DEFORMATION),
    "Where it runs": (*RUN_OPTIONS, DEVICE, FIGURES),
}


@grouped_command(_GROUPS, "particles")
@common_options
def particles(**given: Any) -> int:
    """Align tilt series by their particles, against a reference.

    \b
        tomoset align particles --i optimisation_set.star --b 96 --r 10 --o Out
        tomoset align particles --p particles.star --t tomograms.star
            --ref1 half1.mrc --ref2 half2.mrc --mask mask.mrc --fsc fsc.star
            --b 96 --r 10 --o Out --motion

    Every particle is compared with its own half map in every tilt image, and one fit to all that
    finds angles and shifts of the images, positions of the particles, and what else is asked for.
    What does not predict particles better that are left out stays as it was. The tomogram stays
    where it was. Tomograms without particles stay as they are.
    """
    from tomoset.programs.align_particles import align_particles

    return carry_out(given, align_particles, _options(given), particle_project)


def _options(given: dict[str, Any]) -> AlignOptions:
    from tomoset.align.particles import ParticleOptions
    from tomoset.particles import CorrelationOptions, Weighting
    from tomoset.particles.align.options import AlignOptions

    _refuse_contradictions(given, only=bool(_shift_only(given)))
    with usage_errors():
        correlation = CorrelationOptions(
            box=given["box"],
            range=given["range"],
            padding=given["pad"],
            whiten=not given["no_whiten"],
            weighting=Weighting(
                high_pass=given["hp"] if given["hp"] > 0 else None, cutoff=given["cutoff_fract"]
            ),
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
        return AlignOptions(correlation=correlation, fit=fit)


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
    refuse_idle({"--motion": (given["motion"], _MOTION)})
    refuse_idle({"--deformation": (given["deformation"], _DEFORMATION)})


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
