"""What the jobs of all commands about beads need to know of a tomogram."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from tomoset import derived
from tomoset.derived import set_path
from tomoset.formats import working_format
from tomoset.formats._files import file_names
from tomoset.model import Project


@dataclass(frozen=True, kw_only=True, eq=False)
class BeadTask(derived.Task):
    """A tomogram, and where files about its beads go.

    Parameters
    ----------
    folder : str
        Where files go.
    file_name : str
        The tomogram's name, as files can have it.
    format : str
        Of the set that is written, and of its fiducials: from where they are counted.
    """

    folder: str
    file_name: str
    format: str

    def target(self, pattern: str) -> str:
        """Path of a file in the folder, its name made of the tomogram's."""
        return os.path.join(self.folder, pattern.replace("{name}", self.file_name))


def common_fields(project: Project, folder: str | os.PathLike[str]) -> dict[str, dict[str, Any]]:
    """What the task of each tomogram of a project begins with, by the tomogram's name."""
    tomograms = project.tomograms
    files = file_names(tomograms)
    return {
        name: {
            "tomogram": tomogram,
            "set_path": set_path(tomograms),
            "root": os.getcwd(),
            "folder": os.fspath(folder),
            "file_name": files[name],
            "format": working_format(tomograms).name,
        }
        for name, tomogram in tomograms.items()
    }
