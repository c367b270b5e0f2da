"""``tomoset import``: tomogram sets from other programs' alignments."""

from __future__ import annotations

import os
import warnings
from typing import Any

import click

from tomoset.cli._shell import (
    FINITE,
    collected_warnings,
    common_options,
    contradicting_losses,
    count,
    lean_start,
    loss_options,
    print_json,
    print_proof,
    print_warnings,
    tolerance_of,
)
from tomoset.errors import LossyWarning


@click.group(name="import")
def imports() -> None:
    """Make a tomogram set from another program's alignment."""


@imports.command(name="imod", epilog="Options in RELION's spelling mean what they mean there.")
@click.argument("folders", nargs=-1, type=click.Path())
@click.option(
    "-o",
    "--o",
    "--output",
    "output",
    required=True,
    type=click.Path(),
    metavar="STAR",
    help="The set to write, such as tomograms.star.",
)
@click.option(
    "--to",
    type=click.Choice(["relion4", "relion5"]),
    default="relion4",
    show_default=True,
    help="Dialect of the set.",
)
@click.option(
    "--i",
    "table",
    type=click.Path(dir_okay=False),
    metavar="STAR",
    help="RELION's import table, instead of folders.",
)
@click.option("--root", default="", metavar="DIR", help="Folder before every path of the table.")
@click.option(
    "--t",
    "append",
    type=click.Path(dir_okay=False),
    metavar="STAR",
    help="A set to which the new tomograms are added.",
)
@click.option(
    "--angpix",
    type=FINITE,
    metavar="A",
    help="Pixel size of the raw images; by default as their headers say.",
)
@click.option("--fd", "dose", type=FINITE, metavar="E", help="Dose of one tilt image, e/Å².")
@click.option(
    "--ol",
    "order_list",
    type=click.Path(dir_okay=False),
    metavar="CSV",
    help="Order list for series that have none of their own.",
)
@click.option(
    "--hand",
    type=FINITE,
    default=-1,
    show_default=True,
    help="Sign of defocus against depth, -1 or 1.",
)
@click.option("--voltage", type=FINITE, default=300.0, show_default=True, help="kV.")
@click.option(
    "--Cs", "cs", type=FINITE, default=2.7, show_default=True, help="Spherical aberration, mm."
)
@click.option("--Q0", "q0", type=FINITE, default=0.1, show_default=True, help="Amplitude contrast.")
@click.option("--nc", metavar="NAME", help="Name of newst.com.")
@click.option("--tc", metavar="NAME", help="Name of tilt.com.")
@click.option("--thick", type=FINITE, metavar="PX", help="Depth instead of THICKNESS.")
@click.option("--offx", type=FINITE, default=0.0, help="Move the tomogram in x, px.")
@click.option("--offy", type=FINITE, default=0.0, help="... along IMOD's depth, px.")
@click.option("--offz", type=FINITE, default=0.0, help="... along the tilt axis, px.")
@click.option("--flipYZ", "flip_yz", is_flag=True, help="z is depth (folders: the default).")
@click.option("--flipZ", "flip_z", is_flag=True, help="Depth runs the other way (likewise).")
@click.option("--no-flip", is_flag=True, help="Folders: leave the volume as tilt writes it.")
@click.option("--flipAng", "flip_angles", is_flag=True, help="Change the sign of the tilts.")
@click.option("--ali", "aligned", is_flag=True, help="The stacks are the aligned ones.")
@click.option(
    "--ali_size", "aligned_size", is_flag=True, help="Size from newst.com instead of FULLIMAGE."
)
@click.option("--exact-depth", is_flag=True, help="IMOD's slice centres, not RELION's frame.")
@click.option(
    "--no-cull",
    is_flag=True,
    help="Keep stacks whole; excluded views are left out of the table only.",
)
@click.option("--stack", metavar="GLOB", help="Which file of a folder is the raw stack.")
@click.option("--ctf", metavar="GLOB", help="... the table of defocus.")
@click.option("--order", metavar="GLOB", help="... the order list.")
@click.option("--optics-group", default="opticsGroup1", show_default=True, metavar="NAME")
@loss_options
@common_options
def imod(folders: tuple[str, ...], table: str | None, **given: Any) -> int:
    """Import alignments by IMOD, from etomo's FOLDERS or from RELION's import table.

    \b
        tomoset import imod TS_01 TS_02 -o tomograms.star --angpix 1.35 --fd 3
        tomoset import imod --i tilt_series.star -o tomograms.star \\
            --flipYZ --flipZ --angpix 1.35 --fd 3

    A folder's tomogram is the volume as etomo leaves it, turned about x (--flipYZ --flipZ).
    Its stack, command files, defocus and order are found by their names, and said.
    """
    if bool(folders) == bool(table):
        raise click.UsageError("give IMOD folders or an import table (--i), one of the two")
    if not folders and (given["no_flip"] or given["stack"] or given["ctf"] or given["order"]):
        raise click.UsageError("--no-flip, --stack, --ctf and --order are for folders, not for --i")
    if given["no_flip"] and (given["flip_yz"] or given["flip_z"]):
        raise click.UsageError("--no-flip contradicts --flipYZ and --flipZ")
    if table is not None and os.path.realpath(table) == os.path.realpath(given["output"]):
        raise click.UsageError("the output would replace the import table")
    if given["hand"] not in (1, -1):
        raise click.UsageError("--hand must be 1 or -1: the sign of defocus against depth")
    if given["thick"] is not None and given["thick"] != -1 and not given["thick"] >= 1:
        raise click.UsageError("--thick must be at least 1 px")
    if given["angpix"] is not None and not given["angpix"] > 0:
        raise click.UsageError("--angpix must be above 0")
    if given["dose"] is not None and not given["dose"] > 0:
        raise click.UsageError("--fd must be above 0")
    contradicting_losses(given)
    lean_start()
    from tomoset.formats import read
    from tomoset.formats.imod import batch

    output = given["output"]
    if os.path.isdir(output) or output.endswith("/"):
        output = os.path.join(output, "tomograms.star")
    options = _options(given, folders=bool(folders))
    proved = None
    with collected_warnings(strict=given["strict"]) as warned:
        if table is None:
            request = batch.from_folders(folders, options, _choices(given), output)
        else:
            request = batch.from_table(table, options)
        before = None if given["append"] is None else read(given["append"])
        result = batch.run(request, options, before=before)
        with result.files:
            if result.imported:
                proved = _write(result, output, given)
    print_warnings(warned)
    for failure in result.failures:
        click.echo(f"error: {failure.name}: {failure.error}", err=True)
    if given["as_json"]:
        print_json(_summary(result, output, warned, proved))
    else:
        _report(result, request, output)
        if proved is not None:
            print_proof(proved)
    return 1 if result.failures or (proved is not None and proved.failed()) else 0


def _write(result: Any, output: str, given: dict[str, Any]) -> Any:
    """Write the set; in RELION 5's dialect, which cannot say all, with a proof."""
    if given["to"] == "relion4":
        if any(t.image_index is not None for t in result.imported):
            warnings.warn(
                "RELION 4 takes row i for image i of the stack, whatever the rows say: with "
                "--no-cull the set is for tomoset and RELION 5 (tomoset convert)",
                LossyWarning,
                stacklevel=2,
            )
        result.tomograms.write(output, "relion4")
        return None
    from tomoset.project.convert import Options, write_and_verify

    options = Options(to=given["to"], tolerance=tolerance_of(given))
    return write_and_verify(result.tomograms, output, options, before_reading=result.files.commit)


def _options(given: dict[str, Any], *, folders: bool) -> Any:
    from tomoset.formats.imod import ImportOptions

    turned = folders and not given["no_flip"]
    return ImportOptions(
        pixel_size=given["angpix"],
        hand=int(given["hand"]),
        voltage=given["voltage"],
        spherical_aberration=given["cs"],
        amplitude_contrast=given["q0"],
        order_list=given["order_list"],
        fractional_dose=given["dose"],
        newst=given["nc"],
        tilt=given["tc"],
        # RELION's own default, -1, means THICKNESS.
        thickness=given["thick"] if given["thick"] != -1 else None,
        offset=(given["offx"], given["offy"], given["offz"]),
        flip_yz=given["flip_yz"] or turned,
        flip_z=given["flip_z"] or turned,
        flip_angles=given["flip_angles"],
        aligned=given["aligned"],
        aligned_size=given["aligned_size"],
        exact_depth=given["exact_depth"],
        root=given["root"],
        cull=not given["no_cull"],
    )


def _choices(given: dict[str, Any]) -> Any:
    from tomoset.formats.imod import Choices

    return Choices(
        stack=given["stack"],
        ctf=given["ctf"],
        order=given["order"],
        optics_group=given["optics_group"],
    )


def _summary(result: Any, output: str, warned: list[str], proved: Any) -> dict[str, Any]:
    """For a program to read."""
    imported = result.imported
    return {
        "output": output if imported else None,
        "imported": [
            {"name": t.name, "tilt_images": t.n_tilts, "stack": t.stack} for t in imported
        ],
        "failed": [{"name": f.name, "error": str(f.error)} for f in result.failures],
        "proof": None if proved is None else proved.summary(),
        "warnings": warned,
    }


def _report(result: Any, request: Any, output: str) -> None:
    imported = result.imported
    for line in request.notes + result.notes:
        click.echo(line)
    images = sum(t.n_tilts for t in imported)
    others = len(result.tomograms) - len(imported)
    if imported:
        click.echo(
            f"{output}: {count(len(imported), 'tomogram')}, {count(images, 'tilt image')}"
            + (f", added to {others} that were there" if others else "")
        )
    if result.failures:
        click.echo(
            f"{len(result.failures)} of {len(result.failures) + len(imported)} series failed"
            + ("" if imported else "; nothing was written"),
            err=True,
        )
