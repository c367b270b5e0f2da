"""The sets that belong together: read by the links, transformed, edited, converted, verified.

RELION ties them with an optimisation set, and by tomogram name (docs/relion.md,
'Sets that refer to tomograms').
"""

from tomoset.model import Project
from tomoset.project._edited import Edited, edit_files, merge_files, split_files
from tomoset.project._read import (
    fiducials_file,
    fiducials_of,
    open_project,
    open_readable,
    open_tomograms,
    read_all,
    with_fiducials,
    with_linked,
)
from tomoset.project._write import has_links, write_at
from tomoset.project.plausible import refuse_unknown, warn_of_unusual

__all__ = [
    "Edited",
    "Project",
    "edit_files",
    "fiducials_file",
    "fiducials_of",
    "has_links",
    "merge_files",
    "open_project",
    "open_readable",
    "open_tomograms",
    "read_all",
    "refuse_unknown",
    "split_files",
    "warn_of_unusual",
    "with_fiducials",
    "with_linked",
    "write_at",
]
