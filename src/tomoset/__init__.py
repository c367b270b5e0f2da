"""The tomogram set of a cryo-electron tomography project.

>>> import tomoset
>>> s = tomoset.read("tomograms.star")  # doctest: +SKIP
>>> t = s["TS_01"]  # doctest: +SKIP
>>> t.project([[100, 200, 50]])  # doctest: +SKIP
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tomoset import geometry as geometry
    from tomoset import star as star
    from tomoset.check import check as check
    from tomoset.errors import AmbiguityError as AmbiguityError
    from tomoset.errors import AssumptionWarning as AssumptionWarning
    from tomoset.errors import FileAccessError as FileAccessError
    from tomoset.errors import FileFormatError as FileFormatError
    from tomoset.errors import LossyWarning as LossyWarning
    from tomoset.errors import MissingFieldError as MissingFieldError
    from tomoset.errors import MissingFileError as MissingFileError
    from tomoset.errors import ModelError as ModelError
    from tomoset.errors import TomosetError as TomosetError
    from tomoset.errors import TomosetWarning as TomosetWarning
    from tomoset.errors import UnknownFormatError as UnknownFormatError
    from tomoset.errors import UnsupportedError as UnsupportedError
    from tomoset.formats import read as read
    from tomoset.formats import read_particles as read_particles
    from tomoset.model import Deformation as Deformation
    from tomoset.model import Fiducials as Fiducials
    from tomoset.model import ManifoldSet as ManifoldSet
    from tomoset.model import Optics as Optics
    from tomoset.model import ParticleSet as ParticleSet
    from tomoset.model import Project as Project
    from tomoset.model import Tomogram as Tomogram
    from tomoset.model import TomogramSet as TomogramSet
    from tomoset.model import TrajectorySet as TrajectorySet
    from tomoset.project import open_project as open_project
    from tomoset.project import open_tomograms as open_tomograms

__version__ = "0.1.0.dev0"

#: Where each public name lives. Imported when first used: the command line starts without NumPy.
_HOME = {
    "AmbiguityError": "tomoset.errors",
    "AssumptionWarning": "tomoset.errors",
    "Deformation": "tomoset.model",
    "FileAccessError": "tomoset.errors",
    "FileFormatError": "tomoset.errors",
    "LossyWarning": "tomoset.errors",
    "MissingFieldError": "tomoset.errors",
    "MissingFileError": "tomoset.errors",
    "ModelError": "tomoset.errors",
    "Optics": "tomoset.model",
    "Tomogram": "tomoset.model",
    "TomogramSet": "tomoset.formats",  # which enter their writers when loaded
    "TomosetError": "tomoset.errors",
    "TomosetWarning": "tomoset.errors",
    "UnknownFormatError": "tomoset.errors",
    "UnsupportedError": "tomoset.errors",
    "check": "tomoset.check",
    "geometry": "tomoset",
    "Fiducials": "tomoset.model",
    "ManifoldSet": "tomoset.model",
    "ParticleSet": "tomoset.formats",
    "Project": "tomoset.formats",
    "TrajectorySet": "tomoset.model",
    "open_project": "tomoset.project",
    "open_tomograms": "tomoset.project",
    "read": "tomoset.formats",
    "read_particles": "tomoset.formats",
    "star": "tomoset",
}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'tomoset' has no attribute {name!r}")
    home = _HOME[name]
    value = import_module(f"{home}.{name}") if home == "tomoset" else None
    if value is None:
        value = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
