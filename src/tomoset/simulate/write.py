"""The files of a simulated project."""

from __future__ import annotations

import contextlib
import json
import os
import warnings
from dataclasses import replace
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
from tomoset.simulate.options import ProjectOptions
from tomoset.simulate.picks import picked, write_references
from tomoset.simulate.truth import Sets, truth, write_volume

#: What a folder that may be replaced must hold, so that no other is.
_MARK = "truth/tomograms.star"
#: Bytes for a point of a lamella while an image is made.
_POINT = 120
#: How far outliers of the written alignment are off, at most [Å].
_FARTHEST = 500.0
#: Arrays of an image's size that are in memory while one is made.
_FORMS = 16


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
    half = np.array([width, depth, height]) * wanted.pixel_size / 2
    matter = int(_POINT * _lamella(wanted).points(half, wanted.pixel_size))
    # With a signal-to-noise ratio, the images wait for the noise that it takes.
    clean = 2 * stack if wanted.snr is not None else 0
    true = 4 * width * height * depth // wanted.density**3 if wanted.density else 0
    return Need(
        memory=2 * stack + clean + threads * (_FORMS * single + matter) + matter + 2 * true,
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
    angles, rank = sim.dose_symmetric(wanted.tilts, wanted.range)
    acquisition = sim.Acquisition(
        nominal=angles - wanted.pretilt,
        rank=rank,
        image_size=(width, height),
        pixel_size=wanted.pixel_size,
        hand=wanted.hand,
        defocus=1e4 * wanted.defocus,
        noise=wanted.noise,
        snr=wanted.snr,
        camera=_camera(wanted),
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
        lamella=_lamella(wanted),
        pretilt=wanted.pretilt,
        x_tilt=wanted.x_tilt,
    )
    size = (*acquisition.aligned_size, depth)
    specimen = sim.Specimen.random(size, wanted.pixel_size, contents, seed=seed)
    handling = sim.Handling(field_motion=wanted.field_motion, defocus_jitter=wanted.defocus_jitter)
    views = sim.handled(sim.Views.random(acquisition, seed + 1), acquisition, handling, seed + 6)
    if wanted.deformation:
        deformation = sim.random_deformation(
            wanted.tilts, acquisition.image_size, rms=wanted.deformation, seed=seed + 3
        )
        views = replace(views, deformation=deformation)
    if wanted.doming:
        dose = acquisition.pre_exposure
        doming = sim.Doming.random(size[:2], dose, rms=wanted.doming, seed=seed + 7)
        views = replace(views, doming=doming)
    trajectories = _trajectories(wanted, specimen, acquisition, views.doming, seed=seed + 4)
    views = replace(views, trajectories=trajectories)
    return sim.simulate(specimen, acquisition, views, seed=seed + 2, threads=threads)


def _lamella(wanted: ProjectOptions) -> sim.LamellaContents:
    return sim.LamellaContents(
        crowd=wanted.crowd,
        layers=wanted.layers,
        membranes=wanted.membranes,
        curtains=wanted.curtains,
        surface=wanted.surface,
        # The stage's angles are off by a little.
        steepest=wanted.range + 3.0,
    )


def _camera(wanted: ProjectOptions) -> sim.Camera | None:
    """The camera of a project, if it is not flat: the same for all series."""
    if not (wanted.pattern or wanted.beam_edge):
        return None
    return sim.Camera.random(
        wanted.size[:2], pattern=wanted.pattern, beam_edge=wanted.beam_edge, seed=wanted.seed
    )


def _trajectories(
    wanted: ProjectOptions,
    specimen: sim.Specimen,
    acquisition: sim.Acquisition,
    doming: sim.Doming | None,
    *,
    seed: int,
) -> npt.NDArray[np.float64] | None:
    """Displacements of molecules, if they move."""
    if specimen.molecules is None or not (wanted.motion or wanted.brownian or doming):
        return None
    at = specimen.molecules.positions * wanted.pixel_size
    trajectories = np.zeros((len(at), len(acquisition.nominal), 3))
    if wanted.motion:
        trajectories += sim.random_motion(at, acquisition.progress, rms=wanted.motion, seed=seed)
    if wanted.brownian:
        dose = acquisition.pre_exposure
        trajectories += sim.random_brownian(at, dose, velocity=wanted.brownian, seed=seed + 1)
    if doming is not None:
        voxels = specimen.molecules.positions
        images = range(wanted.tilts)
        moved = [doming.displaced(specimen, i, specimen.flat(voxels)) for i in images]
        trajectories += np.round(np.stack(moved, axis=1), 6)
    return trajectories


def _errors(wanted: ProjectOptions) -> sim.AlignmentErrors:
    return sim.AlignmentErrors(
        shift=wanted.shift_error,
        rotation=wanted.rotation_error,
        tilt=wanted.tilt_error,
        magnification=wanted.magnification_error,
        tilt_offset=wanted.tilt_offset,
        outliers=wanted.shift_outliers,
        farthest=_FARTHEST / wanted.pixel_size,
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
