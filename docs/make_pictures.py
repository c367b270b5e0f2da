"""The figures that ``docs/`` shows: ``make docs``.

All but the needle are simulated, and kept with the pages. The needle is a real series (ETSpy's
example data: 77 images of a layered needle in a scanning microscope), read from ``../shared``,
left out where that is not there, and not kept.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import to_rgb
from PIL import Image

import tomoset
from tomoset import geometry
from tomoset.figures._style import BLUE, ORANGE
from tomoset.images.stack import open_stack
from tomoset.programs.reconstruct import reconstruct
from tomoset.reconstruct import Options
from tomoset.run import Resources

HERE = Path(__file__).resolve().parent
PICTURES = HERE / "pictures"
NEEDLE = HERE.parents[1] / "shared/data/images/etspy"
#: Of pictures on pages [px].
WIDTH = 860


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
    options = Options(binning=2, method=method, taper=1, iterations=15)
    one = tomoset.TomogramSet([needle_tomogram(NEEDLE)])
    done = reconstruct(one, folder / method, options, resources=Resources(threads=2))
    keep(Path(done.results["needle"].path).with_suffix(".png"), f"needle_{method}")


def tomoset_run(folder: Path, *arguments: str) -> None:
    """A command, as users type it."""
    command = [sys.executable, "-m", "tomoset", *arguments]
    subprocess.run(command, cwd=folder, check=True)


def keep(figure: Path, name: str) -> None:
    """Put a figure among the pictures: smaller and of few colours, as pages show it."""
    with Image.open(figure) as image:
        width, height = image.size
        size = WIDTH, round(height * WIDTH / width)
        small = image.convert("RGB").resize(size, Image.Resampling.LANCZOS)
    few = small.quantize(palette=palette(), dither=Image.Dither.NONE)
    few.save(PICTURES / f"{name}.png", optimize=True)


def palette() -> Image.Image:
    """Greys, and the colours of figures, also mixed with white and black."""
    greys = np.repeat(np.linspace(0, 255, 31), 3).reshape(-1, 3)
    strong = np.array([to_rgb(colour) for colour in (BLUE, ORANGE)])
    mixed = [255 * (part * strong + (1 - part)) for part in (0.25, 0.5, 0.75, 1.0)]
    scale = 255 * colormaps["cividis"](np.linspace(0, 1, 16))[:, :3]
    colours = np.concatenate([greys, *mixed, 127 * strong, scale]).astype(np.uint8)
    made = Image.new("P", (1, 1))
    made.putpalette(colours.tobytes())
    return made


def beads(folder: Path) -> None:
    """Gold beads, vesicles and molecules in ice: found, aligned by, and what is reconstructed."""
    contents = ["--beads", "14", "--molecules", "20", "--vesicles", "2", "--series", "1"]
    errors = ["--shift-error", "2", "--rotation-error", "0.2", "--size", "512", "480", "150"]
    tomoset_run(folder, "simulate", "B", *contents, *errors, "--format", "relion4")
    tomoset_run(folder, "find-fiducials", "B/tomograms.star", "--o", "F")
    keep(folder / "F/TS_01.png", "beads")
    tomoset_run(folder, "align", "fiducials", "F/tomograms.star", "--o", "A")
    keep(folder / "A/TS_01.png", "alignment_by_beads")
    keep(folder / "A/tilts_TS_01.png", "tilts")
    tomoset_run(folder, "reconstruct", "A/tomograms.star", "--o", "T", "--bin", "2")
    keep(folder / "T/tomograms/rec_TS_01.png", "sections")


def images(folder: Path) -> None:
    """A lamella without beads, from nominal angles that are off, by its images alone."""
    size = ["--size", "512", "480", "220", "--angpix", "10", "--tilts", "41", "--series", "1"]
    tomoset_run(folder, "simulate", "L", "--lamella", *size, "--format", "relion4")
    tomoset_run(folder, "align", "images", "L/tomograms.star", "--o", "LA")
    keep(folder / "LA/TS_01.png", "alignment_by_images")


def particles(folder: Path) -> None:
    """Molecules that are aligned by, and the CTF by them, from a table that is off."""
    size = ["--size", "640", "600", "250", "--angpix", "3.4", "--tilts", "31", "--series", "1"]
    contents = ["--beads", "0", "--molecules", "60", "--noise", "0.3", "--deformation", "2"]
    errors = ["--shift-error", "1.5", "--rotation-error", "0.2", "--format", "relion4"]
    tomoset_run(folder, "simulate", "P", *size, *contents, *errors)
    links = ["--i", "P/optimisation_set.star", "--b", "64", "--r", "8", "--deformation"]
    tomoset_run(folder, "align", "particles", *links, "--o", "PA")
    keep(folder / "PA/TS_01.png", "alignment_by_particles")
    project = tomoset.open_project(folder / "PA/optimisation_set.star")
    (t,) = project.tomograms.values()
    off = np.random.default_rng(1).normal(600, 150, t.n_tilts)
    (u, v) = t.need_defocus()
    t = replace(t, defocus_u=u + off, defocus_v=v + off)
    project = project.with_sets(tomograms=project.tomograms.with_tomograms([t]))
    tomoset.refine_ctf(project, folder / "C", box=96)
    keep(folder / "C/TS_01.png", "ctf_refinement")


def hand(folder: Path) -> None:
    """Defocus across the field, of two series."""
    size = ["--size", "768", "720", "250", "--tilts", "31", "--format", "relion4", "--series", "2"]
    rings = ["--specks", "40000", "--beads", "0", "--hand", "1"]
    tomoset_run(folder, "simulate", "H", *size, *rings)
    tomoset_run(folder, "hand", "H/tomograms.star", "--o", "O")
    keep(folder / "O/TS_01.png", "hand")
    keep(folder / "O/hand_of_set.png", "hand_of_set")


def main() -> None:
    """Make all."""
    PICTURES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        for make in (beads, images, particles, hand):
            make(Path(folder))
        if NEEDLE.is_dir():
            needle("wbp", Path(folder))
            needle("sirt", Path(folder))
        else:
            print(f"{NEEDLE} is not there: no pictures of the needle")
    print(f"pictures: {PICTURES}")


if __name__ == "__main__":
    main()
