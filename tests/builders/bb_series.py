"""IMOD's tutorial series BB, with the beads that IMOD saw."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np

import tomoset
from tests.builders.image_stacks import write_images
from tomoset.cli import main
from tomoset.formats.imod.alignment import read_xf


def bb_folder(shared: Path, target: Path, axis: str) -> Path:
    """The BB set as etomo has it: the files of one axis, a raw stack, a minimal newst.com."""
    folder = target / f"BB{axis}"
    folder.mkdir()
    for name in (f"BB{axis}.xf", f"BB{axis}.tlt", f"BB{axis}.xtilt", f"tilt{axis}.com"):
        shutil.copy(shared / "data/imod/BB" / name, folder)
    write_images(folder / f"BB{axis}.st", np.zeros((61, 512, 512), np.int8))
    (folder / "newst.com").write_text(
        f"$newstack -StandardInput\nInputFile BB{axis}.st\nTransformFile BB{axis}.xf\n"
    )
    return folder


def seen_beads(shared: Path, axis: str) -> tuple[np.ndarray, np.ndarray]:
    """Beads in the raw images (61, n, 2), 0-based, and IMOD's residuals (m, 2) [px].

    BB?.resid lists positions in the pre-aligned stack, bead by bead; BB?.tltxf takes them to
    the aligned stack, the inverse of BB?.xf to the raw images, both about N/2.
    """
    folder = shared / "data/imod/BB"
    table = np.loadtxt(folder / f"BB{axis}.resid", skiprows=1)
    views = table[:, 2].astype(int)
    bead = np.concatenate([[0], np.cumsum(np.diff(views) < 0)])
    forward, back = read_xf(folder / f"BB{axis}.tltxf"), read_xf(folder / f"BB{axis}.xf")
    seen = np.full((61, bead[-1] + 1, 2), np.nan)
    for (x, y), view, b in zip(table[:, :2], views, bead, strict=True):
        aligned = forward[view][:, :2] @ ([x - 256, y - 256]) + forward[view][:, 2]
        raw = np.linalg.solve(back[view][:, :2], aligned - back[view][:, 2]) + 256
        seen[view, b] = raw - 0.5
    return seen, table[:, 3:5]


def imported(folder: Path, *options: str) -> tomoset.Tomogram:
    out = folder.parent / f"{folder.name}.star"
    assert main(["import", "imod", str(folder), "-o", str(out), "--angpix", "20.2", *options]) == 0
    (tomogram,) = tomoset.read(out).values()
    return tomogram
