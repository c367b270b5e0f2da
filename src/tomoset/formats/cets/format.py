"""CETS as a format: rigid alignments in documents of the cryoET standard."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

from tomoset.formats._importing import Imported, told_optics
from tomoset.formats._json_format import JSON_OPTIONS, JsonFormat, Source
from tomoset.formats._words import Option, StrPath
from tomoset.model import Project, Tomogram

_ENDING = ".cets.json"


class Cets(JsonFormat):
    """Documents of CETS, in the profile cets-rigid."""

    name = "cets"
    package = "CETS"
    url = "https://github.com/TomoBabel/cets-data-models"
    reads = "documents `.json` in the profile `cets-rigid`"
    writes = "`.cets.json`, one for each tilt series"
    abilities = frozenset({"excluded views", "parts of stacks"})
    labels: Mapping[str, str] = {
        "pre_exposure": "accumulated_dose",
        "nominal_tilts": "nominal_tilt_angle",
        "hand": "defocus_handedness",
    }
    options = (
        *JSON_OPTIONS,
        Option(
            "alignment",
            "--alignment",
            "Which of several alignments of a tilt series, from 1.",
            metavar="N",
        ),
        Option(
            "tomogram",
            "--tomogram",
            "Which of several tomograms the alignment refers to, by its id.",
            kind="text",
            metavar="ID",
        ),
    )
    keys = ("regions",)
    pattern = f"*{_ENDING}"
    about = """Import tilt series of CETS documents, in the profile cets-rigid.

    \b
        tomoset import cets dataset.cets.json -o tomograms.star
        tomoset import cets dataset.cets.json -o tomograms.star --stack stacks --alignment 2

    Each tilt series is called like its id. Images without an alignment are left out. Voltage,
    spherical aberration and amplitude contrast are no part of such documents.
    """

    def series(self, source: Source) -> Iterable[Imported]:
        """The tilt series of a document."""
        from tomoset.formats.cets.importer import import_document

        return import_document(source)

    def files_of(self, tomogram: Tomogram, project: Project) -> Any:
        """The document of a tomogram."""
        from tomoset.formats.cets.write import CetsFile

        del project
        return CetsFile.of(tomogram)

    def contents(self, files: Any, name: str, folder: str) -> dict[str, object]:
        """The document."""
        return {f"{name}{_ENDING}": files.content(folder)}

    def place(self, folder: StrPath, name: str) -> str:
        """The document."""
        return os.path.join(folder, f"{name}{_ENDING}")

    def told(self, project: Project) -> dict[str, Any]:
        """Optics, as the first tomogram has them."""
        return next((told_optics(t.optics) for t in project.tomograms.values()), {})


CETS = Cets()
