"""Changes of whole projects: tomograms and all sets that refer to them, in any dialect.

Each is a function of a `Project`, all of it read (`open_project`), that gives another `Project`;
nothing is written.
"""

from tomoset.project.edit._tilts import Tilts
from tomoset.project.edit.box import crop, pad
from tomoset.project.edit.conditions import Condition
from tomoset.project.edit.exclude import exclude, include, without_tilts
from tomoset.project.edit.merge import merge
from tomoset.project.edit.rebase import rebase
from tomoset.project.edit.rebin import rebin
from tomoset.project.edit.rename import rename
from tomoset.project.edit.select import select
from tomoset.project.edit.split import split

__all__ = [
    "Condition",
    "Tilts",
    "crop",
    "exclude",
    "include",
    "merge",
    "pad",
    "rebase",
    "rebin",
    "rename",
    "select",
    "split",
    "without_tilts",
]
