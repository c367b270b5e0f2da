"""``tomoset simulate``: a small project with known truth."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tomoset.cli._groups import grouped_command, number
from tomoset.cli._run_options import usable_cores
from tomoset.cli._shell import FormatName, count, say, target_argument, the_target

if TYPE_CHECKING:
    from tomoset.simulate.options import ProjectOptions


def _up_to(most: float) -> click.FloatRange:
    return click.FloatRange(0, most)


def _valued(name: str, kind: Any, default: Any, metavar: str, help: str) -> click.Option:
    """An option with a value. A default of 0 says that there is nothing: it is not shown."""
    return click.Option(
        name.split(),
        type=kind,
        default=default,
        show_default=default not in (0, None),
        metavar=metavar,
        help=help,
    )


#: The options, as the help shows them.
_GROUPS = {
    "Project": [
        click.Option(
            ["--lamella"],
            is_flag=True,
            help="A milled lamella: sets the size of images, crowd, surfaces, camera, motion and "
            "errors that are not given.",
        ),
        click.Option(
            ["--series", "n_series"],
            type=click.IntRange(1, 99),
            default=2,
            show_default=True,
            metavar="N",
            help="Number of tilt series.",
        ),
        _valued("--seed", click.IntRange(0), 1, "N", "The same seed gives the same project."),
        _valued(
            "--format",
            FormatName(),
            "imod",
            "FORMAT",
            "Of the alignment that is written: folders as IMOD leaves them, or a set.",
        ),
        _valued("--density", click.IntRange(1, 64), None, "BIN", "Write the true density, binned."),
        number("--j", click.IntRange(1), None, "N", "Images at once.  [default: all cores]"),
        click.Option(
            ["--overwrite"],
            is_flag=True,
            help="Replace OUT, with all that is in it, if it is such a project.",
        ),
    ],
    "Images": [
        _valued("--tilts", click.IntRange(9), 41, "N", "Images of a series."),
        _valued(
            "--range",
            click.FloatRange(5, 80),
            60.0,
            "DEG",
            "They are tilted from minus this to it.",
        ),
        _valued(
            "--size",
            (click.IntRange(16), click.IntRange(16), click.IntRange(8)),
            (256, 240, 100),
            "W H D",
            "Width and height of the images and depth of the tomogram, px.",
        ),
        _valued(
            "--angpix pixel_size",
            click.FloatRange(0, 1000, min_open=True),
            5.4,
            "A",
            "Pixel size, Å.",
        ),
        click.Option(
            ["--ctf/--no-ctf"],
            default=True,
            show_default=True,
            help="Contrast transfer, of the defocus of each depth.",
        ),
        _valued("--defocus", click.FloatRange(0.1, 20), 3.0, "UM", "Mean underfocus, µm."),
        _valued("--hand", int, -1, "±1", "Sign of defocus against depth, in the images."),
        _valued(
            "--noise", click.FloatRange(0, 100), 1.0, "F", "Shot noise: that of the dose is 1."
        ),
        _valued(
            "--snr",
            click.FloatRange(0, 1000, min_open=True),
            None,
            "F",
            "Signal-to-noise ratio at about 10 Å/px that shot noise is to give.",
        ),
        click.Option(["--bytes", "as_bytes"], is_flag=True, help="Stacks of bytes, as IMOD's."),
    ],
    "Specimen": [
        _valued("--beads", click.IntRange(0, 100_000), 20, "N", "Gold beads."),
        _valued("--bead-radius", click.FloatRange(0, 1000, min_open=True), 50.0, "A", "Theirs, Å."),
        _valued("--vesicles", click.IntRange(0, 10_000), 0, "N", "Vesicles, 400 to 1000 Å wide."),
        _valued(
            "--molecules", click.IntRange(0, 100_000), 0, "N", "Copies of an asymmetric molecule."
        ),
        _valued(
            "--specks",
            click.IntRange(0, 5_000_000),
            0,
            "N",
            "Specks of amorphous matter, which shows Thon rings; 1 for 10 pixels is much.",
        ),
        _valued(
            "--thickness",
            click.FloatRange(10, 100000),
            None,
            "A",
            "Of the ice, Å.  [default: 0.7 of the depth]",
        ),
        _valued(
            "--inclined",
            click.FloatRange(-45, 45),
            0.0,
            "DEG",
            "Pre-tilt of what is in the ice, °.",
        ),
        click.Option(
            ["--map", "density_map"],
            type=click.Path(),
            metavar="MRC",
            help="A density map of the molecule, instead of ours.",
        ),
        _valued("--motion", _up_to(1000), 0.0, "A", "How far molecules move in all, rms, Å."),
        _valued(
            "--brownian",
            _up_to(100),
            0.0,
            "A",
            "Standard deviation of the velocity of a Brownian motion along each axis, Å per e/Å².",
        ),
        _valued("--deformation", _up_to(100), 0.0, "PX", "2D deformation of the images, rms, px."),
    ],
    "Lamella": [
        _valued(
            "--crowd",
            click.IntRange(0, 200_000),
            0,
            "N",
            "Globular molecules of several kinds in view, and as densely beyond.",
        ),
        _valued("--layers", click.IntRange(0, 20), 0, "N", "Layers that most of them are in."),
        _valued(
            "--membranes", click.IntRange(0, 200), 0, "N", "Flat, every other one along the slab."
        ),
        _valued(
            "--curtains", _up_to(1000), 0.0, "A", "Streaks of milling, rms of each surface, Å."
        ),
        _valued("--surface", _up_to(200), 0.0, "A", "Ice and dirt on both surfaces, rms, Å."),
        _valued(
            "--pretilt",
            click.FloatRange(-30, 30),
            0.0,
            "DEG",
            "Of slab and ice about the tilt axis; tilts are taken about its normal.",
        ),
        _valued("--x-tilt", click.FloatRange(-15, 15), 0.0, "DEG", "Of slab and ice about x."),
    ],
    "Microscope": [
        _valued(
            "--pattern", _up_to(0.5), 0.0, "F", "Fixed in the camera, rms: gain, dirt, fringes."
        ),
        _valued("--beam-edge", _up_to(0.5), 0.0, "F", "Part of the image outside the beam."),
        _valued(
            "--doming", _up_to(200), 0.0, "A", "Specimen off its place in the first image, rms, Å."
        ),
        _valued(
            "--field-motion", _up_to(5000), 0.0, "A", "Field of view off, rms in x and in y, Å."
        ),
        _valued("--defocus-jitter", _up_to(5), 0.0, "UM", "Focus of images off, at most, µm."),
    ],
    "Errors of the alignment that is written, not of the truth": [
        _valued("--shift-error", _up_to(1000), 0.0, "PX", "Rms in x and in y, px."),
        _valued("--shift-outliers", _up_to(0.5), 0.0, "F", "Part of images up to 500 Å off."),
        _valued("--rotation-error", _up_to(90), 0.0, "DEG", "Of the tilt axis, rms, degrees."),
        _valued("--tilt-error", _up_to(30), 0.0, "DEG", "Of tilt angles, rms, degrees."),
        _valued("--magnification-error", _up_to(0.5), 0.0, "F", "Rms, a fraction."),
        _valued(
            "--tilt-offset", click.FloatRange(-60, 60), 0.0, "DEG", "Of all tilt angles, degrees."
        ),
    ],
}


@grouped_command(_GROUPS)
@target_argument("OUT", "The folder, instead of naming it first.")
def simulate(
    target: str | None,
    output: str | None,
    overwrite: bool,
    j: int | None,
    lamella: bool,
    **given: Any,
) -> None:
    """Make a small project with known truth in the folder OUT.

    Tilt series of gold beads, vesicles and molecules in ice, as IMOD and CTFFIND leave them (one
    folder a series, and RELION's import table), or as a set of RELION; and the truth. In folders
    of IMOD, the last series has views that are to be excluded.
    """
    from tomoset.errors import ModelError
    from tomoset.run import shown
    from tomoset.simulate import preset
    from tomoset.simulate.options import ProjectOptions
    from tomoset.simulate.write import simulate_project

    out = the_target("OUT", target, output)
    try:
        wanted = preset.lamella(**_said(given)) if lamella else ProjectOptions(**given)
        with shown():
            simulate_project(out, wanted, overwrite=overwrite, threads=j or usable_cores())
    except ModelError as problem:
        raise click.UsageError(str(problem)) from None
    _report(Path(out), wanted)


def _said(given: dict[str, Any]) -> dict[str, Any]:
    """Options that were given, not left as they are."""
    left = click.core.ParameterSource.DEFAULT
    source = click.get_current_context().get_parameter_source
    return {name: value for name, value in given.items() if source(name) != left}


def _report(target: Path, wanted: ProjectOptions) -> None:
    from tomoset.formats import format_list, format_named
    from tomoset.simulate import Acquisition

    format, names = format_named(wanted.format), wanted.names
    has_set = format.can("linked sets")
    width, height, _ = wanted.size
    things = {
        "gold bead": wanted.beads,
        "vesicle": wanted.vesicles,
        "molecule": wanted.molecules,
        "speck": wanted.specks,
        "crowded molecule": wanted.crowd,
        "membrane": wanted.membranes,
    }
    there = [count(number, thing) for thing, number in things.items() if number]
    say(
        f"{target}: {len(names)} tilt series of {wanted.tilts} images, {width} x {height} px "
        f"at {wanted.pixel_size:g} Å, with {', '.join(there) or 'nothing'} in each"
    )
    for name in names:
        say(f"  {name}: {_knowable(target, name)}")
    what = {
        ", ".join(names): "the image stacks"
        + ("" if has_set else f", and the alignment as {format.package} leaves it")
        + (
            f"; {names[-1]} excludes views {format_list(wanted.excluded)}"
            if wanted.excluded
            else ""
        ),
        "tomograms.star" if has_set else "tilt_series.star": "the set of them, from this folder"
        if has_set
        else "RELION's import table, from this folder",
        "truth/": "where everything is in space and in the images; the true tomograms.star",
    }
    if wanted.molecules and has_set:
        what["optimisation_set.star"] = "picked molecules and their half maps (reference/), for --i"
    pad = max(map(len, what))
    for name, meaning in what.items():
        say(f"  {name:{pad}}  {meaning}")
    folders = " ".join(str(target / name) for name in names)
    tomograms = target / "tomograms.star"
    say("next:")
    if not has_set:
        say(
            f"  tomoset import {format.name} {folders} -o {tomograms} "
            f"--angpix {wanted.pixel_size:g} "
            f"--fd {Acquisition.dose:g}"
        )
    say(f"  tomoset info {tomograms}")
    if wanted.molecules and has_set:
        say(f"  cd {target}")
        box = _box_of(target)
        say(f"  tomoset align particles --i optimisation_set.star --b {box} --r 10 --o Aligned")


def _knowable(target: Path, name: str) -> str:
    """How much of a series can be seen, and how well its shifts can be known at best."""
    truth = json.loads((target / "truth" / f"{name}.json").read_text(encoding="utf-8"))
    if truth["snr"] is None:
        return "no noise"
    seen = f"signal to noise {truth['snr']:.3g} at {truth['working_pixel_size']:.3g} Å/px"
    if truth["shift_bound_px"] is None:
        return f"{seen}, which tells no shifts"
    across, along = truth["shift_bound_px"]
    return (
        f"{seen}; shifts can be known to {across:.3f} px across the tilt axis and {along:.3f} px "
        "along it at best"
    )


def _box_of(target: Path) -> int:
    """Of the half maps [px]."""
    from tomoset.images.stack import read_header

    return read_header(target / "reference" / "mask.mrc").size[0]
