"""The files of a simulated project."""

from __future__ import annotations

import contextlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tomoset import simulate as sim
from tomoset.cli._simulated_picks import REFERENCE, write_picks
from tomoset.cli._simulated_truth import Sets, truth, write_volume
from tomoset.errors import FileFormatError, MissingFileError
from tomoset.files import atomic_write
from tomoset.formats.imod.write import ImodFolder, write_imod_folder, write_import_table
from tomoset.images.mrc import write_images
from tomoset.images.stack import open_stack
from tomoset.model import TomogramSet

#: Views of the last series that IMOD is to exclude, from the start and from the end.
_BLOCKED = (2, 3, 4, -2)


def read_molecule(given: dict[str, Any]) -> sim.Molecule | None:
    """The molecule of --map, if there is one.

    Raises
    ------
    MissingFileError
        If there is no such file.
    FileFormatError
        If it is no density map.
    """
    path = given["density_map"]
    if path is None:
        return None
    if not Path(path).is_file():
        raise MissingFileError(f"{path}: there is no such density map; give an MRC file (--map)")
    with open_stack(path) as stack:
        if not stack.pixel_size > 0:
            raise FileFormatError("the header does not say how large a voxel is", path=path)
        return sim.Molecule.from_map(stack.read_all(), stack.pixel_size, pixel_size=given["angpix"])


def write_project(
    folder: Path, names: list[str], given: dict[str, Any], molecule: sim.Molecule | None
) -> tuple[int, ...]:
    """Write all series and the truth; the views, from 0, that the last one excludes."""
    imod = given["format"] == "imod"
    blocked: tuple[int, ...] = ()
    sets = Sets()
    for i, name in enumerate(names):
        if imod and i == len(names) - 1:
            blocked = tuple(view % given["tilts"] for view in _BLOCKED)
        # Seeds of their own for every series, of any number of them.
        seed = 1000 * given["seed"] + 10 * i
        series = _series(given, molecule, blocked, seed=seed)
        written = sim.misaligned(series.views, _errors(given), seed + 5)
        stack = _as_bytes(series.images) if given["as_bytes"] else series.images
        if imod:
            write_imod_folder(folder / name, _imod_folder(name, series, written, stack))
        else:
            (folder / name).mkdir()
            angpix = series.acquisition.pixel_size
            path, label = folder / name / f"{name}.mrc", f"tomoset: tilt series {name}"
            write_images(path, stack, angpix, [label])
        _write_truth(folder / "truth", name, series, written)
        if given["density"]:
            _write_density(folder / "truth" / f"{name}_density.mrc", series, given["density"])
        sets.add(name, series, written)
    if imod:
        dose = sim.Acquisition.dose
        write_import_table(folder / "tilt_series.star", names, fractional_dose=dose)
    # Paths in RELION's sets start in the project's folder.
    with contextlib.chdir(folder):
        if not imod:
            TomogramSet(sets.written).write("tomograms.star", given["format"])
        sets.write_truth("truth")
    if given["molecules"]:
        shape = sim.molecule_map(molecule or sim.Molecule.made(), given["angpix"])
        write_volume(folder / "truth" / "molecule.mrc", shape, given["angpix"], "a molecule")
        if not imod:
            (folder / REFERENCE).mkdir()
            with contextlib.chdir(folder):
                write_picks(sets, shape, given["angpix"], given["format"])
    return blocked


def _series(
    given: dict[str, Any], molecule: sim.Molecule | None, blocked: tuple[int, ...], *, seed: int
) -> sim.SimulatedSeries:
    width, height, depth = given["size"]
    nominal, rank = sim.dose_symmetric(given["tilts"], given["range"])
    acquisition = sim.Acquisition(
        nominal=nominal,
        rank=rank,
        image_size=(width, height),
        pixel_size=given["angpix"],
        hand=given["hand"],
        defocus=1e4 * given["defocus"],
        noise=given["noise"],
        ctf=given["ctf"],
        # RELION 5 cannot say magnification.
        magnification_error=0.0 if given["format"] == "relion5" else 0.001,
        blocked=blocked,
    )
    contents = sim.Contents(
        beads=given["beads"],
        vesicles=given["vesicles"],
        molecules=given["molecules"],
        bead_radius=given["bead_radius"],
        molecule=molecule,
        specks=given["specks"],
        thickness=given["thickness"],
        inclined=given["inclined"],
    )
    size = (*acquisition.aligned_size, depth)
    specimen = sim.Specimen.random(size, given["angpix"], contents, seed=seed)
    views = sim.Views.random(acquisition, seed + 1)
    if given["deformation"]:
        bent = sim.random_deformation(
            len(nominal), acquisition.image_size, rms=given["deformation"], seed=seed + 3
        )
        views = replace(views, deformation=bent)
    ways = _ways(given, specimen, acquisition, seed + 4)
    return sim.simulate(specimen, acquisition, replace(views, trajectories=ways), seed=seed + 2)


def _ways(
    given: dict[str, Any], specimen: sim.Specimen, acquisition: sim.Acquisition, seed: int
) -> npt.NDArray[np.float64] | None:
    """How molecules move, if they do."""
    if specimen.molecules is None or not (given["motion"] or given["walk"]):
        return None
    at = specimen.molecules.positions * given["angpix"]
    ways = np.zeros((len(at), len(acquisition.nominal), 3))
    if given["motion"]:
        ways += sim.random_motion(at, acquisition.progress, rms=given["motion"], seed=seed)
    if given["walk"]:
        dose = acquisition.pre_exposure
        ways += sim.random_walk(at, dose, velocity=given["walk"], seed=seed + 1)
    return ways


def _errors(given: dict[str, Any]) -> sim.AlignmentErrors:
    return sim.AlignmentErrors(
        shift=given["shift_error"],
        rotation=given["rotation_error"],
        tilt=given["tilt_error"],
        magnification=given["magnification_error"],
        tilt_offset=given["tilt_offset"],
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


def _imod_folder(
    name: str,
    series: sim.SimulatedSeries,
    written: sim.Views,
    images: npt.NDArray[np.int16] | npt.NDArray[np.uint8],
) -> ImodFolder:
    acquisition = series.acquisition
    return ImodFolder(
        name=name,
        images=images,
        pixel_size=acquisition.pixel_size,
        aligned_size=acquisition.aligned_size,
        thickness=series.specimen.size[2],
        xf=written.xf,
        tilts=written.tilts,
        nominal=acquisition.nominal,
        rank=acquisition.rank,
        defocus_u=written.defocus_u,
        defocus_v=written.defocus_v,
        defocus_angle=written.defocus_angle,
        excluded=acquisition.blocked,
    )
