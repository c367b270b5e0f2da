"""AreTomo's files of a tilt series: ``.aln``, ``_CTF.txt`` and ``_TLT.txt``."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tomoset import geometry
from tomoset.formats._ctf_tables import defocus_of
from tomoset.formats._ctffind import DefocusTable
from tomoset.formats._importing import axis_voxel
from tomoset.formats._nearest import Nearest, as_written, excluded_tilts, images_of
from tomoset.formats.aretomo.aln import Aln
from tomoset.formats.aretomo.importer import flipped, projections_of
from tomoset.model import Tomogram

Array = npt.NDArray[np.float64]

_CTF_COLUMNS = (
    "# Columns: #1 micrograph number; #2 - defocus 1 [A]; #3 - defocus 2; #4 - azimuth of "
    "astigmatism; #5 - additional phase shift [radian]; #6 - cross correlation; #7 - spacing (in "
    "Angstroms) up to which CTF rings were fit successfully; #8 - dfHand\n"
)


@dataclass(frozen=True, kw_only=True, eq=False)
class AretomoFiles(Nearest):
    """What AreTomo's files say of one tilt series.

    Parameters
    ----------
    tomogram : Tomogram
        Without the images that show nothing, its defocus that of the tilt axis.
    aln : Aln
        The alignment.
    flip : int
        -FlipVol that makes the tomogram's axes, which no file says.
    read : (n_tilts, 4, 4) array
        The projections as they are read again.
    """

    aln: Aln
    flip: int

    @classmethod
    def of(cls, tomogram: Tomogram, path: str = "") -> AretomoFiles:
        """The files of a tomogram.

        Raises
        ------
        UnsupportedError
            If something that they need is not known, or cannot be said there.
        """
        t = as_written(tomogram, "AreTomo")
        projections = t.need_projections()
        # Beams of small tilts run along the depth. A mirrored volume has the same images with
        # the tilts reversed: the one of the two whose depth runs as the tomogram's is taken.
        beams = np.abs(np.cross(projections[:, 0, :3], projections[:, 1, :3])).mean(axis=0)
        tries = [_written(t, k, path) for k in ((1, 2) if beams[2] >= beams[1] else (0,))]
        return min(tries, key=lambda one: one.hand != t.hand)

    @property
    def size(self) -> str:
        """The size of the tomogram, as an import is told it."""
        width, height, depth = self.tomogram.size or (0, 0, 0)
        sides = (width, height, depth) if self.flip else (width, depth, height)
        return ",".join(map(str, sides))

    @property
    def first_dose(self) -> float:
        """What no file says: dose before the first image [e/Å²], if no dark one is before it."""
        before = self.tomogram.pre_exposure
        return 0.0 if before is None or self.aln.darks else float(before.min())

    def texts(self, name: str) -> dict[str, str]:
        """The files, by name."""
        t = self.tomogram
        files = {f"{name}.aln": self.aln.text}
        if (table := defocus_of(t)) is not None:
            files[f"{name}_CTF.txt"] = self._ctf(table)
        if t.pre_exposure is not None:
            files[f"{name}_TLT.txt"] = self._angles(t.pre_exposure)
        return files

    def _ctf(self, table: DefocusTable) -> str:
        shift = table.phase_shift
        phases = np.zeros(len(table)) if shift is None else np.deg2rad(shift)
        rows = zip(table.u, table.v, table.angle, phases, strict=True)
        return _CTF_COLUMNS + "".join(
            f"{i:4d}   {a:8.2f}  {b:8.2f}  {angle:12.7f}  {phase:12.9f}  {0.1:8.4f}  {12:8.4f}  "
            f"{self.hand:3d}\n"
            for i, (a, b, angle, phase) in enumerate(rows, 1)
        )

    def _angles(self, before: Array) -> str:
        """Angle, place in time and dose of all images of the stack, the dark ones first."""
        t, n = self.tomogram, self.aln.n_images
        images = self.aln.sections - 1
        dark = np.setdiff1d(np.arange(n), images)
        nominal = self.aln.tilts if t.nominal_tilts is None else t.nominal_tilts
        if np.dot(nominal - nominal.mean(), self.aln.tilts - self.aln.tilts.mean()) < 0:
            nominal = -nominal  # as of a volume that is a mirror image to the stage
        angles, places, doses = np.zeros(n), np.zeros(n, np.int64), np.zeros(n)
        angles[images], angles[dark] = nominal, [tilt for _, _, tilt in self.aln.darks]
        order = np.argsort(before, kind="stable")
        places[dark] = np.arange(1, len(dark) + 1)
        places[images[order]] = np.arange(len(dark) + 1, n + 1)
        steps = np.diff(before[order])
        last = t.fractional_dose or (float(np.median(steps)) if len(steps) else 0.0)
        doses[images[order]] = [*steps, last]
        if len(dark):
            doses[dark[0]] = before[order[0]]
        return "".join(
            f"{angle:10.4f}  {place:4d}  {star_number(dose):>12}\n"
            for angle, place, dose in zip(angles, places, doses, strict=True)
        )


def star_number(value: float) -> str:
    """The shortest text of a number to nine decimals."""
    return repr(round(float(value), 9) + 0.0)


def _written(t: Tomogram, flip: int, path: str) -> AretomoFiles:
    """The files, if the volume is flipped so."""
    width, height, depth = t.need_size()
    projections, raw_size = t.need_projections(), t.need_image_size()
    aligned, thickness = ((width, height), depth) if flip else ((width, depth), height)
    volume = flipped(aligned, thickness, flip)
    xf, tilts, _ = geometry.imod_parameters(projections, volume=volume, raw_size=raw_size)
    axes = np.rad2deg(np.arctan2(xf[:, 0, 1] - xf[:, 1, 0], xf[:, 0, 0] + xf[:, 1, 1]))
    shifts = np.negative(np.linalg.solve(xf[:, :, :2], xf[:, :, 2:])[:, :, 0])
    images, n_images = images_of(t)
    aln = Aln(
        path=path,
        image_size=raw_size,
        n_images=n_images,
        darks=_darks(t, images, tilts, n_images),
        sections=images + 1,
        axes=axes.round(7) + 0.0,
        magnifications=np.ones(t.n_tilts),
        shifts=np.asarray(shifts.round(6) + 0.0, np.float64),
        tilts=tilts.round(7) + 0.0,
    )
    again = projections_of(aln, volume, raw_size)
    return AretomoFiles(
        tomogram=t.with_depth_origin(axis_voxel(volume)),
        aln=aln,
        flip=flip,
        read=again,
    )


def _darks(
    t: Tomogram, images: npt.NDArray[np.int64], tilts: Array, n_images: int
) -> list[tuple[int, int, float]]:
    """DarkFrame of the images of the stack that the tomogram has not; angles as far as known."""
    known = excluded_tilts(t)
    order = np.argsort(images)
    angles = np.interp(np.arange(n_images), images[order], tilts[order])
    angles[list(known)] = list(known.values())
    angles[images] = tilts
    places = np.argsort(np.argsort(angles, kind="stable"), kind="stable")
    dark = np.setdiff1d(np.arange(n_images), images)
    return [(int(places[i]), int(i) + 1, float(angles[i])) for i in dark]
