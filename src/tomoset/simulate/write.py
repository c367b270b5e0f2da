"""The files of a simulated project."""

from __future__ import annotations

import contextlib
import json
import warnings
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tomoset import simulate as sim
from tomoset.errors import FileFormatError, LossyWarning, MissingFileError, ModelError
from tomoset.files import atomic_write
from tomoset.formats import format_named
from tomoset.images.mrc import write_images
from tomoset.images.stack import open_stack
from tomoset.model import Project, TomogramSet
from tomoset.simulate.picks import picked, write_references
from tomoset.simulate.truth import Sets, truth, write_volume

#: Views of the last series that IMOD is to exclude, from the start and from the end.
_BLOCKED = (2, 3, 4, -2)


@dataclass(frozen=True, kw_only=True)
class ProjectOptions:
    """What is in a simulated project, as ``tomoset simulate --help`` says of each.

    Parameters
    ----------
    format : str
        Name of the format of the alignment that is written.
    size : (int, int, int)
        Width and height of the images and depth of the tomogram [px].
    defocus : float
        [µm]
    thickness : float or None
        Of the ice [Å]; None: 0.7 of the depth.
    density : int or None
        Binning of the true density, if it is to be written.
    density_map : str or None
        Path of a map of the molecule.

    Raises
    ------
    ModelError
        If options contradict each other.
    """

    n_series: int
    seed: int
    format: str
    density: int | None
    tilts: int
    range: float
    size: tuple[int, int, int]
    pixel_size: float
    ctf: bool
    defocus: float
    hand: int
    noise: float
    as_bytes: bool
    beads: int
    bead_radius: float
    vesicles: int
    molecules: int
    specks: int
    thickness: float | None
    inclined: float
    density_map: str | None
    motion: float
    walk: float
    deformation: float
    shift_error: float
    rotation_error: float
    tilt_error: float
    magnification_error: float
    tilt_offset: float

    def __post_init__(self) -> None:
        if self.hand not in (1, -1):
            raise ModelError("--hand must be 1 or -1: the sign of defocus against depth")
        if self.density_map and not self.molecules:
            raise ModelError("--map is what molecules look like; say how many, by --molecules")
        for moving in ("motion", "walk"):
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


def write_project(folder: Path, wanted: ProjectOptions) -> tuple[int, ...]:
    """Write all series and the truth; the views, from 0, that the last one excludes.

    Raises
    ------
    TomosetError
        If --map is no density map, or the format cannot say what is wanted.
    """
    format, molecule = format_named(wanted.format), read_molecule(wanted)
    blocked: tuple[int, ...] = ()
    sets = Sets()
    for i, name in enumerate(wanted.names):
        if format.can("excluded views") and i == wanted.n_series - 1:
            blocked = tuple(view % wanted.tilts for view in _BLOCKED)
        # Seeds of their own for every series, of any number of them.
        seed = 1000 * wanted.seed + 10 * i
        series = _series(wanted, molecule, blocked, seed=seed)
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
        _write_sets(sets, wanted, molecule)
    return blocked


def _write_sets(sets: Sets, wanted: ProjectOptions, molecule: sim.Molecule | None) -> None:
    """The truth, and what one has instead, into this folder."""
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
        project.write("", wanted.format)


def _series(
    wanted: ProjectOptions, molecule: sim.Molecule | None, blocked: tuple[int, ...], *, seed: int
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
        bent = sim.random_deformation(
            len(nominal), acquisition.image_size, rms=wanted.deformation, seed=seed + 3
        )
        views = replace(views, deformation=bent)
    ways = _ways(wanted, specimen, acquisition, seed + 4)
    return sim.simulate(specimen, acquisition, replace(views, trajectories=ways), seed=seed + 2)


def _ways(
    wanted: ProjectOptions, specimen: sim.Specimen, acquisition: sim.Acquisition, seed: int
) -> npt.NDArray[np.float64] | None:
    """How molecules move, if they do."""
    if specimen.molecules is None or not (wanted.motion or wanted.walk):
        return None
    at = specimen.molecules.positions * wanted.pixel_size
    ways = np.zeros((len(at), len(acquisition.nominal), 3))
    if wanted.motion:
        ways += sim.random_motion(at, acquisition.progress, rms=wanted.motion, seed=seed)
    if wanted.walk:
        dose = acquisition.pre_exposure
        ways += sim.random_walk(at, dose, velocity=wanted.walk, seed=seed + 1)
    return ways


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
    rows = (f"  {json.dumps(key)}: {json.dumps(v)}" for key, v in truth(series, written).items())
    with atomic_write(folder / f"{name}.json", "w", encoding="utf-8") as stream:
        stream.write("{\n" + ",\n".join(rows) + "\n}\n")


def _write_density(path: Path, series: sim.SimulatedSeries, binning: int) -> None:
    pixel_size = series.acquisition.pixel_size
    volume = sim.density(series.specimen, pixel_size, binning)
    write_volume(path, volume, binning * pixel_size, "true density")
