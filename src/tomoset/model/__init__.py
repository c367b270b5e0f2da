"""The nouns: a `TomogramSet` of `Tomogram`, with its optics and its image deformation.

Plain data, checked once. Knows no file format.
"""

from tomoset.model.alignment import Alignment
from tomoset.model.deformation import Deformation
from tomoset.model.optics import Optics
from tomoset.model.source import Source
from tomoset.model.tomogram import Tomogram
from tomoset.model.tomogram_set import TomogramSet

__all__ = ["Alignment", "Deformation", "Optics", "Source", "Tomogram", "TomogramSet"]
