"""What is damaged: small folders that are read without a complaint, and the commands that read them."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import tifffile

import tomoset
from tests.builders.image_stacks import write_stack
from tests.builders.imod_folder import SIZE, TILTS, make_folder
from tests.builders.relion_project import small_project
from tests.builders.relion_texts import MANIFOLDS, PARTICLES_4, PARTICLES_5, tomograms_text
from tests.builders.tomograms import rigid_tomogram
from tests.builders.whole_project import whole_project, write_files
from tomoset.formats.imod.bead_models import read_bead_model, write_bead_model
from tomoset.formats.imod.bead_stacks import ImodStack
from tomoset.formats.imod.residuals import read_residuals
from tomoset.model import Tomogram
from tomoset.model.observations import Observations

#: A command line, or a function of the library.
Work = tuple[str, ...] | Callable[[], object]


@dataclass(frozen=True)
class Subject:
    """A folder.

    Parameters
    ----------
    folder : Path
        Where it was made; it is copied for each damage.
    damaged : list of str
        Patterns of the files that are damaged.
    works : sequence
        What reads them.
    kept : str, optional
        The project that is read and written: no word is lost in silence.
    """

    folder: Path
    damaged: Sequence[str]
    works: Sequence[Work]
    kept: str | None = None


def _asked(tomograms: str, tied: str | None = None) -> list[Work]:
    tied = tied or tomograms
    return [
        ("info", "--json", tomograms),
        ("info", tied),
        ("check", "--json", tied),
        *(("convert", "--json", tied, f"to_{to}", "--to", to, "--nearest") for to in ("relion4", "relion5")),
    ]  # fmt: skip


def _whole(folder: Path, dialect: str) -> Subject:
    """All that a project can hold."""
    write_files(folder)
    whole_project().write("p", dialect)
    return Subject(
        folder,
        ["p/**/*.star"],
        _asked("p/tomograms.star", "p/optimisation_set.star"),
        "p/optimisation_set.star",
    )


def _small(folder: Path) -> Subject:
    """A project as RELION 4 has it, with columns, comments and quotes of others."""
    write_stack(folder / "a.mrc", 5, (65, 47))
    small_project(folder)
    works = _asked("tomograms.star", "optimisation_set.star")
    return Subject(folder, ["*.star"], works, "optimisation_set.star")


def _series(name: str, n: int) -> Tomogram:
    """An aligned series of so many images, which are made."""
    t = rigid_tomogram(name=name, stack=f"{name}.mrc")
    write_stack(Path(f"{name}.mrc"), n, (65, 47))
    arrays = ("projections", "defocus_u", "defocus_v", "pre_exposure")
    return replace(t, n_tilts=n, **{field: getattr(t, field)[:n] for field in arrays})


def _texts(folder: Path, particles: str) -> Subject:
    """Texts in odd spellings: particles of one dialect, manifolds."""
    dialect = "relion5" if particles is PARTICLES_5 else "relion4"
    series = [_series("TS_01", 3), _series("001", 2)]
    tomoset.TomogramSet(series).write("tomograms.star", dialect)
    sets = {"Particles": particles, "Manifolds": MANIFOLDS.split("data_other")[0]}
    links = "data_\n\n_rlnTomoTomogramsFile tomograms.star\n"
    for kind, text in sets.items():
        (folder / f"{kind}.star").write_text(text)
        links += f"_rlnTomo{kind}File {kind}.star\n"
    (folder / "o.star").write_text(links)
    return Subject(folder, ["**/*.star"], _asked("tomograms.star", "o.star"), "o.star")


def _tables(folder: Path) -> Subject:
    """Tilt tables with columns that nobody knows."""
    (folder / "tomograms.star").write_text(tomograms_text())
    works = _asked("tomograms.star")
    return Subject(folder, ["*.star"], works, "tomograms.star")


_IMPORT = ("--angpix", "2", "--fd", "3", "-o", "out/tomograms.star", "--json")


def _imod(folder: Path, **files: str | None) -> Subject:
    """A folder of etomo, and an import table that names its files."""
    make_folder(folder / "TS", **files)
    (folder / "in.star").write_text(
        "data_\n\nloop_\n_rlnTomoName #1\n_rlnTomoTiltSeriesName #2\n_rlnTomoImportImodDir #3\n"
        "_rlnTomoImportCtfFindFile #4\n_rlnTomoImportOrderList #5\n"
        "TS TS/TS.st TS TS/TS_ctf.txt TS/TS_order.csv\n"
    )
    works: list[Work] = [("import", "imod", "TS", *_IMPORT)]
    if "ctf" not in files:
        works.append(("import", "imod", "--i", "in.star", *_IMPORT, "--overwrite"))
    works += [("info", "--json", "TS"), ("check", "--json", "out")]
    return Subject(folder, ["in.star", "TS/*"], works)


DEFOCUS = """1 1 -41.0 -39.0 2000 3
2 2 -21.0 -19.0 2010
3 3 -1.0 1.0 2020
4 4 19.0 21.0 2030
5 5 39.0 41.0 2040
"""


def _beads(folder: Path) -> Subject:
    """What IMOD says of beads."""
    points = np.random.default_rng(0).uniform(5, 40, (10, 2))
    seen = Observations(bead=np.repeat([0, 1], 5), tilt=np.tile(np.arange(5), 2), points=points)
    write_stack(folder / "TS.st", 5)
    write_bead_model(seen, "TS.fid", ImodStack(raw_size=(*SIZE, 5)))
    rows = [f"{x:.2f} {y:.2f} {i % 5} 0.1 -0.2\n" for i, (x, y) in enumerate(points)]
    (folder / "TS.resid").write_text("10 residuals\n" + "".join(rows))
    works = [lambda: read_bead_model("TS.fid"), lambda: read_residuals("TS.resid")]
    return Subject(folder, ["TS.fid", "TS.resid"], works)


def _images(folder: Path) -> Subject:
    """Stacks and single images, MRC and TIFF."""
    write_stack(folder / "a.mrc", 5, (65, 47))
    pixels = np.random.default_rng(5).integers(-500, 500, (5, 47, 65)).astype(np.int16)
    pixels[:, 20, 30] = 30000  # what limits outliers is compiled before anything is timed
    whole = {"metadata": None, "photometric": "minisblack"}
    tifffile.imwrite("a.tif", pixels, **whole)  # type: ignore[arg-type]
    names = tuple(f"i{i}.tif" for i in range(5))
    for name, image in zip(names, pixels, strict=True):
        tifffile.imwrite(name, image, **whole)  # type: ignore[arg-type]
    one, many = rigid_tomogram(), rigid_tomogram(stack=None, images=names)
    works: list[Work] = []
    for name, t in {"mrc": one, "stack": replace(one, stack="a.tif"), "single": many}.items():
        dialect = "relion5" if name == "single" else "relion4"
        tomoset.TomogramSet([t]).write(f"{name}/tomograms.star", dialect)
        works += [("check", "--images", "--json", name), ("info", "--json", name)]
    return Subject(folder, ["a.mrc", "a.tif", "i0.tif"], works)


def make(root: Path) -> list[Subject]:
    """All of them, each in a folder of its own."""
    made: list[Callable[[Path], Subject]] = [
        lambda folder: _whole(folder, "relion4"),
        lambda folder: _whole(folder, "relion5"),
        _small,
        lambda folder: _texts(folder, PARTICLES_4),
        lambda folder: _texts(folder, PARTICLES_5),
        _tables,
        _imod,
        lambda folder: _imod(folder, ctf=None, defocus=DEFOCUS, xtilt="0.5\n" * len(TILTS)),
        lambda folder: _imod(folder, tlt=None, rawtlt="\n".join(map(str, TILTS)) + "\n"),
        _beads,
        _images,
    ]
    subjects = []
    for i, build in enumerate(made):
        folder = root / f"{i}"
        folder.mkdir()
        os.chdir(folder)
        subjects.append(build(folder))
    return subjects
