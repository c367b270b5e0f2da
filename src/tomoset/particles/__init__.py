"""Particles in tilt images: what a reference predicts of them, and where the images see them.

==============  =================================================================
``maps``        density maps from files
``fsc``         what shells of a half map are worth
``slices``      projections of a map, by its transform
``reference``   two half maps, their mask and their curve
``columns``     what particles must say: halves, angles, optics
``aberrations`` those of optics groups, beyond defocus and astigmatism
``predict``     projections times CTF, dose and weights
``whiten``      tilt images with white noise
``evidence``    correlations of the two about the expected places
``task``        what jobs about them know, and what is refused first
``align``       tilt series aligned by them
``ctf``         defocus and scale refined by them
``geometric``   the geometric hand: a map or its mirror image
==============  =================================================================
"""

from tomoset.particles.evidence import (
    EvidenceOptions,
    TiltImages,
    correlate,
    expected_places,
    visible_in,
)
from tomoset.particles.fsc import Fsc, correlation, read_fsc
from tomoset.particles.predict import Predictor, Weighting
from tomoset.particles.reference import Reference
from tomoset.particles.whiten import Whitener

__all__ = [
    "EvidenceOptions",
    "Fsc",
    "Predictor",
    "Reference",
    "TiltImages",
    "Weighting",
    "Whitener",
    "correlate",
    "correlation",
    "expected_places",
    "read_fsc",
    "visible_in",
]
