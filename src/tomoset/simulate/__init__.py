"""Tilt series with known truth: arrays and numbers, and projects written of them.

The geometry here is written out point by point and owes nothing to `tomoset.geometry`, and the
transfer function nothing to `tomoset.images`, so that the one is a test of the other. Coordinates
of the specimen are x, depth and y from the tilt axis, in pixels, as IMOD has them; those of the
tomogram are 0-based voxels in the frame that RELION gives to a volume turned about x, where z
runs against depth.

==================  ==============================================================
``specimen``        a slab of uneven ice, and what lies in it
``molecules``       clouds of points, made here or from a density map
``vesicles``        spherical bilayers
``lamella``         what a lamella has besides: ``crowd``, ``membranes``, ``surfaces``
``acquisition``     the tilt scheme, and the truth of each image
``camera``          what is fixed in the camera
``handling``        what stage and focus do besides
``misalignment``    errors that the written alignment is to have
``distortion``      deformed images and moving molecules
``doming``          a specimen that domes, and settles
``projection``      where an image shows a point, and how deep it lies
``transfer``        the transfer function at every depth; radiation
``clouds``          the specimen's matter, besides the ice
``field``           the transform of a cloud of points
``ice``             the ice along the beam
``imaging``         all of it together, with noise
``signal``          what there is to be seen, and how well shifts can be known at best
``density``         the specimen as a volume
``truth``           all that is true, as text and as sets
``picks``           what a user has of molecules: picks, half maps, a mask
``options``         what is wanted of a project, and ``preset``, the options of a lamella
``write``           a project: the truth, and what one has instead, in any format
==================  ==============================================================
"""

from tomoset.simulate.acquisition import Acquisition, Views, dose_symmetric
from tomoset.simulate.camera import Camera
from tomoset.simulate.density import density, molecule_map
from tomoset.simulate.distortion import random_brownian, random_deformation, random_motion
from tomoset.simulate.doming import Doming
from tomoset.simulate.handling import Handling, handled
from tomoset.simulate.imaging import (
    FULL_COUNTS,
    ICE_PATH,
    SimulatedSeries,
    molecule_voxels,
    moving,
    simulate,
    transmitted,
)
from tomoset.simulate.lamella import Lamella, LamellaContents
from tomoset.simulate.misalignment import AlignmentErrors, misaligned
from tomoset.simulate.molecules import Molecule, Molecules
from tomoset.simulate.projection import matrices, project
from tomoset.simulate.signal import Seen, seen
from tomoset.simulate.specimen import Contents, Specimen
from tomoset.simulate.vesicles import Vesicles

__all__ = [
    "FULL_COUNTS",
    "ICE_PATH",
    "Acquisition",
    "AlignmentErrors",
    "Camera",
    "Contents",
    "Doming",
    "Handling",
    "Lamella",
    "LamellaContents",
    "Molecule",
    "Molecules",
    "Seen",
    "SimulatedSeries",
    "Specimen",
    "Vesicles",
    "Views",
    "density",
    "dose_symmetric",
    "handled",
    "matrices",
    "misaligned",
    "molecule_map",
    "molecule_voxels",
    "moving",
    "project",
    "random_brownian",
    "random_deformation",
    "random_motion",
    "seen",
    "simulate",
    "transmitted",
]
