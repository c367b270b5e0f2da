"""EMAN2 as a format: what its info files say of tilt series."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

from tomoset.formats._eman2_particles import Eman2Particles
from tomoset.formats._importing import Imported, dose_of, told_optics, unsaid
from tomoset.formats._json_format import JsonFormat, Source
from tomoset.formats._words import StrPath
from tomoset.model import Project, Tomogram

_ORIENTED = "has particles: files of EMAN2 say where they are, not how they are turned"


class Eman2(JsonFormat, Eman2Particles):
    """Tilt series of EMAN2."""

    name = "eman2"
    package = "EMAN2"
    url = "https://eman2.org"
    reads = "`info/NAME_info.json`: alignment, defocus, boxes"
    writes = "`info/NAME_info.json`"
    abilities = frozenset({"excluded views", "parts of stacks"})
    labels: Mapping[str, str] = {
        "pixel_size": "apix_unbin",
        "stack": "tlt_file",
        "projections": "tlt_params",
    }
    keys = ("tlt_params", "apix_unbin", "boxes_3d")
    pattern = "*_info.json"
    needs: Mapping[str, tuple[str, ...]] = {
        "": ("stack", "projections", "size", "image_size", "pixel_size")
    }
    about = """Import tilt series of EMAN2, from info files or a project's folder.

    \b
        tomoset import eman2 info/TS_01_info.json -o tomograms.star --size 4096,4096,1500
        tomoset import eman2 . -o tomograms.star --size 4096,4096,1500 --stack stacks

    The size is that of the tomogram, in pixels of the raw images: files do not say it. EMAN2's
    .hdf stacks are not read: give MRC stacks (e2proc2d.py TS_01.hdf TS_01.mrc) by --stack.
    Images whose ali_loss is above 500 are left out, as EMAN2 does.
    """

    def series(self, source: Source) -> Iterable[Imported]:
        """The tilt series of an info file."""
        from tomoset.formats.eman2.importer import import_series

        return [import_series(source)]

    def files_of(self, tomogram: Tomogram, project: Project) -> Any:
        """The info file of a tomogram."""
        from tomoset.formats.eman2.write import Eman2File

        return Eman2File.of(tomogram, project.particles)

    def contents(self, files: Any, name: str, folder: str) -> dict[str, object]:
        """The info file, where EMAN2 looks for it."""
        return {os.path.join("info", f"{name}_info.json"): files.content(folder)}

    def place(self, folder: StrPath, name: str) -> str:
        """The info file."""
        return os.path.join(folder, "info", f"{name}_info.json")

    def unsaid(self, t: Tomogram, project: Project) -> list[str]:
        """What is lost, and a hand that EMAN2 does not take."""
        texts = unsaid(project, t, self.package, said=("particles",))
        if project.particles is not None and len(project.particles.in_tomogram(t.name)):
            texts.append(_ORIENTED)
        if t.placed().projections is not None and t.stack is not None:
            hand = self.files_of(t, project).hand
            if hand > 0 and t.defocus_u is not None:
                texts.append(
                    "has hand 1 as EMAN2 counts depth, and EMAN2 always takes -1, that defocus is "
                    "less where depth is more: no file of it says a hand (read it by tomoset "
                    "import eman2 --hand 1)"
                )
        return texts

    def told(self, project: Project) -> dict[str, Any]:
        """Optics, hand, dose and stack, as the first tomogram has them."""
        for t in project.tomograms.values():
            return told_optics(t.optics) | {
                "hand": self.files_of(t, Project(tomograms=project.tomograms)).hand,
                "fractional_dose": dose_of(t),
                "stack": t.stack,
            }
        return {}


EMAN2 = Eman2()
