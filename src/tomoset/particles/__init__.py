"""Particles in tilt images: what a reference predicts of them, and where the images see them.

================  ===============================================================
``maps``          density maps from files
``fsc``           what shells of a half map are worth
``slices``        projections of a map, by its transform
``reference``     two half maps, their mask and their curve
``columns``       what particles must say: halves, angles, optics
``aberrations``   those of optics groups, beyond defocus and astigmatism
``predict``       projections times CTF, dose and weights
``whiten``        tilt images with white noise
``extract``       where particles are imaged, boxes cut out there
``correlations``  of the two, about where particles are expected
``align``         tilt series aligned by them
``ctf``           defocus and scale refined by them
``geometric``     the geometric hand: a map or its mirror image
================  ===============================================================
"""

from tomoset.images.boxes import ParticleImages, TiltImages
from tomoset.particles.correlations import CorrelationOptions, correlate
from tomoset.particles.extract import ExtractionOptions, extract, projected_positions, visible_in
from tomoset.particles.fsc import Fsc, correlation, read_fsc
from tomoset.particles.predict import Predictor, Weighting
from tomoset.particles.reference import Reference
from tomoset.particles.whiten import Whitener

__all__ = [
    "CorrelationOptions",
    "ExtractionOptions",
    "Fsc",
    "ParticleImages",
    "Predictor",
    "Reference",
    "TiltImages",
    "Weighting",
    "Whitener",
    "correlate",
    "correlation",
    "extract",
    "projected_positions",
    "read_fsc",
    "visible_in",
]
