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

from tomoset.formats._relion_sets._write_particles import particles_to_star
from tomoset.formats._relion_sets.fiducials import (
    fiducials_to_star,
    read_fiducials,
    write_fiducials,
)
from tomoset.formats._relion_sets.manifolds import manifolds_to_star, read_manifolds
from tomoset.formats._relion_sets.optimisation import (
    OptimisationSet,
    is_optimisation_set,
    optimisation_set_to_star,
    read_optimisation_set,
)
from tomoset.formats._relion_sets.particles import particles_from_star, read_particles
from tomoset.formats._relion_sets.trajectories import read_trajectories, trajectories_to_star

__all__ = [
    "OptimisationSet",
    "fiducials_to_star",
    "is_optimisation_set",
    "manifolds_to_star",
    "optimisation_set_to_star",
    "particles_from_star",
    "particles_to_star",
    "read_fiducials",
    "read_manifolds",
    "read_optimisation_set",
    "read_particles",
    "read_trajectories",
    "trajectories_to_star",
    "write_fiducials",
]
