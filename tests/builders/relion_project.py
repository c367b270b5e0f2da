"""A small project in RELION 4, with all of its sets."""

from __future__ import annotations

from pathlib import Path

import tomoset
from tests.builders.tomograms import rigid_tomogram


def small_project(folder: Path) -> None:
    """A RELION-4 project: set, particles, motion, manifolds, fiducials, optimisation set."""
    t = rigid_tomogram(fiducials="fid.star")
    tomoset.TomogramSet([t]).write(folder / "tomograms.star", "relion4")
    (folder / "fid.star").write_text(
        "data_\n\nloop_\n_rlnOriginXAngst\n_rlnOriginYAngst\n_rlnOriginZAngst\n22.0 42.0 18.0\n"
    )
    (folder / "particles.star").write_text(
        "data_optics\n\nloop_\n_rlnOpticsGroup\n_rlnOpticsGroupName\n_rlnTomoTiltSeriesPixelSize\n"
        "_rlnVoltage\n_rlnSphericalAberration\n_rlnAmplitudeContrast\n1 opticsGroup1 2.0 300 2.7 0.1\n\n"
        "data_particles\n\nloop_\n_rlnTomoName\n_rlnTomoParticleName\n_rlnOpticsGroup\n"
        "_rlnCoordinateX\n_rlnCoordinateY\n_rlnCoordinateZ\n_rlnOriginXAngst\n_rlnOriginYAngst\n"
        "_rlnOriginZAngst\n_rlnTomoSubtomogramRot\n_rlnTomoSubtomogramTilt\n_rlnTomoSubtomogramPsi\n"
        "TS_01 TS_01/1 1 10.5 20.25 8 1.5 -2 0.5 30 40 50\n"
        "TS_01 TS_01/2 1 40 30 12 0 0 0 0 0 0\n"
    )
    rows = "\n".join(f"{i}.0 0 0" for i in range(5))
    head = "loop_\n_rlnOriginXAngst\n_rlnOriginYAngst\n_rlnOriginZAngst\n"
    (folder / "motion.star").write_text(
        "data_general\n\n_rlnParticleNumber 2\n\n"
        f"data_TS_01/1\n\n{head}{rows}\n\ndata_TS_01/2\n\n{head}{rows}\n"
    )
    (folder / "optimisation_set.star").write_text(
        "data_\n\n_rlnTomoParticlesFile particles.star\n_rlnTomoTomogramsFile tomograms.star\n"
        "_rlnTomoTrajectoriesFile motion.star\n_rlnTomoReferenceMap1File ref1.mrc\n"
    )
