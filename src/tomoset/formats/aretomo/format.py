"""AreTomo as a format: alignments come in with their local shifts, and go out without."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from tomoset.errors import AssumptionWarning, LossyWarning, ModelError
from tomoset.files import together, write
from tomoset.formats._destination import Destination
from tomoset.formats._format import Format
from tomoset.formats._importing import (
    FRACTIONAL_DOSE,
    MICROSCOPE,
    NO_CULL,
    OPTICS_GROUP,
    PIXEL_SIZE,
    SIZE,
    bend,
    dose_of,
    refuse_impossible,
    refuse_odd_thickness,
    refuse_size,
    told_optics,
    unsaid,
)
from tomoset.formats._nearest import shown
from tomoset.formats._reading import read_files
from tomoset.formats._words import Loss, Option, Reading, StrPath, Tolerance
from tomoset.formats.aretomo.aln import MARK
from tomoset.model import Project, Tomogram
from tomoset.paths import file_names

_OPTIONS = (
    PIXEL_SIZE,
    FRACTIONAL_DOSE,
    Option(
        "hand", "--hand", "Sign of defocus against depth, -1 or 1; by default as _CTF.txt has it."
    ),
    *MICROSCOPE,
    Option("thickness", "--thick", "Depth of the tomograms (-VolZ), unbinned px.", metavar="PX"),
    Option(
        "flip_volume",
        "--flip-vol",
        "AreTomo's -FlipVol, which no file says: 0, 1 (z is depth) or 2 (its mirror image).",
        metavar="0|1|2",
    ),
    replace(SIZE, help="Width, height and depth of the volume before it was flipped, px."),
    Option(
        "stack",
        "--stack",
        "The raw stack, or the folder of all; by default beside the .aln.",
        kind="text",
        metavar="PATH",
    ),
    Option(
        "tilt_angles",
        "--tlt",
        "The file of angles, order and doses, if not _TLT.txt.",
        kind="text",
        metavar="GLOB",
    ),
    Option(
        "ctf",
        "--ctf",
        "The table of defocus, if not _CTF.txt.",
        kind="text",
        metavar="GLOB",
    ),
    NO_CULL,
    OPTICS_GROUP,
)


class Aretomo(Format):
    """Alignments by AreTomo 1, 2 and 3."""

    name = "aretomo"
    package = "AreTomo"
    url = "https://github.com/czimaginginstitute/AreTomo3"
    reads = "`.aln` of AreTomo 1 to 3 with local shifts, `_CTF.txt`, `_TLT.txt`"
    writes = "`.aln` (global), `_CTF.txt`, `_TLT.txt`"
    abilities = frozenset({"excluded views", "parts of stacks"})
    labels: Mapping[str, str] = {"size": "-VolZ", "stack": "-InMrc"}
    options = _OPTIONS
    needs: Mapping[str, tuple[str, ...]] = {
        "": ("stack", "projections", "size", "image_size", "pixel_size")
    }
    about = """Import alignments by AreTomo, from .aln files or folders of them.

    \b
        tomoset import aretomo TS_01.aln -o tomograms.star --thick 1500 --flip-vol 1
        tomoset import aretomo run001 -o tomograms.star --stack stacks --thick 1500

    Each series is called like its .aln file. The raw stack, _CTF.txt and _TLT.txt are found
    beside it. Dark images are left out of new stacks, local shifts become 2D deformations.
    """

    def detect(self, path: str, head: bytes) -> bool:
        """Whether a file begins as AreTomo's do, or a folder holds such files."""
        if head:
            return head.startswith(MARK.encode())
        return os.path.isdir(path) and any(n.endswith(".aln") for n in os.listdir(path))

    def refuse_options(self, sources: Sequence[StrPath], given: Mapping[str, Any]) -> None:
        """Refuse options that say nothing possible."""
        if not sources:
            raise ModelError("give .aln files, or the folders that AreTomo wrote to")
        refuse_impossible(given)
        refuse_odd_thickness(given)
        if given["flip_volume"] not in (None, 0, 1, 2):
            raise ModelError("--flip-vol must be 0, 1 or 2, as AreTomo's -FlipVol")
        refuse_size(given["size"])

    def read_series(
        self, sources: Sequence[StrPath], given: Mapping[str, Any], destination: Destination
    ) -> Reading:
        """The series of ``.aln`` files.

        Dark images are left out of new stacks in the folder ``culled`` beside the set, or,
        without one, of the table only.
        """
        from tomoset.formats.aretomo.importer import import_series
        from tomoset.formats.aretomo.series import aln_files, series_of

        reading = read_files(
            sources,
            aln_files,
            lambda file, alone: [import_series(series_of(Path(file), given, alone=alone), given)],
            self.name,
            destination,
            cull=not given["no_cull"],
        )
        if (
            len(reading.project.tomograms) > len(destination.before or ())
            and given["flip_volume"] is None
        ):
            warnings.warn(
                ".aln files do not say whether volumes were flipped: taken as flipped by "
                "-FlipVol 1, or by their sizes where they are there; say it by --flip-vol",
                AssumptionWarning,
                stacklevel=2,
            )
        return reading

    def write(self, project: Project, folder: StrPath, tolerance: Tolerance | None = None) -> str:
        """Write the files of each tilt series into one folder; its path."""
        from tomoset.formats.aretomo.write import AretomoFiles

        del tolerance
        for name, loss in self.losses(project).items():
            warnings.warn(
                f"tomogram {name!r} {' and '.join(loss.texts)}", LossyWarning, stacklevel=4
            )
        names = file_names(project.tomograms)
        with together():
            for name, t in project.tomograms.items():
                for file, text in AretomoFiles.of(t).texts(names[name]).items():
                    write(os.path.join(folder, file), text.encode())
        return os.fspath(folder)

    def geometric_hand(self, tomogram: Tomogram) -> str:
        """By -FlipVol."""
        from tomoset.formats.aretomo.write import AretomoFiles

        return (
            f"its programs make the same volume, if told -FlipVol {AretomoFiles.of(tomogram).flip}"
        )

    def place(self, folder: StrPath, name: str) -> str:
        """The ``.aln`` file."""
        return os.path.join(folder, f"{name}.aln")

    def losses(self, project: Project) -> dict[str, Loss]:
        """What a global alignment about one axis cannot say."""
        from tomoset.formats.aretomo.write import AretomoFiles

        lost = {}
        for name, t in project.tomograms.items():
            texts = unsaid(project, t, self.package)
            pixels, defocus = np.zeros((2, t.n_tilts))
            fields: tuple[str, ...] = ()
            if t.placed().projections is not None and t.stack is not None:
                files, rows = AretomoFiles.of(t), shown(t)
                pixels[rows], defocus[rows] = files.pixels, files.defocus
                if files.first_dose > 1e-6:
                    fields = ("pre_exposure",)
                    texts.append(
                        f"has {files.first_dose:g} e/Å² before its first image, and _TLT.txt "
                        "counts from 0"
                    )
            if pixels.max() > 0.01:
                texts.append(
                    "has magnification, stretch, skew or tilts about x, and .aln files say ROT, "
                    f"TILT and shifts only: up to {pixels.max():.3g} px"
                )
            if t.deformation is not None:
                pixels = pixels + bend(t)
            if texts:
                lost[name] = Loss(texts=tuple(texts), pixels=pixels, defocus=defocus, fields=fields)
        return lost

    def told(self, project: Project) -> dict[str, Any]:
        """Optics, hand, dose, stack, size and flip, as the first tomogram has them."""
        from tomoset.formats.aretomo.write import AretomoFiles

        for t in project.tomograms.values():
            files = AretomoFiles.of(t)
            return told_optics(t.optics) | {
                "hand": files.hand,
                "fractional_dose": dose_of(t),
                "stack": t.stack,
                "size": files.size,
                "flip_volume": files.flip,
            }
        return {}


ARETOMO = Aretomo()
