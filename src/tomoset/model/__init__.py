"""The nouns: a `TomogramSet` of `Tomogram`, with its optics and its image deformation.

Plain data, checked once. Knows no file format.
"""

from tomoset.model.deformation import Deformation
from tomoset.model.source import Source
from tomoset.model.tomogram import Optics, Tomogram
from tomoset.model.tomogram_set import TomogramSet

__all__ = ["Deformation", "Optics", "Source", "Tomogram", "TomogramSet"]
