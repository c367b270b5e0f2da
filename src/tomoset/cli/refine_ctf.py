"""``tomoset refine-ctf``: defocus and scale of tilt images, by particles."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import click

from tomoset.cli._groups import flag, grouped_command, number
from tomoset.cli._particle_options import (
    BOX,
    CUTOFF,
    NO_WHITEN,
    REFERENCE,
    particle_project,
    particle_sets,
    refuse_idle,
)
from tomoset.cli._run_options import FIGURES, RUN_OPTIONS, carry_out, usage_errors
from tomoset.cli._shell import FINITE, common_options
from tomoset.errors import AssumptionWarning

if TYPE_CHECKING:
    from tomoset.programs.refine_ctf import RefineCtfOptions
    from tomoset.project import Project

_SCAN = (
    number("--d0", FINITE, -3000.0, "A", "Smallest change of defocus that is tried, Å."),
    number("--d1", FINITE, 3000.0, "A", "Largest, Å."),
    number("--ds", FINITE, 100.0, "A", "Step between changes that are tried, Å; finer if needed."),
    number("--kmin", FINITE, 30.0, "A", "Waves longer than this do not count for defocus, Å."),
)
_GROUPS = {
    "What": particle_sets("Folder for the new set, reports and figures."),
    "Reference": REFERENCE,
    "Comparison": (BOX, NO_WHITEN, CUTOFF),
    "Defocus": (
        flag("--do_defocus", "Refine defocus and astigmatism."),
        flag("--do_reg_defocus", "As RELION says it; images help each other always here."),
        number(
            "--lambda lambda_",
            FINITE,
            None,
            "F",
            "Weight of that in RELION; no effect here: it is learnt.",
        ),
        *_SCAN,
    ),
    "Scale": (
        flag("--do_scale", "Refine the scale of the CTF."),
        flag("--per_frame_scale", "Of each image, not by the thickness of the ice."),
        flag("--per_tomogram_scale", "Contrast of each tomogram by itself; always so here."),
    ),
    "Where it runs": (*RUN_OPTIONS, FIGURES),
}


@grouped_command(_GROUPS, "refine-ctf")
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
    from tomoset.programs.refine_ctf import refine_ctf

    return carry_out(given, refine_ctf, _options(given), _read)


def _read(given: dict[str, Any]) -> tuple[Project, dict[str, Any]]:
    if given["lambda_"] is not None:
        warnings.warn(
            "--lambda has no effect: how much images have in common is learnt from them",
            AssumptionWarning,
            stacklevel=1,
        )
    return particle_project(given)


def _options(given: dict[str, Any]) -> RefineCtfOptions:
    from tomoset.particles import ExtractionOptions, Weighting
    from tomoset.particles.ctf.fit import CtfFitOptions
    from tomoset.programs.refine_ctf import RefineCtfOptions

    if given["per_frame_scale"] and given["per_tomogram_scale"]:
        raise click.UsageError("--per_frame_scale and --per_tomogram_scale contradict each other")
    scale = given["do_scale"]
    defocus = given["do_defocus"]
    both = not (scale or defocus)
    for option in ("per_frame_scale", "per_tomogram_scale"):
        if given[option] and defocus and not scale:
            raise click.UsageError(f"--{option} needs --do_scale")
    refuse_idle({"--do_defocus": (defocus or both, _SCAN)})
    with usage_errors():
        return RefineCtfOptions(
            statistics=ExtractionOptions(
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
