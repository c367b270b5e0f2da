"""The nouns: a `TomogramSet` of `Tomogram`, and the sets that refer to it by tomogram name.

Plain data, checked once. Knows no file format.
"""

from tomoset.model._tomogram_fields import Exclusion
from tomoset.model.alignment import Alignment
from tomoset.model.deformation import Deformation
from tomoset.model.fiducials import Fiducials
from tomoset.model.ice import Ice
from tomoset.model.manifolds import Manifold, ManifoldSet
from tomoset.model.observations import Observations
from tomoset.model.optics import Optics
from tomoset.model.particles import ParticleSet, VisibleTilts
from tomoset.model.project import Project
from tomoset.model.reconstruction import Reconstruction
from tomoset.model.source import Source
from tomoset.model.tomogram import Tomogram
from tomoset.model.tomogram_set import TomogramSet
from tomoset.model.trajectories import TrajectorySet

__all__ = [
    "Alignment",
    "Deformation",
    "Exclusion",
    "Fiducials",
    "Ice",
    "Manifold",
    "ManifoldSet",
    "Observations",
    "Optics",
    "ParticleSet",
    "Project",
    "Reconstruction",
    "Source",
    "Tomogram",
    "TomogramSet",
    "TrajectorySet",
    "VisibleTilts",
]
