"""The files of a simulated project."""

from __future__ import annotations

import contextlib
import json
import os
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tomoset import simulate as sim
from tomoset.errors import FileFormatError, LossyWarning, MissingFileError, ModelError
from tomoset.files import atomic_folder, atomic_write
from tomoset.formats import format_named
from tomoset.images.mrc import write_images
from tomoset.images.stack import open_stack
from tomoset.model import Project, TomogramSet
from tomoset.run import Need, chosen, documented, doing, refuse_beyond
from tomoset.simulate.picks import picked, write_references
from tomoset.simulate.truth import Sets, truth, write_volume

#: What a folder that may be replaced must hold, so that no other is.
_MARK = "truth/tomograms.star"
#: Views of the last series that IMOD is to exclude, from the start and from the end.
_BLOCKED = (2, 3, 4, -2)
#: Arrays of an image's size that are in memory while one is made.
_FORMS = 16


@dataclass(frozen=True, kw_only=True)
class ProjectOptions:
    """What is in a simulated project, and what is wrong with its alignment.

    Parameters
    ----------
    n_series, seed : int
        Number of tilt series; the same seed gives the same project.
    format : str
        Name of the format of the alignment that is written.
    density : int, optional
        Binning of the true density, if it is to be written.
    tilts, range : int, float
        Images of a series, which are tilted from minus a range to it [deg].
    size : (int, int, int)
        Width and height of the images and depth of the tomogram [px].
    pixel_size : float
        [Å]
    ctf : bool
        Contrast transfer, of the defocus of each depth.
    defocus : float
        Mean underfocus [µm].
    hand : {1, -1}
        Sign of defocus against depth.
    noise : float
        Shot noise: that of the dose is 1.
    as_bytes : bool
        Stacks of bytes.
    beads, vesicles, molecules, specks : int
        How many there are of each in a series; specks show Thon rings.
    bead_radius : float
        [Å]
    thickness : float, optional
        Of the ice [Å]; None: 0.7 of the depth.
    inclined : float
        Pre-tilt of the specimen [deg].
    density_map : str, optional
        Path of a map of the molecule, instead of ours.
    motion, brownian : float
        How far molecules move in all, rms [Å]; standard deviation of the velocity of a Brownian
        motion along each axis [Å per e/Å²].
    deformation : float
        2D deformation of the images, rms [px].
    shift_error, rotation_error, tilt_error, magnification_error, tilt_offset : float
        Errors of the alignment that is written: rms [px, deg, deg, a fraction], and of all tilt
        angles [deg].

    Raises
    ------
    ModelError
        If options contradict each other.
    """

    n_series: int = 2
    seed: int = 1
    format: str = "imod"
    density: int | None = None
    tilts: int = 41
    range: float = 60.0
    size: tuple[int, int, int] = (256, 240, 100)
    pixel_size: float = 5.4
    ctf: bool = True
    defocus: float = 3.0
    hand: int = -1
    noise: float = 1.0
    as_bytes: bool = False
    beads: int = 20
    bead_radius: float = 50.0
    vesicles: int = 0
    molecules: int = 0
    specks: int = 0
    thickness: float | None = None
    inclined: float = 0.0
    density_map: str | None = None
    motion: float = 0.0
    brownian: float = 0.0
    deformation: float = 0.0
    shift_error: float = 0.0
    rotation_error: float = 0.0
    tilt_error: float = 0.0
    magnification_error: float = 0.0
    tilt_offset: float = 0.0

    def __post_init__(self) -> None:
        if self.hand not in (1, -1):
            raise ModelError("--hand must be 1 or -1: the sign of defocus against depth")
        if self.density_map and not self.molecules:
            raise ModelError("--map is what molecules look like; say how many, by --molecules")
        for moving in ("motion", "brownian"):
            if getattr(self, moving) and not self.molecules:
                raise ModelError(
                    f"--{moving} moves molecules; say how many there are, by --molecules"
                )
        format = format_named(self.format)
        if self.magnification_error and not format.can("magnification"):
            raise ModelError(
                f"{format.package} cannot say magnification: leave --magnification-error, or take "
                "another --format"
            )

    @property
    def names(self) -> list[str]:
        """Of the tilt series."""
        return [f"TS_{i:02d}" for i in range(1, self.n_series + 1)]

    @property
    def excluded(self) -> tuple[int, ...]:
        """Views, from 0, that the last series is to exclude, where the format can say it."""
        able = format_named(self.format).can("excluded views")
        return tuple(view % self.tilts for view in _BLOCKED) if able else ()


def read_molecule(wanted: ProjectOptions) -> sim.Molecule | None:
    """The molecule of a density map, if one is wanted.

    Raises
    ------
    MissingFileError
        If there is no such file.
    FileFormatError
        If it is no density map.
    """
    path = wanted.density_map
    if path is None:
        return None
    if not Path(path).is_file():
        raise MissingFileError(f"{path}: there is no such density map; give an MRC file (--map)")
    with open_stack(path) as stack:
        if not stack.pixel_size > 0:
            raise FileFormatError("the header does not say how large a voxel is", path=path)
        return sim.Molecule.from_map(
            stack.read_all(), stack.pixel_size, pixel_size=wanted.pixel_size
        )


@documented(ProjectOptions)
def simulate_project(
    folder: str | os.PathLike[str],
    options: ProjectOptions | None = None,
    *,
    overwrite: bool = False,
    threads: int = 2,
    **by_name: Any,
) -> Path:
    """Make a small project with known truth: tilt series, their alignment, and the truth.

    Parameters
    ----------
    folder : path-like
        Made when missing.
    options : ProjectOptions, optional
        What is wanted.
    overwrite : bool
        Replace the folder, with all that is in it, if it is such a project.
    threads : int
        Images that are made at once: they are the same, however many.
    **by_name
        Fields of the options:

        {options}

    Returns
    -------
    Path
        Of the file to read first; the truth is in ``truth/`` beside it.

    Raises
    ------
    ModelError
        If options contradict each other, or something else is in the folder.
    TomosetError
        If a density map is none, or the format cannot say what is wanted.

    Examples
    --------
    >>> import tempfile, tomoset
    >>> some = dict(n_series=1, tilts=9, size=(32, 32, 16), beads=1, format="relion4")
    >>> path = tomoset.simulate_project(tempfile.mkdtemp(), **some)
    >>> tomoset.open_project(path).tomograms["TS_01"].project([[16, 16, 8]]).shape
    (9, 1, 2)
    """
    wanted, target = chosen(ProjectOptions, options, by_name), Path(folder)
    _refuse(target, overwrite=overwrite)
    refuse_beyond("the project", _need(wanted, threads), target)
    with atomic_folder(target) as new:
        path = _write_project(new, wanted, threads)
    return target / path


def _need(wanted: ProjectOptions, threads: int) -> Need:
    """What one series takes in memory, and all of them on disk."""
    width, height, depth = wanted.size
    stack, single = 2 * wanted.tilts * width * height, 8 * width * height
    true = 4 * width * height * depth // wanted.density**3 if wanted.density else 0
    return Need(
        memory=2 * stack + threads * _FORMS * single + 2 * true,
        disk=wanted.n_series * (stack + true),
        cure="take fewer or smaller images (--size, --tilts)",
    )


def _refuse(target: Path, *, overwrite: bool) -> None:
    """Refuse to replace what is no simulated project, or is not to be replaced."""
    if Path.cwd().is_relative_to(target.resolve()):
        raise ModelError(f"{target} is where you are, and is made anew; go one folder up")
    if not target.is_dir() or not any(target.iterdir()):
        return
    if not overwrite:
        raise ModelError(f"{target} is there and not empty; take another folder, or --overwrite")
    if not (target / _MARK).exists():
        raise ModelError(
            f"{target} is not a project that simulate made (no {_MARK}), so "
            "--overwrite leaves it alone; remove it yourself, or take another folder"
        )


def _write_project(folder: Path, wanted: ProjectOptions, threads: int) -> Path:
    """Write all series and the truth into a folder; the file to read first, from there."""
    molecule, sets = read_molecule(wanted), Sets()
    for i, name in enumerate(wanted.names):
        blocked = wanted.excluded if i == wanted.n_series - 1 else ()
        # Seeds of their own for every series, of any number of them.
        seed = 1000 * wanted.seed + 10 * i
        doing(f"tilt series {name}")
        series = _series(wanted, molecule, blocked, seed=seed, threads=threads)
        written = sim.misaligned(series.views, _errors(wanted), seed + 5)
        (folder / name).mkdir()
        stack = _as_bytes(series.images) if wanted.as_bytes else series.images
        path, label = folder / name / f"{name}.mrc", f"tomoset: tilt series {name}"
        write_images(path, stack, wanted.pixel_size, [label])
        _write_truth(folder / "truth", name, series, written)
        if wanted.density:
            _write_density(folder / "truth" / f"{name}_density.mrc", series, wanted.density)
        sets.add(name, series, written)
    with contextlib.chdir(folder):  # where paths in sets start
        return _write_sets(sets, wanted, molecule)


def _write_sets(sets: Sets, wanted: ProjectOptions, molecule: sim.Molecule | None) -> Path:
    """The truth, and what one has instead, into this folder; the file to read first."""
    sets.truth().write("truth")
    project = Project(tomograms=TomogramSet(sets.written))
    if wanted.molecules:
        shape = sim.molecule_map(molecule or sim.Molecule.made(), wanted.pixel_size)
        write_volume("truth/molecule.mrc", shape, wanted.pixel_size, "a molecule")
        if format_named(wanted.format).can("linked sets"):
            references = write_references(shape, wanted.pixel_size)
            project = project.with_sets(particles=picked(sets), references=references)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LossyWarning)  # the truth has all that is wanted
        return project.write("", wanted.format)


def _series(
    wanted: ProjectOptions,
    molecule: sim.Molecule | None,
    blocked: tuple[int, ...],
    *,
    seed: int,
    threads: int,
) -> sim.SimulatedSeries:
    width, height, depth = wanted.size
    nominal, rank = sim.dose_symmetric(wanted.tilts, wanted.range)
    acquisition = sim.Acquisition(
        nominal=nominal,
        rank=rank,
        image_size=(width, height),
        pixel_size=wanted.pixel_size,
        hand=wanted.hand,
        defocus=1e4 * wanted.defocus,
        noise=wanted.noise,
        ctf=wanted.ctf,
        magnification_error=0.001 if format_named(wanted.format).can("magnification") else 0.0,
        blocked=blocked,
    )
    contents = sim.Contents(
        beads=wanted.beads,
        vesicles=wanted.vesicles,
        molecules=wanted.molecules,
        bead_radius=wanted.bead_radius,
        molecule=molecule,
        specks=wanted.specks,
        thickness=wanted.thickness,
        inclined=wanted.inclined,
    )
    size = (*acquisition.aligned_size, depth)
    specimen = sim.Specimen.random(size, wanted.pixel_size, contents, seed=seed)
    views = sim.Views.random(acquisition, seed + 1)
    if wanted.deformation:
        deformation = sim.random_deformation(
            len(nominal), acquisition.image_size, rms=wanted.deformation, seed=seed + 3
        )
        views = replace(views, deformation=deformation)
    trajectories = _trajectories(wanted, specimen, acquisition, seed + 4)
    views = replace(views, trajectories=trajectories)
    return sim.simulate(specimen, acquisition, views, seed=seed + 2, threads=threads)


def _trajectories(
    wanted: ProjectOptions, specimen: sim.Specimen, acquisition: sim.Acquisition, seed: int
) -> npt.NDArray[np.float64] | None:
    """Displacements of molecules, if they move."""
    if specimen.molecules is None or not (wanted.motion or wanted.brownian):
        return None
    at = specimen.molecules.positions * wanted.pixel_size
    trajectories = np.zeros((len(at), len(acquisition.nominal), 3))
    if wanted.motion:
        trajectories += sim.random_motion(at, acquisition.progress, rms=wanted.motion, seed=seed)
    if wanted.brownian:
        dose = acquisition.pre_exposure
        trajectories += sim.random_brownian(at, dose, velocity=wanted.brownian, seed=seed + 1)
    return trajectories


def _errors(wanted: ProjectOptions) -> sim.AlignmentErrors:
    return sim.AlignmentErrors(
        shift=wanted.shift_error,
        rotation=wanted.rotation_error,
        tilt=wanted.tilt_error,
        magnification=wanted.magnification_error,
        tilt_offset=wanted.tilt_offset,
    )


def _as_bytes(images: npt.NDArray[np.int16]) -> npt.NDArray[np.uint8]:
    """The stack from its darkest to its brightest pixel, as 0 to 255."""
    low, high = int(images.min()), int(images.max())
    scaled = [np.rint((image - np.float32(low)) * (255 / max(high - low, 1))) for image in images]
    return np.array(scaled, dtype=np.uint8)


def _write_truth(folder: Path, name: str, series: sim.SimulatedSeries, written: sim.Views) -> None:
    rows = (
        f"  {json.dumps(key)}: {json.dumps(v, allow_nan=False)}"
        for key, v in truth(series, written).items()
    )
    with atomic_write(folder / f"{name}.json", "w", encoding="utf-8") as stream:
        stream.write("{\n" + ",\n".join(rows) + "\n}\n")


def _write_density(path: Path, series: sim.SimulatedSeries, binning: int) -> None:
    pixel_size = series.acquisition.pixel_size
    volume = sim.density(series.specimen, pixel_size, binning)
    write_volume(path, volume, binning * pixel_size, "true density")
