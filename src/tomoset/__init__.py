"""Tilt series of cryo-electron tomography: how each maps space onto its images, and what follows.

>>> import tomoset
>>> s = tomoset.read("tomograms.star")                                   # name -> tomogram
>>> s["TS_01"].project([[100, 200, 50]]).shape                           # x, y in every image
(9, 1, 2)
>>> tomoset.align_fiducials(s, "Aligned", radius=50.0)                   # doctest: +SKIP
>>> tomoset.reconstruct(s, "Tomograms", binning=4, quiet=True).path
'Tomograms/tomograms.star'

What works on a set takes its options by name, and says all of them in its help; what it made is in
the folder that is named, with a set that refers to it.

==========================  =====================================================================
to read                     `read`, `open_project`, `read_particles`; `FORMATS`
to judge and to convert     `check`, `import_series`, `convert`
gold beads                  `find_fiducials`, `align_fiducials`, `erase_fiducials`
particles                   `align_particles`, `refine_ctf`
from images                 `align_images`, `estimate_ctf`, `find_hand`, `reconstruct`
to try                      `simulate_project`, and all of `tomoset.simulate`
what is read and written    `Project`, `TomogramSet`, `Tomogram`, `ParticleSet` and their parts
formulas and text           `geometry`, `star`
==========================  =====================================================================

Voxels and pixels are counted from 0; Å, degrees, e/Å², kV. Errors are `TomosetError`, what was
assumed or lost is a `TomosetWarning`; all kinds are in `errors`.
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tomoset import errors as errors
    from tomoset import geometry as geometry
    from tomoset import star as star
    from tomoset.check import check as check
    from tomoset.errors import AssumptionWarning as AssumptionWarning
    from tomoset.errors import FileFormatError as FileFormatError
    from tomoset.errors import LossyWarning as LossyWarning
    from tomoset.errors import MissingFileError as MissingFileError
    from tomoset.errors import ModelError as ModelError
    from tomoset.errors import TomosetError as TomosetError
    from tomoset.errors import TomosetWarning as TomosetWarning
    from tomoset.errors import UnsupportedError as UnsupportedError
    from tomoset.formats import FORMATS as FORMATS
    from tomoset.formats import ParticleSet as ParticleSet
    from tomoset.formats import Project as Project
    from tomoset.formats import TomogramSet as TomogramSet
    from tomoset.formats import read as read
    from tomoset.formats import read_particles as read_particles
    from tomoset.model import Deformation as Deformation
    from tomoset.model import Fiducials as Fiducials
    from tomoset.model import ManifoldSet as ManifoldSet
    from tomoset.model import Observations as Observations
    from tomoset.model import Optics as Optics
    from tomoset.model import Tomogram as Tomogram
    from tomoset.model import TrajectorySet as TrajectorySet
    from tomoset.programs.align_fiducials import align_fiducials as align_fiducials
    from tomoset.programs.align_images import align_images as align_images
    from tomoset.programs.align_particles import align_particles as align_particles
    from tomoset.programs.erase_fiducials import erase_fiducials as erase_fiducials
    from tomoset.programs.estimate_ctf import estimate_ctf as estimate_ctf
    from tomoset.programs.find_fiducials import find_fiducials as find_fiducials
    from tomoset.programs.find_hand import find_hand as find_hand
    from tomoset.programs.reconstruct import reconstruct as reconstruct
    from tomoset.programs.refine_ctf import refine_ctf as refine_ctf
    from tomoset.project import open_project as open_project
    from tomoset.project.convert import convert as convert
    from tomoset.project.importing import import_series as import_series
    from tomoset.run import Resources as Resources
    from tomoset.simulate.write import simulate_project as simulate_project

__version__ = "0.1.0.dev0"

#: Where each public name lives. Imported when first used: the command line starts without NumPy.
_HOME = {
    "align_fiducials": "tomoset.programs.align_fiducials",
    "align_images": "tomoset.programs.align_images",
    "align_particles": "tomoset.programs.align_particles",
    "AssumptionWarning": "tomoset.errors",
    "check": "tomoset.check",
    "convert": "tomoset.project.convert",
    "Deformation": "tomoset.model",
    "erase_fiducials": "tomoset.programs.erase_fiducials",
    "errors": "tomoset",
    "Fiducials": "tomoset.model",
    "estimate_ctf": "tomoset.programs.estimate_ctf",
    "FileFormatError": "tomoset.errors",
    "find_fiducials": "tomoset.programs.find_fiducials",
    "find_hand": "tomoset.programs.find_hand",
    "FORMATS": "tomoset.formats",
    "geometry": "tomoset",
    "import_series": "tomoset.project.importing",
    "LossyWarning": "tomoset.errors",
    "ManifoldSet": "tomoset.model",
    "MissingFileError": "tomoset.errors",
    "ModelError": "tomoset.errors",
    "Observations": "tomoset.model",
    "open_project": "tomoset.project",
    "Optics": "tomoset.model",
    "ParticleSet": "tomoset.formats",
    "Project": "tomoset.formats",
    "read": "tomoset.formats",
    "read_particles": "tomoset.formats",
    "reconstruct": "tomoset.programs.reconstruct",
    "refine_ctf": "tomoset.programs.refine_ctf",
    "Resources": "tomoset.run",
    "simulate_project": "tomoset.simulate.write",
    "star": "tomoset",
    "Tomogram": "tomoset.model",
    "TomogramSet": "tomoset.formats",
    "TomosetError": "tomoset.errors",
    "TomosetWarning": "tomoset.errors",
    "TrajectorySet": "tomoset.model",
    "UnsupportedError": "tomoset.errors",
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


class _Door(ModuleType):
    """This module, whose functions stay what they are when a folder of their name is imported."""

    def __setattr__(self, name: str, value: object) -> None:
        if not isinstance(value, ModuleType) or _HOME.get(name, "tomoset") == "tomoset":
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Door
