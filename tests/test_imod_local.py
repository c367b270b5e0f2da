"""Local alignments and Z factors of IMOD: in as 2D deformations, out as local alignments."""

from __future__ import annotations

import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest

import tomoset
from tests.builders.bb_series import bb_folder, seen_beads
from tests.builders.measures import rms_length
from tomoset.formats import format_named


def read_bb(folder: Path) -> tuple[tomoset.Tomogram, list[str], str]:
    """The tomogram, the notes, and all that was warned of."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        reading = format_named("imod").read([folder], pixel_size=20.2)
    assert not reading.failures, reading.failures[0].error
    (tomogram,) = reading.project.tomograms.values()
    said = "\n".join(str(w.message) for w in caught if issubclass(w.category, tomoset.LossyWarning))
    return tomogram, list(reading.notes), said


def bead_error(t: tomoset.Tomogram, seen: np.ndarray) -> float:
    points = t.triangulate(seen)
    missed = seen - t.project(points)
    return rms_length(missed[(missed == missed).all(axis=-1)])


@pytest.mark.parametrize(
    ("axis", "without", "with_factors", "with_both"),
    [("a", 0.3695, 0.3580, 0.347), ("b", 0.3662, 0.3435, 0.329)],
)
def test_beads_fit_better_with_z_factors_and_local_alignments(
    shared: Path, tmp_path: Path, axis: str, without: float, with_factors: float, with_both: float
) -> None:
    """Each sign is IMOD's: any other raises what remains of the beads."""
    seen = seen_beads(shared, axis)[0][1:]
    folder = bb_folder(shared, tmp_path, axis)
    plain, _, said = read_bb(folder)
    assert "ZFACTORFILE" in said
    assert "LOCALFILE" in said
    shutil.copy(shared / f"data/imod/BB/BB{axis}.zfac", folder)
    sheared, _, said = read_bb(folder)
    assert "ZFACTORFILE" not in said
    shutil.copy(shared / f"data/imod/BB/BB{axis}local.xf", folder)
    bent, notes, said = read_bb(folder)
    assert "what depends on depth is not carried" in said
    assert any("2 x 2 local alignments are carried as a spline" in note for note in notes)
    errors = [bead_error(t, seen) for t in (plain, sheared, bent)]
    assert errors[0] == pytest.approx(without, abs=5e-4)
    assert errors[1] == pytest.approx(with_factors, abs=5e-4)
    assert errors[2] <= with_both
