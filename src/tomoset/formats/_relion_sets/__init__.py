"""The sets that refer to a RELION tomogram set by name, in the dialects of RELION 4 and 5.

docs/relion.md, 'Sets that refer to tomograms'. The two dialects differ in the particles'
coordinates and in the fiducials only; the rest is the same text in both.

=================  ============================================================
``particles``      ``particles.star``: data_optics, data_particles, data_general, read
``_write_particles``  the same, written
``_columns``       their columns, and centred Å <-> voxels
``_optics``        their optics groups
``_visible``       which tilt images show them
``_links``         who refers to which tomogram
``manifolds``      ``manifolds.star``: a table a tomogram
``trajectories``   ``motion.star``: a table a particle
``fiducials``      ``fiducials_NAME.star``
``optimisation``   ``optimisation_set.star``: which files belong together
=================  ============================================================
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tomoset.formats._relion_sets._write_particles import particles_to_star as particles_to_star
    from tomoset.formats._relion_sets.fiducials import fiducials_to_star as fiducials_to_star
    from tomoset.formats._relion_sets.fiducials import read_fiducials as read_fiducials
    from tomoset.formats._relion_sets.fiducials import write_fiducials as write_fiducials
    from tomoset.formats._relion_sets.manifolds import manifolds_to_star as manifolds_to_star
    from tomoset.formats._relion_sets.manifolds import read_manifolds as read_manifolds
    from tomoset.formats._relion_sets.optimisation import OptimisationSet as OptimisationSet
    from tomoset.formats._relion_sets.optimisation import is_optimisation_set as is_optimisation_set
    from tomoset.formats._relion_sets.optimisation import (
        optimisation_set_to_star as optimisation_set_to_star,
    )
    from tomoset.formats._relion_sets.optimisation import (
        read_optimisation_set as read_optimisation_set,
    )
    from tomoset.formats._relion_sets.optimisation import (
        warn_of_unknown_labels as warn_of_unknown_labels,
    )
    from tomoset.formats._relion_sets.particles import particles_from_star as particles_from_star
    from tomoset.formats._relion_sets.particles import read_particles as read_particles
    from tomoset.formats._relion_sets.trajectories import read_trajectories as read_trajectories
    from tomoset.formats._relion_sets.trajectories import (
        trajectories_to_star as trajectories_to_star,
    )

#: Where each name lives. Loaded when first used: a set of tomograms alone needs none of them.
_HOME = {
    "OptimisationSet": "optimisation",
    "fiducials_to_star": "fiducials",
    "is_optimisation_set": "optimisation",
    "manifolds_to_star": "manifolds",
    "optimisation_set_to_star": "optimisation",
    "particles_from_star": "particles",
    "particles_to_star": "_write_particles",
    "read_fiducials": "fiducials",
    "read_manifolds": "manifolds",
    "read_optimisation_set": "optimisation",
    "read_particles": "particles",
    "read_trajectories": "trajectories",
    "trajectories_to_star": "trajectories",
    "warn_of_unknown_labels": "optimisation",
    "write_fiducials": "fiducials",
}

__all__ = list(_HOME)


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
