"""The CryoET Data Portal as a format: metadata of alignments and tilt series."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

from tomoset.formats._importing import Imported, dose_of
from tomoset.formats._json_format import JsonFormat, Source
from tomoset.formats._words import StrPath
from tomoset.model import Project, Tomogram


class Portal(JsonFormat):
    """Alignments of the CryoET Data Portal."""

    name = "portal"
    package = "CryoET Data Portal"
    url = "https://chanzuckerberg.github.io/cryoet-data-portal"
    reads = "`alignment_metadata.json`, with `tiltseries_metadata.json` and `frames_metadata.json`"
    writes = "the same, in a folder for each run"
    abilities = frozenset({"magnification", "stretch", "skew", "excluded views", "parts of stacks"})
    labels: Mapping[str, str] = {"size": "volume_dimension", "stack": "mrc_file"}
    keys = ("per_section_alignment_parameters", "affine_transformation_matrix")
    pattern = "alignment_metadata.json"
    about = """Import tilt series of the CryoET Data Portal, from alignment_metadata.json files.

    \b
        tomoset import portal 10301/*/Alignments/100 -o tomograms.star
        tomoset import portal RUN1/Alignments/100/alignment_metadata.json -o tomograms.star \\
            --stack RUN1.mrc

    Each series is called like its run. Metadata of its tilt series and frames are found in the
    run's folder. Sections without parameters are left out.
    """

    def series(self, source: Source) -> Iterable[Imported]:
        """The tilt series of an alignment."""
        from tomoset.formats.portal.importer import import_series

        return [import_series(source)]

    def files_of(self, tomogram: Tomogram, project: Project) -> Any:
        """The metadata of a tomogram."""
        from tomoset.formats.portal.write import PortalFiles

        del project
        return PortalFiles.of(tomogram)

    def contents(self, files: Any, name: str, folder: str) -> dict[str, object]:
        """Metadata of alignment, tilt series and frames."""
        found: dict[str, object] = files.contents(name, folder)
        return found

    def place(self, folder: StrPath, name: str) -> str:
        """The metadata of the alignment."""
        return os.path.join(folder, name, "Alignments", "100", "alignment_metadata.json")

    def unsaid(self, t: Tomogram, project: Project) -> list[str]:
        """What is lost, and a hand that is to be told."""
        texts = super().unsaid(t, project)
        if t.placed().projections is not None and t.stack is not None:
            hand = self.files_of(t, project).hand
            if hand > 0 and t.defocus_u is not None:
                texts.append(
                    f"is to be read by tomoset import portal --hand {hand}: the portal's files say "
                    "no hand"
                )
        return texts

    def geometric_hand(self, tomogram: Tomogram) -> str:
        """Not said there."""
        del tomogram
        return "no file says how volumes lie"

    def told(self, project: Project) -> dict[str, Any]:
        """What files do not say of optics, the hand and the dose, as the first tomogram has it."""
        for t in project.tomograms.values():
            return {
                "hand": self.files_of(t, project).hand,
                "amplitude_contrast": t.optics.amplitude_contrast,
                "optics_group": t.optics.group,
                "fractional_dose": dose_of(t),
            }
        return {}


PORTAL = Portal()
