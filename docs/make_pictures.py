"""The figures that ``docs/`` shows: ``make docs``. Made, not kept.

The needle is a real series (ETSpy's example data: 77 images of a layered needle in a scanning
microscope), read from ``../shared`` and left out where that is not there; the other is simulated.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

import tomoset
from tomoset import geometry
from tomoset.images.stack import open_stack
from tomoset.programs.reconstruct import reconstruct
from tomoset.reconstruct import Options
from tomoset.run import Resources

HERE = Path(__file__).parent
PICTURES = HERE / "pictures"
NEEDLE = HERE.parents[1] / "shared/data/images/etspy"
TOMOSET = str(Path(sys.executable).parent / "tomoset")


def needle_shifts(images: np.ndarray) -> np.ndarray:
    """Where each image shows the needle, against the middle: x, y [px].

    The images are shifted by up to 25 px against each other. The centre of mass of something
    that is seen whole goes with the axis, if it is on the axis; along the axis, all images have
    the same profile.
    """
    bright = images - images.min()
    n, height, width = images.shape
    profiles = bright.sum(axis=1)
    common, along = profiles[n // 2], np.zeros(n)
    for _ in range(3):
        waves = np.conj(np.fft.rfft(common)) * np.fft.rfft(profiles)
        found = np.argmax(np.fft.irfft(waves, 8 * width), axis=1) / 8
        along = (found + width / 2) % width - width / 2
        turned = np.exp(2j * np.pi * along[:, None] * np.fft.rfftfreq(width))
        common = np.fft.irfft(np.fft.rfft(profiles) * turned, width).mean(axis=0)
    head = np.arange(width) > 95 + along[:, None]
    across = (bright * head[:, None]).sum(axis=2)
    middle = (across * np.arange(height)).sum(axis=1) / across.sum(axis=1)
    return np.stack([along, middle - height // 2], axis=1)


def needle_tomogram(folder: Path) -> tomoset.Tomogram:
    """The series, whose tilt axis lies along the images' x."""
    stack = folder / "HAADF.ali"
    tilts = np.loadtxt(folder / "HAADF.rawtlt")
    with open_stack(stack) as file:
        (width, height), n = file.size, file.n_images
        pixel_size = file.pixel_size or 1.0
        shifts = needle_shifts(file.read_all().astype(float))
    # The tomogram's y is the axis, which the images show along x.
    size = (height, width, height)
    angles = np.column_stack([np.zeros(n), tilts, np.full(n, -90.0)])
    return tomoset.Tomogram(
        name="needle",
        n_tilts=n,
        optics=tomoset.Optics(pixel_size=pixel_size),
        stack=str(stack),
        image_size=(width, height),
        size=size,
        projections=geometry.rigid_projections(
            angles, shifts, size=size, image_size=(width, height)
        ),
    )


def needle(method: str, folder: Path) -> None:
    """A picture of the needle."""
    options = Options(binning=1, method=method, taper=1, iterations=30)
    one = tomoset.TomogramSet([needle_tomogram(NEEDLE)])
    done = reconstruct(one, folder / method, options, resources=Resources(threads=2))
    shutil.copy(
        Path(done.results["needle"].path).with_suffix(".png"), PICTURES / f"needle_{method}.png"
    )


def simulated(folder: Path) -> None:
    """A picture of molecules, vesicles and beads in ice."""
    contents = ["--beads", "10", "--molecules", "60", "--vesicles", "4", "--series", "1"]
    size = ["--size", "512", "480", "300", "--format", "relion4"]
    subprocess.run([TOMOSET, "simulate", "P", *contents, *size], cwd=folder, check=True)
    made = ["reconstruct", "P/tomograms.star", "--o", "T", "--bin", "4"]
    subprocess.run([TOMOSET, *made], cwd=folder, check=True)
    shutil.copy(folder / "T/tomograms/rec_TS_01.png", PICTURES / "simulated.png")


def beads(folder: Path) -> None:
    """Figures of gold beads."""
    contents = ["--beads", "14", "--molecules", "20", "--series", "1", "--format", "relion4"]
    contents += ["--size", "512", "480", "150"]
    subprocess.run([TOMOSET, "simulate", "B", *contents], cwd=folder, check=True)
    made = ["find-fiducials", "B/tomograms.star", "--o", "F"]
    subprocess.run([TOMOSET, *made], cwd=folder, check=True)
    shutil.copy(folder / "F/TS_01.png", PICTURES / "beads.png")
    shutil.copy(folder / "F/tilts_TS_01.png", PICTURES / "tilts.png")


def hand(folder: Path) -> None:
    """A picture of defocus across the field."""
    size = ["--size", "1024", "960", "250", "--format", "relion4", "--series", "1"]
    rings = ["--specks", "80000", "--noise", "3", "--beads", "0", "--hand", "1"]
    subprocess.run([TOMOSET, "simulate", "H", *size, *rings], cwd=folder, check=True)
    subprocess.run([TOMOSET, "hand", "H/tomograms.star", "--o", "O"], cwd=folder, check=True)
    shutil.copy(folder / "O/TS_01.png", PICTURES / "hand.png")


def main() -> None:
    """Make all."""
    PICTURES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        simulated(Path(folder))
        beads(Path(folder))
        hand(Path(folder))
        if NEEDLE.is_dir():
            needle("wbp", Path(folder))
            needle("sirt", Path(folder))
        else:
            print(f"{NEEDLE} is not there: no pictures of the needle")
    print(f"pictures: {PICTURES}")


if __name__ == "__main__":
    main()
