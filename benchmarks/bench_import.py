"""Import of 500 tilt series from IMOD: CPU time against RELION's program, where it is there.

``python benchmarks/bench_import.py [--series 500] [--relion PATH]``. The peer is
``relion_tomo_import_tomograms`` 4.0.1, on PATH or at --relion; without it, bare Python is the
yardstick.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

VIEWS = 41


def main() -> None:
    """Make the projects, run both programs on them, print the ratio."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--series", type=int, default=500)
    parser.add_argument("--relion", default=shutil.which("relion_tomo_import_tomograms"))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_project(folder, options.series)
        tomoset = [str(Path(sys.executable).parent / "tomoset"), "import", "imod"]
        arguments = ["--i", "tilt_series.star", "--flipYZ", "--flipZ", "--angpix", "1.35"]
        arguments += ["--fd", "3.1", "--hand", "-1"]
        bare = cpu([sys.executable, "-c", "pass"], folder)
        ours = cpu([*tomoset, *arguments, "--o", "ours.star"], folder)
        print(f"{options.series} series of {VIEWS} tilt images, best of 5, CPU time")
        print(f"  bare Python                   {bare:6.3f} s")
        print(f"  tomoset import imod           {ours:6.3f} s")
        if options.relion is None:
            print("  relion_tomo_import_tomograms  not there (say --relion PATH)")
            return
        theirs = cpu([options.relion, *arguments, "--o", "theirs.star"], folder)
        print(f"  relion_tomo_import_tomograms  {theirs:6.3f} s")
        print(f"  ratio tomoset / RELION        {ours / theirs:6.2f}   (at most 2)")


def cpu(command: list[str], folder: Path) -> float:
    """User and system seconds of a command, best of five runs.

    Bytecode may be kept, as it is where a program is installed: else each run compiles it anew.
    """
    kept = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    best = np.inf
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command, cwd=folder, env=kept, check=True, stdout=subprocess.DEVNULL)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        best = min(best, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return best


def make_project(folder: Path, n_series: int) -> None:
    """IMOD folders as etomo and CTFFIND leave them, with stacks that are only headers."""
    rng = np.random.default_rng(1)
    nominal = np.linspace(-60, 60, VIEWS)
    order = nominal[np.argsort(np.abs(nominal), kind="stable")]
    rows = []
    for i in range(n_series):
        name = f"TS_{i + 1:03d}"
        (folder / name).mkdir()
        write_series(folder / name, name, rng, nominal, order)
        rows.append(f"{name} {name}/{name}.mrc {name}/{name}_ctf.txt {name} {name}/order.csv")
    labels = ("Name", "TiltSeriesName", "ImportCtfFindFile", "ImportImodDir", "ImportOrderList")
    header = "\ndata_\n\nloop_\n" + "".join(f"_rlnTomo{x} #{k + 1}\n" for k, x in enumerate(labels))
    (folder / "tilt_series.star").write_text(header + "\n".join(rows) + "\n\n")


def write_series(
    folder: Path, name: str, rng: np.random.Generator, nominal: np.ndarray, order: np.ndarray
) -> None:
    """One tilt series."""
    turn = np.deg2rad(85 + rng.normal(0, 0.2, VIEWS))
    c, s, d = np.cos(turn), np.sin(turn), rng.normal(0, 8, (VIEWS, 2))
    xf = np.stack([c, s, -s, c, d[:, 0], d[:, 1]], axis=1)
    np.savetxt(folder / f"{name}.xf", xf, fmt=["%12.7f"] * 4 + ["%12.3f"] * 2, delimiter="")
    np.savetxt(folder / f"{name}.tlt", nominal + rng.normal(0, 0.2, VIEWS), fmt="%7.2f")
    np.savetxt(folder / "order.csv", np.c_[np.arange(VIEWS) + 1, order], fmt=["%d", "%.1f"],
               delimiter=",")  # fmt: skip
    u = rng.uniform(20000, 40000) + rng.normal(0, 300, VIEWS)
    ctf = np.stack([np.arange(VIEWS) + 1, u, u - 500, rng.uniform(-90, 90, VIEWS), 0 * u,
                    0.1 + 0 * u, 8 + 0 * u], axis=1)  # fmt: skip
    np.savetxt(folder / f"{name}_ctf.txt", ctf, fmt="%.6f", header="CTFFIND\nColumns")
    (folder / "newst.com").write_text(
        f"$newstack -StandardInput\nInputFile\t{name}.st\nTransformFile\t{name}.xf\n"
        "SizeToOutputInXandY\t3838,3710\nBinByFactor\t1\n"
    )
    (folder / "tilt.com").write_text(
        f"$tilt -StandardInput\nIMAGEBINNED 1\nTILTFILE {name}.tlt\nTHICKNESS 1800\n"
        "XAXISTILT 0.0\nFULLIMAGE 3838 3710\nSHIFT 0.0 0.0\n"
    )
    header = bytearray(1024)
    struct.pack_into("<10i", header, 0, 3838, 3710, VIEWS, 2, 0, 0, 0, 3838, 3710, VIEWS)
    struct.pack_into("<3f", header, 40, 3838 * 1.35, 3710 * 1.35, VIEWS * 1.35)
    header[208:212] = b"MAP "
    header[212:214] = b"DD"
    with (folder / f"{name}.mrc").open("wb") as stream:
        stream.write(header)
        stream.truncate(1024 + 3838 * 3710 * VIEWS * 4)


if __name__ == "__main__":
    main()
