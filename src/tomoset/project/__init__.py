"""The sets that belong together: read by following the links, written as one.

RELION ties them with an optimisation set, and by tomogram name (specification 7).
"""

from tomoset.model.project import Project
from tomoset.project._read import fiducials_of, open_project, open_tomograms, read_linked
from tomoset.project._write import linked_texts, write_project

__all__ = [
    "Project",
    "fiducials_of",
    "linked_texts",
    "open_project",
    "open_tomograms",
    "read_linked",
    "write_project",
]
