"""The sets that belong together: read by following the links, written as one.

RELION ties them with an optimisation set, and by tomogram name (specification 7).
"""

from tomoset.project._project import Project, dialect_of
from tomoset.project._read import fiducials_of, open_project, open_tomograms, read_linked
from tomoset.project._write import linked_texts, write_project

__all__ = [
    "Project",
    "dialect_of",
    "fiducials_of",
    "linked_texts",
    "open_project",
    "open_tomograms",
    "read_linked",
    "write_project",
]
