"""A set made of another, one job a tomogram.

===========  =======================================================================================
``job``      what the job of one tomogram begins with: its task, its folder, what it is of
``new_set``  the jobs of all tomograms, and the set that names what they made
``linked``   particles and all else that refers to tomograms, carried along where these have moved
===========  =======================================================================================
"""

from tomoset.derived.job import (
    Task,
    file_sizes,
    half_stamps,
    identity,
    in_folder,
    set_path,
    use_threads,
)
from tomoset.derived.linked import (
    Carried,
    Followers,
    links_file,
    source_path,
    targets_beside,
)
from tomoset.derived.new_set import Derived, Recipe, as_project, derive, refuse_unknown

__all__ = [
    "Carried",
    "Derived",
    "Followers",
    "Recipe",
    "Task",
    "as_project",
    "derive",
    "file_sizes",
    "half_stamps",
    "identity",
    "in_folder",
    "links_file",
    "refuse_unknown",
    "set_path",
    "source_path",
    "targets_beside",
    "use_threads",
]
