"""IMOD's alignments: etomo folders in, tomograms out.

https://bio3d.colorado.edu/imod/doc/man/tilt.html and newstack.html.
"""

from tomoset.formats.imod.folder import Choices, find_series
from tomoset.formats.imod.importer import import_series
from tomoset.formats.imod.series import (
    Failure,
    ImportOptions,
    Series,
    culled_path,
    read_import_table,
)

__all__ = [
    "Choices",
    "Failure",
    "ImportOptions",
    "Series",
    "culled_path",
    "find_series",
    "import_series",
    "read_import_table",
]
