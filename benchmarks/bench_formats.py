"""Import of 100 series of each format that is written too, as a whole process: bound 2 s.

``python benchmarks/bench_formats.py [--series 100]``. Files are made by `tomoset convert` of rigid
series with stacks that are only headers; times are those of `tomoset import`, best of three, and
of four times as many series, which should take at most four times as long (and the start once).
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from tomoset import Optics, Project, Tomogram, TomogramSet, geometry
from tomoset.formats import FORMATS, Format
from tomoset.images.mrc import new_header
from tomoset.images.statistics import Values
from tomoset.paths import file_names

VIEWS, IMAGE, SIZE, PIXEL = 41, (400, 380), (380, 400, 120), 2.0


def main() -> None:
    """Time each format."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--series", type=int, default=100)
    count = parser.parse_args().series
    print(f"tomoset import, {count} series of {VIEWS} tilt images, best of 3, wall time")
    for format in FORMATS:
        if format.options and format.writes and not format.can("linked sets"):
            few, many = (timed(format, n) for n in (count, 4 * count))
            print(f"  {format.name:8}  {few:5.2f} s (at most 2), {4 * count}: {many:5.2f} s")


def timed(format: Format, count: int) -> float:
    """Seconds of an import of so many series."""
    with tempfile.TemporaryDirectory() as name:
        os.chdir(name)
        project = make(count)
        format.write(project, "files")
        names = file_names(project.tomograms)
        places = [format.place("files", plain) for plain in names.values()]
        one = Project(tomograms=TomogramSet([next(iter(project.tomograms.values()))]))
        told = {k: v for k, v in format.told(one).items() if v is not None and k != "stack"}
        command = [sys.executable, "-m", "tomoset", "import", format.name, *places]
        known = {option.name: option for option in format.options}
        for key, value in told.items():
            command += [known[key].spelling, spelled(value)]
        if "stack" in known:
            command += ["--stack", "."] if format.name != "imod" else []
        if format.name == "imod":
            for plain in names.values():
                os.link(f"{plain}.mrc", f"files/{plain}/{plain}.mrc")
        best = np.inf
        for i in range(3):
            begin = time.perf_counter()
            done = subprocess.run([*command, "-o", f"set{i}.star"], capture_output=True, text=True)
            best = min(best, time.perf_counter() - begin)
            if done.returncode:
                sys.exit(f"{format.name}: {done.stderr[-500:]}")
        os.chdir("/")
        return best


def spelled(value: object) -> str:
    """A value as the command line takes it."""
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def make(count: int) -> Project:
    """Rigid series, and their stacks."""
    rng = np.random.default_rng(1)
    tilts = np.linspace(-60, 60, VIEWS)
    tomograms = []
    for i in range(count):
        name = f"TS_{i + 1:03d}"
        angles = np.stack([np.zeros(VIEWS), tilts, np.full(VIEWS, 85.0)], axis=1)
        tomograms.append(
            Tomogram(
                name=name,
                n_tilts=VIEWS,
                optics=Optics(pixel_size=PIXEL),
                stack=f"{name}.mrc",
                size=SIZE,
                image_size=IMAGE,
                projections=geometry.rigid_projections(
                    angles, rng.normal(0, 5, (VIEWS, 2)), size=SIZE, image_size=IMAGE
                ),
                nominal_tilts=tilts,
                pre_exposure=3.0 * np.argsort(np.argsort(np.abs(tilts), kind="stable")),
                fractional_dose=3.0,
                defocus_u=rng.uniform(2e4, 3e4, VIEWS),
                defocus_v=rng.uniform(1e4, 2e4, VIEWS),
                defocus_angle=rng.uniform(0, 90, VIEWS),
            )
        )
        write_header(Path(f"{name}.mrc"))
    return Project(tomograms=TomogramSet(tomograms))


def write_header(path: Path) -> None:
    """A stack whose pixels are a hole in the file."""
    header = new_header((*IMAGE, VIEWS), "float32", PIXEL, Values(low=0, high=0, mean=0, rms=0))
    with path.open("wb") as file:
        file.write(header)
        file.truncate(len(header) + 4 * VIEWS * IMAGE[0] * IMAGE[1])


if __name__ == "__main__":
    main()
