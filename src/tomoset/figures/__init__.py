"""Figures of results, as `matplotlib.figure.Figure`, for people to change and to save.

>>> from tomoset import figures
>>> figure = figures.beads(tomogram, found.fiducials, images)  # doctest: +SKIP
>>> figure.axes[0].set_title("Fig. 1 a")  # doctest: +SKIP
>>> figure.savefig("beads.pdf")  # doctest: +SKIP
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tomoset.figures._beads import alignment_by_beads as alignment_by_beads
    from tomoset.figures._beads import alignment_kept as alignment_kept
    from tomoset.figures._beads import beads as beads
    from tomoset.figures._ctf import ctf as ctf
    from tomoset.figures._hand import hand as hand
    from tomoset.figures._hand import hand_of_set as hand_of_set
    from tomoset.figures._images import alignment_by_images as alignment_by_images
    from tomoset.figures._particles import alignment_by_particles as alignment_by_particles
    from tomoset.figures._particles import ctf_refinement as ctf_refinement
    from tomoset.figures._style import prepare as prepare
    from tomoset.figures._style import save as save
    from tomoset.figures._tilts import tilts as tilts
    from tomoset.figures._tomogram import sections as sections

#: Where each function lives: a program imports the methods of its own figures alone.
_HOME = {
    "alignment_by_beads": "_beads",
    "alignment_kept": "_beads",
    "beads": "_beads",
    "ctf": "_ctf",
    "hand": "_hand",
    "hand_of_set": "_hand",
    "alignment_by_images": "_images",
    "alignment_by_particles": "_particles",
    "ctf_refinement": "_particles",
    "prepare": "_style",
    "save": "_style",
    "sections": "_tomogram",
    "tilts": "_tilts",
}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'tomoset.figures' has no attribute {name!r}")
    return getattr(import_module(f"tomoset.figures.{_HOME[name]}"), name)
