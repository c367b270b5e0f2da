"""``tomoset simulate``: a small project with known truth."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from tomoset.formats.imod.write import ImodFolder
    from tomoset.simulate import SimulatedSeries

#: What a folder that may be replaced must hold, so that --overwrite never takes another's.
_MARKS = ("tilt_series.star", "truth")


@click.command()
@click.argument("out", type=click.Path(file_okay=False))
@click.option(
    "--series",
    "n_series",
    type=click.IntRange(1, 99),
    default=2,
    show_default=True,
    metavar="N",
    help="Number of tilt series.",
)
@click.option(
    "--seed",
    type=click.IntRange(0),
    default=1,
    show_default=True,
    metavar="N",
    help="The same seed gives the same project.",
)
@click.option(
    "--tilts",
    type=click.IntRange(9),
    default=41,
    show_default=True,
    metavar="N",
    help="Images of a series, from -60° to 60°.",
)
@click.option(
    "--size",
    type=(click.IntRange(16), click.IntRange(16), click.IntRange(8)),
    default=(256, 240, 100),
    show_default=True,
    metavar="W H D",
    help="Width and height of the images and depth of the tomogram, px.",
)
@click.option(
    "--beads",
    type=click.IntRange(0),
    default=20,
    show_default=True,
    metavar="N",
    help="Gold beads, 10 nm wide.",
)
@click.option(
    "--angpix",
    type=click.FloatRange(0, 1000, min_open=True),
    default=5.4,
    show_default=True,
    metavar="A",
    help="Pixel size, Å.",
)
@click.option(
    "--overwrite",
    is_flag=True,
    help="Replace OUT, with all that is in it, if it is such a project.",
)
def simulate(out: str, n_series: int, overwrite: bool, **given: Any) -> None:
    """Make a small project with known truth in the folder OUT.

    Tilt series of gold beads in ice, as IMOD and CTFFIND leave them: one folder a series,
    RELION's import table, and the truth. The last series has views that are to be excluded.
    """
    from tomoset.errors import ModelError

    target = Path(out)
    _refuse(target, overwrite=overwrite)
    names = [f"TS_{i:02d}" for i in range(1, n_series + 1)]
    with _whole_folder(target) as folder:
        try:
            excluded = _write_project(folder, names, given)
        except ModelError as problem:
            raise click.UsageError(str(problem)) from None
    _report(target, names, given, excluded)


def _refuse(target: Path, *, overwrite: bool) -> None:
    if Path.cwd().is_relative_to(target.resolve()):
        raise click.UsageError(f"{target} is where you are, and is made anew; go one folder up")
    if not target.is_dir() or not any(target.iterdir()):
        return
    if not overwrite:
        raise click.UsageError(
            f"{target} is there and not empty; take another folder, or --overwrite"
        )
    if not all((target / mark).exists() for mark in _MARKS):
        raise click.UsageError(
            f"{target} is not a project that simulate made (no {' and '.join(_MARKS)}), so "
            "--overwrite leaves it alone; remove it yourself, or take another folder"
        )


@contextlib.contextmanager
def _whole_folder(target: Path) -> Iterator[Path]:
    """A folder beside, that takes the place of `target` only when the block ends well."""
    target = Path(os.path.realpath(target))
    target.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}.", suffix=".tmp"))
    try:
        new, old = beside / "new", beside / "old"
        new.mkdir()
        yield new
        try:
            if target.exists():
                target.rename(old)
            new.rename(target)
        except BaseException:
            if old.exists() and not target.exists():
                old.rename(target)
            raise
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _write_project(folder: Path, names: list[str], given: dict[str, Any]) -> tuple[int, ...]:
    """Write all series; the views, from 0, that the last one excludes."""
    from tomoset.files import atomic_write
    from tomoset.formats.imod.write import write_imod_folder, write_import_table

    n_tilts = given["tilts"]
    for i, name in enumerate(names):
        excluded = (2, 3, 4, n_tilts - 2) if i == len(names) - 1 else ()
        # Seeds of their own for every series, of any number of them.
        series = _series(given, excluded, seed=1000 * given["seed"] + 10 * i)
        write_imod_folder(folder / name, _imod_folder(name, series))
        rows = (f"  {json.dumps(key)}: {json.dumps(v)}" for key, v in _truth(series).items())
        with atomic_write(folder / "truth" / f"{name}.json", "w", encoding="utf-8") as stream:
            stream.write("{\n" + ",\n".join(rows) + "\n}\n")
    write_import_table(folder / "tilt_series.star", names, fractional_dose=series.acquisition.dose)
    return excluded


def _series(given: dict[str, Any], blocked: tuple[int, ...], *, seed: int) -> SimulatedSeries:
    from tomoset import simulate as sim

    width, height, depth = given["size"]
    nominal, rank = sim.dose_symmetric(given["tilts"])
    acquisition = sim.Acquisition(
        nominal=nominal,
        rank=rank,
        image_size=(width, height),
        pixel_size=given["angpix"],
        blocked=blocked,
    )
    specimen = sim.Specimen.random(
        (*acquisition.aligned_size, depth), given["angpix"], n_beads=given["beads"], seed=seed
    )
    views = sim.Views.random(acquisition, seed + 1)
    return sim.simulate(specimen, acquisition, views, seed=seed + 2)


def _truth(series: SimulatedSeries) -> dict[str, Any]:
    """All that is true of it, ready for JSON: in Å, degrees and e/Å² where no name says px."""
    taken, views = series.acquisition, series.views
    return {
        "frame": "all counted from 0; x, y, z as RELION has them with --flipYZ --flipZ",
        "tomogram_size_px": list(series.specimen.size),
        "image_size_px": list(taken.image_size),
        "pixel_size": taken.pixel_size,
        "hand": taken.hand,
        "bead_radius": series.specimen.bead_radius,
        "slab": round(series.specimen.slab, 3),
        "beads_px": series.specimen.beads.tolist(),
        "dose": taken.dose,
        "excluded_images": list(taken.blocked),
        "nominal_tilts": taken.nominal.tolist(),
        "pre_exposure": taken.pre_exposure.tolist(),
        "tilts": views.tilts.tolist(),
        "tilt_axes": views.axes.round(6).tolist(),
        "magnification": views.magnification.round(7).tolist(),
        "transforms": views.xf.tolist(),
        "defocus_u": views.defocus_u.tolist(),
        "defocus_v": views.defocus_v.tolist(),
        "defocus_angle": views.defocus_angle.tolist(),
        "bead_images_px": series.bead_images.round(6).tolist(),
    }


def _imod_folder(name: str, series: SimulatedSeries) -> ImodFolder:
    from tomoset.formats.imod.write import ImodFolder

    acquisition, views = series.acquisition, series.views
    return ImodFolder(
        name=name,
        images=series.images,
        pixel_size=acquisition.pixel_size,
        aligned_size=acquisition.aligned_size,
        thickness=series.specimen.size[2],
        xf=views.xf,
        tilts=views.tilts,
        nominal=acquisition.nominal,
        rank=acquisition.rank,
        defocus_u=views.defocus_u,
        defocus_v=views.defocus_v,
        defocus_angle=views.defocus_angle,
        excluded=acquisition.blocked,
    )


def _report(
    target: Path, names: list[str], given: dict[str, Any], excluded: tuple[int, ...]
) -> None:
    from tomoset.formats.imod.commands import format_list
    from tomoset.simulate import Acquisition

    width, height, _ = given["size"]
    angpix, last = given["angpix"], names[-1]
    click.echo(
        f"{target}: {len(names)} tilt series of {given['tilts']} images, {width} x {height} px "
        f"at {angpix:g} Å, with {given['beads']} gold beads in each"
    )
    what = {
        ", ".join(names): f"folders as IMOD and CTFFIND leave them; {last} excludes views "
        + format_list(excluded),
        "tilt_series.star": "RELION's import table, from this folder",
        "truth/": "beads in space and in the images, angles, transforms, doses, defocus",
    }
    pad = max(map(len, what))
    for name, meaning in what.items():
        click.echo(f"  {name:{pad}}  {meaning}")
    folders = " ".join(str(target / name) for name in names)
    tomograms = target / "tomograms.star"
    click.echo("next:")
    click.echo(
        f"  tomoset import imod {folders} -o {tomograms} --angpix {angpix:g} "
        f"--fd {Acquisition.dose:g}"
    )
    click.echo(f"  tomoset info {tomograms}")
