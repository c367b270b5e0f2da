"""Tomograms from tilt series: weighted back-projection, Wiener filter, SIRT."""

from tomoset.reconstruct.options import Options
from tomoset.reconstruct.plan import Plan, resized
from tomoset.reconstruct.transforms import Transforms
from tomoset.reconstruct.volumes import write_volume

__all__ = ["Options", "Plan", "Transforms", "resized", "write_volume"]
