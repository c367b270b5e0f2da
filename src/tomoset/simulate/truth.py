"""What is true of a simulated series, as text and as sets of the model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tomoset import simulate as sim
from tomoset.images.volume import VolumeSpec, VolumeWriter
from tomoset.model import (
    Deformation,
    Optics,
    ParticleSet,
    Project,
    Tomogram,
    TomogramSet,
    TrajectorySet,
)


def truth(series: sim.SimulatedSeries, written: sim.Views) -> dict[str, Any]:
    """All that is true of it, ready for JSON: in Å, degrees and e/Å² where no name says px."""
    taken, views = series.acquisition, series.views
    return {
        "frame": "all counted from 0; x, y, z as RELION has them with --flipYZ --flipZ",
        "tomogram_size_px": list(series.specimen.size),
        "image_size_px": list(taken.image_size),
        "pixel_size": taken.pixel_size,
        "hand": taken.hand,
        "ctf": taken.ctf,
        "voltage": taken.voltage,
        "spherical_aberration": taken.spherical_aberration,
        "amplitude_contrast": taken.amplitude_contrast,
        "bead_radius": series.specimen.bead_radius,
        "slab": round(series.specimen.slab, 3),
        "beads_px": series.specimen.beads.tolist(),
        **_vesicles(series.specimen),
        **_molecules(series),
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
        "deformation_px": None if views.deformation is None else views.deformation.tolist(),
        "written_tilts": written.tilts.tolist(),
        "written_transforms": written.xf.tolist(),
        "bead_images_px": series.bead_images.round(6).tolist(),
        **_lamella(series.specimen),
        **_doming(series),
        **_seen(series),
    }


def _vesicles(specimen: sim.Specimen) -> dict[str, Any]:
    if (vesicles := specimen.vesicles) is None:
        return {}
    return {"vesicles_px": vesicles.centres.tolist(), "vesicle_radii": vesicles.radii.tolist()}


def _lamella(specimen: sim.Specimen) -> dict[str, Any]:
    """Membranes, from the middle of the slab in its own frame [Å]; how the slab is turned."""
    if (lamella := specimen.lamella) is None:
        return {}
    membranes = lamella.membranes
    return {
        "orientation": specimen.orientation.tolist(),
        "membrane_centres": membranes.centres.round(1).tolist(),
        "membrane_normals": membranes.frames[:, 2].round(6).tolist(),
    }


def _doming(series: sim.SimulatedSeries) -> dict[str, Any]:
    """The motion of all matter, and where a grid of points of the slab is in each image."""
    specimen, taken, views = series.specimen, series.acquisition, series.views
    if (doming := views.doming) is None:
        return {}
    probes = _probes(specimen, taken.pixel_size)
    moved = sim.moving(specimen, taken, views, probes)
    return {
        "doming": {
            "waves": doming.waves.tolist(),
            "heights": doming.heights.tolist(),
            "mean": doming.mean.tolist(),
        },
        "probes_px": probes.tolist(),
        "probe_images_px": sim.project(specimen, taken, views, moved).round(6).tolist(),
    }


def _probes(specimen: sim.Specimen, pixel_size: float) -> npt.NDArray[np.float64]:
    """0-based voxels in the slab: (75, 3)."""
    half = np.array([specimen.size[0], specimen.slab / pixel_size, specimen.size[1]]) / 2
    steps = np.meshgrid(*(np.linspace(-0.8, 0.8, n) for n in (5, 3, 5)), indexing="ij")
    at = np.stack(steps, axis=-1).reshape(-1, 3) * half
    return specimen.voxels(at @ specimen.orientation.T).round(3)


def _seen(series: sim.SimulatedSeries) -> dict[str, Any]:
    if series.spectra is None:
        return {}
    seen = sim.seen(series.specimen, series.acquisition, series.views, series.spectra)
    return {
        "working_pixel_size": seen.pixel_size,
        "snr": None if seen.snr is None else round(seen.snr, 5),
        "shift_bound_px": None
        if seen.shift_bound is None
        else np.round(seen.shift_bound, 5).tolist(),
    }


def _molecules(series: sim.SimulatedSeries) -> dict[str, Any]:
    if (molecules := series.specimen.molecules) is None:
        return {}
    trajectories = series.views.trajectories
    return {
        "molecules_px": molecules.positions.tolist(),
        "molecule_angles": molecules.angles.tolist(),
        "molecule_images_px": series.molecule_images.round(6).tolist(),
        "trajectories": None if trajectories is None else trajectories.tolist(),
    }


def tomogram(name: str, series: sim.SimulatedSeries, views: sim.Views) -> Tomogram:
    """The tomogram with this alignment: the truth, or what is written instead.

    An image that shows nothing has no contrast: its CTF is 0.
    """
    taken, size = series.acquisition, series.specimen.size
    seen = np.ones(len(views.tilts))
    seen[list(taken.blocked)] = 0.0
    deformation = views.deformation
    return Tomogram(
        name=name,
        n_tilts=len(views.tilts),
        optics=Optics(
            pixel_size=taken.pixel_size,
            voltage=taken.voltage,
            spherical_aberration=taken.spherical_aberration,
            amplitude_contrast=taken.amplitude_contrast,
        ),
        hand=taken.hand,
        stack=f"{name}/{name}.mrc",
        image_size=taken.image_size,
        size=size,
        projections=sim.matrices(series.specimen, taken, views),
        defocus_u=views.defocus_u,
        defocus_v=views.defocus_v,
        defocus_angle=views.defocus_angle,
        ctf_scale=seen if taken.blocked else None,
        pre_exposure=taken.pre_exposure,
        fractional_dose=taken.dose,
        nominal_tilts=taken.nominal,
        depth_origin=np.array(size) / 2 - 1,
        deformation=None
        if deformation is None
        else Deformation(kind="spline", grid=(3, 3), coefficients=deformation),
    )


class Sets:
    """The sets of all series of a project, gathered one series after the other."""

    def __init__(self) -> None:
        self.true: list[Tomogram] = []
        self.written: list[Tomogram] = []
        self._particles: list[tuple[str, float, sim.Molecules]] = []
        self._trajectories: dict[str, Any] = {}
        self._seen: list[npt.NDArray[np.float64]] = []

    def add(self, name: str, series: sim.SimulatedSeries, written: sim.Views) -> None:
        """Add a series, and the alignment that is written of it."""
        self.true.append(tomogram(name, series, series.views))
        self.written.append(tomogram(name, series, written))
        if (molecules := series.specimen.molecules) is not None:
            self._particles.append((name, series.acquisition.pixel_size, molecules))
            self._seen.append(series.molecule_images)
        if (trajectories := series.views.trajectories) is not None:
            self._trajectories |= {
                f"{name}/{i}": trajectory for i, trajectory in enumerate(trajectories, 1)
            }

    def truth(self) -> Project:
        """The true sets."""
        return Project(
            tomograms=TomogramSet(self.true),
            particles=self.particles() if self._particles else None,
            trajectories=TrajectorySet(self._trajectories) if self._trajectories else None,
        )

    def picks(self) -> npt.NDArray[np.float64]:
        """Where the molecules of all series seem to be by the alignments that are written."""
        positions = [t.triangulate(seen) for t, seen in zip(self.written, self._seen, strict=True)]
        return np.concatenate(positions)

    def particles(self) -> ParticleSet:
        """The molecules of all series; their names are those of RELION."""
        numbers = [len(molecules.positions) for _, _, molecules in self._particles]
        names = [name for name, _, _ in self._particles]
        counted = [
            f"{name}/{i + 1}" for name, n in zip(names, numbers, strict=True) for i in range(n)
        ]
        return ParticleSet(
            tomogram_names=np.repeat(names, numbers),
            names=np.array(counted),
            coordinates=np.concatenate([m.positions for _, _, m in self._particles]),
            origins=np.zeros((sum(numbers), 3)),
            angles=np.concatenate([m.angles for _, _, m in self._particles]),
            pixel_sizes=np.repeat([size for _, size, _ in self._particles], numbers),
        )


def write_volume(
    path: str | Path, volume: npt.NDArray[np.float32], voxel_size: float, label: str
) -> None:
    """Write a map, the same bytes for the same map."""
    depth, height, width = volume.shape
    spec = VolumeSpec(size=(width, height, depth), pixel_size=voxel_size, label=label)
    with VolumeWriter(path, spec) as out:
        out.write(volume)
