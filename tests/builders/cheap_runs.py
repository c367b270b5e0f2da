"""Programs run on a tiny project, as cheap as they can be."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from unittest import mock

from tests.builders.image_fits import moved
from tomoset.align.images.result import ImageOptions
from tomoset.align.particles import ParticleOptions
from tomoset.fiducials.align_options import AlignOptions as ByBeads
from tomoset.fiducials.options import FindOptions
from tomoset.model import Project
from tomoset.particles import CorrelationOptions, ExtractionOptions
from tomoset.particles.align.options import AlignOptions as ByParticles
from tomoset.particles.ctf.fit import CtfFitOptions
from tomoset.programs._particles import ReferenceFiles
from tomoset.programs._program import Done
from tomoset.programs.align_fiducials import align_fiducials
from tomoset.programs.align_images import align_images
from tomoset.programs.align_particles import align_particles
from tomoset.programs.erase_fiducials import erase_fiducials
from tomoset.programs.find_fiducials import FindFiducialsOptions, find_fiducials
from tomoset.programs.find_geometric_hand import GeometricOptions, find_geometric_hand
from tomoset.programs.find_hand import FindHandOptions, find_hand
from tomoset.programs.reconstruct import reconstruct
from tomoset.programs.refine_ctf import RefineCtfOptions, refine_ctf
from tomoset.reconstruct import Options
from tomoset.run import Resources

QUIET = Resources(quiet=True)
BOX, RADIUS = 32, 60.0


def run(program: str, project: Project, folder: str) -> Done[Any]:
    """The program, as cheap as it can be."""
    find = FindOptions(radius=RADIUS)
    fit = ParticleOptions(cross_validation=False, iterations=2)
    files = ReferenceFiles(half1="half1.mrc")
    programs: dict[str, Callable[[], Done[Any]]] = {
        "find-fiducials": lambda: find_fiducials(
            project, folder, FindFiducialsOptions(radius=RADIUS), resources=QUIET
        ),
        "align fiducials": lambda: align_fiducials(
            project, folder, ByBeads(find=find, radius_given=True), resources=QUIET
        ),
        "align images": lambda: align_images(project, folder, ImageOptions(), resources=QUIET),
        "erase-fiducials": lambda: erase_fiducials(project, folder, resources=QUIET),
        "align particles": lambda: align_particles(
            project,
            folder,
            ByParticles(correlation=CorrelationOptions(box=BOX, range=5), fit=fit),
            resources=QUIET,
        ),
        "refine-ctf": lambda: refine_ctf(
            project,
            folder,
            RefineCtfOptions(statistics=ExtractionOptions(box=BOX), fit=CtfFitOptions(step=1000)),
            resources=QUIET,
        ),
        "hand": lambda: find_hand(project, folder, FindHandOptions(apply=True), resources=QUIET),
        "hand --geometric": lambda: find_geometric_hand(
            project, folder, GeometricOptions(box=BOX), reference=files, resources=QUIET
        ),
        "reconstruct": lambda: reconstruct(project, folder, Options(), resources=QUIET),
    }
    # So few and small images support no alignment: what becomes of one is seen all the same.
    with mock.patch("tomoset.programs.align_images.align", moved):
        return programs[program]()
