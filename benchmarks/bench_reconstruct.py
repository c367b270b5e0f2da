"""Tomograms of a simulated series: time, memory and quality against RELION 4's program.

``python benchmarks/bench_reconstruct.py [--relion PATH] [--large]``. The peer is
``relion_tomo_reconstruct_tomogram`` 4.0.1, on PATH or at --relion. Same job, same run, two
threads each. Quality is the correlation with the true density between 60 and 400 Å.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

TOMOSET = str(Path(sys.executable).parent / "tomoset")
SIZE, PIXEL, SERIES = (1024, 960, 400), 5.4, 6
#: RELION's settings that correlate best with the truth, and its own.
THEIRS = {"best": ["--pre_weight"], "no CTF": ["--noctf", "--pre_weight"], "default": []}
OURS = {
    "wbp": [],
    "wbp --ctf 3d --dose": ["--ctf", "3d", "--dose"],
    "wiener --ctf 3d": ["--method", "wiener", "--ctf", "3d"],
    "sirt": ["--method", "sirt"],
}


def main() -> None:
    """Run all, print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--relion", default=shutil.which("relion_tomo_reconstruct_tomogram"))
    parser.add_argument("--large", action="store_true", help="a 4096 x 4096 x 41 series too")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        simulate()
        quality(options.relion)
        for binning in (4, 2):
            speed(binning, options.relion)
        sirt_rounds()
        if options.large:
            large()


def simulate() -> None:
    """One series of molecules, vesicles and beads in 1500 Å of ice, and more of its name."""
    size = [str(n) for n in SIZE]
    contents = ["--beads", "25", "--molecules", "150", "--vesicles", "6", "--density", "4"]
    made = ["--series", "1", "--format", "relion4", "--size", *size]
    measured([TOMOSET, "simulate", "P", *made, *contents])
    from dataclasses import replace

    import tomoset

    one = tomoset.read("P/tomograms.star")["TS_01"]
    stack = str(Path(str(one.stack)).resolve())
    tomoset.TomogramSet([replace(one, stack=stack)]).write("one.star")
    many = []
    for i in range(SERIES):  # a name of its own for each: an image may not show two tomograms
        os.link(stack, f"TS_{i}.mrc")
        many.append(replace(one, stack=f"TS_{i}.mrc", name=f"TS_{i}", source=None))
    tomoset.TomogramSet(many).write("many.star")


def measured(command: list[str]) -> tuple[float, float, float]:
    """Wall and CPU seconds of a command, and its peak memory [GiB]."""
    start = time.perf_counter()
    null = os.open(os.devnull, os.O_WRONLY)
    child = os.posix_spawnp(
        command[0],
        command,
        os.environ,
        file_actions=[(os.POSIX_SPAWN_DUP2, null, 1), (os.POSIX_SPAWN_DUP2, null, 2)],
    )
    _, status, usage = os.wait4(child, 0)
    os.close(null)
    if status:
        raise SystemExit(f"failed: {' '.join(command)}")
    wall = time.perf_counter() - start
    return wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 2**20


def ours(star: str, *arguments: str) -> list[str]:
    """Our command, with two threads."""
    return [TOMOSET, "reconstruct", "--t", star, "--o", "T", "--j", "2", *arguments]


def theirs(relion: str, binning: int, *arguments: str) -> list[str]:
    """Their command, with two threads."""
    fixed = ["--t", "one.star", "--tn", "TS_01", "--o", "r.mrc", "--j", "2"]
    return [relion, *fixed, "--bin", str(binning), *arguments]


def speed(binning: int, relion: str | None) -> None:
    """Whole processes; ours also for several series in one run, as RELION has one in each."""
    print(f"bin {binning}: wall s, CPU s, peak GiB")
    measured(ours("one.star", "--bin", str(binning)))  # compiled kernels are kept from here on
    rows = {
        "tomoset": best(ours("one.star", "--bin", str(binning))),
        f"tomoset, each of {SERIES}": [
            value / SERIES if i < 2 else value
            for i, value in enumerate(best(ours("many.star", "--bin", str(binning))))
        ],
    }
    for name, arguments in THEIRS.items() if relion else ():
        rows[f"RELION, {name}"] = best(theirs(str(relion), binning, *arguments), rounds=2)
    for name, (wall, cpu, memory) in rows.items():
        print(f"  {name:22} {wall:7.2f} {cpu:7.2f} {memory:6.2f}")


def best(command: list[str], rounds: int = 3) -> list[float]:
    """The fastest of some runs."""
    return list(min(measured(command) for _ in range(rounds)))


def quality(relion: str | None) -> None:
    """Correlation with the truth; images are dark where matter is, so its sign is turned."""
    truth = read("P/truth/TS_01_density.mrc")
    print("correlation with the true density, 60-400 Å, bin 4")
    for name, arguments in OURS.items():
        measured(ours("one.star", *arguments))
        volume = read("T/tomograms/rec_TS_01.mrc")
        print(f"  tomoset {name:22} {-correlation(volume, truth):.3f}")
    for name, arguments in THEIRS.items() if relion else ():
        measured(theirs(str(relion), 4, *arguments))
        print(f"  RELION {name:23} {-correlation(read('r.mrc'), truth):.3f}")


def read(path: str) -> np.ndarray:
    """A volume."""
    import mrcfile

    with mrcfile.open(path) as file:
        return np.asarray(file.data, dtype=np.float32)


def correlation(a: np.ndarray, b: np.ndarray, edge: int = 16) -> float:
    """Of the bands, without what is next to the edges in x and y."""
    inner = np.s_[:, edge:-edge, edge:-edge]
    return float(np.corrcoef(band(a)[inner].ravel(), band(b)[inner].ravel())[0, 1])


def band(volume: np.ndarray, low: float = 400.0, high: float = 60.0) -> np.ndarray:
    """What a volume of bin 4 shows between two resolutions [Å]."""
    import scipy.fft

    waves = scipy.fft.rfftn(volume)
    pixel = 4 * PIXEL
    z, y = (np.fft.fftfreq(n, pixel) for n in volume.shape[:2])
    x = np.fft.rfftfreq(volume.shape[2], pixel)
    k2 = z[:, None, None] ** 2 + y[:, None] ** 2 + x**2
    waves *= (k2 > 1 / low**2) & (k2 < 1 / high**2)
    return np.asarray(scipy.fft.irfftn(waves, s=volume.shape))


def sirt_rounds() -> None:
    """What a round of SIRT costs against one projection and one back-projection."""
    import tomoset
    from tomoset.images.device import open_device
    from tomoset.reconstruct import Options, Plan
    from tomoset.reconstruct.sirt import _Solver, _Views

    plan = Plan.of(tomoset.read("one.star")["TS_01"], Options(), SIZE[:2])
    device = open_device("cpu")
    projector = plan.projector(device)
    width, height = plan.cropping.kept
    images = np.random.default_rng(1).standard_normal((41, height, width)).astype(np.float32)
    solver, volume = _Solver(_Views(plan, projector), images), np.ones(plan.size[::-1], np.float32)
    seen = projector.forward(volume)

    def both() -> None:
        projector.back(seen)
        projector.forward(volume)

    def one_round() -> None:
        solver.error()
        solver.improve()

    plain, rounds = (min(seconds(job) for _ in range(5)) for job in (both, one_round))
    print(
        f"a round of SIRT {rounds:.2f} s, projection and back {plain:.2f} s: {rounds / plain:.2f}"
    )


def seconds(job: object) -> float:
    """Wall time of a call."""
    assert callable(job)
    start = time.perf_counter()
    job()
    return time.perf_counter() - start


def large() -> None:
    """4096 x 4096 x 41 images of 16 bits to 1024 x 1024 x 300 voxels."""
    import mrcfile

    import tomoset
    from tomoset import geometry

    n, size, image = 41, (4096, 4096, 1200), (4096, 4096)
    with mrcfile.new_mmap("large.mrcs", (n, 4096, 4096), mrc_mode=1) as file:
        for i in range(n):
            file.data[i] = np.random.default_rng(i).integers(0, 1000, (4096, 4096))
    angles = np.column_stack([np.zeros(n), np.linspace(-60, 60, n), np.full(n, 85.0)])
    tomogram = tomoset.Tomogram(
        name="large",
        n_tilts=n,
        optics=tomoset.Optics(pixel_size=1.35),
        stack="large.mrcs",
        image_size=image,
        size=size,
        projections=geometry.rigid_projections(
            angles, np.zeros((n, 2)), size=size, image_size=image
        ),
    )
    tomoset.TomogramSet([tomogram]).write("large.star")
    wall, cpu, memory = measured(ours("large.star"))
    print(f"4096 x 4096 x 41 to 1024 x 1024 x 300: {wall:.1f} s, CPU {cpu:.1f} s, {memory:.2f} GiB")


if __name__ == "__main__":
    main()
